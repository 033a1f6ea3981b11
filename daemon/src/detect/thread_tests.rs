//! The writer, the detectors' thread and a store: what is acknowledged is seen, once, whatever is lost on the way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ccd_detect::{Detection, Event, ToolCall, Verdict, What};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::history::{self, Next};
use super::recorder::ToRecord;
use super::session::{Kit, Make, Watcher, engines};
use super::session_tests::{call, circle, hook, kit};
use super::thread::Detecting;
use super::{Feed, Message};
use crate::clock::{Clock, SystemClock};
use crate::ingest::found::DetectionV1;
use crate::ingest::shared::{Shared, StoreState};
use crate::ingest::writer::Writer;
use crate::ingest::{Ack, Door, Submission};
use crate::project::price::Prices;

const PATIENCE: Duration = Duration::from_secs(20);

/// A writer, and the detectors' thread once it is let go.
struct Rig {
    feed: Feed,
    door: Door,
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
    rx: Option<Receiver<Message>>,
    found: mpsc::Receiver<ToRecord>,
    out: Option<mpsc::Sender<ToRecord>>,
    thread: Option<JoinHandle<()>>,
    at: AtomicU64,
}

impl Rig {
    fn open(dir: &std::path::Path, queue: usize) -> Self {
        let (feed, rx) = Feed::sized(Arc::new(SystemClock), queue);
        let (door, submissions) = Door::new();
        let shared = Shared::new(Prices::new(&std::collections::BTreeMap::new()));
        let writer = Writer::new(dir.to_owned(), submissions, Arc::clone(&shared), &door, feed.clone());
        let writer = std::thread::spawn(move || writer.run());
        let (out, found) = mpsc::channel(1024);
        let at = AtomicU64::new(SystemClock.now_ns() - 60_000_000_000);
        Rig { feed, door, shared, writer, rx: Some(rx), found, out: Some(out), thread: None, at }
    }

    fn detect(&mut self, make: Make) {
        let kit = Kit { make, ..kit() };
        let (rx, out) = (self.rx.take().unwrap(), self.out.take().unwrap());
        let detecting = Detecting::new(&self.feed, rx, Arc::clone(&self.shared), kit, Arc::default(), out);
        self.thread = Some(std::thread::spawn(move || detecting.run()));
    }

    /// Hands an event in; what comes tells when it is durable.
    fn send(&self, event: &Value) -> tokio::sync::oneshot::Receiver<Ack> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let arrived_ns = self.at.fetch_add(10_000_000, Ordering::Relaxed);
        let body = bytes::Bytes::from(event.to_string());
        let event = self.door.scrub().hook(arrived_ns, b"", &body);
        self.door.submit(Submission::Hook(event, Some(tx)));
        rx
    }

    fn send_all(&self, events: &[Value]) {
        for event in events {
            assert_eq!(self.send(event).blocking_recv().unwrap(), Ack::Durable);
        }
    }

    /// What was found, once nothing more is to be looked at.
    fn end(mut self) -> Vec<DetectionV1> {
        let begun = Instant::now();
        while self.feed.gauges().has_missing.load(Ordering::Acquire) && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        self.feed.stop();
        self.thread.take().unwrap().join().unwrap();
        let mut all = Vec::new();
        while let Ok(found) = self.found.try_recv() {
            all.push(found.detection);
        }
        self.door.submit(Submission::Stop);
        self.writer.join().unwrap();
        all
    }

    /// The session, read back from the journal.
    fn replayed(&self) -> Vec<DetectionV1> {
        let begun = Instant::now();
        let reader = loop {
            if let StoreState::Ready(reader) = &*self.shared.state.borrow() {
                break reader.clone();
            }
            assert!(begun.elapsed() < PATIENCE);
        };
        let mut all = Vec::new();
        history::read(&reader, "s", u64::MAX, &kit(), &mut |_, taken| {
            all.extend(taken.found.into_iter().map(|found| found.record));
            Next::GoOn
        })
        .unwrap();
        all
    }
}

