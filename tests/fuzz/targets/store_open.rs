//! A store whose files are damaged in any way opens, or says why not; it never panics, hangs or serves wrong bytes.
#![no_main]

use std::path::{Path, PathBuf};

use ccd_store::{Options, Store};
use libfuzzer_sys::fuzz_target;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../daemon/store/tests/fixtures/first/v1");

fn copy(from: &Path, to: &Path, files: &mut Vec<PathBuf>) {
    std::fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, files);
        } else {
            std::fs::copy(&path, &target).unwrap();
            files.push(target);
        }
    }
}

fuzz_target!(|edits: Vec<(u8, u16, u8, bool)>| {
    let dir = std::env::temp_dir().join(format!("ccd-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let mut files = Vec::new();
    copy(Path::new(FIXTURE), &dir.join("v1"), &mut files);
    for (file, at, byte, cut) in edits.into_iter().take(8) {
        let path = &files[usize::from(file) % files.len()];
        let mut bytes = std::fs::read(path).unwrap();
        let at = usize::from(at) % (bytes.len() + 1);
        if cut {
            bytes.truncate(at);
        } else if let Some(there) = bytes.get_mut(at) {
            *there = byte;
        }
        std::fs::write(path, bytes).unwrap();
    }
    if let Ok(opened) = Store::open(&dir, Options::default()) {
        let reader = opened.store.reader();
        let mut read = |record: ccd_store::Record| {
            assert!(record.seq >= 5 && record.seq <= 12, "a record that nobody wrote");
            assert_eq!(record.body.len(), 72);
            Ok(())
        };
        let _ = reader.replay(1, &mut read);
        let extent = reader.extent();
        let _ = reader.verify_packs(&extent, &mut |_| true);
    }
});
