//! `ccctl search` against what `traces` and `exchange` show of the same store: nothing that is shown is missed, and
//! nothing is found where it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use ccd_proto::api::{Hit, Search, Span, Spans};
use ccd_tests::assert_eventually;
use ccd_tests::corpus::{self, Spec};
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, TestHome};
use ccd_tests::mock::{Block, Mock, Script, fail, reply};
use serde_json::{Value, json};

use crate::check;
use crate::proxy::Proxy;

#[track_caller]
fn search(home: &TestHome, args: &[&str]) -> Search {
    home.query(&[&["search"], args].concat())
}

/// What is found, as `kind name field`.
fn told(found: &Search) -> Vec<String> {
    found.hits.iter().map(|hit| format!("{} {} {}", hit.kind, hit.name, hit.field)).collect()
}

/// Every text and number in a value, in the order in which it stands there.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => {
            let sealed = |name: &str| ["signature", "type", "role"].contains(&name);
            members.iter().filter(|(name, _)| !sealed(name)).for_each(|(_, member)| texts(member, found));
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The texts that a span shows.
fn shown(span: &Span) -> Vec<String> {
    let mut found = Vec::new();
    for value in [&span.input, &span.output].into_iter().flatten() {
        texts(value, &mut found);
    }
    found.extend(span.reasoning.as_ref().and_then(|reasoning| reasoning.text.clone()));
    found.extend(span.error.clone());
    found
}

/// As it is compared: any run of blanks is one, and case is none.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[test]
fn every_text_of_a_span_is_found_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let written = corpus::write(dir.path(), &Spec { sessions: 14, ..Spec::small(11) }).unwrap();
    let home = TestHome::new("http://127.0.0.1:9").with_env("CLAUDE_CONFIG_DIR", dir.path());
    let _daemon = Daemon::start(&home);
    let whole = written.bytes - written.torn;
    assert_eventually!(
        home.status().is_some_and(|s| s.transcripts.imported_bytes >= whole && s.transcripts.behind == 0),
        "the corpus is taken in"
    );
    let spans: Spans = home.query(&["traces", "--content", "--reasoning", "--limit", "1000000"]);
    let all: Vec<(&Span, Vec<String>)> = spans.spans.iter().map(|span| (span, shown(span))).collect();
    let plain_texts: Vec<Vec<String>> =
        all.iter().map(|(_, texts)| texts.iter().map(|text| plain(text)).collect()).collect();
    // A piece of every so manieth text, from a place that differs each time.
    let pieces: Vec<String> =
        all.iter().flat_map(|(_, texts)| texts).filter(|text| text.len() > 3).cloned().collect();
    assert!(pieces.len() > 200, "{}", pieces.len());
    let (mut found_any, mut many) = (0, 0);
    for (n, text) in pieces.iter().step_by(pieces.len() / 40).enumerate() {
        let chars: Vec<char> = text.chars().collect();
        let (len, from) = (5 + n % 23, (n * 7919) % chars.len());
        let piece: String = chars.iter().skip(from.min(chars.len().saturating_sub(len))).take(len).collect();
        let wanted = plain(&piece);
        if wanted.len() < 3 {
            continue;
        }
        let naive: BTreeSet<&str> = (0..all.len())
            .filter(|at| plain_texts[*at].iter().any(|text| text.contains(&wanted)))
            .map(|at| all[at].0.span_id.as_str())
            .collect();
        assert!(!naive.is_empty(), "{piece:?} is there");
        let found = search(&home, &["--limit", "100000", "--", &piece]);
        assert!(!found.end.more && found.end.complete && found.end.cursor.is_none(), "{:?}", found.end);
        let hits: BTreeSet<&str> = found.hits.iter().map(|hit| hit.span_id.as_str()).collect();
        assert_eq!(hits.len(), found.hits.len(), "each once: {piece:?}");
        let wrong: Vec<_> = hits.difference(&naive).collect();
        assert!(wrong.is_empty(), "{piece:?} is not in {wrong:?}");
        // What a model call repeats of a tool call or a prompt is told of by those: a turn is never missed.
        let turn = |id: &str| all.iter().find(|(span, _)| span.span_id == id).map(|(span, _)| &span.trace_id);
        let turns: BTreeSet<_> = hits.iter().map(|id| turn(id)).collect();
        for id in &naive {
            assert!(turns.contains(&turn(id)), "{piece:?} is in {id}, and its turn is missed: {hits:?}");
            let span = all.iter().find(|(span, _)| span.span_id == **id).unwrap().0;
            assert!(span.kind != "tool" || hits.contains(id), "{piece:?} is in the tool call {id}");
        }
        found_any += 1;
        many += usize::from(hits.len() > 1);
    }
    assert!(found_any > 25 && many > 3, "{found_any} {many}");
}

