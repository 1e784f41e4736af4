//! The state of the link, and why it is what it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What the link is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// First dial.
    Connecting,
    /// The link is up; sign-in or hello is outstanding.
    Authenticating,
    /// Messages flow.
    Connected,
    /// Lost; waiting or dialling.
    Reconnecting,
    /// No usable network; dials at once when it is back.
    Offline,
    /// Many failures in a row, or the server said so; keeps trying.
    Unavailable,
    /// The server refused the credential; waits for another one (and probes slowly).
    Unauthorized,
    /// The configuration does not fit the server; tries seldom.
    Misconfigured,
    /// A person paused it.
    Paused,
    /// The daemon stops.
    Stopping,
}

impl LinkState {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Connecting,
        Self::Authenticating,
        Self::Connected,
        Self::Reconnecting,
        Self::Offline,
        Self::Unavailable,
        Self::Unauthorized,
        Self::Misconfigured,
        Self::Paused,
        Self::Stopping,
    ];

    /// The state as it is written in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Authenticating => "authenticating",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Offline => "offline",
            Self::Unavailable => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::Misconfigured => "misconfigured",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
        }
    }

    /// What a person reads.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting…",
            Self::Authenticating => "Signing in…",
            Self::Connected => "Connected",
            Self::Reconnecting => "Reconnecting…",
            Self::Offline => "No network",
            Self::Unavailable => "Server unavailable",
            Self::Unauthorized => "Sign-in refused",
            Self::Misconfigured => "Configuration problem",
            Self::Paused => "Paused",
            Self::Stopping => "Stopping…",
        }
    }
}

/// The word for a reason: the same in status, replies, logs, metrics and docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// The daemon has just started.
    Starting,
    /// The link is up and signs in.
    SigningIn,
    /// There is no credential, or it cannot be read.
    NoCredential,
    /// The credential has expired by its own word, and was not shown to the server.
    CredentialExpired,
    /// The host name does not exist.
    NameNotFound,
    /// The name could not be looked up just now.
    NameLookupFailed,
    /// Nobody listens there.
    ConnectionRefused,
    /// There is no way to that address.
    NetworkUnreachable,
    /// No answer in time while connecting.
    ConnectTimeout,
    /// Connecting failed otherwise.
    ConnectFailed,
    /// The name leads to another machine, and `ws://` would send everything in the clear.
    PlaintextRefused,
    /// The proxy's answer made no sense, or it hung up.
    ProxyFailed,
    /// The proxy itself cannot be reached.
    ProxyUnreachable,
    /// The proxy did not open the way to the server in time.
    ProxyTimeout,
    /// The proxy wants a user name and password, or refused ours.
    ProxyAuthRefused,
    /// The proxy does not let us through to this server.
    ProxyDenied,
    /// The proxy could not reach the server.
    ProxyTargetUnreachable,
    /// The certificate is for another name.
    TlsWrongName,
    /// The certificate's issuer is not trusted.
    TlsUnknownIssuer,
    /// The certificate has expired.
    TlsExpired,
    /// The certificate is not valid yet.
    TlsNotYetValid,
    /// The certificate vouches for itself and is not known here.
    TlsSelfSigned,
    /// The server speaks no TLS that is safe.
    TlsVersion,
    /// The server wants a client certificate, or another one.
    TlsClientCertificate,
    /// The TLS handshake was not finished in time.
    TlsTimeout,
    /// TLS failed otherwise.
    TlsFailed,
    /// The server answered the upgrade with a redirect, which is never followed.
    RedirectRefused,
    /// The server answered the upgrade with another HTTP status.
    HandshakeRejected,
    /// The server's answer to the upgrade broke the protocol.
    HandshakeInvalid,
    /// The server did not finish the upgrade in time.
    HandshakeTimeout,
    /// The server refused the credential.
    AuthRefused,
    /// The server refused a start-up step for another reason.
    StartRefused,
    /// The server did not answer a start-up step in time.
    StartTimeout,
    /// The server closed the connection.
    ClosedByServer,
    /// The connection broke without a close.
    ConnectionLost,
    /// Nothing was heard in time.
    HeartbeatTimeout,
    /// The server broke the WebSocket protocol.
    ProtocolError,
    /// The server sent text that is no UTF-8.
    InvalidUtf8,
    /// The server sent more than `server.max_message`.
    MessageTooLarge,
    /// The server read nothing for too long.
    WriteStalled,
    /// Our own disk held reading for too long.
    StoreStalled,
    /// The server asks for patience (429, 503, 1013).
    ServerBusy,
    /// The server said it will be back, or asked for a new connection.
    ServerRestart,
    /// The dialect's rule for this frame, close or refusal.
    ServerError,
    /// There is no usable network.
    NoNetwork,
    /// The machine goes to sleep, and the line was closed for it.
    Sleeping,
    /// The machine slept.
    Woke,
    /// The network changed.
    NetworkChanged,
    /// A person or an app asked for it.
    Requested,
    /// The configuration was reloaded.
    Reloaded,
    /// The credential changed.
    CredentialChanged,
    /// The daemon stops.
    ShuttingDown,
}

