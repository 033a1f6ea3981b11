//! A message of the model, as the lines of transcripts tell it.
//!
//! Each field is merged so that the order of lines and files changes nothing.

use ccd_proto::api::Tokens;
use ccd_store::Locator;

use super::billed::most;
use super::request::Purpose;
use super::view::{ContentRef, Part};

/// A message and the request that it answers; the request is empty where nothing tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MessageId {
    pub message: String,
    pub request: String,
}

/// A line, and what of a message stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineOf {
    /// The record, and where in it the line begins.
    pub at: (Locator, u64),
    pub uuid: u64,
    pub thinking: u64,
    pub omitted: u64,
    pub bytes: u64,
}

/// A message of the model, as transcripts tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub agent_id: Option<String>,
    pub prompt_id: Option<String>,
    /// When its request was sent, at the earliest: the time of the line before it.
    pub start_ns: Option<u64>,
    pub first_ns: u64,
    pub last_ns: u64,
    /// When the file was made, of the oldest file that has it.
    pub born_ns: u64,
    pub model: String,
    pub tokens: Option<Tokens>,
    pub web_searches: u64,
    pub service_tier: String,
    pub speed: String,
    pub branch: String,
    pub stop_reason: Option<(u64, String)>,
    /// First words, of the first line that has any.
    pub text: Option<((Locator, u64), String)>,
    /// Its lines, in order.
    pub lines: Vec<LineOf>,
    /// Calls that it asks for, in order.
    pub tool_uses: Vec<String>,
    /// Lines of the prompt and the results that it was sent.
    pub input: Vec<(Locator, u64)>,
}

impl Message {
    /// Its answer asks for nothing more.
    pub(super) fn is_final(&self) -> bool {
        match self.stop_reason.as_ref().map(|(_, reason)| reason.as_str()) {
            Some("tool_use" | "pause_turn") => false,
            Some(_) => true,
            // Older clients wrote lines before the reason was known.
            None => self.tool_uses.is_empty(),
        }
    }

    /// Where its content blocks stand.
    pub(super) fn blocks(&self) -> Option<ContentRef> {
        let lines: Vec<_> = self.lines.iter().map(|l| l.at).collect();
        let (record, _) = *lines.first()?;
        Some(ContentRef { record, part: Part::Lines(lines) })
    }

    /// Where the prompt and the results stand that it was sent.
    pub(super) fn asked_with(&self) -> Option<ContentRef> {
        let (record, _) = *self.input.first()?;
        Some(ContentRef { record, part: Part::NewLines(self.input.clone()) })
    }

    pub(super) fn start(&self) -> u64 {
        self.start_ns.unwrap_or(self.first_ns).min(self.first_ns)
    }

    pub(super) fn purpose(&self) -> Purpose {
        if self.agent_id.is_some() { Purpose::Subagent } else { Purpose::Main }
    }
}

pub(super) fn max_tokens(slot: &mut Option<Tokens>, new: Option<Tokens>) {
    let Some(new) = new else { return };
    let old = slot.get_or_insert(new);
    *old = most(old, &new);
}

/// Sources agree on what they tell; if they do not, the larger name wins whatever the order.
pub(super) fn larger_name(slot: &mut String, new: &str) {
    if new > slot.as_str() {
        new.clone_into(slot);
    }
}
