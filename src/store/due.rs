//! Which queued rows are next, for the session.
//!
//! Read on the writer's own connection, so that an answer knows everything recorded before it.

use rusqlite::params;

use super::desk::Desk;
use super::outbox;
use super::outbox_row::{DAMAGED, OutRow, columns};
use crate::model::{Due, DueQuery, MessageState};

/// Answers `query`. Rows that are not what was written are set aside as parked, and told.
pub(super) fn load(desk: &mut Desk, query: DueQuery) -> rusqlite::Result<Due> {
    let (rows, end, damaged) = read(desk, &query)?;
    for row in damaged {
        outbox::end(desk, &row, MessageState::Parked, Some(DAMAGED))?;
    }
    Ok(Due { query, rows, end })
}

fn read(
    desk: &mut Desk,
    query: &DueQuery,
) -> rusqlite::Result<(Vec<crate::model::DueRow>, bool, Vec<OutRow>)> {
    // Finished rows before the low-water mark are never walked over.
    let after = query.after.0.max(desk.tally.low_place - 1);
    let (conn, fresh) = (&desk.conn, &mut desk.fresh);
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM outbox WHERE place > ?1 AND +state = 10 ORDER BY place"
    ))?;
    let mut found = statement.query(params![after])?;
    let (mut rows, mut damaged, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    while let Some(row) = found.next()? {
        let lane = row.get_ref(14)?.as_str().unwrap_or_default();
        let wanted = match &query.lane {
            Some(only) => lane == &**only,
            None => query.skip.iter().all(|skipped| lane != &**skipped),
        };
        if !wanted {
            continue;
        }
        if rows.len() >= query.limit {
            return Ok((rows, false, damaged));
        }
        let row = OutRow::read(row)?;
        if row.damaged {
            damaged.push(row);
            continue;
        }
        bytes = bytes.saturating_add(row.payload.len());
        if bytes > query.bytes && !rows.is_empty() {
            return Ok((rows, false, damaged));
        }
        let due = row.due();
        fresh.note(&row, &due.id);
        rows.push(due);
    }
    Ok((rows, true, damaged))
}
