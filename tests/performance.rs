//! `docs/performance.md` and its plots say what the result file beside them says.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../benches/end_to_end/report/mod.rs"]
#[allow(dead_code, reason = "the benchmark uses all of it")]
mod report;

use std::fs;
use std::path::Path;

use report::{PAGE, RESULT, Run};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn committed() -> Value {
    serde_json::from_str(&fs::read_to_string(root().join(RESULT)).unwrap()).unwrap()
}

const RENDER: &str = "run `cargo bench --bench end_to_end -- --render docs/performance/figures.json`";

#[test]
fn the_page_has_the_figures_of_the_result_file() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    assert!(Run::read(committed()).page(&page) == page, "{PAGE} differs from {RESULT}: {RENDER}");
}

#[test]
fn medians_and_verdicts_in_the_result_file_follow_from_its_rounds() {
    let document = committed();
    // Not shown: it is long.
    assert!(Run::read(document.clone()).complete() == document, "{RESULT} differs from its rounds: {RENDER}");
}

#[test]
fn each_plot_shows_the_result_file_and_the_page_shows_each_plot() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let plots = Run::read(committed()).plots();
    assert!(plots.len() >= 6, "window, apps, subscribers, depth, memory, latency");
    for (place, svg) in plots {
        let there = fs::read_to_string(root().join(&place)).unwrap();
        assert!(there == svg, "{} differs from {RESULT}: {RENDER}", place.display());
        let link = place.strip_prefix("docs").unwrap().display().to_string();
        assert!(page.contains(&format!("]({link})")), "{link} is not shown");
    }
}

fn round(off: bool, figures: &[(&str, &str, &str, f64)]) -> Value {
    let figure = |(row, what, who, value): &(&str, &str, &str, f64)| json!({"row": row, "what": what, "who": who, "unit": "", "value": value});
    json!({"off": off, "figures": figures.iter().map(figure).collect::<Vec<_>>()})
}

/// What is judged of a goal: whether each part is met, by its median.
fn judged(rounds: &[Value], goal: u64) -> Vec<(String, Option<f64>)> {
    let complete = Run::read(json!({"rounds": rounds})).complete();
    let goal = complete["goals"].as_array().unwrap().iter().find(|found| found["goal"] == goal).unwrap();
    let parts = goal["parts"].as_array().unwrap().iter();
    parts.map(|part| (part["verdict"].as_str().unwrap().to_owned(), part["median"].as_f64())).collect()
}

#[test]
fn a_goal_is_judged_by_the_median_of_the_ratios_within_each_round() {
    let pair = |off, subject, limit| {
        round(
            off,
            &[
                ("O1", "window 1024, delivered", "holdline full", subject),
                ("limit", "commits of 512", "SQLite full", limit),
            ],
        )
    };
    // The median of the rates over each other would be 0.5.
    let rounds = [pair(false, 80.0, 100.0), pair(false, 900.0, 1000.0), pair(false, 10.0, 160.0)];
    assert_eq!(judged(&rounds, 1), [("met".to_owned(), Some(0.8))]);
    let rounds = [pair(false, 60.0, 100.0), pair(true, 900.0, 1000.0), pair(true, 900.0, 1000.0)];
    assert_eq!(judged(&rounds, 1), [("not met".to_owned(), Some(0.6))], "marked rounds do not count");
    let half = round(false, &[("O1", "window 1024, delivered", "holdline full", 1e6)]);
    assert_eq!(judged(&[half], 1), [("not measured".to_owned(), None)]);
}

#[test]
fn a_bound_that_is_missed_by_a_little_is_missed() {
    let lost = |count| [round(false, &[("C1", "of them lost", "holdline full", count)])];
    assert_eq!(judged(&lost(0.0), 10), [("met".to_owned(), Some(0.0))]);
    assert_eq!(judged(&lost(1.0), 10), [("not met".to_owned(), Some(1.0))]);
}
