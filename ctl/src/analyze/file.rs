//! `analyze --file`: one session per line in, one line of what was found out, in the same order and as soon as it is known.
//!
//! Two threads analyse, a third prints. Must never hold more than a few lines at once, look at anything of a line but its
//! name, its events and the working directory that it names, or end because of a line.
//!
//! Invariant: for each line that could be read there is exactly one line of output; the others are told of by number.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ccd_detect::eval::Trace;
use ccd_detect::{Detection, Evidence, Index, Kind, Settings, Unknown};
use flate2::bufread::MultiGzDecoder;
use serde::Serialize;
use serde_json::Value;

use super::workspaces::{MAX_LINE, Source, Workspaces, is_packed};
use crate::args::AnalyzeArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, count, plural};
use crate::lines::{Line, read_line};
use crate::printer::{Printer, json_safe};

/// Threads that analyse.
const THREADS: usize = 2;
/// Lines that may be ahead of the one that is printed next.
const AHEAD: u64 = 32;
/// Lines that could not be analysed and are told of one by one.
const TOLD: u64 = 50;

/// Runs the command.
pub(super) fn run(env: &Env, out: &mut Printer, path: &Path, args: &AnalyzeArgs) -> Result<()> {
    let stdin = Path::new("-");
    let at = |path: &Path| if path == stdin { path.to_owned() } else { env.cwd.join(path) };
    if path == stdin && args.workspaces.as_deref() == Some(stdin) {
        return Err(CommandError::usage("only one of --file and --workspaces can be stdin"));
    }
    let settings = match &args.settings {
        None => Settings::default(),
        Some(file) => settings(&file.as_ref().map_or(env.layout.config_file.clone(), |file| at(file)))?,
    };
    let workspaces = match args.workspaces.as_deref() {
        None => None,
        Some(path) if path == stdin => Some(Workspaces::new(Source::taken(io::stdin())?, path)),
        Some(path) => {
            // Said before anything else is done, rather than by the first session.
            fs_err::File::open(at(path))?;
            Some(Workspaces::new(Source::File(at(path)), path))
        }
    };
    let input: Box<dyn BufRead + Send> = if path == stdin {
        unpacked(BufReader::new(io::stdin()))?
    } else {
        unpacked(BufReader::with_capacity(1 << 20, fs_err::File::open(at(path))?))?
    };
    let shown = if path == stdin { "stdin".to_owned() } else { path.display().to_string() };
    let job = Job { settings, workspaces: workspaces.map(Mutex::new) };
    analyse(env, out, &shown, input, &job)
}

fn unpacked(mut input: impl BufRead + Send + 'static) -> Result<Box<dyn BufRead + Send>> {
    let is_packed = is_packed(input.fill_buf()?);
    Ok(if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(input))) } else { Box::new(input) })
}

/// The thresholds of a configuration; those of single projects are left aside, for a file's sessions are nowhere.
fn settings(path: &Path) -> Result<Settings> {
    let text = match fs_err::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CommandError::failed(format!("there is no configuration at {}", path.display()))
                .hint("without --settings, the defaults are gone by"));
        }
        other => other?,
    };
    let wrong = |error: toml::de::Error| {
        CommandError::failed(format!("{}: {}", path.display(), error.to_string().trim_end()))
    };
    let mut file: toml::Table = toml::from_str(&text).map_err(wrong)?;
    let Some(toml::Value::Table(mut detect)) = file.remove("detect") else { return Ok(Settings::default()) };
    detect.remove("projects");
    detect.try_into().map_err(|error: toml::de::Error| {
        CommandError::failed(format!("{}: [detect]: {}", path.display(), error.message()))
    })
}

/// What is wrong with a line of JSON: where in the line, for that it is line 1 of itself says nothing.
pub(crate) fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let plain = text.rsplit_once(" at line ").map_or(text.as_str(), |(head, _)| head);
    if error.column() == 0 { plain.to_owned() } else { format!("{plain} (column {})", error.column()) }
}

