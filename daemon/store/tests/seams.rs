//! Where pruning, generations and restoring meet: nothing that is needed goes, nothing foreign is taken in.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use ccd_store::{Backup, BlobRef, Manifest, NewRecord, Options, PackUse, Store, StoreError, ViewWriter};
use support::{new_record, noise};

fn open(dir: &Path) -> Store {
    Store::open(dir, Options { segment_bytes: 64 << 10, ..Options::default() }).unwrap().store
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A request with these messages.
fn talk(messages: &[u64]) -> Vec<u8> {
    let message = |n: &u64| format!(r#"{{"role":"user","content":"{}"}}"#, hex(&noise(*n + 1, 3_000)));
    let messages: Vec<_> = messages.iter().map(message).collect();
    format!(r#"{{"messages":[{}]}}"#, messages.join(",")).into_bytes()
}

/// Bodies until another pack is begun.
fn filler(store: &mut Store, seed: u64) {
    let before = store.reader().stats().unwrap().packs;
    let mut n = 0;
    while store.reader().stats().unwrap().packs == before {
        store.put_blob(b"filler", &noise(seed * 1000 + n, 20_000)).unwrap();
        n += 1;
    }
}

fn record(n: u64, blob: &BlobRef) -> NewRecord {
    NewRecord { body: blob.id.to_vec(), ..new_record(n) }
}

/// Brings all records in, as a projection does.
fn fill(views: &mut impl ViewWriter, upto: u64) {
    let mut all = Vec::new();
    let mut push = |record| {
        all.push(record);
        Ok(())
    };
    views.reader().replay(1, &mut push).unwrap();
    views.reindex(&all);
    views.apply(upto, Vec::new()).unwrap();
}

fn generations(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("v1/index")).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn move_out(store: &mut Store, used: &PackUse, pack: u32) {
    let mut blocks = used.needed(&store.reader(), pack).unwrap();
    while !blocks.is_empty() {
        store.move_blocks(&mut blocks, 1 << 20).unwrap();
    }
    store.drop_pack(pack).unwrap();
}

/// A body whose recipe rests on a pack that is leaving is stored again.
#[test]
fn a_body_that_rests_on_a_leaving_pack_is_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = talk(&[1, 2, 3, 4, 5, 6]);
    let m = talk(&[1, 2, 3, 4, 5, 6, 20, 21]);
    let b = talk(&[1, 2, 3, 4, 5, 6, 30, 31]);
    let a_ref = store.put_blob(b"f", &a).unwrap();
    store.append(vec![record(1, &a_ref)]).unwrap();
    store.sync().unwrap();
    filler(&mut store, 10);
    store.put_blob(b"f", &m).unwrap();
    filler(&mut store, 20);
    let b_ref = store.put_blob(b"f", &b).unwrap();
    filler(&mut store, 30);
    store.sync().unwrap();
    store.apply(1, Vec::new()).unwrap();
    let reader = store.reader();
    let mut used = PackUse::default();
    used.mark(&reader, &a_ref).unwrap();
    store.leave(&[2]);
    // Marking what was journalled until now finds nothing new; and then the body comes again.
    let again = store.put_blob(b"other", &b).unwrap();
    assert_eq!(again, b_ref);
    store.append(vec![record(2, &again)]).unwrap();
    store.sync().unwrap();
    assert_eq!(reader.blob(&again).unwrap(), b);
    move_out(&mut store, &used, 2);
    assert_eq!(reader.blob(&again).map(|x| x == b).map_err(|e| e.to_string()), Ok(true));
}

/// A block that moves for its pieces does not take its old recipe to where a newer one is.
#[test]
fn a_moved_block_does_not_displace_a_newer_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = talk(&[1, 2, 3, 4, 5, 6]);
    let b = talk(&[1, 2, 3, 4, 5, 6, 30, 31]);
    store.put_blob(b"f", &a).unwrap();
    filler(&mut store, 10);
    let b_ref = store.put_blob(b"f", &b).unwrap();
    let mut c = talk(&[50, 30, 31]);
    c.truncate(c.len() - 1);
    c.extend_from_slice(br#","tail":"something else"}"#);
    filler(&mut store, 20);
    let c_ref = store.put_blob(b"c", &c).unwrap();
    filler(&mut store, 30);
    store.append(vec![record(1, &c_ref)]).unwrap();
    store.sync().unwrap();
    store.apply(1, Vec::new()).unwrap();
    let reader = store.reader();
    let mut used = PackUse::default();
    used.mark(&reader, &c_ref).unwrap();
    store.leave(&[1, 2]);
    let again = store.put_blob(b"other", &b).unwrap();
    assert_eq!(again, b_ref);
    store.append(vec![record(2, &again)]).unwrap();
    store.sync().unwrap();
    assert_eq!(reader.blob(&again).unwrap(), b);
    used.mark(&reader, &again).unwrap();
    for pack in [1, 2] {
        move_out(&mut store, &used, pack);
    }
    assert_eq!(reader.blob(&c_ref).unwrap(), c);
    let live = reader.blob(&again).map(|x| x == b).map_err(|e| e.to_string());
    store.flush().unwrap();
    drop((store, reader));
    std::fs::remove_dir_all(dir.path().join("v1/index")).unwrap();
    let store = open(dir.path());
    let rebuilt = store.reader().blob(&again).map(|x| x == b).map_err(|e| e.to_string());
    assert_eq!((live, rebuilt), (Ok(true), Ok(true)));
}

/// A generation that is adopted stays, also if the index was started over meanwhile.
#[test]
fn an_adopted_generation_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a_ref = store.put_blob(b"f", &noise(1, 9_000)).unwrap();
    store.append(vec![record(1, &a_ref)]).unwrap();
    store.sync().unwrap();
    store.apply(1, Vec::new()).unwrap();
    let mut builder = store.begin_generation(1, None).unwrap();
    builder.index_packs(&mut |_| ()).unwrap();
    std::fs::write(dir.path().join("v1/index/000001/damaged"), b"").unwrap();
    store.reopen_index().unwrap();
    fill(&mut builder, 1);
    builder.flush().unwrap();
    store.adopt(builder, None).unwrap();
    assert_eq!(generations(dir.path()), ["000002"]);
    drop(store);
    assert_eq!(open(dir.path()).applied(), 1);
}

/// A generation of one store is not adopted by another.
#[test]
fn another_stores_generation_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut old = open(one.path());
    let r = old.put_blob(b"f", &noise(1, 9_000)).unwrap();
    old.append(vec![record(1, &r), record(2, &r)]).unwrap();
    old.sync().unwrap();
    let mut builder = old.begin_generation(1, None).unwrap();
    builder.index_packs(&mut |_| ()).unwrap();
    fill(&mut builder, 2);
    builder.flush().unwrap();
    let mut new = open(two.path());
    new.append(vec![record(1, &r)]).unwrap();
    new.sync().unwrap();
    assert!(new.adopt(builder, None).is_err());
    assert!(!new.reader().contains(&support::id(2)).unwrap(), "knows a record that its journal has not");
}

