//! From what is written in the file to templates, sources and conditions.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::super::problem::nearest;
use super::condition::{Condition, Op, Place, Scalar, Subject, Test};
use super::filter::{Argument, Filter, NAMES as FILTERS, parse_duration};
use super::hole::{BUILT_IN, Base, Hole};
use super::reader::{Item, Keys, Notes, plain_json, scalar_json};
use super::spec::{MAX_ALTERNATIVES, MAX_FILTERS, MAX_TEMPLATE_DEPTH};
use super::tape::{Tape, plain_number, write_string};
use super::template::{Part, Template, list, table};
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
        let advice = match nearest(name, all) {
            Some(near) if near != name => format!("did you mean `${near}`?"),
            _ => "a name comes from `vars`, `capture` or `keep`; a dollar sign alone is written `$$`"
                .to_owned(),
        };
        let message = if BUILT_IN.iter().any(|(known, _)| *known == name) {
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

    /// What we send.
    pub(crate) fn template(&mut self, item: &Item<'_>, site: Site) -> Option<Template> {
        self.template_at(item, site, 0)
    }

    fn template_at(&mut self, item: &Item<'_>, site: Site, depth: usize) -> Option<Template> {
        let at = item.span().start;
        if depth > MAX_TEMPLATE_DEPTH {
            self.notes.error("limit", at, format!("a template nests at most {MAX_TEMPLATE_DEPTH} deep"), "");
            return None;
        }
        match item.get_ref() {
            DeValue::String(text) => self.worded(text, at, site, false),
            DeValue::Array(items) => items
                .iter()
                .map(|item| self.template_at(item, site, depth + 1))
                .collect::<Option<_>>()
                .map(list),
            DeValue::Table(_) => self.template_table(item, site, depth),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                plain_json(item, &mut self.notes).map(Template::Fixed)
            }
        }
    }

    fn template_table(&mut self, item: &Item<'_>, site: Site, depth: usize) -> Option<Template> {
        let keys = Keys::of(item, "", &mut self.notes)?;
        let lone = keys.len() == 1;
        let mut parts = Vec::new();
        let mut spread = None;
        for (key, at, item) in keys.rest() {
            if key == "..." {
                let hole = match item.get_ref() {
                    DeValue::String(text) => match self.worded(text, item.span().start, site, false)? {
                        Template::Hole(hole) => Some(hole),
                        Template::Fixed(_)
                        | Template::Joined(_)
                        | Template::Table(_)
                        | Template::List(_)
                        | Template::First(_)
                        | Template::Filtered(..) => None,
                    },
                    _ => None,
                };
                let Some(hole) = hole else {
                    self.notes.error(
                        "bad_value",
                        at,
                        "`\"...\"` takes a hole",
                        "for example `\"...\" = \"$data\"`",
                    );
                    return None;
                };
                spread = Some((parts.len(), hole));
                continue;
            }
            if let Some(filter) = key.strip_prefix('$').filter(|rest| lone && !rest.starts_with('$')) {
                let inner = self.template_at(item, site, depth + 1)?;
                return Some(Template::Filtered(Box::new(inner), self.filter(filter, at, site)?));
            }
            let name = if key.starts_with("$$") { &key[1..] } else { key };
            parts.push((name.to_owned(), self.template_at(item, site, depth + 1)?));
        }
        Some(table(parts, spread))
    }

    /// What we take.
    pub(crate) fn source(&mut self, item: &Item<'_>, site: Site) -> Option<Template> {
        self.source_at(item, site, 0)
    }

    fn source_at(&mut self, item: &Item<'_>, site: Site, depth: usize) -> Option<Template> {
        let at = item.span().start;
        if depth > MAX_TEMPLATE_DEPTH {
            self.notes.error("limit", at, format!("a source nests at most {MAX_TEMPLATE_DEPTH} deep"), "");
            return None;
        }
        match item.get_ref() {
            DeValue::String(text) if text.is_empty() || text.starts_with('/') => {
                self.taken(text, at, site).map(Template::Hole)
            }
            DeValue::String(text) => self.worded(text, at, site, true),
            DeValue::Array(items) => {
                let choices =
                    items.iter().map(|item| self.source_at(item, site, depth + 1)).collect::<Option<_>>();
                choices.map(Template::First)
            }
            DeValue::Table(members) => {
                let parts = Keys::new(members, at)
                    .rest()
                    .map(|(key, _, item)| Some((key.to_owned(), self.source_at(item, site, depth + 1)?)))
                    .collect::<Option<Vec<_>>>();
                parts.map(|parts| table(parts, None))
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                plain_json(item, &mut self.notes).map(Template::Fixed)
            }
        }
    }

    /// A condition: a table of tests, or a list of such tables.
    pub(crate) fn condition(&mut self, item: &Item<'_>, key: &str, site: Site) -> Option<Condition> {
        let at = item.span().start;
        let alternatives: Vec<&Item<'_>> = match item.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![item],
        };
        if alternatives.is_empty() {
            self.notes.error("bad_value", at, format!("`{key}` has no alternative: it would never hold"), "");
            return None;
        }
        if alternatives.len() > MAX_ALTERNATIVES {
            let message = format!("a condition has at most {MAX_ALTERNATIVES} alternatives");
            self.notes.error("limit", at, message, "a value may stand against a list of values");
        }
        let mut subject = None;
        let mut any = Vec::new();
        for alternative in alternatives {
            let mut tests = Vec::new();
            for (name, at, item) in Keys::of(alternative, key, &mut self.notes)?.rest() {
                let (place, speaks_of) = self.place(name, at, site)?;
                if let (Some(one), Some(other)) = (subject, speaks_of)
                    && one != other
                {
                    self.notes.error(
                        "mixed_condition",
                        at,
                        "a condition speaks of one thing only: a message, a raw text, a close or a refusal",
                        "write two rules",
                    );
                    return None;
                }
                subject = subject.or(speaks_of);
                tests.push(Test { place, ops: self.ops(item, site)? });
            }
            any.push(tests);
        }
        Some(Condition { any, subject: subject.unwrap_or(Subject::Frame) })
    }

    fn place(&mut self, name: &str, at: usize, site: Site) -> Option<(Place, Option<Subject>)> {
        Some(match name {
            "raw" => (Place::Raw, Some(Subject::Raw)),
            "close" => (Place::Code, Some(Subject::Close)),
            "reason" => (Place::Reason, Some(Subject::Close)),
            "status" => (Place::Status, Some(Subject::Status)),
            _ if name.is_empty() || name.starts_with('/') => {
                (Place::Pointer(self.pointer(name, at)?), Some(Subject::Frame))
            }
            _ => match name.strip_prefix('$') {
                Some(hole) if name_length(hole) > 0 => {
                    let behind = &hole[name_length(hole)..];
                    if !behind.is_empty() && !behind.starts_with('/') {
                        self.notes.error(
                            "bad_hole",
                            at,
                            format!("`{name}` is no `$name` or `$name/pointer`"),
                            "",
                        );
                        return None;
                    }
                    (Place::Hole(self.hole(hole, at, site)?), None)
                }
                _ => {
                    self.notes.error(
                        "bad_pointer",
                        at,
                        format!("`{name}` is nothing a condition can test"),
                        "a key is a pointer (`\"/type\"`), a name (`\"$session\"`), `raw`, `close`, `reason` or `status`",
                    );
                    return None;
                }
            },
        })
    }

    fn ops(&mut self, item: &Item<'_>, site: Site) -> Option<Vec<Op>> {
        let table = match item.get_ref() {
            DeValue::Table(table) => table,
            DeValue::Array(_) => return Some(vec![Op::In(self.scalars(item, site)?)]),
            _ => return Some(vec![Op::In(vec![self.scalar(item, site)?])]),
        };
        let mut keys = Keys::new(table, item.span().start);
        let mut ops = Vec::new();
        if let Some(exists) = keys.flag("exists", &mut self.notes) {
            ops.push(Op::Exists(exists));
        }
        if let Some(item) = keys.take("equals") {
            ops.push(Op::Same(plain_json(item, &mut self.notes)?));
        }
        if let Some(item) = keys.take("not") {
            ops.push(Op::NotIn(self.scalars(item, site)?));
        }
        if let Some((text, at)) = keys.text("prefix", &mut self.notes) {
            ops.push(Op::Prefix(self.worded(text, at, site, false)?));
        }
        for (name, bound) in [("min", Op::Min as fn(f64) -> Op), ("max", Op::Max as fn(f64) -> Op)] {
            if let Some(item) = keys.take(name) {
                match scalar_json(item.get_ref()).and_then(|json| json.parse().ok()) {
                    Some(number) => ops.push(bound(number)),
                    None => self.notes.wrong(item, name, "a number"),
                }
            }
        }
        if ops.is_empty() && keys.len() == 0 {
            self.notes.error(
                "bad_value",
                item.span().start,
                "a test without an operator would always hold",
                "write `{ exists = true }`, or `{ equals = {} }` for an empty object",
            );
        }
        keys.finish(&["exists", "equals", "not", "prefix", "min", "max"], &mut self.notes);
        Some(ops)
    }

    fn scalars(&mut self, item: &Item<'_>, site: Site) -> Option<Vec<Scalar>> {
        match item.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.scalar(item, site)).collect(),
            _ => Some(vec![self.scalar(item, site)?]),
        }
    }

    fn scalar(&mut self, item: &Item<'_>, site: Site) -> Option<Scalar> {
        match item.get_ref() {
            DeValue::String(text) => match self.worded(text, item.span().start, site, false)? {
                Template::Fixed(json) => super::tape::unescape(&json).map(Scalar::Text),
                open => Some(Scalar::Open(open)),
            },
            DeValue::Boolean(is) => Some(Scalar::Bool(*is)),
            DeValue::Integer(_) | DeValue::Float(_) => {
                plain_json(item, &mut self.notes).map(|json| Scalar::Number(plain_number(&json).into_owned()))
            }
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.notes.error(
                    "bad_value",
                    item.span().start,
                    "a test compares with texts, numbers, true or false",
                    "compare lists and objects with `{ equals = … }`",
                );
                None
            }
        }
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
