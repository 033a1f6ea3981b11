//! `cc-hook`: called by Claude Code for every hook event. Reads the event from stdin, hands it to the daemon
//! over `hook.sock`, waits until it is on disk, and exits.
//!
//! ```text
//! cc-hook [HOOK_SOCKET SPOOL_DIR]      without arguments, the places that the environment tells
//! cc-hook --version                    for people: as the only argument, which no hook has
//! ```
//!
//! Invariants:
//! - it exits 0, whatever happens (a probe by `ccctl` is the one exception), and prints nothing unless the
//!   daemon hands it a decision: what a hook prints can reach the model, and what it returns can block it;
//! - once stdin is read, 50 ms later at most it stops waiting and leaves the event in the spool;
//! - what it has printed, it tells the daemon, and waits for nothing after that;
//! - the event's bytes are neither parsed nor changed;
//! - a daemon that was killed, and that nobody keeps running, is started again by the next event, never waited for;
//! - an event that the daemon got and that was spooled as well (an answer too late) is the same frame, byte
//!   for byte, and counts once.

mod deliver;
mod revive;
mod spool;

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ccd_proto::frame::{self, Header, Kind, MAX_BODY, Status};
use ccd_proto::paths::Layout;

/// How long Claude Code may be kept waiting for the capture of one event.
const BUDGET: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let arrived_ns = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    if is_version_asked(std::env::args_os().skip(1)) {
        let _ = writeln!(std::io::stdout(), "cc-hook {}", ccd_proto::VERSION);
        return ExitCode::SUCCESS;
    }
    let var = |name: &str| std::env::var_os(name);
    let Some((socket, spool_dir)) = places(std::env::args_os().skip(1), var) else {
        return ExitCode::SUCCESS;
    };
    let probe = var("CCD_HOOK_PROBE").is_some_and(|v| v == "1");
    let client = var("AI_AGENT").unwrap_or_default();
    let kind = if probe { Kind::Probe } else { Kind::Event };
    let Some(frame) = read_frame(std::io::stdin().lock(), kind, arrived_ns, client.as_encoded_bytes()) else {
        return ExitCode::SUCCESS;
    };
    // Leaked on purpose: the process ends with it, and the watchdog thread may need it until then.
    let frame: &'static [u8] = Box::leak(frame.into_boxed_slice());
    let file = spool::file_name(arrived_ns, std::process::id());

    let deadline = Instant::now() + BUDGET;
    let fallback = (!probe).then(|| (spool_dir.clone(), file.clone()));
    match deliver::deliver(&socket, frame, deadline, fallback) {
        Ok(answer) if probe && answer.status == Status::Refused => ExitCode::FAILURE,
        Err(_) if probe => ExitCode::FAILURE,
        Ok(answer) => {
            let status = answer.status;
            // A closed stdout is Claude Code's business, not a reason to fail.
            if !answer.decision.is_empty() && print(&answer.decision).is_ok() {
                answer.printed();
            }
            // What is decided does not depend on what becomes of the event.
            if status == Status::Refused {
                spool::write(&spool_dir, &file, frame);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            spool::write(&spool_dir, &file, frame);
            // What is started takes the event from the spool.
            if is_death(error.kind()) {
                let _ = revive::revive(&socket, &spool_dir);
            }
            ExitCode::SUCCESS
        }
    }
}

/// Prints a decision, to its last byte.
fn print(decision: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(decision)?;
    out.flush()
}

/// Whether nobody listens, or who listened has died under us. One that is merely slow fails otherwise.
fn is_death(error: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error, NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// Whether `--version` is all that was given: what a hook is called with are two paths.
fn is_version_asked(mut args: impl Iterator<Item = OsString>) -> bool {
    args.next().is_some_and(|arg| arg == "--version") && args.next().is_none()
}

/// The hook socket and the spool directory: given as arguments, else as the environment says.
fn places(
    mut args: impl Iterator<Item = OsString>,
    var: impl Fn(&str) -> Option<OsString>,
) -> Option<(PathBuf, PathBuf)> {
    match (args.next(), args.next()) {
        (Some(socket), Some(spool)) => Some((socket.into(), spool.into())),
        _ => Layout::resolve(var).ok().map(|l| (l.hook_socket(), l.spool_dir)),
    }
}

/// Reads stdin to its end into a frame. `None` where stdin cannot be read at all.
fn read_frame(stdin: impl Read, kind: Kind, arrived_ns: u64, client: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(16 << 10);
    out.extend_from_slice(&[0; frame::HEADER_LEN]);
    // What lies beyond the limit is cut: the daemon would refuse the whole otherwise.
    stdin.take(MAX_BODY as u64).read_to_end(&mut out).ok()?;
    let body_len = u32::try_from(out.len() - frame::HEADER_LEN).ok()?;
    out[..frame::HEADER_LEN].copy_from_slice(&Header { kind, body_len, arrived_ns }.encode());
    out.extend_from_slice(&frame::trailer(client));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ccd_proto::frame::Frame;

    #[test]
    fn stdin_is_framed_untouched() {
        let body = b"{\"hook_event_name\":\"Stop\"}\n";
        let bytes = read_frame(&body[..], Kind::Event, 7, b"claude-code_2-1-329_harness").unwrap();
        let got = Frame::decode(&bytes).unwrap();
        assert_eq!((got.body, got.header.arrived_ns), (&body[..], 7));
        assert_eq!(got.client, b"claude-code_2-1-329_harness");
    }

    #[test]
    fn the_version_is_told_to_whom_asks_for_nothing_else() {
        let asked = |args: &[&str]| is_version_asked(args.iter().map(OsString::from));
        assert!(asked(&["--version"]));
        for args in [&[][..], &["--version", "/spool"], &["/run/h.sock", "--version"], &["-V"]] {
            assert!(!asked(args), "{args:?}");
        }
    }

    #[test]
    fn arguments_win_over_the_environment() {
        let args = ["/run/h.sock", "/spool"].map(OsString::from);
        let got = places(args.into_iter(), |_| Some("/x".into())).unwrap();
        assert_eq!(got, ("/run/h.sock".into(), "/spool".into()));
        let got = places(std::iter::empty(), |n| (n == "CCD_HOME").then(|| "/x".into())).unwrap();
        assert_eq!(got, ("/x/run/hook.sock".into(), "/x/state/spool".into()));
        assert_eq!(places(std::iter::empty(), |_| None), None);
    }
}
