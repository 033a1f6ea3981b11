//! Redaction of any bytes: never a panic, twice is once, JSON stays JSON of the same shape; and what is captured is scrubbed
//! the same whether it was seen before or not.
#![no_main]

use ccd_redact::{Redactor, Scrubber, apply};
use serde_json::Value;

fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(_), Value::String(_)) => true,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len(),
        (a, b) => a == b,
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let redactor = Redactor::standard();
    let once = redactor.bytes(bytes).into_owned();
    assert_eq!(redactor.bytes(&once).as_ref(), once);
    if let Ok(before) = serde_json::from_slice::<Value>(bytes) {
        let after: Value = serde_json::from_slice(&once).expect("JSON stays JSON");
        assert!(same_shape(&before, &after));
        let mut changed = before.clone();
        redactor.value(&mut changed);
        assert!(same_shape(&before, &changed));
    }
    // Two are alike in what they know, and one of them remembers nothing else.
    let (remembering, forgetting) = (Scrubber::new(redactor.clone(), 1 << 20), Scrubber::new(redactor.clone(), 0));
    for _ in 0..2 {
        let edits = remembering.edits("s", bytes);
        assert_eq!(edits, forgetting.edits("s", bytes));
        let scrubbed = apply(bytes, &edits);
        assert_eq!(remembering.edits("s", &scrubbed), []);
        if let Ok(before) = serde_json::from_slice::<Value>(bytes) {
            let after: Value = serde_json::from_slice(&scrubbed).expect("JSON stays JSON");
            assert!(same_shape(&before, &after));
        }
    }
});
