//! Claude Code's `settings.json`: our keys put in, and taken out again.
//!
//! Text in, text out; no file is touched here. Edits keep the order of keys, unknown keys, formatting,
//! indentation, line ends, a byte order mark and the end of the file as they are.
//!
//! Must never produce a file that Claude Code would read differently than intended: every edit is made twice,
//! once on the text and once on the value, and the text is read back and compared with the value before it is
//! handed out. A file that Claude Code itself would reject is not edited at all.

mod cst;
pub mod hooks;
pub mod status_line;

use std::collections::BTreeMap;

use ccd_proto::paths::is_our_base_url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::CommandError;
use crate::plugin::Hooks;

/// The key that carries our base URL.
pub const BASE_URL: &str = "ANTHROPIC_BASE_URL";
/// The key that has interactive sessions ask for the text of thinking.
pub const THINKING: &str = "showThinkingSummaries";

/// Why a settings file is not edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not text.
    #[error("it is not UTF-8 text (byte {0})")]
    NotUtf8(usize),
    /// Not strict JSON, which is what Claude Code reads.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// JSON, but no object.
    #[error("it holds no JSON object")]
    NotAnObject,
    /// A key that must hold an object holds something else.
    #[error("its key `{0}` is not an object")]
    KeyNotAnObject(&'static str),
    /// The edited text does not read back as intended: a key stands in it twice, most likely.
    #[error("it cannot be edited safely: a key seems to stand in it twice")]
    Unsafe,
}

impl SettingsError {
    /// As a failure of a command that works on `path`.
    #[must_use]
    pub fn of(&self, path: &std::path::Path) -> CommandError {
        let error = CommandError::failed(format!("{}: {self}; it was not touched", path.display()));
        match self {
            SettingsError::Unsafe => error.hint("remove the duplicate, then run this again"),
            _ => error
                .hint("Claude Code ignores such a file as a whole (it reads strict JSON: no comments, no trailing commas)")
                .hint("correct it, then run this again"),
        }
    }
}

/// A settings file that Claude Code would accept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    bom: bool,
    text: String,
    value: Map<String, Value>,
}

/// What is to be in a settings file.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Keys of `env`.
    pub env: BTreeMap<String, String>,
    /// Keys of the file itself.
    pub top: BTreeMap<String, Value>,
    /// Hooks.
    pub hooks: Option<Hooks>,
}

/// What we once put into a settings file, and what was there before: all that is needed to take it out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// Keys of `env`.
    pub env: BTreeMap<String, String>,
    /// Keys of the file itself.
    pub top: BTreeMap<String, Value>,
}

impl Wanted {
    /// The part of it that cannot be recognised without a note.
    #[must_use]
    pub fn written(&self) -> Written {
        Written { env: self.env.clone(), top: self.top.clone() }
    }
}

const BOM: &str = "\u{feff}";

impl Document {
    /// Reads a file's bytes as strictly as Claude Code does. An empty file counts as an empty object.
    pub fn read(bytes: &[u8]) -> Result<Self, SettingsError> {
        let text = std::str::from_utf8(bytes).map_err(|e| SettingsError::NotUtf8(e.valid_up_to()))?;
        let (bom, text) = text.strip_prefix(BOM).map_or((false, text), |rest| (true, rest));
        if text.trim().is_empty() {
            return Ok(Document { bom, text: text.to_owned(), value: Map::new() });
        }
        let value = serde_json::from_str(text).map_err(|e| SettingsError::Syntax {
            line: e.line(),
            column: e.column(),
            message: e.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        })?;
        let Value::Object(value) = value else { return Err(SettingsError::NotAnObject) };
        if value.get("env").is_some_and(|env| !env.is_object()) {
            return Err(SettingsError::KeyNotAnObject("env"));
        }
        Ok(Document { bom, text: text.to_owned(), value })
    }

    /// What it says.
    #[must_use]
    pub fn value(&self) -> &Map<String, Value> {
        &self.value
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let bom = if self.bom { BOM } else { "" };
        format!("{bom}{}", self.text).into_bytes()
    }

    /// A key of `env`; numbers as text, as the client reads them.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<String> {
        match self.value.get("env")?.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether everything wanted is in it already, and no hooks of ours that are not wanted.
    #[must_use]
    pub fn has(&self, wanted: &Wanted) -> bool {
        let mut value = self.value.clone();
        merge_value(&mut value, wanted);
        value == self.value
    }

    /// With everything wanted put in.
    pub fn merged(&self, wanted: &Wanted) -> Result<Document, SettingsError> {
        if wanted.hooks.is_some() && self.value.get("hooks").is_some_and(|hooks| !hooks.is_object()) {
            return Err(SettingsError::KeyNotAnObject("hooks"));
        }
        if self.has(wanted) {
            return Ok(self.clone());
        }
        let mut value = self.value.clone();
        merge_value(&mut value, wanted);
        let text = if self.text.trim().is_empty() { "{}\n" } else { &self.text };
        self.proven(cst::merge(text, wanted), value)
    }

