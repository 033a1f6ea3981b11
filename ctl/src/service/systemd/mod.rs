//! The daemon as a service of systemd's user manager.
//!
//! Must never touch root's manager, and never wait long for one that does not answer.

mod told;
pub(crate) mod units;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod verified;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use told::{PROPERTIES, read_show, without_variables};

use super::{Absence, health, must};
use crate::env::Env;
use crate::error::Result;
use crate::exec::Invocation;

/// The manager's name.
pub const NAME: &str = "systemd";
/// The service's unit.
pub(crate) const SERVICE: &str = "ccd.service";
/// The unit that holds the proxy's port, and both Unix sockets.
pub(crate) const SOCKET: &str = "ccd.socket";
/// The unit that holds the web port.
pub(crate) const WEB_SOCKET: &str = "ccd-web.socket";

/// How long the manager may take to say that it is there.
const QUICK: Duration = Duration::from_secs(5);

/// systemd's user manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Systemd {
    units: PathBuf,
}

/// Whether this user's manager goes on without a login session; none where logind does not say.
pub(super) fn lingers(env: &Env) -> Option<bool> {
    let uid = rustix::process::getuid().as_raw().to_string();
    told::read_linger(&health::ask(env, "loginctl", &["show-user", &uid, "--property=Linger"])?)
}

impl Systemd {
    /// The manager, with the directory of the user's own units.
    #[must_use]
    pub fn new(env: &Env) -> Option<Self> {
        let config = env.var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let config = config.or_else(|| Some(env.home()?.join(".config")))?;
        Some(Systemd { units: config.join("systemd/user") })
    }

    /// The manager, if it answers and reads the directory that we would write to. It does not where HOME is a
    /// throw-away one: a unit written there would never be seen.
    pub fn detect(env: &Env) -> std::result::Result<Self, Absence> {
        let ask = |args: &[&str]| env.runner.run(&Invocation::new("systemctl", args).limit(QUICK));
        let told = match ask(&["--user", "show", "--property=UnitPath", "--value"]) {
            Ok(told) => told,
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(Absence::NoManager),
            Err(e) => return Err(Absence::NoAnswer(e.to_string())),
        };
        if !told.success() {
            // In a container its tools may be there, and nothing that they could talk to.
            let booted = ask(&["is-system-running"]).is_ok_and(|told| told.stdout.trim() != "offline");
            return Err(match env.var("XDG_RUNTIME_DIR").or_else(|| env.var("DBUS_SESSION_BUS_ADDRESS")) {
                _ if !booted => Absence::NotBooted,
                None => Absence::NoSession,
                Some(_) => Absence::NoAnswer(told.complaint().lines().next().unwrap_or_default().to_owned()),
            });
        }
        let manager = Self::new(env).ok_or(Absence::Elsewhere)?;
        let reads_ours = told.stdout.split_whitespace().any(|dir| Path::new(dir) == manager.units);
        if reads_ours { Ok(manager) } else { Err(Absence::Elsewhere) }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.units.join(SERVICE)
    }

    pub(super) fn socket_path(&self) -> PathBuf {
        self.units.join(SOCKET)
    }

    pub(super) fn web_socket_path(&self) -> PathBuf {
        self.units.join(WEB_SOCKET)
    }

