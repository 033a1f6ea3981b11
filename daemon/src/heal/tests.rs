//! The policy: what is done when, and that nothing is ever done beyond its limits.

use std::collections::{BTreeMap, BTreeSet};

use ccd_detect::Kind;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A minute.
const MIN: u64 = 60_000_000_000;
/// When these tests take place: far from the epoch, as every event does.
const T0: u64 = 1_000 * MIN;

fn policy(mode: Mode) -> Policy {
    Policy::new(Arc::new(config::Heal { mode, ..config::Heal::default() }))
}

fn detection(kind: &str, at_event: u64, at_ns: u64) -> DetectionV1 {
    DetectionV1 {
        at_ns,
        session_id: "s".into(),
        agent_id: None,
        cwd: Some("/w".into()),
        turn_id: None,
        span_id: None,
        kind: kind.into(),
        rule: "repeat".into(),
        severity: 70,
        confidence: 90,
        at_event,
        title: format!("title {at_event}"),
        evidence: Vec::new(),
        advice: "do otherwise".into(),
        mast: None,
        fingerprint: [u8::try_from(at_event % 251).unwrap(); 16],
    }
}

fn asked(occasion: Occasion, at_ns: u64) -> Asked {
    Asked {
        occasion,
        session_id: "s".into(),
        agent_id: None,
        cwd: Some("/w/app".into()),
        prompt_id: Some("p".into()),
        tool_use_id: Some("toolu_1".into()),
        stop_hook_active: false,
        at_ns,
    }
}

fn verdict() -> Verdict {
    Verdict { kind: Kind::Loop, rule: "repeat", nth: 4, reason: "made 3 times: `ls`. Do otherwise.".into() }
}

fn judged(what: &str, about: Option<&DetectionV1>, kind: Option<&str>, until_ns: Option<u64>) -> JudgementV1 {
    JudgementV1 {
        at_ns: T0,
        what: what.into(),
        detection: None,
        fingerprint: about.map(|d| d.fingerprint),
        cwd: about.and_then(|d| d.cwd.clone()),
        session_id: about.is_none().then(|| "s".into()),
        kind: kind.map(Into::into),
        until_ns,
        reason: String::new(),
    }
}

/// The words for the model, out of a decision that holds nothing but what is documented for its event.
fn text(answer: &Answer) -> String {
    let json: Value = serde_json::from_slice(&answer.json).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    let done = &answer.intervention;
    let inner = &json["hookSpecificOutput"];
    let text = match done.action.as_str() {
        "blocked" => {
            assert_eq!((keys(&json), done.event.as_str()), (names(&["decision", "reason"]), "Stop"));
            assert_eq!(json["decision"], "block");
            &json["reason"]
        }
        "denied" => {
            let fields = ["hookEventName", "permissionDecision", "permissionDecisionReason"];
            assert_eq!((keys(inner), done.event.as_str()), (names(&fields), "PreToolUse"));
            assert_eq!(inner["permissionDecision"], "deny");
            &inner["permissionDecisionReason"]
        }
        action => {
            assert_eq!(action, "advised");
            let events = ["PostToolUse", "PostToolUseFailure", "PostToolBatch", "UserPromptSubmit"];
            assert!(events.contains(&done.event.as_str()));
            assert_eq!(keys(inner), names(&["hookEventName", "additionalContext"]));
            &inner["additionalContext"]
        }
    };
    if done.action != "blocked" {
        assert_eq!(keys(&json), names(&["hookSpecificOutput"]));
        assert_eq!(inner["hookEventName"], done.event.as_str());
    }
    let text = text.as_str().unwrap();
    assert_eq!(text, done.text);
    assert!(text.len() < 4000 && !done.delivered, "{text}");
    text.to_owned()
}

