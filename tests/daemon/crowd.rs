//! Many apps at the same time, and more than there is room for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::{blocking, config, send, server, start, support, wait_for_status};

/// A daemon that has nobody to talk to and seldom tries.
const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"10m\"]\n";

/// Apps that may be connected, in these tests.
const CROWD: usize = 1_000;

/// Memory an idle connection may cost, whatever the allocator makes of it.
const MEMORY_EACH: u64 = 16 * 1024;

/// This process needs a file for each connection too.
fn let_me_open_many() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
}

/// So many files, and a hard limit as it is.
fn only(files: u64) -> Rlimit {
    Rlimit { current: Some(files), maximum: getrlimit(Resource::Nofile).maximum }
}

fn files(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("Linux").count()
}

/// Descriptors of the daemon for apps (and the one it listens on), and all others. Of those there is
/// one more for moments, while it looks for a system bus, say.
fn files_for_apps(daemon: &Daemon) -> (usize, usize) {
    let path = daemon.socket_path();
    let path = path.to_str().expect("UTF-8");
    let table = std::fs::read_to_string("/proc/net/unix").expect("Linux");
    let of_path: std::collections::HashSet<String> = table
        .lines()
        .filter_map(|line| line.strip_suffix(path)?.split_whitespace().last().map(str::to_owned))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let folder = format!("/proc/{}/fd", daemon.pid());
    let open: Vec<_> = std::fs::read_dir(folder)
        .expect("Linux")
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .collect();
    let for_apps =
        open.iter().filter(|file| file.to_str().is_some_and(|name| of_path.contains(name))).count();
    (for_apps, open.len() - for_apps)
}

/// Resident memory, in bytes.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// CPU used so far, in ticks (of which a second has a hundred).
fn ticks(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("Linux");
    // Behind the name, which stands in brackets: the 12th and 13th field.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

/// A connection that asks once and then sits there. It holds one file and little else.
struct Idle(UnixStream);

impl Idle {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("there is room in the queue");
        stream.set_read_timeout(Some(support::PATIENCE)).expect("a deadline");
        Self(stream)
    }

    fn ask(&mut self, name: &str) {
        let hello =
            json!({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"client": {"name": name}}});
        self.0.write_all(format!("{hello}\n").as_bytes()).expect("it reads");
    }

    /// The next line; none where the daemon has hung up.
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match BufReader::new(&self.0).read_line(&mut line).expect("an answer in time") {
            0 => None,
            _ => Some(serde_json::from_str(&line).expect("JSON")),
        }
    }
}