/// What all threads go by.
pub(super) struct Job {
    pub(super) settings: Settings,
    pub(super) workspaces: Option<Mutex<Workspaces>>,
}

/// What became of a line.
enum Done {
    /// It was empty.
    Nothing,
    Found {
        line: String,
        events: usize,
        found: usize,
        remark: Option<Remark>,
    },
    /// It could not be analysed: why, and what would have been expected.
    Wrong(String, Option<&'static str>),
    /// The file itself cannot be read any further.
    Broken(CommandError),
}

/// Something that was left undone.
enum Remark {
    /// A session names a workspace, and none were given.
    NoWorkspaces,
    /// There is none of this name.
    Missing(String),
}

/// The input, and how much of it was taken.
struct Input {
    reader: Box<dyn BufRead + Send>,
    taken: u64,
}

/// What was done and is not printed yet, by the number of the line.
#[derive(Default)]
struct Board {
    done: BTreeMap<u64, Done>,
    next: u64,
    /// Lines in all, once it is known.
    end: Option<u64>,
    stop: bool,
}

struct Shared<'a> {
    job: &'a Job,
    input: Mutex<Input>,
    board: Mutex<Board>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Analyses an input and prints what was found.
pub(super) fn analyse(
    env: &Env,
    out: &mut Printer,
    shown: &str,
    input: Box<dyn BufRead + Send>,
    job: &Job,
) -> Result<()> {
    let shared = Shared {
        job,
        input: Mutex::new(Input { reader: input, taken: 0 }),
        board: Mutex::new(Board::default()),
        changed: Condvar::new(),
    };
    let mut told = Told { shown, began: (env.clock)(), ..Told::default() };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        for _ in 0..threads {
            scope.spawn(|| shared.work());
        }
        let printed = shared.print(env, out, &mut told);
        lock(&shared.board).stop = true;
        shared.changed.notify_all();
        printed
    })?;
    told.end(env, out, job)
}

impl Shared<'_> {
    /// Takes lines and analyses them until there are none left.
    fn work(&self) {
        loop {
            let (at, line) = {
                let mut input = lock(&self.input);
                let at = input.taken;
                if !self.may_go_on(at) {
                    return;
                }
                let line = read_line(&mut input.reader, MAX_LINE);
                input.taken += 1;
                (at, line)
            };
            let done = match line {
                Ok(Line::End) => {
                    let mut board = lock(&self.board);
                    board.end = Some(board.end.map_or(at, |end| end.min(at)));
                    self.changed.notify_all();
                    return;
                }
                Ok(Line::TooLong) => Done::Wrong(format!("longer than {}", bytes(MAX_LINE as u64)), None),
                // A detector that fails costs its line, and nobody waits for it for ever.
                Ok(Line::Whole(line)) => catch_unwind(AssertUnwindSafe(|| self.job.line(at, &line)))
                    .unwrap_or_else(|_| {
                        Done::Wrong("the detectors failed on it: this is a mistake in them".into(), None)
                    }),
                Err(error) => Done::Broken(error.into()),
            };
            let is_broken = matches!(done, Done::Broken(_));
            let mut board = lock(&self.board);
            board.done.insert(at, done);
            self.changed.notify_all();
            if is_broken {
                board.end = Some(at + 1);
                return;
            }
        }
    }

    /// Waits until the line may be taken; not if all ends.
    fn may_go_on(&self, at: u64) -> bool {
        let mut board = lock(&self.board);
        while !board.stop && board.end.is_none() && at >= board.next + AHEAD {
            board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        !board.stop && board.end.is_none()
    }

    fn print(&self, env: &Env, out: &mut Printer, told: &mut Told<'_>) -> Result<()> {
        loop {
            let mut board = lock(&self.board);
            if !board.done.contains_key(&board.next) && board.end.is_none_or(|end| board.next < end) {
                // Whoever reads along has all that is known before anybody waits.
                drop(board);
                out.flush()?;
                board = lock(&self.board);
                while !board.done.contains_key(&board.next) && board.end.is_none_or(|end| board.next < end) {
                    board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
                }
            }
            let next = board.next;
            let Some(done) = board.done.remove(&next) else { return out.flush() };
            board.next += 1;
            self.changed.notify_all();
            drop(board);
            told.line(env, out, next + 1, done)?;
        }
    }
}

