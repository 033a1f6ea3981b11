//! The three programs: there, of one version, and those that a shell finds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::doctor::Check;
use crate::doctor::facts::{Facts, complaint_of, version_of};
use crate::env::Env;
use crate::error::{CommandError, Result};

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let programs = match programs(facts) {
        Ok(told) => Check::good("programs", told),
        Err(error) => Check::failed("programs", error),
    };
    [programs].into_iter().chain(path(facts.env)).collect()
}

/// The programs are there and of one version.
pub(super) fn programs(facts: &Facts<'_>) -> Result<String> {
    let ccd = facts.env.program("ccd")?;
    let cc_hook = facts.env.program("cc-hook")?;
    let ours = ccd_proto::VERSION;
    let another = |program: &Path, version: &str| {
        CommandError::failed(format!("{} is version {version}, ccctl is {ours}", program.display()))
            .hint("install all three programs of one version")
    };
    let asked = [(&ccd, &facts.ccd), (&cc_hook, &facts.cc_hook)];
    let complaints = asked.iter().filter_map(|(program, said)| complaint_of(program, said.as_ref()?));
    if let Some(complaint) = complaints.into_iter().next() {
        return Err(complaint);
    }
    let version = |said: &Option<_>| said.as_ref().and_then(version_of).map(ToOwned::to_owned);
    let (daemon, hook) = (version(&facts.ccd), version(&facts.cc_hook));
    let dir = ccd.parent().unwrap_or(Path::new("/")).display();
    match (daemon, hook) {
        (None, _) => Err(CommandError::failed(format!("{} does not tell its version", ccd.display()))
            .hint("install all three programs of one version")),
        (Some(version), _) if version != ours => Err(another(&ccd, &version)),
        (_, Some(version)) if version != ours => Err(another(&cc_hook, &version)),
        (_, Some(_)) => Ok(format!("ccd, cc-hook and ccctl {ours} in {dir}")),
        (_, None) => Ok(format!("ccd and ccctl {ours} in {dir}; cc-hook there does not tell its version")),
    }
}

/// Which of our programs a shell finds, where it is not these.
pub(super) fn path(env: &Env) -> Option<Check> {
    let path = env.var("PATH")?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut others: Vec<PathBuf> = Vec::new();
    let mut is_found = false;
    for name in ["ccctl", "ccd", "cc-hook"] {
        let own = if name == "ccctl" { env.exe.clone() } else { env.program(name).ok()? };
        let found: Vec<PathBuf> = env.all_on_path(OsStr::new(name)).collect();
        if let Some(first) = found.first().filter(|first| real(first) != real(&own)) {
            let (first, own) = (first.display(), own.display());
            return Some(Check::warn(
                "path",
                format!("a shell finds {first} before {own}"),
                "remove the one that is not wanted, or change the order in PATH",
            ));
        }
        is_found |= !found.is_empty();
        for copy in found.into_iter().map(|copy| real(&copy)).filter(|copy| *copy != real(&own)) {
            if !others.contains(&copy) {
                others.push(copy);
            }
        }
    }
    if !is_found {
        let dir = env.exe.parent().unwrap_or(Path::new("/")).to_owned();
        let is_there = std::env::split_paths(&path).any(|on_path| real(&on_path) == real(&dir));
        let told = format!("{} is not in PATH", dir.display());
        return (!is_there)
            .then(|| Check::note("path", told).hint("add it, so that `ccctl` can be typed everywhere"));
    }
    let list = others.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Some(if others.is_empty() {
        Check::good("path", "a shell finds these programs")
    } else {
        Check::note("path", format!("a shell finds these programs; there are other copies: {list}"))
            .hint("remove those that are not wanted")
    })
}
