//! Commands that check work - tests, linters, builds - told by their shape over ecosystems, and what they said.
//!
//! It must never take a command that only mentions a check for one: `grep test` and `pip install pytest` check nothing.
//!
//! Invariant: an outcome is `Failed` only where the exit code or a line of the output says so; where neither can tell,
//! it is `Unknown`.

use serde_json::Value;

use crate::event::{Outcome, text};
use crate::memory::step::{is_refusal, is_sibling};
use crate::shell::{self, Join};
use crate::text::{head, shown, tail};

/// Bytes of an output that are looked at from each end.
const LOOKED_AT: usize = 8 * 1024;

/// What a command checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checks {
    /// That tests pass.
    pub tests: bool,
    /// That a linter or a type checker has nothing to say.
    pub lint: bool,
    /// That it builds.
    pub build: bool,
}

/// What a check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// All is well.
    Passed,
    /// Something is wrong.
    Failed,
    /// It cannot be told.
    Unknown,
}

impl Checks {
    /// Whether anything is checked.
    #[must_use]
    pub fn any(self) -> bool {
        self.tests || self.lint || self.build
    }

    fn add(&mut self, other: Self) {
        self.tests |= other.tests;
        self.lint |= other.lint;
        self.build |= other.build;
    }

    /// What a command line checks.
    #[must_use]
    pub fn of(line: &str) -> Self {
        let mut checks = Self::default();
        for (join, part) in shell::split(head(line, shell::MAX_COMMAND)) {
            // What reads another's output checks nothing itself.
            if join != Join::Pipe {
                checks.add(part_checks(part));
            }
        }
        checks
    }
}

const TESTS: Checks = Checks { tests: true, lint: false, build: false };
const LINT: Checks = Checks { tests: false, lint: true, build: false };
const BUILD: Checks = Checks { tests: false, lint: false, build: true };
const ALL: Checks = Checks { tests: true, lint: true, build: true };
const NOTHING: Checks = Checks { tests: false, lint: false, build: false };

