//! `[redact]`: what is taken out of everything captured beside the built-in rules, and what is let be.
//!
//! There is no key that turns redaction off: that nothing which looks like a credential is written is promised by the way
//! the daemon is built, and a key that is left turned off once would break it for good. What is taken for a credential and
//! is none is named in `allow_values` or `allow_patterns`; a built-in rule that does not suit is named in `off`, and
//! `status` shows it.

use ccd_redact::{CustomRule, Redactor, Rules};
use serde::Deserialize;

use super::ConfigError;

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    rules: Vec<Rule>,
    allow_values: Vec<String>,
    allow_patterns: Vec<String>,
    off: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    pattern: String,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    entropy: f32,
}

impl Table {
    /// The rules, tried out: what is no pattern is found here, and names its rule.
    pub(super) fn read(self) -> Result<Rules, ConfigError> {
        let wrong = |value: &str, reason: String| ConfigError::Value {
            name: "redact",
            value: value.to_owned(),
            reason,
        };
        for pattern in &self.allow_patterns {
            if regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match("")) {
                return Err(wrong(pattern, "this allowed pattern matches everything".into()));
            }
        }
        let known = |id: &str| ccd_redact::rules::all().any(|rule| rule.id == id) || BY_HAND.contains(&id);
        if let Some(id) = self.off.iter().find(|id| !known(id)) {
            return Err(wrong(id, "no built-in rule has this id".into()));
        }
        let custom = self.rules.into_iter().map(|rule| {
            let Rule { id, pattern, keywords, entropy } = rule;
            CustomRule { id, keywords, pattern, entropy }
        });
        let rules = Rules {
            custom: custom.collect(),
            allow_values: self.allow_values.into_iter().filter(|value| !value.is_empty()).collect(),
            allow_patterns: self.allow_patterns,
            off: self.off,
        };
        if rules != Rules::default() {
            Redactor::with(&rules).map_err(|error| wrong("…", error.to_string()))?;
        }
        Ok(rules)
    }
}

/// Ids of what is looked for without a rule of its own.
const BY_HAND: [&str; 7] = [
    "authorization-header",
    "cookie",
    "kubernetes-secret",
    "named-secret",
    "password",
    "private-key",
    "url-password",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Rules, String> {
        toml::from_str::<Table>(text).map_err(|e| e.to_string())?.read().map_err(|e| e.to_string())
    }

    #[test]
    fn rules_of_the_users_own_are_read_and_mistakes_named() {
        let text = "allow_values = [\"x\", \"\"]\noff = [\"password\"]\n[[rules]]\nid = \"acme\"\n\
                    pattern = \"acme-[0-9]{8}\"\nkeywords = [\"acme-\"]\n";
        let rules = read(text).unwrap();
        assert_eq!((rules.custom.len(), rules.allow_values.len(), rules.off.len()), (1, 1, 1));
        assert_eq!(read("").unwrap(), Rules::default());
        for (text, want) in [
            ("[[rules]]\nid = \"acme\"\npattern = \"(\"", "acme"),
            ("[[rules]]\nid = \"a b\"\npattern = \"x\"", "a b"),
            ("allow_patterns = [\"(\"]", "allowed pattern"),
            ("allow_patterns = [\".*\"]", "everything"),
            ("off = [\"github-tokne\"]", "github-tokne"),
            ("enabled = false", "enabled"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(want), "{text:?}: {error}");
        }
    }
}
