//! `ccctl export` of everything but a page: frames come from the daemon, and go to a file or to stdout.
//!
//! A file is kept up to the last place that its end was safe at; the same command with `--resume` goes on from there, without
//! an entry twice or missing. If what is on record changed so that this cannot be, it says so and begins again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ccd_proto::api::{ExportEnd, ExportFrame};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::frames::Frames;
use super::page::is_there;
use super::part::{Part, Place};
use super::squeeze::{Member, Squeeze};
use crate::args::{ExportArgs, ExportFormat, ExportTable, name_of};
use crate::client::{Client, told};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::human::{bytes, exact, plural};
use crate::marks;
use crate::printer::{Printer, json_safe, visible};
use crate::query::Target;

/// Bytes between two places at which a file can go on.
const APART: u64 = 1 << 20;
/// The same for one that is compressed: what stands before a place does not help what comes behind it.
const APART_SQUEEZED: u64 = 4 << 20;

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    path: &'a Path,
    format: ExportFormat,
    compression: Option<&'static str>,
    /// Bytes of the file.
    bytes: u64,
    entries: u64,
    counts: &'a BTreeMap<String, u64>,
    unreadable: u64,
    complete: bool,
    redacted: bool,
    resumed: bool,
}

pub(super) fn run(env: &Env, out: &mut Printer, args: &ExportArgs, format: ExportFormat) -> Result<()> {
    let to = args.output.as_deref().filter(|path| path.as_os_str() != "-");
    let (squeeze, ending) = Squeeze::chosen(args.compress, to)?;
    let target = target(env, args, format)?;
    let Some(to) = to else { return to_stdout(env, out, args, &target, squeeze) };
    let to = place(env, to, format, ending);
    if !args.force && to.symlink_metadata().is_ok() {
        return Err(is_there(&to));
    }
    if to.is_dir() {
        return Err(CommandError::failed(format!("{} is a directory", to.display())));
    }
    if !args.force && !args.resume {
        Part::check(&to)?;
    }
    let typed = typed(args, format)?;
    let resumed = if args.resume { Some(Part::resume(&to, args.force)?) } else { None };
    if resumed.as_ref().is_some_and(|(_, place)| place.typed != typed) {
        return Err(CommandError::usage("what was interrupted is another export")
            .hint("type the same command with --resume; --force without --resume begins this one"));
    }
    let mut is_resumed = resumed.is_some();
    let mut file = ToFile {
        part: None,
        to: &to,
        force: args.force,
        place: Place { typed: typed.clone(), target: target.as_ref().to_owned(), ..Place::default() },
        squeeze,
        member: Member::None,
        since: 0,
        kept: None,
    };
    if let Some((part, place)) = resumed {
        (file.part, file.kept, file.place) = (Some(part), Some(place.clone()), place);
    }
    let mut done =
        fetch(env, out, args.reveal, &file.place.clone(), &mut |_, frame, bytes| file.take(frame, bytes));
    if is_resumed && done.as_ref().is_err_and(|e| e.kind == Kind::Changed) {
        out.warn("what was recorded has changed since: going on would double or lose some of it; it is begun again");
        Part::forget(&to);
        is_resumed = false;
        (file.part, file.kept) = (None, None);
        file.place = Place { typed, target: target.as_ref().to_owned(), ..Place::default() };
        done =
            fetch(env, out, args.reveal, &file.place.clone(), &mut |_, frame, bytes| file.take(frame, bytes));
    }
    let end = done.map_err(|error| file.interrupted(error))?;
    let len = file.finish()?;
    let summary = Summary {
        path: &to,
        format,
        compression: squeeze.name(),
        bytes: len,
        entries: end.entries,
        counts: &end.counts,
        unreadable: end.unreadable,
        complete: end.complete,
        redacted: !args.reveal,
        resumed: is_resumed,
    };
    if args.query.json {
        out.json(&summary)?;
    } else {
        out.line(format!("{} ({}, {})", visible(&to.display().to_string()), entries(&end), bytes(len)))?;
    }
    remarks(out, args, &end);
    Ok(())
}

fn remarks(out: &mut Printer, args: &ExportArgs, end: &ExportEnd) {
    if end.entries == 0 {
        out.note("nothing that was asked for is on record: `ccctl sessions` lists what is");
    }
    if end.unreadable > 0 {
        out.warn(format!(
            "{} could not be read whole: `ccctl store verify` says what is damaged",
            plural(end.unreadable, "thing")
        ));
    }
    if args.reveal {
        out.warn("nothing was taken out of it: it may hold credentials");
        marks::stay(out, end.marks_left);
    }
}

