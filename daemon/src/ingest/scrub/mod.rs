//! Where captured bytes become bytes that may be stored: credentials in them become marks.
//!
//! Everything captured comes through here before it reaches the writer, a journal, a pack or a file of the spool that the
//! daemon writes, and so before anything is worked out of it. Every byte outside a mark stays as it came, and what was
//! well-formed JSON stays so. The streams are never touched, and never wait for it.
//!
//! Never fails open: what cannot be scanned, because it is no text or because the scanner fell over it, becomes
//! `[unscanned N bytes]`, and is counted. Must never log what it looks at.
//!
//! Hook events that `cc-hook` left in the spool while no daemon was there lie in their files as they came (mode 0600, in a
//! directory of ours alone): the shim is a few kilobytes of the standard library and cannot redact. They are scrubbed when
//! they are taken in, and their files removed.

mod body;
mod cuts;
mod event;
mod exchange;
mod guard;
mod ids;
pub(super) mod stage;
mod stream;
mod text;
mod work;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ccd_redact::{Edit, Mark, Named, Redactor, RuleError, Rules, Scrubber, apply};

pub use cuts::reveal;
pub use ids::IdKey;
use work::Work;

/// Bytes that the scrubber may hold of what it scanned lately.
const MEMORY: usize = 4 << 20;

/// Scrubs everything that is captured. One for the whole daemon.
pub struct Scrub {
    scrubber: RwLock<Arc<Scrubber>>,
    /// The same rules, with marks that name the kind only.
    leaving: RwLock<Redactor>,
    mark: Arc<dyn Mark>,
    off: RwLock<Vec<String>>,
    ids: IdKey,
    redacted: AtomicU64,
    unscanned: AtomicU64,
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrub").finish_non_exhaustive()
    }
}

impl Default for Scrub {
    /// The built-in rules, marks that tell the kind only, and ids that are good for this process.
    fn default() -> Self {
        Scrub::of(Redactor::standard(), Arc::new(Named), IdKey::passing(), Vec::new())
    }
}

impl Scrub {
    /// With these rules beside the built-in ones, these marks, and ids made with this key.
    pub fn new(rules: &Rules, mark: Arc<dyn Mark>, ids: IdKey) -> Result<Self, RuleError> {
        Ok(Scrub::of(redactor(rules)?, mark, ids, rules.off.clone()))
    }

    fn of(redactor: Redactor, mark: Arc<dyn Mark>, ids: IdKey, off: Vec<String>) -> Self {
        let leaving = RwLock::new(redactor.clone());
        let scrubber = Scrubber::new(redactor.marked(Arc::clone(&mark)), MEMORY);
        Scrub {
            leaving,
            scrubber: RwLock::new(Arc::new(scrubber)),
            mark,
            off: RwLock::new(off),
            ids,
            redacted: AtomicU64::new(0),
            unscanned: AtomicU64::new(0),
        }
    }

