//! The mock's HTTP side: reads a request, enters it in the ledger, plays the script's answer.
//!
//! Every byte of an answer is in the ledger before it is handed to the connection, never after: a client that
//! has seen the end of an answer finds the ledger complete.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::ids;
use super::ledger::{Ended, Exchange, Ledger};
use super::message::{Event, Message};
use super::request;
use super::script::{Answer, End, Failure, Reply, Script};

/// Lets the last bytes before a cut leave: a connection that is dropped at once takes them with it.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// What all connections share.
pub(crate) struct Api {
    script: Script,
    ledger: Arc<Ledger>,
    /// Numbers exchanges from 1.
    count: AtomicU64,
    /// How often each step of each conversation was asked for, by session and agent.
    attempts: Mutex<HashMap<String, usize>>,
}

impl Api {
    pub(crate) fn new(script: Script, ledger: Arc<Ledger>) -> Self {
        Api { script, ledger, count: AtomicU64::new(0), attempts: Mutex::default() }
    }
}

/// Serves connections until the runtime ends.
pub(crate) async fn accept(listener: TcpListener, api: Arc<Api>) {
    while let Ok((stream, _)) = listener.accept().await {
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            // Small events shall go out one by one.
            let _ = stream.set_nodelay(true);
            let service = hyper::service::service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            });
            // An error here is a client that went away or a scripted cut: both are in the ledger.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type AnswerBody = Either<Full<Bytes>, Stream>;

/// One request while it is being answered.
struct Call {
    number: u64,
    /// Its place in the ledger.
    place: usize,
    /// Whether it asks for headers only.
    head: bool,
    body: Value,
    /// Session and agent.
    asker: String,
}

impl Api {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let path = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let mut entry = Exchange {
            method: head.method.to_string(),
            path: path.clone(),
            request_headers: pairs(&head.headers),
            request_id: ids::id("req", number),
            ..Exchange::default()
        };
        let Ok(body) = body.collect().await else {
            // The client went away amid its request: there is nobody to answer.
            let place = self.ledger.open(entry);
            self.ledger.close(place, Ended::ClientGone);
            return Response::new(Either::Left(Full::default()));
        };
        entry.request = body.to_bytes();
        let body = serde_json::from_slice(&entry.request).unwrap_or(Value::Null);
        let asker = format!("{:?}/{:?}", entry.session(), entry.agent());
        let is_head = head.method == Method::HEAD;
        let call = Call { number, place: self.ledger.open(entry), head: is_head, body, asker };

