//! Templates and sources: values made of constants and holes. A template makes a frame, a source
//! takes something out of one; both are the same tree, read by different rules.
//!
//! Whatever is constant is written once, at load: what is left for each frame is to copy bytes
//! and to fill holes.

use std::borrow::Cow;

use super::filter::Filter;
use super::hole::{Base, Hole, Scope};
use super::scalars::{unescape, write_string};
use super::value::Value;
use crate::model::json::each_member;

/// A value made of constants and holes.
#[derive(Debug, Clone)]
pub(crate) enum Template {
    /// JSON text.
    Fixed(String),
    Hole(Hole),
    /// A text with holes in it; without value as soon as one of them has none.
    Joined(Vec<Part>),
    Table(Table),
    List(Vec<Self>),
    /// The first that has a value; null is none.
    First(Vec<Self>),
    Filtered(Box<Self>, Filter),
}

/// A piece of a text.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Fixed(String),
    Hole(Hole),
}

/// An object.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Names that are written out: they stand over spread members.
    pub(crate) written: Vec<String>,
    pub(crate) members: Vec<Member>,
}

/// A piece of an object.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    /// Ready text of one or more members, with the commas between them.
    Fixed(String),
    Value {
        /// The name as JSON, and the colon.
        head: String,
        value: Template,
    },
    /// All members of an object.
    Spread(Hole),
}

/// Why data cannot be spread into a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clash {
    /// This member is the frame's own.
    Member(String),
    /// The data is no object.
    NoObject,
    /// What was to be spread into a list is none.
    NoList,
}

/// How spread data is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// What clashes is an error (messages of apps).
    Strict,
    /// What is written out stands over it (our own frames).
    Lenient,
}

impl Template {
    /// The value, if there is one now.
    pub(crate) fn value<'a>(&'a self, scope: &Scope<'a>) -> Option<Value<'a>> {
        self.make(scope, Spread::Lenient).ok().flatten()
    }

    /// The value, if there is one now.
    ///
    /// # Errors
    /// With [`Spread::Strict`], when a spread member is also written out or data is no object.
    pub(crate) fn make<'a>(&'a self, scope: &Scope<'a>, spread: Spread) -> Result<Option<Value<'a>>, Clash> {
        match self {
            Self::Fixed(json) => Ok(Some(Value::Json(Cow::Borrowed(json)))),
            Self::Hole(hole) => Ok(hole.value(scope)),
            Self::Joined(parts) => Ok(join(parts, scope).map(|text| Value::Text(Cow::Owned(text)))),
            Self::First(choices) => {
                for choice in choices {
                    if let Some(value) = choice.make(scope, spread)?.filter(|value| !value.is_null()) {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
            Self::Filtered(inner, filter) => Ok(filter.apply(inner.make(scope, spread)?, scope)),
            Self::Table(_) | Self::List(_) => {
                // What most frames have beside the message's body.
                const BESIDE: usize = 192;
                let body = scope.sending.map_or(0, |message| message.payload.len());
                let mut json = String::with_capacity(body + BESIDE);
                Ok(self.write(scope, spread, &mut json)?.then_some(Value::Json(Cow::Owned(json))))
            }
        }
    }

    /// Whether [`Template::frame`] comes to a frame. None is made for that.
    ///
    /// # Errors
    /// As [`Template::make`].
    pub(crate) fn comes_to_a_frame<'a>(&'a self, scope: &Scope<'a>, spread: Spread) -> Result<bool, Clash> {
        Ok(self.has_value(scope, spread)? || matches!(self, Self::Table(_)))
    }

    fn has_value<'a>(&'a self, scope: &Scope<'a>, spread: Spread) -> Result<bool, Clash> {
        match self {
            Self::Fixed(_) => Ok(true),
            Self::Table(table) => table.has_value(scope, spread),
            Self::List(items) => {
                for item in items {
                    match item.lone_spread() {
                        Some(hole) => spread_items(hole, scope, spread, &mut String::new())?,
                        None => item.has_value(scope, spread)?,
                    };
                }
                Ok(true)
            }
            Self::Hole(_) | Self::Joined(_) | Self::First(_) | Self::Filtered(..) => {
                Ok(self.make(scope, spread)?.is_some())
            }
        }
    }

    /// Within a list: the hole whose items take this one's place.
    pub(crate) fn lone_spread(&self) -> Option<&Hole> {
        let Self::Table(table) = self else { return None };
        match table.members.as_slice() {
            [Member::Spread(hole)] => Some(hole),
            _ => None,
        }
    }

    /// Appends the value as JSON. Without one nothing is appended and `false` returned.
    fn write<'a>(&'a self, scope: &Scope<'a>, spread: Spread, out: &mut String) -> Result<bool, Clash> {
        match self {
            Self::Fixed(json) => out.push_str(json),
            Self::Table(table) => return table.write(scope, spread, out),
            Self::List(items) => {
                out.push('[');
                let begin = out.len();
                for item in items {
                    let mark = out.len();
                    if mark > begin {
                        out.push(',');
                    }
                    if let Some(hole) = item.lone_spread() {
                        if !spread_items(hole, scope, spread, out)? {
                            out.truncate(mark);
                        }
                    } else if !item.write(scope, spread, out)? {
                        out.push_str("null");
                    }
                }
                out.push(']');
            }
            Self::Hole(_) | Self::Joined(_) | Self::First(_) | Self::Filtered(..) => {
                let Some(value) = self.make(scope, spread)? else {
                    return Ok(false);
                };
                value.write(out);
            }
        }
        Ok(true)
    }

