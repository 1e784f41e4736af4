//! What the system keeps of a process that holds a secret: nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::support::canary::{Hunt, MARK, TOKEN, count};
use crate::support::daemon::Daemon;
use crate::support::server::ScriptedServer;
use crate::support::{needs, until_blocking};

const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"100ms\"]\n";
/// A user who is nobody else here. (65534 stands for every foreign user and is never served.)
const USER: &str = "4343";

/// A daemon of another user than root, with this under `[auth]` and a token file.
fn daemon_of_a_user(auth: &str) -> Daemon {
    let daemon = Daemon::prepare("");
    let token = daemon.write_private("token", TOKEN);
    daemon.write_config(&format!("{NOBODY}[auth]\n{auth}\ntoken_file = \"{}\"\n", token.display()));
    let owned = Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(daemon.path("")).status();
    assert!(owned.unwrap().success());
    daemon
}

fn as_user(daemon: &mut Daemon) {
    // A shell that puts a run of the tests into the background has it ignore SIGQUIT, and who is
    // started by them would too.
    let default = ["env", "--default-signal=QUIT"];
    daemon.spawn_under(
        &[&default[..], &["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]].concat(),
    );
    until_blocking("the daemon to serve", || {
        std::os::unix::net::UnixStream::connect(daemon.socket_path()).ok()
    });
}

/// `ctl` as the daemon's user.
fn ctl(daemon: &Daemon, arguments: &[&str]) -> std::process::Output {
    let inner = daemon.command(&["ctl"]);
    let mut outer = Command::new("setpriv");
    outer.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(inner.get_program()).arg("ctl");
    outer.args(arguments).env_clear().current_dir("/");
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).output().unwrap()
}

fn has_users() -> bool {
    // The program has to be where another user gets at it.
    needs::root()
        && needs::programs(&["setpriv", "chown"])
        && needs::working(
            "becoming another user",
            Command::new("setpriv").args(["--reuid", USER, "--regid", USER, "--clear-groups"]).args([
                "test",
                "-x",
                env!("CARGO_BIN_EXE_holdline"),
            ]),
        )
}

#[test]
fn an_ordinary_user_is_served_and_cannot_look_into_the_daemon() {
    if !has_users() {
        return;
    }
    let mut daemon = daemon_of_a_user("method = \"header\"");
    as_user(&mut daemon);
    let process = format!("/proc/{}", daemon.pid());
    let look = |path: &str| {
        Command::new("setpriv")
            .args(["--reuid", USER, "--regid", USER, "--clear-groups", "cat", path])
            .output()
            .unwrap()
    };
    assert!(look("/proc/self/environ").status.success(), "a process of that user may look at itself");
    for name in ["environ", "mem", "maps"] {
        let seen = look(&format!("{process}/{name}"));
        assert!(!seen.status.success(), "{name} is open to the same user");
        assert!(String::from_utf8_lossy(&seen.stderr).contains("Permission denied"), "{seen:?}");
    }
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");

    // And all of it works from in there.
    let sent = ctl(&daemon, &["send", "x", "{}"]);
    assert!(sent.status.success(), "{sent:?}");
    let status = ctl(&daemon, &["--json", "status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("\"queued\":1"), "{status:?}");
    let stopped = ctl(&daemon, &["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(daemon.wait_for_end().code(), Some(0), "{}", daemon.log());
}

/// Where the kernel puts memory images, and what it was before.
struct CorePattern {
    before: String,
    /// The whole machine has only one: locked, so that no other run of these tests changes it meanwhile.
    _locked: std::fs::File,
}

const PATTERN: &str = "/proc/sys/kernel/core_pattern";

impl CorePattern {
    fn set(pattern: &str) -> Option<Self> {
        let locked = std::fs::File::open(PATTERN).ok()?;
        rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).ok()?;
        let before = std::fs::read_to_string(PATTERN).ok()?;
        std::fs::write(PATTERN, pattern).ok()?;
        Some(Self { before, _locked: locked })
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        let _ = std::fs::write(PATTERN, &self.before);
    }
}

/// Ends with its handle, however the test does.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_memory_image_is_written_neither_to_a_file_nor_into_a_program() {
    if !has_users() || !needs::programs(&["sleep", "dd"]) {
        return;
    }
    let cores = tempfile::tempdir().unwrap();
    std::fs::set_permissions(cores.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let place = format!("{}/core.%p", cores.path().display());
    let written = || std::fs::read_dir(cores.path()).unwrap().count();
    // Into a program the limit does not count; to a file it does.
    for (pattern, limit) in [(place.clone(), "unlimited"), (format!("|/bin/dd of={place} status=none"), "0")]
    {
        let Some(_pattern) = CorePattern::set(&pattern) else {
            assert!(!needs::working("setting the place of memory images", &mut Command::new("false")));
            return;
        };
        // That it would be seen: another program of that user leaves one.
        let before = written();
        let mut other = Command::new("setpriv");
        other.args(["--reuid", USER, "--regid", USER, "--clear-groups", "sh", "-c"]);
        other.arg(format!("ulimit -c {limit}; exec sleep 600")).current_dir("/").stdout(Stdio::null());
        let mut other = Running(other.spawn().unwrap());
        let comm = format!("/proc/{}/comm", other.0.id());
        until_blocking("it to be that program", || {
            (std::fs::read_to_string(&comm).ok()?.trim() == "sleep").then_some(())
        });
        rustix::process::kill_process(Pid::from_raw(other.0.id() as i32).unwrap(), Signal::SEGV).unwrap();
        other.0.wait().unwrap();
        until_blocking("the image of another program", || (written() == before + 1).then_some(()));

        for signal in [Signal::ABORT, Signal::QUIT] {
            let mut daemon = daemon_of_a_user("method = \"header\"");
            as_user(&mut daemon);
            daemon.signal(signal);
            assert!(!daemon.wait_for_end().success());
            // It would have been there before the process was gone.
            assert_eq!(written(), before + 1, "an image of the daemon by {pattern}, {signal:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_needed_any_more_is_wiped_from_memory() {
    if !needs::root() {
        return;
    }
    let server = ScriptedServer::start().await;
    let url = server.url();
    let served = tokio::task::spawn_blocking(move || {
        let mut daemon = Daemon::prepare("");
        let token = daemon.write_private("token", TOKEN);
        daemon.write_config(&format!(
            "[server]\nurl = \"{url}\"\n[auth]\nmethod = \"header\"\ntoken_file = \"{}\"\n",
            token.display()
        ));
        daemon.restart();
        daemon.wait_for("connected");
        let connected = in_memory(&daemon);
        let mut client = daemon.client();
        for _ in 0..20 {
            client.call("link.reconnect", &json!({})).expect("an answer");
            daemon.wait_for("connected");
        }
        let again = in_memory(&daemon);
        let open = sockets(&daemon);
        client.call("link.pause", &json!({})).expect("an answer");
        daemon.wait_for("paused");
        // It says so at once; the line says goodbye first.
        until_blocking("the line to be closed", || (sockets(&daemon) < open).then_some(()));
        until_blocking("all to be done with it", || daemon_is_idle(&daemon).then_some(()));
        let paused = in_memory(&daemon);
        eprintln!(
            "copies of the token: {connected} connected, {again} after 20 more connections, {paused} paused"
        );
        (connected, again, paused)
    });
    let accepting = async {
        loop {
            server.accept().await;
        }
    };
    let (connected, again, paused) = tokio::select! {
        counted = served => counted.expect("no panic in there"),
        () = accepting => unreachable!("it accepts for ever"),
    };
    // Connected, it is kept to be cut out of what the server says. What libraries copied on the way
    // is theirs, and is overwritten sooner or later.
    assert!(connected > 0, "the search works");
    assert!(again <= connected + 4, "copies pile up: {connected}, then {again}");
    assert!(paused < connected, "nothing was wiped: {connected} connected, {paused} paused");
}

/// How many sockets the daemon has open.
fn sockets(daemon: &Daemon) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().flatten();
    let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Whether all threads of the daemon sleep: what was to be done is done.
fn daemon_is_idle(daemon: &Daemon) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().flatten();
    let states = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
    states.into_iter().all(|status| status.contains("\nState:\tS"))
}

/// How often the token stands in the daemon's memory.
fn in_memory(daemon: &Daemon) -> usize {
    use std::os::unix::fs::FileExt as _;
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap();
    let memory = std::fs::File::open(format!("/proc/{}/mem", daemon.pid())).unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let (from, to) =
            (u64::from_str_radix(range.0, 16).unwrap(), u64::from_str_radix(range.1, 16).unwrap());
        let mut bytes = vec![0; (to - from) as usize];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            found += count(&bytes, MARK.as_bytes());
        }
    }
    found
}

#[test]
fn a_debugger_of_the_same_user_is_turned_away() {
    if !has_users() || !needs::programs(&["gdb"]) {
        return;
    }
    let mut daemon = daemon_of_a_user("method = \"header\"");
    as_user(&mut daemon);
    let core = daemon.path("core.taken");
    let taken = Command::new("setpriv")
        .args(["--reuid", USER, "--regid", USER, "--clear-groups", "gdb", "--batch", "-nx", "-p"])
        .arg(daemon.pid().to_string())
        .args(["-ex", &format!("generate-core-file {}", core.display())])
        .current_dir("/")
        .output()
        .unwrap();
    assert!(!core.exists(), "{}", String::from_utf8_lossy(&taken.stdout));
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(said.contains("Operation not permitted"), "{said}");
    let mut hunt = Hunt::new();
    hunt.through("what the debugger saw", &taken.stdout);
    hunt.found_nothing();
}
