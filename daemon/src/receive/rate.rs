//! How often one token may be shown: so many requests at once, and so many a second after that.
//!
//! Must never keep one token's owner out because of another's, or hold more than one small entry for each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Requests at once.
const BURST: u64 = 2000;
/// Nanoseconds that one request takes of what there is: 500 a second.
const EACH_NS: u64 = 2_000_000;
/// Entries beyond which those that are whole again are dropped.
const ENTRIES: usize = 512;

/// By token: when all that it asked for is worked off.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<String, u64>>);

impl Rates {
    /// Whether a token may be shown again now; else in how many seconds.
    pub(super) fn take(&self, id: &str, now_ns: u64) -> Result<(), u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ENTRIES {
            all.retain(|_, until| *until > now_ns);
        }
        // One of the future, by a clock that was set back, is no reason to wait for it.
        let longest = now_ns.saturating_add(BURST * EACH_NS);
        let until = all.get(id).copied().unwrap_or(0).clamp(now_ns, longest);
        if until + EACH_NS > longest {
            return Err(1);
        }
        all.insert(id.to_owned(), until + EACH_NS);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_its_own_share_and_it_comes_back() {
        let rates = Rates::default();
        for _ in 0..BURST {
            rates.take("a", 1_000).unwrap();
        }
        assert_eq!(rates.take("a", 1_000), Err(1));
        assert_eq!(rates.take("b", 1_000), Ok(()));
        assert_eq!(rates.take("a", 1_000 + EACH_NS), Ok(()));
        assert_eq!(rates.take("a", 1_000 + EACH_NS), Err(1));
        assert_eq!(rates.take("a", 0), Err(1), "a clock that was set back");
        for n in 0..2_000 {
            let _ = rates.take(&n.to_string(), u64::MAX / 2 + n * EACH_NS);
        }
        assert!(rates.0.lock().unwrap().len() <= ENTRIES);
    }
}
