//! Tests of `verify`, with a made-up daemon.

use super::*;
use crate::testing::{Home, said};

#[test]
fn a_bare_machine_is_told_what_to_do() {
    let home = Home::new();
    let (mut out, text, _) = Printer::captured(100);
    let error = run(&home.env(), &mut out, &VerifyArgs::default()).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    insta::assert_snapshot!(text.text().replace(&home.path().display().to_string(), "~"), @r"
    ✗ programs   the program `ccd` is missing
                 → it lies beside ~/bin/ccctl or on PATH: packaging/install.sh puts it there
    ✗ daemon     it is not running
                 → `ccctl start`
    ✗ install    nothing is installed
                 → `ccctl install` (or record one session with `ccctl run`)
    ✓ access     only you can look into ccd's files; the spool is empty
    ");
}

#[test]
fn programs_of_two_versions_and_open_doors_are_found() {
    let home = Home::new();
    home.programs();
    std::fs::set_permissions(home.path().join("ccd/state"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let env = home.env_with(|_| said("ccd 9.9.9\n"));
    let (mut out, _, _) = Printer::captured(100);
    let checks = checks(&env, &mut out);
    let find = |name| checks.iter().find(|c| c.name == name).unwrap();
    assert!(find("programs").detail.contains("version 9.9.9"));
    assert!(find("access").detail.contains("mode 755"));
}

/// The check of this name, of what a daemon says of itself.
fn of(status: &Status, name: &str) -> Check {
    let checks = daemon_checks(&Home::new().env(), Ok(Some(status)));
    checks.into_iter().find(|check| check.name == name).unwrap()
}

fn serving() -> Status {
    let mut status = Status::default();
    status.daemon.version = ccd_proto::VERSION.into();
    status
}

#[test]
fn a_supervisor_that_is_gone_fails() {
    assert!(of(&serving(), "daemon").ok);
    let mut status = serving();
    status.daemon.supervisor_gone = true;
    let check = of(&status, "daemon");
    assert_eq!((check.ok, check.hint.as_deref()), (false, Some("`ccctl restart`")));
}

#[test]
fn an_upstream_that_no_request_reaches_fails_until_one_does() {
    let mut status = serving();
    status.proxy.upstream = "https://api.example".into();
    status.proxy.errors = 3;
    status.proxy.last_error = Some("connection refused".into());
    assert!(of(&status, "upstream").ok, "one has reached it since");
    status.proxy.unreached = 2;
    let check = of(&status, "upstream");
    assert_eq!((check.ok, check.hint.is_some()), (false, true));
    assert_eq!(check.detail, "https://api.example is not reached (2 requests in a row): connection refused");
}

#[test]
fn what_is_wrong_is_looked_for_where_it_is() {
    let mut status = serving();
    let mut told = |about: &str| {
        status.daemon.config_error = Some("x = y".into());
        status.daemon.config_error_about = about.into();
        let check = of(&status, "config");
        assert!(!check.ok);
        format!("{} → {}", check.detail, check.hint.unwrap())
    };
    assert_eq!(
        told("environment"),
        "the environment: x = y → change it, then `ccctl stop` and `ccctl start`"
    );
    assert_eq!(told("restart"), "x = y → `ccctl restart`");
    assert!(told("file").contains("config.toml is not in force: x = y → correct it"));
}

#[test]
fn a_crash_loop_is_no_matter_of_the_disk() {
    let mut status = serving();
    status.proxy.bypass = true;
    for (error, advice) in [
        ("the worker died again and again, at last: signal 6", "`ccctl logs` says why; then `ccctl restart`"),
        ("no space left on device", "make room or repair the disk; requests are relayed meanwhile"),
    ] {
        status.store.error = Some(error.into());
        assert_eq!(of(&status, "store").hint.as_deref(), Some(advice));
    }
}

#[test]
fn a_program_that_says_nothing_has_no_version() {
    let home = Home::new();
    home.programs();
    let error = programs(&home.env_with(|_| said(""))).unwrap_err();
    assert!(error.message.ends_with("does not tell its version"), "{error}");
}

#[test]
fn json_has_the_documented_shape() {
    let (mut out, text, _) = Printer::captured(100);
    run(&Home::new().env(), &mut out, &VerifyArgs { json: true, fix: false }).unwrap_err();
    let value: serde_json::Value = serde_json::from_str(&text.text()).unwrap();
    assert!(text.text().starts_with("{\"schema_version\":1,"));
    let first = value["checks"][0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["detail", "hint", "name", "ok"]);
}
