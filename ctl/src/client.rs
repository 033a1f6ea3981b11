//! The only way to the daemon: HTTP/1.1 over its control socket, and the one request to its proxy that proves
//! a base URL is answered.
//!
//! Each request has a connection of its own; nothing is kept between them. Must never hang on a daemon that
//! does not answer, and must never send the path token anywhere but to a loopback address that
//! the user's own settings name.

use std::future::Future;
use std::io;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_proto::api::{ApiError, ErrorReply};
use ccd_proto::paths::Layout;
use ccd_proto::{API_VERSION, VERSION};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{self, SignalKind};

use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::printer::Printer;
use crate::{marks, supervisor};

/// How long the daemon may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a supervised daemon's socket may be away: it is handed from one worker to the next.
const CHANGING_HANDS: Duration = Duration::from_secs(5);

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

/// Asks the daemon.
pub struct Client<'a> {
    env: &'a Env,
    runtime: Runtime,
    /// Whether a daemon that speaks another version of the control API is heard, too.
    any_version: bool,
    patience: Duration,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
}

/// Signals that ask a command in the foreground to end.
pub struct Signals {
    int: unix::Signal,
    term: unix::Signal,
    hup: unix::Signal,
}

impl Signals {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
            _ = self.hup.recv() => {}
        }
    }
}

impl<'a> Client<'a> {
    /// A client of this installation's daemon; nothing is sent yet.
    pub fn new(env: &'a Env) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Client { env, runtime, any_version: false, patience: PATIENCE })
    }

    /// A client for what is asked of a daemon of any version: what it is, and to stop.
    pub fn of_any_version(env: &'a Env) -> Result<Self> {
        Ok(Client { any_version: true, ..Self::new(env)? })
    }

