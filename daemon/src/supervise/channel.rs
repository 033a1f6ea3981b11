//! The channel between the supervisor and a worker: one word a line, both ways, over a socket pair.
//!
//! Must never block the supervisor: a worker that does not read costs what it was to be told, no more.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Longest line that is listened to.
const MAX_LINE: usize = 16 << 10;

/// What a supervisor tells a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Another one has taken over: accept nothing more, let go of the store, finish your streams, end.
    Drain,
    /// Finish your streams, answering who comes meanwhile; then end.
    Stop,
    /// End at once.
    StopNow,
    /// End by yourself once nobody has used you for so many seconds.
    Retire(u64),
    /// Answer.
    Ping,
    /// About the supervisor itself, as JSON, for `status`.
    Info(String),
}

/// What a worker tells its supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It accepts.
    Ready,
    /// It answers.
    Pong,
    /// It cannot start, and why.
    Error(String),
    /// Another daemon has this home.
    Running(String),
    /// It ends by itself once nobody has used it for so many seconds; requests go there until then, whatever the
    /// configuration says by now.
    Retiring(u64, String),
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

impl Order {
    /// As a line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Order::Drain => "drain\n".into(),
            Order::Stop => "stop\n".into(),
            Order::StopNow => "stop now\n".into(),
            Order::Retire(idle_s) => format!("retire {idle_s}\n"),
            Order::Ping => "ping\n".into(),
            Order::Info(json) => format!("info {}\n", one_line(json)),
        }
    }

    /// From a line; none for one of a later version.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        match line.trim_end() {
            "drain" => Some(Order::Drain),
            "stop" => Some(Order::Stop),
            "stop now" => Some(Order::StopNow),
            "ping" => Some(Order::Ping),
            other => match other.split_once(' ') {
                Some(("info", json)) => Some(Order::Info(json.to_owned())),
                Some(("retire", idle_s)) => idle_s.parse().ok().map(Order::Retire),
                _ => None,
            },
        }
    }
}

impl Word {
    /// As a line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Word::Ready => "ready\n".into(),
            Word::Pong => "pong\n".into(),
            Word::Error(why) => format!("error {}\n", one_line(why)),
            Word::Running(who) => format!("running {}\n", one_line(who)),
            Word::Retiring(idle_s, upstream) => format!("retiring {idle_s} {}\n", one_line(upstream)),
        }
    }

    /// From a line; none for one of a later version.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        match line.trim_end() {
            "ready" => Some(Word::Ready),
            "pong" => Some(Word::Pong),
            other => match other.split_once(' ') {
                Some(("error", why)) => Some(Word::Error(why.to_owned())),
                Some(("running", who)) => Some(Word::Running(who.to_owned())),
                Some(("retiring", rest)) => {
                    let (idle_s, upstream) = rest.split_once(' ')?;
                    Some(Word::Retiring(idle_s.parse().ok()?, upstream.to_owned()))
                }
                _ => None,
            },
        }
    }
}

/// Lines from a stream that does not block.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// The other end is gone.
    pub ended: bool,
}

impl Lines {
    /// Makes the stream one that does not block.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Lines { stream, buffer: Vec::new(), ended: false })
    }

    /// A pair: ours, and what the other process is given.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Lines::new(ours)?, theirs.into()))
    }

    /// The lines that have come.
    pub fn read(&mut self) -> Vec<String> {
        let mut piece = [0; 4096];
        while !self.ended {
            match self.stream.read(&mut piece) {
                Ok(0) => self.ended = true,
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.ended = true,
            }
            if self.buffer.len() > MAX_LINE && !self.buffer.contains(&b'\n') {
                self.ended = true;
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let rest = self.buffer.split_off(end + 1);
            let line = std::mem::replace(&mut self.buffer, rest);
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        lines
    }

    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn is_amid_line(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Writes a line, if there is room for it: lines are short, and nobody waits here.
    pub fn write(&mut self, line: &str) -> bool {
        match self.stream.write(line.as_bytes()) {
            Ok(n) if n == line.len() => true,
            // Half a line would spoil the next one.
            Ok(1..) => {
                self.ended = true;
                false
            }
            _ => false,
        }
    }
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_come_whole_and_the_end_is_seen() {
        let (mut ours, theirs) = Lines::pair().unwrap();
        let mut theirs = UnixStream::from(theirs);
        theirs.write_all(b"ready\npo").unwrap();
        assert_eq!(ours.read(), ["ready"]);
        assert!(ours.is_amid_line());
        theirs.write_all(b"ng\n").unwrap();
        assert_eq!(ours.read(), ["pong"]);
        drop(theirs);
        assert!(ours.read().is_empty() && ours.ended);
        assert!(!ours.write("ping\n"));
    }

    proptest! {
        #[test]
        fn words_and_orders_come_back_as_they_were(text in "[^\r\n]{0,80}[^\\s]") {
            for word in [Word::Ready, Word::Pong, Word::Error(text.clone()), Word::Running(text.clone()), Word::Retiring(7, text.clone())] {
                prop_assert_eq!(Word::parse(&word.line()), Some(word));
            }
            for order in [Order::Drain, Order::Stop, Order::StopNow, Order::Ping, Order::Retire(3), Order::Info(text)] {
                prop_assert_eq!(Order::parse(&order.line()), Some(order));
            }
        }

        #[test]
        fn no_line_breaks_the_channel(line in ".*") {
            let _ = (Word::parse(&line), Order::parse(&line));
            prop_assert_eq!(Word::Error(line).line().matches('\n').count(), 1);
        }
    }
}
