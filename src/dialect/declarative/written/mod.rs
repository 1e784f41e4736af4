//! From what is written in the file to templates, sources and conditions.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "TOML has seven kinds of value and gets no more; a key takes one or two of them"
)]

mod conditions;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::filter::{Argument, Filter, NAMES as FILTERS, parse_duration};
use super::hole::{BUILT_IN, Base, Hole};
use super::reader::{Item, Notes};
use super::scalars::write_string;
use super::spec::MAX_FILTERS;
use super::tape::Tape;
use super::template::{Part, Template};
use crate::dialect::problem::nearest;
use crate::model::json::Pointer;

/// Where something is written: what has a value there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    Connect,
    Initial,
    /// `if` of a step, and lists of items.
    Before,
    Stream,
    Send {
        waits: bool,
    },
    Wait,
    Answer,
    StepSource,
    Rule,
    RuleSource {
        each: bool,
    },
    Reply {
        each: bool,
    },
    Out,
    Heartbeat,
    Length,
}

impl Site {
    fn has(self, base: &Base) -> bool {
        match base {
            Base::Name(_) | Base::Now | Base::Null => true,
            Base::Token => !matches!(self, Self::StepSource | Self::RuleSource { .. } | Self::Length),
            Base::Type | Base::Data | Base::Id | Base::Text | Base::Binary => self == Self::Out,
            Base::In => matches!(
                self,
                Self::Send { waits: true } | Self::StepSource | Self::RuleSource { .. } | Self::Reply { .. }
            ),
            Base::Outer => matches!(self, Self::RuleSource { each: true } | Self::Reply { each: true }),
            Base::Item => matches!(
                self,
                Self::Stream
                    | Self::Send { .. }
                    | Self::Wait
                    | Self::Answer
                    | Self::StepSource
                    | Self::Rule
                    | Self::RuleSource { .. }
                    | Self::Reply { .. }
            ),
            Base::Counter | Base::Uuid => {
                matches!(
                    self,
                    Self::Send { .. } | Self::Answer | Self::Reply { .. } | Self::Out | Self::Heartbeat
                )
            }
            Base::Cursor => matches!(
                self,
                Self::Connect
                    | Self::Before
                    | Self::Send { .. }
                    | Self::Wait
                    | Self::Answer
                    | Self::Heartbeat
            ),
        }
    }
}

/// Reads values of one file.
#[derive(Debug)]
pub(crate) struct Written<'s> {
    pub(crate) notes: Notes<'s>,
    /// Names of the file's own, and where they are first given a value.
    pub(crate) names: BTreeMap<String, usize>,
    /// The step at hand is done for each item of a list.
    pub(crate) in_each: bool,
}

fn name_length(text: &str) -> usize {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first { text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()) } else { 0 }
}

