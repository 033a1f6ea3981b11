//! F04: the power goes at every change the workload makes, and again while the store comes up.

use super::fs::Survival;
use super::workload::{Caller, Machine};
use super::{Random, context, seeds};
use crate::store::Store;

const BATCHES: u64 = 11;

/// Runs the workload until the power goes, or to its end. Gives how many changes it made.
fn run_until(changes: Option<u64>, seed: u64) -> (Machine, Caller, u64) {
    let (machine, mut caller) = (Machine::new(seed), Caller::default());
    if let Some(changes) = changes {
        machine.fs.crash_at(changes);
    }
    let done = machine.open().and_then(|(mut store, _)| caller.run(&mut store, BATCHES, 1));
    assert_eq!(done.is_err(), machine.fs.is_down(), "{done:?}");
    let made = machine.fs.changes();
    (machine, caller, made)
}

/// The machine after the power came back, with an index of some age.
pub(super) fn crashed(machine: &Machine, survival: Survival, random: &mut Random) -> Machine {
    let age = match random.below(3) {
        0 => 0,
        1 => machine.index.batches(),
        _ => random.below(machine.index.batches() + 1),
    };
    Machine { fs: machine.fs.crashed(survival, random.next()), index: machine.index.after(age) }
}

/// Opens, brings the views up to date, and checks everything.
pub(super) fn come_up(machine: &Machine, caller: &mut Caller) -> Store {
    let (mut store, report) = machine.open().unwrap();
    assert_eq!(report.damage, [], "damage where there is none");
    caller.catch_up(&mut store).unwrap();
    caller.check(&store);
    store
}

fn go_on(machine: &Machine, mut caller: Caller, random: &mut Random) {
    let mut store = come_up(machine, &mut caller);
    caller.run(&mut store, BATCHES + 3, 1).unwrap();
    caller.check(&store);
    drop(store);
    let survival = Survival::ALL[random.below(Survival::ALL.len())];
    let machine = crashed(machine, survival, random);
    drop(come_up(&machine, &mut caller));
}

#[test]
fn power_may_go_at_any_change_and_come_back_to_any_state() {
    let all = run_until(None, 0).2;
    let mut cases = 0;
    for seed in seeds(1) {
        for changes in 0..all {
            let (machine, caller, _) = run_until(Some(changes), seed);
            for survival in Survival::ALL {
                let mut random = Random(seed << 32 | changes << 8 | survival as u64);
                let machine = crashed(&machine, survival, &mut random);
                let state = format!("seed {seed}, change {changes} of {all}, {survival:?}");
                context(&state, || go_on(&machine, caller.clone(), &mut random));
                cases += 1;
            }
        }
    }
    assert!(cases >= all * 5 && all > 60, "{cases} cases, {all} changes");
}

#[test]
fn power_may_go_again_while_the_store_comes_up() {
    let all = run_until(None, 0).2;
    let mut cases = 0;
    for seed in seeds(1) {
        for changes in (0..all).step_by(5) {
            let (machine, caller, _) = run_until(Some(changes), seed);
            let mut random = Random(seed << 32 | changes);
            let first = crashed(&machine, Survival::Any, &mut random);
            for again in 0.. {
                let second = crashed(&first, Survival::All, &mut random);
                let before = second.fs.changes();
                second.fs.crash_at(before + again);
                let opened = second.open().map(drop);
                assert!(opened.is_ok() || second.fs.is_down());
                let survival = Survival::ALL[random.below(Survival::ALL.len())];
                let third = crashed(&second, survival, &mut random);
                let state = format!("seed {seed}, change {changes} of {all}, then {again}, {survival:?}");
                context(&state, || go_on(&third, caller.clone(), &mut random));
                cases += 1;
                if !second.fs.is_down() {
                    break;
                }
            }
        }
    }
    assert!(cases > all, "{cases} cases, {all} changes");
}
