//! `usage`: tokens and cost by period and by further keys.
//!
//! Every row is a sum of whole micro-dollars per charge, so rows add up to the totals and every grouping of the same
//! range agrees. The range is cut at quarters of an hour, which every time zone's days begin on. What is read is the
//! coarsest that tells the answer: see [`super::cells`].

use std::collections::{BTreeMap, HashMap};

use ccd_proto::api::{Cache, Retries, Side, Usage, UsageRow, UsageSession, display_usd};
use ccd_store::Reader;
use jiff::tz::TimeZone;

use super::blocks::{self, Blocks};
use super::cells::{self, Cell, Question};
use super::filter::Filter;
use super::{Ask, QueryError, limits, sessions};
use crate::clock::rfc3339;
use crate::project::cost::Sum;
use crate::project::retries::RetryRow;
use crate::project::rows::{self, BUCKET_NS};
use crate::project::tally::{self, Family, Kind, Tally};
use crate::project::{account::Account, ids};

const PERIODS: [&str; 6] = ["total", "daily", "weekly", "monthly", "session", "blocks"];
const KEYS: [&str; 6] = ["model", "tool", "project", "agent", "branch", "hour"];

/// Sums by model: what has no price is known by its model.
#[derive(Default)]
struct Sums(BTreeMap<String, Tally>);

impl Sums {
    fn add(&mut self, model: &str, tally: &Tally) {
        match self.0.get_mut(model) {
            Some(sum) => sum.add(tally, 1),
            None => {
                self.0.insert(model.to_owned(), *tally);
            }
        }
    }

    fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for (model, tally) in &self.0 {
            sum.merge(&tally.to_sum(model));
        }
        sum
    }

    fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.0.values().for_each(|tally| sum.add(tally, 1));
        sum
    }
}

/// What a row's key says of a time.
struct Labels<'a> {
    period: &'a str,
    zone: &'a TimeZone,
    blocks: &'a Blocks,
    known: HashMap<u32, String>,
    hours: HashMap<u32, String>,
}

impl Labels<'_> {
    fn period(&mut self, bucket: u32) -> String {
        let (period, zone, blocks) = (self.period, self.zone, self.blocks);
        let label = || match period {
            "daily" => day(bucket, zone).to_string(),
            "weekly" => week(day(bucket, zone)).to_string(),
            "monthly" => day(bucket, zone).strftime("%Y-%m").to_string(),
            _ => rfc3339(u64::from(blocks.start_of(bucket)) * BUCKET_NS),
        };
        self.known.entry(bucket).or_insert_with(label).clone()
    }

    fn hour(&mut self, bucket: u32) -> String {
        let zone = self.zone;
        self.hours.entry(bucket).or_insert_with(|| local(bucket, zone).strftime("%H:00").to_string()).clone()
    }
}

/// Which quarters have the same labels.
struct Stretches<'a> {
    zone: &'a TimeZone,
    by: Stretch,
    /// The one that was asked for last.
    last: std::ops::Range<u32>,
}

#[derive(Clone, Copy)]
enum Stretch {
    All,
    Day,
    Hour,
    Quarter,
}

impl Stretches<'_> {
    /// The end of the stretch that a quarter is in.
    fn until(&mut self, bucket: u32) -> u32 {
        if !self.last.contains(&bucket) {
            let end = match self.by {
                Stretch::All => u32::MAX,
                Stretch::Day => self.end(bucket, 24 * 60),
                Stretch::Hour => self.end(bucket, 60),
                Stretch::Quarter => bucket + 1,
            };
            self.last = bucket..end;
        }
        self.last.end
    }

    /// As many quarters later as are left of so many minutes of a day, if no change of the clocks comes between.
    fn end(&self, bucket: u32, minutes: u32) -> u32 {
        let minute_of = |bucket| {
            let time = local(bucket, self.zone);
            let [hour, minute] = [time.hour(), time.minute()].map(|n| u32::from(n.unsigned_abs()));
            (time.date(), hour * 60 + minute)
        };
        let (date, minute) = minute_of(bucket);
        let left = (minutes - minute % minutes) / 15;
        let last = bucket + left.saturating_sub(1);
        if left > 0 && minute_of(last) == (date, minute + (left - 1) * 15) { last + 1 } else { bucket + 1 }
    }
}

