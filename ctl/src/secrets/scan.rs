//! What lies in one file: where, of which kinds, and which values are the same, told by a keyed hash of each.
//!
//! The key is drawn for each run and not kept, so that the hashes tell nothing; they are never shown either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ccd_redact::{Hit, Mark, Named, Scrubber};

use super::walk::{File, reason};
use crate::redact::rule_of;
use crate::redact::stretches::Stretches;

/// How much is looked at at a time.
const STRETCH: usize = 1 << 20;
/// What tells a binary from a text.
const HEAD: usize = 8 << 10;
/// Line numbers that are kept of one kind in one file.
const LINES: usize = 100;

/// Marks that tell the kind, and which values are the same.
pub(super) struct Tally {
    key: [u8; 32],
}

impl Tally {
    pub(super) fn new() -> Tally {
        let mut key = [0; 32];
        for (at, part) in key.chunks_exact_mut(8).enumerate() {
            // The system's randomness, by way of the standard library's.
            part.copy_from_slice(&RandomState::new().hash_one(at).to_le_bytes());
        }
        Tally { key }
    }
}

impl Mark for Tally {
    fn mark(&self, hit: &Hit<'_>) -> String {
        let hash = blake3::keyed_hash(&self.key, hit.value.as_bytes());
        format!("[redacted:{}:{}]", hit.rule, &hash.to_hex()[..24])
    }

    fn is_mark(&self, value: &str) -> bool {
        Named.is_mark(value)
    }
}

/// Finds of one kind in one file.
#[derive(Debug, Default)]
pub(super) struct Finds {
    pub(super) count: u64,
    /// The first lines that have one.
    pub(super) lines: BTreeSet<u64>,
    /// Which values they are.
    pub(super) values: BTreeSet<String>,
}

/// What became of a file.
#[derive(Debug)]
pub(super) enum Outcome {
    Looked(BTreeMap<String, Finds>),
    /// It is no text.
    Binary,
    Unreadable(String),
}

/// A file, and what became of it.
#[derive(Debug)]
pub(super) struct FileScan {
    pub(super) file: File,
    pub(super) outcome: Outcome,
}

pub(super) fn file(scrubber: &Scrubber, file: &File) -> FileScan {
    // A failure in one file leaves the others to be looked through, and is told of.
    let outcome = catch_unwind(AssertUnwindSafe(|| look(scrubber, file)));
    let outcome = match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Unreadable(reason(&error)),
        Err(_) => Outcome::Unreadable("the search failed in it".to_owned()),
    };
    FileScan { file: file.clone(), outcome }
}

fn look(scrubber: &Scrubber, file: &File) -> io::Result<Outcome> {
    let mut input = fs::File::open(&file.path)?;
    let mut head = Vec::new();
    input.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    if head.contains(&0) {
        return Ok(Outcome::Binary);
    }
    let mut stretches = Stretches::new(Cursor::new(head).chain(input), STRETCH);
    let mut finds: BTreeMap<String, Finds> = BTreeMap::new();
    let mut line = 1;
    while let Some(stretch) = stretches.next()? {
        let mut at = 0;
        let mut here = line;
        for edit in scrubber.edits("", &stretch) {
            here += newlines(&stretch[at..edit.range.start]);
            at = edit.range.start;
            let finds = finds.entry(rule_of(&edit.mark).to_owned()).or_default();
            finds.count += 1;
            if finds.lines.len() < LINES {
                finds.lines.insert(here);
            }
            finds.values.insert(value_of(&edit.mark).to_owned());
        }
        line += newlines(&stretch);
    }
    Ok(Outcome::Looked(finds))
}

/// What tells the value of a mark from others.
fn value_of(mark: &str) -> &str {
    mark.trim_end_matches(']').rsplit(':').next().unwrap_or(mark)
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').count() as u64 - 1
}
