//! What a transcript tells: its lines, read into facts. Pure: the same bytes give the same facts.
//!
//! The format is the client's own and changes between versions: a line that is not understood tells nothing, and is
//! kept all the same.

use crate::ingest::record::TranscriptV1;

/// What a stretch of a transcript tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranscriptFacts {
    /// The session: the name of its file, or of the directory that a subagent's file is in.
    pub session_id: String,
    /// The subagent whose transcript it is.
    pub agent_id: Option<String>,
    /// When the file was made, nanoseconds since the Unix epoch.
    pub born_ns: u64,
}

/// Reads a stretch of a transcript. `None` where its file's name tells no session.
#[must_use]
pub fn read(record: &TranscriptV1, body: &[u8]) -> Option<TranscriptFacts> {
    let _ = (record, body);
    None
}
