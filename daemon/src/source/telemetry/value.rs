//! OTLP's values as plain JSON: what a record of telemetry holds, and people read.
//!
//! Types stay apart as JSON keeps them apart: text, truth, whole numbers, floats, lists, objects. Bytes become
//! `{"hex": …}`; floats that JSON has not become texts.

use ccd_otlp::{AnyValue, KeyValue, Value as Otlp};
use serde_json::{Map, Number, Value};

/// A value.
pub(super) fn json(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => Value::Null,
        Some(Otlp::String(text)) => Value::String(text.clone()),
        Some(Otlp::Bool(truth)) => Value::Bool(*truth),
        Some(Otlp::Int(number)) => Value::from(*number),
        Some(Otlp::Double(number)) => {
            Number::from_f64(*number).map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        Some(Otlp::Array(list)) => list.values.iter().map(|value| json(Some(value))).collect(),
        Some(Otlp::Kvlist(pairs)) => object(&pairs.values),
        Some(Otlp::Bytes(bytes)) => serde_json::json!({ "hex": hex(bytes) }),
    }
}

/// Attributes. Of a name that stands twice, the first counts, as everywhere.
pub(super) fn object(pairs: &[KeyValue]) -> Value {
    let mut out = Map::new();
    for pair in pairs {
        if !out.contains_key(&pair.key) {
            out.insert(pair.key.clone(), json(pair.value.as_ref()));
        }
    }
    Value::Object(out)
}

/// An id in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        out
    })
}
