//! One detection: in full, dismissed, or taken up again.

use ccd_proto::api::{Detection, Judged};

use crate::analyze::Page;
use crate::args::DetectionsArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::short_id;
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::table::captured;

const ROUTE: &str = "/v0/detections";

/// Shows one in full.
pub(super) fn run(env: &Env, out: &mut Printer, id: &str, json: bool) -> Result<()> {
    let body = Client::new(env)?.get(out, Target::about(ROUTE, id).as_ref())?;
    if json {
        return out.object(&body);
    }
    let judged: Judged = decode(&body)?;
    let mut text = lines(env, out, &judged.detection);
    text.extend(about_others(judged.others));
    text.iter().try_for_each(|line| out.line(line))
}

/// One in full, in lines.
pub(crate) fn lines(env: &Env, out: &Printer, d: &Detection) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{} {}", out.paint(Tone::Faint, &format!("{name:12}")), visible(value)));
        }
    };
    fact("detection", &d.detection_id);
    fact("session", &d.session_id);
    fact("project", d.project.as_deref().unwrap_or_default());
    fact("turn", d.turn_id.as_deref().unwrap_or_default());
    fact("span", d.span_id.as_deref().unwrap_or_default());
    fact("state", &d.state);
    lines.push(String::new());
    lines.extend(Page { env, out }.detection(d));
    if let Some(text) = d.intervention.as_ref().map(|i| i.text.as_str()).filter(|text| !text.is_empty()) {
        lines.extend([String::new(), out.paint(Tone::Strong, "what the model was told")]);
        lines.extend(crate::analyze::wrap("  ", &captured_whole(text), out.width()));
    }
    let page = format!("`ccctl detections --explain {}` says how it is found", captured(&d.kind));
    lines.extend([String::new(), out.paint(Tone::Faint, &page)]);
    lines
}

/// Captured text on one line, all of it.
fn captured_whole(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn about_others(others: u64) -> Option<String> {
    match others {
        0 => None,
        1 => Some("1 other is about the same".to_owned()),
        n => Some(format!("{n} others are about the same")),
    }
}

/// It was a false alarm.
pub(super) fn dismiss(env: &Env, out: &mut Printer, id: &str, args: &DetectionsArgs) -> Result<()> {
    let target = Target::about(ROUTE, id).part("dismiss").with("reason", args.reason.as_ref());
    judge(env, out, &target, args.query.json, |judged| {
        let others = match judged.others {
            0 => String::new(),
            1 => ", and 1 other about the same".to_owned(),
            n => format!(", and {n} others about the same"),
        };
        format!(
            "dismissed{others}; what is found about the same in that directory from now on is dismissed at once"
        )
    })
}

/// It was none after all.
pub(super) fn reopen(env: &Env, out: &mut Printer, id: &str, json: bool) -> Result<()> {
    let target = Target::about(ROUTE, id).part("reopen");
    judge(env, out, &target, json, |judged| match judged.others {
        0 => "no longer dismissed".to_owned(),
        1 => "no longer dismissed, nor is 1 other about the same".to_owned(),
        n => format!("no longer dismissed, nor are {n} others about the same"),
    })
}

fn judge(
    env: &Env,
    out: &mut Printer,
    target: &Target,
    json: bool,
    said: impl Fn(&Judged) -> String,
) -> Result<()> {
    let body = Client::new(env)?.command(out, target.as_ref())?;
    if json {
        return out.object(&body);
    }
    let judged: Judged = decode(&body)?;
    let d = &judged.detection;
    out.line(format!(
        "{} {}/{}: {}",
        captured(short_id(&d.detection_id)),
        captured(&d.kind),
        captured(&d.rule),
        captured(&d.title)
    ))?;
    out.line(said(&judged))
}
