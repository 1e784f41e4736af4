//! `holdline ctl`: ask and steer the running daemon. One file per verb, and one line in each of
//! the two lists below.
//!
//! A verb is an app like any other: it connects, calls, and shows what it was told.

mod cursors;
mod doctor;
mod events;
mod link;
mod messages;
mod metrics;
mod notices;
mod quarantine;
mod reload;
mod request;
mod send;
mod state;
mod status;
mod stop;
mod wait;
mod why;

use std::pin::Pin;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::args::duration;
use super::words::{Reader, length, plain};
use super::{Exit, Failed, Outcome, Shell, show};
use crate::client::{CALL_WITHIN, CallError, Client, ConnectError, Note, Subscription};
use crate::clock::Clock;
use crate::config::{self, Environment, Places, Sources};
use crate::model::{Event, Gap, Instant, Level, LinkState, MessageId, MessageState};
use crate::rpc::api::{ClientInfo, HelloParams};

pub(super) use stop::held as is_held;

const EXAMPLES: &str = "\
Examples:
  holdline ctl status                              how it stands
  holdline ctl send chat '{\"text\":\"Hello\"}'        hand over a message
  holdline ctl events --follow                     watch what the server sends";

/// `holdline ctl`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    call: Deadline,
    #[command(subcommand)]
    verb: Verb,
}

/// What can be asked of a running daemon.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// How it stands: the link, the queue, the events, the apps
    Status(Call<status::Args>),
    /// Wait until the link is in a state
    Wait(wait::Args),
    /// Hand over a message
    Send(send::Args),
    /// Ask the server something, and print its reply
    Request(request::Args),
    /// Show what the server sent, from any point, or live
    Events(Call<events::Args>),
    /// Show the newest event of each key
    State(Call<state::Args>),
    /// List messages, and decide about those that wait for a person
    Messages(Call<messages::Args>),
    /// Show what the server sent and could not be used, and try it again
    Quarantine(Call<quarantine::Args>),
    /// Show how far each app has read
    Cursors(Call<cursors::Args>),
    /// Pause the link, resume it, or dial anew
    Link(Call<link::Args>),
    /// Mute notifications, try them, and show what became of them
    Notify(Call<notices::Args>),
    /// Tell how the link, or a message, came to where it is
    Why(Call<why::Args>),
    /// Take up the configuration as it is now
    Reload(Call<reload::Args>),
    /// End the daemon
    Stop(Call<stop::Args>),
    /// Print the daemon's numbers, as Prometheus reads them
    Metrics(Call<metrics::Args>),
    /// Look at one thing after the other and say what is wrong; also while no daemon runs
    Doctor(Call<doctor::Args>),
}

impl Verb {
    async fn run(self, ctl: &mut Ctl<'_>) -> Outcome {
        match self {
            Self::Status(verb) => verb.of(ctl).run(ctl).await,
            Self::Wait(verb) => verb.run(ctl).await,
            Self::Send(verb) => verb.run(ctl).await,
            Self::Request(verb) => verb.run(ctl).await,
            Self::Events(verb) => verb.of(ctl).run(ctl).await,
            Self::State(verb) => verb.of(ctl).run(ctl).await,
            Self::Messages(verb) => verb.of(ctl).run(ctl).await,
            Self::Quarantine(verb) => verb.of(ctl).run(ctl).await,
            Self::Cursors(verb) => verb.of(ctl).run(ctl).await,
            Self::Link(verb) => verb.of(ctl).run(ctl).await,
            Self::Notify(verb) => verb.of(ctl).run(ctl).await,
            Self::Why(verb) => verb.of(ctl).run(ctl).await,
            Self::Reload(verb) => verb.of(ctl).run(ctl).await,
            Self::Stop(verb) => verb.of(ctl).run(ctl).await,
            Self::Metrics(verb) => verb.of(ctl).run(ctl).await,
            Self::Doctor(verb) => verb.of(ctl).run(ctl).await,
        }
    }
}

