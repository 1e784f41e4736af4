//! Kinds of values: what is taken, what is said where something else is written, how it is shown.

mod data;
mod network;
mod path;

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

pub(super) use data::{Data, JsonPointer, digest};
pub(super) use network::{HEADER_NAME, Headers, ProxyUrl, Url, is_http_token};
pub(super) use path::{Command, FilePath};

use super::section::nearest;
use super::units;

/// Why a value is not taken.
#[derive(Debug)]
pub(super) enum Complaint {
    /// It is of another type altogether.
    Type {
        /// A better place than the value's beginning: an item of a list.
        at: Option<Range<usize>>,
        /// What was found.
        found: &'static str,
    },
    /// The type is right, the value is not.
    Value { at: Option<Range<usize>>, message: String, hint: String },
}

impl Complaint {
    fn value(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Value { at: None, message: message.into(), hint: hint.into() }
    }

    /// The same complaint about an item inside.
    fn within(self, span: Range<usize>) -> Self {
        match self {
            Self::Type { at, found } => Self::Type { at: at.or(Some(span)), found },
            Self::Value { at, message, hint } => Self::Value { at: at.or(Some(span)), message, hint },
        }
    }
}

/// What of the written value may be seen in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visible {
    /// All of it.
    All,
    /// Nothing of its texts.
    Nothing,
    /// Not what stands before `@` and after `?`.
    Url,
    /// Not what stands before `@`; without an `@`, and where the URL is none at all, nothing.
    UserInfo,
    /// Only the first item.
    First,
}

/// A kind of value.
pub(super) trait Kind {
    type Value;
    /// What it is called: "a duration".
    fn name(&self) -> Cow<'static, str>;
    /// What to write, for who wrote something else altogether.
    fn example(&self) -> Cow<'static, str>;
    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Complaint>;
    /// As it would be written in the file, without anything secret.
    fn show(&self, value: &Self::Value) -> String;
    fn visible(&self) -> Visible {
        Visible::All
    }
}

