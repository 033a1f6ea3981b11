//! The one place that reads the wall clock. Everything else is handed times, so that it can be tested.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch.
    fn now_ns(&self) -> u64;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Nanoseconds since the Unix epoch as RFC 3339 in UTC, with microseconds.
#[must_use]
pub fn rfc3339(ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

/// RFC 3339 to nanoseconds since the Unix epoch; times before it are the epoch.
pub fn parse_rfc3339(text: &str) -> Result<u64, jiff::Error> {
    let time: jiff::Timestamp = text.parse()?;
    Ok(u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_in_utc_with_microseconds_and_parse_back() {
        let ns = 1_795_200_000_123_456_000;
        assert_eq!(rfc3339(ns), "2026-11-20T18:40:00.123456Z");
        assert_eq!(parse_rfc3339(&rfc3339(ns)).unwrap(), ns);
        assert_eq!(parse_rfc3339("2026-11-20T19:40:00.123456+01:00").unwrap(), ns);
        assert_eq!(
            rfc3339(u64::MAX),
            rfc3339(0).replace("1970-01-01T00:00:00.000000Z", "2554-07-21T23:34:33.709551Z")
        );
    }
}
