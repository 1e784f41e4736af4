//! Which shown notification a newer one takes the place of.

use std::collections::VecDeque;

/// Groups that are remembered; the one that was shown longest ago is forgotten first.
const REMEMBERED: usize = 256;

/// What a notification belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Group {
    /// Of one kind of rules those with this value.
    Of { family: String, value: String },
    /// Summaries of bursts that follow each other.
    Burst,
    /// Summaries of what was missed.
    CatchUp,
}

/// The numbers under which the desktop shows them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    shown: VecDeque<(Group, u32)>,
}

impl Groups {
    pub(super) fn find(&self, group: &Group) -> Option<u32> {
        self.shown.iter().find(|(known, _)| known == group).map(|(_, id)| *id)
    }

    pub(super) fn put(&mut self, group: Group, id: u32) {
        self.forget(&group);
        if self.shown.len() == REMEMBERED {
            self.shown.pop_front();
        }
        self.shown.push_back((group, id));
    }

    pub(super) fn forget(&mut self, group: &Group) {
        self.shown.retain(|(known, _)| known != group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_groups_are_forgotten_first() {
        let of = |n: u32| Group::Of { family: "f".into(), value: n.to_string() };
        let mut groups = Groups::default();
        for n in 0..300 {
            groups.put(of(n), n);
            groups.put(of(0), n);
        }
        assert_eq!(groups.shown.len(), REMEMBERED);
        assert_eq!(groups.find(&of(0)), Some(299));
        assert_eq!((groups.find(&of(1)), groups.find(&of(298))), (None, Some(298)));
    }
}
