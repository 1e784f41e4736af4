//! Outbound messages: insert, end, and what people do to those that wait for them.
//!
//! A place is handed out once. Only `latest` rows change hands: the newer value takes the place
//! of the queued one it supersedes (within a lane; places mean nothing across lanes), and the
//! superseded row moves to a place behind all others, where it is only history.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::codes::{self, int};
use super::desk::Desk;
use super::ids;
use super::outbox_row::{OutRow, RowId, columns, resealed};
use super::trouble::Trouble;
use super::{Inserted, StoreEvent};
use crate::model::{
    Delivery, ErrorKind, MessageId, MessageState, NewMessage, Place, Refusal, Resend, Timestamp,
};

/// The message with this id: through the index where it is in it, through its place where the id
/// is one of ours.
pub(super) fn find(conn: &Connection, id: &MessageId) -> rusqlite::Result<Option<OutRow>> {
    let named = conn
        .prepare_cached(concat!("SELECT ", columns!(), " FROM outbox WHERE id = ?1 AND typeof(id) = 'text'"))?
        .query_row([id.as_str()], OutRow::read)
        .optional()?;
    if named.is_some() {
        return Ok(named);
    }
    let Some((uuid, place)) = ids::place_in(id) else {
        return Ok(None);
    };
    let row = at(conn, place)?;
    Ok(row.filter(|row| row.id == RowId::Own(uuid)))
}

/// The row at a place.
pub(super) fn at(conn: &Connection, place: i64) -> rusqlite::Result<Option<OutRow>> {
    conn.prepare_cached(concat!("SELECT ", columns!(), " FROM outbox WHERE place = ?1"))?
        .query_row([place], OutRow::read)
        .optional()
}

/// Puts a message into the queue, once per id.
pub(super) fn insert(desk: &mut Desk, new: &NewMessage) -> Result<Inserted, Trouble> {
    if let Some(id) = &new.id
        && let Some(row) = find(&desk.conn, id)?
    {
        return again(&row, new);
    }
    let older = match new.delivery {
        Delivery::Latest => queued_value(desk, &new.kind, new.key.as_deref())?,
        Delivery::Durable | Delivery::Ephemeral => None,
    };
    make_room(desk, int(new.payload.len()), older.as_ref())?;

    let mut takes_place_of = None;
    if let Some(older) = older {
        if older.lane == new.lane {
            step_aside(desk, &older)?;
            takes_place_of = Some(older);
        } else {
            end(desk, &older, MessageState::Superseded, None)?;
        }
    }
    let place = takes_place_of.as_ref().map_or(desk.tally.last_place + 1, |older| older.place);
    let id = match &new.id {
        Some(id) => RowId::Named(id.clone()),
        None => own_id(desk, place, takes_place_of.is_some())?,
    };
    let row = fresh_row(desk, new, place, id);
    write(&desk.conn, &row)?;

    let tally = &mut desk.tally;
    tally.last_place = tally.last_place.max(place);
    tally.message_added(MessageState::Queued, row.size());
    if tally.oldest_queued_at.is_none() && !tally.low_is_stale {
        tally.low_place = place;
        tally.oldest_queued_at = Some(row.queued_at.as_millis());
    }
    let id = row.id.message_id();
    match takes_place_of {
        Some(older) => {
            let row = row.due_as(id.clone());
            desk.told.event(StoreEvent::Superseded { old: older.id.message_id(), row });
        }
        None => {
            desk.fresh.note(&row, &id);
            desk.told.queued(tally.tail, row.due_as(id.clone()));
            tally.tail = place;
        }
    }
    Ok(Inserted { id, state: MessageState::Queued, duplicate: false })
}

/// A fresh id that leads to `place`. Values that followed each other there have ids that do so
/// too, and these must differ even within a millisecond.
fn own_id(desk: &mut Desk, place: i64, stood_here: bool) -> rusqlite::Result<RowId> {
    loop {
        let uuid = ids::own(desk.ids.fresh(desk.now.wall), place);
        if !stood_here || find(&desk.conn, &MessageId::from(uuid))?.is_none() {
            return Ok(RowId::Own(uuid));
        }
    }
}

