//! Children: run to their end within a bound, and always ended.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::wait::{PATIENCE, poll};

/// How long a command may take. Only what hangs gets near it.
const COMMAND_PATIENCE: Duration = Duration::from_secs(120);

/// What a finished command left behind.
#[derive(Debug)]
pub struct Out {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output, as bytes.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// The command, for messages.
    what: String,
}

impl Out {
    /// Fails the test unless the exit code is 0.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as one JSON value of any shape.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        self.parse()
    }

    /// Standard output as one JSON value of type `T`.
    #[track_caller]
    #[must_use]
    pub fn parse<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("stdout is not the expected JSON: {error}\n{self}"),
        }
    }
}

impl std::fmt::Display for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Out { what, code, stderr, .. } = self;
        writeln!(f, "{what}\nexit code: {code:?}\nstderr: {stderr}\nstdout: {}", self.text())
    }
}

/// Runs a command with `stdin` to its end. Fails the test if it hangs.
#[track_caller]
pub fn run(command: &mut Command, stdin: &[u8]) -> Out {
    run_within(COMMAND_PATIENCE, command, stdin)
}

/// [`run`] with a bound of its own.
#[track_caller]
pub fn run_within(bound: Duration, command: &mut Command, stdin: &[u8]) -> Out {
    let what = format!("{command:?}");
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Owned(spawned.unwrap_or_else(|error| panic!("{what}: {error}")));
    let (mut input, output, errors) =
        (child.0.stdin.take().unwrap(), child.0.stdout.take().unwrap(), child.0.stderr.take().unwrap());
    let stdin = stdin.to_vec();
    // A child that does not read its input is no failure of the test.
    let writer = thread::spawn(move || drop(input.write_all(&stdin)));
    let (output, errors) = (read_all(output), read_all(errors));

    let status = poll(bound, || child.0.try_wait().unwrap());
    drop(child);
    let _ = writer.join();
    let collect = |pipe: Receiver<Vec<u8>>| {
        // A daemon that a command leaves behind must have let go of the command's output.
        pipe.recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("somebody holds the output open after the end of {what}"))
    };
    let (stdout, stderr) = (collect(output), collect(errors));
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    let out = Out { code: status.and_then(|s: ExitStatus| s.code()), stdout, stderr, what };
    assert!(status.is_some(), "still running after {bound:?}: {out}");
    out
}

fn read_all(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Sends a signal to a process that we started.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// A child that is ended on drop.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
