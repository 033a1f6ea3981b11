//! The past is let go of; its usage, and all that is younger, stays. A clock gone wrong costs nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{Daemon, home, upstream};
use ccd::clock::Clock;
use ccd::ingest::prune::{self, Limits, Pruned};
use ccd::ingest::rebuild;
use ccd::maintenance::retention;
use ccd_proto::frame::Status;
use serde_json::{Value, json};

const DAY: u64 = 86_400_000_000_000;
const BEGIN: u64 = 1_790_000_000_000_000_000;
const DEAD: &str = "http://127.0.0.1:9";

// Without a request id, each exchange is a charge of its own, although all messages have the same id.
const REPLY: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n",
    "content-length: 146\r\nconnection: close\r\n\r\n",
    r#"{"type":"message","id":"msg_1","model":"claude-opus-4-8","content":[{"type":"text","text":"hi"}],"#,
    r#""usage":{"input_tokens":1000,"output_tokens":9}} "#
);

/// A clock that is set by the test.
struct Set(AtomicU64);

impl Set {
    fn to_day(&self, day: u64) {
        self.0.store(BEGIN + day * DAY, Ordering::Relaxed);
    }
}

impl Clock for Set {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn request(turns: usize) -> String {
    let message = |n: usize| json!({"role":"user","content":format!("message {n} {}", "x".repeat(900 + n))});
    json!({"model":"claude-opus-4-8","messages":(0..turns).map(message).collect::<Vec<_>>()}).to_string()
}

/// A daemon at the beginning of time, and what it needs.
struct Begun {
    home: tempfile::TempDir,
    api: String,
    clock: Arc<Set>,
    daemon: Daemon,
}

async fn begun() -> Begun {
    let home = home();
    let api = format!("http://{}", upstream(vec![REPLY], Duration::ZERO).await);
    let clock = Arc::new(Set(AtomicU64::new(BEGIN)));
    let daemon = Daemon::start_at(home.path(), &api, clock.clone()).await;
    Begun { home, api, clock, daemon }
}

/// Four sessions, a month apart, which all begin alike.
async fn recorded(daemon: &Daemon, clock: &Set) {
    for (n, session) in (0..).zip(["one", "two", "three", "four"]) {
        clock.to_day(n * 30);
        let cwd = format!("/home/user/{session}");
        let start = json!({"session_id":session,"hook_event_name":"SessionStart","cwd":cwd});
        daemon.hook(clock.now_ns(), &start).await;
        for turns in 1..4 {
            assert_eq!(daemon.post("/v1/messages", session, &request(turns)).await.0, 200);
        }
        let wanted = (n + 1) * 3;
        assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == wanted, "captured");
    }
}

async fn pruned(daemon: &Daemon, limits: Limits) -> Pruned {
    let app = Arc::clone(&daemon.app);
    let prune = move || prune::prune(&app.door, &app.shared, &limits, &mut |_| ()).unwrap();
    tokio::task::spawn_blocking(prune).await.unwrap()
}

async fn sessions(daemon: &Daemon) -> Vec<String> {
    let body = daemon.get("/v0/sessions").await;
    let id = |session: &Value| session["session_id"].as_str().unwrap().to_owned();
    let mut ids: Vec<_> = body["sessions"].as_array().unwrap().iter().map(id).collect();
    ids.sort();
    ids
}

const USAGE: [&str; 3] =
    ["/v0/usage?period=total", "/v0/usage?period=monthly&by=project,model", "/v0/usage?period=session"];

