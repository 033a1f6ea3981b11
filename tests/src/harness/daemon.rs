//! The daemon as a child of the test.

use std::fs::File;
use std::process::{Command, ExitStatus, Stdio};

use ccd_proto::api::{Reply, Status};
use rustix::process::Signal;

use super::control::Control;
use super::home::{TestHome, binary};
use super::process::{self, Owned};
use super::wait::eventually;

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
    pub fn spawn(home: &TestHome, mut command: Command) -> Self {
        let dir = &home.layout().log_dir;
        // Where no directory can be made, what it says goes nowhere.
        let log = std::fs::create_dir_all(dir)
            .and_then(|()| File::options().create(true).append(true).open(dir.join("stdio.log")));
        let log =
            || log.as_ref().ok().and_then(|file| file.try_clone().ok()).map_or_else(Stdio::null, Stdio::from);
        command.arg("run").stdin(Stdio::null()).stdout(log()).stderr(log());
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
