//! The past can be let go of: whole segments, and what only they referred to. What remains is all there.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use ccd_store::{BlobRef, Dropped, IndexState, NewRecord, PackUse, Store};
use support::{built, copy, files, fill, id, new_record, noise, open, replayed, views};

/// A conversation that resends its history, a record per body, spread over many segments and packs.
struct Talk {
    dir: tempfile::TempDir,
    bodies: Vec<(BlobRef, Vec<u8>)>,
}

/// Each conversation has 60 turns.
fn body(n: u64) -> Vec<u8> {
    let message = |n: u64| format!(r#"{{"role":"user","content":"{}"}}"#, hex(&noise(n + 1, 2_500)));
    let messages: Vec<_> = (n - n % 60..=n).map(message).collect();
    format!(r#"{{"system":"{}","messages":[{}]}}"#, hex(&noise(9_999, 900)), messages.join(",")).into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The record of the n-th body names it.
fn record(n: u64, blob: &BlobRef) -> NewRecord {
    let body = [&blob.id[..], &blob.len.to_be_bytes(), &noise(n, 3_000)].concat();
    NewRecord { body, ..new_record(n) }
}

fn named(body: &[u8]) -> BlobRef {
    BlobRef { id: body[..32].try_into().unwrap(), len: u64::from_be_bytes(body[32..40].try_into().unwrap()) }
}

fn say(store: &mut Store, n: u64) -> (BlobRef, Vec<u8>) {
    let bytes = body(n);
    let family = [u8::try_from(n / 60).unwrap()];
    let blob = store.put_blob(&family, &bytes).unwrap();
    let records = store.append(vec![record(n, &blob)]).unwrap();
    store.sync().unwrap();
    let mutations = records.iter().flat_map(support::view).collect();
    store.apply(records[0].seq, mutations).unwrap();
    (blob, bytes)
}

fn talk() -> Talk {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let bodies = (0..120).map(|n| say(&mut store, n)).collect();
    store.flush().unwrap();
    assert!(files(dir.path(), "journal").len() > 4 && files(dir.path(), "packs").len() > 3);
    let packed: u64 = store.reader().segments().iter().map(|segment| segment.pack_bytes).sum();
    // The first body was there before the first segment was.
    assert!(store.reader().stats().unwrap().pack_bytes - packed < 4_000);
    Talk { dir, bodies }
}

/// Everything from `first` on is served, from the packs as from the index; nothing before is.
fn check(store: &Store, talk: &Talk, first: u64) {
    let records = replayed(store);
    assert_eq!(records.iter().map(|r| r.id).collect::<Vec<_>>(), (first..120).map(id).collect::<Vec<_>>());
    assert_eq!(views(store), (first..120).map(id).collect::<Vec<_>>());
    let reader = store.reader();
    for record in records {
        let n = usize::try_from(record.seq - 1).unwrap();
        assert_eq!(reader.blob(&named(&record.body)).unwrap(), talk.bodies[n].1);
        assert!(reader.contains(&record.id).unwrap());
    }
    assert!((0..first).all(|n| !reader.contains(&id(n)).unwrap()));
}

fn drop_before(store: &mut Store, segment: u32) -> Dropped {
    let builder = built(store, Some(segment));
    store.adopt(builder, Some(b"sums")).unwrap()
}

fn marked(store: &Store) -> PackUse {
    let reader = store.reader();
    let mut used = PackUse::default();
    for record in replayed(store) {
        used.mark(&reader, &named(&record.body)).unwrap();
    }
    used
}

/// Drops every pack that is not needed whole; moves what is needed of it.
fn compact(store: &mut Store) -> (u64, u64) {
    let reader = store.reader();
    let used = marked(store);
    let shares = used.shares(&reader).unwrap();
    let leaving: Vec<u32> = shares.iter().filter(|s| s.needed + 16 < s.bytes).map(|s| s.number).collect();
    store.leave(&leaving);
    let (mut rewritten, mut freed) = (0, 0);
    for pack in leaving {
        let mut moves = used.needed(&reader, pack).unwrap();
        while !moves.is_empty() {
            rewritten += store.move_blocks(&mut moves, 10_000).unwrap();
        }
        freed += store.drop_pack(pack).unwrap();
    }
    (rewritten, freed)
}

fn first_of(dir: &Path, store: &Store, at: usize) -> (u32, u64) {
    assert_eq!(files(dir, "journal").len(), store.reader().segments().len());
    let segment = store.reader().segments()[at];
    (segment.number, segment.first_seq - 1)
}

#[test]
fn segments_go_and_what_they_shared_with_later_ones_stays() {
    let talk = talk();
    let (mut store, _) = open(talk.dir.path());
    let (segment, first) = first_of(talk.dir.path(), &store, 3);
    let before = store.reader().stats().unwrap();
    let dropped = drop_before(&mut store, segment);
    assert_eq!(dropped.segments, 3);
    assert_eq!(store.reader().stats().unwrap().journal_bytes, before.journal_bytes - dropped.bytes);
    check(&store, &talk, first);

    let (moved, freed) = compact(&mut store);
    assert!(moved > 0 && freed > moved, "{moved} moved, {freed} freed");
    check(&store, &talk, first);
    assert!(store.reader().stats().unwrap().pack_bytes < before.pack_bytes);
    assert_eq!(store.carry().unwrap(), b"sums");

    // Bodies that were let go of are stored again as if they had never been there.
    let again = store.put_blob(b"new", &talk.bodies[2].1).unwrap();
    store.sync().unwrap();
    assert_eq!(store.reader().blob(&again).unwrap(), talk.bodies[2].1);
    store.flush().unwrap();
    drop(store);

    let (store, report) = open(talk.dir.path());
    assert_eq!((report.damaged, report.index), (0, IndexState::Opened));
    check(&store, &talk, first);
    drop(store);
    std::fs::remove_dir_all(talk.dir.path().join("v1/index")).unwrap();
    let (store, report) = open(talk.dir.path());
    assert_eq!(report.damaged, 0, "{report:?}");
    check(&store, &talk, first);
    assert_eq!(store.reader().blob(&again).unwrap(), talk.bodies[2].1);
    assert_eq!(store.carry().unwrap(), b"sums");
}

#[test]
fn moved_blocks_move_again() {
    let talk = talk();
    let (mut store, _) = open(talk.dir.path());
    let mut first = 0;
    for round in [2, 1, 1] {
        let (segment, seq) = first_of(talk.dir.path(), &store, round);
        first = seq;
        drop_before(&mut store, segment);
        compact(&mut store);
        check(&store, &talk, first);
    }
    // Nothing is needed of what everything was moved out of, so a second round finds next to nothing to do.
    let shares = marked(&store).shares(&store.reader()).unwrap();
    assert!(shares.iter().all(|share| share.needed * 2 > share.bytes), "{shares:?}");
    store.flush().unwrap();
    drop(store);
    std::fs::remove_dir_all(talk.dir.path().join("v1/index")).unwrap();
    check(&open(talk.dir.path()).0, &talk, first);
}

/// The directory as it is at each step of pruning, as kill -9 would leave it.
#[test]
fn a_kill_at_any_step_leaves_all_or_nothing() {
    let talk = talk();
    let (mut store, _) = open(talk.dir.path());
    let (segment, first) = first_of(talk.dir.path(), &store, 2);
    let mut states = Vec::new();
    let mut keep = |first: u64| {
        let dir = tempfile::tempdir().unwrap();
        copy(talk.dir.path(), dir.path());
        states.push((first, dir));
    };
    let builder = built(&mut store, Some(segment));
    builder.flush().unwrap();
    keep(0);
    // The manifest is the point of no return: with it, and everything else as before.
    let before = tempfile::tempdir().unwrap();
    copy(talk.dir.path(), before.path());
    store.adopt(builder, Some(b"sums")).unwrap();
    std::fs::copy(talk.dir.path().join("v1/manifest"), before.path().join("v1/manifest")).unwrap();
    keep(first);
    let reader = store.reader();
    let used = marked(&store);
    let pack = used.shares(&reader).unwrap()[0].number;
    store.leave(&[pack]);
    let mut moves = used.needed(&reader, pack).unwrap();
    store.move_blocks(&mut moves, 1).unwrap();
    keep(first);
    while !moves.is_empty() {
        store.move_blocks(&mut moves, 5_000).unwrap();
    }
    keep(first);
    let pack_file = files(talk.dir.path(), "packs")[0].clone();
    let bytes = std::fs::read(&pack_file).unwrap();
    store.drop_pack(pack).unwrap();
    keep(first);
    std::fs::write(&pack_file, bytes).unwrap();
    keep(first);
    states.push((first, before));
    for (first, dir) in states {
        let (mut store, report) = open(dir.path());
        assert_eq!(report.damaged, 0, "{report:?}");
        check(&store, &talk, first);
        compact(&mut store);
        check(&store, &talk, first);
    }
}

#[test]
fn a_segment_spans_a_day_and_tells_its_times() {
    const DAY: u64 = 86_400_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let mut at = |n: u64, at_ns: u64| {
        store.append(vec![NewRecord { at_ns, ..new_record(n) }]).unwrap();
        store.sync().unwrap();
    };
    at(0, DAY);
    at(1, 2 * DAY - 1);
    at(2, DAY / 2);
    at(3, 2 * DAY);
    at(4, 2 * DAY + 5);
    let expected = [(DAY, 2 * DAY - 1), (2 * DAY, 2 * DAY + 5)];
    let times = |store: &Store| -> Vec<_> {
        store.reader().segments().iter().map(|s| (s.first_ns, s.newest_ns)).collect()
    };
    assert_eq!(times(&store), expected);
    store.set_clock(77);
    fill(&mut store, 5, 6, 1);
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(times(&store)[..2], [expected[0], (2 * DAY, 2 * DAY + 5)]);
    assert_eq!(store.clock(), 77);
}