    /// Puts other rules in force. Those in force stay where the new ones cannot be used.
    pub fn set(&self, rules: &Rules) -> Result<(), RuleError> {
        let redactor = redactor(rules)?;
        *self.leaving.write().unwrap_or_else(PoisonError::into_inner) = redactor.clone();
        let redactor = redactor.marked(Arc::clone(&self.mark));
        *self.scrubber.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Scrubber::new(redactor, MEMORY));
        self.off.write().unwrap_or_else(PoisonError::into_inner).clone_from(&rules.off);
        Ok(())
    }

    /// The scrubber in force.
    #[must_use]
    pub fn scrubber(&self) -> Arc<Scrubber> {
        Arc::clone(&self.scrubber.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What looks once more at what leaves, whose marks keep nothing in a vault.
    #[must_use]
    pub fn leaving(&self) -> Redactor {
        self.leaving.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A short text with marks that keep nothing in a vault: never waits for a disk.
    pub(super) fn told(&self, text: &str) -> String {
        let leaving = self.leaving();
        catch_unwind(AssertUnwindSafe(|| leaving.text(text).into_owned())).unwrap_or_else(|_| {
            self.tell(0, 1);
            unscanned(text.len())
        })
    }

    /// What ids are made with.
    #[must_use]
    pub fn ids(&self) -> &IdKey {
        &self.ids
    }

    /// Ids of built-in rules that are not used.
    #[must_use]
    pub fn rules_off(&self) -> Vec<String> {
        self.off.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks put into what was captured since the start.
    #[must_use]
    pub fn redacted(&self) -> u64 {
        self.redacted.load(Ordering::Relaxed)
    }

    /// Pieces that could not be scanned, and were left out, since the start.
    #[must_use]
    pub fn unscanned(&self) -> u64 {
        self.unscanned.load(Ordering::Relaxed)
    }

    /// Captured bytes of a session without credentials: one text, or one JSON document.
    #[must_use]
    pub fn bytes<'a>(&self, scope: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.edited(bytes, &self.edits(scope, bytes))
    }

    /// As [`Scrub::bytes`], for a text.
    #[must_use]
    pub fn text<'a>(&self, scope: &str, text: &'a str) -> Cow<'a, str> {
        match self.bytes(scope, text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// As [`Scrub::text`], for what stands under a name that may tell of a credential: a header, a parameter.
    #[must_use]
    pub fn named(&self, scope: &str, name: &str, text: &str) -> Option<String> {
        let work = self.work(scope);
        let found = catch_unwind(AssertUnwindSafe(|| work.named(name, text).into_owned()));
        let mut made = found.unwrap_or_else(|_| {
            self.unscanned.fetch_add(1, Ordering::Relaxed);
            unscanned(text.len())
        });
        work.settle([&mut made]);
        if made == text {
            return None;
        }
        self.redacted.fetch_add(1, Ordering::Relaxed);
        Some(made)
    }

    fn edited<'a>(&self, bytes: &'a [u8], edits: &[Edit]) -> Cow<'a, [u8]> {
        self.count(edits);
        if edits.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned(apply(bytes, edits)) }
    }

    /// Counts what is put in place; gives how many marks are among it.
    fn count(&self, edits: &[Edit]) -> u64 {
        let marks = edits.iter().filter(|edit| is_mark(&edit.mark)).count() as u64;
        let unscanned = edits.iter().filter(|edit| edit.mark.contains(UNSCANNED)).count() as u64;
        self.tell(marks, unscanned);
        marks
    }

    fn tell(&self, marks: u64, unscanned: u64) {
        self.redacted.fetch_add(marks, Ordering::Relaxed);
        self.unscanned.fetch_add(unscanned, Ordering::Relaxed);
    }

    /// Begins a piece of work on what was captured of a session.
    fn work<'a>(&self, scope: &'a str) -> Work<'a> {
        Work::new(scope, self.scrubber(), self.mark.batch())
    }

    /// What is to be replaced in captured bytes: one text, or one JSON document.
    pub(crate) fn edits(&self, scope: &str, bytes: &[u8]) -> Vec<Edit> {
        let work = self.work(scope);
        let mut edits = text::edits(bytes, &|text| guard::document(text, work.found(text)));
        work.settle(edits.iter_mut().map(|edit| &mut edit.mark));
        edits
    }

    /// As [`Scrub::edits`], for lines each of which is a JSON document: they stay apart.
    pub(crate) fn edits_of_lines(&self, scope: &str, bytes: &[u8]) -> Vec<Edit> {
        let work = self.work(scope);
        let mut edits = guard::lines(bytes, text::edits(bytes, &|text| work.found(text)));
        work.settle(edits.iter_mut().map(|edit| &mut edit.mark));
        edits
    }
}

fn redactor(rules: &Rules) -> Result<Redactor, RuleError> {
    if *rules == Rules::default() { Ok(Redactor::standard()) } else { Redactor::with(rules) }
}

/// What every mark begins with.
pub(crate) const MARK: &str = "[redacted:";
const UNSCANNED: &str = "[unscanned ";

fn is_mark(mark: &str) -> bool {
    mark.contains(MARK)
}

/// What stands for bytes that could not be scanned.
fn unscanned(len: usize) -> String {
    format!("{UNSCANNED}{len} bytes]")
}
