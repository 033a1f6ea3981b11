//! `sessions`: which sessions there were.

use ccd_proto::api::{Session, Sessions};
use http::StatusCode;

use super::filter::Filter;
use super::{Ask, QueryError};
use crate::clock::parse_rfc3339;
use crate::project::{ids, rows};

/// Sessions, newest first.
pub fn sessions(ask: &Ask, filter: &Filter) -> Result<Sessions, QueryError> {
    Ok(Sessions { sessions: found(ask, filter, filter.limit)? })
}

/// All sessions that the filter lets through, newest first, without its limit.
pub(super) fn matching(ask: &Ask, filter: &Filter) -> Result<Vec<Session>, QueryError> {
    found(ask, filter, 0)
}

fn found(ask: &Ask, filter: &Filter, limit: usize) -> Result<Vec<Session>, QueryError> {
    let lets = |session: &Session| {
        let times = (parse_rfc3339(&session.started_at), parse_rfc3339(&session.last_at));
        let in_range = match times {
            (Ok(first), Ok(last)) => filter.overlaps(first, last),
            _ => true,
        };
        in_range && filter.matches_project(session)
    };
    if let Some(prefix) = &filter.session {
        let only = row(ask, ids::session_key(&resolve(ask, prefix)?))?;
        return Ok(only.filter(lets).into_iter().collect());
    }
    let mut sessions = Vec::new();
    // Row after row where few are wanted; a whole scan is dearer, and cheaper by the row.
    if limit == 0 {
        let (from, to) = rows::sessions();
        for row in ask.reader.scan(&from, &to) {
            sessions.extend(Some(rows::decode(&row?.1)?).filter(lets));
        }
        sessions.sort_by(|a, b| b.last_at.cmp(&a.last_at));
        return Ok(sessions);
    }
    for session in recent(ask, filter.since_ns.unwrap_or(0)) {
        sessions.extend(Some(session?).filter(lets));
        if sessions.len() == limit {
            break;
        }
    }
    Ok(sessions)
}

/// Sessions that were used since then, newest first.
pub(crate) fn recent(ask: &Ask, since_ns: u64) -> impl Iterator<Item = Result<Session, QueryError>> {
    recent_until(ask, since_ns, u64::MAX)
}

/// Sessions that were used last between these times, the later one included, newest first.
pub(super) fn recent_until(
    ask: &Ask,
    since_ns: u64,
    until_ns: u64,
) -> impl Iterator<Item = Result<Session, QueryError>> {
    let (from, to) = rows::recents(since_ns, until_ns);
    ask.reader.scan(&from, &to).filter_map(|key| {
        let key = match key {
            Ok((key, _)) => rows::session_of_recent(&key)?,
            Err(error) => return Some(Err(error.into())),
        };
        row(ask, key).transpose()
    })
}

pub(crate) fn row(ask: &Ask, key: [u8; 16]) -> Result<Option<Session>, QueryError> {
    Ok(ask.reader.get(&rows::session(key))?.map(|bytes| rows::decode(&bytes)).transpose()?)
}

/// The one session whose id is, or starts with, `prefix`.
pub fn resolve(ask: &Ask, prefix: &str) -> Result<String, QueryError> {
    if ask.reader.get(&rows::session(ids::session_key(prefix)))?.is_some() {
        return Ok(prefix.to_owned());
    }
    let (from, to) = rows::sessions();
    let mut found: Vec<String> = Vec::new();
    for row in ask.reader.scan(&from, &to) {
        let session: Session = rows::decode(&row?.1)?;
        if session.session_id.starts_with(prefix) {
            found.push(session.session_id);
        }
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(QueryError::not_found(format!("no session {prefix:?}"))
            .hint("`ccctl sessions` lists them; the start of an id is enough")),
        many => {
            let some: Vec<&str> = many.iter().take(5).map(String::as_str).collect();
            Err(QueryError::new(
                StatusCode::CONFLICT,
                "ambiguous",
                format!("{} sessions start with {prefix:?}: {}", many.len(), some.join(", ")),
            )
            .hint("give more of the id"))
        }
    }
}
