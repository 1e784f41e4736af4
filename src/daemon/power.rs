//! Sleep and wake, as logind tells of them on the system bus.
//!
//! This is the better half of what the loop knows of sleep, never the whole of it: that the machine
//! slept shows in its clocks as well ([`Vigil`](crate::clock::Vigil)), so where there is no bus or no
//! logind nothing is missing but the moment *before* the sleep. Only `link.on_suspend = "close"` needs
//! that one, and only then is sleep held up, for [`BEFORE_SLEEP`] at most.
//!
//! The end of the session and of the machine needs nothing of this: the service manager ends the
//! daemon by a signal then, and waits for it.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{oneshot, watch};
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::{CacheProperties, Proxy};
use zbus::zvariant::OwnedFd;
use zbus::{Connection, connection};

use crate::clock::{Alarm, Clock};
use crate::config::OnSuspend;
use crate::engine::{Command, Handle};
use crate::store::Store;

/// Who tells.
const LOGIND: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const INTERFACE: &str = "org.freedesktop.login1.Manager";
/// How long a bus that hangs is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long closing the link may hold the sleep up. logind grants 5 s (`InhibitDelayMaxSec=`).
const BEFORE_SLEEP: Duration = Duration::from_secs(2);
/// Between two looks for a bus: at first, and, doubled each time, at last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The first of these pauses where the line stays open over a sleep: nothing of that waits for a bus.
const LEISURE: Duration = Duration::from_secs(10 * 60);
/// A machine without a system bus does not get one later, as a rule.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Runs until the loop is gone.
pub(super) async fn watch_sleep(
    mut on_suspend: watch::Receiver<OnSuspend>,
    engine: Handle,
    store: Store,
    clock: Clock,
) {
    let mut pause = FIRST_PAUSE;
    // A timer of the system: those of the runtime wake it several times on the way to one deadline.
    let mut alarm = Alarm::new(clock);
    loop {
        match attend(&mut on_suspend, &engine, &store, &mut pause).await {
            Ok(Over::EngineGone) => return,
            Ok(Over::BusGone) => tracing::info!("the system bus has gone; it is looked for again"),
            Err(error) if pause == FIRST_PAUSE => {
                tracing::info!(
                    "no word of sleep from the system bus ({error}): the clocks tell when this machine wakes"
                );
            }
            Err(error) => tracing::debug!("still no word from the system bus: {error}"),
        }
        let needed = *on_suspend.borrow_and_update() == OnSuspend::Close;
        alarm.set(Some(clock.instant() + if needed { pause } else { pause.max(LEISURE) }));
        tokio::select! {
            () = alarm.rung() => pause = (pause * 2).min(LONGEST_PAUSE),
            changed = on_suspend.changed() => match changed {
                Ok(()) => pause = FIRST_PAUSE,
                Err(_) => return,
            },
        }
    }
}

/// Why listening ended.
enum Over {
    EngineGone,
    BusGone,
}

/// Listens for as long as there is a bus.
async fn attend(
    on_suspend: &mut watch::Receiver<OnSuspend>,
    engine: &Handle,
    store: &Store,
    pause: &mut Duration,
) -> zbus::Result<Over> {
    let bus = within(connection::Builder::system()?.method_timeout(PATIENCE).build()).await?;
    let manager: Proxy<'_> = zbus::proxy::Builder::new(&bus)
        .destination(LOGIND)?
        .path(PATH)?
        .interface(INTERFACE)?
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    // Both know who owns the name, so nobody else can say that this machine sleeps.
    let mut words = within(manager.receive_signal("PrepareForSleep")).await?;
    let mut owners = within(manager.receive_owner_changed()).await?;
    let mut logind =
        Logind { is_there: is_there(&bus).await?, manager, asleep: false, lock: None, told: false };
    *pause = FIRST_PAUSE;
    tracing::debug!(logind = logind.is_there, "listening on the system bus for sleep and wake");
    if logind.is_there && logind.sleeps_already().await && logind.before_sleep(engine, store).await.is_err() {
        return Ok(Over::EngineGone);
    }
    loop {
        let wanted = *on_suspend.borrow_and_update() == OnSuspend::Close;
        logind.hold(wanted).await;
        let told = tokio::select! {
            word = words.next() => match word {
                None => return Ok(Over::BusGone),
                Some(word) => match word.body().deserialize::<bool>() {
                    Ok(true) => logind.before_sleep(engine, store).await,
                    Ok(false) => {
                        logind.asleep = false;
                        engine.tell_soon(Command::Woke).await.map_err(drop)
                    }
                    Err(error) => {
                        tracing::debug!("logind said something that makes no sense: {error}");
                        Ok(())
                    }
                },
            },
            owner = owners.next() => match owner {
                None => return Ok(Over::BusGone),
                Some(owner) => {
                    // What an owner that has gone granted, and what it was about to do, has gone with it.
                    logind.lock = None;
                    logind.asleep = false;
                    logind.told = false;
                    logind.is_there = owner.is_some();
                    Ok(())
                }
            },
            changed = on_suspend.changed() => changed.map_err(drop),
        };
        if told.is_err() {
            return Ok(Over::EngineGone);
        }
    }
}

/// logind, and what it granted.
struct Logind<'a> {
    manager: Proxy<'a>,
    is_there: bool,
    /// It said that it would sleep, and not yet that it woke.
    asleep: bool,
    /// While it is held, the machine waits before it sleeps.
    lock: Option<OwnedFd>,
    /// That it grants none was told.
    told: bool,
}

impl Logind<'_> {
    /// Whether it announced a sleep before anybody listened here.
    async fn sleeps_already(&self) -> bool {
        self.manager.get_property::<bool>("PreparingForSleep").await.unwrap_or(false)
    }

    /// Takes the lock, or gives it back.
    async fn hold(&mut self, wanted: bool) {
        if !wanted {
            self.lock = None;
            return;
        }
        if self.lock.is_some() || self.asleep || self.told || !self.is_there {
            return;
        }
        let why = "to say goodbye to the server";
        match self.manager.call::<_, _, OwnedFd>("Inhibit", &("sleep", "holdline", why, "delay")).await {
            Ok(lock) => self.lock = Some(lock),
            Err(error) => {
                self.told = true;
                tracing::warn!(
                    "logind does not let holdline close the line before this machine sleeps: {error}"
                );
            }
        }
    }

    /// The machine is about to sleep.
    async fn before_sleep(&mut self, engine: &Handle, store: &Store) -> Result<(), ()> {
        self.asleep = true;
        // Without the lock there is no time for a goodbye.
        let close = self.lock.is_some();
        tracing::info!(close, "the machine goes to sleep");
        let (done, closed) = oneshot::channel();
        let command = Command::Sleep { closed: close.then_some(done) };
        let goodbye = async {
            engine.tell_soon(command).await.map_err(drop)?;
            // An engine that ends meanwhile tells nobody.
            if close && closed.await.is_ok() {
                // What rides on the next commit has its commit now.
                let _ = store.probe().await;
            }
            Ok(())
        };
        let said = tokio::time::timeout(BEFORE_SLEEP, goodbye).await;
        self.lock = None;
        said.unwrap_or_else(|_| {
            tracing::debug!("the line was not closed in time; the machine is not held up for longer");
            Ok(())
        })
    }
}

async fn is_there(bus: &Connection) -> zbus::Result<bool> {
    let name = BusName::try_from(LOGIND)?;
    Ok(within(DBusProxy::new(bus)).await?.name_has_owner(name).await?)
}

/// A bus that hangs is none.
async fn within<T>(step: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(done) => done,
        Err(_) => Err(zbus::Error::Failure(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}
