//! What the store costs: a long session that sends its history again with every turn, through the real proxy and
//! the mock; and how fast hook events and exchanges are taken in.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ccd_proto::frame::{self, HEADER_LEN, Header, Status};
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::wire::Wire;
use ccd_tests::harness::{Daemon, TestHome, eventually, repo_root};
use ccd_tests::mock::{Block, Mock, Script, reply};
use serde_json::{Value, json};

use crate::stats::{Samples, micros, ratio};
use crate::target::cpu;

const TURNS: usize = 200;
/// Connections that hook events come over.
pub(crate) const CONNECTIONS: usize = 64;
const EVENTS: usize = 20_000;
const EXCHANGES: usize = 2_000;

pub(crate) fn run(rounds: Option<usize>) {
    session();
    let count = rounds.map_or(EVENTS, |rounds| rounds * CONNECTIONS);
    events(count, 1);
    events(count / 10, CONNECTIONS);
    exchanges(rounds.map_or(EXCHANGES, |rounds| rounds * 16));
}

/// Text as sessions are full of: this project's own sources, without what is not ASCII.
pub(crate) fn corpus() -> String {
    let mut open = vec![repo_root().join("daemon"), repo_root().join("ctl")];
    let mut text = String::new();
    while let Some(dir) = open.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text.retain(|character| character.is_ascii());
    text
}

/// `len` bytes of `text`, other ones for each `number`.
pub(crate) fn slice(text: &str, number: usize, len: usize) -> &str {
    let from = number * 7_919 % (text.len() - len);
    &text[from..from + len]
}

/// A model call through the product's proxy.
fn request(address: &str, prefix: &str, session: &str, body: &Value) -> (Vec<u8>, Vec<u8>) {
    let body = body.to_string();
    let head = format!(
        "POST {prefix}/v1/messages?beta=true HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         x-claude-code-session-id: {session}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    ([head.as_bytes(), body.as_bytes()].concat(), body.into_bytes())
}

/// Where a home's proxy answers: address, and what precedes the path.
fn proxy(home: &TestHome) -> (String, String) {
    let url = home.base_url();
    let (address, token) = url.trim_start_matches("http://").split_once('/').unwrap();
    (address.to_owned(), format!("/{token}"))
}

/// Bytes of files below a directory, and of those of its index alone.
pub(crate) fn bytes_on_disk(dir: &Path) -> (u64, u64) {
    let (mut all, mut index) = (0, 0);
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let len = entry.metadata().map_or(0, |meta| meta.len());
                all += len;
                index += if path.components().any(|part| part.as_os_str() == "index") { len } else { 0 };
            }
        }
    }
    (all, index)
}

/// Bytes that a process has caused to be written to disk.
fn written(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
}

fn compressed(bytes: &[u8]) -> usize {
    zstd::bulk::compress(bytes, 3).unwrap().len()
}

fn kib(bytes: u64) -> String {
    format!("{:.0} KiB", bytes as f64 / 1024.0)
}

