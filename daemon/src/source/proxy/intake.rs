//! The intake: a client's connection as hyper sees it. It lets whole, checked requests through, one after the other, and
//! ends connections that keep us waiting.
//!
//! Must never alter a byte of what it lets through, hold back a byte of a body, or limit how long an answer takes. Until
//! a head is whole and [`framing`] has found it sound, hyper sees nothing of it; of what comes behind a request's body
//! neither. In place of a refused head hyper is given a request of ours, so that the refusal takes its turn behind
//! answers that are still being written.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::poll_read_buf;

use super::framing::{self, Body, Refusal};
use super::limits::Limits;

/// What hyper gets to see of a refused request; the service answers it by what [`Turn::refused`] says.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
/// Bytes read at a time where a head is expected.
const PIECE: usize = 8 << 10;
/// Most bytes of a refused client that are read and dropped.
const MAX_DROPPED: usize = 1 << 20;

/// What the intake and the service of one connection share.
#[derive(Debug)]
pub struct Turns(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    /// Of the requests that were let through and the service has not seen yet.
    verdicts: VecDeque<Option<Refusal>>,
    /// Requests let through and not answered whole.
    busy: usize,
    /// Since when there are none.
    resting: Instant,
}

impl Turns {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Turns(Mutex::new(Waiting { verdicts: VecDeque::new(), busy: 0, resting: Instant::now() })))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, verdict: Option<Refusal>) {
        let mut waiting = self.lock();
        waiting.verdicts.push_back(verdict);
        waiting.busy += 1;
    }

    /// The next request's turn; to be called once for each request, in their order.
    #[must_use]
    pub fn next(self: &Arc<Self>) -> Turn {
        Turn { refused: self.lock().verdicts.pop_front().flatten(), turns: Arc::clone(self) }
    }

    /// Since when no request is under way.
    #[must_use]
    pub fn resting(&self) -> Option<Instant> {
        let waiting = self.lock();
        (waiting.busy == 0).then_some(waiting.resting)
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    refused: Option<Refusal>,
    turns: Arc<Turns>,
}

impl Turn {
    /// Why it is to be refused, if it is.
    #[must_use]
    pub fn refused(&self) -> Option<Refusal> {
        self.refused
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.turns.lock();
        waiting.busy = waiting.busy.saturating_sub(1);
        waiting.resting = Instant::now();
    }
}

enum State {
    /// Before or in a request's head.
    Head,
    /// In its body.
    Body(Body),
    /// Behind a refused head: nothing is read any more.
    Refused,
}

/// The intake in front of a connection.
pub struct Intake<I> {
    io: I,
    limits: Limits,
    turns: Arc<Turns>,
    state: State,
    /// Read from the client, not yet let through.
    held: BytesMut,
    /// How much of `held` was looked at for the end of a head.
    seen: usize,
    /// Checked, on its way to hyper.
    through: Bytes,
    /// Since when a head is coming, or the body is waited for.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes dropped at the end.
    dropped: usize,
    shut: bool,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Intake<I> {
    /// An intake in front of `io`.
    #[must_use]
    pub fn new(io: I, limits: Limits) -> Self {
        Intake {
            io,
            limits,
            turns: Turns::new(),
            state: State::Head,
            held: BytesMut::new(),
            seen: 0,
            through: Bytes::new(),
            since: None,
            timer: None,
            dropped: 0,
            shut: false,
        }
    }

    /// The connection behind it, of which nothing was read yet.
    #[must_use]
    pub fn into_inner(self) -> I {
        self.io
    }

    /// What it shares with the service.
    #[must_use]
    pub fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Whether `limit` is over since `since`; if not, the task is woken when it is.
    fn is_over(&mut self, cx: &mut Context<'_>, since: Instant, limit: Duration) -> bool {
        let end = since + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// Lets through what is held, if it is a whole head, and what is there of its body.
    fn check(&mut self) {
        while self.seen == 0 && self.held.starts_with(b"\r\n") {
            // Old clients send line breaks behind a body; servers ought to skip them.
            self.held.advance(2);
        }
        match framing::head(&self.held, &mut self.seen, &self.limits) {
            Ok(None) => {}
            Ok(Some((length, mut body))) => {
                let rest = &self.held[length..];
                let Ok(taken) = body.take(rest, self.limits.body_bytes) else {
                    return self.refuse(Refusal::Malformed);
                };
                self.turns.push(None);
                self.through = self.held.split_to(length + taken).freeze();
                self.state = if body.is_done() { State::Head } else { State::Body(body) };
                (self.seen, self.since) = (0, None);
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.turns.push(Some(refusal));
        self.held = BytesMut::new();
        self.through = Bytes::from_static(STAND_IN);
        self.state = State::Refused;
    }

    /// Reads on where a head is expected: `true` if there is something new, `false` at the end of the connection.
    fn read_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        self.held.reserve(PIECE);
        match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.held) {
            // Whoever goes in the middle of a head wants no answer.
            Poll::Ready(read) => return Poll::Ready(read.map(|n| n > 0)),
            Poll::Pending => {}
        }
        let Some(resting) = self.turns.resting() else { return Poll::Pending };
        if self.held.is_empty() {
            // A connection at rest holds nothing.
            self.held = BytesMut::new();
            self.since = None;
            return if self.is_over(cx, resting, self.limits.idle) {
                Poll::Ready(Ok(false))
            } else {
                Poll::Pending
            };
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.is_over(cx, since, self.limits.head) {
            self.refuse(Refusal::TooSlow);
            return Poll::Ready(Ok(true));
        }
        Poll::Pending
    }

    /// Reads on in a body, right into hyper's buffer.
    fn read_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                let since = *self.since.get_or_insert_with(Instant::now);
                if self.is_over(cx, since, self.limits.stall) {
                    return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the request's body stalled")));
                }
                return Poll::Pending;
            }
        }
        self.since = None;
        let new = &buf.filled()[before..];
        let State::Body(body) = &mut self.state else { return Poll::Ready(Ok(())) };
        let Ok(taken) = body.take(new, self.limits.body_bytes) else {
            buf.set_filled(before);
            return Poll::Ready(Err(Error::new(
                ErrorKind::InvalidData,
                "the request's body is malformed or too large",
            )));
        };
        if taken < new.len() {
            self.held.extend_from_slice(&new[taken..]);
            buf.set_filled(before + taken);
        }
        if body.is_done() {
            self.state = State::Head;
        }
        Poll::Ready(Ok(()))
    }

    /// Drops what a client still sends whose request was not read to its end.
    fn drop_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let mut piece = [0; PIECE];
        while self.dropped < MAX_DROPPED {
            if self.is_over(cx, since, self.limits.linger) {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.dropped += buf.filled().len(),
                _ => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Intake<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        loop {
            if !this.through.is_empty() {
                let n = this.through.len().min(buf.remaining());
                buf.put_slice(&this.through[..n]);
                this.through.advance(n);
                if this.through.is_empty() {
                    // Lets go of the memory behind it.
                    this.through = Bytes::new();
                }
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Head => {
                    if !this.held.is_empty() {
                        this.check();
                        if !this.through.is_empty() {
                            continue;
                        }
                    }
                    if !ready!(this.read_head(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Body(_) => return this.read_body(cx, buf),
                // An end of the connection would take the answer with it.
                State::Refused => return Poll::Pending,
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Intake<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if !this.shut {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            (this.shut, this.since) = (true, None);
        }
        if !matches!(this.state, State::Head) {
            ready!(this.drop_rest(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