    /// The same client, which waits no longer than this for an answer to begin.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether somebody listens on the control socket.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        let socket = self.env.layout.control_socket();
        self.runtime.block_on(async { UnixStream::connect(socket).await.is_ok() })
    }

    /// The signals that ask a command in the foreground to end, caught from now on.
    pub fn signals(&self) -> Result<Signals> {
        let _inside = self.runtime.enter();
        let caught = |kind| unix::signal(kind).map_err(CommandError::from);
        Ok(Signals {
            int: caught(SignalKind::interrupt())?,
            term: caught(SignalKind::terminate())?,
            hup: caught(SignalKind::hangup())?,
        })
    }

    /// Asks with GET and hands the reply over piece by piece, as it arrives, until it ends, `take` fails, or a signal
    /// asks to end. Says whether one did. The first piece is an empty one: the daemon has begun its answer.
    pub fn follow(
        &self,
        out: &mut Printer,
        target: &str,
        signals: Option<&mut Signals>,
        mut take: impl FnMut(&mut Printer, &[u8]) -> Result<()>,
    ) -> Result<bool> {
        let signal = async {
            match signals {
                Some(signals) => signals.recv().await,
                None => std::future::pending().await,
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                done = self.pieces(out, Method::GET, target, Bytes::new(), &mut take) => done.map(|()| false),
                () = signal => Ok(true),
            }
        })
    }

    /// Waits for a signal, and no longer than this. Says whether one came.
    pub fn pause(&self, signals: &mut Signals, limit: Duration) -> bool {
        self.runtime.block_on(async { tokio::time::timeout(limit, signals.recv()).await.is_ok() })
    }

    /// Asks with GET and returns the reply's exact bytes.
    pub fn get(&self, out: &mut Printer, target: &str) -> Result<Bytes> {
        let (head, body) = self.whole(Method::GET, target)?;
        warn_of_other_version(out, &head);
        Ok(body)
    }

    /// As [`Client::get`], and says nothing of versions.
    pub fn quietly(&self, target: &str) -> Result<Bytes> {
        self.whole(Method::GET, target).map(|(_, body)| body)
    }

    /// Asks with GET and reads the reply.
    pub fn read<T: DeserializeOwned>(&self, out: &mut Printer, target: &str) -> Result<T> {
        decode(&self.get(out, target)?)
    }

    /// Gives a command with POST.
    pub fn post(&self, target: &str) -> Result<()> {
        self.whole(Method::POST, target).map(drop)
    }

    /// Gives a command with POST and returns the reply's exact bytes.
    pub fn command(&self, out: &mut Printer, target: &str) -> Result<Bytes> {
        let (head, body) = self.whole(Method::POST, target)?;
        warn_of_other_version(out, &head);
        marks::warn(out, &head.headers);
        Ok(body)
    }

    /// Gives a command with POST, and a body; returns the reply's exact bytes.
    pub fn send(&self, out: &mut Printer, target: &str, body: Bytes) -> Result<Bytes> {
        self.runtime.block_on(async {
            let (head, answer) = self.ask_with(Method::POST, target, body).await?;
            warn_of_other_version(out, &head);
            Ok(answer.collect().await.map_err(|e| broken(&e))?.to_bytes())
        })
    }

    /// Asks with GET and hands the reply over piece by piece, as it arrives, until it ends or `take` fails.
    pub fn stream(
        &self,
        out: &mut Printer,
        target: &str,
        mut take: impl FnMut(&mut Printer, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.runtime.block_on(self.pieces(out, Method::GET, target, Bytes::new(), &mut take))
    }

    /// Gives a command with POST and hands what the daemon tells of it over piece by piece. Ctrl-C ends the waiting,
    /// with [`Kind::Interrupted`].
    pub fn watch(
        &self,
        out: &mut Printer,
        target: &str,
        take: impl FnMut(&mut Printer, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.watch_with(out, target, Bytes::new(), take)
    }

    /// As [`Client::watch`], with a body.
    pub fn watch_with(
        &self,
        out: &mut Printer,
        target: &str,
        body: Bytes,
        mut take: impl FnMut(&mut Printer, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.runtime.block_on(async {
            tokio::select! {
                done = self.pieces(out, Method::POST, target, body, &mut take) => done,
                Ok(()) = tokio::signal::ctrl_c() => Err(CommandError::new(Kind::Interrupted, "interrupted")),
            }
        })
    }

    async fn pieces(
        &self,
        out: &mut Printer,
        method: Method,
        target: &str,
        told: Bytes,
        take: &mut impl FnMut(&mut Printer, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (head, mut body) = self.ask_with(method, target, told).await?;
        warn_of_other_version(out, &head);
        marks::warn(out, &head.headers);
        take(out, &[])?;
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame.map_err(|e| broken(&e))?.data_ref() {
                take(out, data)?;
            }
        }
        Ok(())
    }

    fn whole(&self, method: Method, target: &str) -> Result<(Head, Bytes)> {
        self.runtime.block_on(async {
            let (head, body) = self.ask(method, target).await?;
            Ok((head, body.collect().await.map_err(|e| broken(&e))?.to_bytes()))
        })
    }

    /// Connects. While a supervisor is there, a socket that is not is only changing hands.
    async fn connect(&self, socket: &Path) -> io::Result<UnixStream> {
        let deadline = Instant::now() + CHANGING_HANDS;
        loop {
            match UnixStream::connect(socket).await {
                Err(e) if is_absence(&e) && Instant::now() < deadline => {
                    if !self.changes_hands() {
                        return Err(e);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                done => return done,
            }
        }
    }

    /// Whether a supervisor is there, whose next worker will answer.
    fn changes_hands(&self) -> bool {
        matches!(supervisor::supervision(&self.env.layout), Ok(Some(s)) if !s.refusing)
    }

    /// Whether a supervisor is there, and no worker can run.
    fn is_refused(&self) -> bool {
        matches!(supervisor::supervision(&self.env.layout), Ok(Some(s)) if s.refusing)
    }

    /// Sends a request; an error reply becomes an error.
    async fn ask(&self, method: Method, target: &str) -> Result<(Head, Incoming)> {
        self.ask_with(method, target, Bytes::new()).await
    }

    /// The same, with a body.
    async fn ask_with(&self, method: Method, target: &str, body: Bytes) -> Result<(Head, Incoming)> {
        let socket = self.env.layout.control_socket();
        let deadline = Instant::now() + CHANGING_HANDS;
        let (head, answer) = loop {
            let stream = match self.connect(&socket).await {
                Ok(stream) => stream,
                Err(e) if is_absence(&e) => return Err(supervisor::absence(&self.env.layout)),
                Err(e) => {
                    return Err(CommandError::failed(format!(
                        "cannot reach the daemon at {}: {e}",
                        socket.display()
                    )));
                }
            };
            let request = request(&method, target, body.clone())?;
            match limited(self.patience, exchange(stream, request)).await {
                // Asked of a daemon on its way out: its successor answers.
                Err(e)
                    if e.kind == Kind::Disconnected
                        && method == Method::GET
                        && Instant::now() < deadline
                        && self.changes_hands() =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                // A socket that a service manager holds is there although nobody can answer: the supervisor hangs up.
                Err(e) if e.kind == Kind::Disconnected && self.is_refused() => {
                    return Err(supervisor::absence(&self.env.layout));
                }
                done => break done?,
            }
        };
        if !self.any_version {
            same_language(&head)?;
        }
        if head.status.is_success() {
            return Ok((head, answer));
        }
        let body = answer.collect().await.map_err(|e| broken(&e))?.to_bytes();
        Err(refused(&head, &body))
    }

    /// Asks `base_url` for its `/.ccd/ping`, which our proxy answers by itself. Returns its version.
    pub fn ping(&self, base_url: &str) -> Result<String> {
        let failed = |why: String| {
            CommandError::failed(format!("{} is not answered by ccd: {why}", without_token(base_url)))
        };
        let (authority, path) = split_url(base_url).ok_or_else(|| failed("it is no http:// URL".into()))?;
        let request = Request::builder()
            .uri(format!("{}/.ccd/ping", path.trim_end_matches('/')))
            .header(http::header::HOST, authority)
            .body(Full::new(Bytes::new()))
            .map_err(|e| failed(e.to_string()))?;
        let head = self.runtime.block_on(async {
            let asked =
                async { exchange(TcpStream::connect(authority).await?, request).await.map(|(head, _)| head) };
            limited(self.patience, asked).await.map_err(|e| failed(e.message))
        })?;
        let version = head.headers.get("ccd-version").and_then(|v| v.to_str().ok());
        match (head.status, version) {
            (StatusCode::NO_CONTENT, Some(version)) => Ok(version.to_owned()),
            (status, _) => Err(failed(format!("something else is listening there (HTTP {status})"))),
        }
    }
}

/// Gives the daemon a command with POST on a thread of its own, for what may take long while something else is looked
/// at; its reply within `limit`.
#[must_use]
pub fn aside(layout: &Layout, target: &'static str, limit: Duration) -> JoinHandle<Result<Bytes>> {
    let socket = layout.control_socket();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(limited(limit, async {
            let stream = UnixStream::connect(&socket).await?;
            let (head, body) = exchange(stream, request(&Method::POST, target, Bytes::new())?).await?;
            let body = body.collect().await.map_err(|e| broken(&e))?.to_bytes();
            if head.status.is_success() { Ok(body) } else { Err(refused(&head, &body)) }
        }))
    })
}

/// A question or a command for the daemon.
fn request(method: &Method, target: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
    Request::builder()
        .method(method)
        .uri(target)
        .header(http::header::HOST, "ccd")
        .header("Ccd-Version", VERSION)
        .header("Ccd-Api", API_VERSION)
        .body(Full::new(body))
        .map_err(|e| CommandError::usage(format!("cannot ask for `{target}`: {e}")))
}

/// One request on a connection of its own.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(Head, Incoming)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    // Ends with the body; its errors reach us through the body as well.
    tokio::spawn(async move { _ = connection.await });
    let (parts, body) = sender.send_request(request).await.map_err(|e| broken(&e))?.into_parts();
    Ok((Head { status: parts.status, headers: parts.headers }, body))
}

async fn limited<T>(patience: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| {
        Err(CommandError::failed(format!("no answer within {} s", patience.as_secs()))
            .hint("`ccctl logs` may say why; `ccctl restart --now` starts the daemon afresh"))
    })
}

