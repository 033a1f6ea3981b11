//! Hook entries in a settings value: ours are known by their command and arguments, because the client drops every
//! field it does not know when it rewrites the file. A hook of the user's that happens to be called `cc-hook` is
//! not ours.

use serde_json::{Map, Value};

use crate::plugin::Hooks;

/// Whether a hook entry is one of ours.
#[must_use]
pub fn is_ours(handler: &Value) -> bool {
    let command = handler.get("command").and_then(Value::as_str).unwrap_or("");
    let args = handler.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // Always both of them: the hook socket, then the spool.
    let [Value::String(socket), Value::String(_)] = args else { return false };
    command.ends_with("/cc-hook") && socket.ends_with("/hook.sock")
}

/// Every hook entry of ours: its event, and the entry.
pub fn ours(settings: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let events = settings.get("hooks").and_then(Value::as_object).into_iter().flatten();
    events.flat_map(|(event, groups)| {
        let groups = groups.as_array().into_iter().flatten();
        let handlers = groups.filter_map(|group| group.get("hooks")?.as_array()).flatten();
        handlers.filter(|handler| is_ours(handler)).map(move |handler| (event.as_str(), handler))
    })
}

/// Takes our entries out and puts the wanted ones in; leaves a value alone that has exactly those.
pub(super) fn merge_value(settings: &mut Map<String, Value>, wanted: Option<&Hooks>) {
    if is_in_force(settings, wanted) {
        return;
    }
    strip_value(settings, wanted.is_some());
    let Some(wanted) = wanted else { return };
    let hooks = settings.entry("hooks").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(hooks) = hooks else { return };
    for event in &wanted.events {
        let groups = hooks.entry(event.clone()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(groups) = groups {
            groups.push(wanted.group());
        }
    }
}

/// Whether our entries in `settings` are exactly the wanted ones.
#[must_use]
pub(super) fn is_in_force(settings: &Map<String, Value>, wanted: Option<&Hooks>) -> bool {
    let mut found: Vec<_> = ours(settings).collect();
    let Some(wanted) = wanted else { return found.is_empty() };
    let handler = wanted.handler();
    let mut events: Vec<_> = wanted.events.iter().map(String::as_str).collect();
    events.sort_unstable();
    found.sort_by_key(|(event, _)| *event);
    found.len() == events.len()
        && found.iter().zip(&events).all(|((event, h), want)| event == want && **h == handler)
}

/// Takes our entries out, with the groups, events and (unless `keep`) the `hooks` key that they leave empty.
pub(super) fn strip_value(settings: &mut Map<String, Value>, keep: bool) {
    let Some(Value::Object(hooks)) = settings.get_mut("hooks") else { return };
    let mut emptied = Vec::new();
    for (event, groups) in hooks.iter_mut() {
        let Value::Array(groups) = groups else { continue };
        let before = groups.len();
        groups.retain_mut(|group| {
            let Some(Value::Array(handlers)) = group.get_mut("hooks") else { return true };
            let before = handlers.len();
            handlers.retain(|handler| !is_ours(handler));
            !(handlers.is_empty() && before > 0)
        });
        if groups.is_empty() && before > 0 {
            emptied.push(event.clone());
        }
    }
    for event in &emptied {
        hooks.remove(event);
    }
    if hooks.is_empty() && !emptied.is_empty() && !keep {
        settings.remove("hooks");
    }
}
