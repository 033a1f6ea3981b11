//! `[budget]`: how much may be spent, who is told, and whether a hard limit stops anything.
//!
//! Amounts are dollars, read into whole micro-dollars exactly as they are written.

use std::ffi::OsString;

use jiff::tz::TimeZone;
use serde::Deserialize;

use super::ConfigError;
use super::channels::{self, Channel, Channels, Names};
use crate::project::budget::{self, Limits, Scope};

/// How much may be spent, and what happens then.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Of one session.
    pub session: Limits,
    /// Of one day.
    pub day: Limits,
    /// Of one month.
    pub month: Limits,
    /// Zone that days and months are cut in.
    pub zone: TimeZone,
    /// Whether hard limits stop tool calls.
    pub enforce: bool,
    /// Who is told.
    pub channels: Channels,
}

const NAMES: Names = Names { notify: "budget.notify", webhook: "budget.webhook" };

impl Budget {
    /// The limits of a scope.
    #[must_use]
    pub fn limits(&self, scope: Scope) -> Limits {
        match scope {
            Scope::Session => self.session,
            Scope::Day => self.day,
            Scope::Month => self.month,
        }
    }

    /// Whether any limit is set.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        [self.session, self.day, self.month].iter().any(|limits| !limits.is_none())
    }
}

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    session: Pair,
    day: Pair,
    month: Pair,
    timezone: Option<String>,
    notify: Option<Vec<Channel>>,
    webhook: Option<String>,
    enforce: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Pair {
    soft: Option<Amount>,
    hard: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Whole(u64),
    Decimal(f64),
    Text(String),
}

impl Amount {
    fn read(&self, name: &'static str) -> Result<u64, ConfigError> {
        // The shortest text that means this number is the one that was written.
        let text = match self {
            Amount::Whole(n) => n.to_string(),
            Amount::Decimal(n) => n.to_string(),
            Amount::Text(text) => text.clone(),
        };
        budget::dollars(&text).filter(|micros| *micros > 0).ok_or_else(|| ConfigError::Value {
            name,
            value: text,
            reason: "expected dollars above zero with six places at most, such as 5 or 2.50".into(),
        })
    }
}

impl Pair {
    fn read(&self, soft: &'static str, hard: &'static str) -> Result<Limits, ConfigError> {
        let limits = Limits {
            soft: self.soft.as_ref().map(|a| a.read(soft)).transpose()?,
            hard: self.hard.as_ref().map(|a| a.read(hard)).transpose()?,
        };
        match limits {
            Limits { soft: Some(low), hard: Some(high) } if low > high => Err(ConfigError::Value {
                name: soft,
                value: ccd_proto::api::display_usd(i64::try_from(low).unwrap_or(i64::MAX)),
                reason: "a soft limit lies below the hard one".into(),
            }),
            limits => Ok(limits),
        }
    }
}

impl Table {
    pub(super) fn read(self, env: impl Fn(&str) -> Option<OsString>) -> Result<Budget, ConfigError> {
        let zone = match self.timezone {
            Some(name) => TimeZone::get(&name).map_err(|_| ConfigError::Value {
                name: "budget.timezone",
                value: name,
                reason: "expected a name such as Europe/Berlin or UTC".into(),
            })?,
            None => TimeZone::system(),
        };
        Ok(Budget {
            session: self.session.read("budget.session.soft", "budget.session.hard")?,
            day: self.day.read("budget.day.soft", "budget.day.hard")?,
            month: self.month.read("budget.month.soft", "budget.month.hard")?,
            zone,
            enforce: self.enforce,
            channels: channels::read(&NAMES, self.notify.as_deref(), self.webhook.as_deref(), env)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Budget, ConfigError> {
        let table: Table = toml::from_str(text).unwrap();
        table.read(|name| (name == "XDG_RUNTIME_DIR").then(|| "/run/user/1".into()))
    }

    #[test]
    fn a_budget_is_read_to_the_micro_dollar() {
        let budget = read(
            "session.soft = 0.1\nday = { soft = 5, hard = \"$16.333333\" }\nmonth.hard = 123.45\n\
             timezone = \"Asia/Tokyo\"\nenforce = true\nwebhook = \"http://127.0.0.1:1/x\"\n",
        )
        .unwrap();
        assert_eq!(budget.session, Limits { soft: Some(100_000), hard: None });
        assert_eq!(budget.day, Limits { soft: Some(5_000_000), hard: Some(16_333_333) });
        assert_eq!(budget.month.hard, Some(123_450_000));
        assert!(budget.enforce && budget.is_configured() && budget.channels.webhook.is_some());
        assert_eq!(budget.channels.desktop.unwrap().bus, Some("unix:path=/run/user/1/bus".into()));
        let silent = read("notify = []\nwebhook = \"https://x.example/\"\n").unwrap();
        assert!(!silent.is_configured() && silent.channels == Channels::default());
    }

    #[test]
    fn mistakes_name_their_place_and_no_secret() {
        for (text, want) in [
            ("day.soft = -1.5", "budget.day.soft"),
            ("day.soft = 0", "above zero"),
            ("day.soft = 0.0000001", "six places"),
            ("day = { soft = 5, hard = 1 }", "below the hard"),
            ("timezone = \"Mars/Olympus\"", "budget.timezone"),
            ("webhook = \"http://hooks.example/secret\"", "https"),
            ("webhook = \"https://u:secret@x.example/\"", "credentials"),
            ("notify = [\"webhook\"]", "budget.webhook"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(want) && !message.contains("secret"), "{text}: {message}");
        }
    }
}
