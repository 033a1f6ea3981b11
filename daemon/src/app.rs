//! The daemon, running: what everybody who serves a request or a question shares, and what can be asked of it.
//!
//! How it is put together, and how it ends, is in [`life`].

mod inside;
mod keeper;
mod life;
mod retire;
mod watching;

pub use life::run;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ccd_proto::api::SupervisorStatus;
use ccd_proto::paths::Layout;
use jiff::tz::TimeZone;
use tokio::sync::{Notify, Semaphore};

use crate::alert::Alerts;
use crate::api::live::Hub;
use crate::budget::Guard;
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, Network, Retention};
use crate::detect;
use crate::export::clean::Privacy;
use crate::forward::Forwarding;
use crate::heal::Healing;
use crate::ingest::scrub::Scrub;
use crate::ingest::shared::Shared;
use crate::ingest::{Door, rebuild};
use crate::maintenance::Maintenance;
use crate::project::price::Prices;
use crate::receive::Receiver;
use crate::revival;
use crate::source::proxy::server::{Proxy, Settings};
use crate::source::proxy::upstream::{self, Target, Upstream};
use crate::source::spool;
use crate::source::transcript::Transcripts;
use crate::startup::Prepared;
use crate::supervise::channel::Word;
use crate::supervise::listeners::{Holder, Listener, Listeners, Name};
use crate::telemetry::LogHandle;
use crate::vault::VaultSlot;
use crate::watch::{self, Watches};
use crate::web::Web;

pub use retire::RETIRE_IDLE;
use retire::Retirement;

/// Loads the configuration anew.
pub type Reload = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What a daemon is made of.
pub struct Parts {
    /// Where everything lies.
    pub layout: Layout,
    /// The configuration in force at start.
    pub config: Config,
    /// Loads it anew.
    pub reload: Reload,
    /// What is bound and locked.
    pub prepared: Prepared,
    /// Changes the log filter.
    pub log: LogHandle,
    /// Who keeps it running.
    pub manager: &'static str,
    /// Who holds the listeners that were handed to it.
    pub holders: Holders,
    /// Why nothing is to be captured, if so: requests are relayed, and the store is left alone.
    pub bypass: Option<String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the daemon is: times that name no zone were written there.
    pub zone: TimeZone,
    /// Makes the watcher of directories.
    pub watcher: watch::Make,
}

/// Who holds the listeners of a daemon.
#[derive(Clone, Copy, Debug)]
pub struct Holders {
    /// The proxy's.
    pub proxy: Holder,
    /// The hook events'.
    pub hook: Holder,
    /// The control API's.
    pub control: Holder,
}

impl Holders {
    /// Nobody but the daemon.
    pub const OWN: Holders = Holders { proxy: Holder::Own, hook: Holder::Own, control: Holder::Own };

    /// Those of listeners that were handed over; what is missing, the daemon makes.
    #[must_use]
    pub fn of(listeners: &Listeners) -> Self {
        let unix = |listener: &Option<_>| listener.as_ref().map_or(Holder::Own, |l: &Listener<_>| l.holder);
        Holders {
            proxy: listeners.proxy.holder,
            hook: unix(&listeners.hook),
            control: unix(&listeners.control),
        }
    }
}

/// Why something configured is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In words.
    pub text: String,
    /// `file`, `environment`, or `restart` for what takes a restart.
    pub about: &'static str,
}

/// The manager of a daemon in the background that nobody but its own supervisor keeps running.
pub const DAEMONIZED: &str = "daemonized";

const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const RETIRING: u8 = 2;

/// Questions answered at a time; the others wait.
const QUESTIONS: usize = 4;
/// Searches under way at a time, likewise.
const SEARCHES: usize = 2;

