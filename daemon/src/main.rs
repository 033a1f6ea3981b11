//! `ccd`: arguments → configuration → (daemonise | service manager | foreground) → supervisor or worker.
//!
//! The only place of the daemon that reads arguments and environment, prints, and sets the process up. Forking
//! comes before any thread: afterwards only the calling thread would be left.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ccd::app::{self, DAEMONIZED, Holders, Parts, Running};
use ccd::clock::SystemClock;
use ccd::config::Config;
use ccd::sender::Sender;
use ccd::startup::{Prepared, StartError};
use ccd::supervise::channel::Word;
use ccd::supervise::ladder::Policy;
use ccd::supervise::listeners::{self, Addresses, Given, Holder, Listeners, Wanted};
use ccd::supervise::notify::Notifier;
use ccd::supervise::reexec::Succession;
use ccd::supervise::{self, ASSIGNMENT, Assignment, Ended, SUCCESSION, Setup, inherit, link};
use ccd::{leaving, resources, revival, startup, telemetry};
use ccd_proto::paths::Layout;
use ccd_proto::revival::REVIVED;
use clap::{Parser, Subcommand};
use daemonize::{Daemonize, Outcome};
use rustix::fs::Mode;

/// The daemon of ccd, the flight recorder for Claude Code
///
/// People use `ccctl`; this is what service managers and `ccctl start` run.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run in the foreground, until SIGTERM, SIGINT or `ccctl stop`
    Run {
        /// Relay requests and capture nothing, for this reason
        #[arg(long, value_name = "REASON")]
        bypass: Option<String>,
    },
    /// Hold the port in the foreground, and keep a `ccd run` behind it
    Supervise,
    /// Start in the background, supervised, and return once it serves or is known not to
    Start,
    /// Whether this build can work here: reads the configuration, and looks at the store's version; changes nothing
    #[command(hide = true)]
    Check {
        /// Only whether this would do as the configuration
        #[arg(long, value_name = "FILE")]
        config: Option<std::path::PathBuf>,
    },
}

/// A start that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotStarted(String);

/// Another one runs already, in a worker's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RunsAlready(String);

fn main() -> ExitCode {
    ccd::memory::tune();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run { bypass } => run(bypass),
        Command::Supervise => supervised(),
        Command::Start => background(),
        Command::Check { config: None } => check(),
        Command::Check { config: Some(file) } => check_config(&file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // What was asked for is there. A service manager alone is told otherwise: it tries again, and takes over when
        // the other one ends.
        Err(error) if is_running_already(&error) && manager() == FOREGROUND => {
            println!("{error:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ccd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn load() -> anyhow::Result<(Layout, Config)> {
    let layout = Layout::resolve(|name| std::env::var_os(name))?;
    let config = Config::load(&layout.config_file, |name| std::env::var_os(name))?;
    Ok((layout, config))
}

const SYSTEMD: &str = "systemd";
const LAUNCHD: &str = "launchd";
/// Nobody keeps it running.
const FOREGROUND: &str = "foreground";

fn named_manager(name: &str) -> &'static str {
    [SYSTEMD, LAUNCHD, DAEMONIZED].into_iter().find(|known| *known == name).unwrap_or(FOREGROUND)
}

/// Who started this process, and keeps it running.
fn manager() -> &'static str {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        SYSTEMD
    } else if std::env::var("XPC_SERVICE_NAME").is_ok_and(|n| n.contains("ccd")) {
        LAUNCHD
    } else {
        FOREGROUND
    }
}

fn is_running_already(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StartError::AlreadyRunning { .. })) || error.is::<RunsAlready>()
}

/// Sockets that a service manager has passed on, and who it is.
fn passed() -> (Vec<(RawFd, String)>, Holder) {
    listeners::of_manager(sd_notify::listen_fds_with_names().map(Iterator::collect).unwrap_or_default())
}

