//! Configuration: `config.toml`, overridden by the environment, checked once, then handed around as values.
//!
//! Must never be half applied: a file that does not parse leaves the configuration in force as it was, and the
//! reason is shown in `status`. Unknown keys are errors, because a misspelt key that is silently ignored costs
//! its owner an afternoon.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use ccd_proto::size;

mod alerts;
mod budget;
mod channels;
mod detect;
mod forward;
mod heal;
mod network;
mod receive;
mod redact;
mod transcripts;
mod vault;

pub use alerts::Alerts;
pub use budget::Budget;
pub use channels::{Channels, Desktop};
pub use detect::Detect;
pub use forward::{Content, Encoding, Forward, Sink, SinkKind};
pub use heal::{Heal, Mode};
pub use network::{ClientFiles, Network};
pub use receive::Receive;
pub use vault::{VaultKey, VaultSettings};

pub use crate::source::transcript::roots::Settings as Transcripts;

/// The API's own address, where nothing else is configured.
pub const DEFAULT_UPSTREAM: &str = "https://api.anthropic.com";
const DEFAULT_DAYS: u32 = 90;
const DEFAULT_MAX_BYTES: u64 = 10 << 30;

/// What the daemon runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where requests go: scheme, host, port and an optional path prefix. Credentials are refused.
    pub upstream: http::Uri,
    /// Where the proxy listens. Loopback only.
    pub proxy_listen: SocketAddr,
    /// Where the web pages are to be seen. Loopback only.
    pub web_listen: SocketAddr,
    /// Where other programs may hand something in, beside there.
    pub receive: Receive,
    /// Log filter, in `tracing-subscriber`'s syntax.
    pub log: String,
    /// The way to upstream.
    pub network: Network,
    /// Limits of the capture.
    pub capture: Capture,
    /// Which transcripts are read.
    pub transcripts: Transcripts,
    /// How long the past is kept.
    pub retention: Retention,
    /// How long a stop waits for streams in flight, in seconds.
    pub drain_s: u64,
    /// Prices that add to the built-in table or replace its entries, by model id.
    pub prices: BTreeMap<String, PriceOverride>,
    /// How much may be spent, and what happens then.
    pub budget: Budget,
    /// The detectors' thresholds.
    pub detect: Detect,
    /// What is done about what they find.
    pub heal: Heal,
    /// Who is told of it.
    pub alerts: Alerts,
    /// What is taken out of everything captured beside the built-in rules, and what is let be.
    pub redact: ccd_redact::Rules,
    /// To whom what is recorded is sent.
    pub forward: Forward,
    /// Where the key of the vault is kept, which keeps what is taken out.
    pub vault: VaultSettings,
}

/// Limits of the capture. Beyond them the stream goes on and the copy is cut, counted and marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// Bytes kept of one body.
    pub max_body_bytes: u64,
    /// Bytes of captured bodies held in memory, all exchanges together.
    pub max_queue_bytes: u64,
}

impl Default for Capture {
    fn default() -> Self {
        Capture { max_body_bytes: 64 << 20, max_queue_bytes: 256 << 20 }
    }
}

/// How long the past is kept. Usage outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days; `None`: for ever.
    pub days: Option<u32>,
    /// Bytes of journal and packs; `None`: any number.
    pub max_bytes: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RetentionTable {
    days: Option<u32>,
    max_bytes: Option<Size>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl RetentionTable {
    /// Zero is no limit.
    fn read(&self) -> Result<Retention, ConfigError> {
        let max_bytes = match &self.max_bytes {
            None => DEFAULT_MAX_BYTES,
            Some(Size::Bytes(bytes)) => *bytes,
            Some(Size::Text(text)) => size::parse(text).ok_or_else(|| ConfigError::Value {
                name: "retention.max_bytes",
                value: text.clone(),
                reason: "expected a size such as 500M or 10GiB; 0 for no limit".into(),
            })?,
        };
        let days = self.days.unwrap_or(DEFAULT_DAYS);
        Ok(Retention { days: (days > 0).then_some(days), max_bytes: (max_bytes > 0).then_some(max_bytes) })
    }
}

/// A price from the configuration, in dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceOverride {
    /// Input tokens.
    pub input: f64,
    /// Output tokens.
    pub output: f64,
    /// Cache reads; default: a tenth of `input`.
    pub cache_read: Option<f64>,
    /// 5-minute cache writes; default: 1.25 × `input`.
    pub cache_write_5m: Option<f64>,
    /// 1-hour cache writes; default: 2 × `input`.
    pub cache_write_1h: Option<f64>,
    /// The model's context window in tokens.
    pub context_window: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    upstream: Option<String>,
    log: Option<String>,
    drain_s: Option<u64>,
    proxy: ListenTable,
    web: ListenTable,
    receive: receive::Table,
    network: network::Table,
    capture: Capture,
    retention: RetentionTable,
    transcripts: transcripts::Table,
    prices: BTreeMap<String, PriceOverride>,
    budget: budget::Table,
    detect: detect::Table,
    heal: heal::Table,
    alerts: alerts::Table,
    redact: redact::Table,
    forward: BTreeMap<String, forward::Table>,
    vault: vault::Table,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ListenTable {
    listen: Option<String>,
}

/// Why there is no valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not valid.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A value makes no sense.
    #[error("{name} = {value:?}: {reason}")]
    Value {
        /// Key or variable.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What is expected.
        reason: String,
    },
}

