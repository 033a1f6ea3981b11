//! `[alerts]`: who is told of what the detectors find, from which severity on, and how often.

use std::ffi::OsString;

use serde::Deserialize;

use super::ConfigError;
use super::channels::{self, Channel, Channels, Names};

const NAMES: Names = Names { notify: "alerts.notify", webhook: "alerts.webhook" };

/// Who is told of detections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// Of this severity and more.
    pub severity: u8,
    /// Seconds between two alerts of one kind about one session.
    pub cooldown_s: u64,
    /// Who.
    pub channels: Channels,
}

impl Default for Alerts {
    fn default() -> Self {
        Alerts { severity: 60, cooldown_s: 300, channels: Channels::default() }
    }
}

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    notify: Option<Vec<Channel>>,
    webhook: Option<String>,
    severity: Option<u8>,
    cooldown_s: Option<u64>,
}

impl Table {
    pub(super) fn read(self, env: impl Fn(&str) -> Option<OsString>) -> Result<Alerts, ConfigError> {
        let usual = Alerts::default();
        let severity = self.severity.unwrap_or(usual.severity);
        if severity > 100 {
            return Err(ConfigError::Value {
                name: "alerts.severity",
                value: severity.to_string(),
                reason: "expected a number from 0 to 100; `notify = []` is for no alerts".into(),
            });
        }
        Ok(Alerts {
            severity,
            cooldown_s: self.cooldown_s.unwrap_or(usual.cooldown_s),
            channels: channels::read(&NAMES, self.notify.as_deref(), self.webhook.as_deref(), env)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Alerts, String> {
        let table: Table = toml::from_str(text).map_err(|e| e.to_string())?;
        table.read(|name| (name == "PATH").then(|| "/bin".into())).map_err(|e| e.to_string())
    }

    #[test]
    fn the_desktop_is_told_and_nobody_else_unless_named() {
        let usual = read("").unwrap();
        assert_eq!((usual.severity, usual.cooldown_s), (60, 300));
        assert!(usual.channels.desktop.is_some() && usual.channels.webhook.is_none());
        let named =
            read("webhook = \"https://x.example/h\"\nnotify = [\"webhook\"]\nseverity = 100").unwrap();
        assert!(named.channels.desktop.is_none() && named.channels.webhook.is_some());
        assert_eq!(read("notify = []").unwrap().channels, Channels::default());
    }

    #[test]
    fn mistakes_name_their_place_and_no_secret() {
        for (text, want) in [
            ("severity = 101", "alerts.severity"),
            ("notify = [\"webhook\"]", "alerts.webhook"),
            ("notify = [\"pager\"]", "pager"),
            ("webhook = \"http://hooks.example/secret\"", "alerts.webhook"),
            ("webhook = \"https://u:secret@x.example/\"", "credentials"),
            ("cooldown = 1", "cooldown"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(want) && !message.contains("secret"), "{text}: {message}");
        }
    }
}
