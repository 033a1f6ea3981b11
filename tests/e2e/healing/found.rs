//! What is found in sessions of the real client, with interventions switched off: the right kinds, with spans that can be
//! looked up, counted the same everywhere; and nothing in a session in which nothing goes wrong.

use ccd_proto::api::Detection;
use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, TestHome, eventually};
use ccd_tests::mock::{Script, trouble};

use super::{COUNTED, detections, is_ended, play, world, write};
use crate::check;
use crate::scenario::{self, EVERYTHING};

const OFF: &str = "[heal]\nmode = \"off\"\n";

/// Kinds and rules of what was found.
fn rules(found: &[Detection]) -> Vec<(&str, &str)> {
    found.iter().map(|found| (found.kind.as_str(), found.rule.as_str())).collect()
}

/// Asserts that a session's detections end up as these kinds and rules, and that what they name can be looked up.
#[track_caller]
fn assert_found(home: &TestHome, session: &str, want: &[(&str, &str)]) {
    let found = eventually(&format!("{want:?} are found"), || {
        let found = detections(home, session);
        want.iter().all(|want| rules(&found).contains(want)).then_some(found)
    });
    assert_eq!(rules(&found), want, "and nothing else");
    for found in &found {
        let span = found.span_id.as_ref().unwrap_or_else(|| panic!("the span that showed it: {found:?}"));
        let _ = home.ccctl(&["show", span]).ok();
        assert!(
            !found.evidence.is_empty() && !found.advice.is_empty() && !found.title.is_empty(),
            "{found:?}"
        );
        for evidence in &found.evidence {
            let span = evidence.span_id.as_ref().unwrap_or_else(|| panic!("evidence is a link: {found:?}"));
            let _ = home.ccctl(&["show", span]).ok();
        }
        let _ = home.ccctl(&["show", &found.detection_id]).ok();
        assert_eq!((found.state.as_str(), found.session_id.as_str()), ("open", session), "{found:?}");
        assert_eq!(found.project.as_deref(), Some("work"), "{found:?}");
    }
}

#[test]
fn each_trouble_is_found_for_what_it_is_and_counted_alike_everywhere() {
    let (home, _mock) = world(OFF, |home| {
        let work = home.work().display().to_string();
        let lib = home.work().join("lib.rs").display().to_string();
        let app = home.work().join("app.py").display().to_string();
        Script::new()
            .with(trouble::repeated("HEAL-loop", COUNTED, 4))
            .with(trouble::missed_edits("HEAL-edits", &lib, 5))
            .with(trouble::missing("HEAL-missing", &work))
            .with(trouble::unfounded("HEAL-claim", "sh test.sh", &app, 1))
            .with(trouble::filling("HEAL-full", 1_000_000, &[60, 75, 79, 86]))
            .with(trouble::uncached("HEAL-costly", 4))
    });
    write(&home, "lib.rs", "fn something() {}\n");
    write(&home, "test.sh", "echo '2 tests failed'\nexit 1\n");
    let _daemon = Daemon::start(&home);
    let troubles: [(&str, &[(&str, &str)]); 6] = [
        ("HEAL-loop", &[("loop", "repeat")]),
        ("HEAL-edits", &[("loop", "repeat")]),
        ("HEAL-missing", &[("hallucination", "files")]),
        ("HEAL-claim", &[("completion", "failing")]),
        ("HEAL-full", &[("overflow", "filling"), ("overflow", "urgent")]),
        ("HEAL-costly", &[("cost", "cache")]),
    ];
    for (prompt, want) in troubles {
        let run = play(&home, prompt, &[]);
        is_ended(&home, run.session());
        assert_found(&home, run.session(), want);
        let counted = |home: &TestHome| {
            let sessions = check::sessions(home).into_iter();
            sessions.filter(|s| s.session_id == run.session()).map(|s| s.detections).collect::<Vec<_>>()
        };
        assert_eventually!(counted(&home) == [want.len() as u64], "the session's row counts {prompt}'s");
    }
    let all: usize = troubles.iter().map(|(_, want)| want.len()).sum();
    assert_eventually!(home.running().detections.open == all as u64, "so does the status");
}

#[test]
fn nothing_is_found_and_nothing_done_where_nothing_goes_wrong() {
    let (home, mock) = world("[heal]\nmode = \"guard\"\n", |home| scenario::everything(&home.work()));
    let _daemon = Daemon::start(&home);
    let run = play(&home, EVERYTHING, &[]);
    assert_eq!(run.text(), "All done.");
    is_ended(&home, run.session());
    assert!(super::audit(&home, run.session()).is_empty());
    assert_eq!(rules(&detections(&home, run.session())), []);
    assert_eq!(mock.ledger().iter().flat_map(|sent| &sent.tool_calls).count(), scenario::EVERYTHING_CALLS);
}
