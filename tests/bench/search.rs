//! `ccctl search` over transcripts that were taken in, whole processes, beside `rg` and `grep` over the files
//! themselves, which lie in the page cache for all of them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ccd_tests::harness::{Daemon, TestHome, binary};
use serde_json::json;

use crate::import::{lines, peak, taken};
use crate::stats::{Samples, micros};

/// Lines of transcripts.
pub(crate) const LINES: u64 = 1_000_000;
const ROUNDS: usize = 5;

pub(crate) fn run(at_least: u64, rounds: Option<usize>) {
    let rounds = rounds.unwrap_or(ROUNDS);
    let (dir, written) = lines(at_least);
    // A needle in the oldest session and one in the newest: lines of sessions of their own.
    let projects = dir.path().join("projects/needles");
    std::fs::create_dir_all(&projects).unwrap();
    for (n, (session, year)) in
        [("0a000000-0000-4000-8000-00000000000a", 2020), ("0b000000-0000-4000-8000-00000000000b", 2027)]
            .iter()
            .enumerate()
    {
        let line = json!({
            "type": "assistant", "uuid": format!("u{n}"), "sessionId": session, "cwd": "/w", "version": "2.1.329",
            "timestamp": format!("{year}-11-20T10:00:00.000Z"), "requestId": format!("req_{n}"),
            "message": {"id": format!("msg_{n}"), "type": "message", "role": "assistant", "model": "m",
                "stop_reason": "end_turn", "content": [{"type": "text", "text": format!("needle-of-{year}")}],
                "usage": {"input_tokens": 1, "output_tokens": 1}},
        });
        std::fs::write(projects.join(format!("{session}.jsonl")), format!("{line}\n")).unwrap();
    }
    let home = TestHome::new("http://127.0.0.1:9").with_env("CLAUDE_CONFIG_DIR", dir.path());
    let daemon = Daemon::start(&home);
    taken(&home);
    println!(
        "search: {} lines of transcripts, {:.0} MB in {} files; ms until the first line of output / until the end, medians of \
         {rounds}",
        written.lines,
        written.bytes as f64 / 1e6,
        written.files.len()
    );
    let queries: [(&str, &[&str]); 6] = [
        ("a word of every session", &["error"]),
        ("a needle in the newest", &["needle-of-2027"]),
        ("a needle in the oldest", &["needle-of-2020"]),
        ("nowhere", &["needle-nowhere"]),
        ("nowhere, two words", &["error", "needle-nowhere"]),
        ("nowhere, a pattern", &["-E", r"needle-\d+\s+nowhere"]),
    ];
    let ccctl = binary("ccctl");
    let before = peak(daemon.pid());
    for (name, words) in queries {
        let mut programs: Vec<(&str, Command)> = Vec::new();
        let mut ours = home.command(&ccctl);
        ours.arg("search").args(words);
        programs.push(("ccctl search", ours));
        let pattern = words.last().unwrap();
        for other in ["rg", "grep"] {
            let mut command = Command::new(other);
            command.args(["-i", "-o", "-h"]).args(if other == "rg" {
                &["--no-config"][..]
            } else {
                &["-r", "-E"]
            });
            command.arg(pattern).arg(dir.path().join("projects")).env("LC_ALL", "C.UTF-8");
            programs.push((other, command));
        }
        let mut times = vec![(Samples::default(), Samples::default()); programs.len()];
        let mut there = vec![true; programs.len()];
        for _ in 0..rounds {
            for (at, (_, command)) in programs.iter_mut().enumerate() {
                if !there[at] {
                    continue;
                }
                match timed(command) {
                    Some((first, end)) => {
                        times[at].0.push(first);
                        times[at].1.push(end);
                    }
                    None => there[at] = false,
                }
            }
        }
        print!("  {name:<26}");
        for (at, (program, _)) in programs.iter().enumerate() {
            if there[at] {
                let (first, end) = (micros(times[at].0.median()), micros(times[at].1.median()));
                print!("  {program} {:>7.1} / {:<8.1}", first / 1e3, end / 1e3);
            } else {
                print!("  {program} is not there");
            }
        }
        println!();
        std::io::stdout().flush().unwrap();
    }
    println!("  the daemon's peak: {} MiB, {} before\n", peak(daemon.pid()) >> 20, before >> 20);
}

/// How long a command takes to its first line, and to its end; none if there is no such command.
fn timed(command: &mut Command) -> Option<(Duration, Duration)> {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = Vec::new();
    out.read_until(b'\n', &mut line).unwrap();
    let first = begun.elapsed();
    std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    child.wait().unwrap();
    Some((first, begun.elapsed()))
}