fn fresh_row(desk: &Desk, new: &NewMessage, place: i64, id: RowId) -> OutRow {
    let now = desk.now;
    OutRow {
        place,
        state: MessageState::Queued,
        attempts: 0,
        strikes: 0,
        queued_at: now.wall,
        changed_at: now.wall,
        expires_at: new.ttl.map(|ttl| now.steady.after(ttl)),
        delivery: new.delivery,
        confirm: new.confirm,
        resend: new.resend,
        was_sent: false,
        maybe_delivered: false,
        lane: new.lane.clone(),
        kind: new.kind.clone(),
        key: new.key.clone(),
        id,
        reason: None,
        payload: new.payload.clone(),
        damaged: false,
    }
}

/// Writes a whole row at its place: all columns, in the order of the table and of [`columns`]. A
/// statement is found by its text, which is copied and summed up each time: this one is short.
pub(super) fn write(conn: &Connection, row: &OutRow) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO outbox VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")?.execute(
        params![
            row.place,
            codes::state_code(row.state),
            row.attempts,
            row.strikes,
            row.queued_at.as_millis(),
            row.changed_at.as_millis(),
            row.expires_at.map(Timestamp::as_millis),
            codes::delivery_code(row.delivery),
            codes::confirm_code(row.confirm),
            codes::resend_code(row.resend),
            row.was_sent,
            row.maybe_delivered,
            codes::payload_form(&row.payload),
            row.seal(),
            row.lane,
            row.kind,
            row.key,
            row.id,
            row.reason,
            codes::payload_bytes(&row.payload),
        ],
    )?;
    Ok(())
}

/// The answer to an id that is taken.
fn again(row: &OutRow, new: &NewMessage) -> Result<Inserted, Trouble> {
    let same = !row.damaged
        && row.kind == new.kind
        && row.key == new.key
        && row.lane == new.lane
        && row.delivery == new.delivery
        && row.payload == new.payload;
    let id = row.id.message_id();
    if same {
        return Ok(Inserted { id, state: row.state, duplicate: true });
    }
    Err(Refusal::new(ErrorKind::Conflict, format!("the id {id} belongs to another message"))
        .hint("use a new id for a new message; a repeated one must have the same type, key, lane, class and body")
        .with("id", id.as_str())
        .with("state", row.state.as_str())
        .into())
}

