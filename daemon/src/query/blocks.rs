//! Five-hour blocks: where they begin, how fast they burn, where the active one is heading.

use std::collections::BTreeSet;

use ccd_proto::api::{Block, display_usd};

use super::{Ask, QueryError};
use crate::clock::rfc3339;
use crate::project::cost::Sum;
use crate::project::rows::BUCKET_NS;
use crate::project::tally::{self, Family, Tally};

/// Length of a block in quarters of an hour.
const BLOCK: u32 = 20;
/// Quarters per hour.
const HOUR: u32 = 4;
const MINUTE_NS: u64 = 60_000_000_000;

/// Where blocks begin, in order.
#[derive(Default)]
pub(super) struct Blocks(Vec<u32>);

impl Blocks {
    /// Blocks begin on the hour of the first use after the block before ended. All use counts, whatever the question is
    /// about, so that every question sees the same blocks.
    pub(super) fn read(ask: &Ask) -> Result<Self, QueryError> {
        let mut starts: Vec<u32> = Vec::new();
        let mut used: BTreeSet<u32> = BTreeSet::new();
        for row in ask.reader.scan(&tally::from(Family::Model, 0), &tally::end(Family::Model)) {
            let (key, value) = row?;
            let row = tally::Row::decode(&value)?;
            used.extend(row.quarters(&key).map(|(bucket, _)| bucket - bucket % HOUR));
        }
        for hour in used {
            if starts.last().is_none_or(|start| hour >= start + BLOCK) {
                starts.push(hour);
            }
        }
        Ok(Blocks(starts))
    }

    /// The beginning of the block that a quarter is in.
    pub(super) fn start_of(&self, bucket: u32) -> u32 {
        let at = self.0.partition_point(|start| *start <= bucket);
        at.checked_sub(1).and_then(|i| self.0.get(i)).copied().unwrap_or(bucket - bucket % HOUR)
    }
}

/// When a row was used, by quarters.
#[derive(Default)]
pub(super) struct Times(std::collections::BTreeMap<u32, i64>);

impl Times {
    /// Adds a sum of a quarter.
    pub(super) fn add(&mut self, bucket: u32, tally: &Tally) {
        *self.0.entry(bucket).or_default() += tally.micros;
    }

    /// A block's times and rates. Times are known to the quarter: it was used from the beginning of the first one to the
    /// end of the last one, or now.
    pub(super) fn block(&self, sum: &Sum, blocks: &Blocks, now_ns: u64) -> Block {
        let ns = |bucket: u32| u64::from(bucket) * BUCKET_NS;
        let first = self.0.keys().next().copied().unwrap_or(0);
        let last = self.0.keys().next_back().copied().unwrap_or(0);
        let start = blocks.start_of(first);
        let (start_ns, end_ns) = (ns(start), ns(start + BLOCK));
        let last_ns = ns(last + 1).min(now_ns.max(ns(last)));
        let active = start_ns <= now_ns && now_ns < end_ns;
        let until = if active { now_ns } else { last_ns };
        let minutes = (until.saturating_sub(ns(first)) / MINUTE_NS).max(1);
        let micros = i64::try_from(sum.micros).unwrap_or(i64::MAX);
        let per_hour = |micros: i64, minutes: u64| {
            let minutes = i128::from(minutes.max(1));
            i64::try_from(i128::from(micros) * 60 / minutes).unwrap_or(i64::MAX)
        };
        let projected = active.then(|| {
            // The last hour, or what there was of it.
            let from = tally::bucket(now_ns.saturating_sub(60 * MINUTE_NS)).max(first);
            let lately: i64 = self.0.range(from..).map(|(_, micros)| micros).sum();
            let rate = per_hour(lately, (now_ns.saturating_sub(ns(from)) / MINUTE_NS).max(1));
            let left = i128::from((end_ns - now_ns) / MINUTE_NS);
            let more = i64::try_from(i128::from(rate) * left / 60).unwrap_or(i64::MAX);
            micros.saturating_add(more)
        });
        Block {
            start: rfc3339(start_ns),
            end: rfc3339(end_ns),
            last_at: rfc3339(last_ns),
            active,
            tokens_per_minute: sum.tokens.total() / minutes,
            usd_micros_per_hour: per_hour(micros, minutes),
            projected_usd_micros: projected,
            projected: projected.map(display_usd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_active_block_goes_on_as_in_the_last_hour() {
        let blocks = Blocks(vec![400]);
        assert_eq!((blocks.start_of(400), blocks.start_of(419), blocks.start_of(399)), (400, 400, 396));
        let mut times = Times::default();
        let tally = |micros| Tally { micros, ..Tally::default() };
        times.add(400, &tally(1_000_000));
        times.add(406, &tally(2_000_000));
        let sum = Sum { micros: 3_000_000, priced: 2, calls: 2, ..Sum::default() };
        // Two hours after its beginning.
        let now_ns = 408 * BUCKET_NS;
        let block = times.block(&sum, &blocks, now_ns);
        assert!(block.active);
        assert_eq!(block.usd_micros_per_hour, 1_500_000);
        assert_eq!(block.projected_usd_micros, Some(3_000_000 + 3 * 2_000_000));
        let over = times.block(&sum, &blocks, 500 * BUCKET_NS);
        assert_eq!((over.active, over.projected_usd_micros), (false, None));
        assert_eq!(over.last_at, rfc3339(407 * BUCKET_NS));
    }
}
