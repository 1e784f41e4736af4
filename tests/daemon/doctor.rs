//! What `ctl doctor` finds: healthy, each thing that can be wrong, and without a daemon.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use holdline::dev_server::Control;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::daemon::Daemon;
use crate::support::server::{ScriptedServer, Upgrade};
use crate::support::tls::{Authority, Identity, Validity};
use crate::{blocking, config, send, server, start, wait_for_status};

/// All that is looked at, in order.
const CODES: [&str; 17] = [
    "configuration",
    "credential",
    "daemon",
    "socket",
    "name",
    "connection",
    "proxy",
    "tls",
    "upgrade",
    "sign_in",
    "clock",
    "store",
    "disk",
    "queue",
    "notifications",
    "open_files",
    "health",
];

/// What an examination came to.
struct Seen {
    exit: Option<i32>,
    whole: Value,
}

impl Seen {
    fn of(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stdout);
        let whole = serde_json::from_str(&said).unwrap_or_else(|_| panic!("no document: {output:?}"));
        Self { exit: output.status.code(), whole }
    }

    fn check(&self, code: &str) -> &Value {
        let checks = self.whole["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["code"] == code).unwrap_or_else(|| panic!("no {code}: {checks:?}"))
    }

    fn codes(&self) -> Vec<&str> {
        let checks = self.whole["checks"].as_array().expect("checks");
        checks.iter().map(|check| check["code"].as_str().expect("a word")).collect()
    }

    /// The codes of what is wrong. Each has a hint, and the exit code says so.
    fn wrong(&self) -> Vec<&str> {
        let checks = self.whole["checks"].as_array().expect("checks");
        let wrong: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false).collect();
        for check in &wrong {
            assert!(check["hint"].as_str().is_some_and(|hint| hint.len() > 5), "no hint: {check}");
        }
        assert_eq!(self.exit, Some(if wrong.is_empty() { 0 } else { 4 }), "{}", self.whole);
        wrong.iter().map(|check| check["code"].as_str().expect("a word")).collect()
    }

    fn says(&self, code: &str, ok: &Value, words: &str) {
        let check = self.check(code);
        assert_eq!(&check["ok"], ok, "{check}");
        assert!(check["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{check}");
    }
}

fn examine(daemon: &Daemon) -> Seen {
    Seen::of(&daemon.command(&["ctl", "--json", "doctor"]).stdin(Stdio::null()).output().expect("it runs"))
}

/// Gives the daemon back too: it lives on for the next look.
async fn examined(daemon: Daemon) -> (Daemon, Seen) {
    blocking(move || {
        let seen = examine(&daemon);
        (daemon, seen)
    })
    .await
}

fn yes() -> Value {
    json!(true)
}

