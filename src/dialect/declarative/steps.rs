//! Start-up: one step after the other, then messages flow and the subscriptions begin.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::condition::{Condition, Facts, Subject};
use super::hole::{Base, Drawn, Said};
use super::roles::{Findings, body};
use super::spec::{MAX_STEP_ITEMS, Sentence, Spec, Step};
use super::talk::{Around, Talk, verdict, words};
use super::value::Value;
use crate::dialect::Act;
use crate::model::{Failure, Instant, Moment, Severity};

/// How far start-up is.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    phase: Phase,
    /// The next step of `[[start]]`.
    next: usize,
    /// Items of the step that is under way, still to come.
    items: VecDeque<Arc<str>>,
    /// The step under way.
    current: Option<Active>,
    /// Subscriptions that are not answered yet, oldest first.
    open: Vec<Active>,
    /// The server was asked to go on from a cursor, and said yes.
    resumed: bool,
    /// It said that events were lost.
    lost: bool,
    /// Streams whose cursor this connection was the first to take.
    fresh: BTreeSet<Arc<str>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Starting,
    Started,
}

/// A step that waits for a frame.
#[derive(Debug)]
struct Active {
    which: Which,
    item: Option<Arc<str>>,
    /// It has not sent anything yet.
    waiting: bool,
    drawn: Drawn,
    /// It carried a cursor of an earlier connection.
    asked: bool,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Start(usize),
    Subscribe(usize),
}

impl Which {
    fn of(self, spec: &Spec) -> &Step {
        match self {
            Self::Start(index) => &spec.start[index],
            Self::Subscribe(index) => &spec.subscribe[index],
        }
    }
}

/// What a frame is to a step.
enum Fit {
    /// What it waited for before it sends.
    Awaited,
    Ok,
    Fail,
}

impl Steps {
    /// Nobody waits for a frame.
    pub(super) fn idle(&self) -> bool {
        self.current.is_none() && self.open.is_empty()
    }

    pub(super) fn lost_events(&mut self) {
        self.lost = true;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.current.iter().chain(&self.open).map(|active| active.deadline).min()
    }

    fn actives(&self) -> impl Iterator<Item = (Slot, &Active)> {
        let current = self.current.iter().map(|active| (Slot::Current, active));
        current.chain(self.open.iter().enumerate().map(|(index, active)| (Slot::Open(index), active)))
    }

    fn take(&mut self, slot: Slot) -> Option<Active> {
        match slot {
            Slot::Current => self.current.take(),
            Slot::Open(index) => (index < self.open.len()).then(|| self.open.remove(index)),
        }
    }

    fn put(&mut self, slot: Slot, active: Active) {
        match slot {
            Slot::Current => self.current = Some(active),
            Slot::Open(index) => self.open.insert(index.min(self.open.len()), active),
        }
    }
}

/// Where an active step stands.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Current,
    Open(usize),
}

impl Talk {
    pub(super) fn begin_steps(&mut self) {
        self.steps = Steps { phase: Phase::Starting, ..Steps::default() };
    }

    /// Goes as far as is possible without another frame.
    pub(super) fn go_on(&mut self, at: Moment, findings: &mut Findings) {
        if self.steps.phase != Phase::Starting {
            return;
        }
        let spec = Arc::clone(&self.spec);
        while self.steps.phase == Phase::Starting && self.steps.current.is_none() && !findings.is_judged() {
            if let Some(item) = self.steps.items.pop_front() {
                let which = Which::Start(self.steps.next - 1);
                self.steps.current = self.begin_step(at, which, Some(item), findings);
                continue;
            }
            let index = self.steps.next;
            if index == spec.start.len() {
                self.started(at, findings);
                return;
            }
            self.steps.next += 1;
            match self.items(at, &spec.start[index], findings) {
                Some(items) => self.steps.items = items,
                None => self.steps.current = self.begin_step(at, Which::Start(index), None, findings),
            }
        }
    }

    /// The items of a step: none for a step that is done once, an empty list for one that is not
    /// done at all.
    fn items(&self, at: Moment, step: &Step, findings: &mut Findings) -> Option<VecDeque<Arc<str>>> {
        let mut scope = self.scope(at, Around::default());
        scope.cursor = self.cursors.get(&*self.lone).map(|cursor| &**cursor);
        if step.only_if.as_ref().is_some_and(|only_if| !only_if.holds(&scope, Facts::Message)) {
            return Some(VecDeque::new());
        }
        let list = step.each.as_ref()?.value(&scope);
        let items = list.and_then(|list| {
            list.with_doc(|list| {
                let all: VecDeque<Arc<str>> =
                    list.items().take(MAX_STEP_ITEMS + 1).map(|item| item.json().into()).collect();
                all
            })
        });
        let mut items = items.unwrap_or_default();
        if items.len() > MAX_STEP_ITEMS {
            items.truncate(MAX_STEP_ITEMS);
            let text =
                format!("{} has more than {MAX_STEP_ITEMS} items; the others were left out", step.label);
            findings.health("dialect_limit", Severity::Warning, text, "make the list shorter");
        }
        Some(items)
    }

