//! Findings in files that were only just begun: what a new file speaks of may be what the next one brings.
//!
//! It must never keep a finding back for longer than a few calls, or past the end of a turn.
//!
//! Invariant: at most [`MAX_PENDING`] findings are held; what no longer fits is dropped: the benefit of the doubt.

use crate::detection::Detection;

/// Findings that are kept back.
const MAX_PENDING: usize = 16;
/// Names, and files, that a finding is about.
const MAX_ABOUT: usize = 32;
/// Calls for which one is kept back.
const PATIENCE: u32 = 4;

/// A finding, and what would make it moot.
#[derive(Debug)]
struct Waiting {
    /// The names that it is about.
    names: Vec<String>,
    /// The files of which one would do.
    files: Vec<String>,
    calls: u32,
    detection: Detection,
}

/// Findings that are kept back.
#[derive(Debug, Default)]
pub(super) struct Pending(Vec<Waiting>);

impl Pending {
    pub(super) fn held(&self) -> usize {
        self.0.iter().map(|waiting| 1 + waiting.names.len() + waiting.files.len()).sum()
    }

    /// Keeps a finding back.
    pub(super) fn keep(&mut self, detection: Detection, mut names: Vec<String>, mut files: Vec<String>) {
        names.truncate(MAX_ABOUT);
        files.truncate(MAX_ABOUT);
        if self.0.len() < MAX_PENDING {
            self.0.push(Waiting { names, files, calls: 0, detection });
        }
    }

    /// Something is there now: a name that was defined, or a file that was written.
    pub(super) fn settle(&mut self, is_there: &dyn Fn(&str) -> bool, file: &str) {
        self.0.retain(|waiting| {
            !waiting.names.iter().any(|name| is_there(name)) && !waiting.files.iter().any(|path| path == file)
        });
    }

    /// One more call came back at this event, or the turn ends (`all`): what has waited long enough.
    pub(super) fn due(&mut self, at: usize, all: bool) -> impl Iterator<Item = Detection> + use<> {
        let mut due = Vec::new();
        self.0.retain_mut(|waiting| {
            waiting.calls += 1;
            if !all && waiting.calls <= PATIENCE {
                return true;
            }
            let mut detection = waiting.detection.clone();
            detection.at_event = at;
            due.push(detection);
            false
        });
        due.into_iter()
    }
}
