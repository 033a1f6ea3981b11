//! What is done about detections: which advice is given when, which tool call is denied, which turn goes on.
//!
//! Pure: time and settings come in, decisions go out; [`crate::detect`] owns the one [`Policy`] and asks it in the order
//! of the journal. Must never name a decision that Claude Code does not document, block anything on a detector that only
//! advises (derailment), or let one session be held up for ever: every kind of intervention has a limit per session, and
//! a turn is kept from ending a counted number of times.
//!
//! Invariant: whatever is unknown, switched off, paused or beyond a limit is let through.

use std::path::PathBuf;
use std::sync::Arc;

use ccd_detect::Verdict;

use crate::config;
use crate::ingest::found::{DetectionV1, InterventionV1, JudgementV1};

/// A hook event that may be answered with more than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A tool call is about to run: it may be denied.
    PreToolUse,
    /// A tool call has come back, well or not: context may be added.
    PostToolUse,
    /// The same, for one that failed.
    PostToolUseFailure,
    /// A prompt is submitted: context may be added.
    UserPromptSubmit,
    /// The turn is about to end: it may be kept from it.
    Stop,
}

impl Occasion {
    /// The event's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Occasion::PreToolUse => "PreToolUse",
            Occasion::PostToolUse => "PostToolUse",
            Occasion::PostToolUseFailure => "PostToolUseFailure",
            Occasion::UserPromptSubmit => "UserPromptSubmit",
            Occasion::Stop => "Stop",
        }
    }

    /// The occasion of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        use Occasion::{PostToolUse, PostToolUseFailure, PreToolUse, Stop, UserPromptSubmit};
        [PreToolUse, PostToolUse, PostToolUseFailure, UserPromptSubmit, Stop]
            .into_iter()
            .find(|o| o.name() == name)
    }
}

/// A hook event that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub occasion: Occasion,
    /// The session.
    pub session_id: String,
    /// The subagent; none is the main thread.
    pub agent_id: Option<String>,
    /// The session's working directory at that time.
    pub cwd: Option<PathBuf>,
    /// The turn.
    pub prompt_id: Option<String>,
    /// The tool call.
    pub tool_use_id: Option<String>,
    /// The turn goes on already because a Stop hook wanted it to.
    pub stop_hook_active: bool,
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
}

/// What `cc-hook` is to print, and what goes on record once it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The hook's output: one JSON object.
    pub json: Vec<u8>,
    /// What was done; `delivered` is set by whoever knows.
    pub intervention: InterventionV1,
}

/// Decides, for all sessions.
#[derive(Debug)]
pub struct Policy {
    settings: Arc<config::Heal>,
}

impl Policy {
    /// Nothing known yet.
    #[must_use]
    pub fn new(settings: Arc<config::Heal>) -> Self {
        Policy { settings }
    }

    /// Puts other settings in force; what was done so far still counts.
    pub fn set(&mut self, settings: Arc<config::Heal>) {
        self.settings = settings;
    }

    /// A detection was made, just now.
    pub fn found(&mut self, _detection: &DetectionV1) {}

    /// Whether a detection of this kind about this was dismissed by the user.
    #[must_use]
    pub fn is_dismissed(&self, _detection: &DetectionV1) -> bool {
        false
    }

    /// What is done on this occasion; `verdict` is what the detectors say of the call before it runs. What is given out
    /// counts as done until [`Policy::undelivered`] says otherwise.
    pub fn answer(&mut self, asked: &Asked, _verdict: Option<&Verdict>) -> Option<Answer> {
        let mode = self.settings.mode_in(asked.cwd.as_deref());
        (mode != config::Mode::Off).then_some(None)?
    }

    /// An answer came too late: as if it had not been given.
    pub fn undelivered(&mut self, _intervention: &InterventionV1) {}

    /// The user said something; also what was said earlier, at start.
    pub fn judged(&mut self, _judgement: &JudgementV1) {}

    /// Lets go of a session that is over.
    pub fn forget(&mut self, _session_id: &str) {}
}
