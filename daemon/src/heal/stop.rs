//! Which turn is kept from ending: one whose last words claim what this session's checks contradict.
//!
//! Claude Code ends a turn by itself after eight blocks in a row without a tool call, and never where calls lie between:
//! the count kept here is the only bound there is. It begins anew with a prompt of the user and with nothing else.
//!
//! Must never block where somebody else's Stop hook did (two hooks that each want something else never end), or where it
//! is not known how often this turn was kept up, as after a restart.

use super::{About, Action, Answer, Asked, Policy, words};

/// Less sure than this, it is said with the next prompt instead.
const CONFIDENCE: u8 = 80;
/// Likewise for what is less bad.
const SEVERITY: u8 = 60;
/// Turns that are kept from ending in one session, however many prompts it has: some are written by programs.
const MAX_BLOCKS: u32 = 12;
/// A detection came with this Stop if it tells the same moment; some tell it in whole milliseconds.
const SAME_NS: u64 = 1_000_000;

impl Policy {
    /// What keeps a turn from ending.
    pub(super) fn block(&mut self, asked: &Asked) -> Option<Answer> {
        let Policy { settings, sessions, exceptions } = self;
        let session = sessions.get(&asked.session_id)?;
        let foreign = asked.stop_hook_active && session.blocks == 0;
        let is_enough = session.blocks >= settings.max_stop_blocks || session.blocked >= MAX_BLOCKS;
        if foreign || asked.agent_id.is_some() || is_enough {
            return None;
        }
        let id = session
            .first(|w| {
                w.kind == "completion"
                    && w.agent.is_none()
                    && w.confidence >= CONFIDENCE
                    && w.severity >= SEVERITY.max(settings.severity)
                    && w.at_ns.abs_diff(asked.at_ns) <= SAME_NS
                    && !exceptions.is_key_dismissed(&w.id, &w.key)
                    && !exceptions.excepts(&asked.session_id, &w.kind, asked.at_ns)
            })?
            .id;
        let told = session.give(Action::Blocked, id)?;
        session.blocks += 1;
        session.blocked += 1;
        let text = words::block(&told);
        let json = serde_json::json!({"decision": "block", "reason": text});
        let about = About { detection: Some(told.id), kind: &told.kind, rule: &told.rule };
        Some(Answer {
            json: json.to_string().into_bytes(),
            intervention: asked.intervention(Action::Blocked, &about, text),
            gives_up: false,
        })
    }
}
