//! Dialling: one phase after the other, each with a failure of its own, all within one deadline.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::auth::Carried;
use super::foreign::Quoter;
use super::network::Outlook;
use super::probe::{Found, Handshake, Phase, Trace};
use super::stream::{Counted, ServerStream};
use super::target::Place;
use super::tls::{Tls, TlsSetupError};
use super::upgrade::{is_ours, is_token, upgrade};
use super::{Auth, Connection, Plan, Target, TlsSettings, proxy, pump, reach};
use crate::clock::Clock;
use crate::model::{
    ConnectFault, Failure, Instant as Monotonic, Proxy, ProxyFault, Secret, Timestamp, TlsFault,
};

/// Where to dial, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server.
    pub url: Target,
    /// How long a dial may take, from the lookup to the end of the upgrade.
    pub connect_timeout: Duration,
    /// Largest message and largest frame the server may send, in bytes.
    pub max_message: usize,
    /// Headers to add to the upgrade.
    pub headers: Vec<(String, Secret)>,
    /// Sub-protocols to offer.
    pub subprotocols: Vec<String>,
    /// TLS.
    pub tls: TlsSettings,
    /// `ws://` may leave this machine.
    pub allow_plaintext: bool,
    /// The proxy to go through, whatever the server.
    pub proxy: Option<Proxy>,
}

impl Settings {
    /// The defaults: 10 s, 4 MiB, nothing added, plain text to this machine only.
    #[must_use]
    pub fn to(url: Target) -> Self {
        Self {
            url,
            connect_timeout: Duration::from_secs(10),
            max_message: 4 * 1024 * 1024,
            headers: Vec::new(),
            subprotocols: Vec::new(),
            tls: TlsSettings::default(),
            allow_plaintext: false,
            proxy: None,
        }
    }
}

/// Why a [`Dialer`] cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// `ws://` to another machine without leave.
    #[error(
        "server.url: ws:// to {host} would send everything in the clear; use wss://, or set server.allow_plaintext = true"
    )]
    Plaintext {
        /// The host.
        host: String,
    },
    /// `ws://` through a proxy on another machine without leave.
    #[error(
        "server.proxy: ws:// through the proxy {proxy} would send everything in the clear; use wss://, or set server.allow_plaintext = true"
    )]
    PlaintextProxy {
        /// Its host and port.
        proxy: String,
    },
    /// A header that cannot be sent.
    #[error("server.headers: \"{name}\" {what}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A sub-protocol that cannot be offered.
    #[error("server.subprotocols: \"{0}\" holds a character that may not stand in a sub-protocol's name")]
    Subprotocol(String),
    /// A file of `server.tls`, or the system's trust.
    #[error("server.{0}")]
    Tls(#[from] TlsSetupError),
}

/// Makes connections to one server. Roots and certificates are read once, when it is made: after
/// a reload, make another one.
pub struct Dialer {
    settings: Settings,
    auth: Auth,
    tls: Option<Tls>,
    clock: Clock,
    /// What time it was for the server when it last answered an upgrade, and when that was.
    server_time: Mutex<Option<(Timestamp, Monotonic)>>,
}

impl Dialer {
    /// Checks the settings and loads the certificates.
    ///
    /// # Errors
    /// When a setting can never work, or a file of `server.tls` cannot be used.
    pub fn new(settings: Settings, auth: Auth) -> Result<Self, SetupError> {
        if !settings.url.is_secure() && !settings.allow_plaintext {
            if !settings.url.is_loopback() {
                return Err(SetupError::Plaintext { host: settings.url.host().to_owned() });
            }
            if let Some(proxy) = settings.proxy.as_ref().filter(|proxy| !Place::of(proxy).is_loopback()) {
                return Err(SetupError::PlaintextProxy { proxy: proxy.host_and_port() });
            }
        }
        for (name, value) in &settings.headers {
            let what = if !is_token(name) {
                "is no header name"
            } else if is_ours(name) {
                "belongs to the handshake and cannot be set"
            } else if http::HeaderValue::from_str(value.expose()).is_err() {
                "has a value with a character that HTTP forbids"
            } else {
                continue;
            };
            return Err(SetupError::Header { name: name.clone(), what });
        }
        if let Some(odd) = settings.subprotocols.iter().find(|name| !is_token(name)) {
            return Err(SetupError::Subprotocol(odd.clone()));
        }
        let tls = if settings.url.is_secure() { Some(Tls::new(&settings.tls)?) } else { None };
        Ok(Self { settings, auth, tls, clock: Clock::start(), server_time: Mutex::default() })
    }

