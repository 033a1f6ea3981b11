//! What Claude Code leaves off when its base URL is not the API's own, version by version, and what brings it back.
//!
//! The one place that says so. Each entry names its source: `docs` are the pages of code.claude.com, `observed` is what
//! the client itself did against a scripted API.

use std::fmt;

use serde::Serialize;

use super::Version;

/// Something that is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Off {
    /// What.
    pub what: &'static str,
    /// The variable that brings it back, with its value; none where nothing does.
    pub cure: Option<&'static str>,
    /// The first version that leaves it off.
    #[serde(skip)]
    since: Option<Version>,
    /// The first version that does not any more.
    #[serde(skip)]
    until: Option<Version>,
}

const fn off(what: &'static str, cure: Option<&'static str>) -> Off {
    Off { what, cure, since: None, until: None }
}

const TABLE: [Off; 5] = [
    // docs: env-vars; since 2.1.196.
    Off { since: Some(Version(2, 1, 196)), ..off("Remote Control", None) },
    // docs: server-managed-settings.
    off("server-managed (enterprise) settings", None),
    // docs: env-vars.
    off("fine-grained tool streaming", Some("CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING=1")),
    // docs: monitoring-usage.
    off("the traceparent header", Some("CLAUDE_CODE_PROPAGATE_TRACEPARENT=1")),
    // docs, 2.1.240, and observed: 2.1.197 loaded all tools up front, 2.1.329 searched again.
    Off { until: Some(Version(2, 1, 329)), ..off("MCP tool search", Some("ENABLE_TOOL_SEARCH=true")) },
];

/// What this version leaves off; of an unknown version, all that any does.
pub fn by(version: Option<Version>) -> impl Iterator<Item = Off> {
    TABLE.into_iter().filter(move |off| {
        version.is_none_or(|v| {
            off.since.is_none_or(|since| v >= since) && off.until.is_none_or(|until| v < until)
        })
    })
}

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cure {
            Some(cure) => write!(f, "{}, unless {cure} is set", self.what),
            None => f.write_str(self.what),
        }
    }
}

impl Off {
    /// The cure's variable and its value.
    #[must_use]
    pub fn switch(&self) -> Option<(&'static str, &'static str)> {
        self.cure?.split_once('=')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own() {
        let of = |version| by(version).map(|off| off.what).collect::<Vec<_>>();
        assert_eq!(of(None).len(), TABLE.len());
        assert!(!of(Some(Version(2, 1, 195))).contains(&"Remote Control"));
        assert!(of(Some(Version(2, 1, 196))).contains(&"Remote Control"));
        assert!(of(Some(Version(2, 1, 240))).contains(&"MCP tool search"));
        assert!(!of(Some(Version(2, 1, 329))).contains(&"MCP tool search"));
    }

    #[test]
    fn cures_are_variables() {
        for off in TABLE.iter().filter(|off| off.cure.is_some()) {
            let (name, value) = off.switch().unwrap();
            assert!(name.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !value.is_empty(), "{off:?}");
        }
    }
}
