//! Loops as they look with other tools, systems and services, and the healthy work next to them.

mod common;

use ccd_detect::Kind;
use common::{Session, bash_call};
use serde_json::{Value, json};

fn rules(session: &Session) -> Vec<&'static str> {
    session.found(Kind::Loop).into_iter().map(|(rule, _)| rule).collect()
}

fn task(session: &mut Session, prompt: &str, report: &str) {
    session.says("Let me ask a subagent.").ok(
        "Task",
        &json!({"description": format!("try {report}"), "prompt": prompt, "subagent_type": "Explore"}),
        &json!({"content": [{"type": "text", "text": report}], "totalToolUseCount": 4}),
    );
}

#[test]
fn the_same_subagent_again_and_again() {
    let mut session = Session::new();
    for n in 0..3 {
        task(&mut session, "Find where coupons are applied", &format!("In file {n}, I think."));
    }
    assert_eq!(rules(&session), ["agent"]);
    for n in 3..5 {
        task(&mut session, "Find where coupons are applied", &format!("In file {n}, I think."));
    }
    assert_eq!(rules(&session), ["agent"], "told once until it has doubled");
}

#[test]
fn subagents_that_share_work_or_check_a_change_are_none() {
    let mut session = Session::new();
    for part in ["coupons", "taxes", "stock", "mail"] {
        task(&mut session, &format!("Find where {part} are handled"), "There.");
    }
    assert_eq!(rules(&session), [""; 0], "each has its own prompt");
    let mut session = Session::new();
    session.says("Five at once.");
    let input = json!({"prompt": "Review the change", "subagent_type": "reviewer"});
    for n in 0..5 {
        session.ok("Agent", &input, &json!({"content": [{"type": "text", "text": format!("report {n}")}]}));
    }
    assert_eq!(rules(&session), [""; 0], "side by side");
    let mut session = Session::new();
    for n in 0..4 {
        task(&mut session, "Review the change", &format!("{n} findings"));
        session.edit("/home/u/shop/a.py", &format!("v{n}"), &format!("v{}", n + 1));
    }
    assert_eq!(rules(&session), [""; 0], "something was changed between");
}

#[test]
fn servers_whose_requests_carry_ids() {
    let ask = |n: u64, issue: &str| json!({"issue": issue, "request_id": format!("0a1b2c3d-1111-4222-8333-{n:012}")});
    let mut session = Session::new();
    for n in 0..5 {
        session.ok("mcp__tracker__get_issue", &ask(n, "SHOP-12"), &json!([{"type": "text", "text": "open"}]));
    }
    assert_eq!(rules(&session), ["repeat"]);
    let mut session = Session::new();
    for n in 0..9 {
        let issue = format!("SHOP-{n}");
        session.ok("mcp__tracker__get_issue", &ask(n, &issue), &json!([{"type": "text", "text": "open"}]));
    }
    assert_eq!(rules(&session), [""; 0], "other issues");
    let mut session = Session::new();
    for n in 0..9 {
        session.says("Waiting.").wait(20);
        session.ok("mcp__ci__waitForBuild", &ask(n, "7"), &json!([{"type": "text", "text": "running"}]));
    }
    assert_eq!(rules(&session), [""; 0], "it says that it waits");
}

#[test]
fn a_failure_that_a_pipe_hides_is_the_same_failure() {
    let mut session = Session::new();
    session
        .bash_fails("npm test", "Exit code 1\n3 failed, 9 passed")
        .bash("npm test 2>&1 | tail -20", "3 failed, 9 passed")
        .bash("CI=1 npm run test || true", "3 failed, 9 passed");
    assert_eq!(rules(&session), ["repeat"]);
}

#[test]
fn windows_paths_are_one_place() {
    let mut session = Session::new();
    session.events.truncate(0);
    session
        .push(json!({"hook_event_name": "SessionStart", "source": "startup", "cwd": "C:\\Users\\u\\shop"}));
    session.prompt("Mend the basket");
    session
        .bash("cd /c/Users/u/shop && npm test", "3 failed")
        .bash("npm test 2>&1", "3 failed")
        .bash("cd \"C:\\Users\\u\\shop\"; npm test | Select-Object -Last 5", "3 failed");
    assert_eq!(rules(&session), ["repeat"]);
}

