//! Where the proxy's listener comes from: systemd's socket unit, launchd's `Sockets`, or our own `bind`, in that order.
//!
//! Must never accept a socket that other machines could reach, whoever made it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use super::inherit;
use crate::startup::{self, StartError};

/// The proxy's listener, by name.
pub const PROXY: &str = "proxy";

/// Who holds a listener, and so keeps the port answered when we are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// systemd's socket unit.
    Systemd,
    /// launchd.
    Launchd,
    /// `ccd supervise`, by its own bind.
    Supervise,
    /// The daemon itself, which nobody supervises.
    Own,
}

impl Holder {
    /// As `status` tells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Holder::Systemd => "systemd",
            Holder::Launchd => "launchd",
            Holder::Supervise => "supervise",
            Holder::Own => "self",
        }
    }

    /// From [`Holder::name`]; a later version's is our own bind to us.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "systemd" => Holder::Systemd,
            "launchd" => Holder::Launchd,
            "self" => Holder::Own,
            _ => Holder::Supervise,
        }
    }

    /// Whether the port is still answered, later, when every process of ours is gone.
    #[must_use]
    pub fn outlives_us(self) -> bool {
        matches!(self, Holder::Systemd | Holder::Launchd)
    }
}

/// A listener, and who holds it.
#[derive(Debug)]
pub struct Listener {
    /// The socket. Never blocks.
    pub socket: TcpListener,
    /// Who holds it.
    pub holder: Holder,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The proxy's listener among those that a service manager has passed on, else a new one on `addr`.
pub fn obtain(passed: &[(RawFd, String)], addr: SocketAddr, binder: Holder) -> Result<Listener, StartError> {
    let given = match systemds(passed) {
        Some(fd) => Some((fd, Holder::Systemd)),
        None => launchds().map(|fd| (fd, Holder::Launchd)),
    };
    match given {
        Some((fd, holder)) => adopt(fd, holder),
        None => Ok(Listener { socket: startup::listen(addr)?, holder: binder }),
    }
}

/// systemd's: the one of our name, or the only one where nobody gave a name.
fn systemds(passed: &[(RawFd, String)]) -> Option<RawFd> {
    let named = passed.iter().find(|(_, name)| name == PROXY);
    let only = match passed {
        [only @ (_, name)] if matches!(name.as_str(), "" | "unknown" | "ccd.socket") => Some(only),
        _ => None,
    };
    named.or(only).map(|(fd, _)| *fd)
}

/// Takes over a socket that listens already.
pub fn adopt(fd: RawFd, holder: Holder) -> Result<Listener, StartError> {
    let taken = inherit::take(fd).and_then(checked);
    let wrong = |e: io::Error| {
        StartError::Process(format!("the socket that {} passed on cannot be used: {e}", holder.name()))
    };
    Ok(Listener { socket: taken.map_err(wrong)?, holder })
}

fn checked(fd: OwnedFd) -> io::Result<TcpListener> {
    if !rustix::net::sockopt::socket_acceptconn(&fd)? {
        return Err(io::Error::other("it does not listen"));
    }
    let socket = TcpListener::from(fd);
    if !socket.local_addr()?.ip().is_loopback() {
        return Err(io::Error::other("it listens on more than loopback"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(not(target_os = "macos"))]
fn launchds() -> Option<RawFd> {
    None
}

/// launchd's socket of our name; none where launchd did not start us, or the agent's file names no such socket.
#[cfg(target_os = "macos")]
#[allow(unsafe_code, reason = "launchd hands sockets over by a C function alone")]
fn launchds() -> Option<RawFd> {
    unsafe extern "C" {
        fn launch_activate_socket(
            name: *const libc::c_char,
            fds: *mut *mut libc::c_int,
            count: *mut libc::size_t,
        ) -> libc::c_int;
    }
    let mut fds: *mut libc::c_int = std::ptr::null_mut();
    let mut count: libc::size_t = 0;
    // SAFETY: the name ends in a NUL byte and lives throughout; both results are valid places to write to, and are
    // written before 0 is returned.
    let failed = unsafe { launch_activate_socket(c"proxy".as_ptr(), &raw mut fds, &raw mut count) };
    if failed != 0 || fds.is_null() {
        return None;
    }
    // SAFETY: on success `fds` is an array of `count` numbers, ours to read and to free, once.
    let (first, rest) = unsafe {
        let all = std::slice::from_raw_parts(fds, count).to_vec();
        libc::free(fds.cast());
        (all.first().copied(), all.get(1..).unwrap_or_default().to_vec())
    };
    for fd in rest {
        // A name that resolved to two addresses: one is enough.
        drop(inherit::take(fd));
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn the_socket_of_our_name_is_taken_or_the_only_nameless_one() {
        let fds = |names: &[&str]| -> Vec<_> { (3..).zip(names.iter().map(ToString::to_string)).collect() };
        assert_eq!(systemds(&fds(&["web", "proxy"])), Some(4));
        assert_eq!(systemds(&fds(&["unknown"])), Some(3));
        assert_eq!(systemds(&fds(&["web"])), None);
        assert_eq!(systemds(&fds(&["a", "b"])), None);
        assert_eq!(systemds(&[]), None);
    }

    #[test]
    fn what_does_not_listen_or_listens_to_all_the_world_is_refused() {
        let fd = |socket: TcpListener| OwnedFd::from(socket).into_raw_fd();
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = good.local_addr().unwrap();
        let adopted = adopt(fd(good), Holder::Systemd).unwrap();
        assert_eq!(adopted.socket.local_addr().unwrap(), addr);
        assert!(adopt(fd(TcpListener::bind("0.0.0.0:0").unwrap()), Holder::Systemd).is_err());
        let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(adopt(OwnedFd::from(one).into_raw_fd(), Holder::Systemd).is_err());
    }
}