/// A conversation over the proxy, with the same session's hooks, and a needle in each place.
fn planted() -> (TestHome, Daemon, Mock, HookSession) {
    let split = Block::Text {
        text: "The answer hides needle-split-over-deltas in pieces.".into(),
        deltas: 19,
        citations: vec![],
    };
    let script = Script::new().on(
        "needle-prompt",
        [
            reply()
                .thinking("I think of needle-thought, quietly.")
                .block(split)
                .tool("Bash", json!({"command": "grep needle-tool-input \"a\\b\"\nx", "timeout": 987_654})),
            reply().text("All is done, said needle-result."),
        ],
    );
    let mock = Mock::start(script.on("needle-refused", [fail(400)]));
    let home = TestHome::new(&mock.url());
    let daemon = Daemon::start(&home);
    let session = HookSession::new();
    let proxy = Proxy::of(&home);
    let prompt = "Find needle-prompt, please; größe";
    let mut messages = vec![json!({"role": "user", "content": [
        {"type": "text", "text": "<system-reminder>needle-reminder</system-reminder>"},
        {"type": "text", "text": prompt}]})];
    let send = |messages: &[Value], recorded: usize| {
        let body = json!({
            "model": "claude-opus-5-5", "max_tokens": 100, "stream": true, "messages": messages,
            "system": [{"type": "text", "text": format!("You are needle-system. {}", "Be kind. ".repeat(900))}],
        });
        let headers = [("X-Claude-Code-Session-Id", session.session.as_str())];
        let mut client = proxy.connect();
        client.send(proxy.request("POST", "/v1/messages", &headers, body.to_string().as_bytes()));
        let _ = (client.read_head(), client.read_rest());
        assert_eventually!(check::exchanges(&home).len() == recorded, "the exchange is recorded");
    };
    let hook = |event: Vec<u8>| {
        let _ = home.cc_hook(&event).ok();
    };
    hook(session.start());
    hook(session.prompt(prompt));
    send(&messages, 1);
    let call = mock.ledger()[0].tool_calls[0].clone();
    let command = "grep needle-tool-input \"a\\b\"\nx";
    hook(session.before_tool(&call.id, command));
    hook(session.after_tool(&call.id, command, "one\n\u{1b}[31mneedle-tool-output\u{1b}[0m \"quoted\"\n"));
    messages.push(json!({"role": "assistant", "content": [
        {"type": "tool_use", "id": call.id, "name": "Bash", "input": {"command": command, "timeout": 987_654}}]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": call.id,
         "content": "one\n\u{1b}[31mneedle-tool-output\u{1b}[0m \"quoted\"\n(needle-only-the-model-saw)"}]}));
    send(&messages, 2);
    hook(session.stop());
    (home, daemon, mock, session)
}

