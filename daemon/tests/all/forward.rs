//! Forwarding in a running daemon, to a sink that does as it is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Daemon, home};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DEAD: &str = "http://127.0.0.1:9";
/// A JSON Web Token that says nothing of its end, and whose it is: `{"tenant_id":"t-1"}`.
const TOKEN: &str = "h.eyJ0ZW5hbnRfaWQiOiJ0LTEifQ.s";

/// A request, as it came.
#[derive(Clone, Debug)]
struct Got {
    path: String,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
enum Answer {
    Status(u16, &'static str),
    /// It is taken, and the connection ends before the answer.
    Lost,
    /// Nobody ever answers.
    Hang,
}

/// A sink: what it got, and how it answers what comes next. When nothing is said, it takes everything.
struct Sink {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    connections: Arc<Mutex<u64>>,
}

impl Sink {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sink = Sink { url, got: Arc::default(), answers: Arc::default(), connections: Arc::default() };
        let (got, answers, connections) =
            (Arc::clone(&sink.got), Arc::clone(&sink.answers), Arc::clone(&sink.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                tokio::spawn(answer(stream, Arc::clone(&got), Arc::clone(&answers)));
            }
        });
        sink
    }

    fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn sessions(&self) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.path.ends_with("/ingest")).collect()
    }

    fn connections(&self) -> u64 {
        *self.connections.lock().unwrap()
    }

    /// What a receiver has that puts a session in the place of what it had of it.
    fn stored(&self) -> BTreeMap<String, Value> {
        let bodies = self.sessions().into_iter().map(|got| got.json());
        bodies.map(|body| (body["traces"][0]["session_id"].as_str().unwrap().to_owned(), body)).collect()
    }
}

async fn answer(
    mut stream: TcpStream,
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
) -> Option<()> {
    let mut all = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 16384];
        let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        all.extend_from_slice(&piece[..n]);
        let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
        if all.len() >= end + 4 + length {
            break (head, all[end + 4..].to_vec());
        }
    };
    let path = head.split(' ').nth(1)?.to_owned();
    let is_token = path.ends_with("/auth/token");
    got.lock().unwrap().push(Got { path, head, body });
    let next = if is_token { None } else { answers.lock().unwrap().pop_front() };
    let (status, more) = match next {
        None => (200, ""),
        Some(Answer::Status(status, more)) => (status, more),
        Some(Answer::Lost) => return None,
        Some(Answer::Hang) => std::future::pending().await,
    };
    let body = if is_token { format!("{{\"access_token\":\"{TOKEN}\"}}") } else { "{}".to_owned() };
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.ok()
}

fn configure(home: &TempDir, sink: &Sink, more: &str) {
    use std::os::unix::fs::PermissionsExt;
    let key = home.path().join("key");
    std::fs::write(&key, "hush-key\n").unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "[forward.p]\nkind = \"pisama\"\nurl = \"{}/api/v1/\"\nkey_file = \"key\"\ncontent = \"full\"\n{more}",
        sink.url
    );
    std::fs::write(home.path().join("config.toml"), text).unwrap();
}

/// One turn of a session, with a tool call that says something.
async fn turn(daemon: &Daemon, session: &str, n: u64, says: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = u64::try_from(now.as_nanos()).unwrap();
    let base =
        json!({"session_id": session, "cwd": format!("/w/{session}"), "prompt_id": format!("{session}-{n}")});
    let events = [
        json!({"hook_event_name": "UserPromptSubmit", "prompt": format!("do {says}")}),
        json!({"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": format!("{session}-u{n}"), "tool_input": {"command": says}}),
        json!({"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": format!("{session}-u{n}"), "tool_input": {"command": says}, "tool_response": {"stdout": says}}),
        json!({"hook_event_name": "Stop"}),
    ];
    for (i, event) in events.into_iter().enumerate() {
        let mut whole = base.clone();
        whole.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        daemon.hook(at + i as u64 * 1_000_000, &whole).await;
    }
}

async fn status(daemon: &Daemon) -> Value {
    daemon.get("/v0/status").await["forward"][0].clone()
}

