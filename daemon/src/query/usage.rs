//! `usage`: tokens and cost, added up from the roll-ups.
//!
//! Every row is a sum of whole micro-dollars per model call, so rows add up to the totals and every grouping of
//! the same range agrees. The range is cut at quarters of an hour, which every time zone's days begin on.

use std::collections::{BTreeMap, HashMap};

use ccd_proto::api::{Retries, Session, Tokens, Usage};
use ccd_store::Reader;
use jiff::tz::TimeZone;

use super::filter::Filter;
use super::{Ask, QueryError, limits, sessions};
use crate::clock::rfc3339;
use crate::project::cost::Sum;
use crate::project::retries::RetryRow;
use crate::project::rows::{self, BUCKET_NS, Rollup};

/// Length of a block in buckets: 5 hours.
const BLOCK: u32 = 20;
/// Buckets per hour.
const HOUR: u32 = 4;

/// Tokens and cost by the keys asked for.
pub fn usage(ask: &Ask, filter: &Filter) -> Result<Usage, QueryError> {
    let period = filter.period.as_deref().unwrap_or("daily");
    if !["total", "daily", "weekly", "monthly", "session", "blocks"].contains(&period) {
        return Err(QueryError::bad(format!(
            "period {period:?}: one of total, daily, weekly, monthly, session, blocks"
        )));
    }
    if let Some(by) = filter.by.iter().find(|b| !["model", "tool", "project", "agent"].contains(&b.as_str()))
    {
        return Err(QueryError::bad(format!("by {by:?}: any of model, tool, project, agent")));
    }
    let zone = match filter.tz.as_deref() {
        Some(name) => TimeZone::get(name).map_err(|e| QueryError::bad(format!("tz={name:?}: {e}")))?,
        None => TimeZone::UTC,
    };
    let rollups = load(ask, filter)?;
    let starts = if period == "blocks" { block_starts(ask)? } else { Vec::new() };
    let mut totals = Sum::default();
    let mut sums: BTreeMap<Vec<String>, Sum> = BTreeMap::new();
    for rollup in &rollups {
        let bucket = rollup.key.bucket;
        totals.merge(&rollup.sum);
        let mut key = Vec::new();
        match period {
            "daily" => key.push(day(bucket, &zone).to_string()),
            "weekly" => key.push(week(day(bucket, &zone)).to_string()),
            "monthly" => key.push(day(bucket, &zone).strftime("%Y-%m").to_string()),
            "session" => key.push(rollup.key.session_id.clone()),
            "blocks" => {
                let at = starts.partition_point(|start| *start <= bucket);
                let start = at.checked_sub(1).and_then(|i| starts.get(i)).copied().unwrap_or(bucket);
                key.push(rfc3339(u64::from(start) * BUCKET_NS));
            }
            _ => {}
        }
        for (tool, share) in shares(rollup, filter.by.iter().any(|b| b == "tool")) {
            let mut key = key.clone();
            key.extend(filter.by.iter().map(|by| match by.as_str() {
                "model" => rollup.key.model.clone(),
                "project" => named(&rollup.key.project),
                "agent" => rollup.key.agent.clone(),
                _ => named(&tool),
            }));
            sums.entry(key).or_default().merge(&share);
        }
    }
    let period_name = match period {
        "daily" => Some("date"),
        "weekly" => Some("week"),
        "monthly" => Some("month"),
        "session" => Some("session_id"),
        "blocks" => Some("block"),
        _ => None,
    };
    let names: Vec<&str> = period_name.into_iter().chain(filter.by.iter().map(String::as_str)).collect();
    let rows = sums
        .into_iter()
        .map(|(key, sum)| sum.to_row(names.iter().map(|n| (*n).to_owned()).zip(key).collect()))
        .collect();
    let cut = |ns: u64| rfc3339(ns - ns % BUCKET_NS);
    Ok(Usage {
        since: filter.since_ns.map(cut),
        until: filter.until_ns.map(|ns| cut(ns.saturating_add(BUCKET_NS - 1))),
        timezone: zone.iana_name().unwrap_or("UTC").to_owned(),
        period: period.into(),
        by: filter.by.clone(),
        unpriced_models: totals.unpriced_models.iter().cloned().collect(),
        totals: totals.to_row(BTreeMap::new()),
        rows,
        retries: retries(ask, filter)?,
        rate_limits: limits::known(&ask.reader, None)?.map(|row| row.to_api(ask.now_ns)),
        ..Usage::default()
    })
}

