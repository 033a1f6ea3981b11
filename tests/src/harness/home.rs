//! A throw-away home: the user's `HOME`, `CCD_HOME`, a project directory, and the environment that goes with
//! them.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use ccd_proto::api::{Reply, Status};
use ccd_proto::paths::{Layout, MAX_SOCKET_PATH, base_url};
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{self, Out};
use super::wait::{PATIENCE, eventually, poll};

/// One test's world. Dropping it ends the daemon that may run in it and deletes it.
pub struct TestHome {
    dir: TempDir,
    upstream: Option<String>,
    more: Vec<(OsString, OsString)>,
    /// A process whose process namespace every command of this home runs in; 0 for none.
    #[cfg(target_os = "linux")]
    pub(super) inside: std::sync::atomic::AtomicU32,
    /// Claims to ports that are the same after every start.
    #[cfg(target_os = "linux")]
    pub(super) claims: Vec<std::os::unix::net::UnixListener>,
}

impl TestHome {
    /// A home whose proxy sends to `upstream`.
    #[must_use]
    pub fn new(upstream: &str) -> Self {
        Self::make(Some(upstream.to_owned()))
    }

    /// A home in which nothing tells the upstream: what `install` finds in the settings decides.
    #[must_use]
    pub fn without_upstream() -> Self {
        Self::make(None)
    }

    /// The same home, its proxy sending to `upstream`.
    #[must_use]
    pub fn with_upstream(mut self, upstream: &str) -> Self {
        self.upstream = Some(upstream.to_owned());
        self
    }

    /// The same home, with a further variable in every child's environment.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.more.push((name.into(), value.into()));
        self
    }

    fn make(upstream: Option<String>) -> Self {
        let base = std::env::temp_dir();
        // Sockets limit the length of their path, and some machines have long temporary directories.
        let fits = base.as_os_str().len() + "/ccdXXXXXX/ccd/run/hook.sock".len() <= MAX_SOCKET_PATH;
        let base = if fits { base } else { PathBuf::from("/tmp") };
        let dir = tempfile::Builder::new().prefix("ccd").tempdir_in(base).unwrap();
        for sub in ["home", "work"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        TestHome {
            dir,
            upstream,
            more: Vec::new(),
            #[cfg(target_os = "linux")]
            inside: std::sync::atomic::AtomicU32::new(0),
            #[cfg(target_os = "linux")]
            claims: Vec::new(),
        }
    }

    /// The user's home.
    #[must_use]
    pub fn user(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The project directory that sessions run in.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// `CCD_HOME`.
    #[must_use]
    pub fn ccd(&self) -> PathBuf {
        self.dir.path().join("ccd")
    }

    /// Where the product keeps its things in this home.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let home = self.ccd();
        Layout::resolve(|name| (name == "CCD_HOME").then(|| home.clone().into_os_string())).unwrap()
    }

    /// The user's Claude Code settings.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.user().join(".claude/settings.json")
    }

    /// Writes the user's Claude Code settings.
    pub fn write_settings(&self, text: &str) {
        std::fs::create_dir_all(self.settings().parent().unwrap()).unwrap();
        std::fs::write(self.settings(), text).unwrap();
    }

    /// The environment of every child, whole.
    #[must_use]
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = vec![
            ("HOME".into(), self.user().into()),
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
            ("CCD_HOME".into(), self.ccd().into()),
            ("CCD_PROXY_LISTEN".into(), "127.0.0.1:0".into()),
            ("CCD_WEB_LISTEN".into(), "127.0.0.1:0".into()),
        ];
        if let Some(upstream) = &self.upstream {
            env.push(("CCD_UPSTREAM".into(), upstream.into()));
        }
        env.extend(self.more.iter().cloned());
        env
    }

    /// A command in the project directory with this home's environment and nothing else.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.becoming(program);
        command.env_clear().envs(self.env()).current_dir(self.work());
        command
    }

    #[cfg(target_os = "linux")]
    fn becoming(&self, program: &Path) -> Command {
        let inside = self.inside.load(std::sync::atomic::Ordering::SeqCst);
        if inside == 0 {
            return Command::new(program);
        }
        let mut command = Command::new("/usr/bin/nsenter");
        command.arg("--target").arg(inside.to_string()).args(["--pid", "--"]).arg(program);
        command
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self)]
    fn becoming(&self, program: &Path) -> Command {
        Command::new(program)
    }

    /// Runs `ccctl`.
    #[track_caller]
    #[must_use]
    pub fn ccctl(&self, args: &[&str]) -> Out {
        process::run(self.command(&binary("ccctl")).args(args), b"")
    }

    /// Runs `ccctl … --json` and parses what it prints.
    #[track_caller]
    #[must_use]
    pub fn query<T: serde::de::DeserializeOwned>(&self, args: &[&str]) -> T {
        self.ccctl(&[args, &["--json"]].concat()).ok().parse()
    }

    /// Runs `cc-hook` with `payload` as its input.
    #[track_caller]
    #[must_use]
    pub fn cc_hook(&self, payload: &[u8]) -> Out {
        process::run(&mut self.command(&binary("cc-hook")), payload)
    }

    /// The daemon's status, if one runs.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let out = self.ccctl(&["status", "--json"]);
        if out.code == Some(3) {
            return None;
        }
        let status: Reply<Status> = out.ok().parse();
        Some(status.body).filter(|status| status.daemon.running)
    }

    /// The daemon's status; fails the test if none runs.
    #[track_caller]
    #[must_use]
    pub fn running(&self) -> Status {
        eventually("the daemon runs", || self.status())
    }

    /// The base URL that captured clients are given.
    #[track_caller]
    #[must_use]
    pub fn base_url(&self) -> String {
        let token = std::fs::read_to_string(self.layout().token_file()).unwrap();
        base_url(&self.running().proxy.listen, token.trim())
    }

    /// Deletes what the store can derive again: that costs time and nothing else. Where a kill came early, there is
    /// none.
    #[track_caller]
    pub fn delete_index(&self) {
        match std::fs::remove_dir_all(self.layout().store_dir().join("v1/index")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("the index: {error}"),
            _ => {}
        }
    }

    /// Files in the spool.
    #[must_use]
    pub fn spool(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.layout().spool_dir) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_logs(self);
        }
        // Whoever started it (a service-less `install`, `ccctl start`), no daemon outlives its home. Its supervisor goes
        // first: it would start another one.
        if let Some(supervision) = super::daemon::supervision(self) {
            process::signal(supervision.supervisor.pid, Signal::KILL);
            for pid in supervision.workers {
                process::signal(pid.unsigned_abs(), Signal::KILL);
            }
        }
        if !self.layout().control_socket().exists() || !binary("ccctl").exists() {
            return;
        }
        let out = self.command(&binary("ccctl")).args(["status", "--json"]).output();
        let status = out.ok().and_then(|out| serde_json::from_slice::<Reply<Status>>(&out.stdout).ok());
        if let Some(pid) = status.map(|s| s.body.daemon.pid).filter(|pid| *pid > 1) {
            process::signal(pid, Signal::KILL);
            let _ = poll(PATIENCE, || UnixStream::connect(self.layout().control_socket()).err());
        }
    }
}

