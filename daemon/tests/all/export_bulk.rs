//! Exports of everything recorded: what stands in them is documented and agrees with what the daemon answers otherwise,
//! nothing leaves that should not, and one that was interrupted goes on as if it had not been.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;

use ccd_proto::api::{EXPORT_SCHEMA, ExportEnd, ExportFrame};
use ccd_proto::frame::Status;
use serde_json::{Value, json};

use crate::common::{Daemon, home};
use crate::export::{HOSTILE, NOW, SESSION, fetch, kinds, told, upstream};

async fn whole(daemon: &Daemon, request: &str) -> String {
    let (head, body) = fetch(daemon, request).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head} {body}");
    body
}

fn lines(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// That every member of a value is in the schema, however deep, as far as the schema says what is in it.
fn assert_documented(schema: &Value, of: &Value, value: &Value, place: &str) {
    if let Some(name) = of["$ref"].as_str() {
        return assert_documented(schema, schema.pointer(&name[1..]).unwrap(), value, place);
    }
    for one in ["allOf", "anyOf"].iter().filter_map(|all| of[*all].get(0)) {
        if !value.is_null() {
            assert_documented(schema, one, value, place);
        }
    }
    match (value, of["properties"].as_object()) {
        (Value::Object(members), Some(known)) => {
            for (name, member) in members {
                let of = known.get(name).unwrap_or_else(|| panic!("{place}/{name} is in no schema"));
                assert_documented(schema, of, member, &format!("{place}/{name}"));
            }
        }
        (Value::Array(list), _) => {
            for one in list {
                assert_documented(schema, &of["items"], one, place);
            }
        }
        _ => {}
    }
}

fn tokens(of: &Value) -> u64 {
    of["tokens"].as_object().map_or(0, |all| all.values().filter_map(Value::as_u64).sum())
}

/// The cells of a table, by row and column.
fn table(csv: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_documented_and_their_sums_are_those_of_usage() {
    let home = home();
    let daemon = told(home.path()).await;
    let schema: Value = serde_json::from_str(EXPORT_SCHEMA).unwrap();
    let usage = daemon.get("/v0/usage?period=total").await["totals"].clone();
    let all = "session,turn,span,exchange,detection,intervention,record";
    for content in ["none", "text", "full"] {
        let file = whole(&daemon, &format!("GET /v0/export?content={content}&kinds={all}")).await;
        let lines = lines(&file);
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for line in &lines {
            let kind = line["type"].as_str().unwrap();
            *counts.entry(kind).or_default() += 1;
            assert_documented(&schema, &schema["definitions"][kind], line, kind);
            assert_eq!(line["schema_version"], 1);
        }
        assert_eq!((&lines[0]["type"], &lines[0]["content"]), (&json!("header"), &json!(content)));
        let trailer = lines.last().unwrap();
        assert_eq!((&trailer["type"], &trailer["complete"]), (&json!("trailer"), &json!(true)));
        for kind in all.split(',') {
            assert_eq!(trailer["counts"][kind].as_u64(), counts.get(kind).copied(), "{kind}");
            assert!(counts.contains_key(kind), "one of each: {kind}");
        }
        let sum = |kind: &str, only: &dyn Fn(&Value) -> bool| {
            let of = lines.iter().filter(|line| line["type"] == kind && only(line));
            of.fold((0, 0), |(all, cost), line| {
                (all + tokens(line), cost + line["cost_usd_micros"].as_i64().unwrap_or(0))
            })
        };
        let want = (tokens(&usage), usage["cost_usd_micros"].as_i64().unwrap());
        assert_eq!(want.0, 1590);
        for got in [
            sum("session", &|_| true),
            sum("turn", &|_| true),
            sum("exchange", &|_| true),
            sum("span", &|span| span["kind"] == "llm"),
        ] {
            assert_eq!(got, want, "{content}");
        }
        // What was captured is in it as far as was asked, and nobody's name.
        assert_eq!(file.contains("Fix it in"), content != "none");
        assert_eq!(file.contains("unmatched"), content != "none");
        assert_eq!(file.contains("\"request_body\""), content == "full");
        assert!(!file.contains("ann/") && !file.contains("/bob"), "{content}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_have_one_type_per_column_and_the_same_sums() {
    let home = home();
    let daemon = told(home.path()).await;
    let usage = daemon.get("/v0/usage?period=total").await["totals"].clone();
    let lines = lines(&whole(&daemon, "GET /v0/export").await);
    for (name, kind) in [
        ("sessions", "session"),
        ("turns", "turn"),
        ("spans", "span"),
        ("exchanges", "exchange"),
        ("detections", "detection"),
        ("usage", ""),
    ] {
        let file = whole(&daemon, &format!("GET /v0/export?format=csv&table={name}")).await;
        let rows = table(&file);
        let count = lines.iter().filter(|line| line["type"] == kind).count();
        assert!(rows.len() == count || kind.is_empty(), "{name}");
        assert_eq!(file.matches("\r\n").count(), rows.len() + 1, "{name}: a row is a line");
        for row in &rows {
            for (column, cell) in row {
                let figure =
                    column.ends_with("_ms") || column.ends_with("_micros") || column.ends_with("_tokens");
                assert!(!figure || cell.is_empty() || cell.parse::<f64>().is_ok(), "{column}: {cell}");
                assert!(figure || !cell.starts_with(['=', '+', '-', '@']), "{column}: {cell}");
                assert!(!cell.chars().any(char::is_control) && !cell.contains('\u{202e}'), "{column}");
            }
        }
        if name == "detections" {
            continue;
        }
        let counted = rows.iter().filter(|row| row.get("kind").is_none_or(|kind| kind == "llm"));
        let sum: u64 = counted
            .flat_map(|row| row.iter().filter(|(column, _)| column.ends_with("_tokens")))
            .map(|(_, cell)| cell.parse().unwrap_or(0))
            .sum();
        assert_eq!(sum, tokens(&usage), "{name}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_has_requests_and_answers_as_they_read() {
    let home = home();
    let daemon = told(home.path()).await;
    let har: Value = serde_json::from_str(&whole(&daemon, "GET /v0/export?format=har").await).unwrap();
    let log = &har["log"];
    assert_eq!((&log["version"], &log["creator"]["name"]), (&json!("1.2"), &json!("ccd")));
    let [entry] = log["entries"].as_array().unwrap().as_slice() else { panic!("one exchange") };
    assert_eq!((&entry["pageref"], &log["pages"][0]["id"]), (&json!(SESSION), &json!(SESSION)));
    assert_eq!(entry["serverIPAddress"], "127.0.0.1");
    let sent: Value = serde_json::from_str(entry["request"]["postData"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        sent["messages"][0]["content"][0]["text"],
        format!("<system-reminder>{}</system-reminder>", HOSTILE.join("\n"))
    );
    let got: Value = serde_json::from_str(entry["response"]["content"]["text"].as_str().unwrap()).unwrap();
    assert!(got["content"][2]["text"].as_str().unwrap().ends_with("in ~/shop and /Users/user/x"));
    assert_eq!((&entry["response"]["status"], &entry["_cost_usd_micros"].is_i64()), (&json!(200), &true));
    let parts = ["dns", "connect", "send", "wait", "receive"]
        .map(|name| entry["timings"][name].as_f64().unwrap().max(0.0));
    assert!((parts.iter().sum::<f64>() - entry["time"].as_f64().unwrap()).abs() < 0.01, "{entry}");
    // The key that the request was sent with was never kept.
    assert!(!har.to_string().contains("canary-key"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_out_comes_with_post_alone() {
    let home = home();
    let daemon = told(home.path()).await;
    for format in ["jsonl&content=full", "har", "csv"] {
        let target = format!("/v0/export?format={format}&reveal=1");
        let (head, body) = fetch(&daemon, &format!("GET {target}")).await;
        assert!(head.starts_with("HTTP/1.0 403") && body.contains("--reveal"), "{head} {body}");
        let file = whole(&daemon, &format!("POST {target}")).await;
        assert!(file.contains("/home/ann/shop"), "{format}");
        let (head, _) = fetch(&daemon, &format!("GET /v0/export?format={format}")).await;
        assert!(head.contains("content-disposition: attachment; filename=\"ccd-export-20"), "{head}");
    }
    for (query, words) in [("format=xml", "jsonl"), ("sesion=x", "sesion"), ("session=nowhere", "no session")]
    {
        let (head, body) = fetch(&daemon, &format!("GET /v0/export?{query}")).await;
        assert!(head.starts_with("HTTP/1.0 4") && body.contains(words), "{head} {body}");
    }
    // Nothing there is no failure.
    let none = lines(&whole(&daemon, "GET /v0/export?until=2020-01-01T00:00:00Z").await);
    assert_eq!((none.len(), &none[1]["entries"], &none[1]["complete"]), (2, &json!(0), &json!(true)));
    daemon.stop().await;
}

/// Every kind of credential: in no form of the file.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_in_no_form() {
    let planted: Vec<String> =
        (0..).zip(kinds::KINDS).map(|(n, kind)| ccd_redact::sample::filled(kind.value, n)).collect();
    let named = planted.iter().zip(kinds::KINDS);
    let text: String =
        named.fold(String::new(), |text, (value, kind)| text + "export " + kind.name + "=" + value + "\n");
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-8", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": text, "signature": "x"}, {"type": "text", "text": text}],
        "usage": {"input_tokens": 1, "output_tokens": 1}});
    let (home, up) = (home(), upstream(message).await);
    let daemon = Daemon::start(home.path(), &format!("http://{up}")).await;
    let hook = |name: &str, more: Value| {
        let mut event = json!({"session_id": SESSION, "hook_event_name": name, "prompt_id": "p1", "tool_use_id": "t1", "tool_name": "Bash"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let input = json!({"command": text});
    let events = [
        hook("UserPromptSubmit", json!({"prompt": text})),
        hook("PreToolUse", json!({"tool_input": input})),
        hook("PostToolUse", json!({"tool_input": input, "tool_response": {"stdout": text}})),
        hook("Stop", json!({"last_assistant_message": text})),
    ];
    for (n, event) in (1u64..).zip(&events) {
        assert_eq!(daemon.hook(NOW + n * 1_000_000_000, event).await, Status::Durable);
    }
    let body = json!({"model": "claude-opus-4-8", "messages": [{"role": "user", "content": text}]});
    assert_eq!(daemon.post("/v1/messages", SESSION, &body.to_string()).await.0, 200);
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 1, "captured");
    for query in [
        "content=full&kinds=session,turn,span,exchange,record",
        "format=har",
        "format=csv",
        "format=csv&table=turns",
        "format=otlp&content=full",
    ] {
        let file = whole(&daemon, &format!("GET /v0/export?{query}")).await;
        let escaped = |value: &str| json!(value).to_string().trim_matches('"').to_owned();
        let left: Vec<&str> = planted
            .iter()
            .zip(kinds::KINDS)
            .filter(|(value, _)| file.contains(value.as_str()) || file.contains(&escaped(value)))
            .map(|(_, kind)| kind.name)
            .collect();
        assert!(left.is_empty(), "{query}: {left:?}");
        assert!(file.contains("[redacted:"), "{query}");
    }
    daemon.stop().await;
}

/// The file in frames: each with what stands before it.
async fn framed(daemon: &Daemon, query: &str) -> Vec<(ExportFrame, String)> {
    let body = whole(daemon, &format!("GET /v0/export?{query}&framed=1")).await;
    let (mut frames, mut rest) = (Vec::new(), body.as_str());
    while let Some((line, behind)) = rest.split_once('\n') {
        let frame: ExportFrame = serde_json::from_str(line).unwrap();
        let (content, behind) = behind.split_at(usize::try_from(frame.bytes).unwrap());
        frames.push((frame, content.to_owned()));
        rest = behind;
    }
    assert!(rest.is_empty());
    frames
}

fn joined(frames: &[(ExportFrame, String)]) -> String {
    frames.iter().map(|(_, content)| content.as_str()).collect()
}

fn after(cursor: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("after", cursor).finish()
}

/// Sessions with much in them.
async fn much(daemon: &Daemon, sessions: std::ops::Range<u64>, at_ns: u64) {
    for s in sessions {
        for n in 0..6u64 {
            let (id, long) = (format!("t{s}{n}"), format!("{n} {}", "word ".repeat(20_000)));
            let event = |name: &str| {
                json!({"session_id": format!("{s}b{SESSION}"), "hook_event_name": name, "cwd": "/w", "prompt_id": format!("p{s}"), "tool_use_id": id,
                    "tool_name": "Read", "tool_input": {"file_path": "/w/a"}, "tool_response": {"content": long}})
            };
            let at_ns = at_ns + (s * 100 + n) * 1_000_000_000;
            assert_eq!(daemon.hook(at_ns, &event("PreToolUse")).await, Status::Durable);
            assert_eq!(daemon.hook(at_ns + 1, &event("PostToolUse")).await, Status::Durable);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_goes_on_even_in_the_next_daemon() {
    let home = home();
    let daemon = told(home.path()).await;
    much(&daemon, 1..4, NOW + 1_000_000_000_000).await;
    let mut places = Vec::new();
    for query in [
        "content=full&kinds=session,turn,span,exchange,detection,record",
        "format=har",
        "format=otlp&content=full",
    ] {
        let frames = framed(&daemon, query).await;
        let whole = joined(&frames);
        let end = frames.last().unwrap().0.end.clone().unwrap();
        assert!(end.complete && end.entries == frames.last().unwrap().0.entries);
        for (n, (frame, _)) in frames.iter().enumerate() {
            if let Some(cursor) = &frame.cursor {
                places.push((query, cursor.clone(), joined(&frames[..=n]), whole.clone(), end.clone()));
            }
        }
    }
    assert!(places.len() > 6, "{}", places.len());
    daemon.stop().await;

    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    for (query, cursor, head, whole, end) in &places {
        let rest = framed(&daemon, &format!("{query}&{}", after(cursor))).await;
        assert_eq!(head.len() + joined(&rest).len(), whole.len());
        assert!(*whole == format!("{head}{}", joined(&rest)), "{query} {cursor}");
        assert_eq!(rest.last().unwrap().0.end.as_ref(), Some(end));
    }

    // What comes behind a place is added; what comes before it is told of.
    much(&daemon, 5..6, NOW + 1_000_000_000_000).await;
    let (query, cursor, head, ..) = &places[0];
    let rest = framed(&daemon, &format!("{query}&{}", after(cursor))).await;
    let all = lines(&format!("{head}{}", joined(&rest)));
    let spans = all.iter().filter(|line| line["type"] == "span");
    let ids: Vec<&str> = spans.filter_map(|line| line["span_id"].as_str()).collect();
    let once: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(once.len(), ids.len(), "none is there twice");
    let ExportEnd { counts, .. } = rest.last().unwrap().0.end.clone().unwrap();
    assert_eq!(counts["session"], 5);
    much(&daemon, 0..1, NOW - 1_000_000_000_000).await;
    let (head, body) = fetch(&daemon, &format!("GET /v0/export?{query}&framed=1&{}", after(cursor))).await;
    assert!(head.starts_with("HTTP/1.0 409") && body.contains("\"changed\""), "{head} {body}");
    let (head, body) = fetch(&daemon, &format!("GET /v0/export?format=csv&{}", after(cursor))).await;
    assert!(head.starts_with("HTTP/1.0 400") && body.contains("another export"), "{head} {body}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_lines_with_every_parent_and_content_where_it_is_asked_for() {
    let home = home();
    let daemon = told(home.path()).await;
    for (query, has_prompt) in [("", false), ("&content=text", true), ("&content=full", true)] {
        let file = whole(&daemon, &format!("GET /v0/export?format=otlp{query}")).await;
        let lines = lines(&file);
        assert_eq!(lines.len(), 1, "one turn is one trace is one line");
        let spans = lines[0]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let ids: Vec<&str> = spans.iter().filter_map(|span| span["spanId"].as_str()).collect();
        for span in spans {
            let parent = span["parentSpanId"].as_str().unwrap_or_default();
            assert!(parent.is_empty() || ids.contains(&parent), "{span}");
        }
        assert!(spans.len() > 15, "{}", spans.len());
        assert_eq!(file.contains("Fix it in"), has_prompt, "{query}");
        assert!(!file.contains("ann/") && !file.contains("/bob"), "{query}");
    }
    daemon.stop().await;
}
