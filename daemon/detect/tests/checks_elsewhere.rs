//! Checks and claims of other projects: how they are run, what they print, and how their results are worded.

mod common;

use ccd_detect::checks::{Checks, Said, said, summary};
use ccd_detect::claims::Claims;
use ccd_detect::{Kind, Outcome};
use common::Session;
use serde_json::json;

fn rules(session: &Session) -> Vec<&'static str> {
    session.found(Kind::Completion).into_iter().map(|(rule, _)| rule).collect()
}

fn piped(command: &str, output: &str) -> Option<Said> {
    said(&format!("{command} 2>&1 | tail -40"), &Outcome::Ok(json!({"stdout": output, "stderr": ""})))
}

/// How it is run, the end of an output where all is well, and of one where it is not.
const RUNNERS: [(&str, &str, &str); 24] = [
    (
        "npx jest",
        "Tests:       12 passed, 12 total\nTime:        1.2 s",
        "Tests:       1 failed, 11 passed, 12 total",
    ),
    (
        "pnpm vitest run",
        "stderr | a.test.ts > x\nError: boom\n\u{1b}[2m      Tests \u{1b}[22m \u{1b}[32m12 passed\u{1b}[39m (12)",
        "\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m1 failed\u{1b}[39m\u{1b}[22m | 11 passed (12)",
    ),
    (
        "uv run pytest",
        "12 passed, 2 warnings in 0.31s",
        "FAILED tests/a.py::test_b\n1 failed, 11 passed in 0.3s",
    ),
    (
        "go test ./...",
        "ok  \tshop\t0.2s\n?   \tshop/cmd\t[no test files]",
        "--- FAIL: TestA (0.00s)\nFAIL\tshop\t0.2s",
    ),
    (
        "cargo test",
        "thread 'a' panicked at src/a.rs:1:2:\ntest result: ok. 12 passed; 0 failed; 0 ignored",
        "test result: FAILED. 11 passed; 1 failed",
    ),
    (
        "cargo nextest run",
        "     Summary [   0.3s] 12 tests run: 12 passed, 0 skipped",
        "     Summary [   0.3s] 12 tests run: 11 passed, 1 failed, 0 skipped",
    ),
    (
        "mvn verify",
        "[INFO] Tests run: 12, Failures: 0, Errors: 0, Skipped: 1\n[INFO] BUILD SUCCESS",
        "[ERROR] Tests run: 12, Failures: 1, Errors: 0, Skipped: 0\n[INFO] BUILD FAILURE",
    ),
    (
        "./gradlew test",
        "BUILD SUCCESSFUL in 3s\n7 actionable tasks: 2 executed",
        "12 tests completed, 1 failed\nBUILD FAILED in 3s",
    ),
    (
        "dotnet test",
        "Passed!  - Failed:     0, Passed:    12, Skipped:     0, Total:    12",
        "Failed!  - Failed:     1, Passed:    11, Skipped:     0, Total:    12",
    ),
    ("dotnet build", "    0 Warning(s)\n    0 Error(s)", "a.cs(1,2): error CS0103: no\n    1 Error(s)"),
    (
        "./vendor/bin/phpunit",
        "OK (12 tests, 30 assertions)",
        "FAILURES!\nTests: 12, Assertions: 30, Failures: 1.",
    ),
    ("bundle exec rspec", "12 examples, 0 failures", "12 examples, 1 failure"),
    (
        "bundle exec rubocop",
        "12 files inspected, no offenses detected",
        "12 files inspected, 3 offenses detected",
    ),
    ("bun test", " 12 pass\n 0 fail\nRan 12 tests", " 11 pass\n 1 fail\nRan 12 tests"),
    ("deno test -A", "ok | 12 passed | 0 failed (23ms)", "FAILED | 11 passed | 1 failed (23ms)"),
    (
        "make check",
        "# TOTAL: 12\n# PASS:  12\n# FAIL:  0\n# ERROR: 0",
        "# FAIL:  1\nmake: *** [Makefile:3: check] Error 1",
    ),
    (
        "tox -e py312",
        "  py312: OK (1.2 seconds)\n  congratulations :) (1.3 seconds)",
        "1 failed, 11 passed in 0.3s\n  py312: FAIL code 1",
    ),
    (
        "npx nx run-many -t test",
        " NX   Successfully ran target test for 4 projects",
        "FAIL src/a.spec.ts\n NX   Running target test failed",
    ),
    (
        "pnpm turbo run test",
        "web:test:  Tests  12 passed (12)\n Tasks:    4 successful, 4 total",
        "web:test:  Tests  1 failed | 11 passed\n ERROR  run failed: command exited (1)",
    ),
    ("npx eslint .", "✖ 3 problems (0 errors, 3 warnings)", "✖ 3 problems (1 error, 2 warnings)"),
    (
        "npx tsc --noEmit",
        "Found 0 errors. Watching for file changes.",
        "src/a.ts(3,7): error TS2339: Property 'x' does not exist",
    ),
    ("uv run ruff check .", "All checks passed!", "a.py:1:1: F401 `os` imported but unused\nFound 1 error."),
    (
        "uv run mypy .",
        "Success: no issues found in 12 source files",
        "a.py:3: error: Name \"x\" is not defined\nFound 1 error in 1 file",
    ),
    ("go vet ./...", "ok", "# shop\nvet: a/a.go:12:2: undefined: total"),
];

