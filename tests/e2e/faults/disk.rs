//! F05, F06, F07: a disk that refuses, loses or interrupts what it is told, one call at a time or all of them. The
//! stream goes on as if nothing were; nothing is acknowledged that is not durable.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ccd_proto::frame::Status;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::{Daemon, TestHome, binary, repo_root, strace};
use ccd_tests::mock::{Mock, Script, reply};
use ccd_tests::{assert_eventually, harness};

use super::load::{Events, Streams};
use super::{millis, status, with_fixed_port};

/// Every way to make a file longer or other.
const WRITES: &str = "pwrite64,pwritev,ftruncate,fallocate";
/// Every way to make it durable.
const SYNCS: &str = "fdatasync,fsync,sync_file_range";

fn mock() -> Mock {
    Mock::start(Script::new().on("STREAM", [reply().thinking_omitted().text(&"words ".repeat(300))]))
}

/// Streams once, and asserts that it is what upstream sent.
#[track_caller]
pub(super) fn assert_streams(mock: &Mock, streams: &Streams) {
    assert!(streams.stream("through-faults"), "the proxy goes on");
    streams.assert_relayed(&mock.ledger().pop().unwrap());
}

/// Asserts that what went through is recorded or counted as dropped, and nothing else.
#[track_caller]
pub(super) fn assert_accounted(home: &TestHome, streams: &Streams) {
    let recorded = || status(home).proxy.exchanges;
    assert_eventually!(
        recorded() + streams.dropped(home) == streams.whole() as u64,
        "{} streams are recorded ({}) or dropped ({})",
        streams.whole(),
        recorded(),
        streams.dropped(home)
    );
}

/// What one failing call came to.
struct Once {
    refused: usize,
    dropped: u64,
}

fn fail_once(fault: &str, number: u64) -> Once {
    let (mock, session) = (mock(), HookSession::new());
    let home = with_fixed_port(TestHome::new(&mock.url()));
    let events = Events::of(&home);
    let faults = [format!("{fault}:when={number}")];
    let command = strace::command(&home, &binary("ccd"), &faults.each_ref().map(String::as_str));
    let daemon = Daemon::start_as(&home, command);
    let streams = Streams::of(&home);
    // Enough for the fault to come while something goes on.
    for n in 0..5 + number / 2 {
        let answer = events.send(&session, &format!("toolu_{n}"));
        assert!(answer.is_ok(), "refused is an answer, silence is none: {answer:?}");
        if n % 8 == 0 {
            assert_streams(&mock, &streams);
        }
    }
    strace::release(daemon.pid());
    events.resend();
    assert_accounted(&home, &streams);
    let once = Once { refused: events.refused(), dropped: status(&home).capture.dropped };
    events.assert_recorded(&home);
    let reported = Streams::reported(&home, "through-faults");
    daemon.kill9();
    let _daemon = Daemon::start(&home);
    events.assert_recorded(&home);
    streams.assert_recorded(&home, &reported);
    assert_eq!(status(&home).store.damaged, 0, "{fault}, call {number}");
    once
}

#[test]
fn f05_any_single_write_may_fail_for_want_of_space() {
    let mut random = Random::seeded("F05");
    let all: Vec<u64> = match count(8, 200) {
        200 => (1..=200).collect(),
        some => (0..some as u64).map(|n| 1 + (25 * n + random.below(25)) % 200).collect(),
    };
    let (left, done) = (Mutex::new(all), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(number) = { left.lock().unwrap().pop() } {
                    let once = fail_once(&format!("{WRITES}:error=ENOSPC"), number);
                    done.lock().unwrap().push(once);
                }
            });
        }
    });
    let done = done.into_inner().unwrap();
    summary(&format!(
        "F05: ENOSPC at {} different writes: every stream byte-identical, {} events refused and taken later, {} \
         exchanges counted as dropped, 0 acknowledged lost, 0 doubled",
        done.len(),
        done.iter().map(|once| once.refused).sum::<usize>(),
        done.iter().map(|once| once.dropped).sum::<u64>()
    ));
}

