//! `ccctl exchanges`: requests to the API, newest first.

use ccd_proto::api::{Exchange, Exchanges};

use crate::args::QueryArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::{bytes, count, duration_ms, short_id};
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::sessions::model;
use crate::table::{Column, Table, captured};
use crate::time;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &QueryArgs) -> Result<()> {
    let target = Target::new("/v0/exchanges").query(env, args, &env.tz)?;
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let Exchanges { exchanges } = decode(&body)?;
    if exchanges.is_empty() {
        return out.line(
            "no exchanges yet: they are seen once Claude Code talks to the API through ccd (`ccctl verify`)",
        );
    }
    table(env, &exchanges, out.width()).print(out)
}

/// Exchanges as a table that fits. Ids are shown whole where there is room: they sort by time, so that their heads are
/// alike; else as much of them as tells those of one table apart, which is enough wherever an id is asked for.
#[must_use]
pub fn table(env: &Env, exchanges: &[Exchange], width: usize) -> Table {
    let whole = with_ids(env, exchanges, usize::MAX);
    if whole.need() <= width { whole } else { with_ids(env, exchanges, telling(exchanges)) }
}

/// Characters of ids that tell these apart; not less than their time takes up.
fn telling(exchanges: &[Exchange]) -> usize {
    const TIME: usize = 18;
    let mut ids: Vec<&str> = exchanges.iter().map(|e| e.exchange_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let alike = |pair: &[&str]| pair[0].chars().zip(pair[1].chars()).take_while(|(a, b)| a == b).count();
    ids.windows(2).map(|pair| alike(pair) + 1).max().unwrap_or(0).max(TIME)
}

fn with_ids(env: &Env, exchanges: &[Exchange], characters: usize) -> Table {
    let mut table = Table::new([
        Column::Whole("EXCHANGE"),
        Column::Whole("SESSION"),
        Column::Whole("STARTED"),
        Column::Text("WHAT"),
        Column::Number("HTTP"),
        Column::Number("TOOK"),
        Column::Number("SENT"),
        Column::Number("TOKENS"),
        Column::Number("COST"),
    ])
    .spare(["SENT", "SESSION", "TOOK", "TOKENS", "COST"]);
    for e in exchanges {
        let (status, tone) = outcome(e);
        let what = what(e);
        table.toned([
            (captured(&e.exchange_id.chars().take(characters).collect::<String>()), Tone::Plain),
            (captured(e.session_id.as_deref().map_or("–", short_id)), Tone::Faint),
            (time::short(&e.started_at, env.now, &env.tz), Tone::Plain),
            (captured(&what), Tone::Plain),
            (status, tone),
            (duration_ms(e.duration_ms), Tone::Plain),
            (bytes(e.request_bytes), Tone::Plain),
            (e.tokens.map_or_else(|| "–".to_owned(), |t| count(t.total())), Tone::Plain),
            (captured(&e.cost), Tone::Plain),
        ]);
    }
    table
}

/// What it was, in front which attempt it is where others came before.
#[must_use]
pub fn what(e: &Exchange) -> String {
    let again = if e.attempt > 1 { format!("↻{} ", e.attempt) } else { String::new() };
    match &e.error {
        Some(error) => format!("{again}{} {}: {error}", e.purpose, model(e.model.as_deref())),
        None if e.model.is_some() => format!("{again}{} {}", e.purpose, model(e.model.as_deref())),
        None => format!("{again}{} {}", e.method, e.path),
    }
}

/// The status that the client received, and what to think of it.
#[must_use]
pub fn outcome(e: &Exchange) -> (String, Tone) {
    match e.status {
        None => ("none".to_owned(), Tone::Bad),
        Some(status) if status >= 400 => (status.to_string(), Tone::Bad),
        Some(status) if !e.complete => (format!("{status} cut"), Tone::Warn),
        Some(status) => (status.to_string(), Tone::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;
    use ccd_proto::api::Tokens;

    #[test]
    fn a_table_of_exchanges() {
        let ok = Exchange {
            exchange_id: "019a0000-0000-7000-8000-000000000001".into(),
            session_id: Some("5f0c6c2e-8d1f-4a93-a1f2-000000000001".into()),
            model: Some("claude-opus-4-6".into()),
            purpose: "main".into(),
            status: Some(200),
            started_at: "2026-11-20T20:15:09Z".into(),
            duration_ms: 2100,
            request_bytes: 77_000,
            complete: true,
            tokens: Some(Tokens { input: 12_345, ..Tokens::default() }),
            cost: "$0.0123".into(),
            ..Exchange::default()
        };
        let cut = Exchange { complete: false, error: Some("reset by peer".into()), ..ok.clone() };
        let again =
            Exchange { exchange_id: "019a0000-0000-7000-8010-000000000001".into(), attempt: 2, ..ok.clone() };
        let other = Exchange {
            model: None,
            method: "GET".into(),
            path: "/v1/models".into(),
            status: Some(404),
            tokens: None,
            cost: String::new(),
            ..ok.clone()
        };
        let (env, all) = (Home::new().env(), [again, cut, other, ok]);
        let shown = |width| table(&env, &all, width).render(width, false);
        insta::assert_snapshot!(shown(130), @r"
        EXCHANGE                              SESSION   STARTED   WHAT                             HTTP  TOOK      SENT  TOKENS     COST
        019a0000-0000-7000-8010-000000000001  5f0c6c2e  20:15:09  ↻2 main opus-4-6                  200  2.1s  75.2 KiB   12.3k  $0.0123
        019a0000-0000-7000-8000-000000000001  5f0c6c2e  20:15:09  main opus-4-6: reset by peer  200 cut  2.1s  75.2 KiB   12.3k  $0.0123
        019a0000-0000-7000-8000-000000000001  5f0c6c2e  20:15:09  GET /v1/models                    404  2.1s  75.2 KiB       –
        019a0000-0000-7000-8000-000000000001  5f0c6c2e  20:15:09  main opus-4-6                     200  2.1s  75.2 KiB   12.3k  $0.0123
        ");
        insta::assert_snapshot!(shown(80), @r"
        EXCHANGE                STARTED   WHAT                   HTTP  TOKENS     COST
        019a0000-0000-7000-801  20:15:09  ↻2 main opus-4-6        200   12.3k  $0.0123
        019a0000-0000-7000-800  20:15:09  main opus-4-6:…     200 cut   12.3k  $0.0123
        019a0000-0000-7000-800  20:15:09  GET /v1/models          404       –
        019a0000-0000-7000-800  20:15:09  main opus-4-6           200   12.3k  $0.0123
        ");
    }
}