    /// The value as a frame: a text is sent as that very text. A table that lost all its members
    /// is still an object, since a frame was meant.
    ///
    /// # Errors
    /// As [`Template::make`].
    pub(crate) fn frame<'a>(&'a self, scope: &Scope<'a>, spread: Spread) -> Result<Option<String>, Clash> {
        match self.make(scope, spread)? {
            None if matches!(self, Self::Table(_)) => Ok(Some("{}".to_owned())),
            None => Ok(None),
            Some(value) if value.kind() == b'"' => Ok(Some(value.into_text().into_owned())),
            Some(value) => Ok(Some(value.into_json().into_owned())),
        }
    }

    /// Calls `look` with every hole, those within filters too.
    pub(crate) fn each_hole<'t>(&'t self, look: &mut dyn FnMut(&'t Hole)) {
        match self {
            Self::Fixed(_) => {}
            Self::Hole(hole) => hole.each(look),
            Self::Joined(parts) => {
                for part in parts {
                    if let Part::Hole(hole) = part {
                        hole.each(look);
                    }
                }
            }
            Self::Table(table) => {
                for member in &table.members {
                    match member {
                        Member::Fixed(_) => {}
                        Member::Value { value, .. } => value.each_hole(look),
                        Member::Spread(hole) => hole.each(look),
                    }
                }
            }
            Self::List(items) | Self::First(items) => {
                for item in items {
                    item.each_hole(look);
                }
            }
            Self::Filtered(inner, filter) => {
                inner.each_hole(look);
                if let Some(hole) = filter.hole() {
                    hole.each(look);
                }
            }
        }
    }

    /// Whether some hole is filled from `base`.
    pub(crate) fn names(&self, base: &Base) -> bool {
        let mut found = false;
        self.each_hole(&mut |hole| found |= hole.base == *base);
        found
    }
}

/// Appends the items of a list, with commas between them; whether there were any. An object without
/// members is what apps hand in where they hand in nothing.
fn spread_items<'a>(
    hole: &'a Hole,
    scope: &Scope<'a>,
    spread: Spread,
    out: &mut String,
) -> Result<bool, Clash> {
    let Some(value) = hole.value(scope) else { return Ok(false) };
    let json = value.json();
    let json = json.trim();
    match json.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(items) => {
            out.push_str(items.trim());
            Ok(!items.trim().is_empty())
        }
        None if spread == Spread::Lenient || is_empty_object(json) => Ok(false),
        None => Err(Clash::NoList),
    }
}

fn is_empty_object(json: &str) -> bool {
    json.strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inner| inner.trim().is_empty())
}

fn join<'a>(parts: &'a [Part], scope: &Scope<'a>) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Fixed(fixed) => text.push_str(fixed),
            Part::Hole(hole) => {
                text.push_str(&hole.value(scope).filter(|value| !value.is_null())?.text());
            }
        }
    }
    Some(text)
}

