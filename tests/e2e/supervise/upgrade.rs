//! A new version in the old one's place, while streams are under way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ccd_proto::api::Exchange;
use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::wire::{Upstream, Wire};
use ccd_tests::harness::{Supervised, TestHome};
use ccd_tests::mock::sha256;

use super::{Installed, Stream, is_alive};
use crate::check;
use crate::proxy::Proxy;

/// Connects over and over while `work` goes on. How often.
fn connecting<T>(proxy: &Proxy, work: impl FnOnce() -> T) -> (T, usize) {
    let (done, pings) = (AtomicBool::new(false), AtomicUsize::new(0));
    let worked = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let mut wire = proxy.try_connect().expect("no connection is refused");
                wire.send(proxy.request("GET", "/.ccd/ping", &[("Connection", "close")], b""));
                assert_eq!(wire.read_head().status(), 204);
                pings.fetch_add(1, Ordering::SeqCst);
            }
        });
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::SeqCst);
        worked
    });
    (worked.unwrap(), pings.into_inner())
}

#[test]
fn upgrade_and_downgrade_during_eight_live_streams() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let installed = Installed::new(&home);
    let supervised = Supervised::start_as(&home, installed.command(&home, "ccd"));
    let (supervisor, proxy) = (supervised.pid(), Proxy::of(&home));
    let original = std::fs::read(installed.program("ccd")).unwrap();
    let mut sums = Vec::new();
    let mut pings = 0;
    for round in ["up", "down"] {
        let mut streams: Vec<_> =
            (0..8).map(|n| Stream::open(&format!("live-{round}-{n}"), &proxy, &upstream)).collect();
        streams.iter_mut().for_each(Stream::step);
        let old = supervised.worker();
        // The same program in another file is another version to whoever starts it.
        let mut other = original.clone();
        if round == "up" {
            other.extend_from_slice(b"another version");
        }
        let aside = home.user().join("other");
        std::fs::write(&aside, other).unwrap();
        std::fs::set_permissions(&aside, std::fs::metadata(installed.program("ccd")).unwrap().permissions())
            .unwrap();
        installed.put("ccd", &aside);
        let ((), counted) = connecting(&proxy, || {
            let _ = home.ccctl(&["restart"]).ok();
            for _ in 0..20 {
                streams.iter_mut().for_each(Stream::step);
            }
        });
        pings += counted;
        assert_ne!(supervised.worker(), old, "another one serves");
        assert_eq!(supervised.status().unwrap().daemon.pid, supervised.worker(), "and has the store");
        assert!(is_alive(old), "the old one has streams to finish");
        let log = home.layout().log_dir.join("ccd.log");
        assert_eventually!(
            std::fs::read_to_string(&log).unwrap().matches("the new program goes on").count()
                >= if round == "up" { 1 } else { 2 },
            "the supervisor has become the new program, too"
        );
        assert_eq!(supervised.supervision().supervisor.pid, supervisor, "with the same number");
        sums.extend(streams.into_iter().map(Stream::end));
        assert_eventually!(!is_alive(old), "the old one ends with its streams");
    }
    let recorded = || -> Vec<Exchange> {
        check::exchanges(&home)
            .into_iter()
            .filter(|got| got.session_id.as_deref().is_some_and(|s| s.starts_with("live-")))
            .collect()
    };
    assert_eventually!(recorded().len() == 16, "what the old ones captured is taken in");
    assert!(home.spool().is_empty(), "and nothing is left of it");
    let mut bodies: Vec<_> = recorded()
        .iter()
        .inspect(|got| assert!(got.complete, "{got:?}"))
        .map(|got| sha256(&home.ccctl(&["exchange", &got.exchange_id, "--response"]).ok().stdout))
        .collect();
    bodies.sort();
    sums.sort();
    assert_eq!(bodies, sums, "every stream is recorded whole");
    summary(&format!(
        "Upgrade and downgrade during 8 live streams each: 0 cut, {pings} connections meanwhile, 0 refused, 16 captures whole"
    ));
    supervised.stop();
}

#[test]
fn a_connection_in_use_loses_no_request_to_a_hand_over() {
    let home = TestHome::new("http://127.0.0.1:9");
    let supervised = Supervised::start(&home);
    let (proxy, done, asked) = (Proxy::of(&home), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut wire = proxy.connect();
                while !done.load(Ordering::SeqCst) {
                    // It does not look whether the connection is still open: only what the last answer said counts.
                    wire.send(proxy.request("GET", "/.ccd/ping", &[], b""));
                    let head = wire.read_head();
                    assert_eq!(head.status(), 204);
                    asked.fetch_add(1, Ordering::SeqCst);
                    if head.header("connection") == Some("close") {
                        wire = proxy.connect();
                    }
                }
            });
        }
        let restarts = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..5 {
                let before = asked.load(Ordering::SeqCst);
                let _ = home.ccctl(&["restart"]).ok();
                assert_eventually!(asked.load(Ordering::SeqCst) > before + 100, "they go on asking");
            }
        }));
        done.store(true, Ordering::SeqCst);
        restarts.unwrap();
    });
    supervised.stop();
}

#[test]
fn a_broken_new_program_leaves_the_old_one_serving() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let installed = Installed::new(&home);
    let supervised = Supervised::start_as(&home, installed.command(&home, "ccd"));
    let proxy = Proxy::of(&home);
    let mut stream = Stream::open("held", &proxy, &upstream);
    stream.step();
    let worker = supervised.worker();
    for (program, why) in
        [("exit 1", "exit code 1"), ("kill -9 $$", "signal 9"), ("exec sleep 100", "did not serve")]
    {
        installed.put_script("ccd", program);
        let (out, _) = connecting(&proxy, || home.ccctl(&["restart"]));
        assert_eq!(out.code, Some(1), "{out}");
        assert!(out.stderr.contains(why), "{out}");
        stream.step();
        assert_eq!(supervised.worker(), worker, "the one before goes on");
    }
    installed.put("ccd", &ccd_tests::harness::binary("ccd"));
    let _ = home.ccctl(&["restart"]).ok();
    assert_ne!(supervised.worker(), worker);
    let _ = stream.end();
    supervised.stop();
}

#[test]
fn a_changed_address_is_answered_before_the_old_one_is_let_go() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (old, new) = (free(), free());
    let configure = |listen: &str| {
        std::fs::create_dir_all(home.ccd()).unwrap();
        std::fs::write(home.layout().config_file, format!("[proxy]\nlisten = \"{listen}\"\n")).unwrap();
    };
    configure(&old);
    let mut command = home.command(&ccd_tests::harness::binary("ccd"));
    command.env_remove("CCD_PROXY_LISTEN");
    let supervised = Supervised::start_as(&home, command);
    let proxy = Proxy::of(&home);
    let mut stream = Stream::open("held", &proxy, &upstream);
    stream.step();
    // Taken by somebody else: nothing changes.
    let taken = std::net::TcpListener::bind(&new).unwrap();
    configure(&new);
    let about = || home.running().daemon.config_error_about;
    assert_eventually!(about() == "restart", "what takes a restart is told");
    let out = home.ccctl(&["restart"]);
    assert!(out.code == Some(1) && out.stderr.contains("another program has this port"), "{out}");
    stream.step();
    drop(taken);
    let _ = home.ccctl(&["restart"]).ok();
    assert_eq!(supervised.status().unwrap().proxy.listen, new);
    assert_eq!(about(), "", "it is in force");
    stream.step();
    let _ = stream.end();
    assert_eventually!(Wire::try_connect(&old).is_err(), "the old address is let go");
    supervised.stop();
}
