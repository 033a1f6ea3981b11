//! Bearer tokens: who may hand something in over the network.
//!
//! A token has 256 random bits and is shown once; only its hash is kept, in memory and on disk, and hashes are compared in
//! constant time, every one of them: whoever reads the file cannot show a token. A program may exchange its token for a
//! short-lived one that says when it ends ([`jwt`]); that one is good only as long as the token that it came from, and is
//! signed with a key that lies in the same private file. Time is handed in.
//!
//! Must never log a token, keep one, or write for each use: when one was last used is known in memory, and written once a
//! day at most.

mod file;
mod jwt;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blake3::Hash;
use serde::{Deserialize, Serialize};

use crate::private;

const SECOND_NS: u64 = 1_000_000_000;
/// How every token begins, so that people and scanners know one.
pub const PREFIX: &str = "ccdt_";
/// Tokens at a time.
const MOST: usize = 256;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 64;
/// How exactly the file knows when a token was last used, in seconds.
const USED_S: u64 = 86_400;
/// Seconds that a token which was exchanged for another lives.
pub const EXCHANGED_S: u64 = 3_600;
/// Whose all is that is handed in here: one store, one user.
pub const TENANT: &str = "local";

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Traces of other recorders: `/api/v1/…`.
    Ingest,
    /// OpenTelemetry signals: `/v1/…`.
    Telemetry,
    /// Both.
    All,
}

impl Scope {
    /// By its name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "ingest" => Some(Scope::Ingest),
            "telemetry" => Some(Scope::Telemetry),
            "all" => Some(Scope::All),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Telemetry => "telemetry",
            Scope::All => "all",
        }
    }

    /// Whether who has this scope may do what `wanted` names.
    #[must_use]
    pub fn allows(self, wanted: Scope) -> bool {
        self == Scope::All || self == wanted
    }
}

/// A token, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The head of its hash: names it, and tells nothing of it.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// What it is good for.
    pub scope: Scope,
    /// Of the token.
    hash: Hash,
    /// When it was made, seconds since the Unix epoch.
    pub made_s: u64,
    /// When it ends, likewise; none: never.
    pub expires_s: Option<u64>,
    /// When it was last used, likewise; none: never.
    pub used_s: Option<u64>,
}

impl Token {
    /// Whether it is good.
    #[must_use]
    pub fn is_good(&self, now_s: u64) -> bool {
        self.expires_s.is_none_or(|end| now_s < end)
    }
}

/// Who shows a token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The token's id.
    pub id: String,
    /// What it is good for.
    pub scope: Scope,
}

/// Why what is shown lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no token, or one that was revoked.
    Unknown,
    /// It has ended.
    Expired,
}

/// Why something cannot be done to the tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such name.
    #[error("a token's name is 1 to 64 letters, digits, dots, dashes and underscores")]
    Name,
    /// There is one of this name.
    #[error("there is a token of this name already")]
    Exists,
    /// There are too many.
    #[error("there are {MOST} tokens: one has to be revoked first")]
    TooMany,
    /// There is none.
    #[error("there is no token of this name or id")]
    NotFound,
    /// There are several.
    #[error("several tokens' ids begin so")]
    Ambiguous,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
    /// The disk does not do it.
    #[error("the file of tokens: {0}")]
    Disk(std::io::Error),
}

/// The tokens of one daemon.
pub struct Tokens {
    file: PathBuf,
    state: Mutex<State>,
    /// Held while the file is read or written.
    disk: Mutex<()>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Default)]
struct State {
    kept: Kept,
    /// The file as it was when it was last read or written.
    stamp: Option<private::Stamp>,
    is_read: bool,
    /// The last time it could not be read, which was logged.
    is_failing: bool,
}

/// What the file holds.
#[derive(Clone, Default)]
struct Kept {
    /// Signs what a token is exchanged for; none before the first token.
    key: Option<[u8; 32]>,
    tokens: Vec<Token>,
}