impl ConfigError {
    /// Whether it is a variable's value, and not the file's.
    #[must_use]
    pub fn is_of_environment(&self) -> bool {
        // Keys are written small.
        matches!(self, ConfigError::Value { name, .. } if name.bytes().any(|b| b.is_ascii_uppercase()))
    }
}

/// What a parser has to say, and where. It quotes the line: only one that has no room for a credential is shown.
fn told(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let value = line.split_once('=').map(|(_, value)| value);
    let is_short = |value: &str| value.split_whitespace().all(|word| word.len() < 6);
    if value.map_or_else(|| line.starts_with('['), is_short) {
        return error.to_string().trim().to_owned();
    }
    let number = before.matches('\n').count() + 1;
    format!("line {number}, column {}: {}", before[start..].chars().count() + 1, error.message())
}

impl Config {
    /// Loads the file (absent counts as empty) and applies the environment over it.
    pub fn load(path: &Path, var: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path: path.into(), source }),
        };
        Self::parse(&text, path, var)
    }

    /// For tests: a file's text, in an empty environment.
    #[cfg(test)]
    pub(crate) fn parsed(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text, Path::new("config.toml"), |_| None)
    }

    fn parse(text: &str, path: &Path, var: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text)
            .map_err(|e| ConfigError::Parse { path: path.into(), message: told(text, &e) })?;
        let env = |name: &str| var(name).filter(|v| !v.is_empty()).map(|v| v.to_string_lossy().into_owned());
        let pick =
            |env_name: &'static str, key: &'static str, from_file: Option<String>, default: &str| match (
                env(env_name),
                from_file,
            ) {
                (Some(v), _) => (env_name, v),
                (None, Some(v)) => (key, v),
                (None, None) => (key, default.to_owned()),
            };
        let (name, value) = pick("CCD_UPSTREAM", "upstream", file.upstream, DEFAULT_UPSTREAM);
        let upstream = parse_upstream(name, &value)?;
        let (name, value) = pick("CCD_PROXY_LISTEN", "proxy.listen", file.proxy.listen, "127.0.0.1:7788");
        let proxy_listen = parse_listen(name, &value)?;
        let (name, value) = pick("CCD_WEB_LISTEN", "web.listen", file.web.listen, "127.0.0.1:7789");
        let web_listen = parse_listen(name, &value)?;
        let (name, log) = pick("CCD_LOG", "log", file.log, "info");
        if let Err(e) = log.parse::<tracing_subscriber::EnvFilter>() {
            return Err(ConfigError::Value { name, value: log, reason: e.to_string() });
        }
        Ok(Config {
            upstream,
            proxy_listen,
            web_listen,
            receive: file.receive.read(env("CCD_RECEIVE_LISTEN"))?,
            log,
            network: file.network.read(env)?,
            transcripts: file.transcripts.read(env)?,
            capture: file.capture,
            retention: file.retention.read()?,
            drain_s: file.drain_s.unwrap_or(600),
            prices: file.prices,
            budget: file.budget.read(&var)?,
            detect: file.detect.read(&var)?,
            heal: file.heal.read()?,
            alerts: file.alerts.read(&var)?,
            redact: file.redact.read()?,
            forward: forward::read(file.forward, path)?,
            vault: file.vault.read(&var),
        })
    }
}

fn parse_upstream(name: &'static str, value: &str) -> Result<http::Uri, ConfigError> {
    let bad = |reason: &str| ConfigError::Value { name, value: value.into(), reason: reason.into() };
    let uri: http::Uri =
        value.trim().parse().map_err(|_| bad("expected a URL such as https://api.anthropic.com"))?;
    let Some(authority) = uri.authority() else {
        return Err(bad("expected a URL with scheme and host, such as https://api.anthropic.com"));
    };
    if authority.as_str().contains('@') {
        return Err(bad("credentials in the URL are not supported: they would be shown in `status`"));
    }
    if uri.query().is_some() {
        return Err(bad("a base URL has no query"));
    }
    let loopback = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        // A gateway inside a company's network may well speak plain HTTP; that is its owner's decision.
        Some("http") => {
            if !loopback {
                tracing::warn!(upstream = %authority, "the upstream is spoken to without TLS");
            }
            Ok(uri)
        }
        _ => Err(bad("the scheme must be https or http")),
    }
}

