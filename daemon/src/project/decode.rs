//! Undoes a content encoding on the captured copy, with limits, so that the response can be read. The bytes
//! that were sent stay as they are; a copy that cannot be decoded is shown as it came.
//!
//! Never lets a small body grow without bound: at most 64 MiB come out, and at most 200 times what went in.

use std::borrow::Cow;
use std::io::Read;

/// Most bytes that a body may decode to.
const MAX_OUTPUT: u64 = 64 << 20;
/// Most bytes out per byte in, once the output is large enough for the ratio to mean anything.
const MAX_RATIO: u64 = 200;
/// Below this output the ratio is not looked at.
const RATIO_FLOOR: u64 = 1 << 20;

/// Why a body could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not an encoding that we know.
    #[error("unknown content encoding {0:?}")]
    Unknown(String),
    /// The bytes are damaged or cut.
    #[error("damaged {encoding} body: {source}")]
    Damaged {
        /// The encoding.
        encoding: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than the limits allow.
    #[error("body grows beyond the limits when decoded")]
    Bomb,
}

/// A decoded body, and whether its encoding came to a proper end.
pub struct Decoded<'a> {
    /// The bytes.
    pub bytes: Cow<'a, [u8]>,
    /// Why decoding stopped early, where it did; `bytes` holds what came before.
    pub cut: Option<DecodeError>,
}

/// Undoes the encodings named by a `content-encoding` header, last one first.
#[must_use]
pub fn decode<'a>(body: &'a [u8], content_encoding: &str) -> Decoded<'a> {
    let mut out = Decoded { bytes: Cow::Borrowed(body), cut: None };
    for encoding in content_encoding.rsplit(',').map(|e| e.trim().to_ascii_lowercase()) {
        if matches!(encoding.as_str(), "" | "identity") {
            continue;
        }
        let (bytes, cut) = one(&out.bytes, &encoding);
        out = Decoded { bytes: Cow::Owned(bytes), cut: out.cut.or(cut) };
    }
    out
}

fn one(body: &[u8], encoding: &str) -> (Vec<u8>, Option<DecodeError>) {
    match encoding {
        "gzip" | "x-gzip" => read("gzip", flate2::read::MultiGzDecoder::new(body), body.len()),
        // "deflate" is zlib by the specification and raw by the habit of some servers.
        "deflate" if body.first().is_some_and(|b| b & 0x0f == 8) => {
            read("deflate", flate2::read::ZlibDecoder::new(body), body.len())
        }
        "deflate" => read("deflate", flate2::read::DeflateDecoder::new(body), body.len()),
        "br" => read("br", brotli::Decompressor::new(body, 8 << 10), body.len()),
        "zstd" => match zstd::stream::read::Decoder::new(body) {
            Ok(mut decoder) => match decoder.window_log_max(27) {
                Ok(()) => read("zstd", decoder, body.len()),
                Err(source) => (Vec::new(), Some(DecodeError::Damaged { encoding: "zstd", source })),
            },
            Err(source) => (Vec::new(), Some(DecodeError::Damaged { encoding: "zstd", source })),
        },
        other => (body.to_vec(), Some(DecodeError::Unknown(other.chars().take(40).collect()))),
    }
}

fn read(encoding: &'static str, mut from: impl Read, input: usize) -> (Vec<u8>, Option<DecodeError>) {
    let limit = MAX_OUTPUT.min((input as u64).saturating_mul(MAX_RATIO).max(RATIO_FLOOR));
    let mut out = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return (out, None),
            Ok(n) if out.len() as u64 + n as u64 > limit => return (out, Some(DecodeError::Bomb)),
            Ok(n) => out.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return (out, Some(DecodeError::Damaged { encoding, source })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    #[test]
    fn every_encoding_comes_back() {
        let data = b"event: ping\ndata: {}\n\n".repeat(50);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&data).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(&data).unwrap();
        let mut br = Vec::new();
        brotli::CompressorWriter::new(&mut br, 4096, 4, 20).write_all(&data).unwrap();
        for (encoding, body) in [
            ("gzip", gzip(&data)),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("br", br),
            ("zstd", zstd::encode_all(&data[..], 3).unwrap()),
            ("identity", data.clone()),
            ("zstd, gzip", gzip(&zstd::encode_all(&data[..], 3).unwrap())),
        ] {
            let got = decode(&body, encoding);
            assert!(got.cut.is_none(), "{encoding}: {:?}", got.cut);
            assert_eq!(got.bytes, data, "{encoding}");
        }
    }

    #[test]
    fn a_cut_body_gives_what_came() {
        let data: Vec<u8> =
            (0..200_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let whole = gzip(&data);
        let got = decode(&whole[..whole.len() / 2], "gzip");
        assert!(matches!(got.cut, Some(DecodeError::Damaged { .. })));
        assert!(!got.bytes.is_empty() && data.starts_with(&got.bytes));
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let bomb = gzip(&vec![0; 100 << 20]);
        let got = decode(&bomb, "gzip");
        assert!(matches!(got.cut, Some(DecodeError::Bomb)));
        assert!(got.bytes.len() as u64 <= MAX_OUTPUT);
    }

    #[test]
    fn an_unknown_encoding_is_named_and_left_alone() {
        let got = decode(b"x", "rot13");
        assert!(matches!(got.cut, Some(DecodeError::Unknown(ref n)) if n == "rot13"));
        assert_eq!(&*got.bytes, b"x");
    }
}
