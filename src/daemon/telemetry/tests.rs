use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::model::{Timestamp, misleads};

/// Keeps lines instead of writing them.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.lock().unwrap().push(Line::of(event, Timestamp::from_millis(1_790_000_000_123)));
    }
}

fn logged(filter: &str, work: impl FnOnce()) -> Vec<Line> {
    let kept = Kept::default();
    let filter = filter::of(filter).unwrap();
    let subscriber = tracing_subscriber::registry().with(kept.clone().with_filter(filter));
    tracing::subscriber::with_default(subscriber, work);
    std::mem::take(&mut *kept.0.lock().unwrap())
}

#[test]
fn a_line_says_what_and_its_fields() {
    let lines = logged("info", || {
        tracing::info!(
            state = "connected",
            reason = None::<&str>,
            attempt = 3_u64,
            words = "a \"b\"",
            ok = true,
            "Connected"
        );
    });
    assert_eq!(lines[0].body(), r#"Connected state=connected attempt=3 words="a \"b\"" ok=true"#);
    assert_eq!(
        lines[0].json(),
        r#"{"timestamp":"2026-09-21T14:13:20.123Z","level":"INFO","message":"Connected","state":"connected","attempt":3,"words":"a \"b\"","ok":true,"target":"holdline::daemon::telemetry::tests"}"#
    );
}

#[test]
fn a_step_more_for_each_v_and_filters_as_they_are() {
    assert_eq!(level("info", 0), "info");
    assert_eq!(level("info", 1), "debug");
    assert_eq!(level("error", 9), "trace");
    assert_eq!(level("info,holdline::link=debug", 2), "info,holdline::link=debug");
}

#[test]
fn p12_others_stay_at_info_whatever_is_asked_for() {
    for filter in [
        "trace",
        "trace,tungstenite=trace,rustls=trace,hyper=trace",
        "off,tungstenite=trace,holdline=trace",
        "info,a_library_of_tomorrow=trace,holdline=trace",
        // A beginning of our own name speaks of others too.
        "h=trace,holdline=trace",
        "holdlines=trace,holdline=trace",
    ] {
        let lines = logged(filter, || {
            tracing::trace!(target: "tungstenite::handshake", "HLCANARY");
            tracing::debug!(target: "rustls::client", "HLCANARY");
            tracing::trace!(target: "a_library_of_tomorrow", "HLCANARY");
            tracing::debug!(target: "holdlines", "HLCANARY");
            tracing::trace!(target: "holdline::link", "ours");
        });
        let bodies: Vec<String> = lines.iter().map(Line::body).collect();
        assert_eq!(bodies, ["ours"], "with the filter {filter}");
    }
}

#[test]
fn a_part_of_us_can_be_heard_alone() {
    let lines = logged("warn,holdline::link=debug", || {
        tracing::info!(target: "holdline::session", "not this");
        tracing::debug!(target: "holdline::link::dial", "this");
        tracing::trace!(target: "holdline::link::dial", "nor this");
        tracing::warn!(target: "rustls", "and this");
        tracing::info!(target: "rustls", "but not this");
    });
    let bodies: Vec<String> = lines.iter().map(Line::body).collect();
    assert_eq!(bodies, ["this", "and this"]);
}

#[test]
fn long_text_is_cut_and_says_so() {
    let long = "\u{20ac}".repeat(10_000);
    let lines = logged("info", || tracing::info!(kind = long, "{long}"));
    let body = lines[0].body();
    assert!(body.len() < 2_048 + 256 + 20, "{} bytes", body.len());
    assert!(body.ends_with("€…"), "{body}");
    assert!(lines[0].weight() < 3_000);
}

#[test]
fn a_full_queue_drops_and_counts_and_never_waits() {
    let queue = Queue::default();
    for _ in 0..10_000 {
        queue.push(Line::about_dropped(1));
    }
    let dropped = queue.dropped();
    assert!(dropped > 5_000 && dropped < 9_999, "{dropped} of 10,000");
    assert!(!queue.drain(Duration::from_millis(10)), "nobody writes");
}

proptest! {
    #[test]
    fn whatever_is_said_is_one_line_per_record(
        message in any::<String>(), value in any::<String>(),
        tail in "[\\x00-\\x1f\\x7f-\\u{9f}\\u{202a}-\\u{202e}\\u{2066}-\\u{2069}\u{1b}\u{2028}]{0,20}",
    ) {
        let lines = logged("info", || {
            tracing::info!(kind = %format!("{value}{tail}"), "{message}{tail}");
        });
        prop_assert_eq!(lines.len(), 1);
        for text in [lines[0].body(), lines[0].json()] {
            prop_assert!(!text.chars().any(misleads), "{:?}", text);
            prop_assert_eq!(text.lines().count(), 1);
        }
        for (_, value) in lines[0].named() {
            prop_assert!(!value.chars().any(misleads), "{:?}", value);
        }
        let read: serde_json::Value = serde_json::from_str(&lines[0].json()).unwrap();
        let whole = format!("{message}{tail}");
        if whole.len() <= 2_048 {
            // What is escaped can be read back as it was.
            prop_assert_eq!(read["message"].as_str(), Some(whole.trim_end()));
        }
    }
}