impl Tokens {
    /// Those that this file holds; it is read when somebody asks.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Tokens { file, state: Mutex::default(), disk: Mutex::default() }
    }

    /// Makes a token: what is shown once, and what is kept of it. Uses the disk.
    pub fn create(
        &self,
        name: &str,
        scope: Scope,
        lives_s: Option<u64>,
        now_ns: u64,
    ) -> Result<(String, Token), TokenError> {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_letter) {
            return Err(TokenError::Name);
        }
        let text = format!("{PREFIX}{}", hex(&random()?));
        let hash = blake3::hash(text.as_bytes());
        let made_s = now_ns / SECOND_NS;
        let token = Token {
            id: hash.to_hex()[..12].to_owned(),
            name: name.to_owned(),
            scope,
            hash,
            made_s,
            expires_s: lives_s.map(|s| made_s.saturating_add(s)),
            used_s: None,
        };
        let key = random()?;
        self.change(|kept| {
            if kept.tokens.iter().any(|known| known.name == name) {
                return Err(TokenError::Exists);
            }
            if kept.tokens.len() >= MOST {
                return Err(TokenError::TooMany);
            }
            kept.key.get_or_insert(key);
            kept.tokens.push(token.clone());
            Ok(())
        })?;
        Ok((text, token))
    }

    /// All of them, those that have ended too. Uses the disk.
    #[must_use]
    pub fn list(&self) -> Vec<Token> {
        self.refresh();
        self.state().kept.tokens.clone()
    }

    /// Takes one back, and all that it was exchanged for, by its name or the head of its id. Uses the disk.
    pub fn revoke(&self, which: &str) -> Result<Token, TokenError> {
        self.change(|kept| {
            let named = kept.tokens.iter().position(|token| token.name == which);
            let at = if let Some(at) = named {
                at
            } else {
                let begins = |token: &Token| which.len() >= 4 && token.id.starts_with(which);
                let mut found = kept.tokens.iter().enumerate().filter(|(_, token)| begins(token));
                match (found.next(), found.next()) {
                    (Some((at, _)), None) => at,
                    (None, _) => return Err(TokenError::NotFound),
                    _ => return Err(TokenError::Ambiguous),
                }
            };
            Ok(kept.tokens.remove(at))
        })
    }

    /// Whether this is a token that is good, or something that one was exchanged for; and notes that it was used. May use
    /// the disk.
    pub fn check(&self, shown: &str, now_ns: u64) -> Result<Pass, Refused> {
        let at_s = now_ns / SECOND_NS;
        self.refresh();
        let (pass, is_old) = {
            let mut state = self.state();
            let kept = &mut state.kept;
            let id = if let Some(hash) = hash_of(shown) {
                find(&kept.tokens, &hash).map(|token| token.id.clone())
            } else {
                let key = kept.key.as_ref().ok_or(Refused::Unknown)?;
                Some(jwt::read(key, shown, at_s)?)
            };
            let known = id.and_then(|id| kept.tokens.iter_mut().find(|token| token.id == id));
            let token = known.ok_or(Refused::Unknown)?;
            if !token.is_good(at_s) {
                return Err(Refused::Expired);
            }
            let is_old = token.used_s.is_none_or(|used| at_s.saturating_sub(used) >= USED_S);
            if is_old {
                token.used_s = Some(at_s);
            }
            (Pass { id: token.id.clone(), scope: token.scope }, is_old)
        };
        if is_old && let Err(error) = self.save() {
            tracing::debug!(%error, "when a token was last used is not kept");
        }
        Ok(pass)
    }

    /// What a token that is good is exchanged for, and how many seconds that lives. May use the disk.
    pub fn exchange(&self, shown: &str, now_ns: u64) -> Result<(String, u64), Refused> {
        // What came of an exchange is not exchanged again: it would live for ever.
        if hash_of(shown).is_none() {
            return Err(Refused::Unknown);
        }
        let pass = self.check(shown, now_ns)?;
        let at_s = now_ns / SECOND_NS;
        let state = self.state();
        let key = state.kept.key.as_ref().ok_or(Refused::Unknown)?;
        let ends_s = state.kept.tokens.iter().find(|token| token.id == pass.id).and_then(|t| t.expires_s);
        let lives_s = ends_s.map_or(EXCHANGED_S, |end| EXCHANGED_S.min(end.saturating_sub(at_s)));
        let claims = jwt::Claims {
            iss: "ccd".into(),
            sub: pass.id,
            tenant_id: TENANT.into(),
            scope: pass.scope.name().into(),
            iat: at_s,
            exp: at_s + lives_s,
        };
        Ok((jwt::write(key, &claims), lives_s))
    }

    fn refresh(&self) {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        // It is logged, and nobody is let in.
        let _ = self.read();
    }

    /// With `disk` held: reads the file where it is another one than it was. Nobody is let in by what cannot be read, and
    /// it is read again when somebody asks again; what it holds is not known, so that nothing may be written then.
    fn read(&self) -> std::io::Result<()> {
        let read = private::stamp(&self.file).and_then(|stamp| {
            let state = self.state();
            if state.is_read && state.stamp == stamp {
                return Ok(None);
            }
            drop(state);
            let kept = if stamp.is_some() { file::read(&self.file)? } else { Kept::default() };
            Ok(Some((stamp, kept)))
        });
        let mut state = self.state();
        match read {
            Ok(None) => Ok(()),
            Ok(Some((stamp, kept))) => {
                *state = State { kept, stamp, is_read: true, is_failing: false };
                Ok(())
            }
            Err(error) => {
                if !state.is_failing {
                    tracing::error!(%error, "the file of tokens cannot be read: no token is good");
                }
                *state = State { is_failing: true, ..State::default() };
                Err(error)
            }
        }
    }

    /// Changes the tokens, on disk first.
    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        self.read().map_err(TokenError::Disk)?;
        let mut kept = self.state().kept.clone();
        let done = change(&mut kept)?;
        self.write(kept).map_err(TokenError::Disk)?;
        Ok(done)
    }

    /// Writes when they were last used. What was changed in the file meanwhile stays.
    fn save(&self) -> std::io::Result<()> {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        self.read()?;
        let kept = self.state().kept.clone();
        self.write(kept)
    }

    /// With `disk` held.
    fn write(&self, kept: Kept) -> std::io::Result<()> {
        file::write(&self.file, &kept)?;
        // Where that cannot be told it is read again.
        let stamp = private::stamp(&self.file);
        let mut state = self.state();
        state.is_read = stamp.is_ok();
        (state.kept, state.stamp) = (kept, stamp.unwrap_or_default());
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of what may be a token: anything else is not even looked for.
fn hash_of(shown: &str) -> Option<Hash> {
    let rest = shown.strip_prefix(PREFIX)?;
    let is_one = rest.len() == 64 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_one.then(|| blake3::hash(shown.as_bytes()))
}

/// Every one is compared, in constant time: how long it takes tells nothing.
fn find<'a>(tokens: &'a [Token], hash: &Hash) -> Option<&'a Token> {
    tokens.iter().fold(None, |found, token| if token.hash == *hash { Some(token) } else { found })
}

fn random() -> Result<[u8; 32], TokenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| TokenError::NoRandom)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