impl Written<'_> {
    fn pointer(&mut self, text: &str, at: usize) -> Option<Pointer> {
        match Pointer::parse(text) {
            Ok(pointer) => Some(pointer),
            Err(message) => {
                self.notes.error("bad_pointer", at, message, "");
                None
            }
        }
    }

    /// A pointer that is a key's whole value.
    pub(crate) fn lone_pointer(&mut self, item: &Item<'_>, key: &str) -> Option<Pointer> {
        match item.get_ref() {
            DeValue::String(text) => self.pointer(text, item.span().start),
            _ => {
                self.notes.wrong(item, key, "a JSON Pointer (`\"/items\"`)");
                None
            }
        }
    }

    /// A hole, without its dollar sign.
    fn hole(&mut self, text: &str, at: usize, site: Site) -> Option<Hole> {
        let name = &text[..name_length(text)];
        let base = match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, base)) => base.clone(),
            None => Base::Name(name.into()),
        };
        let known = match &base {
            Base::Name(name) => self.names.contains_key(&**name),
            built_in => site.has(built_in),
        };
        if !known {
            self.unset(name, at, site);
        }
        let (pointer, filters) = self.tail(&text[name.len()..], at, site)?;
        Some(Hole { base, pointer, filters })
    }

    fn unset(&mut self, name: &str, at: usize, site: Site) {
        let there = BUILT_IN.iter().filter(|(_, base)| site.has(base)).map(|(name, _)| *name);
        let all: Vec<&str> = there.chain(self.names.keys().map(String::as_str)).collect();
        let built_in = BUILT_IN.iter().any(|(known, _)| *known == name);
        let advice = match nearest(name, all) {
            Some(near) if self.in_each && !built_in => {
                format!("the item of the list is `$item`; or did you mean `${near}`?")
            }
            None if self.in_each && !built_in => {
                "the item of the list is `$item`; other names come from `vars`, `capture` or `keep`"
                    .to_owned()
            }
            Some(near) if near != name => format!("did you mean `${near}`?"),
            _ => "a name comes from `vars`, `capture` or `keep`; a dollar sign alone is written `$$`"
                .to_owned(),
        };
        let message = if built_in {
            format!("`${name}` has no value in this place")
        } else {
            format!("nothing gives `${name}` a value")
        };
        self.notes.error("unset_hole", at, message, advice);
    }

    /// Pointer and filters behind a name.
    fn tail(&mut self, text: &str, at: usize, site: Site) -> Option<(Option<Pointer>, Vec<Filter>)> {
        let (pointer, filters) = match text.split_once('|') {
            Some((pointer, filters)) => (pointer, Some(filters)),
            None => (text, None),
        };
        let pointer = if pointer.is_empty() { None } else { Some(self.pointer(pointer, at)?) };
        let filters = match filters {
            Some(filters) => {
                filters.split('|').map(|text| self.filter(text, at, site)).collect::<Option<Vec<_>>>()?
            }
            None => Vec::new(),
        };
        if filters.len() > MAX_FILTERS {
            self.notes.error("limit", at, format!("a hole takes at most {MAX_FILTERS} filters"), "");
        }
        Some((pointer, filters))
    }

    fn filter(&mut self, text: &str, at: usize, site: Site) -> Option<Filter> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<String>>();
        let filter = match (name, argument) {
            ("json", None) => Some(Filter::Json),
            ("parse", None) => Some(Filter::Parse),
            ("base64", None) => Some(Filter::Base64),
            ("unbase64", None) => Some(Filter::Unbase64),
            ("add", Some(by)) => added(by),
            ("default", Some(other)) => Some(Filter::Default(self.argument(other, at, site)?)),
            ("then", Some(other)) => Some(Filter::Then(self.argument(other, at, site)?)),
            ("omit", Some(names)) => Some(Filter::Omit(list(names))),
            ("wrap", Some(name)) => Some(Filter::Wrap(name.to_owned())),
            ("unwrap", Some(names)) => {
                let mut beside = list(names);
                let name = beside.remove(0);
                Some(Filter::Unwrap { name, beside })
            }
            ("key", None) => Some(Filter::Key),
            ("value", None) => Some(Filter::Member),
            ("before", Some(mark)) => Some(Filter::Before(mark.to_owned())),
            ("after", Some(mark)) => Some(Filter::After(mark.to_owned())),
            ("unix", None) => Some(Filter::Unix),
            ("unix_ms", None) => Some(Filter::UnixMillis),
            ("s", None) => Some(Filter::Seconds),
            ("ms", None) => Some(Filter::Millis),
            _ if FILTERS.contains(&name) => None,
            _ => {
                let advice = nearest(name, FILTERS).map_or_else(
                    || format!("known: {}", FILTERS.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                self.notes.error("unknown_filter", at, format!("there is no filter `{name}`"), advice);
                return None;
            }
        };
        if filter.is_none() {
            let advice = match name {
                "add" => "a whole number or a duration: `add:1`, `add:-10s`",
                "default" | "then" | "omit" | "wrap" | "unwrap" | "before" | "after" => {
                    "it takes something behind a colon"
                }
                _ => "it takes nothing behind a colon",
            };
            self.notes.error(
                "bad_hole",
                at,
                format!("the filter `{text}` is not complete or says too much"),
                advice,
            );
        }
        filter
    }

    fn argument(&mut self, text: &str, at: usize, site: Site) -> Option<Argument> {
        if let Some(hole) = text.strip_prefix('$')
            && name_length(hole) > 0
        {
            return self.hole(hole, at, site).map(|hole| Argument::Hole(Box::new(hole)));
        }
        if Tape::default().read(text).is_ok() {
            return Some(Argument::Fixed(text.to_owned()));
        }
        let mut json = String::new();
        write_string(text, &mut json);
        Some(Argument::Fixed(json))
    }

    /// A text of the file: a hole, a text with holes in it, or fixed. `pointers`: `${/a}` too.
    fn worded(&mut self, text: &str, at: usize, site: Site, pointers: bool) -> Option<Template> {
        if let Some(hole) = text.strip_prefix('$')
            && name_length(hole) > 0
        {
            let behind = hole[name_length(hole)..].chars().next();
            if !matches!(behind, None | Some('/' | '|')) {
                self.notes.error(
                    "bad_hole",
                    at,
                    format!("`{text}` is no hole"),
                    "a hole is `$name`, `$name/pointer` or `$name|filter`; within a text it is `${name}`, and a dollar sign alone is `$$`",
                );
                return None;
            }
            return self.hole(hole, at, site).map(Template::Hole);
        }
        let mut parts = Vec::new();
        let mut fixed = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            fixed.push_str(&rest[..dollar]);
            let behind = &rest[dollar + 1..];
            if let Some(more) = behind.strip_prefix('$') {
                fixed.push('$');
                rest = more;
            } else if let Some(inner) = behind.strip_prefix('{') {
                let Some(end) = inner.find('}') else {
                    self.notes.error(
                        "bad_hole",
                        at,
                        format!("`{text}` opens a hole and does not close it"),
                        "",
                    );
                    return None;
                };
                let written = &inner[..end];
                let hole = if pointers && written.starts_with('/') {
                    self.taken(written, at, site)?
                } else if name_length(written) > 0 {
                    self.hole(written, at, site)?
                } else {
                    self.notes.error(
                        "bad_hole",
                        at,
                        format!("`${{{written}}}` is no hole"),
                        "a hole within a text is `${name}`; a dollar sign alone is `$$`",
                    );
                    return None;
                };
                if !fixed.is_empty() {
                    parts.push(Part::Fixed(std::mem::take(&mut fixed)));
                }
                parts.push(Part::Hole(hole));
                rest = &inner[end + 1..];
            } else {
                fixed.push('$');
                rest = behind;
            }
        }
        fixed.push_str(rest);
        if parts.is_empty() {
            let mut json = String::new();
            write_string(&fixed, &mut json);
            return Some(Template::Fixed(json));
        }
        if !fixed.is_empty() {
            parts.push(Part::Fixed(fixed));
        }
        Some(Template::Joined(parts))
    }

    /// A pointer with filters, into the message at hand.
    fn taken(&mut self, text: &str, at: usize, site: Site) -> Option<Hole> {
        let (pointer, filters) = self.tail(text, at, site)?;
        Some(Hole { base: Base::In, pointer, filters })
    }

    /// A name that `capture` or `keep` sets.
    pub(crate) fn own_name(&mut self, name: &str, at: usize) -> Option<Arc<str>> {
        if name_length(name) != name.len() || name.is_empty() {
            self.notes.error(
                "bad_value",
                at,
                format!("`{name}` cannot be a name"),
                "letters, digits and `_`",
            );
            return None;
        }
        if BUILT_IN.iter().any(|(known, _)| *known == name) {
            self.notes.error(
                "bad_value",
                at,
                format!("`${name}` has a meaning of its own"),
                "choose another name",
            );
            return None;
        }
        Some(name.into())
    }
}

/// What `add:` is given.
fn added(text: &str) -> Option<Filter> {
    if let Ok(by) = text.parse() {
        return Some(Filter::Add(by));
    }
    let (back, by) = match text.strip_prefix('-') {
        Some(by) => (true, by),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    parse_duration(by).map(|by| Filter::AddTime { back, by })
}
