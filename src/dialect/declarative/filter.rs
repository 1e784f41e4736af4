//! What stands behind the bars of a hole: small changes to a value. A filter that does not fit
//! gives no value; none ever fails a frame.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::hole::{Hole, Scope};
use super::scalars::write_string;
use super::tape::{Doc, Tape};
use super::value::Value;
use crate::model::Timestamp;

/// Names of all filters, for advice.
pub(crate) const NAMES: [&str; 18] = [
    "json", "parse", "base64", "unbase64", "add", "default", "then", "omit", "wrap", "unwrap", "key",
    "value", "before", "after", "unix", "unix_ms", "s", "ms",
];

/// One filter, its argument read.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    Json,
    Parse,
    Base64,
    Unbase64,
    Add(i128),
    AddTime { back: bool, by: Duration },
    Default(Argument),
    Then(Argument),
    Omit(Vec<String>),
    Wrap(String),
    Unwrap { name: String, beside: Vec<String> },
    Key,
    Member,
    Before(String),
    After(String),
    Unix,
    UnixMillis,
    Seconds,
    Millis,
}

/// What `default:` and `then:` are given.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    /// JSON text.
    Fixed(String),
    Hole(Box<Hole>),
}

impl Argument {
    fn value<'a>(&'a self, scope: &Scope<'a>) -> Option<Value<'a>> {
        match self {
            Self::Fixed(json) => Some(Value::Json(Cow::Borrowed(json))),
            Self::Hole(hole) => hole.value(scope),
        }
    }
}

/// Applies all of `filters`, in order.
pub(crate) fn apply_all<'a>(
    filters: &'a [Filter],
    mut value: Option<Value<'a>>,
    scope: &Scope<'a>,
) -> Option<Value<'a>> {
    let mut rest = filters;
    while let [filter, behind @ ..] = rest {
        rest = behind;
        // What most events go through: both at once need no text in between.
        if let (Filter::Omit(omitted), [Filter::Unwrap { name, beside }, ..], Some(Value::Doc(doc))) =
            (filter, behind, &value)
            && let Some(inner) = unwrapped(*doc, omitted, name, beside)
        {
            value = Some(Value::Doc(inner));
            rest = &behind[1..];
            continue;
        }
        value = filter.apply(value, scope);
    }
    value
}

impl Filter {
    /// The hole within its argument.
    pub(crate) fn hole(&self) -> Option<&Hole> {
        if let Self::Default(Argument::Hole(hole)) | Self::Then(Argument::Hole(hole)) = self {
            Some(hole)
        } else {
            None
        }
    }

    /// Applies the filter.
    pub(crate) fn apply<'a>(&'a self, value: Option<Value<'a>>, scope: &Scope<'a>) -> Option<Value<'a>> {
        if let Self::Default(other) = self {
            value.filter(|value| !value.is_null()).or_else(|| other.value(scope))
        } else if let Self::Then(other) = self {
            value.filter(|value| !value.is_null()).and_then(|_| other.value(scope))
        } else {
            self.change(value?)
        }
    }

    fn change<'a>(&'a self, value: Value<'a>) -> Option<Value<'a>> {
        match self {
            Self::Default(_) | Self::Then(_) => Some(value),
            Self::Json => Some(Value::Text(value.into_json())),
            Self::Parse => {
                let text = value.string()?;
                Tape::default().read(&text).ok()?;
                Some(Value::Json(Cow::Owned(text.trim_ascii().to_owned())))
            }
            Self::Base64 => Some(owned_text(BASE64.encode(value.text().as_bytes()))),
            Self::Unbase64 => {
                let bytes = BASE64.decode(value.string()?.as_bytes()).ok()?;
                Some(owned_text(String::from_utf8(bytes).ok()?))
            }
            Self::Add(by) => add(&value, *by),
            Self::AddTime { back, by } => {
                let at = Timestamp::parse(&value.string()?).ok()?.as_millis();
                let by = i64::try_from(by.as_millis()).ok()?;
                let sum = if *back { at.checked_sub(by)? } else { at.checked_add(by)? };
                Some(owned_text(Timestamp::from_millis(sum).to_string()))
            }
            Self::Omit(names) => value.with_doc(|doc| omit(doc, names)).flatten().map(owned_json),
            Self::Wrap(name) if !value.is_object() => {
                let mut json = String::from("{");
                write_string(name, &mut json);
                json.push(':');
                value.write(&mut json);
                json.push('}');
                Some(owned_json(json))
            }
            Self::Wrap(_) => Some(value),
            Self::Unwrap { name, beside } => {
                if let Value::Doc(doc) = value {
                    return Some(Value::Doc(unwrapped(doc, &[], name, beside).unwrap_or(doc)));
                }
                let inner = |doc: Doc<'_>| Some(unwrapped(doc, &[], name, beside)?.json().to_owned());
                let inner = value.with_doc(inner).flatten();
                Some(inner.map_or(value, owned_json))
            }
            Self::Key => {
                value.with_doc(|doc| Some(only(doc)?.0.string()?.into_owned())).flatten().map(owned_text)
            }
            Self::Member => {
                value.with_doc(|doc| Some(only(doc)?.1.json().to_owned())).flatten().map(owned_json)
            }
            Self::Before(mark) => {
                let text = value.into_text();
                let end = text.rfind(mark.as_str()).unwrap_or(0);
                Some(owned_text(text[..end].to_owned()))
            }
            Self::After(mark) => {
                let text = value.into_text();
                let start = text.rfind(mark.as_str()).map_or(0, |at| at + mark.len());
                Some(owned_text(text[start..].to_owned()))
            }
            Self::Unix => {
                let at = Timestamp::parse(&value.string()?).ok()?.as_millis();
                Some(owned_json(at.div_euclid(1000).to_string()))
            }
            Self::UnixMillis => {
                Some(owned_json(Timestamp::parse(&value.string()?).ok()?.as_millis().to_string()))
            }
            Self::Seconds => duration(&value, 1000.0),
            Self::Millis => duration(&value, 1.0),
        }
    }
}

