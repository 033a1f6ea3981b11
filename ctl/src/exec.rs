//! Running other programs: `ccd`, `cc-hook`, the client, the service manager.
//!
//! Behind a trait, so that tests answer for `systemctl` and `launchctl`. Must never hang: every run has a
//! limit, and a grandchild that keeps our pipes open (a daemon, say) is not waited for.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One program to be run.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The program: a path, or a name to be found on `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables beside the inherited ones.
    pub envs: Vec<(String, OsString)>,
    /// What it reads on stdin.
    pub stdin: Vec<u8>,
    /// How long it may take.
    pub limit: Duration,
}

impl Invocation {
    /// A program and its arguments, with ten seconds to finish.
    pub fn new<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Self {
        Invocation {
            program: program.as_ref().to_owned(),
            args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            envs: Vec::new(),
            stdin: Vec::new(),
            limit: Duration::from_secs(10),
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets what it reads on stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets how long it may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command line, for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Outcome {
    /// Whether it exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// What it said, for an error message: stderr, else stdout, else how it ended.
    #[must_use]
    pub fn complaint(&self) -> String {
        let said = [&self.stderr, &self.stdout].into_iter().map(|s| s.trim()).find(|s| !s.is_empty());
        match (said, self.code) {
            (Some(text), _) => text.to_owned(),
            (None, Some(code)) => format!("it exited with code {code}"),
            (None, None) => "it was ended by a signal".to_owned(),
        }
    }
}

/// Runs programs.
pub trait Runner {
    /// Runs one to its end.
    fn run(&self, invocation: &Invocation) -> io::Result<Outcome>;

    /// Starts one that goes on by itself, away from our terminal, and waits no longer than its limit for it to fail. Its
    /// exit code (negative after a signal); none where it is still there.
    fn launch(&self, invocation: &Invocation) -> io::Result<Option<i32>> {
        self.run(invocation).map(|outcome| outcome.code)
    }

    /// Runs several, at the same time where it can; what came of each stands in its place.
    fn run_all(&self, invocations: &[Invocation]) -> Vec<io::Result<Outcome>> {
        invocations.iter().map(|invocation| self.run(invocation)).collect()
    }
}

/// The real thing.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// How long output is still read after the program itself has ended.
const DRAIN: Duration = Duration::from_millis(300);

impl Runner for System {
    fn run(&self, invocation: &Invocation) -> io::Result<Outcome> {
        let mut child = Command::new(&invocation.program)
            .args(&invocation.args)
            .envs(invocation.envs.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its stdin is not an error of ours.
            let _ = stdin.write_all(&invocation.stdin);
        }
        let out = child.stdout.take().map(Collected::start);
        let err = child.stderr.take().map(Collected::start);
        let deadline = Instant::now() + invocation.limit;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= deadline {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no end after {} s", invocation.limit.as_secs()),
                ));
            }
            thread::sleep(Duration::from_millis(2));
        };
        let text = |c: Option<Collected>| c.map(Collected::finish).unwrap_or_default();
        Ok(Outcome { code: status.code(), stdout: text(out), stderr: text(err) })
    }

    fn launch(&self, invocation: &Invocation) -> io::Result<Option<i32>> {
        let mut child = Command::new(&invocation.program)
            .args(&invocation.args)
            .envs(invocation.envs.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What is typed in our terminal is not meant for it.
            .process_group(0)
            .spawn()?;
        let deadline = Instant::now() + invocation.limit;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status.code().unwrap_or(-1)));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }

    fn run_all(&self, invocations: &[Invocation]) -> Vec<io::Result<Outcome>> {
        thread::scope(|scope| {
            let runs: Vec<_> = invocations.iter().map(|one| scope.spawn(|| self.run(one))).collect();
            let died = || io::Error::other("its thread ended");
            runs.into_iter().map(|run| run.join().unwrap_or_else(|_| Err(died()))).collect()
        })
    }
}

/// A pipe being read by a thread, so that a full one cannot block the program.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn start(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(n @ 1..) = pipe.read(&mut chunk) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..n]);
            }
        });
        Collected { bytes, reader }
    }

    fn finish(self) -> String {
        let deadline = Instant::now() + DRAIN;
        while !self.reader.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Invocation {
        Invocation::new("/bin/sh", ["-c", script])
    }

    #[test]
    fn output_stdin_and_code_come_back() {
        let got = System.run(&sh("cat; echo oops >&2; exit 3").stdin("hello")).unwrap();
        assert_eq!(got, Outcome { code: Some(3), stdout: "hello".into(), stderr: "oops\n".into() });
        assert_eq!(got.complaint(), "oops");
    }

    #[test]
    fn a_grandchild_holding_the_pipe_is_not_waited_for() {
        let started = Instant::now();
        let got = System.run(&sh("sleep 5 & echo ready")).unwrap();
        assert_eq!(got.stdout, "ready\n");
        assert!(started.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn what_goes_on_by_itself_is_waited_for_only_until_it_fails() {
        let launched = |script: &str| System.launch(&sh(script)).unwrap();
        assert_eq!(
            (launched("exit 3"), launched("exit 0"), launched("kill -9 $$")),
            (Some(3), Some(0), Some(-1))
        );
        assert_eq!(System.launch(&sh("sleep 1").limit(Duration::ZERO)).unwrap(), None);
        assert!(System.launch(&Invocation::new("/no/such", [""; 0])).is_err());
    }

    #[test]
    fn several_run_at_once_and_keep_their_places() {
        // Each waits for the other's file: one after the other they would not end.
        let dir = tempfile::tempdir().unwrap();
        let meets = |mine: &str, other: &str| {
            let at = |name: &str| dir.path().join(name).display().to_string();
            sh(&format!("touch {}; until [ -e {} ]; do sleep 0.01; done; echo {mine}", at(mine), at(other)))
        };
        let got = System.run_all(&[meets("a", "b"), meets("b", "a"), Invocation::new("/no/such", [""; 0])]);
        assert_eq!(got[0].as_ref().unwrap().stdout, "a\n");
        assert_eq!(got[1].as_ref().unwrap().stdout, "b\n");
        assert_eq!(got[2].as_ref().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let error = System.run(&sh("sleep 60").limit(Duration::from_millis(50))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
