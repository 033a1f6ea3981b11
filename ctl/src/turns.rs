//! `ccctl turns`: one prompt until Claude stops, newest first.

use ccd_proto::api::{Turn, Turns};

use crate::args::QueryArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::{count, duration_ms, short_id};
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::table::{Column, Table, captured};
use crate::time;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &QueryArgs) -> Result<()> {
    let target = Target::new("/v0/turns").query(env, args, &env.tz)?;
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let Turns { turns } = decode(&body)?;
    if turns.is_empty() {
        return out.line(
            "no turns yet: ask Claude Code something; `ccctl verify` checks that it would be recorded",
        );
    }
    table(env, &turns).print(out)
}

/// Turns as a table.
#[must_use]
pub fn table(env: &Env, turns: &[Turn]) -> Table {
    let mut table = Table::new([
        Column::Whole("TURN"),
        Column::Whole("SESSION"),
        Column::Number("#"),
        Column::Whole("STARTED"),
        Column::Number("TOOK"),
        Column::Whole(""),
        Column::Number("TOOLS"),
        Column::Number("TOKENS"),
        Column::Number("COST"),
        Column::Text("PROMPT"),
    ])
    .spare(["TOKENS", "TOOLS", "COST", "SESSION"]);
    for t in turns {
        let (mark, tone) = mark(&t.status);
        let prompt = match (&t.prompt, t.source.as_str()) {
            (Some(prompt), "machine") => format!("(machine) {prompt}"),
            (Some(prompt), _) => prompt.clone(),
            (None, _) => "–".to_owned(),
        };
        table.toned([
            (captured(short_id(&t.turn_id)), Tone::Plain),
            (captured(short_id(&t.session_id)), Tone::Faint),
            (t.number.to_string(), Tone::Plain),
            (time::short(&t.started_at, env.now, &env.tz), Tone::Plain),
            (t.duration_ms.map(duration_ms).unwrap_or_default(), Tone::Plain),
            (mark.to_owned(), tone),
            (count(t.tool_calls), Tone::Plain),
            (count(t.tokens.total()), Tone::Plain),
            (captured(&t.cost), Tone::Plain),
            (captured(&prompt), Tone::Plain),
        ]);
    }
    table
}

/// A status as one character: done, failed, not allowed, under way.
#[must_use]
pub fn mark(status: &str) -> (&'static str, Tone) {
    match status {
        "ok" => ("✓", Tone::Good),
        "error" => ("✗", Tone::Bad),
        "denied" | "interrupted" => ("⊘", Tone::Warn),
        "running" => ("…", Tone::Strong),
        _ => ("?", Tone::Warn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn a_table_of_turns() {
        let turns = [Turn {
            turn_id: "c0ffee00-0000-4000-8000-000000000001".into(),
            session_id: "5f0c6c2e-8d1f-4a93-a1f2-000000000001".into(),
            number: 3,
            prompt: Some(
                "make the tests\npass, please; and while you are at it, explain every one of them to me"
                    .into(),
            ),
            started_at: "2026-11-20T20:15:09Z".into(),
            duration_ms: Some(65_000),
            status: "ok".into(),
            tool_calls: 7,
            cost: "$0.0123".into(),
            ..Turn::default()
        }];
        insta::assert_snapshot!(table(&Home::new().env(), &turns).render(100, false), @r"
        TURN      SESSION   #  STARTED    TOOK     TOOLS  TOKENS     COST  PROMPT
        c0ffee00  5f0c6c2e  3  20:15:09  1m05s  ✓      7       0  $0.0123  make the tests pass, please;…
        ");
    }
}
