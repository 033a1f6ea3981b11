//! Detections, interventions and what the user says of them: from records to answers, and the same after everything that
//! a store goes through.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Daemon, home};
use ccd::clock::Clock;
use ccd::ingest::found::{DetectionV1, EvidenceV1, InterventionV1, JudgementV1};
use ccd::ingest::prune::{self, Limits};
use ccd::ingest::{Ack, Ready};
use ccd::project::ids;
use ccd::query::{Ask, detections};
use ccd_proto::frame::Status;
use ccd_store::NewRecord;
use serde_json::{Value, json};

const DEAD: &str = "http://127.0.0.1:9";
const HOUR: u64 = 3_600_000_000_000;
const DAY: u64 = 24 * HOUR;
/// A Tuesday.
const BEGIN: u64 = 1_790_035_200_000_000_000;

/// A clock that is set by the test.
struct Set(AtomicU64);

impl Set {
    fn to(&self, ns: u64) {
        self.0.store(ns, Ordering::Relaxed);
    }
}

impl Clock for Set {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

async fn begun() -> (tempfile::TempDir, Arc<Set>, Daemon) {
    let (home, clock) = (home(), Arc::new(Set(AtomicU64::new(BEGIN))));
    let daemon = Daemon::start_at(home.path(), DEAD, clock.clone()).await;
    (home, clock, daemon)
}

/// A session with one turn, `turn-of-…`, and one tool call, `toolu-of-…`.
async fn session(daemon: &Daemon, at_ns: u64, id: &str, cwd: &str) {
    let (turn, call) = (format!("turn-of-{id}"), format!("toolu-of-{id}"));
    let events = [
        json!({"session_id":id,"hook_event_name":"SessionStart","cwd":cwd}),
        json!({"session_id":id,"hook_event_name":"UserPromptSubmit","cwd":cwd,"prompt_id":turn,"prompt":"go"}),
        json!({"session_id":id,"hook_event_name":"PreToolUse","cwd":cwd,"prompt_id":turn,"tool_use_id":call,
            "tool_name":"Bash","tool_input":{"command":"make"}}),
    ];
    for (n, event) in (0..).zip(&events) {
        assert_eq!(daemon.hook(at_ns + n, event).await, Status::Durable);
    }
}

fn found(at_ns: u64, session: &str, cwd: &str, event: u64) -> DetectionV1 {
    DetectionV1 {
        at_ns,
        session_id: session.into(),
        agent_id: None,
        cwd: Some(cwd.into()),
        turn_id: Some(format!("turn-of-{session}")),
        span_id: Some(ids::span(session, "tool", &format!("toolu-of-{session}"))),
        kind: "loop".into(),
        rule: "repeat".into(),
        severity: 60,
        confidence: 90,
        at_event: event,
        title: "`make` again and again".into(),
        evidence: vec![EvidenceV1 { span_id: None, text: "make: nothing to be done".into() }],
        advice: "look at the Makefile".into(),
        mast: Some("FM-1.3".into()),
        fingerprint: [1; 16],
    }
}

fn id(of: &DetectionV1) -> String {
    let id = DetectionV1::record_id(&of.session_id, &of.kind, &of.rule, of.at_event);
    format!("{:032x}", u128::from_be_bytes(id))
}

/// Puts a record into the journal and waits until questions know it.
async fn record(daemon: &Daemon, record: NewRecord) {
    assert_eq!(daemon.app.door.ready(Ready { record, fact: None }).await, Ack::Durable);
    let door = daemon.app.door.clone();
    tokio::task::spawn_blocking(move || door.with_store(|_| ()).unwrap()).await.unwrap();
}

async fn detect(daemon: &Daemon, found: &DetectionV1) {
    record(daemon, found.to_record().unwrap()).await;
}

async fn advise(daemon: &Daemon, at_ns: u64, about: &DetectionV1) {
    let done = InterventionV1 {
        at_ns,
        session_id: about.session_id.clone(),
        agent_id: None,
        detection: Some(DetectionV1::record_id(&about.session_id, &about.kind, &about.rule, about.at_event)),
        kind: about.kind.clone(),
        rule: about.rule.clone(),
        action: "advised".into(),
        event: "PostToolUse".into(),
        tool_use_id: Some(format!("toolu-of-{}", about.session_id)),
        text: "look at the Makefile".into(),
        delivered: true,
    };
    record(daemon, done.to_record(uuid::Uuid::now_v7().into_bytes()).unwrap()).await;
}

/// One field of each detection of a list.
async fn listed(daemon: &Daemon, query: &str, field: &str) -> Vec<String> {
    let list = daemon.get(&format!("/v0/detections?{query}")).await;
    let text = |d: &Value| d[field].as_str().map_or_else(|| d[field].to_string(), ToOwned::to_owned);
    list["detections"].as_array().unwrap().iter().map(text).collect()
}

async fn counts(daemon: &Daemon) -> Value {
    let mut counts = serde_json::Map::new();
    for session in daemon.get("/v0/sessions").await["sessions"].as_array().unwrap() {
        counts.insert(session["session_id"].as_str().unwrap().into(), session["detections"].clone());
    }
    counts.into()
}

const PAGES: [&str; 8] = [
    "/v0/detections?state=all",
    "/v0/detections/trend?by=kind,rule,project,week",
    "/v0/detections/trend?by=day,session",
    "/v0/heal",
    "/v0/sessions",
    "/v0/turns",
    "/v0/spans",
    "/v0/show/one",
];

async fn pages(daemon: &Daemon) -> Vec<Value> {
    let mut all = Vec::new();
    for page in PAGES {
        all.push(daemon.get(page).await);
    }
    // Which does not wait for a store that is being opened.
    all.push(daemon.get("/v0/status").await["detections"].clone());
    all
}

async fn in_force(daemon: &Daemon) -> Vec<JudgementV1> {
    let ask = Ask::new(&daemon.app.shared, daemon.app.clock.now_ns()).await.unwrap();
    tokio::task::spawn_blocking(move || detections::judgements(&ask).unwrap()).await.unwrap()
}

/// Two sessions in two directories, with detections of now and of a month ago, one of them intervened about.
async fn recorded(daemon: &Daemon, clock: &Set) -> [DetectionV1; 4] {
    session(daemon, BEGIN, "one", "/home/user/app").await;
    session(daemon, BEGIN + 30 * DAY, "two", "/home/user/lib").await;
    clock.to(BEGIN + 31 * DAY);
    let old = found(BEGIN + HOUR, "one", "/home/user/app", 7);
    let other = DetectionV1 {
        kind: "completion".into(),
        rule: "unverified".into(),
        severity: 80,
        confidence: 70,
        fingerprint: [2; 16],
        turn_id: None,
        ..found(BEGIN + 30 * DAY + HOUR, "two", "/home/user/lib", 9)
    };
    let again = found(BEGIN + 30 * DAY + 2 * HOUR, "one", "/home/user/app", 40);
    let elsewhere = found(BEGIN + 30 * DAY + 3 * HOUR, "two", "/home/user/lib", 41);
    for found in [&old, &other, &again, &elsewhere] {
        detect(daemon, found).await;
    }
    advise(daemon, BEGIN + 30 * DAY + 2 * HOUR + 1, &again).await;
    [old, other, again, elsewhere]
}

#[tokio::test(flavor = "multi_thread")]
async fn detections_are_listed_by_what_they_are() {
    let (_home, clock, daemon) = begun().await;
    let [old, other, again, elsewhere] = recorded(&daemon, &clock).await;
    let all = [id(&elsewhere), id(&again), id(&other), id(&old)];
    assert_eq!(listed(&daemon, "", "detection_id").await, all, "newest first");
    for (query, want) in [
        ("kind=completion", &[2][..]),
        ("rule=repeat", &[0, 1, 3]),
        ("session=on", &[1, 3]),
        ("session=one&state=open", &[1]),
        ("project=lib", &[0, 2]),
        ("project=/home/user/app&limit=1", &[1]),
        ("state=past", &[3]),
        ("state=open&min_severity=61", &[2]),
        ("min_confidence=71", &[0, 1, 3]),
        ("turn=turn-of-one", &[1, 3]),
        ("since=2026-10-01T00:00:00Z", &[0, 1, 2]),
        ("until=2026-10-01T00:00:00Z", &[3]),
        ("until=2026-10-01T00:00:00Z&since=2026-10-02T00:00:00Z", &[]),
        ("state=dismissed", &[]),
    ] {
        let want: Vec<_> = want.iter().map(|n: &usize| all[*n].clone()).collect();
        assert_eq!(listed(&daemon, query, "detection_id").await, want, "{query}");
    }
    let page = daemon.get("/v0/detections?limit=1").await;
    assert_eq!((&page["more"], page["detections"].as_array().unwrap().len()), (&json!(3), 1));
    for wrong in ["kind=tool", "tool=Bash", "state=x", "min_severity=101", "session=none", "by=kind"] {
        let (status, body) = daemon.api(&format!("GET /v0/detections?{wrong}")).await;
        assert!(status == 400 || (status == 404 && wrong == "session=none"), "{wrong}: {body}");
    }
    assert_eq!(daemon.api("GET /v0/spans?kind=loop").await.0, 400, "kinds of spans are checked as before");

    let one = daemon.get(&format!("/v0/detections/{}", &id(&again)[..12])).await;
    let call = ids::span("one", "tool", "toolu-of-one");
    assert_eq!(one["others"], 1);
    let detection = &one["detection"];
    let done = &detection["intervention"]["intervention_id"];
    assert_eq!(done.as_str().map(str::len), Some(32));
    assert_eq!(
        *detection,
        json!({
            "detection_id": id(&again), "kind": "loop", "rule": "repeat", "severity": 60, "confidence": 90,
            "session_id": "one", "agent_id": null, "project": "app", "turn_id": "turn-of-one", "span_id": call,
            "at": "2026-10-22T02:00:00.000000Z", "title": "`make` again and again",
            "evidence": [{"span_id": null, "text": "make: nothing to be done"}], "advice": "look at the Makefile",
            "mast": "FM-1.3", "state": "open", "reason": null,
            "intervention": {
                "intervention_id": done, "at": "2026-10-22T02:00:00.000000Z", "session_id": "one", "agent_id": null,
                "detection_id": id(&again), "kind": "loop", "rule": "repeat", "action": "advised",
                "event": "PostToolUse", "tool_use_id": "toolu-of-one", "span_id": call,
                "text": "look at the Makefile", "delivered": true,
            },
        })
    );
    let told = daemon.get(&format!("/v0/detections/{}", id(&other))).await;
    assert_eq!(told["detection"]["turn_id"], "turn-of-two", "its span's");
    assert_eq!(daemon.api("GET /v0/detections/ffffffff").await.0, 404);
    assert_eq!(daemon.api("GET /v0/detections/nothing").await.0, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_shows_a_session_tells_its_detections() {
    let (_home, clock, daemon) = begun().await;
    let [old, other, again, elsewhere] = recorded(&daemon, &clock).await;
    assert_eq!(counts(&daemon).await, json!({"one": 2, "two": 2}));
    assert_eq!(
        daemon.get("/v0/status").await["detections"],
        json!({"open": 3, "worst": 80, "last_at": "2026-10-22T03:00:00.000000Z", "kinds": {"completion": 1, "loop": 2}})
    );
    for (snapshot, open) in
        [(json!({"session_id": "one"}), 1), (json!({"session_id": "two"}), 2), (json!({}), 0)]
    {
        assert_eq!(daemon.post_to("/v0/statusline", &snapshot).await["open_detections"], open, "{snapshot}");
    }
    let of = |found: &DetectionV1| json!({"detection_id": id(found), "kind": found.kind, "rule": found.rule, "severity": found.severity});
    let turns = daemon.get("/v0/turns?session=two").await;
    assert_eq!(
        turns["turns"][0]["detections"],
        json!([of(&other), of(&elsewhere)]),
        "also without a turn's id"
    );
    let call = ids::span("one", "tool", "toolu-of-one");
    let spans = daemon.get("/v0/spans?session=one").await;
    for span in spans["spans"].as_array().unwrap() {
        let want = if span["span_id"] == *call { json!([id(&old), id(&again)]) } else { json!([]) };
        assert_eq!(span["detections"], want, "{span}");
    }
    let span = daemon.get(&format!("/v0/show/{call}")).await;
    assert_eq!(span["detections"], json!([of(&old), of(&again)]));
    assert_eq!(daemon.get("/v0/show/one").await["detections"], json!([of(&old), of(&again)]));
    let shown = daemon.get(&format!("/v0/show/{}", &id(&other)[..10])).await;
    assert_eq!((&shown["kind"], &shown["detection"]["title"]), (&json!("detection"), &json!(other.title)));
    assert_eq!(daemon.get(&format!("/v0/show/{}", id(&other))).await["kind"], "detection");

    let trend = daemon.get("/v0/detections/trend?by=kind,project").await;
    let row = |kind: &str, project: &str, detections: u64, intervened: u64, worst: u64| {
        json!({"key": {"kind": kind, "project": project}, "detections": detections, "dismissed": 0,
            "intervened": intervened, "sessions": 1, "worst": worst})
    };
    assert_eq!(
        trend["rows"],
        json!([
            row("loop", "app", 2, 1, 60),
            row("completion", "lib", 1, 0, 80),
            row("loop", "lib", 1, 0, 60)
        ])
    );
    assert_eq!((&trend["sessions"], &trend["by"]), (&json!(2), &json!(["kind", "project"])));
    let weeks = daemon.get("/v0/detections/trend?by=week&tz=America/New_York").await;
    let weeks: Vec<_> =
        weeks["rows"].as_array().unwrap().iter().map(|r| (&r["key"]["week"], &r["detections"])).collect();
    assert_eq!(weeks, [(&json!("2026-10-19"), &json!(3)), (&json!("2026-09-21"), &json!(1))]);
    assert_eq!(daemon.api("GET /v0/detections/trend?by=hour").await.0, 400);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dismissed_is_dismissed_for_all_that_is_about_the_same() {
    let (_home, clock, daemon) = begun().await;
    let [old, other, again, elsewhere] = recorded(&daemon, &clock).await;
    let dismiss = format!("POST /v0/detections/{}/dismiss?reason=a+watcher%2C+not+a+loop", &id(&again)[..8]);
    let (status, judged) = daemon.api(&dismiss).await;
    assert_eq!((status, &judged["others"]), (200, &json!(1)), "{judged}");
    assert_eq!(
        (&judged["detection"]["state"], &judged["detection"]["reason"]),
        (&json!("dismissed"), &json!("a watcher, not a loop"))
    );
    // At once, in every answer; in the other directory it counts.
    assert_eq!(listed(&daemon, "", "detection_id").await, [id(&elsewhere), id(&other)]);
    assert_eq!(listed(&daemon, "state=dismissed", "detection_id").await, [id(&again), id(&old)]);
    assert_eq!(counts(&daemon).await, json!({"one": 0, "two": 2}));
    assert_eq!(daemon.get("/v0/status").await["detections"]["open"], 2);
    assert_eq!(daemon.get("/v0/turns?session=one").await["turns"][0]["detections"], json!([]));
    assert_eq!(daemon.get("/v0/detections/trend").await["rows"][0]["dismissed"], 2);

    // Those to come, also in other sessions.
    session(&daemon, clock.now_ns(), "three", "/home/user/app").await;
    let later = found(clock.now_ns(), "three", "/home/user/app", 3);
    detect(&daemon, &later).await;
    let new = DetectionV1 { fingerprint: [9; 16], ..found(clock.now_ns(), "three", "/home/user/app", 4) };
    detect(&daemon, &new).await;
    assert_eq!(counts(&daemon).await, json!({"one": 0, "two": 2, "three": 1}));
    let said = in_force(&daemon).await;
    assert_eq!((said.len(), said[0].what.as_str(), said[0].fingerprint), (1, "dismiss", Some([1; 16])));
    assert_eq!((said[0].cwd.as_deref(), &*said[0].reason), (Some("/home/user/app"), "a watcher, not a loop"));

    let (_, judged) = daemon.api(&format!("POST /v0/detections/{}/reopen", id(&later))).await;
    assert_eq!((&judged["detection"]["state"], &judged["others"]), (&json!("open"), &json!(2)));
    assert_eq!(judged["detection"]["reason"], Value::Null);
    assert_eq!(counts(&daemon).await, json!({"one": 2, "two": 2, "three": 2}));
    assert!(in_force(&daemon).await.is_empty());
    let figures = daemon.get("/v0/store/stats").await;
    assert_eq!(
        figures["kinds"],
        json!({"hook": 9, "exchange": 0, "transcript": 0, "detection": 6, "intervention": 1, "judgement": 2,
            "unreadable": 0})
    );
    assert_eq!(
        (&figures["records"], &daemon.get("/v0/status").await["store"]["records"]),
        (&json!(18), &json!(18))
    );
    for wrong in ["00/dismiss", "xyz/dismiss"] {
        assert_eq!(daemon.api(&format!("POST /v0/detections/{wrong}")).await.0, 404);
    }
    assert_eq!(daemon.api(&format!("POST /v0/detections/{}/dismiss?why=x", id(&new))).await.0, 400);
    let long = format!("POST /v0/detections/{}/dismiss?reason={}", id(&new), "x".repeat(2_001));
    assert_eq!(daemon.api(&long).await.0, 400);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_and_allowances_hold_until_they_are_over() {
    let (_home, clock, daemon) = begun().await;
    let [.., again, _] = recorded(&daemon, &clock).await;
    advise(&daemon, clock.now_ns(), &again).await;
    let heal = daemon.get("/v0/heal").await;
    assert_eq!((&heal["mode"], &heal["exceptions"]), (&json!("advise"), &json!([])));
    assert_eq!(heal["interventions"].as_array().unwrap().len(), 2);
    let newest = daemon.get("/v0/heal?limit=1&session=one&kind=loop&project=app").await;
    assert_eq!((&newest["interventions"][0], &newest["more"]), (&heal["interventions"][0], &json!(1)));
    assert_eq!(daemon.get("/v0/heal?project=lib").await["interventions"], json!([]));
    assert_eq!(daemon.api("GET /v0/heal?state=open").await.0, 400);

    let exceptions = async |request: &str| {
        let (status, heal) = daemon.api(&format!("POST /v0/heal/{request}")).await;
        assert_eq!(status, 200, "{request}: {heal}");
        let name = |e: &Value| {
            ["what", "session_id", "kind"].map(|key| e[key].as_str().unwrap_or("-").to_owned()).join(" ")
        };
        heal["exceptions"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(exceptions("pause?for_s=3600").await, ["pause - -"]);
    clock.to(clock.now_ns() + 1);
    assert_eq!(exceptions("allow?session=one&kind=loop").await, ["allow one loop", "pause - -"]);
    clock.to(clock.now_ns() + 1);
    assert_eq!(exceptions("pause?session=tw").await, ["pause two -", "allow one loop", "pause - -"]);
    assert_eq!(exceptions("resume?session=two").await, ["allow one loop", "pause - -"]);
    // An hour later the pause is over; the allowance is not shown once the session is.
    clock.to(clock.now_ns() + HOUR);
    assert_eq!(in_force(&daemon).await.len(), 1);
    let end = json!({"session_id": "one", "hook_event_name": "SessionEnd"});
    assert_eq!(daemon.hook(clock.now_ns(), &end).await, Status::Durable);
    assert_eventually!(daemon.get("/v0/heal").await["exceptions"] == json!([]), "the session is over");
    assert_eq!(in_force(&daemon).await.len(), 1, "it may be resumed");
    assert_eq!(exceptions("pause").await, ["pause - -"]);
    assert_eq!(exceptions("resume").await, Vec::<String>::new());
    for wrong in ["allow", "allow?session=two&kind=x", "pause?for_s=0", "pause?kind=loop", "resume?for_s=1"] {
        assert_eq!(daemon.api(&format!("POST /v0/heal/{wrong}")).await.0, 400, "{wrong}");
    }
    assert_eq!(daemon.api("POST /v0/heal/pause?session=none").await.0, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_by_what_a_store_goes_through() {
    let (home, clock, daemon) = begun().await;
    let [old, other, ..] = recorded(&daemon, &clock).await;
    assert_eq!(daemon.api(&format!("POST /v0/detections/{}/dismiss?reason=no", id(&old))).await.0, 200);
    assert_eq!(daemon.api("POST /v0/heal/allow?session=two&kind=loop").await.0, 200);
    let (before, said) = (pages(&daemon).await, in_force(&daemon).await);
    assert_eq!(said.len(), 2);

    daemon.operate("/v0/store/rebuild").await.unwrap();
    assert_eq!(pages(&daemon).await, before, "rebuilt");
    let verified = daemon.operate("/v0/store/verify").await.unwrap();
    assert_eq!((&verified["ok"], &verified["records"]), (&json!(true), &json!(13)), "{verified}");

    let (kept, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = kept.path().join("backup");
    daemon.operate(&format!("/v0/store/backup?dir={}", dir.display())).await.unwrap();
    let restored = Daemon::start_at(elsewhere.path(), DEAD, clock.clone()).await;
    restored.operate(&format!("/v0/store/restore?dir={}", dir.display())).await.unwrap();
    assert_eq!(
        (pages(&restored).await, in_force(&restored).await),
        (before.clone(), said.clone()),
        "restored"
    );
    restored.stop().await;

    let store = daemon.app.layout.store_dir();
    daemon.stop().await;
    for lose_index in [false, true] {
        if lose_index {
            std::fs::remove_dir_all(store.join("v1/index")).unwrap();
        }
        let daemon = Daemon::start_at(home.path(), DEAD, clock.clone()).await;
        assert_eq!(pages(&daemon).await, before, "index lost: {lose_index}");
        assert_eq!(in_force(&daemon).await, said);
        daemon.stop().await;
    }

    // One that is damaged is named, and costs what only its record says.
    let daemon = Daemon::start_at(home.path(), DEAD, clock.clone()).await;
    detect(&daemon, &DetectionV1 { at_event: 99, fingerprint: [7; 16], ..other.clone() }).await;
    let last = id(&DetectionV1 { at_event: 99, ..other });
    let path = store.join("v1/journal");
    let newest = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 2] ^= 0x55;
    std::fs::write(&newest, bytes).unwrap();
    let verified = daemon.operate("/v0/store/verify").await.unwrap();
    let named = &verified["damaged"][0]["records"][0];
    assert_eq!((&named["id"], &named["kind"]), (&json!(last), &json!("detection")), "{verified}");
    assert_eq!(named["session_id"], "two");
    let one = daemon.get(&format!("/v0/detections/{last}")).await;
    assert_eq!(
        (&one["detection"]["kind"], &one["detection"]["evidence"]),
        (&json!("completion"), &json!([]))
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_with_their_records_and_what_the_user_said_stays() {
    let (home, clock, daemon) = begun().await;
    // A month each: a segment each.
    session(&daemon, BEGIN, "one", "/home/user/app").await;
    let first = found(BEGIN + HOUR, "one", "/home/user/app", 1);
    let reopened = DetectionV1 { fingerprint: [3; 16], ..found(BEGIN + HOUR, "one", "/home/user/app", 2) };
    for found in [&first, &reopened] {
        detect(&daemon, found).await;
        assert_eq!(daemon.api(&format!("POST /v0/detections/{}/dismiss?reason=no", id(found))).await.0, 200);
    }
    advise(&daemon, BEGIN + HOUR, &first).await;
    clock.to(BEGIN + 30 * DAY);
    session(&daemon, clock.now_ns(), "two", "/home/user/app").await;
    assert_eq!(daemon.api(&format!("POST /v0/detections/{}/reopen", id(&reopened))).await.0, 200);
    clock.to(BEGIN + 60 * DAY);
    session(&daemon, clock.now_ns(), "three", "/home/user/app").await;
    // One of a session whose other records are about to go.
    let orphan = DetectionV1 { fingerprint: [4; 16], ..found(clock.now_ns(), "one", "/home/user/app", 3) };
    let again = found(clock.now_ns(), "three", "/home/user/app", 4);
    let as_before =
        DetectionV1 { fingerprint: [3; 16], ..found(clock.now_ns(), "three", "/home/user/app", 5) };
    for found in [&orphan, &again, &as_before] {
        detect(&daemon, found).await;
    }
    assert_eq!(counts(&daemon).await, json!({"one": 2, "two": 0, "three": 1}));

    for (round, before) in [(1, BEGIN + 15 * DAY), (2, BEGIN + 45 * DAY)] {
        let app = Arc::clone(&daemon.app);
        let limits = Limits { before_ns: Some(before), max_bytes: None };
        let work = move || prune::prune(&app.door, &app.shared, &limits, &mut |_| ()).unwrap();
        assert_eq!(tokio::task::spawn_blocking(work).await.unwrap().segments, 1);
        let sessions = if round == 1 { json!({"two": 0, "three": 1}) } else { json!({"three": 1}) };
        assert_eq!(counts(&daemon).await, sessions, "one that is known by a detection alone is none");
        let all = ["state=all", "state=dismissed", "session=one"];
        let mut lists = Vec::new();
        for query in all {
            lists.push(listed(&daemon, query, "detection_id").await);
        }
        let mut newest = [id(&orphan), id(&again), id(&as_before)];
        newest.sort();
        lists[0].sort();
        assert_eq!(lists, [newest.to_vec(), vec![id(&again)], vec![id(&orphan)]], "round {round}");
        assert_eq!(listed(&daemon, "state=dismissed", "reason").await, ["no"]);
        assert_eq!(daemon.get("/v0/heal").await["interventions"], json!([]));
        let said = in_force(&daemon).await;
        assert_eq!((said.len(), said[0].fingerprint), (1, Some([1; 16])));
    }
    let (before, store) = (daemon.get("/v0/detections?state=all").await, daemon.app.layout.store_dir());
    daemon.stop().await;
    std::fs::remove_dir_all(store.join("v1/index")).unwrap();
    let daemon = Daemon::start_at(home.path(), DEAD, clock.clone()).await;
    assert_eq!(daemon.get("/v0/detections?state=all").await, before, "from what was kept");
    // A false alarm is one still, though nothing is left of the day on which it was said to be.
    let later = found(clock.now_ns() + 1, "three", "/home/user/app", 6);
    detect(&daemon, &later).await;
    assert_eq!(
        daemon.get(&format!("/v0/detections/{}", id(&later))).await["detection"]["state"],
        "dismissed"
    );
    daemon.stop().await;
}
