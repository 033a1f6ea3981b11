//! Upstream speaks HTTP/2, the client HTTP/1.1: another framing, and the same exchange.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use ccd_tests::harness::eventually;
use ccd_tests::harness::raw::{End, Message, bytes, text};
use ccd_tests::harness::soak::{Random, count, summary};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tokio_rustls::TlsAcceptor;

use super::World;
use super::cases::{self, Case, Framing};
use super::client::{Body, Request, short};
use super::origin::{Flaw, Origin, certificate};

/// What upstream saw of a request.
#[derive(Debug)]
struct Seen {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What upstream answers with.
struct Answer {
    case: Case,
    /// Resets the stream instead of ending it, when the client has counted so much.
    reset: Option<(Arc<AtomicU64>, u64)>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
}

struct Pieces {
    frames: VecDeque<Frame<Bytes>>,
    reset: Option<(Arc<AtomicU64>, u64)>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &self.reset {
            None => Poll::Ready(None),
            Some((counted, enough)) if counted.load(Ordering::SeqCst) >= *enough => {
                Poll::Ready(Some(Err(std::io::Error::other("reset"))))
            }
            Some(_) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.reset.is_none()
    }
}

fn header_fields(headers: &http::HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

fn map(fields: &[(String, String)]) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().unwrap();
        map.append(name, http::HeaderValue::from_bytes(&bytes(value)).unwrap());
    }
    map
}

async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Pieces>, Infallible> {
    let (parts, body) = request.into_parts();
    // A request that breaks off is nobody's.
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    shared.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: header_fields(&parts.headers),
        body,
    });
    let Answer { case, reset } = shared.answers.lock().unwrap().pop_front().expect("a script");
    let mut response = hyper::Response::new(Pieces { frames: VecDeque::new(), reset });
    *response.status_mut() = case.response.status.try_into().unwrap();
    *response.headers_mut() = map(&case.response.headers);
    if case.response.framing == Framing::Sized && !matches!(case.response.status, 204 | 304) {
        let length: usize = case.response.pieces.iter().map(Vec::len).sum();
        response.headers_mut().append("content-length", length.into());
    }
    if !case.bodiless() {
        let frames = &mut response.body_mut().frames;
        frames.extend(case.response.pieces.iter().map(|piece| Frame::data(Bytes::from(piece.clone()))));
        if !case.response.trailers.is_empty() {
            frames.push_back(Frame::trailers(map(&case.response.trailers)));
        }
    }
    Ok(response)
}

/// An upstream over TLS that speaks HTTP/2 only. It ends with the test's process.
fn upstream() -> (Origin, Arc<Shared>) {
    let (mut config, tls) = certificate(Flaw::Nothing);
    config.alpn_protocols = vec!["h2".into()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let shared = Arc::<Shared>::default();
    let all = Arc::clone(&shared);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&all));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    server.auto_date_header(false).max_header_list_size(1 << 20);
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    });
    (Origin::elsewhere(address, tls), shared)
}

/// Headers in small letters, in order, without those of one connection.
fn comparable(headers: &[(String, String)]) -> Vec<(String, String)> {
    const OF_CONNECTION: [&str; 5] = ["connection", "host", "te", "transfer-encoding", "keep-alive"];
    let lower = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    lower.filter(|(name, _)| !OF_CONNECTION.contains(&name.as_str())).collect()
}

fn differing<T: PartialEq + std::fmt::Debug>(what: &str, sent: &T, got: &T) -> Result<(), TestCaseError> {
    if sent == got {
        Ok(())
    } else {
        Err(TestCaseError::fail(format!("{what}\n  sent: {sent:?}\n   got: {got:?}")))
    }
}

fn compare(case: &Case, seen: &Seen, got: &Message) -> Result<(), TestCaseError> {
    let Case { request, response } = case;
    differing("method", &request.method, &seen.method.as_str())?;
    differing("path", &request.path, &seen.path)?;
    let mut sent = request.headers.clone();
    let body = match &request.body {
        Body::None => Vec::new(),
        Body::Sized(body) => {
            sent.push(("content-length".into(), body.len().to_string()));
            body.clone()
        }
        Body::Chunked(chunks, _) => chunks.concat(),
    };
    // Nothing, and a length of nothing, are the same.
    let told = |fields: &[(String, String)]| -> Vec<_> {
        comparable(fields)
            .into_iter()
            .filter(|field| *field != ("content-length".into(), "0".into()))
            .collect()
    };
    differing("request headers", &told(&sent), &told(&seen.headers))?;
    differing("request body", &short(&body), &short(&seen.body))?;
    differing("request body", &true, &(body == seen.body))?;
    let te = seen.headers.iter().find(|(name, _)| name == "te").map(|(_, value)| value.as_str());
    differing("TE", &(!response.trailers.is_empty()).then_some("trailers"), &te)?;

    differing("status", &response.status, &got.head.status())?;
    let length: usize = response.pieces.iter().map(Vec::len).sum();
    let mut sent = response.headers.clone();
    if response.framing == Framing::Sized && !matches!(response.status, 204 | 304) {
        sent.push(("content-length".into(), length.to_string()));
    }
    differing("response headers", &told(&sent), &told(&got.head.headers))?;
    let body = if case.bodiless() { Vec::new() } else { response.pieces.concat() };
    differing("response body", &short(&body), &short(&got.body))?;
    differing("response body", &true, &(body == got.body))?;
    differing("trailers", &comparable(&response.trailers), &comparable(&got.trailers))?;
    differing("end", &End::Whole, &got.end)
}

