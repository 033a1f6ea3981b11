//! F02 and F04 while the past is let go of: the power goes, or a call fails, at every change that pruning makes.

use super::crash_tests::crashed;
use super::fs::{Call, Failure, Fault, Survival};
use super::workload::{Caller, Machine, named, publish};
use super::{Random, context, seeds};
use crate::error::Result;
use crate::prune::PackUse;
use crate::store::Store;

const BATCHES: u64 = 10;
const SUMS: &[u8] = b"what is left of them";

fn filled(seed: u64) -> (Machine, Caller, Store) {
    let (machine, mut caller) = (Machine::new(seed), Caller::default());
    let (mut store, _) = machine.open().unwrap();
    caller.run(&mut store, BATCHES, 1).unwrap();
    (machine, caller, store)
}

/// Where the journal would begin after pruning.
fn cut(store: &Store) -> (u32, u64) {
    let segments = store.reader().segments();
    let half = &segments[segments.len() / 2];
    (half.number, half.first_seq)
}

/// Lets go of half the journal, and of every pack that is not needed whole.
fn prune(store: &mut Store, segment: u32) -> Result<()> {
    let mut builder = store.begin_generation(1, Some(segment))?;
    builder.index_packs(&mut |_| ())?;
    publish(&mut builder)?;
    store.adopt(builder, Some(SUMS))?;
    let reader = store.reader();
    let mut used = PackUse::default();
    reader.replay(1, &mut |record| used.mark(&reader, &named(&record)))?;
    let leaving: Vec<u32> =
        used.shares(&reader)?.iter().filter(|s| s.needed + 32 < s.bytes).map(|s| s.number).collect();
    store.leave(&leaving);
    for pack in leaving {
        let mut moves = used.needed(&reader, pack)?;
        while !moves.is_empty() {
            store.move_blocks(&mut moves, 500)?;
        }
        store.drop_pack(pack)?;
    }
    Ok(())
}

/// Opens; whether the records before `first` are gone, as they may be, all of them.
fn come_up(machine: &Machine, caller: &mut Caller, first: u64) -> Store {
    let (mut store, report) = machine.open().unwrap();
    assert_eq!(report.damage, [], "damage where there is none");
    caller.catch_up(&mut store).unwrap();
    if store.carry().unwrap() == SUMS {
        caller.acknowledged.retain(|_, seq| *seq >= first);
        assert!(!caller.acknowledged.is_empty());
    }
    caller.check(&store);
    store
}

/// What was let go of is not appended again by the caller; everything else goes on.
fn go_on(machine: &Machine, mut caller: Caller, first: u64, random: &mut Random) {
    let mut store = come_up(machine, &mut caller, first);
    caller.run(&mut store, BATCHES + 3, 1).unwrap();
    caller.check(&store);
    let segment = cut(&store).0;
    prune(&mut store, segment).unwrap();
    let second = store.reader().segments()[0].first_seq;
    drop(store);
    let survival = Survival::ALL[random.below(Survival::ALL.len())];
    drop(come_up(&crashed(machine, survival, random), &mut caller, second));
}

#[test]
fn power_may_go_while_the_past_is_let_go_of() {
    let mut cases = 0;
    for seed in seeds(1) {
        for changes in 0.. {
            let (machine, caller, mut store) = filled(seed);
            let (segment, first) = cut(&store);
            machine.fs.crash_at(machine.fs.changes() + changes);
            let done = prune(&mut store, segment);
            assert_eq!(done.is_err(), machine.fs.is_down(), "{done:?}");
            drop(store);
            for survival in Survival::ALL {
                let mut random = Random(seed << 32 | changes << 8 | survival as u64);
                let machine = crashed(&machine, survival, &mut random);
                let state = format!("seed {seed}, change {changes}, {survival:?}");
                context(&state, || go_on(&machine, caller.clone(), first, &mut random));
                cases += 1;
            }
            if !machine.fs.is_down() {
                break;
            }
        }
    }
    assert!(cases > 100, "{cases} cases");
}

#[test]
fn any_call_may_fail_while_the_past_is_let_go_of() {
    let mut cases = 0;
    for call in Call::ALL {
        for failure in [Failure::Eio, Failure::Enospc] {
            for nth in 0..200 {
                let (machine, mut caller, mut store) = filled(7);
                let (segment, first) = cut(&store);
                machine.fs.inject(Some(Fault { call, at: nth, failure, stays: false, dies: false }));
                let done = prune(&mut store, segment);
                if machine.fs.failed() == 0 {
                    break;
                }
                cases += 1;
                context(&format!("{call:?} {nth} {failure:?}: {done:?}"), || {
                    // The running process goes on, and so does the next one.
                    if store.carry().unwrap() == SUMS {
                        caller.acknowledged.retain(|_, seq| *seq >= first);
                    }
                    caller.run(&mut store, BATCHES + 2, 2).unwrap();
                    caller.check(&store);
                    drop(store);
                    drop(come_up(&machine, &mut caller, first));
                });
            }
        }
    }
    assert!(cases > 50, "{cases} cases");
}
