//! The daemon as a service of systemd's user manager.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::must;
use crate::env::Env;
use crate::error::{CommandError, Result};

/// The manager's name.
pub const NAME: &str = "systemd";
/// The unit's name.
const UNIT: &str = "ccd.service";
/// The name of the unit that holds the port.
const SOCKET: &str = "ccd.socket";

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

    pub(super) fn socket_path(&self) -> PathBuf {
        self.units.join(SOCKET)
    }

    /// Our units, the socket first: a service that runs already keeps systemd from listening for it.
    fn names(&self) -> Vec<&'static str> {
        if self.socket_path().exists() { vec![SOCKET, UNIT] } else { vec![UNIT] }
    }

    fn all(&self, env: &Env, verb: &str) -> Result<()> {
        must(env, "systemctl", &[&["--user", verb], &self.names()[..]].concat()).map(drop)
    }

    pub(super) fn enable(&self, env: &Env) -> Result<()> {
        must(env, "systemctl", &["--user", "daemon-reload"])?;
        self.all(env, "enable")?;
        self.start(env)
    }

    pub(super) fn start(&self, env: &Env) -> Result<()> {
        // A unit that failed often is not started again before its failures are forgotten.
        let _ = self.all(env, "reset-failed");
        self.all(env, "start")
            .map_err(|e| e.hint(format!("`systemctl --user status {UNIT}` and `ccctl logs` say more")))
    }

    pub(super) fn stop_listening(&self, env: &Env) -> Result<()> {
        if !self.socket_path().exists() {
            return Ok(());
        }
        must(env, "systemctl", &["--user", "stop", SOCKET]).map(drop)
    }

    pub(super) fn disable(&self, env: &Env) -> Result<()> {
        self.all(env, "disable")?;
        // Without its files nobody could start the service that it would be listening for.
        self.stop_listening(env)
    }

    #[allow(clippy::unused_self)] // the same shape for every manager
    pub(super) fn forget(&self, env: &Env) -> Result<()> {
        must(env, "systemctl", &["--user", "daemon-reload"]).map(drop)
    }
}

/// The service's unit. A clean exit is one that somebody asked for (`ccctl stop`, `ccctl uninstall`): after every other
/// end the daemon is back within a tenth of a second.
///
/// - `Wants`, not `Requires`: the socket may be stopped without the service, whose streams may take ten minutes to end.
/// - `KillMode=process`: what is stopped is the supervisor, which tells its workers; if it is killed, they notice, give
///   the store to those of the next one, and finish their streams.
/// - `OOMPolicy=continue`: a worker that ran out of memory is the supervisor's business.
/// - What confines it needs no privileges, so that a user's manager can do it.
pub(crate) fn unit(ccd: &Path, environment: &[(&str, String)], socket: bool) -> Result<Vec<u8>> {
    let ccd = ccd.to_str().ok_or_else(|| CommandError::failed(format!("{} is not UTF-8", ccd.display())))?;
    let mut variables = String::new();
    for (name, value) in environment {
        let _ = writeln!(variables, "Environment={}", quoted(&format!("{name}={value}"))?);
    }
    let wants = if socket { format!("Wants={SOCKET}\nAfter={SOCKET}\n") } else { String::new() };
    Ok(format!(
        "# Written by `ccctl install`; removed by `ccctl uninstall`.\n\
         [Unit]\n\
         Description=ccd, the flight recorder for Claude Code\n\
         {wants}\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         ExecStart={} supervise\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=always\n\
         RestartPreventExitStatus=0\n\
         RestartSec=100ms\n\
         KillMode=process\n\
         OOMPolicy=continue\n\
         TimeoutStopSec=11min\n\
         UMask=0077\n\
         LimitCORE=0\n\
         NoNewPrivileges=yes\n\
         LockPersonality=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n\
         SystemCallArchitectures=native\n\
         {variables}\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        quoted(ccd)?.replace('$', "$$")
    )
    .into_bytes())
}

