//! What `ccctl install` tells at its end: what was done, what it costs, and what to type next.

use std::path::Path;

use serde::Serialize;

use super::Report;
use super::plan::Plan;
use super::surroundings::Surroundings;
use crate::args::{HooksIn, InstallArgs};
use crate::changes::Planned;
use crate::claude::switched_off;
use crate::config::shown;
use crate::diff;
use crate::env::Env;
use crate::error::Result;
use crate::human::plural;
use crate::mcp::tools::TOOLS;
use crate::plugin;
use crate::printer::{Printer, Tone, visible};
use crate::service;
use crate::settings::{BASE_URL, THINKING};

#[derive(Serialize)]
#[allow(clippy::struct_excessive_bools)] // one per part
struct Outcome<'a> {
    installed: bool,
    changed: &'a [std::path::PathBuf],
    daemon: Daemon<'a>,
    hooks: Option<Hooks<'a>>,
    mcp: bool,
    skill: bool,
    proxy: bool,
    upstream: &'a str,
    proof: Proof,
    switched_off: &'a [String],
    /// What of it works here: `hooks`, `requests`, and always `transcripts`.
    captured: Vec<&'static str>,
    stays: &'a [String],
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Daemon<'a> {
    pid: u32,
    listen: &'a str,
    service: Option<&'a str>,
}

#[derive(Serialize)]
struct Hooks<'a> {
    events: &'a [String],
    client: Option<String>,
}

#[derive(Serialize)]
struct Proof {
    hook: bool,
    request: bool,
    hook_ms: Option<u64>,
    request_ms: Option<u64>,
}

fn millis(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// What is recorded from now on.
fn captured(args: &InstallArgs) -> Vec<&'static str> {
    let hooks = args.has_hooks().then_some("hooks");
    let requests = (!args.no_proxy).then_some("requests");
    hooks.into_iter().chain(requests).chain(["transcripts"]).collect()
}

/// Before anything is done: what will be, in a few lines.
pub(super) fn announce(
    env: &Env,
    out: &mut Printer,
    args: &InstallArgs,
    plan: &Plan,
    changes: &[Planned],
    around: &Surroundings,
) -> Result<()> {
    let changes: Vec<_> = changes.iter().filter(|planned| !planned.is_in_force()).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let home = env.home();
    let count = |planned: &Planned| diff::counts(planned.current.as_deref(), planned.target.as_deref());
    out.line(out.paint(Tone::Strong, &format!("ccd {} will", ccd_proto::VERSION)))?;
    let mut lines = Vec::new();
    for dir in plan.dirs.iter().map(|dir| plugin::directory(dir)) {
        let inside: Vec<_> = changes.iter().filter(|planned| planned.path.starts_with(&dir)).collect();
        let (added, removed) =
            inside.iter().map(|p| count(p)).fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
        if !inside.is_empty() {
            let files = plural(inside.len() as u64, "file");
            lines.push(format!("write {files} in {} (+{added} -{removed})", short(home.as_deref(), &dir)));
        }
    }
    for planned in &changes {
        if plan.dirs.iter().any(|dir| planned.path.starts_with(plugin::directory(dir))) {
            continue;
        }
        let (added, removed) = count(planned);
        let verb = if planned.target.is_none() {
            "remove"
        } else if planned.current.is_none() {
            "write"
        } else {
            "change"
        };
        lines.push(format!("{verb} {} (+{added} -{removed})", short(home.as_deref(), &planned.path)));
    }
    let kept = if args.no_service { "" } else { ", kept by the service manager where there is one" };
    lines.push(format!("have the daemon running{kept}"));
    if !args.no_proxy {
        lines.push("send Claude Code's requests through it: Remote Control goes off".to_owned());
    }
    lines.extend(around.stays.iter().cloned());
    for line in lines {
        out.line(format!("  - {}", visible(&line)))?;
    }
    out.line(
        out.paint(Tone::Faint, "  `--dry-run` shows every byte; `ccctl uninstall` takes all of it back"),
    )?;
    out.line("")
}

/// A step that is done, where somebody watches.
pub(super) fn tick(out: &mut Printer, args: &InstallArgs, text: &str) -> Result<()> {
    if args.json || !out.is_drawn() {
        return Ok(());
    }
    let mark = out.paint(Tone::Good, "\u{2713}");
    out.line(format!("{mark} {}", visible(text.trim_end())))?;
    out.flush()
}

fn short(home: Option<&Path>, path: &Path) -> String {
    let below = home.and_then(|home| path.strip_prefix(home).ok());
    below.map_or_else(|| path.display().to_string(), |rest| format!("~/{}", rest.display()))
}

/// Prints it.
pub(super) fn print(
    env: &Env,
    out: &mut Printer,
    args: &InstallArgs,
    plan: &Plan,
    report: &Report,
    around: &Surroundings,
) -> Result<()> {
    let off = switched_off::by(plan.client).filter(|_| !args.no_proxy);
    let off: Vec<String> = off.map(|off| off.to_string()).collect();
    if args.json {
        return out.json(&Outcome {
            installed: true,
            changed: &report.changed,
            daemon: Daemon {
                pid: report.status.daemon.pid,
                listen: &report.status.proxy.listen,
                service: report.manager,
            },
            hooks: (args.has_hooks())
                .then(|| Hooks { events: &plan.hooks.events, client: plan.client.map(|v| v.to_string()) }),
            mcp: args.has_hooks() && !args.no_mcp && args.hooks == HooksIn::Plugin,
            skill: args.has_hooks() && !args.no_skill && args.hooks == HooksIn::Plugin,
            proxy: !args.no_proxy,
            upstream: &report.status.proxy.upstream,
            // A proof that fails is a failed installation, and does not come here.
            proof: Proof {
                hook: report.proof.hook.is_some(),
                request: report.proof.request.is_some(),
                hook_ms: report.proof.hook.map(millis),
                request_ms: report.proof.request.map(millis),
            },
            captured: captured(args),
            stays: &around.stays,
            switched_off: &off,
            warnings: report.warnings.iter().cloned().chain(around.warnings()).collect(),
        });
    }
    report.warnings.iter().chain(&around.warnings()).for_each(|warning| out.warn(visible(warning)));
    for line in lines(env, out, args, plan, report, &off, around) {
        out.line(line)?;
    }
    Ok(())
}

