//! What was told last of each session and kind, so that a session in trouble is one alert and not fifty.
//!
//! Invariant: bounded; what is forgotten first was told longest ago.

use std::collections::BTreeMap;

use crate::ingest::record::first16;

/// Sessions and kinds that are remembered.
const MAX: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Entry {
    told_ns: u64,
    /// Not told since.
    more: u32,
}

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By a hash of session and kind: ids from outside have any length.
    told: BTreeMap<[u8; 16], Entry>,
}

impl Ledger {
    /// How many were not told since the last time, if this one is to be told now; none where it is too soon, and it is
    /// counted instead.
    pub(super) fn due(&mut self, session: &str, kind: &str, now_ns: u64, pause_ns: u64) -> Option<u32> {
        let mut hash = blake3::Hasher::new();
        hash.update(&(session.len() as u64).to_be_bytes());
        hash.update(session.as_bytes());
        hash.update(kind.as_bytes());
        let key = first16(hash.finalize());
        if let Some(entry) = self.told.get_mut(&key) {
            // A clock that was put back is no reason for silence.
            if now_ns.abs_diff(entry.told_ns) < pause_ns {
                entry.more = entry.more.saturating_add(1);
                return None;
            }
            let more = entry.more;
            *entry = Entry { told_ns: now_ns, more: 0 };
            return Some(more);
        }
        if self.told.len() >= MAX {
            let oldest = self.told.iter().min_by_key(|(_, entry)| entry.told_ns).map(|(key, _)| *key);
            oldest.map(|key| self.told.remove(&key));
        }
        self.told.insert(key, Entry { told_ns: now_ns, more: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_and_session_in_its_time_and_the_others_are_summed_up() {
        let mut ledger = Ledger::default();
        let mut due = |session, kind, now| ledger.due(session, kind, now, 100);
        assert_eq!(due("a", "loop", 1000), Some(0));
        assert_eq!((due("a", "cost", 1001), due("b", "loop", 1001)), (Some(0), Some(0)));
        assert_eq!((due("a", "loop", 1050), due("a", "loop", 1099)), (None, None));
        assert_eq!(due("a", "loop", 1100), Some(2));
        assert_eq!(due("a", "loop", 1200), Some(0));
        assert_eq!(due("a", "loop", 1), Some(0), "the clock was put back");
        assert_eq!((due("aloop", "", 1), due("", "aloop", 1)), (Some(0), Some(0)));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut ledger = Ledger::default();
        for n in 0..2 * MAX as u64 {
            assert_eq!(ledger.due(&n.to_string(), "loop", 1000 + n, 10_000), Some(0));
        }
        assert_eq!(ledger.told.len(), MAX);
    }
}
