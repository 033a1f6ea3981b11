//! The same edits on the text: a concrete syntax tree keeps everything that is not edited, to the byte.
//!
//! Nothing here decides anything. Merging puts in what [`Wanted`] says; stripping brings the text from one
//! value to another. The caller reads the result back and compares.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Map, Value};

use super::Wanted;
use super::hooks::{is_in_force, is_ours};

/// Strict JSON: what Claude Code reads.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Puts everything wanted into the text.
pub(super) fn merge(text: &str, wanted: &Wanted) -> Option<String> {
    let root = CstRootNode::parse(text, &STRICT).ok()?;
    let top = root.object_value()?;
    if !wanted.env.is_empty() {
        let env = top.object_value_or_create("env")?;
        for (key, value) in &wanted.env {
            set(&env, key, &Value::String(value.clone()));
        }
    }
    for (key, value) in &wanted.top {
        set(&top, key, value);
    }
    let value = serde_json::from_str::<Map<String, Value>>(text).ok()?;
    if !is_in_force(&value, wanted.hooks.as_ref()) {
        strip_hooks(&top, wanted.hooks.is_some());
        if let Some(wanted) = &wanted.hooks {
            let hooks = top.object_value_or_create("hooks")?;
            for event in &wanted.events {
                hooks.array_value_or_create(event)?.append(input(&wanted.group()));
            }
        }
    }
    Some(root.to_string())
}

/// Brings a text that says `from` to say `to`, where `to` lacks our keys and hooks, or has earlier values in
/// their place.
pub(super) fn strip(text: &str, from: &Map<String, Value>, to: &Map<String, Value>) -> Option<String> {
    let root = CstRootNode::parse(text, &STRICT).ok()?;
    let top = root.object_value()?;
    strip_hooks(&top, to.contains_key("hooks"));
    for key in from.keys().filter(|key| *key != "hooks") {
        match (key.as_str(), from.get(key), to.get(key)) {
            (_, before, after) if before == after => {}
            ("env", Some(Value::Object(before)), Some(Value::Object(after))) => {
                let env = top.object_value("env")?;
                for name in before.keys().filter(|name| before.get(*name) != after.get(*name)) {
                    change(&env, name, after.get(name))?;
                }
            }
            (_, _, after) => change(&top, key, after)?,
        }
    }
    Some(root.to_string())
}

fn change(object: &CstObject, key: &str, value: Option<&Value>) -> Option<()> {
    match value {
        Some(value) => object.get(key)?.set_value(input(value)),
        None => object.get(key)?.remove(),
    }
    Some(())
}

fn set(object: &CstObject, key: &str, value: &Value) {
    match object.get(key) {
        Some(property) => property.set_value(input(value)),
        None => _ = object.append(key, input(value)),
    }
}

fn strip_hooks(top: &CstObject, keep: bool) {
    let Some(hooks) = top.object_value("hooks") else { return };
    let mut emptied = false;
    for event in hooks.properties() {
        let Some(groups) = event.array_value() else { continue };
        let before = groups.elements().len();
        strip_groups(&groups);
        if before > 0 && groups.elements().is_empty() {
            event.remove();
            emptied = true;
        }
    }
    if emptied
        && !keep
        && hooks.properties().is_empty()
        && let Some(property) = top.get("hooks")
    {
        property.remove();
    }
}

fn strip_groups(groups: &CstArray) {
    for group in groups.elements() {
        let Some(handlers) = group.as_object().and_then(|group| group.array_value("hooks")) else { continue };
        let ours: Vec<CstNode> = handlers
            .elements()
            .into_iter()
            .filter(|handler| {
                serde_json::from_str(&handler.to_string()).is_ok_and(|value: Value| is_ours(&value))
            })
            .collect();
        if ours.is_empty() {
            continue;
        }
        if ours.len() == handlers.elements().len() {
            group.remove();
        } else {
            ours.into_iter().for_each(CstNode::remove);
        }
    }
}

/// A value for the tree. A hook entry's keys come in the order that people know them in.
fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(b) => CstInputValue::Bool(*b),
        Value::Number(n) => CstInputValue::Number(n.to_string()),
        Value::String(s) => CstInputValue::String(s.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(map) => {
            let rank = |key: &str| {
                ["type", "command", "args", "timeout"].iter().position(|k| *k == key).unwrap_or(9)
            };
            let mut entries: Vec<_> = map.iter().map(|(k, v)| (k.clone(), input(v))).collect();
            entries.sort_by_key(|(k, _)| rank(k));
            CstInputValue::Object(entries)
        }
    }
}
