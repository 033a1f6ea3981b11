//! The way to the API: connections made as they are needed, kept while they are good, over HTTP/1.1 or 2.
//!
//! A request goes again only where upstream cannot have looked at it: its connection turned out closed before a byte
//! was written, or upstream said of the stream that it will not process it. Never otherwise: a POST is not ours to
//! repeat. Redirects are passed through. Only making a connection has a time limit: how long an answer may take is
//! between the client and the API.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::api::UpstreamProbe;
use http::request::Parts;
use http::{Request, Response, Uri, Version, response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::body::{ProxyBody, RequestBody, Upload};
use super::dial::{Dialled, Dialler};
use super::failure::{Failure, Kind, find};
use super::io::Io;
use super::lane::{Driven, Lane, Sent};
use super::outlet::ToClient;
use super::pool::{Line, Place, Pool, Rest, Shared};
use super::tap::Tap;
pub use super::target::Target;
use crate::clock::Clock;
use crate::config::Network;
use crate::ingest::record::RouteV1;

/// Limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may take from the look-up of the name to the end of the TLS handshake.
    pub ready: Duration,
    /// How long an unused connection is kept; below the API's own limit.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { ready: Duration::from_secs(30), idle: Duration::from_secs(55) }
    }
}

/// How often an HTTP/2 connection in use is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to answer. One that does not ends all of its streams, so no sooner than the client itself would
/// give a silent stream up (300 s).
const PING_PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of one response that upstream may send ahead over HTTP/2: what a client that does not read can hold up.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same of all responses on a connection: as many clients may stand still before others feel it.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Bytes of a response's head over HTTP/2, each field counted with 32 more (RFC 9113 §6.5.2); the same as over HTTP/1.1,
/// and four times hyper's default, beyond which the client would get an error of ours for a sound answer.
const MAX_HEAD: u32 = 64 << 10;
/// Requests at a time on one HTTP/2 connection, where upstream takes as many.
const MAX_STREAMS: usize = 100;
/// How long a connection that is made for a look may take.
const PROBE: Duration = Duration::from_secs(5);
/// Times that a request that upstream refuses to look at goes out.
const ATTEMPTS: u32 = 3;

const UNKNOWN: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;

/// An HTTP/1.1 connection, and how it was made.
pub(super) struct Http1 {
    lane: Lane<RequestBody>,
    route: RouteV1,
}

impl Rest for Http1 {
    fn is_fresh(&mut self) -> bool {
        self.lane.is_fresh()
    }
}

/// The sending end of an HTTP/2 connection, and how it was made.
pub(super) struct Http2 {
    sender: http2::SendRequest<RequestBody>,
    route: RouteV1,
}

type UpstreamPool = Pool<Http1, Http2>;

/// How a response comes.
pub(super) enum Way {
    /// On a connection of its own, which its body drives.
    Http1(Box<Http1>, Arc<UpstreamPool>),
    /// On a connection of its own with a task of its own.
    Task(Option<Driven>),
    /// Among others.
    Http2(#[allow(dead_code, reason = "held for as long as the response comes")] Place<Http2>),
}

impl Way {
    /// Begins a poll.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        if let Way::Http1(http1, _) = self {
            http1.lane.begin(cx);
        }
    }

    /// Takes the next piece.
    pub(super) fn turn(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self {
            Way::Http1(http1, _) => http1.lane.turn(incoming, Incoming::poll_frame),
            Way::Task(_) | Way::Http2(_) => Pin::new(incoming).poll_frame(cx),
        }
    }

    /// Ends a poll that found nothing more.
    pub(super) fn end(&self, cx: &Context<'_>) {
        if let Way::Http1(http1, _) = self {
            http1.lane.end(cx);
        }
    }

    /// The response came whole.
    pub(super) fn over(self) {
        match self {
            Way::Http1(mut http1, pool) => {
                if http1.lane.settle() {
                    pool.put(*http1);
                }
            }
            // The request may still be under way; its connection ends with it.
            Way::Task(driven) => driven.into_iter().for_each(Driven::let_go),
            Way::Http2(_) => {}
        }
    }
}

/// A request in two halves: its head, and its body through all attempts.
pub(super) struct Outgoing {
    /// Its URI has scheme and authority.
    pub(super) head: Parts,
    pub(super) upload: Arc<Upload>,
}

impl Outgoing {
    fn request(&self, version: Version, uri: Uri) -> Option<Request<RequestBody>> {
        let mut request = Request::new(self.upload.attempt()?);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        *request.headers_mut() = self.head.headers.clone();
        *request.extensions_mut() = self.head.extensions.clone();
        Some(request)
    }
}

/// A dial that others wait for: how many ended, and how the last one failed.
#[derive(Default)]
struct Dials {
    ended: u64,
    failure: Option<Failure>,
}

