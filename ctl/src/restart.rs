//! `ccctl restart`: a new daemon in the running one's place; streams under way are not cut.

use crate::args::StopArgs;
use crate::config::same_upstream;
use crate::env::Env;
use crate::error::Result;
use crate::printer::Printer;
use crate::{daemon, health, start};
use ccd_proto::api::Status;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &StopArgs) -> Result<()> {
    let status = daemon::restart(env, out, args.now)?;
    for name in kept_out(env, &status) {
        out.warn(format!(
            "{name} is another one in this shell, and not in force: a restart keeps the daemon's environment; `ccctl stop`, then `ccctl start` takes up this one"
        ));
    }
    // Nothing is left to go back to: what does not work is told.
    if let Err(error) = health::probe(env, out) {
        out.warn(format!("it does not do all of its work: {}", error.message));
        error.hints.iter().for_each(|hint| out.note(format!("  {}", crate::printer::visible(hint))));
    }
    out.line(start::ready(&status))
}

/// Variables of this shell that the daemon goes by another value of.
fn kept_out(env: &Env, status: &Status) -> Vec<&'static str> {
    let upstream = env.text("CCD_UPSTREAM").is_some_and(|url| !same_upstream(&url, &status.proxy.upstream));
    let listen = env.text("CCD_PROXY_LISTEN").is_some_and(|listen| {
        // Port 0 is any.
        !listen.ends_with(":0") && listen != status.proxy.listen
    });
    [(upstream, "CCD_UPSTREAM"), (listen, "CCD_PROXY_LISTEN")]
        .into_iter()
        .filter_map(|(differs, name)| differs.then_some(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn variables_that_a_restart_does_not_take_up_are_named() {
        let mut status = Status::default();
        status.proxy.upstream = "https://api.example".into();
        status.proxy.listen = "127.0.0.1:7788".into();
        let home = || Home::new().var("CCD_UPSTREAM", "https://api.example/");
        assert!(kept_out(&home().var("CCD_PROXY_LISTEN", "127.0.0.1:0").env(), &status).is_empty());
        assert_eq!(
            kept_out(&home().var("CCD_PROXY_LISTEN", "127.0.0.1:1").env(), &status),
            ["CCD_PROXY_LISTEN"]
        );
        status.proxy.upstream = "https://other.example".into();
        assert_eq!(kept_out(&home().env(), &status), ["CCD_UPSTREAM"]);
    }
}
