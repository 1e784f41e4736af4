//! What only the file as a whole can show: rules that are never reached, sign-ins whose refusal
//! nobody would see, names that come too late.

mod doubts;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::condition::{Condition, Op, Subject, Test};
use super::filter::Filter;
use super::hole::{Base, Hole};
use super::outbound::accepts;
use super::reader::Notes;
use super::spec::{Codec, Role, Rule, Sentence, Spec, Step, Vars};
use super::template::Template;
use crate::dialect::Options;
use crate::dialect::problem::nearest;
use crate::model::Confirm;

/// Looks over a file that reads well.
pub(crate) fn look_over(spec: &Spec, notes: &mut Notes<'_>) {
    unreachable_rules(spec, notes);
    blind_sign_in(spec, notes);
    replies(spec, notes);
    cursors(spec, notes);
    late_captures(spec, notes);
    loose_ends(spec, notes);
    doubts::look_over(spec, notes);
    notes.rule = None;
}

/// Puts the configuration's values in place, and looks at what only it can answer.
pub(crate) fn configure(spec: &mut Spec, vars: Vars, options: &Options, notes: &mut Notes<'_>) {
    for name in vars.keys() {
        if !spec.vars.contains_key(name) && !spec.require.iter().any(|required| **required == **name) {
            let known = spec.vars.keys().map(|name| &**name).chain(spec.require.iter().map(String::as_str));
            let advice = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "the dialect's `vars` and `require` say what may be set".to_owned(),
            };
            notes.error("unknown_key", 0, format!("this dialect has no variable `{name}`"), advice);
        }
    }
    for name in &spec.require {
        if !vars.contains_key(name.as_str()) && !spec.vars.contains_key(name.as_str()) {
            let advice = format!("set it in the configuration: `[server] vars = {{ {name} = … }}`");
            let at = spec.own_names.get(name).copied().unwrap_or_default();
            notes.error("required_var", at, format!("this dialect needs the variable `{name}`"), advice);
        }
    }
    if options.token == Some(false) && needs_token(spec) {
        let at = place_of(spec, &Base::Token, notes);
        notes.error(
            "token_not_given",
            at,
            "the dialect sends the credential itself (`$token`), and `[auth] method` hands it elsewhere",
            "set `[auth] method = \"message\"`, or leave `method` out",
        );
        notes.rule = None;
    }
    let mut all = (*spec.vars).clone();
    all.extend(vars);
    spec.vars = Arc::new(all);
}

/// Where the file first sends what `base` stands for; the notes are told which step that is.
fn place_of(spec: &Spec, base: &Base, notes: &mut Notes<'_>) -> usize {
    let dial = spec.connect.query.iter().chain(&spec.connect.headers).map(|(_, template)| template);
    if dial.chain(&spec.connect.subprotocols).any(|template| template.names(base)) {
        return spec.places.connect;
    }
    if let Some(step) = spec.steps().find(|step| step.sends(base)) {
        notes.rule = Some(step.label.clone());
        return step.at;
    }
    match spec.out.iter().find(|out| out.frame.names(base)) {
        Some(out) => out.at,
        None => spec.places.heartbeat,
    }
}

/// Whether the credential is sent somewhere that does not ask first whether there is one.
fn needs_token(spec: &Spec) -> bool {
    let mut bare = false;
    let mut look = |hole: &Hole| {
        bare |= hole.base == Base::Token
            && !hole.filters.iter().any(|filter| matches!(filter, Filter::Default(_)));
    };
    for (_, template) in spec.connect.query.iter().chain(&spec.connect.headers) {
        template.each_hole(&mut look);
    }
    spec.connect.subprotocols.iter().for_each(|template| template.each_hole(&mut look));
    for step in spec.steps().filter(|step| !step.only_if.as_ref().is_some_and(tests_token)) {
        step.send.iter().for_each(|send| send.each_hole(&mut look));
    }
    spec.out.iter().for_each(|out| out.frame.each_hole(&mut look));
    spec.heartbeat.send.iter().for_each(|send| send.each_hole(&mut look));
    bare
}

fn tests_token(condition: &Condition) -> bool {
    let mut found = false;
    condition.each_hole(&mut |hole| found |= hole.base == Base::Token);
    found
}

fn unreachable_rules(spec: &Spec, notes: &mut Notes<'_>) {
    let everything = [Vec::new()];
    let alternatives = |rule: &'_ Rule| rule.when.as_ref().map_or(&everything[..], |when| &when.any).to_vec();
    for (index, rule) in spec.rules.iter().enumerate() {
        let before =
            spec.rules[..index].iter().enumerate().filter(|(_, earlier)| earlier.subject() == rule.subject());
        let cover: Vec<(usize, Vec<Test>)> = before
            .flat_map(|(at, earlier)| alternatives(earlier).into_iter().map(move |tests| (at, tests)))
            .collect();
        let covers =
            |tests: &Vec<Test>| cover.iter().find(|(_, wider)| implies(tests, wider)).map(|(at, _)| *at);
        let hidden: Option<Vec<usize>> = alternatives(rule).iter().map(covers).collect();
        if let Some(by) = hidden.and_then(|by| by.into_iter().max()) {
            notes.rule = Some(format!("in[{}]", index + 1));
            let message = format!("this rule is never reached: in[{}] takes everything it would", by + 1);
            notes.error("unreachable_rule", rule.at, message, "put the narrower rule first");
        }
    }
}

