//! `ccctl import`: files from elsewhere, each line once.

use std::fs;

use ccd_proto::api::Imported;
use ccd_tests::assert_eventually;
use serde_json::json;

use super::*;

fn import(home: &TestHome, args: &[&str]) -> Imported {
    home.query(&[&["import"], args].concat())
}

#[test]
fn a_backup_is_taken_once_and_what_is_followed_is_known() {
    let home = home();
    let here = lines("here", 0..5);
    write(&transcript(&home, "-w", "here"), &here);
    let backup = home.work().join("backup/of/claude");
    write(&backup.join("projects/-w/here.jsonl"), &here);
    let old = lines("old", 0..7);
    write(&backup.join("projects/-w/old.jsonl"), &old);
    write(&backup.join("package.jsonl"), "{\"type\":\"module\"}\n");
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, here.len() as u64), "the history is taken");

    let path = backup.display().to_string();
    let dry = import(&home, &[&path, "--dry-run"]);
    assert!(dry.dry_run && dry.files == 3 && dry.new_bytes >= old.len() as u64, "{dry:?}");
    let first = import(&home, &[&path]);
    assert_eq!((first.files, first.new_files, first.new_bytes), (3, 1, old.len() as u64), "{first:?}");
    assert_eq!(first.skipped.len(), 1, "{first:?}");
    assert!(first.skipped[0].path.ends_with("package.jsonl"), "{first:?}");
    let again = import(&home, &[&path]);
    assert_eq!((again.new_files, again.new_bytes), (0, 0), "{again:?}");
    let roots = import(&home, &[]);
    assert_eq!((roots.files, roots.new_files), (1, 0), "{roots:?}");
    assert_eventually!(home.status().unwrap().store.records == 2, "two records");
    let text = home.ccctl(&["import", &path]).ok().stdout;
    assert!(String::from_utf8(text).unwrap().starts_with("nothing new in 3 files"));
}

#[test]
fn a_wrong_path_is_an_error() {
    let home = home();
    let _daemon = start(&home);
    let empty = home.work().join("empty");
    fs::create_dir_all(&empty).unwrap();
    for (path, word) in [("/nowhere/at/all", "is not there"), (empty.to_str().unwrap(), "no *.jsonl")] {
        let out = home.ccctl(&["import", path]);
        assert_eq!(out.code, Some(2), "{path}");
        assert!(out.stderr.contains(word), "{path}");
    }
}

