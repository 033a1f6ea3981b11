//! What comes in: the last of each source, what was not captured, what waits in the spool, and the client's own files.

use std::path::Path;
use std::time::SystemTime;

use ccd_proto::api::Status;

use super::ago;
use crate::doctor::facts::Facts;
use crate::doctor::{Check, Level};
use crate::env::Env;
use crate::human::{bytes, duration_ms, plural};

/// How long the client keeps its transcripts, in days, where its settings do not say (`cleanupPeriodDays`; docs:
/// settings).
const KEPT_DAYS: u64 = 30;
/// A daemon that runs takes the spool up at once: what waits longer is stuck.
const STUCK_MS: u64 = 60_000;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(status) = facts.daemon() {
        checks.push(last(facts, status));
        checks.push(capture(status));
    }
    checks.push(spool(facts.env, facts.daemon().is_some(), SystemTime::now()));
    checks.extend(facts.daemon().map(|status| transcripts(facts, status)));
    checks
}

/// The last thing of each source.
pub(super) fn last(facts: &Facts<'_>, status: &Status) -> Check {
    let env = facts.env;
    let of = |at: &Option<String>, what: &str| {
        let at = at.as_deref().and_then(|at| ago(env, at))?;
        Some(format!("{what} {at}"))
    };
    let sources = [
        of(&status.hooks.last_at, "hook"),
        of(&status.proxy.last_request_at, "request"),
        of(&status.transcripts.last_at, "transcript"),
    ];
    let told: Vec<_> = sources.into_iter().flatten().collect();
    let wants_hooks = facts.installed().is_some_and(|manifest| manifest.options.wants_hooks());
    // What sessions do that were recorded by one source and never by the other.
    if wants_hooks && status.hooks.events == 0 && status.proxy.exchanges > 0 {
        let told =
            format!("{} were recorded, and no hook event ever", plural(status.proxy.exchanges, "request"));
        return Check::warn("events", told, "start Claude Code again; `ccctl doctor hooks` checks the hooks");
    }
    if !told.is_empty() {
        return Check::good("events", format!("the last {}", told.join(", ")));
    }
    let before = facts.newest.as_ref().and_then(|session| ago(env, &session.last_at));
    match before {
        Some(before) => Check::good("events", format!("none since the daemon started; the last {before}")),
        None if status.store.sessions == 0 => {
            Check::note("events", "none yet").hint("use Claude Code, then `ccctl sessions` shows it")
        }
        None => Check::good("events", "none since the daemon started"),
    }
}

/// What could not be captured.
pub(super) fn capture(status: &Status) -> Check {
    let (capture, rejected) = (&status.capture, status.hooks.rejected);
    let up = duration_ms(status.daemon.uptime_s.saturating_mul(1000));
    let mut told = Vec::new();
    if capture.dropped > 0 {
        let many = plural(capture.dropped, "exchange");
        told.push(format!("{many} not captured since start, {up} ago"));
    }
    if rejected > 0 {
        told.push(format!("{} in the spool set aside as damaged", plural(rejected, "file")));
    }
    if !told.is_empty() {
        return Check::warn("capture", told.join("; "), "`ccctl logs` says why");
    }
    match capture.gaps {
        0 => Check::good("capture", "nothing was lost"),
        gaps => Check::note(
            "capture",
            format!("nothing was lost since start; {} incomplete since ever", plural(gaps, "exchange")),
        ),
    }
}

/// What waits to be taken up.
pub(super) fn spool(env: &Env, is_running: bool, now: SystemTime) -> Check {
    let dir = &env.layout.spool_dir;
    let (mut many, mut oldest_ms) = (0, 0);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        // Files that are being written begin with a dot.
        let is_event = entry.file_type().is_ok_and(|t| t.is_file()) && !is_hidden(&entry.path());
        let Ok(meta) = entry.metadata() else { continue };
        if is_event {
            many += 1;
            let age = meta.modified().ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
            oldest_ms = oldest_ms.max(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        }
    }
    let told = || {
        let (verb, age) = (if many == 1 { "waits" } else { "wait" }, duration_ms(oldest_ms));
        format!("{} {verb} in {}, the oldest for {age}", plural(many, "event"), dir.display())
    };
    match (many, is_running) {
        (0, _) => Check::good("spool", "empty"),
        (_, false) => Check::warn("spool", told(), "a running daemon takes them up: `ccctl start`").fixable(),
        (_, true) if oldest_ms > STUCK_MS => {
            Check::warn("spool", told(), "the daemon does not take them: `ccctl logs` says why")
        }
        (_, true) => Check::note("spool", told()),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether the client's own files are taken before it deletes them, and for how long what was taken is kept.
pub(super) fn transcripts(facts: &Facts<'_>, status: &Status) -> Check {
    let t = &status.transcripts;
    let days = facts
        .dirs
        .iter()
        .map(|dir| {
            facts.layers_of(dir).find_map(|layer| layer.number("cleanupPeriodDays")).unwrap_or(KEPT_DAYS)
        })
        .min()
        .unwrap_or(KEPT_DAYS);
    let deletes = format!("Claude Code deletes its transcripts after {}", plural(days, "day"));
    let kept = facts.store.as_ref().map(|store| match store.retention.days {
        Some(kept) => format!("; ccd keeps {}", plural(kept, "day")),
        None => "; ccd keeps them".to_owned(),
    });
    let kept = kept.unwrap_or_default();
    if !t.enabled {
        return Check::note("transcripts", format!("not read; {deletes}"))
            .hint("`[transcripts] enabled = true` in config.toml takes them in");
    }
    if let Some(error) = &t.error {
        let lost = format!("{error}; {deletes}");
        return Check::warn("transcripts", lost, "what is not taken in until then is lost");
    }
    if t.state == "refused" {
        return Check::warn(
            "transcripts",
            format!("the store takes none now; {deletes}"),
            "`ccctl doctor store`",
        );
    }
    let behind = t.behind > 0 && t.state != "following" && t.state != "sweeping";
    let taken = if behind {
        format!("{} of {} are taken in", bytes(t.imported_bytes), bytes(t.total_bytes))
    } else {
        format!("{} taken in", plural(t.files, "file"))
    };
    let level = match facts.store.as_ref().and_then(|store| store.retention.days) {
        // They would be gone here before they are there.
        Some(kept) if kept < days => Level::Note,
        _ => Level::Ok,
    };
    Check::new("transcripts", level, format!("{taken}; {deletes}{kept}"), None)
}
