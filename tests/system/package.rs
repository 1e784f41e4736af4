//! A package of ours in its whole life on a machine: installed, run by the service manager of a user,
//! upgraded with a full queue, removed. Only where `HOLDLINE_TEST_DEB` and `HOLDLINE_TEST_NEWER_DEB`
//! name packages, as `.ci/package` does. The machine keeps nothing of it: what is installed lies on
//! top of its file system, in a mount namespace.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::server::ScriptedServer;
use crate::support::until_blocking;
use crate::support::user_manager::{self, HOME, UserManager};

const ON_TOP: &str = "for place in /usr /var/lib/dpkg; do
    over=/run/over$place
    mkdir -p $over/upper $over/work
    mount -t overlay overlay -o lowerdir=$place,upperdir=$over/upper,workdir=$over/work $place
done
";
/// How many messages the queue takes.
const FULL: usize = 40;

fn as_root(manager: &UserManager, program: &str, arguments: &[&str]) -> String {
    let output = manager.as_root(program, arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

fn status(manager: &UserManager) -> Value {
    let output = manager.command("/usr/bin/holdline", &["ctl", "--json", "status"]).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{output:?}\n{}", manager.journal(&["--lines=60"])))
}

fn health(status: &Value) -> Vec<&str> {
    status["health"].as_array().unwrap().iter().filter_map(|entry| entry["code"].as_str()).collect()
}

fn acknowledge(_: usize, frame: &Message) -> Vec<Message> {
    let frame: Value = serde_json::from_str(frame.to_text().unwrap_or_default()).unwrap_or_default();
    vec![Message::text(json!({"type": "ack", "messageId": frame["messageId"]}).to_string())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_installed_run_upgraded_with_a_full_queue_and_removed() {
    let named = |name| std::env::var(name).ok();
    let (Some(deb), Some(newer)) = (named("HOLDLINE_TEST_DEB"), named("HOLDLINE_TEST_NEWER_DEB")) else {
        return;
    };
    if !user_manager::works() {
        return;
    }
    let mut server = ScriptedServer::builder().reply(acknowledge).start().await;
    server.stop_listening().await;
    let url = server.url();
    let manager =
        tokio::task::spawn_blocking(move || before_the_server_comes(&url, &deb, &newer)).await.unwrap();

    server.listen_again().await;
    let _peer = server.accept().await;
    let numbers = server
        .received("all that was queued", |frames| {
            let frames = frames.iter().filter_map(|(_, frame)| {
                serde_json::from_str::<Value>(frame.to_text().ok()?).ok()?["n"].as_u64()
            });
            let numbers: Vec<_> = frames.collect();
            (numbers.len() >= FULL).then_some(numbers)
        })
        .await;
    assert_eq!(numbers, (0..FULL as u64).collect::<Vec<_>>(), "each once, in order");
    tokio::task::spawn_blocking(move || removed(&manager)).await.unwrap();
}

/// Installs, fills the queue, upgrades and restarts.
fn before_the_server_comes(url: &str, deb: &str, newer: &str) -> UserManager {
    let manager = UserManager::start_after(ON_TOP);
    let before = as_root(&manager, "find", &["/usr", "-name", "*holdline*"]);
    assert_eq!(before, "", "the machine has a holdline of its own");
    as_root(&manager, "dpkg", &["-i", deb]);
    manager.systemctl_ok(&["daemon-reload"]);
    let enabled = manager.systemctl(&["is-enabled", "holdline"]);
    assert_eq!(String::from_utf8_lossy(&enabled.stdout).trim(), "disabled", "nobody asked for it yet");

    manager.write(
        ".config/holdline/config.toml",
        format!(
            "[server]\nurl = \"{url}\"\n[outbox]\nmax_messages = {FULL}\n[reconnect]\ndelays = [\"100ms\"]\n"
        ),
    );
    manager.systemctl_ok(&["enable", "--now", "holdline"]);
    assert!(manager.property("holdline", "ExecStart").contains("path=/usr/bin/holdline "));
    let fill =
        "n=0; while holdline ctl send note \"{\\\"n\\\":$n}\" >/dev/null; do n=$((n+1)); done; echo $? $n";
    let filled = manager.command("sh", &["-c", fill]).output().unwrap();
    // What the last one ended with is gone by then; how many went in is not.
    assert_eq!(String::from_utf8_lossy(&filled.stdout).split_whitespace().nth(1), Some("40"), "{filled:?}");
    let full = manager.command("holdline", &["ctl", "send", "note", "{}"]).output().unwrap();
    assert_eq!(full.status.code(), Some(7), "{full:?}");
    let first = status(&manager);
    assert_eq!(first["outbox"]["queued"], FULL);
    assert!(!health(&first).contains(&"program_replaced"), "{first}");

    as_root(&manager, "dpkg", &["-i", newer]);
    let shown = until_blocking("the daemon to see that it was upgraded", || {
        Some(status(&manager)).filter(|status| health(status).contains(&"program_replaced"))
    });
    assert_eq!(shown["daemon"]["pid"], first["daemon"]["pid"], "an upgrade restarts nothing");
    assert_eq!(shown["outbox"]["queued"], FULL);

    manager.systemctl_ok(&["daemon-reload"]);
    manager.systemctl_ok(&["restart", "holdline"]);
    let again = status(&manager);
    assert_ne!(again["daemon"]["pid"], first["daemon"]["pid"]);
    assert_eq!(again["outbox"]["queued"], FULL, "{again}");
    assert_eq!(again["store"]["epoch"], first["store"]["epoch"], "the same database");
    assert!(!health(&again).contains(&"program_replaced"), "{again}");
    manager
}

fn removed(manager: &UserManager) {
    until_blocking("all to be confirmed", || {
        let outbox = status(manager)["outbox"].take();
        (outbox["queued"] == 0 && outbox["in_flight"] == 0).then_some(())
    });
    let installed = as_root(manager, "dpkg", &["-L", "holdline"]);
    let installed: BTreeSet<_> = installed.lines().filter(|path| path.contains("holdline")).collect();
    assert!(installed.len() > 40, "{installed:?}");
    manager.systemctl_ok(&["disable", "--now", "holdline"]);
    as_root(manager, "dpkg", &["--purge", "holdline"]);
    for path in installed {
        assert!(!manager.outside(path).exists(), "{path} was left behind");
    }
    assert_eq!(as_root(manager, "find", &["/usr", "/var/lib/dpkg", "-name", "*holdline*"]), "");
    // What is hers stays.
    for kept in [".config/holdline/config.toml", ".local/state/holdline/default.db"] {
        assert!(manager.outside(&format!("{HOME}/{kept}")).is_file(), "{kept} is gone");
    }
}
