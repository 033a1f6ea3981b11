//! `ccctl show SPAN --records`: which records of the journal told of a span, and by which id each was joined.

use ccd_proto::api::{RecordRef, SpanRecords};

use crate::args::ShowArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::bytes;
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::table::{Column, Table, captured};
use crate::time;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ShowArgs) -> Result<()> {
    let target = Target::about("/v0/spans", &args.id).part("records");
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let SpanRecords { records } = decode(&body)?;
    if records.is_empty() {
        return out.line("no record has the span's id: what told of it tells no ids, or was cleared away");
    }
    table(env, &records).print(out)
}

fn table(env: &Env, records: &[RecordRef]) -> Table {
    let mut table = Table::new([
        Column::Whole("TIME"),
        Column::Whole("SOURCE"),
        Column::Whole("KIND"),
        Column::Number("SIZE"),
        Column::Text("JOINED BY"),
        Column::Whole("RECORD"),
    ])
    .spare(["SIZE"]);
    for r in records {
        table.toned([
            (time::short(&r.at, env.now, &env.tz), Tone::Plain),
            (captured(&r.source), Tone::Plain),
            (captured(&r.kind), Tone::Strong),
            (bytes(r.bytes), Tone::Plain),
            (captured(&format!("{} {}", r.joined_by, r.join_key)), Tone::Plain),
            (captured(&r.record_id), Tone::Faint),
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
    fn a_table_of_records() {
        let home = Home::new();
        let record = |source: &str, kind: &str, bytes: u64, id: &str| {
            json!({"record_id":id,"source":source,"kind":kind,"at":"2026-11-20T20:15:09Z","bytes":bytes,
                "joined_by":"tool_use_id","join_key":"toolu_1"})
        };
        let body = json!({"schema_version":1,"records":[
            record("hook", "PreToolUse", 747, "00000000000000000000000000000001"),
            record("proxy", "exchange", 77_000, "00000000000000000000000000000002"),
            record("transcript", "user\u{1b}", 1374, "00000000000000000000000000000003.4096")]})
        .to_string();
        let daemon = home.daemon(move |_| Reply::json(body.clone()));
        let (mut out, text, _) = Printer::captured(120);
        let args = ShowArgs { id: "ab/".into(), records: true, ..ShowArgs::default() };
        run(&home.env(), &mut out, &args).unwrap();
        assert_eq!(daemon.requests(), ["GET /v0/spans/ab%2F/records"]);
        insta::assert_snapshot!(text.text(), @r"
        TIME      SOURCE      KIND            SIZE  JOINED BY            RECORD
        20:15:09  hook        PreToolUse     747 B  tool_use_id toolu_1  00000000000000000000000000000001
        20:15:09  proxy       exchange    75.2 KiB  tool_use_id toolu_1  00000000000000000000000000000002
        20:15:09  transcript  user\u{1b}   1.3 KiB  tool_use_id toolu_1  00000000000000000000000000000003.4096
        ");
    }

    #[test]
    fn a_span_that_nothing_names() {
        let home = Home::new();
        let _daemon = home.daemon(|_| Reply::json(r#"{"schema_version":1,"records":[]}"#.to_owned()));
        let (mut out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out, &ShowArgs { id: "ab".into(), ..ShowArgs::default() }).unwrap();
        assert!(text.text().starts_with("no record has the span's id"), "{}", text.text());
    }
}