#[test]
fn other_recorders_lines_are_taken_once() {
    let home = home();
    let store = home.work().join("logs");
    let events = concat!(
        r#"{"session_id":"s","hook_event_name":"UserPromptSubmit","prompt_id":"p","prompt":"do it","cwd":"/w","_ts":"2026-05-01T10:00:00.5"}"#,
        "\n",
        r#"{"session_id":"s","hook_event_name":"ApiCall","request":{},"response":{"role":"assistant","id":"msg_1","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[{"type":"text","text":"Hi"}]},"usage":{"input_tokens":3,"output_tokens":5},"_ts":"2026-05-01T10:00:01"}"#,
        "\n"
    );
    write(&store.join("s.jsonl"), events);
    let traces = concat!(
        r#"{"session_id":"s","timestamp":"2026-05-01T10:00:00Z","hook_type":"post","tool_name":"Bash"}"#,
        "\n"
    );
    write(&store.join("traces-2026-05-01.jsonl"), traces);
    let calls =
        concat!(r#"{"ts":"2026-05-01T10:00:00Z","conversation_id":"cc-proxy-1","input_messages":[]}"#, "\n");
    write(&store.join("calls-2026-05-01.jsonl"), calls);
    let _daemon = start(&home);
    let path = store.display().to_string();
    let first = import(&home, &[&path]);
    assert_eq!((first.files, first.new_files, first.new_lines), (3, 3, 4), "{first:?}");
    let again = import(&home, &[&path]);
    assert_eq!((again.new_files, again.new_lines), (0, 0), "{again:?}");
    assert_eventually!(home.status().unwrap().store.records == 4, "a record for each line");
    let sessions: serde_json::Value = home.query(&["sessions"]);
    assert_eq!(sessions["sessions"][0]["session_id"], "s", "{sessions}");
}

#[test]
fn a_link_that_is_named_is_followed() {
    let home = home();
    let real = home.work().join("real/t.jsonl");
    write(&real, &line("t", 0));
    let (link, dir) = (home.work().join("link.jsonl"), home.work().join("dir"));
    std::os::unix::fs::symlink(&real, &link).unwrap();
    std::os::unix::fs::symlink(real.parent().unwrap(), &dir).unwrap();
    let _daemon = start(&home);
    let first = import(&home, &[link.to_str().unwrap()]);
    assert_eq!((first.files, first.new_files, first.skipped_files), (1, 1, 0), "{first:?}");
    let again = import(&home, &[dir.to_str().unwrap()]);
    assert_eq!((again.files, again.new_files), (1, 0), "{again:?}");
    let odd = home.work().join("t.backup");
    write(&odd, &line("u", 0));
    let out = home.ccctl(&["import", odd.to_str().unwrap()]);
    assert_eq!(out.code, Some(1), "{out}");
    assert!(out.text().contains("*.jsonl"), "it says why: {out}");
}

/// A line as pisama's hook writes it after a tool call.
fn traced(session: &str, second: u64, tool: &str, input: u64) -> String {
    let line = json!({"session_id":session,"timestamp":format!("2026-05-01T10:00:{second:02}.123456+00:00"),
        "hook_type":"PostToolUse","tool_name":tool,"tool_input":{"command":format!("ls {second}")},
        "tool_output":{"stdout":"a","stderr":"","interrupted":false},"working_dir":"/w/app","agent_id":null,
        "agent_type":null,"is_sidechain":false,"model":"claude-sonnet-4-5","usage":{"input_tokens":input,
        "cache_creation_input_tokens":20,"cache_read_input_tokens":300,"output_tokens":7,"service_tier":"standard"},
        "cost_usd":0.000_294,"user_input":"list it","reasoning":null,"ai_output":"Let me see","ai_response":"Let me see"});
    format!("{line}\n")
}

/// A line as pisama's proxy writes it.
fn called(second: u64) -> String {
    let line = json!({"ts":format!("2026-05-01T10:00:{second:02}+00:00"),"conversation_id":"cc-proxy-0123456789abcdef",
        "model":"claude-sonnet-4-5","system":"You are","input_messages":[{"role":"user","content":"list it"}],
        "user_input":"list it","reasoning":"Let me see.","output":null,"tool_calls":[{"name":"Bash","input":{},"id":"toolu_1"}],
        "usage":{"input_tokens":9000,"output_tokens":9000},"stop_reason":"tool_use","cost_usd":0.1,"http_status":200,
        "duration_ms":900,"path":"/v1/messages"});
    format!("{line}\n")
}

fn sources(home: &TestHome, session: &str) -> Vec<(String, Vec<String>)> {
    let spans: ccd_proto::api::Spans = home.query(&["traces", "--session", session, "--content"]);
    spans.spans.into_iter().map(|span| (span.kind, span.sources)).collect()
}

#[test]
fn what_only_pisama_saw_is_shown_and_counted_until_another_source_tells_of_it() {
    let home = home();
    let store = home.work().join("pisama/traces");
    // The first two are calls of one message: its usage stands in both lines.
    let traces = traced("s", 1, "Bash", 3) + &traced("s", 2, "Read", 3) + &traced("s", 3, "Bash", 40);
    write(&store.join("traces-2026-05-01.jsonl"), &traces);
    write(&store.join("calls-2026-05-01.jsonl"), &called(1));
    let daemon = start(&home);
    let done = import(&home, &[store.to_str().unwrap()]);
    assert_eq!((done.files, done.new_lines), (2, 4), "{done:?}");
    let total = |home: &TestHome| home.query::<ccd_proto::api::Usage>(&["usage", "total"]).totals.tokens;
    assert_eventually!(total(&home).input == 43, "each message counts once: {:?}", total(&home));
    assert_eq!((total(&home).output, total(&home).cache_read), (14, 600));
    let spans: ccd_proto::api::Spans = home.query(&["traces", "--session", "s", "--content"]);
    assert!(spans.spans.iter().all(|s| s.sources == ["pisama"] && s.status == "ok"), "{spans:?}");
    let tools: Vec<_> = spans.spans.iter().filter(|s| s.kind == "tool").collect();
    assert_eq!(tools.len(), 3, "{spans:?}");
    assert!(tools.iter().any(|s| s.input == Some(json!({"command":"ls 3"}))), "{tools:?}");
    assert!(tools.iter().all(|s| s.output.as_ref().is_some_and(|o| o["stdout"] == "a")), "{tools:?}");
    let of_turns: u64 = home
        .query::<ccd_proto::api::Turns>(&["turns", "--session", "s"])
        .turns
        .iter()
        .map(|turn| turn.tokens.input)
        .sum();
    assert_eq!(of_turns, 43, "the tree has what is counted");
    let explained: ccd_proto::api::Explain = home.query(&["usage", "--explain", "s"]);
    let of: Vec<_> =
        explained.charges.iter().map(|charge| (charge.tokens.input, &charge.sources[..])).collect();
    assert_eq!(of, [(43, &["pisama".to_owned()][..])], "and the sum says whose word it is");

    // The index is worked out of the journal, and says the same.
    daemon.stop(&home);
    home.delete_index();
    let _daemon = start(&home);
    assert_eventually!(home.status().is_some() && total(&home).input == 43, "the same, made anew");

    write(&transcript(&home, "-w-app", "s"), &lines("s", 0..2));
    assert_eventually!(total(&home).input == 200, "what the client's own file says counts, and nothing else");
    assert_eq!(total(&home).output, 21);
    let told = sources(&home, "s");
    assert!(told.iter().all(|(kind, sources)| kind != "tool" && sources == &["transcript"]), "{told:?}");
}

#[test]
fn what_cc_tracer_kept_joins_and_says_whose_it_is() {
    let home = home();
    let event = |second: u64, name: &str, more: serde_json::Value| {
        let mut line = json!({"session_id":"s","hook_event_name":name,"prompt_id":"p","cwd":"/w/app",
            "_ts":format!("2026-05-01T10:00:{second:02}.500000")});
        if let (serde_json::Value::Object(line), serde_json::Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        format!("{line}\n")
    };
    let call = json!({"tool_name":"Bash","tool_use_id":"toolu_1","tool_input":{"command":"ls"},
        "tool_response":{"stdout":"a"}});
    let answer = json!({"request":{"model":"m","messages":[]},"response":{"role":"assistant","id":"msg_s_0",
        "model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[{"type":"text","text":"Answer 0"}]},
        "usage":{"input_tokens":100,"output_tokens":10,"cache_read_input_tokens":0,"cache_creation_input_tokens":0}});
    let text = [
        event(1, "UserPromptSubmit", json!({"prompt":"list it"})),
        event(2, "PreToolUse", call.clone()),
        event(3, "PostToolUse", call),
        event(4, "ApiCall", answer),
        event(5, "Stop", json!({"last_assistant_message":"Answer 0"})),
    ]
    .concat();
    let path = home.work().join("logs/s.jsonl");
    write(&path, &text);
    let _daemon = start(&home);
    let done = import(&home, &[path.to_str().unwrap()]);
    assert_eq!((done.new_lines, done.skipped_files), (5, 0), "{done:?}");
    assert_eventually!(sources(&home, "s").len() == 3, "a turn, a call, a tool: {:?}", sources(&home, "s"));
    assert!(
        sources(&home, "s").iter().all(|(_, sources)| sources == &["cc-tracer"]),
        "{:?}",
        sources(&home, "s")
    );
    let spans: ccd_proto::api::Spans = home.query(&["traces", "--session", "s", "--content"]);
    let tool = spans.spans.iter().find(|s| s.kind == "tool").unwrap();
    assert_eq!(tool.output, Some(json!({"stdout":"a"})));
    let chat = spans.spans.iter().find(|s| s.kind == "llm").unwrap();
    assert_eq!(chat.output, Some(json!([{"type":"text","text":"Answer 0"}])));
    assert_eq!(output_tokens(&home), 10);
    // The client's own file tells of the same message, and of the next.
    write(&transcript(&home, "-w-app", "s"), &lines("s", 0..2));
    assert_eventually!(output_tokens(&home) == 21, "it counts once");
}
