//! Reports against a fake daemon, and sessions of a file.

use std::io::Write as _;

use ccd_proto::api::{Context, Evidence, Intervention, ReportCost};
use clap::Parser;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::args::{Cli, Command};
use crate::testing::{Home, Reply as Said};
use ccd_proto::api::Detection;

/// A session with a loop and an unfounded claim.
pub(crate) fn sample() -> Report {
    let id = |n: u32| format!("{n:08x}00000000");
    let seen = |n: u32, text: &str| Evidence { span_id: Some(id(n)), text: text.into() };
    let session = Session {
        session_id: "5f0c6c2e-8d1f-4a93-a1f2-000000000001".into(),
        cwd: Some("/home/u/shop".into()),
        project: Some("shop".into()),
        model: Some("claude-opus-5-5".into()),
        started_at: "2026-11-20T20:01:00.000000Z".into(),
        last_at: "2026-11-20T20:31:00.000000Z".into(),
        turns: 3,
        tool_calls: 48,
        context: Context::default(),
        ..Session::default()
    };
    let claim = Detection {
        detection_id: "aa".repeat(16),
        kind: "completion".into(),
        rule: "stale".into(),
        severity: 65,
        confidence: 80,
        at: "2026-11-20T20:30:00.000000Z".into(),
        title: "The closing message says that checks pass; code changed after the last check".into(),
        evidence: vec![
            seen(4, "changed: src/cart.rs"),
            Evidence { span_id: None, text: "All tests pass.".into() },
        ],
        advice: "Run the project's checks on what is there now, and report what they say.".into(),
        mast: Some("FM-3.2".into()),
        state: "dismissed".into(),
        reason: Some("the tests ran in CI".into()),
        ..Detection::default()
    };
    let repeat = Detection {
        detection_id: "bb".repeat(16),
        kind: "loop".into(),
        rule: "repeat".into(),
        severity: 70,
        confidence: 95,
        at: "2026-11-20T20:14:09.000000Z".into(),
        span_id: Some(id(3)),
        title: "The same call failed in the same way 3 times: Bash cargo test \u{1b}[31m".into(),
        evidence: vec![
            seen(1, "Bash cargo test"),
            seen(2, "Bash cargo test"),
            seen(3, "Bash cargo test ```\n# not a heading"),
        ],
        advice: "Read the error: change the command, what it depends on, or the code, or ask the user. Do not run it \
                 unchanged."
            .into(),
        mast: Some("FM-1.3".into()),
        intervention: Some(Intervention {
            at: "2026-11-20T20:14:10.000000Z".into(),
            action: "denied".into(),
            event: "PreToolUse".into(),
            delivered: true,
            ..Intervention::default()
        }),
        state: "open".into(),
        ..Detection::default()
    };
    Report {
        session,
        first: Some(1),
        detections: vec![claim, repeat],
        cost: ReportCost {
            session_usd_micros: Some(1_230_000),
            since_first_usd_micros: Some(420_000),
            tool_calls_since_first: 34,
        },
        guardrail: "## Guardrail: no repetition\n- When `cargo test` gives the same result a second time, change the \
                    code, the call or what it depends on before the next time, or ask the user.\n- Never make the same \
                    call a third time.\n"
            .into(),
        events: 1234,
        not_checked: vec!["names and paths: the working directory was not looked at (--tree does)".into()],
    }
}

fn args(line: &[&str]) -> AnalyzeArgs {
    let Command::Analyze(args) = Cli::try_parse_from([&["ccctl", "analyze"], line].concat()).unwrap().command
    else {
        panic!()
    };
    args
}

fn body(report: &Report) -> String {
    let mut value = serde_json::to_value(report).unwrap();
    value["schema_version"] = json!(1);
    value.to_string()
}

#[test]
fn a_report_for_people() {
    let env = Home::new().env();
    for width in [100, 60] {
        let (out, ..) = Printer::captured(width);
        let lines = report::lines(&env, &out, &sample());
        insta::assert_snapshot!(format!("report_{width}"), lines.join("\n"));
        for line in lines {
            assert!(unicode_width::UnicodeWidthStr::width(line.as_str()) <= width, "{line}");
            assert!(!line.contains(['\u{1b}', '\n']), "{line}");
        }
    }
}

