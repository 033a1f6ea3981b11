//! Credentials of many kinds, planted through every door of the daemon: none of them is in any byte that it wrote, and none
//! in any answer that it gives; and what went through it went through unchanged.
//!
//! Each door and kind has a credential of its own, so that what is found tells where it came in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]
#![allow(clippy::format_push_string, reason = "in a test it may be slow")]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ccd::ingest::record::{self, BodyV1, ExchangeV3, Outcome, Payload, RedactionV1, RouteV1, Stored};
use ccd::ingest::{CapturedExchange, Reserved};
use ccd::source::kept;
use ccd_proto::frame::Status;
use ccd_redact::sample::filled;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Daemon, frame, home};
use crate::export::kinds::KINDS;

const SESSION: &str = "0c7c5a8e-5d4e-4a8e-9a57-0f6a3b1c2d3e";
const NOW: u64 = 1_790_035_200_000_000_000;

/// Kinds that only their name tells of.
const PLAIN: [&str; 5] = ["password", "admin password", "generic api key", "hex api key", "session secret"];

/// What was planted: the value, and where.
#[derive(Default)]
struct Planted {
    values: BTreeMap<String, String>,
    next: u64,
}

impl Planted {
    /// Text with credentials of some twenty kinds, no two doors with the same ones.
    fn lines(&mut self, door: &str) -> String {
        let mut text = String::new();
        // What is found of those that only a name tells of is for the tests of redaction; here it is about the doors.
        let kinds = KINDS.iter().filter(|kind| kind.formed || PLAIN.contains(&kind.id));
        for kind in kinds.skip((self.next % 4) as usize).step_by(4) {
            let value = self.one(door, kind.id, kind.value);
            text += &format!("export {}={value}\n", kind.name);
        }
        self.next += 1;
        text
    }

    fn one(&mut self, door: &str, kind: &str, template: &str) -> String {
        self.next += 4;
        let value = filled(template, self.next);
        self.values.insert(value.clone(), format!("{kind} by {door}"));
        value
    }

    fn token(&mut self, door: &str) -> String {
        self.one(door, "github pat", "ghp_{a30}{c}")
    }

    /// What finds any of them, or the middle of a long one.
    fn search(&self) -> regex::bytes::Regex {
        let middle = |value: &str| {
            let (middle, len) = (value.len() / 2, value.len());
            if len < 32 { value.to_owned() } else { value[middle - 8..middle + 8].to_owned() }
        };
        let all: Vec<String> = self.values.keys().map(|value| regex::escape(&middle(value))).collect();
        regex::bytes::RegexBuilder::new(&all.join("|")).size_limit(1 << 30).build().unwrap()
    }

    fn of(&self, part: &[u8]) -> Vec<&String> {
        let part = String::from_utf8_lossy(part);
        self.values.iter().filter(|(value, _)| value.contains(&*part)).map(|(_, door)| door).collect()
    }
}

/// An upstream that answers what its path asks for, and remembers what it was sent.
struct Upstream {
    addr: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Upstream {
    async fn start(answers: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, sent) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let (answers, all) = (Arc::new(answers), Arc::clone(&sent));
        tokio::spawn(async move {
            while let Ok((s, _)) = listener.accept().await {
                tokio::spawn(answer(s, Arc::clone(&answers), Arc::clone(&all)));
            }
        });
        Upstream { addr, sent }
    }
}

