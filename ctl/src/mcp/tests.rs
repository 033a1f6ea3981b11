//! The server as a whole, against a fake daemon.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tools::TOOLS;
use super::*;
use crate::testing::{Home, Reply};

/// The answers to some requests, by their order.
fn asked(home: &Home, requests: &[Value]) -> Vec<Value> {
    let lines = requests.iter().fold(String::new(), |lines, request| lines + &format!("{request}\n"));
    let (mut out, text, _) = Printer::captured(80);
    serve(&home.env(), &mut out, &mut lines.as_bytes()).unwrap();
    text.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn call(home: &Home, name: &str, arguments: &Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    let mut answers =
        asked(home, &[json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})]);
    answers.remove(0)["result"].take()
}

#[test]
fn every_tool_asks_the_question_of_its_command() {
    let home = Home::new();
    let daemon = home.daemon(|request| {
        let key = request.uri().path().rsplit('/').next().unwrap();
        let key = match key {
            "usage" => "rows",
            "search" => "hits",
            key => key,
        };
        Reply::json(json!({"schema_version": 1, key: [], "kind": "span"}).to_string())
    });
    let everything = |tool: &str| {
        json!({
            "project": "p q", "session": "5f", "since": "12h", "until": "today", "limit": 4, "turn": "t",
            "kind": if tool == "detections" { "loop" } else { "llm" },
            "status": "error", "tool": "Bash", "content": true, "id": "../x", "reasoning": true, "period": "weekly",
            "by": ["model", "tool"], "max_bytes": 500, "q": "a \"b c\"", "regex": true, "raw": true, "cursor": "1-2-3",
        })
    };
    for tool in TOOLS {
        let takes = |name: &str| tool.params.iter().any(|param| param.name == name);
        let given = everything(tool.name);
        let given = given.as_object().unwrap().iter().filter(|(name, _)| takes(name));
        let given: Value = given.map(|(name, value)| (name.clone(), value.clone())).collect();
        assert_eq!(call(&home, tool.name, &given)["isError"], false, "{}", tool.name);
        let least = match tool.name {
            "show" => json!({"id": "x"}),
            "search" => json!({"q": "x"}),
            _ => json!({}),
        };
        assert_eq!(call(&home, tool.name, &least)["isError"], false, "{}", tool.name);
    }
    // Times are those of the call: the fake clock is half a day on from the moment of the start.
    let range = "since=2026-11-20T20%3A00%3A00Z&until=2026-11-22T00%3A00%3A00Z&session=5f&project=p%20q";
    assert_eq!(
        daemon.requests(),
        [
            format!("GET /v0/sessions?{range}&limit=5"),
            "GET /v0/sessions?limit=21".into(),
            format!("GET /v0/turns?{range}&limit=5"),
            "GET /v0/turns?limit=21".into(),
            format!("GET /v0/spans?{range}&limit=5&turn=t&kind=llm&status=error&tool=Bash&content=1"),
            "GET /v0/spans?limit=21".into(),
            format!("GET /v0/detections?{range}&limit=5&kind=loop"),
            "GET /v0/detections?limit=21".into(),
            format!(
                "GET /v0/search?{range}&limit=4&q=a%20%22b%20c%22&regex=1&raw=1&kind=llm&status=error&tool=Bash&cursor=1-2-3"
            ),
            "GET /v0/search?limit=20&q=x".into(),
            "GET /v0/show/..%2Fx?content=1&reasoning=1".into(),
            "GET /v0/show/x?content=1".into(),
            format!("GET /v0/exchanges?{range}&limit=5"),
            "GET /v0/exchanges?limit=21".into(),
            format!("GET /v0/usage?{range}&period=weekly&by=model%2Ctool&tz=UTC"),
            "GET /v0/usage?tz=UTC".into(),
        ]
    );
}

