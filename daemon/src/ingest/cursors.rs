//! How far each transcript was taken: rows of the index, worked out from the journal's records and from nothing else.
//!
//! A row is written in the batch that applies its record. It is found by the file itself (device and inode) among those
//! of its name, so that a file that moves keeps its row, and a copy finds what was taken of the original.
//!
//! They outlive the records that are let go of, in the store's manifest beside the usage: the files are still there, and
//! reading them again would count them again.
//!
//! Must never say more than the journal has: a row that is missing costs reading a file again, one that is ahead costs
//! lines.

use ccd_store::{Mutation, Reader, Record, StoreError};
use serde::{Deserialize, Serialize};

use super::record::{self, Stored, TranscriptPart};
use super::scrub::IdKey;
use crate::live::{self, LiveError};
use crate::project::rows;

/// First byte of the rows' keys.
const CURSOR: u8 = 0x30;
/// So many bytes before the cursor are known by their hash, at most.
pub const TAIL: usize = 1024;

/// How far a file was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// When the file was made, nanoseconds since the Unix epoch.
    pub born_ns: u64,
    /// When it was last written, as far as it was taken, nanoseconds since the Unix epoch.
    pub written_ns: u64,
    /// Bytes taken.
    pub offset: u64,
    /// How many bytes before that are known by their hash.
    pub tail_len: u32,
    /// Their hash.
    pub tail: [u8; 16],
}

impl Cursor {
    /// A cursor behind these bytes, which begin at `offset` of the file.
    #[must_use]
    pub fn behind(born_ns: u64, written_ns: u64, offset: u64, bytes: &[u8]) -> Self {
        let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
        Cursor {
            born_ns,
            written_ns,
            offset: offset + bytes.len() as u64,
            tail_len: u32::try_from(tail.len()).unwrap_or(0),
            tail: record::first16(blake3::hash(tail)),
        }
    }
}

/// The last bytes of a stretch by which it is known: how many, and their hash, made with the key of the ids since the record
/// has other bytes.
#[must_use]
pub fn keyed_tail(key: &IdKey, bytes: &[u8]) -> (u32, [u8; 16]) {
    let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
    (u32::try_from(tail.len()).unwrap_or(0), record::first16(key.hasher().update(tail).finalize()))
}

/// A file on its device.
pub type FileId = (u64, u64);

/// What tells a transcript from others, wherever it lies: its session's name, and for a subagent's also its own.
#[must_use]
pub fn name_of(path: &[u8]) -> Vec<u8> {
    let mut parts = path.rsplit(|b| *b == b'/');
    let file = parts.next().unwrap_or_default();
    let parts: Vec<&[u8]> = parts.take(8).collect();
    match parts.iter().position(|part| *part == b"subagents").and_then(|at| parts.get(at + 1)) {
        Some(session) => [session, &b"/"[..], file].concat(),
        None => file.to_vec(),
    }
}

fn keys_of(name: &[u8]) -> Vec<u8> {
    let hash = record::first16(blake3::hash(name));
    [&[CURSOR][..], &hash].concat()
}

/// The row's key.
#[must_use]
pub fn key(name: &[u8], (device, inode): FileId) -> Vec<u8> {
    let mut key = keys_of(name);
    key.extend_from_slice(&device.to_be_bytes());
    key.extend_from_slice(&inode.to_be_bytes());
    key
}

/// The row of a record that is a stretch of a transcript.
pub(super) fn row(reader: &Reader, record: &Record) -> Result<Option<Mutation>, LiveError> {
    let Ok((head, body, in_file)) = record::transcript(record) else { return Ok(None) };
    // What lies beside a subagent's transcript is written whole, and known whole.
    let offset = if head.part == TranscriptPart::AgentMeta { 0 } else { head.offset };
    let cursor = match (in_file, &body) {
        // The bytes are not those of the file.
        (Some(in_file), _) => Cursor {
            born_ns: head.born_ns,
            written_ns: record.at_ns,
            offset: offset.saturating_add(in_file.length),
            tail_len: in_file.tail_len,
            tail: in_file.tail,
        },
        (None, record::Kept::Inline(bytes)) => Cursor::behind(head.born_ns, record.at_ns, offset, bytes),
        (None, record::Kept::Blob(blob)) => {
            let bytes = live::body(reader, &Stored::Blob(*blob))?;
            Cursor::behind(head.born_ns, record.at_ns, offset, &bytes)
        }
    };
    let key = key(&name_of(&head.path), (head.device, head.inode));
    Ok(Some(Mutation::Put(key, rows::encode(&cursor)?)))
}

