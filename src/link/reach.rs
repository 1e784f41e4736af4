//! From a host name to a TCP connection: the lookup, and the race over its addresses.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::network::Outlook;
use super::target::Place;
use crate::model::{ConnectFault, Failure};

/// How long an address may be silent before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses tried in one dial. More than a server has; fewer than a hostile name could list.
const ADDRESSES: usize = 16;

/// The addresses of a place, in the order in which they are to be tried.
pub(super) async fn look_up(place: &Place) -> Result<Vec<SocketAddr>, Failure> {
    if let Some(address) = place.address() {
        return Ok(vec![SocketAddr::new(address, place.port)]);
    }
    let host = place.host.clone();
    match lookup_host((place.host.as_str(), place.port)).await {
        Ok(found) => {
            let addresses = interleaved(found);
            if addresses.is_empty() { Err(Failure::NameNotFound { host }) } else { Ok(addresses) }
        }
        Err(error) if names_nobody(&error) => Err(Failure::NameNotFound { host }),
        Err(_) if !network_is_usable() => Err(no_network(place)),
        Err(error) => Err(Failure::NameLookup { host, detail: resolver_words(&error) }),
    }
}

/// Both families in turn, beginning with the one the resolver put first (RFC 8305, section 4).
fn interleaved(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut first, mut other) = (VecDeque::new(), VecDeque::new());
    for address in found {
        let with_first = first.front().is_none_or(|head: &SocketAddr| head.is_ipv4() == address.is_ipv4());
        let family = if with_first { &mut first } else { &mut other };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut addresses = Vec::new();
    while addresses.len() < ADDRESSES {
        let before = addresses.len();
        addresses.extend(first.pop_front());
        addresses.extend(other.pop_front());
        if addresses.len() == before {
            break;
        }
    }
    addresses
}

/// Whether the resolver said that there is no such name, as against that it could not find out.
///
/// The standard library hands the resolver's answer on as text only (on Windows as a code).
fn names_nobody(error: &io::Error) -> bool {
    const WSAHOST_NOT_FOUND: i32 = 11001;
    const WSANO_DATA: i32 = 11004;
    if cfg!(windows) {
        return matches!(error.raw_os_error(), Some(WSAHOST_NOT_FOUND | WSANO_DATA));
    }
    let text = error.to_string();
    [
        "Name or service not known",      // glibc, EAI_NONAME
        "No address associated with",     // glibc, EAI_NODATA
        "Name does not resolve",          // musl
        "Name has no usable address",     // musl
        "nodename nor servname provided", // macOS
    ]
    .iter()
    .any(|words| text.contains(words))
}

fn resolver_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").map_or(text.clone(), str::to_owned)
}

/// The first connection any of the addresses grants. Dropped, it gives all attempts up.
pub(super) async fn connect(place: &Place, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut waiting = addresses.iter().copied();
    let mut racing = JoinSet::new();
    let mut worst: Option<(SocketAddr, io::Error)> = None;
    loop {
        if let Some(address) = waiting.next() {
            racing.spawn(async move { (address, TcpStream::connect(address).await) });
        } else if racing.is_empty() {
            break;
        }
        let ended = if waiting.len() > 0 {
            match timeout(HEAD_START, racing.join_next()).await {
                Ok(ended) => ended,
                Err(_elapsed) => continue,
            }
        } else {
            racing.join_next().await
        };
        match ended {
            Some(Ok((_, Ok(stream)))) => {
                // Small frames must not wait for each other; without it the link still works.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Some(Ok((address, Err(error)))) => {
                if worst.as_ref().is_none_or(|(_, other)| weight(&error) >= weight(other)) {
                    worst = Some((address, error));
                }
            }
            // An attempt is never aborted while the set lives, and does not panic.
            Some(Err(_)) | None => {}
        }
    }
    Err(match worst {
        Some((address, error)) => failed(place, address, &error),
        None => Failure::Connect { target: place.to_string(), fault: ConnectFault::Timeout },
    })
}

/// Which error tells most about the server: one that answered, then one that was on its way.
#[allow(clippy::wildcard_enum_match_arm, reason = "the system's list of kinds is open")]
fn weight(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 3,
        io::ErrorKind::TimedOut => 2,
        io::ErrorKind::HostUnreachable | io::ErrorKind::InvalidInput => 1,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => 0,
        _ => 2,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the system's list of kinds is open")]
fn failed(place: &Place, address: SocketAddr, error: &io::Error) -> Failure {
    let fault = match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectFault::Refused,
        io::ErrorKind::TimedOut => ConnectFault::Timeout,
        io::ErrorKind::HostUnreachable => ConnectFault::Unreachable,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown if !network_is_usable() => {
            return no_network(place);
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => ConnectFault::Unreachable,
        // What Linux says of a route that swallows (`blackhole`); nothing else here is wrong with it.
        io::ErrorKind::InvalidInput => ConnectFault::Unreachable,
        _ => ConnectFault::Other(error.to_string()),
    };
    Failure::Connect { target: address.to_string(), fault }
}

fn no_network(place: &Place) -> Failure {
    Failure::Connect { target: place.to_string(), fault: ConnectFault::NoNetwork }
}

/// Whether there is a way out of this machine at all.
fn network_is_usable() -> bool {
    Outlook::towards(None).usable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use tokio::net::TcpListener;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), 1)
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last).into(), 1)
    }

    #[test]
    fn the_families_take_turns_beginning_with_the_resolvers_first() {
        let found = [v6(1), v6(2), v6(3), v4(1), v4(2), v6(1)];
        assert_eq!(interleaved(found.into_iter()), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        let found = [v4(1), v6(1), v6(2)];
        assert_eq!(interleaved(found.into_iter()), [v4(1), v6(1), v6(2)]);
    }

    #[test]
    fn a_name_with_endless_addresses_is_cut() {
        assert_eq!(interleaved((0..=255).map(v4)).len(), ADDRESSES);
    }

    #[test]
    fn the_resolvers_two_answers_are_told_apart() {
        let said = |words: &str| {
            names_nobody(&io::Error::other(format!("failed to lookup address information: {words}")))
        };
        assert!(said("Name or service not known"));
        assert!(said("No address associated with hostname"));
        assert!(!said("Temporary failure in name resolution"));
    }

    #[tokio::test]
    async fn a_refusing_address_hands_over_to_the_next_one_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let place = Place { host: "localhost".into(), port: 80 };
        let stream = connect(&place, &[closed, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_refusal_tells_more_than_a_missing_route() {
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        // The multicast address cannot be connected to at all.
        let odd: SocketAddr = "[ff02::1]:1".parse().unwrap();
        let place = Place { host: "localhost".into(), port: 80 };
        let failure = connect(&place, &[closed, odd]).await.unwrap_err();
        let wanted = Failure::Connect { target: closed.to_string(), fault: ConnectFault::Refused };
        assert_eq!(failure, wanted);
    }
}
