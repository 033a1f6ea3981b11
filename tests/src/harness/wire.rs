//! HTTP/1.1 at the level of bytes, for both ends of the proxy: what polite libraries hide (header order, chunk
//! boundaries, a connection cut in the middle) is what these tests are about.
//!
//! Lock-step by design: a test holds both ends in one thread, so that "the client had the first event before
//! the second was sent" is an order of statements, not a matter of timing.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::wait::{PATIENCE, eventually};

/// The upstream's end.
pub struct Upstream {
    listener: TcpListener,
}

impl Default for Upstream {
    fn default() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Upstream { listener }
    }
}

impl Upstream {
    /// An upstream on a free loopback port.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection.
    #[track_caller]
    #[must_use]
    pub fn accept(&self) -> Wire {
        eventually("the proxy connects to its upstream", || self.try_accept())
    }

    /// The next connection, if one is waiting.
    #[must_use]
    pub fn try_accept(&self) -> Option<Wire> {
        match self.listener.accept() {
            Ok((stream, _)) => Some(Wire::new(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("accept: {error}"),
        }
    }
}

/// A message's start line and headers, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Request line or status line.
    pub start: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A status line's code.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap()
    }

    /// Headers that concern the two ends and not just this connection, in order.
    #[must_use]
    pub fn end_to_end(&self) -> Vec<(String, String)> {
        const HOP_BY_HOP: [&str; 5] = ["connection", "host", "keep-alive", "transfer-encoding", "te"];
        self.headers.iter().filter(|(name, _)| !HOP_BY_HOP.contains(&name.as_str())).cloned().collect()
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// Where its framing says.
    Whole,
    /// The connection ended before.
    Cut,
}

enum Framing {
    Length(usize),
    Chunked { left: usize },
    Done,
}

/// One connection.
pub struct Wire {
    stream: TcpStream,
    /// What was read; all before `taken` is done with.
    buffer: Vec<u8>,
    taken: usize,
    /// What a single read fills.
    piece: Box<[u8]>,
    framing: Framing,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire { stream, buffer: Vec::new(), taken: 0, piece: vec![0; 64 << 10].into(), framing: Framing::Done }
    }

    /// Connects to `address:port`.
    #[track_caller]
    #[must_use]
    pub fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// [`Self::connect`] to where nobody may be.
    pub fn try_connect(address: &str) -> std::io::Result<Self> {
        let address: SocketAddr = address.parse().unwrap();
        TcpStream::connect(address).map(Wire::new)
    }

    /// Writes bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Writes bytes as they are, to a peer that may be gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Writes one chunk of a chunked body.
    #[track_caller]
    pub fn send_chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    /// Reads a request's or response's head and prepares for its body.
    #[track_caller]
    pub fn read_head(&mut self) -> Head {
        self.next_head().expect("the connection ended where a head was to come")
    }

    /// Waits for as long as it takes, for the end of a connection that serves many requests.
    #[must_use]
    pub fn without_patience(self) -> Self {
        self.stream.set_read_timeout(None).unwrap();
        self
    }

    /// [`Self::read_head`]; none if the connection ends instead.
    #[track_caller]
    pub fn next_head(&mut self) -> Option<Head> {
        let head = self.try_head();
        assert!(
            head.is_some() || self.pending().is_empty(),
            "the connection ended within a head: {:?}",
            self.text()
        );
        head
    }