/// The queued row with the present value of a `latest` key, unless it is on the wire.
fn queued_value(desk: &Desk, kind: &str, key: Option<&str>) -> rusqlite::Result<Option<OutRow>> {
    let mut statement = desk.conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM outbox WHERE kind = ?1 AND key IS ?2 AND delivery = 1 AND state = 10"
    ))?;
    let mut rows = statement.query(params![kind, key])?;
    while let Some(row) = rows.next()? {
        let row = OutRow::read(row)?;
        if !desk.on_wire.contains(&row.place) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Moves a superseded row behind all others, so that its place is free.
fn step_aside(desk: &mut Desk, older: &OutRow) -> rusqlite::Result<()> {
    let place = desk.tally.last_place + 1;
    let mut moved = older.clone();
    // An id of ours led to the place that is now another's: from here on the index has it.
    moved.id = RowId::Named(older.id.message_id());
    moved.place = place;
    moved.state = MessageState::Superseded;
    moved.changed_at = desk.now.wall;
    desk.conn
        .prepare_cached(
            "UPDATE outbox SET place = ?2, id = ?3, checksum = ?4, state = ?5, changed_at = ?6 WHERE place = ?1",
        )?
        .execute(params![
            older.place,
            place,
            moved.id,
            moved.seal(),
            codes::state_code(moved.state),
            moved.changed_at.as_millis(),
        ])?;
    desk.tally.last_place = place;
    desk.tally.low_is_stale |= older.place == desk.tally.low_place;
    desk.tally.message_moved(older.state, MessageState::Superseded, older.size());
    Ok(())
}

/// Sees that one more row of `size` bytes fits, with `leaving` about to end.
fn make_room(desk: &mut Desk, size: i64, leaving: Option<&OutRow>) -> Result<(), Trouble> {
    let max_messages = codes::limit(desk.settings.outbox.max_messages);
    let max_bytes = codes::limit(desk.settings.outbox.max_bytes);
    let (fewer, lighter) = leaving.map_or((0, 0), |row| (1, row.size()));
    loop {
        let messages = desk.tally.unfinished - fewer + 1;
        let bytes = desk.tally.outbox_bytes - lighter + size;
        if messages <= max_messages && bytes <= max_bytes {
            return Ok(());
        }
        let dropped = desk.settings.outbox.drop_oldest
            && size <= max_bytes
            && drop_oldest(desk, leaving.map(|row| row.place))?;
        if !dropped {
            let (limit, full) = if messages > max_messages {
                let held = desk.tally.unfinished;
                ("outbox.max_messages", format!("the outbox holds {held} unfinished messages, its limit"))
            } else {
                let held = desk.tally.outbox_bytes;
                let full = format!("the outbox holds {held} bytes of {max_bytes}: {size} more do not fit");
                ("outbox.max_bytes", full)
            };
            return Err(Refusal::new(ErrorKind::QueueFull, full)
                .hint(
                    "wait until the link is up and the queue drains, cancel what is not needed, or raise \
                     outbox.max_messages or outbox.max_bytes",
                )
                .with("limit", limit)
                .into());
        }
    }
}

/// Drops the oldest queued row that is not on the wire; false where there is none.
fn drop_oldest(desk: &mut Desk, spare: Option<i64>) -> rusqlite::Result<bool> {
    settle_low(desk)?;
    let oldest = {
        let mut statement = desk.conn.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM outbox WHERE place >= ?1 AND +state = 10 ORDER BY place"
        ))?;
        let mut rows = statement.query([desk.tally.low_place])?;
        loop {
            let Some(row) = rows.next()? else {
                return Ok(false);
            };
            let place: i64 = row.get(0)?;
            if Some(place) != spare && !desk.on_wire.contains(&place) {
                break OutRow::read(row)?;
            }
        }
    };
    end(desk, &oldest, MessageState::Dropped, Some("the outbox was full (overflow = \"drop_oldest\")"))?;
    Ok(true)
}

/// Ends a row without the session, which is told.
pub(super) fn end(
    desk: &mut Desk,
    row: &OutRow,
    state: MessageState,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    let maybe_sent = row.was_sent || row.place <= desk.maybe_sent;
    let maybe_delivered = row.maybe_delivered || (state == MessageState::Expired && maybe_sent);
    set_state(desk, row.place, row.state, state, row.size(), row.attempts, reason, maybe_delivered)?;
    desk.told.gone(row.place, row.id.message_id(), state, reason.map(str::to_owned));
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "they are the columns that change when a row moves on")]
pub(super) fn set_state(
    desk: &mut Desk,
    place: i64,
    from: MessageState,
    to: MessageState,
    size: i64,
    attempts: u32,
    reason: Option<&str>,
    maybe_delivered: bool,
) -> rusqlite::Result<()> {
    desk.conn
        .prepare_cached(concat!(
            "UPDATE outbox SET state = ?2, changed_at = ?3, attempts = ?4, reason = ?5, maybe_delivered = ?6, ",
            resealed!("?2", "?4", "strikes", "?3", "was_sent", "?6", "?5"),
            " WHERE place = ?1",
        ))?
        .execute(params![
            place,
            codes::state_code(to),
            desk.now.wall.as_millis(),
            attempts,
            reason,
            maybe_delivered
        ])?;
    moved(desk, place, from, to, size);
    Ok(())
}

/// Notes that a row has gone from one state to another.
pub(super) fn moved(desk: &mut Desk, place: i64, from: MessageState, to: MessageState, size: i64) {
    desk.tally.message_moved(from, to, size);
    desk.fresh.touched(place);
    if !desk.on_wire.is_empty() {
        desk.on_wire.remove(&place);
    }
    // Where it is the only one, pruning need not walk over all that waits before it.
    let alone = codes::unfinished(from) && !codes::unfinished(to) && desk.tally.finished == 1;
    desk.retention.message_finished_at(place, alone);
    if place == desk.tally.low_place {
        desk.tally.low_is_stale = true;
    }
}

