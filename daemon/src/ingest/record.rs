//! The records: what the journal keeps of each captured fact. Frozen structs inside (kind, schema) envelopes.
//!
//! A released struct never changes: a new shape is a new struct with a new schema number, and a reader for the
//! old one stays. Payloads are kept as the bytes that came. Enums are only ever added to at their end, because
//! bincode stores a variant's position.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use ccd_store::{BlobRef, NewRecord, Record, RecordId};
use serde::{Deserialize, Serialize};

use super::found::{DetectionV1, InterventionV1, JudgementV1};
use super::scrub::IdKey;
use super::signals::TelemetryV1;

/// Kind of a hook event's record.
pub const KIND_HOOK: u8 = 1;
/// Kind of an exchange's record.
pub const KIND_EXCHANGE: u8 = 2;
/// Kind of the record of exchanges that could not be captured.
pub const KIND_GAP: u8 = 3;
/// Kind of the record of a transcript's lines.
pub const KIND_TRANSCRIPT: u8 = 4;
/// Kind of a status-line snapshot's record.
pub const KIND_STATUS: u8 = 5;
/// Kind of the record that a budget's threshold was told of.
pub const KIND_NOTICE: u8 = 6;
/// Kind of the record of lines that another recorder wrote.
pub const KIND_FOREIGN: u8 = 7;

/// Kind of a detection's record.
pub const KIND_DETECTION: u8 = 8;
/// Kind of the record of what was done about a detection.
pub const KIND_INTERVENTION: u8 = 9;
/// Kind of the record of what the user said of a detection, or of the interventions.
pub const KIND_JUDGEMENT: u8 = 10;

/// Kind of the record of an event, a span or a metric of the client's own telemetry, or of where such come from.
pub const KIND_TELEMETRY: u8 = 11;

/// Hook payloads up to this size lie in the record itself; larger ones in the packs, which costs whoever waits
/// for the acknowledgement a second fsync.
pub const INLINE_MAX: usize = 64 << 10;

/// A captured body: in the record, or in the packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// The bytes.
    Inline(#[serde(with = "whole")] Vec<u8>),
    /// Where the bytes are.
    Blob(BlobRef),
}

/// Bytes written and read as a whole: one by one, as serde takes a vector, a megabyte takes milliseconds. What is
/// written is the same.
mod whole {
    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
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

/// What was taken out of an exchange before it was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactionV1 {
    /// It was looked through. Those recorded by schemas 1 and 2 were not.
    pub scanned: bool,
    /// Marks in the request's body.
    pub request: u64,
    /// Marks in the response's body.
    pub response: u64,
    /// Headers, trailers and other texts that were changed.
    pub elsewhere: u64,
    /// Bytes of the request's body that were left out because they could not be looked through.
    pub request_unscanned: u64,
    /// Likewise, of the response's body.
    pub response_unscanned: u64,
    /// The request's body is stored with its content encoding undone.
    pub request_decoded: bool,
    /// Likewise, the response's body.
    pub response_decoded: bool,
    /// Where values lay in pieces in the response's body, in order of their places.
    pub cuts: Vec<CutV1>,
}

/// One piece of a value that lay in several: the first has the mark, the others lost their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutV1 {
    /// Where in the stored body.
    pub at: u64,
    /// The bytes that stand there instead: those of the mark, or none.
    pub len: u64,
    /// The mark.
    pub mark: String,
    /// Which bytes of what the mark stands for belong there: from this one,
    pub from: u64,
    /// to before that one.
    pub to: u64,
}

/// An exchange: schema 1, behind it the route (schema 2), and behind that what was taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeV3 {
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
    /// What was taken out of it before it was stored.
    pub redaction: RedactionV1,
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

/// What a transcript's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TranscriptPart {
    /// Whole lines.
    Lines,
    /// The file beside a subagent's transcript that tells what it is.
    AgentMeta,
}

/// What a stretch was in its file, where something was taken out of it: its bytes are others there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFileV1 {
    /// Its bytes in the file.
    pub length: u64,
    /// How many of the last of them are known by their hash.
    pub tail_len: u32,
    /// Their hash, made with the key of the ids.
    pub tail: [u8; 16],
    /// From which place of the stored bytes on, and how much further on in the file than there: one for each line behind
    /// one that was changed.
    pub shifts: Vec<(u64, i64)>,
}

