//! The proxy when somebody fails: upstream cuts, the client leaves, nobody answers, a stranger knocks.

use ccd_tests::assert_eventually;
use ccd_tests::harness::wire::{BodyEnd, Upstream};
use ccd_tests::harness::{Daemon, TestHome, eventually};

use crate::check;
use crate::proxy::Proxy;

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

#[test]
fn a_cut_reaches_the_client_as_a_cut_and_is_recorded_as_incomplete() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    api.send(STREAM);
    api.send_chunk(PING);
    let _ = client.read_head();
    assert_eq!(client.read_body(PING.len()), PING.as_bytes());
    drop(api);
    // A stream that ends early must not look like one that ended well.
    assert_eq!(client.read_rest(), (Vec::new(), BodyEnd::Cut));

    let got = eventually("the exchange is recorded", || check::exchanges(&home).pop());
    assert_eq!((got.status, got.complete), (Some(200), false));
    assert_eq!(got.error.as_deref(), Some("upstream broke off: the connection was closed"));
    let kept = home.ccctl(&["exchange", &got.exchange_id, "--response"]).ok().stdout;
    assert_eq!(kept, PING.as_bytes(), "what came before the cut is kept");
    let proxy = home.running().proxy;
    assert_eq!((proxy.errors, proxy.unreached), (1, 0), "upstream was reached");
}

#[test]
fn a_client_that_reads_slowly_has_everything_before_a_cut() {
    // More than sockets and buffers hold, so that much is still on its way when upstream breaks off.
    const SENT: usize = 16 << 20;
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    let sending = std::thread::spawn(move || {
        api.send(STREAM);
        for _ in 0..SENT / 1024 {
            api.send_chunk([b'x'; 1024]);
        }
    });
    let _ = client.read_head();
    assert_eq!(client.read_body(1024), [b'x'; 1024]);
    assert_eq!(home.running().proxy.in_flight, 1, "the proxy waits for the client");
    let (rest, end) = client.read_rest();
    sending.join().unwrap();
    assert_eq!((rest.len() + 1024, end), (SENT, BodyEnd::Cut));
}

#[test]
fn a_connection_that_upstream_closed_while_it_rested_costs_nobody_a_request() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    for n in 0..5 {
        client.send(proxy.message("s", &format!("hi {n}"), true));
        let mut api = upstream.accept();
        let _ = (api.read_head(), api.read_rest());
        api.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(client.read_head().status(), 200, "request {n}");
        assert_eq!(client.read_rest(), (b"ok".to_vec(), BodyEnd::Whole));
        // Closed without a word; the next request comes at once.
        drop(api);
    }
    assert!(upstream.try_accept().is_none(), "each request was sent once");
    assert_eq!(home.running().proxy.errors, 0);
}

#[test]
fn a_name_that_does_not_resolve_is_said() {
    let home = TestHome::new("http://api.invalid");
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    assert_eq!(client.read_head().status(), 502);
    let body = String::from_utf8(client.read_rest().0).unwrap();
    assert!(body.contains("the name api.invalid does not resolve"), "{body}");
}

#[test]
fn an_answer_that_begins_before_the_request_has_ended_gets_through() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    let request = proxy.request("POST", "/v1/messages", &[], &vec![b'q'; 4 << 20]);
    let (begin, rest) = request.split_at(64 << 10);
    client.send(begin);
    let mut api = upstream.accept();
    let _ = api.read_head();
    api.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig");
    assert_eq!(client.read_head().status(), 413);
    assert_eq!(client.read_rest(), (b"big".to_vec(), BodyEnd::Whole));
    // The rest of the request still has where to go.
    std::thread::scope(|scope| {
        scope.spawn(|| client.send(rest));
        assert_eq!(api.read_rest().0.len(), 4 << 20);
    });
}

#[test]
fn a_client_that_leaves_takes_the_upstream_request_with_it() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    api.send(STREAM);
    api.send_chunk(PING);
    let _ = (client.read_head(), client.read_body(PING.len()));
    assert_eq!(home.running().proxy.in_flight, 1);
    drop(client);
    // Nothing more is sent: the proxy must notice by itself, or the model goes on for nobody.
    api.read_close();
    let got = eventually("the exchange is recorded", || check::exchanges(&home).pop());
    assert_eq!((got.status, got.complete), (Some(200), false));
    assert_eventually!(home.running().proxy.in_flight == 0, "nothing is left under way");
}

#[test]
fn a_client_that_leaves_before_the_answer_is_recorded_without_a_status() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    drop(client);
    api.read_close();
    let got = eventually("the exchange is recorded", || check::exchanges(&home).pop());
    assert_eq!((got.status, got.complete), (None, false));
}

#[test]
fn an_upstream_that_is_not_there_is_an_answer_at_once_and_not_a_dead_port() {
    let gone = Upstream::new();
    let home = TestHome::new(&gone.url());
    drop(gone);
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let head = client.read_head();
    assert!((500..600).contains(&head.status()), "the client retries what is a server's error: {head:?}");
    let (body, _) = client.read_rest();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["type"], "error", "in the API's own form: {body}");
    let got = eventually("the exchange is recorded", || check::exchanges(&home).pop());
    assert!(got.error.is_some(), "{got:?}");
    assert!(home.running().proxy.last_error.is_some());
}

#[test]
fn a_wrong_token_gets_nothing_and_goes_nowhere() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    for token in ["0".repeat(32), String::from("x"), String::from("v1"), String::new()] {
        let mut client = proxy.connect();
        client.send(proxy.request_with_token(&token, "POST", "/v1/messages", &[], b"{}"));
        let head = client.read_head();
        assert_eq!(head.status(), 404, "token {token:?}");
        assert_eq!(client.read_rest(), (Vec::new(), BodyEnd::Whole), "token {token:?}");
    }
    assert!(upstream.try_accept().is_none(), "nothing goes upstream");
    assert!(check::exchanges(&home).is_empty(), "a stranger writes nothing into the record");
}

#[test]
fn a_stop_lets_streams_end_first() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    api.send(STREAM);
    let _ = client.read_head();
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| daemon.stop(&home));
        assert_eventually!(
            home.status().is_none_or(|status| status.daemon.state == "draining"),
            "the daemon is on its way out"
        );
        for _ in 0..20 {
            api.send_chunk(PING);
            assert_eq!(client.read_body(PING.len()), PING.as_bytes());
        }
        api.send_chunk(STOP);
        api.send("0\r\n\r\n");
        assert_eq!(client.read_rest(), (STOP.into(), BodyEnd::Whole));
        stop.join().unwrap();
    });
    let _daemon = Daemon::start(&home);
    let got = check::exchanges(&home);
    assert_eq!((got.len(), got[0].complete), (1, true), "{got:?}");
}