#[test]
fn an_advice_goes_with_the_next_result_of_its_agent_once_and_the_worst_first() {
    let mut policy = policy(Mode::Advise);
    let mild = detection("cost", 1, T0);
    let bad = DetectionV1 { severity: 90, ..detection("loop", 2, T0) };
    let elsewhere = DetectionV1 { agent_id: Some("a1".into()), severity: 95, ..detection("loop", 3, T0) };
    let slight = DetectionV1 { severity: 49, ..detection("loop", 4, T0) };
    for d in [&mild, &bad, &elsewhere, &slight, &bad] {
        policy.found(d);
    }
    assert_eq!(policy.answer(&asked(Occasion::PreToolUse, T0), Some(&verdict())), None, "nothing is denied");
    assert_eq!(policy.answer(&asked(Occasion::Stop, T0), None), None, "nothing prolongs the turn");
    let first = policy.answer(&asked(Occasion::PostToolUse, T0), None).unwrap();
    assert!(text(&first).contains("“title 2”") && text(&first).contains("--dismiss"), "{}", text(&first));
    assert_eq!(first.intervention.detection, Some(DetectionV1::record_id("s", "loop", "repeat", 2)));
    assert_eq!(policy.answer(&asked(Occasion::PostToolUse, T0 + MIN - 1), None), None, "a minute's rest");
    let second = policy.answer(&asked(Occasion::PostToolUseFailure, T0 + MIN), None).unwrap();
    assert!(text(&second).contains("title 1"));
    let agent = Asked { agent_id: Some("a1".into()), ..asked(Occasion::PostToolUse, T0 + 2 * MIN) };
    assert!(text(&policy.answer(&agent, None).unwrap()).contains("title 3"));
    policy.found(&bad);
    assert_eq!(policy.answer(&asked(Occasion::PostToolUse, T0 + 9 * MIN), None), None, "each once");
}

#[test]
fn what_is_not_sure_is_said_in_guarded_words() {
    for (kind, confidence, is_sure) in [("loop", 70, true), ("loop", 69, false), ("derailment", 99, false)] {
        let mut policy = policy(Mode::Advise);
        policy.found(&DetectionV1 { confidence, ..detection(kind, 1, T0) });
        let said = text(&policy.answer(&asked(Occasion::PostToolUse, T0), None).unwrap());
        assert_eq!(said.contains("not sure"), !is_sure, "{said}");
    }
}

#[test]
fn a_new_prompt_ends_what_it_overtakes_and_hears_what_was_claimed() {
    let mut policy = policy(Mode::Advise);
    policy.found(&detection("loop", 1, T0));
    policy.found(&DetectionV1 { severity: 99, ..detection("derailment", 2, T0) });
    policy.found(&detection("completion", 3, T0));
    policy.found(&DetectionV1 { severity: 60, ..detection("overflow", 4, T0) });
    let said = policy.answer(&asked(Occasion::UserPromptSubmit, T0 + 300 * MIN), None).unwrap();
    assert!(text(&said).contains("title 3"), "hours later, too");
    assert_eq!(policy.answer(&asked(Occasion::PostToolUse, T0 + 302 * MIN), None), None);
    policy.found(&detection("loop", 5, T0));
    assert_eq!(policy.answer(&asked(Occasion::PostToolUse, T0 + 10 * MIN + 1), None), None, "stale");
}

#[test]
fn what_was_claimed_at_the_end_of_a_session_is_heard_when_it_is_resumed() {
    let mut policy = policy(Mode::Advise);
    policy.found(&detection("completion", 1, T0));
    policy.found(&detection("loop", 2, T0));
    policy.forget("s");
    let said = policy.answer(&asked(Occasion::UserPromptSubmit, T0 + 5 * MIN), None).unwrap();
    assert!(text(&said).contains("title 1"));
    let later = asked(Occasion::PostToolUse, T0 + 7 * MIN);
    assert_eq!(policy.answer(&later, None), None, "what else waited is over");
}

#[test]
fn advice_goes_with_a_batch_of_calls_where_nothing_else_told_of_them() {
    let mut policy = policy(Mode::Advise);
    policy.found(&detection("loop", 1, T0));
    let said = policy.answer(&asked(Occasion::PostToolBatch, T0), None).unwrap();
    assert_eq!(said.intervention.event, "PostToolBatch");
    assert!(String::from_utf8_lossy(&said.json).contains("\"hookEventName\":\"PostToolBatch\""));
}

