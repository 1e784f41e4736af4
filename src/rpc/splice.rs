//! Events as JSON text, put together around their stored bodies: those are never parsed again.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::to_json;
use crate::model::{Epoch, EventRow, Gap, Payload, RowKind, Seq, json};

/// The event in `row` as JSON; none where the row is a gap.
pub(crate) fn event(row: &EventRow) -> Option<String> {
    let RowKind::Event { id, kind, payload } = &row.kind else {
        return None;
    };
    let mut out = String::with_capacity(payload.len() + 128);
    out.push_str("{\"seq\":");
    out.push_str(&to_json(&row.seq));
    out.push_str(",\"id\":");
    out.push_str(&to_json(id));
    out.push_str(",\"type\":");
    out.push_str(&to_json(kind));
    match payload {
        Payload::Json(text) => {
            out.push_str(",\"data\":");
            out.push_str(&one_line(text));
        }
        Payload::Text(text) => {
            out.push_str(",\"text\":");
            out.push_str(&to_json(&**text));
        }
        Payload::Binary(bytes) => {
            out.push_str(",\"binary\":{\"encoding\":\"base64\",\"data\":\"");
            STANDARD.encode_string(bytes, &mut out);
            out.push_str("\"}");
        }
    }
    out.push_str(",\"received_at\":");
    out.push_str(&to_json(&row.received_at));
    out.push('}');
    Some(out)
}

/// The gap that `row` stands for; none where it is an event or was never stored.
pub(super) fn gap(row: &EventRow) -> Option<Gap> {
    let seq = row.seq?;
    let reason = match &row.kind {
        RowKind::Event { .. } => return None,
        RowKind::Gap(reason) => *reason,
        RowKind::Bad => crate::model::GapReason::Quarantine,
    };
    Some(Gap { from: seq, to: seq, reason })
}

/// Parameters of an `event` notification.
pub(super) fn event_note(
    subscription: &str,
    epoch: &Epoch,
    event: &str,
    prev: Option<Seq>,
    replay: bool,
) -> String {
    format!(
        r#"{{"subscription":{},"epoch":{},"event":{event},"prev":{},"replay":{replay}}}"#,
        to_json(subscription),
        to_json(epoch),
        to_json(&prev),
    )
}

/// A server's JSON may have line breaks between its tokens (never within a string); ours ends a
/// message with one.
fn one_line(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
        json::compact(text)
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{event, gap};
    use crate::model::{Event, EventRow, GapReason, Payload, RowKind, Seq, Timestamp};

    fn row(kind: RowKind) -> EventRow {
        EventRow { seq: Some(Seq(7)), received_at: Timestamp::from_millis(0), kind }
    }

    fn of(payload: Payload) -> String {
        event(&row(RowKind::Event { id: Some("a\"b".into()), kind: "t\n".into(), payload })).unwrap()
    }

    #[test]
    fn a_body_keeps_its_digits_and_the_order_of_its_members() {
        let text = of(Payload::Json(r#"{"b":1.10,"a":12345678901234567890123}"#.into()));
        assert_eq!(
            text,
            concat!(
                r#"{"seq":7,"id":"a\"b","type":"t\n","data":{"b":1.10,"a":12345678901234567890123},"#,
                r#""received_at":"1970-01-01T00:00:00.000Z"}"#
            )
        );
    }

    #[test]
    fn line_breaks_of_the_server_never_break_a_line_of_ours() {
        let text = of(Payload::Json("{\r\n \"a\": \"x y\\n\"\n}".into()));
        assert!(!text.contains(['\n', '\r']), "{text}");
        assert!(text.contains(r#"{"a":"x y\n"}"#), "{text}");
    }

    #[test]
    fn raw_frames_stand_as_text_and_base64() {
        assert!(of(Payload::Text("é\n".into())).contains(r#""text":"é\n""#));
        let text = of(Payload::Binary([0_u8, 255, 1].as_slice().into()));
        assert!(text.contains(r#""binary":{"encoding":"base64","data":"AP8B"}"#), "{text}");
        serde_json::from_str::<Event>(&text).unwrap();
    }

    #[test]
    fn a_row_that_is_no_event_is_a_gap_at_its_own_number() {
        assert_eq!(event(&row(RowKind::Bad)), None);
        let told = gap(&row(RowKind::Bad)).unwrap();
        assert_eq!((told.from, told.to, told.reason), (Seq(7), Seq(7), GapReason::Quarantine));
        assert_eq!(gap(&row(RowKind::Gap(GapReason::Server))).unwrap().reason, GapReason::Server);
    }
}
