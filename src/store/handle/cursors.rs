//! The cursors of apps.

use super::super::request::ClientAsk;
use super::super::{Cursor, Store};
use crate::model::{Refusal, Seq, Timestamp};

impl Store {
    /// The cursor of this name, created durably before the first kept row where there is none
    /// (then the second value is true).
    ///
    /// # Errors
    /// `invalid_params` for an unusable name, `queue_full` when there are too many.
    pub async fn cursor_create_or_get(&self, name: &str) -> Result<(Cursor, bool), Refusal> {
        self.ask(|reply| ClientAsk::CursorOpen(name.to_owned(), reply)).await
    }

    /// Moves a cursor forward (a lower number changes nothing); answered after the commit.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a number never handed out.
    pub async fn cursor_ack(&self, name: &str, seq: Seq) -> Result<Cursor, Refusal> {
        self.ask(|reply| ClientAsk::CursorAck(name.to_owned(), seq, Some(reply))).await
    }

    /// Moves a cursor forward with the next commit, without an answer. Waits only for room.
    ///
    /// # Errors
    /// Only when the store is closed.
    pub async fn cursor_ack_later(&self, name: &str, seq: Seq) -> Result<(), Refusal> {
        self.hand_in(ClientAsk::CursorAck(name.to_owned(), seq, None)).await
    }

    /// Notes when an app last read with a cursor, with the next commit. Waits only for room.
    ///
    /// # Errors
    /// Only when the store is closed.
    pub async fn cursor_touch(&self, name: &str, at: Timestamp) -> Result<(), Refusal> {
        self.hand_in(ClientAsk::CursorTouch(name.to_owned(), at)).await
    }

    /// All cursors, by name, with what was acknowledged before this call.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn cursor_list(&self) -> Result<Vec<Cursor>, Refusal> {
        self.ask(ClientAsk::CursorList).await
    }

    /// Deletes a cursor.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn cursor_delete(&self, name: &str) -> Result<(), Refusal> {
        self.ask(|reply| ClientAsk::CursorDelete(name.to_owned(), reply)).await
    }
}
