//! What a killed process left behind, settled before anybody asks.

use rusqlite::Connection;

use super::desk::Desk;
use super::memory;
use super::outbox::{LOST_ON_WIRE, at, end};
use super::outbox_row::{OutRow, columns};
use crate::model::MessageState;

/// Where the mark is kept up to which messages may have been sent by a process that was killed.
const MAYBE_SENT: &str = "maybe_sent";

/// What a killed process left behind: claimed rows nobody knows the fate of, values on the wire
/// that have a newer one by now, and messages of which nobody knows whether they were sent.
pub(super) fn recover(desk: &mut Desk) -> rusqlite::Result<()> {
    let marked = memory::value(&desk.conn, MAYBE_SENT)?;
    desk.maybe_sent = marked.and_then(|place| place.parse().ok()).unwrap_or(0);
    // The end of a link is put down, and with it what was on the wire. Where it was not, all that
    // waits may have been.
    if desk.maybe_sent < desk.tally.last_place && memory::was_connected(&desk.conn)? {
        desk.maybe_sent = desk.tally.last_place;
        memory::set_value(&desk.conn, MAYBE_SENT, Some(&desk.maybe_sent.to_string()))?;
    }
    // A lane that waits for a person to deal with a message that is not there would wait for ever.
    for (name, place) in memory::stopping(&desk.conn)? {
        if at(&desk.conn, place)?.is_none() {
            memory::set_value(&desk.conn, &name, None)?;
        }
    }
    let claimed = rows_of(&desk.conn, "state = 11")?;
    for row in claimed {
        end(desk, &row, MessageState::Uncertain, Some(LOST_ON_WIRE))?;
    }
    let outdated = rows_of(
        &desk.conn,
        "delivery = 1 AND state = 10 AND EXISTS (SELECT 1 FROM outbox AS newer
             WHERE newer.kind = outbox.kind AND newer.key IS outbox.key AND newer.delivery = 1
               AND newer.state = 10 AND +newer.place > outbox.place)",
    )?;
    for row in outdated {
        end(desk, &row, MessageState::Superseded, None)?;
    }
    Ok(())
}

fn rows_of(conn: &Connection, condition: &str) -> rusqlite::Result<Vec<OutRow>> {
    conn.prepare(&format!(concat!("SELECT ", columns!(), " FROM outbox WHERE {}"), condition))?
        .query_map([], OutRow::read)?
        .collect()
}
