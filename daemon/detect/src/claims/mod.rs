//! What a closing message claims, in plain words: that checks pass, that the work is done, that it is not.
//!
//! It must never take a wish, a condition or a question for a claim, or guess at a language that it does not read: English
//! only, and silence elsewhere.
//!
//! Invariant: a sentence counts only as a whole: "the tests pass once X is set" claims nothing.

mod words;

use crate::checks::Checks;
use crate::text::head;
use words::{
    checks_of, followed_by_noun, is_bad, is_condition, is_doing, is_number, is_strong, is_tick, is_verdict,
    negated, turns,
};

/// Bytes of a message that are read.
const MAX_MESSAGE: usize = 16 * 1024;
/// Words between what passes and that it does.
const NEAR: usize = 9;
/// Lines from the end in which a question asks the user something.
const ASKED_IN: usize = 8;

/// What a message claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub struct Claims {
    /// Which checks it says pass.
    pub passes: Checks,
    /// The sentence that says so.
    pub sentence: String,
    /// The sentence says so of all of something, or is about nothing else.
    pub plain: bool,
    /// It says that the work is done.
    pub done: bool,
    /// It says that something failed or was not checked.
    pub admits: bool,
    /// It says that something is left.
    pub open: bool,
    /// It ends with a question.
    pub asks: bool,
}

impl Claims {
    /// Reads a message.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let mut claims = Self::default();
        let message = head(message, MAX_MESSAGE);
        let (mut fenced, mut first) = (false, true);
        for line in message.lines() {
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
        let last = message.lines().rev().map(str::trim_end).filter(|line| !line.is_empty()).take(ASKED_IN);
        claims.asks = !fenced
            && last.into_iter().any(|line| line.trim_end_matches(['*', '_', ')', '"']).ends_with('?'));
        claims
    }

    fn sentence(&mut self, sentence: &str, opening: bool) {
        let lower = sentence.to_lowercase();
        let mut words = split(&lower);
        // In a table a tick may stand for anything; a row is one clause.
        if lower.trim_start().starts_with('|') {
            words.retain(|word| !is_tick(word) && *word != "|");
        }
        if words.is_empty() || words.len() > 80 {
            return;
        }
        self.admits |= admits(&lower, &words);
        self.open |= leaves(&lower, &words);
        // "To keep the tests green …" is a purpose.
        let wishes = words[0] == "to" || words.iter().any(|word| is_condition(word));
        if sentence.trim_end().ends_with('?') || wishes {
            return;
        }
        let mut passes = Checks::default();
        // A negation holds for its own clause: "does not change the output, and all tests pass" claims something.
        for clause in clauses(&words) {
            if !negated(clause) {
                let more = claimed(clause);
                passes.tests |= more.tests;
                passes.lint |= more.lint;
                passes.build |= more.build;
            }
        }
        if passes.any() && self.sentence.is_empty() {
            sentence.trim().clone_into(&mut self.sentence);
            self.plain = words.len() <= 10
                || words.iter().any(|word| matches!(*word, "all" | "every" | "full") || is_number(word));
        }
        self.passes.tests |= passes.tests;
        self.passes.lint |= passes.lint;
        self.passes.build |= passes.build;
        self.done |= !negated(&words) && (opening || words.len() <= 12) && says_done(&words, opening);
    }
}

/// The words of a sentence in small letters; a tick or a cross is a word too, and so is a comma.
fn split(lower: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = lower;
    while let Some(c) = rest.chars().next() {
        let inside = |c: char| c.is_alphanumeric() || c == '\'' || c == '/' || c == '’';
        let mut end =
            if inside(c) { rest.find(|c: char| !inside(c)).unwrap_or(rest.len()) } else { c.len_utf8() };
        // `type-check` is one word, as `typecheck` is.
        if end > 0 && &rest[..end] == "type" && rest[end..].starts_with("-check") {
            end += rest[end..].find(|c: char| !inside(c) && c != '-').unwrap_or(rest.len() - end);
        }
        let (word, after) = rest.split_at(end);
        if inside(c)
            || matches!(c, '✅' | '✓' | '✔' | '☑' | '🟢' | '❌' | '✗' | '✘' | ',' | ';' | '—' | '|' | '&')
        {
            words.push(word);
        }
        rest = after;
    }
    words
}

