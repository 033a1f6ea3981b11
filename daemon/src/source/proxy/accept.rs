//! The listener: takes connections in, as many as there may be, from whom they may come, and serves them.
//!
//! Must never spin when the system is out of something, never refuse a connection silently that is ours (who is too many
//! is told to come again), and never end a stream on its own account.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::ProxyBody;
use super::failure::describe;
use super::framing::Refusal;
use super::intake::{Intake, Turn, Turns};
use super::outlet::{Outlet, ToClient};
use super::peer::{Peer, Peers};
use super::respond;
use super::room::{Place, Room};
use super::server::Proxy;

/// How long to wait when no connection can be accepted: most likely all files are in use, and others close theirs.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may take to bring its first request when it was accepted just before nothing more is: the
/// request is on its way, and closing would lose it.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long a connection must have rested before it is ended for another daemon to take over: one that is in use is told
/// with its next answer instead, so that no request meets a closing connection.
const REST: Duration = Duration::from_secs(2);
/// What hyper may hold of a connection, each way: a whole head, and enough of a body to go on with. The rest stays with
/// the peer (backpressure) instead of in our memory.
const BUFFER: usize = 96 << 10;

impl Proxy {
    /// Serves until `end`. From `stop` on, idle connections are ended, and what is under way finishes; whoever
    /// comes then is still answered, once: a port that refuses for minutes is worse than a late stop.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tracker: TaskTracker,
        stop: CancellationToken,
        end: CancellationToken,
    ) {
        let room = Room::new(self.limits.connections);
        let aside = Arc::new(Semaphore::new(self.limits.turned_away));
        let us = rustix::process::geteuid().as_raw();
        let mut peers = Peers::default();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                () = end.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => {
                    failing = false;
                    accepted
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the proxy cannot accept");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Events are small and must not wait for each other.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
            match peers.owner(&stream, peer) {
                owner if owner.is_welcome(us) => {}
                // Closed again before we came to it: nobody waits for an answer.
                Peer::Gone => continue,
                owner => {
                    self.gauges().refused.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(?owner, "another user's connection to the proxy was refused");
                    continue;
                }
            }
            let intake = Intake::new(stream, self.limits);
            if let Some(place) = room.enter(intake.turns(), self.limits.spare, &stop).await {
                tracker.spawn(Arc::clone(&self).connection(intake, place));
                continue;
            }
            let stream = intake.into_inner();
            // If even those are many, the others wait in the listener's queue.
            let place = tokio::select! {
                () = end.cancelled() => return,
                place = Arc::clone(&aside).acquire_owned() => place,
            };
            self.gauges().turned_away.fetch_add(1, Ordering::Relaxed);
            let linger = self.limits.linger;
            tracker.spawn(async move {
                turn_away(stream, linger).await;
                drop(place);
            });
        }
    }

    async fn connection(self: Arc<Self>, intake: Intake<TcpStream>, place: Place) {
        let _open = Open::new(Arc::clone(&self));
        let stop = place.leave();
        let turns = Arc::clone(intake.turns());
        let rests = Arc::clone(intake.turns());
        let this = Arc::clone(&self);
        let first = Arc::new(Semaphore::new(0));
        let seen = Arc::clone(&first);
        let to_client = ToClient::default();
        let stream = Outlet::new(intake, to_client.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(to_client.clone());
            seen.close();
            // Now, not when the answer is first asked for: the turns come in the requests' order.
            let turn = turns.next();
            let this = Arc::clone(&this);
            async move { Ok::<_, Infallible>(this.answer(request, turn).await) }
        });
        let late = stop.is_cancelled();
        let connection = http1::Builder::new()
            .keep_alive(!late)
            .max_buf_size(BUFFER)
            .preserve_header_case(true)
            // What upstream did not send is not added.
            .auto_date_header(false)
            .half_close(false)
            // No time limits of hyper's: the intake has them, and knows an idle connection from a slow head.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let cut = self.gauges().cut.clone();
        let served = async {
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled(), if !late => {
                    tokio::select! {
                        ended = connection.as_mut() => return ended,
                        _ = timeout(FIRST_REQUEST, first.acquire()) => {}
                    }
                    if self.is_handing_over() {
                        tokio::select! {
                            ended = connection.as_mut() => return ended,
                            () = rested(&rests) => {}
                        }
                    }
                    connection.as_mut().graceful_shutdown();
                    connection.as_mut().await
                }
            }
        };
        let ended = tokio::select! {
            ended = served => ended,
            () = cut.cancelled() => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(error = describe(&error), "a client connection ended in an error");
        }
        drop(place);
    }

    async fn answer(&self, request: Request<Incoming>, turn: Turn) -> Response<Answer> {
        let response = match turn.refused() {
            None => self.handle(request).await,
            Some(Refusal::Malformed) => respond::empty(StatusCode::BAD_REQUEST),
            Some(Refusal::TooLarge) => respond::empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Some(Refusal::TooSlow) => respond::empty(StatusCode::REQUEST_TIMEOUT),
        };
        let mut response = response.map(|body| Answer { body, _turn: turn });
        if self.is_handing_over() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Waits until a connection has rested for [`REST`].
async fn rested(turns: &Turns) {
    loop {
        let rest = turns.resting().map_or(Duration::ZERO, |since| since.elapsed());
        if rest >= REST {
            return;
        }
        tokio::time::sleep(REST.saturating_sub(rest)).await;
    }
}

/// A connection that is counted while it is open.
struct Open(Arc<Proxy>);

impl Open {
    fn new(proxy: Arc<Proxy>) -> Self {
        proxy.gauges().connections.fetch_add(1, Ordering::Relaxed);
        Open(proxy)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.gauges().connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells a client that is one too many to come again soon. It may be sending its request meanwhile: what comes is read
/// and dropped until nothing more does, so that it gets to read the answer.
async fn turn_away(mut stream: TcpStream, linger: Duration) {
    let body = respond::error_body("overloaded_error", "too many connections at a time");
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nx-ccd-error: connections\r\n\
         retry-after: 1\r\nx-should-retry: true\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let told = async {
        let mut piece = [0; 4096];
        // Not before it has asked: some clients take an answer to nothing for a fault.
        if stream.read(&mut piece).await? == 0 {
            return Ok(());
        }
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        stream.shutdown().await?;
        while let Ok(Ok(1..)) = timeout(PAUSE / 2, stream.read(&mut piece)).await {}
        Ok::<_, std::io::Error>(())
    };
    // Whoever takes longer, or is gone, is not waited for.
    if let Ok(Err(error)) = timeout(linger, told).await {
        tracing::debug!(%error, "a client that was turned away ended in an error");
    }
}

/// An answer's body, whose request is under way until it is dropped.
struct Answer {
    body: ProxyBody,
    _turn: Turn,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = <ProxyBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
