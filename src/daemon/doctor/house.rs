//! What is on this machine: the daemon itself, its socket, its database and disk, what waits.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::{DISK, FULL, at_the_disk};
use crate::config::{self, Config, Places};
use crate::daemon::backend::Daemon;
use crate::daemon::lock::Holder;
use crate::model::Severity;
use crate::model::words::{count, counted, length, size};
use crate::notify::desktop;
use crate::rpc::api::Check;
use crate::store::{Content, FLOOR, Glance, Ground, glance, ground};

/// Open files the daemon needs beside one for each app: database, log, server, watches.
#[cfg(unix)]
const OWN_FILES: u64 = 32;

/// How long the desktop may take to say who it is.
const DESKTOP: Duration = Duration::from_secs(2);
#[cfg(target_os = "linux")]
const MISSING: &str = "start a notification service in this session (most desktops have one; dunst or mako else), \
    or set `show = false` in the rules";
#[cfg(not(target_os = "linux"))]
const MISSING: &str = "run the daemon in the session of the desktop, or set `show = false` in the rules";

/// The running daemon.
pub(super) fn daemon(daemon: &Daemon) -> Check {
    let it = &daemon.report.daemon;
    let since = length(daemon.clock.now().wall.since(it.started_at));
    let profile = if it.profile == "default" { String::new() } else { format!("profile {}, ", it.profile) };
    Check::good("daemon", format!("{profile}version {}, pid {}, up for {since}", it.version, it.pid))
}

/// None runs, or one that does not answer.
pub(super) fn no_daemon(places: &Places, holder: Option<Holder>) -> Check {
    let profile = &places.profile;
    let Some(holder) = holder else {
        let run = match profile.as_str() {
            "default" => "`systemctl --user start holdline`, or in a terminal `holdline run`".to_owned(),
            name => format!(
                "`systemctl --user start holdline@{name}`, or in a terminal `holdline run --profile {name}`"
            ),
        };
        let detail = format!("not running for profile \"{profile}\"");
        return Check::bad("daemon", detail, format!("start it: {run}"));
    };
    let (who, end) = match holder.pid {
        Some(pid) => (format!("process {pid}"), format!("`kill {pid}`")),
        None => ("another process".to_owned(), "end it".to_owned()),
    };
    Check::bad(
        "daemon",
        format!("{who} holds {}, but nobody answers", places.shorten(&places.lock)),
        format!("it may be about to start or to end; if it hangs, see its log, {end}, and start it anew"),
    )
}

/// Where the daemon listens. That it can be reached there is shown by the question.
pub(super) fn socket(daemon: &Daemon) -> Check {
    let places = daemon.reloader.config().places;
    let path = places.shorten(&places.socket);
    if cfg!(windows) {
        return Check::good("socket", path);
    }
    match private_socket(&places.socket) {
        Ok(()) => Check::good("socket", format!("{path}, private (0600)")),
        Err(what) => Check::bad(
            "socket",
            format!("{path} {what}"),
            "restart the daemon: it makes the socket anew; see who changed it",
        ),
    }
}

/// Where it would listen.
pub(super) fn no_socket(places: &Places) -> Check {
    let folder = places.socket.parent().unwrap_or(Path::new("."));
    if !cfg!(windows)
        && folder.exists()
        && let Err(problem) = config::check_private_dir(folder)
    {
        let detail = format!("{}: {}", places.shorten(folder), problem.message);
        let hint =
            if problem.hint.is_empty() { "it must be yours, with mode 0700".into() } else { problem.hint };
        return Check::bad("socket", detail, hint);
    }
    Check::open("socket", format!("nobody listens at {}", places.shorten(&places.socket)))
}

#[cfg(unix)]
fn private_socket(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let found = path.symlink_metadata().map_err(|error| format!("cannot be found any more: {error}"))?;
    if !found.file_type().is_socket() {
        return Err("is no socket any more".to_owned());
    }
    match found.permissions().mode() & 0o777 {
        0o600 => Ok(()),
        mode => Err(format!("can be reached by others (mode {mode:04o})")),
    }
}

#[cfg(not(unix))]
fn private_socket(_: &Path) -> Result<(), String> {
    Ok(())
}

