//! `ccctl secrets`: credentials that are lying about already.
//!
//! Must never show a value or a part of one: not on stdout, not on stderr, not in an error.

mod report;
mod scan;
#[cfg(test)]
mod tests;
mod walk;

use std::path::PathBuf;
use std::sync::Mutex;

use ccd_redact::Scrubber;

use crate::args::{SecretsArgs, SecretsCommand, SecretsScanArgs};
use crate::config::redact::redactor;
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::human::plural;
use crate::printer::{Printer, visible};

use self::report::Report;
use self::scan::{FileScan, Tally};

/// What is remembered of what was looked through: known values, and pieces that come again in other files.
const MEMORY: usize = 64 << 20;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &SecretsArgs) -> Result<()> {
    match &args.command {
        SecretsCommand::Scan(args) => scan(env, out, args),
    }
}

fn scan(env: &Env, out: &mut Printer, args: &SecretsScanArgs) -> Result<()> {
    let scrubber = Scrubber::new(redactor(env)?.marked(Tally::new()), MEMORY);
    let mut walked = walk::files(&places(env, args)?);
    // The largest first, so that no thread is left alone with one.
    walked.files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let bar = out.bar();
    bar.set_length(walked.files.iter().map(|file| file.bytes).sum());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(walked.files.len().max(1));
    let next = Mutex::new(walked.files.iter());
    let scans: Vec<FileScan> = std::thread::scope(|scope| {
        let work = || {
            let mut scans = Vec::new();
            loop {
                let file = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                let Some(file) = file else { return scans };
                scans.push(scan::file(&scrubber, file));
                bar.inc(file.bytes);
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    bar.finish_and_clear();
    let broken = walked.files.len() - scans.len();
    let report = Report::new(env, scans, walked.unreadable);
    if args.json {
        out.json(&report)?;
    } else {
        report.print(env, out)?;
    }
    let unread = report.unreadable.len() + broken;
    if report.occurrences > 0 {
        return Err(CommandError::new(Kind::Verdict(args.exit_code), "credentials were found"));
    }
    if unread > 0 {
        let files = plural(unread as u64, "file");
        return Err(CommandError::failed(format!("{files} could not be looked through")));
    }
    Ok(())
}

/// Where is looked.
fn places(env: &Env, args: &SecretsScanArgs) -> Result<Vec<PathBuf>> {
    if !args.paths.is_empty() {
        let paths: Vec<PathBuf> = args.paths.iter().map(|path| env.cwd.join(path)).collect();
        for path in &paths {
            // What is named has to be there.
            std::fs::symlink_metadata(path).map_err(|error| {
                CommandError::failed(format!(
                    "cannot look through {}: {error}",
                    visible(&path.display().to_string())
                ))
            })?;
        }
        return Ok(paths);
    }
    let mut places = Vec::new();
    let dirs = env.claude_dirs()?;
    for dir in &dirs {
        if args.transcripts {
            places.push(dir.join("projects"));
        } else {
            places.push(dir.clone());
        }
    }
    if !args.transcripts
        && let Some(home) = env.home()
    {
        places.push(home.join(".claude.json"));
    }
    places.retain(|place| place.exists());
    if places.is_empty() {
        let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        return Err(CommandError::failed(format!("there is nothing to look through at {}", dirs.join(", ")))
            .hint("name files or directories: `ccctl secrets scan PATH`"));
    }
    Ok(places)
}
