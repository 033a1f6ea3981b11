//! Where the daemon listens, as far as a service manager can listen for it.
//!
//! Must never name an address that other machines could reach.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config;
use crate::env::Env;
use crate::error::Result;

/// The daemon's listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// The proxy's address; none where the port is another one with every start, which cannot stand in a file.
    pub proxy: Option<SocketAddr>,
    /// The web port's address; none likewise.
    pub web: Option<SocketAddr>,
    /// Hook events'.
    pub hook: PathBuf,
    /// The control API's.
    pub control: PathBuf,
}

impl Sockets {
    /// As the configuration and the environment have them.
    pub fn configured(env: &Env) -> Result<Self> {
        let addresses = config::addresses(env)?;
        let fixed = |text: &str| {
            text.parse().ok().filter(|addr: &SocketAddr| addr.port() != 0 && addr.ip().is_loopback())
        };
        let (proxy, web) = (fixed(&addresses.proxy), fixed(&addresses.web));
        Ok(Sockets {
            proxy,
            // Two listeners on one address: the proxy's is the one that must be there.
            web: web.filter(|web| Some(*web) != proxy),
            hook: env.layout.hook_socket(),
            control: env.layout.control_socket(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    fn configured(home: &Home) -> (Option<String>, Option<String>) {
        let sockets = Sockets::configured(&home.env()).unwrap();
        (sockets.proxy.map(|a| a.to_string()), sockets.web.map(|a| a.to_string()))
    }

    #[test]
    fn addresses_come_from_the_environment_the_configuration_or_nowhere() {
        let both = |proxy: &str, web: &str| (Some(proxy.to_owned()), Some(web.to_owned()));
        assert_eq!(configured(&Home::new()), both("127.0.0.1:7788", "127.0.0.1:7789"));
        let home = Home::new();
        home.write("ccd/config.toml", "[proxy]\nlisten = \"127.0.0.1:9\"\n[web]\nlisten = \"[::1]:10\"\n");
        assert_eq!(configured(&home), both("127.0.0.1:9", "[::1]:10"));
        let home = home.var("CCD_PROXY_LISTEN", "127.0.0.1:11").var("CCD_WEB_LISTEN", "127.0.0.1:0");
        assert_eq!(configured(&home), (Some("127.0.0.1:11".into()), None));
        let open = Home::new().var("CCD_PROXY_LISTEN", "0.0.0.0:7788").var("CCD_WEB_LISTEN", "nonsense");
        assert_eq!(configured(&open), (None, None));
        let one = Home::new().var("CCD_WEB_LISTEN", "127.0.0.1:7788");
        assert_eq!(configured(&one), (Some("127.0.0.1:7788".into()), None));
    }
}
