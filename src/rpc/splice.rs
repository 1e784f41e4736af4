//! Events as JSON text, put together around their stored bodies: those are never parsed again.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::write_json;
use crate::model::{EventRow, Gap, Payload, RowKind, json};

/// The event in `row` as JSON; none where the row is a gap.
pub(crate) fn event(row: &EventRow) -> Option<String> {
    let mut out = Vec::new();
    write_event(row, &mut out);
    String::from_utf8(out).ok().filter(|event| !event.is_empty())
}

/// Writes the event in `row`; nothing where the row is a gap.
pub(super) fn write_event(row: &EventRow, out: &mut Vec<u8>) {
    let RowKind::Event { id, kind, payload } = &row.kind else {
        return;
    };
    out.reserve(payload.len() + 128);
    out.extend_from_slice(b"{\"seq\":");
    write_json(&row.seq, out);
    out.extend_from_slice(b",\"id\":");
    write_json(id, out);
    out.extend_from_slice(b",\"type\":");
    write_json(kind, out);
    match payload {
        Payload::Json(text) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(one_line(text).as_bytes());
        }
        Payload::Text(text) => {
            out.extend_from_slice(b",\"text\":");
            write_json(&**text, out);
        }
        Payload::Binary(bytes) => {
            out.extend_from_slice(b",\"binary\":{\"encoding\":\"base64\",\"data\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
    out.extend_from_slice(b",\"received_at\":");
    write_json(&row.received_at, out);
    out.push(b'}');
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
