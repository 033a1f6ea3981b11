//! Who has a TCP port: the program that listens there, as far as the system tells.
//!
//! On Linux, the kernel's table of sockets names the socket, and the processes' open files name who holds it; what
//! belongs to another user is known by its user only. Elsewhere all that is known is whether somebody answers.
//! Reads only; nothing is bound.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::config;
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};

/// The daemon's own default.
const DEFAULT: &str = "127.0.0.1:7788";
/// How long a loopback port may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// The kernel's number for a socket that listens.
const LISTEN: &str = "0A";

/// A process that holds a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name, as the kernel has it: 15 bytes at most, and whatever the program chose.
    pub name: String,
}

/// Who listens on an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Every process that has the socket open, lowest id first; none where they are another user's, or where the
    /// system does not tell.
    pub processes: Vec<Process>,
    /// The user that the socket belongs to, where the system tells.
    pub uid: Option<u32>,
}

impl Holder {
    /// Whether this process has it.
    #[must_use]
    pub fn is(&self, pid: u32) -> bool {
        self.processes.iter().any(|p| p.pid == pid)
    }

    /// Whether all that is known of it is a daemon of ours, of this home or another.
    #[must_use]
    pub fn is_ccd(&self) -> bool {
        self.processes.iter().any(|p| p.name == "ccd")
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.processes.first(), self.uid) {
            (Some(process), _) => write!(f, "{} (pid {})", process.name, process.pid),
            (None, Some(uid)) => write!(f, "another program, of the user with id {uid}"),
            (None, None) => f.write_str("another program"),
        }
    }
}

/// Where the daemon is configured to listen; none where the configuration cannot be read, or leaves it to chance.
#[must_use]
pub fn configured(env: &Env) -> Option<SocketAddr> {
    let file = || std::fs::read(&env.layout.config_file).ok();
    let listen = match env.text("CCD_PROXY_LISTEN") {
        Some(text) => text,
        None => match file() {
            Some(bytes) => config::listen(&bytes).ok()?.unwrap_or_else(|| DEFAULT.to_owned()),
            None => DEFAULT.to_owned(),
        },
    };
    listen.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
}

/// Who listens on this address, if anybody does.
#[must_use]
pub fn holder(address: SocketAddr) -> Option<Holder> {
    match tables(Path::new("/proc")) {
        Some(tables) => told_by(Path::new("/proc"), &tables, address),
        // The system does not tell: somebody who answers listens.
        None => TcpStream::connect_timeout(&address, PATIENCE).ok().map(|_| Holder::default()),
    }
}

/// An error of a start, with who has the port where that may be the reason.
pub fn explained<T>(env: &Env, result: Result<T>) -> Result<T> {
    result.map_err(|error| {
        let is_running = || crate::client::Client::new(env).is_ok_and(|client| client.is_heard());
        let address = configured(env).filter(|_| error.kind == Kind::Failed && !is_running());
        match address.and_then(|address| Some((address, holder(address)?))) {
            Some((address, holder)) => taken(error, address, &holder),
            None => error,
        }
    })
}

fn taken(mut error: CommandError, address: SocketAddr, holder: &Holder) -> CommandError {
    let told = format!(
        "{address} is taken by {holder}: end that, or give ccd another port (`[proxy] listen` in config.toml)"
    );
    // The daemon's own words for the same.
    if let Some(at) = error.message.find(": another program has this port") {
        error.message.truncate(at);
    }
    error.hints.insert(0, told);
    error
}

/// The kernel's tables of sockets, where there are any.
fn tables(proc: &Path) -> Option<String> {
    let tables = ["net/tcp", "net/tcp6"].map(|name| std::fs::read_to_string(proc.join(name)).ok());
    tables.into_iter().flatten().reduce(|all, more| all + &more)
}

/// Who listens, as the tables say.
fn told_by(proc: &Path, tables: &str, address: SocketAddr) -> Option<Holder> {
    // A heading is no socket.
    let sockets = tables.lines().filter_map(Socket::read);
    let socket = sockets.filter(|socket| socket.serves(address)).min_by_key(|s| s.inode)?;
    Some(Holder { processes: processes(proc, socket.inode), uid: Some(socket.uid) })
}

