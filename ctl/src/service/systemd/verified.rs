//! The units as systemd's own tool sees them.
//!
//! It must be there: a test that is skipped where it is missing would show nothing.

use std::path::Path;
use std::process::Command;

use super::units;
use super::{SERVICE, SOCKET, WEB_SOCKET};
use crate::service::Sockets;

/// `systemd-analyze` on units in `dir`: whether it is content, and all that it said.
fn analyze(dir: &Path, args: &[&str]) -> (bool, String) {
    let out = Command::new("systemd-analyze")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .envs([("HOME", dir), ("XDG_RUNTIME_DIR", dir), ("PATH", Path::new("/usr/bin:/bin"))])
        .output()
        .unwrap_or_else(|error| panic!("systemd-analyze, of the package systemd, is needed: {error}"));
    let said = [&out.stdout, &out.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    (out.status.success(), said)
}

fn written() -> tempfile::TempDir {
    // A path that needs every kind of quoting that systemd allows.
    let dir = tempfile::Builder::new().prefix("ccd 100% $x").tempdir().unwrap();
    let ccd = dir.path().join("ccd");
    std::os::unix::fs::symlink("/bin/true", &ccd).unwrap();
    let sockets = Sockets {
        proxy: Some("127.0.0.1:7788".parse().unwrap()),
        web: Some("[::1]:7789".parse().unwrap()),
        hook: dir.path().join("run/hook.sock"),
        control: dir.path().join("run/ccd.sock"),
    };
    let variables = [("CCD_HOME", dir.path().display().to_string())];
    let service = units::service(&ccd, &variables, &units::names(&sockets)).unwrap();
    let socket = units::socket(&sockets).unwrap().unwrap();
    let web = units::web_socket(sockets.web).unwrap();
    for (name, unit) in [(SERVICE, service), (SOCKET, socket), (WEB_SOCKET, web)] {
        std::fs::write(dir.path().join(name), unit).unwrap();
    }
    dir
}

const VERIFY: [&str; 6] =
    ["verify", "--user", "--man=no", "./ccd.service", "./ccd.socket", "./ccd-web.socket"];

#[test]
fn systemd_accepts_the_units_without_a_word() {
    let dir = written();
    assert_eq!(analyze(dir.path(), &VERIFY), (true, String::new()));
    // It would say so.
    for (name, wrong) in [(SERVICE, "[Service]\nNoSuchKey=1\n"), (SOCKET, "[Socket]\nListenStream=nowhere\n")]
    {
        let path = dir.path().join(name);
        let right = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{right}\n{wrong}")).unwrap();
        let (_, said) = analyze(dir.path(), &VERIFY);
        assert!(said.contains(name), "{said}");
        std::fs::write(&path, right).unwrap();
    }
}

#[test]
fn what_confines_the_service_is_understood() {
    let dir = written();
    let (_, said) =
        analyze(dir.path(), &["security", "--user", "--offline=true", "--no-pager", "./ccd.service"]);
    let is_met = |name: &str| said.lines().any(|line| line.contains(name) && line.contains('✓'));
    for name in [
        "NoNewPrivileges=",
        "MemoryDenyWriteExecute=",
        "LockPersonality=",
        "RestrictRealtime=",
        "RestrictSUIDSGID=",
        "SystemCallArchitectures=",
        "SystemCallFilter=~@mount",
        "SystemCallFilter=~@module",
        "SystemCallFilter=~@debug",
        "SystemCallFilter=~@raw-io",
        "RestrictNamespaces=~user",
        "RestrictAddressFamilies=~…",
    ] {
        assert!(is_met(name), "{name}: {said}");
    }
}