async fn usage(daemon: &Daemon) -> Vec<Value> {
    let mut all = Vec::new();
    for page in USAGE {
        all.push(daemon.get(page).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn old_records_go_and_their_usage_stays() {
    let Begun { home, clock, daemon, .. } = begun().await;
    recorded(&daemon, &clock).await;
    let before = usage(&daemon).await;
    assert_eq!(before[0]["totals"]["exchanges"], 12);
    let kept = daemon.get("/v0/spans?session=four&content=1").await;

    let done = pruned(&daemon, Limits { before_ns: Some(BEGIN + 45 * DAY), max_bytes: None }).await;
    assert_eq!((done.segments, done.records), (2, 8));
    assert_eq!(sessions(&daemon).await, ["four", "three"]);
    assert_eq!(usage(&daemon).await, before);
    assert_eq!(daemon.get("/v0/spans?session=four&content=1").await, kept);
    assert_eq!(daemon.get("/v0/status").await["store"]["sessions"], 2);

    // Again, on top of what was kept the first time, while events come in.
    assert_eq!(daemon.post("/v1/messages", "four", &request(4)).await.0, 200);
    let done = pruned(&daemon, Limits { before_ns: Some(BEGIN + 75 * DAY), max_bytes: None }).await;
    assert_eq!(done.segments, 1);
    assert_eventually!(
        daemon.get(USAGE[0]).await["totals"]["exchanges"] == 13,
        "{}",
        daemon.get(USAGE[0]).await
    );
    let (before, exchanges) = (usage(&daemon).await, daemon.get("/v0/exchanges").await);
    let store = daemon.app.layout.store_dir();
    daemon.stop().await;
    for lose_index in [false, true] {
        if lose_index {
            std::fs::remove_dir_all(store.join("v1/index")).unwrap();
        }
        let daemon = Daemon::start_at(home.path(), DEAD, clock.clone()).await;
        assert_eq!(sessions(&daemon).await, ["four"]);
        assert_eq!(usage(&daemon).await, before, "index lost: {lose_index}");
        assert_eq!(daemon.get("/v0/exchanges").await, exchanges);
        assert_eq!(daemon.get("/v0/status").await["store"]["damaged"], 0);
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_goes_oldest_first() {
    let Begun { home: _home, clock, daemon, .. } = begun().await;
    recorded(&daemon, &clock).await;
    let before = usage(&daemon).await;
    let done = pruned(&daemon, Limits { before_ns: None, max_bytes: Some(1) }).await;
    assert_eq!(done.segments, 3, "all but the one that is written to");
    assert_eq!((sessions(&daemon).await, usage(&daemon).await), (vec!["four".to_owned()], before));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ahead_purges_nothing() {
    let Begun { home, clock, daemon, .. } = begun().await;
    recorded(&daemon, &clock).await;
    let look = async |daemon: &Daemon, passed: Duration| {
        let app = Arc::clone(&daemon.app);
        tokio::task::spawn_blocking(move || retention::look(&app, passed).unwrap().1).await.unwrap()
    };
    let hour = Duration::from_secs(3600);
    // At 90 days, the first session is just not too old; the clock is caught up with what the test skipped.
    assert_eq!(look(&daemon, hour * 24 * 90).await, None);
    clock.to_day(3_650);
    assert_eq!(
        look(&daemon, hour).await.map(|plan| plan.segments),
        Some(1),
        "a day further: the first is 91 days old"
    );
    clock.to_day(3_650);
    assert_eq!(
        look(&daemon, hour).await.map(|plan| plan.segments),
        Some(1),
        "another day: no more than that"
    );
    clock.to_day(90);
    assert_eq!(look(&daemon, hour).await, None);
    // Across a restart our clock goes on where it was, not where the system's is.
    daemon.post("/v1/messages", "five", &request(1)).await;
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 13, "captured");
    daemon.stop().await;
    clock.to_day(3_650);
    let daemon = Daemon::start_at(home.path(), DEAD, clock.clone()).await;
    assert_eq!(look(&daemon, Duration::ZERO).await, None);
    assert_eq!(sessions(&daemon).await.len(), 5);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_worked_out_again_beside_those_in_use() {
    let Begun { home: _home, clock, daemon, .. } = begun().await;
    recorded(&daemon, &clock).await;
    let before = (usage(&daemon).await, daemon.get("/v0/spans?content=1").await);
    let app = Arc::clone(&daemon.app);
    let work = move || {
        let mut seen = Vec::new();
        let done = rebuild::rebuild(&app.door, &app.shared, None, &mut |now| seen.push(now)).unwrap();
        (done, seen)
    };
    let (done, seen) = tokio::task::spawn_blocking(work).await.unwrap();
    assert_eq!(done.records, 16);
    let last = seen.iter().rfind(|p| p.done > 0).unwrap();
    assert_eq!((last.phase, last.done, last.total, last.unit), ("journal", 16, 16, "records"));
    assert_eq!((usage(&daemon).await, daemon.get("/v0/spans?content=1").await), before);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_costs_nothing() {
    let Begun { home, api, clock, daemon } = begun().await;
    recorded(&daemon, &clock).await;
    pruned(&daemon, Limits { before_ns: Some(BEGIN + 45 * DAY), max_bytes: None }).await;
    let (before, store) = (usage(&daemon).await, daemon.app.layout.store_dir());
    daemon.stop().await;
    // One copy, then both: the second time the index still knows what was kept.
    for copies in [&["manifest"][..], &["manifest", "manifest.2"]] {
        for name in copies {
            let path = store.join("v1").join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[30] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        let daemon = Daemon::start_at(home.path(), &api, clock.clone()).await;
        let event = json!({"session_id":"new","hook_event_name":"SessionStart","cwd":"/x"});
        assert_eventually!(daemon.hook(clock.now_ns(), &event).await == Status::Durable, "it goes on");
        assert_eq!(usage(&daemon).await, before, "{copies:?}");
        let damaged = daemon.get("/v0/status").await["store"]["damaged"].as_u64().unwrap();
        assert_eq!(damaged > 0, copies.len() == 2);
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_straddles_the_cut_keeps_its_project() {
    let Begun { home: _home, clock, daemon, .. } = begun().await;
    let start = json!({"session_id":"one","hook_event_name":"SessionStart","cwd":"/home/user/proj"});
    daemon.hook(clock.now_ns(), &start).await;
    for n in 0..3 {
        clock.to_day(n * 30);
        assert_eq!(
            daemon.post("/v1/messages", "one", &request(1 + usize::try_from(n).unwrap())).await.0,
            200
        );
        assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == n + 1, "captured");
    }
    let pages = ["/v0/usage?period=total&by=project", "/v0/usage?period=total&project=proj"];
    let before = [daemon.get(pages[0]).await, daemon.get(pages[1]).await];
    assert_eq!(before[1]["totals"]["exchanges"], 3);
    pruned(&daemon, Limits { before_ns: Some(BEGIN + 15 * DAY), max_bytes: None }).await;
    assert_eq!([daemon.get(pages[0]).await, daemon.get(pages[1]).await], before);
    daemon.stop().await;
}
