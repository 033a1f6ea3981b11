//! The two bodies of an exchange on their way through.
//!
//! Everything that is there goes on at once, in order, as one piece: nothing is held back, and nothing is split. The
//! response's body drives the connection that it comes from, and gives it back, or closes it, when it is over.
//! A response that upstream cut ends in an error once the client has all that came before it; never in a proper end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::failure::broke_off;
use super::outlet::ToClient;
use super::tap::{Memory, Tap};
use super::upstream::Way;
use crate::ingest::record::Outcome;

/// Pieces are put together up to this size.
const MERGED: usize = 64 << 10;
/// Pieces from this size on go through as they are.
const WHOLE: usize = 16 << 10;

struct Sending {
    incoming: Incoming,
    /// Which of its attempts may read it.
    attempt: u32,
    /// The client has sent all of it, or broke off.
    over: bool,
}

/// The client's request body, through all attempts to send it.
pub(super) struct Upload {
    sending: Mutex<Sending>,
    tap: Arc<Tap>,
}

impl Upload {
    pub(super) fn new(incoming: Incoming, tap: Arc<Tap>) -> Arc<Self> {
        let over = incoming.is_end_stream();
        if over {
            tap.request_end();
        }
        Arc::new(Upload { sending: Mutex::new(Sending { incoming, attempt: 0, over }), tap })
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client has sent all of it.
    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// The body for an attempt that begins where nothing was sent; `None` where what has been read already was not
    /// kept. Attempts before it read nothing more.
    pub(super) fn attempt(self: &Arc<Self>) -> Option<RequestBody> {
        let mut sending = self.lock();
        let replay = self.tap.request_so_far()?;
        sending.attempt += 1;
        let attempt = sending.attempt;
        drop(sending);
        Some(RequestBody { upload: Arc::clone(self), attempt, replay: replay.into_iter() })
    }
}

/// The request's body on its way to upstream.
pub struct RequestBody {
    upload: Arc<Upload>,
    attempt: u32,
    /// What an earlier attempt has read.
    replay: vec::IntoIter<Bytes>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(piece) = self.replay.next() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let (sending, tap) = (&mut *self.upload.lock(), &self.upload.tap);
        if sending.attempt != self.attempt {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut sending.incoming).poll_frame(cx));
        // With a content length the last piece is the end; nobody asks for more.
        let last = sending.incoming.is_end_stream();
        match &frame {
            Some(Ok(f)) => match f.data_ref() {
                Some(data) => tap.request_data(data, last),
                None => tap.request_end(),
            },
            None => tap.request_end(),
            Some(Err(_)) => tap.client_failed(),
        }
        sending.over = last || !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.replay.as_slice().is_empty() && self.upload.lock().incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let again: u64 = self.replay.as_slice().iter().map(|piece| piece.len() as u64).sum();
        let rest = self.upload.lock().incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + again);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + again);
        }
        hint
    }
}

/// The response's body on its way to the client: the API's, or one of ours.
pub struct ProxyBody(Source);

enum Source {
    Upstream(Box<Relay>),
    Own(Option<Bytes>),
}

impl ProxyBody {
    /// Upstream's body, which comes by `way`.
    pub(super) fn relayed(
        status: StatusCode,
        incoming: Incoming,
        way: Way,
        tap: Arc<Tap>,
        to_client: Option<ToClient>,
    ) -> Self {
        let mut relay = Relay {
            incoming,
            way: Some(way),
            tap,
            to_client,
            buffer: BytesMut::new(),
            lengths: Vec::new(),
            next: None,
            tells_length: status == StatusCode::NOT_MODIFIED,
            ended: false,
            done: false,
        };
        if relay.is_read() {
            // 204, 304, HEAD: nobody will ask for a frame.
            relay.ended = true;
            relay.complete();
        }
        ProxyBody(Source::Upstream(Box::new(relay)))
    }

    /// A body of ours.
    #[must_use]
    pub fn own(bytes: Bytes) -> Self {
        ProxyBody(Source::Own(Some(bytes).filter(|b| !b.is_empty())))
    }

