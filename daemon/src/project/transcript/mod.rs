//! What a transcript tells: its lines, read into facts. Pure: the same bytes give the same facts.
//!
//! The format is the client's own and changes between versions: a line that is not understood tells nothing, and is
//! kept all the same. Total over any bytes, and linear in them. What is long (texts, inputs, results) is not held: a
//! fact says where its line stands in the record, and keeps the first words.

mod block;
pub mod json;
mod line;
mod name;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use ccd_proto::api::Tokens;

use crate::ingest::record::{TranscriptPart, TranscriptV2};
use crate::project::compactions::Boundary;

/// What a stretch of a transcript tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranscriptFacts {
    /// The session: the name of its file, or of the directory that a subagent's file is in.
    pub session_id: String,
    /// The subagent whose transcript it is.
    pub agent_id: Option<String>,
    /// When the file was made, nanoseconds since the Unix epoch.
    pub born_ns: u64,
    /// Which file it is: tells a copy from what it was copied from.
    pub file: u64,
    /// Where in the file the stretch begins.
    pub offset: u64,
    /// Bytes of the stretch in the file.
    pub size: u64,
    /// Where its lines lie further on in the file than in the record ([`crate::ingest::record::InFileV1`]).
    pub shifts: Vec<(u64, i64)>,
    /// The earliest time that a line tells, nanoseconds since the Unix epoch; 0 where none tells any.
    pub first_ns: u64,
    /// The latest time that a line tells; 0 where none tells any.
    pub last_ns: u64,
    /// The working directory of the earliest line that tells one.
    pub cwd: Option<(u64, String)>,
    /// The client's version, of the latest line that tells one.
    pub version: Option<(u64, String)>,
    /// Git branch of the latest line that tells one.
    pub branch: Option<(u64, String)>,
    /// What the file beside a subagent's transcript tells of it.
    pub meta: Option<AgentMeta>,
    /// Lines that tell something, in order.
    pub lines: Vec<LineFact>,
    /// Lines that were read.
    pub count: u64,
    /// Lines of a type that this build does not know. They are kept in the record.
    pub unknown: u64,
    /// Lines that are no JSON object. They are kept in the record.
    pub unreadable: u64,
}

impl TranscriptFacts {
    /// Where in the file a line begins that begins there in the record's bytes.
    #[must_use]
    pub fn place(&self, at: u64) -> u64 {
        let behind = self.shifts.partition_point(|(from, _)| *from <= at);
        let shift =
            behind.checked_sub(1).and_then(|last| self.shifts.get(last)).map_or(0, |(_, shift)| *shift);
        self.offset.saturating_add(at.saturating_add_signed(shift))
    }
}

/// What a subagent's `.meta.json` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentMeta {
    /// Its type.
    pub agent_type: Option<String>,
    /// The call that started it.
    pub tool_use_id: Option<String>,
    /// The subagent that it was started by; none where the main thread did.
    pub parent_agent_id: Option<String>,
    /// It came to its end.
    pub finished: bool,
}

/// A line that tells something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFact {
    /// Where the line begins in the record's bytes.
    pub at: u64,
    /// When, nanoseconds since the Unix epoch; where the line tells no time, that of the line before.
    pub at_ns: u64,
    /// A hash of the line's own id; of its bytes where it has none.
    pub uuid: u64,
    /// The turn, where the line names it.
    pub prompt_id: Option<String>,
    /// The subagent, where older clients wrote its lines into the session's file.
    pub agent_id: Option<String>,
    /// What it tells.
    pub kind: LineKind,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Something was asked, or said to the model in the user's name.
    Prompt(Prompt),
    /// The user interrupted the turn.
    Interrupted,
    /// Results of tool calls.
    Results(Vec<ToolResult>),
    /// A part of a message of the model: each content block has a line of its own.
    Answer(Box<Answer>),
    /// The turn was ended by an error of the API.
    ApiError(String),
    /// The context was summarised.
    Compacted(Boundary),
    /// Something went to the model beside prompts and results, so many bytes.
    Fresh(u64),
    /// The client's closing totals.
    Costs(Box<Costs>),
}

/// Who a prompt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PromptKind {
    /// A person or a program typed it.
    Typed,
    /// The client's own notice that a background task ended.
    Machine,
    /// A command: it is a turn where the model was asked something.
    Command,
    /// Words of the client's own: reminders, expanded commands.
    Meta,
    /// The summary of what a compaction dropped.
    Summary,
}

