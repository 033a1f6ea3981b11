//! `ccd`: arguments → configuration → (daemonise | foreground) → runtime.
//!
//! The only place of the daemon that reads arguments and environment, prints, and sets the process up. Forking
//! comes before any thread: afterwards only the calling thread would be left.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use ccd::app::{self, Parts, Running};
use ccd::clock::SystemClock;
use ccd::config::Config;
use ccd::{resources, startup, telemetry};
use ccd_proto::paths::Layout;
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
    Run,
    /// Start in the background, and return once it serves or is known not to
    Start,
}

fn main() -> ExitCode {
    ccd::memory::tune();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run => foreground(),
        Command::Start => background(),
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

/// Nobody keeps it running.
const FOREGROUND: &str = "foreground";

/// Who started this process, and keeps it running.
fn manager() -> &'static str {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        "systemd"
    } else if std::env::var("XPC_SERVICE_NAME").is_ok_and(|n| n.contains("ccd")) {
        "launchd"
    } else {
        FOREGROUND
    }
}

fn is_running_already(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(startup::StartError::AlreadyRunning { .. }))
}

fn foreground() -> anyhow::Result<()> {
    harden();
    let (layout, config) = load()?;
    let manager = manager();
    serve(layout, config, manager, true, |_| {
        if manager == "systemd"
            && let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready])
        {
            tracing::warn!(%error, "the service manager could not be told");
        }
    })
}

fn background() -> anyhow::Result<()> {
    let (layout, config) = load()?;
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
            started.context("cannot start in the background")?;
            wait(outcome)
        }
        Outcome::Child(started) => {
            drop(outcome);
            let told = Tell(told);
            match started.context("cannot start in the background").and_then(|_| {
                harden();
                let ready = told.0.try_clone()?;
                serve(layout, config, "daemonized", false, move |app| {
                    Tell(ready).ready(app);
                })
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

/// What the daemon tells the parent that waits for it: `ready …`, `running …` or `error …`.
struct Tell(PipeWriter);

impl Tell {
    fn ready(mut self, app: &Running) {
        // The parent may have been interrupted; the daemon serves all the same.
        let _ = writeln!(self.0, "ready pid {}, proxy on {}", std::process::id(), app.proxy_listen);
    }

    fn failed(mut self, error: &anyhow::Error) {
        let word = if is_running_already(error) { "running" } else { "error" };
        let _ = writeln!(self.0, "{word} {error:#}");
    }
}

fn wait(from: PipeReader) -> anyhow::Result<()> {
    // The daemon keeps its end until it has told: a line, or the end of a daemon that died.
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
        app.stop(asked);
        asked = true;
    }
}

fn serve(
    layout: Layout,
    config: Config,
    manager: &'static str,
    to_stderr: bool,
    ready: impl FnOnce(&Arc<Running>),
) -> anyhow::Result<()> {
    resources::check()?;
    let prepared = startup::prepare(&layout, &config)?;
    let (log, _guards) = telemetry::init(&config.log, &layout.log_dir, to_stderr).context("logging")?;
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
        clock: Arc::new(SystemClock),
    };
    let done = runtime.block_on(app::run(parts, |app| {
        tokio::spawn(signals(Arc::clone(app)));
        ready(app);
    }));
    // What still hangs in a system call is not waited for: everything that matters is on disk.
    runtime.shutdown_background();
    Ok(done?)
}
