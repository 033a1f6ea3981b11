//! One property drives the engines: they answer alike, whatever is done to them, and after a restart they are a state
//! that there was, which the state row names. Then damage, and what a crash leaves.
#![allow(clippy::cast_possible_truncation)]

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{Index, LayeredIndex, MemIndex, Row};
use crate::error::StoreError;
use crate::files;
use crate::recover::{Found, IndexDir};
use crate::types::{Mutation, Options};

const STATE: &[u8] = b"\x00";

fn options(head_mutations: usize) -> Options {
    Options { head_mutations, ..Options::default() }
}

fn open(dir: &Path, head_mutations: usize) -> (LayeredIndex, Found) {
    IndexDir::new(dir).open(&options(head_mutations)).unwrap()
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0x20_u8..0x24, 1..4)
}

fn batch() -> impl Strategy<Value = Vec<Mutation>> {
    let put = (key(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, v)| Mutation::Put(k, v));
    prop::collection::vec(prop_oneof![3 => put, 1 => key().prop_map(Mutation::Delete)], 0..20)
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Mutation>),
    Flush,
    Reopen,
    /// As a kill leaves it: the files as they are while it is open.
    Kill,
    LoseHead,
    DamageHead,
    BreakHead,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => batch().prop_map(Step::Apply),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => Just(Step::LoseHead),
        1 => Just(Step::DamageHead),
        1 => Just(Step::BreakHead),
    ]
}

/// What the first batches make.
fn model(batches: &[Vec<Mutation>]) -> MemIndex {
    let model = MemIndex::default();
    for batch in batches {
        model.apply(batch.clone()).unwrap();
    }
    model
}

fn with_state(mut batch: Vec<Mutation>, number: usize) -> Vec<Mutation> {
    batch.push(Mutation::Put(STATE.to_vec(), (number as u64).to_be_bytes().to_vec()));
    batch
}

/// How many batches an index says that it holds.
fn state(index: &dyn Index) -> usize {
    index.get(STATE).unwrap().map_or(0, |n| u64::from_be_bytes(n.try_into().unwrap()) as usize)
}

fn rows(index: &dyn Index, from: &[u8], to: &[u8]) -> Vec<Row> {
    index.scan(from, to).map(Result::unwrap).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (path, is_dir) in files::entries(from).unwrap() {
        let target = to.join(path.file_name().unwrap());
        if is_dir {
            copy(&path, &target);
        } else {
            // The merging thread removes files meanwhile, as it does while a process is killed.
            drop(std::fs::copy(path, target));
        }
    }
}

fn head(dir: &Path) -> PathBuf {
    let generation = generation(dir);
    files::named(&generation, "head-", "").unwrap().pop().unwrap().1
}

fn generation(dir: &Path) -> PathBuf {
    files::numbered(&dir.join("index"), "").unwrap().pop().unwrap().1
}

/// The index in a directory, and all batches ever applied to it.
struct Driven {
    dir: tempfile::TempDir,
    index: Option<LayeredIndex>,
    head_mutations: usize,
    batches: Vec<Vec<Mutation>>,
}

impl Driven {
    fn new(head_mutations: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let index = Some(open(dir.path(), head_mutations).0);
        Self { dir, index, head_mutations, batches: Vec::new() }
    }

    fn index(&self) -> &LayeredIndex {
        self.index.as_ref().unwrap()
    }

    fn apply(&mut self, batch: Vec<Mutation>) {
        let batch = with_state(batch, self.batches.len() + 1);
        self.index().apply(batch.clone()).unwrap();
        self.batches.push(batch);
    }

