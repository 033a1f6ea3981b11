//! The tap: a body that goes through untouched while a copy is taken.
//!
//! Copying never waits and never fails the stream: small pieces are gathered (a piece of 100 bytes must not
//! keep a whole read buffer alive), large ones shared by reference count, and once a limit is reached the rest
//! is only counted. When both bodies are over, or dropped, the exchange is handed in, once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::Gauges;
use super::headers::captured;
use crate::config::Capture;
use crate::ingest::record::{ExchangeV2, Outcome};
use crate::ingest::{CapturedExchange, Door, Reserved};

/// Pieces from this size on are shared, not copied.
const SHARE: usize = 32 << 10;

/// The bytes kept of one body.
#[derive(Default)]
struct Copy {
    pieces: Vec<Bytes>,
    tail: BytesMut,
    seen: u64,
    kept: u64,
    full: bool,
}

impl Copy {
    fn add(&mut self, data: &Bytes, limits: &Capture, budget: &mut Reserved) {
        self.seen += data.len() as u64;
        if self.full {
            return;
        }
        let room = limits.max_body_bytes.saturating_sub(self.kept);
        let take = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
        if take > 0 && budget.grow(take as u64, limits.max_queue_bytes) {
            if take >= SHARE {
                self.seal();
                self.pieces.push(data.slice(..take));
            } else {
                self.tail.extend_from_slice(&data[..take]);
            }
            self.kept += take as u64;
            self.full = take < data.len();
        } else {
            self.full = !data.is_empty();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.split().freeze());
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        std::mem::take(&mut self.pieces)
    }
}

struct State {
    /// Everything but bodies; `None` once it was handed in.
    record: Option<ExchangeV2>,
    request: Copy,
    response: Copy,
    budget: Option<Reserved>,
    last_mark_us: u64,
}

/// One exchange being captured. Shared by its two bodies.
pub struct Tap {
    state: Mutex<State>,
    started: Instant,
    limits: Capture,
    door: Option<Door>,
    gauges: Arc<Gauges>,
    /// The client broke off while it sent the request.
    client_failed: AtomicBool,
}

