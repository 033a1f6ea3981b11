//! A turn: its prompt, and what happened, each agent's steps below the call that started it.
//!
//! Every span of the session is told exactly once; one whose parent or turn is not there stands at the end of its turn, or
//! of the file. Contents are read one span at a time.

use std::collections::{HashMap, HashSet};

use ccd_proto::api::{Span, Tokens, Turn};

use super::blocks::{Bounds, images, prose, terminal, value};
use super::clean::{Clean, CleanValue, Cleaner, View};
use super::figures::{brief, bytes, clock, duration, joined, moment, money, plural, whole};
use super::findings::Findings;
use super::html::{Anchor, Attr, Html};
use super::image::{self, Found};
use super::tool::{self, Call};
use crate::project::view::{SessionView, SpanView};
use crate::query::Ask;
use crate::query::content::Contents;
use crate::query::filter::Filter;

/// Agents within agents that are shown one inside the other.
const DEEP: usize = 12;
/// Lines of a change that stands open.
const SMALL: usize = 4_000;

/// Tells the turns of a session.
pub(super) struct Steps<'a> {
    contents: Contents<'a>,
    cleaner: &'a Cleaner,
    findings: &'a Findings,
    bounds: Bounds,
    view: &'a SessionView,
    children: HashMap<&'a str, Vec<usize>>,
    of_turn: HashMap<&'a str, Vec<usize>>,
    calls: HashSet<&'a str>,
    told: Vec<bool>,
    /// The prompt that is being told of.
    prompt: String,
    /// Whether the main thread said something in this turn.
    has_spoken: bool,
}

