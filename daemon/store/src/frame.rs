//! The journal's frame: one batch of records, compressed once, with a checksum bound to its place.
//!
//! ```text
//! frame   = magic u32 | len u32 | crc32 u32 | raw u32 | durable u32 | zstd(payload), len bytes  (little-endian)
//! payload = first_seq u64 | count u32 | count × (RecordHeadV1 in bincode | body)
//! ```
//!
//! `raw` is the payload's length, and in its upper three bits which dictionary it was compressed with.
//!
//! `durable` is how much of the segment was known to be durable when the frame was written: a gap before that is damage,
//! a gap after it may be what a power cut left of writes that nobody waited for.
//!
//! The checksum also covers the segment's number and the frame's offset. So a frame that was captured as somebody's
//! content (say, because an agent read the journal) can never pass for one of ours when looking for the next good frame.
//!
//! Must never panic, nor allocate beyond [`MAX_RAW`], on any bytes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::dictionary;
use crate::error::{Result, StoreError};
use crate::types::{Locator, NewRecord, Record, RecordId};
use crate::zip;

/// The first bytes of a frame.
pub(crate) const MAGIC: [u8; 4] = [0xCC, 0xD1, 0xF7, 0x0A];
/// The frame header's length.
pub(crate) const HEADER: usize = 20;
/// The longest payload: 256 MiB of bodies, and room for their envelopes.
pub(crate) const MAX_RAW: usize = (256 << 20) + (16 << 20);
/// What zstd may add to bytes that it cannot shrink.
const MAX_STORED: usize = MAX_RAW + MAX_RAW / 128;
const PAYLOAD_HEADER: usize = 12;
const RAW_BITS: u32 = 29;
const RAW_MASK: u32 = (1 << RAW_BITS) - 1;
const _: () = assert!(MAX_RAW <= RAW_MASK as usize);

/// Where a frame is: part of its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: u32,
    pub(crate) offset: u32,
}

/// A CRC that starts with the place.
pub(crate) fn place_crc(place: Place) -> crc32fast::Hasher {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&place.number.to_le_bytes());
    crc.update(&place.offset.to_le_bytes());
    crc
}

/// Reads a little-endian u32; the callers have checked the length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// The length of what follows the header.
    pub(crate) len: usize,
    raw_len: usize,
    /// Which dictionary it was compressed with; 0: none.
    taught: u8,
    crc: u32,
    durable: u32,
}

impl FrameHead {
    /// None if these cannot be the first bytes of a frame.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || bytes[..4] != MAGIC {
            return None;
        }
        let (len, raw) = (u32_at(bytes, 4) as usize, u32_at(bytes, 12));
        let (raw_len, taught) = ((raw & RAW_MASK) as usize, (raw >> RAW_BITS) as u8);
        let (crc, durable) = (u32_at(bytes, 8), u32_at(bytes, 16));
        (len <= MAX_STORED && raw_len <= MAX_RAW).then_some(Self { len, raw_len, taught, crc, durable })
    }

    /// Checks and unpacks what follows the header.
    pub(crate) fn open(&self, place: Place, stored: &[u8]) -> Option<Batch> {
        let raw = raw_word(self.raw_len, self.taught)?;
        if stored.len() != self.len || checksum(place, raw, self.durable, stored) != self.crc {
            return None;
        }
        let raw = match self.taught {
            0 => zip::decompress(stored, self.raw_len),
            number => zip::decompress_taught(number, stored, self.raw_len),
        }?;
        Batch::parse(place, self.durable, raw)
    }
}

/// The payload's length, and in the upper bits the dictionary's number.
fn raw_word(raw_len: usize, taught: u8) -> Option<u32> {
    let len = u32::try_from(raw_len).ok().filter(|len| *len <= RAW_MASK)?;
    Some(len | u32::from(taught) << RAW_BITS)
}

fn checksum(place: Place, raw: u32, durable: u32, stored: &[u8]) -> u32 {
    let mut crc = place_crc(place);
    crc.update(&(stored.len() as u64).to_le_bytes());
    crc.update(&raw.to_le_bytes());
    crc.update(&durable.to_le_bytes());
    crc.update(stored);
    crc.finalize()
}