/// A verb with `--timeout` for its calls. Those that wait for something have one of their own.
#[derive(Debug, clap::Args)]
struct Call<T: clap::Args> {
    #[command(flatten)]
    call: Deadline,
    #[command(flatten)]
    verb: T,
}

impl<T: clap::Args> Call<T> {
    /// The verb; its deadline holds from now on.
    fn of(self, ctl: &mut Ctl<'_>) -> T {
        ctl.deadline = self.call.timeout.unwrap_or(ctl.deadline);
        self.verb
    }
}

/// How long a call may take.
#[derive(Debug, clap::Args)]
struct Deadline {
    /// How long a call to the daemon may take (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

/// Between two tries to reach a daemon that is yet to start.
const RETRY: Duration = Duration::from_millis(100);

/// What a verb works with: the daemon, the time, the way out.
#[derive(Debug)]
struct Ctl<'a> {
    shell: &'a mut Shell,
    sources: Sources,
    places: Places,
    clock: Clock,
    deadline: Duration,
    client: Option<Client>,
}

/// Asks the daemon what was asked for.
pub(crate) fn run(args: Args, deadline: Option<Duration>, shell: &mut Shell) -> Outcome {
    let sources = Sources {
        config: None,
        profile: shell.globals().profile.clone(),
        socket: shell.globals().socket.clone(),
        environment: Environment::of_process(),
    };
    let places = config::locate(&sources)
        .map_err(|problem| Failed::new(Exit::Usage, problem.message).hint(problem.hint))?;
    let deadline = args.call.timeout.or(deadline).unwrap_or(CALL_WITHIN);
    let mut ctl = Ctl { shell, sources, places, clock: Clock::start(), deadline, client: None };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::new(Exit::Failure, format!("cannot start: {error}")))?;
    // Behind a pointer: the runtime has several copies of whatever it runs to its end.
    let verb: Pin<Box<dyn Future<Output = Outcome>>> = Box::pin(args.verb.run(&mut ctl));
    runtime.block_on(verb)
}

