//! Notifications on a real desktop: a session bus, an X server, dunst. And with what a desktop does at
//! its worst: it is not there, comes late, hangs, dies, refuses.

use std::time::Duration;

use holdline::dev_server::{Control, DevServer, Options};
use serde_json::{Value, json};

use crate::support::daemon::{Client, Daemon};
use crate::support::desktop::{Bus, Display, Dunst, Manner, NOTIFICATIONS, Service, Shown};
use crate::support::{PATIENCE, needs, until_blocking};

/// What a message says that no log may repeat.
const CANARY: &str = "HLCANARYnotice";

/// A server, and a daemon whose session bus is, or will be, where a desktop puts it.
struct Stage {
    server: DevServer,
    daemon: Daemon,
}

impl Stage {
    async fn set(rules: &str) -> Self {
        let stage = Self::prepare(rules).await;
        stage.start()
    }

    /// Nothing runs but the server.
    async fn prepare(rules: &str) -> Self {
        let server = DevServer::start(Options::default()).await.unwrap();
        let daemon = Daemon::prepare(&format!(
            "[server]\nurl = \"{}\"\ndialect = \"holdline\"\n[reconnect]\ndelays = [\"100ms\"]\n\
             [log]\nlevel = \"trace\"\n{rules}",
            server.url()
        ));
        Self { server, daemon }
    }

    fn start(mut self) -> Self {
        self.daemon.restart();
        self.daemon.wait_for("connected");
        self
    }

    fn bus(&self) -> Bus {
        Bus::start(&self.daemon.path("runtime/bus"), &[])
    }

    fn push(&self, data: &Value) {
        self.server.push("order", data);
    }

    fn notifications(&self) -> Value {
        self.daemon.ctl_json(&["status"])["notifications"].clone()
    }

    /// Waits until the status says this of notifications.
    fn wait_for(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until_blocking(what, || Some(self.notifications()).filter(|seen| holds(seen)))
    }

    /// Publishes events like this until one of them is shown: after trouble the service is not asked at
    /// once again.
    fn push_until_shown(&self, name: &str, shown: impl Fn() -> bool) {
        let begin = self.notifications();
        until_blocking(&format!("an event {name} to be shown (before: {begin})"), || {
            self.push(&json!({ "name": name }));
            std::thread::sleep(Duration::from_millis(100));
            shown().then_some(())
        });
    }

    /// Waits until this many events are acknowledged, and so stored.
    async fn stored(&self, events: u64) {
        let stats = self.server.until(PATIENCE, |stats| stats.events_acked >= events).await;
        assert!(stats.is_ok(), "not acknowledged: {stats:?}");
        assert_eq!(self.daemon.ctl_json(&["status"])["inbox"]["events"], events);
    }
}

const RULE: &str = "[notifications]\ncatch_up = \"0s\"\nburst = 1000\n[[notify]]\ntype = \"order\"\n\
    title = \"{{ data.name }}\"\nbody = \"{{ data.text | default('') }}\"\ngroup = \"/group\"\n";

fn desktop() -> bool {
    needs::programs(&["dbus-daemon", "dbus-send", "Xvfb", "dunst", "dunstctl", "busctl"])
}

