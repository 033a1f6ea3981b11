//! Who connected: the user that the other end of a loopback connection belongs to.
//!
//! The second lock behind the path token. On Linux the kernel is asked (`INET_DIAG` over netlink: exactly one socket is
//! looked up, in microseconds), and where it does not answer, `/proc/net/tcp` and `tcp6` are read. Other systems do not
//! tell the user of a TCP connection's other end to an ordinary process; there the token alone decides.
//!
//! Must never keep our own user out because the system cannot tell: what is unknown is let in, and logged once.

use std::net::SocketAddr;

use tokio::net::TcpStream;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Belongs to this user.
    User(u32),
    /// Is closed already: nobody is there to be answered.
    Gone,
    /// The system does not tell.
    Unknown,
}

impl Peer {
    /// Whether `us`, or root, may be there.
    #[must_use]
    pub fn is_welcome(self, us: u32) -> bool {
        match self {
            Peer::User(user) => user == us || user == 0,
            Peer::Gone => false,
            Peer::Unknown => true,
        }
    }
}

/// Asks the system.
#[derive(Debug, Default)]
pub struct Peers {
    #[cfg(target_os = "linux")]
    netlink: Option<linux::Netlink>,
    told: bool,
}

impl Peers {
    /// Whose the other end of an accepted connection is. Whoever is not on this machine is nobody's: an inherited
    /// listener may be anywhere.
    pub fn owner(&mut self, stream: &TcpStream, peer: SocketAddr) -> Peer {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        match stream.local_addr() {
            Ok(local) if canonical(peer).ip().is_loopback() => self.of(canonical(peer), canonical(local)),
            Ok(_) => Peer::User(u32::MAX),
            Err(_) => Peer::Gone,
        }
    }

    /// Whose the socket at `peer` is that is connected to ours at `local`.
    pub fn of(&mut self, peer: SocketAddr, local: SocketAddr) -> Peer {
        let found = self.ask(peer, local);
        if found == Peer::Unknown && !std::mem::replace(&mut self.told, true) {
            tracing::info!(
                "this system does not tell whose a TCP connection is: the path token, or the login, alone decides"
            );
        }
        found
    }

    #[cfg(target_os = "linux")]
    fn ask(&mut self, peer: SocketAddr, local: SocketAddr) -> Peer {
        if self.netlink.is_none() {
            self.netlink = linux::Netlink::new().ok();
        }
        match self.netlink.as_mut().map(|netlink| netlink.owner(peer, local)) {
            Some(Ok(found)) => found,
            // A new socket for the next one: this one may be out of step.
            failed => {
                if failed.is_some() {
                    self.netlink = None;
                }
                linux::from_proc(peer, local)
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self, reason = "there is nothing to ask")]
    fn ask(&mut self, _: SocketAddr, _: SocketAddr) -> Peer {
        Peer::Unknown
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Error, ErrorKind, Result};
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::OwnedFd;

    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    };

    use super::Peer;

    // linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h.
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLMSG_ERROR: u16 = 2;
    const NLM_F_REQUEST: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    const HEADER: usize = 16;
    const REQUEST: usize = HEADER + 56;
    /// `inet_diag_msg`: four bytes, the socket's id (48), three words, the user, the inode.
    const USER_AT: usize = HEADER + 64;
    const INODE_AT: usize = HEADER + 68;
    const ENOENT: i32 = -2;
    /// Answers to earlier questions that may come first.
    const STALE: usize = 8;

    /// A socket to ask the kernel by.
    #[derive(Debug)]
    pub(super) struct Netlink {
        fd: OwnedFd,
        number: u32,
    }

    impl Netlink {
        pub(super) fn new() -> Result<Self> {
            // Answers are there when the question was sent; nothing is ever waited for.
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let fd = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
            Ok(Netlink { fd, number: 0 })
        }

        /// The owner of the socket that is bound to `socket` and connected to `to`.
        pub(super) fn owner(&mut self, socket: SocketAddr, to: SocketAddr) -> Result<Peer> {
            self.number = self.number.wrapping_add(1);
            send(&self.fd, &request(self.number, socket, to), SendFlags::empty())?;
            let mut answer = [0; 512];
            for _ in 0..STALE {
                let (length, _) = recv(&self.fd, &mut answer[..], RecvFlags::empty())?;
                if let Some(found) = read(answer.get(..length).unwrap_or_default(), self.number)? {
                    return Ok(found);
                }
            }
            Err(Error::from(ErrorKind::InvalidData))
        }
    }

