//! The N-th sync or write fails, for one N after the other (P1, P5, P14): whatever had a receipt,
//! and whatever was acknowledged to the server, is on disk at the next start.
//!
//! `HOLDLINE_SWEEP_STEP` says how many N are stepped over (1: each), `HOLDLINE_SWEEP_TO` where it ends.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use holdline::dev_server::{DevServer, Options};

use crate::support::daemon::Daemon;
use crate::support::{needs, until_blocking};
use crate::traffic::{self, Book, NOBODY};

/// A system call, its error, and whether the daemon must end with it.
#[derive(Debug, Clone, Copy)]
struct Fault {
    calls: &'static str,
    error: &'static str,
    fatal: bool,
}

const FAULTS: [Fault; 3] = [
    Fault { calls: "fdatasync,fsync", error: "EIO", fatal: true },
    Fault { calls: "pwrite64", error: "ENOSPC", fatal: false },
    Fault { calls: "pwrite64", error: "EIO", fatal: false },
];

/// Receipts after which a run ends though the fault was not met.
const MOST: usize = 900;

/// What came of all runs.
#[derive(Debug, Default)]
struct Total {
    runs: AtomicUsize,
    fired: AtomicUsize,
    receipts: AtomicUsize,
    acks: AtomicUsize,
    ended: AtomicUsize,
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The calls that failed, as strace tells them.
fn injected(daemon: &Daemon) -> Vec<String> {
    let trace = std::fs::read_to_string(daemon.path("trace")).unwrap_or_default();
    trace.lines().filter(|line| line.contains("INJECTED")).map(str::to_owned).collect()
}

fn fired(daemon: &Daemon) -> bool {
    !injected(daemon).is_empty()
}

/// One run: the `n`-th such call of each thread fails.
fn run(server: Arc<DevServer>, fault: Fault, n: usize, total: &Total) {
    let mut daemon = Daemon::prepare(&format!(
        "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"100ms\"]\n",
        server.url()
    ));
    let trace = format!("trace={}", fault.calls);
    let inject = format!("inject={}:error={}:when={n}", fault.calls, fault.error);
    let log = daemon.path("trace").display().to_string();
    // With `-D` the process that is started becomes the daemon, and strace its grandchild.
    let words = ["strace", "-D", "-f", "-qq", "-y", "-o", log.as_str(), "-e", &trace, "-e", &inject];
    daemon.set_before(words.map(str::to_owned).into());
    daemon.spawn();
    let serving = until_blocking("the daemon to serve or to end", || {
        let ended = daemon.ended().map(|_| false);
        ended.or_else(|| UnixStream::connect(daemon.socket_path()).ok().map(|_| true))
    });
    let book = Arc::new(Mutex::new(Book::default()));
    if serving {
        let done = Arc::new(AtomicBool::new(false));
        let publisher = traffic::publish(Arc::clone(&server), 1, Arc::clone(&done));
        let (mut looks, mut last) = (0, usize::MAX);
        // Until a few receipts after the fault, or until the daemon is gone: that it hangs up in
        // the middle is what this is about.
        let _ = traffic::send(&daemon.socket_path(), "m", &book, |book| {
            looks += 1;
            if last == usize::MAX && (looks % 20 == 0 || book.refused > 0) && fired(&daemon) {
                last = book.receipts.len() + 10;
            }
            book.receipts.len() >= last.min(MOST)
        });
        done.store(true, Ordering::Relaxed);
        publisher.join().expect("no panic");
    }
    let acked = server.stats().events_acked;
    drop(server);
    let book = book.lock().expect("whole").clone();
    let case = format!("{} {} at call {n}", fault.calls, fault.error);
    let failed = injected(&daemon);
    // Of a folder: SQLite syncs it once too, and does not look whether it worked. We do it again.
    if fault.fatal && failed.iter().any(|call| call.contains("default.db")) {
        // What failed is a sync of data: it ends by itself, with 74 and a sentence.
        let status = daemon.wait_for_end();
        assert_eq!(status.code(), Some(74), "{case}");
        assert!(daemon.log().contains("error: the database"), "{case}: {}", daemon.log());
        total.ended.fetch_add(1, Ordering::Relaxed);
    }
    daemon.kill9();
    daemon.set_before(Vec::new());
    daemon.write_config(NOBODY);
    daemon.restart();
    let found = traffic::on_disk(&daemon);
    let lost: Vec<_> = book.receipts.difference(&found.messages).collect();
    assert!(lost.is_empty(), "{case}: receipts without a message: {lost:?}");
    let forgotten: Vec<_> = (1..=acked).filter(|n| !found.events.contains(n)).collect();
    assert!(forgotten.is_empty(), "{case}: acknowledged and not there: {forgotten:?}");
    assert!(!found.health.to_string().contains("recovered"), "{case}: nothing is damaged: {}", found.health);
    total.runs.fetch_add(1, Ordering::Relaxed);
    total.fired.fetch_add(usize::from(!failed.is_empty()), Ordering::Relaxed);
    total.receipts.fetch_add(book.receipts.len(), Ordering::Relaxed);
    total.acks.fetch_add(usize::try_from(acked).unwrap_or(0), Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p5_p14_whichever_sync_or_write_fails_no_receipt_and_no_acknowledgement_is_false() {
    if !needs::programs(&["strace"]) {
        return;
    }
    let (step, to) = (number("HOLDLINE_SWEEP_STEP", 67), number("HOLDLINE_SWEEP_TO", 200));
    let total = Arc::new(Total::default());
    let cases: Vec<(Fault, usize)> =
        FAULTS.iter().flat_map(|fault| (1..=to).step_by(step).map(|n| (*fault, n))).collect();
    // Each waits for the disk most of the time.
    for some in cases.chunks(3) {
        let mut runs = Vec::new();
        for (fault, n) in some.iter().copied() {
            let server = Arc::new(DevServer::start(Options::default()).await.expect("a server"));
            let total = Arc::clone(&total);
            runs.push(tokio::task::spawn_blocking(move || run(server, fault, n, &total)));
        }
        for run in runs {
            run.await.expect("the run came through");
        }
    }
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    eprintln!(
        "{} runs, the fault met in {}, {} ended with 74: {} receipts, 0 lost; {} events acknowledged, 0 lost",
        count(&total.runs),
        count(&total.fired),
        count(&total.ended),
        count(&total.receipts),
        count(&total.acks)
    );
    assert!(count(&total.fired) * 10 >= count(&total.runs) * 9, "the faults were met");
}
