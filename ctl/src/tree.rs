//! Spans as a tree under each turn: an agent's calls below it, a subagent below the call that started it.
//!
//! Pure: spans in, lines out. A span whose parent is not among the given ones stands at the top, so that a
//! filtered or cut list is shown whole. Captured text is made visible here.

use std::collections::{BTreeMap, BTreeSet};

use ccd_proto::api::{Reasoning, Span, display_usd};
use serde_json::Value;

use crate::env::Env;
use crate::human::{count, duration_ms, short_id};
use crate::printer::{Printer, Tone, visible, visible_block};
use crate::sessions::model;
use crate::table::captured;
use crate::time;
use crate::turns::mark;

/// What is shown below a span's line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// What went in and came out.
    pub content: bool,
    /// The thinking.
    pub reasoning: bool,
}

/// The spans as lines, turn by turn, in order of their start.
#[must_use]
pub fn render(env: &Env, out: &Printer, spans: &[Span], detail: Detail) -> Vec<String> {
    let ids: BTreeSet<&str> = spans.iter().map(|s| s.span_id.as_str()).collect();
    let mut children: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    let mut turns: Vec<(&str, Vec<&Span>)> = Vec::new();
    for span in spans {
        match span.parent_id.as_deref().filter(|p| ids.contains(p) && *p != span.span_id) {
            Some(parent) => children.entry(parent).or_default().push(span),
            None => match turns.iter_mut().find(|(trace, _)| *trace == span.trace_id) {
                Some((_, roots)) => roots.push(span),
                None => turns.push((&span.trace_id, vec![span])),
            },
        }
    }
    let tree = Tree { out, children, detail };
    let mut lines = Vec::new();
    for (_, roots) in turns {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let first = roots[0];
        lines.push(out.paint(Tone::Strong, &heading(env, first)));
        let mut shown = BTreeSet::new();
        for root in roots {
            tree.add(root, 0, &mut shown, &mut lines);
        }
    }
    lines
}

fn heading(env: &Env, span: &Span) -> String {
    format!(
        "session {} · turn {} · {}",
        captured(short_id(&span.session_id)),
        captured(&span.turn_id),
        time::short(&span.started_at, env.now, &env.tz)
    )
}

struct Tree<'a> {
    out: &'a Printer,
    children: BTreeMap<&'a str, Vec<&'a Span>>,
    detail: Detail,
}

impl<'a> Tree<'a> {
    fn add(&self, span: &'a Span, depth: usize, shown: &mut BTreeSet<&'a str>, lines: &mut Vec<String>) {
        // A span is shown once, even if its parents ran in a circle.
        if !shown.insert(&span.span_id) {
            return;
        }
        lines.push(line(self.out, span, depth, None));
        lines.extend(below(self.out, span, depth, self.detail));
        for child in self.children.get(span.span_id.as_str()).into_iter().flatten() {
            self.add(child, depth + 1, shown, lines);
        }
    }
}

/// One span on one line that fits the terminal; `clock` is said before what is known of it.
#[must_use]
pub fn line(out: &Printer, span: &Span, depth: usize, clock: Option<String>) -> String {
    let (sign, tone) = mark(&span.status);
    let name = captured(&label(span));
    let mut facts: Vec<String> = clock.into_iter().chain(span.duration_ms.map(duration_ms)).collect();
    if let (Some(tokens), "llm") = (span.tokens, span.kind.as_str()) {
        facts.push(format!("{}→{}", count(tokens.prompt()), count(tokens.output)));
    }
    facts.extend(span.cost_usd_micros.map(display_usd));
    facts.extend(span.reasoning.as_ref().and_then(omitted));
    // What it showed to go wrong: `show` takes the id.
    facts.extend(span.detections.iter().map(|id| format!("! {}", captured(short_id(id)))));
    let facts = facts.join("  ");
    let text = match (&span.error, &span.summary) {
        (Some(error), _) => (captured(error), Tone::Bad),
        (None, Some(summary)) => (captured(summary), Tone::Plain),
        (None, None) => (String::new(), Tone::Plain),
    };
    let indent = "  ".repeat(depth.min(20) + 1);
    let gap = if facts.is_empty() { "" } else { "  " };
    let taken = indent.len() + 2 + name.chars().count() + gap.len() + facts.chars().count() + 2;
    let room = out.width().saturating_sub(taken);
    let text = if room < 8 { String::new() } else { out.paint(text.1, &cut(&text.0, room)) };
    let line =
        format!("{indent}{} {name}{gap}{}  {text}", out.paint(tone, sign), out.paint(Tone::Faint, &facts));
    line.trim_end().to_owned()
}

