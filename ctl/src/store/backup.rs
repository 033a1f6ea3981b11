//! `ccctl store backup DIR`: a copy of what was recorded, made while recording goes on.

use ccd_proto::api::{BackedUp, Reply};

use super::{operate, told_dir};
use crate::args::BackupArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, plural};
use crate::printer::{Printer, visible};
use crate::query::Target;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &BackupArgs) -> Result<()> {
    let target = Target::new("/v0/store/backup").with("dir", Some(told_dir(env, &args.dir)?));
    let interrupted = "the backup ends; an earlier one in that directory is as it was";
    let done = operate::<Reply<BackedUp>>(env, out, &target, interrupted)?;
    if args.json {
        done.print(out)?;
        return whole(&done.result.body);
    }
    let made = &done.result.body;
    out.line(line(made))?;
    whole(made)
}

/// A backup of a damaged store is made, and is no success.
fn whole(made: &BackedUp) -> Result<()> {
    if made.incomplete.is_empty() && made.damaged == 0 {
        return Ok(());
    }
    let what = match made.incomplete.as_slice() {
        [] => "the store is damaged, and so is its backup".to_owned(),
        files => {
            format!("damaged in the store: {}; good copies of an earlier backup are kept", files.join(", "))
        }
    };
    Err(CommandError::failed(what).hint("`ccctl store verify` names what is lost"))
}

fn line(made: &BackedUp) -> String {
    let copied = match made.copied_files {
        0 => "nothing new".to_owned(),
        n => format!("{} in {} new", bytes(made.copied_bytes), plural(n, "file")),
    };
    format!("backed up {} to {}: {copied}", bytes(made.bytes), visible(&made.dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply as Answer};

    #[test]
    fn the_daemon_is_told_an_absolute_directory() {
        let home = Home::new();
        let daemon = home.daemon(|_| {
            Answer::json(concat!(
                "{\"result\":{\"schema_version\":1,\"dir\":\"/b/x\",\"bytes\":4096,\"copied_files\":2,",
                "\"copied_bytes\":1024,\"incomplete\":[\"packs/000001.pack\"]}}\n"
            ))
        });
        let (mut out, text, _) = Printer::captured(80);
        let error =
            run(&home.env(), &mut out, &BackupArgs { dir: "b/../a b".into(), json: false }).unwrap_err();
        let cwd = home.path().display().to_string().replace('/', "%2F");
        assert_eq!(daemon.requests(), [format!("POST /v0/store/backup?dir={cwd}%2Fa%20b")]);
        assert_eq!(text.text(), "backed up 4.0 KiB to /b/x: 1.0 KiB in 2 files new\n");
        assert!(error.to_string().contains("damaged in the store: packs/000001.pack"), "{error}");
    }
}
