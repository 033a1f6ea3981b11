//! Lists, trends and judgements against a fake daemon.

use ccd_proto::api::{DetectionTrend, DetectionTrendRow, Judged};
use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::analyze::tests::sample;
use crate::args::{Cli, Command};
use crate::error::CommandError;
use crate::testing::{Home, Reply};

fn detections() -> Vec<Detection> {
    let mut found = sample().detections;
    for d in &mut found {
        d.session_id = "5f0c6c2e-8d1f-4a93-a1f2-000000000001".into();
        d.project = Some("shop".into());
    }
    found.reverse();
    found
}

fn reply(value: impl serde::Serialize) -> String {
    let mut value = serde_json::to_value(value).unwrap();
    value["schema_version"] = json!(1);
    value.to_string()
}

fn try_args(line: &[&str]) -> Result<DetectionsArgs, clap::Error> {
    Cli::try_parse_from([&["ccctl", "detections"], line].concat()).map(|cli| match cli.command {
        Command::Detections(args) => args,
        _ => panic!(),
    })
}

/// What is printed for this line.
fn told(home: &Home, line: &[&str], width: usize) -> Result<String> {
    let (mut out, text, _) = Printer::captured(width);
    run(&home.env(), &mut out, &try_args(line).unwrap()).map(|()| text.text())
}

#[test]
fn a_table_of_detections() {
    let env = Home::new().env();
    for width in [120, 80, 50] {
        let text = table(&env, &detections()).render(width, false);
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        insta::assert_snapshot!(format!("list_{width}"), text);
    }
}

#[test]
fn filters_become_the_daemons_and_more_is_said() {
    let home = Home::new();
    let daemon = home.daemon(|_| Reply::json(reply(Detections { detections: detections(), more: 7 })));
    let text =
        told(&home, &["--kind", "loop", "--rule", "repeat", "--open", "--min-severity", "50"], 100).unwrap();
    assert!(text.ends_with("… and 7 more: a higher --limit shows them\n"), "{text}");
    told(&home, &["--state", "all", "--since", "today", "--project", "shop", "--min-confidence", "70"], 100)
        .unwrap();
    let json = told(&home, &["--json", "--session", "5f", "--limit", "3"], 100).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["more"], 7);
    assert_eq!(
        daemon.requests(),
        [
            "GET /v0/detections?kind=loop&rule=repeat&state=open&min_severity=50",
            "GET /v0/detections?since=2026-11-20T00%3A00%3A00Z&project=shop&state=all&min_confidence=70",
            "GET /v0/detections?limit=3&session=5f",
        ]
    );
}

#[test]
fn nothing_found_says_so() {
    let home = Home::new();
    assert_eq!(told(&home, &[], 80).unwrap_err().exit_code(), 3);
    let _daemon = home.daemon(|_| Reply::json(reply(Detections::default())));
    assert!(told(&home, &[], 80).unwrap().starts_with("nothing was found to go wrong so far"));
    assert!(told(&home, &["--open"], 80).unwrap().starts_with("no detection matches"));
}

#[test]
fn one_in_full() {
    let home = Home::new();
    let judged = Judged { detection: detections().remove(0), others: 2 };
    let daemon = home.daemon(move |_| Reply::json(reply(&judged)));
    insta::assert_snapshot!("one", told(&home, &["bbbb"], 90).unwrap());
    assert!(told(&home, &["bbbb", "--json"], 90).unwrap().contains("\"others\":2"));
    assert_eq!(daemon.requests()[0], "GET /v0/detections/bbbb");
}

