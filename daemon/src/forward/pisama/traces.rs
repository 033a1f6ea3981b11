//! A session as the platform's traces: one for each tool call, and an `assistant_turn` for each model call that asked for
//! none.
//!
//! Tokens and cost of a model call stand at the first trace that came of it and nowhere else, so that the platform's sums
//! are ours; so do its words and its thinking. A prompt stands at the first trace of its turn. Everything captured goes
//! through the [`Cleaner`]: redacted with its structure, with the names of users gone from paths, before anything is cut.

use std::collections::{HashMap, HashSet};

use ccd_proto::api::{Session, Span, Tokens};
use serde::Serialize;
use serde_json::{Map, Value};

use super::body::{Shape, cut};
use crate::config::Content;
use crate::export::clean::Cleaner;
use crate::project::view::{SessionView, SpanView};

/// A trace, in the platform's words and their order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trace {
    /// When it began, RFC 3339.
    pub timestamp: String,
    /// The tool, or `assistant_turn`.
    pub tool_name: String,
    /// `PostToolUse`, or `proxy` for a model call.
    pub hook_type: &'static str,
    /// Its session.
    pub session_id: String,
    /// Where Claude Code was started.
    pub working_dir: String,
    /// The model that asked for it.
    pub model: Option<String>,
    /// Input tokens that were not cached.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Dollars.
    pub cost_usd: f64,
    /// The prompt.
    pub user_input: Option<String>,
    /// The thinking.
    pub reasoning: Option<String>,
    /// The answer.
    pub ai_output: Option<String>,
    /// The subagent.
    pub agent_id: Option<String>,
    /// Its type.
    pub agent_type: Option<String>,
    /// Whether it was one.
    pub is_sidechain: bool,
    /// What the tool was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_input: Option<Value>,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_output: Option<Value>,
    /// Input tokens that were cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
}

impl Trace {
    /// Leaves out what a shape has no room for.
    pub(super) fn shape(&mut self, shape: Shape) {
        if !shape.outputs {
            self.tool_output = None;
        }
        for text in [&mut self.user_input, &mut self.reasoning, &mut self.ai_output].into_iter().flatten() {
            cut(text, shape.field);
        }
        for value in [&mut self.tool_input, &mut self.tool_output].into_iter().flatten() {
            shorten(value, shape.field);
        }
    }
}

/// A value as a whole may be as long as a text, and this long in any case.
const WHOLE: usize = 20_000;

/// A value without texts that are too long; itself a text, cut, where it is too long as a whole: the platform takes both.
fn shorten(value: &mut Value, most: usize) {
    cut_texts(value, most);
    if !value.is_string() {
        let mut text = value.to_string();
        let most = most.max(WHOLE);
        if text.len() > most && text.chars().nth(most).is_some() {
            cut(&mut text, most);
            *value = Value::String(text);
        }
    }
}

fn cut_texts(value: &mut Value, most: usize) {
    match value {
        Value::String(text) => cut(text, most),
        Value::Array(list) => list.iter_mut().for_each(|value| cut_texts(value, most)),
        Value::Object(members) => members.values_mut().for_each(|value| cut_texts(value, most)),
        _ => {}
    }
}

/// Makes a session's traces.
pub struct Maker<'a> {
    /// The session.
    pub session: &'a Session,
    /// Its tree.
    pub view: &'a SessionView,
    /// Makes captured text fit to be sent.
    pub cleaner: &'a Cleaner,
    /// How much of what was said and done goes along.
    pub content: Content,
}

/// What a model call has to give to the first trace that came of it.
#[derive(Default)]
struct Told {
    model: Option<String>,
    tokens: Option<Tokens>,
    cost_usd_micros: Option<i64>,
    reasoning: Option<String>,
    answer: Option<String>,
}

