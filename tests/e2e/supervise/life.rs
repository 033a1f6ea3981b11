//! Starting, stopping and ending: once each, whoever asks, and nothing is left behind.

use std::process::Stdio;
use std::time::Duration;

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::{count, summary};
use ccd_tests::harness::wire::{Upstream, Wire};
use ccd_tests::harness::{Daemon, Holding, Supervised, TestHome, binary, eventually, signal, supervision};
use ccd_tests::mock::Mock;
use rustix::process::Signal;

use super::{ask, is_alive, short};
use crate::proxy::Proxy;

#[test]
fn of_two_started_at_once_one_holds_the_port_and_the_other_says_so() {
    let rounds = count(10, 50);
    for round in 0..rounds {
        let home = TestHome::new("http://127.0.0.1:9");
        let verb = if round % 2 == 0 { "start" } else { "supervise" };
        let spawn = || {
            let mut command = home.command(&binary("ccd"));
            command.arg(verb).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut both = [spawn(), spawn()];
        let told = if verb == "start" {
            let outs = both.map(|child| child.wait_with_output().unwrap());
            assert!(outs.iter().all(|out| out.status.success()), "{outs:?}");
            let texts = outs.map(|out| String::from_utf8(out.stdout).unwrap());
            assert_eq!(texts.iter().filter(|text| text.contains("ccd started")).count(), 1, "{texts:?}");
            texts.into_iter().find(|text| !text.contains("ccd started")).unwrap()
        } else {
            let at = eventually("one steps back", || {
                both.iter_mut().position(|child| child.try_wait().unwrap().is_some())
            });
            let [first, second] = both;
            let (back, mut other) = if at == 0 { (first, second) } else { (second, first) };
            let out = back.wait_with_output().unwrap();
            assert!(out.status.success(), "{out:?}");
            assert!(home.running().daemon.running);
            let _ = home.ccctl(&["stop"]).ok();
            assert!(other.wait().unwrap().success());
            String::from_utf8(out.stdout).unwrap()
        };
        assert!(told.contains("already running"), "{told}");
        if verb == "start" {
            assert!(home.running().daemon.running);
            let _ = home.ccctl(&["stop"]).ok();
        }
        assert!(supervision(&home).is_none());
    }
    summary(&format!("{rounds} times two starts at once: one held the port, one stepped back"));
}

#[test]
fn a_stop_ends_everything_after_its_streams_and_leaves_nothing_behind() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _ = home.ccctl(&["start"]).ok();
    let status = home.running();
    assert_eq!((status.daemon.manager.as_str(), status.proxy.holder.as_str()), ("daemonized", "supervise"));
    let supervisor = status.daemon.supervisor.clone().unwrap();
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    api.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbef");
    let _ = client.read_head();
    assert_eq!(client.read_body(3), b"bef");
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| home.ccctl(&["stop"]));
        assert_eventually!(
            home.status().is_some_and(|status| status.daemon.state == "draining"),
            "the daemon waits for its stream"
        );
        api.send("ore");
        assert_eq!(client.read_rest().0, b"ore");
        let _ = stop.join().unwrap().ok();
    });
    for pid in [status.daemon.pid, supervisor.pid] {
        assert_eventually!(!is_alive(pid), "process {pid} has ended");
    }
    let left: Vec<_> = std::fs::read_dir(home.layout().run_dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(Wire::try_connect(&status.proxy.listen).is_err(), "nobody holds the port");
    assert!(home.ccctl(&["stop"]).ok().text().contains("not running"));
}

#[test]
fn a_signal_ends_it_after_its_streams_and_a_second_one_at_once() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    for again in [false, true] {
        let supervised = Supervised::start(&home);
        let proxy = Proxy::of(&home);
        let mut client = proxy.connect();
        client.send(proxy.message("s", "hi", true));
        let mut api = upstream.accept();
        let _ = (api.read_head(), api.read_rest());
        supervised.signal(Signal::TERM);
        assert_eventually!(
            supervised.status().is_some_and(|status| status.daemon.state == "draining"),
            "the daemon waits for its stream"
        );
        if again {
            supervised.signal(Signal::INT);
        } else {
            api.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            assert_eq!(client.read_head().status(), 200);
            assert_eq!(client.read_rest().0, b"ok");
        }
        supervised.wait();
    }
}

