//! A dial that tells what each of its phases found and how long it took.
//!
//! It is the very dial the daemon makes, watched; where it gets as far as a connection, that is
//! closed again as a guest would who came by mistake.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::rustls::ProtocolVersion;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::foreign::Quoter;
use super::stream::ServerStream;
use super::{Connection, Dialer, LinkCommand, LinkEvent, Plan};
use crate::clock::Clock;
use crate::model::{Failure, Instant, Secret, Timestamp};

/// How long the server has to answer our close frame.
const FAREWELL: Duration = Duration::from_secs(3);
/// The connection served its end (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;

/// A phase of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From the host's name to its addresses.
    Name,
    /// To one of the addresses.
    Connection,
    /// Through the proxy, where there is one: name and connection are the proxy's then.
    Proxy,
    /// Who the server is.
    Tls,
    /// From HTTP to WebSocket.
    Upgrade,
}

/// What a phase found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A host's addresses, in the order in which they are tried.
    Name {
        /// The server's host, or the proxy's.
        host: String,
        /// Its addresses.
        addresses: Vec<SocketAddr>,
    },
    /// Who answered first.
    Connection(SocketAddr),
    /// The proxy that opened the way to the server, as `host:port`.
    Proxy(String),
    /// Whom TLS proved the server to be.
    Tls(Handshake),
    /// The sub-protocol the server chose, if any.
    Upgrade(Option<String>),
}

impl Found {
    /// Which phase found it.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Name { .. } => Phase::Name,
            Self::Connection(_) => Phase::Connection,
            Self::Proxy(_) => Phase::Proxy,
            Self::Tls(_) => Phase::Tls,
            Self::Upgrade(_) => Phase::Upgrade,
        }
    }
}

/// What TLS agreed on, and what the server's certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handshake {
    /// `TLS 1.3`.
    pub version: String,
    /// Who signed the certificate; empty where it does not say.
    pub issuer: String,
    /// Until when it is valid; none where it cannot be read.
    pub not_after: Option<Timestamp>,
}

/// A phase that is through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it found.
    pub found: Found,
    /// How long it took.
    pub took: Duration,
}

/// How far a dial came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probe {
    /// The phases that are through, in order.
    pub steps: Vec<Step>,
    /// The phase that failed, why, and after how long.
    pub failed: Option<(Phase, Failure, Duration)>,
}

/// What a probe needs to go on to the upgrade.
#[allow(missing_debug_implementations, reason = "it holds a closure, and the credential")]
pub struct Upgrade<'a> {
    /// What the dial carries.
    pub plan: Plan,
    /// The credential.
    pub credential: Option<&'a Secret>,
    /// Asked at the last moment: whether an upgrade is still wanted.
    pub wanted: &'a (dyn Fn() -> bool + Sync),
}

impl Dialer {
    /// Dials as [`Dialer::dial`] does, within `patience` where that is shorter than the dial's
    /// own, and tells how far it came. With `upgrade` to the end, and the connection is closed at
    /// once; without it no further than TLS, which shows the server nothing but our address.
    pub async fn probe(&self, patience: Duration, upgrade: Option<Upgrade<'_>>) -> Probe {
        let mut trace = Trace::on(self.clock());
        let failed = self.follow(patience, upgrade, &mut trace).await.err();
        let (phase, took) = (trace.phase, trace.took());
        Probe { steps: trace.steps, failed: failed.map(|failure| (phase, failure, took)) }
    }

    async fn follow(
        &self,
        patience: Duration,
        upgrade: Option<Upgrade<'_>>,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        let secured = self.secure(patience.min(self.connect_timeout()), trace).await?;
        if let Some(upgrade) = upgrade.filter(|upgrade| (upgrade.wanted)()) {
            farewell(self.raise(secured, upgrade.plan, upgrade.credential, trace).await?).await;
        }
        Ok(())
    }
}

/// Closes a connection nobody needs and waits until the server has seen it.
async fn farewell(mut connection: Connection) {
    let failure = Failure::Lost { detail: String::new() };
    let ending = async {
        // An end by itself is as good.
        let _ = connection.commands.send(LinkCommand::Close { code: NORMAL, failure }).await;
        while !matches!(connection.events.recv().await, None | Some(LinkEvent::Down(_))) {}
    };
    // Whoever is slow to say goodbye finds the wire cut.
    let _ = timeout(FAREWELL, ending).await;
}

/// Follows a dial from phase to phase.
pub(super) struct Trace {
    clock: Clock,
    phase: Phase,
    since: Instant,
    watched: bool,
    steps: Vec<Step>,
}

impl Trace {
    /// One whose steps are kept.
    fn on(clock: Clock) -> Self {
        Self { watched: true, ..Self::off(clock) }
    }

    /// One that nobody reads.
    pub(super) fn off(clock: Clock) -> Self {
        Self { clock, phase: Phase::Name, since: clock.instant(), watched: false, steps: Vec::new() }
    }

    /// A phase begins.
    pub(super) fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = self.clock.instant();
    }

    /// The phase is through.
    pub(super) fn found(&mut self, found: impl FnOnce() -> Found) {
        if self.watched {
            let took = self.took();
            self.steps.push(Step { found: found(), took });
        }
    }

    fn took(&self) -> Duration {
        self.clock.instant().since(self.since)
    }
}

impl Handshake {
    /// Of a stream that speaks TLS.
    pub(super) fn of(stream: &ServerStream) -> Self {
        let ServerStream::Tls(stream) = stream else { return Self::default() };
        let session = stream.get_ref().1;
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            other => other.map(|version| format!("{version:?}")).unwrap_or_default(),
        };
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let Some(certificate) = certificate.and_then(|der| X509Certificate::from_der(der).ok()) else {
            return Self { version, ..Self::default() };
        };
        let certificate = certificate.1;
        let until = certificate.validity().not_after.timestamp();
        Self {
            version,
            issuer: Quoter::default().quote(&name_of(certificate.issuer())),
            not_after: Some(Timestamp::from_millis(until.saturating_mul(1_000))),
        }
    }
}

/// An authority as people know it: its organisation and its own name.
fn name_of(name: &x509_parser::x509::X509Name<'_>) -> String {
    let organisation = name.iter_organization().next().and_then(|part| part.as_str().ok());
    let common = name.iter_common_name().next().and_then(|part| part.as_str().ok());
    match (organisation, common) {
        (Some(organisation), Some(common)) => format!("{organisation}, {common}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => name.to_string(),
    }
}