/// What was spent, in micro-dollars. What has no price is in none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In the day that it is.
    pub day_micros: u64,
    /// In the month that it is.
    pub month_micros: u64,
}

/// What was spent in the day and the month that it is in a time zone.
pub fn spent(reader: &Reader, zone: &TimeZone, now_ns: u64) -> Result<Spent, QueryError> {
    let bucket = u32::try_from(now_ns / BUCKET_NS).unwrap_or(u32::MAX);
    let today = day(bucket, zone);
    let mut spent = Spent::default();
    // No month is longer than 31 days and the hour that a clock may be set back.
    let from = bucket.saturating_sub(32 * 24 * HOUR);
    for row in reader.scan(&rows::rollups_from(from), &rows::rollups_end()) {
        let rollup: Rollup = rows::decode(&row?.1)?;
        let date = day(rollup.key.bucket, zone);
        if date.first_of_month() == today.first_of_month() {
            spent.month_micros += rollup.sum.micros;
            if date == today {
                spent.day_micros += rollup.sum.micros;
            }
        }
    }
    Ok(spent)
}

/// What a session has cost so far, in micro-dollars; `None` where nothing of it was billed.
pub fn session_spent(reader: &Reader, session_id: &str) -> Result<Option<u64>, QueryError> {
    let mut micros = None;
    for row in reader.scan(&rows::rollups_from(0), &rows::rollups_end()) {
        let rollup: Rollup = rows::decode(&row?.1)?;
        if rollup.key.session_id == session_id {
            *micros.get_or_insert(0) += rollup.sum.micros;
        }
    }
    Ok(micros)
}

/// What attempts that were repeated cost. Which tools they would have called nobody knows: that filter leaves none.
fn retries(ask: &Ask, filter: &Filter) -> Result<Retries, QueryError> {
    let session = filter.session.as_deref().map(|prefix| sessions::resolve(ask, prefix)).transpose()?;
    let of_project = match &filter.project {
        Some(_) => Some(sessions::matching(ask, &Filter { limit: 0, session: None, ..filter.clone() })?),
        None => None,
    };
    let cut = |ns: u64| ns - ns % BUCKET_NS;
    let from = rows::retries_from(cut(filter.since_ns.unwrap_or(0)));
    let to = filter
        .until_ns
        .map_or_else(rows::retries_end, |ns| rows::retries_from(cut(ns.saturating_add(BUCKET_NS - 1))));
    let (mut sum, mut exchanges) = (Sum::default(), 0);
    for row in ask.reader.scan(&from, &to) {
        let row: RetryRow = rows::decode(&row?.1)?;
        if row.retried_by.is_some()
            && filter.tool.is_none()
            && session.as_ref().is_none_or(|s| *s == row.session_id)
            && of_project.as_ref().is_none_or(|of| of.iter().any(|s| s.session_id == row.session_id))
        {
            exchanges += 1;
            sum.add(&row.billed());
        }
    }
    Ok(Retries { exchanges, tokens: sum.tokens, cost_usd_micros: sum.cost_usd_micros(), cost: sum.display() })
}

/// Where blocks begin: on the hour of the first use after the block before it ended. All use counts, whatever
/// the question is about, so that every question sees the same blocks.
fn block_starts(ask: &Ask) -> Result<Vec<u32>, QueryError> {
    let mut starts: Vec<u32> = Vec::new();
    for row in ask.reader.scan(&rows::rollups_from(0), &rows::rollups_end()) {
        let bucket = rows::rollup_bucket(&row?.0);
        if starts.last().is_none_or(|start| bucket >= start + BLOCK) {
            starts.push(bucket - bucket % HOUR);
        }
    }
    Ok(starts)
}

fn named(name: &str) -> String {
    if name.is_empty() { "(none)".into() } else { name.into() }
}

/// A session's project may be known later than its first calls, and its records may be gone: its row knows it, else
/// what was known with one of its calls.
fn name_projects(ask: &Ask, filter: &Filter, rollups: &mut Vec<Rollup>) -> Result<(), QueryError> {
    let mut known: HashMap<String, Session> = HashMap::new();
    for Rollup { key, .. } in rollups.iter().filter(|rollup| !rollup.key.project.is_empty()) {
        let session = Session { project: Some(key.project.clone()), ..Session::default() };
        known.insert(key.session_id.clone(), session);
    }
    for session in sessions::matching(ask, &Filter { limit: 0, ..Filter::default() })? {
        if session.project.as_ref().is_some_and(|project| !project.is_empty()) {
            known.insert(session.session_id.clone(), session);
        }
    }
    rollups.retain_mut(|rollup| {
        // Calls of no session have their own.
        let session = known.get(&rollup.key.session_id).filter(|_| !rollup.key.session_id.is_empty());
        if let Some(project) = session.and_then(|session| session.project.as_ref()) {
            rollup.key.project.clone_from(project);
        }
        filter.project.is_none() || session.is_some_and(|session| filter.matches_project(session))
    });
    Ok(())
}

