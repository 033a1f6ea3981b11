//! `ccctl proxy install` and `uninstall`: the base URL and nothing else, by the same journal of changes as `ccctl
//! install`.
//!
//! One installation owns the settings at a time: what `ccctl install` put there is left to `ccctl uninstall`.

use crate::args::{InstallArgs, ProxyInstallArgs, ProxyUninstallArgs, UninstallArgs};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::manifest::Manifest;
use crate::printer::Printer;
use crate::{install, ports, uninstall};

/// Runs `proxy install`.
pub(super) fn install(env: &Env, out: &mut Printer, args: &ProxyInstallArgs) -> Result<()> {
    match Manifest::load(&env.layout)? {
        Some(manifest) if !manifest.options.only_proxy => {
            return Err(owned(
                &manifest,
                "`ccctl install` adds the base URL to it",
                "it has set the base URL: `ccctl proxy status` shows it",
            ));
        }
        _ => {}
    }
    let args = InstallArgs {
        dry_run: args.dry_run,
        settings: args.settings.clone(),
        json: args.json,
        no_service: true,
        only_proxy: true,
        ..InstallArgs::default()
    };
    ports::explained(env, install::run(env, out, &args))
}

/// Runs `proxy uninstall`.
pub(super) fn uninstall(env: &Env, out: &mut Printer, args: &ProxyUninstallArgs) -> Result<()> {
    match Manifest::load(&env.layout)? {
        Some(manifest) if !manifest.options.only_proxy => {
            return Err(owned(
                &manifest,
                "it has set no base URL",
                "`ccctl install --no-proxy` takes the base URL out and leaves the hooks",
            ));
        }
        _ => {}
    }
    let args = UninstallArgs { dry_run: args.dry_run, json: args.json, ..UninstallArgs::default() };
    uninstall::run(env, out, &args)
}

/// A full installation is there.
fn owned(manifest: &Manifest, without_proxy: &str, with_proxy: &str) -> CommandError {
    let hint = if manifest.options.proxy { with_proxy } else { without_proxy };
    CommandError::failed("ccd is installed as a whole by `ccctl install`, which owns the settings")
        .hint(hint)
        .hint("`ccctl uninstall` takes all of it back; then this can be done by itself")
}