async fn reload(daemon: &Daemon) {
    let (status, body) = daemon.api("POST /v0/forward/reload").await;
    assert_eq!((status, &body["problem"]), (200, &Value::Null), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_before_it_is_switched_on_and_nothing_after_it_is_switched_off() {
    let (sink, home) = (Sink::start().await, home());
    configure(&home, &sink, "");
    let daemon = Daemon::start(home.path(), DEAD).await;
    turn(&daemon, "before", 1, "ls").await;
    assert_eventually!(daemon.get("/v0/sessions").await["sessions"][0]["tool_calls"] == 1, "recorded");
    let shown = daemon.get("/v0/forward/preview?session=before").await;
    assert_eq!((&shown["enabled"], sink.connections()), (&json!(false), 0), "{shown}");

    configure(&home, &sink, "enabled = true\nexclude_projects = [\"private\"]");
    reload(&daemon).await;
    turn(&daemon, "private", 1, "ls").await;
    turn(&daemon, "after", 1, "ls").await;
    assert_eventually!(status(&daemon).await["sent"] == 1, "{}", status(&daemon).await);
    assert_eq!(sink.stored().into_keys().collect::<Vec<_>>(), ["after"], "no more than was meant");
    // What is shown beforehand is what is sent, byte for byte.
    let shown = daemon.get("/v0/forward/preview?session=after").await;
    let sent = sink.sessions().pop().unwrap();
    assert_eq!(shown["requests"][0]["body"].as_str().unwrap().as_bytes(), sent.body);
    assert!(sent.head.contains(&format!("authorization: Bearer {TOKEN}")), "{}", sent.head);
    assert!(!serde_json::to_string(&shown).unwrap().contains(TOKEN));
    let token = sink.got().into_iter().find(|got| got.path.ends_with("/auth/token")).unwrap();
    assert_eq!(token.path, "/api/v1/auth/token");
    assert_eq!(token.json(), json!({"api_key": "hush-key", "scope": "ingest"}));

    // In the middle of a delivery.
    sink.will([Answer::Hang]);
    turn(&daemon, "after", 2, "pwd").await;
    assert_eventually!(sink.sessions().len() == 2, "{:?}", sink.sessions().len());
    configure(&home, &sink, "enabled = false");
    reload(&daemon).await;
    let (connections, now) = (sink.connections(), status(&daemon).await);
    assert_eq!((&now["enabled"], &now["waiting"], &now["since"]), (&json!(false), &json!(0), &Value::Null));
    turn(&daemon, "after", 3, "id").await;
    assert_eventually!(
        daemon.get("/v0/sessions?session=after").await["sessions"][0]["tool_calls"] == 3,
        "recorded"
    );
    daemon.stop().await;
    let daemon = Daemon::start(home.path(), DEAD).await;
    turn(&daemon, "after", 4, "id").await;
    tokio::time::timeout(Duration::from_secs(4), std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(sink.connections(), connections, "off is off");
    // Asked for, it is sent all the same, and what was sent before as well.
    let synced = daemon.operate("/v0/forward/sync?name=p&limit=0").await.unwrap();
    assert_eq!((&synced["sessions"], &synced["sent"], &synced["failed"]), (&json!(3), &json!(3), &json!([])));
    assert_eq!(sink.stored().len(), 3);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_in_trouble_gets_everything_in_the_end_and_nothing_twice_that_it_knows_again() {
    let (sink, home) = (Sink::start().await, home());
    configure(&home, &sink, "enabled = true");
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eventually!(status(&daemon).await["since"].is_string(), "{}", status(&daemon).await);
    sink.will([
        Answer::Status(500, ""),
        Answer::Status(429, "retry-after: 1\r\n"),
        Answer::Lost,
        // The token ran out.
        Answer::Status(401, ""),
        Answer::Status(200, ""),
    ]);
    turn(&daemon, "s1", 1, "ls").await;
    assert_eventually!(status(&daemon).await["next_try"].is_string(), "{}", status(&daemon).await);
    assert_eventually!(status(&daemon).await["sent"] == 1, "{}", status(&daemon).await);
    let all = sink.sessions();
    assert_eq!(all.len(), 5, "one attempt for each answer");
    assert!(all.iter().all(|got| got.body == all[0].body), "the same each time");
    assert_eq!(sink.got().len() - all.len(), 2, "one token, and one more when it ran out");
    assert_eq!(sink.stored().len(), 1);

    // One that takes nothing of a session does not hold up the next.
    sink.will([Answer::Status(422, "")]);
    turn(&daemon, "s2", 1, "ls").await;
    assert_eventually!(status(&daemon).await["refused"] == 1, "{}", status(&daemon).await);
    turn(&daemon, "s3", 1, "ls").await;
    assert_eventually!(status(&daemon).await["sent"] == 2, "{}", status(&daemon).await);

    // One that is too large at once is sent in part, and that is told.
    let long = "x".repeat(40_000);
    turn(&daemon, "s4", 1, &long).await;
    turn(&daemon, "s4", 2, "last").await;
    sink.will([Answer::Status(413, "")]);
    assert_eventually!(status(&daemon).await["degraded"] == 1, "{}", status(&daemon).await);
    let (whole, part) = {
        let mut all = sink.sessions();
        let part = all.pop().unwrap();
        (all.pop().unwrap(), part)
    };
    assert!(part.body.len() <= whole.body.len() / 2, "{} {}", part.body.len(), whole.body.len());
    assert!(status(&daemon).await["last_error"].as_str().unwrap().contains("too long"));

    // So is one of a single step, down to what cannot be said in less: that is refused, and holds up nothing.
    sink.will([Answer::Status(413, "")]);
    turn(&daemon, "s5", 1, &long).await;
    assert_eventually!(status(&daemon).await["degraded"] == 2, "{}", status(&daemon).await);
    let part = sink.sessions().pop().unwrap();
    assert_eq!(part.json()["trace_count"], 1);
    assert!(part.body.len() < long.len() / 2, "{}", part.body.len());
    let before = sink.sessions().len();
    sink.will(vec![Answer::Status(413, ""); 9]);
    turn(&daemon, "s6", 1, &long).await;
    assert_eventually!(status(&daemon).await["refused"] == 2, "{}", status(&daemon).await);
    let error = status(&daemon).await["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("413") && error.contains("in less"), "{error}");
    let sizes: Vec<_> = sink.sessions()[before..].iter().map(|got| got.body.len()).collect();
    assert!(sizes.len() < 5 && sizes.windows(2).all(|two| two[1] < two[0]), "{sizes:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_in_the_middle_sends_again_what_was_not_acknowledged() {
    let (sink, home) = (Sink::start().await, home());
    configure(&home, &sink, "enabled = true");
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eventually!(status(&daemon).await["since"].is_string(), "{}", status(&daemon).await);
    for n in 0..4 {
        turn(&daemon, &format!("s{n}"), 1, "ls").await;
    }
    sink.will([Answer::Status(200, ""), Answer::Hang]);
    assert_eventually!(sink.sessions().len() == 2, "one taken, one under way");
    daemon.stop().await;
    let text = std::fs::read_to_string(home.path().join("state/forward/p.state.json")).unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["sent"], 1, "{state}");
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eventually!(status(&daemon).await["sent"] == 4, "{}", status(&daemon).await);
    assert_eq!(sink.stored().len(), 4);
    assert_eq!(sink.sessions().len(), 5, "only what was not acknowledged came again");
    // Nothing more happens, nothing more is sent.
    let (_, now) = (sink.connections(), status(&daemon).await);
    assert_eq!((&now["waiting"], &now["next_try"]), (&json!(0), &Value::Null));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_go_to_an_otlp_receiver_as_traces_each_span_once() {
    let (sink, home) = (Sink::start().await, home());
    let configure = |more: &str| {
        let text = format!(
            "[forward.o]\nkind = \"otlp\"\nurl = \"{}\"\nencoding = \"json\"\ngzip = false\nheaders = {{ \"x-team\" = \"hush\" }}\n{more}",
            sink.url
        );
        std::fs::write(home.path().join("config.toml"), text).unwrap();
    };
    configure("enabled = true");
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eventually!(status(&daemon).await["since"].is_string(), "{}", status(&daemon).await);
    let secret = ccd_redact::sample::filled("ghp_{a36}", 3);
    sink.will([Answer::Lost]);
    turn(&daemon, "s1", 1, &format!("echo {secret}")).await;
    assert_eventually!(status(&daemon).await["sent"] == 1, "{}", status(&daemon).await);
    turn(&daemon, "s1", 2, "ls").await;
    assert_eventually!(status(&daemon).await["sent"] == 2, "{}", status(&daemon).await);
    let all = sink.got();
    assert!(all.iter().all(|got| got.path == "/v1/traces" && got.head.contains("x-team: hush")));
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].body, all[1].body, "sent again, it has the same ids");
    let mut spans = Vec::new();
    for got in &all[1..] {
        let text = String::from_utf8(got.body.clone()).unwrap();
        assert!(!text.contains(&secret) && !text.contains("echo"), "no content was asked for: {text}");
        let body = got.json();
        for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap() {
            spans.push(span["spanId"].as_str().unwrap().to_owned());
        }
    }
    let count = spans.len();
    spans.sort_unstable();
    spans.dedup();
    assert!(count >= 4 && spans.len() == count, "{count} {spans:?}");
    let shown = serde_json::to_string(&daemon.get("/v0/forward/preview").await).unwrap();
    assert!(shown.contains("x-team") && !shown.contains("hush"), "{shown}");

    // Span by span, where the receiver takes no more at once; one that is too large by itself is left out, and told.
    let before = sink.got().len();
    sink.will([Answer::Status(413, ""), Answer::Status(200, ""), Answer::Status(413, "")]);
    turn(&daemon, "s2", 1, "ls").await;
    assert_eventually!(status(&daemon).await["degraded"] == 1, "{}", status(&daemon).await);
    assert_eq!((&status(&daemon).await["sent"], sink.got().len() - before), (&json!(3), 3));
    assert!(status(&daemon).await["last_error"].as_str().unwrap().contains("1 span is left out"));

    configure("content = \"full\"");
    reload(&daemon).await;
    let shown = daemon.get("/v0/forward/preview?session=s1").await;
    let text = shown["requests"][0]["body"].as_str().unwrap();
    assert!(text.contains("[redacted:") && !text.contains(&secret), "{text}");
    daemon.stop().await;
}

/// What a value is, for whoever reads it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_has_the_shape_of_what_the_platforms_own_client_sends() {
    let recorded = include_str!("../../../tests/fixtures/pisama/sync-0.6.5.jsonl");
    let recorded: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (sink, home) = (Sink::start().await, home());
    configure(&home, &sink, "");
    let daemon = Daemon::start(home.path(), DEAD).await;
    turn(&daemon, "s1", 1, "ls").await;
    assert_eventually!(daemon.get("/v0/sessions").await["sessions"][0]["tool_calls"] == 1, "recorded");
    let synced = daemon.operate("/v0/forward/sync?name=p").await.unwrap();
    assert_eq!((&synced["sent"], &synced["items"]), (&json!(1), &json!(1)), "{synced}");
    let ours = sink.got();
    assert_eq!(ours.len(), recorded.len());
    for (ours, theirs) in ours.iter().zip(&recorded) {
        assert_eq!(ours.path, theirs["path"].as_str().unwrap());
        for (name, value) in theirs["headers"].as_object().unwrap() {
            let value = value.as_str().unwrap().replace("TOKEN", TOKEN);
            assert!(ours.head.contains(&format!("{name}: {value}")), "{}", ours.head);
        }
        assert!(!ours.head.contains("content-encoding"));
        let (ours, theirs) = (ours.json(), &theirs["body"]);
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(theirs));
        for (name, value) in theirs.as_object().unwrap() {
            assert_eq!(kind(&ours[name]), kind(value), "{name}");
        }
    }
    let (mine, theirs) = (ours[1].json(), &recorded[1]["body"]);
    assert_eq!((&mine["source"], &mine["trace_count"]), (&theirs["source"], &json!(1)));
    assert!(mine["version"].as_str().unwrap().starts_with(theirs["version"].as_str().unwrap()));
    let (mine, theirs) = (&mine["traces"][0], theirs["traces"].as_array().unwrap());
    assert_eq!((&mine["tool_name"], &mine["hook_type"]), (&theirs[0]["tool_name"], &theirs[0]["hook_type"]));
    for (name, value) in theirs[0].as_object().unwrap() {
        // What one of its traces has none of may be null in ours as well.
        let known: Vec<&str> = theirs.iter().map(|trace| kind(&trace[name])).chain(["null"]).collect();
        assert!(mine.get(name).is_some_and(|mine| known.contains(&kind(mine))), "{name}: {value} {mine}");
    }
    let more: Vec<_> =
        mine.as_object().unwrap().keys().filter(|name| theirs[0].get(*name).is_none()).collect();
    assert!(more.is_empty(), "{more:?}");
    daemon.stop().await;
}
