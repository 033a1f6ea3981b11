//! How the service is: whether its files are ours and current, enabled and loaded, whether it runs, and what became of it.
//!
//! Only asks, and never for long. What cannot be found out is `None`, never a guess.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::{Absence, Manager, detect, launchd, named, systemd};
use crate::env::Env;
use crate::exec::Invocation;
use crate::files;
use crate::manifest::{Manifest, hash};

/// How long a service manager may take to answer a question.
const QUICK: Duration = Duration::from_secs(3);

/// A file of the service's, compared with what this `ccctl` would write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitFile {
    /// What we would write, but for the variables, which are those of the shell that installed.
    Current,
    /// Ours, as another version of ccd or another configuration wrote it: `ccctl install` renews it.
    Outdated,
    /// Changed by somebody else since we wrote it.
    Edited,
    /// Not there.
    Missing,
}

/// A failure that the manager remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The manager's own word: `exit-code`, `watchdog`, `signal`, `oom-kill`, or an exit code.
    pub result: String,
    /// Since when, where it tells.
    pub since: Option<Timestamp>,
}

/// How the service is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// `systemd` or `launchd`, which the installation made a service with; none: the daemon is started directly.
    pub manager: Option<&'static str>,
    /// Why no service manager answers here. With a manager: nothing below but the files is known.
    pub absence: Option<Absence>,
    /// Every file of the service's, and how it is. Empty without a service.
    pub files: Vec<(PathBuf, UnitFile)>,
    /// Whether the manager has read the files as they are now.
    pub loaded: Option<bool>,
    /// Whether it starts with every login.
    pub enabled: Option<bool>,
    /// Whether it runs now.
    pub active: Option<bool>,
    /// Its process: the supervisor.
    pub pid: Option<u32>,
    /// Whether the manager holds the proxy's port and the sockets; none where the port is another one with every
    /// start, which no file can name.
    pub socket_active: Option<bool>,
    /// Whether it holds the web port.
    pub web_active: Option<bool>,
    /// How often the manager has started it again after a failure.
    pub restarts: Option<u32>,
    /// The failure it ended with last, if it did.
    pub failed: Option<Failure>,
    /// Whether the user's manager goes on without a login session (`loginctl enable-linger`). systemd only.
    pub linger: Option<bool>,
}

impl Health {
    /// Whether every file is what we would write; none without a service.
    #[must_use]
    pub fn unit_current(&self) -> Option<bool> {
        (!self.files.is_empty()).then(|| self.files.iter().all(|(_, file)| *file == UnitFile::Current))
    }

    /// The worst of the files; none without a service.
    #[must_use]
    pub fn unit(&self) -> Option<UnitFile> {
        self.files.iter().map(|(_, file)| *file).max()
    }

    /// Whether everything is as an installation leaves it. Lingering is the user's choice.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let good = |fact: Option<bool>| fact.unwrap_or(true);
        self.manager.is_some()
            && self.absence.is_none()
            && self.failed.is_none()
            && [self.unit_current(), self.loaded, self.enabled, self.active, self.socket_active]
                .into_iter()
                .all(good)
    }
}

/// How this installation's service is.
#[must_use]
pub fn health(env: &Env, manifest: &Manifest) -> Health {
    let Some(service) = &manifest.service else {
        return Health { absence: detect(env).err(), ..Health::default() };
    };
    let Some(manager) = named(env, &service.manager) else { return Health::default() };
    let mut health = Health { manager: Some(manager.name()), ..Health::default() };
    health.files = compared(env, manifest, &manager);
    match detect(env) {
        Ok(found) if found == manager => {}
        Ok(_) => health.absence = Some(Absence::Elsewhere),
        Err(absence) => health.absence = Some(absence),
    }
    if health.absence.is_none() {
        match &manager {
            Manager::Systemd(systemd) => ask_systemd(env, systemd, &mut health),
            Manager::Launchd(launchd) => ask_launchd(env, launchd, &mut health),
        }
    }
    health
}

/// The files, each compared with what we would write.
fn compared(env: &Env, manifest: &Manifest, manager: &Manager) -> Vec<(PathBuf, UnitFile)> {
    let wanted = env.program("ccd").and_then(|ccd| manager.files(env, &ccd));
    let wanted = wanted.unwrap_or_else(|_| vec![(manager.path(), Some(Vec::new()))]);
    wanted
        .into_iter()
        .filter_map(|(path, wanted)| {
            let there = files::read(&path).ok().flatten();
            let state = match (&wanted, &there) {
                (Some(_), None) => UnitFile::Missing,
                (Some(wanted), Some(there)) if is_alike(wanted, there) => UnitFile::Current,
                (_, Some(there)) if is_ours(manifest, &path, there) => UnitFile::Outdated,
                (Some(_), Some(_)) => UnitFile::Edited,
                // A file that shall not be there, and that is somebody else's, is none of the service's.
                (None, _) => return None,
            };
            Some((path, state))
        })
        .collect()
}

fn is_ours(manifest: &Manifest, path: &Path, bytes: &[u8]) -> bool {
    let hash = hash(bytes);
    manifest.file(path).is_some_and(|change| change.ours.contains(&hash))
}

/// Whether two files say the same but for the variables that they hand on.
fn is_alike(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    if let (Some(one), Some(other)) = (launchd::without_variables(one), launchd::without_variables(other)) {
        return one == other;
    }
    systemd::without_variables(one).eq(systemd::without_variables(other))
}

fn ask(env: &Env, program: &str, args: &[&str]) -> Option<String> {
    let outcome = env.runner.run(&Invocation::new(program, args).limit(QUICK)).ok()?;
    outcome.success().then_some(outcome.stdout)
}

fn ask_systemd(env: &Env, systemd: &systemd::Systemd, health: &mut Health) {
    let units = systemd.names();
    let args = [&["--user", "show", systemd::PROPERTIES], &units[..]].concat();
    if let Some(text) = ask(env, "systemctl", &args) {
        systemd::read_show(&text, &env.tz, health);
    }
    let uid = rustix::process::getuid().as_raw().to_string();
    health.linger = ask(env, "loginctl", &["show-user", &uid, "--property=Linger"])
        .and_then(|text| systemd::read_linger(&text));
}

fn ask_launchd(env: &Env, launchd: &launchd::Launchd, health: &mut Health) {
    // It fails where nothing of this name is loaded.
    launchd::read_print(ask(env, "launchctl", &["print", &launchd.service()]).as_deref(), health);
    if let Some(text) = ask(env, "launchctl", &["print-disabled", launchd.domain()]) {
        health.enabled = Some(!launchd::is_disabled(&text));
    }
}
