//! A span's content: fetched from the record that has it, at the time it is asked for.

use std::collections::HashMap;
use std::rc::Rc;

use ccd_proto::api::{Reasoning, Span};
use ccd_store::Locator;
use serde_json::{Value, json};

use super::filter::Filter;
use super::{Ask, QueryError};
use crate::ingest::record::{self, Payload};
use crate::live::body;
use crate::project::exchange::{assemble, decoded_request};
use crate::project::message::Assembled;
use crate::project::view::{ContentRef, Part, SpanView};
use crate::project::{foreign, telemetry, transcript};

/// A record's content, read once per question.
enum Read {
    Hook(Value),
    Exchange {
        request: Option<Value>,
        answer: Assembled,
        /// What went wrong on the connection.
        failed: Option<String>,
    },
    /// A stretch of a transcript.
    Lines(Vec<u8>),
    Nothing,
}

/// Records read for one question.
pub struct Contents<'a> {
    ask: &'a Ask,
    /// The last few records: a turn's parallel calls point at the same exchange.
    read: HashMap<Locator, Rc<Read>>,
}

/// Records held at once.
const HELD: usize = 8;

impl<'a> Contents<'a> {
    /// Nothing read yet.
    #[must_use]
    pub fn new(ask: &'a Ask) -> Self {
        Contents { ask, read: HashMap::new() }
    }

    /// The span, with what the filter asks for.
    pub fn fill(&mut self, view: SpanView, filter: &Filter) -> Span {
        let SpanView { mut span, input, output, .. } = view;
        if filter.content {
            span.input = input.and_then(|at| self.get(&at));
            span.output = output.as_ref().and_then(|at| self.get(at));
        }
        if filter.reasoning
            && span.kind == "llm"
            && let Some(at) = &output
        {
            span.reasoning = self.reasoning(at).or(span.reasoning);
        }
        span
    }

    /// The system prompt of the request whose new messages stand at a place.
    pub fn system(&mut self, at: &ContentRef) -> Option<Value> {
        match &*self.read(at.record) {
            Read::Exchange { request, .. } => request.as_ref()?.get("system").cloned(),
            _ => None,
        }
    }

    /// What stands at a place.
    pub(super) fn value(&mut self, at: &ContentRef) -> Option<Value> {
        self.get(at)
    }

    /// What a tool was given and what it answered, as far as one record tells both: what somebody changed before allowing
    /// the call is in the hook that closes it, and what a transcript keeps of the answer stands beside the message.
    pub(super) fn call(&mut self, view: &SpanView) -> (Option<Value>, Option<Value>) {
        if let Some(ContentRef { record, part: Part::Hook("tool_response") }) = &view.output
            && let Read::Hook(payload) = &*self.read(*record)
        {
            let member = |name: &str| payload.get(name).cloned();
            if let (Some(input), Some(response)) = (member("tool_input"), member("tool_response")) {
                return (Some(input), Some(response));
            }
        }
        let input = view.input.as_ref().and_then(|at| self.get(at));
        let response = match &view.output {
            Some(ContentRef { record, part: Part::LineResult(line, _) }) => {
                self.member((*record, *line), "toolUseResult")
            }
            Some(at) => self.get(at),
            None => None,
        };
        (input, response)
    }

    /// What the API, or the way to it, said went wrong with an exchange: all of it.
    pub(super) fn error(&mut self, record: Locator) -> Option<String> {
        match &*self.read(record) {
            Read::Exchange { answer, failed, .. } => answer.error.clone().or_else(|| failed.clone()),
            _ => None,
        }
    }

    /// Tokens that a model call spent on thinking, where its answer says.
    pub fn thinking_tokens(&mut self, at: &ContentRef) -> Option<u64> {
        let usage = match &at.part {
            Part::Lines(lines) => self.message(*lines.last()?)?.get("usage")?.clone(),
            _ => match &*self.read(at.record) {
                Read::Exchange { answer, .. } => answer.message.get("usage")?.clone(),
                _ => return None,
            },
        };
        usage.get("output_tokens_details")?.get("thinking_tokens")?.as_u64()
    }

    fn reasoning(&mut self, at: &ContentRef) -> Option<Reasoning> {
        let reasoning = match &at.part {
            Part::Lines(lines) => {
                let message = json!({"content": self.blocks(lines)});
                Assembled { message, ..Assembled::default() }.reasoning(true)
            }
            _ => match &*self.read(at.record) {
                Read::Exchange { answer, .. } => answer.reasoning(true),
                _ => return None,
            },
        };
        Some(reasoning).filter(|r| r.blocks > 0)
    }

    /// The message in a line of a transcript.
    fn message(&mut self, at: (Locator, u64)) -> Option<Value> {
        self.member(at, "message")
    }

    /// A member of a line of a transcript.
    fn member(&mut self, (record, line): (Locator, u64), name: &str) -> Option<Value> {
        let read = self.read(record);
        let Read::Lines(bytes) = &*read else { return None };
        let rest = bytes.get(usize::try_from(line).ok()?..)?;
        let line = rest.split(|b| *b == b'\n').next()?;
        transcript::json::value(transcript::json::member(line, name)?)
    }

    /// A message's content blocks, over all its lines.
    fn blocks(&mut self, lines: &[(Locator, u64)]) -> Vec<Value> {
        let messages = lines.iter().filter_map(|at| self.message(*at));
        messages
            .flat_map(|m| m.get("content").and_then(Value::as_array).cloned().unwrap_or_default())
            .collect()
    }

