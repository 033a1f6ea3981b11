//! The daemon as a launch agent of macOS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plist::{Dictionary, Value};

use super::must;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::Invocation;

/// The manager's name.
pub const NAME: &str = "launchd";
/// The agent's name.
const LABEL: &str = "dev.ccd.daemon";

/// launchd, in the user's own domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launchd {
    agents: PathBuf,
    domain: String,
}

impl Launchd {
    /// launchd, with the directory of the user's own agents.
    #[must_use]
    pub fn new(env: &Env) -> Option<Self> {
        let domain = format!("gui/{}", rustix::process::getuid().as_raw());
        Some(Launchd { agents: env.home()?.join("Library/LaunchAgents"), domain })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.agents.join(format!("{LABEL}.plist"))
    }

    fn service(&self) -> String {
        format!("{}/{LABEL}", self.domain)
    }

    pub(super) fn enable(&self, env: &Env) -> Result<()> {
        must(env, "launchctl", &["enable", &self.service()])?;
        // An agent of an earlier file is unloaded first; there may be none.
        let _ = must(env, "launchctl", &["bootout", &self.service()]);
        self.start(env)
    }

    pub(super) fn start(&self, env: &Env) -> Result<()> {
        // Unloaded by a stop, it is loaded again; loaded already, this fails and is no matter.
        let _ = must(env, "launchctl", &["bootstrap", &self.domain, &self.path().to_string_lossy()]);
        must(env, "launchctl", &["kickstart", &self.service()])
            .map(drop)
            .map_err(|e| e.hint(format!("`launchctl print {}` and `ccctl logs` say more", self.service())))
    }

    /// Takes the socket away from launchd, which would start the daemon again with the next request. The daemon is told to
    /// end by it, and holds its own copy of the socket until it has.
    pub(super) fn stop_listening(&self, env: &Env) {
        let bootout =
            Invocation::new("launchctl", ["bootout", &self.service()]).limit(Duration::from_secs(5));
        // It may take as long as the streams do, and is not waited for: whoever stops the daemon waits for its end.
        let _ = env.runner.run(&bootout);
    }

    /// Not `bootout`: that would stop the running daemon.
    pub(super) fn disable(&self, env: &Env) -> Result<()> {
        must(env, "launchctl", &["disable", &self.service()]).map(drop)
    }
}

/// The agent's property list. As with systemd, only an exit that was not asked for is made good, the port is the
/// manager's, and a supervisor that dies leaves its workers to finish their streams (`AbandonProcessGroup`).
pub(super) fn agent(
    ccd: &Path,
    environment: &[(&str, String)],
    log_dir: &Path,
    listen: Option<SocketAddr>,
) -> Result<Vec<u8>> {
    let text = |path: &Path| {
        path.to_str()
            .map(|p| Value::String(p.to_owned()))
            .ok_or_else(|| CommandError::failed(format!("{} is not UTF-8", path.display())))
    };
    let mut keep_alive = Dictionary::new();
    keep_alive.insert("SuccessfulExit".into(), Value::Boolean(false));
    let mut variables = Dictionary::new();
    for (name, value) in environment {
        variables.insert((*name).to_owned(), Value::String(value.clone()));
    }
    let mut agent = Dictionary::new();
    agent.insert("Label".into(), Value::String(LABEL.into()));
    agent
        .insert("ProgramArguments".into(), Value::Array(vec![text(ccd)?, Value::String("supervise".into())]));
    agent.insert("RunAtLoad".into(), Value::Boolean(true));
    agent.insert("KeepAlive".into(), Value::Dictionary(keep_alive));
    agent.insert("ThrottleInterval".into(), Value::Integer(1.into()));
    agent.insert("ExitTimeOut".into(), Value::Integer(660.into()));
    agent.insert("AbandonProcessGroup".into(), Value::Boolean(true));
    if let Some(listen) = listen {
        let mut socket = Dictionary::new();
        let family = if listen.is_ipv4() { "IPv4" } else { "IPv6" };
        for (key, value) in [
            ("SockFamily", family.to_owned()),
            ("SockNodeName", listen.ip().to_string()),
            ("SockServiceName", listen.port().to_string()),
            ("SockType", "stream".to_owned()),
        ] {
            socket.insert(key.into(), Value::String(value));
        }
        let mut sockets = Dictionary::new();
        sockets.insert("proxy".into(), Value::Dictionary(socket));
        agent.insert("Sockets".into(), Value::Dictionary(sockets));
    }
    agent.insert("ProcessType".into(), Value::String("Background".into()));
    agent.insert("Umask".into(), Value::Integer(0o077.into()));
    agent.insert("StandardErrorPath".into(), text(&log_dir.join("launchd.err"))?);
    agent.insert("EnvironmentVariables".into(), Value::Dictionary(variables));
    let mut bytes = Vec::new();
    plist::to_writer_xml(&mut bytes, &Value::Dictionary(agent))
        .map_err(|e| CommandError::failed(format!("cannot write the launch agent: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, said};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn the_agent() {
        let listen = Some("127.0.0.1:7788".parse().unwrap());
        let bytes =
            agent(Path::new("/opt/a & b/ccd"), &[("CCD_HOME", "/h".into())], Path::new("/h/logs"), listen)
                .unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
        <plist version="1.0">
        <dict>
        	<key>Label</key>
        	<string>dev.ccd.daemon</string>
        	<key>ProgramArguments</key>
        	<array>
        		<string>/opt/a &amp; b/ccd</string>
        		<string>supervise</string>
        	</array>
        	<key>RunAtLoad</key>
        	<true/>
        	<key>KeepAlive</key>
        	<dict>
        		<key>SuccessfulExit</key>
        		<false/>
        	</dict>
        	<key>ThrottleInterval</key>
        	<integer>1</integer>
        	<key>ExitTimeOut</key>
        	<integer>660</integer>
        	<key>AbandonProcessGroup</key>
        	<true/>
        	<key>Sockets</key>
        	<dict>
        		<key>proxy</key>
        		<dict>
        			<key>SockFamily</key>
        			<string>IPv4</string>
        			<key>SockNodeName</key>
        			<string>127.0.0.1</string>
        			<key>SockServiceName</key>
        			<string>7788</string>
        			<key>SockType</key>
        			<string>stream</string>
        		</dict>
        	</dict>
        	<key>ProcessType</key>
        	<string>Background</string>
        	<key>Umask</key>
        	<integer>63</integer>
        	<key>StandardErrorPath</key>
        	<string>/h/logs/launchd.err</string>
        	<key>EnvironmentVariables</key>
        	<dict>
        		<key>CCD_HOME</key>
        		<string>/h</string>
        	</dict>
        </dict>
        </plist>
        "#);
    }

    #[test]
    fn taking_the_agent_away_stops_nothing() {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let env = Home::new().env_with(move |call| {
            seen.borrow_mut().push(call.line());
            said("")
        });
        Launchd::new(&env).unwrap().disable(&env).unwrap();
        assert_eq!(calls.borrow().len(), 1);
        assert!(calls.borrow()[0].starts_with("launchctl disable gui/"));
    }
}
