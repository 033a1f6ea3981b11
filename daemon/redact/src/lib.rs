//! Redaction: credentials in captured text become marks such as `[redacted:github-token]`.
//!
//! Pure: no I/O, no clock, no state between calls but what a [`Redactor`] was made with. Must never panic, whatever the
//! bytes, and never give back a text in which it found a credential.
//!
//! How a text is looked through:
//! - in layers: as it is, and with escapes, URL encoding, entities and terminal colours taken off, up to four times; runs of
//!   base 64 that hold text are looked into;
//! - in each layer one automaton finds the words that rules ask for, and a rule's pattern is tried only there;
//! - a detector written by hand takes names that tell of a credential, and the value that belongs to each;
//! - a value once recognised is taken out wherever it recurs;
//! - ids, digests, UUIDs, placeholders, references and expressions stay.
//!
//! What was well-formed JSON stays so, with the same members. Redacting twice changes nothing more.

mod assign;
mod base64;
mod engine;
mod found;
mod hand;
mod json;
mod mark;
mod memory;
mod names;
mod plausible;
mod recur;
pub mod rule;
pub mod rules;
pub mod sample;
mod scan;
mod scrub;
mod view;
mod walk;
mod wrap;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use zeroize::Zeroizing;

pub use crate::mark::{Batch, Hit, Mark, Named};
pub use crate::names::speaks_of_one;
pub use crate::rule::CustomRule;
pub use crate::scrub::{Edit, Scrubber, apply};

use crate::engine::Engine;
use crate::found::{Found, Rank, merged};
use crate::recur::Known;
use crate::scan::Scan;

/// How often a text is looked through until nothing more is found.
const ROUNDS: usize = 4;

/// What is looked for beside the built-in rules, and what is left alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Rules of the user's own.
    pub custom: Vec<CustomRule>,
    /// Values that are no secrets, exactly as they stand in texts.
    pub allow_values: Vec<String>,
    /// Patterns of values that are no secrets, in the syntax of the `regex` crate.
    pub allow_patterns: Vec<String>,
    /// Ids of built-in rules that are not to be used.
    pub off: Vec<String>,
}

/// Why rules could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A rule's pattern is none.
    #[error(
        "the pattern of the rule `{rule}` cannot be used: {error}; the syntax is that of Rust's regex crate, without look-around"
    )]
    Pattern {
        /// The id of the rule.
        rule: String,
        /// What is wrong with it.
        error: String,
    },
    /// A pattern of the allow list is none.
    #[error(
        "the allowed pattern `{pattern}` cannot be used: {error}; the syntax is that of Rust's regex crate, without look-around"
    )]
    Allow {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        error: String,
    },
    /// A rule's id cannot stand in a mark.
    #[error("`{0}` cannot be the id of a rule: letters, digits, `-`, `_` and `.`, 64 at most")]
    Id(String),
}

/// One credential that was found. The value is in the text only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The id of the rule that tells its kind.
    pub rule: Arc<str>,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
}

/// What is looked for, and what is put in its place. Cheap to clone.
#[derive(Clone)]
pub struct Redactor {
    engine: Arc<Engine>,
    mark: Arc<dyn Mark>,
    scope: Arc<str>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Redactor::standard()
    }
}

impl Redactor {
    /// The rules that are built in.
    #[must_use]
    pub fn standard() -> Self {
        static STANDARD: OnceLock<Arc<Engine>> = OnceLock::new();
        let engine = STANDARD
            .get_or_init(|| Arc::new(Engine::new(&Rules::default()).unwrap_or_else(|_| Engine::blind())));
        Redactor { engine: Arc::clone(engine), mark: Arc::new(Named), scope: Arc::default() }
    }

    /// The built-in rules with a user's own.
    pub fn with(rules: &Rules) -> Result<Self, RuleError> {
        Ok(Redactor { engine: Arc::new(Engine::new(rules)?), mark: Arc::new(Named), scope: Arc::default() })
    }

    /// The same, with other marks.
    #[must_use]
    pub fn marked(self, mark: impl Mark + 'static) -> Self {
        Redactor { mark: Arc::new(mark), ..self }
    }

    /// The same, for texts of this scope: a session.
    #[must_use]
    pub fn within(&self, scope: &str) -> Self {
        Redactor { scope: scope.into(), ..self.clone() }
    }

