//! Backups: consistent while the store is written, incremental, and never anything but whole.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ccd_store::{Backup, BackupReport, BlobRef, Manifest, Options, Record, Store, StoreError};
use support::{files, fill, flip, noise, open, options, replayed};

fn backup(store: &mut Store, dir: &Path) -> Result<BackupReport, StoreError> {
    let cut = store.cut()?;
    Backup::prepare(dir, cut)?.run("2026-11-20T00:00:00Z", &mut |_| true)
}

/// A store with the backup's records, made the way a restore does.
fn restored(backup: &Path, dir: &Path) -> Store {
    let manifest = Manifest::read(backup).unwrap();
    manifest.check(backup, &mut |_| true).unwrap();
    let staged = manifest.stage(backup, dir, &mut |_| true).unwrap();
    let report = staged.try_out(options(), &mut |_| true).unwrap();
    assert_eq!(report.damaged, []);
    assert_eq!(staged.swap().unwrap().previous, None);
    let (store, report) = open(dir);
    assert_eq!(report.damaged, 0);
    store
}

fn bodies(store: &mut Store, from: u64, to: u64) -> Vec<(BlobRef, Vec<u8>)> {
    let mut body = Vec::new();
    (from..to)
        .map(|n| {
            body.extend(noise(n, 2_000));
            (store.put_blob(b"f", &body).unwrap(), body.clone())
        })
        .collect()
}

fn assert_same(store: &Store, records: &[Record], bodies: &[(BlobRef, Vec<u8>)]) {
    assert_eq!(replayed(store), records);
    for (blob, body) in bodies {
        assert_eq!(&store.reader().blob(blob).unwrap(), body);
    }
}

fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(snapshot(&path));
        } else {
            all.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    all
}

#[test]
fn a_backup_of_a_store_that_is_being_written_is_its_state_at_the_cut() {
    let tmp = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&tmp.path().join("store"));
    let kept = bodies(&mut store, 0, 40);
    let mut records = fill(&mut store, 0, 500, 5);
    records.extend(store.append(vec![support::new_record(500)]).unwrap());
    let cut = store.cut().unwrap();
    let made = Backup::prepare(&tmp.path().join("b"), cut).unwrap();
    let mut n = 600;
    let read = made.bytes_to_read();
    assert_eq!(made.bytes_to_write(), read);
    let report = made
        .run("now", &mut |done| {
            // Written while every piece of it is copied.
            fill(&mut store, n, n + 20, 4);
            bodies(&mut store, 1_000 + n, 1_003 + n);
            n += 20;
            done <= read
        })
        .unwrap();
    assert_eq!((report.last_seq, report.copied_bytes, report.incomplete.len()), (501, report.bytes, 0));
    assert!(n > 640, "it was written meanwhile");
    assert_same(&restored(&tmp.path().join("b"), &tmp.path().join("r")), &records, &kept);
    for (path, _) in snapshot(&tmp.path().join("b")) {
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
    assert_eq!(std::fs::metadata(tmp.path().join("b")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_second_backup_copies_only_what_is_new() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("b");
    let (mut store, _) = open(&tmp.path().join("store"));
    let mut kept = bodies(&mut store, 0, 40);
    let mut records = fill(&mut store, 0, 2_000, 5);
    let first = backup(&mut store, &dir).unwrap();
    assert!(first.files > 4);
    let again = backup(&mut store, &dir).unwrap();
    assert_eq!((again.copied_files, again.copied_bytes, again.bytes), (0, 0, first.bytes));

    records.extend(fill(&mut store, 2_000, 2_010, 5));
    kept.extend(bodies(&mut store, 50, 52));
    let more = backup(&mut store, &dir).unwrap();
    assert_eq!(more.copied_bytes, more.bytes - first.bytes);
    assert!(more.copied_files <= 3 && more.removed == 0, "{more:?}");
    assert_same(&restored(&dir, &tmp.path().join("r")), &records, &kept);
}

#[test]
fn an_interrupted_backup_leaves_the_former_one_valid_and_the_next_goes_on() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("b");
    let (mut store, _) = open(&tmp.path().join("store"));
    // The very first one is interrupted, too.
    let records = fill(&mut store, 0, 1_000, 5);
    let cut = store.cut().unwrap();
    let mut calls = 0;
    let mut first_only = |_| {
        calls += 1;
        calls < 2
    };
    let stopped = Backup::prepare(&dir, cut).unwrap().run("now", &mut first_only);
    assert!(matches!(stopped, Err(StoreError::Stopped)));
    assert!(Manifest::read(&dir).unwrap_err().to_string().contains("never finished"));
    backup(&mut store, &dir).unwrap();

    let more = fill(&mut store, 1_000, 3_000, 5);
    for stop_after in 1..8 {
        let cut = store.cut().unwrap();
        let mut calls = 0;
        let mut some = |_| {
            calls += 1;
            calls < stop_after
        };
        if Backup::prepare(&dir, cut).unwrap().run("now", &mut some).is_ok() {
            break;
        }
        let to = tmp.path().join(format!("r{stop_after}"));
        assert_same(&restored(&dir, &to), &records, &[]);
    }
    backup(&mut store, &dir).unwrap();
    assert_same(&restored(&dir, &tmp.path().join("r")), &[records, more].concat(), &[]);
}

#[test]
fn files_of_another_history_do_not_spoil_the_backup_in_place() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("b");
    let (mut one, _) = open(&tmp.path().join("one"));
    let of_one = fill(&mut one, 0, 1_000, 5);
    backup(&mut one, &dir).unwrap();
    // The same numbers of files and records, and other content.
    let (mut two, _) = open(&tmp.path().join("two"));
    let of_two = fill(&mut two, 5_000, 6_000, 5);
    let cut = two.cut().unwrap();
    let mut calls = 0;
    let interrupted = Backup::prepare(&dir, cut).unwrap().run("now", &mut |_| {
        calls += 1;
        calls < 2
    });
    assert!(interrupted.is_err());
    assert_same(&restored(&dir, &tmp.path().join("r1")), &of_one, &[]);
    let report = backup(&mut two, &dir).unwrap();
    assert!(report.removed > 0);
    assert_same(&restored(&dir, &tmp.path().join("r2")), &of_two, &[]);
    assert_eq!(backup(&mut two, &dir).unwrap().copied_files, 0);
}

