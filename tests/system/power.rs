//! Power cuts on real file systems (P1, P5): what had a receipt before the cut, and what was
//! acknowledged to the server before it, is there when the machine is up again. With
//! `durability = "normal"` some of it is not, which shows that these tests can see a loss.
//!
//! `HOLDLINE_POWER_CUTS` says how many cuts each file system gets.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdline::dev_server::{DevServer, Options};

use crate::support::daemon::Daemon;
use crate::support::{needs, until_blocking};
use crate::traffic::{self, Book, NOBODY};
use crate::volume::Volume;

fn cuts() -> usize {
    std::env::var("HOLDLINE_POWER_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn able() -> bool {
    needs::root() && needs::programs(&["mkfs.ext4", "mkfs.xfs", "python3", "mount"])
}

/// Damage to the database's structure, as SQLite sees it.
fn integrity(database: &Path) -> String {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let conn = rusqlite::Connection::open_with_flags(database, flags).expect("it opens");
    conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).expect("an answer")
}

/// What all cuts of one file system came to.
#[derive(Debug, Default)]
struct Result {
    receipts: usize,
    acknowledged: u64,
    lost_receipts: usize,
    lost_events: usize,
}

/// Cuts the power `cuts` times under traffic in both directions, or until something is lost.
fn cut_power(kind: &'static str, durability: &str, cuts: usize, servers: &[Arc<DevServer>]) -> Result {
    let volume = Volume::on_disk(kind);
    let mut daemon = Daemon::prepare("");
    let state = volume.state();
    daemon.set_variable("HOLDLINE_STATE_DIR", state.to_str().expect("UTF-8"));
    let durability = format!("[store]\ndurability = \"{durability}\"\n");
    let mut random = fastrand::Rng::with_seed(cuts as u64);
    let mut result = Result::default();
    let mut known = std::collections::BTreeSet::new();
    for (round, server) in servers.iter().enumerate().take(cuts) {
        daemon.write_config(&format!(
            "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"100ms\"]\n{durability}",
            server.url()
        ));
        daemon.restart();
        let book = Arc::new(Mutex::new(Book::default()));
        let done = Arc::new(AtomicBool::new(false));
        // Each round its own numbers, so that each event is told from all others.
        let first = round as u64 * 1_000_000;
        let publisher = traffic::publish(Arc::clone(server), first, Arc::clone(&done));
        let sender = {
            let (book, socket) = (Arc::clone(&book), daemon.socket_path());
            // The cut ends it.
            std::thread::spawn(move || {
                drop(traffic::send(&socket, &format!("r{round}"), &book, |book| book.refused > 100))
            })
        };
        let enough = random.usize(5..60);
        until_blocking("some receipts and acknowledgements", || {
            let receipts = book.lock().expect("whole").receipts.len();
            (receipts >= enough && server.stats().events_acked >= 5).then_some(())
        });
        std::thread::sleep(Duration::from_millis(random.u64(..20)));
        // Read before the cut; what comes behind it counts for nothing, since the system lives on.
        known.extend(book.lock().expect("whole").receipts.iter().cloned());
        let acked = server.stats().events_acked;
        volume.cut_power();
        daemon.kill9();
        done.store(true, Ordering::Relaxed);
        publisher.join().expect("no panic");
        sender.join().expect("no panic");
        volume.power_on();

        daemon.write_config(&format!("{NOBODY}{durability}"));
        daemon.restart();
        let found = traffic::on_disk(&daemon);
        let lost = known.difference(&found.messages).count();
        // The server numbers its own from 1, in the order of `n`.
        let gone = (0..acked).filter(|n| !found.events.contains(&(first + n))).count();
        result.receipts = known.len();
        result.acknowledged += acked;
        result.lost_receipts += lost;
        result.lost_events += gone;
        daemon.stop();
        assert_eq!(integrity(&state.join("default.db")), "ok", "{kind} round {round}");
        let names: Vec<_> =
            state.read_dir().expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
        let aside = names.iter().any(|name| name.to_string_lossy().contains("corrupt"));
        assert!(!aside, "{kind} round {round}: a power cut damages nothing: {names:?}, {}", found.health);
        if lost + gone > 0 {
            break;
        }
    }
    daemon.kill9();
    volume.unmount();
    result
}

async fn servers(count: usize) -> Vec<Arc<DevServer>> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(Arc::new(DevServer::start(Options::default()).await.expect("a server")));
    }
    servers
}

async fn nothing_is_lost_on(kind: &'static str) {
    if !able() {
        return;
    }
    let servers = servers(cuts()).await;
    let result = tokio::task::spawn_blocking(move || cut_power(kind, "full", cuts(), &servers));
    let result = result.await.expect("no panic");
    eprintln!("{} power cuts on {kind}: {result:?}", cuts());
    assert_eq!((result.lost_receipts, result.lost_events), (0, 0), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p5_a_power_cut_on_ext4_takes_no_receipt_and_no_acknowledged_event() {
    nothing_is_lost_on("ext4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p5_a_power_cut_on_xfs_takes_no_receipt_and_no_acknowledged_event() {
    nothing_is_lost_on("xfs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_durability_normal_a_power_cut_takes_receipts_so_these_tests_can_see_it() {
    const TRIES: usize = 10;
    if !able() {
        return;
    }
    let servers = servers(TRIES).await;
    let result = tokio::task::spawn_blocking(move || cut_power("ext4", "normal", TRIES, &servers));
    let result = result.await.expect("no panic");
    eprintln!("a power cut with durability = \"normal\": {result:?}");
    assert!(result.lost_receipts > 0, "{result:?}");
}