/// A stretch of a transcript, as it stood in its file but for the marks: schema 1 where there are none, else schema 2, which
/// has behind it what the stretch was in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptV2 {
    /// The file, as it was named then.
    pub path: Vec<u8>,
    /// What the bytes are.
    pub part: TranscriptPart,
    /// The file's device.
    pub device: u64,
    /// The file's inode.
    pub inode: u64,
    /// When the file was made, nanoseconds since the Unix epoch; where the file system does not say, when it was
    /// last changed at the time it was first seen.
    pub born_ns: u64,
    /// Where in the file the bytes begin.
    pub offset: u64,
    /// The bytes.
    pub body: Stored,
    /// What they were in the file, where something was taken out.
    pub in_file: Option<InFileV1>,
}

/// What the client told its status line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusV1 {
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The JSON, untouched.
    pub body: Vec<u8>,
}

/// A budget's threshold was reached, and somebody was told: each is told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeV1 {
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// `session`, `day` or `month`.
    pub scope: String,
    /// Which one: a session's id, a date, a month.
    pub key: String,
    /// `soft` or `hard`.
    pub level: String,
    /// What was spent then, in micro-dollars.
    pub spent_micros: u64,
    /// The threshold, in micro-dollars.
    pub limit_micros: u64,
}

/// Lines that another recorder wrote, as they stood in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignV1 {
    /// Whose format it is: `pisama-traces`, `pisama-calls` or `cc-tracer`.
    pub format: String,
    /// The file.
    pub path: Vec<u8>,
    /// Where in the file the bytes begin.
    pub offset: u64,
    /// Whole lines.
    pub body: Stored,
}

/// A record of any kind that this build reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A hook event.
    Hook(HookV1),
    /// An exchange.
    Exchange(Box<ExchangeV3>),
    /// Exchanges that could not be captured.
    Gap(GapV1),
    /// A stretch of a transcript.
    Transcript(Box<TranscriptV2>),
    /// What the client told its status line.
    Status(StatusV1),
    /// A budget's threshold was told of.
    Notice(NoticeV1),
    /// Lines of another recorder.
    Foreign(Box<ForeignV1>),
    /// Something goes wrong in a session.
    Detection(Box<DetectionV1>),
    /// Something was done about it.
    Intervention(Box<InterventionV1>),
    /// The user said something of it.
    Judgement(Box<JudgementV1>),
    /// An event of the client's own telemetry.
    Telemetry(Box<TelemetryV1>),
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

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, RecordError> {
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
    /// The record's id, of the bytes that came: the same event, delivered twice, is one record.
    #[must_use]
    pub fn record_id(key: &IdKey, arrived_ns: u64, body: &[u8]) -> RecordId {
        let mut hash = key.hasher();
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

impl ExchangeV3 {
    /// The journal's record.
    pub fn to_record(&self) -> Result<NewRecord, RecordError> {
        Ok(NewRecord {
            kind: KIND_EXCHANGE,
            schema: 3,
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

impl TranscriptV2 {
    /// The record's id, of the bytes in the file: the same stretch of a file of this name is one record, wherever the file
    /// lies.
    #[must_use]
    pub fn record_id(key: &IdKey, name: &[u8], offset: u64, body: &[u8]) -> RecordId {
        let mut hash = key.hasher();
        hash.update(b"ccd transcript v1");
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update(&offset.to_be_bytes());
        hash.update(body);
        first16(hash.finalize())
    }

    /// The journal's record; `at_ns`: when its last line was written.
    pub fn to_record(&self, id: RecordId, at_ns: u64) -> Result<NewRecord, RecordError> {
        let mut body = encode(self)?;
        let schema = if self.in_file.is_some() {
            2
        } else {
            // The byte that says so is no part of schema 1.
            body.pop();
            1
        };
        Ok(NewRecord { kind: KIND_TRANSCRIPT, schema, id, at_ns, body })
    }
}

impl StatusV1 {
    /// The journal's record.
    pub fn to_record(&self, id: RecordId) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_STATUS, schema: 1, id, at_ns: self.at_ns, body: encode(self)? })
    }
}

impl NoticeV1 {
    /// The journal's record.
    pub fn to_record(&self, id: RecordId) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_NOTICE, schema: 1, id, at_ns: self.at_ns, body: encode(self)? })
    }
}

impl ForeignV1 {
    /// The journal's record; `at_ns`: when its last line was written.
    pub fn to_record(&self, id: RecordId, at_ns: u64) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_FOREIGN, schema: 1, id, at_ns, body: encode(self)? })
    }
}

