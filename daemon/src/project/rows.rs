//! The rows that the index keeps: their keys, and how they are written. All derived, all rebuilt from the
//! journal when [`super::VERSION`] or the prices change, so their shape needs no history.
//!
//! Integers in keys are big-endian: keys sort as their numbers do. Values stay below a kilobyte.

use ccd_proto::api::Session;
use serde::{Deserialize, Serialize};

use super::billed::ChargeKey;
use super::exchange::ExchangeRow;
use super::retries::RetryRow;

/// Counters of the whole store.
pub const COUNTERS: &[u8] = &[0x20];
const SESSION: u8 = 0x21;
const SESSION_RECORD: u8 = 0x22;
const EXCHANGE: u8 = 0x23;
const LOOKUP: u8 = 0x25;
const RETRY: u8 = 0x26;
const LIMITS: u8 = 0x27;
const CHARGE: u8 = 0x40;
const SESSION_CHARGE: u8 = 0x41;
const ACCOUNT: u8 = 0x42;
const CLOSING: u8 = 0x43;
const RECENT: u8 = 0x28;
const NOTICE: u8 = 0x3f;
const REQUEST: u8 = 0x44;
/// That telemetry told of a request. No value.
pub const TOLD: &[u8] = &[0x45];

/// Length of a roll-up's time bucket: a quarter of an hour, so that days can be cut in any time zone.
pub const BUCKET_NS: u64 = 900_000_000_000;

/// Counters of the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Hook events recorded.
    pub hooks: u64,
    /// Exchanges recorded.
    pub exchanges: u64,
    /// Exchanges recorded with less than their whole bytes, and those that could not be captured at all.
    pub gaps: u64,
    /// Sessions.
    pub sessions: u64,
    /// Records that this build cannot read.
    pub unreadable: u64,
    /// Exchanges that repeat one that failed.
    pub retries: u64,
    /// Stretches of transcripts, and of other recorders' files.
    pub transcripts: u64,
    /// Detections recorded.
    pub detections: u64,
    /// Interventions recorded.
    pub interventions: u64,
    /// Judgements recorded.
    pub judgements: u64,
    /// Events, spans and metrics of the client's own telemetry.
    pub telemetry: u64,
    /// When the latest of them was told, nanoseconds since the Unix epoch.
    pub telemetry_ns: u64,
}

impl Counters {
    /// Records of what was captured, and of what was made of it.
    #[must_use]
    pub fn records(&self) -> u64 {
        let captured = self.hooks + self.exchanges + self.transcripts + self.telemetry + self.unreadable;
        captured + self.detections + self.interventions + self.judgements
    }
}

/// What a session's row holds. It begins with the session, which may be read alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The session as `sessions` lists it.
    pub session: Session,
    /// How many of its models, from the first, it called itself; the others are its account's.
    pub called: u8,
}

impl SessionRow {
    /// The row of a session of which no account is known.
    #[must_use]
    pub fn new(session: Session) -> Self {
        let called = u8::try_from(session.models.len()).unwrap_or(u8::MAX);
        SessionRow { session, called }
    }
}

/// A charge.
#[must_use]
pub fn charge(key: ChargeKey) -> Vec<u8> {
    let mut out = prefixed(CHARGE, &key.message.to_be_bytes());
    out.extend_from_slice(&key.request.to_be_bytes());
    out
}

/// The range of a message's charges; the anonymous one is the first.
#[must_use]
pub fn charges_of(message: u64) -> (Vec<u8>, Vec<u8>) {
    let mut to = charge(ChargeKey { message, request: u64::MAX });
    to.push(0);
    (charge(ChargeKey { message, request: 0 }), to)
}

/// That a source other than telemetry has a charge of a request. No value.
#[must_use]
pub fn request(key: ChargeKey) -> Vec<u8> {
    let mut out = prefixed(REQUEST, &key.request.to_be_bytes());
    out.extend_from_slice(&key.message.to_be_bytes());
    out
}

/// The range of a request's.
#[must_use]
pub fn request_of(request_hash: u64) -> (Vec<u8>, Vec<u8>) {
    let mut to = request(ChargeKey { message: u64::MAX, request: request_hash });
    to.push(0);
    (request(ChargeKey { message: 0, request: request_hash }), to)
}

