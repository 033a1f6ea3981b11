//! `ccctl uninstall`: takes back what `install` did.
//!
//! Settings first, so that no new session is sent to a daemon on its way out. The daemon is then retired, not
//! stopped: a session that is running keeps the base URL it started with, whatever the settings say now.
//! Works with the daemon down, after a killed installation, without a manifest, and any number of times.

mod finish;
mod programs;
mod wait;

use std::path::{Path, PathBuf};

use ccd_proto::api::RetiringSession;
use serde::Serialize;

use crate::args::UninstallArgs;
use crate::changes::{Journal, Planned, Undone};
use crate::client::Client;
use crate::daemon;
use crate::env::Env;
use crate::error::{Kind, Result};
use crate::files::{self, Lock};
use crate::install::show_plans;
use crate::manifest::{FileKind, backups};
use crate::plugin;
use crate::printer::{Printer, visible};
use crate::service;
use crate::settings::{Document, Written, hooks};
use crate::skill;

pub(crate) use finish::Note;
pub(crate) use programs::note as note_programs;
pub use programs::{Placed, PlacedFile};
pub(crate) use wait::named as session_named;

use wait::Stand;

/// What was taken back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Files that are what they were before, byte for byte.
    pub restored: Vec<PathBuf>,
    /// Files that did not exist before, and are gone.
    pub removed: Vec<PathBuf>,
    /// Files that somebody else has changed meanwhile: only what is ours was taken out.
    pub taken_out: Vec<PathBuf>,
    /// Directories of ours that hold something of somebody else.
    pub kept: Vec<PathBuf>,
    /// `retired`, `stopped`, `not_running`, `left_alone` where nothing was installed, or `unknown` if it did not answer.
    pub daemon: String,
    /// Whether what was recorded is gone, too.
    pub purged: bool,
    /// Sessions that the daemon goes on for.
    pub sessions: Vec<RetiringSession>,
    /// Whether everything is gone; if not, the daemon removes the rest at its end.
    pub finished: bool,
    /// Programs that somebody has replaced since they were installed, which stay.
    pub programs_kept: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &UninstallArgs) -> Result<()> {
    if args.dry_run {
        return dry_run(env, out, args);
    }
    if args.finish {
        return finish::run(env);
    }
    let lock = Lock::take(&env.layout.state_dir)?;
    adopt(env, &mut Journal::open(&env.layout, env.token())?)?;
    let journal = Journal::open(&env.layout, env.token())?;
    let whole = !journal.manifest.options.only_proxy;
    let mut report = Report::default();
    let journal = claude_files(env, out, journal, &mut report)?;
    let now = args.now || args.purge;
    let mut note = Note::load(&env.layout)?.unwrap_or_default();
    note.ccctl.clone_from(&env.exe);
    if !journal.manifest.placed.files.is_empty() {
        note.placed = journal.manifest.placed.clone();
    }
    if !journal.manifest.grounds.is_empty() {
        note.grounds.clone_from(&journal.manifest.grounds);
    }
    let told = if note.placed.files.is_empty() { Some(programs::remover(env)) } else { None };
    // A daemon that is stopped leaves the rest to us.
    if whole && !now {
        note.save(&env.layout)?;
    }
    dismiss(env, out, now)?.clone_into(&mut report.daemon);
    if whole && now {
        note.save(&env.layout)?;
    }
    close(journal, &mut report)?;
    for dir in env.claude_dirs().unwrap_or_default() {
        // The client has made it; refused where anything is in it.
        let _ = std::fs::remove_dir(plugin::data_directory(&dir));
    }
    // They hold the path token; whoever still runs may read its own once more. Without a directory there are none.
    let _ = crate::run::remove_ended(&env.layout.run_dir);
    if matches!(report.daemon.as_str(), "stopped" | "not_running") && whole {
        let removed = finish::all(env, lock, args.purge)?;
        report.removed.extend(removed.removed);
        report.programs_kept = removed.kept;
        (report.finished, report.purged) = (true, args.purge);
    } else {
        drop(lock);
        if report.daemon == "retired" {
            match wait::until_gone(env, out, args.wait)? {
                Stand::Gone => report.finished = true,
                Stand::Goes(sessions) => report.sessions = sessions,
            }
        }
    }
    if args.json {
        return out.json(&report);
    }
    let mut lines = lines(env, &report);
    lines.extend(told.filter(|_| whole));
    lines.iter().try_for_each(|line| out.line(line))
}

/// Whether there is nothing of ours to take back.
pub(crate) fn is_nothing_there(env: &Env) -> Result<bool> {
    let journal = Journal::open(&env.layout, env.token())?;
    let manifest = &journal.manifest;
    Ok(manifest.files.is_empty() && manifest.service.is_none() && unknown(env, &journal)?.is_empty())
}

/// Says that nothing was done, the daemon left alone.
pub(crate) fn nothing_done(env: &Env, out: &mut Printer, json: bool) -> Result<()> {
    let report = Report { daemon: "left_alone".into(), ..Report::default() };
    if json {
        return out.json(&report);
    }
    lines(env, &report).iter().try_for_each(|line| out.line(line))
}

