//! A reload: the new configuration is checked as a whole and applied as a whole, or not at all.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::assemble::Assembly;
use super::backend::Daemon;
use crate::config::{self, Config, Sources};
use crate::engine::{Command, NewServer, Route};
use crate::model::{ErrorKind, HealthEntry, Refusal, Severity};
use crate::rpc::api::ReloadResult;

/// What a reload needs: where the configuration comes from, what is in force, and the way in for
/// a new route.
#[derive(Debug)]
pub(super) struct Reloader {
    sources: Sources,
    config: Mutex<Config>,
    route: watch::Sender<Route>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Reloader {
    pub(super) fn new(sources: Sources, config: Config, route: watch::Sender<Route>) -> Self {
        Self { sources, config: Mutex::new(config), route, turn: tokio::sync::Mutex::new(()) }
    }

    /// Where the configuration comes from.
    pub(super) const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The way to the server that is dialled now.
    pub(super) fn route(&self) -> Route {
        self.route.borrow().clone()
    }

    /// The configuration in force, without anything secret.
    pub(super) fn shown(&self) -> serde_json::Value {
        config::show_json(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const HEALTH: &str = "config_rejected";

/// Reads the configuration anew and applies what has changed.
///
/// # Errors
/// What is wrong with it; everything stays as it was then.
pub(super) async fn reload(daemon: &Arc<Daemon>) -> Result<ReloadResult, Refusal> {
    let reloader = &daemon.reloader;
    let _turn = reloader.turn.lock().await;
    let read = config::load(&reloader.sources).and_then(|config| {
        let assembly = Assembly::of(&config)?;
        Ok((config, assembly))
    });
    let (config, assembly) = match read {
        Ok(read) => read,
        Err(problems) => return Err(reject(daemon, &config::render(&problems, None))),
    };
    let difference = reloader.config.lock().unwrap_or_else(PoisonError::into_inner).compare(&config);
    let server = if difference.reconnect {
        Some(NewServer { dialect: Arc::clone(&assembly.dialect), store: assembly.store.clone() })
    } else {
        daemon.store.reconfigure(assembly.store.clone()).await?;
        None
    };
    let (route, settings, policy) = assembly.route();
    // The route first: the dial that the loop may begin now must take the new one.
    reloader.route.send_replace(route);
    daemon.engine.tell_soon(Command::Reload { settings: Box::new(settings), server }).await?;
    *daemon.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    *reloader.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    daemon.fanout.health.clear(HEALTH);
    tracing::info!(changed = difference.changed.join(" "), "the configuration was reloaded");
    Ok(ReloadResult {
        changed: difference.changed,
        reconnect: difference.reconnect,
        needs_restart: difference.needs_restart,
    })
}

fn reject(daemon: &Daemon, text: &str) -> Refusal {
    tracing::error!("the configuration was not reloaded: {text}");
    daemon.fanout.health.put(HealthEntry {
        code: HEALTH.into(),
        severity: Severity::Warning,
        since: daemon.clock.now().wall,
        text: format!("the configuration on disk is not in force: {text}"),
        hint: "correct it and reload; until then everything runs as before".into(),
    });
    Refusal::new(
        ErrorKind::InvalidParams,
        format!("the configuration is not valid; the running one stays in force\n{text}"),
    )
    .hint("`holdline config check` says the same at any time")
}
