//! What the mock answers.
//!
//! A script is a list of conversations, each known by a marker that stands in a prompt. The rule for a request
//! is the one whose marker stands latest in its messages; the step is the number of assistant messages since.
//! A step that the client asks for again (a retry) gets the next of its attempts, and the last one for ever.
//!
//! A conversation may turn: once a tool result, or what the client adds for a hook, holds a text, its steps are those of
//! the turning, counted from there. `{seen}` in what is said then stands for what was seen.
//!
//! Scripts are made in Rust by the builders here or read from JSON:
//!
//! ```json
//! {"conversations": [{"marker": "count", "steps": [
//!   {"blocks": [{"type": "tool_use", "name": "Bash", "input": {"command": "ls | wc -l"}}]},
//!   [{"status": 529}, {"blocks": [{"type": "text", "text": "Three files."}]}]
//! ]}]}
//! ```

use std::time::Duration;

use ccd_proto::api::Tokens;
use serde::Deserialize;
use serde_json::Value;

use super::message::Block;
use super::request::Place;

/// Everything that a mock knows to say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The conversations.
    #[serde(default)]
    pub conversations: Vec<Conversation>,
}

/// The answers to one conversation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    /// Text in the user's (or the subagent's) prompt that says: this is the one.
    pub marker: String,
    /// The answers, one per model call.
    pub steps: Vec<Step>,
    /// What it does otherwise once it is told something. Of several that hold, the one that was told last.
    #[serde(default)]
    pub turnings: Vec<Turning>,
}

/// Another course of a conversation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turning {
    /// Text that makes it turn, in anything but the model's own words.
    pub sees: String,
    /// The answers from there on.
    pub steps: Vec<Step>,
}

/// The answers to one model call: the first attempt's, the second's, …
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Step(pub Vec<Answer>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Answer>),
    One(Answer),
}

impl From<OneOrMany> for Step {
    fn from(answers: OneOrMany) -> Self {
        match answers {
            OneOrMany::One(answer) => Step(vec![answer]),
            OneOrMany::Many(answers) => Step(answers),
        }
    }
}

impl<A: Into<Answer>> From<A> for Step {
    fn from(answer: A) -> Self {
        Step(vec![answer.into()])
    }
}

impl<A: Into<Answer>> From<Vec<A>> for Step {
    fn from(answers: Vec<A>) -> Self {
        Step(answers.into_iter().map(Into::into).collect())
    }
}

/// One answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// An HTTP error.
    Fail(Failure),
    /// A message: as SSE or as one JSON object, as the request asks.
    Reply(Reply),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Answer::Reply(reply)
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        Answer::Fail(failure)
    }
}

/// An HTTP error as the API words it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// 400, 401, 429, 500, 529, …
    pub status: u16,
    /// `retry-after`, in seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

impl Failure {
    /// The API's name for this status.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.status {
            400 => "invalid_request_error",
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ => "api_error",
        }
    }

    /// Asks the client to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// A message to send.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Its content.
    pub blocks: Vec<Block>,
    /// Its tokens; none: numbers that differ for each exchange.
    #[serde(default)]
    pub tokens: Option<Tokens>,
    /// Why the model stopped; none: `tool_use` or `end_turn`, as fits the content.
    #[serde(default)]
    pub stop_reason: Option<String>,
    /// Milliseconds before each event of the stream.
    #[serde(default)]
    pub pace_ms: u64,
    /// Pings after the stream's first event.
    #[serde(default)]
    pub pings: usize,
    /// How the stream ends.
    #[serde(default)]
    pub end: End,
}

/// How a stream ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// As it should.
    #[default]
    Whole,
    /// The connection drops after this many events.
    Cut(usize),
    /// An `error` event (`overloaded_error`) follows this many events, and nothing more.
    Error(usize),
}

/// An empty message, to be filled.
#[must_use]
pub fn reply() -> Reply {
    Reply::default()
}

/// An HTTP error.
#[must_use]
pub fn fail(status: u16) -> Failure {
    Failure { status, retry_after: None }
}

impl Reply {
    /// Adds a block.
    #[must_use]
    pub fn block(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Adds text, sent in a few deltas.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.block(Block::Text { text: text.into(), deltas: 3, citations: Vec::new() })
    }

    /// Adds thinking with its text.
    #[must_use]
    pub fn thinking(self, thinking: &str) -> Self {
        self.block(Block::Thinking { thinking: thinking.into(), signature: "EqQBCkYIBxgCKkD".repeat(8) })
    }