/// Lets every call fail from some moment on and then none, and asserts what is promised meanwhile and afterwards.
pub(super) fn fail_for_a_while(name: &str, fault: &str, cause: &str) {
    let (mock, session) = (mock(), HookSession::new());
    let home = with_fixed_port(TestHome::new(&mock.url()));
    let events = Events::of(&home);
    let daemon = Daemon::start_as(&home, strace::command(&home, &binary("ccd"), &[fault]));
    let streams = Streams::of(&home);
    assert_streams(&mock, &streams);
    let first =
        (0..100_000).find(|n| events.send(&session, &format!("toolu_{n}")).unwrap() == Status::Refused);
    let (before, first) = (events.acknowledged(), first.unwrap());
    assert!(before > 0, "it began well");
    for n in first + 1..first + count(20, 200) {
        let answer = events.send(&session, &format!("toolu_{n}")).unwrap();
        assert_eq!(answer, Status::Refused, "nothing is acknowledged that is not durable");
        if n % 10 == 0 {
            assert_streams(&mock, &streams);
        }
    }
    let told = status(&home).store.error.unwrap_or_default();
    assert!(told.contains(cause), "the cause is told: {told}");
    assert!(status(&home).capture.dropped > 0, "the gap is counted");
    for question in [&["sessions"][..], &["usage", "total"], &["exchanges"], &["status"]] {
        let _ = home.ccctl(question).ok();
    }
    strace::release(daemon.pid());
    let begun = Instant::now();
    events.resend();
    let resumed = begun.elapsed();
    assert_streams(&mock, &streams);
    assert_accounted(&home, &streams);
    assert_eventually!(status(&home).store.error.is_none(), "all is well again");
    events.assert_recorded(&home);
    let reported = Streams::reported(&home, "through-faults");
    let dropped = status(&home).capture.dropped;
    daemon.kill9();
    let _daemon = Daemon::start(&home);
    let recorded = events.assert_recorded(&home);
    streams.assert_recorded(&home, &reported);
    assert_eq!(status(&home).store.damaged, 0);
    summary(&format!(
        "{name}: {before} events acknowledged before, 0 of {} during, all {recorded} after (0 lost, 0 doubled); \
         {} streams byte-identical, {dropped} counted as dropped; resumed after {} ms",
        events.refused(),
        streams.whole(),
        millis(resumed)
    ));
}

#[test]
fn f06_nothing_is_acknowledged_while_fsync_fails() {
    fail_for_a_while("F06, EIO on fsync", &format!("{SYNCS}:error=EIO:when=30+"), "Input/output error");
}

#[test]
fn f07_short_and_interrupted_reads_and_writes_change_nothing() {
    let (mock, session) = (mock(), HookSession::new());
    let home = with_fixed_port(TestHome::new(&mock.url()));
    let library = compile(&home.work());
    let interrupted = || {
        let mut command = home.command(&binary("ccd"));
        command.env("LD_PRELOAD", &library);
        command
    };
    let (events, rounds) = (Events::of(&home), count(3, 30));
    let begun = Instant::now();
    for round in 0..rounds {
        let daemon = Daemon::start_as(&home, interrupted());
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap();
        assert!(maps.contains(&library.display().to_string()), "it is really in between");
        let streams = Streams::of(&home);
        for n in 0..count(60, 300) {
            // A call that is interrupted is made again: nothing is refused because of it.
            assert_eq!(events.send(&session, &format!("toolu_{round}_{n}")).unwrap(), Status::Durable);
            if n % 10 == 0 {
                assert_streams(&mock, &streams);
            }
        }
        assert_eventually!(
            Streams::reported(&home, "through-faults").len() == streams.whole() * (round + 1),
            "every stream is recorded"
        );
        streams.assert_recorded(&home, &Streams::reported(&home, "through-faults"));
        events.assert_recorded(&home);
        if round % 2 == 0 { daemon.kill9() } else { daemon.stop(&home) }
    }
    let _daemon = Daemon::start(&home);
    let recorded = events.assert_recorded(&home);
    assert_eq!((status(&home).store.damaged, status(&home).capture.dropped), (0, 0));
    summary(&format!(
        "F07: {rounds} daemons with short and interrupted reads and writes, {recorded} events acknowledged, 0 refused, \
         0 lost, 0 doubled, in {} s",
        begun.elapsed().as_secs()
    ));
}

/// Builds what is put between the daemon and its system.
fn compile(into: &Path) -> PathBuf {
    let library = into.join("libinterrupted.so");
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.args(["--edition=2024", "--crate-type=cdylib", "-Copt-level=1"]);
    command.arg(repo_root().join("tests/e2e/faults/interrupted.rs")).arg("-o").arg(&library);
    let _ = harness::run_within(Duration::from_secs(300), &mut command, b"").ok();
    library
}

#[test]
fn f05_while_every_write_fails_questions_are_answered_and_it_resumes_by_itself() {
    fail_for_a_while(
        "F05, ENOSPC on every write",
        &format!("{WRITES}:error=ENOSPC:when=60+"),
        "no space left",
    );
}
