//! Requests: sent once, never stored, answered by the server's own reply.

use serde_json::value::RawValue;

use super::backend::Daemon;
use crate::model::{ErrorKind, Refusal};
use crate::rpc::api::RequestResult;
use crate::rpc::backend::{Asked, Pending};

/// Hands a request to the loop; what comes back waits for the reply, as long as was asked for.
///
/// # Errors
/// Whatever keeps it from going out.
pub(super) async fn request(daemon: &Daemon, request: Asked) -> Result<Pending<RequestResult>, Refusal> {
    let Asked { kind, payload, id, timeout } = request;
    daemon.policy().check_request(&kind, &payload)?;
    let id = id.unwrap_or_else(|| daemon.clock.uuid().into());
    let reply = daemon.engine.request(id.clone(), kind, payload).await?;
    Ok(Box::pin(async move {
        let outcome = match tokio::time::timeout(timeout, reply).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refusal::new(
                ErrorKind::Timeout,
                format!("the server did not reply within {} ms", timeout.as_millis()),
            )
            .hint("it may have carried the request out all the same; a longer timeout waits longer")),
        };
        let reply = outcome.map_err(|refusal| refusal.with("id", id.as_str()))?;
        let reply = reply.map(|text| RawValue::from_string(text.to_string())).transpose();
        let reply = reply.map_err(|error| {
            Refusal::new(ErrorKind::Internal, format!("the reply's body is no JSON: {error}"))
        })?;
        Ok(RequestResult { id, reply })
    }))
}
