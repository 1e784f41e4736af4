//! A session with a server, with an app beside it.
//!
//! A script is made of records. Each begins at the start of a line with the byte that says what it is;
//! all lines up to the next such byte belong to it:
//!
//! | byte | rest of the record |
//! |---|---|
//! | `<` | a text frame of the server |
//! | `#` | a binary frame of the server |
//! | `>` | a type, a blank, and JSON: a message of an app |
//! | `"` | a type, a blank, and a text: the same without JSON |
//! | `+` | a digit: so many seconds pass |
//! | `!` | a close code, a blank, a reason: the server closes, and a new connection comes up |

use std::collections::BTreeMap;
use std::sync::Arc;

use holdline::dialect::{Act, Conversation, Dialect, Given, Outgoing};
use holdline::model::json::{MAX_DEPTH, compact, deeper_than};
use holdline::model::{Frame, Instant, MessageId, Moment, NewRow, Payload, Secret, Timestamp, Unit};

/// Most records of one script.
const MAX_RECORDS: usize = 64;

/// What has to hold beyond "it does not panic".
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// What may be handed in can be sent, whatever the server said before. (In a file of one's own a
    /// spread name may turn out to be no object.)
    pub sends_what_it_takes: bool,
    /// Frames are JSON behind a head of digits, `-` and a name that ends in `,`.
    pub head: bool,
}

/// Plays `script` to the end.
///
/// # Panics
/// When something comes out that must not.
pub fn play(dialect: &dyn Dialect, script: &[u8], bounds: Bounds) {
    let mut world = World::default();
    for status in [401, 429, 503] {
        dialect.refused(status);
    }
    let mut talk = world.connect(dialect);
    for record in records(script).take(MAX_RECORDS) {
        let [what, rest @ ..] = record else { continue };
        let mut acts = Vec::new();
        let at = world.at();
        match what {
            b'<' => talk.frame(at, Frame::Text(text(rest)), &mut acts),
            b'#' => talk.frame(at, Frame::Binary(rest.to_vec()), &mut acts),
            b'>' | b'"' => {
                let rest = text(rest);
                let (kind, body) = rest.split_once(' ').unwrap_or((&rest, "null"));
                let payload = if *what == b'>' { json(body) } else { Some(Payload::Text(body.into())) };
                if let Some(payload) = payload {
                    send(dialect, &mut *talk, at, (kind, &payload), bounds);
                }
            }
            b'+' => {
                let digit = rest.first().and_then(|digit| char::from(*digit).to_digit(10));
                world.seconds += u64::from(digit.unwrap_or(1));
                let at = world.at();
                if talk.poll_timeout().is_some_and(|due| due <= at.instant) {
                    talk.handle_timeout(at, &mut acts);
                }
                talk.heartbeat(at);
                talk.pulse();
            }
            b'!' => {
                let rest = text(rest);
                let (code, reason) = rest.split_once(' ').unwrap_or((&rest, ""));
                talk.closed(code.parse().unwrap_or(1006), reason);
                world.store(&talk.left_behind());
                talk = world.connect(dialect);
            }
            _ => {}
        }
        world.look_at(&acts);
    }
}

