//! Conditions.

use toml::de::DeValue;

use super::super::condition::{Condition, Op, Place, Scalar, Subject, Test};
use super::super::reader::{Item, Keys, plain_json, scalar_json};
use super::super::scalars::{plain_number, unescape};
use super::super::spec::MAX_ALTERNATIVES;
use super::super::template::Template;
use super::{Site, Written, name_length};

impl Written<'_> {
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
            ops.push(Op::Same(self.template(item, site)?));
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
                Template::Fixed(json) => unescape(&json).map(Scalar::Text),
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
}
