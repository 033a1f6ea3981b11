//! What holds for any events: the same ones give the same detections, none panics, and what is held stays bounded.

mod common;

use std::sync::Arc;

use ccd_detect::checks::{self, Checks};
use ccd_detect::claims::Claims;
use ccd_detect::engine::MAX_HELD;
use ccd_detect::eval::Trace;
use ccd_detect::source::{self, Language};
use ccd_detect::words::{self, Words};
use ccd_detect::{Detection, Engine, Event, Index, Settings, ToolCall, Workspace, imports, text};
use common::Session;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const HOOKS: [&str; 10] = [
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "ApiTurn",
    "PreCompact",
    "Stop",
    "SubagentStop",
    "PostModelSwitch",
];
const TOOLS: [&str; 12] = [
    "Bash",
    "Read",
    "Edit",
    "Write",
    "Grep",
    "Glob",
    "TodoWrite",
    "TaskUpdate",
    "Task",
    "TaskOutput",
    "WebFetch",
    "mcp__x__status",
];
const KEYS: [&str; 28] = [
    "tool_input",
    "tool_response",
    "tool_name",
    "command",
    "file_path",
    "old_string",
    "new_string",
    "content",
    "stdout",
    "stderr",
    "file",
    "filenames",
    "numFiles",
    "mode",
    "pattern",
    "query",
    "usage",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "model",
    "text",
    "agent_id",
    "ts",
    "error",
    "prompt",
    "window",
];

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\n]{0,60}",
        "(import \\{ [a-zé]{1,4}( as [a-z]{1,3})?, ?\n?[a-z]{1,4} ?\\}? ?(from)? ?['\"](\\./|@/)?[a-zé/]{1,6}['\"]?\n?){1,3}",
        "(from \\.{0,2}[a-z.]{0,4} import \\(?[a-zé]{1,3}(, ?\n?[a-z]{1,3})?( # x\n)?\\)?\n?){1,3}",
        "((func|def|import|return|class) )?[a-z]{1,4}([.(:=\"'`{,]{1,2}[A-Za-z]{1,5}){0,4}[)}\n#/*]{0,3}",
        "(All tests pass|Done|I read a/b.py|lint is clean)[.!?:;]? (once|not|if|✅|\n)?",
        r#"(cd [a-z/]{1,6} && )?(make|git (add|log)|sleep 3|grep -n "x"|sed -i s/a/b/)( \| (head|tail) -[0-9])?( 2>&1)?(; echo "\$\?")?( > [a-z])?"#,
        "(ok|FAIL|[0-9]{1,6}|[0-9]+(\\.[0-9]+)?(ms|s)|[0-9a-f]{4,12}|/tmp/[a-z]+|\\x1b\\[3[0-9]m|é|…)( |\n|:|-|\\.){0,2}",
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        any_text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(&KEYS[..]), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

/// Some event's name and tool with any fields.
fn any_event() -> impl Strategy<Value = Value> {
    let names = (prop::sample::select(&HOOKS[..]), prop::sample::select(&TOOLS[..]));
    (names, prop::collection::vec((prop::sample::select(&KEYS[..]), any_value()), 0..10)).prop_map(
        |((hook, tool), fields)| {
            let mut event: Map<String, Value> = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
            event.insert("hook_event_name".to_owned(), json!(hook));
            event.entry("tool_name").or_insert(json!(tool));
            Value::Object(event)
        },
    )
}

#[expect(clippy::expect_used, reason = "the fixture is checked by another test")]
fn engine() -> Engine {
    let line = include_str!("fixtures/workspaces.jsonl").lines().next().expect("a line");
    let index: Arc<dyn Index> = Arc::new(Workspace::from_line(line).expect("an index"));
    Engine::new(&Settings::default(), &index)
}

