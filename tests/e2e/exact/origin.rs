//! An upstream that plays a script, over TCP or TLS, and remembers byte for byte what it was asked.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ccd_tests::harness::raw::{Message, MessageReader};
use ccd_tests::harness::{PATIENCE, TestHome, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::client::Way;

/// One end of a connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Server(tls) => &tls.sock,
            Stream::Client(tls) => &tls.sock,
        }
    }

    /// A TCP stream whose waits are bounded and whose writes go out at once.
    pub(crate) fn plain(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(2 * PATIENCE)).unwrap();
        Stream::Plain(tcp)
    }

    /// The same, as a client over TLS.
    pub(crate) fn over_tls(tcp: TcpStream, config: Arc<ClientConfig>) -> Self {
        let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        Stream::Client(Box::new(StreamOwned::new(connection, tcp)))
    }

    /// Ends the connection.
    pub(crate) fn end(mut self, how: Cut) {
        match how {
            // Its farewell, where TLS has one, and a FIN.
            Cut::Fin => match &mut self {
                Stream::Plain(_) => {}
                Stream::Server(tls) => {
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
                Stream::Client(tls) => {
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
            },
            Cut::NoFarewell => {}
            Cut::Rst => {
                rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO)).unwrap();
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(buffer),
            Stream::Server(tls) => tls.read(buffer),
            Stream::Client(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.write(buffer),
            Stream::Server(tls) => tls.write(buffer),
            Stream::Client(tls) => tls.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.flush(),
            Stream::Server(tls) => tls.flush(),
            Stream::Client(tls) => tls.flush(),
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As one ends it that means to.
    Fin,
    /// With a reset.
    Rst,
    /// By a FIN without TLS's `close_notify`.
    NoFarewell,
}

/// What the upstream does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes this.
    Send(Vec<u8>),
    /// Writes what this makes of this number, which is too much to be kept.
    Make(fn(usize) -> Vec<u8>, usize),
    /// Waits until the client counted so many bytes.
    Await(Arc<AtomicU64>, u64),
    /// Waits: a stall is what is tested.
    Stall(Duration),
    /// Ends the connection.
    End(Cut),
}

/// What the upstream does with one request, once it has the head. The body is read before the first byte is sent, or
/// after all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    /// Reads the body after all, if then.
    pub(crate) early: bool,
}

impl Script {
    /// Reads all, then writes these pieces.
    pub(crate) fn answer(pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Script { steps: pieces.into_iter().map(|piece| Step::Send(piece.into())).collect(), early: false }
    }

    /// Does this without having read the body.
    pub(crate) fn steps(steps: Vec<Step>) -> Self {
        Script { steps, early: true }
    }
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    seen: Mutex<Vec<Message>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    written: AtomicU64,
}

/// What is wrong with an upstream's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    UnknownRoot,
    WrongName,
    Expired,
}

pub(super) struct Tls {
    dir: tempfile::TempDir,
    client: Arc<ClientConfig>,
}

impl Tls {
    fn roots(&self) -> PathBuf {
        self.dir.path().join("roots.pem")
    }
}

/// The upstream.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<Tls>,
}

impl Origin {
    /// One that speaks HTTP/1.1 over TCP.
    pub(crate) fn plain() -> Self {
        let shared = Arc::<Shared>::default();
        let address = listen(Arc::clone(&shared), |tcp| Some(Stream::plain(tcp)));
        Origin { address, shared, tls: None }
    }

    /// One that speaks HTTP/1.1 over TLS, as `localhost`.
    pub(crate) fn tls(flaw: Flaw) -> Self {
        let (mut server, tls) = certificate(flaw);
        server.alpn_protocols = vec!["http/1.1".into()];
        let server = Arc::new(server);
        let shared = Arc::<Shared>::default();
        let address = listen(Arc::clone(&shared), move |tcp| {
            let Stream::Plain(mut tcp) = Stream::plain(tcp) else { return None };
            let mut connection = ServerConnection::new(Arc::clone(&server)).unwrap();
            // Who does not trust us goes away here.
            while connection.is_handshaking() {
                connection.complete_io(&mut tcp).ok()?;
            }
            Some(Stream::Server(Box::new(StreamOwned::new(connection, tcp))))
        });
        Origin { address, shared, tls: Some(tls) }
    }

    /// One that somebody else plays behind TLS: at `address`, with what [`certificate`] made.
    pub(super) fn elsewhere(address: SocketAddr, tls: Tls) -> Self {
        Origin { address, shared: Arc::default(), tls: Some(tls) }
    }

    /// A home whose proxy sends here and trusts our authority.
    pub(crate) fn home(&self) -> TestHome {
        match &self.tls {
            None => TestHome::new(&format!("http://{}", self.address)),
            Some(tls) => {
                let home = TestHome::new(&format!("https://localhost:{}", self.address.port()));
                let roots = home.user().join("roots.pem");
                std::fs::copy(tls.roots(), &roots).unwrap();
                home.with_env("SSL_CERT_FILE", roots)
            }
        }
    }

    /// The way here without the proxy.
    pub(crate) fn direct(&self) -> Way {
        Way::direct(self.address, self.tls.as_ref().map(|tls| Arc::clone(&tls.client)))
    }

