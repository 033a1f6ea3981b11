//! `kill -9` of the worker, again and again, while requests keep coming.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::{Supervised, TestHome, signal};
use ccd_tests::mock::Mock;
use rustix::process::Signal;

use super::{ask, short};
use crate::proxy::Proxy;

#[test]
fn a_worker_killed_twenty_times_refuses_no_connection_and_every_request_is_answered() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url());
    let supervised = Supervised::start(&home);
    let proxy = Proxy::of(&home);
    let (done, answered, again) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let worst = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (proxy, done, answered, again, worst) = (&proxy, &done, &answered, &again, &worst);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    // The one that the kill hit is asked again, as the client does: what counts is that somebody answers.
                    let (status, _) = loop {
                        match ask(proxy, &format!("s{n}")) {
                            Some(answer) => break answer,
                            None => drop(again.fetch_add(1, Ordering::SeqCst)),
                        }
                    };
                    assert_eq!(status, 200);
                    answered.fetch_add(1, Ordering::SeqCst);
                    let mut worst = worst.lock().unwrap();
                    *worst = worst.max(begun.elapsed());
                }
            });
        }
        for _ in 0..20 {
            let before = answered.load(Ordering::SeqCst);
            assert_eventually!(answered.load(Ordering::SeqCst) >= before + 8, "requests are answered");
            signal(supervised.worker(), Signal::KILL);
        }
        let before = answered.load(Ordering::SeqCst);
        assert_eventually!(
            answered.load(Ordering::SeqCst) >= before + 8,
            "requests are answered after all kills"
        );
        done.store(true, Ordering::SeqCst);
    });
    let told = supervised.supervision();
    assert!(told.supervisor.restarts >= 20, "{told:?}");
    assert!(told.supervisor.last_exit.unwrap().contains("signal 9"));
    assert!(!told.refusing, "a worker that serves is started again, however often it is killed");
    // So many crashes ended the capture; whoever asks gets it back at once.
    assert!(supervised.status().unwrap().proxy.bypass);
    let _ = home.ccctl(&["restart"]).ok();
    assert_eventually!(supervised.status().is_some_and(|s| !s.proxy.bypass), "it captures again");
    summary(&format!(
        "20 kills of the worker, 0 connections refused, {} requests answered, {} of them asked twice because a kill hit \
         them, the slowest after {} ms",
        answered.load(Ordering::SeqCst),
        again.load(Ordering::SeqCst),
        worst.lock().unwrap().as_millis()
    ));
    supervised.stop();
}
