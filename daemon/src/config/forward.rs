//! `[forward.NAME]`: to whom what is recorded is sent, how much of it, and whether at all.
//!
//! Off unless `enabled = true`. Values of headers are never repeated in a message, nor the path and query of a URL. Files
//! with secrets are named here and read when something is sent, so that a changed one counts from then on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::{HeaderMap, Uri};
use serde::Deserialize;

use super::ConfigError;
use crate::forward::deliver::{self, Endpoint};

/// Everybody to whom something may be sent, by name.
pub type Forward = BTreeMap<String, Sink>;

/// What is spoken with a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// OTLP over HTTP: a trace per turn.
    Otlp,
    /// The Pisama platform's protocol: whole sessions.
    Pisama,
}

impl SinkKind {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SinkKind::Otlp => "otlp",
            SinkKind::Pisama => "pisama",
        }
    }
}

/// How much of what was said and done goes along. Whatever goes is redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Nothing: names, times, counts, cost.
    #[default]
    None,
    /// Prompts, answers and thinking.
    Text,
    /// And what tools were given and answered.
    Full,
}

impl Content {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Content::None => "none",
            Content::Text => "text",
            Content::Full => "full",
        }
    }
}

/// How OTLP messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Binary.
    #[default]
    Protobuf,
    /// JSON.
    Json,
}

/// Somebody to whom something may be sent.
#[allow(clippy::struct_excessive_bools, reason = "the switches of a table, each its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// What is spoken.
    pub kind: SinkKind,
    /// Where to: an OTLP receiver's base URL or its `/v1/traces`; the platform's API.
    pub url: Uri,
    /// Headers, marked as secret.
    pub headers: HeaderMap,
    /// A file with more of them, a `NAME: VALUE` on each line.
    pub headers_file: Option<PathBuf>,
    /// The file with the platform's API key.
    pub key_file: Option<PathBuf>,
    /// How much goes along.
    pub content: Content,
    /// Only sessions of these projects; empty: of all.
    pub projects: Vec<String>,
    /// No sessions of these.
    pub exclude_projects: Vec<String>,
    /// None of these sessions: ids, or the beginnings of ids.
    pub exclude_sessions: Vec<String>,
    /// Whether anything is sent without being asked for.
    pub enabled: bool,
    /// OTLP: a turn that changes after it was sent is sent again, with the same ids.
    pub resend: bool,
    /// OTLP: bodies are compressed.
    pub gzip: bool,
    /// OTLP: how messages are written.
    pub encoding: Encoding,
    /// Plain HTTP is allowed to other machines, too.
    pub allow_http: bool,
}

impl Sink {
    /// What makes it another sink when it changes: what was sent to the one before was not sent to this one.
    #[must_use]
    pub fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.kind.name().as_bytes());
        hasher.update(b"\n");
        hasher.update(self.url.to_string().as_bytes());
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// A table as it is written.
#[allow(clippy::struct_excessive_bools, reason = "the switches of a table, each its own")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    kind: SinkKind,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    headers_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    #[serde(default)]
    content: Content,
    #[serde(default)]
    projects: Vec<String>,
    #[serde(default)]
    exclude_projects: Vec<String>,
    #[serde(default)]
    exclude_sessions: Vec<String>,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    resend: bool,
    gzip: Option<bool>,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    allow_http: bool,
}

/// Reads all tables; files are named relative to the directory of the configuration.
pub(super) fn read(tables: BTreeMap<String, Table>, file: &Path) -> Result<Forward, ConfigError> {
    let mut all = Forward::new();
    for (name, table) in tables {
        if !is_name(&name) {
            return Err(ConfigError::Value {
                name: "forward",
                value: name,
                reason: "a sink's name is made of small letters, digits, `-` and `_`, 32 at most".into(),
            });
        }
        let sink = table.read(file.parent().unwrap_or(Path::new("/")));
        let sink = sink.map_err(|(key, reason)| ConfigError::Value {
            name: key,
            value: format!("[forward.{name}]"),
            reason,
        })?;
        all.insert(name, sink);
    }
    Ok(all)
}

