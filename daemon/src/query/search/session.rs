//! One session: which of its spans have all of the words.
//!
//! A span has what it was given and what came of it. The same text stands in several places: a tool's result in the next
//! request, a prompt in the request that asks it. It is told of once, by the span that it belongs to: what a model call
//! repeats of a prompt or of a tool call is left out where that one is told of.

use std::collections::{HashMap, HashSet};

use ccd_proto::api::{Hit, Turn};
use ccd_store::Locator;
use serde_json::Value;

use super::records::Masks;
use super::snippet::{Snippet, snippet};
use super::words::Words;
use super::{Stop, texts};
use crate::project::ids;
use crate::project::text::text_hash;
use crate::project::view::{ContentRef, Part, SpanView, is_own_wording};
use crate::query::QueryError;
use crate::query::content::Contents;
use crate::query::filter::Filter;
use crate::query::spans::matches;

/// What is looked at for one session.
pub(super) struct Look<'a> {
    pub words: &'a Words,
    pub masks: &'a Masks,
    pub filter: &'a Filter,
    pub session: &'a str,
    pub project: Option<&'a str>,
    pub contents: Contents<'a>,
    /// Texts in which something was found, so that other records need not repeat them.
    pub told: HashSet<u64>,
}

/// What was found in one thing so far.
#[derive(Default)]
pub(super) struct Found {
    /// The words of all its texts together.
    pub mask: u32,
    /// The text that has the most of them, the first of those: how many, where it stands, and what is shown of it.
    pub best: Option<(u32, &'static str, Snippet)>,
    /// Hashes of the texts that have any.
    pub texts: Vec<u64>,
}

impl Found {
    pub(super) fn look_at(&mut self, words: &Words, field: &'static str, value: &Value) {
        texts::each(value, &mut |text| self.look(words, field, text));
    }

    pub(super) fn look(&mut self, words: &Words, field: &'static str, text: &str) {
        let mask = words.in_text(text);
        if mask == 0 {
            return;
        }
        self.mask |= mask;
        self.texts.push(text_hash(text));
        let count = mask.count_ones();
        if self.best.as_ref().is_none_or(|(most, ..)| count > *most)
            && let Some(snippet) = snippet(words, text)
        {
            self.best = Some((count, field, snippet));
        }
    }
}

/// What is known of the spans of a turn that were told of.
#[derive(Default)]
struct Told {
    /// Spans told of.
    spans: HashSet<String>,
    /// Hashes of the texts by which agents' prompts were told of, by their spans.
    prompts: HashMap<String, Vec<u64>>,
    /// Agents whose model calls were told of by what they said.
    said: HashSet<String>,
}

impl Look<'_> {
    /// What a turn has, what began last first.
    pub(super) fn turn(
        &mut self,
        turn: Option<&Turn>,
        spans: Vec<SpanView>,
        stop: &Stop<'_>,
    ) -> Result<Vec<Hit>, QueryError> {
        let mut hits: Vec<(u64, Hit)> = Vec::new();
        let mut told = Told::default();
        let rank = |span: &SpanView| match span.span.kind.as_str() {
            "tool" => 0,
            "agent" => 1,
            _ => 2,
        };
        let mut spans: Vec<SpanView> = spans.into_iter().filter(|span| matches(self.filter, span)).collect();
        spans.sort_by_key(|span| (rank(span), span.start_ns));
        let mut agents = Vec::new();
        for span in spans {
            stop.check()?;
            let mut found = Found::default();
            match rank(&span) {
                0 => self.tool(&span, &mut found),
                1 => {
                    self.prompt(&span, &told, &mut found);
                    if found.mask == self.words.all() {
                        told.prompts.insert(span.span.span_id.clone(), found.texts.clone());
                    }
                    // Its result is what a model call said: that one is asked first.
                    agents.push((span, found));
                    continue;
                }
                _ => self.call(&span, &told, &mut found),
            }
            self.keep(span, found, &mut told, &mut hits);
        }
        for (span, mut found) in agents {
            if found.mask != self.words.all() {
                self.result(&span, turn, &told, &mut found);
            }
            self.keep(span, found, &mut told, &mut hits);
        }
        hits.sort_by_key(|(start_ns, _)| std::cmp::Reverse(*start_ns));
        Ok(hits.into_iter().map(|(_, hit)| hit).collect())
    }

    fn keep(&mut self, view: SpanView, found: Found, told: &mut Told, hits: &mut Vec<(u64, Hit)>) {
        if found.mask != self.words.all() {
            return;
        }
        let Some((_, field, snippet)) = found.best else { return };
        self.told.extend(found.texts);
        let SpanView { span, start_ns, .. } = view;
        told.spans.insert(span.span_id.clone());
        if matches!(field, "text" | "reasoning" | "output")
            && let Some(agent) = span.parent_id
        {
            told.said.insert(agent);
        }
        let name = match span.kind.as_str() {
            "tool" => span.tool_name,
            "llm" => span.model,
            "compaction" => Some(span.name),
            _ => Some(span.agent_type.unwrap_or_else(|| "main".into())),
        };
        let hit = Hit {
            session_id: self.session.to_owned(),
            project: self.project.map(str::to_owned),
            turn_id: span.turn_id,
            span_id: span.span_id,
            exchange_id: span.exchange_id,
            kind: span.kind,
            name: name.unwrap_or_default(),
            status: span.status,
            at: span.started_at,
            field: field.into(),
            snippet: snippet.text,
            ranges: snippet.ranges,
        };
        hits.push((start_ns, hit));
    }