/// Whether everything that passes `narrow` passes `wide`.
fn implies(narrow: &[Test], wide: &[Test]) -> bool {
    wide.iter().all(|wanted| {
        let same_place = narrow.iter().filter(|test| spelled(&test.place) == spelled(&wanted.place));
        let ops: Vec<&Op> = same_place.flat_map(|test| &test.ops).collect();
        wanted.ops.iter().all(|wanted| ops.iter().any(|op| op_implies(op, wanted)))
    })
}

/// Two conditions that are spelled alike are alike.
fn spelled(part: &impl std::fmt::Debug) -> String {
    format!("{part:?}")
}

fn op_implies(op: &Op, wanted: &Op) -> bool {
    if spelled(op) == spelled(wanted) {
        return true;
    }
    match (op, wanted) {
        (Op::Exists(_), Op::Exists(_)) => false,
        // Whatever else is tested must be there to pass.
        (Op::Same(Template::Fixed(json)), Op::Exists(true)) => json != "null",
        (Op::Same(_), Op::Exists(true)) => false,
        (_, Op::Exists(true)) => true,
        (Op::In(scalars), _) => scalars
            .iter()
            .all(|scalar| scalar.fixed().is_some_and(|value| wanted.holds_always(&value) == Some(true))),
        (Op::NotIn(more), Op::NotIn(less)) => {
            less.iter().all(|scalar| more.iter().any(|other| spelled(other) == spelled(scalar)))
        }
        (Op::Prefix(Template::Fixed(long)), Op::Prefix(Template::Fixed(short))) => {
            long.trim_end_matches('"').starts_with(short.trim_end_matches('"'))
        }
        (Op::Min(higher), Op::Min(lower)) => higher >= lower,
        (Op::Max(lower), Op::Max(higher)) => lower <= higher,
        _ => false,
    }
}

fn blind_sign_in(spec: &Spec, notes: &mut Notes<'_>) {
    let seen = spec
        .rules
        .iter()
        .any(|rule| rule.role == Role::Verdict(Sentence::Unauthorized) && rule.subject() != Subject::Status);
    if seen {
        return;
    }
    let advice = "add `fail` to the step, or a rule with `as = \"unauthorized\"` (a frame or a close code)";
    let message = "the credential is sent, and nothing here would notice that the server refuses it";
    for step in spec.steps().filter(|step| step.sends(&Base::Token) && step.fail.is_none()) {
        notes.rule = Some(step.label.clone());
        notes.error("blind_sign_in", step.at, message, advice);
    }
    let replies = |rule: &Rule| rule.reply.as_ref().is_some_and(|reply| reply.names(&Base::Token));
    for (index, rule) in spec.rules.iter().enumerate().filter(|(_, rule)| replies(rule)) {
        notes.rule = Some(format!("in[{}]", index + 1));
        notes.error("blind_sign_in", rule.at, message, advice);
    }
    for (index, out) in spec.out.iter().enumerate().filter(|(_, out)| out.frame.names(&Base::Token)) {
        notes.rule = Some(format!("out[{}]", index + 1));
        notes.error("blind_sign_in", out.at, message, advice);
    }
    notes.rule = None;
    if spec.heartbeat.send.as_ref().is_some_and(|send| send.names(&Base::Token)) {
        notes.error("blind_sign_in", spec.places.heartbeat, message, advice);
    }
}

fn replies(spec: &Spec, notes: &mut Notes<'_>) {
    for (index, rule) in spec.rules.iter().enumerate() {
        let answers = matches!(rule.role, Role::Accepted | Role::Received | Role::Rejected | Role::Deferred)
            || rule.own.reply_to.is_some();
        if answers && spec.out.is_empty() {
            notes.rule = Some(format!("in[{}]", index + 1));
            let message = "this rule answers a message, and the dialect sends none";
            notes.error(
                "reply_without_out",
                rule.at,
                message,
                "add an `[[out]]`, or let the rule be an event",
            );
        }
    }
    for (index, out) in spec.out.iter().enumerate() {
        if matches!(out.confirm, Some(Confirm::Reply | Confirm::Learned)) && !accepts(spec) {
            notes.rule = Some(format!("out[{}]", index + 1));
            let message = "messages wait for a reply that no rule would know";
            let advice = "add a rule with `as = \"accepted\"`, or set `confirm = \"barrier\"`";
            notes.error("confirm_without_rule", out.at, message, advice);
        }
    }
    notes.rule = None;
}

