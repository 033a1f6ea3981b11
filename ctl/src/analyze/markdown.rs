//! The report as Markdown, to be pasted where others read it.
//!
//! Must never let what was captured become markup, a link or the mention of somebody: it stands in fenced blocks whose
//! fence is longer than any in it, and ids in code spans of a narrow alphabet.

use std::fmt::Write as _;

use ccd_proto::api::{Detection, Report};

use super::report;
use crate::human::plural;
use crate::printer::visible_block;

/// The report in lines.
#[must_use]
pub(super) fn lines(report: &Report) -> Vec<String> {
    let s = &report.session;
    let mut lines = vec![
        format!("# What went wrong in session {}", code(&s.session_id)),
        String::new(),
        format!("- project {}, model {}", code(or_dash(s.project.as_ref())), code(or_dash(s.model.as_ref()))),
        format!("- {} to {}", code(&s.started_at), code(&s.last_at)),
        format!(
            "- {}, {}, {} looked at",
            plural(s.turns, "turn"),
            plural(s.tool_calls, "tool call"),
            plural(report.events, "event")
        ),
    ];
    if report.detections.is_empty() {
        lines.extend([String::new(), "Nothing was found.".to_owned()]);
    }
    let first = report.first.filter(|at| *at < report.detections.len());
    let rest = (0..report.detections.len()).filter(|at| Some(*at) != first);
    for (number, at) in first.into_iter().chain(rest).enumerate() {
        let Some(d) = report.detections.get(at) else { continue };
        let head = if Some(at) == first { " (what went wrong first)" } else { "" };
        lines.extend([
            String::new(),
            format!("## {}. {}{head}", number + 1, code(&format!("{}.{}", d.kind, d.rule))),
        ]);
        lines.push(String::new());
        lines.extend(detection(d));
    }
    if let Some(cost) = report::cost(report) {
        lines.extend([String::new(), "## What it cost".to_owned(), String::new(), format!("{cost}.")]);
    }
    if !report.guardrail.trim().is_empty() {
        lines.extend([String::new(), "## Guardrail".to_owned(), String::new()]);
        lines.extend(fenced("markdown", report.guardrail.trim_end()));
    }
    if !report.not_checked.is_empty() {
        lines.extend([String::new(), "## Not checked".to_owned(), String::new()]);
        lines.extend(fenced("text", &report.not_checked.join("\n")));
    }
    lines
}

fn detection(d: &Detection) -> Vec<String> {
    let mast = d.mast.as_deref().map(|code_| format!(", MAST {}", code(code_))).unwrap_or_default();
    let mut lines = vec![
        format!("- severity {} of 100, {} % sure{mast}", d.severity, d.confidence),
        format!("- known at {}, span {}", code(&d.at), code(or_dash(d.span_id.as_ref()))),
    ];
    if !d.detection_id.is_empty() {
        lines.push(format!("- detection {}, {}", code(&d.detection_id), code(&d.state)));
    }
    if let Some(i) = &d.intervention {
        // The words are ours, unless the action is one that is not known here.
        lines.push(format!("- done at {}: {}", code(&i.at), code(&report::done(i))));
    }
    let mut text = format!("{}\n", d.title);
    for evidence in &d.evidence {
        let id = evidence.span_id.as_deref().unwrap_or("-");
        let mut seen = evidence.text.lines();
        _ = write!(text, "\nseen {id}: {}", seen.next().unwrap_or_default());
        for line in seen {
            text.push_str("\n    ");
            text.push_str(line);
        }
    }
    if !d.advice.is_empty() {
        text.push_str("\n\ndo: ");
        text.push_str(&d.advice);
    }
    if let Some(reason) = d.reason.as_deref().filter(|reason| !reason.is_empty()) {
        text.push_str("\n\ndismissed: ");
        text.push_str(reason);
    }
    lines.push(String::new());
    lines.extend(fenced("text", &text));
    lines
}

fn or_dash(text: Option<&String>) -> &str {
    text.map_or("-", String::as_str)
}

/// A short word of the daemon's as a code span: what is not a plain character is left out.
fn code(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | ':' | '/' | '+' | ','))
        .take(80)
        .collect();
    let plain = plain.trim();
    if plain.is_empty() { "`-`".to_owned() } else { format!("`{plain}`") }
}

/// A fenced block that its text cannot end.
fn fenced(info: &str, text: &str) -> Vec<String> {
    let text = visible_block(text);
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat((longest + 1).max(3));
    let mut lines = vec![format!("{fence}{info}")];
    lines.extend(text.lines().map(ToOwned::to_owned));
    lines.push(fence);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::tests::sample;

    #[test]
    fn a_report_as_markdown() {
        insta::assert_snapshot!("markdown", lines(&sample()).join("\n"));
    }

    /// What stands outside of fenced blocks and code spans.
    fn outside(lines: &[String]) -> String {
        let (mut open, mut text): (Option<&str>, String) = (None, String::new());
        for line in lines {
            let ticks = line.len() - line.trim_start_matches('`').len();
            match open {
                Some(fence) if line == fence => open = None,
                Some(_) => {}
                None if ticks >= 3 => open = Some(&line[..ticks]),
                None => text.push_str(&(line.split('`').step_by(2).collect::<String>() + "\n")),
            }
        }
        assert!(open.is_none(), "a block is not closed");
        text
    }

    proptest! {
        #[test]
        fn nothing_captured_gets_out_of_its_block(captured in "([a-z@#<\\[\\](`*_\n\r\u{1b}\u{202e}]|```|~~~|http://x|</details>){0,40}") {
            let mut report = sample();
            report.session.project = Some(captured.clone());
            report.session.model = Some(captured.clone());
            report.not_checked = vec![captured.clone()];
            report.guardrail = captured.clone();
            for d in &mut report.detections {
                d.title = captured.clone();
                d.advice = captured.clone();
                d.reason = Some(captured.clone());
                d.rule = captured.clone();
                d.evidence.iter_mut().for_each(|e| (e.text, e.span_id) = (captured.clone(), Some(captured.clone())));
                d.intervention.iter_mut().for_each(|i| i.action = captured.clone());
            }
            let lines = lines(&report);
            let plain = outside(&lines);
            for sign in ["@", "<", "[", "](", "http://", "*", "~~~", "\u{1b}"] {
                prop_assert!(!plain.contains(sign), "{} in {}", sign, plain);
            }
            let is_plain = |line: &String| !line.contains(['\n', '\r', '\u{1b}', '\u{202e}']);
            prop_assert!(lines.iter().all(is_plain));
        }
    }
}
