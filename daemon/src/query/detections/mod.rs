//! `detections`: what was found to go wrong, what was done about it, and what the user said of it.
//!
//! Lists are cut by rows; what is shown of each is read from its record. Must never take a detection that was dismissed
//! for one that counts, unless it is asked for.

mod heal;
mod trend;
mod wanted;

use ccd_proto::api::{Detection, DetectionRef, DetectionStatus, Detections, Evidence, Intervention, Judged};
use ccd_store::{Locator, Reader, RecordId};
use http::StatusCode;

use super::tree::tree;
use super::{Ask, QueryError, sessions};
use crate::clock::rfc3339;
use crate::ingest::found::DetectionV1;
use crate::ingest::record::{self, Payload};
use crate::project::detections::{
    self as keys, Brief, DetectionRow, Gist, InterventionRow, Place, State, id_text,
};
use crate::project::{ids, rows};

pub use heal::{done_in, heal, judgements};
pub use trend::trend;
pub use wanted::{OF_LIST, OF_TREND, States, Wanted, kind};

/// Candidates named where an id is ambiguous.
const MANY: usize = 5;

/// Detections, newest first.
pub fn detections(ask: &Ask, wanted: &Wanted) -> Result<Detections, QueryError> {
    let (mut found, mut more) = (Vec::new(), 0);
    each(ask, wanted, &mut |place, one| {
        if wanted.filter.full(found.len()) {
            more += 1;
        } else {
            found.push((place, one.row(ask, place)?));
        }
        Ok(())
    })?;
    let detections = found.iter().map(|(place, row)| to_api(ask, *place, row)).collect::<Result<_, _>>()?;
    Ok(Detections { detections, more })
}

/// All of a session's, dismissed or not, oldest first.
pub fn of_session(ask: &Ask, session_id: &str) -> Result<Vec<Detection>, QueryError> {
    let mut found = Vec::new();
    for (place, _) in briefs(&ask.reader, session_id, 0)? {
        if let Some(row) = row(&ask.reader, place)? {
            found.push(to_api(ask, place, &row)?);
        }
    }
    found.reverse();
    Ok(found)
}

/// The one detection whose id is, or starts with, `prefix`.
pub fn one(ask: &Ask, prefix: &str) -> Result<Judged, QueryError> {
    let place = resolve(ask, prefix)?;
    let row = row(&ask.reader, place)?.ok_or_else(|| missing(prefix))?;
    let mut detection = to_api(ask, place, &row)?;
    if detection.turn_id.is_none()
        && let Some(span) = &detection.span_id
    {
        let view = tree(ask, &row.session_id)?;
        let span = view.spans.iter().find(|view| view.span.span_id == *span);
        detection.turn_id = span.map(|view| view.span.turn_id.clone());
    }
    let (from, to) = keys::all_about(row.about);
    let others = (ask.reader.scan(&from, &to).count() as u64).saturating_sub(1);
    Ok(Judged { detection, others })
}

/// The record of the one detection whose id is, or starts with, `prefix`, and its id.
pub fn recorded(ask: &Ask, prefix: &str) -> Result<(RecordId, DetectionV1), QueryError> {
    let place = resolve(ask, prefix)?;
    let row = row(&ask.reader, place)?.ok_or_else(|| missing(prefix))?;
    match record::read(&ask.reader.record(Locator::from_bytes(row.locator))?) {
        Ok(Payload::Detection(found)) => Ok((place.1, *found)),
        Ok(_) => Err(missing(prefix)),
        Err(e) => Err(QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "store", e.to_string())),
    }
}

/// When and which the one detection is whose id is, or starts with, `prefix`.
pub fn resolve(ask: &Ask, prefix: &str) -> Result<Place, QueryError> {
    let prefix = prefix.to_ascii_lowercase();
    let Some((from, to)) = keys::ids_from(&prefix) else { return Err(missing(&prefix)) };
    let mut found = Vec::new();
    for row in ask.reader.scan(&from, &to).take(MANY) {
        let (key, value) = row?;
        found.extend(keys::of_id_key(&key, &value));
    }
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(missing(&prefix)),
        many => {
            let ids: Vec<String> = many.iter().map(|(_, id)| id_text(*id)).collect();
            let message =
                format!("several detections have ids that start with {prefix:?}: {}", ids.join(", "));
            Err(QueryError::new(StatusCode::CONFLICT, "ambiguous", message).hint("give more of the id"))
        }
    }
}

