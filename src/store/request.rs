//! What can be asked of the writer, and how its answers wait for the commit.

use tokio::sync::oneshot;

use super::deeds::Deed;
use super::trouble::{Trouble, refusal_for};
use super::{Cursor, Inserted, Settings};
use crate::model::{
    DueQuery, Message, MessageId, NewMessage, Place, Record, Refusal, Remembered, Seq, Timestamp,
};

/// From the engine. Served first; never refused, only done or, on a failed disk, done later.
#[derive(Debug)]
pub(super) enum EngineAsk {
    /// All of them go into one commit.
    Records(Vec<(u64, Record)>),
    Due(DueQuery),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// So many answers of one commit are few: each may take the writer's thread as long as handing a line
/// to a socket does.
const FEW: usize = 8;

/// A message with whoever takes its answer, in one piece of memory.
pub(super) trait Posted: Send {
    fn message(&self) -> &NewMessage;
    /// Takes the answer, on the writer's thread: it waits for nothing. Whether it is one of few is told
    /// along.
    fn answered(self: Box<Self>, outcome: Result<Inserted, Refusal>, few: bool);
}

impl std::fmt::Debug for dyn Posted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.message().fmt(f)
    }
}

impl<F: FnOnce(Result<Inserted, Refusal>, bool) + Send> Posted for (NewMessage, F) {
    fn message(&self) -> &NewMessage {
        &self.0
    }

    fn answered(self: Box<Self>, outcome: Result<Inserted, Refusal>, few: bool) {
        (self.1)(outcome, few);
    }
}

/// From everyone else.
#[derive(Debug)]
pub(super) enum ClientAsk {
    Send(Box<NewMessage>, Reply<Inserted>),
    /// The same, answered by a call.
    Post(Box<dyn Posted>),
    Act(MessageId, Deed, Reply<Message>),
    Expire {
        now: Timestamp,
        skip: Vec<Place>,
        reply: Reply<Option<Timestamp>>,
    },
    NextExpiry(Reply<Option<Timestamp>>),
    CursorOpen(String, Reply<(Cursor, bool)>),
    /// Without a reply it rides on the next commit.
    CursorAck(String, Seq, Option<Reply<Cursor>>),
    CursorTouch(String, Timestamp),
    /// To see that somebody answers.
    Alive(Reply<()>),
    CursorList(Reply<Vec<Cursor>>),
    CursorDelete(String, Reply<()>),
    QuarantineDrop(Seq, Reply<()>),
    ValueSet(String, Option<String>, Reply<()>),
    ValueGet(String, Reply<Option<String>>),
    Reconfigure(Box<Settings>, Reply<()>),
    UseServer(String, Reply<Remembered>),
    Maintain(Reply<()>),
    /// These rows are not what was written: put them aside.
    Mend(Vec<Place>, Reply<()>),
    /// See whether the open files still stand under their names.
    Look,
    /// The file is damaged, in these words: write nothing more into it.
    Condemn(String),
    Close(Reply<()>),
}

impl ClientAsk {
    /// Whether its answer is worth a commit of its own.
    pub(super) const fn is_urgent(&self) -> bool {
        !matches!(self, Self::CursorAck(_, _, None) | Self::CursorTouch(..))
    }

    /// Bytes it brings, for the bound of a batch.
    pub(super) fn bytes(&self) -> usize {
        if let Self::Send(new, _) = self {
            new.payload.len()
        } else if let Self::Post(posted) = self {
            posted.message().payload.len()
        } else {
            0
        }
    }

    /// Answers without doing it.
    pub(super) fn refuse(self, why: &Refusal) {
        fn no<T>(reply: Reply<T>, why: &Refusal) {
            // Whoever asked may have gone.
            let _ = reply.send(Err(why.clone()));
        }
        match self {
            Self::Send(_, reply) => no(reply, why),
            Self::Post(posted) => posted.answered(Err(why.clone()), false),
            Self::Act(_, _, reply) => no(reply, why),
            Self::Expire { reply, .. } | Self::NextExpiry(reply) => no(reply, why),
            Self::CursorOpen(_, reply) => no(reply, why),
            Self::CursorAck(_, _, reply) => {
                if let Some(reply) = reply {
                    no(reply, why);
                }
            }
            Self::CursorTouch(..) | Self::Look | Self::Condemn(_) => {}
            Self::CursorList(reply) => no(reply, why),
            Self::CursorDelete(_, reply)
            | Self::QuarantineDrop(_, reply)
            | Self::ValueSet(_, _, reply)
            | Self::Maintain(reply)
            | Self::Alive(reply)
            | Self::Mend(_, reply)
            | Self::Close(reply) => no(reply, why),
            Self::ValueGet(_, reply) => no(reply, why),
            Self::Reconfigure(_, reply) => no(reply, why),
            Self::UseServer(_, reply) => no(reply, why),
        }
    }
}

/// Gives one answer, or the refusal in its place.
type Given = Box<dyn FnOnce(Option<&Refusal>) + Send>;

/// One answer: as it is, or the refusal that struck the whole batch.
enum Answer {
    Posted(Box<dyn Posted>, Result<Inserted, Box<Refusal>>),
    Any(Given),
}

/// Answers of one batch, held back until its commit.
#[derive(Default)]
pub(super) struct Answers(Vec<Answer>);

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Answers").field(&self.0.len()).finish()
    }
}

impl Answers {
    /// Holds the answer to one request. An error that concerns the whole batch is handed on.
    pub(super) fn hold<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        outcome: Result<T, Trouble>,
    ) -> Result<(), rusqlite::Error> {
        let (answer, spoils) = parted(outcome);
        self.0.push(Answer::Any(Box::new(move |failed| {
            let answer = match failed {
                None => answer.map_err(|refusal| *refusal),
                Some(refusal) => Err(refusal.clone()),
            };
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        })));
        spoils.map_or(Ok(()), Err)
    }

    /// The same of a message.
    pub(super) fn hold_posted(
        &mut self,
        posted: Box<dyn Posted>,
        outcome: Result<Inserted, Trouble>,
    ) -> Result<(), rusqlite::Error> {
        let (answer, spoils) = parted(outcome);
        self.0.push(Answer::Posted(posted, answer));
        spoils.map_or(Ok(()), Err)
    }

    /// Gives them: as they are after a commit, or all the same refusal after a failure. `at_leisure`:
    /// nothing else waits for the thread.
    pub(super) fn give(&mut self, failed: Option<&Refusal>, at_leisure: bool) {
        let few = at_leisure && self.0.len() <= FEW;
        for answer in self.0.drain(..) {
            match (answer, failed) {
                (Answer::Any(answer), failed) => answer(failed),
                (Answer::Posted(posted, _), Some(refusal)) => posted.answered(Err(refusal.clone()), few),
                (Answer::Posted(posted, answer), None) => {
                    posted.answered(answer.map_err(|refusal| *refusal), few);
                }
            }
        }
    }
}

/// The answer to whoever asked, and the error that spoils the whole batch.
fn parted<T>(outcome: Result<T, Trouble>) -> (Result<T, Box<Refusal>>, Option<rusqlite::Error>) {
    match outcome {
        Ok(value) => (Ok(value), None),
        Err(Trouble::Refused(refusal)) => (Err(refusal), None),
        Err(Trouble::Batch(error)) => (Err(Box::new(refusal_for(&error))), Some(error)),
    }
}
