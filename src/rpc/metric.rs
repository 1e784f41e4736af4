//! Names of what this room counts ([`Backend::count`](super::Backend::count)) and gauges
//! ([`Backend::gauge`](super::Backend::gauge)).

/// Gauge: apps connected now.
pub const CLIENTS: &str = "clients";
/// Gauge: subscriptions that run now.
pub const SUBSCRIPTIONS: &str = "subscriptions";
/// Connections refused because there were [`max_clients`](super::Limits::max_clients) already.
pub const CLIENTS_REFUSED: &str = "clients_refused";
/// Times the system had no file left for a connection, or could not hand one over.
pub const ACCEPTS_FAILED: &str = "client_accepts_failed";
/// Connections of other users, closed before a byte was read.
pub const FOREIGN_REFUSED: &str = "foreign_clients_refused";
/// Apps cut off because they read nothing for too long.
pub const SLOW_CLOSED: &str = "slow_clients_closed";
/// Ephemeral events that slow apps did not get.
pub const LAGGED: &str = "ephemeral_events_lagged";
