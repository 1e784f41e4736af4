//! What can be asked of the quarantine.

use super::{ClientAsk, Held, QuarantinePage, Question, Refusal, Seq, Store};

impl Store {
    /// Takes a frame out of quarantine for good; its row stays in the event sequence.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn quarantine_drop(&self, id: Seq) -> Result<(), Refusal> {
        self.ask(|reply| ClientAsk::QuarantineDrop(id, reply)).await
    }

    /// Quarantined frames behind number `after`, oldest first.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn quarantine_list(&self, limit: usize, after: Option<Seq>) -> Result<QuarantinePage, Refusal> {
        let after = after.unwrap_or_default();
        self.question(|reply| Question::Quarantine { limit, after, reply }).await
    }

    /// As [`Store::quarantine_list`], whole, and whether there are more behind the last one.
    ///
    /// # Errors
    /// `store_failed`.
    pub async fn quarantine_held(&self, limit: usize, after: Seq) -> Result<(Vec<Held>, bool), Refusal> {
        self.question(|reply| Question::Held { limit, after, reply }).await
    }
}
