//! `ccctl install`: records every Claude Code session of this user from now on.
//!
//! The order is what makes it safe: everything is looked at first; the daemon answers before any setting
//! points at it; settings come last; a proof ends it. A first installation that fails at any point is taken
//! back. Must never leave a base URL in the settings that nobody answers.

mod plan;
mod screen;
pub(crate) mod surroundings;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_around;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ccd_proto::api::Status;
use ccd_proto::paths::base_url;

use crate::args::{HooksIn, InstallArgs};
use crate::changes::{Journal, Planned, Undone};
use crate::client::Client;
use crate::config::same_upstream;
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::files::{self, Lock};
use crate::human::plural;
use crate::manifest::{Options, ServiceChange};
use crate::printer::Printer;
use crate::service::{self, Manager};
use crate::uninstall::Note;
use crate::{config, daemon, diff, plugin, proof, uninstall};

use plan::Plan;
use surroundings::Surroundings;

/// How long the daemon may take to notice a changed configuration.
const RELOAD_LIMIT: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 5000 });

/// Where the proxy listens, where nothing else is configured.
const DEFAULT_LISTEN: &str = "127.0.0.1:7788";

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &InstallArgs) -> Result<()> {
    let (args, around) = fitting(env, args)?;
    if args.dry_run {
        let plan = Plan::make(env, &args)?;
        around.warnings().iter().for_each(|warning| out.warn(warning));
        return dry_run(env, out, &args, &plan);
    }
    let (plan, report) = put_in_place(env, out, &args, &around)?;
    screen::print(env, out, &args, &plan, &report, &around)
}

/// What was asked for, as far as it would work here.
fn fitting(env: &Env, args: &InstallArgs) -> Result<(InstallArgs, Surroundings)> {
    let around = Surroundings::find(env, &plan::settings_files(env, args)?);
    let mut fitting = args.clone();
    if args.only_proxy
        && let Some(why) = &around.no_requests
    {
        return Err(CommandError::failed(format!("no request would come here: {why}"))
            .hint("`ccctl install` records hooks and transcripts all the same"));
    }
    fitting.no_proxy |= around.no_requests.is_some();
    fitting.no_hooks = around.no_hooks.is_some();
    if around.no_plugin.is_some() {
        fitting.hooks = HooksIn::Settings;
    }
    Ok((fitting, around))
}

/// Does what an earlier installation did, and nothing that is done already. Gives the files that were changed.
pub(crate) fn again(env: &Env, out: &mut Printer, args: &InstallArgs) -> Result<Vec<PathBuf>> {
    let (args, around) = fitting(env, &InstallArgs { yes: true, json: true, ..args.clone() })?;
    let (_, report) = put_in_place(env, out, &args, &around)?;
    report.warnings.iter().for_each(|warning| out.warn(warning));
    Ok(report.changed)
}

/// Directories that do not exist yet and that ours will lie in, outermost first.
fn grounds(env: &Env) -> Vec<PathBuf> {
    let l = &env.layout;
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in [&l.state_dir, &l.run_dir, &l.config_file] {
        let more: Vec<_> = files::missing_dirs(dir).into_iter().filter(|dir| !found.contains(dir)).collect();
        found.extend(more);
    }
    found
}

fn put_in_place(
    env: &Env,
    out: &mut Printer,
    args: &InstallArgs,
    around: &Surroundings,
) -> Result<(Plan, Report)> {
    let grounds = grounds(env);
    let _lock = Lock::take(&env.layout.state_dir)?;
    let plan = Plan::make(env, args)?;
    let first = !env.layout.install_manifest().exists();
    let running = daemon::status(env, out)?;
    let was_running = running.is_some();
    if !args.yes && !args.json && out.is_drawn() {
        let changes = changes(env, args, &plan, running.as_ref())?;
        screen::announce(env, out, args, &plan, &changes, around)?;
        // What was somebody else's way to the API is about to be led through here.
        if first
            && let Some(foreign) = &plan.foreign
            && out.ask(&format!(
                "Requests go to {} now, and will go there through ccd. Go on?",
                config::shown(foreign)
            )) == Some(false)
        {
            return Err(CommandError::failed("nothing was changed")
                .hint("`--no-proxy` leaves the way to the API alone"));
        }
    }
    let mut journal = Journal::open(&env.layout, env.token())?;
    // An uninstallation that is not finished will not be.
    let left = Note::forget(&env.layout)?;
    let manifest = &mut journal.manifest;
    if first {
        (manifest.placed, manifest.grounds) = (left.placed, left.grounds);
    }
    manifest.grounds.extend(grounds);
    manifest.placed = uninstall::note_programs(env, &manifest.placed);
    let done = Installer { env, args, plan: &plan, changed: Vec::new() }.carry_out(out, &mut journal);
    match done {
        Ok(report) => Ok((plan, report)),
        Err(error) if first => {
            uninstall::take_back(env, out, journal)?;
            if !was_running {
                daemon::stop(env, out, true)?;
            }
            Err(error.hint("nothing is left changed"))
        }
        Err(error) => {
            Err(error.hint("what was installed before is still in place: `ccctl verify` checks it"))
        }
    }
}

