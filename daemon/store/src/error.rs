//! What can go wrong in the store, told so that a person knows which file it is and what to do about it.
//!
//! Must never carry captured content: only paths, positions and causes.

use std::io;
use std::path::{Path, PathBuf};

/// The error of every operation of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused. Nothing was acknowledged.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory it happened at.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No space left, or the quota is used up. Reading goes on working; writing resumes when there is space again.
    #[error("{}: no space left; free some space or run `ccctl store prune`", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Bytes on disk are not the bytes that were written. Everything else is still served.
    #[error("damaged: {what}")]
    Damaged {
        /// Which file, where, and what is wrong with it.
        what: String,
    },
    /// The directory belongs to a newer version of the store.
    #[error("{}: written by a newer ccd; upgrade ccd, or choose another data directory", path.display())]
    Newer {
        /// The version directory that this version does not know.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error("{}: another process has this store open; stop it first (`ccctl stop`)", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The index failed. The journal is untouched: the index can be dropped and rebuilt from it.
    #[error("index: {0}; it can be rebuilt from the journal (`ccctl store rebuild`)")]
    Index(String),
    /// One item is larger than the format allows.
    #[error("{what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The most that fits.
        limit: u64,
    },
    /// A directory that is no backup, or one that cannot be used as asked.
    #[error("{}: {why}", path.display())]
    Backup {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever watched a long operation wanted it to end.
    #[error("stopped")]
    Stopped,
    /// The caller broke the rules of the interface.
    #[error("misuse of the store: {0}")]
    Misuse(&'static str),
}

impl StoreError {
    /// Whether the cause is a full disk or quota: worth trying again once there is space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;
