//! The end of `NOTIFY_SOCKET` that systemd has: hears what a service says of itself.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::home::TestHome;

/// A datagram socket in a home.
#[derive(Debug)]
pub struct Notified {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Vec<String>,
}

impl Notified {
    /// One that nobody writes to yet.
    #[track_caller]
    #[must_use]
    pub fn of(home: &TestHome) -> Self {
        let path = home.user().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Notified { socket, path, heard: Vec::new() }
    }

    /// What the service finds in `NOTIFY_SOCKET`.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Every assignment that has come so far, in order, whichever datagram it was in.
    pub fn heard(&mut self) -> &[String] {
        let mut piece = [0; 4096];
        while let Ok(n) = self.socket.recv(&mut piece) {
            self.heard.extend(String::from_utf8_lossy(&piece[..n]).lines().map(str::to_owned));
        }
        &self.heard
    }

    /// How often exactly this has come.
    pub fn count(&mut self, assignment: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == assignment).count()
    }

    /// Whether something that begins like this has come.
    pub fn has(&mut self, start: &str) -> bool {
        self.heard().iter().any(|heard| heard.starts_with(start))
    }
}
