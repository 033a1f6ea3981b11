//! 256 MiB for everything, and clients that send gigabytes at once: nothing is killed, every byte arrives, and what there
//! was no room to keep is cut and counted.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ccd_tests::assert_eventually;
use ccd_tests::harness::group::Group;
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::wire::{BodyEnd, Wire};
use ccd_tests::harness::{Daemon, binary};

use super::scarce::cannot_run;
use super::{World, at_once, memory};

const LIMIT: u64 = 256 << 20;

/// A request's body as the client sends them: many messages of words, of about so many bytes.
fn body(name: &str, megabytes: usize) -> Vec<u8> {
    let words = Random::of(name).text(4 << 10);
    let mut out = format!(
        "{{\"model\":\"claude-opus-5-5\",\"stream\":true,\"max_tokens\":1,\"messages\":[{{\"role\":\"user\",\"content\":\"{name}\"}}"
    );
    for n in 0.. {
        if out.len() >= megabytes << 20 {
            break;
        }
        let role = if n % 2 == 0 { "assistant" } else { "user" };
        write!(out, ",{{\"role\":\"{role}\",\"content\":[{{\"type\":\"text\",\"text\":\"{n} {words}\"}}]}}")
            .unwrap();
    }
    (out + "]}").into_bytes()
}

/// Answers one connection's one request, which must bring `body`, with `answer`.
fn echo(mut wire: Wire, body: &[u8], answer: &[u8], whole: &AtomicUsize) {
    let _ = wire.read_head();
    let mut at = 0;
    let end = loop {
        match wire.read_some(1 << 20) {
            Ok(piece) => {
                assert!(body[at..at + piece.len()] == piece[..], "byte for byte, from {at}");
                at += piece.len();
            }
            Err(end) => break end,
        }
    };
    assert_eq!((at, end), (body.len(), BodyEnd::Whole));
    whole.fetch_add(1, Ordering::SeqCst);
    wire.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n");
    wire.send(format!("Content-Length: {}\r\n\r\n", answer.len()));
    wire.send(answer);
}

#[test]
fn in_256_mib_many_large_requests_pass_whole() {
    const PARALLEL: usize = 64;
    let group = match Group::memory(LIMIT) {
        Ok(group) => group,
        Err(why) => return cannot_run("a limit of memory", &why),
    };
    // Short: less of everything, at a time all the same. The long form's store comes to a gigabyte.
    let (megabytes, before) = (count(10, 30), count(4, 300));
    let world = World::start(|home| Daemon::start_as(home, group.command(home, &binary("ccd"))));
    let answer = body("answer", 1);
    let whole = AtomicUsize::new(0);
    let exchange = |body: &[u8], session: &str| {
        let mut client = world.connect();
        client.send(
            world.head("POST", "/v1/messages")
                + &format!(
                    "X-Claude-Code-Session-Id: {session}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                ),
        );
        client.send(body);
        assert_eq!(client.read_head().status(), 200);
        let (got, end) = client.read_rest();
        assert!(got == answer && end == BodyEnd::Whole, "the answer is what was sent");
    };
    // A store that has something in it already: bodies that do not repeat each other.
    for n in 0..before {
        let body = Random::of(&format!("fill {n}")).text(7 << 20).into_bytes();
        thread::scope(|scope| {
            scope.spawn(|| echo(world.upstream.accept(), &body, &answer, &whole));
            exchange(&body, "before");
        });
        // Kept whole: one at a time.
        assert_eventually!(world.status().capture.queue_bytes == 0, "a body is stored");
    }
    assert_eq!(world.status().capture.gaps, 0, "what there is room for is kept whole");
    let sent = body("large", megabytes);
    thread::scope(|scope| {
        let (upstream, sent, answer, whole) = (&world.upstream, &sent, &answer, &whole);
        scope.spawn(move || {
            thread::scope(|each| {
                for _ in 0..PARALLEL {
                    let wire = upstream.accept();
                    each.spawn(move || echo(wire, sent, answer, whole));
                }
            });
        });
        let _ = at_once(PARALLEL, |n| exchange(sent, &format!("large-{}", n % 4)));
    });
    assert_eq!(whole.load(Ordering::SeqCst), PARALLEL + before);
    let all = (PARALLEL + before) as u64;
    let told = || {
        (world.status().proxy.exchanges + world.status().capture.dropped, world.status().capture.queue_bytes)
    };
    assert_eventually!(told() == (all, 0), "each is recorded or counted: {:?} of {all}", told());
    let capture = world.status().capture;
    let cut = capture.gaps + capture.dropped;
    assert!(cut > 0, "there was no room for all of it");
    assert_eq!(group.kills(), 0, "nothing was killed");
    let bytes = world.status().store.bytes;
    summary(&format!(
        "256 MiB: {PARALLEL} requests of {megabytes} MB at a time byte-exact, 0 killed, {} cut, {} dropped, both counted; \
         at the peak the daemon {} MiB, the group {} MiB with pages of files; the store {} MiB",
        capture.gaps,
        capture.dropped,
        memory(world.daemon.pid(), "VmHWM") >> 20,
        group.peak() >> 20,
        bytes >> 20
    ));
    // The group goes after its last process.
    drop(world);
}