fn tell_refused(sockets: Vec<String>) {
    for socket in sockets {
        tracing::warn!(socket, "a socket that was passed on is not served");
    }
}

/// What there is to tell systemd by.
fn notifier() -> Notifier {
    Notifier::new(std::env::var_os("NOTIFY_SOCKET"), sd_notify::watchdog_enabled())
}

/// What a supervisor has handed us, if one did.
fn assignment() -> anyhow::Result<Option<Assignment>> {
    let Some(text) = std::env::var_os(ASSIGNMENT) else { return Ok(None) };
    serde_json::from_slice(text.as_encoded_bytes()).context(ASSIGNMENT).map(Some)
}

/// A daemon that nobody supervises, or a supervisor's worker.
fn run(bypass: Option<String>) -> anyhow::Result<()> {
    harden();
    let Some(assignment) = assignment()? else { return alone(bypass) };
    // Before anything else is opened: the numbers are what they were when we were started.
    let listeners = Listeners::inherit(&assignment.listeners)?;
    let holders = Holders::of(&listeners);
    let channel = UnixStream::from(inherit::take(assignment.channel).context("the supervisor's channel")?);
    let told = channel.try_clone()?;
    let takeover = assignment.takeover || bypass.is_some();
    let worked = (|| {
        let (layout, config) = load()?;
        let prepared = startup::prepare_behind(&layout, listeners, takeover)?;
        let manager = named_manager(&assignment.manager);
        let to_stderr = manager != DAEMONIZED;
        serve(layout, config, prepared, Served { manager, holders, to_stderr, bypass }, |app| {
            tokio::spawn(link::attend(channel, Arc::clone(app)));
        })
    })();
    if let Err(error) = &worked {
        let text = format!("{error:#}");
        let word = if is_running_already(error) { Word::Running(text) } else { Word::Error(text) };
        // Who asked may be gone; the exit code says the rest.
        let _ = (&told).write_all(word.line().as_bytes());
    }
    worked
}

/// A daemon that nobody supervises.
fn alone(bypass: Option<String>) -> anyhow::Result<()> {
    let (layout, config) = load()?;
    let manager = manager();
    startup::directories(&layout)?;
    let addresses = Addresses::of(&config);
    let (passed, holder) = passed();
    let mut given = Given::take(&passed, holder, &Wanted::new(addresses, &layout))?;
    let refused = std::mem::take(&mut given.refused);
    let (prepared, holders) = if passed.is_empty() {
        (startup::prepare(&layout, &config)?, Holders::OWN)
    } else {
        let listeners = given.complete(addresses, Holder::Own)?;
        let holders = Holders::of(&listeners);
        (startup::prepare_behind(&layout, listeners, false)?, holders)
    };
    let kept = layout.clone();
    serve(layout, config, prepared, Served { manager, holders, to_stderr: true, bypass }, |_| {
        tell_refused(refused);
        notify_ready(manager);
    })?;
    finish_leaving(&kept);
    Ok(())
}

