//! A daemon's life: put together, served, ended; or handed over to the one that follows.
//!
//! Starting: the proxy first, because the port must be answered; then the home (lock, sockets, store), which another
//! daemon may still have: what comes meanwhile waits at the door.
//!
//! Stopping: streams in flight finish (as long as the configuration allows) while whoever comes meanwhile is still
//! answered, what they brought is written, the control socket goes last, so that `ccctl` can watch all of it.
//!
//! Handing over: nothing more is accepted, the home is given up as soon as what was captured is written, and only then
//! the streams end; what those bring is kept in the spool for the successor. Must never write to the store after the
//! lock is given up.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::inside::Inside;
use super::keeper::Keeper;
use super::{Parts, QUESTIONS, Running, SEARCHES, SERVING, locked};
use ccd_proto::paths::Layout;

use crate::alert::Alerts;
use crate::budget::Guard;
use crate::detect;
use crate::forward::Forwarding;
use crate::heal::Healing;
use crate::ingest::scrub::{IdKey, Scrub};
use crate::ingest::shared::{Shared, StoreState};
use crate::ingest::{Door, Submission};
use crate::maintenance::Maintenance;
use crate::memory::Budget;
use crate::project::price::Prices;
use crate::receive::Receiver;
use crate::resources;
use crate::source::gap::{self, Gaps};
use crate::source::proxy::bypass::{Bypass, Capturing};
use crate::source::proxy::limits::Limits;
use crate::source::proxy::runtime::Streams;
use crate::source::proxy::server::{Proxy, Settings};
use crate::source::proxy::upstream::{self, Target, Upstream};
use crate::source::transcript::Transcripts;
use crate::source::transcript::take::Taker;
use crate::startup::{self, Held, Home, StartError};
use crate::supervise::listeners::Listener;
use crate::tokens::Tokens;
use crate::vault::{VaultMark, VaultSlot};
use crate::watch::{self, Watches};
use crate::web::Web;

/// How long the writer may take to write what waits, once the sources are closed.
pub(super) const WRITER_PATIENCE: Duration = Duration::from_secs(20);
/// How long connections may take to end once they are cut.
pub(super) const CUT_PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn failed(what: &str, e: &dyn std::fmt::Display) -> StartError {
    StartError::Process(format!("{what}: {e}"))
}

/// Runs a daemon until it is told to end. `ready` is called once the proxy accepts and, where the home is free, every
/// socket: a store with much to catch up on is waited for by questions, not by the start.
pub async fn run(parts: Parts, ready: impl FnOnce(&Arc<Running>)) -> Result<(), StartError> {
    let capture = parts.bypass.is_none();
    let Wired { app, proxy, web, home, rx } = wire(parts)?;
    let reception = Reception::open(&app, proxy)?;
    app.web.open(web, locked(&app.config).web_listen);
    app.open_web();
    *locked(&app.config_problem) = app.problem();
    let gaps = Arc::new(Gaps::new(app.layout.spool_dir.clone(), Arc::clone(app.door.gauges())));
    let relaying = CancellationToken::new();
    let rx = if capture {
        Some(rx)
    } else {
        tokio::spawn(gap::run(Arc::clone(&gaps), rx, relaying.clone()));
        None
    };
    let lived = live(&app, reception, home, rx, &gaps, ready).await;
    relaying.cancel();
    // What no record tells of yet is left to the next daemon.
    let_go(&gaps).await;
    app.vault.flush();
    tracing::info!("stopped");
    lived
}

/// Leaves what was missed to whoever has the home next.
async fn let_go(gaps: &Arc<Gaps>) {
    let gaps = Arc::clone(gaps);
    let released = tokio::task::spawn_blocking(move || gaps.release());
    match tokio::time::timeout(CUT_PATIENCE, released).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::error!(%error, "what was not captured cannot be noted in the spool"),
        Ok(Err(error)) => tracing::error!(%error, "what was not captured is not noted"),
        Err(_) => tracing::error!("the disk does not take what was not captured"),
    }
}

