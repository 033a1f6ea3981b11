//! `store …`: sizes and health, and the long operations. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

use super::ApiError;

/// One line of an operation's answer: exactly one of the fields is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line<T> {
    /// How far it is.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What it did; the last line.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
    /// Why it failed; the last line.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
}

/// Unlike `Default`, this asks nothing of `T`.
fn none<T>() -> Option<T> {
    None
}

/// How far an operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// What it is doing: `packs`, `journal`, `copy`, `check`, `open`, `swap`, `rebuild`, …
    pub phase: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do; 0 where that is not known.
    pub total: u64,
    /// What is counted: `bytes` or `records`.
    pub unit: String,
}

/// `GET /v0/store/stats`. What is not known is left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreStats {
    /// The store's directory.
    pub path: String,
    /// Bytes of journal, packs and index.
    pub bytes: u64,
    /// The journal.
    pub journal: FileStats,
    /// The packs.
    pub packs: FileStats,
    /// The index, which is derived from the others.
    pub index: FileStats,
    /// Records.
    pub records: u64,
    /// How many of them there are of each kind: `hook`, `exchange`, `transcript` (those of other recorders with them),
    /// `detection`, `intervention`, `judgement`, `unreadable`.
    pub kinds: std::collections::BTreeMap<String, u64>,
    /// Sessions.
    pub sessions: u64,
    /// The oldest record that the index tells of.
    pub oldest_at: Option<String>,
    /// The newest one.
    pub newest_at: Option<String>,
    /// The last record's sequence number.
    pub last_seq: u64,
    /// The last one that the index accounts for.
    pub applied_seq: u64,
    /// Damaged ranges known so far; `store verify` looks at every byte.
    pub damaged: Vec<DamagedRange>,
    /// What is kept.
    pub retention: Retention,
    /// Bytes that the disk has room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// The operation under way.
    pub running: Option<Operation>,
}

/// Files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileStats {
    /// Their bytes.
    pub bytes: u64,
    /// How many there are.
    pub files: u64,
}

/// What is kept; null: without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Days.
    pub days: Option<u64>,
    /// Bytes.
    pub max_bytes: Option<u64>,
}

/// An operation under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operation {
    /// `verify`, `backup`, `restore`, `rebuild` or `prune`.
    pub name: String,
    /// Since when.
    pub since: String,
}

/// What `store verify` found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// Whether everything is what was written, and the index knows all of it.
    pub ok: bool,
    /// Good records.
    pub records: u64,
    /// Bodies read and compared with their BLAKE3.
    pub bodies: u64,
    /// Bytes read of the journal and the packs.
    pub bytes: u64,
    /// Damaged ranges of files.
    pub damaged: Vec<DamagedRange>,
    /// Records that are there, with a body that cannot be had, or that do not decode.
    pub damaged_records: Vec<DamagedRecord>,
    /// How many more of those there are than are listed.
    pub more: u64,
    /// Records that the journal has more than once.
    pub duplicates: u64,
    /// Records of kinds that this build does not know.
    pub unreadable: u64,
    /// Records that the index does not find; `ccctl store rebuild` brings them back.
    pub index_missing: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A damaged range of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DamagedRange {
    /// The file, below the store's version directory.
    pub file: String,
    /// The first damaged byte.
    pub from: u64,
    /// The byte after the last one.
    pub to: u64,
    /// The first and last sequence number that are missing there; several ranges in a row share them.
    pub seqs: Option<[u64; 2]>,
    /// Records that were there, as far as the index still knows them.
    pub records: Vec<LostRecord>,
}

/// A record that is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostRecord {
    /// Its id, as `exchanges` shows it.
    pub id: String,
    /// `exchange`, `detection`, or `hook` for all that the index does not tell apart from hook events.
    pub kind: String,
    /// Its session.
    pub session_id: Option<String>,
    /// When it happened.
    pub at: Option<String>,
}

/// A record that is not whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DamagedRecord {
    /// Its id, as `exchanges` shows it.
    pub id: String,
    /// `hook`, `exchange`, `gap`, `transcript`, `status`, `notice`, `lines`, `detection`, `intervention` or `judgement`.
    pub kind: String,
    /// Its session.
    pub session_id: Option<String>,
    /// When it happened.
    pub at: String,
    /// `request`, `response`, `payload` or `record`.
    pub part: String,
    /// Why it cannot be had.
    pub reason: String,
}

/// What `store backup` did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackedUp {
    /// Where it is.
    pub dir: String,
    /// When it was made.
    pub created_at: String,
    /// The last record in it.
    pub last_seq: u64,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were copied, or grew.
    pub copied_files: u64,
    /// Bytes that were written.
    pub copied_bytes: u64,
    /// Files that were no longer needed.
    pub removed_files: u64,
    /// Damaged ranges of the store that are known: what lies in them is damaged in the backup too.
    pub damaged: u64,
    /// Files that are gone or too short in the store, and so in the backup.
    pub incomplete: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What `store restore` did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Restored {
    /// The backup.
    pub dir: String,
    /// When it was made.
    pub created_at: String,
    /// Its records.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Damaged ranges in it, which it had when it was made.
    pub damaged: u64,
    /// What was in the store's place before; remove it when it is not needed any more.
    pub previous: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What `store rebuild` did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rebuilt {
    /// Records worked through.
    pub records: u64,
    /// How long it took.
    pub seconds: f64,
    /// Bytes of journal and packs per second.
    pub bytes_per_second: u64,
}

/// What `import` took in, or would take in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Imported {
    /// Files that were looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that something was taken of.
    pub new_files: u64,
    /// Bytes that were taken. Of a dry run: at most these.
    pub new_bytes: u64,
    /// Lines of other recorders that were taken.
    pub new_lines: u64,
    /// Files that were not taken.
    pub skipped_files: u64,
    /// The first of them.
    pub skipped: Vec<NotImported>,
    /// Nothing was taken: it was only looked.
    pub dry_run: bool,
    /// How long it took.
    pub seconds: f64,
}

/// A file that was not taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotImported {
    /// Its path.
    pub path: String,
    /// Why; empty where the path says it.
    pub reason: String,
}

/// What `store prune` did, or would do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pruned {
    /// Records removed.
    pub records: u64,
    /// Journal segments removed.
    pub segments: u64,
    /// Packs removed.
    pub packs: u64,
    /// Bytes given back to the disk.
    pub freed_bytes: u64,
    /// Bytes written again to keep what they hold.
    pub rewritten_bytes: u64,
    /// What is older than this is gone.
    pub until: Option<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}
