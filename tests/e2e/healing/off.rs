//! Where nothing shall be done nothing is: switched off, paused, allowed, dismissed.

use ccd_proto::api::{Detections, Heal};
use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, TestHome};
use ccd_tests::mock::{Mock, Script, trouble};
use uuid::Uuid;

use super::{
    COUNTED, assert_runs, audit, detection, detections, interventions, is_ended, last_of, play, runs, told,
    world,
};

const LOOP: &str = "HEAL-loop";
const AGAIN: &str = "HEAL-again";
const CALLS: usize = 7;

/// A session with a loop of [`CALLS`], and another prompt for the same.
fn looping(config: &str) -> (TestHome, Mock) {
    world(config, |_| {
        let looping = |marker| trouble::repeated(marker, COUNTED, CALLS);
        Script::new().with(looping(LOOP)).with(looping(AGAIN))
    })
}

/// Plays a loop, of which every call runs and nobody says anything; `before` ran earlier.
#[track_caller]
fn assert_let_alone(home: &TestHome, mock: &Mock, prompt: &str, args: &[&str]) -> String {
    let (before, done) = (runs(home), args.last().map_or(0, |session| audit(home, session).len()));
    let run = play(home, prompt, args);
    assert_eq!(run.text(), "I got no further.", "{}", run.result);
    assert_eq!(runs(home) - before, CALLS, "every call ran");
    is_ended(home, run.session());
    assert_eq!(audit(home, run.session()).len(), done, "nothing was done");
    if done == 0 {
        let told = told(&last_of(mock, &run));
        assert!(!told.iter().any(|text| text.contains("hook additional context")), "{told:?}");
    }
    run.session().to_owned()
}

#[test]
fn switched_off_nothing_is_done_and_yet_it_is_seen() {
    let (home, mock) = looping("[heal]\nmode = \"off\"\n");
    let _daemon = Daemon::start(&home);
    let session = assert_let_alone(&home, &mock, LOOP, &[]);
    let found = detection(&home, &session, "loop", "repeat");
    assert_eq!(found.intervention, None);
}

#[test]
fn a_project_may_be_let_alone() {
    let config = |home: &TestHome| {
        // The client tells the directory as the system resolves it.
        let work = std::fs::canonicalize(home.work()).unwrap();
        format!("[heal]\nmode = \"guard\"\n[heal.projects.\"{}\"]\nmode = \"off\"\n", work.display())
    };
    let (home, mock) = looping("");
    std::fs::write(home.layout().config_file, config(&home)).unwrap();
    let _daemon = Daemon::start(&home);
    let _ = assert_let_alone(&home, &mock, LOOP, &[]);
}

#[test]
fn a_pause_holds_until_it_is_taken_back() {
    let (home, mock) = looping("[heal]\nmode = \"guard\"\n");
    let _daemon = Daemon::start(&home);
    let paused: Heal = home.query(&["heal", "pause"]);
    assert_eq!(paused.exceptions.iter().filter(|except| except.what == "pause").count(), 1);
    let _ = assert_let_alone(&home, &mock, LOOP, &[]);
    let resumed: Heal = home.query(&["heal", "resume"]);
    assert!(resumed.exceptions.is_empty(), "{:?}", resumed.exceptions);
    let run = play(&home, LOOP, &[]);
    assert!(run.text().starts_with(trouble::GIVES_WAY), "{}", run.text());
    assert_runs(&home, CALLS + 3);
}

#[test]
fn what_is_allowed_in_a_session_goes_on_there_and_nowhere_else() {
    let (home, mock) = looping("[heal]\nmode = \"guard\"\n");
    let _daemon = Daemon::start(&home);
    let id = Uuid::new_v4().to_string();
    let first = play(&home, LOOP, &["--session-id", &id]);
    assert!(first.text().starts_with(trouble::GIVES_WAY), "{}", first.text());
    let _ = interventions(&home, &id, 1);
    let _: Heal = home.query(&["heal", "allow", "--session", &id, "--kind", "loop"]);
    let _ = assert_let_alone(&home, &mock, AGAIN, &["--resume", &id]);
    let other = play(&home, LOOP, &[]);
    assert!(other.text().starts_with(trouble::GIVES_WAY), "{}", other.text());
}

#[test]
fn a_false_alarm_that_the_user_dismissed_does_not_come_again() {
    let (home, mock) = looping("");
    let _daemon = Daemon::start(&home);
    let first = play(&home, LOOP, &[]);
    let found = detection(&home, first.session(), "loop", "repeat");
    let _ = home.ccctl(&["detections", "--dismiss", &found.detection_id, "--reason", "it is meant so"]).ok();
    assert!(detections(&home, first.session()).is_empty(), "what it became later is about the same");

    let session = assert_let_alone(&home, &mock, LOOP, &[]);
    assert!(detections(&home, &session).is_empty());
    let all: Detections = home.query(&["detections", "--session", &session, "--state", "all"]);
    let again =
        all.detections.iter().find(|found| found.rule == "repeat").expect("it is on record all the same");
    assert_eq!((again.state.as_str(), again.reason.as_deref()), ("dismissed", Some("it is meant so")));
    assert_eventually!(home.running().detections.open == 0, "none is open");
}
