//! `exchanges` and `exchange`: what went over the wire, as a list and byte for byte.

use std::collections::HashMap;

use ccd_proto::api::{Exchange, ExchangeDetail, Exchanges, StreamEvent};
use http::StatusCode;

use super::filter::Filter;
use super::{Ask, QueryError, content, sessions};
use crate::ingest::record::{self, BodyV1, ExchangeV3, Payload};
use crate::live::body;
use crate::project::exchange::{ExchangeRow, assemble, header, read, request_encoding, response_encoding};
use crate::project::retries::RetryRow;
use crate::project::{decode, ids, limits, rows, sse};

/// Exchanges, newest first.
pub fn exchanges(ask: &Ask, filter: &Filter) -> Result<Exchanges, QueryError> {
    let session = match &filter.session {
        Some(prefix) => Some(sessions::resolve(ask, prefix)?),
        None => None,
    };
    let of_project: Option<Vec<String>> = match &filter.project {
        Some(_) => Some(sessions::matching(ask, filter)?.into_iter().map(|s| s.session_id).collect()),
        None => None,
    };
    let from = rows::exchanges_from(filter.since_ns.unwrap_or(0));
    let to = filter.until_ns.map_or_else(rows::exchanges_end, rows::exchanges_from);
    let mut found: Vec<ExchangeRow> = Vec::new();
    for row in ask.reader.scan(&from, &to).rev() {
        if filter.full(found.len()) {
            break;
        }
        let row: ExchangeRow = rows::decode(&row?.1)?;
        let of = |id: &String| row.session_id.as_ref() == Some(id);
        if session.as_ref().is_none_or(of)
            && of_project.as_ref().is_none_or(|ids| ids.iter().any(of))
            && filter
                .status
                .as_deref()
                .is_none_or(|s| (s == "error") == (row.error.is_some() || !row.complete))
        {
            found.push(row);
        }
    }
    let retries = retries_among(ask, &found)?;
    let exchanges = found.iter().map(|row| with_reasoning(ask, row, retries.get(&row.id), filter));
    Ok(Exchanges { exchanges: exchanges.collect::<Result<_, _>>()? })
}

/// The links between attempts of those listed: there are few, so their range is read, not each.
fn retries_among(ask: &Ask, found: &[ExchangeRow]) -> Result<HashMap<[u8; 16], RetryRow>, QueryError> {
    let (Some(newest), Some(oldest)) = (found.first(), found.last()) else { return Ok(HashMap::new()) };
    let to = rows::retries_from(newest.started_ns.saturating_add(1));
    let mut retries = HashMap::new();
    for row in ask.reader.scan(&rows::retries_from(oldest.started_ns), &to) {
        let row: RetryRow = rows::decode(&row?.1)?;
        retries.insert(row.id, row);
    }
    Ok(retries)
}

/// An exchange's place among the attempts at the same request.
fn retry(ask: &Ask, row: &ExchangeRow) -> Result<Option<RetryRow>, QueryError> {
    let found = ask.reader.get(&rows::retry(row.started_ns, row.id))?;
    Ok(found.map(|bytes| rows::decode(&bytes)).transpose()?)
}

/// One exchange as the list has it, by its row's key; none if the index does not know it (any more).
pub fn one(ask: &Ask, started_ns: u64, id: [u8; 16]) -> Result<Option<Exchange>, QueryError> {
    let Some(bytes) = ask.reader.get(&rows::exchange(started_ns, id))? else { return Ok(None) };
    let row: ExchangeRow = rows::decode(&bytes)?;
    Ok(Some(rows::to_api(&row, retry(ask, &row)?.as_ref())))
}

fn with_reasoning(
    ask: &Ask,
    row: &ExchangeRow,
    retry: Option<&RetryRow>,
    filter: &Filter,
) -> Result<Exchange, QueryError> {
    let mut exchange = rows::to_api(row, retry);
    if filter.reasoning
        && row.thinking_blocks > row.thinking_omitted
        && let Some(stored) = ask.reader.record_by_id(&row.id)?
    {
        exchange.reasoning = content::reasoning(ask, stored.locator)?;
    }
    Ok(exchange)
}