    /// Opens again, checks that it is a state that there was, and replays the rest.
    fn reopen(&mut self) {
        let (index, _) = open(self.dir.path(), self.head_mutations);
        let known = state(&index);
        let (old, lost) = self.batches.split_at(known);
        assert_eq!(rows(&index, b"", b"\xff"), rows(&model(old), b"", b"\xff"));
        for batch in lost {
            index.apply(batch.clone()).unwrap();
        }
        self.index = Some(index);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Apply(batch) => self.apply(batch),
            Step::Flush => self.index().flush().unwrap(),
            Step::Reopen => {
                self.index = None;
                self.reopen();
            }
            Step::Kill => {
                // A copy is not made in an instant: no merge may switch over meanwhile.
                self.index().wait_for_merge();
                let copied = tempfile::tempdir().unwrap();
                copy(self.dir.path(), copied.path());
                self.index = None;
                self.dir = copied;
                self.reopen();
            }
            Step::LoseHead => {
                self.index = None;
                std::fs::remove_dir_all(head(self.dir.path())).unwrap();
                self.reopen();
            }
            Step::DamageHead => {
                self.index = None;
                std::fs::write(head(self.dir.path()).join("db"), [0xA5; 5_000]).unwrap();
                self.reopen();
            }
            Step::BreakHead => {
                self.index().break_head();
                assert!(self.index().mend().unwrap());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_engines_answer_alike(
        head_mutations in 1_usize..60,
        steps in prop::collection::vec(step(), 1..16),
        probes in prop::collection::vec((key(), key(), any::<u64>()), 1..12),
    ) {
        let mut driven = Driven::new(head_mutations);
        for step in steps {
            driven.step(step);
        }
        let model = model(&driven.batches);
        let engines: [&dyn Index; 2] = [&model, driven.index()];
        for (a, b, turns) in probes {
            let [model, real] = engines.map(|engine| {
                let forth = rows(engine, &a, &b);
                let back: Vec<_> = engine.scan(&a, &b).rev().map(Result::unwrap).collect();
                let mut scan = engine.scan(&a, &b);
                let mut turns = (0..64).cycle().map(|n| turns >> n & 1 == 0);
                let mixed: Vec<_> = std::iter::from_fn(|| {
                    if turns.next().unwrap() { scan.next() } else { scan.next_back() }
                }).map(Result::unwrap).collect();
                (engine.get(&a).unwrap(), forth, back, mixed)
            });
            prop_assert_eq!(model, real);
        }
    }
}

/// Enough rows for several pages and groups, in runs of several sizes and in the head.
fn filled() -> Driven {
    let mut driven = Driven::new(3_000);
    let mut numbers = 0_u64..;
    for batch in 0..23_u64 {
        let mut mutations: Vec<_> = numbers
            .by_ref()
            .take(500)
            .map(|n| {
                Mutation::Put(blake3::hash(&n.to_le_bytes()).as_bytes()[..17].to_vec(), vec![n as u8; 40])
            })
            .collect();
        mutations.push(Mutation::Put(b"\x30often".to_vec(), vec![batch as u8; 900]));
        mutations
            .push(Mutation::Delete(blake3::hash(&(batch * 400).to_le_bytes()).as_bytes()[..17].to_vec()));
        driven.apply(mutations);
    }
    driven.index().wait_for_merge();
    driven
}

#[test]
fn many_rows_are_found_and_absent_ones_are_not() {
    let driven = filled();
    let model = model(&driven.batches);
    assert!(driven.index().runs() >= 2);
    assert_eq!(rows(driven.index(), b"", b"\xff\xff"), rows(&model, b"", b"\xff\xff"));
    for n in 0..12_500_u64 {
        let hash = blake3::hash(&n.to_le_bytes());
        let key = &hash.as_bytes()[..17];
        assert_eq!(driven.index().get(key).unwrap(), model.get(key).unwrap());
    }
}

#[test]
fn what_a_crash_leaves_is_removed_and_does_not_matter() {
    let mut driven = filled();
    driven.index = None;
    let generation = generation(driven.dir.path());
    let runs = files::numbered(&generation.join("runs"), ".run").unwrap();
    // A fold or merge that got as far as a part of its run, all of it, a head, a `current` beside the other.
    std::fs::write(generation.join("runs/000900.run"), b"half of it").unwrap();
    std::fs::copy(&runs[0].1, generation.join("runs/000901.run")).unwrap();
    copy(&head(driven.dir.path()), &generation.join("head-902"));
    std::fs::write(generation.join("current.new"), b"half of it").unwrap();
    let expected = driven.batches.len();
    let (index, found) = open(driven.dir.path(), 3_000);
    assert!(matches!(found, Found::Intact));
    assert_eq!(state(&index), expected);
    assert_eq!(files::numbered(&generation.join("runs"), ".run").unwrap(), runs);
    assert_eq!(files::named(&generation, "head-", "").unwrap().len(), 1);
    assert!(!generation.join("current.new").exists());
    // And their numbers are not used again.
    index
        .apply(with_state(
            (0..3_000_u32).map(|n| Mutation::Put(n.to_be_bytes().to_vec(), vec![])).collect(),
            1,
        ))
        .unwrap();
    assert!(files::named(&generation, "head-", "").unwrap().pop().unwrap().0 > 902);
}

#[test]
fn a_head_that_cannot_be_opened_costs_only_the_recent_rows() {
    let mut driven = filled();
    driven.index = None;
    for (path, _) in
        files::entries(&head(driven.dir.path())).unwrap().into_iter().filter(|(_, is_dir)| !is_dir)
    {
        std::fs::write(path, vec![0xA5; 70_000]).unwrap();
    }
    let (index, found) = open(driven.dir.path(), 3_000);
    assert!(matches!(found, Found::Repaired(_)));
    let known = state(&index);
    assert!(known > 0 && known < driven.batches.len());
    drop(index);
    assert!(driven.dir.path().join("quarantine-1").is_dir());
    driven.reopen();
    assert_eq!(state(driven.index()), driven.batches.len());
}

/// What is true of a system, not of the files, is no reason to throw them away.
#[test]
fn an_index_that_is_in_use_or_forbidden_is_not_set_aside() {
    let mut driven = filled();
    driven.index = None;
    let run = files::numbered(&generation(driven.dir.path()).join("runs"), ".run").unwrap().remove(0).1;
    let elsewhere = driven.dir.path().join("elsewhere");
    std::fs::rename(&run, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&run, &run).unwrap();
    let error = IndexDir::new(driven.dir.path()).open(&options(3_000)).err().unwrap();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    std::fs::remove_file(&run).unwrap();
    std::fs::rename(elsewhere, run).unwrap();
    driven.reopen();
    assert_eq!(state(driven.index()), driven.batches.len());
}

#[test]
fn a_fold_that_fails_leaves_nothing_and_is_tried_again() {
    let mut driven = Driven::new(100);
    let put = |n: u8| (0..60).map(|key| Mutation::Put(vec![0x20, n, key], vec![n])).collect();
    driven.apply(put(0));
    let generation = generation(driven.dir.path());
    // What is to become `current` cannot be written.
    std::fs::create_dir(generation.join("current.new")).unwrap();
    for n in 1..4 {
        driven.apply(put(n));
        assert_eq!(driven.index().runs(), 0);
        assert!(files::numbered(&generation.join("runs"), ".run").unwrap().is_empty());
    }
    assert_eq!(driven.index().scan(b"\x20", b"\x21").count(), 240);
    std::fs::remove_dir(generation.join("current.new")).unwrap();
    driven.apply(put(4));
    assert_eq!(driven.index().runs(), 1);
    driven.index = None;
    driven.reopen();
    assert_eq!(driven.index().scan(b"\x20", b"\x21").count(), 300);
}

/// Any byte flipped, any end cut off, any page zeroed, in any file: no panic, and no wrong row.
#[test]
fn damage_anywhere_gives_errors_or_a_new_index() {
    let mut driven = filled();
    driven.index = None;
    let generation = generation(driven.dir.path());
    let mut victims = vec![generation.join("current"), head(driven.dir.path()).join("db")];
    victims
        .extend(files::numbered(&generation.join("runs"), ".run").unwrap().into_iter().map(|(_, path)| path));
    let probes: Vec<_> = rows(&model(&driven.batches), b"", b"\xff\xff").into_iter().step_by(97).collect();
    let mut noticed = 0;
    for (victim, turn) in victims.iter().flat_map(|victim| (0..15_u64).map(move |turn| (victim, turn))) {
        let copied = tempfile::tempdir().unwrap();
        copy(driven.dir.path(), copied.path());
        let target = copied.path().join(victim.strip_prefix(driven.dir.path()).unwrap());
        let mut bytes = std::fs::read(&target).unwrap();
        let random = blake3::hash(format!("{turn} {}", bytes.len()).as_bytes());
        let at = u64::from_le_bytes(*random.as_bytes().first_chunk().unwrap()) as usize % bytes.len();
        match turn % 3 {
            0 => bytes[at] ^= 1 << (turn % 8),
            1 => bytes.truncate(at),
            _ => {
                let end = bytes.len().min(at + 4_096);
                bytes[at..end].fill(0);
            }
        }
        std::fs::write(&target, bytes).unwrap();
        let (index, found) = open(copied.path(), 3_000);
        let Ok(known) = index.get(STATE) else { continue };
        let known = known.map_or(0, |n| u64::from_be_bytes(n.try_into().unwrap()) as usize);
        assert!(known == driven.batches.len() || !matches!(found, Found::Intact) || victim.ends_with("db"));
        let expected = model(&driven.batches[..known]);
        let mut damaged = false;
        for (key, _) in &probes {
            match index.get(key) {
                Ok(value) => assert_eq!(value, expected.get(key).unwrap()),
                Err(StoreError::Index(_)) => damaged = true,
                Err(other) => panic!("{other}"),
            }
        }
        let forth: Vec<_> = index.scan(b"", b"\xff\xff").collect();
        damaged |= forth.iter().any(Result::is_err);
        let good: Vec<_> = forth.into_iter().map_while(Result::ok).collect();
        assert!(rows(&expected, b"", b"\xff\xff").starts_with(&good));
        assert!(damaged || good.len() == rows(&expected, b"", b"\xff\xff").len());
        drop(index);
        if damaged {
            noticed += 1;
            let (index, found) = open(copied.path(), 3_000);
            assert!(matches!(found, Found::Replaced(_)));
            assert_eq!(state(&index), 0);
        }
    }
    assert!(noticed > 5, "only {noticed} were noticed while reading");
}

/// Rows that stay are seen exactly once, whatever is folded and merged meanwhile.
#[test]
fn readers_see_every_row_while_runs_come_and_go() {
    let driven = Driven::new(200);
    let fixed: Vec<_> = (0..300_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let put = |n: u32| {
        fixed.iter().map(|key| Mutation::Put(key.clone(), n.to_be_bytes().to_vec())).collect::<Vec<_>>()
    };
    driven.index().apply(put(0)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = |back: bool| {
            let (index, fixed, done) = (driven.index(), &fixed, &done);
            move || {
                let mut last = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let scan = index.scan(b"\x00", b"\x01");
                    let mut keys: Vec<_> = if back {
                        scan.rev().map(|row| row.unwrap().0).collect()
                    } else {
                        scan.map(|row| row.unwrap().0).collect()
                    };
                    if back {
                        keys.reverse();
                    }
                    assert_eq!(keys, *fixed);
                    let now = u32::from_be_bytes(index.get(&fixed[7]).unwrap().unwrap().try_into().unwrap());
                    assert!(now >= last);
                    last = now;
                }
            }
        };
        scope.spawn(reader(false));
        scope.spawn(reader(true));
        for n in 1..60 {
            driven.index().apply(put(n)).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    driven.index().wait_for_merge();
    assert!(driven.index().runs() <= 10);
}
