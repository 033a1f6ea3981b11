//! Upstream breaks off, anywhere and in every way: the client gets the same bytes and the same kind of end as without
//! the proxy, upstream is asked once, and the record has what came and says that it is not all.

use ccd_tests::harness::raw::{End, Message};
use ccd_tests::harness::soak::{count, summary};

use super::World;
use super::client::{Body, Request, Way, chunk, last_chunk};
use super::differential::differences;
use super::origin::{Cut, Flaw, Origin, Script, Step};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A request, and what upstream does until it breaks off after `bytes` bytes of the body.
struct Broken<'a> {
    wire: Vec<Vec<u8>>,
    bytes: u64,
    how: Cut,
    request: &'a Request,
}

impl Broken<'_> {
    /// Plays it on one way, in lock-step: when upstream breaks off, the client has all that was sent. (A reset lets
    /// nobody read what is still on its way.)
    fn play(&self, world: &World, way: &Way) -> Option<Message> {
        let mut connection = way.connect();
        let mut script = Script::answer(self.wire.clone());
        script.steps.push(Step::Await(connection.received.clone(), self.bytes + 1));
        script.steps.push(Step::End(self.how));
        world.origin.reset();
        world.origin.play([script]);
        let answer = connection.exchange(way, self.request);
        world.origin.seen(1);
        answer
    }

    /// Plays it on both ways, and holds what was seen against each other. What was received is what must be recorded.
    #[must_use]
    fn compare(&self, world: &World, (direct, proxied): (&Way, &Way), what: &str) -> Vec<u8> {
        let want = self.play(world, direct).expect("an answer");
        let got = self.play(world, proxied).expect("an answer");
        assert_eq!(want.end, End::Cut, "{what}: the script breaks off");
        assert_eq!(want.body.len() as u64, self.bytes, "{what}: directly all that was sent arrives");
        assert_eq!(differences(&want, &got), [""; 0], "{what}");
        got.body
    }
}

/// The record has what came, and says that it is not all.
fn recorded_as_cut(world: &World, session: &str, body: &[u8]) {
    let record = world.recorded(session);
    assert_eq!((record.status, record.complete), (Some(200), false), "{session}: {record:?}");
    let told = record.error.as_deref().unwrap_or_default();
    assert!(told.starts_with("upstream broke off: the connection was "), "{session}: {record:?}");
    let kept = world.body(&record.exchange_id, "response");
    assert!(super::is_kept_as_cut(body, &kept), "{session}: {}", String::from_utf8_lossy(&kept));
}

fn event(n: usize) -> Vec<u8> {
    format!("event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"n\":{n}}}\n\n")
        .into_bytes()
}

/// Breaks off behind every chunk of a stream, and inside every one.
fn everywhere(world: &World, kinds: &[Cut]) {
    let ways = (world.direct(), world.proxied());
    let chunks = count(60, 1_000);
    let events: Vec<Vec<u8>> = (0..chunks).map(event).collect();
    let mut cuts = Vec::new();
    for how in kinds {
        for at in 0..=chunks {
            for inside in [false, true] {
                if inside && at == chunks {
                    continue;
                }
                // The whole chunks in a few pieces: what is sent at once and what is not must not matter.
                let whole: Vec<u8> = events[..at].iter().flat_map(|event| chunk(event)).collect();
                let mut wire = vec![STREAM.as_bytes().to_vec()];
                wire.extend(whole.chunks(1 + whole.len() / (1 + at % 4)).map(<[u8]>::to_vec));
                let mut bytes: usize = events[..at].iter().map(Vec::len).sum();
                if inside {
                    // Sometimes within the chunk's size, mostly within its bytes.
                    let within = at % (events[at].len() + 1);
                    wire.push(chunk(&events[at])[..within].to_vec());
                    bytes += within
                        .saturating_sub(chunk(&events[at]).iter().position(|b| *b == b'\n').unwrap() + 1);
                }
                let session = format!("{how:?}-{at}-{inside}");
                let request = Request::post(&session, b"{}");
                let broken = Broken { wire, bytes: bytes as u64, how: *how, request: &request };
                let body = broken.compare(world, (&ways.0, &ways.1), &session);
                cuts.push((session.clone(), body));
            }
        }
    }
    for (session, body) in &cuts {
        recorded_as_cut(world, session, body);
    }
    summary(&format!(
        "F14: a stream of {chunks} chunks broken off {} times by {kinds:?}: the same both ways",
        cuts.len()
    ));
}

#[test]
fn a_stream_that_breaks_off_anywhere_breaks_off_there_for_the_client() {
    everywhere(&World::new(Origin::plain()), &[Cut::Fin, Cut::Rst]);
}

#[test]
fn a_stream_over_tls_that_breaks_off_anywhere_breaks_off_there_for_the_client() {
    everywhere(&World::new(Origin::tls(Flaw::Nothing)), &[Cut::Fin, Cut::NoFarewell, Cut::Rst]);
}

#[test]
fn a_body_with_its_length_that_stops_short_is_cut() {
    for origin in [Origin::plain(), Origin::tls(Flaw::Nothing)] {
        let world = World::new(origin);
        for how in [Cut::Fin, Cut::Rst, Cut::NoFarewell] {
            for bytes in [0_usize, 1, 999] {
                let session = format!("{how:?}-{bytes}");
                let request = Request::post(&session, b"{}");
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec();
                let wire = vec![head, vec![b'x'; bytes]];
                let broken = Broken { wire, bytes: bytes as u64, how, request: &request };
                let body = broken.compare(&world, (&world.direct(), &world.proxied()), &session);
                recorded_as_cut(&world, &session, &body);
            }
        }
    }
}

