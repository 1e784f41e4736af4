//! N1 to N4: events that are worth a notification, with nobody to show them, with a desktop that does,
//! and with one that hangs: what storing and serving pay for it.

use std::path::Path;
use std::time::Duration;

use memchr::memmem::Finder;

use crate::figures::{Figures, number, rate};
use crate::inbound::{one_by_one, push};
use crate::message::{finder, number_after};
use crate::options::Scale;
use crate::server::Server;
use crate::stats::{Latency, Spread, now};
use crate::subject::{App, Subject};
use crate::support::desktop::{Bus, Display, Dunst};
use crate::support::needs;
use crate::wire::pace;

/// Turns of the three, one after the other, so that all meet the same machine.
const TURNS: usize = 3;
/// N4: a hundred events a hundred times a second.
const BEATS: u32 = 100;
const PER_BEAT: usize = 100;

/// One of the three.
struct Case {
    who: &'static str,
    server: Server,
    subject: Subject,
    rates: Vec<f64>,
    took: Latency,
    held: Vec<f64>,
    under_load: Latency,
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
        let (took, under_load) = (Latency::default(), Latency::default());
        Self { who, server, subject, rates: Vec::new(), took, held: Vec::new(), under_load }
    }

    fn turn(&mut self, scale: &Scale) {
        let burst = scale.messages / 10;
        let reader = [self.subject.subscriber().socket()];
        self.rates.push(rate(burst, push(&self.server, &reader, burst)));
        self.took.append(one_by_one(&self.subject, &self.server, scale.paced));
    }

    fn turn_under_load(&mut self, scale: &Scale) {
        let (held, under_load) = ten_thousand(&self.subject, &self.server, scale.paced);
        self.held.push(held);
        self.under_load.append(under_load);
    }

    fn put(&self, figures: &mut Figures) {
        figures.put("N1", "1 subscriber", self.who, "events/s", Spread::of(&self.rates).median);
        figures.latency("N2", "server to subscriber, 200/s", self.who, &self.took);
        figures.put("N4", "kept up with", self.who, "events/s", Spread::of(&self.held).median);
        figures.latency("N4", "server to subscriber, 10,000/s", self.who, &self.under_load);
    }
}

/// Ten thousand events a second: how many a second arrived, and how long each hundred of them was
/// under way.
fn ten_thousand(subject: &Subject, server: &Server, lasts: Duration) -> (f64, Latency) {
    let mut app = subject.subscriber();
    let finder = finder();
    let beats = lasts.as_millis() as u64 * u64::from(BEATS) / 1000;
    let begin = now();
    std::thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            let beat = |n| {
                pace(begin, n, BEATS);
                let at = now();
                (server.push(PER_BEAT), at)
            };
            (1..=beats).map(beat).collect::<Vec<_>>()
        });
        let mut seen = Vec::new();
        for _ in 0..beats as usize * PER_BEAT {
            seen.push((next(&mut app, &finder), now()));
        }
        let pushed = pusher.join().expect("it only pushes");
        let took = begin.elapsed();
        server.confirmed(pushed.last().map_or(0, |&(number, _)| number));
        let mut under_way = Latency::default();
        let mut seen = seen.into_iter();
        for &(number, at) in &pushed {
            let (_, arrived) = seen.find(|&(seen, _)| seen == number).expect("each event arrives once");
            under_way.add(arrived - at);
        }
        (rate(pushed.len() * PER_BEAT, took), under_way)
    })
}

/// The number of the next event.
fn next(app: &mut App, finder: &Finder<'_>) -> u64 {
    loop {
        if let Some(number) = number_after(app.read_line().as_bytes(), finder) {
            return number;
        }
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
        for case in [&mut off, &mut on, &mut hangs] {
            case.turn_under_load(scale);
        }
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
            let ratio = case.under_load.percentile(p) / off.under_load.percentile(p);
            figures.put("N4", format!("server to subscriber, 10,000/s, p{p}"), who, "×", ratio);
        }
        let held = |case: &Case| Spread::of(&case.held).median;
        figures.put("N4", "kept up with", who, "×", held(case) / held(&off));
    }
    let what = "most notifications shown in one turn";
    figures.put("N3", what, "notifications on", "", number(most_shown as u64));
}
