//! Sessions and indexes from files, and the table of detectors.

use std::sync::Arc;

use ccd_detect::detectors::{DETECTORS, explain};
use ccd_detect::eval::Trace;
use ccd_detect::{Index, Kind, Settings, Unknown, Workspace, text};
use serde_json::{Value, json};

#[test]
fn a_line_becomes_events_and_what_is_found_a_line() {
    let lines = include_str!("fixtures/sessions.jsonl");
    let unknown: Arc<dyn Index> = Arc::new(Unknown);
    let found: Vec<Value> = lines
        .lines()
        .map(|line| {
            let trace = Trace::from_line(line).expect("a line of the fixture");
            let found = trace.detect(&Settings::default(), &unknown);
            serde_json::from_str(&trace.to_line(&found).expect("a line")).expect("JSON")
        })
        .collect();
    assert_eq!(
        found,
        [
            json!({"trace_id": "shop-1", "detections": [{"kind": "loop", "severity": 70, "at_event": 7}]}),
            json!({"trace_id": "shop-2", "detections": []}),
        ]
    );
    assert_eq!(Trace::from_line(lines.lines().next().unwrap()).unwrap().workspace.as_deref(), Some("shop"));
}

#[test]
fn what_a_line_says_about_itself_is_not_looked_at() {
    let line = include_str!("fixtures/sessions.jsonl").lines().next().expect("a line");
    let mut other: Value = serde_json::from_str(line).expect("JSON");
    other["labels"] = json!({"loop": false});
    other["meta"]["loop_start"] = json!(0);
    other["subtype"] = json!("healthy");
    let unknown: Arc<dyn Index> = Arc::new(Unknown);
    let detect = |line: &str| Trace::from_line(line).unwrap().detect(&Settings::default(), &unknown);
    assert_eq!(detect(line), detect(&other.to_string()));
}

#[test]
fn a_workspace_answers_what_exists() {
    let line = include_str!("fixtures/workspaces.jsonl").lines().next().expect("a line");
    let shop = Workspace::from_line(line).expect("a line of the fixture");
    assert_eq!(shop.name(), "shop");
    assert!(shop.is_complete() && shop.has_file("src/basket.py") && shop.has_file("src/"));
    assert!(!shop.has_file("basket.py") && !shop.has_file(""));
    assert_eq!(shop.files_named("basket.py"), ["src/basket.py"]);
    assert!(shop.has_symbol("add_item") && shop.has_identifier("add_item") && shop.has_identifier("total"));
    assert!(!shop.has_symbol("total") && shop.is_dependency("requests") && !shop.is_dependency("os"));
    assert!(!Unknown.is_complete());
}

#[test]
fn each_kind_in_the_table_has_its_page() {
    for entry in DETECTORS {
        assert_eq!(explain(entry.kind), Some(entry.doc));
        assert!(entry.doc.starts_with(&format!("# {}", entry.kind.as_str())), "{:?}", entry.kind);
        for part in ["## Rules", "## Why", "## Evidence", "## What to do", "## Known limits"] {
            assert!(entry.doc.contains(part), "{:?}: {part}", entry.kind);
        }
        assert_eq!(DETECTORS.iter().filter(|other| other.kind == entry.kind).count(), 1);
    }
    assert_eq!(
        Kind::ALL.map(|kind| serde_json::to_value(kind).unwrap()),
        Kind::ALL.map(|kind| json!(kind.as_str()))
    );
}

#[test]
fn settings_may_be_left_out_but_not_misspelt() {
    let settings: Settings = serde_json::from_value(json!({"loop": {"repeats": 5}})).expect("settings");
    assert_eq!((settings.looping.repeats, settings.looping.stops), (5, 3));
    assert!(serde_json::from_value::<Settings>(json!({"loop": {"repaets": 5}})).is_err());
    let off: Settings = serde_json::from_value(json!({"loop": {"enabled": false}})).expect("settings");
    let unknown: Arc<dyn Index> = Arc::new(Unknown);
    let line = include_str!("fixtures/sessions.jsonl").lines().next().expect("a line");
    assert_eq!(Trace::from_line(line).unwrap().detect(&off, &unknown), []);
}

#[test]
fn times_are_read() {
    assert_eq!(text::parse_time("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(text::parse_time("2026-02-09T05:42:16.418Z"), Some(1_770_615_736_418));
    assert_eq!(text::parse_time("2024-02-29T23:59:59.5+01:30"), Some(1_709_245_799_500));
    for other in ["", "2026-02-09", "2026-13-09T05:42:16Z", "yesterday at noon, or so", "2026-02-09T05:42:16"]
    {
        assert_eq!(text::parse_time(other), None, "{other}");
    }
}
