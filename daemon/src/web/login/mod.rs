//! Who is logged in to the pages: codes that are good once, and the logins that they were exchanged for.
//!
//! A code has 128 random bits, a login 256. Of both only a hash is kept, in memory and on disk, and hashes are compared in
//! constant time: whoever reads the file of logins cannot log in by it. Logins outlive the daemon; codes do not. Time is
//! handed in. Must never log a code or a login, and must never take a code twice.
//!
//! A browser sends a cookie to every port of the host that set it. A server of another user on this machine may so come
//! to know a login when the browser visits it; it cannot use it, because the web door asks the system whose each
//! connection is before it reads a byte (where the system tells: not on macOS). Programs of our own user can read what
//! was captured without any login.

mod file;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blake3::Hash;
use tokio_util::sync::CancellationToken;

use crate::private;

pub(super) use file::Login;

const SECOND_NS: u64 = 1_000_000_000;
/// Seconds that a code is good for.
pub(crate) const CODE_S: u64 = 60;
/// Codes at a time; the oldest gives way.
const CODES: usize = 16;
/// Seconds that a login lives after it was last used: 30 days.
pub(super) const LOGIN_S: u64 = 30 * 86_400;
/// Logins at a time; the one that was not used for longest gives way.
const LOGINS: usize = 32;
/// How exactly it is known when a login was last used, in seconds: what is read all day is not written all day.
const USED_S: u64 = 86_400;
/// Wrong codes that are heard in a minute.
const WRONG: usize = 10;
/// That minute.
const WRONG_S: u64 = 60;

/// Why a code lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is wrong, used, or too old.
    Wrong,
    /// Too many were wrong; seconds until another wrong one is heard as such.
    TooMany(u64),
    /// The system gives no random numbers.
    NoRandom,
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// Cancelled once all logins are ended.
    pub(super) ended: CancellationToken,
}

/// What is known of a login.
#[derive(Debug)]
pub(super) enum Known {
    /// It is good.
    Yes(Pass),
    /// It is not known, or has to be noted as used: [`Logins::look`] tells, and may use the disk.
    Look,
    /// It cannot be one.
    No,
}

/// Codes and logins.
pub(crate) struct Logins {
    file: PathBuf,
    state: Mutex<State>,
    /// Held while the file is read or written; never together with a wait for anything else.
    disk: Mutex<()>,
}

#[derive(Default)]
struct State {
    codes: VecDeque<Code>,
    logins: Vec<Login>,
    /// When codes were wrong.
    wrong: VecDeque<u64>,
    ended: CancellationToken,
    /// The file as it was when it was last read or written; none before.
    stamp: Option<private::Stamp>,
    /// The disk did not take the last change.
    unsaved: bool,
}

struct Code {
    hash: Hash,
    made_ns: u64,
}

impl Code {
    fn is_good(&self, now_ns: u64) -> bool {
        // A clock that was set back makes none good for longer.
        now_ns.checked_sub(self.made_ns).is_some_and(|age| age <= CODE_S * SECOND_NS)
    }
}

impl Logins {
    /// Those that this file holds; it is read when somebody comes.
    pub(super) fn new(file: PathBuf) -> Self {
        Logins { file, state: Mutex::default(), disk: Mutex::default() }
    }

    /// A new code.
    pub(crate) fn code(&self, now_ns: u64) -> Result<String, getrandom::Error> {
        let code = random::<16>()?;
        let mut state = self.state();
        state.codes.retain(|code| code.is_good(now_ns));
        if state.codes.len() >= CODES {
            state.codes.pop_front();
        }
        state.codes.push_back(Code { hash: blake3::hash(code.as_bytes()), made_ns: now_ns });
        Ok(code)
    }

    /// Exchanges a code for a login. Uses the disk; a login that the disk does not take ends with the daemon.
    pub(super) fn redeem(&self, code: &str, now_ns: u64) -> Result<String, Refused> {
        self.take(code, now_ns)?;
        let login = random::<32>().map_err(|_| Refused::NoRandom)?;
        let at_s = now_ns / SECOND_NS;
        let new = Login { hash: blake3::hash(login.as_bytes()), made_s: at_s, used_s: at_s };
        self.change(at_s, |logins| {
            while logins.len() >= LOGINS {
                let oldest = logins.iter().enumerate().min_by_key(|(_, login)| login.used_s);
                let Some((at, _)) = oldest else { break };
                logins.swap_remove(at);
            }
            logins.push(new);
        });
        Ok(login)
    }

