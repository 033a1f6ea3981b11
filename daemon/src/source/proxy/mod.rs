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
    /// Cancelled when the daemon ends and cuts the streams that are still in flight.
    pub cut: CancellationToken,
}

impl Gauges {
    /// Counts an error of the connection to upstream.
    pub fn failed(&self, error: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }

    /// The last such error.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
