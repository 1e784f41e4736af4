//! A reload: the new configuration is checked as a whole and applied as a whole, or not at all.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::assemble::Assembly;
use super::backend::Daemon;
use super::contents::Contents;
use super::{EXIT_BUG, ready, telemetry};
use crate::config::{self, Config, Difference, OnSuspend, Problem, Severity as Weight, Sources};
use crate::engine::{Command, NewServer, Route};
use crate::model::{ErrorKind, HealthEntry, Refusal, Severity};
use crate::rpc::api::ReloadResult;

/// What a reload needs: where the configuration comes from, what is in force, and the way in for
/// a new route.
#[derive(Debug)]
pub(super) struct Reloader {
    sources: Sources,
    /// What the daemon started with: what needs a restart is measured against it.
    started: Config,
    in_force: Mutex<InForce>,
    route: watch::Sender<Route>,
    on_suspend: watch::Sender<OnSuspend>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct InForce {
    config: Config,
    contents: Contents,
}

impl Reloader {
    pub(super) fn new(sources: Sources, config: Config, route: watch::Sender<Route>) -> Self {
        let on_suspend = config.link.on_suspend;
        let in_force = InForce { contents: Contents::of(&config), config: config.clone() };
        Self {
            sources,
            started: config,
            in_force: Mutex::new(in_force),
            route,
            on_suspend: watch::Sender::new(on_suspend),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Where the configuration comes from.
    pub(super) const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Config {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// The way to the server that is dialled now.
    pub(super) fn route(&self) -> Route {
        self.route.borrow().clone()
    }

    /// What is to happen when the machine goes to sleep.
    #[cfg(target_os = "linux")]
    pub(super) fn on_suspend(&self) -> watch::Receiver<OnSuspend> {
        self.on_suspend.subscribe()
    }

    /// The configuration in force, without anything secret.
    pub(super) fn shown(&self) -> serde_json::Value {
        config::show_json(&self.in_force.lock().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// What `newer` changes, files that it names included.
    fn difference(&self, newer: &InForce) -> Difference {
        let now = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let mut difference = now.config.compare(&newer.config);
        for key in now.contents.changed(&newer.contents) {
            difference.note(key);
        }
        // What waited for a restart before waits for it still, and what was taken back does not.
        difference.needs_restart = self.started.compare(&newer.config).needs_restart;
        difference
    }
}

/// Health entry: the configuration on disk is not in force.
const REJECTED: &str = "config_rejected";
/// Health entry: some of it waits for a restart.
const RESTART: &str = "restart_needed";

/// Reads the configuration anew and applies what has changed. Whoever asked may go away: what has
/// begun is finished.
///
/// # Errors
/// What is wrong with it; everything stays as it was then.
pub(super) async fn reload(daemon: &Arc<Daemon>) -> Result<ReloadResult, Refusal> {
    let daemon = Arc::clone(daemon);
    let reloaded = tokio::spawn(async move {
        let _turn = daemon.reloader.turn.lock().await;
        ready::reloading();
        let result = take_up(&daemon).await;
        if !daemon.stop.is_cancelled() {
            ready::ready();
        }
        result
    });
    reloaded.await.unwrap_or_else(|error| {
        Err(Refusal::new(ErrorKind::Internal, format!("the reload ended by a fault of ours: {error}")))
    })
}

async fn take_up(daemon: &Daemon) -> Result<ReloadResult, Refusal> {
    let reloader = &daemon.reloader;
    let sources = reloader.sources.clone();
    // Files may lie on a disk that hangs.
    let read = tokio::task::spawn_blocking(move || read(&sources)).await;
    let (newer, assembly) = match read {
        Ok(Ok(read)) => read,
        Ok(Err(problems)) => return Err(reject(daemon, &problems)),
        Err(error) => {
            return Err(Refusal::new(
                ErrorKind::Internal,
                format!("reading the configuration ended by a fault of ours: {error}"),
            ));
        }
    };
    let difference = reloader.difference(&newer);
    daemon.store.reconfigure(assembly.store.clone()).await?;
    if let Err(message) = telemetry::set_level(&newer.config.log.level) {
        // The configuration was checked: this cannot be its fault, and the rest holds without.
        tracing::warn!("{message}");
    }
    let server = difference.reconnect.then(|| NewServer {
        dialect: Arc::clone(&assembly.dialect),
        key: assembly.store.server_key.clone(),
    });
    let (route, settings, mut policy) = assembly.route();
    // What receipts are worth is settled by how the database was opened.
    policy.durability = daemon.report.store.durability;
    // The route first: the dial that the loop may begin now must take the new one.
    reloader.route.send_replace(route);
    daemon.engine.tell_soon(Command::Reload { settings: Box::new(settings), server }).await?;
    *daemon.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    daemon.notices.reconfigure(newer.config.notifications.clone());
    for warning in &newer.config.warnings {
        tracing::warn!("{}", warning.message);
    }
    reloader.on_suspend.send_replace(newer.config.link.on_suspend);
    *reloader.in_force.lock().unwrap_or_else(PoisonError::into_inner) = newer;
    daemon.fanout.health.clear(REJECTED);
    let Difference { changed, reconnect, needs_restart } = difference;
    tell_of_restart(daemon, &needs_restart);
    tracing::info!(changed = changed.join(" "), reconnect, "the configuration was reloaded");
    Ok(ReloadResult { changed, reconnect, needs_restart })
}

fn read(sources: &Sources) -> Result<(InForce, Assembly), Vec<Problem>> {
    let config = config::load(sources)?;
    // Before they are used: what changes in between is seen by the next reload.
    let contents = Contents::of(&config);
    let assembly = Assembly::of(&config)?;
    Ok((InForce { config, contents }, assembly))
}

fn tell_of_restart(daemon: &Daemon, keys: &[String]) {
    if keys.is_empty() {
        return daemon.fanout.health.clear(RESTART);
    }
    daemon.fanout.health.put(HealthEntry {
        code: RESTART.into(),
        severity: Severity::Info,
        since: daemon.clock.now().wall,
        text: format!("changed, and not in force before a restart: {}", keys.join(", ")),
        hint: "restart the daemon when it suits; nothing is lost by it".into(),
    });
}

fn reject(daemon: &Daemon, problems: &[Problem]) -> Refusal {
    let home = daemon.reloader.sources.environment.home.as_deref();
    let errors: Vec<&Problem> = problems.iter().filter(|it| it.severity == Weight::Error).collect();
    let first = errors.first().map_or_else(String::new, |problem| place(problem));
    let more = match errors.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    tracing::error!("the configuration was not reloaded: {first}{more}");
    daemon.fanout.health.put(HealthEntry {
        code: REJECTED.into(),
        severity: Severity::Warning,
        since: daemon.clock.now().wall,
        text: format!("the configuration on disk is not in force: {first}{more}"),
        hint: "correct it and reload (`holdline config check` shows all of it); until then everything runs as before".into(),
    });
    Refusal::new(
        ErrorKind::InvalidParams,
        "the configuration was not reloaded: it is not in order, and the one before stays in force",
    )
    .hint("`holdline config check` says the same at any time")
    .with("detail", config::render(problems, home))
    .with("exit", errors.first().map_or(EXIT_BUG, |problem| problem.exit))
}

/// A problem in one line, with its place.
fn place(problem: &Problem) -> String {
    let file = problem.file.as_ref().and_then(|file| file.file_name()).map(|name| name.to_string_lossy());
    match (file, problem.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: {}", problem.message),
        (Some(file), None) => format!("{file}: {}", problem.message),
        (None, _) => problem.message.clone(),
    }
}
