//! Which tool call is denied, and how often.
//!
//! A denial costs a turn of the model, too: a guard that denies the same call for ever is the loop that it is there to
//! end. So one call is denied [`MAX_TIMES`] times in a turn, each time in other words; a model that heeds none of them
//! will not heed a fourth, and the rest of its turn is let run: what it does then is shown, and the user is told at once.
//!
//! Must never deny anything on a detector that only advises (derailment), or what the user dismissed, allowed or paused.

use ccd_detect::{Kind, Verdict};

use super::sessions::{Denied, MAX_DENIED, MAX_TIMES};
use super::{About, Action, Answer, Asked, Policy, words};
use crate::ingest::record::first16;

/// What a call is known by when it is made again: the verdict on it, without its numbers.
fn call(agent: Option<&str>, verdict: &Verdict) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    for part in [agent.unwrap_or_default(), verdict.kind.as_str(), verdict.rule] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    for run in verdict.reason.split(|c: char| c.is_ascii_digit()).filter(|run| !run.is_empty()) {
        hash.update(run.as_bytes());
        hash.update(b"#");
    }
    first16(hash.finalize())
}

impl Policy {
    /// What keeps a call from running.
    pub(super) fn deny(&mut self, asked: &Asked, verdict: &Verdict) -> Option<Answer> {
        let kind = verdict.kind.as_str();
        let Policy { settings, sessions, exceptions } = self;
        if verdict.kind == Kind::Derailment || exceptions.excepts(&asked.session_id, kind, asked.at_ns) {
            return None;
        }
        let session = sessions.of(&asked.session_id);
        if session.let_run || session.denials >= settings.max_denials {
            return None;
        }
        let agent = asked.agent_id.as_deref();
        let about = session.about(agent, kind, verdict.rule);
        if about.is_some_and(|about| exceptions.is_key_dismissed(&about.id, &about.key)) {
            return None;
        }
        let detection = about.map(|about| about.id);
        let call = call(agent, verdict);
        let times = if let Some(denied) = session.denied.iter_mut().find(|denied| denied.call == call) {
            denied.times += 1;
            denied.tool_use_id.clone_from(&asked.tool_use_id);
            denied.times
        } else {
            if session.denied.len() >= MAX_DENIED {
                session.denied.pop_front();
            }
            session.denied.push_back(Denied { call, times: 1, tool_use_id: asked.tool_use_id.clone() });
            1
        };
        session.denials += 1;
        session.let_run = times >= MAX_TIMES;
        let text = words::denial(verdict, &asked.session_id, times);
        let json = serde_json::json!({"hookSpecificOutput": {
            "hookEventName": asked.occasion.name(),
            "permissionDecision": "deny",
            "permissionDecisionReason": text,
        }});
        let about = About { detection, kind, rule: verdict.rule };
        Some(Answer {
            json: json.to_string().into_bytes(),
            intervention: asked.intervention(Action::Denied, &about, text),
            gives_up: times >= MAX_TIMES,
        })
    }
}
