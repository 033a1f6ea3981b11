//! `ccctl store prune`: removes what is old. Says first what would go, and asks.

use ccd_proto::api::{Pruned, Reply};
use ccd_proto::size;

use super::{Done, operate};
use crate::args::PruneArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, plural};
use crate::printer::{Printer, visible};
use crate::query::Target;
use crate::time;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &PruneArgs) -> Result<()> {
    let target = target(args)?;
    if !args.dry_run && !args.yes {
        let would: Done<Reply<Pruned>> = prune(env, out, &target, true)?;
        let question = format!("{} Go on?", line(&would.result.body));
        match out.ask(&question) {
            Some(true) => {}
            Some(false) => return Err(CommandError::failed("nothing was removed")),
            None => {
                return Err(CommandError::usage(
                    "this removes what was recorded, and there is nobody to ask",
                )
                .hint("--dry-run shows what would go; give --yes if that is meant"));
            }
        }
    }
    let done = prune(env, out, &target, args.dry_run)?;
    if args.json { done.print(out) } else { out.line(line(&done.result.body)) }
}

fn target(args: &PruneArgs) -> Result<Target> {
    let older_than = match &args.older_than {
        Some(text) => Some(time::age_ns(text).ok_or_else(|| {
            CommandError::usage(format!("`{text}` is no age")).hint("give 30d, 12h, 90m or 2w")
        })?),
        None => None,
    };
    let max_bytes = match &args.max_bytes {
        Some(text) => Some(size::parse(text).ok_or_else(|| {
            CommandError::usage(format!("`{text}` is no size"))
                .hint("give 500M, 5GiB or 10G (powers of 1024), 5GB (of 1000), or plain bytes")
        })?),
        None => None,
    };
    Ok(Target::new("/v0/store/prune")
        .with("older_than_ns", older_than.map(|ns| ns.to_string()))
        .with("max_bytes", max_bytes.map(|n| n.to_string())))
}

fn prune(env: &Env, out: &mut Printer, target: &Target, dry_run: bool) -> Result<Done<Reply<Pruned>>> {
    let interrupted = "the removal goes on in the daemon; `ccctl store stats` shows it until it is done";
    operate(env, out, &target.clone().flag("dry_run", dry_run), interrupted)
}

fn line(pruned: &Pruned) -> String {
    if pruned.records == 0 && pruned.freed_bytes == 0 {
        return "Nothing to remove: whole days of the journal go, and the one being written stays."
            .to_owned();
    }
    let verb = if pruned.dry_run { "Would remove" } else { "Removed" };
    let until = pruned.until.as_deref().map(|at| format!(" from before {}", visible(at))).unwrap_or_default();
    let rewritten = match pruned.rewritten_bytes {
        0 => String::new(),
        n => format!(", {} written again", bytes(n)),
    };
    format!(
        "{verb} {}{until}: {} and {}, {}{} freed{rewritten}.",
        plural(pruned.records, "record"),
        plural(pruned.segments, "segment"),
        plural(pruned.packs, "pack"),
        // What younger records share is not known before.
        if pruned.dry_run { "up to " } else { "" },
        bytes(pruned.freed_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply as Answer};

    fn args() -> PruneArgs {
        PruneArgs { older_than: Some("30d".into()), max_bytes: Some("5G".into()), ..PruneArgs::default() }
    }

    const ASKED: &str = "POST /v0/store/prune?older_than_ns=2592000000000000&max_bytes=5368709120";

    #[test]
    fn it_says_what_would_go_and_asks() {
        let home = Home::new();
        let daemon = home.daemon(|request| {
            let dry = request.uri().to_string().contains("dry_run=1");
            let result = serde_json::json!({"result": {
                "schema_version": 1, "records": 1200, "segments": 3, "packs": 1, "freed_bytes": 4096,
                "rewritten_bytes": 1024, "until": "2026-10-21T21:30:00.000000Z", "dry_run": dry,
            }});
            Answer::json(format!("{result}\n"))
        });
        let (out, text, err) = Printer::captured(80);
        run(&home.env(), &mut out.answering("yes\n"), &args()).unwrap();
        assert_eq!(daemon.requests(), [format!("{ASKED}&dry_run=1"), ASKED.to_owned()]);
        let would = "1.2k records from before 2026-10-21T21:30:00.000000Z: 3 segments and 1 pack, 4.0 KiB freed, 1.0 KiB written again.";
        let asked = would.replace("4.0 KiB freed", "up to 4.0 KiB freed");
        assert_eq!(err.text(), format!("Would remove {asked} Go on? [y/N] "));
        assert_eq!(text.text(), format!("Removed {would}\n"));
        let (out, _, _) = Printer::captured(80);
        assert_eq!(run(&home.env(), &mut out.answering("no\n"), &args()).unwrap_err().exit_code(), 1);
        let (mut out, _, _) = Printer::captured(80);
        assert_eq!(run(&home.env(), &mut out, &args()).unwrap_err().exit_code(), 2);
        assert!(!daemon.requests()[2..].contains(&ASKED.to_owned()), "not without a yes");
        run(&home.env(), &mut out, &PruneArgs { yes: true, ..args() }).unwrap();
        assert_eq!(daemon.requests().last().unwrap(), ASKED);
    }

    #[test]
    fn wrong_ages_and_sizes_are_wrong_usage() {
        for args in [
            PruneArgs { older_than: Some("soon".into()), ..PruneArgs::default() },
            PruneArgs { max_bytes: Some("much".into()), ..PruneArgs::default() },
        ] {
            assert_eq!(target(&args).unwrap_err().exit_code(), 2);
        }
        assert_eq!(target(&PruneArgs::default()).unwrap().as_ref(), "/v0/store/prune");
    }
}
