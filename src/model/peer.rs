//! Who is at the other end of a local connection.

/// What the operating system says of the process at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id; none where the system has no such thing.
    pub uid: Option<u32>,
    /// Process id: for showing, never for deciding (it can be inherited and reused).
    pub pid: Option<u32>,
}
