//! `[[start]]` and `[[subscribe]]`.

use super::super::condition::{Condition, Subject};
use super::super::reader::Keys;
use super::super::spec::{Codec, MAX_STEPS, Sentence, Step};
use super::super::template::Template;
use super::super::written::{Site, Written};
use super::{STEP_KEYS, STEP_TIMEOUT, looks_into};

impl Written<'_> {
    pub(super) fn steps(&mut self, keys: &mut Keys<'_, '_>, kind: &'static str, codec: Codec) -> Vec<Step> {
        let tables = keys.tables(kind, &mut self.notes);
        let mut steps = Vec::new();
        for (index, (table, at)) in tables.into_iter().take(MAX_STEPS + 1).enumerate() {
            let label = format!("{kind}[{}]", index + 1);
            self.notes.rule = Some(label.clone());
            steps.extend(self.step(Keys::new(table, at), label, codec));
            self.in_each = false;
        }
        self.notes.rule = None;
        steps
    }

    fn answer(&mut self, keys: &mut Keys<'_, '_>, key: &str, site: Site, codec: Codec) -> Option<Condition> {
        let item = keys.take(key)?;
        let condition = self.condition(item, key, site)?;
        if matches!(condition.subject, Subject::Close | Subject::Status) {
            let advice = "write a rule: `in = [{ as = \"unauthorized\", when = { close = 4401 } }]`";
            self.notes.error(
                "mixed_condition",
                item.span().start,
                format!("`{key}` speaks of a frame"),
                advice,
            );
        } else if codec == Codec::Raw && looks_into(&condition) {
            let message = "with `codec = \"raw\"` a frame has no places to point at: test `raw`";
            self.notes.error("mixed_condition", item.span().start, message, "");
        }
        Some(condition)
    }

    fn step(&mut self, mut keys: Keys<'_, '_>, label: String, codec: Codec) -> Option<Step> {
        let at = keys.at;
        keys.take("note");
        let only_if = match keys.take("if") {
            Some(item) => {
                let condition = self.condition(item, "if", Site::Before)?;
                if condition.subject != Subject::Frame || looks_into(&condition) {
                    self.notes.error("mixed_condition", item.span().start, "`if` tests `$names` only", "");
                }
                Some(condition)
            }
            None => None,
        };
        let each = keys.take("each").and_then(|item| match self.template(item, Site::Before)? {
            hole @ Template::Hole(_) => Some(hole),
            _ => {
                self.notes.wrong(item, "each", "the hole of a list (`\"$topics\"`)");
                None
            }
        });
        self.in_each = each.is_some();
        let wait = self.answer(&mut keys, "wait", Site::Wait, codec);
        let send =
            keys.take("send").and_then(|item| self.template(item, Site::Send { waits: wait.is_some() }));
        let ok = self.answer(&mut keys, "ok", Site::Answer, codec);
        let fail = self.answer(&mut keys, "fail", Site::Answer, codec);
        if wait.is_none() && send.is_none() {
            self.notes.error("bad_value", at, "a step has a `send`, a `wait`, or both", "");
        }
        let fail_as = keys.text("fail_as", &mut self.notes).and_then(|(name, at)| {
            let sentence = Sentence::parse(name);
            if sentence.is_none() {
                self.no_such("verdict", name, at, &Sentence::NAMES);
            }
            sentence
        });
        let code = keys.take("code").and_then(|item| self.source(item, Site::StepSource));
        let message = keys.take("message").and_then(|item| self.source(item, Site::StepSource));
        let timeout =
            keys.take("timeout").and_then(|item| self.fixed_length(item, "timeout")).unwrap_or(STEP_TIMEOUT);
        let go_on = match keys.text("on_timeout", &mut self.notes) {
            Some(("continue", _)) => true,
            Some(("fail", _)) | None => false,
            Some((other, at)) => {
                self.no_such("way", other, at, &["fail", "continue"]);
                false
            }
        };
        let mut effects = self.effects(&mut keys, Site::StepSource);
        effects.stream = keys.take("stream").and_then(|item| self.template(item, Site::Stream));
        keys.finish(&STEP_KEYS, &mut self.notes);
        Some(Step {
            only_if,
            each,
            wait,
            send,
            ok,
            fail,
            fail_as,
            code,
            message,
            timeout,
            go_on,
            effects,
            label,
            at,
        })
    }
}