fn buses() -> bool {
    needs::programs(&["dbus-daemon", "dbus-send"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_shown_and_nothing_of_it_is_markup() {
    if !desktop() {
        return;
    }
    let stage = Stage::prepare(&format!("{RULE}urgency = \"critical\"\n")).await;
    let (bus, display) = (stage.bus(), Display::start());
    let dunst = Dunst::start(&bus, &display);
    let stage = stage.start();

    let text = "<b>5 < 6</b> & <img src='x'> &amp; é 日本";
    stage.push(&json!({"name": "T <i>1</i> &", "text": text}));
    let shown = dunst.wait_for("the first one", |_| true);
    assert_eq!(
        shown,
        Shown {
            id: shown.id,
            app: "holdline".into(),
            summary: "T <i>1</i> &".into(),
            body: "&lt;b&gt;5 &lt; 6&lt;/b&gt; &amp; &lt;img src='x'&gt; &amp;amp; é 日本".into(),
            urgency: "CRITICAL".into(),
        }
    );
    // As it stands on the screen: nothing is bold, nothing is missing.
    assert_eq!(dunst.put_away(&bus)[0].2, format!("T &lt;i&gt;1&lt;/i&gt; &amp;\n{}", shown.body));

    stage.push(&json!({"name": "A1", "group": "a"}));
    let first = dunst.wait_for("A1", |shown| shown.summary == "A1");
    stage.push(&json!({"name": "B1", "group": "b"}));
    let other = dunst.wait_for("B1", |shown| shown.summary == "B1");
    stage.push(&json!({"name": "A2", "group": "a"}));
    let second = dunst.wait_for("A2", |shown| shown.summary == "A2");
    assert_eq!(first.id, second.id, "it took the place of the first");
    assert_ne!(first.id, other.id);
    let on_screen: Vec<String> = dunst.put_away(&bus).into_iter().map(|one| one.1).collect();
    assert!(on_screen.contains(&"A2".to_owned()) && on_screen.contains(&"B1".to_owned()), "{on_screen:?}");
    assert!(!on_screen.contains(&"A1".to_owned()), "{on_screen:?}");

    let seen = stage.wait_for("all to be counted", |seen| seen["shown"] == 4);
    assert_eq!(seen["available"], true, "{seen}");
    assert!(seen["backend"].as_str().unwrap().starts_with("dunst 1."), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_that_comes_later_goes_and_comes_again_is_found_each_time() {
    if !desktop() {
        return;
    }
    let stage = Stage::set(RULE).await;
    let display = Display::start();
    stage.push(&json!({"name": "no bus"}));
    let seen = stage.wait_for("that nobody shows it to be known", |seen| seen["available"] == false);
    assert_eq!(seen["shown"], 0, "{seen}");

    let bus = stage.bus();
    stage.push(&json!({"name": "no service"}));
    let dunst = Dunst::start(&bus, &display);
    stage.push_until_shown("late", || !dunst.shown().is_empty());
    stage.wait_for("it to be known", |seen| seen["available"] == true);

    // The service dies, and comes again.
    drop(dunst);
    until_blocking("its name to be free", || (!bus.has(NOTIFICATIONS)).then_some(()));
    stage.push(&json!({"name": "gone"}));
    stage.wait_for("that to be known", |seen| seen["available"] == false);
    let dunst = Dunst::start(&bus, &display);
    stage.push_until_shown("again", || !dunst.shown().is_empty());

    // So does the bus.
    drop(dunst);
    drop(bus);
    stage.push(&json!({"name": "nothing"}));
    let bus = stage.bus();
    let dunst = Dunst::start(&bus, &display);
    stage.push_until_shown("on another bus", || !dunst.shown().is_empty());
    let events = stage.server.stats().events;
    stage.stored(events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_the_bus_has_to_start_is_started() {
    if !desktop() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let display = Display::start();
    let started = stage.daemon.path("started");
    let command = format!(
        "/usr/bin/env DISPLAY={} HOME={} dunst -print -startup_notification false",
        display.name,
        stage.daemon.path("home").display()
    );
    let script =
        stage.daemon.write_private("dunst.sh", &format!("touch {}\nexec {command}\n", started.display()));
    let bus = Bus::start(
        &stage.daemon.path("runtime/bus"),
        &[(NOTIFICATIONS, &format!("/bin/sh {}", script.display()))],
    );
    let stage = stage.start();
    stage.push(&json!({"name": "first"}));
    stage.push_until_shown("more", || stage.notifications()["shown"].as_u64() > Some(0));
    assert!(started.exists() && bus.has(NOTIFICATIONS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_costs_events_nothing_and_is_left_alone() {
    if !desktop() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let (bus, display) = (stage.bus(), Display::start());
    let dunst = Dunst::start(&bus, &display);
    let stage = stage.start();
    stage.push(&json!({"name": "before"}));
    dunst.wait_for("the first", |shown| shown.summary == "before");
    let files = || std::fs::read_dir(format!("/proc/{}/fd", stage.daemon.pid())).unwrap().count();
    let open = files();

    dunst.halt();
    let mut app = subscriber(&stage);
    for n in 0..200 {
        stage.push(&json!({"name": format!("hang {n}"), "n": n}));
        // Each is there before the next: none waits for the one that is being shown.
        let event = event(&mut app);
        assert_eq!(event["data"]["n"], n);
    }
    stage.stored(201).await;
    let seen = stage.wait_for("the trouble to be known", |seen| seen["available"] == false);
    assert!(seen["failed"].as_u64() > Some(0), "{seen}");
    assert!(seen["reason"].as_str().unwrap().contains("did not answer in time"), "{seen}");
    // A connection that is given up is closed.
    until_blocking("the files to be closed again", || (files() <= open + 1).then_some(()));
    dunst.go_on();
    assert!(stage.daemon.ctl(&["notify", "test"]).status.success());
    stage.push_until_shown("after", || dunst.shown().iter().any(|shown| shown.summary == "after"));
    stage.wait_for("that it is well to be known", |seen| seen["available"] == true);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_is_asked_three_times_and_then_left_alone() {
    if !buses() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let bus = stage.bus();
    let mute = Service::start(&bus, Manner::Mute, &[], 0).await;
    let mut stage = stage.start();
    for n in 0..10 {
        stage.push(&json!({ "name": format!("{n}") }));
    }
    mute.wait_for(3);
    stage.wait_for("the trouble to be known", |seen| seen["available"] == false);
    for n in 10..60 {
        stage.push(&json!({ "name": format!("{n}") }));
    }
    stage.stored(60).await;
    stage.wait_for("all to be given up", |seen| seen["failed"].as_u64() >= Some(60));
    assert_eq!(mute.seen().len(), 3);
    assert!(stage.daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_say_who_it_is_is_asked_again_and_used() {
    if !buses() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let bus = stage.bus();
    let service = Service::start(&bus, Manner::Forgetful, &[], 0).await;
    let stage = stage.start();
    stage.push_until_shown("all the same", || stage.notifications()["shown"].as_u64() > Some(0));
    assert!(!service.seen().is_empty());
    stage.wait_for("its name to be known", |seen| seen["backend"] == "mock [31m 7.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_hangs_is_given_up_and_taken_up_again() {
    if !buses() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let bus = stage.bus();
    let service = Service::start(&bus, Manner::Kind, &[], 0).await;
    let stage = stage.start();
    stage.push(&json!({"name": "before"}));
    service.wait_for(1);
    bus.halt();
    let mut app = subscriber(&stage);
    for n in 0..3 {
        stage.push(&json!({"name": "hang", "n": n}));
        assert_eq!(event(&mut app)["data"]["n"], n);
    }
    stage.wait_for("that to be known", |seen| seen["available"] == false);
    bus.go_on();
    assert!(stage.daemon.ctl(&["notify", "test"]).status.success());
    stage.push_until_shown("after", || service.seen().iter().any(|asked| asked.summary == "after"));
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, reason = "how many are too many depends on how long it took")]
async fn ten_thousand_events_at_once_are_a_few_notifications_and_none_is_lost() {
    const BURST: usize = 5;
    const WINDOW: u64 = 10;
    if !desktop() {
        return;
    }
    let stage = Stage::prepare(&format!(
        "[notifications]\ncatch_up = \"0s\"\nburst = {BURST}\nburst_window = \"{WINDOW}s\"\n[[notify]]\ntype = \"order\"\n"
    ))
    .await;
    let (bus, display) = (stage.bus(), Display::start());
    let dunst = Dunst::start(&bus, &display);
    let stage = stage.start();
    let begin = std::time::Instant::now();
    stage.server.control(Control::Push { kind: "order".into(), data: None, count: 10_000, ephemeral: false });
    stage.stored(10_000).await;
    let seen = stage.wait_for("nearly all to be one", |seen| seen["collapsed"].as_u64() >= Some(9_900));
    // On a machine that is slow enough they come in more than one window.
    let windows = usize::try_from(begin.elapsed().as_secs() / WINDOW).unwrap() + 1;
    let last =
        dunst.wait_for("the one with the number", |shown| shown.summary.contains("notifications at once"));
    let shown = dunst.shown();
    assert!(shown.len() <= (BURST + 1) * windows, "in {windows} windows: {shown:?}");
    assert_eq!(seen["failed"], 0, "{seen}");
    if windows == 1 {
        assert_eq!(last.summary, "9,995 notifications at once");
        assert_eq!(last.body, "order: 9,995");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_one_notification() {
    if !desktop() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let (bus, display) = (stage.bus(), Display::start());
    let dunst = Dunst::start(&bus, &display);
    let mut stage = stage.start();
    stage.push(&json!({"name": "the first"}));
    dunst.wait_for("the first", |shown| shown.summary == "the first");
    assert!(stage.daemon.stop().success());
    for n in 0..500 {
        stage.push(&json!({"name": format!("missed {n}")}));
    }
    let config = std::fs::read_to_string(stage.daemon.config_path()).unwrap();
    stage.daemon.write_config(&config.replace("catch_up = \"0s\"", "catch_up = \"8s\""));
    let stage = stage.start();
    stage.stored(501).await;
    dunst.wait_for("the one for all of them", |shown| {
        shown.summary == "500 notifications while the line was away" && shown.body == "order: 500"
    });
    assert_eq!(dunst.shown().len(), 2, "{:?}", dunst.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn muted_is_silent_over_a_restart_and_a_test_is_shown() {
    if !buses() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let bus = stage.bus();
    let service = Service::start(&bus, Manner::Kind, &["body", "body-markup"], 0).await;
    let mut stage = stage.start();
    assert!(stage.daemon.ctl(&["notify", "mute"]).status.success());
    stage.push(&json!({"name": "muted"}));
    stage.wait_for("that to be counted", |seen| seen["suppressed"] == 1);
    stage.daemon.kill9();
    let stage = stage.start();
    stage.push(&json!({"name": "still muted"}));
    stage.wait_for("that to be counted", |seen| seen["suppressed"] == 1);
    assert!(service.seen().is_empty(), "{:?}", service.seen());
    assert!(stage.daemon.ctl(&["notify", "unmute"]).status.success());
    stage.push(&json!({"name": "heard"}));
    assert_eq!(service.wait_for(1)[0].summary, "heard");
    let test = stage.daemon.ctl(&["notify", "test"]);
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
    service.wait_for(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_told_all_it_needs_and_only_numbers_of_its_own() {
    if !buses() {
        return;
    }
    let stage = Stage::prepare(&format!("{RULE}urgency = \"low\"\nsound = \"message-new-instant\"\n")).await;
    let bus = stage.bus();
    let plain = Service::start(&bus, Manner::Kind, &["body"], 40).await;
    let stage = stage.start();
    for name in ["one", "two"] {
        stage.push(&json!({"name": name, "text": "<b> & co", "group": "g"}));
    }
    let seen = plain.wait_for(2);
    assert_eq!((seen[0].replaces, seen[1].replaces), (0, 41), "{seen:?}");
    assert_eq!(seen[0].app, "holdline");
    assert_eq!(seen[0].expires, -1);
    // Who reads no markup gets none.
    assert_eq!(seen[0].body, "<b> & co");
    let hints = &seen[0].hints;
    assert_eq!(u8::try_from(&*hints["urgency"]).unwrap(), 0);
    assert_eq!(<&str>::try_from(&*hints["sound-name"]).unwrap(), "message-new-instant");
    assert_eq!(<&str>::try_from(&*hints["desktop-entry"]).unwrap(), "holdline");
    stage.wait_for("its name to be known", |seen| seen["backend"] == "mock [31m 7.1");

    // Another service takes over: what that number means there is not ours to touch.
    plain.leave().await;
    until_blocking("its name to be free", || (!bus.has(NOTIFICATIONS)).then_some(()));
    let other = Service::start(&bus, Manner::Kind, &["body", "body-markup"], 40).await;
    stage.push_until_shown("three", || !other.seen().is_empty());
    stage.push(&json!({"name": "four", "text": "<b> & co", "group": "g"}));
    let seen =
        until_blocking("the fourth", || other.seen().into_iter().find(|asked| asked.summary == "four"));
    assert_eq!(seen.replaces, 0, "{seen:?}");
    assert_eq!(seen.body, "&lt;b&gt; &amp; co");
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_what_is_shown_is_in_no_log_whatever_the_level_and_whatever_the_service_says() {
    if !buses() {
        return;
    }
    let stage = Stage::prepare(RULE).await;
    let bus = stage.bus();
    let rude = Service::start(&bus, Manner::Rude, &[], 0).await;
    let stage = stage.start();
    stage.push(&json!({"name": CANARY, "text": format!("{CANARY}\n{CANARY}")}));
    rude.wait_for(1);
    let seen = stage.wait_for("that it refused to be known", |seen| seen["failed"] != 0);
    let log = stage.daemon.log();
    assert!(log.contains("DEBUG") && log.contains("LimitsExceeded"), "{log}");
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains(CANARY) && !line.contains("frame")).collect();
    assert!(told.is_empty(), "{told:?}");
    assert!(!seen.to_string().contains(CANARY), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_who_shows_notifications_and_what_to_do_where_nobody_does() {
    if !desktop() {
        return;
    }
    let stage = Stage::set(RULE).await;
    let check = || {
        let found = stage.daemon.command(&["ctl", "--json", "doctor"]).output().unwrap();
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        let mut checks = found["checks"].as_array().unwrap().iter();
        checks.find(|check| check["code"] == "notifications").unwrap().clone()
    };
    let seen = check();
    assert_eq!(seen["ok"], false, "{seen}");
    assert!(
        seen["detail"].as_str().unwrap().contains("session bus cannot be reached at unix:path="),
        "{seen}"
    );
    assert!(seen["hint"].as_str().unwrap().contains("dunst"), "{seen}");

    let (bus, display) = (stage.bus(), Display::start());
    let seen = check();
    assert!(seen["detail"].as_str().unwrap().contains("nobody on the session bus"), "{seen}");
    let dunst = Dunst::start(&bus, &display);
    let seen = check();
    assert_eq!(seen["ok"], true, "{seen}");
    let detail = seen["detail"].as_str().unwrap();
    assert!(detail.starts_with("dunst 1.") && detail.ends_with(", 1 rule"), "{seen}");
    dunst.halt();
    let seen = check();
    assert!(seen["detail"].as_str().unwrap().contains("did not answer within 2 s"), "{seen}");
    dunst.go_on();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_of_a_rule_reads_the_event_and_ends_with_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let rules = format!(
        "[[notify]]\ntype = \"order\"\nrun = [\"/bin/sh\", \"-c\", \"cat >> {path}/read; env > {path}/env; echo told $HOLDLINE_SEQ\"]\n\
         [[notify]]\ntype = \"slow\"\nrun = [\"/bin/sh\", \"-c\", \"echo $$ > {path}/pid; exec sleep 600\"]\nrun_timeout = \"5m\"\n\
         [[notify]]\ntype = \"wrong\"\nrun = [\"/bin/false\"]\n"
    );
    let mut stage = Stage::prepare(&rules).await;
    let token = stage.daemon.write_private("token", CANARY);
    let config = std::fs::read_to_string(stage.daemon.config_path()).unwrap();
    stage.daemon.write_config(&format!("[auth]\nmethod = \"message\"\ntoken_env = \"APP_TOKEN\"\n{config}"));
    stage.daemon.set_variable("APP_TOKEN", CANARY);
    stage.daemon.set_variable("CREDENTIALS_DIRECTORY", &token.display().to_string());
    let mut stage = stage.start();
    stage.push(&json!({"name": "$(touch x) `y`"}));
    let read = || std::fs::read_to_string(folder.path().join("read")).unwrap_or_default();
    let line = until_blocking("the event to be read", || Some(read()).filter(|text| text.ends_with('\n')));
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["name"]),
        (&json!("order"), &json!("$(touch x) `y`")),
        "{event}"
    );
    let logged = format!("told {}", event["seq"]);
    until_blocking("what it printed to be in the log", || stage.daemon.log().contains(&logged).then_some(()));
    let env = std::fs::read_to_string(folder.path().join("env")).unwrap();
    assert!(env.contains("HOLDLINE_TYPE=order\n") && env.contains("XDG_RUNTIME_DIR="), "{env}");
    assert!(
        !env.contains("APP_TOKEN") && !env.contains("CREDENTIALS_DIRECTORY") && !env.contains(CANARY),
        "{env}"
    );

    stage.server.push("wrong", &json!({}));
    let seen = stage.wait_for("its failure to be counted", |seen| seen["commands_failed"] == 1);
    assert_eq!(seen["commands"], 2, "{seen}");
    until_blocking("its failure to be told", || stage.daemon.log().contains("exit status: 1").then_some(()));

    stage.server.push("slow", &json!({}));
    let pid = until_blocking("the slow one to run", || {
        let pid = std::fs::read_to_string(folder.path().join("pid")).ok()?;
        pid.trim().parse::<u32>().ok()
    });
    assert!(stage.daemon.stop().success());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it outlived the daemon");
}

fn subscriber(stage: &Stage) -> Client {
    let mut app = stage.daemon.client();
    app.call("events.subscribe", &json!({"from": "now"})).unwrap();
    app
}

fn event(app: &mut Client) -> Value {
    loop {
        let note = app.notification();
        if note["method"] == "event" {
            return note["params"]["event"].clone();
        }
    }
}
