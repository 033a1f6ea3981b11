//! File descriptors that outlive a program: given to a child, taken over from a parent.
//!
//! The only place that makes an owned descriptor out of a number. A number is taken once, by the one process that it
//! was meant for, before anything else could have opened a file of that number; afterwards it is closed on exec.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Takes over a descriptor that our parent left open for us.
pub fn take(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= 2 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "standard streams are not handed over"));
    }
    #[allow(unsafe_code, reason = "a number from the environment has no owner in this process yet")]
    // SAFETY: the number was named to this process alone, by whoever started it, and is taken over before any file is
    // opened here; nobody else in this process knows it. A wrong number is found by the `fcntl` below, before use, and
    // is then not closed.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    match fcntl_getfd(&owned) {
        Ok(flags) => {
            fcntl_setfd(&owned, flags | FdFlags::CLOEXEC)?;
            Ok(owned)
        }
        Err(error) => {
            std::mem::forget(owned);
            Err(error.into())
        }
    }
}

/// Lets `fds` be inherited by what `work` starts. For a process with one thread: no other child can be started
/// meanwhile.
pub fn inherited<T>(fds: &[&dyn AsFd], work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut done = Ok(());
    for fd in fds {
        done = done.and_then(|()| fcntl_setfd(fd.as_fd(), FdFlags::empty()));
    }
    let worked = done.map_err(io::Error::from).and_then(|()| work());
    for fd in fds {
        fcntl_setfd(fd.as_fd(), FdFlags::CLOEXEC)?;
    }
    worked
}

/// Closes what whoever started us left open besides the standard streams: a daemon would hold it for ever, and its other
/// end would wait for ever. For a process that has opened nothing itself yet.
pub fn close_others() {
    let list = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let Ok(entries) = std::fs::read_dir(list) else { return };
    let open: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        #[allow(unsafe_code, reason = "nobody in this process owns what it was started with")]
        // SAFETY: this process has opened nothing yet that it still holds, so no owner of this number is left with a
        // closed file. The list's own number is closed already: the system says so, and nothing happens.
        unsafe {
            libc::close(fd);
        }
    }
}

/// The number that a child finds it by.
pub fn number(fd: &impl AsFd) -> RawFd {
    fd.as_fd().as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn a_number_is_taken_once_and_a_wrong_one_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let fd = OwnedFd::from(file).into_raw_fd();
        let owned = take(fd).unwrap();
        assert_eq!(owned.as_raw_fd(), fd);
        assert!(take(1_000_000).is_err());
        assert!(take(0).is_err());
    }
}
