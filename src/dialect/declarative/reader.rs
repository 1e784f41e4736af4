//! Reading TOML with the place of every key at hand, so that a problem names line and rule.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "TOML has seven kinds of value and gets no more; a key takes one or two of them"
)]

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::problem::{Grade, Problem, nearest};
use crate::model::Excerpt;

/// A TOML value with its place.
pub(crate) type Item<'i> = Spanned<DeValue<'i>>;

/// The problems of one file, as they are found.
#[derive(Debug)]
pub(crate) struct Notes<'s> {
    file: &'s str,
    source: &'s str,
    /// Where we are: `in[3]`, `start[1]`.
    pub(crate) rule: Option<String>,
    pub(crate) problems: Vec<Problem>,
}

impl<'s> Notes<'s> {
    pub(crate) const fn new(file: &'s str, source: &'s str) -> Self {
        Self { file, source, rule: None, problems: Vec::new() }
    }

    fn note(&mut self, severity: Grade, code: &'static str, at: usize, message: String, advice: String) {
        let span = at..at + extent(self.source.get(at..).unwrap_or_default());
        let (line, column, excerpt) = Excerpt::inside(self.source, &span, &[]);
        let rule = self.rule.clone();
        let excerpt = Some(excerpt);
        let file = self.file.to_owned();
        self.problems.push(Problem { code, severity, file, line, column, rule, message, advice, excerpt });
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        at: usize,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.note(Grade::Error, code, at, message.into(), advice.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        at: usize,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.note(Grade::Warning, code, at, message.into(), advice.into());
    }

    /// A value of the wrong kind.
    pub(crate) fn wrong(&mut self, item: &Item<'_>, key: &str, wanted: &str) {
        let found = item.get_ref().type_str();
        self.error(
            "bad_value",
            item.span().start,
            format!("`{key}` takes {wanted}, this is a TOML {found}"),
            "",
        );
    }

    pub(crate) fn failed(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }
}

/// A table whose keys are taken one by one; what is left over is unknown.
#[derive(Debug)]
pub(crate) struct Keys<'t, 'i> {
    entries: Vec<(&'t str, Range<usize>, &'t Item<'i>)>,
    /// Where the table begins.
    pub(crate) at: usize,
}

impl<'t, 'i> Keys<'t, 'i> {
    /// The table's entries, in the order of the file.
    pub(crate) fn new(table: &'t DeTable<'i>, at: usize) -> Self {
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (&**key.get_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        let at = entries.first().map_or(at, |(_, span, _)| span.start.min(at));
        Self { entries, at }
    }

    /// The table in `item`, noted as wrong if there is none.
    pub(crate) fn of(item: &'t Item<'i>, key: &str, notes: &mut Notes<'_>) -> Option<Self> {
        match item.get_ref() {
            DeValue::Table(table) => Some(Self::new(table, item.span().start)),
            _ => {
                notes.wrong(item, key, "a table");
                None
            }
        }
    }

    /// Where `key` stands; the beginning where it does not.
    pub(crate) fn place(&self, key: &str) -> usize {
        self.entries.iter().find(|(name, ..)| *name == key).map_or(0, |(_, span, _)| span.start)
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<&'t Item<'i>> {
        let at = self.entries.iter().position(|(name, ..)| *name == key)?;
        Some(self.entries.remove(at).2)
    }

    /// All that is left, in the order of the file.
    pub(crate) fn rest(self) -> impl Iterator<Item = (&'t str, usize, &'t Item<'i>)> {
        self.entries.into_iter().map(|(key, span, item)| (key, span.start, item))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'t str> {
        self.entries.iter().map(|(name, ..)| *name)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes what is left as unknown.
    pub(crate) fn finish(self, known: &[&str], notes: &mut Notes<'_>) {
        for (key, at, _) in self.rest() {
            let advice = nearest(key, known.iter().copied()).map_or_else(
                || format!("known here: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            notes.error("unknown_key", at, format!("there is no key `{key}` here"), advice);
        }
    }

    pub(crate) fn text(&mut self, key: &str, notes: &mut Notes<'_>) -> Option<(&'t str, usize)> {
        let item = self.take(key)?;
        match item.get_ref() {
            DeValue::String(text) => Some((text, item.span().start)),
            _ => {
                notes.wrong(item, key, "a text");
                None
            }
        }
    }

    pub(crate) fn flag(&mut self, key: &str, notes: &mut Notes<'_>) -> Option<bool> {
        let item = self.take(key)?;
        let flag = item.get_ref().as_bool();
        if flag.is_none() {
            notes.wrong(item, key, "true or false");
        }
        flag
    }

    /// A list of texts; one text alone is taken for a list of one where `lone` says so.
    pub(crate) fn texts(&mut self, key: &str, lone: bool, notes: &mut Notes<'_>) -> Vec<(&'t str, usize)> {
        let Some(item) = self.take(key) else {
            return Vec::new();
        };
        match item.get_ref() {
            DeValue::String(text) if lone => vec![(text, item.span().start)],
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| match item.get_ref() {
                    DeValue::String(text) => Some((&**text, item.span().start)),
                    _ => {
                        notes.wrong(item, key, "texts");
                        None
                    }
                })
                .collect(),
            _ => {
                notes.wrong(item, key, "a list of texts");
                Vec::new()
            }
        }
    }

    /// A list of tables, each with its place.
    pub(crate) fn tables(&mut self, key: &str, notes: &mut Notes<'_>) -> Vec<(&'t DeTable<'i>, usize)> {
        let Some(item) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = item.get_ref() else {
            notes.wrong(item, key, "a list of tables");
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| match item.get_ref() {
                DeValue::Table(table) => Some((table, item.span().start)),
                _ => {
                    notes.wrong(item, key, "tables");
                    None
                }
            })
            .collect()
    }
}

/// How many bytes of the first line of `source` belong to the key, the value or the header it begins with.
fn extent(source: &str) -> usize {
    let line = source.lines().next().unwrap_or_default();
    let mut open = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        let end = at + c.len_utf8();
        match (quote, c) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(mark), _) if mark == c && !escaped => {
                quote = None;
                if open == 0 {
                    return end;
                }
            }
            (Some(_), _) => {}
            // A text of several lines goes on at least to the end of this one.
            (None, '"' | '\'') if line[at..].starts_with(if c == '"' { "\"\"\"" } else { "'''" }) => {
                return line.len();
            }
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => open += 1,
            (None, ']' | '}') if open <= 1 => return if open == 0 { at } else { end },
            (None, ']' | '}') => open -= 1,
            (None, '#') => return line[..at].trim_end().len(),
            (None, '.')
                if open == 0
                    && !line.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first)) =>
            {
                return at;
            }
            (None, ',' | '=') if open == 0 => return at,
            (None, c) if open == 0 && c.is_whitespace() => return at,
            (None, _) => {}
        }
        escaped = false;
    }
    line.trim_end().len()
}

/// A TOML scalar as JSON text; none for what is none, or what JSON cannot say (`nan`).
pub(crate) fn scalar_json(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => {
            let mut json = String::new();
            super::scalars::write_string(text, &mut json);
            Some(json)
        }
        DeValue::Integer(integer) => {
            i128::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(float) => {
            let text = float.as_str().trim_start_matches('+');
            text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| text.to_owned())
        }
        DeValue::Boolean(is) => Some(is.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Any TOML value as JSON text, members in the order of the file. Dates are noted and refused.
pub(crate) fn plain_json(item: &Item<'_>, notes: &mut Notes<'_>) -> Option<String> {
    let value = item.get_ref();
    match value {
        DeValue::Table(table) => {
            let mut json = String::from("{");
            for (key, _, item) in Keys::new(table, 0).rest() {
                if json.len() > 1 {
                    json.push(',');
                }
                super::scalars::write_string(key, &mut json);
                json.push(':');
                json.push_str(&plain_json(item, notes)?);
            }
            Some(json + "}")
        }
        DeValue::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| plain_json(item, notes)).collect();
            Some(format!("[{}]", items?.join(",")))
        }
        _ => {
            let json = scalar_json(value);
            if json.is_none() {
                notes.error(
                    "bad_value",
                    item.span().start,
                    "JSON has no such value",
                    "write dates as texts, in quotation marks; numbers must be finite",
                );
            }
            json
        }
    }
}
