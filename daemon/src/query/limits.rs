//! What is known of the API's limits: what responses told, and what the client told its status line of the account's.

use ccd_store::Reader;

use super::QueryError;
use crate::project::limits::LimitsRow;
use crate::project::rows;
use crate::project::status::ACCOUNT;

/// The limits of an upstream, or, without one, of the upstream that was heard last; the account's with them, each figure
/// as it was told last.
pub fn known(reader: &Reader, upstream: Option<&str>) -> Result<Option<LimitsRow>, QueryError> {
    let read = |name: &str| -> Result<Option<LimitsRow>, QueryError> {
        Ok(reader.get(&rows::limits(name))?.map(|bytes| rows::decode(&bytes)).transpose()?)
    };
    let account = read(ACCOUNT)?;
    let told = match upstream {
        Some(upstream) => read(upstream)?,
        None => newest(reader)?,
    };
    Ok(match (told, account) {
        (Some(mut told), Some(account)) => {
            told.merge(&account);
            Some(told)
        }
        (told, account) => told.or(account),
    })
}

fn newest(reader: &Reader) -> Result<Option<LimitsRow>, QueryError> {
    let (from, to) = rows::all_limits();
    let mut newest: Option<LimitsRow> = None;
    for row in reader.scan(&from, &to) {
        let row: LimitsRow = rows::decode(&row?.1)?;
        if row.upstream != ACCOUNT && newest.as_ref().is_none_or(|known| known.at_ns() < row.at_ns()) {
            newest = Some(row);
        }
    }
    Ok(newest)
}
