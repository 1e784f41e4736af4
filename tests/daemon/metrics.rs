//! The metrics: what is documented is what is there, and any Prometheus can read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::support::daemon::Daemon;
use crate::support::until_blocking;
use crate::{blocking, config, send, server, start, wait_for_status};

const NOBODY: &str = "[server]\nurl = \"ws://127.0.0.1:9/\"\n[reconnect]\ndelays = [\"20ms\"]\n";

/// A metric as the text has it.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    help: String,
    /// By suffix and labels.
    series: BTreeMap<String, f64>,
}

/// Reads the text as strictly as the format is written down, and a little more so.
fn read(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("words");
            current = name.to_owned();
            let metric = Metric { help: help.to_owned(), ..Metric::default() };
            assert!(metrics.insert(current.clone(), metric).is_none(), "{name} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current, "the type follows the words");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            metrics.get_mut(name).expect("named").kind = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let rest =
                series.strip_prefix(&current).unwrap_or_else(|| panic!("{line} stands under {current}"));
            let (suffix, labels) = match rest.split_once('{') {
                Some((suffix, labels)) => (suffix, labels.strip_suffix('}').expect("closed")),
                None => (rest, ""),
            };
            let metric = metrics.get_mut(&current).expect("named");
            let may = if metric.kind == "histogram" { &["_bucket", "_sum", "_count"][..] } else { &[""] };
            assert!(may.contains(&suffix), "{line}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once('=').expect("a label");
                assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{line}");
                assert!(value.starts_with('"') && value.ends_with('"') && value.len() > 2, "{line}");
            }
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(metric.series.insert(rest.to_owned(), value).is_none(), "{line} twice");
        }
    }
    for (name, metric) in metrics.iter().filter(|(_, metric)| metric.kind == "histogram") {
        let buckets: Vec<f64> = metric
            .series
            .iter()
            .filter_map(|(series, value)| {
                let bound = series.strip_prefix("_bucket{le=\"")?.strip_suffix("\"}")?;
                Some((bound.parse::<f64>().expect("a bound"), *value))
            })
            .collect::<Vec<_>>()
            .into_iter()
            .fold(BTreeMap::new(), |mut sorted, (bound, value)| {
                sorted.insert((bound * 1e6) as u64, value);
                sorted
            })
            .into_values()
            .collect();
        assert!(buckets.is_sorted(), "{name}: {buckets:?}");
        assert_eq!(buckets.last(), metric.series.get("_count"), "{name}");
    }
    metrics
}

fn text(daemon: &Daemon) -> String {
    daemon.client().call("metrics", &json!({})).expect("metrics")["text"].as_str().expect("text").to_owned()
}

