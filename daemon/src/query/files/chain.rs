//! The edits of one file, one behind the other. Pure.
//!
//! Two edits fit together where the second begins with what the first left. Where something else changed the file between
//! them (a formatter, a person, a command), or an edit does not tell the whole file, the chain is not exact, and what is
//! known is told as that: the whole file from the first original to the last result where both are known, else the edits'
//! own words.

use ccd_proto::api::SessionFile;

use super::edit::{Edit, Original, line_counts};

/// Bytes of the edits' own words that are held for one file.
const MAX_PARTS: usize = 256 << 10;

/// A file's edits so far.
pub(super) struct Chain {
    file: SessionFile,
    /// As it was before the first edit, where that is known.
    before: Option<String>,
    /// As it is now, where that is known.
    now: Option<String>,
    /// What the edits themselves show.
    parts: (Vec<String>, Vec<String>),
    held: usize,
}

impl Chain {
    pub(super) fn new(path: &str) -> Self {
        let file = SessionFile { path: path.to_owned(), exact: true, ..SessionFile::default() };
        Chain { file, before: None, now: None, parts: Default::default(), held: 0 }
    }

    /// Adds the next edit.
    pub(super) fn add(&mut self, span_id: &str, edit: &Edit) {
        let is_first = self.file.edits == 0;
        self.file.edits += 1;
        self.file.spans.push(span_id.to_owned());
        let before = match &edit.original {
            Original::Whole(whole) => Some(whole.clone()),
            Original::Absent => Some(String::new()),
            // As far as anybody knows.
            Original::Unknown => self.now.clone(),
        };
        let fits = match &edit.original {
            Original::Unknown => false,
            Original::Absent => is_first,
            Original::Whole(whole) => is_first || self.now.as_ref() == Some(whole),
        };
        if is_first {
            self.file.created = edit.original == Original::Absent;
            self.before.clone_from(&before);
        }
        let after = edit.result(before.as_deref());
        let (added, removed) = edit.counts(before.as_deref(), after.as_deref());
        self.file.added = self.file.added.saturating_add(added);
        self.file.removed = self.file.removed.saturating_add(removed);
        self.file.exact &= fits && after.is_some() && !edit.staged;
        let (old, new) = edit.parts();
        if self.held < MAX_PARTS {
            self.held = self.held.saturating_add(old.len() + new.len());
            self.parts.0.push(old);
            self.parts.1.push(new);
        }
        self.now = after;
    }

    /// Bytes that it holds.
    pub(super) fn weight(&self) -> usize {
        let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        of(&self.before) + of(&self.now) + self.held
    }

    /// Lets go of the texts: only counts are told from here on.
    pub(super) fn let_go(&mut self) {
        self.file.exact = false;
        (self.before, self.now, self.parts) = (None, None, Default::default());
        self.held = MAX_PARTS;
    }

    /// What there is to say of the file, with its texts.
    pub(super) fn told(self) -> SessionFile {
        let Chain { mut file, before, now, parts, .. } = self;
        if let (Some(before), Some(now)) = (before, now) {
            if file.exact {
                (file.added, file.removed) = line_counts(&before, &now);
            }
            file.before = Some(before).filter(|_| !file.created);
            file.after = Some(now);
        } else {
            file.exact = false;
            let joined = |parts: Vec<String>| Some(parts.join("\n") + "\n").filter(|text| text != "\n");
            (file.before, file.after) = (joined(parts.0), joined(parts.1));
        }
        file
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
