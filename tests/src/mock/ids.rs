//! Ids that look like the API's and are the same in every run: a hash of their kind and number.
//!
//! Two ids of one mock are never equal; ids of two mocks may be.

use sha2::{Digest, Sha256};

/// The `number`th id of a kind: `msg_01…`, `toolu_01…`, `srvtoolu_01…`, `req_01…`.
pub(crate) fn id(prefix: &str, number: u64) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let digest = Sha256::digest(format!("{prefix}/{number}"));
    let tail = digest.iter().take(22).map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    format!("{prefix}_01{}", tail.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_same_every_time_and_differ_by_kind_and_number() {
        assert_eq!(id("msg", 1), id("msg", 1));
        let mut all: Vec<_> =
            (0..1000).map(|n| id("msg", n)).chain((0..1000).map(|n| id("toolu", n))).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2000);
        assert_eq!(id("msg", 7).len(), "msg_01".len() + 22);
    }
}
