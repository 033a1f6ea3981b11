//! Clients and upstreams that take what they can: heads that never end, bodies that are declared to be huge, answers
//! that grow when they are decoded. The limits hold, memory stays where it is, and another client is answered meanwhile.

use std::io::Write;

use ccd_tests::harness::soak::{count, summary};
use ccd_tests::harness::wire::BodyEnd;
use ccd_tests::harness::{eventually, poll};

use super::{World, at_once, memory};
use crate::check;

/// How much more the daemon may hold at its peak.
const MORE: u64 = 64 << 20;
/// The most of a body that is kept, and the most that one is decoded to.
const BODY: u64 = 64 << 20;

/// Forgets the highest figure so far; the memory now.
fn begin(world: &World) -> u64 {
    std::fs::write(format!("/proc/{}/clear_refs", world.daemon.pid()), "5").unwrap();
    memory(world.daemon.pid(), "VmRSS")
}

#[track_caller]
fn assert_within(world: &World, before: u64, more: u64, what: &str) -> u64 {
    let grown = memory(world.daemon.pid(), "VmHWM").saturating_sub(before);
    assert!(grown <= more, "{what} took {} MiB", grown >> 20);
    grown >> 20
}

#[test]
fn heads_that_drip_are_ended_and_others_answered() {
    let world = World::new();
    let before = begin(&world);
    let number = count(60, 400);
    let start = world.head("POST", "/v1/messages");
    let mut dripping: Vec<_> = (0..number)
        .map(|_| {
            let mut client = world.connect();
            client.send(&start);
            client
        })
        .collect();
    world.assert_answered();
    // They go on, a byte at a time, for as long as they are listened to.
    let mut last = dripping.pop().unwrap();
    let ended = poll(ccd_tests::harness::PATIENCE, || {
        for client in &mut dripping {
            let _ = client.try_send("x");
        }
        (world.status().proxy.connections == 0).then_some(())
    });
    assert!(ended.is_some(), "{} are still listened to", world.status().proxy.connections);
    let head = last.read_head();
    assert_eq!((head.status(), head.header("connection")), (408, Some("close")));
    let grown = assert_within(&world, before, MORE, "dripping heads");
    world.assert_answered();
    assert!(check::exchanges(&world.home).len() <= 2);
    summary(&format!(
        "dripping heads: {number} ended with 408, {grown} MiB more at the peak, others answered"
    ));
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let world = World::new();
    let before = begin(&world);
    let long = format!("X-Long: {}\r\n\r\n", "x".repeat(100 << 10));
    let many = "X-Many: y\r\n".repeat(200);
    let requests =
        [world.head("POST", "/x") + &long, world.head("POST", "/x") + &many + "\r\n", "G".repeat(1 << 20)];
    for request in &requests {
        for status in at_once(8, |_| {
            let mut client = world.connect();
            let _ = client.try_send(request);
            client.try_head().map(|head| head.status())
        }) {
            assert_eq!(status, Some(431), "{}", &request[..40]);
        }
    }
    // Just below, all is well.
    let mut client = world.connect();
    let most = format!("X-Long: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(60 << 10));
    client.send(world.head("POST", "/large") + &most);
    let mut api = world.upstream.accept();
    assert_eq!(api.read_head().header("x-long").map(str::len), Some(60 << 10));
    assert!(world.upstream.try_accept().is_none());
    let grown = assert_within(&world, before, MORE, "large heads");
    summary(&format!("large heads: 24 refused with 431, {grown} MiB more at the peak"));
}

#[test]
fn a_huge_declared_body_is_refused_at_once_in_the_apis_own_form() {
    let world = World::new();
    let before = begin(&world);
    let mut client = world.connect();
    client.send(world.head("POST", "/v1/messages") + "Content-Length: 10737418240\r\n\r\n");
    let head = client.read_head();
    assert_eq!((head.status(), head.header("x-ccd-error")), (413, Some("body")));
    let body: serde_json::Value = serde_json::from_slice(&client.read_rest().0).unwrap();
    assert_eq!((&body["type"], &body["error"]["type"]), (&"error".into(), &"request_too_large".into()));
    client.read_close();
    // One that sends on all the same gets to read it too.
    let mut client = world.connect();
    client.send(world.head("POST", "/v1/messages") + "Content-Length: 10737418240\r\n\r\n");
    client.send(vec![0; 200 << 10]);
    assert_eq!(client.read_head().status(), 413);
    assert!(world.upstream.try_accept().is_none(), "nothing goes upstream");
    world.assert_answered();
    let grown = assert_within(&world, before, MORE, "a declared body");
    summary(&format!("10 GB declared: 413 at once, {grown} MiB more at the peak"));
}

/// 512 MiB, then more, of a body that did not tell its length.
#[test]
fn a_body_of_undeclared_length_ends_at_the_limit() {
    let world = World::new();
    let before = begin(&world);
    let piece = vec![b'x'; 1 << 20];
    let mut client = world.connect();
    client.send(world.head("POST", "/v1/messages") + "Transfer-Encoding: chunked\r\n\r\n");
    let mut api = world.upstream.accept();
    let _ = api.read_head();
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut seen = 0;
            loop {
                match api.read_some(usize::MAX) {
                    Ok(piece) => seen += piece.len(),
                    Err(end) => return (seen, end),
                }
            }
        });
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        while client.try_send(&chunk).is_ok() {}
        reader.join().unwrap()
    });
    assert!(seen.1 == BodyEnd::Cut && seen.0 <= 512 << 20, "{seen:?}");
    let grown = assert_within(&world, before, BODY + MORE, "an endless body");
    summary(&format!("undeclared body: cut after {} MiB, {grown} MiB more at the peak", seen.0 >> 20));
}