    fn started(&mut self, at: Moment, findings: &mut Findings) {
        self.steps.phase = Phase::Started;
        let spec = Arc::clone(&self.spec);
        for (index, step) in spec.subscribe.iter().enumerate() {
            let items = match self.items(at, step, findings) {
                Some(items) => items.into_iter().map(Some).collect(),
                None => vec![None],
            };
            for item in items {
                if let Some(active) = self.begin_step(at, Which::Subscribe(index), item, findings) {
                    self.steps.open.push(active);
                }
            }
        }
        let resumed = match (self.steps.lost, self.steps.resumed) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        };
        findings.acts.push(Act::Started { resumed });
    }

    /// The step, unless it is finished already.
    fn begin_step(
        &mut self,
        at: Moment,
        which: Which,
        item: Option<Arc<str>>,
        findings: &mut Findings,
    ) -> Option<Active> {
        let spec = Arc::clone(&self.spec);
        let step = which.of(&spec);
        let waiting = step.wait.is_some();
        let deadline = at.instant + self.patience(step).0;
        let active = Active { which, item, waiting, drawn: Drawn::default(), asked: false, deadline };
        if waiting { Some(active) } else { self.send_step(at, active, None, findings) }
    }

    /// How long a step waits, and whether it goes on without an answer. What the configuration
    /// says of the sign-in stands over the file.
    fn patience(&self, step: &Step) -> (std::time::Duration, bool) {
        match self.sign_in {
            Some(sign_in) if step.sends(&Base::Token) => (sign_in.timeout, !sign_in.required),
            _ => (step.timeout, step.go_on),
        }
    }

    /// Sends what the step sends; the step comes back if it wants an answer.
    fn send_step(
        &mut self,
        at: Moment,
        mut active: Active,
        message: Option<Said<'_>>,
        findings: &mut Findings,
    ) -> Option<Active> {
        let spec = Arc::clone(&self.spec);
        let step = active.which.of(&spec);
        if let Some(send) = &step.send {
            let item = active.item.clone();
            let around = Around { message, outer: None, item: item.as_deref() };
            let names_cursor = send.names(&Base::Cursor);
            let cursor = if names_cursor { self.cursor_to_send(at, step, around, findings) } else { None };
            active.asked = cursor.as_ref().is_some_and(|(_, stored)| *stored);
            let cursor = cursor.map(|(cursor, _)| cursor);
            let (frame, drawn) = self.say(at, send, around, cursor.as_deref());
            active.drawn = drawn;
            if let Some(frame) = frame {
                findings.send(frame);
            }
        }
        active.waiting = false;
        step.ok.as_ref()?;
        active.deadline = at.instant + self.patience(step).0;
        Some(active)
    }

    /// The cursor of the step's stream, and whether an earlier connection left it. The first
    /// one of a stream is stored at once.
    fn cursor_to_send(
        &mut self,
        at: Moment,
        step: &Step,
        around: Around<'_>,
        findings: &mut Findings,
    ) -> Option<(Arc<str>, bool)> {
        let scope = self.scope(at, around);
        let stream = self.stream(step.effects.stream.as_ref(), &scope);
        if let Some(cursor) = self.cursors.get(&stream) {
            return Some((Arc::clone(cursor), !self.steps.fresh.contains(&stream)));
        }
        let initial = body(self.spec.initial.as_ref()?.value(&scope)?);
        self.set_cursor(stream, Arc::clone(&initial), findings);
        Some((initial, false))
    }

    /// Lets the steps look at a message. Some: it answered one, whose item is inside.
    pub(super) fn answer(
        &mut self,
        at: Moment,
        around: Around<'_>,
        raw: Option<&str>,
        findings: &mut Findings,
    ) -> Option<Option<Arc<str>>> {
        if self.steps.idle() {
            return None;
        }
        let spec = Arc::clone(&self.spec);
        let hit = self.steps.actives().find_map(|(slot, active)| {
            Some((slot, self.fit(at, active, active.which.of(&spec), around, raw)?))
        });
        let (slot, fit) = hit?;
        let active = self.steps.take(slot)?;
        let step = active.which.of(&spec);
        let item = active.item.clone();
        let around = Around { item: item.as_deref(), ..around };
        match fit {
            Fit::Awaited => {
                if step.ok.is_none() {
                    self.take_from_answer(at, step, around, findings);
                }
                if let Some(active) = self.send_step(at, active, around.message, findings) {
                    self.steps.put(slot, active);
                }
            }
            Fit::Ok => {
                self.steps.resumed |= active.asked;
                self.take_from_answer(at, step, around, findings);
            }
            Fit::Fail => self.refused(at, &active, step, around, findings),
        }
        Some(item)
    }

    /// What the step takes from the frame that finished it.
    fn take_from_answer(&mut self, at: Moment, step: &Step, around: Around<'_>, findings: &mut Findings) {
        let stream = self.stream(step.effects.stream.as_ref(), &self.scope(at, around));
        let known = self.cursors.contains_key(&stream);
        self.take_along(at, &step.effects, around, true, findings);
        if !known && self.cursors.contains_key(&stream) {
            self.steps.fresh.insert(stream);
        }
    }

    fn fit(
        &self,
        at: Moment,
        active: &Active,
        step: &Step,
        around: Around<'_>,
        raw: Option<&str>,
    ) -> Option<Fit> {
        let mut scope = self.scope(at, Around { item: active.item.as_deref(), ..around });
        scope.drawn = Some(&active.drawn);
        let stream = self.stream(step.effects.stream.as_ref(), &scope);
        scope.cursor = self.cursors.get(&stream).map(|cursor| &**cursor);
        let holds = |condition: &Option<Condition>| {
            condition.as_ref().is_some_and(|condition| match (condition.subject, raw, around.message) {
                (Subject::Raw, Some(raw), _) => condition.holds(&scope, Facts::Raw(raw)),
                (Subject::Frame, _, Some(Said::Doc(_))) => condition.holds(&scope, Facts::Message),
                _ => false,
            })
        };
        let awaited = if active.waiting { (&step.wait, Fit::Awaited) } else { (&step.ok, Fit::Ok) };
        if holds(awaited.0) {
            Some(awaited.1)
        } else if holds(&step.fail) {
            Some(Fit::Fail)
        } else {
            None
        }
    }

    fn refused(
        &mut self,
        at: Moment,
        active: &Active,
        step: &Step,
        around: Around<'_>,
        findings: &mut Findings,
    ) {
        let scope = self.scope(at, around);
        let code = words(step.code.as_ref(), &scope);
        let message = words(step.message.as_ref(), &scope);
        let default = if step.sends(&Base::Token) { Sentence::Unauthorized } else { Sentence::Misconfigured };
        let sentence = match active.which {
            Which::Start(_) => Some(step.fail_as.unwrap_or(default)),
            Which::Subscribe(_) => step.fail_as,
        };
        match sentence {
            Some(sentence) => {
                findings.judge(Failure::Ruled { verdict: verdict(sentence, None), code, message });
            }
            None => {
                let mut text = format!("the server refused {}", self.named(active, step));
                for word in [code, message].into_iter().flatten() {
                    text.push_str(": ");
                    text.push_str(&word);
                }
                let hint = "its events do not come; check the configuration of what is subscribed to";
                findings.health("subscription_refused", Severity::Warning, text, hint);
            }
        }
    }

    fn named(&self, active: &Active, step: &Step) -> String {
        match &active.item {
            Some(item) => {
                let item = super::roles::clean(&Value::Json((&**item).into()).text());
                format!("{} for {item}", step.label)
            }
            None => step.label.clone(),
        }
    }

    pub(super) fn time_is_up(&mut self, at: Moment, findings: &mut Findings) {
        let spec = Arc::clone(&self.spec);
        let mut late = Vec::new();
        if self.steps.current.as_ref().is_some_and(|active| active.deadline <= at.instant) {
            late.extend(self.steps.current.take());
        }
        let mut index = 0;
        while index < self.steps.open.len() {
            if self.steps.open[index].deadline <= at.instant {
                late.push(self.steps.open.remove(index));
            } else {
                index += 1;
            }
        }
        for active in late {
            let step = active.which.of(&spec);
            let (after, go_on) = self.patience(step);
            if go_on {
                // As if answered: what is still to be sent is sent.
                if active.waiting {
                    let slot = if matches!(active.which, Which::Start(_)) {
                        Slot::Current
                    } else {
                        Slot::Open(usize::MAX)
                    };
                    if let Some(active) = self.send_step(at, active, None, findings) {
                        self.steps.put(slot, active);
                    }
                }
                continue;
            }
            let label = self.named(&active, step);
            match (active.which, step.fail_as) {
                (Which::Start(_), _) => findings.judge(Failure::StartTimeout {
                    step: label,
                    after,
                    sign_in: step.sends(&Base::Token),
                }),
                (Which::Subscribe(_), Some(sentence)) => findings.judge(Failure::Ruled {
                    verdict: verdict(sentence, None),
                    code: None,
                    message: Some(format!("no answer to {label} within {} s", after.as_secs())),
                }),
                (Which::Subscribe(_), None) => findings.health(
                    "subscription_unanswered",
                    Severity::Warning,
                    format!("the server did not answer {label} within {} s", after.as_secs()),
                    "its events may not come; check the configuration of what is subscribed to",
                ),
            }
        }
    }
}
