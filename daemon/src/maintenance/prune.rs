//! `store prune`: removes what is older than a time, or what makes the store larger than a size.

use ccd_proto::api::Pruned;
use http::StatusCode;

use super::Context;
use crate::query::QueryError;

/// What to remove. Both limits hold where both are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// What is older than this many nanoseconds; `None`: as the configuration says.
    pub older_than_ns: Option<u64>,
    /// The oldest, until the store takes no more than this; `None`: as the configuration says.
    pub max_bytes: Option<u64>,
    /// Only say what would go.
    pub dry_run: bool,
}

pub(super) fn run(_context: &mut Context, _what: Prune) -> Result<Pruned, QueryError> {
    Err(QueryError::new(
        StatusCode::NOT_IMPLEMENTED,
        "not_available",
        "removing old records is not available in this build",
    ))
}
