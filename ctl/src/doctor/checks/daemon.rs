//! The daemon, its configuration, and the port that it needs.

use ccd_proto::api::{ReceiveStatus, Status, Supervision};

use crate::doctor::Check;
use crate::doctor::facts::Facts;
use crate::env::Env;
use crate::telemetry::Stand;
use crate::{ports, status, telemetry};

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let checks = match &facts.status {
        Ok(Some(status)) => {
            vec![daemon(facts.env, status, facts.supervision.as_ref()), config(facts.env, status)]
        }
        Ok(None) => vec![Check::fail("daemon", "it is not running", "`ccctl start`").fixable()],
        Err(e) => vec![Check::failed("daemon", e.clone())],
    };
    let receive = facts.daemon().and_then(|status| receive(&status.receive));
    let telemetry = facts.daemon().and_then(|status| telemetry(status, &telemetry::stand(facts.env)));
    checks.into_iter().chain(port(facts.env, facts.daemon())).chain(receive).chain(telemetry).collect()
}

/// Whether the file that a process was started from is another one by now: after an upgrade, say, which need not have
/// changed the version. Only Linux tells.
fn is_replaced(pid: u32) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|path| path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)"))
}

/// Whether Claude Code's telemetry, where it is sent here, arrives.
pub(super) fn telemetry(status: &Status, stand: &Stand) -> Option<Check> {
    let file = stand.files.first()?;
    let endpoint = stand.endpoint.as_deref().unwrap_or_default();
    let again = "`ccctl telemetry on` sets it up again";
    let listen = status.web.listen.as_deref().unwrap_or_default();
    let port = |address: &str| address.rsplit(':').next().map(str::to_owned);
    Some(if stand.token_is_good == Some(false) {
        Check::warn("telemetry", format!("the daemon does not know the token in {}", file.display()), again)
    } else if listen.is_empty() || port(endpoint) != port(listen) {
        let told = format!("{} sends it to {endpoint}, the daemon listens on {listen}", file.display());
        Check::warn("telemetry", told, again)
    } else {
        Check::good("telemetry", format!("it is sent here, {} events so far", status.telemetry.events))
    })
}

/// Whether other machines may hand something in, and whether the listener for that is there.
pub(super) fn receive(receive: &ReceiveStatus) -> Option<Check> {
    if let Some(error) = &receive.error {
        let fix = "a free port: `ccctl config set receive.listen 127.0.0.1:0`";
        return Some(Check::warn("receive", error.clone(), fix));
    }
    let listen = receive.listen.as_ref()?;
    Some(if receive.remote {
        let told =
            format!("other machines can reach {listen}, and what they send is not encrypted on its way");
        Check::warn(
            "receive",
            told,
            "`ccctl config set receive.listen 127.0.0.1:4318` keeps it to this machine",
        )
    } else {
        Check::good("receive", format!("other programs hand in at {listen}"))
    })
}

pub(super) fn daemon(env: &Env, status: &Status, supervision: Option<&Supervision>) -> Check {
    let (d, ours) = (&status.daemon, ccd_proto::VERSION);
    let restart = |detail: String| Check::fail("daemon", detail, "`ccctl restart`");
    let keeper = supervision.filter(|s| !s.version.is_empty() && s.version != ours);
    // The supervisor tells it of itself; of a process that cannot be dumped the system tells root alone.
    let is_old =
        || is_replaced(d.pid) || supervision.is_some_and(|s| s.replaced || is_replaced(s.supervisor.pid));
    match d.state.as_str() {
        "retiring" => Check::fail(
            "daemon",
            "it is on its way out after `ccctl uninstall`",
            "`ccctl install` brings it back",
        ),
        _ if d.version != ours => restart(format!("version {} is running, {ours} is installed", d.version)),
        _ if keeper.is_some() => restart(format!(
            "version {} supervises it, {ours} is installed",
            keeper.map_or("", |s| s.version.as_str())
        )),
        _ if is_old() && env.program("ccd").is_ok() => Check::fail(
            "daemon",
            "it goes on with a program that was replaced on disk since it started",
            "`ccctl restart` changes over; no stream is cut",
        ),
        _ if d.supervisor_gone => restart(status::SUPERVISOR_GONE.to_owned()),
        _ => {
            let told = format!("running, pid {}, {} → {}", d.pid, status.proxy.listen, status.proxy.upstream);
            match d.supervisor.as_ref().filter(|s| s.restarts > 0) {
                Some(s) => {
                    let last = s.last_exit.as_deref().map(|end| format!(", last: {end}")).unwrap_or_default();
                    let many = crate::human::plural(s.restarts, "crash");
                    Check::warn(
                        "daemon",
                        format!("{told}; started again after {many}{last}"),
                        "`ccctl logs` says why",
                    )
                }
                None => Check::good("daemon", told),
            }
        }
    }
}

pub(super) fn config(env: &Env, status: &Status) -> Check {
    let config = env.layout.config_file.display();
    let Some(error) = status.daemon.config_error.as_deref().map(str::trim_end) else {
        let told =
            if env.layout.config_file.exists() { format!("{config} is in force") } else { "defaults".into() };
        return Check::good("config", told);
    };
    match status.daemon.config_error_about.as_str() {
        "environment" => Check::fail(
            "config",
            format!("the environment: {error}"),
            "change it, then `ccctl stop` and `ccctl start`",
        ),
        "restart" => Check::fail("config", error, "`ccctl restart`"),
        _ => Check::fail(
            "config",
            format!("{config} is not in force: {error}"),
            "correct it: it is read again by itself",
        ),
    }
}

/// A port that somebody else has keeps the daemon from starting. One that is free needs no line.
fn port(env: &Env, status: Option<&Status>) -> Option<Check> {
    let address = ports::configured(env).filter(|_| status.is_none())?;
    let holder = ports::holder(address)?;
    Some(Check::fail(
        "port",
        format!("{address} is taken by {holder}"),
        "end that program, or set `[proxy] listen` in config.toml; then `ccctl start`",
    ))
}
