//! The supervisor: holds the listeners, and keeps a worker behind them.
//!
//! ```text
//!   systemd | launchd | own bind ──► ccd supervise ──► the listeners, for as long as it lives
//!                                        │ channel
//!                     ┌──────────────────┼───────────────────────┐
//!                 ccd run             ccd run                ccd run --bypass
//!                 (serves)     (the one before, drains)   (relays, captures nothing)
//! ```
//!
//! A listener outlives every worker, so that no connection is ever refused: what comes while there is no worker waits
//! in the kernel's queue, for milliseconds. An upgrade is a second worker on the same listener; the first one stops to
//! accept and finishes its streams.
//!
//! Must never read what passes through, open the store, start a thread, or end because a worker did. Synchronous, one
//! `poll`, no clock of its own: idle, it does not wake up.

pub mod channel;
pub mod control;
pub mod inherit;
pub mod ladder;
pub mod link;
pub mod listeners;
pub mod notify;
pub mod reexec;
mod refuse;
mod run;
mod signals;
mod steps;
mod stuck;
mod worker;

pub use run::{Ended, Reload, Setup, Tell, supervise};

use serde::{Deserialize, Serialize};

/// The variable in which a worker finds its [`Assignment`].
pub const ASSIGNMENT: &str = "CCD_WORKER";
/// The variable in which a supervisor that has replaced its own program finds what it was doing.
pub const SUCCESSION: &str = "CCD_SUPERVISOR";

/// A listening socket that another process inherits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// What it is: [`listeners::Name`].
    pub name: String,
    /// Its number.
    pub fd: i32,
    /// Who holds it: [`listeners::Holder`].
    pub holder: String,
}

/// What a supervisor hands its worker, as JSON in the variable [`ASSIGNMENT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Listening sockets.
    pub listeners: Vec<Passed>,
    /// The channel to the supervisor.
    pub channel: i32,
    /// Who keeps the supervisor running.
    pub manager: String,
    /// Whether another worker may still have the store: serve first, and wait for it.
    pub takeover: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_of_another_version_is_understood() {
        // As the first version wrote it: what comes later has to do without it, or with a default.
        let first = r#"{"listeners":[{"name":"proxy","fd":5,"holder":"supervise"}],"channel":6,
            "manager":"systemd","takeover":true}"#;
        let assignment: Assignment = serde_json::from_str(first).unwrap();
        assert_eq!((assignment.listeners[0].fd, assignment.channel, assignment.takeover), (5, 6, true));
        let later = r#"{"listeners":[{"name":"proxy","fd":5,"holder":"supervise","kind":"tcp"},
            {"name":"of_tomorrow","fd":9,"holder":"of_tomorrow"}],
            "channel":6,"manager":"of_tomorrow","takeover":false,"of_tomorrow":{"a":1}}"#;
        let assignment: Assignment = serde_json::from_str(later).unwrap();
        assert_eq!(assignment.listeners.len(), 2);
    }
}
