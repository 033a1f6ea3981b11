//! What watching live sessions costs: `cargo run --release -p ccd --example watch`. Events through the writer with and
//! without the detectors behind it, memory per session, and how long a session takes to be read anew. Printed, not
//! asserted: machines differ.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a program that prints measurements")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on stops with a message")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd::clock::{Clock, SystemClock};
use ccd::detect::Feed;
use ccd::detect::history::{self, Next};
use ccd::detect::session::{Kit, NoTrees, engines};
use ccd::detect::thread::Detecting;
use ccd::ingest::shared::{Shared, StoreState};
use ccd::ingest::writer::Writer;
use ccd::ingest::{Ack, Door};
use ccd::project::price::Prices;
use serde_json::json;

const EVENTS: u64 = 20_000;
/// Events on their way at a time.
const AT_ONCE: usize = 256;

/// A call of a session, or its result: 2 KB or so, and 40 KB now and then.
fn event(session: &str, n: u64) -> Bytes {
    let lines = if n % 80 == 3 { 900 } else { 40 };
    let out: Vec<String> =
        (0..lines).map(|l| format!("src/part{l}.rs:{n}: value {} took 0.{l}s", l * n)).collect();
    let (name, response) = if n.is_multiple_of(2) {
        ("PreToolUse", serde_json::Value::Null)
    } else {
        ("PostToolUse", json!({"stdout": out.join("\n"), "stderr": ""}))
    };
    let call = n / 2;
    let mut event = json!({"session_id": session, "hook_event_name": name, "cwd": "/home/u/app", "prompt_id": "p",
        "tool_name": "Bash", "tool_use_id": format!("toolu_{call}")});
    event["tool_input"] = json!({"command": format!("cargo test part{call} 2>&1 | tail -40")});
    event["tool_response"] = response;
    if n.is_multiple_of(400) {
        event["hook_event_name"] = json!("UserPromptSubmit");
        event["prompt"] = json!(format!("now part {n}"));
        event["prompt_id"] = json!(format!("p{n}"));
    }
    event.to_string().into()
}

fn kit() -> Kit {
    let prices = Arc::new(Prices::new(&BTreeMap::new()));
    Kit { settings: Arc::default(), prices, trees: Arc::new(NoTrees), make: engines() }
}

/// Kilobytes that the process holds, where the system tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kb| kb.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}

struct Daemon {
    feed: Feed,
    door: Door,
    shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Daemon {
    fn open(dir: &Path, watches: bool) -> Self {
        let (feed, rx) = Feed::new();
        let (door, submissions) = Door::new();
        let shared = Shared::new(Prices::new(&BTreeMap::new()));
        let writer = Writer::new(dir.to_owned(), submissions, Arc::clone(&shared), &door, feed.clone());
        let mut threads = vec![std::thread::spawn(move || writer.run())];
        if watches {
            let (out, mut found) = tokio::sync::mpsc::channel(1024);
            let detecting = Detecting::new(&feed, rx, Arc::clone(&shared), kit(), Arc::default(), out);
            threads.push(std::thread::spawn(move || detecting.run()));
            threads.push(std::thread::spawn(move || while found.blocking_recv().is_some() {}));
        }
        while !matches!(&*shared.state.borrow(), StoreState::Ready(_)) {
            std::thread::yield_now();
        }
        Daemon { feed, door, shared, threads }
    }

    /// Hands events in; how long until all are acknowledged.
    async fn send(&self, events: Vec<Bytes>, at_once: usize) -> Duration {
        let first = SystemClock.now_ns() - events.len() as u64;
        let room = Arc::new(tokio::sync::Semaphore::new(at_once));
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for (n, body) in events.into_iter().enumerate() {
            let permit = Arc::clone(&room).acquire_owned().await.unwrap();
            let door = self.door.clone();
            tasks.spawn(async move {
                let arrived_ns = first + n as u64;
                let ack = door.hook(door.scrub().hook(arrived_ns, b"", &body)).await;
                assert_eq!(ack, Ack::Durable);
                drop(permit);
            });
        }
        while tasks.join_next().await.is_some() {}
        begun.elapsed()
    }

    fn catch_up(&self) {
        while self.feed.status().behind > 0 {
            std::thread::yield_now();
        }
    }

    async fn close(self) {
        let feed = self.feed.clone();
        tokio::task::spawn_blocking(move || feed.stop()).await.unwrap();
        self.door.stop().await;
        for thread in self.threads {
            tokio::task::spawn_blocking(move || thread.join()).await.unwrap().unwrap();
        }
    }
}

async fn pace() {
    println!("{EVENTS} hook events of 8 sessions through the writer, {AT_ONCE} at once:");
    for round in 0..3 {
        for watches in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let daemon = Daemon::open(dir.path(), watches);
            let events = (0..EVENTS).map(|n| event(&format!("session-{}", n % 8), n / 8)).collect();
            let begun = Instant::now();
            let took = daemon.send(events, AT_ONCE).await;
            let rate = EVENTS as f64 / took.as_secs_f64();
            if watches {
                daemon.catch_up();
            }
            let (all, status) = (begun.elapsed(), daemon.feed.status());
            let name = if watches { "watched" } else { "not watched" };
            print!("  round {round}, {name:<12} {rate:>7.0} events/s acknowledged");
            if watches {
                print!(
                    "; all looked at after {:.2} of {:.2} s, {} lost on the way",
                    all.as_secs_f64(),
                    took.as_secs_f64(),
                    status.lost
                );
            }
            println!();
            daemon.close().await;
        }
    }
}

