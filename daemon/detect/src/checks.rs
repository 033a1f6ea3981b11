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
use crate::text::{head, tail};

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
    let mut words: Vec<&str> = part.split_whitespace().collect();
    // What a program is started by.
    loop {
        let skip = match words.as_slice() {
            ["uv" | "poetry" | "pipenv" | "pdm" | "rye" | "hatch", "run", ..]
            | ["bundle" | "pnpm" | "npm" | "yarn" | "mise", "exec" | "x", ..]
            | ["python" | "python3" | "py", "-m", ..] => 2,
            ["docker" | "podman", "compose", "exec" | "run", ..] => 4,
            [first, ..]
                if shell::is_prefix(first) || matches!(*first, "npx" | "bunx" | "xvfb-run" | "--") =>
            {
                1
            }
            _ => break,
        };
        words.drain(..skip.min(words.len()));
    }
    let Some((first, rest)) = words.split_first() else { return NOTHING };
    let program = first.trim_matches(['"', '\'']).rsplit('/').next().unwrap_or(first);
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
        | "ginkgo" | "karma" | "tox" | "nox" => TESTS,
        "eslint" | "golangci-lint" | "ruff" | "flake8" | "pylint" | "rubocop" | "shellcheck" | "biome"
        | "staticcheck" | "standardrb" | "hadolint" | "ktlint" | "detekt" | "swiftlint" | "clang-tidy"
        | "cppcheck" | "oxlint" | "phpstan" | "psalm" | "pre-commit" | "tflint" | "stylelint"
            if verb != "format" =>
        {
            LINT
        }
        "prettier" | "black" | "isort" | "rustfmt" if has("--check") || has("-c") => LINT,
        "tsc" | "vue-tsc" | "svelte-check" | "mypy" | "pyright" | "pyre" | "srb" => {
            Checks { tests: false, lint: true, build: true }
        }
        "gcc" | "g++" | "cc" | "c++" | "clang" | "clang++" | "javac" | "rustc" | "kotlinc" | "ninja" => BUILD,
        "make" | "gmake" if verb.is_empty() => BUILD,
        "make" | "gmake" | "npm" | "pnpm" | "yarn" | "bun" | "deno" | "mise" | "just" | "task" | "rake"
        | "rails" | "mix" | "gradle" | "gradlew" | "mvn" | "mvnw" | "nx" | "turbo" | "dotnet"
        | "composer" | "bazel" | "sbt" | "lein" | "swift" | "flutter" | "dart" | "zig" | "xcodebuild"
        | "next" | "vite" | "ng" | "moon" | "hatch" | "php" | "artisan" | "cmake" | "invoke" | "poe"
        | "stack" | "cabal" => {
            let mut checks = NOTHING;
            for word in rest.iter().take(8).filter(|word| !word.starts_with('-')) {
                if matches!(*word, "install" | "i" | "add" | "remove" | "ci" | "get" | "update")
                    && *word == verb
                {
                    break;
                }
                checks.add(named(word));
            }
            checks
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
        // A script of the project.
        _ if first.contains('/') => named(program),
        _ => NOTHING,
    }
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
            "lint" | "vet" | "clippy" | "credo" | "dialyzer" | "eslint" | "ruff" | "analyze" => {
                checks.add(LINT);
            }
            "build" | "compile" | "assemble" | "bundle" => checks.add(BUILD),
            "typecheck" | "types" | "tsc" | "type" => {
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
    match outcome {
        Outcome::Err(error) => {
            if is_sibling(error) || is_refusal(error) {
                return None;
            }
            let never =
                ["Exit code 127", "command not found", "unknown command", "No such file or directory"];
            if error.len() < 400 && never.iter().any(|sign| error.contains(sign)) {
                return None;
            }
            if error.contains("timed out") && error.len() < 400 || greps && error.trim() == "Exit code 1" {
                return Some(Said::Unknown);
            }
            Some(Said::Failed)
        }
        Outcome::Ok(response) => {
            if response.get("backgroundTaskId").is_some_and(|id| !id.is_null())
                || response.get("interrupted").and_then(Value::as_bool) == Some(true)
            {
                return Some(Said::Unknown);
            }
            let output =
                [response.as_str().unwrap_or_default(), text(response, "stdout"), text(response, "stderr")];
            let masked = parts.iter().any(|(join, part)| {
                *join == Join::Pipe || *join == Join::Or || *join == Join::Then && part.contains("echo")
            });
            if !masked {
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

/// Whether a check's output tells of a failure.
#[must_use]
pub fn tells_failure(output: &str) -> bool {
    let ends = if output.len() > 2 * LOOKED_AT {
        [head(output, LOOKED_AT), tail(output, LOOKED_AT)]
    } else {
        [output, ""]
    };
    ends.iter().any(|text| text.lines().any(line_tells))
}

fn line_tells(line: &str) -> bool {
    const STARTS: [&str; 14] = [
        "FAIL",
        "--- FAIL",
        "FAILED",
        "ERROR:",
        "error:",
        "error[",
        "error TS",
        "Error:",
        "npm ERR!",
        "make: ***",
        "BUILD FAILED",
        "Traceback (most",
        "thread 'main' panicked",
        "panic:",
    ];
    let line = line.trim();
    if STARTS.iter().any(|start| line.starts_with(start)) {
        return true;
    }
    if [": error:", ": error TS", "ERROR task failed", "[build failed]", "test result: FAILED"]
        .iter()
        .any(|sign| line.contains(sign))
    {
        return true;
    }
    counted(line)
}

/// "3 failed", "2 errors": a count that is not zero, in a line that sums up.
fn counted(line: &str) -> bool {
    if line.len() > 200 {
        return false;
    }
    let mut before = "";
    for word in line.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let counts =
            matches!(word, "failed" | "failing" | "failures" | "failure" | "errors" | "error" | "problems");
        if counts && before.parse::<u32>().is_ok_and(|count| count > 0) {
            return true;
        }
        before = word;
    }
    false
}
