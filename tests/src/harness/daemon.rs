//! The daemon as a child of the test.

use std::fs::File;
use std::process::Stdio;

use rustix::process::Signal;

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
        let log = home.layout().log_dir.join("stdio.log");
        std::fs::create_dir_all(home.layout().log_dir).unwrap();
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = home.command(&binary("ccd"));
        command.arg("run").stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut daemon = Daemon { child: Owned(command.spawn().unwrap()) };
        eventually("the daemon answers", || {
            let ended = daemon.child.0.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended at its start: {ended:?}");
            home.status().filter(|status| status.daemon.pid == daemon.pid())
        });
        daemon
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