async fn memory() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::open(dir.path(), true);
    daemon.send((0..2_000).map(|n| event("warm", n)).collect(), AT_ONCE).await;
    daemon.catch_up();
    ccd::memory::trim();
    let (before, sessions) = (resident(), 31);
    for session in 0..sessions {
        daemon.send((0..2_000).map(|n| event(&format!("session-{session}"), n)).collect(), AT_ONCE).await;
    }
    daemon.catch_up();
    daemon.shared.live.clear();
    daemon.shared.live.rest();
    if let StoreState::Ready(reader) = &*daemon.shared.state.borrow() {
        reader.rest();
    }
    ccd::memory::trim();
    let (after, held) = (resident(), daemon.feed.status().sessions);
    let end = |n: u64| event(&format!("session-{n}"), 0);
    // What is left once they are over is not theirs.
    let ends: Vec<Bytes> = (0..sessions)
        .map(|n| {
            let mut event: serde_json::Value = serde_json::from_slice(&end(n)).unwrap();
            event["hook_event_name"] = json!("SessionEnd");
            event.to_string().into()
        })
        .collect();
    daemon.send(ends, AT_ONCE).await;
    daemon.catch_up();
    daemon.shared.live.clear();
    ccd::memory::trim();
    let left = resident();
    println!(
        "{held} sessions of 2,000 events watched: {} kB each (from {before} to {after} kB; {left} kB once {sessions} are over)",
        after.saturating_sub(left) / sessions,
    );
    daemon.close().await;
}

async fn anew(at_once: usize) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::open(dir.path(), false);
    daemon.send((0..5_000).map(|n| event("s", n)).collect(), at_once).await;
    let StoreState::Ready(reader) = daemon.shared.state.borrow().clone() else { return };
    for round in 0..3 {
        let (begun, mut events) = (Instant::now(), 0);
        history::read(&reader, "s", u64::MAX, &kit(), &mut |_, taken| {
            events += taken.events;
            Next::GoOn
        })
        .unwrap();
        println!(
            "round {round}: a session of {events} events that came {at_once} at once read anew in {:.0} ms",
            begun.elapsed().as_secs_f64() * 1e3
        );
    }
    daemon.close().await;
}

#[tokio::main]
async fn main() {
    pace().await;
    memory().await;
    // As a client sends them, and as nobody does: many sessions' records share a frame then.
    anew(2).await;
    anew(AT_ONCE).await;
}
