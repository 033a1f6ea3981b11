//! A supervisor becomes its own successor: after an upgrade the process turns into the new program, and keeps its
//! number, its listeners, its lock and its workers.
//!
//! Must never cost a connection: everything that it holds goes along as open files. If the new program cannot be
//! executed, the old one goes on as it is.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::channel::Lines;
use super::ladder::{Ladder, Policy, Rung};
use super::listeners::{Addresses, Handed};
use super::refuse::Refuser;
use super::run::Supervisor;
use super::worker::{Role, Worker};
use super::{Passed, SUCCESSION, inherit, signals};

/// What a file is known by: whether another one lies there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, u64, i64, i64);

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Stamp(meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    }
}

/// A worker, as it is handed on.
#[derive(Debug, Serialize, Deserialize)]
struct Heir {
    pid: i32,
    channel: i32,
    kind: Rung,
    role: Role,
    ready: bool,
    age_ms: u64,
    kill_in_ms: Option<u64>,
}

/// What a supervisor leaves to the program that it becomes, as JSON in the variable [`SUCCESSION`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Succession {
    /// Our own process id: of any other process, this is not the succession.
    pid: u32,
    /// The program's path.
    pub program: PathBuf,
    /// The listeners.
    pub listeners: Vec<Passed>,
    /// What the configuration said when they were made.
    pub configured: Addresses,
    /// The lock.
    pub lock: i32,
    /// The supervisor's own socket.
    pub control: i32,
    /// Who keeps the supervisor running.
    pub manager: String,
    /// Whether somebody starts it again.
    pub kept: bool,
    /// Whether workers may write to its standard error.
    pub to_stderr: bool,
    workers: Vec<Heir>,
    rung: Rung,
    restarts: u64,
    last_exit: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    retiring: Option<(u64, String)>,
}

impl Succession {
    /// From the variable; none if it was meant for another process.
    #[must_use]
    pub fn read(text: &str, pid: u32) -> Option<Self> {
        serde_json::from_str::<Succession>(text).ok().filter(|left| left.pid == pid)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Supervisor {
    /// Becomes the program that lies at our path, if that is another one by now.
    pub(super) fn become_the_new(&mut self) {
        let stamp = Stamp::of(&self.program);
        if stamp.is_none() || stamp == self.stamp {
            self.renew = false;
            return;
        }
        // Not while a word is half read, or somebody waits for an answer.
        let amid = self.workers.iter().any(|w| w.channel.is_amid_line() || w.role == Role::Coming);
        if amid || self.control.is_waited_for() {
            return;
        }
        self.renew = false;
        self.stamp = stamp;
        let Some(listeners) = &self.listeners else { return };
        let handed = listeners.handed(None);
        let now = Instant::now();
        let heir = |w: &Worker| Heir {
            pid: w.number(),
            channel: inherit::number(&w.channel),
            kind: w.kind,
            role: w.role,
            ready: w.ready,
            age_ms: millis(now.duration_since(w.started)),
            kill_in_ms: w.kill_at.map(|at| millis(at.saturating_duration_since(now))),
        };
        let left = Succession {
            pid: std::process::id(),
            program: self.program.clone(),
            listeners: handed.iter().map(Handed::passed).collect(),
            configured: self.configured,
            lock: inherit::number(&self.lock),
            control: inherit::number(&self.control.listener),
            manager: self.manager.clone(),
            kept: self.kept,
            to_stderr: self.to_stderr,
            workers: self.workers.iter().map(heir).collect(),
            rung: self.ladder.rung(),
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
            reason: self.reason.clone(),
            retiring: self.retiring.clone(),
        };
        let Ok(text) = serde_json::to_string(&left) else { return };
        let mut fds: Vec<&dyn AsFd> = vec![&self.lock, &self.control.listener];
        fds.extend(handed.iter().map(|handed| handed as &dyn AsFd));
        fds.extend(self.workers.iter().map(|w| &w.channel as &dyn AsFd));
        tracing::info!(program = %self.program.display(), "becoming the new program");
        signals::hold_back(true);
        let failed = inherit::inherited(&fds, || {
            let mut command = Command::new(&self.program);
            Err::<(), _>(command.arg("supervise").env(SUCCESSION, text).exec())
        });
        signals::hold_back(false);
        if let Err(error) = failed {
            tracing::error!(%error, "the new program cannot be executed: the old one goes on");
        }
    }

    /// Goes on where the program before left off.
    pub(super) fn succeed(&mut self, left: &Succession) {
        let now = Instant::now();
        for heir in &left.workers {
            let channel = inherit::take(heir.channel).and_then(|fd| Lines::new(fd.into()));
            let (Ok(channel), Some(pid)) = (channel, Pid::from_raw(heir.pid)) else {
                tracing::error!(pid = heir.pid, "a worker was lost on the way");
                continue;
            };
            self.workers.push(Worker {
                pid,
                channel,
                kind: heir.kind,
                role: heir.role,
                started: now.checked_sub(Duration::from_millis(heir.age_ms)).unwrap_or(now),
                ready: heir.ready,
                error: None,
                running: None,
                asked: None,
                kill_at: heir.kill_in_ms.map(|ms| now + Duration::from_millis(ms)),
            });
        }
        self.ladder = Ladder::on(self.policy(), left.rung, now);
        self.restarts = left.restarts;
        self.last_exit.clone_from(&left.last_exit);
        self.reason.clone_from(&left.reason);
        self.retiring.clone_from(&left.retiring);
        self.tell = None;
        self.notifier.is_main();
        if left.rung == Rung::Refuse {
            self.refuser = Some(Refuser::new());
        }
        if !self.has(Role::Serving) {
            self.next = Some((now, Rung::Full));
        }
        tracing::info!(version = ccd_proto::VERSION, workers = self.workers.len(), "the new program goes on");
    }

    fn policy(&self) -> Policy {
        self.ladder.policy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_seen_and_a_touched_path_of_nothing_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        assert_eq!(Stamp::of(&path), None);
        std::fs::write(&path, "one").unwrap();
        let before = Stamp::of(&path);
        assert_eq!(Stamp::of(&path), before);
        let aside = dir.path().join("aside");
        std::fs::write(&aside, "two").unwrap();
        std::fs::rename(&aside, &path).unwrap();
        assert_ne!(Stamp::of(&path), before);
    }

    #[test]
    fn a_succession_is_for_one_process() {
        let text = r#"{"pid":7,"program":"/ccd","listeners":[{"name":"proxy","fd":3,"holder":"supervise"}],
            "configured":{"proxy":"127.0.0.1:0","web":null},"lock":4,"control":5,"manager":"daemonized","kept":false,"to_stderr":false,"workers":
            [{"pid":8,"channel":6,"kind":"full","role":"serving","ready":true,"age_ms":5,"kill_in_ms":null}],
            "rung":"full","restarts":2,"last_exit":null,"reason":null,"of_tomorrow":1}"#;
        assert!(Succession::read(text, 7).is_some());
        assert!(Succession::read(text, 8).is_none());
        assert!(Succession::read("{}", 7).is_none());
    }
}
