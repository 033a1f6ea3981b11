//! Signals, as something that `poll` can wait for.
//!
//! Each one sets its flag first and then wakes the loop, so that none is missed. `SIGPIPE` is std's business.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::sender::Sender;

/// What came since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Came {
    /// SIGTERM or SIGINT.
    pub(super) stop: bool,
    /// That came from the system, which goes down.
    pub(super) of_system: bool,
    /// SIGHUP.
    pub(super) hup: bool,
}

/// The signals of this process.
pub(super) struct Signals {
    wake: UnixStream,
    stop: Arc<AtomicBool>,
    hup: Arc<AtomicBool>,
    sender: Sender,
}

impl Signals {
    /// Catches SIGTERM, SIGINT, SIGHUP and SIGCHLD from now on.
    pub(super) fn catch() -> io::Result<Self> {
        let (wake, end) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        // First, so that it knows before the loop wakes up.
        let sender = Sender::watch()?;
        let signals = Signals { wake, stop: Arc::default(), hup: Arc::default(), sender };
        for (signal, flag) in [(SIGTERM, &signals.stop), (SIGINT, &signals.stop), (SIGHUP, &signals.hup)] {
            signal_hook::flag::register(signal, Arc::clone(flag))?;
        }
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            signal_hook::low_level::pipe::register(signal, end.try_clone()?)?;
        }
        hold_back(false);
        Ok(signals)
    }

    /// What came.
    pub(super) fn take(&mut self) -> Came {
        let mut sink = [0; 64];
        while matches!(self.wake.read(&mut sink), Ok(n) if n > 0) {}
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::SeqCst);
        let stop = take(&self.stop);
        Came { stop, of_system: stop && self.sender.is_system(), hup: take(&self.hup) }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Holds signals back, so that none is lost while this process becomes another program; or lets them through.
pub(super) fn hold_back(yes: bool) {
    #[allow(unsafe_code, reason = "there is no safe wrapper")]
    // SAFETY: the set is initialised by `sigemptyset` before it is read, and lives until both calls have returned;
    // changing which signals are blocked touches no memory of ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            libc::sigaddset(&raw mut set, signal);
        }
        let how = if yes { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}