impl Job {
    fn line(&self, at: u64, line: &[u8]) -> Done {
        let Ok(text) = std::str::from_utf8(line) else {
            return Done::Wrong("not UTF-8 text".into(), None);
        };
        let text = text.trim();
        if text.is_empty() {
            return Done::Nothing;
        }
        // A list of values would do, too, otherwise.
        if !text.starts_with('{') {
            return Done::Wrong("not a JSON object".into(), Some(SESSION));
        }
        let trace = match Trace::from_line(text) {
            Ok(trace) => trace,
            Err(error) => {
                let hint = expected(text);
                // All of its lines are.
                if at == 0 && hint == TRANSCRIPT {
                    let what =
                        "the file is one of Claude Code's transcripts, and not one of sessions, one per line";
                    return Done::Broken(CommandError::failed(what).hint(TRANSCRIPT));
                }
                return Done::Wrong(cause(&error), Some(hint));
            }
        };
        let (index, remark) = match self.index(trace.workspace.as_deref()) {
            Ok(found) => found,
            Err(error) => return Done::Broken(error),
        };
        let found = trace.detect(&self.settings, &index);
        match serde_json::to_string(&Found::new(&trace, &found)) {
            Ok(line) => {
                Done::Found { line: json_safe(&line), events: trace.events.len(), found: found.len(), remark }
            }
            Err(error) => Done::Wrong(cause(&error), None),
        }
    }

    fn index(&self, name: Option<&str>) -> Result<(Arc<dyn Index>, Option<Remark>)> {
        let unknown: Arc<dyn Index> = Arc::new(Unknown);
        Ok(match (name, &self.workspaces) {
            (None, _) => (unknown, None),
            (Some(_), None) => (unknown, Some(Remark::NoWorkspaces)),
            (Some(name), Some(workspaces)) => match lock(workspaces).get(name)? {
                Some(index) => (index, None),
                None => (unknown, Some(Remark::Missing(name.to_owned()))),
            },
        })
    }
}

/// What a line is.
const SESSION: &str =
    "a line is one session: {\"trace_id\":\"…\",\"events\":[…]}; `ccctl analyze --help` says more";
/// What an event is not.
const EVENT: &str = "this is an event: a line is a whole session, with its events as a list in `events`";
/// How a transcript is analysed.
const TRANSCRIPT: &str = "`ccctl analyze --session ID` analyses it, where ID is the file's name without its ending; where \
                          the daemon has not read it by itself, `ccctl import FILE` takes it in first";

/// What to do with a line that is no session.
fn expected(line: &str) -> &'static str {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return SESSION };
    let has = |key: &str| fields.contains_key(key);
    if has("type") && (has("sessionId") || has("parentUuid") || has("uuid")) {
        TRANSCRIPT
    } else if has("hook_event_name") {
        EVENT
    } else {
        SESSION
    }
}

/// The line that is printed: what others read first, then what says more.
#[derive(Serialize)]
struct Found<'a> {
    trace_id: &'a str,
    detections: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    kind: Kind,
    severity: u8,
    at_event: usize,
    rule: &'a str,
    confidence: u8,
    title: &'a str,
    evidence: &'a [Evidence],
    advice: &'a str,
    mast: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn new(trace: &'a Trace, found: &'a [Detection]) -> Self {
        let row = |d: &'a Detection| Row {
            kind: d.kind,
            severity: d.severity,
            at_event: d.at_event,
            rule: d.rule,
            confidence: d.confidence,
            title: &d.title,
            evidence: &d.evidence,
            advice: &d.advice,
            mast: d.mast,
        };
        Found { trace_id: &trace.trace_id, detections: found.iter().map(row).collect() }
    }
}

