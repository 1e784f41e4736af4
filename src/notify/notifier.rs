//! Decides about notifications.
//!
//! # The law
//! Pure: it is told the time and what happened, and says what is to be done. It holds nothing up:
//! what it cannot show is counted, and every list in it has an end.
//!
//! Each event goes one way: the first rule that fits and shows decides what is said; commands of all
//! rules that fit are run. What is to be shown passes, in this order, mute (nothing passes), quiet
//! hours (`critical` passes), the time after the link came up (all of it becomes one) and the burst (a
//! few pass in each window, the others become one at its end). What is stopped by the first two is
//! counted and not shown later. Then it waits for its turn with the desktop, which takes one at a time
//! and is left alone for a while when it does not work.
//!
//! Changes of the link are told once each: the same trouble again is no news before something else was
//! told, and that it is over is told to whoever was told of the trouble.

mod desk;
mod link;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::desk::{Job, Service};
use self::link::Told;
use super::breaker::Breaker;
use super::burst::Burst;
use super::gather::{Fit, Gathering};
use super::groups::{Group, Groups};
use super::quiet::{LocalTime, is_quiet};
use super::record::Record;
use super::rules::{self, Run};
use super::template::Failure;
use super::{Notice, On, Settings, Trouble, Urgency};
use crate::model::{
    EventRow, Instant, LinkStatus, Moment, NoticeEntry, NoticeOutcome, NotificationStatus, Seq, Timestamp,
};

/// How often a rule whose templates fail is told of in the log.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// What stands for a mute without end: the beginning of the year 9999.
pub const FOR_EVER: Timestamp = Timestamp::from_millis(253_370_764_800_000);

/// The time in the senses that are needed here.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For windows, deadlines and showing.
    pub moment: Moment,
    /// For quiet hours.
    pub local: LocalTime,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// An event came.
    Event(Arc<EventRow>),
    /// So many came too fast to be looked at.
    Missed(u64),
    /// The link is like this now.
    Link(Box<LinkStatus>),
    /// The desktop took what it was shown, under this number, or did not.
    Shown(Result<u32, Trouble>),
    /// As [`Input::Shown`], for one that a person asked for to see whether it works.
    Tested(Result<u32, Trouble>),
    /// Who the desktop is.
    Identified(Result<String, Trouble>),
    /// A command ended, or found no place; none: well.
    Ran(Option<String>),
    /// Nothing is shown before then; none: it is over.
    Mute(Option<Timestamp>),
    /// Another configuration.
    Settings(Settings),
    /// It is time.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Show it, and tell what came of it. There is never more than one of these at a time.
    Show(Notice),
    /// Run a command on this event.
    Run(Run, Arc<EventRow>),
    /// Ask the desktop who it is.
    Identify,
    /// Say so in the log; `true`: somebody should look.
    Log(bool, String),
}

/// Decides about notifications.
#[derive(Debug)]
pub struct Notifier {
    settings: Settings,
    muted_until: Option<Timestamp>,
    link: Told,
    /// Until when what comes is gathered, and what was.
    catch_up: Option<Instant>,
    missed: Gathering,
    burst: Burst,
    held: Gathering,
    /// When the last burst ended, and what was in it.
    streak: Option<(Instant, Gathering)>,
    queue: VecDeque<Job>,
    showing: Option<Job>,
    groups: Groups,
    breaker: Breaker,
    service: Service,
    record: Record,
    told: BTreeMap<usize, Instant>,
    outputs: VecDeque<Output>,
}

