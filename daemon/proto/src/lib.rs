//! What crosses ccd's sockets, and where those sockets are.
//!
//! Three programs meet here: `cc-hook` writes [`frame`]s, `ccd` reads them and answers the control API,
//! `ccctl` asks it. All three find each other through [`paths::Layout`].
//!
//! Invariants:
//! - without features this crate has no dependencies: it is all that `cc-hook` links besides std;
//! - nothing here reads the environment, the clock or a file: callers pass what they know;
//! - JSON names in `api` are a contract with scripts: fields may be added, never renamed.

#[cfg(feature = "api")]
pub mod api;
pub mod frame;
pub mod paths;
pub mod revival;
#[cfg(feature = "api")]
pub mod size;

/// The control API's version, an integer sent as the header `Ccd-Api` both ways. Raised when a route or a
/// field changes its meaning; added fields do not raise it.
pub const API_VERSION: u32 = 1;

/// The version of the product, sent as the header `Ccd-Version` both ways.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `schema_version` of everything that `--json` prints.
pub const SCHEMA_VERSION: u32 = 1;
