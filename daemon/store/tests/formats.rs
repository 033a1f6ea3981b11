//! Every released format is opened for ever: `fixtures/` holds a store of each, as its release wrote it.
//!
//! A fixture is made once, by `CCD_STORE_FIXTURE=<directory> cargo test -p ccd-store --test formats`, with the code of
//! the release, and never again.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use ccd_store::{BlobRef, IndexState, NewRecord, Options, PackUse, Store, StoreError};
use support::{built, copy, id, new_record, noise, open, replayed};

const RECORDS: u64 = 12;
const CARRY: &[u8] = b"what is left of the first of them";

fn body(n: u64) -> Vec<u8> {
    let text =
        |n: u64| noise(n + 1, 700).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let said = |n: u64| format!(r#"{{"role":"user","content":"{}"}}"#, text(n));
    let messages: Vec<_> = (0..=n).map(said).collect();
    format!(r#"{{"system":"{}","messages":[{}]}}"#, "be brief. ".repeat(40), messages.join(",")).into_bytes()
}

fn blob(n: u64) -> BlobRef {
    let bytes = body(n);
    BlobRef { id: *blake3::hash(&bytes).as_bytes(), len: bytes.len() as u64 }
}

/// Each on a day of its own, so that there are many segments.
fn record(n: u64) -> NewRecord {
    let at_ns = 1_790_000_000_000_000_000 + n * 90_000_000_000_000;
    let body = [&blob(n).id[..], &noise(n, 40)].concat();
    NewRecord { at_ns, body, ..new_record(n) }
}

/// Writes a store with everything in it that a format has: small files, moved blocks, a manifest with what was kept.
fn write(dir: &Path) -> u64 {
    let options = Options { segment_bytes: 4_096, ..support::options() };
    let (mut store, _) = support::open_with(dir, options);
    for n in 0..RECORDS {
        assert_eq!(store.put_blob(b"talk", &body(n)).unwrap(), blob(n));
        let seq = store.append(vec![record(n)]).unwrap()[0].seq;
        store.sync().unwrap();
        store.apply(seq, Vec::new()).unwrap();
    }
    let segment = store.reader().segments()[4];
    let builder = built(&mut store, Some(segment.number));
    store.adopt(builder, Some(CARRY)).unwrap();
    let reader = store.reader();
    let mut used = PackUse::default();
    for n in segment.first_seq - 1..RECORDS {
        used.mark(&reader, &blob(n)).unwrap();
    }
    let pack = used.shares(&reader).unwrap()[0].number;
    store.leave(&[pack]);
    let mut moves = used.needed(&reader, pack).unwrap();
    assert!(!moves.is_empty());
    store.move_blocks(&mut moves, u64::MAX).unwrap();
    store.drop_pack(pack).unwrap();
    store.set_clock(77);
    store.flush().unwrap();
    segment.first_seq - 1
}

/// Opens a copy, compares everything, and writes on.
fn check(fixture: &Path, first: u64) {
    let home = tempfile::tempdir().unwrap();
    copy(fixture, home.path());
    let (mut store, report) = open(home.path());
    assert_eq!((report.damaged, report.cut_bytes), (0, 0), "{report:?}");
    assert!(matches!(report.index, IndexState::Rebuilt { .. }));
    let records = replayed(&store);
    assert_eq!(records.len() as u64, RECORDS - first);
    for (found, n) in records.into_iter().zip(first..) {
        let NewRecord { kind, schema, id, at_ns, body } = record(n);
        assert_eq!(
            (found.seq, found.kind, found.schema, found.id, found.at_ns, found.body),
            (n + 1, kind, schema, id, at_ns, body)
        );
        assert_eq!(store.reader().blob(&blob(n)).unwrap(), self::body(n));
    }
    assert_eq!((store.carry().unwrap(), store.clock()), (CARRY.to_vec(), 77));
    let more = store.append(vec![new_record(900)]).unwrap();
    store.sync().unwrap();
    assert_eq!((more[0].seq, store.reader().contains(&id(900)).unwrap()), (RECORDS + 1, true));
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[test]
fn the_first_format_is_read() {
    check(&fixtures().join("first"), 4);
}

#[test]
fn what_is_written_today_is_read_alike() {
    let made = std::env::var_os("CCD_STORE_FIXTURE").map(PathBuf::from);
    let dir = tempfile::tempdir().unwrap();
    let first = write(dir.path());
    std::fs::remove_dir_all(dir.path().join("v1/index")).unwrap();
    check(dir.path(), first);
    if let Some(made) = made {
        copy(dir.path(), &made);
    }
}

/// A newer format is refused, and not a byte of it is touched.
#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join("first"), dir.path());
    std::fs::rename(dir.path().join("v1"), dir.path().join("v2")).unwrap();
    let listed = |dir: &Path| {
        let mut all = Vec::new();
        let mut open = vec![dir.to_owned()];
        while let Some(path) = open.pop() {
            for entry in std::fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                all.push((path.clone(), std::fs::read(&path).ok()));
            }
        }
        all.sort();
        all
    };
    let before = listed(dir.path());
    let refused = Store::open(dir.path(), Options::default());
    assert!(matches!(refused.err(), Some(StoreError::Newer { path }) if path.ends_with("v2")));
    assert!(before == listed(dir.path()));
}
