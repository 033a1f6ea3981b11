//! Commands as checks: what one part of a command line checks, whatever it is started by.
//!
//! It must never take a program that only mentions a check for one.
//!
//! Invariant: no state.

use super::{BUILD, Checks, LINT, NOTHING, TESTS, named};
use crate::shell;

/// What one part of a command line checks.
pub(super) fn checks(part: &str) -> Checks {
    // `(cd web && npm test)`, `bash -c "npm test"`.
    if let Some(inner) = part.trim().strip_prefix('(').and_then(|part| part.strip_suffix(')')) {
        return Checks::of(inner);
    }
    let (words, task) = started(part);
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
        _ if is_tests(program) && !is_other(verb) && !has("--version") => {
            if program == "tox" && part.contains("lint") { LINT } else { TESTS }
        }
        _ if is_lint(program) && !matches!(verb, "format" | "install") => LINT,
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

/// The words of a part from the program on, without what starts it; and whether what is started is a task of the project.
fn started(part: &str) -> (Vec<&str>, bool) {
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
    (words, task)
}

/// Programs that run tests.
fn is_tests(program: &str) -> bool {
    matches!(
        program,
        "pytest"
            | "py.test"
            | "jest"
            | "vitest"
            | "mocha"
            | "ava"
            | "rspec"
            | "phpunit"
            | "pest"
            | "ctest"
            | "nose2"
            | "unittest"
            | "playwright"
            | "cypress"
            | "busted"
            | "bats"
            | "gotestsum"
            | "ginkgo"
            | "karma"
            | "tox"
            | "nox"
            | "behave"
            | "robot"
            | "cucumber"
            | "behat"
            | "codecept"
            | "tape"
            | "tap"
            | "uvu"
            | "wtr"
            | "testcafe"
            | "nightwatch"
            | "wdio"
            | "newman"
            | "maestro"
            | "paratest"
    )
}

/// Programs that lint.
fn is_lint(program: &str) -> bool {
    matches!(
        program,
        "eslint"
            | "golangci-lint"
            | "ruff"
            | "flake8"
            | "pylint"
            | "rubocop"
            | "shellcheck"
            | "biome"
            | "staticcheck"
            | "standardrb"
            | "hadolint"
            | "ktlint"
            | "detekt"
            | "swiftlint"
            | "clang-tidy"
            | "cppcheck"
            | "oxlint"
            | "phpstan"
            | "psalm"
            | "pre-commit"
            | "tflint"
            | "stylelint"
            | "markdownlint"
            | "yamllint"
            | "actionlint"
            | "sqlfluff"
            | "solhint"
            | "knip"
            | "xo"
            | "revive"
            | "bandit"
            | "phpcs"
    )
}

/// What a program of tests does besides.
fn is_other(verb: &str) -> bool {
    matches!(verb, "install" | "open" | "codegen" | "show-report")
}
