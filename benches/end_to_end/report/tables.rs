//! The tables of the page.

use std::fmt::Write as _;

use super::{Name, Run, goals};

/// Rows in the order in which they are shown, and what they are.
const ROWS: [(&str, &str); 21] = [
    ("limit", "What disk, SQLite and WebSocket do alone"),
    ("O1", "O1, O2: one app sends, with a window of unanswered sends; O2 is window 1"),
    ("O3", "O3: one message at a time, 200 a second"),
    ("O4", "O4: several apps, each waiting for its receipt before the next send"),
    ("O5", "O5: a queue that grew while the server was away"),
    ("I1", "I1: the server sends, events are stored and given to subscribers"),
    ("I2", "I2: one event at a time, 200 a second"),
    ("I3", "I3: a late subscriber, and events stored while nobody listens"),
    ("I4", "I4: nine subscribers beside one that never reads"),
    ("C1", "C1: kill -9 while an app sends"),
    ("R1", "R1: doing nothing"),
    ("R2", "R2: memory against backlog"),
    ("R3", "R3: size"),
    ("R4", "R4: start"),
    ("R5", "R5: the server restarts while one message waits"),
    ("G1", "G1: apps that ask, beside many that do not"),
    ("G2", "G2: memory of an app that does nothing"),
    ("N1", "N1: events worth a notification, all at once"),
    ("N2", "N2: events worth a notification, one at a time"),
    ("N3", "N3: what a desktop was shown of them"),
    ("N4", "N4: events worth a notification, ten thousand a second"),
];

/// Everything between the markers.
pub(super) fn all(run: &Run) -> String {
    let mut out = String::new();
    circumstances(&mut out, run);
    let _ = writeln!(out, "### Goals\n\n{}", goals(run));
    for (name, svg) in super::plots::all(run) {
        let title = svg.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
        let _ = writeln!(out, "![{}](performance/{name})\n", title.unwrap_or_default());
    }
    let names = run.names();
    for (row, title) in ROWS {
        let of_row: Vec<&Name> = names.iter().copied().filter(|name| name.row == row).collect();
        if !of_row.is_empty() {
            table(&mut out, run, title, &of_row);
        }
    }
    out
}

fn circumstances(out: &mut String, run: &Run) {
    let document = &run.document;
    let text = |name: &str| document["circumstances"][name].as_str().unwrap_or("?").to_owned();
    let rounds = document["rounds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let syncs: Vec<f64> = rounds.iter().filter_map(|round| round["fdatasync_p50"].as_f64()).collect();
    let off = rounds.iter().filter(|round| round["off"] == true).count();
    let small = |name: &str, least: u64| document["scale"][name].as_u64().unwrap_or(0) < least;
    if small("messages", 100_000) || small("replay", 1_000_000) {
        out.push_str("**A run on a small scale, which shows how it works. Its figures say little.**\n\n");
    }
    let _ = writeln!(
        out,
        "{} on {} cores, Linux {}. {} messages of 256 bytes in a row; {} rounds in all, {off} of them marked because their \
         disk was another one; fdatasync p50 over the rounds {} µs; load {}.\n",
        text("cpu"),
        document["circumstances"]["cores"],
        text("kernel"),
        document["scale"]["messages"],
        rounds.len(),
        super::Spread::of(&syncs).text(),
        rounds.iter().filter_map(|round| round["load"].as_str()).collect::<Vec<_>>().join(", "),
    );
    if let Some(versions) = document["circumstances"]["versions"].as_object() {
        let versions = versions.iter().map(|(name, version)| {
            format!("{name} {}", version.as_str().unwrap_or_default().trim_start_matches(name))
        });
        let _ = writeln!(out, "{}.\n", versions.collect::<Vec<_>>().join("; "));
    }
}

/// The goals, with what was measured.
pub(super) fn goals(run: &Run) -> String {
    let mut out = String::from("| # | goal | wanted | median [min – max] | |\n|---|---|---|---|---|\n");
    for goal in goals::all() {
        let judged = goal.judge(run);
        for part in &judged.parts {
            let unit = if part.unit.is_empty() { String::new() } else { format!(" {}", part.unit) };
            let measured =
                part.measured.map_or("–".to_owned(), |spread| format!("{}{unit}", spread.text()));
            let verdict = match part.verdict() {
                "met" => "**met**",
                other => other,
            };
            let _ = writeln!(
                out,
                "| {} | {} | {}{unit} | {measured} | {verdict} |",
                judged.number, part.text, part.wanted
            );
        }
    }
    out
}

fn table(out: &mut String, run: &Run, title: &str, names: &[&Name]) {
    let _ = writeln!(out, "### {title}\n\n| | of | median [min – max] | |\n|---|---|---|---|");
    let mut whats: Vec<&str> = Vec::new();
    for name in names {
        if !whats.contains(&name.what.as_str()) {
            whats.push(&name.what);
        }
    }
    for what in whats {
        for name in names.iter().filter(|name| name.what == what) {
            let spread = run.figure((&name.row, &name.what, &name.who));
            let text = spread.map_or("–".to_owned(), |spread| spread.text());
            let _ = writeln!(out, "| {what} | {} | {text} | {} |", name.who, name.unit);
        }
    }
    out.push('\n');
}