impl Maker<'_> {
    /// Gives the traces in the order in which they began. `fill` reads a span's content.
    pub fn each(
        &self,
        outputs: bool,
        fill: &mut dyn FnMut(&SpanView) -> Span,
        take: &mut dyn FnMut(Trace) -> bool,
    ) {
        let spans = &self.view.spans;
        let asking: HashSet<&str> =
            spans.iter().filter_map(|view| view.span.requested_by.as_deref()).collect();
        let by_id: HashMap<&str, &SpanView> =
            spans.iter().map(|view| (view.span.span_id.as_str(), view)).collect();
        let prompts: HashMap<&str, &str> = self
            .view
            .turns
            .iter()
            .filter_map(|turn| Some((turn.turn_id.as_str(), turn.prompt.as_deref()?)))
            .collect();
        let (mut told, mut opened) = (HashSet::new(), HashSet::new());
        for view in spans {
            let span = &view.span;
            let mut trace = match span.kind.as_str() {
                "tool" => {
                    let by = span.requested_by.as_deref().filter(|id| told.insert((*id).to_owned()));
                    let asked = by.and_then(|id| by_id.get(id)).map(|call| self.told(call, fill));
                    let mut trace = self.tool(view, outputs, fill);
                    self.give(&mut trace, asked.unwrap_or_default());
                    let model = span.requested_by.as_deref().and_then(|id| by_id.get(id));
                    trace.model = trace.model.or_else(|| model?.span.model.clone());
                    trace
                }
                "llm" if span.purpose.as_deref() == Some("count_tokens") => continue,
                "llm" if !asking.contains(span.span_id.as_str()) => {
                    let mut trace = self.base(span, "assistant_turn".into(), "proxy");
                    let told = self.told(view, fill);
                    self.give(&mut trace, told);
                    trace
                }
                _ => continue,
            };
            if self.content >= Content::Text
                && opened.insert(span.turn_id.as_str())
                && let Some(prompt) = prompts.get(span.turn_id.as_str())
            {
                trace.user_input = Some(self.text(prompt));
            }
            if !take(trace) {
                return;
            }
        }
    }

    fn base(&self, span: &Span, tool_name: String, hook_type: &'static str) -> Trace {
        Trace {
            timestamp: span.started_at.clone(),
            tool_name,
            hook_type,
            session_id: self.session.session_id.clone(),
            working_dir: self.text(self.session.cwd.as_deref().unwrap_or_default()),
            agent_id: span.agent_id.clone(),
            agent_type: span.agent_type.as_deref().map(|text| self.text(text)),
            is_sidechain: span.agent_id.is_some(),
            ..Trace::default()
        }
    }

    fn tool(&self, view: &SpanView, outputs: bool, fill: &mut dyn FnMut(&SpanView) -> Span) -> Trace {
        let name = self.text(view.span.tool_name.as_deref().unwrap_or("unknown"));
        let mut trace = self.base(&view.span, name, "PostToolUse");
        if self.content < Content::Full {
            return trace;
        }
        let span = fill(view);
        trace.tool_input = Some(match span.input.map(|input| self.value(input)) {
            Some(Value::Object(input)) => Value::Object(input),
            Some(other) => Value::Object(Map::from_iter([("input".to_owned(), other)])),
            None => Value::Object(Map::new()),
        });
        if outputs {
            let failed = || span.error.as_deref().map(|error| Value::String(self.text(error)));
            trace.tool_output = span.output.map(|output| self.value(output)).or_else(failed);
        }
        trace
    }

    fn told(&self, view: &SpanView, fill: &mut dyn FnMut(&SpanView) -> Span) -> Told {
        let span = &view.span;
        let mut told = Told {
            model: span.model.clone(),
            tokens: span.tokens,
            cost_usd_micros: span.cost_usd_micros,
            ..Told::default()
        };
        if self.content >= Content::Text {
            let span = fill(view);
            told.reasoning = span
                .reasoning
                .and_then(|r| r.text)
                .filter(|text| !text.is_empty())
                .map(|text| self.text(&text));
            told.answer = answer(span.output.as_ref()).map(|text| self.text(&text));
        }
        told
    }

    fn give(&self, trace: &mut Trace, told: Told) {
        trace.model = told.model.map(|model| self.text(&model));
        if let Some(tokens) = told.tokens {
            (trace.input_tokens, trace.output_tokens) = (tokens.input, tokens.output);
            trace.cache_read_tokens = Some(tokens.cache_read);
        }
        #[allow(clippy::cast_precision_loss, reason = "micro-dollars of one call are far below 2^52")]
        let dollars = told.cost_usd_micros.map_or(0.0, |micros| micros as f64 / 1e6);
        trace.cost_usd = dollars;
        (trace.reasoning, trace.ai_output) = (told.reasoning, told.answer);
    }

    fn text(&self, text: &str) -> String {
        self.cleaner.text(text).as_str().to_owned()
    }

    fn value(&self, value: Value) -> Value {
        self.cleaner.value(value).into_value()
    }
}

/// What a model said, of the blocks that it answered with.
fn answer(blocks: Option<&Value>) -> Option<String> {
    let blocks = blocks?.as_array()?.iter();
    let texts: Vec<&str> = blocks
        .filter(|block| block.get("type").and_then(Value::as_str) == Some("text"))
        .filter_map(|block| block.get("text").and_then(Value::as_str))
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
