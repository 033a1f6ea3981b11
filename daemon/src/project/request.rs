//! What a request to the Messages API tells beyond its answer: the model asked for, the new user text, the tool
//! results it brings (the only closing record of a denied or interrupted call), and what the request is for.
//!
//! Reads the tail of the conversation only: the history before the last assistant message was told already.
//! Total over any bytes; members that are not what they should be count as absent.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::charge::Part;
use super::members::Members;
use super::text::{preview, text_hash};

/// A tool result, as the client sends it back to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The call that it answers.
    pub tool_use_id: String,
    /// The client's own mark.
    pub is_error: bool,
    /// The call never ran: a rule, the user or a classifier said no.
    pub denied: bool,
    /// First words.
    pub preview: String,
}

/// What a request is for. No header names it, so it is read off the request's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The main conversation.
    Main,
    /// A subagent's conversation.
    Subagent,
    /// The session's title.
    Title,
    /// A summary to make room in the context.
    Compaction,
    /// Counting, not answering.
    CountTokens,
    /// The web search that a tool call asks for.
    WebSearch,
    /// Another model call beside the conversation: classifiers, prompt hooks.
    Side,
    /// Not a call of the Messages API.
    #[default]
    Other,
}

impl Purpose {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Main => "main",
            Purpose::Subagent => "subagent",
            Purpose::Title => "title",
            Purpose::Compaction => "compaction",
            Purpose::CountTokens => "count_tokens",
            Purpose::WebSearch => "web_search",
            Purpose::Side => "side",
            Purpose::Other => "other",
        }
    }

    /// The inverse of [`Purpose::as_str`].
    #[must_use]
    pub fn parse(name: &str) -> Self {
        [
            Purpose::Main,
            Purpose::Subagent,
            Purpose::Title,
            Purpose::Compaction,
            Purpose::CountTokens,
            Purpose::WebSearch,
            Purpose::Side,
        ]
        .into_iter()
        .find(|p| p.as_str() == name)
        .unwrap_or_default()
    }

    /// Whether it is a call of a model.
    #[must_use]
    pub fn is_model_call(self) -> bool {
        !matches!(self, Purpose::CountTokens | Purpose::Other)
    }
}

/// What a request tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// The model asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Results in the conversation's tail.
    pub tool_results: Vec<ToolResult>,
    /// First words of the tail's user text, where it brings no tool results: a new prompt.
    pub prompt: Option<String>,
    /// Hashes of the tail's user texts, to recognise a subagent by the prompt it was started with.
    pub text_hashes: Vec<u64>,
    /// What the request is for, as far as the body tells.
    pub purpose: Purpose,
    /// The results, as what they added to the context. Named by the calls in the message before.
    pub brought: Vec<Part>,
    /// Bytes of everything in the tail.
    pub fresh_bytes: u64,
}

