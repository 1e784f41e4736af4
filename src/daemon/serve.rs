//! One life of the daemon, from the lock to the last commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::assemble::Assembly;
use super::backend::{Daemon, Shared};
use super::cursors::Cursors;
use super::handed::Handed;
use super::lock::{Lock, LockError};
use super::network::watch_network;
use super::notices::{self, Notices};
use super::reload::{Reloader, reload};
use super::report::Report;
use super::signals::{Signal, Signals};
use super::{
    EXIT_BUG, EXIT_RUNNING, EXIT_STORAGE, Failed, Options, link_log, metrics, ready, renewal, shutdown,
    watchdog,
};
use crate::clock::{Alarm, Clock};
use crate::config::{self, Config};
use crate::engine::{self, Command, Fanout, Waits};
use crate::model::{DaemonStatus, HealthEntry, Severity, StoreStatus};
use crate::rpc;
use crate::rpc::backend::Identity;
use crate::session::{Input, Session};
use crate::store::{Checkup, Opened, Store};

/// Serves until it is told to end.
pub(super) async fn serve(config: Config, options: &Options, handed: &mut Handed) -> Result<(), Failed> {
    let home = options.sources.environment.home.as_deref();
    let problems = |problems: Vec<config::Problem>| Failed::of_problems(&problems, home);
    let assembly = Assembly::of(&config).map_err(problems)?;
    let mut signals = Signals::listen()
        .map_err(|error| Failed::new(EXIT_BUG, format!("signals cannot be listened to: {error}"), ""))?;

    let clock = Clock::start();
    let lock = take_places(&config, home)?;
    let opened = tokio::select! {
        opened = ready::starting("Opening the database.", open_store(&assembly, clock)) => opened?,
        // An upgrade or a salvage of a large database takes its time. Ended in between, the file is
        // what it was or what it was to become.
        () = signals.stop() => {
            tracing::info!("stopped during the start");
            lock.keep();
            return Ok(());
        }
    };
    let Opened { store, events, remembered, epoch, notes, set_aside, unclean, clock } = opened;
    let listener = handed.listen(&config.places.socket)?;

    let identity = identity(&config, &epoch, clock);
    let now = clock.now().wall;
    let textfile = config.metrics.textfile.clone();
    let max_clients = super::descriptors::room_for(config.ipc.max_clients);
    let limits = rpc::Limits { max_clients, max_line: config.ipc.max_line };
    let report = Report {
        daemon: DaemonStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            instance_id: identity.instance_id.clone(),
            profile: config.places.profile.clone(),
            started_at: now,
            config_path: config.places.config.display().to_string(),
        },
        store: StoreStatus {
            path: config.places.database.display().to_string(),
            epoch: epoch.clone(),
            bytes: 0,
            durability: config.store.durability,
        },
        cursors: Cursors::of(
            store.cursor_list().await.map_err(|refusal| Failed::new(EXIT_STORAGE, refusal, ""))?,
        ),
        limits: vec![("ipc.max_clients", max_clients as u64), ("ipc.max_line", limits.max_line as u64)],
        gauges: Mutex::new(BTreeMap::new()),
    };

    if unclean {
        tracing::info!("the last run ended without closing the database; it was recovered");
    }
    let dialect = Arc::clone(&assembly.dialect);
    let (route, session_settings, policy) = assembly.route();
    let session = Session::new(session_settings, dialect, remembered, seed(clock));
    let fanout = Arc::new(Fanout::new(session.link_status(), store.counters().last_seq));
    for (number, note) in notes.iter().enumerate() {
        fanout.health.put(HealthEntry {
            code: format!("store_recovered_{}", number + 1),
            severity: Severity::Warning,
            since: now,
            text: note.clone(),
            hint: "what could be read was kept; look at the file that was set aside".into(),
        });
    }
    if !set_aside.is_empty() {
        let bytes: u64 = set_aside.iter().map(|(_, bytes)| bytes).sum();
        fanout.health.put(HealthEntry {
            code: "store_set_aside".into(),
            severity: Severity::Info,
            since: now,
            text: format!(
                "{} files with earlier databases ({} KiB) are kept beside the present one, the newest {}",
                set_aside.len(),
                bytes / 1024,
                set_aside.last().map_or_else(String::new, |(path, _)| path.display().to_string())
            ),
            hint: "delete them when you need nothing of them any more; the daemon never does".into(),
        });
    }
    let notices = Notices::new(clock, Arc::clone(&fanout), store.clone(), config.notifications.clone()).await;
    let notices = Arc::new(notices);
    let waits = Arc::new(Waits::default());
    let stop = CancellationToken::new();
    let (engine, commands) = engine::Handle::new();
    let (route_in, route) = watch::channel(route);
    let daemon = Arc::new(Daemon {
        clock,
        identity,
        store: store.clone(),
        engine: engine.clone(),
        fanout: Arc::clone(&fanout),
        waits: Arc::clone(&waits),
        policy: RwLock::new(Arc::new(policy)),
        report,
        reloader: Reloader::new(options.sources.clone(), config, route_in),
        notices: Arc::clone(&notices),
        doctor: tokio::sync::Mutex::default(),
        retrying: tokio::sync::Mutex::new(()),
        stop: stop.clone(),
    });

    // From before the first change on.
    let told = fanout.link.subscribe();
    let looped = tokio::spawn(engine::run(engine::Parts {
        clock,
        session,
        store: store.clone(),
        store_events: events,
        route: route.clone(),
        commands,
        fanout: Arc::clone(&fanout),
        waits,
    }));
    let background = CancellationToken::new();
    tokio::spawn(background.clone().run_until_cancelled_owned(renewal::watch(
        route.clone(),
        Arc::clone(&fanout),
        clock,
    )));
    tokio::spawn(background.clone().run_until_cancelled_owned(watch_network(
        fanout.link.subscribe(),
        route.clone(),
        engine.clone(),
    )));
    #[cfg(target_os = "linux")]
    tokio::spawn(background.clone().run_until_cancelled_owned(super::power::watch_sleep(
        daemon.reloader.on_suspend(),
        engine.clone(),
        store.clone(),
        clock,
    )));
    tokio::spawn(background.clone().run_until_cancelled_owned(watch_credential(route, engine.clone())));
    tokio::spawn(background.clone().run_until_cancelled_owned(link_log::keep(told, clock)));
    tokio::spawn(background.clone().run_until_cancelled_owned(notices::keep(Arc::clone(&notices))));
    tokio::spawn(background.clone().run_until_cancelled_owned(check_store(
        store.clone(),
        Arc::clone(&fanout),
        clock,
    )));
    tokio::spawn(background.clone().run_until_cancelled_owned(watchdog::keep(watchdog::Ours {
        engine: engine.clone(),
        store: store.clone(),
    })));
    let textfile = textfile.inspect(|path| {
        let kept = metrics::textfile::keep(path.clone(), Arc::clone(&daemon));
        tokio::spawn(background.clone().run_until_cancelled_owned(kept));
    });
    // Whoever asks first hears where the loop begins (paused, say), not where everything begins. A loop
    // that has ended already is met below.
    let _ = engine.alive().await;
    let serving =
        tokio::spawn(rpc::serve(listener, Arc::new(Shared(Arc::clone(&daemon))), limits, stop.clone()));
    ready::ready();
    tracing::info!(pid = std::process::id(), profile = daemon.report.daemon.profile, "holdline is ready");

    let mut looped = looped;
    let ended_early = loop {
        tokio::select! {
            ending = &mut looped => break Some(ending),
            () = stop.cancelled() => break None,
            signal = signals.next() => match signal {
                Signal::Stop => break None,
                Signal::Reload => {
                    let daemon = Arc::clone(&daemon);
                    // Beside all else: a signal to end is heard meanwhile. What is wrong with the
                    // configuration is in the log and in health.
                    tokio::spawn(async move { reload(&daemon).await });
                }
            },
        }
    };
    ready::stopping();
    tracing::info!("stopping");
    stop.cancel();
    background.cancel();
    let ended = tokio::select! {
        (ended, ()) = async {
            // Commands that run are ended meanwhile.
            tokio::join!(shutdown::end(ended_early, looped, serving, &engine, &store), notices.close())
        } => ended,
        // Whoever asks twice does not want to wait; the disk is consistent anyway.
        () = signals.stop() => {
            tracing::warn!("stopped at once");
            lock.keep();
            return Ok(());
        }
    };
    if let Some(path) = &textfile {
        metrics::textfile::remove(path);
    }
    if ended.closed {
        drop(lock);
    } else {
        lock.keep();
    }
    if ended.result.is_ok() {
        tracing::info!("stopped");
    }
    ended.result
}

