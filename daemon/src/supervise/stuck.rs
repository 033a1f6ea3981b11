//! Finds a worker that is stuck: connections wait at the listener, and it does not answer. Pure, told the time.
//!
//! Must never keep the supervisor busy: while connections come all the time, it looks once a second; while none come,
//! not at all.

use std::time::{Duration, Instant};

/// How long connections may wait before the worker is asked.
const WAITING: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing waits: `poll` tells when something does.
    Armed,
    /// Something came; whether it still waits is looked at then.
    Seen(Instant),
    /// The worker was asked, and has until then.
    Asked(Instant),
    /// It is stuck.
    Stuck,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// Ask the worker.
    Ask,
    /// Start another one beside it.
    Relieve,
}

impl Watch {
    /// When to look again.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Watch::Seen(at) | Watch::Asked(at) => Some(at),
            Watch::Armed | Watch::Stuck => None,
        }
    }

    /// A connection waits.
    pub(super) fn comes(&mut self, now: Instant) {
        if *self == Watch::Armed {
            *self = Watch::Seen(now + WAITING);
        }
    }

    /// Time passed; `waits` says whether a connection waits now.
    pub(super) fn look(&mut self, now: Instant, waits: impl FnOnce() -> bool) -> Act {
        match *self {
            Watch::Seen(at) if now >= at => {
                let waits = waits();
                *self = if waits { Watch::Asked(now + ANSWER) } else { Watch::Armed };
                if waits { Act::Ask } else { Act::Nothing }
            }
            Watch::Asked(at) if now >= at => {
                let waits = waits();
                *self = if waits { Watch::Stuck } else { Watch::Armed };
                if waits { Act::Relieve } else { Act::Nothing }
            }
            _ => Act::Nothing,
        }
    }

    /// The worker answered. True if it was thought stuck.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        let was = *self;
        if let Watch::Asked(_) = was {
            *self = Watch::Seen(now + WAITING);
        } else if was == Watch::Stuck {
            *self = Watch::Armed;
        }
        was == Watch::Stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_neither_accepts_nor_answers_is_stuck_after_three_seconds() {
        let start = Instant::now();
        let mut watch = Watch::Armed;
        watch.comes(start);
        assert_eq!(watch.look(start, || true), Act::Nothing);
        assert_eq!(watch.look(start + WAITING, || true), Act::Ask);
        assert_eq!(watch.look(start + WAITING, || true), Act::Nothing);
        assert_eq!(watch.look(start + WAITING + ANSWER, || true), Act::Relieve);
        assert_eq!((watch, watch.deadline()), (Watch::Stuck, None));
        assert!(watch.answered(start + WAITING));
        assert_eq!(watch, Watch::Armed);
    }

    #[test]
    fn a_worker_that_answers_is_busy_and_one_that_accepts_is_well() {
        let start = Instant::now();
        let mut watch = Watch::Armed;
        watch.comes(start);
        assert_eq!(watch.look(start + WAITING, || false), Act::Nothing);
        assert_eq!(watch, Watch::Armed);
        watch.comes(start);
        assert_eq!(watch.look(start + WAITING, || true), Act::Ask);
        assert!(!watch.answered(start + WAITING));
        assert_eq!(watch, Watch::Seen(start + WAITING * 2));
    }
}
