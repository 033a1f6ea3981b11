//! Whether the next exchange is captured, or relayed only: when what is captured would be lost anyway, or costs memory
//! that is not there.
//!
//! Must never be felt by a client: a request is relayed the same way, without a tap. Looked at once per request, and
//! over by itself as soon as its cause is. Every exchange that is relayed only is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ingest::Door;
use crate::ingest::shared::StoreState;
use crate::memory::Budget;

/// How long the store has to be unusable: most of what fails is mended within this, and an exchange that begins
/// meanwhile ends later.
const MOMENT: Duration = Duration::from_secs(3);

/// Where what is captured goes.
pub enum Capturing {
    /// To the door, while the store behind it can be used.
    On {
        /// The door.
        door: Door,
        /// Whether the store can be used.
        store: watch::Receiver<StoreState>,
    },
    /// Nowhere: this process is here to relay.
    Off {
        /// Why.
        why: String,
        /// Where what is missed is counted.
        door: Door,
    },
}

/// Decides for each exchange.
pub struct Bypass {
    capturing: Capturing,
    budget: Budget,
    /// Since when captures are seen to be lost.
    losing: Mutex<Option<Instant>>,
    relayed: AtomicU64,
}

impl Bypass {
    /// Captures as `capturing` says, within `budget`.
    #[must_use]
    pub fn new(capturing: Capturing, budget: Budget) -> Self {
        Bypass { capturing, budget, losing: Mutex::new(None), relayed: AtomicU64::new(0) }
    }

    /// Memory to stay within.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Exchanges relayed without being captured.
    #[must_use]
    pub fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Relaxed)
    }

    /// Why nothing is captured at the moment; `None`: it is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &self.capturing {
            Capturing::Off { why, .. } => Some(why.clone()),
            Capturing::On { door, store } => lost(door, store).or_else(|| self.over_budget()),
        }
    }

    /// The door for an exchange that begins. `None`: it is relayed only, and counted.
    pub fn door(&self, began_ns: u64) -> Option<Door> {
        self.door_at(Instant::now(), began_ns)
    }

    fn door_at(&self, now: Instant, began_ns: u64) -> Option<Door> {
        let door = match &self.capturing {
            Capturing::Off { why, door } => {
                door.missed(began_ns, why);
                None
            }
            Capturing::On { door, store } => {
                let lost = lost(door, store).filter(|_| self.for_longer_than_a_moment(now));
                if lost.is_none() {
                    self.caught_up(door, store);
                }
                if let Some(why) = lost.or_else(|| self.over_budget()) {
                    door.missed(began_ns, &why);
                    None
                } else {
                    Some(door.clone())
                }
            }
        };
        if door.is_none() {
            self.relayed.fetch_add(1, Ordering::Relaxed);
        }
        door
    }

    fn for_longer_than_a_moment(&self, now: Instant) -> bool {
        let mut losing = self.losing.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(*losing.get_or_insert(now)) >= MOMENT
    }

    fn caught_up(&self, door: &Door, store: &watch::Receiver<StoreState>) {
        if lost(door, store).is_none() {
            *self.losing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn over_budget(&self) -> Option<String> {
        self.budget.is_over().then(|| "the daemon uses more memory than it may".into())
    }
}

/// Why what is captured now would be lost.
fn lost(door: &Door, store: &watch::Receiver<StoreState>) -> Option<String> {
    if let StoreState::Failed(why) = &*store.borrow() {
        return Some(format!("the store cannot be used: {why}"));
    }
    door.is_full().then(|| "the store does not keep up: its queue is full".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{Ack, HookEvent, QUEUE};

    fn on(
        budget: Budget,
    ) -> (Bypass, watch::Sender<StoreState>, Door, tokio::sync::mpsc::Receiver<crate::ingest::Submission>)
    {
        let (door, rx) = Door::new();
        let (tx, store) = watch::channel(StoreState::Opening);
        (Bypass::new(Capturing::On { door: door.clone(), store }, budget), tx, door, rx)
    }

    #[test]
    fn a_failed_store_is_waited_for_and_then_spared_until_it_is_back() {
        let (bypass, store, door, _rx) = on(Budget::unlimited());
        let begun = Instant::now();
        assert!(bypass.reason().is_none() && bypass.door_at(begun, 1).is_some());
        store.send_replace(StoreState::Failed("no space".into()));
        assert!(bypass.reason().unwrap().contains("no space"), "told at once");
        assert!(bypass.door_at(begun, 1).is_some(), "and captured for a moment");
        assert!(bypass.door_at(begun + MOMENT / 2, 1).is_some());
        assert!(bypass.door_at(begun + MOMENT, 1).is_none());
        assert_eq!((bypass.relayed(), door.gauges().dropped.load(Ordering::Relaxed)), (1, 1));
        store.send_replace(StoreState::Opening);
        assert!(bypass.door_at(begun + MOMENT, 1).is_some() && bypass.reason().is_none());
        store.send_replace(StoreState::Failed("again".into()));
        assert!(bypass.door_at(begun + 2 * MOMENT, 1).is_some(), "another moment");
    }

    #[tokio::test]
    async fn a_full_queue_counts_as_lost() {
        let (bypass, _store, door, mut rx) = on(Budget::unlimited());
        let event =
            || HookEvent { id: [0; 16], arrived_ns: 0, client: Vec::new(), body: bytes::Bytes::new() };
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| {
                let door = door.clone();
                tokio::spawn(async move { door.hook(event()).await })
            })
            .collect();
        while !door.is_full() {
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        assert!(bypass.reason().unwrap().contains("queue"));
        assert!(bypass.door_at(begun, 1).is_some() && bypass.door_at(begun + MOMENT, 1).is_none());
        drop(rx.recv().await);
        assert!(bypass.reason().is_none() && bypass.door_at(begun + MOMENT, 1).is_some());
        drop(rx);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ack::Refused);
        }
    }

    #[test]
    fn memory_over_the_budget_is_relayed_at_once_and_a_given_reason_stays() {
        let (bypass, _store, door, _rx) = on(Budget::of(1));
        assert!(bypass.reason().unwrap().contains("memory") && bypass.door(1).is_none());
        assert_eq!((bypass.relayed(), door.gauges().dropped.load(Ordering::Relaxed)), (1, 1));
        let off =
            Bypass::new(Capturing::Off { why: "crashed".into(), door: door.clone() }, Budget::unlimited());
        assert!(off.door(1).is_none() && off.reason().as_deref() == Some("crashed") && off.relayed() == 1);
        assert_eq!(door.gauges().dropped.load(Ordering::Relaxed), 2);
    }
}