#[test]
fn waiting_for_other_services_is_no_loop() {
    for command in [
        "kubectl get pods -n shop",
        "aws ecs describe-services --cluster shop",
        "gh api repos/a/b/actions/runs/12 --jq .status",
        "docker compose ps",
        "curl -sf http://localhost:5173/health",
        "ssh build 'systemctl is-active job'",
        "pg_isready -h db",
    ] {
        let mut session = Session::new();
        for _ in 0..8 {
            session.bash(command, "pending").wait(30);
        }
        assert_eq!(rules(&session), [""; 0], "{command}");
        assert!(session.engine().0.before(None, &bash_call(command)).is_none(), "{command}");
    }
    // What changes something there is no question.
    let mut session = Session::new();
    for _ in 0..3 {
        session.bash_fails("kubectl apply -f api.yaml", "Exit code 1\nerror: unknown field spec.x").wait(30);
    }
    assert_eq!(rules(&session), ["repeat"]);
}

#[test]
fn failures_that_pass_by_themselves_are_tried_more_often() {
    for error in
        ["npm error network socket hang up", "fatal: Unable to create '.git/index.lock': File exists."]
    {
        let mut session = Session::new();
        for _ in 0..5 {
            session.bash_fails("npm ci", &format!("Exit code 1\n{error}"));
        }
        assert_eq!(rules(&session), [""; 0], "{error}");
        session.bash_fails("npm ci", &format!("Exit code 1\n{error}"));
        assert_eq!(rules(&session), ["repeat"], "{error}");
    }
}

fn says(text: &str) -> Vec<&'static str> {
    let mut session = Session::new();
    session.says(text);
    rules(&session)
}

#[test]
fn sentences_that_chant_without_new_lines() {
    let verse = "I will look at the basket and then run the tests again. ";
    assert_eq!(says(&verse.repeat(9)), ["chant"]);
    let two = format!("{verse}Then I will check whether the order of the articles is kept. ");
    assert_eq!(says(&two.repeat(9)), ["chant"], "two sentences in turn");
    assert_eq!(says(&verse.repeat(5)), [""; 0]);
    let listed: Vec<String> =
        (0..12).map(|n| format!("The module of part {n} was looked at and is in order.")).collect();
    assert_eq!(says(&listed.join(" ")), [""; 0], "each sentence names another part");
    let row = "| the same row of a table stands here again and again |\n";
    assert_eq!(says(&row.repeat(12)), [""; 0], "tables");
}

/// Shapes that users reported: each is written as it happened, with other names.
#[test]
fn loops_that_were_reported() {
    let found: Value = json!({"mode": "content", "content": "src/a.py:3: total", "numLines": 1});
    let mut session = Session::new();
    for _ in 0..50 {
        session.ok("Grep", &json!({"pattern": "total"}), &found);
    }
    assert!(rules(&session).len() > 1, "the same search fifty times");

    let mut session = Session::new();
    for n in 0..6 {
        let pattern = if n % 2 == 0 { "total" } else { "sum" };
        session.bash(
            &format!("cd /home/u/shop && grep -rn {pattern} src"),
            &format!("src/a.py:3: {pattern}\nShell cwd was reset to /home/u/shop"),
        );
    }
    assert!(!rules(&session).is_empty(), "two searches in turn");

    let mut session = Session::new();
    for _ in 0..3 {
        session.edit("/home/u/shop/a.py", "x", "x\nimport y");
        session.edit("/home/u/shop/a.py", "x\nimport y", "x");
    }
    assert!(!rules(&session).is_empty(), "added, taken out, added");

    let mut session = Session::new();
    for _ in 0..3 {
        session
            .edit_fails("/home/u/shop/a.py", "def total(a)")
            .bash_fails("make check", "Exit code 2\n1 error");
    }
    assert!(!rules(&session).is_empty(), "an edit that fails, and the checks after it");

    let todos = json!({"todos": [{"content": "Mend it", "status": "in_progress", "activeForm": "Mending"}]});
    let mut session = Session::new();
    for _ in 0..3 {
        session.ok("TodoWrite", &todos, &json!({"newTodos": todos["todos"]}));
    }
    assert_eq!(rules(&session), ["repeat"], "the same list again");

    let mut session = Session::new();
    session.agent(Some("a1"));
    for _ in 0..3 {
        session.bash("npm test", "3 failed");
    }
    session.agent(None);
    assert_eq!(rules(&session), ["repeat"], "within a subagent");
}
