//! Reads sections of the file key by key and remembers what was asked.
//!
//! Reading is what makes a key known: a section's keys are those that were asked for by the time
//! it [ends](Section::end); everything else in it is an unknown key. Problems are gathered, not
//! returned, so that all of them can be told in one go; a bad value counts as its default.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::kinds::{Complaint, Kind, Visible, clip, key_text};
use super::paths::Environment;
use super::problem::excerpt;
use super::{Problem, Severity};

/// Who said what a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This flag on the command line.
    Flag(&'static str),
    /// This variable.
    Environment(&'static str),
    /// The configuration file, in this line.
    File {
        /// Line, from 1.
        line: usize,
    },
    /// Nobody.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "{name}"),
            Self::Environment(name) => write!(f, "{name}"),
            Self::File { line } => write!(f, "line {line}"),
            Self::Default => write!(f, "default"),
        }
    }
}

/// A key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The section as its header says it: `server`, `types."typing"`.
    pub section: String,
    /// The key in it.
    pub name: String,
    /// The value as it would be written, without anything secret; none where nothing is set.
    pub value: Option<String>,
    /// Who said so.
    pub origin: Origin,
    /// Stands for the whole value, the secret parts included: for comparing only.
    pub(super) fingerprint: u64,
}

impl Entry {
    /// Section and key with a dot.
    #[must_use]
    pub fn key(&self) -> String {
        dotted(&self.section, &self.name)
    }
}

/// What the manual says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDoc {
    /// The section's header without brackets: `server`, `types."NAME"`, `notify` (a list).
    pub section: String,
    /// The key.
    pub name: &'static str,
    /// What is written: "a duration".
    pub kind: String,
    /// The default as it would be written; empty where there is none.
    pub default: String,
    /// What it means.
    pub meaning: &'static str,
    /// A later version brings it; setting it now ends the start.
    pub later: bool,
}

/// A problem whose excerpt is cut once everything secret is known.
struct Pending {
    problem: Problem,
    span: Option<Range<usize>>,
}

/// What stays of the file after it was read, so that a problem found later can name its line.
#[derive(Debug, Clone)]
pub(super) struct Written {
    document: Document,
    spans: BTreeMap<String, Range<usize>>,
    hidden: Vec<Range<usize>>,
}

impl Written {
    /// A problem with the value of `key`, placed in the file where it is written there.
    pub(super) fn problem(&self, key: &str, problem: Problem) -> Problem {
        let problem = problem.in_file(&self.document.path).of_key(key);
        match self.spans.get(key) {
            Some(span) => place(problem, &self.document, span, &self.hidden),
            None => problem,
        }
    }
}

/// The problem at this place of the file, with the line cut out.
pub(super) fn place(
    mut problem: Problem,
    document: &Document,
    span: &Range<usize>,
    hidden: &[Range<usize>],
) -> Problem {
    let (line, column, cut) = excerpt(&document.text, span, hidden);
    problem.line = Some(line);
    problem.column = Some(column);
    problem.excerpt = Some(cut);
    problem
}

/// Reads one file.
pub(super) struct Reader<'d> {
    document: &'d Document,
    pub(super) env: &'d Environment,
    pending: Vec<Pending>,
    hidden: Vec<Range<usize>>,
    spans: BTreeMap<String, Range<usize>>,
    entries: Vec<Entry>,
    /// Filled in a run over an empty file, for the manual.
    docs: Option<Vec<KeyDoc>>,
}

