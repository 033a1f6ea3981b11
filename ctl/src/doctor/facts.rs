//! Everything that the checks are made from: asked once, what waits at the same time.
//!
//! A check that is not wanted costs nothing: what only it needs is not asked for.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_proto::api::{Reply, Session, Sessions, Status, StoreStats, Supervision, UpstreamProbe};
use serde::de::DeserializeOwned;

use super::{Selection, proof};
use crate::claude::layers::{self, Layer, Whose};
use crate::claude::running::{self, Process};
use crate::claude::{self, Version};
use crate::client::{self, Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::exec::{Invocation, Outcome};
use crate::manifest::Manifest;
use crate::plugin::{self, Hooks};
use crate::printer::Printer;
use crate::service::{self, Health};
use crate::supervisor;

/// How long anything that is asked may take: a program, the daemon, a port.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the daemon may take to say whether upstream is reached: longer than it tries itself.
const PROBING: Duration = Duration::from_secs(6);
/// How long a store may take to open before that is what is told of it.
const OPENING: Duration = Duration::from_secs(5);

/// What a program said, or why it could not be run.
pub(super) type Said = io::Result<Outcome>;

/// A configuration directory of Claude Code's.
pub(super) struct Dir {
    /// The directory.
    pub(super) path: PathBuf,
    /// The settings file that is looked at for it.
    pub(super) settings: PathBuf,
    /// What that says; none where it is not there, or where the client would not read it.
    pub(super) layer: Option<Layer>,
    /// Our hooks there.
    pub(super) hooks: Option<Hooks>,
    /// Whether they bring an event to the daemon.
    pub(super) proof: Option<Result<()>>,
}

/// All of it.
pub(super) struct Facts<'a> {
    pub(super) env: &'a Env,
    /// What was installed.
    pub(super) manifest: Result<Option<Manifest>>,
    /// How the service is; none where nothing is installed.
    pub(super) service: Option<Health>,
    /// What the daemon says; none if it is not running.
    pub(super) status: Result<Option<Status>>,
    /// What its supervisor says, if there is one.
    pub(super) supervision: Option<Supervision>,
    /// What the store is like.
    pub(super) store: Option<StoreStats>,
    /// The newest session.
    pub(super) newest: Option<Session>,
    /// Whether upstream is reached; none where that was not tried.
    pub(super) probe: Option<Result<UpstreamProbe>>,
    /// What `ccd --version` said.
    pub(super) ccd: Option<Said>,
    /// What `cc-hook --version` said.
    pub(super) cc_hook: Option<Said>,
    /// The client.
    pub(super) client: Option<PathBuf>,
    /// Its version.
    pub(super) client_version: Option<Version>,
    /// The client's configuration directories.
    pub(super) dirs: Vec<Dir>,
    /// Settings beside the user's own, strongest first.
    pub(super) layers: Vec<Layer>,
    /// Claude Code, where it runs.
    pub(super) running: Vec<Process>,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(env: &'a Env, out: &mut Printer, selection: &Selection, offline: bool) -> Self {
        // The slowest goes first, and is waited for last.
        let probing = (selection.wants("upstream") && !offline).then(|| probe(env)).flatten();
        let manifest = Manifest::load(&env.layout);
        let client = claude::find(env);
        let settings =
            manifest.as_ref().ok().and_then(Option::as_ref).and_then(|m| m.options.settings.clone());
        let dirs = env.claude_dirs().unwrap_or_default();
        let mut dirs: Vec<Dir> =
            dirs.into_iter().map(|dir| Dir::look(env, dir, settings.as_deref())).collect();
        let asked = ask_programs(env, selection, client.as_deref(), &mut dirs);
        let status = opened(env, out);
        let is_running = matches!(status, Ok(Some(_)));
        let read =
            |wanted: bool, target| (wanted && is_running).then_some(target).and_then(|t| quiet(env, t));
        let store = read(
            ["store", "disk", "clock", "transcripts"].iter().any(|n| selection.wants(n)),
            "/v0/store/stats",
        );
        let newest = is_running
            .then(|| quiet::<Sessions>(env, "/v0/sessions?limit=1").filter(|_| selection.wants("events")))
            .flatten();
        let uid = rustix::process::getuid().as_raw();
        Facts {
            env,
            supervision: supervisor::supervision(&env.layout).ok().flatten(),
            store,
            newest: newest.and_then(|list| list.sessions.into_iter().next()),
            ccd: asked.ccd,
            cc_hook: asked.cc_hook,
            client_version: asked.client,
            client,
            dirs,
            layers: layers::others(env),
            running: if selection.wants("sessions") {
                running::processes(Path::new("/proc"), uid)
            } else {
                Vec::new()
            },
            service: manifest
                .as_ref()
                .ok()
                .and_then(Option::as_ref)
                .filter(|_| selection.wants("service"))
                .map(|manifest| service::health(env, manifest)),
            manifest,
            status,
            probe: probing.and_then(|thread| thread.join().ok()).map(|reply| {
                reply.and_then(|bytes| decode::<Reply<UpstreamProbe>>(&bytes)).map(|reply| reply.body)
            }),
        }
    }

    /// The installation, if there is one that can be read.
    pub(super) fn installed(&self) -> Option<&Manifest> {
        self.manifest.as_ref().ok()?.as_ref()
    }

    /// The daemon's status, if it runs.
    pub(super) fn daemon(&self) -> Option<&Status> {
        self.status.as_ref().ok()?.as_ref()
    }

    /// The settings that hold for a configuration directory, strongest first.
    pub(super) fn layers_of<'b>(&'b self, dir: &'b Dir) -> impl Iterator<Item = &'b Layer> {
        self.layers.iter().chain(&dir.layer)
    }
}

