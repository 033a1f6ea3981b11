//! The installed Claude Code: where it is, and which version; what it reads, what it leaves off, and where it runs.

pub mod layers;
pub mod running;
pub mod switched_off;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::Invocation;

/// A version of Claude Code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads what `claude --version` prints: `2.1.329 (Claude Code)`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
        let mut numbers = word.split(['.', '-', '+']).map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Version(next()?, next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The client's name: what `CCCTL_CLAUDE` says, else `claude`.
#[must_use]
pub fn name(env: &Env) -> OsString {
    env.var("CCCTL_CLAUDE").unwrap_or_else(|| "claude".into())
}

/// The client, as a shell would find it.
#[must_use]
pub fn find(env: &Env) -> Option<PathBuf> {
    env.on_path(&name(env))
}

/// The client, or what to do without one.
pub fn required(env: &Env) -> Result<PathBuf> {
    find(env).ok_or_else(|| {
        CommandError::failed(format!(
            "Claude Code is not there: no program `{}`",
            name(env).to_string_lossy()
        ))
        .hint("install it, or name it in CCCTL_CLAUDE")
    })
}

/// The version of a client; none if it does not tell.
#[must_use]
pub fn version(env: &Env, program: &Path) -> Option<Version> {
    let outcome = env.runner.run(&Invocation::new(program, ["--version"])).ok()?;
    outcome.success().then(|| Version::parse(&outcome.stdout))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        assert_eq!(Version::parse("2.1.329 (Claude Code)\n"), Some(Version(2, 1, 329)));
        assert_eq!(Version::parse("2.1.0-beta.1"), Some(Version(2, 1, 0)));
        assert_eq!(Version::parse("claude"), None);
        assert_eq!(Version::parse("2.1"), None);
        assert!(Version(2, 1, 251) > Version(2, 1, 240));
        assert!(Version(2, 2, 0) > Version(2, 1, 999));
    }
}
