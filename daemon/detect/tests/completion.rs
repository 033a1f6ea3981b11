//! Closing claims that the checks do not bear out, and the honest endings next to them.

mod common;

use ccd_detect::checks::{Checks, Said, said};
use ccd_detect::claims::Claims;
use ccd_detect::{Kind, Outcome};
use common::Session;
use serde_json::json;

const FILE: &str = "/home/u/shop/src/basket.py";

fn rules(session: &Session) -> Vec<&'static str> {
    session.found(Kind::Completion).into_iter().map(|(rule, _)| rule).collect()
}

fn edited() -> Session {
    let mut session = Session::new();
    session.read(FILE, "def total(): ...").edit(FILE, "sum", "sorted");
    session
}

#[test]
fn a_claim_without_a_check() {
    let mut session = edited();
    session.stop("All tests pass. The basket keeps its order now.", false);
    assert_eq!(session.found(Kind::Completion), [("never_run", session.last())]);
    let mut session = edited();
    session.bash("ruff check .", "All checks passed!").stop("All 12 tests are passing.", false);
    assert_eq!(rules(&session), ["never_run"], "linting is not testing");
}

#[test]
fn a_claim_that_the_last_check_denies() {
    for (command, error) in [
        ("pytest -q", "Exit code 1\n2 failed, 10 passed"),
        ("cargo test", "Exit code 101\ntest result: FAILED. 1 passed; 1 failed"),
        ("npm run test:unit", "Exit code 1\nTests: 1 failed, 3 passed"),
        ("./gradlew test", "Exit code 1\nBUILD FAILED"),
        ("mix test", "Exit code 2\n1 test, 1 failure"),
    ] {
        let mut session = edited();
        session.bash_fails(command, error).edit(FILE, "a", "b").stop("Done! All tests pass.", false);
        assert_eq!(rules(&session), ["failing"], "{command}");
    }
    let mut session = edited();
    session
        .bash("go test ./... 2>&1 | tail -3", "FAIL\tshop/basket\t0.3s\nFAIL")
        .stop("Tests pass now.", false);
    assert_eq!(rules(&session), ["failing"], "a pipe hides the exit code, not the output");
}

#[test]
fn a_change_after_the_last_check() {
    let mut session = edited();
    session.bash("pytest", "12 passed").edit(FILE, "c", "d").stop("All tests pass.", false);
    assert_eq!(rules(&session), ["stale"]);
    let mut session = edited();
    session
        .bash("pytest", "12 passed")
        .edit("/home/u/shop/README.md", "c", "d")
        .stop("All tests pass.", false);
    assert_eq!(rules(&session), [""; 0], "prose breaks no test");
}

#[test]
fn verified_and_honest_endings_are_quiet() {
    let quiet = |session: &Session| assert_eq!(rules(session), [""; 0]);
    let mut session = edited();
    session.bash_fails("pytest", "Exit code 1\n1 failed").edit(FILE, "c", "d").bash("pytest", "12 passed");
    session.stop("Fixed. All tests pass and lint is clean.", false);
    quiet(&session);
    let mut session = edited();
    session.bash("pytest -q || true", "12 passed, 0 failed").stop("All tests pass.", false);
    quiet(&session);
    for message in [
        "The change is in. I could not run the tests: pytest is not installed.",
        "I changed the sorting. Run the tests to make sure that they pass.",
        "Tests should pass once the migration has run.",
        "Two tests still fail; shall I look into them?",
        "Do the tests pass for you?",
        "Sorted by date now.",
    ] {
        let mut session = edited();
        session.stop(message, false);
        quiet(&session);
    }
    let mut session = Session::new();
    session.read(FILE, "x").stop("All tests pass in CI, says the page.", false);
    quiet(&session);
    let mut session = edited();
    session.prompt("I ran it, the tests pass").stop("Good: all tests pass.", false);
    quiet(&session);
    let mut session = edited();
    session.ok("Task", &json!({"prompt": "run the tests"}), &json!({"totalToolUseCount": 3}));
    session.stop("All tests pass.", false);
    quiet(&session);
}

#[test]
fn a_session_that_goes_on() {
    let mut session = Session::new();
    session.events[0]["source"] = json!("resume");
    session.stop("All tests pass.", false);
    assert_eq!(rules(&session), [""; 0], "what was checked before is not known");
    session.edit(FILE, "a", "b").stop("All tests pass.", false);
    assert_eq!(rules(&session), ["stale"]);
}

fn todos(session: &mut Session, last: &str) {
    let todos = json!([{"content": "sort", "status": "completed"}, {"content": "test it", "status": last}]);
    session.ok("TodoWrite", &json!({"todos": todos}), &json!({}));
}

