//! One HTTP/1.1 connection to upstream that has no task of its own: whoever uses it drives it.
//!
//! One wake-up of the task that serves the client then drains all that the socket holds; there is no hop between
//! tasks, and a user that goes away closes the connection with it. The price is that an unused connection notices
//! nothing by itself: the pool looks at it before it is used again.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::gate::Gate;
use super::io::{Inform, Io, Suspect};
use super::outlet::ToClient;

/// Bytes that hyper buffers of what it reads from upstream and of what it writes to it, each.
const BUFFER: usize = 64 << 10;

/// A connection.
pub(super) struct Lane<B: Body + 'static> {
    sender: http1::SendRequest<B>,
    connection: Option<http1::Connection<TokioIo<Io>, B>>,
    suspect: Suspect,
    inform: Inform,
    gate: Arc<Gate>,
    waker: Waker,
}

/// What became of a request.
pub(super) enum Sent {
    /// The response's head came.
    Answered(Response<Incoming>),
    /// Nothing of it was written: it may go on another connection.
    Unsent(hyper::Error),
    /// It failed, and may have been seen by upstream.
    Failed(hyper::Error),
}

impl<B> Lane<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Speaks HTTP/1.1 on `io`.
    pub(super) async fn open(io: Io) -> hyper::Result<Self> {
        let (suspect, inform) = (io.suspect(), io.inform());
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(true).max_buf_size(BUFFER);
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
        let gate = Gate::new();
        let waker = Waker::from(Arc::clone(&gate));
        Ok(Lane { sender, connection: Some(connection), suspect, inform, gate, waker })
    }

    /// Whom to send the informational responses to the next request.
    pub(super) fn inform(&mut self, to_client: Option<&ToClient>) {
        self.inform.set(to_client.cloned());
    }

    /// Sends a request and drives the connection until the response's head.
    pub(super) async fn send(&mut self, request: Request<B>) -> Sent {
        let mut response = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| {
            self.gate.begin(cx);
            let inner = &mut Context::from_waker(&self.waker);
            // The second round answers what the first one woke.
            for _ in 0..2 {
                self.gate.again();
                drive(&mut self.connection, inner);
                if let Poll::Ready(answer) = response.as_mut().poll(inner) {
                    return Poll::Ready(answer);
                }
                if !self.gate.is_woken() {
                    break;
                }
            }
            self.gate.end(cx);
            Poll::Pending
        });
        match answer.await {
            Ok(response) => Sent::Answered(response),
            Err(mut error) => match error.take_message() {
                Some(_) => Sent::Unsent(error.into_error()),
                None => Sent::Failed(error.into_error()),
            },
        }
    }

    /// Begins a poll in which [`Self::turn`] is called until there is nothing more.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        self.gate.begin(cx);
    }

    /// Drives the connection and then asks the body for what came of it.
    pub(super) fn turn<T>(
        &mut self,
        body: &mut Incoming,
        poll: impl FnOnce(Pin<&mut Incoming>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let inner = &mut Context::from_waker(&self.waker);
        self.gate.again();
        drive(&mut self.connection, inner);
        poll(Pin::new(body), inner)
    }

    /// Ends a poll that found nothing more.
    pub(super) fn end(&self, cx: &Context<'_>) {
        self.gate.end(cx);
    }

    /// After a response's end: whether another request may follow.
    pub(super) fn settle(&mut self) -> bool {
        drive(&mut self.connection, &mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Whether a connection that rested is still there.
    pub(super) fn is_fresh(&mut self) -> bool {
        self.suspect.set();
        self.settle()
    }

    /// Gives the connection a task of its own: for a response that begins before the request has ended, since each
    /// must then get on whatever becomes of the other. It is closed with the exchange.
    pub(super) fn spawn(self) -> Option<Driven>
    where
        B: Unpin,
    {
        let connection = self.connection?;
        let driven = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to upstream ended in an error");
            }
        });
        Some(Driven(Some(driven.abort_handle())))
    }
}

