//! Messages both ways over a line that is cut again and again, and a judge.
//!
//! `HOLDLINE_SERVERS_MESSAGES` and `HOLDLINE_SERVERS_CUTS` make it as long as one likes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cutter::{Cut, Cutter};
use super::{everything, wait_for_status};
use crate::support::daemon::{Client, Daemon};
use crate::support::until_blocking;

/// Requests that one app has unanswered at most.
const PIPELINED: usize = 256;

/// So many rows of a part must be there before the line is cut.
const EVENTS_BEFORE_A_CUT: u64 = 5;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Messages each way.
    pub(crate) messages: u64,
    /// How often the line is cut meanwhile.
    pub(crate) cuts: u64,
}

impl Scale {
    /// By the environment, else small enough for every run of the tests.
    pub(crate) fn of_environment() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self { messages: number("HOLDLINE_SERVERS_MESSAGES", 400), cuts: number("HOLDLINE_SERVERS_CUTS", 3) }
    }
}

/// A message that a server has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// What was in it.
    pub(crate) number: u64,
    /// The id it came with, where the server's protocol can carry one.
    pub(crate) id: Option<String>,
}

/// A foreign server in this test.
pub(crate) trait Server {
    /// Each so many-th cut is not one of the line: the server is killed and started again. 0: none.
    const KILL_EVERY: u64 = 3;
    /// Kills it and starts it again.
    fn kill_and_start(&mut self);
    /// Makes it send the events with these numbers.
    fn push(&mut self, numbers: Range<u64>);
    /// What has arrived there, in its order and as often as it came.
    fn received(&self) -> Vec<Arrival>;
    /// Type and data of the message with this number.
    fn message(&self, number: u64) -> (String, Value);
    /// The number in an event, if it is one of those pushed.
    fn number(&self, event: &Value) -> Option<u64>;
    /// Whether an event is a message of ours that the server tells everybody, us too.
    fn is_echo(&self, _: &Value) -> bool {
        false
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Messages each way.
    pub(crate) messages: u64,
    /// Connections that ended by us.
    pub(crate) cuts: u64,
    /// Of those, by the server's death.
    pub(crate) kills: u64,
    /// Messages the server has not seen.
    pub(crate) lost: u64,
    /// Messages it saw before an earlier one.
    pub(crate) reordered: u64,
    /// Messages it saw again, with the id they had.
    pub(crate) twice_same_id: u64,
    /// Messages it saw again with another id, or without any.
    pub(crate) twice_other_id: u64,
    /// Messages that did not end as accepted.
    pub(crate) not_accepted: u64,
    /// Events that are not there, with a gap in their place.
    pub(crate) events_missing_told: u64,
    /// Events that are not there, and nothing says so.
    pub(crate) events_missing_untold: u64,
    /// Events that are there twice.
    pub(crate) events_twice: u64,
    /// Events behind a later one.
    pub(crate) events_reordered: u64,
    /// Gaps told.
    pub(crate) gaps: u64,
    /// Rows that are no event of ours and no gap.
    pub(crate) others: Vec<Value>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, cuts, kills, lost, reordered, twice_same_id, twice_other_id, .. } = self;
        write!(
            f,
            "{messages} each way, {cuts} cuts ({kills} by killing the server), {:.1} s. Out: {lost} lost, \
             {reordered} reordered, {twice_same_id} twice with the same id, {twice_other_id} twice with \
             another or none, {} not accepted. In: {} missing and told, {} missing and untold, {} twice, \
             {} reordered, {} gaps",
            self.took.as_secs_f64(),
            self.not_accepted,
            self.events_missing_told,
            self.events_missing_untold,
            self.events_twice,
            self.events_reordered,
            self.gaps,
        )
    }
}

