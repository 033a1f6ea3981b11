//! `ccctl uninstall`: nothing is left but what was recorded, and no session that runs is cut off for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Holding, Out, RealClient, TestHome, binary, eventually, poll, run, signal};
use ccd_tests::mock::{Mock, Script, reply};
use serde_json::{Value, json};

use crate::proxy::Proxy;

/// The programs as `packaging/install.sh` puts them, under the user's home.
struct Placed {
    home: TestHome,
    bin: PathBuf,
}

impl Placed {
    fn new(upstream: &str) -> Self {
        let home = TestHome::new(upstream);
        let bin = home.user().join("tools/bin");
        std::fs::create_dir_all(&bin).unwrap();
        for name in ["ccd", "ccctl", "cc-hook"] {
            std::fs::copy(binary(name), bin.join(name)).unwrap();
        }
        Placed { home, bin }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(&self.bin.join("ccctl"));
        command.args(args).env("CCD_INSTALLED_BY", "install.sh").env("CCD_INSTALLED_DIRS", self.dirs());
        command
    }

    fn dirs(&self) -> String {
        format!("{}\n{}", self.bin.parent().unwrap().display(), self.bin.display())
    }

    #[track_caller]
    fn ccctl(&self, args: &[&str]) -> Out {
        run(&mut self.command(args), b"")
    }

    /// Everything of ours that is still there, but for what was recorded.
    fn left(&self) -> Vec<PathBuf> {
        let user = below(&self.home.user()).into_iter().filter(|path| {
            let name = path.to_string_lossy();
            path.starts_with(self.bin.parent().unwrap())
                || name.contains("skills")
                || name.contains("ccd-tmp")
        });
        // What was recorded stays, with what was taken out of it, and what it is known by.
        let layout = self.home.layout();
        let kept = [layout.store_dir(), layout.vault_dir(), layout.ids_key()];
        let ours = below(&self.home.ccd())
            .into_iter()
            .filter(|path| !kept.iter().any(|kept| path.starts_with(kept) || kept.starts_with(path)));
        user.chain(ours).collect()
    }

    #[track_caller]
    fn assert_nothing_left(&self, listen: &str) {
        // The daemon stays for as long as any process of a session lives, and some seconds more.
        let gone = poll(Duration::from_secs(90), || self.left().is_empty().then_some(()));
        assert!(
            gone.is_some(),
            "left: {:?}; {:?}",
            self.left(),
            processes_of(&self.bin.display().to_string())
        );
        assert!(!is_answered(listen), "the port is free");
        let bin = self.bin.display().to_string();
        assert_eventually!(processes_of(&bin).is_empty(), "still there: {:?}", processes_of(&bin));
    }
}

/// Everything below `dir`, while it may be vanishing.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if !path.is_symlink() && path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn is_answered(listen: &str) -> bool {
    std::net::TcpStream::connect(listen).is_ok()
}

/// Command lines of processes that run a program below `dir`.
fn processes_of(dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.starts_with(dir))
        .collect()
}

const SETTINGS: &str = "{\r\n  \"model\": \"opus\"\r\n}";

#[test]
fn where_nobody_needs_it_everything_is_gone_when_the_command_returns() {
    let mock = Mock::start(Script::new());
    for args in
        [&["uninstall"][..], &["uninstall", "--wait"], &["uninstall", "--now"], &["uninstall", "--purge"]]
    {
        let placed = Placed::new(&mock.url());
        placed.home.write_settings(SETTINGS);
        let _ = placed.ccctl(&["install", "--no-service"]).ok();
        let listen = placed.home.running().proxy.listen;
        let shown = placed.ccctl(&["uninstall", "--dry-run"]).ok().text();
        for wanted in ["settings.json", "hooks.json", "tools/bin/ccctl", "nothing was changed"] {
            assert!(shown.contains(wanted), "{wanted}: {shown}");
        }
        let out = placed.ccctl(args).ok();
        placed.assert_nothing_left(&listen);
        assert_eq!(std::fs::read_to_string(placed.home.settings()).unwrap(), SETTINGS);
        assert_eq!(placed.home.layout().store_dir().exists(), !args.contains(&"--purge"), "{out}");
        assert!(args.contains(&"--purge") || out.text().contains("is kept in"), "{out}");
        // Once more, by another copy of the program: nothing to do, and nothing comes back.
        let _ = placed.home.ccctl(&["uninstall"]).ok();
        assert!(placed.left().is_empty(), "left: {:?}", placed.left());
    }
}