    fn read(&mut self, at: Locator) -> Rc<Read> {
        if let Some(read) = self.read.get(&at) {
            return Rc::clone(read);
        }
        let read = Rc::new(read(self.ask, at).unwrap_or_else(|error| {
            tracing::warn!(error = error.error.message, "a span's content cannot be read");
            Read::Nothing
        }));
        if self.read.len() >= HELD {
            self.read.clear();
        }
        self.read.insert(at, Rc::clone(&read));
        read
    }

    fn get(&mut self, at: &ContentRef) -> Option<Value> {
        let record = at.record;
        match &at.part {
            Part::Line(line) => return self.message((record, *line))?.get("content").cloned(),
            Part::Lines(lines) => return Some(Value::Array(self.blocks(lines))),
            Part::NewLines(lines) => {
                return Some(Value::Array(lines.iter().filter_map(|at| self.message(*at)).collect()));
            }
            Part::LineInput(line, id) => {
                return block(&self.message((record, *line))?, "id", id)?.get("input").cloned();
            }
            Part::LineResult(line, id) => {
                return block(&self.message((record, *line))?, "tool_use_id", id)?.get("content").cloned();
            }
            _ => {}
        }
        match (&*self.read(at.record), &at.part) {
            (Read::Hook(payload), Part::Hook(member)) => payload.get(member).cloned(),
            (Read::Hook(payload), Part::Batch(id)) => {
                let calls = payload.get("tool_calls")?.as_array()?;
                let call = calls.iter().find(|c| c.get("tool_use_id").and_then(Value::as_str) == Some(id))?;
                call.get("tool_response").cloned()
            }
            (Read::Exchange { request, .. }, Part::NewMessages) => new_messages(request.as_ref()?),
            (Read::Exchange { answer, .. }, Part::Blocks) => {
                Some(Value::Array(answer.content().to_vec())).filter(|_| !answer.message.is_null())
            }
            (Read::Exchange { answer, .. }, Part::UseInput(id)) => {
                let block =
                    answer.content().iter().find(|b| b.get("id").and_then(Value::as_str) == Some(id))?;
                block.get("input").cloned()
            }
            (Read::Exchange { request, .. }, Part::ResultContent(id)) => {
                let messages = request.as_ref()?.get("messages")?.as_array()?;
                let blocks = messages.iter().filter_map(|m| m.get("content")?.as_array()).flatten();
                let mut results = blocks.filter(|b| b.get("tool_use_id").and_then(Value::as_str) == Some(id));
                results.next()?.get("content").cloned()
            }
            _ => None,
        }
    }
}

/// The content block that a member names.
fn block<'a>(message: &'a Value, member: &str, id: &str) -> Option<&'a Value> {
    let blocks = message.get("content")?.as_array()?;
    blocks.iter().find(|b| b.get(member).and_then(Value::as_str) == Some(id))
}

fn read(ask: &Ask, at: Locator) -> Result<Read, QueryError> {
    let stored = ask.reader.record(at)?;
    Ok(match record::read(&stored) {
        Ok(Payload::Hook(hook)) => {
            let bytes = body(&ask.reader, &hook.body)?;
            serde_json::from_slice(&bytes).map_or(Read::Nothing, Read::Hook)
        }
        Ok(Payload::Exchange(exchange)) => {
            let request = body(&ask.reader, &exchange.request.stored)?;
            let response = body(&ask.reader, &exchange.response.stored)?;
            Read::Exchange {
                request: serde_json::from_slice(&decoded_request(&exchange, &request)).ok(),
                answer: assemble(&exchange, &response),
                failed: exchange.error,
            }
        }
        Ok(Payload::Transcript(lines)) => Read::Lines(body(&ask.reader, &lines.body)?),
        Ok(Payload::Foreign(lines)) => {
            let bytes = body(&ask.reader, &lines.body)?;
            match foreign::content(&lines.format, stored.at_ns, &bytes) {
                Some(foreign::Content::Hook(payload)) => Read::Hook(payload),
                Some(foreign::Content::Line(line)) => Read::Lines(line),
                None => Read::Nothing,
            }
        }
        Ok(Payload::Telemetry(told)) => {
            let bytes = body(&ask.reader, &told.body)?;
            let read = serde_json::from_slice::<Value>(&bytes);
            read.map_or(Read::Nothing, |body| Read::Hook(telemetry::attributes(&body)))
        }
        Ok(_) => Read::Nothing,
        Err(e) => return Err(QueryError::not_found(e.to_string())),
    })
}

/// The messages after the last assistant's.
fn new_messages(request: &Value) -> Option<Value> {
    let messages = request.get("messages")?.as_array()?;
    let last = messages.iter().rposition(|m| m.get("role").and_then(Value::as_str) == Some("assistant"));
    Some(Value::Array(messages[last.map_or(0, |i| i + 1)..].to_vec()))
}

/// A response's reasoning, with its text.
pub fn reasoning(ask: &Ask, at: Locator) -> Result<Reasoning, QueryError> {
    match read(ask, at)? {
        Read::Exchange { answer, .. } => Ok(answer.reasoning(true)),
        _ => Ok(Reasoning::default()),
    }
}
