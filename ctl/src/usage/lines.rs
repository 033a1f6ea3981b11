//! What stands below the table: how the days went, what caching did, what was sent again, cut off or known from the
//! client's totals only, what has no price, and the rate limits. A line stands there only if it has something to say.

use std::collections::BTreeMap;

use ccd_proto::api::{Retries, Usage, display_usd};
use jiff::civil::Date;

use super::bars;
use crate::env::Env;
use crate::error::Result;
use crate::human::{count, plural, wrapped};
use crate::limits;
use crate::printer::{Printer, Tone};
use crate::table::captured;

/// Most days of a sparkline.
const DAYS: usize = 60;

/// How the days went, in one line: from the first to the last, those without usage included.
pub(super) fn sparkline(usage: &Usage, width: usize, unicode: bool) -> Option<String> {
    let mut days: BTreeMap<Date, u64> = BTreeMap::new();
    for row in &usage.rows {
        let date: Date = row.key.get("date")?.parse().ok()?;
        let cost = row.cost_usd_micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or(0);
        *days.entry(date).or_default() += cost;
    }
    let (first, last) = (*days.keys().next()?, *days.keys().next_back()?);
    let most = *days.values().max()?;
    if first == last || most == 0 {
        return None;
    }
    let room = width.saturating_sub(48).clamp(8, DAYS);
    let mut values = Vec::new();
    let mut date = last;
    while date >= first && values.len() < room {
        values.push(days.get(&date).copied().unwrap_or(0));
        date = date.yesterday().ok()?;
    }
    values.reverse();
    let begin = if date < first { first } else { date.tomorrow().ok()? };
    let most = display_usd(i64::try_from(values.iter().copied().max()?).unwrap_or(i64::MAX));
    Some(format!("cost by day: {begin} {} {last}, {most} at most", bars::sparkline(&values, unicode)))
}

/// Everything below the table.
pub(super) fn below(env: &Env, out: &mut Printer, usage: &Usage) -> Result<()> {
    let mut lines: Vec<(Tone, String)> = Vec::new();
    lines.extend(cache(usage).map(|line| (Tone::Plain, line)));
    lines.extend(
        again("sent again after a failure", "attempt", &usage.retries).map(|line| (Tone::Plain, line)),
    );
    lines.extend(again("cut off before their end", "response", &usage.cut).map(|line| (Tone::Plain, line)));
    lines.extend(side(usage).map(|line| (Tone::Plain, line)));
    if usage.rows.iter().any(|row| row.attributed) {
        let rule = "~ is shared out by a rule: what calling the tool cost, and what its result added to later \
                    prompts; (none) is all that no tool's call or result brought about";
        lines.push((Tone::Faint, rule.to_owned()));
    }
    if !usage.unpriced_models.is_empty() {
        let models = usage.unpriced_models.iter().map(|m| captured(m)).collect::<Vec<_>>().join(", ");
        lines.push((Tone::Warn, format!("+? in no cost, for want of a price: {models}")));
    }
    if let Some((tone, line)) = usage.rate_limits.as_ref().and_then(|told| limits::line(env, told)) {
        lines.push((tone, format!("rate limits: {line}")));
    }
    for (at, (tone, line)) in lines.into_iter().enumerate() {
        if at == 0 {
            out.line("")?;
        }
        // Only who watches needs lines that fit; who searches in them, whole ones.
        let line = if out.is_drawn() { wrapped(&line, out.width()) } else { line };
        for part in line.lines() {
            out.line(out.paint(tone, part))?;
        }
    }
    Ok(())
}

/// What caching saved and wasted.
fn cache(usage: &Usage) -> Option<String> {
    let cache = &usage.cache;
    if cache.hit_percent == 0 && cache.saved_usd_micros == 0 && cache.rewritten_tokens == 0 {
        return None;
    }
    let done = if cache.saved_usd_micros < 0 { "cost" } else { "saved" };
    let much = display_usd(cache.saved_usd_micros.saturating_abs());
    let mut line =
        format!("cache: {} % of prompt tokens were read from it; it {done} {much}", cache.hit_percent);
    if cache.rewritten_tokens > 0 {
        let wasted = captured(&cache.wasted);
        line = format!(
            "{line}; {} tokens were written again, which wasted {wasted}",
            count(cache.rewritten_tokens)
        );
    }
    Some(line)
}

fn again(what: &str, noun: &str, again: &Retries) -> Option<String> {
    if again.exchanges == 0 {
        return None;
    }
    let billed = match again.tokens.total() {
        0 => "billed nothing".to_owned(),
        tokens => format!("{} tokens, {} (in the total)", count(tokens), captured(&again.cost)),
    };
    Some(format!("{what}: {}, {billed}", plural(again.exchanges, noun)))
}

/// What only the client's closing totals tell of.
fn side(usage: &Usage) -> Option<String> {
    let side = &usage.side;
    if side.sessions == 0 {
        return None;
    }
    let tokens = count(side.tokens.total());
    Some(format!(
        "known from the client's closing totals only: {tokens} tokens, {} in {} (in the total)",
        captured(&side.cost),
        plural(side.sessions, "session")
    ))
}
