//! All listeners held by somebody else: systemd's own activator makes them, and a loop starts whatever dies, as a unit
//! with `Restart=always` does. Nobody is refused at any of them, and no event is lost.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ccd_proto::frame::Status as Taken;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::wire::{BodyEnd, Wire};
use ccd_tests::harness::{Supervised, TestHome, binary, eventually, signal};
use ccd_tests::mock::Mock;
use rustix::process::Signal;

use super::{Installed, ask, short};
use crate::proxy::Proxy;

/// Starts the service again until it ends well.
const LOOP: &str = "while ! sh -c 'LISTEN_PID=$$ exec \"$0\" \"$@\"' \"$0\" \"$@\"; do :; done";

fn free() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A home whose addresses are known before anybody listens, as a unit's are.
fn home(upstream: &str) -> TestHome {
    let home =
        TestHome::new(upstream).with_env("CCD_PROXY_LISTEN", free()).with_env("CCD_WEB_LISTEN", free());
    let run = home.layout().run_dir;
    std::fs::create_dir_all(&run).unwrap();
    std::fs::set_permissions(run, PermissionsExt::from_mode(0o700)).unwrap();
    home
}

fn address(home: &TestHome, name: &str) -> String {
    let env = home.env();
    let (_, value) = env.iter().rev().find(|(variable, _)| variable == name).unwrap();
    value.to_str().unwrap().to_owned()
}

fn sockets(home: &TestHome) -> [PathBuf; 2] {
    [home.layout().hook_socket(), home.layout().control_socket()]
}

/// What holds these sockets, all of one name, and keeps `program` running; the harness adds `supervise`.
fn manager(home: &TestHome, listen: &[String], program: &Path) -> Command {
    // Must be there: a test that skips where it is missing would prove nothing.
    let mut command = home.command(Path::new("/usr/bin/systemd-socket-activate"));
    for (name, _) in home.env() {
        command.arg("-E").arg(name);
    }
    for listen in listen {
        command.args(["-l", listen]);
    }
    command.args(["--fdname=ccd", "/bin/sh", "-c", LOOP]).arg(program);
    command
}

fn all(home: &TestHome) -> Vec<String> {
    let mut all = vec![address(home, "CCD_PROXY_LISTEN"), address(home, "CCD_WEB_LISTEN")];
    all.extend(sockets(home).iter().map(|path| path.display().to_string()));
    all
}

/// The first event: it finds a socket behind which nothing runs yet.
fn first_event(home: &TestHome) {
    let event = HookSession::new().start();
    // Until the activator listens, nobody is there to take it.
    let taken = eventually("the first event is taken", || deliver(&home.layout().hook_socket(), &event).ok());
    assert_eq!(taken, Taken::Durable);
}

fn held_by(supervised: &Supervised<'_>) -> Vec<(String, String)> {
    let status = eventually("a worker answers", || supervised.status());
    status.daemon.sockets.into_iter().map(|socket| (socket.name, socket.held_by)).collect()
}

fn of(held: [(&str, &str); 4]) -> Vec<(String, String)> {
    held.map(|(name, by)| (name.into(), by.into())).into()
}

fn health(address: &str) -> Option<u16> {
    let mut wire = Wire::try_connect(address).expect("no connection is refused");
    wire.try_send(format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).ok()?;
    let status = wire.try_head()?.status();
    (wire.read_rest().1 == BodyEnd::Whole).then_some(status)
}

