//! N1 to N3: events that are worth a notification, with nobody to show them, with a desktop that does,
//! and with one that hangs: what storing and serving pay for it.

use std::path::Path;

use crate::figures::{Figures, number, rate};
use crate::inbound::{one_by_one, push};
use crate::options::Scale;
use crate::server::Server;
use crate::stats::{Latency, Spread};
use crate::subject::Subject;
use crate::support::desktop::{Bus, Display, Dunst};
use crate::support::needs;

/// Turns of the three, one after the other, so that all meet the same machine.
const TURNS: usize = 3;

/// One of the three.
struct Case {
    who: &'static str,
    server: Server,
    subject: Subject,
    rates: Vec<f64>,
    took: Latency,
}

impl Case {
    fn start(dir: &Path, who: &'static str, enabled: bool, bus: &Bus) -> Self {
        let more = format!(
            "[notifications]\nenabled = {enabled}\ncatch_up = \"0s\"\n[[notify]]\ntype = \"tick\"\n\
             title = \"Tick {{{{ data.n }}}}\"\nbody = \"{{{{ data.pad }}}}\"\n"
        );
        let bus = [("DBUS_SESSION_BUS_ADDRESS", bus.address())];
        let server = Server::start();
        let subject = Subject::start_with(&dir.join(who.replace(' ', "-")), server.port, "full", &more, &bus);
        Self { who, server, subject, rates: Vec::new(), took: Latency::default() }
    }

    fn turn(&mut self, scale: &Scale) {
        let burst = scale.messages / 10;
        let reader = [self.subject.subscriber().socket()];
        self.rates.push(rate(burst, push(&self.server, &reader, burst)));
        self.took.append(one_by_one(&self.subject, &self.server, scale.paced));
    }

    fn put(&self, figures: &mut Figures) {
        figures.put("N1", "1 subscriber", self.who, "events/s", Spread::of(&self.rates).median);
        figures.latency("N2", "server to subscriber, 200/s", self.who, &self.took);
    }
}

/// The same events with notifications off, on, and on with a service that was stopped.
pub(crate) fn rows(dir: &Path, scale: &Scale, figures: &mut Figures) {
    if !needs::programs(&["dbus-daemon", "dbus-send", "Xvfb", "dunst"]) {
        return;
    }
    let display = Display::start();
    let (good, bad) = (Bus::start(&dir.join("good"), &[]), Bus::start(&dir.join("bad"), &[]));
    let (dunst, halted) = (Dunst::start(&good, &display), Dunst::start(&bad, &display));
    halted.halt();
    let mut off = Case::start(dir, "notifications off", false, &good);
    let mut on = Case::start(dir, "notifications on", true, &good);
    let mut hangs = Case::start(dir, "notifications on a desktop that hangs", true, &bad);
    let mut most_shown = 0;
    for _ in 0..TURNS {
        off.turn(scale);
        let before = dunst.shown().len();
        on.turn(scale);
        most_shown = most_shown.max(dunst.shown().len() - before);
        hangs.turn(scale);
    }
    for case in [&off, &on, &hangs] {
        case.put(figures);
    }
    for (case, who) in [(&on, "on / off"), (&hangs, "on a desktop that hangs / off")] {
        let rate = |case: &Case| Spread::of(&case.rates).median;
        figures.put("N1", "1 subscriber", who, "×", rate(case) / rate(&off));
        for p in [50.0, 99.0] {
            let ratio = case.took.percentile(p) / off.took.percentile(p);
            figures.put("N2", format!("server to subscriber, 200/s, p{p}"), who, "×", ratio);
        }
    }
    let what = "most notifications shown in one turn";
    figures.put("N3", what, "notifications on", "", number(most_shown as u64));
}
