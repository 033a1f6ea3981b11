//! What to do when a worker dies: pure policy, told the time.
//!
//! Three rungs: a full worker; after three crashes within a minute one that relays and captures nothing; where not even
//! that one gets to serve, the supervisor's own refusals. From the lower rungs a full worker is tried again by and by.
//!
//! Invariants: the rung goes down by one step at a time and only by deaths; a death is followed by a start within a
//! second, or by the next rung at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What stands behind the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// A worker that relays and captures.
    Full,
    /// A worker that relays.
    Bypass,
    /// Nobody: every request is answered with 503.
    Refuse,
}

/// When to give way, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So many crashes are one too many.
    pub crashes: usize,
    /// Within this time.
    pub window: Duration,
    /// A worker that dies before is not started again at once.
    pub young: Duration,
    /// The longest pause before a start.
    pub max_pause: Duration,
    /// How long after giving way a full worker is tried again, for the first time.
    pub retry: Duration,
    /// The longest such time: it doubles with each failure.
    pub max_retry: Duration,
    /// The longest pause between two tries where not even a relaying worker serves.
    pub max_refuse: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            crashes: 3,
            window: Duration::from_secs(60),
            young: Duration::from_secs(1),
            max_pause: Duration::from_secs(1),
            retry: Duration::from_secs(600),
            max_retry: Duration::from_secs(6 * 3600),
            max_refuse: Duration::from_secs(60),
        }
    }
}

/// How a worker lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Whether it got to serve.
    pub served: bool,
    /// From its start to its end.
    pub lasted: Duration,
}

/// What is to be started, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// What.
    pub rung: Rung,
    /// After this pause.
    pub pause: Duration,
}

/// Where we stand.
#[derive(Clone, Debug)]
pub struct Ladder {
    policy: Policy,
    rung: Rung,
    /// Deaths that count on this rung.
    deaths: VecDeque<Instant>,
    /// Deaths of the young, one after the other.
    young: u32,
    /// Tries since nobody served.
    refused: u32,
    /// How long until a full worker is tried again.
    retry: Duration,
    retry_at: Option<Instant>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// `first`, doubled `times` times, at most `max`.
fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    1u32.checked_shl(times).and_then(|factor| first.checked_mul(factor)).map_or(max, |pause| pause.min(max))
}

