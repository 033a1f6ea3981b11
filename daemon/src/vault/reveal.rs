//! Marks turned back into what they stand for, for their owner.
//!
//! Only on the control socket, only when asked for, and each token on the audit log. What cannot be had stays a mark.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ccd_vault::{Answer, Name, Vault, VaultError, Who};
use serde_json::Value;
use zeroize::Zeroizing;

/// What opens a mark.
const MARK: &[u8] = b"[redacted:";
/// The longest mark: a rule's id and a name.
const LONGEST: usize = 128;

/// Turns marks back one text after the other, where nobody knows beforehand which there are: a file that is written while it
/// is read. Each token is looked up once, and is on the audit log once.
pub struct Revealer {
    vault: Arc<Vault>,
    who: Who,
    reason: String,
    at: String,
    /// What was looked up; without those that the vault has not.
    known: Mutex<(BTreeSet<Name>, Found)>,
}

impl std::fmt::Debug for Revealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revealer").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Revealer {
    /// For somebody, for a reason, at a time in RFC 3339.
    #[must_use]
    pub fn new(vault: Arc<Vault>, who: Who, reason: String, at: String) -> Self {
        Revealer { vault, who, reason, at, known: Mutex::default() }
    }

    fn with<T>(&self, names: &BTreeSet<Name>, use_them: impl FnOnce(&Found) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new: BTreeSet<Name> = names.difference(&known.0).copied().collect();
        if !new.is_empty() {
            match look_up(&self.vault, new.clone(), &self.who, &self.reason, &self.at) {
                Ok(found) => {
                    known.1.values.extend(found.values);
                    known.1.missing += found.missing;
                }
                // What cannot be put on the audit log is not shown.
                Err(error) => {
                    tracing::error!(%error, "marks stay as they are");
                    known.1.missing += new.len() as u64;
                }
            }
            known.0.extend(new);
        }
        use_them(&known.1)
    }

    /// How many of the tokens so far have no value: their marks stay.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).1.missing
    }

    /// A text that was read: each mark becomes its value, however that was written in what was captured.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if memchr::memmem::find(text.as_bytes(), MARK).is_none() {
            return Cow::Borrowed(text);
        }
        let (mut value, mut names) = (Value::String(text.to_owned()), BTreeSet::new());
        plain(&mut value, &mut names);
        if names.is_empty() {
            return Cow::Borrowed(text);
        }
        self.with(&names, |found| found.value(&mut value));
        match value {
            Value::String(shown) => Cow::Owned(shown),
            _ => Cow::Borrowed(text),
        }
    }

    /// Bytes as they were captured: each mark becomes the bytes that it stands for.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut all = BTreeSet::new();
        names(bytes, &mut all);
        self.with(&all, |found| found.bytes(bytes))
    }
}

/// Values by their names, for as long as one answer is made.
#[derive(Default)]
pub struct Found {
    values: BTreeMap<Name, Zeroizing<Vec<u8>>>,
    /// Names of which there is no value: their marks stay.
    missing: u64,
}

/// The marks with tokens in some bytes: where each lies, and its name.
#[must_use]
pub fn marks(bytes: &[u8]) -> Vec<(std::ops::Range<usize>, Name)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(start) = memchr::memmem::find(&bytes[at..], MARK).map(|found| at + found) {
        at = start + MARK.len();
        let rest = &bytes[at..bytes.len().min(at + LONGEST)];
        let Some(length) = rest.iter().position(|byte| *byte == b']') else { continue };
        let Ok(inside) = str::from_utf8(&rest[..length]) else { continue };
        // A mark without a token is its rule alone.
        if let Some((_, name)) = inside.rsplit_once(':')
            && let Ok(name) = name.parse()
        {
            out.push((start..at + length + 1, name));
            at += length + 1;
        }
    }
    out
}

/// The names in some bytes, and those of the values themselves.
pub fn names(bytes: &[u8], out: &mut BTreeSet<Name>) {
    out.extend(marks(bytes).into_iter().map(|(_, name)| name));
}