/// Reads a record of the journal.
pub fn read(record: &Record) -> Result<Payload, RecordError> {
    match (record.kind, record.schema) {
        (KIND_HOOK, 1) => Ok(Payload::Hook(decode(&record.body)?)),
        (KIND_EXCHANGE, 1) => {
            let (route, redaction) = (encode(&RouteV1::default())?, encode(&RedactionV1::default())?);
            let whole = [&record.body[..], &route, &redaction].concat();
            Ok(Payload::Exchange(Box::new(decode(&whole)?)))
        }
        (KIND_EXCHANGE, 2) => {
            let whole = [&record.body, &encode(&RedactionV1::default())?[..]].concat();
            Ok(Payload::Exchange(Box::new(decode(&whole)?)))
        }
        (KIND_EXCHANGE, 3) => Ok(Payload::Exchange(Box::new(decode(&record.body)?))),
        (KIND_GAP, 1) => Ok(Payload::Gap(decode(&record.body)?)),
        (KIND_TRANSCRIPT, 1) => {
            let whole = [&record.body, &encode(&None::<InFileV1>)?[..]].concat();
            Ok(Payload::Transcript(decode(&whole)?))
        }
        (KIND_TRANSCRIPT, 2) => Ok(Payload::Transcript(decode(&record.body)?)),
        (KIND_STATUS, 1) => Ok(Payload::Status(decode(&record.body)?)),
        (KIND_NOTICE, 1) => Ok(Payload::Notice(decode(&record.body)?)),
        (KIND_FOREIGN, 1) => Ok(Payload::Foreign(decode(&record.body)?)),
        (KIND_DETECTION, 1) => Ok(Payload::Detection(decode(&record.body)?)),
        (KIND_INTERVENTION, 1) => Ok(Payload::Intervention(decode(&record.body)?)),
        (KIND_JUDGEMENT, 1) => Ok(Payload::Judgement(decode(&record.body)?)),
        (KIND_TELEMETRY, 1) => Ok(Payload::Telemetry(decode(&record.body)?)),
        (kind, schema) => Err(RecordError::Unknown { kind, schema }),
    }
}

/// Reads a judgement from the body of its record, which is kept longer than the record.
pub fn judgement(body: &[u8]) -> Result<JudgementV1, RecordError> {
    decode(body)
}

/// What a stretch of a transcript says of itself: the fields of [`TranscriptV2`] before the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TranscriptHead {
    /// As in [`TranscriptV2`], as all of them.
    pub path: Vec<u8>,
    /// What the bytes are.
    pub part: TranscriptPart,
    /// The file's device.
    pub device: u64,
    /// The file's inode.
    pub inode: u64,
    /// When the file was made.
    pub born_ns: u64,
    /// Where in the file the bytes begin.
    pub offset: u64,
}

/// [`Stored`], with its bytes left where they are.
#[derive(Debug, Deserialize)]
pub enum Kept<'a> {
    /// The bytes.
    Inline(&'a [u8]),
    /// Where the bytes are.
    Blob(BlobRef),
}

/// Reads a stretch of a transcript without copying its bytes.
pub fn transcript(record: &Record) -> Result<(TranscriptHead, Kept<'_>, Option<InFileV1>), RecordError> {
    let damaged = |e: bincode::error::DecodeError| RecordError::Damaged(e.to_string());
    if record.kind != KIND_TRANSCRIPT || !matches!(record.schema, 1 | 2) {
        return Err(RecordError::Unknown { kind: record.kind, schema: record.schema });
    }
    let (head, used) = bincode::serde::decode_from_slice(&record.body, codec()).map_err(damaged)?;
    let rest = record.body.get(used..).unwrap_or_default();
    let (body, used) = bincode::serde::borrow_decode_from_slice(rest, codec()).map_err(damaged)?;
    let rest = rest.get(used..).unwrap_or_default();
    let in_file = if record.schema == 1 { None } else { decode::<Option<InFileV1>>(rest)? };
    if record.schema == 1 && !rest.is_empty() {
        return Err(RecordError::Damaged(format!("{} bytes left over", rest.len())));
    }
    Ok((head, body, in_file))
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
        Ok(Payload::Transcript(lines)) => Ok(named(&lines.body).into_iter().collect()),
        Ok(Payload::Foreign(lines)) => Ok(named(&lines.body).into_iter().collect()),
        Ok(Payload::Telemetry(told)) => Ok(named(&told.body).into_iter().collect()),
        Ok(
            Payload::Gap(_)
            | Payload::Status(_)
            | Payload::Notice(_)
            | Payload::Detection(_)
            | Payload::Intervention(_)
            | Payload::Judgement(_),
        )
        | Err(RecordError::Damaged(_)) => Ok(Vec::new()),
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
#[path = "record_tests.rs"]
mod tests;