impl Ladder {
    /// At the top.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Ladder {
            policy,
            rung: Rung::Full,
            deaths: VecDeque::new(),
            young: 0,
            refused: 0,
            retry: policy.retry,
            retry_at: None,
        }
    }

    /// On a given rung, as a predecessor left it.
    #[must_use]
    pub fn on(policy: Policy, rung: Rung, now: Instant) -> Self {
        let mut ladder = Self::new(policy);
        if rung != Rung::Full {
            ladder.rung = rung;
            ladder.retry_at = Some(now + ladder.retry);
        }
        ladder
    }

    /// What it goes by.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Where we stand.
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// When a full worker is to be tried beside the one that relays.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The worker of this rung died.
    pub fn died(&mut self, now: Instant, life: Life) -> Next {
        let counts = match self.rung {
            Rung::Full => true,
            // One that served is started again: a refusal would be no better.
            Rung::Bypass | Rung::Refuse => !life.served,
        };
        if counts {
            self.deaths.push_back(now);
        }
        self.deaths.retain(|death| now.duration_since(*death) < self.policy.window);
        self.young = if life.lasted < self.policy.young { self.young.saturating_add(1) } else { 0 };
        match self.rung {
            Rung::Full | Rung::Bypass if self.deaths.len() >= self.policy.crashes => self.give_way(now),
            Rung::Refuse => self.refuse(),
            rung => {
                let pause = match self.young {
                    0 | 1 => Duration::ZERO,
                    n => doubled(FIRST_PAUSE, n - 2, self.policy.max_pause),
                };
                Next { rung, pause }
            }
        }
    }

    fn give_way(&mut self, now: Instant) -> Next {
        self.deaths.clear();
        self.young = 0;
        if self.rung == Rung::Full {
            self.rung = Rung::Bypass;
            self.retry_at = Some(now + self.retry);
            self.retry = (self.retry * 2).min(self.policy.max_retry);
            return Next { rung: Rung::Bypass, pause: Duration::ZERO };
        }
        self.rung = Rung::Refuse;
        self.refused = 0;
        self.refuse()
    }

    /// Tries the two kinds of workers in turn.
    fn refuse(&mut self) -> Next {
        let pause = doubled(Duration::from_secs(1), self.refused, self.policy.max_refuse);
        let rung = if self.refused.is_multiple_of(2) { Rung::Bypass } else { Rung::Full };
        self.refused = self.refused.saturating_add(1);
        Next { rung, pause }
    }

    /// A worker of this kind serves.
    pub fn serves(&mut self, now: Instant, rung: Rung) {
        self.refused = 0;
        if rung == Rung::Full {
            self.retry_at = None;
        } else if self.rung == Rung::Refuse {
            self.retry_at = Some(now + self.retry);
        }
        if rung != self.rung {
            self.deaths.clear();
            self.young = 0;
        }
        self.rung = rung;
    }

    /// A full worker was tried from below and did not get to serve.
    pub fn retry_failed(&mut self, now: Instant) {
        if self.rung != Rung::Full {
            self.retry_at = Some(now + self.retry);
            self.retry = (self.retry * 2).min(self.policy.max_retry);
        }
    }

    /// Somebody asked for a fresh start: what was is forgotten.
    pub fn asked(&mut self) {
        self.deaths.clear();
        self.young = 0;
        self.refused = 0;
        self.retry = self.policy.retry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT_ONCE: Life = Life { served: false, lasted: Duration::from_millis(5) };
    const LONG: Life = Life { served: true, lasted: Duration::from_secs(3600) };

    #[test]
    fn the_third_crash_within_a_minute_ends_the_capture_and_the_third_of_a_relay_ends_the_relaying() {
        let mut ladder = Ladder::new(Policy::default());
        let now = Instant::now();
        assert_eq!(ladder.died(now, AT_ONCE), Next { rung: Rung::Full, pause: Duration::ZERO });
        assert_eq!(ladder.died(now, AT_ONCE).rung, Rung::Full);
        assert_eq!(ladder.died(now, AT_ONCE), Next { rung: Rung::Bypass, pause: Duration::ZERO });
        assert_eq!(ladder.retry_at(), Some(now + Duration::from_secs(600)));
        for _ in 0..2 {
            assert_eq!(ladder.died(now, AT_ONCE).rung, Rung::Bypass);
        }
        let _ = ladder.died(now, AT_ONCE);
        assert_eq!(ladder.rung(), Rung::Refuse);
        ladder.serves(now, Rung::Bypass);
        assert_eq!(ladder.rung(), Rung::Bypass);
    }

    #[test]
    fn crashes_far_apart_are_no_loop() {
        let mut ladder = Ladder::new(Policy::default());
        let mut now = Instant::now();
        for _ in 0..20 {
            now += Duration::from_secs(31);
            assert_eq!(ladder.died(now, LONG), Next { rung: Rung::Full, pause: Duration::ZERO });
        }
    }

    #[test]
    fn a_relay_that_serves_is_started_again_however_often_it_dies() {
        let mut ladder = Ladder::on(Policy::default(), Rung::Bypass, Instant::now());
        for _ in 0..50 {
            let next = ladder.died(Instant::now(), Life { served: true, ..AT_ONCE });
            assert_eq!(next.rung, Rung::Bypass);
            assert!(next.pause <= Duration::from_secs(1));
        }
    }

    #[test]
    fn the_time_until_a_full_worker_is_tried_again_doubles_up_to_six_hours() {
        let mut ladder = Ladder::new(Policy::default());
        let now = Instant::now();
        for _ in 0..3 {
            let _ = ladder.died(now, AT_ONCE);
        }
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(ladder.retry_at().unwrap().duration_since(now).as_secs() / 60);
            ladder.retry_failed(now);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 360]);
        ladder.asked();
        ladder.serves(now, Rung::Full);
        assert_eq!((ladder.rung(), ladder.retry_at()), (Rung::Full, None));
    }

    proptest! {
        /// Whatever happens: something is always to be started within a bound, and a rung is left by one step.
        #[test]
        fn nothing_ever_stops_it(lives in proptest::collection::vec((any::<bool>(), 0u64..120_000, 0u64..120_000, 0u8..4), 0..200)) {
            let policy = Policy::default();
            let mut ladder = Ladder::new(policy);
            let mut now = Instant::now();
            for (served, lasted, gap, what) in lives {
                now += Duration::from_millis(gap);
                let before = ladder.rung();
                match what {
                    0 => ladder.serves(now, Rung::Full),
                    1 => ladder.retry_failed(now),
                    _ => {
                        let next = ladder.died(now, Life { served, lasted: Duration::from_millis(lasted) });
                        let most = if ladder.rung() == Rung::Refuse { policy.max_refuse } else { policy.max_pause };
                        prop_assert!(next.pause <= most, "{next:?}");
                        prop_assert!(!(before == Rung::Full && ladder.rung() == Rung::Refuse));
                        if ladder.rung() != Rung::Refuse {
                            prop_assert_eq!(next.rung, ladder.rung());
                        }
                    }
                }
                prop_assert_eq!(ladder.rung() == Rung::Full, ladder.retry_at().is_none());
            }
        }
    }
}