/// A listening socket in the kernel's table.
struct Socket {
    ip: IpAddr,
    port: u16,
    uid: u32,
    inode: u64,
}

impl Socket {
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state) = (*fields.get(1)?, *fields.get(3)?);
        if state != LISTEN {
            return None;
        }
        let (ip, port) = local.split_once(':')?;
        Some(Socket {
            ip: address(ip)?,
            port: u16::from_str_radix(port, 16).ok()?,
            uid: fields.get(7)?.parse().ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    }

    /// Whether a connection to this address comes to it.
    fn serves(&self, address: SocketAddr) -> bool {
        let any = self.ip.is_unspecified() && (self.ip.is_ipv6() || address.is_ipv4());
        self.port == address.port() && (any || self.ip.to_canonical() == address.ip().to_canonical())
    }
}

/// An address as the table has it: words of four bytes in the machine's own order.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..hex.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// The processes that have a socket open.
fn processes(proc: &Path, inode: u64) -> Vec<Process> {
    let socket = format!("socket:[{inode}]");
    let mut found: Vec<Process> = Vec::new();
    for entry in std::fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Other users' cannot be looked into.
        let files = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let is_it = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == socket.as_str());
        if files.map(|file| file.path()).any(|path| is_it(&path)) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(Process { pid, name: name.trim_end_matches('\n').to_owned() });
        }
    }
    found.sort_unstable_by_key(|process| process.pid);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;
    use proptest::prelude::*;

    #[test]
    fn the_kernels_table_is_read() {
        let line = "   0: 0100007F:1E6C 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        let socket = Socket::read(line).unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        if cfg!(target_endian = "little") {
            assert!(socket.serves(at("127.0.0.1:7788")) && !socket.serves(at("127.0.0.2:7788")));
        }
        assert_eq!((socket.uid, socket.inode, socket.port), (1000, 4711, 7788));
        assert!(Socket::read(&line.replace(" 0A ", " 01 ")).is_none(), "it does not listen");
        let any = "   0: 00000000000000000000000000000000:1E6C 0:0 0A 0:0 00:0 0 0 0 5 1 0";
        assert!(Socket::read(any).unwrap().serves(at("127.0.0.1:7788")), "every address of both kinds");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_listener_is_found_by_process_and_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = holder(address).unwrap();
        assert!(holder.is(std::process::id()), "{holder:?}");
        assert!(!holder.processes[0].name.is_empty());
        drop(listener);
        assert_eq!(super::holder(address), None);
    }

    #[test]
    fn the_port_is_the_environments_then_the_files_then_the_default() {
        let home = Home::new();
        assert_eq!(configured(&home.env()), DEFAULT.parse().ok());
        let config = home.env().layout.config_file.strip_prefix(home.path()).unwrap().display().to_string();
        home.write(&config, "[proxy]\nlisten = \"127.0.0.1:99\"\n");
        assert_eq!(configured(&home.env()), "127.0.0.1:99".parse().ok());
        assert_eq!(configured(&home.var("CCD_PROXY_LISTEN", "127.0.0.1:0").env()), None);
    }

    #[test]
    fn a_failed_start_names_who_has_the_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let env = Home::new().var("CCD_PROXY_LISTEN", &address).env();
        let error = explained::<()>(&env, Err(CommandError::failed("x").hint("y"))).unwrap_err();
        assert!(error.hints[0].starts_with(&format!("{address} is taken by ")), "{error:?}");
        let said = "cannot listen: in use: another program has this port; set x";
        let error = explained::<()>(&env, Err(CommandError::failed(said))).unwrap_err();
        assert_eq!(error.message, "cannot listen: in use", "it is not said twice");
        let usage = explained::<()>(&env, Err(CommandError::usage("x"))).unwrap_err();
        assert!(usage.hints.is_empty());
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "[ 0-9A-F:]{0,200}") {
            let _ = Socket::read(&line);
        }
    }
}
