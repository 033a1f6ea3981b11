//! The launch agent's property list.

use std::net::SocketAddr;
use std::path::Path;

use plist::{Dictionary, Value};

use super::LABEL;
use crate::error::{CommandError, Result};
use crate::service::Sockets;

/// The agent. As with systemd, only an exit that was not asked for is made good, the sockets are the manager's, and a
/// supervisor that dies leaves its workers to finish their streams (`AbandonProcessGroup`).
///
/// - `ProcessType` is `Interactive`: what waits for this daemon is a person's prompt, and `Background` would put it on
///   the slow cores, its disk accesses behind everybody else's. It idles all the same.
/// - `ThrottleInterval` 1: ten seconds, the default, are ten seconds of requests that wait at the port.
/// - Sockets by name, which is how the daemon asks for them; a port that is taken costs that one socket alone.
pub(crate) fn agent(
    ccd: &Path,
    environment: &[(&str, String)],
    log_dir: &Path,
    sockets: &Sockets,
) -> Result<Vec<u8>> {
    let mut agent = Dictionary::new();
    let mut put = |key: &str, value: Value| drop(agent.insert(key.to_owned(), value));
    put("Label", LABEL.into());
    put("ProgramArguments", Value::Array(vec![text(ccd)?, "supervise".into()]));
    put("RunAtLoad", true.into());
    put("KeepAlive", dictionary([("SuccessfulExit", false.into())]));
    put("ThrottleInterval", 1.into());
    put("ExitTimeOut", 660.into());
    put("AbandonProcessGroup", true.into());
    put("Sockets", listeners(sockets)?);
    put("ProcessType", "Interactive".into());
    put("Umask", 0o077.into());
    put("StandardErrorPath", text(&log_dir.join("launchd.err"))?);
    let variables = environment.iter().map(|(name, value)| (*name, Value::from(value.clone())));
    put("EnvironmentVariables", dictionary(variables));
    let mut bytes = Vec::new();
    plist::to_writer_xml(&mut bytes, &Value::Dictionary(agent))
        .map_err(|e| CommandError::failed(format!("cannot write the launch agent: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn text(path: &Path) -> Result<Value> {
    let text = path.to_str().map(Value::from);
    text.ok_or_else(|| CommandError::failed(format!("{} is not UTF-8", path.display())))
}

fn dictionary<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The listeners. Without a fixed port of the proxy's the Unix sockets are the daemon's own, too: launchd would start it
/// for an event of a hook, and the port would be no older for it.
fn listeners(sockets: &Sockets) -> Result<Value> {
    let tcp = |addr: &SocketAddr| {
        dictionary([
            ("SockFamily", (if addr.is_ipv4() { "IPv4" } else { "IPv6" }).into()),
            ("SockNodeName", addr.ip().to_string().into()),
            ("SockServiceName", addr.port().to_string().into()),
            ("SockType", "stream".into()),
        ])
    };
    // A property list knows no octal numbers.
    let unix = |path: &Path| -> Result<Value> {
        Ok(dictionary([
            ("SockPathMode", Value::Integer(0o600.into())),
            ("SockPathName", text(path)?),
            ("SockType", "stream".into()),
        ]))
    };
    let mut listeners = Dictionary::new();
    if let Some(proxy) = &sockets.proxy {
        listeners.insert("proxy".into(), tcp(proxy));
        listeners.insert("hook".into(), unix(&sockets.hook)?);
        listeners.insert("control".into(), unix(&sockets.control)?);
    }
    if let Some(web) = &sockets.web {
        listeners.insert("web".into(), tcp(web));
    }
    Ok(Value::Dictionary(listeners))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a key of launchd.plist(5) takes.
    #[derive(Clone, Copy)]
    enum Kind {
        Text,
        Number,
        Switch,
        Texts,
        /// Strings by name.
        Variables,
        /// A switch or such a dictionary.
        SwitchOr(&'static [(&'static str, Kind)]),
        /// Names of our own, each with such a dictionary.
        Named(&'static [(&'static str, Kind)]),
    }

    /// Keys of launchd.plist(5), as its manual page of macOS 14 has them: those that an agent like ours may use.
    const KNOWN: &[(&str, Kind)] = &[
        ("Label", Kind::Text),
        ("Disabled", Kind::Switch),
        ("Program", Kind::Text),
        ("ProgramArguments", Kind::Texts),
        ("RunAtLoad", Kind::Switch),
        ("RootDirectory", Kind::Text),
        ("WorkingDirectory", Kind::Text),
        ("EnvironmentVariables", Kind::Variables),
        ("Umask", Kind::Number),
        ("TimeOut", Kind::Number),
        ("ExitTimeOut", Kind::Number),
        ("ThrottleInterval", Kind::Number),
        ("StandardInPath", Kind::Text),
        ("StandardOutPath", Kind::Text),
        ("StandardErrorPath", Kind::Text),
        ("Debug", Kind::Switch),
        ("AbandonProcessGroup", Kind::Switch),
        ("LowPriorityIO", Kind::Switch),
        ("LowPriorityBackgroundIO", Kind::Switch),
        ("Nice", Kind::Number),
        ("ProcessType", Kind::Text),
        ("LimitLoadToSessionType", Kind::Text),
        (
            "KeepAlive",
            Kind::SwitchOr(&[
                ("SuccessfulExit", Kind::Switch),
                ("NetworkState", Kind::Switch),
                ("Crashed", Kind::Switch),
                ("AfterInitialDemand", Kind::Switch),
            ]),
        ),
        (
            "Sockets",
            Kind::Named(&[
                ("SockType", Kind::Text),
                ("SockPassive", Kind::Switch),
                ("SockNodeName", Kind::Text),
                ("SockServiceName", Kind::Text),
                ("SockFamily", Kind::Text),
                ("SockProtocol", Kind::Text),
                ("SockPathName", Kind::Text),
                ("SecureSocketWithKey", Kind::Text),
                ("SockPathOwner", Kind::Number),
                ("SockPathGroup", Kind::Number),
                ("SockPathMode", Kind::Number),
                ("MulticastGroup", Kind::Text),
            ]),
        ),
    ];

    /// Values that its manual page enumerates.
    const WORDS: &[(&str, &[&str])] = &[
        ("SockType", &["stream", "dgram", "seqpacket"]),
        ("SockFamily", &["IPv4", "IPv6", "IPv4v6", "Unix"]),
        ("ProcessType", &["Background", "Standard", "Adaptive", "Interactive"]),
    ];

    fn check(dictionary: &Dictionary, known: &[(&str, Kind)]) {
        for (key, value) in dictionary {
            let kind = known.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("no key {key}")).1;
            let fits = match kind {
                Kind::Text => value.as_string().is_some(),
                Kind::Number => value.as_signed_integer().is_some(),
                Kind::Switch => value.as_boolean().is_some(),
                Kind::Texts => {
                    value.as_array().is_some_and(|all| all.iter().all(|one| one.as_string().is_some()))
                }
                Kind::Variables => {
                    value.as_dictionary().is_some_and(|all| all.values().all(|one| one.as_string().is_some()))
                }
                Kind::SwitchOr(within) => {
                    value.as_dictionary().into_iter().for_each(|inner| check(inner, within));
                    value.as_boolean().is_some() || value.as_dictionary().is_some()
                }
                Kind::Named(within) => {
                    let all = value.as_dictionary().expect("a dictionary of names");
                    all.values().for_each(|one| check(one.as_dictionary().expect("a dictionary"), within));
                    true
                }
            };
            assert!(fits, "{key} is no {value:?}");
            if let Some((_, words)) = WORDS.iter().find(|(name, _)| name == key) {
                assert!(value.as_string().is_some_and(|word| words.contains(&word)), "{key} = {value:?}");
            }
        }
    }

    fn sockets() -> Sockets {
        Sockets {
            proxy: Some("127.0.0.1:7788".parse().unwrap()),
            web: Some("[::1]:7789".parse().unwrap()),
            hook: "/h/run/hook.sock".into(),
            control: "/h/run/ccd.sock".into(),
        }
    }

    fn written(sockets: &Sockets) -> Vec<u8> {
        agent(Path::new("/opt/a & b/ccd"), &[("CCD_HOME", "/h".into())], Path::new("/h/logs"), sockets)
            .unwrap()
    }

    #[test]
    fn launchd_knows_every_key_and_its_type() {
        let none = Sockets { proxy: None, web: None, ..sockets() };
        for bytes in [written(&sockets()), written(&none)] {
            let agent: Value = plist::from_bytes(&bytes).unwrap();
            check(agent.as_dictionary().unwrap(), KNOWN);
            // Read and written again it is the same file.
            let mut again = Vec::new();
            plist::to_writer_xml(&mut again, &agent).unwrap();
            assert_eq!([again, b"\n".to_vec()].concat(), bytes);
        }
    }

    #[test]
    fn the_agent() {
        let text = String::from_utf8(written(&sockets())).unwrap();
        insta::assert_snapshot!(text.replace('\t', "  "), @r#"
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
            <key>hook</key>
            <dict>
              <key>SockPathMode</key>
              <integer>384</integer>
              <key>SockPathName</key>
              <string>/h/run/hook.sock</string>
              <key>SockType</key>
              <string>stream</string>
            </dict>
            <key>control</key>
            <dict>
              <key>SockPathMode</key>
              <integer>384</integer>
              <key>SockPathName</key>
              <string>/h/run/ccd.sock</string>
              <key>SockType</key>
              <string>stream</string>
            </dict>
            <key>web</key>
            <dict>
              <key>SockFamily</key>
              <string>IPv6</string>
              <key>SockNodeName</key>
              <string>::1</string>
              <key>SockServiceName</key>
              <string>7789</string>
              <key>SockType</key>
              <string>stream</string>
            </dict>
          </dict>
          <key>ProcessType</key>
          <string>Interactive</string>
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
}
