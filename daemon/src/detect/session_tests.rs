//! Records into events and detections: whatever the source, whatever the batches.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ccd_detect::{Index, Outcome, What};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::events::{Reading, Step};
use super::session::{Kit, Material, NoTrees, Session, Trees, engines};
use crate::project::ids;
use crate::project::price::Prices;

const T: u64 = 1_795_000_000_000_000_000;

pub(super) fn kit() -> Kit {
    let prices = Arc::new(Prices::new(&BTreeMap::new()));
    Kit { settings: Arc::default(), prices, trees: Arc::new(NoTrees), make: engines() }
}

fn reading() -> Reading {
    Reading::new("s", Arc::new(Prices::new(&BTreeMap::new())))
}

pub(super) fn hook(name: &str, more: Value) -> Value {
    let mut body = json!({"session_id": "s", "hook_event_name": name, "cwd": "/w", "prompt_id": "p"});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

pub(super) fn call(id: &str, phase: &str, command: &str, out: &str) -> Value {
    let response = if phase == "PostToolUse" { json!({"stdout": out, "stderr": ""}) } else { Value::Null };
    let more = json!({"tool_name": "Bash", "tool_use_id": id, "tool_input": {"command": command},
        "tool_response": response});
    hook(phase, more)
}

fn line(kind: &str, more: Value) -> String {
    let mut line = json!({"type": kind, "sessionId": "s", "cwd": "/w", "promptId": "p", "uuid": "u",
        "timestamp": "2026-11-18T11:06:40.000Z"});
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    format!("{line}\n")
}

fn asked(message: &str, id: &str, command: &str) -> String {
    let content = json!([{"type": "text", "text": "let me look"},
        {"type": "tool_use", "id": id, "name": "Bash", "input": {"command": command}}]);
    let message = json!({"id": message, "model": "claude-opus-4-8", "content": content, "stop_reason": "tool_use",
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 7}});
    line("assistant", json!({"message": message, "requestId": "r"}))
}

fn came(id: &str, out: &str, is_error: bool) -> String {
    let content = json!([{"type": "tool_result", "tool_use_id": id, "content": out, "is_error": is_error}]);
    let told = if is_error { json!(format!("Error: {out}")) } else { json!({"stdout": out, "stderr": ""}) };
    line("user", json!({"message": {"content": content}, "toolUseResult": told}))
}

fn names(steps: &[Step]) -> Vec<&'static str> {
    let name = |what: &What| match what {
        What::Start { .. } => "start",
        What::Prompt { .. } => "prompt",
        What::Call(_) => "call",
        What::Result { outcome: Outcome::Ok(_), .. } => "ok",
        What::Result { outcome: Outcome::Err(_), .. } => "err",
        What::Turn(_) => "turn",
        What::Compact { .. } => "compact",
        What::Stop { .. } => "stop",
        What::ModelSwitch { .. } => "switch",
        What::Other => "other",
    };
    steps.iter().map(|step| name(&step.event.what)).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[test]
fn what_hooks_told_is_not_told_again_by_the_transcript() {
    let mut of = reading();
    let stop = hook("Stop", json!({"last_assistant_message": "done"}));
    for event in [
        hook("UserPromptSubmit", json!({"prompt": "do it"})),
        call("t1", "PreToolUse", "ls", ""),
        call("t1", "PostToolUse", "ls", "a"),
        stop,
    ] {
        of.hook(T, &bytes(&event));
    }
    assert_eq!(
        names(&of.take()),
        ["start", "prompt", "call", "ok", "stop"],
        "the working directory begins it"
    );
    let content = json!([{"type": "text", "text": "done"}]);
    let last = json!({"id": "m2", "model": "claude-opus-4-8", "content": content, "stop_reason": "end_turn"});
    let text = [
        line("user", json!({"message": {"content": "do it"}})),
        asked("m1", "t1", "ls"),
        came("t1", "a", false),
        line("assistant", json!({"message": last})),
    ];
    of.lines(None, text.concat().as_bytes());
    assert_eq!(names(&of.take()), ["turn", "turn"], "no hook tells of the model's answers");
    of.lines(None, text.concat().as_bytes());
    assert_eq!(names(&of.take()), [""; 0], "a file that is read again is no news");
}