        let route = path.split('?').next().unwrap_or_default();
        if head.method == Method::POST && route.ends_with("/v1/messages/count_tokens") {
            self.whole(&call, 200, &json!({"input_tokens": 1_000 + number}), None)
        } else if head.method == Method::POST && route.ends_with("/v1/messages") {
            match self.scripted(&call) {
                Answer::Reply(reply) => self.reply(&call, &reply),
                Answer::Fail(failure) => self.fail(&call, &failure),
            }
        } else {
            self.fail(&call, &Failure { status: 404, retry_after: None })
        }
    }

    fn scripted(&self, call: &Call) -> Answer {
        let Some(place) = request::place(&call.body, &self.script.conversations) else {
            return self.script.answer(None, 0);
        };
        let turning = place.turning.as_ref().map(|(n, _)| n);
        let key = format!("{}/{}/{turning:?}/{}", call.asker, place.conversation, place.step);
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry(key).or_default();
        *attempt += 1;
        self.script.answer(Some(&place), *attempt - 1)
    }

    fn reply(&self, call: &Call, reply: &Reply) -> Response<AnswerBody> {
        let model = call.body["model"].as_str().unwrap_or("claude-opus-5-5");
        let message = Message::build(reply, call.number, model);
        let streamed = call.body["stream"] == true;
        let told_all = !streamed || reply.end == End::Whole;
        self.ledger.update(call.place, |entry| {
            entry.message_id = Some(message.id.clone());
            entry.model = Some(model.to_owned());
            if told_all {
                entry.tokens = Some(message.tokens);
                entry.stop_reason = Some(message.stop_reason.clone());
                entry.reasoning = message.reasoning.clone();
                entry.tool_calls.clone_from(&message.tool_calls);
            } else {
                // A stream that breaks off told no more than its opening does.
                entry.tokens = Some(message.opening_tokens());
            }
        });
        if streamed {
            self.stream(call, message.events, reply)
        } else {
            self.whole(call, 200, &message.whole, None)
        }
    }

    fn fail(&self, call: &Call, failure: &Failure) -> Response<AnswerBody> {
        let body = json!({
            "type": "error",
            "error": {"type": failure.kind(), "message": format!("Scripted {}", failure.status)},
            "request_id": ids::id("req", call.number),
        });
        self.whole(call, failure.status, &body, failure.retry_after)
    }

    fn whole(
        &self,
        call: &Call,
        status: u16,
        body: &Value,
        retry_after: Option<u64>,
    ) -> Response<AnswerBody> {
        let bytes = if call.head { Bytes::new() } else { Bytes::from(body.to_string()) };
        let mut response =
            self.headed(call, status, "application/json", Either::Left(Full::new(bytes.clone())));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        self.ledger.update(call.place, |entry| {
            entry.response_headers = pairs(response.headers());
            entry.response = bytes.to_vec();
        });
        self.ledger.close(call.place, Ended::Whole);
        response
    }

    fn stream(&self, call: &Call, mut events: Vec<Event>, reply: &Reply) -> Response<AnswerBody> {
        match reply.end {
            End::Whole => {}
            End::Cut(after) => events.truncate(after),
            End::Error(after) => {
                events.truncate(after);
                events.push(Event::overloaded());
            }
        }
        let cut = matches!(reply.end, End::Cut(_));
        let (sender, receiver) = mpsc::channel(1);
        let pace = Duration::from_millis(reply.pace_ms);
        tokio::spawn(play(Arc::clone(&self.ledger), call.place, events, pace, cut, sender));
        self.headed(call, 200, "text/event-stream; charset=utf-8", Either::Right(Stream(receiver)))
    }

    /// A response with the headers that the API sends.
    fn headed(&self, call: &Call, status: u16, kind: &'static str, body: AnswerBody) -> Response<AnswerBody> {
        let left = (4_000 - call.number.min(4_000)).to_string();
        let response = Response::builder()
            .status(status)
            .header("content-type", kind)
            .header("cache-control", "no-cache")
            .header("anthropic-ratelimit-requests-limit", "4000")
            .header("anthropic-ratelimit-requests-remaining", left)
            .header("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z")
            .header("anthropic-ratelimit-tokens-limit", "4000000")
            .header("anthropic-ratelimit-tokens-remaining", "3999000")
            .header("anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:00Z")
            .header("request-id", ids::id("req", call.number))
            .header("anthropic-organization-id", "00000000-0000-4000-8000-000000000000")
            .header("via", "1.1 mock")
            .body(body)
            .expect("headers that are fixed or digits");
        self.ledger.update(call.place, |entry| {
            entry.status = status;
            entry.response_headers = pairs(response.headers());
        });
        response
    }
}

async fn play(
    ledger: Arc<Ledger>,
    entry: usize,
    events: Vec<Event>,
    pace: Duration,
    cut: bool,
    sender: mpsc::Sender<Result<Bytes, Cut>>,
) {
    let last = events.len().saturating_sub(1);
    for (n, event) in events.into_iter().enumerate() {
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
        let bytes = event.encode();
        ledger.update(entry, |entry| entry.response.extend_from_slice(&bytes));
        if n == last && !cut {
            ledger.close(entry, Ended::Whole);
        }
        if sender.send(Ok(bytes)).await.is_err() {
            return ledger.close(entry, Ended::ClientGone);
        }
    }
    if cut {
        tokio::time::sleep(BEFORE_CUT).await;
        ledger.close(entry, Ended::Cut);
        let _ = sender.send(Err(Cut)).await;
    }
}

/// The connection shall drop.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by the script")
    }
}

impl std::error::Error for Cut {}

/// A body that is handed over event by event.
struct Stream(mpsc::Receiver<Result<Bytes, Cut>>);

impl Body for Stream {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.0.poll_recv(cx).map(|next| next.map(|event| event.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