fn notify_ready(manager: &str) {
    if manager == SYSTEMD
        && let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready])
    {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// The program that this process was started as, by the path that it was named by: that path may lead to another
/// version later.
fn program() -> anyhow::Result<PathBuf> {
    let named = std::env::args_os().next().map(PathBuf::from).filter(|p| p.is_absolute() && p.is_file());
    let Some(named) = named else {
        let own = std::env::current_exe().context("our own program")?;
        // Linux marks a program whose file was replaced; what replaced it has the name.
        let name = own.to_string_lossy();
        return Ok(name.strip_suffix(" (deleted)").map_or_else(|| own.clone(), PathBuf::from));
    };
    Ok(named)
}

/// A supervisor in the foreground.
fn supervised() -> anyhow::Result<()> {
    harden();
    let succession = std::env::var(SUCCESSION).ok();
    if let Some(left) = succession.and_then(|text| Succession::read(&text, std::process::id())) {
        return succeed(&left);
    }
    let manager = manager();
    hold(
        manager,
        true,
        Box::new(move |outcome| {
            if let Ok((pid, addr)) = outcome {
                tracing::info!(pid, %addr, "serving");
            }
        }),
    )
}

/// Holds the listeners and keeps a worker behind them, until somebody asks for the end.
fn hold(manager: &'static str, to_stderr: bool, tell: supervise::Tell) -> anyhow::Result<()> {
    let layout = Layout::resolve(|name| std::env::var_os(name))?;
    let kept = matches!(manager, SYSTEMD | LAUNCHD);
    let program = program()?;
    let config = Config::load(&layout.config_file, |name| std::env::var_os(name));
    startup::directories(&layout)?;
    let lock = startup::lock(&layout.supervisor_lock())?;
    let configured = config.as_ref().map_or_else(|_| Addresses::unknown(), Addresses::of);
    let (passed, holder) = passed();
    let mut given = Given::take(&passed, holder, &Wanted::new(configured, &layout))?;
    let refused = std::mem::take(&mut given.refused);
    let patience = match config {
        Ok(config) => Duration::from_secs(config.drain_s),
        // With a socket that is there already, a wrong configuration is a worker's problem, and the port is answered.
        Err(_) if kept && given.proxy.is_some() => Duration::from_secs(600),
        Err(error) => return Err(error.into()),
    };
    // A worker without a supervisor has this home: another one would wait for it for ever.
    if let Some(other) = startup::owner(&layout).filter(|_| given.proxy.is_none()) {
        return Err(other.into());
    }
    let listeners = given.complete(configured, Holder::Supervise)?;
    let takeover = listeners.proxy.holder.outlives_us();
    let control = startup::bind(&layout.supervisor_socket())?;
    telemetry::init_plain(&layout.log_dir, to_stderr);
    tell_refused(refused);
    let (note, kept_by, named) = (layout.revival_note(), manager, program.clone());
    let tell: supervise::Tell = Box::new(move |outcome| {
        if let Ok((_, addr)) = outcome {
            leave_note(&note, kept_by, &named, configured.proxy, addr);
        }
        tell(outcome);
    });
    let setup = Setup {
        program,
        note: note_of(&layout, manager),
        listeners,
        configured,
        reload: reload(&layout),
        control,
        lock,
        manager: manager.into(),
        kept: kept || takeover,
        takeover,
        to_stderr,
        patience: patience + Duration::from_secs(30),
        policy: Policy::default(),
        tell,
        notifier: notifier(),
    };
    until_ended(setup, None, &layout)
}

/// The note that is ours to take away.
fn note_of(layout: &Layout, manager: &str) -> Option<PathBuf> {
    (manager == DAEMONIZED).then(|| layout.revival_note())
}

/// Leaves the note from which a hook event brings this daemon back, if nobody else does; whoever has a service manager
/// takes the one before away. One in the foreground is its user's own business.
fn leave_note(path: &Path, manager: &str, program: &Path, configured: SocketAddr, addr: SocketAddr) {
    match manager {
        DAEMONIZED => {
            if is_revived() {
                tracing::info!("brought back by a hook event: it was killed");
            }
            let listen = (configured.port() == 0).then_some(addr);
            revival::write(path, &revival::note(program, std::env::vars_os(), listen));
        }
        SYSTEMD | LAUNCHD => revival::forget(path),
        _ => {}
    }
}

/// Goes on as the new program in the place of the old one.
fn succeed(left: &Succession) -> anyhow::Result<()> {
    let listeners = Listeners::inherit(&left.listeners)?;
    let takeover = listeners.proxy.holder.outlives_us();
    let lock = std::fs::File::from(inherit::take(left.lock).context("the lock")?);
    let control = inherit::take(left.control).context("the control socket")?;
    let layout = Layout::resolve(|name| std::env::var_os(name))?;
    let config = Config::load(&layout.config_file, |name| std::env::var_os(name));
    telemetry::init_plain(&layout.log_dir, left.to_stderr);
    let note = note_of(&layout, &left.manager);
    // Where somebody has asked for the end, it is gone for good.
    if let (Some(note), Ok(addr)) =
        (note.as_deref().filter(|n| n.exists()), listeners.proxy.socket.local_addr())
    {
        leave_note(note, DAEMONIZED, &left.program, left.configured.proxy, addr);
    }
    let setup = Setup {
        program: left.program.clone(),
        note,
        listeners,
        configured: left.configured,
        reload: reload(&layout),
        control: control.into(),
        lock,
        manager: left.manager.clone(),
        kept: left.kept,
        takeover,
        to_stderr: left.to_stderr,
        patience: Duration::from_secs(config.map_or(600, |c| c.drain_s) + 30),
        policy: Policy::default(),
        tell: Box::new(|_| ()),
        notifier: notifier(),
    };
    until_ended(setup, Some(left), &layout)
}

fn reload(layout: &Layout) -> supervise::Reload {
    let file = layout.config_file.clone();
    Box::new(move || {
        let config = Config::load(&file, |name| std::env::var_os(name));
        config.map(|config| Addresses::of(&config)).map_err(|e| e.to_string())
    })
}

fn until_ended(setup: Setup, left: Option<&Succession>, layout: &Layout) -> anyhow::Result<()> {
    let ended = supervise::supervise(setup, left);
    // Still ours: the lock goes with the process.
    let _ = std::fs::remove_file(layout.supervisor_socket());
    match ended? {
        Ended::Stopped => {
            finish_leaving(layout);
            Ok(())
        }
        Ended::Failed(why) => Err(NotStarted(why).into()),
        Ended::Running(who) => Err(RunsAlready(who).into()),
    }
}

/// Does not come back where an uninstallation waits for our end.
fn finish_leaving(layout: &Layout) {
    if let Some(error) = leaving::finish(layout) {
        tracing::error!(%error, "the uninstallation cannot be finished");
    }
}

fn check() -> anyhow::Result<()> {
    let (layout, _) = load()?;
    ccd_store::Store::check_version(&layout.store_dir())?;
    println!("ccd {}: the configuration and the store fit", ccd_proto::VERSION);
    Ok(())
}

fn check_config(file: &std::path::Path) -> anyhow::Result<()> {
    Config::load(file, |name| std::env::var_os(name))?;
    Ok(())
}

fn background() -> anyhow::Result<()> {
    inherit::close_others();
    let (layout, _) = load().map_err(tell_the_log)?;
    // A wrong start must be seen here, not in a log: whoever runs answers on the control socket.
    if UnixStream::connect(layout.control_socket()).is_ok() {
        println!("ccd is already running");
        return Ok(());
    }
    let (outcome, told) = std::io::pipe().context("pipe")?;
    let daemon = Daemonize::new().working_directory("/").umask(0o077);
    match daemon.execute() {
        Outcome::Parent(started) => {
            drop(told);
            started
                .context("cannot start in the background")
                .and_then(|_| wait(outcome))
                .map_err(tell_the_log)
        }
        Outcome::Child(started) => {
            drop(outcome);
            let told = Tell(told);
            match started.context("cannot start in the background").and_then(|_| {
                harden();
                let first = Tell(told.0.try_clone()?);
                hold(DAEMONIZED, false, Box::new(move |outcome| first.tell(outcome)))
            }) {
                Ok(()) => Ok(()),
                Err(error) => {
                    told.failed(&error);
                    Err(error)
                }
            }
        }
    }
}

/// Whether a hook event has started us, because the daemon before was killed.
fn is_revived() -> bool {
    std::env::var_os(REVIVED).is_some()
}

/// Who was to be brought back by a hook event prints to nobody.
fn tell_the_log(error: anyhow::Error) -> anyhow::Error {
    if is_revived()
        && let Ok(layout) = Layout::resolve(|name| std::env::var_os(name))
    {
        telemetry::init_plain(&layout.log_dir, false);
        tracing::error!(%error, "it was killed, and a hook event could not bring it back");
    }
    error
}

/// What the daemon tells the parent that waits for it: `ready …`, `running …` or `error …`.
struct Tell(PipeWriter);

impl Tell {
    fn tell(mut self, outcome: Result<(u32, SocketAddr), &str>) {
        // The parent may have been interrupted; the daemon serves all the same.
        let _ = match outcome {
            Ok((pid, addr)) => writeln!(self.0, "ready pid {pid}, proxy on {addr}"),
            Err(why) => writeln!(self.0, "error {why}"),
        };
    }

    fn failed(mut self, error: &anyhow::Error) {
        let word = if is_running_already(error) { "running" } else { "error" };
        let _ = writeln!(self.0, "{word} {error:#}");
    }
}

fn wait(from: PipeReader) -> anyhow::Result<()> {
    // The daemon tells once: a line, or the end of a daemon that died.
    let mut text = String::new();
    BufReader::new(from).read_line(&mut text).context("the daemon's word")?;
    match text.trim_end().split_once(' ') {
        Some(("ready", rest)) => {
            println!("ccd started ({rest})");
            Ok(())
        }
        Some(("running", who)) => {
            println!("{who}");
            Ok(())
        }
        Some(("error", why)) => anyhow::bail!("{why}"),
        _ => anyhow::bail!("the daemon died before it served; see `ccctl logs`"),
    }
}

/// Private files whatever the umask was; no core dumps, which would hold what passes through.
fn harden() {
    rustix::process::umask(Mode::from_bits_truncate(0o077));
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// SIGTERM and SIGINT: end after the streams in flight; the second one: at once. SIGHUP is ignored: the
/// terminal that started us may close.
async fn signals(app: Arc<Running>) {
    use tokio::signal::unix::{SignalKind, signal};
    // Before the others: it must know first.
    let sender = Sender::watch();
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        tracing::error!("signals cannot be caught: stop with `ccctl stop`");
        return;
    };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => continue,
        }
        if !sender.as_ref().is_ok_and(Sender::is_system) {
            app.forget();
        }
        app.stop(asked);
        asked = true;
    }
}

