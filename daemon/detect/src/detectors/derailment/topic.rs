//! What a text is about: the stems of its words without those that any work on code is full of.
//!
//! It must never weigh a word by its language or its length alone: what is common is learned from the session.
//!
//! Invariant: at most [`MAX_KNOWN`] stems are counted and [`MAX_TOPIC`] kept of the task.

use std::collections::{HashMap, HashSet};

use crate::text::{Hash, head};

/// Stems that are counted over a session's outputs.
const MAX_KNOWN: usize = 3072;
/// Stems that are kept of what was asked for.
const MAX_TOPIC: usize = 1024;
/// Letters of the longest common word.
const LONGEST: usize = 14;
/// Bytes of a text that are read.
const MAX_READ: usize = 4 * 1024;

/// What a text is about.
pub(super) type Stems = HashSet<u64>;

/// Words of any work on code, in order: they join every text to every other.
#[rustfmt::skip]
const COMMON: [&str; 263] = [
    "about", "actually", "added", "adding", "after", "again", "already", "also", "always", "another",
    "anything", "back", "because", "been", "before", "being", "below", "better", "between", "both", "build",
    "call", "called", "calls", "case", "cases", "change", "changed", "changes", "check", "checks", "clean",
    "code", "command", "commands", "comment", "comments", "complete", "config", "correct", "could", "create",
    "created", "current", "currently", "data", "default", "done", "each", "else", "empty", "ensure", "error",
    "errors", "even", "every", "everything", "exactly", "exist", "existing", "exists", "expected", "fail",
    "failed", "failing", "fails", "false", "field", "fields", "file", "files", "final", "find", "fine",
    "first", "fixed", "following", "found", "from", "full", "func", "function", "functions", "further",
    "given", "going", "good", "handle", "handles", "have", "help", "here", "home", "however", "implement",
    "implementation", "implemented", "import", "inside", "instead", "internal", "into", "issue", "issues",
    "item", "items", "just", "keep", "know", "last", "later", "left", "like", "line", "lines", "list", "local",
    "look", "looking", "looks", "made", "main", "make", "makes", "making", "match", "method", "might", "more",
    "most", "much", "must", "name", "names", "need", "needed", "needs", "never", "next", "nothing", "null",
    "once", "only", "open", "order", "original", "other", "output", "package", "part", "pass", "passed",
    "passes", "passing", "path", "paths", "place", "plan", "please", "point", "possible", "problem",
    "problems", "proper", "properly", "read", "ready", "real", "really", "remove", "removed", "result",
    "results", "return", "returns", "right", "running", "same", "second", "section", "seem", "seems",
    "separate", "should", "show", "shows", "simple", "since", "single", "some", "something", "state", "step",
    "steps", "still", "string", "such", "summary", "sure", "take", "task", "tell", "test", "tested", "testing",
    "tests", "text", "than", "that", "their", "them", "then", "there", "these", "they", "thing", "things",
    "this", "those", "three", "through", "time", "true", "type", "types", "under", "understand", "unit",
    "update", "updated", "updates", "used", "user", "users", "uses", "using", "value", "values", "version",
    "very", "view", "want", "well", "were", "what", "when", "where", "whether", "which", "while", "will",
    "with", "within", "without", "work", "worked", "working", "works", "would", "write", "written", "wrong",
    "your",
];

/// The stems of a text; `not` are words that name the place of work.
pub(super) fn stems(text: &str, not: &HashSet<u64>) -> Stems {
    stems_of(text, MAX_READ, not)
}

/// The same, of so many bytes.
pub(super) fn stems_of(text: &str, max: usize, not: &HashSet<u64>) -> Stems {
    let mut found = Stems::new();
    each_stem(head(text, max), &mut |stem| {
        if !not.contains(&stem) {
            found.insert(stem);
        }
    });
    found
}

/// Calls for the stem of each part of each word.
fn each_stem(text: &str, found: &mut impl FnMut(u64)) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for at in 0..=bytes.len() {
        let here = bytes.get(at).copied().unwrap_or(b' ');
        let before = if at > start { bytes[at - 1] } else { b' ' };
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        let letter = here.is_ascii_alphabetic() || here >= 0x80;
        let breaks = !letter
            || here.is_ascii_uppercase()
                && (before.is_ascii_lowercase() || before.is_ascii_uppercase() && next.is_ascii_lowercase());
        if breaks {
            if at - start >= 4 {
                stem(&bytes[start..at], found);
            }
            start = if letter { at } else { at + 1 };
        }
    }
}

