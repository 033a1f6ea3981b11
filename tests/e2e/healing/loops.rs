//! Loops that are denied: at the call at which it is right, with a reason that the model sees, and not for ever.

use ccd_proto::api::Span;
use ccd_tests::harness::{Daemon, eventually};
use ccd_tests::mock::{Script, reply, trouble};
use serde_json::json;

use super::{COUNTED, assert_runs, detection, interventions, play, runs, told, world};
use crate::check;

const LOOP: &str = "HEAL-loop";
const GUARD: &str = "[heal]\nmode = \"guard\"\n";

/// The call that is denied is the fourth of its like.
const ALLOWED: usize = 3;

#[test]
fn a_loop_is_denied_at_the_fourth_call_and_the_model_sees_why() {
    let (home, mock) = world(GUARD, |_| Script::new().with(trouble::repeated(LOOP, COUNTED, 10)));
    let _daemon = Daemon::start(&home);
    let run = play(&home, LOOP, &[]);
    assert_runs(&home, ALLOWED);
    assert!(run.text().starts_with(trouble::GIVES_WAY), "the next turn saw the denial: {}", run.text());
    assert_eq!(run.result["is_error"], false);
    assert_eq!(run.result["permission_denials"].as_array().unwrap().len(), 1, "{}", run.result);

    let ledger = mock.ledger();
    let [.., asked, next] = &ledger[..] else { panic!("a denial and what came after") };
    let denied = &asked.tool_calls[0];
    let done = interventions(&home, run.session(), 1);
    let denials: Vec<_> = done.iter().filter(|done| done.action == "denied").collect();
    let [denial] = &denials[..] else { panic!("one denial: {done:?}") };
    assert_eq!((denial.kind.as_str(), denial.rule.as_str()), ("loop", "repeat"), "{denial:?}");
    assert_eq!(denial.event, "PreToolUse");
    assert_eq!(denial.tool_use_id.as_ref(), Some(&denied.id));
    assert!(!denial.text.is_empty());

    // The reason is in the request that followed, as the mock and the capture have it.
    assert!(told(next).iter().any(|text| text.contains(&denial.text)), "{:?}", told(next));
    let id = eventually("the exchange is recorded", || {
        let exchanges = check::exchanges(&home);
        exchanges.into_iter().find(|got| got.request_id.as_ref() == Some(&next.request_id))
    })
    .exchange_id;
    let request = home.ccctl(&["exchange", &id, "--request"]).ok();
    let quoted = json!(denial.text).to_string();
    assert!(request.text().contains(quoted.trim_matches('"')), "{}", denial.text);

    let span = |id: &str| -> Option<Span> {
        let spans = check::tool_spans(&home, run.session());
        spans.into_iter().find(|span| span.tool_use_id.as_deref() == Some(id))
    };
    let denied =
        eventually("the call's span is denied", || span(&denied.id).filter(|s| s.status == "denied"));
    assert_eq!(denial.span_id.as_ref(), Some(&denied.span_id));
    let _ = home.ccctl(&["show", &denied.span_id]).ok();
    let found = detection(&home, run.session(), "loop", "repeat");
    assert!(found.intervention.is_some(), "{found:?}");
}

#[test]
fn cosmetic_changes_of_a_command_do_not_hide_a_loop() {
    let (home, _mock) = world(GUARD, |home| {
        let work = home.work().display().to_string();
        Script::new().with(trouble::cosmetic(LOOP, COUNTED, &work, 10))
    });
    let _daemon = Daemon::start(&home);
    let run = play(&home, LOOP, &[]);
    assert_runs(&home, ALLOWED);
    assert!(run.text().starts_with(trouble::GIVES_WAY), "{}", run.text());
}

#[test]
fn denials_have_an_end_where_the_model_does_not_listen() {
    let config = format!("{GUARD}max_denials = 2\n");
    let (home, _mock) = world(&config, |_| Script::new().with(trouble::stubborn(LOOP, COUNTED, 8)));
    let _daemon = Daemon::start(&home);
    let run = play(&home, LOOP, &[]);
    assert_eq!(run.text(), "I got no further.");
    assert_eq!(runs(&home), 6, "of eight calls two were denied: {}", run.result);
    let done = interventions(&home, run.session(), 2);
    assert_eq!(done.iter().filter(|done| done.action == "denied").count(), 2, "{done:?}");
}

#[test]
fn only_the_call_that_loops_is_denied_of_several_at_once() {
    let call = |command: &str| json!({"command": command, "description": "Run a command"});
    let counted = || reply().tool("Bash", call(COUNTED));
    let beside = counted().tool("Bash", call("echo beside >> others"));
    let steps = [counted(), counted(), counted(), beside, reply().text("Both asked for.")];
    let (home, _mock) = world(GUARD, |_| Script::new().on(LOOP, steps));
    let _daemon = Daemon::start(&home);
    let run = play(&home, LOOP, &[]);
    assert_eq!(run.text(), "Both asked for.");
    assert_runs(&home, ALLOWED);
    assert_eq!(std::fs::read_to_string(home.work().join("others")).unwrap(), "beside\n", "its sibling ran");
}

#[test]
fn a_subagents_loop_is_denied_in_the_subagent() {
    let agent = json!({
        "description": "A helper", "prompt": "HEAL-worker: try it", "subagent_type": "general-purpose",
        "run_in_background": false,
    });
    let (home, mock) = world(GUARD, |_| {
        Script::new()
            .on(LOOP, [reply().tool("Agent", agent), reply().text("Somebody tried.")])
            .with(trouble::repeated("HEAL-worker", COUNTED, 10))
    });
    let _daemon = Daemon::start(&home);
    let run = play(&home, LOOP, &[]);
    assert_eq!(run.text(), "Somebody tried.");
    assert_runs(&home, ALLOWED);
    let ledger = mock.ledger();
    let agent = ledger.iter().find_map(|sent| sent.agent()).expect("a subagent ran");
    let done = interventions(&home, run.session(), 1);
    let denial = done.iter().find(|done| done.action == "denied").unwrap();
    assert_eq!(denial.agent_id.as_deref(), Some(agent));
}
