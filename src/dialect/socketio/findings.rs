//! What one frame comes to: rows, replies that wait for them, and acts.

use crate::dialect::Act;
use crate::model::{Failure, Frame, NewRow, Unit, Verdict};

/// What one frame comes to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) unit: Unit,
    pub(super) then: Vec<Frame>,
    pub(super) acts: Vec<Act>,
}

impl Findings {
    pub(super) fn bad(&mut self, reason: &'static str, detail: impl Into<String>, frame: Frame) {
        self.unit.rows.push(NewRow::Bad { reason, detail: detail.into(), frame });
    }

    /// What is stored comes first, so that nothing else of the frame outruns it.
    pub(super) fn into_acts(self, acts: &mut Vec<Act>) {
        if !self.unit.is_empty() || !self.then.is_empty() {
            acts.push(Act::Store { unit: self.unit, then: self.then, cumulative: false });
        }
        acts.extend(self.acts);
    }

    pub(super) fn hang_up(&mut self, verdict: Verdict, message: impl Into<String>) {
        let message = Some(message.into());
        self.acts.push(Act::HangUp(Failure::Ruled { verdict, code: None, message }));
    }
}
