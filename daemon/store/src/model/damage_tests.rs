//! F09, F10: bytes rot, ends and files go missing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::workload::{Caller, Machine, assert_rights, blob, body};
use super::{Random, context, seeds};
use crate::error::StoreError;
use crate::types::Locator;

const BATCHES: u64 = 8;
const CASES: u64 = 500;

/// A store that was used for a while, closed, and used again; and where its records are.
struct Used {
    machine: Machine,
    caller: Caller,
    places: BTreeMap<u64, Locator>,
}

impl Used {
    fn new() -> Self {
        let (machine, mut caller) = (Machine::new(1), Caller::default());
        let mut places = BTreeMap::new();
        for upto in [BATCHES / 2, BATCHES] {
            let (mut store, _) = machine.open().unwrap();
            caller.catch_up(&mut store).unwrap();
            caller.run(&mut store, upto, 1).unwrap();
            places = caller.check_all(&store).places;
        }
        Self { machine, caller, places }
    }

    /// Whether a record's frame has some of the bytes of a file that were harmed.
    fn is_hit(&self, record: u64, path: &Path, harmed: &Range<usize>) -> bool {
        let at = self.places[&record];
        let next = self.places.values().filter(|p| p.segment == at.segment && p.offset > at.offset);
        let end = next.map(|next| next.offset).min().unwrap_or(u32::MAX) as usize;
        path.ends_with(format!("journal/{:08}.log", at.segment))
            && harmed.start < end
            && harmed.end > at.offset as usize
    }
}

/// What was done to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flipped(usize),
    Cut(usize),
    Zeroed(usize),
    Removed,
}

impl Harm {
    fn apply(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        match self {
            Self::Flipped(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
            Self::Cut(len) => bytes.truncate(len),
            Self::Zeroed(from) => {
                let to = bytes.len().min(from + 4_096);
                bytes[from..to].fill(0);
            }
            Self::Removed => return None,
        }
        Some(bytes)
    }

    /// The bytes that are not what they were.
    fn range(self) -> Range<usize> {
        match self {
            Self::Flipped(bit) => bit / 8..bit / 8 + 1,
            Self::Cut(len) => len..usize::MAX,
            Self::Zeroed(from) => from..from + 4_096,
            Self::Removed => 0..usize::MAX,
        }
    }
}

/// Opens what is left, and checks that nothing wrong is served, that what is missing is reported, and that it goes on.
fn check(used: &Used, machine: &Machine, path: &Path, harm: Harm) {
    let mut caller = used.caller.clone();
    let (mut store, opened) = machine.open().unwrap();
    caller.catch_up(&mut store).unwrap();
    let found = caller.check_all(&store);
    let lost: Vec<_> =
        caller.acknowledged.iter().filter(|(record, _)| !found.records.contains_key(record)).collect();
    assert!(lost.is_empty() || opened.damaged > 0 || !found.damaged.is_empty(), "{lost:?} lost in silence");
    for (record, _) in &lost {
        assert!(used.is_hit(**record, path, &harm.range()), "record {record} was not in what was harmed");
    }
    for (record, seq) in &found.records {
        assert_eq!(caller.acknowledged.get(record), Some(seq));
    }
    let reader = store.reader();
    let mut gone = 0;
    for record in caller.acknowledged.keys() {
        match reader.blob(&blob(*record)) {
            Ok(bytes) => assert!(bytes == body(*record), "wrong bytes"),
            Err(StoreError::Damaged { .. }) => gone += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(gone == 0 || reader.stats().unwrap().damaged > 0, "{gone} bodies lost in silence");
    assert!(gone == 0 || path.starts_with("/state/ccd/v1/packs"), "{gone} bodies lost");
    // It goes on, and what is written now is safe.
    let newest = store.last_seq();
    for (record, seq) in lost {
        assert!(newest >= *seq, "the number of record {record} would be used again");
    }
    caller.acknowledged.retain(|record, _| found.records.contains_key(record));
    caller.run(&mut store, BATCHES + 2, 1).unwrap();
    assert_rights(&store, BATCHES);
    drop(store);
    let (mut store, _) = machine.open().unwrap();
    caller.catch_up(&mut store).unwrap();
    let found = caller.check_all(&store);
    assert!(caller.acknowledged.iter().all(|(record, seq)| found.records.get(record) == Some(seq)));
    assert_rights(&store, BATCHES);
}

fn harm(used: &Used, path: &Path, bytes: &[u8], harm: Harm, keeps_index: bool) {
    let batches = if keeps_index { used.machine.index.batches() } else { 0 };
    let hurt = Machine { fs: used.machine.fs.killed(), index: used.machine.index.after(batches) };
    hurt.fs.put(path, harm.apply(bytes));
    let case = format!("{}, {harm:?}, index kept: {keeps_index}", path.display());
    context(&case, || check(used, &hurt, path, harm));
}

/// Every file that has bytes, and what is in it; the longer, the likelier.
fn pick<'a>(files: &'a [(PathBuf, Vec<u8>)], random: &mut Random) -> (&'a Path, &'a [u8], usize) {
    let total = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut at = random.below(total);
    for (path, bytes) in files {
        if at < bytes.len() {
            return (path, bytes, at);
        }
        at -= bytes.len();
    }
    unreachable!("it is less than the total")
}

fn many(make: impl Fn(&[u8], usize, &mut Random) -> Harm) {
    let used = Used::new();
    let files = used.machine.fs.files();
    for seed in seeds(CASES) {
        let mut random = Random(seed);
        let (path, bytes, at) = pick(&files, &mut random);
        let what = make(bytes, at, &mut random);
        harm(&used, path, bytes, what, random.coin());
    }
}

#[test]
fn any_bit_may_rot() {
    many(|_, at, random| Harm::Flipped(at * 8 + random.below(8)));
}

#[test]
fn any_end_may_go_missing() {
    many(|_, at, _| Harm::Cut(at));
}

#[test]
fn any_block_may_turn_to_zeros() {
    many(|_, at, random| if random.coin() { Harm::Zeroed(at) } else { Harm::Zeroed(at / 4_096 * 4_096) });
}

#[test]
fn any_file_may_go_missing() {
    let used = Used::new();
    let files = used.machine.fs.files();
    assert!(files.len() >= 6, "{} files", files.len());
    for (path, bytes) in &files {
        for keeps_index in [false, true] {
            harm(&used, path, bytes, Harm::Removed, keeps_index);
        }
    }
}
