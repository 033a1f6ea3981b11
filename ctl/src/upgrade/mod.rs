//! `ccctl upgrade --from DIR --prefix DIR`: what `packaging/install.sh` calls once it has built.
//!
//! Hidden: people run the installer. It is the new `ccctl` that runs it, from where it was built. The new `ccd` is asked
//! first whether it can work here; then the programs are exchanged, the daemon changes over without cutting a stream, and
//! a hook event and a request have to get through. If anything of that fails, the old programs are put back and serve.
//! Must never leave programs in place that were not seen to work beside ones that did. Going back to an older version is
//! the same.

mod beside;
pub mod swap;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ccd_proto::VERSION;
use ccd_proto::api::Status;

use crate::args::{Command, UpgradeArgs};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::Invocation;
use crate::files::{self, Lock};
use crate::manifest::Manifest;
use crate::printer::Printer;
use crate::{daemon, health, logs, plugin, supervisor};

use swap::{PROGRAMS, Swap};

/// So much of the log is shown with a failure.
const LOG_LINES: usize = 8;

/// Where this program is to lie, if it is run to be put there: the others are looked for beside it.
#[must_use]
pub fn place(command: &Command) -> Option<PathBuf> {
    let Command::Upgrade(args) = command else { return None };
    std::path::absolute(args.prefix.join("bin/ccctl")).ok()
}

/// Runs the command. What was put where is printed, one path a line.
pub fn run(env: &Env, out: &mut Printer, args: &UpgradeArgs) -> Result<()> {
    let (from, prefix) = (env.cwd.join(&args.from), env.cwd.join(&args.prefix));
    let bin = prefix.join("bin");
    fs_err::create_dir_all(&bin)?;
    let go = &mut |_: &str| Ok(());
    if args.files_only {
        let swap = Swap::prepare(&bin, &from.join("bin"), go)?;
        swap.put(go)?;
        swap.keep(go)?;
        out.note(format!("put ccd, ccctl and cc-hook {VERSION} into {}", bin.display()));
    } else {
        exchange(env, out, &from, &bin)?;
        for dir in elsewhere(env, &bin) {
            let dir = dir.display();
            out.note(format!(
                "an earlier installation's programs are still in {dir}: once `ccctl install` has ended, nothing uses them; \
                 remove ccd, ccctl and cc-hook there, or the package that they came with"
            ));
        }
    }
    let programs = PROGRAMS.into_iter().map(|name| bin.join(name));
    for path in programs.chain(beside::put(&from.join("share"), &prefix.join("share"))?) {
        out.line(path.to_str().ok_or_else(|| not_utf8(&path))?)?;
    }
    Ok(())
}

/// Puts the new programs in the place of the old ones, and the new daemon in the old one's. Where nothing was before, the
/// state directory is none of its marks: `ccctl install` notes what it makes itself.
fn exchange(env: &Env, out: &mut Printer, from: &Path, bin: &Path) -> Result<()> {
    let lock_file = Lock::path(&env.layout.state_dir);
    let made = files::missing_dirs(&lock_file);
    let lock = Lock::take(&env.layout.state_dir)?;
    let done = exchange_locked(env, out, from, bin);
    if !made.is_empty() {
        files::remove_file(&lock_file)?;
    }
    drop(lock);
    for dir in made.iter().rev() {
        // Refused where anything is in it.
        let _ = std::fs::remove_dir(dir);
    }
    done
}

fn exchange_locked(env: &Env, out: &mut Printer, from: &Path, bin: &Path) -> Result<()> {
    let go = &mut |_: &str| Ok(());
    suits(env, &from.join("bin/ccd"))?;
    let swap = Swap::prepare(bin, &from.join("bin"), go)?;
    if swap.unfinished {
        out.note("an upgrade before this one did not end; the programs from before it are still there");
    }
    let before = daemon::alive(env)?;
    match swap.put(go).and_then(|()| change_over(env, out, bin, before.as_ref())) {
        Ok(status) => {
            swap.keep(go)?;
            let serves = if status.is_some() { ", and serve" } else { "" };
            out.note(format!("ccd, ccctl and cc-hook {VERSION} are in {}{serves}", bin.display()));
            Ok(())
        }
        Err(error) => Err(went_back(env, out, swap, before.as_ref(), error)),
    }
}

fn not_utf8(path: &Path) -> CommandError {
    CommandError::failed(format!("{} is not UTF-8", path.display())).hint("choose another --prefix")
}

/// Asks the new daemon whether it starts on this machine, reads the configuration, and can open the store.
fn suits(env: &Env, ccd: &Path) -> Result<()> {
    let failed = |why: String| {
        let why = why.strip_prefix("ccd: ").unwrap_or(&why).to_owned();
        CommandError::failed(format!("ccd {VERSION} cannot work here: {why}")).hint("nothing was changed")
    };
    let outcome = env.runner.run(&Invocation::new(ccd, ["check"])).map_err(|e| failed(e.to_string()))?;
    if outcome.success() { Ok(()) } else { Err(failed(outcome.complaint())) }
}

