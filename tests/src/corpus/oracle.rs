//! Runs the oracle, `tests/oracle/usage.py`: the simplest way there is of counting transcripts, in another language
//! and with no line in common with the product.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ccd_proto::api::Tokens;
use serde::Deserialize;

use crate::harness::repo_root;

/// What the oracle counted.
#[derive(Debug, Deserialize)]
pub struct Oracle {
    /// Billed messages.
    pub messages: u64,
    /// By grouping (`daily model`), then by key (its parts separated by tabs).
    pub groups: BTreeMap<String, BTreeMap<String, Sum>>,
    side: [u64; 5],
    ignored: [u64; 5],
    /// Sessions whose closing totals tell of more than their messages.
    pub side_sessions: u64,
}

/// A sum.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sum {
    tokens: [u64; 5],
    /// Micro-dollars; none where nothing has a price.
    pub cost: Option<i64>,
    /// Messages.
    pub messages: u64,
}

impl Sum {
    /// Its tokens.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        tokens(self.tokens)
    }
}

impl Oracle {
    /// Counts the transcripts under `root`, its days those of `zone`.
    #[track_caller]
    #[must_use]
    pub fn count(root: &Path, zone: &str) -> Self {
        Self::run(root, &[zone])
    }

    /// Counts what was billed from `since` up to `until` only (RFC 3339).
    #[track_caller]
    #[must_use]
    pub fn count_within(root: &Path, zone: &str, since: &str, until: &str) -> Self {
        Self::run(root, &[zone, since, until])
    }

    #[track_caller]
    fn run(root: &Path, more: &[&str]) -> Self {
        let script = repo_root().join("tests/oracle/usage.py");
        let out =
            Command::new("python3").arg(script).arg(root).args(more).output().expect("python3 is installed");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// The sum of everything.
    #[must_use]
    pub fn total(&self) -> Sum {
        let nothing = || Sum { tokens: [0; 5], cost: Some(0), messages: 0 };
        self.groups["total"].get("").cloned().unwrap_or_else(nothing)
    }

    /// Tokens of lines that lack the request's id where others of their message have one.
    #[must_use]
    pub fn ignored(&self) -> Tokens {
        tokens(self.ignored)
    }

    /// Tokens that only closing totals tell of.
    #[must_use]
    pub fn side(&self) -> Tokens {
        tokens(self.side)
    }
}

fn tokens(n: [u64; 5]) -> Tokens {
    Tokens { input: n[0], output: n[1], cache_read: n[2], cache_write_5m: n[3], cache_write_1h: n[4] }
}