fn owned_text<'a>(text: String) -> Value<'a> {
    Value::Text(Cow::Owned(text))
}

fn owned_json<'a>(json: String) -> Value<'a> {
    Value::Json(Cow::Owned(json))
}

/// Whole numbers only, exactly; a number within a text stays a text.
fn add<'a>(value: &Value<'_>, by: i128) -> Option<Value<'a>> {
    let sum = value.text().parse::<i128>().ok()?.checked_add(by)?.to_string();
    match value.kind() {
        b'"' => Some(owned_text(sum)),
        _ => Some(owned_json(sum)),
    }
}

fn omit(doc: Doc<'_>, names: &[String]) -> Option<String> {
    if !doc.json().starts_with('{') {
        return None;
    }
    let mut json = String::with_capacity(doc.json().len());
    json.push('{');
    for (key, value) in doc.members() {
        if names.iter().any(|name| key.is_named(name)) {
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(key.json());
        json.push(':');
        json.push_str(value.json());
    }
    json.push('}');
    Some(json)
}

/// The value of `name`, where the object has nothing else but members of `beside` and of `omitted`.
fn unwrapped<'a>(doc: Doc<'a>, omitted: &[String], name: &str, beside: &[String]) -> Option<Doc<'a>> {
    let mut inner = None;
    for (key, value) in doc.members() {
        if omitted.iter().any(|other| key.is_named(other)) {
            continue;
        }
        if key.is_named(name) {
            inner = Some(value);
        } else if !beside.iter().any(|other| key.is_named(other)) {
            return None;
        }
    }
    inner
}

/// Name and value of an object's only member.
fn only(doc: Doc<'_>) -> Option<(Doc<'_>, Doc<'_>)> {
    let mut members = doc.members();
    let first = members.next()?;
    members.next().is_none().then_some(first)
}

/// A number of units as a duration, in the form durations are written in.
fn duration<'a>(value: &Value<'_>, unit_millis: f64) -> Option<Value<'a>> {
    let millis = value.text().parse::<f64>().ok()? * unit_millis;
    // A year is beyond any pause meant seriously.
    if !(0.0..=31_536_000_000.0).contains(&millis) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a year")]
    let millis = millis.round() as u64;
    Some(owned_text(format!("{millis}ms")))
}

/// Reads a duration: `250ms`, `10s`, `5m`, `1h`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let millis = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(millis).map(Duration::from_millis),
        Err(_) => {
            #[allow(clippy::cast_precision_loss, reason = "a unit is far below 2^53")]
            let seconds = number.parse::<f64>().ok()? * (millis as f64) / 1000.0;
            Duration::try_from_secs_f64(seconds).ok()
        }
    }
}

/// A duration as a frame says it: written with its unit, or a number of seconds.
pub(crate) fn duration_of(value: &Value<'_>) -> Option<Duration> {
    let text = value.text();
    if value.is_number() {
        return Duration::try_from_secs_f64(text.parse().ok()?).ok();
    }
    parse_duration(text.trim())
}
