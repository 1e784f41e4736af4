//! The frames of the protocol as text: what clients say, what the server says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::control::Control;

/// The members of a client's frame that mean something to the protocol.
#[derive(Debug, Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "messageId", borrow, default)]
    message_id: Option<&'a RawValue>,
    #[serde(rename = "messageNo", default)]
    message_no: Option<u64>,
    #[serde(rename = "eventId", borrow, default)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    since: Option<&'a RawValue>,
}

/// A client's frame.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// The credential.
    Auth(String),
    /// Events after this position are wanted; without one those from now on.
    Resume(Option<String>),
    /// The client has stored everything up to this event.
    Ack(String),
    Ping,
    Pong,
    Message(Message<'a>),
}

/// A message of an app.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) id: Option<Id<'a>>,
    /// The client's counter of the messages on this connection.
    pub(super) no: Option<u64>,
}

/// An id as the client wrote it: answers repeat its very text.
#[derive(Debug, Clone)]
pub(super) struct Id<'a> {
    json: &'a str,
    plain: Cow<'a, str>,
}

impl<'a> Id<'a> {
    fn read(raw: &'a RawValue) -> Self {
        let json = raw.get();
        Self { json, plain: plain(json) }
    }

    /// Without quotes.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }
}

/// A JSON string's content; the JSON text of anything else.
fn plain(json: &str) -> Cow<'_, str> {
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(_) => serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), Cow::Owned),
        None => Cow::Borrowed(json),
    }
}

/// Reads a client's text frame. None when it is no object with a `type`: then it is no frame of
/// the protocol.
pub(super) fn read(text: &str) -> Option<Said<'_>> {
    let head: Head<'_> = serde_json::from_str(text).ok()?;
    let text_of = |raw: &RawValue| plain(raw.get()).into_owned();
    Some(match &*head.kind {
        "auth" => Said::Auth(head.token.map(Cow::into_owned).unwrap_or_default()),
        "resume" => Said::Resume(head.since.map(text_of)),
        "ack" => Said::Ack(head.event_id.map(text_of).unwrap_or_default()),
        "ping" => Said::Ping,
        "pong" => Said::Pong,
        _ => {
            Said::Message(Message { kind: head.kind, id: head.message_id.map(Id::read), no: head.message_no })
        }
    })
}

/// Reads the control in a `dev.control` frame, whose members stand in the frame or in `data`.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn read_control(text: &str) -> Result<Control, String> {
    serde_json::from_value(super::received::data_of(text))
        .map_err(|error| format!("no such control: {error}"))
}

pub(super) const AUTH_OK: &str = r#"{"type":"auth_ok"}"#;
pub(super) const PONG: &str = r#"{"type":"pong"}"#;

pub(super) fn auth_error(code: &str, message: &str) -> String {
    let (code, message) = (Value::from(code), Value::from(message));
    format!(r#"{{"type":"auth_error","code":{code},"message":{message}}}"#)
}

pub(super) fn ack(id: &Id<'_>) -> String {
    format!(r#"{{"type":"ack","messageId":{}}}"#, id.json)
}

/// An ack that carries a body: the reply to a request.
pub(super) fn reply(id: &Id<'_>, data: &Value) -> String {
    format!(r#"{{"type":"ack","messageId":{},"data":{data}}}"#, id.json)
}

pub(super) fn ack_up_to(no: u64) -> String {
    format!(r#"{{"type":"ack","upTo":{no}}}"#)
}

/// An error; without an id it speaks of no message in particular.
pub(super) fn error(id: Option<&Id<'_>>, code: &str, message: &str) -> String {
    let (code, message) = (Value::from(code), Value::from(message));
    match id {
        Some(id) => {
            format!(r#"{{"type":"error","messageId":{},"code":{code},"message":{message}}}"#, id.json)
        }
        None => format!(r#"{{"type":"error","code":{code},"message":{message}}}"#),
    }
}

pub(super) fn resumed(from: &str) -> String {
    format!(r#"{{"type":"resumed","from":{}}}"#, Value::from(from))
}

pub(super) fn gap(from: &str) -> String {
    format!(r#"{{"type":"gap","from":{}}}"#, Value::from(from))
}

/// An event that is not kept and has no id.
pub(super) fn ephemeral(kind: &str, data: &str) -> String {
    format!(r#"{{"type":{},"data":{data}}}"#, Value::from(kind))
}

#[cfg(test)]
mod tests {
    use super::{Said, ack, error, read, read_control};
    use crate::dev_server::Control;

    #[test]
    fn an_answer_repeats_the_very_text_of_the_id() {
        for id in [r#""plain""#, r#""with \"quotes\" and ä""#, "9007199254740993"] {
            let frame = format!(r#"{{"type":"note","messageId":{id},"x":[1,2]}}"#);
            let Some(Said::Message(message)) = read(&frame) else { panic!("a message: {frame}") };
            let id_read = message.id.expect("it has an id");
            assert_eq!(ack(&id_read), format!(r#"{{"type":"ack","messageId":{id}}}"#));
            assert!(error(Some(&id_read), "c", "m").contains(id));
        }
    }

    #[test]
    fn an_escaped_id_is_the_same_id() {
        let Some(Said::Message(message)) = read(r#"{"type":"t","messageId":"\u0061b"}"#) else {
            panic!("a message")
        };
        assert_eq!(message.id.expect("it has an id").plain(), "ab");
    }

    #[test]
    fn a_resume_without_a_position_has_none_also_when_it_says_null() {
        assert!(matches!(read(r#"{"type":"resume"}"#), Some(Said::Resume(None))));
        assert!(matches!(read(r#"{"type":"resume","since":null}"#), Some(Said::Resume(None))));
        assert!(matches!(read(r#"{"type":"resume","since":17}"#), Some(Said::Resume(Some(s))) if s == "17"));
    }

    #[test]
    fn what_is_no_object_with_a_type_is_no_frame() {
        for text in ["", "hello", "[]", "{}", "\"x\"", r#"{"type":7}"#, r#"{"type":"a"#, "null"] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_control_stands_in_the_frame_or_in_its_data() {
        let cut = Ok(Control::Cut {});
        assert_eq!(read_control(r#"{"type":"dev.control","do":"cut"}"#), cut);
        assert_eq!(read_control(r#"{"type":"dev.control","messageId":"1","data":{"do":"cut"}}"#), cut);
        assert!(read_control(r#"{"type":"dev.control"}"#).is_err());
    }

    #[test]
    fn a_push_control_names_the_type_of_the_events_in_data() {
        let push = read_control(r#"{"type":"dev.control","data":{"do":"push","event":"tick","count":3}}"#);
        assert_eq!(push, Ok(Control::Push { kind: "tick".into(), data: None, count: 3, ephemeral: false }));
    }
}
