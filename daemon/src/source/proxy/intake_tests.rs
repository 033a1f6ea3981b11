//! The intake in front of a real hyper server, on a clock that stands still unless all wait.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;

const LIMITS: Limits = Limits {
    head_bytes: 1000,
    fields: 5,
    head: Duration::from_secs(10),
    idle: Duration::from_secs(620),
    stall: Duration::from_secs(300),
    body_bytes: 1000,
    linger: Duration::from_secs(1),
    ..Limits::DEFAULT
};

struct Server {
    client: DuplexStream,
    /// Requests whose body came whole.
    whole: Arc<AtomicUsize>,
    ended: JoinHandle<hyper::Result<()>>,
}

/// Echoes bodies, or tells why not; takes so long for each.
fn serve(takes: Duration) -> Server {
    let (client, server) = duplex(1 << 16);
    let intake = Intake::new(server, LIMITS);
    let turns = Arc::clone(intake.turns());
    let whole = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&whole);
    let service = service_fn(move |request: Request<Incoming>| {
        let turn = turns.next();
        let seen = Arc::clone(&seen);
        async move {
            let mut response = Response::new(Full::new(Bytes::new()));
            match turn.refused() {
                Some(Refusal::Malformed) => *response.status_mut() = StatusCode::BAD_REQUEST,
                Some(Refusal::TooLarge) => {
                    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                }
                Some(Refusal::TooSlow) => *response.status_mut() = StatusCode::REQUEST_TIMEOUT,
                None => {
                    sleep(takes).await;
                    match request.into_body().collect().await {
                        Ok(body) => {
                            seen.fetch_add(1, Ordering::SeqCst);
                            *response.body_mut() = Full::new(body.to_bytes());
                        }
                        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
                    }
                }
            }
            drop(turn);
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(intake), service);
    Server { client, whole, ended: tokio::spawn(connection) }
}

impl Server {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.client.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).unwrap()
    }

    async fn read(&mut self, until: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(until) {
            let byte = self.client.read_u8().await.unwrap_or_else(|e| panic!("{e} after {text:?}"));
            text.push(char::from(byte));
        }
        text
    }
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn requests_one_after_the_other_go_through_whatever_way_they_are_cut() {
    let all = [&post("one"), &post(""), "\r\n", CHUNKED, "3;x\r\ntwo\r\n0\r\na: b\r\n\r\n", &post("three")]
        .concat();
    for step in [1, 2, 7, 40, all.len()] {
        let mut server = serve(Duration::ZERO);
        let mut answers = String::new();
        for piece in all.as_bytes().chunks(step) {
            server.client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        server.client.shutdown().await.unwrap();
        answers.push_str(&server.rest().await);
        assert_eq!(answers.matches("200 OK").count(), 4, "{step}: {answers}");
        assert!(
            answers.contains("one") && answers.contains("two") && answers.ends_with("three"),
            "{answers}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_is_answered_after_the_answers_before_it_and_ends_the_connection() {
    for (bad, status) in [
        ("GET / HTTP/1.1\r\nhost: h\r\na: b\nc: d\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\n\r\n", "431"),
        (&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1000)), "431"),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    ] {
        let mut server = serve(Duration::from_secs(1000));
        server.send(&(post("first") + bad + &post("smuggled"))).await;
        let answers = server.rest().await;
        let (first, refusal) = answers.split_once("first").unwrap();
        assert!(first.starts_with("HTTP/1.1 200"), "{answers}");
        assert!(refusal.starts_with(&format!("HTTP/1.1 {status}")), "{answers}");
        assert!(refusal.contains("connection: close"), "{answers}");
        assert_eq!(server.whole.load(Ordering::SeqCst), 1, "nothing behind it is a request");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_too_slowly_is_refused_and_a_connection_may_rest_much_longer() {
    let mut server = serve(Duration::ZERO);
    sleep(Duration::from_secs(600)).await;
    server.send(&post("one")).await;
    assert!(server.read("one").await.starts_with("HTTP/1.1 200"));
    sleep(Duration::from_secs(619)).await;
    server.send(&post("two")).await;
    let _ = server.read("two").await;

    let begun = Instant::now();
    for byte in "GET / HTT".bytes() {
        server.client.write_u8(byte).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert!(server.rest().await.starts_with("HTTP/1.1 408"));
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());

    let mut server = serve(Duration::ZERO);
    server.send(&post("one")).await;
    let _ = server.read("one").await;
    let begun = Instant::now();
    assert_eq!(server.rest().await, "", "an end, and no answer to nothing");
    assert!(begun.elapsed() >= Duration::from_secs(620) && begun.elapsed() < Duration::from_secs(630));
    assert!(server.ended.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_for_ever() {
    let mut server = serve(Duration::from_secs(100_000));
    server.send(&post("late")).await;
    assert!(server.read("late").await.starts_with("HTTP/1.1 200"));
    // And the rest begins then.
    sleep(Duration::from_secs(619)).await;
    server.send(&post("again")).await;
    let _ = server.read("again").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_may_come_slowly_but_not_stall() {
    let mut server = serve(Duration::ZERO);
    server.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n").await;
    for _ in 0..10 {
        sleep(Duration::from_secs(299)).await;
        server.send("x").await;
    }
    let _ = server.read("xxxxxxxxxx").await;
    server.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nxx").await;
    let begun = Instant::now();
    let _ = server.rest().await;
    assert!(begun.elapsed() >= Duration::from_secs(300) && begun.elapsed() < Duration::from_secs(310));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_slow_does_not_count_as_a_body_that_stalls() {
    // The service reads the body only after longer than a stall may take.
    let mut server = serve(Duration::from_secs(1000));
    server.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nxx").await;
    sleep(Duration::from_secs(900)).await;
    server.send("yy").await;
    assert!(server.read("xxyy").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_undeclared_length_is_cut_at_the_limit_and_a_malformed_one_at_once() {
    for body in [format!("400\r\n{}\r\n0\r\n\r\n", "x".repeat(1024)), "5\nhello".into(), "zz\r\n".into()] {
        let mut server = serve(Duration::ZERO);
        server.send(CHUNKED).await;
        tokio::task::yield_now().await;
        server.send(&body).await;
        let answer = server.rest().await;
        assert!(!answer.contains(" 200 "), "{answer}");
        let _ = server.ended.await.unwrap();
        assert_eq!(server.whole.load(Ordering::SeqCst), 0, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_while_its_answer_is_awaited() {
    let mut server = serve(Duration::from_secs(1000));
    server.send(&post("x")).await;
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    drop(server.client);
    let _ = server.ended.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1) && server.whole.load(Ordering::SeqCst) == 0);
}