fn part_checks(part: &str) -> Checks {
    // `(cd web && npm test)`, `bash -c "npm test"`.
    if let Some(inner) = part.trim().strip_prefix('(').and_then(|part| part.strip_suffix(')')) {
        return Checks::of(inner);
    }
    let mut words: Vec<&str> = part.split_whitespace().collect();
    let mut task = false;
    // What a program is started by.
    loop {
        let skip = match words.as_slice() {
            ["uv" | "poetry" | "pipenv" | "pdm" | "rye" | "hatch" | "pixi" | "mise", "run", ..] => {
                task = true;
                2
            }
            ["bundle" | "pnpm" | "npm" | "yarn" | "mise", "exec" | "x" | "dlx", ..]
            | ["python" | "python3" | "py", "-m", ..] => 2,
            ["docker" | "podman", "compose", "exec" | "run", ..] => 3 + options(&words[3..], 1),
            ["docker" | "podman", "exec", ..] => 2 + options(&words[2..], 1),
            [first, ..]
                if shell::is_prefix(first)
                    || matches!(
                        *first,
                        "npx"
                            | "bunx"
                            | "pnpx"
                            | "xvfb-run"
                            | "--"
                            | "if"
                            | "cross-env"
                            | "dotenv"
                            | "direnv"
                            | "caffeinate"
                    ) =>
            {
                1 + if matches!(*first, "npx" | "bunx" | "pnpx") { options(&words[1..], 0) } else { 0 }
            }
            _ => break,
        };
        words.drain(..skip.min(words.len()));
    }
    let Some((first, rest)) = words.split_first() else { return NOTHING };
    let program = first.trim_matches(['"', '\'']).rsplit(['/', '\\']).next().unwrap_or(first);
    let program = program.strip_suffix(".exe").or_else(|| program.strip_suffix(".cmd")).unwrap_or(program);
    let verb = rest.iter().copied().find(|word| !word.starts_with(['-', '+'])).unwrap_or_default();
    let has = |flag: &str| rest.contains(&flag);
    match program {
        "go" => match verb {
            "test" => TESTS,
            "vet" => LINT,
            "build" | "install" => BUILD,
            _ => NOTHING,
        },
        "cargo" => match verb {
            "test" | "nextest" | "t" => TESTS,
            "clippy" => LINT,
            "check" | "build" | "c" | "b" => BUILD,
            "fmt" if has("--check") => LINT,
            _ => named(verb),
        },
        "pytest" | "py.test" | "jest" | "vitest" | "mocha" | "ava" | "rspec" | "phpunit" | "pest"
        | "ctest" | "nose2" | "unittest" | "playwright" | "cypress" | "busted" | "bats" | "gotestsum"
        | "ginkgo" | "karma" | "tox" | "nox" | "behave" | "robot" | "cucumber" | "behat" | "codecept"
        | "tape" | "tap" | "uvu" | "wtr" | "testcafe" | "nightwatch" | "wdio" | "newman" | "maestro"
        | "paratest"
            if !matches!(verb, "install" | "open" | "codegen" | "show-report" | "--version")
                && !has("--version") =>
        {
            if program == "tox" && (has("lint") || part.contains("lint")) {
                LINT
            } else {
                TESTS
            }
        }
        "eslint" | "golangci-lint" | "ruff" | "flake8" | "pylint" | "rubocop" | "shellcheck" | "biome"
        | "staticcheck" | "standardrb" | "hadolint" | "ktlint" | "detekt" | "swiftlint" | "clang-tidy"
        | "cppcheck" | "oxlint" | "phpstan" | "psalm" | "pre-commit" | "tflint" | "stylelint"
        | "markdownlint" | "yamllint" | "actionlint" | "sqlfluff" | "solhint" | "knip" | "xo" | "revive"
        | "bandit" | "phpcs"
            if verb != "format" && verb != "install" =>
        {
            LINT
        }
        "prettier" | "black" | "isort" | "rustfmt" if has("--check") || has("-c") => LINT,
        "gofmt" if has("-l") || has("-d") => LINT,
        "tsc" | "vue-tsc" | "svelte-check" | "mypy" | "pyright" | "pyre" | "srb" | "tsgo"
        | "basedpyright" => Checks { tests: false, lint: true, build: true },
        "gcc" | "g++" | "cc" | "c++" | "clang" | "clang++" | "javac" | "rustc" | "kotlinc" | "ninja"
        | "py_compile" | "compileall" => BUILD,
        "make" | "gmake" if verb.is_empty() => BUILD,
        "mvn" | "mvnw" if rest.iter().any(|word| matches!(*word, "verify" | "package" | "install")) => {
            Checks { tests: true, lint: false, build: true }
        }
        "gradle" | "gradlew" if rest.iter().any(|word| word.rsplit(':').next() == Some("build")) => {
            Checks { tests: true, lint: false, build: true }
        }
        "node" | "php" | "ruby" | "bash" | "sh" if has("--check") || has("-l") || has("-n") => BUILD,
        "make" | "gmake" | "npm" | "pnpm" | "yarn" | "bun" | "deno" | "mise" | "just" | "task" | "rake"
        | "rails" | "mix" | "gradle" | "gradlew" | "mvn" | "mvnw" | "nx" | "turbo" | "dotnet"
        | "composer" | "bazel" | "bazelisk" | "sbt" | "lein" | "swift" | "flutter" | "dart" | "zig"
        | "xcodebuild" | "next" | "vite" | "ng" | "moon" | "hatch" | "php" | "artisan" | "cmake"
        | "invoke" | "poe" | "stack" | "cabal" | "astro" | "nuxi" | "nuxt" | "expo" | "forge" | "hardhat"
        | "anchor" | "buf" | "helm" | "terraform" | "lerna" | "rush" | "wireit" | "vp" | "elm-test"
        | "gleam" | "earthly" | "dagger" => {
            let mut checks = NOTHING;
            for word in rest.iter().take(8).filter(|word| !word.starts_with('-')) {
                if matches!(*word, "install" | "i" | "add" | "remove" | "ci" | "get" | "update")
                    && *word == verb
                {
                    break;
                }
                checks.add(named(word));
            }
            // `npm t`, `bun test`.
            if verb == "t" { TESTS } else { checks }
        }
        "bash" | "sh" | "zsh" if has("-c") || has("-lc") || has("-ic") => {
            let script = part
                .split_once("-c ")
                .or_else(|| part.split_once("-lc "))
                .or_else(|| part.split_once("-ic "));
            script.map_or(NOTHING, |(_, script)| Checks::of(script.trim().trim_matches(['"', '\''])))
        }
        "python" | "python3" | "node" | "ruby" | "bash" | "sh" | "zsh" | "perl" | "tsx" | "ts-node" => {
            if has("-e") || has("-c") || has("--eval") || has("-") {
                NOTHING
            } else if has("--test") {
                TESTS
            } else {
                // The script, and the task that it is given.
                let mut checks = named(verb.rsplit('/').next().unwrap_or(verb));
                let task = rest
                    .iter()
                    .skip_while(|word| **word != verb)
                    .nth(1)
                    .filter(|task| !task.starts_with('-'));
                checks.add(task.map_or(NOTHING, |task| named(task)));
                checks
            }
        }
        // A script of the project, or a task of its runner.
        _ if task || first.contains('/') || program.contains('.') => named(program),
        // A program of one's own that says what it does; the shell has a `test` and a `type`.
        _ if program.contains(['-', '_']) && verb != "install" => named(program),
        _ => NOTHING,
    }
}

