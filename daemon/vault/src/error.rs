//! What can go wrong with a vault, in words that hold no value and no key.

use std::path::PathBuf;

use crate::keys::KeyError;

/// Why the vault did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The keys cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There are rows, and the keys that sealed them are gone.
    #[error("the vault's key is gone from the {0}; {1} values are sealed with it")]
    KeyLost(&'static str, usize),
    /// There are rows, and they were sealed with other keys.
    #[error("the key in the {0} is not the one that the vault was sealed with")]
    WrongKey(&'static str),
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another process changes the vault, and does not come to an end.
    #[error("another process holds {0}")]
    Busy(PathBuf),
    /// The vault was made by a later version.
    #[error("the vault has version {0}; this program reads 1")]
    Version(u8),
    /// No more is taken in.
    #[error("the vault is full: {0}")]
    Full(&'static str),
    /// Two values have one token, which is as likely as guessing a key of 65 bits.
    #[error("two values have one token")]
    Collision,
    /// The system gives no random numbers, or encryption failed.
    #[error("the value cannot be sealed")]
    Seal,
    /// What was given is no token.
    #[error("{0:?} is no token: 13 letters and digits, as a mark shows them")]
    NotAToken(String),
    /// Several sessions begin alike.
    #[error("{0} sessions in the vault start with {1:?}")]
    Ambiguous(usize, String),
    /// What was deleted is still there.
    #[error("{0} rows that were deleted are still in the file")]
    StillThere(usize),
    /// A backup cannot be read.
    #[error("this is no backup of a vault, or it is damaged")]
    NotABackup,
    /// A backup does not open.
    #[error("the backup does not open: another passphrase, or it was changed")]
    Passphrase,
    /// A backup asks for a passphrase.
    #[error("the backup is sealed with a passphrase")]
    PassphraseNeeded,
    /// The backup is another vault's.
    #[error("the backup is of another vault, and this one holds {0} values")]
    OtherVault(usize),
}

/// The result of what the vault does.
pub(crate) type Result<T> = std::result::Result<T, VaultError>;
