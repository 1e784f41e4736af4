//! Which rules a message is tried against: rules are filed under the values of one pointer, so
//! that the number of rules a file has does not matter to a frame.

use std::collections::HashMap;

use super::condition::{Condition, Fixed, Op, Place, Subject, Test};
use super::scalars::plain_number;
use super::spec::Rule;
use super::tape::Doc;
use crate::model::json::Pointer;

/// Rules by the value of the discriminator.
#[derive(Debug, Default)]
pub(crate) struct Filing {
    /// The pointer with most tests for equality.
    pub(crate) discriminator: Option<Pointer>,
    texts: HashMap<String, Vec<usize>>,
    numbers: HashMap<String, Vec<usize>>,
    bools: [Option<Vec<usize>>; 2],
    /// For every other value, and where there is none.
    rest: Vec<usize>,
    /// Rules that look at a frame's raw text.
    pub(crate) raw: Vec<usize>,
}

impl Filing {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut filing = Self::default();
        let frame: Vec<usize> =
            (0..rules.len()).filter(|at| rules[*at].subject() == Subject::Frame).collect();
        filing.raw = (0..rules.len()).filter(|at| rules[*at].subject() == Subject::Raw).collect();
        let Some(pointer) = busiest_pointer(frame.iter().map(|at| &rules[*at])) else {
            filing.rest = frame;
            return filing;
        };
        for value in frame.iter().flat_map(|at| values_of(&rules[*at], &pointer)) {
            let under = || {
                let fits =
                    |at: &usize| rules[*at].when.as_ref().is_none_or(|when| may_hold(when, &pointer, &value));
                frame.iter().copied().filter(fits).collect()
            };
            match &value {
                Fixed::Text(text) => {
                    filing.texts.entry(text.clone()).or_insert_with(under);
                }
                Fixed::Number(number) => {
                    filing.numbers.entry(number.clone()).or_insert_with(under);
                }
                Fixed::Bool(is) => {
                    filing.bools[usize::from(*is)].get_or_insert_with(under);
                }
            }
        }
        filing.rest = frame
            .into_iter()
            .filter(|at| rules[*at].when.as_ref().is_none_or(|when| may_hold_elsewhere(when, &pointer)))
            .collect();
        filing.discriminator = Some(pointer);
        filing
    }

    /// The rules that may fit `message`, in file order.
    pub(crate) fn candidates(&self, message: Doc<'_>) -> &[usize] {
        let Some(value) = self.discriminator.as_ref().and_then(|pointer| message.find(pointer)) else {
            return &self.rest;
        };
        let found = match value.json().as_bytes().first() {
            Some(b'"') => value.string().and_then(|text| self.texts.get(&*text)),
            Some(b't') => self.bools[1].as_ref(),
            Some(b'f') => self.bools[0].as_ref(),
            Some(b'-' | b'0'..=b'9') => self.numbers.get(&*plain_number(value.json())),
            _ => None,
        };
        found.unwrap_or(&self.rest)
    }
}

fn tests_at<'c>(tests: &'c [Test], pointer: &'c Pointer) -> impl Iterator<Item = &'c Test> {
    tests.iter().filter(move |test| matches!(&test.place, Place::Pointer(at) if at == pointer))
}

/// The pointer with most tests for equality with something known at load.
fn busiest_pointer<'r>(rules: impl Iterator<Item = &'r Rule>) -> Option<Pointer> {
    let mut counts: Vec<(&Pointer, usize)> = Vec::new();
    for test in rules.filter_map(|rule| rule.when.as_ref()).flat_map(|when| when.any.iter().flatten()) {
        let Place::Pointer(pointer) = &test.place else {
            continue;
        };
        let fixed = test
            .ops
            .iter()
            .any(|op| matches!(op, Op::In(scalars) if scalars.iter().all(|scalar| scalar.fixed().is_some())));
        if !fixed {
            continue;
        }
        match counts.iter_mut().find(|(known, _)| *known == pointer) {
            Some((_, count)) => *count += 1,
            None => counts.push((pointer, 1)),
        }
    }
    // Of equals the first, so that the choice does not depend on anything but the file.
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(pointer, _)| pointer.clone())
}

/// The values `rule` asks for at `pointer`.
fn values_of(rule: &Rule, pointer: &Pointer) -> Vec<Fixed> {
    let mut values = Vec::new();
    for tests in rule.when.iter().flat_map(|when| &when.any) {
        for op in tests_at(tests, pointer).flat_map(|test| &test.ops) {
            if let Op::In(scalars) = op {
                values.extend(scalars.iter().filter_map(super::condition::Scalar::fixed));
            }
        }
    }
    values
}

/// Whether `when` can hold where `pointer` has `value`.
fn may_hold(when: &Condition, pointer: &Pointer, value: &Fixed) -> bool {
    when.any.iter().any(|tests| {
        tests_at(tests, pointer).flat_map(|test| &test.ops).all(|op| op.holds_always(value) != Some(false))
    })
}

/// Whether `when` can hold where `pointer` has a value no rule names, or none.
fn may_hold_elsewhere(when: &Condition, pointer: &Pointer) -> bool {
    when.any.iter().any(|tests| {
        !tests_at(tests, pointer)
            .flat_map(|test| &test.ops)
            .any(|op| matches!(op, Op::In(scalars) if scalars.iter().all(|scalar| scalar.fixed().is_some())))
    })
}
