//! What is aimed at, each as a ratio or a bound within one round, and whether a run got there.

use serde_json::{Value, json};

use super::{Key, Round, Run, Spread};

const FULL: &str = "holdline full";
const NORMAL: &str = "holdline normal";
const SQLITE_FULL: &str = "SQLite full";
const DELIVERED: &str = "window 1024, delivered";
const RECEIPTS_1: &str = "window 1, receipts";
const RECEIPT: &str = "call to receipt, 200/s, p50";
const FAR: &str = "call to far side, 200/s, p50";

/// Some bounds that belong together.
pub(super) struct Goal {
    pub(super) number: u8,
    parts: Vec<Part>,
}

/// What one round says.
type OfRound = Box<dyn Fn(&Round) -> Option<f64>>;

/// One bound.
struct Part {
    text: &'static str,
    bound: Bound,
    unit: &'static str,
    value: OfRound,
}

#[derive(Clone, Copy)]
enum Bound {
    Least(f64),
    Most(f64),
}

/// A goal beside what was measured.
pub(super) struct Judged {
    pub(super) number: u8,
    pub(super) parts: Vec<JudgedPart>,
}

pub(super) struct JudgedPart {
    pub(super) text: &'static str,
    pub(super) wanted: String,
    pub(super) measured: Option<Spread>,
    pub(super) unit: &'static str,
    met: bool,
}

impl JudgedPart {
    /// By the median; the spread stands beside it.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.measured, self.met) {
            (None, _) => "not measured",
            (Some(_), true) => "met",
            (Some(_), false) => "not met",
        }
    }
}

impl Judged {
    pub(super) fn as_json(&self) -> Value {
        let parts = self.parts.iter().map(|part| {
            json!({"what": part.text, "wanted": part.wanted, "unit": part.unit, "verdict": part.verdict(),
                "median": part.measured.map(|spread| spread.median),
                "min": part.measured.map(|spread| spread.min),
                "max": part.measured.map(|spread| spread.max)})
        });
        json!({"goal": self.number, "parts": parts.collect::<Vec<_>>()})
    }
}

impl Goal {
    pub(super) fn judge(&self, run: &Run) -> Judged {
        let parts = self.parts.iter().map(|part| {
            let measured = run.of(&part.value);
            let (wanted, met): (String, fn(f64, f64) -> bool) = match part.bound {
                Bound::Least(bound) => {
                    (format!("≥ {}", super::human(bound)), |value, bound| value >= bound)
                }
                Bound::Most(bound) => (format!("≤ {}", super::human(bound)), |value, bound| value <= bound),
            };
            let (Bound::Least(bound) | Bound::Most(bound)) = part.bound;
            let met = measured.is_some_and(|spread| met(spread.median, bound));
            JudgedPart { text: part.text, wanted, measured, unit: part.unit, met }
        });
        Judged { number: self.number, parts: parts.collect() }
    }
}

fn part(
    text: &'static str,
    bound: Bound,
    unit: &'static str,
    value: impl Fn(&Round) -> Option<f64> + 'static,
) -> Part {
    Part { text, bound, unit, value: Box::new(value) }
}

/// One figure over another one of the same round.
fn ratio(text: &'static str, over: Key<'static>, under: Key<'static>, bound: Bound) -> Part {
    part(text, bound, "×", move |round| Some(round.get(over)? / round.get(under)?))
}

/// One figure less another one of the same round.
fn difference(
    text: &'static str,
    more: Key<'static>,
    less: Key<'static>,
    unit: &'static str,
    most: f64,
) -> Part {
    part(text, Bound::Most(most), unit, move |round| Some(round.get(more)? - round.get(less)?))
}

/// A figure by itself.
fn plain(text: &'static str, key: Key<'static>, unit: &'static str, most: f64) -> Part {
    part(text, Bound::Most(most), unit, move |round| round.get(key))
}

/// All goals.
pub(super) fn all() -> Vec<Goal> {
    let goals = [outbound(), inbound_and_growth(), footprint()].into_iter().flatten();
    goals.map(|(number, parts)| Goal { number, parts }).collect()
}