/// A zstd frame of a gigabyte of the same byte, by hand: no compressor asks for a window of this size.
fn zstd_bomb(window_log: u8) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    // Blocks of 128 KiB, each one byte repeated.
    for n in 0..8192_u32 {
        let last = u32::from(n == 8191);
        out.extend_from_slice(&((128 << 10) << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        out.push(b' ');
    }
    out
}

fn gzip_bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![b' '; 1 << 20];
    for _ in 0..400 {
        encoder.write_all(&piece).unwrap();
    }
    encoder.finish().unwrap()
}

fn brotli_bomb() -> Vec<u8> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
    let body = vec![b' '; 200 << 20];
    brotli::BrotliCompress(&mut &body[..], &mut out, &params).unwrap();
    out
}

#[test]
fn answers_that_grow_when_decoded_stop_at_the_limit() {
    let world = World::new();
    let bombs = [
        ("gzip", gzip_bomb()),
        ("br", brotli_bomb()),
        ("zstd", zstd_bomb(31)),
        ("zstd", zstd_bomb(27)),
        ("zstd", zstd_bomb(20)),
    ];
    let mut report = Vec::new();
    for (n, (encoding, bomb)) in bombs.iter().enumerate() {
        for kind in ["application/json", "text/event-stream"] {
            let before = begin(&world);
            let mut client = world.connect();
            client.send(
                world.head("POST", "/v1/messages")
                    + &format!("X-Claude-Code-Session-Id: bomb-{n}-{}\r\n", kind.len())
                    + "Content-Length: 2\r\n\r\n{}",
            );
            let mut api = world.upstream.accept();
            let _ = (api.read_head(), api.read_rest());
            api.send(format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
                bomb.len()
            ));
            api.send(bomb);
            assert_eq!(client.read_head().header("content-encoding"), Some(*encoding));
            let (body, end) = client.read_rest();
            assert!(body == *bomb && end == BodyEnd::Whole, "{encoding}: what came goes on as it came");
            let known = || {
                let session = format!("bomb-{n}-{}", kind.len());
                check::exchanges(&world.home).into_iter().find(|e| e.session_id.as_deref() == Some(&session))
            };
            let got = eventually("the exchange is recorded", known);
            let kept = world.home.ccctl(&["exchange", &got.exchange_id, "--response"]).ok().stdout;
            // What could not be looked through to its end is not kept.
            let is_left_out = String::from_utf8_lossy(&kept).contains("[unscanned ");
            assert!(kept == *bomb || is_left_out, "{encoding}: and is kept as it came, or left out");
            let grown = assert_within(&world, before, BODY + MORE / 2, &format!("{encoding}, {kind}"));
            report.push(format!("{encoding} {} KB as {kind}: {grown} MiB", bomb.len() >> 10));
            world.assert_answered();
        }
    }
    summary(&format!("decompression bombs, more memory at the peak: {}", report.join("; ")));
}