/// What was told so far, and what is told at the end.
#[derive(Default)]
struct Told<'a> {
    shown: &'a str,
    began: jiff::Timestamp,
    /// When the progress was shown last.
    shown_at: jiff::Timestamp,
    traces: u64,
    events: u64,
    found: u64,
    wrong: u64,
    hints: BTreeSet<&'static str>,
    no_workspaces: u64,
    missing: BTreeMap<String, u64>,
}

impl Told<'_> {
    fn line(&mut self, env: &Env, out: &mut Printer, number: u64, done: Done) -> Result<()> {
        match done {
            Done::Nothing => {}
            Done::Found { line, events, found, remark } => {
                out.line(line)?;
                self.traces += 1;
                self.events += events as u64;
                self.found += found as u64;
                match remark {
                    Some(Remark::NoWorkspaces) => self.no_workspaces += 1,
                    Some(Remark::Missing(name)) => *self.missing.entry(name).or_default() += 1,
                    None => {}
                }
                self.progress(env, out);
            }
            Done::Wrong(cause, hint) => {
                self.wrong += 1;
                if self.wrong <= TOLD {
                    let error = CommandError::failed(format!("{}: line {number}: {cause}", self.shown));
                    // Said once: a file that is something else is so in every line.
                    let hint = hint.filter(|hint| self.hints.insert(hint));
                    out.progress("");
                    out.error(&hint.map_or(error.clone(), |hint| error.hint(hint)));
                }
            }
            Done::Broken(error) => return Err(error),
        }
        Ok(())
    }

    fn seconds(&self, env: &Env) -> f64 {
        (env.clock)().duration_since(self.began).as_secs_f64().max(0.0)
    }

    fn progress(&mut self, env: &Env, out: &mut Printer) {
        // Where results scroll by, they are the progress.
        if !out.is_watched() || out.is_drawn() {
            return;
        }
        let now = (env.clock)();
        if now.duration_since(self.shown_at).unsigned_abs() >= Duration::from_millis(100) {
            self.shown_at = now;
            out.progress(&format!("{}, {}", plural(self.traces, "session"), plural(self.found, "finding")));
        }
    }

    #[allow(clippy::cast_precision_loss)] // for people
    fn end(&self, env: &Env, out: &mut Printer, job: &Job) -> Result<()> {
        out.progress("");
        if self.no_workspaces > 0 {
            out.note(format!(
                "{} what the working directory holds: with --workspaces, names and paths are checked, too",
                if self.no_workspaces == 1 {
                    "1 session names".to_owned()
                } else {
                    format!("{} sessions name", count(self.no_workspaces))
                }
            ));
        }
        for (name, sessions) in &self.missing {
            out.warn(format!(
                "there is no workspace `{name}`: names and paths of {} were not checked",
                plural(*sessions, "session")
            ));
        }
        let wrong = job.workspaces.as_ref().map(|w| std::mem::take(&mut lock(w).wrong)).unwrap_or_default();
        for cause in wrong.iter().take(usize::try_from(TOLD).unwrap_or(usize::MAX)) {
            out.error(&CommandError::failed(cause));
        }
        let seconds = self.seconds(env);
        let speed = if seconds > 0.0 {
            format!(" in {seconds:.1} s: {:.0} sessions/s", self.traces as f64 / seconds)
        } else {
            String::new()
        };
        let (sessions, events) = (plural(self.traces, "session"), plural(self.events, "event"));
        out.note(format!("{sessions}, {events}, {}{speed}", plural(self.found, "finding")));
        if self.wrong > 0 || !wrong.is_empty() {
            let lines = plural(self.wrong + wrong.len() as u64, "line");
            return Err(CommandError::failed(format!("{lines} could not be read; all others are analysed")));
        }
        Ok(())
    }
}