#[test]
fn a_small_file_of_truth_is_in_it_as_of_the_cut() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("b");
    let (mut store, _) = open(&tmp.path().join("store"));
    fill(&mut store, 0, 5, 5);
    let file = tmp.path().join("store/v1/manifest");
    for text in ["one", "two", "three"] {
        std::fs::write(&file, text).unwrap();
        let cut = store.cut().unwrap();
        std::fs::write(&file, "later").unwrap();
        Backup::prepare(&dir, cut).unwrap().run("now", &mut |_| true).unwrap();
        let to = tmp.path().join(text);
        let staged = Manifest::read(&dir).unwrap().stage(&dir, &to, &mut |_| true).unwrap();
        staged.swap().unwrap();
        assert_eq!(std::fs::read_to_string(to.join("v1/manifest")).unwrap(), text);
    }
}

#[test]
fn directories_that_are_not_ours_are_refused_and_left_alone() {
    let tmp = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&tmp.path().join("store"));
    fill(&mut store, 0, 5, 5);
    let foreign = tmp.path().join("photos");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("one.jpg"), "precious").unwrap();
    let file = tmp.path().join("file");
    std::fs::write(&file, "x").unwrap();
    std::os::unix::fs::symlink(tmp.path().join("store"), tmp.path().join("link")).unwrap();
    for (dir, why) in [
        (foreign.clone(), "neither empty nor a backup"),
        (file, "not a directory"),
        (tmp.path().join("store/v1/b"), "inside the store"),
        (tmp.path().join("link/b"), "inside the store"),
        (PathBuf::from("b"), "not an absolute path"),
    ] {
        let before = snapshot(tmp.path());
        let error = backup(&mut store, &dir).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(snapshot(tmp.path()).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    }
    assert!(Manifest::read(&foreign).unwrap_err().to_string().contains("not a backup"));
    std::fs::write(foreign.join("backup.json"), "{\"format\":7}").unwrap();
    assert!(backup(&mut store, &foreign).is_err());
}

