//! Whether a recorded frame could have come from a template, and with which values: recordings
//! made with other clients have other counters, ids and times in them than ours would have.

use std::sync::Arc;

use super::super::filter::Filter;
use super::super::hole::{Base, Drawn, Hole, Scope};
use super::super::scalars::write_string;
use super::super::tape::{Doc, Tape};
use super::super::template::{Member, Part, Table, Template};
use super::super::value::Value;

/// Values read off a recorded frame.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bound {
    pub(crate) drawn: Drawn,
}

impl Bound {
    fn slot(&mut self, base: &Base) -> Option<&mut Option<Arc<str>>> {
        match base {
            Base::Counter => Some(&mut self.drawn.counter),
            Base::Uuid => Some(&mut self.drawn.uuid),
            Base::Now => Some(&mut self.drawn.now),
            Base::Id => Some(&mut self.drawn.id),
            Base::Token => Some(&mut self.drawn.token),
            Base::In
            | Base::Outer
            | Base::Item
            | Base::Type
            | Base::Data
            | Base::Text
            | Base::Binary
            | Base::Cursor
            | Base::Null
            | Base::Name(_) => None,
        }
    }

    /// Takes `value` for `base`; false where it has another one already.
    fn bind(&mut self, base: &Base, value: &Value<'_>) -> bool {
        let Some(slot) = self.slot(base) else {
            return false;
        };
        match slot {
            Some(known) => Value::Json((&**known).into()).text() == value.text(),
            None => {
                *slot = Some(value.json().as_ref().into());
                true
            }
        }
    }

    fn text(&mut self, base: &Base) -> Option<String> {
        let known = self.slot(base)?.as_deref()?;
        Some(Value::Json(known.into()).text().into_owned())
    }
}

/// One try to fit a template to a recorded frame.
pub(crate) struct Fitting<'f, 'a> {
    pub(crate) scope: &'f Scope<'a>,
    /// Cursors may differ.
    pub(crate) lenient: bool,
}

