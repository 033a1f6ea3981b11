use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::args::QueryArgs;
use crate::testing::{Home, Reply};

fn hit(session: &str, kind: &str, name: &str, snippet: &str, ranges: &[(u32, u32)]) -> Hit {
    Hit {
        session_id: session.into(),
        project: Some("alpha".into()),
        span_id: "a1b2c3d4e5f60718".into(),
        kind: kind.into(),
        name: name.into(),
        status: "ok".into(),
        at: "2026-11-20T20:15:09Z".into(),
        field: if kind == "agent" { "prompt" } else { "output" }.into(),
        snippet: snippet.into(),
        ranges: ranges.to_vec(),
        ..Hit::default()
    }
}

fn line(of: &str, value: &serde_json::Value) -> String {
    format!("{}\n", json!({ of: value }))
}

fn words(words: &[&str]) -> SearchArgs {
    SearchArgs {
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        timeout: 60,
        ..SearchArgs::default()
    }
}

#[test]
fn words_and_filters_are_handed_to_the_daemon() {
    let env = Home::new().env();
    let asked = |args: &SearchArgs| target(&env, args).unwrap().as_ref().to_owned();
    assert_eq!(
        asked(&words(&["disk", "no \"such\""])),
        "/v0/search/lines?q=%22disk%22%20%22no%20%5C%22such%5C%22%22&timeout_s=60"
    );
    let query = QueryArgs { limit: Some(3), session: Some("5f".into()), ..QueryArgs::default() };
    let all = SearchArgs {
        regex: true,
        case: true,
        raw: true,
        kind: Some(crate::args::SpanKind::Tool),
        status: Some(crate::args::SpanStatus::Error),
        tool: Some("Bash".into()),
        cursor: Some("1-2-3".into()),
        query,
        ..words(&["a"])
    };
    assert_eq!(
        asked(&all),
        "/v0/search/lines?q=%22a%22&regex=1&case=1&raw=1&kind=tool&tool=Bash&status=error&cursor=1-2-3&timeout_s=60\
         &limit=3&session=5f"
    );
}

#[test]
fn hits_stand_below_their_sessions() {
    let home = Home::new();
    let hits = [
        hit("5f0c6c2e-8d1f", "tool", "Bash", "error:\u{1b}[31m disk\n\tis full", &[(12, 16)]),
        hit("5f0c6c2e-8d1f", "agent", "main", "is the disk full?", &[(7, 11)]),
        hit("77aa", "llm", "claude-opus-5-5", "disk", &[(0, 4)]),
    ];
    let mut body: String = hits.iter().map(|hit| line("hit", &json!(hit))).collect();
    body += &line("scanned_sessions", &json!(7));
    body += &line("end", &json!({"more": true, "complete": true, "scanned_sessions": 9, "cursor": "1-2-3"}));
    let _daemon = home.daemon(move |_| Reply::json(body.clone()));
    let (mut out, text, err) = Printer::captured(80);
    run(&home.env(), &mut out, &words(&["disk"])).unwrap();
    insta::assert_snapshot!(text.text(), @r"
    session 5f0c6c2e · alpha
      a1b2c3d4  20:15:09  ✓ Bash output  error:\u{1b}[31m disk is full
      a1b2c3d4  20:15:09  ✓ prompt  is the disk full?

    session 77aa · alpha
      a1b2c3d4  20:15:09  ✓ opus-5-5 output  disk
    ");
    assert_eq!(err.text(), "there is more: --limit shows it, or go on with --cursor 1-2-3\n");

    let (mut out, text, _) = Printer::captured(80);
    let json = SearchArgs { query: QueryArgs { json: true, ..QueryArgs::default() }, ..words(&["disk"]) };
    run(&home.env(), &mut out, &json).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text.text()).unwrap();
    assert!(text.text().starts_with("{\"schema_version\":1,\"query\":[\"disk\"],\"hits\":[{\"session_id\":"));
    assert_eq!((&found["hits"][1]["ranges"], &found["scanned_sessions"]), (&json!([[7, 11]]), &json!(9)));
    assert_eq!(
        (&found["more"], &found["complete"], &found["cursor"]),
        (&json!(true), &json!(true), &json!("1-2-3"))
    );
}

#[test]
fn nothing_found_is_said_and_no_failure() {
    let home = Home::new();
    let _daemon =
        home.daemon(|_| Reply::json(line("end", &json!({"complete": true, "scanned_sessions": 2}))));
    let (mut out, text, err) = Printer::captured(80);
    run(&home.env(), &mut out, &words(&["x"])).unwrap();
    assert_eq!(text.text(), "nothing found in 2 sessions\n");
    assert!(err.text().contains("--raw"), "{}", err.text());
}

#[test]
fn an_end_that_is_none_is_an_error() {
    let home = Home::new();
    let first = std::sync::atomic::AtomicBool::new(true);
    let _daemon = home.daemon(move |_| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Reply::json(line("hit", &json!(hit("s", "tool", "Bash", "x", &[(0, 1)]))));
        }
        Reply::json(line("error", &json!({"code": "not_found", "message": "no session \"z\"", "hint": "h"})))
    });
    let ask = || run(&home.env(), &mut Printer::captured(80).0, &words(&["x"])).unwrap_err();
    assert!(ask().message.contains("ended before"));
    let error = ask();
    assert_eq!((error.message.as_str(), error.exit_code(), error.hints.len()), ("no session \"z\"", 1, 1));
}

#[test]
fn a_snippet_is_cut_around_its_first_word() {
    let text = format!("{} needle {}", "before ".repeat(20), "after ".repeat(20));
    let at = u32::try_from(text.find("needle").unwrap()).unwrap();
    let cut = |room| -> String {
        fitted(&hit("s", "tool", "B", &text, &[(at, at + 6)]), room)
            .into_iter()
            .map(|(piece, _)| piece)
            .collect()
    };
    assert_eq!(cut(40), "…efore before needle after after after …");
    assert_eq!(cut(400).trim_end(), text.split_whitespace().collect::<Vec<_>>().join(" "));
    let wide = hit("s", "tool", "B", &"日本語".repeat(30), &[(0, 1)]);
    let shown: String = fitted(&wide, 21).into_iter().map(|(piece, _)| piece).collect();
    assert_eq!(shown, "日本語日本語日本語日…");
}

proptest! {
    #[test]
    fn a_snippet_fits_and_shows_its_first_word(
        text in "(\\PC|\\p{C}|[a-z \n]|日){1,120}", from in 0u32..120, len in 1u32..9, room in 30usize..100,
    ) {
        let count = u32::try_from(text.chars().count()).unwrap();
        let from = from % count;
        let pieces = fitted(&hit("s", "tool", "B", &text, &[(from, (from + len).min(count))]), room);
        let shown: String = pieces.iter().map(|(piece, _)| piece.as_str()).collect();
        let width: usize = pieces.iter().flat_map(|(piece, _)| piece.chars()).map(|c| c.to_string().width()).sum();
        prop_assert!(width <= room, "{} of {}: {}", width, room, shown);
        prop_assert_eq!(visible(&shown), shown.clone());
        let word: String = text.chars().skip(from as usize).take(1).collect();
        prop_assert!(word.trim().is_empty() || pieces.iter().any(|(_, word)| *word), "{:?}", pieces);
    }
}
