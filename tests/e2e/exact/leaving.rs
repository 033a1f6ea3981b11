//! The client leaves, at every moment and in every way: upstream's connection ends at once, so that no model goes on
//! for nobody; and the record has what there was.

use std::time::{Duration, Instant};

use ccd_proto::api::Exchange;
use ccd_tests::assert_eventually;
use ccd_tests::harness::raw::text;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::wire::{Upstream, Wire};
use ccd_tests::harness::{Control, Daemon, TestHome, eventually};

use super::client::{Connection, Request, Way};
use super::origin::Cut;

/// The promise is a second; a busy machine gets more.
const GENEROUS: Duration = Duration::from_secs(10);
const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// Plays up to `phase`, leaves, and returns how long upstream's connection lasted, and the record.
fn leave(
    how: Cut,
    request: &[u8],
    phase: impl FnOnce(&mut Connection, &mut Wire),
) -> (Duration, Exchange, Vec<u8>) {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let way = Way::through(&home);
    let mut client = way.connect();
    client.send(&Request::post("leaving", &vec![b'x'; 100_000]).head(&way));
    client.send(request);
    let mut api = upstream.accept();
    phase(&mut client, &mut api);
    let begun = Instant::now();
    client.reader.into_stream().end(how);
    // Whatever of the request is still on its way, then the end.
    api.read_close();
    let took = begun.elapsed();
    assert!(took < GENEROUS, "upstream's connection lasted {took:?}");
    let record = eventually("the exchange is recorded", || crate::check::exchanges(&home).pop());
    assert!(!record.complete, "{record:?}");
    assert_eq!(record.error.as_deref(), Some("the client went away before the end"), "{record:?}");
    assert_eventually!(home.running().proxy.in_flight == 0, "nothing is left under way");
    assert!(upstream.try_accept().is_none(), "nobody asks again for a client that is gone");
    let path = format!("/v0/exchanges/{}/request", record.exchange_id);
    let (_, sent) = Control::of(&home).get(&path).unwrap();
    (took, record, sent)
}

fn tell(what: &str, how: Cut, took: Duration) {
    summary(&format!("F16: {what}, {how:?}: upstream's connection ended after {took:?}"));
}

#[test]
fn a_client_that_leaves_while_it_sends_ends_the_request_upstream() {
    for how in [Cut::Fin, Cut::Rst] {
        let half = vec![b'x'; 50_000];
        let (took, record, sent) = leave(how, &half, |_, api| {
            let _ = api.read_head();
            assert_eq!(api.read_body(half.len()), half);
        });
        assert_eq!((record.status, record.request_bytes), (None, 50_000), "{record:?}");
        assert!(super::is_kept_as_cut(&half, &sent), "what was sent is kept: {}", text(&sent));
        tell("while it sends", how, took);
    }
}

#[test]
fn a_client_that_leaves_before_the_answer_ends_the_request_upstream() {
    for how in [Cut::Fin, Cut::Rst] {
        let whole = vec![b'x'; 100_000];
        let (took, record, sent) = leave(how, &whole, |_, api| {
            let _ = (api.read_head(), api.read_rest());
        });
        assert_eq!((record.status, sent.len()), (None, whole.len()), "{record:?}");
        tell("before the answer", how, took);
    }
}

#[test]
fn a_client_that_leaves_within_the_stream_ends_the_request_upstream() {
    for how in [Cut::Fin, Cut::Rst] {
        let whole = vec![b'x'; 100_000];
        let (took, record, _) = leave(how, &whole, |client, api| {
            let _ = (api.read_head(), api.read_rest());
            api.send(STREAM);
            api.send_chunk(PING);
            let mut piece = Vec::new();
            while !text(&piece).ends_with("\n\n\r\n") {
                piece.extend(client.reader.some());
            }
        });
        assert_eq!((record.status, record.response_bytes), (Some(200), PING.len() as u64), "{record:?}");
        tell("within the stream", how, took);
    }
}

/// Upstream writes and writes: the proxy must notice without having anything to read.
#[test]
fn a_client_that_leaves_a_stream_that_fills_every_buffer_ends_the_request_upstream() {
    for how in [Cut::Fin, Cut::Rst] {
        let whole = vec![b'x'; 100_000];
        let (took, record, _) = leave(how, &whole, |client, api| {
            let _ = (api.read_head(), api.read_rest());
            api.send(STREAM);
            assert_eq!(client.reader.head().map(|head| head.status()), Some(200));
            for _ in 0..100 {
                api.send_chunk("y".repeat(10_000));
            }
        });
        assert_eq!(record.status, Some(200), "{record:?}");
        tell("with full buffers", how, took);
    }
}

#[test]
fn a_client_that_leaves_after_the_end_has_a_whole_exchange() {
    for how in [Cut::Fin, Cut::Rst] {
        let upstream = Upstream::new();
        let home = TestHome::new(&upstream.url());
        let _daemon = Daemon::start(&home);
        let way = Way::through(&home);
        let mut client = way.connect();
        let request = Request::post("after", b"{}");
        client.send(&[request.head(&way), request.body()].concat());
        let mut api = upstream.accept();
        let _ = (api.read_head(), api.read_rest());
        api.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(client.response("POST").unwrap().body, b"ok");
        client.reader.into_stream().end(how);
        let record = eventually("the exchange is recorded", || crate::check::exchanges(&home).pop());
        assert!(record.complete && record.error.is_none(), "{record:?}");
    }
}
