//! `ccctl import [PATH]...`: transcripts from elsewhere, and what other recorders kept. The daemon reads the files; here
//! it is asked for and watched.

use ccd_proto::api::{Imported, Reply};

use crate::args::ImportArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, exact};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::store::{operate, told_dir};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ImportArgs) -> Result<()> {
    let mut target = Target::new("/v0/import").flag("dry_run", args.dry_run);
    for path in &args.paths {
        target = target.with("path", Some(told_dir(env, path)?));
    }
    let interrupted = "what was taken stays; the next import goes on from there";
    let done = operate::<Reply<Imported>>(env, out, &target, interrupted)?;
    let imported = &done.result.body;
    if args.json {
        done.print(out)?;
    } else {
        show(out, imported)?;
    }
    if imported.files > 0 && imported.skipped_files >= imported.files {
        return Err(CommandError::failed("there was nothing to take")
            .hint("name a transcript, a directory with transcripts, or the store of pisama or cc-tracer"));
    }
    Ok(())
}

fn show(out: &mut Printer, imported: &Imported) -> Result<()> {
    out.line(line(imported))?;
    for file in &imported.skipped {
        let reason =
            if file.reason.is_empty() { String::new() } else { format!(": {}", visible(&file.reason)) };
        let text = out.paint(Tone::Warn, &format!("not taken: {}{reason}", visible(&file.path)));
        out.line(text)?;
    }
    let more = imported.skipped_files.saturating_sub(imported.skipped.len() as u64);
    if more > 0 {
        out.line(format!("and {} more", files(more)))?;
    }
    Ok(())
}

/// Files are counted one by one: `1975 of 2.0k` would say nothing.
fn files(n: u64) -> String {
    format!("{} file{}", exact(n), if n == 1 { "" } else { "s" })
}

fn line(imported: &Imported) -> String {
    let Imported { files, new_files, new_bytes, dry_run, seconds, .. } = imported;
    let of = self::files(*files);
    let speed = || {
        let millis = std::time::Duration::from_secs_f64(seconds.max(0.0)).as_millis().max(1);
        format!("{seconds:.1} s, {} MB/s", u128::from(*new_bytes) / 1000 / millis)
    };
    let n = exact(*new_files);
    match (*new_files, *dry_run) {
        (0, _) => format!("nothing new in {of}"),
        (_, true) => format!("would take up to {} from {n} of {of}", bytes(*new_bytes)),
        (_, false) => format!("took {} from {n} of {of} in {}", bytes(*new_bytes), speed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply as Answer};

    fn printed(args: &ImportArgs, answer: &'static str) -> (String, Vec<String>) {
        let home = Home::new();
        let daemon = home.daemon(move |_| Answer::json(answer));
        let (mut out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out, args).unwrap();
        (text.text(), daemon.requests())
    }

    #[test]
    fn paths_are_told_whole_and_what_was_not_taken_is_named() {
        let args = ImportArgs { paths: vec!["/a b".into(), "/c/../d".into()], dry_run: false, json: false };
        let (text, requests) = printed(
            &args,
            concat!(
                "{\"result\":{\"schema_version\":1,\"files\":3,\"new_files\":2,\"new_bytes\":4000000,\"seconds\":2.0,",
                "\"skipped_files\":2,\"skipped\":[{\"path\":\"/d/x.jsonl\",\"reason\":\"no transcript\"}]}}\n"
            ),
        );
        assert_eq!(requests, ["POST /v0/import?path=%2Fa%20b&path=%2Fd"]);
        assert_eq!(
            text,
            "took 3.8 MiB from 2 of 3 files in 2.0 s, 2 MB/s\nnot taken: /d/x.jsonl: no transcript\nand 1 file more\n"
        );
    }

    #[test]
    fn files_that_are_none_are_a_failure() {
        let home = Home::new();
        let answer = "{\"result\":{\"schema_version\":1,\"files\":1,\"skipped_files\":1}}\n";
        let _daemon = home.daemon(move |_| Answer::json(answer));
        let (mut out, ..) = Printer::captured(80);
        assert_eq!(run(&home.env(), &mut out, &ImportArgs::default()).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn nothing_new_is_said() {
        let args = ImportArgs { dry_run: true, ..ImportArgs::default() };
        let (text, requests) = printed(&args, "{\"result\":{\"schema_version\":1,\"files\":1}}\n");
        assert_eq!((text.as_str(), requests.len()), ("nothing new in 1 file\n", 1));
    }
}
