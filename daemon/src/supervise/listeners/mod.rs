//! The sockets that are answered, and who holds them: systemd's socket units, launchd's `Sockets`, or our own `bind`,
//! in that order.
//!
//! Four of them: `proxy` and `web` on loopback, `hook` and `control` in our directory. Where a manager holds one, its
//! queue outlives every process of ours. The supervisor by itself holds the first two alone: that nobody listens on
//! the others must be noticed at once, and by nothing but a refused connection.
//!
//! Must never accept a socket that other machines could reach, or one whose file is not ours, whoever made it.

mod given;
mod launchd;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

use serde::{Deserialize, Serialize};

pub use given::{Given, Wanted};

use super::{Passed, inherit};
use crate::config::Config;
use crate::startup::{self, StartError};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The API proxy's.
    Proxy,
    /// The web door's.
    Web,
    /// The hook events'.
    Hook,
    /// The control API's.
    Control,
}

impl Name {
    /// All of them.
    pub const ALL: [Name; 4] = [Name::Proxy, Name::Web, Name::Hook, Name::Control];

    /// As managers and `status` name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Name::Proxy => "proxy",
            Name::Web => "web",
            Name::Hook => "hook",
            Name::Control => "control",
        }
    }

    /// From [`Name::as_str`]; none for one of a later version.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Name::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// Who holds a listener, and so keeps it answered when we are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// systemd's socket unit.
    Systemd,
    /// launchd.
    Launchd,
    /// `ccd supervise`, by its own bind.
    Supervise,
    /// The daemon itself.
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

    /// Whether connections still find somebody, later, when every process of ours is gone.
    #[must_use]
    pub fn outlives_us(self) -> bool {
        matches!(self, Holder::Systemd | Holder::Launchd)
    }
}

/// A listener, and who holds it.
#[derive(Debug)]
pub struct Listener<S = TcpListener> {
    /// The socket. Never blocks.
    pub socket: S,
    /// Who holds it.
    pub holder: Holder,
}

/// Where the configuration says that TCP listeners are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The proxy's.
    pub proxy: SocketAddr,
    /// The web door's; none where it is not known.
    pub web: Option<SocketAddr>,
}

impl Addresses {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Addresses { proxy: config.proxy_listen, web: Some(config.web_listen) }
    }

    /// For want of a configuration: any port.
    #[must_use]
    pub fn unknown() -> Self {
        Addresses { proxy: SocketAddr::from(([127, 0, 0, 1], 0)), web: None }
    }
}

/// The listeners of a process.
#[derive(Debug)]
pub struct Listeners {
    /// The proxy's.
    pub proxy: Listener,
    /// The web door's; none where its port is taken.
    pub web: Option<Listener>,
    /// The hook events'; none where no manager holds it.
    pub hook: Option<Listener<UnixListener>>,
    /// The control API's; none where no manager holds it.
    pub control: Option<Listener<UnixListener>>,
}

/// A listener that a child is to inherit.
pub(super) struct Handed<'a> {
    name: Name,
    socket: BorrowedFd<'a>,
    holder: Holder,
}

impl AsFd for Handed<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket
    }
}

impl Handed<'_> {
    /// What the child is told of it.
    pub(super) fn passed(&self) -> Passed {
        Passed {
            name: self.name.as_str().into(),
            fd: self.socket.as_raw_fd(),
            holder: self.holder.name().into(),
        }
    }
}

/// Listeners on other addresses, for the next worker.
#[derive(Debug)]
pub(super) struct Change {
    proxy: Option<Listener>,
    web: Option<Listener>,
    /// Where they are to be.
    configured: Addresses,
}

impl Change {
    /// Binds the addresses that have changed. The web door's may be taken: then it stays where it is.
    pub(super) fn between(from: Addresses, to: Addresses) -> Result<Option<Self>, StartError> {
        if from == to {
            return Ok(None);
        }
        let proxy = (from.proxy != to.proxy)
            .then(|| startup::listen(to.proxy).map(|socket| Listener { socket, holder: Holder::Supervise }))
            .transpose()?;
        let web = if from.web == to.web { None } else { bind_web(to) };
        Ok(Some(Change { proxy, web, configured: to }))
    }
}

impl Listeners {
    /// Takes over what our parent, or our predecessor, has handed us. All but the proxy's may be missing.
    pub fn inherit(passed: &[Passed]) -> Result<Self, StartError> {
        let mut given = Given::default();
        for Passed { name, fd, holder } in passed {
            let holder = Holder::named(holder);
            let taken = inherit::take(*fd).and_then(|socket| match Name::parse(name) {
                Some(name) => given.put(name, socket, holder),
                // A later version's. It is closed.
                None => Ok(()),
            });
            match taken {
                Err(error) if name == Name::Proxy.as_str() => return Err(unusable(holder, &error)),
                // Whoever needs another one makes it.
                Err(_) | Ok(()) => {}
            }
        }
        let proxy = given.proxy.ok_or_else(|| StartError::Process("no listener was passed on".into()))?;
        Ok(Listeners { proxy, web: given.web, hook: given.hook, control: given.control })
    }

