//! What the network of this machine looks like, as far as it can be seen without sending anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Which addresses this machine would send from. A change says that waiting for the next dial makes
/// no sense; it proves nothing about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    outside: [Option<IpAddr>; 2],
    server: Option<IpAddr>,
}

impl Outlook {
    /// Asks the routing table, which is all that connecting a UDP socket does. The addresses for
    /// "anywhere" are of the documentation ranges (RFC 5737, RFC 3849).
    #[must_use]
    pub fn towards(server: Option<IpAddr>) -> Self {
        let v4 = Ipv4Addr::new(192, 0, 2, 1);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        Self { outside: [source(v4.into()), source(v6.into())], server: server.and_then(source) }
    }

    /// Whether there is a way out of this machine, or at least to the server.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.server.is_some() || self.outside.iter().any(Option::is_some)
    }
}

/// Where a datagram to `there` would come from.
fn source(there: IpAddr) -> Option<IpAddr> {
    let here: IpAddr = match there {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((here, 0)).ok()?;
    // The discard port: nothing is sent to it either.
    socket.connect((there, 9)).ok()?;
    socket.local_addr().ok().as_ref().map(SocketAddr::ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_this_machine_leads_over_loopback_and_looks_the_same_twice() {
        let here: IpAddr = Ipv4Addr::LOCALHOST.into();
        let seen = Outlook::towards(Some(here));
        assert_eq!(seen.server, Some(here));
        assert!(seen.usable());
        assert_eq!(seen, Outlook::towards(Some(here)));
    }
}
