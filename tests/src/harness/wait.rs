//! Waiting for what must come true, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// How long anything may take to come true. Generous: a machine that is busy is not a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

const STEP: Duration = Duration::from_millis(20);

/// Asks `probe` until it has an answer, or `patience` is over.
pub fn poll<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if start.elapsed() > patience {
            return None;
        }
        std::thread::sleep(STEP);
    }
}

/// Asks `probe` until it has an answer; fails the test if that takes longer than [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match poll(PATIENCE, probe) {
        Some(found) => found,
        None => panic!("this did not come true within {PATIENCE:?}: {what}"),
    }
}

/// Asserts that a condition comes true: `assert_eventually!(daemon.in_flight() == 0, "streams are drained")`.
#[macro_export]
macro_rules! assert_eventually {
    ($condition:expr, $($what:tt)+) => {
        $crate::harness::eventually(&format!($($what)+), || $condition.then_some(()))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_answer_or_with_the_patience() {
        let mut asked = 0;
        let answer = poll(PATIENCE, || {
            asked += 1;
            (asked == 3).then_some("here")
        });
        assert_eq!((answer, asked), (Some("here"), 3));
        assert_eq!(poll(Duration::ZERO, || None::<()>), None);
    }
}
