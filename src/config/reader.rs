//! Reads one file: gathers its problems, the effective values, and what the manual says.
//!
//! Problems are gathered, not returned, so that all of them can be told in one go; a bad value
//! counts as its default. Lines are cut out for them at the end, when everything secret in the
//! file is known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::kinds::Visible;
use super::paths::Environment;
use super::section::Section;
use super::{MAX_PROBLEMS, Problem, Severity, written};
use crate::model::Excerpt;

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
}

/// A problem whose excerpt is cut once everything secret is known.
struct Pending {
    problem: Problem,
    span: Option<Range<usize>>,
    /// It is a part of a text: a `#` before it begins no comment.
    inside: bool,
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
    let cut = Excerpt::of(&document.text, span, hidden);
    placed(&mut problem, cut);
    problem
}

fn placed(problem: &mut Problem, (line, column, cut): (usize, usize, Excerpt)) {
    problem.line = Some(line);
    problem.column = Some(column);
    problem.excerpt = Some(cut);
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
        Section::root(self, table)
    }

    pub(super) fn push(&mut self, problem: Problem, span: Option<Range<usize>>) {
        self.pending.push(Pending { problem, span, inside: false });
    }

    /// Notes a problem with the bytes `inside` of `text`, which stands in the file at `span`.
    pub(super) fn push_inside(
        &mut self,
        problem: Problem,
        text: &str,
        span: &Range<usize>,
        inside: &Range<usize>,
    ) {
        let written = &self.document.text[span.clone()];
        let (span, inside) = match written::place(written, text, inside) {
            Some(place) => (span.start + place.start..span.start + place.end, true),
            None => (span.clone(), false),
        };
        self.pending.push(Pending { problem, span: Some(span), inside });
    }

    /// Whether there are more problems than anybody will read.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() > MAX_PROBLEMS
    }

    /// Where the value of a key stands.
    pub(super) fn remember(&mut self, key: String, span: Range<usize>) {
        self.spans.insert(key, span);
    }

    /// Notes the effective value of a key, in place of an earlier one.
    pub(super) fn note(&mut self, entry: Entry) {
        match self.entries.iter_mut().rev().find(|it| it.section == entry.section && it.name == entry.name) {
            Some(earlier) => *earlier = entry,
            None => self.entries.push(entry),
        }
    }

    /// Mixes something into the fingerprint of a key's value.
    pub(super) fn mix(&mut self, section: &str, name: &str, digest: u64) {
        let entry = self.entries.iter_mut().rev().find(|it| it.section == section && it.name == name);
        if let Some(entry) = entry {
            entry.fingerprint = entry.fingerprint.rotate_left(1) ^ digest;
        }
    }

    /// Notes what the manual says, in a run for it.
    pub(super) fn describe(&mut self, doc: KeyDoc) {
        if let Some(docs) = &mut self.docs {
            docs.push(doc);
        }
    }

    /// Whether this is a run for the manual.
    pub(super) fn for_manual_only(&self) -> bool {
        self.docs.is_some()
    }

    pub(super) fn finish(self) -> Reading {
        let mut pending = self.pending;
        pending.sort_by_key(|it| it.span.as_ref().map_or(usize::MAX, |span| span.start));
        let more = pending.len().saturating_sub(MAX_PROBLEMS);
        let problems = pending.into_iter().take(MAX_PROBLEMS).map(|Pending { problem, span, inside }| {
            let mut problem =
                if problem.file.is_none() { problem.in_file(&self.document.path) } else { problem };
            match span {
                Some(span) if inside => {
                    placed(&mut problem, Excerpt::inside(&self.document.text, &span, &self.hidden));
                    problem
                }
                Some(span) => place(problem, self.document, &span, &self.hidden),
                None => problem,
            }
        });
        let mut problems: Vec<_> = problems.collect();
        if more > 0 {
            let message = format!("and {more} more problems in this file");
            problems.push(Problem::new("more", message, "").in_file(&self.document.path));
        }
        Reading {
            problems,
            entries: self.entries,
            written: Written { document: self.document.clone(), spans: self.spans, hidden: self.hidden },
        }
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.document.text[..at].matches('\n').count() + 1
    }

    /// Keeps what must not be seen of a value out of every excerpt.
    pub(super) fn hide(&mut self, value: &Spanned<DeValue<'_>>, visible: Visible) {
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
            // A misspelt one could hold its password anywhere.
            Visible::UserInfo => {
                let known = value.get_ref().as_str().is_some_and(|text| super::proxy::parse(text).is_ok());
                self.hide(value, if known { Visible::Url } else { Visible::Nothing });
            }
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

/// Whether any of these keeps the daemon from starting.
pub(super) fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// Section and key with a dot.
pub(super) fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}
