//! Following: what a reader has been sent is what the daemon would answer, however it was sent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Daemon, PATIENCE, home};
use ccd::api::live::Hub;
use ccd::clock::Clock;
use ccd::ingest::found::{DetectionV1, EvidenceV1, InterventionV1};
use ccd::ingest::prune::{self, Limits};
use ccd::ingest::{Ack, Ready};
use ccd_proto::frame::Status;
use ccd_store::NewRecord;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

const DEAD: &str = "http://127.0.0.1:9";
/// A Tuesday.
const BEGIN: u64 = 1_790_035_200_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// A kind of thing, the name of its id, and what lists of it are called.
const KINDS: [(&str, &str, &str); 5] = [
    ("session", "session_id", "sessions"),
    ("turn", "turn_id", "turns"),
    ("span", "span_id", "spans"),
    ("detection", "detection_id", "detections"),
    ("intervention", "intervention_id", "interventions"),
];

type Things = BTreeMap<(&'static str, String), Value>;

/// A clock that is set by the test.
struct Set(AtomicU64);

impl Clock for Set {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A reader of the stream, as the page is one.
struct Reader {
    lines: BufReader<UnixStream>,
    things: Things,
    /// Since a stream began that goes on from nothing, until its first cursor: what came.
    fresh: Option<BTreeSet<(&'static str, String)>>,
    open: Value,
    cursor: Option<String>,
    /// Lines with something in them.
    sent: usize,
    /// What they were about.
    came: BTreeSet<(&'static str, String)>,
}

impl Reader {
    async fn follow(daemon: &Daemon, session: &str) -> Self {
        Self::connect(daemon, session, None, Things::new()).await
    }

    /// Goes away, and comes again with its last cursor.
    async fn again(self, daemon: &Daemon, session: &str) -> Self {
        let Reader { lines, things, cursor, .. } = self;
        drop(lines);
        Self::connect(daemon, session, cursor, things).await
    }

    async fn connect(daemon: &Daemon, session: &str, after: Option<String>, things: Things) -> Self {
        let mut query = format!("/v0/follow?session={session}");
        if let Some(after) = &after {
            write!(query, "&after={after}").unwrap();
        }
        let (lines, head) = head(daemon, &query).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/x-ndjson"), "{head}");
        let mut reader = Reader {
            lines,
            things,
            fresh: None,
            open: Value::Null,
            cursor: after,
            sent: 0,
            came: BTreeSet::new(),
        };
        assert!(reader.read().await);
        assert!(reader.open.is_object(), "the first line");
        reader
    }

    /// Takes one piece of the stream in. False at its end.
    async fn read(&mut self) -> bool {
        let Some(piece) = timeout(PATIENCE, self.piece()).await.unwrap() else { return false };
        for line in piece.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            self.take(&serde_json::from_slice(line).unwrap());
        }
        true
    }

    async fn piece(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        if self.lines.read_line(&mut size).await.unwrap_or(0) == 0 {
            return None;
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut piece = vec![0; size + 2];
        self.lines.read_exact(&mut piece).await.unwrap();
        piece.truncate(size);
        (size > 0).then_some(piece)
    }

    fn take(&mut self, line: &Value) {
        assert!(line.as_object().unwrap().len() <= 1, "{line}");
        if line["open"].is_object() {
            self.open = line["open"].clone();
            self.fresh = (self.open["resumed"] == false).then(BTreeSet::new);
        }
        for (kind, id, plural) in KINDS {
            if line[kind].is_object() {
                let key = (kind, line[kind][id].as_str().unwrap().to_owned());
                self.sent += 1;
                self.came.insert(key.clone());
                if let Some(fresh) = &mut self.fresh {
                    fresh.insert(key.clone());
                }
                self.things.insert(key, line[kind].clone());
            }
            for id in line["gone"][plural].as_array().into_iter().flatten() {
                self.things.remove(&(kind, id.as_str().unwrap().to_owned()));
            }
        }
        if let Some(cursor) = line["cursor"].as_str() {
            self.cursor = Some(cursor.to_owned());
            if let Some(fresh) = self.fresh.take() {
                self.things.retain(|key, _| fresh.contains(key));
            }
        }
    }

    /// Reads until this is so.
    async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Reader) -> bool) {
        let long = timeout(PATIENCE, async {
            while !is_so(self) {
                assert!(self.read().await, "{what}: the stream ended");
            }
        });
        assert!(long.await.is_ok(), "{what}: {} things, cursor {:?}", self.things.len(), self.cursor);
    }

    /// Reads until it has what the daemon would answer now.
    async fn catches_up(&mut self, daemon: &Daemon, session: &str) {
        settle(daemon).await;
        let want = answers(daemon, session).await;
        let difference = |r: &Reader| -> Vec<_> {
            let (has, lacks) = (&r.things, &want);
            let more = has.iter().filter(|(key, value)| lacks.get(*key) != Some(value));
            more.chain(lacks.iter().filter(|(key, _)| !has.contains_key(*key)))
                .take(3)
                .map(|x| format!("{x:?}"))
                .collect()
        };
        let long = timeout(PATIENCE, async {
            while self.fresh.is_some() || self.things != want {
                assert!(self.read().await, "the stream ended");
            }
        });
        assert!(long.await.is_ok(), "not what the daemon answers: {:#?}", difference(self));
    }

    fn kind(&self, kind: &str) -> Vec<&Value> {
        self.things.iter().filter(|((k, _), _)| *k == kind).map(|(_, thing)| thing).collect()
    }
}

/// Asks; the stream behind the reply's head, and that.
async fn head(daemon: &Daemon, path: &str) -> (BufReader<UnixStream>, String) {
    let mut s = UnixStream::connect(daemon.app.layout.control_socket()).await.unwrap();
    s.write_all(format!("GET {path} HTTP/1.1\r\nHost: ccd\r\n\r\n").as_bytes()).await.unwrap();
    let (mut lines, mut head) = (BufReader::new(s), String::new());
    while !head.ends_with("\r\n\r\n") {
        let read = timeout(PATIENCE, lines.read_line(&mut head)).await.unwrap().unwrap();
        assert!(read > 0, "{head}");
    }
    (lines, head)
}

/// Waits until questions know all that is on record.
async fn settle(daemon: &Daemon) {
    let door = daemon.app.door.clone();
    tokio::task::spawn_blocking(move || door.with_store(|_| ()).unwrap()).await.unwrap();
}

/// What the daemon answers of a session, as a reader of the stream has it.
async fn answers(daemon: &Daemon, session: &str) -> Things {
    let mut out = Things::new();
    let mut put = |kind: &'static str, id: &str, list: &Value| {
        for thing in list.as_array().unwrap() {
            let light = if kind == "span" { light(thing) } else { thing.clone() };
            out.insert((kind, thing[id].as_str().unwrap().to_owned()), light);
        }
    };
    for (path, list) in [
        (format!("/v0/sessions?session={session}"), 0),
        (format!("/v0/turns?session={session}&limit=0"), 1),
        (format!("/v0/spans?session={session}&limit=0"), 2),
        (format!("/v0/detections?session={session}&limit=0&state=all"), 3),
        (format!("/v0/heal?session={session}&limit=0"), 4),
    ] {
        let (kind, id, plural) = KINDS[list];
        match daemon.api(&format!("GET {path}")).await {
            (200, reply) => put(kind, id, &reply[plural]),
            (404, _) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    out
}

fn light(span: &Value) -> Value {
    const LEFT_OUT: [&str; 5] = ["session_id", "trace_id", "name", "input", "output"];
    let says = |(key, value): &(&String, &Value)| {
        !LEFT_OUT.contains(&key.as_str()) && !value.is_null() && **value != json!([])
    };
    let kept = span.as_object().unwrap().iter().filter(says);
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}

async fn event(daemon: &Daemon, at_ns: u64, session: &str, name: &str, more: Value) {
    let mut body = json!({"session_id":session,"hook_event_name":name,"cwd":"/home/user/shop"});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    assert_eq!(daemon.hook(at_ns, &body).await, Status::Durable);
}

/// A session with a turn and a tool call under way.
async fn begin(daemon: &Daemon, session: &str) {
    event(daemon, BEGIN, session, "UserPromptSubmit", json!({"prompt_id":"p-0","prompt":"do it"})).await;
    call(daemon, BEGIN + 1, session, 0, "PreToolUse").await;
    settle(daemon).await;
}

async fn call(daemon: &Daemon, at_ns: u64, session: &str, n: u64, name: &str) {
    let more = json!({"prompt_id":"p-0","tool_use_id":format!("toolu_{n}"),"tool_name":"Bash",
        "tool_input":{"command":"make"},"tool_response":{"stdout":"ok"}});
    event(daemon, at_ns, session, name, more).await;
}

fn found(at_ns: u64, session: &str, n: u64) -> DetectionV1 {
    DetectionV1 {
        at_ns,
        session_id: session.into(),
        agent_id: None,
        cwd: Some("/home/user/shop".into()),
        turn_id: Some("p-0".into()),
        span_id: Some(ccd::project::ids::span(session, "tool", "toolu_0")),
        kind: "loop".into(),
        rule: "repeat".into(),
        severity: 60,
        confidence: 90,
        at_event: n,
        title: "`make` again and again".into(),
        evidence: vec![EvidenceV1 { span_id: None, text: "make: nothing to be done".into() }],
        advice: "look at the Makefile".into(),
        mast: None,
        fingerprint: [u8::try_from(n % 3).unwrap(); 16],
    }
}

fn done(at_ns: u64, session: &str, about: Option<u64>) -> InterventionV1 {
    InterventionV1 {
        at_ns,
        session_id: session.into(),
        agent_id: None,
        detection: about.map(|n| DetectionV1::record_id(session, "loop", "repeat", n)),
        kind: "loop".into(),
        rule: "repeat".into(),
        action: "denied".into(),
        event: "PreToolUse".into(),
        tool_use_id: Some("toolu_0".into()),
        text: "look at the Makefile".into(),
        delivered: true,
    }
}

fn id_of(session: &str, n: u64) -> String {
    let id = DetectionV1::record_id(session, "loop", "repeat", n);
    format!("{:032x}", u128::from_be_bytes(id))
}

async fn record(daemon: &Daemon, record: NewRecord) {
    assert_eq!(daemon.app.door.ready(Ready { record, fact: None }).await, Ack::Durable);
}

async fn intervene(daemon: &Daemon, done: &InterventionV1) {
    record(daemon, done.to_record(uuid::Uuid::now_v7().into_bytes()).unwrap()).await;
}

/// A transcript of so many tool calls, and as many model calls; answers come one by one.
fn transcript(dir: &Path, session: &str, calls: std::ops::Range<u64>) {
    let mut text = String::new();
    let mut line = |ms: u64, kind: &str, more: Value| {
        let at = ccd::clock::rfc3339(BEGIN + ms * 1_000_000);
        let mut line = json!({"type":kind,"uuid":format!("{kind} {ms}"),"timestamp":at,"cwd":"/home/user/shop",
            "sessionId":session,"version":"2.1.329"});
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        writeln!(text, "{line}").unwrap();
    };
    if calls.start == 0 {
        line(0, "user", json!({"promptId":"p-0","message":{"role":"user","content":"do it"}}));
    }
    for n in calls {
        let use_of = json!({"type":"tool_use","id":format!("toolu_{n}"),"name":"Bash","input":{"command":format!("make {}", "target ".repeat(20))}});
        line(
            10 * n + 1,
            "assistant",
            json!({"requestId":format!("req_{n}"),"message":{"id":format!("msg_{n}"),
            "role":"assistant","model":"claude-opus-5-5","stop_reason":"tool_use","content":[use_of],
            "usage":{"input_tokens":100,"output_tokens":10}}}),
        );
        line(
            10 * n + 5,
            "user",
            json!({"promptId":"p-0","message":{"role":"user","content":[
            {"type":"tool_result","tool_use_id":format!("toolu_{n}"),"content":"ok"}]}}),
        );
    }
    let path = dir.join(format!("{session}.jsonl"));
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(path, before + &text).unwrap();
}

async fn import(daemon: &Daemon, dir: &Path) {
    daemon.operate(&format!("/v0/import?path={}", dir.display())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_is_what_is_answered_and_a_dismissal_arrives() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    begin(&daemon, "s-1").await;
    // The start of an id is enough.
    let mut reader = Reader::follow(&daemon, "s-").await;
    assert_eq!(reader.open, json!({"session_id":"s-1","resumed":false,"turns":1,"spans":2}));
    reader.catches_up(&daemon, "s-1").await;
    call(&daemon, BEGIN + SECOND, "s-1", 0, "PostToolUse").await;
    reader.catches_up(&daemon, "s-1").await;
    record(&daemon, found(BEGIN + SECOND, "s-1", 1).to_record().unwrap()).await;
    // One that is about no detection changes no row of one.
    intervene(&daemon, &done(BEGIN + 2 * SECOND, "s-1", None)).await;
    reader.catches_up(&daemon, "s-1").await;
    intervene(&daemon, &done(BEGIN + 3 * SECOND, "s-1", Some(1))).await;
    reader.catches_up(&daemon, "s-1").await;
    assert_eq!(reader.kind("intervention").len(), 2);
    let says = |reader: &Reader| reader.kind("detection")[0].clone();
    for reason in ["as%20meant", "another%20reason"] {
        let (status, _) =
            daemon.api(&format!("POST /v0/detections/{}/dismiss?reason={reason}", id_of("s-1", 1))).await;
        assert_eq!(status, 200);
        reader.catches_up(&daemon, "s-1").await;
    }
    assert_eq!(
        (&says(&reader)["state"], &says(&reader)["reason"]),
        (&json!("dismissed"), &json!("another reason"))
    );
    daemon.api(&format!("POST /v0/detections/{}/reopen", id_of("s-1", 1))).await;
    reader.until("reopened", |r| says(r)["state"] != "dismissed").await;
    reader.catches_up(&daemon, "s-1").await;
    assert_eq!(daemon.api("GET /v0/follow?session=nobody").await.0, 404);
    assert_eq!(daemon.api("GET /v0/follow?sessions=s-1").await.0, 400);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_again_is_sent_what_is_new() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let dir = tempfile::tempdir().unwrap();
    transcript(dir.path(), "s-1", 0..40);
    import(&daemon, dir.path()).await;
    let mut reader = Reader::follow(&daemon, "s-1").await;
    reader.catches_up(&daemon, "s-1").await;
    assert_eq!((reader.sent, reader.kind("span").len()), (83, 81), "with a session and a turn");
    reader = reader.again(&daemon, "s-1").await;
    assert_eq!(reader.open, json!({"session_id":"s-1","resumed":true,"turns":0,"spans":0}));
    // Gone while something comes.
    let Reader { lines, things, cursor, .. } = reader;
    drop(lines);
    transcript(dir.path(), "s-1", 40..42);
    import(&daemon, dir.path()).await;
    let mut reader = Reader::connect(&daemon, "s-1", cursor, things).await;
    assert_eq!(reader.open["resumed"], true);
    reader.catches_up(&daemon, "s-1").await;
    assert!(reader.sent < 15, "{} lines: calls, and what is open around them", reader.sent);
    let unknown = Some("00000000000000aa-5".to_owned());
    let mut other = Reader::connect(&daemon, "s-1", unknown, Things::new()).await;
    assert_eq!((&other.open["resumed"], &other.open["spans"]), (&json!(false), &json!(85)));
    other.catches_up(&daemon, "s-1").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_forgotten_state_are_told_and_nothing_of_before_stays() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    begin(&daemon, "s-1").await;
    let mut reader = Reader::follow(&daemon, "s-1").await;
    reader.catches_up(&daemon, "s-1").await;
    // Something that the daemon does not have any more when it is asked again.
    let ghost = ("span", "ghost".to_owned());
    reader.things.insert(ghost.clone(), json!({"span_id":"ghost"}));
    let (cursor, things) = (reader.cursor.clone(), reader.things.clone());
    drop(reader);
    daemon.stop().await;
    let daemon = Daemon::start(home.path(), DEAD).await;
    let mut reader = Reader::connect(&daemon, "s-1", cursor, things).await;
    assert_eq!(reader.open["resumed"], false);
    reader.catches_up(&daemon, "s-1").await;
    assert!(!reader.things.contains_key(&ghost));
    // What nobody reads is let go of; the cursor then says nothing.
    let hub: &Hub = &daemon.app.live;
    hub.set_times(15_000, 1);
    let (cursor, things) = (reader.cursor.clone(), reader.things.clone());
    drop(reader);
    assert_eventually!(hub.held() == 0, "let go of");
    let mut reader = Reader::connect(&daemon, "s-1", cursor, things).await;
    assert_eq!(reader.open["resumed"], false);
    reader.catches_up(&daemon, "s-1").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_costs_nothing_and_loses_nothing() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let dir = tempfile::tempdir().unwrap();
    // More than sockets and the connection take without being read.
    transcript(dir.path(), "s-1", 0..1600);
    import(&daemon, dir.path()).await;
    // It reads the first piece, and then nothing while everything else changes.
    let mut slow = Reader::follow(&daemon, "s-1").await;
    let mut quick = Reader::follow(&daemon, "s-1").await;
    quick.catches_up(&daemon, "s-1").await;
    let rounds = 4;
    for n in 0..rounds {
        // The turn, its root and the session change each time.
        transcript(dir.path(), "s-1", 1600 + n..1601 + n);
        import(&daemon, dir.path()).await;
        quick.catches_up(&daemon, "s-1").await;
    }
    assert!(slow.cursor.is_none(), "it has not read to the end");
    slow.catches_up(&daemon, "s-1").await;
    assert_eq!(slow.things, quick.things);
    // Each thing once, but for what was on its way to it already when it changed.
    let things = slow.things.len();
    assert!(
        slow.sent < things + 3 * usize::try_from(rounds).unwrap(),
        "{} lines for {things} things",
        slow.sent
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_share_the_work() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    begin(&daemon, "s-1").await;
    begin(&daemon, "s-2").await;
    let mut one = Reader::follow(&daemon, "s-1").await;
    one.catches_up(&daemon, "s-1").await;
    let before = daemon.app.live.worked_out();
    let mut two = Reader::follow(&daemon, "s-1").await;
    two.catches_up(&daemon, "s-1").await;
    assert_eq!((daemon.app.live.worked_out(), daemon.app.live.held()), (before, 1));
    // Another session is none of their business.
    call(&daemon, BEGIN + SECOND, "s-2", 0, "PostToolUse").await;
    settle(&daemon).await;
    call(&daemon, BEGIN + SECOND, "s-1", 0, "PostToolUse").await;
    one.catches_up(&daemon, "s-1").await;
    two.catches_up(&daemon, "s-1").await;
    assert_eq!(daemon.app.live.worked_out(), before + 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_long_sessions_at_once_are_refused_until_one_is_left() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    begin(&daemon, "s-1").await;
    begin(&daemon, "s-2").await;
    daemon.app.live.set_max_spans(2);
    let mut one = Reader::follow(&daemon, "s-1").await;
    one.catches_up(&daemon, "s-1").await;
    let (status, reply) = daemon.api("GET /v0/follow?session=s-2").await;
    assert_eq!((status, &reply["error"]["code"]), (503, &json!("busy")), "{reply}");
    // Whoever comes to what is held costs nothing.
    let two = Reader::follow(&daemon, "s-1").await;
    drop((one, two));
    assert_eventually!(head(&daemon, "/v0/follow?session=s-2").await.1.starts_with("HTTP/1.1 200"), "let in");
    assert_eq!(daemon.app.live.held(), 1, "what nobody reads went first");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_gives_signs_of_life() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    begin(&daemon, "s-1").await;
    daemon.app.live.set_times(5, 60_000);
    let mut reader = Reader::follow(&daemon, "s-1").await;
    let mut signs = 0;
    let work = daemon.app.live.worked_out();
    let long = timeout(PATIENCE, async {
        while signs < 3 {
            let piece = reader.piece().await.unwrap();
            signs += usize::from(piece == b"{}\n");
        }
    });
    assert!(long.await.is_ok());
    assert!(daemon.app.live.worked_out() <= work + 1, "nothing is worked out while nothing changes");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_is_told() {
    let home = home();
    let clock = Arc::new(Set(AtomicU64::new(BEGIN)));
    let daemon = Daemon::start_at(home.path(), DEAD, clock.clone()).await;
    // Without a prompt, the first call makes a turn; the prompt, told late, takes its place.
    let dir = tempfile::tempdir().unwrap();
    let orphan = json!({"type":"assistant","uuid":"a","timestamp":ccd::clock::rfc3339(BEGIN + SECOND),
        "sessionId":"s-1","requestId":"req_1","message":{"id":"msg_1","role":"assistant","stop_reason":"end_turn",
        "model":"claude-opus-5-5","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":1,"output_tokens":1}}});
    std::fs::write(dir.path().join("s-1.jsonl"), format!("{orphan}\n")).unwrap();
    import(&daemon, dir.path()).await;
    let mut reader = Reader::follow(&daemon, "s-1").await;
    let mut list = Reader::follow(&daemon, "").await;
    reader.catches_up(&daemon, "s-1").await;
    let before: BTreeSet<_> = reader.things.keys().cloned().collect();
    event(&daemon, BEGIN, "s-1", "UserPromptSubmit", json!({"prompt_id":"p-0","prompt":"do it"})).await;
    reader.catches_up(&daemon, "s-1").await;
    let gone = before.iter().filter(|key| !reader.things.contains_key(*key)).count();
    assert_eq!(gone, 2, "the turn, and its root");
    // A month later, everything that is known of the session is let go of.
    clock.0.store(BEGIN + 30 * DAY, Ordering::Relaxed);
    event(&daemon, BEGIN + 30 * DAY, "s-2", "SessionStart", json!({})).await;
    let app = Arc::clone(&daemon.app);
    let limits = Limits { before_ns: Some(BEGIN + 15 * DAY), max_bytes: None };
    let work = move || prune::prune(&app.door, &app.shared, &limits, &mut |_| ()).unwrap();
    assert_eq!(tokio::task::spawn_blocking(work).await.unwrap().segments, 1);
    reader.until("gone", |r| r.things.is_empty()).await;
    let only = ("session", "s-2".to_owned());
    list.until("gone from the list", |r| r.things.keys().eq([&only]) && r.fresh.is_none()).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_sessions_is_followed() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let mut empty = Reader::follow(&daemon, "").await;
    assert_eq!(empty.open, json!({"session_id":null,"resumed":false,"turns":0,"spans":0}));
    for n in 0..3 {
        begin(&daemon, &format!("s-{n}")).await;
    }
    let want = daemon.get("/v0/sessions?limit=0").await["sessions"].as_array().unwrap().len();
    empty.until("three", |r| r.things.len() == want).await;
    let mut reader = Reader::follow(&daemon, "").await;
    reader.until("all there are", |r| r.cursor.is_some()).await;
    assert_eq!(reader.sent, 3);
    reader = reader.again(&daemon, "").await;
    assert_eq!(reader.open["resumed"], true);
    reader.came.clear();
    event(&daemon, BEGIN + SECOND, "s-1", "Stop", json!({"prompt_id":"p-0"})).await;
    event(&daemon, BEGIN + 2 * SECOND, "s-1", "SessionEnd", json!({})).await;
    settle(&daemon).await;
    let want = daemon.get("/v0/sessions?session=s-1").await["sessions"][0].clone();
    let key = ("session", "s-1".to_owned());
    reader.until("ended", |r| r.things.get(&key) == Some(&want)).await;
    assert_eq!(reader.came, BTreeSet::from([key]), "that one alone");
    daemon.stop().await;
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Whatever happens in whatever order: who follows ends with what is answered.
async fn anything_happens(seed: u64) {
    let home = home();
    let mut daemon = Daemon::start(home.path(), DEAD).await;
    let mut random = Random(seed);
    begin(&daemon, "s-1").await;
    let mut reader = Reader::follow(&daemon, "s-1").await;
    let mut at_ns = BEGIN + SECOND;
    for step in 0..60u64 {
        at_ns += SECOND;
        let (n, other) = (random.below(6), random.below(4) == 0);
        let session = if other { "t-1" } else { "s-1" };
        match random.below(12) {
            0 => {
                event(
                    &daemon,
                    at_ns,
                    session,
                    "UserPromptSubmit",
                    json!({"prompt_id":format!("p-{n}"),"prompt":"go"}),
                )
                .await;
            }
            1..=2 => call(&daemon, at_ns, session, n, "PreToolUse").await,
            3 => call(&daemon, at_ns, session, n, "PostToolUse").await,
            4 => event(&daemon, at_ns, session, "Stop", json!({"prompt_id":format!("p-{n}")})).await,
            5 => record(&daemon, found(at_ns, session, n).to_record().unwrap()).await,
            6 => intervene(&daemon, &done(at_ns, session, (n > 1).then_some(n))).await,
            7 => {
                let what = if random.below(2) == 0 { "dismiss" } else { "reopen" };
                // There may be none of this id.
                daemon.api(&format!("POST /v0/detections/{}/{what}", id_of("s-1", n))).await;
            }
            8 => {
                reader.read().await;
            }
            9 => reader = reader.again(&daemon, "s-1").await,
            10 => {
                // What is held is dropped, if nobody reads.
                daemon.app.live.set_times(50, 1);
                let Reader { lines, things, cursor, .. } = reader;
                drop(lines);
                let hub = &daemon.app.live;
                assert_eventually!(hub.held() == 0, "let go of");
                reader = Reader::connect(&daemon, "s-1", cursor, things).await;
            }
            _ if step % 7 == 0 => {
                let Reader { lines, things, cursor, .. } = reader;
                drop(lines);
                daemon.stop().await;
                daemon = Daemon::start(home.path(), DEAD).await;
                reader = Reader::connect(&daemon, "s-1", cursor, things).await;
            }
            _ => reader.catches_up(&daemon, "s-1").await,
        }
        daemon.app.live.set_times(50, 60_000);
    }
    reader.catches_up(&daemon, "s-1").await;
    let mut fresh = Reader::follow(&daemon, "s-1").await;
    fresh.catches_up(&daemon, "s-1").await;
    assert_eq!(reader.things, fresh.things);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_a_reader_ends_with_what_is_answered() {
    for seed in [1, 2, 3, 4] {
        anything_happens(seed).await;
    }
}
