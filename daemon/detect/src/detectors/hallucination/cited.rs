//! Files that a closing message names as if they were there.
//!
//! It must never judge a file that is proposed, asked about, or named as gone.
//!
//! Invariant: asked only with a complete index.

use crate::detection::{Detection, Kind};
use crate::index::Index;
use crate::memory::Memory;
use crate::source::Language;
use crate::text::head;
use crate::words::each_file;

/// Bytes of a message that are read.
const MAX_MESSAGE: usize = 16 * 1024;

/// Looks through a closing message.
pub(super) fn judge(memory: &Memory, index: &dyn Index, message: &str) -> Option<Detection> {
    if is_draft(message) {
        return None;
    }
    let mut found: Vec<&str> = Vec::new();
    let mut fenced = false;
    for line in head(message, MAX_MESSAGE).lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        // A tree that is drawn is mostly one that is to be.
        if fenced || line.len() > 2000 || line.contains(['├', '└', '│']) || is_open(line) {
            continue;
        }
        each_file(line, &mut |path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            if Language::of(name).is_some()
                && found.len() < 4
                && !super::names::is_generated(path)
                && !is_well_known(name)
                && is_plain(line, path)
                && index.files_named(name).is_empty()
                // What is made by a tool and ignored by the index is there all the same.
                && !index.has_file(path.trim_start_matches("./"))
                && !memory.words.has_file(name)
                && !found.contains(&path)
            {
                found.push(path);
            }
        });
    }
    let first = found.first()?;
    let mut detection = Detection::new(Kind::Hallucination, "cited", memory.event(), 50, 80)
        .title(format!("The closing message names {first}, which exists nowhere in the tree or the session"))
        .advice("Check the paths of the summary against the files that were really read and changed.")
        .mast("FM-2.6");
    for path in found {
        detection = detection.seen(memory.event(), path);
    }
    Some(detection)
}

/// A line that proposes, asks, or tells of what is no more.
fn is_open(line: &str) -> bool {
    let lower = line.to_lowercase();
    let open = |word: &str| {
        matches!(
            word,
            "would"
                | "could"
                | "should"
                | "might"
                | "create"
                | "creating"
                | "suggest"
                | "proposed"
                | "propose"
                | "e.g"
                | "deleted"
                | "removed"
                | "delete"
                | "remove"
                | "renamed"
                | "rename"
                | "missing"
                | "want"
                | "example"
                | "plan"
                | "moved"
                | "future"
                | "new"
                | "option"
                | "will"
                | "i'll"
                | "instead"
        )
    };
    let gone = ["does not exist", "doesn't exist", "no longer", "there is no ", "not found", "no such"];
    line.trim_end().ends_with('?')
        || gone.iter().any(|words| lower.contains(words))
        || lower.split(|c: char| !(c.is_alphanumeric() || c == '\'')).any(open)
}

/// A message that lays out what may be done: a proposal, options to choose from, a draft for a document.
fn is_draft(message: &str) -> bool {
    const SIGNS: [&str; 16] = [
        "here's the draft",
        "here is the draft",
        "draft:",
        "i'll add",
        "i'll create",
        "i will create",
        "my recommendation",
        "here's my recommendation",
        "i recommend",
        "i'd recommend",
        "practical options",
        "does this direction",
        "would you prefer",
        "implementation plan",
        "proposed structure",
        "here's the plan",
    ];
    let lower = head(message, MAX_MESSAGE).to_lowercase().replace('\u{2019}', "'");
    let offers = |line: &str| {
        (line.contains("here's the") || line.contains("here is the"))
            && ["content", "revised", "draft", "proposal", "plan", "design", "structure", "outline"]
                .iter()
                .any(|word| line.contains(word))
    };
    SIGNS.iter().any(|sign| lower.contains(sign))
        || lower.lines().take(5).any(offers)
        || lower.lines().any(|line| {
            let line = line.trim_start_matches(['#', '*', ' ', '-']);
            line.starts_with("option a") || line.starts_with("option 1") || line.starts_with("options")
        })
}

/// Files that every project of a kind has, or might: they are spoken of whether there or not.
fn is_well_known(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    name.contains(".config.")
        || name.contains(".setup.")
        || matches!(
            stem,
            "index" | "main" | "setup" | "conftest" | "mod" | "lib" | "app" | "page" | "layout" | "route"
        )
}

/// The name stands for itself: it is no pattern, no web address, and needs more than an ending.
fn is_plain(line: &str, path: &str) -> bool {
    let at = line.find(path).unwrap_or(0);
    let before = line[..at].chars().next_back().unwrap_or(' ');
    let behind = line[at + path.len()..].chars().next().unwrap_or(' ');
    let odd = |c: char| matches!(c, '*' | '{' | '}' | '<' | '>' | '$' | '[' | '%' | '~' | ':') && c != ':';
    !odd(before)
        && !odd(behind)
        && !path.contains("//")
        && !path.starts_with(['.', '-', '@'])
        && !line[..at].ends_with("//")
        // `foo.js` the product (Next.js, Vue.js) and `a.c` of a sentence are no files.
        && (path.contains('/') || path.contains('_') || path.len() > 12)
}
