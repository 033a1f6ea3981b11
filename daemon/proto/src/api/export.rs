//! `export`: a file that is sent as it is made, and what stands around it.
//!
//! With `framed=1` the reply is a row of frames: a line of JSON ([`ExportFrame`]), then so many bytes of the file as it says.
//! Each frame ends with a whole entry, and its `cursor` leads behind it: `after=CURSOR` has the rest. The last frame has `end` or
//! `error`. Without frames the reply is the file itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ApiError;

/// The JSON Schema of the lines of `export --format jsonl`.
pub const EXPORT_SCHEMA: &str = include_str!("export.schema.json");

/// What stands before a piece of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportFrame {
    /// Bytes of the file that follow this line.
    pub bytes: u64,
    /// Where the file goes on behind them. Opaque; null behind its last entry's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Entries so far.
    pub entries: u64,
    /// Sessions done, and sessions in all.
    pub sessions: (u64, u64),
    /// The file is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<ExportEnd>,
    /// It could not be made whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
}

/// What is in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportEnd {
    /// Entries by their type.
    pub counts: BTreeMap<String, u64>,
    /// Entries in all.
    pub entries: u64,
    /// What could not be read, because it is damaged: such entries are left out, or have less in them.
    pub unreadable: u64,
    /// Whether everything that was asked for is in it.
    pub complete: bool,
    /// Of one that was to be revealed: values that the vault does not have; their marks stay.
    pub marks_left: u64,
}
