//! `ccctl detections`: what the detectors found, newest first; one of them in full; how many there were; what each kind is;
//! and what was a false alarm.
//!
//! What a kind is stands in its doc page, which is part of this program: it is told without a daemon.

mod explain;
mod one;
mod trend;

use ccd_proto::api::{Detection, Detections};

use crate::analyze::tone;
use crate::args::{DetectionsArgs, name_of};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::human::short_id;
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::table::{Column, Table, captured};
use crate::time;

pub(crate) use one::lines as in_full;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &DetectionsArgs) -> Result<()> {
    if let Some(kind) = &args.explain {
        return explain::run(out, kind.as_deref(), args.query.json);
    }
    if let Some(id) = &args.dismiss {
        return one::dismiss(env, out, id, args);
    }
    if let Some(id) = &args.reopen {
        return one::reopen(env, out, id, args.query.json);
    }
    if let Some(id) = &args.id {
        return one::run(env, out, id, args.query.json);
    }
    if !args.by.is_empty() {
        return trend::run(env, out, args);
    }
    let target = filtered(env, "/v0/detections", args)?;
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.query.json {
        return out.object(&body);
    }
    let Detections { detections, more } = decode(&body)?;
    if detections.is_empty() {
        return out.line(if is_narrow(args) {
            "no detection matches: leave a filter out, or widen --since"
        } else {
            "nothing was found to go wrong so far; `ccctl detections --explain` says what is looked for"
        });
    }
    table(env, &detections).print(out)?;
    if more > 0 {
        out.line(format!("… and {more} more: a higher --limit shows them"))?;
    }
    Ok(())
}

/// The question with all filters.
fn filtered(env: &Env, path: &str, args: &DetectionsArgs) -> Result<Target> {
    let state = if args.open { Some("open".to_owned()) } else { args.state.as_ref().map(name_of) };
    Ok(Target::new(path)
        .query(env, &args.query, &env.tz)?
        .with("kind", args.kind.as_ref())
        .with("rule", args.rule.as_ref())
        .with("state", state)
        .with("min_severity", args.min_severity.map(|n| n.to_string()))
        .with("min_confidence", args.min_confidence.map(|n| n.to_string())))
}

fn is_narrow(args: &DetectionsArgs) -> bool {
    let q = &args.query;
    let texts = [&args.kind, &args.rule, &q.since, &q.until, &q.session, &q.project];
    texts.iter().any(|text| text.is_some())
        || args.open
        || args.state.is_some()
        || args.min_severity.is_some()
        || args.min_confidence.is_some()
}

/// Detections as a table.
fn table(env: &Env, detections: &[Detection]) -> Table {
    let mut table = Table::new([
        Column::Whole("ID"),
        Column::Whole("TIME"),
        Column::Number("SEV"),
        Column::Whole("KIND"),
        Column::Text("PROJECT"),
        Column::Whole("SESSION"),
        Column::Whole("STATE"),
        Column::Text("WHAT"),
    ])
    .spare(["SESSION", "PROJECT", "TIME", "STATE"]);
    for d in detections {
        let tone = tone(d);
        let rest = if tone == Tone::Faint { Tone::Faint } else { Tone::Plain };
        table.toned([
            (captured(short_id(&d.detection_id)), rest),
            (time::short(&d.at, env.now, &env.tz), rest),
            (d.severity.to_string(), tone),
            (captured(&format!("{}/{}", d.kind, d.rule)), tone),
            (captured(d.project.as_deref().unwrap_or("–")), rest),
            (captured(short_id(&d.session_id)), Tone::Faint),
            (captured(&state(d)), rest),
            (captured(&d.title), rest),
        ]);
    }
    table
}

/// Whether it is open, and what was done about it.
fn state(d: &Detection) -> String {
    match &d.intervention {
        Some(i) => format!("{}, {}", d.state, i.action),
        None => d.state.clone(),
    }
}

#[cfg(test)]
mod tests;
