//! `ccctl status`: what the daemon is doing. Whether the hooks are installed is answered here, because the
//! daemon does not read Claude Code's files.

use ccd_proto::api::{
    DaemonStatus, DetectionStatus, HookStatus, ReceiveStatus, Reply, RetiringStatus, Status, StoreStatus,
    TelemetryStatus,
};
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};

use crate::args::JsonArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{Kind, Result};
use crate::human::{bytes, count, duration_ms, plural};
use crate::limits;
use crate::manifest::Manifest;
use crate::plugin;
use crate::printer::{Printer, Tone, visible, visible_block};
use crate::supervisor;
use crate::time;
use crate::uninstall::session_named;
use crate::vault;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let hooks = hooks_installed(env);
    let body = match Client::new(env)?.get(out, "/v0/status") {
        Err(e) if e.kind == Kind::NotRunning && args.json => {
            out.json(&absent(env, hooks))?;
            return Err(e);
        }
        other => other?,
    };
    if args.json {
        return out.object(&with_hooks(&body, hooks));
    }
    let Reply { body: mut status, .. }: Reply<Status> = decode(&body)?;
    status.hooks.installed = hooks;
    lines(env, out, &status).iter().try_for_each(|line| out.line(line))
}

/// Whether Claude Code's hooks call this installation's `cc-hook`, in every configuration directory.
#[must_use]
pub fn hooks_installed(env: &Env) -> bool {
    let settings = Manifest::load(&env.layout).ok().flatten().and_then(|m| m.options.settings);
    let dirs = env.claude_dirs().unwrap_or_default();
    !dirs.is_empty() && dirs.iter().all(|dir| plugin::in_force(env, dir, settings.as_deref()).is_some())
}

/// The status of a daemon that is not there.
fn absent(env: &Env, hooks: bool) -> Status {
    Status {
        daemon: DaemonStatus {
            state: "stopped".to_owned(),
            killed: supervisor::is_killed(&env.layout),
            ..DaemonStatus::default()
        },
        hooks: HookStatus { installed: hooks, ..HookStatus::default() },
        store: StoreStatus { path: env.layout.store_dir().display().to_string(), ..StoreStatus::default() },
        ..Status::default()
    }
}

/// The daemon's own object, with `hooks.installed` set: fields that this build does not know stay in it.
fn with_hooks(body: &[u8], installed: bool) -> Vec<u8> {
    let set = || {
        let root = CstRootNode::parse(std::str::from_utf8(body).ok()?, &ParseOptions::default()).ok()?;
        let hooks = root.object_value()?.object_value("hooks")?;
        match hooks.get("installed") {
            Some(property) => property.set_value(CstInputValue::Bool(installed)),
            None => _ = hooks.insert(0, "installed", CstInputValue::Bool(installed)),
        }
        Some(root.to_string().into_bytes())
    };
    set().unwrap_or_else(|| body.to_owned())
}

/// What is said of a daemon that has outlived its supervisor.
pub const SUPERVISOR_GONE: &str = "the supervisor is gone: nobody holds the port if the daemon ends";

/// How it stands with a daemon whose installation was taken back.
fn retiring_facts(retiring: &RetiringStatus) -> Vec<String> {
    let who = match (retiring.sessions.len() as u64, retiring.known) {
        (0, true) => "nobody holds its address any more: it ends in a moment".to_owned(),
        (0, false) => {
            format!("it ends after {} without a request", duration_ms(retiring.idle_s.saturating_mul(1000)))
        }
        (1, _) => "1 session still holds its address".to_owned(),
        (n, _) => format!("{n} sessions still hold its address"),
    };
    let mut facts = vec![format!("uninstalled since {}: {who}", retiring.since)];
    facts.extend(retiring.sessions.iter().map(|session| format!("  {}", session_named(session))));
    facts
}

/// Where the pages are, and in how many browsers they can be looked at.
fn web_fact(listen: &str, logins: u64) -> String {
    let logins = match logins {
        0 => String::new(),
        1 => ", 1 browser is logged in".to_owned(),
        n => format!(", {n} browsers are logged in"),
    };
    format!("http://{listen}{logins} → `ccctl open`")
}

