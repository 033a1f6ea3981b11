//! Medians and their friends, and how they are printed.

use std::time::Duration;

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The `percent`th percentile; 0 is the minimum, 50 the median.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * percent / 100).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }
}

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// `a` in units of `b`, for people.
pub(crate) fn ratio(a: f64, b: f64) -> String {
    // Differences near zero are noise: a ratio of them says nothing.
    if b < 1.0 { "–".to_owned() } else { format!("{:.2}", a / b) }
}
