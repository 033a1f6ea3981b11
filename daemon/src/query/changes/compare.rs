//! Two requests to the Messages API, compared. Pure.
//!
//! What is equal byte for byte is never built; what is not is compared as the API reads it: without the marks that say what
//! is to be cached, which move on with each request, and with a text by itself like a list of one text block, which is what
//! a text becomes when it is marked.
//!
//! Total over any JSON object; what is not what it should be is compared as it is.

use std::collections::{BTreeMap, HashMap};

use ccd_proto::api::{Change, RequestChanges};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A request, in its parts.
#[derive(Debug, Default)]
pub(super) struct Sent<'a> {
    system: Vec<&'a RawValue>,
    tools: Vec<&'a RawValue>,
    messages: Vec<&'a RawValue>,
    settings: BTreeMap<String, &'a RawValue>,
}

impl<'a> Sent<'a> {
    /// Reads a body; what is wrong with it where it is no JSON object.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, String> {
        let mut settings: BTreeMap<String, &'a RawValue> =
            serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let mut list = |name: &str| settings.remove(name).map(elements).unwrap_or_default();
        let (system, tools, messages) = (list("system"), list("tools"), list("messages"));
        Ok(Sent { system, tools, messages, settings })
    }
}

/// A list's elements; of anything else, that itself; of null, nothing.
fn elements(value: &RawValue) -> Vec<&RawValue> {
    match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        Ok(list) => list,
        Err(_) if value.get() == "null" => Vec::new(),
        Err(_) => vec![value],
    }
}

/// Of a message, who said it.
#[derive(serde::Deserialize)]
struct Message {
    role: String,
}

/// How much may still be sent.
pub(super) struct Room(usize);

impl Room {
    pub(super) fn of(bytes: usize) -> Self {
        Room(bytes)
    }

    /// A value, or what stands for it where there is no room.
    fn value(&mut self, raw: &RawValue) -> Value {
        let text = raw.get();
        if let Some(left) = self.0.checked_sub(text.len()) {
            self.0 = left;
            // Deeper than anything is read: as text.
            return serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        }
        match serde_json::from_str::<Message>(text) {
            Ok(Message { role }) => json!({"role": role, "left_out_bytes": text.len()}),
            Err(_) => json!({"left_out_bytes": text.len()}),
        }
    }

    fn change(
        &mut self,
        name: impl Into<String>,
        before: Option<&RawValue>,
        after: Option<&RawValue>,
    ) -> Change {
        let what = match (before, after) {
            (None, _) => "added",
            (Some(_), None) => "removed",
            _ => "changed",
        };
        let before = before.map(|raw| self.value(raw));
        let after = after.map(|raw| self.value(raw));
        Change { name: name.into(), what: what.into(), before, after }
    }
}

/// Settings by which the API keeps caches apart.
const APART: [&str; 3] = ["model", "thinking", "tool_choice"];
/// How a system block begins that tells the API who asks: it is no part of what is cached.
const BILLING: &str = "x-anthropic-billing-header:";

/// What the later request has that the earlier one had not; without an earlier one, all of it.
pub(super) fn compare(before: Option<&Sent<'_>>, after: &Sent<'_>, room: &mut Room) -> RequestChanges {
    let none = Sent::default();
    let is_first = before.is_none();
    let before = before.unwrap_or(&none);
    let kept = before.messages.iter().zip(&after.messages).take_while(|(a, b)| same(a, b)).count();
    let mut changes = RequestChanges { kept_messages: kept as u64, ..RequestChanges::default() };
    let mut broken = kept == 0 && !before.messages.is_empty();
    for at in 0..before.system.len().max(after.system.len()) {
        let (a, b) = (before.system.get(at).copied(), after.system.get(at).copied());
        if !alike(a, b) {
            broken |= ![a, b].into_iter().flatten().all(is_billing);
            changes.system.push(room.change(format!("system {}", at + 1), a, b));
        }
    }
    tools(before, after, room, &mut changes.tools);
    broken |= !changes.tools.is_empty();
    let names =
        before.settings.keys().chain(after.settings.keys().filter(|k| !before.settings.contains_key(*k)));
    for name in names {
        let (a, b) = (before.settings.get(name).copied(), after.settings.get(name).copied());
        if !alike(a, b) {
            broken |= APART.contains(&name.as_str());
            changes.settings.push(room.change(name.as_str(), a, b));
        }
    }
    // What is new comes first where there is not room for everything.
    changes.added = after.messages[kept..].iter().map(|raw| room.value(raw)).collect();
    changes.dropped = before.messages[kept..].iter().map(|raw| room.value(raw)).collect();
    changes.cache_broken = broken && !is_first;
    changes
}

