//! What is done about detections: which advice is given when, which tool call is denied, which turn goes on.
//!
//! ```text
//! mod.rs         what is asked and answered; the policy
//! sessions.rs    what is remembered of each session, and its bounds
//! exceptions.rs  what the user dismissed, allowed and paused
//! advice.rs      which advice goes with a prompt or a tool result
//! deny.rs        which tool call is denied, and how often
//! stop.rs        which turn is kept from ending
//! words.rs       what the model is told
//! healing.rs     settings in force, and what was done since start: for the rest of the daemon
//! ```
//!
//! Pure: time and settings come in, decisions go out; [`crate::detect`] owns the one [`Policy`] and asks it in the order
//! of the journal. Must never name a decision that Claude Code does not document, block anything on a detector that only
//! advises (derailment), or let one session be held up for ever: every kind of intervention has a limit per session, and
//! a turn is kept from ending a counted number of times.
//!
//! Invariants: whatever is unknown, switched off, paused, allowed, dismissed or beyond a limit is let through; the same
//! calls in the same order give the same answers; what is remembered is bounded, whatever comes.

mod advice;
mod deny;
mod exceptions;
mod healing;
mod sessions;
mod stop;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub use exceptions::Exceptions;
pub use healing::{Count, Healing};

use std::path::PathBuf;
use std::sync::Arc;

use ccd_detect::Verdict;
use ccd_store::RecordId;

use crate::config::{self, Mode};
use crate::ingest::found::{DetectionV1, InterventionV1, JudgementV1};

use sessions::Sessions;

/// A hook event that may be answered with more than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A tool call is about to run: it may be denied.
    PreToolUse,
    /// A tool call has come back, well or not: context may be added.
    PostToolUse,
    /// The same, for one that failed.
    PostToolUseFailure,
    /// All calls of one answer have come back, also those that the client refused before it asked any other hook, such as
    /// an edit of a text that is not there: context may be added.
    PostToolBatch,
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
            Occasion::PostToolBatch => "PostToolBatch",
            Occasion::UserPromptSubmit => "UserPromptSubmit",
            Occasion::Stop => "Stop",
        }
    }

    /// The occasion of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        use Occasion::{PostToolBatch, PostToolUse, PostToolUseFailure, PreToolUse, Stop, UserPromptSubmit};
        [PreToolUse, PostToolUse, PostToolUseFailure, PostToolBatch, UserPromptSubmit, Stop]
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
    /// It is the last denial of this turn: a model that does not heed three of them is let run, and the user is to know.
    pub gives_up: bool,
}

impl Answer {
    /// Whether it only adds to what the model is told, so that it can be given again.
    #[must_use]
    pub fn is_advice(&self) -> bool {
        self.intervention.action == Action::Advised.name()
    }
}

/// What is done about a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Advised,
    Denied,
    Blocked,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Advised => "advised",
            Action::Denied => "denied",
            Action::Blocked => "blocked",
        }
    }
}

/// What an intervention is about.
struct About<'a> {
    detection: Option<RecordId>,
    kind: &'a str,
    rule: &'a str,
}

impl Asked {
    fn intervention(&self, action: Action, about: &About<'_>, text: String) -> InterventionV1 {
        InterventionV1 {
            at_ns: self.at_ns,
            session_id: self.session_id.clone(),
            agent_id: self.agent_id.clone(),
            detection: about.detection,
            kind: about.kind.to_owned(),
            rule: about.rule.to_owned(),
            action: action.name().to_owned(),
            event: self.occasion.name().to_owned(),
            tool_use_id: self.tool_use_id.clone(),
            text,
            delivered: false,
        }
    }
}

/// Ids from outside have any length; longer ones than this are nobody's, and nothing is done about them.
const MAX_ID: usize = 256;

/// Decides, for all sessions.
#[derive(Debug)]
pub struct Policy {
    settings: Arc<config::Heal>,
    sessions: Sessions,
    exceptions: Exceptions,
}

impl Policy {
    /// Nothing known yet.
    #[must_use]
    pub fn new(settings: Arc<config::Heal>) -> Self {
        Policy { settings, sessions: Sessions::default(), exceptions: Exceptions::default() }
    }

    /// Puts other settings in force; what was done so far still counts.
    pub fn set(&mut self, settings: Arc<config::Heal>) {
        self.settings = settings;
    }

    /// A detection was made, just now. One that is dismissed is only known.
    pub fn found(&mut self, detection: &DetectionV1) {
        let is_news = !self.exceptions.is_dismissed(detection);
        self.take(detection, is_news);
    }

    /// A detection was made that is no news, as when a session is read again: nothing is said of it. A call that is denied
    /// for it is about it, and is let run if it is dismissed.
    pub fn known(&mut self, detection: &DetectionV1) {
        self.take(detection, false);
    }

    fn take(&mut self, detection: &DetectionV1, is_news: bool) {
        if detection.session_id.len() <= MAX_ID {
            self.sessions.of(&detection.session_id).found(detection, is_news);
        }
    }

    /// Whether a detection of this kind about this was dismissed by the user.
    #[must_use]
    pub fn is_dismissed(&self, detection: &DetectionV1) -> bool {
        self.exceptions.is_dismissed(detection)
    }

    /// What is done on this occasion; `verdict` is what the detectors say of the call before it runs. What is given out
    /// counts as done until [`Policy::undelivered`] says otherwise.
    pub fn answer(&mut self, asked: &Asked, verdict: Option<&Verdict>) -> Option<Answer> {
        if asked.session_id.len() > MAX_ID || asked.agent_id.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return None;
        }
        let mode = self.settings.mode_in(asked.cwd.as_deref());
        match asked.occasion {
            Occasion::PreToolUse if mode == Mode::Guard => self.deny(asked, verdict?),
            Occasion::Stop if mode == Mode::Guard => self.block(asked),
            Occasion::PreToolUse | Occasion::Stop => None,
            Occasion::PostToolUse | Occasion::PostToolUseFailure | Occasion::PostToolBatch => {
                self.advise(asked, mode)
            }
            Occasion::UserPromptSubmit => {
                let answer = self.advise(asked, mode);
                // Whatever was not said by now is about a turn that is over.
                if let Some(session) = self.sessions.get(&asked.session_id) {
                    session.turn_over();
                }
                answer
            }
        }
    }

    /// An answer came too late, or could not be handed over: as if it had not been given. An advice is given once more,
    /// after the pause that it would have caused.
    pub fn undelivered(&mut self, intervention: &InterventionV1) {
        if let Some(session) = self.sessions.get(&intervention.session_id) {
            session.undelivered(intervention);
        }
    }

    /// The user said something; also what was said earlier, at start.
    pub fn judged(&mut self, judgement: &JudgementV1) {
        self.exceptions.apply(judgement);
    }

    /// What the user said does not hold any more: another store tells what does.
    pub fn nothing_said(&mut self) {
        self.exceptions = Exceptions::default();
    }

    /// Lets go of a session that is over. What was done in it still counts, should it be resumed.
    pub fn forget(&mut self, session_id: &str) {
        if let Some(session) = self.sessions.get(session_id) {
            session.rest();
        }
    }

    /// How many items are held, for tests: bounded.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.sessions.held() + self.exceptions.held()
    }
}
