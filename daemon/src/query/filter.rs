//! What a question is about: the parameters that most questions share.

use ccd_proto::api::Session;

use super::QueryError;
use crate::clock::parse_rfc3339;

/// The parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// From this time on, nanoseconds since the Unix epoch.
    pub since_ns: Option<u64>,
    /// Until this time, exclusive.
    pub until_ns: Option<u64>,
    /// Following: what ended since then is news, too.
    pub from_ns: Option<u64>,
    /// At most so many; 0: all.
    pub limit: usize,
    /// A session, or the start of its id.
    pub session: Option<String>,
    /// A project: the last component of the working directory, or the whole of it.
    pub project: Option<String>,
    /// A turn's or trace's id, or the start of it.
    pub turn: Option<String>,
    /// A tool's name.
    pub tool: Option<String>,
    /// `agent`, `llm`, `tool` or `compaction`.
    pub kind: Option<String>,
    /// `ok`, `error`, `denied` or `running`.
    pub status: Option<String>,
    /// With inputs and outputs.
    pub content: bool,
    /// With thinking text.
    pub reasoning: bool,
    /// `usage`: what rows are cut by.
    pub period: Option<String>,
    /// `usage`: further keys.
    pub by: Vec<String>,
    /// `usage`: time zone.
    pub tz: Option<String>,
}

/// Rows given where no limit is asked for.
const LIMIT: usize = 50;

impl Default for Filter {
    fn default() -> Self {
        Filter {
            since_ns: None,
            until_ns: None,
            from_ns: None,
            limit: LIMIT,
            session: None,
            project: None,
            turn: None,
            tool: None,
            kind: None,
            status: None,
            content: false,
            reasoning: false,
            period: None,
            by: Vec::new(),
            tz: None,
        }
    }
}

impl Filter {
    /// Reads a URL's query. An unknown parameter is an error: a misspelt filter that filters nothing misleads.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        Self::parse_with(query, &mut |_, _| Ok(false))
    }

    /// As [`Filter::parse`], for a question that has parameters of its own: `own` is asked first, by name and value, and
    /// says whether it took it.
    pub fn parse_with(
        query: &str,
        own: &mut dyn FnMut(&str, &str) -> Result<bool, QueryError>,
    ) -> Result<Self, QueryError> {
        let mut f = Filter::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            if !value.is_empty() && own(&key, &value)? {
                continue;
            }
            let time = |value: &str| {
                parse_rfc3339(value).map_err(|e| QueryError::bad(format!("{key}={value:?}: {e}")))
            };
            let flag = value == "1" || value == "true";
            match &*key {
                _ if value.is_empty() => {}
                "since" => f.since_ns = Some(time(&value)?),
                "until" => f.until_ns = Some(time(&value)?),
                "from" => f.from_ns = Some(time(&value)?),
                "limit" => {
                    f.limit = value
                        .parse()
                        .map_err(|_| QueryError::bad(format!("limit={value:?}: not a number")))?;
                }
                "session" => f.session = Some(value),
                "project" => f.project = Some(value),
                "turn" => f.turn = Some(value),
                "tool" => f.tool = Some(value),
                "kind" => f.kind = Some(one_of("kind", value, &["agent", "llm", "tool", "compaction"])?),
                "status" => {
                    f.status = Some(one_of("status", value, &["ok", "error", "denied", "running"])?);
                }
                "content" => f.content = flag,
                "reasoning" => f.reasoning = flag,
                "period" => f.period = Some(value),
                "by" => f.by.extend(value.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty())),
                "tz" => f.tz = Some(value),
                other => return Err(QueryError::bad(format!("unknown parameter {other:?}"))),
            }
        }
        Ok(f)
    }

    /// Whether a time lies in the range.
    #[must_use]
    pub fn in_range(&self, ns: u64) -> bool {
        self.since_ns.is_none_or(|s| ns >= s) && self.until_ns.is_none_or(|u| ns < u)
    }

    /// Whether a session that was active between these times has anything in the range.
    #[must_use]
    pub fn overlaps(&self, first_ns: u64, last_ns: u64) -> bool {
        self.since_ns.is_none_or(|s| last_ns >= s) && self.until_ns.is_none_or(|u| first_ns < u)
    }

    /// The start of the oldest row within the limit, once there are so many.
    #[must_use]
    pub fn nth_newest(&self, starts: impl Iterator<Item = u64>) -> Option<u64> {
        let mut starts: Vec<u64> = starts.collect();
        starts.sort_unstable_by(|a, b| b.cmp(a));
        starts.get(self.limit.checked_sub(1)?).copied()
    }

    /// Whether `count` rows are enough.
    #[must_use]
    pub fn full(&self, count: usize) -> bool {
        self.limit != 0 && count >= self.limit
    }

    /// Whether this is the turn asked for: its id or its trace's, or the start of one.
    #[must_use]
    pub fn matches_turn(&self, turn_id: &str, trace_id: &str) -> bool {
        self.turn.as_deref().is_none_or(|t| turn_id.starts_with(t) || trace_id.starts_with(t))
    }

    /// Whether a session is of the project asked for.
    #[must_use]
    pub fn matches_project(&self, session: &Session) -> bool {
        self.project.as_deref().is_none_or(|p| {
            session.project.as_deref() == Some(p) || session.cwd.as_deref() == Some(p.trim_end_matches('/'))
        })
    }
}

/// The value, if it is one of those that are known.
pub(crate) fn one_of(name: &str, value: String, known: &[&str]) -> Result<String, QueryError> {
    if known.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(QueryError::bad(format!("{name}={value:?}: one of {}", known.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_checked() {
        let f = Filter::parse("since=2026-11-01T00%3A00%3A00Z&limit=5&by=model,tool&content=1").unwrap();
        assert_eq!((f.limit, f.content), (5, true));
        assert_eq!(f.by, ["model", "tool"]);
        assert!(f.in_range(parse_rfc3339("2026-11-01T00:00:00Z").unwrap()));
        for bad in ["since=yesterday", "limit=x", "kind=nope", "sesion=1"] {
            assert_eq!(Filter::parse(bad).unwrap_err().error.code, "bad_request", "{bad}");
        }
    }
}
