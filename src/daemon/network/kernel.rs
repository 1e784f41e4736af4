//! What the kernel tells of links, addresses and routes: rtnetlink(7).
//!
//! Only the heads of its messages are looked at: whether anything went away, or came up. What the
//! network then looks like is a question for [`Outlook`](crate::link::Outlook).

use std::collections::BTreeMap;
use std::io;
use std::ops::BitOrAssign;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Links, addresses, routes and rules of both families (`RTMGRP_*` in `linux/rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | RULES_6;
/// `RTNLGRP_IPV6_RULE`, as a bit.
const RULES_6: u32 = 1 << 18;
/// `RTM_*` of the same header.
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const DEL_ADDRESS: u16 = 21;
const DEL_ROUTE: u16 = 25;
const DEL_RULE: u16 = 33;
/// Of a link's flags, those that say whether it carries anything (`IFF_UP`, `IFF_RUNNING`,
/// `IFF_LOWER_UP`).
const CARRIES: u32 = 0x1 | 0x40 | 0x1_0000;
/// Room for one datagram. What is longer is cut; the heads come first.
const DATAGRAM: usize = 8 << 10;
/// Datagrams read in a row before somebody else has a turn.
const IN_A_ROW: usize = 256;
/// Links whose flags are remembered; a machine of many containers forgets them all at times.
const LINKS: usize = 1_024;

/// What the kernel told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// Something came, or was said once more.
    Told,
    /// Something went, or a link changed whether it carries.
    Stirred,
}

impl BitOrAssign for News {
    fn bitor_assign(&mut self, rhs: Self) {
        *self = (*self).max(rhs);
    }
}

/// The kernel's word on the network.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: AsyncFd<OwnedFd>,
    links: Links,
}

/// Whether links carried anything when they were last told of.
#[derive(Debug, Default)]
struct Links(BTreeMap<i32, u32>);

impl Kernel {
    /// Begins to listen. To be called within the runtime.
    #[allow(
        deprecated,
        reason = "its successor is unsafe for the sake of types that lend a descriptor; this one owns it"
    )]
    pub(super) fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self { socket, links: Links::default() })
    }

    /// Waits until there is something to tell. Safe to drop and call again.
    pub(super) async fn news(&mut self) -> io::Result<News> {
        let Self { socket, links } = self;
        socket.async_io(Interest::READABLE, |socket| read(socket, links).map_err(io::Error::from)).await
    }

    /// What else there is by now.
    pub(super) fn rest_of_the_news(&mut self) -> News {
        let mut news = News::Told;
        for _ in 0..IN_A_ROW {
            match read(self.socket.get_ref(), &mut self.links) {
                Ok(more) => news |= more,
                // What is wrong with it is met again by whoever waits for more.
                Err(_) => break,
            }
        }
        news
    }
}

fn read(socket: &OwnedFd, links: &mut Links) -> Result<News, Errno> {
    let mut buffer = [0_u8; DATAGRAM];
    match recvfrom(socket, &mut buffer, RecvFlags::empty()) {
        Ok((read, _, sender)) => {
            // Port 0 is the kernel; anybody else has nothing to say here.
            let from_kernel = sender
                .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
                .is_some_and(|sender| sender.pid() == 0);
            Ok(if from_kernel { links.judge(buffer.get(..read).unwrap_or_default()) } else { News::Told })
        }
        // More was told than there was room for: nobody knows what.
        Err(Errno::NOBUFS) => Ok(News::Stirred),
        Err(error) => Err(error),
    }
}

impl Links {
    /// The messages of a datagram (`struct nlmsghdr`: length, type; `struct ifinfomsg`: index, flags).
    fn judge(&mut self, mut datagram: &[u8]) -> News {
        let mut news = News::Told;
        while let Some(length) = number::<4>(datagram, 0).map(u32::from_ne_bytes) {
            let Some(kind) = number::<2>(datagram, 4).map(u16::from_ne_bytes) else { break };
            let index = number::<4>(datagram, 20).map(i32::from_ne_bytes);
            let flags = number::<4>(datagram, 24).map(u32::from_ne_bytes);
            news |= match (kind, index, flags) {
                (NEW_LINK, Some(index), Some(flags)) => self.told(index, flags & CARRIES),
                (DEL_LINK, Some(index), _) => {
                    self.0.remove(&index);
                    News::Stirred
                }
                (DEL_ADDRESS | DEL_ROUTE | DEL_RULE, ..) => News::Stirred,
                _ => News::Told,
            };
            // Each begins at a multiple of four. A length of nothing would never end.
            let next = (length.max(16) as usize).next_multiple_of(4);
            datagram = datagram.get(next..).unwrap_or_default();
        }
        news
    }

    /// A link is told of again for each scan of a radio: only what changed counts.
    fn told(&mut self, index: i32, carries: u32) -> News {
        if self.0.len() >= LINKS {
            self.0.clear();
        }
        if self.0.insert(index, carries) == Some(carries) { News::Told } else { News::Stirred }
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend((16 + body.len() as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn link(index: i32, flags: u32) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 5]);
        message(NEW_LINK, &body)
    }

    #[test]
    fn what_goes_stirs_and_what_is_said_again_does_not() {
        let mut links = Links::default();
        assert_eq!(links.judge(&link(3, CARRIES)), News::Stirred, "never heard of");
        assert_eq!(links.judge(&link(3, CARRIES)), News::Told, "a radio's scan");
        assert_eq!(links.judge(&link(3, CARRIES | 0x100)), News::Told, "another flag");
        assert_eq!(links.judge(&link(3, 0x1)), News::Stirred, "the cable was pulled");
        for (kind, news) in [
            (20, News::Told),
            (DEL_ADDRESS, News::Stirred),
            (24, News::Told),
            (DEL_ROUTE, News::Stirred),
            (32, News::Told),
            (DEL_RULE, News::Stirred),
            (DEL_LINK, News::Stirred),
        ] {
            assert_eq!(links.judge(&message(kind, &[0; 24])), news, "{kind}");
        }
        let several = [link(3, 0x1), link(4, 0), message(DEL_ADDRESS, &[0; 8])].concat();
        links.judge(&several);
        assert_eq!(links.judge(&several), News::Stirred, "the last of several");
    }

    #[test]
    fn bytes_that_are_no_message_do_no_harm() {
        let mut links = Links::default();
        let whole = [link(1, 1), message(DEL_ROUTE, &[0; 3])].concat();
        for cut in 0..whole.len() {
            links.judge(&whole[..cut]);
        }
        for byte in [0, 0xff] {
            links.judge(&[byte; 64]);
        }
        for index in 0..5_000 {
            links.told(index, 0);
        }
        assert!(links.0.len() <= LINKS);
    }

    #[tokio::test]
    async fn the_kernel_can_be_listened_to_without_privileges() {
        let mut kernel = Kernel::listen().unwrap();
        // Whatever else happens on this machine meanwhile.
        assert!(kernel.rest_of_the_news() <= News::Stirred);
    }
}