/// Writes the header into the first [`HEADER`] bytes of `frame`, whose rest is the compressed payload. Everything in
/// the segment before `durable` was known to be durable by then.
pub(crate) fn seal(place: Place, raw_len: usize, taught: bool, durable: u32, frame: &mut [u8]) -> Result<()> {
    let (header, stored) = frame.split_at_mut(HEADER);
    let limit = MAX_RAW as u64;
    let too_large =
        |bytes: usize| StoreError::TooLarge { what: "a journal frame", bytes: bytes as u64, limit };
    if raw_len > MAX_RAW || stored.len() > MAX_STORED {
        return Err(too_large(raw_len));
    }
    let len = u32::try_from(stored.len()).map_err(|_| too_large(stored.len()))?;
    let number = if taught { dictionary::NEWEST } else { 0 };
    let raw = raw_word(raw_len, number).ok_or_else(|| too_large(raw_len))?;
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..12].copy_from_slice(&checksum(place, raw, durable, stored).to_le_bytes());
    header[12..16].copy_from_slice(&raw.to_le_bytes());
    header[16..].copy_from_slice(&durable.to_le_bytes());
    Ok(())
}

/// The envelope of a record. Frozen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct RecordHeadV1 {
    kind: u8,
    schema: u8,
    id: RecordId,
    at_ns: u64,
    len: u32,
}

/// Lays out the payload of a frame.
pub(crate) fn payload(first_seq: u64, records: &[NewRecord]) -> Result<Vec<u8>> {
    let bodies: usize = records.iter().map(|r| r.body.len()).sum();
    let too_large = |what, bytes: usize, limit: usize| StoreError::TooLarge {
        what,
        bytes: bytes as u64,
        limit: limit as u64,
    };
    if records.len() > usize::from(u16::MAX) {
        return Err(too_large("a batch of records", records.len(), usize::from(u16::MAX)));
    }
    if bodies > MAX_RAW - PAYLOAD_HEADER - records.len() * 64 {
        return Err(too_large("a batch", bodies, MAX_RAW));
    }
    let mut out = Vec::with_capacity(PAYLOAD_HEADER + bodies + records.len() * 36);
    out.extend_from_slice(&first_seq.to_le_bytes());
    out.extend_from_slice(&u32::try_from(records.len()).unwrap_or(u32::MAX).to_le_bytes());
    for record in records {
        let &NewRecord { kind, schema, id, at_ns, ref body } = record;
        let len = u32::try_from(body.len()).map_err(|_| too_large("a record", body.len(), MAX_RAW))?;
        codec::encode_into(&RecordHeadV1 { kind, schema, id, at_ns, len }, &mut out)?;
        out.extend_from_slice(body);
    }
    Ok(out)
}

/// An unpacked frame.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) place: Place,
    pub(crate) first_seq: u64,
    /// Everything in the segment before this offset was durable when the frame was written.
    pub(crate) durable: u32,
    raw: Vec<u8>,
    records: Vec<(RecordHeadV1, Range<usize>)>,
}

impl Batch {
    fn parse(place: Place, durable: u32, raw: Vec<u8>) -> Option<Self> {
        let first_seq = u64::from_le_bytes(raw.get(..8)?.try_into().ok()?);
        let count = u32_at(raw.get(..PAYLOAD_HEADER)?, 8) as usize;
        if count == 0 || count > usize::from(u16::MAX) || first_seq == 0 || first_seq > u64::MAX / 2 {
            return None;
        }
        let mut records = Vec::with_capacity(count);
        let mut at = PAYLOAD_HEADER;
        for _ in 0..count {
            let (head, used) = codec::decode_front::<RecordHeadV1>(&raw[at..])?;
            let body = at + used..(at + used).checked_add(head.len as usize)?;
            at = raw.get(body.clone()).map(|_| body.end)?;
            records.push((head, body));
        }
        (at == raw.len()).then_some(Self { place, first_seq, durable, raw, records })
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + self.records.len() as u64 - 1
    }

