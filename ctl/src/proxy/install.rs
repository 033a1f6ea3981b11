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
        // Somebody else's daemon is none of ours to end.
        None if !args.dry_run && uninstall::is_nothing_there(env)? => {
            return uninstall::nothing_done(env, out, args.json);
        }
        _ => {}
    }
    let args =
        UninstallArgs { now: args.now, dry_run: args.dry_run, json: args.json, ..UninstallArgs::default() };
    uninstall::run(env, out, &args)
}

/// A full installation is there.
fn owned(manifest: &Manifest, without_proxy: &str, with_proxy: &str) -> CommandError {
    let hint = if manifest.options.proxy { with_proxy } else { without_proxy };
    CommandError::failed("ccd is installed as a whole by `ccctl install`, which owns the settings")
        .hint(hint)
        .hint("`ccctl uninstall` takes all of it back; then this can be done by itself")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply, TOKEN};

    #[test]
    fn with_nothing_installed_a_running_daemon_is_left_alone() {
        let home = Home::new();
        home.programs();
        let daemon = home.daemon(|_| Reply::json(r#"{"schema_version":1,"ok":true}"#));
        let uninstalled = || {
            let (mut out, text, _) = Printer::captured(80);
            uninstall(&home.env(), &mut out, &ProxyUninstallArgs::default()).unwrap();
            text.text()
        };
        assert_eq!(uninstalled(), "nothing was installed\n");
        assert!(daemon.requests().is_empty(), "{:?}", daemon.requests());
        // What a lost installation has left behind is one.
        let url = format!("{{\"env\":{{\"ANTHROPIC_BASE_URL\":\"http://127.0.0.1:1/{TOKEN}\"}}}}");
        home.write(".claude/settings.json", url);
        assert!(!uninstalled().contains("nothing was installed"));
        let asked = daemon.requests();
        assert!(asked.contains(&"POST /v0/retire".to_owned()), "{asked:?}");
    }
}
