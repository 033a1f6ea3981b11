//! The daemon in-process, in a home of its own, and small clients of its doors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]
#![allow(dead_code, reason = "not every test needs all of it")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ccd::app::{self, Parts, Running};
use ccd::clock::{Clock, SystemClock};
use ccd::config::Config;
use ccd::startup;
use ccd::telemetry::LogHandle;
use ccd::watch::{Make, of_system};
use ccd_proto::frame::{Header, Kind, REPLY_LEN, Status, decode_reply, trailer};
use ccd_proto::paths::Layout;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// How long something may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is what is wanted.
#[macro_export]
macro_rules! assert_eventually {
    ($condition:expr, $($what:tt)+) => {{
        let start = std::time::Instant::now();
        while !$condition {
            assert!(start.elapsed() < $crate::common::PATIENCE, $($what)+);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }};
}

/// A daemon.
pub(crate) struct Daemon {
    pub(crate) app: Arc<Running>,
    pub(crate) token: String,
    done: JoinHandle<Result<(), startup::StartError>>,
}

/// A home that outlives its daemons.
pub(crate) fn home() -> TempDir {
    tempfile::Builder::new().prefix("ccd").tempdir().unwrap()
}

impl Daemon {
    /// Starts one that sends requests to `upstream`.
    pub(crate) async fn start(home: &Path, upstream: &str) -> Self {
        Self::start_at(home, upstream, Arc::new(SystemClock)).await
    }

    /// As [`Daemon::start`], with another watcher of directories.
    pub(crate) async fn start_watching(home: &Path, watcher: Make) -> Self {
        Self::start_with(home, "http://127.0.0.1:9", Arc::new(SystemClock), watcher).await
    }

    /// As [`Daemon::start`], with another clock.
    pub(crate) async fn start_at(home: &Path, upstream: &str, clock: Arc<dyn Clock>) -> Self {
        Self::start_with(home, upstream, clock, of_system()).await
    }

    async fn start_with(home: &Path, upstream: &str, clock: Arc<dyn Clock>, watcher: Make) -> Self {
        let (home, upstream) = (home.to_owned(), upstream.to_owned());
        let env = move |name: &str| match name {
            "CCD_HOME" => Some(home.clone().into_os_string()),
            "CCD_PROXY_LISTEN" | "CCD_WEB_LISTEN" => Some(OsString::from("127.0.0.1:0")),
            // Absent from the environment, so that the configuration file can change it.
            "CCD_UPSTREAM" => (!upstream.is_empty()).then(|| OsString::from(&upstream)),
            _ => None,
        };
        let layout = Layout::resolve(&env).unwrap();
        let config = Config::load(&layout.config_file, &env).unwrap();
        let prepared = startup::prepare(&layout, &config).unwrap();
        let token = prepared.token.clone();
        let file = layout.config_file.clone();
        let parts = Parts {
            layout,
            config,
            reload: Arc::new(move || Config::load(&file, &env)),
            prepared,
            log: LogHandle::disconnected(),
            manager: "test",
            holders: app::Holders::OWN,
            bypass: None,
            clock,
            zone: jiff::tz::TimeZone::UTC,
            watcher,
        };
        let (tx, rx) = tokio::sync::oneshot::channel();
        let done = tokio::spawn(app::run(parts, |app| assert!(tx.send(Arc::clone(app)).is_ok())));
        Daemon { app: rx.await.unwrap(), token, done }
    }

    /// Ends it, streams first.
    pub(crate) async fn stop(self) {
        self.app.stop(false);
        self.ended().await;
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.done).await.unwrap().unwrap().unwrap();
    }

    /// Asks the control API; the status and the JSON that came.
    pub(crate) async fn api(&self, request: &str) -> (u16, Value) {
        self.api_with(request, "Host: ccd\r\n").await
    }

    pub(crate) async fn api_with(&self, request: &str, headers: &str) -> (u16, Value) {
        let mut s = UnixStream::connect(self.app.layout.control_socket()).await.unwrap();
        let text = format!("{request} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        s.write_all(text.as_bytes()).await.unwrap();
        let (status, body) = read_response(s).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Asks the control API; the bytes that came.
    pub(crate) async fn raw(&self, path: &str) -> Vec<u8> {
        let mut s = UnixStream::connect(self.app.layout.control_socket()).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nHost: ccd\r\nConnection: close\r\n\r\n");
        s.write_all(text.as_bytes()).await.unwrap();
        let (status, body) = read_response(s).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        body
    }

    /// Posts a body to the control API.
    pub(crate) async fn post_to(&self, path: &str, body: &Value) -> Value {
        let mut s = UnixStream::connect(self.app.layout.control_socket()).await.unwrap();
        let body = body.to_string();
        let len = body.len();
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: ccd\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        );
        s.write_all(text.as_bytes()).await.unwrap();
        let (status, body) = read_response(s).await;
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.api(&format!("GET {path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Runs an operation on the store to its end; what its last line says: the result, or the error.
    pub(crate) async fn operate(&self, path: &str) -> Result<Value, Value> {
        let mut s = UnixStream::connect(self.app.layout.control_socket()).await.unwrap();
        let text = format!("POST {path} HTTP/1.1\r\nHost: ccd\r\nConnection: close\r\n\r\n");
        s.write_all(text.as_bytes()).await.unwrap();
        let (_, body) = read_response(s).await;
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let (last, before) = lines.split_last().unwrap();
        assert!(before.iter().all(|line| line["progress"].is_object()), "{before:?}");
        if last["result"].is_object() { Ok(last["result"].clone()) } else { Err(last["error"].clone()) }
    }

    /// Sends raw bytes to the proxy; the status and the body that came.
    pub(crate) async fn proxy(&self, raw: &str) -> (u16, Vec<u8>) {
        let mut s = TcpStream::connect(self.app.proxy_listen).await.unwrap();
        s.write_all(raw.as_bytes()).await.unwrap();
        read_response(s).await
    }

    /// A request as the client sends it.
    pub(crate) async fn post(&self, path: &str, session: &str, body: &str) -> (u16, Vec<u8>) {
        let raw = format!(
            "POST /{}{path} HTTP/1.1\r\nHost: {}\r\nX-Claude-Code-Session-Id: {session}\r\nx-api-key: canary-key\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            self.app.proxy_listen,
            body.len()
        );
        self.proxy(&raw).await
    }

    /// A request under way, and all that comes back until its connection ends, however it ends.
    pub(crate) fn streamed(&self) -> JoinHandle<Vec<u8>> {
        let (listen, token) = (self.app.proxy_listen, self.token.clone());
        tokio::spawn(async move {
            let mut s = TcpStream::connect(listen).await.unwrap();
            let raw = format!(
                "POST /{token}/v1/messages HTTP/1.1\r\nHost: {listen}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
            );
            s.write_all(raw.as_bytes()).await.unwrap();
            let mut all = Vec::new();
            let _ = s.read_to_end(&mut all).await;
            all
        })
    }

    /// Hands a hook event in as the shim does.
    pub(crate) async fn hook(&self, arrived_ns: u64, body: &Value) -> Status {
        let mut s = UnixStream::connect(self.app.layout.hook_socket()).await.unwrap();
        s.write_all(&frame(arrived_ns, body)).await.unwrap();
        let mut reply = [0; REPLY_LEN];
        s.read_exact(&mut reply).await.unwrap();
        decode_reply(&reply).unwrap().0
    }
}

/// A hook event's frame.
pub(crate) fn frame(arrived_ns: u64, body: &Value) -> Vec<u8> {
    let body = body.to_string().into_bytes();
    let body_len = u32::try_from(body.len()).unwrap();
    let header = Header { kind: Kind::Event, body_len, arrived_ns }.encode();
    [&header[..], &body, &trailer(b"claude-code_2-1-329_harness")].concat()
}

async fn read_response(mut s: impl tokio::io::AsyncRead + Unpin) -> (u16, Vec<u8>) {
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, s.read_to_end(&mut all)).await.unwrap().unwrap();
    let split = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(all.len());
    let head = String::from_utf8_lossy(&all[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = all.get(split + 4..).unwrap_or_default().to_vec();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    (status, if chunked { dechunk(&body) } else { body })
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            break;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + len]);
        body = &body[end + 4 + len..];
    }
    out
}

/// An upstream that answers every request with the same bytes, in pieces, with a pause before each.
pub(crate) async fn upstream(pieces: Vec<&'static str>, pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((mut s, _)) = listener.accept().await else { return };
            let pieces = pieces.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 64 << 10];
                // The head and the small body of these tests arrive together or nearly so.
                let n = s.read(&mut head).await.unwrap_or(0);
                if n == 0 {
                    return;
                }
                for piece in pieces {
                    tokio::time::sleep(pause).await;
                    if s.write_all(piece.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}