    /// When the newest of its records happened.
    pub(crate) fn newest_ns(&self) -> u64 {
        self.records.iter().map(|(head, _)| head.at_ns).max().unwrap_or(0)
    }

    /// What it takes in memory, about.
    pub(crate) fn weight(&self) -> usize {
        self.raw.len() + self.records.len() * size_of::<(RecordHeadV1, Range<usize>)>()
    }

    pub(crate) fn record(&self, index: u16) -> Option<Record> {
        let (head, body) = self.records.get(usize::from(index))?;
        let Place { number: segment, offset } = self.place;
        Some(Record {
            seq: self.first_seq + u64::from(index),
            locator: Locator { segment, offset, index },
            kind: head.kind,
            schema: head.schema,
            id: head.id,
            at_ns: head.at_ns,
            body: self.raw[body.clone()].to_vec(),
        })
    }

    /// All records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        (0..=u16::MAX).map_while(|index| self.record(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::BlockHead;
    use crate::segment::SegmentHead;

    const PLACE: Place = Place { number: 1, offset: 40 };

    fn framed(payload: &[u8]) -> Vec<u8> {
        let taught = payload.len().is_multiple_of(2);
        let mut frame = zip::Compressor::new().compress(payload, HEADER, taught).unwrap();
        seal(PLACE, payload.len(), taught, 40, &mut frame).unwrap();
        frame
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(noise in prop::collection::vec(any::<u8>(), 0..600), count in any::<u32>()) {
            let header = [&MAGIC[..], &noise].concat();
            if let Some(head) = FrameHead::parse(&header) {
                prop_assert!(head.open(PLACE, &header[HEADER..]).is_none());
            }
            // Bytes that pass the checksum, and are nonsense all the same.
            for payload in [noise.clone(), [&7_u64.to_le_bytes()[..], &count.to_le_bytes(), &noise].concat()] {
                let frame = framed(&payload);
                FrameHead::parse(&frame).unwrap().open(PLACE, &frame[HEADER..]);
            }
            SegmentHead::parse(&noise);
            if let Some(head) = BlockHead::parse(&[&[0xCC, 0xD1, 0xB1, 0x0C], &noise[..]].concat()) {
                prop_assert!(head.open(PLACE, &noise).is_none());
            }
        }

        #[test]
        fn a_frame_decodes_to_what_was_encoded_and_nowhere_else(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..9),
            first_seq in 1..u64::MAX / 4,
            flipped in any::<prop::sample::Index>(),
        ) {
            let records: Vec<_> = bodies
                .into_iter()
                .zip(0_u8..)
                .map(|(body, n)| NewRecord { kind: n, schema: n, id: [n; 16], at_ns: u64::from(n) << 50, body })
                .collect();
            let mut frame = framed(&payload(first_seq, &records).unwrap());
            let open = |place, frame: &[u8]| FrameHead::parse(frame).and_then(|head| head.open(place, &frame[HEADER..]));
            let batch = open(PLACE, &frame).unwrap();
            let found: Vec<_> = batch
                .records()
                .map(|Record { kind, schema, id, at_ns, body, .. }| NewRecord { kind, schema, id, at_ns, body })
                .collect();
            prop_assert_eq!((batch.first_seq, found), (first_seq, records));
            let elsewhere = [Place { offset: 41, ..PLACE }, Place { number: 2, ..PLACE }];
            prop_assert!(elsewhere.iter().all(|place| open(*place, &frame).is_none()));
            let at = flipped.index(frame.len());
            frame[at] ^= 1;
            prop_assert!(open(PLACE, &frame).is_none());
        }
    }

    #[test]
    fn the_payload_is_frozen() {
        let record = NewRecord {
            kind: 3,
            schema: 1,
            id: [9; 16],
            at_ns: 1_700_000_000_000_000_000,
            body: b"hello".to_vec(),
        };
        let golden = [
            &[5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 1][..],
            &[9; 16],
            &[253, 0, 0, 42, 54, 254, 156, 151, 23, 5],
            b"hello",
        ];
        assert_eq!(payload(5, &[record]).unwrap(), golden.concat());
    }
}
