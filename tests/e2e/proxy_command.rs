//! `ccctl proxy`, a port that somebody else has, and `ccctl doctor --fix`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};

use ccd_tests::assert_eventually;
use ccd_tests::harness::wire::{BodyEnd, Upstream, Wire};
use ccd_tests::harness::{Control, Daemon, Supervised, TestHome, binary, eventually, signal};
use ccd_tests::mock::{Mock, Script, reply};
use rustix::process::Signal;
use serde_json::Value;

use crate::check;
use crate::proxy::Proxy;

/// `ccctl proxy serve`, running.
struct Serve {
    child: Child,
    out: BufReader<ChildStdout>,
    said: Arc<Mutex<String>>,
}

impl Serve {
    /// Starts it and reads its first line.
    #[track_caller]
    fn start(home: &TestHome, args: &[&str]) -> (Self, String) {
        let mut command = home.command(&binary("ccctl"));
        command.args(["proxy", "serve"]).args(args);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = errors.read(&mut chunk) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..n]));
            }
        });
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        (Serve { child, out, said }, line.trim_end().to_owned())
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// What Ctrl-C does.
    fn interrupt(&self) {
        signal(self.child.id(), Signal::INT);
    }

    /// Waits for its end, which must be a good one; nothing more was on stdout.
    #[track_caller]
    fn ended(mut self) {
        let status = eventually("`proxy serve` ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.said());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "the line stands alone");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Sends a model call, of which the head and a ping have come back.
fn half_way(proxy: &Proxy, upstream: &Upstream) -> (Wire, Wire) {
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    api.send(STREAM);
    api.send_chunk(PING);
    let _ = client.read_head();
    assert_eq!(client.read_body(PING.len()), PING.as_bytes());
    (client, api)
}

#[test]
fn serve_starts_a_daemon_of_its_own_which_ends_with_it_once_its_requests_have() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let (serve, line) = Serve::start(&home, &[]);
    assert_eq!(line, format!("export ANTHROPIC_BASE_URL={}", home.base_url()));
    let proxy = Proxy::of(&home);
    for (n, whole) in [(1, true), (2, false)] {
        let (mut client, mut api) = half_way(&proxy, &upstream);
        if !whole {
            serve.interrupt();
            assert_eventually!(serve.said().contains("waiting for 1 request to end"), "it waits");
        }
        api.send_chunk(STOP);
        api.send("0\r\n\r\n");
        assert_eq!(client.read_rest(), (STOP.into(), BodyEnd::Whole), "request {n} is not cut");
        drop(client);
        if whole {
            assert_eventually!(serve.said().contains("200"), "the exchange is shown as it ends");
        }
    }
    serve.ended();
    assert!(home.status().is_none(), "its daemon is gone");
    let _daemon = Daemon::start(&home);
    assert_eq!(check::exchanges(&home).len(), 2, "and both are recorded");
}

#[test]
fn serve_beside_a_running_daemon_leaves_it_running() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let daemon = Daemon::start(&home);
    let (serve, line) = Serve::start(&home, &["--shell", "fish"]);
    assert_eq!(line, format!("set -gx ANTHROPIC_BASE_URL {}", home.base_url()));
    assert_eventually!(serve.said().contains("the daemon stays"), "it says so");
    serve.interrupt();
    serve.ended();
    assert_eq!(home.running().daemon.pid, daemon.pid());
}

#[test]
fn serve_goes_on_over_restarts_and_crashes_and_misses_no_exchange() {
    let mock = Mock::start(Script::new().on("hi", [reply().text("A short answer.")]));
    let home = TestHome::new(&mock.url());
    let supervised = Supervised::start(&home);
    let proxy = Proxy::of(&home);
    let (serve, _) = Serve::start(&home, &[]);
    assert_eventually!(serve.said().contains("the daemon stays"), "it says so");
    let shown = || serve.said().matches("  200  ").count();
    let ask = || {
        let mut client = proxy.connect();
        client.send(proxy.message("s", "hi", true));
        assert_eq!(client.read_head().status(), 200);
        assert_eq!(client.read_rest().1, BodyEnd::Whole);
    };
    ask();
    assert_eventually!(shown() == 1, "it is shown: {}", serve.said());
    let _ = home.ccctl(&["restart"]).ok();
    ask();
    assert_eventually!(shown() == 2, "it is shown after a restart: {}", serve.said());
    let before = supervised.worker();
    signal(before, Signal::KILL);
    assert_eventually!(supervised.worker() != before, "another worker serves");
    ask();
    assert_eventually!(shown() == 3, "it is shown after a crash: {}", serve.said());
    assert_eq!(serve.said().matches("started again").count(), 1, "said once: {}", serve.said());
    supervised.stop();
    assert_eventually!(serve.said().contains("the daemon has stopped"), "it says so");
    serve.ended();
}