/// One upstream, and the connections to it.
pub struct Upstream {
    target: Target,
    dialler: Dialler,
    problem: Option<String>,
    pool: Arc<UpstreamPool>,
    clock: Arc<dyn Clock>,
    /// What upstream spoke last.
    speaks: AtomicU8,
    /// Held while a connection is made that others may share.
    dialling: tokio::sync::Mutex<()>,
    dials: Mutex<Dials>,
}

impl Upstream {
    /// `target`, by the way that `network` says. Files that cannot be used are no error here: whoever needs them gets
    /// one, and [`Self::problem`] tells.
    #[must_use]
    pub fn new(target: Target, network: &Network, limits: Limits, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (dialler, problem) = Dialler::new(&target, network, limits.ready);
        if let Some(problem) = &problem {
            tracing::error!(problem, "the way to upstream");
        }
        Arc::new(Upstream {
            target,
            dialler,
            problem,
            pool: Pool::new(limits.idle, Arc::clone(&clock)),
            clock,
            speaks: AtomicU8::new(UNKNOWN),
            dialling: tokio::sync::Mutex::new(()),
            dials: Mutex::default(),
        })
    }

    /// Where requests go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What is wrong with the way there.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Makes a connection as a request would, and closes it without one: nothing of anybody's is sent.
    pub async fn probe(&self) -> UpstreamProbe {
        let upstream = self.target.to_string();
        let told = |failure: Failure| UpstreamProbe {
            kind: Some(failure.kind.word().to_owned()),
            error: Some(failure.words),
            upstream: upstream.clone(),
            ..UpstreamProbe::default()
        };
        match tokio::time::timeout(PROBE, self.dialler.dial()).await {
            Ok(Ok(Dialled { route, .. })) => UpstreamProbe {
                upstream: upstream.clone(),
                ok: true,
                tunnelled: route.tunnelled,
                peer: route.peer,
                resolve_us: route.resolve_us,
                connect_us: route.connect_us,
                tls_us: route.tls_us,
                ..UpstreamProbe::default()
            },
            Ok(Err(failure)) => told(failure),
            Err(_) => told(Failure::new(
                Kind::Timeout,
                format!("no connection to {upstream} within {} s", PROBE.as_secs()),
            )),
        }
    }

    /// Sends a request and waits for the response's head. Informational ones before it go to the client.
    pub(super) async fn send(
        &self,
        outgoing: &Outgoing,
        tap: &Arc<Tap>,
        to_client: Option<ToClient>,
    ) -> Result<(response::Parts, ProxyBody), Failure> {
        // HTTP/1.0 knows no informational responses.
        let informed = to_client.as_ref().filter(|_| outgoing.head.version == Version::HTTP_11);
        let mut refusals = 0;
        loop {
            let (connection, reused) = match self.resting() {
                Some(connection) => (connection, true),
                None => self.fresh().await?,
            };
            let tried = match connection {
                Connection::Http1(mut http1) => {
                    http1.lane.inform(informed);
                    self.by_http1(http1, reused, outgoing, tap).await
                }
                Connection::Http2(place) => by_http2(place, reused, outgoing, tap).await,
            };
            match tried {
                Tried::Answered(response, way) => {
                    let (parts, incoming) = response.into_parts();
                    tap.head(&parts);
                    let body = ProxyBody::relayed(parts.status, incoming, way, Arc::clone(tap), to_client);
                    return Ok((parts, body));
                }
                // No oftener than connections rest.
                Tried::Stale => {
                    tracing::debug!("a connection that rested was closed: the request goes on another");
                }
                Tried::Refused(failure) => {
                    refusals += 1;
                    if refusals == ATTEMPTS {
                        return Err(failure);
                    }
                    tracing::debug!(%failure, "upstream refused the stream: the request goes again");
                }
                Tried::Failed(failure) => return Err(failure),
            }
        }
    }

    /// A connection that is there.
    fn resting(&self) -> Option<Connection> {
        if let Some(place) = self.pool.place() {
            return Some(Connection::Http2(place));
        }
        self.pool.take().map(|http1| Connection::Http1(Box::new(http1)))
    }

    /// A connection made for this request, or, where many share one, by another meanwhile.
    async fn fresh(&self) -> Result<(Connection, bool), Failure> {
        if !self.dialler.may_be_http2() || self.speaks.load(Ordering::Relaxed) == HTTP1 {
            return Ok((self.dial().await?, false));
        }
        let before = self.dials().ended;
        let turn = self.dialling.lock().await;
        if let Some(connection) = self.resting() {
            return Ok((connection, true));
        }
        {
            // Whoever was waited for found out already what waits for us.
            let dials = self.dials();
            if let (true, Some(failure)) = (dials.ended > before, &dials.failure) {
                return Err(failure.clone());
            }
        }
        if self.speaks.load(Ordering::Relaxed) == HTTP1 {
            drop(turn);
            return Ok((self.dial().await?, false));
        }
        let dialled = self.dial().await;
        let mut dials = self.dials();
        dials.ended += 1;
        dials.failure = dialled.as_ref().err().cloned();
        drop(dials);
        Ok((dialled?, false))
    }

