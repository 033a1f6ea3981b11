//! The web door under attack, as raw bytes against the real programs: other names, other pages, other users, stolen codes,
//! odd requests, hundreds of connections. Whatever is refused shows nothing of what was captured, and changes nothing.

mod bytes;
mod life;
mod pages;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Control, Daemon, TestHome};
use serde_json::Value;

/// Nothing that is right gets near it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands in what was captured.
const CAPTURED: &str = "captured-and-not-for-others";

/// Every kind of route; what is asked for by POST on the socket, too.
const ROUTES: [&str; 18] = [
    "/",
    "/login",
    "/health",
    "/js/app.js",
    "/nothing",
    "/v0",
    "/v0/status",
    "/v0/sessions",
    "/v0/turns",
    "/v0/spans?content=1",
    "/v0/spans/follow?from=2020-01-01T00:00:00Z",
    "/v0/search?q=captured",
    "/v0/exchanges",
    "/v0/detections",
    "/v0/heal",
    "/v0/usage",
    "/v0/stop",
    "/v0/web/login",
];

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    #[track_caller]
    fn gives_nothing_away(&self) {
        assert!(!self.body.contains(CAPTURED), "{}\n{}", self.head, self.body);
        assert!(self.header("set-cookie").is_none(), "{}", self.head);
        self.is_protected();
    }

    /// What every answer carries.
    #[track_caller]
    fn is_protected(&self) {
        let head = &self.head;
        let csp = self.header("content-security-policy").unwrap_or_else(|| panic!("{head}"));
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
        {
            assert!(csp.contains(part), "{part}: {head}");
        }
        for (name, value) in [
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(self.header(name), Some(value), "{head}");
        }
        assert!(matches!(self.header("cache-control"), Some("no-store" | "no-cache")), "{head}");
        assert!(!head.to_ascii_lowercase().contains("access-control-"), "{head}");
    }
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes back for these bytes until the connection ends; nothing if it ends at once.
fn raw(at: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut stream = connect(at);
    // One that is refused early may not be read to its end.
    let _ = stream.write_all(bytes.as_ref());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn answer(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: String::from_utf8_lossy(&bytes[end + 4..]).into_owned() }
}

/// A daemon that has captured something, and the cookie of a browser that is logged in.
struct Opened {
    home: TestHome,
    daemon: Daemon,
    at: SocketAddr,
    cookie: String,
}

impl Opened {
    fn new() -> Self {
        Self::of(TestHome::new("http://127.0.0.1:9"))
    }

    fn of(home: TestHome) -> Self {
        let daemon = Daemon::start(&home);
        let at = listen(&home);
        let session = HookSession::new();
        let _ = home.cc_hook(&session.prompt(CAPTURED)).ok();
        let cookie = log_in(&home, at);
        let this = Opened { home, daemon, at, cookie };
        let shown = || this.get("/v0/turns", OURS).body.contains(CAPTURED);
        assert_eventually!(shown(), "what was captured is shown to who is logged in");
        this
    }

    fn ask(&self, line: &str, host: &str, more: &str, body: &str) -> Answer {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let cookie = &self.cookie;
        let text = format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n{more}{length}Connection: close\r\n\r\n{body}"
        );
        answer(&raw(self.at, text))
    }

    fn get(&self, path: &str, more: &str) -> Answer {
        self.ask(&format!("GET {path}"), &self.at.to_string(), more, "")
    }

    fn post(&self, path: &str, more: &str, body: &str) -> Answer {
        self.ask(&format!("POST {path}"), &self.at.to_string(), more, body)
    }

    fn ours(&self) -> String {
        format!("{OURS}Origin: http://{}\r\nContent-Type: application/json\r\n", self.at)
    }

    #[track_caller]
    fn still_serves(&self) {
        assert_eq!(self.home.running().daemon.state, "serving");
        assert_eq!(self.get("/v0/status", OURS).status, 200);
        let heal: Value = Control::of(&self.home).ask("/v0/heal").unwrap();
        assert_eq!(heal["exceptions"].as_array().map(Vec::len), Some(0), "{heal}");
    }
}

/// As a page of ours asks.
const OURS: &str = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n";

fn listen(home: &TestHome) -> SocketAddr {
    home.running().web.listen.unwrap().parse().unwrap()
}

/// A code, by a link of `ccctl open`.
fn code(home: &TestHome) -> String {
    let link: Value = home.ccctl(&["open", "--print", "--json"]).ok().json();
    assert_eq!((link["valid_s"].as_u64(), link["browser"].is_null()), (Some(60), true), "{link}");
    let url = link["url"].as_str().unwrap();
    let start = format!("http://{}/login#code=", listen(home));
    url.strip_prefix(&start).unwrap_or_else(|| panic!("{url}")).to_owned()
}

fn redeem(at: SocketAddr, code: &str) -> Answer {
    let body = format!("{{\"code\":\"{code}\"}}");
    let text = format!(
        "POST /login HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\n{OURS}Content-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    answer(&raw(at, text))
}

fn log_in(home: &TestHome, at: SocketAddr) -> String {
    let answer = redeem(at, &code(home));
    assert_eq!(answer.status, 204, "{}", answer.body);
    answer.is_protected();
    let set = answer.header("set-cookie").unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    set.split(';').next().unwrap().to_owned()
}
