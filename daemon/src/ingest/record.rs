//! The records: what the journal keeps of each captured fact. Frozen structs inside (kind, schema) envelopes.
//!
//! A released struct never changes: a new shape is a new struct with a new schema number, and a reader for the
//! old one stays. Payloads are kept as the bytes that came. Enums are only ever added to at their end, because
//! bincode stores a variant's position.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use ccd_store::{BlobRef, NewRecord, Record, RecordId};
use serde::{Deserialize, Serialize};

/// Kind of a hook event's record.
pub const KIND_HOOK: u8 = 1;
/// Kind of an exchange's record.
pub const KIND_EXCHANGE: u8 = 2;
/// Kind of the record of exchanges that could not be captured.
pub const KIND_GAP: u8 = 3;

/// Hook payloads up to this size lie in the record itself; larger ones in the packs, which costs whoever waits
/// for the acknowledgement a second fsync.
pub const INLINE_MAX: usize = 64 << 10;

/// A captured body: in the record, or in the packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// The bytes.
    Inline(Vec<u8>),
    /// Where the bytes are.
    Blob(BlobRef),
}

/// A hook event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookV1 {
    /// When the shim was started, nanoseconds since the Unix epoch.
    pub arrived_ns: u64,
    /// The client's name and version as the hook's environment gave it.
    pub client: Vec<u8>,
    /// The payload, untouched.
    pub body: Stored,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The response came to its end.
    Complete,
    /// The client went away first.
    ClientGone,
    /// Upstream could not be reached, or broke off.
    UpstreamFailed,
    /// The daemon was stopped in the middle.
    Stopped,
}

/// One body of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyV1 {
    /// Bytes that went by.
    pub seen: u64,
    /// The bytes kept; fewer than `seen` where the capture's limits cut them.
    pub kept: u64,
    /// The bytes.
    pub stored: Stored,
}

/// How a request got to upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteV1 {
    /// On a connection that was there already: then nothing was looked up, connected or negotiated.
    pub reused: bool,
    /// Through the HTTP proxy of the user's network.
    pub tunnelled: bool,
    /// Address that was connected to: upstream's, or that of the network's proxy.
    pub peer: Option<String>,
    /// Microseconds that the look-up of the name took.
    pub resolve_us: Option<u64>,
    /// Microseconds that connecting took, the network proxy's `CONNECT` included.
    pub connect_us: Option<u64>,
    /// Microseconds that negotiating TLS took.
    pub tls_us: Option<u64>,
}

/// An exchange: schema 1, and behind it the route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeV2 {
    /// Our id, a UUID version 7.
    pub id: [u8; 16],
    /// The client's session header.
    pub session_id: Option<String>,
    /// The client's agent header.
    pub agent_id: Option<String>,
    /// The client's parent agent header.
    pub parent_agent_id: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path and query after the path token.
    pub path: String,
    /// Scheme, host and path prefix that it was sent to.
    pub upstream: String,
    /// HTTP version of the client: 10, 11 or 20.
    pub client_http: u8,
    /// HTTP version of upstream; 0 where it never answered.
    pub upstream_http: u8,
    /// When the request's head arrived, nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// Microseconds until the request's body was read whole.
    pub request_end_us: Option<u64>,
    /// Microseconds until the response's head.
    pub head_us: Option<u64>,
    /// Microseconds until the response's first body byte.
    pub first_byte_us: Option<u64>,
    /// Microseconds until the end.
    pub end_us: u64,
    /// HTTP status that the client received.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong on the connection.
    pub error: Option<String>,
    /// Request headers in order, credentials left out.
    pub request_headers: Vec<(String, Vec<u8>)>,
    /// Response headers in order, cookies left out.
    pub response_headers: Vec<(String, Vec<u8>)>,
    /// Response trailers.
    pub response_trailers: Vec<(String, Vec<u8>)>,
    /// Request body.
    pub request: BodyV1,
    /// Response body.
    pub response: BodyV1,
    /// Arrival of each chunk of the response body: bytes in the chunk, microseconds since the chunk before
    /// (the first: since the request's arrival).
    pub marks: Vec<(u64, u64)>,
    /// How it got to upstream. Nothing is known of those recorded by schema 1.
    pub route: RouteV1,
}