/// Only the connection's end tells where such a body ends, so it must be one that was meant.
#[test]
fn a_body_that_ends_with_the_connection_is_whole_only_if_the_connection_ended_properly() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it".to_vec();
    let world = World::new(Origin::tls(Flaw::Nothing));
    for how in [Cut::NoFarewell, Cut::Rst] {
        let session = format!("{how:?}");
        let request = Request::post(&session, b"{}");
        let broken = Broken { wire: vec![head.clone()], bytes: 9, how, request: &request };
        let body = broken.compare(&world, (&world.direct(), &world.proxied()), &session);
        recorded_as_cut(&world, &session, &body);
    }
    let request = Request::post("proper", b"{}");
    let broken = Broken { wire: vec![head], bytes: 9, how: Cut::Fin, request: &request };
    for way in [world.direct(), world.proxied()] {
        let got = broken.play(&world, &way).expect("an answer");
        assert_ne!(got.end, End::Cut);
        assert_eq!(got.body, b"all of it");
    }
    assert!(world.recorded("proper").error.is_none());
}

/// The last chunk is there, the trailers are not: nobody may take that for a whole body.
#[test]
fn a_stream_that_breaks_off_behind_its_last_chunk_is_cut() {
    let world = World::new(Origin::plain());
    for (n, end) in ["0", "0\r\n", "0\r\nX-Trai", "0\r\nX-Trailer: x\r\n"].into_iter().enumerate() {
        let session = format!("end-{n}");
        let request = Request::post(&session, b"{}");
        let wire = vec![STREAM.as_bytes().to_vec(), chunk(b"all"), end.as_bytes().to_vec()];
        let broken = Broken { wire, bytes: 3, how: Cut::Fin, request: &request };
        let body = broken.compare(&world, (&world.direct(), &world.proxied()), &session);
        recorded_as_cut(&world, &session, &body);
    }
    assert_eq!(last_chunk(&[]), b"0\r\n\r\n");
}

/// Where no whole head came there is nothing to pass on: the proxy's own answer, as a gateway gives it, at once and
/// with upstream asked once.
#[test]
fn an_answer_that_breaks_off_within_its_head_is_a_bad_gateway_and_upstream_is_asked_once() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    let starts = ["", "H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"];
    for (n, start) in starts.into_iter().enumerate() {
        for how in [Cut::Fin, Cut::Rst] {
            for reused in [false, true] {
                let session = format!("{n}-{how:?}-{reused}");
                let request = Request::post(&session, b"{\"max_tokens\":1}");
                world.origin.reset();
                if reused {
                    world.origin.play([Script::answer(["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])]);
                    assert!(way.ask(&Request::post(&format!("before-{session}"), b"{}")).is_some());
                    world.origin.seen(1);
                }
                let steps = [start.as_bytes().to_vec()].into_iter().filter(|bytes| !bytes.is_empty());
                let mut script = Script::answer(steps);
                script.steps.push(Step::End(how));
                world.origin.play([script]);
                let got = way.ask(&request).expect("an answer");
                world.bad_gateway(&got, &session);
                let seen = world.origin.seen(1);
                assert_eq!(seen[0].body, b"{\"max_tokens\":1}", "{session}");
                let record = world.recorded(&session);
                assert_eq!((record.status, record.complete), (Some(502), false), "{record:?}");
            }
        }
    }
}

#[test]
fn an_upstream_that_asks_for_the_body_and_leaves_is_a_bad_gateway() {
    let world = World::new(Origin::plain());
    let way = world.proxied();
    let mut request = Request::post("leaves", b"{\"x\":1}");
    request.headers.push(("Expect".into(), "100-continue".into()));
    for body in [Body::Sized(b"{\"x\":1}".to_vec()), Body::Chunked(vec![b"{}".to_vec()], Vec::new())] {
        request.body = body;
        let script =
            Script::steps(vec![Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), Step::End(Cut::Fin)]);
        world.origin.reset();
        world.origin.play([script]);
        let got = way.connect().exchange(&way, &request).expect("an answer");
        world.bad_gateway(&got, "after 100");
    }
}

/// What upstream sent right before it broke off is the client's, though the break is known at the same moment.
#[test]
fn what_came_right_before_the_break_is_not_lost() {
    for origin in [Origin::plain(), Origin::tls(Flaw::Nothing)] {
        let world = World::new(origin);
        let ways = [world.direct(), world.proxied()];
        // Whether both are seen at once is chance: often enough, they are.
        for size in [1, 1_000, 60_000, 1_000_000].repeat(count(5, 100)) {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_bytes().to_vec();
            let wire = [head, chunk(b"first"), chunk(&vec![b'x'; size])].concat();
            let [direct, proxied] = ways.each_ref().map(|way| {
                world.origin.reset();
                let mut script = Script::answer([wire.clone()]);
                script.steps.push(Step::End(Cut::Fin));
                world.origin.play([script]);
                way.connect().exchange(way, &Request::post("right-before", b"{}"))
            });
            let direct = direct.expect("an answer");
            let proxied = proxied.unwrap_or_else(|| panic!("{size}: not even the head arrived"));
            assert_eq!(differences(&direct, &proxied), [""; 0], "{size}");
        }
    }
}
