//! Many requests on one HTTP/2 connection, and streams that upstream will not process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ccd_tests::harness::{Daemon, TestHome};
use tokio_rustls::TlsAcceptor;

use super::peers::{Authority, BODY, Upstream};
use crate::proxy::Proxy;

fn home_of(authority: &Authority, url: &str) -> TestHome {
    let home = TestHome::new(url);
    let roots = authority.write(&home.user().join("roots.pem"));
    home.with_env("SSL_CERT_FILE", roots)
}

#[test]
fn requests_at_the_same_time_share_a_connection() {
    const AT_ONCE: usize = 32;
    let authority = Authority::new();
    let upstream = Upstream::gathering(authority.server("localhost"), AT_ONCE);
    let home = home_of(&authority, &upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut clients: Vec<_> = (0..AT_ONCE).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(proxy.request("POST", "/v1/messages", &[], BODY.as_bytes()));
    }
    // None is answered before all have been asked.
    for client in &mut clients {
        assert_eq!(client.read_head().status(), 200);
        assert_eq!(client.read_rest().0, BODY.as_bytes());
    }
    assert_eq!(upstream.accepted(), 1);
}

#[test]
fn clients_that_do_not_read_hold_up_nobody() {
    const IDLERS: usize = 8;
    const LARGE: usize = 24 << 20;
    let authority = Authority::new();
    let upstream = Upstream::new(authority.server("localhost"), "h2");
    let home = home_of(&authority, &upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let size = LARGE.to_string();
    let mut idlers: Vec<_> = (0..IDLERS)
        .map(|_| {
            let mut client = proxy.connect();
            client.send(proxy.request("POST", "/v1/messages", &[("x-bytes", &size)], BODY.as_bytes()));
            assert_eq!(client.read_head().status(), 200);
            client
        })
        .collect();
    let mut client = proxy.connect();
    client.send(proxy.request("POST", "/v1/messages", &[], BODY.as_bytes()));
    assert_eq!(client.read_head().status(), 200);
    assert_eq!(client.read_rest().0, BODY.as_bytes());
    assert_eq!(upstream.accepted(), 1);
    // Nor do they lose anything.
    assert_eq!(idlers[0].read_rest().0.len(), LARGE);
}

/// What an upstream does that does not serve all that comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Refuses the first stream of all, having read its body.
    Refusing,
    /// Takes one stream on each connection, and says so.
    Leaving,
}

/// An upstream that answers with what it was sent, as far as it is in the mood; and how often it accepted.
fn moody(mut tls: rustls::ServerConfig, mood: Mood) -> (u16, Arc<AtomicUsize>) {
    tls.alpn_protocols = vec!["h2".into()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(tls));
            while let Ok((stream, _)) = listener.accept().await {
                let stream = acceptor.accept(stream).await.unwrap();
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                tokio::spawn(serve(stream, first && mood == Mood::Refusing, mood == Mood::Leaving));
            }
        });
    });
    (port, accepted)
}

async fn serve(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>, refuse: bool, leave: bool) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if leave {
            connection.graceful_shutdown();
        }
        let mut body = request.into_body();
        tokio::spawn(async move {
            let mut whole = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                whole.extend(piece);
            }
            if refuse {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                return;
            }
            let mut send = respond.send_response(http::Response::new(()), false).unwrap();
            send.send_data(Bytes::from(whole), true).unwrap();
        });
    }
}

#[test]
fn a_connection_that_takes_no_more_streams_costs_nobody_a_request() {
    let authority = Authority::new();
    let (port, accepted) = moody(authority.server("localhost"), Mood::Leaving);
    let home = home_of(&authority, &format!("https://localhost:{port}"));
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    for _ in 0..10 {
        client.send(proxy.request("POST", "/v1/messages", &[], BODY.as_bytes()));
        assert_eq!(client.read_head().status(), 200);
        assert_eq!(client.read_rest().0, BODY.as_bytes());
    }
    assert!(accepted.load(Ordering::SeqCst) > 1);
    assert_eq!(home.running().proxy.errors, 0);
}

#[test]
fn a_stream_that_upstream_refuses_goes_again_whole() {
    let authority = Authority::new();
    let (port, accepted) = moody(authority.server("localhost"), Mood::Refusing);
    let home = home_of(&authority, &format!("https://localhost:{port}"));
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let large = vec![b'q'; 300 << 10];
    let mut client = proxy.connect();
    client.send(proxy.request("POST", "/v1/messages", &[], &large));
    assert_eq!(client.read_head().status(), 200);
    assert!(client.read_body(large.len()) == large, "the same bytes, once");
    assert_eq!(accepted.load(Ordering::SeqCst), 2, "one that refused, one that did not");
}
