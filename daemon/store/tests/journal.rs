//! The journal: nothing acknowledged is lost, damage is contained and named.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use ccd_store::{FileKind, IndexState, Locator, NewRecord, Store, StoreError};
use proptest::prelude::*;
use support::{copy, files, fill, flip, id, new_record, noise, open, open_with, options, replayed, views};

#[test]
fn records_come_back_by_place_by_name_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, report) = open(dir.path());
    assert_eq!((report.index, report.last_seq, report.damaged), (IndexState::Empty, 0, 0));
    let records = fill(&mut store, 0, 1_000, 7);
    assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), (1..=1_000).collect::<Vec<_>>());
    let reader = store.reader();
    for record in &records {
        assert_eq!(&reader.record(record.locator).unwrap(), record);
        assert_eq!(reader.record_by_id(&record.id).unwrap().as_ref(), Some(record));
        assert_eq!(Locator::from_bytes(record.locator.to_bytes()), record.locator);
    }
    assert_eq!(replayed(&store), records);
    assert!(reader.stats().unwrap().segments > 1);
    drop((store, reader));

    let (mut store, report) = open(dir.path());
    assert_eq!((report.index, report.last_seq, report.applied), (IndexState::Opened, 1_000, 1_000));
    assert_eq!((report.damaged, report.cut_bytes), (0, 0));
    assert_eq!(replayed(&store), records);
    assert_eq!(fill(&mut store, 1_000, 1_001, 1)[0].seq, 1_001);
}

#[test]
fn what_is_appended_is_contained_and_readable_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let reader = store.reader();
    let records = store.append(vec![new_record(1), new_record(2)]).unwrap();
    assert!(reader.contains(&id(1)).unwrap() && !reader.contains(&id(3)).unwrap());
    assert_eq!(reader.record_by_id(&id(2)).unwrap().unwrap(), records[1]);
    assert!(matches!(store.apply(1, Vec::new()), Err(StoreError::Misuse(_))), "it could still be lost");
    store.sync().unwrap();
    store.apply(1, Vec::new()).unwrap();
    assert!(reader.contains(&id(1)).unwrap() && reader.contains(&id(2)).unwrap());
}

#[test]
fn a_kill_loses_nothing_that_was_written_and_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let records = fill(&mut store, 0, 300, 10);
    let unsynced = store.append((300..310).map(new_record).collect()).unwrap();
    copy(dir.path(), killed.path());
    let (store, report) = open(killed.path());
    assert_eq!(report.damaged, 0);
    assert_eq!(replayed(&store), [records, unsynced].concat());
    assert_eq!(views(&store), (0..310).map(id).collect::<Vec<_>>());
}

#[test]
fn a_frame_torn_at_any_byte_is_cut_and_writing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    fill(&mut store, 0, 5, 5);
    let segment = files(dir.path(), "journal").pop().unwrap();
    let whole = store.reader().stats().unwrap().journal_bytes;
    store.append(vec![new_record(5)]).unwrap();
    let full = store.reader().stats().unwrap().journal_bytes;
    let bytes = std::fs::read(&segment).unwrap();
    assert!(bytes.len() as u64 > full + 10_000 && bytes[full as usize..].iter().all(|byte| *byte == 0));
    for (len, ahead) in (whole..full).map(|len| (len, len % 3 == 0)) {
        let torn = tempfile::tempdir().unwrap();
        copy(dir.path(), torn.path());
        let segment = files(torn.path(), "journal").pop().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
        file.set_len(len).unwrap();
        if ahead {
            file.set_len(bytes.len() as u64).unwrap();
        }
        // Zeros are no part of a frame until there is something behind them.
        let torn_bytes = &bytes[whole as usize..len as usize];
        let cut = torn_bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        let (mut store, report) = open(torn.path());
        assert_eq!((report.cut_bytes, report.damaged, report.last_seq), (cut, 0, 5), "torn at {len}");
        fill(&mut store, 5, 7, 1);
        assert_eq!(views(&store), (0..7).map(id).collect::<Vec<_>>());
    }
}

#[test]
fn a_flipped_byte_is_contained_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let records = fill(&mut store, 0, 2_000, 5);
    drop(store);
    let segment = files(dir.path(), "journal")[1].clone();
    let victim = records.iter().filter(|r| r.locator.segment == 2).nth(50).unwrap().locator;
    for at in [0, 3, 5, 9, 13, 20, 300] {
        flip(&segment, victim.offset as usize + at);
        let (store, _) = open(dir.path());
        let mut found = Vec::new();
        let report = store
            .reader()
            .replay(1, &mut |record| {
                found.push(record);
                Ok(())
            })
            .unwrap();
        let left: Vec<_> = records
            .iter()
            .filter(|r| (r.locator.segment, r.locator.offset) != (victim.segment, victim.offset))
            .cloned()
            .collect();
        assert_eq!(found, left);
        let [damage] = report.damaged[..] else { panic!("{:?}", report.damaged) };
        assert_eq!(
            (damage.file, damage.number, damage.from),
            (FileKind::Segment, 2, u64::from(victim.offset))
        );
        assert!(matches!(store.reader().record(victim), Err(StoreError::Damaged { .. })));
        assert_eq!(store.reader().stats().unwrap().damaged, 1);
        drop(store);
        flip(&segment, victim.offset as usize + at);
    }
}

