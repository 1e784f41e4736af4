//! Carrying requests out within the open transaction.

use std::collections::HashSet;

use super::dedupe::Windows;
use super::desk::Desk;
use super::ends::{Ended, ended};
use super::outbox;
use super::request::{Answers, ClientAsk};
use super::trouble::Trouble;
use super::{cursors, deeds, fresh, inbox, memory, quarantine, retention};
use crate::model::{Appended, Judged, NewRow, Record, Recorded};

/// How soon a record must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// With the next commit, or soon.
    Rides,
    /// Now: somebody waits for it before going on.
    Now,
}

pub(super) const fn urgency(record: &Record) -> Urgency {
    match record {
        Record::Ended { .. }
        | Record::EndedTogether { .. }
        | Record::Failed { .. }
        | Record::OnWire { .. }
        | Record::Transition(_) => Urgency::Rides,
        Record::Claimed { .. }
        | Record::Released { .. }
        | Record::Inbound { .. }
        | Record::Retried { .. }
        | Record::Remember { .. } => Urgency::Now,
    }
}

/// Bytes a record brings into a batch.
pub(super) fn weight(record: &Record) -> usize {
    let rows = match record {
        Record::Inbound { unit, .. } => &unit.rows,
        Record::Retried { judged: Judged::Fits(rows), .. } => rows,
        Record::Retried { .. }
        | Record::Ended { .. }
        | Record::EndedTogether { .. }
        | Record::Failed { .. }
        | Record::Claimed { .. }
        | Record::OnWire { .. }
        | Record::Released { .. }
        | Record::Transition(_)
        | Record::Remember { .. } => return 0,
    };
    rows.iter()
        .map(|row| match row {
            NewRow::Event { payload, .. } | NewRow::Misfit { payload, .. } => payload.len(),
            NewRow::Bad { frame, .. } => frame.len(),
            NewRow::Gap { detail, .. } => detail.len(),
        })
        .sum()
}

/// Messages that end by it.
pub(super) const fn ends(record: &Record) -> usize {
    match record {
        Record::EndedTogether { rows, .. } => rows.len(),
        Record::Ended { .. } => 1,
        Record::Failed { .. }
        | Record::Claimed { .. }
        | Record::OnWire { .. }
        | Record::Released { .. }
        | Record::Inbound { .. }
        | Record::Retried { .. }
        | Record::Transition(_)
        | Record::Remember { .. } => 0,
    }
}

/// Puts one record of the session down. `replaced` collects numbers of rows that were replaced by
/// newer values.
pub(super) fn record(
    desk: &mut Desk,
    record: &Record,
    replaced: &mut Vec<i64>,
) -> rusqlite::Result<Recorded> {
    if !matches!(record, Record::Ended { .. }) {
        fresh::settle(desk)?;
    }
    match record {
        Record::Ended { place, id, state, reason, attempts, maybe_delivered } => ended(
            desk,
            Ended {
                place: place.0,
                id,
                state: *state,
                reason: reason.as_deref(),
                attempts: *attempts,
                maybe_delivered: *maybe_delivered,
            },
        )?,
        Record::EndedTogether { rows, state, attempts } => {
            for (place, id) in rows {
                let (state, attempts) = (*state, *attempts);
                let one = Ended { place: place.0, id, state, reason: None, attempts, maybe_delivered: false };
                ended(desk, one)?;
            }
        }
        Record::Failed { place, attempts, strikes } => outbox::failed(desk, place.0, *attempts, *strikes)?,
        Record::Claimed { place } => outbox::claimed(desk, place.0)?,
        Record::OnWire { place } => {
            desk.on_wire.insert(place.0);
        }
        Record::Released { places } => {
            return Ok(Recorded::Released { gone: outbox::released(desk, places)? });
        }
        Record::Inbound { received_at, unit } => {
            return Ok(Recorded::Inbound(inbox::append(desk, *received_at, unit, replaced)?));
        }
        Record::Retried { id, judged } => return quarantine::retried(desk, *id, judged, replaced),
        Record::Transition(transition) => memory::transition(desk, transition)?,
        Record::Remember { name, value } => memory::set_value(&desk.conn, name, value.as_deref())?,
    }
    Ok(Recorded::Done)
}

