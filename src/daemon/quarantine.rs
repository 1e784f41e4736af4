//! A second look at the quarantine: what fits by now becomes events.

use std::sync::Arc;

use super::backend::Daemon;
use crate::model::{ErrorKind, Held, Refusal, Retried, Seq};
use crate::rpc::api::QuarantineRetryResult;
use crate::session::look_again;

/// Looks at the entry `id`.
///
/// # Errors
/// `not_found`, or whatever the store says.
pub(super) async fn retry_one(daemon: &Arc<Daemon>, id: Seq) -> Result<QuarantineRetryResult, Refusal> {
    let _turn = daemon.retrying.lock().await;
    let (held, _) = daemon.store.quarantine_held(1, Seq(id.0.saturating_sub(1))).await?;
    let mut result = QuarantineRetryResult::default();
    for held in held.into_iter().filter(|held| held.id == id) {
        if look(daemon, held, &mut result).await? {
            return Ok(result);
        }
    }
    Err(Refusal::new(ErrorKind::NotFound, format!("there is no quarantine entry {id}"))
        .hint("`holdline ctl quarantine` lists them"))
}

/// Looks at entries behind `after`, at most `limit` and as many as fit into memory; the result
/// says where to go on.
///
/// # Errors
/// Whatever the store says.
pub(super) async fn retry_all(
    daemon: &Arc<Daemon>,
    after: Option<Seq>,
    limit: usize,
) -> Result<QuarantineRetryResult, Refusal> {
    let _turn = daemon.retrying.lock().await;
    let (held, more) = daemon.store.quarantine_held(limit, after.unwrap_or_default()).await?;
    let mut result = QuarantineRetryResult { more, ..QuarantineRetryResult::default() };
    for held in held {
        result.next = Some(held.id);
        look(daemon, held, &mut result).await?;
    }
    Ok(result)
}

/// Looks at one entry and counts what became of it; false where it is gone.
async fn look(
    daemon: &Arc<Daemon>,
    Held { id, body }: Held,
    result: &mut QuarantineRetryResult,
) -> Result<bool, Refusal> {
    let policy = daemon.policy();
    let judged = look_again(policy.dialect.as_ref(), &policy.types, body, daemon.clock.now());
    match daemon.engine.retried(id, judged).await? {
        Retried::Out { events, duplicates } => {
            result.released += 1;
            result.events += events;
            result.duplicates += duplicates;
        }
        Retried::Stays => result.kept += 1,
        Retried::Gone => return Ok(false),
    }
    Ok(true)
}