#[test]
fn truncated_and_missing_segments_are_noticed_and_numbers_are_not_used_again() {
    let whole = tempfile::tempdir().unwrap();
    let (mut store, _) = open(whole.path());
    let records = fill(&mut store, 0, 2_000, 5);
    drop(store);
    let count = files(whole.path(), "journal").len();
    assert!(count >= 3);
    for (victim, truncate) in
        [(0, true), (0, false), (1, true), (1, false), (count - 1, true), (count - 1, false)]
    {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        let path = files(dir.path(), "journal")[victim].clone();
        if truncate {
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1_000).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        for _ in 0..2 {
            let (mut store, report) = open(dir.path());
            let number = u32::try_from(victim).unwrap() + 1;
            assert!(
                report.damage.iter().any(|d| d.number == number),
                "{victim} {truncate} {:?}",
                report.damage
            );
            assert!(report.last_seq >= 2_000);
            assert!(replayed(&store).iter().filter(|r| r.seq <= 2_000).all(|r| records.contains(r)));
            let next = fill(&mut store, 3_000 + report.last_seq, 3_001 + report.last_seq, 1);
            assert_eq!(next[0].seq, report.last_seq + 1);
            assert_eq!(store.reader().record_by_id(&next[0].id).unwrap().as_ref(), Some(&next[0]));
        }
    }
}

#[test]
fn a_frame_that_was_captured_as_content_is_not_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    fill(&mut store, 0, 1, 1);
    let stolen = std::fs::read(&files(dir.path(), "journal")[0]).unwrap()[72..].to_vec();
    let body = [noise(1, 5_000), stolen, noise(2, 5_000)].concat();
    let bait = store.append(vec![NewRecord { body, ..new_record(1) }]).unwrap().remove(0);
    fill(&mut store, 2, 3, 1);
    drop(store);
    flip(&files(dir.path(), "journal")[0], bait.locator.offset as usize + 30);
    let (store, _) = open(dir.path());
    assert_eq!(replayed(&store).iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_large_frame_gets_through_and_one_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let large = NewRecord { body: noise(1, 20 << 20), ..new_record(1) };
    let record = store.append(vec![new_record(0), large]).unwrap().pop().unwrap();
    store.sync().unwrap();
    assert!(store.reader().record(record.locator).unwrap() == record);
    let too_many = (0..70_000).map(|n| NewRecord { body: Vec::new(), ..new_record(n) }).collect();
    assert!(matches!(store.append(too_many), Err(StoreError::TooLarge { .. })));
    assert_eq!(fill(&mut store, 5, 6, 1)[0].seq, 3);
}

#[test]
fn a_second_process_and_a_newer_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    assert!(matches!(Store::open(dir.path(), options()), Err(StoreError::Locked { .. })));
    drop(store);
    std::fs::create_dir(dir.path().join("v2")).unwrap();
    assert!(matches!(Store::open(dir.path(), options()), Err(StoreError::Newer { .. })));
}

#[test]
fn readers_on_other_threads_follow_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| store.reader()).collect();
        for reader in readers {
            scope.spawn(move || {
                while reader.stats().unwrap().applied < 1_000 {
                    let mut last = 0;
                    reader
                        .replay(1, &mut |record| {
                            last += 1;
                            assert_eq!(record.seq, last);
                            Ok(())
                        })
                        .unwrap();
                    for row in reader.scan(b"r", b"s").rev().take(5) {
                        let id = row.unwrap().0[1..].try_into().unwrap();
                        assert!(reader.record_by_id(&id).unwrap().is_some());
                    }
                }
            });
        }
        fill(&mut store, 0, 1_000, 10);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_is_appended_is_replayed(
        batches in prop::collection::vec(prop::collection::vec(
            (any::<u8>(), any::<u8>(), any::<[u8; 16]>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..3_000)), 1..6), 1..12),
        from in 0_u64..40,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open_with(dir.path(), ccd_store::Options { segment_bytes: 4_096, ..options() });
        let mut expected = Vec::new();
        for batch in batches {
            let batch = batch.into_iter().map(|(kind, schema, id, at_ns, body)| NewRecord { kind, schema, id, at_ns, body });
            expected.extend(store.append(batch.collect()).unwrap());
        }
        drop(store);
        let (store, _) = open(dir.path());
        let mut found = Vec::new();
        store.reader().replay(from, &mut |record| { found.push(record); Ok(()) }).unwrap();
        expected.retain(|r| r.seq >= from);
        prop_assert_eq!(found, expected);
    }
}
