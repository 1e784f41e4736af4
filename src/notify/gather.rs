//! Notifications that wait to be shown as one.

use std::sync::Arc;

use super::rules::{Rule, kind};
use super::{Urgency, text};
use crate::model::words::{count, counted};
use crate::model::{EventRow, Seq};

/// Types that a summary names; the others are counted together.
const NAMED: usize = 6;
/// Characters of a type's name in a summary.
const NAME: usize = 40;

/// An event, and the rule by which it is shown.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    pub(super) rules: Arc<[Rule]>,
    pub(super) at: usize,
    pub(super) row: Arc<EventRow>,
}

impl Fit {
    pub(super) fn rule(&self) -> &Rule {
        &self.rules[self.at]
    }
}

/// Several that are shown as one. Only the first is kept; of the others there are numbers.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    first: Option<Fit>,
    pub(super) number: u64,
    kinds: Vec<(String, u64)>,
    others: u64,
    loudest: Option<Urgency>,
    pub(super) last: Option<Seq>,
}

impl Gathering {
    pub(super) const fn is_empty(&self) -> bool {
        self.number == 0
    }

    pub(super) fn add(&mut self, fit: Fit) {
        self.number += 1;
        self.last = fit.row.seq.or(self.last);
        self.louder(fit.rule().urgency);
        self.of_kind(kind(&fit.row), 1);
        self.first.get_or_insert(fit);
    }

    pub(super) fn join(&mut self, other: Self) {
        self.number += other.number;
        self.last = other.last.or(self.last);
        self.others += other.others;
        if let Some(urgency) = other.loudest {
            self.louder(urgency);
        }
        for (kind, number) in other.kinds {
            self.of_kind(&kind, number);
        }
        self.first = self.first.take().or(other.first);
    }

    fn louder(&mut self, urgency: Urgency) {
        let loud = |urgency| match urgency {
            Urgency::Low => 0,
            Urgency::Normal => 1,
            Urgency::Critical => 2,
        };
        if self.loudest.is_none_or(|now| loud(urgency) > loud(now)) {
            self.loudest = Some(urgency);
        }
    }

    fn of_kind(&mut self, kind: &str, number: u64) {
        let full = self.kinds.len() >= NAMED;
        match self.kinds.iter_mut().find(|(known, _)| known == kind) {
            Some((_, sum)) => *sum += number,
            None if full => self.others += number,
            None => self.kinds.push((kind.to_owned(), number)),
        }
    }

    /// The one there is, if there is one alone.
    pub(super) fn alone(&mut self) -> Option<Fit> {
        if self.number == 1 { self.first.take() } else { None }
    }

    /// As loud as its loudest.
    pub(super) fn urgency(&self) -> Urgency {
        self.loudest.unwrap_or(Urgency::Normal)
    }

    /// `37 notifications at once`.
    pub(super) fn title(&self, when: &str) -> String {
        format!("{} {when}", counted(self.number, "notification"))
    }

    /// A line for each type, with its number.
    pub(super) fn body(&self) -> String {
        let mut lines: Vec<String> = self
            .kinds
            .iter()
            .map(|(kind, number)| format!("{}: {}", text::cut(&text::title(kind), NAME), count(*number)))
            .collect();
        if self.others > 0 {
            lines.push(format!("others: {}", count(self.others)));
        }
        text::body(&lines.join("\n"))
    }

    /// The one type they are of, or `several`.
    pub(super) fn kind(&self) -> String {
        match self.kinds.as_slice() {
            [(kind, _)] if self.others == 0 => kind.clone(),
            _ => "several".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::testing::{event, rule};

    fn fit(seq: i64, kind: &str, urgency: Urgency) -> Fit {
        Fit { rules: Arc::from([Rule { urgency, ..rule("*") }]), at: 0, row: event(seq, kind, "{}") }
    }

    #[test]
    fn a_summary_names_a_few_types_and_counts_the_others() {
        let mut all = Gathering::default();
        for n in 0..1_234 {
            all.add(fit(n, "chat", Urgency::Low));
        }
        for n in 0..7 {
            all.add(fit(n, &format!("t{n}"), if n == 3 { Urgency::Critical } else { Urgency::Normal }));
        }
        assert_eq!(all.title("at once"), "1,241 notifications at once");
        assert_eq!(all.body(), "chat: 1,234\nt0: 1\nt1: 1\nt2: 1\nt3: 1\nt4: 1\nothers: 2");
        assert_eq!(
            (all.urgency(), all.kind().as_str(), all.last),
            (Urgency::Critical, "several", Some(Seq(6)))
        );
        assert!(all.alone().is_none());
        let mut one = Gathering::default();
        one.add(fit(1, "chat", Urgency::Low));
        assert!(one.alone().is_some());
        one.add(fit(2, "chat", Urgency::Low));
        all.join(one);
        assert!(all.body().starts_with("chat: 1,236\n"), "{}", all.body());
    }
}
