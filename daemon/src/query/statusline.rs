//! `statusline`: what we know beside what the client tells its status line; and what it tells that we did not know.

use ccd_proto::api::{BudgetScope, StatusLine};
use serde_json::Value;

use super::budget::{Of, standings, to_api};
use super::{Ask, QueryError, detections, limits, usage};
use crate::config;
use crate::ingest::record::StatusV1;
use crate::project::budget::State;
use crate::project::limits::LimitsRow;
use crate::project::rows;
use crate::project::status::{self, ACCOUNT};

/// What the status line shows; its day is the budgets' day (`[budget] timezone`), so that both of a line agree, and the snapshot where it tells limits that are news. A snapshot that makes no sense
/// tells nothing, and is answered all the same.
pub fn statusline(
    ask: &Ask,
    settings: &config::Budget,
    upstream: &str,
    body: &[u8],
) -> Result<(StatusLine, Option<StatusV1>), QueryError> {
    let snapshot: Value = serde_json::from_slice(body).unwrap_or_default();
    let told = status::limits(&snapshot, ask.now_ns, body);
    let mut known = limits::known(&ask.reader, Some(upstream))?;
    let mut news = None;
    if let Some(told) = told {
        let before = ask.reader.get(&rows::limits(ACCOUNT))?;
        let before: Option<LimitsRow> = before.map(|bytes| rows::decode(&bytes)).transpose()?;
        let is_known = before.is_some_and(|row| {
            told.limits.iter().all(|(name, figures)| row.limits.get(name).is_some_and(|(_, f)| f == figures))
        });
        if !is_known {
            news = Some(StatusV1 { at_ns: ask.now_ns, body: body.to_vec() });
        }
        known.get_or_insert_with(|| LimitsRow::new(ACCOUNT)).merge(&LimitsRow::of(&told));
    }
    let session = status::session(&snapshot);
    let session_micros = match session {
        Some(id) => usage::session_spent(&ask.reader, id)?,
        None => None,
    };
    let signed = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
    let line = StatusLine {
        session_usd_micros: session_micros.map(signed),
        today_usd_micros: signed(usage::spent(&ask.reader, &settings.zone, ask.now_ns)?.day_micros),
        rate_limits: known.map(|row| row.to_api(ask.now_ns)),
        budget: if settings.is_configured() { worst(ask, settings, session)? } else { None },
        open_detections: match session {
            Some(id) => detections::open_in(&ask.reader, id, ask.now_ns)?,
            None => 0,
        },
    };
    Ok((line, news))
}

/// The budget that is used most of those that are near their limit.
fn worst(
    ask: &Ask,
    settings: &config::Budget,
    session: Option<&str>,
) -> Result<Option<BudgetScope>, QueryError> {
    let of = Of::Sessions(session.map(ToOwned::to_owned).into_iter().collect());
    let found = standings(ask, settings, &of)?;
    let near = found.iter().filter(|s| s.limits.state(s.spent) >= State::Near);
    let worst = near.max_by_key(|s| (s.limits.state(s.spent), s.limits.percent(s.spent)));
    Ok(worst.map(|standing| to_api(standing, ask.now_ns)))
}