#[test]
fn a_needle_is_found_in_every_place_and_told_once() {
    let (home, _daemon, _mock, session) = planted();
    for (words, wanted) in [
        (&["needle-prompt"][..], &["agent main prompt"][..]),
        (&["NEEDLE-PROMPT", "GRÖẞE"], &["agent main prompt"]),
        (&["needle-thought"], &["llm claude-opus-5-5 reasoning"]),
        (&["needle-split-over-deltas in"], &["llm claude-opus-5-5 text"]),
        (&["needle-tool-input"], &["tool Bash input"]),
        (&["\"a\\b\" x"], &["tool Bash input"]),
        (&["needle-tool-output"], &["tool Bash output"]),
        (&["needle-tool-output", "needle-tool-input"], &["tool Bash input"]),
        (&["needle-only-the-model-saw"], &["llm claude-opus-5-5 input"]),
        (&["needle-reminder"], &["llm claude-opus-5-5 input"]),
        (&["needle-result"], &["llm claude-opus-5-5 text"]),
        (&["-E", r"needle-\w+-output\b"], &["tool Bash output"]),
        (&["--case", "Needle-prompt"], &[]),
        (&["--kind", "llm", "needle-tool-output"], &["llm claude-opus-5-5 input"]),
        (&["--tool", "bash", "needle"], &["tool Bash input"]),
        (&["--tool", "Read", "needle"], &[]),
        (&["--status", "error", "needle"], &[]),
        (&["--project", "project", "needle-thought"], &["llm claude-opus-5-5 reasoning"]),
        (&["--project", "other", "needle-thought"], &[]),
        (&["--until", "2020-01-01", "needle"], &[]),
        (&["needle-system"], &[]),
        (&["--raw", "needle-system"], &["exchange /v1/messages request"]),
        (&["--raw", "needle-system", "needle-reminder"], &["exchange /v1/messages request"]),
        (&["--raw", "needle-thought"], &["llm claude-opus-5-5 reasoning"]),
        (&["--raw", "startup"], &["hook SessionStart payload"]),
        (&["needle-nowhere"], &[]),
    ] {
        let found = search(&home, words);
        assert_eq!(told(&found), wanted, "{words:?}");
        assert!(found.end.complete && !found.end.more, "{words:?}");
        for hit in &found.hits {
            assert_eq!(hit.session_id, session.session);
            assert_marked(hit);
            let id =
                if hit.span_id.is_empty() { hit.exchange_id.as_deref() } else { Some(hit.span_id.as_str()) };
            let _ = home.ccctl(&["show", id.unwrap_or(&hit.session_id), "--json"]).ok();
        }
    }
    // The same from the index as it comes back from the journal, where nothing is held ready.
    let _ = home.ccctl(&["store", "rebuild"]).ok();
    let _ = home.ccctl(&["restart"]).ok();
    assert_eq!(told(&search(&home, &["needle-split-over-deltas"])), ["llm claude-opus-5-5 text"]);
}

/// The ranges of a hit are words that were looked for.
#[track_caller]
fn assert_marked(hit: &Hit) {
    let chars: Vec<char> = hit.snippet.chars().collect();
    assert!(!hit.ranges.is_empty(), "{hit:?}");
    for (from, to) in &hit.ranges {
        let word: String = chars[*from as usize..*to as usize].iter().collect();
        assert!(!word.is_empty() && hit.snippet.contains(&word), "{hit:?}");
    }
}

#[test]
fn what_the_terminal_shows_is_captured_text_made_visible() {
    let (home, _daemon, _mock, session) = planted();
    let out = home.ccctl(&["search", "needle-tool-output"]).ok();
    let text = out.text();
    assert!(text.starts_with(&format!("session {} · project\n", &session.session[..8])), "{out}");
    assert!(text.contains("\\u{1b}[31mneedle-tool-output\\u{1b}[0m"), "{out}");
    assert!(!text.contains('\u{1b}'), "{out}");
    let out = home.ccctl(&["search", "needle-nowhere"]).ok();
    assert!(out.text().starts_with("nothing found in 1 session"), "{out}");
    for (wrong, why) in [
        (&["search"][..], "required"),
        (&["search", "-E", "("], "no pattern"),
        (&["search", "-E", r"((\w{99}){99}){99}"], "no pattern"),
        (&["search", "-E", "x*"], "matches the empty text"),
        (&["search", "--cursor", "x", "a"], "not one that a search ended with"),
        (&["search", " "], "nothing to search for"),
    ] {
        let out = home.ccctl(wrong);
        assert_eq!(out.code, Some(2), "{wrong:?}: {out}");
        assert!(out.stderr.contains(why), "{wrong:?}: {out}");
    }
    let out = home.ccctl(&["search", "--session", "nope", "a"]);
    assert_eq!(out.code, Some(1), "{out}");
}

