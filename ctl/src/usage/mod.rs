//! `ccctl usage`: tokens and cost, by day, week, month, session or block, and by further keys.

use ccd_proto::api::{Usage, UsageRow};
use jiff::tz::TimeZone;

use crate::args::{UsageArgs, name_of};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{count, plural, short_id};
use crate::limits;
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::sessions::model;
use crate::table::{Column, Table, captured};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &UsageArgs) -> Result<()> {
    let (tz, name) = zone(env, args.timezone.as_deref())?;
    let by: Vec<_> = args.by.iter().map(name_of).collect();
    let target = Target::new("/v0/usage")
        .query(env, &args.query, &tz)?
        .with("period", Some(name_of(&args.period)))
        .with("by", (!by.is_empty()).then(|| by.join(",")))
        .with("tz", name);
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.query.json {
        return out.object(&body);
    }
    let usage: Usage = decode(&body)?;
    if usage.rows.is_empty() && usage.totals.exchanges == 0 {
        out.line(
            "no usage in this range: `ccctl sessions` shows what was recorded, --since reaches further back",
        )?;
        return below(env, out, &usage);
    }
    table(&usage).print(out)?;
    if !usage.unpriced_models.is_empty() {
        let models = usage.unpriced_models.iter().map(|m| captured(m)).collect::<Vec<_>>().join(", ");
        out.line(out.paint(Tone::Warn, &format!("\nin no cost, for want of a price: {models}")))?;
    }
    below(env, out, &usage)
}

/// What was sent again, and the rate limits.
fn below(env: &Env, out: &mut Printer, usage: &Usage) -> Result<()> {
    let again = &usage.retries;
    if again.exchanges > 0 {
        let billed = match again.tokens.total() {
            0 => "billed nothing".to_owned(),
            tokens => format!("{} tokens, {} (in the total)", count(tokens), captured(&again.cost)),
        };
        out.line(format!("\nsent again after a failure: {}, {billed}", plural(again.exchanges, "attempt")))?;
    }
    if let Some((tone, line)) = usage.rate_limits.as_ref().and_then(|told| limits::line(env, told)) {
        out.line(out.paint(tone, &format!("\nrate limits: {line}")))?;
    }
    Ok(())
}

/// The zone that days begin in, and its name for the daemon (none: the daemon's own).
fn zone(env: &Env, name: Option<&str>) -> Result<(TimeZone, Option<String>)> {
    match name {
        Some(name) => {
            let tz = TimeZone::get(name).map_err(|_| {
                CommandError::usage(format!("`{name}` is no time zone"))
                    .hint("names look like Europe/Berlin, America/New_York or UTC")
            })?;
            Ok((tz, Some(name.to_owned())))
        }
        None => Ok((env.tz.clone(), env.tz.iana_name().map(ToOwned::to_owned))),
    }
}

/// Usage as a table: a column per key, then the numbers, then the sum.
#[must_use]
pub fn table(usage: &Usage) -> Table {
    let keys = keys(usage);
    let numbers = ["EXCHANGES", "INPUT", "CACHE READ", "CACHE WRITE", "OUTPUT", "COST"].map(Column::Number);
    let mut columns: Vec<_> = keys.iter().map(|key| key.column).collect();
    columns.extend(numbers);
    let mut table = Table::new(columns);
    for row in &usage.rows {
        let cells = keys.iter().map(|key| key.show(row)).chain(figures(row));
        table.toned(cells.map(|text| (text, Tone::Plain)));
    }
    if !keys.is_empty() {
        let head =
            keys.iter().enumerate().map(|(at, _)| if at == 0 { "total".to_owned() } else { String::new() });
        table.toned(head.chain(figures(&usage.totals)).map(|text| (text, Tone::Strong)));
    }
    table
}

fn figures(row: &UsageRow) -> [String; 6] {
    let t = row.tokens;
    [
        count(row.exchanges),
        count(t.input),
        count(t.cache_read),
        count(t.cache_write_5m + t.cache_write_1h),
        count(t.output),
        captured(&row.cost),
    ]
}

