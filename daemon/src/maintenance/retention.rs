//! How long the past is kept: `[retention]`, and the clock that ages are counted by.
//!
//! The system's clock can jump: a wrong date for an hour must not cost ninety days. So ages are counted by a clock of our
//! own, which follows the system's, but runs at most a day ahead for each hour that the daemon has really run. It is kept
//! in the store, and goes back at once when the system's does.
//!
//! Must never write anything by itself: an idle daemon stays idle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ccd_store::StoreError;

use crate::app::Running;
use crate::config::Retention;
use crate::ingest::prune::{self, Limits, Plan};
use crate::ingest::rebuild::RebuildError;
use crate::maintenance::Work;
use crate::maintenance::prune::Prune;

/// How often it is looked whether something is to be let go of.
pub const EVERY: Duration = Duration::from_secs(3600);
/// How much faster than time itself our clock may run to catch up with the system's.
const CATCH_UP: u128 = 24;
const DAY_NS: u64 = 86_400_000_000_000;

/// Our clock's next value, given its last one (0: none), the system's, and the time really passed in between.
#[must_use]
pub fn advance(last_ns: u64, system_ns: u64, passed: Duration) -> u64 {
    if last_ns == 0 {
        return system_ns;
    }
    let most = u128::from(last_ns) + passed.as_nanos() * CATCH_UP;
    system_ns.min(u64::try_from(most).unwrap_or(u64::MAX))
}

/// What is to go at this time.
#[must_use]
pub fn limits(retention: &Retention, now_ns: u64) -> Limits {
    Limits {
        before_ns: retention.days.map(|days| now_ns.saturating_sub(u64::from(days).saturating_mul(DAY_NS))),
        max_bytes: retention.max_bytes,
    }
}

/// Looks once: sets our clock on by the time passed, and says what would go. For threads that may block.
pub fn look(app: &Running, passed: Duration) -> Result<(Limits, Option<Plan>), RebuildError> {
    let system_ns = app.clock.now_ns();
    let retention = app.retention();
    app.door
        .with_store(move |store| {
            let now_ns = advance(store.clock(), system_ns, passed);
            store.set_clock(now_ns);
            let limits = limits(&retention, now_ns);
            let plan = prune::look(&store.reader(), &limits)?;
            Ok::<_, StoreError>((limits, plan))
        })?
        .map_err(RebuildError::from)
}

/// Looks now and then, and lets go of what is too old or too much, until the daemon ends.
pub async fn run(app: Arc<Running>) {
    let mut last = Instant::now();
    let mut passed = Duration::ZERO;
    loop {
        let this = Arc::clone(&app);
        let done = tokio::task::spawn_blocking(move || {
            let (limits, plan) = look(&this, passed)?;
            if plan.is_none() {
                return Ok(());
            }
            match this.maintenance.begin(&Work::Prune(Prune::default()), this.clock.now_ns()) {
                Ok(()) => {
                    let _busy = this.maintenance.busy();
                    prune::prune(&this.door, &this.shared, &limits, &mut |_| ()).map(drop)
                }
                // Something else is under way: the next look is in an hour.
                Err(_) => Ok(()),
            }
        });
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "old records could not be let go of"),
            Err(error) => tracing::error!(%error, "letting go of old records failed"),
        }
        tokio::time::sleep(EVERY).await;
        passed = last.elapsed();
        last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_jump_ahead_is_followed_a_day_an_hour_and_a_jump_back_at_once() {
        let now = 1_790_000_000_000_000_000;
        let ten_years = 3_650 * DAY_NS;
        assert_eq!(advance(0, now, Duration::ZERO), now);
        let jumped = advance(now, now + ten_years, HOUR);
        assert_eq!(jumped, now + DAY_NS);
        assert_eq!(advance(jumped, now + 1, HOUR), now + 1);
        // A hundred days in a drawer are caught up with in a few hours.
        let mut ours = now;
        for _ in 0..101 {
            ours = advance(ours, now + 100 * DAY_NS, HOUR);
        }
        assert_eq!(ours, now + 100 * DAY_NS);
    }

    #[test]
    fn no_limit_keeps_everything() {
        let none = Retention { days: None, max_bytes: None };
        assert_eq!(limits(&none, DAY_NS), Limits::default());
        let year = Retention { days: Some(365), max_bytes: Some(5) };
        assert_eq!(limits(&year, DAY_NS), Limits { before_ns: Some(0), max_bytes: Some(5) });
    }

    proptest! {
        #[test]
        fn our_clock_is_never_ahead_of_the_systems(last in any::<u64>(), system in any::<u64>(), s in any::<u32>()) {
            let next = advance(last, system, Duration::from_secs(s.into()));
            prop_assert!(next <= system);
            prop_assert!(last == 0 || u128::from(next) <= u128::from(last) + u128::from(s) * 24_000_000_000);
        }
    }
}
