//! The manifest: what was let go of on purpose, and what the caller wants kept of it.
//!
//! ```text
//! manifest = magic 8 | head_len u32 | carry_len u32 | raw_len u32 | crc32 u32 | ManifestV1 in bincode | zstd(carry)
//! ```
//!
//! It is the point at which pruning takes place, so there are two copies, `manifest` and `manifest.2`: replaced as a whole (written beside, made durable, renamed), and only
//! then are files removed. So a segment or pack that is gone without being named here is damage, and one that is named
//! here and still there is a leftover.
//!
//! Must never be written before what it lets go of has been replaced by something durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::frame::u32_at;
use crate::vfs::{OpenMode, Vfs};
use crate::zip;

const MAGIC: &[u8; 8] = b"ccdman\x01\n";
const HEADER: usize = 24;
/// What is carried over is small sums; this is far more than a decade of them.
const CARRY_MAX: usize = 256 << 20;

/// What was let go of. Frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestV1 {
    /// Segments before this one were let go of.
    pub(crate) oldest_segment: u32,
    /// Records before this one were.
    pub(crate) oldest_seq: u64,
    /// Packs that were: ranges, both ends included, in order.
    pub(crate) dropped_packs: Vec<(u32, u32)>,
}

impl ManifestV1 {
    pub(crate) fn dropped(&self, pack: u32) -> bool {
        self.dropped_packs.iter().any(|(from, to)| (*from..=*to).contains(&pack))
    }

    pub(crate) fn drop_pack(&mut self, pack: u32) {
        if self.dropped(pack) {
            return;
        }
        self.dropped_packs.push((pack, pack));
        self.dropped_packs.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (from, to) in std::mem::take(&mut self.dropped_packs) {
            match merged.last_mut() {
                Some((_, end)) if *end + 1 == from => *end = to,
                _ => merged.push((from, to)),
            }
        }
        self.dropped_packs = merged;
    }
}

/// The manifest's file and what it says.
pub(crate) struct Manifest {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    pub(crate) state: ManifestV1,
    /// The caller's, compressed.
    carry: Vec<u8>,
    carry_raw: usize,
    /// Whether what was there cannot be read, and how long it was.
    pub(crate) damaged: Option<u64>,
}

impl Manifest {
    /// Reads the file, or its copy if the file is not good.
    pub(crate) fn open(vfs: &Arc<dyn Vfs>, path: &Path) -> Result<Self> {
        let copy = path.with_extension("2");
        let (first, second) = (read(&**vfs, path)?, read(&**vfs, &copy)?);
        let manifest = |(state, carry, carry_raw): Content, damaged| Self {
            vfs: Arc::clone(vfs),
            path: path.to_owned(),
            state,
            carry,
            carry_raw,
            damaged,
        };
        Ok(match (first, second) {
            (Found::Good(content), _) => manifest(content, None),
            (_, Found::Good(content)) => {
                tracing::warn!(path = %path.display(), "the manifest is damaged or gone; its copy is taken");
                let manifest = manifest(content, None);
                let again = lay_out(&manifest.state, &manifest.carry, manifest.carry_raw);
                if let Err(error) = again.and_then(|bytes| manifest.put(&bytes, path)) {
                    tracing::warn!(%error, "the manifest could not be written again");
                }
                manifest
            }
            (Found::Bad(len), _) | (Found::Missing, Found::Bad(len)) => {
                manifest(Content::default(), Some(len))
            }
            (Found::Missing, Found::Missing) => manifest(Content::default(), None),
        })
    }

    /// Takes what is known elsewhere, if it is more than what is known here: then both copies were lost.
    pub(crate) fn know(&mut self, oldest_segment: u32) {
        if self.state.oldest_segment < oldest_segment {
            self.state.oldest_segment = oldest_segment;
            self.damaged.get_or_insert(0);
        }
    }

    /// What the caller wanted kept, empty if nothing was, or if both copies are damaged (which is told elsewhere).
    pub(crate) fn carry(&self) -> Result<Vec<u8>> {
        if self.carry.is_empty() {
            return Ok(Vec::new());
        }
        zip::decompress(&self.carry, self.carry_raw)
            .ok_or_else(|| StoreError::damaged(format!("{} does not unpack", self.path.display())))
    }

