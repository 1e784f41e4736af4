//! `[link]`, `[ipc]`, `[store]`, `[log]`, `[metrics]`: the daemon's own house.

use std::path::PathBuf;

use crate::config::Origin;
use crate::config::kinds::{Count, FilePath, OneOf, Size, Text, Visible};
use crate::config::paths::lock_beside;
use crate::config::section::Section;
use crate::config::{Places, Problem};
use crate::model::Durability;

/// `[link]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkOptions {
    /// What happens to the line when the machine goes to sleep.
    pub on_suspend: OnSuspend,
}

/// `link.on_suspend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSuspend {
    /// It is left as it is, and looked after when the machine wakes.
    Keep,
    /// It is closed in order before the machine sleeps.
    Close,
}

/// `[ipc]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipc {
    /// Connected apps at most.
    pub max_clients: usize,
    /// Longest request line, in bytes.
    pub max_line: usize,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The database file, where the configuration names one; [`Places::database`] has it either way.
    pub path: Option<PathBuf>,
    /// `Full` or `Normal`.
    pub durability: Durability,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or several `target=level` with commas, as `tracing` filters take them.
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For the journal where the service manager collects it, else text.
    Auto,
    /// Text.
    Text,
    /// One JSON document a line.
    Json,
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Rewritten with all metrics every 15 s.
    pub textfile: Option<PathBuf>,
}

/// These sections together.
pub(super) struct House {
    pub(super) link: LinkOptions,
    pub(super) ipc: Ipc,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) metrics: Metrics,
}

const LEVEL: Text = Text {
    visible: Visible::All,
    name: "a log level",
    check: |text| {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let target =
            |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
        let good = text.split(',').map(str::trim).all(|part| match part.split_once('=') {
            Some((name, level)) => target(name) && levels.contains(&level),
            None => levels.contains(&part),
        });
        if good {
            Ok(())
        } else {
            Err((
                "this is no log level",
                "write one of `off`, `error`, `warn`, `info`, `debug`, `trace`, or parts like `info,holdline::link=debug`",
            ))
        }
    },
};

pub(super) fn link(mut it: Section<'_, '_>) -> LinkOptions {
    let on_suspend = OneOf(&[("keep", OnSuspend::Keep), ("close", OnSuspend::Close)]);
    let on_suspend = it.value(
        "on_suspend",
        &on_suspend,
        OnSuspend::Keep,
        "What happens to the line when the machine goes to sleep: nothing (`keep`), or it is closed first (`close`), which holds the sleep up for 2 s at most and needs logind. Waking dials or looks after the line at once either way.",
    );
    it.end();
    LinkOptions { on_suspend }
}

pub(super) fn read(root: &mut Section<'_, '_>, link: LinkOptions, places: &Places) -> House {
    House {
        link,
        ipc: ipc(root.section("ipc")),
        store: store(root.section("store"), places),
        log: log(root.section("log")),
        metrics: metrics(root.section("metrics")),
    }
}

fn ipc(mut it: Section<'_, '_>) -> Ipc {
    let max_clients =
        it.value("max_clients", &Count(1..=4096), 128, "Apps connected at the same time at most.");
    let max_line = it.value(
        "max_line",
        &Size(64 << 10..=1 << 30),
        8 << 20,
        "Longest request of an app. Binary data grows by a third on this way.",
    );
    it.end();
    Ipc {
        max_clients: usize::try_from(max_clients).unwrap_or(usize::MAX),
        max_line: usize::try_from(max_line).unwrap_or(usize::MAX),
    }
}

fn store(mut it: Section<'_, '_>, places: &Places) -> Store {
    let file = FilePath { env: it.env(), base: it.base() };
    let durability = OneOf(&[("full", Durability::Full), ("normal", Durability::Normal)]);
    let mut path = it.optional_or(
        "path",
        &file,
        "`PROFILE.db` in the state folder",
        "The database file. Its lock stands beside it.",
    );
    if let Some(path) = &path
        && lock_beside(path) == *path
    {
        let message = "`.lock` is the ending of the lock beside the database";
        it.problem("path", Problem::new("bad_value", message, "take another ending, like `.db`"));
    }
    // The environment goes before the file: a state folder that was given holds the database too.
    if matches!(places.origins.state_dir, Origin::Environment(_)) && path.take().is_some() {
        it.overridden("path", &file, &places.database, "HOLDLINE_STATE_DIR");
    }
    let durability = it.value(
        "durability",
        &durability,
        Durability::Full,
        "What a receipt stands for: `full` survives power loss, `normal` only the end of the process.",
    );
    it.end();
    Store { path, durability }
}

fn log(mut it: Section<'_, '_>) -> Log {
    let format = OneOf(&[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let written = it.value("level", &LEVEL, "info".to_owned(), "How much is logged: `off`, `error`, `warn`, `info`, `debug`, `trace`, or parts like `info,holdline::link=debug`.");
    let level = it.variable("level", &LEVEL, "HOLDLINE_LOG").unwrap_or(written);
    let format = it.value(
        "format",
        &format,
        LogFormat::Auto,
        "`auto`: for the journal where systemd collects it, else text.",
    );
    it.end();
    Log { level, format }
}

fn metrics(mut it: Section<'_, '_>) -> Metrics {
    let file = FilePath { env: it.env(), base: it.base() };
    let textfile = it.optional("textfile", &file, "File that is rewritten with all metrics every 15 s, for a node exporter; it ends in `.prom`. `holdline ctl metrics` works without it.");
    if let Some(path) = &textfile
        && path.extension().is_none_or(|ending| ending != "prom")
    {
        // It is replaced whatever it holds, so it had better not be something else by mistake.
        let message = "the file for the metrics must end in `.prom`: node exporters read no other";
        it.problem("textfile", Problem::new("bad_value", message, "name it like holdline.prom"));
    }
    it.end();
    Metrics { textfile }
}