/// Tokens and cost by the keys asked for.
pub fn usage(ask: &Ask, filter: &Filter) -> Result<Usage, QueryError> {
    let period = filter.period.as_deref().unwrap_or("daily");
    if !PERIODS.contains(&period) {
        return Err(QueryError::bad(format!("period {period:?}: one of {}", PERIODS.join(", "))));
    }
    if let Some(by) = filter.by.iter().find(|by| !KEYS.contains(&by.as_str())) {
        return Err(QueryError::bad(format!("by {by:?}: any of {}", KEYS.join(", "))));
    }
    let zone = match filter.tz.as_deref() {
        Some(name) => TimeZone::get(name).map_err(|e| QueryError::bad(format!("tz={name:?}: {e}")))?,
        None => TimeZone::UTC,
    };
    let question = Question::new(ask, filter, period)?;
    let blocks = if period == "blocks" { Blocks::read(ask)? } else { Blocks::default() };
    let mut labels =
        Labels { period, zone: &zone, blocks: &blocks, known: HashMap::new(), hours: HashMap::new() };
    let timed = matches!(period, "daily" | "weekly" | "monthly" | "blocks");
    let (mut totals, mut cut, mut side) = (Sums::default(), Sums::default(), Sums::default());
    let mut rows: BTreeMap<Vec<String>, (Sums, blocks::Times)> = BTreeMap::new();
    let by = match period {
        "blocks" => Stretch::Quarter,
        _ if filter.by.iter().any(|by| by == "hour") => Stretch::Hour,
        _ if timed => Stretch::Day,
        _ => Stretch::All,
    };
    let mut stretches = Stretches { zone: &zone, by, last: 0..0 };
    cells::each(ask, &question, &mut |bucket| stretches.until(bucket), &mut |cell: &Cell<'_>| {
        // Of a message's parts one counts the message.
        let whole = if question.tool.is_some() { *cell.tally } else { cell.undivided() };
        totals.add(cell.model, &whole);
        match cell.kind {
            Kind::Whole => {}
            Kind::Cut => cut.add(cell.model, &whole),
            Kind::Side => side.add(cell.model, &whole),
        }
        let mut key = Vec::with_capacity(1 + filter.by.len());
        if timed {
            key.push(labels.period(cell.bucket));
        } else if period == "session" {
            key.push(cell.session.to_owned());
        }
        for by in &filter.by {
            key.push(match by.as_str() {
                "model" => cell.model.to_owned(),
                "project" => named(cell.project),
                "agent" => cell.agent.to_owned(),
                "branch" => named(cell.branch),
                "hour" => labels.hour(cell.bucket),
                _ => named(cell.tool),
            });
        }
        let (sums, used) = rows.entry(key).or_default();
        sums.add(cell.model, cell.tally);
        if period == "blocks" {
            used.add(cell.bucket, cell.tally);
        }
    })?;
    let names: Vec<&str> =
        period_key(period).into_iter().chain(filter.by.iter().map(String::as_str)).collect();
    let rows = rows.into_iter().map(|(key, (sums, times))| {
        let attributed = question.tool.is_some()
            || names.iter().zip(&key).any(|(name, value)| *name == "tool" && value != &named(""));
        let key: BTreeMap<String, String> = names.iter().map(|n| (*n).to_owned()).zip(key).collect();
        let sum = sums.sum();
        let block = (period == "blocks").then(|| times.block(&sum, &blocks, ask.now_ns));
        UsageRow { attributed, block, ..sum.to_row(key) }
    });
    let mut rows: Vec<UsageRow> = rows.collect();
    if period == "session" {
        name_sessions(ask, &mut rows)?;
    }
    let cut_at = |ns: u64| rfc3339(ns - ns % BUCKET_NS);
    let total = totals.sum();
    let (cut_sum, side_sum) = (cut.sum(), side.sum());
    Ok(Usage {
        since: filter.since_ns.map(cut_at),
        until: filter.until_ns.map(|ns| cut_at(ns.saturating_add(BUCKET_NS - 1))),
        timezone: zone.iana_name().unwrap_or("UTC").to_owned(),
        period: period.into(),
        by: filter.by.clone(),
        rows,
        unpriced_models: total.unpriced_models.iter().cloned().collect(),
        totals: UsageRow { attributed: question.tool.is_some(), ..total.to_row(BTreeMap::new()) },
        retries: retries(ask, filter)?,
        cut: Retries {
            exchanges: cut_sum.calls,
            tokens: cut_sum.tokens,
            cost_usd_micros: cut_sum.cost_usd_micros(),
            cost: cut_sum.display(),
        },
        side: Side {
            sessions: u64::try_from(side.tally().sessions).unwrap_or(0),
            tokens: side_sum.tokens,
            cost_usd_micros: side_sum.cost_usd_micros(),
            cost: side_sum.display(),
        },
        cache: cache(&totals.tally()),
        rate_limits: limits::known(&ask.reader, None)?.map(|row| row.to_api(ask.now_ns)),
    })
}

