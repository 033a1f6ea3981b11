//! The web door of a daemon in this process: the way in, what is served behind it, and what ends it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

use std::net::SocketAddr;

use crate::common::{Daemon, PATIENCE, home, upstream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, read to the connection's end.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(n, _)| *n == name).map(|(_, value)| value))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A browser that keeps a cookie, and asks as a page of ours does.
struct Browser {
    at: SocketAddr,
    cookie: Option<String>,
}

impl Browser {
    fn of(daemon: &Daemon) -> Self {
        Browser { at: daemon.app.web.listen().unwrap(), cookie: None }
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    fn text(&self, line: &str, more: &str, body: &str) -> String {
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        format!(
            "{line} HTTP/1.1\r\nHost: {}\r\n{cookie}{more}{length}Connection: close\r\n\r\n{body}",
            self.at
        )
    }

    async fn ask(&self, line: &str, more: &str) -> Answer {
        read(self.send(&self.text(line, more, "")).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "Sec-Fetch-Site: same-origin\r\n").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let more = format!(
            "Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\n",
            self.at
        );
        read(self.send(&self.text(&format!("POST {path}"), &more, &body.to_string())).await).await
    }

    /// By a link of `ccctl open`.
    async fn log_in(&mut self, daemon: &Daemon) {
        let answer = self.post("/login", &json!({ "code": code(daemon).await })).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        let set = answer.header("set-cookie").unwrap();
        let rest = format!("ccd-{}=", self.at.port());
        assert!(
            set.starts_with(&rest) && set.contains("; HttpOnly; SameSite=Strict; Path=/; Max-Age="),
            "{set}"
        );
        self.cookie = set.split(';').next().map(ToOwned::to_owned);
    }
}

async fn code(daemon: &Daemon) -> String {
    let login = daemon.post_to("/v0/web/login", &json!({})).await;
    assert_eq!(login["valid_s"], 60);
    let url = login["url"].as_str().unwrap().to_owned();
    let start = format!("http://{}/login#code=", daemon.app.web.listen().unwrap());
    url.strip_prefix(&start).unwrap().to_owned()
}

async fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lets_in_once_and_then_everything_is_shown() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut browser = Browser::of(&daemon);
    // Before: the page that says how, and the files of both.
    let page = browser.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert!(String::from_utf8_lossy(&page.body).contains("ccctl open"));
    assert_eq!(browser.get("/login").await.status, 200);
    let refused = browser.get("/v0/sessions").await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (401, Some("login_needed")));
    assert!(refused.json()["error"]["hint"].as_str().unwrap().contains("ccctl open"));

    let code = code(&daemon).await;
    assert_eq!(browser.post("/login", &json!({ "code": "0".repeat(32) })).await.status, 403);
    let first = browser.post("/login", &json!({ "code": code })).await;
    assert_eq!(first.status, 204);
    let second = browser.post("/login", &json!({ "code": code })).await;
    assert_eq!((second.status, second.json()["error"]["code"].as_str()), (403, Some("wrong_code")));
    assert!(second.header("set-cookie").is_none());
    for wrong in [json!({}), json!({ "code": 1 }), json!([]), Value::Null] {
        assert_eq!(browser.post("/login", &wrong).await.status, 400, "{wrong}");
    }

    browser.log_in(&daemon).await;
    let page = browser.get("/").await;
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert!(text.contains("rel=\"modulepreload\" href=\"/js/") && !text.contains("ccctl open"), "{text}");
    assert!(
        page.header("set-cookie").unwrap().starts_with(browser.cookie.as_deref().unwrap()),
        "it is renewed"
    );
    let status = browser.get("/v0/status").await;
    assert_eq!(
        (status.status, status.json()["daemon"]["pid"].as_u64()),
        (200, Some(u64::from(std::process::id())))
    );
    // A wrong cookie beside the right one, as another port may set, keeps nobody out; alone it lets nobody in.
    let own = browser.cookie.clone().unwrap();
    let name = own.split('=').next().unwrap().to_owned();
    browser.cookie = Some(format!("{name}={}; x=y; {own}", "a".repeat(64)));
    assert_eq!(browser.get("/v0/status").await.status, 200);
    for wrong in [
        format!("{name}={}", "a".repeat(64)),
        own.replace(&name, "ccd-1"),
        format!("{own}0"),
        own.to_uppercase(),
    ] {
        browser.cookie = Some(wrong);
        assert_eq!(browser.get("/v0/status").await.status, 401, "{:?}", browser.cookie);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_outlives_the_daemon_and_is_forgotten_when_told() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut browser = Browser::of(&daemon);
    browser.log_in(&daemon).await;
    let port = browser.at.port();
    daemon.stop().await;
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    // Here the port is another one, which real ones keep; so is the cookie's name.
    browser.at = daemon.app.web.listen().unwrap();
    let renamed =
        browser.cookie.unwrap().replace(&format!("ccd-{port}="), &format!("ccd-{}=", browser.at.port()));
    browser.cookie = Some(renamed);
    assert_eq!(browser.get("/v0/status").await.status, 200);
    assert_eq!(daemon.post_to("/v0/web/forget", &json!({})).await["ok"], true);
    assert_eq!(browser.get("/v0/status").await.status, 401);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_ends_with_the_login_and_with_the_daemon() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut browser = Browser::of(&daemon);
    for forgets in [true, false] {
        browser.log_in(&daemon).await;
        let mut stream =
            browser.send(&browser.text("GET /v0/spans/follow", "Sec-Fetch-Site: same-origin\r\n", "")).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"));
        let rest = tokio::spawn(async move {
            let mut rest = Vec::new();
            tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
            rest
        });
        if forgets {
            daemon.post_to("/v0/web/forget", &json!({})).await;
        } else {
            daemon.app.stop(false);
        }
        assert!(rest.await.unwrap().ends_with(b"0\r\n\r\n"), "it ends as it should, and is not cut");
    }
    daemon.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_goes_ends_what_it_followed() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut browser = Browser::of(&daemon);
    browser.log_in(&daemon).await;
    let before = daemon.app.shared.changed.receiver_count();
    let mut stream =
        browser.send(&browser.text("GET /v0/spans/follow", "Sec-Fetch-Site: same-origin\r\n", "")).await;
    stream.read_u8().await.unwrap();
    assert_eventually!(daemon.app.shared.changed.receiver_count() > before, "it is followed");
    drop(stream);
    assert_eventually!(daemon.app.shared.changed.receiver_count() == before, "nobody follows any more");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_asked_for_again_by_their_tags_and_head_tells_what_get_would() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut browser = Browser::of(&daemon);
    let whole = browser.get("/js/app.js").await;
    assert_eq!((whole.status, whole.header("cache-control")), (200, Some("no-cache")));
    assert_eq!(whole.header("content-type"), Some("text/javascript; charset=utf-8"));
    let tag = whole.header("etag").unwrap();
    for (tags, status) in
        [(tag.to_owned(), 304), (format!("\"x\", W/{tag}"), 304), ("\"x\"".into(), 200), ("*".into(), 304)]
    {
        let again = browser.ask("GET /js/app.js", &format!("If-None-Match: {tags}\r\n")).await;
        assert_eq!((again.status, again.body.is_empty()), (status, status == 304), "{tags}");
        assert_eq!(again.header("etag"), Some(tag));
    }
    browser.log_in(&daemon).await;
    for path in ["/", "/js/app.js", "/login", "/health", "/nothing", "/v0/sessions", "/v0/nothing"] {
        let (get, head) = (browser.get(path).await, browser.ask(&format!("HEAD {path}"), "").await);
        assert_eq!((get.status, head.body.len()), (head.status, 0), "{path}");
        assert_eq!(get.header("content-length"), head.header("content-length"), "{path}");
        assert_eq!(head.header("content-length").unwrap(), get.body.len().to_string(), "{path}");
    }
    let follow = browser.ask("HEAD /v0/spans/follow", "").await;
    assert_eq!((follow.status, follow.body.len()), (200, 0));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_what_is_a_false_alarm_and_no_more() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut browser = Browser::of(&daemon);
    browser.log_in(&daemon).await;
    let paused = browser.post("/v0/heal/pause?for_s=60", &json!({})).await;
    assert_eq!((paused.status, paused.json()["exceptions"].as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(browser.post("/v0/heal/resume", &json!({})).await.status, 200);
    assert_eq!(browser.post("/v0/detections/nope/dismiss", &json!({})).await.status, 404);
    for path in [
        "/v0/stop",
        "/v0/retire",
        "/v0/web/login",
        "/v0/web/forget",
        "/v0/store/verify",
        "/v0/statusline",
        "/v0/import",
    ] {
        assert_eq!(browser.post(path, &json!({})).await.status, 405, "{path}");
    }
    assert_eq!(daemon.app.state(), "serving");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_bytes_are_a_file_to_be_kept_and_never_a_page_of_ours() {
    let hostile = "<!doctype html><script>fetch('/v0/stop',{method:'POST'})</script>";
    let answered =
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let at = upstream(vec![answered], std::time::Duration::ZERO).await;
    let home = home();
    let daemon = Daemon::start(home.path(), &format!("http://{at}")).await;
    assert_eq!(daemon.post("/v1/messages", "s1", hostile).await.0, 200);
    let mut browser = Browser::of(&daemon);
    browser.log_in(&daemon).await;
    assert_eventually!(
        !browser.get("/v0/exchanges").await.json()["exchanges"].as_array().unwrap().is_empty(),
        "it is recorded"
    );
    let list = browser.get("/v0/exchanges").await.json();
    let id = list["exchanges"][0]["exchange_id"].as_str().unwrap().to_owned();
    for (side, bytes) in [("request", hostile), ("response", "hi")] {
        let path = format!("/v0/exchanges/{id}/{side}");
        for method in ["GET", "HEAD"] {
            let kept = browser.ask(&format!("{method} {path}"), "").await;
            assert_eq!((kept.status, kept.header("content-type")), (200, Some("application/octet-stream")));
            assert_eq!(kept.header("content-disposition"), Some("attachment"));
            assert_eq!(kept.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(kept.header("cache-control"), Some("no-store"));
            assert!(kept.header("content-security-policy").unwrap().ends_with("; sandbox"));
            assert_eq!(kept.header("content-length").unwrap(), bytes.len().to_string());
            assert_eq!(kept.body, if method == "GET" { bytes.as_bytes() } else { b"" });
        }
        // Opened from elsewhere, or as a part of another page, it is not even that.
        for site in ["cross-site", "same-site"] {
            let more =
                format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n");
            assert_eq!(browser.ask(&format!("GET {path}"), &more).await.status, 403);
        }
    }
    daemon.stop().await;
}