/// The database: a commit of its own, its size, and what the last look through it found.
pub(super) async fn store(daemon: &Daemon, full: bool) -> Check {
    let code = "store";
    let probe = match timeout(DISK, daemon.store.probe()).await {
        Ok(Ok(probe)) => probe,
        Ok(Err(refusal)) => return bad_store(format!("a commit failed: {refusal}"), &refusal.hint),
        Err(_) => {
            let detail = format!("a commit took longer than {} s", DISK.as_secs());
            return bad_store(detail, "look at the disk: it is slow, stuck or full");
        }
    };
    let commit = format!("commit {:.1} ms, {}", probe.commit.as_secs_f64() * 1e3, size(probe.file_bytes));
    if full {
        match timeout(FULL, daemon.store.full_check()).await {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => {
                return bad_store(format!("{commit}, and it cannot be read: {refusal}"), &refusal.hint);
            }
            Err(_) => {
                let detail = format!("{commit}, not looked through within {}", length(FULL));
                return bad_store(detail, "it goes on; ask again later");
            }
        }
    }
    let Some(checkup) = daemon.store.last_check() else {
        return Check::good(code, format!("{commit}, not looked through yet since the start"));
    };
    let how = if checkup.full { "looked through in full" } else { "looked through" };
    let when = match daemon.clock.now().wall.since(checkup.at) {
        age if age < Duration::from_secs(1) => "just now".to_owned(),
        age => format!("{} ago", length(age)),
    };
    if checkup.is_sound() {
        return Check::good(code, format!("{commit}, {how} {when} and sound"));
    }
    if let Some(problem) = checkup.problems.first() {
        let detail = format!("{commit}, {how} {when} and damaged: {problem}");
        return bad_store(detail, "restart the daemon: it sets the file aside and keeps what can be read");
    }
    let rows = format!(
        "{} and {} are not what was written",
        counted(checkup.damaged_messages, "message"),
        counted(checkup.damaged_events, "event")
    );
    bad_store(
        format!("{commit}, {how} {when}: {rows}"),
        "look at the disk; `holdline ctl messages list --state parked` shows damaged messages",
    )
}

fn bad_store(detail: String, hint: &str) -> Check {
    Check::bad("store", detail, if hint.is_empty() { "look at the disk" } else { hint })
}

/// The database's file, from outside.
pub(super) async fn store_file(path: PathBuf) -> Check {
    let code = "store";
    let shown = path.display().to_string();
    let looked = at_the_disk(move || glance(&path)).await;
    match looked {
        None => Check::bad(code, format!("{shown} does not answer"), "look at the disk"),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Check::open(code, format!("{shown} is not there yet: the first start makes it"))
        }
        Some(Err(error)) => Check::bad(
            code,
            format!("{shown} cannot be read: {error}"),
            "see that it and its folder belong to you",
        ),
        Some(Ok(Glance { bytes, content })) => {
            let bytes = size(bytes);
            match content {
                Content::Ours => Check::good(code, format!("{shown}, {bytes}, looked at from outside only")),
                Content::Older(version) => Check::good(
                    code,
                    format!("{shown}, {bytes}, of version {version}: the next start upgrades it"),
                ),
                Content::Newer(version) => Check::bad(
                    code,
                    format!("{shown} has version {version}, which a newer holdline wrote"),
                    "run the newer holdline, or set store.path to another file",
                ),
                Content::Foreign => Check::bad(
                    code,
                    format!("{shown} is a database of another program"),
                    "set store.path to another file",
                ),
                Content::Damaged => Check::bad(
                    code,
                    format!("{shown} does not begin like a database: it is damaged"),
                    "the next start sets it aside and keeps what can be read",
                ),
            }
        }
    }
}

/// The disk under the database.
pub(super) async fn disk(database: PathBuf) -> Check {
    let code = "disk";
    let shown = database.parent().unwrap_or(&database).display().to_string();
    let looked = at_the_disk(move || {
        // Before the first start the folder is not there; it will be made on the same disk.
        database.ancestors().skip(1).find(|folder| folder.exists()).map(ground)
    });
    match looked.await.flatten() {
        None => Check::bad(
            code,
            format!("{shown} cannot be looked at within {} s", DISK.as_secs()),
            "look at the disk, or at the network it lies behind",
        ),
        Some(Ground { shared: Some(kind), .. }) => Check::bad(
            code,
            format!("{shown} is on {kind}, a file system that other machines share"),
            "set store.path to a local disk",
        ),
        Some(Ground { free: None, .. }) => Check::open(code, "this system does not tell what is free"),
        Some(Ground { free: Some(free), .. }) if free < FLOOR => Check::bad(
            code,
            format!("{} free at {shown}, less than {}", size(free), size(FLOOR)),
            "make room: until then messages are refused; nothing that has a receipt is lost",
        ),
        Some(Ground { free: Some(free), .. }) => Check::good(code, format!("{} free", size(free))),
    }
}

