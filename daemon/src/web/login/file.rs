//! The file of logins: hashes and times, private, replaced as a whole.
//!
//! Must never hold what logs somebody in, and must never follow a link. A file that is damaged is an empty one to who
//! reads it: everybody logs in again, and the next login replaces it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::LOGIN_S;

/// The form of the file.
const VERSION: u32 = 1;
/// Longest file that is read, in bytes: many times that of the most logins.
const LONGEST: u64 = 64 << 10;

/// Somebody who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct Login {
    /// Of what the browser shows.
    pub(super) hash: Hash,
    /// When, seconds since the Unix epoch.
    pub(super) made_s: u64,
    /// When it was last used, likewise; to the day.
    pub(super) used_s: u64,
}

impl Login {
    /// Whether it was used lately. One of the future, by a clock that was set back, was.
    pub(super) fn is_alive(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.used_s) <= LOGIN_S
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, Option<SystemTime>);

/// That of the file; none where there is no file.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some(Stamp(meta.ino(), meta.len(), meta.modified().ok()))
}

#[derive(Serialize, Deserialize)]
struct Whole {
    version: u32,
    logins: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    hash: String,
    made_s: u64,
    used_s: u64,
}

/// Reads the logins.
pub(super) fn read(path: &Path) -> Result<Vec<Login>> {
    let damaged = |why: &str| Error::new(ErrorKind::InvalidData, why);
    let mut options = std::fs::OpenOptions::new();
    // A pipe in its place is not waited for.
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        return Err(damaged("it is no file that only we can write"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(damaged("it is too long"));
    }
    // What is wrong with it may quote it.
    let whole: Whole = serde_json::from_slice(&bytes).map_err(|_| damaged("it is damaged"))?;
    if whole.version != VERSION {
        return Err(damaged("it is of another version"));
    }
    let login = |line: Line| {
        let hash = Hash::from_hex(line.hash.as_bytes()).ok()?;
        Some(Login { hash, made_s: line.made_s, used_s: line.used_s })
    };
    whole.logins.into_iter().map(login).collect::<Option<_>>().ok_or_else(|| damaged("it is damaged"))
}

/// Replaces the file.
pub(super) fn write(path: &Path, logins: &[Login]) -> Result<()> {
    let line = |login: &Login| Line {
        hash: login.hash.to_hex().to_string(),
        made_s: login.made_s,
        used_s: login.used_s,
    };
    let whole = Whole { version: VERSION, logins: logins.iter().map(line).collect() };
    let mut bytes = serde_json::to_vec(&whole).map_err(Error::other)?;
    bytes.push(b'\n');
    let aside = path.with_extension("new");
    // Of one that was killed here; a new file, so that its mode is ours.
    let _ = std::fs::remove_file(&aside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

/// Removes the file; that there is none is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
