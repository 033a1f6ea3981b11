//! `budget`: what was spent beside what may be. One reading for everybody: the command, the status line, and who tells
//! of thresholds.

use ccd_proto::api::{Budget, BudgetScope, Session, display_usd};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::{Ask, QueryError, sessions, usage};
use crate::clock::parse_rfc3339;
use crate::config;
use crate::project::budget::{Level, Limits, Scope, State, notice_id, projected};
use crate::project::{ids, rows};

/// A session that was last used before this is not told of any more: somebody may be importing the past.
const RECENT_NS: u64 = 86_400_000_000_000;

/// How one budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is about.
    pub scope: Scope,
    /// Which one: a session's id, a date, a month.
    pub key: String,
    /// What was spent, in micro-dollars.
    pub spent: u64,
    /// The limits.
    pub limits: Limits,
    /// When the day or month began, nanoseconds since the Unix epoch; 0 for sessions.
    pub began_ns: u64,
    /// When it ends; for sessions, never.
    pub ends_ns: u64,
    /// Which of the thresholds as they are now were told of.
    pub told: Vec<Level>,
}

/// Which sessions are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those that were used in the last day.
    Recent,
    /// Those of these that were used in the last day.
    Sessions(Vec<String>),
}

/// How the day's, the month's and those sessions' budgets stand: those that have limits.
pub fn standings(ask: &Ask, settings: &config::Budget, of: &Of) -> Result<Vec<Standing>, QueryError> {
    let mut found = Vec::new();
    if !settings.session.is_none() {
        for session in recent(ask, of)? {
            found.push(of_session(ask, settings, &session)?);
        }
    }
    if !(settings.day.is_none() && settings.month.is_none()) {
        found.extend(of_calendar(ask, settings)?);
    }
    found.retain(|standing| !standing.limits.is_none());
    Ok(found)
}

/// The sessions that were used in the last day.
fn recent(ask: &Ask, of: &Of) -> Result<Vec<String>, QueryError> {
    let from_ns = ask.now_ns.saturating_sub(RECENT_NS);
    let is_recent = |s: &Session| parse_rfc3339(&s.last_at).is_ok_and(|last| last >= from_ns);
    let mut found = Vec::new();
    match of {
        Of::Sessions(ids) => {
            for id in ids {
                let row = ask.reader.get(&rows::session(ids::session_key(id)))?;
                let row: Option<Session> = row.map(|bytes| rows::decode(&bytes)).transpose()?;
                found.extend(row.filter(is_recent).map(|s| s.session_id));
            }
        }
        Of::Recent => {
            for session in sessions::recent(ask, from_ns) {
                found.push(session?.session_id);
            }
        }
    }
    Ok(found)
}

fn of_session(ask: &Ask, settings: &config::Budget, session: &str) -> Result<Standing, QueryError> {
    let spent = usage::session_spent(&ask.reader, session)?.unwrap_or(0);
    standing(ask, settings, Scope::Session, session.to_owned(), spent, (0, u64::MAX))
}

/// The day and the month that it is.
fn of_calendar(ask: &Ask, settings: &config::Budget) -> Result<[Standing; 2], QueryError> {
    let zone = &settings.zone;
    let spent = usage::spent(&ask.reader, zone, ask.now_ns)?;
    let today = date(ask.now_ns, zone);
    let first = today.first_of_month();
    let day = (begin(today, zone), begin(today.saturating_add(1.day()), zone));
    let month = (begin(first, zone), begin(first.saturating_add(1.month()), zone));
    Ok([
        standing(ask, settings, Scope::Day, today.to_string(), spent.day_micros, day)?,
        standing(
            ask,
            settings,
            Scope::Month,
            today.strftime("%Y-%m").to_string(),
            spent.month_micros,
            month,
        )?,
    ])
}

fn standing(
    ask: &Ask,
    settings: &config::Budget,
    scope: Scope,
    key: String,
    spent: u64,
    (began_ns, ends_ns): (u64, u64),
) -> Result<Standing, QueryError> {
    let limits = settings.limits(scope);
    let mut told = Vec::new();
    for (level, limit) in [(Level::Soft, limits.soft), (Level::Hard, limits.hard)] {
        if let Some(limit) = limit
            && ask.reader.get(&rows::notice(notice_id(scope, &key, level, limit)))?.is_some()
        {
            told.push(level);
        }
    }
    Ok(Standing { scope, key, spent, limits, began_ns, ends_ns, told })
}

fn date(ns: u64, zone: &TimeZone) -> Date {
    let at = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.to_datetime(at).date()
}

/// When a date begins, nanoseconds since the Unix epoch.
fn begin(date: Date, zone: &TimeZone) -> u64 {
    let at = date.to_zoned(zone.clone()).map_or(Timestamp::MAX, |zoned| zoned.timestamp());
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// As `budget` prints it.
#[must_use]
pub fn to_api(standing: &Standing, now_ns: u64) -> BudgetScope {
    let signed = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
    let Standing { scope, key, spent, limits, began_ns, ends_ns, told } = standing;
    let whole = ends_ns.saturating_sub(*began_ns);
    let projected = (*scope != Scope::Session)
        .then(|| projected(*spent, now_ns.saturating_sub(*began_ns), whole).map(signed))
        .flatten();
    BudgetScope {
        scope: scope.name().into(),
        key: key.clone(),
        spent_usd_micros: signed(*spent),
        spent: display_usd(signed(*spent)),
        soft_usd_micros: limits.soft.map(signed),
        hard_usd_micros: limits.hard.map(signed),
        percent: limits.percent(*spent),
        projected_usd_micros: projected,
        projected: projected.map(display_usd),
        state: limits.state(*spent).name().into(),
        told: told.iter().map(|level| level.name().into()).collect(),
    }
}

/// Every budget: of the session asked for, else the one that was used last; of the day; of the month.
pub fn budget(ask: &Ask, settings: &config::Budget, session: Option<&str>) -> Result<Budget, QueryError> {
    let session = match session {
        Some(prefix) => Some(sessions::resolve(ask, prefix)?),
        None => last_used(ask)?,
    };
    let mut found = Vec::new();
    if let Some(session) = &session {
        found.push(of_session(ask, settings, session)?);
    }
    found.extend(of_calendar(ask, settings)?);
    let worst = found.iter().map(|s| s.limits.state(s.spent)).max().unwrap_or(State::None);
    let counters = ask.shared.counters();
    let recorded = counters.exchanges + counters.transcripts > 0 || found.iter().any(|s| s.spent > 0);
    Ok(Budget {
        configured: settings.is_configured(),
        recorded,
        enforce: settings.enforce,
        timezone: settings.zone.iana_name().unwrap_or("UTC").to_owned(),
        state: if recorded { worst } else { State::None }.name().into(),
        scopes: found.iter().map(|standing| to_api(standing, ask.now_ns)).collect(),
    })
}

fn last_used(ask: &Ask) -> Result<Option<String>, QueryError> {
    Ok(sessions::recent(ask, 0).next().transpose()?.map(|session| session.session_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_where_the_zone_says() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let ns = parse_rfc3339("2026-11-01T03:59:59Z").unwrap();
        assert_eq!(date(ns, &zone).to_string(), "2026-10-31");
        assert_eq!(begin(date(ns, &zone).saturating_add(1.day()), &zone), ns + 1_000_000_000);
        // The day on which clocks are set back has 25 hours.
        let day: Date = "2026-11-01".parse().unwrap();
        assert_eq!(begin(day.saturating_add(1.day()), &zone) - begin(day, &zone), 25 * 3_600_000_000_000);
    }
}