/// The socket's unit. No limit of triggers: one that is reached would close the port.
pub(super) fn socket(listen: SocketAddr) -> Vec<u8> {
    format!(
        "# Written by `ccctl install`; removed by `ccctl uninstall`.\n\
         [Unit]\n\
         Description=ccd, the flight recorder for Claude Code: the port that Claude Code is sent to\n\
         \n\
         [Socket]\n\
         ListenStream={listen}\n\
         FileDescriptorName=proxy\n\
         TriggerLimitIntervalSec=0\n\
         \n\
         [Install]\n\
         WantedBy=sockets.target\n"
    )
    .into_bytes()
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
        let unit = unit(Path::new("/opt/100% \"x\"/ccd"), &[("CCD_HOME", "/h/a b".into())], true).unwrap();
        insta::assert_snapshot!(String::from_utf8(unit).unwrap(), @r#"
        # Written by `ccctl install`; removed by `ccctl uninstall`.
        [Unit]
        Description=ccd, the flight recorder for Claude Code
        Wants=ccd.socket
        After=ccd.socket
        StartLimitIntervalSec=0

        [Service]
        Type=notify
        NotifyAccess=main
        ExecStart="/opt/100%% \"x\"/ccd" supervise
        ExecReload=/bin/kill -HUP $MAINPID
        Restart=always
        RestartPreventExitStatus=0
        RestartSec=100ms
        KillMode=process
        OOMPolicy=continue
        TimeoutStopSec=11min
        UMask=0077
        LimitCORE=0
        NoNewPrivileges=yes
        LockPersonality=yes
        RestrictRealtime=yes
        RestrictSUIDSGID=yes
        RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
        SystemCallArchitectures=native
        Environment="CCD_HOME=/h/a b"

        [Install]
        WantedBy=default.target
        "#);
        assert!(
            super::unit(Path::new("/ccd"), &[("CCD_HOME", "/h\nExecStartPre=/bin/evil".into())], true)
                .is_err()
        );
        let alone = super::unit(Path::new("/ccd"), &[], false).unwrap();
        assert!(!String::from_utf8(alone).unwrap().contains("ccd.socket"), "no socket, no word of it");
    }

    #[test]
    fn the_socket() {
        let unit = socket("127.0.0.1:7788".parse().unwrap());
        insta::assert_snapshot!(String::from_utf8(unit).unwrap(), @r"
        # Written by `ccctl install`; removed by `ccctl uninstall`.
        [Unit]
        Description=ccd, the flight recorder for Claude Code: the port that Claude Code is sent to

        [Socket]
        ListenStream=127.0.0.1:7788
        FileDescriptorName=proxy
        TriggerLimitIntervalSec=0

        [Install]
        WantedBy=sockets.target
        ");
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

    /// What `systemctl` is told, with or without a socket's unit.
    fn told(home: &Home) -> Vec<String> {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let env = home.env_with(move |call| {
            seen.borrow_mut().push(call.line());
            said("")
        });
        let manager = Systemd::new(&env).unwrap();
        manager.enable(&env).unwrap();
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
                "systemctl --user daemon-reload",
                "systemctl --user enable ccd.service",
                "systemctl --user reset-failed ccd.service",
                "systemctl --user start ccd.service",
                "systemctl --user disable ccd.service",
                "systemctl --user daemon-reload",
            ]
        );
        home.write(".config/systemd/user/ccd.socket", "");
        assert_eq!(
            told(&home),
            [
                "systemctl --user daemon-reload",
                "systemctl --user enable ccd.socket ccd.service",
                "systemctl --user reset-failed ccd.socket ccd.service",
                "systemctl --user start ccd.socket ccd.service",
                "systemctl --user disable ccd.socket ccd.service",
                "systemctl --user stop ccd.socket",
                "systemctl --user daemon-reload",
            ]
        );
    }
}
