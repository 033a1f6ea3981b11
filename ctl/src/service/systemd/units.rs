//! The units: what the service and its sockets are to systemd.
//!
//! Must hold nothing that needs privileges or a namespace of mounts, users or networks: a user's manager has no
//! privileges, and distributions refuse such namespaces to programs without them (Ubuntu since 23.10), where a unit that
//! asks for one does not start.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::{SERVICE, SOCKET, WEB_SOCKET};
use crate::error::{CommandError, Result};
use crate::service::Sockets;

/// The first line of each unit.
const HEAD: &str = "# Written by `ccctl install`; removed by `ccctl uninstall`.\n";

/// The service's unit. A clean exit is one that somebody asked for (`ccctl stop`, `ccctl uninstall`): after every other
/// end the daemon is back within a quarter of a second, without a limit: a unit that is given up leaves a port that
/// everybody waits at. Shorter, and a home that cannot be written to would keep the machine busy.
///
/// - `Sockets` brings the sockets along, and orders the service after them; it does not require them: one may be stopped
///   without the service, whose streams may take ten minutes to end, and one that cannot be bound (a web port that is
///   taken) keeps nothing from starting.
/// - `KillMode=process`: what is stopped is the supervisor, which tells its workers; if it is killed, they notice, give
///   the store to those of the next one, and finish their streams.
/// - `WatchdogSec`: the supervisor says that it lives every half of it. Workers go on without it, so that there is no
///   haste; a minute is more than a loaded machine keeps a process waiting, and no more than two wake-ups a minute.
///   `WatchdogSignal=SIGKILL`, because one that does not run does not act upon SIGABRT either, and systemd would wait
///   for `TimeoutStopSec` before the signal that it uses then. There is nothing to save: the workers have it all.
/// - `OOMPolicy=continue`: a worker that ran out of memory is the supervisor's business. No `MemoryHigh`: it makes
///   whoever is above it wait, which here is the stream of somebody's model; the daemon keeps to bounds of its own.
///
/// What confines it is done by seccomp filters, which with `NoNewPrivileges` need no privileges. They hold for what the
/// daemon starts, too: workers, another version of itself, and `notify-send`.
/// - `SystemCallFilter=@system-service`, which programs that serve get by with; the rest is answered with `EPERM`, so
///   that a library that only tries goes on.
/// - `MemoryDenyWriteExecute`: no part of the daemon makes code at run time.
/// - `RestrictAddressFamilies`: TCP, Unix sockets, and netlink to ask which user a connection belongs to.
/// - Not there: `Protect…`, `Private…` and `ReadWritePaths` (namespaces), `CapabilityBoundingSet` (a privilege to set,
///   and there are none to drop), `DevicePolicy` and `IPAddressAllow` (BPF in a control group, root's).
pub(crate) fn service(ccd: &Path, environment: &[(&str, String)], sockets: &[&str]) -> Result<Vec<u8>> {
    let ccd = ccd.to_str().ok_or_else(|| CommandError::failed(format!("{} is not UTF-8", ccd.display())))?;
    let mut variables = String::new();
    for (name, value) in environment {
        let _ = writeln!(variables, "Environment={}", quoted(&format!("{name}={value}"))?);
    }
    let held = match sockets {
        [] => String::new(),
        names => format!("Sockets={}\n", names.join(" ")),
    };
    Ok(format!(
        "{HEAD}\
         [Unit]\n\
         Description=ccd, the flight recorder for Claude Code\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         ExecStart={} supervise\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         {held}\
         Restart=always\n\
         RestartPreventExitStatus=0\n\
         RestartSec=250ms\n\
         WatchdogSec=60s\n\
         WatchdogSignal=SIGKILL\n\
         KillMode=process\n\
         OOMPolicy=continue\n\
         TimeoutStopSec=11min\n\
         UMask=0077\n\
         LimitCORE=0\n\
         NoNewPrivileges=yes\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n\
         RestrictNamespaces=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         SystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\n\
         SystemCallErrorNumber=EPERM\n\
         {variables}\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        quoted(ccd)?.replace('$', "$$")
    )
    .into_bytes())
}

/// The unit of the proxy's port and both Unix sockets; none where the port is another one with every start.
///
/// - No limit of triggers: one that is reached would close the port.
/// - `ReusePort`: a daemon that was started otherwise, and holds the port, lets systemd listen beside it, so that the
///   service can take its place without a moment in which nobody listens. Only programs of the same user could join
///   them, and only those that ask for it: a second daemon on this port is still refused.
/// - No `RemoveOnStop`: the socket is stopped first, while the daemon still answers there.
pub(crate) fn socket(sockets: &Sockets) -> Result<Option<Vec<u8>>> {
    let Some(proxy) = sockets.proxy else { return Ok(None) };
    let (hook, control) = (line(&sockets.hook)?, line(&sockets.control)?);
    let text = format!(
        "{HEAD}\
         [Unit]\n\
         Description=ccd, the flight recorder for Claude Code: the port that Claude Code is sent to, and its hooks' socket\n\
         \n\
         [Socket]\n\
         ListenStream={proxy}\n\
         ListenStream={hook}\n\
         ListenStream={control}\n\
         SocketMode=0600\n\
         DirectoryMode=0700\n\
         FileDescriptorName=ccd\n\
         ReusePort=yes\n\
         TriggerLimitIntervalSec=0\n\
         \n\
         [Install]\n\
         WantedBy=sockets.target\n"
    );
    Ok(Some(text.into_bytes()))
}