/// What an installation came to.
pub(crate) struct Report {
    /// The daemon.
    pub(crate) status: Status,
    /// The service manager that keeps it.
    pub(crate) manager: Option<&'static str>,
    /// What arrived.
    pub(crate) proof: Proof,
    /// Files that were changed.
    pub(crate) changed: Vec<PathBuf>,
    /// Settings files that hold our base URL.
    pub(crate) settings: Vec<PathBuf>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// What really arrived, and how long each took from end to end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proof {
    /// The installed hook command, started as Claude Code starts it.
    pub(crate) hook: Option<Duration>,
    /// A request to the base URL in the settings.
    pub(crate) request: Option<Duration>,
}

impl Proof {
    fn text(&self) -> Option<String> {
        let part = |what: &str, took: Option<Duration>| {
            took.map(|took| format!("{what} ({} ms)", took.as_millis().max(1)))
        };
        let parts: Vec<_> = [part("a hook event", self.hook), part("a request", self.request)]
            .into_iter()
            .flatten()
            .collect();
        (!parts.is_empty()).then(|| format!("{} arrived", parts.join(" and ")))
    }
}

struct Installer<'a> {
    env: &'a Env,
    args: &'a InstallArgs,
    plan: &'a Plan,
    changed: Vec<PathBuf>,
}

