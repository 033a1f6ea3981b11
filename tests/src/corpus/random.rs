//! What a corpus is made up from: the same for the same seed, on every machine and for ever.

use crate::harness::soak;

/// The numbers of a seed, and what is made of them.
#[derive(Clone, Debug)]
pub(super) struct Random(soak::Random);

impl Random {
    /// Those of a seed.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        Random(soak::Random::new(seed))
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.any()
    }

    /// A number from `from` up to, and without, `to`.
    pub(super) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.bits() % (to - from)
    }

    /// A place in something of this length.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.within(0, length as u64)).unwrap()
    }

    /// True this often in a hundred.
    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.within(0, 100) < chance
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// Letters and digits, as ids have them.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        let tail = (0..22).map(|_| char::from(self.pick(ALPHABET)));
        format!("{prefix}_01{}", tail.collect::<String>())
    }

    /// A UUID.
    pub(super) fn uuid(&mut self) -> String {
        let bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }
}
