//! What the proxy adds: to the first byte, to each event, to the whole, and in CPU time.

use std::thread;
use std::time::Duration;

use ccd_tests::harness::wire::Wire;

use crate::origin::{self, DIGITS, STAMP, now};
use crate::stats::{Samples, micros, ratio};
use crate::target::Target;

/// One pattern of traffic.
struct Case {
    name: &'static str,
    streams: usize,
    events: u64,
    pace_us: u64,
    request: usize,
    rounds: usize,
}

const CASES: [Case; 6] = [
    Case {
        name: "1 stream, 100 events paced",
        streams: 1,
        events: 100,
        pace_us: 2_000,
        request: 2 << 10,
        rounds: 15,
    },
    Case {
        name: "1 stream, 2000 events",
        streams: 1,
        events: 2_000,
        pace_us: 0,
        request: 2 << 10,
        rounds: 60,
    },
    Case { name: "80 KB request", streams: 1, events: 5, pace_us: 0, request: 80 << 10, rounds: 150 },
    Case { name: "1 MB request", streams: 1, events: 5, pace_us: 0, request: 1 << 20, rounds: 60 },
    Case { name: "10 MB request", streams: 1, events: 5, pace_us: 0, request: 10 << 20, rounds: 20 },
    Case {
        name: "16 streams, 2000 events each",
        streams: 16,
        events: 2_000,
        pace_us: 0,
        request: 2 << 10,
        rounds: 12,
    },
];

/// What one target showed in one case.
#[derive(Default)]
struct Measured {
    first_byte: Samples,
    per_event: Samples,
    total: Samples,
    cpu: Samples,
}

/// One stream's times.
struct Stream {
    first_byte: Duration,
    /// Median of its events' times on the way.
    per_event: Duration,
}

pub(crate) fn run(rounds: Option<usize>) {
    let origin = origin::start();
    let dir = tempfile::tempdir().unwrap();
    let mut targets = vec![Target::direct(origin), Target::bare(origin)];
    match Target::nginx(origin, dir.path()) {
        Some(nginx) => targets.push(nginx),
        None => println!("nginx: not installed, skipped"),
    }
    targets.push(Target::product(origin));

    println!(
        "proxy: µs, medians of interleaved rounds; what is added to a direct connection, and (×) its ratio to the bare proxy"
    );
    println!(
        "{:<30} {:<11} {:>18} {:>18} {:>20} {:>18}",
        "case", "through", "first byte", "per event", "total", "CPU per run"
    );
    for case in &CASES {
        let measured = measure(case, rounds.unwrap_or(case.rounds), &mut targets);
        print(case, &targets, &measured);
    }
}

fn measure(case: &Case, rounds: usize, targets: &mut [Target]) -> Vec<Measured> {
    // A JSON body of distinct text, as a conversation is.
    let words: String = (0..).map(|n| format!("word {n} ")).take(case.request / 10).collect();
    let body = format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{words}\"}}]}}");
    let query = format!("events={}&pace_us={}", case.events, case.pace_us);
    let mut measured: Vec<Measured> = targets.iter().map(|_| Measured::default()).collect();
    // Round 0 warms up: connections, caches, allocations.
    for round in 0..=rounds {
        for turn in 0..targets.len() {
            // Each round begins with another target: being first is no advantage.
            let at = (turn + round) % targets.len();
            let target = &mut targets[at];
            let request = target.request(&query, body.as_bytes());
            let (cpu, begin) = (target.cpu(), now());
            let streams: Vec<Stream> = thread::scope(|scope| {
                let wires = target.wires(case.streams).iter_mut();
                let running: Vec<_> =
                    wires.map(|wire| scope.spawn(|| stream(wire, &request, case.events))).collect();
                running.into_iter().map(|stream| stream.join().unwrap()).collect()
            });
            let (total, cpu) = (now().saturating_sub(begin), target.cpu().saturating_sub(cpu));
            if round > 0 {
                let measured = &mut measured[at];
                measured.total.push(total);
                measured.cpu.push(cpu);
                for stream in streams {
                    measured.first_byte.push(stream.first_byte);
                    measured.per_event.push(stream.per_event);
                }
            }
        }
    }
    measured
}

/// Sends one request and reads its events.
fn stream(wire: &mut Wire, request: &[u8], events: u64) -> Stream {
    let begin = now();
    wire.send(request);
    assert_eq!(wire.read_head().status(), 200);
    let (mut first_byte, mut delays, mut rest) = (None, Samples::default(), Vec::new());
    let mut seen = 0;
    while let Ok(piece) = wire.read_some(usize::MAX) {
        let arrived = now();
        first_byte.get_or_insert(arrived.saturating_sub(begin));
        rest.extend(piece);
        let mut done = 0;
        while let Some(sent) = next_stamp(&rest[done..]) {
            delays.push(arrived.saturating_sub(Duration::from_nanos(sent.1)));
            done += sent.0;
            seen += 1;
        }
        rest.drain(..done);
    }
    assert_eq!(seen, events, "every event arrived");
    Stream { first_byte: first_byte.unwrap_or_default(), per_event: delays.median() }
}

/// The next event's time and where to look for the one after it.
fn next_stamp(bytes: &[u8]) -> Option<(usize, u64)> {
    let at = bytes.windows(STAMP.len()).position(|window| window == STAMP.as_bytes())? + STAMP.len();
    let digits = std::str::from_utf8(bytes.get(at..at + DIGITS)?).ok()?;
    Some((at + DIGITS, digits.parse().ok()?))
}

fn print(case: &Case, targets: &[Target], measured: &[Measured]) {
    let columns: [fn(&Measured) -> f64; 4] = [
        |m| micros(m.first_byte.median()),
        |m| micros(m.per_event.median()),
        |m| micros(m.total.median()),
        |m| micros(m.cpu.median()),
    ];
    for (n, target) in targets.iter().enumerate() {
        let cells = columns.map(|column| {
            let [direct, bare, own] = [0, 1, n].map(|n| column(&measured[n]));
            match n {
                0 => format!("{own:.0}"),
                _ => format!("{:+.0} ×{}", own - direct, ratio(own - direct, bare - direct)),
            }
        });
        let case = if n == 0 { case.name } else { "" };
        let [first_byte, per_event, total, cpu] = cells;
        println!("{case:<30} {:<11} {first_byte:>18} {per_event:>18} {total:>20} {cpu:>18}", target.name);
    }
}
