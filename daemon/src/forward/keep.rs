//! Files of forwarding: each sink's state and its token, in the state directory, for nobody else to read.
//!
//! Invariants: those of [`crate::private`], which writes them.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ccd_proto::paths::Layout;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::private;

/// Longest file that is read: no secret and no state of ours is longer.
const LONGEST: u64 = 64 << 20;

/// Where a sink's file lies. The name was checked when the configuration was read.
#[must_use]
pub fn place(layout: &Layout, sink: &str, what: &str) -> PathBuf {
    layout.state_dir.join("forward").join(format!("{sink}.{what}.json"))
}

/// Reads a file of ours; none where there is none, or where it is none of ours.
#[must_use]
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "a file of forwarding cannot be read");
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(%error, "a file of forwarding is not readable: begun anew"))
        .ok()
}

/// Writes a file in the place of the one before.
pub fn write<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    private::replace(path, &serde_json::to_vec(content)?)
}

/// Takes a file away.
pub fn remove(path: &Path) {
    if let Err(error) = private::remove(path) {
        tracing::warn!(%error, "a file of forwarding cannot be removed");
    }
}

/// A user's file with secrets in it. One that others can read is refused: nobody would notice otherwise.
pub fn secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(format!("{shown} can be read by others: `chmod 600` it"));
    }
    if meta.len() > LONGEST {
        return Err(format!("{shown} is too long for a file with secrets"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ours_alone_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/x.json");
        assert_eq!(read::<Vec<u8>>(&path), None);
        for content in [vec![1u8, 2], vec![3]] {
            write(&path, &content).unwrap();
            assert_eq!(read::<Vec<u8>>(&path), Some(content));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(&path, "[1,").unwrap();
        assert_eq!(read::<Vec<u8>>(&path), None);
        assert_eq!(secret(&path).unwrap(), "[1,");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(secret(&path).unwrap_err().contains("chmod 600"));
    }
}
