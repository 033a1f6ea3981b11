//! The words by which a sentence claims, hedges, denies or admits something.
//!
//! It must never decide by itself: a word is only what it is beside its neighbours.
//!
//! Invariant: no state.

use crate::checks::Checks;

/// Words that make a sentence something else than a statement of what is.
pub(super) fn is_condition(word: &str) -> bool {
    matches!(
        word,
        "should"
            | "would"
            | "could"
            | "will"
            | "once"
            | "until"
            | "unless"
            | "if"
            | "whether"
            | "ensure"
            | "ensures"
            | "please"
            | "can"
            | "want"
            | "let"
            | "let's"
            | "expect"
            | "must"
            | "may"
            | "might"
            | "when"
            | "means"
            | "mean"
            | "assuming"
            | "hopefully"
            | "need"
            | "needs"
            | "verify"
            | "confirm"
            | "how"
            | "why"
            | "supposed"
    )
}

/// What there is none of where all is well.
pub(super) fn is_bad(word: &str) -> bool {
    matches!(
        word,
        "errors"
            | "error"
            | "failures"
            | "failure"
            | "failed"
            | "issues"
            | "warnings"
            | "problems"
            | "regressions"
            | "complaints"
            | "violations"
            | "offenses"
    )
}

pub(super) fn is_test(word: &str) -> bool {
    matches!(
        word,
        "test"
            | "tests"
            | "suite"
            | "suites"
            | "spec"
            | "specs"
            | "testing"
            | "testsuite"
            | "pytest"
            | "vitest"
            | "jest"
            | "rspec"
            | "phpunit"
            | "mocha"
            | "playwright"
            | "cypress"
            | "e2e"
            | "unittests"
    )
}

pub(super) fn is_lint(word: &str) -> bool {
    matches!(
        word,
        "lint"
            | "linter"
            | "linters"
            | "linting"
            | "lints"
            | "formatting"
            | "eslint"
            | "clippy"
            | "vet"
            | "ruff"
            | "prettier"
            | "rubocop"
            | "biome"
            | "golangci"
            | "format"
    )
}

pub(super) fn is_build(word: &str) -> bool {
    matches!(
        word,
        "build"
            | "builds"
            | "compiles"
            | "compile"
            | "compilation"
            | "typecheck"
            | "typechecks"
            | "typechecking"
            | "type-check"
            | "type-checks"
            | "type-checking"
            | "types"
            | "tsc"
            | "mypy"
            | "pyright"
            | "typescript"
    )
}

pub(super) fn checks_of(words: &[&str], at: usize) -> Checks {
    let word = words[at];
    let before = at.checked_sub(1).map_or("", |last| words[last]);
    let next = words.get(at + 1).copied().unwrap_or_default();
    let all = match word {
        // "now also checks the variable" is something else.
        "checks" => {
            at == 0
                || is_number(before)
                || matches!(
                    before,
                    "all"
                        | "the"
                        | "these"
                        | "quality"
                        | "ci"
                        | "commit"
                        | "push"
                        | "lint"
                        | "status"
                        | "both"
                        | "and"
                        | "our"
                        | "of"
                        | "hook"
                        | "local"
                        | "other"
                        | "format"
                )
        }
        "check" => {
            matches!(before, "run" | "make" | "just" | "lint" | "format" | "astro" | "svelte")
                || next == "passed"
        }
        "pipeline" => before == "ci",
        "gates" => before == "quality",
        "ci" | "validations" | "verifications" => true,
        _ => false,
    };
    let word = if word == "check" && before == "type" { "typecheck" } else { word };
    Checks { tests: is_test(word) || all, lint: is_lint(word) || all, build: is_build(word) }
}

pub(super) fn is_tick(word: &str) -> bool {
    matches!(word, "✅" | "✓" | "✔" | "☑" | "🟢")
}

/// Whether the word at this place says that what stands before it passes.
pub(super) fn is_verdict(words: &[&str], at: usize) -> bool {
    let next = words.get(at + 1).copied().unwrap_or_default();
    match words[at] {
        // "passes the config on" is about something else.
        "pass" | "passes" => !matches!(
            next,
            "a" | "an" | "the" | "it" | "its" | "their" | "this" | "these" | "to" | "data" | "as" | "null"
        ),
        "passed" | "passing" | "green" | "succeeds" | "succeed" | "succeeded" | "cleanly" => true,
        "clean" | "ok" | "fine" => next != "up" && next != "if",
        "successful" | "successfully" => !is_plain_noun(next),
        "no" | "0" | "zero" | "without" => {
            is_bad(next) || words.get(at + 2).is_some_and(|word| is_bad(word)) && !matches!(next, "," | "and")
        }
        word => is_tick(word),
    }
}

/// What "successful" may stand before: then it speaks of that.
pub(super) fn is_plain_noun(word: &str) -> bool {
    !word.is_empty()
        && !matches!(
            word,
            "," | ";" | "and" | "with" | "in" | "on" | "for" | "after" | "now" | "|" | "&" | "—"
        )
        && !is_number(word)
        && !is_tick(word)
}

/// Words after which a verdict is no longer about what stood before: "tests to verify that the parser passes".
pub(super) fn turns(word: &str) -> bool {
    matches!(
        word,
        "to" | "verify"
            | "verifies"
            | "verifying"
            | "ensuring"
            | "covering"
            | "covers"
            | "checking"
            | "asserting"
            | "asserts"
            | "confirming"
            | "for"
            | "where"
            | "which"
            | "whose"
            | "about"
    )
}

/// "all green" says it by itself; "all tests …" and "all files …" are about those.
pub(super) fn followed_by_noun(words: &[&str], at: usize) -> bool {
    !matches!(words.get(at + 1), Some(&("green" | "pass" | "passing" | "passed" | "passes")))
}

/// Words that can hardly be about anything but checks.
pub(super) fn is_strong(word: &str) -> bool {
    matches!(word, "pass" | "passes" | "passed" | "passing" | "green")
}

pub(super) fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// Words of checking.
pub(super) fn is_doing(word: &str) -> bool {
    matches!(
        word,
        "run"
            | "running"
            | "verify"
            | "verified"
            | "check"
            | "execute"
            | "install"
            | "installed"
            | "confirm"
            | "reproduce"
            | "build"
            | "compile"
            | "lint"
            | "test"
            | "tests"
            | "tested"
    )
}

/// Whether words say that something is not so, or only wished for.
pub(super) fn negated(words: &[&str]) -> bool {
    words.iter().enumerate().any(|(at, word)| match *word {
        "not" | "except" | "cannot" | "never" | "sure" | "untested" | "❌" | "✗" | "✘" => true,
        "without" => !words.get(at + 1..).is_some_and(|rest| rest.iter().take(3).any(|word| is_bad(word))),
        "before" => {
            let next = words.get(at + 1).copied().unwrap_or(",");
            !matches!(next, "," | "—" | "and")
                && !matches!(at.checked_sub(1).map(|last| words[last]), Some("as" | "than" | "like"))
        }
        word => word.ends_with("n't") || word.ends_with("n’t"),
    })
}
