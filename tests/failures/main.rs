//! `docs/failures.md`: every failure a person can meet on the line, as the real program tells it.
//!
//! Each row of its tables is made here: a server, a network or a file that is wrong in one way, a
//! daemon that meets it, and what `status` and `ctl status` then say. With `UPDATE_DOCS=1` the
//! tables are written anew; `HOLDLINE_FAILURE=words` makes only the rows whose name has these words
//! (all others are taken as they stand). A row that needs what this machine lacks is taken as it
//! stands too, and says so; in CI nothing is skipped but the rows that take minutes, which
//! `HOLDLINE_SLOW=1` adds.
//!
//! To add a row, add one `Row` to a file of `rows/`.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a test")]
#![allow(unreachable_pub, reason = "parts of one test")]

mod rows;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rows::{Row, Section, sections};
use stage::Stage;
use table::Document;

/// Rows made side by side. They mostly wait.
const SIDE_BY_SIDE: usize = 6;

#[test]
fn the_tables_of_failures_are_what_the_program_says() {
    let sections = sections();
    let mut document = Document::read();
    let made = make(&sections);
    let mut failed = Vec::new();
    for (section, lines) in sections.iter().zip(made) {
        let old = document.lines(section.mark);
        let mut new = Vec::new();
        for (row, line) in section.rows.iter().zip(lines) {
            match line {
                Made::Line(line) => new.push(line),
                Made::Failed(why) => failed.push(format!("{}: {why}", row.name)),
                Made::Skipped => match old.iter().find(|line| line.starts_with(&format!("| {} |", row.name)))
                {
                    Some(line) => new.push(line.clone()),
                    None => eprintln!("MISSING: \"{}\" stands in no table yet", row.name),
                },
            }
        }
        document.replace(section.mark, table::FAILURES, &new);
    }
    assert!(failed.is_empty(), "{} rows failed:\n{}", failed.len(), failed.join("\n"));
    document.write_or_compare();
}

enum Made {
    Line(String),
    Failed(String),
    Skipped,
}

/// Makes all rows, several at a time, those that take long first.
fn make(sections: &[Section]) -> Vec<Vec<Made>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        order.extend((0..section.rows.len()).map(|row| (at, row)));
    }
    order.sort_by_key(|&(section, row)| !sections[section].rows[row].patient);
    let made: Mutex<Vec<Vec<Option<Made>>>> =
        Mutex::new(sections.iter().map(|section| section.rows.iter().map(|_| None).collect()).collect());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(&(section, row)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let line = make_one(&sections[section].rows[row], &runtime);
                    made.lock().unwrap()[section][row] = Some(line);
                }
            });
        }
    });
    let made = made.into_inner().unwrap();
    made.into_iter().map(|rows| rows.into_iter().map(|made| made.expect("made")).collect()).collect()
}

fn make_one(row: &Row, runtime: &tokio::runtime::Runtime) -> Made {
    let wanted = std::env::var("HOLDLINE_FAILURE");
    if wanted.is_ok_and(|words| !row.name.contains(&words)) {
        return Made::Skipped;
    }
    if row.slow && std::env::var_os("HOLDLINE_SLOW").is_none() {
        eprintln!("SKIPPED: \"{}\" takes minutes; HOLDLINE_SLOW=1 makes it", row.name);
        return Made::Skipped;
    }
    if !(row.needs)() {
        eprintln!("SKIPPED: \"{}\" is taken as it stands", row.name);
        return Made::Skipped;
    }
    let stage = Stage::new(runtime.handle().clone());
    match catch_unwind(AssertUnwindSafe(|| stage.look(row))) {
        Ok(line) => Made::Line(line),
        Err(panic) => Made::Failed(
            panic
                .downcast_ref::<String>()
                .cloned()
                .or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default(),
        ),
    }
}

/// Kinds of reasons that are no failure: somebody asked for it, or it is the first moment.
const NO_FAILURE: [&str; 9] = [
    "starting",
    "signing_in",
    "sleeping",
    "woke",
    "network_changed",
    "requested",
    "reloaded",
    "credential_changed",
    "shutting_down",
];

#[test]
fn every_reason_has_a_row_or_is_said_to_be_no_failure() {
    let schema = schemars::schema_for!(holdline::model::ReasonKind);
    let kinds: BTreeSet<String> = schema.as_value()["oneOf"]
        .as_array()
        .expect("one of the kinds")
        .iter()
        .map(|kind| kind["const"].as_str().expect("a word").to_owned())
        .collect();
    assert!(kinds.len() > 30, "{kinds:?}");
    let mut told: BTreeSet<String> =
        sections().iter().flat_map(|section| &section.rows).map(|row| row.kind.as_str().to_owned()).collect();
    for kind in NO_FAILURE {
        assert!(told.insert(kind.to_owned()), "{kind} has a row, so it is a failure");
        assert!(
            Document::read().text().contains(&format!("| `{kind}` |")),
            "docs/failures.md says nothing of `{kind}`"
        );
    }
    assert_eq!(told, kinds, "a kind without a row, or a row of no kind");
}

#[test]
fn no_two_rows_have_one_name() {
    let sections = sections();
    let names: Vec<&str> = sections.iter().flat_map(|section| &section.rows).map(|row| row.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len());
}
