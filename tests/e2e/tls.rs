//! An upstream over TLS, with a certificate that the platform's trust roots vouch for, over HTTP/2 and HTTP/1.1.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use ccd_proto::api::{ExchangeDetail, Reply};
use ccd_tests::harness::{Daemon, TestHome, eventually};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::check;
use crate::proxy::Proxy;

const BODY: &str = r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"over TLS"}]}"#;

/// Makes an authority and a certificate of `localhost`; the authority's goes into `roots`.
fn certificate(roots: &Path) -> rustls::ServerConfig {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(roots, authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap()
}

/// Answers with what it was asked: protocol, authority, and the body.
async fn answer(request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let seen = format!(
        "{:?} {} {}",
        request.version(),
        request.uri().authority().map_or("-", |a| a.as_str()),
        request.headers().get("host").map_or("-", |h| h.to_str().unwrap()),
    );
    let connection = request.headers().contains_key("connection");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let response = hyper::Response::builder()
        .header("x-seen", seen)
        .header("x-connection-header", connection.to_string())
        .header("request-id", "req_tls");
    Ok(response.body(Full::new(body)).unwrap())
}

/// An upstream that speaks `protocol` only. It ends with the test's process.
fn upstream(mut tls: rustls::ServerConfig, protocol: &'static str) -> SocketAddr {
    tls.alpn_protocols = vec![protocol.into()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(tls));
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not trust us goes away here.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let io = TokioIo::new(stream);
                    if protocol == "h2" {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        server.serve_connection(io, service_fn(answer)).await.unwrap_or_default();
                    } else {
                        let server = hyper::server::conn::http1::Builder::new();
                        server.serve_connection(io, service_fn(answer)).await.unwrap_or_default();
                    }
                });
            }
        });
    });
    address
}

/// A proxy as a company's network has one: takes CONNECT, with a password, and passes bytes on. Returns its
/// address and what it was asked for.
fn company_proxy() -> (SocketAddr, Receiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = sync_channel(8);
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let to = head.split(' ').nth(1).unwrap_or("").to_owned();
            tell.send(head).unwrap();
            let mut upstream = std::net::TcpStream::connect(to.replace("localhost", "127.0.0.1")).unwrap();
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let (mut from_client, mut to_upstream) =
                (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_upstream));
            std::thread::spawn(move || std::io::copy(&mut upstream, &mut client));
        }
    });
    (address, asked)
}

#[test]
fn the_proxy_of_the_network_is_used_by_connect_and_no_proxy_is_honoured() {
    for (no_proxy, used) in [("example.org", true), ("localhost", false)] {
        let scratch = tempfile::tempdir().unwrap();
        let roots = scratch.path().join("roots.pem");
        let upstream = upstream(certificate(&roots), "h2");
        let (proxy, asked) = company_proxy();
        let home = TestHome::new(&format!("https://localhost:{}", upstream.port()))
            .with_env("SSL_CERT_FILE", &roots)
            .with_env("HTTPS_PROXY", format!("http://user:secret@{proxy}"))
            .with_env("NO_PROXY", no_proxy);
        let _daemon = Daemon::start(&home);
        let ours = Proxy::of(&home);
        let mut client = ours.connect();
        client.send(ours.request("POST", "/v1/messages", &[], BODY.as_bytes()));
        assert_eq!(client.read_head().status(), 200, "{no_proxy}");
        match asked.try_recv() {
            Ok(head) => {
                assert!(used, "{head}");
                assert!(head.starts_with(&format!("CONNECT localhost:{} ", upstream.port())), "{head}");
                assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic"), "{head}");
            }
            Err(_) => assert!(!used, "the proxy was not asked"),
        }
    }
}

fn through(protocol: &'static str, trusted: bool) -> (TestHome, Daemon, u16, String, Vec<u8>) {
    let scratch = tempfile::tempdir().unwrap();
    let roots = scratch.path().join("roots.pem");
    let address = upstream(certificate(&roots), protocol);
    let url = format!("https://localhost:{}", address.port());
    let home = TestHome::new(&url);
    let roots_in_home = home.user().join("roots.pem");
    if trusted {
        std::fs::copy(&roots, &roots_in_home).unwrap();
    } else {
        certificate(&roots_in_home);
    }
    let home = home.with_env("SSL_CERT_FILE", roots_in_home);
    let daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.request("POST", "/v1/messages", &[], BODY.as_bytes()));
    let head = client.read_head();
    let seen = head.header("x-seen").unwrap_or("").to_owned();
    assert_ne!(head.header("x-connection-header"), Some("true"), "hop-by-hop headers end at the proxy");
    let length: usize = head.header("content-length").unwrap().parse().unwrap();
    let body = client.read_body(length);
    (home, daemon, head.status(), format!("{seen} localhost:{}", address.port()), body)
}

#[test]
fn http2_and_http1_upstreams_are_spoken_to_over_tls() {
    for (protocol, version, recorded) in [("h2", "HTTP/2.0", "HTTP/2"), ("http/1.1", "HTTP/1.1", "HTTP/1.1")]
    {
        let (home, _daemon, status, seen, body) = through(protocol, true);
        assert_eq!((status, body.as_slice()), (200, BODY.as_bytes()), "{protocol}");
        let (seen, host) = seen.rsplit_once(' ').unwrap();
        assert!(seen.starts_with(version) && seen.contains(host), "{protocol}: {seen}");
        let exchange = eventually("the exchange is recorded", || check::exchanges(&home).pop());
        assert_eq!(exchange.request_id.as_deref(), Some("req_tls"));
        let detail: Reply<ExchangeDetail> = home.query(&["exchange", &exchange.exchange_id]);
        assert_eq!(detail.body.http, ("HTTP/1.1".to_owned(), recorded.to_owned()));
        let sent = home.ccctl(&["exchange", &exchange.exchange_id, "--request"]).ok().stdout;
        assert_eq!(sent, BODY.as_bytes(), "{protocol}");
    }
}

#[test]
fn an_upstream_that_nobody_vouches_for_is_not_spoken_to() {
    let (home, _daemon, status, _, body) = through("h2", false);
    assert_eq!(status, 502);
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("certificate") && text.contains("api_error"), "{text}");
    assert!(home.running().proxy.last_error.is_some());
}
