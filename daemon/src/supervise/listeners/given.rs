//! Which of the sockets that a service manager passes on is which.
//!
//! A manager may give each its name, as launchd does; systemd gives one name to all sockets of a unit, in the unit's
//! order. So a name of ours decides where there is one, and otherwise a socket's own address.
//!
//! Must never take a socket for what it may not be: what fits nothing is closed, and told.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use ccd_proto::paths::Layout;
use rustix::net::{AddressFamily, SocketType, getsockname, sockopt};

use super::{Addresses, Holder, Listener, Listeners, Name, bind_web, tcp, unix, unusable};
use crate::startup::{self, StartError};
use crate::supervise::inherit;

/// What sockets are recognised by.
#[derive(Clone, Debug)]
pub struct Wanted {
    addresses: Addresses,
    hook: PathBuf,
    control: PathBuf,
}

impl Wanted {
    /// The addresses as configured, and the paths of an installation.
    #[must_use]
    pub fn new(addresses: Addresses, layout: &Layout) -> Self {
        Wanted { addresses, hook: layout.hook_socket(), control: layout.control_socket() }
    }
}

/// The listeners that were passed on, as far as there are any.
#[derive(Debug, Default)]
pub struct Given {
    /// The proxy's.
    pub proxy: Option<Listener>,
    /// The web door's.
    pub web: Option<Listener>,
    /// The hook events'.
    pub hook: Option<Listener<UnixListener>>,
    /// The control API's.
    pub control: Option<Listener<UnixListener>>,
    /// Those that were closed again, and why.
    pub refused: Vec<String>,
}

impl Given {
    /// Takes over what a service manager has passed on: numbers and names. The directory of our sockets must be known
    /// to be ours alone.
    pub fn take(passed: &[(RawFd, String)], holder: Holder, wanted: &Wanted) -> Result<Self, StartError> {
        let mut given = Given::default();
        let mut sockets = Vec::new();
        for (fd, name) in passed {
            match inherit::take(*fd) {
                Ok(socket) => sockets.push((Seen { name: name.clone(), place: place(&socket) }, socket)),
                Err(error) => given.refused.push(format!("{name:?}, number {fd}: {error}")),
            }
        }
        let seen: Vec<Seen> = sockets.iter().map(|(seen, _)| seen.clone()).collect();
        for ((seen, socket), assigned) in sockets.into_iter().zip(assign(&seen, wanted)) {
            let Some(name) = assigned else {
                given.refused.push(format!("{:?}, {}: it is none of ours", seen.name, seen.place));
                continue;
            };
            let file = match &seen.place {
                Place::Unix(path) => private(path),
                _ => Ok(()),
            };
            match file.and_then(|()| given.put(name, socket, holder)) {
                Ok(()) => {}
                // Nobody else could bind that port.
                Err(error) if name == Name::Proxy => return Err(unusable(holder, &error)),
                Err(error) => {
                    given.refused.push(format!("{}, {}: {error}", name.as_str(), seen.place));
                }
            }
        }
        Ok(given)
    }

    /// With what was not given, as far as `binder` holds it: a proxy, and a web door if its port is free.
    pub fn complete(self, configured: Addresses, binder: Holder) -> Result<Listeners, StartError> {
        let proxy = match self.proxy {
            Some(proxy) => proxy,
            None => Listener { socket: startup::listen(configured.proxy)?, holder: binder },
        };
        // Without a supervisor, the daemon looks after that one by itself.
        let own = || if binder == Holder::Supervise { bind_web(configured) } else { None };
        Ok(Listeners { proxy, web: self.web.or_else(own), hook: self.hook, control: self.control })
    }

    pub(super) fn put(&mut self, name: Name, socket: OwnedFd, holder: Holder) -> io::Result<()> {
        match name {
            Name::Proxy => self.proxy = Some(Listener { socket: tcp(socket)?, holder }),
            Name::Web => self.web = Some(Listener { socket: tcp(socket)?, holder }),
            Name::Hook => self.hook = Some(Listener { socket: unix(socket)?, holder }),
            Name::Control => self.control = Some(Listener { socket: unix(socket)?, holder }),
        }
        Ok(())
    }
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Other,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "{}", path.display()),
            Place::Other => f.write_str("no stream socket with an address"),
        }
    }
}

/// What can be seen of a socket.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    place: Place,
}

fn place(socket: &impl AsFd) -> Place {
    let find = || -> io::Result<Place> {
        if sockopt::socket_type(socket)? != SocketType::STREAM {
            return Ok(Place::Other);
        }
        let address = getsockname(socket)?;
        // The standard library reads addresses only of sockets that it has.
        let own = socket.as_fd().try_clone_to_owned()?;
        Ok(match address.address_family() {
            AddressFamily::INET | AddressFamily::INET6 => {
                Place::Tcp(std::net::TcpListener::from(own).local_addr()?)
            }
            AddressFamily::UNIX => match UnixListener::from(own).local_addr()?.as_pathname() {
                Some(path) => Place::Unix(path.to_owned()),
                None => Place::Other,
            },
            _ => Place::Other,
        })
    };
    find().unwrap_or(Place::Other)
}

