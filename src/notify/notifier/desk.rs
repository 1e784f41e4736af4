//! On the way to the desktop: one after the other, and none while it does not work.

use super::{Notifier, Now, Output, entry};
use crate::model::{NoticeEntry, NoticeOutcome, Seq};
use crate::notify::groups::Group;
use crate::notify::template::Failure;
use crate::notify::{Notice, Trouble};

/// Notifications that wait for their turn with the desktop.
pub(super) const QUEUE: usize = 32;

/// Whether somebody shows notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Service {
    /// Nobody has asked.
    Unknown,
    /// Yes, under this name.
    Here(String),
    /// No.
    Gone(Trouble),
}

/// One on its way to the desktop.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) notice: Notice,
    pub(super) group: Option<Group>,
    pub(super) kind: String,
    pub(super) seq: Option<Seq>,
    pub(super) failure: Option<Failure>,
}

impl Notifier {
    pub(super) fn enqueue(&mut self, now: Now, job: Job) {
        let waiting = self.queue.iter_mut().find(|it| job.group.is_some() && it.group == job.group);
        if let Some(older) = waiting {
            let older = std::mem::replace(older, job);
            self.record.collapsed += 1;
            self.note(now, NoticeOutcome::Collapsed, "replaced", &older.kind, 1);
        } else if self.queue.len() < QUEUE {
            self.queue.push_back(job);
        } else {
            self.fail(now, job, "queue", "the desktop is too slow for so many".to_owned());
        }
    }

    /// Hands the next one to the desktop.
    pub(super) fn pump(&mut self, now: Now) {
        while self.showing.is_none()
            && let Some(mut job) = self.queue.pop_front()
        {
            if self.breaker.allows(now.moment.instant) {
                job.notice.replaces = job.group.as_ref().and_then(|group| self.groups.find(group));
                self.outputs.push_back(Output::Show(job.notice.clone()));
                self.showing = Some(job);
            } else {
                let why = match &self.service {
                    Service::Gone(trouble) => trouble.to_string(),
                    Service::Unknown | Service::Here(_) => "it is left alone for a while".to_owned(),
                };
                self.fail(now, job, "service", why);
            }
        }
    }

    pub(super) fn shown(&mut self, now: Now, outcome: Result<u32, Trouble>) {
        let Some(job) = self.showing.take() else { return };
        match outcome {
            Ok(id) => {
                if let Some(group) = job.group {
                    self.groups.put(group, id);
                }
                self.record.shown += 1;
                let entry =
                    entry(now, NoticeOutcome::Shown, job.failure.is_some().then_some("template"), &job.kind);
                self.record.note(NoticeEntry {
                    title: Some(job.notice.title),
                    seq: job.seq,
                    detail: job.failure.map(|failure| failure.to_string()),
                    ..entry
                });
                self.works();
            }
            Err(trouble) => {
                self.fail(now, job, "service", trouble.to_string());
                self.fails(now, trouble);
            }
        }
    }

    pub(super) fn tested(&mut self, now: Now, outcome: Result<u32, Trouble>) {
        let (outcome, detail) = match outcome {
            Ok(_) => {
                self.record.shown += 1;
                self.works();
                (NoticeOutcome::Shown, None)
            }
            Err(trouble) => {
                self.record.failed += 1;
                let detail = trouble.to_string();
                self.fails(now, trouble);
                (NoticeOutcome::Failed, Some(detail))
            }
        };
        let entry = entry(now, outcome, Some("test"), "test");
        self.record.note(NoticeEntry { detail, ..entry });
    }

    pub(super) fn identified(&mut self, now: Now, outcome: Result<String, Trouble>) {
        match outcome {
            Ok(name) => {
                self.works();
                self.service = Service::Here(name);
            }
            Err(trouble) => self.fails(now, trouble),
        }
        self.outputs.retain(|output| *output != Output::Identify);
    }

    /// The desktop works.
    fn works(&mut self) {
        self.breaker.worked();
        match std::mem::replace(&mut self.service, Service::Here(String::new())) {
            Service::Here(name) => self.service = Service::Here(name),
            Service::Unknown => self.outputs.push_back(Output::Identify),
            Service::Gone(_) => {
                self.outputs.push_back(Output::Log(false, "notifications can be shown again".to_owned()));
                self.outputs.push_back(Output::Identify);
            }
        }
    }

    /// The desktop does not work. Once it is left alone it is told, and not again before it works.
    fn fails(&mut self, now: Now, trouble: Trouble) {
        let absent = matches!(trouble, Trouble::Absent(_));
        if !self.breaker.failed(now.moment.instant, absent) {
            return;
        }
        if !matches!(self.service, Service::Gone(_)) {
            let text = format!("notifications cannot be shown: {trouble}");
            self.outputs.push_back(Output::Log(!absent, text));
        }
        self.service = Service::Gone(trouble);
    }

    fn fail(&mut self, now: Now, job: Job, why: &str, detail: String) {
        self.record.failed += 1;
        let entry = entry(now, NoticeOutcome::Failed, Some(why), &job.kind);
        let title = Some(job.notice.title);
        self.record.note(NoticeEntry { title, seq: job.seq, detail: Some(detail), ..entry });
    }
}