impl Figures {
    /// What holds for every server there is.
    pub(crate) fn expect_kept_promises(&self) {
        eprintln!("{self}");
        assert_eq!(self.lost, 0, "lost on the way out: {self}");
        assert_eq!(self.reordered, 0, "reordered on the way out: {self}");
        assert_eq!(self.not_accepted, 0, "handed in and not accepted: {self}");
        assert_eq!(self.events_missing_untold, 0, "lost on the way in and not told: {self}");
        assert_eq!(self.events_reordered, 0, "reordered on the way in: {self}");
        assert_eq!(self.others, [Value::Null; 0], "events that nobody sent: {self}");
        assert!(self.gaps <= self.cuts, "more gaps than connections: {self}");
    }
}

/// An app that hands in messages and does not wait for one receipt before the next.
struct App<'a> {
    client: Client,
    unanswered: usize,
    ids: Vec<String>,
    daemon: &'a Daemon,
}

impl<'a> App<'a> {
    fn new(daemon: &'a Daemon) -> Self {
        Self { client: daemon.client(), unanswered: 0, ids: Vec::new(), daemon }
    }

    fn send(&mut self, messages: impl Iterator<Item = (String, Value)>) {
        for (kind, data) in messages {
            let call = json!({"jsonrpc": "2.0", "id": 1, "method": "messages.send",
                "params": {"type": kind, "data": data}});
            self.client.write_line(&call.to_string());
            self.unanswered += 1;
            while self.unanswered >= PIPELINED {
                self.receipt();
            }
        }
    }

    fn receipt(&mut self) {
        let answer = self.client.read_line().expect("the daemon is there");
        assert_eq!(answer["result"]["durability"], "full", "no receipt: {answer}");
        self.ids.push(answer["result"]["id"].as_str().expect("an id").to_owned());
        self.unanswered -= 1;
    }

    fn receipts(&mut self) {
        while self.unanswered > 0 {
            self.receipt();
        }
    }

    /// How many of those handed in are not accepted.
    fn not_accepted(self) -> u64 {
        let mut client = self.daemon.client();
        let states = self
            .ids
            .iter()
            .map(|id| client.call("messages.get", &json!({"id": id})).expect("it is known")["state"].take());
        states.filter(|state| state != "accepted").count() as u64
    }
}

/// Sends messages both ways, cuts the line in the middle of each part of them, and judges. The daemon is
/// connected through `cutter` or soon will be.
pub(crate) fn run<S: Server>(server: &mut S, daemon: &Daemon, cutter: &Cutter, scale: Scale) -> Figures {
    let began = Instant::now();
    let mut app = App::new(daemon);
    let mut status = daemon.client();
    let parts = scale.cuts + 1;
    let part = |n: u64| n * scale.messages / parts;
    let mut cuts = 0;
    let mut kills = 0;
    for n in 0..parts {
        let through = part(n)..part(n + 1);
        let connections = cutter.connections();
        wait_for_status(&mut status, "the link to be up again", |status| {
            status["link"]["state"] == "connected"
        });
        let before = (server.received().len(), rows(&mut status));
        server.push(through.clone());
        app.send(through.clone().map(|number| server.message(number)));
        if n + 1 == parts {
            break;
        }
        // In the middle of things: something of this part has come through on either way.
        let some = (through.end - through.start) / 4;
        until_blocking("messages to flow", || {
            (server.received().len() as u64 >= before.0 as u64 + some).then_some(())
        });
        wait_for_status(&mut status, "events to flow", |status| {
            inbox(status) > before.1 + EVENTS_BEFORE_A_CUT
        });
        assert_eq!(cutter.connections(), connections, "nobody but us ends a connection here");
        if S::KILL_EVERY > 0 && (n + 1) % S::KILL_EVERY == 0 {
            server.kill_and_start();
            kills += 1;
            cuts += 1;
        } else {
            cuts += cutter.cut(Cut::nth(n as usize)) as u64;
        }
        until_blocking("the daemon to dial again", || (cutter.connections() > connections).then_some(()));
    }
    app.receipts();
    wait_for_status(&mut status, "the outbox to be empty", |status| {
        status["outbox"]["queued"] == 0 && status["outbox"]["in_flight"] == 0
    });
    let last = scale.messages.checked_sub(1);
    let mut rows = Vec::new();
    // The last event comes last, and on a line that is up nothing of it is lost.
    until_blocking("the last event", || {
        rows = everything(&mut status);
        rows.iter().any(|row| server.number(row) == last).then_some(())
    });
    let mut figures = judge(server, &rows, scale.messages);
    figures.not_accepted = app.not_accepted();
    (figures.cuts, figures.kills, figures.took) = (cuts, kills, began.elapsed());
    figures
}

