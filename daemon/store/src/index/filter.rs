//! A split-block Bloom filter (as in Parquet), in pages that are read one at a time: "is this key surely absent?"
//!
//! A key sets eight bits, one in each word of one block of 32 bytes, so that a look-up touches one page only. With ten
//! bits for each key about 1 in 100 absent keys is taken for present.
//!
//! Must never say that a key is absent which was put in.

const BLOCK: usize = 32;
const BLOCKS: u32 = 127;
/// The length of a page.
pub(crate) const FILTER_PAGE: u32 = BLOCKS * 32;
const BITS_PER_KEY: u64 = 10;
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A key's hash. Frozen, as the filters on disk hold it.
pub(crate) fn hash(key: &[u8]) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |state: u64, word: u64| {
        let mixed = (state ^ word).wrapping_mul(K);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    };
    let mut state = K ^ key.len() as u64;
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mixed = mix(state, u64::from_le_bytes(last));
    mixed ^ (mixed >> 32)
}

/// The low half.
#[allow(clippy::cast_possible_truncation)]
fn low(number: u64) -> u32 {
    number as u32
}

/// Where a key's block is: the page, and the offset in it.
pub(crate) fn place(hash: u64, pages: u32) -> (u32, usize) {
    let block = low(((hash >> 32) * (u64::from(pages) * u64::from(BLOCKS))) >> 32);
    (block / BLOCKS, (block % BLOCKS) as usize * BLOCK)
}

fn bits(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    SALTS.into_iter().enumerate().map(move |(word, salt)| {
        let bit = low(hash).wrapping_mul(salt) >> 27;
        (word * 4 + (bit / 8) as usize, 1 << (bit % 8))
    })
}

/// Whether a key may be there; `page` is the one that [`place`] names.
pub(crate) fn may_hold(page: &[u8], at: usize, hash: u64) -> bool {
    page.get(at..at + BLOCK).is_none_or(|block| bits(hash).all(|(byte, bit)| block[byte] & bit != 0))
}

/// The pages for these keys, one after the other.
pub(crate) fn build(hashes: &[u64]) -> Vec<u8> {
    let bits_wanted = (hashes.len() as u64 * BITS_PER_KEY).max(1);
    let pages = low(bits_wanted.div_ceil(u64::from(FILTER_PAGE) * 8));
    let mut bytes = vec![0; (pages * FILTER_PAGE) as usize];
    for hash in hashes {
        let (page, at) = place(*hash, pages);
        let block = (page * FILTER_PAGE) as usize + at;
        for (byte, bit) in bits(*hash) {
            bytes[block + byte] |= bit;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_put_in_are_found_and_few_others() {
        for count in [0_u64, 1, 3_000, 20_000] {
            let key = |n: u64| blake3::hash(&n.to_le_bytes()).as_bytes()[..17].to_vec();
            let hashes: Vec<_> = (0..count).map(|n| hash(&key(n))).collect();
            let bytes = build(&hashes);
            let pages = low(bytes.len() as u64) / FILTER_PAGE;
            let held = |hash: u64| {
                let (page, at) = place(hash, pages);
                may_hold(&bytes[(page * FILTER_PAGE) as usize..][..FILTER_PAGE as usize], at, hash)
            };
            assert!(hashes.iter().all(|hash| held(*hash)));
            let wrong = (count..count + 20_000).filter(|n| held(hash(&key(*n)))).count();
            assert!(wrong < 600, "{wrong} of 20000 with {count} keys");
        }
    }

    #[test]
    fn hashes_do_not_change() {
        assert_eq!([hash(b""), hash(b"12345678"), hash(b"session/1")], GOLDEN);
    }

    const GOLDEN: [u64; 3] =
        [12_934_640_065_317_320_346, 17_720_715_993_285_177_296, 620_924_025_600_072_958];
}