/// Makes the folders safe and takes the lock.
fn take_places(config: &Config, home: Option<&std::path::Path>) -> Result<Lock, Failed> {
    let unsafe_place = |problem: config::Problem| Failed::of_problems(&[problem], home);
    if let Some(folder) = config.places.database.parent() {
        config::ensure_private_dir(folder).map_err(unsafe_place)?;
    }
    if let Some(folder) = config.places.socket.parent() {
        config::ensure_private_dir(folder).map_err(unsafe_place)?;
    }
    Lock::take(&config.places.lock).map_err(|error| match error {
        LockError::Held { .. } => Failed::new(
            EXIT_RUNNING,
            error,
            "`holdline ctl status` shows it; another profile can run beside it: --profile NAME",
        ),
        LockError::Io { .. } => {
            Failed::new(EXIT_STORAGE, error, "look at the folder's owner, mode and free space")
        }
    })
}

pub(super) async fn open_store(assembly: &Assembly, clock: Clock) -> Result<Opened, Failed> {
    let settings = assembly.store.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(settings, clock)).await;
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(Failed::new(error.exit_code(), &error, "")),
        Err(error) => Err(Failed::new(EXIT_BUG, format!("a fault of ours: {error}"), "please report it")),
    }
}

fn identity(config: &Config, epoch: &crate::model::Epoch, clock: Clock) -> Identity {
    Identity {
        daemon_version: env!("CARGO_PKG_VERSION").into(),
        epoch: epoch.clone(),
        instance_id: clock.uuid().to_string(),
        max_message: config.server.max_message,
        keep_finished: config.outbox.keep_finished,
        keep_finished_age: config.outbox.keep_finished_age,
        features: Vec::new(),
    }
}