/// Takes everything in the journal back, but leaves the daemon alone: a first installation that failed.
pub(crate) fn take_back(env: &Env, out: &mut Printer, journal: Journal<'_>) -> Result<Report> {
    let mut report = Report::default();
    let journal = claude_files(env, out, journal, &mut report)?;
    close(journal, &mut report)?;
    Ok(report)
}

/// Claude Code's files, then the service.
fn claude_files<'a>(
    env: &Env,
    out: &mut Printer,
    mut journal: Journal<'a>,
    report: &mut Report,
) -> Result<Journal<'a>> {
    let service = journal.manifest.service.clone();
    let mut units: Vec<_> = service.iter().map(|service| service.path.clone()).collect();
    let manager = service.as_ref().and_then(|service| service::named(env, &service.manager));
    units.extend(manager.iter().flat_map(service::Manager::paths));
    let of = |journal: &Journal<'_>, kind: FileKind| -> Vec<PathBuf> {
        let files = journal.manifest.files.iter().filter(|change| change.kind == kind);
        files.map(|change| change.path.clone()).filter(|path| !units.contains(path)).collect()
    };
    let settings = of(&journal, FileKind::Settings);
    // One file that cannot be taken back must not keep the others as they are.
    let mut failed = None;
    let mut still_sent = false;
    for path in settings.into_iter().chain(of(&journal, FileKind::Own)) {
        if let Err(error) = undo(&mut journal, &path, report) {
            still_sent |= points_here(env, &path);
            match failed {
                None => failed = Some(error),
                Some(_) => out.warn(&error.message),
            }
        }
    }
    if still_sent && let Some(error) = failed {
        journal.save()?;
        return Err(error
            .hint("Claude Code is still sent here by that file: the daemon and its service stay until `ccctl uninstall` succeeds")
            .hint("everything else of ours in Claude Code's files is gone"));
    }
    if service.is_some() {
        if let Some(manager) = &manager
            && let Err(e) = manager.disable(env)
        {
            // Its file goes anyway, and that is what counts.
            out.warn(visible(&e.message));
        }
        units.dedup();
        for unit in &units {
            undo(&mut journal, unit, report)?;
        }
        if let Some(manager) = &manager
            && let Err(e) = manager.forget(env)
        {
            out.warn(visible(&e.message));
        }
        journal.manifest.service = None;
        journal.save()?;
    }
    if let Some(error) = failed {
        journal.save()?;
        return Err(error);
    }
    Ok(journal)
}

/// Whether a settings file sends Claude Code to us.
fn points_here(env: &Env, path: &Path) -> bool {
    let document = std::fs::read(path).ok().and_then(|bytes| Document::read(&bytes).ok());
    document.and_then(|d| d.env(crate::settings::BASE_URL)).is_some_and(|url| env.is_our_url(&url))
}

/// The daemon's configuration, directories and the manifest itself. Last, because a daemon that has not been
/// told to retire would take up the changed configuration.
fn close(mut journal: Journal<'_>, report: &mut Report) -> Result<()> {
    let rest: Vec<_> = journal.manifest.files.iter().map(|change| change.path.clone()).collect();
    for path in rest {
        undo(&mut journal, &path, report)?;
    }
    // Claude Code's own directories are full of its own things by now; ours should be gone.
    let ours = [Path::new("skills/ccd"), &Path::new("skills").join(skill::ALONE)];
    report.kept = journal.remove_directories()?;
    report.kept.retain(|dir| dir.ancestors().any(|dir| ours.iter().any(|ours| dir.ends_with(ours))));
    journal.close()
}

fn undo(journal: &mut Journal<'_>, path: &Path, report: &mut Report) -> Result<()> {
    match journal.undo(path)? {
        Undone::Restored => report.restored.push(path.to_owned()),
        Undone::Removed => report.removed.push(path.to_owned()),
        Undone::TakenOut => report.taken_out.push(path.to_owned()),
        Undone::Nothing => {}
    }
    Ok(())
}

/// Notes down what is ours in Claude Code's files but not in the manifest (which may be lost), so that it is
/// taken back like the rest.
fn adopt(env: &Env, journal: &mut Journal<'_>) -> Result<()> {
    for planned in unknown(env, journal)? {
        // What is there is what shall be there: nothing is written but the note.
        journal.apply(&planned)?;
    }
    Ok(())
}

