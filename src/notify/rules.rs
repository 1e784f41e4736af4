//! Which event is worth a notification, and what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use minijinja::value::{Serde, Value};
use serde_json::Value as Json;

use super::template::{Condition, Failure, Template};
use super::{Urgency, text};
use crate::model::json::Pointer;
use crate::model::{EventRow, Payload, RowKind, TypeGlob};

/// Largest body of an event that a template looks into, in bytes. Pointers find their way in any.
pub const MAX_LOOKED_INTO: usize = 256 * 1024;
/// Longest value of a group, in bytes; what is longer is cut and groups by its beginning.
const MAX_GROUP: usize = 256;

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it is about.
    pub on: On,
    /// Each pointer into the data must find one of its values.
    pub when: Vec<(Pointer, Vec<Json>)>,
    /// Must hold as well.
    pub condition: Option<Condition>,
    /// Whether what fits is shown.
    pub show: bool,
    /// Template of the title; without one it is the type.
    pub title: Option<Template>,
    /// Template of the body; without one there is none.
    pub body: Option<Template>,
    /// How loud.
    pub urgency: Urgency,
    /// Name of a sound of the desktop's theme.
    pub sound: Option<String>,
    /// A newer notification with the same value here replaces the shown one.
    pub group: Option<Pointer>,
    /// A command that is run for it.
    pub run: Option<Run>,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// Events of these types.
    Type(TypeGlob),
    /// Changes of the link that need a person.
    Link,
}

/// A command of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Program and arguments.
    pub argv: Arc<[String]>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a notification says, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) title: String,
    pub(super) body: String,
    /// A template failed: what is said is the type alone.
    pub(super) failure: Option<Failure>,
}

impl Rule {
    /// Whether it is about this row at all. Cheap: the body is not looked at.
    pub(super) fn is_about(&self, row: &EventRow, link: bool) -> bool {
        match (&self.on, &row.kind) {
            (On::Link, RowKind::Event { .. }) => link,
            (On::Type(glob), RowKind::Event { kind, .. }) => !link && glob.matches(kind),
            (_, RowKind::Gap(_) | RowKind::Bad) => false,
        }
    }

    /// Whether what it asks for holds.
    ///
    /// # Errors
    /// Why that cannot be said; it is taken as no.
    pub(super) fn fits(&self, row: &EventRow) -> Result<bool, Failure> {
        let RowKind::Event { payload, .. } = &row.kind else { return Ok(false) };
        let found = self.when.iter().all(|(pointer, values)| match payload {
            Payload::Json(json) => pointer.find(json).is_some_and(|found| is_one_of(found, values)),
            Payload::Text(_) | Payload::Binary(_) => false,
        });
        match &self.condition {
            Some(condition) if found => condition.holds(&context(row)),
            _ => Ok(found),
        }
    }

    /// What it says of this row.
    pub(super) fn say(&self, row: &EventRow) -> Said {
        let kind = kind(row);
        let (kind, body) = match &self.on {
            On::Type(_) => (kind.to_owned(), String::new()),
            On::Link => link_words(row),
        };
        let (kind, body) = (kind.as_str(), body.as_str());
        if self.title.is_none() && self.body.is_none() {
            return Said { title: text::title(kind), body: text::body(body), failure: None };
        }
        let context = context(row);
        let render = |template: &Option<Template>, otherwise: &str| match template {
            Some(template) => template.render(&context),
            None => Ok(otherwise.to_owned()),
        };
        match (render(&self.title, kind), render(&self.body, body)) {
            (Ok(title), Ok(body)) => {
                let title = text::title(&title);
                // Nobody shows a notification without a title.
                let title = if title.is_empty() { text::title(kind) } else { title };
                Said { title, body: text::body(&body), failure: None }
            }
            (Err(failure), _) | (_, Err(failure)) => {
                Said { title: text::title(kind), body: String::new(), failure: Some(failure) }
            }
        }
    }