#[test]
fn a_thousand_idle_apps_cost_little_and_the_next_one_is_told() {
    let_me_open_many();
    let daemon = Daemon::start(&format!("{NOBODY}[ipc]\nmax_clients = {CROWD}\n"));
    // The thread pools and buffers of a first connection are no cost of the thousandth.
    let mut hot = daemon.client();
    hot.call("hello", &json!({"client": {"name": "hot"}})).expect("hello");
    hot.call("events.subscribe", &json!({"from": "now"})).expect("subscribed");
    let ((_, others_before), memory_before) = (files_for_apps(&daemon), resident(&daemon));

    let mut crowd: Vec<Idle> = Vec::new();
    for number in 1..CROWD {
        let mut app = Idle::connect(&daemon.socket_path());
        app.ask(&format!("idle-{number}"));
        assert_eq!(app.line().expect("answered")["result"]["limits"]["max_clients"], CROWD);
        crowd.push(app);
    }
    let (for_apps, others) = files_for_apps(&daemon);
    assert_eq!(for_apps, CROWD + 1, "one file each, and the one that is listened on");
    assert!(others <= others_before + 8, "nothing else grows with them: {others_before}, now {others}");
    let each = resident(&daemon).saturating_sub(memory_before) / (CROWD as u64 - 1);
    eprintln!("an idle connection costs {each} bytes of resident memory");
    assert!(each <= MEMORY_EACH, "{each} bytes for each idle connection");

    let status = hot.call("status", &json!({})).expect("still served");
    let shown = status["clients"].as_array().expect("a list");
    assert_eq!((&status["clients_total"], shown.len()), (&json!(CROWD), 32));
    assert!(shown.iter().any(|app| app["name"] == "hot"), "who listens is shown before others: {shown:?}");
    let (code, out) = {
        // Of `ctl` there is none too many: one leaves for it.
        crowd.pop();
        wait_for_status(&mut hot, "room for one", |status| status["clients_total"] == CROWD - 1);
        let output = daemon.ctl(&["status"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains(&format!("{CROWD} connected: ")), "{out}");
    wait_for_status(&mut hot, "ctl to have left", |status| status["clients_total"] == CROWD - 1);
    crowd.push(Idle::connect(&daemon.socket_path()));
    crowd.last_mut().expect("just there").ask("last");
    assert!(crowd.last_mut().expect("just there").line().is_some());

    for _ in 0..3 {
        let mut refused = Idle::connect(&daemon.socket_path());
        let why = refused.line().expect("it is told why");
        assert_eq!(why["error"]["data"]["kind"], "busy", "{why}");
        assert!(why["error"]["data"]["hint"].to_string().contains("ipc.max_clients"), "{why}");
        assert_eq!(refused.0.read(&mut [0]).expect("closed"), 0);
    }
    for app in crowd.iter_mut().step_by(100) {
        app.ask("once more");
        assert!(app.line().expect("each is served")["result"].is_object());
    }

    drop(crowd);
    support::until_blocking("the files to come back", || (files_for_apps(&daemon).0 == 2).then_some(()));
    let status = hot.call("status", &json!({})).expect("still served");
    assert_eq!((&status["clients_total"], status["clients"].as_array().map(Vec::len)), (&json!(1), Some(1)));
}

#[test]
fn the_limit_of_open_files_is_raised_to_what_the_configuration_may_need() {
    let limits = |daemon: &Daemon| {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("Linux");
        let line =
            text.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line").to_owned();
        line.split_whitespace().next().expect("a number").parse::<usize>().expect("a number")
    };
    let with = |words: &[&str], config: &str| {
        let mut daemon = Daemon::prepare(config);
        daemon.set_before(words.iter().map(|word| (*word).to_owned()).collect());
        daemon.restart();
        daemon
    };
    let crowd = format!("{NOBODY}[ipc]\nmax_clients = {CROWD}\n");
    let daemon = with(&["prlimit", "--nofile=200:4000"], &crowd);
    assert_eq!(limits(&daemon), CROWD + 64, "as many as it needs");
    let daemon = with(&["prlimit", "--nofile=200:4000"], NOBODY);
    assert_eq!(limits(&daemon), 200, "it is left alone where it is enough");
    // Where it cannot be raised so far, apps get what the daemon itself does not need.
    let daemon = with(&["prlimit", "--nofile=200:300"], &crowd);
    assert_eq!(limits(&daemon), 300);
    let mut client = daemon.client();
    let hello = client.call("hello", &json!({"client": {"name": "t"}})).expect("hello");
    assert_eq!(hello["limits"]["max_clients"], 236);
    let log = daemon.log();
    assert!(log.contains("236 apps can connect at a time instead of 1000"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_file_is_left_the_line_lives_the_daemon_rests_and_all_comes_back() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        let mut inside = daemon.client();
        let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid"));
        let used = files(&daemon) as u64;
        let before = prlimit(pid, Resource::Nofile, only(used + 5)).expect("our own child");
        // Five of them get a file; all others stand in the system's queue.
        let mut crowd: Vec<Idle> = (0..60).map(|_| Idle::connect(&daemon.socket_path())).collect();
        crowd.iter_mut().for_each(|app| app.ask("crowd"));
        let failed = |client: &mut Client| {
            let text = client.call("metrics", &json!({})).expect("metrics")["text"].to_string();
            let line = text
                .split("\\n")
                .find_map(|line| line.strip_prefix("holdline_ipc_accepts_failed_total ").map(str::to_owned));
            line.map_or(0, |number| number.parse::<u64>().expect("a number"))
        };
        support::until_blocking("the system to refuse", || (failed(&mut inside) >= 3).then_some(()));
        let refused = failed(&mut inside);
        for _ in 0..20 {
            // The session, the disk and those who are in go on.
            let sent = inside.call("messages.send", &json!({"type": "t", "data": {}, "wait": "accepted"}));
            assert_eq!(sent.expect("delivered")["state"], "accepted");
        }
        // By now it rests after each, and longer each time. Busy machines make that more, never less.
        let (begun, began) = (ticks(&daemon), since());
        support::until_blocking("more refusals", || {
            std::thread::sleep(Duration::from_millis(200));
            (failed(&mut inside) >= refused + 4).then_some(())
        });
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(1), "four refusals within {took:?}: it does not rest");
        let used_up = ticks(&daemon) - begun;
        eprintln!("CPU while no file was left, in some two seconds: {used_up} ticks");
        assert!(used_up <= 20, "{used_up} ticks for {} refusals", failed(&mut inside));
        prlimit(pid, Resource::Nofile, before).expect("our own child");
        for app in &mut crowd {
            assert!(app.line().expect("all are let in")["result"].is_object());
        }
        send(&mut inside, "after", &json!({}));
        drop(crowd);
        support::until_blocking("the files to come back", || (files(&daemon) as u64 <= used).then_some(()));
        daemon
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_breaks_while_no_file_is_left_is_made_again_once_there_is_one() {
    let server = server().await;
    let daemon = start(config(&server.url(), "holdline", "")).await;
    let daemon = blocking(move || {
        daemon.wait_for("connected");
        daemon
    })
    .await;
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).expect("a pid"));
    let mut inside = daemon.client();
    // The first commit of a run makes the log's name last, for which it needs a file.
    send(&mut inside, "before", &json!({}));
    // Those that are open stay so; not one more can be opened.
    let before = prlimit(pid, Resource::Nofile, only(3)).expect("our own child");
    server.control(holdline::dev_server::Control::Cut {});
    let daemon = blocking(move || {
        let status = wait_for_status(&mut inside, "a dial that fails", |status| {
            status["link"]["attempt"].as_u64() >= Some(3)
        });
        let reason = status["link"]["reason"].to_string();
        assert!(reason.contains("Too many open files") || reason.contains("os error 24"), "{reason}");
        prlimit(pid, Resource::Nofile, before).expect("our own child");
        daemon.wait_for("connected");
        daemon
    })
    .await;
    drop(daemon);
    server.stop().await;
}

#[allow(clippy::disallowed_methods, reason = "how long a rest is at the least")]
fn since() -> std::time::Instant {
    std::time::Instant::now()
}
