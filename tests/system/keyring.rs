//! The token from a real keyring (GNOME Keyring) on a session bus of its own: read, locked, missing,
//! absent, hanging, changed; and never a question to the person, nor a start that fails.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::canary::{Hunt, TOKEN};
use crate::support::daemon::Daemon;
use crate::support::server::{ScriptedServer, Upgrade};
use crate::support::{needs, until_blocking};

/// A bus without programs that it could start by itself.
const BUS: &str = "<busconfig><type>session</type><listen>unix:path=SOCKET</listen>\
    <policy context=\"default\"><allow send_destination=\"*\"/><allow own=\"*\"/><allow eavesdrop=\"true\"/></policy></busconfig>";
const ENTRY: &str = "token_keyring = \"api.example/kim\"";
/// All there is to see.
const LOUD: &str = "trace,zbus=trace,secret_service=trace";

/// Ends with its handle, stopped or not.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon that takes its token from the keyring, and the session it lives in.
struct Session {
    daemon: Daemon,
    bus: Option<Running>,
    keyring: Option<Running>,
}

fn has_keyring() -> bool {
    needs::programs(&["dbus-daemon", "gnome-keyring-daemon", "secret-tool", "gdbus", "dbus-monitor"])
}

impl Session {
    /// Starts nothing. `url` is where the daemon goes.
    fn prepare(url: &str) -> Self {
        let mut daemon = Daemon::prepare("");
        daemon.write_config(&format!(
            "[server]\nurl = \"{url}\"\n[auth]\nmethod = \"header\"\n{ENTRY}\n\
             [reconnect]\ndelays = [\"5m\"]\njitter = 0.0\n[log]\nlevel = \"{LOUD}\"\n"
        ));
        let socket = daemon.path("runtime/bus");
        daemon.set_variable("DBUS_SESSION_BUS_ADDRESS", &format!("unix:path={}", socket.display()));
        daemon.set_variable("XDG_DATA_HOME", &daemon.path("home").display().to_string());
        daemon.write_private("bus.conf", &BUS.replace("SOCKET", &socket.display().to_string()));
        daemon.write_private("password", "pw");
        Self { daemon, bus: None, keyring: None }
    }

    /// A program in the session.
    fn program(&self, words: &[&str]) -> Command {
        let inner = self.daemon.command(&[]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().current_dir(self.daemon.path(""));
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null());
        command
    }