/// Has the daemon go on as the new program, and sees that it works. None: there is nothing yet that could.
fn change_over(env: &Env, out: &mut Printer, bin: &Path, before: Option<&Status>) -> Result<Option<Status>> {
    let supervision = supervisor::supervision(&env.layout)?;
    let manifest = Manifest::load(&env.layout)?;
    let program = supervision.as_ref().map(|s| PathBuf::from(&s.program));
    let moves = program.is_some_and(|p| p.is_absolute() && !is_same(&p, &bin.join("ccd")));
    match before.map_or("", |status| status.daemon.state.as_str()) {
        "" if supervision.is_none() && before.is_none() => {
            // Nobody records here, or it begins with `ccctl install`.
            if manifest.is_none() {
                return Ok(None);
            }
            out.note("starting the daemon …");
            daemon::start(env, out, &[])?;
        }
        // It goes on until nobody needs it; `ccctl install` starts another one.
        "retiring" => return Ok(None),
        "draining" => {
            daemon::ensure(env, out, &[])?;
        }
        // The service's file still names the place before: `ccctl install` writes it anew, and has the service change over.
        _ if moves && manifest.is_some_and(|m| m.service.is_some()) => return Ok(None),
        _ if moves => {
            out.note("the daemon runs from another place: stopping it there, once its streams have ended …");
            daemon::stop(env, out, false)?;
            daemon::start(env, out, &[])?;
        }
        _ => {
            out.note("the daemon changes over; streams under way are not cut …");
            daemon::restart(env, out, false)?;
        }
    }
    match health::probe(env, out) {
        // What the new one does not do, the one before did not either.
        Err(error) if before.is_some_and(was_ailing) => {
            out.warn(error.message);
            Ok(daemon::alive(env)?)
        }
        probed => probed.map(Some),
    }
}

fn was_ailing(status: &Status) -> bool {
    status.proxy.bypass || (status.store.error.is_some() && !status.store.opening)
}

/// Puts the programs before back, and has the daemon go on as they are. Returns what to tell.
fn went_back(
    env: &Env,
    out: &mut Printer,
    swap: Swap,
    before: Option<&Status>,
    error: CommandError,
) -> CommandError {
    let log = logs::tail(&env.layout.log_file(), LOG_LINES);
    if !log.is_empty() {
        out.note(format!("the end of {}:", env.layout.log_file().display()));
        for line in log {
            out.note(format!("  {line}"));
        }
    }
    let mut told = CommandError::failed(format!("ccd {VERSION} does not work here: {}", error.message));
    told = match swap.back(&mut |_: &str| Ok(())).and_then(|()| serve_as_before(env, out, before)) {
        Ok(Some(status)) => told.hint(format!("ccd {} is back, and serves", status.daemon.version)),
        Ok(None) => told.hint("the programs are as they were before"),
        Err(e) => told.hint(format!("and what was there before does not serve: {}", e.message)),
    };
    error.hints.into_iter().fold(told, CommandError::hint)
}

/// The daemon runs the program that lies there now, or does not run, as before.
fn serve_as_before(env: &Env, out: &mut Printer, before: Option<&Status>) -> Result<Option<Status>> {
    let now = daemon::alive(env)?;
    let supervised = supervisor::supervision(&env.layout)?.is_some();
    match (before, now) {
        (Some(before), Some(now)) if before.daemon.pid == now.daemon.pid => Ok(Some(now)),
        (None, None) if !supervised => Ok(None),
        // One that this run has started, and nobody needs: there is nothing to start it from.
        (None, Some(_)) if env.program("ccd").is_err() => daemon::stop(env, out, true).map(|_| None),
        _ => daemon::restart(env, out, false).map(Some),
    }
}

/// Where other programs of ours lie that an installation of this user names.
fn elsewhere(env: &Env, bin: &Path) -> Vec<PathBuf> {
    let service = supervisor::supervision(&env.layout).ok().flatten().map(|s| PathBuf::from(s.program));
    let hooks = env
        .claude_dirs()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|dir| plugin::in_force(env, &dir, None).map(|hooks| PathBuf::from(hooks.command)));
    let mut found: Vec<PathBuf> = service
        .into_iter()
        .chain(hooks)
        .filter(|program| {
            program.file_name().is_some_and(|name| PROGRAMS.contains(&name.to_str().unwrap_or("")))
        })
        .filter_map(|program| program.parent().map(Path::to_owned))
        .filter(|dir| dir.is_absolute() && !is_same(dir, bin) && dir.join(OsStr::new("ccctl")).exists())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Whether two paths lead to the same.
fn is_same(a: &Path, b: &Path) -> bool {
    a == b || matches!((std::fs::canonicalize(a), std::fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests;