fn run(events: &[Value]) -> (Engine, Vec<Detection>) {
    let mut engine = engine();
    let found = events.iter().flat_map(|event| engine.observe(&Event::from_hook(event.clone()))).collect();
    (engine, found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_events_are_taken_and_the_same_ones_give_the_same(events in prop::collection::vec(any_event(), 0..40)) {
        let (engine, found) = run(&events);
        prop_assert_eq!(&run(&events).1, &found);
        for detection in &found {
            prop_assert!(detection.at_event < events.len());
            prop_assert!(detection.severity <= 100 && detection.confidence <= 100);
            prop_assert!(!detection.title.is_empty() && !detection.advice.is_empty());
        }
        prop_assert!(engine.held() <= MAX_HELD);
        let call = ToolCall { id: String::new(), name: "Bash".to_owned(), input: events.first().cloned().unwrap_or_default() };
        prop_assert_eq!(engine.before(None, &call), engine.before(None, &call));
    }

    #[test]
    fn any_json_is_an_event(value in any_value()) {
        let _ = engine().observe(&Event::from_hook(value));
    }

    #[test]
    fn any_text_can_be_cut(any in any::<String>(), max in 0_usize..64) {
        prop_assert!(text::head(&any, max).len() <= max && text::tail(&any, max).len() <= max);
        prop_assert!(any.starts_with(text::head(&any, max)) && any.ends_with(text::tail(&any, max)));
        let cut = text::cut(any.clone(), max);
        prop_assert!(cut.len() <= max.max(any.len()) + 64);
    }

    #[test]
    fn any_source_and_any_message_are_read(any in any_text(), file in "[a-z]{1,3}(/[a-z]{1,3}){0,2}\\.(go|ts|py|rs|ex|java|c|rb|sh)") {
        if let Some(language) = Language::of(&file) {
            let names = source::names(&any, language);
            prop_assert!(names.used.iter().all(|mention| !mention.name.is_empty()));
            let _ = imports::imports(&any, language, &file, &["a/b".to_owned()], &|_| true);
            let _ = imports::named(&any, language);
        }
        let _ = (Claims::read(&any), Checks::of(&any), words::parts(&any));
        let _ = (checks::summary(&any), text::shown(&any), text::slashed(any.clone()));
        let mut seen = Words::default();
        seen.read(&any);
        words::each_word(&any, &mut |word| assert!(seen.has(word)));
    }

    #[test]
    fn any_line_is_read_or_refused(line in any::<String>()) {
        let _ = Trace::from_line(&line);
        let _ = text::parse_time(&line);
    }
}

#[test]
fn a_hundred_thousand_events_hold_no_more_than_a_few() {
    let mut engine = engine();
    let mut session = Session::new();
    let mut most = 0;
    for n in 0..100_000_u64 {
        let agent = format!("agent-{}", n % 97);
        session.agent((n % 3 == 0).then_some(agent.as_str()));
        // Work in the first half; in the second nothing is new, and what is held grows to its bounds.
        let kind = if n < 50_000 { n % 9 } else { 3 + n % 6 };
        match kind {
            0 => session.prompt(&format!("prompt {n} {}", "x".repeat(200))),
            1 => session.edit(
                &format!("/home/u/shop/{n}.py"),
                "a",
                &format!("import m{n}\nx.name_{n}(part_{n})"),
            ),
            2 => session.bash(&format!("touch {n}"), ""),
            3 | 4 => session.bash(&format!("make part{}", n % 400), &format!("{n} left")),
            5 => session.turn(&format!("model-{}", n % 31), [n % 7, 900, 100_000, n % 30_000]),
            6 => session.edit_fails("/home/u/shop/a.py", "gone"),
            7 if n % 5 == 0 => session.stop(&format!("Done. I wrote part{n} and word{n}."), n % 2 == 0),
            _ => session.grep(&format!("p{n}"), ""),
        };
        let event = session.events.pop().expect("just written");
        let _ = engine.observe(&Event::from_hook(event));
        most = most.max(engine.held());
    }
    assert!(most <= MAX_HELD, "{most}");
    assert!(most > 500, "the lists are filled: {most}");
}

#[test]
fn large_events_are_cut_and_stay_different() {
    let long = |end: &str| Value::String("x".repeat(5_000_000) + end);
    let event =
        |end: &str| Event::from_hook(json!({"hook_event_name": "UserPromptSubmit", "prompt": long(end)}));
    assert_eq!(event("a"), event("a"));
    assert_ne!(event("a"), event("b"));
    let wide: Vec<_> = (0..100_000).map(|n| json!({"n": n})).collect();
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let event =
        Event::from_hook(json!({"hook_event_name": "PostToolUse", "tool_name": "X", "tool_input": wide,
        "tool_response": deep}));
    assert!(format!("{event:?}").len() < 1_000_000);
}
