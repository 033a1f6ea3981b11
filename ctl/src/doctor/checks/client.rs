//! Claude Code: which one, whether it changes by itself, the sessions that run without us, and what it leaves off.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::claude::running::Process;
use crate::claude::{self, switched_off};
use crate::doctor::Check;
use crate::doctor::facts::Facts;
use crate::env::Env;
use crate::human::plural;
use crate::plugin;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let mut checks = vec![client(facts)];
    if facts.installed().is_some() {
        checks.extend(sessions(facts));
        checks.extend(features(facts));
    }
    checks
}

/// How it came onto this machine, by where it lies. Those by the native installer, and npm's below the home, update
/// themselves (code.claude.com, setup).
pub(super) fn origin(program: &Path) -> (&'static str, bool) {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let text = real.to_string_lossy();
    let has = |part: &str| text.contains(part);
    if has("/claude/versions/") {
        ("by its native installer", true)
    } else if has("/.claude/local/") {
        ("by npm, below its own directory", true)
    } else if has("/Caskroom/") || has("/Cellar/") {
        ("by Homebrew", false)
    } else if has("/node_modules/") {
        ("by npm", true)
    } else {
        ("", false)
    }
}

fn client(facts: &Facts<'_>) -> Check {
    let env = facts.env;
    let name = claude::name(env).to_string_lossy().into_owned();
    let Some(program) = &facts.client else {
        return Check::warn(
            "client",
            format!("there is no program `{name}`: its version cannot be told"),
            "put it on PATH, or name it in CCCTL_CLAUDE",
        );
    };
    let shown = program.display();
    let Some(version) = facts.client_version else {
        return Check::warn(
            "client",
            format!("{shown} does not tell its version"),
            "`claude doctor` may say why",
        );
    };
    let (origin, updates) = origin(program);
    let switch = |name: &str| {
        let told = facts.dirs.iter().find_map(|dir| facts.layers_of(dir).find_map(|layer| layer.env(name)));
        told.or_else(|| env.text(name))
    };
    let is_off = switch("DISABLE_AUTOUPDATER").is_some_and(|value| value != "0" && value != "false");
    let origin = if origin.is_empty() { String::new() } else { format!(", installed {origin}") };
    let updates = if updates && !is_off {
        "; it updates itself, after which `ccctl install` may add hooks"
    } else {
        ""
    };
    Check::good("client", format!("Claude Code {version}, {shown}{origin}{updates}"))
}

/// Sessions that run now, and are not, or not wholly, recorded.
fn sessions(facts: &Facts<'_>) -> Vec<Check> {
    let hooks = facts.dirs.iter().map(|dir| plugin::hooks_path(&plugin::directory(&dir.path)));
    // Written only where something changed, unlike the note of the installation.
    let installed_s = hooks.filter_map(|path| u64::try_from(path.metadata().ok()?.mtime()).ok()).max();
    let ours: Vec<_> = facts.dirs.iter().map(|dir| dir.path.as_path()).collect();
    told_of(&facts.running, &ours, installed_s)
}

pub(super) fn told_of(running: &[Process], ours: &[&Path], installed_s: Option<u64>) -> Vec<Check> {
    let pids = |of: &[&Process]| of.iter().map(|p| p.pid.to_string()).collect::<Vec<_>>().join(", ");
    let (known, elsewhere): (Vec<&Process>, Vec<&Process>) = running
        .iter()
        .partition(|process| process.config_dirs.iter().any(|dir| ours.contains(&dir.as_path())));
    let mut checks = Vec::new();
    if let Some(first) = elsewhere.first() {
        let dirs: Vec<_> = first.config_dirs.iter().map(|dir| dir.display().to_string()).collect();
        checks.push(Check::warn(
            "sessions",
            format!(
                "{} with other settings ({}) not recorded: pid {}",
                if elsewhere.len() == 1 { "1 runs".to_owned() } else { format!("{} run", elsewhere.len()) },
                dirs.join(", "),
                pids(&elsewhere)
            ),
            "`ccctl install` with CLAUDE_CONFIG_DIR naming their directories as well",
        ));
    }
    let older: Vec<&Process> = known
        .iter()
        .copied()
        // Seconds are all that is known: what started in the same one may be older or younger.
        .filter(|process| process.started_s.zip(installed_s).is_some_and(|(started, at)| started < at))
        .collect();
    if !older.is_empty() {
        let many = plural(older.len() as u64, "session");
        checks.push(
            Check::note(
                "sessions",
                format!(
                    "{many} began before the hooks were written (pid {}): the base URL is taken up with the next prompt, \
                     the plugin's hooks perhaps not",
                    pids(&older)
                ),
            )
            .hint("start them again, to have everything recorded"),
        );
    }
    if checks.is_empty() && !known.is_empty() {
        checks.push(Check::good("sessions", format!("{} now", plural(known.len() as u64, "session"))));
    }
    checks
}

/// What this version leaves off because its base URL is not the API's own.
fn features(facts: &Facts<'_>) -> Option<Check> {
    facts.installed().filter(|manifest| manifest.options.proxy)?;
    let env: &Env = facts.env;
    let is_set = |name: &str| {
        let told = facts.dirs.iter().find_map(|dir| facts.layers_of(dir).find_map(|layer| layer.env(name)));
        told.or_else(|| env.text(name))
    };
    let mut told = Vec::new();
    for off in switched_off::by(facts.client_version) {
        match off.switch() {
            Some((name, value)) if is_set(name).as_deref() == Some(value) => {}
            _ => told.push(off.to_string()),
        }
    }
    let client =
        facts.client_version.map_or_else(|| "Claude Code".to_owned(), |v| format!("Claude Code {v}"));
    Some(if told.is_empty() {
        Check::good("features", format!("{client} leaves nothing off"))
    } else {
        Check::note(
            "features",
            format!("{client} leaves off, with any base URL but the API's own: {}", told.join("; ")),
        )
    })
}