fn load(ask: &Ask, filter: &Filter) -> Result<Vec<Rollup>, QueryError> {
    let bucket = |ns: u64| u32::try_from(ns / BUCKET_NS).unwrap_or(u32::MAX);
    let from = rows::rollups_from(bucket(filter.since_ns.unwrap_or(0)));
    let to = filter
        .until_ns
        .map_or_else(rows::rollups_end, |ns| rows::rollups_from(bucket(ns.saturating_add(BUCKET_NS - 1))));
    let session = match &filter.session {
        Some(prefix) => Some(sessions::resolve(ask, prefix)?),
        None => None,
    };
    let mut out = Vec::new();
    for row in ask.reader.scan(&from, &to) {
        let rollup: Rollup = rows::decode(&row?.1)?;
        if session.as_ref().is_none_or(|s| *s == rollup.key.session_id)
            && filter.tool.as_ref().is_none_or(|t| rollup.key.tools.contains(t))
        {
            out.push(rollup);
        }
    }
    if filter.project.is_some() || filter.by.iter().any(|b| b == "project") {
        name_projects(ask, filter, &mut out)?;
    }
    Ok(out)
}

fn day(bucket: u32, zone: &TimeZone) -> jiff::civil::Date {
    let seconds = i64::from(bucket) * 900;
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    zone.to_datetime(time).date()
}

/// The Monday of a date's week.
fn week(date: jiff::civil::Date) -> jiff::civil::Date {
    let back = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(jiff::Span::new().days(back)).unwrap_or(date)
}

/// A roll-up's sum, shared out among the tools that the calls asked for: evenly, what does not divide to the
/// first. Calls that asked for none stand under no name.
fn shares(rollup: &Rollup, by_tool: bool) -> Vec<(String, Sum)> {
    let tools = &rollup.key.tools;
    if !by_tool || tools.len() < 2 {
        return vec![(tools.first().cloned().unwrap_or_default(), rollup.sum.clone())];
    }
    let n = tools.len() as u64;
    let part = |whole: u64, i: usize| whole / n + if i == 0 { whole % n } else { 0 };
    let share = |(i, tool): (usize, &String)| {
        let t = &rollup.sum.tokens;
        let sum = Sum {
            calls: rollup.sum.calls,
            tokens: Tokens {
                input: part(t.input, i),
                output: part(t.output, i),
                cache_read: part(t.cache_read, i),
                cache_write_5m: part(t.cache_write_5m, i),
                cache_write_1h: part(t.cache_write_1h, i),
            },
            micros: part(rollup.sum.micros, i),
            ..rollup.sum.clone()
        };
        (tool.clone(), sum)
    };
    tools.iter().enumerate().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::rows::RollupKey;

    #[test]
    fn shares_add_up_to_the_whole() {
        let rollup = Rollup {
            key: RollupKey {
                tools: vec!["Bash".into(), "Edit".into(), "Read".into()],
                ..RollupKey::default()
            },
            sum: Sum {
                calls: 1,
                tokens: Tokens { input: 10, output: 2, ..Tokens::default() },
                micros: 101,
                priced: 1,
                ..Sum::default()
            },
        };
        let mut sum = Sum::default();
        for (_, share) in shares(&rollup, true) {
            sum.merge(&share);
        }
        assert_eq!((sum.tokens, sum.micros), (rollup.sum.tokens, 101));
        assert_eq!(shares(&rollup, false).len(), 1);
    }

    #[test]
    fn weeks_begin_on_monday_and_days_follow_the_zone() {
        let date = |s: &str| s.parse::<jiff::civil::Date>().unwrap();
        assert_eq!(week(date("2026-11-20")), date("2026-11-16"));
        assert_eq!(week(date("2026-11-16")), date("2026-11-16"));
        let bucket = u32::try_from(1_795_219_200u64 / 900).unwrap(); // 2026-11-21T00:00Z
        assert_eq!(day(bucket, &TimeZone::UTC), date("2026-11-21"));
        assert_eq!(day(bucket, &TimeZone::get("America/New_York").unwrap()), date("2026-11-20"));
    }
}
