//! The daemon with many records: how soon it serves, what it holds in memory, how long questions take, how fast its
//! index comes back. Filled through the real hook socket.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ccd_proto::api::Sessions;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Control, Daemon, TestHome, binary, poll};

use crate::stats::{Samples, micros, ratio};
use crate::store::{bytes_on_disk, corpus, send, slice};

/// Hook events to fill with.
pub(crate) const RECORDS: usize = 100_000;
/// Events of one session.
const OF_A_SESSION: usize = 200;
const ROUNDS: usize = 40;
/// How long a start may take that has everything to work out again.
const PATIENCE: Duration = Duration::from_secs(3_600);

pub(crate) fn run(records: usize, rounds: Option<usize>) {
    let rounds = rounds.unwrap_or(ROUNDS);
    let home = TestHome::new("http://127.0.0.1:9");
    let (daemon, _) = start(&home);
    let empty = idle_memory(&daemon);
    let empty_times = questions(&home, rounds);
    let text = corpus();
    let sessions: Vec<HookSession> = (0..=records / OF_A_SESSION).map(|_| HookSession::new()).collect();
    let event = |n: usize| {
        // Call after call, as sessions do: before, then after.
        let (session, id) = (&sessions[n / OF_A_SESSION], format!("toolu_{}", n / 2));
        let command = slice(&text, n / 2, 400);
        if n.is_multiple_of(2) {
            session.before_tool(&id, command)
        } else {
            session.after_tool(&id, command, slice(&text, n, 800))
        }
    };
    let (took, _) = send(&home.layout().hook_socket(), records, event);
    println!(
        "store: {records} hook events of about 1 KB in {} sessions, through the hook socket in {:.1} s",
        sessions.len(),
        took.as_secs_f64()
    );
    let recorded = || home.running().hooks.events == records as u64;
    poll(PATIENCE, || recorded().then_some(())).expect("all are recorded");
    let filled = memory(&daemon);
    daemon.stop(&home);
    let (all, index) = bytes_on_disk(&home.layout().store_dir());
    println!("  on disk: {:.1} MB, and {:.1} MB of index", (all - index) as f64 / 1e6, index as f64 / 1e6);

    let (mut stopped, mut killed) =
        ((Samples::default(), Samples::default()), (Samples::default(), Samples::default()));
    let mut held = 0;
    for round in 0..6 {
        let (daemon, times) = start(&home);
        // The one before was stopped, or killed.
        let samples = if round % 2 == 0 { &mut stopped } else { &mut killed };
        samples.0.push(times.0);
        samples.1.push(times.1);
        held = idle_memory(&daemon);
        if round % 2 == 0 { daemon.kill9() } else { daemon.stop(&home) }
    }
    println!("  start until the port answers / until questions are answered, ms, median of three:");
    for (what, (port, asked)) in [("after a stop", &stopped), ("after kill -9", &killed)] {
        println!("    {what:<14} {:>8.1} / {:.1}", micros(port.median()) / 1e3, micros(asked.median()) / 1e3);
    }
    println!(
        "  memory, idle: {:.1} MiB with an empty store, {:.1} MiB with {records} records ({:.1} MiB right after filling)",
        mib(empty),
        mib(held),
        mib(filled)
    );
    let (daemon, _) = start(&home);
    let times = questions(&home, rounds);
    println!("  whole process, ms, medians of {rounds} interleaved starts, and how many times /bin/true:");
    for ((name, with), (_, without)) in times.iter().zip(&empty_times) {
        let floor = micros(times[0].1.median());
        println!(
            "    {name:<18} {:>8.2} ×{:<6} (empty store {:.2})",
            micros(with.median()) / 1e3,
            ratio(micros(with.median()), floor),
            micros(without.median()) / 1e3
        );
    }
    daemon.stop(&home);
    home.delete_index();
    let (daemon, times) = start(&home);
    println!(
        "  index deleted: port answers after {:.1} ms, questions after {:.1} s: {:.1} MB/s of journal, {:.0} records/s\n",
        micros(times.0) / 1e3,
        times.1.as_secs_f64(),
        (all - index) as f64 / 1e6 / times.1.as_secs_f64(),
        records as f64 / times.1.as_secs_f64()
    );
    drop(daemon);
}

/// Starts a daemon; how long until its port answers, and until questions are.
fn start(home: &TestHome) -> (Daemon, (Duration, Duration)) {
    let begun = Instant::now();
    let daemon = Daemon::spawn(home, home.command(&binary("ccd")));
    let control = Control::of(home);
    let wait = |ready: &dyn Fn() -> bool| {
        while !ready() {
            assert!(begun.elapsed() < PATIENCE, "the daemon starts");
            std::thread::sleep(Duration::from_micros(200));
        }
        begun.elapsed()
    };
    // The control socket is bound after the proxy's port, and answered once that one is.
    let port = wait(&|| matches!(control.get("/v0/status"), Ok((200, _))));
    let asked = wait(&|| control.ask::<Sessions>("/v0/sessions?limit=1").is_some());
    (daemon, (port, asked))
}

/// Resident memory in bytes.
fn memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
}

/// [`memory`] once it has come to rest.
fn idle_memory(daemon: &Daemon) -> u64 {
    std::thread::sleep(Duration::from_secs(1));
    memory(daemon)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Whole processes that ask, beside one that does nothing.
fn questions(home: &TestHome, rounds: usize) -> Vec<(&'static str, Samples)> {
    let ccctl = binary("ccctl");
    let programs: [(&str, &Path, &[&str]); 4] = [
        ("/bin/true", Path::new("/bin/true"), &[]),
        ("ccctl status", &ccctl, &["status"]),
        ("ccctl sessions", &ccctl, &["sessions"]),
        ("ccctl usage", &ccctl, &["usage"]),
    ];
    let mut times: Vec<_> = programs.iter().map(|(name, ..)| (*name, Samples::default())).collect();
    for _ in 0..rounds {
        for ((_, program, args), (_, samples)) in programs.iter().zip(&mut times) {
            let mut command = Command::new(program);
            command.env_clear().envs(home.env()).args(*args);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let begun = Instant::now();
            assert!(command.status().unwrap().success());
            samples.push(begun.elapsed());
        }
    }
    times
}
