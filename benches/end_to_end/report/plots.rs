//! Which plots there are.

use super::chart::{Lines, Series, Spans};
use super::{Run, Spread};

/// Depths of queues.
const DEPTHS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Names of files and their contents; one for which nothing was measured is left out.
pub(super) fn all(run: &Run) -> Vec<(&'static str, String)> {
    let lines = [
        ("window.svg", window(run)),
        ("apps.svg", apps(run)),
        ("subscribers.svg", subscribers(run)),
        ("depth.svg", depth(run)),
        ("memory.svg", memory(run)),
    ];
    let drawn = lines.into_iter().filter(|(_, lines)| !lines.series.is_empty());
    let mut all: Vec<_> = drawn.map(|(name, lines)| (name, lines.svg())).collect();
    let latency = latency(run);
    if !latency.spans.is_empty() {
        all.push(("latency.svg", latency.svg()));
    }
    all
}

/// One series over some values of x, of those that were measured.
fn series<'a>(
    run: &Run,
    name: &str,
    row: &str,
    who: &str,
    points: impl IntoIterator<Item = (u32, &'a str)>,
) -> Option<Series> {
    let point = |(x, what): (u32, &str)| Some((f64::from(x), run.figure((row, what, who))?));
    let points: Vec<_> = points.into_iter().filter_map(point).collect();
    (!points.is_empty()).then(|| Series { name: name.to_owned(), points })
}

fn window(run: &Run) -> Lines {
    let ours = [
        (1, "window 1, delivered"),
        (64, "window 64, delivered"),
        (1024, "window 1024, delivered"),
        (8192, "window 8192, delivered"),
    ];
    let raw = [(1, "commits of 1"), (64, "commits of 64"), (512, "commits of 512")];
    let peer = [(1024, "window 1024, delivered")];
    let all = [
        series(run, "holdline full", "O1", "holdline full", ours),
        series(run, "holdline normal", "O1", "holdline normal", ours),
        series(run, "Redis always", "O1", "Redis always", peer),
        series(run, "Redis everysec", "O1", "Redis everysec", peer),
        series(run, "NATS leaf", "O1", "NATS leaf", peer),
        series(run, "mosquitto (no disk)", "O1", "mosquitto", peer),
        series(run, "SQLite full alone", "limit", "SQLite full", raw),
        series(run, "SQLite normal alone", "limit", "SQLite normal", raw),
    ];
    Lines {
        title: "Messages delivered and confirmed, by unanswered sends (SQLite: rows per commit)",
        x: "unanswered sends, or rows per commit",
        y: "per second",
        series: all.into_iter().flatten().collect(),
    }
}

fn apps(run: &Run) -> Lines {
    let ours = |who: &str| {
        let lone = series(run, who, "O1", who, [(1, "window 1, receipts")]);
        let several = [
            (2, "2 apps, receipts"),
            (4, "4 apps, receipts"),
            (8, "8 apps, receipts"),
            (16, "16 apps, receipts"),
        ];
        let more = series(run, who, "O4", who, several);
        let points: Vec<_> = [lone, more].into_iter().flatten().flat_map(|series| series.points).collect();
        (!points.is_empty()).then(|| Series { name: who.to_owned(), points })
    };
    let alone = |who: &str| series(run, &format!("{who} alone"), "limit", who, [(1, "commits of 1")]);
    Lines {
        title: "Receipts, by apps that each wait for theirs (SQLite: one row per commit)",
        x: "apps",
        y: "per second",
        series: [
            ours("holdline full"),
            ours("holdline normal"),
            alone("SQLite full"),
            alone("SQLite normal"),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

fn subscribers(run: &Run) -> Lines {
    let points =
        [(1, "1 subscriber"), (10, "10 subscribers, deliveries"), (100, "100 subscribers, deliveries")];
    let all = [
        series(run, "holdline full", "I1", "holdline full", points),
        series(run, "holdline normal", "I1", "holdline normal", points),
        series(run, "mosquitto (no disk)", "I1", "mosquitto", [(1, "window 1024, delivered")]),
        series(run, "sockets alone", "I1", "Unix socket", points),
    ];
    Lines {
        title: "Events stored and delivered, by subscribers",
        x: "subscribers",
        y: "per second",
        series: all.into_iter().flatten().collect(),
    }
}

fn depth(run: &Run) -> Lines {
    let by_depth = |name: &str, who: &str, what: fn(u32) -> String| {
        let whats = DEPTHS.map(|depth| (depth, what(depth)));
        series(run, name, "O5", who, whats.iter().map(|(depth, what)| (*depth, what.as_str())))
    };
    let raw =
        by_depth("SQLite full alone, 64", "SQLite full", |depth| format!("{depth} rows, 64 in and 64 out"));
    let per_second = |micros: f64| 1e6 / micros;
    let raw = raw.map(|series| Series {
        points: series
            .points
            .iter()
            .map(|(x, cost)| {
                let (min, max) = (per_second(cost.max), per_second(cost.min));
                (*x, Spread { median: per_second(cost.median), min, max })
            })
            .collect(),
        ..series
    });
    let all = [
        by_depth("holdline full, filling", "holdline full", |depth| format!("{depth} rows, filling")),
        by_depth("holdline full, draining", "holdline full", |depth| format!("{depth} rows, draining")),
        raw,
    ];
    Lines {
        title: "Filling and draining a queue, by its depth",
        x: "messages in the queue",
        y: "per second",
        series: all.into_iter().flatten().collect(),
    }
}

fn memory(run: &Run) -> Lines {
    let of = |name: &str, who: &str| {
        let whats = DEPTHS.map(|depth| (depth, format!("{depth} queued, resident")));
        series(run, name, "R2", who, whats.iter().map(|(depth, what)| (*depth, what.as_str())))
    };
    let all = [
        of("holdline full", "holdline full"),
        of("mosquitto", "mosquitto"),
        of("Redis", "Redis"),
        of("NATS leaf", "NATS leaf"),
    ];
    Lines {
        title: "Resident memory, by messages that wait for the server",
        x: "messages in the queue",
        y: "MiB",
        series: all.into_iter().flatten().collect(),
    }
}

fn latency(run: &Run) -> Spans {
    let whos = [
        "holdline full",
        "Redis always",
        "holdline normal",
        "Redis everysec",
        "NATS leaf",
        "mosquitto",
        "mosquitto autosave",
    ];
    let spans = whos.into_iter().filter_map(|who| {
        let p = |p: &str| run.figure(("O3", &format!("call to far side, 200/s, {p}"), who));
        Some((who.to_owned(), p("p50")?, p("p99")?))
    });
    Spans {
        title: "From the call of an app to the far side, 200 a second: p50 (full) and p99 (empty)",
        x: "microseconds",
        spans: spans.collect(),
    }
}