    fn dials(&self) -> std::sync::MutexGuard<'_, Dials> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dial(&self) -> Result<Connection, Failure> {
        let Dialled { io, http2, route } = self.dialler.dial().await?;
        self.speaks.store(if http2 { HTTP2 } else { HTTP1 }, Ordering::Relaxed);
        if !http2 {
            let lane = Lane::open(io).await.map_err(|e| Failure::exchanging(&e))?;
            return Ok(Connection::Http1(Box::new(Http1 { lane, route })));
        }
        let (sender, line) = open_http2(io).await.map_err(|e| Failure::exchanging(&e))?;
        let shared = Shared::new(Http2 { sender, route }, line, Arc::clone(&self.clock));
        let closed = || Failure::new(Kind::Closed, "upstream takes no requests");
        let place = Place::take(&shared).ok_or_else(closed)?;
        self.pool.share(shared);
        Ok(Connection::Http2(place))
    }

    async fn by_http1(
        &self,
        mut http1: Box<Http1>,
        reused: bool,
        outgoing: &Outgoing,
        tap: &Arc<Tap>,
    ) -> Tried {
        // Over HTTP/1.1 the request line has the path alone.
        let path = outgoing.head.uri.path_and_query().map_or("/", |path| path.as_str());
        let Some(request) = path.parse().ok().and_then(|uri| outgoing.request(Version::HTTP_11, uri)) else {
            return Tried::Failed(unrepeatable());
        };
        tap.route(travelled(&http1.route, reused));
        match http1.lane.send(request).await {
            Sent::Answered(response) => {
                // A response that begins before the request has ended: each must get on without the other.
                let way = if outgoing.upload.is_over() {
                    Way::Http1(http1, Arc::clone(&self.pool))
                } else {
                    Way::Task(http1.lane.spawn())
                };
                Tried::Answered(response, way)
            }
            Sent::Unsent(_) if reused => Tried::Stale,
            Sent::Unsent(error) | Sent::Failed(error) => Tried::Failed(Failure::exchanging(&error)),
        }
    }
}

enum Connection {
    Http1(Box<Http1>),
    Http2(Place<Http2>),
}

/// What became of an attempt.
enum Tried {
    Answered(Response<Incoming>, Way),
    /// The connection was closed before anything was written.
    Stale,
    /// Upstream said that it did not look at it.
    Refused(Failure),
    Failed(Failure),
}

fn unrepeatable() -> Failure {
    Failure::new(
        Kind::Closed,
        "upstream closed the connection, and the request is too large to be sent again",
    )
}

/// How a request travelled on a connection that was made by `route`.
fn travelled(route: &RouteV1, reused: bool) -> RouteV1 {
    if !reused {
        return route.clone();
    }
    RouteV1 { reused, tunnelled: route.tunnelled, peer: route.peer.clone(), ..RouteV1::default() }
}

async fn by_http2(place: Place<Http2>, reused: bool, outgoing: &Outgoing, tap: &Arc<Tap>) -> Tried {
    let Some(request) = outgoing.request(Version::HTTP_2, outgoing.head.uri.clone()) else {
        return Tried::Failed(unrepeatable());
    };
    let http2 = &place.shared().sender;
    tap.route(travelled(&http2.route, reused));
    let mut sender = http2.sender.clone();
    match sender.try_send_request(request).await {
        Ok(response) => Tried::Answered(response, Way::Http2(place)),
        Err(mut error) => {
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            let failure = Failure::exchanging(&error);
            if unsent || is_refusal(&error) {
                place.shared().retire();
                Tried::Refused(failure)
            } else {
                Tried::Failed(failure)
            }
        }
    }
}

/// Whether upstream said that it did not and will not process the stream (RFC 9113 §8.7).
fn is_refusal(error: &hyper::Error) -> bool {
    find::<h2::Error>(error).is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && (reason == Some(h2::Reason::REFUSED_STREAM)
                || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
    })
}

/// Speaks HTTP/2 on `io`. The connection has a task of its own and ends with its last sender.
async fn open_http2(io: Io) -> hyper::Result<(http2::SendRequest<RequestBody>, Arc<Line>)> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        // One connection carries every session: a dead one (sleep, another network) must be noticed.
        .keep_alive_interval(Some(PING_EVERY))
        .keep_alive_timeout(PING_PATIENCE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD);
    let (sender, mut connection) = builder.handshake(TokioIo::new(io)).await?;
    let line = Arc::new(Line { room: AtomicUsize::new(MAX_STREAMS), retired: AtomicBool::new(false) });
    let told = Arc::clone(&line);
    tokio::spawn(async move {
        let ended = std::future::poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            told.room.store(connection.current_max_send_streams().min(MAX_STREAMS), Ordering::Relaxed);
            ended
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "a connection to upstream ended in an error");
        }
        told.retired.store(true, Ordering::Relaxed);
    });
    Ok((sender, line))
}
