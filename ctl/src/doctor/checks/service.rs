//! The service that keeps the daemon: current, enabled, running, in possession of the port; or what it means that there
//! is none.

use crate::doctor::Check;
use crate::service::{Health, UnitFile, after_a_reboot};

/// What there is to be said of it. `is_running` says whether the daemon runs, whoever keeps it; `hooks`, whether Claude
/// Code's hooks are installed.
pub(super) fn service(health: &Health, is_running: bool, hooks: bool) -> Check {
    let again = "`ccctl install` puts it right";
    let Some(manager) = health.manager else {
        let reboot = after_a_reboot(hooks);
        return match &health.absence {
            Some(absence) => {
                let check = Check::note("service", format!("none: {absence}; {reboot}"));
                match absence.hint() {
                    Some(hint) => check.hint(hint),
                    None => check,
                }
            }
            None => Check::note("service", format!("none was asked for: {reboot}"))
                .hint("`ccctl install` without --no-service makes one"),
        };
    };
    let file = |state| health.files.iter().find(|(_, is)| *is == state).map(|(path, _)| path.display());
    if let Some(path) = file(UnitFile::Missing) {
        return Check::fail("service", format!("{path} is gone"), "`ccctl install` writes it again")
            .fixable();
    }
    if let Some(absence) = &health.absence {
        let told = format!("{manager} cannot be asked: {absence}");
        return Check::warn("service", told, absence.hint().unwrap_or(again));
    }
    if health.enabled == Some(false) {
        let told = format!("{manager} does not start it at login");
        return Check::fail("service", told, again).fixable();
    }
    let failure = health.failed.as_ref().map(|failure| format!("; it ended with `{}`", failure.result));
    let failure = failure.unwrap_or_default();
    if health.active == Some(false) && !is_running {
        let told = format!("{manager} does not run it{failure}");
        return Check::fail("service", told, "`ccctl start`; `ccctl logs` may say why").fixable();
    }
    if health.active == Some(false) {
        let told = format!("the daemon runs, and not by {manager}{failure}");
        return Check::warn("service", told, "`ccctl install` gives it to the service");
    }
    if health.socket_active == Some(false) {
        let told = format!("{manager} does not hold the port: requests fail while the daemon is away");
        return Check::warn("service", told, again).fixable();
    }
    if let Some(path) = file(UnitFile::Outdated) {
        let told = format!("{path} is of another version of ccd, or of another configuration");
        return Check::warn("service", told, "`ccctl install` renews it").fixable();
    }
    if health.loaded == Some(false) {
        let told = format!("{manager} has not read its files as they are now");
        return Check::warn("service", told, again).fixable();
    }
    if let Some(path) = file(UnitFile::Edited) {
        return Check::note("service", format!("{manager}; {path} was changed by somebody else"));
    }
    let lasts = match health.linger {
        Some(false) => {
            ", and ends with the last login session (on a server, `loginctl enable-linger` has it go on)"
        }
        Some(true) => ", and goes on without a login session",
        None => "",
    };
    let told = format!("{manager} starts it with every login{lasts}");
    match (health.restarts, &health.failed) {
        (Some(many @ 1..), Some(_)) => {
            let many = crate::human::plural(many.into(), "time");
            Check::warn("service", format!("{told}; started again {many}{failure}"), "`ccctl logs` says why")
        }
        _ => Check::good("service", told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::service::{Absence, Failure};

    fn healthy() -> Health {
        Health {
            manager: Some("systemd"),
            files: vec![("/u/ccd.service".into(), UnitFile::Current)],
            loaded: Some(true),
            enabled: Some(true),
            active: Some(true),
            socket_active: Some(true),
            linger: Some(true),
            ..Health::default()
        }
    }

    #[test]
    fn a_service_is_well_or_it_is_said_what_is_not() {
        let told = |change: fn(&mut Health), is_running| {
            let mut health = healthy();
            change(&mut health);
            let check = service(&health, is_running, true);
            assert_eq!(check.level > Level::Note, check.hint.is_some(), "{check:?}");
            (check.level, check.fixable, check.detail)
        };
        let (level, _, detail) = told(|_| (), true);
        assert_eq!(level, Level::Ok);
        assert_eq!(detail, "systemd starts it with every login, and goes on without a login session");
        assert!(told(|h| h.linger = Some(false), true).2.contains("loginctl enable-linger"));
        for (change, is_running, level, fixable, words) in [
            ((|h| h.files[0].1 = UnitFile::Missing) as fn(&mut Health), true, Level::Fail, true, "is gone"),
            (|h| h.files[0].1 = UnitFile::Outdated, true, Level::Warn, true, "another version"),
            (|h| h.files[0].1 = UnitFile::Edited, true, Level::Note, false, "somebody else"),
            (|h| h.loaded = Some(false), true, Level::Warn, true, "has not read"),
            (|h| h.enabled = Some(false), true, Level::Fail, true, "does not start it at login"),
            (|h| h.active = Some(false), false, Level::Fail, true, "does not run it"),
            (|h| h.active = Some(false), true, Level::Warn, false, "not by systemd"),
            (|h| h.socket_active = Some(false), true, Level::Warn, true, "does not hold the port"),
            (|h| h.absence = Some(Absence::NoSession), true, Level::Warn, false, "cannot be asked"),
        ] {
            let (is, can, detail) = told(change, is_running);
            assert_eq!((is, can), (level, fixable), "{detail}");
            assert!(detail.contains(words), "{detail}");
        }
        let failed = |h: &mut Health| {
            h.restarts = Some(2);
            h.failed = Some(Failure { result: "watchdog".into(), since: None });
        };
        let (level, _, detail) = told(failed, true);
        assert!(level == Level::Warn && detail.contains("2 times; it ended with `watchdog`"), "{detail}");
    }

    #[test]
    fn without_a_service_it_is_said_what_a_reboot_means() {
        let told = |absence, hooks| service(&Health { absence, ..Health::default() }, true, hooks);
        let check = told(Some(Absence::NotBooted), true);
        assert_eq!((check.level, &check.hint), (Level::Note, &None));
        assert!(check.detail.contains("not started by systemd; after a reboot, the first hook"), "{check:?}");
        assert!(told(Some(Absence::NoSession), true).hint.unwrap().contains("log in"));
        let check = told(None, false);
        assert!(check.detail.ends_with("`ccctl start` starts the daemon again"), "{check:?}");
    }
}