fn no() -> Value {
    json!(false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_daemon_is_found_healthy_and_its_line_is_left_alone() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let (daemon, seen, before, after) = blocking(move || {
        daemon.wait_for("connected");
        let before = daemon.client().call("status", &json!({})).expect("an answer");
        let seen = examine(&daemon);
        let after = daemon.client().call("status", &json!({})).expect("an answer");
        (daemon, seen, before, after)
    })
    .await;
    assert_eq!(seen.wrong(), [""; 0], "{}", seen.whole);
    assert_eq!(seen.codes(), CODES);
    seen.says("daemon", &yes(), &format!("pid {}", daemon.pid()));
    seen.says("socket", &yes(), "0600");
    seen.says("connection", &yes(), "127.0.0.1:");
    seen.says("upgrade", &yes(), "own line");
    seen.says("store", &yes(), "commit ");
    assert_eq!(seen.whole["daemon_asked"], true);
    assert_eq!(before["link"]["since"], after["link"]["since"], "the line was not touched");
    assert_eq!(after["link"]["reconnects"], 0);
    assert_eq!(server.stats().connections, 1, "no second session was opened");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_read_a_line_for_each_thing_and_a_hint_for_each_problem() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    blocking(move || {
        let mut daemon = daemon;
        daemon.wait_for("connected");
        let output = daemon.ctl(&["doctor", "--full"]);
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("\u{2714} store           commit "), "{said}");
        assert!(said.contains("looked through in full just now and sound"), "{said}");
        assert!(said.ends_with("No problem found.\n"), "{said}");
        assert_eq!(daemon.stop().code(), Some(0));
        let output = daemon.ctl(&["doctor"]);
        assert_eq!(output.status.code(), Some(4));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("No daemon answers"), "{said}");
        assert!(said.contains("\u{2716} daemon          not running for profile \"default\"\n"), "{said}");
        assert!(said.contains("                  hint: start it: "), "{said}");
        assert!(said.contains("\u{2714} upgrade         HTTP 101"), "{said}");
        assert!(said.ends_with("1 problem found (exit 4)\n"), "{said}");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_daemon_is_a_problem_and_all_else_is_looked_at_from_here() {
    let server = server().await;
    let daemon = Daemon::prepare(&config(&server.url(), "json", ""));
    let (daemon, seen) = examined(daemon).await;
    assert_eq!(seen.codes(), CODES);
    assert_eq!(seen.wrong(), ["daemon"]);
    assert_eq!(seen.whole["daemon_asked"], false);
    seen.says("upgrade", &yes(), "HTTP 101");
    seen.says("store", &Value::Null, "the first start makes it");
    assert!(!daemon.database_path().exists(), "it made nothing");
    server.until(crate::SOON, |stats| stats.connected == 0).await.expect("it left");

    // With a database, and with a file that is none.
    let daemon = blocking(move || {
        let mut daemon = daemon;
        daemon.restart();
        daemon.stop();
        daemon
    })
    .await;
    let (daemon, seen) = examined(daemon).await;
    seen.says("store", &yes(), "from outside");
    let before = std::fs::read(daemon.database_path()).unwrap();
    std::fs::write(daemon.database_path(), "precious").unwrap();
    let (daemon, seen) = examined(daemon).await;
    assert_eq!(seen.wrong(), ["daemon", "store"]);
    assert_eq!(std::fs::read(daemon.database_path()).unwrap(), b"precious");
    std::fs::write(daemon.database_path(), before).unwrap();

    // Somebody holds the lock and serves nothing.
    let lock = daemon.database_path().with_extension("lock");
    let held = std::fs::File::open(lock).unwrap();
    held.lock().unwrap();
    let (_daemon, seen) = examined(daemon).await;
    seen.says("daemon", &no(), "nobody answers");
    seen.says("upgrade", &Value::Null, "holds the lock");
    server.stop().await;
}

#[test]
fn a_configuration_that_is_wrong_is_named_with_its_line() {
    let daemon = Daemon::prepare("[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconect]\n");
    let seen = examine(&daemon);
    seen.says("configuration", &no(), "config.toml:3: unknown");
    assert_eq!(seen.wrong(), ["configuration", "daemon"]);
    seen.says("connection", &Value::Null, "the configuration comes first");
    assert_eq!(seen.codes(), CODES);
}

#[test]
fn a_file_that_changed_under_a_running_daemon_is_told() {
    let daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\n");
    daemon.write_config("[server]\nurl = \"ws://127.0.0.1:9/\"\n[heartbeat]\ninterval = \"7s\"\n");
    let seen = examine(&daemon);
    seen.says("configuration", &yes(), "heartbeat.interval");
    assert!(seen.check("configuration")["hint"].as_str().is_some_and(|hint| hint.contains("ctl reload")));
    daemon.write_config("[server]\nurl = 7\n");
    let seen = examine(&daemon);
    seen.says("configuration", &no(), "the one before is in force");
}

#[test]
fn a_token_file_that_others_can_read_is_told_and_its_content_is_not() {
    let daemon = Daemon::prepare("");
    let token = daemon.write_private("token", "canary-2290");
    daemon.write_config(&format!(
        "[server]\nurl = \"ws://127.0.0.1:9/\"\n[auth]\nmethod = \"header\"\ntoken_file = \"{}\"\n",
        token.display()
    ));
    let seen = examine(&daemon);
    seen.says("credential", &yes(), "private");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let seen = examine(&daemon);
    seen.says("configuration", &no(), "mode 0644");
    assert!(seen.check("configuration")["hint"].as_str().is_some_and(|hint| hint.contains("chmod 600")));
    assert!(!seen.whole.to_string().contains("canary-2290"));

    // A web token that says that it is over: {"exp":1600000000}.
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    daemon.write_private("token", "e30.eyJleHAiOjE2MDAwMDAwMDB9.c2ln");
    examine(&daemon).says("credential", &no(), "expired");

    // A daemon that runs meanwhile says it of the file itself.
    let mut daemon = daemon;
    daemon.restart();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).unwrap();
    let seen = examine(&daemon);
    seen.says("credential", &no(), "mode 0640");
    seen.says("upgrade", &Value::Null, "not tried");
    assert!(!seen.whole.to_string().contains("canary-2290"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_lead_nowhere_fail_at_their_own_step() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound");
    let (daemon, seen) = examined(Daemon::prepare(&config(&format!("ws://{free}/"), "json", ""))).await;
    seen.says("connection", &no(), "refused");
    seen.says("upgrade", &Value::Null, "not tried");
    assert_eq!(seen.wrong(), ["daemon", "connection"]);

    daemon.write_config(&config("wss://nobody.invalid/", "json", ""));
    let (daemon, seen) = examined(daemon).await;
    seen.says("name", &no(), "nobody.invalid");
    seen.says("connection", &Value::Null, "not tried");

    // A server that speaks no TLS, and a running daemon.
    let plain = server().await;
    daemon.write_config(&config(&plain.url().replace("ws://", "wss://"), "json", ""));
    let daemon = blocking(move || {
        let mut daemon = daemon;
        daemon.restart();
        daemon
    })
    .await;
    let (_daemon, seen) = examined(daemon).await;
    assert_eq!(seen.wrong(), ["tls"]);
    seen.says("upgrade", &Value::Null, "not tried");
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_says_who_signed_it_for_how_long_and_why_it_is_not_accepted() {
    let daemon = Daemon::prepare("");
    let authority = Authority::named("House CA");
    authority.write_to(&daemon.path("ca.pem"));
    let with = |url: &str| {
        config(url, "json", "").replace("[reconnect]", "tls = { ca_file = \"../../ca.pem\" }\n[reconnect]")
    };

    let good = authority.issue("localhost", Validity::Now);
    let server = ScriptedServer::builder().tls(good.acceptor()).start().await;
    daemon.write_config(&with(&server.url()));
    let (daemon, seen) = examined(daemon).await;
    seen.says("tls", &yes(), "TLS 1.3, certificate by House CA, valid for ");
    assert_eq!(seen.wrong(), ["daemon"]);

    for (identity, words) in [
        (authority.issue("example.net", Validity::Now), "example.net"),
        (authority.issue("localhost", Validity::Over), "expired"),
        (authority.issue("localhost", Validity::Later), "not valid yet"),
        (Identity::self_signed("localhost", true), "signed by itself"),
    ] {
        let server = ScriptedServer::builder().tls(identity.acceptor()).start().await;
        daemon.write_config(&with(&server.url()));
        let seen = blocking({
            let command = daemon.command(&["ctl", "--json", "doctor"]).stdin(Stdio::null()).output();
            move || Seen::of(&command.expect("it runs"))
        })
        .await;
        seen.says("tls", &no(), words);
        assert_eq!(seen.wrong(), ["daemon", "tls"], "{words}");
        assert!(server.requests().is_empty(), "nothing was asked of a server nobody vouches for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_credential_there_is_no_upgrade() {
    let server = ScriptedServer::start().await;
    let daemon = Daemon::prepare("");
    let token = daemon.write_private("token", " \n");
    let auth = format!("[auth]\nmethod = \"header\"\ntoken_file = \"{}\"", token.display());
    daemon.write_config(&config(&server.url(), "json", &auth));
    let (_daemon, seen) = examined(daemon).await;
    seen.says("credential", &no(), "holds nothing");
    seen.says("connection", &yes(), "127.0.0.1:");
    seen.says("upgrade", &Value::Null, "there is no credential");
    assert_eq!(seen.wrong(), ["credential", "daemon"]);
    assert!(server.requests().is_empty(), "the daemon would not dial either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_upgrades_are_told_and_the_token_never_is() {
    let daemon = Daemon::prepare("");
    let token = daemon.write_private("token", "canary-5512");
    let auth = format!("[auth]\nmethod = \"header\"\ntoken_file = \"{}\"", token.display());
    for (status, words) in [(401, "401"), (404, "404"), (503, "503")] {
        let refusal = Upgrade::refuse(status, &[], "no: canary-5512");
        let server = ScriptedServer::builder().answer(move |_, _| refusal.clone()).start().await;
        daemon.write_config(&config(&server.url(), "json", &auth));
        let command = daemon.command(&["ctl", "--json", "doctor"]);
        let seen = blocking(move || {
            let mut command = command;
            Seen::of(&command.stdin(Stdio::null()).output().expect("it runs"))
        })
        .await;
        seen.says("upgrade", &no(), words);
        seen.says("sign_in", &Value::Null, "not tried");
        assert_eq!(seen.wrong(), ["daemon", "upgrade"]);
        assert!(!seen.whole.to_string().contains("canary-5512"), "{}", seen.whole);
        assert_eq!(server.requests()[0].header("Authorization"), ["Bearer canary-5512"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_daemon_that_is_refused_says_what_its_own_try_came_to() {
    let server = server().await;
    server.control(Control::RefuseUpgrade { status: 503, retry_after: Some(3600), times: 1_000 });
    let daemon = start(config(&server.url(), "json", "")).await;
    let (daemon, seen) = blocking(move || {
        daemon.wait_for("unavailable");
        let seen = examine(&daemon);
        (daemon, seen)
    })
    .await;
    seen.says("upgrade", &no(), "503");
    assert_eq!(server.stats().upgrades_refused, 1, "a server that asks to be left alone is");
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_line_stays_as_it_is() {
    let server = server().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    let seen = blocking(move || {
        daemon.wait_for("connected");
        daemon.client().call("link.pause", &json!({})).expect("paused");
        daemon.wait_for("paused");
        examine(&daemon)
    })
    .await;
    seen.says("upgrade", &Value::Null, "paused");
    seen.says("connection", &yes(), "127.0.0.1:");
    assert_eq!(seen.wrong(), [""; 0]);
    assert_eq!(server.stats().connections, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_named_as_such() {
    let server = ScriptedServer::builder()
        .answer(|_, request| {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                request.accept_key()
            );
            Upgrade::AcceptBy(head.into_bytes())
        })
        .start()
        .await;
    let daemon = start(config(&server.url(), "json", "")).await;
    let (_daemon, seen) = blocking(move || {
        daemon.wait_for("connected");
        let seen = examine(&daemon);
        (daemon, seen)
    })
    .await;
    seen.says("clock", &no(), "ahead of the server's");
    assert_eq!(seen.wrong(), ["clock"], "known from the daemon's own upgrade");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_waits_for_a_person_is_a_problem() {
    let daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\n[outbox]\nmax_messages = 2\n");
    let mut client = daemon.client();
    send(&mut client, "a", &json!(1));
    let seen = examine(&daemon);
    seen.says("queue", &yes(), "1 message waiting");
    send(&mut client, "a", &json!(2));
    wait_for_status(&mut client, "two waiting", |status| status["outbox"]["queued"] == 2);
    let seen = examine(&daemon);
    seen.says("queue", &no(), "full");
}

#[test]
fn what_the_daemon_complains_of_is_part_of_it() {
    let daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\n");
    daemon.write_config("[server]\n");
    daemon.client().call("config.reload", &json!({})).expect_err("not valid");
    let seen = examine(&daemon);
    seen.says("health", &no(), "not in force");
}

#[test]
fn a_socket_whose_mode_was_loosened_is_told() {
    let daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\n");
    std::fs::set_permissions(daemon.socket_path(), std::fs::Permissions::from_mode(0o666)).unwrap();
    examine(&daemon).says("socket", &no(), "mode 0666");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_doctors_at_a_time_one_is_told_to_wait() {
    // The upgrade is never answered: the daemon's own try, and so the doctor, take their time.
    let server = ScriptedServer::builder().answer(|_, _| Upgrade::Silence).start().await;
    let with =
        config(&server.url(), "json", "").replace("[reconnect]", "connect_timeout = \"3s\"\n[reconnect]");
    let daemon = start(with).await;
    let answers = blocking(move || {
        let mut client = daemon.client();
        for id in [1, 2] {
            client.write_line(&json!({"jsonrpc": "2.0", "id": id, "method": "doctor"}).to_string());
        }
        [(); 2].map(|()| client.read_line().expect("an answer"))
    })
    .await;
    assert_eq!(answers[0]["error"]["data"]["kind"], "busy", "{answers:?}");
    let checks = answers[1]["result"]["checks"].as_array().expect("checks");
    let codes: Vec<&str> = checks.iter().map(|check| check["code"].as_str().expect("a word")).collect();
    assert_eq!(codes, CODES);
}

/// A proxy that opens the way to `server`, or answers with this status.
async fn proxy(server: SocketAddr, refuses: Option<u16>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut app, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(app.read_u8().await?);
                }
                if let Some(status) = refuses {
                    return app.write_all(format!("HTTP/1.1 {status} No\r\n\r\n").as_bytes()).await;
                }
                app.write_all(b"HTTP/1.1 200 Opened\r\n\r\n").await?;
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut app, &mut server).await.map(drop)
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_a_step_of_its_own() {
    let server = ScriptedServer::start().await;
    let daemon = Daemon::prepare("");
    let with = |proxy: SocketAddr| {
        let line = format!("proxy = \"http://{proxy}\"\n[reconnect]");
        config(&server.url(), "json", "").replace("[reconnect]", &line)
    };
    let open = proxy(server.address(), None).await;
    daemon.write_config(&with(open));
    let (daemon, seen) = examined(daemon).await;
    seen.says("connection", &yes(), &open.to_string());
    seen.says("proxy", &yes(), "opened the way");
    seen.says("upgrade", &yes(), "HTTP 101");

    daemon.write_config(&with(proxy(server.address(), Some(407)).await));
    let (_daemon, seen) = examined(daemon).await;
    seen.says("proxy", &no(), "wants a user name");
    assert_eq!(seen.wrong(), ["daemon", "proxy"]);
    seen.says("upgrade", &Value::Null, "not tried");
}
