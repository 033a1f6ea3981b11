//! Everything that comes in: hook events by socket and by spool, transcripts, API exchanges through the proxy, and
//! what the client tells of itself.

pub mod gap;
pub mod hook;
pub mod kept;
pub mod proxy;
pub mod spool;
pub mod telemetry;
pub mod transcript;