/// Rows that were replaced before their commit were never on disk: they are told as conflated.
pub(super) fn conflate(recorded: &mut [(u64, Recorded)], replaced: &[i64]) {
    if replaced.is_empty() {
        return;
    }
    let replaced: HashSet<i64> = replaced.iter().copied().collect();
    for (_, recorded) in recorded {
        if let Recorded::Inbound(rows) | Recorded::Retried { appended: rows, .. } = recorded {
            for row in rows {
                if let Appended::Stored(event) = row
                    && event.seq.is_some_and(|seq| replaced.contains(&seq.0))
                {
                    *row = Appended::Conflated;
                }
            }
        }
    }
}

/// Carries one request of an app out.
///
/// # Errors
/// One that concerns the whole batch; what concerns the caller alone is in its answer.
pub(super) fn client(desk: &mut Desk, ask: ClientAsk, answers: &mut Answers) -> Result<(), rusqlite::Error> {
    match ask {
        ClientAsk::Send(new, reply) => {
            let outcome = outbox::insert(desk, &new);
            answers.hold(reply, outcome)
        }
        ClientAsk::Post(posted) => {
            let outcome = outbox::insert(desk, posted.message());
            answers.hold_posted(posted, outcome)
        }
        ClientAsk::Act(id, deed, reply) => {
            let outcome = deeds::act(desk, &id, deed);
            answers.hold(reply, outcome)
        }
        ClientAsk::Expire { now, skip, reply } => {
            let outcome = deeds::expire(desk, now, &skip).map_err(Trouble::from);
            answers.hold(reply, outcome)
        }
        ClientAsk::NextExpiry(reply) => {
            let outcome = deeds::next_expiry(&desk.conn, crate::model::Timestamp::from_millis(i64::MIN));
            answers.hold(reply, outcome.map_err(Trouble::from))
        }
        ClientAsk::CursorOpen(name, reply) => {
            let outcome = cursors::create_or_get(desk, &name);
            answers.hold(reply, outcome)
        }
        ClientAsk::CursorAck(name, seq, reply) => match (reply, cursors::ack(desk, &name, seq)) {
            (Some(reply), outcome) => answers.hold(reply, outcome),
            (None, Err(Trouble::Batch(error))) => Err(error),
            (None, Ok(_) | Err(Trouble::Refused(_))) => Ok(()),
        },
        ClientAsk::Alive(reply) => answers.hold(reply, Ok(())),
        ClientAsk::CursorTouch(name, at) => cursors::touch(&desk.conn, &name, at),
        ClientAsk::CursorList(reply) => answers.hold(reply, cursors::list(&desk.conn).map_err(Trouble::from)),
        ClientAsk::CursorDelete(name, reply) => {
            let outcome = cursors::delete(&desk.conn, &name);
            answers.hold(reply, outcome)
        }
        ClientAsk::QuarantineDrop(id, reply) => {
            let outcome = quarantine::drop_entry(desk, id);
            answers.hold(reply, outcome)
        }
        ClientAsk::ValueSet(name, value, reply) => {
            let outcome = memory::set_value(&desk.conn, &name, value.as_deref());
            answers.hold(reply, outcome.map_err(Trouble::from))
        }
        ClientAsk::ValueGet(name, reply) => {
            answers.hold(reply, memory::value(&desk.conn, &name).map_err(Trouble::from))
        }
        ClientAsk::Reconfigure(settings, reply) => {
            let now = &mut desk.settings;
            now.outbox = settings.outbox;
            now.inbox = settings.inbox;
            desk.retention.restart();
            answers.hold(reply, Ok(()))
        }
        ClientAsk::UseServer(server_key, reply) => {
            let remembered =
                inbox::put_down_resume(desk).and_then(|()| memory::remembered(&desk.conn, &server_key));
            if remembered.is_ok() {
                if desk.settings.server_key != server_key {
                    desk.windows = Windows::of(&server_key);
                }
                desk.settings.server_key = server_key;
            }
            answers.hold(reply, remembered.map_err(Trouble::from))
        }
        ClientAsk::Maintain(reply) => {
            desk.retention.restart();
            let outcome = retention::give_back_space(desk);
            answers.hold(reply, outcome.map_err(Trouble::from))
        }
        ClientAsk::Mend(places, reply) => {
            let outcome = deeds::mend(desk, &places);
            answers.hold(reply, outcome.map_err(Trouble::from))
        }
        // These are the writer's own business and never get here.
        ClientAsk::Close(reply) => answers.hold(reply, Ok(())),
        ClientAsk::Look | ClientAsk::Condemn(_) => Ok(()),
    }
}