/// What a span is called: a tool by its name, a model call by its model and purpose.
fn label(span: &Span) -> String {
    match span.kind.as_str() {
        "tool" => span.tool_name.clone().unwrap_or_else(|| span.name.clone()),
        "llm" => {
            let model = model(span.model.as_deref());
            match span.purpose.as_deref() {
                None | Some("main" | "subagent") => format!("llm {model}"),
                Some(purpose) => format!("llm {model} ({purpose})"),
            }
        }
        "agent" => format!("agent {}", span.agent_type.as_deref().unwrap_or("main")),
        _ => span.name.clone(),
    }
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room - 1).chain(['…']).collect()
}

/// What is said where the API sent thinking without its text.
#[must_use]
pub fn omitted(reasoning: &Reasoning) -> Option<String> {
    (reasoning.omitted > 0).then(|| "thinking omitted by the API".to_owned())
}

/// What a span's line is followed by.
#[must_use]
pub fn below(out: &Printer, span: &Span, depth: usize, detail: Detail) -> Vec<String> {
    let mut lines = Vec::new();
    let indent = "  ".repeat(depth.min(20) + 2);
    let mut block = |title: &str, text: &str| {
        for (at, line) in text.lines().enumerate() {
            let title = if at == 0 { title } else { "" };
            lines.push(format!("{indent}{} {line}", out.paint(Tone::Faint, &format!("{title:8} │"))));
        }
    };
    if detail.reasoning
        && let Some(text) = span.reasoning.as_ref().and_then(|r| r.text.as_deref())
    {
        block("thinking", &visible_block(text));
    }
    if detail.content {
        for (title, value) in [("in", &span.input), ("out", &span.output)] {
            if let Some(value) = value {
                block(title, &readable(value));
            }
        }
    }
    lines
}

/// A captured value for people: text as it is, the rest as indented JSON, and content blocks by their text.
#[must_use]
pub fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => visible_block(text),
        Value::Array(blocks) if blocks.iter().all(is_block) => {
            blocks.iter().map(block_text).collect::<Vec<_>>().join("\n")
        }
        other => visible_block(&serde_json::to_string_pretty(other).unwrap_or_default()),
    }
}

fn is_block(value: &Value) -> bool {
    value.get("type").is_some_and(Value::is_string)
}

