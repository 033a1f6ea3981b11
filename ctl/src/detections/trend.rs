//! How many detections there were, cut by kind, project, week and the like, beside the sessions that they came from.

use std::collections::BTreeMap;

use ccd_proto::api::{DetectionTrend, DetectionTrendRow};
use jiff::ToSpan;
use jiff::civil::Date;

use super::filtered;
use crate::args::{DetectionsArgs, TrendKey, name_of};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::{count, plural, short_id};
use crate::printer::{Printer, Tone};
use crate::table::{Column, Table, captured};
use crate::usage::bars;

/// Cells of a bar.
const CELLS: usize = 12;
/// Most weeks or days of a sparkline.
const POINTS: usize = 60;

/// Runs it.
pub(super) fn run(env: &Env, out: &mut Printer, args: &DetectionsArgs) -> Result<()> {
    let by: Vec<String> = args.by.iter().map(name_of).collect();
    let target = filtered(env, "/v0/detections/trend", args)?
        .with("by", Some(by.join(",")))
        .with("tz", env.tz.iana_name());
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.query.json {
        return out.object(&body);
    }
    let trend: DetectionTrend = decode(&body)?;
    if trend.rows.is_empty() {
        return out.line(format!(
            "nothing was found in this range, in {}; --since reaches further back",
            plural(trend.sessions, "session")
        ));
    }
    let drawn = (out.is_drawn() && !args.no_bars).then(|| env.is_unicode());
    table(&trend, &by, drawn).print(out)?;
    out.line(format!("\n{}", total(&trend)))?;
    let spark = drawn.and_then(|unicode| sparkline(&trend, &args.by, out.width(), unicode));
    spark.map_or(Ok(()), |line| out.line(line))
}

/// Beside how many sessions.
fn total(trend: &DetectionTrend) -> String {
    let sum = |of: fn(&DetectionTrendRow) -> u64| trend.rows.iter().map(of).sum::<u64>();
    let (found, dismissed, done) = (sum(|r| r.detections), sum(|r| r.dismissed), sum(|r| r.intervened));
    let per = found.saturating_mul(10).checked_div(trend.sessions);
    let per = per.map_or_else(String::new, |tenths| format!(": {}.{} a session", tenths / 10, tenths % 10));
    format!(
        "{} in {}{per}; {} dismissed, something was done about {}",
        plural(found, "detection"),
        plural(trend.sessions, "session"),
        count(dismissed),
        count(done),
    )
}

fn table(trend: &DetectionTrend, by: &[String], bars: Option<bool>) -> Table {
    const TITLES: [(&str, &str); 6] = [
        ("kind", "KIND"),
        ("rule", "RULE"),
        ("project", "PROJECT"),
        ("week", "WEEK"),
        ("day", "DAY"),
        ("session", "SESSION"),
    ];
    let mut columns: Vec<Column> = by
        .iter()
        .filter_map(|key| TITLES.iter().find(|(name, _)| name == key))
        .map(|(name, title)| if *name == "project" { Column::Text(title) } else { Column::Whole(title) })
        .collect();
    // Of all sessions in the range: of a week's rows that would say nothing.
    let has_share =
        trend.sessions > 0 && !by.iter().any(|key| matches!(key.as_str(), "week" | "day" | "session"));
    columns.extend([Column::Number("FOUND"), Column::Number("SESSIONS")]);
    if has_share {
        columns.push(Column::Number("OF ALL"));
    }
    columns.extend([Column::Number("WORST"), Column::Number("DISMISSED"), Column::Number("DONE")]);
    if bars.is_some() {
        columns.push(Column::Whole("BAR"));
    }
    let most = trend.rows.iter().map(|row| row.detections).max().unwrap_or(0);
    let mut table = Table::new(columns).spare(["BAR", "DONE", "WORST", "OF ALL", "DISMISSED"]);
    for row in &trend.rows {
        let mut cells: Vec<(String, Tone)> = by
            .iter()
            .map(|key| {
                let value = row.key.get(key).map_or("–", String::as_str);
                let value = if key == "session" { short_id(value) } else { value };
                (captured(if value.is_empty() { "–" } else { value }), Tone::Plain)
            })
            .collect();
        cells.push((count(row.detections), Tone::Strong));
        cells.push((count(row.sessions), Tone::Plain));
        if has_share {
            let percent = row.sessions.saturating_mul(100) / trend.sessions.max(1);
            cells.push((format!("{percent}%"), Tone::Plain));
        }
        let worst = match row.worst {
            70.. => Tone::Bad,
            50.. => Tone::Warn,
            _ => Tone::Plain,
        };
        cells.push((row.worst.to_string(), worst));
        cells.push((count(row.dismissed), Tone::Faint));
        cells.push((count(row.intervened), Tone::Plain));
        if let Some(unicode) = bars {
            cells.push((bars::bar(row.detections, most, CELLS, unicode), worst));
        }
        table.toned(cells);
    }
    table
}

/// How the weeks or days went, those without any included.
fn sparkline(trend: &DetectionTrend, by: &[TrendKey], width: usize, unicode: bool) -> Option<String> {
    let (key, step, name) = if by.contains(&TrendKey::Day) {
        ("day", 1.day(), "day")
    } else if by.contains(&TrendKey::Week) {
        ("week", 7.days(), "week")
    } else {
        return None;
    };
    let mut found: BTreeMap<Date, u64> = BTreeMap::new();
    for row in &trend.rows {
        *found.entry(row.key.get(key)?.parse().ok()?).or_default() += row.detections;
    }
    let (first, last) = (*found.keys().next()?, *found.keys().next_back()?);
    if first == last {
        return None;
    }
    let room = width.saturating_sub(40).clamp(8, POINTS);
    let (mut values, mut at, mut begin) = (Vec::new(), last, last);
    while at >= first && values.len() < room {
        values.push(found.get(&at).copied().unwrap_or(0));
        begin = at;
        at = at.checked_sub(step).ok()?;
    }
    values.reverse();
    let most = values.iter().copied().max()?;
    Some(format!("by {name}: {begin} {} {last}, {most} at most", bars::sparkline(&values, unicode)))
}
