//! What clients sent, in order of arrival, each message once however often it came.

use std::collections::{HashMap, VecDeque};

use crate::model::Frame;

/// A message as the server got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its place in the order of first arrivals, from 0.
    pub order: u64,
    /// The connection it first came on, from 1.
    pub connection: u64,
    /// Its `messageId`; none where the client gave none.
    pub id: Option<String>,
    /// Its `type`; `text` and `binary` for frames that are no protocol message.
    pub kind: String,
    /// The frame of its first arrival; empty where bodies are not kept.
    pub frame: Frame,
    /// How often it came in all.
    pub copies: u64,
}

impl Received {
    /// The message's data as the server understands it: the member `data` where the rest is only
    /// `type`, `messageId` and `messageNo`, else all members but those. Null where there is none.
    #[must_use]
    pub fn data(&self) -> serde_json::Value {
        let Frame::Text(text) = &self.frame else { return serde_json::Value::Null };
        data_of(text)
    }
}

/// See [`Received::data`].
pub(super) fn data_of(frame: &str) -> serde_json::Value {
    let Ok(serde_json::Value::Object(mut members)) = serde_json::from_str(frame) else {
        return serde_json::Value::Null;
    };
    for own in ["type", "messageId", "messageNo"] {
        members.shift_remove(own);
    }
    if members.len() == 1
        && let Some(data) = members.remove("data")
    {
        return data;
    }
    serde_json::Value::Object(members)
}

/// The messages kept, bounded by count: the oldest give way and are then no longer recognised.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: VecDeque<Received>,
    by_id: HashMap<Box<str>, u64>,
    next: u64,
    max: usize,
    keep_bodies: bool,
}

impl Inbox {
    pub(super) fn new(max: usize, keep_bodies: bool) -> Self {
        Self { messages: VecDeque::new(), by_id: HashMap::new(), next: 0, max: max.max(1), keep_bodies }
    }

    /// Takes a message in. False when this id has come before.
    pub(super) fn take(
        &mut self,
        connection: u64,
        id: Option<&str>,
        kind: &str,
        frame: impl FnOnce() -> Frame,
    ) -> bool {
        if let Some(&order) = id.and_then(|id| self.by_id.get(id)) {
            let oldest = self.next - self.messages.len() as u64;
            let index = usize::try_from(order - oldest).unwrap_or(usize::MAX);
            if let Some(message) = self.messages.get_mut(index) {
                message.copies += 1;
            }
            return false;
        }
        if self.messages.len() == self.max
            && let Some(oldest) = self.messages.pop_front()
            && let Some(id) = oldest.id
        {
            self.by_id.remove(id.as_str());
        }
        let order = self.next;
        self.next += 1;
        if let Some(id) = id {
            self.by_id.insert(id.into(), order);
        }
        self.messages.push_back(Received {
            order,
            connection,
            id: id.map(str::to_owned),
            kind: kind.to_owned(),
            frame: if self.keep_bodies { frame() } else { Frame::Text(String::new()) },
            copies: 1,
        });
        true
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Received> {
        self.messages.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{Inbox, data_of};
    use crate::model::Frame;
    use serde_json::json;

    fn take(inbox: &mut Inbox, id: &str) -> bool {
        inbox.take(1, Some(id), "note", || Frame::Text("{}".into()))
    }

    #[test]
    fn a_message_that_comes_again_is_counted_and_not_listed_twice() {
        let mut inbox = Inbox::new(10, true);
        assert!(take(&mut inbox, "a"));
        assert!(take(&mut inbox, "b"));
        assert!(!take(&mut inbox, "a"));
        let seen: Vec<_> = inbox.messages().map(|m| (m.id.clone(), m.copies)).collect();
        assert_eq!(seen, [(Some("a".into()), 2), (Some("b".into()), 1)]);
    }

    #[test]
    fn the_oldest_give_way_and_the_rest_are_still_recognised() {
        let mut inbox = Inbox::new(2, true);
        for id in ["a", "b", "c"] {
            assert!(take(&mut inbox, id));
        }
        assert!(!take(&mut inbox, "b"), "b is kept");
        assert!(take(&mut inbox, "a"), "a is forgotten");
        let orders: Vec<_> = inbox.messages().map(|m| m.order).collect();
        assert_eq!(orders, [2, 3]);
        assert_eq!(inbox.by_id.len(), 2);
    }

    #[test]
    fn data_is_the_data_member_or_what_is_left_of_the_frame() {
        assert_eq!(data_of(r#"{"type":"t","messageId":"1","messageNo":3,"data":[1]}"#), json!([1]));
        assert_eq!(data_of(r#"{"type":"t","text":"hi","data":1}"#), json!({"text":"hi","data":1}));
        assert_eq!(data_of(r#"{"type":"t"}"#), json!({}));
        assert_eq!(data_of("no json"), json!(null));
    }
}
