//! The report for people: what went wrong first, then the rest, what it cost, and what would have helped.
//!
//! What was captured is made visible, cut to the terminal's width and never the whole of a line's meaning: our own words
//! stand before it.

use ccd_proto::api::{Detection, Intervention, Report, display_usd};

use super::lay::{fit, wrap};
use crate::env::Env;
use crate::human::{exact, plural, short_id};
use crate::printer::{Printer, Tone, visible_block};
use crate::sessions::model;
use crate::table::captured;
use crate::time;

/// The report in lines.
#[must_use]
pub(super) fn lines(env: &Env, out: &Printer, report: &Report) -> Vec<String> {
    let mut lines = vec![out.paint(Tone::Strong, &fit(&about(env, report), out.width()))];
    lines.extend(wrap("", &counted(report), out.width()));
    let page = Page { env, out };
    let first = report.first.and_then(|at| report.detections.get(at));
    if let Some(detection) = first {
        lines.extend([String::new(), out.paint(Tone::Strong, "What went wrong first"), String::new()]);
        lines.extend(page.detection(detection));
    }
    let rest: Vec<&Detection> = report
        .detections
        .iter()
        .enumerate()
        .filter(|(at, _)| Some(*at) != report.first)
        .map(|(_, d)| d)
        .collect();
    if !rest.is_empty() {
        let title = if first.is_some() { "What else" } else { "What was found" };
        lines.extend([String::new(), out.paint(Tone::Strong, title)]);
    }
    for detection in rest {
        lines.push(String::new());
        lines.extend(page.detection(detection));
    }
    if let Some(cost) = cost(report) {
        lines.extend([String::new(), out.paint(Tone::Strong, "What it cost")]);
        lines.extend(wrap("  ", &cost, out.width()));
    }
    if !report.guardrail.trim().is_empty() {
        let hint = "to paste into CLAUDE.md; `ccctl analyze --guardrail` prints only this";
        lines.extend([String::new(), out.paint(Tone::Strong, "What would help")]);
        lines.extend(wrap("  ", hint, out.width()).iter().map(|line| out.paint(Tone::Faint, line)));
        lines.push(String::new());
        lines.extend(
            visible_block(report.guardrail.trim_end()).lines().flat_map(|line| guardrail(line, out.width())),
        );
    }
    if !report.not_checked.is_empty() {
        lines.extend([String::new(), out.paint(Tone::Strong, "What was not checked")]);
        lines.extend(report.not_checked.iter().flat_map(|what| wrap("  - ", &captured(what), out.width())));
    }
    if report.detections.iter().any(|d| d.evidence.iter().any(|e| e.span_id.is_some())) {
        lines.extend([String::new(), out.paint(Tone::Faint, "`ccctl show ID` shows what is behind an id")]);
    }
    lines
}

fn guardrail(line: &str, width: usize) -> Vec<String> {
    match line.strip_prefix("- ") {
        Some(text) => wrap("  - ", text, width),
        None => wrap("  ", line, width),
    }
}

/// The session in one line.
fn about(env: &Env, report: &Report) -> String {
    let s = &report.session;
    let at = |text: &str| time::short(text, env.now, &env.tz);
    let mut facts = vec![format!("session {}", captured(short_id(&s.session_id)))];
    facts.extend(s.project.as_deref().map(captured));
    facts.extend(s.model.as_deref().map(|name| model(Some(name))));
    facts.push(format!("{} to {}", at(&s.started_at), at(&s.last_at)));
    facts.push(format!("{}, {}", plural(s.turns, "turn"), plural(s.tool_calls, "tool call")));
    facts.retain(|fact| !fact.is_empty());
    facts.join(" · ")
}

/// How much was found in how much.
fn counted(report: &Report) -> String {
    let events =
        if report.events == 1 { "1 event".to_owned() } else { format!("{} events", exact(report.events)) };
    if report.detections.is_empty() {
        return format!(
            "Nothing was found in {events}. Looked for: {}.",
            ccd_detect::Kind::ALL.map(ccd_detect::Kind::as_str).join(", ")
        );
    }
    let dismissed = report.detections.iter().filter(|d| d.state == "dismissed").count() as u64;
    let but = if dismissed > 0 { format!(", {dismissed} of them dismissed") } else { String::new() };
    format!("{} in {events}{but}", plural(report.detections.len() as u64, "finding"))
}

