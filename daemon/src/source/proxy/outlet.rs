//! The client's connection as hyper writes to it, and what else goes out on it.
//!
//! Two things that hyper's server does not offer. A response that upstream cut is to be cut for the client too, but not
//! before the client has what came before: so it is told when everything has left. And informational responses, which
//! hyper cannot send, are written here, whole and in order.
//!
//! Invariant: never between bytes of one message. hyper flushes when its own buffer is empty; and as long as heads
//! are queued ([`ToClient::interim`]), the request that they belong to holds its answer back
//! ([`ToClient::all_written`]). What hyper has written until then are whole messages, and nothing follows before the
//! heads have gone. A head that was begun is finished before anything else.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most heads that wait for a client at a time.
const MOST_HEADS: usize = 8;
/// Most bytes of them.
pub(super) const MOST_BYTES: usize = 16 << 10;

#[derive(Default)]
struct State {
    count: AtomicU64,
    waiting: Mutex<Option<Waker>>,
    /// Whether heads are queued, for those who look often.
    queued: AtomicBool,
    heads: Mutex<VecDeque<Bytes>>,
}

/// What a request knows of its client's [`Outlet`].
#[derive(Clone, Default)]
pub struct ToClient(Arc<State>);

impl ToClient {
    /// Moments so far at which nothing was left to write.
    pub(super) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// Whether there was one after the `since`th; if not, `cx` is woken at the next.
    pub(super) fn is_past(&self, since: u64, cx: &Context<'_>) -> bool {
        *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.count() > since
    }

    /// Sends the head of an informational response. Only for the task of the connection, while it asks for the answer to
    /// the request: hyper flushes afterwards. Beyond 8 heads or 16 KiB that a client has not taken it is dropped.
    pub(super) fn interim(&self, head: Bytes) {
        let mut heads = self.0.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = heads.iter().map(Bytes::len).sum();
        if heads.len() == MOST_HEADS || bytes + head.len() > MOST_BYTES {
            tracing::debug!("an informational response too many was dropped");
            return;
        }
        heads.push_back(head);
        self.0.queued.store(true, Ordering::Release);
    }

