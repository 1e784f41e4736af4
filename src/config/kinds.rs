//! Kinds of values: what is taken, what is said where something else is written, how it is shown.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::DeValue;

use super::paths::Environment;
use super::reader::nearest;
use super::{ServerUrl, units};
use crate::model::Secret;
use crate::model::json::Pointer;

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
    /// What it is called.
    pub(super) name: &'static str,
    /// What is wrong with a text and what to write, if anything.
    pub(super) check: fn(&str) -> Result<(), (&'static str, &'static str)>,
}

impl Text {
    /// Any text but the empty one.
    pub(super) const ANY: Self = Self {
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

/// The path of a file. `~/` is the home folder, relative ones begin beside the configuration.
pub(super) struct FilePath<'e> {
    pub(super) env: &'e Environment,
    pub(super) base: &'e Path,
}

impl Kind for FilePath<'_> {
    type Value = PathBuf;

    fn name(&self) -> Cow<'static, str> {
        "a path".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it in quotes".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Complaint> {
        let text = text(value)?;
        if text.is_empty() || text.contains('\0') {
            return Err(Complaint::value("this is no path", "leave the key out, or name a file"));
        }
        self.env.expand(text, self.base).ok_or_else(|| {
            Complaint::value(
                "`~` cannot be expanded: no home folder is known",
                "set HOME, or write the whole path",
            )
        })
    }

    fn show(&self, value: &PathBuf) -> String {
        quote(&value.to_string_lossy())
    }
}

/// The server's URL.
pub(super) struct Url;

impl Kind for Url {
    type Value = ServerUrl;

    fn name(&self) -> Cow<'static, str> {
        "a URL".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like \"wss://api.example.com/socket\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<ServerUrl, Complaint> {
        ServerUrl::parse(text(value)?).map_err(|fault| Complaint::value(fault.message, fault.hint))
    }

    fn show(&self, value: &ServerUrl) -> String {
        quote(&value.to_string())
    }

    fn visible(&self) -> Visible {
        Visible::Url
    }
}

/// A proxy's URL: `http://` or `socks5://`.
pub(super) struct ProxyUrl;

impl Kind for ProxyUrl {
    type Value = String;

    fn name(&self) -> Cow<'static, str> {
        "a proxy URL".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like \"http://proxy:3128\" or \"socks5://proxy:1080\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<String, Complaint> {
        let text = text(value)?;
        let known = ["http://", "https://", "socks5://", "socks5h://"];
        if known.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())) {
            Ok(text.to_owned())
        } else {
            Err(Complaint::value("this is no proxy URL", self.example()))
        }
    }

    fn show(&self, value: &String) -> String {
        let (scheme, rest) = value.split_once("://").unwrap_or(("", value));
        match rest.rsplit_once('@') {
            Some((_, place)) => quote(&format!("{scheme}://***@{place}")),
            None => quote(value),
        }
    }

    fn visible(&self) -> Visible {
        Visible::Url
    }
}

/// Whether `text` is a token in the sense of HTTP (RFC 9110, 5.6.2).
pub(super) fn is_http_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Header names that belong to the upgrade itself (RFC 6455, 4.1).
fn is_reserved_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("sec-websocket-")
        || ["host", "upgrade", "connection", "content-length", "transfer-encoding"].contains(&name.as_str())
}

/// The name of a header that may be set.
pub(super) const HEADER_NAME: Text = Text {
    name: "a header name",
    check: |name| {
        if !is_http_token(name) {
            return Err(("this is no header name", "header names have letters, digits and `-`"));
        }
        if is_reserved_header(name) {
            return Err(("this header belongs to the WebSocket upgrade itself", "take another one"));
        }
        Ok(())
    },
};

/// Headers: names with values that are never shown.
pub(super) struct Headers;

/// Most headers.
const MAX_HEADERS: usize = 64;

impl Kind for Headers {
    type Value = Vec<(String, Secret)>;

    fn name(&self) -> Cow<'static, str> {
        "a table of texts".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like { \"X-App\" = \"dashboard\" }".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Complaint> {
        let Some(table) = value.get_ref().as_table() else {
            return wrong(value);
        };
        if table.len() > MAX_HEADERS {
            return Err(Complaint::value("too many headers", format!("there may be {MAX_HEADERS}")));
        }
        let mut headers = Vec::new();
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            (HEADER_NAME.check)(name.get_ref())
                .map_err(|(message, hint)| Complaint::value(message, hint).within(name.span()))?;
            let text = text(value).map_err(|fault| fault.within(value.span()))?;
            // RFC 9110, 5.5, without obs-text, which servers read differently.
            if !text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
                let fault = Complaint::value(
                    "the header's value holds what no header can hold",
                    "plain ASCII only, without line ends",
                );
                return Err(fault.within(value.span()));
            }
            headers.push((name.get_ref().to_string(), Secret::new(text.trim())));
        }
        Ok(headers)
    }

    fn show(&self, value: &Self::Value) -> String {
        let shown: Vec<_> = value.iter().map(|(name, _)| format!("{} = \"***\"", quote(name))).collect();
        if shown.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", shown.join(", ")) }
    }

    fn visible(&self) -> Visible {
        Visible::Nothing
    }
}