/// What waits, and what waits for a person.
pub(super) fn queue(daemon: &Daemon) -> Check {
    let code = "queue";
    let status = daemon.status();
    let outbox = status.outbox;
    let waiting = outbox.queued.saturating_add(outbox.in_flight);
    let age = outbox.oldest_queued_at.map(|at| daemon.clock.now().wall.since(at));
    let oldest = match age.filter(|_| waiting > 0) {
        Some(age) if age >= Duration::from_secs(1) => format!(", the oldest for {}", length(age)),
        _ => String::new(),
    };
    let waits = match waiting {
        0 => "nothing waiting".to_owned(),
        _ => format!("{} waiting{oldest}", counted(waiting, "message")),
    };
    let stuck = outbox.parked.saturating_add(outbox.uncertain);
    if stuck > 0 {
        return Check::bad(
            code,
            format!("{} parked, {} uncertain, {waits}", count(outbox.parked), count(outbox.uncertain)),
            "`holdline ctl messages` lists them: `retry` or `drop` each",
        );
    }
    let full = waiting >= outbox.limit_messages || outbox.bytes >= outbox.limit_bytes;
    if full {
        return Check::bad(
            code,
            format!("full: {waits}"),
            "new messages are refused until some are through; see outbox.max_messages and max_bytes",
        );
    }
    Check::good(code, waits)
}

/// Whether somebody shows what is to be shown. Asked anew, over a connection of its own: what the
/// daemon's own says may be half a minute old.
pub(super) async fn notifications(config: &Config) -> Check {
    let code = "notifications";
    let Some(rules) = wished(config) else { return unwished(config) };
    let screen = desktop::screen();
    match timeout(DESKTOP, screen.identify()).await {
        Ok(Ok(name)) => Check::good(code, format!("{name}, {rules}")),
        Ok(Err(trouble)) => Check::bad(code, format!("{rules}, and {trouble}"), MISSING),
        Err(_) => Check::bad(
            code,
            format!("{rules}, and the notification service did not answer within {} s", DESKTOP.as_secs()),
            "restart the notification service of the desktop; events wait for nothing of this",
        ),
    }
}

/// What can be said of it from outside: the daemon may run in another session.
pub(super) fn notifications_offline(config: &Config) -> Check {
    let Some(rules) = wished(config) else { return unwished(config) };
    Check::open("notifications", format!("{rules}; only the running daemon knows who shows them"))
}

/// How many rules want something to be shown; none where nothing is to be.
fn wished(config: &Config) -> Option<String> {
    let notices = &config.notifications;
    let rules = notices.rules.iter().filter(|rule| rule.show).count() as u64;
    (notices.enabled && rules > 0).then(|| counted(rules, "rule"))
}

fn unwished(config: &Config) -> Check {
    let notices = &config.notifications;
    let detail = match notices.rules.len() as u64 {
        0 => "none are configured".to_owned(),
        rules if !notices.enabled => format!("{}, switched off", counted(rules, "rule")),
        rules => format!("{}, nothing to be shown", counted(rules, "rule")),
    };
    Check::open("notifications", detail)
}

/// Whether the system lets the daemon open as many files as its apps may need.
#[cfg(unix)]
pub(super) fn open_files(max_clients: usize) -> Check {
    let code = "open_files";
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current else {
        return Check::good(code, "no limit");
    };
    let used = std::fs::read_dir("/proc/self/fd").map(|open| open.count() as u64).ok();
    let used = used.map(|used| format!("{} of ", count(used))).unwrap_or_default();
    let needed = OWN_FILES.saturating_add(max_clients as u64);
    if limit < needed {
        return Check::bad(
            code,
            format!(
                "{used}{} allowed, {} apps may need {}",
                count(limit),
                count(max_clients as u64),
                count(needed)
            ),
            "raise LimitNOFILE= of the service (`ulimit -n` in a terminal), or lower ipc.max_clients",
        );
    }
    Check::good(code, format!("{used}{} allowed", count(limit)))
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(super) fn open_files(_: usize) -> Check {
    Check::open("open_files", "no limit on this system")
}

/// What the daemon itself complains of.
pub(super) fn health(daemon: &Daemon) -> Vec<Check> {
    let code = "health";
    let entries = daemon.fanout.health.list();
    let bad: Vec<Check> = entries
        .iter()
        .filter(|entry| entry.severity >= Severity::Warning)
        .map(|entry| {
            let hint =
                if entry.hint.is_empty() { "see docs/operating.md, Health" } else { entry.hint.as_str() };
            Check::bad(code, entry.text.clone(), hint)
        })
        .collect();
    if !bad.is_empty() {
        return bad;
    }
    let known: Vec<&str> = entries.iter().map(|entry| entry.code.as_str()).collect();
    let detail = if known.is_empty() { "nothing to tell".to_owned() } else { known.join(", ") };
    vec![Check::good(code, detail)]
}