#[test]
fn a_hangup_puts_a_new_worker_in_place() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url());
    let supervised = Supervised::start(&home);
    let (before, proxy) = (supervised.worker(), Proxy::of(&home));
    supervised.signal(Signal::HUP);
    assert_eventually!(supervised.worker() != before, "another worker serves");
    assert_eq!(ask(&proxy, "s").unwrap().0, 200);
    assert_eventually!(!is_alive(before), "the one before has nothing to finish");
    supervised.stop();
}

#[test]
fn without_anybody_to_start_another_supervisor_the_worker_goes_on_alone() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url());
    let supervised = Supervised::start(&home);
    let (worker, proxy) = (supervised.worker(), Proxy::of(&home));
    supervised.signal(Signal::KILL);
    let status = eventually("the worker notices", || {
        home.status().filter(|status| status.daemon.supervisor.is_none())
    });
    assert_eq!(status.daemon.pid, worker);
    assert_eventually!(home.running().proxy.holder == "self", "nobody else holds the port");
    assert!(home.ccctl(&["status"]).ok().text().contains("the supervisor is gone"));
    assert!(home.ccctl(&["verify"]).text().contains("the supervisor is gone"));
    assert_eq!(ask(&proxy, "s").unwrap().0, 200);
    assert!(home.ccctl(&["start"]).ok().text().contains("already running"));
    let _ = home.ccctl(&["restart"]).ok();
    assert!(home.running().daemon.supervisor.is_some(), "a restart brings a supervisor back");
    let _ = home.ccctl(&["stop"]).ok();
    assert!(!is_alive(worker));
}

#[test]
fn a_retiring_worker_that_dies_is_followed_by_one_that_retires_and_sends_where_it_did() {
    let mock = Mock::start(short());
    let home = TestHome::without_upstream();
    let configure = |text: String| {
        std::fs::create_dir_all(home.ccd()).unwrap();
        std::fs::write(home.layout().config_file, text).unwrap();
    };
    configure(format!("upstream = \"{}\"\n", mock.url()));
    let supervised = Supervised::start(&home);
    let proxy = Proxy::of(&home);
    let _session = Holding::start(&home);
    let _ = home.ccctl(&["uninstall"]).ok();
    // What an uninstallation takes out of the configuration.
    configure(String::new());
    let retiring = supervised.worker();
    signal(retiring, Signal::KILL);
    assert_eventually!(
        supervised.status().is_some_and(|s| s.daemon.pid != retiring && s.daemon.state == "retiring"),
        "another one retires"
    );
    assert_eq!(ask(&proxy, "s").unwrap().0, 200);
    assert_eq!(mock.ledger().len(), 1);
    supervised.stop();
}

#[test]
fn a_daemon_that_nobody_supervises_is_left_alone() {
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let mut supervised = Supervised::spawn(&home, home.command(&binary("ccd")));
    assert!(supervised.end().success());
    assert_eq!(home.running().daemon.pid, daemon.pid());
    assert_eq!(home.running().proxy.holder, "self");
    daemon.stop(&home);
}

#[test]
fn what_keeps_the_first_worker_from_starting_is_told() {
    let home = TestHome::new("http://127.0.0.1:9");
    let socket = home.layout().control_socket();
    std::fs::create_dir_all(&socket).unwrap();
    let out = home.ccctl(&["start"]);
    assert!(out.code == Some(1) && out.stderr.contains("is in the way and no socket"), "{out}");
    std::fs::remove_dir(&socket).unwrap();
    let _ = home.ccctl(&["start"]).ok();
    let _ = home.ccctl(&["stop"]).ok();
}

#[test]
fn an_idle_supervisor_does_not_wake_up() {
    let home = TestHome::new("http://127.0.0.1:9");
    let supervised = Supervised::start(&home);
    let switches = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", supervised.pid())).unwrap();
        let lines = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
        lines.map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    // Whatever the start still brings has come once two looks agree.
    let mut last = switches();
    let settled = eventually("it rests", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = switches();
        (std::mem::replace(&mut last, now) == now).then_some(now)
    });
    assert_eq!(switches(), settled);
    signal(supervised.worker(), Signal::KILL);
    assert_eventually!(switches() > settled, "and wakes up when something happens");
    supervised.stop();
}
