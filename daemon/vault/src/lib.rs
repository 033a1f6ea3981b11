//! The vault: what redaction took out, sealed, and the tokens that stand for it.
//!
//! ```text
//! vault/lock         held while the rows or the keys are changed            files.rs
//! vault/rows         sealed rows, appended                                  frame.rs, row.rs
//! vault/rows.new     their successor, until it takes their place            rewrite.rs
//! vault/key          the keys, where no keychain keeps them                 keys/file.rs
//! vault/audit.jsonl  who looked what up, each line bound to the one before  audit.rs
//! vault/audit.head   how far the log goes                                   audit.rs
//! ```
//!
//! A value's token is a keyed hash of it: the same value has the same token, for ever, and who has no key cannot try values
//! out. What is sealed is bound to its token, rule and session: rows cannot be swapped. The key that seals can be changed
//! ([`Vault::rotate`]); the one that names stays.
//!
//! Must never write a value that is not sealed, hand a token out whose row is not durable, or give a value to somebody who
//! is not on the audit log yet. Keys and values are wiped from memory once they are done with; they are never in arguments,
//! variables of the environment, errors or logs.
//!
//! Nothing here reads a clock, an environment or a path that it was not given. Several processes may have one vault open, as
//! two daemons do while one hands over to the other: each change is made under a lock, by whoever has looked at what the
//! others did.

mod audit;
mod backup;
mod codec;
mod error;
mod files;
mod frame;
mod index;
pub mod keys;
mod rewrite;
mod row;
mod seal;
mod token;
mod vault;

#[cfg(test)]
mod tests;

pub use crate::audit::{Entry, Log, Who};
pub use crate::backup::{Lock, Restored, Unlock};
pub use crate::error::VaultError;
pub use crate::files::Step;
pub use crate::keys::{KeyError, KeyStore, Keys};
pub use crate::rewrite::{Deleted, Rotated, What};
pub use crate::token::{Name, Token, Variant};
pub use crate::vault::{Answer, Health, Hit, Sealed, Stats, Value, Vault};