#[test]
fn advices_have_a_limit_and_one_that_did_not_arrive_comes_once_more() {
    let mut policy = policy(Mode::Advise);
    let mut now = T0;
    policy.found(&detection("loop", 999, now));
    for _ in 0..2 {
        let lost = policy.answer(&asked(Occasion::PostToolUse, now), None).unwrap();
        assert!(text(&lost).contains("title 999"));
        policy.undelivered(&lost.intervention);
        policy.undelivered(&lost.intervention);
        assert_eq!(policy.answer(&asked(Occasion::PostToolUse, now + 1), None), None, "the pause holds");
        now += MIN;
    }
    assert_eq!(policy.answer(&asked(Occasion::PostToolUse, now), None), None, "two tries");
    let mut given = 0;
    for n in 0..30 {
        now += MIN;
        policy.found(&detection("loop", n, now));
        given += u32::from(policy.answer(&asked(Occasion::PostToolUse, now), None).is_some());
    }
    assert_eq!(given, config::Heal::default().max_advices);
    policy.forget("s");
    policy.found(&detection("loop", 77, now));
    assert_eq!(
        policy.answer(&asked(Occasion::PostToolUse, now + MIN), None),
        None,
        "resumed, not begun anew"
    );
}

#[test]
fn the_same_call_is_denied_three_times_in_other_words_and_then_the_turn_is_let_run() {
    let mut policy = policy(Mode::Guard);
    policy.found(&detection("loop", 1, T0));
    let mut said = BTreeSet::new();
    let before = asked(Occasion::PreToolUse, T0);
    for n in 1..=3 {
        // The count in the reason is no other call.
        let reason = verdict().reason.replace('3', &(n + 2).to_string());
        let answer = policy.answer(&before, Some(&Verdict { reason, ..verdict() })).unwrap();
        assert_eq!(answer.gives_up, n == 3);
        assert_eq!(answer.intervention.detection, Some(DetectionV1::record_id("s", "loop", "repeat", 1)));
        let text = text(&answer);
        assert_eq!(text.contains("“made 3 times: `ls`. Do otherwise”"), n == 1, "{text}");
        said.insert(text);
    }
    assert_eq!(said.len(), 3);
    assert_eq!(policy.answer(&before, Some(&verdict())), None);
    let other = Verdict { reason: "made 3 times: `pwd`".into(), ..verdict() };
    assert_eq!(policy.answer(&before, Some(&other)), None, "the whole turn");
    policy.answer(&asked(Occasion::UserPromptSubmit, T0), None);
    let denied = (0..30).filter(|n| {
        let reason = format!("call {}", "x".repeat(*n));
        policy.answer(&before, Some(&Verdict { reason, ..verdict() })).is_some()
    });
    assert_eq!(denied.count(), config::Heal::default().max_denials as usize - 3, "and a limit per session");
}

#[test]
fn a_denial_that_did_not_arrive_does_not_count() {
    let mut policy = policy(Mode::Guard);
    let before = asked(Occasion::PreToolUse, T0);
    for n in 0..3 {
        let id = format!("toolu_{n}");
        let lost = Asked { tool_use_id: Some(id), ..before.clone() };
        let lost = policy.answer(&lost, Some(&verdict())).unwrap();
        assert!(!lost.gives_up, "{n}");
        policy.undelivered(&lost.intervention);
        policy.undelivered(&lost.intervention);
    }
    assert_eq!((0..9).filter(|_| policy.answer(&before, Some(&verdict())).is_some()).count(), 3);
}

#[test]
fn only_a_guard_denies_and_never_on_a_guess() {
    for mode in [Mode::Off, Mode::Advise] {
        assert_eq!(policy(mode).answer(&asked(Occasion::PreToolUse, T0), Some(&verdict())), None);
    }
    let mut policy = policy(Mode::Guard);
    let drift = Verdict { kind: Kind::Derailment, ..verdict() };
    assert_eq!(policy.answer(&asked(Occasion::PreToolUse, T0), Some(&drift)), None);
    assert_eq!(policy.answer(&asked(Occasion::PreToolUse, T0), None), None);
}

