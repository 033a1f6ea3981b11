//! `import`: transcripts and other recorders' files from wherever they lie, taken in once.
//!
//! The files are read by whoever reads the client's own, so that what is known is not taken again, and what else comes
//! in is not held up. Ended anywhere, it is simply not done: the next one goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ccd_proto::api::{Imported, NotImported};
use http::StatusCode;
use tokio::task::JoinSet;

use super::{Context, failed, unavailable};
use crate::ingest::Ack;
use crate::query::QueryError;
use crate::source::transcript::discover::{Found, Search, Stat, part_of, search};
use crate::source::transcript::foreign::{Content, Lines, content_of};
use crate::source::transcript::read;
use crate::source::transcript::take::Taken;

/// Files under way at a time.
const FILES: usize = 64;
/// How long to wait where somebody else is at a file, or the journal takes nothing now.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the journal may refuse in a row before it is given up.
const PATIENCE: u32 = 60;
/// Files named that were not taken; the others are counted.
const NAMED: usize = 20;
/// Lines of another recorder on their way at a time.
const LINES: usize = 128;

/// What is to be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Files and directories; none: those that are followed anyway.
    pub paths: Vec<PathBuf>,
    /// Only say what would be taken.
    pub dry_run: bool,
}

pub(super) fn run(context: &mut Context, what: &Import) -> Result<Imported, QueryError> {
    let begun = context.app.clock.now_ns();
    context.reader()?;
    let mut done = Imported { dry_run: what.dry_run, ..Imported::default() };
    let found = find(context, &what.paths)?;
    if let Some(error) = found.errors.first() {
        done.skip(error.clone(), String::new());
    }
    let total: u64 = found.files.iter().map(|file| file.stat.size).sum();
    (done.files, done.bytes) = (found.files.len() as u64, total);
    let mut transcripts = Vec::new();
    for Found { path, stat } in found.files {
        match content_of(&path) {
            Ok(Content::Transcript) if part_of(&path).is_none() => {
                done.skip(path.display().to_string(), "a transcript's name is its session's: *.jsonl".into());
            }
            Ok(Content::Transcript) => transcripts.push((path, stat)),
            Ok(Content::Foreign(format)) => {
                if !take_lines(context, &path, format, &mut done, total)? {
                    return Err(stopped());
                }
            }
            Ok(Content::Empty) => {}
            Ok(Content::Unknown) => {
                done.skip(
                    path.display().to_string(),
                    "no transcript, and no file of a recorder that is known".into(),
                );
            }
            Err(error) => done.skip(path.display().to_string(), error.to_string()),
        }
    }
    let runtime = context.runtime.clone();
    runtime.block_on(take_files(context, transcripts, &mut done, total))?;
    // What is durable is in the index a moment later: whoever is told that it is done may ask at once.
    context.app.door.with_store(|_| ()).map_err(|e| unavailable(e.to_string()))?;
    done.seconds = context.seconds(begun);
    Ok(done)
}

fn stopped() -> QueryError {
    QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", "stopped before it was done")
        .hint("the next import goes on where this one was")
}

fn find(context: &Context, paths: &[PathBuf]) -> Result<Search, QueryError> {
    if paths.is_empty() {
        return Ok(search(&context.app.transcripts.roots()));
    }
    let (mut dirs, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        let unread = |error: std::io::Error| {
            let what =
                if error.kind() == std::io::ErrorKind::NotFound { "is not there" } else { "cannot be read" };
            QueryError::bad(format!("{} {what}", path.display()))
                .hint("name a transcript, a directory with transcripts, or the store of pisama or cc-tracer")
        };
        // A link that is named is the user's word; those found below a directory are not followed.
        let path = &fs_err::canonicalize(path).map_err(unread)?;
        let meta = fs_err::metadata(path).map_err(unread)?;
        if meta.is_dir() {
            dirs.push(path.clone());
        } else if meta.is_file() {
            files.push(Found { path: path.clone(), stat: Stat::of(&meta) });
        } else {
            return Err(QueryError::bad(format!("{} is neither a file nor a directory", path.display())));
        }
    }
    let mut found = search(&dirs);
    if found.files.is_empty() && files.is_empty() {
        let dirs = dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(QueryError::bad(format!("no *.jsonl in {dirs}")));
    }
    found.files.extend(files);
    Ok(found)
}

