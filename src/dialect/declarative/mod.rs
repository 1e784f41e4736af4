//! Dialects written as TOML files.
//!
//! A file is read once into a `spec::Spec`: everything checked, constants ready, rules filed.
//! Then each connection has a `talk::Talk`. Values stay the text they came as; a frame costs
//! one pass (`tape`), one look-up (`filing`) and the tests of the few rules found there.

mod checks;
mod codec;
mod compile;
mod condition;
mod each;
mod filing;
mod filter;
mod hole;
pub(super) mod odd;
mod outbound;
mod reader;
mod replay;
pub(super) mod roles;
pub(super) mod scalars;
mod spec;
mod steps;
mod talk;
pub(super) mod tape;
mod template;
#[cfg(test)]
mod tests;
mod value;
mod veil;
mod written;

use std::sync::Arc;

pub(crate) use self::replay::message as handed;
pub use self::replay::{MAX_LINES as TRANSCRIPT_LINES, Message as Handed, Replay, ReplayLine, replay};
pub(super) use self::replay::{Played, replay_with};

use self::compile::compile;
use self::condition::{Facts, Subject};
use self::hole::{Base, Names, Scope};
use self::spec::{Role, Spec, Vars};
use self::talk::{Talk, verdict};
use super::{Connect, Conversation, Dialect, Given, Options, Problem, Traits};
use crate::model::{Confirm, Moment, Payload, Refusal, Timestamp, Verdict};

/// A dialect by a file.
#[derive(Debug)]
pub(crate) struct Declared {
    traits: Traits,
    spec: Arc<Spec>,
    stand: outbound::Stand,
}

/// What a check of a file found, and what is good to know of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Everything that is wrong, in the order of the file.
    pub problems: Vec<Problem>,
    /// The pointer under whose values the rules are filed; none where no rule tests for one.
    pub discriminator: Option<String>,
}

/// Checks the dialect in `text`; `file` is its name in the problems.
#[must_use]
pub fn check(text: &str, file: &str) -> Vec<Problem> {
    examine(text, file).problems
}

/// As [`check`], with what is good to know of the file.
#[must_use]
pub fn examine(text: &str, file: &str) -> Checked {
    let (spec, mut notes) = compile(text, file);
    if !notes.failed() {
        checks::look_over(&spec, &mut notes);
    }
    let mut problems = notes.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    let discriminator = spec.filing.discriminator.as_ref().map(ToString::to_string);
    Checked { problems, discriminator }
}

/// Reads the dialect in `text` for use with `vars` of the configuration (JSON text).
pub(crate) fn load(
    text: &str,
    name: &str,
    vars: Vars,
    options: &Options,
) -> Result<Arc<Declared>, Vec<Problem>> {
    let (mut spec, mut notes) = compile(text, name);
    if !notes.failed() {
        checks::look_over(&spec, &mut notes);
        checks::configure(&mut spec, vars, options, &mut notes);
    }
    if notes.failed() {
        notes.problems.retain(Problem::is_error);
        return Err(notes.problems);
    }
    let traits = Traits {
        name: name.to_owned(),
        about: spec.about.clone(),
        uses_token: spec.names(&Base::Token),
        resumes: spec.names(&Base::Cursor),
        window: spec.window,
    };
    Ok(Arc::new(Declared { traits, stand: outbound::Stand::new(&spec), spec: Arc::new(spec) }))
}

impl Declared {
    pub(crate) fn talk(&self, given: Given, seed: u64) -> Talk {
        Talk::new(Arc::clone(&self.spec), given, seed)
    }
}

impl Dialect for Declared {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    fn connect(&self, given: &Given, at: Moment) -> Connect {
        let names = Names { kept: given.kept.clone(), vars: Arc::clone(&self.spec.vars), ..Names::default() };
        let mut scope = Scope::new(&names, at.wall);
        scope.token = given.token.as_ref();
        let mut connect = Connect::default();
        let spec = &self.spec.connect;
        let parts =
            || spec.subprotocols.iter().chain(spec.query.iter().chain(&spec.headers).map(|(_, part)| part));
        let stored = given.cursors.get("").map(|cursor| Arc::<str>::from(&**cursor));
        let cursor = stored.or_else(|| {
            // A first cursor is only made where it is used.
            let used = parts().any(|part| part.names(&Base::Cursor));
            let initial: Arc<str> =
                self.spec.initial.as_ref().filter(|_| used)?.value(&scope)?.json().as_ref().into();
            connect.baseline.push((Arc::from(""), Arc::clone(&initial)));
            Some(initial)
        });
        scope.cursor = cursor.as_deref();
        let text = |template: &template::Template| {
            let value = template.value(&scope).filter(|value| !value.is_null())?;
            Some(value.into_text().into_owned()).filter(|text| !text.is_empty())
        };
        connect.subprotocols = spec.subprotocols.iter().filter_map(text).collect();
        let pairs = |pairs: &[(String, template::Template)]| {
            pairs.iter().filter_map(|(name, template)| Some((name.clone(), text(template)?))).collect()
        };
        connect.query = pairs(&spec.query);
        connect.headers = pairs(&spec.headers);
        connect
    }

    fn check(&self, kind: &str, payload: &Payload) -> Result<(), Refusal> {
        outbound::check(&self.spec, &self.stand, kind, payload)
    }

    fn confirm(&self, kind: &str, payload: &Payload) -> Confirm {
        outbound::confirm(&self.spec, kind, payload)
    }

    fn answers(&self, kind: &str, payload: &Payload) -> bool {
        outbound::accepts(&self.spec) && matches!(outbound::shape(&self.spec, kind, payload), Ok(Some(_)))
    }

    fn refused(&self, status: u16) -> Option<Verdict> {
        let names = Names { vars: Arc::clone(&self.spec.vars), ..Names::default() };
        let scope = Scope::new(&names, Timestamp::default());
        let rule = self.spec.rules.iter().find(|rule| {
            rule.when.as_ref().is_some_and(|when| {
                when.subject == Subject::Status && when.holds(&scope, Facts::Status(status))
            })
        })?;
        let after =
            rule.own.retry_after.as_ref().and_then(|source| filter::duration_of(&source.value(&scope)?));
        // A rule for refusals is a verdict: the file was checked.
        if let Role::Verdict(sentence) = rule.role { Some(verdict(sentence, after)) } else { None }
    }

    fn converse(&self, given: Given, seed: u64) -> Box<dyn Conversation> {
        Box::new(self.talk(given, seed))
    }
}
