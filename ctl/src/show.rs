//! `ccctl show ID`: one session, turn, span, exchange or detection in full; the daemon finds out which it is.

use ccd_proto::api::{DetectionRef, Session, Shown, Span, Turn};

use crate::args::ShowArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{count, duration_ms, plural, short_id};
use crate::printer::{Printer, Tone, visible, visible_block};
use crate::query::Target;
use crate::tree::{self, Detail};
use crate::{detections, exchange, records, sessions, time, turns};

/// Detections that are named with what they are about.
const MOST_FOUND: usize = 8;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ShowArgs) -> Result<()> {
    if args.records {
        if args.reveal.reveal {
            return Err(CommandError::usage(
                "records are shown as they are on disk: without what was taken out",
            ));
        }
        return records::run(env, out, args);
    }
    let target = Target::about("/v0/show", &args.id)
        .flag("content", true)
        .flag("reasoning", args.reasoning || args.json);
    let client = Client::new(env)?;
    let body = if args.reveal.reveal {
        client.command(out, target.with("reason", args.reveal.reason.as_deref()).as_ref())?
    } else {
        client.get(out, target.as_ref())?
    };
    if args.json {
        return out.object(&body);
    }
    let shown: Shown = decode(&body)?;
    if let Some(session) = &shown.session {
        print(out, &about_session(env, out, session, &shown.detections))?;
        if !shown.turns.is_empty() {
            out.line("")?;
            turns::table(env, &shown.turns).print(out)?;
        }
        return Ok(());
    }
    if let Some(turn) = &shown.turn {
        print(out, &about_turn(env, out, turn))?;
        if !shown.spans.is_empty() {
            out.line("")?;
            let detail = Detail { content: false, reasoning: args.reasoning };
            print(out, &tree::render(env, out, &shown.spans, detail))?;
        }
        return Ok(());
    }
    if let Some(span) = &shown.span {
        return print(out, &about_span(env, out, span, &shown.detections));
    }
    if let Some(detail) = &shown.exchange {
        return print(out, &exchange::summary(env, out, detail));
    }
    if let Some(detection) = &shown.detection {
        return print(out, &detections::in_full(env, out, detection));
    }
    Err(CommandError::failed(format!("a `{}` cannot be shown by this ccctl", visible(&shown.kind)))
        .hint("--json shows it as it came"))
}

fn print(out: &mut Printer, lines: &[String]) -> Result<()> {
    lines.iter().try_for_each(|line| out.line(line))
}

/// Named facts, one per line; empty ones are left out.
struct Facts<'a> {
    out: &'a Printer,
    lines: Vec<String>,
}

impl<'a> Facts<'a> {
    fn new(out: &'a Printer) -> Self {
        Facts { out, lines: Vec::new() }
    }

    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let value = visible(value.as_ref());
        if !value.is_empty() {
            self.lines.push(format!("{} {value}", self.out.paint(Tone::Faint, &format!("{name:12}"))));
        }
    }

    /// What was found to go wrong.
    fn found(&mut self, found: &[DetectionRef]) {
        for (at, d) in found.iter().take(MOST_FOUND).enumerate() {
            let text =
                format!("{} {}/{}, severity {}", short_id(&d.detection_id), d.kind, d.rule, d.severity);
            self.add(if at == 0 { "found" } else { "" }, text);
        }
        if let Some(more) = found.len().checked_sub(MOST_FOUND).filter(|more| *more > 0) {
            self.add("", format!("… and {more} more: `ccctl detections` shows them"));
        }
    }

    fn block(&mut self, title: &str, text: &str) {
        if !text.trim().is_empty() {
            self.lines.extend([String::new(), self.out.paint(Tone::Strong, title)]);
            self.lines.extend(text.lines().map(ToOwned::to_owned));
        }
    }
}

fn about_session(env: &Env, out: &Printer, s: &Session, found: &[DetectionRef]) -> Vec<String> {
    let at = |text: &str| time::short(text, env.now, &env.tz);
    let mut facts = Facts::new(out);
    facts.add("session", &s.session_id);
    facts.add("directory", s.cwd.as_deref().unwrap_or_default());
    facts.add("client", s.client.as_deref().unwrap_or_default());
    facts.add("models", s.models.join(", "));
    let end = if s.ended { "ended" } else { "last seen" };
    facts.add("time", format!("{}, {end} {}", at(&s.started_at), at(&s.last_at)));
    let calls = plural(s.tool_calls, "tool call");
    let agents = plural(s.agents, "subagent");
    facts.add("work", format!("{}, {calls} ({} failed), {agents}", plural(s.turns, "turn"), s.tool_errors));
    let t = s.tokens;
    let written = count(t.cache_write_5m + t.cache_write_1h);
    facts.add(
        "tokens",
        format!(
            "{} in, {} from cache, {written} to cache, {} out",
            count(t.input),
            count(t.cache_read),
            count(t.output)
        ),
    );
    facts.add("cost", sessions::cost(&s.cost, &s.unpriced_models));
    if !s.unpriced_models.is_empty() {
        facts.add("unpriced", s.unpriced_models.join(", "));
    }
    if let (Some(window), Some(percent)) = (s.context.window, s.context.percent) {
        facts.add("context", format!("{} of {} ({percent}%)", count(s.context.used), count(window)));
    }
    facts.found(found);
    facts.lines
}