/// A session of many turns, each with all that came before it.
fn session() {
    let text = corpus();
    let said = slice(&text, 1, 600);
    let answer = Block::Text { text: said.into(), deltas: 40, citations: Vec::new() };
    let mock = Mock::start(Script::new().on("TURN", [reply().thinking_omitted().block(answer)]));
    let home = TestHome::new(&mock.url());
    let daemon = Daemon::start(&home);
    let (address, prefix) = proxy(&home);
    let tools: Vec<Value> = (0..20)
        .map(|n| json!({"name": format!("tool_{n}"), "description": slice(&text, 1_000 + n, 2_500), "input_schema": {"type": "object"}}))
        .collect();
    let system = json!([{"type": "text", "text": slice(&text, 2_000, 12_000)}]);
    let (mut messages, mut unique): (Vec<Value>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    let (mut jsonl, mut together) = (0_u64, Vec::new());
    let add = |unique: &mut BTreeSet<String>, together: &mut Vec<u8>, piece: String| {
        if unique.insert(piece.clone()) {
            together.extend_from_slice(piece.as_bytes());
        }
    };
    for piece in tools.iter().chain([&system]) {
        add(&mut unique, &mut together, piece.to_string());
    }
    let mut wire = Wire::connect(&address);
    let mut costs: Vec<(u64, Duration)> = Vec::new();
    let recorded = || home.running().proxy.exchanges;
    for turn in 0..TURNS {
        let result =
            json!({"role": "user", "content": format!("TURN {turn} {}", slice(&text, 10 + turn, 2_500))});
        add(&mut unique, &mut together, result.to_string());
        messages.push(result);
        let body = json!({"model": "claude-opus-5-5", "max_tokens": 100, "stream": true, "system": system, "tools": tools, "messages": messages});
        let before = (written(daemon.pid()), cpu(daemon.pid()));
        let (bytes, body) = request(&address, &prefix, "bench-session", &body);
        wire.send(bytes);
        assert_eq!(wire.read_head().status(), 200);
        let (response, _) = wire.read_rest();
        // The first and last turns are measured until they are recorded; in between, the store may gather.
        if !(10..TURNS - 10).contains(&turn) {
            eventually("the turn is recorded", || (recorded() == turn as u64 + 1).then_some(()));
            costs.push((written(daemon.pid()) - before.0, cpu(daemon.pid()).saturating_sub(before.1)));
        } else if turn == TURNS - 11 {
            eventually("the turns are recorded", || (recorded() == turn as u64 + 1).then_some(()));
        }
        let text = String::from_utf8(response).unwrap();
        jsonl += json!({"request": String::from_utf8(body).unwrap(), "response": text}).to_string().len()
            as u64
            + 1;
        add(&mut unique, &mut together, text);
        let said = json!({"role": "assistant", "content": [{"type": "text", "text": said}]});
        add(&mut unique, &mut together, said.to_string());
        messages.push(said);
    }
    daemon.stop(&home);
    let (all, index) = bytes_on_disk(&home.layout().store_dir());
    let (journal, _) = bytes_on_disk(&home.layout().store_dir().join("v1/journal"));
    let best = compressed(&together) as u64;
    println!("store: a session of {TURNS} turns that sends its history again, through the proxy");
    println!("  {:<44} {:>12}  {:>8}", "", "bytes", "ratio");
    for (what, bytes) in [
        ("zstd -3 of its unique bytes", best),
        ("ccd: journal", journal),
        ("ccd: journal and packs", all - index),
        ("ccd: with its index", all),
        ("its unique bytes", together.len() as u64),
        ("JSONL of every request and response", jsonl),
    ] {
        println!("  {what:<44} {:>12}  {:>8}", kib(bytes), ratio(bytes as f64, best as f64));
    }
    let mean = |some: &[(u64, Duration)]| {
        let n = some.len() as u64;
        let (bytes, time): (u64, Duration) = (some.iter().map(|c| c.0).sum(), some.iter().map(|c| c.1).sum());
        (bytes / n, micros(time) / n as f64)
    };
    let (first, last) = (mean(&costs[..10]), mean(&costs[10..]));
    println!(
        "  capture of one turn, relayed and recorded: first ten {}, {:.0} µs CPU; last ten {}, {:.0} µs CPU (×{}, ×{})\n",
        kib(first.0),
        first.1,
        kib(last.0),
        last.1,
        ratio(last.0 as f64, first.0 as f64),
        ratio(last.1, first.1)
    );
}

/// The frames that a socket is sent, answered and forgotten: what the way alone costs.
fn forget(listener: &UnixListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        thread::spawn(move || {
            let mut head = [0; HEADER_LEN];
            stream.read_exact(&mut head).ok()?;
            let mut rest = vec![0; Header::decode(&head).ok()?.body_len as usize + 2];
            stream.read_exact(&mut rest).ok()?;
            let name = u16::from_be_bytes([rest[rest.len() - 2], rest[rest.len() - 1]]);
            stream.read_exact(&mut vec![0; usize::from(name)]).ok()?;
            stream.write_all(&frame::encode_reply(Status::Durable, 0)).ok()
        });
    }
}