/// `12 sessions, 40 turns`.
fn entries(end: &ExportEnd) -> String {
    if end.counts.is_empty() {
        return "no entries".into();
    }
    let each = end.counts.iter().map(|(kind, n)| {
        let many = if kind == "usage" { "rows of usage".into() } else { format!("{kind}s") };
        let one = if kind == "usage" { "row of usage" } else { kind };
        if *n == 1 { format!("1 {one}") } else { format!("{} {many}", exact(*n)) }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What the daemon is asked for.
fn target(env: &Env, args: &ExportArgs, format: ExportFormat) -> Result<Target> {
    let kinds: Vec<String> = args.kinds.iter().map(name_of).collect();
    let days = (args.table == Some(ExportTable::Usage)).then(|| env.tz.iana_name()).flatten();
    let target = Target::new("/v0/export")
        .with("format", Some(name_of(&format)))
        .with("table", args.table.as_ref().map(name_of))
        .with("kinds", (!kinds.is_empty()).then(|| kinds.join(",")))
        .with("content", args.content.as_ref().map(name_of))
        .with("tz", days)
        .flag("reveal", args.reveal);
    Ok(target.query(env, &args.query, &env.tz)?.flag("framed", true))
}

/// What was typed, as far as it decides what is in the file.
fn typed(args: &ExportArgs, format: ExportFormat) -> Result<String> {
    let query = &args.query;
    let all = (
        (format, args.table, &args.kinds, args.content, args.compress, args.reveal),
        (&query.since, &query.until, query.limit, &query.session, &query.project),
    );
    serde_json::to_string(&all).map_err(|e| CommandError::failed(e.to_string()))
}

/// Where the file goes: in a directory, with a name of its own.
fn place(env: &Env, given: &Path, format: ExportFormat, ending: &str) -> PathBuf {
    let given = env.cwd.join(given);
    let mut to = if given.is_dir() {
        let date = env.now.to_zoned(env.tz.clone()).strftime("%Y-%m-%d").to_string();
        let format = if format == ExportFormat::Otlp { "otlp.jsonl".into() } else { name_of(&format) };
        given.join(format!("ccd-export-{date}.{format}"))
    } else {
        given
    };
    if !ending.is_empty() {
        to.as_mut_os_string().push(ending);
    }
    to
}

type Take<'a> = &'a mut dyn FnMut(&mut Printer, &ExportFrame, &[u8]) -> Result<()>;

/// Asks for the file from this place on, hands its frames over as they come, and says what is in it.
fn fetch(env: &Env, out: &mut Printer, reveal: bool, from: &Place, take: Take<'_>) -> Result<ExportEnd> {
    let client = Client::new(env)?;
    let target = match &from.cursor {
        Some(cursor) => format!("{}&after={}", from.target, crate::query::encode(cursor)),
        None => from.target.clone(),
    };
    let (mut frames, mut end) = (Frames::default(), None);
    let progress = Progress::new(out);
    let mut each = |out: &mut Printer, piece: &[u8]| {
        frames.take(piece, &mut |frame, bytes| {
            progress.show(&frame, bytes.len());
            if let Some(error) = &frame.error {
                return Err(told(error.clone()));
            }
            take(out, &frame, bytes)?;
            end = frame.end;
            Ok(())
        })
    };
    // What was redacted is asked for in another way, which no page has.
    let asked = if reveal {
        client.watch(out, &target, &mut each)
    } else {
        let mut signals = client.signals()?;
        client.follow(out, &target, Some(&mut signals), &mut each).and_then(|stopped| {
            if stopped { Err(CommandError::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
        })
    };
    progress.bar.finish_and_clear();
    asked?;
    end.ok_or_else(|| {
        CommandError::new(Kind::Disconnected, "the daemon ended before the file did")
            .hint("`ccctl logs` may say why")
    })
}

struct Progress {
    bar: ProgressBar,
    begun: Instant,
    bytes: std::cell::Cell<u64>,
}

impl Progress {
    fn new(out: &Printer) -> Self {
        let bar = out.bar();
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} sessions {msg}") {
            bar.set_style(style);
        }
        Progress { bar, begun: Instant::now(), bytes: std::cell::Cell::new(0) }
    }

    fn show(&self, frame: &ExportFrame, len: usize) {
        self.bytes.set(self.bytes.get() + len as u64);
        self.bar.set_length(frame.sessions.1);
        self.bar.set_position(frame.sessions.0);
        let rate =
            self.bytes.get() * 1000 / u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(1).max(1);
        self.bar.set_message(format!(
            "· {} entries · {} · {}/s",
            exact(frame.entries),
            bytes(self.bytes.get()),
            bytes(rate)
        ));
    }
}

fn to_stdout(
    env: &Env,
    out: &mut Printer,
    args: &ExportArgs,
    target: &Target,
    squeeze: Squeeze,
) -> Result<()> {
    if args.resume {
        return Err(CommandError::usage("--resume goes on with a file: name it with -o"));
    }
    if args.query.json {
        return Err(CommandError::usage("--json tells what was written to a file: name it with -o"));
    }
    let watched = out.is_drawn();
    if watched && !args.force {
        return Err(CommandError::usage("this is not made for a terminal")
            .hint("name a file with -o, pipe it on, or have it here all the same with --force"));
    }
    if watched && squeeze != Squeeze::Plain {
        return Err(CommandError::usage("what is compressed is not for a terminal: name a file with -o"));
    }
    let place = Place { target: target.as_ref().to_owned(), ..Place::default() };
    let mut member = Member::None;
    let end = fetch(env, out, args.reveal, &place, &mut |out, _, piece| {
        if watched {
            // A frame ends with an entry, so that no character is cut.
            return String::from_utf8_lossy(piece).lines().try_for_each(|line| out.line(json_safe(line)));
        }
        let piece = member.take(squeeze, piece)?;
        out.bytes(&piece)
    })?;
    let rest = member.end()?;
    out.bytes(&rest)?;
    remarks(out, args, &end);
    Ok(())
}

/// A file, and how far it is.
struct ToFile<'a> {
    part: Option<Part>,
    to: &'a Path,
    force: bool,
    /// The last place whose bytes were handed to the file.
    place: Place,
    squeeze: Squeeze,
    member: Member,
    /// Bytes since the last place that was kept.
    since: u64,
    /// The last place that was kept.
    kept: Option<Place>,
}

impl ToFile<'_> {
    fn take(&mut self, frame: &ExportFrame, bytes: &[u8]) -> Result<()> {
        // Only once the daemon has begun its answer: it may not know the session.
        let part = match &mut self.part {
            Some(part) => part,
            None => self.part.insert(Part::create(self.to, self.force)?),
        };
        if bytes.is_empty() {
            return Ok(());
        }
        part.write(&self.member.take(self.squeeze, bytes)?)?;
        self.since += bytes.len() as u64;
        // The end of the file is made again where it is missing.
        let Some(cursor) = &frame.cursor else { return Ok(()) };
        self.place.cursor = Some(cursor.clone());
        let apart = if self.squeeze == Squeeze::Plain { APART } else { APART_SQUEEZED };
        if self.since >= apart {
            part.write(&self.member.end()?)?;
            self.place.len = part.len;
            part.keep(&self.place)?;
            self.kept = Some(self.place.clone());
            self.since = 0;
        } else if self.squeeze == Squeeze::Plain {
            self.place.len = part.len;
        }
        Ok(())
    }

    /// Leaves what can go on, and says how.
    fn interrupted(&mut self, error: CommandError) -> CommandError {
        let Some(part) = &mut self.part else { return error };
        // What is compressed goes on at the end of a member alone.
        let last = if self.squeeze == Squeeze::Plain { Some(&self.place) } else { self.kept.as_ref() };
        let goes_on = last
            .filter(|place| place.cursor.is_some())
            .is_some_and(|place| part.keep(place).is_ok() || self.kept.is_some());
        if !goes_on {
            Part::forget(self.to);
            return error;
        }
        error.hint(format!(
            "what came so far is in {}.part: the same command with --resume goes on",
            self.to.display()
        ))
    }

    fn finish(self) -> Result<u64> {
        let ToFile { part, mut member, .. } = self;
        let mut part = part.ok_or_else(|| CommandError::failed("the daemon sent nothing"))?;
        part.write(&member.end()?)?;
        let len = part.len;
        part.finish()?;
        Ok(len)
    }
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
