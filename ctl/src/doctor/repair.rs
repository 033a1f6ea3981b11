//! `ccctl doctor --fix`: puts right what can be put right, and says each thing that it did.
//!
//! The order of what matters: Claude Code must be able to work. So a base URL of ours in the settings is answered when
//! this ends, or it is not there any more and what stood there before is back; never does it point at a dead port, or
//! at somebody else's. A base URL that the user chose is left alone.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ccd_proto::api::Status;
use ccd_proto::paths::base_url;

use crate::args::{HooksIn, InstallArgs};
use crate::changes::{Journal, Planned};
use crate::client::Client;
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::files::{self, Lock};
use crate::manifest::{FileKind, Manifest};
use crate::printer::Printer;
use crate::settings::{self, BASE_URL, Document, THINKING, Wanted};
use crate::{daemon, install, plugin, ports};

/// What was done, in the words for people; and what could not be.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Each thing that was changed.
    pub done: Vec<String>,
    /// Why something is as it was.
    pub failed: Option<CommandError>,
}

/// Puts right what can be put right. Works with the daemon down.
pub fn run(env: &Env, out: &mut Printer) -> Result<Repaired> {
    let mut repaired = Repaired::default();
    close_doors(env, &mut repaired);
    let manifest = Manifest::load(&env.layout)?;
    let before = daemon::status(env, out).ok().flatten();
    let stray = manifest.is_none() && !ours(env, None).is_empty();
    let installed = match &manifest {
        Some(manifest) if !is_users_own(env, manifest) => Some(args_of(manifest)),
        None if stray => Some(InstallArgs { no_service: true, only_proxy: true, ..InstallArgs::default() }),
        _ => None,
    };
    let tried = match &installed {
        Some(args) => install::again(env, out, args).map(|changed| {
            let written = changed.iter().map(|path| format!("wrote {} anew", path.display()));
            repaired.done.extend(written);
        }),
        None => daemon::ensure_lasting(env, out).map(drop),
    };
    if let Err(error) = ports::explained(env, tried) {
        repaired.failed = Some(error);
    }
    let now = daemon::status(env, out).ok().flatten();
    if let Some(now) = &now
        && before.as_ref().is_none_or(|before| before.daemon.pid != now.daemon.pid)
    {
        repaired.done.insert(0, format!("started the daemon, pid {}", now.daemon.pid));
    }
    settle(env, now.as_ref(), &mut repaired)?;
    Ok(repaired)
}

/// After a start: settings that name an old port of ours are brought up to date. Says what it did, on stderr.
pub fn after_start(env: &Env, out: &mut Printer) -> Result<()> {
    let mut repaired = Repaired::default();
    if let Some(status) = daemon::status(env, out)? {
        settle(env, Some(&status), &mut repaired)?;
    }
    repaired.done.iter().for_each(|done| out.note(crate::printer::visible(done)));
    Ok(())
}

/// The installation's own arguments, so that it can be made again as it was.
fn args_of(manifest: &Manifest) -> InstallArgs {
    let options = &manifest.options;
    InstallArgs {
        settings: options.settings.clone(),
        no_proxy: !options.proxy,
        no_service: manifest.service.is_none(),
        hooks: options.hooks,
        thinking: manifest.files.iter().any(|file| file.written.top.contains_key(THINKING)),
        only_proxy: options.only_proxy,
        no_hooks: options.no_hooks,
        no_mcp: options.no_mcp,
        no_skill: options.no_skill,
        statusline: options.statusline,
        force: options.force,
        ..InstallArgs::default()
    }
}

/// Whether the settings name a base URL that somebody chose since: neither ours, nor what stood there before us.
fn is_users_own(env: &Env, manifest: &Manifest) -> bool {
    let chosen = |path: PathBuf| {
        let url = url_in(&path).filter(|url| !url.is_empty() && !env.is_our_url(url))?;
        let change = real(env, &path).and_then(|path| manifest.file(&path));
        let written = change.and_then(|change| change.written.env.get(BASE_URL).cloned());
        let before = change.and_then(|change| url_in(&change.original.as_ref()?.copy));
        (Some(&url) != written.as_ref() && Some(&url) != before.as_ref()).then_some(())
    };
    manifest.options.proxy
        && settings_files(env, Some(manifest)).into_iter().any(|path| chosen(path).is_some())
}

/// Directories and sockets that others can look into are closed.
fn close_doors(env: &Env, repaired: &mut Repaired) {
    let l = &env.layout;
    let token = l.token_file();
    let places = [&l.state_dir, &l.run_dir, &l.spool_dir, &l.log_dir, &token];
    for path in
        places.into_iter().cloned().chain([l.control_socket(), l.hook_socket(), l.supervisor_socket()])
    {
        let Ok(meta) = path.symlink_metadata() else { continue };
        let mode = meta.permissions().mode() & 0o777;
        if mode == mode & 0o700 || meta.is_symlink() {
            continue;
        }
        let closed = std::fs::Permissions::from_mode(mode & 0o700);
        if std::fs::set_permissions(&path, closed).is_ok() {
            repaired.done.push(format!("closed {} to others (it had mode {mode:o})", path.display()));
        }
    }
}

