//! Rules with `each`: one event per item of a list in the frame.

use super::hole::{Base, Said};
use super::roles::{Findings, whole_text};
use super::spec::{MAX_FRAME_ITEMS, MAX_FRAME_MADE, Rule};
use super::talk::{Around, Talk};
use crate::model::json::Pointer;
use crate::model::{Frame, Moment, NewRow};

impl Findings {
    /// Bytes of the bodies and replies that came after these.
    fn bytes_since(&self, row: usize, reply: usize) -> usize {
        let bodies = self.unit.rows.iter().skip(row).map(|row| match row {
            NewRow::Event { payload, .. } => payload.len(),
            NewRow::Gap { .. } | NewRow::Bad { .. } | NewRow::Misfit { .. } => 0,
        });
        let replies = self.then.iter().skip(reply).map(|frame| match frame {
            Frame::Text(text) => text.len(),
            Frame::Binary(bytes) => bytes.len(),
        });
        bodies.chain(replies).sum()
    }
}

impl Talk {
    /// Carries out a rule for each item that its pointer finds.
    pub(super) fn each(
        &mut self,
        at: Moment,
        (rule, pointer): (&Rule, &Pointer),
        around: Around<'_>,
        findings: &mut Findings,
    ) {
        let items = match around.message {
            Some(Said::Doc(frame)) => frame.find(pointer).filter(|items| items.json().starts_with('[')),
            Some(Said::Raw(_)) | None => None,
        };
        let lone = Around { message: None, outer: around.message, item: around.item };
        let Some(items) = items else {
            self.unrecognised(at, &rule.effects, around, findings);
            let reply = self.worded(at, rule, lone);
            return self.reply(reply, rule, findings);
        };
        let count = items.items().take(MAX_FRAME_ITEMS + 1).count();
        let names_item = rule.reply.as_ref().is_some_and(|reply| reply.names(&Base::In));
        if findings.unit.rows.len() + count > MAX_FRAME_ITEMS {
            let detail = format!("more than {MAX_FRAME_ITEMS} items in one frame");
            self.bad(findings, "too_many_items", detail, Frame::Text(whole_text(around)));
        } else {
            let (rows, replies) = (findings.unit.rows.len(), findings.then.len());
            let mut made = 0;
            for item in items.items() {
                let (row, reply) = (findings.unit.rows.len(), findings.then.len());
                let item = Around { message: Some(Said::Doc(item)), ..lone };
                self.take_along(at, &rule.effects, item, false, findings);
                if names_item {
                    let reply = self.worded(at, rule, item);
                    self.reply(reply, rule, findings);
                }
                self.role(at, rule, item, findings);
                made += findings.bytes_since(row, reply);
                if made > MAX_FRAME_MADE {
                    findings.unit.rows.truncate(rows);
                    findings.then.truncate(replies);
                    let detail =
                        format!("the events of one frame come to more than {} MiB", MAX_FRAME_MADE >> 20);
                    self.bad(findings, "too_many_items", detail, Frame::Text(whole_text(around)));
                    break;
                }
            }
            if count == 0 {
                self.take_along(at, &rule.effects, lone, false, findings);
            }
        }
        // A reply that does not speak of the item answers the frame: it goes out once.
        if !names_item {
            let reply = self.worded(at, rule, lone);
            self.reply(reply, rule, findings);
        }
    }
}