async fn live(
    app: &Arc<Running>,
    reception: Reception,
    home: Result<Home, Held>,
    rx: Option<mpsc::Receiver<Submission>>,
    gaps: &Arc<Gaps>,
    ready: impl FnOnce(&Arc<Running>),
) -> Result<(), StartError> {
    let capture = rx.is_some();
    let mut ready = Some(ready);
    if home.is_err()
        && let Some(ready) = ready.take()
    {
        ready(app);
        tracing::info!(proxy = %app.proxy_listen, "accepting; waiting for the store");
    }
    let home = match home {
        Ok(home) => Some(home),
        Err(held) => {
            tokio::select! {
                home = owned(app, capture, held) => Some(home?),
                () = app.stop.notified() => None,
            }
        }
    };
    let Some(home) = home else {
        // Told to end before the home was ours. What came in is kept for whoever has it.
        let keeper = Keeper::start(app)?;
        if let Some(rx) = rx {
            keeper.take_from(rx, app);
        }
        reception.end(app).await;
        return keeper.finish(app).await;
    };
    // The one before may have had its port.
    app.open_web();
    let inside = Inside::open(app, home, rx)?;
    if let Some(ready) = ready.take() {
        ready(app);
    }
    tracing::info!(proxy = %app.proxy_listen, upstream = %app.proxy.settings().upstream.target(), "serving");

    until_stopped(app, &inside.spool_changed).await;

    if app.succeeded.load(std::sync::atomic::Ordering::Relaxed) {
        app.proxy.hand_over();
        tokio::join!(reception.close(), app.web.close());
        let keeper = Keeper::start(app)?;
        let_go(gaps).await;
        let given_up = inside.give_up(app, &keeper).await;
        reception.drain(app).await;
        keeper.finish(app).await?;
        if tokio::time::timeout(WRITER_PATIENCE, given_up).await.is_err() {
            tracing::error!("the store is not let go of; its journal is whole");
        }
    } else {
        inside.stop();
        reception.stopping.cancel();
        reception.drain(app).await;
        tokio::join!(reception.close(), app.web.close());
        inside.end(app).await;
    }
    Ok(())
}

/// The home, once no other daemon has it.
async fn owned(app: &Arc<Running>, hooks: bool, held: Held) -> Result<Home, StartError> {
    let layout = app.layout.clone();
    let (tx, rx) = tokio::sync::oneshot::channel();
    // Not a thread of the runtime's: it may wait for minutes.
    let wait = move || {
        let _ = tx.send(startup::own(&layout, hooks, held));
    };
    std::thread::Builder::new().name("ccd-home".into()).spawn(wait).map_err(|e| failed("a thread", &e))?;
    rx.await.map_err(|e| failed("the home", &e))?
}

/// The proxy's side.
struct Reception {
    /// Connections.
    streams: TaskTracker,
    /// Idle connections are to end.
    stopping: CancellationToken,
    /// Nothing more is accepted.
    ending: CancellationToken,
    task: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// Where all of them run; it ends with them.
    _thread: Streams,
}

