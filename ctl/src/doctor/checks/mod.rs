//! The checks, one file per family. Each says what is from facts that were gathered before; none changes anything.

pub(super) mod client;
pub(super) mod clock;
pub(super) mod daemon;
pub(super) mod events;
pub(super) mod hooks;
pub(super) mod install;
pub(super) mod programs;
pub(super) mod request;
mod service;
pub(super) mod sockets;
pub(super) mod store;
pub(super) mod vault;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::env::Env;
use crate::human::duration_ms;

/// How long ago a moment of the daemon's was: `4m05s ago`. None where it is no time, or still to come.
fn ago(env: &Env, rfc3339: &str) -> Option<String> {
    let at: Timestamp = rfc3339.parse().ok()?;
    // What happened while this command ran was just now, not later.
    let ms = env.now.as_millisecond() - at.as_millisecond();
    let ms = u64::try_from(ms.max(0)).ok().filter(|_| ms > -60_000)?;
    Some(format!("{} ago", duration_ms(ms)))
}