#[test]
fn a_transcript_alone_tells_everything() {
    let mut of = reading();
    let last = json!({"id": "m3", "model": "claude-opus-4-8", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "all done"}]});
    let text = [
        line(
            "user",
            json!({"message": {"content": "<command-name>/fix</command-name><command-args>it</command-args>"}}),
        ),
        line("user", json!({"isMeta": true, "message": {"content": "expanded"}})),
        asked("m1", "t1", "ls"),
        came("t1", "a", false),
        asked("m2", "t2", "false"),
        came("t2", "<tool_use_error>no such thing</tool_use_error>", true),
        line(
            "system",
            json!({"subtype": "compact_boundary", "compactMetadata": {"trigger": "auto", "preTokens": 9}}),
        ),
        line("assistant", json!({"message": last})),
        line("assistant", json!({"message": {"id": "x", "model": "<synthetic>", "content": "API Error"}})),
        "no json\n".to_owned(),
    ];
    of.lines(None, text.concat().as_bytes());
    let steps = of.take();
    assert_eq!(
        names(&steps),
        ["start", "prompt", "turn", "call", "ok", "turn", "call", "err", "compact", "turn", "stop"]
    );
    assert!(matches!(&steps[1].event.what, What::Prompt { text } if text == "/fix it"));
    let What::Result { call, outcome: Outcome::Err(error) } = &steps[7].event.what else { panic!() };
    assert_eq!((call.text("command"), error.as_str()), ("false", "no such thing"));
    let What::Turn(turn) = &steps[2].event.what else { panic!() };
    assert_eq!((turn.usage.context(), turn.text.as_str()), (112, "let me look"));
    // The same from hooks afterwards, as from a spool.
    of.hook(T, &bytes(&call_of("t2")));
    of.hook(T, &bytes(&hook("UserPromptSubmit", json!({"prompt": "/fix it"}))));
    of.hook(T, &bytes(&hook("Stop", json!({"last_assistant_message": "all done"}))));
    assert_eq!(names(&of.take()), [""; 0]);
}

fn call_of(id: &str) -> Value {
    call(id, "PostToolUse", "false", "")
}

#[test]
fn calls_that_fail_the_clients_own_checks_are_results_and_refused_ones_are_none() {
    let mut of = reading();
    of.hook(T, &bytes(&call("ran", "PreToolUse", "ls", "")));
    of.hook(T, &bytes(&call("ran", "PostToolUse", "ls", "x")));
    of.hook(T, &bytes(&call("denied", "PreToolUse", "ls", "")));
    of.take();
    let entry = |id: &str, text: &str| {
        json!({"tool_name": "Edit", "tool_use_id": id, "tool_input": {"file_path": "/w/a"},
        "tool_response": text})
    };
    let batch = hook(
        "PostToolBatch",
        json!({"tool_calls": [
            entry("ran", "x"),
            entry("bad", "<tool_use_error>String to replace not found in file.</tool_use_error>"),
            entry("denied", "PreToolUse:Bash hook error: no"),
        ]}),
    );
    of.hook(T, &bytes(&batch));
    let steps = of.take();
    assert_eq!(names(&steps), ["err"]);
    let What::Result { outcome: Outcome::Err(error), .. } = &steps[0].event.what else { panic!() };
    assert_eq!(error, "String to replace not found in file.");
    assert_eq!(steps[0].place.span_id(), Some(ids::span("s", "tool", "bad")));
    of.lines(None, came("denied", "PreToolUse:Bash hook error: no", true).as_bytes());
    assert_eq!(names(&of.take()), [""; 0]);
}

#[test]
fn subagents_and_forks_of_the_client() {
    let mut of = reading();
    of.hook(T, &bytes(&hook("SubagentStop", json!({"agent_id": "fork", "agent_type": ""}))));
    assert_eq!(names(&of.take()), ["start"], "a fork that summarises was nobody");
    let stop = json!({"agent_id": "a", "agent_type": "Explore", "last_assistant_message": "found"});
    of.hook(T, &bytes(&hook("SubagentStop", stop)));
    let steps = of.take();
    assert_eq!(names(&steps), ["stop"]);
    assert_eq!(steps[0].event.agent.as_deref(), Some("a"));
    assert_eq!(steps[0].place.span_id(), Some(ids::span("s", "agent", "a")));
    assert_eq!(steps[0].place.turn_id.as_deref(), Some("p"));
    let first = line("user", json!({"agentId": "a", "isSidechain": true, "message": {"content": "look"}}));
    of.lines(Some("a"), first.as_bytes());
    assert_eq!(names(&of.take()), [""; 0], "what a subagent is asked is a call");
}

/// A session that goes round in circles.
pub(super) fn circle(rounds: usize) -> Vec<Value> {
    let mut events = vec![
        hook("SessionStart", json!({"source": "startup"})),
        hook("UserPromptSubmit", json!({"prompt": "mend the tests"})),
    ];
    for n in 0..rounds {
        let id = format!("toolu_{n}");
        events.push(call(&id, "PreToolUse", "cargo test", ""));
        events.push(call(&id, "PostToolUse", "cargo test", "error: linking failed"));
    }
    events
}