fn outbound() -> Vec<(u8, Vec<Part>)> {
    use Bound::{Least, Most};
    let o1 = ("O1", DELIVERED, FULL);
    let o1_normal = ("O1", DELIVERED, NORMAL);
    let o2 = ("O1", RECEIPTS_1, FULL);
    let o3 = ("O3", RECEIPT, FULL);
    let far = ("O3", FAR, FULL);
    let far_normal = ("O3", FAR, NORMAL);
    let p99 = ("O3", "call to receipt, 200/s, p99", FULL);
    let batched = ("limit", "commits of 512", SQLITE_FULL);
    let batched_normal = ("limit", "commits of 512", "SQLite normal");
    let single = ("limit", "commits of 1", SQLITE_FULL);
    let insert = ("limit", "one insert, 200/s, p50", SQLITE_FULL);
    let sync = ("limit", "fdatasync 4 KiB, 200/s, p99", "disk");
    vec![
        (1, vec![ratio("O1 full / SQLite full, 512 per commit", o1, batched, Least(0.70))]),
        (
            2,
            vec![
                ratio(
                    "O1 full / Redis always and shipper",
                    o1,
                    ("O1", DELIVERED, "Redis always"),
                    Least(2.5),
                ),
                ratio("O1 full / mosquitto, limits lifted", o1, ("O1", DELIVERED, "mosquitto"), Least(5.0)),
                ratio(
                    "O1 full / mosquitto, autosave",
                    o1,
                    ("O1", DELIVERED, "mosquitto autosave"),
                    Least(100.0),
                ),
            ],
        ),
        (
            3,
            vec![
                ratio("O1 normal / SQLite normal, 512 per commit", o1_normal, batched_normal, Least(0.60)),
                ratio("O1 normal / NATS leaf", o1_normal, ("O1", DELIVERED, "NATS leaf"), Least(4.0)),
            ],
        ),
        (
            4,
            vec![
                ratio("O2 full / SQLite full, 1 per commit", o2, single, Least(0.60)),
                ratio("O4 full with 8 apps / O2 full", ("O4", "8 apps, receipts", FULL), o2, Least(5.0)),
            ],
        ),
        (
            5,
            vec![
                difference("O3 full, receipt p50 − one SQLite insert p50", o3, insert, "µs", 180.0),
                ratio(
                    "O3 full, far side p50 / Redis always p50",
                    far,
                    ("O3", FAR, "Redis always"),
                    Most(1.0),
                ),
                difference("O3 full, receipt p99 − fdatasync p99", p99, sync, "µs", 500.0),
            ],
        ),
        (
            6,
            vec![
                ratio(
                    "O3 normal, far side p50 / mosquitto p50",
                    far_normal,
                    ("O3", FAR, "mosquitto"),
                    Most(1.5),
                ),
                ratio(
                    "O3 normal, far side p50 / NATS leaf p50",
                    far_normal,
                    ("O3", FAR, "NATS leaf"),
                    Most(0.5),
                ),
            ],
        ),
    ]
}

