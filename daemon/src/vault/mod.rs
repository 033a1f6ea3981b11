//! The vault in the daemon: opened beside everything else, asked for the mark of each credential.
//!
//! Whatever happens to the vault, a credential is taken out: where it cannot be sealed, the mark tells its kind only, it is
//! gone for good, and `status` says why. Nothing waits for a keychain: it is asked on a thread of its own, at the start and
//! then at most every half minute, when there is something to seal.
//!
//! Must never log a value, or hand one out by another way than [`ccd_vault::Vault::look_up`], which keeps the audit log.

mod mark;
pub mod reveal;
pub mod who;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use ccd_proto::api::VaultStatus;
use ccd_proto::paths::Layout;
use ccd_vault::keys::KeyFile;
use ccd_vault::{KeyStore, Vault, VaultError};

pub use self::mark::VaultMark;
use crate::clock::Clock;
use crate::config::{VaultKey, VaultSettings};
use crate::ingest::scrub::Scrub;

/// How long a start waits for a vault to open: what comes before it is open is taken out for good.
const AT_START: Duration = Duration::from_millis(300);
/// How long until a vault that did not open is tried again.
const AGAIN_NS: u64 = 30_000_000_000;

/// Values that are looked for again after a start.
const RECALLED: usize = 4096;

/// A place where keys may be kept.
struct Keeping {
    store: Arc<dyn KeyStore>,
    file: Option<PathBuf>,
}

#[derive(Clone)]
enum State {
    /// The configuration wants none, or nothing is captured.
    Off,
    Opening,
    Open(Arc<Vault>),
    /// It does not open.
    Closed {
        error: String,
        hint: Option<&'static str>,
    },
}

/// The daemon's vault, open or not.
pub struct VaultSlot {
    dir: PathBuf,
    /// Whether the installation is one of its own, as tests are.
    apart: bool,
    clock: Arc<dyn Clock>,
    settings: Mutex<VaultSettings>,
    state: RwLock<State>,
    /// Somebody opens it.
    busy: AtomicBool,
    tried_ns: AtomicU64,
    /// Credentials that were taken out for good since the start.
    irreversible: AtomicU64,
    /// Who is told of the values as soon as it is open.
    pupil: OnceLock<Weak<Scrub>>,
    /// Why the last one could not be sealed.
    error: Mutex<Option<String>>,
}

