//! When something that failed is tried again: exponential backoff with jitter, never before the endpoint asked for.
//!
//! Pure but for [`Retry::persist`], whose sleep is handed in: nothing here reads a clock or a source of randomness.

use std::future::Future;
use std::time::Duration;

use super::deliver::{DeliverError, Outcome, Verdict};

/// How long is waited between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Before the second attempt, on average three quarters of it.
    pub first: Duration,
    /// The longest that is waited of our own accord; each pause is twice the one before until then.
    pub most: Duration,
    /// The longest that an endpoint's `Retry-After` is heeded; one that asks for more is asked again then.
    pub asked_most: Duration,
    /// Waited in all before it is given up, if ever.
    pub total: Option<Duration>,
}

impl Retry {
    /// For somebody who looks on: given up after a minute.
    pub const SHORT: Retry = Retry {
        first: Duration::from_millis(500),
        most: Duration::from_secs(15),
        asked_most: Duration::from_secs(60),
        total: Some(Duration::from_secs(60)),
    };
    /// For the background: never given up, seldom tried while somebody is down for days.
    pub const STEADY: Retry = Retry {
        first: Duration::from_secs(1),
        most: Duration::from_secs(300),
        asked_most: Duration::from_secs(3600),
        total: None,
    };

    /// How long to wait after the `failed`th attempt in a row (from 1), `random` being any number: between half of the
    /// backoff and all of it, so that many who failed together do not come again together; and never less than was
    /// asked for.
    #[must_use]
    pub fn pause(&self, failed: u32, asked: Option<Duration>, random: u64) -> Duration {
        let doubled = 2u32.checked_pow(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.most);
        let part = u32::try_from(random & 0xffff).unwrap_or(0);
        let jittered = whole / 2 + (whole / 2) * part / 0x1_0000;
        // Spread, too: everybody was asked to wait as long.
        let asked = asked.map(|asked| asked.min(self.asked_most) + (self.first / 0x1_0000) * part);
        asked.map_or(jittered, |asked| asked.max(jittered))
    }

    /// Tries until something comes of it that no waiting changes, or until too much was waited.
    pub async fn persist<T, F, S>(
        &self,
        mut attempt: impl FnMut() -> F,
        mut random: impl FnMut() -> u64,
        mut sleep: impl FnMut(Duration) -> S,
        mut told: impl FnMut(&str, Duration),
    ) -> Result<Outcome, DeliverError>
    where
        F: Future<Output = Result<Outcome, DeliverError>>,
        S: Future<Output = T>,
    {
        let mut failed = 0;
        let mut waited = Duration::ZERO;
        loop {
            let came = attempt().await;
            let (asked, words) = match &came {
                Ok(outcome) if outcome.verdict() == Verdict::Later => (outcome.retry_after, outcome.words()),
                Err(error) if error.is_passing() => (None, error.to_string()),
                _ => return came,
            };
            failed += 1;
            let pause = self.pause(failed, asked, random());
            waited = waited.saturating_add(pause);
            if self.total.is_some_and(|total| waited > total) {
                return came;
            }
            told(&words, pause);
            sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_grow_to_their_bound_and_never_fall_short_of_what_was_asked(
            failed in 1u32..100, random: u64, asked in proptest::option::of(0u64..10_000)
        ) {
            let retry = Retry::STEADY;
            let pause = retry.pause(failed, asked.map(Duration::from_secs), random);
            let whole = retry.first.saturating_mul(1u32.checked_shl(failed - 1).filter(|n| *n > 0).unwrap_or(u32::MAX)).min(retry.most);
            let asked = asked.map_or(Duration::ZERO, |asked| Duration::from_secs(asked).min(retry.asked_most));
            prop_assert!(pause >= asked && pause >= whole / 2);
            prop_assert!(pause <= whole.max(asked + retry.first));
        }
    }

    fn outcome(status: u16, retry_after: Option<u64>) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap();
        let retry_after = retry_after.map(Duration::from_secs);
        Outcome { status, content_type: String::new(), body: Bytes::new(), whole: true, retry_after }
    }

    async fn tried(answers: &[Result<Outcome, DeliverError>]) -> (u16, usize, Vec<u64>) {
        let (mut tries, mut waits) = (0, Vec::new());
        let attempt = || {
            tries += 1;
            std::future::ready(answers[(tries - 1).min(answers.len() - 1)].clone())
        };
        let sleep = |pause: Duration| {
            waits.push(pause.as_secs());
            std::future::ready(())
        };
        let came = Retry::SHORT.persist(attempt, || 0, sleep, |_, _| ()).await;
        (came.map_or(0, |outcome| outcome.status.as_u16()), tries, waits)
    }

    #[tokio::test]
    async fn what_passes_is_tried_again_and_nothing_else() {
        let outcome = |status, retry_after| Ok(outcome(status, retry_after));
        let url = || Err(DeliverError::Url("no"));
        assert_eq!(tried(&[outcome(503, Some(7)), outcome(200, None)]).await, (200, 2, vec![7]));
        assert_eq!(tried(&[outcome(400, Some(7)), outcome(200, None)]).await, (400, 1, vec![]));
        assert_eq!(tried(&[outcome(413, None)]).await, (413, 1, vec![]));
        assert_eq!(tried(&[url()]).await, (0, 1, vec![]));
        let (status, tries, waits) = tried(&[outcome(500, None)]).await;
        assert!(status == 500 && tries > 5 && waits.iter().sum::<u64>() <= 60, "{tries} {waits:?}");
    }
}
