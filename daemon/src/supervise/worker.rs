//! One worker: its process, its channel, and what it is for.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

use super::channel::{Lines, Order};
use super::ladder::Rung;
use super::listeners::Handed;
use super::{ASSIGNMENT, Assignment, SUCCESSION, inherit};

/// What a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// It is the one.
    Serving,
    /// It is to become the one as soon as it serves.
    Coming,
    /// It relays beside one that is stuck.
    Beside,
    /// It was, and finishes its streams.
    Leaving,
}

/// A worker.
pub(super) struct Worker {
    pub(super) pid: Pid,
    pub(super) channel: Lines,
    pub(super) kind: Rung,
    pub(super) role: Role,
    pub(super) started: Instant,
    /// It accepts.
    pub(super) ready: bool,
    /// Why it cannot start, in its own words.
    pub(super) error: Option<String>,
    /// Its words were that another daemon runs.
    pub(super) running: Option<String>,
    /// Asked for an answer then, and none has come.
    pub(super) asked: Option<Instant>,
    /// To be killed if it is still there.
    pub(super) kill_at: Option<Instant>,
}

/// What all workers are started with.
pub(super) struct Recipe<'a> {
    pub(super) program: &'a Path,
    pub(super) listeners: Vec<Handed<'a>>,
    pub(super) manager: &'a str,
    pub(super) to_stderr: bool,
    /// Where requests go, if not where the configuration says.
    pub(super) upstream: Option<&'a str>,
}

impl Worker {
    /// Starts one. `reason` is why it captures nothing, if it shall not.
    pub(super) fn start(
        recipe: &Recipe<'_>,
        reason: Option<&str>,
        role: Role,
        takeover: bool,
    ) -> io::Result<Self> {
        let (channel, theirs) = Lines::pair()?;
        let assignment = Assignment {
            listeners: recipe.listeners.iter().map(Handed::passed).collect(),
            channel: inherit::number(&theirs),
            manager: recipe.manager.into(),
            takeover,
        };
        let mut command = Command::new(recipe.program);
        command.arg("run");
        if let Some(reason) = reason {
            command.arg("--bypass").arg(OsString::from(reason));
        }
        // What is meant for us alone must not look as if it were meant for the worker.
        for name in [
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
            SUCCESSION,
        ] {
            command.env_remove(name);
        }
        if let Some(upstream) = recipe.upstream {
            command.env("CCD_UPSTREAM", upstream);
        }
        command.env(ASSIGNMENT, serde_json::to_string(&assignment)?).stdin(Stdio::null());
        if !recipe.to_stderr {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let mut fds: Vec<&dyn AsFd> = vec![&theirs];
        fds.extend(recipe.listeners.iter().map(|handed| handed as &dyn AsFd));
        let child = inherit::inherited(&fds, || command.spawn())?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
        Ok(Worker {
            pid,
            channel,
            kind: if reason.is_some() { Rung::Bypass } else { Rung::Full },
            role,
            started: Instant::now(),
            ready: false,
            error: None,
            running: None,
            asked: None,
            kill_at: None,
        })
    }

    /// Its process id.
    pub(super) fn number(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&self) -> Option<End> {
        match rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(found) => found.map(|(_, status)| End::of(status)),
            Err(_) => Some(End::Unknown),
        }
    }

    pub(super) fn tell(&mut self, order: &Order) {
        if !self.channel.write(&order.line()) {
            tracing::warn!(pid = self.number(), ?order, "the worker could not be told");
        }
    }

    /// Tells it to leave: another one has taken its place.
    pub(super) fn leave(&mut self, now: bool) {
        self.role = Role::Leaving;
        self.tell(if now { &Order::StopNow } else { &Order::Drain });
        if now {
            self.kill_in(Duration::from_secs(5));
        }
    }

    /// Kills it if it is still there then.
    pub(super) fn kill_in(&mut self, after: Duration) {
        let at = Instant::now() + after;
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
    }

    pub(super) fn kill(&mut self) {
        self.kill_at = None;
        if let Err(error) = rustix::process::kill_process(self.pid, Signal::KILL) {
            tracing::warn!(%error, "a worker could not be killed");
        }
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Somebody else has taken note of it.
    Unknown,
}

impl End {
    fn of(status: WaitStatus) -> Self {
        match (status.terminating_signal(), status.exit_status()) {
            (Some(signal), _) => End::Signal(signal),
            (None, Some(code)) => End::Code(code),
            (None, None) => End::Unknown,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit code {code}"),
            End::Signal(9) => f.write_str("killed by signal 9 (SIGKILL)"),
            End::Signal(6) => f.write_str("killed by signal 6 (SIGABRT)"),
            End::Signal(11) => f.write_str("killed by signal 11 (SIGSEGV)"),
            End::Signal(signal) => write!(f, "killed by signal {signal}"),
            End::Unknown => f.write_str("gone"),
        }
    }
}
