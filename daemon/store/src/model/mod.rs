//! A model of everything below the store, and what the store promises whatever that does.
//!
//! [`fs`] is a file system that forgets what was not synced, and fails where it is told to; [`engine`] an index that
//! may be gone or old after a crash; [`workload`] a caller that knows what was acknowledged to it. The tests go through
//! every call of a workload. Everything is decided by seeds: a failure names its own, and comes again.
//!
//! `CCD_SOAK=1` in the environment runs every test with many more seeds.

mod calls;
mod crash_tests;
mod damage_tests;
mod engine;
mod fault_tests;
mod fs;
mod prune_tests;
mod workload;

/// How many times as much is to be tried as usual.
fn soak() -> u64 {
    if std::env::var_os("CCD_SOAK").is_some_and(|value| value == "1") { 8 } else { 1 }
}

/// The seeds of a test that usually takes so many.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    0..usual * soak()
}

/// Numbers that depend on nothing but the seed (splitmix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }
}

/// Names the case in which a check fails.
fn context<T>(case: &str, check: impl FnOnce() -> T) -> T {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
        Ok(result) => result,
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
            panic!("{case}: {what}")
        }
    }
}
