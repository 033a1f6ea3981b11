//! `ccctl usage --explain`: the arithmetic of a session's cost, line by line.

use ccd_proto::api::{Explain, ExplainCharge, ExplainTerm};
use jiff::tz::TimeZone;

use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::{exact, plural};
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::sessions::model;
use crate::table::captured;

/// Asks for a session's charges and prints them.
pub(super) fn run(env: &Env, out: &mut Printer, session: &str, tz: &TimeZone, json: bool) -> Result<()> {
    let target = Target::new("/v0/usage/explain").with("session", Some(session));
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if json {
        return out.object(&body);
    }
    let explain: Explain = decode(&body)?;
    for line in lines(&explain, tz) {
        match line {
            Line::Charge(text) => out.line(text)?,
            Line::Term(text) => out.line(out.paint(Tone::Faint, &text))?,
            Line::Total(text) => out.line(out.paint(Tone::Strong, &text))?,
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Charge(String),
    Term(String),
    Total(String),
}

fn lines(explain: &Explain, tz: &TimeZone) -> Vec<Line> {
    let mut out = Vec::new();
    let mut known = None;
    for charge in &explain.charges {
        out.push(Line::Charge(head(charge, tz)));
        out.extend(ids(charge).map(|ids| Line::Term(format!("    {ids}"))));
        out.extend(charge.terms.iter().map(|term| Line::Term(format!("    {}", product(term)))));
        // Told where they begin to hold: they are those of the charge before otherwise.
        let prices = charge.effective_from.as_deref().map(|from| (charge.model.as_str(), from));
        if let Some((_, from)) = prices.filter(|_| prices != known) {
            out.push(Line::Term(format!("    prices since {}", captured(from))));
            known = prices;
        }
    }
    let total = format!(
        "total  {}: {} tokens, {}",
        plural(explain.charges.len() as u64, "charge"),
        exact(explain.tokens.total()),
        captured(&explain.cost)
    );
    out.push(Line::Total(total));
    out
}

fn head(charge: &ExplainCharge, tz: &TimeZone) -> String {
    let at = charge.at.parse::<jiff::Timestamp>();
    let at = at.map_or_else(
        |_| captured(&charge.at),
        |at| at.to_zoned(tz.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    );
    let mut parts = vec![at, model(Some(&charge.model)), captured(&charge.agent)];
    parts.extend(Some(&charge.purpose).filter(|p| !p.is_empty() && **p != charge.agent).map(|p| captured(p)));
    parts.push(captured(&charge.sources.join("+")));
    if !charge.notes.is_empty() {
        parts.push(format!("({})", captured(&charge.notes.join(", "))));
    }
    parts.push(format!("= {}", cost(charge)));
    parts.join("  ")
}

/// The API's own names of a charge, on a line of their own: they are long.
fn ids(charge: &ExplainCharge) -> Option<String> {
    let ids: Vec<_> =
        [&charge.message_id, &charge.request_id].into_iter().flatten().map(|id| captured(id)).collect();
    (!ids.is_empty()).then(|| ids.join("  "))
}

/// A charge's cost to the micro-dollar.
fn cost(charge: &ExplainCharge) -> String {
    charge
        .cost_usd_micros
        .map_or_else(|| captured(&charge.cost), |micros| dollars(i128::from(micros) * 1000, 6))
}

fn product(term: &ExplainTerm) -> String {
    let of = if term.kind == "web search" { "" } else { " per million" };
    format!(
        "{:<14} {:>12} × {}{of} = {}",
        captured(&term.kind),
        exact(term.count),
        dollars(i128::from(term.price_usd_micros) * 1000, 2),
        dollars(i128::from(term.nano_usd), 9)
    )
}

/// Billionths of a dollar, with so many decimals at least and none that say nothing.
fn dollars(nano: i128, least: usize) -> String {
    let (whole, rest) = (nano / 1_000_000_000, (nano % 1_000_000_000).abs());
    let mut decimals = format!("{rest:09}");
    while decimals.len() > least.min(9) && decimals.ends_with('0') {
        decimals.pop();
    }
    format!("${whole}.{decimals}")
}

#[cfg(test)]
mod tests {
    use ccd_proto::api::Tokens;

    use super::*;

    #[test]
    fn amounts_are_exact() {
        assert_eq!(dollars(20_000_000_000, 2), "$20.00");
        assert_eq!(dollars(200_000_000, 2), "$0.20");
        assert_eq!(dollars(48_000, 9), "$0.000048000");
        assert_eq!(dollars(23_888_000, 6), "$0.023888");
    }

    #[test]
    fn every_charge_shows_its_products() {
        let term = |kind: &str, count, price, nano| ExplainTerm {
            kind: kind.into(),
            count,
            price_usd_micros: price,
            nano_usd: nano,
        };
        let charge = ExplainCharge {
            at: "2026-11-20T12:00:00Z".into(),
            model: "claude-opus-5-5".into(),
            agent: "main".into(),
            purpose: "main".into(),
            sources: vec!["proxy".into(), "transcript".into()],
            message_id: Some("msg_1".into()),
            request_id: Some("req_1".into()),
            tokens: Tokens { input: 12, cache_read: 15_000, ..Tokens::default() },
            terms: vec![term("input", 12, 4_000_000, 48_000), term("cache read", 15_000, 200_000, 3_000_000)],
            cost_usd_micros: Some(3_048),
            effective_from: Some("2026-01-01".into()),
            notes: vec!["copied".into()],
            ..ExplainCharge::default()
        };
        let explain = Explain {
            tokens: charge.tokens,
            charges: vec![charge.clone(), charge],
            cost: "$0.0030".into(),
            ..Explain::default()
        };
        let text: Vec<String> = lines(&explain, &TimeZone::UTC)
            .into_iter()
            .map(|line| match line {
                Line::Charge(text) | Line::Term(text) | Line::Total(text) => text,
            })
            .collect();
        assert_eq!(text[0], "2026-11-20 12:00:00  opus-5-5  main  proxy+transcript  (copied)  = $0.003048");
        assert_eq!(text[1], "    msg_1  req_1");
        assert!(text[2].ends_with(" 12 × $4.00 per million = $0.000048000"), "{}", text[2]);
        assert!(text[3].ends_with(" 15,000 × $0.20 per million = $0.003000000"), "{}", text[3]);
        assert_eq!(text[4], "    prices since 2026-01-01");
        assert_eq!(text[5..].iter().filter(|line| line.contains("prices since")).count(), 0, "told once");
        assert_eq!(text[text.len() - 1], "total  2 charges: 15,012 tokens, $0.0030");
    }
}
