//! False alarms on work that people did: the edits of a repository's commits, each against the tree before it, through
//! the hallucination detector: `cargo run --release -p ccd --example commits -- CLONE COMMITS`
//!
//! The clone's work tree is moved from commit to commit: it should be one that nobody else uses. One line per alarm, then
//! the rates.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example's output")]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;

use ccd::detect::workspace::{Limits, scan};
use ccd_detect::source::{Language, names};
use ccd_detect::{Engine, Event, Kind, Settings};
use serde_json::json;

fn git(clone: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(clone).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a commit does to a file: old and new text of each place.
struct Change {
    path: String,
    places: Vec<(String, String)>,
}

fn changes(diff: &str) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for line in diff.lines() {
        if let Some(path) = line.strip_prefix("+++ ") {
            let path = path.strip_prefix("b/").unwrap_or("");
            changes.push(Change { path: path.to_owned(), places: Vec::new() });
            continue;
        }
        let Some(change) = changes.last_mut() else { continue };
        if line.starts_with("@@") {
            change.places.push((String::new(), String::new()));
            continue;
        }
        let Some((old, new)) = change.places.last_mut() else { continue };
        let add = |to: &mut String| {
            to.push_str(line.get(1..).unwrap_or_default());
            to.push('\n');
        };
        match line.bytes().next() {
            Some(b'-') if !line.starts_with("--- ") => add(old),
            Some(b'+') => add(new),
            Some(b' ') => {
                add(old);
                add(new);
            }
            _ => {}
        }
    }
    changes.retain(|change| Language::of(&change.path).is_some() && !change.places.is_empty());
    changes
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(clone), Some(most)) = (args.next(), args.next().and_then(|n| n.parse::<usize>().ok())) else {
        eprintln!("usage: commits CLONE COMMITS");
        return;
    };
    let Some(clone) = Path::new(&clone).canonicalize().ok() else { return };
    let commits = git(&clone, &["log", "--no-merges", "--format=%H", &format!("-{}", most * 4), "HEAD"]);
    let (mut edits, mut done, mut gaps) = (0_usize, 0_usize, 0_usize);
    let mut alarms: BTreeMap<(&'static str, &'static str), usize> = BTreeMap::new();
    for commit in commits.unwrap_or_default().lines() {
        if done >= most {
            break;
        }
        let Some(diff) = git(&clone, &["diff", "--no-ext-diff", "-U3", &format!("{commit}^"), commit]) else {
            continue;
        };
        let changed = changes(&diff);
        // A change of fifty files is not one that somebody made by hand.
        if changed.is_empty() || changed.len() > 50 {
            continue;
        }
        if git(&clone, &["checkout", "-q", "--force", &format!("{commit}^")]).is_none() {
            continue;
        }
        let index = scan(&clone, None, &Limits::default());
        gaps += usize::from(index.gap().is_some());
        done += 1;
        let mut engine = Engine::new(&Settings::default(), &index.shared());
        let mut say = |payload| engine.observe(&Event::from_hook(payload));
        say(json!({"hook_event_name": "SessionStart", "source": "startup", "cwd": clone}));
        let subject = git(&clone, &["log", "-1", "--format=%B", commit]).unwrap_or_default();
        say(json!({"hook_event_name": "UserPromptSubmit", "prompt": subject}));
        // What the commit defines or makes anywhere: a name that is used before it is defined is another matter.
        let mut defined: HashSet<String> = HashSet::new();
        let added = git(&clone, &["diff", "--name-only", "--diff-filter=AR", &format!("{commit}^"), commit]);
        for path in added.unwrap_or_default().lines() {
            let name = path.rsplit('/').next().unwrap_or(path);
            defined.insert(name.split('.').next().unwrap_or(name).to_owned());
        }
        for change in &changed {
            let Some(language) = Language::of(&change.path) else { continue };
            for (_, new) in &change.places {
                defined.extend(names(new, language).defined);
            }
        }
        for change in &changed {
            let path = clone.join(&change.path);
            // The client refuses to edit what was not read.
            if let Ok(content) = std::fs::read_to_string(&path) {
                say(json!({"hook_event_name": "PostToolUse", "tool_name": "Read", "tool_use_id": "r",
                    "tool_input": {"file_path": path}, "tool_response": {"file": {"content": content}}}));
            }
            for (old, new) in &change.places {
                edits += 1;
                let found =
                    say(json!({"hook_event_name": "PostToolUse", "tool_name": "Edit", "tool_use_id": "e",
                    "tool_input": {"file_path": path, "old_string": old, "new_string": new},
                    "tool_response": {"filePath": path}}));
                for found in found.into_iter().filter(|found| found.kind == Kind::Hallucination) {
                    let imported = found.title.split_once(" imports ").map(|(_, path)| path);
                    let name = imported.unwrap_or(&found.title).split([' ', ',']).next().unwrap_or_default();
                    let name = name.rsplit('/').next().unwrap_or(name);
                    let name = name.split('.').next().unwrap_or(name);
                    let how = if defined.contains(name) { "defined later" } else { "new" };
                    *alarms.entry((found.rule, how)).or_default() += 1;
                    println!(
                        "{} {} {} [{how}] {}",
                        commit.get(..9).unwrap_or(commit),
                        change.path,
                        found.rule,
                        found.title
                    );
                }
            }
        }
    }
    println!("{done} commits, {edits} edits, {gaps} trees incomplete");
    for ((rule, how), count) in alarms {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = count as f64 * 1000.0 / edits.max(1) as f64;
        println!("{rule} ({how}): {count} = {rate:.1} per 1,000 edits");
    }
}