#[test]
fn what_runners_print_is_understood_behind_a_pipe() {
    for (command, passes, fails) in RUNNERS {
        assert!(Checks::of(command).any(), "{command}");
        assert_eq!(piped(command, passes), Some(Said::Passed), "{command}");
        assert_eq!(piped(command, fails), Some(Said::Failed), "{command}");
        assert_eq!(said(command, &Outcome::Err(format!("Exit code 1\n{fails}"))), Some(Said::Failed));
    }
}

#[test]
fn commands_that_check_are_known_and_others_are_not() {
    for command in [
        "(cd web && npm test)",
        "bash -lc 'npm run lint'",
        "if ! npm test; then echo no; fi",
        "docker compose run --rm app pytest -q",
        "docker compose exec -T web npm test",
        "docker exec app php artisan test",
        "npx --yes jest",
        "pnpm dlx vitest run",
        "hatch run test",
        "pdm run test",
        "npm t",
        "yarn test:unit",
        "pnpm -r --filter web test",
        "python manage.py test shop",
        "run-tests.sh --fast",
        "./scripts/check.sh",
        "node_modules/.bin/jest",
        "cross-env CI=1 jest",
        "gradle compileKotlin",
        "./gradlew :app:connectedDebugAndroidTest",
        "terraform validate",
        "npx astro check",
        "forge test",
        "bash -n scripts/a.sh",
    ] {
        assert!(Checks::of(command).any(), "{command}");
    }
    for command in [
        "test -f package.json",
        "type npm",
        "npx playwright install",
        "pip install pytest",
        "npm install --save-dev jest",
        "grep -rn test src",
        "ls tests/",
        "cat test.log | grep check",
        "git commit -m 'test: check the build'",
        "jest --version",
        "echo 'make test'",
        "mkdir -p build",
        "npx create-vite app",
    ] {
        assert!(!Checks::of(command).any(), "{command}");
    }
}

#[test]
fn what_stands_behind_a_check_answers_in_its_place() {
    let failed = |line: &str, error: &str| said(line, &Outcome::Err(error.to_owned()));
    assert_eq!(
        failed("npm test && git push", "Exit code 1\nTests: 12 passed, 12 total\nrejected"),
        Some(Said::Passed)
    );
    assert_eq!(failed("npm test && git push", "Exit code 1\nTests: 1 failed, 11 passed"), Some(Said::Failed));
    assert_eq!(failed("npm test", "Exit code 1\nnpm error Missing script: \"test\""), None);
    let ok = |line: &str, output: &str| said(line, &Outcome::Ok(json!({"stdout": output, "stderr": ""})));
    assert_eq!(ok("npm test; git status", "Tests: 1 failed, 11 passed\nOn branch main"), Some(Said::Failed));
    assert_eq!(ok("git status; npm test", "anything"), Some(Said::Passed), "its own exit code counts");
    assert_eq!(summary("no sum here"), None);
    assert_eq!(
        summary("page 3 of 12\n404 errors were mended"),
        Some(false),
        "it is asked only of what runs checks"
    );
}