#[test]
fn a_search_is_gone_through_page_by_page() {
    let home = TestHome::new("http://127.0.0.1:9");
    let _daemon = Daemon::start(&home);
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    for n in 0..5 {
        let session = HookSession::new();
        let mut events = vec![session.prompt(&format!("prompt {n} needle"))];
        for call in 0..n {
            let id = format!("toolu_{n}_{call}");
            events.push(session.before_tool(&id, "echo needle"));
            events.push(session.after_tool(&id, "echo needle", "needle"));
        }
        for event in events {
            let _ = home.cc_hook(&event).ok();
        }
        wanted.insert(session.session, n + 1);
    }
    let all = search(&home, &["needle"]);
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    all.hits.iter().for_each(|hit| *counted.entry(hit.session_id.clone()).or_default() += 1);
    assert_eq!(counted, wanted);
    let mut order: Vec<&str> = all.hits.iter().map(|hit| hit.session_id.as_str()).collect();
    order.dedup();
    assert_eq!(order.len(), 5, "sessions do not mix");

    for page in ["1", "2", "4", "15"] {
        let (mut hits, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let more: Vec<&str> = cursor.as_deref().map_or_else(Vec::new, |cursor| vec!["--cursor", cursor]);
            let found = search(&home, &[&["needle", "--limit", page], &more[..]].concat());
            assert!(found.hits.len() <= page.parse().unwrap());
            assert_eq!(found.end.more, found.end.cursor.is_some());
            hits.extend(found.hits);
            cursor = found.end.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(hits, all.hits, "in pages of {page}");
    }
}

#[test]
fn hostile_records_are_searched_like_any_other_and_readers_may_leave() {
    let (home, _daemon, _mock, session) = planted();
    let dir = home.user().join(".claude/projects/-w");
    std::fs::create_dir_all(&dir).unwrap();
    let id = "0f000000-0000-4000-8000-00000000000f";
    let answer = |text: &str, n: u32| {
        json!({
            "type": "assistant", "uuid": format!("u{n}"), "sessionId": id, "cwd": "/w", "version": "2.1.329",
            "timestamp": format!("2026-11-20T10:00:{n:02}.000Z"), "requestId": format!("req_{n}"),
            "message": {"id": format!("msg_{n}"), "type": "message", "role": "assistant", "model": "m",
                "stop_reason": "end_turn", "content": [{"type": "text", "text": text}],
                "usage": {"input_tokens": 1, "output_tokens": 1}},
        })
        .to_string()
    };
    let huge = format!("{}needle-at-the-end", "aaaaaaaaab".repeat(400_000));
    let escaped = answer("needle-escaped", 2).replace("needle", "\\u006eeed\\u006Ce");
    let mut file = std::fs::File::create(dir.join(format!("{id}.jsonl"))).unwrap();
    for line in [
        &answer(&huge, 1),
        &escaped,
        "{\"text\":\"\\ud83d \\x needle-torn",
        &answer("\u{0}needle-nul\u{202e}", 3),
    ] {
        file.write_all(line.as_bytes()).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.write_all(b"\xff\xfe needle-bytes\n").unwrap();
    drop(file);
    let _ = home.ccctl(&["import"]).ok();
    assert_eventually!(
        home.status().is_some_and(|s| s.transcripts.behind == 0 && s.transcripts.files == 1),
        "taken in"
    );
    for (needle, wanted) in [
        ("needle-at-the-end", 1),
        ("needle-escaped", 1),
        ("needle-nul", 1),
        ("needle-torn", 0),
        ("needle-bytes", 0),
    ] {
        let found = search(&home, &["--session", id, needle]);
        assert_eq!(found.hits.len(), wanted, "{needle}: {found:?}");
    }
    // Patterns that take others for ever.
    for pattern in ["(a+)+$", "(a|a)*c", "(.*)(.*)(.*)(.*)zz"] {
        let found = search(&home, &["-E", "--session", id, pattern]);
        assert!(found.end.complete, "{pattern}");
    }
    let shown = home.ccctl(&["search", "needle"]).ok().text();
    assert!(!shown.contains(['\u{0}', '\u{202e}', '\u{1b}']), "{shown:?}");

    // More readers than searches may run, who leave at once: whoever stays is answered.
    for _ in 0..8 {
        let mut gone = std::os::unix::net::UnixStream::connect(home.layout().control_socket()).unwrap();
        gone.write_all(b"GET /v0/search/lines?q=needle&timeout_s=3600 HTTP/1.1\r\nHost: ccd\r\n\r\n")
            .unwrap();
    }
    let found = search(&home, &["--session", &session.session, "needle-thought"]);
    assert_eq!(found.hits.len(), 1, "{found:?}");
}
