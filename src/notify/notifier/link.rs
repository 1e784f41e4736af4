//! Changes of the link: when people are told, and what comes right after it was away.

use std::sync::Arc;

use super::{Notifier, Now};
use crate::model::{EventRow, LinkState, LinkStatus, Payload, RowKind};

/// What people were told of the link.
#[derive(Debug, Default)]
pub(super) struct Told {
    connected: bool,
    trouble: Option<LinkState>,
    shown: bool,
}

impl Notifier {
    /// Whether what comes now was missed rather than happening now: the link has just come up, or is
    /// not quite up yet.
    pub(super) fn catches_up(&mut self, now: Now) -> bool {
        if self.settings.catch_up.is_zero() {
            return false;
        }
        if !self.link.connected && self.catch_up.is_none() {
            self.catch_up = Some(now.moment.instant + self.settings.catch_up);
        }
        self.catch_up.is_some_and(|until| now.moment.instant < until)
    }

    pub(super) fn link(&mut self, now: Now, status: &LinkStatus) {
        let connected = status.state == LinkState::Connected;
        if connected && !self.link.connected && !self.settings.catch_up.is_zero() {
            self.catch_up = Some(now.moment.instant + self.settings.catch_up);
        }
        self.link.connected = connected;
        let trouble = matches!(
            status.state,
            LinkState::Unauthorized | LinkState::Unavailable | LinkState::Misconfigured
        );
        if trouble && self.link.trouble != Some(status.state) {
            self.link.trouble = Some(status.state);
            let shown = self.tell_link(now, status, status.state.as_str(), status.state.label());
            self.link.shown |= shown;
        } else if connected && self.link.trouble.take().is_some() && std::mem::take(&mut self.link.shown) {
            self.tell_link(now, status, "restored", "Connected again");
        }
    }

    fn tell_link(&mut self, now: Now, status: &LinkStatus, state: &str, label: &str) -> bool {
        if !self.settings.enabled {
            return false;
        }
        let reason = status.reason.as_ref();
        let data = serde_json::json!({
            "state": state,
            "label": label,
            "reason": reason.map_or("", |it| it.text.as_str()),
            "hint": reason.map_or("", |it| it.hint.as_str()),
            "url": status.url,
        });
        let payload = Payload::Json(data.to_string().into());
        let kind = RowKind::Event { id: None, kind: "link".to_owned(), payload };
        self.event(now, &Arc::new(EventRow { seq: None, received_at: now.moment.wall, kind }), true)
    }
}
