//! A caller of the store as a test has it: it does what failed again, and knows what was acknowledged to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::Random;
use super::engine::ModelEngine;
use super::fs::ModelFs;
use crate::builder::ViewWriter;
use crate::error::Result;
use crate::packs::hash;
use crate::reader::Reader;
use crate::store::Store;
use crate::types::{BlobRef, Damage, Locator, Mutation, NewRecord, Options, Record, RecordId, Report};
use crate::vfs::Vfs;

/// Records in a batch; each has a body in the packs.
const RECORDS: u64 = 2;
/// No test takes more records.
const MOST: u64 = 64;
pub(super) const DIR: &str = "/state/ccd";

/// A machine: its disk, and the index on it.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) fs: ModelFs,
    pub(super) index: ModelEngine,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Self { fs: ModelFs::new(seed), index: ModelEngine::default() }
    }

    pub(super) fn open(&self) -> Result<(Store, Report)> {
        let options = Options { segment_bytes: 4_096, ..Options::default() };
        let index = self.index.clone();
        let fs: Arc<dyn Vfs> = Arc::new(self.fs.clone());
        let opened = Store::open_on(&fs, |_| Box::new(index), Path::new(DIR), options)?;
        Ok((opened.store, opened.report))
    }
}

pub(super) fn id(record: u64) -> RecordId {
    let mut id = [0xAB; 16];
    id[8..].copy_from_slice(&record.to_be_bytes());
    id
}

fn number(id: &RecordId) -> u64 {
    assert_eq!(id[..8], [0xAB; 8], "a record that nobody appended");
    u64::from_be_bytes(id[8..].try_into().unwrap())
}

/// What a record's blob holds.
pub(super) fn body(record: u64) -> &'static [u8] {
    static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..MOST).map(make_body).collect());
    &BODIES[usize::try_from(record).unwrap()]
}

/// A conversation that grows and is resent, a body that was there before, or a small one.
fn make_body(record: u64) -> Vec<u8> {
    let noise = |seed: u64, len| {
        let digits = Random(seed).bytes(len);
        digits.iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>()
    };
    match record % 7 {
        3 => noise(record, 90).into_bytes(),
        5 => make_body(record - 4),
        _ => {
            let turns = (record.saturating_sub(5)..=record).map(|turn| format!("\"{}\"", noise(turn, 300)));
            let turns = turns.collect::<Vec<_>>().join(",");
            format!("{{\"system\":\"{}\",\"messages\":[{turns}]}}", noise(0, 400)).into_bytes()
        }
    }
}

fn record_of(record: u64, blob: &BlobRef) -> NewRecord {
    let body = [&blob.id[..], &blob.len.to_le_bytes(), &Random(record).bytes(400)].concat();
    NewRecord { kind: 1, schema: 1, id: id(record), at_ns: 1_700_000_000_000_000_000 + record, body }
}

fn expected(record: u64) -> &'static NewRecord {
    static RECORDS: LazyLock<Vec<NewRecord>> =
        LazyLock::new(|| (0..MOST).map(|record| record_of(record, &blob(record))).collect());
    &RECORDS[usize::try_from(record).unwrap()]
}

pub(super) fn blob(record: u64) -> BlobRef {
    let body = body(record);
    BlobRef { id: hash(body), len: body.len() as u64 }
}

fn view(record: &Record) -> Mutation {
    Mutation::Put([&b"r"[..], &record.id].concat(), record.seq.to_be_bytes().to_vec())
}

/// What the caller knows.
#[derive(Clone, Default)]
pub(super) struct Caller {
    /// The records that were acknowledged, and their sequence numbers.
    pub(super) acknowledged: BTreeMap<u64, u64>,
    /// The first batch that was not.
    pub(super) next: u64,
    /// Every sequence number that the running process was given.
    given: BTreeSet<u64>,
}

impl Caller {
    /// Replays what the views lack, as after every opening.
    pub(super) fn catch_up(&mut self, store: &mut Store) -> Result<()> {
        self.given.clear();
        publish(store)
    }

    /// Does the batches up to one, each as often as it takes, but at most that many times.
    pub(super) fn run(&mut self, store: &mut Store, upto: u64, tries: usize) -> Result<()> {
        while self.next < upto {
            let mut left = tries;
            loop {
                left -= 1;
                match self.batch(store, self.next) {
                    Err(error) if left == 0 => return Err(error),
                    Err(_) => {}
                    Ok(()) => break,
                }
            }
            self.next += 1;
        }
        Ok(())
    }

