//! What `ccctl install` tells at its end: what was done, what it costs, and what to type next.

use std::path::Path;

use serde::Serialize;

use super::Report;
use super::plan::Plan;
use crate::args::{HooksIn, InstallArgs};
use crate::claude::switched_off;
use crate::config::shown;
use crate::env::Env;
use crate::error::Result;
use crate::human::plural;
use crate::mcp::tools::TOOLS;
use crate::plugin;
use crate::printer::{Printer, Tone, visible};
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
    warnings: &'a [String],
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
}

/// Prints it.
pub(super) fn print(
    env: &Env,
    out: &mut Printer,
    args: &InstallArgs,
    plan: &Plan,
    report: &Report,
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
            hooks: (!args.only_proxy)
                .then(|| Hooks { events: &plan.hooks.events, client: plan.client.map(|v| v.to_string()) }),
            mcp: !args.only_proxy && !args.no_mcp && args.hooks == HooksIn::Plugin,
            skill: !args.only_proxy && !args.no_skill && args.hooks == HooksIn::Plugin,
            proxy: !args.no_proxy,
            upstream: &report.status.proxy.upstream,
            // A proof that fails is a failed installation, and does not come here.
            proof: Proof { hook: !args.only_proxy, request: !report.settings.is_empty() },
            switched_off: &off,
            warnings: &report.warnings,
        });
    }
    report.warnings.iter().for_each(|warning| out.warn(visible(warning)));
    for line in lines(env, out, args, plan, report, &off) {
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
) -> Vec<String> {
    let home = env.home();
    let path = |path: &Path| {
        let short = home.as_ref().and_then(|home| path.strip_prefix(home).ok());
        visible(&short.map_or_else(|| path.display().to_string(), |rest| format!("~/{}", rest.display())))
    };
    let title = if args.only_proxy {
        format!("Claude Code's requests go through ccd {}.", ccd_proto::VERSION)
    } else if report.changed.is_empty() {
        format!("ccd {} was installed already: nothing had to be changed.", ccd_proto::VERSION)
    } else {
        format!("ccd {} is installed.", ccd_proto::VERSION)
    };
    let mut lines = vec![out.paint(Tone::Good, &title), String::new()];
    let mut fact = |name: &str, text: String| {
        lines.push(format!("  {} {text}", out.paint(Tone::Strong, &format!("{name:9}"))));
    };
    let kept = match report.manager {
        Some(manager) => format!("kept running by {manager}"),
        None => "started directly: after a reboot, type `ccctl start`".to_owned(),
    };
    let status = &report.status;
    fact("daemon", visible(&format!("pid {}, {kept}", status.daemon.pid)));
    let client = plan.client.map(|v| format!(" for Claude Code {v}")).unwrap_or_default();
    let events = plural(plan.hooks.events.len() as u64, "event");
    for dir in plan.dirs.iter().filter(|_| !args.only_proxy) {
        let place = match args.hooks {
            HooksIn::Plugin => path(&plugin::directory(dir)),
            HooksIn::Settings => plan.settings.iter().map(|p| path(p)).collect::<Vec<_>>().join(", "),
        };
        fact("hooks", format!("{events}{client}: {place}"));
    }
    let plugin = !args.only_proxy && args.hooks == HooksIn::Plugin;
    if plugin && !args.no_mcp {
        fact("mcp", format!("{} read-only tools: Claude can ask about its own history", TOOLS.len()));
    }
    if plugin && !args.no_skill {
        fact("skill", "/ccd:diagnose: Claude finds out why a run went wrong".into());
    }
    if let Some(dir) = plan.codex_skill().and_then(Path::parent).filter(|_| !args.only_proxy) {
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
    fact(
        "proof",
        if args.only_proxy {
            "a request arrived"
        } else if report.settings.is_empty() {
            "a hook event arrived"
        } else {
            "a hook event and a request arrived"
        }
        .into(),
    );
    if !off.is_empty() {
        lines.push(String::new());
        lines.push("While requests go through ccd, Claude Code leaves some things off:".to_owned());
        lines.extend(off.iter().map(|what| format!("  - {what}")));
    }
    lines.push(String::new());
    lines.push(
        "Use Claude Code as always; sessions that are running take this up with their next prompt. Then:"
            .to_owned(),
    );
    let take_back = if args.only_proxy { "ccctl proxy uninstall" } else { "ccctl uninstall" };
    for (command, what) in [
        ("ccctl sessions", "what was recorded"),
        ("ccctl traces --follow", "what happens, as it happens"),
        ("ccctl usage", "tokens and cost"),
        ("ccctl verify", "checks that everything is in place"),
        (take_back, "takes all of this back, byte for byte"),
    ] {
        lines.push(format!("  {} {what}", out.paint(Tone::Strong, &format!("{command:23}"))));
    }
    lines
}