/// Looks all of them up, each on the audit log first.
pub fn look_up(
    vault: &Vault,
    names: BTreeSet<Name>,
    who: &Who,
    reason: &str,
    at: &str,
) -> Result<Found, VaultError> {
    let names: Vec<Name> = names.into_iter().collect();
    let answers = vault.look_up(&names, who, reason, at)?;
    let asked = names.len();
    let found = names.into_iter().zip(answers).filter_map(|(name, answer)| match answer {
        Answer::Value(value) => Some((name, value.bytes)),
        _ => None,
    });
    let values: BTreeMap<_, _> = found.collect();
    let missing = (asked - values.len()) as u64;
    Ok(Found { values, missing })
}

impl Found {
    /// How many of the names have no value: it was deleted, or never kept.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// What a mark stands for: the bytes that stood in the text.
    #[must_use]
    pub fn of(&self, mark: &str) -> Option<&str> {
        let name: Name = mark.parse().ok()?;
        str::from_utf8(self.values.get(&name)?).ok()
    }

    /// Bytes with every mark that is known replaced.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for (range, name) in marks(bytes) {
            if let Some(value) = self.values.get(&name) {
                out.extend_from_slice(&bytes[done..range.start]);
                out.extend_from_slice(value);
                done = range.end;
            }
        }
        out.extend_from_slice(&bytes[done..]);
        out
    }

    /// The same in every string of a JSON value.
    pub fn value(&self, value: &mut Value) {
        each(value, &mut |text| {
            if let Ok(shown) = String::from_utf8(self.bytes(text.as_bytes())) {
                *text = shown;
            }
        });
    }
}

/// Has every mark in a JSON value name its value, not the way that it was written in a text that was read since.
pub fn plain(value: &mut Value, out: &mut BTreeSet<Name>) {
    each(value, &mut |text| {
        let found = marks(text.as_bytes());
        for (range, name) in found.into_iter().rev() {
            let bare = Name { variant: None, ..name };
            out.insert(bare);
            if name.variant.is_some() {
                // The variant is the end of the mark, but for its bracket.
                let mark = &text[range.clone()];
                let cut = mark.find('~').map_or(mark.len(), |at| at);
                let bare = format!("{}]", &mark[..cut]);
                text.replace_range(range, &bare);
            }
        }
    });
}

fn each(value: &mut Value, with: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => with(text),
        Value::Array(all) => all.iter_mut().for_each(|one| each(one, with)),
        Value::Object(members) => members.values_mut().for_each(|one| each(one, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_among_anything() {
        let (name, other) = ("abcdefghijklm", "2222222222222~aaaaaaaa");
        let text = format!(
            "[redacted:[redacted:r:{name}] [redacted:only-a-rule]\u{fc}[redacted:x:{other}][redacted:x:y]"
        );
        let found: Vec<(String, String)> = marks(text.as_bytes())
            .into_iter()
            .map(|(range, name)| (text[range].to_owned(), name.to_string()))
            .collect();
        assert_eq!(found[1], (format!("[redacted:x:{other}]"), other.to_owned()));
        assert!(found[0].0.ends_with(&format!("r:{name}]")) && found.len() == 2, "{found:?}");
        for cut in 0..text.len() {
            assert!(marks(&text.as_bytes()[cut..]).len() <= 2);
        }
    }

    #[test]
    fn a_value_that_was_read_loses_its_way_of_writing() {
        let mut value = serde_json::json!({"a": ["x [redacted:r:abcdefghijklm~aaaaaaaa] y"], "n": 1});
        let mut names = BTreeSet::new();
        plain(&mut value, &mut names);
        assert_eq!(value["a"][0], "x [redacted:r:abcdefghijklm] y");
        let values = names.iter().map(|name| (*name, Zeroizing::new(b"the \"value\"".to_vec()))).collect();
        let found = Found { values, missing: 0 };
        found.value(&mut value);
        assert_eq!(value["a"][0], "x the \"value\" y");
        assert_eq!(found.of("[redacted:r:abcdefghijklm]"), Some("the \"value\""));
    }
}