/// Exchanges that could not be captured at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapV1 {
    /// When the first of them began, nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// When the last of them began, nanoseconds since the Unix epoch.
    pub to_ns: u64,
    /// How many.
    pub exchanges: u64,
    /// Why the first of them was not captured.
    pub reason: String,
}

/// A record of any kind that this build reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A hook event.
    Hook(HookV1),
    /// An exchange.
    Exchange(Box<ExchangeV2>),
    /// Exchanges that could not be captured.
    Gap(GapV1),
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer build.
    #[error("record of kind {kind}, schema {schema}: written by a newer ccd")]
    Unknown {
        /// Its kind.
        kind: u8,
        /// Its schema.
        schema: u8,
    },
    /// Not what its envelope says.
    #[error("record does not decode: {0}")]
    Damaged(String),
}

/// Limit of one decoded record: bodies are in the packs, so records are small.
const LIMIT: usize = 64 << 20;

fn codec() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
    bincode::config::standard().with_limit::<LIMIT>()
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, RecordError> {
    bincode::serde::encode_to_vec(value, codec()).map_err(|e| RecordError::Damaged(e.to_string()))
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, RecordError> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, codec()).map_err(|e| RecordError::Damaged(e.to_string()))?;
    if used != bytes.len() {
        return Err(RecordError::Damaged(format!("{} bytes left over", bytes.len() - used)));
    }
    Ok(value)
}

impl HookV1 {
    /// The record's id: the same event, delivered twice, is one record.
    #[must_use]
    pub fn record_id(arrived_ns: u64, body: &[u8]) -> RecordId {
        let mut hash = blake3::Hasher::new();
        hash.update(b"ccd hook v1");
        hash.update(&arrived_ns.to_be_bytes());
        hash.update(body);
        first16(hash.finalize())
    }

    /// The journal's record.
    pub fn to_record(&self, id: RecordId) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_HOOK, schema: 1, id, at_ns: self.arrived_ns, body: encode(self)? })
    }
}

impl ExchangeV2 {
    /// The journal's record.
    pub fn to_record(&self) -> Result<NewRecord, RecordError> {
        Ok(NewRecord {
            kind: KIND_EXCHANGE,
            schema: 2,
            id: self.id,
            at_ns: self.started_ns,
            body: encode(self)?,
        })
    }
}

impl GapV1 {
    /// The journal's record.
    pub fn to_record(&self, id: RecordId) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_GAP, schema: 1, id, at_ns: self.from_ns, body: encode(self)? })
    }

    /// Adds others to it.
    pub fn add(&mut self, other: &GapV1) {
        self.from_ns = self.from_ns.min(other.from_ns);
        self.to_ns = self.to_ns.max(other.to_ns);
        self.exchanges = self.exchanges.saturating_add(other.exchanges);
    }
}

/// Reads a record of the journal.
pub fn read(record: &Record) -> Result<Payload, RecordError> {
    match (record.kind, record.schema) {
        (KIND_HOOK, 1) => Ok(Payload::Hook(decode(&record.body)?)),
        (KIND_EXCHANGE, 1) => {
            let whole = [&record.body, &encode(&RouteV1::default())?[..]].concat();
            Ok(Payload::Exchange(Box::new(decode(&whole)?)))
        }
        (KIND_EXCHANGE, 2) => Ok(Payload::Exchange(Box::new(decode(&record.body)?))),
        (KIND_GAP, 1) => Ok(Payload::Gap(decode(&record.body)?)),
        (kind, schema) => Err(RecordError::Unknown { kind, schema }),
    }
}

