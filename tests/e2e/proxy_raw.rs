//! The proxy at the level of bytes: nothing altered, nothing held back, both ways; and the same bytes recorded.

use std::io::Write;

use ccd_proto::api::{Exchange, ExchangeDetail, Reply, Tokens};
use ccd_tests::harness::wire::{BodyEnd, Upstream, Wire};
use ccd_tests::harness::{Daemon, TestHome, eventually};
use ccd_tests::mock::sha256;

use crate::check;
use crate::proxy::{Proxy, SECRET};

/// A home, its daemon, its proxy, and the upstream that the test plays itself.
struct World {
    // Before its home: fields are dropped in their order.
    _daemon: Daemon,
    home: TestHome,
    proxy: Proxy,
    upstream: Upstream,
}

impl World {
    fn new() -> Self {
        let upstream = Upstream::new();
        let home = TestHome::new(&upstream.url());
        let daemon = Daemon::start(&home);
        let proxy = Proxy::of(&home);
        World { _daemon: daemon, home, proxy, upstream }
    }

    /// Sends `request` and returns both ends of its way, the request read up to its body.
    fn send(&self, request: &[u8]) -> (Wire, Wire) {
        let mut client = self.proxy.connect();
        client.send(request);
        (client, self.upstream.accept())
    }

    /// Waits for the one recorded exchange.
    fn recorded(&self) -> Exchange {
        let exchange = eventually("the exchange is recorded", || check::exchanges(&self.home).pop());
        assert_eq!(check::exchanges(&self.home).len(), 1);
        exchange
    }

    fn recorded_body(&self, which: &str) -> Vec<u8> {
        self.home.ccctl(&["exchange", &self.recorded().exchange_id, which]).ok().stdout
    }
}

const SSE_HEAD: &str = "HTTP/1.1 200 OK\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: text/event-stream; charset=utf-8\r\n\
    Transfer-Encoding: chunked\r\n\
    Cache-Control: no-cache\r\n\
    anthropic-ratelimit-requests-limit: 4000\r\n\
    request-id: req_raw\r\n\
    X-Unknown-Header:  kept as it is \r\n\
    set-cookie: a=1; Path=/\r\n\
    set-cookie: b=2\r\n\
    server: cloudflare\r\n\r\n";

/// An event that the API sent long ago, one of today's, one of tomorrow's, a comment and a ping; CRLF included.
const EVENTS: [&str; 6] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_raw\",\"type\":\"message\",\
     \"role\":\"assistant\",\"model\":\"claude-opus-5-5\",\"content\":[],\"usage\":{\"input_tokens\":10,\
     \"output_tokens\":1}}}\n\n",
    ": a comment\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: of_tomorrow\r\ndata: {\"type\":\"of_tomorrow\",\r\ndata: \"x\":1}\r\n\r\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
     \"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

#[test]
fn every_event_reaches_the_client_before_the_next_is_sent() {
    let world = World::new();
    let (mut client, mut api) = world.send(&world.proxy.message("s", "hi", true));
    let _ = (api.read_head(), api.read_rest());
    api.send(SSE_HEAD);
    // The head arrives before there is any body.
    assert_eq!(client.read_head().status(), 200);
    for event in EVENTS {
        api.send_chunk(event);
        assert_eq!(String::from_utf8(client.read_body(event.len())).unwrap(), event);
    }
    api.send("0\r\n\r\n");
    assert_eq!(client.read_rest(), (Vec::new(), BodyEnd::Whole));

    let got = world.recorded();
    assert!(got.complete && got.stream, "{got:?}");
    assert_eq!(got.tokens, Some(Tokens { input: 10, output: 7, ..Tokens::default() }));
    assert_eq!((got.stop_reason.as_deref(), got.message_id.as_deref()), (Some("end_turn"), Some("msg_raw")));
    assert_eq!(world.recorded_body("--response"), EVENTS.concat().as_bytes());
}

#[test]
fn bytes_that_come_one_by_one_go_on_one_by_one() {
    let world = World::new();
    let (mut client, mut api) = world.send(&world.proxy.message("s", "hi", true));
    let _ = (api.read_head(), api.read_rest());
    api.send(SSE_HEAD);
    let _ = client.read_head();
    for byte in EVENTS.concat().bytes() {
        api.send_chunk([byte]);
        assert_eq!(client.read_body(1), [byte]);
    }
    api.send("0\r\n\r\n");
    assert_eq!(client.read_rest().1, BodyEnd::Whole);
    assert_eq!(world.recorded_body("--response"), EVENTS.concat().as_bytes());
    assert_eq!(world.recorded().stop_reason.as_deref(), Some("end_turn"), "put together from single bytes");
}

