//! `ccctl store restore DIR`: a backup takes the place of what is recorded, which is kept beside it.

use ccd_proto::api::{Reply, Restored};

use super::{operate, told_dir};
use crate::args::RestoreArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, plural};
use crate::printer::{Printer, visible};
use crate::query::Target;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &RestoreArgs) -> Result<()> {
    let dir = told_dir(env, &args.dir)?;
    if !args.yes {
        let store = env.layout.store_dir();
        let question = format!(
            "Put the backup in {dir} in the place of what is recorded in {}? That is kept beside it.",
            store.display()
        );
        match out.ask(&question) {
            Some(true) => {}
            Some(false) => return Err(CommandError::failed("nothing was changed")),
            None => {
                return Err(CommandError::usage(
                    "this replaces what is recorded, and there is nobody to ask",
                )
                .hint("give --yes if that is meant"));
            }
        }
    }
    let target = Target::new("/v0/store/restore").with("dir", Some(dir));
    let interrupted = "the restore goes on in the daemon; `ccctl store stats` shows it until it is done";
    let done = operate::<Reply<Restored>>(env, out, &target, interrupted)?;
    if args.json {
        return done.print(out);
    }
    lines(&done.result.body).iter().try_for_each(|line| out.line(line))
}

fn lines(done: &Restored) -> Vec<String> {
    let mut lines = vec![format!(
        "restored {}, {}, from the backup of {}",
        plural(done.records, "record"),
        bytes(done.bytes),
        visible(&done.created_at)
    )];
    if done.damaged > 0 {
        let ranges = plural(done.damaged, "range");
        lines.push(format!("damaged in the backup: {ranges}; `ccctl store verify` names the records"));
    }
    if let Some(previous) = &done.previous {
        lines.push(format!("what was there before is in {}", visible(previous)));
        lines.push("remove that directory when you do not need it any more".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply as Answer};

    fn args(yes: bool) -> RestoreArgs {
        RestoreArgs { dir: "/b".into(), yes, json: false }
    }

    #[test]
    fn it_asks_first_and_without_anybody_to_ask_wants_yes() {
        let home = Home::new();
        let daemon = home.daemon(|_| {
            Answer::json(concat!(
                "{\"result\":{\"schema_version\":1,\"records\":5,\"bytes\":4096,\"damaged\":1,",
                "\"created_at\":\"2026-11-20T20:00:00.000000Z\",\"previous\":\"/s/v1.before-restore-1\"}}\n"
            ))
        });
        let (mut out, _, _) = Printer::captured(80);
        assert_eq!(run(&home.env(), &mut out, &args(false)).unwrap_err().exit_code(), 2);
        let (out, _, err) = Printer::captured(80);
        assert_eq!(run(&home.env(), &mut out.answering("\n"), &args(false)).unwrap_err().exit_code(), 1);
        assert!(err.text().contains("Put the backup in /b in the place of"), "{}", err.text());
        assert!(daemon.requests().is_empty());

        let (out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out.answering("y\n"), &args(false)).unwrap();
        insta::assert_snapshot!(text.text(), @r"
        restored 5 records, 4.0 KiB, from the backup of 2026-11-20T20:00:00.000000Z
        damaged in the backup: 1 range; `ccctl store verify` names the records
        what was there before is in /s/v1.before-restore-1
        remove that directory when you do not need it any more
        ");
        let (mut out, _, _) = Printer::captured(80);
        run(&home.env(), &mut out, &args(true)).unwrap();
        assert_eq!(daemon.requests(), ["POST /v0/store/restore?dir=%2Fb"; 2]);
    }
}
