//! A process that was started with our base URL and keeps it whatever the settings say later, as a session does.

use std::path::Path;
use std::process::{Child, Stdio};

use super::home::TestHome;

/// Such a process. Killed on drop.
pub struct Holding(Child);

impl Holding {
    /// Starts one, with the URL that clients are given now.
    #[track_caller]
    #[must_use]
    pub fn start(home: &TestHome) -> Self {
        let mut command = home.command(Path::new("sleep"));
        command.arg("1000").env("ANTHROPIC_BASE_URL", home.base_url()).stdin(Stdio::null());
        Holding(command.spawn().unwrap())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // Nobody can be told, and the test is over.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
