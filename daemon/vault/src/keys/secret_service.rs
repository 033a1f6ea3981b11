//! The keys in the desktop's keychain on Linux: the Secret Service, as GNOME Keyring, `KWallet` and `KeePassXC` provide it.
//!
//! Over the user's own session bus, with the transport that the specification calls `plain`: who can listen on that bus is
//! the user, who can ask the keychain himself. Nobody is asked for a password from here: a keychain that is locked is one
//! that does not open now, and a daemon never waits longer than its deadline.

use std::time::Duration;

use zeroize::Zeroizing;

use super::dbus::{Args, Bus, Call, Fault, Values};
use super::{KeyError, KeyStore};

const NAME: &str = "secret service";
const SERVICE: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
const DEFAULT: &str = "/org/freedesktop/secrets/aliases/default";
/// How long the whole of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An entry of the desktop's keychain.
#[derive(Clone, Debug)]
pub struct SecretService {
    bus: String,
    vault: String,
}

fn told(fault: Fault) -> KeyError {
    match fault {
        Fault::Error(name) if name.ends_with("IsLocked") => KeyError::Locked(NAME, name),
        Fault::Error(name)
            if ["ServiceUnknown", "NameHasNoOwner", "UnknownObject", "UnknownMethod", "NoSuchObject"]
                .iter()
                .any(|end| name.ends_with(end))
                || name.contains(".Spawn.") =>
        {
            KeyError::Absent(NAME, name)
        }
        Fault::Error(name) => KeyError::Failed(NAME, name),
        Fault::Io(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            KeyError::Locked(NAME, "no answer in time".into())
        }
        Fault::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            KeyError::Locked(NAME, "no answer in time".into())
        }
        Fault::Io(error) => KeyError::Failed(NAME, error.to_string()),
        Fault::Reply => KeyError::Failed(NAME, "its reply cannot be read".into()),
    }
}

struct Session {
    bus: Bus,
    path: String,
}

impl SecretService {
    /// The entry of the vault of this name, on the bus at these addresses.
    #[must_use]
    pub fn new(bus: impl Into<String>, vault: impl Into<String>) -> Self {
        SecretService { bus: bus.into(), vault: vault.into() }
    }

    fn open(&self) -> Result<Session, KeyError> {
        let bus = Bus::connect(&self.bus, PATIENCE).map_err(|fault| match fault {
            Fault::Io(error)
                if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                KeyError::Absent(NAME, format!("no session bus: {error}"))
            }
            other => told(other),
        })?;
        let mut session = Session { bus, path: String::new() };
        let args = Args::new().text("plain").signature("s").text("");
        let mut reply = session.call(ROOT, "Service", "OpenSession", "sv", args)?;
        let mut read = || {
            // What the transport wants to say: nothing.
            let kind = reply.signature()?;
            if kind != "s" {
                return Err(Fault::Reply);
            }
            reply.text()?;
            reply.text()
        };
        session.path = read().map_err(told)?;
        Ok(session)
    }

    fn attributes(&self, args: Args) -> Args {
        args.array(|all| {
            let all = all.structure().text("application").text("ccd");
            all.structure().text("vault").text(&self.vault)
        })
    }

    /// Our entries: those that are open, and whether there are others.
    fn search(&self, session: &mut Session) -> Result<(Vec<String>, bool), KeyError> {
        let mut reply =
            session.call(ROOT, "Service", "SearchItems", "a{ss}", self.attributes(Args::new()))?;
        let open = reply.paths().map_err(told)?;
        let locked = reply.paths().map_err(told)?;
        Ok((open, !locked.is_empty()))
    }
}

impl Session {
    #[allow(clippy::needless_pass_by_value)] // made for this call alone
    fn call(
        &mut self,
        path: &str,
        of: &str,
        member: &str,
        signature: &str,
        args: Args,
    ) -> Result<Values, KeyError> {
        let interface = format!("org.freedesktop.Secret.{of}");
        let call = Call { destination: SERVICE, path, interface: &interface, member, signature };
        self.bus.call(&call, &args).map_err(told)
    }
}

impl KeyStore for SecretService {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(&self) -> Result<Option<Zeroizing<String>>, KeyError> {
        let mut session = self.open()?;
        let (open, locked) = self.search(&mut session)?;
        let Some(item) = open.first() else {
            return if locked {
                Err(KeyError::Locked(NAME, "its entry is not open".into()))
            } else {
                Ok(None)
            };
        };
        let path = session.path.clone();
        let mut reply = session.call(item, "Item", "GetSecret", "o", Args::new().text(&path))?;
        let mut read = || {
            reply.structure();
            reply.text()?;
            reply.bytes()?;
            reply.bytes()
        };
        let bytes = read().map_err(told)?;
        let text = str::from_utf8(&bytes).map_err(|_| KeyError::Malformed(NAME))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    fn store(&self, keys: &str) -> Result<(), KeyError> {
        let mut session = self.open()?;
        let properties = |args: Args| {
            args.array(|all| {
                let all = all.structure().text("org.freedesktop.Secret.Item.Label").signature("s");
                let all = all.text("ccd: the key of the vault");
                let all = all.structure().text("org.freedesktop.Secret.Item.Attributes").signature("a{ss}");
                self.attributes(all)
            })
        };
        let args = properties(Args::new()).structure().text(&session.path).bytes(&[]).bytes(keys.as_bytes());
        let args = args.text("text/plain").bool(true);
        let mut reply = session.call(DEFAULT, "Collection", "CreateItem", "a{sv}(oayays)b", args)?;
        let mut read = || Ok((reply.text()?, reply.text()?));
        let (_, prompt): (String, String) = read().map_err(told)?;
        if prompt == "/" { Ok(()) } else { Err(KeyError::Locked(NAME, "it asks for its password".into())) }
    }
}
