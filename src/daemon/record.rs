//! Takes a session with a server down: the daemon's own loop, link and session, without apps, and
//! with a database of its own that is thrown away.
//!
//! It stands beside a daemon that runs for the same profile: it takes no lock, binds no socket, and
//! knows nothing of what that one has stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::assemble::Assembly;
use super::policy::Policy;
use super::serve::{open_store, seed, watch_credential};
use super::signals::{Signal, Signals};
use super::{EXIT_BUG, EXIT_STORAGE, Failed};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::dialect::declarative::Handed;
use crate::dialect::record::{Recorder, Told, Transcript};
use crate::engine::{self, Command, Ending, Fanout, Waits};
use crate::model::{Delivery, ErrorKind, LinkStatus, MessageId, Moved, Refusal};
use crate::rpc::backend::Outgoing;
use crate::session::Session;
use crate::store::{Opened, Store};

/// How long the loop may take to end; only a fault of ours exceeds it.
const LOOP_GRACE: Duration = engine::STOP_GRACE.saturating_add(Duration::from_millis(500));
/// Values of the URL and of headers that are shorter are versions and switches, no credentials.
const LEAST_SECRET: usize = 8;

/// A session that is being taken down.
#[derive(Debug)]
pub struct Recording {
    clock: Clock,
    recorder: Arc<Recorder>,
    policy: Policy,
    store: Store,
    engine: engine::Handle,
    fanout: Arc<Fanout>,
    looped: JoinHandle<Ending>,
    background: CancellationToken,
    signals: Signals,
    _folder: Folder,
}

impl Recording {
    /// Begins: the first dial goes out. `ear` is told what happens and `grown` that there is more to write
    /// down, at once and without waiting. Call it within a runtime.
    ///
    /// # Errors
    /// As a daemon that does not start.
    pub async fn begin(
        config: &Config,
        ear: impl Fn(Told) + Send + Sync + 'static,
        grown: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Failed> {
        let home = config.places.home.as_deref();
        let problems = |problems: Vec<config::Problem>| Failed::of_problems(&problems, home);
        let assembly = Assembly::of(config).map_err(problems)?;
        let signals = Signals::listen()
            .map_err(|error| Failed::new(EXIT_BUG, format!("signals cannot be listened to: {error}"), ""))?;
        let folder = Folder::make(config)?;
        let recorder = Recorder::new(config.server.vars.clone(), ear, grown);
        hide_written(config, &recorder);

        let clock = Clock::start();
        let (assembly, credentials) = assembly.recorded(&recorder, folder.path.join("record.db"));
        let opened = open_store(&assembly, clock).await?;
        let Opened { store, events, remembered, clock, .. } = opened;
        let dialect = Arc::clone(&assembly.dialect);
        let (route, settings, policy) = assembly.route_with(credentials);
        let session = Session::new(settings, dialect, remembered, seed(clock));
        let fanout = Arc::new(Fanout::new(session.link_status(), store.counters().last_seq));
        let (engine, commands) = engine::Handle::new();
        let (_, route) = watch::channel(route);
        let background = CancellationToken::new();
        tokio::spawn(
            background.clone().run_until_cancelled_owned(watch_credential(route.clone(), engine.clone())),
        );
        let looped = tokio::spawn(engine::run(engine::Parts {
            clock,
            session,
            store: store.clone(),
            store_events: events,
            route,
            commands,
            fanout: Arc::clone(&fanout),
            waits: Arc::new(Waits::default()),
        }));
        Ok(Self {
            clock,
            recorder,
            policy,
            store,
            engine,
            fanout,
            looped,
            background,
            signals,
            _folder: folder,
        })
    }

    /// Hands a message in, as an app would.
    ///
    /// # Errors
    /// Whatever makes it impossible.
    pub async fn send(&self, message: Handed) -> Result<MessageId, Refusal> {
        let Handed { kind, id, payload } = message;
        let id = match id {
            None => self.clock.uuid().into(),
            Some(id) => MessageId::new(&id)
                .map_err(|error| Refusal::new(ErrorKind::InvalidParams, error.to_string()))?,
        };
        let new = self.policy.apply(Outgoing {
            kind: kind.into(),
            payload,
            id: Some(id.clone()),
            ttl: None,
            key: None,
            lane: None,
            delivery: None,
            wait: None,
            timeout: Duration::ZERO,
        })?;
        if new.delivery == Delivery::Ephemeral {
            let dropped = self.engine.ephemeral(id.clone(), new.kind, new.payload)?.await?;
            return match dropped {
                None => Ok(id),
                Some(why) => Err(Refusal::new(ErrorKind::NotConnected, format!("it was dropped: {why}"))
                    .hint("its type is ephemeral: it goes out only while the link is up")),
            };
        }
        self.store.send(new).await.map(|inserted| inserted.id)
    }

    /// The link, as `status` would show it.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<LinkStatus> {
        self.fanout.link.subscribe()
    }

