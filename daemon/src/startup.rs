//! From nothing to listening: directories, lock, token, sockets. Synchronous, before any thread, so that a
//! daemon can fork first and its parent can still be told what went wrong.
//!
//! Never removes what is not ours: a socket file is replaced only while the lock is held, and only if it is a
//! socket.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ccd_proto::paths::Layout;

use crate::config::Config;

/// How long another daemon may take from locking the lock file to writing its process id there.
const PID_PATIENCE: Duration = Duration::from_millis(500);
/// How often to look for it.
const PID_LOOK: Duration = Duration::from_millis(5);

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one runs.
    #[error("ccd is already running (pid {pid}); `ccctl status` shows it")]
    AlreadyRunning {
        /// Its process id, as far as known.
        pid: String,
    },
    /// A directory or file of ours.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A directory that others could change, or that is none.
    #[error("{path} {why}: refusing to put sockets there")]
    Unsafe {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The port.
    #[error("cannot listen on {addr}: {source}{hint}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The daemon's own process could not be set up.
    #[error("{0}")]
    Process(String),
}

fn file_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> StartError + 'a {
    move |source| StartError::File { what, path: path.to_owned(), source }
}

/// What a daemon holds that owns its home: nobody else writes to the store, and the sockets are its own.
pub struct Home {
    /// Held locked for as long as the home is owned.
    pub lock: File,
    /// The hook socket; none for one that captures nothing.
    pub hooks: Option<UnixListener>,
    /// The control socket.
    pub control: UnixListener,
}

/// Everything that a daemon needs before it serves.
pub struct Prepared {
    /// The path token.
    pub token: String,
    /// The proxy's listener.
    pub proxy: TcpListener,
    /// The home; none where another daemon may still own it, which is then waited for ([`own`]).
    pub home: Option<Home>,
}

/// Makes the directories, takes the lock, reads or makes the token, and binds.
pub fn prepare(layout: &Layout, config: &Config) -> Result<Prepared, StartError> {
    directories(layout)?;
    let lock = lock(&layout.lock_file())?;
    let token = token(&layout.token_file())?;
    let proxy = listen(config.proxy_listen)?;
    Ok(Prepared { token, proxy, home: Some(sockets(layout, lock, true)?) })
}

/// [`prepare`] with a listener that is there already. With `takeover`, what another daemon may still own is left for
/// later.
pub fn prepare_behind(layout: &Layout, proxy: TcpListener, takeover: bool) -> Result<Prepared, StartError> {
    directories(layout)?;
    let home = if takeover { None } else { Some(lock(&layout.lock_file())?) };
    let token = token(&layout.token_file())?;
    let home = home.map(|lock| sockets(layout, lock, true)).transpose()?;
    Ok(Prepared { token, proxy, home })
}

/// Waits until no other daemon owns this home, and takes it. `hooks` says whether hook events are to be heard. Blocks.
pub fn own(layout: &Layout, hooks: bool) -> Result<Home, StartError> {
    let path = layout.lock_file();
    let file = open_lock(&path)?;
    file.lock().map_err(file_error("cannot lock", &path))?;
    sockets(layout, signed(file), hooks)
}

/// Makes the directories, or makes sure that they are ours alone.
pub fn directories(layout: &Layout) -> Result<(), StartError> {
    for dir in [&layout.state_dir, &layout.run_dir, &layout.spool_dir, &layout.log_dir] {
        private_dir(dir)?;
    }
    make_dir(layout.config_file.parent().unwrap_or(&layout.state_dir))
}

fn sockets(layout: &Layout, lock: File, hooks: bool) -> Result<Home, StartError> {
    let hooks = if hooks { Some(bind(&layout.hook_socket())?) } else { None };
    Ok(Home { lock, hooks, control: bind(&layout.control_socket())? })
}