    /// The bytes of a body of ours.
    #[must_use]
    pub fn own_bytes(&self) -> Bytes {
        match &self.0 {
            Source::Own(Some(bytes)) => bytes.clone(),
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
        match &mut self.get_mut().0 {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Source::Upstream(relay) => relay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Own(bytes) => bytes.is_none(),
            Source::Upstream(relay) => relay.ended && relay.next.is_none() && !relay.tells_length,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Source::Upstream(relay) if relay.tells_length => SizeHint::default(),
            Source::Upstream(relay) => relay.incoming.size_hint(),
        }
    }
}

/// What was read and comes after the piece that is on its way.
enum Next {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The error, and the flushes counted when it was first asked for.
    Cut(hyper::Error, Option<u64>),
}

/// Upstream's body.
struct Relay {
    incoming: Incoming,
    /// How it comes; given back at its end.
    way: Option<Way>,
    tap: Arc<Tap>,
    to_client: Option<ToClient>,
    buffer: BytesMut,
    /// Of the pieces that one poll brought.
    lengths: Vec<u64>,
    next: Option<Next>,
    /// A 304 may tell the length that its 200 would have. hyper's server drops that of a body known to be empty.
    tells_length: bool,
    /// All of it was read.
    ended: bool,
    /// The tap knows how it ended.
    done: bool,
}

/// What one poll brought.
enum Gathered {
    Nothing,
    One(Bytes),
    /// In the buffer.
    Many,
}

impl Relay {
    /// Whether nothing more will be read. With a content length the last byte is the end; an HTTP/2 peer may have
    /// another, empty frame to send.
    fn is_read(&self) -> bool {
        self.incoming.is_end_stream() || self.incoming.size_hint().exact() == Some(0)
    }

    fn complete(&mut self) {
        if !std::mem::replace(&mut self.done, true) {
            self.tap.finish(Outcome::Complete, None);
        }
        if let Some(way) = self.way.take() {
            way.over();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.next.is_some() {
            return self.poll_next(cx);
        }
        if self.ended {
            self.complete();
            return Poll::Ready(None);
        }
        let (gathered, pending) = self.gather(cx);
        let (data, memory) = match gathered {
            Gathered::Nothing if pending => {
                if let Some(way) = &self.way {
                    way.end(cx);
                }
                return Poll::Pending;
            }
            Gathered::Nothing if self.next.is_some() => return self.poll_next(cx),
            Gathered::Nothing => {
                self.complete();
                return Poll::Ready(None);
            }
            Gathered::One(data) => (data, Memory::Buffer),
            Gathered::Many => (self.buffer.split().freeze(), Memory::Own),
        };
        self.tap.response_data(&data, memory, &self.lengths);
        if self.ended && self.next.is_none() {
            self.complete();
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// Takes all that is there; and whether it stopped because nothing more is.
    fn gather(&mut self, cx: &mut Context<'_>) -> (Gathered, bool) {
        let mut gathered = Gathered::Nothing;
        let mut total = 0;
        self.lengths.clear();
        if let Some(way) = &self.way {
            way.begin(cx);
        }
        loop {
            let polled = match &mut self.way {
                Some(way) => way.turn(&mut self.incoming, cx),
                None => Pin::new(&mut self.incoming).poll_frame(cx),
            };
            let frame = match polled {
                Poll::Pending => return (gathered, true),
                Poll::Ready(None) => {
                    self.ended = true;
                    return (gathered, false);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.next = Some(Next::Cut(error, None));
                    return (gathered, false);
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.next = Some(Next::Trailers(trailers));
                    }
                    return (gathered, false);
                }
            };
            self.ended = self.is_read();
            if data.is_empty() && !self.ended {
                continue;
            }
            if total > 0 && data.len() >= WHOLE {
                self.next = Some(Next::Data(data));
                return (gathered, false);
            }
            total += data.len();
            self.lengths.push(data.len() as u64);
            let large = data.len() >= WHOLE;
            gathered = match gathered {
                Gathered::Nothing => Gathered::One(data),
                Gathered::One(first) => {
                    self.buffer.reserve(first.len() + data.len());
                    self.buffer.extend_from_slice(&first);
                    self.buffer.extend_from_slice(&data);
                    Gathered::Many
                }
                Gathered::Many => {
                    self.buffer.extend_from_slice(&data);
                    Gathered::Many
                }
            };
            if large || self.ended || total >= MERGED {
                return (gathered, false);
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.next.take() {
            Some(Next::Data(data)) => {
                self.tap.response_data(&data, Memory::Buffer, &[data.len() as u64]);
                if self.ended {
                    self.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Next::Trailers(trailers)) => {
                self.tap.trailers(&trailers);
                self.ended = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Next::Cut(error, since)) => {
                // An error has hyper drop what it has not written yet, and the client is to have it.
                if let Some(to_client) = &self.to_client {
                    let since = since.unwrap_or_else(|| to_client.count());
                    if !to_client.is_past(since, cx) {
                        self.next = Some(Next::Cut(error, Some(since)));
                        return Poll::Pending;
                    }
                }
                self.done = true;
                self.ended = true;
                self.way = None;
                self.tap.broken(broke_off(&error));
                Poll::Ready(Some(Err(error)))
            }
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        match self.next.take() {
            Some(Next::Cut(error, _)) => self.tap.broken(broke_off(&error)),
            Some(Next::Data(_)) => self.tap.dropped(),
            // Trailers were all that was left, and HTTP/1.0 has no place for them.
            _ if self.ended => self.complete(),
            _ => self.tap.dropped(),
        }
    }
}