impl Notifier {
    /// One that is muted until then, as an earlier run left it.
    #[must_use]
    pub fn new(settings: Settings, muted_until: Option<Timestamp>) -> Self {
        let mut it = Self {
            settings,
            muted_until,
            link: Told::default(),
            catch_up: None,
            missed: Gathering::default(),
            burst: Burst::default(),
            held: Gathering::default(),
            streak: None,
            queue: VecDeque::new(),
            showing: None,
            groups: Groups::default(),
            breaker: Breaker::default(),
            service: Service::Unknown,
            record: Record::default(),
            told: BTreeMap::new(),
            outputs: VecDeque::new(),
        };
        it.look_for_service();
        it
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.tick(now);
        match input {
            Input::Event(row) => {
                if self.settings.enabled {
                    self.event(now, &row, false);
                }
            }
            Input::Missed(number) => {
                self.record.collapsed += number;
                self.note(now, NoticeOutcome::Collapsed, "behind", "several", number);
            }
            Input::Link(status) => self.link(now, &status),
            Input::Shown(outcome) => self.shown(now, outcome),
            Input::Tested(outcome) => self.tested(now, outcome),
            Input::Identified(outcome) => self.identified(now, outcome),
            Input::Ran(failure) => self.ran(now, failure),
            Input::Mute(until) => self.muted_until = until,
            Input::Settings(settings) => self.reconfigure(now, settings),
            Input::Tick => {}
        }
        self.pump(now);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due, if nothing else happens before. None where nothing waits.
    #[must_use]
    pub fn poll_timeout(&self, now: Moment) -> Option<Instant> {
        let burst = self.burst.ends(self.settings.burst_window).filter(|_| !self.held.is_empty());
        let catch_up = self.catch_up.filter(|_| !self.missed.is_empty());
        let mute = self.muted_until.filter(|until| *until < FOR_EVER);
        let mute = mute.map(|until| now.instant + until.since(now.steady));
        [burst, catch_up, mute].into_iter().flatten().min()
    }

    /// Whether it looks at events at all.
    #[must_use]
    pub fn wants_events(&self) -> bool {
        self.settings.enabled && self.settings.rules.iter().any(|rule| matches!(rule.on, On::Type(_)))
    }

    /// Whether notifications are switched on.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.settings.enabled
    }

    /// Until when it is muted, if it is.
    #[must_use]
    pub fn muted_until(&self, now: Moment) -> Option<Timestamp> {
        self.muted_until.filter(|until| now.steady < *until)
    }

    /// Why notifications cannot be shown although they are asked for.
    #[must_use]
    pub fn missing(&self) -> Option<&Trouble> {
        match &self.service {
            Service::Gone(trouble) if self.is_in_use() => Some(trouble),
            Service::Gone(_) | Service::Unknown | Service::Here(_) => None,
        }
    }

    /// As `status` shows it.
    #[must_use]
    pub fn status(&self, now: Now) -> NotificationStatus {
        let backend = match &self.service {
            Service::Here(name) if !name.is_empty() => Some(name.clone()),
            Service::Here(_) | Service::Gone(_) | Service::Unknown => None,
        };
        let here = matches!(self.service, Service::Here(_));
        let reason = match &self.service {
            _ if !self.settings.enabled => Some("they are switched off".to_owned()),
            Service::Here(_) => None,
            Service::Gone(trouble) => Some(trouble.to_string()),
            Service::Unknown if self.settings.rules.is_empty() => Some("no rule asks for any".to_owned()),
            Service::Unknown => Some("the desktop has not answered yet".to_owned()),
        };
        NotificationStatus {
            available: here && self.settings.enabled,
            backend,
            muted_until: self.muted_until(now.moment),
            shown: self.record.shown,
            collapsed: self.record.collapsed,
            suppressed: self.record.suppressed,
            failed: self.record.failed,
            reason,
            enabled: self.settings.enabled,
            rules: self.settings.rules.len() as u64,
            quiet: is_quiet(&self.settings.quiet, now.local),
            template_failed: self.record.template_failed,
            commands: self.record.run,
            commands_failed: self.record.run_failed,
        }
    }

    /// The newest lines of the record, oldest first.
    #[must_use]
    pub fn history(&self, limit: usize) -> Vec<NoticeEntry> {
        self.record.newest(limit)
    }

    fn is_in_use(&self) -> bool {
        self.settings.enabled && self.settings.rules.iter().any(|rule| rule.show)
    }

    /// Whoever has no rules pays for no look at the session bus.
    fn look_for_service(&mut self) {
        if self.is_in_use() && self.service == Service::Unknown {
            self.outputs.push_back(Output::Identify);
        }
    }