#[test]
fn open_tasks() {
    let mut session = edited();
    todos(&mut session, "pending");
    session.stop("All done! The basket keeps its order.", false);
    assert_eq!(rules(&session), ["open_tasks"]);
    let mut session = edited();
    for id in ["1", "2"] {
        session.ok("TaskCreate", &json!({"subject": "s"}), &json!({"task": {"id": id}}));
    }
    session.ok("TaskUpdate", &json!({"taskId": "1", "status": "completed"}), &json!({}));
    session.stop("Done. Everything is in place.", false);
    assert_eq!(rules(&session), ["open_tasks"]);
    for (last, message) in [
        ("completed", "All done!"),
        ("pending", "The first step is done. Remaining work: the test."),
        ("pending", "Shall I go on?"),
    ] {
        let mut session = edited();
        todos(&mut session, last);
        session.stop(message, false);
        assert_eq!(rules(&session), [""; 0], "{message}");
    }
    let mut session = edited();
    todos(&mut session, "pending");
    session.prompt("Which port does it use?").stop("Done: it is 8080.", false);
    assert_eq!(rules(&session), [""; 0], "a list of another turn");
}

#[test]
fn a_report_without_a_call() {
    let mut session = Session::new();
    session.agent(Some("a1")).stop("I ran the suite: all tests pass.", false);
    assert_eq!(rules(&session), ["unfounded_report"]);
    let mut session = Session::new();
    session.agent(Some("a1")).bash("pytest", "12 passed").stop("I ran the suite: all tests pass.", false);
    assert_eq!(rules(&session), [""; 0]);
    let said = json!({"totalToolUseCount": 0, "content": [{"type": "text", "text": "All tests pass."}]});
    let mut session = Session::new();
    session.ok("Task", &json!({"prompt": "test"}), &said);
    assert_eq!(rules(&session), ["unfounded_report"]);
}

#[test]
fn checks_are_told_by_their_shape() {
    let is = |line: &str| {
        let checks = Checks::of(line);
        (checks.tests, checks.lint, checks.build)
    };
    for line in [
        "cargo test",
        "cd x && go test ./...",
        "npx vitest run",
        "npm t -- --run test",
        "uv run pytest -k a",
        "make test",
        "bundle exec rspec",
        "python -m unittest",
        "python manage.py test",
        "./scripts/run-tests.sh",
        "CI=1 yarn test:e2e",
        "dotnet test",
        "mvn -q test",
        "node --test",
        "timeout 60 bats t",
    ] {
        assert!(is(line).0, "{line}");
    }
    for line in [
        "cargo clippy",
        "eslint .",
        "go vet ./...",
        "npm run lint",
        "ruff check",
        "mypy src",
        "mise run lint",
    ] {
        assert!(is(line).1 && !is(line).0, "{line}");
    }
    for line in ["cargo build", "make", "npm run build", "tsc --noEmit", "go build ./...", "gcc a.c"] {
        assert!(is(line).2, "{line}");
    }
    for line in [
        "grep -rn test .",
        "pip install pytest",
        "ls tests",
        "cat test.log",
        "git commit -m 'fix test'",
        "npm install",
        "npm ci",
        "echo test",
        "",
    ] {
        assert_eq!(is(line), (false, false, false), "{line}");
    }
}

#[test]
fn outcomes_are_read() {
    let ok = |stdout: &str| Outcome::Ok(json!({"stdout": stdout, "stderr": ""}));
    assert_eq!(said("pytest", &ok("anything, error: too")), Some(Said::Passed), "the exit code counts");
    assert_eq!(said("pytest | tail", &ok("3 failed, 2 passed")), Some(Said::Failed));
    assert_eq!(said("pytest | tail", &ok("5 passed, 0 failed")), Some(Said::Passed));
    assert_eq!(said("pytest | grep -c x", &Outcome::Err("Exit code 1".into())), Some(Said::Unknown));
    assert_eq!(said("pytest", &Outcome::Err("Exit code 127\npytest: command not found".into())), None);
    assert_eq!(said("pytest", &Outcome::Ok(json!({"backgroundTaskId": "b1"}))), Some(Said::Unknown));
}

#[test]
fn claims_are_read() {
    let passes = |text: &str| Claims::read(text).passes;
    assert!(passes("All 15 tests pass.").tests);
    assert!(passes("**Tests**: passing ✅").tests);
    assert!(passes("The linter is clean and the build succeeds.").lint);
    assert!(passes("It compiles cleanly.").build);
    for text in [
        "The tests do not pass.",
        "If the tests pass, merge.",
        "```\nall tests pass\n```",
        "I wrote a test for it.",
        "One test fails, the others pass.",
    ] {
        assert!(!passes(text).any(), "{text}");
    }
}