    /// When our own certificate expires, where we have one that says so, and which file it is in.
    #[must_use]
    pub fn own_certificate(&self) -> Option<(&std::path::Path, Timestamp)> {
        let file = self.settings.tls.client_cert.as_deref()?;
        Some((file, self.tls.as_ref()?.own_until()?))
    }

    /// Dials: lookup, TCP, proxy, TLS, upgrade. Dropped midway, it leaves nothing behind.
    ///
    /// # Errors
    /// The failure of the phase that failed, or whose time ran out.
    pub async fn dial(&self, plan: Plan, credential: Option<&Secret>) -> Result<Connection, Failure> {
        let mut trace = Trace::off(self.clock);
        let secured = self.secure(self.settings.connect_timeout, &mut trace).await?;
        self.raise(secured, plan, credential, &mut trace).await
    }

    /// Everything before the upgrade, which must be through within `after` as well.
    pub(super) async fn secure(&self, after: Duration, trace: &mut Trace) -> Result<Secured, Failure> {
        let target = &self.settings.url;
        let by = Limit { after, deadline: self.clock.deadline(self.clock.instant() + after) };

        let wire = match &self.settings.proxy {
            None => self.reach(&target.place(), by, trace).await?,
            Some(proxy) => {
                let reached = self.reach(&Place::of(proxy), by, trace).await;
                let mut wire = reached.map_err(|failure| of_proxy(proxy, failure))?;
                trace.begin(Phase::Proxy);
                self.open(proxy, &mut wire, by).await?;
                trace.found(|| Found::Proxy(proxy.host_and_port()));
                wire
            }
        };
        let wire = Counted::new(wire);

        let Some(tls) = &self.tls else { return Ok(Secured { stream: ServerStream::Plain(wire), by }) };
        trace.begin(Phase::Tls);
        let stream = within(by.deadline, tls.connect(target, wire, self.clock.now().wall), || Failure::Tls {
            host: target.host().to_owned(),
            fault: TlsFault::Timeout { after },
        })
        .await?;
        let stream = ServerStream::Tls(Box::new(stream));
        trace.found(|| Found::Tls(Handshake::of(&stream)));
        Ok(Secured { stream, by })
    }

    /// The upgrade, and the pump.
    pub(super) async fn raise(
        &self,
        secured: Secured,
        plan: Plan,
        credential: Option<&Secret>,
        trace: &mut Trace,
    ) -> Result<Connection, Failure> {
        let Secured { mut stream, by } = secured;
        let (settings, target) = (&self.settings, &self.settings.url);
        let carried = Carried::put_together(target, settings, &self.auth, plan, credential);

        trace.begin(Phase::Upgrade);
        let now = self.clock.now().wall;
        let mut date = None;
        let upgrading = upgrade(&mut stream, target, &carried, now, &mut date);
        let upgraded = within(by.deadline, upgrading, || Failure::HandshakeTimeout { after: by.after }).await;
        if let Some(date) = date {
            *self.server_time.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((date, self.clock.instant()));
        }
        let upgraded = upgraded?;
        trace.found(|| Found::Upgrade(upgraded.subprotocol.clone()));
        Ok(pump::start(
            stream,
            upgraded,
            settings.max_message,
            carried.quoter.clone(),
            pump::Patience::default(),
            self.clock,
        )
        .await)
    }

    /// Whether a proxy stands between.
    #[must_use]
    pub const fn has_proxy(&self) -> bool {
        self.settings.proxy.is_some()
    }

