//! Slowness is nobody's fault: an upstream that thinks for long or drips, a client that reads slowly. The proxy ends
//! nothing by itself, and holds nothing that does not fit.

use std::io::Read;
use std::time::Duration;

use ccd_tests::harness::raw::End;
use ccd_tests::harness::soak::{count, summary};
use ccd_tests::harness::{Daemon, poll};
use sha2::{Digest, Sha256};

use super::client::{Request, chunk, last_chunk};
use super::origin::{Flaw, Origin, Script, Step};
use super::{World, peak_memory};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn an_upstream_that_stalls_and_drips_is_waited_for() {
    // Longer than any limit of the connection's in the long form.
    let stall = Duration::from_secs(count(1, 400) as u64);
    let drips = count(60, 600);
    let pause = Duration::from_millis(count(10, 1_000) as u64);
    for origin in [Origin::plain(), Origin::tls(Flaw::Nothing)] {
        let world = World::new(origin);
        let way = world.proxied();
        let mut steps = vec![Step::Stall(stall), Step::Send(STREAM.into()), Step::Stall(stall)];
        for n in 0..drips {
            steps.extend([Step::Send(chunk(&[b'a' + u8::try_from(n % 26).unwrap()])), Step::Stall(pause)]);
        }
        steps.extend([Step::Stall(stall), Step::Send(last_chunk(&[]))]);
        world.origin.play([Script { steps, early: false }]);
        let mut client = way.connect();
        let request = Request::post("drips", b"{}");
        client.send(&[request.head(&way), request.body()].concat());
        client.reader.stream().tcp().set_read_timeout(None).unwrap();
        let got = client.response("POST").expect("an answer");
        assert_eq!((got.head.status(), got.end, got.body.len()), (200, End::Whole, drips));
        world.origin.seen(1);
        assert!(world.recorded("drips").error.is_none());
    }
    summary(&format!("F15: stalls of {stall:?}, {drips} drips of one byte, plain and TLS: no end of ours"));
}

/// A client that does not read stops upstream, instead of filling the daemon.
#[test]
fn a_client_that_reads_slowly_slows_upstream_down_and_costs_no_memory() {
    const BLOCK: usize = 1 << 20;
    let blocks = count(64, 256);
    let origin = Origin::plain();
    let home = origin.home();
    // What is captured is not what is measured.
    std::fs::create_dir_all(home.ccd()).unwrap();
    std::fs::write(home.layout().config_file, "[capture]\nmax_body_bytes = 65536\n").unwrap();
    let daemon = Daemon::start(&home);
    let world = World { daemon, home, origin };
    let way = world.proxied();
    let before = peak_memory(world.daemon.pid());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", blocks * BLOCK);
    let block: Vec<u8> = (0..BLOCK).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut pieces = vec![head.into_bytes()];
    pieces.extend(std::iter::repeat_n(block.clone(), blocks));
    world.origin.play([Script::answer(pieces)]);
    let mut client = way.connect();
    let request = Request::post("slow", b"{}");
    client.send(&[request.head(&way), request.body()].concat());
    // Until upstream can write no more: what it wrote lies in sockets' buffers.
    let mut last = u64::MAX;
    let stopped = poll(Duration::from_secs(60), || {
        std::thread::sleep(Duration::from_millis(300));
        let now = world.origin.written();
        let stopped = now > 0 && now == last;
        last = now;
        stopped.then_some(now)
    });
    let stopped = stopped.expect("upstream is slowed down");
    assert!(stopped < (blocks * BLOCK) as u64 / 2, "upstream could write {stopped} bytes that nobody read");
    let mut hash = Sha256::new();
    let mut slow = [0; 4096];
    let mut received = Vec::new();
    // A little at a time, then all of it.
    for _ in 0..count(50, 2_000) {
        let n = client.reader.stream().read(&mut slow).unwrap();
        received.extend_from_slice(&slow[..n]);
        std::thread::sleep(Duration::from_millis(5));
    }
    let end = received.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    hash.update(&received[end..]);
    let mut total = received.len() - end;
    let mut piece = vec![0; 1 << 16];
    while total < blocks * BLOCK {
        let n = client.reader.stream().read(&mut piece).unwrap();
        assert_ne!(n, 0, "an end of ours after {total} bytes");
        hash.update(&piece[..n]);
        total += n;
    }
    let mut want = Sha256::new();
    (0..blocks).for_each(|_| want.update(&block));
    assert_eq!(hash.finalize(), want.finalize());
    let record = world.recorded("slow");
    assert_eq!(record.response_bytes, (blocks * BLOCK) as u64);
    if let (Some(before), Some(after)) = (before, peak_memory(world.daemon.pid())) {
        let grown = after - before;
        summary(&format!(
            "F15: {blocks} MiB read slowly: upstream had written {} MiB when it was stopped, memory grew by {} KiB",
            stopped >> 20,
            grown >> 10
        ));
        assert!(grown < 32 << 20, "{grown} bytes");
    }
}