    /// The text without credentials. Borrowed where nothing was found.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.every(text);
        if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(self.replaced(text, &found)) }
    }

    /// All that is taken out of a text.
    fn every(&self, text: &str) -> Vec<Found> {
        let known = Known::default();
        self.all(text, &mut |text| {
            let scan = Scan { redactor: self, memory: None, known: &known };
            let found = scan.text(text);
            let mut of_text = Known::default();
            for one in &found {
                of_text.add(one);
            }
            let again = Scan { known: &of_text, ..scan }.again(text, 0);
            merged(text, found.into_iter().chain(again).collect())
        })
    }

    /// What is found in a text, and in what is left of it once that is replaced, until there is nothing more.
    pub(crate) fn all(&self, text: &str, look: &mut dyn FnMut(&str) -> Vec<Found>) -> Vec<Found> {
        let mut all = look(text);
        if all.is_empty() {
            return all;
        }
        // Real marks may write down what they stand for: they are made once, of what is taken out in the end.
        let plain = self.clone().marked(Named);
        for _ in 1..ROUNDS {
            let left = plain.replaced(text, &all);
            let more = look(&left);
            if more.is_empty() {
                break;
            }
            all = plain.with_more(text, &all, more);
        }
        all
    }

    /// Finds with what was found in the text that they left, as places in the text before.
    fn with_more(&self, text: &str, all: &[Found], more: Vec<Found>) -> Vec<Found> {
        // Each mark: where it begins and ends now, and what it stands for.
        let mut marks = Vec::with_capacity(all.len());
        let (mut now, mut then) = (0, 0);
        for one in all {
            now += one.range.start - then;
            let len = self.marked_as(text, one).len();
            marks.push((now..now + len, one.range.clone()));
            now += len;
            then = one.range.end;
        }
        // A place in or beside a mark leads to the mark's own end on that side.
        let back = |at: usize, end: bool| {
            let passed =
                marks.partition_point(|(mark, _)| if end { mark.start < at } else { mark.start <= at });
            let Some((mark, source)) = passed.checked_sub(1).map(|last| &marks[last]) else { return at };
            if at >= mark.end {
                source.end + (at - mark.end)
            } else if end {
                source.end
            } else {
                source.start
            }
        };
        let more = more.into_iter().map(|one| {
            let range = back(one.range.start, false)..back(one.range.end, true);
            let touches =
                all.iter().any(|known| known.range.start < range.end && range.start < known.range.end);
            let value =
                if touches { Zeroizing::new(text[range.clone()].to_owned()) } else { one.value.clone() };
            Found { range, value, ..one }
        });
        merged(text, all.iter().cloned().chain(more).collect())
    }

    /// The text without credentials, where it stands under a name that may tell of one: a header, a variable, a member.
    #[must_use]
    pub fn named<'a>(&self, name: &str, text: &'a str) -> Cow<'a, str> {
        let found = self.unmarked(walk::find_named(self, name, text));
        if found.is_empty() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(self.text(&self.replaced(text, &found)).into_owned())
        }
    }

    /// Any bytes without credentials; what is no UTF-8 stays as it is, and nothing is looked for across it.
    #[must_use]
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if let Ok(text) = str::from_utf8(bytes) {
            return match self.text(text) {
                Cow::Borrowed(_) => Cow::Borrowed(bytes),
                Cow::Owned(made) => Cow::Owned(made.into_bytes()),
            };
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut changed = false;
        for chunk in bytes.utf8_chunks() {
            let text = self.text(chunk.valid());
            changed |= matches!(text, Cow::Owned(_));
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(chunk.invalid());
        }
        if changed { Cow::Owned(out) } else { Cow::Borrowed(bytes) }
    }

    /// Redacts every string of a JSON value, names of members included, through JSON that stands in strings. Tells how many
    /// credentials were found.
    pub fn value(&self, value: &mut Value) -> usize {
        walk::value(self, value)
    }

    /// Where the text holds credentials, in order and apart from each other.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Finding> {
        self.every(text).into_iter().map(|one| Finding { rule: one.rule, range: one.range }).collect()
    }

    pub(crate) fn unmarked(&self, mut found: Vec<Found>) -> Vec<Found> {
        found.retain(|one| {
            // What was found by itself was asked of the allow list where it was found.
            let allowed = one.rank == Rank::Again && self.engine.is_allowed(&one.rule, one.value.trim());
            !allowed && !self.is_marked(&one.value)
        });
        found
    }

    /// Whether a value is, or holds, a mark that was put there before.
    pub(crate) fn is_marked(&self, value: &str) -> bool {
        Named.is_mark(value) || self.mark.is_mark(value)
    }

    pub(crate) fn replaced(&self, text: &str, found: &[Found]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for one in found {
            out.push_str(text.get(done..one.range.start).unwrap_or_default());
            // Marks stand inside strings of JSON and elements of HTML, at any depth.
            out.push_str(&self.marked_as(text, one));
            done = one.range.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// What is put in the place of one finding.
    pub(crate) fn marked_as(&self, text: &str, one: &Found) -> String {
        let source = text.get(one.range.clone()).unwrap_or_default();
        let hit = Hit { rule: &one.rule, value: &one.value, source, scope: &self.scope };
        // Marks stand inside strings of JSON and elements of HTML, at any depth.
        let inert = |c: char| matches!(c, '"' | '\\' | '<' | '>' | '&' | '\'') || c.is_control();
        self.mark.mark(&hit).chars().map(|c| if inert(c) { '_' } else { c }).collect()
    }
}
