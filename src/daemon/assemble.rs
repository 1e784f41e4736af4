//! The one place where the configuration becomes the settings of the rooms.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Policy;
use crate::config::{AuthMethod, Config, DialectChoice, HeartbeatMode, Problem, TokenSource};
use crate::dialect::record::Recorder;
use crate::dialect::{self, Dialect};
use crate::engine::Route;
use crate::link::credential::{Credentials, KeyringEntry, Source};
use crate::link::{Auth, Dialer, Target, TlsSettings};
use crate::model::Durability;
use crate::{link, session, store};

/// Bytes of unconfirmed messages on the wire.
const WINDOW_BYTES: usize = 1 << 20;
/// How long after a start nothing is pruned for its age: a clock that is wrong at boot is set by then.
const AGES_AFTER: Duration = Duration::from_secs(10 * 60);

/// Everything the configuration decides, ready for the rooms.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) session: session::Settings,
    pub(super) store: store::Settings,
    pub(super) policy: Policy,
    dialer: Dialer,
    source: Source,
    token_by_message: bool,
}

impl Assembly {
    /// Loads the dialect and the certificates and maps the rest. Touches no network and no
    /// database.
    ///
    /// # Errors
    /// Whatever the dialect, the certificates or the credential's method make impossible.
    pub(super) fn of(config: &Config) -> Result<Self, Vec<Problem>> {
        let dialect = load_dialect(config)?;
        let auth = auth(config, dialect.as_ref()).map_err(|problem| vec![problem])?;
        let token_by_message = auth == Auth::Message;
        waits_for_the_answer(config).map_err(|problem| vec![problem])?;
        let server_key = format!("{} {}", config.server.url.without_query(), dialect.traits().name);
        let dialer = Dialer::new(link_settings(config)?, auth).map_err(|error| {
            vec![config.problem("server", "bad_value", error.to_string(), "correct it and start again")]
        })?;
        Ok(Self {
            session: session_settings(config, &server_key),
            store: store_settings(config, server_key),
            policy: Policy {
                types: Arc::clone(&config.types),
                confirm: config.outbox.confirm,
                dialect: Arc::clone(&dialect),
                durability: config.store.durability,
                max_message: config.server.max_message,
                outbox: config.outbox,
            },
            dialect,
            dialer,
            source: source(config),
            token_by_message,
        })
    }

    /// The same, with a session that is taken down by `recorder`, and a database at `path`. Call it
    /// within the runtime.
    pub(super) fn recorded(mut self, recorder: &Arc<Recorder>, path: PathBuf) -> (Self, Credentials) {
        self.dialect = recorder.overhear(self.dialect);
        self.policy.dialect = Arc::clone(&self.dialect);
        self.store.path = path;
        // It is thrown away at the end.
        self.store.durability = Durability::Normal;
        let recorder = Arc::clone(recorder);
        let credentials = Credentials::new(self.source.clone());
        (self, credentials.heard_by(move |secret| recorder.hide("token", secret.expose())))
    }

    /// The way to the server. Call it within the runtime: a token file is watched from here on.
    pub(super) fn route(self) -> (Route, session::Settings, Policy) {
        let credentials = Credentials::new(self.source.clone());
        self.route_with(credentials)
    }

    /// As [`Assembly::route`], with these credentials.
    pub(super) fn route_with(self, credentials: Credentials) -> (Route, session::Settings, Policy) {
        let route = Route {
            dialer: Arc::new(self.dialer),
            credentials: Arc::new(credentials),
            token_by_message: self.token_by_message,
        };
        (route, self.session, self.policy)
    }
}

fn load_dialect(config: &Config) -> Result<Arc<dyn Dialect>, Vec<Problem>> {
    let base = config.places.config.parent().unwrap_or_else(|| std::path::Path::new("."));
    let reference = match &config.server.dialect {
        DialectChoice::Named(name) => name.clone(),
        DialectChoice::File(path) => path.display().to_string(),
    };
    // Whether the dialect is given the credential: where nothing is written, it is if it names it.
    let token = match config.auth.method {
        AuthMethod::Message => Some(true),
        AuthMethod::Default => config.auth.source.is_none().then_some(false),
        AuthMethod::None
        | AuthMethod::Query { .. }
        | AuthMethod::Header { .. }
        | AuthMethod::Basic { .. }
        | AuthMethod::Cookie { .. }
        | AuthMethod::Subprotocol { .. } => Some(false),
    };
    let options = dialect::Options { token };
    dialect::load(&reference, base, &config.server.vars, &options).map_err(|problems| {
        problems
            .into_iter()
            .map(|problem| {
                let place = match problem.line {
                    0 => format!("{}: ", problem.file),
                    line => format!("{}:{line}: ", problem.file),
                };
                let message = format!("{place}{}", problem.message);
                config.problem("server.dialect", "bad_dialect", message, problem.advice)
            })
            .collect()
    })
}

