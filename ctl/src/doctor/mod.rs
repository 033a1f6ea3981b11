//! `ccctl doctor` (`verify`): is everything in place, and what is to be done where it is not.
//!
//! One check per line: what was looked at, what was found, what to type. Changes nothing, unless `--fix` asks for it:
//! then what can be put right is put right first, and the checks tell how it is afterwards.
//!
//! Must never hang: whatever is asked has a limit, and what takes time is asked at the same time. Must never show a
//! credential, nor anything of other processes' environments. Never removes what it cannot prove to be ours.

mod checks;
mod facts;
mod print;
pub mod proof;
pub mod repair;

use serde::Serialize;

use crate::args::VerifyArgs;
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::printer::Printer;
use facts::Facts;
use repair::Repaired;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is to be done.
    Note,
    /// Something goes unrecorded, or will go wrong: look at it.
    Warn,
    /// It does not work.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it works: true up to [`Level::Warn`].
    pub ok: bool,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether `--fix` puts it right.
    pub fixable: bool,
}

impl Check {
    fn new(name: &'static str, level: Level, detail: impl Into<String>, hint: Option<String>) -> Self {
        Check { name, ok: level < Level::Fail, level, detail: detail.into(), hint, fixable: false }
    }

    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Check::new(name, Level::Ok, detail, None)
    }

    fn note(name: &'static str, detail: impl Into<String>) -> Self {
        Check::new(name, Level::Note, detail, None)
    }

    fn warn(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Check::new(name, Level::Warn, detail, Some(hint.into()))
    }

    fn fail(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Check::new(name, Level::Fail, detail, Some(hint.into()))
    }

    /// As an error tells it.
    fn failed(name: &'static str, error: CommandError) -> Self {
        Check::new(name, Level::Fail, error.message, error.hints.into_iter().next())
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn fixable(mut self) -> Self {
        self.fixable = true;
        self
    }
}

/// What is looked at together.
struct Family {
    /// Its name, which may be asked for like a check's.
    name: &'static str,
    /// Its checks.
    checks: &'static [&'static str],
    run: fn(&Facts<'_>) -> Vec<Check>,
}

/// All of them, in the order in which they are told.
const FAMILIES: [Family; 11] = [
    Family { name: "programs", checks: &["path"], run: checks::programs::all },
    Family { name: "daemon", checks: &["config", "port", "telemetry"], run: checks::daemon::all },
    Family { name: "sockets", checks: &["access", "others"], run: checks::sockets::all },
    Family { name: "install", checks: &["service", "plugin", "statusline"], run: checks::install::all },
    Family { name: "hooks", checks: &["event"], run: checks::hooks::all },
    Family {
        name: "request",
        checks: &["settings", "override", "no_proxy", "upstream"],
        run: checks::request::all,
    },
    Family { name: "client", checks: &["sessions", "features"], run: checks::client::all },
    Family { name: "events", checks: &["capture", "spool", "transcripts"], run: checks::events::all },
    Family { name: "store", checks: &["disk"], run: checks::store::all },
    Family { name: "vault", checks: &[], run: checks::vault::all },
    Family { name: "clock", checks: &[], run: checks::clock::all },
];

/// Which checks were asked for.
#[derive(Clone, Debug, Default)]
struct Selection(Vec<String>);

impl Selection {
    fn new(names: &[String]) -> Result<Self> {
        let known = || FAMILIES.iter().flat_map(|f| std::iter::once(&f.name).chain(f.checks));
        match names.iter().find(|name| known().all(|known| known != *name)) {
            None => Ok(Selection(names.to_vec())),
            Some(name) => {
                let all: Vec<_> = known().copied().collect();
                Err(CommandError::usage(format!("there is no check `{name}`"))
                    .hint(format!("there are: {}", all.join(", "))))
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| wanted == name)
    }

    /// Whether anything of a family is wanted.
    fn touches(&self, family: &Family) -> bool {
        self.has(family.name) || family.checks.iter().any(|name| self.has(name))
    }

    /// Whether this check, of this family, is wanted. A family's name asks for all of its checks.
    fn takes(&self, family: &Family, check: &Check) -> bool {
        self.has(family.name) || self.has(check.name)
    }

    /// Whether this check is wanted, by its own name or its family's.
    fn wants(&self, check: &str) -> bool {
        let of = |family: &&Family| family.name == check || family.checks.contains(&check);
        self.has(check) || FAMILIES.iter().find(of).is_some_and(|family| self.has(family.name))
    }
}

/// The family that a check belongs to.
fn family_of(check: &str) -> &'static str {
    let of = |family: &&Family| family.name == check || family.checks.contains(&check);
    FAMILIES.iter().find(of).map_or("", |family| family.name)
}

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &VerifyArgs) -> Result<()> {
    let selection = Selection::new(&args.names)?;
    let repaired = if args.fix { repair::run(env, out)? } else { Repaired::default() };
    let checks = selected(env, out, &selection, args.offline);
    let ok = checks.iter().all(|check| check.ok);
    if args.json {
        #[derive(Serialize)]
        struct Verdict<'a> {
            ok: bool,
            checks: &'a [Check],
            fixed: &'a [String],
            not_fixed: Option<&'a str>,
        }
        out.json(&Verdict {
            ok,
            checks: &checks,
            fixed: &repaired.done,
            not_fixed: repaired.failed.as_ref().map(|error| error.message.as_str()),
        })?;
    } else {
        print::print(env, out, &checks, &repaired)?;
    }
    // What failed has been said.
    if ok { Ok(()) } else { Err(CommandError::new(Kind::Verdict(1), "not healthy")) }
}

/// Every check.
pub fn checks(env: &Env, out: &mut Printer) -> Vec<Check> {
    selected(env, out, &Selection::default(), false)
}

fn selected(env: &Env, out: &mut Printer, selection: &Selection, offline: bool) -> Vec<Check> {
    let facts = Facts::gather(env, out, selection, offline);
    let families = FAMILIES.iter().filter(|family| selection.touches(family));
    let told = families
        .flat_map(|family| (family.run)(&facts).into_iter().filter(|check| selection.takes(family, check)));
    told.collect()
}

#[cfg(test)]
mod tests;