fn about_turn(env: &Env, out: &Printer, t: &Turn) -> Vec<String> {
    let mut facts = Facts::new(out);
    facts.add("turn", &t.turn_id);
    facts.add("session", format!("{} (turn {})", t.session_id, t.number));
    facts.add("started", time::short(&t.started_at, env.now, &env.tz));
    facts.add("took", t.duration_ms.map(duration_ms).unwrap_or_default());
    facts.add("status", &t.status);
    facts.add("error", t.error.as_deref().unwrap_or_default());
    facts.add("cost", &t.cost);
    facts.found(&t.detections);
    facts.block("prompt", &visible_block(t.prompt.as_deref().unwrap_or_default()));
    facts.block("result", &visible_block(t.result.as_deref().unwrap_or_default()));
    facts.lines
}

fn about_span(env: &Env, out: &Printer, s: &Span, found: &[DetectionRef]) -> Vec<String> {
    let mut facts = Facts::new(out);
    facts.add("span", &s.span_id);
    facts.add("name", &s.name);
    facts.add("parent", s.parent_id.as_deref().unwrap_or_default());
    facts.add("turn", &s.turn_id);
    facts.add("session", &s.session_id);
    facts.add("agent", s.agent_type.as_deref().unwrap_or_default());
    facts.add("started", time::short(&s.started_at, env.now, &env.tz));
    facts.add("took", s.duration_ms.map(duration_ms).unwrap_or_default());
    facts.add("status", &s.status);
    facts.add("error", s.error.as_deref().unwrap_or_default());
    facts.add("tool use", s.tool_use_id.as_deref().unwrap_or_default());
    facts.add("exchange", s.exchange_id.as_deref().unwrap_or_default());
    facts.add("seen by", s.sources.join(", "));
    facts.found(found);
    if let Some(reasoning) = &s.reasoning {
        facts.add("thinking", tree::omitted(reasoning).unwrap_or_default());
        facts.block("thinking", &visible_block(reasoning.text.as_deref().unwrap_or_default()));
    }
    facts.block("in", &s.input.as_ref().map(tree::readable).unwrap_or_default());
    facts.block("out", &s.output.as_ref().map(tree::readable).unwrap_or_default());
    facts.lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};
    use serde_json::json;

    fn shown(body: &serde_json::Value) -> String {
        let home = Home::new();
        let body = body.to_string();
        let _daemon = home.daemon(move |_| Reply::json(body.clone()));
        let (mut out, text, _) = Printer::captured(100);
        run(&home.env(), &mut out, &ShowArgs { id: "x".into(), ..ShowArgs::default() }).unwrap();
        text.text()
    }

    #[test]
    fn a_turn_in_full() {
        let text = shown(&json!({"schema_version":1,"kind":"turn","turn":{
            "turn_id":"c0ffee","session_id":"s","number":2,"prompt":"line one\nline \u{1b}two","status":"ok",
            "started_at":"2026-11-20T20:15:09Z","duration_ms":1500,"cost":"$0.01","result":"done"}}));
        insta::assert_snapshot!(text, @r"
        turn         c0ffee
        session      s (turn 2)
        started      20:15:09
        took         1.5s
        status       ok
        cost         $0.01

        prompt
        line one
        line \u{1b}two

        result
        done
        ");
    }

    #[test]
    fn what_went_wrong_is_named_and_a_detection_is_shown() {
        let found = |n: usize| -> Vec<_> {
            (0..n)
                .map(|n| json!({"detection_id":format!("{n:032}"),"kind":"loop","rule":"repeat\u{1b}","severity":70}))
                .collect()
        };
        let text = shown(&json!({"kind":"session","session":{"session_id":"s"},"detections":found(10)}));
        assert!(text.contains("found        00000000 loop/repeat\\u{1b}, severity 70\n"), "{text}");
        assert!(text.ends_with("… and 2 more: `ccctl detections` shows them\n"), "{text}");
        let text = shown(&json!({"kind":"turn","turn":{"turn_id":"t","detections":found(1)}}));
        assert!(text.contains("found        00000000 loop/repeat"), "{text}");
        let text = shown(&json!({"kind":"span","span":{"span_id":"ab"},"detections":found(1)}));
        assert!(text.contains("found        00000000 loop/repeat"), "{text}");
        let text =
            shown(&json!({"kind":"detection","detection":{"detection_id":"ab","kind":"loop","rule":"repeat",
            "title":"The same call"}}));
        assert!(text.starts_with("detection    ab\n") && text.contains("    The same call\n"), "{text}");
    }

    #[test]
    fn a_span_in_full() {
        let text = shown(&json!({"schema_version":1,"kind":"span","span":{
            "span_id":"ab","name":"execute_tool Bash","kind":"tool","status":"ok","started_at":"2026-11-20T20:15:09Z",
            "input":{"command":"ls"},"output":"a\tb\n","sources":["hook","proxy"]}}));
        insta::assert_snapshot!(text, @r#"
        span         ab
        name         execute_tool Bash
        started      20:15:09
        status       ok
        seen by      hook, proxy

        in
        {
          "command": "ls"
        }

        out
        a    b
        "#);
    }
}
