//! The daemon as a launch agent of macOS, in the user's own domain.

mod agent;
mod told;

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

pub(super) use agent::agent;
pub(super) use told::{is_disabled, read_print, without_variables};

use super::{Absence, must};
use crate::env::Env;
use crate::error::Result;
use crate::exec::Invocation;

/// The manager's name.
pub const NAME: &str = "launchd";
/// The agent's name.
const LABEL: &str = "dev.ccd.daemon";

/// launchd, in the user's own domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launchd {
    agents: PathBuf,
    domain: String,
}

impl Launchd {
    /// launchd, with the directory of the user's own agents.
    #[must_use]
    pub fn new(env: &Env) -> Option<Self> {
        let domain = format!("gui/{}", rustix::process::getuid().as_raw());
        Some(Launchd { agents: env.home()?.join("Library/LaunchAgents"), domain })
    }

    /// launchd, if this user is logged in: an agent's domain is there from the login on, also for who comes by SSH.
    pub fn detect(env: &Env) -> std::result::Result<Self, Absence> {
        let launchd = Self::new(env).ok_or(Absence::Elsewhere)?;
        let ask = Invocation::new("launchctl", ["print", &launchd.domain]).limit(Duration::from_secs(5));
        match env.runner.run(&ask) {
            Ok(told) if told.success() => Ok(launchd),
            Ok(_) => Err(Absence::NoSession),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(Absence::NoManager),
            Err(e) => Err(Absence::NoAnswer(e.to_string())),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.agents.join(format!("{LABEL}.plist"))
    }

    pub(super) fn service(&self) -> String {
        format!("{}/{LABEL}", self.domain)
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// An agent of an earlier file is unloaded: there may be none.
    pub(super) fn enable(&self, env: &Env) -> Result<()> {
        must(env, "launchctl", &["enable", &self.service()]).map(drop)
    }

    /// Reads a changed file. What runs is told to end, so that it must have made room before.
    pub(super) fn hold_anew(&self, env: &Env) {
        let _ = must(env, "launchctl", &["bootout", &self.service()]);
    }

    pub(super) fn start(&self, env: &Env) -> Result<()> {
        // launchd makes the sockets' files, and not their directory.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(&env.layout.run_dir);
        // Unloaded by a stop, it is loaded again; loaded already, this fails and is no matter.
        let _ = must(env, "launchctl", &["bootstrap", &self.domain, &self.path().to_string_lossy()]);
        must(env, "launchctl", &["kickstart", &self.service()])
            .map(drop)
            .map_err(|e| e.hint(format!("`launchctl print {}` and `ccctl logs` say more", self.service())))
    }

    /// Takes the socket away from launchd, which would start the daemon again with the next request. The daemon is told to
    /// end by it, and holds its own copy of the socket until it has.
    pub(super) fn stop_listening(&self, env: &Env) {
        let bootout =
            Invocation::new("launchctl", ["bootout", &self.service()]).limit(Duration::from_secs(5));
        // It may take as long as the streams do, and is not waited for: whoever stops the daemon waits for its end.
        let _ = env.runner.run(&bootout);
    }

    /// Not `bootout`: that would stop the running daemon.
    pub(super) fn disable(&self, env: &Env) -> Result<()> {
        must(env, "launchctl", &["disable", &self.service()]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Outcome;
    use crate::testing::{Home, said};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn taking_the_agent_away_stops_nothing() {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let env = Home::new().env_with(move |call| {
            seen.borrow_mut().push(call.line());
            said("")
        });
        Launchd::new(&env).unwrap().disable(&env).unwrap();
        assert_eq!(calls.borrow().len(), 1);
        assert!(calls.borrow()[0].starts_with("launchctl disable gui/"));
    }

    #[test]
    fn without_a_login_there_is_no_domain_for_agents() {
        let env = Home::new().env_with(|_| Outcome { code: Some(125), ..Outcome::default() });
        assert_eq!(Launchd::detect(&env), Err(Absence::NoSession));
        assert!(Launchd::detect(&Home::new().env_with(|_| said("gui/501 = {"))).is_ok());
    }
}