fn missing(id: &str) -> QueryError {
    QueryError::not_found(format!("no detection {id:?}"))
        .hint("`ccctl detections` lists them; the start of an id is enough")
}

/// How many are open, and what the worst and the last of them are.
pub fn open(reader: &Reader, now_ns: u64) -> Result<DetectionStatus, QueryError> {
    let mut status = DetectionStatus::default();
    let (from, to) = keys::detections(keys::open_since(now_ns), None);
    for row in reader.scan(&from, &to) {
        let (key, value) = row?;
        let gist: Gist = rows::decode(&value)?;
        if gist.dismissed {
            continue;
        }
        if status.open == 0 {
            status.last_at = keys::of_key(&key).map(|(at_ns, _)| rfc3339(at_ns));
        }
        status.open += 1;
        status.worst = status.worst.max(gist.severity);
        match status.kinds.get_mut(&gist.kind) {
            Some(count) => *count += 1,
            None => drop(status.kinds.insert(gist.kind, 1)),
        }
    }
    Ok(status)
}

/// How many of a session's are open.
pub fn open_in(reader: &Reader, session_id: &str, now_ns: u64) -> Result<u64, QueryError> {
    let found = briefs(reader, session_id, keys::open_since(now_ns))?;
    Ok(found.iter().filter(|(_, brief)| !brief.gist.dismissed).count() as u64)
}

/// A session's that are not dismissed, oldest first.
pub(super) fn counted(reader: &Reader, session_id: &str) -> Result<Vec<(Place, Brief)>, QueryError> {
    let mut found = briefs(reader, session_id, 0)?;
    found.retain(|(_, brief)| !brief.gist.dismissed);
    found.reverse();
    Ok(found)
}

/// A detection as others name it.
pub(super) fn named((_, id): Place, brief: &Brief) -> DetectionRef {
    DetectionRef {
        detection_id: id_text(id),
        kind: brief.gist.kind.clone(),
        rule: brief.rule.clone(),
        severity: brief.gist.severity,
    }
}

fn briefs(reader: &Reader, session_id: &str, since_ns: u64) -> Result<Vec<(Place, Brief)>, QueryError> {
    let (from, to) = keys::session_detections(ids::session_key(session_id), since_ns, None);
    let mut found = Vec::new();
    for row in reader.scan(&from, &to) {
        let (key, value) = row?;
        if let Some(place) = keys::of_session_key(&key) {
            found.push((place, rows::decode(&value)?));
        }
    }
    Ok(found)
}

fn row(reader: &Reader, place: Place) -> Result<Option<DetectionRow>, QueryError> {
    Ok(reader.get(&keys::detection(place))?.map(|bytes| rows::decode(&bytes)).transpose()?)
}

/// A detection that was found: its row, as far as it was looked at.
enum Found {
    Row(Box<DetectionRow>),
    Bytes(Vec<u8>),
    /// It is elsewhere.
    Not,
}

impl Found {
    fn row(self, ask: &Ask, place: Place) -> Result<DetectionRow, QueryError> {
        match self {
            Found::Row(row) => Ok(*row),
            Found::Bytes(bytes) => Ok(rows::decode(&bytes)?),
            Found::Not => row(&ask.reader, place)?.ok_or_else(|| missing(&id_text(place.1))),
        }
    }
}

/// What is done with each of them.
type Take<'a> = &'a mut dyn FnMut(Place, Found) -> Result<(), QueryError>;

/// Hands over all that a question is about, newest first. Of most, less than the row is read.
fn each(ask: &Ask, wanted: &Wanted, take: Take<'_>) -> Result<(), QueryError> {
    let mut offer = |place: Place, brief: &Brief, found: Found| -> Result<(), QueryError> {
        if !wanted.lets(brief, place.0, ask.now_ns) {
            return Ok(());
        }
        if !wanted.asks_for_more() {
            return take(place, found);
        }
        let row = found.row(ask, place)?;
        if wanted.lets_row(&row) { take(place, Found::Row(Box::new(row))) } else { Ok(()) }
    };
    let since_ns = wanted.filter.since_ns.unwrap_or(0);
    if let Some(prefix) = &wanted.filter.session {
        let session_id = session(ask, prefix)?;
        let key = ids::session_key(&session_id);
        let (from, to) = keys::session_detections(key, since_ns, wanted.filter.until_ns);
        for found in ask.reader.scan(&from, &to) {
            let (key, value) = found?;
            if let Some(place) = keys::of_session_key(&key) {
                offer(place, &rows::decode(&value)?, Found::Not)?;
            }
        }
        return Ok(());
    }
    let (from, to) = keys::detections(since_ns, wanted.filter.until_ns);
    for found in ask.reader.scan(&from, &to) {
        let (key, value) = found?;
        if let Some(place) = keys::of_key(&key) {
            offer(place, &rows::decode(&value)?, Found::Bytes(value))?;
        }
    }
    Ok(())
}