/// What other programs hand in, where any may.
fn receive_facts(receive: &ReceiveStatus) -> Vec<(Tone, String)> {
    let mut facts = Vec::new();
    let where_to = match &receive.listen {
        Some(listen) if receive.remote => format!(", at {listen}, open to other machines and not encrypted"),
        Some(listen) => format!(", at {listen} too"),
        None => String::new(),
    };
    if receive.tokens > 0 || receive.listen.is_some() {
        let text = format!(
            "{} may hand something in{where_to}; {} let in, {} refused",
            plural(receive.tokens, "token"),
            plural(receive.requests, "request"),
            receive.refused
        );
        facts.push((if receive.remote { Tone::Warn } else { Tone::Plain }, text));
    }
    facts.extend(receive.error.clone().map(|error| (Tone::Warn, error)));
    facts
}

/// What hooks brought.
fn hook_fact(hooks: &HookStatus) -> (Tone, String) {
    let (tone, installed) =
        if hooks.installed { (Tone::Plain, "installed") } else { (Tone::Warn, "not installed") };
    let events = plural(hooks.events, "event");
    let rejected = some(hooks.rejected, "set aside as damaged");
    let later = some(hooks.later, "of a later version waiting for it");
    (tone, format!("{installed}, {events}, {} in the spool{rejected}{later}", count(hooks.spooled)))
}

/// What the client tells of itself.
fn telemetry_fact(telemetry: &TelemetryStatus) -> Option<String> {
    let last = telemetry.last_at.as_deref()?;
    Some(format!("{} of its own telemetry, the last at {last}", plural(telemetry.events, "event")))
}

/// The status for people.
#[must_use]
pub fn lines(env: &Env, out: &Printer, status: &Status) -> Vec<String> {
    let Status { daemon, web, hooks, store, capture, detections, .. } = status;
    let mut lines = Vec::new();
    // Text of several lines, such as an error that points at its place, stays one below the other.
    let mut fact = |name: &str, tone: Tone, text: String| {
        for (at, line) in visible_block(&text).lines().enumerate() {
            let name = out.paint(Tone::Strong, &format!("{:8}", if at == 0 { name } else { "" }));
            lines.push(format!("{name} {}", out.paint(tone, line)));
        }
    };
    let state = if daemon.state.is_empty() { "running" } else { &daemon.state };
    let tone = if state == "serving" { Tone::Good } else { Tone::Warn };
    let up = duration_ms(daemon.uptime_s.saturating_mul(1000));
    let kept = if daemon.manager.is_empty() { String::new() } else { format!(", {}", daemon.manager) };
    let memory = bytes(daemon.rss_bytes);
    fact(
        "daemon",
        tone,
        format!("{state}, pid {}, version {}, up {up}{kept}, {memory}", daemon.pid, daemon.version),
    );
    if let Some(supervisor) = daemon.supervisor.as_ref().filter(|s| s.restarts > 0) {
        let last = supervisor.last_exit.as_deref().map(|end| format!(", last: {end}")).unwrap_or_default();
        fact("", Tone::Warn, format!("started again after {}{last}", plural(supervisor.restarts, "crash")));
    }
    for text in daemon.retiring.iter().flat_map(retiring_facts) {
        fact("", Tone::Warn, text);
    }
    if daemon.supervisor_gone {
        fact("", Tone::Bad, format!("{SUPERVISOR_GONE} → `ccctl restart`"));
    }
    if let Some(error) = daemon.config_error.as_deref().map(str::trim_end) {
        let text = match daemon.config_error_about.as_str() {
            "environment" => format!("the environment: {error}; change it, then `ccctl stop`, `ccctl start`"),
            "restart" => format!("{error} → `ccctl restart`"),
            _ => format!("the file in place is not in force: {error}"),
        };
        fact("config", Tone::Bad, text);
    }
    for (at, (tone, text)) in proxy_facts(env, status).into_iter().enumerate() {
        fact(if at == 0 { "proxy" } else { "" }, tone, text);
    }
    if let Some(listen) = &web.listen {
        fact("web", Tone::Plain, web_fact(listen, web.logins));
    }
    if let Some(error) = &web.error {
        fact("web", Tone::Warn, error.clone());
    }
    for (tone, text) in receive_facts(&status.receive) {
        fact("receive", tone, text);
    }

    let (tone, text) = hook_fact(hooks);
    fact("hooks", tone, text);

    if let Some(text) = telemetry_fact(&status.telemetry) {
        fact("client", Tone::Plain, text);
    }
    let transcripts = &status.transcripts;
    if transcripts.enabled && !transcripts.state.is_empty() {
        let behind = transcripts.behind > 0 && transcripts.state != "following";
        let (files, all) = (plural(transcripts.files, "file"), bytes(transcripts.total_bytes));
        let far = if behind { format!("{} of {all}", bytes(transcripts.imported_bytes)) } else { all };
        let skipped = some(transcripts.skipped_lines, "lines too long");
        let tone = if transcripts.state == "refused" { Tone::Warn } else { Tone::Plain };
        fact("history", tone, format!("{}, {files}, {far}{skipped}", transcripts.state));
        if let Some(error) = &transcripts.error {
            fact("", Tone::Warn, error.clone());
        }
    }

    let fails = store.error.is_some() && !store.opening;
    let tone = if store.damaged > 0 || fails { Tone::Bad } else { Tone::Plain };
    let (sessions, records) = (plural(store.sessions, "session"), plural(store.records, "record"));
    let damaged = some(store.damaged, "damaged");
    let figures = format!("{sessions}, {records}, {}, {}{damaged}", bytes(store.bytes), store.path);
    // Until it is open, what is in it is not known.
    fact("store", tone, if store.opening { store.path.clone() } else { figures });
    match &store.error {
        Some(how) if store.opening => fact("", Tone::Warn, how.clone()),
        Some(error) => fact("", Tone::Bad, format!("takes nothing: {error}")),
        None => {}
    }

    let waiting = bytes(capture.queue_bytes);
    if capture.dropped > 0 || capture.gaps > 0 {
        let (dropped, gaps) = (count(capture.dropped), count(capture.gaps));
        fact(
            "capture",
            Tone::Warn,
            format!(
                "{dropped} not captured since start, {gaps} lost or incomplete since ever, {waiting} waiting"
            ),
        );
    } else {
        fact("capture", Tone::Plain, format!("nothing lost, {waiting} waiting"));
    }
    for (at, (tone, text)) in vault::facts(&status.vault).into_iter().enumerate() {
        fact(if at == 0 { "vault" } else { "" }, tone, text);
    }
    if detections.open > 0 {
        let tone = if detections.worst >= 70 { Tone::Bad } else { Tone::Warn };
        fact("detected", tone, detected(env, detections));
    }
    lines
}