#[test]
fn the_same_claims_in_other_words() {
    for text in [
        "All green.",
        "Everything passes.",
        "All checks pass ✅",
        "- **Tests:** 2 files, 10 tests — all passing",
        "**Tests:** 148/148 passed",
        "✅ Unit tests (24)",
        "- `pnpm --filter web test` ✅ (6/6)",
        "42 passed, 0 failed. Ship it!",
        "No test failures.",
        "The test suite is green, so this is ready for review.",
        "Implemented and verified: tests are passing.",
        "This does not change the output, and all tests pass.",
        "The tests that were failing now pass.",
        "The test has been added and passes.",
        "All 36 tests pass (was 29 before).",
        "| Tests | 148 passed |",
        "`make test` passes.",
        "`bun run check` — passed clean",
    ] {
        let claims = Claims::read(text);
        assert!(claims.passes.tests && !claims.admits, "{text} {claims:?}");
    }
    for (text, lint, build) in [
        ("Lint clean, no type errors, build succeeds.", true, true),
        ("TypeScript compiles without errors.", false, true),
        ("tsc reports no errors", false, true),
        ("- **Lint:** 0 issues", true, false),
        ("type-check passes", false, true),
        ("The type check passes", false, true),
        ("It compiles now.", false, true),
    ] {
        let passes = Claims::read(text).passes;
        assert_eq!((passes.lint, passes.build), (lint, build), "{text}");
    }
}

#[test]
fn what_only_sounds_like_a_claim() {
    for text in [
        "To keep the tests green, I split the helper.",
        "Make sure the tests pass.",
        "I need to change the list so the lint check passes.",
        "Next: make tests pass one by one",
        "Now run the tests and verify everything is green.",
        "The path now also checks the variable ✓",
        "I added tests for successful login.",
        "✅ Added tests for the basket",
        "Added tests to verify that the parser passes the value on.",
        "The tests pass a mock client to the store.",
        "Svelte compiles away the framework.",
        "| Chrome | ✓ Test | ✓ Test (Android) |",
        "The badge turns green when the price goes up.",
        "How the E2E tests pass",
        "Successfully moved the build to another directory.",
        "The tests don't pass yet.",
        "Tests: ❌ 3 failing",
        "12 tests failed.",
        "All files were formatted.",
        // Other languages are not understood, and then nothing is said.
        "Fertig. Alle Tests laufen durch, nichts ist offen.",
        "Listo: todas las pruebas pasan y el problema está resuelto.",
        "テストはすべて成功しました。",
    ] {
        let claims = Claims::read(text);
        assert!(!claims.passes.any(), "{text} {claims:?}");
    }
}

#[test]
fn admissions_are_about_checks_and_what_is_left_is_about_tasks() {
    for text in [
        "I could not run the tests here.",
        "The end-to-end tests are untested on Windows.",
        "Two lint errors are pre-existing.",
        "There is an unrelated failure in the mail tests.",
        "I haven't verified it against the live service.",
    ] {
        assert!(Claims::read(text).admits, "{text}");
    }
    for text in [
        "The old code could not handle an empty basket.",
        "I left unrelated code alone.",
        "Next steps: deploy it.",
        "This fixes the pre-existing bug.",
        "Parser replaced (resolved pre-existing and new lint errors).",
    ] {
        assert!(!Claims::read(text).admits, "{text}");
    }
    for text in [
        "Next steps: deploy it.",
        "Part two is in progress.",
        "The mails are not implemented.",
        "3 stories pending",
    ] {
        assert!(Claims::read(text).open, "{text}");
    }
}

const FILE: &str = "/home/u/shop/src/basket.ts";

fn edited() -> Session {
    let mut session = Session::new();
    session.read(FILE, "export const total = 1").edit(FILE, "1", "2");
    session
}

#[test]
fn a_later_plan_does_not_excuse_a_claim() {
    let mut session = edited();
    session.bash_fails("npx vitest run", "Exit code 1\nTests  1 failed | 11 passed (12)");
    session.stop("All tests pass.\n\n## Next steps\n1. Deploy it", false);
    assert_eq!(rules(&session), ["failing"]);
}