#[test]
fn a_false_alarm_is_dismissed_and_taken_up_again() {
    let home = Home::new();
    let judged = Judged { detection: detections().remove(0), others: 1 };
    let daemon = home.daemon(move |_| Reply::json(reply(&judged)));
    let text = told(&home, &["--dismiss", "bb", "--reason", "it waits for CI"], 90).unwrap();
    assert!(text.starts_with("bbbbbbbb loop/repeat: The same call"), "{text}");
    assert!(text.contains("dismissed, and 1 other about the same; what is found"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let text = told(&home, &["--reopen", "../bb"], 90).unwrap();
    assert!(text.contains("no longer dismissed, nor is 1 other"), "{text}");
    assert_eq!(
        daemon.requests(),
        ["POST /v0/detections/bb/dismiss?reason=it%20waits%20for%20CI", "POST /v0/detections/..%2Fbb/reopen",]
    );
}

#[test]
fn what_can_be_asked_at_once_is_one_thing() {
    for line in [
        &["id", "--by", "kind"][..],
        &["--dismiss", "a", "--reopen", "b"],
        &["--explain", "loop", "--by", "kind"],
        &["--reason", "x"],
        &["--state", "open", "--open"],
        &["--kind", "magic"],
        &["--min-severity", "101"],
        &["--by", "colour"],
    ] {
        assert!(try_args(line).is_err(), "{line:?}");
    }
    assert_eq!(try_args(&["--by", "kind,project,week"]).unwrap().by.len(), 3);
    assert_eq!(try_args(&["--explain"]).unwrap().explain, Some(None));
}

#[test]
fn kinds_are_explained_without_a_daemon() {
    let home = Home::new();
    insta::assert_snapshot!("kinds", told(&home, &["--explain"], 80).unwrap());
    for kind in ccd_detect::Kind::ALL {
        let page = told(&home, &["--explain", kind.as_str()], 80).unwrap();
        assert!(page.starts_with(&format!("# {}\n", kind.as_str())), "{page}");
        assert!(page.contains("## Known limits"), "{page}");
    }
    assert!(told(&home, &["--explain", "mast"], 80).unwrap().contains("FM-3.3"));
    let error = told(&home, &["--explain", "magic"], 80).unwrap_err();
    assert_eq!((error.exit_code(), error.hints.len()), (2, 1));
    let json: Value =
        serde_json::from_str(&told(&home, &["--explain", "loop", "--json"], 80).unwrap()).unwrap();
    assert_eq!((&json["schema_version"], &json["kind"]), (&json!(1), &json!("loop")));
}

fn trend(keys: &[&str]) -> DetectionTrend {
    let row = |week: &str, kind: &str, project: &str, detections, sessions, worst| DetectionTrendRow {
        key: [("week", week), ("kind", kind), ("project", project)]
            .into_iter()
            .filter(|(key, _)| keys.contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        detections,
        dismissed: detections / 4,
        intervened: detections / 2,
        sessions,
        worst,
    };
    DetectionTrend {
        by: keys.iter().map(|key| (*key).to_owned()).collect(),
        rows: vec![
            row("2026-11-16", "loop", "shop\u{1b}[2J", 12, 5, 85),
            row("2026-11-16", "completion", "", 3, 3, 65),
            row("2026-11-02", "overflow", "shop", 1, 1, 45),
        ],
        sessions: 48,
    }
}

#[test]
fn a_trend_beside_the_sessions() {
    let home = Home::new();
    let told = |keys: &'static [&'static str], width, drawn: bool| {
        let daemon = home.daemon(move |_| Reply::json(reply(trend(keys))));
        let (out, text, _) = Printer::captured(width);
        let mut out = if drawn { out.drawn(false) } else { out };
        run(&home.env(), &mut out, &try_args(&["--by", &keys.join(","), "--since", "28d"]).unwrap()).unwrap();
        let asked = daemon.requests().remove(0);
        assert!(
            asked.starts_with("GET /v0/detections/trend?since=") && asked.ends_with("&tz=UTC"),
            "{asked}"
        );
        text.text()
    };
    insta::assert_snapshot!("trend_100", told(&["kind", "project", "week"], 100, true));
    insta::assert_snapshot!("trend_60", told(&["kind", "project", "week"], 60, true));
    insta::assert_snapshot!("trend_kinds_piped", told(&["kind"], 100, false));
}

#[test]
fn a_range_without_any_is_said_to_be_so() {
    let home = Home::new();
    let _daemon =
        home.daemon(|_| Reply::json(reply(DetectionTrend { sessions: 3, ..DetectionTrend::default() })));
    let text = told(&home, &["--by", "kind"], 80).unwrap();
    assert_eq!(text, "nothing was found in this range, in 3 sessions; --since reaches further back\n");
}

#[test]
fn an_id_that_is_not_there_is_an_error_of_the_daemons() {
    let home = Home::new();
    let _daemon = home.daemon(|_| {
        Reply::status(404, r#"{"error":{"code":"not_found","message":"no detection begins with `zz`"}}"#)
    });
    let error: CommandError = told(&home, &["zz"], 80).unwrap_err();
    assert_eq!((error.exit_code(), error.message.as_str()), (1, "no detection begins with `zz`"));
}
