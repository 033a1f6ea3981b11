//! How many megabytes a second one core looks through: text that is new, pieces that were seen before, and beside them, in
//! the same process, one pass of memchr and the plain way, every rule's pattern over every text.
//!
//! Reads sources and documents of this workspace and of cargo's registry where there is one; writes nothing. Time is the
//! thread's own on the processor where the system tells it, so that a busy machine changes little.

#![allow(clippy::print_stdout, reason = "the figures are what one runs it for")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ccd_redact::{Redactor, Scrubber};
use serde_json::json;

const TEXT_BYTES: usize = 8 << 20;
const FILE_BYTES: usize = 200 << 10;

/// Texts that a search could lose itself in.
const HOSTILE: &[&str] = &[
    "\"",
    "=",
    "\\",
    "[",
    "{\"a\":",
    "A",
    "password=\"",
    "key:",
    "://",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "kind: secret\n",
    "Cookie: a=b;",
    "bearer ",
    "%41",
    "&quot;",
    "\u{1b}[",
    "\\u0041",
    "ghp_",
    "[\"",
    "\"\\\"",
    "AKIA\n",
    "\u{2192}",
    " -u a:",
];

fn main() {
    // `cargo test --benches` starts it too.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let texts = texts();
    let size: usize = texts.iter().map(String::len).sum();
    let bodies = requests(&texts);
    let sent: usize = bodies.iter().map(Vec::len).sum();
    println!("sources and documents: {} files, {:.1} MB", texts.len(), megabytes(size));
    println!("requests, each with the history before it: {}, {:.1} MB", bodies.len(), megabytes(sent));

    report("memchr for a byte that is not there", size * 64, || {
        for text in (0..64).flat_map(|_| &texts) {
            black_box(memchr::memchr(0, text.as_bytes()));
        }
    });
    let redactor = Redactor::standard();
    black_box(redactor.text(&texts.concat()));
    report("text, new", size, || {
        for text in &texts {
            black_box(redactor.text(text));
        }
    });
    report("scrubber, text, new", size, || {
        let scrubber = Scrubber::new(Redactor::standard(), 64 << 20);
        for text in &texts {
            black_box(scrubber.edits("s", text.as_bytes()));
        }
    });
    let hooks: Vec<Vec<u8>> = texts
        .iter()
        .map(|text| json!({"tool_response": {"content": text}, "session_id": "s"}).to_string().into_bytes())
        .collect();
    let hook_size: usize = hooks.iter().map(Vec::len).sum();
    report("scrubber, hook events, new", hook_size, || {
        let scrubber = Scrubber::new(Redactor::standard(), 64 << 20);
        for body in &hooks {
            black_box(scrubber.edits("s", body));
        }
    });
    let scrubber = Scrubber::new(Redactor::standard(), 64 << 20);
    report("scrubber, requests, as they come", sent, || {
        for body in &bodies {
            black_box(scrubber.edits("s", body));
        }
    });
    report("scrubber, requests, seen", sent, || {
        for body in &bodies {
            black_box(scrubber.edits("s", body));
        }
    });
    for part in HOSTILE {
        let text = part.repeat((256 << 10) / part.len());
        report(&format!("repeated: {part:?}"), text.len(), || {
            black_box(Scrubber::new(Redactor::standard(), 0).edits("s", text.as_bytes()));
        });
    }
    let rules: Vec<regex::Regex> =
        ccd_redact::rules::all().filter_map(|rule| regex::Regex::new(rule.pattern).ok()).collect();
    let few: Vec<&String> = texts.iter().take(12).collect();
    report("the plain way: every pattern over every text", few.iter().map(|text| text.len()).sum(), || {
        for text in &few {
            black_box(rules.iter().filter(|rule| rule.is_match(text)).count());
        }
    });
}

fn report(what: &str, bytes: usize, mut work: impl FnMut()) {
    let (wall, before) = (Instant::now(), on_processor());
    work();
    let took = match (before, on_processor()) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => wall.elapsed(),
    };
    println!("{what:<48} {:>9.1} MB/s", megabytes(bytes) / took.as_secs_f64().max(1e-9));
}

/// How long this thread has been on a processor.
fn on_processor() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// Requests as a client sends them: each has what the one before had, and two messages more.
fn requests(texts: &[String]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut bodies = Vec::new();
    for (at, text) in texts.iter().take(40).enumerate() {
        let text: String = text.chars().take(30_000).collect();
        messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": format!("toolu_{at}"), "name": "Read", "input": {"file_path": format!("/src/{at}.rs")}}]}));
        messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": format!("toolu_{at}"), "content": text}]}));
        bodies.push(
            json!({"model": "claude", "messages": messages, "max_tokens": 32000}).to_string().into_bytes(),
        );
    }
    bodies
}

fn texts() -> Vec<String> {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for part in ["daemon", "ctl", "tests", "hook-shim", "packaging"] {
        gather(&root.join(part), &mut files);
    }
    let cargo = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    if let Some(cargo) = cargo {
        gather(&cargo.join("registry/src"), &mut files);
    }
    let mut size = 0;
    let step = (files.len() / 900).max(1);
    let mut texts = Vec::new();
    // Every so many files, so that it is not one package's alone.
    for file in files.iter().step_by(step) {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        if text.len() <= FILE_BYTES && size < TEXT_BYTES {
            size += text.len();
            texts.push(text);
        }
    }
    texts
}

fn gather(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if !path.ends_with("target") && files.len() < 200_000 {
                gather(&path, files);
            }
        } else if path.extension().is_some_and(|end| {
            ["rs", "md", "toml", "json", "js", "sh", "py"].iter().any(|known| end == *known)
        }) {
            files.push(path);
        }
    }
}