impl<'a> Steps<'a> {
    /// Nothing told yet.
    #[must_use]
    pub(super) fn new(
        ask: &'a Ask,
        view: &'a SessionView,
        cleaner: &'a Cleaner,
        findings: &'a Findings,
        bounds: Bounds,
    ) -> Self {
        let mut children: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut of_turn: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, SpanView { span, .. }) in view.spans.iter().enumerate() {
            of_turn.entry(&span.turn_id).or_default().push(i);
            if let Some(parent) = &span.parent_id {
                children.entry(parent).or_default().push(i);
            }
        }
        let calls = view.spans.iter().filter_map(|s| s.span.tool_use_id.as_deref()).collect();
        Steps {
            contents: Contents::new(ask),
            cleaner,
            findings,
            bounds,
            view,
            children,
            of_turn,
            calls,
            told: vec![false; view.spans.len()],
            prompt: String::new(),
            has_spoken: false,
        }
    }

    /// Tells a turn.
    pub(super) fn turn(&mut self, w: &mut Html<'_>, turn: &Turn) {
        let anchor = anchor(turn);
        w.section("section", &[Attr::Is("class", "turn"), Attr::Id(&anchor)], |w| {
            w.el("h3", &[], |w| {
                w.el("a", &[Attr::To(&anchor)], |w| w.say(&format!("Turn {}", turn.number)));
                status(w, self.cleaner, &turn.status);
            });
            w.says(
                "p",
                "meta",
                &joined(&[
                    moment(&turn.started_at),
                    turn.duration_ms.map(duration).unwrap_or_default(),
                    plural(turn.exchanges, "model call"),
                    plural(turn.tool_calls, "tool call"),
                    format!("{} tokens", whole(turn.tokens.total())),
                    money(turn.cost_usd_micros),
                ]),
            );
            turn.prompt.as_deref().unwrap_or_default().trim().clone_into(&mut self.prompt);
            self.has_spoken = false;
            let prompt = self.cleaner.text(turn.prompt.as_deref().unwrap_or_default());
            let from = if turn.source == "user" { "Prompt" } else { "Notice of the machine" };
            w.el("div", &[Attr::Is("class", "prompt")], |w| {
                w.says("p", "label", from);
                if prompt.as_str().trim().is_empty() {
                    w.says("p", "faint", "It is not on record.");
                } else {
                    prose(w, &prompt, self.bounds);
                }
            });
            w.el("div", &[Attr::Is("class", "steps")], |w| {
                let own = self.of_turn.get(turn.turn_id.as_str()).cloned().unwrap_or_default();
                let roots = own.iter().copied().filter(|i| self.is_root(*i)).collect::<Vec<_>>();
                for root in roots {
                    self.told[root] = true;
                    self.findings.at_span(w, self.cleaner, &self.view.spans[root].span.span_id);
                    self.below(w, &self.view.spans[root].span.span_id, 0);
                }
                // What hangs on nothing that is there.
                for i in own {
                    self.span(w, i, 0);
                }
            });
            if let Some(error) = &turn.error {
                terminal(w, &self.cleaner.text(error), "bad", self.bounds);
            }
            if let Some(result) = turn.result.as_ref().filter(|_| !self.has_spoken) {
                w.el("div", &[Attr::Is("class", "step llm")], |w| {
                    prose(w, &self.cleaner.text(result), self.bounds);
                });
            }
            self.findings.at_turn(w, self.cleaner, &turn.turn_id);
        });
    }

    /// Tells what belongs to no turn.
    pub(super) fn rest(&mut self, w: &mut Html<'_>) {
        let rest: Vec<usize> = (0..self.told.len()).filter(|i| !self.told[*i]).collect();
        if rest.is_empty() {
            return;
        }
        w.section("section", &[Attr::Is("class", "turn")], |w| {
            w.says("h3", "", "Outside of turns");
            w.el("div", &[Attr::Is("class", "steps")], |w| rest.into_iter().for_each(|i| self.span(w, i, 0)));
        });
    }

    fn is_root(&self, i: usize) -> bool {
        let span = &self.view.spans[i].span;
        span.kind == "agent" && span.parent_id.is_none()
    }

    fn below(&mut self, w: &mut Html<'_>, parent: &str, depth: usize) {
        for i in self.children.get(parent).cloned().unwrap_or_default() {
            self.span(w, i, depth);
        }
    }

    fn span(&mut self, w: &mut Html<'_>, i: usize, depth: usize) {
        if !w.is_read() || std::mem::replace(&mut self.told[i], true) {
            return;
        }
        let view = &self.view.spans[i];
        match view.span.kind.as_str() {
            "llm" => self.model_call(w, view),
            "tool" => self.tool_call(w, view),
            _ => return self.agent(w, view, depth),
        }
        self.findings.at_span(w, self.cleaner, &view.span.span_id);
        self.below(w, &view.span.span_id, depth);
    }

    fn agent(&mut self, w: &mut Html<'_>, view: &SpanView, depth: usize) {
        let span = &view.span;
        let anchor = Anchor::new("s", &span.span_id);
        let cleaner = self.cleaner;
        let head = |w: &mut Html<'_>| {
            let name = span.agent_type.as_deref().unwrap_or("agent");
            w.with("b", "kind", &cleaner.text(name));
            if let Some(summary) = &span.summary {
                w.with("span", "what", &cleaner.line(summary, 160));
            }
            status(w, cleaner, &span.status);
            w.says(
                "span",
                "right",
                &joined(&[
                    span.tokens.map(|t| format!("{} tokens", brief(t.total()))).unwrap_or_default(),
                    span.cost_usd_micros.map(|c| money(Some(c))).unwrap_or_default(),
                    span.duration_ms.map(duration).unwrap_or_default(),
                ]),
            );
        };
        if depth >= DEEP {
            // What is below is told where all is told that hangs on nothing: a chain may be of any length.
            return w.el("p", &[Attr::Is("class", "step agent"), Attr::Id(&anchor)], head);
        }
        w.section("details", &[Attr::Is("class", "step agent"), Attr::Id(&anchor)], |w| {
            w.el("summary", &[], head);
            w.el("div", &[Attr::Is("class", "steps")], |w| {
                self.findings.at_span(w, self.cleaner, &span.span_id);
                self.below(w, &span.span_id, depth + 1);
            });
        });
    }

    fn model_call(&mut self, w: &mut Html<'_>, view: &SpanView) {
        let (full, input, output, pictures) = self.filled(view);
        let anchor = Anchor::new("s", &full.span_id);
        let is_compaction = full.purpose.as_deref() == Some("compaction");
        let class = if is_compaction { "llm compaction" } else { "llm" };
        w.section("div", &[Attr::Class("step", class), Attr::Id(&anchor)], |w| {
            if is_compaction {
                w.says("p", "label", "The context was summarised");
            }
            w.el("p", &[Attr::Is("class", "meta")], |w| {
                let of = full
                    .purpose
                    .as_deref()
                    .filter(|p| !matches!(*p, "main" | "subagent"))
                    .unwrap_or_default();
                w.with("span", "kind", &self.cleaner.text(full.model.as_deref().unwrap_or("model")));
                w.say(" ");
                w.text(&self.cleaner.text(&joined(&[of.to_owned(), facts(&full)])));
                status(w, self.cleaner, &full.status);
            });
            self.sent_along(w, input.as_ref());
            let blocks = output.as_ref().map(CleanValue::view);
            let is_list = blocks.is_some_and(View::is_list);
            let mut omitted = 0;
            match blocks {
                Some(blocks) if is_list => {
                    blocks.items().for_each(|block| self.block(w, &full, block, &mut omitted));
                }
                Some(text) if !text.is_empty() => prose(w, &text.readable(), self.bounds),
                _ => {
                    if let Some(text) = full.reasoning.as_ref().and_then(|r| r.text.as_deref()) {
                        thinking(w, &self.cleaner.text(text), self.bounds);
                    }
                }
            }
            let told = full.reasoning.as_ref().map_or(0, |r| r.omitted).max(omitted);
            if told > 0 {
                let tokens = view.output.as_ref().and_then(|at| self.contents.thinking_tokens(at));
                let tokens = tokens.map(|n| format!(", {}", plural(n, "token"))).unwrap_or_default();
                w.says("p", "omitted", &format!("Thinking omitted by the API{tokens}"));
            }
            images(w, &pictures);
            if let Some(error) = &full.error {
                terminal(w, &self.cleaner.text(error), "bad", self.bounds);
            }
            if let Some(whose) = &full.copied_from {
                let words = format!("Copied from session {whose}, which was charged for it.");
                w.with("p", "faint", &self.cleaner.text(&words));
            }
        });
    }

    /// A piece of an answer.
    fn block(&mut self, w: &mut Html<'_>, span: &Span, block: View<'_>, omitted: &mut u64) {
        match (block.text("text"), block.text("thinking")) {
            (Some(text), _) if block.is("type", "text") => {
                self.has_spoken |= span.agent_id.is_none() && !text.as_str().trim().is_empty();
                prose(w, &text, self.bounds);
            }
            (_, Some(text)) if block.is("type", "thinking") => {
                if text.as_str().trim().is_empty() {
                    *omitted += 1;
                } else {
                    thinking(w, &text, self.bounds);
                }
            }
            _ if block.is("type", "redacted_thinking") => *omitted += 1,
            // Told as a call of its own.
            _ if block.text("id").is_some_and(|id| self.calls.contains(id.as_str())) => {}
            _ => value(w, block, self.bounds),
        }
    }

    /// What was sent beside the prompt and the results of tools: reminders, attachments.
    fn sent_along(&self, w: &mut Html<'_>, input: Option<&CleanValue>) {
        let mut texts: Vec<Clean<'_>> = Vec::new();
        let prompt = self.cleaner.text(&self.prompt);
        for message in input.into_iter().flat_map(|input| input.view().items()) {
            let Some(content) = message.get("content") else { continue };
            texts.extend(content.str());
            texts.extend(content.items().filter(|b| b.is("type", "text")).filter_map(|b| b.text("text")));
        }
        texts.retain(|text| !text.as_str().trim().is_empty() && text.as_str().trim() != prompt.as_str());
        if texts.is_empty() {
            return;
        }
        let size: usize = texts.iter().map(|text| text.as_str().len()).sum();
        w.el("details", &[Attr::Is("class", "along")], |w| {
            let words = format!("Sent along: {}, {}", plural(texts.len() as u64, "text"), bytes(size as u64));
            w.el("summary", &[], |w| w.say(&words));
            for text in &texts {
                terminal(w, text, "", self.bounds);
            }
        });
    }

    fn tool_call(&mut self, w: &mut Html<'_>, view: &SpanView) {
        let (full, input, output, pictures) = self.filled(view);
        let anchor = Anchor::new("s", &full.span_id);
        let failed = matches!(full.status.as_str(), "error" | "denied");
        let name = full.tool_name.as_deref().unwrap_or("tool");
        let input = input.as_ref().map(CleanValue::view);
        let is_small = || input.is_some_and(|input| input.readable().as_str().len() < SMALL);
        let is_open = failed
            || !pictures.is_empty()
            || self.findings.has(&full.span_id)
            || tool::is_edit(name) && is_small();
        let [class, id] = [Attr::Class("step tool", if failed { "failed" } else { "" }), Attr::Id(&anchor)];
        let open = if is_open { Attr::Has("open") } else { Attr::Is("class", "") };
        w.section("details", &[class, id, open], |w| {
            w.el("summary", &[], |w| {
                w.with("b", "kind", &self.cleaner.text(name));
                if let Some(summary) = &full.summary {
                    w.with("span", "what", &self.cleaner.line(summary, 160));
                }
                status(w, self.cleaner, &full.status);
                w.says(
                    "span",
                    "right",
                    &joined(&[
                        full.execution_ms.or(full.duration_ms).map(duration).unwrap_or_default(),
                        clock(&full.started_at),
                    ]),
                );
            });
            w.el("div", &[Attr::Is("class", "inside")], |w| {
                let error = full.error.as_ref().map(|error| self.cleaner.text(error));
                let output = output.as_ref().map(CleanValue::view);
                let call =
                    Call { tool: name, input, output, images: &pictures, error: error.as_ref(), failed };
                tool::show(w, &call, self.bounds);
            });
        });
    }

    /// The span with its content, fit to be shown, and the images that were in it.
    fn filled(&mut self, view: &SpanView) -> (Span, Option<CleanValue>, Option<CleanValue>, Vec<Found>) {
        let filter = Filter { content: true, reasoning: true, ..Filter::default() };
        let mut span = self.contents.fill(view.clone(), &filter);
        let mut pictures = Vec::new();
        // What a model is sent was shown where it came from.
        let is_model = span.kind == "llm";
        let mut cleaned = |value: Option<serde_json::Value>, is_shown: bool| {
            value.map(|mut value| {
                let found = image::take(&mut value, self.bounds.whole);
                pictures.extend(found.into_iter().filter(|_| is_shown));
                self.cleaner.value(value)
            })
        };
        let input = cleaned(span.input.take(), !is_model);
        let output = cleaned(span.output.take(), true);
        (span, input, output, pictures)
    }
}

