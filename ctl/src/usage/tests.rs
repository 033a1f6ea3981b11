//! Usage as people see it, at every width, watched and not.

use ccd_proto::api::{Block, Cache, Retries, Side, Tokens, UsageRow, UsageSession};

use super::*;
use crate::args::{Order, Period, UsageKey};
use crate::testing::{Home, Reply};

fn args(period: Period) -> UsageArgs {
    UsageArgs {
        period,
        by: Vec::new(),
        timezone: None,
        order: Order::Oldest,
        compact: false,
        no_bars: false,
        explain: None,
        query: QueryArgs::default(),
    }
}

fn row(key: &[(&str, &str)], scale: u64) -> UsageRow {
    let micros = i64::try_from(scale * 1_234_567).unwrap();
    UsageRow {
        key: key.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        tokens: Tokens {
            input: scale * 123,
            output: scale * 10_500,
            cache_read: scale * 1_500_000,
            cache_write_5m: scale * 20_000,
            cache_write_1h: scale * 1_000,
        },
        cost_usd_micros: Some(micros),
        cost: ccd_proto::api::display_usd(micros),
        exchanges: scale * 31,
        ..UsageRow::default()
    }
}

fn daily() -> Usage {
    Usage {
        period: "daily".into(),
        by: vec!["model".into()],
        rows: vec![
            row(&[("date", "2026-11-17"), ("model", "claude-opus-4-6")], 1),
            row(&[("date", "2026-11-19"), ("model", "claude-opus-4-6")], 12),
            row(&[("date", "2026-11-20"), ("model", "claude-haiku-4-5")], 3),
        ],
        totals: row(&[], 16),
        cache: Cache {
            hit_percent: 93,
            saved_usd_micros: 12_300_000,
            saved: "$12.30".into(),
            rewritten_tokens: 120_000,
            wasted_usd_micros: 400_000,
            wasted: "$0.4000".into(),
        },
        retries: Retries { exchanges: 2, cost: "$0.00".into(), ..Retries::default() },
        cut: Retries {
            exchanges: 1,
            tokens: Tokens { output: 1200, ..Tokens::default() },
            cost: "$0.0120".into(),
            ..Retries::default()
        },
        side: Side {
            sessions: 2,
            tokens: Tokens { input: 3400, ..Tokens::default() },
            cost: "$0.0034".into(),
            ..Side::default()
        },
        unpriced_models: vec!["house\u{1b}[31mmodel".into()],
        ..Usage::default()
    }
}

fn blocks() -> Usage {
    let block = |start: &str, active: bool| {
        let start: jiff::Timestamp = start.parse().unwrap();
        Some(Block {
            start: start.to_string(),
            end: (start + jiff::SignedDuration::from_hours(5)).to_string(),
            active,
            tokens_per_minute: 12_345,
            usd_micros_per_hour: 2_500_000,
            projected_usd_micros: active.then_some(9_000_000),
            projected: active.then(|| "$9.00".into()),
            ..Block::default()
        })
    };
    let of = |start: &str, active, scale| UsageRow {
        block: block(start, active),
        ..row(&[("block", start)], scale)
    };
    Usage {
        period: "blocks".into(),
        rows: vec![of("2026-11-20T08:00:00Z", false, 4), of("2026-11-20T19:00:00Z", true, 2)],
        totals: row(&[], 6),
        ..Usage::default()
    }
}

fn tools() -> Usage {
    let of = |tool: &str, scale| UsageRow { attributed: true, ..row(&[("tool", tool)], scale) };
    Usage {
        period: "total".into(),
        by: vec!["tool".into()],
        rows: vec![row(&[("tool", "(none)")], 7), of("Bash", 5), of("Read\u{202e}", 1)],
        totals: row(&[], 13),
        ..Usage::default()
    }
}

/// Weeks or months, one of them with a model that has no price.
fn calendar(period: &str, key: &str, starts: [&str; 2]) -> Usage {
    let partial = |row: UsageRow| UsageRow { cost: format!("{} + unpriced", row.cost), ..row };
    let unpriced = |row| UsageRow { cost_usd_micros: None, cost: "unpriced".into(), ..row };
    Usage {
        period: period.into(),
        rows: vec![
            row(&[(key, starts[0])], 31),
            partial(row(&[(key, starts[1])], 4)),
            unpriced(row(&[(key, "later")], 1)),
        ],
        totals: partial(row(&[], 36)),
        unpriced_models: vec!["glm-9".into()],
        ..Usage::default()
    }
}

fn sessions() -> Usage {
    let of = |id: &str, last: &str, project: &str, scale| UsageRow {
        session: Some(UsageSession { last_at: last.into(), project: Some(project.into()) }),
        ..row(&[("session_id", id)], scale)
    };
    let small = of("77aa0000-0000-4000-8000-000000000002", "2026-11-18T08:00:00Z", "a\u{1b}[31mb", 1);
    Usage {
        period: "session".into(),
        rows: vec![
            UsageRow { cost_usd_micros: Some(12), cost: "$0.000012".into(), ..small },
            of("5f0c6c2e-8d1f-4a93-a1f2-000000000001", "2026-11-20T20:15:09Z", "webshop", 40),
        ],
        totals: row(&[], 41),
        ..Usage::default()
    }
}

