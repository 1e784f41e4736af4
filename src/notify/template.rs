//! Templates of titles and bodies, and conditions: compiled when the configuration is read, run on
//! each event that fits.
//!
//! # The law
//! What can be known to be wrong is said when a template is compiled: its form, names, filters and
//! tests that do not exist, each with its place. What is left depends on the event (a member that is
//! missing, a text where a number was meant): then a run fails, and says so in words of the template,
//! never of the event. A template reads what it was given and nothing else: no files, no other
//! templates, no macros. Its work and its memory are bounded.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, Expression, UndefinedBehavior};

use super::filters;
use super::words::{Role, Word, words};

/// Longest template, in bytes.
pub const MAX_TEMPLATE: usize = 4096;
/// What one run may cost: about as many steps, or 64 bytes each of text that it makes.
const FUEL: u64 = 20_000;
/// How deep a template may nest.
const NESTING: usize = 64;

/// What templates know, beside what they set themselves.
const NAMES: [&str; 6] = ["data", "type", "id", "seq", "text", "received_at"];
/// Functions of the template language.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes of the template.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Why a run failed, in words of the template: nothing of the event is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", place.as_ref().map(|it| format!(" at `{it}`")).unwrap_or_default())]
pub struct Failure {
    what: String,
    place: Option<String>,
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    source: Arc<str>,
    environment: Environment<'static>,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Template {
    /// The name of the one template an environment holds.
    const NAME: &'static str = "it";

    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(source: &str) -> Result<Self, Fault> {
        check_length(source)?;
        let mut environment = environment();
        environment
            .add_template_owned(Self::NAME, source.to_owned())
            .map_err(|error| fault(source, &error))?;
        let names = match environment.get_template(Self::NAME) {
            Ok(template) => template.undeclared_variables(false),
            Err(error) => return Err(fault(source, &error)),
        };
        check_words(source, &words(source, false), |name| names.contains(name))?;
        Ok(Self { source: source.into(), environment })
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Runs it.
    ///
    /// # Errors
    /// Why it cannot be run on this.
    pub fn render(&self, context: &Value) -> Result<String, Failure> {
        self.environment
            .get_template(Self::NAME)
            .and_then(|template| template.render(context.clone()))
            .map_err(|error| failure(&self.source, &error))
    }
}

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Condition {
    source: Arc<str>,
    expression: Arc<Expression<'static, 'static>>,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(source: &str) -> Result<Self, Fault> {
        static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);
        check_length(source)?;
        let expression =
            ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| fault(source, &error))?;
        let names = expression.undeclared_variables(false);
        check_words(source, &words(source, true), |name| names.contains(name))?;
        Ok(Self { source: source.into(), expression: Arc::new(expression) })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Why that cannot be said of this.
    pub fn holds(&self, context: &Value) -> Result<bool, Failure> {
        self.expression
            .eval(context.clone())
            .map(|value| value.is_true())
            .map_err(|error| failure(&self.source, &error))
    }
}

fn environment() -> Environment<'static> {
    let mut it = Environment::new();
    // What goes wrong with an event must not carry the event into the log.
    it.set_debug(false);
    it.set_undefined_behavior(UndefinedBehavior::Strict);
    it.set_fuel(Some(FUEL));
    it.set_recursion_limit(NESTING);
    it.set_auto_escape_callback(|_| AutoEscape::None);
    it.remove_global("debug");
    it.add_filter("truncate", filters::truncate);
    it.add_filter("money", filters::money);
    it.add_filter("time", filters::time);
    it
}

fn check_length(source: &str) -> Result<(), Fault> {
    if source.len() <= MAX_TEMPLATE {
        return Ok(());
    }
    Err(Fault {
        range: 0..source.len(),
        message: format!("it has {} bytes", source.len()),
        hint: format!("there may be {MAX_TEMPLATE}"),
    })
}

/// Whether every name, filter and test there is is known. `undeclared`: whether a name is neither
/// set by the template itself nor its own.
fn check_words(source: &str, words: &[Word], undeclared: impl Fn(&str) -> bool) -> Result<(), Fault> {
    for Word { role, range } in words {
        let word = &source[range.clone()];
        let (known, what, hint) = match role {
            Role::Name => (
                !undeclared(word) || NAMES.contains(&word) || FUNCTIONS.contains(&word),
                "name",
                if NAMES.contains(&word.to_lowercase().as_str()) {
                    "names are written in small letters".to_owned()
                } else {
                    format!("known here: {}; what an event holds is below `data`", NAMES.join(", "))
                },
            ),
            Role::Filter => (exists(word, "filter"), "filter", "the manual lists the filters".to_owned()),
            Role::Test => (exists(word, "test"), "test", "the manual lists the tests".to_owned()),
        };
        if !known {
            return Err(Fault { range: range.clone(), message: format!("unknown {what} `{word}`"), hint });
        }
    }
    Ok(())
}

/// Whether the language has this filter or test.
fn exists(word: &str, what: &str) -> bool {
    environment()
        .compile_expression_owned(format!("'{word}' is {what}"))
        .and_then(|expression| expression.eval(()))
        .is_ok_and(|value| value.is_true())
}

