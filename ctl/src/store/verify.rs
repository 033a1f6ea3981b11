//! `ccctl store verify`: every byte read again, and every damaged record named. Exit code 1 where there is any.

use ccd_proto::api::{DamagedRange, LostRecord, Reply, Verified};

use super::operate;
use crate::args::JsonArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, count, duration_ms, plural};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::time;

/// Lines of damage shown; `--json` has all.
const SHOWN: usize = 50;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let target = Target::new("/v0/store/verify");
    let done = operate::<Reply<Verified>>(env, out, &target, "the verification ends; nothing was changed")?;
    let found = &done.result.body;
    if args.json {
        done.print(out)?;
    } else {
        lines(env, out, found).iter().try_for_each(|line| out.line(line))?;
    }
    verdict(found)
}

/// What a script sees.
fn verdict(found: &Verified) -> Result<()> {
    let rebuild = "`ccctl store rebuild` makes the index anew from what was recorded";
    if found.ok {
        return Ok(());
    }
    if !found.damaged.is_empty() || !found.damaged_records.is_empty() {
        let error = CommandError::failed("the store is damaged; everything else in it is served")
            .hint("`ccctl store restore DIR` puts a backup in its place");
        return Err(if found.index_missing > 0 { error.hint(rebuild) } else { error });
    }
    if found.index_missing > 0 {
        return Err(CommandError::failed("the index is not what it should be; nothing recorded is lost")
            .hint(rebuild));
    }
    Err(CommandError::failed("records are in the journal more than once, and may be counted twice"))
}

/// What was found, for people: a line for each damage, and a summary.
#[must_use]
pub fn lines(env: &Env, out: &Printer, found: &Verified) -> Vec<String> {
    let mut damage: Vec<String> = Vec::new();
    for range in &found.damaged {
        damage.push(format!("{}, bytes {}..{}{}", range.file, range.from, range.to, missing(range)));
        damage.extend(range.records.iter().map(|lost| format!("  lost: {}", of(env, lost))));
    }
    for record in &found.damaged_records {
        let who = LostRecord {
            id: record.id.clone(),
            kind: record.kind.clone(),
            session_id: record.session_id.clone(),
            at: Some(record.at.clone()),
        };
        damage.push(format!("{}: {}: {}", of(env, &who), record.part, record.reason));
    }
    let hidden = damage.len().saturating_sub(SHOWN) as u64 + found.more;
    let mut lines: Vec<String> =
        damage.iter().take(SHOWN).map(|text| out.paint(Tone::Bad, &visible(text))).collect();
    if hidden > 0 {
        lines.push(out.paint(Tone::Bad, &format!("and {} more: --json lists them", count(hidden))));
    }
    if found.index_missing > 0 {
        let rows = plural(found.index_missing, "row");
        lines.push(out.paint(Tone::Bad, &format!("index: {rows} missing; `ccctl store rebuild`")));
    }
    if found.duplicates > 0 {
        let twice = plural(found.duplicates, "record");
        lines.push(out.paint(Tone::Bad, &format!("journal: {twice} in it more than once")));
    }
    if found.unreadable > 0 {
        let newer = plural(found.unreadable, "record");
        lines.push(out.paint(Tone::Warn, &format!("{newer} written by a newer ccd: not looked into")));
    }
    let read = format!(
        "{}, {}, {} read in {}",
        plural(found.records, "record"),
        if found.bodies == 1 { "1 body".to_owned() } else { format!("{} bodies", count(found.bodies)) },
        bytes(found.bytes),
        duration_ms(
            std::time::Duration::try_from_secs_f64(found.seconds)
                .map_or(0, |took| { u64::try_from(took.as_millis()).unwrap_or(u64::MAX) })
        ),
    );
    lines.push(if found.ok {
        out.paint(Tone::Good, &format!("whole: {read}"))
    } else {
        out.paint(Tone::Strong, &format!("not whole: {read}"))
    });
    lines
}

fn missing(range: &DamagedRange) -> String {
    match range.seqs {
        Some([first, last]) if first == last => format!(": record {first} is lost"),
        Some([first, last]) => format!(": records {first} to {last} are lost"),
        None => String::new(),
    }
}

