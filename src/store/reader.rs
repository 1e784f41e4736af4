//! The reader thread: questions, each in a short read transaction of its own, on a connection
//! that cannot write.

use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot};

use super::codes::int;
use super::handle::lock;
use super::hop::next_readable;
use super::inbox::event_columns;
use super::outbox_row::{OutRow, columns};
use super::trouble::{is_damage, is_unreadable, refusal_for};
use super::{EventPage, EventQuery, MessagePage, MessageQuery, QuarantinePage, StatePage, Stored, suspicion};
use super::{inbox, memory, outbox, quarantine};
use crate::model::{
    EventRow, GapReason, Held, MessageId, Place, Refusal, RowKind, Seq, Timestamp, Transition, TypeGlob,
};

/// Questions that may wait.
pub(super) const INBOX: usize = 256;

/// Rows looked at for one page of events or messages at most: a filter that fits nothing must
/// not hold a read transaction open over the whole table.
const SCAN: usize = 10_000;

/// Bytes of bodies in one page of messages, states or quarantined frames at most.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// A question.
#[derive(Debug)]
pub(super) enum Question {
    Message(MessageId, Reply<Option<Stored>>),
    Messages(MessageQuery, Reply<MessagePage>),
    Events(EventQuery, Reply<EventPage>),
    StateOf(String, String, Reply<Option<Arc<EventRow>>>),
    States { kind: String, limit: usize, after: Option<String>, reply: Reply<StatePage> },
    Quarantine { limit: usize, after: Seq, reply: Reply<QuarantinePage> },
    Held { limit: usize, after: Seq, reply: Reply<(Vec<Held>, bool)> },
    History(usize, Reply<Vec<Transition>>),
}

/// Answers until nobody can ask any more.
pub(super) fn run(
    conn: Connection,
    path: &std::path::Path,
    concern: &Mutex<Option<String>>,
    mut questions: mpsc::Receiver<Question>,
) {
    let answer = Answerer { conn, path, concern };
    while let Some(question) = questions.blocking_recv() {
        match question {
            Question::Message(id, reply) => answer.give(reply, |conn| message(conn, &id)),
            Question::Messages(query, reply) => answer.give(reply, |conn| messages(conn, &query)),
            Question::Events(query, reply) => {
                let page = events(&answer.conn, &query).or_else(|error| {
                    answer.note(&error);
                    around_damage(&answer.conn, &query, error)
                });
                answer.give(reply, |_| page);
            }
            Question::StateOf(kind, key, reply) => {
                answer.give(reply, |conn| inbox::state_of(conn, &kind, &key));
            }
            Question::States { kind, limit, after, reply } => {
                answer.give(reply, |conn| states(conn, &kind, limit, after));
            }
            Question::Quarantine { limit, after, reply } => answer.give(reply, |conn| {
                let (entries, more) = quarantine::list(conn, limit, after)?;
                Ok(QuarantinePage { entries, more })
            }),
            Question::Held { limit, after, reply } => {
                answer.give(reply, |conn| quarantine::held(conn, limit, after));
            }
            Question::History(limit, reply) => answer.give(reply, |conn| memory::history(conn, limit)),
        }
    }
}

struct Answerer<'a> {
    conn: Connection,
    path: &'a std::path::Path,
    /// What reading ran into, for people.
    concern: &'a Mutex<Option<String>>,
}

impl Answerer<'_> {
    fn note(&self, error: &rusqlite::Error) {
        if is_damage(error) {
            suspicion::raise(self.path);
        }
        if is_damage(error) || is_unreadable(error) {
            *lock(self.concern) = Some(format!("reading the database failed: {error}"));
        }
    }

    fn give<T>(&self, reply: Reply<T>, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) {
        let answer = ask(&self.conn).map_err(|error| {
            self.note(&error);
            refusal_for(&error)
        });
        // Whoever asked may have gone; then nobody wants the answer.
        let _ = reply.send(answer);
    }
}

fn message(conn: &Connection, id: &MessageId) -> rusqlite::Result<Option<Stored>> {
    let row = outbox::find(conn, id)?;
    Ok(row.map(|row| Stored { place: Place(row.place), message: row.message() }))
}

fn fits(types: &[TypeGlob], kind: &str) -> bool {
    types.is_empty() || types.iter().any(|glob| glob.matches(kind))
}

fn messages(conn: &Connection, query: &MessageQuery) -> rusqlite::Result<MessagePage> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM outbox WHERE place > ?1 ORDER BY place LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![query.after.0, int(SCAN) + 1])?;
    let (mut page, mut bytes) = (MessagePage { next: query.after, ..MessagePage::default() }, 0);
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        let place = Place(row.get(0)?);
        let state = super::codes::state(row.get(1)?);
        let kind = row.get_ref(15)?.as_str().unwrap_or_default();
        let wanted = (query.states.is_empty() || state.is_some_and(|state| query.states.contains(&state)))
            && fits(&query.types, kind);
        looked_at += 1;
        if looked_at > SCAN || (wanted && page.rows.len() >= query.limit) {
            page.more = true;
            break;
        }
        if wanted {
            let row = OutRow::read(row)?;
            bytes += row.payload.len();
            if bytes > PAGE_BYTES && !page.rows.is_empty() {
                page.more = true;
                break;
            }
            page.rows.push(Stored { place, message: row.message() });
        }
        page.next = place;
    }
    Ok(page)
}