    /// Tries once more what could not be had: the web door's port may be free by now.
    pub(super) fn complete(&mut self, configured: Addresses) {
        if self.web.is_none() {
            self.web = bind_web(configured);
        }
    }

    /// Puts changed ones in the place of those before. What is `configured` follows, but for a web door that stays where
    /// it is: its new address is tried again with the next change.
    pub(super) fn replace(&mut self, change: Change, configured: &mut Addresses) {
        if let Some(proxy) = change.proxy {
            self.proxy = proxy;
        }
        configured.proxy = change.configured.proxy;
        if change.web.is_some() || self.web.is_none() {
            (self.web, configured.web) = (change.web, change.configured.web);
        }
    }

    /// All of them, to be handed on; where there is a `change`, as they are after it.
    pub(super) fn handed<'a>(&'a self, change: Option<&'a Change>) -> Vec<Handed<'a>> {
        fn one<S: AsFd>(name: Name, listener: &Listener<S>) -> Handed<'_> {
            Handed { name, socket: listener.socket.as_fd(), holder: listener.holder }
        }
        let proxy = change.and_then(|change| change.proxy.as_ref()).unwrap_or(&self.proxy);
        let web = change.and_then(|change| change.web.as_ref()).or(self.web.as_ref());
        let mut all = vec![one(Name::Proxy, proxy)];
        all.extend(web.map(|listener| one(Name::Web, listener)));
        all.extend(self.hook.as_ref().map(|listener| one(Name::Hook, listener)));
        all.extend(self.control.as_ref().map(|listener| one(Name::Control, listener)));
        all
    }
}

fn bind_web(configured: Addresses) -> Option<Listener> {
    let socket = startup::listen(configured.web?).ok()?;
    Some(Listener { socket, holder: Holder::Supervise })
}

/// The sockets that a service manager has passed on, by number and name, and who it is; `passed` are systemd's.
#[must_use]
pub fn of_manager(passed: Vec<(RawFd, String)>) -> (Vec<(RawFd, String)>, Holder) {
    if passed.is_empty() { (launchd::sockets(), Holder::Launchd) } else { (passed, Holder::Systemd) }
}

fn unusable(holder: Holder, error: &io::Error) -> StartError {
    StartError::Process(format!("the socket that {} passed on cannot be used: {error}", holder.name()))
}

fn listening(fd: &OwnedFd) -> io::Result<()> {
    if rustix::net::sockopt::socket_acceptconn(fd)? {
        Ok(())
    } else {
        Err(io::Error::other("it does not listen"))
    }
}

/// A listening socket that this machine alone can reach.
fn tcp(fd: OwnedFd) -> io::Result<TcpListener> {
    listening(&fd)?;
    let socket = TcpListener::from(fd);
    if !socket.local_addr()?.ip().is_loopback() {
        return Err(io::Error::other("it listens on more than loopback"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn unix(fd: OwnedFd) -> io::Result<UnixListener> {
    listening(&fd)?;
    let socket = UnixListener::from(fd);
    if socket.local_addr()?.as_pathname().is_none() {
        return Err(io::Error::other("it has no place among the files, which alone keep other users out"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were() {
        for name in Name::ALL {
            assert_eq!(Name::parse(name.as_str()), Some(name));
        }
        assert_eq!(Name::parse("of tomorrow"), None);
        for holder in [Holder::Systemd, Holder::Launchd, Holder::Supervise, Holder::Own] {
            assert_eq!(Holder::named(holder.name()), holder);
        }
    }

    #[test]
    fn what_is_handed_on_is_what_follows_a_change() {
        let any = Addresses::unknown();
        let listener = || Listener { socket: startup::listen(any.proxy).unwrap(), holder: Holder::Systemd };
        let mut listeners = Listeners { proxy: listener(), web: Some(listener()), hook: None, control: None };
        assert!(Change::between(any, any).unwrap().is_none());
        let names = |listeners: &Listeners, change: Option<&Change>| -> Vec<(String, String)> {
            let passed = listeners.handed(change).into_iter().map(|handed| handed.passed());
            passed.map(|passed| (passed.name, passed.holder)).collect()
        };
        let of = |web: &str| vec![("proxy".into(), "systemd".into()), ("web".into(), web.into())];
        // The web door's new port is taken: it stays where it is.
        let taken = startup::listen(any.proxy).unwrap();
        let to = Addresses { web: Some(taken.local_addr().unwrap()), ..any };
        let change = Change::between(any, to).unwrap();
        assert_eq!(names(&listeners, change.as_ref()), of("systemd"));
        let mut configured = any;
        listeners.replace(change.unwrap(), &mut configured);
        assert_eq!(configured, any, "it is tried again");
        let to = Addresses { web: Some(any.proxy), ..any };
        let change = Change::between(any, to).unwrap().unwrap();
        assert_eq!(names(&listeners, Some(&change)), of("supervise"));
        assert_eq!(names(&listeners, None), of("systemd"));
        listeners.replace(change, &mut configured);
        assert_eq!(configured, to);
        assert_eq!(names(&listeners, None), of("supervise"));
        // The proxy's is not.
        let to = Addresses { proxy: taken.local_addr().unwrap(), ..any };
        assert!(Change::between(any, to).is_err());
    }
}
