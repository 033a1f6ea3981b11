//! `[network]`: the way from this machine to the API, where it is not a straight one.
//!
//! Each key has the environment behind it that Claude Code itself goes by, so that whoever made Claude Code work in
//! their network need not do it twice. Files are named here and read where TLS is set up.

use std::path::PathBuf;

use http::Uri;
use serde::Deserialize;

use super::ConfigError;

/// The way to the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The network's HTTP proxy, as it was written; it may hold a password. None: straight.
    pub https_proxy: Option<String>,
    /// Hosts that are reached without it, separated by commas.
    pub no_proxy: String,
    /// Files with certificates that are trusted beside the platform's.
    pub ca_files: Vec<PathBuf>,
    /// A further one, from the environment. As Claude Code does, we go on without it where it cannot be read.
    pub extra_ca_file: Option<PathBuf>,
    /// Our certificate and its key, for who asks for one.
    pub client: Option<ClientFiles>,
    /// What the environment says that we can make nothing of, and go on without.
    pub unusable: Option<String>,
}

impl Network {
    /// Whether what is wrong with the way to upstream was found in the environment, and not in the file.
    #[must_use]
    pub fn is_of_environment(&self, problem: &str) -> bool {
        let names_it = |path: &PathBuf| problem.contains(&path.display().to_string());
        self.unusable.as_deref() == Some(problem)
            || self.extra_ca_file.as_ref().is_some_and(|path| names_it(path) && !self.ca_files.contains(path))
    }
}

/// PEM files that say who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate and those that vouch for it.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    https_proxy: Option<String>,
    no_proxy: Option<String>,
    ca_files: Vec<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

impl Table {
    /// With the environment behind it: what is written goes first.
    pub(super) fn read(self, var: impl Fn(&str) -> Option<String>) -> Result<Network, ConfigError> {
        let first = |names: [&'static str; 4]| names.into_iter().find_map(|name| Some((name, var(name)?)));
        let proxy = match self.https_proxy {
            Some(written) => Some(("network.https_proxy", written)),
            None => first(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
        };
        // An empty one in the file means: straight, whatever the environment says.
        let proxy = proxy
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(name, value)| (name, check_proxy(name, value.trim())));
        let (https_proxy, unusable) = match proxy {
            None => (None, None),
            Some((_, Ok(url))) => (Some(url), None),
            Some(("network.https_proxy", Err(error))) => return Err(error),
            // Set for other programs, most likely.
            Some((_, Err(error))) => (None, Some(error.to_string())),
        };
        let no_proxy = self.no_proxy.or_else(|| Some(first(["NO_PROXY", "no_proxy", "", ""])?.1));
        let path = |name: &str| var(name).map(PathBuf::from);
        let client = match (
            self.client_cert.or_else(|| path("CLAUDE_CODE_CLIENT_CERT")),
            self.client_key.or_else(|| path("CLAUDE_CODE_CLIENT_KEY")),
        ) {
            (Some(cert), Some(key)) => Some(ClientFiles { cert, key }),
            // One file may hold both.
            (Some(cert), None) => Some(ClientFiles { key: cert.clone(), cert }),
            (None, Some(key)) => {
                return Err(ConfigError::Value {
                    name: "network.client_key",
                    value: key.display().to_string(),
                    reason:
                        "a key without its certificate: set network.client_cert or CLAUDE_CODE_CLIENT_CERT"
                            .into(),
                });
            }
            (None, None) => None,
        };
        Ok(Network {
            https_proxy,
            no_proxy: no_proxy.unwrap_or_default(),
            ca_files: self.ca_files,
            extra_ca_file: path("NODE_EXTRA_CA_CERTS"),
            client,
            unusable,
        })
    }
}

/// A proxy's URL with its scheme; without one it is `http`, as for everybody else.
fn check_proxy(name: &'static str, value: &str) -> Result<String, ConfigError> {
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let bad = |reason: &str| ConfigError::Value {
        name,
        // Its password is nobody's business.
        value: value.rsplit_once('@').map_or(value, |(_, host)| host).to_owned(),
        reason: reason.into(),
    };
    let uri: Uri = whole.parse().map_err(|_| bad("expected a URL such as http://proxy.example:3128"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(whole),
        Some("http" | "https") => Err(bad("expected a URL such as http://proxy.example:3128")),
        _ => Err(bad("only http:// and https:// proxies are supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, env: &[(&str, &str)]) -> Result<Network, ConfigError> {
        let table: Table = toml::from_str(text).unwrap();
        table.read(|name| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn what_is_written_goes_before_the_environment() {
        let env = [
            ("HTTPS_PROXY", "http://env:1"),
            ("NO_PROXY", "a,b"),
            ("NODE_EXTRA_CA_CERTS", "/env/ca.pem"),
            ("CLAUDE_CODE_CLIENT_CERT", "/env/cert.pem"),
            ("CLAUDE_CODE_CLIENT_KEY", "/env/key.pem"),
        ];
        let from_env = read("", &env).unwrap();
        assert_eq!(from_env.https_proxy.as_deref(), Some("http://env:1"));
        assert_eq!(from_env.no_proxy, "a,b");
        assert_eq!(from_env.extra_ca_file, Some("/env/ca.pem".into()));
        let client = ClientFiles { cert: "/env/cert.pem".into(), key: "/env/key.pem".into() };
        assert_eq!(from_env.client, Some(client));

        let written = read(
            "https_proxy = \"proxy:3128\"\nno_proxy = \"c\"\nca_files = [\"/ca.pem\"]\nclient_cert = \"/both.pem\"",
            &env[..3],
        )
        .unwrap();
        assert_eq!(written.https_proxy.as_deref(), Some("http://proxy:3128"));
        assert_eq!(written.no_proxy, "c");
        assert_eq!(written.ca_files, [PathBuf::from("/ca.pem")]);
        assert_eq!(written.client.map(|files| files.key), Some("/both.pem".into()));
        assert_eq!(read("https_proxy = \"\"", &env).unwrap().https_proxy, None);
        assert_eq!(read("", &[]).unwrap(), Network::default());
    }

    #[test]
    fn what_cannot_work_is_refused_and_no_password_is_shown() {
        let url = "socks5://user:secret@proxy:1080";
        let from_env = read("", &[("ALL_PROXY", url)]).unwrap();
        assert_eq!(from_env.https_proxy, None, "the daemon starts all the same");
        let refused = from_env.unusable.clone().unwrap();
        assert!(from_env.is_of_environment(&refused) && !from_env.is_of_environment("/ca.pem: gone"));
        let extra = read("ca_files = [\"/ca.pem\"]", &[("NODE_EXTRA_CA_CERTS", "/env/ca.pem")]).unwrap();
        assert!(extra.is_of_environment("/env/ca.pem: gone") && !extra.is_of_environment("/ca.pem: gone"));
        assert!(refused.contains("ALL_PROXY") && refused.contains("only http"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
        assert!(read(&format!("https_proxy = \"{url}\""), &[]).is_err());
        assert!(read("https_proxy = \"http://\"", &[]).is_err());
        assert!(read("client_key = \"/key.pem\"", &[]).is_err());
    }
}