    /// Where it dials.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.settings.url
    }

    /// A TCP connection to the server, or to the proxy in front of it.
    async fn reach(&self, place: &Place, by: Limit, trace: &mut Trace) -> Result<TcpStream, Failure> {
        trace.begin(Phase::Name);
        let addresses = within(by.deadline, reach::look_up(place), || Failure::NameLookup {
            host: place.host.clone(),
            detail: format!("no answer within {} s", by.after.as_secs()),
        })
        .await?;
        trace.found(|| Found::Name { host: place.host.clone(), addresses: addresses.clone() });

        trace.begin(Phase::Connection);
        self.check_plaintext(&addresses)?;
        let wire = within(by.deadline, reach::connect(place, &addresses), || Failure::Connect {
            target: match addresses.as_slice() {
                [only] => only.to_string(),
                _ => place.to_string(),
            },
            fault: ConnectFault::Timeout,
        })
        .await?;
        if let Ok(peer) = wire.peer_addr() {
            trace.found(|| Found::Connection(peer));
        }
        Ok(wire)
    }

    /// Has the proxy at the other end open the way to the server.
    async fn open(&self, proxy: &Proxy, wire: &mut TcpStream, by: Limit) -> Result<(), Failure> {
        let fault = |fault| Failure::Proxy { proxy: proxy.host_and_port(), fault };
        let secrets = proxy::secrets(proxy);
        let quoter = Quoter::hiding(secrets.iter().map(String::as_str));
        let now = self.clock.now().wall;
        let opening =
            async { proxy::open(wire, proxy, &self.settings.url, &quoter, now).await.map_err(fault) };
        within(by.deadline, opening, || fault(ProxyFault::Silent { after: by.after })).await
    }

    /// How far this machine's clock is ahead of the server's (negative: behind), in milliseconds.
    /// The server told its time when it answered an upgrade; none where it never did.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        let (date, at) = (*self.server_time.lock().unwrap_or_else(PoisonError::into_inner))?;
        let now = self.clock.now();
        let theirs = date.after(now.instant.since(at));
        Some(now.wall.as_millis().saturating_sub(theirs.as_millis()))
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) const fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    /// What this machine would send from, towards the server and in general.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        Outlook::towards(self.settings.url.address())
    }

    /// A name of this machine may turn out to be another one's. Through a proxy it is the proxy's
    /// addresses that are looked at: the server's are the proxy's business.
    fn check_plaintext(&self, addresses: &[SocketAddr]) -> Result<(), Failure> {
        if self.settings.url.is_secure() || self.settings.allow_plaintext {
            return Ok(());
        }
        match addresses.iter().find(|address| !address.ip().to_canonical().is_loopback()) {
            None => Ok(()),
            Some(outside) => {
                Err(Failure::Connect { target: outside.to_string(), fault: ConnectFault::LeavesMachine })
            }
        }
    }
}

/// How long a dial may take in all, and by when it must be through.
#[derive(Debug, Clone, Copy)]
struct Limit {
    after: Duration,
    deadline: Instant,
}

/// A stream to the server, and by when the rest of the dial must be through.
pub(super) struct Secured {
    stream: ServerStream,
    by: Limit,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("settings", &self.settings)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// What kept us from the proxy, told as such.
fn of_proxy(proxy: &Proxy, failure: Failure) -> Failure {
    #[allow(clippy::wildcard_enum_match_arm, reason = "reaching a host fails in these ways alone")]
    let fault = match failure {
        Failure::NameNotFound { .. } => ProxyFault::NameNotFound,
        Failure::NameLookup { detail, .. } => ProxyFault::NameLookup(detail),
        Failure::Connect { fault, .. } => ProxyFault::Connect(fault),
        other => return other,
    };
    Failure::Proxy { proxy: proxy.host_and_port(), fault }
}

async fn within<T>(
    deadline: Instant,
    phase: impl Future<Output = Result<T, Failure>>,
    late: impl FnOnce() -> Failure,
) -> Result<T, Failure> {
    timeout_at(deadline, phase).await.unwrap_or_else(|_elapsed| Err(late()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings::to(Target::parse(url).unwrap())
    }

    #[test]
    fn plain_text_to_another_machine_is_refused_unless_allowed() {
        let refused = Dialer::new(settings("ws://example.com/"), Auth::None).unwrap_err();
        assert!(matches!(refused, SetupError::Plaintext { .. }), "{refused}");
        let allowed = Settings { allow_plaintext: true, ..settings("ws://example.com/") };
        assert!(Dialer::new(allowed, Auth::None).is_ok());
        assert!(Dialer::new(settings("ws://127.0.0.1/"), Auth::None).is_ok());
    }

    #[test]
    fn a_local_name_that_leads_elsewhere_is_refused_when_dialling() {
        let dialer = Dialer::new(settings("ws://localhost/"), Auth::None).unwrap();
        let here: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let there: SocketAddr = "192.0.2.1:80".parse().unwrap();
        assert!(dialer.check_plaintext(&[here]).is_ok());
        assert!(dialer.check_plaintext(&[here, there]).is_err());
    }

    #[test]
    fn headers_and_sub_protocols_that_cannot_be_sent_are_refused_at_the_start() {
        let bad = [("X Y", "1"), ("Host", "h"), ("sec-websocket-key", "k"), ("X-A", "a\r\nB: c")];
        for (name, value) in bad {
            let headers = vec![(name.to_owned(), Secret::new(value))];
            let refused = Dialer::new(Settings { headers, ..settings("ws://localhost/") }, Auth::None);
            assert!(matches!(refused, Err(SetupError::Header { .. })), "{name}");
        }
        let subprotocols = vec!["a b".to_owned()];
        let refused = Dialer::new(Settings { subprotocols, ..settings("ws://localhost/") }, Auth::None);
        assert!(matches!(refused, Err(SetupError::Subprotocol(_))));
    }
}
