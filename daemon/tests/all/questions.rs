//! What stands behind a span: records, changes between requests, files and tools' times, asked of a running daemon.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::net::SocketAddr;
use std::path::Path;

use crate::common::{Daemon, home};
use ccd::clock::{Clock as _, SystemClock};
use ccd::query::Ask;
use ccd_proto::frame::Status;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

const DEAD: &str = "http://127.0.0.1:9";
const SESSION: &str = "c4aea1f3-66f1-45dc-b211-c365079e7020";
const SECOND: u64 = 1_000_000_000;

/// An upstream that answers each request with the next of these messages; their request ids are `req_1`, `req_2`, ….
async fn upstream(messages: Vec<Value>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for (n, message) in (1..).zip(messages) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // These requests are small; they end where the length says.
            loop {
                let mut piece = vec![0; 64 << 10];
                let read = stream.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if read == 0 || body.len() >= length.map_or(0, |n| n.trim().parse().unwrap()) {
                    break;
                }
            }
            let body = message.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_{n}\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    address
}

fn message(n: u64, content: &Value) -> Value {
    json!({"type":"message","id":format!("msg_{n}"),"role":"assistant","model":"mystery-1","content":content,
        "stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":9}})
}

fn event(name: &str, more: &Value) -> Value {
    let mut body = json!({"session_id":SESSION,"hook_event_name":name,"cwd":"/w","prompt_id":"p-1"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn call(id: &str, tool: &str, input: &Value, response: &Value, ran_ms: u64) -> Value {
    json!({"tool_use_id":id,"tool_name":tool,"tool_input":input,"tool_response":response,"duration_ms":ran_ms})
}

/// Hands events in, a second apart.
async fn hooks(daemon: &Daemon, events: &[Value]) {
    let begin = SystemClock.now_ns() - 600 * SECOND;
    for (n, event) in (0..).zip(events) {
        assert_eq!(daemon.hook(begin + n * SECOND, event).await, Status::Durable);
    }
}

/// Takes a transcript's lines in.
async fn import(daemon: &Daemon, home: &Path, lines: &str) {
    let file = home.join(format!("{SESSION}.jsonl"));
    std::fs::write(&file, lines).unwrap();
    let done = daemon.operate(&format!("/v0/import?path={}", file.display())).await.unwrap();
    assert_eq!(done["new_files"], 1, "{done}");
}

/// The bytes of an answer.
async fn raw(daemon: &Daemon, path: &str) -> String {
    let mut stream = UnixStream::connect(daemon.app.layout.control_socket()).await.unwrap();
    let text = format!("GET {path} HTTP/1.1\r\nHost: ccd\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

async fn refused(daemon: &Daemon, path: &str) -> (u16, String) {
    let (status, body) = daemon.api(&format!("GET {path}")).await;
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

/// Source, kind and join of each record.
fn told(records: &Value) -> Vec<String> {
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let each = records["records"].as_array().unwrap().iter();
    let mut all: Vec<String> = each
        .map(|r| ["source", "kind", "joined_by", "join_key"].map(|name| text(r, name)).join(" "))
        .collect();
    all.sort();
    all
}

async fn records_of(daemon: &Daemon, id: &str) -> Vec<String> {
    told(&daemon.get(&format!("/v0/spans/{id}/records")).await)
}

/// One turn: a model call asks for a tool call, the next one has its result; all three sources tell of it.
async fn one_turn(home: &Path) -> Daemon {
    let asks = json!([{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}]);
    let api = upstream(vec![message(1, &asks), message(2, &json!([{"type":"text","text":"done"}]))]).await;
    let daemon = Daemon::start(home, &format!("http://{api}")).await;
    let call = call("toolu_1", "Bash", &json!({"command":"ls"}), &json!({"stdout":"a"}), 7);
    let batch = json!({"tool_calls":[{"tool_use_id":"toolu_1","tool_name":"Bash","tool_response":"a"}]});
    hooks(
        &daemon,
        &[
            event("UserPromptSubmit", &json!({"prompt":"list toolu_1"})),
            event("PreToolUse", &call),
            event("PermissionRequest", &json!({"tool_name":"Bash"})),
            event("PostToolUse", &call),
            event("PostToolBatch", &batch),
            event("Stop", &json!({"last_assistant_message":"done"})),
        ],
    )
    .await;
    let lines = [
        r#"{"type":"user","uuid":"u1","promptId":"p-1","zeta":1.50,"alpha":"\u0041","timestamp":"2026-01-02T10:00:00.000Z","message":{"role":"user","content":"list toolu_1"}}"#,
        r#"{"type":"assistant","uuid":"u2","requestId":"req_1","timestamp":"2026-01-02T10:00:01.000Z","message":{"id":"msg_1","role":"assistant","model":"mystery-1","content":[{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}],"stop_reason":"tool_use","usage":{"input_tokens":10,"output_tokens":9}}}"#,
        r#"{"type":"user","uuid":"u3","promptId":"p-1","timestamp":"2026-01-02T10:00:02.000Z","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"a"}]}}"#,
        r#"{"type":"assistant","uuid":"u4","timestamp":"2026-01-02T10:00:03.000Z","message":{"id":"msg_9","role":"assistant","model":"mystery-1","content":[{"type":"text","text":"beside the proxy"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}}"#,
    ];
    import(&daemon, home, &(lines.join("\n") + "\n")).await;
    for n in 0..2 {
        let mut messages = vec![json!({"role":"user","content":"list toolu_1"})];
        if n == 1 {
            messages.push(json!({"role":"assistant","content":asks}));
            messages.push(json!({"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"a"}]}));
        }
        let body = json!({"model":"mystery-1","tools":[{"name":"Bash"},{"name":"Read"}],"messages":messages});
        assert_eq!(daemon.post("/v1/messages", SESSION, &body.to_string()).await.0, 200);
        assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == n + 1, "captured");
    }
    daemon
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_span_are_those_that_share_its_ids() {
    let home = home();
    let daemon = one_turn(home.path()).await;
    let tool = [
        "hook PostToolBatch tool_use_id toolu_1",
        "hook PostToolUse tool_use_id toolu_1",
        "hook PreToolUse tool_use_id toolu_1",
        "proxy exchange tool_use_id toolu_1",
        "proxy exchange tool_use_id toolu_1",
        "transcript assistant tool_use_id toolu_1",
        "transcript user tool_use_id toolu_1",
    ];
    assert_eq!(records_of(&daemon, "toolu_1").await, tool);
    let turn = [
        "hook PermissionRequest prompt_id p-1",
        "hook Stop prompt_id p-1",
        "hook UserPromptSubmit prompt_id p-1",
        "transcript user prompt_id p-1",
    ]
    .map(str::to_owned);
    assert_eq!(records_of(&daemon, "p-1").await, turn);

    let spans = daemon.get("/v0/spans?limit=0").await;
    let spans = spans["spans"].as_array().unwrap();
    let of = |wanted: &dyn Fn(&Value) -> bool| {
        spans.iter().find(|s| wanted(s)).unwrap()["span_id"].as_str().unwrap().to_owned()
    };
    let root = of(&|s| s["kind"] == "agent");
    assert_eq!(records_of(&daemon, &root).await, turn);
    let asking = of(&|s| s["kind"] == "llm" && s["summary"].as_str().unwrap().contains("Bash"));
    assert_eq!(
        records_of(&daemon, &asking).await,
        ["proxy exchange request_id req_1", "transcript assistant request_id req_1"]
    );
    let beside = of(&|s| s["kind"] == "llm" && s["exchange_id"].is_null());
    assert_eq!(records_of(&daemon, &beside).await, ["transcript assistant message_id msg_9"]);
    assert_eq!(refused(&daemon, "/v0/spans/nothing/records").await, (404, "not_found".into()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_shown_as_it_came_or_says_why_not() {
    let home = home();
    let daemon = one_turn(home.path()).await;
    let records = daemon.get("/v0/spans/p-1/records").await;
    let id_of = |source: &str| {
        let all = records["records"].as_array().unwrap();
        let record = all.iter().find(|r| r["source"] == source).unwrap();
        record["record_id"].as_str().unwrap().to_owned()
    };
    let line = id_of("transcript");
    let text = raw(&daemon, &format!("/v0/records/{line}")).await;
    let exact = r#""payload":{"type":"user","uuid":"u1","promptId":"p-1","zeta":1.50,"alpha":"\u0041","#;
    assert!(text.contains(exact), "neither parsed nor put in order: {text}");
    let hook = daemon.get(&format!("/v0/records/{}", id_of("hook"))).await;
    assert_eq!((&hook["payload"]["session_id"], &hook["text"]), (&json!(SESSION), &Value::Null));
    assert_eq!(hook["record"]["source"], "hook");
    let exchange =
        daemon.get("/v0/exchanges").await["exchanges"][0]["exchange_id"].as_str().unwrap().to_owned();
    let shown = daemon.get(&format!("/v0/records/{}", exchange.replace('-', ""))).await;
    assert_eq!(shown["record"]["exchange_id"], json!(exchange));
    assert_eq!(shown["payload"]["message"]["id"], "msg_2");

    let (whole, _) = line.split_once('.').unwrap();
    for (id, want) in [
        ("nonsense", (400, "bad_request")),
        ("00000000000000000000000000000000", (404, "not_found")),
        (&format!("{whole}.3"), (404, "not_found")),
        (&format!("{whole}.99999999"), (404, "not_found")),
        (&format!("{}.0", id_of("hook")), (404, "not_found")),
    ] {
        let (status, code) = refused(&daemon, &format!("/v0/records/{id}")).await;
        assert_eq!((status, code.as_str()), want, "{id}");
    }

    // The last record of the journal is the newest exchange's.
    let journal = daemon.app.layout.store_dir().join("v1/journal/00000001.log");
    let mut bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 2] ^= 0x55;
    std::fs::write(&journal, bytes).unwrap();
    // Nothing of it is held ready any more.
    daemon.app.shared.live.clear();
    let ask = Ask::new(&daemon.app.shared, daemon.app.clock.now_ns()).await.unwrap();
    ask.reader.rest();
    let (status, code) = refused(&daemon, &format!("/v0/records/{}", exchange.replace('-', ""))).await;
    assert_eq!((status, code.as_str()), (410, "damaged"));
    assert_eq!(records_of(&daemon, "p-1").await.len(), 4, "the rest is told of");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requests_changes_are_those_since_the_one_before_of_its_conversation() {
    let home = home();
    let text = |n: u64| message(n, &json!([{"type":"text","text":"ok"}]));
    let api = upstream((1..=6).map(text).collect()).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    let marked =
        json!({"role":"user","content":[{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]});
    let plain = json!({"role":"user","content":"go"});
    let said = json!({"role":"assistant","content":[{"type":"text","text":"ok"}]});
    let more = json!({"role":"user","content":"more"});
    let tools = json!([{"name":"Bash"},{"name":"Read"}]);
    let requests = [
        (SESSION, json!({"model":"m","max_tokens":9,"tools":tools,"messages":[marked]}).to_string()),
        // Beside the conversation: not of its purpose, and not of its session.
        (
            SESSION,
            json!({"model":"m","system":"Make a session title","messages":[{"role":"user","content":"x"}]})
                .to_string(),
        ),
        (
            "another",
            json!({"model":"m","tools":tools,"messages":[{"role":"user","content":"y"}]}).to_string(),
        ),
        (
            SESSION,
            json!({"model":"m","max_tokens":8,"tools":tools,"messages":[plain, said, more]}).to_string(),
        ),
        (SESSION, "nonsense".to_owned()),
        ("another", String::new()),
    ];
    let mut ids: Vec<String> = Vec::new();
    for (n, (session, body)) in (1..).zip(&requests) {
        assert_eq!(daemon.post("/v1/messages", session, body).await.0, 200);
        assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == n, "captured");
        let newest = daemon.get("/v0/exchanges?limit=1").await["exchanges"][0]["exchange_id"].clone();
        ids.push(newest.as_str().unwrap().to_owned());
    }
    let changes = daemon.get(&format!("/v0/exchanges/{}/changes", ids[3])).await;
    assert_eq!((&changes["previous"], &changes["kept_messages"]), (&json!(ids[0]), &json!(1)), "{changes}");
    assert_eq!((&changes["added"], &changes["dropped"]), (&json!([said, more]), &json!([])));
    assert_eq!(changes["settings"], json!([{"name":"max_tokens","what":"changed","before":9,"after":8}]));
    assert_eq!((&changes["cache_broken"], &changes["tools"]), (&json!(false), &json!([])));
    for first in [0, 1, 2] {
        let changes = daemon.get(&format!("/v0/exchanges/{}/changes", ids[first])).await;
        assert_eq!((&changes["previous"], &changes["cache_broken"]), (&Value::Null, &json!(false)));
        assert_eq!(changes["added"].as_array().unwrap().len(), 1);
    }
    for id in [&ids[4], &ids[5]] {
        assert_eq!(refused(&daemon, &format!("/v0/exchanges/{id}/changes")).await, (422, "not_json".into()));
    }
    assert_eq!(refused(&daemon, "/v0/exchanges/0000/changes").await, (404, "not_found".into()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_what_the_edits_made_of_them() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let write = |id: &str, path: &str, content: &str| {
        let response = json!({"type":"create","filePath":path,"content":content,"structuredPatch":[],"originalFile":null});
        call(id, "Write", &json!({"file_path":path,"content":content}), &response, 10)
    };
    let edit = |id: &str, path: &str, old: &str, new: &str, original: &str| {
        let response = json!({"filePath":path,"oldString":old,"newString":new,"originalFile":original,"structuredPatch":[]});
        call(id, "Edit", &json!({"file_path":path,"old_string":old,"new_string":new}), &response, 400)
    };
    let in_agent = |mut event: Value| {
        event["agent_id"] = json!("a1");
        event
    };
    let failed = json!({"tool_use_id":"toolu_5","tool_name":"Edit","tool_input":{"file_path":"/w/b"},"error":"no such text"});
    let one = write("toolu_1", "/w/a", "one\n");
    let two = edit("toolu_2", "/w/a", "one", "two\nthree", "one\n");
    let three = edit("toolu_3", "/w/b", "x", "X", "x\ny\n");
    let four = edit("toolu_4", "/w/b", "y", "Y", "x formatted\ny\n");
    hooks(
        &daemon,
        &[
            event("UserPromptSubmit", &json!({"prompt":"go"})),
            event("PreToolUse", &one),
            event("PostToolUse", &one),
            in_agent(event("PreToolUse", &two)),
            in_agent(event("PostToolUse", &two)),
            event("PreToolUse", &three),
            event("PostToolUse", &three),
            event("PreToolUse", &four),
            event("PostToolUse", &four),
            event("PreToolUse", &failed),
            event("PostToolUseFailure", &failed),
        ],
    )
    .await;
    let found = daemon.get("/v0/files?session=c4ae").await;
    assert_eq!(found["session_id"], SESSION);
    let brief = |file: &Value| {
        let of = |name: &str| file[name].clone();
        json!([of("path"), of("edits"), of("added"), of("removed"), of("exact"), of("created"), of("after")])
    };
    let files: Vec<Value> = found["files"].as_array().unwrap().iter().map(brief).collect();
    assert_eq!(
        files,
        [json!(["/w/a", 2, 2, 0, true, true, null]), json!(["/w/b", 2, 2, 2, false, false, null])],
        "{found}"
    );
    let one = daemon.get(&format!("/v0/files?session={SESSION}&path=%2Fw%2Fa&content=1")).await;
    let file = &one["files"][0];
    assert_eq!(one["files"].as_array().unwrap().len(), 1);
    assert_eq!((&file["before"], &file["after"]), (&Value::Null, &json!("two\nthree\n")));
    let span = daemon.get("/v0/show/toolu_2").await["span"]["span_id"].clone();
    assert_eq!(file["spans"][1], span, "a subagent's edit, too");
    assert_eq!(refused(&daemon, "/v0/files").await, (400, "bad_request".into()));
    assert_eq!(refused(&daemon, "/v0/files?session=nobody").await, (404, "not_found".into()));

    let times = daemon.get("/v0/tools").await;
    assert_eq!((&times["sessions"], &times["left_out"]), (&json!(1), &json!(0)));
    let brief = |tool: &Value| {
        let of = |name: &str| tool[name].clone();
        json!([of("tool"), of("calls"), of("errors"), of("p50_ms"), of("max_ms")])
    };
    let tools: Vec<Value> = times["tools"].as_array().unwrap().iter().map(brief).collect();
    // What failed tells no time of its own: it is from its call to its end.
    assert_eq!(tools, [json!(["Edit", 4, 1, 400, 1000]), json!(["Write", 1, 0, 10, 10])]);
    assert_eq!(times["tools"][0]["slowest_session_id"], SESSION);
    let none = daemon.get("/v0/tools?until=2020-01-01T00%3A00%3A00Z").await;
    assert_eq!((&none["tools"], &none["sessions"]), (&json!([]), &json!(0)));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_transcript_are_known_by_its_own_answers() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let mut lines = String::new();
    let mut n = 0;
    let mut push = |mut line: Value| {
        n += 1;
        line["timestamp"] = json!(format!("2026-01-02T10:00:{n:02}.000Z"));
        line["uuid"] = json!(format!("u{n}"));
        lines += &(line.to_string() + "\n");
    };
    push(json!({"type":"user","promptId":"p-1","message":{"role":"user","content":"go"}}));
    for (id, tool, input, result) in [
        (
            "toolu_1",
            "Write",
            json!({"file_path":"/w/a","content":"one\n"}),
            json!({"type":"create","filePath":"/w/a","content":"one\n","structuredPatch":[],"originalFile":null}),
        ),
        (
            "toolu_2",
            "Edit",
            json!({"file_path":"/w/a","old_string":"one","new_string":"two"}),
            // The original is not kept here.
            json!({"filePath":"/w/a","oldString":"one","newString":"two","originalFile":"",
                "structuredPatch":[{"oldStart":1,"oldLines":1,"newStart":1,"newLines":1,"lines":["-one","+two"]}]}),
        ),
    ] {
        let asks = json!([{"type":"tool_use","id":id,"name":tool,"input":input}]);
        push(json!({"type":"assistant","requestId":format!("req_{id}"),"message":{"id":format!("msg_{id}"),
            "model":"mystery-1","content":asks,"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}}));
        push(json!({"type":"user","promptId":"p-1","toolUseResult":result,"message":{"role":"user",
            "content":[{"type":"tool_result","tool_use_id":id,"content":"done"}]}}));
    }
    import(&daemon, home.path(), &lines).await;
    let found = daemon.get(&format!("/v0/files?session={SESSION}&content=1")).await;
    let file = &found["files"][0];
    assert_eq!(
        (&file["edits"], &file["added"], &file["removed"], &file["exact"], &file["created"], &file["after"]),
        (&json!(2), &json!(2), &json!(1), &json!(false), &json!(true), &json!("two\n")),
        "{found}"
    );
    daemon.stop().await;
}