    fn request(number: u32, socket: SocketAddr, to: SocketAddr) -> [u8; REQUEST] {
        let family = if socket.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let mut out = [0; REQUEST];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &72_u32.to_ne_bytes());
        put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        put(6, &NLM_F_REQUEST.to_ne_bytes());
        put(8, &number.to_ne_bytes());
        put(HEADER, &[u8::try_from(family.as_raw()).unwrap_or_default(), IPPROTO_TCP]);
        // In every state.
        put(HEADER + 4, &[0xff; 4]);
        put(HEADER + 8, &socket.port().to_be_bytes());
        put(HEADER + 10, &to.port().to_be_bytes());
        for (at, ip) in [(HEADER + 12, socket.ip()), (HEADER + 28, to.ip())] {
            match ip {
                IpAddr::V4(ip) => put(at, &ip.octets()),
                IpAddr::V6(ip) => put(at, &ip.octets()),
            }
        }
        // No cookie: whichever socket it is.
        put(HEADER + 48, &[0xff; 8]);
        out
    }

    fn word(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    }

    /// Reads an answer; `None`: it is one to another question.
    fn read(answer: &[u8], number: u32) -> Result<Option<Peer>> {
        let cut = || Error::from(ErrorKind::UnexpectedEof);
        if word(answer, 8).ok_or_else(cut)? != number {
            return Ok(None);
        }
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        match kind {
            SOCK_DIAG_BY_FAMILY => {
                let user = word(answer, USER_AT).ok_or_else(cut)?;
                let inode = word(answer, INODE_AT).ok_or_else(cut)?;
                Ok(Some(whose(user, u64::from(inode))))
            }
            NLMSG_ERROR => match word(answer, HEADER).ok_or_else(cut)?.cast_signed() {
                ENOENT => Ok(Some(Peer::Gone)),
                error => Err(Error::from_raw_os_error(-error)),
            },
            _ => Err(Error::from(ErrorKind::InvalidData)),
        }
    }

    /// A socket that its program has closed is nobody's: the kernel then shows user 0, and no inode.
    fn whose(user: u32, inode: u64) -> Peer {
        if inode == 0 { Peer::Gone } else { Peer::User(user) }
    }

    /// The same by the kernel's tables as text.
    pub(super) fn from_proc(socket: SocketAddr, to: SocketAddr) -> Peer {
        let mut told = false;
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let Ok(text) = fs_err::read_to_string(table) else { continue };
            told = true;
            if let Some(found) = find(&text, socket, to) {
                return found;
            }
        }
        if told { Peer::Gone } else { Peer::Unknown }
    }

    fn find(table: &str, socket: SocketAddr, to: SocketAddr) -> Option<Peer> {
        table.lines().skip(1).find_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let at = |n: usize| columns.get(n).copied();
            if address(at(1)?)? != socket || address(at(2)?)? != to {
                return None;
            }
            Some(whose(at(7)?.parse().ok()?, at(9)?.parse().ok()?))
        })
    }

    /// An address as those tables write it: words in the machine's order, in hexadecimal.
    fn address(text: &str) -> Option<SocketAddr> {
        let (ip, port) = text.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let words: Option<Vec<[u8; 4]>> = (0..ip.len() / 8)
            .map(|n| Some(u32::from_str_radix(ip.get(n * 8..n * 8 + 8)?, 16).ok()?.to_ne_bytes()))
            .collect();
        let bytes = words?.concat();
        let ip = match bytes.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            // A socket of both families shows IPv4 addresses as mapped ones.
            16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    #[cfg(test)]
    mod tests {
        use std::net::{TcpListener, TcpStream};

        use super::*;

        fn us() -> u32 {
            rustix::process::geteuid().as_raw()
        }

        #[test]
        fn both_ways_name_the_owner_of_the_other_end_and_notice_that_it_is_gone() {
            for place in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(listener) = TcpListener::bind(place) else { continue };
                let local = listener.local_addr().unwrap();
                let client = TcpStream::connect(local).unwrap();
                let (ours, peer) = listener.accept().unwrap();
                let mut netlink = Netlink::new().unwrap();
                assert_eq!(netlink.owner(peer, local).unwrap(), Peer::User(us()), "{place}");
                assert_eq!(from_proc(peer, local), Peer::User(us()), "{place}");
                drop(client);
                // Its end is still known to the kernel, and nobody's: not root's.
                assert_eq!(netlink.owner(peer, local).unwrap(), Peer::Gone, "{place}");
                assert_eq!(from_proc(peer, local), Peer::Gone, "{place}");
                drop(ours);
                let nobody: SocketAddr = SocketAddr::new(local.ip(), 1);
                assert_eq!(netlink.owner(nobody, local).unwrap(), Peer::Gone, "{place}");
                assert_eq!(from_proc(nobody, local), Peer::Gone, "{place}");
            }
        }

        #[test]
        fn an_ipv4_client_of_an_ipv6_socket_is_found() {
            let line = "  0: 0000000000000000FFFF00000100007F:9C40 0000000000000000FFFF00000100007F:1E6C 01 \
                        00000000:00000000 00:00000000 00000000 65534 0 4242 1";
            let (client, server) = ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:7788".parse().unwrap());
            if cfg!(target_endian = "little") {
                assert_eq!(find(&format!("head\n{line}"), client, server), Some(Peer::User(65534)));
                assert_eq!(find(&format!("head\n{line}"), server, client), None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_user_and_root_are_welcome() {
        for (peer, welcome) in [
            (Peer::User(1000), true),
            (Peer::User(0), true),
            (Peer::User(1001), false),
            (Peer::User(65534), false),
            (Peer::Gone, false),
            (Peer::Unknown, true),
        ] {
            assert_eq!(peer.is_welcome(1000), welcome, "{peer:?}");
        }
    }
}