impl Dir {
    fn look(env: &Env, path: PathBuf, settings: Option<&Path>) -> Self {
        let file = settings.map_or_else(|| path.join("settings.json"), Path::to_owned);
        Dir {
            layer: Layer::read(Whose::User, &file),
            hooks: plugin::in_force(env, &path, settings),
            settings: file,
            path,
            proof: None,
        }
    }
}

/// The daemon's status, once its store is open, which takes a moment after a start.
fn opened(env: &Env, out: &mut Printer) -> Result<Option<Status>> {
    let client = Client::new(env)?.within(PATIENCE);
    let deadline = Instant::now() + OPENING;
    loop {
        let status: Status = match client.read::<Reply<Status>>(out, "/v0/status") {
            Ok(reply) => reply.body,
            Err(e) if e.kind == Kind::NotRunning => return Ok(None),
            Err(e) => return Err(e),
        };
        if !status.store.opening || Instant::now() >= deadline {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An answer of the daemon's that a check can do without.
fn quiet<T: DeserializeOwned>(env: &Env, target: &str) -> Option<T> {
    let (mut unheard, ..) = Printer::captured(80);
    let client = Client::new(env).ok()?.within(PATIENCE);
    client.read::<Reply<T>>(&mut unheard, target).ok().map(|reply| reply.body)
}

fn probe(env: &Env) -> Option<JoinHandle<Result<Bytes>>> {
    let is_there = Client::new(env).is_ok_and(|client| client.is_heard());
    is_there.then(|| client::aside(&env.layout, "/v0/upstream/probe", PROBING))
}

/// What programs said of themselves.
#[derive(Default)]
struct Asked {
    ccd: Option<Said>,
    cc_hook: Option<Said>,
    client: Option<Version>,
}

/// Runs every program that is to be asked something, all at once.
fn ask_programs(env: &Env, selection: &Selection, client: Option<&Path>, dirs: &mut [Dir]) -> Asked {
    enum Whom {
        Ccd,
        CcHook,
        Client,
        Hook(usize),
    }
    let mut asked: Vec<(Whom, Invocation)> = Vec::new();
    let version = |program: &Path| Invocation::new(program, ["--version"]).limit(PATIENCE);
    if selection.wants("programs") {
        asked.extend(env.program("ccd").ok().map(|program| (Whom::Ccd, version(&program))));
        // One that does not know the question would take itself to be called for an event.
        let hook = |program: PathBuf| version(&program).env("CCD_HOOK_PROBE", "1");
        asked.extend(env.program("cc-hook").ok().map(|program| (Whom::CcHook, hook(program))));
    }
    if ["hooks", "client", "features"].iter().any(|name| selection.wants(name)) {
        asked.extend(client.map(|program| (Whom::Client, version(program))));
    }
    if selection.wants("event") {
        let hooks = dirs.iter().enumerate().filter_map(|(at, dir)| Some((at, dir.hooks.as_ref()?)));
        asked.extend(hooks.map(|(at, hooks)| (Whom::Hook(at), proof::hook_call(hooks).limit(PATIENCE))));
    }
    let (whom, calls): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let mut told = Asked::default();
    for (whom, said) in whom.into_iter().zip(env.runner.run_all(&calls)) {
        match whom {
            Whom::Ccd => told.ccd = Some(said),
            Whom::CcHook => told.cc_hook = Some(said),
            Whom::Client => {
                told.client =
                    said.ok().filter(Outcome::success).and_then(|said| Version::parse(&said.stdout));
            }
            Whom::Hook(at) => {
                let dir = &mut dirs[at];
                let command = dir.hooks.as_ref().map(|hooks| hooks.command.clone()).unwrap_or_default();
                // Asked beside everything else, which a busy machine may need more than its 50 ms for.
                let again = said.as_ref().is_ok_and(|said| said.code == Some(1));
                dir.proof = match &dir.hooks {
                    Some(hooks) if again => Some(proof::hook(env, hooks)),
                    _ => Some(proof::of_hook(&command, said)),
                };
            }
        }
    }
    told
}

/// The version that a program told, if it did.
pub(super) fn version_of(said: &Said) -> Option<&str> {
    let said = said.as_ref().ok().filter(|said| said.success())?;
    let word = said.stdout.lines().next()?.split_whitespace().last()?;
    word.starts_with(|c: char| c.is_ascii_digit()).then_some(word)
}

/// Why a program cannot be asked.
pub(super) fn complaint_of(program: &Path, said: &Said) -> Option<CommandError> {
    let why = said.as_ref().err()?;
    Some(CommandError::failed(format!("cannot run {}: {why}", program.display())))
}
