//! Lets a body know when what it gave has left for the client.
//!
//! Needed for one thing: a response that upstream cut is to be cut for the client too, but not before the client has
//! what came before.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Default)]
struct State {
    count: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

/// Counts the moments at which nothing was left to write.
#[derive(Clone, Default)]
pub struct Flushed(Arc<State>);

impl Flushed {
    /// Moments so far.
    pub(super) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// Whether there was one after the `since`th; if not, `cx` is woken at the next.
    pub(super) fn is_past(&self, since: u64, cx: &Context<'_>) -> bool {
        *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.count() > since
    }

    fn note(&self) {
        self.0.count.fetch_add(1, Ordering::Release);
        if let Some(waiting) = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waiting.wake();
        }
    }
}

/// A client's connection that tells when it has been flushed.
pub struct Watched<T> {
    io: T,
    flushed: Flushed,
}

impl<T> Watched<T> {
    /// Tells `flushed`.
    pub fn new(io: T, flushed: Flushed) -> Self {
        Watched { io, flushed }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper calls this when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.flushed.note();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_woken_by_the_next_flush() {
        let flushed = Flushed::default();
        let (near, _far) = tokio::io::duplex(64);
        let mut io = Watched::new(near, flushed.clone());
        let since = flushed.count();
        let wait =
            std::future::poll_fn(
                |cx| {
                    if flushed.is_past(since, cx) { Poll::Ready(()) } else { Poll::Pending }
                },
            );
        let flush = async {
            io.write_all(b"x").await.unwrap();
            io.flush().await.unwrap();
        };
        tokio::join!(wait, flush);
        assert_eq!(flushed.count(), since + 1);
    }
}