    /// What is done with the next requests, in their order.
    pub(crate) fn play(&self, scripts: impl IntoIterator<Item = Script>) {
        self.shared.scripts.lock().unwrap().extend(scripts);
    }

    /// Forgets what is left of a conversation that failed.
    pub(crate) fn reset(&self) {
        self.shared.scripts.lock().unwrap().clear();
        self.shared.seen.lock().unwrap().clear();
    }

    /// What was asked since the last time; fails unless that were so many requests.
    #[track_caller]
    pub(crate) fn seen(&self, number: usize) -> Vec<Message> {
        eventually("upstream has read its requests", || {
            let seen = self.shared.seen.lock().unwrap();
            (seen.len() >= number).then_some(())
        });
        let seen = std::mem::take(&mut *self.shared.seen.lock().unwrap());
        assert_eq!(seen.len(), number, "requests that upstream saw: {seen:?}");
        seen
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::SeqCst)
    }

    /// What was asked since the last time, whatever it is.
    pub(crate) fn so_far(&self) -> Vec<Message> {
        // A request that breaks off is seen when its connection has ended.
        let (made, _) = self.connections();
        let _ = ccd_tests::harness::poll(Duration::from_millis(300), || {
            (self.connections().1 == made || !self.shared.seen.lock().unwrap().is_empty()).then_some(())
        });
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// Connections made so far, and those of them that are over.
    pub(crate) fn connections(&self) -> (usize, usize) {
        (self.shared.connections.load(Ordering::SeqCst), self.shared.ended.load(Ordering::SeqCst))
    }
}

/// An authority and a certificate of `localhost`, which may lack something; and who trusts the authority.
pub(super) fn certificate(flaw: Flaw) -> (ServerConfig, Tls) {
    let authority = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, trusted) = (authority(), authority());
    let trusted = if flaw == Flaw::UnknownRoot { &trusted } else { &ours };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("roots.pem"), trusted.pem()).unwrap();
    let name = if flaw == Flaw::WrongName { "elsewhere.example" } else { "localhost" };
    let mut params = CertificateParams::new(vec![name.into()]).unwrap();
    if flaw == Flaw::Expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &ours).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(trusted.der().to_vec())).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, Tls { dir, client: Arc::new(client) })
}

/// Serves until the test's process ends.
fn listen(
    shared: Arc<Shared>,
    open: impl Fn(TcpStream) -> Option<Stream> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(open);
    std::thread::spawn(move || {
        while let Ok((tcp, _)) = listener.accept() {
            let (shared, open) = (Arc::clone(&shared), Arc::clone(&open));
            shared.connections.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                if let Some(stream) = open(tcp) {
                    serve(stream, &shared);
                }
                shared.ended.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    address
}

/// One connection: each request gets the next script. A peer that goes away ends it.
fn serve(stream: Stream, shared: &Shared) {
    let mut reader = MessageReader::new(stream);
    // An idle connection rests for as long as the proxy keeps it.
    loop {
        let _ = reader.stream().tcp().set_read_timeout(None);
        let Some(head) = reader.head() else { return };
        let _ = reader.stream().tcp().set_read_timeout(Some(2 * PATIENCE));
        let Some(script) = shared.scripts.lock().unwrap().pop_front() else {
            shared.seen.lock().unwrap().push(Message {
                interim: Vec::new(),
                head,
                body: Vec::new(),
                trailers: Vec::new(),
                end: ccd_tests::harness::raw::End::Cut,
            });
            return;
        };
        let expects = head.header("expect").is_some();
        let mut unread = Some(head);
        let mut read = |reader: &mut MessageReader<Stream>| {
            if let Some(head) = unread.take() {
                if expects {
                    let _ = reader.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                let message = reader.request_body(head);
                shared.seen.lock().unwrap().push(message);
            }
        };
        if !script.early {
            read(&mut reader);
        }
        for step in script.steps {
            match step {
                Step::Send(bytes) => {
                    if send(&mut reader, &bytes, shared).is_err() {
                        read(&mut reader);
                        return;
                    }
                }
                Step::Make(make, n) => {
                    if send(&mut reader, &make(n), shared).is_err() {
                        return;
                    }
                }
                Step::Await(counted, bytes) => {
                    let begun = Instant::now();
                    while counted.load(Ordering::SeqCst) < bytes {
                        if begun.elapsed() > PATIENCE {
                            return;
                        }
                        // In a thousand cuts, the harness's own step would be most of the time.
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
                Step::Stall(long) => std::thread::sleep(long),
                Step::End(how) => {
                    reader.into_stream().end(how);
                    return;
                }
            }
        }
        read(&mut reader);
    }
}

/// Writes, and counts what was taken.
fn send(reader: &mut MessageReader<Stream>, mut bytes: &[u8], shared: &Shared) -> std::io::Result<()> {
    let stream = reader.stream();
    while !bytes.is_empty() {
        let n = stream.write(bytes)?;
        shared.written.fetch_add(n as u64, Ordering::SeqCst);
        bytes = &bytes[n..];
    }
    stream.flush()
}
