//! What the black-box tests and benches of ccd stand on: a mock of the Messages API that keeps a ledger of
//! what it received and sent ([`mock`]), and the means to run the real binaries and the real client in a
//! throw-away home ([`harness`]).
//!
//! Invariants:
//! - nothing here links the daemon, the store or the command line: they are run as the binaries people get;
//! - nothing here reads the user's own home, settings or credentials, or talks beyond the loopback address;
//! - whatever a test starts ends with the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a harness that cannot go on fails its test, and a panic with a message is how a test fails"
)]

pub mod corpus;
pub mod harness;
pub mod mock;