    /// Replaces the file. With no `carry`, what was kept before stays.
    pub(crate) fn replace(&mut self, state: ManifestV1, carry: Option<&[u8]>) -> Result<()> {
        let (carry, carry_raw) = match carry {
            Some(raw) if raw.len() > CARRY_MAX => {
                let (bytes, limit) = (raw.len() as u64, CARRY_MAX as u64);
                return Err(StoreError::TooLarge { what: "what is to be kept", bytes, limit });
            }
            Some(raw) => {
                let packed = zip::Compressor::new()
                    .compress(raw, 0, false)
                    .map_err(|e| StoreError::io(&self.path, e))?;
                (packed, raw.len())
            }
            None => (self.carry.clone(), self.carry_raw),
        };
        let bytes = lay_out(&state, &carry, carry_raw)?;
        self.put(&bytes, &self.path)?;
        // From here on it holds; the copy is for when a bit of it rots.
        if let Err(error) = self.put(&bytes, &self.path.with_extension("2")) {
            tracing::warn!(%error, "the manifest has no copy yet");
        }
        (self.state, self.carry, self.carry_raw, self.damaged) = (state, carry, carry_raw, None);
        Ok(())
    }

    fn put(&self, bytes: &[u8], path: &Path) -> Result<()> {
        let beside = self.path.with_extension("new");
        let file = DataFile::open(&*self.vfs, &beside, OpenMode::Create)?;
        file.cut(0)?;
        file.write(bytes, 0)?;
        file.sync()?;
        self.vfs.replace(&beside, path)
    }
}

/// What a file holds: the state, and the caller's bytes, compressed, with their length.
type Content = (ManifestV1, Vec<u8>, usize);

enum Found {
    Good(Content),
    /// Of this length.
    Bad(u64),
    Missing,
}

fn read(vfs: &dyn Vfs, path: &Path) -> Result<Found> {
    let file = match DataFile::open(vfs, path, OpenMode::Read) {
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Found::Missing);
        }
        other => other?,
    };
    let len = file.len()?;
    let bytes = file.read(0, usize::try_from(len).unwrap_or(usize::MAX).min(2 * CARRY_MAX))?;
    Ok(parse(&bytes).map_or(Found::Bad(len), Found::Good))
}

fn lay_out(state: &ManifestV1, carry: &[u8], carry_raw: usize) -> Result<Vec<u8>> {
    let head = codec::encode(state)?;
    let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&word(head.len()));
    bytes.extend_from_slice(&word(carry.len()));
    bytes.extend_from_slice(&word(carry_raw));
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(carry);
    let crc = checksum(&bytes);
    bytes[20..HEADER].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..20]);
    crc.update(&bytes[HEADER..]);
    crc.finalize()
}

fn parse(bytes: &[u8]) -> Option<Content> {
    let good = bytes.len() >= HEADER && bytes.starts_with(MAGIC) && u32_at(bytes, 20) == checksum(bytes);
    if !good {
        return None;
    }
    let head_end = HEADER.checked_add(u32_at(bytes, 8) as usize)?;
    let end = head_end.checked_add(u32_at(bytes, 12) as usize)?;
    let raw = u32_at(bytes, 16) as usize;
    (end == bytes.len() && raw <= CARRY_MAX).then_some(())?;
    Some((codec::decode(bytes.get(HEADER..head_end)?)?, bytes[head_end..end].to_vec(), raw))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vfs::RealFs;

    #[test]
    fn what_is_written_comes_back_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest");
        let fs: Arc<dyn Vfs> = Arc::new(RealFs);
        let open = || Manifest::open(&fs, &path).unwrap();
        let carry = vec![5; 100_000];
        let mut manifest = open();
        assert_eq!((manifest.carry().unwrap(), manifest.damaged), (Vec::new(), None));
        let state =
            ManifestV1 { oldest_segment: 7, oldest_seq: 1 << 40, dropped_packs: vec![(1, 3), (9, 9)] };
        manifest.replace(state.clone(), Some(&carry)).unwrap();
        manifest.replace(ManifestV1 { oldest_segment: 8, ..state.clone() }, None).unwrap();
        let again = open();
        assert_eq!(again.state, ManifestV1 { oldest_segment: 8, ..state });
        assert_eq!(again.carry().unwrap(), carry);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            assert!(parse(&bytes).is_none() && parse(&whole[..at]).is_none());
        }
    }

    #[test]
    fn the_manifest_is_frozen() {
        let state = ManifestV1 { oldest_segment: 2, oldest_seq: 300, dropped_packs: vec![(1, 2)] };
        let golden = [&b"ccdman\x01\n"[..], &[7, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]].concat();
        let bytes = lay_out(&state, b"x", 9).unwrap();
        assert_eq!(bytes[..20], golden);
        assert_eq!(bytes[HEADER..], [2, 251, 44, 1, 1, 1, 2, b'x']);
    }

    proptest! {
        #[test]
        fn dropped_packs_are_a_set(packs in prop::collection::vec(1_u32..30, 0..40)) {
            let mut state = ManifestV1::default();
            for pack in &packs {
                state.drop_pack(*pack);
            }
            prop_assert!((0..32).all(|pack| state.dropped(pack) == packs.contains(&pack)));
            prop_assert!(state.dropped_packs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