fn stem(word: &[u8], found: &mut impl FnMut(u64)) {
    if is_common(word) {
        return;
    }
    let mut end = word.len();
    for tail in ["ing", "ies", "ed", "es", "s"] {
        if end >= tail.len() + 4 && word[..end].to_ascii_lowercase().ends_with(tail.as_bytes()) {
            end -= tail.len();
            break;
        }
    }
    let mut hash = Hash::default();
    for byte in &word[..end] {
        hash.byte(byte.to_ascii_lowercase());
    }
    found(hash.end());
}

/// The hashes of the common words, in order: numbers are compared faster than words.
static COMMON_HASHES: [u64; COMMON.len()] = common_hashes();

const fn common_hashes() -> [u64; COMMON.len()] {
    let mut hashes = [0; COMMON.len()];
    let mut count = 0;
    while count < COMMON.len() {
        let bytes = COMMON[count].as_bytes();
        let (mut hash, mut at) = (Hash::EMPTY, 0);
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(Hash::PRIME);
            at += 1;
        }
        let mut place = count;
        while place > 0 && hashes[place - 1] > hash {
            hashes[place] = hashes[place - 1];
            place -= 1;
        }
        hashes[place] = hash;
        count += 1;
    }
    hashes
}

/// Whether a word, in whatever letters, is one of any work on code.
fn is_common(word: &[u8]) -> bool {
    if word.len() > LONGEST {
        return false;
    }
    let mut hash = Hash::default();
    for byte in word {
        hash.byte(byte.to_ascii_lowercase());
    }
    COMMON_HASHES.binary_search(&hash.end()).is_ok()
}

/// How often stems occur in what the session has shown: what is everywhere says nothing.
#[derive(Debug, Default)]
pub(super) struct Frequencies {
    seen_in: HashMap<u64, u16>,
}

impl Frequencies {
    pub(super) fn add(&mut self, stems: &Stems) {
        for stem in stems {
            if self.seen_in.len() < MAX_KNOWN || self.seen_in.contains_key(stem) {
                let count = self.seen_in.entry(*stem).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    fn weight(&self, stem: u64) -> f64 {
        let seen = self.seen_in.get(&stem).copied().unwrap_or(0);
        1.0 / (1.0 + f64::from(seen)).sqrt()
    }

    /// How much of the smaller of two topics is in the other, percent: counted or weighed, whichever is more.
    pub(super) fn shared(&self, one: &Stems, other: &Stems) -> f64 {
        // In order, so that sums of fractions are the same in every run.
        let sum = |of: &mut dyn Iterator<Item = &u64>| {
            let mut stems: Vec<u64> = of.copied().collect();
            stems.sort_unstable();
            let weight = stems.iter().map(|stem| self.weight(*stem)).sum::<f64>();
            (weight, f64::from(u32::try_from(stems.len()).unwrap_or(u32::MAX)))
        };
        let (one_weight, one_count) = sum(&mut one.iter());
        let (other_weight, other_count) = sum(&mut other.iter());
        let (weight, count) = sum(&mut one.intersection(other));
        let of = |part: f64, all: f64| if all > 0.0 { 100.0 * part / all } else { 100.0 };
        of(weight, one_weight.min(other_weight)).max(of(count, one_count.min(other_count)))
    }

    pub(super) fn held(&self) -> usize {
        self.seen_in.len()
    }
}

/// Adds to a topic, within its bound.
pub(super) fn extend(topic: &mut Stems, more: &Stems) {
    let mut more: Vec<u64> = more.iter().copied().collect();
    more.sort_unstable();
    for stem in more {
        if topic.len() >= MAX_TOPIC {
            return;
        }
        topic.insert(stem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_are_in_order_and_found() {
        assert!(COMMON.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(COMMON_HASHES.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(COMMON.iter().all(|word| word.len() <= LONGEST && is_common(word.as_bytes())));
        assert!(is_common(b"Implementation") && !is_common(b"basket") && !is_common(b""));
    }
}