/// The range of all charges.
#[must_use]
pub fn charges() -> (Vec<u8>, Vec<u8>) {
    (vec![CHARGE], vec![CHARGE + 1])
}

/// The charge that a row of [`charges`] is of.
#[must_use]
pub fn charge_of_key(key: &[u8]) -> Option<ChargeKey> {
    Some(ChargeKey { message: number(key, 1..9)?, request: number(key, 9..17)? })
}

/// That a charge is one of a session's. No value.
#[must_use]
pub fn session_charge(session: [u8; 16], at_ns: u64, key: ChargeKey) -> Vec<u8> {
    let mut out = session_charges_from(session, at_ns);
    out.extend_from_slice(&key.message.to_be_bytes());
    out.extend_from_slice(&key.request.to_be_bytes());
    out
}

/// Such keys of a session from this time on.
#[must_use]
pub fn session_charges_from(session: [u8; 16], at_ns: u64) -> Vec<u8> {
    let mut out = prefixed(SESSION_CHARGE, &session);
    out.extend_from_slice(&at_ns.to_be_bytes());
    out
}

/// The end of a session's.
#[must_use]
pub fn session_charges_end(session: [u8; 16]) -> Vec<u8> {
    let mut out = session_charge(session, u64::MAX, ChargeKey { message: u64::MAX, request: u64::MAX });
    out.push(0);
    out
}

/// When the charge of such a key was, and which it is.
#[must_use]
pub fn charge_of_session_key(key: &[u8]) -> Option<(u64, ChargeKey)> {
    Some((number(key, 17..25)?, ChargeKey { message: number(key, 25..33)?, request: number(key, 33..41)? }))
}

/// A session's account.
#[must_use]
pub fn account(session: [u8; 16]) -> Vec<u8> {
    prefixed(ACCOUNT, &session)
}

/// The range of all accounts.
#[must_use]
pub fn accounts() -> (Vec<u8>, Vec<u8>) {
    (vec![ACCOUNT], vec![ACCOUNT + 1])
}

/// A client's closing totals.
#[must_use]
pub fn closing(start_ns: u64, session: [u8; 16], at_ns: u64) -> Vec<u8> {
    let mut out = prefixed(CLOSING, &start_ns.to_be_bytes());
    out.extend_from_slice(&session);
    out.extend_from_slice(&at_ns.to_be_bytes());
    out
}

/// The range of the closing totals of clients that began then.
#[must_use]
pub fn closings(start_ns: u64) -> (Vec<u8>, Vec<u8>) {
    let mut to = closing(start_ns, [0xff; 16], u64::MAX);
    to.push(0);
    (closing(start_ns, [0; 16], 0), to)
}

/// The range of all closing totals.
#[must_use]
pub fn all_closings() -> (Vec<u8>, Vec<u8>) {
    (vec![CLOSING], vec![CLOSING + 1])
}

/// The beginning, the session and the time in the key of closing totals.
#[must_use]
pub fn closing_of_key(key: &[u8]) -> Option<(u64, [u8; 16], u64)> {
    Some((number(key, 1..9)?, key.get(9..25)?.try_into().ok()?, number(key, 25..33)?))
}

/// A session's row.
#[must_use]
pub fn session(key: [u8; 16]) -> Vec<u8> {
    prefixed(SESSION, &key)
}

/// The range of all sessions' rows.
#[must_use]
pub fn sessions() -> (Vec<u8>, Vec<u8>) {
    (vec![SESSION], vec![SESSION + 1])
}

/// That a session was last used then. No value. The one that was used last comes first; of those that were used at the
/// same time, the one whose row comes first.
#[must_use]
pub fn recent(last_ns: u64, session: [u8; 16]) -> Vec<u8> {
    let mut out = prefixed(RECENT, &(u64::MAX - last_ns).to_be_bytes());
    out.extend_from_slice(&session);
    out
}

/// The range of the sessions that were used between these times, the later one included.
#[must_use]
pub fn recents(from_ns: u64, to_ns: u64) -> (Vec<u8>, Vec<u8>) {
    let mut to = recent(from_ns, [0xff; 16]);
    to.push(0);
    (recent(to_ns, [0; 16]), to)
}

/// The session that a row of [`recents`] is of.
#[must_use]
pub fn session_of_recent(key: &[u8]) -> Option<[u8; 16]> {
    key.get(9..25)?.try_into().ok()
}