#[test]
fn serve_says_why_its_daemon_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = TestHome::new("http://127.0.0.1:9").with_env("CCD_PROXY_LISTEN", &address);
    let out = home.ccctl(&["proxy", "serve"]);
    assert_eq!((out.code, out.stdout.len()), (Some(1), 0), "{out}");
    assert!(out.stderr.contains(&format!("{address} is taken by ")), "{out}");
}

/// Every file below `dir`, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.append(&mut files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn url_in_settings(home: &TestHome) -> Value {
    let text = std::fs::read(home.settings()).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["env"]["ANTHROPIC_BASE_URL"].clone()
}

const SETTINGS: &str =
    "{\r\n\t\"zzz\" : [1,2 , 3],\n  \"env\": {\"FOO\":\"b\\u0061r\"   },\n  \"model\":\"opus\" }";

#[test]
fn proxy_install_sets_the_base_url_and_nothing_else_and_takes_it_back() {
    for settings in [None, Some(SETTINGS)] {
        let mock = Mock::start(Script::new());
        let home = TestHome::new(&mock.url());
        if let Some(text) = settings {
            home.write_settings(text);
        }
        let before = files(&home.user());
        let dry = home.ccctl(&["proxy", "install", "--dry-run"]).ok();
        assert!(dry.text().contains("ANTHROPIC_BASE_URL"), "{dry}");
        assert_eq!(files(&home.user()), before);

        let _ = home.ccctl(&["proxy", "install"]).ok();
        assert_eq!(url_in_settings(&home), *home.base_url());
        let changed: Vec<_> =
            files(&home.user()).into_keys().filter(|path| !before.contains_key(path)).collect();
        assert!(changed.iter().all(|path| *path == home.settings()), "no hooks: {changed:?}");
        let verified = home.ccctl(&["verify"]).ok();
        assert!(!verified.text().lines().any(|line| line.contains(" hooks  ")), "{verified}");
        let again = files(&home.user());
        let _ = home.ccctl(&["proxy", "install"]).ok();
        assert_eq!(files(&home.user()), again);

        let shown = home.ccctl(&["proxy", "status"]).ok();
        let token = home.base_url().rsplit('/').next().unwrap().to_owned();
        assert!(shown.text().contains("which answers") && !shown.text().contains(&token), "{shown}");
        let told: Value = home.query(&["proxy", "status"]);
        assert_eq!((&told["running"], &told["settings"][0]["ours"]), (&true.into(), &true.into()), "{told}");
        assert!(told["proxy"]["upstream"].is_string() && !told.to_string().contains(&token));

        let _ = home.ccctl(&["proxy", "uninstall"]).ok();
        assert_eq!(files(&home.user()), before, "settings were {settings:?}");
    }
}

#[test]
fn proxy_install_keeps_off_what_a_whole_installation_owns_and_what_cannot_be_read() {
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    let _ = home.ccctl(&["install", "--no-service"]).ok();
    let before = files(&home.user());
    for args in [["proxy", "install"], ["proxy", "uninstall"]] {
        let out = home.ccctl(&args);
        assert_eq!(out.code, Some(1), "{out}");
        assert!(out.stderr.contains("`ccctl install`") && out.stderr.contains("ccctl uninstall"), "{out}");
        assert_eq!(files(&home.user()), before);
    }
    let other = TestHome::new(&mock.url());
    other.write_settings("{ // mine\n}");
    assert_eq!(other.ccctl(&["proxy", "install"]).code, Some(1));
    assert_eq!(std::fs::read_to_string(other.settings()).unwrap(), "{ // mine\n}");
}

#[test]
fn a_whole_installation_takes_over_from_proxy_install() {
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    home.write_settings(SETTINGS);
    let before = files(&home.user());
    let _ = home.ccctl(&["proxy", "install"]).ok();
    let _ = home.ccctl(&["install", "--no-service"]).ok();
    assert!(home.running().hooks.installed);
    let _ = home.ccctl(&["uninstall"]).ok();
    assert_eq!(files(&home.user()), before);
}

