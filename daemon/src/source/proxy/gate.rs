//! A waker in front of a task's own, for futures that wake each other while one poll drives them all.
//!
//! hyper's connection and the body that it feeds wake one another for every piece. Whoever polls both in turn needs
//! no wake-up for that; passed on, each would cost another round through the scheduler. A wake-up from elsewhere
//! (the socket, a timer) always gets through: none may be lost, whatever the order.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Nobody polls: a wake-up goes on to the task.
const RESTING: u8 = 0;
/// A poll is under way.
const POLLING: u8 = 1;
/// A wake-up came during the poll that is under way.
const WOKEN: u8 = 2;

/// The waker.
pub(super) struct Gate {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Gate { state: AtomicU8::new(RESTING), task: Mutex::new(None) })
    }

    /// Begins a poll of the task behind `cx`: from now on wake-ups are noted.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *task {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *task = Some(cx.waker().clone()),
            }
        }
        self.state.store(POLLING, Ordering::SeqCst);
    }

    /// Forgets the wake-ups noted so far: everything is about to be polled again.
    pub(super) fn again(&self) {
        self.state.store(POLLING, Ordering::SeqCst);
    }

    /// Whether something was noted since the last [`Self::again`].
    pub(super) fn is_woken(&self) -> bool {
        self.state.load(Ordering::SeqCst) == WOKEN
    }

    /// Ends the poll, which leaves everything pending. What was noted since the last [`Self::again`] goes on to the
    /// task.
    pub(super) fn end(&self, cx: &Context<'_>) {
        if self.state.swap(RESTING, Ordering::SeqCst) == WOKEN {
            cx.waker().wake_by_ref();
        }
    }
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_woken() {
            return;
        }
        let noted = self.state.compare_exchange(POLLING, WOKEN, Ordering::SeqCst, Ordering::SeqCst);
        if noted == Err(RESTING) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn wake_ups_are_noted_during_a_poll_and_passed_on_otherwise() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let woken = || count.0.load(Ordering::SeqCst);
        let gate = Gate::new();
        let inner = Waker::from(Arc::clone(&gate));

        gate.begin(&cx);
        inner.wake_by_ref();
        assert_eq!(woken(), 0, "noted");
        gate.again();
        gate.end(&cx);
        assert_eq!(woken(), 0, "and answered by polling again");

        gate.begin(&cx);
        inner.wake_by_ref();
        gate.end(&cx);
        assert_eq!(woken(), 1, "what was not answered goes on");

        inner.wake_by_ref();
        inner.wake();
        assert_eq!(woken(), 3, "between polls everything goes on");
    }
}