fn fault(source: &str, error: &minijinja::Error) -> Fault {
    let range = error.range().map_or(0..source.len(), |range| {
        let start = range.start.min(source.len());
        start..range.end.clamp(start, source.len())
    });
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let hint = if error.kind() == ErrorKind::SyntaxError { "see the examples in the manual" } else { "" };
    Fault { range, message, hint: hint.to_owned() }
}

fn failure(source: &str, error: &minijinja::Error) -> Failure {
    // The kind alone: a detail may quote the event.
    let place = error.range().and_then(|range| source.get(range)).filter(|text| !text.is_empty());
    Failure { what: error.kind().to_string(), place: place.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn context(data: &str) -> Value {
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        let mut context = BTreeMap::new();
        context.insert("data", Value::from(minijinja::value::Serde(data)));
        context.insert("type", Value::from("order"));
        Value::from(context)
    }

    fn wrong(source: &str) -> (String, String) {
        let fault = Template::compile(source).expect_err(source);
        (source[fault.range.clone()].to_owned(), fault.message)
    }

    #[test]
    fn a_template_says_what_it_was_given() {
        let template = Template::compile(
            "{{ type | upper }} {{ data.n }}{% if data.n > 1 %} items{% endif %}: {{ data.s | replace('_', ' ') }}",
        )
        .expect("in order");
        let text = template.render(&context(r#"{"n":2,"s":"out_for_delivery"}"#)).expect("it can");
        assert_eq!(text, "ORDER 2 items: out for delivery");
        assert_eq!(template.render(&context(r#"{"n":1,"s":"<b>"}"#)).expect("it can"), "ORDER 1: <b>");
    }

    #[test]
    fn what_is_wrong_with_its_form_is_told_with_its_place() {
        for (source, place) in [
            ("{{ data. }}", "}}"),
            ("a {% if data.x %}", "{% if data.x %}"),
            ("{% include 'x' %}", "include"),
            ("{% macro f() %}{% endmacro %}", "macro"),
            ("{% extends 'x' %}", "extends"),
        ] {
            let fault = Template::compile(source).expect_err(source);
            let found = &source[fault.range.clone()];
            assert!(found.contains(place) || place.contains(found), "{source}: {found:?} {}", fault.message);
        }
    }

    #[test]
    fn names_filters_and_tests_that_do_not_exist_are_told_with_their_place() {
        let told = |place: &str, what: &str| (place.to_owned(), format!("unknown {what} `{place}`"));
        assert_eq!(wrong("{{ dta.x }}"), told("dta", "name"));
        assert_eq!(wrong("{% for x in data %}{{ x }}{% endfor %}{{ x }}"), told("x", "name"));
        assert_eq!(wrong("{{ data.x | upcase }}"), told("upcase", "filter"));
        assert_eq!(wrong("{% if false %}{{ data.x|nope }}{% endif %}"), told("nope", "filter"));
        assert_eq!(wrong("{{ data.x is not nice }}"), told("nice", "test"));
        assert_eq!(wrong("{{ debug() }}"), told("debug", "name"));
        assert_eq!(wrong("{{ shell('x') }}"), told("shell", "name"));
        assert_eq!(wrong("{% filter loud %}x{% endfilter %}"), told("loud", "filter"));
    }

    #[test]
    fn a_failed_run_speaks_of_the_template_and_not_of_the_event() {
        let template = Template::compile("{{ data.secret + data.gone }}").expect("in order");
        let failure = template.render(&context(r#"{"secret":"HLCANARY"}"#)).expect_err("gone is not there");
        assert!(!failure.to_string().contains("HLCANARY"), "{failure}");
        let template = Template::compile("{{ data.secret | int + 1 }}").expect("in order");
        let failure = template.render(&context(r#"{"secret":"HLCANARY"}"#)).expect_err("no number");
        assert!(!failure.to_string().contains("HLCANARY"), "{failure}");
        assert!(failure.to_string().contains("int"), "{failure}");
    }

    #[test]
    fn work_without_end_is_ended() {
        for source in [
            "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
            "{{ 'x' * 100000000 }}",
            "{% set x = 'xxxxxxxxxxxxxxxx' %}{% for a in range(40) %}{% set x = x ~ x %}{{ x }}{% endfor %}{{ 'abcdefgh' * 10000000 }}",
        ] {
            let template = Template::compile(source).expect("in order");
            let failure = template.render(&context("{}")).expect_err(source);
            assert!(failure.to_string().contains("fuel"), "{failure}");
        }
    }

    #[test]
    fn a_condition_holds_or_not_or_cannot_be_said() {
        let condition = Condition::compile("data.price > 10 and type == 'order'").expect("in order");
        assert_eq!(condition.holds(&context(r#"{"price":10.5}"#)), Ok(true));
        assert_eq!(condition.holds(&context(r#"{"price":9}"#)), Ok(false));
        assert!(condition.holds(&context("{}")).is_err());
        let fault = Condition::compile("data.x >").expect_err("it ends too early");
        assert!(fault.range.end <= 8, "{fault:?}");
        assert_eq!(Condition::compile("dat.x").expect_err("no such name").range, 0..3);
    }

    #[test]
    fn too_long_a_template_is_refused() {
        assert!(Template::compile(&"x".repeat(MAX_TEMPLATE)).is_ok());
        assert!(Template::compile(&"x".repeat(MAX_TEMPLATE + 1)).is_err());
    }
}
