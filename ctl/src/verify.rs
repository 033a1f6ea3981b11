//! `ccctl verify` (`doctor`): is everything in place, and what is to be done where it is not.
//!
//! One check per line: what was looked at, what was found, what to type. Changes nothing, unless `--fix` asks for it:
//! then what can be put right is put right first, and the checks tell how it is afterwards.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ccd_proto::api::Status;
use serde::Serialize;

use crate::args::VerifyArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::Invocation;
use crate::human::plural;
use crate::manifest::Manifest;
use crate::printer::{Printer, Tone, visible, visible_block};
use crate::repair::{self, Repaired};
use crate::settings::{BASE_URL, Document, status_line};
use crate::{claude, daemon, plugin, ports, proof, status};

/// How long a store may take to open before that is what is told of it.
const OPENING: Duration = Duration::from_secs(5);

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Check { name, ok: true, detail: detail.into(), hint: None }
    }

    fn bad(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Check { name, ok: false, detail: detail.into(), hint: Some(hint.into()) }
    }

    fn of(name: &'static str, result: Result<String>) -> Self {
        match result {
            Ok(detail) => Check::good(name, detail),
            Err(e) => Check { name, ok: false, detail: e.message, hint: e.hints.into_iter().next() },
        }
    }
}

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &VerifyArgs) -> Result<()> {
    let repaired = if args.fix { repair::run(env, out)? } else { Repaired::default() };
    let checks = checks(env, out);
    if args.json {
        #[derive(Serialize)]
        struct Verdict<'a> {
            ok: bool,
            checks: &'a [Check],
            fixed: &'a [String],
            not_fixed: Option<&'a str>,
        }
        out.json(&Verdict {
            ok: checks.iter().all(|c| c.ok),
            checks: &checks,
            fixed: &repaired.done,
            not_fixed: repaired.failed.as_ref().map(|error| error.message.as_str()),
        })?;
    } else {
        for done in &repaired.done {
            out.line(format!("{} {:10} {}", out.paint(Tone::Warn, "•"), "fixed", visible(done)))?;
        }
        if let Some(error) = &repaired.failed {
            out.warn(&error.message);
            error.hints.iter().for_each(|hint| out.note(format!("  {}", visible(hint))));
        }
        for check in &checks {
            let (mark, tone) = if check.ok { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
            // An error that points at its place keeps its lines.
            for (at, line) in visible_block(&check.detail).lines().enumerate() {
                let mark = if at == 0 { out.paint(tone, mark) } else { " ".to_owned() };
                let name = if at == 0 { check.name } else { "" };
                out.line(format!("{mark} {name:10} {line}"))?;
            }
            if let Some(hint) = &check.hint {
                out.line(format!("             → {}", visible(hint)))?;
            }
        }
    }
    match checks.iter().filter(|c| !c.ok).count() {
        0 => Ok(()),
        failed => Err(CommandError::failed(format!("{} failed", plural(failed as u64, "check")))),
    }
}

/// Every check.
pub fn checks(env: &Env, out: &mut Printer) -> Vec<Check> {
    let mut checks = vec![Check::of("programs", programs(env))];
    let status = opened(env, out);
    checks.extend(daemon_checks(env, status.as_ref().map(Option::as_ref)));
    checks.extend(port_check(env, status.as_ref().ok().and_then(Option::as_ref)));
    let manifest = Manifest::load(&env.layout);
    let manifest = match manifest {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            checks.push(Check::bad(
                "install",
                "nothing is installed",
                "`ccctl install` (or record one session with `ccctl run`)",
            ));
            checks.push(places(env));
            return checks;
        }
        Err(e) => {
            checks.push(Check::of("install", Err(e)));
            return checks;
        }
    };
    let settings = manifest.options.settings.clone();
    for dir in env.claude_dirs().unwrap_or_default() {
        if !manifest.options.only_proxy && !manifest.options.no_hooks {
            checks.extend(hook_checks(env, &dir, settings.as_deref()));
        }
        if manifest.options.proxy {
            let file = settings.clone().unwrap_or_else(|| dir.join("settings.json"));
            let running = status.as_ref().ok().is_some_and(Option::is_some);
            checks.push(request_check(env, &file, running));
        } else {
            checks.push(Check::good("settings", "left alone (installed with --no-proxy)"));
        }
        if manifest.options.statusline {
            let file = settings.clone().unwrap_or_else(|| dir.join("settings.json"));
            checks.push(status_line_check(env, &file));
        }
    }
    checks.push(service_check(&manifest));
    checks.push(places(env));
    checks
}

