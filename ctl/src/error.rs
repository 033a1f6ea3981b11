//! How a command fails: what happened, what to do about it, and the exit code.
//!
//! Invariant: every error that reaches a person says in `message` what went wrong and, where there is
//! something to do, in `hints` what to type.

use std::fmt;
use std::io;

/// The result of a command.
pub type Result<T, E = CommandError> = std::result::Result<T, E>;

/// What kind of failure it is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and failed.
    Failed,
    /// It was asked for wrongly.
    Usage,
    /// The daemon is not running.
    NotRunning,
    /// Whoever read our output has gone: no failure at all.
    OutputClosed,
    /// The connection to the daemon broke in the middle of an answer.
    Disconnected,
    /// Somebody pressed Ctrl-C while the daemon was at work.
    Interrupted,
    /// The command was carried out, and its answer is this exit code.
    Verdict(u8),
    /// What was read changed while something was made of it, a file or what is on record; the caller looks again.
    Changed,
}

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// Its kind.
    pub kind: Kind,
    /// What went wrong.
    pub message: String,
    /// What to do about it, most promising first.
    pub hints: Vec<String>,
}

impl CommandError {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        CommandError { kind, message: message.into(), hints: Vec::new() }
    }

    /// It was tried and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// It was asked for wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The daemon is not running.
    #[must_use]
    pub fn not_running() -> Self {
        Self::new(Kind::NotRunning, "the daemon is not running").hint("start it with `ccctl start`")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The process's exit code: 0 done, 1 failed, 2 wrong usage, 3 the daemon is not running.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::OutputClosed => 0,
            Kind::Verdict(code) => code,
            Kind::Failed | Kind::Changed | Kind::Disconnected | Kind::Interrupted => 1,
            Kind::Usage => 2,
            Kind::NotRunning => 3,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}

/// An operation on a file failed; `fs_err` has put the path into the message.
impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        CommandError::failed(error.to_string())
    }
}