/// Whether it may be a sink's name: it becomes a part of file names.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

impl Table {
    fn read(self, base: &Path) -> Result<Sink, (&'static str, String)> {
        let url: Uri =
            self.url.trim().parse().map_err(|_| {
                ("forward.url", "expected a URL such as https://otlp.example:4318".to_owned())
            })?;
        let endpoint = Endpoint { allow_http: self.allow_http, ..Endpoint::new(url.clone()) };
        endpoint.check().map_err(|error| ("forward.url", error.to_string()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let (name, value) =
                deliver::header(&format!("{name}: {value}")).map_err(|e| ("forward.headers", e))?;
            headers.insert(name, value);
        }
        if self.kind == SinkKind::Pisama && self.key_file.is_none() {
            return Err((
                "forward.key_file",
                "the platform asks for an API key: `ccctl connect` takes it".to_owned(),
            ));
        }
        Ok(Sink {
            kind: self.kind,
            url,
            headers,
            headers_file: self.headers_file.map(|path| base.join(path)),
            key_file: self.key_file.map(|path| base.join(path)),
            content: self.content,
            projects: self.projects,
            exclude_projects: self.exclude_projects,
            exclude_sessions: self.exclude_sessions.into_iter().filter(|id| !id.is_empty()).collect(),
            enabled: self.enabled,
            resend: self.resend,
            gzip: self.gzip.unwrap_or(true),
            encoding: self.encoding,
            allow_http: self.allow_http,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Forward, String> {
        let tables: BTreeMap<String, Table> = toml::from_str(text).map_err(|e| e.to_string())?;
        super::read(tables, Path::new("/c/config.toml")).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_is_sent_and_no_content_goes_along_unless_it_says_so() {
        assert!(read("").unwrap().is_empty());
        let all = read("[team]\nkind = \"otlp\"\nurl = \"https://o.example\"\nheaders_file = \"h\"").unwrap();
        let team = &all["team"];
        assert!(!team.enabled && team.content == Content::None && team.gzip && !team.resend);
        assert_eq!(team.headers_file.as_deref(), Some(Path::new("/c/h")));
        let other = Sink { url: "https://p.example".parse().unwrap(), ..team.clone() };
        assert_ne!(team.identity(), other.identity());
        assert_eq!(team.identity(), Sink { enabled: true, ..team.clone() }.identity());
    }

    #[test]
    fn mistakes_name_their_place_and_no_secret() {
        let otlp = "[a]\nkind = \"otlp\"\n";
        for (text, want) in [
            ("[A]\nkind = \"otlp\"\nurl = \"https://o.example\"".to_owned(), "small letters"),
            ("[a]\nkind = \"x\"\nurl = \"https://o.example\"".to_owned(), "unknown variant"),
            ("[a]\nkind = \"pisama\"\nurl = \"https://o.example\"".to_owned(), "ccctl connect"),
            (format!("{otlp}url = \"http://o.example/secret\""), "forward.url"),
            (format!("{otlp}url = \"https://secret@o.example\""), "credentials"),
            (
                format!("{otlp}url = \"https://o.example\"\nheaders = {{ a = \"secret\\n\" }}\nheader = 1"),
                "header",
            ),
            (
                format!("{otlp}url = \"https://o.example\"\nheaders = {{ \"a b\" = \"secret\" }}"),
                "forward.headers",
            ),
        ] {
            let message = read(&text).unwrap_err();
            assert!(message.contains(want), "{text}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
        let shown = format!(
            "{:?}",
            read(&format!("{otlp}url = \"https://o.example\"\nheaders = {{ a = \"hush\" }}")).unwrap()
        );
        assert!(!shown.contains("hush"), "{shown}");
    }
}
