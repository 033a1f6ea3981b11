//! Cuts an answer to the size that was asked for, and says what is missing and how to get it.
//!
//! What is captured is hostile: whatever its size and depth, the result keeps to its budget, and no character in it
//! that hides or reorders text, or that a terminal would act on, is left as it was.

use serde_json::{Map, Value, json};

use super::tools::{BYTES, Shape};
use crate::printer::{visible, visible_block};

/// Fields with what was captured: nothing empty is taken out of them.
const CAPTURED: [&str; 3] = ["input", "output", "message"];
/// How deep our own fields go: a reply, its rows, their groups of figures.
const OWN_DEPTH: usize = 4;
/// The longest key.
const MAX_KEY: usize = 120;

/// How much is left of each thing.
#[derive(Clone, Copy)]
struct Measure {
    /// Bytes of a text.
    text: usize,
    /// Entries of a list or object.
    entries: usize,
    /// Rows of the answer.
    rows: usize,
}

/// From all to next to nothing; the first that fits is taken. Texts go first, rows last.
const MEASURES: [Measure; 13] = [
    Measure { text: usize::MAX, entries: usize::MAX, rows: usize::MAX },
    Measure { text: 8000, entries: 400, rows: usize::MAX },
    Measure { text: 4000, entries: 200, rows: usize::MAX },
    Measure { text: 2000, entries: 200, rows: usize::MAX },
    Measure { text: 1000, entries: 200, rows: usize::MAX },
    Measure { text: 500, entries: 200, rows: usize::MAX },
    Measure { text: 240, entries: 100, rows: usize::MAX },
    Measure { text: 240, entries: 50, rows: 100 },
    Measure { text: 240, entries: 50, rows: 50 },
    Measure { text: 240, entries: 25, rows: 25 },
    Measure { text: 120, entries: 25, rows: 10 },
    Measure { text: 60, entries: 25, rows: 4 },
    Measure { text: 40, entries: 25, rows: 1 },
];

/// The reply with at most about `budget` bytes, `cut` telling what is not in it.
pub fn fit(reply: &Value, shape: Shape, budget: usize, cut: &[String]) -> Value {
    for measure in MEASURES {
        let mut cutter = Cutter { measure, shortened: 0 };
        let mut value = cutter.reply(reply, shape, cut);
        // Room for what is said of the shortened ones.
        if value.to_string().len() <= budget.saturating_sub(200) {
            if cutter.shortened > 0 {
                push(
                    &mut value,
                    format!(
                        "{} texts and lists are shortened (`…[+N]`): `show` one by its id, or raise max_bytes (at most {})",
                        cutter.shortened, BYTES.1
                    ),
                );
            }
            return value;
        }
    }
    let mut value = match shape.rows() {
        Some(key) => json!({key: []}),
        None => json!({"kind": short_key(reply.get("kind").and_then(Value::as_str).unwrap_or_default())}),
    };
    push(&mut value, format!("nothing fits into {budget} bytes: raise max_bytes (at most {})", BYTES.1));
    value
}

fn push(value: &mut Value, sentence: String) {
    match value.get_mut("cut") {
        Some(Value::Array(cut)) => cut.push(sentence.into()),
        _ => value["cut"] = json!([sentence]),
    }
}

/// How to get the rows that are not in an answer with these.
#[must_use]
pub fn beyond(shape: Shape, rows: &[Value]) -> String {
    let oldest = match shape {
        Shape::NewestFirst(_) => rows.last(),
        Shape::NewestLast(_) => rows.first(),
        Shape::Rows(_) | Shape::One => None,
    };
    let at =
        |row: &Value| row.get("started_at").or_else(|| row.get("at")).and_then(Value::as_str).map(visible);
    match oldest.and_then(at) {
        Some(at) => format!("older ones are left out: until={at} goes on from here"),
        None => "some are left out: raise limit or max_bytes, or narrow it down with since, until, session, project"
            .to_owned(),
    }
}

struct Cutter {
    measure: Measure,
    shortened: usize,
}

impl Cutter {
    fn reply(&mut self, reply: &Value, shape: Shape, cut: &[String]) -> Value {
        let Value::Object(fields) = reply else { return self.value(reply) };
        let mut kept = Map::new();
        let mut cut = cut.to_vec();
        for (name, field) in fields {
            let rows = field.as_array().filter(|_| shape.rows() == Some(name));
            if let Some(rows) = rows {
                let left = self.rows(rows, shape);
                if left.len() < rows.len() {
                    // A list that is cut twice goes on from the second cut.
                    cut = vec![beyond(shape, left)];
                }
                kept.insert(name.clone(), left.iter().map(|row| self.own(row, 1)).collect());
            } else if !is_empty(field) {
                kept.insert(visible(name), self.own_field(name, field, 1));
            }
        }
        if !cut.is_empty() {
            kept.insert("cut".into(), json!(cut));
        }
        Value::Object(kept)
    }

    fn rows<'a>(&self, rows: &'a [Value], shape: Shape) -> &'a [Value] {
        let count = rows.len().min(self.measure.rows);
        match shape {
            Shape::NewestLast(_) => &rows[rows.len() - count..],
            _ => &rows[..count],
        }
    }

    /// One of our own objects: what is empty is left out.
    fn own(&mut self, value: &Value, depth: usize) -> Value {
        match value {
            Value::Object(fields) if depth < OWN_DEPTH => {
                let full = fields
                    .iter()
                    .filter(|(name, field)| CAPTURED.contains(&name.as_str()) || !is_empty(field));
                let kept = full.map(|(name, field)| (short_key(name), self.own_field(name, field, depth)));
                Value::Object(kept.collect())
            }
            Value::Array(rows) if depth < OWN_DEPTH => {
                self.entries(rows, |cutter, row| cutter.own(row, depth + 1))
            }
            _ => self.value(value),
        }
    }

    fn own_field(&mut self, name: &str, field: &Value, depth: usize) -> Value {
        if CAPTURED.contains(&name) { self.value(field) } else { self.own(field, depth + 1) }
    }

    /// Anything at all.
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => self.entries(items, Self::value),
            Value::Object(fields) => {
                let mut kept: Map<_, _> = fields
                    .iter()
                    .take(self.measure.entries)
                    .map(|(name, field)| (short_key(name), self.value(field)))
                    .collect();
                let left_out = fields.len().saturating_sub(self.measure.entries);
                if left_out > 0 {
                    self.shortened += 1;
                    kept.insert("…".into(), format!("…[+{left_out}]").into());
                }
                Value::Object(kept)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn entries(&mut self, items: &[Value], each: impl Fn(&mut Self, &Value) -> Value) -> Value {
        let mut kept: Vec<Value> =
            items.iter().take(self.measure.entries).map(|item| each(self, item)).collect();
        let left_out = items.len().saturating_sub(self.measure.entries);
        if left_out > 0 {
            self.shortened += 1;
            kept.push(format!("…[+{left_out}]").into());
        }
        Value::Array(kept)
    }

    fn text(&mut self, text: &str) -> String {
        let kept = head(text, self.measure.text);
        if kept.len() == text.len() {
            return visible_block(text);
        }
        self.shortened += 1;
        format!("{}…[+{}]", visible_block(kept), text.len() - kept.len())
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn short_key(name: &str) -> String {
    visible(head(name, MAX_KEY))
}

/// The first `most` bytes of a text, or a few fewer: no character is cut in two.
fn head(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
