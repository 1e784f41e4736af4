//! Names of what this room counts ([`Backend::count`](super::Backend::count)) and gauges
//! ([`Backend::gauge`](super::Backend::gauge)).

/// Gauge: apps connected now.
pub const CLIENTS: &str = "ipc_clients";
/// Gauge: subscriptions that run now.
pub const SUBSCRIPTIONS: &str = "ipc_subscriptions";
/// Requests and notifications that named a method there is.
pub const REQUESTS: &str = "ipc_requests_total";
/// Times the system had no file left for a connection, or could not hand one over.
pub const ACCEPTS_FAILED: &str = "ipc_accepts_failed_total";
/// Connections of other users, closed before a byte was read.
pub const FOREIGN_REFUSED: &str = "ipc_foreign_refused_total";
/// Apps cut off because they read nothing for too long.
pub const SLOW_CLOSED: &str = "ipc_slow_closed_total";
/// Ephemeral events that slow apps did not get.
pub const LAGGED: &str = "ipc_ephemeral_lagged_total";
/// Connections refused because there were [`max_clients`](super::Limits::max_clients) already.
pub const CLIENTS_REFUSED: &str = "ipc.max_clients";
/// Requests longer than [`max_line`](super::Limits::max_line).
pub const LINES_REFUSED: &str = "ipc.max_line";
