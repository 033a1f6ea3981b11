//! Text that repeats itself: one line again and again in an answer, or the same answer again and again.
//!
//! It must never count short lines, tables, lists of code or headings: only prose repeats by mistake.
//!
//! Invariant: it holds one hash and one count.

use crate::detection::{Detection, Kind};
use crate::event::ModelTurn;
use crate::normal::fold;
use crate::text::hash;

/// Bytes from which on a line is prose.
const PROSE: usize = 40;
/// Sentences that a chant may consist of.
const VERSES: usize = 4;
/// Bytes from which on an answer is more than a phrase between two calls.
const ANSWER: usize = 200;

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Chant {
    answer: u64,
    message: u64,
    first: usize,
    times: u32,
}

impl Chant {
    /// Something was done, or said by somebody else.
    pub(super) fn quiet(&mut self) {
        self.times = 0;
    }

    /// Looks at an answer.
    pub(super) fn hear(&mut self, turn: &ModelTurn, at: usize, limit: u32) -> Option<Detection> {
        let limit = limit.max(3);
        if turn.text.len() < ANSWER {
            return None;
        }
        let (answer, message) = (hash(&turn.text), hash(&turn.message_id));
        if self.times > 0 && self.answer == answer {
            // Several events may tell of one message.
            if self.message != message || turn.message_id.is_empty() {
                self.times = self.times.saturating_add(1);
            }
        } else {
            (self.first, self.times) = (at, 1);
        }
        (self.answer, self.message) = (answer, message);
        if self.times == limit.min(3) {
            return Some(
                found(at, format!("The same answer {} times in a row", self.times))
                    .seen(self.first, &turn.text),
            );
        }
        let line = longest_run(&turn.text, limit)?;
        Some(found(at, format!("One answer says the same line {limit} times or more")).seen(at, line))
    }
}

fn found(at: usize, title: String) -> Detection {
    Detection::new(Kind::Loop, "chant", at, 70, 85).title(title).advice(
        "The answer repeats itself. Stop it and ask again in a new prompt, with less context if it is long.",
    )
}

/// The first sentence of prose that is said `limit` times with nothing new between: a chant has few verses.
fn longest_run(text: &str, limit: u32) -> Option<&str> {
    // Without so much text no sentence can be said so often.
    if text.len() < PROSE * usize::try_from(limit).unwrap_or(usize::MAX) {
        return None;
    }
    let mut verses: [(u64, u32, usize); VERSES] = [(0, 0, 0); VERSES];
    let (mut code, mut at) = (false, 0);
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            code = !code;
        }
        if code || line.len() < PROSE || line.starts_with(['|', '#', '-', '*', '`', '>', '+', '=']) {
            continue;
        }
        for sentence in line.split_inclusive(['.', '!', '?']).map(str::trim).filter(|s| !s.is_empty()) {
            let hash = fold(sentence);
            at += 1;
            if let Some(verse) = verses.iter_mut().find(|verse| verse.1 > 0 && verse.0 == hash) {
                (verse.1, verse.2) = (verse.1 + 1, at);
            } else {
                // Something new: what was said before may be said again. The oldest makes room.
                for verse in &mut verses {
                    verse.1 = verse.1.min(1);
                }
                if let Some(oldest) = verses.iter_mut().min_by_key(|verse| verse.2) {
                    *oldest = (hash, 1, at);
                }
            }
            if sentence.len() >= PROSE && verses.iter().any(|verse| verse.0 == hash && verse.1 >= limit) {
                return Some(sentence);
            }
        }
    }
    None
}
