//! JSON values: every string looked at under its name, so that structure stays and a value without a form of its own is
//! known by where it stands.
//!
//! Members are never added or taken away. Numbers stay: a mark in their place would be of another type.

use serde_json::{Map, Value};

use crate::found::{Found, Rank, merged};
use crate::plausible::is_placeholder;
use crate::recur::{self, Known};
use crate::{Redactor, assign, engine, hand};

/// How often a value is looked through until nothing more is found.
const ROUNDS: usize = 3;

pub(crate) fn value(redactor: &Redactor, value: &mut Value) -> usize {
    let mut count = 0;
    for _ in 0..ROUNDS {
        let mut walk = Walk { redactor, known: Known::default(), count: 0 };
        walk.value(None, value);
        if walk.count == 0 {
            break;
        }
        count += walk.count;
        if !walk.known.is_empty() {
            count += again(redactor, &walk.known, value);
        }
    }
    count
}

/// What is found in a text that stands under a name.
pub(crate) fn find_named(redactor: &Redactor, name: &str, text: &str) -> Vec<Found> {
    let mut found = redactor.engine.find(text);
    let before = found.len();
    let lower = name.to_ascii_lowercase();
    if let Some((range, rule)) = assign::member(name, text) {
        found.push(Found::new(range.clone(), rule, &text[range], Rank::Name));
    }
    if matches!(lower.as_str(), "cookie" | "set-cookie") {
        let mut ranges = Vec::new();
        hand::cookie_pairs(text, 0..text.len(), &mut ranges);
        found.extend(
            ranges.into_iter().map(|range| Found::new(range.clone(), "cookie", &text[range], Rank::Form)),
        );
    }
    if matches!(lower.as_str(), "authorization" | "proxy-authorization") {
        let start = text.find(' ').map_or(0, |blank| blank + 1);
        let value = &text[start..];
        if value.len() >= 6 && !is_placeholder(value) {
            found.push(Found::new(start..text.len(), "authorization-header", value, Rank::Form));
        }
    }
    let mut at = 0;
    found.retain(|one| {
        at += 1;
        at <= before || !(redactor.engine.is_allowed(&one.rule, &one.value) || redactor.is_marked(&one.value))
    });
    if found.len() > before {
        // No escape may be cut.
        let layers = engine::layers(text);
        for one in &mut found[before..] {
            one.range = engine::outermost(text, &layers, 0, one.range.clone());
        }
    }
    merged(text, found)
}

struct Walk<'a> {
    redactor: &'a Redactor,
    known: Known,
    count: usize,
}

impl Walk<'_> {
    fn value(&mut self, name: Option<&str>, value: &mut Value) {
        match value {
            Value::String(text) => self.string(name, text),
            Value::Array(items) => {
                self.lines(items);
                for item in items {
                    self.value(None, item);
                }
            }
            Value::Object(members) => self.object(members),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A list of strings may be the lines of one text, as differences and notebooks have it: what goes over several of them
    /// is seen only in the whole. The list keeps its length.
    fn lines(&mut self, items: &mut [Value]) {
        if items.len() < 2 || !items.iter().all(Value::is_string) {
            return;
        }
        let lines: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        // A line with a break in it would be counted as two.
        if lines.iter().any(|line| line.trim_end_matches('\n').contains('\n')) {
            return;
        }
        let mut joined = String::new();
        for line in lines {
            joined.push_str(line.trim_end_matches('\n'));
            joined.push('\n');
        }
        let mut found = self.redactor.engine.find(&joined);
        found.retain(|one| one.value.trim_end().contains('\n') && !self.redactor.is_marked(&one.value));
        self.count += found.len();
        for one in &found {
            let before = &joined[..one.range.start];
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            let end = one.range.start + one.value.trim_end().len();
            let (first, last) = (before.matches('\n').count(), joined[..end].matches('\n').count());
            let rest = joined[end..].split('\n').next().unwrap_or_default();
            let whole = Found { range: 0..one.value.len(), ..one.clone() };
            let mark = self.redactor.replaced(&one.value, &[whole]);
            for (at, item) in items.iter_mut().enumerate().take(last + 1).skip(first) {
                *item = Value::String(match at {
                    _ if at == first => format!("{}{mark}", &before[start..]),
                    _ if at == last => rest.to_owned(),
                    _ => String::new(),
                });
            }
        }
    }

    fn string(&mut self, name: Option<&str>, text: &mut String) {
        let found = match name {
            Some(name) => find_named(self.redactor, name, text),
            None => self.redactor.engine.find(text),
        };
        self.replace(text, found);
    }

    fn replace(&mut self, text: &mut String, mut found: Vec<Found>) {
        found.retain(|one| !self.redactor.is_marked(&one.value));
        if found.is_empty() {
            return;
        }
        self.count += found.len();
        for one in &found {
            self.known.add(one);
        }
        *text = self.redactor.replaced(text, &found);
    }

    fn object(&mut self, members: &mut Map<String, Value>) {
        let kube = members.get("kind").and_then(Value::as_str) == Some("Secret");
        // `{"name": "DB_PASSWORD", "value": "x"}`, as containers and recordings of HTTP write it.
        let told = ["name", "key", "Name", "Key"]
            .iter()
            .find_map(|key| members.get(*key)?.as_str().map(str::to_owned));
        let mut renamed = false;
        for (key, value) in members.iter_mut() {
            renamed |= !self.redactor.engine.find(key).is_empty();
            let pair = matches!(key.as_str(), "value" | "Value");
            match value {
                Value::Object(data) if kube && matches!(key.as_str(), "data" | "stringData") => {
                    self.kube(data);
                }
                value => self.value(if pair { told.as_deref().or(Some(key)) } else { Some(key) }, value),
            }
        }
        if renamed {
            self.rename(members);
        }
    }

    fn kube(&mut self, data: &mut Map<String, Value>) {
        for text in data.values_mut() {
            if let Value::String(text) = text
                && text.len() >= 4
                && !is_placeholder(text)
            {
                let found = vec![Found::new(0..text.len(), "kubernetes-secret", text, Rank::Form)];
                self.replace(text, found);
            } else {
                self.value(None, text);
            }
        }
    }

    /// Names that hold credentials themselves.
    fn rename(&mut self, members: &mut Map<String, Value>) {
        for (key, value) in std::mem::take(members) {
            let mut name = key;
            let found = self.redactor.engine.find(&name);
            self.replace(&mut name, found);
            while members.contains_key(&name) {
                name.push('+');
            }
            members.insert(name, value);
        }
    }
}

/// Takes out what recurs anywhere in the value.
fn again(redactor: &Redactor, known: &Known, value: &mut Value) -> usize {
    match value {
        Value::String(text) => {
            let mut found = Vec::new();
            recur::again(known, 0, text, &engine::layers(text), &mut found);
            let found = merged(text, redactor.unmarked(found));
            if !found.is_empty() {
                *text = redactor.replaced(text, &found);
            }
            found.len()
        }
        Value::Array(items) => items.iter_mut().map(|item| again(redactor, known, item)).sum(),
        Value::Object(members) => members.values_mut().map(|item| again(redactor, known, item)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
