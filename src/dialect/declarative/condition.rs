//! Conditions: what a frame, a raw text, a close or a refusal must be like.

use super::hole::{Hole, Scope};
use super::scalars::plain_number;
use super::template::Template;
use super::value::Value;
use crate::model::json::Pointer;

/// One of these must hold.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) any: Vec<Vec<Test>>,
    pub(crate) subject: Subject,
}

/// What a condition speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A message; also where only names are tested.
    Frame,
    /// A frame's very text.
    Raw,
    /// A close by the server.
    Close,
    /// A refused upgrade.
    Status,
}

/// One line of a condition.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    pub(crate) place: Place,
    /// All must hold.
    pub(crate) ops: Vec<Op>,
}

/// Where a test looks.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Pointer(Pointer),
    Hole(Hole),
    Raw,
    Code,
    Reason,
    Status,
}

/// What must hold of the value there.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// It equals one of these.
    In(Vec<Scalar>),
    /// It equals none of these (and is there).
    NotIn(Vec<Scalar>),
    Exists(bool),
    /// It is this JSON value.
    Same(Template),
    Prefix(Template),
    Min(f64),
    Max(f64),
}

/// What a value is compared with.
#[derive(Debug, Clone)]
pub(crate) enum Scalar {
    Text(String),
    /// In the form of [`plain_number`].
    Number(String),
    Bool(bool),
    /// A text with holes in it, or a hole.
    Open(Template),
}

/// What a condition is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Facts<'a> {
    /// The message at hand stands in the scope.
    Message,
    Raw(&'a str),
    Close {
        code: u16,
        reason: &'a str,
    },
    Status(u16),
}

impl Condition {
    /// Whether it holds.
    pub(crate) fn holds(&self, scope: &Scope<'_>, facts: Facts<'_>) -> bool {
        self.any.iter().any(|tests| tests.iter().all(|test| test.holds(scope, facts)))
    }

    /// Calls `look` with every hole.
    pub(crate) fn each_hole<'t>(&'t self, look: &mut dyn FnMut(&'t Hole)) {
        for test in self.any.iter().flatten() {
            if let Place::Hole(hole) = &test.place {
                hole.each(look);
            }
            for op in &test.ops {
                match op {
                    Op::In(scalars) | Op::NotIn(scalars) => {
                        for scalar in scalars {
                            if let Scalar::Open(template) = scalar {
                                template.each_hole(look);
                            }
                        }
                    }
                    Op::Prefix(template) | Op::Same(template) => template.each_hole(look),
                    Op::Exists(_) | Op::Min(_) | Op::Max(_) => {}
                }
            }
        }
    }
}

impl Test {
    fn holds(&self, scope: &Scope<'_>, facts: Facts<'_>) -> bool {
        let number = |number: u16| Some(Value::Json(number.to_string().into()));
        let value = match (&self.place, facts) {
            (Place::Pointer(pointer), Facts::Message) => {
                scope.message.and_then(|said| said.value().find(pointer))
            }
            (Place::Hole(hole), _) => hole.value(scope),
            (Place::Raw, Facts::Raw(text)) => Some(Value::Text(text.into())),
            (Place::Code, Facts::Close { code, .. }) => number(code),
            (Place::Reason, Facts::Close { reason, .. }) => Some(Value::Text(reason.into())),
            (Place::Status, Facts::Status(status)) => number(status),
            (Place::Pointer(_) | Place::Raw | Place::Code | Place::Reason | Place::Status, _) => {
                return false;
            }
        };
        self.ops.iter().all(|op| op.holds(value.as_ref(), scope))
    }
}

impl Op {
    fn holds(&self, value: Option<&Value<'_>>, scope: &Scope<'_>) -> bool {
        if let Self::Exists(wanted) = self {
            return value.is_some_and(|value| !value.is_null()) == *wanted;
        }
        let Some(value) = value else {
            return false;
        };
        if value.is_null() {
            // Null is absent, but for a test that names it.
            return matches!(self, Self::Same(other) if other.value(scope).is_some_and(|other| other.is_null()));
        }
        match self {
            Self::In(scalars) => scalars.iter().any(|scalar| scalar.equals(value, scope) == Some(true)),
            Self::NotIn(scalars) => scalars.iter().all(|scalar| scalar.equals(value, scope) == Some(false)),
            Self::Exists(_) => true,
            Self::Same(other) => other.value(scope).is_some_and(|other| value.same(&other)),
            Self::Prefix(template) => template
                .value(scope)
                .is_some_and(|prefix| value.string().is_some_and(|text| text.starts_with(&*prefix.text()))),
            Self::Min(min) => as_number(value).is_some_and(|number| number >= *min),
            Self::Max(max) => as_number(value).is_some_and(|number| number <= *max),
        }
    }

    /// Whether it holds of `value`, where that can be said without a scope.
    pub(crate) fn holds_always(&self, value: &Fixed) -> Option<bool> {
        match self {
            Self::In(scalars) => {
                let mut open = false;
                for scalar in scalars {
                    match scalar.is(value) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => open = true,
                    }
                }
                (!open).then_some(false)
            }
            Self::NotIn(scalars) => {
                let mut open = false;
                for scalar in scalars {
                    match scalar.is(value) {
                        Some(true) => return Some(false),
                        Some(false) => {}
                        None => open = true,
                    }
                }
                (!open).then_some(true)
            }
            Self::Exists(wanted) => Some(*wanted),
            Self::Prefix(Template::Fixed(json)) => {
                let prefix = super::scalars::unescape(json)?;
                Some(matches!(value, Fixed::Text(text) if text.starts_with(&prefix)))
            }
            Self::Min(min) => Some(value.number().is_some_and(|number| number >= *min)),
            Self::Max(max) => Some(value.number().is_some_and(|number| number <= *max)),
            Self::Prefix(_) | Self::Same(_) => None,
        }
    }
}

/// A scalar known at load.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Fixed {
    Text(String),
    Number(String),
    Bool(bool),
}

impl Fixed {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            Self::Text(_) | Self::Bool(_) => None,
        }
    }
}

impl Scalar {
    /// The scalar, where it is known at load.
    pub(crate) fn fixed(&self) -> Option<Fixed> {
        match self {
            Self::Text(text) => Some(Fixed::Text(text.clone())),
            Self::Number(number) => Some(Fixed::Number(number.clone())),
            Self::Bool(is) => Some(Fixed::Bool(*is)),
            Self::Open(_) => None,
        }
    }

    fn is(&self, value: &Fixed) -> Option<bool> {
        self.fixed().map(|fixed| fixed == *value)
    }

    /// Whether it equals `value`; none where it has no value itself.
    fn equals(&self, value: &Value<'_>, scope: &Scope<'_>) -> Option<bool> {
        Some(match self {
            Self::Text(text) => value.string().is_some_and(|mine| mine == *text),
            Self::Number(number) => value.is_number() && plain_number(&value.json()) == *number,
            Self::Bool(true) => value.kind() == b't',
            Self::Bool(false) => value.kind() == b'f',
            Self::Open(template) => {
                let other = template.value(scope).filter(|other| !other.is_null())?;
                match (value.string(), other.string()) {
                    (Some(mine), Some(theirs)) => mine == theirs,
                    (None, None) => value.same(&other),
                    _ => false,
                }
            }
        })
    }
}

fn as_number(value: &Value<'_>) -> Option<f64> {
    if value.is_number() { value.json().parse().ok() } else { None }
}
