//! systemd's user manager, the real one, for one home: on Linux, where the tests run as root.
//!
//! It lives in a process and a mount namespace of its own, so that whatever it starts ends with it, and in control groups
//! of its own. The network is the test's: what its units listen on can be reached. The home's commands join the process
//! namespace, without which the manager would not know who asks; the process ids that they tell are of in there.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::home::TestHome;
use super::process::{self, Out};
use super::wait::{PATIENCE, poll};

/// What starts the manager: a machine that systemd has booted, as far as its tools look. The shell stays, because systemd
/// takes the first process of a machine for the system's manager.
const SCRIPT: &str = "for dir in \"$@\"; do echo $$ >\"$dir/cgroup.procs\" || exit; done\n\
    mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit\n\
    echo ALLOWED\n\
    /usr/lib/systemd/systemd --user &\n\
    wait";

/// A running user manager. It and everything that it has started are killed on drop.
pub struct UserManager<'a> {
    home: &'a TestHome,
    process: Child,
    groups: Vec<PathBuf>,
}

impl TestHome {
    /// The same home, for a [`UserManager`]: with a runtime directory, and ports that are the same after every start.
    #[must_use]
    pub fn for_manager(mut self) -> Self {
        let runtime = self.runtime();
        fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
        let ((proxy, one), (web, other)) = (free(), free());
        self.claims.extend([one, other]);
        self.with_env("XDG_RUNTIME_DIR", runtime)
            .with_env("CCD_PROXY_LISTEN", proxy)
            .with_env("CCD_WEB_LISTEN", web)
    }

    /// `XDG_RUNTIME_DIR` of a home for a manager.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.user().with_file_name("rt")
    }
}

/// An address that nobody listens on, outside the range that the system takes ports from by itself, and a claim to it
/// among tests that run at the same time.
fn free() -> (String, UnixListener) {
    let mut ports = (0..9_000).map(|n| 21_000 + (std::process::id() + n) % 9_000);
    let found = ports.find_map(|port| {
        // A name of no file, which goes with its socket.
        let name = SocketAddr::from_abstract_name(format!("ccd-test-port-{port}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        let address = format!("127.0.0.1:{port}");
        TcpListener::bind(&address).ok()?;
        Some((address, claim))
    });
    found.expect("a free port")
}

impl<'a> UserManager<'a> {
    /// Starts one for `home`, which must be [`TestHome::for_manager`]; why not, where the machine does not allow it. Fails
    /// the test where it does, and no manager comes of it.
    #[track_caller]
    pub fn start(home: &'a TestHome) -> Result<Self, String> {
        assert!(Path::new("/usr/lib/systemd/systemd").exists(), "systemd is not installed");
        let groups = groups()?;
        let log = File::create(home.runtime().join("manager.log")).map_err(|error| error.to_string())?;
        let mut command = Command::new("unshare");
        command
            .args([
                "--pid",
                "--mount",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "/bin/sh",
                "-c",
                SCRIPT,
                "sh",
            ])
            .args(&groups)
            .env_clear()
            .envs(home.env().into_iter().filter(|(name, _)| !name.to_string_lossy().starts_with("CCD_")))
            .env("SYSTEMD_LOG_TARGET", "console")
            .current_dir(home.work())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log);
        let process = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut manager = UserManager { home, process, groups };
        let answers = poll(PATIENCE, || {
            if manager.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Some(false);
            }
            home.inside.store(manager.first()?, Ordering::SeqCst);
            (manager.systemctl(&["show", "--property=Version"]).code == Some(0)).then_some(true)
        });
        let log = manager.log();
        assert!(answers == Some(true) || !log.contains("ALLOWED"), "the user manager does not answer: {log}");
        if answers == Some(true) { Ok(manager) } else { Err(log) }
    }

    /// The first process of the namespace, once it is there.
    fn first(&self) -> Option<u32> {
        let pid = self.process.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.trim().parse().ok()
    }

    /// What it and its units have said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.runtime().join("manager.log")).unwrap_or_default()
    }

    /// Runs `systemctl --user`.
    #[track_caller]
    #[must_use]
    pub fn systemctl(&self, args: &[&str]) -> Out {
        process::run(self.home.command(Path::new("/usr/bin/systemctl")).arg("--user").args(args), b"")
    }

    /// A property of a unit.
    #[track_caller]
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        let property = format!("--property={name}");
        self.systemctl(&["show", &property, "--value", unit]).ok().text().trim().to_owned()
    }
}

impl Drop for UserManager<'_> {
    #[allow(clippy::print_stderr, reason = "shown by the test runner beside the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the user manager:\n{}", self.log());
        }
        // With the first process all others end, and only then its parent does.
        match self.first() {
            Some(first) => process::signal(first, Signal::KILL),
            None => drop(self.process.kill()),
        }
        let _ = self.process.wait();
        self.home.inside.store(0, Ordering::SeqCst);
        for group in &self.groups {
            let _ = poll(PATIENCE, || remove(group).ok());
        }
    }
}

/// Control groups of its own in every hierarchy that systemd looks at.
fn groups() -> Result<Vec<PathBuf>, String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let root = Path::new("/sys/fs/cgroup");
    let named = ["systemd", "unified"].map(|name| root.join(name));
    let mounts: Vec<_> = if root.join("cgroup.procs").exists() {
        vec![root.to_owned()]
    } else {
        named.into_iter().filter(|mount| mount.join("cgroup.procs").exists()).collect()
    };
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let name = format!("ccd-test-manager-{}-{number}", std::process::id());
    let made = mounts.iter().map(|mount| {
        let dir = mount.join(&name);
        fs::create_dir(&dir).map(|()| dir.clone()).map_err(|error| format!("{}: {error}", dir.display()))
    });
    let made: Vec<_> = made.collect::<Result<_, _>>()?;
    if made.is_empty() { Err("no control groups".into()) } else { Ok(made) }
}

/// Removes a control group with those in it.
fn remove(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        }
    }
    fs::remove_dir(group)
}
