//! Where an export goes on: how far it came, and by what it is known that the store is still the same up to there.
//!
//! Opaque to everybody else. It holds counts and hashes, and nothing that was captured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::query::QueryError;

/// A place between two entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What is asked for, as a hash: another question has other places.
    #[serde(rename = "q")]
    pub question: String,
    /// When the export was begun, nanoseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub begun_ns: u64,
    /// Groups of entries that are done.
    #[serde(rename = "g")]
    pub groups: usize,
    /// Entries of the next group that are done.
    #[serde(rename = "e")]
    pub entries: usize,
    /// The names of the groups so far, the one that was begun included.
    #[serde(rename = "s")]
    pub seen_groups: Chain,
    /// The names of the next group's entries that are done.
    #[serde(rename = "h")]
    pub seen_entries: Chain,
    /// Entries so far by their type.
    #[serde(rename = "n")]
    pub counts: BTreeMap<String, u64>,
    /// What could not be read so far.
    #[serde(rename = "u")]
    pub unreadable: u64,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        serde_json::from_str(text).map_err(|_| {
            QueryError::bad("after: no place in an export")
                .hint("it is what a frame of the same export names")
        })
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Entries so far.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// A row of names as one hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chain(String);

impl Chain {
    /// With one more.
    pub(super) fn push(&mut self, name: &str) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.0.as_bytes());
        hasher.update(&[0]);
        hasher.update(name.as_bytes());
        let hash = hasher.finalize().to_hex();
        hash.as_str().get(..32).unwrap_or_default().clone_into(&mut self.0);
    }

    /// Of all of these.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut chain = Chain::default();
        names.for_each(|name| chain.push(name));
        chain
    }
}