impl<'a> Fitting<'_, 'a> {
    /// Whether the recorded value stands for something that differs from run to run.
    fn is_open(&self, hole: &Hole) -> bool {
        match hole.base {
            Base::Counter | Base::Uuid | Base::Now => true,
            Base::Id => self.scope.sending.is_some(),
            Base::Token => self.scope.token.is_some(),
            Base::Cursor => self.lenient && self.scope.cursor.is_some(),
            Base::In
            | Base::Outer
            | Base::Item
            | Base::Type
            | Base::Data
            | Base::Text
            | Base::Binary
            | Base::Null
            | Base::Name(_) => false,
        }
    }

    fn value(&self, template: &Template) -> Option<String> {
        let probe = Drawn { counter: Some("0".into()), uuid: Some("\"\"".into()), ..Drawn::default() };
        let mut scope = *self.scope;
        // The probe lives as long as this look at the value.
        scope.drawn = None;
        probed(template, &scope, &probe)
    }

    /// Whether `recorded` fits; what it binds is in `bound` then.
    pub(crate) fn fits(&self, template: &'a Template, recorded: Doc<'_>, bound: &mut Bound) -> bool {
        match template {
            Template::Fixed(json) => Value::Doc(recorded).same(&Value::Json(json.into())),
            Template::Hole(hole) => self.hole_fits(hole, recorded, bound),
            Template::Joined(parts) => {
                recorded.string().is_some_and(|text| self.joined_fits(parts, &text, bound))
            }
            Template::Table(table) => self.table_fits(table, recorded, bound),
            Template::List(items) => self.list_fits(items, recorded, bound),
            Template::First(choices) => choices
                .iter()
                .find(|choice| self.value(choice).is_some_and(|value| value != "null"))
                .is_some_and(|choice| self.fits(choice, recorded, bound)),
            Template::Filtered(inner, Filter::Json) => recorded.string().is_some_and(|text| {
                let mut tape = Tape::default();
                tape.read(&text).is_ok() && self.fits(inner, tape.doc(&text), bound)
            }),
            Template::Filtered(inner, _) => {
                let mut open = false;
                inner.each_hole(&mut |hole| open |= self.is_open(hole));
                open || self
                    .value(template)
                    .is_some_and(|mine| Value::Doc(recorded).same(&Value::Json(mine.into())))
            }
        }
    }

    fn hole_fits(&self, hole: &'a Hole, recorded: Doc<'_>, bound: &mut Bound) -> bool {
        if self.is_open(hole) {
            let plain = hole.filters.is_empty() && hole.pointer.is_none() && hole.base != Base::Cursor;
            return !plain || bound.bind(&hole.base, &Value::Doc(recorded));
        }
        hole.value(self.scope).is_some_and(|value| value.same(&Value::Doc(recorded)))
    }

    fn joined_fits(&self, parts: &'a [Part], text: &str, bound: &mut Bound) -> bool {
        let mut rest = text;
        let mut waiting: Option<&Hole> = None;
        let fixed = |part: &'a Part, bound: &mut Bound| -> Option<Option<String>> {
            match part {
                Part::Fixed(text) => Some(Some(text.clone())),
                Part::Hole(hole) if self.is_open(hole) => {
                    Some(if hole.filters.is_empty() { bound.text(&hole.base) } else { None })
                }
                Part::Hole(hole) => hole.value(self.scope).map(|value| Some(value.text().into_owned())),
            }
        };
        for part in parts {
            // A hole without value leaves the whole text without one.
            let Some(fixed) = fixed(part, bound) else {
                return false;
            };
            match (fixed, part) {
                (Some(fixed), _) => {
                    let found = if waiting.is_some() {
                        rest.find(&*fixed)
                    } else {
                        rest.starts_with(&*fixed).then_some(0)
                    };
                    let Some(at) = found else {
                        return false;
                    };
                    if let Some(hole) = waiting.take()
                        && !taken(hole, &rest[..at], bound)
                    {
                        return false;
                    }
                    rest = &rest[at + fixed.len()..];
                }
                (None, Part::Hole(hole)) => waiting = Some(hole),
                (None, Part::Fixed(_)) => return false,
            }
        }
        match waiting {
            Some(hole) => taken(hole, rest, bound),
            None => rest.is_empty(),
        }
    }

    fn list_fits(&self, items: &'a [Template], recorded: Doc<'_>, bound: &mut Bound) -> bool {
        if !recorded.json().starts_with('[') {
            return false;
        }
        let mut theirs = recorded.items();
        let fit = items.iter().all(|item| match item.lone_spread() {
            Some(hole) => hole.value(self.scope).is_none_or(|value| {
                let same =
                    |mine: Doc<'_>| mine.items().all(|mine| theirs.next().is_some_and(|it| it.same(mine)));
                value.with_doc(same) == Some(true)
            }),
            None => theirs.next().is_some_and(|theirs| {
                if self.value(item).is_some() {
                    self.fits(item, theirs, bound)
                } else {
                    theirs.json() == "null"
                }
            }),
        });
        fit && theirs.next().is_none()
    }

    fn table_fits(&self, table: &'a Table, recorded: Doc<'_>, bound: &mut Bound) -> bool {
        if !recorded.json().starts_with('{') {
            return false;
        }
        let mut expected = 0;
        for member in &table.members {
            let fits = match member {
                Member::Fixed(text) => {
                    let object = format!("{{{text}}}");
                    Value::Json(object.into()).with_doc(|mine| {
                        mine.members().all(|(key, value)| {
                            expected += 1;
                            key.string()
                                .and_then(|name| recorded.member(&name))
                                .is_some_and(|theirs| theirs.same(value))
                        })
                    })
                }
                Member::Value { head, value } => {
                    let name = Value::Json(head.trim_end_matches(':').into()).text().into_owned();
                    let theirs = recorded.member(&name);
                    Some(if self.value(value).is_some() {
                        expected += 1;
                        theirs.is_some_and(|theirs| self.fits(value, theirs, bound))
                    } else {
                        theirs.is_none()
                    })
                }
                Member::Spread(hole) => match hole.value(self.scope).filter(Value::is_object) {
                    None => Some(true),
                    Some(value) => value.with_doc(|mine| {
                        let spread = mine
                            .members()
                            .filter(|(key, _)| !table.written.iter().any(|name| key.is_named(name)));
                        let mut all = true;
                        for (key, value) in spread {
                            expected += 1;
                            all &= key
                                .string()
                                .and_then(|name| recorded.member(&name))
                                .is_some_and(|theirs| theirs.same(value));
                        }
                        all
                    }),
                },
            };
            if fits != Some(true) {
                return false;
            }
        }
        recorded.members().count() == expected
    }
}

/// The template's JSON with stand-ins for what is drawn.
fn probed(template: &Template, scope: &Scope<'_>, probe: &Drawn) -> Option<String> {
    let mut scope = *scope;
    scope.drawn = Some(probe);
    template.value(&scope).map(|value| value.json().into_owned())
}

/// A stretch of a recorded text for a hole of ours. Digits are taken for a number.
fn taken(hole: &Hole, text: &str, bound: &mut Bound) -> bool {
    if !hole.filters.is_empty() || hole.pointer.is_some() || hole.base == Base::Cursor {
        return true;
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut json = String::new();
    if digits && hole.base == Base::Counter && (text == "0" || !text.starts_with('0')) {
        json.push_str(text);
    } else {
        write_string(text, &mut json);
    }
    bound.bind(&hole.base, &Value::Json(json.into()))
}
