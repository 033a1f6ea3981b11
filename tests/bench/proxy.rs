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

const fn case(
    name: &'static str,
    streams: usize,
    events: u64,
    pace_us: u64,
    request: usize,
    rounds: usize,
) -> Case {
    Case { name, streams, events, pace_us, request, rounds }
}

const CASES: [Case; 9] = [
    case("1 stream, 100 events paced", 1, 100, 2_000, 2 << 10, 15),
    case("16 streams, 100 paced each", 16, 100, 10_000, 2 << 10, 8),
    case("64 streams, 50 paced each", 64, 50, 40_000, 2 << 10, 5),
    case("1 stream, 2000 events", 1, 2_000, 0, 2 << 10, 60),
    case("16 streams, 2000 events each", 16, 2_000, 0, 2 << 10, 12),
    case("64 streams, 1000 events each", 64, 1_000, 0, 2 << 10, 6),
    case("80 KB request", 1, 5, 0, 80 << 10, 150),
    case("1 MB request", 1, 5, 0, 1 << 20, 60),
    case("10 MB request", 1, 5, 0, 10 << 20, 20),
];

/// Where in the list of targets what the others are compared with is.
const DIRECT: usize = 0;
const RELAY: usize = 1;

/// What one target showed in one case.
#[derive(Default)]
struct Measured {
    first_byte: Samples,
    per_event: Samples,
    total: Samples,
    cpu: Samples,
    passing: Samples,
    /// Bytes of a run, both ways.
    bytes: usize,
}

/// One stream's times.
struct Stream {
    first_byte: Duration,
    /// Median of its events' times on the way.
    per_event: Duration,
    bytes: usize,
}

pub(crate) fn run(rounds: Option<usize>, wanted: &str) {
    let origin = origin::start();
    let dir = tempfile::tempdir().unwrap();
    let mut targets = vec![Target::direct(origin), Target::relay(origin), Target::bare(origin)];
    match Target::nginx(origin, dir.path()) {
        Some(nginx) => targets.push(nginx),
        None => println!("nginx: not installed, skipped"),
    }
    targets.push(Target::product(origin));

    println!(
        "proxy: µs, medians of interleaved rounds; first byte, per event and total are what is added to a direct connection.\n\
         CPU of one run in its process, in brackets what of it went into the stream itself, which × compares: what capture\n\
         costs besides (compression, hashes, disk) is spent on other threads."
    );
    println!(
        "{:<29} {:<11} {:>10} {:>10} {:>10} {:>8} {:>18} {:>7} {:>7}",
        "case", "through", "first byte", "per event", "total", "MB/s", "CPU", "×relay", "×nginx"
    );
    for case in CASES.iter().filter(|case| case.name.contains(wanted)) {
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
            let (cpu, passing, begin) = (target.cpu(), target.passing(), now());
            let streams: Vec<Stream> = thread::scope(|scope| {
                let wires = target.wires(case.streams).iter_mut();
                let running: Vec<_> =
                    wires.map(|wire| scope.spawn(|| stream(wire, &request, case.events))).collect();
                running.into_iter().map(|stream| stream.join().unwrap()).collect()
            });
            let total = now().saturating_sub(begin);
            // What a run leaves to be written is written before the next one.
            if target.name == "ccd" {
                settled(|| target.cpu());
            }
            let (cpu, passing) = (target.cpu().saturating_sub(cpu), target.passing().saturating_sub(passing));
            if round > 0 {
                let measured = &mut measured[at];
                measured.total.push(total);
                measured.cpu.push(cpu);
                measured.passing.push(passing);
                measured.bytes = streams.iter().map(|stream| stream.bytes).sum();
                for stream in streams {
                    measured.first_byte.push(stream.first_byte);
                    measured.per_event.push(stream.per_event);
                }
            }
        }
    }
    measured
}

/// Waits until a figure stands still.
fn settled(figure: impl Fn() -> Duration) {
    let mut before = figure();
    loop {
        thread::sleep(Duration::from_millis(20));
        let after = figure();
        if after.saturating_sub(before) < Duration::from_micros(200) {
            return;
        }
        before = after;
    }
}

/// Sends one request and reads its events.
fn stream(wire: &mut Wire, request: &[u8], events: u64) -> Stream {
    let begin = now();
    wire.send(request);
    assert_eq!(wire.read_head().status(), 200);
    let (mut first_byte, mut delays, mut rest) = (None, Samples::default(), Vec::new());
    let (mut seen, mut bytes) = (0, request.len());
    while let Ok(piece) = wire.read_some(usize::MAX) {
        let arrived = now();
        first_byte.get_or_insert(arrived.saturating_sub(begin));
        bytes += piece.len();
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
    Stream { first_byte: first_byte.unwrap_or_default(), per_event: delays.median(), bytes }
}

/// The next event's time and where to look for the one after it.
fn next_stamp(bytes: &[u8]) -> Option<(usize, u64)> {
    let at = bytes.windows(STAMP.len()).position(|window| window == STAMP.as_bytes())? + STAMP.len();
    let digits = std::str::from_utf8(bytes.get(at..at + DIGITS)?).ok()?;
    Some((at + DIGITS, digits.parse().ok()?))
}

fn print(case: &Case, targets: &[Target], measured: &[Measured]) {
    let nginx = targets.iter().position(|target| target.name == "nginx");
    let way = |n: usize| micros(measured[n].passing.median());
    for (n, (target, own)) in targets.iter().zip(measured).enumerate() {
        let direct = &measured[DIRECT];
        let added = |figure: fn(&Measured) -> &Samples| {
            let (own, direct) = (micros(figure(own).median()), micros(figure(direct).median()));
            if n == DIRECT { format!("{own:.0}") } else { format!("{:+.0}", own - direct) }
        };
        let times = |other: Option<usize>| match other {
            Some(other) if n != DIRECT => ratio(way(n), way(other)),
            _ => String::new(),
        };
        let throughput = own.bytes as f64 / micros(own.total.median());
        let cpu = match n {
            DIRECT => String::new(),
            _ if target.name == "ccd" => format!("{:.0} ({:.0})", micros(own.cpu.median()), way(n)),
            _ => format!("{:.0}", micros(own.cpu.median())),
        };
        println!(
            "{:<29} {:<11} {:>10} {:>10} {:>10} {throughput:>8.1} {cpu:>18} {:>7} {:>7}",
            if n == DIRECT { case.name } else { "" },
            target.name,
            added(|m| &m.first_byte),
            added(|m| &m.per_event),
            added(|m| &m.total),
            times(Some(RELAY)),
            times(nginx),
        );
    }
}
