//! What a closing message claims, in plain words: that checks pass, that the work is done, that it is not.
//!
//! It must never take a wish, a condition or a question for a claim.
//!
//! Invariant: a sentence counts only as a whole: "the tests pass once X is set" claims nothing.

use crate::checks::Checks;
use crate::text::head;

/// Bytes of a message that are read.
const MAX_MESSAGE: usize = 16 * 1024;

/// What a message claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Which checks it says pass.
    pub passes: Checks,
    /// The sentence that says so.
    pub sentence: String,
    /// It says that the work is done.
    pub done: bool,
    /// It says that something is left, failed or was not checked.
    pub admits: bool,
    /// It ends with a question.
    pub asks: bool,
}

impl Claims {
    /// Reads a message.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let mut claims = Self::default();
        let (mut fenced, mut first) = (false, true);
        for line in head(message, MAX_MESSAGE).lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if fenced || line.trim().is_empty() {
                continue;
            }
            for sentence in sentences(line) {
                claims.sentence(sentence, first);
            }
            first = false;
        }
        claims.asks = message.trim_end().ends_with('?');
        claims
    }

    fn sentence(&mut self, sentence: &str, opening: bool) {
        let lower = sentence.to_lowercase();
        let words: Vec<&str> = lower
            .split(|c: char| !(c.is_alphanumeric() || c == '\''))
            .filter(|word| !word.is_empty())
            .collect();
        if words.is_empty() || words.len() > 60 {
            return;
        }
        self.admits |= admits(&lower, &words);
        if !sentence.trim_end().ends_with('?') && !hedged(&words) {
            let passes = passes(&lower, &words);
            if passes.any() && self.sentence.is_empty() {
                sentence.trim().clone_into(&mut self.sentence);
            }
            self.passes.tests |= passes.tests;
            self.passes.lint |= passes.lint;
            self.passes.build |= passes.build;
            let finished = |word: &&&str| {
                matches!(
                    **word,
                    "done" | "complete" | "completed" | "finished" | "implemented" | "everything"
                )
            };
            self.done |= (opening || words.len() <= 12) && words.iter().take(12).any(|word| finished(&word));
        }
    }
}

/// Cuts a line into sentences; a point within a word or a number is none.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let ends = (0..bytes.len()).find(|&at| {
            matches!(bytes[at], b'.' | b'!' | b'?' | b';')
                && bytes.get(at + 1).is_none_or(|next| next.is_ascii_whitespace() || *next == b'*')
        });
        let (sentence, after) = rest.split_at(ends.map_or(rest.len(), |at| at + 1));
        rest = after;
        Some(sentence)
    })
}

/// Words that make a sentence something else than a statement of what is.
fn hedged(words: &[&str]) -> bool {
    let word = |w: &&str| {
        matches!(
            *w,
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
                | "make"
                | "please"
                | "can"
                | "want"
                | "let"
                | "need"
                | "needs"
                | "before"
                | "expect"
                | "not"
                | "except"
                | "must"
                | "didn't"
                | "don't"
                | "doesn't"
                | "haven't"
                | "hasn't"
                | "couldn't"
                | "wasn't"
                | "aren't"
                | "isn't"
                | "cannot"
                | "can't"
                | "won't"
                | "when"
                | "without"
        )
    };
    words.iter().any(word)
}

fn passes(lower: &str, words: &[&str]) -> Checks {
    let mut checks = Checks::default();
    let failing = words.iter().enumerate().any(|(at, word)| {
        word.starts_with("fail")
            && !matches!(
                at.checked_sub(1).and_then(|before| words.get(before)),
                Some(&("0" | "no" | "previously" | "zero"))
            )
    });
    if failing && !words.contains(&"now") {
        return checks;
    }
    for (at, word) in words.iter().enumerate() {
        let verdict = |w: &str| {
            matches!(
                w,
                "pass"
                    | "passes"
                    | "passed"
                    | "passing"
                    | "green"
                    | "succeeds"
                    | "succeed"
                    | "succeeded"
                    | "clean"
                    | "cleanly"
                    | "successful"
                    | "successfully"
                    | "✅"
                    | "✓"
            )
        };
        let near = words.iter().skip(at + 1).take(9).any(|w| verdict(w))
            || at > 0
                && words
                    .get(at - 1)
                    .is_some_and(|w| matches!(*w, "passing" | "clean" | "green" | "successful"));
        let marked = lower.contains('✅') || lower.contains('✓');
        if !(near || marked && words.len() <= 8) {
            if matches!(*word, "compiles" | "typechecks") {
                checks.build = true;
            }
            continue;
        }
        match *word {
            "test" | "tests" | "suite" | "specs" | "suites" | "testing" => checks.tests = true,
            "lint" | "linter" | "linting" | "lints" | "formatting" | "eslint" | "clippy" | "vet" => {
                checks.lint = true;
            }
            "build" | "builds" | "compiles" | "compilation" | "typecheck" | "typechecking" | "tsc" => {
                checks.build = true;
            }
            "checks" | "ci" => {
                checks.tests = true;
                checks.lint = true;
            }
            _ => {}
        }
    }
    checks
}

/// Whether a sentence says that something is left, failed or was not checked.
fn admits(lower: &str, words: &[&str]) -> bool {
    const PHRASES: [&str; 22] = [
        "unrelated",
        "still fail",
        "not verified",
        "unable to",
        "couldn't",
        "could not",
        "haven't",
        "have not",
        "didn't run",
        "did not run",
        "not run",
        "not yet",
        "still need",
        "left to do",
        "next step",
        "known issue",
        "follow-up",
        "not implemented",
        "flaky",
        "incomplete",
        "partially",
        "out of scope",
    ];
    let also = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    PHRASES.iter().any(|phrase| lower.contains(phrase))
        // Something old that was mended is no reservation; something old that fails is.
        || also(&["pre-existing", "preexisting"]) && also(&["fail", "error", "warning", "issue", "lint"])
        || words.windows(2).any(|pair| {
            pair[0] == "remaining"
                && matches!(pair[1], "work" | "task" | "tasks" | "step" | "steps" | "items" | "failures" | "errors" | "issues")
        })
        || words.windows(2).any(|pair| matches!(pair, ["fails", "because"] | ["tests", "fail"] | ["test", "fails"]))
}