/// Where the credential goes: what is written, else by message where the dialect has a place for
/// it.
fn auth(config: &Config, dialect: &dyn Dialect) -> Result<Auth, Problem> {
    Ok(match &config.auth.method {
        AuthMethod::None => Auth::None,
        AuthMethod::Default if config.auth.source.is_none() => Auth::None,
        AuthMethod::Default if dialect.traits().uses_token => Auth::Message,
        AuthMethod::Default => {
            return Err(config.problem(
                "auth",
                "unused_token",
                format!("the dialect `{}` has no place for the credential", dialect.traits().name),
                "say where it goes: auth.method = \"header\", \"query\", \"cookie\", \"basic\" or \"subprotocol\"",
            ));
        }
        AuthMethod::Message if !dialect.traits().uses_token => {
            return Err(config.problem(
                "auth.method",
                "unused_token",
                format!("the dialect `{}` has no frame that carries the credential", dialect.traits().name),
                "use another auth.method, or a dialect that names $token",
            ));
        }
        AuthMethod::Message => Auth::Message,
        AuthMethod::Query { name } => Auth::Query { name: name.clone() },
        AuthMethod::Header { name, prefix } => Auth::Header { name: name.clone(), prefix: prefix.clone() },
        AuthMethod::Basic { username } => Auth::Basic { username: username.clone() },
        AuthMethod::Cookie { name } => Auth::Cookie { name: name.clone() },
        AuthMethod::Subprotocol { entry } => Auth::Subprotocol { name: entry.clone() },
    })
}

/// A dialect in code knows the answer to its sign-in, and begins with it: one that goes without cannot be.
fn waits_for_the_answer(config: &Config) -> Result<(), Problem> {
    let DialectChoice::Named(name) = &config.server.dialect else { return Ok(()) };
    let optional = config.auth.sign_in.is_some_and(|sign_in| !sign_in.required);
    if !optional || dialect::coded::find(name).is_none() {
        return Ok(());
    }
    Err(config.problem(
        "auth.reply",
        "conflict",
        format!("the dialect `{name}` does not begin without the server's answer to the sign-in"),
        "take it out; `reply_timeout` says how long to wait",
    ))
}

fn source(config: &Config) -> Source {
    if config.auth.method == AuthMethod::None {
        return Source::None;
    }
    match &config.auth.source {
        None => Source::None,
        Some(TokenSource::File(path)) => Source::File(path.clone()),
        Some(TokenSource::Variable(name)) => Source::Env(name.clone()),
        Some(TokenSource::Command(argv)) => Source::Command(argv.clone()),
        Some(TokenSource::Credential(name)) => Source::SystemdCredential(name.clone()),
        Some(TokenSource::Keyring { service, user }) => {
            Source::Keyring(KeyringEntry { service: service.clone(), user: user.clone() })
        }
    }
}

fn link_settings(config: &Config) -> Result<link::Settings, Vec<Problem>> {
    let server = &config.server;
    let url = Target::parse(&server.url.exposed()).map_err(|error| {
        vec![config.problem("server.url", "bad_value", error.to_string(), "write it like wss://host/path")]
    })?;
    let client = server.tls.client.as_ref();
    Ok(link::Settings {
        url,
        connect_timeout: server.connect_timeout,
        max_message: usize::try_from(server.max_message).unwrap_or(usize::MAX),
        headers: server.headers.clone(),
        subprotocols: server.subprotocols.clone(),
        tls: TlsSettings {
            ca_file: server.tls.ca_file.clone(),
            client_cert: client.map(|client| client.certificate.clone()),
            client_key: client.map(|client| client.key.clone()),
        },
        allow_plaintext: server.allow_plaintext,
        proxy: server.proxy.clone(),
    })
}

fn session_settings(config: &Config, server_key: &str) -> session::Settings {
    session::Settings {
        url: config.server.url.to_string(),
        server_key: server_key.to_owned(),
        heartbeat: session::HeartbeatSettings {
            mode: match config.heartbeat.mode {
                HeartbeatMode::Auto => session::HeartbeatMode::Auto,
                HeartbeatMode::Ping => session::HeartbeatMode::Ping,
                HeartbeatMode::Message => session::HeartbeatMode::Message,
                HeartbeatMode::Off => session::HeartbeatMode::Off,
            },
            interval: config.heartbeat.interval,
            timeout: config.heartbeat.timeout,
        },
        reconnect: session::ReconnectSettings {
            delays: config.reconnect.delays.clone(),
            jitter: config.reconnect.jitter,
            stable_after: config.reconnect.stable_after,
            unavailable_after: config.reconnect.unavailable_after,
        },
        outbox: session::OutboxSettings {
            window: config.outbox.window,
            window_bytes: WINDOW_BYTES,
            confirm_timeout: config.outbox.confirm_timeout,
            max_attempts: config.outbox.max_attempts,
            drain_rate: config.outbox.drain_rate,
        },
        sign_in: config
            .auth
            .sign_in
            .map(|sign_in| dialect::SignIn { required: sign_in.required, timeout: sign_in.timeout }),
        types: Arc::clone(&config.types),
        lanes: config
            .lanes
            .iter()
            .map(|(name, lane)| {
                (Arc::clone(name), session::LaneSettings { block: lane.block, window: lane.window })
            })
            .collect(),
    }
}

fn store_settings(config: &Config, server_key: String) -> store::Settings {
    store::Settings {
        path: config.places.database.clone(),
        durability: config.store.durability,
        server_key,
        ages_after: AGES_AFTER,
        outbox: store::OutboxSettings {
            max_messages: config.outbox.max_messages,
            max_bytes: config.outbox.max_bytes,
            drop_oldest: config.outbox.drop_oldest,
            keep_finished: config.outbox.keep_finished,
            keep_finished_age: config.outbox.keep_finished_age,
        },
        inbox: store::InboxSettings {
            max_events: config.inbox.max_events,
            max_age: config.inbox.max_age,
            max_bytes: config.inbox.max_bytes,
        },
    }
}
