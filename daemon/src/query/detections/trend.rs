//! Detections over time, projects, kinds: counts, beside how many sessions there were.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ccd_proto::api::{DetectionTrend, DetectionTrendRow};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::wanted::{States, Wanted};
use super::{Place, each};
use crate::project::detections::DetectionRow;
use crate::query::filter::Filter;
use crate::query::usage::week;
use crate::query::{Ask, QueryError, sessions};

const KEYS: [&str; 6] = ["kind", "rule", "project", "week", "day", "session"];

/// What a row sums up.
#[derive(Default)]
struct Sum {
    detections: u64,
    dismissed: u64,
    intervened: u64,
    sessions: BTreeSet<String>,
    worst: u8,
}

/// Counts by the keys asked for, by kind where none is. Without a state all count, those that were dismissed, too: they
/// are told apart.
pub fn trend(ask: &Ask, wanted: &Wanted) -> Result<DetectionTrend, QueryError> {
    let by = match wanted.filter.by.as_slice() {
        [] => vec!["kind".to_owned()],
        by => by.to_vec(),
    };
    if let Some(by) = by.iter().find(|by| !KEYS.contains(&by.as_str())) {
        return Err(QueryError::bad(format!("by {by:?}: any of {}", KEYS.join(", "))));
    }
    let zone = match wanted.filter.tz.as_deref() {
        Some(name) => TimeZone::get(name).map_err(|e| QueryError::bad(format!("tz={name:?}: {e}")))?,
        None => TimeZone::UTC,
    };
    let mut wanted = wanted.clone();
    if wanted.states == States::NotDismissed {
        wanted.states = States::All;
    }
    let mut sums: BTreeMap<Vec<String>, Sum> = BTreeMap::new();
    each(ask, &wanted, &mut |place, found| {
        let row = found.row(ask, place)?;
        let key = by.iter().map(|by| label(by, place, &row, &zone)).collect();
        let sum = sums.entry(key).or_default();
        sum.detections += 1;
        sum.dismissed += u64::from(row.brief.gist.dismissed);
        sum.intervened += u64::from(row.intervention.is_some());
        sum.worst = sum.worst.max(row.brief.gist.severity);
        sum.sessions.insert(row.session_id);
        Ok(())
    })?;
    let mut found: Vec<(Vec<String>, Sum)> = sums.into_iter().collect();
    let times = |key: &[String]| {
        let times = by.iter().zip(key).filter(|(by, _)| matches!(by.as_str(), "week" | "day"));
        Reverse(times.map(|(_, value)| value.clone()).collect::<Vec<_>>())
    };
    found.sort_by_cached_key(|(key, sum)| (times(key), Reverse(sum.detections), key.clone()));
    let rows = found.into_iter().map(|(key, sum)| DetectionTrendRow {
        key: by.iter().cloned().zip(key).collect(),
        detections: sum.detections,
        dismissed: sum.dismissed,
        intervened: sum.intervened,
        sessions: sum.sessions.len() as u64,
        worst: sum.worst,
    });
    Ok(DetectionTrend { rows: rows.collect(), sessions: in_range(ask, &wanted.filter)?, by })
}

fn label(by: &str, (at_ns, _): Place, row: &DetectionRow, zone: &TimeZone) -> String {
    match by {
        "kind" => row.brief.gist.kind.clone(),
        "rule" => row.brief.rule.clone(),
        "project" => row.project().unwrap_or("(none)").to_owned(),
        "session" => row.session_id.clone(),
        "day" => date(at_ns, zone).to_string(),
        _ => week(date(at_ns, zone)).to_string(),
    }
}

fn date(ns: u64, zone: &TimeZone) -> Date {
    let at = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    zone.to_datetime(at).date()
}

/// Sessions in the range, whether anything was found in them or not.
fn in_range(ask: &Ask, filter: &Filter) -> Result<u64, QueryError> {
    match sessions::matching(ask, filter) {
        Ok(found) => Ok(found.len() as u64),
        // Nothing but its detections is left of it.
        Err(error) if error.error.code == "not_found" => Ok(0),
        Err(error) => Err(error),
    }
}
