//! Advice: it reaches the model, once, and stops nothing.

use ccd_tests::harness::Daemon;
use ccd_tests::mock::{Script, reply, trouble};

use super::{COUNTED, detection, interventions, last_of, play, runs, times_told, told, world, write};

const LOOP: &str = "HEAL-loop";
const EDITS: &str = "HEAL-edits";
const CLAIM: &str = "HEAL-claim";
const NEXT: &str = "HEAL-next";

#[test]
fn advice_reaches_the_model_once_and_stops_nothing() {
    // What is done where nobody configured anything.
    let (home, mock) = world("", |_| Script::new().with(trouble::repeated(LOOP, COUNTED, 8)));
    let _daemon = Daemon::start(&home);
    let run = play(&home, LOOP, &[]);
    assert_eq!((run.text(), runs(&home)), ("I got no further.", 8), "{}", run.result);
    assert_eq!(run.result["permission_denials"].as_array().unwrap().len(), 0);
    let done = interventions(&home, run.session(), 1);
    let [advice] = &done[..] else { panic!("once, however bad it became since: {done:?}") };
    assert_eq!((advice.action.as_str(), advice.kind.as_str()), ("advised", "loop"), "{advice:?}");
    // Sent again with each later request, as all of the history is; but it stands there once.
    assert_eq!(times_told(&mock, &run, &advice.text), 1, "{:?}", told(&last_of(&mock, &run)));
    let first =
        mock.ledger().iter().position(|sent| told(sent).iter().any(|text| text.contains(&advice.text)));
    assert!(first.is_some_and(|first| first <= 5), "while the loop goes on: {first:?}");
    let found = detection(&home, run.session(), "loop", "repeat");
    assert_eq!(found.intervention.as_ref().map(|done| done.action.as_str()), Some("advised"));
    assert_eq!(advice.detection_id.as_ref(), Some(&found.detection_id));
}

#[test]
fn without_a_pause_between_a_loop_that_goes_on_is_told_of_again() {
    let config = "[heal]\ncooldown_s = 0\n";
    let (home, mock) = world(config, |_| Script::new().with(trouble::repeated(LOOP, COUNTED, 9)));
    let _daemon = Daemon::start(&home);
    let run = play(&home, LOOP, &[]);
    assert_eq!(runs(&home), 9);
    let done = interventions(&home, run.session(), 2);
    assert!(done.iter().all(|done| done.action == "advised"), "{done:?}");
    for advice in &done {
        assert!(times_told(&mock, &run, &advice.text) > 0, "{advice:?}");
    }
}

#[test]
fn calls_that_the_client_refuses_before_any_hook_are_seen_and_advised_on() {
    let (home, mock) = world("", |home| {
        let file = home.work().join("lib.rs").display().to_string();
        Script::new().with(trouble::missed_edits(EDITS, &file, 7))
    });
    write(&home, "lib.rs", "fn something() {}\n");
    let _daemon = Daemon::start(&home);
    let run = play(&home, EDITS, &[]);
    assert_eq!(run.text(), "I got no further.");
    let done = interventions(&home, run.session(), 1);
    assert_eq!((done[0].action.as_str(), done[0].kind.as_str()), ("advised", "loop"), "{done:?}");
    assert_eq!(times_told(&mock, &run, &done[0].text), 1, "{:?}", told(&last_of(&mock, &run)));
}

#[test]
fn a_claim_that_is_not_so_is_told_of_with_the_next_prompt_and_no_turn_is_kept_from_ending() {
    let (home, mock) = world("", |home| {
        let file = home.work().join("app.py").display().to_string();
        Script::new()
            .with(trouble::unfounded(CLAIM, "sh test.sh", &file, 5))
            .on(NEXT, [reply().text("I see.")])
    });
    write(&home, "test.sh", "echo '2 tests failed'\nexit 1\n");
    let _daemon = Daemon::start(&home);
    let run = play(&home, CLAIM, &[]);
    assert_eq!(run.text(), trouble::CLAIM);
    assert_eq!(mock.ledger().len(), 3, "nothing kept it from ending");
    let found = detection(&home, run.session(), "completion", "failing");
    let next = play(&home, NEXT, &["--resume", run.session()]);
    assert_eq!((next.text(), next.session()), ("I see.", run.session()));
    let done = interventions(&home, run.session(), 1);
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!((done[0].action.as_str(), done[0].event.as_str()), ("advised", "UserPromptSubmit"));
    assert_eq!(done[0].detection_id.as_ref(), Some(&found.detection_id));
    assert_eq!(times_told(&mock, &next, &done[0].text), 1);
}
