//! From a line to a method and back: each call is begun in the order of the lines, those that
//! change something one after the other, and answered when it is through.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::call::{Answer, Begun, Caller, Method, Order, Outcome, Step, Task};
use super::connection::Client;
use super::error::{ErrorObject, METHOD_NOT_FOUND};
use super::message::{Call, Id, Incoming, Malformed, answer, refusal};
use super::receipts::MAX_ID;
use super::{methods, metric};

/// Requests of one connection that may be unanswered; then it is not read.
pub(super) const MAX_UNANSWERED: usize = 4_096;

/// Questions of one connection that are worked on at a time. Their answers may be pages, and
/// wait for room in the outbox.
const MAX_WORKING: usize = 2;

/// Bytes of bodies in one answer (one body always fits), shared by the calls of a batch.
const PAGE_BYTES: usize = 256 * 1024;

/// Begins the calls of one connection.
pub(super) struct Dispatch {
    client: Arc<Client>,
    /// Requests that were begun and are not counted yet.
    begun: u64,
    /// Bytes of requests that are not carried out yet.
    held: Arc<Semaphore>,
    max_held: usize,
    working: Arc<Semaphore>,
}

/// A request's share of what a connection may have unanswered.
type Share = (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>);

/// Where a call stands after its turn in line.
enum Turn {
    /// Answered.
    Done(Outcome),
    /// It has its place, the rest needs no more than waiting.
    Placed(std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>),
    /// A question; still to be worked on.
    Asked(Begun),
}

impl Dispatch {
    pub(super) fn new(client: &Arc<Client>) -> Self {
        // Twice the largest line, so that one can be worked on while the next one comes.
        let max_held = client.shared.limits.max_line.saturating_mul(2).min(Semaphore::MAX_PERMITS);
        Self {
            client: Arc::clone(client),
            begun: 0,
            held: Arc::new(Semaphore::new(max_held)),
            max_held,
            working: Arc::new(Semaphore::new(MAX_WORKING)),
        }
    }

