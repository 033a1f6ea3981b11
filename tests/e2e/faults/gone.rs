//! F08: the store's directory cannot be written, or is gone. Nothing is captured, everything is relayed, and
//! whoever asks is told why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ccd_proto::frame::Status;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::mount::Mount;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::{Daemon, TestHome, binary, run};
use ccd_tests::mock::{Mock, Script, reply};

use super::disk::{assert_streams, fail_for_a_while};
use super::load::{Events, Streams};
use super::{status, with_fixed_port};

/// Makes a directory unwritable; undone on drop.
enum Closed<'a> {
    Mounted(#[allow(dead_code, reason = "held until it is dropped")] Mount),
    Locked(&'a Path),
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if let Closed::Locked(dir) = self {
            let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
        }
    }
}

impl<'a> Closed<'a> {
    /// The directory, and what it is that keeps everybody out.
    #[track_caller]
    fn close(dir: &'a Path) -> (Self, &'static str) {
        match Mount::read_only(dir) {
            Ok(mount) => (Closed::Mounted(mount), "Read-only file system"),
            Err(why) => {
                summary(&format!("F08: nothing can be mounted ({why}): mode 0000 instead"));
                fs::set_permissions(dir, fs::Permissions::from_mode(0o000)).unwrap();
                let open = fs::read_dir(dir).is_ok();
                assert!(
                    !open,
                    "modes do not bind this user, and mounting is not allowed: nothing can be tested"
                );
                (Closed::Locked(dir), "Permission denied")
            }
        }
    }
}

fn mock() -> Mock {
    Mock::start(Script::new().on("STREAM", [reply().thinking_omitted().text(&"words ".repeat(300))]))
}

/// Asserts that `status` and `verify` name the cause.
#[track_caller]
fn assert_told(home: &TestHome, cause: &str) {
    assert_eventually!(
        status(home).store.error.is_some_and(|error| error.contains(cause)),
        "{cause:?} is told: {:?}",
        status(home).store.error
    );
    let shown = run(home.command(&binary("ccctl")).arg("status"), b"").ok().text();
    assert!(shown.contains(cause), "{shown}");
    let checks = home.ccctl(&["verify"]);
    assert!(checks.code == Some(1) && checks.text().contains(cause), "{checks}");
}

#[test]
fn f08_a_store_that_cannot_be_written_is_bypassed_and_taken_up_again() {
    let (mock, session) = (mock(), HookSession::new());
    let home = with_fixed_port(TestHome::new(&mock.url()));
    let events = Events::of(&home);
    let daemon = Daemon::start(&home);
    assert_eq!(events.send(&session, "toolu_before").unwrap(), Status::Durable);
    daemon.stop(&home);
    let store = home.layout().store_dir();
    let (closed, cause) = Closed::close(&store);

    let daemon = Daemon::start(&home);
    let streams = Streams::of(&home);
    assert_streams(&mock, &streams);
    assert_told(&home, cause);
    assert!(status(&home).proxy.bypass);
    assert_eq!(events.send(&session, "toolu_meanwhile").unwrap(), Status::Refused);
    let _ = home.cc_hook(&session.start()).ok();
    assert_eq!(home.spool().len(), 1, "what is refused waits");
    assert_streams(&mock, &streams);

    drop(closed);
    events.resend();
    assert_eventually!(home.spool().is_empty() && status(&home).hooks.events == 3, "the spool is taken");
    assert_streams(&mock, &streams);
    assert_eventually!(status(&home).proxy.exchanges == 1, "and streams are captured again");
    assert_eq!(status(&home).capture.dropped, 2);
    drop(daemon);
    summary(
        "F08: a store that cannot be written: 3 streams byte-identical, the cause told, all taken up again",
    );
}

#[test]
fn f08_a_store_that_becomes_read_only_is_told_and_taken_up_again() {
    let fault = "pwrite64,pwritev,ftruncate,fallocate,mkdir,unlink,rename:error=EROFS:when=60+";
    fail_for_a_while("F08, EROFS while it runs", fault, "Read-only file system");
}

#[test]
fn f08_a_store_that_is_deleted_while_it_runs_is_told_and_the_proxy_goes_on() {
    let (mock, session) = (mock(), HookSession::new());
    let home = with_fixed_port(TestHome::new(&mock.url()));
    let events = Events::of(&home);
    let daemon = Daemon::start(&home);
    let streams = Streams::of(&home);
    assert_streams(&mock, &streams);
    assert_eq!(events.send(&session, "toolu_before").unwrap(), Status::Durable);
    fs::remove_dir_all(home.layout().store_dir()).unwrap();
    assert_streams(&mock, &streams);
    let answer = events.send(&session, "toolu_meanwhile").unwrap();
    assert_eq!(answer, Status::Refused, "what goes into deleted files is not durable");
    assert_streams(&mock, &streams);
    assert_told(&home, "is gone");
    assert_eq!(status(&home).capture.dropped, 2);
    daemon.stop(&home);
    // The next one makes a new store, and takes what waits.
    let _daemon = Daemon::start(&home);
    assert_eq!(events.send(&session, "toolu_meanwhile").unwrap(), Status::Durable);
    summary("F08: a store deleted while the daemon runs: 3 streams byte-identical, the cause told");
}
