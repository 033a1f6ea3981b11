//! The index can go, break or be old: everything comes back.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use ccd_store::{IndexState, Mutation, Options, Store, StoreError};
use support::{copy, files, fill, id, open, open_with, options, views};

struct Filled {
    dir: tempfile::TempDir,
    blob: ccd_store::BlobRef,
    body: Vec<u8>,
}

fn filled() -> Filled {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let body = format!(r#"{{"messages":["{}","{}"]}}"#, "a".repeat(5_000), "b".repeat(7_000)).into_bytes();
    let blob = store.put_blob(b"f", &body).unwrap();
    fill(&mut store, 0, 500, 10);
    store.flush().unwrap();
    Filled { dir, blob, body }
}

/// Where sled keeps the recent rows.
fn head(dir: &Path) -> PathBuf {
    files(dir, "index")
        .pop()
        .and_then(|generation| {
            let paths = std::fs::read_dir(generation).unwrap().map(|e| e.unwrap().path());
            paths.filter(|path| path.to_string_lossy().contains("/head-")).max()
        })
        .unwrap()
}

fn check(filled: &Filled) -> IndexState {
    let (mut store, report) = open(filled.dir.path());
    assert_eq!((report.damaged, report.last_seq), (0, 500));
    assert_eq!(views(&store), (0..500).map(id).collect::<Vec<_>>());
    let reader = store.reader();
    assert_eq!(reader.blob(&filled.blob).unwrap(), filled.body);
    assert_eq!(reader.record_by_id(&id(77)).unwrap().unwrap().seq, 78);
    let before = reader.stats().unwrap().pack_bytes;
    store.put_blob(b"f", &filled.body).unwrap();
    assert_eq!(reader.stats().unwrap().pack_bytes, before);
    store.flush().unwrap();
    report.index
}

#[test]
fn a_deleted_index_comes_back() {
    let filled = filled();
    std::fs::remove_dir_all(filled.dir.path().join("v1/index")).unwrap();
    assert!(matches!(check(&filled), IndexState::Rebuilt { .. }));
    assert_eq!(check(&filled), IndexState::Opened);
}

#[test]
fn leftovers_of_a_crash_do_not_matter() {
    let filled = filled();
    std::fs::write(head(filled.dir.path()).join("snap.0000000000000FFF.generating"), b"").unwrap();
    assert_eq!(check(&filled), IndexState::Opened);
    std::fs::write(head(filled.dir.path()).join("snap.00000000FFFFFFFF"), b"half of it").unwrap();
    assert!(matches!(check(&filled), IndexState::Repaired { .. }));
}

#[test]
fn garbage_in_the_index_is_set_aside() {
    let filled = filled();
    let index = || files(filled.dir.path(), "index").pop().unwrap();
    let parts: [(&dyn Fn() -> PathBuf, bool); 3] =
        [(&|| head(filled.dir.path()), true), (&|| index().join("runs"), false), (&index, false)];
    for ((part, runs_remain), round) in parts.into_iter().zip(1..) {
        for file in std::fs::read_dir(part()).unwrap().map(|e| e.unwrap().path()) {
            if file.is_file() {
                std::fs::write(file, vec![0xA5; 70_000]).unwrap();
            }
        }
        match check(&filled) {
            IndexState::Repaired { .. } => assert!(runs_remain),
            IndexState::Rebuilt { .. } => assert!(!runs_remain),
            other => panic!("{other:?}"),
        }
        let kept: Vec<_> = files(filled.dir.path(), "")
            .into_iter()
            .filter(|p| p.to_string_lossy().contains("quarantine"))
            .collect();
        assert_eq!(kept, [filled.dir.path().join(format!("v1/quarantine-{round}"))]);
        assert_eq!(check(&filled), IndexState::Opened);
    }
}

#[test]
fn a_new_view_version_starts_over() {
    let filled = filled();
    let newer = Options { view_version: 2, ..options() };
    let opened = Store::open(filled.dir.path(), newer).unwrap();
    assert!(matches!(opened.report.index, IndexState::Rebuilt { .. }));
    assert_eq!((opened.report.applied, opened.store.reader().scan(b"", b"\xff").count() > 100), (0, false));
    drop(opened);
    let (store, report) = open_with(filled.dir.path(), newer);
    assert_eq!((report.index, report.applied), (IndexState::Opened, 0));
    assert_eq!(views(&store).len(), 500);
    drop(store);
    assert_eq!(open_with(filled.dir.path(), newer).1.applied, 500);
}

#[test]
fn an_index_ahead_of_the_journal_is_not_believed() {
    let filled = filled();
    let dir = filled.dir.path();
    let before = tempfile::tempdir().unwrap();
    copy(&dir.join("v1/journal"), &before.path().join("journal"));
    std::fs::copy(dir.join("v1/watermark"), before.path().join("watermark")).unwrap();
    let (mut store, _) = open(dir);
    fill(&mut store, 500, 510, 10);
    store.flush().unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.join("v1/journal")).unwrap();
    copy(&before.path().join("journal"), &dir.join("v1/journal"));
    std::fs::copy(before.path().join("watermark"), dir.join("v1/watermark")).unwrap();
    assert!(matches!(check(&filled), IndexState::Rebuilt { .. }));
}

