//! What an attacker sends to the proxy's port, byte by byte: refused, or passed on as it is and once. Nothing else
//! reaches upstream, and no page of a browser is ever told that it may.

use std::fmt::Write;

use ccd_tests::harness::raw::{End, Message, text};

use super::World;
use super::client::{Request, Way};
use super::origin::{Origin, Script};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What must become of an attack.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// Answered with one of these and nothing of it reaches upstream. What follows on the connection may be served.
    Refused(&'static [u16]),
    /// Refused, and the connection is over: nobody knows where the next request would begin.
    Closed(&'static [u16]),
    /// Upstream sees this start line and this body, once.
    Passed(String, &'static [u8]),
    /// Either refused or passed on with just this start line.
    RefusedOr(String),
    /// Upstream may see the start of it, and sees that it breaks off.
    BrokenOff,
}

pub(super) struct Attack {
    pub(super) what: String,
    pub(super) wire: String,
    pub(super) fate: Fate,
}

/// Sends an attack and a harmless request behind it, and looks at what comes of them.
pub(super) fn attack(world: &World, way: &Way, Attack { what, wire, fate }: Attack) {
    let (token, host) = (way.prefix(), way.host());
    let port = host.rsplit(':').next().unwrap_or_default();
    let fill = |text: &str| text.replace("{T}", token).replace("{H}", &host).replace("{P}", port);
    let after = "GET {T}/after HTTP/1.1\r\nHost: {H}\r\nConnection: close\r\n\r\n";
    world.origin.reset();
    world.origin.play((0..4).map(|_| Script::answer([ANSWER])));
    let mut connection = way.connect();
    connection.send(&ccd_tests::harness::raw::bytes(&fill(&wire)));
    connection.send(fill(after).as_bytes());
    let first = connection.response("GET");
    // Ends: the harmless request asks for it.
    let rest = connection.reader.to_end();
    let status = first.as_ref().map(|message| message.head.status());
    if let Some(first) = &first {
        let cors =
            first.head.headers.iter().find(|(name, _)| name.to_lowercase().starts_with("access-control"));
        assert!(cors.is_none(), "{what}: {cors:?}");
    }
    let seen = world.origin.so_far();
    let (served_after, others): (Vec<&Message>, Vec<&Message>) =
        seen.iter().partition(|message| message.head.start == "GET /after HTTP/1.1");
    let told = format!("{what}: answered {status:?}, rest {:?}, upstream saw {others:?}", text(&rest));
    assert!(served_after.len() <= 1, "{told}");
    let refused = |codes: &[u16]| {
        assert!(status.is_some_and(|status| codes.contains(&status)), "{told}; wanted {codes:?}");
        assert!(others.is_empty(), "{told}");
    };
    let passed = |start: &str| {
        assert_eq!(status, Some(200), "{told}");
        assert_eq!(others.len(), 1, "{told}");
        assert_eq!(others[0].head.start, start, "{told}");
        assert_eq!(others[0].end, End::Whole, "{told}");
    };
    match fate {
        Fate::Refused(codes) => refused(codes),
        Fate::Closed(codes) => {
            refused(codes);
            assert!(served_after.is_empty() && rest.is_empty(), "{told}");
        }
        Fate::Passed(start, body) => {
            passed(&start);
            assert_eq!(text(&others[0].body), text(body), "{told}");
        }
        Fate::RefusedOr(start) => {
            if status == Some(200) {
                passed(&start);
            } else {
                refused(&[400, 404, 405]);
            }
        }
        Fate::BrokenOff => {
            assert!(status != Some(200), "{told}");
            assert!(others.iter().all(|message| message.end == End::Cut), "{told}");
            assert!(served_after.is_empty(), "{told}");
        }
    }
}

pub(super) fn run(attacks: impl IntoIterator<Item = Attack>) {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    for one in attacks {
        attack(&world, &way, one);
    }
    let request = Request::post("alive", b"{}");
    world.origin.reset();
    world.origin.play([Script::answer([ANSWER])]);
    assert_eq!(way.ask(&request).map(|answer| answer.head.status()), Some(200), "and the proxy serves on");
}

/// A request with these headers in front of its end.
pub(super) fn post(headers: &str, body: &str) -> String {
    format!("POST {{T}}/v1/messages HTTP/1.1\r\nHost: {{H}}\r\n{headers}\r\n{body}")
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {{H}}\r\n{headers}\r\n")
}

pub(super) const SMUGGLED: &str = "GET {T}/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n";

#[test]
fn framing_that_can_be_read_in_two_ways_is_refused_and_nothing_is_smuggled() {
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    let mut attacks = Vec::new();
    let mut add = |what: &str, wire: String| {
        attacks.push(Attack { what: what.into(), wire, fate: Fate::Closed(&[400, 431, 501]) });
    };
    for lengths in
        ["5\r\nContent-Length: 6", "5, 6", "-1", "+5", "0x5", "5 5", "", "five", "99999999999999999999999"]
    {
        let wire = post(&format!("Content-Length: {lengths}\r\n"), &format!("hello{SMUGGLED}"));
        add(&format!("a length of {lengths:?}"), wire);
    }
    for coding in ["xchunked", "chunked, identity", "identity", "chunked\r\nTransfer-Encoding: identity"] {
        let wire = post(&format!("Transfer-Encoding: {coding}\r\n"), &format!("{hello}{SMUGGLED}"));
        add(&format!("a transfer coding of {coding:?}"), wire);
    }
    for header in [
        "X-A : b",
        "Transfer-Encoding : chunked",
        "X-A\u{0}: b",
        "X-A: b\u{0}",
        "X A: b",
        "X-A",
        ": b",
        "X-A: b\rX-B: c",
        "X-A: \u{1b}]0;pwned\u{7}",
    ] {
        let wire = post(&format!("{header}\r\nContent-Length: 5\r\n"), &format!("hello{SMUGGLED}"));
        add(&format!("the header {header:?}"), wire);
    }
    add("a folded header", post("X-A: b\r\n c\r\nContent-Length: 5\r\n", "hello"));
    add(
        "a folded first header",
        "POST {T}/v1 HTTP/1.1\r\n Host: {H}\r\nHost: {H}\r\nContent-Length: 5\r\n\r\nhello".into(),
    );
    run(attacks);
}

#[test]
fn a_chunked_body_that_is_broken_breaks_off_upstream_as_well() {
    let mut attacks = Vec::new();
    for chunks in [
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5;a=\nb\r\nhello\r\n0\r\n\r\n",
    ] {
        attacks.push(Attack {
            what: format!("chunks {chunks:?}"),
            wire: post("Transfer-Encoding: chunked\r\n", &format!("{chunks}{SMUGGLED}")),
            fate: Fate::BrokenOff,
        });
    }
    run(attacks);
}

#[test]
fn what_is_unusual_and_clear_passes_as_it_is_and_once() {
    let passed = |what: &str, wire: String, start: &str, body: &'static [u8]| Attack {
        what: what.into(),
        wire,
        fate: Fate::Passed(start.into(), body),
    };
    let start = "POST /v1/messages HTTP/1.1";
    run([
        passed(
            "chunk extensions end at the proxy",
            post("Transfer-Encoding: chunked\r\n", "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"),
            start,
            b"hello",
        ),
        passed(
            "zeros before a chunk's size",
            post("Transfer-Encoding: chunked\r\n", "00005\r\nhello\r\n000\r\n\r\n"),
            start,
            b"hello",
        ),
        passed(
            "another case",
            post("tRANSFER-eNCODING: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            start,
            b"hello",
        ),
        passed("a length with zeros", post("Content-Length: 0005\r\n", "hello"), start, b"hello"),
        passed(
            "connection headers that name the framing",
            post("Connection: Content-Length, Host, keep-alive\r\nContent-Length: 5\r\n", "hello"),
            start,
            b"hello",
        ),
        passed("an empty line before it", format!("\r\n{}", get("{T}/v1", "")), "GET /v1 HTTP/1.1", b""),
        passed(
            "a method of nobody",
            "BREW {T}/pot HTTP/1.1\r\nHost: {H}\r\n\r\n".into(),
            "BREW /pot HTTP/1.1",
            b"",
        ),
        passed(
            "HTTP/1.0 that keeps the connection",
            "GET {T}/v1 HTTP/1.0\r\nHost: {H}\r\nConnection: keep-alive\r\n\r\n".into(),
            "GET /v1 HTTP/1.1",
            b"",
        ),
        passed(
            "the host by name",
            get("{T}/v1", "").replace("{H}", "localhost:{P}"),
            "GET /v1 HTTP/1.1",
            b"",
        ),
        passed("no path", get("{T}", ""), "GET / HTTP/1.1", b""),
        passed("only a query", get("{T}?x=/../y", ""), "GET /?x=/../y HTTP/1.1", b""),
    ]);
}

#[test]
fn a_path_passes_byte_for_byte_or_not_at_all() {
    let mut attacks = Vec::new();
    let refused = [
        "/v1/../../etc",
        "/v1/%2e%2e/admin",
        "/..",
        "/.",
        "/%2E./x",
        "/.%2e/",
        "/v1/./x",
        "/%2e",
        "/v1/..?x",
    ];
    for path in refused {
        attacks.push(Attack {
            what: path.into(),
            wire: get(&format!("{{T}}{path}"), ""),
            fate: Fate::Refused(&[400]),
        });
    }
    let same = [
        "//v1//messages",
        "/v1/..;/admin",
        "/v1/..%2fadmin",
        "/v1/..%5cadmin",
        "/v1/..\\admin",
        "/v1/%252e%252e/admin",
        "/v1/a%00b",
        "/v1/a%0d%0aX-A:%20b",
        "/v1/%",
        "/v1/%zz",
        "/v1/<script>",
        "/v1/{a}|^`\"",
        "/v1/\u{c3}\u{a9}",
        "/v1/messages?a=%2e%2e/../x&b=//&c=?",
        "/v1/http://evil.example/",
        "/@evil.example/",
        "/:80/x",
    ];
    for path in same {
        let wire = get(&format!("{{T}}{path}"), "");
        let fate = Fate::RefusedOr(format!("GET {path} HTTP/1.1"));
        attacks.push(Attack { what: path.into(), wire, fate });
    }
    run(attacks);
}

#[test]
fn nobody_chooses_another_upstream_and_nobody_gets_in_without_the_token() {
    let mut attacks = Vec::new();
    let mut add = |what: &str, wire: String, codes: &'static [u16]| {
        attacks.push(Attack { what: what.into(), wire, fate: Fate::Refused(codes) });
    };
    for target in ["http://{H}{T}/v1", "http://evil.example{T}/v1", "https://evil.example/", "ftp://x{T}/"] {
        add(&format!("the target {target}"), get(target, ""), &[400]);
    }
    add("the target evil.example:443", get("evil.example:443", ""), &[400, 404]);
    add("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: {H}\r\n\r\n".into(), &[400, 405]);
    add("TRACE", "TRACE {T}/v1 HTTP/1.1\r\nHost: {H}\r\n\r\n".into(), &[405]);
    add("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: {H}\r\n\r\n".into(), &[400, 403, 404, 405]);
    for path in
        ["/", "/v1/messages", "//{T}/v1", "{T}x/v1", "/%2F{T}/v1", "{T}%2Fv1", "/{T}/../v1", "/x{T}/v1"]
    {
        add(&format!("the path {path}"), get(path, ""), &[400, 404]);
    }
    for host in [
        "evil.example",
        "evil.example:80",
        "{H}.evil.example",
        "127.0.0.1",
        "a@{H}",
        "127.0.0.1:1",
        "",
        "[::1",
        "{H}\r\nHost: {H}",
        "{H}, evil.example",
    ] {
        let wire = format!("GET {{T}}/v1 HTTP/1.1\r\nHost: {host}\r\n\r\n");
        add(&format!("the host {host}"), wire, &[400, 421]);
    }
    add("no host", "GET {T}/v1 HTTP/1.1\r\nX-A: b\r\n\r\n".into(), &[400, 421]);
    add("no host, HTTP/1.0", "GET {T}/v1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".into(), &[400, 421]);
    for header in ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        add(header, get("{T}/v1", &format!("{header}\r\n")), &[403]);
        let preflight = format!(
            "OPTIONS {{T}}/v1 HTTP/1.1\r\nHost: {{H}}\r\n{header}\r\nAccess-Control-Request-Method: POST\r\n\r\n"
        );
        add(&format!("a preflight with {header}"), preflight, &[403, 405]);
    }
    run(attacks);
}

