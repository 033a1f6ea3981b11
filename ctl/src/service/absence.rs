//! Why no service manager keeps the daemon, and what that means: for containers, the first WSL, `su` and bare SSH.
//!
//! Must never guess: each reason is told by something that was looked at.

use std::fmt;

use super::{Manager, launchd, systemd};
use crate::env::Env;

/// Why no service manager can keep the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is no `systemctl`: a container, the first WSL, another init system.
    NoManager,
    /// The machine was not started by systemd, though its tools are installed: most containers.
    NotBooted,
    /// This shell belongs to no session (`su`, `sudo`, cron): nothing tells where the user's manager listens.
    NoSession,
    /// The user's manager does not answer, and what its tool said.
    NoAnswer(String),
    /// It answers, but was started with another home or configuration directory, and reads no unit of ours.
    Elsewhere,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absence::NoManager => f.write_str("there is no service manager for users on this machine"),
            Absence::NotBooted => f.write_str("this machine (or container) was not started by systemd"),
            Absence::NoSession => f.write_str(
                "this shell belongs to no login session (su, sudo and cron open none): XDG_RUNTIME_DIR is not set",
            ),
            Absence::NoAnswer(said) => write!(f, "the user's service manager does not answer: {said}"),
            Absence::Elsewhere => {
                f.write_str("the user's service manager was started with another home, and reads no units here")
            }
        }
    }
}

impl Absence {
    /// What makes the manager available; none where nothing does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Absence::NoManager | Absence::NotBooted => None,
            Absence::NoSession => {
                Some("log in as this user (ssh, or `machinectl shell`), then `ccctl install` again")
            }
            Absence::NoAnswer(_) => Some("`systemctl --user status` says more; then `ccctl install` again"),
            Absence::Elsewhere => {
                Some("run `ccctl install` with the HOME and XDG_CONFIG_HOME that you logged in with")
            }
        }
    }
}

/// What it means that no service manager keeps the daemon, as a sentence's second half. `hooks` says whether
/// Claude Code's hooks are installed.
#[must_use]
pub fn after_a_reboot(hooks: bool) -> &'static str {
    if hooks {
        "after a reboot, the first hook event of the next Claude Code session starts the daemon again"
    } else {
        "after a reboot, `ccctl start` starts the daemon again"
    }
}

/// The service manager of this user, or why there is none that could keep the daemon.
pub fn detect(env: &Env) -> Result<Manager, Absence> {
    if cfg!(target_os = "macos") {
        return launchd::Launchd::detect(env).map(Manager::Launchd);
    }
    systemd::Systemd::detect(env).map(Manager::Systemd)
}
