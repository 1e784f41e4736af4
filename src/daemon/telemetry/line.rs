//! One record as it is written: bounded when it is made, escaped when it is written.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::model::{Timestamp, misleads};

/// Longest message, in bytes before escapes. Ours are far shorter; those that list what is wrong
/// with a configuration may not be.
const MESSAGE_MAX: usize = 2_048;
/// Longest value of a field: a name of a type, an error of the system, words of the server.
const VALUE_MAX: usize = 256;
/// What stands behind text that was cut.
const CUT: &str = "…";

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    at: Timestamp,
    pub(super) level: Level,
    target: Cow<'static, str>,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

#[derive(Debug, Hash)]
enum Value {
    Text(String),
    Number(String),
    Truth(bool),
}

impl Line {
    pub(super) fn of(event: &Event<'_>, at: Timestamp) -> Self {
        let data = event.metadata();
        let mut line = Self {
            at,
            level: *data.level(),
            target: Cow::Borrowed(data.target()),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line
    }

    pub(super) fn about_dropped(count: u64) -> Self {
        Self {
            at: crate::clock::Clock::start().now().wall,
            level: Level::WARN,
            target: Cow::Borrowed(module_path!()),
            message: "lines are missing here: they came faster than they were taken".into(),
            fields: vec![("dropped", Value::Number(count.to_string()))],
        }
    }

    /// Bytes it takes in the queue, about.
    pub(super) fn weight(&self) -> usize {
        const ITSELF: usize = 160;
        let fields = self.fields.iter().map(|(_, value)| match value {
            Value::Text(text) | Value::Number(text) => text.len() + 48,
            Value::Truth(_) => 48,
        });
        ITSELF + self.message.len() + fields.sum::<usize>()
    }

    /// Lines of the link's state have their own way not to repeat themselves.
    pub(super) fn is_change_of_state(&self) -> bool {
        self.fields.iter().any(|(name, _)| *name == "state")
    }

    /// The same for lines that say the same. Numbers (a pid, a count) make no difference.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.target, &self.message).hash(&mut hasher);
        for field in self.fields.iter().filter(|(_, value)| !matches!(value, Value::Number(_))) {
            field.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Says that `count` lines like this were not written.
    pub(super) fn repeated(&mut self, count: u64) {
        self.fields.push(("repeated", Value::Number(count.to_string())));
    }

    /// Message and fields on one line, without time and level.
    pub(super) fn body(&self) -> String {
        let mut body = String::with_capacity(self.message.len() + 64);
        escape(self.message.trim_end(), &mut body);
        for (name, value) in &self.fields {
            // Writing to a string does not fail.
            let _ = write!(body, " {name}=");
            match value {
                Value::Number(number) => body.push_str(number),
                Value::Truth(truth) => body.push_str(if *truth { "true" } else { "false" }),
                Value::Text(text) => {
                    let plain = |c: char| !c.is_whitespace() && !matches!(c, '=' | '"' | '\\');
                    if !text.is_empty() && text.chars().all(plain) {
                        escape(text, &mut body);
                    } else {
                        body.push('"');
                        escape(&text.replace('\\', "\\\\").replace('"', "\\\""), &mut body);
                        body.push('"');
                    }
                }
            }
        }
        body
    }

    /// As one JSON document.
    pub(super) fn json(&self) -> String {
        let mut document = serde_json::Map::new();
        document.insert("timestamp".into(), self.at.to_string().into());
        document.insert("level".into(), self.level.as_str().into());
        document.insert("message".into(), self.message.trim_end().into());
        for (name, value) in &self.fields {
            let value = match value {
                Value::Text(text) => text.as_str().into(),
                Value::Truth(truth) => (*truth).into(),
                // Not every float is a number in JSON.
                Value::Number(number) => {
                    serde_json::from_str(number).unwrap_or_else(|_| number.as_str().into())
                }
            };
            document.insert((*name).into(), value);
        }
        document.insert("target".into(), self.target.as_ref().into());
        let text = serde_json::Value::from(document).to_string();
        if !text.chars().any(misleads) {
            return text;
        }
        // Only within texts can there be any, and there this is the same character.
        let mut safe = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if misleads(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(safe, "\\u{unit:04x}");
                }
            } else {
                safe.push(c);
            }
        }
        safe
    }

    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    /// Target and fields by name, with values as text on one line.
    #[cfg_attr(not(unix), allow(dead_code, reason = "for the journal"))]
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, String)> {
        let fields = self.fields.iter().map(|(name, value)| {
            let mut text = String::new();
            match value {
                Value::Text(value) | Value::Number(value) => escape(value, &mut text),
                Value::Truth(value) => text.push_str(if *value { "true" } else { "false" }),
            }
            (*name, text)
        });
        std::iter::once(("target", self.target.to_string())).chain(fields)
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "message" => self.message = bounded(value, MESSAGE_MAX),
            // Libraries that log by another way bring their origin along as fields.
            "log.target" => self.target = Cow::Owned(bounded(value, VALUE_MAX)),
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, Value::Text(bounded(value, VALUE_MAX)))),
        }
    }

    fn number(&mut self, field: &Field, value: impl fmt::Display) {
        if !field.name().starts_with("log.") {
            self.fields.push((field.name(), Value::Number(value.to_string())));
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Truth(value)));
    }
}

/// What `value` prints, up to `limit` bytes. What is behind is not even put together.
fn bounded(value: fmt::Arguments<'_>, limit: usize) -> String {
    struct Bounded {
        text: String,
        limit: usize,
    }
    impl fmt::Write for Bounded {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            let room = self.limit - self.text.len();
            if part.len() <= room {
                self.text.push_str(part);
                return Ok(());
            }
            self.text.push_str(&part[..part.floor_char_boundary(room)]);
            Err(fmt::Error)
        }
    }
    let mut bounded = Bounded { text: String::new(), limit };
    let whole = fmt::Write::write_fmt(&mut bounded, value).is_ok();
    let mut text = bounded.text;
    if !whole {
        text.push_str(CUT);
    }
    text
}

/// `text` so that it stays on its line and shows what it is.
fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        if misleads(c) {
            into.extend(c.escape_default());
        } else {
            into.push(c);
        }
    }
}