/// How many words are options, and so many more that they stand before.
fn options(words: &[&str], more: usize) -> usize {
    words.iter().take_while(|word| word.starts_with('-')).count() + more
}

/// What a task or a script of this name checks.
fn named(name: &str) -> Checks {
    let mut checks = NOTHING;
    let mut fixes = false;
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        match word {
            "test" | "tests" | "spec" | "e2e" | "unit" | "integration" | "vitest" | "jest" | "pytest" => {
                checks.add(TESTS);
            }
            "lint" | "vet" | "clippy" | "credo" | "dialyzer" | "eslint" | "ruff" | "analyze" | "stan"
            | "phpstan" | "checkstyle" | "rubocop" => {
                checks.add(LINT);
            }
            "build" | "compile" | "assemble" | "bundle" => checks.add(BUILD),
            _ if word.starts_with("compile") || word.ends_with("Test") || word.ends_with("Tests") => {
                checks.add(if word.starts_with("compile") { BUILD } else { TESTS });
            }
            "typecheck" | "types" | "tsc" | "type" | "typescript" => {
                checks.add(Checks { tests: false, lint: true, build: true });
            }
            "check" | "checks" | "verify" | "ci" | "validate" | "precommit" | "quality" => checks.add(ALL),
            "fmt" | "format" | "fix" | "watch" => fixes = true,
            _ => {}
        }
    }
    if fixes && !checks.tests { NOTHING } else { checks }
}

/// What came back from a check; `None` where it did not run.
#[must_use]
pub fn said(line: &str, outcome: &Outcome) -> Option<Said> {
    let parts = shell::split(head(line, shell::MAX_COMMAND));
    let last = parts.last().map(|(join, part)| (*join, part.split_whitespace().next().unwrap_or_default()));
    let greps = matches!(last, Some((Join::Pipe, "grep" | "rg" | "egrep")));
    // What runs behind the check answers in its place.
    let check = parts.iter().rposition(|(join, part)| *join != Join::Pipe && part_checks(part).any());
    let behind = parts.get(check.map_or(parts.len(), |at| at + 1)..).unwrap_or_default();
    match outcome {
        Outcome::Err(error) => {
            if is_sibling(error) || is_refusal(error) {
                return None;
            }
            const NEVER: [&str; 8] = [
                "Exit code 127",
                "command not found",
                "unknown command",
                "No such file or directory",
                "is not recognized as",
                "Missing script",
                "No rule to make target",
                "Command failed: spawn",
            ];
            if error.len() < 400 && NEVER.iter().any(|sign| error.contains(sign)) {
                return None;
            }
            if error.contains("timed out") && error.len() < 400 || greps && error.trim() == "Exit code 1" {
                return Some(Said::Unknown);
            }
            // `make test && git push`: the push failed, the tests did not.
            let other = !behind.is_empty() && summary(error) == Some(true);
            Some(if other { Said::Passed } else { Said::Failed })
        }
        Outcome::Ok(response) => {
            if response.get("backgroundTaskId").is_some_and(|id| !id.is_null())
                || response.get("interrupted").and_then(Value::as_bool) == Some(true)
            {
                return Some(Said::Unknown);
            }
            if !behind.iter().any(|(join, _)| matches!(join, Join::Pipe | Join::Or | Join::Then)) {
                return Some(Said::Passed);
            }
            let output =
                [response.as_str().unwrap_or_default(), text(response, "stdout"), text(response, "stderr")];
            let told: Vec<bool> = output.iter().filter_map(|text| summary(text)).collect();
            if told.contains(&false) {
                return Some(Said::Failed);
            }
            if told.contains(&true) {
                return Some(Said::Passed);
            }
            if output.iter().any(|text| tells_failure(text)) {
                return Some(Said::Failed);
            }
            let silent = output.iter().all(|text| text.trim().is_empty());
            Some(if silent { Said::Unknown } else { Said::Passed })
        }
    }
}

/// The two ends of an output.
fn ends(output: &str) -> [&str; 2] {
    if output.len() > 2 * LOOKED_AT {
        [head(output, LOOKED_AT), tail(output, LOOKED_AT)]
    } else {
        [output, ""]
    }
}

/// What an output says in sum, if it sums up: whether all is well. One failure among many sums is one.
#[must_use]
pub fn summary(output: &str) -> Option<bool> {
    let mut found = None;
    for line in ends(output).into_iter().flat_map(str::lines) {
        let line = shown(line);
        let line = line.trim();
        if line.is_empty() || line.len() > 300 {
            continue;
        }
        if sums_up_badly(line) {
            return Some(false);
        }
        if found.is_none() && sums_up_well(line) {
            found = Some(true);
        }
    }
    found
}