/// Which is which; none for one that fits nothing.
fn assign(seen: &[Seen], wanted: &Wanted) -> Vec<Option<Name>> {
    let mut assigned = vec![None; seen.len()];
    let mut give = |which: &dyn Fn(&Seen) -> Option<Name>| {
        for (at, socket) in seen.iter().enumerate() {
            if assigned[at].is_none()
                && let Some(name) = which(socket)
                && !assigned.contains(&Some(name))
            {
                assigned[at] = Some(name);
            }
        }
    };
    // A name of ours decides, and then nothing else does: it may still be no socket for it.
    give(&|socket| Name::parse(&socket.name).filter(|name| fits(*name, &socket.place, wanted)));
    give(&|socket| {
        if Name::parse(&socket.name).is_some() {
            return None;
        }
        match &socket.place {
            Place::Tcp(at) if *at == wanted.addresses.proxy => Some(Name::Proxy),
            Place::Tcp(at) if Some(*at) == wanted.addresses.web => Some(Name::Web),
            Place::Unix(path) if *path == wanted.hook => Some(Name::Hook),
            Place::Unix(path) if *path == wanted.control => Some(Name::Control),
            _ => None,
        }
    });
    // The configuration may have changed, or be unreadable. A port that clients were told is better answered than left
    // to wait for ever; in our units the proxy's comes first.
    give(&|socket| {
        let nameless =
            matches!(socket.name.as_str(), "" | "unknown" | "ccd") || socket.name.ends_with(".socket");
        (nameless && matches!(socket.place, Place::Tcp(_))).then_some(Name::Proxy)
    });
    assigned
}

/// Whether a socket can be what it is named.
fn fits(name: Name, place: &Place, wanted: &Wanted) -> bool {
    match (name, place) {
        (Name::Proxy | Name::Web, Place::Tcp(_)) => true,
        (Name::Hook, Place::Unix(path)) => *path == wanted.hook,
        (Name::Control, Place::Unix(path)) => *path == wanted.control,
        _ => false,
    }
}

