//! Tests of the reader: the lines that both client versions write, and lines that nobody should.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ingest::record::Stored;
use crate::project::compactions::Trigger;
use crate::project::text::{text_hash, tool_summary};

const SESSION: &str = "c4aea1f3-66f1-45dc-b211-c365079e7020";

fn record(path: &str) -> TranscriptV2 {
    TranscriptV2 {
        path: path.as_bytes().to_vec(),
        part: TranscriptPart::Lines,
        device: 1,
        inode: 2,
        born_ns: 3,
        offset: 0,
        body: Stored::Inline(Vec::new()),
        in_file: None,
    }
}

fn bytes(lines: &[Value]) -> Vec<u8> {
    lines.iter().flat_map(|l| format!("{l}\n").into_bytes()).collect()
}

fn facts(lines: &[Value]) -> TranscriptFacts {
    read(&record(&format!("/p/{SESSION}.jsonl")), &bytes(lines)).unwrap()
}

fn extend(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}

fn line(kind: &str, more: Value) -> Value {
    let mut line = json!({"type":kind,"uuid":"u1","timestamp":"2026-11-20T18:15:10.387Z","cwd":"/home/user/project",
        "sessionId":"other","version":"2.1.329","gitBranch":"master","isSidechain":false});
    extend(&mut line, more);
    line
}

fn user(content: Value, more: Value) -> Value {
    let mut line = line("user", json!({"promptId":"p1","message":{"role":"user"}}));
    line["message"]["content"] = content;
    extend(&mut line, more);
    line
}

fn assistant(block: Value) -> Value {
    let mut line = line(
        "assistant",
        json!({"requestId":"req_1","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5-5",
            "content":[],"stop_reason":"tool_use","usage":{"input_tokens":12,"cache_creation_input_tokens":3400,
            "cache_read_input_tokens":15000,"output_tokens":42,"server_tool_use":{"web_search_requests":2},
            "service_tier":"standard","speed":"fast",
            "cache_creation":{"ephemeral_1h_input_tokens":400,"ephemeral_5m_input_tokens":3000}}}}),
    );
    line["message"]["content"] = Value::Array(vec![block]);
    line
}

fn only(facts: TranscriptFacts) -> LineKind {
    let [line] = <[LineFact; 1]>::try_from(facts.lines).unwrap();
    line.kind
}

fn answer(value: Value) -> Answer {
    match only(facts(&[value])) {
        LineKind::Answer(answer) => *answer,
        other => panic!("{other:?}"),
    }
}

fn prompt(value: Value) -> (PromptKind, String) {
    match only(facts(&[value])) {
        LineKind::Prompt(prompt) => (prompt.kind, prompt.preview),
        other => panic!("{other:?}"),
    }
}