/// The session whose id is, or starts with, `prefix`: also one of which nothing but detections is left, by its whole id.
fn session(ask: &Ask, prefix: &str) -> Result<String, QueryError> {
    match sessions::resolve(ask, prefix) {
        Err(error) if error.error.code == "not_found" => {
            let (from, to) = keys::session_detections(ids::session_key(prefix), 0, None);
            let has_any = ask.reader.scan(&from, &to).next().is_some();
            if has_any { Ok(prefix.to_owned()) } else { Err(error) }
        }
        other => other,
    }
}

/// A record, if it can be read: one that is damaged costs what only it says.
fn read(ask: &Ask, locator: [u8; 10]) -> Option<Payload> {
    let record = ask.reader.record(Locator::from_bytes(locator)).map_err(|e| e.to_string());
    match record.and_then(|record| record::read(&record).map_err(|e| e.to_string())) {
        Ok(payload) => Some(payload),
        Err(error) => {
            tracing::warn!(error, "a detection's record cannot be read");
            None
        }
    }
}

fn to_api(ask: &Ask, place: Place, row: &DetectionRow) -> Result<Detection, QueryError> {
    let (at_ns, id) = place;
    let state = row.state(at_ns, ask.now_ns);
    let reason = match state {
        State::Dismissed => reason(ask, row)?,
        _ => None,
    };
    let intervention = match row.intervention {
        Some(place) => {
            let done = ask.reader.get(&keys::intervention(place))?;
            let done: Option<InterventionRow> = done.map(|bytes| rows::decode(&bytes)).transpose()?;
            done.map(|done| done_to_api(ask, place, &done))
        }
        None => None,
    };
    let known = Detection {
        detection_id: id_text(id),
        kind: row.brief.gist.kind.clone(),
        rule: row.brief.rule.clone(),
        severity: row.brief.gist.severity,
        confidence: row.brief.gist.confidence,
        session_id: row.session_id.clone(),
        project: row.project().map(ToOwned::to_owned),
        turn_id: row.brief.turn_id.clone(),
        span_id: row.brief.span_id.clone(),
        at: rfc3339(at_ns),
        title: row.title.clone(),
        intervention,
        state: state.name().into(),
        reason,
        ..Detection::default()
    };
    let Some(Payload::Detection(found)) = read(ask, row.locator) else { return Ok(known) };
    let evidence = found.evidence.into_iter();
    Ok(Detection {
        agent_id: found.agent_id,
        title: found.title,
        evidence: evidence.map(|e| Evidence { span_id: e.span_id, text: e.text }).collect(),
        advice: found.advice,
        mast: found.mast,
        ..known
    })
}

/// Why it was dismissed.
fn reason(ask: &Ask, row: &DetectionRow) -> Result<Option<String>, QueryError> {
    let said = ask.reader.get(&keys::dismissal(row.about))?;
    let said = said.and_then(|body| record::judgement(&body).ok());
    Ok(said.map(|said| said.reason).filter(|reason| !reason.is_empty()))
}

fn done_to_api(ask: &Ask, (at_ns, id): Place, row: &InterventionRow) -> Intervention {
    let known = Intervention {
        intervention_id: id_text(id),
        at: rfc3339(at_ns),
        session_id: row.session_id.clone(),
        detection_id: row.detection.map(id_text),
        kind: row.kind.clone(),
        rule: row.rule.clone(),
        action: row.action.clone(),
        ..Intervention::default()
    };
    let Some(Payload::Intervention(done)) = read(ask, row.locator) else { return known };
    Intervention {
        agent_id: done.agent_id,
        event: done.event,
        span_id: done.tool_use_id.as_deref().map(|id| ids::span(&row.session_id, "tool", id)),
        tool_use_id: done.tool_use_id,
        text: done.text,
        delivered: done.delivered,
        ..known
    }
}
