//! A root of its own for the installer, and what it has to leave there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ccd_tests::harness::{DUMMY_KEY, RealClient, binary, repo_root, run_within};
use serde_json::Value;

use super::{BUILD, can_build, says};

/// What the scripts found.
pub(super) struct Found {
    dir: tempfile::TempDir,
}

impl Found {
    fn text(&self, name: &str) -> String {
        let path = self.dir.path().join("out").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap_or_else(|e| panic!("{name}: {e}: {}", self.text(name)))
    }

    /// Files of the home, with their hashes.
    fn tree(&self, name: &str) -> BTreeMap<String, String> {
        let lines = self.text(name);
        let parts = lines.lines().map(|line| line.split_once("  ./").unwrap());
        parts.map(|(hash, path)| (path.to_owned(), hash.to_owned())).collect()
    }
}

/// Namespaces of our own; as somebody else than root, with one of users, too.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
}

/// Does there what the README says. Otherwise: why there can be none.
pub(super) fn root() -> Result<Found, String> {
    let probe = ["sh", "-c", "mount -t tmpfs none /mnt && mount -t proc none /proc && ip link set lo up"];
    let refused = unshare().args(probe).output().map_err(|e| format!("unshare: {e}"))?;
    if !refused.status.success() {
        return Err(String::from_utf8_lossy(&refused.stderr).trim().to_owned());
    }
    let dir = tempfile::Builder::new().prefix("ccdroot").tempdir().unwrap();
    for sub in ["root", "out"] {
        std::fs::create_dir(dir.path().join(sub)).unwrap();
    }
    let scripts = repo_root().join("tests/e2e/readme");
    let mut command = unshare();
    command.arg(scripts.join("bare_root.sh"));
    command.args([dir.path().join("root"), dir.path().join("out"), scripts.join("first_command.sh")]);
    can_build(&mut command);
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from);
    for (name, value) in [
        ("REPO", repo_root()),
        ("CARGO_TARGET_DIR", target),
        ("CLAUDE", RealClient::find().program().to_owned()),
        ("MOCK", binary("ccd-mock-api")),
        ("KEY", DUMMY_KEY.into()),
    ] {
        command.env(name, value);
    }
    for (name, dir) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let own = std::env::home_dir().unwrap_or_default().join(dir);
        command.env(name, std::env::var_os(name).map_or(own, PathBuf::from));
    }
    let out = run_within(BUILD, &mut command, b"").ok();
    says(&format!("in a root of its own:\n{}", out.stderr));
    Ok(Found { dir })
}

/// The client was captured through what was installed, twice the same command is an upgrade, and the home is as before.
pub(super) fn holds(found: &Found) {
    let said = found.text("install.err") + &found.text("install");
    assert!(said.contains("/home/user/.local/bin is not on your PATH"), "{said}");
    let status = found.json("status.json");
    // Nothing names a port or a place: these are the defaults.
    assert_eq!(status["proxy"]["listen"], "127.0.0.1:7788", "{status}");
    assert_eq!((&status["hooks"]["installed"], &status["proxy"]["bypass"]), (&true.into(), &false.into()));

    let run = found.json("demo.json");
    assert!(run["result"].as_str().unwrap().starts_with("Looked around"), "{run}");
    let captured = |name: &str| {
        let sessions = found.json(name);
        let list = sessions["sessions"].as_array().unwrap().clone();
        list.into_iter().find(|s| s["session_id"] == run["session_id"]).expect("the session is recorded")
    };
    let session = captured("sessions.json");
    let figures =
        ["turns", "tool_calls", "tool_errors", "agents"].map(|name| session[name].as_u64().unwrap());
    assert_eq!(figures, [1, 4, 1, 1], "{session}");
    assert!(session["exchanges"].as_u64().unwrap() >= 5, "{session}");
    let exchanges = found.json("exchanges.json");
    let own =
        exchanges["exchanges"].as_array().unwrap().iter().filter(|e| e["session_id"] == run["session_id"]);
    assert!(own.clone().count() >= 5 && own.clone().all(|e| e["complete"] == true), "{exchanges}");

    let again = found.json("status-again.json");
    assert_ne!(again["daemon"]["pid"], status["daemon"]["pid"], "the same command again changes over");
    assert_eq!(captured("sessions-again.json")["tokens"], session["tokens"], "and loses nothing");

    // The client keeps its own files in ~/.claude and ~/.claude.json: what it left there is not ours.
    let is_clients = |path: &str| {
        let inner =
            path.strip_prefix(".claude/").is_some_and(|p| p != "settings.json" && !p.starts_with("skills/"));
        inner || path.starts_with(".claude.json") || path == ".cache" || path.starts_with(".cache/")
    };
    let (before, after) = (found.tree("before"), found.tree("after"));
    let ours = |tree: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        tree.clone().into_iter().filter(|(path, _)| !is_clients(path)).collect()
    };
    assert!(ours(&before).contains_key(".claude/settings.json"));
    assert_eq!(ours(&after), ours(&before), "the home is as it was: {}", found.text("uninstall"));
    assert!(Path::new(&found.dir.path().join("out/doctor")).exists());
}