fn inbox(status: &Value) -> u64 {
    status["inbox"]["last_seq"].as_u64().unwrap_or(0)
}

fn rows(client: &mut Client) -> u64 {
    inbox(&client.call("status", &json!({})).expect("an answer"))
}

fn judge<S: Server>(server: &S, rows: &[Value], messages: u64) -> Figures {
    let mut figures = Figures { messages, ..Figures::default() };
    let mut seen: BTreeMap<u64, Option<String>> = BTreeMap::new();
    for Arrival { number, id } in server.received() {
        let latest = seen.last_key_value().map(|(number, _)| *number);
        match seen.get(&number) {
            None => {
                figures.reordered += u64::from(latest > Some(number));
                seen.insert(number, id);
            }
            Some(before) if id.is_some() && *before == id => figures.twice_same_id += 1,
            Some(_) => figures.twice_other_id += 1,
        }
    }
    figures.lost = (0..messages).filter(|number| !seen.contains_key(number)).count() as u64;

    // Each event must be the next number, unless a gap stands between.
    let mut numbers: BTreeSet<u64> = BTreeSet::new();
    let mut next = 0;
    let mut told = false;
    for row in rows {
        if let Some(gap) = row.get("gap") {
            assert_eq!(gap["reason"], "server", "{gap}");
            figures.gaps += 1;
            told = true;
            continue;
        }
        let Some(number) = server.number(row) else {
            if !server.is_echo(row) {
                figures.others.push(row.clone());
            }
            continue;
        };
        if !numbers.insert(number) {
            figures.events_twice += 1;
            continue;
        }
        if number < next {
            figures.events_reordered += 1;
            continue;
        }
        let missing = number - next;
        if told {
            figures.events_missing_told += missing;
        } else {
            figures.events_missing_untold += missing;
        }
        (next, told) = (number + 1, false);
    }
    figures.events_missing_untold += messages - next;
    figures
}

/// A file that a server writes a line into for each message: `{"n":NUMBER,"id":ID}`.
pub(crate) fn recorded(path: &Path) -> Vec<Arrival> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // A line that is being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    lines
        .map(|line| Arrival {
            number: line["n"].as_u64().expect("a number"),
            id: line["id"].as_str().map(str::to_owned),
        })
        .collect()
}

#[test]
fn the_judge_sees_what_is_lost_reordered_twice_and_untold() {
    struct Fake(Vec<Arrival>);
    impl Server for Fake {
        fn kill_and_start(&mut self) {}
        fn push(&mut self, _: Range<u64>) {}
        fn received(&self) -> Vec<Arrival> {
            self.0.clone()
        }
        fn message(&self, _: u64) -> (String, Value) {
            (String::new(), Value::Null)
        }
        fn number(&self, event: &Value) -> Option<u64> {
            event["n"].as_u64()
        }
    }
    let arrival = |number: u64, id: &str| Arrival { number, id: Some(id.to_owned()) };
    let came = [(0, "a"), (2, "c"), (1, "b"), (2, "c"), (0, "x")];
    let server = Fake(came.into_iter().map(|(number, id)| arrival(number, id)).collect());
    let gap = json!({"gap": {"reason": "server"}});
    let event = |n: u64| json!({"n": n});
    let rows = [event(0), event(3), gap, event(5), event(4), event(5), json!({"type": "unrecognised"})];
    let figures = judge(&server, &rows, 8);
    assert_eq!((figures.lost, figures.reordered), (5, 1));
    assert_eq!((figures.twice_same_id, figures.twice_other_id), (1, 1));
    assert_eq!((figures.events_missing_untold, figures.events_missing_told), (2 + 2, 1));
    assert_eq!((figures.events_twice, figures.events_reordered, figures.gaps), (1, 1, 1));
    assert_eq!(figures.others.len(), 1);
}