/// The bodies in the packs that a record names. A record that does not decode names none.
pub fn blobs(record: &Record) -> Result<Vec<BlobRef>, RecordError> {
    let named = |stored: &Stored| match stored {
        Stored::Blob(blob) => Some(*blob),
        Stored::Inline(_) => None,
    };
    match read(record) {
        Ok(Payload::Hook(hook)) => Ok(named(&hook.body).into_iter().collect()),
        Ok(Payload::Exchange(exchange)) => {
            Ok([&exchange.request, &exchange.response].into_iter().filter_map(|b| named(&b.stored)).collect())
        }
        Ok(Payload::Gap(_)) | Err(RecordError::Damaged(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The first 16 bytes of a hash.
#[must_use]
pub fn first16(hash: blake3::Hash) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&hash.as_bytes()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ccd_store::Locator;
    use proptest::prelude::*;

    fn stored(new: NewRecord) -> Record {
        let locator = Locator { segment: 1, offset: 0, index: 0 };
        let NewRecord { kind, schema, id, at_ns, body } = new;
        Record { seq: 1, locator, kind, schema, id, at_ns, body }
    }

    fn exchange() -> ExchangeV2 {
        ExchangeV2 {
            id: [7; 16],
            session_id: Some("s".into()),
            agent_id: None,
            parent_agent_id: None,
            method: "POST".into(),
            path: "/v1/messages?beta=true".into(),
            upstream: "https://api.anthropic.com".into(),
            client_http: 11,
            upstream_http: 20,
            started_ns: 1_795_200_000_000_000_000,
            request_end_us: Some(10),
            head_us: Some(1000),
            first_byte_us: Some(1200),
            end_us: 5000,
            status: Some(200),
            outcome: Outcome::Complete,
            error: None,
            request_headers: vec![("Accept".into(), b"*/*".to_vec())],
            response_headers: vec![],
            response_trailers: vec![],
            request: BodyV1 { seen: 2, kept: 2, stored: Stored::Inline(b"{}".to_vec()) },
            response: BodyV1 {
                seen: 300,
                kept: 300,
                stored: Stored::Blob(BlobRef { id: [9; 32], len: 300 }),
            },
            marks: vec![(100, 1200), (200, 3800)],
            route: RouteV1 {
                reused: false,
                tunnelled: true,
                peer: Some("10.0.0.1:3128".into()),
                resolve_us: Some(300),
                connect_us: Some(20_000),
                tls_us: None,
            },
        }
    }

    /// The bytes of each schema as first released: they must decode for ever.
    #[test]
    fn golden_bytes_of_the_first_schemas() {
        let hook =
            HookV1 { arrived_ns: 5, client: b"c".to_vec(), body: Stored::Inline(br#"{"a":1}"#.to_vec()) };
        let record = stored(hook.to_record([1; 16]).unwrap());
        assert_eq!(record.body, b"\x05\x01c\x00\x07{\"a\":1}");
        assert_eq!(read(&record).unwrap(), Payload::Hook(hook));

        let gap = GapV1 { from_ns: 5, to_ns: 700, exchanges: 3, reason: "full".into() };
        let record = stored(gap.to_record([2; 16]).unwrap());
        assert_eq!((record.kind, record.schema, record.at_ns), (3, 1, 5));
        assert_eq!(record.body, b"\x05\xfb\xbc\x02\x03\x04full");
        assert_eq!(read(&record).unwrap(), Payload::Gap(gap));

        let exchange = exchange();
        let mut record = stored(exchange.to_record().unwrap());
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
        assert_eq!(hash(&record.body), GOLDEN_EXCHANGES[1]);
        assert_eq!(read(&record).unwrap(), Payload::Exchange(Box::new(exchange.clone())));

        record.body.truncate(record.body.len() - encode(&exchange.route).unwrap().len());
        record.schema = 1;
        assert_eq!(hash(&record.body), GOLDEN_EXCHANGES[0]);
        let without = ExchangeV2 { route: RouteV1::default(), ..exchange };
        assert_eq!(read(&record).unwrap(), Payload::Exchange(Box::new(without)));
    }

    const GOLDEN_EXCHANGES: [&str; 2] = ["1fabedb07d819a13", "8b083a119c67ca05"];

    #[test]
    fn what_is_not_whole_or_not_ours_is_refused() {
        let mut record = stored(exchange().to_record().unwrap());
        record.body.push(0);
        assert!(matches!(read(&record), Err(RecordError::Damaged(_))));
        record.schema = 99;
        assert!(matches!(read(&record), Err(RecordError::Unknown { kind: 2, schema: 99 })));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(kind in 0u8..5, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&stored(NewRecord { kind, schema: 1, id: [0; 16], at_ns: 0, body }));
        }
    }
}
