//! The hooks: in the files that this client reads, for its version, not silenced, and through to the daemon.

use std::path::Path;

use crate::args::HooksIn;
use crate::claude::layers::{Layer, Whose};
use crate::doctor::Check;
use crate::doctor::facts::{Dir, Facts};
use crate::env::Env;
use crate::human::plural;
use crate::manifest::Manifest;
use crate::plugin::{self, Hooks};

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let Some(manifest) = facts.installed().filter(|manifest| manifest.options.wants_hooks()) else {
        return Vec::new();
    };
    facts.dirs.iter().flat_map(|dir| of_dir(facts, manifest, dir)).collect()
}

fn of_dir(facts: &Facts<'_>, manifest: &Manifest, dir: &Dir) -> Vec<Check> {
    let Some(hooks) = &dir.hooks else {
        let place = match manifest.options.hooks {
            HooksIn::Plugin => plugin::hooks_path(&plugin::directory(&dir.path)),
            HooksIn::Settings => dir.settings.clone(),
        };
        let told = format!("they do not stand in {}", place.display());
        return vec![Check::fail("hooks", told, "`ccctl install` puts them there").fixable()];
    };
    let mut checks = vec![fit(facts, hooks)];
    checks.extend(program(facts.env, hooks));
    let in_plugin = Layer::read(Whose::User, &plugin::hooks_path(&plugin::directory(&dir.path)))
        .is_some_and(|layer| layer.hook_sockets().any(|socket| socket == facts.env.layout.hook_socket()));
    let twice = in_plugin
        && dir
            .layer
            .iter()
            .any(|layer| layer.hook_sockets().any(|socket| socket == facts.env.layout.hook_socket()));
    if twice {
        let told =
            format!("they stand in the plugin and in {}: each event comes twice", dir.settings.display());
        checks.push(Check::warn("hooks", told, "`ccctl install` leaves one of them").fixable());
    }
    checks.extend(facts.layers_of(dir).filter_map(|layer| silenced(layer, in_plugin)));
    // One line that says that it is well is enough.
    if checks.iter().any(|check| check.hint.is_some()) {
        checks.retain(|check| check.hint.is_some());
    }
    checks.extend(dir.proof.as_ref().map(|proof| match proof {
        Ok(()) => Check::good("event", "a hook event arrives"),
        Err(e) => Check::failed("event", e.clone()),
    }));
    checks
}

/// Whether they are those of the client's version.
fn fit(facts: &Facts<'_>, hooks: &Hooks) -> Check {
    let version = facts.client_version;
    let wanted = plugin::events(version);
    let unknown: Vec<_> = hooks.events.iter().filter(|e| !wanted.contains(e)).map(String::as_str).collect();
    let missing: Vec<_> = wanted.iter().filter(|e| !hooks.events.contains(e)).map(String::as_str).collect();
    let client =
        version.map_or_else(|| "a client of unknown version".to_owned(), |v| format!("Claude Code {v}"));
    if !unknown.is_empty() && version.is_some() {
        let told = format!("{client} does not know {}, and may drop all of them", unknown.join(", "));
        Check::fail("hooks", told, "`ccctl install` writes them for this version").fixable()
    } else if !missing.is_empty() {
        let told = format!("{client} knows {} more: {}", missing.len(), missing.join(", "));
        Check::warn("hooks", told, "`ccctl install` adds them").fixable()
    } else {
        Check::good("hooks", format!("{} for {client}", plural(hooks.events.len() as u64, "event")))
    }
}

/// What is wrong with the program that they call.
pub(super) fn program(env: &Env, hooks: &Hooks) -> Option<Check> {
    let called = Path::new(&hooks.command);
    let Ok(real) = called.canonicalize() else {
        let told =
            format!("they call {}, which is not there: Claude Code shows an error for each", hooks.command);
        return Some(Check::fail("hooks", told, "`ccctl install` names the one that is there").fixable());
    };
    let own = env.program("cc-hook").ok()?;
    (real != own.canonicalize().ok()?).then(|| {
        let told = format!("they call {}, not {} beside this ccctl", hooks.command, own.display());
        Check::warn("hooks", told, "`ccctl install` names this one").fixable()
    })
}

/// What keeps the client from calling them.
pub(super) fn silenced(layer: &Layer, in_plugin: bool) -> Option<Check> {
    let key = layer.silences_hooks(in_plugin)?;
    Some(match layer.whose {
        Whose::User => Check::fail(
            "hooks",
            format!("{layer} switches them off by `{key}`"),
            format!("take `{key}` out of it"),
        ),
        Whose::Managed => Check::warn(
            "hooks",
            format!("whoever manages this machine switches them off by `{key}` in {layer}"),
            "requests and transcripts are recorded all the same",
        ),
        Whose::Project => Check::warn(
            "hooks",
            format!("{layer} switches them off by `{key}` for sessions that start there"),
            format!("take `{key}` out of it, if it is yours"),
        ),
    })
}
