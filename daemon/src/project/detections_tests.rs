//! Keys sort and find what they should; judgements do what they say; rows are small.

use proptest::prelude::*;

use super::*;

fn said(what: &str, session: Option<&str>, kind: Option<&str>) -> JudgementV1 {
    JudgementV1 {
        at_ns: 1,
        what: what.into(),
        detection: Some([1; 16]),
        fingerprint: Some([2; 16]),
        cwd: Some("/w".into()),
        session_id: session.map(Into::into),
        kind: kind.map(Into::into),
        until_ns: None,
        reason: String::new(),
    }
}

#[test]
fn a_judgement_is_about_the_fingerprint_in_the_directory() {
    let Effect::Dismiss(dismissed) = effect(&said("dismiss", None, None)) else { panic!() };
    assert_eq!(effect(&said("reopen", None, None)), Effect::Reopen(dismissed));
    assert_eq!(dismissed, about([2; 16], Some("/w")));
    assert_ne!(dismissed, about([2; 16], Some("/x")));
    assert_ne!(about([2; 16], None), about([2; 16], Some("")));
    let of_nothing = JudgementV1 { fingerprint: None, ..said("dismiss", None, None) };
    assert_eq!(effect(&of_nothing), Effect::Nothing);
    assert_eq!(effect(&said("shout", None, None)), Effect::Nothing);
}

#[test]
fn resuming_takes_back_what_is_excepted_in_the_session_or_all_pauses() {
    let except = |said: &JudgementV1| match effect(said) {
        Effect::Except(key) => key,
        other => panic!("{other:?}"),
    };
    let all = except(&said("pause", None, None));
    let (s, t) = (Some("s"), Some("t"));
    let of_s = [
        except(&said("pause", s, None)),
        except(&said("allow", s, None)),
        except(&said("allow", s, Some("loop"))),
    ];
    let of_t = except(&said("pause", t, None));
    let resumed = |session: Option<&str>, key: &Vec<u8>| {
        let Effect::Resume(ranges) = effect(&said("resume", session, None)) else { panic!() };
        ranges.iter().any(|(from, to)| from <= key && key < to)
    };
    assert!(of_s.iter().all(|key| resumed(s, key) && !resumed(t, key)));
    assert!(!resumed(s, &all) && !resumed(s, &of_t) && resumed(None, &all) && resumed(None, &of_t));
    assert!(resumed(None, &of_s[0]) && !resumed(None, &of_s[1]) && !resumed(None, &of_s[2]));
    let (from, to) = exceptions();
    assert!(of_s.iter().chain([&all]).all(|key| from <= *key && *key < to));
    assert!(!resumed(None, &dismissal([0xff; 16])));
}

#[test]
fn what_is_a_week_old_is_past() {
    let (row, now) = (DetectionRow::default(), 30 * OPEN_NS);
    assert_eq!(row.state(now - OPEN_NS, now), State::Open);
    assert_eq!(row.state(now - OPEN_NS - 1, now), State::Past);
    let gist = Gist { dismissed: true, ..Gist::default() };
    let dismissed = Brief { gist, ..Brief::default() };
    assert_eq!(dismissed.state(now, now), State::Dismissed);
    assert_eq!((project("/a/b/"), project("/")), (Some("b"), None));
}

proptest! {
    #[test]
    fn keys_sort_newest_first_and_ranges_have_what_is_in_them(
        a in any::<Place>(), b in any::<Place>(), since in any::<u64>(), until in any::<Option<u64>>(),
    ) {
        prop_assert_eq!(detection(a) < detection(b), (u64::MAX - a.0, a.1) < (u64::MAX - b.0, b.1));
        prop_assert_eq!(of_key(&detection(a)), Some(a));
        prop_assert_eq!(of_session_key(&of_session([7; 16], a)), Some(a));
        prop_assert_eq!(of_about_key(&about_key([7; 16], a)), Some(a));
        prop_assert_eq!(of_detection_key(&of_detection([7; 16], a)), Some(a));
        let inside = a.0 >= since && until.is_none_or(|until| a.0 < until);
        let within = |(from, to): (Vec<u8>, Vec<u8>), key: Vec<u8>| from <= key && key < to;
        let (from, to) = detections(since, until);
        prop_assert!(from <= to);
        prop_assert_eq!(within((from, to), detection(a)), inside);
        prop_assert_eq!(within(interventions(since, until), intervention(a)), inside);
        let of = [7; 16];
        prop_assert_eq!(within(session_detections(of, since, until), of_session(of, a)), inside);
        prop_assert!(!within(session_detections([8; 16], since, until), of_session(of, a)));
        prop_assert!(within(all_about(of), about_key(of, a)) && within(all_of_detection(of), of_detection(of, a)));
    }

    #[test]
    fn an_id_is_found_by_its_beginning_and_no_other(a in any::<RecordId>(), b in any::<RecordId>(), len in 1usize..33) {
        let (from, to) = ids_from(&id_text(a)[..len]).unwrap();
        let within = |id| from <= by_id(id) && by_id(id) < to;
        prop_assert!(within(a));
        prop_assert_eq!(within(b), id_text(b)[..len] == id_text(a)[..len]);
        prop_assert_eq!(of_id_key(&by_id(a), &5u64.to_be_bytes()), Some((5, a)));
    }

    #[test]
    fn no_other_text_is_the_beginning_of_an_id(text in "\\PC{0,40}") {
        if let Some((from, to)) = ids_from(&text) {
            prop_assert!(from < to && (1..=32).contains(&text.len()));
        }
    }

    #[test]
    fn rows_are_small_whatever_was_found(
        title in "\\PC{0,400}", cwd in proptest::option::of("/\\PC{0,400}"), severity in any::<u8>(),
    ) {
        let found = DetectionV1 {
            at_ns: 1, session_id: "s".into(), agent_id: None, cwd, turn_id: None, span_id: None,
            kind: title.clone(), rule: title.clone(), severity, confidence: severity, at_event: 0,
            title, evidence: Vec::new(), advice: String::new(), mast: None, fingerprint: [0; 16],
        };
        let row = DetectionRow::new(&found, Locator::from_bytes([0; 10]), false);
        let bytes = crate::project::rows::encode(&row).unwrap();
        prop_assert!(bytes.len() < 1024 && row.brief.gist.severity <= 100);
        prop_assert_eq!(&crate::project::rows::decode::<DetectionRow>(&bytes).unwrap(), &row);
        prop_assert_eq!(&crate::project::rows::decode::<Brief>(&bytes).unwrap(), &row.brief, "a row begins with it");
        prop_assert_eq!(crate::project::rows::decode::<Gist>(&bytes).unwrap(), row.brief.gist);
    }
}
