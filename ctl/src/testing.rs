//! What the unit tests stand on: a throw-away home, a fake daemon in this process, a fake runner of programs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use ccd_proto::paths::Layout;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::tz::TimeZone;
use tokio::sync::oneshot;

use crate::env::Env;
use crate::exec::{Invocation, Outcome, Runner};

/// The token of every test installation.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A throw-away home directory.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    vars: BTreeMap<String, OsString>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("ccctl").tempdir().unwrap();
        let vars = [("HOME", dir.path().to_owned()), ("CCD_HOME", dir.path().join("ccd"))]
            .map(|(k, v)| (k.to_owned(), v.into_os_string()));
        Home { dir, vars: vars.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// With a variable set.
    pub(crate) fn var(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn env(&self) -> Env {
        self.env_with(|invocation| panic!("unexpected program: {}", invocation.line()))
    }

    pub(crate) fn env_with(&self, runner: impl Fn(&Invocation) -> Outcome + 'static) -> Env {
        let vars = self.vars.clone();
        let lookup = move |name: &str| vars.get(name).cloned();
        Env {
            layout: Layout::resolve(&lookup).unwrap(),
            vars: Box::new(lookup),
            now: "2026-11-20T21:30:00Z".parse().unwrap(),
            clock: || "2026-11-21T08:00:00Z".parse().unwrap(),
            tz: TimeZone::UTC,
            exe: self.path().join("bin/ccctl"),
            cwd: self.path().to_owned(),
            managed: self.path().join("etc/claude-code"),
            runner: Box::new(Fake(Box::new(runner))),
        }
    }

    /// Writes a file below the home, with its directories.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path().join(path)).ok()
    }

    /// The programs that an installation needs, as files that are never run, and a path token.
    pub(crate) fn programs(&self) {
        use std::os::unix::fs::PermissionsExt;
        for name in ["ccctl", "ccd", "cc-hook", "claude"] {
            let path = self.write(&format!("bin/{name}"), "");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.write("ccd/state/token", TOKEN);
    }

    /// Every file below the home but ccd's own, with its content: what install and uninstall must not change.
    pub(crate) fn foreign_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![self.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                if path == self.path().join("ccd") {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    found.insert(path.clone(), b"<dir>".to_vec());
                    dirs.push(path);
                } else {
                    found.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    pub(crate) fn socket(&self) -> PathBuf {
        let socket = self.env().layout.control_socket();
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&socket);
        socket
    }

    /// A socket file that nobody listens on.
    pub(crate) fn listen_and_die(&self) -> std::os::unix::net::UnixListener {
        std::os::unix::net::UnixListener::bind(self.socket()).unwrap()
    }

    /// A daemon that answers as `handler` says, on the control socket and on a proxy port.
    pub(crate) fn daemon(&self, handler: impl Fn(&Request<()>) -> Reply + Send + Sync + 'static) -> Daemon {
        Daemon::start(Some(self.socket()), handler)
    }
}

struct Fake(Box<dyn Fn(&Invocation) -> Outcome>);

impl Runner for Fake {
    fn run(&self, invocation: &Invocation) -> io::Result<Outcome> {
        Ok((self.0)(invocation))
    }
}

/// A program that went well and printed this.
pub(crate) fn said(stdout: &str) -> Outcome {
    Outcome { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() }
}

/// What a fake daemon answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    body: Bytes,
    headers: HeaderMap,
}

impl Reply {
    pub(crate) fn status(status: u16, body: impl Into<Bytes>) -> Self {
        Reply { status, body: body.into(), headers: HeaderMap::new() }
    }

    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Reply::status(200, body).header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }
}

/// A fake daemon; it ends when it is dropped.
pub(crate) struct Daemon {
    pub(crate) proxy: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    pub(crate) fn start(
        socket: Option<PathBuf>,
        handler: impl Fn(&Request<()>) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let (stop, mut stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let unix = socket.map(|path| tokio::net::UnixListener::bind(path).unwrap());
                ready.send(tcp.local_addr().unwrap()).unwrap();
                let handler = Arc::new(handler);
                loop {
                    let serve = |io: Box<dyn Stream>| {
                        let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                        tokio::spawn(async move {
                            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                                let request = request.map(|_| ());
                                seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
                                let reply = handler(&request);
                                let mut response = Response::new(Full::new(reply.body));
                                *response.status_mut() = reply.status.try_into().unwrap();
                                *response.headers_mut() = reply.headers;
                                async move { Ok::<_, Infallible>(response) }
                            });
                            let _ = hyper::server::conn::http1::Builder::new()
                                .serve_connection(TokioIo::new(io), service)
                                .await;
                        });
                    };
                    let control = async {
                        match &unix {
                            Some(unix) => unix.accept().await.unwrap().0,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        _ = &mut stopped => break,
                        stream = control => serve(Box::new(stream)),
                        stream = tcp.accept() => serve(Box::new(stream.unwrap().0)),
                    }
                }
            });
        });
        Daemon { proxy: is_ready.recv().unwrap(), requests, stop: Some(stop), thread: Some(thread) }
    }

    /// A web server that is no daemon.
    pub(crate) fn none() -> Self {
        Daemon::start(None, |_| Reply::status(404, "nothing here"))
    }

    /// Every request so far: method and target.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let _ = self.thread.take().unwrap().join();
    }
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}
