//! Under the service manager of a user: the shipped units, and a real `systemd --user`.

use std::path::Path;

use crate::support::server::ScriptedServer;
use crate::support::user_manager::{self, UserManager};

const SYSTEMD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");

/// Puts a shipped unit where a user puts it.
fn install(manager: &UserManager, unit: &str) {
    let text = std::fs::read_to_string(Path::new(SYSTEMD).join(unit)).unwrap();
    manager.write(&format!(".config/systemd/user/{unit}"), text);
    manager.systemctl_ok(&["daemon-reload"]);
}

/// Writes the configuration of the profile `default`.
fn configure(manager: &UserManager, server: &ScriptedServer, more: &str) {
    let config = format!("[server]\nurl = \"{}\"\n{more}", server.url());
    manager.write(".config/holdline/config.toml", config);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_was_copied_starts_serves_and_stops() {
    if !user_manager::works() {
        return;
    }
    let server = ScriptedServer::start().await;
    let manager = UserManager::start();
    install(&manager, "holdline.service");
    configure(&manager, &server, "");
    manager.systemctl_ok(&["start", "holdline"]);
    let _peer = server.accept().await;
    assert_eq!(manager.ctl_json(&["status"])["daemon"]["profile"], "default");
    manager.systemctl_ok(&["stop", "holdline"]);
    assert_eq!(manager.property("holdline", "Result"), "success");
}
