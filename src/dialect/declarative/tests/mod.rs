//! What dialects do, construct by construct.

mod anything;
mod builtin;
mod checks;
mod replaying;
mod rules;
mod steps;
mod values;

use std::path::Path;
use std::sync::Arc;

use super::spec::Vars;
use crate::dialect::{Act, Conversation, Dialect, Given, Options, Outgoing, load};
use crate::model::{Frame, Instant, MessageId, Moment, NewRow, Payload, Refusal, Timestamp};

fn built_in(name: &str) -> Arc<dyn Dialect> {
    // What the file requires has to be there; nothing will do.
    let file: toml::Table =
        toml::from_str(crate::dialect::builtin::find(name).expect("built in").text).expect("TOML");
    let required = file.get("require").and_then(toml::Value::as_array).into_iter().flatten();
    let names = required.filter_map(|name| Some(name.as_str()?.to_owned()));
    let vars = names.map(|name| (name, serde_json::Value::Array(Vec::new()))).collect();
    load(name, Path::new("."), &vars, &Options::default()).expect("a sound dialect")
}

/// A dialect by what its file says besides `dialect = 1`.
fn dialect(text: &str) -> Arc<dyn Dialect> {
    let text = format!("dialect = 1\n{text}");
    match super::load(&text, "test.toml", Vars::new(), &Options::default()) {
        Ok(dialect) => dialect,
        Err(problems) => {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn at(seconds: u64) -> Moment {
    let millis = i64::try_from(seconds).unwrap() * 1000;
    Moment {
        instant: Instant::from_nanos(seconds * 1_000_000_000),
        steady: Timestamp::from_millis(millis),
        wall: Timestamp::from_millis(1_700_000_000_000 + millis),
    }
}

/// A conversation under test: what goes in, and what came of it.
struct Bench {
    talk: Box<dyn Conversation>,
    now: u64,
}

impl Bench {
    fn new(dialect: &Arc<dyn Dialect>, given: Given) -> (Self, Vec<Act>) {
        let mut bench = Self { talk: dialect.converse(given, 7), now: 0 };
        let mut acts = Vec::new();
        bench.talk.begin(at(0), &mut acts);
        (bench, acts)
    }

    fn frame(&mut self, text: &str) -> Vec<Act> {
        let mut acts = Vec::new();
        self.talk.frame(at(self.now), Frame::Text(text.to_owned()), &mut acts);
        acts
    }

    fn try_send(&mut self, kind: &str, payload: &Payload) -> Result<String, Refusal> {
        let id = MessageId::new("m1").unwrap();
        let encoded = self.talk.encode(at(self.now), Outgoing { id: &id, kind, payload })?;
        match encoded.frame {
            Frame::Text(text) => Ok(text),
            Frame::Binary(_) => panic!("text was meant"),
        }
    }

    fn send(&mut self, kind: &str, data: &str) -> String {
        self.try_send(kind, &Payload::Json(data.into())).unwrap()
    }

    fn time_up(&mut self, seconds: u64) -> Vec<Act> {
        self.now = seconds;
        let mut acts = Vec::new();
        self.talk.handle_timeout(at(seconds), &mut acts);
        acts
    }
}

fn sent(acts: &[Act]) -> Vec<&str> {
    acts.iter()
        .filter_map(|act| if let Act::Send(Frame::Text(text)) = act { Some(text.as_str()) } else { None })
        .collect()
}

/// Events as `type|id|data`, other rows by their word.
fn rows(acts: &[Act]) -> Vec<String> {
    let mut rows = Vec::new();
    for act in acts {
        let Act::Store { unit, .. } = act else {
            continue;
        };
        for row in &unit.rows {
            rows.push(match row {
                NewRow::Event { id, kind, payload, .. } => {
                    let id = id.as_deref().unwrap_or("-");
                    match payload {
                        Payload::Json(json) => format!("{kind}|{id}|{json}"),
                        Payload::Text(text) => format!("{kind}|{id}|text:{text}"),
                        Payload::Binary(bytes) => format!("{kind}|{id}|bytes:{bytes:?}"),
                    }
                }
                NewRow::Gap { detail, .. } => format!("gap|{detail}"),
                NewRow::Bad { reason, .. } => format!("bad|{reason}"),
                NewRow::Misfit { detail, .. } => format!("misfit|{detail}"),
            });
        }
    }
    rows
}
