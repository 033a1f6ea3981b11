//! A body on its way in: read and unpacked, within limits.
//!
//! Must never hold more than was reserved for it, wait for ever for the rest of it, or let a small body grow without bound:
//! at most [`LONGEST`] bytes come out, and at most 200 times what went in.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::guard::{LONGEST, Packing};
use super::problem::Problem;

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the next piece of it may.
const PAUSE: Duration = Duration::from_secs(10);
/// How long is waited for others' bodies to be done with.
const QUEUE: Duration = Duration::from_secs(10);
/// Bytes of bodies at a time, as they come and unpacked, in KiB.
const AT_ONCE: u32 = 64 << 10;
/// Most bytes out per byte in, once the output is large enough for the ratio to mean anything.
const MAX_RATIO: u64 = 200;
/// Below this output the ratio is not looked at.
const RATIO_FLOOR: u64 = 1 << 20;
/// The largest window that a zstd frame may ask for: 8 MiB, as RFC 8878 recommends to grant.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Memory for bodies.
#[derive(Debug)]
pub(super) struct Bodies(Arc<Semaphore>);

impl Default for Bodies {
    fn default() -> Self {
        Bodies(Arc::new(Semaphore::new(AT_ONCE as usize)))
    }
}

impl Bodies {
    /// Reads a body of this length, if it tells one, and unpacks it. The memory is given back with what is returned.
    pub(super) async fn read<B>(
        &self,
        body: B,
        length: Option<u64>,
        longest: u64,
        packing: Packing,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Problem>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let unpacked = if packing == Packing::Plain { 0 } else { longest };
        let kib = (length.unwrap_or(longest) + unpacked).div_ceil(1024);
        let wanted = u32::try_from(kib).unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
        let permit = tokio::time::timeout(QUEUE, Arc::clone(&self.0).acquire_many_owned(wanted)).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Problem { close: true, ..Problem::later("too much is handed in at once") });
        };
        let bytes = match tokio::time::timeout(PATIENCE, collect(body, longest)).await {
            Ok(bytes) => bytes?,
            Err(_) => return Err(slow()),
        };
        if packing == Packing::Plain {
            return Ok((bytes, permit));
        }
        let bytes = tokio::task::spawn_blocking(move || unpack(&bytes, packing, longest)).await;
        let bytes = bytes.map_err(|_| Problem::later("the body could not be unpacked now"))??;
        Ok((bytes.into(), permit))
    }
}

fn slow() -> Problem {
    let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come");
    Problem { close: true, ..problem }
}

async fn collect<B>(body: B, longest: u64) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = Limited::new(body, usize::try_from(longest).unwrap_or(usize::MAX));
    let (mut first, mut all) = (None, Vec::new());
    loop {
        let Ok(frame) = tokio::time::timeout(PAUSE, body.frame()).await else { return Err(slow()) };
        let frame = match frame {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Problem::too_long());
            }
            Some(Err(_)) => {
                let problem = Problem::new(StatusCode::BAD_REQUEST, "bad_request", "the body broke off");
                return Err(Problem { close: true, ..problem });
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        match (&first, all.is_empty()) {
            (None, true) => first = Some(data),
            (Some(head), true) => {
                all.extend_from_slice(head);
                all.extend_from_slice(&data);
            }
            _ => all.extend_from_slice(&data),
        }
    }
    Ok(if all.is_empty() { first.unwrap_or_default() } else { all.into() })
}

/// Unpacks a body.
fn unpack(body: &[u8], packing: Packing, longest: u64) -> Result<Vec<u8>, Problem> {
    let damaged = || Problem::new(StatusCode::BAD_REQUEST, "damaged", "the body cannot be unpacked");
    let limit = longest.min((body.len() as u64).saturating_mul(MAX_RATIO).max(RATIO_FLOOR)).min(LONGEST);
    let mut out = Vec::new();
    let read = match packing {
        Packing::Plain => body.take(limit + 1).read_to_end(&mut out),
        Packing::Gzip => flate2::read::MultiGzDecoder::new(body).take(limit + 1).read_to_end(&mut out),
        // By its name it is zlib, and raw by the habit of some.
        Packing::Deflate if body.first().is_some_and(|b| b & 0x0f == 8) => {
            flate2::read::ZlibDecoder::new(body).take(limit + 1).read_to_end(&mut out)
        }
        Packing::Deflate => flate2::read::DeflateDecoder::new(body).take(limit + 1).read_to_end(&mut out),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body).map_err(|_| damaged())?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| damaged())?;
            decoder.take(limit + 1).read_to_end(&mut out)
        }
    };
    read.map_err(|_| damaged())?;
    if out.len() as u64 > limit { Err(Problem::too_long()) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::Full;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_out() {
        let text = b"hello hello".repeat(10);
        for (packed, packing) in [
            (text.clone(), Packing::Plain),
            (gzip(&text), Packing::Gzip),
            (zlib(&text), Packing::Deflate),
            (zlib(&text)[2..].to_vec(), Packing::Deflate),
            (zstd::encode_all(&text[..], 3).unwrap(), Packing::Zstd),
        ] {
            assert_eq!(unpack(&packed, packing, LONGEST).unwrap(), text, "{packing:?}");
        }
    }

    #[test]
    fn bombs_do_not_grow() {
        let zeros = vec![0; 64 << 20];
        let bombs = [
            (gzip(&zeros), Packing::Gzip),
            (zlib(&zeros), Packing::Deflate),
            (zstd::encode_all(&zeros[..], 3).unwrap(), Packing::Zstd),
            // Small, and still too much for its size.
            (gzip(&zeros[..2 << 20]), Packing::Gzip),
        ];
        for (packed, packing) in bombs {
            assert_eq!(unpack(&packed, packing, LONGEST).unwrap_err().status, 413, "{packing:?}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_and_its_memory_given_back() {
        let bodies = Bodies::default();
        let long = Full::new(Bytes::from(vec![b'x'; 100]));
        let refused = bodies.read(long, None, 99, Packing::Plain).await.unwrap_err();
        assert_eq!(refused.status, 413);
        let (bytes, permit) =
            bodies.read(Full::new(Bytes::from_static(b"ab")), Some(2), 99, Packing::Plain).await.unwrap();
        assert_eq!(&bytes[..], b"ab");
        assert!(bodies.0.available_permits() < AT_ONCE as usize);
        drop(permit);
        assert_eq!(bodies.0.available_permits(), AT_ONCE as usize);
    }

    proptest! {
        #[test]
        fn anything_is_unpacked_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for packing in [Packing::Gzip, Packing::Deflate, Packing::Zstd] {
                let _ = unpack(&bytes, packing, LONGEST);
            }
        }
    }
}