    /// Waits until the heads have been written. The answer may not begin before.
    pub(super) async fn all_written(&self) {
        let since = self.count();
        if self.0.queued.load(Ordering::Acquire) {
            let is_past = |cx: &mut Context<'_>| self.is_past(since, cx);
            std::future::poll_fn(|cx| if is_past(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        }
    }

    fn next(&self) -> Option<Bytes> {
        if !self.0.queued.load(Ordering::Acquire) {
            return None;
        }
        let mut heads = self.0.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let next = heads.pop_front();
        self.0.queued.store(!heads.is_empty(), Ordering::Release);
        next
    }

    fn note(&self) {
        self.0.count.fetch_add(1, Ordering::Release);
        if let Some(waiting) = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waiting.wake();
        }
    }
}

/// A client's connection.
pub struct Outlet<T> {
    io: T,
    to_client: ToClient,
    /// What is left of the head that is being written.
    begun: Bytes,
}

impl<T> Outlet<T> {
    /// Writes to `io`, also what `to_client` is given.
    pub fn new(io: T, to_client: ToClient) -> Self {
        Outlet { io, to_client, begun: Bytes::new() }
    }
}

impl<T: AsyncWrite + Unpin> Outlet<T> {
    /// Writes the rest of the head that was begun.
    fn finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.begun.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.begun))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.begun.advance(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Outlet<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Outlet<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.finish(cx))?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.finish(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper calls this when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.finish(cx))?;
            match self.to_client.next() {
                Some(head) => self.begun = head,
                None => break,
            }
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.to_client.note();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.finish(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_waits_is_woken_by_the_next_flush() {
        let to_client = ToClient::default();
        let (near, _far) = tokio::io::duplex(64);
        let mut io = Outlet::new(near, to_client.clone());
        let since = to_client.count();
        let wait =
            std::future::poll_fn(
                |cx| {
                    if to_client.is_past(since, cx) { Poll::Ready(()) } else { Poll::Pending }
                },
            );
        let flush = async {
            io.write_all(b"x").await.unwrap();
            io.flush().await.unwrap();
        };
        tokio::join!(wait, flush);
        assert_eq!(to_client.count(), since + 1);
    }

    /// The answer to `/n`, behind `n` informational ones.
    fn answer(path: &str) -> (Vec<Bytes>, String) {
        let n: usize = path[1..].parse().unwrap();
        let heads = (0..n).map(|n| Bytes::from(format!("HTTP/1.1 103 Of {path}\r\nN: {n}\r\n\r\n")));
        (heads.collect(), format!("{path} {}", "x".repeat(n * 50)))
    }

    /// hyper behind an outlet that takes `room` bytes at a time: all requests at once, and all that comes back.
    async fn pipelined(room: usize, paths: &[&str]) -> String {
        let (near, mut far) = tokio::io::duplex(room);
        let to_client = ToClient::default();
        let outlet = Outlet::new(near, to_client.clone());
        let service = service_fn(move |request: Request<_>| {
            let to_client = to_client.clone();
            async move {
                let _: &hyper::body::Incoming = request.body();
                let (heads, body) = answer(request.uri().path());
                for head in heads {
                    to_client.interim(head);
                }
                to_client.all_written().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            }
        });
        let mut builder = http1::Builder::new();
        let serve = builder.auto_date_header(false).half_close(true);
        let serve = serve.serve_connection(TokioIo::new(outlet), service);
        let ask = async {
            let (mut read, mut write) = tokio::io::split(&mut far);
            let wire =
                paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\n\r\n")).collect::<Vec<_>>().concat();
            let mut got = String::new();
            let send = async {
                write.write_all(wire.as_bytes()).await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(send, async { read.read_to_string(&mut got).await.unwrap() });
            got
        };
        let (served, got) = tokio::join!(serve, ask);
        served.unwrap();
        got
    }

    #[tokio::test]
    async fn informational_heads_stand_whole_before_their_answer_however_little_fits() {
        let paths = ["/0", "/2", "/1", "/0", "/3"];
        let want: Vec<String> = paths
            .iter()
            .map(|path| {
                let (heads, body) = answer(path);
                let heads = String::from_utf8(heads.concat()).unwrap();
                format!("{heads}HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            })
            .collect();
        for room in [1, 7, 30, 64, 4096] {
            let got = tokio::time::timeout(std::time::Duration::from_secs(20), pipelined(room, &paths)).await;
            assert_eq!(got.expect("it gets on"), want.concat(), "{room}");
        }
    }

    #[tokio::test]
    async fn a_head_that_was_begun_is_finished_before_anything_else() {
        let to_client = ToClient::default();
        let (near, mut far) = tokio::io::duplex(4);
        let mut io = Outlet::new(near, to_client.clone());
        to_client.interim(Bytes::from_static(b"informational"));
        let flushed = Pin::new(&mut io).poll_flush(&mut Context::from_waker(Waker::noop()));
        assert!(flushed.is_pending(), "four bytes fit");
        let mut got = vec![0; 20];
        let (written, read) = tokio::join!(io.write_all(b" answer"), far.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        assert_eq!(got, b"informational answer");
    }

    #[tokio::test]
    async fn heads_that_are_too_many_or_too_large_are_dropped() {
        let to_client = ToClient::default();
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let mut io = Outlet::new(near, to_client.clone());
        for n in 0..20 {
            to_client.interim(Bytes::from(format!("{n}.")));
        }
        io.flush().await.unwrap();
        to_client.interim(Bytes::from(vec![b'x'; MOST_BYTES + 1]));
        to_client.interim(Bytes::from(vec![b'y'; MOST_BYTES]));
        to_client.interim(Bytes::from_static(b"z"));
        io.flush().await.unwrap();
        to_client.all_written().await;
        drop(io);
        let mut got = String::new();
        far.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, format!("0.1.2.3.4.5.6.7.{}", "y".repeat(MOST_BYTES)));
    }
}