/// An index that knows nothing has not said that nothing is needed.
#[test]
fn what_an_index_does_not_know_is_not_needless() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let a = noise(1, 9_000);
    let r = store.put_blob(b"f", &a).unwrap();
    store.append(vec![record(1, &r)]).unwrap();
    filler(&mut store, 10);
    store.sync().unwrap();
    store.apply(1, Vec::new()).unwrap();
    store.flush().unwrap();

    // As a generation does that is not filled yet.
    let builder = store.begin_generation(1, None).unwrap();
    let empty = builder.reader();
    let mut used = PackUse::default();
    let marked = used.mark(&empty, &r);
    assert!(marked.is_err());
}

/// A generation is not adopted by the store that was restored meanwhile.
#[test]
fn a_restored_store_refuses_the_generation_of_the_one_before() {
    let (home, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(home.path());
    let r = store.put_blob(b"f", &noise(1, 9_000)).unwrap();
    store.append(vec![record(1, &r)]).unwrap();
    store.sync().unwrap();
    store.apply(1, Vec::new()).unwrap();
    let dir = kept.path().join("b");
    let cut = store.cut().unwrap();
    Backup::prepare(&dir, cut).unwrap().run("now", &mut |_| true).unwrap();
    // After the backup.
    store.append(vec![record(2, &r), record(3, &r)]).unwrap();
    store.sync().unwrap();
    store.apply(3, Vec::new()).unwrap();
    let mut builder = store.begin_generation(1, None).unwrap();
    builder.index_packs(&mut |_| ()).unwrap();
    fill(&mut builder, 3);
    builder.flush().unwrap();
    let staged = Manifest::read(&dir).unwrap().stage(&dir, home.path(), &mut |_| true).unwrap();
    store.close().unwrap();
    staged.swap().unwrap();
    let mut store = open(home.path());
    assert!(store.adopt(builder, None).is_err());
    let knows = store.reader().contains(&support::id(3)).unwrap();
    assert!(!knows);
}

/// An index that cannot be read has not said that nothing is needed.
#[test]
fn what_an_index_cannot_say_is_not_needless() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let blobs: Vec<_> = (0..40).map(|n| store.put_blob(b"f", &noise(n + 1, 9_000)).unwrap()).collect();
    store.append(blobs.iter().zip(1..).map(|(b, n)| record(n, b)).collect()).unwrap();
    filler(&mut store, 10);
    store.sync().unwrap();
    let mut builder = store.begin_generation(1, None).unwrap();
    builder.index_packs(&mut |_| ()).unwrap();
    fill(&mut builder, 40);
    builder.flush().unwrap();
    store.adopt(builder, None).unwrap();
    store.flush().unwrap();
    drop(store);
    let generation = std::fs::read_dir(dir.path().join("v1/index")).unwrap().next().unwrap().unwrap().path();
    let run = std::fs::read_dir(generation.join("runs")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&run).unwrap();
    bytes[200] ^= 1;
    bytes[5000] ^= 1;
    std::fs::write(&run, bytes).unwrap();
    let store = open(dir.path());
    let reader = store.reader();
    let mut used = PackUse::default();
    assert!(blobs.iter().any(|blob| matches!(used.mark(&reader, blob), Err(StoreError::Index(_)))));
    assert!(blobs.iter().all(|blob| used.mark(&reader, blob).is_ok() || reader.has_place(blob).is_err()));
}

/// A generation that cannot be adopted leaves nothing.
#[test]
fn a_failed_adoption_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.append(vec![new_record(1)]).unwrap();
    store.sync().unwrap();
    store.apply(1, Vec::new()).unwrap();
    for _ in 0..3 {
        let builder = store.begin_generation(1, None).unwrap();
        assert!(store.adopt(builder, None).is_err());
    }
    assert_eq!(generations(dir.path()), ["000001"]);
}
