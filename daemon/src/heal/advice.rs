//! Which advice goes with a prompt or a tool result.
//!
//! Must never be given at `Stop`: context that is added there prolongs the turn. Never more than one at a time: a model
//! that is told five things at once does none of them.
//!
//! Invariant: between two advices to one session lies the configured pause, whatever became of the first.

use std::time::Duration;

use super::sessions::{Session, Waiting};
use super::{About, Action, Answer, Asked, Occasion, Policy, words};
use crate::config::Mode;

/// What is not told by then has been overtaken by the work.
const STALE: Duration = Duration::from_secs(600);

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether it is still worth telling. "Done" was said at the end of a turn: the next prompt may be hours away.
fn is_fresh(waiting: &Waiting, asked: &Asked) -> bool {
    let awaited = asked.occasion == Occasion::UserPromptSubmit && waiting.awaits_a_prompt();
    awaited || asked.at_ns.saturating_sub(waiting.at_ns) <= ns(STALE)
}

/// Whether it still holds when the user has said something new: a loop and work that left the task have ended there, by
/// whatever is wanted now.
fn outlives_a_prompt(waiting: &Waiting) -> bool {
    !matches!(waiting.kind.as_str(), "loop" | "derailment")
}

impl Policy {
    /// What is added to what the model is given now.
    pub(super) fn advise(&mut self, asked: &Asked, mode: Mode) -> Option<Answer> {
        let Policy { settings, sessions, exceptions } = self;
        let session: &mut Session = sessions.get(&asked.session_id)?;
        session.keep(|w| is_fresh(w, asked));
        let pause_ns = ns(Duration::from_secs(settings.cooldown_s));
        // A clock that was put back is no reason for silence.
        let rests = session.advised_ns.is_some_and(|last| asked.at_ns.abs_diff(last) < pause_ns);
        if mode == Mode::Off || rests || session.advices >= settings.max_advices {
            return None;
        }
        let prompt = asked.occasion == Occasion::UserPromptSubmit;
        if prompt && asked.agent_id.is_some() {
            return None;
        }
        let id = session
            .first(|w| {
                w.agent == asked.agent_id
                    && w.severity >= settings.severity
                    && (!prompt || outlives_a_prompt(w))
                    && !exceptions.is_key_dismissed(&w.id, &w.key)
                    && !exceptions.excepts(&asked.session_id, &w.kind, asked.at_ns)
            })?
            .id;
        let told = session.give(Action::Advised, id)?;
        session.advices += 1;
        session.advised_ns = Some(asked.at_ns);
        let text = words::advice(&told);
        let json = serde_json::json!({"hookSpecificOutput": {
            "hookEventName": asked.occasion.name(),
            "additionalContext": text,
        }});
        let about = About { detection: Some(told.id), kind: &told.kind, rule: &told.rule };
        Some(Answer {
            json: json.to_string().into_bytes(),
            intervention: asked.intervention(Action::Advised, &about, text),
            gives_up: false,
        })
    }
}