/// Listens on an address of the proxy's. Once it is ours, a service manager that asks for it (`ReusePort`) may listen
/// beside us, to take our place with no moment between; whoever does not ask, as we did not, is still refused.
pub fn listen(addr: SocketAddr) -> Result<TcpListener, StartError> {
    let socket = TcpListener::bind(addr).and_then(|l| l.set_nonblocking(true).map(|()| l));
    #[cfg(target_os = "linux")]
    if let Ok(socket) = &socket
        && let Err(error) = rustix::net::sockopt::set_socket_reuseport(socket, true)
    {
        tracing::debug!(%error, "nobody can listen beside us");
    }
    socket.map_err(|source| StartError::Listen {
        addr,
        hint: if source.kind() == ErrorKind::AddrInUse {
            ": another program has this port; set [proxy] listen in config.toml or CCD_PROXY_LISTEN"
        } else {
            ""
        },
        source,
    })
}

/// Whether another daemon owns this home, and its process id as far as known.
#[must_use]
pub fn owner(layout: &Layout) -> Option<StartError> {
    let path = layout.lock_file();
    let file = File::open(&path).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let _ = wait_for_its_pid(&path, &file);
            Some(already(&path))
        }
        _ => None,
    }
}

fn make_dir(dir: &Path) -> Result<(), StartError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file_error("cannot make", dir))
}

/// Makes a directory that only we can use, or makes sure that it is one.
fn private_dir(dir: &Path) -> Result<(), StartError> {
    make_dir(dir)?;
    let meta = fs_err::symlink_metadata(dir).map_err(file_error("cannot look at", dir))?;
    let unsafe_dir = |why| StartError::Unsafe { path: dir.to_owned(), why };
    if !meta.is_dir() {
        return Err(unsafe_dir("is not a directory"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(unsafe_dir("belongs to another user"));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        fs_err::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
            .map_err(file_error("cannot make private", dir))?;
    }
    Ok(())
}

fn open_lock(path: &Path) -> Result<File, StartError> {
    let mut options = File::options();
    options
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(file_error("cannot open", path))
}

/// Takes a lock that one process may have: the daemon's, or the supervisor's.
pub fn lock(path: &Path) -> Result<File, StartError> {
    let file = open_lock(path)?;
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => wait_for_its_pid(path, &file),
        other => other,
    };
    match locked {
        Ok(()) => Ok(signed(file)),
        Err(TryLockError::WouldBlock) => Err(already(path)),
        Err(TryLockError::Error(source)) => {
            Err(StartError::File { what: "cannot lock", path: path.to_owned(), source })
        }
    }
}

/// Writes our process id into a lock that we hold. The lock counts; what is written is for whoever finds it taken. On a
/// full disk the port is answered all the same.
fn signed(mut file: File) -> File {
    let pid = format!("{}\n", std::process::id());
    let _ = file.set_len(0).and_then(|()| file.write_all(pid.as_bytes()));
    file
}

fn already(path: &Path) -> StartError {
    let pid = holder(path).map_or_else(|| "unknown".into(), |pid| pid.to_string());
    StartError::AlreadyRunning { pid }
}

/// Gives who has just taken the lock the moment that it needs to write its process id down, and tries once more: it
/// may have ended meanwhile.
fn wait_for_its_pid(path: &Path, file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + PID_PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if holder(path).is_none() && Instant::now() < until => {
                std::thread::sleep(PID_LOOK);
            }
            other => return other,
        }
    }
}

/// The process that the lock file names, if it lives: the file may still name the one before.
fn holder(path: &Path) -> Option<i32> {
    let pid = fs_err::read_to_string(path).ok()?.trim().parse().ok()?;
    rustix::process::Pid::from_raw(pid)
        .filter(|pid| rustix::process::test_kill_process(*pid).is_ok())
        .map(|_| pid)
}

