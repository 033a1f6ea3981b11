//! What `launchctl` prints, and the agent's file, read.

use plist::Value;

use super::LABEL;
use crate::service::{Failure, Health};

/// Reads `launchctl print`: of a service that is loaded, and `None` where it says that there is none.
pub(crate) fn read_print(text: Option<&str>, health: &mut Health) {
    health.loaded = Some(text.is_some());
    let Some(text) = text else {
        (health.active, health.socket_active) = (Some(false), Some(false));
        return;
    };
    // `name = value`, one to a line; the first counts: parts of the service follow with names of their own.
    let get = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))
            .map(str::trim)
    };
    health.active = get("state").map(|state| state == "running");
    health.pid = get("pid").and_then(|pid| pid.parse().ok());
    health.restarts = get("runs").and_then(|runs| runs.parse().ok()).map(|runs: u32| runs.saturating_sub(1));
    // It holds the sockets of whatever is loaded.
    health.socket_active = Some(text.lines().any(|line| line.trim_start().starts_with("sockets =")));
    let ended = get("last exit code").filter(|code| !matches!(*code, "0" | "(never exited)"));
    health.failed = ended
        .filter(|_| health.active == Some(false))
        .map(|code| Failure { result: format!("exit code {code}"), since: None });
}

/// Whether `launchctl print-disabled` names our agent as disabled.
pub(crate) fn is_disabled(text: &str) -> bool {
    let ours = format!("\"{LABEL}\" =>");
    let state = text.lines().find_map(|line| line.trim().strip_prefix(&ours));
    state.is_some_and(|state| matches!(state.trim(), "disabled" | "true"))
}

/// The agent of a file without the variables that it hands on; none if it is no property list.
pub(crate) fn without_variables(bytes: &[u8]) -> Option<Value> {
    let mut agent = plist::from_bytes::<Value>(bytes).ok()?;
    agent.as_dictionary_mut()?.remove("EnvironmentVariables");
    Some(agent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As launchctl of macOS 14 prints it, shortened.
    const RUNS: &str = "gui/501/dev.ccd.daemon = {\n\tactive count = 3\n\tpath = /Users/u/Library/LaunchAgents/dev.ccd.daemon.plist\n\
        \ttype = LaunchAgent\n\tstate = running\n\n\tprogram = /opt/ccd\n\targuments = {\n\t\t/opt/ccd\n\t\tsupervise\n\t}\n\n\
        \truns = 2\n\tpid = 815\n\timmediate reason = speculative\n\tlast exit code = (never exited)\n\n\
        \tsockets = {\n\t\t\"proxy\" = {\n\t\t\tstate = active\n\t\t}\n\t}\n}\n";

    fn read(text: Option<&str>) -> Health {
        let mut health = Health { manager: Some(super::super::NAME), ..Health::default() };
        read_print(text, &mut health);
        health
    }

    #[test]
    fn an_agent_that_runs() {
        let health = read(Some(RUNS));
        assert!(health.is_good(), "{health:?}");
        assert_eq!((health.pid, health.restarts, health.failed), (Some(815), Some(1), None));
    }

    #[test]
    fn an_agent_that_failed_and_one_that_is_not_loaded() {
        let text = RUNS.replace("state = running", "state = spawn scheduled").replace("(never exited)", "78");
        let health = read(Some(&text.replace("\tpid = 815\n", "")));
        assert_eq!((health.active, health.pid), (Some(false), None));
        assert_eq!(health.failed.as_ref().unwrap().result, "exit code 78");
        assert!(!health.is_good());
        let health = read(None);
        assert_eq!((health.loaded, health.active), (Some(false), Some(false)));
    }

    #[test]
    fn disabled_in_either_spelling() {
        let text =
            |state: &str| format!("\tdisabled services = {{\n\t\t\"dev.ccd.daemon\" => {state}\n\t}}\n");
        assert!(is_disabled(&text("disabled")) && is_disabled(&text("true")));
        assert!(!is_disabled(&text("enabled")) && !is_disabled(&text("false")) && !is_disabled(""));
    }
}