#[test]
fn a_generation_is_built_beside_the_one_in_use() {
    let filled = filled();
    let (mut store, _) = open(filled.dir.path());
    let reader = store.reader();
    let mut scan = reader.scan(b"r", b"s");
    assert!(scan.next().is_some());
    let builder = support::built(&mut store, None);
    fill(&mut store, 500, 510, 5);
    assert_eq!(views(&store).len(), 510);
    assert!(matches!(store.adopt(builder, None), Err(StoreError::Misuse(_))));

    let mut builder = support::built(&mut store, None);
    let late = store.put_blob(b"f", &support::noise(9, 4_000)).unwrap();
    fill(&mut store, 510, 512, 2);
    support::catch_up(&mut builder).unwrap();
    assert_eq!(store.adopt(builder, None).unwrap(), ccd_store::Dropped::default());
    assert_eq!(views(&store).len(), 512);
    assert!(scan.count() >= 499, "a scan under way goes on in the generation it began in");
    assert_eq!(reader.blob(&filled.blob).unwrap(), filled.body);
    assert_eq!(reader.blob(&late).unwrap(), support::noise(9, 4_000));
    assert!(!reader.contains(&id(512)).unwrap() && reader.contains(&id(511)).unwrap());
    store.flush().unwrap();
    drop((store, reader));
    let (store, report) = open(filled.dir.path());
    assert_eq!((report.index, views(&store).len()), (IndexState::Opened, 512));
}

#[test]
fn a_generation_that_was_not_finished_leaves_nothing() {
    let filled = filled();
    let (mut store, _) = open(filled.dir.path());
    let builder = support::built(&mut store, None);
    builder.flush().unwrap();
    drop((builder, store));
    let of_index = |dir: &Path| files(dir, "index").len();
    assert_eq!(of_index(filled.dir.path()), 3);
    assert_eq!(check(&filled), IndexState::Opened);
    assert_eq!(of_index(filled.dir.path()), 1);
}

#[test]
fn the_rules_of_apply_are_checked() {
    let filled = filled();
    let (mut store, _) = open(filled.dir.path());
    let put = |key: &[u8]| vec![Mutation::Put(key.to_vec(), Vec::new())];
    assert!(matches!(store.apply(501, Vec::new()), Err(StoreError::Misuse(_))));
    assert!(matches!(store.apply(500, put(b"")), Err(StoreError::Misuse(_))));
    assert!(matches!(store.apply(500, put(b"\x1fx")), Err(StoreError::Misuse(_))));
    store.apply(500, put(b"\x20x")).unwrap();
    assert_eq!(store.reader().get(b"\x20x").unwrap(), Some(Vec::new()));
    store.apply(500, vec![Mutation::Delete(b"\x20x".to_vec())]).unwrap();
    assert_eq!(store.reader().get(b"\x20x").unwrap(), None);
}

/// Any byte flipped in, or any end cut off, any file: the store opens, and never gives wrong bytes.
#[test]
fn damage_anywhere_is_survived() {
    let filled = filled();
    let mut victims = vec![filled.dir.path().join("v1/watermark")];
    for name in ["journal", "packs"] {
        victims.extend(files(filled.dir.path(), name));
    }
    let generation = files(filled.dir.path(), "index").pop().unwrap();
    for dir in [&generation, &generation.join("runs"), &head(filled.dir.path())] {
        let paths = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        victims.extend(paths.filter(|path| path.is_file()));
    }
    let mut seed = 0;
    for victim in victims {
        let path = victim.strip_prefix(filled.dir.path()).unwrap();
        for cut in [false, true] {
            for _ in 0..4 {
                let dir = tempfile::tempdir().unwrap();
                copy(filled.dir.path(), dir.path());
                let target = dir.path().join(path);
                let bytes = std::fs::read(&target).unwrap();
                seed += 1;
                let at = support::noise(seed, 8).iter().fold(0_usize, |at, b| (at << 7) + usize::from(*b))
                    % bytes.len();
                if cut {
                    std::fs::write(&target, &bytes[..at]).unwrap();
                } else {
                    support::flip(&target, at);
                }
                let (mut store, report) = open(dir.path());
                let what =
                    format!("{} {} at {at}: {report:?}", path.display(), if cut { "cut" } else { "flipped" });
                let mut seqs = Vec::new();
                let replayed = store.reader().replay(1, &mut |record| {
                    assert_eq!(record.body, support::noise(record.seq - 1, 100), "{what}");
                    seqs.push(record.seq);
                    Ok(())
                });
                let lost = 500 - seqs.len();
                assert!(lost == 0 || !replayed.unwrap().damaged.is_empty(), "{what}: {lost} lost silently");
                assert!(lost == 0 || path.starts_with("v1/journal"), "{what}");
                match store.reader().blob(&filled.blob) {
                    Ok(body) => assert_eq!(body, filled.body, "{what}"),
                    Err(StoreError::Damaged { .. }) => assert!(path.starts_with("v1/packs"), "{what}"),
                    // The index notices only now: it is started over.
                    Err(StoreError::Index(_)) => {
                        let builder = support::built(&mut store, None);
                        store.adopt(builder, None).map(drop).unwrap();
                    }
                    Err(other) => panic!("{what}: {other}"),
                }
                fill(&mut store, 900, 910, 5);
                store.flush().unwrap();
            }
        }
    }
}
