//! Under the service manager of a user: the shipped units, and a real `systemd --user`.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use holdline::dev_server::{DevServer, Options};
use holdline::model::Secret;

use crate::support::user_manager::{self, HOME, RUNTIME, UserManager};
use crate::support::{needs, until_blocking};

const SYSTEMD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");
const UNIT: &str = "holdline.service";
/// A daemon that is started anew is started at once.
const AT_ONCE: &str = "[Service]\nRestartSec=50ms\n";

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(SYSTEMD).join(name)).unwrap()
}

/// Puts a shipped unit where a user puts it.
fn install(manager: &UserManager, unit: &str) {
    manager.write(&format!(".config/systemd/user/{unit}"), shipped(unit));
    manager.systemctl_ok(&["daemon-reload"]);
}

/// Adds something to a unit, as `systemctl --user edit` does.
fn add(manager: &UserManager, unit: &str, name: &str, text: &str) {
    manager.write(&format!(".config/systemd/user/{unit}.d/{name}.conf"), text);
    manager.systemctl_ok(&["daemon-reload"]);
}

/// Writes the configuration of the profile `default`.
fn configure(manager: &UserManager, server: &DevServer, more: &str) {
    let config = format!(
        "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"200ms\"]\n{more}",
        server.url()
    );
    manager.write(".config/holdline/config.toml", config);
}

async fn server() -> DevServer {
    DevServer::start(Options::default()).await.unwrap()
}

/// A manager with the unit and a configuration, nothing started.
fn prepared(server: &DevServer) -> UserManager {
    let manager = UserManager::start();
    install(&manager, UNIT);
    add(&manager, UNIT, "at-once", AT_ONCE);
    configure(&manager, server, "");
    manager
}

fn wait_connected(manager: &UserManager) {
    let waited = manager.ctl(&["wait", "--for", "connected", "--timeout", "30s"]);
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
}

/// Hands a message in; its receipt is on disk then.
fn send(manager: &UserManager, id: &str) {
    assert_eq!(manager.ctl_json(&["send", "note", "{}", "--id", id])["state"], "queued");
}

/// Waits until the server has these messages, and nothing else.
fn wait_delivered(server: &DevServer, ids: &[&str]) {
    until_blocking("the messages at the server", || {
        let received: Vec<_> = server.received().into_iter().filter_map(|message| message.id).collect();
        (received == ids).then_some(())
    });
}

fn restarts(manager: &UserManager) -> u32 {
    manager.property(UNIT, "NRestarts").parse().unwrap()
}