/// A daemon that serves.
pub struct Running {
    /// Where everything lies.
    pub layout: Layout,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When it began to serve, nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// Who keeps it running.
    pub manager: &'static str,
    /// Who holds the listeners that were handed to it.
    pub holders: Holders,
    /// Who starts it again when it dies.
    supervisor: Mutex<Option<SupervisorStatus>>,
    /// Nobody does any more, and nobody starts another supervisor.
    supervisor_gone: AtomicBool,
    /// Another one has taken our place, and waits for the store.
    succeeded: AtomicBool,
    /// The store and what is known of it.
    pub shared: Arc<Shared>,
    /// The door.
    pub door: Door,
    /// What takes credentials out of everything that is captured.
    pub scrub: Arc<Scrub>,
    /// What keeps those, sealed.
    pub vault: Arc<VaultSlot>,
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// Where it listens.
    pub proxy_listen: SocketAddr,
    /// The web door.
    pub web: Arc<Web>,
    /// What other programs hand in.
    pub receiver: Receiver,
    /// The client's own files.
    pub transcripts: Arc<Transcripts>,
    /// What watches directories.
    pub watches: Arc<Watches>,
    /// Where the daemon is.
    pub zone: TimeZone,
    /// The spool.
    pub spool: Arc<spool::Counts>,
    state: AtomicU8,
    config: Mutex<Config>,
    config_problem: Mutex<Option<Problem>>,
    log: LogHandle,
    log_filter: Mutex<String>,
    reload: Reload,
    /// Stop, and whether without draining.
    stop: Notify,
    drain: Mutex<Option<Duration>>,
    /// It retires from now on.
    retires: Notify,
    retirement: Mutex<Option<Retirement>>,
    /// Questions answered at a time.
    pub questions: Semaphore,
    /// Searches that may begin now.
    pub searches: Arc<Semaphore>,
    /// The long operation on the store.
    pub maintenance: Maintenance,
    /// What is followed.
    pub live: Hub,
    /// The budgets in force.
    pub budget: Guard,
    /// The detectors' door.
    pub detect: detect::Feed,
    /// Their end of it, until their thread has it.
    detect_rx: Mutex<Option<std::sync::mpsc::Receiver<detect::Message>>>,
    /// What is done about detections.
    pub heal: Arc<Healing>,
    /// Who is told of them.
    pub alerts: Alerts,
    /// To whom what is recorded is sent.
    pub forwarding: Forwarding,
    /// Whether anything is.
    forwards: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    /// `serving`, `draining` or `retiring`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.state.load(Ordering::Relaxed) {
            DRAINING => "draining",
            RETIRING => "retiring",
            _ => "serving",
        }
    }

    /// The log filter in force.
    #[must_use]
    pub fn log_filter(&self) -> String {
        locked(&self.log_filter).clone()
    }

    /// Why what is configured is not in force.
    #[must_use]
    pub fn config_problem(&self) -> Option<Problem> {
        locked(&self.config_problem).clone()
    }

    /// What is wrong with a configuration that was read well.
    fn problem(&self) -> Option<Problem> {
        let config = locked(&self.config);
        if let Some(text) = self.proxy.settings().upstream.problem() {
            let about = if config.network.is_of_environment(text) { "environment" } else { "file" };
            return Some(Problem { text: text.to_owned(), about });
        }
        let receiver = self.web.receiver().0;
        if let (Some(listen), None) = (receiver, config.receive.listen) {
            let text = format!("receive.listen is not set any more: the daemon still listens on {listen}");
            return Some(Problem { text, about: "restart" });
        }
        let doors = [
            ("proxy", config.proxy_listen, Some(self.proxy_listen)),
            ("web", config.web_listen, self.web.listen()),
            ("receive", config.receive.listen.unwrap_or(config.web_listen), receiver),
        ];
        doors.into_iter().find_map(|(name, wanted, listen)| {
            let listen = listen.filter(|listen| wanted.port() != 0 && wanted != *listen)?;
            Some(Problem {
                text: format!("{name}.listen = {wanted} is not in force: the daemon listens on {listen}"),
                about: "restart",
            })
        })
    }

    /// Who holds a listener, as it is now; none where there is no such listener.
    #[must_use]
    pub fn held_by(&self, name: Name) -> Option<Holder> {
        let holder = match name {
            Name::Proxy => self.holders.proxy,
            Name::Web => self.web.holder()?,
            Name::Hook => self.holders.hook,
            Name::Control => self.holders.control,
        };
        let lost = holder == Holder::Supervise && self.has_lost_supervisor();
        Some(if lost { Holder::Own } else { holder })
    }

    /// The detectors' thresholds in force.
    #[must_use]
    pub fn thresholds(&self) -> crate::config::Detect {
        locked(&self.config).detect.clone()
    }

    /// What is taken out of everything that leaves.
    #[must_use]
    pub fn privacy(&self) -> Privacy {
        Privacy { redactor: self.door.scrub().leaving(), home: self.thresholds().home }
    }

    /// How long the past is kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        locked(&self.config).retention
    }

    /// What is done about detections.
    #[must_use]
    pub fn heal(&self) -> config::Heal {
        locked(&self.config).heal.clone()
    }

    /// Whether there is somebody who forwards: not where nothing is captured, nor before the home is ours.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.forwards.load(Ordering::Relaxed)
    }

    /// The way from this machine to others.
    #[must_use]
    pub fn network(&self) -> Network {
        locked(&self.config).network.clone()
    }

    /// Puts another log filter in force, until the configuration next changes.
    pub fn set_log(&self, filter: &str) -> Result<(), String> {
        self.log.set(filter)?;
        filter.clone_into(&mut locked(&self.log_filter));
        tracing::info!(filter, "log filter changed");
        Ok(())
    }

    /// Somebody asked for the end of a daemon in the background: no hook event shall bring it back.
    pub fn forget(&self) {
        if self.manager == DAEMONIZED {
            revival::forget(&self.layout.revival_note());
        }
    }

    /// Asks the daemon to end: after streams in flight, or at once.
    pub fn stop(&self, now: bool) {
        let limit = Duration::from_secs(locked(&self.config).drain_s);
        *locked(&self.drain) = Some(if now { Duration::ZERO } else { limit });
        self.state.store(DRAINING, Ordering::Relaxed);
        self.stop.notify_one();
    }

    /// Makes room for another daemon that accepts already: nothing more is accepted, the store and the sockets are given
    /// up, and the streams in flight finish.
    pub fn hand_over(&self) {
        self.succeeded.store(true, Ordering::Relaxed);
        self.stop(false);
    }

    /// Whether it was told to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DRAINING
    }

    /// Who starts it again when it dies; none if nobody does.
    #[must_use]
    pub fn supervisor(&self) -> Option<SupervisorStatus> {
        locked(&self.supervisor).clone()
    }

    /// Notes who starts it again when it dies.
    pub fn set_supervisor(&self, supervisor: Option<SupervisorStatus>) {
        *locked(&self.supervisor) = supervisor;
    }

    /// The supervisor is gone for good: nobody but us holds the port.
    pub fn lose_supervisor(&self) {
        self.supervisor_gone.store(true, Ordering::Relaxed);
    }

    /// Whether there was a supervisor, and nobody starts another.
    #[must_use]
    pub fn has_lost_supervisor(&self) -> bool {
        self.supervisor_gone.load(Ordering::Relaxed)
    }

    /// The way to upstream by `new`: the one in force, where nothing about it changed.
    fn upstream(&self, old: &Config, new: &Config) -> Option<Arc<Upstream>> {
        if (&new.upstream, &new.network) == (&old.upstream, &old.network) {
            return Some(Arc::clone(&self.proxy.settings().upstream));
        }
        let target = Target::new(&new.upstream)?;
        Some(Upstream::new(target, &new.network, upstream::Limits::default(), Arc::clone(&self.clock)))
    }

    /// What a supervisor must know once this daemon retires, as soon as it does: whoever follows it has to retire, too,
    /// and to send requests where this one sent them.
    pub async fn retiring(&self) -> Word {
        self.retires.notified().await;
        Word::Retiring(self.retire_idle().as_secs(), self.proxy.settings().upstream.target().to_string())
    }

    /// Opens the web door where it is not open: its port may be free by now.
    fn open_web(&self) {
        let (wanted, receive) = {
            let config = locked(&self.config);
            (config.web_listen, config.receive.listen)
        };
        self.web.open(None, wanted);
        self.web.open_receiver(receive);
    }

    /// Puts a changed configuration in force; a wrong one is shown and leaves the old one as it is.
    pub(crate) fn reload(&self) {
        if self.state.load(Ordering::Relaxed) == RETIRING {
            // Uninstalling takes the upstream out of the file; sessions that still hold our URL, and their keys, go
            // where they went before.
            return;
        }
        let new = match (self.reload)() {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(%error, "the changed configuration is not valid; the old one stays in force");
                let about = if error.is_of_environment() { "environment" } else { "file" };
                *locked(&self.config_problem) = Some(Problem { text: error.to_string(), about });
                return;
            }
        };
        let old = std::mem::replace(&mut *locked(&self.config), new.clone());
        if new != old {
            self.put_in_force(&old, &new);
        }
        *locked(&self.config_problem) = self.problem();
    }

    fn put_in_force(&self, old: &Config, new: &Config) {
        tracing::info!("configuration changed");
        if new.log != old.log
            && let Err(error) = self.set_log(&new.log)
        {
            tracing::error!(error, "log filter");
        }
        if let Some(upstream) = self.upstream(old, new) {
            self.proxy.set(Settings { upstream, capture: new.capture });
        }
        self.transcripts.taker.set_longest(new.capture.max_body_bytes);
        self.transcripts.set(new.transcripts.clone());
        if new.proxy_listen != old.proxy_listen {
            tracing::warn!(listen = %new.proxy_listen, "proxy.listen changes at the next start");
        }
        if new.web_listen != old.web_listen && self.web.listen().is_some() {
            tracing::warn!(listen = %new.web_listen, "web.listen changes at the next start");
        }
        // One that was taken may be free by now, whatever has changed.
        self.open_web();
        if new.budget != old.budget {
            self.budget.set(new.budget.clone());
        }
        if (&new.detect, &new.heal) != (&old.detect, &old.heal) {
            self.detect.set(new.detect.clone(), new.heal.clone());
        }
        if new.heal != old.heal {
            self.heal.set(new.heal.clone());
        }
        // Before anything is sent by the new configuration.
        if new.redact != old.redact {
            match self.scrub.set(&new.redact) {
                Ok(()) => self.vault.recall(),
                Err(error) => tracing::error!(%error, "the rules of redaction stay as they were"),
            }
        }
        if (&new.forward, &new.network) != (&old.forward, &old.network) {
            self.forwarding.set(new.forward.clone());
        }
        if new.alerts != old.alerts {
            self.alerts.set(new.alerts.clone());
        }
        if new.vault != old.vault {
            self.vault.set(new.vault.clone());
        }
        if new.prices != old.prices {
            tracing::info!("prices changed: costs are worked out again");
            self.shared.live.set_prices(Prices::new(&new.prices));
            self.shared.marks.renewed();
            // Not waited for: a stop must be heard meanwhile.
            let (door, shared) = (self.door.clone(), Arc::clone(&self.shared));
            tokio::task::spawn_blocking(move || {
                for pause in [0, 2, 10, 60] {
                    std::thread::sleep(Duration::from_secs(pause));
                    match rebuild::rebuild(&door, &shared, None, &mut |_| ()) {
                        Ok(done) => return tracing::info!(?done, "costs are worked out again"),
                        Err(error) => tracing::error!(%error, "costs could not be worked out again"),
                    }
                }
            });
        }
    }
}