#[test]
fn headers_are_the_same_on_both_sides_and_credentials_are_not_kept() {
    let world = World::new();
    let body = b"{\"model\":\"claude-opus-5-5\",  \"stream\":true,\"messages\":[],\"unknown\":null}";
    let extra = [
        ("anthropic-beta", "claude-code-20250219,of-tomorrow-2030-01-01"),
        ("X-Claude-Code-Session-Id", "the-session"),
        ("x-claude-code-agent-id", "the-agent"),
        ("X-Unknown", "  two  words "),
    ];
    let request = world.proxy.request("POST", "/v1/messages?beta=true&x=%2F%20", &extra, body);
    let (mut client, mut api) = world.send(&request);
    let seen = api.read_head();
    assert_eq!(
        seen.start, "POST /v1/messages?beta=true&x=%2F%20 HTTP/1.1",
        "the token is gone, the rest is kept"
    );
    assert_eq!(seen.end_to_end(), head_of(&request).end_to_end());
    assert_eq!(seen.header("host"), world.upstream.url().strip_prefix("http://"));
    assert_eq!(api.read_rest(), (body.to_vec(), BodyEnd::Whole));
    api.send(SSE_HEAD);
    api.send("0\r\n\r\n");
    assert_eq!(client.read_head().end_to_end(), head_of(SSE_HEAD.as_bytes()).end_to_end());
    let _ = client.read_rest();

    let got = world.recorded();
    assert_eq!(got.path, "/v1/messages?beta=true&x=%2F%20");
    assert_eq!(
        (got.session_id.as_deref(), got.agent_id.as_deref()),
        (Some("the-session"), Some("the-agent"))
    );
    assert_eq!(world.recorded_body("--request"), body);
    let headers = world.home.ccctl(&["exchange", &got.exchange_id, "--headers"]).ok().text();
    assert!(headers.contains("of-tomorrow-2030-01-01") && headers.contains("req_raw"), "{headers}");
    for secret in [SECRET, "a=1; Path=/"] {
        assert!(!headers.contains(secret), "{headers}");
    }
}

/// The head of a message that was written by hand.
fn head_of(message: &[u8]) -> ccd_tests::harness::wire::Head {
    let upstream = Upstream::new();
    let mut near = Wire::connect(upstream.url().strip_prefix("http://").unwrap());
    let mut far = upstream.accept();
    near.send(message);
    far.read_head()
}

#[test]
fn a_compressed_answer_passes_as_it_is_and_is_understood() {
    let world = World::new();
    let json = r#"{"id":"msg_gz","type":"message","role":"assistant","model":"claude-opus-5-5","content":
        [{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":5}}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(json.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let (mut client, mut api) = world.send(&world.proxy.message("s", "hi", false));
    let _ = (api.read_head(), api.read_rest());
    let length = gzip.len();
    api.send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
    ));
    api.send(&gzip);
    let head = client.read_head();
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    assert_eq!(head.header("content-length"), Some(length.to_string().as_str()));
    assert_eq!(client.read_rest(), (gzip.clone(), BodyEnd::Whole));

    let got = world.recorded();
    assert!(got.complete && !got.stream, "{got:?}");
    assert_eq!(got.tokens, Some(Tokens { input: 3, output: 5, ..Tokens::default() }));
    assert_eq!(got.cost_usd_micros, Some(3 * 4 + 5 * 20));
    assert_eq!(world.recorded_body("--response"), gzip);
}

#[test]
fn errors_pass_word_for_word_and_are_recorded() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ] {
        let world = World::new();
        let (mut client, mut api) = world.send(&world.proxy.message("s", "hi", true));
        let _ = (api.read_head(), api.read_rest());
        let body = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"Worded  just so"}}}}"#);
        api.send(format!(
            "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\nretry-after: 7\r\n\
             x-should-retry: true\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        let head = client.read_head();
        assert_eq!((head.status(), head.header("retry-after")), (status, Some("7")));
        assert_eq!(head.header("x-should-retry"), Some("true"));
        assert_eq!(client.read_rest(), (body.clone().into_bytes(), BodyEnd::Whole));
        let got = world.recorded();
        assert_eq!((got.status, got.complete, got.tokens), (Some(status), true, None));
        assert!(got.error.as_ref().is_some_and(|error| error.contains("Worded  just so")), "{got:?}");
        assert_eq!(world.recorded_body("--response"), body.as_bytes());
    }
}

