//! System calls that fail by order, on Linux, with strace.
//!
//! The traced program stays the test's own child (strace attaches from a process of its own, `-D`), so a fault
//! can end while the program runs on: by ending the tracer.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::home::TestHome;
use super::process::signal;
use super::wait::eventually;

/// What `strace -e inject=` takes: `pwrite64,fdatasync:error=ENOSPC:when=3+`. Calls are counted per thread.
#[must_use]
pub fn command(home: &TestHome, program: &Path, faults: &[&str]) -> Command {
    let mut command = home.command(Path::new("strace"));
    let calls: Vec<&str> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
    command.args(["-D", "-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={}", calls.join(","))]);
    for fault in faults {
        command.args(["-e", &format!("inject={fault}")]);
    }
    command.arg(program);
    command
}

/// Lets go of a traced process: its system calls are the system's again.
#[track_caller]
pub fn release(pid: u32) {
    eventually("the tracer lets go", || match tracer(pid) {
        0 => Some(()),
        tracer => {
            signal(tracer, Signal::KILL);
            None
        }
    });
}

/// The process that traces this one, 0 for none.
fn tracer(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    line.and_then(|pid| pid.trim().parse().ok()).unwrap_or_default()
}
