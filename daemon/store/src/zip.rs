//! zstd, with every output bounded.
//!
//! Must never allocate more than the caller's limit for what a damaged header claims.

use std::sync::Mutex;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, ResetDirective, compress_bound};

use crate::catalogue::lock;
use crate::dictionary;

/// The level of journal frames.
const LEVEL: i32 = 3;
/// The level of large ones, which are history that is taken in: there it is the time that counts.
const LARGE_LEVEL: i32 = 1;
/// Raw bytes from which a frame is large.
const LARGE: usize = 256 << 10;
/// The level of pack blocks: their bytes are stored once and read often. Measured on a session that resends its history,
/// 3 takes 6 % more space, and 6 to 9 take no less.
const BLOCK_LEVEL: i32 = 5;
/// Reaches over a whole prefix and block (`1 << 20` bytes).
const PREFIX_WINDOW_LOG: u32 = 20;

/// Reused compression contexts: without a dictionary, and with the newest.
pub(crate) struct Compressor {
    plain: Option<zstd::bulk::Compressor<'static>>,
    taught: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    pub(crate) fn new() -> Self {
        Self { plain: None, taught: None }
    }

    /// Compresses `raw`, with [`dictionary::NEWEST`] if asked to, leaving `room` zero bytes in front for a header.
    pub(crate) fn compress(&mut self, raw: &[u8], room: usize, taught: bool) -> std::io::Result<Vec<u8>> {
        let context = match (taught, &mut self.plain, &mut self.taught) {
            (false, Some(context), _) | (true, _, Some(context)) => context,
            (false, none, _) => none.insert(zstd::bulk::Compressor::new(LEVEL)?),
            (true, _, none) => {
                none.insert(zstd::bulk::Compressor::with_prepared_dictionary(dictionary::encoder())?)
            }
        };
        if !taught {
            let level = if raw.len() < LARGE { LEVEL } else { LARGE_LEVEL };
            context.set_parameter(CParameter::CompressionLevel(level))?;
        }
        let stored = context.compress(raw)?;
        let mut out = Vec::with_capacity(room + stored.len());
        out.resize(room, 0);
        out.extend_from_slice(&stored);
        Ok(out)
    }
}

/// Contexts held ready: making one costs more than most of what is done with it. Those in here refer to nothing.
static COMPRESSORS: Mutex<Vec<CCtx<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<DCtx<'static>>> = Mutex::new(Vec::new());
/// How many of each are held.
const HELD: usize = 2;

fn take<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    lock(pool).pop()
}

fn give_back<T>(pool: &Mutex<Vec<T>>, context: T) {
    let mut pool = lock(pool);
    if pool.len() < HELD {
        pool.push(context);
    }
}

/// Lets go of what is held ready: a megabyte or two.
pub(crate) fn rest() {
    *lock(&COMPRESSORS) = Vec::new();
    *lock(&DECOMPRESSORS) = Vec::new();
}

/// Compresses `raw` as the continuation of `prefix`. None if that does not make it smaller.
pub(crate) fn compress_after(prefix: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    let mut context: CCtx<'_> = match take(&COMPRESSORS) {
        Some(context) => context,
        None => CCtx::try_create()?,
    };
    context.set_parameter(CParameter::CompressionLevel(BLOCK_LEVEL)).ok()?;
    context.set_parameter(CParameter::WindowLog(PREFIX_WINDOW_LOG)).ok()?;
    if !prefix.is_empty() {
        context.ref_prefix(prefix).ok()?;
    }
    let mut stored = Vec::with_capacity(compress_bound(raw.len()));
    context.compress2(&mut stored, raw).ok()?;
    context.reset(ResetDirective::SessionAndParameters).ok()?;
    #[allow(unsafe_code, reason = "the lifetime stands for the prefix, which is not referred to any more")]
    // SAFETY: a prefix is for one frame only. It is whole (else we had returned, and dropped the context), and the reset
    // makes the context as good as new: nothing in it points to `prefix`.
    let context = unsafe { std::mem::transmute::<CCtx<'_>, CCtx<'static>>(context) };
    give_back(&COMPRESSORS, context);
    (stored.len() < raw.len()).then_some(stored)
}

/// The opposite of [`compress_after`]. None unless it gives exactly `raw_len` bytes.
pub(crate) fn decompress_after(prefix: &[u8], stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    let mut context: DCtx<'_> = match take(&DECOMPRESSORS) {
        Some(context) => context,
        None => DCtx::try_create()?,
    };
    if !prefix.is_empty() {
        context.ref_prefix(prefix).ok()?;
    }
    let mut raw = Vec::with_capacity(raw_len);
    context.decompress(&mut raw, stored).ok()?;
    context.reset(ResetDirective::SessionAndParameters).ok()?;
    #[allow(unsafe_code, reason = "the lifetime stands for the prefix, which is not referred to any more")]
    // SAFETY: as above; resetting the parameters clears the dictionary that a prefix is kept as.
    let context = unsafe { std::mem::transmute::<DCtx<'_>, DCtx<'static>>(context) };
    give_back(&DECOMPRESSORS, context);
    (raw.len() == raw_len).then_some(raw)
}

/// Decompresses what was written with a dictionary to exactly `raw_len` bytes, or None.
pub(crate) fn decompress_taught(number: u8, stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    let taught = dictionary::decoder(number)?;
    let mut context = match take(&DECOMPRESSORS) {
        Some(context) => context,
        None => DCtx::try_create()?,
    };
    context.ref_ddict(taught.as_ddict()).ok()?;
    let mut raw = Vec::with_capacity(raw_len);
    context.decompress(&mut raw, stored).ok()?;
    context.reset(ResetDirective::SessionAndParameters).ok()?;
    give_back(&DECOMPRESSORS, context);
    (raw.len() == raw_len).then_some(raw)
}

/// Decompresses to exactly `raw_len` bytes, or None.
pub(crate) fn decompress(stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    decompress_after(&[], stored, raw_len)
}
