//! What a failed fsync does; `model` makes it fail.

use super::*;
use crate::types::{IndexState, Options};

fn record(n: u8) -> NewRecord {
    NewRecord { kind: 1, schema: 1, id: [n; 16], at_ns: 1, body: vec![n; 300] }
}

fn ids(store: &Store) -> Vec<u8> {
    let mut ids = Vec::new();
    let mut push = |record: Record| {
        ids.push(record.id[0]);
        Ok(())
    };
    store.reader().replay(1, &mut push).unwrap();
    ids
}

#[test]
fn what_was_given_up_is_gone_for_good_and_can_be_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let body = |n: u32| blake3::hash(&n.to_le_bytes()).to_hex().to_string().repeat(20).into_bytes();
    let mut store = Store::open(dir.path(), Options::default()).unwrap().store;
    let kept = store.put_blob(b"f", &body(1)).unwrap();
    store.append(vec![record(1)]).unwrap();
    store.sync().unwrap();
    let doubtful = store.put_blob(b"f", &body(2)).unwrap();
    let last = store.append(vec![record(2), record(3)]).unwrap().pop().unwrap();
    let reader = store.reader();
    assert!(reader.record(last.locator).is_ok());
    store.apply(1, Vec::new()).unwrap();

    store.give_up();
    assert!(reader.contains(&[1; 16]).unwrap());
    assert!(!reader.contains(&[2; 16]).unwrap() && !reader.contains(&[3; 16]).unwrap());
    assert!(matches!(reader.record(last.locator), Err(StoreError::Damaged { .. })));
    assert_eq!(ids(&store), [1]);

    let again = store.put_blob(b"f", &body(2)).unwrap();
    assert_eq!(again, doubtful);
    let next = store.append(vec![record(2)]).unwrap().remove(0);
    assert_eq!((next.seq, next.locator.segment), (4, last.locator.segment + 1));
    store.sync().unwrap();
    store.apply(4, Vec::new()).unwrap();
    assert_eq!(reader.blob(&again).unwrap(), body(2));
    assert_eq!(reader.blob(&kept).unwrap(), body(1));
    drop((store, reader));

    let opened = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!((opened.report.damaged, opened.report.last_seq), (0, 4));
    assert_eq!(opened.report.index, IndexState::Opened);
    assert_eq!(ids(&opened.store), [1, 2]);
    assert_eq!(opened.store.reader().blob(&again).unwrap(), body(2));
}

#[test]
fn frames_in_doubt_do_not_come_back_even_if_they_cannot_be_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Options::default()).unwrap().store;
    store.append(vec![record(1)]).unwrap();
    store.sync().unwrap();
    store.append(vec![record(2)]).unwrap();
    let segment = store.shared.segments.files.path(1);
    let in_doubt = std::fs::read(&segment).unwrap();
    store.give_up();
    store.append(vec![record(2)]).unwrap();
    store.sync().unwrap();
    drop(store);
    std::fs::write(&segment, in_doubt).unwrap();
    let opened = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!(opened.report.damaged, 0);
    assert_eq!(ids(&opened.store), [1, 2]);
}
