//! `[[in]]`.

use super::super::condition::Subject;
use super::super::reader::Keys;
use super::super::spec::{Codec, MAX_RULES, Own, Role, Rule};
use super::super::written::{Site, Written};
use super::{EFFECT_KEYS, OWN_KEYS, looks_into};

impl Written<'_> {
    pub(super) fn rules(&mut self, keys: &mut Keys<'_, '_>, codec: Codec) -> Vec<Rule> {
        let tables = keys.tables("in", &mut self.notes);
        if tables.len() > MAX_RULES {
            self.notes.error(
                "limit",
                tables[MAX_RULES].1,
                format!("a dialect has at most {MAX_RULES} rules"),
                "",
            );
        }
        let mut rules = Vec::new();
        for (index, (table, at)) in tables.into_iter().take(MAX_RULES).enumerate() {
            self.notes.rule = Some(format!("in[{}]", index + 1));
            rules.extend(self.rule(Keys::new(table, at), codec));
        }
        self.notes.rule = None;
        rules
    }

    fn rule(&mut self, mut keys: Keys<'_, '_>, codec: Codec) -> Option<Rule> {
        let at = keys.at;
        keys.take("note");
        let Some((name, name_at)) = keys.text("as", &mut self.notes) else {
            self.notes.error("bad_value", at, "a rule says what the frame is: `as` is missing", "");
            return None;
        };
        let Some(role) = Role::parse(name) else {
            self.no_such("role", name, name_at, &Role::NAMES);
            return None;
        };
        let when = match keys.take("when") {
            Some(item) => Some(self.condition(item, "when", Site::Rule)?),
            None => None,
        };
        let own_keys = role.own_keys();
        let each = if own_keys.contains(&"each") {
            keys.take("each").and_then(|item| self.lone_pointer(item, "each"))
        } else {
            None
        };
        let site = Site::RuleSource { each: each.is_some() };
        let mut effects = self.effects(&mut keys, site);
        effects.stream = keys.take("stream").and_then(|item| self.source(item, site));
        let reply =
            keys.take("reply").and_then(|item| self.template(item, Site::Reply { each: each.is_some() }));
        let cumulative =
            own_keys.contains(&"cumulative") && keys.flag("cumulative", &mut self.notes).unwrap_or(false);
        if cumulative && reply.is_none() {
            let advice = "add the `reply`, or leave `cumulative` out";
            self.notes.error("bad_value", at, "`cumulative` speaks of a `reply`, and there is none", advice);
        }
        let mut own = |key: &str| {
            if own_keys.contains(&key) {
                keys.take(key).and_then(|item| self.source(item, site))
            } else {
                None
            }
        };
        let own = Own {
            kind: own("type"),
            data: own("data"),
            id: own("id"),
            seq: own("seq"),
            reply_to: own("reply_to"),
            up_to: own("up_to"),
            code: own("code"),
            message: own("message"),
            retry_after: own("retry_after"),
            each,
            cumulative,
        };
        if role == Role::Event && own.kind.is_none() {
            self.notes.error("bad_value", at, "an event needs a `type`", "a pointer, or a fixed word");
        }
        let rule = Rule { when, role, effects, reply, own, at };
        self.leftover(&mut keys, role);
        let known: Vec<&str> = ["note", "as", "when", "stream", "reply"]
            .into_iter()
            .chain(EFFECT_KEYS)
            .chain(own_keys.iter().copied())
            .collect();
        keys.finish(&known, &mut self.notes);
        self.speaks(&rule, codec);
        Some(rule)
    }

    /// Keys that belong to other roles.
    fn leftover(&mut self, keys: &mut Keys<'_, '_>, role: Role) {
        let foreign: Vec<&str> = keys.names().filter(|name| OWN_KEYS.contains(name)).collect();
        for key in foreign {
            let at = keys.take(key).map_or(keys.at, |item| item.span().start);
            let roles: Vec<&str> = Role::NAMES
                .into_iter()
                .filter(|name| Role::parse(name).is_some_and(|role| role.own_keys().contains(&key)))
                .collect();
            self.notes.error(
                "key_of_other_role",
                at,
                format!("a rule with `as = \"{}\"` has no `{key}`", role.name()),
                format!("`{key}` belongs to {}", roles.join(", ")),
            );
        }
    }

    /// Closes and refusals have no frame: what a rule for them can say is less.
    fn speaks(&mut self, rule: &Rule, codec: Codec) {
        let verdict = matches!(rule.role, Role::Verdict(_));
        let effects = &rule.effects;
        let changes = !effects.capture.is_empty()
            || !effects.keep.is_empty()
            || !effects.forget.is_empty()
            || effects.cursor.is_some();
        let fault = match rule.subject() {
            Subject::Frame if codec == Codec::Raw && rule.when.as_ref().is_some_and(looks_into) => {
                Some("with `codec = \"raw\"` a frame has no places to point at: test `raw`")
            }
            Subject::Frame | Subject::Raw
                if rule.own.each.is_some() && (codec == Codec::Raw || rule.subject() == Subject::Raw) =>
            {
                Some("a raw text has no items for `each`")
            }
            Subject::Frame | Subject::Raw => None,
            Subject::Close if !verdict && rule.role != Role::CursorLost => {
                Some("of a close only a verdict on the link, or `cursor_lost`, can be said")
            }
            Subject::Status if !verdict => {
                Some("of a refused upgrade only a verdict on the link can be said")
            }
            Subject::Status if changes => {
                Some("a refused upgrade brings nothing along: it captures, keeps and forgets nothing")
            }
            Subject::Close | Subject::Status if rule.reply.is_some() => {
                Some("there is nobody to reply to any more")
            }
            Subject::Close | Subject::Status
                if verdict && (rule.own.code.is_some() || rule.own.message.is_some()) =>
            {
                Some(
                    "a close and a refusal have words of their own, which are shown: leave `code` and `message` out",
                )
            }
            Subject::Close | Subject::Status => None,
        };
        if let Some(fault) = fault {
            self.notes.error("key_of_other_role", rule.at, fault, "");
        }
    }
}
