//! Events whose data comes in several lines: what their lines say together is looked through, and the lines stay.

use super::super::cuts;
use super::*;
use crate::ingest::scrub::stream::{As, changes};
use crate::project::sse::{Event, data_lines};

/// What the events of a stream say, their lines put together with this between them.
fn said(body: &[u8], between: &str) -> Vec<String> {
    let lines = |event: Event<'_>| {
        let lines = data_lines(body, &event.range).into_iter();
        lines.map(|line| String::from_utf8_lossy(&body[line]).into_owned()).collect::<Vec<_>>()
    };
    Events::new(body).map(|event| lines(event).join(between)).collect()
}

/// What each block says in all, as a client has it that takes the line ends away.
fn blocks(body: &[u8]) -> HashMap<u64, String> {
    let mut all: HashMap<u64, String> = HashMap::new();
    for event in said(body, "") {
        let Ok(event) = serde_json::from_str::<Value>(&event) else { continue };
        let index = event["index"].as_u64().unwrap_or_default();
        for member in ["text", "partial_json", "thinking"] {
            all.entry(index).or_default().push_str(event["delta"][member].as_str().unwrap_or_default());
        }
    }
    all
}

/// Nobody who puts the stream together has a piece of the value.
fn is_out(stored: &str, value: &str) -> bool {
    let views = [said(stored.as_bytes(), ""), said(stored.as_bytes(), "\n"), vec![stored.to_owned()]];
    let mut views: Vec<String> = views.concat();
    views.extend(blocks(stored.as_bytes()).into_values());
    let pieces: Vec<&str> = (0..=value.len() - 8).map(|at| &value[at..at + 8]).collect();
    !views.iter().any(|view| pieces.iter().any(|piece| view.contains(piece)))
}

/// Scrubs a stream, checks what must always be so and that the lines stay, and gives what is stored.
fn stored_of(body: &str) -> String {
    let (scrub, kept) = scrub();
    let (_, stored) = response_of(&scrub, &kept, body, 50);
    let count = |body: &str| -> Vec<usize> {
        let events = Events::new(body.as_bytes());
        events.map(|event| data_lines(body.as_bytes(), &event.range).len()).collect()
    };
    assert_eq!(count(&stored), count(body), "{stored}");
    stored
}

/// The data of every event in lines that end at these places.
fn in_lines(body: &str, cuts: &[usize], end: &str) -> String {
    let mut out = String::new();
    let mut cuts = cuts.iter().cycle();
    for line in body.split_inclusive('\n') {
        let Some(data) = line.trim_end().strip_prefix("data: ") else {
            out += &line.replace('\n', end);
            continue;
        };
        let cuts: Vec<usize> = cuts.by_ref().take(3).copied().collect();
        for piece in pieces(data, &cuts) {
            out += &format!("data: {piece}{end}");
        }
    }
    out
}

const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,";

#[test]
fn a_credential_in_deltas_of_several_lines_is_taken_out_of_all_of_them() {
    let value = secret(21);
    let (one, rest) = value.split_at(13);
    let (two, three) = rest.split_at(11);
    // Between the signs of the document, as the specification has it.
    let legal = format!(
        "{DELTA}\ndata: \"delta\":{{\"type\":\"text_delta\",\ndata: \"text\":\"I use {one}\"}}}}\n\n{DELTA}\ndata:\"delta\":{{\"type\":\"text_delta\",\"text\":\"{rest} now\"}}\ndata: }}\n\n"
    );
    // Within one delta, whose client takes the line ends away; and both.
    let within = format!(
        "{DELTA}\"delta\":{{\"type\":\"text_delta\",\"text\":\"I use {one}\r\ndata: {two}\r\n: a note\r\ndata: {three} now\"}}}}\r\n\r\n"
    );
    let both = format!(
        "{DELTA}\"delta\":{{\"type\":\"text_delta\",\"text\":\"I use {one}\ndata: {two}\"}}}}\n\n{DELTA}\"delta\":{{\"type\":\"text_delta\",\"text\":\"\ndata: {three}\ndata:  now\"}}}}\n\n"
    );
    for body in [legal, within, both] {
        assert_eq!(blocks(body.as_bytes())[&0], format!("I use {value} now"));
        let stored = stored_of(&body);
        assert!(is_out(&stored, &value), "{stored}");
        let said = blocks(stored.as_bytes()).remove(&0).unwrap();
        assert!(said.starts_with("I use [redacted:github") && said.ends_with("] now"), "{said}");
        assert_eq!(stored.matches("[redacted:").count(), 1, "{stored}");
    }
}

#[test]
fn what_is_known_by_its_name_is_found_where_that_is_in_another_line() {
    let body = "data: {\"type\":\"error\",\"password\":\ndata: \"hunter2-Hunter2-x9\",\ndata: \"n\":1}\n\n";
    let stored = stored_of(body);
    assert!(!stored.contains("hunter2-"), "{stored}");
    assert!(stored.contains("\"n\":1}\n\n") && stored.matches("data: ").count() == 3, "{stored}");
    let clean = "data: {\"type\":\"ping\",\ndata: \"n\":\ndata: 1}\n\n";
    assert_eq!(stored_of(clean), clean);
}