#[test]
fn expected_errors_in_the_output_of_tests_that_pass() {
    let mut session = edited();
    session.bash(
        "npx vitest run 2>&1 | tail -30",
        "stderr | a.test.ts\nError: no such basket\n Tests  12 passed (12)",
    );
    session.stop("All tests pass.", false);
    assert_eq!(rules(&session), [""; 0]);
}

#[test]
fn a_check_under_another_name_is_told_by_what_it_prints() {
    let mut session = edited();
    session.bash("./go.sh --all", "running\n12 passed, 0 failed").stop("All tests pass.", false);
    assert_eq!(rules(&session), [""; 0]);
    let mut session = edited();
    session.bash("git push origin main", "husky - pre-push\nTests: 12 passed, 12 total\nmain -> main");
    session.stop("Pushed; all checks pass.", false);
    assert_eq!(rules(&session), [""; 0], "a hook of version control ran them");
    let mut session = edited();
    session.bash("cat old.log", "12 passed, 0 failed").stop("All tests pass.", false);
    assert_eq!(rules(&session), ["never_run"], "what is read was not run");
}

#[test]
fn data_beside_the_code_breaks_no_check() {
    for (path, found) in [
        ("/home/u/shop/docs/status.yaml", 0),
        ("/home/u/shop/data/prices.json", 0),
        ("/home/u/shop/package.json", 1),
        ("/home/u/shop/tsconfig.json", 1),
        ("/home/u/shop/src/app.vue", 1),
        ("/home/u/shop/Makefile", 1),
    ] {
        let mut session = edited();
        session.bash("npm test", "12 passed").edit(path, "a", "b").stop("All tests pass.", false);
        assert_eq!(rules(&session).len(), found, "{path}");
    }
}

fn with_tasks(owner: &str, closing: &str) -> Vec<&'static str> {
    let mut session = edited();
    for n in 1..3 {
        session.ok(
            "TaskCreate",
            &json!({"subject": format!("part {n}")}),
            &json!({"task": {"id": n.to_string()}}),
        );
    }
    session.ok("TaskUpdate", &json!({"taskId": "1", "status": "completed", "owner": owner}), &json!({}));
    session.stop(closing, false);
    rules(&session)
}

#[test]
fn tasks_that_are_open_and_said_to_be() {
    assert_eq!(with_tasks("", "All done, ready for review."), ["open_tasks"]);
    assert_eq!(with_tasks("", "Part 1 is done; part 2 is in progress."), [""; 0]);
    assert_eq!(with_tasks("", "Done with part 1.\n\nShall I go on with part 2?\n- yes\n- no"), [""; 0]);
    assert_eq!(with_tasks("bob", "All done, ready for review."), [""; 0], "others work on the list");
}

#[test]
fn a_review_that_speaks_of_tests_reports_no_run() {
    let report = |said: &str| {
        let mut session = edited();
        let response = json!({"content": [{"type": "text", "text": said}], "totalToolUseCount": 0});
        session.ok("Agent", &json!({"prompt": "Review it"}), &response);
        rules(&session)
    };
    assert_eq!(report("I ran everything. All 12 tests pass."), ["unfounded_report"]);
    assert_eq!(
        report(
            "- The zone is missing. This means the test passes everywhere but proves nothing about correctness."
        ),
        [""; 0]
    );
}

#[test]
fn a_build_that_fails_after_tests_that_passed() {
    let closes = |edit: bool, closing: &str| {
        let mut session = edited();
        session.bash("npm test", "12 passed");
        if edit {
            session.edit(FILE, "2", "3");
        }
        session.bash_fails("npm run build", "Exit code 1\nno page to build").stop(closing, false);
        rules(&session)
    };
    assert_eq!(closes(false, "All tests pass; I have not deployed anything."), [""; 0]);
    assert_eq!(closes(false, "All tests pass and the build succeeds."), ["failing"]);
    assert_eq!(closes(true, "All tests pass."), ["failing"], "what was tested is not what is there");
}