    /// Our units that hold sockets.
    fn sockets(&self) -> Vec<&'static str> {
        [SOCKET, WEB_SOCKET].into_iter().filter(|name| self.units.join(name).exists()).collect()
    }

    /// Our units, the sockets first: a service that runs already keeps systemd from listening for it.
    pub(super) fn names(&self) -> Vec<&'static str> {
        [&self.sockets()[..], &[SERVICE]].concat()
    }

    fn all(env: &Env, verb: &str, units: &[&str]) -> Result<()> {
        must(env, "systemctl", &[&["--user", verb], units].concat()).map(drop)
    }

    pub(super) fn enable(&self, env: &Env) -> Result<()> {
        must(env, "systemctl", &["--user", "daemon-reload"])?;
        Self::all(env, "enable", &self.names())
    }

    pub(super) fn hold(&self, env: &Env) {
        for socket in self.sockets() {
            // One that cannot be bound now is tried again by the start.
            let _ = Self::all(env, "start", &[socket]);
        }
    }

    /// Restarts the sockets' units that have changed alone: meanwhile nobody listens there.
    pub(super) fn hold_anew(&self, env: &Env, changed: &[PathBuf]) {
        for socket in [SOCKET, WEB_SOCKET].into_iter().filter(|name| changed.contains(&self.units.join(name)))
        {
            let verb = if self.units.join(socket).exists() { "restart" } else { "stop" };
            let _ = Self::all(env, verb, &[socket]);
        }
    }

    pub(super) fn start(&self, env: &Env) -> Result<()> {
        // A unit that failed often is not started again before its failures are forgotten.
        let _ = Self::all(env, "reset-failed", &self.names());
        if self.web_socket_path().exists() {
            // Where another program has the port, the daemon says so.
            let _ = Self::all(env, "start", &[WEB_SOCKET]);
        }
        let units: Vec<_> = self.names().into_iter().filter(|unit| *unit != WEB_SOCKET).collect();
        Self::all(env, "start", &units)
            .map_err(|e| e.hint(format!("`systemctl --user status {SERVICE}` and `ccctl logs` say more")))
    }

    pub(super) fn stop_listening(&self, env: &Env) -> Result<()> {
        match &self.sockets()[..] {
            [] => Ok(()),
            sockets => Self::all(env, "stop", sockets),
        }
    }

    pub(super) fn disable(&self, env: &Env) -> Result<()> {
        Self::all(env, "disable", &self.names())?;
        // Without its files nobody could start the service that it would be listening for.
        self.stop_listening(env)
    }

    #[allow(clippy::unused_self)] // the same shape for every manager
    pub(super) fn forget(&self, env: &Env) -> Result<()> {
        must(env, "systemctl", &["--user", "daemon-reload"]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Outcome;
    use crate::testing::{Home, said};
    use std::cell::RefCell;
    use std::rc::Rc;

    fn failed(stderr: &str) -> Outcome {
        Outcome { code: Some(1), stderr: stderr.into(), ..Outcome::default() }
    }

    #[test]
    fn a_manager_that_does_not_read_our_directory_is_none() {
        let home = Home::new();
        let dir = home.path().join(".config/systemd/user");
        let env = home.env_with(move |_| said(&format!("/etc/systemd/user {}\n", dir.display())));
        assert!(Systemd::detect(&env).is_ok());
        let elsewhere = home.env_with(|_| said("/home/other/.config/systemd/user\n"));
        assert_eq!(Systemd::detect(&elsewhere), Err(Absence::Elsewhere));
    }

    #[test]
    fn why_there_is_no_manager() {
        let no_bus = "Failed to connect to bus: No medium found\n";
        let detect = |home: &Home, system: &'static str| {
            Systemd::detect(&home.env_with(move |call| match call.args[0].to_str() {
                Some("--user") => failed(no_bus),
                _ => Outcome { code: Some(1), stdout: system.into(), ..Outcome::default() },
            }))
        };
        let home = Home::new();
        assert_eq!(detect(&home, "offline\n"), Err(Absence::NotBooted));
        assert_eq!(detect(&home, "degraded\n"), Err(Absence::NoSession));
        let home = home.var("XDG_RUNTIME_DIR", "/run/user/1000");
        let said = Absence::NoAnswer("Failed to connect to bus: No medium found".into());
        assert_eq!(detect(&home, "running\n"), Err(said));
    }

    #[test]
    fn a_machine_without_systemctl_has_none() {
        let home = Home::new().var("PATH", "/nowhere");
        let mut env = home.env();
        env.runner = Box::new(Nothing);
        assert_eq!(Systemd::detect(&env), Err(Absence::NoManager));
    }

    struct Nothing;

    impl crate::exec::Runner for Nothing {
        fn run(&self, _: &Invocation) -> std::io::Result<Outcome> {
            Err(ErrorKind::NotFound.into())
        }
    }

    /// What `systemctl` is told, with or without units that hold sockets.
    fn told(home: &Home) -> Vec<String> {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let env = home.env_with(move |call| {
            seen.borrow_mut().push(call.line().replacen("systemctl --user ", "", 1));
            said("")
        });
        let manager = Systemd::new(&env).unwrap();
        manager.enable(&env).unwrap();
        manager.start(&env).unwrap();
        manager.disable(&env).unwrap();
        manager.forget(&env).unwrap();
        calls.take()
    }

    #[test]
    fn taking_the_service_away_stops_nothing_that_serves() {
        let home = Home::new();
        assert_eq!(
            told(&home),
            [
                "daemon-reload",
                "enable ccd.service",
                "reset-failed ccd.service",
                "start ccd.service",
                "disable ccd.service",
                "daemon-reload",
            ]
        );
        home.write(".config/systemd/user/ccd.socket", "");
        home.write(".config/systemd/user/ccd-web.socket", "");
        assert_eq!(
            told(&home),
            [
                "daemon-reload",
                "enable ccd.socket ccd-web.socket ccd.service",
                "reset-failed ccd.socket ccd-web.socket ccd.service",
                "start ccd-web.socket",
                "start ccd.socket ccd.service",
                "disable ccd.socket ccd-web.socket ccd.service",
                "stop ccd.socket ccd-web.socket",
                "daemon-reload",
            ]
        );
    }
}
