//! `ccctl import [PATH]...`: transcripts from elsewhere, and what other recorders kept. The daemon reads the files; here
//! it is asked for and watched.

use ccd_proto::api::{Imported, Reply};

use crate::args::ImportArgs;
use crate::env::Env;
use crate::error::Result;
use crate::human::{bytes, plural};
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
    if args.json {
        return done.print(out);
    }
    let imported = &done.result.body;
    out.line(line(imported))?;
    for file in &imported.skipped {
        let reason =
            if file.reason.is_empty() { String::new() } else { format!(": {}", visible(&file.reason)) };
        let text = out.paint(Tone::Warn, &format!("not taken: {}{reason}", visible(&file.path)));
        out.line(text)?;
    }
    let more = imported.skipped_files.saturating_sub(imported.skipped.len() as u64);
    if more > 0 {
        out.line(format!("and {} more", plural(more, "file")))?;
    }
    Ok(())
}

fn line(imported: &Imported) -> String {
    let Imported { files, new_files, new_bytes, dry_run, seconds, .. } = imported;
    let of = plural(*files, "file");
    let speed = || {
        let millis = std::time::Duration::from_secs_f64(seconds.max(0.0)).as_millis().max(1);
        format!("{seconds:.1} s, {} MB/s", u128::from(*new_bytes) / 1000 / millis)
    };
    match (*new_files, *dry_run) {
        (0, _) => format!("nothing new in {of}"),
        (n, true) => format!("would take up to {} from {n} of {of}", bytes(*new_bytes)),
        (n, false) => format!("took {} from {n} of {of} in {}", bytes(*new_bytes), speed()),
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
    fn nothing_new_is_said() {
        let args = ImportArgs { dry_run: true, ..ImportArgs::default() };
        let (text, requests) = printed(&args, "{\"result\":{\"schema_version\":1,\"files\":1}}\n");
        assert_eq!((text.as_str(), requests.len()), ("nothing new in 1 file\n", 1));
    }
}