fn parse_listen(name: &'static str, value: &str) -> Result<SocketAddr, ConfigError> {
    let bad = |reason: &str| ConfigError::Value { name, value: value.into(), reason: reason.into() };
    let addr: SocketAddr = value.parse().map_err(|_| bad("expected ADDRESS:PORT, e.g. 127.0.0.1:7788"))?;
    if !addr.ip().is_loopback() {
        return Err(bad("only loopback addresses: others could read and spend what is yours"));
    }
    Ok(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("config.toml"), |n| {
            env.iter().find(|(k, _)| *k == n).map(|(_, v)| OsString::from(v))
        })
    }

    #[test]
    fn nothing_set_is_the_default() {
        let c = parse("", &[]).unwrap();
        assert_eq!(c.upstream.to_string(), "https://api.anthropic.com/");
        assert_eq!(c.proxy_listen.to_string(), "127.0.0.1:7788");
        assert_eq!(c.web_listen.to_string(), "127.0.0.1:7789");
        assert_eq!(c.log, "info");
        assert_eq!(c.retention, Retention { days: Some(90), max_bytes: Some(10 << 30) });
    }

    #[test]
    fn the_environment_beats_the_file() {
        let file = "upstream = \"https://gateway.example/anthropic\"\n[proxy]\nlisten = \"127.0.0.1:1\"\n";
        let c = parse(file, &[("CCD_PROXY_LISTEN", "127.0.0.1:0")]).unwrap();
        assert_eq!(c.upstream.path(), "/anthropic");
        assert_eq!(c.proxy_listen.port(), 0);
    }

    #[test]
    fn transcripts_are_where_the_client_keeps_them() {
        let roots = |text, env: &[(&str, &str)]| -> Vec<String> {
            let found = parse(text, env).unwrap().transcripts;
            found.roots.iter().map(|root| root.display().to_string()).collect()
        };
        assert_eq!(roots("", &[]), Vec::<String>::new());
        let home = ("HOME", "/h");
        assert_eq!(roots("", &[home]), ["/h/.claude/projects", "/h/.config/claude/projects"]);
        let more = "[transcripts]\nroots = [\"~/old\", \"/c/projects/x\"]";
        assert_eq!(roots(more, &[home, ("CLAUDE_CONFIG_DIR", "/c")]), ["/c/projects", "/h/old"]);
        assert!(!parse("[transcripts]\nenabled = false", &[]).unwrap().transcripts.enabled);
    }

    #[test]
    fn prices_are_read() {
        let c = parse("[prices.\"my-model\"]\ninput = 1.5\noutput = 7\n", &[]).unwrap();
        assert!((c.prices["my-model"].input - 1.5).abs() < f64::EPSILON);
    }

    #[test]
    fn retention_is_read() {
        let read = |text| parse(text, &[]).unwrap().retention;
        let all = Retention { days: None, max_bytes: None };
        assert_eq!(read("[retention]\ndays = 0\nmax_bytes = 0\n"), all);
        assert_eq!(read("[retention]\nmax_bytes = \"1536M\"\n").max_bytes, Some(3 << 29));
    }

    #[test]
    fn every_mistake_names_its_place() {
        for (text, env, want) in [
            ("upstraem = \"x\"", None, "upstraem"),
            ("upstream = \"ftp://x\"", None, "https or http"),
            ("upstream = \"https://u:p@x\"", None, "credentials"),
            ("log = \"ccd=loud\"", None, "log"),
            ("[retention]\nmax_bytes = \"much\"", None, "retention.max_bytes"),
            ("[retention]\nweeks = 3", None, "weeks"),
            ("[transcripts]\nroots = [\"here\"]", None, "transcripts.roots"),
            ("", Some(("CCD_PROXY_LISTEN", "0.0.0.0:1")), "loopback"),
            ("[web]\nlisten = \"192.0.2.1:1\"", None, "loopback"),
            ("", Some(("CCD_UPSTREAM", "nonsense")), "CCD_UPSTREAM"),
        ] {
            let env: Vec<_> = env.into_iter().collect();
            let message = parse(text, &env).unwrap_err().to_string();
            assert!(message.contains(want), "{text:?}: {message}");
        }
    }
}
