//! `ccctl store stats`: how large the store is, what it holds, how it is.

use ccd_proto::api::{FileStats, Reply, StoreStats};

use crate::args::JsonArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::{bytes, count, plural};
use crate::printer::{Printer, Tone, visible};
use crate::time;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let body = Client::new(env)?.get(out, "/v0/store/stats")?;
    if args.json {
        return out.object(&body);
    }
    let Reply { body: stats, .. } = decode(&body)?;
    lines(env, out, &stats).iter().try_for_each(|line| out.line(line))
}

/// The figures for people.
#[must_use]
pub fn lines(env: &Env, out: &Printer, stats: &StoreStats) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fact = |name: &str, tone: Tone, text: &str| {
        let name = out.paint(Tone::Strong, &format!("{name:8}"));
        lines.push(format!("{name} {}", out.paint(tone, &visible(text))));
    };
    let files =
        |name: &str, f: FileStats| format!("{name} {} in {}", bytes(f.bytes), plural(f.files, "file"));
    let (journal, packs, index) =
        (files("journal", stats.journal), files("packs", stats.packs), files("index", stats.index));
    fact("store", Tone::Plain, &stats.path);
    fact("size", Tone::Plain, &format!("{}: {journal}, {packs}, {index}", bytes(stats.bytes)));
    let when = |at: &Option<String>| at.as_deref().map(|at| time::short(at, env.now, &env.tz));
    let span = match (when(&stats.oldest_at), when(&stats.newest_at)) {
        (Some(oldest), Some(newest)) => format!(", {oldest} to {newest}"),
        _ => String::new(),
    };
    let (records, sessions) = (plural(stats.records, "record"), plural(stats.sessions, "session"));
    fact("holds", Tone::Plain, &format!("{records}, {sessions}{span}"));
    let behind = stats.last_seq.saturating_sub(stats.applied_seq);
    if behind > 0 {
        fact("index", Tone::Warn, &format!("{} not in it yet", plural(behind, "record")));
    }
    if stats.damaged.is_empty() {
        fact("damage", Tone::Plain, "none known; `ccctl store verify` reads every byte");
    } else {
        let ranges = plural(stats.damaged.len() as u64, "range");
        fact("damage", Tone::Bad, &format!("{ranges}; `ccctl store verify` names the records"));
        for damage in &stats.damaged {
            fact("", Tone::Bad, &format!("{}, bytes {}..{}", damage.file, damage.from, damage.to));
        }
    }
    let kept = match (stats.retention.days, stats.retention.max_bytes) {
        (None, None) => "everything".to_owned(),
        (Some(days), None) => plural(days, "day"),
        (None, Some(most)) => format!("at most {}", bytes(most)),
        (Some(days), Some(most)) => format!("{}, at most {}", plural(days, "day"), bytes(most)),
    };
    fact("kept", Tone::Plain, &kept);
    if let Some(free) = stats.free_bytes {
        fact("disk", Tone::Plain, &format!("{} free", bytes(free)));
    }
    if let Some(running) = &stats.running {
        let since = time::short(&running.since, env.now, &env.tz);
        fact("running", Tone::Warn, &format!("{} since {since}", running.name));
    }
    // Where the store is not open, only the rest is known.
    if stats.bytes == 0 && stats.journal.files == 0 && count(stats.last_seq) == "0" {
        fact("", Tone::Faint, "sizes are known once the store is open: `ccctl status`");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;
    use ccd_proto::api::{DamagedRange, Operation, Retention};

    #[test]
    fn figures_for_people() {
        let home = Home::new();
        let (out, _, _) = Printer::captured(100);
        let mut stats = StoreStats {
            path: "/x/store".into(),
            bytes: 1_200_000,
            journal: FileStats { bytes: 200_000, files: 1 },
            packs: FileStats { bytes: 700_000, files: 2 },
            index: FileStats { bytes: 300_000, files: 4 },
            records: 12_345,
            sessions: 1,
            oldest_at: Some("2026-10-20T08:00:00.000000Z".into()),
            newest_at: Some("2026-11-20T21:00:00.000000Z".into()),
            last_seq: 12_345,
            applied_seq: 12_345,
            free_bytes: Some(5 << 30),
            ..StoreStats::default()
        };
        insta::assert_snapshot!(lines(&home.env(), &out, &stats).join("\n"), @r"
        store    /x/store
        size     1.1 MiB: journal 195.3 KiB in 1 file, packs 683.6 KiB in 2 files, index 293.0 KiB in 4 files
        holds    12.3k records, 1 session, 20 Oct 08:00 to 21:00:00
        damage   none known; `ccctl store verify` reads every byte
        kept     everything
        disk     5.0 GiB free
        ");
        stats.damaged = vec![DamagedRange {
            file: "journal/00000001.log".into(),
            from: 40,
            to: 93,
            ..DamagedRange::default()
        }];
        stats.retention = Retention { days: Some(30), max_bytes: Some(5 << 30) };
        stats.running = Some(Operation { name: "verify".into(), since: "2026-11-20T21:29:00Z".into() });
        stats.applied_seq = 12_000;
        insta::assert_snapshot!(lines(&home.env(), &out, &stats)[3..].join("\n"), @r"
        index    345 records not in it yet
        damage   1 range; `ccctl store verify` names the records
                 journal/00000001.log, bytes 40..93
        kept     30 days, at most 5.0 GiB
        disk     5.0 GiB free
        running  verify since 21:29:00
        ");
    }
}
