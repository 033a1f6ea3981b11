//! `ccctl tools`: how long each tool takes, how often it fails, and the call that took longest.

use ccd_proto::api::{ToolTime, ToolTimes};

use crate::args::ToolsArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::{count, duration_ms, plural};
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::table::{Column, Table, captured};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ToolsArgs) -> Result<()> {
    let target = Target::new("/v0/tools").query(env, &args.query(), &env.tz)?;
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let times: ToolTimes = decode(&body)?;
    if times.tools.is_empty() {
        return out.line(
            "no tool calls: nothing recorded yet (`ccctl sessions`), or the filters leave nothing over",
        );
    }
    table(&times.tools).print(out)?;
    out.line(out.paint(
        Tone::Faint,
        &format!("of {}; `ccctl show ID` shows a call", plural(times.sessions, "session")),
    ))?;
    if times.left_out > 0 {
        out.note(format!(
            "{} before those not looked at: --since or --session narrows it down",
            plural(times.left_out, "session")
        ));
    }
    Ok(())
}

fn table(tools: &[ToolTime]) -> Table {
    let mut table = Table::new([
        Column::Text("TOOL"),
        Column::Number("CALLS"),
        Column::Number("ERRORS"),
        Column::Number("DENIED"),
        Column::Number("P50"),
        Column::Number("P95"),
        Column::Number("MAX"),
        Column::Number("TOTAL"),
        Column::Whole("SLOWEST"),
    ])
    .spare(["TOTAL", "DENIED", "P50"]);
    let took = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), duration_ms);
    let some = |n: u64, tone: Tone| (if n == 0 { String::new() } else { count(n) }, tone);
    for t in tools {
        table.toned([
            (captured(&t.tool), Tone::Plain),
            (count(t.calls), Tone::Plain),
            some(t.errors, Tone::Bad),
            some(t.denied, Tone::Warn),
            (took(t.p50_ms), Tone::Plain),
            (took(t.p95_ms), Tone::Plain),
            (took(t.max_ms), Tone::Plain),
            (took(t.max_ms.map(|_| t.total_ms)), Tone::Plain),
            (captured(t.slowest_span_id.as_deref().unwrap_or_default()), Tone::Faint),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};
    use serde_json::json;

    #[test]
    fn a_table_of_tools() {
        let home = Home::new();
        let body = json!({"schema_version":1,"sessions":12,"left_out":3,"tools":[
            {"tool":"Bash","calls":1200,"errors":7,"denied":2,"p50_ms":40,"p95_ms":3000,"max_ms":125_000,
             "total_ms":400_000,"slowest_span_id":"00112233aabbccdd"},
            {"tool":"mcp__odd\u{1b}__ask","calls":1,"denied":1,"total_ms":0}]})
        .to_string();
        let daemon = home.daemon(move |_| Reply::json(body.clone()));
        let (mut out, text, err) = Printer::captured(100);
        let args =
            ToolsArgs { since: Some("7d".into()), project: Some("app".into()), ..ToolsArgs::default() };
        run(&home.env(), &mut out, &args).unwrap();
        assert_eq!(daemon.requests(), ["GET /v0/tools?since=2026-11-13T21%3A30%3A00Z&project=app"]);
        insta::assert_snapshot!(text.text(), @r"
        TOOL                 CALLS  ERRORS  DENIED   P50   P95    MAX  TOTAL  SLOWEST
        Bash                  1.2k       7       2  40ms  3.0s  2m05s  6m40s  00112233aabbccdd
        mcp__odd\u{1b}__ask      1               1     –     –      –      –
        of 12 sessions; `ccctl show ID` shows a call
        ");
        insta::assert_snapshot!(err.text(), @r"
        3 sessions before those not looked at: --since or --session narrows it down
        ");
    }
}