/// The id of the one exchange whose id is, or starts with, `prefix`.
pub fn resolve(ask: &Ask, prefix: &str) -> Result<[u8; 16], QueryError> {
    if let Ok(id) = uuid::Uuid::parse_str(prefix) {
        return Ok(id.into_bytes());
    }
    let looks_right = prefix.len() >= 4 && prefix.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let mut found = Vec::new();
    if looks_right {
        for row in ask.reader.scan(&rows::exchanges_from(0), &rows::exchanges_end()).rev() {
            let row: ExchangeRow = rows::decode(&row?.1)?;
            if ids::exchange(row.id).starts_with(prefix) {
                found.push(row.id);
            }
        }
    }
    match found.as_slice() {
        [only] => Ok(*only),
        [] => {
            Err(QueryError::not_found(format!("no exchange {prefix:?}")).hint("`ccctl exchanges` lists them"))
        }
        many => Err(QueryError::new(
            StatusCode::CONFLICT,
            "ambiguous",
            format!("{} exchanges start with {prefix:?}", many.len()),
        )
        .hint("give more of the id")),
    }
}

pub(super) fn load(ask: &Ask, id: [u8; 16]) -> Result<Box<ExchangeV3>, QueryError> {
    let missing = || QueryError::not_found(format!("no exchange {}", ids::exchange(id)));
    let stored = ask.reader.record_by_id(&id)?.ok_or_else(missing)?;
    match record::read(&stored) {
        Ok(Payload::Exchange(exchange)) => Ok(exchange),
        Ok(_) => Err(missing()),
        Err(e) => Err(QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "store", e.to_string())),
    }
}

/// Where an exchange was sent (scheme, host and path prefix), and a header of its request; none if it is not on record (any
/// more).
pub fn sent(ask: &Ask, id: [u8; 16], name: &str) -> Result<Option<(String, Option<String>)>, QueryError> {
    let Some(stored) = ask.reader.record_by_id(&id)? else { return Ok(None) };
    Ok(match record::read(&stored) {
        Ok(Payload::Exchange(record)) => {
            let value = header(&record.request_headers, name).map(str::to_owned);
            Some((record.upstream.clone(), value))
        }
        _ => None,
    })
}

/// Which of an exchange's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the client sent.
    Request,
    /// What the API sent.
    Response,
}

/// The bytes of a body, as they went over the wire.
pub fn bytes(ask: &Ask, id: &str, side: Side) -> Result<Vec<u8>, QueryError> {
    let record = load(ask, resolve(ask, id)?)?;
    let of = match side {
        Side::Request => &record.request,
        Side::Response => &record.response,
    };
    Ok(body(&ask.reader, &of.stored)?)
}

/// The bytes of a body, and where values lay in pieces in it.
pub fn with_cuts(ask: &Ask, id: &str, side: Side) -> Result<(Vec<u8>, Vec<record::CutV1>), QueryError> {
    let record = load(ask, resolve(ask, id)?)?;
    let (of, cuts) = match side {
        Side::Request => (&record.request, Vec::new()),
        Side::Response => (&record.response, record.redaction.cuts.clone()),
    };
    Ok((body(&ask.reader, &of.stored)?, cuts))
}

/// One exchange in full.
pub fn exchange(ask: &Ask, id: &str, filter: &Filter) -> Result<ExchangeDetail, QueryError> {
    let record = load(ask, resolve(ask, id)?)?;
    let request = body(&ask.reader, &record.request.stored)?;
    let response = body(&ask.reader, &record.response.stored)?;
    detail(ask, &record, &request, &response, filter)
}

/// An exchange and its bodies.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// What is known of it.
    pub detail: ExchangeDetail,
    /// Scheme, host and path prefix that it was sent to.
    pub upstream: String,
    /// The request's body, inflated.
    pub request: Vec<u8>,
    /// The response's body, inflated.
    pub response: Vec<u8>,
    /// Why less of the request's or of the response's body could be inflated than there is.
    pub cut: (Option<String>, Option<String>),
}