#[test]
fn the_event_that_starts_everything_is_taken_and_what_others_hold_is_left_to_them() {
    let mock = Mock::start(short());
    let home = home(&mock.url());
    let supervised = Supervised::spawn(&home, manager(&home, &all(&home), &binary("ccd")));
    first_event(&home);
    let systemd = [("proxy", "systemd"), ("web", "systemd"), ("hook", "systemd"), ("control", "systemd")];
    assert_eq!(held_by(&supervised), of(systemd));
    let status = supervised.status().unwrap();
    assert_eventually!(supervised.status().is_some_and(|s| s.hooks.events == 1), "it is recorded");
    assert_eq!(status.proxy.listen, address(&home, "CCD_PROXY_LISTEN"));
    assert_eq!(status.web.listen, Some(address(&home, "CCD_WEB_LISTEN")));
    assert_eq!(ask(&Proxy::of(&home), "s").unwrap().0, 200);
    assert_eq!(health(&status.web.listen.unwrap()), Some(200));
    for path in sockets(&home) {
        // Whoever made them may have been careless.
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // One worker after another serves the same sockets.
    let before = supervised.worker();
    let _ = home.ccctl(&["restart"]).ok();
    assert_ne!(supervised.worker(), before);
    assert_eq!(deliver(&home.layout().hook_socket(), &HookSession::new().start()).unwrap(), Taken::Durable);
    supervised.stop();
    assert!(sockets(&home).iter().all(|path| path.exists()), "their files are not ours to remove");
}

#[test]
fn where_some_are_held_the_others_are_ours() {
    let home = home("http://127.0.0.1:9");
    let listen = [address(&home, "CCD_PROXY_LISTEN"), home.layout().hook_socket().display().to_string()];
    let supervised = Supervised::spawn(&home, manager(&home, &listen, &binary("ccd")));
    first_event(&home);
    assert_eq!(
        held_by(&supervised),
        of([("proxy", "systemd"), ("web", "supervise"), ("hook", "systemd"), ("control", "self")])
    );
    signal(supervised.worker(), Signal::KILL);
    assert_eq!(deliver(&home.layout().hook_socket(), &HookSession::new().start()).unwrap(), Taken::Durable);
    assert_eq!(health(&address(&home, "CCD_WEB_LISTEN")), Some(200));
    supervised.stop();
    assert_eq!(sockets(&home).map(|path| path.exists()), [true, false]);
}

#[test]
fn workers_and_supervisors_are_killed_and_nobody_is_refused_anywhere() {
    let mock = Mock::start(short());
    let home = home(&mock.url());
    let supervised = Supervised::spawn(&home, manager(&home, &all(&home), &binary("ccd")));
    first_event(&home);
    let _ = eventually("a worker answers", || supervised.status());
    let (proxy, web, [_, control]) = (Proxy::of(&home), address(&home, "CCD_WEB_LISTEN"), sockets(&home));
    let (done, events) = (AtomicBool::new(false), AtomicUsize::new(1));
    let came = [(); 3].map(|()| AtomicUsize::new(0));
    let until_done = |work: &dyn Fn()| {
        while !done.load(Ordering::SeqCst) {
            work();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until_done(&|| {
                let answered = ask(&proxy, "s").is_some_and(|(status, _)| status == 200);
                let _ = came[0].fetch_add(usize::from(answered), Ordering::SeqCst);
            });
        });
        scope.spawn(|| {
            until_done(&|| {
                let answered = health(&web) == Some(200);
                let _ = came[1].fetch_add(usize::from(answered), Ordering::SeqCst);
            });
        });
        scope.spawn(|| {
            until_done(&|| {
                drop(UnixStream::connect(&control).expect("no question is refused"));
                let _ = came[2].fetch_add(1, Ordering::SeqCst);
            });
        });
        scope.spawn(|| {
            until_done(&|| {
                let out = home.cc_hook(&HookSession::new().start()).ok();
                assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out}");
                let _ = events.fetch_add(1, Ordering::SeqCst);
            });
        });
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let all_answer = || {
                let before = [&came[0], &came[1], &came[2], &events].map(|n| n.load(Ordering::SeqCst));
                assert_eventually!(
                    [&came[0], &came[1], &came[2], &events]
                        .iter()
                        .zip(before)
                        .all(|(n, before)| n.load(Ordering::SeqCst) >= before + 2),
                    "all four are answered: {came:?}, {events:?}"
                );
            };
            for round in 0..6 {
                all_answer();
                let supervision = supervised.supervision();
                if round % 2 == 0 {
                    signal(supervised.worker(), Signal::KILL);
                } else {
                    signal(supervision.supervisor.pid, Signal::KILL);
                    assert_eventually!(
                        supervised.supervision().supervisor.pid != supervision.supervisor.pid,
                        "another supervisor is there"
                    );
                }
            }
            all_answer();
        }));
        done.store(true, Ordering::SeqCst);
        killed.unwrap();
    });
    let _ = home.ccctl(&["status"]).ok();
    let sent = events.load(Ordering::SeqCst);
    assert_eventually!(
        supervised.status().is_some_and(|status| status.hooks.events == sent as u64)
            && home.spool().is_empty(),
        "every event of {sent} is recorded, once"
    );
    let [answered, healthy, asked] = came.map(AtomicUsize::into_inner);
    summary(&format!(
        "3 kills of the worker and 3 of the supervisor behind held sockets: 0 refused; {answered} requests, {healthy} pages, \
         {asked} questions, {sent} events, 0 lost"
    ));
    supervised.stop();
}

