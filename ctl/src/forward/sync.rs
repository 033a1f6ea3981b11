//! `ccctl sync`: sends sessions of the past, because it was asked for; on a sink that is off, too.

use ccd_proto::api::{Reply, SyncNote, Synced};

use super::ROUTE;
use crate::args::SyncArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, plural, short_id};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::store::operate;
use crate::table::captured;
use crate::time::{self, Edge};

/// Sessions that are sent where nothing says how many.
const LAST: u32 = 20;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &SyncArgs) -> Result<()> {
    let since = args.since.as_ref().map(|text| time::parse(text, Edge::Since, env.now, &env.tz)).transpose();
    let since = since.map_err(|e| CommandError::usage(e.to_string()))?;
    let last = args.last.unwrap_or(if since.is_some() { 0 } else { LAST });
    let outputs = match (args.include_outputs, args.no_outputs) {
        (true, _) => Some("1"),
        (false, true) => Some("0"),
        (false, false) => None,
    };
    let target = Target::new(ROUTE)
        .part("sync")
        .with("name", args.name.as_ref())
        .with("limit", Some(last.to_string()))
        .with("since", since.map(|at| at.to_string()))
        .with("session", args.session.as_ref())
        .with("outputs", outputs)
        .flag("dry_run", args.dry_run);
    let interrupted = "what was sent stays sent; sending it again does no harm";
    let done = operate::<Reply<Synced>>(env, out, &target, interrupted)?;
    let synced = &done.result.body;
    if args.json {
        done.print(out)?;
    } else {
        show(out, synced)?;
    }
    if synced.failed.is_empty() {
        return Ok(());
    }
    Err(CommandError::failed(format!(
        "{} of {} not taken",
        synced.failed.len(),
        plural(synced.sessions, "session")
    ))
    .hint("run this again once the reason is gone: sending twice does no harm"))
}

fn show(out: &mut Printer, synced: &Synced) -> Result<()> {
    let Synced { sessions, sent, items, excluded, dry_run, dashboard, .. } = synced;
    let what = if *dry_run { "would be sent" } else { "sent" };
    if *sessions == 0 {
        return out.line("there are no such sessions");
    }
    out.line(format!(
        "{sent} of {} {what}: {items} traces or spans, {}",
        plural(*sessions, "session"),
        bytes(synced.bytes)
    ))?;
    if *excluded > 0 {
        out.line(format!("{} excluded", plural(*excluded, "session")))?;
    }
    let note = |note: &SyncNote| format!("{}: {}", captured(short_id(&note.session_id)), visible(&note.text));
    for degraded in &synced.degraded {
        let text = out.paint(Tone::Warn, &note(degraded));
        out.line(text)?;
    }
    for failed in &synced.failed {
        let text = out.paint(Tone::Bad, &note(failed));
        out.line(text)?;
    }
    if !dashboard.is_empty() && *sent > 0 && !dry_run {
        out.line(format!("to be seen at {}", visible(dashboard)))?;
    }
    Ok(())
}
