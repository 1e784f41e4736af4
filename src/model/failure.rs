//! Why a connection did not come about, or ended, and what that means for the next one.
//!
//! The causes stay inside; what other rooms use are the decisions: [`Failure::verdict`],
//! [`Failure::reason_kind`], the sentence ([`std::fmt::Display`]) and [`Failure::hint`].
//!
//! Long, for all causes and the decisions on each stand together: a new cause is one file's change.

use std::fmt;
use std::time::Duration;

use super::{LinkState, ProxyFault, ReasonKind, Timestamp, words};

/// A certificate that does not hold at this time, if the time is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// From when, or until when, it holds, where the library says so.
    pub bound: Option<Timestamp>,
    /// What our clock showed.
    pub clock: Timestamp,
}

/// What went wrong with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is for these names, not for the host.
    WrongName(String),
    /// Nobody we trust signed it.
    UnknownIssuer,
    /// Its time is over, or our clock is ahead.
    Expired(Validity),
    /// Its time has not come, or our clock is behind.
    NotYetValid(Validity),
    /// It vouches for itself, and we do not know it.
    SelfSigned,
    /// The server speaks no version of TLS that is safe.
    Version,
    /// The server wants a certificate of ours (no words), or does not take the one we have.
    ClientCertificate(String),
    /// The handshake was not finished in time.
    Timeout {
        /// After how long.
        after: Duration,
    },
    /// Another fault, in the library's words.
    Other(String),
}

/// What went wrong while reaching the server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectFault {
    /// Nobody listens.
    Refused,
    /// No way there, while the network itself is usable.
    Unreachable,
    /// No usable network at all.
    NoNetwork,
    /// No answer in time.
    Timeout,
    /// It is not this machine, and everything would be sent in the clear.
    LeavesMachine,
    /// Another fault, in the system's words.
    Other(String),
}

/// What is wrong with the credential's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFault {
    /// What happened, naming the source, never the content.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// Why a connection did not come about, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No credential could be had.
    NoCredential(CredentialFault),
    /// The credential says of itself that its time is over, and was not shown to the server.
    CredentialExpired {
        /// Where it comes from.
        source: String,
        /// When it expired.
        at: Timestamp,
    },
    /// The name does not exist (NXDOMAIN).
    NameNotFound {
        /// The host name.
        host: String,
    },
    /// The name could not be looked up just now.
    NameLookup {
        /// The host name.
        host: String,
        /// The system's words.
        detail: String,
    },
    /// The address could not be reached.
    Connect {
        /// `address:port` (or `host:port` where no address was tried).
        target: String,
        /// What happened.
        fault: ConnectFault,
    },
    /// The proxy failed.
    Proxy {
        /// Its `host:port`.
        proxy: String,
        /// What happened.
        fault: ProxyFault,
    },
    /// TLS failed.
    Tls {
        /// The host name.
        host: String,
        /// What happened.
        fault: TlsFault,
    },
    /// The server answered the upgrade with something else than 101.
    Refused {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, clamped to 1 s … 1 h.
        retry_after: Option<Duration>,
        /// The beginning of the body or the status text, cleaned, at most 256 bytes.
        detail: String,
        /// What the dialect makes of it; none: the default of the status.
        ruled: Option<Verdict>,
    },
    /// The server's answer to the upgrade broke the protocol.
    Handshake {
        /// What was wrong.
        detail: String,
    },
    /// The connection ended before the upgrade was answered.
    Unanswered {
        /// How it ended.
        detail: String,
    },
    /// The upgrade was not finished in time.
    HandshakeTimeout {
        /// After how long.
        after: Duration,
    },
    /// The server sent a close frame (or ended after one of ours).
    Closed {
        /// Close code; 1005 where there was none.
        code: u16,
        /// Its reason, cleaned.
        reason: String,
        /// What the dialect makes of it; none: the default of the code.
        ruled: Option<Verdict>,
        /// This is the second 1008 in a row.
        repeated_policy: bool,
    },
    /// The connection broke without a close frame (1006).
    Lost {
        /// The system's words; empty for a plain end.
        detail: String,
    },
    /// Nothing was heard for interval + timeout.
    HeartbeatTimeout {
        /// For how long.
        silence: Duration,
    },
    /// The server broke the WebSocket protocol.
    Protocol {
        /// How.
        detail: String,
    },
    /// The server sent text that is no UTF-8.
    InvalidUtf8,
    /// The server sent more than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The server did not read for this long.
    WriteStalled {
        /// How long.
        after: Duration,
    },
    /// Our disk held reading for this long.
    StoreStalled {
        /// How long.
        after: Duration,
    },
    /// A start-up step was not answered in time.
    StartTimeout {
        /// Which one, for people.
        step: String,
        /// After how long.
        after: Duration,
        /// The step sends the credential: the hint names `auth.reply`.
        sign_in: bool,
    },
    /// The dialect's verdict on a frame or a step.
    Ruled {
        /// What it means.
        verdict: Verdict,
        /// The server's code.
        code: Option<String>,
        /// The server's words, cleaned.
        message: Option<String>,
    },
    /// The network changed, the machine woke, or somebody asked: dial anew at once.
    Redial(ReasonKind),
}

