//! Merging runs into larger ones, so that there are never many to look into.
//!
//! Size-tiered: runs are about as large as a fold, four times that, sixteen times, and so on, the oldest the largest;
//! four of a size become one of the next. A row is rewritten about once for each size.
//!
//! Runs once, when a fold has made it necessary, on a thread of its own, which ends when there is nothing more to merge.
//!
//! Must never hold a run in memory, nor leave the index other than it was if it fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layered::Inner;
use super::merged::{Merged, Source};
use super::run::Run;
use super::run_scan::RunScan;
use crate::error::{Result, StoreError};
use crate::files;

/// So many runs of a size are merged.
const FAN: usize = 4;
/// More runs than this are merged even if their sizes differ.
const MOST: usize = 10;
/// The size of a small run.
const UNIT: u64 = 512 << 10;

/// Which runs to merge, of all, the oldest first.
pub(crate) fn plan(runs: &[Arc<Run>]) -> Option<Range<usize>> {
    let sizes: Vec<_> = runs.iter().map(|run| run.bytes()).collect();
    let rows: u64 = runs.iter().map(|run| run.rows()).sum();
    let deleted: u64 = runs.iter().map(|run| run.deleted()).sum();
    plan_sizes(&sizes, rows, deleted)
}

fn plan_sizes(sizes: &[u64], rows: u64, deleted: u64) -> Option<Range<usize>> {
    let tier = |bytes: u64| (bytes / UNIT).max(1).ilog(FAN as u64);
    // What is deleted takes as much room again in older runs.
    if sizes.len() > 1 && deleted > rows / 4 {
        return Some(0..sizes.len());
    }
    let suffix = |most: u32| sizes.iter().rev().take_while(move |bytes| tier(**bytes) <= most);
    let tiers = || 0..=sizes.iter().map(|bytes| tier(*bytes)).max().unwrap_or(0);
    let full = |most: &u32| suffix(*most).filter(|bytes| tier(**bytes) == *most).count() >= FAN;
    let several = |most: &u32| sizes.len() > MOST && suffix(*most).count() > 1;
    let most = tiers().find(full).or_else(|| tiers().find(several))?;
    Some(sizes.len() - suffix(most).count()..sizes.len())
}

/// Merges until there is nothing more to merge.
pub(crate) fn run(inner: &Inner) {
    while !inner.is_damaged() {
        let runs = inner.view().runs.clone();
        let Some(range) = plan(&runs) else { return };
        let oldest = range.start == 0;
        match catch_unwind(AssertUnwindSafe(|| merge(inner, &runs[range], oldest))) {
            Ok(Ok(())) => {}
            Ok(Err(_)) if inner.stop.load(Ordering::Relaxed) => return,
            Ok(Err(error)) => {
                inner.note(&error);
                tracing::warn!(%error, "the index's runs could not be merged; they are used as they are");
                return;
            }
            Err(_) => {
                tracing::error!("merging the index's runs panicked; they are used as they are");
                return;
            }
        }
    }
}

/// Makes `old` one run.
fn merge(inner: &Inner, old: &[Arc<Run>], oldest: bool) -> Result<()> {
    let sources = old
        .iter()
        .rev()
        .map(|run| Ok(Box::new(RunScan::new(Arc::clone(run), b"", None)?) as Box<dyn Source>));
    let merged = Merged::new(sources.collect::<Result<_>>()?);
    let run = inner.write_run(|run| {
        for entry in merged {
            let (key, value) = entry?;
            if inner.stop.load(Ordering::Relaxed) {
                return Err(StoreError::Misuse("merging after the index was dropped"));
            }
            // Below the oldest run there is nothing that a deletion could hide.
            if value.is_some() || !oldest {
                run.push(&key, value.as_deref())?;
            }
        }
        Ok(())
    })?;
    let is_old = |number: u32| old.iter().any(|run| run.number() == number);
    let switched = inner.switch(|current, view| {
        let at = current.runs.iter().position(|number| is_old(*number)).unwrap_or(0);
        current.runs.retain(|number| !is_old(*number));
        current.runs.insert(at, run.number());
        view.runs.retain(|run| !is_old(run.number()));
        view.runs.insert(at, Arc::clone(&run));
    });
    if let Err(error) = switched {
        inner.give_up(&run);
        return Err(error);
    }
    for run in old {
        files::remove(run.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folds of one unit each, with the merges that follow: never many runs, never much rewriting.
    #[test]
    fn there_are_never_many_runs_and_rows_are_rewritten_a_few_times() {
        let mut sizes: Vec<u64> = Vec::new();
        let (mut most, mut rewritten) = (0, 0);
        for _ in 0..1_000 {
            sizes.push(UNIT + UNIT / 2);
            while let Some(range) = plan_sizes(&sizes, 1, 0) {
                let merged = sizes.drain(range).sum::<u64>();
                rewritten += merged;
                sizes.push(merged);
            }
            most = most.max(sizes.len());
        }
        assert!(most <= MOST, "{most} runs");
        assert_eq!(sizes.iter().sum::<u64>(), 1_000 * (UNIT + UNIT / 2));
        assert!(rewritten / (1_000 * UNIT) <= 8, "each row rewritten {} times", rewritten / (1_000 * UNIT));
    }

    #[test]
    fn many_deletions_merge_everything() {
        assert_eq!(plan_sizes(&[100 * UNIT, UNIT], 100, 26), Some(0..2));
        assert_eq!(plan_sizes(&[100 * UNIT, UNIT], 100, 25), None);
        assert_eq!(plan_sizes(&[100 * UNIT], 100, 26), None);
        assert_eq!(plan_sizes(&[], 0, 0), None);
    }
}
