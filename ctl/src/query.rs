//! From `--since`, `--session` and the rest to the daemon's query parameters.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::QueryArgs;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::time::{self, Edge};

/// A path with query parameters, being put together.
#[derive(Clone, Debug)]
pub struct Target(String);

impl Target {
    /// The path of a route.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Target(path.to_owned())
    }

    /// The path of a route about one thing: `/v0/show` and an id.
    #[must_use]
    pub fn about(path: &str, id: &str) -> Self {
        Target(format!("{path}/{}", encode(id)))
    }

    /// Goes one step down.
    #[must_use]
    pub fn part(self, name: &str) -> Self {
        Target(format!("{}/{name}", self.0))
    }

    /// Adds a parameter, if it has a value.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        if let Some(value) = value {
            let join = if self.0.contains('?') { '&' } else { '?' };
            let _ = write!(self.0, "{join}{name}={}", encode(value.as_ref()));
        }
        self
    }

    /// Adds a switch, if it is on.
    #[must_use]
    pub fn flag(self, name: &str, on: bool) -> Self {
        self.with(name, on.then_some("1"))
    }

    /// Adds what every query takes; days begin in `tz`.
    pub fn query(self, env: &Env, args: &QueryArgs, tz: &TimeZone) -> Result<Self> {
        let at = |text: &Option<String>, edge| -> Result<Option<Timestamp>> {
            let Some(text) = text else { return Ok(None) };
            time::parse(text, edge, env.now, tz).map(Some).map_err(|e| CommandError::usage(e.to_string()))
        };
        let (since, until) = (at(&args.since, Edge::Since)?, at(&args.until, Edge::Until)?);
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(CommandError::usage("--since lies after --until")
                .hint(format!("that is from {since} until {until}, which nothing is in")));
        }
        Ok(self
            .with("since", since.map(|at| at.to_string()))
            .with("until", until.map(|at| at.to_string()))
            .with("limit", args.limit.map(|n| n.to_string()))
            .with("session", args.session.as_ref())
            .with("project", args.project.as_ref()))
    }
}

impl AsRef<str> for Target {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Percent-encodes all but the unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn parameters_are_encoded_and_times_made_absolute() {
        let args = QueryArgs {
            since: Some("today".into()),
            limit: Some(5),
            project: Some("a b&c/ü".into()),
            ..QueryArgs::default()
        };
        let target = Target::new("/v0/spans").query(&Home::new().env(), &args, &TimeZone::UTC).unwrap();
        assert_eq!(
            target.flag("content", true).flag("reasoning", false).as_ref(),
            "/v0/spans?since=2026-11-20T00%3A00%3A00Z&limit=5&project=a%20b%26c%2F%C3%BC&content=1"
        );
        assert_eq!(Target::about("/v0/show", "../x").as_ref(), "/v0/show/..%2Fx");
    }

    #[test]
    fn a_wrong_time_is_wrong_usage() {
        let args = QueryArgs { until: Some("soon".into()), ..QueryArgs::default() };
        let error = Target::new("/").query(&Home::new().env(), &args, &TimeZone::UTC).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_wrong_usage() {
        let of = |since: &str, until: &str| {
            let args =
                QueryArgs { since: Some(since.into()), until: Some(until.into()), ..QueryArgs::default() };
            Target::new("/").query(&Home::new().env(), &args, &TimeZone::UTC)
        };
        assert_eq!(of("2026-05-01", "2026-04-01").unwrap_err().exit_code(), 2);
        assert!(of("2026-05-01", "2026-05-01").is_ok(), "a day includes all of it");
    }
}
