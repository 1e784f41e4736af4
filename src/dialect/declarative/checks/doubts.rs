//! What reads well and most likely was meant otherwise.

use std::collections::BTreeSet;

use super::bare_names;
use crate::dialect::declarative::condition::{Condition, Place, Subject};
use crate::dialect::declarative::hole::{Base, Hole};
use crate::dialect::declarative::reader::Notes;
use crate::dialect::declarative::spec::{Codec, Spec, Step};
use crate::dialect::declarative::template::Template;
use crate::model::json::Pointer;

pub(super) fn look_over(spec: &Spec, notes: &mut Notes<'_>) {
    required_default(spec, notes);
    first_of_batch(spec, notes);
    forgotten_names(spec, notes);
}

/// A default that only says that a value is required.
fn required_default(spec: &Spec, notes: &mut Notes<'_>) {
    for (name, json) in &*spec.vars {
        let value: Option<serde_json::Value> = serde_json::from_str(json).ok();
        let members = value.as_ref().and_then(serde_json::Value::as_object);
        if members.is_some_and(|members| members.len() == 1 && members.contains_key("required")) {
            let at = spec.own_names.get(&**name).copied().unwrap_or_default();
            let message = format!("the default of `{name}` is this table: nothing asks for a value");
            let advice = format!("write `require = [\"{name}\"]` where the configuration has to set it");
            notes.warning("required_default", at, message, advice);
        }
    }
}

/// Every rule looks into the first item of a list: what else is in the frame is not looked at.
fn first_of_batch(spec: &Spec, notes: &mut Notes<'_>) {
    if spec.codec != Codec::Json {
        return;
    }
    let rules = || spec.rules.iter().filter(|rule| rule.subject() == Subject::Frame);
    let mut pointers = 0_usize;
    let mut all = true;
    let mut look = |pointer: &Pointer| {
        pointers += 1;
        all &= matches!(pointer.tokens(), [first, _, ..] if first == "0");
    };
    for test in rules().filter_map(|rule| rule.when.as_ref()).flat_map(|when| when.any.iter().flatten()) {
        if let Place::Pointer(pointer) = &test.place {
            look(pointer);
        }
    }
    let mut source = |template: &Template| {
        template.each_hole(&mut |hole| {
            if let (Base::In, Some(pointer)) = (&hole.base, &hole.pointer) {
                look(pointer);
            }
        });
    };
    rules().for_each(|rule| rule.each_template(&mut source));
    if pointers > 0
        && all
        && let Some(rule) = rules().next()
    {
        notes.rule = spec.rules.iter().position(|it| it.at == rule.at).map(|at| format!("in[{}]", at + 1));
        notes.warning(
            "first_of_batch",
            rule.at,
            "every rule looks into the first message of a frame: others in the same frame would be lost",
            "set `codec = \"json-or-array\"` and leave `/0` away: each message is then looked at by itself",
        );
        notes.rule = None;
    }
}

/// A step forgets what is used behind it. It does so when it is answered with yes; mostly a refusal
/// was meant.
fn forgotten_names(spec: &Spec, notes: &mut Notes<'_>) {
    let steps: Vec<&Step> = spec.steps().collect();
    for (index, step) in steps.iter().enumerate() {
        for name in &step.effects.forget {
            let Some(user) = used_behind(spec, &steps[index + 1..], name) else { continue };
            notes.rule = Some(step.label.clone());
            let message =
                format!("when this step is answered with yes it forgets `{name}`, and {user} uses it");
            let advice = "where a refusal was meant, `forget` belongs into a rule for the frame that refuses";
            notes.warning("forgotten_name", step.at, message, advice);
        }
    }
    notes.rule = None;
}

/// Who uses `name` before anything behind sets it again.
fn used_behind(spec: &Spec, later: &[&Step], name: &str) -> Option<String> {
    for step in later {
        let mut names = BTreeSet::new();
        step.each.iter().chain(&step.send).for_each(|template| bare_names(template, &mut names));
        if names.contains(name) && !step.only_if.as_ref().is_some_and(|only_if| tests(only_if, name)) {
            return Some(step.label.clone());
        }
        if step.effects.capture.iter().chain(&step.effects.keep).any(|(set, _)| **set == *name) {
            return None;
        }
    }
    let uses = |template: &Template| {
        let mut names = BTreeSet::new();
        bare_names(template, &mut names);
        names.contains(name)
    };
    if let Some(index) = spec.out.iter().position(|out| uses(&out.frame)) {
        return Some(format!("out[{}]", index + 1));
    }
    spec.heartbeat.send.as_ref().is_some_and(uses).then(|| "the heartbeat".to_owned())
}

/// Whether the condition asks for the name itself.
fn tests(condition: &Condition, name: &str) -> bool {
    let mut found = false;
    condition.each_hole(&mut |hole: &Hole| {
        found |= matches!(&hole.base, Base::Name(named) if **named == *name);
    });
    found
}
