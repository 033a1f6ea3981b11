//! Connections to one upstream that wait for their next request.
//!
//! Must never hand out one that is known to be dead, nor keep one for ever: whoever rested longer than upstream keeps
//! connections is closed, by the monotonic clock and by the wall clock (the former stands still while the machine
//! sleeps). A timer runs only while something rests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// HTTP/1.1 connections that rest at a time; more are closed.
pub(super) const MAX_IDLE: usize = 64;

/// Something that can rest and be asked whether it is still there.
pub(super) trait Rest: Send + 'static {
    /// Looks: whether another request may go on it.
    fn is_fresh(&mut self) -> bool;
}

/// When something was last used, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    monotonic: Instant,
    wall_ns: u64,
}

impl Moment {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Moment { monotonic: Instant::now(), wall_ns: clock.now_ns() }
    }

    /// Time since, by the clock on which more went by.
    fn since(&self, earlier: &Moment) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        monotonic.max(Duration::from_nanos(self.wall_ns.saturating_sub(earlier.wall_ns)))
    }

    /// Time that the machine slept since: went by on the wall clock alone.
    fn slept_since(&self, earlier: &Moment) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        Duration::from_nanos(self.wall_ns.saturating_sub(earlier.wall_ns)).saturating_sub(monotonic)
    }
}

/// What the connection itself tells of its state.
#[derive(Debug)]
pub(super) struct Line {
    /// Requests that upstream takes at a time.
    pub(super) room: AtomicUsize,
    /// Takes no more requests.
    pub(super) retired: AtomicBool,
}

/// One connection for many requests at a time. It ends once nobody holds it.
pub(super) struct Shared<S> {
    /// Sends.
    pub(super) sender: S,
    line: Arc<Line>,
    under_way: AtomicUsize,
    used: Mutex<Moment>,
    clock: Arc<dyn Clock>,
}

impl<S> Shared<S> {
    pub(super) fn new(sender: S, line: Arc<Line>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let used = Mutex::new(Moment::now(&*clock));
        Arc::new(Shared { sender, line, under_way: AtomicUsize::new(0), used, clock })
    }

    /// Lets what is under way finish, and takes nothing more.
    pub(super) fn retire(&self) {
        self.line.retired.store(true, Ordering::Relaxed);
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Moment::now(&*self.clock);
    }

    fn is_over(&self, now: &Moment, idle: Duration) -> bool {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = self.under_way.load(Ordering::Relaxed) == 0;
        self.line.retired.load(Ordering::Relaxed)
            || (unused && now.since(&used) >= idle)
            || now.slept_since(&used) >= idle
    }
}

/// A place on a shared connection, given back when it is dropped.
pub(super) struct Place<S>(Arc<Shared<S>>);

