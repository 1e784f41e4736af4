//! Rules and events for the tests of this room.

use std::sync::Arc;

use super::{On, Rule, Urgency};
use crate::model::{EventRow, Payload, RowKind, Seq, Timestamp, TypeGlob};

/// A rule that shows events of this type.
pub(super) fn rule(glob: &str) -> Rule {
    Rule {
        on: On::Type(TypeGlob::new(glob)),
        when: Vec::new(),
        condition: None,
        show: true,
        title: None,
        body: None,
        urgency: Urgency::Normal,
        sound: None,
        group: None,
        run: None,
    }
}

/// A stored event.
pub(super) fn event(seq: i64, kind: &str, data: &str) -> Arc<EventRow> {
    let payload = Payload::Json(data.into());
    Arc::new(EventRow {
        seq: Some(Seq(seq)),
        received_at: Timestamp::default(),
        kind: RowKind::Event { id: None, kind: kind.to_owned(), payload },
    })
}
