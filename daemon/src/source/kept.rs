//! Exchanges kept as files in the spool: what a worker captured after it had given the store to its successor.
//!
//! ```text
//! "ccdx" 1 | frame: kind, schema, id, time, record | frame: request | frame: response
//! frame = length (u64 LE), CRC-32 of the bytes (u32 LE), the bytes
//! ```
//!
//! A file appears whole or not at all: written aside, made durable, renamed. Whoever takes it in knows it by the
//! record's id, so that it counts once. Must never be read past its limits: what is no such file is refused.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ccd_store::{Locator, NewRecord, Record};

use crate::ingest::record::{self, Payload, RecordError};
use crate::ingest::{CapturedExchange, Gauges, Reserved};

/// Its extension.
pub const EXTENSION: &str = "exchange";
const MAGIC: &[u8; 5] = b"ccdx\x01";
/// Kind, schema, id, time.
const HEAD: usize = 1 + 1 + 16 + 8;

/// Why a file is no exchange.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Not one of ours.
    #[error("not an exchange of this version")]
    Foreign,
    /// Of a later version.
    #[error("of version {0}; this build reads 1")]
    Later(u8),
    /// It ends too early, or its bytes are not those that were written.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// Its record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

pub(super) fn frame(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    let length: u64 = pieces.iter().map(|p| p.len() as u64).sum();
    let mut crc = crc32fast::Hasher::new();
    for piece in pieces {
        crc.update(piece);
    }
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// The file's bytes.
pub fn encode(exchange: &CapturedExchange) -> Result<Vec<u8>, RecordError> {
    let new = exchange.record.to_record()?;
    let mut out = MAGIC.to_vec();
    frame(&mut out, &[&head(&new)]);
    for body in [&exchange.request, &exchange.response] {
        frame(&mut out, &body.iter().map(Bytes::as_ref).collect::<Vec<_>>());
    }
    Ok(out)
}

pub(super) fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], KeptError> {
    let short = KeptError::Damaged("it ends too early");
    let Some((head, after)) = rest.split_first_chunk::<12>() else { return Err(short) };
    let (length, crc) = head.split_at(8);
    let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let crc = crc.try_into().map_or(0, u32::from_le_bytes);
    let Some((bytes, after)) = usize::try_from(length).ok().and_then(|n| after.split_at_checked(n)) else {
        return Err(short);
    };
    if crc32fast::hash(bytes) != crc {
        return Err(KeptError::Damaged("wrong checksum"));
    }
    *rest = after;
    Ok(bytes)
}

/// What follows a file's first bytes: who it is from, and which version.
pub(super) fn unmarked(file: &[u8], magic: [u8; 5]) -> Result<&[u8], KeptError> {
    let [a, b, c, d, own] = magic;
    let name = [a, b, c, d];
    match file.strip_prefix(&name).and_then(<[u8]>::split_first) {
        Some((version, rest)) if *version == own => Ok(rest),
        Some((version, _)) if *version > own => Err(KeptError::Later(*version)),
        _ => Err(KeptError::Foreign),
    }
}

/// The frame of a record: what the envelope says, and the record.
pub(super) fn head(new: &NewRecord) -> Vec<u8> {
    [&[new.kind, new.schema][..], &new.id, &new.at_ns.to_le_bytes(), &new.body].concat()
}

/// The record in such a frame.
pub(super) fn stored(head: &[u8]) -> Result<Record, KeptError> {
    let Some((head, body)) = head.split_first_chunk::<HEAD>() else {
        return Err(KeptError::Damaged("no record"));
    };
    let mut id = [0; 16];
    id.copy_from_slice(&head[2..18]);
    let at_ns = head[18..].try_into().map_or(0, u64::from_le_bytes);
    let locator = Locator { segment: 0, offset: 0, index: 0 };
    let (kind, schema) = (head[0], head[1]);
    Ok(Record { seq: 0, locator, kind, schema, id, at_ns, body: body.to_vec() })
}

