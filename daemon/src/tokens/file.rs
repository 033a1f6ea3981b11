//! The file of tokens: names, hashes and times, and the key that signs what tokens are exchanged for; private, replaced as
//! a whole.
//!
//! Must never hold a token, and must never follow a link. A file that is damaged, or that others could have written, lets
//! nobody in.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::{Kept, Scope, Token, hex};

/// The form of the file.
const VERSION: u32 = 1;
/// Longest file that is read, in bytes: many times that of the most tokens.
const LONGEST: u64 = 1 << 20;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    len: u64,
    mode: u32,
    modified: Option<SystemTime>,
    /// Of its mode and its owner, too: seconds and nanoseconds.
    changed: (i64, i64),
}

/// That of the file; none where there is no file.
pub(super) fn stamp(path: &Path) -> Result<Option<Stamp>> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Stamp {
        inode: meta.ino(),
        len: meta.len(),
        mode: meta.mode(),
        modified: meta.modified().ok(),
        changed: (meta.ctime(), meta.ctime_nsec()),
    }))
}

#[derive(Serialize, Deserialize)]
struct Whole {
    version: u32,
    key: Option<String>,
    tokens: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    name: String,
    scope: Scope,
    hash: String,
    made_s: u64,
    expires_s: Option<u64>,
    used_s: Option<u64>,
}

/// Reads the tokens.
pub(super) fn read(path: &Path) -> Result<Kept> {
    let damaged = |why: &str| Error::new(ErrorKind::InvalidData, why);
    let mut options = std::fs::OpenOptions::new();
    // A pipe in its place is not waited for.
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        return Err(damaged("it is no file that only we can read"));
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
    let token = |line: Line| {
        let hash = Hash::from_hex(line.hash.as_bytes()).ok()?;
        let Line { id, name, scope, made_s, expires_s, used_s, .. } = line;
        Some(Token { id, name, scope, hash, made_s, expires_s, used_s })
    };
    // A hash and a key are as long as each other.
    let key = match whole.key {
        Some(key) => Some(*Hash::from_hex(key.as_bytes()).map_err(|_| damaged("it is damaged"))?.as_bytes()),
        None => None,
    };
    let tokens: Option<_> = whole.tokens.into_iter().map(token).collect();
    Ok(Kept { key, tokens: tokens.ok_or_else(|| damaged("it is damaged"))? })
}

/// Replaces the file.
pub(super) fn write(path: &Path, kept: &Kept) -> Result<()> {
    let line = |token: &Token| Line {
        id: token.id.clone(),
        name: token.name.clone(),
        scope: token.scope,
        hash: token.hash.to_hex().to_string(),
        made_s: token.made_s,
        expires_s: token.expires_s,
        used_s: token.used_s,
    };
    let whole = Whole {
        version: VERSION,
        key: kept.key.as_ref().map(|key| hex(key)),
        tokens: kept.tokens.iter().map(line).collect(),
    };
    let mut bytes = serde_json::to_vec(&whole).map_err(Error::other)?;
    bytes.push(b'\n');
    let aside = path.with_extension("new");
    // Of one that was killed here; a new file, so that its mode is ours.
    let _ = std::fs::remove_file(&aside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    // A token that was shown as made is made, and one that was shown as revoked is gone.
    match path.parent() {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