/// One exchange in full, with its bodies.
pub fn whole(ask: &Ask, id: [u8; 16], filter: &Filter) -> Result<Whole, QueryError> {
    let record = load(ask, id)?;
    let request = body(&ask.reader, &record.request.stored)?;
    let response = body(&ask.reader, &record.response.stored)?;
    let detail = detail(ask, &record, &request, &response, filter)?;
    let inflated = |encoding: &str, bytes: Vec<u8>| {
        let decoded = decode::decode(&bytes, encoding);
        (decoded.bytes.into_owned(), decoded.cut.map(|cut| cut.to_string()))
    };
    // What redaction stored inflated is not inflated again.
    let (request, request_cut) = inflated(request_encoding(&record), request);
    let (response, response_cut) = inflated(response_encoding(&record), response);
    Ok(Whole { detail, upstream: record.upstream, request, response, cut: (request_cut, response_cut) })
}

/// When each exchange of a session began, and which it is, oldest first; without a session, those that belong to none that
/// is known.
pub fn places(
    ask: &Ask,
    session: Option<&str>,
    since_ns: u64,
    until_ns: Option<u64>,
) -> Result<Vec<(u64, [u8; 16])>, QueryError> {
    let to = until_ns.map_or_else(rows::exchanges_end, rows::exchanges_from);
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut found = Vec::new();
    for row in ask.reader.scan(&rows::exchanges_from(since_ns), &to) {
        let row: ExchangeRow = rows::decode(&row?.1)?;
        let is_of = match (session, row.session_id) {
            (Some(asked), of) => of.as_deref() == Some(asked),
            (None, None) => true,
            (None, Some(id)) => {
                if let Some(is_known) = known.get(&id) {
                    !is_known
                } else {
                    let is_known = sessions::row(ask, ids::session_key(&id))?.is_some();
                    known.insert(id, is_known);
                    !is_known
                }
            }
        };
        if is_of {
            found.push((row.started_ns, row.id));
        }
    }
    Ok(found)
}

fn detail(
    ask: &Ask,
    record: &ExchangeV3,
    request: &[u8],
    response: &[u8],
    filter: &Filter,
) -> Result<ExchangeDetail, QueryError> {
    let facts = read(record, request, response, &ask.shared.live.prices());
    let answer = assemble(record, response);
    let mut exchange = rows::to_api(&facts.row, retry(ask, &facts.row)?.as_ref());
    exchange.reasoning = answer.reasoning(filter.reasoning);
    let text = |headers: &[(String, Vec<u8>)]| -> Vec<(String, String)> {
        headers.iter().map(|(n, v)| (n.clone(), String::from_utf8_lossy(v).into_owned())).collect()
    };
    let kept = |b: &BodyV1| (b.kept < b.seen).then_some(b.kept);
    Ok(ExchangeDetail {
        exchange,
        request_headers: text(&record.request_headers),
        response_headers: text(&record.response_headers),
        response_trailers: text(&record.response_trailers),
        http: (http_version(record.client_http), http_version(record.upstream_http)),
        request_kept: kept(&record.request),
        response_kept: kept(&record.response),
        events: events(record, response),
        rate_limits: facts.limits.as_ref().map(|told| limits::LimitsRow::of(told).to_api(ask.now_ns)),
        retry_after_s: limits::retry_after(record),
        message: Some(answer.message).filter(|m| !m.is_null()),
    })
}

fn http_version(version: u8) -> String {
    match version {
        0 => String::new(),
        10 => "HTTP/1.0".into(),
        20 => "HTTP/2".into(),
        30 => "HTTP/3".into(),
        _ => "HTTP/1.1".into(),
    }
}

/// Each event of a stream and when its last byte arrived. A compressed stream's chunks do not tell where its
/// events end, so its events carry no times.
fn events(record: &ExchangeV3, response: &[u8]) -> Vec<StreamEvent> {
    let content_type = header(&record.response_headers, "content-type").unwrap_or("");
    if !content_type.starts_with("text/event-stream") {
        return Vec::new();
    }
    let encoding = header(&record.response_headers, "content-encoding").unwrap_or("");
    let decoded = decode::decode(response, response_encoding(record));
    let plain = matches!(encoding.trim(), "" | "identity");
    let mut marks = record.marks.iter();
    let (mut upto, mut at_us) = (0u64, 0u64);
    sse::Events::new(&decoded.bytes)
        .map(|event| {
            while plain && upto < event.range.end as u64 {
                let Some((bytes, gap)) = marks.next() else { break };
                upto += bytes;
                at_us += gap;
            }
            StreamEvent {
                event: String::from_utf8_lossy(event.name).into_owned(),
                at_us,
                bytes: event.range.len() as u64,
            }
        })
        .collect()
}
