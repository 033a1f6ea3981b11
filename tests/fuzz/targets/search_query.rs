//! Search queries: any text is words or refused, and what they find in a text is never missed in the JSON that holds it.
#![no_main]

use ccd::query::search::words::{Manner, Words};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((flags, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let (query, text) = text.split_once('\n').unwrap_or((&text, &text));
    let manner = Manner { regex: flags & 1 != 0, case: flags & 2 != 0 };
    let Ok(words) = Words::parse(query, manner) else { return };
    let found = words.in_text(text);
    assert_eq!(found & !words.all(), 0);
    for json in [serde_json::to_vec(text), serde_json::to_vec(&serde_json::json!({"a": [1, text, "b"]}))] {
        assert_eq!(found & !words.in_json(&json.unwrap_or_default()), 0, "{query:?}");
    }
    let _ = words.in_json(rest);
});
