//! The configuration, and where the credential comes from.

use std::sync::Arc;

use tokio::time::timeout;

use super::{CREDENTIAL, DISK, at_the_disk};
use crate::config::{self, Config, Problem, Severity, Sources};
use crate::daemon::backend::Daemon;
use crate::link::credential::{Credentials, Source, expires_at};
use crate::model::words::length;
use crate::model::{Secret, Timestamp};
use crate::rpc::api::Check;

const CONFIGURATION: &str = "configuration";
const CREDENTIAL_CODE: &str = "credential";

/// The file, against what the running daemon has in force.
pub(super) async fn in_force(daemon: &Arc<Daemon>) -> Check {
    let running = daemon.reloader.config();
    let (check, config) = on_disk(daemon.reloader.sources()).await;
    let Some(config) = config else {
        let detail = format!("{}; the one before is in force", check.detail);
        return Check { detail, ..check };
    };
    let changed = running.compare(&config).changed;
    if changed.is_empty() {
        return check;
    }
    let detail = format!("{}, changed since the daemon read it: {}", check.detail, changed.join(", "));
    Check { detail, ..check }.hint("`holdline ctl reload` brings it into force")
}

/// The file as it is, and what it means where it is valid.
pub(super) async fn on_disk(sources: &Sources) -> (Check, Option<Config>) {
    let given = sources.clone();
    let read = at_the_disk(move || {
        let config = config::load(&given)?;
        crate::daemon::check(&config)?;
        Ok::<_, Vec<Problem>>(config)
    });
    let problems = match read.await {
        Some(Ok(config)) => return (valid(&config), Some(config)),
        Some(Err(problems)) => problems,
        None => {
            let detail = format!("its folder did not answer within {} s", DISK.as_secs());
            return (Check::bad(CONFIGURATION, detail, "look at the disk it lies on"), None);
        }
    };
    (invalid(&problems, sources), None)
}

fn valid(config: &Config) -> Check {
    let path = config.places.shorten(&config.places.config);
    match config.warnings.as_slice() {
        [] => Check::good(CONFIGURATION, path),
        [first, ..] => {
            Check::good(CONFIGURATION, format!("{path}, but {}", first.message)).hint(first.hint.clone())
        }
    }
}

fn invalid(problems: &[Problem], sources: &Sources) -> Check {
    let errors: Vec<&Problem> =
        problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let Some(first) = errors.first() else {
        return Check::bad(CONFIGURATION, "it cannot be read", "`holdline config check` says more");
    };
    let home = sources.environment.home.as_deref();
    let place = match (&first.file, first.line) {
        (Some(file), Some(line)) => format!("{}:{line}: ", config::shorten(file, home)),
        (Some(file), None) => format!("{}: ", config::shorten(file, home)),
        (None, _) => String::new(),
    };
    let more = match errors.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let hint =
        if first.hint.is_empty() { "`holdline config check` shows the place" } else { first.hint.as_str() };
    Check::bad(CONFIGURATION, format!("{place}{}{more}", first.message), hint)
}

/// Where the credential comes from, and whether it can be had. `wanted`: it is going to be used, so
/// a command is worth running. `in_daemon`: this is the daemon's own environment. Whatever can be
/// had is given, expired or not: what the server says of it counts.
pub(super) async fn credential(
    credentials: &Credentials,
    wanted: bool,
    in_daemon: bool,
    now: Timestamp,
) -> (Check, Option<Secret>) {
    let source = credentials.origin();
    let open = |detail: String| (Check::open(CREDENTIAL_CODE, detail), None);
    match source {
        Source::None => return open("none is configured".to_owned()),
        Source::Command(_) if !wanted => return open(format!("{source}, not run for this")),
        Source::File(_)
        | Source::Env(_)
        | Source::Command(_)
        | Source::SystemdCredential(_)
        | Source::Keyring(_) => {}
    }
    match timeout(CREDENTIAL, credentials.fetch()).await {
        Ok(Ok(secret)) => {
            let private = if matches!(source, Source::File(_)) { ", private and readable" } else { "" };
            let expires = secret.as_ref().and_then(expires_at);
            let check = match expires {
                Some(at) if at <= now => {
                    let detail =
                        format!("{source}: by its own word it expired {} ago", length(now.since(at)));
                    Check::bad(CREDENTIAL_CODE, detail, "put a fresh one there; it is picked up at once")
                }
                Some(at) => {
                    let detail = format!("{source}{private}, good for {}", length(at.since(now)));
                    Check::good(CREDENTIAL_CODE, detail)
                }
                None => Check::good(CREDENTIAL_CODE, format!("{source}{private}")),
            };
            (check, secret)
        }
        Ok(Err(_)) if !in_daemon && matches!(source, Source::Env(_) | Source::SystemdCredential(_)) => {
            open(format!("{source} is not set here; the daemon has an environment of its own"))
        }
        Ok(Err(fault)) => {
            let hint =
                if fault.hint.is_empty() { "see [auth] in the configuration".into() } else { fault.hint };
            (Check::bad(CREDENTIAL_CODE, fault.text, hint), None)
        }
        Err(_) => {
            let detail = format!("{source} gave nothing within {} s", CREDENTIAL.as_secs());
            (Check::bad(CREDENTIAL_CODE, detail, "try it by hand"), None)
        }
    }
}
