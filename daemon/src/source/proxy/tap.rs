//! The tap: takes a copy of an exchange while it goes by.
//!
//! Copying never waits and never fails the stream: small pieces are gathered (a piece of 100 bytes must not
//! keep a whole read buffer alive), large ones shared by reference count, and once a limit is reached the rest
//! is only counted. When both bodies are over, or dropped, the exchange is handed in, once.
//!
//! It is asked once for all that one poll brought: one lock, one look at the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::DATE;

use super::Gauges;
use super::headers::captured;
use crate::config::Capture;
use crate::ingest::record::{ExchangeV3, Outcome, RouteV1};
use crate::ingest::{CapturedExchange, Door, Reserved};

/// Pieces from this size on are shared, not copied: they are most of the read buffer that they keep alive.
const SHARE: usize = 16 << 10;
/// As [`SHARE`], for pieces whose memory is theirs alone.
const SHARE_OWN: usize = 4 << 10;
/// Small pieces are gathered up to this size.
const GATHER: usize = 64 << 10;

/// Whose memory a piece lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// A read buffer's.
    Buffer,
    /// Its own.
    Own,
}

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
    fn add(&mut self, data: &Bytes, memory: Memory, limits: &Capture, budget: &mut Reserved) {
        self.seen += data.len() as u64;
        if self.full {
            return;
        }
        let room = limits.max_body_bytes.saturating_sub(self.kept);
        let take = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
        if take > 0 && budget.grow(take as u64, limits.max_queue_bytes) {
            let share = match memory {
                Memory::Buffer => SHARE,
                Memory::Own => SHARE_OWN,
            };
            if take >= share {
                self.seal();
                self.pieces.push(data.slice(..take));
            } else {
                if self.tail.len() + take > GATHER {
                    self.seal();
                }
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
    record: Option<ExchangeV3>,
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
    pub fn new(record: ExchangeV3, limits: Capture, door: Option<Door>, gauges: Arc<Gauges>) -> Arc<Self> {
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

    /// A piece of the request went by, and whether it was the last.
    pub(super) fn request_data(&self, data: &Bytes, last: bool) {
        let now = if last { Some(self.now_us()) } else { None };
        let state = &mut *self.lock();
        if let Some(budget) = &mut state.budget {
            state.request.add(data, Memory::Buffer, &self.limits, budget);
        } else {
            state.request.seen += data.len() as u64;
        }
        if let (Some(now), Some(record)) = (now, &mut state.record) {
            record.request_end_us.get_or_insert(now);
        }
    }

    /// What of the request has gone by, if all of it was kept.
    pub(super) fn request_so_far(&self) -> Option<Vec<Bytes>> {
        let state = &mut *self.lock();
        state.request.seal();
        (state.request.kept == state.request.seen).then(|| state.request.pieces.clone())
    }

    /// The client broke off.
    pub(super) fn client_failed(&self) {
        self.client_failed.store(true, Ordering::Relaxed);
    }

    /// The request went by whole.
    pub(super) fn request_end(&self) {
        let now = self.now_us();
        if let Some(record) = &mut self.lock().record {
            record.request_end_us.get_or_insert(now);
        }
    }

    /// How the request got to upstream.
    pub(super) fn route(&self, route: RouteV1) {
        if let Some(record) = &mut self.lock().record {
            record.route = route;
        }
    }

    /// The response's head arrived.
    pub fn head(&self, parts: &http::response::Parts) {
        self.gauges.unreached.store(0, Ordering::Relaxed);
        let now = self.now_us();
        if let Some(record) = &mut self.lock().record {
            if let Some(date) = parts.headers.get(DATE) {
                self.gauges.dated(date, record.started_ns.saturating_add(now.saturating_mul(1000)));
            }
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
        self.gauges.unreached.fetch_add(1, Ordering::Relaxed);
        {
            let state = &mut *self.lock();
            if let Some(record) = &mut state.record {
                record.status = Some(status);
                record.error = Some(error.to_owned());
            }
            if let Some(budget) = &mut state.budget {
                state.response.add(body, Memory::Own, &self.limits, budget);
            }
        }
        self.finish(Outcome::UpstreamFailed, None);
    }

    /// Pieces of the response went by: all of them as one, and the length of each.
    pub(super) fn response_data(&self, data: &Bytes, memory: Memory, lengths: &[u64]) {
        let now = self.now_us();
        let state = &mut *self.lock();
        let (Some(record), Some(budget)) = (&mut state.record, &mut state.budget) else { return };
        record.first_byte_us.get_or_insert(now);
        if !state.response.full {
            for length in lengths {
                record.marks.push((*length, now.saturating_sub(state.last_mark_us)));
                state.last_mark_us = now;
            }
        }
        state.response.add(data, memory, &self.limits, budget);
    }

    /// The response's trailers.
    pub(super) fn trailers(&self, trailers: &http::HeaderMap) {
        if let Some(record) = &mut self.lock().record {
            record.response_trailers = captured(trailers);
        }
    }

    /// Upstream broke off in the middle of its response.
    pub(super) fn broken(&self, error: String) {
        self.gauges.failed(&error);
        self.finish(Outcome::UpstreamFailed, Some(error));
    }

    /// A body was dropped before its end: by the client, or by the daemon's own end.
    pub(super) fn dropped(&self) {
        let stopped = self.gauges.cut.is_cancelled();
        self.finish(if stopped { Outcome::Stopped } else { Outcome::ClientGone }, None);
    }

    /// Hands the exchange in. Later calls do nothing: the first one to know how it ended is right.
    pub(super) fn finish(&self, outcome: Outcome, error: Option<String>) {
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
