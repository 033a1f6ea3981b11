//! A hundred megabytes each way, with and without their length: the same bytes, and never held in memory.

use ccd_tests::harness::Daemon;
use ccd_tests::harness::raw::End;
use ccd_tests::harness::soak::summary;
use sha2::{Digest, Sha256};

use super::client::{Request, chunk, last_chunk};
use super::origin::{Origin, Script, Step};
use super::{World, peak_memory};

const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 100;
/// What is kept of each body.
const KEPT: usize = 1 << 20;

/// The nth megabyte; no two are the same.
fn block(n: usize) -> Vec<u8> {
    (0..BLOCK).map(|at| u8::try_from((at * 31 + n * 7 + at / 251) % 256).unwrap()).collect()
}

fn chunked_block(n: usize) -> Vec<u8> {
    chunk(&block(n))
}

#[test]
fn a_hundred_megabytes_each_way_are_the_same_and_are_not_held_in_memory() {
    let mut whole = Sha256::new();
    (0..BLOCKS).for_each(|n| whole.update(block(n)));
    let whole = whole.finalize();
    let origin = Origin::plain();
    let home = origin.home();
    std::fs::create_dir_all(home.ccd()).unwrap();
    std::fs::write(home.layout().config_file, format!("[capture]\nmax_body_bytes = {KEPT}\n")).unwrap();
    let daemon = Daemon::start(&home);
    let world = World { daemon, home, origin };
    let way = world.proxied();
    let before = peak_memory(world.daemon.pid());
    for chunked in [false, true] {
        let session = format!("chunked-{chunked}");
        let framing = if chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {}", BLOCK * BLOCKS)
        };
        let wire = |n| if chunked { chunk(&block(n)) } else { block(n) };
        let end = if chunked { last_chunk(&[]) } else { Vec::new() };
        let mut steps = vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").into())];
        steps.extend((0..BLOCKS).map(|n| Step::Make(if chunked { chunked_block } else { block }, n)));
        steps.push(Step::Send(end.clone()));
        world.origin.play([Script { steps, early: false }]);

        let mut client = way.connect();
        let mut request = Request::post(&session, b"");
        request.body = super::client::Body::None;
        let head = String::from_utf8(request.head(&way)).unwrap();
        client.send(head.replacen("\r\n\r\n", &format!("\r\n{framing}\r\n\r\n"), 1).as_bytes());
        for n in 0..BLOCKS {
            client.send(&wire(n));
        }
        client.send(&end);
        let mut hash = Sha256::new();
        client.reader.forget_bodies();
        let got = client.reader.response_with("POST", &mut |_, piece| hash.update(piece)).expect("an answer");
        assert_eq!((got.head.status(), got.end), (200, End::Whole), "{session}");
        assert_eq!(hash.finalize(), whole, "{session}: the response");
        let seen = world.origin.seen(1).remove(0);
        assert_eq!(seen.end, End::Whole, "{session}");
        assert_eq!(seen.head.header("content-length").is_some(), !chunked, "{session}: {:?}", seen.head);
        assert_eq!(got.head.header("content-length").is_some(), !chunked, "{session}: {:?}", got.head);
        assert!(Sha256::digest(&seen.body) == whole, "{session}: the request");
        let record = world.recorded(&session);
        let all = (BLOCK * BLOCKS) as u64;
        assert_eq!((record.request_bytes, record.response_bytes), (all, all), "{record:?}");
        assert!(!record.complete, "not all of it was kept: {record:?}");
        let detail = world.detail(&record.exchange_id);
        let kept = Some(KEPT as u64);
        assert_eq!((detail.request_kept, detail.response_kept), (kept, kept), "and the record says so");
        for which in ["request", "response"] {
            assert!(
                super::is_kept_as(&block(0)[..KEPT], &world.body(&record.exchange_id, which)),
                "{session}: the {which}'s start"
            );
        }
    }
    if let (Some(before), Some(after)) = (before, peak_memory(world.daemon.pid())) {
        let grown = after - before;
        summary(&format!("F17: 100 MiB each way, twice: memory grew by {} KiB", grown >> 10));
        assert!(grown < 64 << 20, "{grown} bytes");
    }
}