/// Whether a check's output tells of a failure, also where it does not sum up.
#[must_use]
pub fn tells_failure(output: &str) -> bool {
    ends(output).into_iter().flat_map(str::lines).any(|line| {
        let line = shown(line);
        let line = line.trim();
        sums_up_badly(line) || speaks_of_errors(line)
    })
}

/// Lines that only a check that fails ends with.
fn sums_up_badly(line: &str) -> bool {
    const STARTS: [&str; 9] = [
        "FAIL",
        "--- FAIL",
        "FAILED",
        "error TS",
        "error[",
        "make: ***",
        "BUILD FAIL",
        "npm ERR!",
        "ERR_PNPM",
    ];
    const SIGNS: [&str; 8] = [
        ": error TS",
        "ERROR task failed",
        "[build failed]",
        "test result: FAILED",
        "Build FAILED",
        "BUILD FAILURE",
        "ERROR  run failed",
        "COMPILATION ERROR",
    ];
    // GNU's summaries name every outcome with its count, as `# FAIL:  0`.
    let counts_none = line.ends_with(" 0") && line.contains(':');
    !counts_none && !line.contains("(ignored)") && STARTS.iter().any(|start| line.starts_with(start))
        || SIGNS.iter().any(|sign| line.contains(sign))
        || counted(line) == Some(false)
}

/// Lines that a check ends with where all is well.
fn sums_up_well(line: &str) -> bool {
    const SIGNS: [&str; 17] = [
        "BUILD SUCCESS",
        "All checks passed",
        "all checks passed",
        "test result: ok",
        "no issues found",
        "No issues found",
        "Successfully ran target",
        "ompiled successfully",
        "All matched files use",
        "no offenses detected",
        "Build succeeded",
        "All files pass",
        "All tests passed",
        "0 errors",
        "0 failures",
        "No errors",
        "congratulations :)",
    ];
    line.starts_with("ok  \t")
        || line == "PASS"
        || line == "ok"
        || line.starts_with("OK (")
        || SIGNS.iter().any(|sign| line.contains(sign))
        || counted(line) == Some(true)
}

/// Lines by which many programs complain; a check that passes may print them too, so a summary goes before them.
fn speaks_of_errors(line: &str) -> bool {
    const STARTS: [&str; 7] =
        ["ERROR:", "error:", "Error:", "Traceback (most", "thread 'main' panicked", "panic:", "vet: "];
    STARTS.iter().any(|start| line.starts_with(start))
        || line.contains(": error:")
        || line.contains(": error ")
        || line.contains("[ERROR]:")
        || is_located(line)
}

/// What a line counts: "3 failed", "Failures: 2" are failures, "12 passed", "0 failed" none.
fn counted(line: &str) -> Option<bool> {
    if line.len() > 200 {
        return None;
    }
    let mut before = "";
    let mut bad_before = false;
    let mut apart = false;
    let mut found = None;
    // "3 problems (0 errors, 3 warnings)" are no errors.
    let harmless = line.contains("(0 errors");
    for raw in line.split_whitespace() {
        let word = raw.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let count = |text: &str| text.parse::<u32>().ok();
        match word {
            "failed" | "failing" | "failures" | "failure" | "errors" | "error" | "problems" | "problem"
            | "fail" | "offenses" | "issues" | "issue" | "Error(s" | "Failed" | "Failures" | "Errors"
            | "FAIL" | "ERROR" => {
                // "43, Failures: 0": there the count comes after.
                if let Some(count) = count(before).filter(|_| !apart) {
                    if count > 0 && !harmless {
                        return Some(false);
                    }
                    found = Some(true);
                }
                bad_before = raw.ends_with(':');
                apart = raw.ends_with(',');
                before = word;
                continue;
            }
            "passed" | "passing" | "pass" | "Passed" if count(before).is_some_and(|count| count > 0) => {
                found = found.or(Some(true));
            }
            _ if bad_before => {
                if let Some(count) = count(word) {
                    if count > 0 {
                        return Some(false);
                    }
                    found = Some(true);
                }
            }
            _ => {}
        }
        bad_before = false;
        apart = raw.ends_with(',');
        before = word;
    }
    found
}

/// `src/a.go:12:5: undefined: x`: what compilers and linters say stands behind a file, a line and a column.
fn is_located(line: &str) -> bool {
    let mut parts = line.splitn(4, ':');
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    parts.next().is_some_and(|file| !file.contains(' ') && file.contains('.'))
        && number(parts.next())
        && number(parts.next())
        && parts.next().is_some_and(|rest| rest.starts_with(' '))
}
