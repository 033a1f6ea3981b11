//! A running daemon that becomes the service's, and a service whose units change.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::wire::Upstream;
use ccd_tests::harness::{TestHome, binary, run};

use super::manager;
use crate::proxy::Proxy;
use crate::supervise::Stream;

/// Asks again and again while `meanwhile` runs. How often it was answered, and how often it had to ask twice because the
/// listener went away with the connection in its queue. No connection may be refused.
fn asked_throughout(proxy: &Proxy, meanwhile: impl FnOnce()) -> (usize, usize) {
    let (done, answered, again) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let asker = || {
            while !done.load(Ordering::SeqCst) {
                let mut wire = proxy.try_connect().expect("no connection is refused");
                let sent = wire.try_send(proxy.request("GET", "/.ccd/ping", &[], b""));
                match sent.ok().and_then(|()| wire.try_head()) {
                    Some(head) => {
                        assert_eq!(head.status(), 204);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    None => drop(again.fetch_add(1, Ordering::SeqCst)),
                }
            }
        };
        // However this ends, they do, too.
        let _end = End(&done);
        let askers = [scope.spawn(asker), scope.spawn(asker)];
        let count = || answered.load(Ordering::SeqCst);
        let before = count();
        assert_eventually!(count() > before + 10, "it is answered before");
        meanwhile();
        let before = count();
        assert_eventually!(count() > before + 10, "it is answered afterwards");
        done.store(true, Ordering::SeqCst);
        for asker in askers {
            asker.join().unwrap();
        }
    });
    (answered.into_inner(), again.into_inner())
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_daemon_started_otherwise_becomes_the_services_with_nobody_refused_and_no_stream_cut() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url()).for_manager();
    let Some(manager) = manager(&home) else { return };
    let _ = home.ccctl(&["start"]).ok();
    let before = home.running();
    assert_eq!(before.daemon.manager, "daemonized");
    let proxy = Proxy::of(&home);
    let mut stream = Stream::open("held", &proxy, &upstream);
    let (answered, again) = asked_throughout(&proxy, || {
        let text = home.ccctl(&["install"]).ok().text();
        assert!(text.contains("kept running by systemd"), "{text}");
    });
    let after = home.running();
    assert_eq!((after.daemon.manager.as_str(), after.proxy.holder.as_str()), ("systemd", "systemd"));
    assert_eq!(after.proxy.listen, before.proxy.listen);
    stream.step();
    let _ = stream.end();
    assert_eventually!(
        crate::check::exchanges(&home)
            .iter()
            .any(|got| got.session_id.as_deref() == Some("held") && got.complete),
        "the stream is recorded"
    );
    assert_eq!(manager.property("ccd.socket", "ActiveState"), "active");
    summary(&format!(
        "a daemon became the service's with a stream under way: 0 connections refused, {answered} requests answered, {again} asked twice"
    ));
}

#[test]
fn a_changed_unit_takes_force_with_nobody_refused_and_no_stream_cut() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url()).for_manager();
    let Some(manager) = manager(&home) else { return };
    let _ = home.ccctl(&["install"]).ok();
    let (before, proxy) = (home.running(), Proxy::of(&home));
    let mut stream = Stream::open("held", &proxy, &upstream);
    let (answered, again) = asked_throughout(&proxy, || {
        let mut install = home.command(&binary("ccctl"));
        let _ = run(install.arg("install").env("CCD_LOG", "debug"), b"").ok();
    });
    assert!(manager.property("ccd.service", "Environment").contains("CCD_LOG=debug"));
    assert_eventually!(
        home.status().is_some_and(|s| s.daemon.pid != before.daemon.pid),
        "another worker serves"
    );
    stream.step();
    let _ = stream.end();
    summary(&format!(
        "a changed unit took force: 0 connections refused, {answered} requests answered, {again} asked twice"
    ));
}
