//! A reload of the real program: applied as a whole or not at all, and true to what it answers.
//!
//! Long for its table of all keys, which is to be read beside what is done with them.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use holdline::dev_server::{Control, DevServer, Options};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::support::server::{ScriptedServer, Upgrade};
use crate::support::tls::Authority;
use crate::{SOON, blocking, config, send, server, start, support, wait_for_status};

/// A daemon that has nobody to talk to and seldom tries.
const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"10m\"]\n";

/// Reloads; it must be in order.
fn reload(daemon: &Daemon, config: &str) -> Value {
    daemon.write_config(config);
    daemon.client().call("config.reload", &json!({})).expect("it is in order")
}

/// Reloads by the command line; gives exit code, output and complaint.
fn ctl_reload(daemon: &Daemon) -> (Option<i32>, String, String) {
    let output = daemon.ctl(&["reload"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn health(client: &mut Client, code: &str) -> Option<Value> {
    let status = client.call("status", &json!({})).expect("an answer");
    status["health"].as_array().expect("a list").iter().find(|entry| entry["code"] == code).cloned()
}

fn kind(outcome: Result<Value, Value>) -> String {
    outcome.expect_err("refused")["data"]["kind"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_waits_for_a_restart_is_told_until_it_is_taken_back_or_in_force() {
    let mut daemon = Daemon::start(NOBODY);
    let mut client = daemon.client();
    let none = reload(&daemon, NOBODY);
    assert_eq!(none, json!({"changed": [], "reconnect": false, "needs_restart": []}));

    let more = format!("{NOBODY}[ipc]\nmax_clients = 7\n[store]\ndurability = \"normal\"\n");
    daemon.write_config(&more);
    let (code, out, _) = ctl_reload(&daemon);
    assert_eq!(code, Some(0));
    let said = "Changed: ipc.max_clients, store.durability.\n\
                Only after a restart: ipc.max_clients, store.durability.\n";
    assert_eq!(out, said);
    let again = reload(&daemon, &more);
    assert_eq!(again["changed"], json!([]));
    assert_eq!(again["needs_restart"], json!(["ipc.max_clients", "store.durability"]), "it waits still");
    let entry = health(&mut client, "restart_needed").expect("told");
    assert_eq!(entry["severity"], "info");
    assert!(entry["text"].to_string().contains("ipc.max_clients, store.durability"), "{entry}");
    let receipt = client.call("messages.send", &json!({"type": "t", "data": 1})).expect("a receipt");
    assert_eq!(receipt["durability"], "full", "what it is worth is settled by the start");

    let back = reload(&daemon, NOBODY);
    assert_eq!(
        (&back["changed"], &back["needs_restart"]),
        (&json!(["ipc.max_clients", "store.durability"]), &json!([]))
    );
    assert!(health(&mut client, "restart_needed").is_none());

    daemon.write_config(&more);
    daemon.restart();
    assert_eq!(reload(&daemon, &more)["needs_restart"], json!([]), "in force now");
    let receipt = daemon.client().call("messages.send", &json!({"type": "t", "data": 1})).expect("a receipt");
    assert_eq!(receipt["durability"], "normal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_changes_nothing_and_is_told_with_its_place() {
    let server = server().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    let url = server.url();
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        let good = config(&url, "json", "");
        let loose = daemon.write_private("loose", "secret");
        std::fs::set_permissions(&loose, std::fs::Permissions::from_mode(0o644)).expect("our own file");
        let broken = daemon.write_private("broken.toml", "dialect = 1\nin = [{ as = \"nothing\" }]\n");
        let garbage = daemon.write_private("garbage.pem", "no certificate");
        let tls = |file: &str| {
            good.replace("[reconnect]", &format!("tls = {{ ca_file = \"{file}\" }}\n[reconnect]"))
        };
        let cases = [
            ("no TOML", "[server\n".to_owned(), 78, "config.toml:1:8", "^"),
            ("an unknown key", format!("{good}[reconect]\n"), 78, "did you mean `reconnect`?", "^^^^^^^^"),
            ("no such dialect", good.replace("json", "jsn"), 78, "did you mean `json`?", "^^^^^"),
            ("a missing dialect file", good.replace("json", "gone.toml"), 78, "there is no file", "^"),
            (
                "a broken dialect file",
                good.replace("json", &broken.display().to_string()),
                78,
                "broken.toml:2",
                "^",
            ),
            ("a missing authority", tls("gone.pem"), 78, "there is no file", "^"),
            (
                "an authority that is none",
                tls(&garbage.display().to_string()).replace("ws://", "wss://"),
                78,
                "garbage.pem",
                "config.toml",
            ),
            (
                "a loose token file",
                format!("{good}[auth]\ntoken_file = \"{}\"\n", loose.display()),
                77,
                "loose",
                "-->",
            ),
            (
                "another machine in the clear",
                good.replace("127.0.0.1", "192.0.2.1"),
                78,
                "allow_plaintext",
                "^",
            ),
        ];
        let mut client = daemon.client();
        for (what, text, exit, place, mark) in &cases {
            daemon.write_config(text);
            let (code, out, err) = ctl_reload(&daemon);
            assert_eq!((code, out.as_str()), (Some(*exit), ""), "{what}: {err}");
            assert!(err.contains(place) && err.contains(mark) && err.lines().count() > 2, "{what}:\n{err}");
            assert!(err.contains("the one before stays in force"), "{what}:\n{err}");
            let entry = health(&mut client, "config_rejected").unwrap_or_else(|| panic!("{what}: not told"));
            assert_eq!(entry["severity"], "warning");
            assert!(!entry["text"].to_string().contains("\\n"), "{what}: one line: {entry}");
            let status = client.call("status", &json!({})).expect("an answer");
            assert_eq!(
                (&status["link"]["state"], &status["link"]["reconnects"]),
                (&json!("connected"), &json!(0)),
                "{what}"
            );
            let sent = client.call("messages.send", &json!({"type": "t", "data": {}, "wait": "accepted"}));
            assert_eq!(sent.expect("delivered")["state"], "accepted", "{what}");
        }
        let shown = client.call("config.show", &json!({})).expect("shown");
        assert!(shown.to_string().contains(&url), "{shown}");
        assert_eq!(daemon.ctl(&["status", "--check"]).status.code(), Some(4), "somebody should look");
        reload(&daemon, &good);
        assert!(health(&mut client, "config_rejected").is_none());
        assert_eq!(daemon.ctl(&["status", "--check"]).status.code(), Some(0));
        daemon
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[test]
fn limits_types_and_lanes_hold_from_the_answer_on_and_what_is_queued_keeps_its_stamp() {
    let daemon = Daemon::start(&format!("{NOBODY}[types.\"pos\"]\nlane = \"old\"\n"));
    let mut client = daemon.client();
    let before = send(&mut client, "pos", &json!({"car": "a"}));
    let typing = json!({"type": "typing", "data": {}});
    let told = reload(
        &daemon,
        &format!(
            "{NOBODY}[outbox]\nmax_messages = 3\nkeep_finished = 5\nkeep_finished_age = \"1h\"\nconfirm = \"sent\"\n\
             [types.\"pos\"]\ndelivery = \"latest\"\nkey = \"/car\"\nlane = \"new\"\nttl = \"1h\"\n\
             [types.\"typing\"]\ndelivery = \"ephemeral\"\n"
        ),
    );
    assert_eq!((&told["reconnect"], &told["needs_restart"]), (&json!(false), &json!([])));
    let message = client.call("messages.get", &json!({"id": before})).expect("kept");
    assert_eq!((&message["lane"], &message["delivery"]), (&json!("old"), &json!("durable")));
    assert_eq!(kind(client.call("messages.send", &json!({"type": "pos", "data": {}}))), "no_key");
    let after = send(&mut client, "pos", &json!({"car": "a"}));
    let message = client.call("messages.get", &json!({"id": after})).expect("kept");
    assert_eq!(
        (&message["lane"], &message["delivery"], &message["key"]),
        (&json!("new"), &json!("latest"), &json!("a"))
    );
    assert!(message["expires_at"].is_string(), "{message}");
    assert_eq!(client.call("messages.send", &typing).expect("no error")["state"], "dropped");
    let never = json!({"type": "x", "data": {}, "wait": "accepted"});
    assert_eq!(kind(client.call("messages.send", &never)), "unsupported", "`sent` is as far as it gets");
    send(&mut client, "x", &json!({}));
    assert_eq!(kind(client.call("messages.send", &json!({"type": "x", "data": {}}))), "queue_full");
    let status = client.call("status", &json!({})).expect("an answer");
    assert_eq!(status["outbox"]["limit_messages"], 3);
    let limits = client.call("hello", &json!({"client": {"name": "t"}})).expect("hello")["limits"].take();
    assert_eq!((&limits["keep_finished"], &limits["keep_finished_age_ms"]), (&json!(5), &json!(3_600_000)));

    let told = reload(&daemon, &format!("{NOBODY}[outbox]\nmax_messages = 3\noverflow = \"drop_oldest\"\n"));
    assert_eq!(told["reconnect"], false);
    send(&mut client, "x", &json!({}));
    let message = client.call("messages.get", &json!({"id": before})).expect("kept");
    assert_eq!(message["state"], "dropped", "the oldest one made room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_events_shrinks_with_the_reload() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    server.control(Control::Push { kind: "tick".into(), data: None, count: 200, ephemeral: false });
    let url = server.url();
    let daemon = blocking(move || {
        let mut client = daemon.client();
        wait_for_status(&mut client, "all events", |status| status["inbox"]["events"] == 200);
        let told = reload(&daemon, &config(&url, "holdline", "[inbox]\nmax_events = 10\n"));
        assert_eq!(told["changed"], json!(["inbox.max_events"]));
        let status = wait_for_status(&mut client, "fewer events", |status| status["inbox"]["events"] == 10);
        assert_eq!(status["link"]["reconnects"], 0, "the link stood through it: {status}");
        daemon
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_heartbeat_holds_for_the_link_that_stands() {
    let server = server().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    let url = server.url();
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        let beat = "[heartbeat]\ninterval = \"100ms\"\ntimeout = \"200ms\"\n";
        let told = reload(&daemon, &config(&url, "json", beat));
        assert_eq!(told["changed"], json!(["heartbeat.interval", "heartbeat.timeout"]));
        daemon
    })
    .await;
    server.control(Control::Silent { ms: None });
    let daemon = blocking(move || {
        let mut client = daemon.client();
        // With 20 s and 10 s it would not be noticed before half a minute has passed.
        let status =
            wait_for_status(&mut client, "the dead link", |status| status["link"]["state"] != "connected");
        assert_eq!(status["link"]["reason"]["kind"], "heartbeat_timeout", "{status}");
        daemon
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shorter_delays_shorten_the_wait_that_runs() {
    let server = server().await;
    let slow = |url: &str| config(url, "json", "").replace("[\"100ms\", \"200ms\"]", "[\"10m\"]");
    server.go_down().await;
    let daemon = start(slow(&server.url())).await;
    let url = server.url();
    let daemon = blocking(move || {
        let mut client = daemon.client();
        wait_for_status(&mut client, "the long wait", |status| status["link"]["next_retry_at"].is_string());
        (daemon, url)
    })
    .await;
    server.come_back().await.expect("listens again");
    let daemon = blocking(move || {
        let (daemon, url) = daemon;
        let told = reload(&daemon, &config(&url, "json", ""));
        assert_eq!((&told["changed"], &told["reconnect"]), (&json!(["reconnect.delays"]), &json!(false)));
        daemon.wait_for("connected");
        daemon
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[test]
fn another_log_level_holds_from_the_next_line_on() {
    let daemon = Daemon::start(NOBODY);
    let dials = |log: &str| log.matches("dialling").count();
    assert_eq!(dials(&daemon.log()), 0);
    let told = reload(&daemon, &format!("{NOBODY}[log]\nlevel = \"debug\"\n"));
    assert_eq!((&told["changed"], &told["needs_restart"]), (&json!(["log.level"]), &json!([])));
    daemon.client().call("link.reconnect", &json!({})).expect("dials");
    support::until_blocking("a line that says more", || (dials(&daemon.log()) > 0).then_some(()));
    reload(&daemon, &format!("{NOBODY}[log]\nlevel = \"error\"\n"));
    let before = daemon.log();
    daemon.client().call("link.reconnect", &json!({})).expect("dials");
    // The next line there is, is one of a reload that is refused.
    daemon.write_config("[server\n");
    assert_ne!(ctl_reload(&daemon).0, Some(0));
    let log = support::until_blocking("the error's line", || {
        let log = daemon.log();
        log[before.len()..].contains("was not reloaded").then_some(log)
    });
    assert_eq!(log[before.len()..].lines().count(), 1, "nothing below an error: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_the_configuration_names_are_part_of_it() {
    let server = server().await;
    let url = server.url();
    let work = move || {
        let mut daemon = Daemon::prepare("");
        let dialect = |kind: &str| {
            format!(
                "dialect = 1\nin = [{{ as = \"event\", type = \"{kind}\" }}]\nout = [{{ frame = {{ type = \"$type\" }}, confirm = \"sent\" }}]\n"
            )
        };
        let authority = daemon.path("ca.pem");
        Authority::named("one").write_to(&authority);
        daemon.write_private("config/holdline/mine.toml", &dialect("before"));
        let text = config(&url, "mine.toml", "").replace(
            "[reconnect]",
            &format!("tls = {{ ca_file = \"{}\" }}\n[reconnect]", authority.display()),
        );
        daemon.write_config(&text);
        daemon.restart();
        daemon.wait_for("connected");
        assert_eq!(reload(&daemon, &text)["changed"], json!([]), "the same files");

        Authority::named("two").write_to(&authority);
        let told = reload(&daemon, &text);
        assert_eq!((&told["changed"], &told["reconnect"]), (&json!(["server.tls.ca_file"]), &json!(true)));
        assert_eq!(reload(&daemon, &text)["changed"], json!([]), "once");

        let typed = format!("{text}[types.\"x\"]\nschema = \"x.json\"\n");
        daemon.write_private("config/holdline/x.json", r#"{"type":"object"}"#);
        reload(&daemon, &typed);
        daemon.write_private("config/holdline/x.json", r#"{"type":"array"}"#);
        let told = reload(&daemon, &typed);
        assert_eq!((&told["changed"], &told["reconnect"]), (&json!(["types.x.schema"]), &json!(false)));
        reload(&daemon, &text);

        daemon.write_private("config/holdline/mine.toml", &dialect("after"));
        let told = reload(&daemon, &text);
        assert_eq!((&told["changed"], &told["reconnect"]), (&json!(["server.dialect"]), &json!(true)));
        daemon.wait_for("connected");
        let mut client = daemon.client();
        wait_for_status(&mut client, "the new links", |status| status["link"]["reconnects"] == 2);
        client.call("events.subscribe", &json!({"from": "now"})).expect("subscribed");
        (daemon, client)
    };
    let (daemon, mut client) = blocking(work).await;
    server.control(Control::Push { kind: "x".into(), data: None, count: 1, ephemeral: false });
    blocking(move || {
        loop {
            let note = client.notification();
            if note["method"] == "event" {
                assert_eq!(note["params"]["event"]["type"], "after", "read by the new dialect: {note}");
                break;
            }
        }
    })
    .await;
    drop(daemon);
    server.stop().await;
}

/// Messages that arrived, in order of their first arrival: id and number.
fn arrived(server: &DevServer) -> Vec<(String, i64)> {
    let numbered =
        |message: holdline::dev_server::Received| Some((message.id.clone()?, message.data()["n"].as_i64()?));
    server.received().into_iter().filter_map(numbered).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_gets_what_was_queued_and_on_the_wire_in_order_and_with_the_same_ids() {
    const MANY: i64 = 3_000;
    let (old, new) = (server().await, server().await);
    old.control(Control::WithholdAcks { times: None });
    let daemon = start(config(&old.url(), "holdline", "")).await;
    let (daemon, ids) = blocking(move || {
        daemon.wait_for("connected");
        let mut client = daemon.client();
        let ids: Vec<String> = (0..MANY).map(|n| send(&mut client, "kept", &json!({"n": n}))).collect();
        wait_for_status(&mut client, "a full window", |status| status["outbox"]["in_flight"] == 256);
        (daemon, ids)
    })
    .await;
    let url = new.url();
    let daemon = blocking(move || {
        daemon.write_config(&config(&url, "holdline", ""));
        let (code, out, err) = ctl_reload(&daemon);
        assert_eq!(
            (code, out.as_str()),
            (Some(0), "Changed: server.url.\nThe link is dialled anew for it.\n"),
            "{err}"
        );
        let mut client = daemon.client();
        let status = wait_for_status(&mut client, "an empty queue", |status| {
            status["outbox"]["queued"] == 0 && status["outbox"]["in_flight"] == 0
        });
        assert_eq!(
            status["link"]["url"].as_str().map(|it| it.trim_end_matches('/')),
            Some(url.trim_end_matches('/'))
        );
        daemon
    })
    .await;
    let expected: Vec<(String, i64)> = ids.into_iter().zip(0..).collect();
    assert!(arrived(&new) == expected, "each once, in order, with its id");
    assert_eq!(arrived(&old), expected[..256], "the old server had the window of them");
    drop(daemon);
    old.stop().await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_link_stays_paused_and_goes_to_the_new_server_when_it_is_resumed() {
    let (old, new) = (server().await, server().await);
    let daemon = start(config(&old.url(), "holdline", "")).await;
    let url = new.url();
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        let mut client = daemon.client();
        client.call("link.pause", &json!({})).expect("paused");
        assert_eq!(reload(&daemon, &config(&url, "json", ""))["reconnect"], true);
        // A second one that only moves a limit must not lose the first, nor bring old limits back.
        let limited = config(&url, "json", "[outbox]\nmax_messages = 2\n");
        assert_eq!(reload(&daemon, &limited)["changed"], json!(["outbox.max_messages"]));
        let status = client.call("status", &json!({})).expect("an answer");
        assert_eq!(status["link"]["state"], "paused");
        for n in 0..2 {
            send(&mut client, "kept", &json!({"n": n}));
        }
        client.call("link.resume", &json!({})).expect("resumed");
        let status = wait_for_status(&mut client, "the new link", |status| {
            status["link"]["state"] == "connected" && status["outbox"]["queued"] == 0
        });
        assert_eq!(status["link"]["dialect"], "json", "{status}");
        client.call("link.pause", &json!({})).expect("paused");
        wait_for_status(&mut client, "nothing on the wire", |status| status["outbox"]["in_flight"] == 0);
        (0..2).for_each(|n| drop(send(&mut client, "kept", &json!({"n": 2 + n}))));
        assert_eq!(kind(client.call("messages.send", &json!({"type": "x", "data": {}}))), "queue_full");
        daemon
    })
    .await;
    assert_eq!(arrived(&new).len(), 2);
    assert_eq!(old.stats().received, 0);
    drop(daemon);
    old.stop().await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_that_hangs_is_given_up_for_the_new_server() {
    let hangs = ScriptedServer::builder().answer(|_, _| Upgrade::Silence).start().await;
    let new = server().await;
    let text =
        config(&hangs.url(), "json", "").replace("[reconnect]", "connect_timeout = \"10m\"\n[reconnect]");
    let daemon = start(text).await;
    support::until("the dial that hangs", || (hangs.connections() == 1).then_some(())).await;
    let url = new.url();
    let daemon = blocking(move || {
        assert_eq!(reload(&daemon, &config(&url, "json", ""))["reconnect"], true);
        daemon.wait_for("connected");
        daemon
    })
    .await;
    assert_eq!(new.stats().connected, 1);
    drop(daemon);
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_a_person_can_help_a_reload_tries_again_even_if_nothing_changed() {
    for (status, state) in [(401, "unauthorized"), (404, "misconfigured")] {
        let refuse = Control::RefuseUpgrade { status, retry_after: None, times: 1_000 };
        let options = Options { faults: vec![refuse], ..Options::default() };
        let server = DevServer::start(options).await.expect("a server");
        let slow = config(&server.url(), "json", "").replace("[\"100ms\", \"200ms\"]", "[\"1h\"]");
        let daemon = start(slow.clone()).await;
        let daemon = blocking(move || {
            daemon.wait_for(state);
            let mut client = daemon.client();
            wait_for_status(&mut client, "a long wait", |status| {
                let next: Option<&str> = status["link"]["next_retry_at"].as_str();
                let since: Option<&str> = status["link"]["since"].as_str();
                next > since && status["link"]["attempt"].as_u64() >= Some(2)
            });
            daemon
        })
        .await;
        server.control(Control::Clear {});
        let daemon = blocking(move || {
            let told = reload(&daemon, &slow);
            assert_eq!((&told["changed"], &told["reconnect"]), (&json!([]), &json!(false)));
            daemon.wait_for("connected");
            daemon
        })
        .await;
        drop(daemon);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_at_the_same_time_come_one_after_the_other_and_the_last_file_holds() {
    let (one, two) = (server().await, server().await);
    let daemon = start(config(&one.url(), "holdline", "")).await;
    let urls = [one.url(), two.url()];
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        let mut clients: Vec<Client> = (0..10).map(|_| daemon.client()).collect();
        for round in 0..4 {
            daemon.write_config(&config(&urls[1 - round % 2], "holdline", ""));
            for (id, client) in clients.iter_mut().enumerate() {
                client
                    .write_line(&json!({"jsonrpc": "2.0", "id": id, "method": "config.reload"}).to_string());
            }
            daemon.signal(Signal::HUP);
            let answers: Vec<Value> =
                clients.iter_mut().map(|client| client.read_line().expect("an answer")).collect();
            assert!(answers.iter().all(|answer| answer["result"].is_object()), "{answers:?}");
            let changes = answers.iter().filter(|answer| answer["result"]["reconnect"] == true).count();
            assert!(changes <= 1, "one of them found the change: {answers:?}");
        }
        let id = send(&mut clients[0], "last", &json!({"n": 1}));
        let mut client = daemon.client();
        wait_for_status(&mut client, "delivery", |status| status["outbox"]["confirmed_total"] == 1);
        (daemon, id)
    })
    .await;
    let (daemon, id) = daemon;
    assert_eq!(arrived(&one), [(id, 1)], "the last file names the first server");
    drop(daemon);
    one.stop().await;
    two.stop().await;
}

#[test]
fn the_service_manager_is_told_that_a_reload_begins_and_that_it_is_over() {
    let mut daemon = Daemon::prepare(NOBODY);
    let path = daemon.path("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(SOON)).expect("a deadline");
    daemon.set_variable("NOTIFY_SOCKET", &path.display().to_string());
    let next = |word: &str| {
        let mut bytes = [0; 4096];
        loop {
            let length = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("no {word}: {error}"));
            let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if said.lines().any(|line| line == word) {
                return said;
            }
        }
    };
    daemon.restart();
    next("READY=1");
    for text in [NOBODY, "[server\n"] {
        daemon.write_config(text);
        daemon.signal(Signal::HUP);
        let said = next("RELOADING=1");
        let begun = said.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(begun.is_some_and(|at| at.parse::<u64>().is_ok_and(|at| at > 0)), "in one note: {said}");
        next("READY=1");
    }
    assert!(health(&mut daemon.client(), "config_rejected").is_some(), "a signal has nobody to answer");
    assert!(Path::new(&path).exists());
}
