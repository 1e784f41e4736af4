//! What the pure rooms cost by themselves: a dialect that reads and writes frames of 256 bytes, with
//! few rules and with many, and the session's part in a message and in an event.
//!
//! `cargo bench --bench session [-- WORDS]`: all rows, or those that have one of the words in their name. One
//! core; the best of several runs by the processor time they took, since neighbours only add.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use holdline::dialect::{Dialect, Given, Options, Outgoing, load};
use holdline::model::{
    Appended, Confirm, Delivery, Due, DueRow, EventRow, Frame, Instant, MessageId, Moment, Payload, Place,
    Record, Recorded, Remembered, Resend, RowKind, Seq, Timestamp, TypeRules,
};
use holdline::session::{
    HeartbeatMode, HeartbeatSettings, Input, OutboxSettings, Output, ReconnectSettings, Session, Settings,
};

/// Frames in one run.
const FRAMES: usize = 25_600;
/// Runs, of which the best counts.
const RUNS: usize = 40;

/// Processor time of this thread.
#[cfg(unix)]
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(unix))]
#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Duration {
    static BEGIN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGIN.elapsed()
}

fn best(mut run: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let begin = now();
        run();
        now().saturating_sub(begin)
    });
    let best = times.min().unwrap_or_default();
    FRAMES as f64 / best.as_secs_f64()
}

fn show(what: &str, measure: impl FnOnce() -> f64) {
    let mut wanted = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    if wanted.peek().is_none() || wanted.any(|word| what.contains(&word)) {
        let per_second = measure();
        println!("{what:<64} {:>10.0} /s {:>8.0} ns", per_second, 1e9 / per_second);
    }
}