fn wrong<T>(value: &Spanned<DeValue<'_>>) -> Result<T, Complaint> {
    Err(Complaint::Type { at: None, found: type_name(value.get_ref()) })
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn text<'v>(value: &'v Spanned<DeValue<'_>>) -> Result<&'v str, Complaint> {
    value.get_ref().as_str().map_or_else(|| wrong(value), Ok)
}

/// `text` as a TOML basic string.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn name(&self) -> Cow<'static, str> {
        "true or false".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write `true` or `false`, without quotes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<bool, Complaint> {
        value.get_ref().as_bool().map_or_else(|| wrong(value), Ok)
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// Text that passes a test.
pub(super) struct Text {
    /// What an error may show of it.
    pub(super) visible: Visible,
    /// What it is called.
    pub(super) name: &'static str,
    /// What is wrong with a text and what to write, if anything.
    pub(super) check: fn(&str) -> Result<(), (&'static str, &'static str)>,
}

impl Text {
    /// Any text but the empty one.
    pub(super) const ANY: Self = Self {
        visible: Visible::All,
        name: "text",
        check: |text| {
            if text.is_empty() { Err(("it is empty", "leave the key out instead")) } else { Ok(()) }
        },
    };
}

impl Kind for Text {
    type Value = String;

    fn name(&self) -> Cow<'static, str> {
        self.name.into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it in quotes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<String, Complaint> {
        let text = text(value)?;
        (self.check)(text).map_err(|(message, hint)| Complaint::value(message, hint))?;
        Ok(text.to_owned())
    }

    fn show(&self, value: &String) -> String {
        quote(value)
    }

    fn visible(&self) -> Visible {
        self.visible
    }
}

/// One of a few words.
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T> OneOf<T> {
    fn words(&self) -> String {
        self.0.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    }
}

impl<T: Copy + PartialEq> Kind for OneOf<T> {
    type Value = T;

    fn name(&self) -> Cow<'static, str> {
        format!("one of {}", self.words()).into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write the word in quotes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<T, Complaint> {
        let text = text(value)?;
        if let Some((_, it)) = self.0.iter().find(|(word, _)| *word == text) {
            return Ok(*it);
        }
        let hint = match nearest(text, self.0.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("it is one of {}", self.words()),
        };
        Err(Complaint::value(format!("it cannot be `{}`", clip(text)), hint))
    }

    fn show(&self, value: &T) -> String {
        self.0.iter().find(|(_, it)| it == value).map_or_else(String::new, |(word, _)| quote(word))
    }
}

/// The beginning of what was written, for a message.
pub(super) fn clip(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        short.push('…');
    }
    short
}

fn outside<T: PartialOrd>(
    value: &T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<(), Complaint> {
    let (least, most) = (show(range.start()), show(range.end()));
    if value < range.start() {
        return Err(Complaint::value(
            format!("{} is too little", show(value)),
            format!("it goes from {least} to {most}"),
        ));
    }
    if value > range.end() {
        return Err(Complaint::value(
            format!("{} is too much", show(value)),
            format!("it goes from {least} to {most}"),
        ));
    }
    Ok(())
}

/// A whole number.
pub(super) struct Count(pub(super) RangeInclusive<u64>);

impl Kind for Count {
    type Value = u64;

    fn name(&self) -> Cow<'static, str> {
        "a whole number".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write the number without quotes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<u64, Complaint> {
        let Some(number) = value.get_ref().as_integer() else {
            return wrong(value);
        };
        let hint = || format!("it goes from {} to {}", self.0.start(), self.0.end());
        let count = u64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| Complaint::value(format!("it cannot be {}", clip(number.as_str())), hint()))?;
        outside(&count, &self.0, ToString::to_string)?;
        Ok(count)
    }

    fn show(&self, value: &u64) -> String {
        value.to_string()
    }
}

/// A number from 0 to 1.
pub(super) struct Fraction;

impl Kind for Fraction {
    type Value = f64;

    fn name(&self) -> Cow<'static, str> {
        "a number from 0 to 1".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like `0.5`, without quotes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<f64, Complaint> {
        let number = match value.get_ref() {
            DeValue::Integer(it) => it.as_str(),
            DeValue::Float(it) => it.as_str(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                return wrong(value);
            }
        };
        match number.parse::<f64>() {
            Ok(it) if (0.0..=1.0).contains(&it) => Ok(it),
            _ => Err(Complaint::value(format!("it cannot be {}", clip(number)), "it goes from 0 to 1")),
        }
    }

    fn show(&self, value: &f64) -> String {
        format!("{value:?}")
    }
}

/// A duration.
pub(super) struct Span(pub(super) RangeInclusive<Duration>);

impl Kind for Span {
    type Value = Duration;

    fn name(&self) -> Cow<'static, str> {
        "a duration".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it in quotes with a unit, like \"10s\" or \"250ms\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Duration, Complaint> {
        let duration = units::parse_duration(text(value)?)
            .map_err(|fault| Complaint::value(fault.message, fault.hint))?;
        outside(&duration, &self.0, |it| format!("`{}`", units::format_duration(*it)))?;
        Ok(duration)
    }

    fn show(&self, value: &Duration) -> String {
        quote(&units::format_duration(*value))
    }
}

/// A size in bytes.
pub(super) struct Size(pub(super) RangeInclusive<u64>);

impl Kind for Size {
    type Value = u64;

    fn name(&self) -> Cow<'static, str> {
        "a size".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like \"4 MiB\", or a plain number of bytes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<u64, Complaint> {
        let bytes = match value.get_ref() {
            DeValue::Integer(_) => return Count(self.0.clone()).read(value),
            DeValue::String(text) => {
                units::parse_size(text).map_err(|fault| Complaint::value(fault.message, fault.hint))?
            }
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                return wrong(value);
            }
        };
        outside(&bytes, &self.0, |it| format!("`{}`", units::format_size(*it)))?;
        Ok(bytes)
    }

    fn show(&self, value: &u64) -> String {
        quote(&units::format_size(*value))
    }
}

/// A list of one kind.
pub(super) struct List<K> {
    /// What its items are called: "durations".
    pub(super) of: &'static str,
    pub(super) item: K,
    pub(super) length: RangeInclusive<usize>,
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn name(&self) -> Cow<'static, str> {
        format!("a list of {}", self.of).into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it in brackets: [\"…\", \"…\"]".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Complaint> {
        let Some(items) = value.get_ref().as_array() else {
            return wrong(value);
        };
        let (least, most) = (*self.length.start(), *self.length.end());
        if items.len() < least {
            return Err(Complaint::value("the list is too short", format!("it has at least {least}")));
        }
        if items.len() > most {
            return Err(Complaint::value("the list is too long", format!("it has at most {most}")));
        }
        items.iter().map(|item| self.item.read(item).map_err(|fault| fault.within(item.span()))).collect()
    }

    fn show(&self, value: &Self::Value) -> String {
        format!("[{}]", value.iter().map(|it| self.item.show(it)).collect::<Vec<_>>().join(", "))
    }
}

/// A key as TOML writes it: bare where it can be.
pub(super) fn key_text(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quote(name) }
}
