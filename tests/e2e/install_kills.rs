//! `ccctl install`, `uninstall` and `doctor --fix`, killed or refused at every change that they make to the file system: the
//! settings are never less valid than before, whoever is sent to a port is answered there, and whatever is run next mends it.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use ccd_proto::paths::is_our_base_url;
use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::{count, summary};
use ccd_tests::harness::{Out, TestHome, binary, run, signal};
use rustix::process::Signal;
use serde_json::Value;

use crate::install::tree;

/// Every way to change what others see of a file.
const STEPS: &str = "rename,mkdir,unlink,rmdir,fchmod";
/// Every way to make its content, and to make it last.
const WRITES: &str = "write,fsync,rename,mkdir";
const SETTINGS: &str =
    "{\r\n\t\"zzz\" : [1,2 , 3],\n  \"env\": {\"FOO\":\"b\\u0061r\"   },  \"model\":\"opus\" }";

/// `ccctl ARGS` with one fault at the `number`th call of this name in its own thread. Says whether it came to that.
fn faulty(home: &TestHome, args: &[&str], call: &str, fault: &str, number: u64) -> (bool, Out) {
    let trace = home.work().join("trace");
    let mut command: Command = home.command(Path::new("strace"));
    command.arg("-qqq").arg("-o").arg(&trace).args(["-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:{fault}:when={number}")]);
    command.arg(binary("ccctl")).args(args);
    let out = run(&mut command, b"");
    let came = out.code.is_none() || std::fs::read_to_string(&trace).unwrap().contains("INJECTED");
    (came, out)
}

/// The settings read as the client reads them; if they send it to us, somebody answers.
#[track_caller]
fn assert_sound(home: &TestHome, what: &str) {
    let Ok(bytes) = std::fs::read(home.settings()) else { panic!("{what}: the settings are gone") };
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(value["model"], "opus", "{what}");
    let Some(url) = value["env"]["ANTHROPIC_BASE_URL"].as_str() else { return };
    let token = std::fs::read_to_string(home.layout().token_file()).unwrap();
    assert!(is_our_base_url(url, token.trim()), "{what}: {url}");
    let listen = url.trim_start_matches("http://").split('/').next().unwrap();
    assert!(std::net::TcpStream::connect(listen).is_ok(), "{what}: nobody answers at {listen}");
}

/// `kill -9` of the daemon and its supervisor.
fn kill_everything(home: &TestHome) {
    let status = home.running();
    let supervisor = status.daemon.supervisor.unwrap().pid;
    for pid in [supervisor, status.daemon.pid] {
        signal(pid, Signal::KILL);
    }
    let socket = home.layout().control_socket();
    assert_eventually!(std::os::unix::net::UnixStream::connect(&socket).is_err(), "it is dead");
}

/// One fault at one place; then `next`, which must work; then all is taken back. Says whether the fault came at all.
fn once(victim: &[&str], call: &str, fault: &str, number: u64, next: &[&str]) -> bool {
    let home = TestHome::new("http://127.0.0.1:9");
    home.write_settings(SETTINGS);
    let before = tree(&home.user());
    let what = format!("{victim:?}, {fault} at {call} {number}, then {next:?}");
    if victim[0] != "install" {
        let _ = home.ccctl(&["install", "--no-service"]).ok();
    }
    if victim[0] == "doctor" {
        // Its next daemon has another address, which it writes into the settings.
        kill_everything(&home);
    }
    let (came, out) = faulty(&home, victim, call, fault, number);
    assert!(came || out.code == Some(0), "{what}: {out}");
    if victim[0] != "doctor" || !came {
        assert_sound(&home, &what);
    }
    let mended = home.ccctl(next);
    // Doctor finds that nothing is installed any more, which it rightly does not mend.
    let nothing_there = next[0] == "doctor" && !home.layout().install_manifest().exists();
    assert!(mended.code == Some(0) || nothing_there, "{what}: {mended}");
    assert_sound(&home, &what);
    let _ = home.ccctl(&["uninstall", "--now"]).ok();
    let after = tree(&home.user());
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{what}");
    assert!(after == before, "{what}: every byte and mode is as it was");
    assert!(!home.layout().install_manifest().exists(), "{what}");
    came
}

/// The fault at each call of each name until it does not come any more; at every third in the short form.
fn everywhere(victim: &[&str], calls: &str, fault: &str) {
    const NEXT: [&[&str]; 3] = [&["install", "--no-service"], &["uninstall"], &["doctor", "--fix"]];
    let stride = u64::try_from(count(3, 1)).unwrap();
    let (names, done) = (Mutex::new(calls.split(',')), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(call) = { names.lock().unwrap().next() } {
                    for turn in 0.. {
                        // Not always the same of them with the same thing after it.
                        let number = 1 + turn * stride + turn % stride;
                        let next = NEXT[usize::try_from(turn).unwrap() % NEXT.len()];
                        if !once(victim, call, fault, number, next) {
                            break;
                        }
                        *done.lock().unwrap() += 1;
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap();
    assert!(done > 1, "the fault comes");
    summary(&format!(
        "{victim:?}: {fault} at {done} different calls: settings valid and answered each time, home as before"
    ));
}

#[test]
fn an_installation_may_be_killed_at_every_step() {
    everywhere(&["install", "--no-service"], STEPS, "signal=KILL");
}

#[test]
fn an_uninstallation_may_be_killed_at_every_step() {
    everywhere(&["uninstall"], STEPS, "signal=KILL");
}

#[test]
fn mending_may_be_killed_at_every_step() {
    everywhere(&["doctor", "--fix"], STEPS, "signal=KILL");
}

#[test]
fn an_installation_meets_a_full_disk_at_every_write() {
    everywhere(&["install", "--no-service"], WRITES, "error=ENOSPC");
}

#[test]
fn an_uninstallation_meets_a_failing_disk_at_every_write() {
    everywhere(&["uninstall"], WRITES, "error=EIO");
}

#[test]
fn whatever_is_killed_no_session_is_sent_to_a_dead_port_for_longer_than_doctor_takes() {
    let home = TestHome::new("http://127.0.0.1:9");
    home.write_settings(SETTINGS);
    let before = tree(&home.user());
    for round in 0..3 {
        let _ = home.ccctl(&["install", "--no-service"]).ok();
        assert_sound(&home, "installed");
        kill_everything(&home);
        match round {
            0 => _ = home.ccctl(&["doctor", "--fix"]).ok(),
            1 => _ = home.ccctl(&["start"]).ok(),
            _ => _ = home.ccctl(&["install", "--no-service"]).ok(),
        }
        assert_sound(&home, "after kill -9 of everything");
        kill_everything(&home);
        let _ = home.ccctl(&["uninstall"]).ok();
        assert!(tree(&home.user()) == before, "round {round}");
    }
}
