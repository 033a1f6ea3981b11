//! The daemon in-process: what it finds in live sessions, once, whatever happens to it; and in their history.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Daemon, home, upstream};
use ccd::clock::{Clock, SystemClock};
use ccd::ingest::found::DetectionV1;
use ccd::ingest::record::{Payload, read};
use ccd::ingest::shared::StoreState;
use ccd_proto::frame::Status;
use serde_json::{Value, json};

const DEAD: &str = "http://127.0.0.1:9";

/// Events of one session, a moment apart, now.
struct Session {
    at: AtomicU64,
    id: &'static str,
}

impl Session {
    fn new(id: &'static str) -> Self {
        Session { at: AtomicU64::new(SystemClock.now_ns() - 30_000_000_000), id }
    }

    async fn send(&self, daemon: &Daemon, name: &str, more: Value) {
        let mut body = json!({"session_id": self.id, "hook_event_name": name, "cwd": "/home/user/project", "prompt_id": "p-1"});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        let at = self.at.fetch_add(10_000_000, Ordering::Relaxed);
        assert_eq!(daemon.hook(at, &body).await, Status::Durable);
    }

    async fn begin(&self, daemon: &Daemon) {
        self.send(daemon, "SessionStart", json!({"source": "startup"})).await;
        self.send(daemon, "UserPromptSubmit", json!({"prompt": "mend the tests"})).await;
    }

    /// The same once more.
    async fn round(&self, daemon: &Daemon, id: &str) {
        let call = json!({"tool_name": "Bash", "tool_use_id": id, "tool_input": {"command": "cargo test"}});
        self.send(daemon, "PreToolUse", call.clone()).await;
        let mut came = call;
        came["tool_response"] = json!({"stdout": "error: linking failed", "stderr": ""});
        self.send(daemon, "PostToolUse", came).await;
    }
}

/// The detections on record.
fn recorded(daemon: &Daemon) -> Vec<DetectionV1> {
    let StoreState::Ready(reader) = daemon.app.shared.state.borrow().clone() else { return Vec::new() };
    let mut found = Vec::new();
    let replayed = reader.replay(1, &mut |record| {
        if let Ok(Payload::Detection(detection)) = read(&record) {
            found.push(*detection);
        }
        Ok(())
    });
    assert!(replayed.is_ok());
    found
}