#[test]
fn a_list_with_more_than_was_asked_for_says_how_to_go_on() {
    let home = Home::new();
    let _daemon = home.daemon(|request| {
        let key = request.uri().path().rsplit('/').next().unwrap();
        let rows: Vec<_> =
            (0..3).map(|n| json!({"n": n, "started_at": format!("2026-11-20T00:00:0{n}Z")})).collect();
        Reply::json(json!({"schema_version": 1, key: rows}).to_string())
    });
    let turns = call(&home, "turns", &json!({"limit": 2}))["structuredContent"].take();
    assert_eq!(turns["turns"].as_array().unwrap().len(), 2);
    assert_eq!(
        turns["cut"],
        json!(["older ones are left out: until=2026-11-20T00:00:01Z goes on from here"])
    );
    let spans = call(&home, "spans", &json!({"limit": 2}))["structuredContent"].take();
    assert_eq!(spans["spans"][0]["n"], 1, "the newest stand last");
    let all = call(&home, "spans", &json!({"limit": 3}))["structuredContent"].take();
    assert_eq!((all["spans"].as_array().unwrap().len(), all.get("cut")), (3, None));
    let refused = call(&home, "usage", &json!({}));
    assert_eq!(refused["isError"], true, "a reply without rows is none: {refused}");
}

#[test]
fn wrong_arguments_and_a_daemon_that_is_away_are_told_and_the_server_stays() {
    let home = Home::new();
    let name = |name: &str, arguments: Value| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}});
    let answers = asked(
        &home,
        &[
            name("sessions", json!({})),
            name("show", json!({})),
            name("turns", json!({"limit": 0})),
            name("turns", json!({"since": "soon"})),
            name("spans", json!({"kind": "magic"})),
            name("usage", json!({"by": ["model", "colour"]})),
            name("spans", json!({"content": "yes"})),
            json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}),
        ],
    );
    for (answer, wanted) in answers.iter().zip([
        "the daemon is not running\nhint: start it with `ccctl start`",
        "`show` needs `id`",
        "`limit` must be a number from 1 to 200",
        "since: `soon` is no point in time",
        "`kind` must be one of agent, llm, tool",
        "`by` must be an array of model, tool, project, agent",
        "`content` must be true or false",
    ]) {
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(answers[7], json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
}

#[test]
fn the_words_of_an_exchange_leave_its_stream_of_events_out() {
    let home = Home::new();
    let _daemon = home.daemon(|_| {
        Reply::json(r#"{"schema_version":1,"kind":"exchange","exchange":{"events":[{"event":"x"}],"http":["1","2"]}}"#)
    });
    let shown = call(&home, "show", &json!({"id": "x"}));
    assert_eq!(shown["structuredContent"]["exchange"], json!({"http": ["1", "2"]}));
}

#[test]
fn a_reply_that_is_too_long_is_not_held() {
    let home = Home::new();
    let _daemon = home.daemon(|_| {
        Reply::json(json!({"schema_version": 1, "spans": [{"input": "x".repeat(1 << 20)}]}).to_string())
    });
    let refused = call(&home, "spans", &json!({"content": true}));
    assert_eq!(refused["isError"], true, "{refused}");
    assert!(refused["content"][0]["text"].as_str().unwrap().contains("leave content out"), "{refused}");
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_is_read() {
    let mut input = vec![b' '; MAX_LINE + 1];
    input.extend_from_slice(b"\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
    let (mut out, text, _) = Printer::captured(80);
    serve(&Home::new().env(), &mut out, &mut input.as_slice()).unwrap();
    let text = text.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!((&lines[0]["error"]["code"], &lines[1]["result"]), (&json!(-32600), &json!({})));
}

proptest! {
    #[test]
    fn lines_are_read_as_they_were_written(
        lines in proptest::collection::vec("[a-z\r]{0,20}", 0..8),
        buffer in 1usize..9,
    ) {
        let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
        let mut input = io::BufReader::with_capacity(buffer, text.as_bytes());
        for line in &lines {
            let wanted = if line.len() > 10 { Line::TooLong } else { Line::Whole(line.clone().into_bytes()) };
            prop_assert_eq!(read_line(&mut input, 10).unwrap(), wanted);
        }
        prop_assert_eq!(read_line(&mut input, 10).unwrap(), Line::End);
    }
}