/// A record of a session; the value is its locator.
#[must_use]
pub fn session_record(key: [u8; 16], seq: u64) -> Vec<u8> {
    let mut out = prefixed(SESSION_RECORD, &key);
    out.extend_from_slice(&seq.to_be_bytes());
    out
}

/// The range of a session's records.
#[must_use]
pub fn session_records(key: [u8; 16]) -> (Vec<u8>, Vec<u8>) {
    let mut to = session_record(key, u64::MAX);
    to.push(0);
    (session_record(key, 0), to)
}

/// The range of all sessions' records.
#[must_use]
pub fn all_session_records() -> (Vec<u8>, Vec<u8>) {
    (vec![SESSION_RECORD], vec![SESSION_RECORD + 1])
}

/// The key of the session that a row of [`all_session_records`] belongs to.
#[must_use]
pub fn session_of_record(key: &[u8]) -> Option<[u8; 16]> {
    key.get(1..17)?.try_into().ok()
}

/// When the exchange of this row began, and its id.
#[must_use]
pub fn exchange_of_key(key: &[u8]) -> Option<(u64, [u8; 16])> {
    Some((u64::from_be_bytes(key.get(1..9)?.try_into().ok()?), key.get(9..25)?.try_into().ok()?))
}

/// An exchange's row.
#[must_use]
pub fn exchange(started_ns: u64, id: [u8; 16]) -> Vec<u8> {
    let mut out = exchanges_from(started_ns);
    out.extend_from_slice(&id);
    out
}

/// Keys of exchanges from this time on.
#[must_use]
pub fn exchanges_from(started_ns: u64) -> Vec<u8> {
    prefixed(EXCHANGE, &started_ns.to_be_bytes())
}

/// The end of all exchanges.
#[must_use]
pub fn exchanges_end() -> Vec<u8> {
    vec![EXCHANGE + 1]
}

/// The row of an exchange that repeats or is repeated.
#[must_use]
pub fn retry(started_ns: u64, id: [u8; 16]) -> Vec<u8> {
    let mut out = retries_from(started_ns);
    out.extend_from_slice(&id);
    out
}

/// Keys of such rows from this beginning of their exchange on.
#[must_use]
pub fn retries_from(started_ns: u64) -> Vec<u8> {
    prefixed(RETRY, &started_ns.to_be_bytes())
}

/// The end of all of them.
#[must_use]
pub fn retries_end() -> Vec<u8> {
    vec![RETRY + 1]
}

/// What is known of an upstream's rate limits.
#[must_use]
pub fn limits(upstream: &str) -> Vec<u8> {
    prefixed(LIMITS, &super::ids::session_key(upstream))
}

/// The range of all upstreams' rate limits.
#[must_use]
pub fn all_limits() -> (Vec<u8>, Vec<u8>) {
    (vec![LIMITS], vec![LIMITS + 1])
}

/// That a threshold was told of: a row without a value, under the id of the record that says so.
#[must_use]
pub fn notice(id: [u8; 16]) -> Vec<u8> {
    prefixed(NOTICE, &id)
}

/// Longest id kept as a key; ids that agree so far are told apart where they lead to.
const MAX_ID: usize = 64;

/// Where a span's or turn's id leads to: the value is its session's id.
#[must_use]
pub fn lookup(id: &str) -> Vec<u8> {
    prefixed(LOOKUP, &id.as_bytes()[..id.len().min(MAX_ID)])
}

/// The range of all ids that start with `prefix`.
#[must_use]
pub fn lookups(prefix: &str) -> (Vec<u8>, Vec<u8>) {
    let from = lookup(prefix);
    let mut to = from.clone();
    // No id has this byte: it is in no UTF-8 text.
    to.push(0xff);
    (from, to)
}

pub(super) fn number(key: &[u8], range: std::ops::Range<usize>) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(range)?.try_into().ok()?))
}

pub(super) fn prefixed(prefix: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + rest.len());
    out.push(prefix);
    out.extend_from_slice(rest);
    out
}

/// A row that does not encode or decode.
#[derive(Debug, thiserror::Error)]
#[error("index row: {0}")]
pub struct RowError(String);

impl RowError {
    /// With what is wrong.
    #[must_use]
    pub fn new(what: String) -> Self {
        RowError(what)
    }
}

