//! How a connection to upstream is made: look-up, TCP, the network's proxy, TLS; each step measured, all of them
//! together limited.
//!
//! An `https` upstream goes through the network's proxy by CONNECT, so TLS is with upstream and the proxy sees nothing
//! of it; `NO_PROXY` is honoured, and loopback never goes through it. Plain `http` upstreams are dialled directly.
//! Nothing here may hang: a name server, a handshake or a proxy that never answers is an error once the limit is over.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, Kind};
use super::io::{Io, Stream};
use super::tls::Tls;
use super::tunnel;
use super::upstream::Target;
use crate::config::Network;
use crate::ingest::record::RouteV1;

/// How long after one address the next one is tried beside it (RFC 8305 §5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// How long a silent TCP connection rests before the system asks whether the peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Somebody to connect to.
#[derive(Clone, Debug)]
struct Peer {
    host: String,
    port: u16,
}

impl Peer {
    fn of(uri: &Uri) -> Option<Self> {
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        Some(Peer { host, port })
    }

    fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.to_ascii_lowercase().ends_with(".localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    fn name(&self) -> Result<ServerName<'static>, Failure> {
        ServerName::try_from(self.host.clone())
            .map_err(|_| Failure::new(Kind::Tls, format!("{} is no name that TLS can verify", self.host)))
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The network's proxy, as far as this upstream goes through it.
struct Hop {
    peer: Peer,
    tls: bool,
    auth: Option<HeaderValue>,
}

/// How upstream is secured.
enum Security {
    Plain,
    Tls(Tls),
    /// It should be, and cannot.
    Broken(Failure),
}

/// Makes connections to one upstream.
pub(super) struct Dialler {
    upstream: Peer,
    hop: Option<Hop>,
    security: Security,
    limit: Duration,
}

/// A connection, made.
pub(super) struct Dialled {
    pub(super) io: Io,
    /// Both agreed on HTTP/2.
    pub(super) http2: bool,
    /// How it was made.
    pub(super) route: RouteV1,
}

/// Where a dial has got to, for the words of a timeout.
const STEPS: [&str; 5] = [
    "looking up its name",
    "connecting",
    "TLS with the network's proxy",
    "CONNECT through the network's proxy",
    "TLS",
];

impl Dialler {
    /// Dials `target` the way that `network` says, for `limit` at most. With it, what is wrong with `network`.
    pub(super) fn new(target: &Target, network: &Network, limit: Duration) -> (Self, Option<String>) {
        let uri = target.base();
        let upstream = Peer::of(&uri).unwrap_or(Peer { host: String::new(), port: 0 });
        if uri.scheme_str() != Some("https") {
            return (Dialler { upstream, hop: None, security: Security::Plain, limit }, None);
        }
        let hop = if upstream.is_loopback() { None } else { hop(&uri, network) };
        let (security, problem) = match super::tls::load(network) {
            Ok(tls) => {
                let problem = tls.without.as_ref().map(ToString::to_string);
                (Security::Tls(tls), problem.or_else(|| network.unusable.clone()))
            }
            Err(error) => {
                let words = error.to_string();
                (Security::Broken(Failure::new(Kind::Tls, words.clone())), Some(words))
            }
        };
        (Dialler { upstream, hop, security, limit }, problem)
    }

    /// Whether connections may turn out to be HTTP/2.
    pub(super) fn may_be_http2(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    /// Makes a connection.
    pub(super) async fn dial(&self) -> Result<Dialled, Failure> {
        if let Security::Broken(failure) = &self.security {
            return Err(failure.clone());
        }
        let step = AtomicU8::new(0);
        if let Ok(done) = tokio::time::timeout(self.limit, self.steps(&step)).await {
            return done;
        }
        let (step, limit) = (STEPS[usize::from(step.load(Ordering::Relaxed))], self.limit.as_secs_f64());
        let words = format!("no connection to {} within {limit} s: {step} took too long", self.upstream);
        Err(Failure::new(Kind::Timeout, words))
    }

    async fn steps(&self, step: &AtomicU8) -> Result<Dialled, Failure> {
        let at = |n| step.store(n, Ordering::Relaxed);
        let first = self.hop.as_ref().map_or(&self.upstream, |hop| &hop.peer);
        let mut route = RouteV1 { tunnelled: self.hop.is_some(), ..RouteV1::default() };

        let begun = Instant::now();
        let addresses = resolve(first).await.map_err(|failure| self.by_hop(failure))?;
        route.resolve_us = Some(micros(begun));
        at(1);
        let begun = Instant::now();
        let tcp = connect(first, addresses).await.map_err(|failure| self.by_hop(failure))?;
        route.peer = tcp.peer_addr().ok().map(|peer| peer.to_string());
        tune(&tcp);

        let Security::Tls(tls) = &self.security else {
            route.connect_us = Some(micros(begun));
            return Ok(dialled(Stream::Tcp(tcp), false, route));
        };
        let Some(hop) = &self.hop else {
            route.connect_us = Some(micros(begun));
            at(4);
            let secured = self.secure(tls, tcp, &mut route).await?;
            return Ok(dialled(Stream::Tls(Box::new(secured.0)), secured.1, route));
        };
        let to = self.upstream.to_string();
        if hop.tls {
            at(2);
            let outer = secure(&tls.proxy, tcp, &hop.peer).await.map_err(|failure| self.by_hop(failure))?;
            at(3);
            let through = tunnel::open(outer, &to, hop.auth.as_ref()).await?;
            route.connect_us = Some(micros(begun));
            at(4);
            let secured = self.secure(tls, through, &mut route).await?;
            Ok(dialled(Stream::Nested(Box::new(secured.0)), secured.1, route))
        } else {
            at(3);
            let through = tunnel::open(tcp, &to, hop.auth.as_ref()).await?;
            route.connect_us = Some(micros(begun));
            at(4);
            let secured = self.secure(tls, through, &mut route).await?;
            Ok(dialled(Stream::Tls(Box::new(secured.0)), secured.1, route))
        }
    }

    /// TLS with upstream, and whether both agreed on HTTP/2.
    async fn secure<T>(&self, tls: &Tls, io: T, route: &mut RouteV1) -> Result<(TlsStream<T>, bool), Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let begun = Instant::now();
        let secured = secure(&tls.upstream, io, &self.upstream).await?;
        route.tls_us = Some(micros(begun));
        let http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((secured, http2))
    }

    /// A failure on the way to the network's proxy is the proxy's, not upstream's.
    fn by_hop(&self, failure: Failure) -> Failure {
        match &self.hop {
            Some(_) if failure.kind != Kind::Timeout => {
                Failure::new(Kind::Proxy, format!("the network's proxy: {}", failure.words))
            }
            _ => failure,
        }
    }
}

/// The proxy that `network` has for `uri`.
fn hop(uri: &Uri, network: &Network) -> Option<Hop> {
    let url = network.https_proxy.as_deref()?;
    let matcher = Matcher::builder().https(url.to_owned()).no(network.no_proxy.clone()).build();
    let proxy = matcher.intercept(uri)?;
    let peer = Peer::of(proxy.uri())?;
    // Without a port in its URL, a proxy is where curl and Node look for it: where its scheme says.
    Some(Hop { peer, tls: proxy.uri().scheme_str() == Some("https"), auth: proxy.basic_auth().cloned() })
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The addresses of a peer, the families in turn, so that a broken one costs one attempt and not all.
async fn resolve(peer: &Peer) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(ip) = peer.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, peer.port)]);
    }
    let failed =
        |why: String| Failure::new(Kind::Resolve, format!("the name {} does not resolve{why}", peer.host));
    let found = tokio::net::lookup_host((peer.host.as_str(), peer.port)).await;
    let found: Vec<_> = found.map_err(|e| failed(format!(" ({})", detail(&e))))?.collect();
    let Some(first) = found.first() else { return Err(failed(String::new())) };
    Ok(interleave(&found, first.is_ipv6()))
}