    /// Whether any of a span's records may have any of the words.
    fn may(&self, at: Option<&ContentRef>) -> bool {
        let has = |record: &Locator| self.masks.of.contains_key(record);
        at.is_some_and(|at| match &at.part {
            Part::Lines(lines) | Part::NewLines(lines) => lines.iter().any(|(record, _)| has(record)),
            _ => has(&at.record),
        })
    }

    /// The value at a place that may have any of the words.
    fn value(&mut self, at: Option<&ContentRef>) -> Option<Value> {
        if self.may(at) { self.contents.value(at?) } else { None }
    }

    fn all_of(&mut self, field: &'static str, at: Option<&ContentRef>, found: &mut Found) {
        if let Some(value) = self.value(at) {
            found.look_at(self.words, field, &value);
        }
    }

    fn tool(&mut self, view: &SpanView, found: &mut Found) {
        self.all_of("input", view.input.as_ref(), found);
        let failed = matches!(view.output.as_ref().map(|at| &at.part), Some(Part::Hook("error" | "reason")));
        self.all_of(if failed { "error" } else { "output" }, view.output.as_ref(), found);
    }

    fn prompt(&mut self, view: &SpanView, told: &Told, found: &mut Found) {
        // A subagent's prompt is the input of the call that started it.
        if view.span.parent_id.as_ref().is_none_or(|call| !told.spans.contains(call)) {
            let value = self.value(view.input.as_ref());
            // Where neither hook nor transcript tells it, it is what is new in the first request.
            let is_messages = view.input.as_ref().is_some_and(|at| at.part == Part::NewMessages);
            let mut look = |text: &str| found.look(self.words, "prompt", text);
            match &value {
                Some(messages) if is_messages => in_messages(messages, &|_| false, &mut look),
                Some(prompt) => texts::each(prompt, &mut look),
                None => {}
            }
        }
    }

    fn result(&mut self, view: &SpanView, turn: Option<&Turn>, told: &Told, found: &mut Found) {
        let span = &view.span;
        let is_root = span.parent_id.is_none();
        let error = if is_root { turn.and_then(|t| t.error.as_deref()) } else { span.error.as_deref() };
        if let Some(error) = error.filter(|error| !is_own_wording(error)) {
            found.look(self.words, "error", error);
        }
        let said = told.said.contains(&span.span_id);
        let returned = span.parent_id.as_ref().is_some_and(|call| told.spans.contains(call));
        if !said && !returned {
            self.all_of("result", view.output.as_ref(), found);
        }
    }

    fn call(&mut self, view: &SpanView, told: &Told, found: &mut Found) {
        let span = &view.span;
        let is_told = |block: &Value, member: &str| {
            let id = block.get(member).and_then(Value::as_str);
            id.is_some_and(|id| told.spans.contains(&ids::span(self.session, "tool", id)))
        };
        let output = self.value(view.output.as_ref());
        for block in blocks(output.as_ref()) {
            match block.get("type").and_then(Value::as_str) {
                Some("text") => each_of(block, "text", &mut |t| found.look(self.words, "text", t)),
                Some("thinking") => {
                    each_of(block, "thinking", &mut |t| found.look(self.words, "reasoning", t));
                }
                Some("tool_use") if is_told(block, "id") => {}
                Some("tool_use") => {
                    each_of(block, "input", &mut |t| found.look(self.words, "output", t));
                }
                _ => texts::each(block, &mut |t| found.look(self.words, "output", t)),
            }
        }
        if let Some(output) = output.as_ref().filter(|output| !output.is_array()) {
            texts::each(output, &mut |t| found.look(self.words, "text", t));
        }
        if span.error.is_some()
            && let Some(at) = view.output.as_ref().or(view.input.as_ref())
            && self.may(Some(at))
            && let Some(error) = self.contents.error(at.record)
        {
            found.look(self.words, "error", &error);
        }
        let prompt = span.parent_id.as_ref().and_then(|agent| told.prompts.get(agent));
        let input = self.value(view.input.as_ref());
        let mut new = |text: &str| {
            if prompt.is_none_or(|prompt| !prompt.contains(&text_hash(text))) {
                found.look(self.words, "input", text);
            }
        };
        if let Some(messages) = &input {
            in_messages(messages, &|block| is_told(block, "tool_use_id"), &mut new);
        }
    }
}

/// The texts of messages, but for the content blocks that `is_told` names.
fn in_messages(messages: &Value, is_told: &dyn Fn(&Value) -> bool, found: &mut dyn FnMut(&str)) {
    for message in messages.as_array().map_or(&[][..], Vec::as_slice) {
        match message.get("content") {
            Some(Value::Array(content)) => {
                content.iter().filter(|block| !is_told(block)).for_each(|block| texts::each(block, found));
            }
            Some(content) => texts::each(content, found),
            None => {}
        }
    }
}

fn blocks(output: Option<&Value>) -> &[Value] {
    output.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn each_of(block: &Value, member: &str, found: &mut dyn FnMut(&str)) {
    if let Some(value) = block.get(member) {
        texts::each(value, found);
    }
}
