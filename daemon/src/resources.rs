//! Whether the system gives the daemon what it cannot do without: threads and address space.
//!
//! Asked once, before anything is begun: a start that would break off in the middle, or a daemon that would break down
//! at its first request, is a clear error instead. What is merely scarce is lived with (`memory`, `source::proxy::limits`).

use std::sync::Mutex;

use rustix::process::{Resource, getrlimit};

/// Threads that the daemon has when all are busy with something: two that serve, the proxy's, the one that takes
/// credentials out, the writer with up to seven of its index, the detectors', two of the logs, the one that watches
/// files, and a few that look names up and answer questions.
const THREADS: usize = 18;
/// Address space that it needs with those: programs, stacks, the index's cache and a body or two.
const ADDRESS_SPACE: u64 = 224 << 20;
/// Stack of a thread that does nothing.
const STACK: usize = 64 << 10;

/// What is lacking.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Lacking {
    /// Threads.
    #[error(
        "the system lets ccd have {found} threads, it needs {THREADS}; see `ulimit -u`, and TasksMax or pids.max of its \
         service or container"
    )]
    Threads {
        /// How many could be had.
        found: usize,
    },
    /// Address space.
    #[error("address space is limited to {} MiB, ccd needs {}; see `ulimit -v`", .limit >> 20, ADDRESS_SPACE >> 20)]
    AddressSpace {
        /// The limit, in bytes.
        limit: u64,
    },
}

/// The limit of the address space in bytes, if there is one.
#[must_use]
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Asks for all of it, and gives it back.
pub fn check() -> Result<(), Lacking> {
    enough(address_space())?;
    threads(THREADS)
}

fn enough(limit: Option<u64>) -> Result<(), Lacking> {
    match limit {
        Some(limit) if limit < ADDRESS_SPACE => Err(Lacking::AddressSpace { limit }),
        _ => Ok(()),
    }
}

/// Has so many threads at a time, for a moment.
fn threads(wanted: usize) -> Result<(), Lacking> {
    let enough = Mutex::new(());
    let found = std::thread::scope(|scope| {
        // Each waits until all are there, or as many as there may be.
        let _held = enough.lock();
        let wait = || drop(enough.lock());
        let spawn =
            |_: &usize| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, wait).is_ok();
        (0..wanted).take_while(spawn).count()
    });
    if found < wanted { Err(Lacking::Threads { found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_enough_and_what_cannot_be_had_is_named() {
        assert_eq!(threads(THREADS), Ok(()));
        let small = enough(Some(64 << 20)).unwrap_err().to_string();
        assert!(small.contains("64 MiB") && small.contains("224"), "{small}");
        assert_eq!((enough(Some(1 << 30)), enough(None)), (Ok(()), Ok(())));
        assert!(Lacking::Threads { found: 3 }.to_string().contains("3 threads"));
    }
}
