//! Requests that wait for the server's reply: who asked, and who has gone meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::run::Loop;
use super::{Command, Handle, shutting_down};
use crate::model::{ErrorKind, MessageId, Payload, Refusal};
use crate::session::Input;

/// The body of the server's reply (JSON text), where it has one; or why there is none.
pub type Reply = Result<Option<Arc<str>>, Refusal>;

/// A request on its way to the session.
#[derive(Debug)]
pub struct Request {
    ticket: u64,
    id: MessageId,
    kind: Arc<str>,
    payload: Payload,
    answer: oneshot::Sender<Reply>,
}

/// The loop's inbox.
#[derive(Debug)]
pub struct Inbox {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) gone: mpsc::Receiver<u64>,
}

impl Inbox {
    /// The next command; none once nobody can give any. A caller that has gone is one too, and
    /// comes behind its request.
    pub async fn recv(&mut self) -> Option<Command> {
        tokio::select! {
            biased;
            command = self.commands.recv() => command,
            Some(ticket) = self.gone.recv() => Some(Command::Forget(ticket)),
        }
    }
}

/// Whoever waits for a reply. Dropped before it came, the loop is told: there is always room, as
/// the place was taken with the request.
struct Waiting {
    ticket: u64,
    place: Option<mpsc::OwnedPermit<u64>>,
}

impl Waiting {
    /// The loop knows of no request any more, so it need not be told.
    fn answered(mut self) {
        self.place = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            place.send(self.ticket);
        }
    }
}

impl Handle {
    /// Hands a request in; what comes back waits for the reply. Dropped, the request is forgotten.
    ///
    /// # Errors
    /// `busy` where too many wait already, or `shutting_down`.
    pub async fn request(
        &self,
        id: MessageId,
        kind: Arc<str>,
        payload: Payload,
    ) -> Result<impl Future<Output = Reply> + Send + use<>, Refusal> {
        let place = self.gone.clone().try_reserve_owned().map_err(|error| match error {
            TrySendError::Full(_) => Refusal::new(
                ErrorKind::Busy,
                format!("{} requests wait for the server already", crate::session::MOST_REQUESTS),
            )
            .hint("try again once some are answered"),
            TrySendError::Closed(_) => shutting_down(),
        })?;
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (answer, wait) = oneshot::channel();
        self.tell_soon(Command::Request(Request { ticket, id, kind, payload, answer })).await?;
        let waiting = Waiting { ticket, place: Some(place) };
        Ok(async move {
            let reply = wait.await.map_err(|_| shutting_down())?;
            waiting.answered();
            reply
        })
    }
}

/// Who waits for which reply, by ticket.
pub(super) type Requests = HashMap<u64, oneshot::Sender<Reply>>;

impl Loop {
    pub(super) fn ask(&mut self, request: Request) {
        let Request { ticket, id, kind, payload, answer } = request;
        self.requests.insert(ticket, answer);
        self.input(Input::Request { ticket, id, kind, payload });
    }

    pub(super) fn forget(&mut self, ticket: u64) {
        if self.requests.remove(&ticket).is_some() {
            self.input(Input::ForgetRequest(ticket));
        }
    }

    pub(super) fn replied(&mut self, ticket: u64, reply: Reply) {
        if let Some(answer) = self.requests.remove(&ticket) {
            // A caller that has gone this very moment needs no answer.
            let _ = answer.send(reply);
        }
    }
}