/// What a failure means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Normal backoff; not before `after` where the server named a time.
    Retry {
        /// The server's wish.
        after: Option<Duration>,
    },
    /// Normal backoff, and the state says `unavailable` at once.
    Unavailable {
        /// The server's wish.
        after: Option<Duration>,
    },
    /// Planned: dial at once (a second one within `stable_after` counts as [`Verdict::Retry`]).
    Reconnect,
    /// One fresh credential, then wait for a changed one.
    Unauthorized,
    /// Backoff for ten minutes, then every five.
    Misconfigured,
    /// No network: dial when it is back (and by backoff, in case nobody tells).
    Offline,
}

impl Verdict {
    /// The state the link is shown in while this is the last word.
    #[must_use]
    pub const fn state(self) -> LinkState {
        match self {
            Self::Retry { .. } | Self::Reconnect => LinkState::Reconnecting,
            Self::Unavailable { .. } => LinkState::Unavailable,
            Self::Unauthorized => LinkState::Unauthorized,
            Self::Misconfigured => LinkState::Misconfigured,
            Self::Offline => LinkState::Offline,
        }
    }
}

const RETRY: Verdict = Verdict::Retry { after: None };

impl Failure {
    /// What the failure means for the next attempt (defaults of interface and semantics; a
    /// dialect's own rule stands over them).
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::NoCredential(_) | Self::CredentialExpired { .. } => Verdict::Unauthorized,
            Self::NameNotFound { .. } => Verdict::Unavailable { after: None },
            Self::Connect { fault: ConnectFault::NoNetwork, .. } => Verdict::Offline,
            Self::Connect { fault: ConnectFault::LeavesMachine, .. } => Verdict::Misconfigured,
            Self::Proxy { fault, .. } => fault.verdict(),
            Self::Tls { fault, .. } => match fault {
                TlsFault::WrongName(_)
                | TlsFault::UnknownIssuer
                | TlsFault::Expired(_)
                | TlsFault::NotYetValid(_)
                | TlsFault::SelfSigned
                | TlsFault::Version
                | TlsFault::ClientCertificate(_) => Verdict::Misconfigured,
                TlsFault::Timeout { .. } | TlsFault::Other(_) => RETRY,
            },
            Self::Refused { ruled: Some(verdict), retry_after, .. } => match *verdict {
                Verdict::Retry { after } => Verdict::Retry { after: after.or(*retry_after) },
                Verdict::Unavailable { after } => Verdict::Unavailable { after: after.or(*retry_after) },
                Verdict::Reconnect | Verdict::Unauthorized | Verdict::Misconfigured | Verdict::Offline => {
                    *verdict
                }
            },
            Self::Refused { status, retry_after, ruled: None, .. } => match status {
                401 | 403 => Verdict::Unauthorized,
                400 | 404 | 426 | 300..=399 => Verdict::Misconfigured,
                429 | 503 => Verdict::Unavailable { after: *retry_after },
                _ => Verdict::Retry { after: *retry_after },
            },
            Self::Closed { ruled: Some(verdict), .. } => *verdict,
            Self::Closed { code: 1008, repeated_policy: true, .. } => Verdict::Unauthorized,
            // A server that says "try again later" means more than the first delay (RFC 6455
            // registry, 1013).
            Self::Closed { code: 1013, .. } => Verdict::Unavailable { after: Some(Duration::from_secs(10)) },
            Self::Ruled { verdict, .. } => *verdict,
            Self::Redial(_) => Verdict::Reconnect,
            Self::NameLookup { .. }
            | Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::Unanswered { .. }
            | Self::HandshakeTimeout { .. }
            | Self::Closed { .. }
            | Self::Lost { .. }
            | Self::HeartbeatTimeout { .. }
            | Self::Protocol { .. }
            | Self::InvalidUtf8
            | Self::TooLarge { .. }
            | Self::WriteStalled { .. }
            | Self::StoreStalled { .. }
            | Self::StartTimeout { .. } => RETRY,
        }
    }

    /// The word for the failure.
    #[must_use]
    pub fn reason_kind(&self) -> ReasonKind {
        match self {
            Self::NoCredential(_) => ReasonKind::NoCredential,
            Self::CredentialExpired { .. } => ReasonKind::CredentialExpired,
            Self::NameNotFound { .. } => ReasonKind::NameNotFound,
            Self::NameLookup { .. } => ReasonKind::NameLookupFailed,
            Self::Connect { fault, .. } => match fault {
                ConnectFault::Refused => ReasonKind::ConnectionRefused,
                ConnectFault::Unreachable => ReasonKind::NetworkUnreachable,
                ConnectFault::NoNetwork => ReasonKind::NoNetwork,
                ConnectFault::Timeout => ReasonKind::ConnectTimeout,
                ConnectFault::LeavesMachine => ReasonKind::PlaintextRefused,
                ConnectFault::Other(_) => ReasonKind::ConnectFailed,
            },
            Self::Proxy { fault, .. } => fault.reason_kind(),
            Self::Tls { fault, .. } => match fault {
                TlsFault::WrongName(_) => ReasonKind::TlsWrongName,
                TlsFault::UnknownIssuer => ReasonKind::TlsUnknownIssuer,
                TlsFault::Expired(_) => ReasonKind::TlsExpired,
                TlsFault::NotYetValid(_) => ReasonKind::TlsNotYetValid,
                TlsFault::SelfSigned => ReasonKind::TlsSelfSigned,
                TlsFault::Version => ReasonKind::TlsVersion,
                TlsFault::ClientCertificate(_) => ReasonKind::TlsClientCertificate,
                TlsFault::Timeout { .. } => ReasonKind::TlsTimeout,
                TlsFault::Other(_) => ReasonKind::TlsFailed,
            },
            Self::Refused { status, .. } => match status {
                300..=399 => ReasonKind::RedirectRefused,
                401 | 403 => ReasonKind::AuthRefused,
                429 | 503 => ReasonKind::ServerBusy,
                _ => ReasonKind::HandshakeRejected,
            },
            Self::Handshake { .. } | Self::Unanswered { .. } => ReasonKind::HandshakeInvalid,
            Self::HandshakeTimeout { .. } => ReasonKind::HandshakeTimeout,
            Self::Closed { .. } => match (self.verdict(), self) {
                (Verdict::Unauthorized, _) => ReasonKind::AuthRefused,
                (_, Self::Closed { code: 1013, .. }) => ReasonKind::ServerBusy,
                (_, Self::Closed { code: 1012, .. }) => ReasonKind::ServerRestart,
                _ => ReasonKind::ClosedByServer,
            },
            Self::Lost { .. } => ReasonKind::ConnectionLost,
            Self::HeartbeatTimeout { .. } => ReasonKind::HeartbeatTimeout,
            Self::Protocol { .. } => ReasonKind::ProtocolError,
            Self::InvalidUtf8 => ReasonKind::InvalidUtf8,
            Self::TooLarge { .. } => ReasonKind::MessageTooLarge,
            Self::WriteStalled { .. } => ReasonKind::WriteStalled,
            Self::StoreStalled { .. } => ReasonKind::StoreStalled,
            Self::StartTimeout { .. } => ReasonKind::StartTimeout,
            Self::Ruled { verdict, .. } => match verdict {
                Verdict::Unauthorized => ReasonKind::AuthRefused,
                Verdict::Misconfigured => ReasonKind::StartRefused,
                Verdict::Reconnect => ReasonKind::ServerRestart,
                Verdict::Unavailable { .. } => ReasonKind::ServerBusy,
                Verdict::Retry { .. } | Verdict::Offline => ReasonKind::ServerError,
            },
            Self::Redial(kind) => *kind,
        }
    }

    /// Whether another credential is all it takes: then a changed one is worth a try at once.
    #[must_use]
    pub fn is_about_the_credential(&self) -> bool {
        self.verdict() == Verdict::Unauthorized && !matches!(self, Self::Proxy { .. })
    }

    /// Whether the failure ended a connection that had been up (rather than a try to make one).
    #[must_use]
    pub const fn ended_a_link(&self) -> bool {
        matches!(
            self,
            Self::Closed { .. }
                | Self::Lost { .. }
                | Self::HeartbeatTimeout { .. }
                | Self::Protocol { .. }
                | Self::InvalidUtf8
                | Self::TooLarge { .. }
                | Self::WriteStalled { .. }
                | Self::StoreStalled { .. }
                | Self::StartTimeout { .. }
                | Self::Ruled { .. }
                | Self::Redial(_)
        )
    }

    /// As [`Failure::hint`], where the session had not begun: a server that does not let somebody
    /// in may just hang up.
    #[must_use]
    pub fn hint_at_the_start(&self) -> String {
        let hung_up = matches!(
            self,
            Self::Lost { .. } | Self::Closed { code: 1000 | 1001 | 1005 | 1011, ruled: None, .. }
        );
        if hung_up {
            return "the server hung up before the session had begun: check the credential and server.dialect"
                .into();
        }
        self.hint()
    }

    /// What a person can do; empty where waiting is all there is.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoCredential(fault) => fault.hint.clone(),
            Self::CredentialExpired { .. } => {
                "renew it: a changed file is picked up at once, `holdline ctl link reconnect` asks the source again. If it should still be good, check this machine's clock".into()
            }
            Self::NameNotFound { host } => {
                format!("check server.url: no such host as {host}")
            }
            Self::NameLookup { .. } => {
                "check the machine's DNS settings; the lookup is repeated at each attempt".into()
            }
            Self::Connect { fault, .. } => match fault {
                ConnectFault::Refused => {
                    "check that the server runs and that the port in server.url is right".into()
                }
                ConnectFault::Unreachable | ConnectFault::Timeout => {
                    "check the network, the firewall and the address in server.url".into()
                }
                ConnectFault::NoNetwork => "connect this machine to a network; it dials at once then".into(),
                ConnectFault::LeavesMachine => {
                    "use wss://, or set server.allow_plaintext = true; check where the name leads (hosts file)".into()
                }
                ConnectFault::Other(_) => {
                    "this machine refused it by itself: look at its firewall and its security rules".into()
                }
            },
            Self::Proxy { fault, .. } => fault.hint().into(),
            Self::Tls { fault, .. } => match fault {
                TlsFault::WrongName(_) => {
                    "check server.url, or set tls.ca_file if a company proxy re-signs traffic".into()
                }
                TlsFault::UnknownIssuer => {
                    "set server.tls.ca_file to the CA that signed the server's certificate".into()
                }
                TlsFault::Expired(Validity { bound, clock }) => format!(
                    "this machine's clock says {}: set it if it is ahead; else the server's certificate must \
                     be renewed{}",
                    second(*clock),
                    bound.map_or(String::new(), |bound| format!(", its time ended {}", second(bound)))
                ),
                TlsFault::NotYetValid(Validity { bound, clock }) => format!(
                    "this machine's clock says {}: set it if it is behind; else the server's certificate \
                     holds only later{}",
                    second(*clock),
                    bound.map_or(String::new(), |bound| format!(", from {}", second(bound)))
                ),
                TlsFault::SelfSigned => {
                    "set server.tls.ca_file to that very certificate, if it is the server's own".into()
                }
                TlsFault::Version => {
                    "the server must offer TLS 1.2 or 1.3; older versions are not safe and not spoken".into()
                }
                TlsFault::ClientCertificate(_) => {
                    "set server.tls.client_cert and client_key to a certificate this server takes, and see that it has not expired".into()
                }
                TlsFault::Timeout { .. } | TlsFault::Other(_) => {
                    "check that the port in server.url speaks TLS".into()
                }
            },
            Self::Refused { status, detail, .. } => match status {
                401 | 403 => {
                    "put a valid credential into the source named in [auth]; it is picked up at once".into()
                }
                300..=399 => "redirects are never followed: put the final address into server.url".into(),
                // So say nginx and its kin, behind a handshake that went well.
                400 if detail.contains("certificate") => {
                    "set server.tls.client_cert and client_key to a certificate this server takes, and see that it has not expired".into()
                }
                400 => "check server.url, server.headers, server.subprotocols and the dialect".into(),
                404 => "check the path in server.url".into(),
                426 => "the server wants another protocol version or sub-protocol: check server.subprotocols"
                    .into(),
                429 | 503 => PATIENCE.into(),
                200..=299 => "a page came in place of a WebSocket: check the path in server.url, and whether this network wants a sign-in of its own first".into(),
                501 => "check that server.url leads to a WebSocket endpoint".into(),
                500..=599 => "the server, or a proxy before it, has a problem of its own: who runs it can tell more".into(),
                _ => "check server.url; who runs the server can tell what the answer means".into(),
            },
            Self::Handshake { .. } => "check that server.url leads to a WebSocket endpoint".into(),
            Self::Unanswered { .. } => {
                "the server, or a proxy before it, hangs up: most likely it restarts, or lets no WebSocket through; check that server.url leads to a WebSocket endpoint".into()
            }
            Self::HandshakeTimeout { .. } => {
                "check that server.url leads to a WebSocket endpoint; see server.connect_timeout".into()
            }
            Self::Closed { .. } | Self::Ruled { .. } => match self.verdict() {
                Verdict::Unauthorized => {
                    "put a valid credential into the source named in [auth]; it is picked up at once".into()
                }
                Verdict::Misconfigured => {
                    "check server.vars and the dialect against what the server wants".into()
                }
                Verdict::Unavailable { .. } => PATIENCE.into(),
                Verdict::Retry { .. } | Verdict::Reconnect | Verdict::Offline => {
                    if let Self::Closed { code, .. } = self { close_hint(*code).into() } else { String::new() }
                }
            },
            Self::TooLarge { .. } => "raise server.max_message if such messages are meant to come".into(),
            Self::StoreStalled { .. } => "check the disk that holds the database".into(),
            Self::StartTimeout { sign_in: true, .. } => {
                "if this server never answers a sign-in, set auth.reply = \"optional\"".into()
            }
            Self::StartTimeout { .. } => "check that the dialect fits the server".into(),
            Self::Protocol { .. } | Self::InvalidUtf8 => {
                "a fault of the server, or of something on the way to it: show this to who runs it".into()
            }
            Self::Redial(ReasonKind::Sleeping) => "it dials at once when the machine wakes".into(),
            Self::Lost { .. }
            | Self::HeartbeatTimeout { .. }
            | Self::WriteStalled { .. }
            | Self::Redial(_) => String::new(),
        }
    }
}

