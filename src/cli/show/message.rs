//! Messages for people: the list, and the story of one.

use serde_json::value::RawValue;

use super::{BAD, FAINT, GOOD, WAITING, field, styled};
use crate::cli::words::{self, Reader, counted, cut, length, plain};
use crate::model::{HistoryEntry, Message, MessageState};

/// Longest piece of a body in a list or a headline.
const PREVIEW: usize = 48;
/// Longest type, reason or id in a list.
const COLUMN: usize = 40;

/// One line per message, oldest first, under a line of headings.
pub(crate) fn list(messages: &[Message], reader: &Reader) -> String {
    if messages.is_empty() {
        return "No messages.\n".to_owned();
    }
    let mut rows = vec![["ID", "STATE", "TYPE", "QUEUED", "BODY", "REASON"].map(str::to_owned)];
    for message in messages {
        rows.push([
            plain(message.id.as_str()),
            message.state.as_str().to_owned(),
            cut(&plain(&message.kind), COLUMN),
            reader.ago(message.queued_at),
            preview(message),
            plain(message.reason.as_deref().unwrap_or_default()),
        ]);
    }
    let mut text = String::new();
    for (at, line) in words::table(&rows).iter().enumerate() {
        text.push_str(&if at == 0 { styled(FAINT, line) } else { line.clone() });
        text.push('\n');
    }
    text
}

/// What became of a message, step by step.
pub(crate) fn story(message: &Message, reader: &Reader) -> String {
    let mut text = format!(
        "{}  {}  {}\n",
        cut(&plain(&message.kind), COLUMN),
        preview(message),
        headline(message, reader)
    );
    for (at, entry) in message.history.iter().enumerate() {
        let first = at == 0;
        text.push_str(&format!(
            "  {}  {:<10}  {}\n",
            reader.precise(entry.at),
            entry.state.as_str(),
            step(entry, first)
        ));
    }
    text.push_str(&field("id", &plain(message.id.as_str())));
    text.push_str(&field("lane", &plain(&message.lane)));
    if let Some(key) = &message.key {
        text.push_str(&field("key", &plain(key)));
    }
    if let Some(at) = message.expires_at {
        text.push_str(&field("expires", &reader.clock(at)));
    }
    text.push_str(&what_to_do(message));
    text
}

/// Where it stands, how many attempts that took, and how long.
fn headline(message: &Message, reader: &Reader) -> String {
    let style = match message.state {
        MessageState::Accepted | MessageState::Received | MessageState::Sent => GOOD,
        MessageState::Queued | MessageState::Sending => WAITING,
        MessageState::Rejected
        | MessageState::Expired
        | MessageState::Dropped
        | MessageState::Parked
        | MessageState::Uncertain => BAD,
        MessageState::Superseded | MessageState::Cancelled => FAINT,
    };
    let mut text = styled(style, message.state.as_str());
    if message.attempts > 0 {
        text.push_str(&format!(" after {}", counted(message.attempts.into(), "attempt")));
    }
    let last = if matches!(message.state, MessageState::Queued | MessageState::Sending) {
        Some(reader.now)
    } else {
        message.history.last().map(|entry| entry.at)
    };
    if let Some(last) = last.filter(|last| *last > message.queued_at) {
        text.push_str(&format!(", {}", length(last.since(message.queued_at))));
    }
    if let Some(reason) = &message.reason {
        text.push_str(&format!(": {}", plain(reason)));
    }
    if message.maybe_delivered {
        text.push_str(" (it was on the wire: the server may have it)");
    }
    text
}

fn step(entry: &HistoryEntry, first: bool) -> String {
    let said = match entry.state {
        MessageState::Queued if first => "on disk before the reply".to_owned(),
        MessageState::Queued => "again".to_owned(),
        MessageState::Sending if entry.attempt > 1 => format!("attempt {}, same id", entry.attempt),
        MessageState::Sending => format!("attempt {}", entry.attempt.max(1)),
        MessageState::Sent => "written to the socket".to_owned(),
        MessageState::Received => "the next hop has read it".to_owned(),
        MessageState::Accepted => "the server acknowledged".to_owned(),
        MessageState::Rejected => "the server refused it".to_owned(),
        MessageState::Expired => "its time was over".to_owned(),
        MessageState::Superseded => "a newer value took its place".to_owned(),
        MessageState::Cancelled => "taken back".to_owned(),
        MessageState::Dropped => "removed".to_owned(),
        MessageState::Parked => "set aside, waits for a person".to_owned(),
        MessageState::Uncertain => "it cannot be known whether the server has it".to_owned(),
    };
    match &entry.reason {
        Some(reason) => format!("{said}: {}", plain(reason)),
        None => said,
    }
}