/// A command and its arguments, which are never shown.
pub(super) struct Command;

/// Most words of a command.
const MAX_WORDS: usize = 64;

impl Kind for Command {
    type Value = Vec<String>;

    fn name(&self) -> Cow<'static, str> {
        "a list of texts".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write program and arguments one by one: [\"pass\", \"show\", \"api\"]".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Complaint> {
        let words = Text { name: "text", check: |_| Ok(()) };
        let command = List { of: "texts", item: words, length: 1..=MAX_WORDS }.read(value)?;
        match command.first() {
            Some(program) if !program.is_empty() => Ok(command),
            _ => Err(Complaint::value("the program's name is empty", self.example())),
        }
    }

    fn show(&self, value: &Vec<String>) -> String {
        let words = value.iter().enumerate();
        let shown = words.map(|(index, word)| if index == 0 { quote(word) } else { "\"***\"".to_owned() });
        format!("[{}]", shown.collect::<Vec<_>>().join(", "))
    }

    fn visible(&self) -> Visible {
        Visible::First
    }
}

/// A place inside JSON.
pub(super) struct JsonPointer;

impl Kind for JsonPointer {
    type Value = Pointer;

    fn name(&self) -> Cow<'static, str> {
        "a JSON Pointer".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like \"/orderId\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Pointer, Complaint> {
        Pointer::parse(text(value)?).map_err(|fault| Complaint::value(fault, self.example()))
    }

    fn show(&self, value: &Pointer) -> String {
        quote(value.as_str())
    }
}

/// Any data, as JSON. Whether it is shown is for the key to say.
pub(super) struct Data {
    pub(super) visible: Visible,
}

impl Kind for Data {
    type Value = serde_json::Map<String, Json>;

    fn name(&self) -> Cow<'static, str> {
        "a table".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like { name = \"value\" }".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Complaint> {
        match json(value)? {
            Json::Object(map) => Ok(map),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => wrong(value),
        }
    }

    fn show(&self, value: &Self::Value) -> String {
        show_json(&Json::Object(value.clone()), self.visible)
    }

    fn visible(&self) -> Visible {
        self.visible
    }
}

/// A TOML value as JSON. Dates become text.
pub(super) fn json(value: &Spanned<DeValue<'_>>) -> Result<Json, Complaint> {
    let unfit =
        |what: &str| Complaint::value(format!("{what} cannot be said in JSON"), "").within(value.span());
    Ok(match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Boolean(it) => Json::from(*it),
        DeValue::Datetime(it) => Json::from(it.to_string()),
        DeValue::Integer(it) => {
            let number = i64::from_str_radix(it.as_str(), it.radix());
            Json::from(number.map_err(|_| unfit("such a large number"))?)
        }
        DeValue::Float(it) => {
            let number = it.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Json::Number(number.ok_or_else(|| unfit("this number"))?)
        }
        DeValue::Array(items) => Json::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        DeValue::Table(table) => {
            let mut members: Vec<_> = table.iter().collect();
            members.sort_by_key(|(name, _)| name.span().start);
            let pairs =
                members.into_iter().map(|(name, value)| Ok((name.get_ref().to_string(), json(value)?)));
            Json::Object(pairs.collect::<Result<_, Complaint>>()?)
        }
    })
}

/// JSON as inline TOML; texts hidden where they must not be seen.
pub(super) fn show_json(value: &Json, visible: Visible) -> String {
    match value {
        Json::Null => "\"\"".to_owned(),
        Json::Bool(it) => it.to_string(),
        Json::Number(it) => it.to_string(),
        Json::String(_) if visible != Visible::All => "\"***\"".to_owned(),
        Json::String(text) => quote(text),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(|it| show_json(it, visible)).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) => {
            let members =
                map.iter().map(|(name, it)| format!("{} = {}", key_text(name), show_json(it, visible)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A key as TOML writes it: bare where it can be.
pub(super) fn key_text(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quote(name) }
}
