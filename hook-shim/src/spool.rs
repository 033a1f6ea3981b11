//! The spool: one file per event that the daemon did not take, found and recorded by it later.
//!
//! A file appears whole or not at all (written aside, then renamed). Its name sorts by arrival and is made of
//! numbers only. Failing to write is silent: there is nobody to tell, and Claude Code must not be disturbed.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The file name of an event: arrival in nanoseconds, then the process.
pub(crate) fn file_name(arrived_ns: u64, pid: u32) -> String {
    format!("{arrived_ns:020}-{pid}.frame")
}

/// Writes the frame into the spool directory, making it where it is missing.
pub(crate) fn write(dir: &Path, name: &str, frame: &[u8]) {
    if try_write(dir, name, frame).is_err() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        if made.is_ok() {
            let _ = try_write(dir, name, frame);
        }
    }
}

fn try_write(dir: &Path, name: &str, frame: &[u8]) -> std::io::Result<()> {
    let aside = dir.join(format!(".{name}.tmp"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let written = file.write_all(frame).and_then(|()| std::fs::rename(&aside, dir.join(name)));
    if written.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_spool_is_made_private_and_holds_whole_files_only() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("deep/spool");
        let name = file_name(5, 9);
        write(&dir, &name, b"frame");
        let names: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names, std::slice::from_ref(&name));
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(&name))), (0o700, 0o600));
        assert_eq!(std::fs::read(dir.join(name)).unwrap(), b"frame");
    }

    #[test]
    fn names_sort_by_arrival() {
        assert!(file_name(9, 1) < file_name(10, 1));
    }
}
