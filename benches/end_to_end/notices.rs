//! Events that are worth a notification, with nobody to show them, with a desktop that does, and with
//! one that hangs: what storing and serving pay for it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::probes::pace;
use crate::rows::{Row, inbound, row};
use crate::stats::{Latency, Spread, now};
use crate::subject::Subject;
use crate::support::desktop::{Bus, Display, Dunst};
use crate::support::needs;

/// Events that come at once, in each turn …
const BURST: usize = 10_000;
/// … and those that come one after the other.
const PER_SECOND: u32 = 200;
const LASTS: Duration = Duration::from_secs(2);
/// Turns of the three, one after the other, so that all meet the same machine.
const TURNS: usize = 5;

/// One of the three.
struct Case {
    subject: Subject,
    rates: Vec<f64>,
    took: Latency,
}

impl Case {
    fn start(folder: &Path, name: &str, enabled: bool, bus: &Bus) -> Self {
        let dir = folder.join(name);
        std::fs::create_dir(&dir).expect("a folder");
        let more = format!(
            "[notifications]\nenabled = {enabled}\ncatch_up = \"0s\"\n[[notify]]\ntype = \"tick\"\n\
             title = \"Tick {{{{ data.n }}}}\"\nbody = \"{{{{ data.pad }}}}\"\n"
        );
        let bus = [("DBUS_SESSION_BUS_ADDRESS", bus.address())];
        Self {
            subject: Subject::start_with(&dir, "full", &more, &bus),
            rates: Vec::new(),
            took: Latency::default(),
        }
    }

    fn turn(&mut self) {
        self.rates.push(inbound(&self.subject, BURST));
        one_by_one(&self.subject, &mut self.took);
    }

    fn rate(&self) -> f64 {
        Spread::of(&self.rates).median
    }

    fn p(&self, p: f64) -> f64 {
        self.took.percentile(p)
    }
}

/// The same events with notifications off, on, and on with a service that was stopped.
pub(crate) fn notices() -> Vec<Row> {
    if !needs::programs(&["dbus-daemon", "dbus-send", "Xvfb", "dunst"]) {
        return Vec::new();
    }
    let folder = tempfile::Builder::new().prefix("hlb").tempdir().expect("a folder");
    let display = Display::start();
    let (good, bad) =
        (Bus::start(&folder.path().join("good"), &[]), Bus::start(&folder.path().join("bad"), &[]));
    let (dunst, halted) = (Dunst::start(&good, &display), Dunst::start(&bad, &display));
    halted.halt();
    let mut off = Case::start(folder.path(), "off", false, &good);
    let mut on = Case::start(folder.path(), "on", true, &good);
    let mut hangs = Case::start(folder.path(), "hangs", true, &bad);
    let mut most_shown = 0;
    for _ in 0..TURNS {
        off.turn();
        let before = dunst.shown().len();
        on.turn();
        most_shown = most_shown.max(dunst.shown().len() - before);
        hangs.turn();
    }
    let shown = f64::from(u32::try_from(most_shown).unwrap_or(u32::MAX));
    vec![
        row("N1 notifications off: events stored and delivered", "events/s", off.rate()),
        row("N1 notifications on: events stored and delivered", "events/s", on.rate()),
        row("N1 on, the service stopped: events stored and delivered", "events/s", hangs.rate()),
        row("N1 on / off", "ratio", on.rate() / off.rate()),
        row("N1 on, the service stopped / off", "ratio", hangs.rate() / off.rate()),
        row("N2 notifications off: push to event, p50", "µs", off.p(50.0)),
        row("N2 notifications off: push to event, p99", "µs", off.p(99.0)),
        row("N2 notifications on: push to event, p50", "µs", on.p(50.0)),
        row("N2 notifications on: push to event, p99", "µs", on.p(99.0)),
        row("N2 on, the service stopped: push to event, p50", "µs", hangs.p(50.0)),
        row("N2 on, the service stopped: push to event, p99", "µs", hangs.p(99.0)),
        row("N2 p50 on / off", "ratio", on.p(50.0) / off.p(50.0)),
        row("N2 p99 on / off", "ratio", on.p(99.0) / off.p(99.0)),
        row("N2 p50 on, the service stopped / off", "ratio", hangs.p(50.0) / off.p(50.0)),
        row("N2 p99 on, the service stopped / off", "ratio", hangs.p(99.0) / off.p(99.0)),
        row("N3 most notifications shown in one turn", "", shown),
    ]
}

/// One event at a time: from the app's wish that the server push one, over the server, to the event in
/// the hands of a subscriber.
fn one_by_one(subject: &Subject, took: &mut Latency) {
    let mut control = subject.app().expect("it serves");
    let mut app = subject.app().expect("it serves");
    app.call("events.subscribe", &json!({"from": "now", "types": ["tick"]})).expect("subscribed");
    let push = json!({"jsonrpc": "2.0", "method": "messages.send", "params": {
        "type": "dev.control", "delivery": "ephemeral", "data": {"do": "push", "event": "tick"}}});
    let push = format!("{push}\n");
    let begin = now();
    let mut n = 0;
    while begin.elapsed() < LASTS {
        n += 1;
        pace(begin, n, PER_SECOND);
        let at = now();
        control.write(push.as_bytes());
        // Other notes come in between: that it has caught up, for one.
        while !app.read_line().contains(r#""method":"event""#) {}
        took.add(at.elapsed());
    }
}
