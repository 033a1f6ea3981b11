//! Scores the detectors on labelled sessions: `CCD_EVAL=DIR cargo run --release -p ccd-detect --example score`.
//!
//! DIR holds `NAME.jsonl`, and `NAME-workspaces.jsonl.gz` beside it where the sessions name indexes. Labels are read
//! here and nowhere else. Options: `--half 0|1` (sessions split by where they come from), `--kind KIND` with `--misses`
//! (the sessions that are wrong), `--subtypes`, `--settings JSON`, `--print` (the lines of what was found, for another scorer),
//! `--perturb WAY` (the same sessions in other clothes; `runner:NAME` takes a test runner, `all` tells of every way).

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arithmetic;
mod perturb;
mod runners;
mod table;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccd_detect::eval::Trace;
use ccd_detect::{Engine, Index, Settings, Unknown, Workspace, text};

use arithmetic::{Labelled, Scores};

/// What is printed.
#[derive(Default)]
struct Options {
    half: Option<u64>,
    kind: Option<String>,
    misses: bool,
    subtypes: bool,
    print: bool,
    settings: Settings,
    perturb: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(dir) = std::env::var_os("CCD_EVAL") else {
        println!("CCD_EVAL is not set: there are no labelled sessions to score on");
        return Ok(());
    };
    let mut options = options();
    let mut sets: Vec<_> = std::fs::read_dir(dir)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|p| is_set(p))
        .collect();
    sets.sort();
    for set in sets {
        if options.perturb.as_deref() == Some("all") {
            every_way(&set, &mut options)?;
        } else {
            score(&set, &options)?;
        }
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--half" => options.half = arguments.next().and_then(|half| half.parse().ok()),
            "--kind" => options.kind = arguments.next(),
            "--misses" => options.misses = true,
            "--subtypes" => options.subtypes = true,
            "--settings" => match arguments.next().map(|json| serde_json::from_str(&json)) {
                Some(Ok(settings)) => options.settings = settings,
                other => eprintln!("--settings wants them as JSON: {other:?}"),
            },
            "--perturb" => options.perturb = arguments.next(),
            "--print" => options.print = true,
            other => eprintln!("{other} is not known"),
        }
    }
    options
}

/// Every way in turn, one after the other.
fn every_way(set: &Path, options: &mut Options) -> Result<(), Box<dyn Error>> {
    for kind in perturb::KINDS {
        let which: Vec<&str> =
            if kind == "runner" { runners::RUNNERS.iter().map(|r| r.name).collect() } else { vec![""] };
        for which in which {
            let way = if which.is_empty() { kind.to_owned() } else { format!("{kind}:{which}") };
            println!("-- {way}");
            options.perturb = Some(way);
            score(set, options)?;
        }
    }
    options.perturb = Some("all".to_owned());
    Ok(())
}

fn is_set(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
        && !path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-workspaces"))
}

fn score(set: &Path, options: &Options) -> Result<(), Box<dyn Error>> {
    let indexes = indexes(set)?;
    let unknown: Arc<dyn Index> = Arc::new(Unknown);
    let (mut scores, mut took, mut events) = (Scores::default(), Duration::ZERO, 0);
    for line in BufReader::new(std::fs::File::open(set)?).lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let labelled: Labelled = serde_json::from_str(&line)?;
        if options.half.is_some_and(|half| text::hash(&labelled.source_session) % 2 != half) {
            continue;
        }
        let trace = match &options.perturb {
            Some(way) => changed(&line, way)?,
            None => Trace::from_line(&line)?,
        };
        let index = trace.workspace.as_ref().and_then(|name| indexes.get(name)).unwrap_or(&unknown);
        let mut engine = Engine::new(&options.settings, index);
        let started = Instant::now();
        let found: Vec<_> = trace.events.iter().flat_map(|event| engine.observe(event)).collect();
        took += started.elapsed();
        events += trace.events.len();
        if options.print {
            println!("{}", trace.to_line(&found)?);
        }
        scores.add(&labelled, &found, options.kind.as_deref().filter(|_| options.misses));
    }
    if !options.print {
        table::print(&set.display().to_string(), &scores, options.subtypes);
        let micros = took.as_secs_f64() * 1e6 / f64::from(u32::try_from(events).unwrap_or(u32::MAX).max(1));
        println!("{events} events, {micros:.1} µs per event for all detectors");
    }
    Ok(())
}

/// A session in other clothes.
fn changed(line: &str, way: &str) -> Result<Trace, Box<dyn Error>> {
    let mut session: serde_json::Value = serde_json::from_str(line)?;
    if let Some(events) = session.get_mut("events").and_then(serde_json::Value::as_array_mut)
        && !perturb::perturb(way, events)
    {
        return Err(format!("{way} is not a way to change sessions").into());
    }
    Ok(Trace::from_line(&session.to_string())?)
}

fn indexes(set: &Path) -> Result<HashMap<String, Arc<dyn Index>>, Box<dyn Error>> {
    let stem = set.file_stem().unwrap_or_default().to_string_lossy();
    let packed = set.with_file_name(format!("{stem}-workspaces.jsonl.gz"));
    let mut indexes: HashMap<String, Arc<dyn Index>> = HashMap::new();
    if packed.exists() {
        let mut lines = String::new();
        flate2::read::GzDecoder::new(std::fs::File::open(packed)?).read_to_string(&mut lines)?;
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let workspace = Workspace::from_line(line)?;
            indexes.insert(workspace.name().to_owned(), Arc::new(workspace));
        }
    }
    Ok(indexes)
}
