//! A daemon that is stuck, gone, or new: the client goes on as if nobody watched, and a loop that goes on is still one.

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::{ClientRun, Daemon, RealClient, TestHome};
use ccd_tests::mock::{Mock, Script, reply, trouble};
use serde_json::json;

use super::{COUNTED, assert_runs, audit, interventions, play, runs, world, write};
use crate::check;

const LOOP: &str = "HEAL-loop";
const CALLS: usize = 10;
const GUARD: &str = "[heal]\nmode = \"guard\"\n";

/// What the shim waits for the daemon, at most, per event.
const BOUND_MS: u64 = 50;
/// How much longer than that a busy machine may take for it.
const GENEROUS: u64 = 20;

/// A home whose client has our hooks and no proxy, so that nothing but the hooks could wait for us.
fn hooked() -> (TestHome, Mock, Daemon, RealClient) {
    let (home, mock) = world(GUARD, |_| Script::new().with(trouble::repeated(LOOP, COUNTED, CALLS)));
    let daemon = Daemon::start(&home);
    let client = RealClient::find();
    let _ = client.ccctl(&home, &["install", "--no-service", "--no-proxy"]).ok();
    (home, mock, daemon, client)
}

fn run(client: &RealClient, home: &TestHome, mock: &Mock) -> ClientRun {
    client.print(home, LOOP, &[], &[("ANTHROPIC_BASE_URL", &mock.url())])
}

/// Plays the loop with nobody there to say anything, and asserts that nothing waited for them.
#[track_caller]
fn assert_undelayed(client: &RealClient, home: &TestHome, mock: &Mock, usual_ms: u64) -> ClientRun {
    let before = runs(home);
    let alone = run(client, home, mock);
    assert_eq!(alone.text(), "I got no further.", "{}", alone.result);
    assert_eq!(runs(home) - before, CALLS, "no call was denied");
    // Each call has three events; a session has a few more.
    let events = 3 * CALLS as u64 + 10;
    let most = 3 * usual_ms + events * BOUND_MS * GENEROUS;
    assert!(alone.wall_ms < most, "{} ms, and {usual_ms} ms with somebody there", alone.wall_ms);
    summary(&format!(
        "the real client: {} ms for {CALLS} calls with nobody to answer; {usual_ms} ms for the three that ran with somebody",
        alone.wall_ms
    ));
    alone
}

/// Asserts that all calls of a session that nobody watched are on record, once each.
#[track_caller]
fn assert_recorded(home: &TestHome, session: &str) {
    assert_eventually!(home.spool().is_empty(), "what waited is taken in");
    assert_eventually!(
        check::sessions(home).iter().any(|s| s.session_id == session && s.ended),
        "the session's end is on record"
    );
    assert_eventually!(check::tool_spans(home, session).len() == CALLS, "every call is on record, once");
    assert!(audit(home, session).iter().all(|done| !done.delivered), "nobody was told anything");
}

#[test]
fn a_daemon_that_hangs_denies_nothing_and_delays_nothing() {
    let (home, mock, daemon, client) = hooked();
    let usual = run(&client, &home, &mock);
    assert!(usual.text().starts_with(trouble::GIVES_WAY), "with it there: {}", usual.text());
    daemon.freeze();
    let alone = assert_undelayed(&client, &home, &mock, usual.wall_ms);
    assert!(!home.spool().is_empty(), "its events wait");
    daemon.thaw();
    assert_recorded(&home, alone.session());
}

#[test]
fn without_a_daemon_nothing_is_denied_and_nothing_delayed() {
    let (home, mock, daemon, client) = hooked();
    let usual = run(&client, &home, &mock);
    assert!(usual.text().starts_with(trouble::GIVES_WAY), "with it there: {}", usual.text());
    daemon.stop(&home);
    let alone = assert_undelayed(&client, &home, &mock, usual.wall_ms);
    assert!(home.status().is_none(), "and nobody started it");
    let _daemon = Daemon::start(&home);
    assert_recorded(&home, alone.session());
}

#[test]
fn a_daemon_that_was_killed_counts_on_where_it_was() {
    let (home, _mock) = world(GUARD, |_| Script::new().with(trouble::repeated(LOOP, COUNTED, CALLS)));
    // The third call waits until the test has put another daemon in the place of the first.
    let waits =
        "echo run >> runs\nwhile [ $(wc -l < runs) = 3 ] && [ ! -e go ]; do sleep 0.05; done\nexit 1\n";
    write(&home, "count.sh", waits);
    let home = crate::faults::with_fixed_port(home);
    let daemon = Daemon::start(&home);
    let (run, _daemon) = std::thread::scope(|scope| {
        let running = scope.spawn(|| play(&home, LOOP, &[]));
        assert_eventually!(runs(&home) == 3, "the third call runs");
        daemon.kill9();
        let daemon = Daemon::start(&home);
        std::fs::write(home.work().join("go"), "").unwrap();
        (running.join().unwrap(), daemon)
    });
    assert!(run.text().starts_with(trouble::GIVES_WAY), "{}", run.text());
    // The fourth was denied by one who had seen none of the first two.
    assert_runs(&home, 3);
    let done = interventions(&home, run.session(), 1);
    assert_eq!(done.iter().filter(|done| done.action == "denied").count(), 1, "{done:?}");
}

#[test]
fn a_resumed_session_with_a_new_daemon_is_read_anew() {
    // Three calls in one turn; the prompt of the next begins new work, so that nothing is denied there before its fourth.
    let call = || reply().tool("Bash", json!({"command": COUNTED, "description": "Run a command"}));
    let (home, _mock) = world(GUARD, |_| {
        Script::new().on(LOOP, [call(), call(), call(), reply().text("Three.")]).with(trouble::repeated(
            "HEAL-again",
            COUNTED,
            CALLS,
        ))
    });
    let daemon = Daemon::start(&home);
    let first = play(&home, LOOP, &[]);
    assert_eq!((first.text(), runs(&home)), ("Three.", 3));
    daemon.stop(&home);
    let _daemon = Daemon::start(&home);
    let again = play(&home, "HEAL-again", &["--resume", first.session()]);
    assert!(again.text().starts_with(trouble::GIVES_WAY), "{}", again.text());
    assert_runs(&home, 6);
}