/// What the resolver said, without the system's own preamble.
fn detail(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or_else(|| text.clone(), |(_, rest)| rest.to_owned())
}

fn interleave(addresses: &[SocketAddr], ipv6_first: bool) -> Vec<SocketAddr> {
    let (first, other): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| a.is_ipv6() == ipv6_first);
    let longest = first.len().max(other.len());
    (0..longest).flat_map(|n| [first.get(n), other.get(n)]).flatten().copied().collect()
}

/// Connects to the first address that answers. The next one is tried as soon as one fails, or beside it when it takes
/// long.
async fn connect(peer: &Peer, addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
    if let [only] = addresses[..] {
        return TcpStream::connect(only).await.map_err(|e| Failure::connecting(&peer.to_string(), &e));
    }
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = if waiting.len() > 0 {
            match tokio::time::timeout(NEXT_ADDRESS, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        } else {
            attempts.join_next().await
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(failed))) => error = failed,
            Some(Err(_)) => {}
            None => return Err(Failure::connecting(&peer.to_string(), &error)),
        }
    }
}

/// Sets a socket up. Where the system refuses, the connection works all the same.
fn tune(tcp: &TcpStream) {
    // Events are small and must not wait for each other.
    let _ = tcp.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(tcp, true);
    #[cfg(target_os = "linux")]
    {
        // No TCP_USER_TIMEOUT: it would also end a connection whose peer is well and does not read for a while.
        let _ = sockopt::set_tcp_keepidle(tcp, TCP_KEEPALIVE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = TCP_KEEPALIVE;
}

fn dialled(stream: Stream, http2: bool, route: RouteV1) -> Dialled {
    Dialled { io: Io::new(stream), http2, route }
}

/// TLS on `io` with whom it leads to.
async fn secure<T>(config: &Arc<ClientConfig>, io: T, whom: &Peer) -> Result<TlsStream<T>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let connector = TlsConnector::from(Arc::clone(config));
    connector.connect(whom.name()?, io).await.map_err(|e| Failure::negotiating(&whom.to_string(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uri: &str) -> Peer {
        Peer::of(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn ports_and_loopback_are_known() {
        assert_eq!(peer("https://api.example").to_string(), "api.example:443");
        assert_eq!(peer("http://[::1]").to_string(), "[::1]:80");
        for loopback in ["http://localhost:1", "https://[::1]:2", "https://127.0.0.9", "https://a.LOCALHOST"]
        {
            assert!(peer(loopback).is_loopback(), "{loopback}");
        }
        assert!(!peer("https://localhost.example").is_loopback());
    }

    #[test]
    fn the_networks_proxy_is_for_others_than_loopback_and_no_proxy() {
        let network = Network {
            https_proxy: Some("https://user:secret@proxy.example:3129".into()),
            no_proxy: "internal.example".into(),
            ..Network::default()
        };
        let through = hop(&"https://api.example".parse().unwrap(), &network).unwrap();
        assert_eq!((through.peer.to_string().as_str(), through.tls), ("proxy.example:3129", true));
        assert!(through.auth.is_some());
        assert!(hop(&"https://a.internal.example".parse().unwrap(), &network).is_none());
        let target = |url: &str| Target::new(&url.parse().unwrap()).unwrap();
        let dialler = |url| Dialler::new(&target(url), &network, Duration::from_secs(1)).0;
        assert!(dialler("https://api.example").hop.is_some());
        assert!(dialler("https://localhost:1").hop.is_none());
        assert!(dialler("http://api.example").hop.is_none());
    }

    #[test]
    fn families_take_turns() {
        let all: Vec<SocketAddr> =
            ["[::1]:1", "[::2]:1", "1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"].map(|a| a.parse().unwrap()).into();
        let turns = interleave(&all, true).into_iter().map(|a| a.to_string()).collect::<Vec<_>>();
        assert_eq!(turns, ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "1.0.0.3:1"]);
    }

    #[tokio::test]
    async fn every_address_is_tried() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        // Nobody listens there: it is bound, and closed again.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let peer = peer("http://both.example");
        assert!(connect(&peer, vec![gone, here]).await.is_ok());
        let failure = connect(&peer, vec![gone, gone]).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Connect);
        assert!(failure.words.contains("connection refused"), "{failure}");
    }
}