/// Reads a body of `POST …/v1/messages`.
#[must_use]
pub fn read(body: &Members<'_>) -> RequestFacts {
    let mut facts = RequestFacts {
        model: parse(body.model),
        stream: parse(body.stream).unwrap_or(false),
        purpose: Purpose::Main,
        ..RequestFacts::default()
    };
    let mut tail: Vec<Value> = Vec::new();
    let mut called: Vec<(String, String)> = Vec::new();
    for message in body.tail.iter().rev() {
        let Ok(message) = serde_json::from_str::<Value>(message.get()) else { break };
        match message.get("role").and_then(Value::as_str) {
            Some("assistant") => {
                called = calls(&message);
                break;
            }
            _ => tail.push(message),
        }
    }
    tail.reverse();
    // Texts are moved, not copied: one of them may be most of a body of many megabytes.
    let mut texts: Vec<String> = Vec::new();
    for mut message in tail.into_iter().filter(|m| m.get("role").and_then(Value::as_str) == Some("user")) {
        match message.get_mut("content").map(Value::take) {
            Some(Value::String(text)) => {
                facts.fresh_bytes += text.len() as u64;
                texts.push(text);
            }
            Some(Value::Array(blocks)) => {
                for mut block in blocks {
                    match block.get("type").and_then(Value::as_str) {
                        Some("text") => {
                            if let Some(Value::String(text)) = block.get_mut("text").map(Value::take) {
                                facts.fresh_bytes += text.len() as u64;
                                texts.push(text);
                            }
                        }
                        Some("tool_result") => {
                            let bytes = block.get("content").map_or(0, json_bytes);
                            facts.fresh_bytes += bytes;
                            facts.tool_results.extend(tool_result(&block));
                            facts.brought.extend(block.get("tool_use_id").and_then(Value::as_str).map(
                                |id| {
                                    let of = called.iter().find(|(call, _)| call == id);
                                    let tool = of.map(|(_, tool)| tool.clone()).unwrap_or_default();
                                    Part { tool_use_id: id.to_owned(), tool, bytes }
                                },
                            ));
                        }
                        _ => facts.fresh_bytes += json_bytes(&block),
                    }
                }
            }
            _ => {}
        }
    }
    facts.text_hashes = texts.iter().map(|t| text_hash(t)).collect();
    facts.purpose = purpose(body, &texts);
    if facts.tool_results.is_empty() {
        // The client's own reminders come as further text blocks, before or after what was typed.
        let typed = |t: &&String| !t.trim_start().starts_with("<system-reminder>");
        facts.prompt = texts.iter().rev().find(typed).map(|t| preview(t));
    }
    facts
}

/// The calls in a message: their ids and tools.
fn calls(message: &Value) -> Vec<(String, String)> {
    let blocks = message.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let text = |block: &Value, key: &str| block.get(key).and_then(Value::as_str).map(str::to_owned);
    let of = blocks.iter().filter(|b| b.get("type").and_then(Value::as_str) == Some("tool_use"));
    of.filter_map(|b| Some((text(b, "id")?, text(b, "name")?))).collect()
}

/// How many bytes a value is as JSON.
#[must_use]
pub fn json_bytes(value: &Value) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

fn parse<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn tool_result(block: &Value) -> Option<ToolResult> {
    let text = block.get("content").map(content_text).unwrap_or_default();
    let is_error = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
    Some(ToolResult {
        tool_use_id: block.get("tool_use_id")?.as_str()?.to_owned(),
        is_error,
        denied: is_error && is_denial(&text),
        preview: preview(&text),
    })
}

