//! How long what is captured is looked through for credentials: `cargo run --example scrub_pace [TRANSCRIPT]`.
//!
//! Prints, for hook events of several sizes, a request that is sent again and again as its conversation grows, a body full of
//! credentials that the vault does not know yet, and a transcript's lines if one is named: how long one takes, the first time
//! and when most of it was seen before.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd::clock::SystemClock;
use ccd::config::{VaultKey, VaultSettings};
use ccd::ingest::record::TranscriptPart;
use ccd::ingest::scrub::{IdKey, Scrub};
use ccd::vault::{VaultMark, VaultSlot};
use ccd_proto::paths::Layout;
use ccd_redact::Rules;
use serde_json::json;

fn tell(what: &str, bytes: usize, took: Duration) {
    let pace = bytes as f64 / 1e6 / took.as_secs_f64();
    println!("{what:<44} {bytes:>9} bytes {:>10.3} ms {pace:>8.1} MB/s", took.as_secs_f64() * 1e3);
}

/// Text as tools put out, `len` bytes of it, and none of it twice.
fn text(len: usize, seed: usize) -> String {
    let mut out = String::new();
    let mut n = seed;
    while out.len() < len {
        n += 1;
        out += &[
            "test module_",
            &n.to_string(),
            "::reads_what_was_written ... ok (",
            &(n * 7 % 997).to_string(),
            " ms)\n",
        ]
        .concat();
    }
    out
}

fn event(len: usize, seed: usize) -> Bytes {
    let event = json!({"session_id": "s", "hook_event_name": "PostToolUse", "tool_name": "Bash",
        "tool_input": {"command": "cargo test"}, "tool_response": {"stdout": text(len, seed)}});
    event.to_string().into()
}

/// A page of credentials, each of which is sealed in a vault of its own, on the disk that holds temporary files.
fn sealed(count: u64) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let layout =
        Layout::resolve(|name| (name == "CCD_HOME").then(|| OsString::from(dir.path().as_os_str())))?;
    std::fs::create_dir_all(&layout.state_dir)?;
    let settings = VaultSettings { key: VaultKey::File, bus: None };
    let vault = VaultSlot::new(&layout, settings, true, Arc::new(SystemClock));
    vault.open();
    let scrub = Scrub::new(&Rules::default(), Arc::new(VaultMark(Arc::clone(&vault))), IdKey::passing())?;
    let page: Vec<String> = (0..count).map(|seed| ccd_redact::sample::filled("ghp_{a36}", seed)).collect();
    let body = json!({"session_id": "s", "page": page.join("\n")}).to_string();
    for what in ["a page of new credentials", "  the same once more"] {
        let begun = Instant::now();
        let _ = scrub.payload(body.as_bytes());
        tell(what, body.len(), begun.elapsed());
    }
    println!("{} marks, {} values in the vault", scrub.redacted(), vault.status().tokens);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let scrub = Scrub::default();
    // The rules are made ready with the first text.
    let _ = scrub.hook(0, b"", &event(100, 0));
    for len in [2 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let rounds = ((4 << 20) / len).clamp(4, 500);
        let events: Vec<Bytes> = (0..rounds).map(|n| event(len, n * 1_000_000)).collect();
        let mut took: Vec<Duration> = Vec::new();
        for event in &events {
            let begun = Instant::now();
            let _ = scrub.hook(0, b"", event);
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        tell(
            &format!("hook event of {} KiB, median of {rounds}", len >> 10),
            events[0].len(),
            took[rounds / 2],
        );
        tell("  the slowest of a hundred", events[0].len(), took[rounds * 99 / 100]);
    }
    let mut messages = Vec::new();
    for turn in 0..20 {
        messages.push(
            json!({"role": "user", "content": [{"type": "text", "text": text(20 << 10, turn * 9_999_999)}]}),
        );
        let body = json!({"model": "m", "messages": messages}).to_string();
        let begun = Instant::now();
        let _ = scrub.payload(body.as_bytes());
        if turn % 19 == 0 {
            tell(
                &format!("request of turn {}, its history seen before", turn + 1),
                body.len(),
                begun.elapsed(),
            );
        }
    }
    sealed(5_000)?;
    if let Some(path) = std::env::args().nth(1) {
        let bytes = std::fs::read(path)?;
        let (len, begun) = (bytes.len(), Instant::now());
        let mut done = 0;
        let mut marks = 0;
        while done < len {
            let most = len.min(done + (1 << 20));
            let end = bytes[done..most].iter().rposition(|b| *b == b'\n').map_or(len, |at| done + at + 1);
            let (_, in_file) = scrub.stretch("s", TranscriptPart::Lines, bytes[done..end].to_vec());
            marks += usize::from(in_file.is_some());
            done = end;
        }
        tell("a transcript", len, begun.elapsed());
        println!("{} marks in {marks} stretches", scrub.redacted());
    }
    Ok(())
}
