//! cc-hook as the client starts it: from spawn to exit, with the event on its standard input, the daemon up; and what it
//! costs that detectors are asked what to do, where they have nothing to say.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, TestHome, bin_dir, binary, eventually, repo_root};

use crate::stats::{Samples, micros, ratio};

const ROUNDS: usize = 400;

pub(crate) fn run(rounds: Option<usize>) {
    let rounds = rounds.unwrap_or(ROUNDS);
    let home = TestHome::new("http://127.0.0.1:9");
    let _daemon = Daemon::start(&home);
    let built = home.ccd().with_file_name("built");
    std::fs::create_dir(&built).unwrap();
    let programs = [
        ("empty static program", compile("empty", &built)),
        ("reads its input", compile("drain", &built)),
        ("cc-hook", shim()),
    ];
    println!("cc-hook: whole process, µs, {rounds} interleaved starts each; daemon up");
    println!(
        "{:>8}  {:<22} {:>8} {:>8} {:>8}  ratio of medians to the empty program",
        "event", "program", "min", "median", "p90"
    );
    let mut sent = 0;
    for (label, size) in [("2 KB", 2 << 10), ("50 KB", 50 << 10), ("1 MB", 1 << 20)] {
        let mut samples = [const { Vec::new() }; 3].map(|_: Vec<Duration>| Samples::default());
        for round in 0..rounds {
            let event =
                HookSession::new().before_tool(&format!("toolu_{size}_{round}"), &"x".repeat(size - 300));
            for (n, (_, program)) in programs.iter().enumerate() {
                samples[n].push(start(&home, program, &event));
            }
        }
        sent += rounds as u64;
        let floor = micros(samples[0].median());
        for ((name, _), samples) in programs.iter().zip(&samples) {
            let [min, median, p90] = [0, 50, 90].map(|percent| micros(samples.percentile(percent)));
            println!("{label:>8}  {name:<22} {min:>8.0} {median:>8.0} {p90:>8.0}  {}", ratio(median, floor));
        }
    }
    let hooks = eventually("every event is recorded", || {
        Some(home.running().hooks).filter(|hooks| hooks.events == sent && hooks.spooled == 0)
    });
    println!("{} events recorded\n", hooks.events);
    modes(rounds);
}

/// The same event to daemons that differ in `[heal] mode` only.
fn modes(rounds: usize) {
    let worlds = ["off", "advise", "guard"].map(|mode| {
        let home = TestHome::new("http://127.0.0.1:9");
        let file = home.layout().config_file;
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, format!("[heal]\nmode = \"{mode}\"\n")).unwrap();
        let daemon = Daemon::start(&home);
        (mode, home, daemon)
    });
    let program = shim();
    println!("cc-hook by [heal] mode, µs, 2 KB, {rounds} interleaved starts each; nothing is found");
    println!(
        "{:>12}  {:<8} {:>8} {:>8} {:>8}  ratio of medians to off",
        "event", "mode", "min", "median", "p90"
    );
    let session = HookSession::new();
    for kind in ["PreToolUse", "PostToolUse"] {
        let mut samples = [const { Vec::new() }; 3].map(|_: Vec<Duration>| Samples::default());
        for round in 0..rounds {
            // Each its own command: the same again and again would be a loop.
            let (id, command) = (format!("toolu_{round}"), format!("run {round} {}", "x".repeat(700)));
            let event = match kind {
                "PreToolUse" => session.before_tool(&id, &command),
                _ => session.after_tool(&id, &command, &"y".repeat(1000)),
            };
            for (n, (_, home, _)) in worlds.iter().enumerate() {
                samples[n].push(start(home, &program, &event));
            }
        }
        let off = micros(samples[0].median());
        for ((mode, _, _), samples) in worlds.iter().zip(&samples) {
            let [min, median, p90] = [0, 50, 90].map(|percent| micros(samples.percentile(percent)));
            println!("{kind:>12}  {mode:<8} {min:>8.0} {median:>8.0} {p90:>8.0}  {}", ratio(median, off));
        }
    }
    for (mode, home, _) in &worlds {
        let heal = home.running().heal;
        println!("{mode}: {} late, {} undelivered", heal.late, heal.undelivered);
    }
    println!();
}

/// One start: spawn, hand the event over, wait for the end.
fn start(home: &TestHome, program: &Path, event: &[u8]) -> Duration {
    let mut command = Command::new(program);
    command.env_clear().envs(home.env());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let mut child = command.spawn().unwrap();
    // The empty program does not read: its end of the pipe is closed early, and that is no error.
    let _ = child.stdin.take().unwrap().write_all(event);
    assert!(child.wait().unwrap().success());
    begin.elapsed()
}

/// The shim as it is installed: built with its own profile where that was done.
fn shim() -> PathBuf {
    let own = bin_dir().parent().unwrap().join("hook/cc-hook");
    if own.is_file() {
        return own;
    }
    let other = binary("cc-hook");
    println!("note: no build of cc-hook with `--profile hook`; measuring {}", other.display());
    other
}

/// Builds one of the programs beside this file with the shim's profile.
fn compile(name: &str, into: &Path) -> PathBuf {
    let program = into.join(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args([
        "--edition=2024",
        "-Copt-level=s",
        "-Cpanic=abort",
        "-Clto=fat",
        "-Ccodegen-units=1",
        "-Cstrip=symbols",
    ]);
    if cfg!(target_os = "linux") {
        command.arg("-Ctarget-feature=+crt-static");
    }
    let source = repo_root().join("tests/bench").join(name).with_extension("rs");
    assert!(command.arg(source).arg("-o").arg(&program).status().unwrap().success());
    program
}