fn inbound_and_growth() -> Vec<(u8, Vec<Part>)> {
    use Bound::{Least, Most};
    let one = ("I1", "1 subscriber", FULL);
    let ten = "10 subscribers, deliveries";
    let hundred = "100 subscribers, deliveries";
    let socket = "Unix socket";
    let cost = |what: &'static str| ("O5", what, FULL);
    let deep = cost("1000000 rows, in and out");
    let replay = |who: &'static str| ("I3", "replay", who);
    let stored = |what: &'static str| ("I3", what, FULL);
    vec![
        (
            7,
            vec![
                ratio(
                    "I1 full, 1 subscriber / SQLite full, 512 per commit",
                    one,
                    ("limit", "commits of 512", SQLITE_FULL),
                    Least(0.90),
                ),
                ratio(
                    "I1 full, 10 subscribers / bare sockets",
                    ("I1", ten, FULL),
                    ("I1", ten, socket),
                    Least(0.90),
                ),
                ratio(
                    "I1 full, 100 subscribers / bare sockets",
                    ("I1", hundred, FULL),
                    ("I1", hundred, socket),
                    Least(2.0),
                ),
                ratio(
                    "I1 full, 1 subscriber / mosquitto bridge inwards",
                    one,
                    ("I1", DELIVERED, "mosquitto"),
                    Least(7.0),
                ),
            ],
        ),
        (
            8,
            vec![
                part(
                    "I3 replay / the slower of a bare SELECT and a bare socket",
                    Least(0.5),
                    "×",
                    move |round| {
                        let limit = round.get(replay("SQLite SELECT"))?.min(round.get(replay(socket))?);
                        Some(round.get(replay(FULL))? / limit)
                    },
                ),
                ratio(
                    "I4 nine readers beside one that never reads / nine alone",
                    ("I4", "9 beside one that never reads, deliveries", FULL),
                    ("I4", "9 subscribers, deliveries", FULL),
                    Least(0.95),
                ),
            ],
        ),
        (
            9,
            vec![
                ratio(
                    "O5 a message in and out, at 10⁶ rows / at 10⁴",
                    deep,
                    cost("10000 rows, in and out"),
                    Most(1.1),
                ),
                ratio(
                    "O5 a message in and out, at 10⁶ rows / at 10³",
                    deep,
                    cost("1000 rows, in and out"),
                    Most(1.2),
                ),
                ratio(
                    "O5 CPU of a message in and out, at 10⁶ rows / at 10⁴",
                    cost("1000000 rows, in and out, CPU"),
                    cost("10000 rows, in and out, CPU"),
                    Most(1.1),
                ),
                ratio(
                    "I3 CPU of an event, at 10⁶ stored / at 10⁴",
                    stored("1000000 stored, CPU of one more"),
                    stored("10000 stored, CPU of one more"),
                    Most(1.1),
                ),
                plain("status call at 10⁶ rows, p50", cost("1000000 rows, status call, p50"), "µs", 1000.0),
            ],
        ),
    ]
}

fn footprint() -> Vec<(u8, Vec<Part>)> {
    use Bound::{Least, Most};
    let switches = |who: &'static str| ("R1", "idle, context switches", who);
    let empty = ("R2", "nothing queued, resident", FULL);
    let full_queue = ("R2", "1000000 queued, resident", FULL);
    let peak = ("R2", "1000000 queued and drained, most resident", FULL);
    let first = ("O5", "1000000 rows, first row after the connection", FULL);
    vec![
        (
            10,
            vec![plain(
                "C1 messages with a receipt that were lost in all kills",
                ("C1", "of them lost", FULL),
                "",
                0.0,
            )],
        ),
        (
            11,
            vec![
                plain("R1 resident", ("R1", "idle, resident", FULL), "MiB", 12.0),
                plain("R1 context switches a second", switches(FULL), "", 0.5),
                ratio("R1 context switches / mosquitto", switches(FULL), switches("mosquitto"), Most(0.05)),
                ratio("R1 context switches / Redis", switches(FULL), switches("Redis always"), Most(0.05)),
                plain("R1 CPU", ("R1", "idle, CPU", FULL), "ticks", 0.0),
            ],
        ),
        (
            12,
            vec![difference(
                "R2 resident at 10⁶ queued − with nothing queued",
                full_queue,
                empty,
                "MiB",
                16.0,
            )],
        ),
        (
            13,
            vec![
                plain("R3 the program", ("R3", "the program", "holdline"), "MB", 12.0),
                plain(
                    "R4 start to first answer with 10⁶ rows",
                    ("R4", "start to first answer, 1000000 queued", FULL),
                    "ms",
                    50.0,
                ),
                plain(
                    "R5 server back: connection to first row, p50",
                    ("R5", "server back: connection to first row, p50", FULL),
                    "µs",
                    1000.0,
                ),
            ],
        ),
        (
            14,
            vec![
                ratio(
                    "O5 draining 10⁶ rows / O1",
                    ("O5", "1000000 rows, draining", FULL),
                    ("O5", "O1 before it, delivered", FULL),
                    Least(1.0),
                ),
                plain("O5 first of 10⁶ rows after the connection", first, "µs", 5000.0),
                difference("O5 most resident at 10⁶ − with nothing queued", peak, empty, "MiB", 16.0),
            ],
        ),
    ]
}
