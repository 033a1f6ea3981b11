//! Hook events, and stretches of transcripts and of other recorders' files.
//!
//! Their ids are made of the bytes that came; everything else of them sees the scrubbed bytes only.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ccd_redact::{Edit, apply};
use serde::Deserialize;

use super::{Scrub, unscanned};
use crate::ingest::HookEvent;
use crate::ingest::cursors::{keyed_tail, name_of};
use crate::ingest::record::{HookV1, InFileV1, TranscriptPart};

/// What of an event tells where it belongs.
#[derive(Deserialize)]
struct Of {
    #[serde(default)]
    session_id: String,
}

fn session_of(body: &[u8]) -> String {
    serde_json::from_slice::<Of>(body).map(|of| of.session_id).unwrap_or_default()
}

impl Scrub {
    /// A JSON document without credentials that names its session as hook events do, or none.
    #[must_use]
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.bytes(&session_of(bytes), bytes)
    }

    /// A hook event as it may be kept.
    #[must_use]
    pub fn hook(&self, arrived_ns: u64, client: &[u8], body: &Bytes) -> HookEvent {
        let id = HookV1::record_id(self.ids(), arrived_ns, body);
        let edits = self.edits(&session_of(body), body);
        self.count(&edits);
        let body = if edits.is_empty() { body.clone() } else { apply(body, &edits).into() };
        let client = self.bytes("", client).into_owned();
        HookEvent { id, arrived_ns, client, body }
    }

    /// As [`Scrub::hook`], for threads that must not be kept: the scan takes its time, and a mark may wait for the vault's
    /// disk, however small the event.
    pub async fn hook_beside(self: &Arc<Self>, arrived_ns: u64, client: Vec<u8>, body: Bytes) -> HookEvent {
        let (this, len) = (Arc::clone(self), body.len());
        let id = HookV1::record_id(self.ids(), arrived_ns, &body);
        let scrubbed = tokio::task::spawn_blocking(move || this.hook(arrived_ns, &client, &body));
        scrubbed.await.unwrap_or_else(|_| {
            self.tell(0, 1);
            HookEvent { id, arrived_ns, client: Vec::new(), body: unscanned(len).into() }
        })
    }

    /// A stretch of a transcript as it may be kept, and what it was in its file where that is something else.
    #[must_use]
    pub fn stretch(
        &self,
        session: &str,
        part: TranscriptPart,
        bytes: Vec<u8>,
    ) -> (Vec<u8>, Option<InFileV1>) {
        let edits = match part {
            TranscriptPart::Lines => self.edits_of_lines(session, &bytes),
            TranscriptPart::AgentMeta => self.edits(session, &bytes),
        };
        if edits.is_empty() {
            return (bytes, None);
        }
        self.count(&edits);
        let (tail_len, tail) = keyed_tail(self.ids(), &bytes);
        let in_file = InFileV1 { length: bytes.len() as u64, tail_len, tail, shifts: shifts(&bytes, &edits) };
        (apply(&bytes, &edits), Some(in_file))
    }

    /// A transcript's path as a record shows it: by what it is known stays as it is, its name and, for a subagent's, its
    /// session's.
    #[must_use]
    pub fn file(&self, path: &[u8]) -> Vec<u8> {
        let shown = self.bytes("", path);
        let is_known = name_of(&shown) == name_of(path)
            && crate::project::transcript::agent_of(&shown) == crate::project::transcript::agent_of(path);
        if is_known {
            return shown.into_owned();
        }
        let parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
        let Some((file, dirs)) = parts.split_last() else { return shown.into_owned() };
        // The session's directory, as `name_of` tells it.
        let session = dirs.iter().rev().take(8).position(|part| *part == b"subagents");
        let session = session.and_then(|at| (dirs.len() - at).checked_sub(2));
        let mut kept: Vec<u8> = Vec::with_capacity(path.len());
        let (before, after) = match session {
            Some(at) => (dirs.get(..at), dirs.get(at + 1..)),
            None => (Some(dirs), None),
        };
        let scrubbed = |parts: &[&[u8]]| self.bytes("", &parts.join(&b'/')).into_owned();
        if let Some(before) = before.filter(|parts| !parts.is_empty()) {
            kept.extend_from_slice(&scrubbed(before));
            kept.push(b'/');
        }
        if let (Some(at), Some(after)) = (session, after) {
            kept.extend_from_slice(dirs.get(at).copied().unwrap_or_default());
            kept.push(b'/');
            kept.extend_from_slice(&scrubbed(after));
            kept.push(b'/');
        }
        kept.extend_from_slice(file);
        kept
    }

    /// The path of a file that is not known by its name.
    #[must_use]
    pub fn foreign_file(&self, path: &[u8]) -> Vec<u8> {
        self.bytes("", path).into_owned()
    }
}

/// How much further on in the file each line lies than in the record, from where that changes.
fn shifts(bytes: &[u8], edits: &[Edit]) -> Vec<(u64, i64)> {
    let mut shifts: Vec<(u64, i64)> = Vec::new();
    let mut shift = 0_i64;
    for edit in edits {
        shift += i64::try_from(edit.range.len()).unwrap_or(0) - i64::try_from(edit.mark.len()).unwrap_or(0);
        let Some(end) = memchr::memchr(b'\n', bytes.get(edit.range.end..).unwrap_or_default()) else { break };
        let next = (edit.range.end + end + 1) as u64;
        let at = next.saturating_add_signed(-shift);
        // Of several changes in a line the last one tells.
        shifts.pop_if(|(last, before)| last.saturating_add_signed(*before) == next);
        shifts.push((at, shift));
    }
    shifts
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;
    use crate::project::transcript::TranscriptFacts;

    proptest! {
        #[test]
        fn every_line_is_found_in_its_file(
            lines in proptest::collection::vec(("[a-z]{0,9}", "x{0,12}", "[a-z]{0,9}"), 1..12),
            mark in "m{0,20}", offset in 0u64..1000,
        ) {
            let (mut text, mut edits, mut starts) = (String::new(), Vec::new(), Vec::new());
            for (before, value, after) in &lines {
                starts.push(text.len() as u64);
                text += before;
                let range: Range<usize> = text.len()..text.len() + value.len();
                text += value;
                if !range.is_empty() {
                    edits.push(Edit { range, mark: mark.clone() });
                }
                text += after;
                text.push('\n');
            }
            let shifts = shifts(text.as_bytes(), &edits);
            let stored = apply(text.as_bytes(), &edits);
            let facts = TranscriptFacts { offset, shifts, ..TranscriptFacts::default() };
            let mut at = 0;
            for (line, start) in stored.split_inclusive(|b| *b == b'\n').zip(starts) {
                prop_assert_eq!(facts.place(at), offset + start);
                at += line.len() as u64;
            }
        }
    }
}