/// Drives a connection as far as it goes.
fn drive<B>(connection: &mut Option<http1::Connection<TokioIo<Io>, B>>, cx: &mut Context<'_>)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if let Some(open) = connection
        && Pin::new(open).poll(cx).is_ready()
    {
        // Its error, if any, has gone to whoever waits for the response or its body.
        *connection = None;
    }
}

/// A connection with a task of its own, which is closed when this is dropped.
pub(super) struct Driven(Option<AbortHandle>);

impl Driven {
    /// Lets the connection end by itself.
    pub(super) fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::super::io::Stream;
    use super::*;

    async fn lane() -> (Lane<Empty<Bytes>>, DuplexStream) {
        let (near, far) = tokio::io::duplex(64 << 10);
        (Lane::open(Io::new(Stream::Memory(near))).await.unwrap(), far)
    }

    fn request() -> Request<Empty<Bytes>> {
        Request::builder().uri("/").header("host", "h").body(Empty::new()).unwrap()
    }

    /// Reads one request and answers it.
    async fn answer(far: &mut DuplexStream, response: &str) {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(far.read_u8().await.unwrap());
        }
        far.write_all(response.as_bytes()).await.unwrap();
    }

    /// Drives a response's body to its end.
    async fn read(lane: &mut Lane<Empty<Bytes>>, response: Response<Incoming>) -> Vec<u8> {
        let mut incoming = response.into_body();
        let mut body = Vec::new();
        loop {
            let frame = poll_fn(|cx| {
                lane.begin(cx);
                let polled = lane.turn(&mut incoming, Incoming::poll_frame);
                if polled.is_pending() {
                    lane.end(cx);
                }
                polled
            });
            match frame.await {
                Some(frame) => body.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                None => return body,
            }
        }
    }

    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";

    async fn exchange(lane: &mut Lane<Empty<Bytes>>, far: &mut DuplexStream, response: &str) -> Vec<u8> {
        let (sent, ()) = tokio::join!(lane.send(request()), answer(far, response));
        let Sent::Answered(response) = sent else { panic!("no answer") };
        read(lane, response).await
    }

    #[tokio::test]
    async fn one_connection_serves_request_after_request() {
        let (mut lane, mut far) = lane().await;
        for _ in 0..3 {
            assert_eq!(exchange(&mut lane, &mut far, CHUNKED).await, b"abc");
            assert!(lane.settle());
        }
        assert!(lane.is_fresh());
    }

    #[tokio::test]
    async fn a_connection_that_upstream_ends_is_not_used_again() {
        let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";
        let (mut one, mut far) = lane().await;
        assert_eq!(exchange(&mut one, &mut far, closing).await, b"x");
        assert!(!one.settle(), "it said so");

        let (mut one, mut far) = lane().await;
        assert_eq!(exchange(&mut one, &mut far, CHUNKED).await, b"abc");
        assert!(one.settle());
        drop(far);
        assert!(!one.is_fresh(), "it did so");
        assert!(matches!(one.send(request()).await, Sent::Unsent(_)), "and nothing was sent");
    }

    #[tokio::test]
    async fn what_nobody_asked_for_spoils_a_connection() {
        let (mut lane, mut far) = lane().await;
        assert_eq!(exchange(&mut lane, &mut far, CHUNKED).await, b"abc");
        assert!(lane.settle());
        far.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        assert!(!lane.is_fresh());
    }

    #[tokio::test]
    async fn a_connection_that_is_dropped_is_closed() {
        let (mut one, mut far) = lane().await;
        let (sent, ()) = tokio::join!(one.send(request()), answer(&mut far, &CHUNKED[..60]));
        let Sent::Answered(response) = sent else { panic!("no answer") };
        drop((one, response));
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0, "upstream sees it at once");
    }
}