#[test]
fn who_has_the_port_is_named_and_no_setting_is_changed() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = TestHome::new("http://127.0.0.1:9").with_env("CCD_PROXY_LISTEN", &address);
    home.write_settings(SETTINGS);
    let before = files(&home.user());
    // Only Linux tells who it is.
    let who = if cfg!(target_os = "linux") { format!("(pid {})", std::process::id()) } else { String::new() };
    let told = format!("{address} is taken by ");
    for args in [&["install", "--no-service"][..], &["proxy", "install"], &["start"], &["verify"]] {
        let out = home.ccctl(args);
        let text = format!("{}{}", out.text(), out.stderr);
        assert_eq!(out.code, Some(1), "{out}");
        assert!(text.contains(&told) && text.contains(&who), "{out}");
        assert_eq!(files(&home.user()), before);
    }
    let out = home.ccctl(&["proxy", "status"]);
    assert_eq!(out.code, Some(3), "{out}");
    assert!(out.text().contains(&told) && out.text().contains(&who), "{out}");
}

/// Ends the daemon of an installation, and whoever would start it again, as the kernel does when memory is short.
#[track_caller]
fn kill9(home: &TestHome) {
    let daemon = home.query::<Value>(&["status"])["daemon"].take();
    for pid in [&daemon["supervisor"]["pid"], &daemon["pid"]] {
        if let Some(pid) = pid.as_u64() {
            signal(u32::try_from(pid).unwrap(), Signal::KILL);
        }
    }
    let control = Control::of(home);
    assert_eventually!(control.ask::<Value>("/v0/status").is_none(), "the daemon is dead");
}

#[test]
fn doctor_brings_a_killed_daemon_back_and_writes_its_new_address() {
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    home.write_settings(SETTINGS);
    let before = files(&home.user());
    for args in [&["install", "--no-service"][..], &["proxy", "install"]] {
        let _ = home.ccctl(args).ok();
        kill9(&home);
        let out = home.ccctl(&["doctor", "--fix"]).ok();
        assert!(out.text().contains("fixed"), "it says what it did: {out}");
        assert_eq!(url_in_settings(&home), *home.base_url());
        let quiet = home.ccctl(&["doctor", "--fix"]).ok();
        assert!(!quiet.text().contains("fixed"), "there is nothing left to do: {quiet}");

        let _ = home.ccctl(&["restart"]).ok();
        assert_eq!(url_in_settings(&home), *home.base_url(), "a restart leaves no dead address either");
        let _ = home.ccctl(&["uninstall", "--now"]).ok();
        assert_eq!(files(&home.user()), before);
    }
}

#[test]
fn doctor_takes_the_address_out_where_nobody_can_answer_it_and_puts_it_back_when_somebody_can() {
    let mock = Mock::start(Script::new());
    let home = TestHome::without_upstream();
    let settings = format!("{{\n  \"env\": {{ \"ANTHROPIC_BASE_URL\": \"{}\" }}\n}}\n", mock.url());
    home.write_settings(&settings);
    let _ = home.ccctl(&["install", "--no-service"]).ok();
    kill9(&home);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let broken = || {
        let mut command = home.command(&binary("ccctl"));
        command.env("CCD_PROXY_LISTEN", taken.local_addr().unwrap().to_string());
        ccd_tests::harness::run(command.args(["doctor", "--fix", "--json"]), b"")
    };
    let out = broken();
    assert_eq!(out.code, Some(1), "the daemon does not run: {out}");
    let told = out.json();
    assert!(told["fixed"][0].as_str().unwrap().contains("put back what was there before"), "{told}");
    assert_eq!(std::fs::read_to_string(home.settings()).unwrap(), settings, "Claude Code works without us");
    assert_eq!(broken().code, Some(1));
    assert_eq!(std::fs::read_to_string(home.settings()).unwrap(), settings);

    let _ = home.ccctl(&["doctor", "--fix"]).ok();
    assert_eq!(url_in_settings(&home), *home.base_url());
    assert_eq!(home.running().proxy.upstream.trim_end_matches('/'), mock.url());
    let _ = home.ccctl(&["uninstall", "--now"]).ok();
    assert_eq!(std::fs::read_to_string(home.settings()).unwrap(), settings);
}

#[test]
fn an_error_of_the_configuration_is_shown_line_by_line() {
    let home = TestHome::new("http://127.0.0.1:9");
    let _daemon = Daemon::start(&home);
    std::fs::create_dir_all(home.layout().config_file.parent().unwrap()).unwrap();
    std::fs::write(home.layout().config_file, "log = \"info\"\nnonsense = 1\n").unwrap();
    let error = eventually("the error is seen", || home.running().daemon.config_error);
    assert!(error.contains('\n'), "it points at its place: {error}");
    let text = home.ccctl(&["status"]).ok().text();
    assert!(text.contains("nonsense = 1") && !text.contains("\\n"), "{text}");
    let verified = home.ccctl(&["verify"]).text();
    assert!(verified.contains("nonsense = 1") && !verified.contains("\\n"), "{verified}");
}
