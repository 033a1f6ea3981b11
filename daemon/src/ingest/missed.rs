//! Exchanges that could not be captured, until a record tells of them: added up, so that one record tells of a whole
//! episode.
//!
//! Must never wait for a disk: it is asked on the streams' way. What is taken and cannot be written is put back.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Gauges;
use super::record::GapV1;

/// An episode is over when nothing was missed for so long.
pub(super) const CALM: Duration = Duration::from_secs(1);
/// An episode that goes on is told of this often.
const LONG: Duration = Duration::from_secs(30);
/// Characters kept of a reason.
const REASON: usize = 300;

#[derive(Debug)]
struct Episode {
    gap: GapV1,
    first: Instant,
    last: Instant,
}

/// What no record tells of yet.
#[derive(Debug, Default)]
pub(super) struct Missed(Mutex<Option<Episode>>);

impl Missed {
    fn lock(&self) -> MutexGuard<'_, Option<Episode>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gauges {
    /// An exchange that began then is not captured. True for the first of an episode.
    pub fn miss(&self, began_ns: u64, why: &str) -> bool {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if one_more(&mut self.missed.lock(), began_ns) {
            return false;
        }
        let why: String = why.chars().take(REASON).collect();
        // An address or a path in it may hold one. It is short, and the first of an episode only; its mark is not kept in
        // the vault, which is on a disk, and others do not wait for it.
        let reason = match self.scrub.get() {
            Some(scrub) => scrub.told(&why),
            None => why,
        };
        let mut missed = self.missed.lock();
        // Another was the first meanwhile.
        if one_more(&mut missed, began_ns) {
            return false;
        }
        put(&mut missed, GapV1 { from_ns: began_ns, to_ns: began_ns, exchanges: 1, reason });
        true
    }

    /// Whether a record has yet to tell of any.
    #[must_use]
    pub fn has_missed(&self) -> bool {
        self.missed.lock().is_some()
    }

    /// What a record is to tell of, to whoever writes it now.
    #[must_use]
    pub fn take_missed(&self) -> Option<GapV1> {
        self.missed.lock().take().map(|episode| episode.gap)
    }

    /// As [`Gauges::take_missed`], once the episode is over or has been going on for long.
    pub(super) fn take_episode(&self, now: Instant) -> Option<GapV1> {
        let since = |then: Instant| now.saturating_duration_since(then);
        let over = |e: &mut Episode| since(e.last) >= CALM || since(e.first) >= LONG;
        self.missed.lock().take_if(over).map(|episode| episode.gap)
    }

    /// What was taken could not be written.
    pub fn put_back(&self, mut gap: GapV1) {
        let mut missed = self.missed.lock();
        if let Some(since) = missed.take() {
            gap.add(&since.gap);
        }
        put(&mut missed, gap);
    }
}

/// Counts one more of the episode. False: there is none.
fn one_more(missed: &mut Option<Episode>, began_ns: u64) -> bool {
    let Some(episode) = missed else { return false };
    let gap = &mut episode.gap;
    (gap.from_ns, gap.to_ns) = (gap.from_ns.min(began_ns), gap.to_ns.max(began_ns));
    gap.exchanges += 1;
    episode.last = Instant::now();
    true
}

fn put(missed: &mut Option<Episode>, gap: GapV1) {
    let now = Instant::now();
    *missed = Some(Episode { gap, first: now, last: now });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_one_gap_and_what_is_put_back_is_not_lost() {
        let gauges = Gauges::default();
        assert!(!gauges.has_missed() && gauges.take_missed().is_none());
        assert!(gauges.miss(20, "full") && !gauges.miss(10, "other") && !gauges.miss(30, "other"));
        assert!(gauges.take_episode(Instant::now()).is_none(), "it may go on");
        let gap = gauges.take_episode(Instant::now() + CALM).unwrap();
        assert_eq!(gap, GapV1 { from_ns: 10, to_ns: 30, exchanges: 3, reason: "full".into() });
        assert!(!gauges.has_missed() && gauges.miss(40, "again"), "another episode");
        gauges.put_back(gap);
        let all = gauges.take_missed().unwrap();
        assert_eq!((all.from_ns, all.to_ns, all.exchanges, all.reason.as_str()), (10, 40, 4, "full"));
        assert_eq!(gauges.dropped.load(Ordering::Relaxed), 4);
    }
}