/// What a reading comes to.
pub(super) struct Reading {
    pub(super) problems: Vec<Problem>,
    pub(super) entries: Vec<Entry>,
    pub(super) written: Written,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Document, env: &'d Environment) -> Self {
        Self {
            document,
            env,
            pending: Vec::new(),
            hidden: Vec::new(),
            spans: BTreeMap::new(),
            entries: Vec::new(),
            docs: None,
        }
    }

    /// One that gathers what the manual says.
    pub(super) fn for_manual(document: &'d Document, env: &'d Environment) -> Self {
        Self { docs: Some(Vec::new()), ..Self::new(document, env) }
    }

    pub(super) fn into_docs(self) -> Vec<KeyDoc> {
        self.docs.unwrap_or_default()
    }

    /// The folder relative paths begin at.
    pub(super) fn base(&self) -> &'d Path {
        self.document.path.parent().unwrap_or(Path::new("/"))
    }

    /// The whole file as a section.
    pub(super) fn root(&mut self, table: &'d DeTable<'d>) -> Section<'_, 'd> {
        Section { reader: self, path: String::new(), span: None, table: Some(table), asked: Vec::new() }
    }

    pub(super) fn push(&mut self, problem: Problem, span: Option<Range<usize>>) {
        self.pending.push(Pending { problem, span });
    }

    pub(super) fn finish(self) -> Reading {
        let mut pending = self.pending;
        pending.sort_by_key(|it| it.span.as_ref().map_or(usize::MAX, |span| span.start));
        let problems = pending.into_iter().map(|Pending { problem, span }| {
            let problem = if problem.file.is_none() { problem.in_file(&self.document.path) } else { problem };
            match span {
                Some(span) => place(problem, self.document, &span, &self.hidden),
                None => problem,
            }
        });
        Reading {
            problems: problems.collect(),
            entries: self.entries,
            written: Written { document: self.document.clone(), spans: self.spans, hidden: self.hidden },
        }
    }

    fn line(&self, at: usize) -> usize {
        self.document.text[..at].matches('\n').count() + 1
    }

    /// Keeps what must not be seen of a value out of every excerpt.
    fn hide(&mut self, value: &Spanned<DeValue<'_>>, visible: Visible) {
        let span = value.span();
        match visible {
            Visible::All => {}
            Visible::Nothing => hide_texts(value, &mut self.hidden),
            Visible::First => match value.get_ref() {
                DeValue::Array(items) => {
                    items.iter().skip(1).for_each(|item| hide_texts(item, &mut self.hidden))
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Table(_) => hide_texts(value, &mut self.hidden),
            },
            Visible::Url => {
                let source = &self.document.text[span.clone()];
                let end = span.end.saturating_sub(1);
                if let Some(at) = source.find('?') {
                    self.hidden.push(span.start + at + 1..end);
                }
                if let Some(at) = source.rfind('@') {
                    let from = source.find("://").map_or(1, |scheme| scheme + 3);
                    self.hidden.push(span.start + from.min(at)..span.start + at);
                }
            }
        }
    }
}

fn hide_texts(value: &Spanned<DeValue<'_>>, hidden: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::String(_) => hidden.push(value.span().start + 1..value.span().end.saturating_sub(1)),
        DeValue::Array(items) => items.iter().for_each(|item| hide_texts(item, hidden)),
        DeValue::Table(table) => table.values().for_each(|item| hide_texts(item, hidden)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

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

impl<'d> Section<'_, 'd> {
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

    fn find(&self, name: &str) -> Option<(&'d Spanned<std::borrow::Cow<'d, str>>, &'d Spanned<DeValue<'d>>)> {
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
        if self.reader.docs.is_some() {
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
        children
    }

    /// The tables of the list `name`, in file order.
    pub(super) fn listed(&mut self, name: &'static str, most: usize) -> Vec<Child<'d>> {
        self.asked.push(name);
        if self.reader.docs.is_some() {
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
        let path = match (list, self.reader.docs.is_some()) {
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
        self.document(name, kind, kind.show(&default), meaning, false);
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
        self.document(name, kind, otherwise.to_owned(), meaning, false);
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
        self.document(name, kind, "required".to_owned(), meaning, false);
        let value = self.written(name, kind);
        if value.is_none() && !self.has(name) {
            let key = self.key(name);
            let problem = Problem::new("missing_key", format!("`{key}` is missing"), kind.example());
            self.reader.push(problem.of_key(key), self.span.clone());
        }
        value
    }

    /// A key of a later version: checked, and refused where it is set.
    pub(super) fn later<K: Kind>(&mut self, name: &'static str, kind: &K, meaning: &'static str) {
        self.document(name, kind, String::new(), meaning, true);
        if self.written(name, kind).is_some() {
            self.not_yet(name);
        }
    }

    /// Says that this version does not have what `name` asks for.
    pub(super) fn not_yet(&mut self, name: &str) {
        let message = format!("this version cannot do `{}` yet", self.key(name));
        self.problem(name, Problem::new("not_yet", message, "take it out, or use a later version"));
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
        self.reader.entries.retain(|entry| !(entry.section == self.path && entry.name == name));
        self.note(name, Some(kind.show(value)), Origin::Environment(variable));
    }

    fn written<K: Kind>(&mut self, name: &'static str, kind: &K) -> Option<K::Value> {
        self.asked.push(name);
        let (_, value) = self.find(name)?;
        let key = self.key(name);
        self.reader.spans.insert(key.clone(), value.span());
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
            Some((_, written)) => self.reader.document.text[written.span()].hash(&mut hasher),
            None => value.hash(&mut hasher),
        }
        let fingerprint = hasher.finish();
        self.reader.entries.push(Entry {
            section: self.path.clone(),
            name: name.to_owned(),
            value,
            origin,
            fingerprint,
        });
    }

    fn document<K: Kind>(
        &mut self,
        name: &'static str,
        kind: &K,
        default: String,
        meaning: &'static str,
        later: bool,
    ) {
        let section = self.path.clone();
        if let Some(docs) = &mut self.reader.docs {
            docs.push(KeyDoc { section, name, kind: kind.name().into_owned(), default, meaning, later });
        }
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

fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// Whether any of these keeps the daemon from starting.
pub(super) fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}
