//! `heal mode`: the mode in the configuration. The rest of the file stays as it is, byte for byte.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use ccd_proto::api::Heal;
use serde::Serialize;

use super::{ROUTE, meaning};
use crate::args::{HealModeArgs, name_of};
use crate::client::{Client, decode};
use crate::config::heal::{mode_in, with_mode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::files;
use crate::printer::{Printer, visible};
use crate::query::Target;

/// So long the daemon may take to notice that its configuration was changed.
const TAKEN_UP: Duration = Duration::from_secs(3);

/// What became of it, for programs.
#[derive(Serialize)]
struct Outcome<'a> {
    config: &'a str,
    mode: &'a str,
    project: Option<&'a str>,
    changed: bool,
    /// Whether a daemon goes by it; false where none runs.
    in_force: bool,
}

/// Runs it.
pub(super) fn run(env: &Env, out: &mut Printer, args: &HealModeArgs) -> Result<()> {
    let mode = name_of(&args.mode);
    let project = args.project.as_deref().map(|dir| whole(env, dir)).transpose()?;
    let roots: Vec<PathBuf> = env.home().into_iter().chain(env.layout.home.clone()).collect();
    let path = files::resolve(&env.layout.config_file, &roots)?;
    let current = files::read(&path)?;
    let target = with_mode(current.as_deref().unwrap_or_default(), project.as_deref(), &mode)?;
    let changed = current.as_deref() != Some(&target);
    if changed {
        if let Some(dir) = path.parent() {
            files::make_dirs(dir)?;
        }
        files::replace(&path, current.as_deref(), &target)?;
    }
    let in_force = taken_up(env, out, project.as_deref(), &target)?;
    let shown = path.display().to_string();
    if args.json {
        let project = project.as_deref();
        return out.json(&Outcome { config: &shown, mode: &mode, project, changed, in_force });
    }
    let how = if changed { "is changed" } else { "says so already" };
    out.line(format!("{} {how}", visible(&shown)))?;
    let place = project.map_or_else(String::new, |dir| format!(" in {}", visible(&dir)));
    out.line(format!("{mode}{place}: {}", meaning(&mode)))?;
    if !in_force {
        out.line("the daemon is not running: it goes by this from its next start on")?;
    }
    Ok(())
}

/// The whole path of a directory, as sessions name theirs: without links where it exists.
fn whole(env: &Env, dir: &Path) -> Result<String> {
    let dir = env.cwd.join(dir);
    let dir = dir.canonicalize().unwrap_or_else(|_| plain(&dir));
    dir.into_os_string().into_string().map_err(|dir| {
        CommandError::usage(format!("{} is not UTF-8, and cannot stand in the configuration", dir.display()))
    })
}

/// The path without `.` and `..`, as far as that can be told without looking.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

/// Waits until the daemon goes by what the file says. False: none runs.
fn taken_up(env: &Env, out: &mut Printer, project: Option<&str>, file: &[u8]) -> Result<bool> {
    let wanted = mode_in(file, project)?;
    let target = Target::new(ROUTE).with("limit", Some("1"));
    let deadline = Instant::now() + TAKEN_UP;
    let client = Client::new(env)?;
    loop {
        let heal: Heal = match client.get(out, target.as_ref()) {
            Ok(body) => decode(&body)?,
            Err(error) if error.exit_code() == 3 => return Ok(false),
            Err(error) => return Err(error),
        };
        let told = project.map_or(Some(&heal.mode), |dir| heal.projects.get(dir));
        if told == wanted.as_ref() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Err(CommandError::failed("the file is changed, and the daemon goes on by the old mode")
                .hint("`ccctl logs` says why: it refuses a configuration in which anything is wrong"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