/// Says of each session's row whose it is, and puts them in the order in which they were last used. From what was
/// charged alone, which outlives the session's records.
fn name_sessions(ask: &Ask, rows: &mut [UsageRow]) -> Result<(), QueryError> {
    let mut known: HashMap<String, Option<UsageSession>> = HashMap::new();
    for row in rows.iter_mut() {
        let Some(id) = row.key.get("session_id") else { continue };
        if !known.contains_key(id) {
            known.insert(id.clone(), charged(ask, ids::session_key(id))?);
        }
        row.session = known.get(id).cloned().flatten();
    }
    // Stable: the rows of one session stay as they are.
    rows.sort_by(|a, b| {
        let at = |row: &UsageRow| row.session.as_ref().map(|s| s.last_at.clone());
        (at(a), a.key.get("session_id")).cmp(&(at(b), b.key.get("session_id")))
    });
    Ok(())
}

/// A session as its charges tell of it; `None` where there are none.
fn charged(ask: &Ask, key: [u8; 16]) -> Result<Option<UsageSession>, QueryError> {
    let Some(bytes) = ask.reader.get(&rows::account(key))? else { return Ok(None) };
    let account: Account = rows::decode(&bytes)?;
    let (from, to) = (rows::session_charges_from(key, 0), rows::session_charges_end(key));
    let charge = match ask.reader.scan(&from, &to).next_back() {
        Some(row) => rows::charge_of_session_key(&row?.0).map(|(at_ns, _)| at_ns),
        None => None,
    };
    let last = charge.into_iter().chain(account.side.iter().map(|side| side.at_ns)).max();
    Ok(last.map(|last_ns| UsageSession {
        last_at: rfc3339(last_ns),
        project: Some(account.project().to_owned()).filter(|project| !project.is_empty()),
    }))
}

fn period_key(period: &str) -> Option<&'static str> {
    match period {
        "daily" => Some("date"),
        "weekly" => Some("week"),
        "monthly" => Some("month"),
        "session" => Some("session_id"),
        "blocks" => Some("block"),
        _ => None,
    }
}

fn cache(sum: &Tally) -> Cache {
    let tokens = sum.tokens();
    Cache {
        hit_percent: tokens.cache_read * 100 / tokens.prompt().max(1),
        saved_usd_micros: sum.saved,
        saved: display_usd(sum.saved),
        rewritten_tokens: u64::try_from(sum.rewritten).unwrap_or(0),
        wasted_usd_micros: sum.wasted,
        wasted: display_usd(sum.wasted),
    }
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
    let today = day(tally::bucket(now_ns), zone);
    let begins = |date: jiff::civil::Date| {
        let begin = date.to_zoned(zone.clone()).map_or(0, |z| z.timestamp().as_second());
        u32::try_from(begin / 900).unwrap_or(0)
    };
    let month = begins(today.first_of_month())..begins(next_day(today.last_of_month()));
    let days = begins(today)..begins(next_day(today));
    let (mut day_micros, mut month_micros) = (0, 0);
    let to = tally::until(Family::Model, month.end);
    for row in reader.scan(&tally::from(Family::Model, month.start), &to) {
        let (key, value) = row?;
        let row = tally::Row::decode(&value)?;
        for (bucket, tally) in row.quarters(&key) {
            month_micros += if month.contains(&bucket) { tally.micros } else { 0 };
            day_micros += if days.contains(&bucket) { tally.micros } else { 0 };
        }
    }
    let whole = |micros: i64| u64::try_from(micros).unwrap_or(0);
    Ok(Spent { day_micros: whole(day_micros), month_micros: whole(month_micros) })
}

