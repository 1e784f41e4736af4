//! A model of the server: it remembers across connections, answers as it likes, and keeps count.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::speech::{ClientSays, ServerSays};

/// What it does, some time later.
#[derive(Debug, Clone)]
pub enum Reaction {
    Say(ServerSays),
    Close(u16),
}

/// How this server is.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// It goes on behind the client's cursor.
    pub resumes: bool,
    /// It sends pings back as they came.
    pub echoes: bool,
    /// It acknowledges by number.
    pub cumulative: bool,
}

#[derive(Debug, Default)]
pub struct Arrival {
    pub count: u32,
    pub deferred: u32,
    pub body: String,
}

#[derive(Debug)]
pub struct Server {
    pub manners: Manners,
    pub arrivals: HashMap<String, Arrival>,
    pub accepted: HashSet<String>,
    pub rejected: HashSet<String>,
    pub poison: HashSet<String>,
    pub mute: HashSet<String>,
    pub last_event: u64,
    pub welcomed: bool,
    counters: BTreeMap<u64, String>,
}

impl Server {
    pub fn new(manners: Manners) -> Self {
        Self {
            manners,
            arrivals: HashMap::new(),
            accepted: HashSet::new(),
            rejected: HashSet::new(),
            poison: HashSet::new(),
            mute: HashSet::new(),
            last_event: 0,
            welcomed: false,
            counters: BTreeMap::new(),
        }
    }

    /// A new connection.
    pub fn connected(&mut self) {
        self.welcomed = false;
        self.counters.clear();
    }

    /// A message came; what comes of it. `chaos`: it may misbehave.
    pub fn hears(
        &mut self,
        says: &ClientSays,
        chaos: bool,
        rng: &mut fastrand::Rng,
    ) -> Vec<(Duration, Reaction)> {
        match says {
            ClientSays::Hello { cursor } => {
                self.welcomed = true;
                let mut said = vec![ServerSays::Welcome];
                if self.manners.resumes {
                    said.extend((cursor + 1..=self.last_event).map(ServerSays::Event));
                }
                said.into_iter().map(|says| (Duration::ZERO, Reaction::Say(says))).collect()
            }
            ClientSays::Message { id, counter, body } => self.message(id, *counter, body, chaos, rng),
            ClientSays::Ack(_) => Vec::new(),
            ClientSays::Beat => vec![(Duration::ZERO, Reaction::Say(ServerSays::Beat))],
        }
    }

    fn message(
        &mut self,
        id: &str,
        counter: u64,
        body: &str,
        chaos: bool,
        rng: &mut fastrand::Rng,
    ) -> Vec<(Duration, Reaction)> {
        let arrival = self.arrivals.entry(id.to_owned()).or_default();
        arrival.count += 1;
        arrival.body = body.to_owned();
        if self.poison.contains(id) {
            return vec![(Duration::ZERO, Reaction::Close(1011))];
        }
        let soon = Duration::from_millis(rng.u64(0..200));
        if self.manners.cumulative {
            self.counters.insert(counter, id.to_owned());
            let done = std::mem::take(&mut self.counters);
            self.accepted.extend(done.into_values());
            return vec![(soon, Reaction::Say(ServerSays::UpTo(counter)))];
        }
        if self.mute.contains(id) {
            return Vec::new();
        }
        let say = |after: Duration, says: ServerSays| (after, Reaction::Say(says));
        let id = id.to_owned();
        if self.rejected.contains(&id) {
            return vec![say(soon, ServerSays::Rejected(id))];
        }
        let fate = if self.accepted.contains(&id) || !chaos { 0 } else { rng.u32(0..100) };
        let accepted = ServerSays::Accepted(id.clone());
        match fate {
            70..78 => Vec::new(),
            78..84 => {
                self.arrivals.entry(id.clone()).or_default().deferred += 1;
                vec![say(soon, ServerSays::Deferred(id, rng.u64(0..5_000)))]
            }
            84..88 => {
                self.rejected.insert(id.clone());
                vec![say(soon, ServerSays::Rejected(id))]
            }
            _ => {
                self.accepted.insert(id.clone());
                match fate {
                    88..92 => vec![say(soon, ServerSays::Received(id)), say(soon * 2, accepted)],
                    92..96 => vec![say(soon, accepted.clone()), say(soon * 2, accepted)],
                    96..100 => vec![say(Duration::from_secs(rng.u64(5..60)), accepted)],
                    _ => vec![say(soon, accepted)],
                }
            }
        }
    }
}