fn wait_restarts(manager: &UserManager, times: u32) {
    manager.wait_for_property(UNIT, "NRestarts", |count| count.parse() == Ok(times));
    manager.wait_for_property(UNIT, "ActiveState", |state| state == "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_how_the_line_stands_and_the_journal_finds_it_by_field() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    manager.systemctl_ok(&["start", "holdline"]);
    let host = server.addr();
    let connected = format!("Connected to {host} since ");
    manager.wait_for_property(UNIT, "StatusText", |text| text.starts_with(&connected));
    manager.systemctl_ok(&["is-active", "holdline"]);

    server.go_down().await;
    let away = format!("{host} is unavailable: ");
    let text = manager.wait_for_property(UNIT, "StatusText", |text| text.starts_with(&away));
    assert!(text.contains("attempt"), "{text}");
    let paused = manager.ctl(&["link", "pause"]);
    assert!(paused.status.success());
    let text = manager.wait_for_property(UNIT, "StatusText", |text| text.starts_with("Paused since "));
    let first = String::from_utf8(manager.ctl(&["status"]).stdout).unwrap();
    let first = first.lines().next().unwrap().trim_start_matches(|c: char| !c.is_ascii()).trim();
    let rest = |text: &str| text.split_once(". ").map(|(_, rest)| rest.to_owned());
    assert_eq!(rest(&text), rest(first), "{text} / {first}");

    let unit = ["-u", "holdline"];
    let refused = manager.journal(&[&unit[..], &["HOLDLINE_REASON=connection_refused"]].concat());
    assert!(refused.contains("Server unavailable"), "{refused}");
    let paused = manager.journal(&[&unit[..], &["HOLDLINE_STATE=paused", "--output=json"]].concat());
    let record: serde_json::Value = serde_json::from_str(paused.lines().next().unwrap()).unwrap();
    assert_eq!(record["SYSLOG_IDENTIFIER"], "holdline");
    assert!(record["HOLDLINE_ATTEMPT"].is_string(), "{record}");
    assert_eq!(manager.journal(&[&unit[..], &["HOLDLINE_STATE=nonsense"]].concat()), "");

    manager.systemctl_ok(&["stop", "holdline"]);
    assert_eq!(manager.property(UNIT, "Result"), "success", "not ended by the timeout");
    assert_eq!(manager.property(UNIT, "ExecMainStatus"), "0");
    assert!(!manager.outside(&format!("{RUNTIME}/holdline/default.sock")).exists());
    assert!(manager.home(".local/state/holdline/default.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_is_started_anew_with_its_messages_until_it_is_too_often() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    server.go_down().await;
    let manager = prepared(&server);
    manager.systemctl_ok(&["start", "holdline"]);
    send(&manager, "kept");
    for times in 1..=4 {
        manager.systemctl_ok(&["kill", "--signal=KILL", "holdline"]);
        wait_restarts(&manager, times);
    }
    // The fifth start of this minute was the last.
    manager.systemctl_ok(&["kill", "--signal=KILL", "holdline"]);
    manager.wait_for_property(UNIT, "ActiveState", |state| state == "failed");
    assert!(manager.journal(&["-u", "holdline"]).contains("repeated too quickly"));
    server.come_back().await.unwrap();
    manager.systemctl_ok(&["reset-failed", "holdline"]);
    manager.systemctl_ok(&["start", "holdline"]);
    wait_delivered(&server, &["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_does_nothing_any_more_is_started_anew_and_has_its_messages() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    server.go_down().await;
    let manager = prepared(&server);
    add(&manager, UNIT, "watched", "[Service]\nWatchdogSec=1\n");
    manager.systemctl_ok(&["start", "holdline"]);
    send(&manager, "kept");
    // What is stopped answers nobody.
    manager.systemctl_ok(&["kill", "--signal=STOP", "holdline"]);
    wait_restarts(&manager, 1);
    assert!(manager.journal(&["-u", "holdline"]).contains("Watchdog timeout"));
    server.come_back().await.unwrap();
    wait_delivered(&server, &["kept"]);
    assert_eq!(restarts(&manager), 1);
}

/// Syncs wait as long as there is a file `busy` in the home folder: a disk that takes its time. Whoever
/// waits can be killed, which a kernel that waits for a disk does not allow.
const SLOW_DISK: &str = r#"
#include <sys/syscall.h>
#include <unistd.h>
static void wait_for_disk(void) { while (access("/home/ada/busy", F_OK) == 0) usleep(10000); }
int fdatasync(int fd) { wait_for_disk(); return syscall(SYS_fdatasync, fd); }
int fsync(int fd) { wait_for_disk(); return syscall(SYS_fsync, fd); }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_slow_is_waited_for_and_a_store_that_hangs_is_started_anew() {
    if !user_manager::works() || !needs::programs(&["cc"]) {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    let source = manager.write("disk.c", SLOW_DISK);
    let library = manager.home("disk.so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.unwrap().success());
    let watched = format!("[Service]\nWatchdogSec=1\nEnvironment=LD_PRELOAD={HOME}/disk.so\n");
    add(&manager, UNIT, "watched", &watched);
    manager.systemctl_ok(&["start", "holdline"]);
    wait_connected(&manager);
    let program = format!("{HOME}/.cargo/bin/holdline");
    let sent = |id: &str| {
        let words = ["ctl", "--timeout", "60s", "send", "note", "{}", "--id", id];
        manager.command(&program, &words).stdout(Stdio::null()).spawn().unwrap()
    };
    let sign_of_life = || -> u64 { manager.property(UNIT, "WatchdogTimestampMonotonic").parse().unwrap() };

    let busy = manager.write("busy", "");
    let mut slow = sent("slow");
    let began = sign_of_life();
    until_blocking("signs of life over more than one period", || {
        (sign_of_life() > began + 2_000_000).then_some(())
    });
    assert!(slow.try_wait().unwrap().is_none(), "no receipt without the disk");
    std::fs::remove_file(&busy).unwrap();
    assert!(slow.wait().unwrap().success());
    wait_delivered(&server, &["slow"]);
    assert_eq!(restarts(&manager), 0, "it went on");

    manager.write("busy", "");
    let mut hung = sent("hung");
    until_blocking("the watchdog", || {
        manager.journal(&["-u", "holdline"]).contains("Watchdog timeout").then_some(())
    });
    std::fs::remove_file(&busy).unwrap();
    assert!(!hung.wait().unwrap().success(), "no receipt without the disk");
    wait_restarts(&manager, 1);
    send(&manager, "after");
    until_blocking("the message behind it", || {
        // Whether the one without a receipt was written is not known.
        let received: Vec<_> = server.received().into_iter().filter_map(|message| message.id).collect();
        (received.first()? == "slow" && received.last()? == "after").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_long_is_waited_for_and_ready_means_that_it_serves() {
    if !user_manager::works() || !needs::programs(&["strace"]) {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    // A disk on which a new database takes seconds, and a moment between the socket's making and its
    // listening. The tracer stands aside, so that the daemon is the process that the manager knows.
    let program = format!("{HOME}/.cargo/bin/holdline");
    let slow = format!(
        "[Service]\nTimeoutStartSec=1\nSystemCallFilter=\nExecStart=\nExecStart=strace -D -f -qq -o /dev/null \
         -e trace=fdatasync,listen -e inject=fdatasync:delay_enter=1500000:when=1..2 \
         -e inject=listen:delay_enter=1000000 {program} run\n"
    );
    add(&manager, UNIT, "slow", &slow);
    manager.systemctl_ok(&["start", "holdline"]);
    let status = manager.ctl(&["status"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert_eq!(restarts(&manager), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_app_starts_it_and_no_app_is_refused_while_it_starts_anew() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    install(&manager, "holdline.socket");
    manager.systemctl_ok(&["start", "holdline.socket"]);
    assert_eq!(manager.property(UNIT, "ActiveState"), "inactive");
    let path = manager.outside(&format!("{RUNTIME}/holdline/default.sock"));
    let made = std::fs::metadata(&path).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    send(&manager, "first");
    assert_eq!(manager.property(UNIT, "ActiveState"), "active");
    wait_delivered(&server, &["first"]);

    manager.systemctl_ok(&["stop", UNIT]);
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), made.ino(), "it was not the daemon's to remove");
    assert_eq!(manager.property("holdline.socket", "ActiveState"), "active");
    send(&manager, "second");

    let mut ids = vec!["first".to_owned(), "second".to_owned()];
    let mut restarting = manager.command("systemctl", &["--user", "restart", UNIT]).spawn().unwrap();
    let mut during = 0;
    while during < 3 || restarting.try_wait().unwrap().is_none() {
        let id = format!("while-{during}");
        send(&manager, &id);
        ids.push(id);
        during += 1;
    }
    assert!(restarting.wait().unwrap().success());
    wait_delivered(&server, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), made.ino());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_as_it_should_be_is_not_served() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    install(&manager, "holdline.socket");
    let cases = [
        ("SocketMode=0666", "77", "SocketMode=0600"),
        ("ListenStream=\nListenStream=%t/holdline/other.sock", "78", "HOLDLINE_SOCKET"),
        ("ListenStream=%t/holdline/second.sock", "78", "handed over 2 sockets"),
        ("ListenStream=\nListenDatagram=%t/holdline/default.sock", "78", "no Unix stream socket"),
    ];
    for (setting, exit, said) in cases {
        add(&manager, "holdline.socket", "wrong", &format!("[Socket]\n{setting}\n"));
        manager.systemctl_ok(&["start", "holdline.socket"]);
        assert!(!manager.systemctl(&["start", UNIT]).status.success(), "{setting}");
        assert_eq!(manager.property(UNIT, "ExecMainStatus"), exit, "{setting}");
        let text = manager.property(UNIT, "StatusText");
        assert!(text.contains(said), "{setting}: {text}");
        manager.systemctl_ok(&["stop", "holdline.socket"]);
        // One that is in order is not loaded any more.
        let _ = manager.systemctl(&["reset-failed", UNIT, "holdline.socket"]);
    }
    let _ = std::fs::remove_file(manager.home(".config/systemd/user/holdline.socket.d/wrong.conf"));
    manager.systemctl_ok(&["daemon-reload"]);

    // A configuration that is not in order: whoever connects is told at once, and each has it started once.
    manager.write(".config/holdline/config.toml", "[server]\nurl = 5\n");
    manager.systemctl_ok(&["start", "holdline.socket"]);
    let starts = || manager.journal(&["-u", UNIT]).matches("Starting holdline.service").count();
    let before = starts();
    let refused = manager.ctl(&["--timeout", "30s", "send", "note", "{}"]);
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    manager.wait_for_property(UNIT, "ActiveState", |state| state == "failed");
    assert_eq!(starts(), before + 1);
    assert_eq!(manager.property("holdline.socket", "ActiveState"), "active");
    configure(&manager, &server, "");
    send(&manager, "mended");
    wait_delivered(&server, &["mended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_by_way_of_the_service_manager() {
    if !user_manager::works() {
        return;
    }
    const TOKEN: &str = "HLCANARYmanager";
    let options = Options { token: Some(Secret::new(TOKEN)), ..Options::default() };
    let server = DevServer::start(options).await.unwrap();
    let manager = prepared(&server);
    configure(&manager, &server, "[auth]\nmethod = \"header\"\ntoken_credential = \"api-token\"\n");
    let drop_in = shipped("credential.conf");
    let set = drop_in.replace("#SetCredential=api-token:…", &format!("SetCredential=api-token:{TOKEN}"));
    assert_ne!(set, drop_in);
    add(&manager, UNIT, "credential", &set);
    manager.systemctl_ok(&["start", "holdline"]);
    wait_connected(&manager);

    let load = drop_in.replace("#LoadCredential=", "LoadCredential=");
    add(&manager, UNIT, "credential", &load);
    let missing = manager.systemctl(&["restart", "holdline"]);
    assert!(!missing.status.success(), "a source that is missing is said to be");
    manager.write(".config/holdline/token", format!("{TOKEN}\n"));
    manager.systemctl_ok(&["reset-failed", "holdline"]);
    manager.systemctl_ok(&["restart", "holdline"]);
    wait_connected(&manager);
    assert!(!manager.journal(&[]).contains(TOKEN));

    // Without the drop-in there is none, which is told and kills nobody.
    add(&manager, UNIT, "credential", "");
    manager.systemctl_ok(&["restart", "holdline"]);
    let text = manager.wait_for_property(UNIT, "StatusText", |text| text.starts_with("Sign-in refused"));
    assert!(text.contains("credential"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_whether_the_configuration_is_in_force() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    manager.systemctl_ok(&["start", "holdline"]);
    wait_connected(&manager);
    let pid = manager.property(UNIT, "MainPID");
    configure(&manager, &server, "[outbox]\nmax_messages = 7\n");
    manager.systemctl_ok(&["reload", "holdline"]);
    assert_eq!(manager.ctl_json(&["status"])["outbox"]["limit_messages"], 7);

    configure(&manager, &server, "[outbox]\nmax_mesages = 8\n");
    let refused = manager.systemctl(&["reload", "holdline"]);
    assert!(!refused.status.success());
    assert!(manager.journal(&["-u", "holdline"]).contains("max_mesages"), "with its key");
    assert_eq!(manager.property(UNIT, "ActiveState"), "active");
    assert_eq!(manager.property(UNIT, "MainPID"), pid);
    assert_eq!(manager.ctl_json(&["status"])["outbox"]["limit_messages"], 7);
    let text = manager.property(UNIT, "StatusText");
    assert!(text.starts_with("Connected"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_start_heals_is_not_started_again() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    let config = manager.write(".config/holdline/config.toml", "[server]\nurll = \"ws://127.0.0.1:9/\"\n");
    let failed = |exit: &str, said: &str| {
        assert!(!manager.systemctl(&["start", "holdline"]).status.success());
        let shown = ["ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts"];
        let shown = shown.map(|name| manager.property(UNIT, name));
        assert_eq!(shown, ["failed", "failed", "exit-code", exit, "0"]);
        let text = manager.property(UNIT, "StatusText");
        assert!(text.contains(said), "{text}");
        manager.systemctl_ok(&["reset-failed", "holdline"]);
    };
    failed("78", "urll");
    configure(&manager, &server, "");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o666)).unwrap();
    failed("77", "config.toml");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
    let other = manager.command(&format!("{HOME}/.cargo/bin/holdline"), &["run"]).spawn();
    let mut other = other.unwrap();
    wait_connected_soon(&manager);
    failed("75", "already runs");
    manager.ctl(&["stop"]);
    other.wait().unwrap();
    manager.systemctl_ok(&["start", "holdline"]);
}

fn wait_connected_soon(manager: &UserManager) {
    until_blocking("a daemon that was started by hand", || {
        manager.ctl(&["wait", "--for", "connected", "--timeout", "30s"]).status.success().then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hardened_unit_serves_and_sees_little() {
    if !user_manager::works() {
        return;
    }
    let server = server().await;
    let manager = prepared(&server);
    manager.write(".ssh/id", "precious");
    // Tries what it can get at, from where programs of the daemon are, and notes what it got.
    let probe = format!(
        "cd {HOME}/.local/state/holdline; {{ cat {HOME}/.ssh/id; touch {HOME}/probe && echo home; \
         touch {RUNTIME}/probe && echo runtime; [ -n \"$(ls /tmp)\" ] && echo tmp; [ -e /dev/kmsg ] && echo kmsg; \
         [ -n \"$NOTIFY_SOCKET$LISTEN_FDS$WATCHDOG_USEC\" ] && echo told; }} >probe 2>/dev/null; echo token"
    );
    let command = format!("[auth]\nmethod = \"header\"\ntoken_command = [\"sh\", \"-c\", '''{probe}''']\n");
    configure(&manager, &server, &command);
    let got = |id: &str| {
        manager.systemctl_ok(&["restart", "holdline"]);
        wait_connected(&manager);
        send(&manager, id);
        let got = std::fs::read_to_string(manager.home(".local/state/holdline/probe")).unwrap();
        std::fs::remove_file(manager.home(".local/state/holdline/probe")).unwrap();
        got
    };
    // The base unit is no prison: the probe sees what there is to see.
    let base = got("base");
    for word in ["precious", "home", "runtime", "tmp"] {
        assert!(base.contains(word), "{base}");
    }
    assert!(!base.contains("told"), "what is told to the daemon is not told to its programs: {base}");
    std::fs::remove_file(manager.home("probe")).unwrap();

    add(&manager, UNIT, "hardened", &shipped("hardened.conf"));
    assert_eq!(got("hardened"), "");
    assert!(!manager.home("probe").exists());
    wait_delivered(&server, &["base", "hardened"]);
    manager.systemctl_ok(&["reload", "holdline"]);
    manager.systemctl_ok(&["stop", "holdline"]);
    assert_eq!(manager.property(UNIT, "Result"), "success");

    // And where there is nothing yet, it makes what it needs.
    std::fs::remove_dir_all(manager.home(".local")).unwrap();
    std::fs::remove_dir_all(manager.outside(&format!("{RUNTIME}/holdline"))).unwrap();
    configure(&manager, &server, "");
    manager.systemctl_ok(&["start", "holdline"]);
    wait_connected(&manager);
    let mode = std::fs::metadata(manager.home(".local/state/holdline")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn systemd_finds_nothing_to_say_and_scores_both_variants_as_promised() {
    if !needs::programs(&["systemd-analyze"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("HOME", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    // The program stands elsewhere here.
    let here = |unit: &str| shipped(unit).replace("%h/.cargo/bin/holdline", env!("CARGO_BIN_EXE_holdline"));
    for unit in ["holdline.service", "holdline@.service", "holdline.socket", "holdline@.socket"] {
        let name = unit.replace('@', "@work");
        std::fs::write(folder.path().join(&name), here(unit)).unwrap();
    }
    for service in ["holdline.service", "holdline@work.service"] {
        let path = folder.path().join(service);
        let path = path.to_str().unwrap();
        let socket = path.replace(".service", ".socket");
        let (good, said) = analyze(&["verify", "--user", "--man=no", path, &socket]);
        // It may miss units of its own here; what it says of ours counts.
        assert!(!said.contains("holdline"), "{good}: {said}");
        let score = |threshold: &str| {
            let words = ["security", "--offline=true", "--no-pager", "--threshold", threshold, path];
            let (good, said) = analyze(&words);
            eprintln!("{service}: {}", said.lines().last().unwrap_or_default());
            assert!(good, "{said}");
        };
        score("64");
        let drop_ins = folder.path().join(format!("{service}.d"));
        std::fs::create_dir(&drop_ins).unwrap();
        std::fs::write(drop_ins.join("hardened.conf"), shipped("hardened.conf")).unwrap();
        let (_, said) = analyze(&["verify", "--user", "--man=no", path]);
        assert!(!said.contains("holdline"), "{said}");
        score("18");
    }
}