fn lines(
    env: &Env,
    out: &Printer,
    args: &InstallArgs,
    plan: &Plan,
    report: &Report,
    off: &[String],
    around: &Surroundings,
) -> Vec<String> {
    let title = if args.only_proxy {
        format!("Claude Code's requests go through ccd {}.", ccd_proto::VERSION)
    } else {
        let (version, parts) = (ccd_proto::VERSION, captured(args));
        let only =
            if parts.len() == 3 { String::new() } else { format!(", for {} only", parts.join(" and ")) };
        if report.changed.is_empty() && only.is_empty() {
            format!("ccd {version} was installed already: nothing had to be changed.")
        } else {
            format!("ccd {version} is installed{only}.")
        }
    };
    let mut lines = vec![out.paint(Tone::Good, &title)];
    // Who has watched it being done has seen the rest.
    let told = out.is_drawn() && !args.yes && !report.changed.is_empty() && !args.only_proxy;
    if !told {
        lines.push(String::new());
        lines.extend(facts(env, out, args, plan, report, around));
    }
    if told && !off.is_empty() {
        lines.push("Off meanwhile: Remote Control, server-managed settings, tool streaming.".to_owned());
    } else if !off.is_empty() {
        lines.push(String::new());
        lines.push("While requests go through ccd, Claude Code leaves some things off:".to_owned());
        lines.extend(off.iter().map(|what| format!("  - {what}")));
    }
    lines.push(String::new());
    if told {
        lines.push("Sessions that run take it up with their next prompt. Then:".to_owned());
    } else {
        lines.push(
            "Use Claude Code as always; sessions that are running take this up with their next prompt. Then:"
                .to_owned(),
        );
    }
    let take_back = if args.only_proxy { "ccctl proxy uninstall" } else { "ccctl uninstall" };
    for (command, what) in [
        ("ccctl sessions", "what was recorded"),
        ("ccctl traces --follow", "what happens, as it happens"),
        ("ccctl open", "the same in your browser"),
        ("ccctl usage", "tokens and cost"),
        ("ccctl verify", "checks that everything is in place"),
        (take_back, "takes all of this back, byte for byte"),
    ] {
        lines.push(format!("  {} {what}", out.paint(Tone::Strong, &format!("{command:23}"))));
    }
    lines
}

/// What was done, one thing a line.
fn facts(
    env: &Env,
    out: &Printer,
    args: &InstallArgs,
    plan: &Plan,
    report: &Report,
    around: &Surroundings,
) -> Vec<String> {
    let home = env.home();
    let path = |path: &Path| visible(&short(home.as_deref(), path));
    let mut lines = Vec::new();
    let mut fact = |name: &str, text: String| {
        lines.push(format!("  {} {text}", out.paint(Tone::Strong, &format!("{name:9}"))));
    };
    let kept = match report.manager {
        Some(manager) => format!("kept running by {manager}"),
        None => format!("started directly; {}", service::after_a_reboot(!args.only_proxy)),
    };
    let status = &report.status;
    fact("daemon", visible(&format!("pid {}, {kept}", status.daemon.pid)));
    let client = plan.client.map(|v| format!(" for Claude Code {v}")).unwrap_or_default();
    let events = plural(plan.hooks.events.len() as u64, "event");
    for dir in plan.dirs.iter().filter(|_| args.has_hooks()) {
        let place = match args.hooks {
            HooksIn::Plugin => path(&plugin::directory(dir)),
            HooksIn::Settings => plan.settings.iter().map(|p| path(p)).collect::<Vec<_>>().join(", "),
        };
        fact("hooks", format!("{events}{client}: {place}"));
    }
    let plugin = args.has_hooks() && args.hooks == HooksIn::Plugin;
    if plugin && !args.no_mcp {
        fact("mcp", format!("{} read-only tools: Claude can ask about its own history", TOOLS.len()));
    }
    if plugin && !args.no_skill {
        fact("skill", "/ccd:diagnose: Claude finds out why a run went wrong".into());
    }
    if let Some(dir) = plan.codex_skill().and_then(Path::parent).filter(|_| args.has_hooks()) {
        fact(if plugin { "" } else { "skill" }, format!("for Codex: {}", path(dir)));
    }
    for file in &report.settings {
        fact("settings", format!("env.{BASE_URL} in {}", path(file)));
        fact("", visible(&format!("{} → {}", status.proxy.listen, status.proxy.upstream)));
    }
    if let Some(foreign) = &plan.foreign {
        fact("upstream", visible(&format!("{}, as before; it comes back at uninstall", shown(foreign))));
    }
    for file in plan.status_lines() {
        fact("status", format!("the status line is ours in {}", path(&file)));
    }
    if args.thinking {
        fact("thinking", format!("{THINKING} is on; for `claude -p`, add `--thinking-display summarized`"));
    }
    if let Some(text) = report.proof.text() {
        fact("proof", text);
    }
    for stays in &around.stays {
        fact("yours", visible(stays));
    }
    lines
}
