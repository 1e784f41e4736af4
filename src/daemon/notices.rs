//! Notifications: looks at events as an app would, and lets the desktop have what is worth it.
//!
//! It pulls from the live edge of the events, so it slows nobody down; where it falls behind it counts
//! what it did not see and goes on. The desktop is waited for beside all that, one notification at a
//! time and never for long. It wakes for nothing while no rule asks for events.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};

use crate::clock::{Alarm, Clock};
use crate::engine::Fanout;
use crate::model::{
    ErrorKind, EventRow, HealthEntry, LinkStatus, NoticeEntry, NotificationStatus, Refusal, Seq, Severity,
    Timestamp,
};
use crate::notify::desktop::screen;
use crate::notify::{
    Ended, Errand, FOR_EVER, Input, LocalTime, Notice, Notifier, Now, Output, Run, Runner, Screen, Settings,
    Trouble, Urgency,
};
use crate::rpc::event_line;
use crate::store::Store;

/// How long the desktop may take for one notification.
const SHOW: Duration = Duration::from_secs(2);
/// How long is waited at the end for commands to end.
const CLOSE: Duration = Duration::from_secs(2);
/// Rows looked at in one go.
const ROWS: usize = 64;
/// Commands that wait for a place …
const COMMANDS: usize = 1_024;
/// … and bytes of the events they wait with.
const COMMAND_BYTES: usize = 16 << 20;
/// Under which name the store keeps until when it is muted.
const MUTED: &str = "notifications_muted_until";

/// The part of the daemon that deals with notifications.
#[derive(Debug)]
pub(super) struct Notices {
    clock: Clock,
    fanout: Arc<Fanout>,
    store: Store,
    screen: Arc<dyn Screen>,
    runner: Runner,
    notifier: Mutex<Notifier>,
    /// One at a time: what is on disk and what holds go together.
    muting: tokio::sync::Mutex<()>,
    /// Something was told by others: there may be something to do.
    wake: Notify,
    /// The last event there was before the link was first up.
    begin: Seq,
}