impl Installer<'_> {
    fn carry_out(mut self, out: &mut Printer, journal: &mut Journal<'_>) -> Result<Report> {
        let (env, plan) = (self.env, self.plan);
        ccd_proto::VERSION.clone_into(&mut journal.manifest.ccd_version);
        journal.manifest.options = Options {
            proxy: !self.args.no_proxy,
            hooks: self.args.hooks,
            settings: self.args.settings.as_ref().map(|path| env.cwd.join(path)),
            only_proxy: self.args.only_proxy,
            no_hooks: self.args.no_hooks,
            no_mcp: self.args.no_mcp,
            no_skill: self.args.no_skill,
            statusline: self.args.statusline,
            force: self.args.force,
        };
        let mut warnings = plan.warnings.clone();

        let upstream = self.change(journal, |journal| {
            let planned = plan.config(journal)?;
            journal.manifest.upstream.clone_from(&plan.upstream);
            Ok(planned)
        })?;
        journal.save()?;
        let manager = self.service(out, journal, &mut warnings)?;
        if manager.is_none() && env.var("CCD_UPSTREAM").is_some() {
            let config = env.layout.config_file.display();
            warnings.push(format!(
                "CCD_UPSTREAM holds for this start of the daemon only: `upstream` in {config} lasts"
            ));
        }
        let status = self.daemon(out, manager.as_ref())?;
        let kept = manager.as_ref().map_or("", |manager| manager.name());
        screen::tick(out, self.args, &format!("daemon: pid {} {kept}", status.daemon.pid))?;
        if upstream || plan.foreign.is_some() {
            self.upstream_in_force(out)?;
        }

        let url = self.url(&status)?;
        if let Some(url) = &url {
            Client::new(env)?.ping(url)?;
        }
        for (path, content) in plan.own_files()? {
            match content {
                Some(content) => {
                    self.change(journal, |journal| plan::own(journal, &path, content.as_bytes()))?;
                }
                None => {
                    journal.undo(&path)?;
                }
            }
        }
        for path in &plan.settings {
            self.change(journal, |journal| plan.settings(env, journal, path, url.as_deref()))?;
        }
        if !self.changed.is_empty() {
            screen::tick(out, self.args, &format!("{} written", plural(self.changed.len() as u64, "file")))?;
        }

        let mut proof = Proof::default();
        if self.args.has_hooks() {
            let hooks = self.installed_hooks()?;
            proof.hook = Some(arrives(|| proof::hook(env, &hooks))?);
        }
        if url.is_some() {
            for path in &plan.settings {
                proof.request = Some(arrives(|| proof::request(env, path).map(drop))?);
            }
        }
        if let Some(text) = proof.text() {
            screen::tick(out, self.args, &text)?;
        }
        Ok(Report {
            status,
            manager: manager.as_ref().map(Manager::name),
            proof,
            changed: self.changed,
            settings: if url.is_some() { plan.settings.clone() } else { Vec::new() },
            warnings,
        })
    }

    /// Works a change out and makes it; again, if somebody else has changed the file in between.
    fn change(
        &mut self,
        journal: &mut Journal<'_>,
        plan: impl Fn(&mut Journal<'_>) -> Result<Option<Planned>>,
    ) -> Result<bool> {
        for attempt in 0.. {
            let Some(planned) = plan(journal)? else { return Ok(false) };
            match journal.apply(&planned) {
                Err(e) if e.kind == Kind::Changed && attempt < 5 => sleep(Duration::from_millis(20)),
                Err(e) => return Err(e),
                Ok(changed) => {
                    if changed {
                        self.changed.push(planned.path);
                    }
                    return Ok(changed);
                }
            }
        }
        Ok(false)
    }

    /// Writes the service's file and enables it, where there is a service manager.
    fn service(
        &mut self,
        out: &mut Printer,
        journal: &mut Journal<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Manager>> {
        if self.args.no_service {
            return Ok(None);
        }
        let (env, plan) = (self.env, self.plan);
        let Some(manager) = service::detect(env) else { return Ok(None) };
        let foreign = |path: &PathBuf| path.exists() && journal.manifest.file(path).is_none();
        if let Some(path) = manager.paths().into_iter().find(foreign) {
            warnings.push(format!(
                "{} is not of this installation: the daemon runs without a service, and does not start by itself after a reboot",
                path.display()
            ));
            return Ok(None);
        }
        let files = manager.files(env, &plan.ccd, &listen(env)?)?;
        journal.manifest.service =
            Some(ServiceChange { manager: manager.name().to_owned(), path: manager.path() });
        let mut changed = false;
        for (path, content) in &files {
            match content {
                Some(content) => {
                    changed |= self.change(journal, |journal| plan::own(journal, path, content))?;
                }
                None => changed |= journal.undo(path)? != Undone::Nothing,
            }
        }
        journal.save()?;
        // A daemon started otherwise holds the lock of this home; one that the service keeps must see a new file.
        let running = daemon::status(env, out)?;
        if running.as_ref().is_some_and(|s| changed || s.daemon.manager != manager.name()) {
            daemon::stop(env, out, false)?;
        }
        manager.enable(env)?;
        Ok(Some(manager))
    }

    /// A daemon that will stay.
    fn daemon(&self, out: &mut Printer, manager: Option<&Manager>) -> Result<Status> {
        let env = self.env;
        if manager.is_some() {
            daemon::wait_until_it_answers(env, out)?;
        }
        daemon::ensure_lasting(env, out).map(|(status, _)| status)
    }

    /// Waits until the daemon sends requests where they went before.
    fn upstream_in_force(&self, out: &mut Printer) -> Result<()> {
        let Some(wanted) = &self.plan.foreign else { return Ok(()) };
        let deadline = Instant::now() + RELOAD_LIMIT;
        loop {
            let now = daemon::status(self.env, out)?.ok_or_else(CommandError::not_running)?.proxy.upstream;
            if same_upstream(&now, wanted) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(CommandError::failed(format!(
                    "Claude Code's requests went to {}, but the daemon sends them to {now}",
                    config::shown(wanted)
                ))
                .hint("if CCD_UPSTREAM was set when the daemon was started: `ccctl stop`, then install again without it")
                .hint("set CCD_UPSTREAM to say that the daemon is right"));
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// The base URL for the settings; none with `--no-proxy`.
    fn url(&self, status: &Status) -> Result<Option<String>> {
        if self.args.no_proxy {
            return Ok(None);
        }
        let token = self.env.token().ok_or_else(|| {
            CommandError::failed(format!(
                "the daemon has made no token in {}",
                self.env.layout.token_file().display()
            ))
            .hint("`ccctl logs` may say why")
        })?;
        Ok(Some(base_url(&status.proxy.listen, &token)))
    }

    /// The hooks as they stand in the files, so that the proof is about what Claude Code will read.
    fn installed_hooks(&self) -> Result<plugin::Hooks> {
        let settings = self.plan.settings.first().map(PathBuf::as_path);
        let find = |dir: &PathBuf| plugin::in_force(self.env, dir, settings);
        self.plan.dirs.first().and_then(find).ok_or_else(|| {
            CommandError::failed("the hooks were written, but do not read back")
                .hint("`ccctl install` writes them again")
        })
    }
}

/// How long it took until something arrived. A busy machine may miss a hook's 50 ms once: that alone fails nothing.
fn arrives(send: impl Fn() -> Result<()>) -> Result<Duration> {
    for attempt in 0.. {
        let begun = Instant::now();
        match send() {
            Ok(()) => return Ok(begun.elapsed()),
            Err(error) if attempt == 4 => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)),
        }
    }
    Ok(Duration::ZERO)
}

/// Where the daemon's proxy will listen.
fn listen(env: &Env) -> Result<String> {
    let configured = match files::read(&env.layout.config_file)? {
        Some(bytes) => config::listen(&bytes)?,
        None => None,
    };
    Ok(env.text("CCD_PROXY_LISTEN").or(configured).unwrap_or_else(|| DEFAULT_LISTEN.to_owned()))
}

/// Prints what would change, file by file.
fn dry_run(env: &Env, out: &mut Printer, args: &InstallArgs, plan: &Plan) -> Result<()> {
    let status = daemon::status(env, out)?;
    let planned = changes(env, args, plan, status.as_ref())?;
    plan.warnings.iter().for_each(|warning| out.warn(warning));
    show_plans(out, &planned, args.json)
}

/// Every file that would change, and how.
fn changes(env: &Env, args: &InstallArgs, plan: &Plan, status: Option<&Status>) -> Result<Vec<Planned>> {
    let mut journal = Journal::open(&env.layout, env.token())?;
    let running = status.map(|s| s.proxy.listen.clone());
    let url =
        base_url(&running.map_or_else(|| listen(env), Ok)?, env.token().as_deref().unwrap_or("<token>"));
    let url = (!args.no_proxy).then_some(url.as_str());
    let mut planned: Vec<Planned> = plan.config(&mut journal)?.into_iter().collect();
    if !args.no_service
        && let Some(manager) = service::detect(env)
        && manager.paths().iter().all(|path| !path.exists() || journal.manifest.file(path).is_some())
    {
        for (path, content) in manager.files(env, &plan.ccd, &listen(env)?)? {
            match (content, journal.manifest.file(&path)) {
                (Some(content), _) => planned.extend(plan::own(&journal, &path, &content)?),
                (None, Some(change)) => planned.push(journal.plan_undo(change)?.0),
                (None, None) => {}
            }
        }
    }
    for (path, content) in plan.own_files()? {
        match (content, journal.manifest.file(&path)) {
            (Some(content), _) => planned.extend(plan::own(&journal, &path, content.as_bytes())?),
            (None, Some(change)) => planned.push(journal.plan_undo(change)?.0),
            (None, None) => {}
        }
    }
    for path in &plan.settings {
        planned.extend(plan.settings(env, &mut journal, path, url)?);
    }
    Ok(planned)
}

/// Prints planned changes: as diffs, or as one object.
pub(crate) fn show_plans(out: &mut Printer, planned: &[Planned], json: bool) -> Result<()> {
    let planned: Vec<_> = planned.iter().filter(|p| !p.is_in_force()).collect();
    let plain = |path: &Path| path.display().to_string();
    if json {
        let changes: Vec<_> = planned
            .iter()
            .map(|p| {
                let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| String::from_utf8_lossy(b).into_owned());
                serde_json::json!({"path": plain(&p.path), "before": text(&p.current), "after": text(&p.target)})
            })
            .collect();
        return out.json(&serde_json::json!({"dry_run": true, "changes": changes}));
    }
    for p in &planned {
        for line in diff::render(out, &plain(&p.path), p.current.as_deref(), p.target.as_deref()) {
            out.line(line)?;
        }
        out.line("")?;
    }
    out.line(if planned.is_empty() {
        "no file would change"
    } else {
        "nothing was changed: this was a dry run"
    })
}
