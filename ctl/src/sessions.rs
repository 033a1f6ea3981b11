//! `ccctl sessions`: Claude Code runs, newest first.

use ccd_proto::api::{Session, Sessions};

use crate::args::QueryArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::{count, places, short_id, usd};
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::table::{Column, Table, captured};
use crate::time;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &QueryArgs) -> Result<()> {
    let target = Target::new("/v0/sessions").query(env, args, &env.tz)?;
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let Sessions { sessions } = decode(&body)?;
    if sessions.is_empty() {
        return out.line(if args.since.is_some() || args.session.is_some() || args.project.is_some() {
            "no session matches: widen --since, --session or --project"
        } else {
            "no sessions yet: use Claude Code as always, or record one now with `ccctl run`"
        });
    }
    table(env, &sessions).print(out)
}

/// Sessions as a table.
#[must_use]
pub fn table(env: &Env, sessions: &[Session]) -> Table {
    // Where nothing was found anywhere, there is nothing to look at.
    let has_found = sessions.iter().any(|s| s.detections > 0);
    let mut columns = vec![
        Column::Whole("SESSION"),
        Column::Whole("LAST"),
        Column::Text("PROJECT"),
        Column::Text("MODEL"),
        Column::Number("TURNS"),
        Column::Number("TOOLS"),
        Column::Number("FAILED"),
        Column::Number("TOKENS"),
        Column::Number("CONTEXT"),
        Column::Number("COST"),
    ];
    if has_found {
        columns.push(Column::Number("FOUND"));
    }
    let mut table = Table::new(columns).spare(["FAILED", "MODEL", "TOOLS", "CONTEXT", "TURNS", "FOUND"]);
    let places = places(sessions.iter().filter_map(|s| s.cost_usd_micros));
    for s in sessions {
        // Amounts below each other are alike, so that they can be compared at a glance.
        let spent = s.cost_usd_micros.map_or_else(|| s.cost.clone(), |micros| usd(micros, places));
        let running = if s.ended { Tone::Plain } else { Tone::Strong };
        let failed = if s.tool_errors == 0 { Tone::Faint } else { Tone::Bad };
        let full = match s.context.percent {
            Some(90..) => Tone::Bad,
            Some(75..) => Tone::Warn,
            _ => Tone::Plain,
        };
        let mut cells = vec![
            (captured(short_id(&s.session_id)), running),
            (time::short(&s.last_at, env.now, &env.tz), Tone::Plain),
            (captured(s.project.as_deref().unwrap_or("–")), Tone::Plain),
            (model(s.model.as_deref()), Tone::Plain),
            (count(s.turns), Tone::Plain),
            (count(s.tool_calls), Tone::Plain),
            (count(s.tool_errors), failed),
            (count(s.tokens.total()), Tone::Plain),
            (s.context.percent.map_or_else(|| count(s.context.used), |p| format!("{p}%")), full),
            (cost(&spent, &s.unpriced_models), Tone::Plain),
        ];
        if has_found {
            cells.push((count(s.detections), if s.detections == 0 { Tone::Faint } else { Tone::Warn }));
        }
        table.toned(cells);
    }
    table
}

/// A model's name without what every one of them begins with.
#[must_use]
pub fn model(name: Option<&str>) -> String {
    let name = name.unwrap_or("–");
    captured(name.strip_prefix("claude-").unwrap_or(name))
}

/// A cost, marked where it leaves models out.
#[must_use]
pub fn cost(cost: &str, unpriced: &[String]) -> String {
    // The daemon's own words for it are too long for a table.
    let cost = cost.strip_suffix(" + unpriced").unwrap_or(cost);
    let mark = if unpriced.is_empty() || cost == "unpriced" { "" } else { "+?" };
    captured(&format!("{cost}{mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};
    use ccd_proto::api::{Context, Tokens};

    fn sample() -> Vec<Session> {
        vec![
            Session {
                session_id: "5f0c6c2e-8d1f-4a93-a1f2-000000000001".into(),
                project: Some("web\u{1b}[31mshop".into()),
                model: Some("claude-opus-4-6".into()),
                last_at: "2026-11-20T20:15:09.000001Z".into(),
                turns: 12,
                tool_calls: 345,
                tool_errors: 2,
                tokens: Tokens { input: 1200, output: 45_000, cache_read: 1_200_000, ..Tokens::default() },
                cost: "$1.23".into(),
                unpriced_models: vec!["x".into()],
                context: Context { used: 150_000, window: Some(200_000), percent: Some(75) },
                ..Session::default()
            },
            Session {
                session_id: "77aa0000-0000-4000-8000-000000000002".into(),
                last_at: "2026-11-18T08:00:00Z".into(),
                ended: true,
                cost: "unpriced".into(),
                ..Session::default()
            },
        ]
    }

    #[test]
    fn a_table_of_sessions() {
        let env = Home::new().env();
        insta::assert_snapshot!(table(&env, &sample()).render(100, false), @r"
        SESSION   LAST          PROJECT            MODEL     TURNS  TOOLS  TOKENS  CONTEXT      COST
        5f0c6c2e  20:15:09      web\u{1b}[31mshop  opus-4-6     12    345    1.2M      75%   $1.23+?
        77aa0000  18 Nov 08:00  –                  –             0      0       0        0  unpriced
        ");
    }

    #[test]
    fn what_went_wrong_is_counted_where_anything_did() {
        let env = Home::new().env();
        let mut sessions = sample();
        sessions[1].detections = 2;
        let text = table(&env, &sessions).render(110, false);
        let ends: Vec<_> = text.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
        assert_eq!(ends, ["FOUND", "0", "2"]);
    }

    #[test]
    fn nothing_yet_says_what_to_do() {
        let home = Home::new();
        let _daemon = home.daemon(|_| Reply::json(r#"{"schema_version":1,"sessions":[]}"#));
        let (mut out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out, &QueryArgs::default()).unwrap();
        assert!(text.text().starts_with("no sessions yet: "), "{}", text.text());
    }

    #[test]
    fn json_is_the_daemons_own() {
        let home = Home::new();
        let body = r#"{"schema_version":1,"sessions":[{"session_id":"s","of_tomorrow":[1, 2]}]}"#;
        let _daemon = home.daemon(move |_| Reply::json(body));
        let (mut out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out, &QueryArgs { json: true, ..QueryArgs::default() }).unwrap();
        assert_eq!(text.text(), format!("{body}\n"));
    }
}
