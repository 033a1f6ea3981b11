//! Thresholds, as the configuration gives them.
//!
//! It must never refuse a session: a threshold that makes no sense turns its rule off or makes it quiet, not wrong.
//!
//! Invariant: the defaults are those that the doc pages state.

use serde::{Deserialize, Serialize};

/// All thresholds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Loops.
    #[serde(rename = "loop")]
    pub looping: Looping,
    /// A context that fills.
    pub overflow: Overflow,
    /// Money.
    pub cost: Cost,
}

/// Thresholds of the loop detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Looping {
    /// Whether it runs.
    pub enabled: bool,
}

impl Default for Looping {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Thresholds of the overflow detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overflow {
    /// Whether it runs.
    pub enabled: bool,
}

impl Default for Overflow {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Thresholds of the cost detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cost {
    /// Whether it runs.
    pub enabled: bool,
}

impl Default for Cost {
    fn default() -> Self {
        Self { enabled: true }
    }
}
