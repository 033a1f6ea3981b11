//! The real client, and what ccd does about what goes wrong in its sessions: calls that are denied, advice that reaches the
//! model, turns that are kept from ending; and that nothing is done, and nothing waits, where nothing shall.
//!
//! What ran is counted by what it left on the disk; what the model was told is read in the requests that the mock received.

mod advice;
mod away;
mod found;
mod loops;
mod off;
mod stops;

use std::path::PathBuf;

use ccd_proto::api::{Detection, Detections, Heal, Intervention};
use ccd_tests::harness::{ClientRun, RealClient, TestHome, eventually};
use ccd_tests::mock::{Exchange, Mock, Script};
use serde_json::Value;

use crate::scenario::SETTINGS;

/// Leaves a line in `runs` each time, says the same, and fails.
const COUNTED: &str = "sh count.sh";

/// A home with this `config.toml`, before a mock with `script`.
fn world(config: &str, script: impl FnOnce(&TestHome) -> Script) -> (TestHome, Mock) {
    let home = TestHome::without_upstream();
    let mock = Mock::start(script(&home));
    let home = home.with_upstream(&mock.url());
    home.write_settings(SETTINGS);
    let file = home.layout().config_file;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, config).unwrap();
    write(&home, "count.sh", "echo run >> runs\necho 'there is no such thing here'\nexit 1\n");
    (home, mock)
}

/// Writes a file of the project.
fn write(home: &TestHome, name: &str, text: &str) -> PathBuf {
    let path = home.work().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// How often [`COUNTED`] ran.
fn runs(home: &TestHome) -> usize {
    std::fs::read_to_string(home.work().join("runs")).unwrap_or_default().lines().count()
}

/// How many answers came too late for the client, as the daemon counts them since its start: the client is never kept
/// waiting for one, so that on a busy machine some are, and what they would have kept from happening happens.
#[track_caller]
fn late(home: &TestHome) -> usize {
    let status = home.ccctl(&["status", "--json"]).ok().json();
    let count = |name: &str| status["heal"][name].as_u64().expect("a count");
    usize::try_from(count("late") + count("undelivered")).unwrap()
}

/// Asserts that [`COUNTED`] ran so often, and oftener only where an answer was late.
#[track_caller]
fn assert_runs(home: &TestHome, want: usize) {
    let (runs, late) = (runs(home), late(home));
    assert!((want..=want + late).contains(&runs), "{runs} runs instead of {want}, and {late} late answers");
}

/// A session of the real client, captured.
#[track_caller]
fn play(home: &TestHome, prompt: &str, args: &[&str]) -> ClientRun {
    RealClient::find().print_captured(home, prompt, args)
}

/// Every text in the messages of a request that the model did not say itself, tool results included.
fn told(sent: &Exchange) -> Vec<String> {
    let body: Value = serde_json::from_slice(&sent.request).unwrap();
    let mut texts = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        if message["role"] != "assistant" {
            collect(&message["content"], &mut texts);
        }
    }
    texts
}

fn collect(content: &Value, texts: &mut Vec<String>) {
    match content {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(blocks) => {
            for block in blocks {
                texts.extend(block["text"].as_str().map(str::to_owned));
                collect(&block["content"], texts);
            }
        }
        _ => {}
    }
}

/// The last request of a session, which holds all that it was told before.
#[track_caller]
fn last_of(mock: &Mock, run: &ClientRun) -> Exchange {
    let of_session = |sent: &Exchange| sent.session() == Some(run.session()) && sent.agent().is_none();
    mock.ledger().into_iter().rfind(of_session).expect("the session sent a request")
}

/// How often a session was told this.
#[track_caller]
fn times_told(mock: &Mock, run: &ClientRun, what: &str) -> usize {
    told(&last_of(mock, run)).iter().map(|text| text.matches(what).count()).sum()
}

/// What reached the client in a session, oldest first, once there are `count`.
#[track_caller]
fn interventions(home: &TestHome, session: &str, count: usize) -> Vec<Intervention> {
    eventually(&format!("{count} interventions are on record"), || {
        let found: Vec<_> = audit(home, session).into_iter().filter(|done| done.delivered).collect();
        (found.len() >= count).then_some(found)
    })
}

/// What is on the audit list of a session by now, oldest first.
#[track_caller]
fn audit(home: &TestHome, session: &str) -> Vec<Intervention> {
    let heal: Heal = home.query(&["heal", "list", "--session", session, "--limit", "1000"]);
    assert_eq!(heal.more, 0, "all of them fit the limit");
    heal.interventions.into_iter().rev().collect()
}

/// The detections of a session by now that nobody dismissed, oldest first.
#[track_caller]
fn detections(home: &TestHome, session: &str) -> Vec<Detection> {
    let found: Detections = home.query(&["detections", "--session", session, "--limit", "1000"]);
    assert_eq!(found.more, 0, "all of them fit the limit");
    found.detections.into_iter().rev().collect()
}

/// The detection of this kind and rule in a session, once it is there.
#[track_caller]
fn detection(home: &TestHome, session: &str, kind: &str, rule: &str) -> Detection {
    eventually(&format!("{kind}/{rule} is on record"), || {
        detections(home, session).into_iter().find(|found| found.kind == kind && found.rule == rule)
    })
}

/// Whether the session's end is on record: by then all else of it is, too.
#[track_caller]
fn is_ended(home: &TestHome, session: &str) {
    eventually("the session's end is recorded", || {
        crate::check::sessions(home).iter().any(|s| s.session_id == session && s.ended).then_some(())
    });
}
