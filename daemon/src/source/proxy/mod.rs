//! The proxy: between Claude Code and the API, on loopback, and in nobody's way.
//!
//! Whatever happens behind the door of `ingest`, the stream goes on: nothing here waits for the store, nothing
//! is buffered, nothing is altered but the hop-by-hop headers, the `Host`, and the path token in front of the
//! path. The upstream is fixed; nothing in a request chooses it.

pub mod accept;
pub mod admit;
pub mod body;
pub mod bypass;
mod dial;
pub mod failure;
mod forward;
pub mod framing;
mod gate;
pub mod headers;
pub mod hosts;
pub mod intake;
mod interim;
mod io;
mod lane;
pub mod limits;
pub mod outlet;
pub mod peer;
mod pool;
pub mod post;
pub mod respond;
pub mod room;
pub mod runtime;
pub mod server;
pub mod tap;
pub mod target;
pub mod tls;
mod tunnel;
pub mod upstream;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio_util::sync::CancellationToken;

/// What the proxy shows in `status`.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Requests under way.
    pub in_flight: AtomicU64,
    /// Connections open.
    pub connections: AtomicU64,
    /// Connections refused because another user, or another machine, was at their other end.
    pub refused: AtomicU64,
    /// Connections told to come again because there were too many.
    pub turned_away: AtomicU64,
    /// Exchanges that ended in an error of the connection to upstream.
    pub errors: AtomicU64,
    /// Requests that did not reach upstream, since one did.
    pub unreached: AtomicU64,
    /// When a request with our token was last seen, nanoseconds since the Unix epoch.
    pub last_request_ns: AtomicU64,
    last_error: Mutex<Option<String>>,
    clock_skew_ms: Mutex<Option<i64>>,
    /// Cancelled when the daemon ends and cuts the streams that are still in flight.
    pub cut: CancellationToken,
}

impl Gauges {
    /// Counts an error of the connection to upstream.
    pub fn failed(&self, error: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }

    /// Takes what an answer told of upstream's clock: the value of its `Date`, `now_ns` being our time.
    fn dated(&self, date: &HeaderValue, now_ns: u64) {
        let Some(skew) = clock_skew_ms(date.as_bytes(), now_ns) else { return };
        *self.clock_skew_ms.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
    }

    /// How far upstream's clock is ahead of ours, in milliseconds, as far as its last answer told.
    #[must_use]
    pub fn clock_skew_ms(&self) -> Option<i64> {
        *self.clock_skew_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last such error.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How far the clock that wrote this `Date` is ahead of one that shows `now_ns`, in milliseconds. None where it is no
/// date (RFC 9110 §5.6.7).
fn clock_skew_ms(date: &[u8], now_ns: u64) -> Option<i64> {
    const PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let theirs = PARSER.parse_timestamp(date).ok()?.as_millisecond();
    // It counts whole seconds: on average, half a one has passed.
    Some(theirs + 500 - i64::try_from(now_ns / 1_000_000).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_clock_is_told_by_its_date() {
        let now_ns = 1_790_000_000_250_000_000;
        for (date, ahead) in [
            ("Mon, 21 Sep 2026 14:13:20 GMT", Some(250)),
            ("Mon, 21 Sep 2026 14:12:20 GMT", Some(250 - 60_000)),
            ("Mon, 21 Sep 2026 15:13:20 GMT", Some(250 + 3_600_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(clock_skew_ms(date.as_bytes(), now_ns), ahead, "{date}");
        }
        let gauges = Gauges::default();
        assert_eq!(gauges.clock_skew_ms(), None);
        gauges.dated(&HeaderValue::from_static("Mon, 21 Sep 2026 14:13:20 GMT"), now_ns);
        gauges.dated(&HeaderValue::from_static("no date"), now_ns);
        assert_eq!(gauges.clock_skew_ms(), Some(250), "what is no date tells nothing");
    }
}