/// An object of 256 bytes.
fn body() -> String {
    let mut text = String::from(r#"{"orderId":9123,"status":"packed","at":"2026-11-26T12:00:00Z","pad":""#);
    while text.len() < 254 {
        text.push('x');
    }
    text + "\"}"
}

fn dialect(reference: &str, base: &std::path::Path) -> Arc<dyn Dialect> {
    load(reference, base, &serde_json::Map::new(), &Options::default()).expect("a dialect")
}

/// The rules of `json`, and 110 of other types before them.
fn many_rules(base: &std::path::Path) -> Arc<dyn Dialect> {
    let mut text = holdline::dialect::text_of("json", base).expect("built in").0;
    let mut more = String::from("in = [\n");
    for n in 0..110 {
        let _ = writeln!(
            more,
            r#"  {{ as = "event", when = {{ "/type" = "other-{n}" }}, type = "/type", id = "/id" }},"#
        );
    }
    text = text.replacen("in = [\n", &more, 1);
    let path = base.join("many.toml");
    std::fs::write(&path, text).expect("a file");
    dialect("many.toml", base)
}

fn decode(dialect: &Arc<dyn Dialect>) -> f64 {
    let mut talk = dialect.converse(Given::default(), 1);
    let mut acts = Vec::new();
    talk.begin(Moment::default(), &mut acts);
    let frame = format!(r#"{{"type":"order_status","eventId":"k3x9qa-1042","data":{}}}"#, body());
    best(|| {
        for _ in 0..FRAMES {
            acts.clear();
            talk.frame(Moment::default(), Frame::Text(frame.clone()), &mut acts);
            assert_eq!(acts.len(), 1);
        }
    })
}

fn encode(dialect: &Arc<dyn Dialect>) -> f64 {
    let mut talk = dialect.converse(Given::default(), 1);
    let id = MessageId::new("0192f3c4-7a10-7000-8000-0123456789ab").expect("an id");
    let payload = Payload::Json(body().into());
    best(|| {
        for _ in 0..FRAMES {
            let message = Outgoing { id: &id, kind: "place_order", payload: &payload };
            let encoded = talk.encode(Moment::default(), message).expect("it can be said");
            assert!(encoded.frame.len() > 256);
        }
    })
}

fn check(dialect: &Arc<dyn Dialect>) -> f64 {
    let payload = Payload::Json(body().into());
    best(|| {
        for _ in 0..FRAMES {
            dialect.check("place_order", &payload).expect("it may be handed in");
        }
    })
}

fn settings() -> Settings {
    Settings {
        url: "ws://localhost/".to_owned(),
        server_key: "key".to_owned(),
        heartbeat: HeartbeatSettings { mode: HeartbeatMode::Auto, interval: None, timeout: None },
        reconnect: ReconnectSettings {
            delays: vec![Duration::from_secs(1)],
            jitter: 0.0,
            stable_after: Duration::from_secs(30),
            unavailable_after: 3,
        },
        outbox: OutboxSettings {
            window: 256,
            window_bytes: 1 << 20,
            confirm_timeout: Duration::from_secs(30),
            max_attempts: 10,
            drain_rate: 0,
        },
        sign_in: None,
        types: Arc::new(TypeRules::default()),
        lanes: Vec::new(),
    }
}

/// A session with its link up, and what stands for the store and the server.
struct Bench {
    session: Session,
    at: Moment,
    written: u64,
    tickets: Vec<(u64, bool)>,
    sent: u64,
}

impl Bench {
    fn new(dialect: Arc<dyn Dialect>) -> Self {
        let session = Session::new(settings(), dialect, Remembered::default(), 1);
        let at = Moment { instant: Instant::from_nanos(1), ..Moment::default() };
        let mut bench = Self { session, at, written: 0, tickets: Vec::new(), sent: 0 };
        bench.input(Input::Start);
        bench.input(Input::LinkUp { token: None });
        bench.frame(r#"{"type":"resumed","from":"b-0"}"#);
        bench.commit();
        bench.sent = 0;
        bench
    }

    fn input(&mut self, input: Input) {
        self.session.handle(self.at, input);
        self.carry_out();
    }

    fn frame(&mut self, text: &str) {
        self.input(Input::Frame(Frame::Text(text.to_owned())));
    }

    fn carry_out(&mut self) {
        let mut questions = Vec::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Write { ticket, .. } => {
                    self.written = ticket;
                    self.sent += 1;
                }
                Output::Record { ticket, record } => {
                    self.tickets.push((ticket, matches!(record, Record::Inbound { .. })));
                }
                Output::LoadDue(query) => questions.push(query),
                Output::Dial { .. }
                | Output::AbandonDial
                | Output::Ping(_)
                | Output::HangUp { .. }
                | Output::Publish(_) => {}
            }
        }
        for query in questions {
            self.input(Input::Due(Due { query, rows: Vec::new(), end: true }));
        }
    }

    /// What one commit answers, as the driver hands it in.
    fn commit(&mut self) {
        let event =
            Arc::new(EventRow { seq: Some(Seq(1)), received_at: Timestamp::default(), kind: RowKind::Bad });
        for (ticket, inbound) in std::mem::take(&mut self.tickets) {
            let outcome = if inbound {
                Recorded::Inbound(vec![Appended::Stored(Arc::clone(&event))])
            } else {
                Recorded::Done
            };
            self.session.take(self.at, Input::Recorded { ticket, outcome });
        }
        self.session.settle(self.at);
        self.carry_out();
    }
}

fn row(place: i64, payload: &Payload) -> DueRow {
    DueRow {
        place: Place(place),
        id: MessageId::new(&format!("0192f3c4-7a10-7000-8000-{place:012}")).expect("an id"),
        kind: "bench".into(),
        lane: "default".into(),
        key: None,
        delivery: Delivery::Durable,
        confirm: Confirm::Reply,
        resend: Resend::Always,
        attempts: 0,
        strikes: 0,
        queued_at: Timestamp::default(),
        expires_at: None,
        was_sent: false,
        payload: payload.clone(),
    }
}

/// Messages in commits of 256: queued, written, flushed, confirmed together, ended on disk.
fn outbound(dialect: &Arc<dyn Dialect>) -> f64 {
    const COMMIT: usize = 256;
    let mut bench = Bench::new(Arc::clone(dialect));
    let payload = Payload::Json(body().into());
    let mut place = 0;
    best(|| {
        for _ in 0..FRAMES / COMMIT {
            let previous = Place(place);
            let rows: Vec<DueRow> = (0..COMMIT)
                .map(|_| {
                    place += 1;
                    row(place, &payload)
                })
                .collect();
            bench.input(Input::Queued { previous, rows });
            bench.input(Input::Written(bench.written));
            bench.frame(&format!(r#"{{"type":"ack","upTo":{place}}}"#));
            bench.commit();
        }
        assert_eq!(bench.sent, place.unsigned_abs(), "each went out once");
    })
}

/// Events that come 64 at a time and are stored 256 at a time.
fn inbound(dialect: &Arc<dyn Dialect>) -> f64 {
    let mut bench = Bench::new(Arc::clone(dialect));
    let body = body();
    let mut number = 0_u64;
    best(|| {
        for _ in 0..FRAMES / 256 {
            for _ in 0..4 {
                for _ in 0..64 {
                    number += 1;
                    let frame = format!(r#"{{"type":"tick","eventId":"b-{number}","data":{body}}}"#);
                    bench.session.take(bench.at, Input::Frame(Frame::Text(frame)));
                }
                bench.session.settle(bench.at);
                bench.carry_out();
            }
            bench.commit();
            bench.input(Input::Written(bench.written));
        }
    })
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let (json, many) = (dialect("json", dir.path()), many_rules(dir.path()));
    let holdline = dialect("holdline", dir.path());
    show("json: decode an event of 256 bytes", || decode(&json));
    show("json with 110 more rules: decode", || decode(&many));
    show("json: check a message of 256 bytes as it is handed in", || check(&json));
    show("json: encode a message of 256 bytes", || encode(&json));
    show("json with 110 more rules: encode", || encode(&many));
    show("session and dialect: a message, from the commit to its end", || outbound(&holdline));
    show("session and dialect: an event, from the frame to its ack", || inbound(&holdline));
}