/// An attempt failed and counts; the row is queued (again).
pub(super) fn failed(desk: &mut Desk, place: i64, attempts: u32, strikes: u32) -> rusqlite::Result<()> {
    desk.fresh.touched(place);
    desk.conn
        .prepare_cached(concat!(
            "UPDATE outbox SET state = 10, attempts = ?2, strikes = ?3, was_sent = 1, ",
            resealed!("10", "?2", "?3", "changed_at", "1", "maybe_delivered", "reason"),
            " WHERE place = ?1 AND state IN (10, 11)",
        ))?
        .execute(params![place, attempts, strikes])?;
    Ok(())
}

/// The row is about to be written to the socket and must never be written again.
pub(super) fn claimed(desk: &mut Desk, place: i64) -> rusqlite::Result<()> {
    desk.fresh.touched(place);
    desk.conn
        .prepare_cached(concat!(
            "UPDATE outbox SET state = 11, changed_at = ?2, ",
            resealed!("11", "attempts", "strikes", "?2", "was_sent", "maybe_delivered", "reason"),
            " WHERE place = ?1 AND state = 10",
        ))?
        .execute(params![place, desk.now.wall.as_millis()])?;
    Ok(())
}

/// The link died with these on the wire.
pub(super) fn released(
    desk: &mut Desk,
    places: &[Place],
) -> rusqlite::Result<Vec<(Place, MessageId, MessageState)>> {
    let mut gone = Vec::new();
    for place in places {
        desk.on_wire.remove(&place.0);
        desk.fresh.touched(place.0);
        let Some(row) = at(&desk.conn, place.0)? else { continue };
        let to = match row.state {
            MessageState::Sending => MessageState::Uncertain,
            MessageState::Queued if row.resend == Resend::Never => MessageState::Uncertain,
            MessageState::Queued if has_newer(&desk.conn, &row)? => MessageState::Superseded,
            MessageState::Queued => {
                desk.conn
                    .prepare_cached(concat!(
                        "UPDATE outbox SET was_sent = 1, ",
                        resealed!(
                            "state",
                            "attempts",
                            "strikes",
                            "changed_at",
                            "1",
                            "maybe_delivered",
                            "reason"
                        ),
                        " WHERE place = ?1 AND was_sent = 0",
                    ))?
                    .execute([place.0])?;
                continue;
            }
            MessageState::Sent
            | MessageState::Received
            | MessageState::Accepted
            | MessageState::Rejected
            | MessageState::Expired
            | MessageState::Superseded
            | MessageState::Cancelled
            | MessageState::Dropped
            | MessageState::Parked
            | MessageState::Uncertain => continue,
        };
        let reason = (to == MessageState::Uncertain).then_some(LOST_ON_WIRE);
        set_state(desk, row.place, row.state, to, row.size(), row.attempts, reason, row.maybe_delivered)?;
        gone.push((*place, row.id.message_id(), to));
    }
    Ok(gone)
}

pub(super) const LOST_ON_WIRE: &str = "the link ended while it was on the wire, and it must not be repeated";

/// Whether a newer value of a `latest` row's key is queued.
pub(super) fn has_newer(conn: &Connection, row: &OutRow) -> rusqlite::Result<bool> {
    if row.delivery != Delivery::Latest {
        return Ok(false);
    }
    conn.prepare_cached(
        "SELECT 1 FROM outbox WHERE kind = ?1 AND key IS ?2 AND delivery = 1 AND state = 10 AND +place > ?3",
    )?
    .exists(params![row.kind, row.key, row.place])
}

/// Moves the low-water mark over what ended, so that no question walks over it again.
pub(super) fn settle_low(desk: &mut Desk) -> rusqlite::Result<()> {
    if !desk.tally.low_is_stale {
        return Ok(());
    }
    let lowest = desk
        .conn
        .prepare_cached(
            "SELECT place, queued_at FROM outbox WHERE place >= ?1 AND +state IN (10, 11) ORDER BY place LIMIT 1",
        )?
        .query_row([desk.tally.low_place], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    desk.tally.low_is_stale = false;
    (desk.tally.low_place, desk.tally.oldest_queued_at) = match lowest {
        Some((place, queued_at)) => (place, Some(queued_at)),
        None => (desk.tally.last_place + 1, None),
    };
    Ok(())
}