/// On a failed test, what the daemon had to say.
#[allow(clippy::print_stderr, reason = "shown by the test runner beside the failure")]
fn show_logs(home: &TestHome) {
    // A daemon of the test's own writes the same lines to its standard error.
    for name in ["stdio.log", "ccd.log"] {
        let path = home.layout().log_dir.join(name);
        if let Ok(text) = std::fs::read(&path) {
            let tail = &text[text.len().saturating_sub(8_000)..];
            eprintln!("--- end of {}:\n{}", path.display(), String::from_utf8_lossy(tail));
            return;
        }
    }
}

/// A binary of the product: in `CCD_TEST_BIN_DIR`, else beside the tests' own build.
#[track_caller]
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let path = bin_dir().join(name);
    let hint = "build it with `cargo build --workspace --bins`";
    assert!(path.is_file() || std::thread::panicking(), "{} is missing: {hint}", path.display());
    path
}

/// Where the product's binaries lie: `CCD_TEST_BIN_DIR`, else the tests' own `target/PROFILE`.
#[must_use]
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CCD_TEST_BIN_DIR") {
        return dir.into();
    }
    let exe = std::env::current_exe().unwrap();
    let dir = exe.parent().unwrap();
    // Tests lie in its `deps`, other binaries right in it.
    if dir.ends_with("deps") { dir.parent().unwrap().into() } else { dir.into() }
}

/// The work tree that the tests were built from.
#[must_use]
pub fn repo_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_a_test_home_fit_and_nothing_lies_outside_it() {
        let home = TestHome::new("http://127.0.0.1:1");
        let layout = home.layout();
        let places = [layout.hook_socket(), layout.control_socket(), layout.spool_dir, layout.config_file];
        for place in places.iter().chain([&home.user(), &home.work()]) {
            assert!(place.starts_with(home.dir.path()), "{}", place.display());
        }
        let env = home.env();
        assert!(!env.iter().any(|(name, _)| name == "ANTHROPIC_API_KEY" || name == "ANTHROPIC_BASE_URL"));
    }
}