fn eventually(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Fed live in batches of any size, read back from the journal: the same detections, under the same numbers.
    #[test]
    fn live_and_replay_find_the_same(sizes in prop::collection::vec(1usize..9, 24), kinds in prop::collection::vec(0u8..6, 40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig::open(dir.path(), 64);
        rig.detect(engines());
        let mut events = circle(4);
        for (n, kind) in kinds.iter().enumerate() {
            let id = format!("x{n}");
            events.push(match kind {
                0 => hook("UserPromptSubmit", json!({"prompt": "go on", "prompt_id": format!("p{n}")})),
                1 => call(&id, "PreToolUse", "cargo test", ""),
                2 => call(&id, "PostToolUse", "ls", "a"),
                3 => call("x1", "PostToolUse", "ls", "a"),
                4 => hook("MessageDisplay", json!({"delta": "x"})),
                _ => call(&id, "PostToolUse", "cargo test", "error: linking failed"),
            });
        }
        let mut rest = events.as_slice();
        for size in sizes.into_iter().cycle() {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            let acks: Vec<_> = batch.iter().map(|event| rig.send(event)).collect();
            for ack in acks {
                prop_assert_eq!(ack.blocking_recv().unwrap(), Ack::Durable);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        eventually("published", || rig.feed.gauges().published.load(Ordering::Acquire) >= events.len() as u64);
        let replayed = rig.replayed();
        let live = rig.end();
        prop_assert!(!live.is_empty());
        prop_assert_eq!(live, replayed);
    }
}

#[test]
fn a_full_channel_loses_nothing_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path(), 2);
    rig.send_all(&circle(6));
    assert!(rig.feed.gauges().has_missing.load(Ordering::Acquire), "two batches fit");
    rig.detect(engines());
    eventually("read anew", || rig.feed.status().events >= 14);
    assert!(rig.feed.status().lost > 0);
    let replayed = rig.replayed();
    let found = rig.end();
    let at: Vec<u64> = found.iter().map(|found| found.at_event).collect();
    assert_eq!((at.as_slice(), &found), (&[7, 13][..], &replayed), "three times, and six");
}

#[test]
fn capture_does_not_wait_for_detectors_that_hang() {
    struct Hangs(Arc<Barrier>);
    impl Watcher for Hangs {
        fn observe(&mut self, _: &Event) -> Vec<Detection> {
            self.0.wait();
            Vec::new()
        }
        fn before(&self, _: Option<&str>, _: &ToolCall) -> Option<Verdict> {
            None
        }
        fn held(&self) -> usize {
            0
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path(), 4);
    let barrier = Arc::new(Barrier::new(2));
    let waits = Arc::clone(&barrier);
    rig.detect(Arc::new(move |_, _, _| Box::new(Hangs(Arc::clone(&waits)))));
    // Each is acknowledged while the thread stands still at the first.
    rig.send_all(&circle(20));
    let status = rig.feed.status();
    assert!(status.behind >= 4 && status.events == 0, "{status:?}");
    let (feed, door) = (rig.feed.clone(), rig.door.clone());
    door.submit(Submission::Stop);
    rig.writer.join().unwrap();
    drop((rig.found, feed));
    // Lets it go: it ends with the test.
    let thread = rig.thread.take().unwrap();
    std::thread::spawn(move || {
        loop {
            barrier.wait();
        }
    });
    rig.feed.stop();
    thread.join().unwrap();
}

#[test]
fn a_panic_of_a_detector_costs_one_session() {
    struct Panics(Box<dyn Watcher>);
    impl Watcher for Panics {
        fn observe(&mut self, event: &Event) -> Vec<Detection> {
            if let What::Call(call) = &event.what {
                assert_ne!(call.text("command"), "boom", "as the test wants it");
            }
            self.0.observe(event)
        }
        fn before(&self, agent: Option<&str>, call: &ToolCall) -> Option<Verdict> {
            self.0.before(agent, call)
        }
        fn held(&self) -> usize {
            self.0.held()
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path(), 64);
    let inner = engines();
    rig.detect(Arc::new(move |settings, index, prices| Box::new(Panics(inner(settings, index, prices)))));
    let mut other = call("b", "PreToolUse", "boom", "");
    other["session_id"] = json!("other");
    rig.send_all(&[other.clone()]);
    other["tool_use_id"] = json!("c");
    rig.send_all(&[other]);
    rig.send_all(&circle(3));
    eventually("looked at", || rig.feed.status().behind == 0);
    let status = rig.feed.status();
    assert_eq!((status.panics, status.sessions), (1, 1), "it is not tried again: {status:?}");
    assert_eq!(rig.end().len(), 1);
}

#[test]
fn history_begins_no_engine_and_is_quiet_in_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path(), 64);
    rig.detect(engines());
    let now = rig.at.load(Ordering::Relaxed);
    rig.at.store(now - 2 * super::AGE_NS, Ordering::Relaxed);
    rig.send_all(&circle(3));
    eventually("looked at", || rig.feed.status().behind == 0);
    assert_eq!(rig.feed.status().sessions, 0);
    rig.at.store(now, Ordering::Relaxed);
    rig.send_all(&[call("late", "PreToolUse", "cargo test", "")]);
    eventually("begun", || rig.feed.status().sessions == 1);
    assert_eq!(rig.end(), [], "what was found in history is history");
}

#[test]
fn a_session_that_is_over_is_let_go_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path(), 64);
    rig.detect(engines());
    rig.send_all(&circle(1));
    eventually("watched", || rig.feed.status().sessions == 1);
    rig.send_all(&[hook("SessionEnd", json!({"reason": "other"}))]);
    eventually("let go of", || rig.feed.status().sessions == 0);
    assert!(rig.end().is_empty());
}

#[test]
fn settings_are_in_force_from_the_next_event_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(dir.path(), 64);
    rig.detect(engines());
    rig.send_all(&circle(2));
    eventually("looked at", || rig.feed.status().behind == 0);
    let mut detect = crate::config::Detect::default();
    detect.settings.looping.repeats = 5;
    rig.feed.set(detect, crate::config::Heal::default());
    rig.send_all(&circle(6)[6..]);
    eventually("looked at", || rig.feed.status().behind == 0);
    let found: Vec<u64> = rig.end().into_iter().map(|found| found.at_event).collect();
    assert_eq!(found, [11], "the fifth, where it would have been the third");
}