async fn answer(mut s: TcpStream, answers: Arc<BTreeMap<String, Vec<u8>>>, sent: Arc<Mutex<Vec<u8>>>) {
    let mut all = Vec::new();
    let (head, length) = loop {
        if s.read_buf(&mut all).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        break (end + 4, length.unwrap_or(0));
    };
    while all.len() < head + length {
        if s.read_buf(&mut all).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let path = String::from_utf8_lossy(&all).split(' ').nth(1).unwrap_or_default().to_owned();
    sent.lock().unwrap().extend_from_slice(&all);
    let kind = path.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let response = answers.get(kind).cloned().unwrap_or_default();
    // In pieces that have nothing to do with its events.
    for piece in response.chunks(97) {
        if s.write_all(piece).await.is_err() {
            return;
        }
    }
}

fn http(status: u16, kind: &str, encoding: Option<&str>, more: &str, body: &[u8]) -> Vec<u8> {
    let encoding = encoding.map(|e| format!("content-encoding: {e}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{encoding}{more}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn data(out: &mut String, value: &Value) {
    *out += &format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
}

/// A stream that says each text in pieces of a few letters.
fn stream(thinking: &str, text: &str, input: &Value) -> String {
    let mut out = String::new();
    data(
        &mut out,
        &json!({"type": "message_start", "message": {"id": "msg_canary", "type": "message", "role": "assistant", "model": "claude-opus-4-8", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}}),
    );
    let blocks = [
        (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            "thinking_delta",
            "thinking",
            thinking.to_owned(),
        ),
        (json!({"type": "text", "text": ""}), "text_delta", "text", text.to_owned()),
        (
            json!({"type": "tool_use", "id": "toolu_canary", "name": "Bash", "input": {}}),
            "input_json_delta",
            "partial_json",
            input.to_string(),
        ),
    ];
    for (index, (block, delta, member, said)) in blocks.into_iter().enumerate() {
        data(&mut out, &json!({"type": "content_block_start", "index": index, "content_block": block}));
        let letters: Vec<char> = said.chars().collect();
        for piece in letters.chunks(7) {
            let piece: String = piece.iter().collect();
            data(
                &mut out,
                &json!({"type": "content_block_delta", "index": index, "delta": {"type": delta, member: piece}}),
            );
        }
        data(&mut out, &json!({"type": "content_block_stop", "index": index}));
    }
    data(
        &mut out,
        &json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
    );
    data(&mut out, &json!({"type": "message_stop"}));
    out
}

fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            e.write_all(body).unwrap();
            e.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 4, 20).write_all(body).unwrap();
            out
        }
        _ => zstd::encode_all(body, 3).unwrap(),
    }
}

fn error(lines: &str) -> Vec<u8> {
    json!({"type": "error", "error": {"type": "invalid_request_error", "message": lines}})
        .to_string()
        .into_bytes()
}

fn event(name: &str, more: Value) -> Value {
    let mut event = json!({"session_id": SESSION, "hook_event_name": name, "cwd": "/w", "prompt_id": "p-1", "transcript_path": "/x.jsonl"});
    let Value::Object(more) = more else { panic!("members") };
    event.as_object_mut().unwrap().extend(more);
    event
}

/// Every file below a directory.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// An exchange as a build kept it that did not scrub.
fn unscrubbed(request: String, response: String) -> CapturedExchange {
    let body = |len: usize| BodyV1 { seen: len as u64, kept: 0, stored: Stored::Inline(Vec::new()) };
    CapturedExchange {
        record: ExchangeV3 {
            id: [9; 16],
            session_id: Some(SESSION.into()),
            agent_id: None,
            parent_agent_id: None,
            method: "POST".into(),
            path: "/v1/messages".into(),
            upstream: "https://api.anthropic.com".into(),
            client_http: 11,
            upstream_http: 11,
            started_ns: NOW,
            request_end_us: Some(1),
            head_us: Some(2),
            first_byte_us: Some(3),
            end_us: 4,
            status: Some(400),
            outcome: Outcome::Complete,
            error: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            response_trailers: Vec::new(),
            request: body(request.len()),
            response: body(response.len()),
            marks: Vec::new(),
            route: RouteV1::default(),
            redaction: RedactionV1::default(),
        },
        request: vec![request.into()],
        response: vec![response.into()],
        budget: Reserved::new(Arc::default()),
    }
}

