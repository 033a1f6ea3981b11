//! Endpoints that misbehave, and what is said of it.

use std::sync::Arc;

use ccd_proto::api::OtelExported;
use ccd_tests::corpus::{Spec, write};
use ccd_tests::harness::{Daemon, Out, TestHome};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;

use super::sink::{Answer, Sink, assert_trees};
use crate::numbers::imported;

/// Put together here, so that nobody takes it for a leak.
fn secret() -> String {
    ["hush", "hush", "do-not-tell"].join("-")
}

struct World {
    home: TestHome,
    /// Ended before its home is.
    _daemon: Daemon,
}

impl World {
    /// A few sessions of many turns.
    fn new() -> Self {
        let home = TestHome::new("http://127.0.0.1:9");
        write(&home.user().join(".claude"), &Spec { sessions: 3, forks: 0, ..Spec::small(11) }).unwrap();
        let daemon = Daemon::start(&home);
        imported(&home, 0);
        World { home, _daemon: daemon }
    }

    fn send(&self, url: &str, more: &[&str]) -> Out {
        let header = format!("x-key={}", secret());
        self.home.ccctl(&[&["export-otel", "-e", url, "-H", &header][..], more].concat())
    }

    /// Nothing that was said or logged has the header's value.
    fn assert_hushed(&self, out: &Out) {
        let said = format!("{}{}", out.text(), out.stderr);
        assert!(!said.contains(&secret()), "{said}");
        for file in std::fs::read_dir(&self.home.layout().log_dir).unwrap() {
            let log = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&log).contains(&secret()), "it is in a log");
        }
    }
}

#[test]
fn everything_is_sent_once_whatever_the_encoding_and_a_dry_run_sends_nothing() {
    let world = World::new();
    let sink = Sink::taking_all();
    let dry: OtelExported = world.home.query(&["export-otel", "-e", &sink.url(), "--dry-run"]);
    assert!(dry.dry_run && dry.spans > 0 && sink.requests().is_empty(), "{dry:?}");
    let mut ids: Vec<Vec<Vec<u8>>> = Vec::new();
    for protocol in ["http/protobuf", "http/json"] {
        sink.clear();
        let out = world.send(&sink.url(), &["--protocol", protocol, "--json"]);
        world.assert_hushed(&out);
        let done: OtelExported = out.ok().parse();
        assert_eq!((done.traces, done.spans), (dry.traces, dry.spans));
        let spans = sink.spans();
        assert_eq!(spans.len() as u64, done.spans);
        assert_eq!(assert_trees(&spans) as u64, done.traces);
        for request in sink.requests() {
            // Whole turns in each.
            assert_trees(&request.spans());
            assert_eq!(request.head.header("x-key"), Some(secret().as_str()));
            assert_eq!(request.head.header("content-encoding"), Some("gzip"));
        }
        ids.push(spans.into_iter().map(|span| span.span_id).collect());
    }
    assert_eq!(ids[0], ids[1], "ids do not change");
}