fn cursors(spec: &Spec, notes: &mut Notes<'_>) {
    let by_rule = spec.rules.iter().find(|rule| rule.effects.cursor.is_some());
    let by_step = spec.steps().find(|step| step.effects.cursor.is_some());
    let taken = by_rule.map(|rule| rule.at).or(by_step.map(|step| step.at));
    let sent = spec.names(&Base::Cursor);
    if sent && taken.is_none() {
        let at = place_of(spec, &Base::Cursor, notes);
        notes.error(
            "cursor_unset",
            at,
            "`$cursor` is sent, and nothing takes one",
            "give the event rule a `cursor`",
        );
        notes.rule = None;
    }
    if let (false, Some(at)) = (sent, taken) {
        notes.error(
            "cursor_unused",
            at,
            "a cursor is taken, and nothing sends it back",
            "put `$cursor` into `connect` or a step",
        );
    }
    // A welcome that a rule takes a cursor from is as good as a step.
    let by_welcome = spec.rules.iter().any(|rule| {
        rule.effects.cursor.is_some() && !matches!(rule.role, Role::Event | Role::Gap | Role::CursorLost)
    });
    if sent && by_step.is_none() && !by_welcome && spec.initial.is_none() {
        let at = place_of(spec, &Base::Cursor, notes);
        notes.warning(
            "no_baseline",
            at,
            "before its first event a stream has no cursor: what comes while the link is down then is lost",
            "set `cursor = { initial = … }`, or let the step that asks for events take a `cursor`",
        );
        notes.rule = None;
    }
}

/// Names that `template` cannot do without.
fn bare_names<'t>(template: &'t Template, names: &mut BTreeSet<&'t str>) {
    template.each_hole(&mut |hole| {
        if let Base::Name(name) = &hole.base
            && !hole.filters.iter().any(|filter| matches!(filter, Filter::Default(_) | Filter::Then(_)))
        {
            names.insert(&**name);
        }
    });
}

fn late_captures(spec: &Spec, notes: &mut Notes<'_>) {
    let in_steps = |steps: &[Step], name: &str| {
        steps.iter().any(|step| step.effects.capture.iter().any(|(set, _)| **set == *name))
    };
    let by_rule =
        |name: &str| spec.rules.iter().any(|rule| rule.effects.capture.iter().any(|(set, _)| **set == *name));
    // Kept and configured names may have a value before the connection begins.
    let early = |name: &str| {
        let kept = |effects: &super::spec::Effects| effects.keep.iter().any(|(set, _)| **set == *name);
        spec.vars.contains_key(name)
            || spec.require.iter().any(|required| required == name)
            || spec.rules.iter().any(|rule| kept(&rule.effects))
            || spec.steps().any(|step| kept(&step.effects))
    };
    let mut warn = |at: usize, step: Option<&Step>, name: &str| {
        notes.rule = step.map(|step| step.label.clone());
        let message = format!("`${name}` is used before anything on the connection can set it");
        notes.warning("late_capture", at, message, "give it a value to begin with: `|default:…`");
    };
    let mut connect = BTreeSet::new();
    for (_, template) in spec.connect.query.iter().chain(&spec.connect.headers) {
        bare_names(template, &mut connect);
    }
    for name in connect.into_iter().filter(|name| !early(name)) {
        warn(spec.places.connect, None, name);
    }
    for (index, step) in spec.start.iter().enumerate() {
        let mut names = BTreeSet::new();
        step.each.iter().chain(&step.send).for_each(|template| bare_names(template, &mut names));
        let earlier = &spec.start[..index];
        let heard =
            step.wait.is_some() || earlier.iter().any(|step| step.wait.is_some() || step.ok.is_some());
        for name in names {
            if !(early(name) || in_steps(earlier, name) || (heard && by_rule(name))) {
                warn(step.at, Some(step), name);
            }
        }
    }
}

fn loose_ends(spec: &Spec, notes: &mut Notes<'_>) {
    if spec.heartbeat.send.is_some() && !spec.rules.iter().any(|rule| rule.role == Role::Pong) {
        let message = "the answer to the heartbeat is no `pong`: each one would be stored as an event";
        notes.warning("pong_missing", spec.places.heartbeat, message, "add a rule with `as = \"pong\"`");
    }
    if spec.codec != Codec::Raw && !spec.rules.iter().any(|rule| rule.role == Role::Event) {
        let message = "no rule makes events: everything that comes would be `unrecognised`";
        notes.warning("no_event", spec.places.rules, message, "add a rule with `as = \"event\"`");
    }
    let mut used = BTreeSet::new();
    let mut look = |hole: &Hole| {
        if let Base::Name(name) = &hole.base {
            used.insert(name.to_string());
        }
    };
    spec.each_template(&mut |template| template.each_hole(&mut look));
    for condition in spec.conditions() {
        condition.each_hole(&mut look);
    }
    for (name, at) in &spec.own_names {
        if !used.contains(name) {
            let message = format!("`{name}` is given a value and never used");
            notes.warning("unused_name", *at, message, format!("use `${name}`, or take it away"));
        }
    }
}