/// The path token of this installation; made where there is none.
pub fn token(path: &Path) -> Result<String, StartError> {
    match fs_err::read_to_string(path) {
        Ok(text) => {
            let token = text.trim();
            if token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Ok(token.to_owned());
            }
            Err(StartError::File {
                what: "no valid token in",
                path: path.to_owned(),
                source: std::io::Error::new(
                    ErrorKind::InvalidData,
                    "remove it and run `ccctl install` again",
                ),
            })
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes)
                .map_err(|e| StartError::Process(format!("no random numbers: {e}")))?;
            let token = format!("{:032x}", u128::from_be_bytes(bytes));
            let aside = path.with_extension("new");
            let written = File::options()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)
                .and_then(|mut f| f.write_all(format!("{token}\n").as_bytes()).and_then(|()| f.sync_all()))
                .and_then(|()| std::fs::rename(&aside, path));
            written.map_err(file_error("cannot write", path))?;
            Ok(token)
        }
        Err(source) => Err(StartError::File { what: "cannot read", path: path.to_owned(), source }),
    }
}

/// Binds a Unix socket, mode 0600. What lies there from a daemon that was killed is replaced: we hold the lock.
pub fn bind(path: &Path) -> Result<UnixListener, StartError> {
    match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            fs_err::remove_file(path).map_err(file_error("cannot replace", path))?;
        }
        Ok(_) => {
            return Err(StartError::Unsafe { path: path.to_owned(), why: "is in the way and no socket" });
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(source) => {
            return Err(StartError::File { what: "cannot look at", path: path.to_owned(), source });
        }
    }
    let listener = UnixListener::bind(path).map_err(file_error("cannot bind", path))?;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(file_error("cannot make private", path))?;
    listener.set_nonblocking(true).map_err(file_error("cannot set up", path))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn at(dir: &Path) -> (Layout, Config) {
        let env = |n: &str| match n {
            "CCD_HOME" => Some(dir.as_os_str().to_owned()),
            "CCD_PROXY_LISTEN" => Some(OsString::from("127.0.0.1:0")),
            _ => None,
        };
        let layout = Layout::resolve(env).unwrap();
        let config = Config::load(&layout.config_file, env).unwrap();
        (layout, config)
    }

    #[test]
    fn one_daemon_per_home_and_everything_private() {
        let tmp = tempfile::tempdir().unwrap();
        let (layout, config) = at(tmp.path());
        let first = prepare(&layout, &config).unwrap();
        let second = prepare(&layout, &config).err().unwrap();
        assert!(
            matches!(second, StartError::AlreadyRunning { ref pid } if *pid == std::process::id().to_string())
        );
        let mode = |p: &Path| fs_err::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&layout.run_dir), 0o700);
        assert_eq!(mode(&layout.control_socket()), 0o600);
        assert_eq!(mode(&layout.token_file()), 0o600);
        let token = first.token.clone();
        drop(first);
        // The sockets of a daemon that died are replaced, the token stays.
        assert_eq!(prepare(&layout, &config).unwrap().token, token);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_who_asks_for_it_listens_beside_us() {
        let ours = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = ours.local_addr().unwrap();
        assert!(matches!(listen(addr), Err(StartError::Listen { .. })), "a second daemon is refused");
        let manager =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
                .unwrap();
        assert!(rustix::net::bind(&manager, &addr).is_err());
        rustix::net::sockopt::set_socket_reuseport(&manager, true).unwrap();
        rustix::net::bind(&manager, &addr).unwrap();
        rustix::net::listen(&manager, 1).unwrap();
        drop(ours);
        assert!(std::net::TcpStream::connect(addr).is_ok());
    }

    #[test]
    fn what_is_not_ours_is_not_touched() {
        let tmp = tempfile::tempdir().unwrap();
        let (layout, config) = at(tmp.path());
        fs_err::create_dir_all(&layout.run_dir).unwrap();
        fs_err::write(layout.hook_socket(), "precious").unwrap();
        assert!(matches!(prepare(&layout, &config), Err(StartError::Unsafe { .. })));
        assert_eq!(fs_err::read_to_string(layout.hook_socket()).unwrap(), "precious");
    }
}
