//! Odd paths, odd requests, too many connections; and what a browser is told of what it gets.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{CAPTURED, OURS, Opened, ROUTES, connect, raw};

#[test]
fn no_path_leads_to_a_file() {
    let opened = Opened::new();
    std::fs::write(opened.home.ccd().join("state/plain.txt"), CAPTURED).unwrap();
    let absolute = opened.home.ccd().join("state/plain.txt");
    let absolute = absolute.to_str().unwrap();
    for path in [
        "/../../../../etc/passwd",
        "/js/../../Cargo.toml",
        "/js/..%2f..%2fCargo.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/js/%2e%2e/index.html",
        "/css/..\\..\\x",
        "/js/app.js%00.css",
        "/js/app.js/",
        "/js//app.js",
        "//js/app.js",
        "//evil.example/",
        "/js",
        "/js/",
        "/index.html",
        "/login.html",
        "/.git/config",
        "/assets/js/app.js",
        "/JS/app.js",
        absolute,
        &format!("/{absolute}"),
        &format!("/js/..{absolute}"),
    ] {
        let answer = opened.get(path, OURS);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("root:") && !answer.body.contains("[package]"), "{path}");
        answer.gives_nothing_away();
    }
    // What is no path at all.
    for target in [
        format!("http://{}/v0/turns", opened.at),
        "http://evil.example/".into(),
        "*".into(),
        "evil.example:80".into(),
    ] {
        let answer = opened.get(&target, OURS);
        assert_eq!(answer.status, 400, "{target}");
        answer.gives_nothing_away();
    }
    let ids = ["..%2f..%2fetc%2fpasswd", "%00", "..", "%2e%2e"];
    for path in ids.iter().flat_map(|id| [format!("/v0/show/{id}"), format!("/v0/exchanges/{id}/request")]) {
        let answer = opened.get(&path, OURS);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        answer.gives_nothing_away();
    }
    opened.daemon.stop(&opened.home);
}

#[test]
fn where_a_request_ends_nobody_can_dispute() {
    let opened = Opened::new();
    let (at, cookie) = (opened.at, &opened.cookie);
    // Each with another request behind it, that must not be taken for one.
    let behind = format!("GET /v0/turns HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\n\r\n");
    let head = format!("Host: {at}\r\n");
    for shape in [
        format!(
            "POST /login HTTP/1.1\r\n{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST /login HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
        ),
        format!("GET /health HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}Transfer-Encoding: xchunked\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}Content-Length: 5, 5\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}Content-Length: -1\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n", behind.len()),
        format!("POST /login HTTP/1.1\r\n{head}Content-Length: 10000000000\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}X: a\r\n b\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}X: a\rb\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\n{head}X: a\0b\r\n\r\n"),
        format!("GET /health\0 HTTP/1.1\r\n{head}\r\n"),
        format!("GET /hea lth HTTP/1.1\r\n{head}\r\n"),
        format!("GET /health HTTP/9.9\r\n{head}\r\n"),
        format!("CONNECT {at} HTTP/1.1\r\n{head}\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n".to_owned(),
    ] {
        let came = String::from_utf8_lossy(&raw(at, format!("{shape}{behind}"))).into_owned();
        assert!(!came.contains(CAPTURED), "{shape:?}: {came}");
        let statuses = came.lines().filter(|line| line.starts_with("HTTP/1.")).collect::<Vec<_>>();
        assert!(statuses.len() <= 1, "{shape:?}: {statuses:?}");
        assert!(
            statuses.iter().all(|line| line.split(' ').nth(1).is_some_and(|code| code.starts_with('4'))),
            "{shape:?}: {statuses:?}"
        );
    }
    // A head that is too long, or has too much in it.
    for head in [format!("X: {}\r\n", "a".repeat(100_000)), "X: a\r\n".repeat(500)] {
        let came = raw(at, format!("GET /health HTTP/1.1\r\nHost: {at}\r\n{head}Connection: close\r\n\r\n"));
        assert!(came.is_empty() || came.starts_with(b"HTTP/1.1 431"), "{:?}", String::from_utf8_lossy(&came));
    }
    // And one that is right is followed by the next.
    let two = format!(
        "GET /health HTTP/1.1\r\nHost: {at}\r\n\r\n{}",
        behind.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    );
    let came = String::from_utf8_lossy(&raw(at, two)).into_owned();
    assert!(came.matches("HTTP/1.1 200").count() == 2 && came.contains(CAPTURED), "{came}");
    opened.still_serves();
    opened.daemon.stop(&opened.home);
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let opened = Opened::new();
    let at = opened.at;
    let mut lines: Vec<TcpStream> = Vec::new();
    for n in 0..300 {
        let mut line = connect(at);
        match n % 3 {
            0 => {}
            // Begun, and never ended.
            1 => line.write_all(b"GET /health HTTP/1.1\r\nHost: ").unwrap(),
            // Kept alive after an answer.
            _ => {
                // Those before it may have been sent away.
                let ask = format!("GET /health HTTP/1.1\r\nHost: {at}\r\n\r\n");
                if line.write_all(ask.as_bytes()).is_ok() {
                    let mut first = [0; 12];
                    let _ = line.read_exact(&mut first);
                    assert_eq!(&first, b"HTTP/1.1 200");
                }
            }
        }
        lines.push(line);
    }
    for _ in 0..10 {
        assert_eq!(opened.get("/v0/sessions", OURS).status, 200);
    }
    drop(lines);
    opened.still_serves();
    opened.daemon.stop(&opened.home);
}

#[test]
fn what_was_captured_is_a_file_to_be_kept_and_never_a_page() {
    let opened = Opened::new();
    for path in ROUTES {
        opened.ask(&format!("HEAD {path}"), &opened.at.to_string(), OURS, "").is_protected();
    }
    // Objects of ours are none; whatever else comes from the API is.
    let turns = opened.get("/v0/turns", OURS);
    assert_eq!(
        (turns.header("content-type"), turns.header("content-disposition")),
        (Some("application/json"), None)
    );
    assert!(turns.header("content-security-policy").unwrap().contains("sandbox"));
    let missing = opened.get("/v0/exchanges/0/request", OURS);
    assert!(missing.status >= 400 && missing.header("content-type") == Some("application/json"));
    opened.daemon.stop(&opened.home);
}