/// What is kept begins with this where cursors are with it; kept usage alone begins with its schema.
const CARRIED: &[u8] = &[0xcc, 1];
/// Cursors of a million files.
const LIMIT: usize = 256 << 20;

/// Kept usage, with all cursors that a generation of the index knows behind it.
pub(super) fn carried(reader: &Reader, usage: Vec<u8>) -> Result<Vec<u8>, LiveError> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        reader.scan(&[CURSOR], &[CURSOR + 1]).collect::<Result<_, StoreError>>()?;
    if rows.is_empty() {
        return Ok(usage);
    }
    Ok([CARRIED, &(usage.len() as u64).to_le_bytes(), &usage, &rows::encode(&rows)?].concat())
}

/// The kept usage in what [`carried`] gave, and the cursors' rows.
pub(super) fn split(kept: &[u8]) -> Result<(&[u8], Vec<Mutation>), LiveError> {
    let Some(rest) = kept.strip_prefix(CARRIED) else { return Ok((kept, Vec::new())) };
    let damaged = || rows::RowError::new("what is kept ends too early".into());
    let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let (usage, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
    let rows: Vec<(Vec<u8>, Vec<u8>)> = rows::decode_within::<_, LIMIT>(rest)?;
    Ok((usage, rows.into_iter().map(|(key, value)| Mutation::Put(key, value)).collect()))
}

/// What is known of a file: its own row first, then those of others that have its name.
pub fn find(reader: &Reader, name: &[u8], file: FileId) -> Result<(Option<Cursor>, Vec<Cursor>), LiveError> {
    let (from, own) = (keys_of(name), key(name, file));
    let mut to = from.clone();
    to.extend_from_slice(&[0xff; 17]);
    let (mut this, mut others) = (None, Vec::new());
    for found in reader.scan(&from, &to) {
        let (key, value) = found.map_err(|e: StoreError| LiveError::from(e))?;
        let cursor: Cursor = rows::decode(&value)?;
        if key == own {
            this = Some(cursor);
        } else {
            others.push(cursor);
        }
    }
    others.sort_by_key(|cursor| std::cmp::Reverse(cursor.offset));
    Ok((this, others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::record::{TranscriptPart, TranscriptV2};
    use ccd_store::Locator;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_that_of_the_session_and_the_agent() {
        for (path, name) in [
            ("/h/.claude/projects/-w/s.jsonl", "s.jsonl"),
            ("/elsewhere/s.jsonl", "s.jsonl"),
            ("/p/-w/s/subagents/agent-1.jsonl", "s/agent-1.jsonl"),
            ("/p/-w/s/subagents/deeper/agent-1.meta.json", "s/agent-1.meta.json"),
            ("subagents/agent-1.jsonl", "agent-1.jsonl"),
            ("", ""),
        ] {
            assert_eq!(name_of(path.as_bytes()), name.as_bytes(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_record_and_its_bytes_give_the_same_cursor(
            body in proptest::collection::vec(any::<u8>(), 0..3000),
            offset in 0u64..1 << 40,
        ) {
            let record = TranscriptV2 {
                path: b"/a/s.jsonl".to_vec(),
                part: TranscriptPart::Lines,
                device: 1,
                inode: 2,
                born_ns: 3,
                offset,
                body: Stored::Inline(body.clone()),
                in_file: None,
            };
            let new = record.to_record([1; 16], 9).unwrap();
            let stored = Record {
                seq: 1,
                locator: Locator { segment: 0, offset: 0, index: 0 },
                kind: new.kind,
                schema: new.schema,
                id: new.id,
                at_ns: new.at_ns,
                body: new.body,
            };
            let (head, kept, in_file) = record::transcript(&stored).unwrap();
            prop_assert!(in_file.is_none());
            prop_assert_eq!((&head.path[..], head.offset), (&b"/a/s.jsonl"[..], offset));
            let record::Kept::Inline(bytes) = kept else { panic!("in the record") };
            prop_assert_eq!(bytes, &body[..]);
            let cursor = Cursor::behind(3, 9, offset, &body);
            prop_assert_eq!(cursor.offset, offset + body.len() as u64);
            let cut = Record { body: stored.body[..stored.body.len() - 1].to_vec(), ..stored };
            prop_assert!(record::transcript(&cut).is_err());
        }
    }
}