/// A value's bytes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, RowError> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|e| RowError(e.to_string()))
}

/// A value from its bytes.
pub fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, RowError> {
    decode_within::<T, { 1 << 20 }>(bytes)
}

/// A value from its bytes, which may take this much.
pub fn decode_within<T: for<'a> Deserialize<'a>, const LIMIT: usize>(bytes: &[u8]) -> Result<T, RowError> {
    let limit = bincode::config::standard().with_limit::<LIMIT>();
    let (value, _) = bincode::serde::decode_from_slice(bytes, limit).map_err(|e| RowError(e.to_string()))?;
    Ok(value)
}

/// An exchange's row as `exchanges` and `show` print it, with its place among the attempts at the same request.
#[must_use]
pub fn to_api(row: &ExchangeRow, retry: Option<&RetryRow>) -> ccd_proto::api::Exchange {
    let cost = match (row.tokens, row.cost) {
        (None, _) => String::new(),
        (Some(_), None) => "unpriced".into(),
        (Some(_), Some(c)) => ccd_proto::api::display_usd(i64::try_from(c).unwrap_or(i64::MAX)),
    };
    ccd_proto::api::Exchange {
        exchange_id: super::ids::exchange(row.id),
        session_id: row.session_id.clone(),
        agent_id: row.agent_id.clone(),
        method: row.method.clone(),
        path: row.path.clone(),
        status: row.status,
        request_id: row.request_id.clone(),
        message_id: row.message_id.clone(),
        model: row.model.clone(),
        purpose: row.purpose.clone(),
        started_at: crate::clock::rfc3339(row.started_ns),
        ttfb_ms: row.ttfb_us.map(|us| us / 1000),
        duration_ms: row.end_us / 1000,
        request_bytes: row.request_bytes,
        response_bytes: row.response_bytes,
        complete: row.complete,
        stream: row.stream,
        stop_reason: row.stop_reason.clone(),
        error: row.error.clone(),
        tokens: row.tokens,
        cost_usd_micros: row.cost.map(|c| i64::try_from(c).unwrap_or(i64::MAX)),
        cost,
        reasoning: row.reasoning(),
        timing: row.timing.to_api(row.end_us),
        retry_of: retry.and_then(|r| r.retry_of).map(super::ids::exchange),
        attempt: retry.map_or(1, |r| r.attempt),
        retried_by: retry.and_then(|r| r.retried_by).map(super::ids::exchange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_time() {
        assert!(exchange(1, [255; 16]) < exchange(2, [0; 16]));
        assert!(exchange(u64::MAX, [255; 16]) < exchanges_end());
        let key = ChargeKey { message: 7, request: u64::MAX };
        assert_eq!(charge_of_key(&charge(key)), Some(key));
        assert!(charge(key) < charges_of(7).1 && charge(key.anonymous()) == charges_of(7).0);
        assert_eq!(charge_of_session_key(&session_charge([1; 16], 9, key)), Some((9, key)));
        assert!(session_charge([1; 16], u64::MAX, key) < session_charges_end([1; 16]));
        assert_eq!(closing_of_key(&closing(3, [2; 16], 4)), Some((3, [2; 16], 4)));
        assert!(closing(3, [0xff; 16], u64::MAX) < closings(3).1);
        assert!(recent(5, [9; 16]) < recent(4, [0; 16]) && recent(5, [0; 16]) < recent(5, [1; 16]));
        assert_eq!(session_of_recent(&recent(5, [9; 16])), Some([9; 16]));
        let (from, to) = recents(4, 5);
        assert!(recent(6, [9; 16]) < from && from <= recent(5, [0; 16]));
        assert!(recent(4, [255; 16]) < to && to <= recent(3, [0; 16]));
        let (from, to) = session_records([3; 16]);
        assert!(session_record([3; 16], u64::MAX) < to && session_record([3; 16], 0) >= from);
    }

    #[test]
    fn rows_come_back() {
        let session = Session { session_id: "s".into(), models: vec!["m".into()], ..Session::default() };
        let row = encode(&SessionRow::new(session.clone())).unwrap();
        assert_eq!(decode::<SessionRow>(&row).unwrap(), SessionRow { session: session.clone(), called: 1 });
        assert_eq!(decode::<Session>(&row).unwrap(), session, "a row begins with its session");
    }
}