/// The unit of the web port, one of its own: where another program has the port, systemd gives up the whole unit, and
/// the proxy must not suffer from it.
pub(crate) fn web_socket(web: Option<SocketAddr>) -> Option<Vec<u8>> {
    let web = web?;
    let text = format!(
        "{HEAD}\
         [Unit]\n\
         Description=ccd, the flight recorder for Claude Code: the port of its pages\n\
         \n\
         [Socket]\n\
         ListenStream={web}\n\
         Service={SERVICE}\n\
         FileDescriptorName=web\n\
         ReusePort=yes\n\
         TriggerLimitIntervalSec=0\n\
         \n\
         [Install]\n\
         WantedBy=sockets.target\n"
    );
    Some(text.into_bytes())
}

/// The names of the units that hold sockets.
pub(crate) fn names(sockets: &Sockets) -> Vec<&'static str> {
    let proxy = sockets.proxy.map(|_| SOCKET);
    proxy.into_iter().chain(sockets.web.map(|_| WEB_SOCKET)).collect()
}

fn refused(text: &str) -> CommandError {
    CommandError::failed(format!("{text:?} cannot stand in a systemd unit"))
}

/// A path as the rest of a line, where systemd looks for specifiers alone.
fn line(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| refused(&path.to_string_lossy()))?;
    if text.chars().any(char::is_control) || text.trim() != text || text.ends_with('\\') {
        return Err(refused(text));
    }
    Ok(text.replace('%', "%%"))
}

/// A word as systemd reads it back: no specifier, no escape, no second line.
fn quoted(text: &str) -> Result<String> {
    if text.chars().any(char::is_control) {
        return Err(refused(text));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(proxy: Option<&str>, web: Option<&str>) -> Sockets {
        Sockets {
            proxy: proxy.map(|addr| addr.parse().unwrap()),
            web: web.map(|addr| addr.parse().unwrap()),
            hook: "/run/user/1000/ccd/hook.sock".into(),
            control: "/home/100% me/ccd.sock".into(),
        }
    }

    fn text(unit: Vec<u8>) -> String {
        String::from_utf8(unit).unwrap()
    }

    #[test]
    fn the_service() {
        let unit = service(
            Path::new("/opt/100% \"x\"/ccd"),
            &[("CCD_HOME", "/h/a b".into())],
            &[SOCKET, WEB_SOCKET],
        );
        insta::assert_snapshot!(text(unit.unwrap()), @r#"
        # Written by `ccctl install`; removed by `ccctl uninstall`.
        [Unit]
        Description=ccd, the flight recorder for Claude Code
        StartLimitIntervalSec=0

        [Service]
        Type=notify
        NotifyAccess=main
        ExecStart="/opt/100%% \"x\"/ccd" supervise
        ExecReload=/bin/kill -HUP $MAINPID
        Sockets=ccd.socket ccd-web.socket
        Restart=always
        RestartPreventExitStatus=0
        RestartSec=250ms
        WatchdogSec=60s
        WatchdogSignal=SIGKILL
        KillMode=process
        OOMPolicy=continue
        TimeoutStopSec=11min
        UMask=0077
        LimitCORE=0
        NoNewPrivileges=yes
        LockPersonality=yes
        MemoryDenyWriteExecute=yes
        RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
        RestrictNamespaces=yes
        RestrictRealtime=yes
        RestrictSUIDSGID=yes
        SystemCallArchitectures=native
        SystemCallFilter=@system-service
        SystemCallErrorNumber=EPERM
        Environment="CCD_HOME=/h/a b"

        [Install]
        WantedBy=default.target
        "#);
        let evil = [("CCD_HOME", "/h\nExecStartPre=/bin/evil".to_owned())];
        assert!(service(Path::new("/ccd"), &evil, &[]).is_err());
        let alone = text(service(Path::new("/ccd"), &[], &[]).unwrap());
        assert!(!alone.contains("ocket"), "no socket, no word of it: {alone}");
    }

    #[test]
    fn the_sockets() {
        let both = sockets(Some("127.0.0.1:7788"), Some("[::1]:7789"));
        assert_eq!(names(&both), [SOCKET, WEB_SOCKET]);
        insta::assert_snapshot!(text(socket(&both).unwrap().unwrap()), @r#"
        # Written by `ccctl install`; removed by `ccctl uninstall`.
        [Unit]
        Description=ccd, the flight recorder for Claude Code: the port that Claude Code is sent to, and its hooks' socket

        [Socket]
        ListenStream=127.0.0.1:7788
        ListenStream=/run/user/1000/ccd/hook.sock
        ListenStream=/home/100%% me/ccd.sock
        SocketMode=0600
        DirectoryMode=0700
        FileDescriptorName=ccd
        ReusePort=yes
        TriggerLimitIntervalSec=0

        [Install]
        WantedBy=sockets.target
        "#);
        insta::assert_snapshot!(text(web_socket(both.web).unwrap()), @r#"
        # Written by `ccctl install`; removed by `ccctl uninstall`.
        [Unit]
        Description=ccd, the flight recorder for Claude Code: the port of its pages

        [Socket]
        ListenStream=[::1]:7789
        Service=ccd.service
        FileDescriptorName=web
        ReusePort=yes
        TriggerLimitIntervalSec=0

        [Install]
        WantedBy=sockets.target
        "#);
        let none = sockets(None, None);
        assert_eq!((socket(&none).unwrap(), web_socket(none.web)), (None, None));
        let wild = Sockets { hook: "/x/\nExecStartPre=/bin/evil".into(), ..both };
        assert!(socket(&wild).is_err());
    }
}
