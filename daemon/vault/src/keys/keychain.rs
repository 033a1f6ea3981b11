//! The keys in the login keychain of macOS, through the Security framework: never on a command line.

use security_framework::passwords::{get_generic_password, set_generic_password};
use zeroize::Zeroizing;

use super::{KeyError, KeyStore};

const NAME: &str = "keychain";
/// errSecItemNotFound.
const NOT_FOUND: i32 = -25300;
/// errSecInteractionNotAllowed, errSecAuthFailed, errSecUserCanceled.
const LOCKED: [i32; 3] = [-25308, -25293, -128];

/// An entry of the login keychain. May wait for a person: whoever must not wait asks from a thread of its own.
#[derive(Clone, Debug)]
pub struct Keychain {
    account: String,
}

impl Keychain {
    /// The entry of the vault that has this name.
    #[must_use]
    pub fn new(account: impl Into<String>) -> Self {
        Keychain { account: account.into() }
    }
}

const SERVICE: &str = "ccd vault";

fn told(error: &security_framework::base::Error) -> KeyError {
    if LOCKED.contains(&error.code()) {
        KeyError::Locked(NAME, error.to_string())
    } else {
        KeyError::Failed(NAME, error.to_string())
    }
}

impl KeyStore for Keychain {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(&self) -> Result<Option<Zeroizing<String>>, KeyError> {
        match get_generic_password(SERVICE, &self.account) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| KeyError::Malformed(NAME))?;
                Ok(Some(Zeroizing::new(text)))
            }
            Err(error) if error.code() == NOT_FOUND => Ok(None),
            Err(error) => Err(told(&error)),
        }
    }

    fn store(&self, keys: &str) -> Result<(), KeyError> {
        set_generic_password(SERVICE, &self.account, keys.as_bytes()).map_err(|error| told(&error))
    }
}
