//! `sessions`: which sessions there were.

use ccd_proto::api::{Session, Sessions};
use http::StatusCode;

use super::filter::Filter;
use super::{Ask, QueryError};
use crate::clock::parse_rfc3339;
use crate::project::rows;

/// Sessions, newest first.
pub fn sessions(ask: &Ask, filter: &Filter) -> Result<Sessions, QueryError> {
    let mut sessions = matching(ask, filter)?;
    if filter.limit != 0 {
        sessions.truncate(filter.limit);
    }
    Ok(Sessions { sessions })
}

/// All sessions that the filter lets through, newest first, without its limit.
pub(super) fn matching(ask: &Ask, filter: &Filter) -> Result<Vec<Session>, QueryError> {
    let (from, to) = rows::sessions();
    let only = match &filter.session {
        Some(prefix) => Some(resolve(ask, prefix)?),
        None => None,
    };
    let mut sessions = Vec::new();
    for row in ask.reader.scan(&from, &to) {
        let session: Session = rows::decode(&row?.1)?;
        let times = (parse_rfc3339(&session.started_at), parse_rfc3339(&session.last_at));
        let in_range = match times {
            (Ok(first), Ok(last)) => filter.overlaps(first, last),
            _ => true,
        };
        if in_range
            && filter.matches_project(&session)
            && only.as_ref().is_none_or(|id| *id == session.session_id)
        {
            sessions.push(session);
        }
    }
    sessions.sort_by(|a, b| b.last_at.cmp(&a.last_at));
    Ok(sessions)
}

/// The one session whose id is, or starts with, `prefix`.
pub fn resolve(ask: &Ask, prefix: &str) -> Result<String, QueryError> {
    if ask.reader.get(&rows::session(crate::project::ids::session_key(prefix)))?.is_some() {
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
