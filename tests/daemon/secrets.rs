//! Secrets: a credential goes to the server it is for and nowhere else, whatever goes wrong.
//!
//! The server of these tests knows the credential and says it back wherever it can: in refusals, in
//! redirects, in close reasons, in frames. Afterwards everything the daemon left behind and everything
//! it answers is searched, for every spelling of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::canary::{Hunt, MARK, TOKEN, percent};
use crate::support::daemon::Daemon;
use crate::support::server::{Request, ScriptedServer, Upgrade};
use crate::support::tls::{Authority, Validity};
use crate::support::until_blocking;
use crate::{blocking, config};

/// All there is to see.
const LOUD: &str =
    "trace,tungstenite=trace,tokio_tungstenite=trace,rustls=trace,hyper=trace,mio=trace,notify=trace";
/// Less of it, down to nearly nothing.
const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// The ways a credential goes to the server, as they stand under `[auth]`.
const METHODS: [(&str, &str); 8] = [
    ("query", "method = \"query\"\nname = \"access_token\""),
    ("bearer", "method = \"header\""),
    ("header", "method = \"header\"\nname = \"X-Api-Key\""),
    ("basic", "method = \"basic\"\nusername = \"kim\""),
    ("cookie", "method = \"cookie\"\nname = \"sid\""),
    ("subprotocol", "method = \"subprotocol\""),
    ("message", "method = \"message\""),
    ("message, not waiting", "method = \"message\"\nreply = \"optional\"\nreply_timeout = \"100ms\""),
];

/// What the server says: the credential in the spellings it may have it in.
fn said() -> String {
    format!("no: {TOKEN} {} {} {}", percent(TOKEN, b""), percent(TOKEN, b"-._~"), STANDARD.encode(TOKEN))
}

/// Refuses in every way it knows, one connection after the other, and always says why.
fn answer(number: usize, request: &Request) -> Upgrade {
    let pair = request.header("Authorization").join(" ");
    let said = format!("{} {}", said(), pair.trim_start_matches("Basic "));
    let bytes = |text: String| Upgrade::Bytes(text.into_bytes());
    match number {
        1 => bytes(format!(
            "HTTP/1.1 401 Bad {said}\r\nWWW-Authenticate: Bearer error=\"{said}\"\r\nContent-Length: {}\r\n\r\n{said}",
            said.len()
        )),
        2 => Upgrade::refuse(403, &[("X-Why", &said)], &format!("{{\"error\":\"{said}\"}}")),
        3 => Upgrade::refuse(302, &[("Location", &format!("http://127.0.0.1:9/{TOKEN}?{said}#{TOKEN}"))], &said),
        4 => Upgrade::refuse(503, &[("Retry-After", &said)], &said),
        5 => Upgrade::refuse(400, &[], &format!("{}{said}", "x".repeat(230))),
        6 => bytes(format!("{said}\r\n\r\n")),
        7 => bytes(format!("HTTP/1.1 101 {said}\r\nUpgrade: {said}\r\n\r\n")),
        8 => Upgrade::AcceptBy(
            format!(
                "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {TOKEN}\r\n\r\n"
            )
            .into_bytes(),
        ),
        // Broken off in the middle.
        9 => bytes(format!("HTTP/1.1 401 {TOKEN}\r\nX-Why: {said}")),
        _ => {
            let offered = request.header("Sec-WebSocket-Protocol").join(", ");
            Upgrade::Accept(offered.split(", ").find(|name| name.contains("bearer")).map(str::to_owned))
        }
    }
}

