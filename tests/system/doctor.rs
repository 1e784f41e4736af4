//! What the doctor says of a disk without room, with and without a daemon.

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::needs;
use crate::volume::{Volume, fill};

fn disk(daemon: &Daemon) -> Value {
    let output = daemon.command(&["ctl", "--json", "doctor"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let whole: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let checks = whole["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["code"] == "disk").expect("the disk is looked at").clone()
}

#[test]
fn a_disk_without_room_is_told_with_and_without_a_daemon() {
    if !needs::root() {
        return;
    }
    let volume = Volume::in_memory("100m");
    let mut daemon = Daemon::prepare(crate::traffic::NOBODY);
    daemon.set_variable("HOLDLINE_STATE_DIR", volume.state().to_str().expect("UTF-8"));
    let roomy = disk(&daemon);
    assert_eq!(roomy["ok"], true, "{roomy}");
    daemon.restart();
    fill(&volume.path().join("ballast"), 50);
    for _ in 0..2 {
        let full = disk(&daemon);
        assert_eq!(full["ok"], false, "{full}");
        assert!(full["detail"].as_str().is_some_and(|detail| detail.contains("less than 64 MiB")), "{full}");
        assert!(full["hint"].as_str().is_some_and(|hint| hint.contains("make room")), "{full}");
        daemon.kill9();
    }
}