impl Reception {
    fn open(app: &Arc<Running>, listener: TcpListener) -> Result<Self, StartError> {
        let (streams, stopping, ending) =
            (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let serve = Arc::clone(&app.proxy).serve(listener, streams.clone(), stopping.clone(), ending.clone());
        let thread = Streams::start().map_err(|e| failed("the proxy's thread", &e))?;
        let task = tokio::sync::Mutex::new(Some(thread.spawn(serve)));
        Ok(Reception { streams, stopping, ending, task, _thread: thread })
    }

    /// Accepts nothing more, and lets go of the listener.
    async fn close(&self) {
        self.ending.cancel();
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
        self.stopping.cancel();
    }

    /// Waits for streams in flight, as long as allowed; then cuts them.
    async fn drain(&self, app: &Running) {
        let limit = locked(&app.drain).unwrap_or_default();
        tracing::info!(limit_s = limit.as_secs(), "stopping: waiting for streams in flight");
        self.streams.close();
        tokio::select! {
            () = self.streams.wait() => {}
            () = tokio::time::sleep(limit) => {}
            // A second stop, without patience.
            () = stop_now(app) => {}
        }
        // What is left is cut, and recorded as far as it came.
        app.proxy.gauges().cut.cancel();
        if tokio::time::timeout(CUT_PATIENCE, self.streams.wait()).await.is_err() {
            tracing::warn!("some connections do not end");
        }
    }

    async fn end(&self, app: &Running) {
        self.close().await;
        self.drain(app).await;
    }
}

/// A daemon that serves nothing yet, and what it will serve on.
struct Wired {
    app: Arc<Running>,
    proxy: TcpListener,
    web: Option<Listener>,
    home: Result<Home, Held>,
    rx: mpsc::Receiver<Submission>,
}

/// Builds everything that needs no home.
fn wire(parts: Parts) -> Result<Wired, StartError> {
    let Parts { layout, config, reload, prepared, log, manager, holders, bypass, clock, zone, watcher } =
        parts;
    let listener = TcpListener::from_std(prepared.proxy).map_err(|e| failed("proxy listener", &e))?;
    let proxy_listen: SocketAddr = listener.local_addr().map_err(|e| failed("proxy listener", &e))?;
    let target = Target::new(&config.upstream)
        .ok_or_else(|| StartError::Process(format!("upstream {} is no base URL", config.upstream)))?;

    let vault = VaultSlot::new(&layout, config.vault.clone(), bypass.is_none(), Arc::clone(&clock));
    vault.open();
    let mark = Arc::new(VaultMark(Arc::clone(&vault)));
    let scrub = Scrub::new(&config.redact, mark, ids_key(&layout, bypass.is_none()));
    let scrub = Arc::new(scrub.map_err(|e| failed("redact", &e))?);
    vault.teach(&scrub);
    let (door, rx) = Door::with(Arc::clone(&scrub));
    let (detect, detect_rx) = detect::Feed::with_clock(Arc::clone(&clock));
    let shared = Shared::new(Prices::new(&config.prices));
    let capturing = match bypass {
        Some(reason) => {
            shared.state.send_replace(StoreState::Failed(reason.clone()));
            Capturing::Off { why: reason, door: door.clone() }
        }
        None => Capturing::On { door: door.clone(), store: shared.state.subscribe() },
    };
    let upstream = Upstream::new(target, &config.network, upstream::Limits::default(), Arc::clone(&clock));
    let settings = Settings { upstream, capture: config.capture };
    let bypass = Bypass::new(capturing, Budget::read(Path::new("/")).within(resources::address_space()));
    let limits = Limits::of_this_process();
    let proxy = Proxy::new(prepared.token, proxy_listen, limits, settings, bypass, Arc::clone(&clock));
    let watches = Watches::new(watcher);
    let taker =
        Taker::new(door.clone(), Arc::clone(&shared), Arc::clone(&clock), config.capture.max_body_bytes);
    let transcripts = Transcripts::new(config.transcripts.clone(), taker, Arc::clone(&watches));
    let web = Web::new(layout.web_logins());
    let receiver = Receiver::new(Tokens::new(layout.receive_tokens()));
    let app = Arc::new(Running {
        started_ns: clock.now_ns(),
        clock,
        manager,
        holders,
        supervisor: Mutex::new(None),
        supervisor_gone: AtomicBool::new(false),
        succeeded: AtomicBool::new(false),
        shared,
        door,
        scrub,
        vault,
        proxy,
        proxy_listen,
        web,
        receiver,
        transcripts,
        watches,
        zone,
        spool: Arc::default(),
        state: AtomicU8::new(SERVING),
        log_filter: Mutex::new(config.log.clone()),
        budget: Guard::new(config.budget.clone()),
        heal: Arc::new(Healing::new(config.heal.clone())),
        alerts: Alerts::new(config.alerts.clone()),
        forwarding: Forwarding::new(config.forward.clone(), &layout),
        forwards: AtomicBool::new(false),
        config: Mutex::new(config),
        layout,
        config_problem: Mutex::new(None),
        log,
        reload,
        stop: Notify::new(),
        drain: Mutex::new(None),
        retires: Notify::new(),
        retirement: Mutex::default(),
        questions: Semaphore::new(QUESTIONS),
        searches: Arc::new(Semaphore::new(SEARCHES)),
        maintenance: Maintenance::default(),
        live: crate::api::live::Hub::default(),
        detect,
        detect_rx: Mutex::new(Some(detect_rx)),
    });
    app.web.belongs_to(&app);
    Ok(Wired { app, proxy: listener, web: prepared.web, home: prepared.home, rx })
}

/// What ids are made with. Where it cannot be kept, capture goes on all the same.
fn ids_key(layout: &Layout, captures: bool) -> IdKey {
    let path = layout.ids_key();
    if !captures {
        return IdKey::passing();
    }
    if layout.store_dir().exists() && !path.exists() {
        tracing::warn!(
            file = %path.display(),
            "the key of the records' ids is gone and made anew: what waits in the spool may be recorded twice"
        );
    }
    IdKey::of_file(&path).unwrap_or_else(|error| {
        tracing::error!(%error, file = %path.display(), "the key of the records' ids cannot be kept");
        IdKey::passing()
    })
}

/// Looks after configuration and spool until the daemon is told to end.
async fn until_stopped(app: &Running, spool_changed: &Arc<Notify>) {
    let config_changed = Arc::new(Notify::new());
    let watcher = watch::start(
        &app.watches,
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
                tokio::select! {
                    () = app.stop.notified() => return,
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
                app.reload();
            }
            () = tokio::time::sleep(watch::POLL), if watcher.is_err() => {
                spool_changed.notify_one();
                app.reload();
            }
        }
    }
}

async fn stop_now(app: &Running) {
    loop {
        if locked(&app.drain).is_some_and(|limit| limit.is_zero()) {
            return;
        }
        app.stop.notified().await;
    }
}