impl Ctl<'_> {
    /// Who reads what is shown.
    fn reader(&self) -> Reader {
        Reader::here(self.clock.now().wall)
    }

    /// Calls `method` within the deadline.
    async fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<R, Failed> {
        self.call_within(method, params, self.deadline).await
    }

    /// Calls `method` within `deadline`.
    async fn call_within<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &impl Serialize,
        deadline: Duration,
    ) -> Result<R, Failed> {
        let client = self.connected().await?.within(deadline);
        Ok(client.call(method, params).await?)
    }

    /// As [`Ctl::call_within`], for what may be said twice without being done twice: where the daemon
    /// stopped before it answered, whoever stands in its place by now is asked once more. While a
    /// daemon whose socket a service manager holds starts anew, that is the next one.
    async fn call_twice_within<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &impl Serialize,
        deadline: Duration,
    ) -> Result<R, Failed> {
        let first = self.connected().await?.within(deadline).call(method, params).await;
        let Err(lost @ CallError::Stopped(_)) = first else { return Ok(first?) };
        self.client = None;
        match self.connected().await {
            Ok(next) => Ok(next.within(deadline).call(method, params).await?),
            Err(_) => Err(lost.into()),
        }
    }

    /// Calls `method`, which begins a subscription.
    async fn subscribe<R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<(R, Subscription), Failed> {
        let client = self.connected().await?.within(self.deadline);
        Ok(client.subscribe(method, params).await?)
    }

    /// The next notification.
    async fn next(&self, told: &mut Subscription) -> Result<Note, Failed> {
        match told.next().await {
            Some(Ok(note)) => Ok(note),
            Some(Err(error)) => Err(CallError::Unreadable(error).into()),
            None => Err(self.lost().await),
        }
    }

    /// The next notification, if one comes within `patience`.
    async fn next_within(&self, told: &mut Subscription, patience: Duration) -> Result<Option<Note>, Failed> {
        timeout(patience, self.next(told)).await.ok().transpose()
    }

    /// Reaches the daemon, which may start meanwhile, until `deadline`.
    async fn connect_until(&mut self, deadline: Instant) -> Result<(), Failed> {
        loop {
            match self.connected().await {
                Err(failed) if failed.exit == Exit::NotRunning && self.clock.instant() < deadline => {
                    sleep(RETRY).await;
                }
                reached => return reached.map(|_| ()),
            }
        }
    }

    /// The connection to the daemon, made when it is first needed.
    async fn connected(&mut self) -> Result<Client, Failed> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = match timeout(self.deadline, Client::connect(&self.places.socket)).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Err(_) => return Err(self.silent()),
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = HelloParams { client: ClientInfo { name: "ctl".to_owned(), version } };
        // Where it could not be said the call that follows will tell.
        let _ = client.notify("hello", &hello).await;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn unreachable(&self, error: &ConnectError) -> Failed {
        match error {
            ConnectError::NotRunning { .. } => self.not_running(),
            ConnectError::Foreign { .. } => Failed::new(Exit::Refused, plain(&error.to_string())),
            ConnectError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Failed::new(Exit::Refused, plain(&error.to_string()))
                    .hint("the daemon serves the user it runs as, and nobody else")
            }
            ConnectError::Io { .. } => {
                Failed { unanswered: true, ..Failed::new(Exit::NotRunning, plain(&error.to_string())) }
            }
        }
    }

    fn not_running(&self) -> Failed {
        let profile = &self.places.profile;
        let run = match profile.as_str() {
            "default" => "holdline run".to_owned(),
            name => format!("holdline run --profile {name}"),
        };
        Failed::new(
            Exit::NotRunning,
            format!(
                "holdline is not running for profile \"{profile}\" (no daemon holds {}).",
                self.places.shorten(&self.places.lock)
            ),
        )
        .hint(format!("{run}    (in a terminal, or by your service manager)"))
    }

    fn silent(&self) -> Failed {
        let socket = self.places.shorten(&self.places.socket);
        Failed {
            unanswered: true,
            ..Failed::new(
                Exit::NotRunning,
                format!("nothing answers on {socket} within {}", length(self.deadline)),
            )
        }
    }

    async fn lost(&self) -> Failed {
        let why = match &self.client {
            Some(client) => client.closed().await,
            None => String::new(),
        };
        Failed {
            unanswered: true,
            ..Failed::new(Exit::NotRunning, format!("the daemon is gone: {}", plain(&why)))
        }
    }

    /// Shows an event.
    fn event(&mut self, event: &Event) -> Result<(), Failed> {
        if self.shell.json() {
            return self.shell.document(event);
        }
        let line = show::event::line(event, &self.reader());
        self.shell.print(&line)
    }

    /// Shows that events are missing.
    fn gap(&mut self, gap: &Gap) -> Result<(), Failed> {
        if self.shell.json() {
            return self.shell.document(&serde_json::json!({ "gap": gap }));
        }
        self.shell.print(&show::event::gap(gap))
    }

    /// Says that what was asked for is done.
    fn done(&mut self, what: &str, rest: &str) -> Outcome {
        if self.shell.json() {
            self.shell.document(&serde_json::json!({ what: true }))?;
        } else {
            self.shell.print(&format!("{what}: {rest}\n"))?;
        }
        Ok(Exit::Ok)
    }
}

/// Takes a message's id.
fn message_id(text: &str) -> Result<MessageId, String> {
    MessageId::new(text).map_err(|error| error.to_string())
}

/// Takes the name of a state of the link.
fn link_state() -> impl TypedValueParser<Value = LinkState> {
    one_of(LinkState::ALL, LinkState::as_str)
}

/// Takes the name of a message's state.
fn message_state() -> impl TypedValueParser<Value = MessageState> {
    one_of(MessageState::ALL, MessageState::as_str)
}

/// Takes the name of a level.
fn level() -> impl TypedValueParser<Value = Level> {
    one_of([Level::Queued, Level::Sent, Level::Received, Level::Accepted], |level| match level {
        Level::Queued => "queued",
        Level::Sent => "sent",
        Level::Received => "received",
        Level::Accepted => "accepted",
    })
}

fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.map(name))
        .try_map(move |text| all.into_iter().find(|one| name(*one) == text).ok_or("not one of them"))
}