    /// Hands a message in that needs nothing but its place in line: the way of nearly all of them, and
    /// the shortest. Anything else comes back, and is for [`Dispatch::take`].
    pub(super) fn post<'a>(&mut self, incoming: Incoming<'a>) -> Option<Incoming<'a>> {
        let Incoming::Single(Ok(call)) = &incoming else { return Some(incoming) };
        let short = call.id.as_ref().is_none_or(|id| id.as_json().len() <= MAX_ID);
        if call.method != <methods::send::Send as super::call::Call>::NAME || !short {
            return Some(incoming);
        }
        let Some(message) = call.params.and_then(methods::send::plain) else { return Some(incoming) };
        let Some(told) = self.client.receipts.expect(call.id.as_ref()) else { return Some(incoming) };
        match message {
            Err(refusal) => told.now(Err(refusal)),
            Ok(message) => {
                if let Err((_, told)) = self.client.shared.backend.post(message, told) {
                    told.withdraw();
                    return Some(incoming);
                }
            }
        }
        self.begun += 1;
        None
    }

    /// Tells how many requests were begun since it was told last.
    pub(super) fn count(&mut self) {
        if self.begun > 0 {
            self.client.shared.backend.count_more(metric::REQUESTS, std::mem::take(&mut self.begun));
        }
    }

    /// Takes what stood in one line of `size` bytes. Comes back when the next one may be read.
    pub(super) async fn take(&mut self, incoming: Incoming<'_>, size: usize, tasks: &mut JoinSet<()>) {
        match incoming {
            Incoming::Single(call) => {
                let share = self.share(1, size).await;
                self.single(call, share, tasks).await;
            }
            Incoming::Batch(calls) => {
                let share = self.share(calls.len(), size).await;
                self.batch(calls, share, tasks).await;
            }
        }
    }

    /// A request was longer than may be.
    pub(super) fn note_long_line(&self) {
        self.client.shared.backend.count(metric::LINES_REFUSED);
    }

    async fn share(&self, calls: usize, size: usize) -> Share {
        // Neither semaphore is ever closed.
        let number = |count: usize, most: usize| u32::try_from(count.min(most)).unwrap_or(u32::MAX);
        let unanswered = Arc::clone(&self.client.unanswered);
        let calls = unanswered.acquire_many_owned(number(calls, MAX_UNANSWERED)).await.ok();
        let bytes = Arc::clone(&self.held).acquire_many_owned(number(size, self.max_held)).await.ok();
        (calls, bytes)
    }

    async fn single(&mut self, call: Result<Call<'_>, Malformed>, share: Share, tasks: &mut JoinSet<()>) {
        let call = match call {
            Ok(call) => call,
            Err(malformed) => {
                let _ = self.client.out.push(refusal(&malformed.id, &malformed.error)).await;
                return;
            }
        };
        let id = call.id.clone();
        let (client, working) = (Arc::clone(&self.client), Arc::clone(&self.working));
        match self.turn(&call, PAGE_BYTES).await {
            Err(error) => {
                if let Some(id) = id {
                    let _ = client.out.push(refusal(&id, &error)).await;
                }
            }
            Ok(Turn::Done(outcome)) => {
                if let Some(task) = reply(&client, id.as_ref(), outcome).await {
                    tasks.spawn(task);
                }
            }
            Ok(Turn::Placed(rest)) => {
                let (calls, mut bytes) = share;
                if id.as_ref().is_none_or(|id| id.as_json().len() <= MAX_ID) {
                    bytes = None;
                }
                tasks.spawn(async move {
                    finish(&client, id.as_ref(), rest.await).await;
                    drop((calls, bytes));
                });
            }
            Ok(Turn::Asked(begun)) => {
                tasks.spawn(async move {
                    let _slot = working.acquire().await;
                    finish(&client, id.as_ref(), through(begun).await).await;
                    drop(share);
                });
            }
        }
    }

    async fn batch(
        &mut self,
        calls: Vec<Result<Call<'_>, Malformed>>,
        share: Share,
        tasks: &mut JoinSet<()>,
    ) {
        let page_bytes = PAGE_BYTES / calls.len().max(1);
        let mut answers: Vec<Option<String>> = Vec::new();
        let mut begin_after: Vec<Task> = Vec::new();
        let mut placed = Vec::new();
        let mut asked = Vec::new();
        for (index, call) in calls.into_iter().enumerate() {
            answers.push(None);
            let call = match call {
                Ok(call) => call,
                Err(malformed) => {
                    answers[index] = Some(refusal(&malformed.id, &malformed.error));
                    continue;
                }
            };
            let id = call.id.clone();
            match self.turn(&call, page_bytes).await {
                Err(error) => answers[index] = id.map(|id| refusal(&id, &error)),
                Ok(Turn::Done(outcome)) => {
                    let (text, then) = told(id.as_ref(), outcome);
                    answers[index] = text;
                    begin_after.extend(then);
                }
                Ok(Turn::Placed(rest)) => placed.push(async move { (index, id, rest.await) }),
                Ok(Turn::Asked(begun)) => asked.push((index, id, begun)),
            }
        }
        let (client, working) = (Arc::clone(&self.client), Arc::clone(&self.working));
        tasks.spawn(async move {
            let questions = async {
                let _slot = working.acquire().await;
                let mut done = Vec::with_capacity(asked.len());
                for (index, id, begun) in asked {
                    done.push((index, id, through(begun).await));
                }
                done
            };
            let (placed, asked) = join(join_all(placed), questions).await;
            for (index, id, outcome) in placed.into_iter().chain(asked) {
                let (text, then) = told(id.as_ref(), outcome);
                answers[index] = text;
                begin_after.extend(then);
            }
            let answers: Vec<String> = answers.into_iter().flatten().collect();
            if !answers.is_empty() {
                let _ = client.out.push(format!("[{}]", answers.join(","))).await;
            }
            drop(share);
            join_all(begin_after).await;
        });
    }

    /// Begins a call. One that keeps its place in line is carried out, as far as it has to be
    /// before the next one may begin.
    async fn turn(&self, call: &Call<'_>, page_bytes: usize) -> Result<Turn, ErrorObject> {
        let method = find(&call.method).ok_or_else(|| {
            let shown: String = call.method.chars().take(64).collect();
            ErrorObject::plain(METHOD_NOT_FOUND, format!("there is no method {shown:?}"))
        })?;
        self.client.shared.backend.count(metric::REQUESTS);
        let caller = Caller { client: Arc::clone(&self.client), notification: call.id.is_none(), page_bytes };
        let begun = (method.begin)(caller, call.params).map_err(ErrorObject::from)?;
        Ok(match method.order {
            Order::Free => Turn::Asked(begun),
            Order::InLine => match begun.await {
                Step::Done(outcome) => Turn::Done(outcome),
                Step::Later(rest) => Turn::Placed(rest),
            },
        })
    }
}

fn find(name: &str) -> Option<&'static Method> {
    methods::ALL.iter().find(|method| method.name == name)
}

async fn through(begun: Begun) -> Outcome {
    match begun.await {
        Step::Done(outcome) => outcome,
        Step::Later(rest) => rest.await,
    }
}

/// The text of the answer, where one is wanted, and what begins after it.
fn told(id: Option<&Id>, outcome: Outcome) -> (Option<String>, Option<Task>) {
    match outcome {
        Ok(Answer { result, then }) => (id.map(|id| answer(id, &result)), then),
        Err(error) => (id.map(|id| refusal(id, &error.into())), None),
    }
}

/// Writes the answer; what begins after it is handed back.
async fn reply(client: &Client, id: Option<&Id>, outcome: Outcome) -> Option<Task> {
    let (text, then) = told(id, outcome);
    if let Some(text) = text {
        let _ = client.out.push(text).await;
    }
    then
}

/// Writes the answer and does what follows.
async fn finish(client: &Client, id: Option<&Id>, outcome: Outcome) {
    if let Some(task) = reply(client, id, outcome).await {
        task.await;
    }
}