#[test]
fn a_session_that_holds_the_url_is_answered_until_it_ends() {
    let mock = Mock::start(Script::new());
    let placed = Placed::new(&mock.url());
    let _ = placed.ccctl(&["install", "--no-service"]).ok();
    let listen = placed.home.running().proxy.listen;
    let session = Holding::start(&placed.home);
    let proxy = Proxy::of(&placed.home);
    let told = placed.ccctl(&["uninstall", "--json"]).ok().json();
    assert_eq!((&told["daemon"], &told["finished"]), (&json!("retired"), &json!(false)), "{told}");
    assert_eq!(told["sessions"][0]["pid"], session.pid(), "{told}");
    assert!(placed.bin.join("ccd").exists(), "a worker that dies is replaced");
    let status = placed.home.running();
    assert_eq!(status.daemon.state, "retiring");
    assert_eq!(status.daemon.retiring.unwrap().sessions.len(), 1);
    let said = placed.ccctl(&["status"]).ok().text();
    assert!(said.contains("1 session still holds its address"), "{said}");
    // A worker that is killed meanwhile is replaced by one that retires, too.
    signal(status.daemon.pid, rustix::process::Signal::KILL);
    eventually("another worker retires", || {
        let now = placed.home.status()?;
        (now.daemon.pid != status.daemon.pid && now.daemon.state == "retiring").then_some(())
    });
    let mut client = proxy.connect();
    client.send(proxy.message("s", "still here", true));
    assert_eq!(client.read_head().status(), 200);
    let _ = client.read_rest();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| placed.ccctl(&["uninstall", "--wait"]));
        drop(session);
        waiting.join().unwrap().ok()
    });
    assert!(waiting.text().contains("has ended"), "{waiting}");
    placed.assert_nothing_left(&listen);
}

#[test]
fn an_installation_made_meanwhile_keeps_its_programs() {
    let mock = Mock::start(Script::new());
    let placed = Placed::new(&mock.url());
    let _ = placed.ccctl(&["install", "--no-service"]).ok();
    let session = Holding::start(&placed.home);
    let _ = placed.ccctl(&["uninstall"]).ok();
    let _ = placed.ccctl(&["install", "--no-service"]).ok();
    drop(session);
    assert_eq!(placed.home.running().daemon.state, "serving");
    assert!(placed.bin.join("ccctl").exists() && !placed.home.layout().leaving_note().exists());
    let listen = placed.home.running().proxy.listen;
    let _ = placed.ccctl(&["uninstall"]).ok();
    placed.assert_nothing_left(&listen);
}

#[test]
fn with_the_daemon_killed_everything_goes_at_once_but_a_program_that_was_replaced() {
    let placed = Placed::new("http://127.0.0.1:9");
    let _ = placed.ccctl(&["install", "--no-service"]).ok();
    let status = placed.home.running();
    let supervisor = status.daemon.supervisor.unwrap().pid;
    for pid in [supervisor, status.daemon.pid] {
        signal(pid, rustix::process::Signal::KILL);
    }
    let socket = placed.home.layout().control_socket();
    assert_eventually!(std::os::unix::net::UnixStream::connect(&socket).is_err(), "it is dead");
    let replaced = placed.bin.join("cc-hook");
    std::fs::write(&replaced, "somebody else's").unwrap();
    let out = placed.ccctl(&["uninstall"]).ok();
    assert!(out.text().contains("because somebody has replaced it"), "{out}");
    assert_eq!(placed.left(), [placed.bin.parent().unwrap(), &placed.bin, &replaced].map(Path::to_owned));
}