#[test]
fn a_turn_is_kept_from_ending_so_often_and_not_where_somebody_else_does_it() {
    let mut policy = policy(Mode::Guard);
    let stop = |n: u64, active| Asked { stop_hook_active: active, ..asked(Occasion::Stop, T0 + n * MIN) };
    let claim = |n: u64| detection("completion", n, T0 + n * MIN);
    policy.found(&claim(0));
    assert_eq!(policy.answer(&stop(0, true), None), None, "another hook's, or a count that is not known");
    assert_eq!(
        policy.answer(&stop(1, false), None),
        None,
        "what was known earlier did not come with this stop"
    );
    for n in 2..4 {
        policy.found(&claim(n));
        let kept = policy.answer(&stop(n, n > 2), None).unwrap();
        assert!(text(&kept).contains(&format!("title {n}")));
    }
    policy.found(&claim(5));
    assert_eq!(policy.answer(&stop(5, true), None), None, "twice a turn");
    policy.found(&claim(6));
    assert_eq!(policy.answer(&stop(6, false), None), None, "whatever the flag says");
    let said = policy.answer(&asked(Occasion::UserPromptSubmit, T0 + 7 * MIN), None).unwrap();
    assert!(text(&said).contains("title 6"), "then it is said with the next prompt");
    policy.found(&DetectionV1 { confidence: 79, ..claim(8) });
    policy.found(&DetectionV1 { agent_id: Some("a".into()), ..claim(8) });
    assert_eq!(policy.answer(&stop(8, false), None), None, "not sure enough");
    policy.found(&claim(9));
    let mut agent = stop(9, false);
    agent.agent_id = Some("a".into());
    assert_eq!(policy.answer(&agent, None), None);
    let lost = policy.answer(&stop(9, false), None).unwrap();
    policy.undelivered(&lost.intervention);
    for n in 10..12 {
        policy.found(&claim(n));
        assert!(policy.answer(&stop(n, n > 10), None).is_some(), "one that did not arrive does not count");
    }
    let mut mild = self::policy(Mode::Advise);
    mild.found(&claim(1));
    assert_eq!(mild.answer(&stop(1, false), None), None);
}

#[test]
fn a_block_of_the_last_turn_that_did_not_arrive_gives_this_one_no_other() {
    let mut policy = policy(Mode::Guard);
    let block = |policy: &mut Policy, n: u64, active| {
        policy.found(&detection("completion", n, T0 + n * MIN));
        policy.answer(&Asked { stop_hook_active: active, ..asked(Occasion::Stop, T0 + n * MIN) }, None)
    };
    let old = block(&mut policy, 1, false).unwrap();
    policy.answer(&asked(Occasion::UserPromptSubmit, T0 + 2 * MIN), None);
    assert!(block(&mut policy, 3, false).is_some() && block(&mut policy, 4, true).is_some());
    policy.undelivered(&old.intervention);
    assert!(block(&mut policy, 5, true).is_none());
}

#[test]
fn what_the_user_dismissed_allowed_or_paused_is_left_alone() {
    let found = detection("loop", 1, T0);
    let pause = judged("pause", None, None, Some(T0 + 5 * MIN));
    for said in
        [judged("dismiss", Some(&found), None, None), judged("allow", None, Some("loop"), None), pause]
    {
        let mut policy = policy(Mode::Guard);
        policy.found(&found);
        policy.judged(&said);
        for occasion in [Occasion::PostToolUse, Occasion::PreToolUse] {
            assert_eq!(policy.answer(&asked(occasion, T0 + MIN), Some(&verdict())), None, "{said:?}");
        }
        let again = DetectionV1 { at_event: 8, session_id: "t".into(), ..found.clone() };
        assert_eq!(policy.is_dismissed(&again), said.what == "dismiss");
        let taken_back = JudgementV1 {
            what: if said.what == "dismiss" { "reopen".into() } else { "resume".into() },
            ..said
        };
        policy.judged(&taken_back);
        assert!(policy.answer(&asked(Occasion::PreToolUse, T0 + MIN), Some(&verdict())).is_some());
        assert!(policy.answer(&asked(Occasion::PostToolUse, T0 + MIN), None).is_some());
    }
}