#[test]
fn a_spoilt_backup_is_refused_before_anything_is_touched() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("b");
    let (mut store, _) = open(&tmp.path().join("store"));
    bodies(&mut store, 0, 10);
    fill(&mut store, 0, 100, 5);
    backup(&mut store, &dir).unwrap();
    let manifest = Manifest::read(&dir).unwrap();
    let check = || manifest.check(&dir, &mut |_| true);
    for path in ["journal/00000001.log", "packs/000001.pack"].map(|name| dir.join(name)) {
        let whole = std::fs::read(&path).unwrap();
        flip(&path, whole.len() / 2);
        assert!(check().unwrap_err().to_string().contains("BLAKE3 differs"));
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(check().unwrap_err().to_string().contains("shorter"));
        std::fs::remove_file(&path).unwrap();
        assert!(check().unwrap_err().to_string().contains("missing"));
        std::fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
        assert!(check().is_ok(), "what is behind the recorded length does not matter");
    }
    let json = std::fs::read_to_string(dir.join("backup.json")).unwrap();
    for (from, to) in [
        ("journal/00000001.log", "journal/../../../escape"),
        ("journal/00000001.log", "/etc/passwd"),
        ("\"store_version\": 1", "\"store_version\": 9"),
    ] {
        std::fs::write(dir.join("backup.json"), json.replace(from, to)).unwrap();
        assert!(Manifest::read(&dir).is_err(), "{to}");
    }
}

#[test]
fn a_damaged_store_is_backed_up_as_far_as_it_is_there() {
    let tmp = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&tmp.path().join("store"));
    let records = fill(&mut store, 0, 1_000, 5);
    let segments = files(&tmp.path().join("store"), "journal");
    std::fs::remove_file(&segments[1]).unwrap();
    let report = backup(&mut store, &tmp.path().join("b")).unwrap();
    assert_eq!(report.incomplete, ["journal/00000002.log"]);
    let dir = tmp.path().join("b");
    let staged = Manifest::read(&dir).unwrap().stage(&dir, &tmp.path().join("r"), &mut |_| true).unwrap();
    staged.swap().unwrap();
    let opened = Store::open(&tmp.path().join("r"), Options::default()).unwrap();
    assert_eq!(opened.report.damaged, 1, "and says so when it is put back");
    let there = records.iter().filter(|r| r.locator.segment != 2).count();
    assert_eq!(replayed(&opened.store).len(), there);
}

/// What the store has lost since stays in the backup, and is told.
#[test]
fn a_damaged_store_does_not_cost_the_backup_its_good_copies() {
    let (home, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = kept.path().join("b");
    let (mut store, _) = open(home.path());
    let blob = store.put_blob(b"f", &support::noise(7, 30_000)).unwrap();
    support::fill(&mut store, 0, 2_000, 20);
    let back_up = |store: &mut Store| {
        let cut = store.cut().unwrap();
        Backup::prepare(&dir, cut).unwrap().run("now", &mut |_| true).unwrap()
    };
    assert_eq!(back_up(&mut store).incomplete, Vec::<String>::new());
    store.flush().unwrap();
    drop(store);
    std::fs::remove_file(home.path().join("v1/packs/000001.pack")).unwrap();
    std::fs::remove_file(home.path().join("v1/journal/00000002.log")).unwrap();
    let segment = home.path().join("v1/journal/00000001.log");
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    let (mut store, _) = open(home.path());
    let mut lost = back_up(&mut store).incomplete;
    lost.sort();
    assert_eq!(lost, ["journal/00000001.log", "journal/00000002.log", "packs/000001.pack"]);
    drop(store);

    // A copy that has rotted is made again where the store still has it.
    let copy = dir.join("journal/00000003.log");
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[40_000] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let (mut store, _) = open(home.path());
    back_up(&mut store);
    let other = tempfile::tempdir().unwrap();
    let manifest = Manifest::read(&dir).unwrap();
    manifest.check(&dir, &mut |_| true).unwrap();
    manifest.stage(&dir, other.path(), &mut |_| true).unwrap().swap().unwrap();
    let (restored, report) = open(other.path());
    assert_eq!((report.damaged, support::replayed(&restored).len()), (0, 2_000));
    assert_eq!(restored.reader().blob(&blob).unwrap(), support::noise(7, 30_000));
}