    /// Looks at an event. Gives whether a rule would show it and nothing stopped that.
    fn event(&mut self, now: Now, row: &Arc<EventRow>, link: bool) -> bool {
        let rules = Arc::clone(&self.settings.rules);
        let (mut decided, mut admitted) = (false, false);
        for (at, rule) in rules.iter().enumerate() {
            let shows = rule.show && !decided;
            if !(shows || rule.run.is_some()) || !rule.is_about(row, link) {
                continue;
            }
            match rule.fits(row) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(failure) => {
                    self.template_failed(now, at, &failure);
                    continue;
                }
            }
            if let Some(run) = &rule.run {
                self.outputs.push_back(Output::Run(run.clone(), Arc::clone(row)));
            }
            if shows {
                decided = true;
                admitted = self.admit(now, Fit { rules: Arc::clone(&rules), at, row: Arc::clone(row) }, link);
            }
        }
        admitted
    }

    /// Lets one in that a rule shows, unless mute or quiet hours stop it.
    fn admit(&mut self, now: Now, fit: Fit, link: bool) -> bool {
        if let Some(why) = self.stopped_by(now, fit.rule().urgency) {
            self.suppress(now, why, rules::kind(&fit.row), fit.row.seq);
            return false;
        }
        if !link && self.catches_up(now) {
            hold(&mut self.missed, &mut self.record, fit);
        } else {
            self.pass(now, fit);
        }
        true
    }

    fn stopped_by(&self, now: Now, urgency: Urgency) -> Option<&'static str> {
        if self.muted_until(now.moment).is_some() {
            Some("muted")
        } else if urgency != Urgency::Critical && is_quiet(&self.settings.quiet, now.local) {
            Some("quiet")
        } else {
            None
        }
    }

    fn suppress(&mut self, now: Now, why: &str, kind: &str, seq: Option<Seq>) {
        self.record.suppressed += 1;
        let entry = entry(now, NoticeOutcome::Suppressed, Some(why), kind);
        self.record.note(NoticeEntry { seq, ..entry });
    }

    fn pass(&mut self, now: Now, fit: Fit) {
        if self.burst.offer(now.moment.instant, self.settings.burst, self.settings.burst_window) {
            self.say(now, &fit);
        } else {
            hold(&mut self.held, &mut self.record, fit);
        }
    }

    /// What waited long enough goes on.
    fn tick(&mut self, now: Now) {
        if self.muted_until.is_some_and(|until| until <= now.moment.steady) {
            self.muted_until = None;
        }
        if self.catch_up.is_some_and(|until| until <= now.moment.instant) {
            self.catch_up = None;
            let mut missed = std::mem::take(&mut self.missed);
            if let Some(fit) = missed.alone() {
                self.pass(now, fit);
            } else if !missed.is_empty() {
                self.collapsed(now, "catch_up", &missed);
                if self.burst.offer(now.moment.instant, self.settings.burst, self.settings.burst_window) {
                    self.sum_up(now, &missed, "while the line was away", Group::CatchUp);
                } else {
                    self.record.collapsed += u64::from(self.held.number == 1);
                    self.held.join(missed);
                }
            }
        }
        let Some(end) = self.burst.ends(self.settings.burst_window) else { return };
        if end <= now.moment.instant && !self.held.is_empty() {
            self.end_burst(now, end);
        }
    }

    /// A window has ended that had more than it lets through.
    fn end_burst(&mut self, now: Now, end: Instant) {
        let mut held = std::mem::take(&mut self.held);
        if let Some(fit) = held.alone() {
            return self.say(now, &fit);
        }
        self.collapsed(now, "burst", &held);
        match self.streak.take() {
            // One burst that goes on stays one notification, with a number that grows.
            Some((last, before)) if last + 2 * self.settings.burst_window >= end => held.join(before),
            _ => self.groups.forget(&Group::Burst),
        }
        self.sum_up(now, &held, "at once", Group::Burst);
        self.streak = Some((end, held));
    }

    fn collapsed(&mut self, now: Now, why: &str, gathered: &Gathering) {
        let entry = entry(now, NoticeOutcome::Collapsed, Some(why), &gathered.kind());
        self.record.note(NoticeEntry { seq: gathered.last, count: gathered.number, ..entry });
    }

    fn sum_up(&mut self, now: Now, gathered: &Gathering, when: &str, group: Group) {
        let urgency = gathered.urgency();
        if let Some(why) = self.stopped_by(now, urgency) {
            return self.suppress(now, why, &gathered.kind(), gathered.last);
        }
        let notice = Notice {
            title: gathered.title(when),
            body: gathered.body(),
            urgency,
            sound: None,
            replaces: None,
        };
        let (kind, seq) = (gathered.kind(), gathered.last);
        self.enqueue(now, Job { notice, group: Some(group), kind, seq, failure: None });
    }

    fn say(&mut self, now: Now, fit: &Fit) {
        let rule = fit.rule();
        // It may have waited.
        if let Some(why) = self.stopped_by(now, rule.urgency) {
            return self.suppress(now, why, rules::kind(&fit.row), fit.row.seq);
        }
        let said = rule.say(&fit.row);
        if let Some(failure) = &said.failure {
            self.template_failed(now, fit.at, failure);
        }
        let value = match rule.on {
            On::Link => rule.group_of(&fit.row).or(Some(String::new())),
            On::Type(_) => rule.group_of(&fit.row),
        };
        let group = value.map(|value| Group::Of { family: rule.family(), value });
        let notice = Notice {
            title: said.title,
            body: said.body,
            urgency: rule.urgency,
            sound: rule.sound.clone(),
            replaces: None,
        };
        let (kind, seq) = (rules::kind(&fit.row).to_owned(), fit.row.seq);
        self.enqueue(now, Job { notice, group, kind, seq, failure: said.failure });
    }

    fn ran(&mut self, now: Now, failure: Option<String>) {
        self.record.run += 1;
        if let Some(detail) = failure {
            self.record.run_failed += 1;
            let entry = entry(now, NoticeOutcome::Failed, Some("command"), "command");
            self.record.note(NoticeEntry { detail: Some(detail), ..entry });
        }
    }

    /// Counts it, and tells it seldom.
    fn template_failed(&mut self, now: Now, at: usize, failure: &Failure) {
        self.record.template_failed += 1;
        let last = self.told.get(&at);
        if last.is_none_or(|last| now.moment.instant.since(*last) >= TOLD_EVERY) {
            self.told.insert(at, now.moment.instant);
            let text = format!("a template of notify[{at}] cannot be used on an event: {failure}");
            self.outputs.push_back(Output::Log(true, text));
        }
    }

    fn note(&mut self, now: Now, outcome: NoticeOutcome, why: &str, kind: &str, count: u64) {
        let entry = entry(now, outcome, Some(why), kind);
        self.record.note(NoticeEntry { count, ..entry });
    }

    fn reconfigure(&mut self, now: Now, settings: Settings) {
        if settings.rules != self.settings.rules {
            self.told.clear();
        }
        if !settings.enabled {
            let waiting = self.queue.len() as u64 + self.held.number + self.missed.number;
            self.queue.clear();
            (self.held, self.missed, self.catch_up) = Default::default();
            if waiting > 0 {
                self.record.suppressed += waiting;
                self.note(now, NoticeOutcome::Suppressed, "off", "several", waiting);
            }
        }
        self.settings = settings;
        self.look_for_service();
    }
}

/// One more that is not shown by itself. The first may yet be.
fn hold(gathering: &mut Gathering, record: &mut Record, fit: Fit) {
    gathering.add(fit);
    record.collapsed += match gathering.number {
        1 => 0,
        2 => 2,
        _ => 1,
    };
}

fn entry(now: Now, outcome: NoticeOutcome, why: Option<&str>, kind: &str) -> NoticeEntry {
    NoticeEntry {
        at: now.moment.wall,
        outcome,
        reason: why.map(str::to_owned),
        detail: None,
        kind: super::text::title(kind),
        title: None,
        seq: None,
        count: 1,
    }
}

#[cfg(test)]
mod tests;
