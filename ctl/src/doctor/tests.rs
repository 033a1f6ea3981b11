//! Tests of the doctor as a whole, with a made-up daemon.

use super::*;
use crate::testing::{Home, Reply, said};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// What is found of a home, with its path taken out; the disks of this machine are left out.
fn told(home: &Home, args: &VerifyArgs) -> (String, Option<u8>) {
    let (mut out, text, _) = Printer::captured(100);
    let env = home.env_with(|call| match call.line() {
        line if line.ends_with("ccd --version") => said("ccd 9.9.9\n"),
        _ => said(""),
    });
    let code = run(&env, &mut out, args).err().map(|error| error.exit_code());
    (text.text().replace(&home.path().display().to_string(), "~"), code)
}

fn only(names: &[&str]) -> VerifyArgs {
    VerifyArgs { names: names.iter().map(|name| (*name).to_owned()).collect(), ..VerifyArgs::default() }
}

#[test]
fn a_bare_machine_is_told_what_to_do() {
    let wanted =
        ["programs", "daemon", "sockets", "install", "hooks", "request", "client", "events", "clock"];
    let (text, code) = told(&Home::new(), &only(&wanted));
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(text, @r"
    ✗ programs    the program `ccd` is missing
                  → it lies beside ~/bin/ccctl or on PATH: packaging/install.sh puts it there
    ✗ daemon      it is not running
                  → `ccctl start` (or `ccctl doctor --fix`)
    ✓ sockets     nothing is in their place
    ✓ access      only you can look into ccd's files
    ✗ install     nothing is installed
                  → `ccctl install` (or record one session with `ccctl run`)
    ! client      there is no program `claude`: its version cannot be told
                  → put it on PATH, or name it in CCCTL_CLAUDE
    ✓ spool       empty
    ✓ clock       UTC
    3 to mend: programs, daemon, install; 1 to look at: client
    ");
}

#[test]
fn a_check_or_a_group_can_be_asked_for_alone() {
    let home = Home::new();
    home.programs();
    let (text, code) = told(&home, &only(&["spool"]));
    assert_eq!((text.as_str(), code), ("✓ spool       empty\nhealthy: 1 check\n", None));
    let (text, _) = told(&Home::new(), &only(&["sockets", "clock"]));
    assert_eq!(text.lines().count(), 4, "a group has several: {text}");
    let (mut out, ..) = Printer::captured(100);
    // No program is run for what was not asked: this runner would panic.
    let error = run(&home.env(), &mut out, &only(&["spool", "moon"])).unwrap_err();
    assert_eq!((error.exit_code(), error.message.as_str()), (2, "there is no check `moon`"));
    assert!(error.hints[0].contains("hooks, event, request, settings"), "{error:?}");
    assert!(run(&home.env(), &mut out, &only(&["spool"])).is_ok());
}

#[test]
fn programs_of_two_versions_and_open_doors_are_found() {
    let home = Home::new();
    home.programs();
    std::fs::set_permissions(home.path().join("ccd/state"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (text, code) = told(&home, &only(&["programs", "access"]));
    assert_eq!(code, Some(1));
    assert!(text.contains("version 9.9.9, ccctl is") && text.contains("mode 755"), "{text}");
}

#[test]
fn json_has_the_documented_shape() {
    let (mut out, text, _) = Printer::captured(100);
    let args = VerifyArgs { json: true, ..VerifyArgs::default() };
    let error = run(&Home::new().env(), &mut out, &args).unwrap_err();
    assert_eq!(error.kind, Kind::Verdict(1), "nothing is said twice");
    let value: Value = serde_json::from_str(&text.text()).unwrap();
    assert!(text.text().starts_with("{\"schema_version\":1,\"ok\":false,\"checks\":["));
    let checks = value["checks"].as_array().unwrap();
    let first = checks[0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["detail", "fixable", "hint", "level", "name", "ok"]);
    for check in checks {
        assert_eq!(check["ok"], json!(check["level"] != "fail"), "{check}");
        assert!(["ok", "note", "warn", "fail"].contains(&check["level"].as_str().unwrap()), "{check}");
        assert_eq!(check["level"] == "ok", check["hint"].is_null() && check["level"] == "ok", "{check}");
    }
    assert_eq!((&value["fixed"], &value["not_fixed"]), (&json!([]), &Value::Null));
}

#[test]
fn every_check_belongs_to_one_family() {
    let mut names: Vec<_> = FAMILIES.iter().flat_map(|f| std::iter::once(&f.name).chain(f.checks)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    // Those of an installation, too.
    let (mut out, ..) = Printer::captured(100);
    for check in checks(&Home::new().env(), &mut out) {
        assert_ne!(family_of(check.name), "", "{}", check.name);
    }
}

/// A daemon that says this of its way to the API.
fn with_probe(probe: Value) -> (String, Option<u8>) {
    let home = Home::new();
    let _daemon = home.daemon(move |request| match (request.method().as_str(), request.uri().path()) {
        ("POST", "/v0/upstream/probe") => Reply::json(probe.to_string()),
        (_, "/v0/status") => Reply::json(
            json!({"schema_version":1,"daemon":{"pid":7,"version":ccd_proto::VERSION},"proxy":{"upstream":"https://api"}})
                .to_string(),
        ),
        _ => Reply::status(404, "{}"),
    });
    told(&home, &only(&["upstream"]))
}

#[test]
fn whether_upstream_is_reached_is_asked_of_the_daemon() {
    let reached = json!({"schema_version":1,"upstream":"https://api","ok":true,"tunnelled":true,
        "resolve_us":1250,"connect_us":20_000,"tls_us":30_990});
    let (text, code) = with_probe(reached);
    assert_eq!(
        (text.lines().next().unwrap(), code),
        (
            "✓ upstream    https://api is reached, through the network's proxy \
             (name 1.2 ms, connection 20.0 ms, TLS 30.9 ms)",
            None
        )
    );
    let offline = json!({"schema_version":1,"upstream":"https://api","kind":"resolve","error":"the name api does not resolve"});
    let (text, code) = with_probe(offline);
    assert!(
        text.starts_with("! upstream    https://api is not reached now: the name api does not"),
        "{text}"
    );
    assert_eq!(code, None, "a machine that is offline is not broken");
    let expired = json!({"schema_version":1,"upstream":"https://api","kind":"tls","error":"its certificate has expired"});
    let (text, code) = with_probe(expired);
    assert!(text.starts_with("✗ upstream") && text.contains("expired"), "{text}");
    assert_eq!(code, Some(1));
}

#[test]
fn offline_nothing_is_tried() {
    let home = Home::new();
    let daemon = home.daemon(|_| Reply::json(r#"{"schema_version":1,"daemon":{"pid":7}}"#));
    let args = VerifyArgs { offline: true, ..only(&["upstream"]) };
    assert_eq!(told(&home, &args).0, "healthy: 0 checks\n");
    assert!(!daemon.requests().iter().any(|request| request.contains("probe")), "{:?}", daemon.requests());
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for_for_ever() {
    let home = Home::new();
    // It listens, and never accepts.
    let _stuck = home.listen_and_die();
    let (text, code) = told(&home, &only(&["daemon"]));
    assert_eq!(code, Some(1));
    assert!(text.contains("✗ daemon      no answer within 5 s"), "{text}");
}
