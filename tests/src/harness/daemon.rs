//! The daemon as a child of the test, alone or supervised.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitStatus, Stdio};

use ccd_proto::api::{Reply, Status, Supervision};
use rustix::process::Signal;

use super::control::Control;
use super::home::{TestHome, binary};
use super::process::{self, Owned};
use super::wait::{PATIENCE, eventually};

/// A running `ccd run`. Killed on drop.
pub struct Daemon {
    child: Owned,
}

impl Daemon {
    /// Starts the daemon in the foreground and waits until it answers.
    #[track_caller]
    #[must_use]
    pub fn start(home: &TestHome) -> Self {
        Self::start_as(home, home.command(&binary("ccd")))
    }

    /// [`Self::start`] of a command that becomes `ccd`, without its arguments.
    #[track_caller]
    #[must_use]
    pub fn start_as(home: &TestHome, command: Command) -> Self {
        let mut daemon = Self::spawn(home, command);
        let control = Control::of(home);
        eventually("the daemon answers", || {
            let ended = daemon.ended();
            assert!(ended.is_none(), "the daemon ended at its start: {ended:?}");
            let status: Option<Reply<Status>> = control.ask("/v0/status");
            status.filter(|status| status.body.daemon.pid == daemon.pid())
        });
        daemon
    }

    /// [`Self::start_as`] that waits for nothing.
    #[track_caller]
    #[must_use]
    pub fn spawn(home: &TestHome, command: Command) -> Self {
        Self::spawn_with(home, command, "run")
    }

    fn spawn_with(home: &TestHome, mut command: Command, verb: &str) -> Self {
        command.stdin(Stdio::null());
        Self::spawn_given(home, command, verb)
    }

    /// With the standard input that the command has.
    fn spawn_given(home: &TestHome, mut command: Command, verb: &str) -> Self {
        let dir = &home.layout().log_dir;
        // Where no directory can be made, what it says goes nowhere.
        let log = std::fs::create_dir_all(dir)
            .and_then(|()| File::options().create(true).append(true).open(dir.join("stdio.log")));
        let log =
            || log.as_ref().ok().and_then(|file| file.try_clone().ok()).map_or_else(Stdio::null, Stdio::from);
        command.arg(verb).stdout(log()).stderr(log());
        Daemon { child: Owned(command.spawn().unwrap()) }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.0.try_wait().unwrap()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// `kill -9`.
    pub fn kill9(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Stops it from running at all, as a debugger or a frozen machine does.
    pub fn freeze(&self) {
        process::signal(self.pid(), Signal::STOP);
    }

    /// Lets it run on.
    pub fn thaw(&self) {
        process::signal(self.pid(), Signal::CONT);
    }

    /// `ccctl stop`; waits for the end of the process.
    #[track_caller]
    pub fn stop(mut self, home: &TestHome) {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| home.ccctl(&["stop"]));
            // Its parent must take note of its end, or it stays around as a zombie that `stop` waits for.
            self.wait();
            let _ = asked.join().unwrap().ok();
        });
    }

    /// Waits until the process ended by itself.
    #[track_caller]
    pub fn wait(&mut self) {
        let status = eventually("the daemon ends", || self.child.0.try_wait().unwrap());
        assert!(status.success(), "the daemon ended with {status}");
    }
}

/// A running `ccd supervise` with its workers. Killed on drop, all of them.
pub struct Supervised<'a> {
    home: &'a TestHome,
    supervisor: Daemon,
}

impl<'a> Supervised<'a> {
    /// Starts the supervisor in the foreground and waits until its worker answers.
    #[track_caller]
    #[must_use]
    pub fn start(home: &'a TestHome) -> Self {
        Self::start_as(home, home.command(&binary("ccd")))
    }

    /// [`Self::start`] of a command that becomes `ccd`, without its arguments.
    #[track_caller]
    #[must_use]
    pub fn start_as(home: &'a TestHome, command: Command) -> Self {
        Self::spawn(home, command).answering()
    }

    /// [`Self::start_as`] of a command that has a standard input of its own.
    #[track_caller]
    #[must_use]
    pub fn start_given(home: &'a TestHome, command: Command) -> Self {
        let supervisor = Daemon::spawn_given(home, command, "supervise");
        Supervised { home, supervisor }.answering()
    }

    #[track_caller]
    fn answering(mut self) -> Self {
        let supervised = &mut self;
        eventually("a worker answers", || {
            let ended = supervised.supervisor.ended();
            assert!(ended.is_none(), "the supervisor ended at its start: {ended:?}");
            supervision(supervised.home)?.worker.and(supervised.status())
        });
        self
    }

    /// [`Self::start_as`] that waits for nothing.
    #[track_caller]
    #[must_use]
    pub fn spawn(home: &'a TestHome, command: Command) -> Self {
        Supervised { home, supervisor: Daemon::spawn_with(home, command, "supervise") }
    }

    /// The supervisor's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.supervisor.pid()
    }

    /// What the worker that has the home tells.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let status: Option<Reply<Status>> = Control::of(self.home).ask("/v0/status");
        status.map(|reply| reply.body)
    }

    /// The process of the worker that serves.
    #[track_caller]
    #[must_use]
    pub fn worker(&self) -> u32 {
        eventually("a worker serves", || supervision(self.home)?.worker).unsigned_abs()
    }

    /// The supervisor's word on itself.
    #[track_caller]
    #[must_use]
    pub fn supervision(&self) -> Supervision {
        eventually("the supervisor answers", || supervision(self.home))
    }

    /// A signal to the supervisor.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits until the supervisor ended by itself, well.
    #[track_caller]
    pub fn wait(mut self) {
        self.supervisor.wait();
    }

    /// How the supervisor ended, once it has.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        eventually("the supervisor ends", || self.supervisor.ended())
    }

    /// `ccctl stop`; waits for the end of the supervisor.
    #[track_caller]
    pub fn stop(self) {
        let home = self.home;
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| home.ccctl(&["stop"]));
            self.wait();
            let _ = asked.join().unwrap().ok();
        });
    }
}

impl Drop for Supervised<'_> {
    fn drop(&mut self) {
        // The supervisor first: it would start others.
        let workers = supervision(self.home).map(|found| found.workers).unwrap_or_default();
        process::signal(self.pid(), Signal::KILL);
        for pid in workers {
            process::signal(pid.unsigned_abs(), Signal::KILL);
        }
    }
}

/// What the supervisor of a home says of itself; none if there is none.
#[must_use]
pub fn supervision(home: &TestHome) -> Option<Supervision> {
    let mut stream = UnixStream::connect(home.layout().supervisor_socket()).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"status\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}
