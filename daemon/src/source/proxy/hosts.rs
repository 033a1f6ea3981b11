//! The names that a loopback listener answers to.
//!
//! Whatever else a name resolves to us by is a web page's trick (DNS rebinding): such a request is never answered, on
//! any path, at any of our ports.

use std::net::{IpAddr, SocketAddr};

use http::StatusCode;
use http::header::{HOST, HeaderMap};

/// The names of one listener, port included.
#[derive(Clone, Debug)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Those of a listener at this address.
    #[must_use]
    pub fn of(listen: SocketAddr) -> Self {
        let port = listen.port();
        let own = match listen.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let names = ["127.0.0.1", "localhost", "[::1]", &own].map(str::to_owned);
        let mut hosts: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        if port == 80 {
            // Then clients leave the port out.
            hosts.extend(names);
        }
        Hosts(hosts)
    }

    /// One `Host`, and one of ours; else the status that the request is refused with.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let mut given = headers.get_all(HOST).iter();
        let known =
            given.next().is_some_and(|host| self.0.iter().any(|name| name.as_bytes() == host.as_bytes()));
        match given.next() {
            Some(_) => Err(StatusCode::BAD_REQUEST),
            None if known => Ok(()),
            None => Err(StatusCode::MISDIRECTED_REQUEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out_only_where_clients_do() {
        let of = |listen: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            Hosts::of(listen.parse().unwrap()).check(&headers)
        };
        assert_eq!(of("[::1]:80", "localhost"), Ok(()));
        assert_eq!(of("[::1]:80", "[::1]:80"), Ok(()));
        assert_eq!(of("127.0.0.1:81", "localhost"), Err(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(of("127.0.0.2:81", "127.0.0.2:81"), Ok(()));
    }
}
