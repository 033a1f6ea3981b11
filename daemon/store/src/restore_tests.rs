//! What a kill at each step of a restore leaves, and that the next opening makes one whole store of it.

use super::*;
use crate::backup::Backup;
use crate::types::NewRecord;

fn record(n: u8) -> NewRecord {
    NewRecord { kind: 1, schema: 1, id: [n; 16], at_ns: 1, body: vec![n; 300] }
}

fn ids(store: &Store) -> Vec<u8> {
    let mut ids = Vec::new();
    let mut push = |record: crate::types::Record| {
        ids.push(record.id[0]);
        Ok(())
    };
    store.reader().replay(1, &mut push).unwrap();
    ids
}

/// A store with record 2, and beside it a copy of a backup that has record 1, tried out.
fn staged(dir: &Path) -> (PathBuf, Staged) {
    let (old, new, backup) = (dir.join("old"), dir.join("store"), dir.join("backup"));
    let mut store = Store::open(&old, Options::default()).unwrap().store;
    store.append(vec![record(1)]).unwrap();
    let cut = store.cut().unwrap();
    Backup::prepare(&backup, cut).unwrap().run("now", &mut |_| true).unwrap();
    let mut store = Store::open(&new, Options::default()).unwrap().store;
    store.append(vec![record(2)]).unwrap();
    store.flush().unwrap();
    drop(store);
    let manifest = Manifest::read(&backup).unwrap();
    manifest.check(&backup, &mut |_| true).unwrap();
    let staged = manifest.stage(&backup, &new, &mut |_| true).unwrap();
    let report = staged.try_out(Options::default(), &mut |_| true).unwrap();
    assert_eq!((report.records, report.damaged.len()), (1, 0));
    (new, staged)
}

/// As a kill would leave it: nothing is removed, the lock is let go.
fn kill(mut staged: Staged) {
    staged.lock = None;
}

#[test]
fn a_kill_at_any_step_leaves_the_old_store_or_the_new_one() {
    for step in 0..=5 {
        let dir = tempfile::tempdir().unwrap();
        let (store, copy) = staged(dir.path());
        kill(copy);
        let at = |name: &str| store.join(name);
        if step >= 1 {
            write_whole(&at(DECIDED), b"1").unwrap();
        } else {
            std::fs::write(at("restore.new"), b"").unwrap();
        }
        if step >= 2 {
            std::fs::rename(at("v1"), at("v1.before-restore-1")).unwrap();
        }
        if step >= 3 {
            std::fs::rename(at("restoring/v1"), at("v1")).unwrap();
        }
        if step >= 4 {
            std::fs::remove_file(at(DECIDED)).unwrap();
        }
        if step >= 5 {
            std::fs::remove_dir_all(at(RESTORING)).unwrap();
        }
        let opened = Store::open(&store, Options::default()).unwrap();
        assert_eq!(opened.report.damaged, 0, "step {step}");
        assert_eq!(ids(&opened.store), [if step == 0 { 2 } else { 1 }], "step {step}");
        assert_eq!(at("v1.before-restore-1").exists(), step > 0, "step {step}");
        for left in [DECIDED, "restore.new", RESTORING] {
            assert!(!at(left).exists(), "step {step}: {left}");
        }
    }
}

#[test]
fn the_store_of_before_is_kept_and_the_new_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, copy) = staged(dir.path());
    let swapped = copy.swap().unwrap();
    let previous = swapped.previous.unwrap();
    assert_eq!(previous, store.join("v1.before-restore-1"));
    let mut opened = Store::open(&store, Options::default()).unwrap();
    assert_eq!(ids(&opened.store), [1]);
    assert!(store.join("v1/index/000002").exists(), "the old index's path is not used again");
    opened.store.append(vec![record(3)]).unwrap();
    opened.store.sync().unwrap();
    assert_eq!(ids(&opened.store), [1, 3]);
    drop(opened);
    // What was there before is a whole store still.
    std::fs::create_dir(dir.path().join("again")).unwrap();
    std::fs::rename(previous, dir.path().join("again/v1")).unwrap();
    assert_eq!(ids(&Store::open(&dir.path().join("again"), Options::default()).unwrap().store), [2]);
}

#[test]
fn a_copy_under_way_is_not_taken_for_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let (store, copy) = staged(dir.path());
    let opened = Store::open(&store, Options::default()).unwrap();
    assert_eq!(ids(&opened.store), [2]);
    assert!(copy.root().join("v1").exists());
    drop(opened);
    drop(copy);
    assert!(!store.join(RESTORING).exists(), "given up, it is removed");
    assert_eq!(ids(&Store::open(&store, Options::default()).unwrap().store), [2]);
}