/// Makes sure that a socket's file is there, ours, and for us alone: clients find it by that file.
fn private(path: &Path) -> io::Result<()> {
    let meta = fs_err::symlink_metadata(path)?;
    if !meta.file_type().is_socket() {
        return Err(io::Error::other("another file lies there"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("its file belongs to another user"));
    }
    if meta.permissions().mode() & 0o777 != 0o600 {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;

    fn wanted() -> Wanted {
        let addresses = Addresses {
            proxy: "127.0.0.1:7788".parse().unwrap(),
            web: Some("127.0.0.1:7789".parse().unwrap()),
        };
        Wanted { addresses, hook: "/run/ccd/hook.sock".into(), control: "/run/ccd/ccd.sock".into() }
    }

    fn seen(name: &str, place: &str) -> Seen {
        let place = match place.parse() {
            Ok(address) => Place::Tcp(address),
            Err(_) if place.is_empty() => Place::Other,
            Err(_) => Place::Unix(place.into()),
        };
        Seen { name: name.into(), place }
    }

    fn names(sockets: &[(&str, &str)]) -> Vec<Option<&'static str>> {
        let sockets: Vec<_> = sockets.iter().map(|(name, place)| seen(name, place)).collect();
        assign(&sockets, &wanted()).into_iter().map(|name| name.map(Name::as_str)).collect()
    }

    #[test]
    fn a_socket_is_known_by_its_address_and_a_name_of_ours_wins() {
        let all = ["127.0.0.1:7788", "127.0.0.1:7789", "/run/ccd/hook.sock", "/run/ccd/ccd.sock"];
        let unit = all.map(|place| ("ccd", place));
        assert_eq!(names(&unit), [Some("proxy"), Some("web"), Some("hook"), Some("control")]);
        assert_eq!(
            names(&[("web", "127.0.0.1:1"), ("proxy", "127.0.0.1:2"), ("ccd", "127.0.0.1:7788")]),
            [Some("web"), Some("proxy"), None]
        );
        // Named as ours, and cannot be.
        assert_eq!(names(&[("hook", "127.0.0.1:7788"), ("control", "/run/ccd/hook.sock")]), [None, None]);
        assert_eq!(names(&[("proxy", "/run/ccd/ccd.sock")]), [None]);
    }

    #[test]
    fn a_port_that_the_configuration_no_longer_names_is_still_the_proxys() {
        assert_eq!(names(&[("unknown", "127.0.0.1:1")]), [Some("proxy")]);
        assert_eq!(names(&[("ccd", "127.0.0.1:1"), ("ccd", "127.0.0.1:7789")]), [Some("proxy"), Some("web")]);
        assert_eq!(
            names(&[("ccd.socket", "127.0.0.1:1"), ("ccd.socket", "127.0.0.1:2")]),
            [Some("proxy"), None]
        );
        assert_eq!(names(&[("ccd", "127.0.0.1:1"), ("ccd", "127.0.0.1:7788")]), [None, Some("proxy")]);
        // Somebody else's by its name.
        assert_eq!(names(&[("metrics", "127.0.0.1:1")]), [None]);
    }

    #[test]
    fn what_fits_nothing_is_nothing() {
        assert_eq!(names(&[]), []);
        assert_eq!(names(&[("ccd", ""), ("x", "/run/other.sock"), ("ccd", "/run/ccd/sup.sock")]), [None; 3]);
        assert_eq!(
            names(&[("ccd", "/run/ccd/hook.sock"), ("ccd", "/run/ccd/hook.sock")]),
            [Some("hook"), None],
            "one of each"
        );
    }

    proptest! {
        /// In whatever order, with whatever missing and whatever foreign between: the same sockets are found.
        #[test]
        fn the_order_and_what_else_is_there_do_not_matter(
            there in proptest::collection::vec(any::<bool>(), 4),
            foreign in 0usize..3,
            keys in proptest::collection::vec(any::<u32>(), 8),
        ) {
            let all = ["127.0.0.1:7788", "127.0.0.1:7789", "/run/ccd/hook.sock", "/run/ccd/ccd.sock"];
            let strangers = [("else", "127.0.0.1:5"), ("ccd", "/run/x.sock"), ("proxy ", "")];
            let mut sockets: Vec<(u32, Seen, Option<Name>)> = Vec::new();
            for (at, place) in all.iter().enumerate().filter(|(at, _)| there[*at]) {
                sockets.push((keys[at], seen("ccd", place), Some(Name::ALL[at])));
            }
            for (at, (name, place)) in strangers.iter().enumerate().take(foreign) {
                sockets.push((keys[4 + at], seen(name, place), None));
            }
            sockets.sort_by_key(|(key, ..)| *key);
            let found = assign(&sockets.iter().map(|(_, seen, _)| seen.clone()).collect::<Vec<_>>(), &wanted());
            let want: Vec<_> = sockets.iter().map(|(.., name)| *name).collect();
            prop_assert_eq!(found, want);
        }
    }

    fn take(sockets: Vec<(OwnedFd, &str)>, wanted: &Wanted) -> Result<Given, StartError> {
        let passed: Vec<_> =
            sockets.into_iter().map(|(socket, name)| (socket.into_raw_fd(), name.to_owned())).collect();
        Given::take(&passed, Holder::Systemd, wanted)
    }

    #[test]
    fn a_proxy_that_does_not_listen_or_listens_to_all_the_world_is_an_error() {
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = good.local_addr().unwrap();
        let given = take(vec![(good.into(), "proxy")], &wanted()).unwrap();
        assert_eq!(given.proxy.unwrap().socket.local_addr().unwrap(), address);
        let open = TcpListener::bind("0.0.0.0:0").unwrap();
        assert!(take(vec![(open.into(), "proxy")], &wanted()).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(take(vec![(client.into(), "proxy")], &wanted()).is_err());
    }

    #[test]
    fn other_sockets_that_cannot_be_used_are_closed_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let wanted =
            Wanted { hook: dir.path().join("hook.sock"), control: dir.path().join("ccd.sock"), ..wanted() };
        let hook = UnixListener::bind(&wanted.hook).unwrap();
        fs_err::set_permissions(&wanted.hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        let control = UnixListener::bind(&wanted.control).unwrap();
        fs_err::remove_file(&wanted.control).unwrap();
        let (pair, _other) = UnixStream::pair().unwrap();
        let open = TcpListener::bind("0.0.0.0:0").unwrap();
        let sockets =
            vec![(open.into(), "web"), (control.into(), "ccd"), (hook.into(), "ccd"), (pair.into(), "ccd")];
        let given = take(sockets, &wanted).unwrap();
        assert!(given.proxy.is_none() && given.web.is_none() && given.control.is_none(), "{given:?}");
        let hook = given.hook.unwrap();
        assert_eq!(hook.holder, Holder::Systemd);
        assert_eq!(fs_err::metadata(&wanted.hook).unwrap().permissions().mode() & 0o777, 0o600);
        let told = given.refused.join("\n");
        for part in ["more than loopback", "ccd.sock", "none of ours"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(given.refused.len(), 3, "{told}");
    }
}
