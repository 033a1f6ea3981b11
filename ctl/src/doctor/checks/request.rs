//! The way of a request: the base URL in the settings is answered, nothing overrides it, and upstream is reached.

use std::net::SocketAddr;
use std::path::Path;

use ccd_proto::api::{Status, UpstreamProbe};

use crate::claude::layers::{Whose, other_api};
use crate::config::shown;
use crate::doctor::facts::{Dir, Facts, PATIENCE};
use crate::doctor::{Check, proof};
use crate::error::Result;
use crate::human::plural;
use crate::ports;
use crate::settings::BASE_URL;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(manifest) = facts.installed() {
        if manifest.options.proxy {
            checks.extend(facts.dirs.iter().map(|dir| request(facts, &dir.settings)));
            checks.extend(overrides(facts));
            checks.extend(facts.dirs.iter().filter_map(|dir| no_proxy(facts, dir)));
        } else {
            checks.push(Check::good("settings", "left alone (installed with --no-proxy)"));
        }
    }
    checks.extend(facts.daemon().and_then(|status| upstream(status, facts.probe.as_ref())));
    checks
}

/// Who listens where a settings file sends requests, if it is not ccd.
fn listens_at(facts: &Facts<'_>, file: &Path) -> Option<String> {
    let layer = facts.dirs.iter().find(|dir| dir.settings == file)?.layer.as_ref()?;
    let address: SocketAddr =
        layer.env(BASE_URL)?.strip_prefix("http://")?.split('/').next()?.parse().ok()?;
    ports::holder(address).filter(|holder| !holder.is_ccd()).map(|holder| holder.to_string())
}

fn request(facts: &Facts<'_>, file: &Path) -> Check {
    match proof::request_within(facts.env, file, PATIENCE) {
        Ok(version) => {
            Check::good("request", format!("{}: a request arrives, ccd {version} answers", file.display()))
        }
        Err(e) => {
            let advice = if facts.daemon().is_some() {
                // It listens elsewhere than when it was installed.
                "`ccctl doctor --fix` writes the daemon's address into it"
            } else {
                "`ccctl doctor --fix`; or `ccctl uninstall`, if ccd shall not run"
            };
            let hint = e.hints.first().cloned().unwrap_or_else(|| advice.into());
            let who = listens_at(facts, file).map(|who| format!("; {who} listens there")).unwrap_or_default();
            Check::fail("request", format!("{}{who}", e.message), hint).fixable()
        }
    }
}

/// Whatever sends requests past us, though the user's settings name us.
fn overrides(facts: &Facts<'_>) -> Vec<Check> {
    let env = facts.env;
    let mut checks = Vec::new();
    for layer in &facts.layers {
        let Some(url) = layer.env(BASE_URL).filter(|url| !env.is_our_url(url)) else { continue };
        let url = shown(&url);
        checks.push(match layer.whose {
            Whose::Managed => Check::warn(
                "override",
                format!(
                    "whoever manages this machine sends requests to {url} by {layer}: they are not recorded"
                ),
                "hooks and transcripts are recorded all the same",
            ),
            Whose::Project | Whose::User => Check::warn(
                "override",
                format!(
                    "{layer} sends requests of sessions that start there to {url}: they are not recorded"
                ),
                format!("take env.{BASE_URL} out of it, if it is yours"),
            ),
        });
    }
    let users = facts.dirs.iter().filter_map(|dir| dir.layer.as_ref());
    for layer in facts.layers.iter().chain(users) {
        checks.extend(layer.other_api().map(|name| elsewhere(name, &layer.to_string())));
    }
    checks.extend(other_api(|name| env.text(name)).map(|name| elsewhere(name, "this shell's environment")));
    if let Some(url) = env.text(BASE_URL).filter(|url| !env.is_our_url(url)) {
        let told =
            format!("this shell's {BASE_URL} ({}) does not count: the settings override it", shown(&url));
        checks.push(Check::note("override", told));
    }
    checks
}

fn elsewhere(name: &str, whose: &str) -> Check {
    Check::warn(
        "override",
        format!(
            "{name} in {whose} sends requests to a cloud's API, past any base URL: they are not recorded"
        ),
        "hooks and transcripts are recorded all the same",
    )
}

/// An HTTP proxy that would get the requests for us: the client sends those to loopback through it, too.
pub(super) fn no_proxy(facts: &Facts<'_>, dir: &Dir) -> Option<Check> {
    let of = |name: &str| {
        let told = facts.layers_of(dir).find_map(|layer| layer.env(name));
        told.or_else(|| facts.env.text(name)).filter(|value| !value.is_empty())
    };
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let (name, _) = proxies.into_iter().find_map(|name| Some((name, of(name)?)))?;
    let covers = |list: String| list.split([',', ' ']).any(|host| matches!(host.trim(), "127.0.0.1" | "*"));
    let lists: Vec<bool> = ["NO_PROXY", "no_proxy"].into_iter().filter_map(of).map(covers).collect();
    // Where both are set, clients differ in which one they go by.
    if !lists.is_empty() && lists.iter().all(|covers| *covers) {
        return None;
    }
    let told =
        format!("{name} is set, and NO_PROXY does not name 127.0.0.1: requests to ccd may go to that proxy");
    Some(Check::warn("no_proxy", told, "`ccctl install` puts it into the settings").fixable())
}

/// Whether requests get to the API.
pub(super) fn upstream(status: &Status, probe: Option<&Result<UpstreamProbe>>) -> Option<Check> {
    let proxy = &status.proxy;
    let hint =
        "look at the network, and at `upstream` and `[network]` in config.toml; the next request tries again";
    if proxy.unreached > 0 {
        let cause = proxy.last_error.as_deref().unwrap_or("the cause is in the log");
        let many = plural(proxy.unreached, "request");
        return Some(Check::fail(
            "upstream",
            format!("{} is not reached ({many} in a row): {cause}", proxy.upstream),
            hint,
        ));
    }
    let errors = proxy.last_error.as_ref().filter(|_| proxy.errors > 0);
    let errors =
        errors.map(|error| format!("{} since start, the last: {error}", plural(proxy.errors, "error")));
    match probe {
        Some(Ok(probe)) if probe.ok => {
            let through = if probe.tunnelled { ", through the network's proxy" } else { "" };
            let told = format!("{} is reached{through}{}", probe.upstream, steps(probe));
            let errors = errors.map(|errors| format!("; {errors}")).unwrap_or_default();
            Some(Check::good("upstream", format!("{told}{errors}")))
        }
        Some(Ok(probe)) => {
            let cause = probe.error.as_deref().unwrap_or("no cause is told");
            let told = format!("{} is not reached now: {cause}", probe.upstream);
            // A machine that is offline now is not broken; a certificate or a proxy stays wrong.
            Some(match probe.kind.as_deref() {
                Some("tls" | "proxy") => Check::fail("upstream", told, hint),
                _ => Check::warn("upstream", told, hint),
            })
        }
        Some(Err(e)) => {
            Some(Check::note("upstream", format!("whether it is reached is not known: {}", e.message)))
        }
        None => errors.map(|errors| Check::good("upstream", errors)),
    }
}

/// How long each step to it took.
fn steps(probe: &UpstreamProbe) -> String {
    let steps = [("name", probe.resolve_us), ("connection", probe.connect_us), ("TLS", probe.tls_us)];
    let told: Vec<_> = steps
        .into_iter()
        .filter_map(|(step, us)| {
            let us = us?;
            Some(format!("{step} {}.{} ms", us / 1000, us % 1000 / 100))
        })
        .collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) }
}
