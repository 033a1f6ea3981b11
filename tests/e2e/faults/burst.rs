//! F30: more than anybody sends: ten thousand events a second over a thousand sessions, and one of 64 MB. Memory
//! stays bounded, and every event is stored, or refused and counted as such by who sent it, or waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ccd_proto::api::Spans;
use ccd_proto::frame::{MAX_BODY, Status};
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::{Control, Daemon, TestHome, eventually};

use super::load::Events;
use super::{NO_UPSTREAM, status};

/// Events per second that are aimed at.
const RATE: usize = 10_000;
const CONNECTIONS: usize = 64;
const SESSIONS: usize = 1_000;
/// What the daemon may hold of the largest event at a time, and it alone: a few copies of 64 MB, and what it is
/// parsed to. Far below what the burst would take if it were kept.
const MOST_MEMORY: u64 = 1 << 30;

/// The most memory that a process ever held, in bytes; 0 where the system does not tell.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
}

#[test]
fn f30_a_burst_is_stored_or_counted_in_bounded_memory() {
    let home = TestHome::new(NO_UPSTREAM);
    let daemon = Daemon::start(&home);
    let events = Events::of(&home);
    let sessions: Vec<HookSession> = (0..SESSIONS).map(|_| HookSession::new()).collect();
    let seconds = count(3, 60);
    let (number, begun) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                loop {
                    let n = number.fetch_add(1, Ordering::SeqCst);
                    let due = begun
                        + Duration::from_secs(1) / u32::try_from(RATE).unwrap() * u32::try_from(n).unwrap();
                    let now = Instant::now();
                    if n >= RATE * seconds || now > begun + Duration::from_secs(seconds as u64) {
                        return;
                    }
                    // The pace is the load: nothing is waited for.
                    thread::sleep(due.saturating_duration_since(now));
                    // No answer in time counts as refused: it is sent again below.
                    let _ = events.send(&sessions[n % SESSIONS], &format!("toolu_{n:07}"));
                }
            });
        }
    });
    let took = begun.elapsed();
    let (acknowledged, sent) = (events.acknowledged(), events.sent());
    let after_burst = peak(daemon.pid());
    let again = events.resend();
    assert_eventually!(
        status(&home).hooks.events + status(&home).hooks.spooled == sent as u64,
        "stored and spooled is what was sent: {sent}, {:?}",
        status(&home).hooks
    );

    let (largest, id) = (HookSession::new(), "toolu_largest");
    let piece = Random::of(id).text(1 << 20);
    let command: String = (0..64).flat_map(|n| [format!("piece {n} "), piece.clone()]).collect();
    let room = MAX_BODY - largest.before_tool(id, "").len();
    let command = &command[..room];
    let out = home.cc_hook(&largest.before_tool(id, command)).ok();
    assert!(out.stdout.is_empty() && out.stderr.is_empty());
    let told = || status(&home).hooks;
    assert_eventually!(
        told().events == sent as u64 + 1 && told().spooled == 0,
        "64 MB are stored: {:?}",
        told()
    );
    let path = format!("/v0/spans?session={}&content=1", largest.session);
    let spans: Spans = eventually("64 MB are found", || Control::of(&home).ask(&path));
    let found = spans.spans.iter().find(|span| span.tool_use_id.as_deref() == Some(id)).unwrap();
    assert!(found.input.as_ref().unwrap()["command"] == *command, "64 MB, byte for byte");
    let most = peak(daemon.pid());
    drop((spans, daemon));

    let daemon = Daemon::start(&home);
    assert_eventually!(told().events == sent as u64 + 1, "and all of it is there after a kill");
    // One session in a hundred, in full.
    let mut looked = 0;
    for (at, session) in sessions.iter().enumerate().step_by(100) {
        let path = format!("/v0/spans?session={}&kind=tool&content=1&limit=0", session.session);
        let spans: Spans = eventually("a session", || Control::of(&home).ask(&path));
        assert_eq!(spans.spans.len(), events.sent_of(session), "session {at}");
        for span in &spans.spans {
            let id = span.tool_use_id.as_deref().unwrap();
            assert!(span.input.as_ref().unwrap()["command"] == super::load::command_of(id), "{id}");
        }
        looked += spans.spans.len();
    }
    assert_eq!(events.send(&largest, "toolu_after").unwrap(), Status::Durable);
    assert!(most < MOST_MEMORY, "{most} bytes");
    drop(daemon);
    summary(&format!(
        "F30: {sent} events over {SESSIONS} sessions in {:.1} s ({} aimed at): {acknowledged} stored at once, {again} when \
         sent again, 0 lost, 0 doubled ({looked} compared in full); one of 64 MB; memory at most {} MiB, {} MiB with the \
         64 MB event",
        took.as_secs_f64(),
        RATE * seconds,
        after_burst >> 20,
        most >> 20
    ));
}
