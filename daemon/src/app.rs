//! The daemon, running: everything wired together, and how it ends.
//!
//! Stopping: streams in flight finish (as long as the configuration allows) while whoever comes meanwhile is still
//! answered, what they brought is written, the control socket goes last, so that `ccctl` can watch all of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ccd_proto::paths::Layout;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, Retention};
use crate::ingest::shared::Shared;
use crate::ingest::writer::Writer;
use crate::ingest::{Door, rebuild};
use crate::maintenance::{Maintenance, retention};
use crate::memory::Budget;
use crate::project::price::Prices;
use crate::source::proxy::bypass::{Bypass, Capturing};
use crate::source::proxy::limits::Limits;
use crate::source::proxy::server::{Proxy, Settings};
use crate::source::proxy::upstream::{self, Target, Upstream};
use crate::source::{hook, spool};
use crate::startup::{Prepared, StartError};
use crate::telemetry::LogHandle;
use crate::{api, resources, watch};

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
    /// The time.
    pub clock: Arc<dyn Clock>,
}

const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const RETIRING: u8 = 2;

/// How long a retiring daemon waits after the last request before it ends, unless it is told otherwise. A
/// session may rest over night and still hold our URL; an idle daemon costs next to nothing.
pub const RETIRE_IDLE: Duration = Duration::from_secs(12 * 3600);

/// Questions answered at a time; the others wait.
const QUESTIONS: usize = 4;

/// How long the writer may take to write what waits, once the sources are closed.
const WRITER_PATIENCE: Duration = Duration::from_secs(20);