/// What is open of what was found.
fn detected(env: &Env, detections: &DetectionStatus) -> String {
    let kinds: Vec<String> =
        detections.kinds.iter().map(|(kind, n)| format!("{} {kind}", count(*n))).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let last = detections.last_at.as_deref().map(|at| time::short(at, env.now, &env.tz)).unwrap_or_default();
    let last = if last.is_empty() { last } else { format!(", the last {last}") };
    let worst =
        if detections.worst > 0 { format!(", severity up to {}", detections.worst) } else { String::new() };
    let open = plural(detections.open, "open detection");
    format!("{open}{kinds}{worst}{last}; `ccctl detections` lists them")
}

/// A figure that is told only where there is something to count.
fn some(n: u64, what: &str) -> String {
    if n > 0 { format!(", {} {what}", count(n)) } else { String::new() }
}

/// The proxy's part: what it does, its last error, the API's rate limits.
#[must_use]
pub fn proxy_facts(env: &Env, status: &Status) -> Vec<(Tone, String)> {
    let proxy = &status.proxy;
    let tone = if proxy.bypass { Tone::Bad } else { Tone::Plain };
    let bypass = if proxy.bypass { ", RELAYING WITHOUT CAPTURE" } else { "" };
    let again =
        if proxy.retries > 0 { format!(" ({} sent again)", count(proxy.retries)) } else { String::new() };
    let relayed = some(proxy.relayed, "relayed only");
    let captured = plural(proxy.exchanges, "exchange");
    let (listen, upstream, under_way) = (&proxy.listen, &proxy.upstream, proxy.in_flight);
    let doing =
        format!("{listen} → {upstream}, {under_way} under way, {captured} captured{again}{relayed}{bypass}");
    let mut facts = vec![(tone, doing)];
    if let Some(reason) = &proxy.bypass_reason {
        facts.push((Tone::Bad, format!("nothing is captured: {}", visible(reason))));
    }
    if proxy.refused > 0 {
        facts.push((Tone::Bad, format!("{} of other users refused", plural(proxy.refused, "connection"))));
    }
    if proxy.turned_away > 0 {
        let (many, open) = (plural(proxy.turned_away, "connection"), count(proxy.connections));
        facts.push((Tone::Warn, format!("{many} turned away as too many, {open} open")));
    }
    if proxy.errors > 0 {
        let last = proxy.last_error.as_deref().map(|e| format!(", last: {}", visible(e))).unwrap_or_default();
        facts.push((Tone::Warn, format!("{} to upstream since start{last}", plural(proxy.errors, "error"))));
    }
    if let Some(told) = &status.rate_limits {
        let limits = limits::line(env, told).map(|(tone, line)| (tone, format!("rate limits: {line}")));
        facts.extend(limits.into_iter().chain(limits::refusal(env, told)));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};
    use ccd_proto::api::{RateLimit, RateLimits};
    use serde_json::Value;

    #[test]
    fn json_is_the_daemons_with_the_hooks_looked_up() {
        let home = Home::new();
        home.programs();
        let body = r#"{"schema_version":1,"hooks":{"installed":false,"events":3,"new":[1]},"tomorrow":{}}"#;
        let _daemon = home.daemon(move |_| Reply::json(body));
        let hooks = plugin::Hooks::new(&home.env(), None).unwrap();
        home.write(".claude/skills/ccd/hooks/hooks.json", hooks.file().unwrap());
        let (mut out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out, &JsonArgs { json: true }).unwrap();
        assert_eq!(text.text(), body.replace("false", "true") + "\n");
    }

    #[test]
    fn a_daemon_that_is_not_there_has_a_status_too() {
        let (mut out, text, _) = Printer::captured(80);
        let error = run(&Home::new().env(), &mut out, &JsonArgs { json: true }).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(
            text.text().starts_with("{\"schema_version\":1,\"daemon\":{\"running\":false,"),
            "{}",
            text.text()
        );
        let value: Value = serde_json::from_str(&text.text()).unwrap();
        assert_eq!(value["hooks"]["installed"], false);
        let (mut out, text, _) = Printer::captured(80);
        assert_eq!(run(&Home::new().env(), &mut out, &JsonArgs::default()).unwrap_err().exit_code(), 3);
        assert_eq!(text.text(), "");
    }

    #[test]
    fn a_daemon_without_its_supervisor_says_so() {
        let (out, _, _) = Printer::captured(100);
        let mut status = Status::default();
        let told = |status: &Status| lines(&Home::new().env(), &out, status).join("\n");
        assert!(!told(&status).contains("supervisor"));
        status.daemon.supervisor_gone = true;
        assert!(
            told(&status).contains(
                "the supervisor is gone: nobody holds the port if the daemon ends → `ccctl restart`"
            )
        );
    }

    #[test]
    fn what_is_open_is_told() {
        let (out, _, _) = Printer::captured(100);
        let mut s = Status::default();
        s.detections.open = 3;
        let told = |s: &Status| lines(&Home::new().env(), &out, s).pop().unwrap();
        assert_eq!(told(&s), "detected 3 open detections; `ccctl detections` lists them");
        s.detections.worst = 75;
        s.detections.last_at = Some("2026-11-20T20:15:09Z".into());
        s.detections.kinds = [("cost".to_owned(), 1), ("loop".to_owned(), 2)].into();
        assert_eq!(
            told(&s),
            "detected 3 open detections (1 cost, 2 loop), severity up to 75, the last 20:15:09; `ccctl detections` lists them"
        );
    }

    #[test]
    fn a_status_for_people() {
        let (out, _, _) = Printer::captured(100);
        let mut s = Status::default();
        s.daemon.state = "serving".into();
        s.daemon.pid = 42;
        s.daemon.version = "0.1.0".into();
        s.daemon.uptime_s = 7620;
        s.proxy.listen = "127.0.0.1:7788".into();
        s.proxy.upstream = "https://api.anthropic.com".into();
        s.proxy.errors = 2;
        s.proxy.last_error = Some("refused\u{1b}".into());
        s.store.path = "/x/store".into();
        s.daemon.config_error = Some("TOML parse error at line 1\n  |\n1 | x\u{1b}\n".into());
        s.proxy.retries = 3;
        s.rate_limits = Some(RateLimits {
            limits: vec![RateLimit {
                name: "unified-5h".into(),
                used_percent: Some(42.0),
                ..RateLimit::default()
            }],
            ..RateLimits::default()
        });
        insta::assert_snapshot!(lines(&Home::new().env(), &out, &s).join("\n"), @r"
        daemon   serving, pid 42, version 0.1.0, up 2h07m, 0 B
        config   the file in place is not in force: TOML parse error at line 1
                   |
                 1 | x\u{1b}
        proxy    127.0.0.1:7788 → https://api.anthropic.com, 0 under way, 0 exchanges captured (3 sent again)
                 2 errors to upstream since start, last: refused\u{1b}
                 rate limits: 5h 42 % used
        hooks    not installed, 0 events, 0 in the spool
        store    0 sessions, 0 records, 0 B, /x/store
        capture  nothing lost, 0 B waiting
        ");
    }
}