#[test]
fn a_healthy_session_is_said_to_be_so() {
    let (out, ..) = Printer::captured(80);
    let healthy =
        Report { detections: Vec::new(), first: None, guardrail: String::new(), events: 77, ..sample() };
    insta::assert_snapshot!("healthy", report::lines(&Home::new().env(), &out, &healthy).join("\n"));
}

#[test]
fn the_newest_session_of_this_directory_is_taken() {
    let home = Home::new();
    let here = home.path().display().to_string();
    let name = home.path().file_name().unwrap().to_str().unwrap().to_owned();
    let session =
        |id: &str, cwd: &str| Session { session_id: id.into(), cwd: Some(cwd.into()), ..Session::default() };
    let daemon = home.daemon(move |request| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match request.uri().path() {
            "/v0/analyze" => Said::json(body(&sample())),
            _ if query.contains("project=") => {
                let sessions =
                    [session("else", "/elsewhere"), session("mine", &here), session("older", &here)];
                Said::json(json!({"schema_version": 1, "sessions": sessions}).to_string())
            }
            _ => Said::json(json!({"schema_version": 1, "sessions": [session("newest", "/x")]}).to_string()),
        }
    });
    let asked = |line: &[&str]| {
        let (mut out, text, err) = Printer::captured(80);
        run(&home.env(), &mut out, &args(line)).unwrap();
        (text.text(), err.text())
    };
    let (text, _) = asked(&["--json"]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["events"], 1234);
    assert_eq!(
        daemon.requests(),
        [format!("GET /v0/sessions?project={name}&limit=100"), "GET /v0/analyze?session=mine".to_owned()]
    );
    assert_eq!(asked(&["--session", "5f", "--tree", "--guardrail"]).0, sample().guardrail);
    assert_eq!(daemon.requests()[2], "GET /v0/analyze?session=5f&tree=1");
    assert!(
        asked(&["--session", "5f", "--markdown"]).0.starts_with("# What went wrong in session `5f0c6c2e-")
    );

    let (mut out, ..) = Printer::captured(80);
    let elsewhere = Env { cwd: "/somewhere".into(), ..home.env() };
    run(&elsewhere, &mut out, &args(&["--markdown"])).unwrap();
    assert_eq!(daemon.requests().last().unwrap(), "GET /v0/analyze?session=newest");
}

