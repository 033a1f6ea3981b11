//! HTTP/1.1 messages read from any stream of bytes without a loss: every header with its case, in its place, with
//! its bytes; every informational response, the trailers, and how the message ended. For tests that compare what two
//! ways deliver.
//!
//! Text is Latin-1, one character per byte, so that any byte is shown and none is changed.

use std::io::{ErrorKind, Read};

/// The text of bytes, one character each.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of a [`text`]; a character beyond Latin-1 becomes `?`.
#[must_use]
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where its framing says.
    Whole,
    /// By the end or the reset of the connection before that.
    Cut,
    /// With the connection, which is where its framing says it ends.
    Closed,
}

/// Start line and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHead {
    /// Request line or status line.
    pub start: String,
    /// Headers in order; names as they were written, values without the white space around them.
    pub headers: Vec<(String, String)>,
}

impl RawHead {
    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A status line's code.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap()
    }

    /// Headers that concern the two ends and not just this connection: in order, with their case.
    #[must_use]
    pub fn end_to_end(&self) -> Vec<(String, String)> {
        const HOP_BY_HOP: [&str; 7] =
            ["connection", "host", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
        let of_connection = |name: &str| HOP_BY_HOP.contains(&name.to_ascii_lowercase().as_str());
        self.headers.iter().filter(|(name, _)| !of_connection(name)).cloned().collect()
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Informational responses that came before it.
    pub interim: Vec<RawHead>,
    /// Start line and headers.
    pub head: RawHead,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Headers behind the body, in order.
    pub trailers: Vec<(String, String)>,
    /// How it ended.
    pub end: End,
}

enum Framing {
    None,
    Length(u64),
    Chunked,
    Close,
}

/// Reads messages from one side of a connection.
pub struct MessageReader<S> {
    stream: S,
    buffer: Vec<u8>,
    at: usize,
    piece: Box<[u8]>,
    keep: bool,
}

/// The connection ended.
#[derive(Debug)]
enum Ended {
    /// As its other side meant it.
    Properly,
    /// By a reset, or over TLS without a farewell.
    Broken,
}

impl<S: Read> MessageReader<S> {
    /// Reads from `stream`, whose read timeout bounds every wait.
    #[must_use]
    pub fn new(stream: S) -> Self {
        MessageReader { stream, buffer: Vec::new(), at: 0, piece: vec![0; 64 << 10].into(), keep: true }
    }

    /// Keeps no bodies: who reads 100 MB looks at the pieces as they come.
    pub fn forget_bodies(&mut self) {
        self.keep = false;
    }

    /// The stream, to write to.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream itself; what was read and not taken is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The next request; none if the connection ends instead.
    #[track_caller]
    pub fn request(&mut self) -> Option<Message> {
        let head = self.head()?;
        Some(self.request_body(head))
    }

    /// The body of the request whose head was read.
    #[track_caller]
    pub fn request_body(&mut self, head: RawHead) -> Message {
        self.request_body_with(head, &mut |_, _| ())
    }

    /// [`Self::request_body`], every piece shown to `each` as it comes, with the stream.
    #[track_caller]
    pub fn request_body_with(&mut self, head: RawHead, each: &mut dyn FnMut(&mut S, &[u8])) -> Message {
        let framing = framing(&head).unwrap_or(Framing::None);
        self.rest(Vec::new(), head, &framing, each)
    }

    /// The response to a request of this method; none if the connection ends instead.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Option<Message> {
        self.response_with(method, &mut |_, _| ())
    }

    /// [`Self::response`]; `each` is shown nothing when the head has come, then every piece of the body as it comes,
    /// always with the stream.
    #[track_caller]
    pub fn response_with(&mut self, method: &str, each: &mut dyn FnMut(&mut S, &[u8])) -> Option<Message> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.head()?;
            if (100..200).contains(&head.status()) && head.status() != 101 {
                interim.push(head);
            } else {
                break head;
            }
        };
        each(&mut self.stream, &[]);
        let bodiless = method == "HEAD" || matches!(head.status(), 101 | 204 | 304);
        let framing = if bodiless { Framing::None } else { framing(&head).unwrap_or(Framing::Close) };
        Some(self.rest(interim, head, &framing, each))
    }

    /// A head; none if the connection ends before it is whole.
    #[track_caller]
    pub fn head(&mut self) -> Option<RawHead> {
        let end = loop {
            if let Some(at) = self.buffer[self.at..].windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.fill().ok()?;
        };
        let head = text(&self.buffer[self.at..self.at + end]);
        self.at += end + 4;
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        Some(RawHead { start, headers: lines.map(field).collect() })
    }

    /// What comes next, as it is; nothing if the connection ends instead.
    #[track_caller]
    pub fn some(&mut self) -> Vec<u8> {
        if self.at == self.buffer.len() {
            let _ = self.fill();
        }
        let some = self.buffer.split_off(self.at);
        self.buffer.clear();
        self.at = 0;
        some
    }

    /// Everything until the connection ends.
    #[track_caller]
    pub fn to_end(&mut self) -> Vec<u8> {
        while self.fill().is_ok() {}
        self.buffer[self.at..].to_vec()
    }

    fn rest(
        &mut self,
        interim: Vec<RawHead>,
        head: RawHead,
        framing: &Framing,
        each: &mut dyn FnMut(&mut S, &[u8]),
    ) -> Message {
        let mut message = Message { interim, head, body: Vec::new(), trailers: Vec::new(), end: End::Whole };
        let ended = match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.body(*length, &mut message.body, each),
            Framing::Chunked => self.chunks(&mut message, each),
            Framing::Close => {
                let ended = self.body(u64::MAX, &mut message.body, each);
                message.end = End::Closed;
                ended.or_else(|end| if matches!(end, Ended::Properly) { Ok(()) } else { Err(end) })
            }
        };
        if ended.is_err() {
            message.end = End::Cut;
        }
        message
    }

    fn chunks(&mut self, message: &mut Message, each: &mut dyn FnMut(&mut S, &[u8])) -> Result<(), Ended> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk's size: {line:?}"));
            if size == 0 {
                break;
            }
            self.body(size, &mut message.body, each)?;
            assert_eq!(self.line()?, "", "a chunk's end");
        }
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            message.trailers.push(field(&line));
        }
    }

    fn body(
        &mut self,
        mut left: u64,
        body: &mut Vec<u8>,
        each: &mut dyn FnMut(&mut S, &[u8]),
    ) -> Result<(), Ended> {
        while left > 0 {
            if self.at == self.buffer.len() {
                self.fill()?;
            }
            let there = self.buffer.len() - self.at;
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(there);
            let piece = &self.buffer[self.at..self.at + n];
            if self.keep {
                body.extend_from_slice(piece);
            }
            each(&mut self.stream, piece);
            self.at += n;
            left -= n as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String, Ended> {
        loop {
            if let Some(end) = self.buffer[self.at..].windows(2).position(|two| two == b"\r\n") {
                let line = text(&self.buffer[self.at..self.at + end]);
                self.at += end + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    #[track_caller]
    fn fill(&mut self) -> Result<(), Ended> {
        self.buffer.drain(..self.at);
        self.at = 0;
        loop {
            match self.stream.read(&mut self.piece) {
                Ok(0) => return Err(Ended::Properly),
                Ok(n) => {
                    self.buffer.extend_from_slice(&self.piece[..n]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("nothing came in time; so far: {:?}", text(&self.buffer))
                }
                Err(_) => return Err(Ended::Broken),
            }
        }
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
}

fn framing(head: &RawHead) -> Option<Framing> {
    if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Some(Framing::Chunked);
    }
    head.header("content-length").map(|length| Framing::Length(length.parse().unwrap()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_message_is_lost() {
        let wire = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200  Just so\r\nA:  b \r\na: \u{e9}\r\n\
                    Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nHTTP/1.1 304 N\r\n\
                    Content-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab";
        let wire = bytes(wire);
        let mut reader = MessageReader::new(wire.as_slice());
        let first = reader.response("GET").unwrap();
        assert_eq!(first.interim[0].status(), 103);
        assert_eq!(first.head.start, "HTTP/1.1 200  Just so");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(first.head.end_to_end(), [pair("A", "b"), pair("a", "\u{e9}")]);
        assert_eq!((first.body.as_slice(), first.end), (&b"abc"[..], End::Whole));
        assert_eq!(first.trailers, [pair("T", "1")]);
        assert_eq!(reader.response("GET").unwrap().end, End::Whole, "a 304 has no body");
        let cut = reader.response("GET").unwrap();
        assert_eq!((cut.body.as_slice(), cut.end), (&b"ab"[..], End::Cut));
        assert!(reader.response("GET").is_none());
    }
}