/// What is printed for this on a terminal of this width; watched: with bars.
fn printed(usage: &Usage, args: &UsageArgs, width: usize, watched: bool) -> String {
    let (out, text, _) = Printer::captured(width);
    let mut out = if watched { out.drawn(false) } else { out };
    show(&Home::new().env(), &mut out, args, &TimeZone::get("Europe/Berlin").unwrap(), usage.clone())
        .unwrap();
    text.text()
}

#[test]
fn days_at_every_width() {
    let args = args(Period::Daily);
    insta::assert_snapshot!("daily_60", printed(&daily(), &args, 60, true));
    insta::assert_snapshot!("daily_80", printed(&daily(), &args, 80, true));
    insta::assert_snapshot!("daily_120", printed(&daily(), &args, 120, true));
    insta::assert_snapshot!("daily_120_piped", printed(&daily(), &args, 120, false));
}

#[test]
fn blocks_at_every_width() {
    let args = args(Period::Blocks);
    insta::assert_snapshot!("blocks_60", printed(&blocks(), &args, 60, true));
    insta::assert_snapshot!("blocks_80", printed(&blocks(), &args, 80, true));
    insta::assert_snapshot!("blocks_120", printed(&blocks(), &args, 120, true));
}

#[test]
fn weeks_and_months_and_sessions_at_every_width() {
    let weeks = calendar("weekly", "week", ["2026-11-09", "2026-11-16"]);
    let months = calendar("monthly", "month", ["2026-10", "2026-11"]);
    for width in [60, 80, 120] {
        let shown = |usage, period| printed(usage, &args(period), width, true);
        insta::assert_snapshot!(format!("weekly_{width}"), shown(&weeks, Period::Weekly));
        insta::assert_snapshot!(format!("monthly_{width}"), shown(&months, Period::Monthly));
        insta::assert_snapshot!(format!("sessions_{width}"), shown(&sessions(), Period::Session));
    }
}

#[test]
fn what_is_shared_out_is_marked() {
    insta::assert_snapshot!("tools_80", printed(&tools(), &args(Period::Total), 80, false));
}

#[test]
fn compact_and_by_cost() {
    let args = UsageArgs {
        compact: true,
        order: Order::Cost,
        query: QueryArgs { limit: Some(2), ..QueryArgs::default() },
        ..args(Period::Daily)
    };
    insta::assert_snapshot!("compact_60", printed(&daily(), &args, 60, false));
}

#[test]
fn colours_and_ascii() {
    let (out, text, _) = Printer::captured(120);
    let mut out = out.drawn(true);
    let env = Home::new().var("LC_ALL", "POSIX").env();
    show(&env, &mut out, &args(Period::Blocks), &TimeZone::UTC, blocks()).unwrap();
    insta::assert_snapshot!("blocks_120_colour_ascii", text.text().replace('\u{1b}', "^"));
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_captured_character_acts() {
    for usage in [daily(), blocks(), tools(), sessions()] {
        for width in [60, 72, 80, 100, 120, 200] {
            for watched in [true, false] {
                let text = printed(&usage, &args(Period::Daily), width, watched);
                // Below the table, lines are cut to the width only for who watches.
                let table = text.split("\n\n").next().unwrap();
                for line in if watched { text.as_str() } else { table }.lines() {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
                assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
            }
        }
    }
}

#[test]
fn rows_are_put_in_order_and_the_rest_is_told_of() {
    let left = |order, limit| {
        let mut rows = daily().rows;
        let left_out = table::arrange(&mut rows, order, limit);
        let dates: Vec<_> = rows.iter().map(|row| row.key["date"][8..].to_owned()).collect();
        (dates.join(" "), left_out)
    };
    assert_eq!(left(Order::Oldest, None), ("17 19 20".into(), 0));
    assert_eq!(left(Order::Oldest, Some(2)), ("19 20".into(), 1));
    assert_eq!(left(Order::Newest, Some(2)), ("20 19".into(), 1));
    assert_eq!(left(Order::Cost, Some(9)), ("19 20 17".into(), 0));
}

#[test]
fn the_daemon_is_asked_in_the_zone_given() {
    let home = Home::new();
    let daemon = home.daemon(|_| Reply::json(r#"{"schema_version":1,"timezone":"x"}"#));
    let (mut out, text, _) = Printer::captured(100);
    let mut args = UsageArgs {
        by: vec![UsageKey::Tool, UsageKey::Agent],
        timezone: Some("Asia/Tokyo".into()),
        query: QueryArgs { since: Some("today".into()), limit: Some(3), ..QueryArgs::default() },
        ..args(Period::Weekly)
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
