//! `analyze`: the detectors over a session's records again, with today's thresholds.
//!
//! What depends on the working directory as it was (`hallucination`: `name`, `import`, `cited`) is not worked out again
//! unless today's tree is asked for: what was found live is told instead.
//!
//! Must never take longer than [`PATIENCE`], or write anything.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccd_detect::{Index, Kind};
use ccd_proto::api::{self, Report, ReportCost};

use super::history::{self, Next};
use super::session::{Found, Kit, NoTrees, Trees, engines};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::config;
use crate::ingest::found::DetectionV1;
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, sessions};

/// How long a session is looked at.
const PATIENCE: Duration = Duration::from_secs(20);
/// Rules that look things up in the working directory.
const OF_TREE: [&str; 3] = ["name", "import", "cited"];

/// Why names are not looked up.
const NO_TREE: &str = "names, imports and cited files against the working directory: it may have changed since; what was \
                       found while the session ran is listed (`--tree` looks at today's)";
const NO_INDEX: &str =
    "names, imports and cited files against the working directory: no whole index of it could be made";
const TOO_LONG: &str = "the rest of the session: looking at it took too long";

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The session, or the start of its id.
    pub session: String,
    /// Names are looked up in today's working directory.
    pub tree: bool,
}

impl Asked {
    /// Reads a URL's query.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let (mut session, mut tree) = (None, false);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "session" if !value.is_empty() => session = Some(value.into_owned()),
                "tree" => tree = value == "1" || value == "true",
                _ if value.is_empty() => {}
                other => return Err(QueryError::bad(format!("unknown parameter {other:?}"))),
            }
        }
        let session = session.ok_or_else(|| QueryError::bad("session is missing"))?;
        Ok(Asked { session, tree })
    }
}

/// Looks a working directory up as it is today.
pub type Scan = Arc<dyn Fn(&Path) -> Arc<dyn Index> + Send + Sync>;

/// Today's tree, for everything in it.
struct Today(Scan, std::sync::Mutex<bool>);

impl Trees for Today {
    fn of(&self, cwd: &Path) -> Arc<dyn Index> {
        let index = (self.0)(cwd);
        *super::locked(&self.1) = index.is_complete();
        index
    }
    fn expected(&self, _: &Path) {}
    fn writing(&self, _: &Path, _: &Path) {}
    fn touched(&self, _: &Path, _: &Path) {}
    fn stirred(&self, _: &Path) {}
    fn rest(&self, _: Instant) -> bool {
        false
    }
}

/// What of a session is on record: `analyze` tells those under their ids, with what was done about them.
pub type Recorded<'a> = &'a dyn Fn(&str) -> Result<Vec<api::Detection>, QueryError>;

/// The report. `scan` looks at today's tree.
pub fn analyze(
    ask: &Ask,
    asked: &Asked,
    settings: Arc<config::Detect>,
    scan: &Scan,
    recorded: Recorded<'_>,
) -> Result<Report, QueryError> {
    let id = sessions::resolve(ask, &asked.session)?;
    let only = Filter { session: Some(id.clone()), limit: 1, ..Filter::default() };
    let session = sessions::sessions(ask, &only)?.sessions.pop();
    let session = session.ok_or_else(|| QueryError::not_found(format!("no session {id:?}")))?;
    let today = Arc::new(Today(Arc::clone(scan), std::sync::Mutex::new(false)));
    let trees: Arc<dyn Trees> = if asked.tree { Arc::clone(&today) as _ } else { Arc::new(NoTrees) };
    let kit = Kit { settings, prices: ask.shared.live.prices(), trees, make: engines() };
    let (mut found, mut events, until) = (Vec::new(), 0, Instant::now() + PATIENCE);
    let mut not_checked = Vec::new();
    history::read(&ask.reader, &id, u64::MAX, &kit, &mut |_, taken| {
        events += taken.events;
        found.extend(taken.found);
        if Instant::now() < until {
            return Next::GoOn;
        }
        not_checked.push(TOO_LONG.to_owned());
        Next::Enough
    })?;
    let complete = *super::locked(&today.1);
    if !asked.tree {
        not_checked.push(NO_TREE.into());
    } else if !complete {
        not_checked.push(NO_INDEX.into());
    }
    let on_record = recorded(&id)?;
    let mut all: Vec<(u64, api::Detection)> = Vec::with_capacity(found.len());
    for Found { record, .. } in &found {
        let id =
            hex(&DetectionV1::record_id(&record.session_id, &record.kind, &record.rule, record.at_event));
        let known = on_record.iter().find(|known| known.detection_id == id);
        let detection = known.cloned().unwrap_or_else(|| shown(record, session.project.as_deref()));
        all.push((record.at_event, detection));
    }
    if !(asked.tree && complete) {
        let of_tree = |d: &&api::Detection| {
            d.kind == Kind::Hallucination.as_str() && OF_TREE.contains(&d.rule.as_str())
        };
        all.extend(on_record.iter().filter(of_tree).map(|d| (u64::MAX, d.clone())));
    }
    let guardrail = guardrail(&all, &found);
    // Those of the record tell no event's number: everything goes by time, the worse first.
    all.sort_by(|(_, a), (_, b)| a.at.cmp(&b.at).then(b.severity.cmp(&a.severity)));
    let first = first(&all);
    let cost = cost(ask, &id, first.and_then(|at| all.get(at)).map(|(_, d)| d.at.as_str()))?;
    Ok(Report {
        first,
        detections: all.into_iter().map(|(_, detection)| detection).collect(),
        cost,
        guardrail,
        events,
        not_checked,
        session,
    })
}