    /// Adds thinking whose text the API leaves out: a signature only.
    #[must_use]
    pub fn thinking_omitted(self) -> Self {
        self.thinking("")
    }

    /// Adds a tool call, its input split into small pieces.
    #[must_use]
    pub fn tool(self, name: &str, input: Value) -> Self {
        self.block(Block::ToolUse { name: name.into(), input, split: 7 })
    }

    /// Says what it costs.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Waits before each event.
    #[must_use]
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace_ms = u64::try_from(pace.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Sends pings.
    #[must_use]
    pub fn pings(mut self, pings: usize) -> Self {
        self.pings = pings;
        self
    }

    /// What it says with `{seen}` replaced.
    fn quoting(mut self, seen: &str) -> Self {
        for block in &mut self.blocks {
            if let Block::Text { text, .. } = block {
                *text = text.replace("{seen}", seen);
            }
        }
        self
    }

    /// Ends the stream otherwise than whole.
    #[must_use]
    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

impl Script {
    /// A script with nothing in it: every message is answered with a plain `ok`.
    #[must_use]
    pub fn new() -> Self {
        Script::default()
    }

    /// Adds a conversation.
    #[must_use]
    pub fn on<S: Into<Step>>(self, marker: &str, steps: impl IntoIterator<Item = S>) -> Self {
        self.with(Conversation::new(marker, steps))
    }

    /// Adds a conversation that is made already.
    #[must_use]
    pub fn with(mut self, conversation: Conversation) -> Self {
        self.conversations.push(conversation);
        self
    }

    /// The answer to attempt `attempt` of the step at `place`; past the script's end: a plain `ok`.
    pub(crate) fn answer(&self, place: Option<&Place>, attempt: usize) -> Answer {
        let steps = |place: &Place| {
            let conversation = &self.conversations[place.conversation];
            place.turning.as_ref().map_or(&conversation.steps, |(n, _)| &conversation.turnings[*n].steps)
        };
        let answer = place
            .and_then(|place| steps(place).get(place.step))
            .and_then(|Step(attempts)| attempts.get(attempt).or_else(|| attempts.last()))
            .cloned()
            .unwrap_or_else(|| reply().text("ok").into());
        match (answer, place.and_then(|place| place.turning.as_ref())) {
            (Answer::Reply(reply), Some((_, seen))) => reply.quoting(seen).into(),
            (answer, _) => answer,
        }
    }
}

impl Conversation {
    /// One that never turns.
    #[must_use]
    pub fn new<S: Into<Step>>(marker: &str, steps: impl IntoIterator<Item = S>) -> Self {
        let steps = steps.into_iter().map(Into::into).collect();
        Conversation { marker: marker.into(), steps, turnings: Vec::new() }
    }

    /// Adds a turning.
    #[must_use]
    pub fn turning<S: Into<Step>>(mut self, sees: &str, steps: impl IntoIterator<Item = S>) -> Self {
        let steps = steps.into_iter().map(Into::into).collect();
        self.turnings.push(Turning { sees: sees.into(), steps });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_from_json_with_single_answers_and_attempts() {
        let script: Script = serde_json::from_str(
            r#"{"conversations":[{"marker":"m","steps":[
                {"blocks":[{"type":"text","text":"a"}]},
                [{"status":429,"retry_after":1},{"blocks":[],"end":{"cut":2}}]
            ]}]}"#,
        )
        .unwrap();
        let answer =
            |step, attempt| script.answer(Some(&Place { conversation: 0, turning: None, step }), attempt);
        assert!(matches!(answer(0, 5), Answer::Reply(r) if r.blocks.len() == 1));
        assert!(matches!(answer(1, 0), Answer::Fail(f) if f.retry_after == Some(1)));
        assert!(matches!(answer(1, 1), Answer::Reply(r) if r.end == End::Cut(2)));
        assert!(matches!(answer(9, 0), Answer::Reply(_)), "past the end: a plain answer");
        assert!(matches!(script.answer(None, 0), Answer::Reply(_)), "no marker: a plain answer");
    }

    #[test]
    fn a_misspelt_field_is_an_error() {
        let script = r#"{"conversations":[{"marker":"m","steps":[{"blocks":[],"pacems":1}]}]}"#;
        assert!(serde_json::from_str::<Script>(script).is_err());
    }
}