#[test]
fn text_in_several_lines_is_looked_through_as_a_client_reads_it() {
    let line = |seed| filled("{a64}", seed);
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n{}\n-----END PRIVATE KEY-----", line(1), line(2));
    let value = secret(22);
    let text = format!("see\n{key}\nand {value}\nor {}\n{}.\nthat is all", &value[..20], &value[20..]);
    let body = text.lines().map(|line| format!("data: {line}")).collect::<Vec<_>>().join("\n") + "\n\n";
    let stored = stored_of(&body);
    assert!(is_out(&stored, &value), "{stored}");
    assert!(is_out(&stored, &line(1)) && is_out(&stored, &line(2)), "{stored}");
    for left in [
        "data: see\n",
        "data: -----END PRIVATE KEY-----\n",
        "data: and [",
        "data: or [",
        "data: .\n",
        "data: that is all\n\n",
    ] {
        assert!(stored.contains(left), "{stored}");
    }
}

#[test]
fn an_event_of_several_lines_that_lacks_its_end_is_one_and_one_that_is_torn_is_not_kept() {
    let value = secret(23);
    let (one, rest) = value.split_at(17);
    let body = format!(
        "{DELTA}\ndata: \"delta\":{{\"type\":\"text_delta\",\"text\":\"I use {one}\ndata: {rest} now\"}}}}\n\n"
    );
    let (scrub, kept) = scrub();
    let whole = body.strip_suffix("\n\n").unwrap();
    let (_, stored) = response_of(&scrub, &kept, whole, 50);
    assert!(is_out(&(stored.clone() + "\n\n"), &value) && stored.ends_with(" now\"}}"), "{stored}");
    let torn = whole.strip_suffix("now\"}}").unwrap();
    let (_, stored) = response_of(&scrub, &kept, torn, 50);
    assert_eq!(stored, format!("[unscanned {} bytes]", torn.len()));
}

/// The changes where just this is found.
fn made(body: &str, found: &[&str]) -> String {
    let find = |text: &[u8], _: As| -> Vec<Edit> {
        let text = str::from_utf8(text).unwrap();
        let edits = found.iter().filter_map(|one| {
            let at = text.find(one)?;
            Some(Edit { range: at..at + one.len(), mark: format!("[redacted:{}]", one.len()) })
        });
        edits.take(1).collect()
    };
    let changes = changes(body.as_bytes(), false, &find);
    assert!(changes.is_sorted_by(|a, b| a.range.end <= b.range.start));
    String::from_utf8(cuts::made(body.as_bytes(), &changes).0).unwrap()
}

#[test]
fn what_would_break_the_document_in_its_lines_is_left_out_whole() {
    let body = "data: {\"a\":\"one\",\ndata: \"b\":\"two\"}\n\n";
    assert_eq!(made(body, &["one"]), body.replace("one", "[redacted:3]"));
    assert_eq!(made(body, &["ne\",\"b\":\"t"]), "data: \"[unscanned 21 bytes]\"\ndata: \n\n");
}

#[test]
fn in_text_a_line_end_ends_what_is_found_before_it() {
    let body = "data: one two\ndata: three four\n\n";
    assert_eq!(made(body, &["twothree"]), "data: one [redacted:8]\ndata:  four\n\n");
    assert_eq!(made(body, &["two\nthr"]), "data: one [redacted:7]\ndata: ee four\n\n");
    assert_eq!(made(body, &["twothree", "e two\n"]), "data: on[redacted:6]\ndata: three four\n\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_its_lines_are_cut_it_is_found_and_can_be_put_back(
        seed in any::<u64>(),
        words in proptest::collection::vec("[a-z \n\"/é]{0,14}", 2..5),
        cuts in proptest::collection::vec(proptest::collection::vec(0usize..400, 0..6), 2),
        line_cuts in proptest::collection::vec(0usize..400, 3..40),
        (odd, end) in (any::<bool>(), prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]),
    ) {
        let value = secret(seed);
        let said = words.join(&format!(" {value} "));
        let call = json!({"command": said}).to_string();
        let body = stream(&[("text", pieces(&said, &cuts[0])), ("tool", pieces(&call, &cuts[1]))], odd);
        let body = in_lines(&body, &line_cuts, end);
        let stored = stored_of(&body);
        prop_assert!(is_out(&stored, &value), "{}", stored);
        prop_assert!(!stored.contains("[unscanned "), "{}", stored);
        // What is not the value is as it was.
        let left = |body: &str| blocks(body.as_bytes());
        for (index, before) in left(&body) {
            let after = left(&stored).remove(&index).unwrap();
            let mut at = after.as_str();
            for part in before.split(&value) {
                let found = at.find(part);
                prop_assert!(found.is_some(), "{} {}", before, after);
                at = &at[found.unwrap() + part.len()..];
            }
        }
    }

    #[test]
    fn any_lines_are_survived(body in "(data: |data:|: |\n|\r\n|\\{\"delta\":\\{\"text\":\"|\"\\}\\}|[a-z0-9\"\\\\é]){0,60}") {
        let (scrub, kept) = scrub();
        response_of(&scrub, &kept, &body, 9);
    }
}
