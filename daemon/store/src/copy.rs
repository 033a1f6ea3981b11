//! Copying files that others may be appending to, and putting small ones in place.
//!
//! Must never report a copy whose bytes were not read again and compared.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::files::{self, DataFile};

/// Read and written at a time.
const CHUNK: usize = 1 << 20;

/// Copies the first `len` bytes of `source`, of which the copy has the first `from` already, and reads the copy again.
/// Gives the copy's length (less than `len` if the source is shorter) and hash; `None` if there is no source.
pub(crate) fn copy_file(
    source: &Path,
    copy: &Path,
    from: u64,
    len: u64,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<(u64, String)>> {
    let file = match files::open_read(source) {
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let len = file.len()?.min(len);
    let target = files::create(copy)?;
    if target.len()? > from {
        target.cut(from)?;
    }
    let hash = read_all(&file, len, watch, &mut |bytes, at| {
        let skip = usize::try_from(from.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
        target.write(&bytes[skip..], at + skip as u64)
    })?;
    target.sync()?;
    if hash_file(copy, len, &mut |_| true)? != hash {
        return Err(StoreError::damaged(format!("{} is not what was written to it", copy.display())));
    }
    Ok(Some((len, hash)))
}

/// BLAKE3 of the first `len` bytes of a file.
pub(crate) fn hash_file(path: &Path, len: u64, watch: &mut dyn FnMut(u64) -> bool) -> Result<String> {
    read_all(&files::open_read(path)?, len, watch, &mut |_, _| Ok(()))
}

/// Reads the first `len` bytes, hands each piece and its place to `f`, and gives their BLAKE3.
fn read_all(
    file: &DataFile,
    len: u64,
    watch: &mut dyn FnMut(u64) -> bool,
    f: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    let mut at = 0;
    while at < len {
        if !watch(at) {
            return Err(StoreError::Stopped);
        }
        let bytes = file.read(at, chunk(len - at))?;
        hash.update(&bytes);
        f(&bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(hash.finalize().to_hex().to_string())
}

fn chunk(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK)
}

/// A file's content; `None` if there is none.
pub(crate) fn read_small(path: &Path) -> Result<Option<Vec<u8>>> {
    match files::open_read(path) {
        Ok(file) => {
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
            file.read(0, len).map(Some)
        }
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(other) => Err(other),
    }
}

/// Puts a whole file in place, durably: what was there before, or all of this.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let file = files::create(&aside)?;
    file.cut(0)?;
    file.write(bytes, 0)?;
    file.sync()?;
    fs_err::rename(&aside, path).map_err(|e| StoreError::io(path, e))?;
    files::sync_dir(path.parent().unwrap_or(path))
}