fn at(found: &[DetectionV1]) -> Vec<(&str, &str, u64)> {
    found.iter().map(|d| (d.kind.as_str(), d.rule.as_str(), d.at_event)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_on_record_once_and_counting_goes_on_after_a_restart() {
    let home = home();
    let session = Session::new("s-1");
    let daemon = Daemon::start(home.path(), DEAD).await;
    session.begin(&daemon).await;
    session.round(&daemon, "toolu_0").await;
    session.round(&daemon, "toolu_1").await;
    daemon.stop().await;
    let daemon = Daemon::start(home.path(), DEAD).await;
    session.round(&daemon, "toolu_2").await;
    assert_eventually!(recorded(&daemon).len() == 1, "{:?}", recorded(&daemon));
    let found = recorded(&daemon);
    assert_eq!(at(&found), [("loop", "repeat", 7)]);
    assert_eq!(
        (found[0].cwd.as_deref(), found[0].turn_id.as_deref()),
        (Some("/home/user/project"), Some("p-1"))
    );
    // What it leads to is there.
    let shown = daemon.get(&format!("/v0/show/{}", found[0].span_id.as_ref().unwrap())).await;
    assert_eq!(shown["span"]["tool_use_id"], "toolu_2", "{shown}");
    let status = daemon.get("/v0/status").await["detect"].clone();
    assert_eq!((&status["sessions"], &status["panics"], &status["found"]), (&json!(1), &json!(0), &json!(1)));
    let store = daemon.app.layout.store_dir();
    daemon.stop().await;
    for lose_index in [false, true] {
        if lose_index {
            std::fs::remove_dir_all(store.join("v1/index")).unwrap();
        }
        let daemon = Daemon::start(home.path(), DEAD).await;
        assert_eventually!(daemon.get("/v0/sessions").await["sessions"][0].is_object(), "ready");
        session
            .send(
                &daemon,
                "PreToolUse",
                json!({"tool_use_id": format!("after {lose_index}"), "tool_name": "Read"}),
            )
            .await;
        assert_eventually!(daemon.get("/v0/status").await["detect"]["sessions"] == 1, "read anew");
        daemon.stop().await;
    }
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eventually!(!recorded(&daemon).is_empty(), "open");
    assert_eq!(at(&recorded(&daemon)), [("loop", "repeat", 7)], "however often it is read anew");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_transcripts_are_history_and_an_analysis_finds_in_them_what_is_there() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let id = "c4aea1f3-66f1-45dc-b211-c365079e7020";
    let mut lines = vec![json!({"type": "user", "message": {"content": "mend the tests"}})];
    for n in 0..4 {
        let content = json!([{"type": "tool_use", "id": format!("toolu_{n}"), "name": "Bash", "input": {"command": "make"}}]);
        let usage = json!({"input_tokens": 1000, "output_tokens": 100});
        lines.push(
            json!({"type": "assistant", "message": {"id": format!("msg_{n}"), "model": "claude-opus-4-8",
            "content": content, "stop_reason": "tool_use", "usage": usage}}),
        );
        let result =
            json!([{"type": "tool_result", "tool_use_id": format!("toolu_{n}"), "content": "no rule"}]);
        lines.push(json!({"type": "user", "message": {"content": result}}));
    }
    let mut text = String::new();
    for (n, mut line) in lines.into_iter().enumerate() {
        line["timestamp"] = json!(format!("2026-01-02T10:00:{:02}.000Z", n * 5));
        (line["cwd"], line["promptId"], line["uuid"]) = (json!("/old"), json!("p"), json!(format!("u{n}")));
        text.push_str(&line.to_string());
        text.push('\n');
    }
    let file = home.path().join(format!("{id}.jsonl"));
    std::fs::write(&file, text).unwrap();
    let done = daemon.operate(&format!("/v0/import?path={}", file.display())).await.unwrap();
    assert_eq!(done["new_files"], 1, "{done}");
    let report = daemon.get(&format!("/v0/analyze?session={}", &id[..8])).await;
    let first = &report["detections"][0];
    assert_eq!(
        (&report["first"], &first["kind"], &first["rule"]),
        (&json!(0), &json!("loop"), &json!("repeat")),
        "{report}"
    );
    assert_eq!(
        (&first["turn_id"], &first["detection_id"], &first["project"]),
        (&json!("p"), &json!(""), &json!("old"))
    );
    let span = first["span_id"].as_str().unwrap();
    assert_eq!(daemon.get(&format!("/v0/show/{span}")).await["span"]["tool_use_id"], "toolu_2");
    assert_eq!(report["cost"]["tool_calls_since_first"], 1, "{report}");
    assert!(
        report["cost"]["session_usd_micros"].as_i64() > report["cost"]["since_first_usd_micros"].as_i64()
    );
    assert_eq!(report["events"], 14, "a start, a prompt, and an answer, a call and a result four times");
    assert_eq!(report["not_checked"].as_array().unwrap().len(), 1);
    let tree = daemon.get(&format!("/v0/analyze?session={id}&tree=1")).await;
    assert_eq!(tree["detections"], report["detections"]);
    assert_eq!(daemon.api("GET /v0/analyze").await.0, 400);
    assert_eq!(daemon.api("GET /v0/analyze?session=nobody").await.0, 404);
    let status = daemon.get("/v0/status").await["detect"].clone();
    assert_eq!((&status["sessions"], &status["events"]), (&json!(0), &json!(0)), "an import is history");
    assert_eq!(recorded(&daemon), []);
    daemon.stop().await;
}

/// An answer whose context is nearly all of its model's window.
const FULL: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\n",
    "content-length: 176\r\nconnection: close\r\n\r\n",
    r#"{"type":"message","id":"msg_1","model":"claude-opus-4-1","content":[{"type":"text","text":"hi"}],"#,
    r#""stop_reason":"end_turn","usage":{"input_tokens":190000,"output_tokens":9}}       "#
);

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_tells_how_full_the_context_is_live_and_read_anew() {
    let home = home();
    let api = upstream(vec![FULL], std::time::Duration::ZERO).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    let session = Session::new("s-2");
    session.begin(&daemon).await;
    let request = json!({"model": "claude-opus-4-1", "tools": [{}, {}], "messages": [{"role": "user", "content": "hello"}]});
    assert_eq!(daemon.post("/v1/messages", "s-2", &request.to_string()).await.0, 200);
    assert_eventually!(recorded(&daemon).len() == 1, "{:?}", recorded(&daemon));
    let found = recorded(&daemon);
    assert_eq!(at(&found), [("overflow", "urgent", 2)]);
    let report = daemon.get("/v0/analyze?session=s-2").await;
    assert_eq!(report["detections"][0]["title"], found[0].title, "{report}");
    assert_eq!(report["detections"][0]["span_id"], json!(found[0].span_id));
    let shown = daemon.get(&format!("/v0/show/{}", found[0].span_id.as_ref().unwrap())).await;
    assert_eq!(shown["span"]["kind"], "llm", "{shown}");
    daemon.stop().await;
}
