//! Starts and ends: one daemon per profile, bad configurations, kills, signals, other users.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::json;

use crate::support::daemon::Daemon;
use crate::{blocking, config, send, server, start};

const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n";

#[test]
fn a_second_daemon_ends_with_75_and_leaves_the_first_alone() {
    let daemon = Daemon::start(NOBODY);
    let second =
        daemon.command(&["run", "--config"]).arg(daemon.config_path()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&daemon.pid().to_string()), "it names the other's pid: {said}");
    assert_eq!(
        daemon.client().call("hello", &json!({"client":{"name":"t"}})).expect("serves")["protocol"],
        1
    );
}

#[test]
fn p13_a_bad_configuration_ends_with_78_before_anything_is_touched() {
    let mut daemon = Daemon::prepare("[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconect]\n");
    daemon.spawn();
    let status = daemon.wait_for_end();
    assert_eq!(status.code(), Some(78));
    let log = daemon.log();
    assert!(log.contains("config.toml:3:2") && log.contains("did you mean `reconnect`?"), "{log}");
    assert!(!daemon.database_path().exists() && !daemon.socket_path().exists());
}

#[test]
fn a_token_file_that_others_can_read_ends_with_77() {
    let mut daemon = Daemon::prepare("");
    let token = daemon.write_private("token", "canary-7431");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    daemon.write_config(&format!("{NOBODY}[auth]\ntoken_file = \"{}\"\n", token.display()));
    daemon.spawn();
    assert_eq!(daemon.wait_for_end().code(), Some(77), "{}", daemon.log());
    assert!(!daemon.log().contains("canary-7431"));
}

#[test]
fn sigterm_ends_in_order_and_the_next_start_has_everything() {
    let mut daemon = Daemon::start(NOBODY);
    let mut client = daemon.client();
    let ids: Vec<String> = (0..100).map(|n| send(&mut client, "kept", &json!({"n": n}))).collect();
    assert_eq!(daemon.stop().code(), Some(0), "{}", daemon.log());
    assert!(!daemon.socket_path().exists(), "the socket is gone");
    daemon.restart();
    let list = daemon.client().call("messages.list", &json!({"limit": 1000})).expect("a list");
    let kept: Vec<String> = list["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(kept, ids, "in the order of their receipts");
}

#[test]
fn p2_the_same_id_is_one_message_over_kill_9() {
    let mut daemon = Daemon::start(NOBODY);
    let call = json!({"type": "once", "id": "my-id", "data": {"n": 1}});
    let first = daemon.client().call("messages.send", &call).expect("a receipt");
    assert_eq!(first["duplicate"], false);
    daemon.restart();
    let mut client = daemon.client();
    let second = client.call("messages.send", &call).expect("the same receipt");
    assert_eq!((&second["id"], &second["duplicate"]), (&first["id"], &json!(true)));
    let other = client.call("messages.send", &json!({"type": "once", "id": "my-id", "data": {"n": 2}}));
    assert_eq!(other.expect_err("another body")["data"]["kind"], "conflict");
    let list = client.call("messages.list", &json!({})).expect("a list");
    assert_eq!(list["messages"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_survives_a_restart_and_shows_in_health() {
    let server = server().await;
    let daemon = start(config(&server.url(), "json", "")).await;
    blocking(move || {
        let mut daemon = daemon;
        daemon.wait_for("connected");
        daemon.client().call("link.pause", &json!({})).expect("paused");
        daemon.wait_for("paused");
        assert_eq!(daemon.stop().code(), Some(0));
        daemon.restart();
        let mut client = daemon.client();
        let status = client.call("status", &json!({})).expect("an answer");
        assert_eq!(status["link"]["state"], "paused", "{status}");
        assert!(status["health"].to_string().contains("paused"), "{status}");
        let refused = client.call("link.reconnect", &json!({})).expect_err("paused");
        assert_eq!(refused["data"]["kind"], "conflict");
        client.call("link.resume", &json!({})).expect("resumed");
        daemon.wait_for("connected");
    })
    .await;
    server.stop().await;
}

#[test]
fn p11_another_user_gets_no_answer_even_with_the_modes_loosened() {
    let is_root = rustix::process::geteuid().is_root();
    let setpriv = std::process::Command::new("setpriv").arg("--version").output().is_ok();
    if !is_root || !setpriv {
        assert!(
            std::env::var_os("CI").is_none(),
            "this needs root and setpriv, and in CI nothing is skipped"
        );
        eprintln!("SKIPPED: becoming another user needs root and setpriv");
        return;
    }
    let daemon = Daemon::start(NOBODY);
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["", "runtime", "runtime/holdline"] {
        open(&daemon.path(name), 0o755);
    }
    open(&daemon.socket_path(), 0o666);
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(20)\ns.connect(sys.argv[1])\n\
                  s.sendall(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\\n')\n\
                  data=b''\ntry:\n    data=s.recv(100)\nexcept ConnectionError:\n    pass\nprint(len(data))";
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/env", "python3", "-c", script])
        .arg(daemon.socket_path())
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.trim() == "0" || !output.status.success(),
        "another user was answered: {said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(daemon.client().call("status", &json!({})).is_ok(), "its owner still is");
}

#[test]
fn p11_nothing_listens_on_tcp() {
    let daemon = Daemon::start(NOBODY);
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let Ok(lines) = std::fs::read_to_string(format!("/proc/{}/net/{table}", daemon.pid())) else {
            continue;
        };
        let inodes: Vec<&str> = lines
            .lines()
            .skip(1)
            .filter(|line| table.starts_with("udp") || line.split_whitespace().nth(3) == Some("0A"))
            .filter_map(|line| line.split_whitespace().nth(9))
            .collect();
        for entry in std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("Linux").flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            assert!(!inodes.iter().any(|inode| target == format!("socket:[{inode}]")), "{table}: {target}");
        }
    }
}
