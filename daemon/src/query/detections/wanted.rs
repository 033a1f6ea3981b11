//! Which detections a question is about.

use ccd_detect::Kind;

use crate::project::detections::{Brief, DetectionRow, State, project};
use crate::project::ids;
use crate::query::QueryError;
use crate::query::filter::{Filter, one_of};

/// States that a question is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum States {
    /// All but those that were dismissed.
    #[default]
    NotDismissed,
    /// All.
    All,
    /// Those of this one.
    Only(State),
}

/// The parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those that other questions have, too: times, limit, session, project, turn, `by`, `tz`.
    pub filter: Filter,
    /// A kind of detection.
    pub kind: Option<String>,
    /// A rule.
    pub rule: Option<String>,
    /// States.
    pub states: States,
    /// The least severity.
    pub min_severity: u8,
    /// The least confidence.
    pub min_confidence: u8,
}

/// Parameters of all questions about detections and interventions.
const COMMON: [&str; 7] = ["since", "until", "limit", "session", "project", "kind", "rule"];

/// Further parameters of a list.
pub const OF_LIST: [&str; 4] = ["turn", "state", "min_severity", "min_confidence"];
/// Further parameters of a trend.
pub const OF_TREND: [&str; 5] = ["by", "tz", "state", "min_severity", "min_confidence"];

impl Wanted {
    /// Reads a URL's query. A parameter that is neither common nor one of `further` is an error.
    pub fn parse(query: &str, further: &[&str]) -> Result<Self, QueryError> {
        let mut wanted = Wanted::default();
        let filter = Filter::parse_with(query, &mut |name, value| {
            if !COMMON.contains(&name) && !further.contains(&name) {
                return Err(QueryError::bad(format!("unknown parameter {name:?}")));
            }
            match name {
                "kind" => wanted.kind = Some(kind(value)?),
                "rule" => wanted.rule = Some(value.to_owned()),
                "state" => wanted.states = states(value)?,
                "min_severity" => wanted.min_severity = percent(name, value)?,
                "min_confidence" => wanted.min_confidence = percent(name, value)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Wanted { filter, ..wanted })
    }

    /// Whether a detection of that time is one of those, as far as its [`Brief`] tells.
    #[must_use]
    pub fn lets(&self, brief: &Brief, at_ns: u64, now_ns: u64) -> bool {
        let state = brief.state(at_ns, now_ns);
        self.names(&brief.gist.kind, &brief.rule)
            && brief.gist.severity >= self.min_severity
            && brief.gist.confidence >= self.min_confidence
            && match self.states {
                States::NotDismissed => state != State::Dismissed,
                States::All => true,
                States::Only(only) => state == only,
            }
    }

    /// Whether more than a [`Brief`] has to be known.
    #[must_use]
    pub fn asks_for_more(&self) -> bool {
        self.filter.project.is_some() || self.filter.turn.is_some()
    }

    /// Whether a row is one of those, as far as its [`Brief`] does not tell.
    #[must_use]
    pub fn lets_row(&self, row: &DetectionRow) -> bool {
        let trace = |turn: &str| ids::trace(&row.session_id, turn);
        let of_turn = |turn: &str| self.filter.matches_turn(turn, &trace(turn));
        self.is_in(row.cwd.as_deref())
            && (self.filter.turn.is_none() || row.brief.turn_id.as_deref().is_some_and(of_turn))
    }

    /// Whether it is about this kind and this rule.
    #[must_use]
    pub fn names(&self, kind: &str, rule: &str) -> bool {
        self.kind.as_deref().is_none_or(|k| k == kind) && self.rule.as_deref().is_none_or(|r| r == rule)
    }

    fn is_in(&self, cwd: Option<&str>) -> bool {
        self.filter.project.as_deref().is_none_or(|wanted| {
            cwd.is_some_and(|cwd| project(cwd) == Some(wanted) || cwd == wanted.trim_end_matches('/'))
        })
    }
}

/// A kind of detection, by its name.
pub fn kind(name: &str) -> Result<String, QueryError> {
    one_of("kind", name.to_owned(), &Kind::ALL.map(Kind::as_str))
}

fn states(name: &str) -> Result<States, QueryError> {
    Ok(match one_of("state", name.to_owned(), &["open", "dismissed", "past", "all"])?.as_str() {
        "open" => States::Only(State::Open),
        "dismissed" => States::Only(State::Dismissed),
        "past" => States::Only(State::Past),
        _ => States::All,
    })
}

fn percent(name: &str, value: &str) -> Result<u8, QueryError> {
    let number = value.parse().ok().filter(|n| *n <= 100);
    number.ok_or_else(|| QueryError::bad(format!("{name}={value:?}: a number from 0 to 100")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::detections::Gist;

    #[test]
    fn parameters_are_read_and_checked() {
        let all = "kind=loop&rule=r&state=past&min_severity=60&min_confidence=7&limit=3&session=s";
        let wanted = Wanted::parse(all, &OF_LIST).unwrap();
        assert_eq!((wanted.kind.as_deref(), wanted.rule.as_deref()), (Some("loop"), Some("r")));
        assert_eq!((wanted.states, wanted.filter.limit), (States::Only(State::Past), 3));
        assert_eq!((wanted.min_severity, wanted.min_confidence), (60, 7));
        assert_eq!(Wanted::parse("", &[]).unwrap(), Wanted::default());
        let wrong = [
            "kind=tool",
            "kind=Loop",
            "state=closed",
            "min_severity=101",
            "min_severity=x",
            "tool=Bash",
            "content=1",
            "by=kind",
            "sesion=1",
            "limit=x",
        ];
        for query in wrong {
            assert_eq!(Wanted::parse(query, &OF_LIST).unwrap_err().error.code, "bad_request", "{query}");
        }
        assert!(
            Wanted::parse("state=open", &[]).is_err() && Wanted::parse("by=kind&tz=UTC", &OF_TREND).is_ok()
        );
    }

    #[test]
    fn detections_are_let_through_by_what_they_are() {
        let day = 86_400_000_000_000;
        let row = DetectionRow {
            session_id: "s".into(),
            cwd: Some("/home/u/app".into()),
            brief: Brief {
                gist: Gist { dismissed: false, severity: 60, confidence: 80, kind: "loop".into() },
                rule: "repeat".into(),
                turn_id: Some("turn-1".into()),
                ..Brief::default()
            },
            ..DetectionRow::default()
        };
        let mut gone = row.clone();
        gone.brief.gist.dismissed = true;
        let lets = |query: &str, row: &DetectionRow| {
            let wanted = Wanted::parse(query, &OF_LIST).unwrap();
            let at = |at_ns| wanted.lets(&row.brief, at_ns, 101 * day) && wanted.lets_row(row);
            (at(100 * day), at(90 * day))
        };
        for (query, want) in [
            ("", (true, true)),
            ("state=open", (true, false)),
            ("state=past", (false, true)),
            ("state=dismissed", (false, false)),
            ("kind=loop&rule=repeat&min_severity=60&min_confidence=80", (true, true)),
            ("kind=cost", (false, false)),
            ("rule=other", (false, false)),
            ("min_severity=61", (false, false)),
            ("min_confidence=81", (false, false)),
            ("project=app", (true, true)),
            ("project=/home/u/app/", (true, true)),
            ("project=ap", (false, false)),
            ("turn=turn", (true, true)),
            ("turn=other", (false, false)),
        ] {
            assert_eq!(lets(query, &row), want, "{query}");
        }
        assert_eq!((lets("", &gone), lets("state=all", &gone)), ((false, false), (true, true)));
        assert_eq!(lets("state=dismissed", &gone), (true, true));
    }
}
