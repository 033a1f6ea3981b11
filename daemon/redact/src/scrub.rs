//! Redaction of what is captured: byte-exact around what is replaced, and quick where the same text comes again.
//!
//! Gives edits, not texts: whoever keeps times or offsets of the bytes can move them along. Every byte outside an edit stays
//! as it is, and of JSON only contents of strings change. Must never give fewer edits for a text because it was seen before.
//!
//! Remembers in a bounded space which pieces it looked through (`memory`) and which values it recognised: such a value is
//! taken out of whatever comes later, and of pieces that were clean when they were first seen. Threads share it, and none
//! waits for another's scan.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use crate::found::{Found, Rank, merged};
use crate::memory::Memory;
use crate::recur::{self, Known};
use crate::scan::Scan;
use crate::{Batch, Redactor};

/// Two to this many bits filter the places that may be a known value's: 128 KiB.
const FILTER: u32 = 20;

/// One replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that are replaced.
    pub range: Range<usize>,
    /// What stands for them.
    pub mark: String,
}

/// Redacts what is captured. One for the whole daemon, shared by its threads.
pub struct Scrubber {
    redactor: Redactor,
    memory: Memory,
    known: RwLock<Arc<Known>>,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubber").finish_non_exhaustive()
    }
}

impl Scrubber {
    /// With these rules and marks; remembers what it scanned in at most so many bytes.
    #[must_use]
    pub fn new(redactor: Redactor, memory: usize) -> Self {
        Scrubber { redactor, memory: Memory::new(memory), known: RwLock::new(Arc::new(Known::new(FILTER))) }
    }

    /// Has these values taken out wherever they come, each with the rule that it is told as: what a vault holds. Values of
    /// less than eight bytes or more than 4 KiB are passed over, as are those that may stand anywhere.
    pub fn know<'a>(&self, values: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let values: Vec<Found> = values
            .into_iter()
            .map(|(rule, value)| {
                // What was found by its name alone has to look like a credential to be one elsewhere.
                let has_form = self.redactor.engine.has_rule(rule);
                let rank = if has_form { Rank::Rule } else { Rank::Name };
                Found::new(0..value.len(), rule, value, rank)
            })
            .collect();
        self.learn(&values);
    }

    /// What is to be replaced in captured bytes of a session, in order and apart from each other. Bytes that are no UTF-8
    /// are left out, and nothing is looked for across them.
    #[must_use]
    pub fn edits(&self, scope: &str, bytes: &[u8]) -> Vec<Edit> {
        self.edits_with(bytes, &|| self.redactor.within(scope))
    }

    /// As [`Scrubber::edits`], with the marks of a batch: they are good once that is settled.
    #[must_use]
    pub fn edits_in(&self, scope: &str, bytes: &[u8], batch: &Arc<dyn Batch>) -> Vec<Edit> {
        self.edits_with(bytes, &|| self.redactor.within(scope).marked(Arc::clone(batch)))
    }

    fn edits_with(&self, bytes: &[u8], marking: &dyn Fn() -> Redactor) -> Vec<Edit> {
        let mut redactor = None;
        let mut edits = Vec::new();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            let text = chunk.valid();
            let found = self.redactor.all(text, &mut |text| self.look(text));
            if !found.is_empty() {
                let redactor = redactor.get_or_insert_with(marking);
                edits.extend(found.iter().map(|one| Edit {
                    range: one.range.start + at..one.range.end + at,
                    mark: redactor.marked_as(text, one),
                }));
            }
            at += text.len() + chunk.invalid().len();
        }
        edits
    }

    /// The bytes without credentials; borrowed where nothing was found.
    #[must_use]
    pub fn bytes<'a>(&self, scope: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let edits = self.edits(scope, bytes);
        if edits.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned(apply(bytes, &edits)) }
    }

    /// The text of a header, a variable or a member, whose name may tell of a credential.
    #[must_use]
    pub fn named<'a>(&self, scope: &str, name: &str, text: &'a str) -> Cow<'a, str> {
        Self::named_by(&self.redactor.within(scope), name, text)
    }

    /// As [`Scrubber::named`], with the marks of a batch: they are good once that is settled.
    #[must_use]
    pub fn named_in<'a>(
        &self,
        scope: &str,
        name: &str,
        text: &'a str,
        batch: &Arc<dyn Batch>,
    ) -> Cow<'a, str> {
        Self::named_by(&self.redactor.within(scope).marked(Arc::clone(batch)), name, text)
    }

    fn named_by<'a>(redactor: &Redactor, name: &str, text: &'a str) -> Cow<'a, str> {
        match redactor.named(name, text) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(made) => Cow::Owned(made),
        }
    }

    fn look(&self, text: &str) -> Vec<Found> {
        let known = self.values();
        let scan = Scan { redactor: &self.redactor, memory: Some(&self.memory), known: &known };
        let found = scan.text(text);
        if !self.learn(&found) {
            return found;
        }
        // What was recognised just now may stand in pieces that were looked through before it.
        let now = self.values();
        let again = Scan { known: &now, ..scan }.again(text, known.epoch());
        if again.is_empty() { found } else { merged(text, found.into_iter().chain(again).collect()) }
    }

    fn values(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up what is worth looking for; tells whether something was new.
    fn learn(&self, found: &[Found]) -> bool {
        let engine = &self.redactor.engine;
        let is_wanted =
            |one: &Found| recur::is_for_good(one) && !engine.is_allowed(&one.rule, one.value.trim());
        if !found.iter().any(is_wanted) {
            return false;
        }
        let values = self.values();
        let new: Vec<&Found> =
            found.iter().filter(|one| is_wanted(one) && !values.is_known(one.value.trim())).collect();
        if new.is_empty() {
            return false;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut more = Known::clone(&known);
        let mut any = false;
        for one in new {
            any |= more.add_for_good(one);
        }
        *known = Arc::new(more);
        any
    }
}

/// Bytes with edits made. The edits are in order and apart from each other.
#[must_use]
pub fn apply(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for edit in edits {
        out.extend_from_slice(bytes.get(done..edit.range.start).unwrap_or_default());
        out.extend_from_slice(edit.mark.as_bytes());
        done = edit.range.end;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