/// A page with the marks as they stand, from this number on; the last number and the pruned one.
fn empty_page(conn: &Connection, from: i64) -> rusqlite::Result<(EventPage, i64, i64)> {
    let (first, last, pruned): (i64, i64, i64) = conn
        .prepare_cached("SELECT first_seq, last_seq, pruned_through FROM tally WHERE one = 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let page = EventPage {
        next: Seq(from),
        first_seq: (first > 0).then_some(Seq(first)),
        last_seq: (last > 0).then_some(Seq(last)),
        pruned: (from <= pruned).then_some((Seq(from), Seq(pruned))),
        ..EventPage::default()
    };
    Ok((page, last, pruned))
}

fn events(conn: &Connection, query: &EventQuery) -> rusqlite::Result<EventPage> {
    // One transaction, so that the marks fit the rows.
    let transaction = conn.unchecked_transaction()?;
    let from = query.from.0.max(1);
    let (mut page, ..) = empty_page(&transaction, from)?;
    let mut bytes = 0_usize;
    {
        let mut statement = transaction.prepare_cached(concat!(
            "SELECT ",
            event_columns!(),
            " FROM inbox WHERE seq >= ?1 ORDER BY seq LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![from, int(SCAN) + 1])?;
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            let kind = row.get_ref(4)?.as_str_or_null().ok().flatten();
            // Rows without a type stand for what is missing, and so do those that are not what was
            // written, whatever type they show: they always come.
            let wanted = match kind {
                Some(kind) => fits(&query.types, kind) || !inbox::is_sound(row)?,
                None => true,
            };
            looked_at += 1;
            if looked_at > SCAN || (wanted && page.rows.len() >= query.limit) {
                page.more = true;
                break;
            }
            if wanted {
                let row = inbox::read(row)?;
                bytes = bytes.saturating_add(body_length(&row));
                if bytes > query.bytes && !page.rows.is_empty() {
                    page.more = true;
                    break;
                }
                page.rows.push(Arc::new(row));
            }
            page.next = Seq(seq + 1);
        }
    }
    transaction.finish()?;
    Ok(page)
}

/// A page of events where some cannot be read: each number that cannot is told as a gap.
fn around_damage(
    conn: &Connection,
    query: &EventQuery,
    error: rusqlite::Error,
) -> rusqlite::Result<EventPage> {
    if !is_damage(&error) && !is_unreadable(&error) {
        return Err(error);
    }
    // Where not even this can be read there is nothing to go around.
    let from = query.from.0.max(1);
    let (mut page, last, pruned) = empty_page(conn, from)?;
    let limit = query.limit.min(SCAN);
    let (mut at, mut bytes) = (from.max(pruned + 1), 0);
    while at <= last && page.rows.len() < limit && bytes <= query.bytes {
        let found = conn
            .prepare_cached(concat!(
                "SELECT ",
                event_columns!(),
                " FROM inbox WHERE seq >= ?1 ORDER BY seq LIMIT 1"
            ))?
            .query_row([at], inbox::read)
            .optional();
        let next = match found {
            Ok(Some(row)) => {
                let seq = row.seq.map_or(at, |seq| seq.0);
                let wanted = match &row.kind {
                    RowKind::Event { kind, .. } => fits(&query.types, kind),
                    RowKind::Gap(_) | RowKind::Bad => true,
                };
                if wanted {
                    bytes += body_length(&row);
                    page.rows.push(Arc::new(row));
                }
                seq + 1
            }
            Ok(None) => last + 1,
            Err(_) => {
                let readable = |at: i64| {
                    conn.prepare_cached("SELECT seq, body FROM inbox WHERE seq >= ?1 ORDER BY seq LIMIT 1")
                        .and_then(|mut statement| statement.query_row([at], |_| Ok(())).optional())
                        .is_ok()
                };
                let next = next_readable(at, last, readable).map_or(last + 1, |next| next.max(at + 1));
                let room = limit - page.rows.len();
                let next = next.min(at.saturating_add(int(room)));
                page.rows.extend((at..next).map(|seq| {
                    let kind = RowKind::Gap(GapReason::Corruption);
                    Arc::new(EventRow { seq: Some(Seq(seq)), received_at: Timestamp::default(), kind })
                }));
                next
            }
        };
        at = next;
    }
    page.more = at <= last;
    page.next = Seq(at.max(from));
    Ok(page)
}

fn body_length(row: &EventRow) -> usize {
    match &row.kind {
        RowKind::Event { payload, .. } => payload.len(),
        RowKind::Gap(_) | RowKind::Bad => 0,
    }
}

fn states(conn: &Connection, kind: &str, limit: usize, after: Option<String>) -> rusqlite::Result<StatePage> {
    let transaction = conn.unchecked_transaction()?;
    let (mut page, mut bytes, mut at) = (StatePage::default(), 0, after);
    while let Some(key) = inbox::next_key(&transaction, kind, at.as_deref())? {
        if page.rows.len() >= limit || bytes > PAGE_BYTES {
            page.more = true;
            break;
        }
        if let Some(row) = inbox::state_of(&transaction, kind, &key)? {
            bytes += body_length(&row);
            page.rows.push((key.clone(), row));
        }
        at = Some(key);
    }
    transaction.finish()?;
    Ok(page)
}
