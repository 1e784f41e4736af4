//! One section of the file while it is read, key by key.
//!
//! Reading is what makes a key known: a section's keys are those that were asked for by the time
//! it [ends](Section::end); everything else in it is an unknown key.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kinds::{Complaint, Kind, Visible, clip, digest, key_text};
use super::paths::Environment;
use super::reader::{Reader, dotted};
use super::{Entry, KeyDoc, Origin, Problem};

/// Most tables below one name.
const MAX_TABLES: usize = 1024;

/// A table within a table of tables (`[types."x"]`) or a list of tables (`[[notify]]`).
pub(super) struct Child<'d> {
    /// Its name, or its place in the list.
    pub(super) name: String,
    /// Where it begins in the file.
    pub(super) span: Range<usize>,
    table: Option<&'d DeTable<'d>>,
}

/// One section while it is read.
pub(super) struct Section<'r, 'd> {
    reader: &'r mut Reader<'d>,
    path: String,
    /// Where the file begins it, if it does.
    span: Option<Range<usize>>,
    table: Option<&'d DeTable<'d>>,
    asked: Vec<&'static str>,
}

impl<'r, 'd> Section<'r, 'd> {
    /// The whole file.
    pub(super) fn root(reader: &'r mut Reader<'d>, table: &'d DeTable<'d>) -> Self {
        Self { reader, path: String::new(), span: None, table: Some(table), asked: Vec::new() }
    }

    /// The key's whole name.
    pub(super) fn key(&self, name: &str) -> String {
        dotted(&self.path, name)
    }

