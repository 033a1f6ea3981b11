//! Everything that comes in: hook events by socket and by spool, transcripts, API exchanges through the proxy.

pub mod gap;
pub mod hook;
pub mod kept;
pub mod proxy;
pub mod spool;
pub mod transcript;