/// A content block of the API.
fn block_text(block: &Value) -> String {
    let field = |name: &str| block.get(name).and_then(Value::as_str);
    match field("type") {
        Some("text") => visible_block(field("text").unwrap_or_default()),
        Some("thinking") if field("thinking") == Some("") => "(thinking omitted by the API)".to_owned(),
        Some("thinking") => format!("(thinking) {}", visible_block(field("thinking").unwrap_or_default())),
        Some("redacted_thinking") => "(thinking, encrypted by the API)".to_owned(),
        Some("tool_use" | "server_tool_use") => format!(
            "→ {} {}",
            visible(field("name").unwrap_or("?")),
            visible(&block.get("input").map(Value::to_string).unwrap_or_default())
        ),
        _ => visible_block(&serde_json::to_string_pretty(block).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;
    use ccd_proto::api::Tokens;
    use serde_json::json;

    fn span(id: &str, parent: Option<&str>, kind: &str) -> Span {
        Span {
            span_id: id.into(),
            parent_id: parent.map(Into::into),
            trace_id: "t1".into(),
            session_id: "5f0c6c2e-8d1f-4a93-a1f2-000000000001".into(),
            turn_id: "c0ffee00-0000-4000-8000-000000000001".into(),
            kind: kind.into(),
            status: "ok".into(),
            started_at: "2026-11-20T20:15:09Z".into(),
            duration_ms: Some(1234),
            ..Span::default()
        }
    }

    fn sample() -> Vec<Span> {
        let tokens = Some(Tokens { input: 12_345, output: 678, ..Tokens::default() });
        vec![
            Span { summary: Some("fix the \u{1b}[31mbug".into()), ..span("a", None, "agent") },
            Span {
                model: Some("claude-opus-4-6".into()),
                tokens,
                cost_usd_micros: Some(12_300),
                reasoning: Some(Reasoning { blocks: 1, omitted: 1, text: None }),
                output: Some(
                    json!([{"type":"text","text":"I will\nlook"},{"type":"tool_use","name":"Bash","input":{"command":"ls"}}]),
                ),
                ..span("b", Some("a"), "llm")
            },
            Span {
                tool_name: Some("Bash".into()),
                status: "error".into(),
                error: Some("Exit code 3".into()),
                input: Some(json!({"command": "ls"})),
                ..span("c", Some("a"), "tool")
            },
            Span {
                tool_name: Some("Agent".into()),
                status: "running".into(),
                duration_ms: None,
                ..span("d", Some("a"), "tool")
            },
            Span { agent_type: Some("Explore".into()), ..span("e", Some("d"), "agent") },
            Span {
                trace_id: "t2".into(),
                tool_name: Some("Orphan".into()),
                ..span("f", Some("gone"), "tool")
            },
        ]
    }

    #[test]
    fn spans_stand_below_what_made_them() {
        let (out, _, _) = Printer::captured(100);
        let lines = render(&Home::new().env(), &out, &sample(), Detail::default());
        insta::assert_snapshot!(lines.join("\n"), @r"
        session 5f0c6c2e · turn c0ffee00-0000-4000-8000-000000000001 · 20:15:09
          ✓ agent main  1.2s  fix the \u{1b}[31mbug
            ✓ llm opus-4-6  1.2s  12.3k→678  $0.0123  thinking omitted by the API
            ✗ Bash  1.2s  Exit code 3
            … Agent
              ✓ agent Explore  1.2s

        session 5f0c6c2e · turn c0ffee00-0000-4000-8000-000000000001 · 20:15:09
          ✓ Orphan  1.2s
        ");
        assert!(lines.iter().all(|l| l.chars().count() <= 100));
    }

    #[test]
    fn content_and_reasoning_are_blocks_below() {
        let (out, _, _) = Printer::captured(80);
        let mut spans = sample();
        spans[1].reasoning = Some(Reasoning { blocks: 1, omitted: 0, text: Some("hm\nso".into()) });
        let lines = render(&Home::new().env(), &out, &spans[1..3], Detail { content: true, reasoning: true });
        insta::assert_snapshot!(lines.join("\n"), @r#"
        session 5f0c6c2e · turn c0ffee00-0000-4000-8000-000000000001 · 20:15:09
          ✓ llm opus-4-6  1.2s  12.3k→678  $0.0123
            thinking │ hm
                     │ so
            out      │ I will
                     │ look
                     │ → Bash {"command":"ls"}
          ✗ Bash  1.2s  Exit code 3
            in       │ {
                     │   "command": "ls"
                     │ }
        "#);
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let (out, _, _) = Printer::captured(80);
        let spans =
            [span("a", Some("b"), "tool"), span("b", Some("a"), "tool"), span("c", Some("c"), "tool")];
        let lines = render(&Home::new().env(), &out, &spans, Detail::default());
        assert!(!lines.is_empty());
    }
}
