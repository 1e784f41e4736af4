//! What came of all that was sent: receipts against arrivals.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::cli::words::count;
use crate::cli::{Exit, Failed, Outcome};
use crate::dev_server::Received;
use crate::model::MessageId;

/// Receipts against arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages with a receipt.
    pub(super) queued: u64,
    /// Those of them that the server has.
    pub(super) delivered: u64,
    /// Messages that came after a later one of the same app.
    pub(super) reordered: u64,
}

impl Tally {
    /// Compares receipts with what the server has. A message says in its data which app it is of
    /// (`app`) and its number there (`n`).
    pub(super) fn of(receipts: &[MessageId], received: &[Received]) -> Self {
        let ids: HashSet<_> = received.iter().filter_map(|message| message.id.as_deref()).collect();
        let mut newest: HashMap<u64, u64> = HashMap::new();
        let mut reordered = 0;
        for message in received {
            let data = message.data();
            let (app, n) = (data["app"].as_u64().unwrap_or(0), data["n"].as_u64().unwrap_or(0));
            let newest = newest.entry(app).or_default();
            if n < *newest {
                reordered += 1;
            }
            *newest = n.max(*newest);
        }
        Self {
            queued: receipts.len() as u64,
            delivered: receipts.iter().filter(|id| ids.contains(id.as_str())).count() as u64,
            reordered,
        }
    }

    /// Messages with a receipt that the server does not have.
    pub(super) const fn lost(self) -> u64 {
        self.queued - self.delivered
    }

    /// Fails where a promise was broken.
    pub(super) fn verdict(self) -> Outcome {
        if self.lost() == 0 && self.reordered == 0 {
            return Ok(Exit::Ok);
        }
        let (lost, reordered) = (count(self.lost()), count(self.reordered));
        Err(Failed::new(Exit::Failure, format!("{lost} messages were lost, {reordered} came out of order"))
            .hint("this must never happen: please report it"))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} delivered, ", count(self.delivered), count(self.queued))?;
        match self.reordered {
            0 => f.write_str("in order"),
            some => write!(f, "{} out of order", count(some)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::cli::Exit;
    use crate::dev_server::Received;
    use crate::model::{Frame, MessageId};

    fn receipts(count: u64) -> Vec<MessageId> {
        (1..=count).map(|n| MessageId::new(&n.to_string()).expect("a valid id")).collect()
    }

    fn arrived(order: &[u64]) -> Vec<Received> {
        let message = |(at, n): (usize, &u64)| Received {
            order: at as u64,
            connection: 1,
            id: Some(n.to_string()),
            kind: "note".into(),
            frame: Frame::Text(format!(r#"{{"type":"note","messageId":"{n}","app":1,"n":{n}}}"#)),
            copies: 1,
        };
        order.iter().enumerate().map(message).collect()
    }

    #[test]
    fn all_in_order_is_success() {
        let tally = Tally::of(&receipts(3), &arrived(&[1, 2, 3]));
        assert_eq!(tally.verdict(), Ok(Exit::Ok));
        assert_eq!(tally.to_string(), "3 of 3 delivered, in order");
    }

    #[test]
    fn a_lost_message_fails_the_demo() {
        let tally = Tally::of(&receipts(3), &arrived(&[1, 3]));
        assert_eq!((tally.lost(), tally.reordered), (1, 0));
        assert_eq!(tally.verdict().map_err(|failed| failed.exit), Err(Exit::Failure));
    }

    #[test]
    fn a_message_out_of_order_fails_the_demo() {
        let tally = Tally::of(&receipts(3), &arrived(&[2, 1, 3]));
        assert_eq!((tally.lost(), tally.reordered), (0, 1));
        assert_eq!(tally.verdict().map_err(|failed| failed.exit), Err(Exit::Failure));
        assert_eq!(tally.to_string(), "3 of 3 delivered, 1 out of order");
    }
}