    /// With everything of ours taken out, and what was there before put back. `original` is what the file said
    /// before we first wrote to it; `token` makes our base URL known by itself.
    pub fn stripped(
        &self,
        original: &Map<String, Value>,
        written: &Written,
        token: Option<&str>,
    ) -> Result<Document, SettingsError> {
        let undo = Undo { original, written, token };
        let mut value = self.value.clone();
        undo.strip(&mut value);
        if value == self.value {
            return Ok(self.clone());
        }
        self.proven(cst::strip(&self.text, &self.value, &value), value)
    }

    /// The edited text, if it says exactly what it should.
    fn proven(&self, text: Option<String>, value: Map<String, Value>) -> Result<Document, SettingsError> {
        let text = text.ok_or(SettingsError::Unsafe)?;
        let read = Document::read(text.as_bytes())?;
        if read.value != value {
            return Err(SettingsError::Unsafe);
        }
        Ok(Document { bom: self.bom, text, value })
    }
}

/// Puts everything wanted into a settings value: the meaning of [`Document::merged`], and what `ccctl run`
/// does to settings given on the command line.
pub fn merge_value(value: &mut Map<String, Value>, wanted: &Wanted) {
    if !wanted.env.is_empty() {
        let env = value.entry("env").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(env) = env {
            env.extend(wanted.env.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))));
        }
    }
    value.extend(wanted.top.iter().map(|(k, v)| (k.clone(), v.clone())));
    hooks::merge_value(value, wanted.hooks.as_ref());
}

struct Undo<'a> {
    original: &'a Map<String, Value>,
    written: &'a Written,
    token: Option<&'a str>,
}

impl Undo<'_> {
    fn strip(&self, value: &mut Map<String, Value>) {
        let before = self.original.get("env").and_then(Value::as_object);
        if let Some(Value::Object(env)) = value.get_mut("env") {
            let keys: Vec<_> =
                env.iter().filter(|(k, v)| self.is_ours(k, v)).map(|(k, _)| k.clone()).collect();
            for key in &keys {
                // Ours is not put back in place of ours, should the note of what was before be of no use.
                match before.and_then(|env| env.get(key)).filter(|v| !self.is_ours(key, v)) {
                    Some(earlier) => env.insert(key.clone(), earlier.clone()),
                    None => env.remove(key),
                };
            }
            if env.is_empty() && !keys.is_empty() && before.is_none() {
                value.remove("env");
            }
        }
        for (key, ours) in &self.written.top {
            if value.get(key) == Some(ours) {
                match self.original.get(key) {
                    Some(earlier) => value.insert(key.clone(), earlier.clone()),
                    None => value.remove(key),
                };
            }
        }
        if value.get(status_line::KEY).is_some_and(status_line::is_ours) {
            match self.original.get(status_line::KEY).filter(|earlier| !status_line::is_ours(earlier)) {
                Some(earlier) => value.insert(status_line::KEY.to_owned(), earlier.clone()),
                None => value.remove(status_line::KEY),
            };
        }
        hooks::strip_value(value, self.original.contains_key("hooks"));
    }

    fn is_ours(&self, key: &str, value: &Value) -> bool {
        let Some(text) = value.as_str() else { return false };
        let by_token = key == BASE_URL && self.token.is_some_and(|token| is_our_base_url(text, token));
        by_token || self.written.env.get(key).is_some_and(|ours| ours == text)
    }
}

/// The `NO_PROXY` variables that keep an HTTP proxy out of the way to us: none if the user has no proxy, and
/// nothing taken away from those that exist. `settings` wins over `shell`, as it does in the client.
#[must_use]
pub fn no_proxy(
    settings: impl Fn(&str) -> Option<String>,
    shell: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    const PROXIES: [&str; 6] =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let find = |name: &str| settings(name).or_else(|| shell(name)).filter(|v| !v.is_empty());
    if !PROXIES.iter().any(|name| find(name).is_some()) {
        return BTreeMap::new();
    }
    let (upper, lower) = (find("NO_PROXY"), find("no_proxy"));
    let mut wanted = BTreeMap::new();
    // The lower-case form is written only where it exists: where both do, clients differ in which one wins.
    let names = [("NO_PROXY", upper.clone().or(lower.clone())), ("no_proxy", lower)];
    for (at, (name, value)) in names.into_iter().enumerate() {
        if at == 0 || value.is_some() {
            let value = with_loopback(value.as_deref().unwrap_or_default());
            if settings(name).as_ref() != Some(&value) {
                wanted.insert(name.to_owned(), value);
            }
        }
    }
    wanted
}

fn with_loopback(list: &str) -> String {
    let entries: Vec<_> = list.split([',', ' ']).map(str::trim).filter(|e| !e.is_empty()).collect();
    if entries.contains(&"*") {
        return list.to_owned();
    }
    let missing = ["127.0.0.1", "localhost"].into_iter().filter(|host| !entries.contains(host));
    let mut out = list.trim_end_matches([',', ' ']).to_owned();
    for host in missing {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(host);
    }
    out
}

#[cfg(test)]
mod tests;