#[test]
fn what_is_only_known_is_not_said_and_a_dismissed_loop_is_not_denied_after_a_restart() {
    let found = detection("loop", 1, T0);
    let mut policy = policy(Mode::Guard);
    policy.judged(&judged("dismiss", Some(&found), None, None));
    policy.known(&found);
    policy.found(&found);
    assert_eq!(policy.answer(&asked(Occasion::PostToolUse, T0), None), None);
    assert_eq!(policy.answer(&asked(Occasion::PreToolUse, T0), Some(&verdict())), None);
    policy.known(&detection("loop", 2, T0));
    let denied = policy.answer(&asked(Occasion::PreToolUse, T0), Some(&verdict())).unwrap();
    assert_eq!(denied.intervention.detection, Some(DetectionV1::record_id("s", "loop", "repeat", 2)));
}

#[derive(Clone, Debug)]
enum Step {
    Found { session: u8, agent: bool, kind: usize, severity: u8, confidence: u8 },
    Asked { session: u8, agent: bool, occasion: usize, active: bool, call: u8, lost: bool },
    Judged { what: usize, session: Option<u8>, kind: Option<usize>, minutes: Option<u64>, found: usize },
    Mode(usize),
    Forget(u8),
    Later(u64),
}

const KINDS: [&str; 4] = ["loop", "completion", "cost", "derailment"];
const OCCASIONS: [Occasion; 6] = [
    Occasion::PreToolUse,
    Occasion::PostToolUse,
    Occasion::PostToolUseFailure,
    Occasion::PostToolBatch,
    Occasion::UserPromptSubmit,
    Occasion::Stop,
];
const MODES: [Mode; 3] = [Mode::Off, Mode::Advise, Mode::Guard];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = 0..3u8;
    let found = (session.clone(), any::<bool>(), 0..4usize, 40..100u8, 60..100u8).prop_map(
        |(session, agent, kind, severity, confidence)| Step::Found {
            session,
            agent,
            kind,
            severity,
            confidence,
        },
    );
    let asked = (
        session.clone(),
        prop::bool::weighted(0.2),
        0..OCCASIONS.len(),
        any::<bool>(),
        0..3u8,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(session, agent, occasion, active, call, lost)| Step::Asked {
            session,
            agent,
            occasion,
            active,
            call,
            lost,
        });
    let judged = (
        0..5usize,
        prop::option::of(session.clone()),
        prop::option::of(0..4usize),
        prop::option::of(0..5u64),
        any::<usize>(),
    )
        .prop_map(|(what, session, kind, minutes, found)| Step::Judged {
            what,
            session,
            kind,
            minutes,
            found,
        });
    prop::collection::vec(
        prop_oneof![
            8 => found,
            16 => asked,
            1 => judged,
            1 => (0..3usize).prop_map(Step::Mode),
            1 => session.prop_map(Step::Forget),
            4 => (0..200_000_000_000u64).prop_map(Step::Later),
        ],
        0..200,
    )
}

fn settings(mode: Mode) -> Arc<config::Heal> {
    let limits =
        config::Heal { max_advices: 3, max_denials: 5, max_stop_blocks: 2, ..config::Heal::default() };
    Arc::new(config::Heal { mode, ..limits })
}

/// What counts against the limits, told apart from the policy's own account.
#[derive(Default)]
struct Tally {
    advices: u32,
    denials: u32,
    blocks: u32,
    last_advice: Option<u64>,
}