fn next_day(date: jiff::civil::Date) -> jiff::civil::Date {
    date.tomorrow().unwrap_or(date)
}

/// What a session has cost so far, in micro-dollars; `None` where nothing of it was billed.
pub fn session_spent(reader: &Reader, session_id: &str) -> Result<Option<u64>, QueryError> {
    let Some(bytes) = reader.get(&rows::account(ids::session_key(session_id)))? else { return Ok(None) };
    let account: Account = rows::decode(&bytes)?;
    Ok(account.is_billed().then(|| account.total().micros))
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

fn named(name: &str) -> String {
    if name.is_empty() { "(none)".into() } else { name.into() }
}

fn local(bucket: u32, zone: &TimeZone) -> jiff::civil::DateTime {
    let seconds = i64::from(bucket) * 900;
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    zone.to_datetime(time)
}

fn day(bucket: u32, zone: &TimeZone) -> jiff::civil::Date {
    local(bucket, zone).date()
}

/// The Monday of a date's week.
pub(super) fn week(date: jiff::civil::Date) -> jiff::civil::Date {
    let back = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(jiff::Span::new().days(back)).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday_and_days_follow_the_zone() {
        let date = |s: &str| s.parse::<jiff::civil::Date>().unwrap();
        assert_eq!(week(date("2026-11-20")), date("2026-11-16"));
        assert_eq!(week(date("2026-11-16")), date("2026-11-16"));
        let bucket = u32::try_from(1_795_219_200u64 / 900).unwrap(); // 2026-11-21T00:00Z
        assert_eq!(day(bucket, &TimeZone::UTC), date("2026-11-21"));
        assert_eq!(day(bucket, &TimeZone::get("America/New_York").unwrap()), date("2026-11-20"));
        assert_eq!(local(bucket, &TimeZone::get("Asia/Kolkata").unwrap()).hour(), 5);
    }

    #[test]
    fn quarters_that_are_summed_up_have_the_same_labels() {
        // Days in which clocks are changed, by half an hour too, and one that is not there at all.
        let days = [
            ("America/New_York", "2026-11-01T00:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
            ("America/St_Johns", "2010-11-07T00:00:00Z"),
            ("Pacific/Apia", "2011-12-29T00:00:00Z"),
            ("Asia/Kathmandu", "2026-11-01T00:00:00Z"),
        ];
        for (zone, from) in days {
            let zone = TimeZone::get(zone).unwrap();
            let first = u32::try_from(crate::clock::parse_rfc3339(from).unwrap() / BUCKET_NS).unwrap();
            for by in [Stretch::Day, Stretch::Hour, Stretch::Quarter] {
                let label = |bucket| {
                    let at = local(bucket, &zone);
                    (at.date(), matches!(by, Stretch::Hour).then(|| at.hour()))
                };
                let mut stretches = Stretches { zone: &zone, by, last: 0..0 };
                let (mut bucket, mut count) = (first, 0);
                while bucket < first + 2 * 96 {
                    let end = stretches.until(bucket);
                    assert!(end > bucket && (bucket..end).all(|other| label(other) == label(bucket)));
                    (bucket, count) = (end, count + 1);
                }
                let most = match by {
                    Stretch::Day => 20,
                    Stretch::Hour => 60,
                    _ => 192,
                };
                assert!(count <= most, "{count} stretches");
            }
        }
    }
}
