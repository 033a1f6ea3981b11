//! What answers when a worker cannot run, or does not run on.

use std::time::Instant;

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::wire::Upstream;
use ccd_tests::harness::{Supervised, TestHome, eventually, signal};
use ccd_tests::mock::Mock;
use rustix::process::Signal;
use serde_json::Value;

use super::{Installed, Stream, ask, short};
use crate::check;
use crate::proxy::Proxy;

/// Whether every thread of a process has been stopped: a signal takes a moment.
fn has_stopped(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return !cfg!(target_os = "linux") };
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat"))).all(|stat| {
        stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
    })
}

/// A program that is ours where `good` says so, and dies at once otherwise. `$*` are the arguments.
fn flawed(real: &str, good: &str) -> String {
    format!("case \"$*\" in {good}) exec {real} \"$@\" ;; esac\nexit 7")
}

#[test]
fn a_crash_loop_ends_in_relaying_and_the_status_says_why() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url());
    let installed = Installed::new(&home);
    let supervised = Supervised::start_as(&home, installed.command(&home, "ccd"));
    let proxy = Proxy::of(&home);
    let real = ccd_tests::harness::binary("ccd").display().to_string();
    // From now on a worker that captures dies at its start.
    installed.put_script("ccd", &flawed(&real, "*--bypass*|supervise"));
    let begun = Instant::now();
    signal(supervised.worker(), Signal::KILL);
    let (code, _) = eventually("a request is answered", || ask(&proxy, "after"));
    assert_eq!(code, 200);
    let relayed = begun.elapsed();
    let status = eventually("the relaying worker tells its status", || supervised.status());
    assert!(status.proxy.bypass && status.capture.dropped >= 1, "{:?}", status.capture);
    let why = status.store.error.unwrap();
    assert!(why.contains("again and again") && why.contains("exit code 7"), "{why}");
    assert_eq!(status.daemon.supervisor.unwrap().restarts, 3);
    let shown = home.ccctl(&["status"]).ok().text();
    assert!(shown.contains("RELAYING WITHOUT CAPTURE") && shown.contains("exit code 7"), "{shown}");
    // Hook events wait for a worker that captures.
    let _ = home.cc_hook(&ccd_tests::harness::events::HookSession::new().start()).ok();
    let waits = |extension: &str| {
        home.spool().iter().filter(|file| file.to_string_lossy().ends_with(extension)).count()
    };
    assert_eventually!(
        (waits(".frame"), waits(".gap")) == (1, 1),
        "what was missed is noted: {:?}",
        home.spool()
    );

    // Tried again when somebody asks: first in vain, then well.
    let out = home.ccctl(&["restart"]);
    assert!(out.code == Some(1) && out.stderr.contains("exit code 7"), "{out}");
    assert_eq!(ask(&proxy, "meanwhile").unwrap().0, 200);
    installed.put("ccd", &ccd_tests::harness::binary("ccd"));
    let _ = home.ccctl(&["restart"]).ok();
    assert_eventually!(
        supervised.status().is_some_and(|s| !s.proxy.bypass && s.hooks.events == 1),
        "it captures again"
    );
    assert_eq!(ask(&proxy, "captured").unwrap().0, 200);
    assert_eventually!(
        check::exchanges(&home).iter().any(|got| got.session_id.as_deref() == Some("captured")),
        "the exchange is recorded"
    );
    // Some of those that the crashes hit may have been relayed, too.
    let missed = || supervised.status().map_or(0, |status| status.capture.gaps);
    assert_eventually!(missed() >= 2, "what was relayed only stays counted");
    let (counted, shown) = (missed(), home.ccctl(&["status"]).ok().text());
    assert!(shown.contains(&format!("{counted} lost or incomplete since ever")), "{shown}");
    let _ = home.ccctl(&["store", "rebuild"]).ok();
    assert_eventually!(missed() == counted, "a rebuild counts the same");
    let _ = home.ccctl(&["restart"]).ok();
    assert_eventually!(missed() == counted, "and so does a new worker");
    assert_eq!(home.spool().len(), 0);
    summary(&format!("Crash loop: relaying {} ms after the first of three crashes", relayed.as_millis()));
    supervised.stop();
}

#[test]
fn where_no_worker_can_run_every_request_is_answered_with_503_in_the_apis_shape() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url());
    let installed = Installed::new(&home);
    let supervised = Supervised::start_as(&home, installed.command(&home, "ccd"));
    let proxy = Proxy::of(&home);
    installed.put_script("ccd", "exit 7");
    signal(supervised.worker(), Signal::KILL);
    assert_eventually!(supervised.supervision().refusing, "the supervisor answers by itself");
    // A request with a body that is longer than any buffer on the way.
    let body = vec![b'x'; 3 << 20];
    let mut wire = proxy.connect();
    std::thread::scope(|scope| {
        let request = proxy.request("POST", "/v1/messages", &[], &body);
        let mut writer = proxy.connect();
        scope.spawn(move || drop(writer.try_send(request)));
        wire.send(proxy.message("s", "SHORT", true));
    });
    let head = wire.read_head();
    assert_eq!(head.status(), 503);
    assert_eq!((head.header("retry-after"), head.header("x-should-retry")), (Some("1"), Some("true")));
    let value: Value = serde_json::from_slice(&wire.read_rest().0).unwrap();
    assert_eq!(value["type"], "error");
    assert!(value["error"]["message"].as_str().unwrap().contains("ccctl status"), "{value}");
    let out = home.ccctl(&["status"]);
    assert!(out.code == Some(3) && out.stderr.contains("exit code 7"), "{out}");

    installed.put("ccd", &ccd_tests::harness::binary("ccd"));
    let _ = home.ccctl(&["restart"]).ok();
    assert_eq!(ask(&proxy, "again").unwrap().0, 200);
    assert!(!supervised.supervision().refusing);
    supervised.stop();
}

#[test]
fn while_the_worker_is_stopped_others_are_answered_and_its_streams_go_on_afterwards() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let supervised = Supervised::start(&home);
    let proxy = Proxy::of(&home);
    let mut stream = Stream::open("held", &proxy, &upstream);
    stream.step();

    let stopped = supervised.worker();
    signal(stopped, Signal::STOP);
    assert_eventually!(has_stopped(stopped), "every thread of it stands still");
    let begun = Instant::now();
    let mut other = proxy.connect();
    other.send(proxy.message("other", "hi", true));
    let mut second = upstream.accept();
    let waited = begun.elapsed();
    let _ = (second.read_head(), second.read_rest());
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh");
    assert_eq!(other.read_head().status(), 200);
    assert_eq!(other.read_rest().0, b"fresh");
    // It may be a debugger that holds it: it is left alone.
    let meanwhile = ": sent while it was stopped\n\n";
    stream.send(meanwhile);
    signal(stopped, Signal::CONT);
    stream.receive(meanwhile);
    let _ = stream.end();
    assert_eventually!(supervised.supervision().workers.len() == 1, "the one beside it leaves");
    assert_eq!(supervised.worker(), stopped);
    assert_eventually!(
        check::exchanges(&home).iter().any(|got| got.session_id.as_deref() == Some("held") && got.complete),
        "its stream is recorded"
    );
    summary(&format!("With the worker stopped, the next request went on after {} ms", waited.as_millis()));
    supervised.stop();
}