impl Tap {
    /// Starts with what the request's head told. Without a door nothing is kept (bypass).
    #[must_use]
    pub fn new(record: ExchangeV2, limits: Capture, door: Option<Door>, gauges: Arc<Gauges>) -> Arc<Self> {
        gauges.in_flight.fetch_add(1, Ordering::Relaxed);
        let budget = door.as_ref().map(|d| Reserved::new(Arc::clone(d.gauges())));
        Arc::new(Tap {
            state: Mutex::new(State {
                record: Some(record),
                request: Copy::default(),
                response: Copy::default(),
                budget,
                last_mark_us: 0,
            }),
            started: Instant::now(),
            limits,
            door,
            gauges,
            client_failed: AtomicBool::new(false),
        })
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request_data(&self, data: &Bytes) {
        let state = &mut *self.lock();
        if let Some(budget) = &mut state.budget {
            state.request.add(data, &self.limits, budget);
        }
    }

    fn request_end(&self) {
        let now = self.now_us();
        if let Some(record) = &mut self.lock().record {
            record.request_end_us.get_or_insert(now);
        }
    }

    /// The response's head arrived.
    pub fn head(&self, parts: &http::response::Parts) {
        let now = self.now_us();
        if let Some(record) = &mut self.lock().record {
            record.head_us = Some(now);
            record.status = Some(parts.status.as_u16());
            record.upstream_http = version(parts.version);
            record.response_headers = captured(&parts.headers);
        }
    }

    /// Upstream could not be reached: what the client was answered instead.
    pub fn failed(&self, status: u16, error: &str, body: &Bytes) {
        if self.client_failed.load(Ordering::Relaxed) {
            self.finish(Outcome::ClientGone, None);
            return;
        }
        self.gauges.failed(error);
        {
            let state = &mut *self.lock();
            if let Some(record) = &mut state.record {
                record.status = Some(status);
                record.error = Some(error.to_owned());
            }
            if let Some(budget) = &mut state.budget {
                state.response.add(body, &self.limits, budget);
            }
        }
        self.finish(Outcome::UpstreamFailed, None);
    }

    fn response_data(&self, data: &Bytes) {
        let now = self.now_us();
        let state = &mut *self.lock();
        let (Some(record), Some(budget)) = (&mut state.record, &mut state.budget) else { return };
        record.first_byte_us.get_or_insert(now);
        if !state.response.full {
            record.marks.push((data.len() as u64, now.saturating_sub(state.last_mark_us)));
            state.last_mark_us = now;
        }
        state.response.add(data, &self.limits, budget);
    }

    fn trailers(&self, trailers: &http::HeaderMap) {
        if let Some(record) = &mut self.lock().record {
            record.response_trailers = captured(trailers);
        }
    }

    /// A body was dropped before its end: by the client, or by the daemon's own end.
    fn dropped(&self) {
        let stopped = self.gauges.cut.is_cancelled();
        self.finish(if stopped { Outcome::Stopped } else { Outcome::ClientGone }, None);
    }

    /// Hands the exchange in. Later calls do nothing: the first one to know how it ended is right.
    fn finish(&self, outcome: Outcome, error: Option<String>) {
        let end_us = self.now_us();
        let captured = {
            let state = &mut *self.lock();
            let Some(mut record) = state.record.take() else { return };
            record.end_us = end_us;
            record.outcome = outcome;
            record.error = record.error.or(error);
            record.request.seen = state.request.seen;
            record.response.seen = state.response.seen;
            state.budget.take().map(|budget| CapturedExchange {
                record,
                request: state.request.take(),
                response: state.response.take(),
                budget,
            })
        };
        if let (Some(captured), Some(door)) = (captured, &self.door) {
            door.exchange(captured);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // Neither body got to its end: the client went away before the response began.
        self.dropped();
        self.gauges.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// 10, 11 or 20.
#[must_use]
pub fn version(version: http::Version) -> u8 {
    match version {
        http::Version::HTTP_10 => 10,
        http::Version::HTTP_2 => 20,
        http::Version::HTTP_3 => 30,
        _ => 11,
    }
}

/// The request's body on its way to upstream.
pub struct RequestBody {
    inner: Incoming,
    tap: Arc<Tap>,
}

impl RequestBody {
    /// Wraps the client's body.
    #[must_use]
    pub fn new(inner: Incoming, tap: Arc<Tap>) -> Self {
        if inner.is_end_stream() {
            tap.request_end();
        }
        RequestBody { inner, tap }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(f)) => {
                if let Some(data) = f.data_ref() {
                    self.tap.request_data(data);
                }
                // With a content length the last piece is the end; nobody asks for more.
                if self.inner.is_end_stream() {
                    self.tap.request_end();
                }
            }
            None => self.tap.request_end(),
            Some(Err(_)) => self.tap.client_failed.store(true, Ordering::Relaxed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The response's body on its way to the client: the API's, or one of ours.
pub enum ProxyBody {
    /// From upstream.
    Tapped {
        /// The body.
        inner: Incoming,
        /// Takes the copy.
        tap: Arc<Tap>,
        /// The end was seen.
        done: bool,
    },
    /// Our own.
    Own(Option<Bytes>),
}

impl ProxyBody {
    /// Wraps upstream's body.
    #[must_use]
    pub fn tapped(inner: Incoming, tap: Arc<Tap>) -> Self {
        if inner.is_end_stream() || inner.size_hint().exact() == Some(0) {
            // 204, 304, HEAD: nobody will ask for a frame.
            tap.finish(Outcome::Complete, None);
            return ProxyBody::Tapped { inner, tap, done: true };
        }
        ProxyBody::Tapped { inner, tap, done: false }
    }

    /// A body of ours.
    #[must_use]
    pub fn own(bytes: Bytes) -> Self {
        ProxyBody::Own(Some(bytes).filter(|b| !b.is_empty()))
    }

    /// The bytes of a body of ours.
    #[must_use]
    pub fn own_bytes(&self) -> Bytes {
        match self {
            ProxyBody::Own(Some(bytes)) => bytes.clone(),
            _ => Bytes::new(),
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            ProxyBody::Own(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            ProxyBody::Tapped { inner, tap, done } => {
                let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
                match &frame {
                    Some(Ok(f)) => {
                        if let Some(data) = f.data_ref() {
                            tap.response_data(data);
                        } else if let Some(trailers) = f.trailers_ref() {
                            tap.trailers(trailers);
                        }
                        // With a content length, the last byte is the end, and nobody asks for more; an
                        // HTTP/2 peer may have another, empty frame to send.
                        if inner.is_end_stream() || inner.size_hint().exact() == Some(0) {
                            *done = true;
                            tap.finish(Outcome::Complete, None);
                        }
                    }
                    Some(Err(error)) => {
                        *done = true;
                        let error = super::upstream::describe(error);
                        tap.gauges.failed(&error);
                        tap.finish(Outcome::UpstreamFailed, Some(error));
                    }
                    None => {
                        *done = true;
                        tap.finish(Outcome::Complete, None);
                    }
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ProxyBody::Own(bytes) => bytes.is_none(),
            ProxyBody::Tapped { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ProxyBody::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            ProxyBody::Tapped { inner, .. } => inner.size_hint(),
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        if let ProxyBody::Tapped { tap, done: false, .. } = self {
            tap.dropped();
        }
    }
}