/// The text of a content member: a string, or the text blocks of a list.
#[must_use]
pub fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().filter_map(|b| b.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// Whether an error result says that the call was not allowed to run. The wordings are the client's own
/// (2.1.197 and 2.1.329): no field of the API tells a denial from a failure.
#[must_use]
pub fn is_denial(text: &str) -> bool {
    text.starts_with("The user doesn't want to proceed with this tool use")
        || text.contains("you haven't granted it yet")
        || (text.len() < 200 && text.contains(" requires approval"))
        || ((text.starts_with("Permission to use ") || text.starts_with("Permission for this "))
            && text.contains(" has been denied"))
        // A hook's decision, ours among them: the call did not run.
        || (text.starts_with("PreToolUse:") && text.contains(" hook error: "))
}

fn purpose(body: &Members<'_>, texts: &[String]) -> Purpose {
    let last = texts.last().map_or("", String::as_str);
    if last.contains("Your task is to create a detailed summary of") {
        return Purpose::Compaction;
    }
    let tools = body.tools.and_then(|t| serde_json::from_str::<Vec<&RawValue>>(t.get()).ok());
    match tools.as_deref() {
        Some([only]) => {
            let only = serde_json::from_str::<Value>(only.get()).unwrap_or_default();
            let kind = only.get("type").and_then(Value::as_str).unwrap_or("");
            if kind.starts_with("web_search") {
                return Purpose::WebSearch;
            }
            Purpose::Main
        }
        Some([_, _, ..]) => Purpose::Main,
        None | Some([]) => {
            let wants_title = body.output_config.is_some_and(|c| c.get().contains("\"title\""));
            let system = body.system.map_or("", RawValue::get);
            if wants_title || system.contains("sentence-case title") || system.contains("session title") {
                Purpose::Title
            } else if system.contains("You are Claude Code") || system.contains("Claude agent") {
                // A session started without tools is a conversation all the same, unless it asks for a schema.
                if body.output_config.is_some_and(|c| c.get().contains("json_schema")) {
                    Purpose::Side
                } else {
                    Purpose::Main
                }
            } else {
                Purpose::Side
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::members;
    use proptest::prelude::*;
    use serde_json::json;

    fn body(messages: &Value) -> Vec<u8> {
        json!({"model":"claude-opus-5-5","stream":true,"tools":[{"name":"Bash"},{"name":"Read"}],"messages":messages})
            .to_string()
            .into_bytes()
    }

    fn facts(body: &[u8]) -> RequestFacts {
        members::read(body).as_ref().map(read).unwrap_or_default()
    }

    #[test]
    fn only_the_tail_is_read() {
        let facts = facts(&body(&json!([
            {"role":"user","content":"first"},
            {"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"out"}]},
            {"role":"assistant","content":[{"type":"tool_use","id":"toolu_2","name":"Bash","input":{}}]},
            {"role":"user","content":[
                {"type":"tool_result","tool_use_id":"toolu_2","is_error":true,
                 "content":[{"type":"text","text":"Permission to use Bash with command rm has been denied."}]},
                {"type":"text","text":"<system-reminder>x</system-reminder>"}]},
        ])));
        assert_eq!(facts.model.as_deref(), Some("claude-opus-5-5"));
        assert!(facts.stream);
        let ids: Vec<_> = facts.tool_results.iter().map(|r| (r.tool_use_id.as_str(), r.denied)).collect();
        assert_eq!(ids, [("toolu_2", true)]);
        assert_eq!(facts.prompt, None);
        assert_eq!(facts.purpose, Purpose::Main);
        assert_eq!((facts.brought.len(), &*facts.brought[0].tool), (1, "Bash"));
        let reminder = "<system-reminder>x</system-reminder>".len() as u64;
        assert_eq!(facts.fresh_bytes, facts.brought[0].bytes + reminder);
    }

    #[test]
    fn the_prompt_is_what_was_typed() {
        let facts = facts(&body(&json!([
            {"role":"user","content":[
                {"type":"text","text":"<system-reminder>context</system-reminder>"},
                {"type":"text","text":"do it"}]},
            {"role":"system","content":"x"},
        ])));
        assert_eq!(facts.prompt.as_deref(), Some("do it"));
    }

    #[test]
    fn denials_are_told_from_failures() {
        assert!(is_denial("Claude requested permissions to use Bash, but you haven't granted it yet."));
        assert!(is_denial("The user doesn't want to proceed with this tool use. The tool use was rejected"));
        assert!(is_denial("This command requires approval"));
        assert!(is_denial("PreToolUse:Bash hook error: This call has been made three times."));
        assert!(!is_denial("Exit code 1\nPreToolUse:Bash hook error: said by a program"));
        assert!(!is_denial("cat: x: Permission denied"));
    }

    #[test]
    fn side_requests_are_known_by_their_shape() {
        let of = |v: Value| facts(v.to_string().as_bytes()).purpose;
        assert_eq!(
            of(json!({"messages":[],"tools":[{"type":"web_search_20250305","name":"web_search"}]})),
            Purpose::WebSearch
        );
        assert_eq!(
            of(
                json!({"messages":[],"tools":[],"output_config":{"format":{"type":"json_schema","schema":{"properties":{"title":{}}}}}})
            ),
            Purpose::Title
        );
        assert_eq!(
            of(
                json!({"tools":[{},{}],"messages":[{"role":"user","content":"Your task is to create a detailed summary of the conversation so far"}]})
            ),
            Purpose::Compaction
        );
        assert_eq!(of(json!({"messages":[],"system":"Classify."})), Purpose::Side);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = facts(&bytes);
        }

        #[test]
        fn any_cut_of_a_body_is_read(n in 0usize..400) {
            let whole = body(&json!([{"role":"user","content":[{"type":"text","text":"hi"}]}]));
            let _ = facts(&whole[..n.min(whole.len())]);
        }
    }
}
