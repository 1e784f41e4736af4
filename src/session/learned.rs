//! What earlier connections taught about this server: which types it answers, whether its pongs
//! can be trusted. Remembered per server, so that a restart does not begin anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{Record, Remembered};

use super::turn::Outputs;

/// Types remembered per server at most; further ones are learned anew on each run.
const MOST_TYPES: usize = 1024;

/// What is known of one server.
#[derive(Debug)]
pub(super) struct Learned {
    server: String,
    answered: BTreeSet<Arc<str>>,
    no_echo: bool,
    seen: bool,
    others: bool,
}

impl Learned {
    pub(super) fn new(server: &str, remembered: &Remembered) -> Self {
        let prefix = format!("reply {server} ");
        let answered =
            remembered.values.keys().filter_map(|name| name.strip_prefix(&prefix).map(Arc::from)).collect();
        Self {
            server: server.to_owned(),
            answered,
            no_echo: remembered.values.contains_key(&format!("no_echo {server}")),
            seen: remembered.seen_before || remembered.values.contains_key(&format!("seen {server}")),
            others: remembered.others_before,
        }
    }

    /// Whether the server has been seen to answer messages of this type.
    pub(super) fn answers(&self, kind: &str) -> bool {
        self.answered.contains(kind)
    }

    /// Whether it has been seen to answer messages of any type.
    pub(super) fn answers_any(&self) -> bool {
        !self.answered.is_empty()
    }

    /// It answered one of this type.
    pub(super) fn answered(&mut self, kind: &Arc<str>, out: &mut Outputs) {
        if self.answered.contains(kind) || self.answered.len() >= MOST_TYPES {
            return;
        }
        self.answered.insert(Arc::clone(kind));
        remember(format!("reply {} {kind}", self.server), true, out);
    }

    /// Whether its pongs prove nothing.
    pub(super) const fn no_echo(&self) -> bool {
        self.no_echo
    }

    /// What its pongs turned out to be.
    pub(super) fn set_no_echo(&mut self, no_echo: bool, out: &mut Outputs) {
        if self.no_echo != no_echo {
            self.no_echo = no_echo;
            remember(format!("no_echo {}", self.server), no_echo, out);
        }
    }

    /// Why what it sent before this connection may be missing here, where it may. `resumes`: it goes
    /// on where the last connection ended.
    pub(super) const fn hole(&self, resumes: bool) -> Option<&'static str> {
        match (self.seen, self.others) {
            (true, _) if resumes => None,
            (true, _) => Some("this server does not resume: what it sent while there was no link is unknown"),
            (false, true) => Some("this is another server than before: what it sent until now is unknown"),
            (false, false) => None,
        }
    }

    /// It is connected now.
    pub(super) fn set_seen(&mut self, out: &mut Outputs) {
        if !self.seen {
            self.seen = true;
            remember(format!("seen {}", self.server), true, out);
        }
    }
}

fn remember(name: String, value: bool, out: &mut Outputs) {
    out.record(Record::Remember { name, value: value.then(|| "1".to_owned()) });
}
