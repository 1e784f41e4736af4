//! A line that breaks, falls silent, or does not take what is written.

use std::time::Duration;

use holdline::model::ReasonKind::{ConnectionLost, HeartbeatTimeout, StoreStalled, WriteStalled};
use serde_json::json;

use super::Row;
use crate::support::frames::{self, FIN, TEXT};
use crate::support::needs;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("The connection ends without a close frame.", ConnectionLost, |stage| {
            let (scene, peer) = stage.connected();
            // Ending with something unread would be a reset.
            stage.wait(peer.ping());
            peer.finish();
            scene
        }),
        Row::new("The connection ends in the middle of a frame.", ConnectionLost, |stage| {
            let (scene, peer) = stage.connected();
            stage.wait(peer.ping());
            peer.send_raw(frames::header(FIN | TEXT, 1000));
            peer.finish();
            scene
        }),
        Row::new("The connection is reset.", ConnectionLost, |stage| {
            let (scene, peer) = stage.connected();
            peer.reset();
            scene
        }),
        Row::new(
            "Nothing is heard any more: a dead peer, a black hole, a cable that was pulled.",
            HeartbeatTimeout,
            |stage| {
                let (scene, peer) = stage
                    .connected_with(|config| config.more("[heartbeat]\ninterval = \"2s\"\ntimeout = \"1s\""));
                peer.go_silent();
                scene.keeping(peer)
            },
        )
        .patient(),
        Row::new("The server takes nothing for 30 s of what is written.", WriteStalled, |stage| {
            // Far more than the kernel's buffers hold, on a line that asks for no heartbeat.
            let (scene, peer) = stage.connected_with(|config| {
                config
                    .server("max_message = \"16 MiB\"")
                    .more("[heartbeat]\nmode = \"off\"\n[outbox]\nconfirm = \"sent\"")
            });
            peer.go_silent();
            let mut client = scene.daemon.client();
            let data = "x".repeat(6 << 20);
            for _ in 0..3 {
                client.call("messages.send", &json!({"type": "large", "data": data})).unwrap();
            }
            scene.keeping(peer)
        })
        .patient(),
        Row::new("The disk takes nothing for a minute, and events wait.", StoreStalled, |stage| {
            let (scene, peer) = stage.connected();
            let lock = Lock::take(&scene.daemon.database_path());
            for n in 0..3000 {
                peer.send(&json!({"type": "tick", "eventId": format!("e{n}")}).to_string());
            }
            // So that the connection lives on our side's account only.
            let held = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(75));
                drop(lock);
            });
            scene.keeping(peer).then(move || held.join().unwrap())
        })
        .needs(|| needs::programs(&["python3"]))
        .slow(),
    ]
}

/// Somebody else who holds the database.
struct Lock(std::process::Child);

impl Lock {
    fn take(path: &std::path::Path) -> Self {
        use std::io::BufRead as _;
        let script = "import sqlite3, sys\n\
                      it = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                      it.execute('BEGIN EXCLUSIVE')\n\
                      print('held', flush=True)\n\
                      sys.stdin.read()\n";
        let mut child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "held");
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