/// Feeds the session's jitter and nonces. Need not be secret, only different at each start.
pub(super) fn seed(clock: Clock) -> u64 {
    let (high, low) = clock.uuid().as_u64_pair();
    high ^ low
}

/// Tells the loop when the credential's source changes; follows a reload to another source.
pub(super) async fn watch_credential(mut route: watch::Receiver<engine::Route>, engine: engine::Handle) {
    loop {
        let mut changed = route.borrow_and_update().credentials.changed();
        loop {
            tokio::select! {
                replaced = route.changed() => match replaced {
                    Ok(()) => break,
                    Err(_) => return,
                },
                told = changed.changed() => {
                    if told.is_err() {
                        // This source never tells.
                        if route.changed().await.is_err() {
                            return;
                        }
                        break;
                    }
                    if engine.tell_soon(Command::Hint(Input::CredentialChanged)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Looks after the program's file and the database: whether its files are in their places four times a minute, what is too
/// old once an hour, and all of it once after the start and then once a day.
async fn check_store(store: Store, fanout: Arc<Fanout>, clock: Clock) {
    const LOOK: Duration = Duration::from_secs(15);
    const HOUR: u64 = 3_600 / LOOK.as_secs();
    // A timer of the system: those of the runtime wake it several times on the way to one deadline.
    let mut alarm = Alarm::new(clock);
    for looks in 0_u64.. {
        if looks > 0 {
            alarm.set(Some(clock.instant() + LOOK));
            alarm.rung().await;
            store.look().await;
            #[cfg(target_os = "linux")]
            super::replaced::look(&fanout, clock);
            if let Some(text) = store.take_concern() {
                put_damage(&fanout, clock, "store_unreadable", text);
            }
        }
        if looks > 0
            && looks % HOUR == 0
            && let Err(refusal) = store.maintain().await
        {
            tracing::warn!("old rows were not pruned: {refusal}");
        }
        if looks % (24 * HOUR) == 0 {
            match store.quick_check().await {
                Ok(found) if found.is_sound() => {
                    tracing::debug!("the database was looked through and is sound");
                    fanout.health.clear("store_damaged");
                }
                Ok(found) => put_damage(&fanout, clock, "store_damaged", in_words(&found)),
                Err(refusal) => put_damage(&fanout, clock, "store_unreadable", refusal.message),
            }
        }
    }
}

fn put_damage(fanout: &Fanout, clock: Clock, code: &str, text: String) {
    tracing::error!("{text}");
    fanout.health.put(HealthEntry {
        code: code.into(),
        severity: Severity::Error,
        since: clock.now().wall,
        text,
        hint: "look at the disk; `holdline ctl messages list --state parked` shows damaged messages".into(),
    });
}

/// What a check found, for people.
fn in_words(found: &Checkup) -> String {
    if found.problems.is_empty() {
        format!(
            "{} messages and {} events are not what was written and are not passed on",
            found.damaged_messages, found.damaged_events
        )
    } else {
        format!("the database is damaged: {}", found.problems.join("; "))
    }
}