/// The daemon's status, once its store is open, which takes a moment after a start.
fn opened(env: &Env, out: &mut Printer) -> Result<Option<Status>> {
    let deadline = Instant::now() + OPENING;
    loop {
        let status = daemon::status(env, out)?;
        if !status.as_ref().is_some_and(|s| s.store.opening) || Instant::now() >= deadline {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The programs are there and of one version.
fn programs(env: &Env) -> Result<String> {
    let ccd = env.program("ccd")?;
    env.program("cc-hook")?;
    let said = env.runner.run(&Invocation::new(&ccd, ["--version"]));
    let said = said.map_err(|e| CommandError::failed(format!("cannot run {}: {e}", ccd.display())))?;
    let version = said.stdout.split_whitespace().last().unwrap_or_default().to_owned();
    if version == ccd_proto::VERSION {
        return Ok(format!(
            "ccd, cc-hook and ccctl {version} in {}",
            ccd.parent().unwrap_or(Path::new("/")).display()
        ));
    }
    if version.is_empty() {
        return Err(CommandError::failed(format!("{} does not tell its version", ccd.display()))
            .hint("install all three programs of one version"));
    }
    Err(CommandError::failed(format!(
        "{} is version {version}, ccctl is {}",
        ccd.display(),
        ccd_proto::VERSION
    ))
    .hint("install all three programs of one version"))
}

/// Whether the file that a process was started from is another one by now: after an upgrade, say, which need not have
/// changed the version. Only Linux tells.
fn is_replaced(pid: u32) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|path| path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)"))
}

fn daemon_checks(env: &Env, status: Result<Option<&Status>, &CommandError>) -> Vec<Check> {
    let status = match status {
        Ok(Some(status)) => status,
        Ok(None) => return vec![Check::bad("daemon", "it is not running", "`ccctl start`")],
        Err(e) => return vec![Check::of("daemon", Err(e.clone()))],
    };
    let d = &status.daemon;
    let mut checks = vec![match d.state.as_str() {
        "retiring" => Check::bad(
            "daemon",
            "it is on its way out after `ccctl uninstall`",
            "`ccctl install` brings it back",
        ),
        _ if d.version != ccd_proto::VERSION => Check::bad(
            "daemon",
            format!("version {} is running, {} is installed", d.version, ccd_proto::VERSION),
            "`ccctl restart`",
        ),
        _ if is_replaced(d.pid) && env.program("ccd").is_ok() => Check::bad(
            "daemon",
            "it goes on with a program that was replaced on disk since it started",
            "`ccctl restart` changes over; no stream is cut",
        ),
        _ if d.supervisor_gone => Check::bad("daemon", status::SUPERVISOR_GONE, "`ccctl restart`"),
        _ => Check::good(
            "daemon",
            format!("running, pid {}, {} → {}", d.pid, status.proxy.listen, status.proxy.upstream),
        ),
    }];
    let config = env.layout.config_file.display();
    checks.push(match d.config_error.as_deref().map(str::trim_end) {
        Some(error) => match d.config_error_about.as_str() {
            "environment" => Check::bad(
                "config",
                format!("the environment: {error}"),
                "change it, then `ccctl stop` and `ccctl start`",
            ),
            "restart" => Check::bad("config", error, "`ccctl restart`"),
            _ => Check::bad(
                "config",
                format!("{config} is not in force: {error}"),
                "correct it: it is read again by itself",
            ),
        },
        None => Check::good(
            "config",
            if env.layout.config_file.exists() { format!("{config} is in force") } else { "defaults".into() },
        ),
    });
    checks.push(match &status.store.error {
        Some(how) if status.store.opening => Check::good("store", how.clone()),
        // The supervisor's words: the disk is not what is wrong.
        Some(error) if status.proxy.bypass && error.contains("died again and again") => Check::bad(
            "store",
            format!("nothing is captured: {error}"),
            "`ccctl logs` says why; then `ccctl restart`",
        ),
        Some(error) => Check::bad(
            "store",
            format!("takes nothing: {error}"),
            "make room or repair the disk; requests are relayed meanwhile",
        ),
        None if status.store.damaged > 0 => Check::bad(
            "store",
            format!("{} damaged records were found; the rest is served", status.store.damaged),
            "look at the disk; `ccctl logs` names the files",
        ),
        None if status.proxy.bypass => {
            Check::bad("store", "requests are relayed without being captured", "`ccctl logs` says why")
        }
        None => Check::good("store", status.store.path.clone()),
    });
    let proxy = &status.proxy;
    if proxy.unreached > 0 {
        let cause = proxy.last_error.as_deref().unwrap_or("the cause is in the log");
        checks.push(Check::bad(
            "upstream",
            format!("{} is not reached ({} in a row): {cause}", proxy.upstream, plural(proxy.unreached, "request")),
            "look at the network, and at `upstream` and `[network]` in config.toml; the next request tries again",
        ));
    } else if status.proxy.errors > 0
        && let Some(error) = &status.proxy.last_error
    {
        checks.push(Check::good(
            "upstream",
            format!("{} since start, the last: {error}", plural(status.proxy.errors, "error")),
        ));
    }
    checks
}

/// The hooks stand in Claude Code's files, fit its version, and reach the daemon.
fn hook_checks(env: &Env, dir: &Path, settings: Option<&Path>) -> Vec<Check> {
    let Some(hooks) = plugin::in_force(env, dir, settings) else {
        let place = plugin::hooks_path(&plugin::directory(dir));
        return vec![Check::bad(
            "hooks",
            format!("they do not stand in {}", place.display()),
            "`ccctl install` puts them there",
        )];
    };
    let version = claude::find(env).and_then(|program| claude::version(env, &program));
    let wanted = plugin::events(version);
    let unknown: Vec<_> = hooks.events.iter().filter(|e| !wanted.contains(e)).map(String::as_str).collect();
    let missing: Vec<_> = wanted.iter().filter(|e| !hooks.events.contains(e)).map(String::as_str).collect();
    let client =
        version.map_or_else(|| "a client of unknown version".to_owned(), |v| format!("Claude Code {v}"));
    let fit = if !unknown.is_empty() && version.is_some() {
        Check::bad(
            "hooks",
            format!("{client} does not know {}, and may drop all of them", unknown.join(", ")),
            "`ccctl install` writes them for this version",
        )
    } else if !missing.is_empty() {
        Check::bad(
            "hooks",
            format!("{client} knows {} more: {}", missing.len(), missing.join(", ")),
            "`ccctl install` adds them",
        )
    } else {
        Check::good("hooks", format!("{} for {client}", plural(hooks.events.len() as u64, "event")))
    };
    vec![fit, Check::of("event", proof::hook(env, &hooks).map(|()| "a hook event arrives".to_owned()))]
}

/// Who listens where a settings file sends requests, if it is not ccd.
fn listens_at(file: &Path) -> Option<String> {
    let document = Document::read(&std::fs::read(file).ok()?).ok()?;
    let url = document.env(BASE_URL)?;
    let address = url.strip_prefix("http://")?.split('/').next()?.parse().ok()?;
    ports::holder(address).filter(|holder| !holder.is_ccd()).map(|holder| holder.to_string())
}

/// A port that somebody else has keeps the daemon from starting. One that is free needs no line.
fn port_check(env: &Env, status: Option<&Status>) -> Option<Check> {
    let address = ports::configured(env).filter(|_| status.is_none())?;
    let holder = ports::holder(address)?;
    Some(Check::bad(
        "port",
        format!("{address} is taken by {holder}"),
        "end that program, or set `[proxy] listen` in config.toml; then `ccctl start`",
    ))
}

fn request_check(env: &Env, file: &Path, running: bool) -> Check {
    match proof::request(env, file) {
        Ok(version) => {
            Check::good("request", format!("{}: a request arrives, ccd {version} answers", file.display()))
        }
        Err(e) => {
            let advice = if running {
                // It listens elsewhere than when it was installed.
                "`ccctl doctor --fix` writes the daemon's address into it"
            } else {
                "`ccctl doctor --fix`; or `ccctl uninstall`, if ccd shall not run"
            };
            let hint = e.hints.first().cloned().unwrap_or_else(|| advice.into());
            let who = listens_at(file).map(|who| format!("; {who} listens there")).unwrap_or_default();
            Check::bad("request", format!("{}{who}", e.message), hint)
        }
    }
}

fn status_line_check(env: &Env, file: &Path) -> Check {
    match status_line::in_file(file) {
        Some(line) if line == status_line::ours(env) => {
            Check::good("statusline", format!("{}: it is ours", file.display()))
        }
        Some(line) if status_line::is_ours(&line) => Check::bad(
            "statusline",
            format!("{}: it runs another ccctl", file.display()),
            "`ccctl install --statusline` sets this one",
        ),
        Some(_) => Check::good("statusline", format!("{}: somebody else's, left alone", file.display())),
        None => Check::bad(
            "statusline",
            format!("{}: it is gone", file.display()),
            "`ccctl install --statusline` sets it again",
        ),
    }
}

fn service_check(manifest: &Manifest) -> Check {
    match &manifest.service {
        Some(service) if service.path.exists() => {
            Check::good("service", format!("{}: {}", service.manager, service.path.display()))
        }
        Some(service) => Check::bad(
            "service",
            format!("{} is gone", service.path.display()),
            "`ccctl install` writes it again",
        ),
        None => Check::good("service", "none: after a reboot, `ccctl start`"),
    }
}

/// Nobody else can look into our directories and sockets, and nothing waits in the spool.
fn places(env: &Env) -> Check {
    let l = &env.layout;
    let open: Vec<String> = [&l.state_dir, &l.run_dir, &l.spool_dir, &l.log_dir]
        .into_iter()
        .map(|dir| (dir.clone(), false))
        .chain([(l.control_socket(), true), (l.hook_socket(), true), (l.token_file(), false)])
        .filter_map(|(path, socket)| too_open(&path, socket))
        .collect();
    if !open.is_empty() {
        return Check::bad("access", open.join("; "), "chmod go-rwx on them");
    }
    // Files that are being written begin with a dot.
    let waiting = |dir: &PathBuf| -> usize {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter(|e| {
                e.file_type().is_ok_and(|t| t.is_file()) && !e.file_name().to_string_lossy().starts_with('.')
            })
            .count()
    };
    match waiting(&l.spool_dir) {
        0 => Check::good("access", "only you can look into ccd's files; the spool is empty"),
        n => Check::bad(
            "access",
            format!("{} wait in {}", plural(n as u64, "event"), l.spool_dir.display()),
            "a running daemon takes them up: `ccctl start`, `ccctl logs`",
        ),
    }
}

fn too_open(path: &Path, socket: bool) -> Option<String> {
    let meta = path.symlink_metadata().ok()?;
    if socket && !meta.file_type().is_socket() {
        return Some(format!("{} is no socket", path.display()));
    }
    let mode = meta.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| format!("{} has mode {mode:o}", path.display()))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
