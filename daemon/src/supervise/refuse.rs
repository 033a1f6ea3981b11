//! The last rung: no worker can run, and every request is answered with 503, so that clients try again soon instead of
//! waiting for minutes at a port that says nothing.
//!
//! Must never look at what it is sent beyond finding the end of a request's head, hold more than a few connections, or
//! wait for any of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// Connections at a time; further ones wait in the kernel's queue.
const MAX: usize = 64;
/// Longest head that is waited for.
const MAX_HEAD: usize = 64 << 10;
/// How long a head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// How long, and how much, a client may go on sending after its answer: a connection closed earlier would be reset, and
/// the answer lost with it.
const LINGER: Duration = Duration::from_secs(2);
const MAX_REST: usize = 4 << 20;
/// How long nothing is accepted after that failed: the system is out of something, files most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers in place of a worker.
pub(super) struct Refuser {
    answer: Vec<u8>,
    connections: Vec<Connection>,
    paused: Option<Instant>,
}

struct Connection {
    stream: TcpStream,
    head: Vec<u8>,
    answered: bool,
    /// What is left to be written.
    answer: Vec<u8>,
    rest: usize,
    until: Instant,
}

impl Refuser {
    pub(super) fn new() -> Self {
        Refuser { answer: answer(), connections: Vec::new(), paused: None }
    }

    /// Whether another connection may be accepted.
    pub(super) fn has_room(&self) -> bool {
        self.connections.len() < MAX && self.paused.is_none()
    }

    /// Accepts what waits.
    pub(super) fn accept(&mut self, listener: &TcpListener, now: Instant) {
        self.paused = self.paused.filter(|until| now < *until);
        while self.has_room() {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                Err(_) => {
                    self.paused = Some(now + PAUSE);
                    return;
                }
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.connections.push(Connection {
                stream,
                head: Vec::new(),
                answered: false,
                answer: Vec::new(),
                rest: 0,
                until: now + HEAD_PATIENCE,
            });
        }
    }

    /// Ends what waits at another socket of ours: whoever came there goes on as if nobody listened.
    pub(super) fn turn_away(&mut self, listener: &UnixListener, now: Instant) {
        self.paused = self.paused.filter(|until| now < *until);
        while self.paused.is_none() {
            match listener.accept() {
                Ok(connection) => drop(connection),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                Err(_) => self.paused = Some(now + PAUSE),
            }
        }
    }

    /// What to poll for reading.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.connections.iter().map(|c| c.stream.as_fd())
    }

    /// When to look at the connections next, whatever comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connections.iter().map(|c| c.until).chain(self.paused).min()
    }

    /// Goes on with every connection, and lets go of those that are done.
    pub(super) fn advance(&mut self, now: Instant) {
        let answer = &self.answer;
        self.connections.retain_mut(|connection| connection.advance(answer, now));
    }
}

impl Connection {
    /// False: it is done.
    fn advance(&mut self, answer: &[u8], now: Instant) -> bool {
        let mut piece = [0; 16 << 10];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(n) if self.answered => {
                    self.rest += n;
                    if self.rest > MAX_REST {
                        return false;
                    }
                }
                Ok(n) => {
                    self.head.extend_from_slice(&piece[..n]);
                    let whole = self.head.windows(4).any(|four| four == b"\r\n\r\n");
                    if whole || self.head.len() > MAX_HEAD {
                        self.head = Vec::new();
                        self.answered = true;
                        self.answer = answer.to_vec();
                        self.until = now + LINGER;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if !self.answer.is_empty() {
            // Shorter than any socket's buffer; what does not fit is not waited for.
            let written = self.stream.write(&self.answer).unwrap_or(0);
            self.answer.clear();
            if written == 0 || self.stream.shutdown(Shutdown::Write).is_err() {
                return false;
            }
        }
        now < self.until
    }
}

/// The answer, in the shape of the API's own errors. Anybody on this machine may get it: it does not tell the reason.
fn answer() -> Vec<u8> {
    let message = "ccd cannot relay requests at the moment; `ccctl status` says why";
    let body = serde_json::json!({
        "type": "error",
        "error": {"type": "overloaded_error", "message": message},
    })
    .to_string();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nx-should-retry: true\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (TcpListener, Refuser) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        (listener, Refuser::new())
    }

    fn turn(listener: &TcpListener, refuser: &mut Refuser) {
        refuser.accept(listener, Instant::now());
        refuser.advance(Instant::now());
    }

    #[test]
    fn a_request_is_answered_and_its_body_may_still_come() {
        let (listener, mut refuser) = world();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n").unwrap();
        turn(&listener, &mut refuser);
        client.write_all(b"\r\n01234").unwrap();
        let mut text = String::new();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut text = String::new();
                client.read_to_string(&mut text).map(|_| text)
            });
            while !reader.is_finished() {
                turn(&listener, &mut refuser);
            }
            text = reader.join().unwrap().unwrap();
        });
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 1\r\n"), "{head}");
        assert!(head.contains("x-should-retry: true"));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["type"], "error");
        assert!(body["error"]["message"].as_str().unwrap().contains("ccctl status"));
        drop(client);
        while refuser.fds().count() > 0 {
            turn(&listener, &mut refuser);
        }
    }

    #[test]
    fn no_more_than_so_many_are_held_and_the_slow_are_let_go() {
        let (listener, mut refuser) = world();
        let clients: Vec<_> =
            (0..MAX + 10).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
        turn(&listener, &mut refuser);
        assert_eq!(refuser.fds().count(), MAX);
        assert!(!refuser.has_room());
        refuser.advance(Instant::now() + HEAD_PATIENCE);
        assert_eq!(refuser.fds().count(), 0);
        drop(clients);
    }
}