    /// [`Self::next_head`] from a peer that may be killed in the middle of it.
    pub fn try_head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = self.pending().windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if self.fill() == 0 {
                return None;
            }
        };
        let head = self.take(end + 4);
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let head = Head { start, headers };
        self.framing = match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some("chunked"), _) => Framing::Chunked { left: 0 },
            (_, Some(length)) => Framing::Length(length.parse().unwrap()),
            _ => Framing::Done,
        };
        Some(head)
    }

    /// Reads exactly `n` bytes of the body, whatever its framing.
    #[track_caller]
    pub fn read_body(&mut self, n: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < n {
            match self.read_some(n - body.len()) {
                Ok(piece) => body.extend(piece),
                Err(end) => panic!("the body ended ({end:?}) after {} of {n} bytes", body.len()),
            }
        }
        body
    }

    /// Reads the rest of the body.
    pub fn read_rest(&mut self) -> (Vec<u8>, BodyEnd) {
        let mut body = Vec::new();
        loop {
            match self.read_some(usize::MAX) {
                Ok(piece) => body.extend(piece),
                Err(end) => return (body, end),
            }
        }
    }

    /// Waits until the peer closes the connection.
    #[track_caller]
    pub fn read_close(&mut self) {
        while self.fill() > 0 {}
    }

    /// What is there of the body, at most `max` bytes; an error is how it ended.
    pub fn read_some(&mut self, max: usize) -> Result<Vec<u8>, BodyEnd> {
        loop {
            let left = match &mut self.framing {
                Framing::Done | Framing::Length(0) => return Err(BodyEnd::Whole),
                Framing::Chunked { left: 0 } => {
                    self.next_chunk()?;
                    continue;
                }
                Framing::Length(left) | Framing::Chunked { left } => left,
            };
            let n = (self.buffer.len() - self.taken).min(max).min(*left);
            if n > 0 {
                *left -= n;
                return Ok(self.take(n));
            }
            if self.fill() == 0 {
                return Err(BodyEnd::Cut);
            }
        }
    }

    /// Reads the line before a chunk's bytes; after the last chunk, also the trailers.
    fn next_chunk(&mut self) -> Result<(), BodyEnd> {
        let mut line = self.read_line()?;
        if line.is_empty() {
            // The line break that ends the chunk before.
            line = self.read_line()?;
        }
        let left = usize::from_str_radix(&line, 16).unwrap();
        if left > 0 {
            self.framing = Framing::Chunked { left };
            return Ok(());
        }
        while !self.read_line()?.is_empty() {}
        self.framing = Framing::Done;
        Ok(())
    }

    fn read_line(&mut self) -> Result<String, BodyEnd> {
        loop {
            if let Some(end) = self.pending().windows(2).position(|w| w == b"\r\n") {
                let mut line = self.take(end + 2);
                line.truncate(end);
                return Ok(String::from_utf8(line).unwrap());
            }
            if self.fill() == 0 {
                return Err(BodyEnd::Cut);
            }
        }
    }

    fn pending(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        self.taken += n;
        self.buffer[self.taken - n..self.taken].to_vec()
    }

    /// Reads what is there into the buffer; 0: the connection ended.
    fn fill(&mut self) -> usize {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        match self.stream.read(&mut self.piece) {
            Ok(n) => {
                self.buffer.extend_from_slice(&self.piece[..n]);
                n
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came within {PATIENCE:?}; so far: {:?}", self.text())
            }
            // Reset by the peer: an end like any other.
            Err(_) => 0,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.pending()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Wire, Wire) {
        let upstream = Upstream::new();
        let near = Wire::connect(upstream.url().strip_prefix("http://").unwrap());
        (near, upstream.accept())
    }

    #[test]
    fn a_chunked_body_is_read_piece_by_piece_and_the_next_message_follows() {
        let (mut near, mut far) = pair();
        near.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n");
        near.send_chunk("hello ");
        let head = far.read_head();
        assert_eq!((head.status(), head.header("a")), (200, Some("b")));
        assert_eq!(head.end_to_end(), [("a".to_owned(), "b".to_owned())]);
        assert_eq!(far.read_body(3), b"hel");
        near.send_chunk("world");
        near.send("0\r\nTrailer: x\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
        assert_eq!(far.read_rest(), (b"lo world".to_vec(), BodyEnd::Whole));
        assert_eq!(far.read_head().status(), 404);
        assert_eq!(far.read_rest(), (b"no".to_vec(), BodyEnd::Whole));
    }

    #[test]
    fn a_body_without_its_end_is_cut() {
        for framing in ["Transfer-Encoding: chunked\r\n\r\n5\r\nab", "Content-Length: 5\r\n\r\nab"] {
            let (mut near, mut far) = pair();
            near.send(format!("HTTP/1.1 200 OK\r\n{framing}"));
            drop(near);
            let _ = far.read_head();
            assert_eq!(far.read_rest(), (b"ab".to_vec(), BodyEnd::Cut));
        }
    }
}