/// The exchange in a file's bytes. Its memory is no part of the capture's budget: files are taken in one by one.
pub fn decode(file: &Bytes) -> Result<CapturedExchange, KeptError> {
    let mut rest = unmarked(file, *MAGIC)?;
    let head = take(&mut rest)?;
    let (request, response) = (take(&mut rest)?, take(&mut rest)?);
    if !rest.is_empty() {
        return Err(KeptError::Damaged("something follows its end"));
    }
    let stored = stored(head)?;
    match record::read(&stored)? {
        Payload::Exchange(record) => Ok(CapturedExchange {
            record: *record,
            request: vec![file.slice_ref(request)],
            response: vec![file.slice_ref(response)],
            budget: Reserved::new(Arc::new(Gauges::default())),
        }),
        _ => Err(KeptError::Foreign),
    }
}

/// Keeps an exchange as a file in `dir`, durably.
pub fn keep(dir: &Path, exchange: &CapturedExchange) -> std::io::Result<PathBuf> {
    let bytes = encode(exchange).map_err(std::io::Error::other)?;
    let id = u128::from_be_bytes(exchange.record.id);
    let name = format!("{:020}-{id:032x}", exchange.record.started_ns);
    let path = dir.join(format!("{name}.{EXTENSION}"));
    write(&path, &bytes).map(|_| path)
}

/// Puts a file in place, whole or not at all, durably. The file is returned locked: until it is closed, others can tell
/// that it may be replaced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let aside = dir.join(format!(".{}.tmp", name.display()));
    let placed = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.try_lock()?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs_err::rename(&aside, path)?;
        fs_err::File::open(dir)?.sync_all()?;
        Ok(file)
    };
    placed().inspect_err(|_: &std::io::Error| {
        let _ = fs_err::remove_file(&aside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::record::{BodyV1, ExchangeV3, Outcome, RedactionV1, RouteV1, Stored};
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn exchange(path: String, request: Vec<u8>, response: Vec<Vec<u8>>) -> CapturedExchange {
        let body = |seen: usize| BodyV1 { seen: seen as u64, kept: 0, stored: Stored::Inline(Vec::new()) };
        CapturedExchange {
            record: ExchangeV3 {
                id: [7; 16],
                session_id: Some("s".into()),
                agent_id: None,
                parent_agent_id: None,
                method: "POST".into(),
                path,
                upstream: "https://api.anthropic.com".into(),
                client_http: 11,
                upstream_http: 20,
                started_ns: 5,
                request_end_us: Some(10),
                head_us: None,
                first_byte_us: None,
                end_us: 5000,
                status: Some(200),
                outcome: Outcome::Complete,
                error: None,
                request_headers: vec![("Accept".into(), b"*/*".to_vec())],
                response_headers: vec![],
                response_trailers: vec![],
                request: body(request.len()),
                response: body(response.iter().map(Vec::len).sum()),
                marks: vec![(1, 2)],
                route: RouteV1::default(),
                redaction: RedactionV1::default(),
            },
            request: vec![request.into()],
            response: response.into_iter().map(Bytes::from).collect(),
            budget: Reserved::new(Arc::default()),
        }
    }

    #[test]
    fn a_kept_file_is_private_and_appears_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = keep(dir.path(), &exchange("/v1".into(), b"{}".to_vec(), vec![])).unwrap();
        let names: Vec<_> = fs_err::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, std::slice::from_ref(&path));
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let got = decode(&fs_err::read(&path).unwrap().into()).unwrap();
        assert_eq!((got.record.path.as_str(), &got.request[0][..]), ("/v1", &b"{}"[..]));
        assert!(keep(&dir.path().join("none"), &got).is_err());
    }

    proptest! {
        #[test]
        fn it_comes_back_as_it_was(
            path in ".*",
            request in proptest::collection::vec(any::<u8>(), 0..500),
            response in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..5),
        ) {
            let whole = response.concat();
            let before = exchange(path, request.clone(), response);
            let after = decode(&encode(&before).unwrap().into()).unwrap();
            prop_assert_eq!(after.record, before.record);
            prop_assert_eq!(after.request.concat(), request);
            prop_assert_eq!(after.response.concat(), whole);
        }

        #[test]
        fn no_damaged_file_passes(at in 0usize..10_000, flip in 1u8.., cut in any::<bool>()) {
            let mut bytes = encode(&exchange("/p".into(), b"request".to_vec(), vec![b"response".to_vec()])).unwrap();
            let at = at % bytes.len();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= flip;
            }
            prop_assert!(decode(&bytes.into()).is_err());
        }
    }
}