impl Table {
    fn write<'a>(&'a self, scope: &Scope<'a>, spread: Spread, out: &mut String) -> Result<bool, Clash> {
        let begin = out.len();
        out.push('{');
        let mut filled = self.members.is_empty();
        for member in &self.members {
            let mark = out.len();
            if mark > begin + 1 {
                out.push(',');
            }
            let kept = match member {
                Member::Fixed(text) => {
                    out.push_str(text);
                    true
                }
                Member::Value { head, value, .. } => {
                    out.push_str(head);
                    value.write(scope, spread, out)?
                }
                Member::Spread(hole) => match hole.value(scope) {
                    None => false,
                    Some(value) if !value.is_object() => match spread {
                        Spread::Strict => return Err(Clash::NoObject),
                        Spread::Lenient => false,
                    },
                    Some(value) => {
                        filled = true;
                        let mark = out.len();
                        self.spread(&value, spread, &mut |name, value| {
                            if out.len() > mark {
                                out.push(',');
                            }
                            out.push_str(name);
                            out.push(':');
                            out.push_str(value);
                        })?;
                        out.len() > mark
                    }
                },
            };
            if kept {
                filled = true;
            } else {
                out.truncate(mark);
            }
        }
        if !filled {
            out.truncate(begin);
            return Ok(false);
        }
        out.push('}');
        Ok(true)
    }

    /// As [`Table::write`], without writing.
    fn has_value<'a>(&'a self, scope: &Scope<'a>, spread: Spread) -> Result<bool, Clash> {
        let mut filled = self.members.is_empty();
        for member in &self.members {
            filled |= match member {
                Member::Fixed(_) => true,
                Member::Value { value, .. } => value.has_value(scope, spread)?,
                Member::Spread(hole) => match hole.value(scope) {
                    None => false,
                    Some(value) if !value.is_object() => match spread {
                        Spread::Strict => return Err(Clash::NoObject),
                        Spread::Lenient => false,
                    },
                    Some(value) => {
                        self.spread(&value, spread, &mut |_, _| {})?;
                        true
                    }
                },
            };
        }
        Ok(filled)
    }

    /// Whether a member's name, as it is written with its quotation marks, is written out here.
    fn writes(&self, name: &str) -> bool {
        if name.contains('\\') {
            return unescape(name).is_some_and(|name| self.written.contains(&name));
        }
        let name = &name[1..name.len() - 1];
        self.written.iter().any(|written| written == name)
    }

    /// Hands all members of `value` that are not written out to `take`, names with their quotation marks.
    fn spread(
        &self,
        value: &Value<'_>,
        spread: Spread,
        take: &mut dyn FnMut(&str, &str),
    ) -> Result<(), Clash> {
        let mut clash = None;
        let mut member = |name: &str, value: &str| {
            let written = self.writes(name);
            if !written {
                take(name, value);
            } else if spread == Spread::Strict {
                clash = Some(Clash::Member(unescape(name).unwrap_or_default()));
                return false;
            }
            true
        };
        let whole = match value {
            Value::Doc(doc) => doc.members().all(|(name, value)| member(name.json(), value.json())),
            Value::Json(json) => each_member(json, member),
            Value::Text(_) => false,
        };
        match clash {
            Some(clash) => Err(clash),
            None if whole => Ok(()),
            None => Err(Clash::NoObject),
        }
    }
}

/// Puts an object together, its constant members as ready text.
pub(crate) fn table(parts: Vec<(String, Template)>, spread: Option<(usize, Hole)>) -> Template {
    let written: Vec<String> = parts.iter().map(|(name, _)| name.clone()).collect();
    let mut members: Vec<Member> = Vec::new();
    let mut spread = spread;
    for (index, (name, value)) in parts.into_iter().enumerate() {
        if spread.as_ref().is_some_and(|(at, _)| *at == index)
            && let Some((_, hole)) = spread.take()
        {
            members.push(Member::Spread(hole));
        }
        let mut head = String::new();
        write_string(&name, &mut head);
        head.push(':');
        let Template::Fixed(json) = &value else {
            members.push(Member::Value { head, value });
            continue;
        };
        if let Some(Member::Fixed(text)) = members.last_mut() {
            text.push(',');
            text.push_str(&head);
            text.push_str(json);
        } else {
            members.push(Member::Fixed(head + json));
        }
    }
    if let Some((_, hole)) = spread {
        members.push(Member::Spread(hole));
    }
    match members.as_slice() {
        [] => Template::Fixed("{}".to_owned()),
        [Member::Fixed(text)] => Template::Fixed(format!("{{{text}}}")),
        _ => Template::Table(Table { written, members }),
    }
}

/// Puts an array together.
pub(crate) fn list(items: Vec<Template>) -> Template {
    let fixed: Option<Vec<&str>> = items
        .iter()
        .map(|item| match item {
            Template::Fixed(json) => Some(json.as_str()),
            Template::Hole(_)
            | Template::Joined(_)
            | Template::Table(_)
            | Template::List(_)
            | Template::First(_)
            | Template::Filtered(..) => None,
        })
        .collect();
    match fixed {
        Some(fixed) => Template::Fixed(format!("[{}]", fixed.join(","))),
        None => Template::List(items),
    }
}
