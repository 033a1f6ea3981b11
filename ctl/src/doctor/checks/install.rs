//! What was installed: the service that keeps the daemon, and the parts of the plugin.

use std::path::{Path, PathBuf};

use super::service::service;
use crate::args::HooksIn;
use crate::doctor::Check;
use crate::doctor::facts::{Dir, Facts};
use crate::env::Env;
use crate::error::Result;
use crate::files;
use crate::manifest::Manifest;
use crate::plugin::{self, server};
use crate::settings::status_line;
use crate::skill;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let manifest = match &facts.manifest {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            return vec![Check::fail(
                "install",
                "nothing is installed",
                "`ccctl install` (or record one session with `ccctl run`)",
            )];
        }
        Err(e) => return vec![Check::failed("install", e.clone())],
    };
    let mut checks = vec![install(manifest)];
    let hooks = manifest.options.wants_hooks();
    checks.extend(facts.service.as_ref().map(|health| service(health, facts.daemon().is_some(), hooks)));
    checks.extend(plugin_parts(facts.env, manifest, &facts.dirs));
    if manifest.options.statusline {
        checks.extend(facts.dirs.iter().map(|dir| status_line(facts.env, &dir.settings)));
    }
    checks
}

fn install(manifest: &Manifest) -> Check {
    let what = match (manifest.options.only_proxy, manifest.options.proxy) {
        (true, _) => "the base URL alone",
        (false, true) => "hooks and the base URL",
        (false, false) => "hooks alone",
    };
    if manifest.ccd_version == ccd_proto::VERSION {
        return Check::good("install", what);
    }
    Check::note("install", format!("{what}, by version {}", manifest.ccd_version))
        .hint("`ccctl install` brings it up to date")
        .fixable()
}

/// A part of the plugin: where it stands, and what must stand there.
type Part = (&'static str, PathBuf, Result<String>);

/// The parts beside the hooks are there, and what this version writes.
pub(super) fn plugin_parts(env: &Env, manifest: &Manifest, dirs: &[Dir]) -> Option<Check> {
    let options = &manifest.options;
    if options.only_proxy {
        return None;
    }
    let mut parts: Vec<Part> = Vec::new();
    for dir in dirs.iter().filter(|_| options.hooks == HooksIn::Plugin) {
        let plugin = plugin::directory(&dir.path);
        parts.push(("the plugin", plugin::manifest_path(&plugin), Ok(plugin::manifest_file())));
        if !options.no_mcp {
            parts.push(("the MCP server", server::path(&plugin), server::file(env)));
        }
        if !options.no_skill {
            parts.push(("the skill", plugin::skill_path(&plugin), skill::file(env, skill::IN_PLUGIN)));
        }
    }
    if let Some(path) = skill::codex_path(env).filter(|_| !options.no_skill) {
        parts.push(("the skill for Codex", path, skill::file(env, skill::ALONE)));
    }
    let wrong: Vec<String> = parts.iter().filter_map(wrong_with).collect();
    if !wrong.is_empty() {
        return Some(Check::warn("plugin", wrong.join("; "), "`ccctl install` writes it anew").fixable());
    }
    let mut names: Vec<_> = parts.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    (!names.is_empty()).then(|| Check::good("plugin", format!("{}: current", names.join(", "))))
}

fn wrong_with((name, path, wanted): &Part) -> Option<String> {
    let path_shown = path.display();
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(e) => return Some(format!("{name}: {}", e.message)),
    };
    match files::read(path) {
        Ok(Some(bytes)) if bytes == wanted.as_bytes() => None,
        Ok(Some(_)) => Some(format!("{name} in {path_shown} is not what this ccctl writes")),
        Ok(None) => Some(format!("{name} is missing: {path_shown}")),
        Err(e) => Some(format!("{name}: {}", e.message)),
    }
}

fn status_line(env: &Env, file: &Path) -> Check {
    let shown = file.display();
    match status_line::in_file(file) {
        Some(line) if line == status_line::ours(env) => {
            Check::good("statusline", format!("{shown}: it is ours"))
        }
        Some(line) if status_line::is_ours(&line) => Check::warn(
            "statusline",
            format!("{shown}: it runs another ccctl"),
            "`ccctl install --statusline` sets this one",
        )
        .fixable(),
        Some(_) => Check::note("statusline", format!("{shown}: somebody else's, left alone")),
        None => Check::warn(
            "statusline",
            format!("{shown}: it is gone"),
            "`ccctl install --statusline` sets it again",
        )
        .fixable(),
    }
}
