//! What earlier runs left for the session: values by name, what is known of a server, and the
//! link's history, a ring.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Store;
use super::codes::int;
use super::desk::Desk;
use super::request::ClientAsk;
use crate::model::{LinkState, Refusal, Remembered, STOPPED_LANE, Transition};

/// Changes of the link's state that are kept.
const HISTORY: i64 = 1000;

impl Store {
    /// Cursors and kept names are those of this server from here on. Gives what is known of it.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn use_server(&self, server_key: String) -> Result<Remembered, Refusal> {
        self.ask(|reply| ClientAsk::UseServer(server_key, reply)).await
    }
}

pub(super) fn set_value(conn: &Connection, name: &str, value: Option<&str>) -> rusqlite::Result<()> {
    match value {
        Some(value) => conn
            .prepare_cached(
                "INSERT OR REPLACE INTO remembered (name, value, seal) VALUES (?1, ?2, seal(?1, ?2))",
            )?
            .execute(params![name, value])?,
        None => conn.prepare_cached("DELETE FROM remembered WHERE name = ?1")?.execute([name])?,
    };
    Ok(())
}

pub(super) fn value(conn: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM remembered WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// The places of messages that stop their lanes until a person has dealt with them, by the names
/// under which that is remembered.
pub(super) fn stopping(conn: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    let values: Vec<(String, String)> = conn
        .prepare_cached("SELECT name, value FROM remembered WHERE substr(name, 1, length(?1)) = ?1")?
        .query_map([STOPPED_LANE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(values.into_iter().filter_map(|(name, place)| Some((name, place.parse().ok()?))).collect())
}

/// Whether the link was up when the last change of its state was put down.
pub(super) fn was_connected(conn: &Connection) -> rusqlite::Result<bool> {
    let body: Option<String> = conn
        .prepare("SELECT body FROM transitions ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let last = body.and_then(|body| serde_json::from_str::<Transition>(&body).ok());
    Ok(last.is_some_and(|last| last.to == LinkState::Connected))
}

/// All that is known for a session with `server`.
pub(super) fn remembered(conn: &Connection, server: &str) -> rusqlite::Result<Remembered> {
    let mut found = Remembered::default();
    let mut statement = conn.prepare("SELECT name, value FROM remembered")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.values.insert(row.get(0)?, row.get(1)?);
    }
    let pairs = |sql: &str| -> rusqlite::Result<Vec<(Arc<str>, Arc<str>)>> {
        conn.prepare(sql)?.query_map([server], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    found.cursors = pairs("SELECT stream, cursor FROM resume WHERE server = ?1")?.into_iter().collect();
    found.kept = pairs("SELECT name, value FROM kept WHERE server = ?1")?.into_iter().collect();
    found.seen_before = conn.prepare("SELECT 1 FROM servers WHERE server = ?1")?.exists([server])?;
    found.others_before = conn.prepare("SELECT 1 FROM servers WHERE server <> ?1")?.exists([server])?;
    Ok(found)
}

/// Puts down a change of the link's state. The first `connected` of a server is remembered for
/// good: from then on it is known that something can have been missed.
pub(super) fn transition(desk: &mut Desk, transition: &Transition) -> rusqlite::Result<()> {
    let body = serde_json::to_string(transition)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let number = desk.tally.last_transition + 1;
    desk.conn
        .prepare_cached("INSERT INTO transitions (number, body) VALUES (?1, ?2)")?
        .execute(params![number, body])?;
    desk.conn.prepare_cached("DELETE FROM transitions WHERE number <= ?1")?.execute([number - HISTORY])?;
    desk.tally.last_transition = number;
    if transition.to == LinkState::Connected {
        desk.conn
            .prepare_cached("INSERT OR IGNORE INTO servers (server, connected_at) VALUES (?1, ?2)")?
            .execute(params![desk.settings.server_key, transition.at.as_millis()])?;
    }
    Ok(())
}

/// The newest `limit` changes, oldest first. One that cannot be read any more is left out.
pub(super) fn history(conn: &Connection, limit: usize) -> rusqlite::Result<Vec<Transition>> {
    let mut statement = conn.prepare_cached("SELECT body FROM transitions ORDER BY number DESC LIMIT ?1")?;
    let mut found = Vec::new();
    let mut rows = statement.query([int(limit)])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(0)?.as_str().unwrap_or_default();
        found.extend(serde_json::from_str::<Transition>(body));
    }
    found.reverse();
    Ok(found)
}