/// What it says once connected: refused sign-in, errors, events, nonsense, binary, a close.
fn talk(peer: &crate::support::server::Peer, number: usize) {
    let said = said();
    match number % 3 {
        0 => peer.send(&json!({"type": "auth_error", "code": "bad", "message": said}).to_string()),
        1 => {
            peer.send(r#"{"type":"auth_ok"}"#);
            peer.send(&json!({"type": "error", "code": "bad", "message": said}).to_string());
            peer.send(&json!({"type": "note", "eventId": "1", "data": {"why": said, TOKEN: 1}}).to_string());
            peer.send(&format!("{said} is no JSON"));
            peer.send_message(Message::binary(said.clone().into_bytes()));
            peer.close(4_001, TOKEN);
        }
        _ => {
            peer.send(r#"{"type":"auth_ok"}"#);
            peer.send(&json!({"type": "note", "eventId": "2", "data": said}).to_string());
            // A text frame that is no UTF-8, and the credential in it.
            peer.send_raw([&[0x81, TOKEN.len() as u8 + 1, 0xff], TOKEN.as_bytes()].concat());
        }
    }
}

/// Where the credential comes from, as it stands under `[auth]`.
fn source(kind: &str, daemon: &mut Daemon) -> String {
    let token = daemon.write_private("token", &format!("  {TOKEN}\n"));
    match kind {
        "file" => format!("token_file = \"{}\"", token.display()),
        "env" => {
            daemon.set_variable("HL_TEST_TOKEN", TOKEN);
            "token_env = \"HL_TEST_TOKEN\"".into()
        }
        "command" => {
            // Leaves behind what it was given, for the hunt, and complains as such programs do.
            let script = "tr '\\0' '\\n' </proc/self/environ >environ.child; tr '\\0' '\\n' </proc/self/cmdline \
                          >cmdline.child; cat token; cat token >&2";
            let script = daemon.write_private("helper", script);
            format!("token_command = [\"/bin/sh\", \"{}\"]", script.display())
        }
        "credential" => {
            let folder = daemon.path("credentials");
            std::fs::create_dir(&folder).expect("works here");
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("works here");
            daemon.write_private("credentials/token", TOKEN);
            daemon.set_variable("CREDENTIALS_DIRECTORY", &folder.display().to_string());
            "token_credential = \"token\"".into()
        }
        other => panic!("no source is called {other}"),
    }
}

/// Everything the daemon answers.
fn replies(daemon: &Daemon) -> String {
    let mut client = daemon.client();
    let mut all = String::new();
    let discovered = client.call("rpc.discover", &json!({})).expect("the document");
    let given = |method: &str| match method {
        "hello" => json!({"client": {"name": "t"}}),
        "events.list" | "events.subscribe" => json!({"from": "earliest"}),
        "state.list" => json!({"type": "note"}),
        "state.get" => json!({"type": "note", "key": ""}),
        "messages.get" => json!({"id": "none"}),
        _ => json!({}),
    };
    let reading = |method: &str| {
        !["stop", "send", "request", "cancel", "retry", "drop", "delete", "ack", "pause", "mute", "reload"]
            .iter()
            .any(|word| method.ends_with(word))
    };
    let methods = discovered["methods"].as_array().expect("methods").clone();
    for method in methods.iter().filter_map(|method| method["name"].as_str()).filter(|name| reading(name)) {
        let reply = client.call(method, &given(method)).unwrap_or_else(|error| error);
        all.push_str(&format!("{method}: {reply}\n"));
    }
    assert!(methods.len() > 20 && all.contains("quarantine.list: {\"entries\":["), "{all}");
    all
}

/// Everything the command line prints.
fn printed(daemon: &Daemon) -> String {
    let mut all = String::new();
    for arguments in [
        &["status", "--why"][..],
        &["why"],
        &["events", "--from", "earliest"],
        &["messages", "list"],
        &["quarantine", "list"],
        &["cursors", "list"],
        &["metrics"],
        &["doctor"],
        &["reload"],
    ] {
        for before in [&["ctl"][..], &["ctl", "--json"]] {
            let output = daemon.command(before).args(arguments).output().expect("works here");
            all.push_str(&String::from_utf8_lossy(&output.stdout));
            all.push_str(&String::from_utf8_lossy(&output.stderr));
        }
    }
    for arguments in
        [&["config", "show", "--origin"][..], &["config", "check"], &["config", "show", "--json"]]
    {
        let output = daemon.command(arguments).output().expect("works here");
        all.push_str(&String::from_utf8_lossy(&output.stdout));
        all.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    all
}

/// Files that hold the credential because a person put it there.
const PUT_THERE: [&str; 5] = ["token", "credentials", "config.toml", "helper", "ca.pem"];

fn hunt(daemon: &Daemon, replies: &str) -> Hunt {
    let mut hunt = Hunt::new();
    hunt.through("replies", replies.as_bytes());
    hunt.through_folder(daemon.path("").as_path(), &PUT_THERE);
    let of_process = |name: &str| std::fs::read(format!("/proc/{}/{name}", daemon.pid())).unwrap_or_default();
    hunt.through("arguments", &of_process("cmdline"));
    hunt
}

/// Takes the daemon through all of it once, and searches.
async fn one_life(kind: &'static str, method: (&'static str, &'static str), level: &'static str, all: bool) {
    let server = Arc::new(ScriptedServer::builder().answer(answer).start().await);
    let url = server.url();
    let text = format!("{kind} by {} at {level}", method.0);
    let daemon = blocking(move || {
        let mut daemon = Daemon::prepare("");
        let from = source(kind, &mut daemon);
        let prom = daemon.path("holdline.prom");
        let format = if level == LOUD { "json" } else { "text" };
        daemon.write_config(&config(
            &format!("{url}?fixed={TOKEN}"),
            "holdline",
            &format!(
                "[server.headers]\nX-Secret = \"{TOKEN}\"\n[auth]\n{}\n{from}\n[log]\nlevel = \"{level}\"\nformat = \"{format}\"\n\
                 [metrics]\ntextfile = \"{}\"",
                method.1,
                prom.display()
            ),
        ));
        daemon.restart();
        daemon
    })
    .await;
    // Each refusal in turn, however long the daemon would rather wait.
    let served = Arc::clone(&server);
    let serving = tokio::spawn(async move {
        for number in 0..7 {
            let peer = served.accept().await;
            talk(&peer, number);
            drop(peer);
        }
    });
    let daemon = blocking(move || {
        let mut client = daemon.client();
        until_blocking(&format!("the server to have said everything to {text}"), || {
            if serving.is_finished() {
                return Some(());
            }
            let link = client.call("status", &json!({})).expect("an answer")["link"].take();
            if !link["next_retry_at"].is_null() {
                client.call("link.reconnect", &json!({})).expect("it is not paused");
            }
            None
        });
        daemon
    })
    .await;
    let text = format!("{kind} by {}", method.0);
    blocking(move || {
        let sent = server.requests().iter().filter(|request| format!("{request:?}").contains(MARK)).count();
        assert!(sent >= 15, "the credential was sent with every request: {sent}");
        // A reload that is refused quotes the line that is wrong.
        let good = std::fs::read_to_string(daemon.config_path()).expect("works here");
        daemon.write_config(&good.replace("X-Secret =", "X-Secret = 5 #").replace("[auth]", "[autth]"));
        let refused = daemon.client().call("config.reload", &json!({})).expect_err("refused");
        daemon.write_config(&good);
        let mut said = format!("{refused}\n{}", replies(&daemon));
        if all {
            said.push_str(&printed(&daemon));
        }
        let mut hunt = hunt(&daemon, &said);
        hunt.found_nothing();
        assert!(said.contains("***"), "what the server said is shown without it: {text}");
        if kind == "command" {
            let child = std::fs::read_to_string(daemon.path("environ.child")).expect("the program ran");
            assert!(child.contains("HOME="), "{child}");
        }
        // The hunt would have found it: an app says it, and it is in the database.
        daemon
            .client()
            .call("messages.send", &json!({"type": "x", "data": STANDARD.encode(TOKEN)}))
            .expect("stored");
        hunt.through_folder(daemon.path("state").as_path(), &PUT_THERE);
        assert!(hunt.hits.iter().any(|hit| hit.contains("base64")), "{:?}", hunt.hits);
    })
    .await;
}

async fn all_methods(kind: &'static str) {
    for (number, method) in METHODS.into_iter().enumerate() {
        // The loudest log shows all that others could; those are for the formats and the filters.
        let level = if kind == "file" || number % 2 == 0 { LOUD } else { LEVELS[number % LEVELS.len()] };
        one_life(kind, method, level, kind == "file" && number % 3 == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_token_from_a_file_is_found_nowhere() {
    all_methods("file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_token_from_a_variable_is_found_nowhere() {
    all_methods("env").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_token_from_a_command_is_found_nowhere() {
    all_methods("command").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_token_from_the_service_manager_is_found_nowhere() {
    all_methods("credential").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_the_password_of_a_proxy_is_found_nowhere() {
    let proxy = ScriptedServer::builder()
        .answer(|_, _| Upgrade::refuse(407, &[("Proxy-Authenticate", &said())], &said()))
        .start()
        .await;
    let address = proxy.address();
    blocking(move || {
        let proxy_key = format!("proxy = \"http://kim:{}@{address}\"\n[reconnect]", percent(TOKEN, b""));
        let config = config("wss://server.example/", "json", &format!("[log]\nlevel = \"{LOUD}\""));
        let daemon = Daemon::start(&config.replace("[reconnect]", &proxy_key));
        let mut client = daemon.client();
        until_blocking("the proxy to refuse", || {
            let status = client.call("status", &json!({})).expect("an answer");
            let kind = status["link"]["reason"]["kind"].as_str().unwrap_or_default().to_owned();
            kind.starts_with("proxy_").then_some(())
        });
        let said = replies(&daemon) + &printed(&daemon);
        hunt(&daemon, &said).found_nothing();
        let asked = format!("{:?}", proxy.requests());
        assert!(asked.contains(&STANDARD.encode(format!("kim:{TOKEN}"))), "the proxy was given it: {asked}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_token_goes_to_no_server_that_cannot_prove_its_name() {
    let (trusted, stranger) = (Arc::new(Authority::new()), Authority::named("Stranger"));
    let wrong = [
        stranger.issue("localhost", Validity::Now),
        trusted.issue("elsewhere.example", Validity::Now),
        trusted.issue("localhost", Validity::Over),
    ];
    for identity in wrong {
        let server = ScriptedServer::builder().tls(identity.acceptor()).start().await;
        let url = server.url();
        let trusted = Arc::clone(&trusted);
        blocking(move || {
            let mut daemon = Daemon::prepare("");
            let from = source("file", &mut daemon);
            let ca = daemon.path("ca.pem");
            trusted.write_to(&ca);
            daemon.write_config(&config(
                &url,
                "json",
                &format!(
                    "[server.tls]\nca_file = \"{}\"\n[auth]\nmethod = \"query\"\n{from}\n[log]\nlevel = \"{LOUD}\"",
                    ca.display()
                ),
            ));
            daemon.restart();
            let mut client = daemon.client();
            let reason = until_blocking("the certificate to be refused", || {
                let status = client.call("status", &json!({})).expect("an answer");
                let kind = status["link"]["reason"]["kind"].as_str().unwrap_or_default().to_owned();
                kind.starts_with("tls_").then_some(kind)
            });
            let said = replies(&daemon);
            hunt(&daemon, &said).found_nothing();
            assert!(server.requests().is_empty(), "with {reason}");
        })
        .await;
    }
}

#[test]
fn programs_that_are_started_do_not_get_the_variable_of_a_token() {
    let mut daemon = Daemon::prepare("");
    let from_command = source("command", &mut daemon);
    let from_variable = source("env", &mut daemon);
    let to = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"100ms\"]\n[auth]\nmethod = \"header\"\n";
    daemon.write_config(&format!("{to}{from_variable}\n"));
    daemon.restart();
    daemon.write_config(&format!("{to}{from_command}\n"));
    daemon.client().call("config.reload", &json!({})).expect("reloaded");
    let child =
        until_blocking("the program to run", || std::fs::read_to_string(daemon.path("environ.child")).ok());
    let child = until_blocking("its environment", || {
        let child = if child.is_empty() {
            std::fs::read_to_string(daemon.path("environ.child")).ok()?
        } else {
            child.clone()
        };
        (!child.is_empty()).then_some(child)
    });
    assert!(child.contains("HOME=") && !child.contains("HL_TEST_TOKEN") && !child.contains(MARK), "{child}");
}

#[test]
fn files_are_ours_alone_whatever_the_mask_was() {
    let mut daemon = Daemon::prepare("");
    daemon.write_config(&format!(
        "[server]\nurl = \"ws://127.0.0.1:9/\"\n[metrics]\ntextfile = \"{}\"\n",
        daemon.path("holdline.prom").display()
    ));
    daemon.spawn_under(&["sh", "-c", "umask 0; exec \"$@\"", "sh"]);
    let mut client =
        until_blocking("the daemon to serve", || daemon.socket_path().exists().then(|| daemon.client()));
    client.call("messages.send", &json!({"type": "x", "data": 1})).expect("stored");
    until_blocking("the metrics", || daemon.path("holdline.prom").exists().then_some(()));
    let mut seen = 0;
    for folder in ["state/holdline", "runtime/holdline"] {
        assert_eq!(mode(&daemon.path(folder)), 0o700, "{folder}");
        for entry in std::fs::read_dir(daemon.path(folder)).expect("works here").flatten() {
            assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen >= 5, "database, WAL, index, lock and socket: {seen}");
    assert_eq!(mode(&daemon.path("holdline.prom")), 0o644, "this one is for others");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("works here").permissions().mode() & 0o777
}

#[test]
fn no_method_takes_a_url_a_path_a_command_or_a_header() {
    let daemon = Daemon::start("[server]\nurl = \"ws://127.0.0.1:9/\"\n");
    let document = daemon.client().call("rpc.discover", &json!({})).expect("the document");
    let mut names = Vec::new();
    for method in document["methods"].as_array().expect("methods") {
        for parameter in method["params"].as_array().expect("params") {
            names.push(parameter["name"].as_str().unwrap_or_default().to_owned());
            collect_names(&parameter["schema"], &mut names);
        }
    }
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        let lower = name.to_lowercase();
        let of_the_server = ["url", "uri", "path", "file", "command", "argv", "header", "host", "proxy"];
        assert!(!of_the_server.iter().any(|word| lower.contains(word)), "{name}");
    }
}

fn collect_names(schema: &Value, names: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, inner) in properties {
            names.push(name.clone());
            collect_names(inner, names);
        }
    }
}