#[test]
fn without_sessions_or_a_daemon_it_says_what_to_do() {
    let home = Home::new();
    let failed = || {
        let (mut out, text, _) = Printer::captured(80);
        let error = run(&home.env(), &mut out, &args(&[])).unwrap_err();
        assert_eq!(text.text(), "");
        error
    };
    assert_eq!(failed().exit_code(), 3);
    let _daemon = home.daemon(|_| Said::json(r#"{"schema_version":1,"sessions":[]}"#));
    let error = failed();
    assert_eq!((error.exit_code(), error.hints.len()), (1, 2));
}

#[test]
fn forms_exclude_each_other() {
    for line in [
        &["--json", "--markdown"][..],
        &["--file", "f", "--session", "s"],
        &["--file", "f", "--guardrail"],
        &["--workspaces", "w"],
        &["--settings"],
    ] {
        assert!(Cli::try_parse_from([&["ccctl", "analyze"], line].concat()).is_err(), "{line:?}");
    }
    assert_eq!(args(&["--file", "f", "--settings"]).settings, Some(None));
    assert_eq!(args(&["--file", "f", "--settings", "c"]).settings, Some(Some("c".into())));
}

/// A session in which one command fails again and again.
fn looping(trace: &str) -> Value {
    let mut events = vec![
        json!({"hook_event_name": "SessionStart", "source": "startup", "cwd": "/w", "ts": "2026-01-01T00:00:00Z"}),
        json!({"hook_event_name": "UserPromptSubmit", "prompt": "mend the build", "ts": "2026-01-01T00:00:01Z"}),
    ];
    for n in 0..5 {
        events.push(json!({"hook_event_name": "PostToolUseFailure", "tool_name": "Bash", "tool_use_id": format!("t{n}"),
            "tool_input": {"command": "make \u{202e}"}, "error": "Exit code 2\nmake: *** no rule",
            "ts": format!("2026-01-01T00:0{n}:30Z")}));
    }
    json!({"trace_id": trace, "events": events, "meta": {"loop_start": 0}})
}

/// Analyses a file: stdout, stderr, exit code.
fn analysed(home: &Home, line: &[&str]) -> (String, String, u8) {
    let (mut out, text, err) = Printer::captured(80);
    let done = run(&home.env(), &mut out, &args(line));
    let code = done.as_ref().map_or_else(CommandError::exit_code, |()| 0);
    if let Err(error) = &done {
        out.error(error);
    }
    (text.text(), err.text(), code)
}

#[test]
fn a_file_is_analysed_line_by_line_in_its_order() {
    let home = Home::new();
    let mut file = String::new();
    for n in 0..100 {
        let trace = if n % 3 == 0 {
            looping(&format!("t{n}"))
        } else {
            json!({"trace_id": format!("t{n}"), "events": []})
        };
        file += &trace.to_string();
        file.push('\n');
    }
    home.write("f.jsonl", &file);
    let (text, err, code) = analysed(&home, &["--file", "f.jsonl"]);
    assert_eq!((code, err.as_str()), (0, "100 sessions, 238 events, 34 findings\n"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 100);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["trace_id"], format!("t{n}"));
        assert_eq!(line["detections"].as_array().unwrap().len(), usize::from(n % 3 == 0));
    }
    assert!(text.starts_with(
        r#"{"trace_id":"t0","detections":[{"kind":"loop","severity":70,"at_event":4,"rule":"repeat","#
    ));
    assert!(text.contains(r"\u202e") && !text.contains('\u{202e}'), "{text}");

    // The same, packed.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(file.as_bytes()).unwrap();
    home.write("f.jsonl.gz", packer.finish().unwrap());
    assert_eq!(analysed(&home, &["--file", "f.jsonl.gz"]), (text, err, 0));
}

#[test]
fn a_line_that_cannot_be_read_is_named_and_the_rest_goes_on() {
    let home = Home::new();
    let good = json!({"trace_id": "a", "events": [], "meta": {"workspace": "w"}});
    let mut file = format!("{good}\n{{\"trace_id\":\"b\"}}\n\nno json\n").into_bytes();
    file.extend_from_slice(
        b"\xff\xfe\n{\"type\":\"user\",\"sessionId\":\"s\"}\n{\"hook_event_name\":\"Stop\"}\n",
    );
    file.extend_from_slice(format!("{{\"trace_id\":\"{}\"}}\n", "x".repeat(70_000)).as_bytes());
    file.extend_from_slice(format!("{good}").as_bytes());
    home.write("f", file);
    home.write("w", "{\"workspace\":\"v\"}\n[]\n");
    let (text, err, code) = analysed(&home, &["--file", "f", "--workspaces", "w"]);
    assert_eq!((text.lines().count(), code), (2, 1), "{err}");
    insta::assert_snapshot!("wrong_lines", err);
    home.write("t", "{\"type\":\"user\",\"sessionId\":\"s\"}\n{\"type\":\"user\",\"sessionId\":\"s\"}\n");
    let (text, err, code) = analysed(&home, &["--file", "t"]);
    assert_eq!((text.as_str(), code, err.lines().count()), ("", 1, 2), "{err}");
    assert!(err.contains("transcripts") && err.contains("ccctl import FILE"), "{err}");
    let (_, err, code) = analysed(&home, &["--file", "nowhere"]);
    assert!(code == 1 && err.contains("nowhere"), "{err}");
    let (_, err, code) = analysed(&home, &["--file", "f", "--workspaces", "nowhere"]);
    assert!(code == 1 && err.contains("nowhere"), "{err}");
}

#[test]
fn names_are_checked_where_the_working_directory_is_given() {
    let home = Home::new();
    let edit = json!({"hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_use_id": "t",
        "tool_input": {"file_path": "/w/a.go", "old_string": "x()", "new_string": "user := LoadUserByName(id)"},
        "tool_response": {"filePath": "/w/a.go"}});
    let trace = json!({"trace_id": "a", "events": [
        {"hook_event_name": "SessionStart", "source": "startup", "cwd": "/w"},
        {"hook_event_name": "UserPromptSubmit", "prompt": "use the store"}, edit], "meta": {"workspace": "shop"}});
    home.write("f", trace.to_string());
    let shop = json!({"workspace": "shop", "files": ["a.go", "b.go"], "dependencies": [],
        "symbols": {"LoadUserById": ["func:b.go"]}, "identifiers": ["LoadUserById", "user"]});
    home.write("w", shop.to_string());
    let kinds = |line: &[&str]| {
        let (text, err, code) = analysed(&home, line);
        assert_eq!(code, 0, "{err}");
        let found: Value = serde_json::from_str(&text).unwrap();
        let kinds =
            found["detections"].as_array().unwrap().iter().map(|d| d["kind"].clone()).collect::<Vec<_>>();
        (kinds, err)
    };
    assert_eq!(kinds(&["--file", "f", "--workspaces", "w"]).0, [json!("hallucination")]);
    let (none, err) = kinds(&["--file", "f"]);
    assert!(none.is_empty() && err.contains("with --workspaces, names and paths are checked"), "{err}");
}

#[test]
fn thresholds_are_the_defaults_unless_the_users_are_asked_for() {
    let home = Home::new();
    home.write("f", looping("a").to_string());
    home.write(
        "ccd/config.toml",
        "[detect.loop]\nenabled = false\n[detect.projects.\"/w\".loop]\nrepeats = 2\n",
    );
    home.write("other.toml", "[detect.loop]\nrepeats = 4\n");
    home.write("wrong.toml", "[detect.loop]\nrepeat = 4\n");
    let at = |line: &[&str]| {
        let (text, ..) = analysed(&home, &[&["--file", "f"], line].concat());
        serde_json::from_str::<Value>(&text).ok().map(|found| found["detections"][0]["at_event"].clone())
    };
    assert_eq!(at(&[]), Some(json!(4)));
    assert!(home.env().layout.config_file.exists(), "{:?}", home.env().layout.config_file);
    assert_eq!(at(&["--settings"]), Some(Value::Null));
    assert_eq!(at(&["--settings", "other.toml"]), Some(json!(5)));
    let (_, err, code) = analysed(&home, &["--file", "f", "--settings", "wrong.toml"]);
    assert!(code == 1 && err.contains("repeat"), "{err}");
    let (_, err, code) = analysed(&home, &["--file", "f", "--settings", "nowhere.toml"]);
    assert!(code == 1 && err.contains("nowhere.toml"), "{err}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_as_lines_are_survived(
        lines in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "\\{\"trace_id\":\"a\",\"events\":\\[[^\n]{0,60}\\]\\}".prop_map(String::into_bytes),
                "\\{\"trace_id\":\"[a-z]\",\"events\":\\[(\\{\"hook_event_name\":\"(Stop|PostToolUse|ApiTurn)\",\"[a-z_]{1,9}\":[0-9]{1,4}\\})?\\]\\}"
                    .prop_map(String::into_bytes),
            ],
            0..12,
        ),
    ) {
        let home = Home::new();
        let file = lines.join(&b'\n');
        home.write("f", &file);
        let (text, err, code) = analysed(&home, &["--file", "f"]);
        let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // Bytes may bring line feeds of their own; what counts is that each line is answered or named.
        let is_blank = |line: &&[u8]| std::str::from_utf8(line).is_ok_and(|text| text.trim().is_empty());
        let asked = file.split(|byte| *byte == b'\n').filter(|line| !is_blank(line)).count();
        let named = err.lines().filter(|line| line.starts_with("error: f: line ")).count();
        prop_assert_eq!(found.len() + named, asked, "{}", err);
        prop_assert_eq!(code, u8::from(named > 0));
        prop_assert!(!err.contains("mistake in them"), "{}", err);
    }
}