impl<S> Place<S> {
    /// Takes one, if there is room.
    pub(super) fn take(shared: &Arc<Shared<S>>) -> Option<Self> {
        let room = shared.line.room.load(Ordering::Relaxed);
        if shared.under_way.fetch_add(1, Ordering::Relaxed) >= room {
            shared.under_way.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        shared.touch();
        Some(Place(Arc::clone(shared)))
    }

    pub(super) fn shared(&self) -> &Shared<S> {
        &self.0
    }
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.0.touch();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Resting<L> {
    lane: L,
    since: Moment,
}

struct Inner<L, S> {
    /// The last one was used last.
    resting: Vec<Resting<L>>,
    shared: Vec<Arc<Shared<S>>>,
    /// Somebody sees to it that nothing rests for ever.
    swept: bool,
}

/// The pool.
pub(super) struct Pool<L, S> {
    inner: Mutex<Inner<L, S>>,
    idle: Duration,
    clock: Arc<dyn Clock>,
}

impl<L: Rest, S: Send + Sync + 'static> Pool<L, S> {
    /// A pool whose connections rest for `idle` at most.
    pub(super) fn new(idle: Duration, clock: Arc<dyn Clock>) -> Arc<Self> {
        let inner = Inner { resting: Vec::new(), shared: Vec::new(), swept: false };
        Arc::new(Pool { inner: Mutex::new(inner), idle, clock })
    }

    fn lock(&self) -> MutexGuard<'_, Inner<L, S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that rested and is still there; the one used last, so that the others can grow old.
    pub(super) fn take(&self) -> Option<L> {
        loop {
            let Resting { mut lane, since } = self.lock().resting.pop()?;
            // Looked at outside the lock.
            if Moment::now(&*self.clock).since(&since) < self.idle && lane.is_fresh() {
                return Some(lane);
            }
        }
    }

    /// A place on a connection that many share.
    pub(super) fn place(&self) -> Option<Place<S>> {
        let mut inner = self.lock();
        let now = Moment::now(&*self.clock);
        inner.shared.retain(|shared| !shared.is_over(&now, self.idle));
        inner.shared.iter().find_map(Place::take)
    }

    /// Lets a connection rest.
    pub(super) fn put(self: &Arc<Self>, lane: L) {
        let since = Moment::now(&*self.clock);
        let mut inner = self.lock();
        let surplus = (inner.resting.len() >= MAX_IDLE).then(|| inner.resting.remove(0));
        inner.resting.push(Resting { lane, since });
        self.sweep_later(&mut inner);
        drop(inner);
        drop(surplus);
    }

    /// Keeps a connection for many to share.
    pub(super) fn share(self: &Arc<Self>, shared: Arc<Shared<S>>) {
        let mut inner = self.lock();
        inner.shared.push(shared);
        self.sweep_later(&mut inner);
    }

    fn sweep_later(self: &Arc<Self>, inner: &mut Inner<L, S>) {
        if std::mem::replace(&mut inner.swept, true) {
            return;
        }
        let (pool, idle) = (Arc::downgrade(self), self.idle);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(idle / 2).await;
                // A pool that nobody uses any more is gone with all that it held.
                let Some(pool) = pool.upgrade() else { return };
                if pool.sweep() {
                    return;
                }
            }
        });
    }

    /// Closes what rested too long; whether nothing is left.
    fn sweep(&self) -> bool {
        let mut inner = self.lock();
        let now = Moment::now(&*self.clock);
        let old = inner.resting.partition_point(|resting| now.since(&resting.since) >= self.idle);
        let closing: Vec<_> = inner.resting.drain(..old).collect();
        inner.shared.retain(|shared| !shared.is_over(&now, self.idle));
        let empty = inner.resting.is_empty() && inner.shared.is_empty();
        inner.swept = !empty;
        drop(inner);
        drop(closing);
        empty
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// A clock that is set by hand.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now_ns(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Hand {
        fn forward(&self, by: Duration) {
            self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
        }
    }

    /// A connection: its number, and whether it is still there.
    struct Fake(usize, Arc<AtomicBool>);

    impl Rest for Fake {
        fn is_fresh(&mut self) -> bool {
            self.1.load(Ordering::SeqCst)
        }
    }

    const IDLE: Duration = Duration::from_secs(55);

    fn pool() -> (Arc<Pool<Fake, usize>>, Arc<Hand>) {
        let clock = Arc::new(Hand::default());
        (Pool::new(IDLE, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn alive() -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(true))
    }

    #[tokio::test]
    async fn the_last_one_used_goes_first_and_the_dead_are_passed_over() {
        let (pool, _) = pool();
        let dead = alive();
        for (n, there) in [(0, alive()), (1, alive()), (2, Arc::clone(&dead))] {
            pool.put(Fake(n, there));
        }
        dead.store(false, Ordering::SeqCst);
        assert_eq!(pool.take().unwrap().0, 1);
        assert_eq!(pool.take().unwrap().0, 0);
        assert!(pool.take().is_none());
    }

    #[tokio::test]
    async fn who_rested_through_a_sleep_of_the_machine_is_not_used() {
        let (pool, clock) = pool();
        pool.put(Fake(0, alive()));
        clock.forward(IDLE / 2);
        pool.put(pool.take().unwrap());
        clock.forward(IDLE);
        assert!(pool.take().is_none());
    }

    #[tokio::test]
    async fn as_many_rest_as_may() {
        let (pool, _) = pool();
        for n in 0..=MAX_IDLE {
            pool.put(Fake(n, alive()));
        }
        let left: Vec<_> = std::iter::from_fn(|| pool.take()).map(|fake| fake.0).collect();
        assert_eq!((left.len(), left.last()), (MAX_IDLE, Some(&1)), "the oldest is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_too_long_is_closed_without_anybody_asking() {
        let (pool, clock) = pool();
        let there = alive();
        pool.put(Fake(0, Arc::clone(&there)));
        assert_eq!(Arc::strong_count(&there), 2);
        clock.forward(IDLE);
        tokio::time::sleep(IDLE).await;
        assert_eq!(Arc::strong_count(&there), 1);
        assert!(!pool.lock().swept, "and no timer is left");
        pool.put(Fake(1, alive()));
        assert!(pool.lock().swept);
    }

    fn shared(pool: &Arc<Pool<Fake, usize>>, clock: &Arc<Hand>, room: usize) -> Arc<Line> {
        let line = Arc::new(Line { room: AtomicUsize::new(room), retired: AtomicBool::new(false) });
        pool.share(Shared::new(0, Arc::clone(&line), Arc::clone(clock) as Arc<dyn Clock>));
        line
    }

    #[tokio::test]
    async fn a_shared_connection_takes_as_many_as_it_has_room_for() {
        let (pool, clock) = pool();
        let line = shared(&pool, &clock, 2);
        let (one, two) = (pool.place().unwrap(), pool.place().unwrap());
        assert!(pool.place().is_none());
        drop(one);
        let again = pool.place().unwrap();
        two.shared().retire();
        drop((again, two));
        assert!(pool.place().is_none(), "retired");
        assert!(line.retired.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_shared_connection_ends_unused_or_with_a_sleep() {
        let (pool, clock) = pool();
        let _line = shared(&pool, &clock, 2);
        drop(pool.place().unwrap());
        clock.forward(IDLE);
        assert!(pool.place().is_none(), "unused");

        let _line = shared(&pool, &clock, 2);
        let held = pool.place().unwrap();
        clock.forward(2 * IDLE);
        assert!(pool.place().is_none(), "it went through a sleep: who is on it may stay");
        drop(held);
    }
}