    /// The value that groups this row with others of the rule; none where it has none.
    pub(super) fn group_of(&self, row: &EventRow) -> Option<String> {
        let RowKind::Event { payload: Payload::Json(json), .. } = &row.kind else { return None };
        let found = self.group.as_ref()?.find(json)?;
        let mut value = match found.as_bytes().first()? {
            b'"' => serde_json::from_str(found).ok()?,
            b'{' | b'[' | b'n' => return None,
            _ => found.to_owned(),
        };
        let mut end = value.len().min(MAX_GROUP);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
        Some(value)
    }

    /// Of two rules that are about the same things grouped by the same place, the notifications
    /// replace each other; over a reload too.
    pub(super) fn family(&self) -> String {
        let on = match &self.on {
            On::Type(glob) => glob.as_str(),
            On::Link => "\0link",
        };
        format!("{on}\0{}", self.group.as_ref().map_or("", Pointer::as_str))
    }
}

/// The type of a row.
pub(super) fn kind(row: &EventRow) -> &str {
    match &row.kind {
        RowKind::Event { kind, .. } => kind,
        RowKind::Gap(_) | RowKind::Bad => "",
    }
}

/// What a change of the link says where the rule has no templates.
fn link_words(row: &EventRow) -> (String, String) {
    let RowKind::Event { payload: Payload::Json(json), .. } = &row.kind else { return Default::default() };
    let data: Json = serde_json::from_str(json).unwrap_or_default();
    let word = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let lines = [word("reason"), word("hint")].into_iter().filter(|line| !line.is_empty());
    (word("label"), lines.collect::<Vec<_>>().join("\n"))
}

/// Whether the JSON text `found` says one of these values; numbers by what they are worth.
fn is_one_of(found: &str, values: &[Json]) -> bool {
    let first = found.as_bytes().first().copied();
    values.iter().any(|value| match (value, first) {
        (Json::String(text), Some(b'"')) => {
            // Most are written without escapes.
            found[1..found.len() - 1] == **text
                || found.contains('\\') && serde_json::from_str::<String>(found).is_ok_and(|it| it == *text)
        }
        (Json::Number(number), Some(b'-' | b'0'..=b'9')) => {
            number.to_string() == found
                || found.parse::<f64>().is_ok_and(|it| number.as_f64().is_some_and(|number| number == it))
        }
        (Json::Bool(it), Some(b't' | b'f')) => found == if *it { "true" } else { "false" },
        (Json::Null, Some(b'n')) => true,
        (Json::Array(_), Some(b'[')) | (Json::Object(_), Some(b'{')) => {
            serde_json::from_str::<Json>(found).is_ok_and(|it| it == *value)
        }
        _ => false,
    })
}

