//! Events, gaps and quarantined frames for people: one line each.

use super::{FAINT, WAITING, field, message, styled};
use crate::cli::words::{self, Reader, cut, plain};
use crate::model::{Event, Gap, GapReason, QuarantineEntry};

/// Longest type in front of a body.
const TYPE_WIDTH: usize = 40;
/// Longest piece of a frame in a list.
const PREVIEW: usize = 60;

/// Where no event of a type is kept.
pub(crate) const NO_STATE: &str = "No event of this type with a key is kept.";

/// `#1042  10:02:11  order_status  {"orderId":7}`
pub(crate) fn line(event: &Event, reader: &Reader) -> String {
    let number = event.seq.map_or_else(|| "live".to_owned(), |seq| format!("#{seq}"));
    format!(
        "{}  {}  {}  {}\n",
        styled(FAINT, &number),
        reader.clock(event.received_at),
        cut(&plain(&event.kind), TYPE_WIDTH),
        message::body(event.data.as_deref(), event.text.as_deref(), event.binary.as_deref(), None)
    )
}

/// What is missing, and why.
pub(crate) fn gap(gap: &Gap) -> String {
    let why = match gap.reason {
        GapReason::Retention => "pruned here, older than what is kept",
        GapReason::Server => "the server could not tell what came meanwhile",
        GapReason::Quarantine => {
            "what came here could not be used; `holdline ctl quarantine` shows what still stands there"
        }
        GapReason::Corruption => "lost with a damaged database",
    };
    let which =
        if gap.from == gap.to { format!("#{}", gap.from) } else { format!("#{} – #{}", gap.from, gap.to) };
    format!("{}\n", styled(WAITING, &format!("{which}  gap: {why}")))
}

/// One line per entry of the quarantine.
pub(crate) fn quarantine(entries: &[QuarantineEntry], reader: &Reader) -> String {
    if entries.is_empty() {
        return "Nothing in quarantine.\n".to_owned();
    }
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            let what = match &entry.kind {
                Some(kind) => format!("{}: {}", cut(&plain(kind), TYPE_WIDTH), plain(&entry.detail)),
                None => plain(&cut(&entry.raw, PREVIEW)),
            };
            [
                format!("#{}", entry.id),
                reader.clock(entry.received_at),
                plain(&entry.reason),
                cut(&what, PREVIEW),
            ]
        })
        .collect();
    words::table(&rows).join("\n") + "\n"
}

/// An entry of the quarantine, whole.
pub(crate) fn quarantined(entry: &QuarantineEntry, reader: &Reader) -> String {
    let what = if entry.kind.is_some() { "does not fit" } else { "could not be read" };
    let mut text = format!("#{} {what}: {}\n", entry.id, plain(&entry.detail));
    text.push_str(&field("received", &reader.clock(entry.received_at)));
    text.push_str(&field("reason", &plain(&entry.reason)));
    if let Some(kind) = &entry.kind {
        text.push_str(&field("type", &plain(kind)));
        if let Some(id) = &entry.event_id {
            text.push_str(&field("event id", &plain(id)));
        }
        text.push_str(&field("data", &plain(&entry.raw)));
    } else {
        text.push_str(&field("frame", &plain(&entry.raw)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Seq, Timestamp};

    fn reader() -> Reader {
        Reader { now: Timestamp::from_millis(0), zone: jiff::tz::TimeZone::UTC }
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let event = Event {
            seq: Some(Seq(1_042)),
            id: None,
            kind: "order\u{1b}[2J".to_owned(),
            data: serde_json::value::RawValue::from_string("{\n \"a\": 1\n}".to_owned()).ok(),
            text: None,
            binary: None,
            received_at: Timestamp::from_millis(0),
        };
        let shown = anstream::adapter::strip_str(&line(&event, &reader())).to_string();
        assert_eq!(shown, "#1042  00:00:00  order\\u{1b}[2J  {\\n \"a\": 1\\n}\n");
    }

    #[test]
    fn a_gap_says_which_and_why() {
        let told = |from, to, reason| {
            anstream::adapter::strip_str(&gap(&Gap { from: Seq(from), to: Seq(to), reason })).to_string()
        };
        assert_eq!(told(3, 9, GapReason::Retention), "#3 – #9  gap: pruned here, older than what is kept\n");
        assert!(told(4, 4, GapReason::Quarantine).starts_with("#4  gap: what came here could not be used"));
    }

    #[test]
    fn a_frame_in_quarantine_cannot_steer_the_terminal() {
        let entry = QuarantineEntry {
            id: Seq(7),
            received_at: Timestamp::from_millis(0),
            reason: "invalid_json".to_owned(),
            detail: "expected `,`\u{7}".to_owned(),
            kind: None,
            event_id: None,
            raw: "\u{1b}[2J{".repeat(20),
        };
        let misfit = QuarantineEntry {
            kind: Some("\u{1b}[2J".to_owned()),
            event_id: Some("\u{7}".to_owned()),
            ..entry.clone()
        };
        for entry in [entry, misfit] {
            for text in [quarantine(std::slice::from_ref(&entry), &reader()), quarantined(&entry, &reader())]
            {
                assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            }
        }
        assert_eq!(quarantine(&[], &reader()), "Nothing in quarantine.\n");
    }
}