/// Cuts at commas and dashes, but not between the items of a list: "tests, lint and build pass" is one clause.
fn clauses<'w, 'a>(words: &'w [&'a str]) -> impl Iterator<Item = &'w [&'a str]> {
    let ends = |word: &&str| matches!(*word, ";" | "but" | "though" | "although" | "|");
    words.split(ends).flat_map(|part| {
        let negated = negated(part);
        // Only a negation makes it matter where one clause ends.
        part.split(move |word| negated && matches!(*word, "," | "and" | "so" | "—"))
    })
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

/// Which checks a clause says pass.
fn claimed(words: &[&str]) -> Checks {
    let mut checks = Checks::default();
    if tells_failure(words) {
        return checks;
    }
    // "✅ Lint" says it; "✅ Added tests for the basket" says something else.
    let made = |word: &&str| {
        turns(word) || matches!(*word, "new" | "add" | "write" | "wrote" | "created" | "updated")
    };
    let marked =
        words.first().is_some_and(|word| is_tick(word)) && words.len() <= 7 && !words.iter().any(made);
    let counted = words.windows(2).any(|pair| {
        is_number(pair[0])
            && !matches!(pair[0], "0")
            && matches!(pair[1], "passed" | "passing" | "pass" | "green" | "succeeded")
    });
    for (at, word) in words.iter().enumerate() {
        // "make tests pass" is still to be done.
        let wished = matches!(*word, "tests" | "specs" | "checks")
            && at > 0
            && matches!(
                words[at - 1],
                "make" | "making" | "get" | "getting" | "keep" | "keeping" | "have" | "having"
            );
        let mut of = if wished { Checks::default() } else { checks_of(words, at) };
        // "everything passes", "all green".
        let general = matches!(*word, "everything") || *word == "all" && !followed_by_noun(words, at);
        if general {
            of = Checks { tests: true, lint: false, build: false };
        }
        if !of.any() {
            continue;
        }
        let after = words.iter().enumerate().skip(at + 1).take(NEAR);
        let said = after.take_while(|(_, word)| !turns(word)).any(|(place, word)| {
            // A tick stands close to what it ticks off.
            is_verdict(words, place) && (!general || is_strong(word)) && (!is_tick(word) || place <= at + 3)
        });
        let none = at > 0
            && matches!(words[at - 1], "no" | "0" | "zero")
            && words.get(at + 1).is_some_and(|word| is_bad(word));
        let before = none || at > 0 && matches!(words[at - 1], "passing" | "clean" | "green" | "successful");
        let next = words.get(at + 1).copied().unwrap_or(",");
        let itself = matches!(*word, "compiles" | "typechecks" | "type-checks")
            && (matches!(
                next,
                "," | ";" | "—" | "and" | "cleanly" | "without" | "now" | "fine" | "with" | "again"
            ) || is_tick(next));
        if said || before || itself || marked && !general || counted && of.tests && !general {
            checks.tests |= of.tests;
            checks.lint |= of.lint;
            checks.build |= of.build;
        }
    }
    // "42 passed, 0 failed".
    checks.tests |= counted
        && words.windows(2).any(|pair| matches!(pair, ["0" | "no", "failed" | "failures" | "failing"]));
    checks
}

/// Whether a clause tells of failures: not of none, and not of such as were before.
fn tells_failure(words: &[&str]) -> bool {
    let failing = words.iter().enumerate().any(|(at, word)| {
        let none = |back: usize| {
            at.checked_sub(back).and_then(|place| words.get(place)).is_some_and(|word| {
                matches!(
                    *word,
                    "0" | "no" | "zero" | "without" | "previously" | "any" | "earlier" | "originally"
                )
            })
        };
        word.starts_with("fail") && !none(1) && !none(2)
    });
    failing && !words.contains(&"now")
}

fn says_done(words: &[&str], opening: bool) -> bool {
    let plain = |word: &&&str| {
        matches!(**word, "done" | "complete" | "completed" | "finished" | "implemented" | "everything")
    };
    let pair = |pair: &[&str]| {
        matches!(
            pair,
            ["all", "set"]
                | ["ready", "for" | "to"]
                | ["good", "to"]
                | ["works", "now"]
                | ["ship", "it"]
                | ["is", "ready"]
        )
    };
    words.iter().take(12).any(|word| plain(&word))
        || words.windows(2).take(12).any(pair)
        || opening
            && words.len() <= 6
            && words.iter().any(|word| matches!(*word, "fixed" | "resolved" | "shipped"))
}

/// Whether a sentence says that something failed or was not checked.
fn admits(lower: &str, words: &[&str]) -> bool {
    const PHRASES: [&str; 24] = [
        "still fail",
        "not verified",
        "not been verified",
        "unverified",
        "untested",
        "not tested",
        "not been tested",
        "haven't tested",
        "haven't run",
        "haven't verified",
        "have not run",
        "have not tested",
        "didn't run",
        "did not run",
        "not run",
        "didn't verify",
        "did not verify",
        "didn't test",
        "did not test",
        "wasn't run",
        "without running",
        "flaky",
        "intermittent",
        "manual testing is",
    ];
    let also = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    PHRASES.iter().any(|phrase| lower.contains(phrase))
        // What could not be done is an admission where it is about checking; else it tells of the bug.
        || also(&["could not", "couldn't", "unable to", "wasn't able", "was not able", "can't", "cannot", "haven't", "have not"])
            && words.iter().any(|word| is_doing(word))
        // Something old that was mended is no reservation; something old that fails is.
        || also(&["pre-existing", "preexisting", "unrelated"])
            && !also(&["fixed", "resolved", "repaired", "removed"])
            && also(&["fail", "error", "warning", "issue", "lint", "break", "broken"])
        || words.windows(2).any(|pair| {
            pair[0] == "remaining" && matches!(pair[1], "failures" | "failure" | "errors" | "issues")
        })
        || words.windows(2).any(|pair| matches!(pair, ["fails", "because"] | ["tests", "fail"] | ["test", "fails"]))
}

/// Whether a sentence says that something is left.
fn leaves(lower: &str, words: &[&str]) -> bool {
    const PHRASES: [&str; 22] = [
        "not yet",
        "still need",
        "left to do",
        "next step",
        "known issue",
        "follow-up",
        "not implemented",
        "incomplete",
        "partially",
        "out of scope",
        "in progress",
        "pending",
        "so far",
        "next up",
        "todo",
        "to do next",
        "standing by",
        "stand by",
        "waiting for",
        "deferred",
        "left as",
        "not done",
    ];
    PHRASES.iter().any(|phrase| lower.contains(phrase))
        || words.windows(2).any(|pair| {
            pair[0] == "remaining"
                && matches!(
                    pair[1],
                    "work" | "task" | "tasks" | "step" | "steps" | "items" | "stories" | "phases"
                )
        })
}
