//! Questions about usage with a million lines of transcripts taken in: whole processes, beside one that does nothing
//! and `ccusage`, which reads the files each time.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ccd_tests::harness::{Daemon, TestHome, binary, ccusage_command};
use serde_json::json;

use crate::import::{a_session, lines, peak, taken};
use crate::stats::{Samples, micros, ratio};

/// Lines of transcripts.
pub(crate) const LINES: u64 = 1_000_000;
const ROUNDS: usize = 30;
/// Of these rounds, those in which ccusage takes part.
const OTHERS_EVERY: usize = 6;

pub(crate) fn run(at_least: u64, rounds: Option<usize>) {
    let rounds = rounds.unwrap_or(ROUNDS);
    let (dir, written) = lines(at_least);
    let home = TestHome::new("http://127.0.0.1:9").with_env("CLAUDE_CONFIG_DIR", dir.path());
    let begun = Instant::now();
    let daemon = Daemon::start(&home);
    taken(&home);
    println!(
        "usage: {} lines of transcripts, {} messages, {:.0} MB, taken in in {:.1} s (peak {} MiB)",
        written.lines,
        written.billed.len(),
        written.bytes as f64 / 1e6,
        begun.elapsed().as_secs_f64(),
        peak(daemon.pid()) >> 20
    );
    let session = a_session(&written);
    let id = session.file_stem().unwrap().to_string_lossy().into_owned();
    let line = json!({
        "session_id": id, "transcript_path": session, "cwd": "/home/user/alpha", "version": "2.1.329",
        "model": {"id": "claude-opus-5-5", "display_name": "Opus 5.5"},
        "workspace": {"current_dir": "/home/user/alpha", "project_dir": "/home/user/alpha"},
        "cost": {"total_cost_usd": 0.06, "total_duration_ms": 13_450, "total_api_duration_ms": 150},
        "context_window": {
            "context_window_size": 1_000_000, "total_input_tokens": 18_412, "total_output_tokens": 42, "used_percentage": 2,
        },
    })
    .to_string();
    let ours: [(&str, &[&str]); 12] = [
        ("ccctl usage", &["usage"]),
        ("ccctl usage --by model", &["usage", "--by", "model"]),
        ("ccctl usage --by project,agent", &["usage", "--by", "project,agent"]),
        ("ccctl usage --by tool", &["usage", "--by", "tool"]),
        ("ccctl usage monthly", &["usage", "monthly"]),
        ("ccctl usage session", &["usage", "session"]),
        ("ccctl usage blocks", &["usage", "blocks"]),
        ("ccctl usage, Kathmandu", &["usage", "--timezone", "Asia/Kathmandu"]),
        ("ccctl usage --since 7d", &["usage", "--since", "2026-04-01", "--until", "2026-04-08"]),
        ("ccctl sessions", &["sessions"]),
        ("ccctl status", &["status"]),
        ("ccctl statusline", &["statusline"]),
    ];
    let ccctl = binary("ccctl");
    let mut times: Vec<(&str, Samples)> = vec![("/bin/true", Samples::default())];
    times.extend(ours.iter().map(|(name, _)| (*name, Samples::default())));
    let theirs: [(&str, &[&str]); 3] = [
        ("ccusage claude daily", &["claude", "daily"]),
        ("ccusage claude session", &["claude", "session"]),
        ("ccusage statusline", &["statusline"]),
    ];
    times.extend(theirs.iter().map(|(name, _)| (*name, Samples::default())));
    for round in 0..rounds {
        times[0].1.push(timed(&mut Command::new("/bin/true"), &line));
        for (at, (_, args)) in ours.iter().enumerate() {
            times[1 + at].1.push(timed(home.command(&ccctl).args(*args), &line));
        }
        if round % OTHERS_EVERY == 0 {
            for (at, (_, args)) in theirs.iter().enumerate() {
                times[1 + ours.len() + at].1.push(timed(&mut ccusage_command(dir.path(), args), &line));
            }
        }
    }
    println!("  whole process, ms, medians of {rounds} interleaved starts, and how many times /bin/true:");
    let floor = micros(times[0].1.median());
    for (name, samples) in &times {
        let (median, high) = (micros(samples.median()), micros(samples.percentile(90)));
        println!("    {name:<32} {:>9.2} ×{:<8} (p90 {:.2})", median / 1e3, ratio(median, floor), high / 1e3);
    }
    println!();
}

/// How long a command takes that is given `input`.
fn timed(command: &mut Command, input: &str) -> Duration {
    let begun = Instant::now();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Who does not read it has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    assert!(child.wait().unwrap().success(), "{command:?}");
    begun.elapsed()
}
