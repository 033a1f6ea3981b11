//! Frames: how rows lie in the file, one after the other.
//!
//! A frame is its sign, its length, a CRC-32 of length and content, and the content. Whoever reads past damage looks for the
//! next sign whose frame is whole; a run of bytes that is no frame is damage, counted once. Reading is total.

use std::ops::Range;

const SIGN: [u8; 4] = [0xcc, b'd', b'V', 0x9a];
pub(crate) const HEAD: usize = 12;
/// The longest content: more than the longest value.
pub(crate) const LONGEST: usize = 4 << 20;

/// A frame with this content.
pub(crate) fn framed(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::with_capacity(HEAD + content.len());
    out.extend_from_slice(&SIGN);
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc(&length, content).to_le_bytes());
    out.extend_from_slice(content);
    out
}

fn crc(length: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(content);
    hasher.finalize()
}

/// What bytes were read as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A frame: where it lies, and its content.
    Frame(Range<usize>, &'a [u8]),
    /// Bytes that are none.
    Damage(Range<usize>),
}

/// The content of the frame that begins here, if there is a whole one.
fn at(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let head = bytes.get(start..start.checked_add(HEAD)?)?;
    let length = u32::from_le_bytes(head[4..8].try_into().ok()?);
    let size = usize::try_from(length).ok().filter(|size| *size <= LONGEST)?;
    let content = bytes.get(start + HEAD..start + HEAD + size)?;
    let whole = head[..4] == SIGN && head[8..12] == crc(&head[4..8], content).to_le_bytes();
    whole.then_some(content)
}

/// Whether bytes at the end of a file are the first part of a frame, as a crash leaves it.
pub(crate) fn is_torn(bytes: &[u8]) -> bool {
    let sign = bytes.len().min(SIGN.len());
    if bytes[..sign] != SIGN[..sign] {
        return bytes.iter().all(|byte| *byte == 0);
    }
    match bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes) {
        Some(length) => {
            usize::try_from(length).is_ok_and(|length| (bytes.len() - 8).saturating_sub(4) < length)
        }
        None => true,
    }
}

/// What bytes are, from the first to the last.
pub(crate) fn pieces(bytes: &[u8]) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        if let Some(content) = at(bytes, start) {
            let end = start + HEAD + content.len();
            out.push(Piece::Frame(start..end, content));
            start = end;
            continue;
        }
        let next = bytes[start + 1..]
            .windows(SIGN.len())
            .enumerate()
            .filter(|(_, window)| *window == SIGN)
            .map(|(offset, _)| start + 1 + offset)
            .find(|candidate| at(bytes, *candidate).is_some());
        let end = next.unwrap_or(bytes.len());
        out.push(Piece::Damage(start..end));
        start = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_damage_frames_that_are_whole_are_read(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
            hurt in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<prop::sample::Index>(),
        ) {
            let frames: Vec<Vec<u8>> = contents.iter().map(|content| framed(content)).collect();
            let mut bytes = frames.concat();
            let read = |bytes: &[u8]| -> Vec<Vec<u8>> {
                pieces(bytes).into_iter().filter_map(|piece| match piece {
                    Piece::Frame(_, content) => Some(content.to_vec()),
                    Piece::Damage(_) => None,
                }).collect()
            };
            prop_assert_eq!(&read(&bytes), &contents);
            // One flipped bit costs the frame that it is in.
            let hurt = hurt.index(bytes.len());
            bytes[hurt] ^= 1 << bit;
            let mut end = 0;
            let left: Vec<Vec<u8>> = frames.iter().zip(&contents).filter(|(frame, _)| {
                let range = end..end + frame.len();
                end = range.end;
                !range.contains(&hurt)
            }).map(|(_, content)| content.clone()).collect();
            prop_assert_eq!(read(&bytes), left);
            bytes[hurt] ^= 1 << bit;
            // A torn end costs what is not whole.
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(contents.starts_with(&read(&bytes)));
        }

        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let covered: usize = pieces(&bytes).iter().map(|piece| match piece {
                Piece::Frame(range, _) | Piece::Damage(range) => range.len(),
            }).sum();
            prop_assert_eq!(covered, bytes.len());
        }
    }
}
