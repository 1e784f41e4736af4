//! Notifications for people: how they stand, and what became of them.

use crate::cli::words::{self, Reader, count, cut, plain};
use crate::model::{NoticeEntry, NoticeOutcome, NotificationStatus, Timestamp};

/// Longest title that is shown.
const TITLE_WIDTH: usize = 60;
/// A mute that ends later than this many days from now has no end that anybody waits for.
const NO_END: u64 = 366 * 86_400;

/// `muted until 14:05:00`.
pub(crate) fn muted(until: Timestamp, reader: &Reader) -> String {
    if until.since(reader.now).as_secs() > NO_END {
        "muted until `holdline ctl notify unmute`".to_owned()
    } else {
        format!("muted until {}", reader.clock(until))
    }
}

/// The line of the report.
pub(crate) fn standing(notices: &NotificationStatus, reader: &Reader) -> String {
    let mut text = match (notices.enabled, notices.muted_until) {
        (false, _) => "off".to_owned(),
        (true, Some(until)) => muted(until, reader),
        (true, None) if notices.quiet => "on, quiet now".to_owned(),
        (true, None) if !notices.available => {
            format!("not shown: {}", plain(notices.reason.as_deref().unwrap_or("nobody is there")))
        }
        (true, None) => "on".to_owned(),
    };
    text.push_str(&format!(", {} shown", count(notices.shown)));
    for (number, word) in [
        (notices.collapsed, "collapsed"),
        (notices.suppressed, "suppressed"),
        (notices.failed, "failed"),
        (notices.template_failed, "with a failed template"),
        (notices.commands_failed, "commands failed"),
    ] {
        if number > 0 {
            text.push_str(&format!(", {} {word}", count(number)));
        }
    }
    text
}

/// What became of them, one line each.
pub(crate) fn lines(history: &[NoticeEntry], reader: &Reader) -> String {
    let rows: Vec<[String; 4]> = history
        .iter()
        .map(|entry| {
            let number = if entry.count > 1 { format!("{} × ", count(entry.count)) } else { String::new() };
            let seq = entry.seq.map(|seq| format!(" #{seq}")).unwrap_or_default();
            [
                reader.clock(entry.at),
                entry.outcome.as_str().to_owned(),
                format!("{number}{}{seq}", cut(&plain(&entry.kind), TITLE_WIDTH)),
                why(entry),
            ]
        })
        .collect();
    words::table(&rows).join("\n") + "\n"
}

fn why(entry: &NoticeEntry) -> String {
    let title = entry.title.as_deref().map(|title| format!("\"{}\"", cut(&plain(title), TITLE_WIDTH)));
    let because = match (entry.reason.as_deref(), entry.outcome) {
        (None, _) => None,
        (Some("quiet"), _) => Some("quiet hours"),
        (Some("muted"), _) => Some("muted"),
        (Some("burst"), _) => Some("too many at once: shown as one"),
        (Some("catch_up"), _) => Some("came while the line was away: shown as one"),
        (Some("replaced"), _) => Some("a newer one of its group took its place"),
        (Some("behind"), _) => Some("came too fast to be looked at"),
        (Some("off"), _) => Some("notifications were switched off"),
        (Some("queue" | "service" | "command"), _) => None,
        (Some("template"), _) => Some("its template failed"),
        (Some("test"), NoticeOutcome::Shown) => Some("a test"),
        (Some(other), _) => Some(other),
    };
    let because = because.map(plain);
    let detail = entry.detail.as_deref().map(plain);
    [title, because, detail].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;

    fn reader() -> Reader {
        let now = Timestamp::parse("2026-11-23T12:00:00Z").expect("written here");
        Reader { now, zone: jiff::tz::TimeZone::UTC }
    }

    #[test]
    fn how_they_stand_is_one_line() {
        let on = NotificationStatus { enabled: true, rules: 2, available: true, ..Default::default() };
        let said = |notices: NotificationStatus| standing(&notices, &reader());
        assert_eq!(
            said(NotificationStatus { shown: 1_200, suppressed: 3, quiet: true, ..on.clone() }),
            "on, quiet now, 1,200 shown, 3 suppressed"
        );
        let gone = NotificationStatus { available: false, reason: Some("no bus".into()), ..on.clone() };
        assert_eq!(said(gone), "not shown: no bus, 0 shown");
        let until = Timestamp::parse("2026-11-23T14:05:00Z").expect("written here");
        assert_eq!(
            said(NotificationStatus { muted_until: Some(until), ..on.clone() }),
            "muted until 14:05:00, 0 shown"
        );
        let ever = Timestamp::parse("9999-01-01T00:00:00Z").expect("written here");
        assert_eq!(
            said(NotificationStatus { muted_until: Some(ever), ..on }),
            "muted until `holdline ctl notify unmute`, 0 shown"
        );
    }

    #[test]
    fn what_became_of_them_is_told_with_the_reason() {
        let entry = |outcome, reason: &str, count| NoticeEntry {
            at: reader().now,
            outcome,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            detail: None,
            kind: "order".into(),
            title: None,
            seq: Some(Seq(7)),
            count,
        };
        let shown = NoticeEntry { title: Some("Order\u{1b}".into()), ..entry(NoticeOutcome::Shown, "", 1) };
        let failed = NoticeEntry {
            title: Some("Order".into()),
            detail: Some("no notification service: x".into()),
            ..entry(NoticeOutcome::Failed, "service", 1)
        };
        let quiet = entry(NoticeOutcome::Suppressed, "quiet", 1_500);
        assert_eq!(
            lines(&[shown, failed, quiet], &reader()),
            "12:00:00  shown       order #7          \"Order\\u{1b}\"\n\
             12:00:00  failed      order #7          \"Order\", no notification service: x\n\
             12:00:00  suppressed  1,500 × order #7  quiet hours\n"
        );
    }
}
