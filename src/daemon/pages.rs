//! Pages: cut to their bytes, and a page of events out of the tail in memory, told as the store
//! would tell it.

use std::sync::Arc;

use crate::model::{EventRow, Payload, RowKind, Seq};
use crate::rpc::backend::{EventsPage, EventsQuery};

/// As many of `rows` as fit into `bytes` (one always does), and whether some did not.
pub(super) fn within<T>(mut rows: Vec<T>, bytes: usize, weight: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let mut total = 0;
    let fit = rows
        .iter()
        .take_while(|row| {
            total += weight(row);
            total <= bytes
        })
        .count()
        .max(1);
    let cut = fit < rows.len();
    rows.truncate(fit);
    (rows, cut)
}

/// Cuts `rows` (all that follow `query.from`, up to its limit) to what was asked for.
pub(super) fn from_tail(
    rows: Vec<Arc<EventRow>>,
    query: &EventsQuery,
    first_seq: Option<Seq>,
    last: Seq,
) -> EventsPage {
    let full = rows.len() >= query.limit;
    let mut page = EventsPage {
        next: query.from.max(Seq(last.0 + 1)),
        first_seq,
        last_seq: (last.0 > 0).then_some(last),
        ..EventsPage::default()
    };
    let mut bytes = 0;
    let mut looked_at = None;
    let mut cut = false;
    for row in rows {
        let wanted = match &row.kind {
            RowKind::Event { kind, .. } => {
                query.types.is_empty() || query.types.iter().any(|glob| glob.matches(kind))
            }
            RowKind::Gap(_) | RowKind::Bad => true,
        };
        if wanted {
            bytes += body(&row);
            if bytes > query.bytes && !page.rows.is_empty() {
                cut = true;
                break;
            }
        }
        looked_at = row.seq;
        if wanted {
            page.rows.push(row);
        }
    }
    page.more = full || cut;
    if page.more
        && let Some(seq) = looked_at
    {
        page.next = Seq(seq.0 + 1);
    }
    page
}

/// Bytes of a row's body.
pub(super) fn body(row: &EventRow) -> usize {
    match &row.kind {
        RowKind::Event { payload: Payload::Json(text) | Payload::Text(text), .. } => text.len(),
        RowKind::Event { payload: Payload::Binary(bytes), .. } => bytes.len(),
        RowKind::Gap(_) | RowKind::Bad => 0,
    }
}
