//! The rows that the index keeps: their keys, and how they are written. All derived, all rebuilt from the
//! journal when [`super::VERSION`] or the prices change, so their shape needs no history.
//!
//! Integers in keys are big-endian: keys sort as their numbers do. Values stay below a kilobyte.

use serde::{Deserialize, Serialize};

use super::cost::Sum;
use super::exchange::{ExchangeFacts, ExchangeRow};
use super::retries::RetryRow;
use super::session::SessionState;

/// Counters of the whole store.
pub const COUNTERS: &[u8] = &[0x20];
const SESSION: u8 = 0x21;
const SESSION_RECORD: u8 = 0x22;
const EXCHANGE: u8 = 0x23;
const ROLLUP: u8 = 0x24;
const LOOKUP: u8 = 0x25;
const RETRY: u8 = 0x26;
const LIMITS: u8 = 0x27;
const NOTICE: u8 = 0x3f;

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
}

/// What usage is added up by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RollupKey {
    /// Time bucket: nanoseconds since the Unix epoch divided by [`BUCKET_NS`].
    pub bucket: u32,
    /// The session; empty for exchanges that name none.
    pub session_id: String,
    /// The session's project, as far as it was known.
    pub project: String,
    /// The model.
    pub model: String,
    /// `main`, or the subagent's type.
    pub agent: String,
    /// The tools that the response called, sorted, each once.
    pub tools: Vec<String>,
}

/// Usage of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// The key.
    pub key: RollupKey,
    /// The sum.
    pub sum: Sum,
}

impl RollupKey {
    /// The key that an exchange's usage is added to.
    #[must_use]
    pub fn of(facts: &ExchangeFacts, session: Option<&SessionState>) -> Self {
        const MANY: usize = 8;
        let row = &facts.row;
        let agent = match row.agent_id.as_deref() {
            None => "main",
            Some(id) => session.and_then(|s| s.agent_type(id)).unwrap_or("subagent"),
        };
        let mut tools: Vec<String> =
            facts.tool_uses.iter().map(|t| t.name.chars().take(60).collect()).collect();
        tools.sort();
        tools.dedup();
        tools.truncate(MANY);
        RollupKey {
            bucket: u32::try_from(row.started_ns / BUCKET_NS).unwrap_or(u32::MAX),
            session_id: row.session_id.clone().unwrap_or_default(),
            project: session.and_then(SessionState::project).unwrap_or("").chars().take(100).collect(),
            model: row.model.clone().unwrap_or_else(|| "unknown".into()),
            agent: agent.chars().take(60).collect(),
            tools,
        }
    }

    /// The index's key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        let parts = [&self.session_id, &self.project, &self.model, &self.agent];
        for part in parts.into_iter().chain(&self.tools) {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut key = rollups_from(self.bucket);
        key.extend_from_slice(&hasher.finalize().as_bytes()[..16]);
        key
    }
}

/// Keys of roll-ups from this bucket on.
#[must_use]
pub fn rollups_from(bucket: u32) -> Vec<u8> {
    prefixed(ROLLUP, &bucket.to_be_bytes())
}

/// The bucket in a roll-up's key.
#[must_use]
pub fn rollup_bucket(key: &[u8]) -> u32 {
    key.get(1..5).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The end of all roll-ups.
#[must_use]
pub fn rollups_end() -> Vec<u8> {
    vec![ROLLUP + 1]
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

fn prefixed(prefix: u8, rest: &[u8]) -> Vec<u8> {
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
        let key = |bucket| RollupKey { bucket, ..RollupKey::default() }.to_bytes();
        assert!(key(255) < key(256) && key(u32::MAX) < rollups_end());
        let (from, to) = session_records([3; 16]);
        assert!(session_record([3; 16], u64::MAX) < to && session_record([3; 16], 0) >= from);
    }

    #[test]
    fn rows_come_back() {
        let rollup = Rollup {
            key: RollupKey { bucket: 5, tools: vec!["Bash".into()], ..RollupKey::default() },
            sum: Sum::default(),
        };
        assert_eq!(decode::<Rollup>(&encode(&rollup).unwrap()).unwrap(), rollup);
        let session = ccd_proto::api::Session { session_id: "s".into(), ..Default::default() };
        assert_eq!(decode::<ccd_proto::api::Session>(&encode(&session).unwrap()).unwrap(), session);
    }
}
