//! The real Claude Code client, after everything that it talks to was killed.

use std::time::Duration;

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::{RealClient, TestHome};
use ccd_tests::mock::{Mock, Script, reply};
use serde_json::json;

use super::{kill_all, processes};
use crate::check::{self, Capture};
use crate::scenario::{SETTINGS, verdict};

const CALL: &str = "SCENARIO-call";

/// An installed home before a mock, and the client.
fn installed(script: impl FnOnce(&TestHome) -> Script) -> (TestHome, Mock, RealClient) {
    let home = crate::faults::with_fixed_port(TestHome::without_upstream());
    let mock = Mock::start(script(&home));
    let home = home.with_upstream(&mock.url());
    home.write_settings(SETTINGS);
    let client = RealClient::find();
    let _ = client.ccctl(&home, &["install", "--no-service"]).ok();
    (home, mock, client)
}

/// Asserts that everything that reached the mock was captured, byte for byte, and every call.
#[track_caller]
fn assert_captured(home: &TestHome, mock: &Mock) {
    let ledger = mock.ledger();
    let capture = Capture::read(home, &ledger);
    capture.assert_exchanges(home, &ledger);
    capture.assert_spans(&ledger, verdict);
    check::assert_usage(home, &ledger);
}

#[test]
fn a_session_after_everything_was_killed_works_and_is_captured_whole() {
    let (home, mock, client) = installed(|_| Script::new());
    let well = client.print(&home, "hello", &[], &[]);
    assert_eq!(well.text(), "ok");
    assert_captured(&home, &mock);
    kill_all(&home);
    // The machine's start takes the sockets, too.
    std::fs::remove_dir_all(home.layout().run_dir).unwrap();

    let revived = client.print(&home, "hello", &[], &[]);
    assert_eq!((revived.text(), &revived.result["is_error"]), ("ok", &json!(false)));
    assert_eq!(processes(&home).len(), 2, "a supervisor and its worker");
    assert_captured(&home, &mock);
    let again = client.print(&home, "hello", &[], &[]);
    assert_eq!(again.text(), "ok");
    summary(&format!(
        "the real client: {} ms before, {} ms for the session that brought the daemon back, {} ms after",
        well.wall_ms, revived.wall_ms, again.wall_ms
    ));
}

#[test]
fn a_running_session_goes_on_after_its_next_event() {
    let call = |home: &TestHome| {
        let (at, go) = (home.work().join("at"), home.work().join("go"));
        // The tool tells that it runs, and ends when it is told to.
        let command = format!("touch {}; while [ ! -e {} ]; do sleep 0.05; done", at.display(), go.display());
        Script::new().on(
            CALL,
            [
                reply()
                    .text("One call.")
                    .tool("Bash", json!({"command": command, "description": "Wait"}))
                    .pace(Duration::from_millis(5)),
                reply().text("All done."),
            ],
        )
    };
    let (home, mock, client) = installed(call);
    let run = std::thread::scope(|scope| {
        let session = scope.spawn(|| client.print(&home, CALL, &[], &[]));
        assert_eventually!(
            home.work().join("at").exists() || session.is_finished(),
            "the session's tool runs"
        );
        kill_all(&home);
        std::fs::write(home.work().join("go"), "").unwrap();
        session.join().unwrap()
    });
    assert_eq!((run.text(), &run.result["is_error"]), ("All done.", &json!(false)));
    assert_eq!(processes(&home).len(), 2, "a supervisor and its worker");
    summary(&format!("the real client, killed under its tool call: ended well after {} ms", run.wall_ms));
    assert_captured(&home, &mock);
}