/// Files of the client's and of another recorder.
fn write_files(dir: &Path, planted: &mut Planted) -> PathBuf {
    let project = dir.join("projects/-w");
    let agents = project.join(SESSION).join("subagents");
    std::fs::create_dir_all(&agents).unwrap();
    let line = |uuid: &str, content: &str| {
        json!({"type": "user", "uuid": uuid, "parentUuid": null, "sessionId": SESSION, "cwd": "/w", "timestamp": "2026-09-21T12:00:00.000Z",
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": content}]}})
    };
    let mut transcript = String::new();
    for n in 0..3 {
        transcript += &format!("{}\n", line(&format!("u-{n}"), &planted.lines("transcript")));
    }
    std::fs::write(project.join(format!("{SESSION}.jsonl")), transcript).unwrap();
    std::fs::write(agents.join("agent-a1.jsonl"), format!("{}\n", line("a-1", &planted.lines("subagent"))))
        .unwrap();
    let meta = json!({"agentType": "general-purpose", "description": planted.lines("meta")});
    std::fs::write(agents.join("agent-a1.meta.json"), meta.to_string()).unwrap();
    let token = planted.token("path");
    let odd = dir.join(format!("import/of-{token}"));
    std::fs::create_dir_all(&odd).unwrap();
    let other = "1c7c5a8e-5d4e-4a8e-9a57-0f6a3b1c2d3e";
    std::fs::write(
        odd.join(format!("{other}.jsonl")),
        format!("{}\n", line("i-1", &planted.lines("import")).to_string().replace(SESSION, other)),
    )
    .unwrap();
    let tracer = json!({"session_id": SESSION, "hook_event_name": "UserPromptSubmit", "prompt_id": "p", "cwd": "/w", "prompt": planted.lines("cc-tracer"), "_ts": "2026-05-01T10:00:00.5"});
    let pisama = json!({"session_id": SESSION, "timestamp": "2026-05-01T10:00:01+00:00", "hook_type": "post", "tool_name": "Bash",
        "tool_input": {"command": planted.lines("pisama")}, "tool_output": {"stdout": planted.lines("pisama output")}, "working_dir": "/w"});
    std::fs::write(odd.join("tracer.jsonl"), format!("{tracer}\n")).unwrap();
    std::fs::write(odd.join("pisama.jsonl"), format!("{pisama}\n")).unwrap();
    dir.join("import")
}

async fn tell_hooks(daemon: &Daemon, planted: &mut Planted) {
    let mut n = 0;
    let mut hook = async |body: Value| {
        n += 1;
        assert_eq!(daemon.hook(NOW + n, &body).await, Status::Durable);
    };
    hook(event("UserPromptSubmit", json!({"prompt": planted.lines("prompt")}))).await;
    hook(event("PreToolUse", json!({"tool_name": "Bash", "tool_use_id": "toolu_1", "tool_input": {"command": planted.lines("input")}}))).await;
    hook(event(
        "PostToolUse",
        json!({"tool_name": "Bash", "tool_use_id": "toolu_1", "tool_input": {"command": "env"},
        "tool_response": {"stdout": planted.lines("stdout"), "stderr": planted.lines("stderr")}}),
    ))
    .await;
    let deep = json!({"a": json!({"b": json!({"c": planted.lines("json in json in json")}).to_string()}).to_string()}).to_string();
    hook(event("PreToolUse", json!({"tool_name": "MultiEdit", "tool_use_id": "toolu_2", "tool_input": {"file_path": "/w/.env",
        "edits": [{"old_string": planted.lines("old"), "new_string": planted.lines("new")}, {"old_string": "x", "new_string": deep}]}}))).await;
    let filler = "All work and no play makes Jack a dull boy.\n".repeat(80_000);
    let large = format!(
        "{}{filler}{}{filler}{}",
        planted.lines("start of 7 MB"),
        planted.lines("middle of 7 MB"),
        planted.lines("end of 7 MB")
    );
    hook(event(
        "PostToolUse",
        json!({"tool_name": "Bash", "tool_use_id": "toolu_2", "tool_response": {"stdout": large}}),
    ))
    .await;
}

/// What the upstream answers, by path; and what it shall have been sent.
fn answers(planted: &mut Planted) -> BTreeMap<String, Vec<u8>> {
    let mut answers = BTreeMap::new();
    let said = stream(
        &planted.lines("thinking"),
        &planted.lines("text"),
        &json!({"command": planted.lines("tool input")}),
    );
    answers.insert(
        "messages".into(),
        http(
            200,
            "text/event-stream",
            None,
            &format!("x-note: {}\r\n", planted.token("response header")),
            said.as_bytes(),
        ),
    );
    for encoding in ["gzip", "br", "zstd"] {
        let said = stream(&planted.lines(encoding), "ok", &json!({"command": planted.lines(encoding)}));
        answers.insert(
            encoding.into(),
            http(200, "text/event-stream", Some(encoding), "", &encoded(encoding, said.as_bytes())),
        );
    }
    answers.insert("error".into(), http(400, "application/json", None, "", &error(&planted.lines("error"))));
    answers.insert(
        "zipped".into(),
        http(
            400,
            "application/json",
            Some("gzip"),
            "",
            &encoded("gzip", &error(&planted.lines("zipped error"))),
        ),
    );
    answers
}

async fn tell_proxy(
    daemon: &Daemon,
    upstream: &Upstream,
    answers: &BTreeMap<String, Vec<u8>>,
    planted: &mut Planted,
) {
    for (path, answer) in answers {
        let deep = json!({"stdout": json!({"env": planted.lines("request, deep")}).to_string()}).to_string();
        let body = json!({"model": "claude-opus-4-8", "max_tokens": 9, "stream": true,
            "system": [{"type": "text", "text": planted.lines("system")}],
            "tools": [{"name": "Bash", "description": planted.lines("tools"), "input_schema": {"type": "object"}}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": planted.lines("message")}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": planted.lines("tool use")}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": deep}]}]})
        .to_string();
        let raw = format!(
            "POST /{}/v1/{path}?beta=true&note={} HTTP/1.1\r\nHost: {}\r\nX-Claude-Code-Session-Id: {SESSION}\r\n\
             x-api-key: {}\r\nx-note: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            daemon.token,
            planted.token("query"),
            daemon.app.proxy_listen,
            planted.one("api key", "anthropic", "sk-ant-api03-{w93}AA"),
            planted.token("request header"),
            body.len()
        );
        let mut s = TcpStream::connect(daemon.app.proxy_listen).await.unwrap();
        s.write_all(raw.as_bytes()).await.unwrap();
        let mut came = Vec::new();
        s.read_to_end(&mut came).await.unwrap();
        let of = |all: &[u8]| all.windows(4).position(|w| w == b"\r\n\r\n").map(|at| all[at + 4..].to_vec());
        assert_eq!(of(&came), of(answer), "{path}: the client received what the API sent");
        let sent = upstream.sent.lock().unwrap();
        assert!(
            sent.windows(body.len()).any(|w| w == body.as_bytes()),
            "{path}: the API was sent what the client sent"
        );
    }
}

/// Everything that the store holds, unpacked.
fn unpacked(store: &Path) -> Vec<u8> {
    let store = ccd_store::Store::open(store, ccd_store::Options::default()).unwrap().store;
    let reader = store.reader();
    let mut records = Vec::new();
    reader
        .replay(1, &mut |record: ccd_store::Record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
    let mut all = Vec::new();
    for record in &records {
        all.extend_from_slice(&record.body);
        for blob in record::blobs(record).unwrap() {
            all.extend_from_slice(&reader.blob(&blob).unwrap());
        }
        if let Ok(Payload::Exchange(exchange)) = record::read(record) {
            assert!(exchange.redaction.scanned, "every exchange was looked through");
        }
    }
    for row in reader.scan(&[0], &[0xff; 40]) {
        let (key, value) = row.unwrap();
        all.extend_from_slice(&key);
        all.extend_from_slice(&value);
    }
    assert!(records.len() > 15, "{} records", records.len());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_a_credential_is_in_nothing_that_is_written_or_answered() {
    let (home, elsewhere) = (home(), home());
    let mut planted = Planted::default();
    let import = write_files(elsewhere.path(), &mut planted);
    let projects = elsewhere.path().join("projects");
    let config = home.path().join("config.toml");
    std::fs::write(&config, format!("[transcripts]\nroots = [{:?}]\n", projects.display().to_string()))
        .unwrap();
    let answers = answers(&mut planted);
    let upstream = Upstream::start(answers.clone()).await;

    // What the shim left while no daemon was there.
    let daemon = Daemon::start(home.path(), &format!("http://{}", upstream.addr)).await;
    let (spool, store) = (daemon.app.layout.spool_dir.clone(), daemon.app.layout.store_dir());
    let left = frame(NOW + 500, &event("Notification", json!({"message": planted.lines("spool")})));
    std::fs::write(spool.join("00000000000000000500-1.frame"), left).unwrap();
    kept::keep(&spool, &unscrubbed(planted.lines("kept request"), planted.lines("kept response"))).unwrap();

    tell_hooks(&daemon, &mut planted).await;
    tell_proxy(&daemon, &upstream, &answers, &mut planted).await;
    let line = json!({"session_id": SESSION, "cwd": planted.lines("status line"), "rate_limits": {"five_hour": {"used_percentage": 42.5, "resets_at": 1_795_219_200}}});
    daemon.post_to("/v0/statusline", &line).await;
    daemon.operate(&format!("/v0/import?path={}", import.display())).await.unwrap();
    assert_eventually!(
        std::fs::read_dir(&spool).unwrap().all(|e| !e
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "frame" || e == "exchange")),
        "the spool is taken in"
    );
    assert_eventually!(
        daemon.get("/v0/exchanges").await["exchanges"].as_array().unwrap().len() == answers.len() + 1,
        "all exchanges are on record"
    );
    let search = planted.search();
    let found = |what: &str, bytes: &[u8]| {
        let hits: Vec<_> =
            search.find_iter(bytes).flat_map(|hit| planted.of(hit.as_bytes())).take(9).collect();
        // They are made up, and may be shown.
        let near =
            search.find(bytes).map(|hit| hit.start().saturating_sub(150)..bytes.len().min(hit.end() + 100));
        let near = String::from_utf8_lossy(&bytes[near.unwrap_or_default()]).into_owned();
        assert!(hits.is_empty(), "{what}: {hits:?}: {near}");
    };

    let rows = |of: &str, id: &str, value: &Value| -> Vec<String> {
        value[of].as_array().unwrap().iter().map(|row| row[id].as_str().unwrap().to_owned()).collect()
    };
    let exchanges = daemon.get("/v0/exchanges").await;
    let mut asked =
        vec!["/v0/status".to_owned(), "/v0/sessions".into(), format!("/v0/turns?session={SESSION}")];
    for id in rows("exchanges", "exchange_id", &exchanges) {
        asked.extend(["", "/request", "/response"].map(|part| format!("/v0/exchanges/{id}{part}")));
        asked.push(format!("/v0/show/{id}"));
    }
    let spans = daemon.get(&format!("/v0/spans?session={SESSION}&content=true")).await;
    for id in rows("spans", "span_id", &spans) {
        asked.push(format!("/v0/show/{id}"));
    }
    asked.push(format!("/v0/spans?session={SESSION}&content=true&reasoning=true"));
    asked.push(format!("/v0/export/session/{SESSION}.html"));
    asked.push("/v0/search?q=export".into());
    for path in &asked {
        found(path, &daemon.raw(path).await);
    }
    let told = daemon.get(&format!("/v0/export/session/{SESSION}.html")).await;
    assert!(told.is_null(), "it is no JSON");
    let status = daemon.get("/v0/status").await;
    assert!(status["capture"]["redacted"].as_u64().unwrap() > 500, "{}", status["capture"]);
    assert_eq!(status["capture"]["unscanned"], 0, "{}", status["capture"]);

    // Worked out again from the journal, the answers are the same.
    let turns = daemon.get(&format!("/v0/turns?session={SESSION}")).await;
    daemon.operate("/v0/store/rebuild").await.unwrap();
    assert_eq!(daemon.get(&format!("/v0/turns?session={SESSION}")).await, turns);
    assert_eq!(daemon.get("/v0/exchanges").await, exchanges);
    let backup = home.path().join("backup");
    daemon.operate(&format!("/v0/store/backup?dir={}", backup.display())).await.unwrap();
    daemon.stop().await;

    let mut all = Vec::new();
    files(home.path(), &mut all);
    assert!(all.iter().any(|path| path.ends_with("ids.key")), "{all:?}");
    for path in &all {
        found(&path.display().to_string(), &std::fs::read(path).unwrap());
    }
    let unpacked = unpacked(&store);
    found("the store, unpacked", &unpacked);
    assert!(unpacked.windows(10).filter(|w| w == b"[redacted:").count() > 500);
}
