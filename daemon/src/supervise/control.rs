//! The supervisor's own socket: status, restart, leave and stop, one line each way, for when no worker can be asked.
//!
//! Our own user alone gets there: the socket is mode 0600 in a directory of mode 0700.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::channel::Lines;

/// Clients at a time.
const MAX: usize = 16;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// How things are, as one line of JSON.
    Status,
    /// A new worker in the old one's place; true: the old one is ended at once.
    Restart(bool),
    /// Room for another supervisor, at once: nothing more is accepted, and workers finish their streams by themselves.
    Leave,
    /// The end of everything; true: at once.
    Stop(bool),
}

impl Request {
    /// From a line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        match line.trim_end() {
            "status" => Some(Request::Status),
            "restart" => Some(Request::Restart(false)),
            "restart now" => Some(Request::Restart(true)),
            "leave" => Some(Request::Leave),
            "stop" => Some(Request::Stop(false)),
            "stop now" => Some(Request::Stop(true)),
            _ => None,
        }
    }
}

struct Client {
    lines: Lines,
    /// Said what it wants, and waits.
    waits: bool,
    until: Instant,
}

/// The socket, and who is connected.
pub(super) struct Control {
    pub(super) listener: UnixListener,
    clients: Vec<Client>,
}

impl Control {
    pub(super) fn new(listener: UnixListener) -> Self {
        Control { listener, clients: Vec::new() }
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.iter().map(|c| c.lines.as_fd()))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.clients.iter().filter(|c| !c.waits).map(|c| c.until).min()
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_waited_for(&self) -> bool {
        self.clients.iter().any(|c| c.waits)
    }

    /// What is newly asked for. Whoever asked for a restart waits for [`Control::finish`].
    pub(super) fn advance(&mut self, now: Instant, mut status: impl FnMut() -> String) -> Vec<Request> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) if self.clients.len() < MAX => {
                    if let Ok(lines) = Lines::new(stream) {
                        self.clients.push(Client { lines, waits: false, until: now + PATIENCE });
                    }
                }
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let mut asked = Vec::new();
        self.clients.retain_mut(|client| {
            let lines = client.lines.read();
            if client.waits {
                return !client.lines.ended;
            }
            let Some(line) = lines.first() else { return !client.lines.ended && now < client.until };
            match Request::parse(line) {
                Some(Request::Status) => {
                    client.lines.write(&format!("{}\n", status()));
                    false
                }
                Some(request @ Request::Restart(_)) => {
                    asked.push(request);
                    client.waits = true;
                    true
                }
                Some(request @ (Request::Leave | Request::Stop(_))) => {
                    asked.push(request);
                    client.lines.write("ok\n");
                    false
                }
                None => {
                    client.lines.write("error what is asked for is not known: is ccctl newer than ccd?\n");
                    false
                }
            }
        });
        asked
    }

    /// Tells everybody who waits.
    pub(super) fn finish(&mut self, outcome: &Result<i32, String>) {
        let line = match outcome {
            Ok(pid) => format!("ok {pid}\n"),
            Err(why) => format!("error {}\n", why.replace(['\n', '\r'], " ")),
        };
        self.clients.retain_mut(|client| {
            if client.waits {
                client.lines.write(&line);
            }
            !client.waits
        });
    }
}
