//! The daemon as a service of systemd's user manager.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::must;
use crate::env::Env;
use crate::error::{CommandError, Result};

/// The manager's name.
pub const NAME: &str = "systemd";
/// The unit's name.
const UNIT: &str = "ccd.service";

/// systemd's user manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Systemd {
    units: PathBuf,
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
    #[must_use]
    pub fn detect(env: &Env) -> Option<Self> {
        let manager = Self::new(env)?;
        must(env, "systemctl", &["--user", "show-environment"]).ok()?;
        let paths =
            must(env, "systemctl", &["--user", "show", "--property=UnitPath", "--value"]).ok()?.stdout;
        paths.split_whitespace().any(|dir| Path::new(dir) == manager.units).then_some(manager)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.units.join(UNIT)
    }

    pub(super) fn enable(&self, env: &Env) -> Result<()> {
        must(env, "systemctl", &["--user", "daemon-reload"])?;
        must(env, "systemctl", &["--user", "enable", UNIT])?;
        self.start(env)
    }

    #[allow(clippy::unused_self)] // the same shape for every manager
    pub(super) fn start(&self, env: &Env) -> Result<()> {
        // A unit that failed often is not started again before its failures are forgotten.
        let _ = must(env, "systemctl", &["--user", "reset-failed", UNIT]);
        must(env, "systemctl", &["--user", "start", UNIT])
            .map(drop)
            .map_err(|e| e.hint(format!("`systemctl --user status {UNIT}` and `ccctl logs` say more")))
    }

    #[allow(clippy::unused_self)]
    pub(super) fn disable(&self, env: &Env) -> Result<()> {
        must(env, "systemctl", &["--user", "disable", UNIT]).map(drop)
    }

    #[allow(clippy::unused_self)]
    pub(super) fn forget(&self, env: &Env) -> Result<()> {
        must(env, "systemctl", &["--user", "daemon-reload"]).map(drop)
    }
}

/// The unit. A clean exit is one that somebody asked for (`ccctl stop`, `ccctl uninstall`): after every other
/// end the daemon is back within a tenth of a second. Streams may take ten minutes to end.
pub(super) fn unit(ccd: &Path, environment: &[(&str, String)]) -> Result<Vec<u8>> {
    let ccd = ccd.to_str().ok_or_else(|| CommandError::failed(format!("{} is not UTF-8", ccd.display())))?;
    let mut variables = String::new();
    for (name, value) in environment {
        let _ = writeln!(variables, "Environment={}", quoted(&format!("{name}={value}"))?);
    }
    Ok(format!(
        "# Written by `ccctl install`; removed by `ccctl uninstall`.\n\
         [Unit]\n\
         Description=ccd, the flight recorder for Claude Code\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart={} run\n\
         Restart=always\n\
         RestartPreventExitStatus=0\n\
         RestartSec=100ms\n\
         TimeoutStopSec=11min\n\
         UMask=0077\n\
         {variables}\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        quoted(ccd)?.replace('$', "$$")
    )
    .into_bytes())
}

/// A word as systemd reads it back: no specifier, no escape, no second line.
fn quoted(text: &str) -> Result<String> {
    if text.chars().any(char::is_control) {
        return Err(CommandError::failed(format!("{text:?} cannot stand in a systemd unit")));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Outcome;
    use crate::testing::{Home, said};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn the_unit() {
        let unit = unit(Path::new("/opt/100% \"x\"/ccd"), &[("CCD_HOME", "/h/a b".into())]).unwrap();
        insta::assert_snapshot!(String::from_utf8(unit).unwrap(), @r#"
        # Written by `ccctl install`; removed by `ccctl uninstall`.
        [Unit]
        Description=ccd, the flight recorder for Claude Code
        StartLimitIntervalSec=0

        [Service]
        Type=notify
        ExecStart="/opt/100%% \"x\"/ccd" run
        Restart=always
        RestartPreventExitStatus=0
        RestartSec=100ms
        TimeoutStopSec=11min
        UMask=0077
        Environment="CCD_HOME=/h/a b"

        [Install]
        WantedBy=default.target
        "#);
        assert!(
            super::unit(Path::new("/ccd"), &[("CCD_HOME", "/h\nExecStartPre=/bin/evil".into())]).is_err()
        );
    }

    #[test]
    fn a_manager_that_does_not_read_our_directory_is_none() {
        let home = Home::new();
        let dir = home.path().join(".config/systemd/user");
        let env = home.env_with(move |call| match call.args.len() {
            2 => said("PATH=/bin\n"),
            _ => said(&format!("/etc/systemd/user {}\n", dir.display())),
        });
        assert!(Systemd::detect(&env).is_some());
        assert!(Systemd::detect(&home.env_with(|_| said("/home/other/.config/systemd/user\n"))).is_none());
        assert!(
            Systemd::detect(&home.env_with(|_| Outcome { code: Some(1), ..Outcome::default() })).is_none()
        );
    }

    #[test]
    fn taking_the_service_away_stops_nothing() {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let env = Home::new().env_with(move |call| {
            seen.borrow_mut().push(call.line());
            said("")
        });
        let manager = Systemd::new(&env).unwrap();
        manager.enable(&env).unwrap();
        manager.disable(&env).unwrap();
        manager.forget(&env).unwrap();
        assert_eq!(
            *calls.borrow(),
            [
                "systemctl --user daemon-reload",
                "systemctl --user enable ccd.service",
                "systemctl --user reset-failed ccd.service",
                "systemctl --user start ccd.service",
                "systemctl --user disable ccd.service",
                "systemctl --user daemon-reload",
            ]
        );
    }
}