fn of(env: &Env, record: &LostRecord) -> String {
    let session = record.session_id.as_deref().map(|id| format!(", session {id}")).unwrap_or_default();
    let at = record.at.as_deref().map(|at| format!(", {}", time::short(at, env.now, &env.tz)));
    format!("{} {}{session}{}", record.kind, record.id, at.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply as Answer};
    use ccd_proto::api::DamagedRecord;

    fn found() -> Verified {
        Verified {
            records: 1233,
            bodies: 40,
            bytes: 1_200_000,
            damaged: vec![
                DamagedRange {
                    file: "journal/00000001.log".into(),
                    from: 40,
                    to: 93,
                    seqs: Some([9, 12]),
                    records: vec![LostRecord {
                        id: "019a0000-0000-7000-8000-000000000001".into(),
                        kind: "exchange".into(),
                        session_id: Some("s-\u{1b}1".into()),
                        at: Some("2026-11-20T20:15:09Z".into()),
                    }],
                },
                DamagedRange {
                    file: "packs/000001.pack".into(),
                    from: 16,
                    to: 500,
                    ..DamagedRange::default()
                },
            ],
            damaged_records: vec![DamagedRecord {
                id: "019a0000-0000-7000-8000-000000000002".into(),
                kind: "exchange".into(),
                session_id: None,
                at: "2026-11-20T20:15:10Z".into(),
                part: "request".into(),
                reason: "the block at offset 16 has a wrong checksum".into(),
            }],
            index_missing: 3,
            duplicates: 1,
            seconds: 1.25,
            ..Verified::default()
        }
    }

    #[test]
    fn damage_for_people() {
        let (out, _, _) = Printer::captured(100);
        insta::assert_snapshot!(lines(&Home::new().env(), &out, &found()).join("\n"), @r"
        journal/00000001.log, bytes 40..93: records 9 to 12 are lost
          lost: exchange 019a0000-0000-7000-8000-000000000001, session s-\u{1b}1, 20:15:09
        packs/000001.pack, bytes 16..500
        exchange 019a0000-0000-7000-8000-000000000002, 20:15:10: request: the block at offset 16 has a wrong checksum
        index: 3 rows missing; `ccctl store rebuild`
        journal: 1 record in it more than once
        not whole: 1.2k records, 40 bodies, 1.1 MiB read in 1.3s
        ");
        let whole = Verified { ok: true, records: 5, bodies: 1, bytes: 2048, ..Verified::default() };
        insta::assert_snapshot!(lines(&Home::new().env(), &out, &whole).join("\n"), @"whole: 5 records, 1 body, 2.0 KiB read in 0ms");
        let much =
            Verified { damaged_records: vec![DamagedRecord::default(); 60], more: 7, ..Verified::default() };
        let lines = lines(&Home::new().env(), &out, &much);
        assert_eq!((lines.len(), lines[50].as_str()), (52, "and 17 more: --json lists them"));
    }

    #[test]
    fn scripts_see_damage_in_the_exit_code() {
        let mut found = found();
        let error = verdict(&found).unwrap_err();
        assert_eq!((error.exit_code(), error.hints.len()), (1, 2));
        (found.damaged, found.damaged_records) = (Vec::new(), Vec::new());
        assert!(verdict(&found).unwrap_err().message.contains("nothing recorded is lost"));
        found.index_missing = 0;
        assert_eq!(verdict(&found).unwrap_err().exit_code(), 1);
        assert!(verdict(&Verified { ok: true, ..Verified::default() }).is_ok());
    }

    #[test]
    fn json_is_the_daemons_object() {
        let home = Home::new();
        let _daemon = home.daemon(|_| Answer::json("{\"result\":{\"schema_version\":1,\"ok\":false}}\n"));
        let (mut out, text, _) = Printer::captured(80);
        assert_eq!(run(&home.env(), &mut out, &JsonArgs { json: true }).unwrap_err().exit_code(), 1);
        assert_eq!(text.text(), "{\"schema_version\":1,\"ok\":false}\n");
    }
}
