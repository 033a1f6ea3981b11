//! What the store's tests share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use ccd_store::{
    Builder, Mutation, NewRecord, Opened, Options, Record, RecordId, Report, Store, StoreError, ViewWriter,
};

/// Small files, so that tests see many.
pub fn options() -> Options {
    Options { segment_bytes: 64 << 10, head_mutations: 150, ..Options::default() }
}

pub fn id(n: u64) -> RecordId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    id
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| step()).take(len).collect()
}

pub fn new_record(n: u64) -> NewRecord {
    NewRecord { kind: 1, schema: 1, id: id(n), at_ns: 1_700_000_000_000_000_000 + n, body: noise(n, 100) }
}

/// Opens and brings the "views" (one row per record: `r` + id) up to date.
pub fn open_with(dir: &Path, options: Options) -> (Store, Report) {
    let Opened { mut store, report } = Store::open(dir, options).unwrap();
    if store.is_ready() {
        catch_up(&mut store).unwrap();
    } else {
        let builder = built(&mut store, None);
        store.adopt(builder, None).unwrap();
    }
    (store, report)
}

/// Replays what the views lack.
pub fn catch_up(store: &mut impl ViewWriter) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    let reader = store.reader();
    reader.replay(store.applied() + 1, &mut |record| {
        batch.push(record);
        if batch.len() == 256 { project(store, &mut batch) } else { Ok(()) }
    })?;
    project(store, &mut batch)
}

/// A generation of the index from a segment on, complete.
pub fn built(store: &mut Store, from_segment: Option<u32>) -> Builder {
    let mut builder = store.begin_generation(1, from_segment).unwrap();
    builder.index_packs(&mut |_| ()).unwrap();
    catch_up(&mut builder).unwrap();
    builder
}

fn project(store: &mut impl ViewWriter, batch: &mut Vec<Record>) -> Result<(), StoreError> {
    let Some(last) = batch.last() else { return Ok(()) };
    let upto = last.seq;
    store.reindex(batch);
    store.apply(upto, batch.drain(..).flat_map(|record| view(&record)).collect())
}

pub fn open(dir: &Path) -> (Store, Report) {
    open_with(dir, options())
}

pub fn view(record: &Record) -> Vec<Mutation> {
    vec![Mutation::Put([&b"r"[..], &record.id].concat(), record.seq.to_be_bytes().to_vec())]
}

/// Appends, syncs and applies records `from..to`, `batch` at a time.
pub fn fill(store: &mut Store, from: u64, to: u64, batch: usize) -> Vec<Record> {
    let numbers: Vec<u64> = (from..to).collect();
    let mut all = Vec::new();
    for numbers in numbers.chunks(batch) {
        let records = store.append(numbers.iter().map(|n| new_record(*n)).collect()).unwrap();
        store.sync().unwrap();
        let mutations = records.iter().flat_map(view).collect();
        store.apply(records.last().unwrap().seq, mutations).unwrap();
        all.extend(records);
    }
    all
}

/// The ids of all records, as the index sees them.
pub fn views(store: &Store) -> Vec<RecordId> {
    store.reader().scan(b"r", b"s").map(|row| row.unwrap().0[1..].try_into().unwrap()).collect()
}

pub fn replayed(store: &Store) -> Vec<Record> {
    let mut records = Vec::new();
    store
        .reader()
        .replay(1, &mut |record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
    records
}

/// A copy of the store as a kill would leave it.
pub fn copy(from: &Path, to: &Path) {
    // A thread of the index's may be removing what it has no use for any more.
    let gone = |error: &std::io::Error| assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
    let entries = match std::fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) => return gone(&error),
    };
    std::fs::create_dir_all(to).unwrap();
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy(&entry.path(), &target),
            Ok(_) => drop(std::fs::copy(entry.path(), target).map_err(|error| gone(&error))),
            Err(error) => gone(&error),
        }
    }
}

/// The files in one of the store's directories, in order.
pub fn files(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(dir.join("v1").join(name)).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}