/// How a daemon serves.
struct Served {
    manager: &'static str,
    holders: Holders,
    to_stderr: bool,
    bypass: Option<String>,
}

fn serve(
    layout: Layout,
    config: Config,
    prepared: Prepared,
    Served { manager, holders, to_stderr, bypass }: Served,
    ready: impl FnOnce(&Arc<Running>),
) -> anyhow::Result<()> {
    resources::check()?;
    let logging = telemetry::init(&config.log, &layout.log_dir, to_stderr).context("logging");
    let (log, _guards) = match logging {
        // Who captures nothing needs no disk.
        Err(_) if bypass.is_some() => (telemetry::LogHandle::disconnected(), Vec::new()),
        logging => logging?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Name look-ups of the proxy are made there too: slow questions must not take all of them.
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .context("runtime")?;
    let config_file = layout.config_file.clone();
    let parts = Parts {
        layout,
        config,
        reload: Arc::new(move || Config::load(&config_file, |name| std::env::var_os(name))),
        prepared,
        log,
        manager,
        holders,
        bypass,
        clock: Arc::new(SystemClock),
        zone: jiff::tz::TimeZone::system(),
        watcher: ccd::watch::of_system(),
    };
    let done = runtime.block_on(app::run(parts, |app| {
        tokio::spawn(signals(Arc::clone(app)));
        ready(app);
    }));
    // What still hangs in a system call is not waited for: everything that matters is on disk.
    runtime.shutdown_background();
    Ok(done?)
}
