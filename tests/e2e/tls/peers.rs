//! Who the proxy speaks TLS with: authorities, upstreams, and the proxy of a company's network.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

pub(super) const BODY: &str =
    r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"over TLS"}]}"#;

/// Somebody who vouches for others.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each has a name of its own: two of one name would be taken for each other.
        let name = format!("authority {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its certificate down.
    pub(super) fn write(&self, path: &Path) -> PathBuf {
        std::fs::write(path, self.0.pem()).unwrap();
        path.to_owned()
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server called `name`.
    pub(super) fn server(&self, name: &str) -> rustls::ServerConfig {
        self.server_with(name, None, |_| ())
    }

    /// [`Self::server`] whose certificate is not valid any more.
    pub(super) fn expired_server(&self, name: &str) -> rustls::ServerConfig {
        self.server_with(name, None, |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1))
    }

    /// [`Self::server`] that wants its clients vouched for by `clients`.
    pub(super) fn mutual_server(&self, name: &str, clients: &Authority) -> rustls::ServerConfig {
        self.server_with(name, Some(clients), |_| ())
    }

    fn server_with(
        &self,
        name: &str,
        clients: Option<&Authority>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> rustls::ServerConfig {
        let (certificate, key) = self.sign(name, change);
        Self::serving(&certificate, &key, clients)
    }

    /// A server called `name` whose certificate is an authority's own, signed by itself; and that certificate in PEM.
    pub(super) fn serving_itself(name: &str, expired: bool) -> (rustls::ServerConfig, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if expired {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let certificate = params.self_signed(&key).unwrap();
        (Self::serving(&certificate, &key, None), certificate.pem())
    }

    fn serving(
        certificate: &Certificate,
        key: &KeyPair,
        clients: Option<&Authority>,
    ) -> rustls::ServerConfig {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.0.pem().as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }

    /// A client's certificate and key, written down.
    pub(super) fn client(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign("client", |_| ());
        let (cert_file, key_file) = (dir.join("client.pem"), dir.join("client.key"));
        std::fs::write(&cert_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (cert_file, key_file)
    }
}

/// An upstream that answers with what it was asked. It ends with the test's process.
pub(super) struct Upstream {
    address: SocketAddr,
    name: &'static str,
    accepted: Arc<AtomicUsize>,
}

impl Upstream {
    /// One that speaks `protocol` only.
    pub(super) fn new(tls: rustls::ServerConfig, protocol: &'static str) -> Self {
        Self::start(tls, protocol, None)
    }

    /// One over HTTP/2 that answers nobody before as many as `barrier` wants have asked.
    pub(super) fn gathering(tls: rustls::ServerConfig, barrier: usize) -> Self {
        Self::start(tls, "h2", Some(Arc::new(Barrier::new(barrier))))
    }

    fn start(mut tls: rustls::ServerConfig, protocol: &'static str, barrier: Option<Arc<Barrier>>) -> Self {
        tls.alpn_protocols = vec![protocol.into()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(tls));
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let (acceptor, barrier) = (acceptor.clone(), barrier.clone());
                    tokio::spawn(async move {
                        // Who does not trust us goes away here.
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let io = TokioIo::new(stream);
                        let service = service_fn(|request| answer(request, barrier.clone()));
                        if protocol == "h2" {
                            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                            server.serve_connection(io, service).await.unwrap_or_default();
                        } else {
                            let server = hyper::server::conn::http1::Builder::new();
                            server.serve_connection(io, service).await.unwrap_or_default();
                        }
                    });
                }
            });
        });
        Upstream { address, name: "localhost", accepted }
    }

    /// Under another name, which nobody resolves but the network's proxy.
    pub(super) fn called(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}:{}", self.name, self.port())
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections that it accepted.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Answers with what it was asked: protocol, authority, and the body; or with as many bytes as `x-bytes` says.
async fn answer(
    request: hyper::Request<Incoming>,
    barrier: Option<Arc<Barrier>>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let header = |name| request.headers().get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
    let seen = format!(
        "{:?} {} {}",
        request.version(),
        request.uri().authority().map_or("-", |a| a.as_str()),
        header("host"),
    );
    let connection = request.headers().contains_key("connection");
    let bytes = header("x-bytes").parse::<usize>().ok();
    let mut body = request.into_body().collect().await.unwrap().to_bytes();
    if let Some(barrier) = barrier {
        tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
    }
    if let Some(bytes) = bytes {
        body = vec![b'x'; bytes].into();
    }
    let response = hyper::Response::builder()
        .header("x-seen", seen)
        .header("x-connection-header", connection.to_string())
        .header("request-id", "req_tls");
    Ok(response.body(Full::new(body)).unwrap())
}

/// A proxy as a company's network has one: takes CONNECT, with a password, and passes bytes on. With `tls` it is
/// spoken to over TLS. Returns its address and what it was asked for.
pub(super) fn company_proxy(tls: Option<rustls::ServerConfig>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = sync_channel(8);
    let tls = tls.map(Arc::new);
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let (tell, tls) = (tell.clone(), tls.clone());
            std::thread::spawn(move || match tls {
                None => {
                    let both = client.try_clone().unwrap();
                    relay(client, both, &tell);
                }
                Some(tls) => {
                    let (near, far) = unwrap_tls(client, tls);
                    relay(near, far, &tell);
                }
            });
        }
    });
    (address, asked)
}

/// The two ends of what is inside TLS, by way of a socket of our own.
fn unwrap_tls(client: TcpStream, tls: Arc<rustls::ServerConfig>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let inside = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (plain, _) = listener.accept().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            for stream in [&client, &inside] {
                stream.set_nonblocking(true).unwrap();
            }
            let client = tokio::net::TcpStream::from_std(client).unwrap();
            let mut inside = tokio::net::TcpStream::from_std(inside).unwrap();
            let Ok(mut client) = TlsAcceptor::from(tls).accept(client).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut client, &mut inside).await;
        });
    });
    let both = plain.try_clone().unwrap();
    (plain, both)
}

fn relay(mut from_client: TcpStream, mut to_client: TcpStream, tell: &std::sync::mpsc::SyncSender<String>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && from_client.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    // Whatever the name: all upstreams of these tests are here.
    let port =
        head.split(' ').nth(1).and_then(|to| to.rsplit_once(':')).map_or("0", |(_, port)| port).to_owned();
    tell.send(head).unwrap();
    let mut upstream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    to_client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let mut to_upstream = upstream.try_clone().unwrap();
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_upstream));
    std::thread::spawn(move || std::io::copy(&mut upstream, &mut to_client));
}