    pub(super) fn env(&self) -> &'d Environment {
        self.reader.env
    }

    pub(super) fn base(&self) -> &'d Path {
        self.reader.base()
    }

    /// Whether the file has this key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<(&'d Spanned<Cow<'d, str>>, &'d Spanned<DeValue<'d>>)> {
        self.table?.iter().find(|(key, _)| key.get_ref() == name)
    }

    /// A section below this one; empty where the file has none.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'_, 'd> {
        self.asked.push(name);
        let table = self.find(name).and_then(|(key, value)| self.as_table(name, key.span(), value));
        let path = self.key(name);
        Section { reader: &mut *self.reader, path, span: None, table, asked: Vec::new() }
    }

    fn as_table(
        &mut self,
        name: &str,
        span: Range<usize>,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Option<&'d DeTable<'d>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let key = self.key(name);
            self.reader.hide(value, Visible::Nothing);
            let problem = Problem::new(
                "wrong_type",
                format!("`{key}` is a section"),
                format!("write `[{key}]` above its keys"),
            );
            self.reader.push(problem.of_key(key), Some(span));
        }
        table
    }

    /// The tables below `name`, in file order, by their names.
    pub(super) fn named(&mut self, name: &'static str) -> Vec<Child<'d>> {
        self.asked.push(name);
        if self.reader.for_manual_only() {
            return vec![Child { name: "NAME".to_owned(), span: 0..0, table: None }];
        }
        let Some((key, value)) = self.find(name) else {
            return Vec::new();
        };
        let Some(tables) = self.as_table(name, key.span(), value) else {
            return Vec::new();
        };
        let mut children = Vec::new();
        for (key, value) in tables {
            let child = format!("{name}.{}", key_text(key.get_ref()));
            if let Some(table) = self.as_table(&child, key.span(), value) {
                children.push(Child {
                    name: key.get_ref().to_string(),
                    span: key.span(),
                    table: Some(table),
                });
            }
        }
        children.sort_by_key(|child| child.span.start);
        if children.len() > MAX_TABLES {
            let problem = Problem::new(
                "bad_value",
                format!("`{name}` has too many tables"),
                format!("there may be {MAX_TABLES}"),
            );
            self.reader.push(problem.of_key(name), Some(children[MAX_TABLES].span.clone()));
            children.truncate(MAX_TABLES);
        }
        children
    }

    /// The tables of the list `name`, in file order.
    pub(super) fn listed(&mut self, name: &'static str, most: usize) -> Vec<Child<'d>> {
        self.asked.push(name);
        if self.reader.for_manual_only() {
            return vec![Child { name: String::new(), span: 0..0, table: None }];
        }
        let Some((key, value)) = self.find(name) else {
            return Vec::new();
        };
        let full = self.key(name);
        let items: Option<Vec<_>> = value.get_ref().as_array().and_then(|items| {
            items.iter().map(|item| item.get_ref().as_table().map(|table| (item.span(), table))).collect()
        });
        let problem = match &items {
            None => Problem::new(
                "wrong_type",
                format!("`{full}` is a list of tables"),
                format!("write `[[{full}]]` above the keys of each one"),
            ),
            Some(items) if items.len() > most => Problem::new(
                "bad_value",
                format!("`{full}` has too many entries"),
                format!("there may be {most}"),
            ),
            Some(_) => {
                let children = items.into_iter().flatten().enumerate();
                return children
                    .map(|(index, (span, table))| Child { name: index.to_string(), span, table: Some(table) })
                    .collect();
            }
        };
        self.reader.push(problem.of_key(full), Some(key.span()));
        Vec::new()
    }

    /// Reads one of the tables that [`Section::named`] or [`Section::listed`] gave.
    pub(super) fn child(&mut self, parent: &'static str, child: &Child<'d>, list: bool) -> Section<'_, 'd> {
        let path = match (list, self.reader.for_manual_only()) {
            (true, true) => self.key(parent),
            (true, false) => self.key(&format!("{parent}[{}]", child.name)),
            (false, true) => self.key(&format!("{parent}.\"NAME\"")),
            (false, false) => self.key(&format!("{parent}.{}", key_text(&child.name))),
        };
        let span = child.table.map(|_| child.span.clone());
        Section { reader: &mut *self.reader, path, span, table: child.table, asked: Vec::new() }
    }

    /// A key with a default.
    pub(super) fn value<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        default: K::Value,
        meaning: &'static str,
    ) -> K::Value {
        self.describe(name, kind, kind.show(&default), meaning);
        match self.written(name, kind) {
            Some(value) => value,
            None => {
                let shown = kind.show(&default);
                self.note(name, Some(shown), Origin::Default);
                default
            }
        }
    }

    /// A key that need not be there.
    pub(super) fn optional<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        meaning: &'static str,
    ) -> Option<K::Value> {
        self.optional_or(name, kind, "", meaning)
    }

    /// A key that need not be there; the manual says in words what happens then.
    pub(super) fn optional_or<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        otherwise: &str,
        meaning: &'static str,
    ) -> Option<K::Value> {
        self.describe(name, kind, otherwise.to_owned(), meaning);
        let value = self.written(name, kind);
        if value.is_none() {
            self.note(name, None, Origin::Default);
        }
        value
    }

    /// A key that must be there.
    pub(super) fn required<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        meaning: &'static str,
    ) -> Option<K::Value> {
        self.describe(name, kind, "required".to_owned(), meaning);
        let value = self.written(name, kind);
        if value.is_none() && !self.has(name) {
            let key = self.key(name);
            let problem = Problem::new("missing_key", format!("`{key}` is missing"), kind.example());
            self.reader.push(problem.of_key(key), self.span.clone());
        }
        value
    }

    /// What the key `name` stands for is more than its value: `content` counts too where a newer
    /// configuration is compared with this one.
    pub(super) fn stands_for(&mut self, name: &str, content: &str) {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let section = self.path.clone();
        self.reader.mix(&section, name, hasher.finish());
    }

    /// Reads the key from a variable instead, where it is set.
    pub(super) fn variable<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        variable: &'static str,
    ) -> Option<K::Value> {
        let text = self.env().get(variable)?.to_string_lossy().into_owned();
        let value = Spanned::new(0..0, DeValue::String(text.into()));
        match kind.read(&value) {
            Ok(value) => {
                self.overridden(name, kind, &value, variable);
                Some(value)
            }
            Err(fault) => {
                let (message, hint) = match fault {
                    Complaint::Type { .. } => {
                        (format!("it takes {}", kind.name()), kind.example().into_owned())
                    }
                    Complaint::Value { message, hint, .. } => (message, hint),
                };
                let problem = Problem::new("bad_value", format!("{variable}: {message}"), hint);
                self.reader.push(problem.of_key(self.key(name)), None);
                None
            }
        }
    }

    /// Notes a problem with the value of `name`.
    pub(super) fn problem(&mut self, name: &str, problem: Problem) {
        let key = self.key(name);
        let span = self.find(name).map(|(_, value)| value.span());
        self.reader.push(problem.of_key(key), span);
    }

    /// Notes a problem with the key `name` itself, or with the section where the file lacks it.
    pub(super) fn key_problem(&mut self, name: &str, span: Range<usize>, problem: Problem) {
        let key = self.key(name);
        self.reader.push(problem.of_key(key), Some(span));
    }

    /// Notes a problem with a part of the text that `name` holds; `inside` are bytes of the text as it
    /// is meant, which in the file may be written with escapes.
    pub(super) fn problem_inside(&mut self, name: &str, inside: &Range<usize>, problem: Problem) {
        let problem = problem.of_key(self.key(name));
        let Some((_, value)) = self.find(name) else { return self.reader.push(problem, None) };
        match value.get_ref().as_str() {
            Some(text) => self.reader.push_inside(problem, text, &value.span(), inside),
            None => self.reader.push(problem, Some(value.span())),
        }
    }

    /// Notes a problem with the section as a whole.
    pub(super) fn section_problem(&mut self, problem: Problem) {
        let span = self.span.clone();
        self.reader.push(problem.of_key(self.path.clone()), span);
    }

    /// Notes a problem with another file that the key `name` speaks of.
    pub(super) fn problem_elsewhere(&mut self, name: &str, problem: Problem) {
        self.reader.push(problem.of_key(self.key(name)), None);
    }

    /// Says that a variable decides about the key, whatever the file says.
    pub(super) fn overridden<K: Kind>(
        &mut self,
        name: &str,
        kind: &K,
        value: &K::Value,
        variable: &'static str,
    ) {
        self.note(name, Some(kind.show(value)), Origin::Environment(variable));
    }

    fn written<K: Kind>(&mut self, name: &'static str, kind: &K) -> Option<K::Value> {
        self.asked.push(name);
        let (_, value) = self.find(name)?;
        let key = self.key(name);
        self.reader.remember(key.clone(), value.span());
        self.reader.hide(value, kind.visible());
        match kind.read(value) {
            Ok(read) => {
                let shown = kind.show(&read);
                let line = self.reader.line(value.span().start);
                self.note(name, Some(shown), Origin::File { line });
                Some(read)
            }
            Err(Complaint::Type { at, found }) => {
                let message = format!("`{key}` takes {}, not {found}", kind.name());
                let problem = Problem::new("wrong_type", message, kind.example());
                self.reader.push(problem.of_key(key), Some(at.unwrap_or(value.span())));
                None
            }
            Err(Complaint::Value { at, message, hint }) => {
                let problem = Problem::new("bad_value", format!("`{key}`: {message}"), hint);
                self.reader.push(problem.of_key(key), Some(at.unwrap_or(value.span())));
                None
            }
        }
    }

    fn note(&mut self, name: &str, value: Option<String>, origin: Origin) {
        let mut hasher = DefaultHasher::new();
        match self.find(name).filter(|_| matches!(origin, Origin::File { .. })) {
            // As it is written, the secret parts included.
            Some((_, written)) => digest(written.get_ref(), &mut hasher),
            None => value.hash(&mut hasher),
        }
        let fingerprint = hasher.finish();
        let section = self.path.clone();
        self.reader.note(Entry { section, name: name.to_owned(), value, origin, fingerprint });
    }

    fn describe<K: Kind>(&mut self, name: &'static str, kind: &K, default: String, meaning: &'static str) {
        let section = self.path.clone();
        let kind = kind.name().into_owned();
        self.reader.describe(KeyDoc { section, name, kind, default, meaning });
    }

    /// Everything of the section was asked for: what else is in it is unknown.
    pub(super) fn end(self) {
        let mut unknown: Vec<_> = self
            .table
            .iter()
            .flat_map(|table| table.iter())
            .filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref()))
            .collect();
        unknown.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in unknown {
            // A token under a misspelt key is a token all the same.
            self.reader.hide(value, Visible::Nothing);
            let name = key.get_ref();
            let full = dotted(&self.path, &clip(name));
            let problem = Problem::new("unknown_key", format!("unknown key `{full}`"), self.hint(name));
            self.reader.push(problem.of_key(full), Some(key.span()));
        }
    }

    fn hint(&self, unknown: &str) -> String {
        if self.reader.is_full() {
            return String::new();
        }
        if let Some(known) = nearest(unknown, self.asked.iter().copied()) {
            return format!("did you mean `{known}`?");
        }
        let longer: Vec<_> = self
            .asked
            .iter()
            .filter(|name| name.starts_with(unknown))
            .map(|name| format!("`{name}`"))
            .collect();
        if !longer.is_empty() {
            return format!("did you mean one of {}?", longer.join(", "));
        }
        let elsewhere = super::reference();
        if let Some(doc) = elsewhere.iter().find(|doc| doc.name == unknown && doc.section != self.path) {
            return format!("`{unknown}` belongs into `[{}]`", doc.section);
        }
        match nearest(unknown, elsewhere.iter().map(|doc| doc.name))
            .and_then(|name| elsewhere.iter().find(|doc| doc.name == name))
        {
            Some(doc) => format!("did you mean `{}` in `[{}]`?", doc.name, doc.section),
            None => {
                let known: Vec<_> = self.asked.iter().map(|name| format!("`{name}`")).collect();
                format!("known here: {}", known.join(", "))
            }
        }
    }
}

/// The name that was most likely meant, if any is near enough.
pub(super) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let written: String = written.chars().take(64).collect::<String>().to_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&written, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(written.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