/// Somebody opens the vault, until this goes.
struct Busy(Arc<VaultSlot>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for VaultSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultSlot").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl VaultSlot {
    /// The vault of an installation, not open yet. Nothing is ever sealed where nothing is captured.
    #[must_use]
    pub fn new(layout: &Layout, settings: VaultSettings, captures: bool, clock: Arc<dyn Clock>) -> Arc<Self> {
        let key = if captures { settings.key } else { VaultKey::None };
        Arc::new(VaultSlot {
            dir: layout.vault_dir(),
            apart: layout.home.is_some(),
            clock,
            settings: Mutex::new(VaultSettings { key, ..settings }),
            state: RwLock::new(if key == VaultKey::None { State::Off } else { State::Opening }),
            busy: AtomicBool::new(false),
            tried_ns: AtomicU64::new(0),
            irreversible: AtomicU64::new(0),
            pupil: OnceLock::new(),
            error: Mutex::default(),
        })
    }

    /// Opens it, and waits for that no longer than a start may.
    pub fn open(self: &Arc<Self>) {
        if let Some(opened) = self.begin() {
            let _ = opened.recv_timeout(AT_START);
        }
    }

    /// Has what is sealed taken out wherever it comes again, from now on, and whenever the vault opens anew.
    pub fn teach(&self, scrub: &Arc<Scrub>) {
        let _ = self.pupil.set(Arc::downgrade(scrub));
        self.recall();
    }

    /// Tells the values once more: who forgot them has other rules now.
    pub fn recall(&self) {
        if let (Some(vault), Some(scrub)) = (self.vault(), self.pupil.get().and_then(Weak::upgrade)) {
            let values = vault.values(RECALLED);
            // Those seen last are told last: they are forgotten last.
            scrub.scrubber().know(values.iter().rev().map(|(rule, value)| (rule.as_str(), value.as_str())));
        }
    }

    /// Puts another place for the key in force.
    pub fn set(self: &Arc<Self>, settings: VaultSettings) {
        let key = settings.key;
        {
            let mut now = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            *now = settings;
            if key == VaultKey::None {
                self.put(State::Off);
            }
        }
        self.begin();
    }

    /// Opens it on a thread of its own; none where another one does so already.
    fn begin(self: &Arc<Self>) -> Option<std::sync::mpsc::Receiver<()>> {
        let settings = self.settings();
        if settings.key == VaultKey::None || self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.tried_ns.store(self.clock.now_ns(), Ordering::Relaxed);
        let (done, opened) = std::sync::mpsc::sync_channel(1);
        let busy = Busy(Arc::clone(self));
        let work = move || {
            let slot = Arc::clone(&busy.0);
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| slot.try_open(&settings)));
            let state = match tried {
                Ok(Ok(vault)) => {
                    tracing::info!(key = vault.key(), tokens = vault.stats().tokens, "the vault is open");
                    State::Open(Arc::new(vault))
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the vault does not open: credentials are taken out for good");
                    State::Closed { error: error.to_string(), hint: hint(&error) }
                }
                Err(_) => {
                    State::Closed { error: "opening it failed".into(), hint: Some("`ccctl logs` shows why") }
                }
            };
            let is_wanted = slot.put_if(&settings, state);
            if is_wanted {
                slot.recall();
            }
            drop(busy);
            if !is_wanted {
                slot.begin();
            }
            let _ = done.try_send(());
        };
        if let Err(error) = std::thread::Builder::new().name("ccd-vault".into()).spawn(work) {
            self.put(State::Closed { error: format!("no thread: {error}"), hint: None });
        }
        Some(opened)
    }

    fn try_open(&self, settings: &VaultSettings) -> Result<Vault, VaultError> {
        let mut last = None;
        for Keeping { store, file } in self.keepings(settings) {
            match Vault::open(&self.dir, store, file) {
                Err(VaultError::Key(error @ ccd_vault::KeyError::Absent(..))) => {
                    tracing::info!(%error, "the vault's key");
                    last = Some(error);
                }
                other => return other,
            }
        }
        let none = || ccd_vault::KeyError::Absent("keychain", "this build knows none".into());
        Err(last.unwrap_or_else(none).into())
    }

    fn settings(&self) -> VaultSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn key_file(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// Where the key may be, first things first.
    fn keepings(&self, settings: &VaultSettings) -> Vec<Keeping> {
        let path = self.key_file();
        let file = || Keeping { store: Arc::new(KeyFile::new(&path)), file: Some(path.clone()) };
        let chain =
            || keychain(&self.dir, settings.bus.as_deref()).map(|store| Keeping { store, file: None });
        match settings.key {
            VaultKey::None => Vec::new(),
            VaultKey::File => vec![file()],
            VaultKey::Keychain => chain().into_iter().collect(),
            VaultKey::Auto if self.apart || path.exists() => vec![file()],
            // Rows without a key file were sealed with the keychain's: another key would be of no use.
            VaultKey::Auto if self.dir.join("rows").metadata().is_ok_and(|rows| rows.len() > 0) => {
                chain().map_or_else(|| vec![file()], |chain| vec![chain])
            }
            VaultKey::Auto => chain().into_iter().chain([file()]).collect(),
        }
    }

    /// The place that a restored key goes to, and its file.
    #[must_use]
    pub fn keeping(&self) -> Option<(Arc<dyn KeyStore>, Option<PathBuf>)> {
        if let Some(vault) = self.vault() {
            let name = vault.key();
            let found = self.keepings(&self.settings()).into_iter().find(|one| one.store.name() == name);
            if let Some(one) = found {
                return Some((one.store, one.file));
            }
        }
        self.keepings(&self.settings()).into_iter().next().map(|one| (one.store, one.file))
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts what came of these settings, if they are still in force.
    fn put_if(&self, settings: &VaultSettings, state: State) -> bool {
        let now = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = *now == *settings;
        if is_wanted {
            self.put(state);
        }
        is_wanted
    }

    fn put(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The vault, if it is open.
    #[must_use]
    pub fn vault(&self) -> Option<Arc<Vault>> {
        match self.state() {
            State::Open(vault) => Some(vault),
            _ => None,
        }
    }

    /// Why it is not open, and what to do about it.
    #[must_use]
    pub fn why_closed(&self) -> (String, Option<&'static str>) {
        match self.state() {
            State::Off => (
                "there is no vault: credentials are taken out for good".into(),
                Some("`[vault] key` in config.toml says where its key is to be kept"),
            ),
            State::Opening => (
                "the vault is being opened".into(),
                Some("try again in a moment; a keychain may be waiting for you"),
            ),
            State::Closed { error, hint } => (error, hint),
            State::Open(_) => (String::new(), None),
        }
    }

    /// Tries again at once, as whoever asked has put something right.
    pub fn retry(self: &Arc<Self>) {
        if let Some(opened) = self.begin() {
            let _ = opened.recv_timeout(Duration::from_secs(5));
        }
    }

    /// Writes down what was seen again.
    pub fn flush(&self) {
        if let Some(vault) = self.vault()
            && let Err(error) = vault.flush()
        {
            tracing::warn!(%error, "the vault's counts are not written");
        }
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> VaultStatus {
        let mut status = VaultStatus {
            path: self.dir.display().to_string(),
            irreversible: self.irreversible.load(Ordering::Relaxed),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..VaultStatus::default()
        };
        match self.state() {
            State::Off => status.state = "off".into(),
            State::Opening => status.state = "opening".into(),
            State::Closed { error, hint } => {
                status.state = "closed".into();
                status.error = Some(error);
                status.hint = hint.map(ToOwned::to_owned);
            }
            State::Open(vault) => {
                let held = vault.stats();
                status.state = "open".into();
                status.key = vault.key().into();
                (status.tokens, status.rows) = (held.tokens as u64, held.rows as u64);
                (status.deleted, status.damaged) = (held.deleted as u64, held.damaged);
                status.bytes = held.bytes;
                status.loose = vault.loose();
                if self.key_file().exists() {
                    status.key_file = Some(self.key_file().display().to_string());
                }
            }
        }
        status
    }
}

/// What can be done about a vault that does not open.
fn hint(error: &VaultError) -> Option<&'static str> {
    Some(match error {
        VaultError::KeyLost(..)
        | VaultError::WrongKey(_)
        | VaultError::Key(ccd_vault::KeyError::Malformed(_)) => {
            "`ccctl vault restore FILE` brings the key back; without a backup, move the vault's directory away to begin anew"
        }
        VaultError::Key(ccd_vault::KeyError::Locked(..)) => {
            "unlock the keychain: it is tried again by itself"
        }
        VaultError::Key(_) => {
            "`[vault] key = \"file\"` in config.toml keeps the key in a file of yours instead"
        }
        VaultError::Version(_) => "a newer ccd made it: install that one again",
        _ => return None,
    })
}

/// The keychain of this desktop, as this build knows it.
#[cfg(target_os = "macos")]
#[allow(clippy::unnecessary_wraps)] // elsewhere there may be none
fn keychain(dir: &Path, _: Option<&str>) -> Option<Arc<dyn KeyStore>> {
    Some(Arc::new(ccd_vault::keys::Keychain::new(dir.display().to_string())))
}

/// The keychain of this desktop, as this build knows it.
#[cfg(target_os = "linux")]
fn keychain(dir: &Path, bus: Option<&str>) -> Option<Arc<dyn KeyStore>> {
    Some(Arc::new(ccd_vault::keys::SecretService::new(bus?, dir.display().to_string())))
}

/// The keychain of this desktop: none that this build knows.
#[cfg(not(any(target_os = "macos", target_os = "linux")))]
fn keychain(_: &Path, _: Option<&str>) -> Option<Arc<dyn KeyStore>> {
    None
}

#[cfg(test)]
mod tests;
