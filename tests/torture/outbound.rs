//! P1 – P4: sixteen apps send; the server is cut every second, the daemon killed at random.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdline::dev_server::{Control, DevServer, Options};
use serde_json::{Value, json};

use crate::Scale;
use crate::app::App;
use crate::support::daemon::Daemon;

const APPS: usize = 16;
/// Sends an app has outstanding at once.
const WINDOW: usize = 24;

/// Ids are time-ordered by their number, so that a lane's order can be read from them.
fn id_of(app: usize, n: usize) -> String {
    format!("torture-{app:02}-{n:06}")
}

/// Sends `count` messages, each until it has a receipt; over every death of the daemon the same
/// ids are sent again. Returns how many answers said "duplicate".
fn send_all(app: usize, socket: &std::path::Path, count: usize, receipts: &AtomicUsize) -> usize {
    let mut next = 0;
    let mut duplicates = 0;
    // Sent without an answer yet, in order.
    let mut open: Vec<usize> = Vec::new();
    'connect: loop {
        let Ok(mut line) = App::connect(socket) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        // What the last connection left unanswered goes first, in order: the receipt, or its
        // loss, decides nothing here; the id does.
        let mut to_send: Vec<usize> = std::mem::take(&mut open);
        loop {
            while to_send.len() + open.len() < WINDOW && next < count {
                to_send.push(next);
                next += 1;
            }
            let mut lines = String::new();
            for n in &to_send {
                let call = json!({"jsonrpc":"2.0","id":n,"method":"messages.send","params":{
                    "type":"torture","id":id_of(app, *n),"lane":format!("lane-{app:02}"),
                    "data":{"app":app,"n":n}}});
                lines.push_str(&call.to_string());
                lines.push('\n');
            }
            open.append(&mut to_send);
            if open.is_empty() {
                return duplicates;
            }
            if !lines.is_empty() && line.write(&lines).is_err() {
                continue 'connect;
            }
            let Ok(answer) = line.read() else { continue 'connect };
            if answer.get("method").is_some() {
                continue; // `closing`, perhaps
            }
            let n = answer["id"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("our own id");
            if let Some(error) = answer.get("error") {
                assert_eq!(error["data"]["retryable"], true, "a send was refused for good: {answer}");
                open.retain(|other| *other != n);
                to_send.push(n);
                continue;
            }
            assert_eq!(answer["result"]["durability"], "full", "{answer}");
            duplicates += usize::from(answer["result"]["duplicate"] == Value::Bool(true));
            open.retain(|other| *other != n);
            receipts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_to_p4_whatever_had_a_receipt_arrives_in_order_over_kills_and_cuts() {
    let scale = Scale::of_environment();
    let server =
        DevServer::start(Options { keep_received: usize::MAX, keep_bodies: true, ..Options::default() })
            .await
            .expect("a server");
    let mut daemon = Daemon::start(&format!(
        "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n\
         [reconnect]\ndelays = [\"100ms\", \"200ms\"]\n[outbox]\nconfirm_timeout = \"5s\"\n",
        server.url()
    ));
    let socket: PathBuf = daemon.socket_path();
    let receipts = Arc::new(AtomicUsize::new(0));
    let per_app = scale.messages / APPS;
    let total = per_app * APPS;
    let apps: Vec<_> = (0..APPS)
        .map(|app| {
            let (socket, receipts) = (socket.clone(), Arc::clone(&receipts));
            std::thread::spawn(move || send_all(app, &socket, per_app, &receipts))
        })
        .collect();

    let mut kills = 0;
    let mut cuts = 0;
    let mut random = fastrand::Rng::with_seed(7);
    let mut cut = tokio::time::interval(scale.cut_every);
    // Kills are spread over the work, each at a random number of receipts.
    while kills < scale.kills {
        let floor = total * kills / scale.kills;
        let at = (floor + random.usize(..=(total / scale.kills / 2).max(1))).min(total - 1);
        while receipts.load(Ordering::Relaxed) < at {
            tokio::select! {
                _ = cut.tick() => { server.control(Control::Cut {}); cuts += 1; }
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        daemon.restart(); // kill -9, then a start
        kills += 1;
    }
    let duplicates: usize = tokio::task::spawn_blocking(move || {
        apps.into_iter().map(|app| app.join().expect("an app came through")).sum()
    })
    .await
    .expect("joined");
    assert_eq!(receipts.load(Ordering::Relaxed), total);

    let arrived = |server: &DevServer| server.received().len();
    let deadline = tokio::time::Instant::now() + scale.patience;
    while arrived(&server) < total && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let received = server.received();
    let mut seen = HashSet::new();
    let mut last = [None::<usize>; APPS];
    for message in &received {
        let data = message.data();
        let app = usize::try_from(data["app"].as_u64().expect("its app")).expect("small");
        let n = usize::try_from(data["n"].as_u64().expect("its number")).expect("small");
        assert_eq!(message.id.as_deref(), Some(id_of(app, n).as_str()), "every attempt carries the same id");
        assert!(seen.insert((app, n)), "the server lists first arrivals once");
        assert!(last[app].is_none_or(|last| last < n), "lane {app}: {n} arrived behind {:?}", last[app]);
        last[app] = Some(n);
    }
    assert_eq!(seen.len(), total, "lost: {}", total - seen.len());
    let copies: u64 = received.iter().map(|message| message.copies).sum();
    eprintln!(
        "outbound: {total} receipts, {} arrived, 0 lost, 0 reordered, {} resent with the same id, \
         {duplicates} receipts repeated; {kills} kills, {cuts} cuts",
        seen.len(),
        copies - total as u64,
    );
    daemon.stop();
    server.stop().await;
}