/// The settings files that are looked at.
fn settings_files(env: &Env, manifest: Option<&Manifest>) -> Vec<PathBuf> {
    match manifest.and_then(|m| m.options.settings.clone()) {
        Some(file) => vec![file],
        None => env.claude_dirs().unwrap_or_default().into_iter().map(|d| d.join("settings.json")).collect(),
    }
}

/// The base URL in a settings file; none in one that cannot be read, which Claude Code ignores as a whole.
fn url_in(path: &Path) -> Option<String> {
    Document::read(&std::fs::read(path).ok()?).ok()?.env(BASE_URL)
}

/// Settings files whose base URL is ours, or was: with links resolved, and the URL.
fn ours(env: &Env, manifest: Option<&Manifest>) -> Vec<(PathBuf, String)> {
    let found = settings_files(env, manifest).into_iter().filter_map(|path| {
        let url = url_in(&path)?;
        let path = real(env, &path)?;
        let written = manifest.and_then(|m| m.file(&path)?.written.env.get(BASE_URL));
        (env.is_our_url(&url) || written == Some(&url)).then_some((path, url))
    });
    found.collect()
}

fn real(env: &Env, path: &Path) -> Option<PathBuf> {
    let roots: Vec<_> = env.home().into_iter().chain(env.claude_dirs().unwrap_or_default()).collect();
    files::resolve(path, &roots).ok()
}

/// Writes each base URL of ours that nobody answers anew; or takes it out, where nobody would answer the new one.
fn settle(env: &Env, status: Option<&Status>, repaired: &mut Repaired) -> Result<()> {
    let manifest = Manifest::load(&env.layout)?;
    let client = Client::new(env)?;
    let dead: Vec<_> =
        ours(env, manifest.as_ref()).into_iter().filter(|(_, url)| client.ping(url).is_err()).collect();
    if dead.is_empty() {
        return Ok(());
    }
    let token = env.token();
    let url = status.zip(token.as_ref()).map(|(status, token)| base_url(&status.proxy.listen, token));
    let url = url.filter(|url| client.ping(url).is_ok());
    let _lock = Lock::take(&env.layout.state_dir)?;
    let mut journal = Journal::open(&env.layout, token)?;
    // Without a note of an installation, what is there can only have been this.
    journal.manifest.options.only_proxy |= manifest.is_none();
    for (path, _) in dead {
        rewrite(env, &mut journal, &path, url.as_deref())?;
        if manifest.is_none() && url.is_none() {
            journal.undo(&path)?;
        }
        let path = path.display();
        repaired.done.push(match &url {
            Some(_) => format!("wrote the daemon's address into {path}: nobody answered at the old one"),
            None => format!(
                "took env.{BASE_URL} out of {path}, and put back what was there before: nobody answers there"
            ),
        });
    }
    if journal.manifest.files.is_empty() { journal.close() } else { Ok(()) }
}

/// Puts this base URL into a settings file, or takes ours out of it; all else of ours stays as it is.
fn rewrite(env: &Env, journal: &mut Journal<'_>, path: &Path, url: Option<&str>) -> Result<()> {
    for _ in 0..5 {
        let planned = plan(env, journal, path, url)?;
        match journal.apply(&planned) {
            Err(e) if e.kind == Kind::Changed => {}
            other => return other.map(drop),
        }
    }
    Err(CommandError::failed(format!("{} keeps being changed by somebody else", path.display()))
        .hint("try again in a moment"))
}

fn plan(env: &Env, journal: &Journal<'_>, path: &Path, url: Option<&str>) -> Result<Planned> {
    let wrong = |e: settings::SettingsError| e.of(path);
    let current = files::read(path)?;
    let original = journal.base(FileKind::Settings, path, current.as_deref())?;
    let base = Document::read(original.as_deref().unwrap_or_default()).map_err(wrong)?;
    let mut wanted = Wanted::default();
    if let Some(change) = journal.manifest.file(path) {
        wanted.top.clone_from(&change.written.top);
    }
    if let Some(url) = url {
        wanted.env = settings::no_proxy(|name| base.env(name), |name| env.text(name));
        wanted.env.insert(BASE_URL.to_owned(), url.to_owned());
    }
    if journal.manifest.options.hooks == HooksIn::Settings {
        let dir = env.claude_dirs()?.into_iter().next().unwrap_or_default();
        wanted.hooks = plugin::in_force(env, &dir, Some(path));
    }
    let merged = base.merged(&wanted).map_err(wrong)?;
    let target = if original.is_none() && merged.value().is_empty() { None } else { Some(merged.bytes()) };
    let written = wanted.written();
    Ok(Planned { kind: FileKind::Settings, path: path.to_owned(), original, current, target, written })
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
