//! An upstream over TLS, with a certificate that the platform's trust roots vouch for, over HTTP/2 and HTTP/1.1.

mod http2;
mod network;
mod peers;

use ccd_proto::api::{ExchangeDetail, Reply};
use ccd_tests::harness::{Daemon, TestHome, eventually};

use self::peers::{Authority, BODY, Upstream};
use crate::check;
use crate::proxy::Proxy;

fn through(protocol: &'static str, trusted: bool) -> (TestHome, Daemon, u16, String, Vec<u8>) {
    let authority = Authority::new();
    let upstream = Upstream::new(authority.server("localhost"), protocol);
    let home = TestHome::new(&upstream.url());
    let vouching = if trusted { authority } else { Authority::new() };
    let roots = vouching.write(&home.user().join("roots.pem"));
    let home = home.with_env("SSL_CERT_FILE", roots);
    let daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.request("POST", "/v1/messages", &[], BODY.as_bytes()));
    let head = client.read_head();
    let seen = head.header("x-seen").unwrap_or("").to_owned();
    assert_ne!(head.header("x-connection-header"), Some("true"), "hop-by-hop headers end at the proxy");
    let length: usize = head.header("content-length").unwrap().parse().unwrap();
    let body = client.read_body(length);
    (home, daemon, head.status(), format!("{seen} localhost:{}", upstream.port()), body)
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