/// Where a turn stands.
#[must_use]
pub(super) fn anchor(turn: &Turn) -> Anchor {
    Anchor::new("t", &turn.number.to_string())
}

fn thinking(w: &mut Html<'_>, text: &Clean<'_>, bounds: Bounds) {
    w.el("details", &[Attr::Is("class", "thinking")], |w| {
        w.el("summary", &[], |w| {
            w.says("span", "label", "Thinking");
            w.with("span", "what", &text.line(140));
        });
        prose(w, text, bounds);
    });
}

/// A model call's figures.
fn facts(span: &Span) -> String {
    let first = span.ttfb_ms.map(|ms| format!("first byte {}", duration(ms)));
    let tokens = |t: Tokens| {
        format!(
            "{} in, {} cached, {} out",
            brief(t.prompt() - t.cache_read),
            brief(t.cache_read),
            brief(t.output)
        )
    };
    let stop = span.stop_reason.as_deref().filter(|stop| !matches!(*stop, "end_turn" | "tool_use"));
    let again = span.retry_of.as_ref().map(|_| "made again".to_owned());
    joined(&[
        clock(&span.started_at),
        span.duration_ms.map(duration).unwrap_or_default(),
        first.unwrap_or_default(),
        span.tokens.map(tokens).unwrap_or_default(),
        span.cost_usd_micros.map(|c| money(Some(c))).unwrap_or_default(),
        stop.unwrap_or_default().to_owned(),
        again.unwrap_or_default(),
    ])
}

/// How it went, where it did not go well.
fn status(w: &mut Html<'_>, cleaner: &Cleaner, status: &str) {
    let class = match status {
        "ok" => return,
        "error" => "error",
        "denied" | "interrupted" => "denied",
        _ => "running",
    };
    w.el("span", &[Attr::Class("chip", class)], |w| w.text(&cleaner.text(status)));
}
