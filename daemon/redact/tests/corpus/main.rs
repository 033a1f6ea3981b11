//! The corpus: credentials of many kinds in the shapes that sessions have, and as many texts without one. Prints what share
//! is found, what share of the clean texts is changed, and what share of the words about a credential stays; fails under
//! floors. Every value is made out of parts, when the test runs.

#![expect(clippy::print_stdout, reason = "the shares are what one runs it for")]

mod clean;
mod kinds;
mod placed;
mod shapes;

use ccd_redact::sample::filled;
use ccd_redact::{Redactor, Scrubber};

use shapes::Case;

const SEEDS: u64 = 1;

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for seed in 0..SEEDS {
        for kind in kinds::KINDS {
            let value = filled(kind.value, seed);
            let mut of_kind = shapes::named(kind.name, &value, seed);
            if kind.formed {
                of_kind.extend(shapes::formed(&value, seed));
            }
            for case in &mut of_kind {
                case.what = format!("{}, {}", kind.id, case.what);
            }
            cases.extend(of_kind);
        }
        cases.extend(placed::placed(seed));
    }
    cases
}

/// Whether ten characters in a row of a secret, or all of a shorter one, are still there.
fn leaks(out: &str, secret: &str) -> bool {
    let least = secret.len().min(10);
    (0..=secret.len() - least).any(|at| secret.get(at..at + least).is_some_and(|part| out.contains(part)))
}

fn percent(part: usize, whole: usize) -> f64 {
    let of = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    of(part) * 100.0 / of(whole.max(1))
}

#[test]
fn credentials_go_and_what_stands_about_them_stays() {
    let redactor = Redactor::standard();
    let cases = cases();
    let (mut clean, mut kept, mut words) = (0, 0, 0);
    let (mut leaked, mut lost) = (Vec::new(), Vec::new());
    for case in &cases {
        let out = redactor.text(&case.text);
        if case.secrets.iter().any(|secret| leaks(&out, secret)) {
            leaked.push(format!("{}: {out:?}", case.what));
        } else {
            clean += 1;
        }
        for keep in &case.keeps {
            words += 1;
            if out.contains(keep.as_str()) {
                kept += 1;
            } else {
                lost.push(format!("{}: {keep:?} of {out:?}", case.what));
            }
        }
    }
    println!("kinds: {}, and {} with a place for a form", kinds::KINDS.len(), placed::placed(0).len());
    println!("clean: {clean} of {} texts, {:.2} %", cases.len(), percent(clean, cases.len()));
    println!("context: {kept} of {words} pieces kept, {:.2} %", percent(kept, words));
    for line in leaked.iter().chain(&lost).take(400) {
        println!("  {line}");
    }
    assert!(percent(clean, cases.len()) >= 97.0, "{} leaked", leaked.len());
    assert!(percent(kept, words) >= 97.0, "{} lost", lost.len());
}

#[test]
fn texts_without_credentials_stay_as_they_are() {
    let redactor = Redactor::standard();
    let texts: Vec<String> = (0..8).flat_map(clean::texts).collect();
    let mut changed = Vec::new();
    for text in &texts {
        // As they are, and as a hook's payload holds them.
        let payload = serde_json::json!({"tool_response": {"content": text}}).to_string();
        for text in [text, &payload] {
            let out = redactor.text(text);
            if out != text.as_str() {
                changed.push(format!("{text:?}\n  {out:?}"));
            }
        }
    }
    println!(
        "false positives: {} of {} texts, {:.2} %",
        changed.len(),
        texts.len() * 2,
        percent(changed.len(), texts.len() * 2)
    );
    for line in changed.iter().take(60) {
        println!("  {line}");
    }
    assert!(percent(changed.len(), texts.len() * 2) <= 1.0, "{} changed", changed.len());
}

/// How a text comes in: a hook's event, a request with a history, a line of a transcript.
fn bodies(text: &str) -> [serde_json::Value; 3] {
    let id = "toolu_01A09q90qw90lq917835lq9";
    let result = serde_json::json!({"type": "tool_result", "tool_use_id": id, "content": text});
    [
        serde_json::json!({"hook_event_name": "PostToolUse", "tool_use_id": id, "tool_response": {"stdout": text}}),
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": [result]}, {"role": "user", "content": "lorem ipsum ".repeat(500)}]}),
        serde_json::json!({"type": "user", "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e", "message": {"role": "user", "content": [result]}, "toolUseResult": {"stdout": text}}),
    ]
}

#[test]
fn what_is_captured_is_scrubbed_as_text_is() {
    let cases = cases();
    let (mut clean, mut kept, mut words, mut all) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    // Each shape of most kinds: all of them take long without optimisation.
    for case in cases.iter().step_by(5) {
        for body in bodies(&case.text) {
            all += 1;
            let scrubber = Scrubber::new(Redactor::standard(), 1 << 20);
            let written = body.to_string();
            let out = String::from_utf8(scrubber.bytes("s", written.as_bytes()).into_owned()).expect("text");
            let read: serde_json::Value = serde_json::from_str(&out).expect("JSON stays JSON");
            assert!(out.contains("toolu_01A09q90qw90lq917835lq9"), "{out}");
            let said =
                ["/tool_response/stdout", "/messages/0/content/0/content", "/message/content/0/content"];
            let said = said.iter().find_map(|at| read.pointer(at)?.as_str()).expect("the text's place");
            if case.secrets.iter().any(|secret| leaks(said, secret)) {
                wrong.push(format!("{}: {said:?}", case.what));
            } else {
                clean += 1;
            }
            for keep in &case.keeps {
                words += 1;
                kept += usize::from(said.contains(keep.as_str()));
            }
        }
    }
    println!("captured, clean: {clean} of {all} bodies, {:.2} %", percent(clean, all));
    println!("captured, context: {kept} of {words} pieces kept, {:.2} %", percent(kept, words));
    for line in wrong.iter().take(60) {
        println!("  {line}");
    }
    assert!(percent(clean, all) >= 97.0 && percent(kept, words) >= 97.0);
}

#[test]
fn what_is_captured_and_clean_stays_as_it_is() {
    let scrubber = Scrubber::new(Redactor::standard(), 4 << 20);
    let texts: Vec<String> = (0..4).flat_map(clean::texts).collect();
    let mut changed = Vec::new();
    let mut all = 0;
    for body in texts.iter().flat_map(|text| bodies(text)) {
        all += 1;
        let body = body.to_string();
        if !scrubber.edits("s", body.as_bytes()).is_empty() {
            changed.push(body);
        }
    }
    println!("captured, false positives: {} of {all}, {:.2} %", changed.len(), percent(changed.len(), all));
    for line in changed.iter().take(20) {
        println!("  {line}");
    }
    assert!(percent(changed.len(), all) <= 1.0);
}