fn records(script: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = script;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = (1..rest.len()).find(|at| rest[at - 1] == b'\n' && b"<#>\"+!".contains(&rest[*at]));
        let (record, behind) = rest.split_at(next.unwrap_or(rest.len()));
        rest = behind;
        Some(record.strip_suffix(b"\n").unwrap_or(record))
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As the local socket takes JSON: valid, not too deep, without white space.
fn json(text: &str) -> Option<Payload> {
    let taken = is_json(text) && !deeper_than(text, MAX_DEPTH);
    taken.then(|| Payload::Json(compact(text).into()))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

fn send(
    dialect: &dyn Dialect,
    talk: &mut dyn Conversation,
    at: Moment,
    (kind, payload): (&str, &Payload),
    bounds: Bounds,
) {
    let taken = dialect.check(kind, payload).is_ok();
    dialect.confirm(kind, payload);
    dialect.answers(kind, payload);
    let id = MessageId::new("0192f3c4-7a10-7000-8000-0123456789ab").expect("an id");
    let encoded = talk.encode(at, Outgoing { id: &id, kind, payload });
    if bounds.sends_what_it_takes && taken {
        let encoded = encoded.expect("it was taken");
        if let (Frame::Text(frame), Payload::Json(_)) = (&encoded.frame, payload) {
            let json = if bounds.head { frame.find('[').map_or("", |at| &frame[at..]) } else { frame };
            assert!(is_json(json), "{frame}");
        }
    }
}

/// What outlasts a connection.
#[derive(Debug, Default)]
struct World {
    seconds: u64,
    connections: u64,
    kept: BTreeMap<Arc<str>, Arc<str>>,
    cursors: BTreeMap<Arc<str>, Arc<str>>,
}

impl World {
    fn at(&self) -> Moment {
        let millis = i64::try_from(self.seconds * 1000).unwrap_or(i64::MAX);
        Moment {
            instant: Instant::from_nanos(self.seconds * 1_000_000_000),
            steady: Timestamp::from_millis(millis),
            wall: Timestamp::from_millis(1_700_000_000_000 + millis),
        }
    }

    fn connect(&mut self, dialect: &dyn Dialect) -> Box<dyn Conversation> {
        self.connections += 1;
        let given = Given {
            token: dialect.traits().uses_token.then(|| Secret::new("s3cret")),
            kept: self.kept.clone(),
            cursors: self.cursors.clone(),
            sign_in: None,
        };
        let at = self.at();
        let connect = dialect.connect(&given, at);
        for (stream, cursor) in connect.baseline {
            self.cursors.insert(stream, cursor);
        }
        let mut talk = dialect.converse(Given { cursors: self.cursors.clone(), ..given }, self.connections);
        let mut acts = Vec::new();
        talk.begin(at, &mut acts);
        self.look_at(&acts);
        talk
    }

    fn look_at(&mut self, acts: &[Act]) {
        for (index, act) in acts.iter().enumerate() {
            match act {
                Act::HangUp(_) => assert_eq!(index + 1, acts.len(), "a verdict comes last"),
                Act::Store { unit, .. } => {
                    assert_eq!(index, 0, "what is stored comes first");
                    self.store(unit);
                }
                Act::Accepted { data: Some(data), .. } | Act::Received { data: Some(data), .. } => body(data),
                Act::Rejected { otherwise, .. } => row(otherwise),
                Act::Health { text, hint, .. } => {
                    assert!(text.len() < 2_000 && hint.len() < 2_000, "people are told in few words");
                }
                Act::Send(_)
                | Act::Started { .. }
                | Act::Accepted { .. }
                | Act::Received { .. }
                | Act::Deferred { .. }
                | Act::Pong => {}
            }
        }
    }

    fn store(&mut self, unit: &Unit) {
        unit.rows.iter().for_each(row);
        for (into, changes) in [(&mut self.kept, &unit.kept), (&mut self.cursors, &unit.cursors)] {
            for (name, value) in changes {
                match value {
                    Some(json) => {
                        assert!(is_json(json), "{json}");
                        into.insert(Arc::clone(name), Arc::clone(json));
                    }
                    None => drop(into.remove(name)),
                }
            }
        }
        assert!(self.kept.len() <= 64 && self.cursors.len() <= 4_096, "what is kept has bounds");
    }
}

fn row(row: &NewRow) {
    if let NewRow::Event { payload: Payload::Json(json), .. } = row {
        body(json);
    }
}

/// A body travels in one line to the apps.
fn body(json: &str) {
    assert!(is_json(json), "{json}");
    assert!(!json.contains(['\n', '\r']), "{json}");
}
