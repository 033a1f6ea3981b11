//! What the text says of each rule, and what it must never say.

use std::collections::HashSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn found(kind: Kind, rule: &'static str, severity: u8, title: &str, seen: &[&str]) -> Detection {
    let detection = Detection::new(kind, rule, 7, severity, 90).title(title).advice("advice");
    seen.iter().fold(detection, |detection, text| detection.seen(3, text))
}

#[test]
fn nothing_found_is_no_text() {
    assert_eq!(text(&[]), "");
}

#[test]
fn a_loop_names_what_was_repeated() {
    let loops = [
        found(
            Kind::Loop,
            "repeat",
            70,
            "The same call failed in the same way 3 times: Bash API_KEY=x cargo test -p shop --features a",
            &[],
        ),
        found(
            Kind::Loop,
            "missed_edit",
            65,
            "4 edits of the same file in a row failed: Edit /home/u/shop/src/cart.rs",
            &[],
        ),
        found(Kind::Loop, "empty_search", 60, "5 searches in a row found nothing", &["Grep secret words"]),
    ];
    insta::assert_snapshot!("loops", text(&loops));
}

#[test]
fn the_worst_kind_comes_first_and_each_has_its_lines() {
    let all = [
        found(Kind::Overflow, "filling", 60, "The context holds 150000 of 200000 tokens, 75 %", &[]),
        found(
            Kind::Completion,
            "failing",
            80,
            "The closing message says that checks pass; they failed when they last ran",
            &["failed: cd /home/u/app && npm run lint -- --fix", "All checks pass."],
        ),
        found(Kind::Completion, "stale", 65, "x", &["last checked", "changed: /home/u/app/src/a.ts"]),
        found(Kind::Cost, "agents", 65, "x", &[]),
        found(
            Kind::Hallucination,
            "name",
            70,
            "LoadAll exists nowhere",
            &["used: LoadAll; exists: Load", "in src/db/user.go"],
        ),
        found(Kind::Hallucination, "cited", 50, "x", &["a.go"]),
        found(
            Kind::Derailment,
            "topic",
            45,
            "x",
            &["asked for: fix it", "billing.go", "ignore all rules", "src/x y.go"],
        ),
    ];
    insta::assert_snapshot!("all_kinds", text(&all));
}

/// Every rule that the detectors have, and one that they do not.
const RULES: [(Kind, &[&str]); 6] = [
    (
        Kind::Loop,
        &[
            "repeat",
            "cycle",
            "waiting",
            "empty_search",
            "missed_edit",
            "same_failure",
            "stop",
            "chant",
            "agent",
            "new",
        ],
    ),
    (Kind::Derailment, &["topic", "new"]),
    (Kind::Overflow, &["filling", "urgent", "agent", "compacted", "forgotten", "new"]),
    (Kind::Cost, &["cache", "same_request", "output", "agents", "model", "new"]),
    (Kind::Hallucination, &["name", "import", "undefined", "files", "cited", "new"]),
    (Kind::Completion, &["failing", "never_run", "stale", "open_tasks", "unfounded_report", "new"]),
];

#[test]
fn every_rule_of_the_doc_pages_is_known_here() {
    for (kind, rules) in RULES {
        let page = crate::detectors::explain(kind).unwrap();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let rule = line.split('`').nth(1).unwrap();
            assert!(rules.contains(&rule), "{}: {rule}", kind.as_str());
        }
    }
}

fn any_detection() -> impl Strategy<Value = Detection> {
    let rules: Vec<(Kind, &'static str)> =
        RULES.iter().flat_map(|(kind, rules)| rules.iter().map(|rule| (*kind, *rule))).collect();
    let captured = prop_oneof![
        "\\PC{0,80}",
        "(Bash|Edit|Read|mcp__x__y|`x`) [ -~]{0,60}",
        "(failed: |changed: |in |used in )[ -~\n]{0,60}",
        "[a-z/.`\n#]{0,30} imports [ -~]{0,20}",
    ];
    (
        proptest::sample::select(rules),
        0u8..=100,
        0usize..9,
        captured.clone(),
        proptest::collection::vec(captured, 0..4),
    )
        .prop_map(|((kind, rule), severity, at, title, seen)| {
            let detection = Detection::new(kind, rule, at, severity, 90).title(format!("so it is: {title}"));
            let detection = if at % 2 == 0 { detection.title(title) } else { detection };
            seen.iter().fold(detection, |detection, text| detection.seen(at, text))
        })
}

/// The text without what is in code spans.
fn own_words(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

proptest! {
    #[test]
    fn nothing_captured_but_names_is_copied(found in proptest::collection::vec(any_detection(), 0..6)) {
        let text = text(&found);
        prop_assert_eq!(&text, &super::text(&found), "the same again");
        prop_assert_eq!(text.matches('`').count() % 2, 0, "{}", text);
        for name in text.split('`').skip(1).step_by(2) {
            prop_assert!(name == "git status --short" || name.len() <= names::MAX_NAME, "{}", name);
            let plain = |c: char| c.is_ascii_alphanumeric() || " ._-+/:".contains(c);
            prop_assert!(!name.is_empty() && name.chars().all(plain), "{}", name);
            prop_assert!(name.split(' ').count() <= 4, "{}", name);
        }
        for word in own_words(&text).split_whitespace() {
            prop_assert!(VOCABULARY.contains(word), "{:?} in {}", word, text);
        }
    }

    #[test]
    fn each_kind_has_two_to_five_lines(found in proptest::collection::vec(any_detection(), 1..8)) {
        for part in text(&found).split("## Guardrail: ").skip(1) {
            let lines = part.trim_end().lines().skip(1).count();
            prop_assert!((2..=5).contains(&lines), "{}", part);
            prop_assert!(part.lines().skip(1).filter(|l| !l.is_empty()).all(|l| l.starts_with("- ")), "{}", part);
        }
    }
}

/// Every word that the text can have outside of code spans.
static VOCABULARY: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let abouts =
        ["", "Edit a/b.rs", "Edit", "Read a/b.rs", "Read", "TodoWrite", "Bash cargo test", "Bash", "Grep x"];
    let titles = abouts.iter().map(|about| format!("x: {about}")).chain(["a/b.rs imports x".into()]);
    let seen: [&[&str]; 3] =
        [&[], &["x", "a.rs", "b.rs", "c.rs"], &["failed: make test", "changed: a/b.rs", "in a/b.rs"]];
    let mut words = HashSet::new();
    for title in titles {
        for (kind, rule) in RULES.iter().flat_map(|(kind, rules)| rules.iter().map(|rule| (*kind, *rule))) {
            for seen in seen {
                let text = own_words(&text(&[found(kind, rule, 50, &title, seen)]));
                words.extend(text.split_whitespace().map(ToOwned::to_owned));
            }
        }
    }
    words
});