#[test]
fn any_method_and_path_passes() {
    let world = World::new();
    for (method, path, status) in
        [("HEAD", "/", 404), ("GET", "/api/hello", 404), ("PUT", "/any/thing?at=all", 204), ("GET", "/", 200)]
    {
        let before = check::exchanges(&world.home).len();
        let mut client = world.proxy.connect();
        client.send(world.proxy.request(method, path, &[], b""));
        let mut api = world.upstream.accept();
        assert_eq!(api.read_head().start, format!("{method} {path} HTTP/1.1"));
        // Each upstream connection is for one request, so that the next one is a connection again.
        let length = if status == 204 { "" } else { "content-length: 0\r\n" };
        api.send(format!("HTTP/1.1 {status} X\r\n{length}connection: close\r\n\r\n"));
        drop(api);
        assert_eq!(client.read_head().status(), status, "{method} {path}");
        let got = eventually("it is recorded", || {
            let all = check::exchanges(&world.home);
            (all.len() > before)
                .then(|| all.into_iter().find(|e| e.path == path && e.method == method))
                .flatten()
        });
        assert_eq!((got.status, got.tokens), (Some(status), None));
    }
}

#[test]
fn a_token_count_is_recorded_and_costs_nothing() {
    let world = World::new();
    let request =
        world.proxy.request("POST", "/v1/messages/count_tokens?beta=true", &[], b"{\"messages\":[]}");
    let (mut client, mut api) = world.send(&request);
    let _ = (api.read_head(), api.read_rest());
    let answer = "{\"input_tokens\":12345}";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    api.send(format!("{head}content-length: {}\r\n\r\n{answer}", answer.len()));
    let _ = client.read_head();
    assert_eq!(client.read_rest(), (answer.into(), BodyEnd::Whole));
    let got = world.recorded();
    assert_eq!((got.purpose.as_str(), got.tokens, got.cost_usd_micros), ("count_tokens", None, None));
    let usage: ccd_proto::api::Usage = world.home.query(&["usage", "total"]);
    assert_eq!((usage.totals.tokens, usage.totals.exchanges), (Tokens::default(), 0));
}

#[test]
fn ten_megabytes_pass_and_are_kept_whole_both_ways() {
    let world = World::new();
    let big = "0123456789abcdef".repeat(10 << 16);
    let request =
        world.proxy.request("POST", "/v1/messages", &[], format!("{{\"messages\":[\"{big}\"]}}").as_bytes());
    let (mut client, mut api) = (world.proxy.connect(), None);
    // Both ends move at once: neither side may hold ten megabytes for the other.
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| client.send(&request));
        let mut far = world.upstream.accept();
        let _ = far.read_head();
        let body = far.read_rest().0;
        api = Some(far);
        body
    });
    let mut api = api.unwrap();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            api.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len()));
            api.send(&sent);
        });
        let _ = client.read_head();
        client.read_rest().0
    });
    assert!(request.ends_with(&sent) && sent.len() > 10 << 20);
    assert_eq!(sha256(&received), sha256(&sent));
    assert_eq!(sha256(&world.recorded_body("--request")), sha256(&sent));
    assert_eq!(sha256(&world.recorded_body("--response")), sha256(&sent));
}

#[test]
fn the_detail_of_an_exchange_tells_its_events_in_order() {
    let world = World::new();
    let (mut client, mut api) = world.send(&world.proxy.message("s", "hi", true));
    let _ = (api.read_head(), api.read_rest());
    api.send(SSE_HEAD);
    for event in EVENTS {
        api.send_chunk(event);
    }
    api.send("0\r\n\r\n");
    let _ = (client.read_head(), client.read_rest());
    let id = world.recorded().exchange_id;
    let detail: Reply<ExchangeDetail> = world.home.query(&["exchange", &id]);
    let events = detail.body.events;
    let names: Vec<_> =
        events.iter().map(|event| event.event.as_str()).filter(|name| !name.is_empty()).collect();
    assert_eq!(names, ["message_start", "ping", "of_tomorrow", "message_delta", "message_stop"]);
    assert!(events.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us), "{events:?}");
    let secrets = serde_json::to_string(&detail.body.request_headers).unwrap();
    assert!(!secrets.contains(SECRET), "{secrets}");
}
