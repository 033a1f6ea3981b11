//! The proxy and its way to upstream, in-process: what takes a clock that is set by hand, or a shorter patience.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ccd::clock::Clock;
use ccd::config::{Capture, Network};
use ccd::ingest::Door;
use ccd::memory::Budget;
use ccd::source::proxy::bypass::{Bypass, Capturing};
use ccd::source::proxy::limits;
use ccd::source::proxy::server::{Proxy, Settings};
use ccd::source::proxy::upstream::{Limits, Target, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that is set by hand.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A proxy without a store, and its address.
async fn proxy(upstream: &str, network: &Network, ready: Duration, clock: Arc<dyn Clock>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = Target::new(&upstream.parse().unwrap()).unwrap();
    let limits = Limits { ready, ..Limits::default() };
    let upstream = Upstream::new(target, network, limits, Arc::clone(&clock));
    let settings = Settings { upstream, capture: Capture::default() };
    let off = Capturing::Off { why: "nothing is captured here".into(), door: Door::new().0 };
    let bypass = Bypass::new(off, Budget::unlimited());
    let proxy = Proxy::new(TOKEN.into(), address, limits::Limits::DEFAULT, settings, bypass, clock);
    let forever = CancellationToken::new;
    tokio::spawn(proxy.serve(listener, TaskTracker::new(), forever(), forever()));
    address
}

/// Reads to the end of a head; what came behind it is not expected.
async fn head(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(seen).unwrap()
}

/// Asks once on `client`; the status and the body, which has a length.
async fn ask(client: &mut TcpStream) -> (u16, String) {
    let host = client.peer_addr().unwrap();
    let request =
        format!("POST /{TOKEN}/v1/messages HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\nhi");
    client.write_all(request.as_bytes()).await.unwrap();
    let head = tokio::time::timeout(PATIENCE, head(client)).await.unwrap();
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    client.read_exact(&mut body).await.unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
}

/// Takes one request and answers it.
async fn answer(api: &mut TcpStream) {
    head(api).await;
    api.read_exact(&mut [0; 2]).await.unwrap();
    api.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
}

#[tokio::test]
async fn a_connection_is_kept_and_given_up_after_a_sleep_of_the_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let clock = Arc::new(Hand::default());
    let shared = Arc::clone(&clock) as Arc<dyn Clock>;
    let address = proxy(&upstream, &Network::default(), PATIENCE, shared).await;
    let mut client = TcpStream::connect(address).await.unwrap();

    let serve = async {
        let (mut first, _) = listener.accept().await.unwrap();
        answer(&mut first).await;
        answer(&mut first).await;
        first
    };
    let asked = async {
        for _ in 0..2 {
            assert_eq!(ask(&mut client).await, (200, "ok".into()));
        }
    };
    let (mut first, ()) = tokio::join!(serve, asked);

    // The machine slept: the first connection is still open at this end, and nobody knows about the other.
    clock.0.store(u64::try_from(Duration::from_secs(3600).as_nanos()).unwrap(), Ordering::SeqCst);
    let serve = async {
        let (mut second, _) = listener.accept().await.unwrap();
        answer(&mut second).await;
    };
    let (got, ()) = tokio::join!(ask(&mut client), serve);
    assert_eq!(got, (200, "ok".into()));
    assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "the first one was closed, and nothing sent on it");
}

/// Somebody who accepts and never says a word.
async fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn who_never_answers_is_a_timeout_that_says_where() {
    let (_held, mute) = silent().await;
    let through = Network { https_proxy: Some(format!("http://{mute}")), ..Network::default() };
    let over_tls = Network { https_proxy: Some(format!("https://{mute}")), ..Network::default() };
    let cases = [
        (format!("https://{mute}"), Network::default(), "TLS took too long"),
        ("https://api.invalid".to_owned(), through, "CONNECT through the network's proxy took too long"),
        ("https://api.invalid".to_owned(), over_tls, "TLS with the network's proxy took too long"),
    ];
    for (upstream, network, words) in cases {
        let clock = Arc::new(Hand::default());
        let address = proxy(&upstream, &network, Duration::from_millis(200), clock).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (status, body) = ask(&mut client).await;
        assert_eq!(status, 504, "{body}");
        assert!(body.contains(words) && body.contains("api_error"), "{body}");
        // The same for who comes next, on the same connection.
        assert_eq!(ask(&mut client).await.0, 504);
    }
}

#[tokio::test]
async fn many_that_wait_for_one_dial_fail_with_it() {
    let (_held, mute) = silent().await;
    let clock = Arc::new(Hand::default());
    let ready = Duration::from_secs(1);
    let address = proxy(&format!("https://{mute}"), &Network::default(), ready, clock).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..40 {
        asking.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            ask(&mut client).await.0
        });
    }
    // One after the other they would take far longer than anybody waits.
    while let Some(status) = asking.join_next().await {
        assert_eq!(status.unwrap(), 504);
    }
}
