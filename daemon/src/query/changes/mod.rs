//! `exchange --changes`: what a request has that the one before had not. Requests repeat their whole conversation, so this
//! is what was really said.
//!
//! The one before is that of the same session, agent and purpose that began last before it: other conversations go on
//! beside this one. Nothing is guessed where a request names no session.
//!
//! Must never call a request that was not captured whole unchanged: what cannot be compared is an error that says why.

mod compare;

use std::borrow::Cow;

use ccd_proto::api::RequestChanges;
use http::StatusCode;

use self::compare::{Room, Sent, compare};
use super::{Ask, QueryError, exchanges};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::ingest::record::ExchangeV3;
use crate::live::body;
use crate::project::exchange::{ExchangeRow, decoded_request};
use crate::project::{ids, rows};
use ccd_proto::api::Session;

/// Bytes of a request that is compared.
const MAX_BODY: usize = 64 << 20;
/// Bytes of values that are sent whole.
const MAX_VALUES: usize = 8 << 20;

/// What is new in a request.
pub fn changes(ask: &Ask, id: &str) -> Result<RequestChanges, QueryError> {
    let record = exchanges::load(ask, exchanges::resolve(ask, id)?)?;
    let sent = whole(ask, &record)?;
    let after = parsed(&record, &sent)?;
    let mut room = Room::of(MAX_VALUES);
    let Some(row) = previous(ask, &record)? else {
        return Ok(compare(None, &after, &mut room));
    };
    let earlier = exchanges::load(ask, row.id)?;
    let sent = whole(ask, &earlier).map_err(before)?;
    let before = parsed(&earlier, &sent).map_err(before)?;
    let mut changes = compare(Some(&before), &after, &mut room);
    changes.previous = Some(ids::exchange(row.id));
    changes.previous_at = Some(rfc3339(row.started_ns));
    Ok(changes)
}

/// An error of the request before.
fn before(mut error: QueryError) -> QueryError {
    error.error.message = format!("the request before cannot be compared with: {}", error.error.message);
    error
}

fn refused(code: &str, record: &ExchangeV3, why: &str) -> QueryError {
    let id = ids::exchange(record.id);
    QueryError::new(StatusCode::UNPROCESSABLE_ENTITY, code, format!("the request of exchange {id} {why}"))
        .hint(format!("`ccctl exchange {id} --request` prints what was captured of it"))
}

/// A request's body as the API reads it.
fn whole(ask: &Ask, record: &ExchangeV3) -> Result<Vec<u8>, QueryError> {
    let of = &record.request;
    if of.kept < of.seen {
        let why = format!("was not captured whole: {} of {} bytes", of.kept, of.seen);
        return Err(refused("truncated", record, &why));
    }
    if of.seen == 0 {
        return Err(refused("not_json", record, "has no body"));
    }
    if of.seen > MAX_BODY as u64 {
        return Err(refused("too_large", record, &format!("has {} bytes, too many to be compared", of.seen)));
    }
    let bytes = body(&ask.reader, &of.stored)?;
    let decoded = match decoded_request(record, &bytes) {
        Cow::Owned(decoded) => Some(decoded),
        Cow::Borrowed(_) => None,
    };
    Ok(decoded.unwrap_or(bytes))
}

fn parsed<'a>(record: &ExchangeV3, body: &'a [u8]) -> Result<Sent<'a>, QueryError> {
    Sent::read(body).map_err(|e| refused("not_json", record, &format!("is no JSON object: {e}")))
}

/// The exchange that began last before this one, of the same session, agent and purpose.
fn previous(ask: &Ask, of: &ExchangeV3) -> Result<Option<ExchangeRow>, QueryError> {
    let to = rows::exchange(of.started_ns, of.id);
    let (Some(session), Some(bytes)) = (&of.session_id, ask.reader.get(&to)?) else { return Ok(None) };
    let row: ExchangeRow = rows::decode(&bytes)?;
    // Nothing of the session lies before its beginning.
    let begin = match ask.reader.get(&rows::session(ids::session_key(session)))? {
        Some(bytes) => parse_rfc3339(&rows::decode::<Session>(&bytes)?.started_at).unwrap_or(0),
        None => 0,
    };
    for earlier in ask.reader.scan(&rows::exchanges_from(begin), &to).rev() {
        let earlier: ExchangeRow = rows::decode(&earlier?.1)?;
        if earlier.session_id.as_ref() == Some(session)
            && earlier.agent_id == row.agent_id
            && earlier.purpose == row.purpose
        {
            return Ok(Some(earlier));
        }
    }
    Ok(None)
}