/// Reads a reply.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| {
        CommandError::failed(format!("cannot read the daemon's reply: {e}"))
            .hint("ccctl and the daemon may be of different versions: `ccctl restart` brings them together")
    })
}

fn broken(error: &hyper::Error) -> CommandError {
    let cause = std::error::Error::source(error).map(|s| format!(" ({s})")).unwrap_or_default();
    CommandError::new(Kind::Disconnected, format!("the connection to the daemon broke: {error}{cause}"))
        .hint("`ccctl logs` may say why")
}

fn refused(head: &Head, body: &[u8]) -> CommandError {
    let Ok(ErrorReply { error }) = serde_json::from_slice(body) else {
        return CommandError::failed(format!("the daemon answered HTTP {}", head.status));
    };
    told(error)
}

/// The daemon's own words.
#[must_use]
pub fn told(error: ApiError) -> CommandError {
    let failure = match error.code.as_str() {
        "bad_request" => CommandError::usage(error.message),
        "changed" => CommandError::new(Kind::Changed, error.message),
        _ => CommandError::failed(error.message),
    };
    error.hint.into_iter().fold(failure, CommandError::hint)
}

/// An answer in another version of the control API may mean anything: it is not read.
fn same_language(head: &Head) -> Result<()> {
    let header = |name| head.headers.get(name).and_then(|v| v.to_str().ok());
    let Some(theirs) = header("ccd-api").filter(|api| api.parse() != Ok(API_VERSION)) else { return Ok(()) };
    Err(other_language(header("ccd-version").unwrap_or("of an unknown version"), theirs))
}