    fn batch(&mut self, store: &mut Store, batch: u64) -> Result<()> {
        let reader = store.reader();
        let mut new = Vec::new();
        for record in batch * RECORDS..(batch + 1) * RECORDS {
            if !reader.contains(&id(record))? {
                let blob = store.put_blob(&[u8::try_from(record % 2).unwrap()], body(record))?;
                new.push(record_of(record, &blob));
            }
        }
        let frames = if batch % 3 == 1 { 1 } else { new.len().max(1) };
        let mut records = Vec::new();
        for frame in new.chunks(frames) {
            for record in store.append(frame.to_vec())? {
                assert!(self.given.insert(record.seq), "{} was given out twice", record.seq);
                records.push(record);
            }
        }
        // As the store does by itself when many pieces wait for the index: none of these are durable.
        if batch.is_multiple_of(2) {
            store.apply(store.applied(), Vec::new())?;
        }
        store.sync()?;
        for record in batch * RECORDS..(batch + 1) * RECORDS {
            let seq = reader.record_by_id(&id(record))?.expect("it was just synced").seq;
            self.acknowledged.insert(record, seq);
        }
        // Sometimes the index is left behind for a while.
        if batch % 4 != 2 {
            publish(store)?;
        }
        Ok(())
    }

    /// Takes for acknowledged what a replay finds, as a caller does after opening.
    pub(super) fn acknowledge_found(&mut self, store: &Store) {
        self.acknowledged.extend(self.check_all(store).records);
    }

    /// Checks all that was promised, damage aside.
    pub(super) fn check(&self, store: &Store) {
        let found = self.check_all(store);
        assert_eq!(found.damaged, [], "damage where there is none");
        for (record, seq) in &self.acknowledged {
            assert_eq!(found.records.get(record), Some(seq), "acknowledged record {record}");
            assert_blob(&store.reader(), *record);
        }
        for record in found.records.keys() {
            assert_blob(&store.reader(), *record);
        }
    }

    /// Checks what must hold whatever the damage: no wrong byte, nothing twice.
    pub(super) fn check_all(&self, store: &Store) -> Found {
        let reader = store.reader();
        let mut found = Found::default();
        let mut last = 0;
        let report = reader.replay(1, &mut |record| {
            let name = number(&record.id);
            assert!(record.seq > last, "{} after {last}", record.seq);
            last = record.seq;
            found.places.insert(name, record.locator);
            assert!(found.records.insert(name, record.seq).is_none(), "record {name} is there twice");
            let Record { kind, schema, id, at_ns, body, .. } = record.clone();
            assert_eq!(&NewRecord { kind, schema, id, at_ns, body }, expected(name));
            Ok(())
        });
        found.damaged = report.unwrap().damaged;
        assert!(store.last_seq() >= last);
        for (record, seq) in &self.acknowledged {
            assert!(store.last_seq() >= *seq);
            match reader.record_by_id(&id(*record)) {
                Ok(Some(read)) => assert_eq!((&read.id, &read.body), (&id(*record), &expected(*record).body)),
                Ok(None) | Err(_) => {
                    assert!(!found.records.contains_key(record), "record {record} by its name");
                }
            }
        }
        found
    }
}

/// Brings views up to the journal.
pub(super) fn publish(views: &mut impl ViewWriter) -> Result<()> {
    let mut records = Vec::new();
    views.reader().replay(views.applied() + 1, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    let Some(last) = records.last().map(|record| record.seq) else { return Ok(()) };
    views.reindex(&records);
    views.apply(last, records.iter().map(view).collect())
}

/// The body that a record names.
pub(super) fn named(record: &Record) -> BlobRef {
    blob(number(&record.id))
}

/// What a whole replay gave.
#[derive(Default)]
pub(super) struct Found {
    /// Records and their sequence numbers.
    pub(super) records: BTreeMap<u64, u64>,
    pub(super) places: BTreeMap<u64, Locator>,
    pub(super) damaged: Vec<Damage>,
}

/// Checks the bodies of all batches from one on.
pub(super) fn assert_rights(store: &Store, batch: u64) {
    for record in batch * RECORDS..(batch + 2) * RECORDS {
        assert_blob(&store.reader(), record);
    }
}

fn assert_blob(reader: &Reader, record: u64) {
    let blob =
        BlobRef { id: expected(record).body[..32].try_into().unwrap(), len: body(record).len() as u64 };
    match reader.blob(&blob) {
        Ok(read) => assert!(read == body(record), "wrong bytes in the body of record {record}"),
        Err(error) => panic!("the body of record {record}: {error}"),
    }
}
