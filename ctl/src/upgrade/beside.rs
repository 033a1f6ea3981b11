//! What lies beside the programs: manual pages and completions. Each appears whole; none is needed to run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// Copies every file below `from` to the same place below `to`. Returns where they are, in order.
pub(super) fn put(from: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    let mut done = Vec::new();
    if !from.is_dir() {
        return Ok(done);
    }
    fs_err::create_dir_all(to)?;
    let mut entries = fs_err::read_dir(from)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            done.extend(put(&source, &place)?);
            continue;
        }
        let aside = to.join(format!(".{}.ccd-tmp", entry.file_name().to_string_lossy()));
        fs_err::copy(&source, &aside)?;
        fs_err::set_permissions(&aside, std::fs::Permissions::from_mode(0o644))?;
        fs_err::rename(&aside, &place)?;
        done.push(place);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_below_the_same_names_and_old_ones_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from it"), dir.path().join("to"));
        fs_err::create_dir_all(from.join("man/man1")).unwrap();
        fs_err::create_dir_all(to.join("man")).unwrap();
        fs_err::write(from.join("man/man1/a.1"), "new").unwrap();
        fs_err::write(from.join("b"), "b").unwrap();
        fs_err::write(to.join("man/mine"), "mine").unwrap();
        for _ in 0..2 {
            assert_eq!(put(&from, &to).unwrap(), [to.join("b"), to.join("man/man1/a.1")]);
        }
        assert_eq!(fs_err::read_to_string(to.join("man/man1/a.1")).unwrap(), "new");
        assert_eq!(fs_err::read_dir(to.join("man/man1")).unwrap().count(), 1);
        assert!(to.join("man/mine").exists());
        assert_eq!(put(&dir.path().join("nothing"), &to).unwrap(), Vec::<PathBuf>::new());
    }
}
