//! Verification: whatever is damaged is named, and nothing else is.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use ccd_store::{BlobRef, Damage, FileKind, InIndex, Lost, Record, Store, StoreError};
use support::{files, fill, flip, id, new_record, noise, open};

struct Found {
    records: Vec<Record>,
    lost: Vec<Lost>,
    packs: Vec<Damage>,
}

fn verify(store: &Store) -> Found {
    let reader = store.reader();
    let extent = reader.extent();
    let mut records = Vec::new();
    let lost = reader
        .verify_journal(&extent, &mut |_| true, &mut |record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
    Found { records, lost, packs: reader.verify_packs(&extent, &mut |_| true).unwrap() }
}

/// A store of two segments or more, and a pack with a conversation that grows.
fn filled(dir: &Path) -> (Store, Vec<Record>, Vec<BlobRef>) {
    let (mut store, _) = open(dir);
    let mut blobs = Vec::new();
    let mut body = Vec::new();
    for n in 0..12 {
        body.extend(noise(1_000 + n, 3_000));
        blobs.push(store.put_blob(b"conversation", &body).unwrap());
    }
    let records = fill(&mut store, 0, 2_000, 4);
    (store, records, blobs)
}

#[test]
fn a_whole_store_is_whole_while_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, records, blobs) = filled(dir.path());
    let reader = store.reader();
    let extent = reader.extent();
    fill(&mut store, 2_000, 2_100, 4);
    let mut seen = Vec::new();
    let mut before = 0;
    let lost = reader.verify_journal(
        &extent,
        &mut |done| {
            assert!(done >= before && done <= extent.journal_bytes());
            before = done;
            true
        },
        &mut |record| {
            assert_eq!(reader.in_index(&record)?, InIndex::Yes);
            seen.push(record);
            Ok(())
        },
    );
    assert_eq!((lost.unwrap(), seen), (vec![], records), "what came later is not looked at");
    assert_eq!(reader.verify_packs(&extent, &mut |_| true).unwrap(), []);
    assert!(blobs.iter().all(|blob| reader.verify_blob(&extent, blob).is_ok()));
    let stopped = reader.verify_journal(&extent, &mut |_| false, &mut |_| Ok(()));
    assert!(matches!(stopped, Err(StoreError::Stopped)));
}

#[test]
fn every_flipped_byte_of_the_journal_is_found_with_the_records_it_costs() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records, _) = filled(dir.path());
    let segment = files(dir.path(), "journal").remove(0);
    let offset = usize::try_from(records[8].locator.offset).unwrap();
    let next = usize::try_from(records[12].locator.offset).unwrap();
    for at in (offset..next).step_by(7) {
        flip(&segment, at);
        let found = verify(&store);
        let damage = Damage { file: FileKind::Segment, number: 1, from: offset as u64, to: next as u64 };
        assert_eq!(found.lost, [Lost { damage, seqs: Some((9, 12)) }], "byte {at}");
        assert_eq!(found.records.len(), records.len() - 4);
        let known = store.reader().known_in(&[damage]).unwrap();
        assert_eq!(known.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (8..12).map(id).collect::<Vec<_>>());
        flip(&segment, at);
    }
    flip(&segment, 3);
    let found = verify(&store);
    assert_eq!((found.lost.len(), found.lost[0].damage.to), (1, 72), "a header");
    assert_eq!((found.lost[0].seqs, found.records.len()), (None, records.len()));
}

#[test]
fn segments_that_are_cut_or_gone_are_named_with_their_records() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records, _) = filled(dir.path());
    let segments = files(dir.path(), "journal");
    let last = u32::try_from(segments.len()).unwrap();
    assert!(last > 2, "{last}");
    let of = |n: u32| records.iter().filter(|r| r.locator.segment == n).map(|r| r.seq).collect::<Vec<_>>();
    let whole = std::fs::read(&segments[1]).unwrap();
    std::fs::remove_file(&segments[1]).unwrap();
    // The file is longer: it has space ahead.
    let end = store.reader().segments().last().unwrap().bytes;
    let shortened = std::fs::File::options().write(true).open(segments.last().unwrap()).unwrap();
    shortened.set_len(end - 1).unwrap();
    let found = verify(&store);
    let gone = of(2);
    assert_eq!(found.lost[0].seqs, Some((gone[0], *gone.last().unwrap())));
    assert_eq!((found.lost[0].damage.number, found.lost[0].damage.to), (2, whole.len() as u64));
    assert!(
        found.lost[1..].iter().all(|lost| lost.damage.number == last && lost.seqs == Some((1_997, 2_000)))
    );
    assert_eq!(found.lost.last().unwrap().damage.to, end);
    assert_eq!(found.records.len(), records.len() - gone.len() - 4);
    drop(store);
    // Gone already when it is opened.
    let (store, _) = open(dir.path());
    let found = verify(&store).lost;
    assert!(found.iter().any(|l| l.damage.number == 2 && l.seqs == Some((gone[0], *gone.last().unwrap()))));
    assert!(found.iter().any(|l| l.damage.number == last && l.damage.to == end), "{found:?}");
}

#[test]
fn a_damaged_block_is_named_and_the_bodies_that_need_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, blobs) = filled(dir.path());
    let reader = store.reader();
    let pack = files(dir.path(), "packs").remove(0);
    let len = usize::try_from(std::fs::metadata(&pack).unwrap().len()).unwrap();
    for at in (0..len).step_by(997) {
        flip(&pack, at);
        let (store, _) = {
            let copy = tempfile::tempdir().unwrap();
            support::copy(dir.path(), copy.path());
            (open(copy.path()).0, copy)
        };
        let named = verify(&store).packs;
        assert_eq!(named.len(), 1, "byte {at}: {named:?}");
        assert!((named[0].from..named[0].to).contains(&(at as u64)), "byte {at}: {named:?}");
        flip(&pack, at);
    }
    let extent = reader.extent();
    assert!(blobs.iter().all(|blob| reader.verify_blob(&extent, blob).is_ok()));
    let unknown = BlobRef { id: [7; 32], len: 9 };
    assert!(reader.verify_blob(&extent, &unknown).unwrap_err().contains("store rebuild"));
    std::fs::remove_file(&pack).unwrap();
    assert_eq!(verify(&store).packs[0].to, len as u64);
}

#[test]
fn a_record_twice_in_the_journal_and_one_that_the_index_lacks_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let twice = store.append(vec![new_record(1), new_record(2), new_record(1)]).unwrap();
    store.sync().unwrap();
    store.apply(3, Vec::new()).unwrap();
    let reader = store.reader();
    let told: Vec<_> = twice.iter().map(|record| reader.in_index(record).unwrap()).collect();
    assert_eq!(told, [InIndex::Duplicate, InIndex::Yes, InIndex::Yes]);
    let stranger = Record { id: id(9), ..twice[0].clone() };
    assert_eq!(reader.in_index(&stranger).unwrap(), InIndex::No);
}
