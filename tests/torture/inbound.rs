//! P5, P6: the server sends; three subscribers with cursors read; everything is cut and killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use holdline::dev_server::{Control, DevServer, Options};
use serde_json::json;

use crate::Scale;
use crate::app::App;
use crate::support::daemon::Daemon;

/// Reads with a durable cursor until it has seen `count` events; acknowledges by hand. Returns
/// which event stood under which number.
fn read_all(
    cursor: &str,
    socket: &Path,
    count: usize,
    seen_so_far: &AtomicUsize,
    give_up: &AtomicBool,
) -> BTreeMap<i64, u64> {
    let mut by_seq: BTreeMap<i64, u64> = BTreeMap::new();
    'connect: while by_seq.len() < count && !give_up.load(Ordering::Relaxed) {
        let Ok(mut line) = App::connect(socket) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let subscribed =
            line.call("events.subscribe", &json!({"cursor":cursor,"ack":"manual","types":["tick"]}));
        let Ok(answer) = subscribed else { continue };
        assert!(answer.get("error").is_none(), "{answer}");
        let mut prev = answer["result"]["from"].as_i64().expect("a number") - 1;
        let mut unacked = 0;
        while by_seq.len() < count {
            let Ok(note) = line.read() else { continue 'connect };
            match note["method"].as_str() {
                Some("event") => {
                    let event = &note["params"]["event"];
                    let seq = event["seq"].as_i64().expect("a number");
                    let n = event["data"]["n"].as_u64().expect("its own number");
                    assert_eq!(note["params"]["prev"].as_i64(), Some(prev), "a hole without a word: {note}");
                    assert!(seq > prev, "order: {seq} behind {prev}");
                    prev = seq;
                    if let Some(before) = by_seq.insert(seq, n) {
                        assert_eq!(before, n, "number {seq} changed its event");
                    } else {
                        seen_so_far.fetch_add(1, Ordering::Relaxed);
                    }
                    unacked += 1;
                    if unacked >= 200 || by_seq.len() == count {
                        unacked = 0;
                        let ack = json!({"jsonrpc":"2.0","method":"events.ack","params":{"cursor":cursor,"seq":seq}});
                        if line.write(&format!("{ack}\n")).is_err() {
                            continue 'connect;
                        }
                    }
                }
                Some("gap") => panic!("a gap was told where the server resumes: {note}"),
                _ => {}
            }
        }
    }
    by_seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_and_p6_every_event_reaches_every_cursor_under_one_number_over_kills_and_cuts() {
    let scale = Scale::of_environment();
    let server = DevServer::start(Options {
        keep_events: usize::MAX,
        keep_event_bytes: usize::MAX,
        ..Options::default()
    })
    .await
    .expect("a server");
    let mut daemon = Daemon::start(&format!(
        "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"100ms\", \"200ms\"]\n",
        server.url()
    ));
    daemon.wait_for("connected");
    let socket: PathBuf = daemon.socket_path();
    let total = scale.messages;
    let seen = Arc::new(AtomicUsize::new(0));
    let give_up = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|cursor| {
            let (socket, seen, give_up) = (socket.clone(), Arc::clone(&seen), Arc::clone(&give_up));
            std::thread::spawn(move || read_all(cursor, &socket, total, &seen, &give_up))
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(11);
    let mut cut = tokio::time::interval(scale.cut_every);
    let mut pushed = 0;
    let mut kills = 0;
    let mut kill_at = random.usize(1..=(total / (scale.kills + 1)).max(2));
    while pushed < total {
        for _ in 0..100.min(total - pushed) {
            server.push("tick", &json!({"n": pushed}));
            pushed += 1;
        }
        tokio::select! {
            _ = cut.tick() => server.control(Control::Cut {}),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
        if kills < scale.kills && pushed >= kill_at {
            daemon.restart(); // kill -9, then a start
            kills += 1;
            kill_at = pushed + random.usize(1..=((total - pushed) / (scale.kills - kills + 1)).max(2));
        }
    }
    let deadline = tokio::time::Instant::now() + scale.patience;
    while seen.load(Ordering::Relaxed) < 3 * total && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    give_up.store(true, Ordering::Relaxed);
    if seen.load(Ordering::Relaxed) < 3 * total {
        eprintln!("not everything came: {}", daemon.client().call("status", &json!({})).expect("an answer"));
        eprintln!("the server: {:?}", server.stats());
        daemon.kill9(); // ends the readers, so that the numbers can be told
    }
    let maps: Vec<_> = tokio::task::spawn_blocking(move || {
        readers.into_iter().map(|reader| reader.join().expect("a reader came through")).collect::<Vec<_>>()
    })
    .await
    .expect("joined");
    for map in &maps {
        assert_eq!(map.len(), total, "lost: {}", total - map.len());
        let in_order: Vec<u64> = map.values().copied().collect();
        assert_eq!(in_order, (0..total as u64).collect::<Vec<_>>(), "the server's order, each event once");
        assert_eq!(map, &maps[0], "one number for all subscribers, over restarts");
    }
    eprintln!("inbound: {total} events to 3 subscribers, 0 lost, 0 twice, 0 reordered; {kills} kills");
    daemon.stop();
    server.stop().await;
}