/// Sends `count` events over all connections at once; how long that took, and each answer.
pub(crate) fn send(
    socket: &Path,
    count: usize,
    event: impl Fn(usize) -> Vec<u8> + Sync,
) -> (Duration, Samples) {
    let begun = Instant::now();
    let samples: Vec<Vec<Duration>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|worker| {
                let event = &event;
                scope.spawn(move || {
                    let own = (worker..count).step_by(CONNECTIONS);
                    own.map(|n| {
                        let (payload, begun) = (event(n), Instant::now());
                        assert_eq!(deliver(socket, &payload).unwrap(), Status::Durable);
                        begun.elapsed()
                    })
                    .collect()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let took = begun.elapsed();
    let mut all = Samples::default();
    samples.into_iter().flatten().for_each(|sample| all.push(sample));
    (took, all)
}

fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn events(count: usize, sessions: usize) {
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let text = corpus();
    let sessions: Vec<HookSession> = (0..sessions).map(|_| HookSession::new()).collect();
    let event =
        |n: usize| sessions[n % sessions.len()].before_tool(&format!("toolu_{n}"), slice(&text, n, 1_500));
    let nowhere = home.work().join("nowhere.sock");
    let listener = UnixListener::bind(&nowhere).unwrap();
    thread::spawn(move || forget(&listener));
    let (way, _) = send(&nowhere, count, event);
    let before = cpu(daemon.pid());
    let (took, samples) = send(&home.layout().hook_socket(), count, event);
    eventually("all are recorded", || (home.running().hooks.events == count as u64).then_some(()));
    let cpu = cpu(daemon.pid()).saturating_sub(before);
    println!(
        "store: {count} hook events of 2 KB in {} session(s) over {CONNECTIONS} connections, acknowledged when durable",
        sessions.len()
    );
    println!(
        "  read and forgotten {:.0}/s; ccd {:.0}/s (×{}), answer after {:.1} ms (median), {:.1} ms (p99), {:.0} µs CPU each\n",
        rate(count, way),
        rate(count, took),
        ratio(rate(count, took), rate(count, way)),
        micros(samples.median()) / 1e3,
        micros(samples.percentile(99)) / 1e3,
        micros(cpu) / count as f64
    );
}

fn exchanges(count: usize) {
    const STREAMS: usize = 16;
    let text = corpus();
    let mock = Mock::start(Script::new().on("TURN", [reply().text(slice(&text, 5, 2_000))]));
    let home = TestHome::new(&mock.url());
    let daemon = Daemon::start(&home);
    let (address, prefix) = proxy(&home);
    let all = |address: &str, prefix: &str| {
        let begun = Instant::now();
        thread::scope(|scope| {
            for worker in 0..STREAMS {
                let (address, prefix, text) = (address.to_owned(), prefix.to_owned(), &text);
                scope.spawn(move || {
                    let mut wire = Wire::connect(&address);
                    for n in (worker..count).step_by(STREAMS) {
                        let mut prompt = String::from("TURN ");
                        let _ = write!(prompt, "{n} {}", slice(text, n, 8_000));
                        let body = json!({"model": "claude-opus-5-5", "stream": true, "messages": [{"role": "user", "content": prompt}]});
                        wire.send(request(&address, &prefix, &format!("bench-{worker}"), &body).0);
                        assert_eq!(wire.read_head().status(), 200);
                        let _ = wire.read_rest();
                    }
                });
            }
        });
        begun.elapsed()
    };
    let direct = all(&mock.address().to_string(), "");
    let begun = Instant::now();
    let streamed = all(&address, &prefix);
    let told = || home.running();
    eventually("all are recorded or dropped", || {
        (told().proxy.exchanges + told().capture.dropped == count as u64).then_some(())
    });
    let recorded = begun.elapsed();
    println!("store: {count} exchanges of 8 KB, {STREAMS} at a time");
    println!(
        "  without a proxy {:.0}/s; through ccd {:.0}/s (×{}), recorded {:.0}/s, {} dropped, {:.0} µs CPU each\n",
        rate(count, direct),
        rate(count, streamed),
        ratio(rate(count, streamed), rate(count, direct)),
        rate(count, recorded),
        told().capture.dropped,
        micros(cpu(daemon.pid())) / count as f64
    );
}
