//! Fault tests come in two lengths, and at random: a short form in every run, the long one where `CCD_SOAK=1`
//! (`tests/run.sh --soak`). Same code, other counts.
//!
//! The seed of everything random is printed, so that a failure can be had again.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether the long forms run. The only place that asks.
#[must_use]
pub fn long() -> bool {
    std::env::var_os("CCD_SOAK").is_some_and(|value| value == "1")
}

/// How often to do something: in the short form, in the long one.
#[must_use]
pub fn count(short: usize, long: usize) -> usize {
    if self::long() { long } else { short }
}

/// Says what a fault test counted. `tests/run.sh --soak` gathers these lines.
#[allow(clippy::print_stdout, reason = "shown by the test runner where it is asked to")]
pub fn summary(line: &str) {
    println!("counted: {line}");
}

/// Random numbers that a seed gives again (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Those of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Those of a seed of its own, printed with `who` asks.
    #[must_use]
    pub fn seeded(who: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = u64::try_from(now.as_nanos()).unwrap_or_default();
        summary(&format!("{who}: seed {seed}"));
        Random(seed)
    }

    /// Those that a text gives.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Random(text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any() % end.max(1)
    }

    /// An index into something of this length, which is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    /// Words that do not compress to nothing, about `len` bytes.
    pub fn text(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len + 20);
        while text.len() < len {
            let _ = write!(text, "{:x} ", self.any());
        }
        text
    }

    /// Lets a random time pass: a fault at a random instant is what is tested, nothing is waited for.
    pub fn pause(&mut self, less_than: Duration) {
        let nanos = u64::try_from(less_than.as_nanos()).unwrap_or(u64::MAX);
        std::thread::sleep(Duration::from_nanos(self.below(nanos)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_again() {
        let texts = [Random::of("a").text(100), Random::of("a").text(100), Random::of("b").text(100)];
        assert!(texts[0] == texts[1] && texts[0] != texts[2] && texts[0].len() >= 100);
        let mut random = Random::new(1);
        assert!((0..1_000).all(|_| random.below(7) < 7) && random.below(0) == 0);
    }
}
