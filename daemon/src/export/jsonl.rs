//! JSON lines: a header, one object per entry, a trailer. `export.schema.json` of `ccd-proto` says what stands in each.
//!
//! Every line opens with `schema_version` and `type`. A file without a trailer was cut off.

use ccd_proto::api::ExportEnd;
use ccd_proto::{SCHEMA_VERSION, VERSION};
use serde_json::{Value, json};

use super::bulk::{About, Content, Form, Made};
use crate::clock::rfc3339;

/// The form.
pub(super) struct Jsonl;

impl Form for Jsonl {
    fn head(&mut self, about: &About<'_>, out: &mut Vec<u8>) {
        let filter = &about.wanted.filter;
        let content = match about.wanted.content {
            Content::None => "none",
            Content::Text => "text",
            Content::Full => "full",
        };
        let head = json!({
            "ccd_version": VERSION,
            "exported_at": about.begun_at,
            "since": filter.since_ns.map(rfc3339),
            "until": filter.until_ns.map(rfc3339),
            "session": filter.session,
            "project": filter.project,
            "limit": (filter.limit != 0).then_some(filter.limit),
            "kinds": about.wanted.kinds(),
            "content": content,
            "redacted": !about.wanted.reveal,
        });
        line("header", &head, out);
    }

    fn entry(&mut self, made: Made, _nth: u64, out: &mut Vec<u8>) {
        line(made.kind, &made.value, out);
    }

    fn tail(&mut self, _about: &About<'_>, end: &ExportEnd, out: &mut Vec<u8>) {
        line("trailer", &serde_json::to_value(end).unwrap_or_default(), out);
    }
}

/// An object as a line, its version and type first.
fn line(kind: &str, value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"schema_version\":{SCHEMA_VERSION},\"type\":\"{kind}\"").as_bytes());
    let members = value.to_string();
    // An object's text is its braces and what is between them.
    match members.strip_prefix('{') {
        Some("}") | None => out.push(b'}'),
        Some(rest) => {
            out.push(b',');
            out.extend_from_slice(rest.as_bytes());
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_is_an_object_whatever_is_in_it(name in "\\PC{0,8}|[\u{0}-\u{1f}\"\\\\\n]{0,8}", text in any::<String>()) {
            prop_assume!(name != "type" && name != "schema_version");
            let value = json!({name.clone(): text.clone()});
            let mut out = Vec::new();
            line("turn", &value, &mut out);
            line("turn", &json!({}), &mut out);
            let out = String::from_utf8(out).unwrap();
            let lines: Vec<&str> = out.split_terminator('\n').collect();
            prop_assert_eq!(lines.len(), 2);
            let read: Value = serde_json::from_str(lines[0]).unwrap();
            prop_assert_eq!(read[&name].as_str(), Some(text.as_str()));
            prop_assert_eq!(&read["type"], "turn");
            let opens = lines[0].starts_with("{\"schema_version\":1,\"type\":\"turn\",");
            prop_assert!(opens);
            prop_assert!(serde_json::from_str::<Value>(lines[1]).is_ok());
        }
    }
}
