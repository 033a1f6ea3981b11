//! Who sent the signal that asks for the end: a person who wants it, or the system on its way down.
//!
//! Made before anybody else listens to these signals: what is told of a signal is there when it is heard.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::siginfo_t;

/// Told of every SIGTERM and SIGINT of this process, from the moment it is made.
pub struct Sender(Arc<AtomicBool>);

impl Sender {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// The system takes no handler.
    pub fn watch() -> io::Result<Self> {
        let sender = Sender(Arc::default());
        let own = rustix::process::geteuid().as_raw();
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let of_system = Arc::clone(&sender.0);
            let note = move |info: &siginfo_t| {
                #[allow(unsafe_code, reason = "the fields of a `siginfo_t` are those of a union")]
                // SAFETY: both fields are valid for a signal that a process sent, and plain numbers: for one that the
                // kernel sent they are 0, or meaningless, and no memory is reached through them.
                let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
                of_system.store(is_system(info.si_code, pid, uid, own), Ordering::SeqCst);
            };
            #[allow(unsafe_code, reason = "there is no safe way to learn who sent a signal")]
            // SAFETY: the handler reads two numbers and stores a flag that lives as long as the handler: both may be
            // done whatever the signal interrupted.
            unsafe {
                signal_hook_registry::register_sigaction(signal, note)?;
            }
        }
        Ok(sender)
    }

    /// Whether the last of them came from the system: the machine, or what this process runs in, goes down.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Sent by `init` (process 1), which ends everybody at a shutdown; from outside of our container (no process at all,
/// seen from inside); or by root to a process of somebody else. Ctrl-C comes from the kernel itself.
fn is_system(code: i32, pid: i32, uid: u32, own: u32) -> bool {
    let by_process = code <= 0 || cfg!(not(target_os = "linux"));
    by_process && (pid <= 1 || (uid == 0 && own != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_and_the_system_are_told_apart() {
        assert!(is_system(0, 1, 0, 1000), "init");
        assert!(is_system(0, 0, 0, 1000), "from outside of the container");
        assert!(is_system(0, 77, 0, 1000), "root's shutdown scripts");
        assert!(!is_system(0, 77, 1000, 1000), "kill");
        assert!(!is_system(0, 77, 0, 0), "root, of root's own");
        assert!(!is_system(0x80, 0, 0, 1000) || cfg!(not(target_os = "linux")), "Ctrl-C");
    }

    #[test]
    fn a_signal_of_our_own_is_a_persons() {
        let sender = Sender::watch().unwrap();
        sender.0.store(true, Ordering::SeqCst);
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while sender.is_system() && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        assert!(!sender.is_system());
    }
}
