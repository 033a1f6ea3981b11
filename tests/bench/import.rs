//! Taking transcripts in: how fast, at what cost in memory and on disk, beside `ccusage`, `cat` and `wc` on the same
//! files, which lie in the page cache for all of them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ccd_tests::corpus::{self, Spec};
use ccd_tests::harness::{Control, Daemon, TestHome, binary, ccusage_command};
use serde_json::Value;

use crate::stats::Samples;
use crate::store::bytes_on_disk;

/// Rounds of each.
const ROUNDS: usize = 3;
/// How long an import may take.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What a process used.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    wall: Duration,
    cpu: Duration,
    peak: u64,
}

pub(crate) fn run(megabytes: u64, rounds: Option<usize>) {
    let dir = tempfile::tempdir().unwrap();
    let written = corpus::write(dir.path(), &Spec::large(1, megabytes * 1_000_000)).unwrap();
    println!(
        "import: {:.0} MB of transcripts in {} files, {} lines, {} messages; in the page cache",
        written.bytes as f64 / 1e6,
        written.files.len(),
        written.lines,
        written.billed.len()
    );
    let mut used: [(&str, Vec<Used>); 5] =
        ["ccd, history imported", "ccusage daily", "ccusage session", "cat", "wc"]
            .map(|name| (name, Vec::new()));
    let mut disk = (0, 0);
    for _ in 0..rounds.unwrap_or(ROUNDS) {
        let (ours, bytes) = import(dir.path());
        disk = bytes;
        used[0].1.push(ours);
        for (place, period) in [(1, "daily"), (2, "session")] {
            used[place].1.push(whole(&mut ccusage_command(dir.path(), &["claude", period, "--json"])));
        }
        for (place, program) in [(3, "cat"), (4, "wc")] {
            used[place].1.push(whole(Command::new(program).args(&written.files)));
        }
    }
    println!(
        "  {:<24} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "wall s", "MB/s", "CPU s", "MB/s CPU", "peak MiB"
    );
    for (name, used) in &used {
        let [wall, cpu] =
            [|used: &Used| used.wall, |used: &Used| used.cpu].map(|of: fn(&Used) -> Duration| {
                let mut samples = Samples::default();
                for one in used {
                    samples.push(of(one));
                }
                samples.median().as_secs_f64()
            });
        let peak = used.iter().map(|one| one.peak).max().unwrap_or_default();
        let rate = |seconds: f64| written.bytes as f64 / 1e6 / seconds.max(1e-9);
        println!(
            "  {name:<24} {wall:>10.2} {:>10.0} {cpu:>10.2} {:>10.0} {:>10.1}",
            rate(wall),
            rate(cpu),
            peak as f64 / f64::from(1 << 20)
        );
    }
    let (all, index) = disk;
    println!(
        "  on disk: {:.1} MB of journal and packs, {:.1} MB of index: {:.1} % of the transcripts\n",
        (all - index) as f64 / 1e6,
        index as f64 / 1e6,
        all as f64 / written.bytes as f64 * 100.0
    );
}

/// A daemon's first start beside these transcripts, until it has taken all.
fn import(root: &Path) -> (Used, (u64, u64)) {
    let home = TestHome::new("http://127.0.0.1:9").with_env("CLAUDE_CONFIG_DIR", root);
    let begun = Instant::now();
    let daemon = Daemon::spawn(&home, home.command(&binary("ccd")));
    taken(&home);
    let used = Used { wall: begun.elapsed(), cpu: cpu(daemon.pid()), peak: peak(daemon.pid()) };
    daemon.stop(&home);
    (used, bytes_on_disk(&home.layout().store_dir()))
}

/// Waits until a daemon has taken all transcripts.
pub(crate) fn taken(home: &TestHome) {
    let control = Control::of(home);
    let begun = Instant::now();
    let done = || {
        let status: Value = control.ask("/v0/status")?;
        let told = &status["transcripts"];
        let total = told["total_bytes"].as_u64()?;
        (total > 0 && told["imported_bytes"].as_u64()? == total).then_some(())
    };
    while done().is_none() {
        assert!(begun.elapsed() < PATIENCE, "the import ends");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A command to its end, its output thrown away.
fn whole(command: &mut Command) -> Used {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut used = Used::default();
    while !ended(&mut child, &mut used) {
        std::thread::sleep(Duration::from_millis(2));
    }
    used.wall = begun.elapsed();
    used
}

/// Whether a child has ended; what it used until then.
fn ended(child: &mut Child, used: &mut Used) -> bool {
    // Of a process that has ended and was not waited for, the system still knows the time it took.
    used.peak = used.peak.max(peak(child.id()));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    used.cpu = used.cpu.max(cpu(child.id()));
    if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) {
        assert!(child.wait().unwrap().success());
        return true;
    }
    false
}

/// CPU time of all threads that a process has had; a hundredth of a second is the finest that is told.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// The most memory that a process has held, in bytes.
pub(crate) fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
}

/// A directory with this many lines of transcripts in it.
pub(crate) fn lines(at_least: u64) -> (tempfile::TempDir, corpus::Written) {
    /// Of a line in a corpus with texts this short.
    const BYTES: u64 = 1_500;
    let dir = tempfile::tempdir().unwrap();
    let spec = Spec { text: 10, ..Spec::large(2, at_least * BYTES) };
    let written = corpus::write(dir.path(), &spec).unwrap();
    (dir, written)
}

/// Some session's file.
pub(crate) fn a_session(written: &corpus::Written) -> PathBuf {
    let own = |path: &&PathBuf| !path.to_string_lossy().contains("/subagents/");
    written.files.iter().rev().find(own).cloned().expect("a session")
}