/// What it cost, as far as it is known.
pub(super) fn cost(report: &Report) -> Option<String> {
    // Nothing, or nothing but what the user called a false alarm.
    report.first?;
    let cost = &report.cost;
    let calls = plural(cost.tool_calls_since_first, "tool call");
    Some(match (cost.since_first_usd_micros, cost.session_usd_micros) {
        (Some(since), Some(all)) => {
            format!(
                "{} of the session's {} was spent after the first finding, with {calls}",
                display_usd(since),
                display_usd(all)
            )
        }
        (None, Some(all)) => {
            format!("{calls} after the first finding; the session cost {} in all", display_usd(all))
        }
        _ => format!("{calls} after the first finding; what they cost is not known"),
    })
}

/// What was done, in words.
#[must_use]
pub(crate) fn done(i: &Intervention) -> String {
    let what = match (i.action.as_str(), i.event.as_str()) {
        ("advised", "UserPromptSubmit") => "the model was told with the next prompt".to_owned(),
        ("advised", "") => "the model was told".to_owned(),
        ("advised", _) => "the model was told with a tool's result".to_owned(),
        ("denied", _) => "the call was denied".to_owned(),
        ("blocked", _) => "the turn was kept from ending".to_owned(),
        (other, _) => captured(other),
    };
    if i.delivered { what } else { format!("{what}, which may not have arrived") }
}

/// Detections laid out.
pub(crate) struct Page<'a> {
    /// Surroundings.
    pub(crate) env: &'a Env,
    /// The printer.
    pub(crate) out: &'a Printer,
}

impl Page<'_> {
    /// One detection.
    pub(crate) fn detection(&self, d: &Detection) -> Vec<String> {
        let (out, width) = (self.out, self.out.width());
        let mut lines = vec![format!("  {}", self.heading(d))];
        lines.extend(wrap("    ", &captured(&d.title), width));
        for (at, evidence) in d.evidence.iter().enumerate() {
            let name = if at == 0 { "seen" } else { "" };
            // Without an id, as wide as one.
            let id = evidence.span_id.as_deref().map_or("–", short_id);
            let head = format!("    {name:5} {:8}  ", captured(id));
            let mut seen = wrap(&head, &captured(&evidence.text), width);
            if let Some(first) = seen.first_mut()
                && let Some(text) = first.strip_prefix(&head)
            {
                *first = format!("{}{text}", out.paint(Tone::Faint, &head));
            }
            lines.append(&mut seen);
        }
        let mut fact =
            |name: &str, text: &str| lines.extend(wrap(&format!("    {name:5} "), &captured(text), width));
        if !d.advice.is_empty() {
            fact("do", &d.advice);
        }
        if let Some(i) = &d.intervention {
            let at = time::short(&i.at, self.env.now, &self.env.tz);
            fact("done", &format!("{} ({at})", done(i)));
        }
        match (d.state.as_str(), d.detection_id.as_str()) {
            ("dismissed", _) => {
                let why = d
                    .reason
                    .as_deref()
                    .filter(|r| !r.is_empty())
                    .map(|r| format!(": {r}"))
                    .unwrap_or_default();
                fact("", &format!("dismissed as a false alarm{why}"));
            }
            (_, "") => {}
            (_, id) => fact("", &format!("a false alarm? ccctl detections --dismiss {}", short_id(id))),
        }
        lines
    }

    fn heading(&self, d: &Detection) -> String {
        let mut facts = vec![format!("severity {}", d.severity), format!("{} % sure", d.confidence)];
        facts.extend(d.mast.as_deref().map(captured));
        facts.extend(d.agent_id.as_deref().map(|id| format!("subagent {}", captured(short_id(id)))));
        facts.push(time::short(&d.at, self.env.now, &self.env.tz));
        facts.extend(d.span_id.as_deref().map(|id| captured(short_id(id))));
        facts.retain(|fact| !fact.is_empty());
        let name = format!("{} · {}", captured(&d.kind), captured(&d.rule));
        let room = self.out.width().saturating_sub(name.chars().count() + 4);
        let facts = fit(&facts.join(", "), room.max(8));
        format!("{}  {}", self.out.paint(tone(d), &name), self.out.paint(Tone::Faint, &facts))
    }
}

/// How a detection is coloured.
#[must_use]
pub(crate) fn tone(d: &Detection) -> Tone {
    match (d.state.as_str(), d.severity) {
        ("dismissed" | "past", _) => Tone::Faint,
        (_, 70..) => Tone::Bad,
        (_, 50..) => Tone::Warn,
        _ => Tone::Plain,
    }
}