    fn start(&self, words: &[&str], input: Option<&str>) -> Running {
        let mut command = self.program(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(input) = input {
            command.stdin(std::fs::File::open(self.daemon.path(input)).unwrap());
        }
        Running(command.spawn().unwrap())
    }

    fn start_bus(&mut self) {
        let config = format!("--config-file={}", self.daemon.path("bus.conf").display());
        self.bus = Some(self.start(&["dbus-daemon", &config, "--nofork", "--nopidfile"], None));
        until_blocking("the bus", || {
            std::os::unix::net::UnixStream::connect(self.daemon.path("runtime/bus")).ok()
        });
    }

    /// Starts the keyring, unlocked.
    fn start_keyring(&mut self) {
        let words = ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"];
        self.keyring = Some(self.start(&words, Some("password")));
        until_blocking("the keyring", || {
            let path = "/org/freedesktop/secrets/collection/login";
            self.gdbus(path, "org.freedesktop.DBus.Properties.GetAll", &["org.freedesktop.Secret.Collection"])
        });
    }

    /// Calls a method of the keyring; none where that fails.
    fn gdbus(&self, path: &str, method: &str, arguments: &[&str]) -> Option<String> {
        let words = ["gdbus", "call", "--session", "-d", "org.freedesktop.secrets", "-o", path, "-m", method];
        let output = self.program(&words).args(arguments).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// As a person stores it, by the words of the hint.
    fn store(&self, token: &str) {
        let words = ["secret-tool", "store", "--label=api", "service", "api.example", "username", "kim"];
        let mut child = self.program(&words).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn lock(&self) {
        let all = "['/org/freedesktop/secrets/collection/login']";
        let locked = self.gdbus("/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock", &[all]);
        assert!(locked.is_some());
    }

    /// As at log-in.
    fn unlock(&self) {
        let address = format!("unix:path={}", self.daemon.path("runtime/bus").display());
        let unlocking = async {
            let bus = zbus::connection::Builder::address(address.as_str())?.build().await?;
            let service = zbus::Proxy::new(
                &bus,
                "org.freedesktop.secrets",
                "/org/freedesktop/secrets",
                "org.freedesktop.Secret.Service",
            )
            .await?;
            let (_, session): (zbus::zvariant::OwnedValue, zbus::zvariant::OwnedObjectPath) =
                service.call("OpenSession", &("plain", zbus::zvariant::Value::from(""))).await?;
            let login = zbus::zvariant::ObjectPath::try_from("/org/freedesktop/secrets/collection/login")?;
            let password = (session, Vec::<u8>::new(), b"pw".to_vec(), "text/plain");
            bus.call_method(
                Some("org.freedesktop.secrets"),
                "/org/freedesktop/secrets",
                Some("org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"),
                "UnlockWithMasterPassword",
                &(login, password),
            )
            .await
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(unlocking).expect("the password is right");
    }

    /// Waits for this reason, whose text holds that, and gives its hint.
    fn reason(&self, kind: &str, text: &str) -> String {
        let mut client = self.daemon.client();
        until_blocking(&format!("{kind}: {text}"), || {
            let link = client.call("status", &json!({})).unwrap()["link"].take();
            let reason = &link["reason"];
            let it_is = reason["kind"] == kind && reason["text"].as_str()?.contains(text);
            if it_is && kind == "no_credential" {
                assert_eq!(link["state"], "unauthorized");
            }
            it_is.then(|| reason["hint"].as_str().unwrap_or_default().to_owned())
        })
    }

    fn reconnect(&self) {
        self.daemon.client().call("link.reconnect", &json!({})).unwrap();
    }

    fn credential_check(&self) -> Value {
        let output = self.daemon.command(&["ctl", "--json", "doctor"]).output().unwrap();
        let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = checks["checks"].as_array().unwrap().iter().find(|check| check["code"] == "credential");
        found.unwrap().clone()
    }
}

/// Takes the token "right" and refuses every other.
async fn server() -> ScriptedServer {
    ScriptedServer::builder()
        .answer(|_, request| match request.header("Authorization").as_slice() {
            [token] if *token == "Bearer right" || token.contains(TOKEN) => Upgrade::Accept(None),
            _ => Upgrade::refuse(401, &[], "no such token"),
        })
        .start()
        .await
}

async fn with_server(test: impl FnOnce(String) + Send + 'static) {
    let server = Arc::new(server().await);
    let (url, served) = (server.url(), Arc::clone(&server));
    let accepting = tokio::spawn(async move {
        let mut peers = Vec::new();
        loop {
            peers.push(served.accept().await);
        }
    });
    let tested = tokio::task::spawn_blocking(move || test(url)).await;
    accepting.abort();
    tested.expect("the test says why");
}

/// One life from a session without anything to one that is signed in: each step is told with a
/// sentence of its own, and what helps is picked up at once. Nothing is asked again by time: the next
/// try is minutes away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_keyring_lacks_is_told_and_what_comes_is_picked_up_at_once() {
    if !has_keyring() {
        return;
    }
    with_server(|url| {
        let mut session = Session::prepare(&url);
        session.daemon.restart();
        let hint = session.reason("no_credential", "there is no session bus to ask on");
        assert!(hint.contains("DBUS_SESSION_BUS_ADDRESS"), "{hint}");
        let check = session.credential_check();
        assert_eq!(check["ok"], false, "{check}");

        session.start_bus();
        session.reconnect();
        let hint = session.reason("no_credential", "nothing on the session bus keeps secrets");
        assert!(hint.contains("Secret Service"), "{hint}");

        // From here on nothing is done but in the keyring.
        session.start_keyring();
        let hint = session.reason("no_credential", "the keyring entry api.example/kim does not exist");
        assert!(
            hint.contains("secret-tool store --label='api.example kim' service api.example username kim;"),
            "{hint}"
        );
        session.store("wrong\n");
        session.reason("auth_refused", "no such token");
        session.store("right\n");
        session.daemon.wait_for("connected");
        let check = session.credential_check();
        assert_eq!(check["ok"], true, "{check}");
        assert_eq!(check["detail"], "the keyring entry api.example/kim");
        assert!(session.daemon.stop().success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_keyring_is_told_asks_nobody_and_is_read_when_it_is_unlocked() {
    if !has_keyring() {
        return;
    }
    with_server(|url| {
        let mut session = Session::prepare(&url);
        session.start_bus();
        session.start_keyring();
        session.store("right");
        session.lock();
        let heard = std::fs::File::create(session.daemon.path("heard")).unwrap();
        let mut monitor = session.program(&["dbus-monitor", "--session"]);
        let _monitor = Running(monitor.stdout(heard).stderr(Stdio::null()).spawn().unwrap());
        let file = session.daemon.path("heard");
        let heard = || std::fs::read_to_string(&file).unwrap();
        until_blocking("the monitor", || heard().contains("NameLost").then_some(()));

        session.daemon.restart();
        let hint = session.reason("no_credential", "the keyring entry api.example/kim is locked");
        assert!(hint.contains("unlock the keyring"), "{hint}");
        until_blocking("the monitor to have heard it", || {
            heard().contains("member=SearchItems").then_some(())
        });
        for question in ["member=Unlock", "member=Prompt"] {
            assert!(!heard().contains(question), "{question} in:\n{}", heard());
        }
        session.unlock();
        session.daemon.wait_for("connected");
        // The monitor sees such calls: this was one.
        until_blocking("the monitor to have heard that", || {
            heard().contains("member=UnlockWithMasterPassword").then_some(())
        });
    })
    .await;
}

#[test]
fn a_keyring_or_a_bus_that_hangs_is_told_and_holds_nothing_up() {
    if !has_keyring() {
        return;
    }
    let mut session = Session::prepare("ws://127.0.0.1:9/");
    session.start_bus();
    session.start_keyring();
    session.store("right");
    let keyring = session.keyring.take().unwrap();
    let bus = session.bus.take().unwrap();
    keyring.signal(Signal::STOP);
    // Started against it: apps are served while it waits.
    session.daemon.restart();
    let sent = session.daemon.ctl(&["send", "x", "{}"]);
    assert!(sent.status.success(), "{sent:?}");
    session.reason("no_credential", "the keyring did not answer within 5 s");
    let check = session.credential_check();
    assert!(check["detail"].as_str().unwrap().contains("did not answer within 5 s"), "{check}");

    bus.signal(Signal::STOP);
    session.reconnect();
    session.reason("no_credential", "the session bus did not answer within 5 s");
    bus.signal(Signal::CONT);
    keyring.signal(Signal::CONT);
    session.reconnect();
    session.reason("connection_refused", "");

    // Hanging again, it does not hold up the end either.
    keyring.signal(Signal::STOP);
    session.reconnect();
    session.daemon.wait_for("connecting");
    assert!(session.daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_token_from_the_keyring_is_found_nowhere_and_leaves_nothing_open() {
    if !has_keyring() {
        return;
    }
    with_server(|url| {
        let mut session = Session::prepare(&url);
        session.start_bus();
        session.start_keyring();
        session.store(&format!("{TOKEN}\n"));
        session.daemon.restart();
        session.daemon.wait_for("connected");
        let open = || std::fs::read_dir(format!("/proc/{}/fd", session.daemon.pid())).unwrap().count();
        let before = open();
        for _ in 0..10 {
            session.reconnect();
            session.daemon.wait_for("connected");
        }
        until_blocking("as few open files as before", || (open() <= before + 1).then_some(()));
        let mut client = session.daemon.client();
        let mut said = String::new();
        for method in ["status", "metrics", "config.show", "link.history", "doctor"] {
            said.push_str(&client.call(method, &json!({})).unwrap().to_string());
        }
        assert!(said.contains("api.example/kim"), "the entry is named: {said}");
        let mut hunt = Hunt::new();
        hunt.through("replies", said.as_bytes());
        hunt.through("the log", session.daemon.log().as_bytes());
        hunt.through_folder(&session.daemon.path("state"), &[]);
        hunt.found_nothing();
    })
    .await;
}