/// What templates know of a row. A body that is too large, or no JSON, is not known.
fn context(row: &EventRow) -> Value {
    let mut known: BTreeMap<&'static str, Value> = BTreeMap::new();
    if let RowKind::Event { id, kind, payload } = &row.kind {
        known.insert("type", Value::from(kind.as_str()));
        known.insert("id", id.as_deref().map_or_else(|| Value::from(()), Value::from));
        match payload {
            Payload::Json(text) if text.len() <= MAX_LOOKED_INTO => {
                if let Ok(data) = serde_json::from_str::<Json>(text) {
                    known.insert("data", Value::from(Serde(data)));
                }
            }
            Payload::Text(text) if text.len() <= MAX_LOOKED_INTO => {
                known.insert("text", Value::from(text.as_ref()));
            }
            Payload::Json(_) | Payload::Text(_) | Payload::Binary(_) => {}
        }
    }
    known.insert("seq", row.seq.map_or_else(|| Value::from(()), |seq| Value::from(seq.0)));
    known.insert("received_at", Value::from(row.received_at.to_string()));
    Value::from(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Seq, Timestamp};
    use crate::notify::testing::{event, rule};

    fn fits(when: &str, data: &str) -> bool {
        let when: serde_json::Map<String, Json> = serde_json::from_str(when).expect("JSON");
        let when = when.into_iter().map(|(pointer, values)| {
            let values = values.as_array().cloned().unwrap_or_else(|| vec![values]);
            (Pointer::parse(&pointer).expect("a pointer"), values)
        });
        Rule { when: when.collect(), ..rule("t") }.fits(&event(1, "t", data)).expect("no condition")
    }

    #[test]
    fn every_pointer_must_find_one_of_its_values() {
        assert!(fits(r#"{"/s":["a","b"],"/n":[1]}"#, r#"{"s":"b","n":1.0}"#));
        assert!(!fits(r#"{"/s":["a","b"],"/n":[1]}"#, r#"{"s":"b","n":2}"#));
        assert!(!fits(r#"{"/s":["a"]}"#, "{}"));
        assert!(!fits(r#"{"/s":["1"]}"#, r#"{"s":1}"#), "a text is no number");
        assert!(fits(r#"{"/s":["ä\"x"]}"#, r#"{"s":"\u00e4\"x"}"#));
        assert!(fits(r#"{"/a/0":true,"/b":null}"#, r#"{"a":[true],"b":null}"#));
        assert!(fits(r#"{"/o":[{"x":1}]}"#, r#"{"o":{"x":1}}"#));
        assert!(fits("{}", "5"));
    }

    #[test]
    fn what_is_about_raw_frames_has_text_and_no_data() {
        let row = EventRow {
            seq: Some(Seq(7)),
            received_at: Timestamp::default(),
            kind: RowKind::Event { id: None, kind: "text".into(), payload: Payload::Text("hello".into()) },
        };
        let body = Template::compile("{{ text }} #{{ seq }} {{ received_at }}").expect("in order");
        let said = Rule { body: Some(body), ..rule("text") }.say(&row);
        assert_eq!((said.title.as_str(), said.body.as_str()), ("text", "hello #7 1970-01-01T00:00:00.000Z"));
        let said =
            Rule { body: Some(Template::compile("{{ data.x }}").expect("ok")), ..rule("text") }.say(&row);
        assert_eq!((said.title.as_str(), said.body.as_str()), ("text", ""));
        assert!(said.failure.is_some());
    }

    #[test]
    fn a_template_that_fails_leaves_the_type() {
        let failing = Rule {
            title: Some(Template::compile("{{ data.x }}").expect("ok")),
            body: Some(Template::compile("{{ data.gone }}").expect("ok")),
            ..rule("t")
        };
        let said = failing.say(&event(1, "order\u{202e}", r#"{"x":"title"}"#));
        assert_eq!((said.title.as_str(), said.body.as_str()), ("order", ""));
        assert_eq!(said.failure.expect("it failed").to_string(), "undefined value at `data.gone`");
        let large = format!("{{\"x\":\"a\",\"gone\":\"{}\"}}", "y".repeat(MAX_LOOKED_INTO));
        assert!(failing.say(&event(1, "t", &large)).failure.is_some());
    }

    #[test]
    fn groups_are_by_texts_numbers_and_words() {
        let by = |data| {
            Rule { group: Some(Pointer::parse("/g").expect("ok")), ..rule("t") }
                .group_of(&event(1, "t", data))
        };
        assert_eq!(by(r#"{"g":"a\u0041"}"#).as_deref(), Some("aA"));
        assert_eq!(by(r#"{"g":17}"#).as_deref(), Some("17"));
        assert_eq!(by(r#"{"g":true}"#).as_deref(), Some("true"));
        for none in [r#"{"g":null}"#, r#"{"g":{}}"#, "{}", "3"] {
            assert_eq!(by(none), None);
        }
        let long = by(&format!(r#"{{"g":"{}"}}"#, "ä".repeat(300))).expect("cut");
        assert_eq!(long.len(), MAX_GROUP);
    }
}
