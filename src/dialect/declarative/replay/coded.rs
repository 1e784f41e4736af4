//! Dialects in code let nobody look on: what a line came to is read off their acts.

use std::sync::Arc;

use super::super::roles::shown;
use super::super::talk::Came;
use crate::dialect::Act;
use crate::model::{Failure, Frame, LinkState, NewRow, Payload};

/// What an act means, in the words of the roles.
pub(super) fn came_of(act: &Act) -> Vec<Came> {
    let one =
        |to: &'static str, data: &Option<Arc<str>>| vec![Came { to, data: data.clone(), ..Came::default() }];
    match act {
        Act::Store { unit, .. } => {
            let cursor = unit.cursors.last().and_then(|(_, cursor)| cursor.clone());
            unit.rows.iter().map(|row| row_came(row, cursor.as_ref())).collect()
        }
        Act::Accepted { data, .. } => one("accepted", data),
        Act::Received { data, .. } => one("received", data),
        Act::Rejected { code, message, .. } => vec![spoken("rejected", code.as_ref(), message.as_ref())],
        Act::Deferred { code, message, .. } => vec![spoken("deferred", code.as_ref(), message.as_ref())],
        Act::Pong => one("pong", &None),
        Act::HangUp(Failure::Ruled { verdict, code, message }) => {
            let state = verdict.state();
            let to = if state == LinkState::Reconnecting { "retry" } else { state.as_str() };
            vec![spoken(to, code.as_ref(), message.as_ref())]
        }
        Act::Send(_) | Act::Started { .. } | Act::Health { .. } | Act::HangUp(_) => Vec::new(),
    }
}

fn spoken(to: &'static str, code: Option<&String>, message: Option<&String>) -> Came {
    Came { to, code: code.cloned(), message: message.cloned(), ..Came::default() }
}

fn row_came(row: &NewRow, cursor: Option<&Arc<str>>) -> Came {
    let event = |id: &Option<String>, kind: &str, payload: &Payload| Came {
        to: if kind == "unrecognised" { "unrecognised" } else { "event" },
        id: id.clone(),
        kind: Some(kind.to_owned()),
        data: shown(payload),
        cursor: cursor.cloned(),
        ..Came::default()
    };
    match row {
        NewRow::Event { id, kind, payload, .. } | NewRow::Misfit { id, kind, payload, .. } => {
            event(id, kind, payload)
        }
        NewRow::Gap { detail, .. } => Came { to: "gap", message: Some(detail.clone()), ..Came::default() },
        NewRow::Bad { .. } => Came { to: "quarantine", ..Came::default() },
    }
}

/// Whether a frame of ours holds the credential, or something that is kept (given as JSON).
pub(super) fn tells<'a>(frame: &Frame, token: Option<&str>, kept: impl IntoIterator<Item = &'a str>) -> bool {
    let Frame::Text(text) = frame else {
        return false;
    };
    let kept = kept.into_iter().filter_map(|json| serde_json::from_str::<String>(json).ok());
    kept.chain(token.map(str::to_owned)).any(|word| !word.is_empty() && text.contains(&word))
}
