//! `analyze`, `detections` and `heal` as they are typed: sessions of a file without a daemon, and what a daemon answers
//! where nothing was found.

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, TestHome, binary, run};
use serde_json::{Value, json};

use crate::contract::recorded;

/// A session in which a command fails in the same way four times.
fn looping() -> Value {
    let failure = |n: u32| {
        json!({"hook_event_name": "PostToolUseFailure", "tool_name": "Bash", "tool_use_id": format!("t{n}"),
            "tool_input": {"command": "make all"}, "error": "Exit code 2\nno rule to make target",
            "ts": format!("2026-01-01T00:0{n}:00Z")})
    };
    let start = json!({"hook_event_name": "SessionStart", "source": "startup", "cwd": "/w"});
    json!({"trace_id": "a", "events": [start, failure(1), failure(2), failure(3), failure(4)]})
}

#[test]
fn sessions_of_a_file_are_analysed_without_a_daemon() {
    let home = TestHome::new("http://127.0.0.1:9");
    let input = format!("{}\nnot one\n{}\n", looping(), json!({"trace_id": "b", "events": []}));
    let out = run(home.command(&binary("ccctl")).args(["analyze", "--file", "-"]), input.as_bytes());
    assert_eq!(out.code, Some(1), "{out}");
    assert!(out.stderr.contains("stdin: line 2: not a JSON object"), "{out}");
    let text = out.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{out}");
    let found = lines[0]["detections"].as_array().unwrap();
    assert_eq!((&lines[0]["trace_id"], found.len()), (&json!("a"), 1), "{out}");
    let names = ["kind", "severity", "at_event"].map(|name| found[0][name].clone());
    assert_eq!(names, [json!("loop"), json!(70), json!(3)], "{out}");
    assert_eq!(lines[1], json!({"trace_id": "b", "detections": []}), "{out}");

    let page = home.ccctl(&["detections", "--explain", "loop"]).ok();
    assert!(page.text().contains("## Known limits"), "{page}");
    for args in
        [&["analyze"][..], &["detections"], &["heal"], &["heal", "pause"], &["detections", "--dismiss", "ab"]]
    {
        assert_eq!(home.ccctl(args).code, Some(3), "{args:?}");
    }
}

#[test]
fn a_daemon_that_has_found_nothing_says_so_and_takes_what_it_is_told() {
    let (home, _daemon, _mock, session) = recorded();
    let asked = |args: &[&str]| home.ccctl(args).ok();
    assert_eq!(asked(&["detections", "--json"]).json()["detections"], json!([]));
    assert!(asked(&["detections"]).text().starts_with("nothing was found to go wrong so far"));
    let trend = asked(&["detections", "--by", "kind,project,week", "--json"]).json();
    assert_eq!((&trend["rows"], &trend["sessions"]), (&json!([]), &json!(1)), "{trend}");
    let unknown = home.ccctl(&["detections", "abcdef0123"]);
    assert_eq!(unknown.code, Some(1), "{unknown}");

    assert_eq!(asked(&["heal", "--json"]).json()["mode"], "advise");
    let paused = asked(&["heal", "pause", "--for", "30m", "--json"]).json();
    let exception = &paused["exceptions"][0];
    assert_eq!((&exception["what"], &exception["session_id"]), (&json!("pause"), &Value::Null), "{paused}");
    assert!(exception["until"].is_string(), "{paused}");
    let allowed = asked(&["heal", "allow", "--session", &session.session[..8], "--kind", "loop"]);
    assert!(allowed.text().contains("loop allowed in session"), "{allowed}");
    assert!(asked(&["heal"]).text().contains("everything paused in all sessions until"));
    asked(&["heal", "resume"]);
    assert!(!asked(&["heal"]).text().contains("paused"));
    assert!(asked(&["heal", "list"]).text().starts_with("nothing was done"));
}

#[test]
fn the_mode_is_changed_in_the_configuration_and_taken_up() {
    let home = TestHome::new("http://127.0.0.1:9");
    let file = home.layout().config_file;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mine = "# mine\n[heal]\nseverity = 60 # not each of them\n";
    std::fs::write(&file, mine).unwrap();
    let _daemon = Daemon::start(&home);
    let changed = home.ccctl(&["heal", "mode", "guard"]).ok();
    assert!(changed.text().contains("guard: the model is told"), "{changed}");
    let changed = home.ccctl(&["heal", "mode", "off", "--project", "/nowhere/app", "--json"]).ok().json();
    assert_eq!((&changed["in_force"], &changed["project"]), (&json!(true), &json!("/nowhere/app")));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(mine.trim_end()), "{text}");
    assert_eventually!(home.ccctl(&["heal", "--json"]).ok().json()["mode"] == "guard", "it goes by the file");
    let heal = home.ccctl(&["heal"]).ok();
    assert!(heal.text().contains("off in /nowhere/app"), "{heal}");
}
