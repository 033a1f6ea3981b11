//! How long questions take with many detections in the store: `cargo run --release -p ccd --example detections_pace --
//! [DETECTIONS]`. Printed, not asserted: machines differ.

#![allow(clippy::print_stdout, reason = "a program that prints measurements")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use ccd::config;
use ccd::ingest::found::{DetectionV1, EvidenceV1};
use ccd::ingest::shared::Shared;
use ccd::ingest::writer::Writer;
use ccd::ingest::{Door, Ready};
use ccd::project::price::Prices;
use ccd::query::detections::{self, OF_LIST, OF_TREND, Wanted};
use ccd::query::filter::Filter;
use ccd::query::{Ask, QueryError, sessions, statusline, turns};
use tokio::task::JoinSet;

const NOW: u64 = 1_795_219_200_000_000_000;
const DAY: u64 = 86_400_000_000_000;
const SESSIONS: u64 = 200;
const KINDS: [&str; 6] = ["loop", "derailment", "overflow", "cost", "hallucination", "completion"];
/// Records handed in at a time.
const AT_ONCE: u64 = 256;
const ROUNDS: u32 = 30;

/// One of so many, evenly over so many days.
fn found(n: u64, of: u64, days: u64) -> DetectionV1 {
    let session = n % SESSIONS;
    let kind = KINDS[usize::try_from(n % 6).unwrap_or(0)];
    DetectionV1 {
        at_ns: NOW - days * DAY / of * (n + 1) + 1,
        session_id: format!("session-{session}"),
        agent_id: None,
        cwd: Some(format!("/home/user/projects/app-{}", session % 20)),
        turn_id: Some(format!("turn-{session}")),
        span_id: Some(format!("{n:016x}")),
        kind: kind.into(),
        rule: format!("{kind}-rule"),
        severity: u8::try_from(40 + n % 60).unwrap_or(0),
        confidence: 85,
        at_event: n,
        title: format!("`cargo test --workspace part{n}` was run again, with nothing new before it"),
        evidence: (0..4)
            .map(|e| EvidenceV1 { span_id: None, text: format!("evidence {e}: {}", "words ".repeat(20)) })
            .collect(),
        advice: "Look at what the last run said before it is run once more. ".repeat(3),
        mast: Some("FM-1.3".into()),
        fingerprint: (u128::from(n % 500)).to_be_bytes(),
    }
}

async fn fill(door: &Door, count: u64, days: u64) -> Result<(), Box<dyn Error>> {
    for n in 0..SESSIONS {
        let session = format!("session-{n}");
        let event = format!(
            r#"{{"session_id":"{session}","hook_event_name":"UserPromptSubmit","cwd":"/home/user","prompt_id":"turn-{n}","prompt":"go"}}"#
        );
        let event = door.scrub().hook(NOW - n, b"", &event.into());
        door.hook(event).await;
    }
    for first in (0..count).step_by(usize::try_from(AT_ONCE)?) {
        let mut set = JoinSet::new();
        for n in first..(first + AT_ONCE).min(count) {
            let (door, record) = (door.clone(), found(n, count, days).to_record()?);
            set.spawn(async move { door.ready(Ready { record, fact: None }).await });
        }
        set.join_all().await;
    }
    Ok(())
}

fn measure<T>(what: &str, question: impl Fn() -> Result<T, QueryError>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        question().map_err(|e| e.error.message)?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("  {what:<44} {:>9.3} ms, worst {:.3}", median.as_secs_f64() * 1e3, worst.as_secs_f64() * 1e3);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    for days in [90, 7] {
        run(count, days).await?;
    }
    Ok(())
}

async fn run(count: u64, days: u64) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (door, rx) = Door::new();
    let shared = Shared::new(Prices::new(&BTreeMap::new()));
    let writer =
        Writer::new(dir.path().to_owned(), rx, Arc::clone(&shared), &door, ccd::detect::Feed::new().0);
    let writer = std::thread::spawn(move || writer.run());
    let begun = Instant::now();
    fill(&door, count, days).await?;
    println!(
        "{count} detections of {days} days in {SESSIONS} sessions, recorded in {:.1} s; medians of {ROUNDS}:",
        begun.elapsed().as_secs_f64()
    );
    let ask = Ask::new(&shared, NOW).await.map_err(|e| e.error.message)?;
    let barrier = door.clone();
    tokio::task::spawn_blocking(move || barrier.with_store(|_| ())).await??;
    let list = |query: &str| Wanted::parse(query, &OF_LIST).map_err(|e| e.error.message);
    let (all, some) = (list("")?, list("kind=loop&project=app-3&min_severity=60")?);
    let of_one = list("session=session-7")?;
    let by = Wanted::parse("by=kind,project,week", &OF_TREND).map_err(|e| e.error.message)?;
    let budget = config::Config::load(&dir.path().join("none.toml"), |_: &str| None)?.budget;
    let filter = Filter { session: Some("session-7".into()), ..Filter::default() };
    let reader = ask.reader.clone();
    measure("what status tells of them", || detections::open(&reader, NOW))?;
    measure("statusline, whole", || {
        statusline::statusline(&ask, &budget, "x", br#"{"session_id":"session-7"}"#)
    })?;
    measure("sessions (50)", || sessions::sessions(&ask, &Filter::default()))?;
    measure("detections (50 of all)", || detections::detections(&ask, &all))?;
    measure("detections of a kind, a project, a severity", || detections::detections(&ask, &some))?;
    measure("detections of a session (all)", || detections::detections(&ask, &of_one))?;
    measure("turns of a session, with its detections", || turns::turns(&ask, &filter))?;
    measure("trend by kind, project, week", || detections::trend(&ask, &by))?;
    measure("judgements in force", || detections::judgements(&ask))?;
    door.stop().await;
    drop(ask);
    writer.join().map_err(|_| "the writer panicked")?;
    Ok(())
}
