//! The record of the client's own telemetry: one for each event, each span, and each metric of a batch.
//!
//! The client sends a batch again when it had no answer, and may cut it in another way then: so each item is a record of its
//! own, whose id is that of the item, and what came before is known by it. What a batch repeats for all its items (the
//! machine, the service) is a record of its own too, kept once. Frozen structs: see [`super::record`].

use ccd_store::{NewRecord, RecordId};
use serde::{Deserialize, Serialize};

use super::record::{KIND_TELEMETRY, RecordError, Stored, encode, first16};
use super::scrub::IdKey;

/// What a record of telemetry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalV1 {
    /// Where others come from: the resource.
    Resource,
    /// A log record.
    Log,
    /// A span.
    Span,
    /// A metric, with a batch's data points of one session.
    Metric,
}

/// One item of telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryV1 {
    /// When it was told: of a span, its end. Nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// What it is.
    pub signal: SignalV1,
    /// The session that it names; empty where it names none.
    pub session_id: String,
    /// The record of where it comes from; zeros for such a record itself.
    pub resource: RecordId,
    /// JSON: see `source::telemetry`.
    pub body: Stored,
}

impl TelemetryV1 {
    /// The record's id, by what tells the item from all others, and the store's own key.
    #[must_use]
    pub fn record_id(key: &IdKey, signal: SignalV1, session: &str, parts: &[&[u8]]) -> RecordId {
        let mut hash = key.hasher();
        hash.update(b"ccd telemetry v1");
        hash.update(&[signal as u8]);
        for part in [session.as_bytes()].iter().chain(parts) {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        first16(hash.finalize())
    }

    /// The journal's record.
    pub fn to_record(&self, id: RecordId) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_TELEMETRY, schema: 1, id, at_ns: self.at_ns, body: encode(self)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::record::{Payload, read};
    use ccd_store::{Locator, Record};

    #[test]
    fn golden_bytes_of_the_first_schema() {
        let record = TelemetryV1 {
            at_ns: 300,
            signal: SignalV1::Span,
            session_id: "s".into(),
            resource: [7; 16],
            body: Stored::Inline(b"{}".to_vec()),
        };
        let new = record.to_record([9; 16]).unwrap();
        let bytes = [&[251, 44, 1, 2, 1, b's'][..], &[7; 16], &[0, 2, b'{', b'}']].concat();
        assert_eq!((new.kind, new.schema, &new.body), (11, 1, &bytes));
        let locator = Locator { segment: 0, offset: 0, index: 0 };
        let stored = Record {
            seq: 1,
            locator,
            kind: new.kind,
            schema: new.schema,
            id: new.id,
            at_ns: new.at_ns,
            body: new.body,
        };
        assert_eq!(read(&stored).unwrap(), Payload::Telemetry(Box::new(record)));
    }

    #[test]
    fn an_id_is_of_its_parts_and_of_the_key() {
        let (key, other) = (IdKey::new([1; 32]), IdKey::new([2; 32]));
        let id = |key: &IdKey, session: &str, own: &[u8]| {
            TelemetryV1::record_id(key, SignalV1::Log, session, &[own])
        };
        assert_eq!(id(&key, "s", b"1"), id(&key, "s", b"1"));
        assert_ne!(id(&key, "s", b"1"), id(&key, "s1", b""));
        assert_ne!(id(&key, "s", b"1"), id(&other, "s", b"1"));
        assert_ne!(id(&key, "s", b"1"), TelemetryV1::record_id(&key, SignalV1::Span, "s", &[b"1"]));
    }
}
