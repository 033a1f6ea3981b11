//! Small things about captured text: previews for lists, and hashes to recognise it again.

use serde_json::Value;

/// Characters kept of a text for a list.
const PREVIEW: usize = 200;

/// The first words of a text. Control characters stay: whoever shows it makes them visible.
#[must_use]
pub fn preview(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(PREVIEW) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A hash by which a text is recognised, surrounding blanks aside.
#[must_use]
pub fn text_hash(text: &str) -> u64 {
    let hash = blake3::hash(text.trim().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// Members of a tool's input that tell what a call does; the first that is there tells most.
pub(super) const TELLING: [&str; 12] = [
    "command",
    "file_path",
    "notebook_path",
    "path",
    "pattern",
    "url",
    "query",
    "description",
    "prompt",
    "subject",
    "skill",
    "name",
];

/// One line that tells what a tool call does: its command, path, pattern, question or prompt.
#[must_use]
pub fn tool_summary(input: &Value) -> Option<String> {
    let object = input.as_object()?;
    let known = TELLING.iter().find_map(|key| object.get(*key)?.as_str());
    let any = || object.values().find_map(Value::as_str);
    known.or_else(any).map(preview).filter(|s| !s.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn previews_are_cut_at_characters() {
        assert_eq!(preview(&"é".repeat(300)).chars().count(), PREVIEW + 1);
        assert_eq!(preview("  short \n"), "short");
    }

    #[test]
    fn summaries_prefer_what_tells_most() {
        let s = |v: Value| tool_summary(&v);
        assert_eq!(s(json!({"description":"d","command":"ls"})).as_deref(), Some("ls"));
        assert_eq!(s(json!({"odd":"value"})).as_deref(), Some("value"));
        assert_eq!(s(json!({"n":1})), None);
        assert_eq!(s(json!("text")), None);
    }
}