/// How long connections may take to end once they are cut.
const CUT_PATIENCE: Duration = Duration::from_secs(2);

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
    /// The store and what is known of it.
    pub shared: Arc<Shared>,
    /// The door.
    pub door: Door,
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// Where it listens.
    pub proxy_listen: SocketAddr,
    /// The spool.
    pub spool: Arc<spool::Counts>,
    state: AtomicU8,
    config: Mutex<Config>,
    config_error: Mutex<Option<String>>,
    log: LogHandle,
    log_filter: Mutex<String>,
    reload: Reload,
    /// Stop, and whether without draining.
    stop: Notify,
    drain: Mutex<Option<Duration>>,
    /// Questions answered at a time.
    pub questions: Semaphore,
    /// The long operation on the store.
    pub maintenance: Maintenance,
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

    /// Why the configuration file in place is not in force.
    #[must_use]
    pub fn config_error(&self) -> Option<String> {
        locked(&self.config_error).clone()
    }

    /// How long the past is kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        locked(&self.config).retention
    }

    /// Puts another log filter in force, until the configuration next changes.
    pub fn set_log(&self, filter: &str) -> Result<(), String> {
        self.log.set(filter)?;
        filter.clone_into(&mut locked(&self.log_filter));
        tracing::info!(filter, "log filter changed");
        Ok(())
    }

    /// Asks the daemon to end: after streams in flight, or at once.
    pub fn stop(&self, now: bool) {
        let limit = Duration::from_secs(locked(&self.config).drain_s);
        *locked(&self.drain) = Some(if now { Duration::ZERO } else { limit });
        self.state.store(DRAINING, Ordering::Relaxed);
        self.stop.notify_one();
    }

    /// Asks the daemon to end by itself once nobody has used it for `idle`.
    pub fn retire(self: &Arc<Self>, idle: Duration) {
        if self.state.swap(RETIRING, Ordering::Relaxed) == RETIRING {
            return;
        }
        tracing::info!(idle_s = idle.as_secs(), "retiring: answering until nobody asks any more");
        let this = Arc::clone(self);
        let asked_ns = self.clock.now_ns();
        tokio::spawn(async move {
            let look = (idle / 10).clamp(Duration::from_millis(50), Duration::from_secs(60));
            while this.state.load(Ordering::Relaxed) == RETIRING {
                tokio::time::sleep(look).await;
                let gauges = this.proxy.gauges();
                let last = gauges.last_request_ns.load(Ordering::Relaxed).max(asked_ns);
                let quiet = this.clock.now_ns().saturating_sub(last);
                let busy = gauges.in_flight.load(Ordering::Relaxed) > 0;
                if !busy && u128::from(quiet) >= idle.as_nanos() {
                    tracing::info!("nobody asked any more");
                    this.stop(false);
                }
            }
        });
    }

    /// The way to upstream by `new`: the one in force, where nothing about it changed.
    fn upstream(&self, old: &Config, new: &Config) -> Option<Arc<Upstream>> {
        if (&new.upstream, &new.network) == (&old.upstream, &old.network) {
            return Some(Arc::clone(&self.proxy.settings().upstream));
        }
        let target = Target::new(&new.upstream)?;
        Some(Upstream::new(target, &new.network, upstream::Limits::default(), Arc::clone(&self.clock)))
    }

    /// Puts a changed configuration in force; a wrong one is shown and leaves the old one as it is.
    fn reload(&self) {
        if self.state.load(Ordering::Relaxed) == RETIRING {
            // Uninstalling takes the upstream out of the file; sessions that still hold our URL, and their keys, go
            // where they went before.
            return;
        }
        let new = match (self.reload)() {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(%error, "the changed configuration is not valid; the old one stays in force");
                *locked(&self.config_error) = Some(error.to_string());
                return;
            }
        };
        *locked(&self.config_error) = self.proxy.settings().upstream.problem().map(str::to_owned);
        let old = std::mem::replace(&mut *locked(&self.config), new.clone());
        if new == old {
            return;
        }
        tracing::info!("configuration changed");
        if new.log != old.log
            && let Err(error) = self.set_log(&new.log)
        {
            tracing::error!(error, "log filter");
        }
        if let Some(upstream) = self.upstream(&old, &new) {
            *locked(&self.config_error) = upstream.problem().map(str::to_owned);
            self.proxy.set(Settings { upstream, capture: new.capture });
        }
        if new.proxy_listen != old.proxy_listen {
            tracing::warn!(listen = %new.proxy_listen, "proxy.listen changes at the next start");
            *locked(&self.config_error) =
                Some("proxy.listen changed: `ccctl restart` puts it in force".into());
        }
        if new.prices != old.prices {
            tracing::info!("prices changed: costs are worked out again");
            self.shared.live.set_prices(Prices::new(&new.prices));
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

/// Runs a daemon until it is told to end. `ready` is called once everything listens: a store with much to catch
/// up on is waited for by questions, not by the start.
pub async fn run(parts: Parts, ready: impl FnOnce(&Arc<Running>)) -> Result<(), StartError> {
    let (app, listeners, writer) = wire(parts)?;
    let lock = listeners.lock;
    let streams = TaskTracker::new();
    let sources = TaskTracker::new();
    let closing = CancellationToken::new();
    let ending = CancellationToken::new();
    let proxy =
        Arc::clone(&app.proxy).serve(listeners.proxy, streams.clone(), closing.clone(), ending.clone());
    let proxy = tokio::spawn(proxy);
    sources.spawn(hook::serve(listeners.hooks, app.door.clone(), streams.clone(), closing.clone()));
    let spool_changed = Arc::new(Notify::new());
    sources.spawn(spool::run(
        app.layout.spool_dir.clone(),
        app.door.clone(),
        Arc::clone(&app.spool),
        Arc::clone(&spool_changed),
        closing.clone(),
    ));
    let api = tokio::spawn(api::serve(listeners.control, Arc::clone(&app)));
    let retention = tokio::spawn(retention::run(Arc::clone(&app)));
    ready(&app);
    tracing::info!(proxy = %app.proxy_listen, upstream = %app.proxy.settings().upstream.target(), "serving");

    until_stopped(&app, &spool_changed).await;

    retention.abort();
    closing.cancel();
    drain(&app, &sources, &streams).await;
    ending.cancel();
    // Done at once: it only lets go of the port.
    let _ = proxy.await;
    app.maintenance.stop().await;
    let written = async {
        app.door.stop().await;
        tokio::task::spawn_blocking(move || writer.join()).await
    };
    if tokio::time::timeout(WRITER_PATIENCE, written).await.is_err() {
        tracing::error!("the writer does not end; its journal is whole");
    }
    // Questions under way may be followers, who would stay for ever.
    api.abort();
    for socket in [app.layout.control_socket(), app.layout.hook_socket()] {
        if let Err(error) = fs_err::remove_file(socket) {
            tracing::debug!(%error, "a socket was gone already");
        }
    }
    drop(lock);
    tracing::info!("stopped");
    Ok(())
}

struct Listeners {
    proxy: TcpListener,
    hooks: UnixListener,
    control: UnixListener,
    /// Held until the daemon has ended, whatever task may still hold on to the rest.
    lock: std::fs::File,
}

/// Builds everything and starts the writer.
fn wire(parts: Parts) -> Result<(Arc<Running>, Listeners, JoinHandle<()>), StartError> {
    let Parts { layout, config, reload, prepared, log, manager, clock } = parts;
    let failed = |what: &str, e: &dyn std::fmt::Display| StartError::Process(format!("{what}: {e}"));
    let listeners = Listeners {
        proxy: TcpListener::from_std(prepared.proxy).map_err(|e| failed("proxy listener", &e))?,
        hooks: UnixListener::from_std(prepared.hooks).map_err(|e| failed("hook socket", &e))?,
        control: UnixListener::from_std(prepared.control).map_err(|e| failed("control socket", &e))?,
        lock: prepared.lock,
    };
    let proxy_listen = listeners.proxy.local_addr().map_err(|e| failed("proxy listener", &e))?;
    let target = Target::new(&config.upstream)
        .ok_or_else(|| StartError::Process(format!("upstream {} is no base URL", config.upstream)))?;

    let (door, rx) = Door::new();
    let shared = Shared::new(Prices::new(&config.prices));
    let writer = Writer::new(layout.store_dir(), rx, Arc::clone(&shared), &door);
    let writer = std::thread::Builder::new()
        .name("ccd-writer".into())
        .spawn(move || writer.run())
        .map_err(|e| failed("the writer's thread", &e))?;

    let patience = upstream::Limits::default();
    let upstream = Upstream::new(target, &config.network, patience, Arc::clone(&clock));
    let problem = upstream.problem().map(str::to_owned);
    let settings = Settings { upstream, capture: config.capture };
    let capturing = Capturing::On { door: door.clone(), store: shared.state.subscribe() };
    let bypass = Bypass::new(capturing, Budget::read(Path::new("/")).within(resources::address_space()));
    let limits = Limits::of_this_process();
    let proxy = Proxy::new(prepared.token, proxy_listen, limits, settings, bypass, Arc::clone(&clock));
    let app = Arc::new(Running {
        started_ns: clock.now_ns(),
        layout,
        clock,
        manager,
        shared,
        door,
        proxy,
        proxy_listen,
        spool: Arc::default(),
        state: AtomicU8::new(SERVING),
        log_filter: Mutex::new(config.log.clone()),
        config: Mutex::new(config),
        config_error: Mutex::new(problem),
        log,
        reload,
        stop: Notify::new(),
        drain: Mutex::new(None),
        questions: Semaphore::new(QUESTIONS),
        maintenance: Maintenance::default(),
    });
    Ok((app, listeners, writer))
}

/// Looks after configuration and spool until the daemon is told to end.
async fn until_stopped(app: &Running, spool_changed: &Arc<Notify>) {
    let config_changed = Arc::new(Notify::new());
    let watcher = watch::start(
        &app.layout.config_file,
        &app.layout.spool_dir,
        Arc::clone(&config_changed),
        Arc::clone(spool_changed),
    );
    if let Err(error) = &watcher {
        tracing::warn!(%error, "files cannot be watched: looking once a minute instead");
    }
    // What came between the first look and the watching.
    spool_changed.notify_one();
    config_changed.notify_one();
    loop {
        tokio::select! {
            () = app.stop.notified() => return,
            () = config_changed.notified() => {
                // Editors write in several steps; look once they are done.
                tokio::time::sleep(Duration::from_millis(100)).await;
                app.reload();
            }
            () = tokio::time::sleep(watch::POLL), if watcher.is_err() => {
                spool_changed.notify_one();
                app.reload();
            }
        }
    }
}

/// Waits for streams in flight, as long as allowed.
async fn drain(app: &Running, sources: &TaskTracker, streams: &TaskTracker) {
    let limit = locked(&app.drain).unwrap_or_default();
    tracing::info!(limit_s = limit.as_secs(), "stopping: waiting for streams in flight");
    sources.close();
    streams.close();
    let drained = async {
        sources.wait().await;
        streams.wait().await;
    };
    tokio::select! {
        () = drained => {}
        () = tokio::time::sleep(limit) => {}
        // A second stop, without patience.
        () = stop_now(app) => {}
    }
    // What is left is cut, and recorded as far as it came.
    app.proxy.gauges().cut.cancel();
    if tokio::time::timeout(CUT_PATIENCE, streams.wait()).await.is_err() {
        tracing::warn!("some connections do not end");
    }
}

async fn stop_now(app: &Running) {
    loop {
        app.stop.notified().await;
        if locked(&app.drain).is_some_and(|limit| limit.is_zero()) {
            return;
        }
    }
}