fn what_to_do(message: &Message) -> String {
    let id = plain(message.id.as_str());
    match message.state {
        MessageState::Parked | MessageState::Uncertain | MessageState::Rejected => field(
            "What to do",
            &format!("`holdline ctl messages retry {id}` sends it again, `… drop {id}` gives it up"),
        ),
        MessageState::Queued
        | MessageState::Sending
        | MessageState::Sent
        | MessageState::Received
        | MessageState::Accepted
        | MessageState::Expired
        | MessageState::Superseded
        | MessageState::Cancelled
        | MessageState::Dropped => String::new(),
    }
}

/// The beginning of a body.
fn preview(message: &Message) -> String {
    body(message.data.as_deref(), message.text.as_deref(), message.binary.as_deref(), Some(PREVIEW))
}

/// A body on one line; cut at `width` characters where one is given.
pub(super) fn body(
    data: Option<&RawValue>,
    text: Option<&str>,
    binary: Option<&RawValue>,
    width: Option<usize>,
) -> String {
    let whole = match (data, text, binary) {
        (Some(data), ..) => data.get(),
        (None, Some(text), _) => text,
        (None, None, Some(binary)) => binary.get(),
        (None, None, None) => "",
    };
    match width {
        Some(width) => cut(&plain(&cut(whole, width)), width),
        None => plain(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Delivery, MessageId, Timestamp};

    fn at(time: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-23T{time}Z")).expect("written here")
    }

    fn reader() -> Reader {
        Reader { now: at("10:02:59"), zone: jiff::tz::TimeZone::UTC }
    }

    fn message(state: MessageState, data: &str) -> Message {
        Message {
            id: MessageId::new("0192f3c4-8a10-7c3e-9b0a-2f6d1e5c4b3a").expect("written here"),
            kind: "chat".to_owned(),
            lane: "default".to_owned(),
            key: None,
            delivery: Delivery::Durable,
            state,
            attempts: 2,
            queued_at: at("10:01:20.104"),
            expires_at: None,
            reason: None,
            maybe_delivered: false,
            data: Some(RawValue::from_string(data.to_owned()).expect("written here")),
            text: None,
            binary: None,
            history: Vec::new(),
        }
    }

    fn step_at(time: &str, state: MessageState, attempt: u32, reason: Option<&str>) -> HistoryEntry {
        HistoryEntry { state, at: at(time), attempt, reason: reason.map(str::to_owned) }
    }

    #[test]
    fn a_story_is_told_step_by_step() {
        let mut accepted = message(MessageState::Accepted, "\"Hello\"");
        accepted.history = vec![
            step_at("10:01:20.104", MessageState::Queued, 0, None),
            step_at("10:01:20.110", MessageState::Sending, 1, None),
            step_at("10:01:20.111", MessageState::Sent, 1, None),
            step_at(
                "10:02:06",
                MessageState::Queued,
                1,
                Some("the link was lost before the server answered"),
            ),
            step_at("10:02:43.391", MessageState::Sending, 2, None),
            step_at("10:02:43.402", MessageState::Accepted, 2, None),
        ];
        let mut parked = message(MessageState::Parked, "{\"a\":1}");
        parked.reason = Some("poison".to_owned());
        parked.key = Some("k\u{1b}[2J".to_owned());
        parked.expires_at = Some(at("11:00:00"));
        parked.history = vec![step_at("10:01:20.104", MessageState::Queued, 0, None)];
        let text = format!("{}\n{}", story(&accepted, &reader()), story(&parked, &reader()));
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
    }

    #[test]
    fn a_list_shows_the_beginning_of_each_body() {
        let mut failed = message(MessageState::Rejected, &format!("{{\"long\":\"{}\"}}", "x".repeat(90)));
        failed.reason = Some("no such\u{7} chat".to_owned());
        let text = list(&[message(MessageState::Queued, "\"a\\nb\""), failed], &reader());
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
        assert_eq!(list(&[], &reader()), "No messages.\n");
    }
}