#[test]
fn other_protocols_are_refused() {
    let closed = |what: &str, wire: &str| Attack {
        what: what.into(),
        wire: wire.into(),
        fate: Fate::Closed(&[400, 426, 431, 501, 505]),
    };
    run([
        closed("HTTP/0.9", "GET {T}/v1\r\n\r\n"),
        closed("HTTP/1.2", "GET {T}/v1 HTTP/1.2\r\nHost: {H}\r\n\r\n"),
        closed("HTTP/3.0", "GET {T}/v1 HTTP/3.0\r\nHost: {H}\r\n\r\n"),
        closed("small letters", "GET {T}/v1 http/1.1\r\nHost: {H}\r\n\r\n"),
        closed("no version", "GET {T}/v1 \r\nHost: {H}\r\n\r\n"),
        closed("two spaces", "GET  {T}/v1 HTTP/1.1\r\nHost: {H}\r\n\r\n"),
        closed("a space in the path", "GET {T}/v1 x HTTP/1.1\r\nHost: {H}\r\n\r\n"),
        closed("a NUL in the path", "GET {T}/v1\u{0} HTTP/1.1\r\nHost: {H}\r\n\r\n"),
        closed("an escape in the path", "GET {T}/v1\u{1b}]0;pwned\u{7} HTTP/1.1\r\nHost: {H}\r\n\r\n"),
        closed("a method that is none", "G(T {T}/v1 HTTP/1.1\r\nHost: {H}\r\n\r\n"),
    ]);
}