/// The text that would have helped, for what the user has not called a false alarm.
fn guardrail(all: &[(u64, api::Detection)], found: &[Found]) -> String {
    // Those that were worked out come first, in their order.
    let worked_out = found.iter().zip(all).filter(|(_, (_, shown))| shown.state != "dismissed");
    let mut what: Vec<ccd_detect::Detection> = worked_out.map(|(found, _)| found.detection.clone()).collect();
    for (_, shown) in all.get(found.len()..).unwrap_or_default() {
        let rule = OF_TREE.into_iter().find(|rule| *rule == shown.rule);
        if let Some(rule) = rule.filter(|_| shown.state != "dismissed") {
            let mut detection =
                ccd_detect::Detection::new(Kind::Hallucination, rule, 0, shown.severity, shown.confidence)
                    .title(&shown.title);
            for evidence in &shown.evidence {
                detection = detection.seen(0, &evidence.text);
            }
            what.push(detection);
        }
    }
    ccd_detect::guardrail::text(&what)
}

/// What went wrong first, of what the user has not called a false alarm.
fn first(all: &[(u64, api::Detection)]) -> Option<usize> {
    all.iter().position(|(_, detection)| detection.state != "dismissed")
}

fn hex(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

/// A detection that is not on record.
fn shown(record: &DetectionV1, project: Option<&str>) -> api::Detection {
    let evidence = record.evidence.iter();
    api::Detection {
        detection_id: String::new(),
        kind: record.kind.clone(),
        rule: record.rule.clone(),
        severity: record.severity,
        confidence: record.confidence,
        session_id: record.session_id.clone(),
        agent_id: record.agent_id.clone(),
        project: project.map(str::to_owned),
        turn_id: record.turn_id.clone(),
        span_id: record.span_id.clone(),
        at: rfc3339(record.at_ns),
        title: record.title.clone(),
        evidence: evidence
            .map(|e| api::Evidence { span_id: e.span_id.clone(), text: e.text.clone() })
            .collect(),
        advice: record.advice.clone(),
        mast: record.mast.clone(),
        intervention: None,
        state: String::new(),
        reason: None,
    }
}

/// What the session cost, in all and from a moment on.
fn cost(ask: &Ask, session: &str, since: Option<&str>) -> Result<ReportCost, QueryError> {
    let since = since.and_then(|at| parse_rfc3339(at).ok());
    let (mut all, mut after, mut calls) = (None, None, 0);
    for view in &tree(ask, session)?.spans {
        let is_after = since.is_some_and(|since| view.start_ns >= since);
        match view.span.kind.as_str() {
            "llm" => {
                let add = |sum: &mut Option<i64>| {
                    if let Some(micros) = view.span.cost_usd_micros {
                        *sum = Some(sum.unwrap_or(0).saturating_add(micros));
                    }
                };
                add(&mut all);
                if is_after {
                    add(&mut after);
                }
            }
            "tool" => calls += u64::from(is_after),
            _ => {}
        }
    }
    if since.is_some() && all.is_some() {
        after = after.or(Some(0));
    }
    Ok(ReportCost { session_usd_micros: all, since_first_usd_micros: after, tool_calls_since_first: calls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_a_session_and_nothing_unknown() {
        let asked = Asked::parse("session=ab&tree=1").unwrap();
        assert_eq!((asked.session.as_str(), asked.tree), ("ab", true));
        assert!(Asked::parse("tree=1").is_err() && Asked::parse("session=a&trees=1").is_err());
    }
}