#[test]
fn what_is_not_taken_is_said_and_fails() {
    let world = World::new();
    let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old\u{1b}[31m".into() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let kind = "Content-Type: application/x-protobuf\r\n";
    let sink = Sink::new(move |_| Answer::status("200 OK", kind, &answer));
    let out = world.send(&sink.url(), &["--limit", "1"]);
    world.assert_hushed(&out);
    assert_eq!(out.code, Some(1), "{out}");
    assert!(out.stderr.contains("3 spans: too old") && !out.stderr.contains('\u{1b}'), "{out}");
    assert_eq!(sink.requests().len(), 1, "what was refused is not sent again");
}

#[test]
fn what_passes_is_tried_again() {
    let world = World::new();
    for (name, first) in [
        ("429", Answer::status("429 Too Many Requests", "Retry-After: 1\r\n", b"slow down")),
        ("503", Answer::status("503 Service Unavailable", "", b"")),
        ("cut", Answer::Close),
    ] {
        let sink = Sink::new(move |n| if n == 0 { first.clone() } else { Answer::ok() });
        let out = world.send(&sink.url(), &["--limit", "1", "--json"]);
        world.assert_hushed(&out);
        let done: OtelExported = out.ok().parse();
        assert_eq!((done.retries, done.requests), (1, 1), "{name}");
        let sent = sink.requests();
        assert_eq!(sent.len(), 2, "{name}");
        assert_eq!(sent[0].spans(), sent[1].spans(), "{name}: the same again");
    }
}

#[test]
fn a_turn_that_is_too_large_is_sent_in_pieces_and_only_the_spans_that_are_too_large_alone_are_left_out() {
    let world = World::new();
    let dry: OtelExported = world.home.query(&["export-otel", "-e", "http://127.0.0.1:9", "--dry-run"]);
    for line in ["413 Content Too Large", "400 Bad Request"] {
        let refusal = move || Answer::status(line, "", b"http: request body too large");
        let strict =
            Sink::judging(move |_, request| if request.spans().len() > 2 { refusal() } else { Answer::ok() });
        let done: OtelExported = world.send(&strict.url(), &["--json"]).ok().parse();
        assert_eq!((done.traces, done.spans, done.too_large_spans), (dry.traces, dry.spans, 0), "{line}");
        let taken = |sink: &Sink, most: usize| -> Vec<_> {
            let all = sink.requests().into_iter().map(|request| request.spans());
            all.filter(|spans| spans.len() <= most).flatten().collect()
        };
        assert_eq!(
            assert_trees(&taken(&strict, 2)) as u64,
            dry.traces,
            "{line}: each span once, none missing"
        );

        // No model call is small enough: the others go all the same, and it is told.
        let fussy = Sink::judging(move |_, request| {
            let spans = request.spans();
            let has_call = spans.iter().any(|span| span.name.starts_with("chat "));
            if spans.len() > 1 || has_call { refusal() } else { Answer::ok() }
        });
        let out = world.send(&fussy.url(), &["--json"]);
        world.assert_hushed(&out);
        assert_eq!(out.code, Some(1), "{out}");
        let done: OtelExported = out.parse();
        assert!(done.too_large_spans > 0 && done.spans > 0, "{done:?}");
        assert_eq!((done.spans + done.too_large_spans, done.traces), (dry.spans, dry.traces), "{line}");
        assert!(out.stderr.contains("left out, too large") && out.stderr.contains("--content none"), "{out}");
    }
}

#[test]
fn what_does_not_pass_is_an_error_that_says_what_to_do() {
    let world = World::new();
    let elsewhere = Sink::taking_all();
    let moved = format!("Location: {}/v1/traces\r\n", elsewhere.url());
    for (answer, words) in [
        (Answer::status("307 Temporary Redirect", &moved, b""), "redirects are not followed"),
        (Answer::status("401 Unauthorized", "", b"who are you"), "-H NAME=VALUE"),
        (Answer::status("413 Content Too Large", "", b""), "--content none"),
        (Answer::status("429 Too Many Requests", "Retry-After: 3600\r\n", b""), "--retry-for"),
        (Answer::Nothing, "could not be reached"),
    ] {
        let sink = Sink::new(move |_| answer.clone());
        let out = world.send(&sink.url(), &["--limit", "1", "--timeout", "1", "--retry-for", "0"]);
        world.assert_hushed(&out);
        assert_eq!(out.code, Some(1), "{out}");
        assert!(out.stderr.contains(words), "{words}: {out}");
    }
    assert!(elsewhere.requests().is_empty(), "nobody was followed");
    let out = world.send("http://collector.example:4318", &["--limit", "1"]);
    assert_eq!(out.code, Some(2), "{out}");
    assert!(out.stderr.contains("plain http") && out.stderr.contains("--allow-http"), "{out}");
}

#[test]
fn an_endpoint_that_nobody_vouches_for_is_told_nothing() {
    let world = World::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, told) = std::sync::mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = rustls::ServerConnection::new(Arc::new(config.clone())).unwrap();
            let mut stream = rustls::StreamOwned::new(tls, stream.unwrap());
            let mut first = [0; 1];
            let got = std::io::Read::read(&mut stream, &mut first).unwrap_or(0);
            let _ = seen.send(got);
        }
    });
    let url = format!("https://localhost:{port}");
    let out = world.send(&url, &["--limit", "1", "--retry-for", "0"]);
    world.assert_hushed(&out);
    assert_eq!(out.code, Some(1), "{out}");
    assert!(out.stderr.contains("certificate"), "{out}");
    assert_eq!(told.recv_timeout(ccd_tests::harness::PATIENCE).unwrap(), 0, "not a byte of it");
}