/// A time as people write it in a sentence.
fn second(at: Timestamp) -> String {
    format!("{:.0}", at.to_jiff())
}

/// What to do about a server that is busy.
const PATIENCE: &str = "the server asks for patience; the next attempt waits as long as it said";

/// What a person can do about a close that stands for itself.
const fn close_hint(code: u16) -> &'static str {
    match code {
        1002 | 1003 | 1007 | 1010 => {
            "the server does not take what it was sent: check that server.dialect fits it"
        }
        1008 => "the server's rules forbid something; twice in a row counts as a refused sign-in",
        1009 => "a message was too large for the server: `holdline ctl messages` shows what waits",
        _ => "",
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { write!(f, " \"{text}\"") }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredential(fault) => f.write_str(&fault.text),
            Self::CredentialExpired { source, at } => {
                write!(f, "the credential of {source} expired at {} by this machine's clock", at.brief())
            }
            Self::NameNotFound { host } => write!(f, "the name {host} does not exist"),
            Self::NameLookup { host, detail } => {
                write!(f, "the name {host} could not be looked up: {detail}")
            }
            Self::Connect { target, fault } => match fault {
                ConnectFault::Refused => write!(f, "the connection to {target} was refused"),
                ConnectFault::Unreachable => write!(f, "there is no route to {target}"),
                ConnectFault::NoNetwork => f.write_str("there is no usable network"),
                ConnectFault::Timeout => write!(f, "{target} did not answer in time"),
                ConnectFault::LeavesMachine => {
                    write!(f, "{target} is not on this machine, where ws:// has to stay")
                }
                ConnectFault::Other(detail) => write!(f, "the connection to {target} failed: {detail}"),
            },
            Self::Proxy { proxy, fault } => fault.tell(proxy, f),
            Self::Tls { host, fault } => match fault {
                TlsFault::WrongName(names) if names.is_empty() => {
                    write!(f, "the certificate is not for {host}")
                }
                TlsFault::WrongName(names) => write!(f, "the certificate is for {names}, not {host}"),
                TlsFault::UnknownIssuer => {
                    write!(f, "the certificate of {host} is signed by nobody this machine trusts")
                }
                TlsFault::Expired(_) => write!(f, "the certificate of {host} has expired"),
                TlsFault::NotYetValid(_) => {
                    write!(f, "the certificate of {host} is not valid yet by this machine's clock")
                }
                TlsFault::SelfSigned => {
                    write!(
                        f,
                        "the certificate of {host} is signed by itself, and this machine does not know it"
                    )
                }
                TlsFault::Version => write!(f, "{host} speaks no TLS 1.2 or newer"),
                TlsFault::ClientCertificate(words) if words.is_empty() => {
                    write!(f, "{host} wants to see a client certificate")
                }
                TlsFault::ClientCertificate(words) => {
                    write!(f, "{host} does not take our client certificate: {words}")
                }
                TlsFault::Timeout { after } => {
                    write!(
                        f,
                        "TLS with {host} failed: the handshake was not finished within {} s",
                        after.as_secs()
                    )
                }
                TlsFault::Other(detail) => write!(f, "TLS with {host} failed: {detail}"),
            },
            Self::Refused { status, detail, .. } => {
                write!(f, "HTTP {status}")?;
                quoted(f, detail)?;
                f.write_str(" at the upgrade")
            }
            Self::Handshake { detail } => {
                write!(f, "the answer to the upgrade is no WebSocket handshake: {detail}")
            }
            Self::Unanswered { detail } => {
                write!(f, "the upgrade was not answered: {detail}")
            }
            Self::HandshakeTimeout { after } => {
                write!(f, "the upgrade was not answered within {} s", after.as_secs())
            }
            Self::Closed { code, reason, .. } => {
                f.write_str("the server closed the connection")?;
                match code {
                    1005 => f.write_str(" without a code"),
                    _ if reason.is_empty() => write!(f, ": {code}"),
                    _ => write!(f, ": {code} \"{reason}\""),
                }
            }
            Self::Lost { detail } if detail.is_empty() => f.write_str("the connection ended without a close"),
            Self::Lost { detail } => write!(f, "the connection broke: {detail}"),
            Self::HeartbeatTimeout { silence } => write!(f, "nothing was heard for {} s", silence.as_secs()),
            Self::Protocol { detail } => write!(f, "the server broke the WebSocket protocol: {detail}"),
            Self::InvalidUtf8 => f.write_str("the server sent text that is not UTF-8"),
            Self::TooLarge { limit } => {
                write!(f, "the server sent a message over the limit of {}", words::size(*limit))
            }
            Self::WriteStalled { after } => write!(f, "the server read nothing for {} s", after.as_secs()),
            Self::StoreStalled { after } => write!(f, "the disk held reading for {} s", after.as_secs()),
            Self::StartTimeout { sign_in: true, after, .. } => {
                write!(f, "the server did not answer the sign-in within {} s", after.as_secs())
            }
            Self::StartTimeout { step, after, .. } => {
                write!(f, "the server did not answer the dialect's step {step} within {} s", after.as_secs())
            }
            Self::Ruled { code, message, verdict } => {
                f.write_str(match verdict {
                    Verdict::Unauthorized => "the server refused the sign-in",
                    Verdict::Reconnect => "the server asked for a new connection",
                    Verdict::Misconfigured => "the server refused the start of the session",
                    Verdict::Unavailable { .. } => "the server is not available",
                    Verdict::Retry { .. } | Verdict::Offline => "the server ended the session",
                })?;
                match (code, message) {
                    (Some(code), Some(message)) => write!(f, ": {code} \"{message}\""),
                    (Some(code), None) => write!(f, ": {code}"),
                    (None, Some(message)) => write!(f, ": \"{message}\""),
                    (None, None) => Ok(()),
                }
            }
            #[allow(
                clippy::wildcard_enum_match_arm,
                reason = "only a few kinds are causes for dialling anew"
            )]
            Self::Redial(kind) => f.write_str(match kind {
                ReasonKind::Sleeping => "the machine goes to sleep",
                ReasonKind::Woke => "the machine woke from sleep",
                ReasonKind::NetworkChanged => "the network changed",
                ReasonKind::Reloaded => "the configuration changed",
                ReasonKind::CredentialChanged => "the credential changed",
                _ => "a new connection was asked for",
            }),
        }
    }
}
