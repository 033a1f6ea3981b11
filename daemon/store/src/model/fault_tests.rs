//! F05, F06, F07: any call fails, once or from then on, and then no more.

use super::crash_tests::{come_up, crashed};
use super::fs::{Call, Failure, Fault, Survival};
use super::workload::{Caller, Machine};
use super::{Random, context, seeds, soak};

const BATCHES: u64 = 6;
/// How often a caller does again what failed, while nothing else fails.
const TRIES: usize = 3;
/// How many calls of a kind are made to fail, each in a run of its own.
const MOST: u64 = 200;

fn run(fault: Fault, seed: u64) {
    let (machine, mut caller) = (Machine::new(seed), Caller::default());
    machine.fs.inject(Some(fault));
    let opened = if fault.stays { machine.open() } else { machine.open().or_else(|_| machine.open()) };
    if opened.is_err() {
        assert!(fault.stays);
        machine.fs.inject(None);
    }
    let mut store = opened.or_else(|_| machine.open()).unwrap().0;
    if fault.stays {
        // What fails is not acknowledged, and goes on as soon as the fault is gone.
        let failed = caller.run(&mut store, BATCHES, TRIES).is_err();
        assert!(!failed || machine.fs.failed() > 0);
        machine.fs.inject(None);
    }
    caller.run(&mut store, BATCHES, TRIES).unwrap();
    machine.fs.inject(None);
    caller.check(&store);
    drop(store);

    let mut random = Random(seed);
    what_is_found_is_safe(&machine, caller.clone(), &mut random);

    let survival = Survival::ALL[random.below(Survival::ALL.len())];
    let machine = crashed(&machine, survival, &mut random);
    let mut store = come_up(&machine, &mut caller);
    caller.run(&mut store, BATCHES + 2, 1).unwrap();
    caller.check(&store);
}

/// The process starts again and goes on, and then the power goes: what was found is there still.
fn what_is_found_is_safe(machine: &Machine, mut caller: Caller, random: &mut Random) {
    let killed = Machine { fs: machine.fs.killed(), index: machine.index.clone() };
    let mut store = come_up(&killed, &mut caller);
    caller.acknowledge_found(&store);
    // What is put again counts as stored already.
    caller.run(&mut store, BATCHES, 1).unwrap();
    drop(store);
    drop(come_up(&crashed(&killed, Survival::None, random), &mut caller));
}

/// How many calls of this kind a run makes in which nothing fails.
fn calls(call: Call) -> u64 {
    let (machine, mut caller) = (Machine::new(0), Caller::default());
    let (mut store, _) = machine.open().unwrap();
    caller.run(&mut store, BATCHES, 1).unwrap();
    machine.fs.count(call)
}

fn every(call: Call, failures: &[Failure], step: u64) {
    let calls = calls(call);
    assert!(calls > 0, "{call:?} is never called");
    let step = if soak() > 1 { 1 } else { step };
    let mut cases = 0;
    for seed in seeds(1) {
        for at in (0..calls.min(MOST)).step_by(usize::try_from(step).unwrap()) {
            for &failure in failures {
                for stays in [false, true] {
                    let fault = Fault { call, at, failure, stays, dies: false };
                    context(&format!("seed {seed}, {fault:?} of {calls}"), || run(fault, seed << 32 | at));
                    cases += 1;
                }
            }
        }
    }
    assert!(cases >= calls.min(MOST) / step, "{cases} cases");
}

use Failure::{Eintr, Eio, Enospc, Short};

#[test]
fn any_write_may_fail() {
    every(Call::Write, &[Eio, Enospc, Short, Eintr], 1);
}

#[test]
fn any_sync_may_fail() {
    every(Call::Sync, &[Eio, Enospc, Eintr], 1);
}

/// The system takes what a failed sync did not write for written, and goes on showing it to the next process.
#[test]
fn a_process_may_die_of_a_failed_sync() {
    for seed in seeds(4) {
        for at in 0..calls(Call::Sync) {
            let (machine, mut caller) = (Machine::new(seed << 32 | at), Caller::default());
            machine.fs.inject(Some(Fault { call: Call::Sync, at, failure: Eio, stays: false, dies: true }));
            let done = machine.open().and_then(|(mut store, _)| caller.run(&mut store, BATCHES, 1));
            assert!(done.is_err());
            let mut random = Random(at);
            context(&format!("seed {seed}, sync {at}"), || {
                what_is_found_is_safe(&machine, caller, &mut random);
            });
        }
    }
}

#[test]
fn any_change_of_a_length_may_fail() {
    every(Call::SetLen, &[Eio, Eintr], 1);
    every(Call::Allocate, &[Eio, Enospc, Short, Eintr], 1);
}

#[test]
fn any_change_of_a_directory_may_fail() {
    every(Call::MakeDir, &[Eio, Enospc], 1);
    every(Call::SyncDir, &[Eio, Enospc, Eintr], 1);
}

#[test]
fn any_read_may_fail() {
    every(Call::Read, &[Eio, Short, Eintr], 7);
}

#[test]
fn any_opening_or_look_may_fail() {
    every(Call::Open, &[Eio, Eintr], 3);
    every(Call::List, &[Eio], 1);
    every(Call::Stat, &[Eio], 3);
}
