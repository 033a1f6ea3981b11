//! A port that is always answered: workers that die, are replaced, are stopped or cannot start, and the supervisor
//! itself killed. No connection is refused, no stream is cut that somebody did not kill.

mod crashes;
mod held;
mod holder;
mod ladder;
mod life;
mod notify;
mod real;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::Command;

use ccd_tests::harness::wire::{BodyEnd, Upstream, Wire};
use ccd_tests::harness::{TestHome, binary};
use ccd_tests::mock::{Block, Reply, Script, reply, sha256};
use rustix::process::{Pid, test_kill_process};

use crate::proxy::Proxy;

/// What a streamed answer begins with.
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nrequest-id: r\r\n\r\n";
const FIRST: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
    \"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-5-5\",\"content\":[],\"usage\":\
    {\"input_tokens\":10,\"output_tokens\":1}}}\n\n";
/// What its last events are.
const LAST: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\
    \"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A stream with both of its ends in the test's hands, and what has been sent so far.
pub(crate) struct Stream {
    name: String,
    client: Wire,
    api: Wire,
    sent: String,
    events: usize,
}

impl Stream {
    pub(crate) fn open(name: &str, proxy: &Proxy, upstream: &Upstream) -> Self {
        let mut client = proxy.connect();
        client.send(proxy.message(name, "hi", true));
        let mut api = upstream.accept();
        let _ = (api.read_head(), api.read_rest());
        api.send(HEAD);
        assert_eq!(client.read_head().status(), 200);
        let mut stream = Stream { name: name.into(), client, api, sent: String::new(), events: 0 };
        stream.pass(FIRST);
        stream
    }

    /// Bytes that arrive before anything else happens.
    fn pass(&mut self, text: &str) {
        self.send(text);
        self.receive(text);
    }

    /// Sends without looking for the arrival.
    fn send(&mut self, text: &str) {
        self.api.send_chunk(text);
        self.sent.push_str(text);
    }

    /// Looks for the arrival of what was sent.
    fn receive(&mut self, text: &str) {
        assert_eq!(self.client.read_body(text.len()), text.as_bytes(), "stream {}", self.name);
    }

    /// One more event.
    pub(crate) fn step(&mut self) {
        let (name, n) = (&self.name, self.events);
        let event = format!("event: ping\ndata: {{\"type\":\"ping\",\"stream\":\"{name}\",\"n\":{n}}}\n\n");
        self.events += 1;
        self.pass(&event);
    }

    /// Its last events, and the hash of all of them.
    pub(crate) fn end(mut self) -> String {
        self.pass(LAST);
        self.api.send("0\r\n\r\n");
        assert_eq!(self.client.read_rest(), (Vec::new(), BodyEnd::Whole));
        sha256(self.sent.as_bytes())
    }
}

/// Whether a process runs; one that has ended and that nobody has taken note of does not.
fn is_alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) if cfg!(target_os = "linux") => false,
        Err(_) => Pid::from_raw(pid.cast_signed()).is_some_and(|pid| test_kill_process(pid).is_ok()),
    }
}

/// A long answer in many pieces.
fn long(words: usize) -> Reply {
    reply().block(Block::Text { text: "word ".repeat(words), deltas: words, citations: Vec::new() })
}

/// Answers `SHORT` at once.
pub(crate) fn short() -> Script {
    Script::new().on("SHORT", [reply().text("A short answer.")])
}

/// One request on a connection of its own: its answer, or none if the connection ended first.
pub(crate) fn ask(proxy: &Proxy, session: &str) -> Option<(u16, Vec<u8>)> {
    let mut wire = proxy.try_connect().expect("no connection is refused");
    wire.try_send(proxy.message(session, "SHORT", true)).ok()?;
    let status = wire.try_head()?.status();
    let (body, end) = wire.read_rest();
    (end == BodyEnd::Whole).then_some((status, body))
}

/// A copy of the product's programs that a test may replace.
pub(crate) struct Installed {
    dir: PathBuf,
}

impl Installed {
    pub(crate) fn new(home: &TestHome) -> Self {
        let dir = home.user().join("bin");
        std::fs::create_dir_all(&dir).unwrap();
        let installed = Installed { dir };
        installed.put("ccctl", &binary("ccctl"));
        installed.put("ccd", &binary("ccd"));
        installed
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Puts another file in a program's place, as an installer does: written aside, then renamed.
    pub(crate) fn put(&self, name: &str, from: &Path) {
        let aside = self.dir.join(".new");
        std::fs::copy(from, &aside).unwrap();
        std::fs::rename(aside, self.program(name)).unwrap();
    }

    /// Puts a script in a program's place.
    pub(crate) fn put_script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let aside = self.dir.join(".script");
        std::fs::write(&aside, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&aside, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(aside, self.program(name)).unwrap();
    }

    pub(crate) fn command(&self, home: &TestHome, name: &str) -> Command {
        home.command(&self.program(name))
    }
}
