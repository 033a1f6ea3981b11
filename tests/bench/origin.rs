//! Where the benched proxies send to: answers every request with as many events as its query asks for. Each
//! event carries the time of its sending, on a clock that the client shares.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use ccd_tests::harness::wire::{Upstream, Wire};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time on the shared clock.
pub(crate) fn now() -> Duration {
    EPOCH.elapsed()
}

/// Starts the origin; it ends with the process.
pub(crate) fn start() -> SocketAddr {
    LazyLock::force(&EPOCH);
    let upstream = Upstream::new();
    let address = upstream.url().trim_start_matches("http://").parse().unwrap();
    thread::spawn(move || {
        loop {
            match upstream.try_accept() {
                Some(wire) => drop(thread::spawn(move || serve(wire.without_patience()))),
                // Connections are few and made before anything is measured.
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    address
}

/// What precedes an event's time.
pub(crate) const STAMP: &str = "\"sent_ns\":\"";
/// Digits of an event's time.
pub(crate) const DIGITS: usize = 20;

fn serve(mut wire: Wire) {
    while let Some(head) = wire.next_head() {
        let asked = |name: &str| -> u64 {
            let query =
                head.start.split([' ', '?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            query.and_then(|value| value.parse().ok()).unwrap_or_default()
        };
        let (events, pace) = (asked("events"), Duration::from_micros(asked("pace_us")));
        let _ = wire.read_rest();
        let opening = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_bench\r\n\
                       transfer-encoding: chunked\r\n\r\n";
        if wire.try_send(opening).is_err() {
            return;
        }
        for n in 0..events {
            if !pace.is_zero() {
                thread::sleep(pace);
            }
            let event = format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,{STAMP}{:0DIGITS$}\",\
                 \"delta\":{{\"type\":\"text_delta\",\"text\":\" and some words of event {n}\"}}}}\n\n",
                now().as_nanos(),
            );
            if wire.try_send(format!("{:x}\r\n{event}\r\n", event.len())).is_err() {
                return;
            }
        }
        if wire.try_send("0\r\n\r\n").is_err() {
            return;
        }
    }
}
