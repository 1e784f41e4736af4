//! A proxy on the way to the server, and the ways in which it can fail.

use std::fmt;
use std::time::Duration;

use super::{ConnectFault, ReasonKind, Secret, Verdict};

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP `CONNECT` (RFC 9110, section 9.3.6).
    Http,
    /// SOCKS 5 (RFC 1928).
    Socks5,
}

/// User name and password for a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySignIn {
    /// The user name. Hidden as well: it says who we are at somebody else's place.
    pub user: Secret,
    /// The password; may be empty.
    pub password: Secret,
}

/// A proxy. It looks the server's name up itself, so that nothing of the server is asked of our
/// own resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to.
    pub kind: ProxyKind,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it is shown.
    pub sign_in: Option<ProxySignIn>,
}

impl Proxy {
    /// `host:port`, for messages.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The proxy's URL, with `***` in place of user name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        let hidden = if self.sign_in.is_some() { "***@" } else { "" };
        write!(f, "{scheme}://{hidden}{}", self.host_and_port())
    }
}

/// What went wrong with a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyFault {
    /// Its name does not exist.
    NameNotFound,
    /// Its name could not be looked up just now; the system's words.
    NameLookup(String),
    /// It could not be reached.
    Connect(ConnectFault),
    /// It took the connection, and did not open the way to the server in time.
    Silent {
        /// After how long.
        after: Duration,
    },
    /// What it answered is nothing a proxy of this kind answers, or it hung up.
    Broken(String),
    /// It wants a user name and a password, and we have none for it.
    SignInWanted,
    /// It refused our user name and password.
    SignInRefused,
    /// It may not, or does not want to, let us through to this server; its words.
    Denied(String),
    /// It could not reach the server; its words.
    CannotReach {
        /// What it said.
        detail: String,
        /// `Retry-After`, clamped to 1 s … 1 h.
        retry_after: Option<Duration>,
    },
}

impl ProxyFault {
    /// What the fault means for the next attempt.
    ///
    /// A refused sign-in is not tried again soon: a directory behind the proxy may lock an account
    /// after a few wrong passwords.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::NameNotFound => Verdict::Unavailable { after: None },
            Self::Connect(ConnectFault::NoNetwork) => Verdict::Offline,
            Self::SignInWanted | Self::SignInRefused => Verdict::Unauthorized,
            Self::Denied(_) => Verdict::Misconfigured,
            Self::CannotReach { retry_after, .. } => Verdict::Retry { after: *retry_after },
            Self::NameLookup(_) | Self::Connect(_) | Self::Silent { .. } | Self::Broken(_) => {
                Verdict::Retry { after: None }
            }
        }
    }

    pub(super) const fn reason_kind(&self) -> ReasonKind {
        match self {
            Self::Connect(ConnectFault::NoNetwork) => ReasonKind::NoNetwork,
            Self::NameNotFound | Self::NameLookup(_) | Self::Connect(_) => ReasonKind::ProxyUnreachable,
            Self::Silent { .. } => ReasonKind::ProxyTimeout,
            Self::Broken(_) => ReasonKind::ProxyFailed,
            Self::SignInWanted | Self::SignInRefused => ReasonKind::ProxyAuthRefused,
            Self::Denied(_) => ReasonKind::ProxyDenied,
            Self::CannotReach { .. } => ReasonKind::ProxyTargetUnreachable,
        }
    }

    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::NameNotFound => "check the host in server.proxy (or in the variable that names the proxy)",
            Self::NameLookup(_) => {
                "check the machine's DNS settings and server.proxy; the lookup is repeated at each attempt"
            }
            Self::Connect(ConnectFault::NoNetwork) => "it dials at once when a network is there",
            Self::Connect(ConnectFault::Refused) => {
                "check that the proxy runs and that host and port in server.proxy are right"
            }
            Self::Connect(ConnectFault::LeavesMachine) => {
                "use wss://, a proxy of this machine, or set server.allow_plaintext = true"
            }
            Self::Connect(_) => "check the network, the firewall and the address in server.proxy",
            Self::Silent { .. } => {
                "the proxy hangs, or waits for a server that does not answer; server.connect_timeout says how long that may take"
            }
            Self::Broken(_) => {
                "check that server.proxy names the right port and kind of proxy (http:// or socks5://)"
            }
            Self::SignInWanted => {
                "write them into the proxy's URL: server.proxy = \"http://user:password@host:port\""
            }
            Self::SignInRefused => {
                "correct user name and password in server.proxy and reload; to spare the account the next try is a quarter of an hour away"
            }
            Self::Denied(_) => {
                "ask who runs the proxy to let this server through; server.proxy = \"direct\" goes without a proxy"
            }
            Self::CannotReach { .. } => {
                "check server.url; if it is right, look at the server from where the proxy is"
            }
        }
    }

    /// The sentence, about this `proxy`.
    pub(super) fn tell(&self, proxy: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameNotFound => write!(f, "the proxy {proxy} cannot be reached: its name does not exist"),
            Self::NameLookup(detail) => {
                write!(f, "the proxy {proxy} cannot be reached: its name could not be looked up: {detail}")
            }
            Self::Connect(fault) => match fault {
                ConnectFault::Refused => {
                    write!(f, "the proxy {proxy} cannot be reached: the connection was refused")
                }
                ConnectFault::Unreachable => {
                    write!(f, "the proxy {proxy} cannot be reached: there is no route to it")
                }
                ConnectFault::NoNetwork => f.write_str("there is no usable network"),
                ConnectFault::Timeout => {
                    write!(f, "the proxy {proxy} cannot be reached: it did not answer in time")
                }
                ConnectFault::LeavesMachine => {
                    write!(f, "the proxy {proxy} is not on this machine, where ws:// has to stay")
                }
                ConnectFault::Other(detail) => write!(f, "the proxy {proxy} cannot be reached: {detail}"),
            },
            Self::Silent { after } => {
                write!(f, "the proxy {proxy} did not open the way to the server within {} s", after.as_secs())
            }
            Self::Broken(detail) => write!(f, "the proxy {proxy} failed: {detail}"),
            Self::SignInWanted => write!(f, "the proxy {proxy} wants a user name and a password"),
            Self::SignInRefused => write!(f, "the proxy {proxy} refused our user name and password"),
            Self::Denied(detail) => write!(f, "the proxy {proxy} does not let us through: {detail}"),
            Self::CannotReach { detail, .. } => {
                write!(f, "the proxy {proxy} could not reach the server: {detail}")
            }
        }
    }
}