/// Whatever a body is, it is not ours to judge; and the record can be read afterwards.
#[test]
fn strange_bodies_and_names_pass_and_spoil_no_record() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 10] = [
        b"[1]",
        b"5",
        b"null",
        b"\"\\u0000\"",
        b"{\"model\":5,\"messages\":\"x\",\"stream\":[]}",
        b"{\"model\":\"\\u001b]0;pwned\\u0007\",\"messages\":[{\"role\":{},\"content\":{\"a\":[]}}]}",
        b"\xff\xfe\x00",
        b"{\"a\":",
        deep.as_bytes(),
        b"",
    ];
    let long = "x".repeat(300);
    let names = [
        "../../../etc/passwd",
        "/etc/passwd",
        &long,
        "a b",
        "<img src=x onerror=alert(1)>",
        "\u{e9}",
        "",
        "a\tb",
    ];
    let mut sent = 0;
    for (n, body) in bodies.iter().enumerate() {
        for answer in &bodies {
            let mut request = Request::post(names[n % names.len()], body);
            request.path = "/v1/messages".into();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            world.origin.reset();
            world.origin.play([Script::answer([head.as_bytes(), answer])]);
            let got = way.ask(&request).expect("an answer");
            assert_eq!((got.head.status(), got.body.as_slice()), (200, *answer));
            assert_eq!(world.origin.seen(1)[0].body, *body);
            sent += 1;
        }
    }
    ccd_tests::assert_eventually!(
        crate::check::exchanges(&world.home).len() == sent,
        "all of them are recorded and shown"
    );
    let mut logs = String::new();
    for file in std::fs::read_dir(world.home.layout().log_dir).unwrap() {
        write!(logs, "{}", text(&std::fs::read(file.unwrap().path()).unwrap())).unwrap();
    }
    assert!(!logs.contains("\u{1b}]0"), "no escape of somebody else's goes into a log");
}