fn found(session: &mut Session, events: &[Value]) -> Vec<(u64, String, Option<String>)> {
    let mut all = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let at = T + n as u64 * 10_000_000_000;
        let taken = session.take(n as u64 + 1, Material::Hook(at, &bytes(event)), None);
        all.extend(taken.found.into_iter().map(|f| (f.record.at_event, f.record.rule, f.record.span_id)));
    }
    all
}

#[test]
fn a_loop_is_found_where_it_is_and_leads_there() {
    let mut session = Session::new("s", &kit(), Some("/w".into()), T);
    let all = found(&mut session, &circle(3));
    assert_eq!(all, [(7, "repeat".to_owned(), Some(ids::span("s", "tool", "toolu_2")))]);
    assert_eq!(session.events(), 8);
    let again = ccd_detect::ToolCall {
        id: "next".into(),
        name: "Bash".into(),
        input: json!({"command": "cargo test"}),
    };
    assert!(session.before(None, &again).is_some() && session.before(Some("other"), &again).is_none());
    let mut evidence = Session::new("s", &kit(), Some("/w".into()), T);
    let mut spans = Vec::new();
    for (n, event) in circle(3).iter().enumerate() {
        let taken = evidence.take(n as u64, Material::Hook(T, &bytes(event)), None);
        for found in taken.found {
            assert_eq!(found.record.turn_id.as_deref(), Some("p"));
            spans.extend(found.record.evidence.into_iter().map(|e| e.span_id));
        }
    }
    let tools = ["toolu_0", "toolu_1", "toolu_2"].map(|id| ids::span("s", "tool", id));
    assert!(
        !spans.is_empty() && spans.iter().all(|span| span.as_ref().is_some_and(|s| tools.contains(s))),
        "{spans:?}"
    );
}

#[test]
fn working_directories_are_told_what_happens_in_them_before_detectors_look() {
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);
    impl Told {
        fn add(&self, what: &str) {
            self.0.lock().unwrap().push(what.to_owned());
        }
    }
    impl Trees for Told {
        fn of(&self, cwd: &Path) -> Arc<dyn Index> {
            NoTrees.of(cwd)
        }
        fn expected(&self, _: &Path) {
            self.add("expected");
        }
        fn writing(&self, _: &Path, path: &Path) {
            self.add(&format!("writing {}", path.display()));
        }
        fn touched(&self, cwd: &Path, path: &Path) {
            self.add(&format!("{} {}", cwd.display(), path.display()));
        }
        fn stirred(&self, _: &Path) {
            self.add("stirred");
        }
        fn rest(&self, _: Instant) -> bool {
            false
        }
    }
    let (trees, mut session) = (Told::default(), Session::new("s", &kit(), Some("/w".into()), T));
    let edit = json!({"tool_name": "Edit", "tool_use_id": "e", "tool_input": {"file_path": "/w/a.rs"}, "tool_response": {}});
    let events =
        [hook("SessionStart", json!({})), hook("PostToolUse", edit), call("b", "PostToolUse", "make", "")];
    for (n, event) in events.iter().enumerate() {
        session.take(n as u64, Material::Hook(T, &bytes(event)), Some(&trees));
    }
    assert_eq!(*trees.0.lock().unwrap(), ["stirred", "/w /w/a.rs", "stirred"]);
}

proptest! {
    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        let mut of = reading();
        of.hook(1, &body);
        of.lines(None, &body);
        of.lines(Some("a"), text.as_bytes());
        let odd = json!({"hook_event_name": "PostToolBatch", "session_id": 5, "tool_calls": [{"tool_use_id": text}, 7]});
        of.hook(1, &bytes(&odd));
        let _ = of.take();
    }

    /// A transcript that comes in any pieces of whole lines tells the same, as long as no message is torn.
    #[test]
    fn pieces_tell_what_the_whole_tells(cuts in prop::collection::vec(any::<bool>(), 12)) {
        let lines: Vec<String> = (0..6)
            .flat_map(|n| [asked(&format!("m{n}"), &format!("t{n}"), "ls"), came(&format!("t{n}"), "a", n % 2 == 0)])
            .collect();
        let mut whole = reading();
        whole.lines(None, lines.concat().as_bytes());
        let mut pieces = reading();
        let mut piece = String::new();
        for (line, cut) in lines.iter().zip(cuts) {
            piece.push_str(line);
            if cut {
                pieces.lines(None, std::mem::take(&mut piece).as_bytes());
            }
        }
        pieces.lines(None, piece.as_bytes());
        prop_assert_eq!(whole.take(), pieces.take());
    }
}