/// Runs the steps; what was answered.
#[allow(clippy::too_many_lines, reason = "one walk that checks every promise where it could be broken")]
fn walk(steps: &[Step]) -> Result<Vec<Option<Answer>>, TestCaseError> {
    let (mut mode, mut now) = (Mode::Guard, T0);
    let mut policy = Policy::new(settings(mode));
    let mut tallies: BTreeMap<u8, Tally> = BTreeMap::new();
    let (mut met, mut told): (Vec<DetectionV1>, BTreeSet<(RecordId, &str)>) = Default::default();
    let mut exceptions = Exceptions::default();
    let mut answers = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        match step {
            Step::Found { session, agent, kind, severity, confidence } => {
                let found = DetectionV1 {
                    session_id: format!("s{session}"),
                    agent_id: agent.then(|| "a".into()),
                    severity: *severity,
                    confidence: *confidence,
                    ..detection(KINDS[*kind], n as u64, now)
                };
                policy.found(&found);
                met.push(found);
            }
            Step::Judged { what, session, kind, minutes, found } => {
                let about = (*what < 2).then(|| met.get(found % met.len().max(1))).flatten();
                let judgement = JudgementV1 {
                    at_ns: now,
                    session_id: session.map(|s| format!("s{s}")),
                    ..judged(
                        ["dismiss", "reopen", "allow", "pause", "resume"][*what],
                        about,
                        kind.map(|kind| KINDS[kind]),
                        minutes.map(|m| now + m * MIN),
                    )
                };
                policy.judged(&judgement);
                exceptions.apply(&judgement);
            }
            Step::Mode(at) => {
                mode = MODES[*at];
                policy.set(settings(mode));
            }
            Step::Forget(session) => policy.forget(&format!("s{session}")),
            Step::Later(ns) => now += ns,
            Step::Asked { session, agent, occasion, active, call, lost } => {
                let occasion = OCCASIONS[*occasion];
                let asked = Asked {
                    session_id: format!("s{session}"),
                    agent_id: agent.then(|| "a".into()),
                    tool_use_id: Some(format!("toolu_{n}")),
                    stop_hook_active: *active,
                    ..asked(occasion, now)
                };
                let verdict = Verdict { reason: "x".repeat(usize::from(*call)), ..verdict() };
                let answer = policy.answer(&asked, Some(&verdict));
                let tally = tallies.entry(*session).or_default();
                let blocks_before = tally.blocks;
                if occasion == Occasion::UserPromptSubmit {
                    tally.blocks = 0;
                }
                if let Some(answer) = &answer {
                    let _ = text(answer);
                    let done = &answer.intervention;
                    prop_assert!(
                        !exceptions.excepts(&done.session_id, &done.kind, now),
                        "excepted: {:?}",
                        done
                    );
                    let about = met.iter().find(|d| {
                        Some(DetectionV1::record_id(&d.session_id, &d.kind, &d.rule, d.at_event))
                            == done.detection
                    });
                    prop_assert!(!about.is_some_and(|d| exceptions.is_dismissed(d)), "dismissed");
                    prop_assert!(mode != Mode::Off && (mode == Mode::Guard || done.action == "advised"));
                    prop_assert_eq!(&done.agent_id, &asked.agent_id);
                    let action = match done.action.as_str() {
                        "advised" => "advised",
                        "blocked" => "blocked",
                        _ => "denied",
                    };
                    if *lost {
                        policy.undelivered(done);
                    } else {
                        match action {
                            "advised" => tally.advices += 1,
                            "blocked" => {
                                prop_assert!(!*active || blocks_before > 0, "somebody else's hook");
                                tally.blocks += 1;
                            }
                            _ => tally.denials += 1,
                        }
                        let once = done.detection.is_none_or(|id| told.insert((id, action)));
                        prop_assert!(once || action == "denied", "told twice");
                    }
                    if action == "advised" {
                        let rest = tally.last_advice.replace(now).is_none_or(|last| now - last >= MIN);
                        prop_assert!(rest, "too soon");
                    }
                }
                let within = tally.advices <= 3 && tally.denials <= 5 && tally.blocks <= 2;
                prop_assert!(within, "beyond a limit at step {}", n);
                answers.push(answer);
            }
        }
        prop_assert!(policy.held() <= super::sessions::MAX_HELD);
    }
    Ok(answers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_done_beyond_the_limits_or_against_the_users_word_and_the_same_twice(steps in steps()) {
        prop_assert_eq!(walk(&steps)?, walk(&steps)?);
    }
}

#[test]
fn what_is_remembered_has_an_end() {
    let mut policy = policy(Mode::Guard);
    for n in 0..20_000 {
        let session_id = format!("s{}", n % 997);
        policy.found(&DetectionV1 { session_id: session_id.clone(), ..detection("loop", n, T0) });
        let reason = "x".repeat(usize::try_from(n % 61).unwrap());
        let before = Asked { session_id, ..asked(Occasion::PreToolUse, T0) };
        policy.answer(&before, Some(&Verdict { reason, ..verdict() }));
    }
    assert!(policy.held() <= sessions::MAX_HELD);
    let long = DetectionV1 { session_id: "x".repeat(MAX_ID + 1), ..detection("loop", 1, T0) };
    let before = policy.held();
    policy.found(&long);
    assert_eq!(policy.held(), before, "an id of any length takes no room");
}