/// One key of the rows.
struct Key {
    name: String,
    column: Column,
}

impl Key {
    fn show(&self, row: &UsageRow) -> String {
        let value = row.key.get(&self.name).map_or("–", String::as_str);
        match self.name.as_str() {
            "model" => model(Some(value)),
            "session" | "session_id" => captured(short_id(value)),
            _ => captured(value),
        }
    }
}

/// The keys that the rows have: the period's first, then in the order asked for.
fn keys(usage: &Usage) -> Vec<Key> {
    let mut names: Vec<&str> = Vec::new();
    let asked = usage.by.iter().map(String::as_str);
    let found = usage.rows.iter().flat_map(|row| row.key.keys().map(String::as_str));
    let period = found.clone().filter(|name| !usage.by.iter().any(|by| by == name));
    for name in period.chain(asked.filter(|name| found.clone().any(|f| f == *name))) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let column = |name: &str| match name {
        "date" | "day" => Column::Whole("DATE"),
        "week" => Column::Whole("WEEK"),
        "month" => Column::Whole("MONTH"),
        "block" => Column::Whole("BLOCK"),
        "session" | "session_id" => Column::Whole("SESSION"),
        "model" => Column::Text("MODEL"),
        "tool" => Column::Text("TOOL"),
        "project" => Column::Text("PROJECT"),
        "agent" => Column::Text("AGENT"),
        _ => Column::Text("KEY"),
    };
    names.into_iter().map(|name| Key { name: name.to_owned(), column: column(name) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Period, QueryArgs, UsageKey};
    use crate::testing::{Home, Reply};
    use ccd_proto::api::Tokens;

    fn row(date: &str, model: &str, input: u64) -> UsageRow {
        UsageRow {
            key: [("date", date), ("model", model)].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            tokens: Tokens { input, output: 1000, cache_read: 1_500_000, ..Tokens::default() },
            cost: "$1.00".into(),
            exchanges: 3,
            ..UsageRow::default()
        }
    }

    #[test]
    fn a_table_of_usage() {
        let usage = Usage {
            by: vec!["model".into()],
            rows: vec![
                row("2026-11-19", "claude-opus-4-6", 123),
                row("2026-11-20", "claude-haiku-4-5", 45_678),
            ],
            totals: UsageRow { cost: "$2.00".into(), exchanges: 6, ..UsageRow::default() },
            ..Usage::default()
        };
        insta::assert_snapshot!(table(&usage).render(100, false), @r"
        DATE        MODEL      EXCHANGES  INPUT  CACHE READ  CACHE WRITE  OUTPUT   COST
        2026-11-19  opus-4-6           3    123        1.5M            0    1.0k  $1.00
        2026-11-20  haiku-4-5          3  45.7k        1.5M            0    1.0k  $1.00
        total                          6      0           0            0       0  $2.00
        ");
    }

    #[test]
    fn the_daemon_is_asked_in_the_zone_given() {
        let home = Home::new();
        let daemon = home.daemon(|_| Reply::json(r#"{"schema_version":1,"timezone":"x"}"#));
        let (mut out, text, _) = Printer::captured(100);
        let mut args = UsageArgs {
            period: Period::Weekly,
            by: vec![UsageKey::Tool, UsageKey::Agent],
            timezone: Some("Asia/Tokyo".into()),
            query: QueryArgs { since: Some("today".into()), ..QueryArgs::default() },
        };
        run(&home.env(), &mut out, &args).unwrap();
        assert_eq!(
            daemon.requests(),
            ["GET /v0/usage?since=2026-11-20T15%3A00%3A00Z&period=weekly&by=tool%2Cagent&tz=Asia%2FTokyo"]
        );
        assert!(text.text().starts_with("no usage"));
        args.timezone = Some("Mars/Olympus".into());
        assert_eq!(run(&home.env(), &mut out, &args).unwrap_err().exit_code(), 2);
    }
}
