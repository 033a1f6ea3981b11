//! What lies where the daemon's sockets and locks belong: left over, somebody else's, or nothing that could be one. It
//! starts or names the cause; it kills nobody, and removes nothing that is not its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{TestHome, binary, run};

use super::{
    NO_UPSTREAM, answers, assert_recorded, assert_silent, forget_the_last_try, hook, kill_all, processes,
    started,
};
use crate::proxy::Proxy;

/// Another program, which nobody may harm.
struct Foreign(Child);

impl Foreign {
    fn new(home: &TestHome) -> Self {
        let mut command = home.command(Path::new("/bin/sleep"));
        Foreign(command.arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_a_killed_daemon_left_is_replaced_and_a_process_that_has_its_number_lives() {
    let home = started(NO_UPSTREAM);
    let (session, proxy) = (HookSession::new(), Proxy::of(&home));
    kill_all(&home);
    let mut foreign = Foreign::new(&home);
    // The numbers that the locks name belong to somebody else by now.
    for lock in [home.layout().lock_file(), home.layout().supervisor_lock()] {
        assert!(lock.exists());
        fs::write(lock, format!("{}\n", foreign.0.id())).unwrap();
    }
    // The sockets are there, and dead.
    assert!(home.layout().hook_socket().exists() && home.layout().control_socket().exists());
    hook(&home, &session.before_tool("toolu_first", "true"));
    assert_recorded(&home, &session, &["toolu_first".into()]);
    assert!(answers(&proxy) && foreign.is_alive());
    let _ = home.ccctl(&["stop"]).ok();
    assert!(foreign.is_alive());
}

/// Puts something in the place of a path.
type Put = fn(&Path);

/// What can be in the place of a socket and is none, and whether it is there afterwards as it was.
const IN_THE_WAY: [(&str, Put); 4] = [
    ("a directory", |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("precious"), "precious").unwrap();
    }),
    ("a file", |path| fs::write(path, "precious").unwrap()),
    ("a link to nowhere", |path| symlink("nowhere", path).unwrap()),
    ("a link to somebody's socket", |path| {
        let other = path.with_file_name("other.sock");
        drop(UnixListener::bind(&other).unwrap());
        symlink(other, path).unwrap();
    }),
];

/// What something is, in words that change when it is touched.
fn shown(path: &Path) -> String {
    let meta = fs::symlink_metadata(path).unwrap();
    let inside: Vec<PathBuf> = fs::read_dir(path)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    format!("{:?} {:?} {:?} {inside:?}", meta.file_type(), fs::read_link(path).ok(), fs::read(path).ok())
}

#[test]
fn what_is_in_a_sockets_place_is_named_and_left_alone_and_no_event_storms_against_it() {
    for (what, put) in IN_THE_WAY {
        for socket in ["hook.sock", "ccd.sock", "sup.sock"] {
            let home = started(NO_UPSTREAM);
            let (session, path) = (HookSession::new(), home.layout().run_dir.join(socket));
            kill_all(&home);
            fs::remove_file(&path).unwrap();
            put(&path);
            let before = shown(&path);
            let calls: Vec<String> = (0..5).map(|n| format!("toolu_{n}")).collect();
            for id in &calls {
                hook(&home, &session.before_tool(id, "true"));
            }
            assert_eventually!(processes(&home).is_empty(), "{what} as {socket}: nobody can serve");
            assert_eq!(home.spool().len(), calls.len(), "{what} as {socket}: every event waits");
            let log = home.ccctl(&["logs", "--lines", "1000"]).text();
            let tries = log.lines().filter(|line| line.contains("could not bring it back")).count();
            // Nothing that is tried could mend what the hook itself sees.
            assert_eq!(tries, usize::from(socket != "hook.sock"), "{what} as {socket}: {log}");
            let start = home.ccctl(&["start"]);
            assert_eq!(start.code, Some(1), "{what} as {socket}: {start}");
            assert!(start.stderr.contains(socket), "{what} as {socket}: {start}");
            assert!(start.stderr.contains("in the way and no socket"), "{what} as {socket}: {start}");
            assert_eq!(shown(&path), before, "{what} as {socket}");

            // Out of the way, the next event brings it back.
            fs::rename(&path, home.work().join("moved")).unwrap();
            forget_the_last_try(&home);
            hook(&home, &session.before_tool("toolu_last", "true"));
            assert_recorded(&home, &session, &[&calls[..], &["toolu_last".into()]].concat());
        }
    }
}

#[test]
fn a_directory_for_the_sockets_that_is_not_ours_alone_is_made_so_or_named() {
    let home = TestHome::new(NO_UPSTREAM);
    let run_dir = home.layout().run_dir;
    fs::create_dir_all(&run_dir).unwrap();
    for open in [0o770, 0o777, 0o1777] {
        fs::set_permissions(&run_dir, PermissionsExt::from_mode(open)).unwrap();
        let _ = home.ccctl(&["start"]).ok();
        assert_eq!(mode(&run_dir), 0o700);
        let _ = home.ccctl(&["stop"]).ok();
    }
    let refused = |why: &str| {
        let start = home.ccctl(&["start"]);
        assert!(start.code == Some(1) && start.stderr.contains(why), "{start}");
        assert!(start.stderr.contains(run_dir.to_str().unwrap()), "{start}");
        assert_silent(&home.cc_hook(&HookSession::new().start()));
    };
    // Of another user: who may do so can be tested only as root.
    if chown(&run_dir, Some(65_534), None).is_ok() {
        refused("belongs to another user");
        chown(&run_dir, Some(rustix::process::geteuid().as_raw()), None).unwrap();
    }
    let aside = home.work().join("aside");
    fs::rename(&run_dir, &aside).unwrap();
    symlink(&aside, &run_dir).unwrap();
    refused("is not a directory");
    assert!(run_dir.is_symlink());
    fs::remove_file(&run_dir).unwrap();
    fs::write(&run_dir, "precious").unwrap();
    refused(run_dir.to_str().unwrap());
    assert_eq!(fs::read_to_string(&run_dir).unwrap(), "precious");
}

#[test]
fn a_path_too_long_for_a_socket_is_named_and_the_hook_says_nothing() {
    let home = TestHome::new(NO_UPSTREAM);
    let long = home.user().join("d".repeat(120));
    let with = |program: &str| {
        let mut command = home.command(&binary(program));
        command.env("CCD_HOME", &long);
        command
    };
    for (program, arg) in [("ccctl", "start"), ("ccctl", "status"), ("ccd", "start"), ("ccd", "run")] {
        let out = run(with(program).arg(arg), b"");
        assert_eq!(out.code, Some(1), "{out}");
        assert!(out.stderr.contains("too long for a socket"), "{out}");
    }
    assert_silent(&run(&mut with("cc-hook"), b"{}"));
    // As it is installed, with a path that has become too long: the event is kept, and nobody is started.
    let (socket, spool) = (long.join("run/hook.sock"), home.work().join("state/spool"));
    let mut hook = home.command(&binary("cc-hook"));
    assert_silent(&run(hook.arg(socket).arg(&spool), b"{}"));
    assert_eq!(fs::read_dir(spool).unwrap().count(), 1);
}
