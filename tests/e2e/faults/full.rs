//! F05: a file system that is really full, with everything of ours on it. Questions are answered and streams go on;
//! events are refused; when there is space again, all is taken up by itself.
//!
//! A file system of one's own takes root. Elsewhere the test says so, and lets every write fail instead.

use std::fs;
use std::io::Write;
use std::time::Instant;

use ccd_proto::frame::Status;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::mount::Mount;
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::{Daemon, TestHome};
use ccd_tests::mock::{Mock, Script, reply};

use super::disk::{assert_accounted, assert_streams, fail_for_a_while};
use super::load::{Events, Streams};
use super::{millis, status, with_fixed_port};
use crate::check;

#[test]
fn f05_a_full_file_system_costs_what_comes_meanwhile_and_nothing_else() {
    let mock =
        Mock::start(Script::new().on("STREAM", [reply().thinking_omitted().text(&"words ".repeat(300))]));
    let home = with_fixed_port(TestHome::new(&mock.url()));
    let _mount = match Mount::tmpfs(&home.ccd(), 40) {
        Ok(mount) => mount,
        Err(why) => {
            summary(&format!("F05: no file system of 40 MB ({why}): every write fails with ENOSPC instead"));
            let fault = "pwrite64,pwritev,ftruncate,fallocate:error=ENOSPC:when=50+";
            return fail_for_a_while("F05, full by injection", fault, "no space left");
        }
    };
    let (events, session, shim) = (Events::of(&home), HookSession::new(), HookSession::new());
    let mut daemon = Daemon::start(&home);
    let streams = Streams::of(&home);
    let (mut resumed, mut by_the_shim, mut restarted) = (Vec::new(), 0, 0);
    let mut asked = 0;
    let rounds = count(2, 20);
    for round in 0..rounds {
        for n in 0..50 {
            assert_eq!(events.send(&session, &format!("toolu_{round}_{n}")).unwrap(), Status::Durable);
        }
        assert_streams(&mock, &streams);
        assert_accounted(&home, &streams);

        let id = Streams::reported(&home, "through-faults").pop_first().unwrap();
        let ballast = home.ccd().join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        for size in [1 << 20, 4 << 10, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        // Whatever room its files still have in their last pages is used up soon.
        let first = (50..100_000)
            .find(|n| events.send(&session, &format!("toolu_{round}_{n}")).unwrap() == Status::Refused);
        for n in first.unwrap() + 1..first.unwrap() + 20 {
            // A small one may still fit; what is acknowledged must be found in the end.
            let _ = events.send(&session, &format!("toolu_{round}_{n}")).unwrap();
        }
        assert_streams(&mock, &streams);
        // One that still fits makes it forget; the next does not.
        let mut more = 0;
        assert_eventually!(
            {
                more += 1;
                let _ = events.send(&session, &format!("toolu_{round}_more_{more}")).unwrap();
                status(&home).store.error.is_some_and(|told| told.contains("no space left"))
            },
            "the cause is told"
        );
        let _ = home.ccctl(&["status"]).ok();
        for question in [&["sessions"][..], &["usage", "total"], &["exchange", &id, "--response"]] {
            let _ = home.ccctl(question).ok();
            asked += 1;
        }
        // Each stream is recorded, where what it needed was just there, or counted.
        assert_accounted(&home, &streams);
        // The shim's spool is on the same file system: it neither fails nor prints, and its event is lost, unless
        // there is just room for it.
        let event = shim.before_tool(&format!("toolu_shim_{round}"), &Random::of("shim").text(20_000));
        let out = home.cc_hook(&event).ok();
        assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out}");

        // Whoever starts it now must not find a dead port.
        if round % 2 == 1 {
            restarted += 1;
            streams.remember_dropped(&home);
            daemon.kill9();
            daemon = Daemon::start(&home);
            assert_streams(&mock, &streams);
        }

        drop(file);
        fs::remove_file(&ballast).unwrap();
        let begun = Instant::now();
        events.resend();
        resumed.push(begun.elapsed());
        assert_accounted(&home, &streams);
        assert_eventually!(status(&home).store.error.is_none(), "all is well again");
        assert_eventually!(home.spool().is_empty(), "what was spooled is taken");
        let known = check::sessions(&home).into_iter().any(|found| found.session_id == shim.session);
        by_the_shim = if known { check::tool_spans(&home, &shim.session).len() } else { 0 };
        events.know_others(by_the_shim);
        events.assert_recorded(&home);
    }
    let reported = Streams::reported(&home, "through-faults");
    let dropped = streams.dropped(&home);
    daemon.kill9();
    let _daemon = Daemon::start(&home);
    let recorded = events.assert_recorded(&home);
    streams.assert_recorded(&home, &reported);
    assert_eq!(status(&home).store.damaged, 0);
    summary(&format!(
        "F05: a file system of 40 MB full {rounds} times: {} events refused, {recorded} there in the end (0 lost, 0 \
         doubled); {} streams byte-identical, {dropped} counted as dropped; all of \
         {asked} questions answered; {restarted} starts while \
         full; resumed after {} ms at \
         most; {} of {rounds} events of cc-hook lost, its spool being full too",
        events.refused(),
        streams.whole(),
        millis(resumed.into_iter().max().unwrap_or_default()),
        rounds - by_the_shim
    ));
}