fn result(value: Value) -> ToolResult {
    match only(facts(&[value])) {
        LineKind::Results(mut results) => results.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stretch_tells_whose_it_is() {
    let f = facts(&[user(json!("hi"), json!({})), json!({"type":"mode","mode":"normal","sessionId":"x"})]);
    assert_eq!((f.session_id.as_str(), &f.agent_id, f.count, f.unknown), (SESSION, &None, 2, 0));
    let ns = 1_795_198_510_387_000_000;
    assert_eq!((f.first_ns, f.last_ns), (ns, ns));
    assert_eq!(f.cwd, Some((ns, "/home/user/project".into())));
    assert_eq!(f.version, Some((ns, "2.1.329".into())));
    // Under another name, the lines tell.
    let body = bytes(&[user(json!("hi"), json!({}))]);
    assert_eq!(read(&record("/backup/copy.jsonl"), &body).unwrap().session_id, "other");
    assert_eq!(read(&record("/backup/copy.jsonl"), b"{}\n"), None);
}

#[test]
fn a_message_has_its_usage_on_each_line() {
    let thinking = answer(assistant(json!({"type":"thinking","thinking":"","signature":"x"})));
    let text = answer(assistant(json!({"type":"text","text":"Let me look."})));
    let tool = answer(assistant(json!({"type":"tool_use","id":"toolu_1","name":"Bash",
        "input":{"command":"ls -la","description":"List"}})));
    for a in [&thinking, &text, &tool] {
        assert_eq!((a.message_id.as_str(), a.request_id.as_deref()), ("msg_1", Some("req_1")));
        let expected =
            Tokens { input: 12, output: 42, cache_read: 15000, cache_write_5m: 3000, cache_write_1h: 400 };
        assert_eq!((a.tokens, a.web_searches), (Some(expected), 2));
        assert_eq!(
            (a.service_tier.as_str(), a.speed.as_str(), a.branch.as_str()),
            ("standard", "fast", "master")
        );
        assert_eq!(a.stop_reason.as_deref(), Some("tool_use"));
        assert!(a.bytes > 10);
    }
    assert_eq!((thinking.thinking, thinking.omitted), (1, 1));
    assert_eq!(text.text.as_deref(), Some("Let me look."));
    let [call] = &tool.tool_uses[..] else { panic!() };
    assert_eq!(
        (call.id.as_str(), call.name.as_str(), call.summary.as_deref()),
        ("toolu_1", "Bash", Some("ls -la"))
    );
    assert_eq!(call.bytes, json!({"command":"ls -la","description":"List"}).to_string().len() as u64);
}

#[test]
fn usage_without_the_split_was_written_for_five_minutes() {
    let mut value = assistant(json!({"type":"text","text":"x"}));
    value["message"]["usage"] = json!({"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":7});
    assert_eq!(answer(value.clone()).tokens.unwrap().cache_write_5m, 7);
    value["message"]["usage"] =
        json!({"input_tokens":-1,"output_tokens":"many","cache_read_input_tokens":u64::MAX});
    let tokens = answer(value.clone()).tokens.unwrap();
    assert_eq!((tokens.input, tokens.output, tokens.cache_read), (0, 0, 1 << 40));
    for none in [json!(null), json!([]), json!({"service_tier":"standard"})] {
        value["message"]["usage"] = none;
        assert_eq!(answer(value.clone()).tokens, None);
    }
}

#[test]
fn messages_without_ids_are_told_apart() {
    let mut value = assistant(json!({"type":"text","text":"x"}));
    value["message"]["id"] = Value::Null;
    assert_eq!(answer(value.clone()).message_id, "request req_1");
    value["requestId"] = Value::Null;
    let one = answer(value.clone()).message_id;
    value["uuid"] = "u2".into();
    assert_ne!(answer(value).message_id, one);
}

#[test]
fn the_clients_own_words_are_no_message() {
    let mut value = assistant(json!({"type":"text","text":"API Error: Connection refused"}));
    value["message"]["model"] = "<synthetic>".into();
    assert!(facts(std::slice::from_ref(&value)).lines.is_empty());
    value["isApiErrorMessage"] = true.into();
    assert_eq!(only(facts(&[value])), LineKind::ApiError("API Error: Connection refused".into()));
}

#[test]
fn prompts_are_told_from_what_the_client_adds() {
    use PromptKind::{Command, Machine, Meta, Summary, Typed};
    let of = |text: &str, more: Value| prompt(user(json!(text), more));
    assert_eq!(of("please make hello", json!({})), (Typed, "please make hello".into()));
    assert_eq!(of("Caveat: …", json!({"isMeta":true})).0, Meta);
    assert_eq!(of("This session is being continued", json!({"isCompactSummary":true})).0, Summary);
    assert_eq!(of("<task-notification>\n<task-id>", json!({})).0, Machine);
    assert_eq!(of("<local-command-stdout>ok</local-command-stdout>", json!({})).0, Meta);
    assert_eq!(of("<bash-input>ls</bash-input>", json!({})), (Command, "!ls".into()));
    let command = "<command-message>greet is running…</command-message>\n<command-name>/greet</command-name>\n<command-args>Bob</command-args>";
    assert_eq!(of(command, json!({})), (Command, "/greet Bob".into()));
    assert_eq!(
        prompt(user(json!([{"type":"image"},{"type":"text","text":"this"}]), json!({}))),
        (Typed, "this".into())
    );
    let interrupted =
        user(json!([{"type":"text","text":"[Request interrupted by user for tool use]"}]), json!({}));
    assert_eq!(only(facts(&[interrupted])), LineKind::Interrupted);
}

#[test]
fn older_lines_name_no_turn_and_stand_for_themselves() {
    let mut value = user(json!("hi"), json!({}));
    value.as_object_mut().unwrap().remove("promptId");
    let f = facts(&[value]);
    assert_eq!(f.lines[0].prompt_id, None);
    assert!(matches!(&f.lines[0].kind, LineKind::Prompt(p) if p.own_id.as_deref() == Some("u1")));
    let aside = facts(&[user(json!("hi"), json!({"isSidechain":true}))]);
    assert_eq!(aside.lines[0].agent_id.as_deref(), Some("sidechain"));
}

#[test]
fn results_tell_failures_denials_and_subagents() {
    let of = |block: Value, more: Value| result(user(json!([block]), more));
    let ok = of(json!({"type":"tool_result","tool_use_id":"t1","content":"out","is_error":false}), json!({}));
    assert_eq!(
        (ok.tool_use_id.as_str(), ok.is_error, ok.denied, ok.preview.as_str()),
        ("t1", false, false, "out")
    );
    assert_eq!(ok.bytes, 5);
    let rejected = of(
        json!({"type":"tool_result","tool_use_id":"t1","is_error":true,"content":"The user doesn't want to proceed"}),
        json!({"toolDenialKind":"user-rejected"}),
    );
    assert!(rejected.denied && rejected.is_error);
    // 2.1.197 has no such member: the wording tells.
    let text = "The user doesn't want to proceed with this tool use. The tool use was rejected";
    assert!(
        of(json!({"type":"tool_result","tool_use_id":"t1","is_error":true,"content":text}), json!({})).denied
    );
    let failed = of(
        json!({"type":"tool_result","tool_use_id":"t1","is_error":true,"content":"Exit code 3"}),
        json!({}),
    );
    assert!(failed.is_error && !failed.denied);
    let agent = of(
        json!({"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"done"},{"type":"text","text":"!"}]}),
        json!({"toolUseResult":{"agentId":"a06","status":"completed"}}),
    );
    assert_eq!((agent.started_agent.as_deref(), agent.preview.as_str()), (Some("a06"), "done\n!"));
}

#[test]
fn compactions_closing_totals_and_reminders() {
    let boundary = line(
        "system",
        json!({"subtype":"compact_boundary","compactMetadata":{"trigger":"auto","preTokens":180_000,"postTokens":2979}}),
    );
    let says =
        Boundary { trigger: Some(Trigger::Auto), before: Some(180_000), left: Some(2979), duration_ms: None };
    assert_eq!(only(facts(&[boundary])), LineKind::Compacted(says));
    let LineKind::Costs(costs) = only(facts(&[
        json!({"type":"cost-state","sessionId":SESSION,"totalDuration":1814,
        "startTime":1_795_198_509_863_u64,"modelUsage":{"claude-opus-5-5":{"inputTokens":96,"outputTokens":336,
        "cacheReadInputTokens":120_000,"cacheCreationInputTokens":27200,"cacheCreationEphemeral5mInputTokens":27000,
        "cacheCreationEphemeral1hInputTokens":200,"webSearchRequests":1,"costUSD":0.167_103_999_999_999_95}}}),
    ])) else {
        panic!()
    };
    assert_eq!((costs.start_ns, costs.duration_ns), (1_795_198_509_863_000_000, 1_814_000_000));
    let expected =
        Tokens { input: 96, output: 336, cache_read: 120_000, cache_write_5m: 27000, cache_write_1h: 200 };
    assert_eq!(costs.models, [("claude-opus-5-5".into(), expected, 1, 167_104)]);
    let reminder = line("attachment", json!({"attachment":{"type":"date"},"rendered":"12345678"}));
    let f = facts(&[reminder.clone(), reminder, user(json!("x"), json!({}))]);
    assert_eq!(f.lines[0].kind, LineKind::Fresh(20));
    assert_eq!(f.lines.len(), 2);
}

#[test]
fn a_subagents_file_is_told_by_the_one_beside_it() {
    let mut record = record(&format!("/p/{SESSION}/subagents/agent-a06.meta.json"));
    record.part = TranscriptPart::AgentMeta;
    let body = json!({"agentType":"general-purpose","toolUseId":"t1","parentAgentId":"a05","finished":true,"spawnDepth":2});
    let f = read(&record, body.to_string().as_bytes()).unwrap();
    assert_eq!((f.session_id.as_str(), f.agent_id.as_deref()), (SESSION, Some("a06")));
    let meta = f.meta.unwrap();
    assert_eq!(
        (meta.agent_type.as_deref(), meta.tool_use_id.as_deref()),
        (Some("general-purpose"), Some("t1"))
    );
    assert!(meta.finished && meta.parent_agent_id.as_deref() == Some("a05"));
    assert_eq!(read(&record, b"\xff[").unwrap().meta, Some(AgentMeta::default()));
}

#[test]
fn what_is_not_understood_loses_nothing_else() {
    let good = bytes(&[user(json!("hi"), json!({}))]);
    let body = [
        b"not json\n\n".as_slice(),
        b"{\"type\":\"user\",\"message\":{\"content\":\n",
        b"{\"type\":\"tomorrow\",\"x\":1}\n",
        b"{\"type\":7,\"message\":[]}\n",
        b"\xff\xfe\n",
        &good,
        // Torn, and the next line glued to it.
        &good[..good.len() / 2],
        &good,
        &good[..good.len() / 2],
    ]
    .concat();
    let f = read(&record(&format!("/p/{SESSION}.jsonl")), &body).unwrap();
    assert_eq!((f.lines.len(), f.unknown, f.count), (1, 2, 8));
    assert_eq!(f.unreadable, 5);
    assert_eq!(f.lines[0].at, body.len() as u64 - 2 * good.len() as u64 - 2 * (good.len() / 2) as u64);
}

#[test]
fn billing_lines_are_json_to_the_last_byte() {
    let text =
        assistant(json!({"type":"text","text":"x"})).to_string().replace("\"text\":\"x\"", "\"text\" \"x\"");
    let f = read(&record(&format!("/p/{SESSION}.jsonl")), text.as_bytes()).unwrap();
    assert!(matches!(&f.lines[0].kind, LineKind::Answer(a) if a.tokens.is_none()));
}

#[test]
fn half_a_surrogate_pair_does_not_lose_the_usage() {
    let text = assistant(json!({"type":"text","text":"cut HERE"})).to_string().replace("HERE", "\\ud83d");
    let f = read(&record(&format!("/p/{SESSION}.jsonl")), text.as_bytes()).unwrap();
    assert!(
        matches!(&f.lines[0].kind, LineKind::Answer(a) if a.tokens.is_some() && a.text.as_deref() == Some("cut \u{fffd}"))
    );
}

#[test]
fn times_of_all_forms_are_read() {
    let of = |time: &str| facts(&[user(json!("x"), json!({"timestamp":time}))]).first_ns;
    for time in [
        "2026-11-20T18:15:10.387Z",
        "2024-02-29T23:59:59.999Z",
        "2026-12-31T00:00:00.000Z",
        "2023-03-01T00:00:00.001Z",
        "1970-01-01T00:00:00.001Z",
        "2026-11-20T18:15:10Z",
        "2026-11-20T19:15:10.5+01:00",
    ] {
        assert_eq!(of(time), crate::clock::parse_rfc3339(time).unwrap(), "{time}");
    }
    assert_eq!((of("yesterday"), of("2026-13-40T99:99:99.000Z")), (0, 0));
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&record(&format!("/p/{SESSION}.jsonl")), &bytes);
        let _ = read(&TranscriptV2 { part: TranscriptPart::AgentMeta, ..record("agent-a.meta.json") }, &bytes);
    }

    #[test]
    fn any_cut_and_any_damage_is_read(cut in 0usize..2000, at in 0usize..2000, byte: u8) {
        let mut body = bytes(&[
            user(json!("hi"), json!({})),
            assistant(json!({"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}})),
            user(json!([{"type":"tool_result","tool_use_id":"t1","content":"out"}]), json!({})),
        ]);
        if let Some(b) = body.get_mut(at) {
            *b = byte;
        }
        body.truncate(cut);
        let facts = read(&record(&format!("/p/{SESSION}.jsonl")), &body).unwrap();
        prop_assert!(facts.lines.len() as u64 + facts.unreadable + facts.unknown <= facts.count);
    }

    #[test]
    fn summaries_are_those_of_the_other_sources(members in proptest::collection::btree_map("[a-z]{1,3}|command|prompt", ".{0,300}", 0..4)) {
        let input = json!(members);
        let a = answer(assistant(json!({"type":"tool_use","id":"t","name":"X","input":input})));
        prop_assert_eq!(&a.tool_uses[0].summary, &tool_summary(&input));
        let hash = input.get("prompt").and_then(Value::as_str).map(text_hash);
        prop_assert_eq!(a.tool_uses[0].prompt_hash, hash);
    }
}
