//! How the time of an exchange was spent. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

/// The steps of an exchange, in milliseconds with microseconds behind the point. Moments count from the arrival of
/// the request's head at the proxy; a step that did not happen, or that nothing told, is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// On a connection that was there already: then nothing was looked up, connected or negotiated.
    pub reused: bool,
    /// Through the HTTP proxy of the user's network.
    pub tunnelled: bool,
    /// Address that was connected to: upstream's, or that of the network's proxy.
    pub peer: Option<String>,
    /// Duration: looking the name up.
    pub resolve_ms: Option<f64>,
    /// Duration: connecting, the network proxy's `CONNECT` included.
    pub connect_ms: Option<f64>,
    /// Duration: negotiating TLS.
    pub tls_ms: Option<f64>,
    /// Moment: the request's body was read whole.
    pub sent_ms: Option<f64>,
    /// Moment: the response's head.
    pub head_ms: Option<f64>,
    /// Moment: the response's first body byte.
    pub first_byte_ms: Option<f64>,
    /// Moment: the end.
    pub total_ms: f64,
    /// Longest silence between two chunks of the response, or between the last one and a cut.
    pub longest_gap_ms: Option<f64>,
    /// Silences of five seconds or more, in which not even a ping came: the ten longest, in order.
    pub stalls: Vec<Stall>,
}

/// A silence in the middle of a response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stall {
    /// Moment of its beginning.
    pub at_ms: f64,
    /// How long it was.
    pub ms: f64,
}

/// Microseconds as milliseconds.
#[must_use]
pub fn millis(us: u64) -> f64 {
    // Exact to the microsecond for the next 285 years.
    #[allow(clippy::cast_precision_loss)]
    let us = us as f64;
    us / 1000.0
}