fn unknown(env: &Env, journal: &Journal<'_>) -> Result<Vec<Planned>> {
    let mut places = Vec::new();
    let roots: Vec<_> = env.home().into_iter().chain(env.claude_dirs().unwrap_or_default()).collect();
    for dir in env.claude_dirs().unwrap_or_default() {
        let plugin = plugin::directory(&dir);
        let candidates = [
            (FileKind::Settings, dir.join("settings.json")),
            (FileKind::Own, plugin::hooks_path(&plugin)),
            (FileKind::Own, plugin::manifest_path(&plugin)),
            (FileKind::Own, plugin::server::path(&plugin)),
            (FileKind::Own, plugin::skill_path(&plugin)),
        ];
        places.extend(candidates);
    }
    places.extend(skill::codex_path(env).map(|path| (FileKind::Own, path)));
    let mut found = Vec::new();
    for (kind, path) in places {
        // A file that cannot be read has nothing of ours that Claude Code would see.
        let Ok(path) = files::resolve(&path, &roots) else { continue };
        let Some(bytes) = files::read(&path)? else { continue };
        if journal.manifest.file(&path).is_some() || !is_ours(env, kind, &path, &bytes) {
            continue;
        }
        let original = match kind {
            FileKind::Own => None,
            _ => journal.base(kind, &path, Some(&bytes))?,
        };
        let (current, target) = (Some(bytes.clone()), Some(bytes));
        found.push(Planned { kind, path, original, current, target, written: Written::default() });
    }
    Ok(found)
}

fn is_ours(env: &Env, kind: FileKind, path: &Path, bytes: &[u8]) -> bool {
    if path.ends_with("SKILL.md") {
        return skill::is_ours(env, bytes);
    }
    let Ok(document) = Document::read(bytes) else { return false };
    let our_hooks = || {
        let socket = env.layout.hook_socket();
        hooks::ours(document.value()).any(|(_, h)| {
            h.pointer("/args/0").and_then(|s| s.as_str()).is_some_and(|s| Path::new(s) == socket)
        })
    };
    match kind {
        FileKind::Settings => {
            document.env(crate::settings::BASE_URL).is_some_and(|url| env.is_our_url(&url)) || our_hooks()
        }
        _ if path.ends_with("plugin.json") => {
            let hooks = path.parent().and_then(Path::parent).map(plugin::hooks_path);
            document.value().get("name").is_some_and(|name| name == "ccd")
                && hooks
                    .and_then(|path| std::fs::read(path).ok())
                    .is_some_and(|hooks| is_ours(env, kind, Path::new("hooks.json"), &hooks))
        }
        _ if path.ends_with(".mcp.json") => plugin::server::is_ours(env, document.value()),
        _ => our_hooks(),
    }
}

/// Retires the daemon, or stops it.
fn dismiss(env: &Env, out: &mut Printer, now: bool) -> Result<&'static str> {
    // One that was killed must not come back with the next event of a session that is still running.
    let _ = std::fs::remove_file(env.layout.revival_note());
    if now {
        return Ok(if daemon::stop(env, out, true)? { "stopped" } else { "not_running" });
    }
    match Client::new(env)?.post("/v0/retire") {
        Ok(()) => Ok("retired"),
        Err(e) if e.kind == Kind::NotRunning => Ok("not_running"),
        // Claude Code's files are in order; that one answers no more does not change this.
        Err(e) => {
            out.warn(visible(&format!("the daemon does not retire: {}; `ccctl stop` stops it", e.message)));
            Ok("unknown")
        }
    }
}

fn dry_run(env: &Env, out: &mut Printer, args: &UninstallArgs) -> Result<()> {
    let journal = Journal::open(&env.layout, env.token())?;
    let mut planned = Vec::new();
    for change in &journal.manifest.files {
        planned.push(journal.plan_undo(change)?.0);
    }
    for found in unknown(env, &journal)? {
        planned.push(Planned { target: found.original.clone(), ..found });
    }
    show_plans(out, &planned, args.json)
}

fn lines(env: &Env, report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |what: &str, paths: &[PathBuf]| {
        lines.extend(paths.iter().map(|path| visible(&format!("{what}: {}", path.display()))));
    };
    tell("as before", &report.restored);
    tell("removed", &report.removed);
    tell("changed by somebody else since, so only what is ours was taken out", &report.taken_out);
    tell("kept, because it holds files that are not ours", &report.kept);
    tell("kept, because somebody has replaced it", &report.programs_kept);
    if lines.is_empty() {
        lines.push("nothing was installed".to_owned());
    }
    match report.daemon.as_str() {
        "retired" if report.finished => lines.push("the daemon has ended: no session needed it".to_owned()),
        "retired" => {
            lines.push(
                "the daemon goes on answering sessions that are still running, and ends by itself (`--wait` waits, `--now` stops it at once)"
                    .to_owned(),
            );
            lines.extend(report.sessions.iter().map(|session| format!("  {}", session_named(session))));
            lines.push("its sockets, logs and programs go with it".to_owned());
        }
        "stopped" => {
            lines.push("the daemon was stopped: sessions that were running need a restart".to_owned());
        }
        _ => {}
    }
    if report.purged {
        lines.push("everything recorded was deleted".to_owned());
    } else if env.layout.store_dir().exists() {
        let store = env.layout.store_dir();
        lines.push(format!(
            "what was recorded is kept in {}; `ccctl uninstall --purge` deletes it",
            store.display()
        ));
    }
    if backups(&env.layout).exists() {
        lines.push(format!("copies of changed files are in {}", backups(&env.layout).display()));
    }
    lines
}