/// Takes transcripts in, many at a time.
async fn take_files(
    context: &mut Context,
    files: Vec<(PathBuf, Stat)>,
    done: &mut Imported,
    total: u64,
) -> Result<(), QueryError> {
    let taker = std::sync::Arc::clone(&context.app.transcripts.taker);
    let mut tasks: JoinSet<(PathBuf, u64, u64, Taken)> = JoinSet::new();
    let (mut looked, mut failure) = (0, None);
    for (path, stat) in files {
        if !context.tell("files", looked, total, "bytes") {
            return Err(stopped());
        }
        // Its beginning may have been taken already: that is found once it is opened.
        if what_is_known(&taker, &path, &stat) {
            looked += stat.size;
            continue;
        }
        if done.dry_run {
            looked += stat.size;
            done.new_files += 1;
            done.new_bytes += stat.size;
            continue;
        }
        while tasks.len() >= FILES {
            settle(tasks.join_next().await, done, &mut looked, &mut failure);
        }
        let taker = std::sync::Arc::clone(&taker);
        tasks.spawn(async move {
            let (mut bytes, mut refused) = (0, 0);
            loop {
                let (outcome, more) = taker.take_counted(path.clone()).await;
                bytes += more;
                match outcome {
                    Taken::Busy => tokio::time::sleep(PAUSE).await,
                    Taken::Refused if refused < PATIENCE => {
                        refused = if more > 0 { 0 } else { refused + 1 };
                        tokio::time::sleep(PAUSE).await;
                    }
                    other => return (path, stat.size, bytes, other),
                }
            }
        });
    }
    while let Some(one) = tasks.join_next().await {
        settle(Some(one), done, &mut looked, &mut failure);
        if !context.tell("files", looked, total, "bytes") {
            return Err(stopped());
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Whether all of a file is known, as far as can be told without opening it.
fn what_is_known(taker: &crate::source::transcript::take::Taker, path: &Path, stat: &Stat) -> bool {
    !taker.is_new(path, stat)
}

type Settled = Result<(PathBuf, u64, u64, Taken), tokio::task::JoinError>;

fn settle(one: Option<Settled>, done: &mut Imported, looked: &mut u64, failure: &mut Option<QueryError>) {
    let Some(Ok((path, size, bytes, taken))) = one else { return };
    *looked += size;
    done.new_bytes += bytes;
    done.new_files += u64::from(bytes > 0);
    match taken {
        Taken::Refused => {
            *failure = Some(
                unavailable("the store takes nothing now").hint("the next import goes on where this one was"),
            );
        }
        Taken::Failed(why) => done.skip(path.display().to_string(), why),
        _ => {}
    }
}

/// Takes another recorder's lines in; false if it is to end.
fn take_lines(
    context: &mut Context,
    path: &Path,
    format: &'static str,
    done: &mut Imported,
    total: u64,
) -> Result<bool, QueryError> {
    let (file, stat) = match read::open(path) {
        Ok(opened) => opened,
        Err(error) => {
            done.skip(path.display().to_string(), error.to_string());
            return Ok(true);
        }
    };
    let (reader, zone, runtime) = (context.reader()?, context.app.zone.clone(), context.runtime.clone());
    let scrub = std::sync::Arc::clone(context.app.door.scrub());
    let lines = Lines { path, format, zone: &zone, written_ns: stat.written_ns, scrub: &scrub };
    let (mut offset, mut fresh) = (0, 0);
    while let Some((ready, end)) = lines.next(&file, offset).map_err(|e| failed(e.to_string()))? {
        let mut new = Vec::new();
        for one in ready {
            if !reader.contains(&one.record.id)? {
                fresh += one.record.body.len() as u64;
                done.new_lines += 1;
                new.push(one);
            }
        }
        while !done.dry_run && !new.is_empty() {
            let rest = new.split_off(new.len().min(LINES));
            runtime.block_on(async {
                let mut tasks: JoinSet<Ack> = JoinSet::new();
                for one in new {
                    let door = context.app.door.clone();
                    tasks.spawn(async move { door.ready(one).await });
                }
                while let Some(ack) = tasks.join_next().await {
                    if !matches!(ack, Ok(Ack::Durable)) {
                        return Err(unavailable("the store takes nothing now"));
                    }
                }
                Ok(())
            })?;
            new = rest;
        }
        offset = end;
        if !context.tell("lines", offset, total, "bytes") {
            return Ok(false);
        }
    }
    done.new_bytes += fresh;
    done.new_files += u64::from(fresh > 0);
    Ok(true)
}

trait Skip {
    fn skip(&mut self, path: String, reason: String);
}

impl Skip for Imported {
    fn skip(&mut self, path: String, reason: String) {
        self.skipped_files += 1;
        if self.skipped.len() < NAMED {
            self.skipped.push(NotImported { path, reason });
        }
    }
}
