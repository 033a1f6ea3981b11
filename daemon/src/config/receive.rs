//! `[receive]`: a listener of its own for what other programs hand in. Without it, they do so at the web port.

use std::net::SocketAddr;

use serde::Deserialize;

use super::ConfigError;

/// Where other programs may hand something in, beside the web port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receive {
    /// Where; none: at the web port only.
    pub listen: Option<SocketAddr>,
}

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    listen: Option<String>,
    dangerously_allow_remote: bool,
}

impl Table {
    pub(super) fn read(self, env: Option<String>) -> Result<Receive, ConfigError> {
        let (name, value) = match (env, self.listen) {
            (Some(value), _) => ("CCD_RECEIVE_LISTEN", value),
            (None, Some(value)) => ("receive.listen", value),
            (None, None) => return Ok(Receive::default()),
        };
        let bad = |reason: &str| ConfigError::Value { name, value: value.clone(), reason: reason.into() };
        let listen: SocketAddr =
            value.parse().map_err(|_| bad("expected ADDRESS:PORT, e.g. 127.0.0.1:4318"))?;
        if !listen.ip().is_loopback() && !self.dangerously_allow_remote {
            return Err(bad(
                "other machines could reach it, and what they send is not encrypted on its way; where that is wanted, \
                 say receive.dangerously_allow_remote = true",
            ));
        }
        Ok(Receive { listen: Some(listen) })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn other_machines_are_let_in_only_where_that_is_said() {
        let read = |text: &str| Config::parsed(text).map(|config| config.receive.listen);
        assert_eq!(read("").unwrap(), None);
        let here = read("[receive]\nlisten = \"127.0.0.1:4318\"").unwrap();
        assert_eq!(here, Some("127.0.0.1:4318".parse().unwrap()));
        let anywhere = "[receive]\nlisten = \"0.0.0.0:4318\"";
        let refused = read(anywhere).unwrap_err().to_string();
        assert!(
            refused.contains("receive.listen") && refused.contains("dangerously_allow_remote"),
            "{refused}"
        );
        assert!(read(&format!("{anywhere}\ndangerously_allow_remote = true")).unwrap().is_some());
        assert!(read("[receive]\nlisten = \"here\"").is_err());
    }
}