/// Something that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Who it comes from.
    pub kind: PromptKind,
    /// First words.
    pub preview: String,
    /// Bytes of its content as JSON.
    pub bytes: u64,
    /// Where its line names no turn: its own id, which then is the turn's.
    pub own_id: Option<String>,
}

/// A tool's result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolResult {
    /// The call that it answers.
    pub tool_use_id: String,
    /// It failed, or was denied.
    pub is_error: bool,
    /// It never ran: a rule, the user or a classifier said no.
    pub denied: bool,
    /// First words.
    pub preview: String,
    /// Bytes of its content as JSON.
    pub bytes: u64,
    /// The subagent that the call started.
    pub started_agent: Option<String>,
}

/// A part of a message of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The API's message id; where there is none, a name that no message has.
    pub message_id: String,
    /// The API's request id.
    pub request_id: Option<String>,
    /// The model that answered.
    pub model: String,
    /// Tokens billed for the whole message. `None` where the line tells no usage.
    pub tokens: Option<Tokens>,
    /// Web searches billed for the whole message.
    pub web_searches: u64,
    /// What the response named as its service; empty where it named none.
    pub service_tier: String,
    /// `fast` or `standard`; empty where it named none.
    pub speed: String,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// Git branch that it was worked on; empty where nothing tells.
    pub branch: String,
    /// The type of the subagent that it is of, where the line tells.
    pub agent_type: Option<String>,
    /// First words of its text.
    pub text: Option<String>,
    /// Thinking blocks.
    pub thinking: u64,
    /// Thinking blocks without text.
    pub omitted: u64,
    /// Calls that it asks for.
    pub tool_uses: Vec<ToolUse>,
    /// Bytes of its content blocks as JSON.
    pub bytes: u64,
}

/// A call that a message asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolUse {
    /// The API's id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// One line about it.
    pub summary: Option<String>,
    /// The hash of the prompt that a subagent is started with.
    pub prompt_hash: Option<u64>,
    /// Bytes of its input as JSON.
    pub bytes: u64,
}

/// The client's closing totals of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// When the client says it began, nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// How long it says it ran, nanoseconds.
    pub duration_ns: u64,
    /// Per model: tokens, web searches, micro-dollars.
    pub models: Vec<(String, Tokens, u64, u64)>,
}

/// Reads a stretch of a transcript. `None` where its file's name tells no session, and no line does.
#[must_use]
pub fn read(record: &TranscriptV2, body: &[u8]) -> Option<TranscriptFacts> {
    let named = name::of(&record.path);
    let mut facts = TranscriptFacts {
        session_id: named.session_id.unwrap_or_default(),
        agent_id: named.agent_id,
        born_ns: record.born_ns,
        file: file_hash(record),
        offset: record.offset,
        size: record.in_file.as_ref().map_or(body.len() as u64, |in_file| in_file.length),
        shifts: record.in_file.as_ref().map(|in_file| in_file.shifts.clone()).unwrap_or_default(),
        ..TranscriptFacts::default()
    };
    match record.part {
        TranscriptPart::AgentMeta => facts.meta = Some(line::agent_meta(body)),
        TranscriptPart::Lines => line::read_all(body, &mut facts),
    }
    (!facts.session_id.is_empty()).then_some(facts)
}

/// Who a text comes from that stands in a user's line, is no summary and is not marked as the client's own; and the text
/// as it was typed.
#[must_use]
pub fn prompt_of(text: &str) -> (PromptKind, String) {
    let opening = text.trim_start();
    match line::kind_of(opening) {
        PromptKind::Command => (PromptKind::Command, line::typed(opening)),
        kind => (kind, text.to_owned()),
    }
}

/// The session whose transcript a file of this name is.
#[must_use]
pub fn session_of(path: &[u8]) -> Option<String> {
    name::of(path).session_id
}

/// The subagent whose transcript a file of this name is.
#[must_use]
pub fn agent_of(path: &[u8]) -> Option<String> {
    name::of(path).agent_id
}

fn file_hash(record: &TranscriptV2) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in [record.device, record.inode, record.born_ns] {
        hasher.update(&part.to_be_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(first)
}