#[test]
fn where_no_worker_can_run_nobody_waits_at_a_held_socket() {
    let mock = Mock::start(short());
    let home = home(&mock.url());
    let installed = Installed::new(&home);
    let supervised = Supervised::spawn(&home, manager(&home, &all(&home), &installed.program("ccd")));
    first_event(&home);
    let _ = eventually("a worker answers", || supervised.status());
    installed.put_script("ccd", "exit 7");
    signal(supervised.worker(), Signal::KILL);
    assert_eventually!(supervised.supervision().refusing, "the supervisor answers by itself");
    assert_eq!(health(&address(&home, "CCD_WEB_LISTEN")), Some(503));
    let out = home.ccctl(&["status"]);
    assert!(out.code == Some(3) && out.stderr.contains("exit code 7"), "{out}");
    // Whoever wrote its event before that is told by the end of the connection.
    assert!(deliver(&home.layout().hook_socket(), &HookSession::new().start()).is_err());
    let _ = home.cc_hook(&HookSession::new().start()).ok();
    assert_eq!(home.spool().len(), 1);

    // A worker that only relays refuses events by itself.
    let real = binary("ccd").display().to_string();
    installed.put_script("ccd", &format!("case \"$*\" in *--bypass*) exec {real} \"$@\" ;; esac\nexit 7"));
    let relays = || supervised.status().filter(|status| status.proxy.bypass);
    let _ = eventually("one that relays is tried", relays);
    assert_eventually!(
        deliver(&home.layout().hook_socket(), &HookSession::new().start()).is_ok_and(|s| s == Taken::Refused),
        "it says that it takes none"
    );
    installed.put("ccd", &binary("ccd"));
    let _ = home.ccctl(&["restart"]).ok();
    assert_eventually!(
        supervised.status().is_some_and(|s| s.hooks.events == 2),
        "what was spooled is taken in"
    );
    supervised.stop();
}

#[test]
fn a_worker_that_dies_while_a_killed_supervisors_has_the_home_is_followed_by_another() {
    let mock = Mock::start(short());
    let home = home(&mock.url());
    let supervised = Supervised::spawn(&home, manager(&home, &all(&home), &binary("ccd")));
    first_event(&home);
    let _ = eventually("a worker answers", || supervised.status());
    let (proxy, before) = (Proxy::of(&home), supervised.supervision().supervisor.pid);
    let orphan = supervised.worker();
    signal(orphan, Signal::STOP);
    signal(before, Signal::KILL);
    assert_eventually!(supervised.supervision().supervisor.pid != before, "another supervisor is there");
    for _ in 0..2 {
        let worker = supervised.worker();
        assert_eq!(ask(&proxy, "s").unwrap().0, 200);
        signal(worker, Signal::KILL);
        assert_eventually!(supervised.worker() != worker, "another worker serves");
    }
    assert_eq!(ask(&proxy, "s").unwrap().0, 200);
    // The hook socket is there, and nobody accepts: the event is not kept waiting, nor lost.
    let _ = home.cc_hook(&HookSession::new().start()).ok();
    signal(orphan, Signal::CONT);
    assert_eventually!(
        supervised.status().is_some_and(|s| s.daemon.pid == supervised.worker() && s.hooks.events == 2),
        "the home is given to the one that serves"
    );
    supervised.stop();
}