impl Notices {
    /// Made before the first event can come.
    pub(super) async fn new(clock: Clock, fanout: Arc<Fanout>, store: Store, settings: Settings) -> Self {
        let muted = match store.value_get(MUTED).await {
            Ok(value) => value.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis),
            Err(refusal) => {
                tracing::warn!("whether notifications are muted cannot be read: {refusal}");
                None
            }
        };
        let muted = muted.filter(|until| *until > clock.now().steady);
        let begin = *fanout.tail.watch().borrow();
        let it = Self {
            clock,
            fanout,
            store,
            screen: screen(),
            runner: Runner::default(),
            notifier: Mutex::new(Notifier::new(settings, muted)),
            muting: tokio::sync::Mutex::new(()),
            wake: Notify::new(),
            begin,
        };
        it.show_health();
        it
    }

    fn now(&self) -> Now {
        let moment = self.clock.now();
        Now { moment, local: LocalTime::here(moment.wall) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Notifier) -> T) -> T {
        work(&mut self.notifier.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn handle(&self, input: Input) {
        let now = self.now();
        self.with(|notifier| notifier.handle(now, input));
    }

    /// As [`Notices::handle`], from beside the loop.
    fn tell(&self, input: Input) {
        self.handle(input);
        self.show_health();
        self.wake.notify_one();
    }

    /// As `status` shows it.
    pub(super) fn status(&self) -> NotificationStatus {
        let now = self.now();
        self.with(|notifier| notifier.status(now))
    }

    /// The newest lines of the record, oldest first.
    pub(super) fn history(&self, limit: usize) -> Vec<NoticeEntry> {
        self.with(|notifier| notifier.history(limit))
    }

    /// Takes another configuration.
    pub(super) fn reconfigure(&self, settings: Settings) {
        self.tell(Input::Settings(settings));
    }

    /// Shows nothing for so long, or until further notice. On disk when it comes back.
    pub(super) async fn mute(&self, span: Option<Duration>) -> Result<Timestamp, Refusal> {
        let _turn = self.muting.lock().await;
        let now = self.clock.now().steady;
        let until = span.map_or(FOR_EVER, |span| now.after(span).min(FOR_EVER));
        self.remember(Some(until)).await?;
        self.tell(Input::Mute(Some(until)));
        Ok(until)
    }

    /// Ends that.
    pub(super) async fn unmute(&self) -> Result<(), Refusal> {
        let _turn = self.muting.lock().await;
        self.remember(None).await?;
        self.tell(Input::Mute(None));
        Ok(())
    }

    async fn remember(&self, until: Option<Timestamp>) -> Result<(), Refusal> {
        self.store.value_set(MUTED, until.map(|until| until.as_millis().to_string())).await
    }

    /// Shows one now, whatever mute and quiet hours say: somebody asks whether it works.
    pub(super) async fn test(&self) -> Result<(), Refusal> {
        if !self.with(|notifier| notifier.enabled()) {
            return Err(Refusal::new(ErrorKind::Unsupported, "notifications are switched off")
                .hint("set `enabled = true` in [notifications] and reload"));
        }
        let notice = Notice {
            title: "holdline".to_owned(),
            body: "This is how a notification looks.".to_owned(),
            urgency: Urgency::Normal,
            sound: None,
            replaces: None,
        };
        let outcome = show(Arc::clone(&self.screen), notice).await;
        self.tell(Input::Tested(outcome.clone()));
        outcome.map(|_| ()).map_err(|trouble| match trouble {
            Trouble::Absent(_) => Refusal::new(ErrorKind::Unsupported, trouble.to_string()).hint(
                "notifications need a desktop session that shows some; nothing else depends on it. They work as soon as one is there",
            ),
            Trouble::Silent => Refusal::new(ErrorKind::Timeout, trouble.to_string())
                .hint("the desktop's notification service hangs; starting it anew helps"),
            Trouble::Failed(_) => Refusal::new(ErrorKind::Unsupported, trouble.to_string())
                .hint("what the desktop's notification service says itself may tell more"),
        })
    }

    /// Ends the commands that run.
    pub(super) async fn close(&self) {
        if tokio::time::timeout(CLOSE, self.runner.close()).await.is_err() {
            tracing::warn!("the command of a notification rule cannot be ended");
        }
    }

    /// What people should know although it is no fault.
    fn show_health(&self) {
        let now = self.clock.now();
        let (muted, missing) =
            self.with(|notifier| (notifier.muted_until(now), notifier.missing().map(ToString::to_string)));
        let health = &self.fanout.health;
        let put = |code: &str, text: Option<String>, hint: &str| match text {
            Some(text) => health.put(HealthEntry {
                code: code.to_owned(),
                severity: Severity::Info,
                since: now.wall,
                text,
                hint: hint.to_owned(),
            }),
            None => health.clear(code),
        };
        let muted = muted.map(|until| match until {
            FOR_EVER => "notifications are muted".to_owned(),
            until => format!("notifications are muted until {}", until.brief()),
        });
        put("notifications_muted", muted, "`holdline ctl notify unmute` ends it");
        let missing = missing.map(|why| format!("notifications cannot be shown: {why}"));
        put(
            "notifications_unavailable",
            missing,
            "nothing else depends on it; `holdline ctl notify test` tries it again",
        );
    }
}

async fn show(screen: Arc<dyn Screen>, notice: Notice) -> Result<u32, Trouble> {
    tokio::time::timeout(SHOW, screen.show(&notice)).await.unwrap_or(Err(Trouble::Silent))
}

async fn identify(screen: Arc<dyn Screen>) -> Result<String, Trouble> {
    tokio::time::timeout(SHOW, screen.identify()).await.unwrap_or(Err(Trouble::Silent))
}

/// What is under way with the desktop.
type Underway<T> = Option<Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send>>>;

/// Waits for it; for ever where there is nothing.
async fn end_of<T>(underway: &mut Underway<T>) -> Result<T, Trouble> {
    match underway {
        Some(future) => {
            let outcome = future.as_mut().await;
            *underway = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

/// Runs until it is dropped.
pub(super) async fn keep(notices: Arc<Notices>) {
    let mut work = Work {
        link: notices.fanout.link.subscribe(),
        last: notices.fanout.tail.watch(),
        next: Some(notices.begin),
        ephemeral: None,
        showing: None,
        identifying: None,
        commands: VecDeque::new(),
        command_bytes: 0,
        notices,
    };
    let mut alarm = Alarm::new(work.notices.clock);
    // What has come meanwhile.
    work.last.mark_changed();
    let first = work.link.borrow_and_update().clone();
    work.notices.handle(Input::Link(Box::new(first)));
    loop {
        work.carry_out();
        work.notices.show_health();
        let now = work.notices.clock.now();
        let (due, hungry) =
            work.notices.with(|notifier| (notifier.poll_timeout(now), notifier.wants_events()));
        alarm.set(due);
        work.listen(hungry);
        tokio::select! {
            () = work.notices.wake.notified() => {}
            changed = work.link.changed() => match changed {
                Ok(()) => work.look_at_link(),
                Err(_) => return,
            },
            outcome = end_of(&mut work.showing) => work.notices.handle(Input::Shown(outcome)),
            outcome = end_of(&mut work.identifying) => work.notices.handle(Input::Identified(outcome)),
            changed = work.last.changed(), if hungry => match changed {
                Ok(()) => work.pull(),
                Err(_) => return,
            },
            came = next_ephemeral(&mut work.ephemeral) => match came {
                Ok(row) => work.notices.handle(Input::Event(row)),
                Err(RecvError::Lagged(missed)) => work.notices.handle(Input::Missed(missed)),
                Err(RecvError::Closed) => return,
            },
            () = alarm.rung() => work.notices.handle(Input::Tick),
        }
    }
}

async fn next_ephemeral(
    feed: &mut Option<broadcast::Receiver<Arc<EventRow>>>,
) -> Result<Arc<EventRow>, RecvError> {
    match feed {
        Some(feed) => feed.recv().await,
        None => std::future::pending().await,
    }
}

struct Work {
    notices: Arc<Notices>,
    link: watch::Receiver<LinkStatus>,
    last: watch::Receiver<Seq>,
    /// Looked at through here; none while events are not asked for.
    next: Option<Seq>,
    ephemeral: Option<broadcast::Receiver<Arc<EventRow>>>,
    showing: Underway<u32>,
    identifying: Underway<String>,
    /// Commands that wait for a place.
    commands: VecDeque<(Run, Arc<EventRow>)>,
    command_bytes: usize,
}

impl Work {
    /// Listens to events while they are asked for. What came while they were not is not looked at.
    fn listen(&mut self, hungry: bool) {
        if !hungry {
            self.ephemeral = None;
            self.next = None;
        } else if self.ephemeral.is_none() {
            self.ephemeral = Some(self.notices.fanout.ephemeral.subscribe());
            self.next = self.next.or_else(|| Some(*self.last.borrow_and_update()));
        }
    }

    fn look_at_link(&mut self) {
        let now = self.link.borrow_and_update().clone();
        self.notices.handle(Input::Link(Box::new(now)));
    }

    /// Looks at some of what has come.
    fn pull(&mut self) {
        // How the link stands decides about the events behind it.
        if self.link.has_changed().unwrap_or(false) {
            self.look_at_link();
        }
        let Some(next) = self.next else { return };
        match self.notices.fanout.tail.after(next, ROWS) {
            Some((rows, last)) => {
                let now = self.notices.now();
                self.next = rows.last().and_then(|row| row.seq).or(self.next);
                self.notices.with(|notifier| {
                    for row in rows {
                        notifier.handle(now, Input::Event(row));
                    }
                });
                if self.next < Some(last) {
                    // The desktop has its turn in between.
                    self.last.mark_changed();
                }
            }
            None => {
                let last = *self.last.borrow_and_update();
                self.notices.handle(Input::Missed(u64::try_from(last.0 - next.0).unwrap_or(0)));
                self.next = Some(last);
            }
        }
    }

    /// Does what the notifier says.
    fn carry_out(&mut self) {
        while let Some(output) = self.notices.with(Notifier::poll_output) {
            match output {
                Output::Show(notice) => {
                    self.showing = Some(Box::pin(show(Arc::clone(&self.notices.screen), notice)));
                }
                Output::Identify => {
                    self.identifying
                        .get_or_insert_with(|| Box::pin(identify(Arc::clone(&self.notices.screen))));
                }
                Output::Run(run, row) => self.command(run, row),
                Output::Log(true, text) => tracing::warn!("{text}"),
                Output::Log(false, text) => tracing::info!("{text}"),
            }
        }
        self.hand_over();
    }

    fn command(&mut self, run: Run, row: Arc<EventRow>) {
        let bytes = event_line(&row).map_or(0, |line| line.len());
        if self.commands.len() == COMMANDS || self.command_bytes + bytes > COMMAND_BYTES {
            let text = "too many commands of rules wait already".to_owned();
            return self.notices.handle(Input::Ran(Some(text)));
        }
        self.command_bytes += bytes;
        self.commands.push_back((run, row));
    }

    /// Gives commands to the runner while it has places.
    fn hand_over(&mut self) {
        while let Some((run, row)) = self.commands.front() {
            let line = event_line(row).unwrap_or_default();
            let bytes = line.len();
            let input = format!("{line}\n").into();
            let errand = Errand { argv: Arc::clone(&run.argv), timeout: run.timeout, input };
            let notices = Arc::downgrade(&self.notices);
            let ended = move |how| {
                let Some(notices) = notices.upgrade() else { return };
                notices.tell(Input::Ran(match how {
                    Ended::Well => None,
                    Ended::Badly(why) => Some(why),
                }));
            };
            if self.notices.runner.hand_over(errand, ended).is_err() {
                return;
            }
            self.command_bytes -= bytes;
            self.commands.pop_front();
        }
    }
}
