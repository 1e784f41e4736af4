//! A second look at what stands in quarantine, with the dialect and the rules of now.
//!
//! Only what there is to keep counts: a frame that is long past moves no cursor of the server's,
//! answers nothing and ends no message.

use crate::dialect::{Act, Dialect, Given};
use crate::model::{Delivery, HeldBody, Judged, MISFIT, Moment, NewRow, TypeRules};

use super::inbound::stamp;

/// What `held` comes to now.
#[must_use]
pub fn look_again(dialect: &dyn Dialect, rules: &TypeRules, held: HeldBody, at: Moment) -> Judged {
    let rows = match held {
        HeldBody::Event { stream, id, kind, payload } => {
            vec![NewRow::Event { stream, id, kind, payload, delivery: Delivery::Durable, key: None }]
        }
        HeldBody::Frame(frame) => {
            let mut acts = Vec::new();
            dialect.converse(Given::default(), 0).frame(at, frame, &mut acts);
            acts.into_iter().flat_map(rows_of).collect()
        }
    };
    let mut rows: Vec<NewRow> = rows.into_iter().filter_map(|row| kept(row, rules)).collect();
    if rows.iter().any(|row| matches!(row, NewRow::Event { .. })) {
        return Judged::Fits(rows);
    }
    match rows.drain(..).next() {
        Some(NewRow::Bad { reason, detail, .. }) => Judged::Stays { reason, detail },
        Some(NewRow::Misfit { detail, .. }) => Judged::Stays { reason: MISFIT, detail },
        Some(NewRow::Event { .. } | NewRow::Gap { .. }) | None => {
            Judged::Stays { reason: "no_event", detail: "it can be read now, and it is no event".to_owned() }
        }
    }
}

fn rows_of(act: Act) -> Vec<NewRow> {
    match act {
        Act::Store { unit, .. } => unit.rows,
        Act::Rejected { otherwise, .. } => vec![otherwise],
        Act::Send(_)
        | Act::Started { .. }
        | Act::Accepted { .. }
        | Act::Received { .. }
        | Act::Deferred { .. }
        | Act::Pong
        | Act::Health { .. }
        | Act::HangUp(_) => Vec::new(),
    }
}

/// The row as the rules want it. It is stored whatever its class: whom an ephemeral event was for
/// heard nothing of it.
fn kept(mut row: NewRow, rules: &TypeRules) -> Option<NewRow> {
    stamp(&mut row, rules);
    if let NewRow::Event { delivery, .. } = &mut row
        && *delivery == Delivery::Ephemeral
    {
        *delivery = Delivery::Durable;
    }
    // That something was missing there is told already.
    (!matches!(row, NewRow::Gap { .. })).then_some(row)
}
