//! Who is let in: our own user, by a loopback name, with the token, in a request that can be read in one way only.

use std::process::Command;

use ccd_tests::harness::soak::summary;
use ccd_tests::harness::wire::Head;

use super::World;

/// Sends bytes as they are; the answer's head, if there is one, and its body.
fn answer(world: &World, request: &[u8]) -> (Option<Head>, Vec<u8>) {
    let mut client = world.connect();
    // Whoever is refused in the middle of its request may be cut off.
    let _ = client.try_send(request);
    let head = client.try_head();
    let body = head.as_ref().map(|_| client.read_rest().0).unwrap_or_default();
    if head.as_ref().is_some_and(|head| head.header("connection") == Some("close")) {
        client.read_close();
    }
    (head, body)
}

fn assert_refused(world: &World, what: &str, request: &[u8], status: u16) {
    let (head, body) = answer(world, request);
    let head = head.unwrap_or_else(|| panic!("{what}: no answer"));
    assert_eq!(head.status(), status, "{what}: {head:?}");
    assert!(body.is_empty(), "{what} is told more than it needs: {body:?}");
    assert!(world.upstream.try_accept().is_none(), "{what} went upstream");
}

#[test]
fn strangers_names_browsers_and_odd_targets_are_refused() {
    let world = World::new();
    let (token, address) = (&world.token, &world.address);
    let port = address.rsplit_once(':').unwrap().1;
    let get = |target: &str, host: &str, more: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").into_bytes()
    };
    let ping = format!("/{token}/.ccd/ping");
    for host in [address.clone(), format!("localhost:{port}"), format!("[::1]:{port}")] {
        let (head, _) = answer(&world, &get(&ping, &host, ""));
        assert_eq!(head.unwrap().status(), 204, "{host}");
    }
    let mut counted = 0;
    let mut refused = |what: &str, request: Vec<u8>, status| {
        assert_refused(&world, what, &request, status);
        counted += 1;
    };
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "127.0.0.1".to_owned(),
        "localhost:1".to_owned(),
        format!("127.0.0.1:0{port}"),
        format!("localhost.:{port}"),
        String::new(),
    ] {
        refused(&host, get(&ping, &host, ""), 421);
    }
    refused("no host", format!("GET {ping} HTTP/1.1\r\n\r\n").into_bytes(), 421);
    refused("two hosts", get(&ping, address, &format!("Host: {address}\r\n")), 400);
    for header in ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: same-origin"] {
        refused(header, get(&ping, address, &format!("{header}\r\n")), 403);
    }
    for method in ["OPTIONS", "TRACE"] {
        refused(method, (world.head(method, "/v1/messages") + "\r\n").into_bytes(), 405);
    }
    refused("CONNECT", format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes(), 405);
    refused("a whole URL", get(&format!("http://{address}{ping}"), address, ""), 400);
    refused("a foreign URL", get("http://evil.example/", address, ""), 400);
    for path in ["/v1/../x", "/%2e%2e/x", "/v1/%2E./x", "/./x", "/v1/..;/x"] {
        refused(path, (world.head("POST", path) + "Content-Length: 0\r\n\r\n").into_bytes(), 400);
    }
    for token in ["", "x", &"0".repeat(32), &token[..31], &format!("{token}0"), &token.to_uppercase()] {
        if *token == *world.token {
            continue;
        }
        refused(token, get(&format!("/{token}/v1/messages"), address, ""), 404);
    }
    world.assert_answered();
    summary(&format!("admission: {counted} requests refused, nothing of them upstream"));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_nothing_of_it_goes_on() {
    let world = World::new();
    let smuggled = world.head("POST", "/smuggled") + "Content-Length: 0\r\n\r\n";
    let head = world.head("POST", "/v1/messages");
    let cases = [
        ("length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
        ("the same length twice", "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        ("a list of lengths", "Content-Length: 0, 0\r\n\r\n"),
        ("a length with a sign", "Content-Length: +0\r\n\r\n"),
        ("a negative length", "Content-Length: -1\r\n\r\n"),
        ("another coding", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a folded line", "A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
        ("a lone LF", "A: b\nContent-Length: 0\r\n\r\n"),
        ("a lone CR", "A: b\rContent-Length: 0\r\n\r\n"),
        ("a NUL", "A: b\0c\r\nContent-Length: 0\r\n\r\n"),
        ("a space before the colon", "Content-Length : 0\r\n\r\n"),
        ("a line without a colon", "nonsense\r\n\r\n"),
        ("only LFs", "\n\n"),
    ];
    for (what, rest) in cases {
        assert_refused(&world, what, (head.clone() + rest + &smuggled).as_bytes(), 400);
    }
    for (what, request) in [
        ("HTTP/0.9", format!("GET /{}/x\r\n\r\n", world.token)),
        ("chunks in HTTP/1.0", head.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a NUL in the target", world.head("GET", "/a\0b") + "\r\n"),
    ] {
        assert_refused(&world, what, (request + &smuggled).as_bytes(), 400);
    }
    // Chunks come after the head went on: the request is cut at upstream, and what lies behind is no request.
    for (what, body) in [
        ("a chunk's size too long", "fffffffffffffffff\r\nx"),
        ("a lone LF behind a chunk's size", "5\nhello\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "1\r\nxx\r\n0\r\n\r\n"),
        ("a lone LF behind the trailers", "0\r\nA: b\n\r\n"),
    ] {
        let mut client = world.connect();
        client.send(head.clone() + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        let mut api = world.upstream.accept();
        let _ = api.read_head();
        assert_eq!(api.read_body(3), b"abc", "{what}");
        let _ = client.try_send(format!("{body}{smuggled}"));
        assert_eq!(api.read_rest().1, ccd_tests::harness::wire::BodyEnd::Cut, "{what}");
        client.read_close();
        assert!(world.upstream.try_accept().is_none(), "{what} went upstream");
    }
    world.assert_answered();
    summary(&format!("smuggling: {} ambiguous requests refused, nothing of them upstream", cases.len() + 7));
}

#[test]
fn an_upgrade_is_sent_on_as_a_plain_request() {
    let world = World::new();
    let mut client = world.connect();
    client.send(
        world.head("GET", "/v1/ws")
            + "Connection: Upgrade, X-Mine\r\nX-Mine: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let mut api = world.upstream.accept();
    let seen = api.read_head();
    for name in ["upgrade", "x-mine"] {
        assert_eq!(seen.header(name), None, "{seen:?}");
    }
    assert!(!seen.header("connection").unwrap_or("").to_ascii_lowercase().contains("upgrade"), "{seen:?}");
    api.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_head().status(), 426);
}

/// Sends `request` as another user and gives what came back.
#[cfg(target_os = "linux")]
fn as_user(uid: u32, address: &str, request: &str) -> std::process::Output {
    use std::os::unix::process::CommandExt;
    let port = address.rsplit_once(':').unwrap().1;
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && printf '%s' \"$REQUEST\" >&3 && cat <&3");
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").env("REQUEST", request);
    command.current_dir("/").uid(uid).output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_is_not_answered_even_with_the_token() {
    const NOBODY: u32 = 65_534;
    let world = World::new();
    let request = world.head("GET", "/.ccd/ping") + "Connection: close\r\n\r\n";
    let us = rustix::process::geteuid().as_raw();
    let ours = as_user(us, &world.address, &request);
    assert!(ours.stdout.starts_with(b"HTTP/1.1 204"), "{ours:?}");
    assert_eq!(world.status().proxy.refused, 0);
    if us != 0 {
        summary("another user: only root can be another user; our own was answered");
        return;
    }
    let post = world.head("POST", "/v1/messages") + "Content-Length: 0\r\nConnection: close\r\n\r\n";
    for (n, request) in [&request, &post, &request].into_iter().enumerate() {
        let theirs = as_user(NOBODY, &world.address, request);
        assert!(theirs.stdout.is_empty(), "{theirs:?}");
        assert_eq!(world.status().proxy.refused, n as u64 + 1);
    }
    assert!(world.upstream.try_accept().is_none(), "nothing of it went upstream");
    let shown = world.home.ccctl(&["status"]).ok().text();
    assert!(shown.contains("3 connections of other users refused"), "{shown}");
    world.assert_answered();
    summary("another user: 3 connections of nobody with the right token closed unanswered, our own answered");
}