/// The daemon and we do not understand each other.
pub(crate) fn other_language(version: &str, api: &str) -> CommandError {
    CommandError::failed(format!(
        "the daemon is ccd {version} with control API {api}, this ccctl is {VERSION} with {API_VERSION}: they do not \
         understand each other"
    ))
    .hint("`ccctl restart` starts the ccd that lies beside this ccctl; no stream is cut")
    .hint("if this ccctl is the old one: use the one that came with the daemon (`type -a ccctl` lists them)")
}

fn warn_of_other_version(out: &mut Printer, head: &Head) {
    let Some(theirs) = head.headers.get("ccd-version").and_then(|v| v.to_str().ok()) else { return };
    if theirs != VERSION {
        out.warn(format!(
            "the daemon is version {theirs}, ccctl is {VERSION}: `ccctl restart` starts the installed one"
        ));
    }
}

/// `http://AUTHORITY/PATH` in its two parts.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    (!authority.is_empty()).then_some((authority, path))
}

/// A base URL for messages: the token in its path stays out of them.
#[must_use]
pub fn without_token(url: &str) -> String {
    split_url(url).map_or_else(|| url.to_owned(), |(authority, _)| format!("http://{authority}/…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Daemon, Home, Reply};
    use ccd_proto::api::{Reply as Envelope, Sessions};

    #[test]
    fn no_socket_and_a_dead_socket_are_a_daemon_that_is_not_running() {
        let home = Home::new();
        let ask = || Client::new(&home.env()).unwrap().post("/v0/stop").unwrap_err();
        assert_eq!(ask().exit_code(), 3);
        drop(home.listen_and_die());
        assert_eq!(ask().exit_code(), 3);
        assert!(ask().hints[0].contains("ccctl start"));
    }

    #[test]
    fn replies_are_read_and_versions_sent() {
        let home = Home::new();
        let daemon = home.daemon(|request| {
            assert_eq!(request.headers()["ccd-api"], "1");
            assert_eq!(request.headers()["host"], "ccd");
            Reply::json(r#"{"schema_version":1,"sessions":[{"session_id":"s","new_field":1}]}"#)
        });
        let (mut out, _, err) = Printer::captured(80);
        let env = home.env();
        let client = Client::new(&env).unwrap();
        let got: Envelope<Sessions> = client.read(&mut out, "/v0/sessions?limit=3").unwrap();
        assert_eq!(got.body.sessions[0].session_id, "s");
        assert_eq!(daemon.requests(), ["GET /v0/sessions?limit=3"]);
        assert_eq!(err.text(), "");
    }

    #[test]
    fn refusals_carry_the_daemons_words() {
        let home = Home::new();
        let _daemon = home.daemon(|_| {
            Reply::status(404, r#"{"error":{"code":"not_found","message":"no such exchange","hint":"`ccctl exchanges` lists them"}}"#)
        });
        let error = Client::new(&home.env()).unwrap().post("/v0/x").unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::Failed, "no such exchange"));
        assert_eq!(error.hints, ["`ccctl exchanges` lists them"]);
    }

    #[test]
    fn another_version_is_a_warning() {
        let home = Home::new();
        let _daemon = home.daemon(|_| Reply::json("{}").header("ccd-version", "9.9.9"));
        let (mut out, _, err) = Printer::captured(80);
        Client::new(&home.env()).unwrap().get(&mut out, "/v0/status").unwrap();
        assert!(err.text().contains("version 9.9.9"), "{}", err.text());
        assert_eq!(err.text().lines().count(), 1);
    }

    #[test]
    fn a_ping_is_answered_by_ccd_or_by_nobody() {
        let home = Home::new();
        let daemon = home.daemon(|_| Reply::status(204, "").header("ccd-version", VERSION));
        let client_env = home.env();
        let client = Client::new(&client_env).unwrap();
        assert_eq!(client.ping(&format!("http://{}/tok", daemon.proxy)).unwrap(), VERSION);
        assert!(daemon.requests().contains(&"GET /tok/.ccd/ping".to_owned()));
        let other = Daemon::none();
        let error = client.ping(&format!("http://{}/secret", other.proxy)).unwrap_err();
        assert!(error.message.contains("something else"), "{error}");
        assert!(!error.message.contains("secret"));
        assert!(client.ping("http://127.0.0.1:1/tok").is_err());
    }
}
