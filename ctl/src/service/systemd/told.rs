//! What `systemctl` and `loginctl` print, read.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{SERVICE, SOCKET, WEB_SOCKET};
use crate::service::{Failure, Health};

/// What `systemctl show` is asked about each unit.
pub(crate) const PROPERTIES: &str = "--property=Id,LoadState,UnitFileState,ActiveState,SubState,MainPID,Result,NRestarts,StateChangeTimestamp,NeedDaemonReload";

/// The lines of one unit.
struct Unit<'a>(&'a str);

impl<'a> Unit<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(str::trim).filter(|value| !value.is_empty())
    }

    fn is(&self, name: &str, value: &str) -> Option<bool> {
        self.get(name).map(|found| found == value)
    }
}

/// Reads what `systemctl --user show` says of our units; what it does not say stays as it is in `health`.
pub(crate) fn read_show(text: &str, tz: &TimeZone, health: &mut Health) {
    let units: Vec<_> = text.split("\n\n").map(|block| Unit(block.trim())).collect();
    let named = |name: &str| units.iter().find(|unit| unit.get("Id") == Some(name));
    for unit in &units {
        let enabled = unit.get("UnitFileState").map(|state| state.starts_with("enabled"));
        let is_loaded = unit.is("LoadState", "loaded");
        let loaded = is_loaded.map(|loaded| loaded && unit.is("NeedDaemonReload", "yes") != Some(true));
        health.enabled = all(health.enabled, enabled);
        health.loaded = all(health.loaded, loaded);
    }
    health.socket_active = named(SOCKET).and_then(is_active);
    health.web_active = named(WEB_SOCKET).and_then(is_active);
    let Some(service) = named(SERVICE) else { return };
    health.active = is_active(service);
    health.pid = service.get("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0);
    health.restarts = service.get("NRestarts").and_then(|n| n.parse().ok());
    // While it runs, or was stopped, this is `success`.
    let failures = [service, named(SOCKET).unwrap_or(service)];
    health.failed = failures.into_iter().find_map(|unit| {
        let result = unit.get("Result").filter(|result| *result != "success")?;
        let since = unit.get("StateChangeTimestamp").and_then(|text| moment(text, tz));
        Some(Failure { result: result.to_owned(), since })
    });
}

fn all(so_far: Option<bool>, this: Option<bool>) -> Option<bool> {
    match (so_far, this) {
        (Some(one), Some(other)) => Some(one && other),
        (one, other) => one.or(other),
    }
}

fn is_active(unit: &Unit<'_>) -> Option<bool> {
    unit.get("ActiveState").map(|state| matches!(state, "active" | "reloading"))
}

/// A moment as it prints it: `Sat 2026-11-21 09:43:12 UTC`, in the zone of whoever runs it.
fn moment(text: &str, tz: &TimeZone) -> Option<Timestamp> {
    let mut words = text.split_whitespace().skip(1);
    let (date, time) = (words.next()?, words.next()?);
    let at: DateTime = format!("{date}T{time}").parse().ok()?;
    Some(at.to_zoned(tz.clone()).ok()?.timestamp())
}

/// Reads `loginctl show-user --property=Linger`.
pub(crate) fn read_linger(text: &str) -> Option<bool> {
    match text.trim().strip_prefix("Linger=")? {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The lines of a unit but those that hand variables on.
pub(crate) fn without_variables(unit: &[u8]) -> impl Iterator<Item = &[u8]> {
    unit.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"Environment="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Health {
        let mut health = Health { manager: Some(super::super::NAME), ..Health::default() };
        read_show(text, &TimeZone::UTC, &mut health);
        health
    }

    /// As systemd 252 printed it, of a service that runs behind its sockets.
    const RUNS: &str = "Type=notify\nId=ccd.service\nMainPID=4242\nNRestarts=3\nResult=success\nLoadState=loaded\n\
        ActiveState=active\nSubState=running\nUnitFileState=enabled\nStateChangeTimestamp=Sat 2026-11-21 09:43:12 UTC\n\
        NeedDaemonReload=no\n\nId=ccd.socket\nResult=success\nLoadState=loaded\nActiveState=active\nSubState=running\n\
        UnitFileState=enabled\nStateChangeTimestamp=Sat 2026-11-21 09:43:10 UTC\nNeedDaemonReload=no\n";

    #[test]
    fn a_service_that_runs() {
        let health = read(RUNS);
        assert!(health.is_good(), "{health:?}");
        assert_eq!((health.pid, health.restarts, health.socket_active), (Some(4242), Some(3), Some(true)));
        assert_eq!((health.web_active, health.failed), (None, None));
    }

    #[test]
    fn a_service_that_fails_again_and_again() {
        let text = RUNS
            .replace("ActiveState=active\nSubState=running\nUnitFileState=enabled\nStateChangeTimestamp=Sat 2026-11-21 09:43:12", "ActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\nStateChangeTimestamp=Sat 2026-11-21 10:00:00")
            .replacen("Result=success", "Result=exit-code", 1)
            .replace("MainPID=4242", "MainPID=0");
        let health = read(&text);
        assert!(!health.is_good());
        assert_eq!((health.active, health.pid), (Some(false), None));
        let since = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(health.failed, Some(Failure { result: "exit-code".into(), since: Some(since) }));
    }

    #[test]
    fn what_is_not_enabled_not_loaded_or_changed_since_is_told() {
        assert_eq!(read(&RUNS.replacen("=enabled", "=disabled", 1)).enabled, Some(false));
        assert_eq!(read(&RUNS.replacen("=enabled\n", "=enabled-runtime\n", 1)).enabled, Some(true));
        assert_eq!(
            read(&RUNS.replacen("NeedDaemonReload=no", "NeedDaemonReload=yes", 1)).loaded,
            Some(false)
        );
        let gone = "Id=ccd.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nMainPID=0\n";
        let health = read(gone);
        assert_eq!((health.loaded, health.enabled, health.active), (Some(false), None, Some(false)));
        assert!(!health.is_good());
        assert_eq!(read("").active, None, "what is not said is not known");
    }

    #[test]
    fn a_socket_that_could_not_be_bound_is_a_failure() {
        let (service, socket) = RUNS.split_once("\n\n").unwrap();
        let socket = socket.replace("Result=success", "Result=resources").replace("=active", "=failed");
        let health = read(&format!("{service}\n\n{socket}"));
        assert_eq!((health.active, health.socket_active), (Some(true), Some(false)));
        assert_eq!(health.failed.unwrap().result, "resources");
    }

    #[test]
    fn moments_are_read_in_the_zone_of_the_one_who_asks() {
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let at = moment("Sat 2026-11-21 10:43:12 CET", &berlin).unwrap();
        assert_eq!(at.to_string(), "2026-11-21T09:43:12Z");
        assert_eq!(moment("n/a", &berlin), None);
    }

    #[test]
    fn lingering() {
        assert_eq!(read_linger("Linger=no\n"), Some(false));
        assert_eq!(read_linger("Linger=yes\n"), Some(true));
        assert_eq!(read_linger(""), None);
    }
}
