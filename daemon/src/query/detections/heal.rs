//! What was done about detections, and what the user said of that: the audit list, and the judgements in force.

use std::collections::HashMap;

use ccd_proto::api::{Heal, HealException, Intervention, Session};

use super::wanted::Wanted;
use super::{done_to_api, keys, session};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::config;
use crate::ingest::found::JudgementV1;
use crate::ingest::record;
use crate::project::detections::{InterventionRow, OPEN_NS};
use crate::project::{ids, rows};
use crate::query::{Ask, QueryError, sessions};

/// How interventions are set, what is excepted from them, and what was done, newest first.
pub fn heal(ask: &Ask, settings: &config::Heal, wanted: &Wanted) -> Result<Heal, QueryError> {
    let filter = &wanted.filter;
    let only = filter.session.as_deref().map(|prefix| session(ask, prefix)).transpose()?;
    let (from, to) = keys::interventions(filter.since_ns.unwrap_or(0), filter.until_ns);
    let mut known: HashMap<String, bool> = HashMap::new();
    let (mut interventions, mut more) = (Vec::new(), 0);
    for found in ask.reader.scan(&from, &to) {
        let (key, value) = found?;
        let Some(place) = keys::of_key(&key) else { continue };
        let row: InterventionRow = rows::decode(&value)?;
        if only.as_ref().is_some_and(|only| *only != row.session_id) || !wanted.names(&row.kind, &row.rule) {
            continue;
        }
        if filter.project.is_some() {
            let is_of = if let Some(is_of) = known.get(&row.session_id) {
                *is_of
            } else {
                let session = sessions::row(ask, ids::session_key(&row.session_id))?;
                session.is_some_and(|session| filter.matches_project(&session))
            };
            known.insert(row.session_id.clone(), is_of);
            if !is_of {
                continue;
            }
        }
        if filter.full(interventions.len()) {
            more += 1;
        } else {
            interventions.push(done_to_api(ask, place, &row));
        }
    }
    let written = |mode: config::Mode| mode.as_str().to_owned();
    let projects = settings.projects.iter().map(|(dir, of)| (dir.display().to_string(), written(*of)));
    Ok(Heal {
        mode: written(settings.mode),
        projects: projects.collect(),
        exceptions: exceptions(ask, only.as_deref())?,
        interventions,
        more,
    })
}

/// What was done in a session since a time, oldest first.
pub fn done_in(ask: &Ask, session_id: &str, since_ns: u64) -> Result<Vec<Intervention>, QueryError> {
    let (from, to) = keys::interventions(since_ns, None);
    let mut found = Vec::new();
    for row in ask.reader.scan(&from, &to) {
        let (key, value) = row?;
        let Some(place) = keys::of_key(&key) else { continue };
        let row: InterventionRow = rows::decode(&value)?;
        if row.session_id == session_id {
            found.push(done_to_api(ask, place, &row));
        }
    }
    found.reverse();
    Ok(found)
}

/// Pauses and allowances in force, newest first; those of one session, and those of all.
fn exceptions(ask: &Ask, only: Option<&str>) -> Result<Vec<HealException>, QueryError> {
    let (from, to) = keys::exceptions();
    let mut found = in_force(ask, &from, &to, true)?;
    found.reverse();
    found.retain(|said| only.is_none() || said.session_id.is_none() || said.session_id.as_deref() == only);
    let exception = |said: JudgementV1| HealException {
        what: said.what,
        session_id: said.session_id,
        kind: said.kind,
        until: said.until_ns.map(rfc3339),
        at: rfc3339(said.at_ns),
    };
    Ok(found.into_iter().map(exception).collect())
}

/// What the user said that holds now: dismissals, pauses and allowances, oldest first.
pub fn judgements(ask: &Ask) -> Result<Vec<JudgementV1>, QueryError> {
    let (from, to) = keys::judgements();
    // A session whose end was seen may be resumed.
    in_force(ask, &from, &to, false)
}

fn in_force(ask: &Ask, from: &[u8], to: &[u8], ends: bool) -> Result<Vec<JudgementV1>, QueryError> {
    let mut found = Vec::new();
    for row in ask.reader.scan(from, to) {
        let said = match record::judgement(&row?.1) {
            Ok(said) => said,
            Err(error) => {
                tracing::warn!(%error, "a judgement cannot be read");
                continue;
            }
        };
        let over = match &said.session_id {
            Some(id) => {
                let session = sessions::row(ask, ids::session_key(id))?;
                is_over(session.as_ref(), said.at_ns, ask.now_ns, ends)
            }
            None => false,
        };
        if !over && said.until_ns.is_none_or(|until| until > ask.now_ns) {
            found.push(said);
        }
    }
    found.sort_by_key(|said| said.at_ns);
    Ok(found)
}

/// Whether nothing more is to be expected of a session that something was said of then: its end was seen, or it is gone,
/// or nothing was heard of it for a week.
fn is_over(session: Option<&Session>, said_ns: u64, now_ns: u64, ends: bool) -> bool {
    session.is_none_or(|session| {
        let last_ns = parse_rfc3339(&session.last_at).unwrap_or(0).max(said_ns);
        ends && session.ended || last_ns < now_ns.saturating_sub(OPEN_NS)
    })
}