#[test]
fn a_settings_file_that_may_not_be_written_keeps_its_daemon_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    let mock = Mock::start(Script::new());
    let placed = Placed::new(&mock.url());
    placed.home.write_settings(SETTINGS);
    let _ = placed.ccctl(&["install", "--no-service"]).ok();
    let listen = placed.home.running().proxy.listen;
    let mode =
        |mode| std::fs::set_permissions(placed.home.settings(), PermissionsExt::from_mode(mode)).unwrap();
    mode(0o444);
    let installed = std::fs::read(placed.home.settings()).unwrap();
    for args in [&["uninstall"][..], &["uninstall", "--now"], &["uninstall", "--purge"]] {
        let out = placed.ccctl(args);
        assert_eq!(out.code, Some(1), "{out}");
        assert!(out.stderr.contains("read-only") && out.stderr.contains("chmod u+w"), "{out}");
        assert_eq!(std::fs::read(placed.home.settings()).unwrap(), installed);
        assert!(is_answered(&listen), "what is still sent here is answered");
        let hooks = placed.home.user().join(".claude/skills/ccd/hooks/hooks.json");
        assert!(!hooks.exists(), "the hooks are gone");
    }
    mode(0o600);
    let _ = placed.ccctl(&["uninstall"]).ok();
    placed.assert_nothing_left(&listen);
}

/// A turn that lasts until a file is there, and asks the API once more afterwards.
fn waits_for(file: &Path) -> Script {
    let command = format!("until [ -e {} ]; do sleep 0.05; done; echo found", file.display());
    Script::new().on(
        "wait for it",
        [
            reply().tool("Bash", json!({"command": command, "description": "Wait", "timeout": 600_000})),
            reply().text("It is there."),
        ],
    )
}

#[test]
fn two_live_sessions_of_the_real_client_finish_and_then_nothing_is_left() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("go");
    let mock = Mock::start(waits_for(&file));
    let placed = Placed::new(&mock.url());
    placed.home.write_settings(SETTINGS);
    let client = RealClient::find();
    let _ = placed.ccctl(&["install", "--no-service"]).ok();
    let listen = placed.home.running().proxy.listen;
    let runs = std::thread::scope(|scope| {
        let runs = ["one", "two"].map(|name| {
            let client = client.in_dir(placed.home.work().join(name));
            let home = &placed.home;
            scope.spawn(move || client.print(home, "wait for it", &[], &[]))
        });
        assert_eventually!(
            mock.ledger().iter().filter(|sent| !sent.tool_calls.is_empty()).count() == 2,
            "both are amid their turns"
        );
        let told: Value = placed.ccctl(&["uninstall", "--json"]).ok().json();
        assert_eq!(told["sessions"].as_array().map(Vec::len), Some(2), "{told}");
        let mut dirs: Vec<_> =
            told["sessions"].as_array().unwrap().iter().map(|s| s["cwd"].as_str().unwrap()).collect();
        dirs.sort_unstable();
        assert!(dirs[0].ends_with("/one") && dirs[1].ends_with("/two"), "{told}");
        assert!(told["sessions"][0]["session_id"].is_string(), "{told}");
        assert_eq!(std::fs::read_to_string(placed.home.settings()).unwrap(), SETTINGS);
        std::fs::write(&file, "").unwrap();
        runs.map(|run| run.join().unwrap())
    });
    for run in &runs {
        assert_eq!((run.text(), &run.result["is_error"]), ("It is there.", &json!(false)));
    }
    placed.assert_nothing_left(&listen);
    assert!(mock.ledger().iter().filter(|sent| sent.path.contains("/v1/messages")).count() >= 4);
    assert_eq!(std::fs::read_to_string(placed.home.settings()).unwrap(), SETTINGS);
}
