//! Records → sessions, turns, spans and usage.
//!
//! Pure: no I/O, no clock, no configuration beyond the prices handed in. The same records give the same views,
//! in whatever order they come. What the network sent is read here and nowhere earlier, so that the journal
//! never holds an interpretation.

pub mod account;
pub mod billed;
pub mod budget;
pub mod charge;
pub mod compactions;
pub mod cost;
pub mod decode;
pub mod detections;
pub mod exchange;
pub mod foreign;
pub mod hook;
pub mod ids;
pub mod limits;
mod lines;
#[cfg(test)]
mod lines_tests;
mod links;
pub mod members;
pub mod message;
mod messages;
mod origin;
pub mod pairs;
pub mod price;
pub mod request;
pub mod retries;
pub mod rows;
pub mod session;
pub mod share;
pub mod sse;
pub mod status;
mod summary;
mod sums;
pub mod tally;
pub mod telemetry;
pub mod text;
pub mod timing;
pub mod transcript;
mod turns;
pub mod view;
#[cfg(test)]
mod view_tests;

/// Raised when the same records would give other views: the index is then rebuilt from the journal.
pub const VERSION: u16 = 12;
