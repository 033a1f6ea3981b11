//! The file of logins: hashes and times.
//!
//! Must never hold what logs somebody in. A file that is damaged is an empty one to who reads it: everybody logs in again,
//! and the next login replaces it.

use std::io::Result;
use std::path::Path;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::LOGIN_S;
use crate::private::{self, Form, damaged};

/// Many times as long as the most logins.
const FORM: Form = Form { version: 1, longest: 64 << 10 };

/// Somebody who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct Login {
    /// Of what the browser shows.
    pub(super) hash: Hash,
    /// When, seconds since the Unix epoch.
    pub(super) made_s: u64,
    /// When it was last used, likewise; to the day.
    pub(super) used_s: u64,
}

impl Login {
    /// Whether it was used lately. One of the future, by a clock that was set back, was.
    pub(super) fn is_alive(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.used_s) <= LOGIN_S
    }
}

#[derive(Serialize, Deserialize)]
struct Whole {
    logins: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    hash: String,
    made_s: u64,
    used_s: u64,
}

/// Reads the logins.
pub(super) fn read(path: &Path) -> Result<Vec<Login>> {
    let whole: Whole = private::read(path, FORM)?;
    let login = |line: Line| {
        let hash = Hash::from_hex(line.hash.as_bytes()).ok()?;
        Some(Login { hash, made_s: line.made_s, used_s: line.used_s })
    };
    whole.logins.into_iter().map(login).collect::<Option<_>>().ok_or_else(|| damaged("it is damaged"))
}

/// Replaces the file.
pub(super) fn write(path: &Path, logins: &[Login]) -> Result<()> {
    let line = |login: &Login| Line {
        hash: login.hash.to_hex().to_string(),
        made_s: login.made_s,
        used_s: login.used_s,
    };
    private::write(path, FORM, Whole { logins: logins.iter().map(line).collect() })
}