#[test]
fn any_exchange_over_http2_is_the_same_for_the_client() {
    let (origin, shared) = upstream();
    let world = World::new(origin);
    let way = world.proxied();
    let config = Config::default();
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => Random::seeded("exact over HTTP/2").any(),
    };
    let config = Config {
        cases: u32::try_from(count(40, 2_000)).unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..config
    };
    let number = std::cell::Cell::new(0);
    let result = TestRunner::new(config).run(&cases::conversation(), |conversation| {
        let mut client = way.connect();
        for mut case in conversation.cases {
            number.set(number.get() + 1);
            let session = number.get().to_string();
            case.request.headers.push(("x-claude-code-session-id".into(), session.clone()));
            shared.answers.lock().unwrap().clear();
            shared.seen.lock().unwrap().clear();
            shared.answers.lock().unwrap().push_back(Answer { case: case.clone(), reset: None });
            let got = client.exchange(&way, &case.request).expect("an answer");
            let mut asked = std::mem::take(&mut *shared.seen.lock().unwrap());
            differing("requests that upstream saw", &1, &asked.len())?;
            compare(&case, &asked.remove(0), &got)?;
            let record = world.recorded(&session);
            differing("recorded", &true, &world.keeps(&record.exchange_id, "response", &got.body))?;
            let detail = world.detail(&record.exchange_id);
            differing("version", &"HTTP/2", &detail.http.1.as_str())?;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("exact over HTTP/2: PROPTEST_RNG_SEED={seed}\n{error}");
    }
    summary(&format!(
        "F17: exact over HTTP/2: {} exchanges, the same at both ends and in the record",
        number.get()
    ));
}

#[test]
fn a_large_head_over_http2_reaches_the_client() {
    let (origin, shared) = upstream();
    let world = World::new(origin);
    let way = world.proxied();
    let response = cases::Response {
        interim: Vec::new(),
        status: 200,
        reason: "OK",
        headers: (0..8).map(|n| (format!("x-{n}"), "y".repeat(6_000))).collect(),
        framing: Framing::Sized,
        pieces: vec![b"ok".to_vec()],
        trailers: Vec::new(),
        closes: false,
    };
    let case = Case { request: Request::post("large-head", b"{}"), response };
    shared.answers.lock().unwrap().push_back(Answer { case: case.clone(), reset: None });
    let got = way.ask(&case.request).expect("an answer");
    let seen = shared.seen.lock().unwrap().remove(0);
    compare(&case, &seen, &got).unwrap();
}

#[test]
fn a_stream_that_http2_resets_breaks_off_for_the_client_and_leaves_others_alone() {
    let (origin, shared) = upstream();
    let world = World::new(origin);
    let way = world.proxied();
    let case = |session: &str, pieces: usize| Case {
        request: Request::post(session, b"{}"),
        response: cases::Response {
            interim: Vec::new(),
            status: 200,
            reason: "OK",
            headers: vec![("content-type".into(), "text/event-stream".into())],
            framing: Framing::Chunked,
            pieces: (0..pieces).map(|n| format!("event: ping\ndata: {n}\n\n").into_bytes()).collect(),
            trailers: Vec::new(),
            closes: false,
        },
    };
    // One stream that lives through all of it, on the same connection to upstream.
    let mut other = way.connect();
    let gate = Arc::<AtomicU64>::default();
    let lasting = case("lasting", 1);
    shared
        .answers
        .lock()
        .unwrap()
        .push_back(Answer { case: lasting.clone(), reset: Some((gate.clone(), 1)) });
    other.send(&[lasting.request.head(&way), lasting.request.body()].concat());
    let chunks = count(20, 300);
    for at in 0..chunks {
        let session = format!("reset-{at}");
        let case = case(&session, at);
        let sent = case.response.pieces.concat();
        let mut client = way.connect();
        let reset = Some((client.received.clone(), sent.len() as u64 + 1));
        eventually("the first is under way", || (shared.answers.lock().unwrap().is_empty()).then_some(()));
        shared.answers.lock().unwrap().push_back(Answer { case: case.clone(), reset });
        let got = client.exchange(&way, &case.request).expect("an answer");
        assert_eq!((got.end, text(&got.body)), (End::Cut, text(&sent)), "{at}");
        let record = world.recorded(&session);
        let told = record.error.as_deref().unwrap_or_default();
        assert!(
            !record.complete && told.starts_with("upstream broke off: it reset the stream ("),
            "{record:?}"
        );
        assert_eq!(world.body(&record.exchange_id, "response"), sent, "{at}");
    }
    gate.store(1, Ordering::SeqCst);
    let got = other.response("POST").expect("an answer");
    assert_eq!(got.body, lasting.response.pieces.concat(), "the other stream is as it was");
    summary(&format!("F14: {chunks} streams reset over HTTP/2, another one on the same connection lives"));
}
