//! The service manager that keeps the daemon running: systemd's user manager, or launchd.
//!
//! Must never touch a unit that is not of this installation, and never stop the running process when the
//! service is taken away: sessions that hold the base URL still need it.

mod absence;
mod health;
pub mod launchd;
mod sockets;
pub mod systemd;

use std::path::{Path, PathBuf};

pub use absence::{Absence, after_a_reboot, detect};
pub use health::{Failure, Health, UnitFile, health};
pub use sockets::Sockets;

use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::{Invocation, Outcome};

/// Variables that the daemon must see as we do. A service manager does not hand our environment on.
const HANDED_ON: [&str; 19] = [
    "CCD_HOME",
    "CCD_UPSTREAM",
    "CCD_PROXY_LISTEN",
    "CCD_WEB_LISTEN",
    "CCD_LOG",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    // Where the client keeps its files.
    "CLAUDE_CONFIG_DIR",
    // The way to the API: the network's proxy, and the roots that the machine's owner trusts.
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "CLAUDE_CODE_CLIENT_CERT",
    "CLAUDE_CODE_CLIENT_KEY",
];

/// A service manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manager {
    /// systemd's user manager.
    Systemd(systemd::Systemd),
    /// launchd.
    Launchd(launchd::Launchd),
}

/// The service manager of this name.
#[must_use]
pub fn named(env: &Env, name: &str) -> Option<Manager> {
    match name {
        systemd::NAME => systemd::Systemd::new(env).map(Manager::Systemd),
        launchd::NAME => launchd::Launchd::new(env).map(Manager::Launchd),
        _ => None,
    }
}

impl Manager {
    /// Its name, as the daemon's status tells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Manager::Systemd(_) => systemd::NAME,
            Manager::Launchd(_) => launchd::NAME,
        }
    }

    /// Where its file about our service lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Manager::Systemd(s) => s.path(),
            Manager::Launchd(l) => l.path(),
        }
    }

    /// Where all its files about our service may lie, that one first.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        match self {
            Manager::Systemd(s) => vec![s.path(), s.socket_path(), s.web_socket_path()],
            Manager::Launchd(l) => vec![l.path()],
        }
    }

    /// Those files with their content; one without content shall not be there.
    pub fn files(&self, env: &Env, ccd: &Path) -> Result<Vec<(PathBuf, Option<Vec<u8>>)>> {
        let sockets = Sockets::configured(env)?;
        match self {
            Manager::Systemd(s) => Ok(vec![
                (
                    s.path(),
                    Some(systemd::units::service(ccd, &environment(env), &systemd::units::names(&sockets))?),
                ),
                (s.socket_path(), systemd::units::socket(&sockets)?),
                (s.web_socket_path(), systemd::units::web_socket(sockets.web)),
            ]),
            Manager::Launchd(l) => {
                let agent = launchd::agent(ccd, &environment(env), &env.layout.log_dir, &sockets)?;
                Ok(vec![(l.path(), Some(agent))])
            }
        }
    }

    /// Has the manager start the daemon no more with the next request, because it is to be stopped. The running one is
    /// left alone, and goes on answering.
    pub fn stop_listening(&self, env: &Env) -> Result<()> {
        match self {
            Manager::Systemd(s) => s.stop_listening(env),
            Manager::Launchd(l) => {
                l.stop_listening(env);
                Ok(())
            }
        }
    }

    /// Has the daemon start with every login. Starts and stops nothing.
    pub fn enable(&self, env: &Env) -> Result<()> {
        match self {
            Manager::Systemd(s) => s.enable(env),
            Manager::Launchd(l) => l.enable(env),
        }
    }

    /// Has the manager listen beside a daemon that was started otherwise, where it can: then nobody is refused while the
    /// service takes that one's place. What fails is tried again by [`Manager::start`].
    pub fn hold(&self, env: &Env) {
        if let Manager::Systemd(s) = self {
            s.hold(env);
        }
    }

    /// Has the manager listen as its files say now, once the service has ended; `changed` are those that said something
    /// else before.
    pub fn hold_anew(&self, env: &Env, changed: &[PathBuf]) {
        match self {
            Manager::Systemd(s) => s.hold_anew(env, changed),
            Manager::Launchd(l) => l.hold_anew(env),
        }
    }

    /// Starts the daemon, and whoever listens for it.
    pub fn start(&self, env: &Env) -> Result<()> {
        match self {
            Manager::Systemd(s) => s.start(env),
            Manager::Launchd(l) => l.start(env),
        }
    }

    /// Has the daemon start no more. The running one is left alone.
    pub fn disable(&self, env: &Env) -> Result<()> {
        match self {
            Manager::Systemd(s) => s.disable(env),
            Manager::Launchd(l) => l.disable(env),
        }
    }

    /// Has the manager notice that the file is gone.
    pub fn forget(&self, env: &Env) -> Result<()> {
        match self {
            Manager::Systemd(s) => s.forget(env),
            Manager::Launchd(_) => Ok(()),
        }
    }
}

fn environment(env: &Env) -> Vec<(&'static str, String)> {
    HANDED_ON.into_iter().filter_map(|name| Some((name, env.text(name)?))).collect()
}

/// Runs a command of a service manager, which must succeed.
fn must(env: &Env, program: &str, args: &[&str]) -> Result<Outcome> {
    let invocation = Invocation::new(program, args).limit(std::time::Duration::from_secs(90));
    let failed = |why: String| CommandError::failed(format!("`{}` failed: {why}", invocation.line()));
    let outcome = env.runner.run(&invocation).map_err(|e| failed(e.to_string()))?;
    if outcome.success() { Ok(outcome) } else { Err(failed(outcome.complaint())) }
}