fn tools(before: &Sent<'_>, after: &Sent<'_>, room: &mut Room, changes: &mut Vec<Change>) {
    let list = |tools: &[&'_ RawValue]| -> Vec<String> { tools.iter().map(|raw| tool_name(raw)).collect() };
    let (old, new) = (list(&before.tools), list(&after.tools));
    let of_old: HashMap<&str, &RawValue> =
        old.iter().map(String::as_str).zip(before.tools.iter().copied()).collect();
    let of_new: HashMap<&str, &RawValue> =
        new.iter().map(String::as_str).zip(after.tools.iter().copied()).collect();
    for name in &new {
        let (a, b) = (of_old.get(name.as_str()).copied(), of_new.get(name.as_str()).copied());
        if !alike(a, b) {
            changes.push(room.change(name.as_str(), a, b));
        }
    }
    for name in old.iter().filter(|name| !of_new.contains_key(name.as_str())) {
        changes.push(room.change(name.as_str(), of_old.get(name.as_str()).copied(), None));
    }
    if changes.is_empty() && old != new {
        let names = |names: Vec<String>| Some(Value::from(names));
        let (before, after) = (names(old), names(new));
        changes.push(Change { name: "(order)".into(), what: "changed".into(), before, after });
    }
}

/// A tool's name; what has none is named by what it is.
fn tool_name(raw: &RawValue) -> String {
    #[derive(serde::Deserialize)]
    struct Tool {
        name: String,
    }
    match serde_json::from_str::<Tool>(raw.get()) {
        Ok(tool) => tool.name,
        Err(_) => raw.get().chars().take(100).collect(),
    }
}

fn is_billing(block: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Block {
        text: String,
    }
    serde_json::from_str::<Block>(block.get()).is_ok_and(|block| block.text.starts_with(BILLING))
}

fn alike(a: Option<&RawValue>, b: Option<&RawValue>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Whether two values say the same to the model.
fn same(a: &RawValue, b: &RawValue) -> bool {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    a.get() == b.get() || matches!((value(a), value(b)), (Some(a), Some(b)) if same_value(&a, &b))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let said = |of: &serde_json::Map<String, Value>| of.keys().filter(|key| *key != MARK).count();
            let in_both = |(key, value): (&String, &Value)| {
                key == MARK
                    || b.get(key).is_some_and(|other| {
                        same_value(value, other) || (key == "content" && same_text(value, other))
                    })
            };
            said(a) == said(b) && a.iter().all(in_both)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        _ => a == b,
    }
}

/// The member that says what is to be cached.
const MARK: &str = "cache_control";

/// Whether one is a text and the other the same text as the only block of a list.
fn same_text(a: &Value, b: &Value) -> bool {
    let only = |list: &Value| -> Option<String> {
        let [Value::Object(block)] = list.as_array()?.as_slice() else { return None };
        let bare = block.keys().all(|key| ["type", "text", MARK].contains(&key.as_str()));
        let is_text = block.get("type").and_then(Value::as_str) == Some("text");
        block.get("text")?.as_str().filter(|_| bare && is_text).map(str::to_owned)
    };
    match (a, b) {
        (Value::String(text), list) | (list, Value::String(text)) => only(list).as_ref() == Some(text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(before: &Value, after: &Value) -> RequestChanges {
        let (before, after) = (before.to_string(), after.to_string());
        let before = Sent::read(before.as_bytes()).unwrap();
        compare(Some(&before), &Sent::read(after.as_bytes()).unwrap(), &mut Room::of(1 << 20))
    }

    fn names(changes: &[Change]) -> Vec<String> {
        changes.iter().map(|c| format!("{} {}", c.what, c.name)).collect()
    }

    fn base() -> Value {
        json!({"model":"m","max_tokens":9,"system":[{"type":"text","text":"You are"}],
            "tools":[{"name":"Bash","input_schema":{"a":1}},{"name":"Read"}],
            "messages":[{"role":"user","content":"go"},{"role":"assistant","content":[{"type":"text","text":"on"}]}]})
    }

    #[test]
    fn what_is_added_is_told_and_where_the_cache_ends_is_not_a_change() {
        let mut before = base();
        before["messages"][1]["content"][0]["cache_control"] = json!({"type":"ephemeral"});
        before["messages"][0]["content"] =
            json!([{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]);
        before["system"][0]["cache_control"] = json!({"type":"ephemeral"});
        let mut after = base();
        after["messages"].as_array_mut().unwrap().push(json!({"role":"user","content":"more"}));
        let changes = of(&before, &after);
        assert_eq!((changes.kept_messages, changes.dropped.len(), changes.cache_broken), (2, 0, false));
        assert_eq!(changes.added, [json!({"role":"user","content":"more"})]);
        assert!(changes.system.is_empty() && changes.tools.is_empty() && changes.settings.is_empty());
    }

    #[test]
    fn what_comes_before_the_first_new_message_breaks_the_cache() {
        let mut after = base();
        after["tools"] = json!([{"name":"Bash","input_schema":{"a":2}},{"name":"Write"}]);
        after["system"] = json!([{"type":"text","text":"You were"},{"type":"text","text":"x"}]);
        after["temperature"] = json!(1);
        let changes = of(&base(), &after);
        assert_eq!(names(&changes.tools), ["changed Bash", "added Write", "removed Read"]);
        assert_eq!(names(&changes.system), ["changed system 1", "added system 2"]);
        assert_eq!(names(&changes.settings), ["added temperature"]);
        assert_eq!(changes.tools[0].before, Some(json!({"name":"Bash","input_schema":{"a":1}})));
        assert!(changes.cache_broken);
        let only = |change: &dyn Fn(&mut Value)| {
            let mut after = base();
            change(&mut after);
            of(&base(), &after)
        };
        assert!(!only(&|v| v["max_tokens"] = json!(10)).cache_broken);
        assert!(only(&|v| v["model"] = json!("n")).cache_broken);
        let order = only(&|v| v["tools"].as_array_mut().unwrap().reverse());
        assert_eq!((names(&order.tools), order.cache_broken), (vec!["changed (order)".to_owned()], true));
        let rewritten = only(&|v| v["messages"][0]["content"] = json!("a summary"));
        assert_eq!((rewritten.dropped.len(), rewritten.added.len(), rewritten.cache_broken), (2, 2, true));
        let tail = only(&|v| v["messages"][1] = json!({"role":"assistant","content":"off"}));
        assert_eq!((tail.kept_messages, tail.dropped.len(), tail.cache_broken), (1, 1, false));
    }

    #[test]
    fn who_asks_is_no_part_of_what_is_cached() {
        let with = |n: u8| {
            let mut v = base();
            v["system"][0]["text"] = json!(format!("{BILLING} cch={n}"));
            v
        };
        let changes = of(&with(1), &with(2));
        assert_eq!((changes.system.len(), changes.cache_broken), (1, false));
    }

    #[test]
    fn everything_of_the_first_is_new() {
        let sent = base().to_string();
        let changes = compare(None, &Sent::read(sent.as_bytes()).unwrap(), &mut Room::of(1 << 20));
        assert_eq!((changes.added.len(), changes.tools.len(), changes.settings.len()), (2, 2, 2));
        assert!(!changes.cache_broken);
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out_and_says_so() {
        let sent = base().to_string();
        let changes = compare(None, &Sent::read(sent.as_bytes()).unwrap(), &mut Room::of(20));
        let size = json!({"role":"user","content":"go"}).to_string().len();
        assert_eq!(changes.added[0], json!({"role":"user","left_out_bytes":size}));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in ["", "[]", "{", "nonsense", "{\"a\":1} x", "\u{feff}{}"] {
            assert!(Sent::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Sent::read(br#"{"messages":7,"system":"text","tools":null}"#).is_ok());
    }

    fn message() -> impl Strategy<Value = Value> {
        ("[ab]{1,2}", any::<bool>()).prop_map(|(text, marked)| {
            if marked {
                json!({"role":"user","content":[{"type":"text","text":text,"cache_control":{}}]})
            } else {
                json!({"role":"user","content":text})
            }
        })
    }

    proptest! {
        #[test]
        fn kept_and_added_are_the_later_request(
            old in proptest::collection::vec(message(), 0..6), new in proptest::collection::vec(message(), 0..6),
        ) {
            let changes = of(&json!({"messages":old}), &json!({"messages":new}));
            let kept = usize::try_from(changes.kept_messages).unwrap();
            prop_assert_eq!(&changes.added, &new[kept..]);
            prop_assert_eq!(&changes.dropped, &old[kept..]);
            prop_assert!(old.iter().zip(&new).take(kept).all(|(a, b)| same_value(a, b)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Sent::read(&bytes);
        }
    }
}