#[test]
fn the_manual_lists_every_metric_and_no_other() {
    let daemon = Daemon::start(NOBODY);
    let metrics = read(&text(&daemon));
    let manual = include_str!("../../docs/metrics.md");
    let table = manual.split("<!-- metrics -->").nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    let documented: BTreeSet<String> =
        table.expect("a table").lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let there: BTreeSet<String> = metrics
        .iter()
        .map(|(name, metric)| format!("| `{name}` | {} | {} |", metric.kind, metric.help))
        .collect();
    assert_eq!(there, documented);
    for line in manual.lines().filter(|line| !line.starts_with("| `holdline_")) {
        for name in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            if name.starts_with("holdline_") {
                assert!(metrics.contains_key(name) || metrics.contains_key(base), "{name} in: {line}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_tell_what_happened() {
    let server = Arc::new(server().await);
    let daemon = start(config(&server.url(), "holdline", "[outbox]\nmax_messages = 3")).await;
    blocking(move || {
        daemon.wait_for("connected");
        let mut client = daemon.client();
        for n in 0..3 {
            send(&mut client, "t", &json!({"n": n}));
        }
        wait_for_status(&mut client, "all to be confirmed", |status| {
            status["outbox"]["confirmed_total"] == 3
        });
        server.push("order", &json!({"n": 1}));
        wait_for_status(&mut client, "the event", |status| status["inbox"]["events"] == 1);
        client.call("link.pause", &json!({})).expect("paused");
        for n in 0..3 {
            send(&mut client, "t", &json!({"n": n}));
        }
        client.call("messages.send", &json!({"type": "t", "data": 4})).expect_err("the queue is full");
        let metrics = read(&text(&daemon));
        let value = |name: &str, series: &str| {
            metrics[&format!("holdline_{name}")]
                .series
                .get(series)
                .copied()
                .unwrap_or_else(|| panic!("{name}{series}"))
        };
        assert_eq!(value("link_state", "{state=\"paused\"}"), 1.0);
        assert_eq!(value("link_state", "{state=\"connected\"}"), 0.0);
        assert_eq!(value("outbox_messages", "{state=\"queued\"}"), 3.0);
        assert_eq!(value("outbox_ended_total", "{state=\"accepted\"}"), 3.0);
        assert_eq!(value("outbox_attempts_total", ""), 3.0);
        assert_eq!(value("outbox_confirmed_total", ""), 3.0);
        assert!(value("outbox_oldest_age_seconds", "") >= 0.0);
        assert_eq!(value("inbox_events_total", ""), 1.0);
        assert_eq!(value("limit", "{limit=\"outbox.max_messages\"}"), 3.0);
        assert_eq!(value("limit_hits_total", "{limit=\"outbox.max_messages\"}"), 1.0);
        assert_eq!(value("ipc_clients", ""), 2.0);
        assert!(value("ipc_requests_total", "") >= 9.0);
        assert!(value("store_commit_seconds", "_count") >= 6.0);
        assert!(value("store_commit_requests", "_sum") >= value("store_commit_requests", "_count"));
        assert!(value("store_bytes", "") > 4_096.0);
        assert!(value("start_time_seconds", "") > 1.7e9);
        assert_eq!(value("log_lines_dropped_total", ""), 0.0);
    })
    .await;
}

#[test]
fn failures_are_counted_by_reason() {
    let daemon = Daemon::start(NOBODY);
    until_blocking("some attempts", || {
        let metrics = read(&text(&daemon));
        let failures =
            metrics["holdline_link_failures_total"].series.get("{reason=\"connection_refused\"}").copied();
        (failures > Some(2.0)).then_some(())
    });
}

#[test]
fn the_text_file_is_kept_and_goes_with_an_orderly_end() {
    let mut daemon = Daemon::prepare(NOBODY);
    let folder = daemon.path("collected");
    let file = folder.join("holdline.prom");
    daemon.write_config(&format!("{NOBODY}[metrics]\ntextfile = \"{}\"\n", file.display()));
    daemon.restart();
    let mut client = daemon.client();
    let status = wait_for_status(&mut client, "the missing folder to be told", |status| {
        status["health"].to_string().contains("metrics_not_written")
    });
    assert!(status["health"].to_string().contains("collected"), "{status}");
    assert!(daemon.log().contains("metrics cannot be written"), "{}", daemon.log());
    std::fs::create_dir(&folder).unwrap();
    daemon.restart();
    let written = until_blocking("the file", || std::fs::read_to_string(&file).ok());
    assert_eq!(read(&written).len(), read(&text(&daemon)).len(), "the same as by the socket");
    let status = daemon.client().call("status", &json!({})).expect("an answer");
    assert!(!status["health"].to_string().contains("metrics_not_written"), "{status}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing beside it");
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "no numbers of a daemon that does not run");
}

#[test]
fn a_text_file_by_another_ending_is_refused() {
    let mut daemon = Daemon::prepare("");
    daemon.write_config(&format!("{NOBODY}[metrics]\ntextfile = \"{}\"\n", daemon.config_path().display()));
    daemon.spawn();
    assert_eq!(daemon.wait_for_end().code(), Some(78));
    assert!(daemon.log().contains(".prom"), "{}", daemon.log());
}