    /// What becomes of messages.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Moved> {
        self.fanout.changes.subscribe()
    }

    /// Takes part of what is written down.
    #[must_use]
    pub fn recorder(&self) -> Arc<Recorder> {
        Arc::clone(&self.recorder)
    }

    /// Waits until somebody asks for the end by a signal, or the loop ends by itself.
    ///
    /// # Errors
    /// Where the loop ended.
    pub async fn stopped(&mut self) -> Result<(), Failed> {
        loop {
            tokio::select! {
                ended = &mut self.looped => return Err(early(ended)),
                signal = self.signals.next() => match signal {
                    Signal::Stop => return Ok(()),
                    // There is nothing to reload.
                    Signal::Reload => {}
                },
            }
        }
    }

    /// Closes the link and gives what was taken down.
    pub async fn end(mut self) -> Transcript {
        self.recorder.ending();
        self.background.cancel();
        if !self.looped.is_finished() {
            let stopping = async {
                // An inbox that is closed is that of a loop that ends by itself.
                let _ = self.engine.tell_soon(Command::Stop).await;
                let _ = (&mut self.looped).await;
            };
            // What is written down by now is all there is, however slow the goodbye.
            let _ = tokio::time::timeout(LOOP_GRACE, stopping).await;
        }
        // The database goes away with its folder.
        let _ = self.store.close().await;
        self.recorder.transcript()
    }
}

fn early(ended: Result<Ending, JoinError>) -> Failed {
    match ended {
        Ok(Ending::Stopped) => Failed::new(EXIT_BUG, "the session ended by itself", "please report it"),
        Ok(Ending::StoreFailed(why)) => Failed::new(
            EXIT_STORAGE,
            format!("the disk failed: {why}"),
            "see whether the folder of the socket has room",
        ),
        Err(error) => Failed::new(EXIT_BUG, format!("a fault of ours: {error}"), "please report it"),
    }
}

/// Keeps out what the configuration itself holds: values of the URL's query and of headers.
fn hide_written(config: &Config, recorder: &Recorder) {
    let url = config.server.url.exposed();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let values = query.split('&').filter_map(|pair| pair.split_once('=').map(|(_, value)| value));
    for value in values.filter(|value| value.len() >= LEAST_SECRET) {
        recorder.hide("query", value);
    }
    for (name, value) in &config.server.headers {
        // `Bearer abc`: the word in front is no secret, and may stand anywhere.
        let secret = value.expose().split_whitespace().last().unwrap_or_default();
        if secret.len() >= LEAST_SECRET {
            recorder.hide(name, secret);
        }
    }
}

/// A folder that only we can look into, gone when this is.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make(config: &Config) -> Result<Self, Failed> {
        // Beside the socket nothing outlives the session of the user, even if we are killed.
        let beside = if cfg!(windows) { &config.places.database } else { &config.places.socket };
        let parent = beside.parent().unwrap_or(Path::new("."));
        let home = config.places.home.as_deref();
        config::ensure_private_dir(parent).map_err(|problem| Failed::of_problems(&[problem], home))?;
        let path = parent.join(format!("record-{}", Clock::start().uuid()));
        config::ensure_closed_dir(&path).map_err(|problem| Failed::of_problems(&[problem], home))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Where it cannot be removed it holds no more than the recording, and nobody else can read it.
        let _ = fs::remove_dir_all(&self.path);
    }
}