    fn take(&self, code: &str, now_ns: u64) -> Result<(), Refused> {
        let mut state = self.state();
        let is_recent = |at: &u64| now_ns.checked_sub(*at).is_some_and(|age| age < WRONG_S * SECOND_NS);
        state.wrong.retain(is_recent);
        let hash = blake3::hash(code.as_bytes());
        // Every one is compared: how long it takes tells nothing.
        let found = state.codes.iter().enumerate().fold(None, |found, (at, code)| {
            if code.hash == hash { Some((at, code.is_good(now_ns))) } else { found }
        });
        let good = match found {
            Some((at, good)) => {
                state.codes.remove(at);
                good
            }
            None => false,
        };
        if good {
            return Ok(());
        }
        // A right one was let in before this: nobody is kept out by another's guesses.
        if state.wrong.len() >= WRONG {
            let first = state.wrong.front().copied().unwrap_or(now_ns);
            return Err(Refused::TooMany(WRONG_S - (now_ns - first) / SECOND_NS));
        }
        state.wrong.push_back(now_ns);
        Err(Refused::Wrong)
    }

    /// Whether this is a login, as far as memory tells.
    pub(super) fn known(&self, login: &str, now_ns: u64) -> Known {
        let Some(hash) = hash_of(login) else { return Known::No };
        let at_s = now_ns / SECOND_NS;
        let state = self.state();
        match find(&state.logins, &hash, at_s) {
            Some(known) if at_s.saturating_sub(known.used_s) < USED_S => {
                Known::Yes(Pass { ended: state.ended.clone() })
            }
            _ => Known::Look,
        }
    }

    /// Whether this is a login, as far as the disk tells; and notes that it was used. The daemon before this one, or the
    /// one after it, may have written it.
    pub(super) fn look(&self, login: &str, now_ns: u64) -> Option<Pass> {
        let hash = hash_of(login)?;
        let at_s = now_ns / SECOND_NS;
        self.refresh(at_s);
        let old = {
            let state = self.state();
            let known = find(&state.logins, &hash, at_s)?;
            at_s.saturating_sub(known.used_s) >= USED_S
        };
        if old {
            self.change(at_s, |logins| {
                for login in logins.iter_mut().filter(|login| login.hash == hash) {
                    login.used_s = at_s;
                }
            });
        }
        let state = self.state();
        find(&state.logins, &hash, at_s).map(|_| Pass { ended: state.ended.clone() })
    }

    /// Ends all logins, and what is being sent to them. Uses the disk.
    pub(crate) fn forget(&self) -> std::io::Result<()> {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = private::remove(&self.file);
        let mut state = self.state();
        state.codes.clear();
        state.logins.clear();
        state.stamp = None;
        // What the disk still holds is not read again by this daemon.
        state.unsaved = removed.is_err();
        std::mem::take(&mut state.ended).cancel();
        removed
    }

    /// How many logins there are, by the file.
    pub(crate) fn count(&self, now_ns: u64) -> usize {
        self.refresh(now_ns / SECOND_NS);
        self.state().logins.len()
    }

    /// Reads the file where it is another one than it was.
    fn refresh(&self, now_s: u64) {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(now_s);
    }

    /// With `disk` held.
    fn read(&self, now_s: u64) {
        let stamp = private::stamp(&self.file).ok().flatten();
        {
            let state = self.state();
            if state.unsaved || (state.stamp.is_some() && state.stamp == stamp) {
                return;
            }
        }
        let read = if stamp.is_some() { file::read(&self.file) } else { Ok(Vec::new()) };
        let mut state = self.state();
        match read {
            Ok(logins) => {
                state.logins = logins.into_iter().filter(|login| login.is_alive(now_s)).collect();
                state.stamp = stamp;
            }
            // What is known already holds on.
            Err(error) => {
                tracing::warn!(%error, "the file of who is logged in to the pages cannot be read; `ccctl open` logs in again");
                state.stamp = stamp;
            }
        }
    }

    fn change(&self, now_s: u64, change: impl FnOnce(&mut Vec<Login>)) {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(now_s);
        let logins = {
            let mut state = self.state();
            state.logins.retain(|login| login.is_alive(now_s));
            change(&mut state.logins);
            state.logins.clone()
        };
        let written = file::write(&self.file, &logins);
        let mut state = self.state();
        state.unsaved = written.is_err();
        state.stamp = private::stamp(&self.file).ok().flatten();
        if let Err(error) = written {
            tracing::warn!(%error, "who is logged in to the pages is not kept beyond this daemon's end");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of what may be a login: anything else is not even looked for.
fn hash_of(login: &str) -> Option<Hash> {
    let is_one = login.len() == 64 && login.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_one.then(|| blake3::hash(login.as_bytes()))
}

/// Every one is compared: how long it takes tells nothing.
fn find<'a>(logins: &'a [Login], hash: &Hash, now_s: u64) -> Option<&'a Login> {
    logins.iter().fold(
        None,
        |found, login| {
            if login.hash == *hash && login.is_alive(now_s) { Some(login) } else { found }
        },
    )
}

/// Random bytes of the system as hexadecimal digits.
fn random<const N: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    Ok(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