impl ReasonKind {
    /// The word as it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::SigningIn => "signing_in",
            Self::NoCredential => "no_credential",
            Self::CredentialExpired => "credential_expired",
            Self::NameNotFound => "name_not_found",
            Self::NameLookupFailed => "name_lookup_failed",
            Self::ConnectionRefused => "connection_refused",
            Self::NetworkUnreachable => "network_unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::PlaintextRefused => "plaintext_refused",
            Self::ProxyFailed => "proxy_failed",
            Self::ProxyUnreachable => "proxy_unreachable",
            Self::ProxyTimeout => "proxy_timeout",
            Self::ProxyAuthRefused => "proxy_auth_refused",
            Self::ProxyDenied => "proxy_denied",
            Self::ProxyTargetUnreachable => "proxy_target_unreachable",
            Self::TlsWrongName => "tls_wrong_name",
            Self::TlsUnknownIssuer => "tls_unknown_issuer",
            Self::TlsExpired => "tls_expired",
            Self::TlsNotYetValid => "tls_not_yet_valid",
            Self::TlsSelfSigned => "tls_self_signed",
            Self::TlsVersion => "tls_version",
            Self::TlsClientCertificate => "tls_client_certificate",
            Self::TlsTimeout => "tls_timeout",
            Self::TlsFailed => "tls_failed",
            Self::RedirectRefused => "redirect_refused",
            Self::HandshakeRejected => "handshake_rejected",
            Self::HandshakeInvalid => "handshake_invalid",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::AuthRefused => "auth_refused",
            Self::StartRefused => "start_refused",
            Self::StartTimeout => "start_timeout",
            Self::ClosedByServer => "closed_by_server",
            Self::ConnectionLost => "connection_lost",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::ProtocolError => "protocol_error",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::MessageTooLarge => "message_too_large",
            Self::WriteStalled => "write_stalled",
            Self::StoreStalled => "store_stalled",
            Self::ServerBusy => "server_busy",
            Self::ServerRestart => "server_restart",
            Self::ServerError => "server_error",
            Self::NoNetwork => "no_network",
            Self::Sleeping => "sleeping",
            Self::Woke => "woke",
            Self::NetworkChanged => "network_changed",
            Self::Requested => "requested",
            Self::Reloaded => "reloaded",
            Self::CredentialChanged => "credential_changed",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

/// Why the link is in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The word for programs.
    pub kind: ReasonKind,
    /// The sentence for people. After a loss it begins "Connection lost: ".
    pub text: String,
    /// What to do; empty where there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub hint: String,
    /// Since when.
    pub at: Timestamp,
}

/// One change of the link's state, kept over restarts in a ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// From which state; none at the start of the daemon.
    pub from: Option<LinkState>,
    /// To which state. The same as `from` where only the reason or the next attempt changed.
    pub to: LinkState,
    /// Why; none for `connected`.
    pub reason: Option<Reason>,
    /// Which attempt since the last connection; 0 while connected.
    #[serde(default)]
    pub attempt: u32,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_retry_at: Option<Timestamp>,
}
