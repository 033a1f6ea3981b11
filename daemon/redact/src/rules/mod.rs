//! The rules that are built in, a table for each family.
//!
//! Most patterns follow the rule set of gitleaks, some that of kingfisher; NOTICE beside Cargo.toml says so.
//! Patterns are wider than theirs where a longer or shorter value would be a credential all the same: leaving one is
//! worse here than marking a string too many. No table may hold a value a scanner takes for a credential.

mod ai;
mod chat;
mod cloud;
mod code;
mod common;
mod money;
mod more;
mod ops;

use crate::rule::Rule;

/// Every rule that is built in. Ids are not unique: kinds with several forms have a rule for each.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [ai::RULES, cloud::RULES, code::RULES, chat::RULES, money::RULES, ops::RULES, more::RULES, common::RULES]
        .into_iter()
        .flatten()
}
