//! Files that are asked for and do not exist, one after the other.
//!
//! It must never count a single wrong guess: looking once at the wrong place is how places are found.
//!
//! Invariant: a run ends with the first file of the tree that is there.

use crate::detection::{Detection, Kind};
use crate::event::{Outcome, ToolCall};
use crate::index::Index;
use crate::memory::{Memory, Step, Tool};
use crate::text::{clip, hash};

/// Paths that are shown.
const MAX_SHOWN: usize = 8;

/// A run of files that are not there.
#[derive(Debug, Default)]
pub(super) struct Missing {
    tries: u32,
    batches: Vec<u64>,
    paths: Vec<(usize, u64, String)>,
    told: bool,
}

impl Missing {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn held(&self) -> usize {
        self.batches.len() + self.paths.len()
    }

    /// Takes a call in, and tells when there have been `limit`.
    pub(super) fn take(
        &mut self,
        memory: &Memory,
        index: &dyn Index,
        step: &Step,
        call: &ToolCall,
        outcome: &Outcome,
        limit: u32,
    ) -> Option<Detection> {
        if !matches!(Tool::named(&call.name), Tool::Read | Tool::Edit) {
            return None;
        }
        let Outcome::Err(error) = outcome else {
            self.clear();
            return None;
        };
        let path = call.text("file_path");
        let within = super::relative(path, &memory.cwd)?;
        if !is_missing(error) || path.is_empty() {
            return None;
        }
        // A file of this name that was seen somewhere is a wrong place, not an invention; so is one of the tree, unless
        // its place says otherwise.
        let name = within.rsplit('/').next().unwrap_or(within);
        if memory.words.has_file(name) || index.is_complete() && !index.files_named(name).is_empty() {
            return None;
        }
        self.tries = self.tries.saturating_add(1);
        if !self.batches.contains(&step.batch) && self.batches.len() < MAX_SHOWN {
            self.batches.push(step.batch);
        }
        let known = hash(within);
        if self.paths.len() < MAX_SHOWN && !self.paths.iter().any(|(_, other, _)| *other == known) {
            self.paths.push((memory.event(), known, clip(within, 160)));
        }
        if self.told || limit == 0 || self.tries < limit || self.paths.len() < 2 || self.batches.len() < 2 {
            return None;
        }
        self.told = true;
        let mut detection = Detection::new(Kind::Hallucination, "files", memory.event(), 60, 85)
            .title(format!("{} tries in a row at files that do not exist", self.tries))
            .advice("Do not guess paths: list the directory, or search for what the file should hold.")
            .mast("FM-2.6");
        for (event, _, path) in &self.paths {
            detection = detection.seen(*event, path);
        }
        Some(detection)
    }
}

fn is_missing(error: &str) -> bool {
    ["File does not exist", "no such file", "No such file", "ENOENT", "does not exist"]
        .iter()
        .any(|sign| error.contains(sign))
}
