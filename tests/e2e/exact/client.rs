//! The client's end: a request written byte by byte, sent directly or through the proxy.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ccd_tests::harness::TestHome;
use ccd_tests::harness::raw::{Message, MessageReader, RawHead, bytes, text};
use rustls::ClientConfig;

use super::origin::Stream;

/// How a client gets to the upstream.
#[derive(Clone)]
pub(crate) struct Way {
    address: SocketAddr,
    /// What stands before the path: the token, where the proxy is asked.
    prefix: String,
    tls: Option<Arc<ClientConfig>>,
}

/// A request's body.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// None, and nothing is said of it.
    None,
    /// With its length.
    Sized(Vec<u8>),
    /// In chunks, with trailers.
    Chunked(Vec<Vec<u8>>, Vec<(String, String)>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::None => write!(f, "None"),
            Body::Sized(body) => write!(f, "Sized({})", short(body)),
            Body::Chunked(chunks, trailers) => {
                let chunks: Vec<_> = chunks.iter().map(|piece| short(piece)).collect();
                write!(f, "Chunked({chunks:?}, {trailers:?})")
            }
        }
    }
}

/// What a failure shows of bytes.
pub(crate) fn short(bytes: &[u8]) -> String {
    let start = text(&bytes[..bytes.len().min(40)]);
    format!("{} bytes {start:?}", bytes.len())
}

/// A request, in Latin-1.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Request {
    /// A request with a session's name. Its answer is no model's message, so that it is complete when it is whole.
    pub(crate) fn post(session: &str, body: &[u8]) -> Self {
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Claude-Code-Session-Id", session),
            ("anthropic-version", "2023-06-01"),
        ];
        Request {
            method: "POST",
            path: "/api/any?beta=true".into(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: Body::Sized(body.to_vec()),
        }
    }

    /// Whether the body waits to be asked for.
    pub(crate) fn expects(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("expect"))
    }

    /// The head on this way.
    pub(crate) fn head(&self, way: &Way) -> Vec<u8> {
        let Request { method, path, headers, body } = self;
        let mut head = format!("{method} {}{path} HTTP/1.1\r\nHost: {}\r\n", way.prefix, way.host());
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        match body {
            Body::None => {}
            Body::Sized(body) => head.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]),
            Body::Chunked(..) => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        bytes(&head)
    }

    /// The body with its framing.
    pub(crate) fn body(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Sized(body) => body.clone(),
            Body::Chunked(chunks, trailers) => {
                let mut wire: Vec<u8> = chunks.iter().flat_map(|piece| chunk(piece)).collect();
                wire.extend(last_chunk(trailers));
                wire
            }
        }
    }
}

/// One chunk; nothing for an empty piece, which would be the last one.
pub(crate) fn chunk(piece: &[u8]) -> Vec<u8> {
    if piece.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// The end of a chunked body.
pub(crate) fn last_chunk(trailers: &[(String, String)]) -> Vec<u8> {
    let fields: Vec<_> = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    bytes(&format!("0\r\n{}\r\n", fields.concat()))
}

impl Way {
    pub(crate) fn direct(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        Way { address, prefix: String::new(), tls }
    }

    /// Through a home's proxy.
    #[track_caller]
    pub(crate) fn through(home: &TestHome) -> Self {
        let url = home.base_url();
        let (address, token) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        Way { address: address.parse().unwrap(), prefix: format!("/{token}"), tls: None }
    }

    /// What a `Host` header says.
    pub(crate) fn host(&self) -> String {
        if self.tls.is_some() {
            format!("localhost:{}", self.address.port())
        } else {
            self.address.to_string()
        }
    }

    /// What stands before the path.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = Stream::plain(TcpStream::connect(self.address).unwrap());
        let stream = match (&self.tls, stream) {
            (Some(config), Stream::Plain(tcp)) => Stream::over_tls(tcp, Arc::clone(config)),
            (_, stream) => stream,
        };
        Connection { reader: MessageReader::new(stream), received: Arc::default() }
    }

    /// Sends one request on a connection of its own and reads the answer.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Option<Message> {
        let mut connection = self.connect();
        connection.send(&request.head(self));
        connection.send(&request.body());
        connection.response(request.method)
    }
}

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) reader: MessageReader<Stream>,
    /// What was received so far: one for a head, and one for each byte of a body.
    pub(crate) received: Arc<AtomicU64>,
}

impl Connection {
    /// Writes bytes as they are. A peer that is gone shows when the answer is read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let stream = self.reader.stream();
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    }

    /// The answer to a request of this method; none if the connection ends instead.
    #[track_caller]
    pub(crate) fn response(&mut self, method: &str) -> Option<Message> {
        let received = Arc::clone(&self.received);
        self.reader.response_with(method, &mut |_, piece| {
            received.fetch_add(piece.len().max(1) as u64, Ordering::SeqCst);
        })
    }

    /// One exchange. Where the body waits to be asked for, the answer may come instead; informational responses that
    /// came before the body are those of the message, too.
    #[track_caller]
    pub(crate) fn exchange(&mut self, way: &Way, request: &Request) -> Option<Message> {
        self.send(&request.head(way));
        let mut before: Vec<RawHead> = Vec::new();
        if request.expects() {
            before.push(self.reader.head()?);
            assert_eq!(before[0].status(), 100, "the body is asked for");
        }
        self.send(&request.body());
        let mut message = self.response(request.method)?;
        message.interim.splice(..0, before);
        Some(message)
    }
}
