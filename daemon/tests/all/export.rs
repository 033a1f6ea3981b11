//! A session as one HTML file: everything of it is told, nothing of it acts, credentials are not in it, sums are those of
//! `usage`. Read back by a parser that is not ours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

/// The kinds that redaction is tried with.
#[path = "../../redact/tests/corpus/kinds.rs"]
#[allow(dead_code, reason = "their names are for its own tests")]
pub(crate) mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::common::{Daemon, home};
use ccd::export::html::shown;
use ccd::ingest::found::{DetectionV1, EvidenceV1, InterventionV1};
use ccd::ingest::{Ack, Ready};
use ccd::project::ids;
use ccd_proto::frame::Status;
use html5gum::{Token, Tokenizer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

pub(crate) const SESSION: &str = "0a1b2c3d-4444-4555-8666-777788889999";
pub(crate) const NOW: u64 = 1_790_035_200_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// An image of one pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Text that somebody might want to act.
pub(crate) const HOSTILE: [&str; 14] = [
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "\u{202e}gnp.exe\u{202c} reversed",
    "zero\u{200b}width\u{2060}joined",
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31mred\u{1b}[0m",
    "\" onmouseover=\"alert(1)\" style=\"color:red",
    "javascript:alert(1) https://evil.example/x.png",
    "\u{0}nul\u{8}back\rreturn",
    "</pre></details></main></body></html>",
    "<style>*{display:none}</style></style>",
    "\u{2028}line\u{2029}paragraph\u{85}next",
    "]]><!-- <![CDATA[ -->",
    "<svg onload=alert(3)><a xlink:href=javascript:x>",
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "<meta http-equiv=refresh content=0;url=https://evil.example><base href=//evil.example>",
];

/// An upstream that answers every request with one message.
pub(crate) async fn upstream(message: Value) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut s, _)) = listener.accept().await {
            let body = message.to_string();
            tokio::spawn(async move {
                let mut head = vec![0; 64 << 10];
                if s.read(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
                let len = body.len();
                let text = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
                );
                let _ = s.write_all(text.as_bytes()).await;
            });
        }
    });
    addr
}

/// What the daemon answers: the head, and the body with its chunks joined.
pub(crate) async fn fetch(daemon: &Daemon, request: &str) -> (String, String) {
    let mut s = UnixStream::connect(daemon.app.layout.control_socket()).await.unwrap();
    s.write_all(format!("{request} HTTP/1.0\r\nHost: ccd\r\n\r\n").as_bytes()).await.unwrap();
    let mut all = Vec::new();
    s.read_to_end(&mut all).await.unwrap();
    let all = String::from_utf8(all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn page(daemon: &Daemon, query: &str) -> String {
    let (head, body) = fetch(daemon, &format!("GET /v0/export/session/{SESSION}.html{query}")).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head} {body}");
    assert!(body.ends_with(ccd_proto::api::HTML_END));
    body
}

/// A page, read back.
#[derive(Default)]
struct Read {
    elements: BTreeMap<String, u64>,
    attributes: Vec<(String, String, String)>,
    text: String,
}

fn read(html: &str) -> Read {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut read = Read::default();
    let mut style = false;
    for token in Tokenizer::new(html).flatten() {
        match token {
            Token::StartTag(tag) => {
                let name = utf8(&tag.name);
                style = name == "style";
                for (attribute, value) in &tag.attributes {
                    read.attributes.push((name.clone(), utf8(attribute), utf8(value)));
                }
                *read.elements.entry(name).or_default() += 1;
            }
            Token::String(text) if !style => read.text.push_str(&utf8(&text)),
            Token::EndTag(_) => style = false,
            Token::Comment(_) | Token::Error(_) => panic!("not of our making"),
            _ => {}
        }
    }
    read
}

/// That nothing in the page acts, loads or leads anywhere.
fn assert_inert(html: &str) {
    let ours: BTreeSet<&str> = "a aside b body code dd details div dl dt figcaption figure footer h1 h2 h3 head header html img \
        li main meta nav ol p polyline pre section span strong style summary svg table tbody td tfoot th thead title tr ul"
        .split_whitespace()
        .collect();
    let read = read(html);
    for name in read.elements.keys() {
        assert!(ours.contains(name.as_str()), "<{name}>");
    }
    for once in ["html", "head", "body", "style", "title", "main"] {
        assert_eq!(read.elements[once], 1, "{once}");
    }
    for (element, name, value) in &read.attributes {
        assert!(!name.starts_with("on") && name != "style", "{element} {name}");
        match name.as_str() {
            "href" => assert!(element == "a" && value.starts_with('#'), "{value}"),
            "src" => assert!(element == "img" && value.starts_with("data:image/png;base64,"), "{value}"),
            "http-equiv" => assert_eq!(value, "Content-Security-Policy"),
            "srcset" | "action" | "formaction" | "data" | "xlink:href" | "poster" | "background" | "ping" => {
                panic!("{element} {name}")
            }
            _ => {}
        }
    }
    // Links of the page lead to places in it.
    let places: BTreeSet<&str> =
        read.attributes.iter().filter(|(_, name, _)| name == "id").map(|(_, _, id)| id.as_str()).collect();
    for (_, _, to) in read.attributes.iter().filter(|(_, name, _)| name == "href") {
        assert!(places.contains(&to[1..]), "{to} leads nowhere");
    }
    let ids = read.attributes.iter().filter(|(_, name, _)| name == "id").count();
    assert_eq!(ids, places.len(), "a place is there twice");
    assert!(read.attributes.iter().any(|(_, _, policy)| {
        policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.ends_with("'; img-src data:")
    }));
    // The policy allows the style that is there.
    let (_, rest) = html.split_once("<style>").unwrap();
    let (css, _) = rest.split_once("</style>").unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, css.as_bytes());
    let (_, rest) = html.split_once("sha256-").unwrap();
    let (told, _) = rest.split_once("&#39;").unwrap();
    assert_eq!(data(told), digest.as_ref());
}

/// The bytes of base64.
fn data(base64: &str) -> Vec<u8> {
    let value = |b: u8| {
        u32::from(match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            _ => 63,
        })
    };
    let bits: Vec<u32> = base64.trim_end_matches('=').bytes().map(value).collect();
    let bytes = bits.chunks(4).flat_map(|chunk| {
        let all = chunk.iter().fold(0u32, |all, v| all << 6 | v) << (6 * (4 - chunk.len()));
        all.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}

struct Story<'a> {
    daemon: &'a Daemon,
    at_ns: u64,
}

impl Story<'_> {
    async fn hook(&mut self, name: &str, more: Value) {
        self.at_ns += SECOND;
        let mut event = json!({"session_id": SESSION, "hook_event_name": name, "cwd": "/home/ann/shop", "prompt_id": "p1"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(self.daemon.hook(self.at_ns, &event).await, Status::Durable);
    }

    async fn tool(&mut self, n: u32, tool: &str, input: Value, output: Value) {
        let id = format!("toolu_{n}");
        self.hook("PreToolUse", json!({"tool_use_id": id, "tool_name": tool, "tool_input": input})).await;
        let done =
            json!({"tool_use_id": id, "tool_name": tool, "tool_input": input, "tool_response": output});
        self.hook("PostToolUse", done).await;
    }
}

/// A session with something of everything; each hostile text stands in a prompt, in the name of a tool, of a file, in an
/// input, an output, an answer, a thought, a detection.
pub(crate) async fn told(home: &std::path::Path) -> Daemon {
    let hostile = HOSTILE.join("\n");
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-8", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": format!("thought {hostile}"), "signature": "x"},
            {"type": "thinking", "thinking": "", "signature": "x"},
            {"type": "text", "text": format!("# Answer\n{hostile}\n```sh\nls **x**\n```\nin /home/ann/shop and /Users/bob/x")},
            {"type": "tool_use", "id": "toolu_none", "name": "Odd", "input": {"k": "unmatched"}}],
        "usage": {"input_tokens": 1000, "output_tokens": 90, "cache_read_input_tokens": 500,
            "output_tokens_details": {"thinking_tokens": 77}}});
    let up = upstream(message).await;
    let daemon = Daemon::start(home, &format!("http://{up}")).await;
    let mut story = Story { daemon: &daemon, at_ns: NOW };
    story.hook("SessionStart", json!({"source": "startup", "model": "claude-opus-4-8"})).await;
    story.hook("UserPromptSubmit", json!({"prompt": format!("Fix it in /home/ann/shop\n{hostile}")})).await;
    let body = json!({"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "text", "text": format!("<system-reminder>{hostile}</system-reminder>")}]}]});
    assert_eq!(daemon.post("/v1/messages", SESSION, &body.to_string()).await.0, 200);
    for (n, text) in (0..).zip(HOSTILE) {
        story
            .tool(n, text, json!({text: text, "file_path": text}), json!({"content": text, text: [text]}))
            .await;
    }
    let long = (0..9000).map(|n| format!("line {n} of a log\n")).collect::<Vec<_>>().concat();
    let shell = json!({"stdout": format!("\u{1b}[1;32mok\u{1b}[0m\n{long}"), "stderr": hostile, "interrupted": false});
    story
        .tool(
            100,
            "Bash",
            json!({"command": format!("make <&2; echo {hostile}"), "description": "build"}),
            shell,
        )
        .await;
    let patch = json!([{"oldStart": 7, "oldLines": 2, "newStart": 7, "newLines": 2,
        "lines": [" def total():", "-    return price * 2", "+    return prices * 3 # <b>"]}]);
    let edit = json!({"file_path": "/home/ann/shop/cart.py", "old_string": "return price * 2", "new_string": "return prices * 3 # <b>"});
    story
        .tool(101, "Edit", edit, json!({"filePath": "/home/ann/shop/cart.py", "structuredPatch": patch}))
        .await;
    let wrote = json!({"type": "create", "filePath": "n.py", "content": "one\ntwo\n", "structuredPatch": []});
    story.tool(102, "Write", json!({"file_path": "n.py", "content": "one\ntwo\n"}), wrote).await;
    let image = json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/svg+xml", "data": "PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+PC9zdmc+"}}]);
    story.tool(103, "Read", json!({"file_path": "/home/ann/shop/a.png"}), image).await;
    let failed = json!({"tool_use_id": "toolu_104", "tool_name": "Bash", "tool_input": {"command": "false"}});
    story.hook("PreToolUse", failed.clone()).await;
    let mut failure = failed;
    failure["error"] = json!(format!("Exit code 1\n{hostile}"));
    story.hook("PostToolUseFailure", failure).await;
    record(&daemon).await;
    story.hook("Stop", json!({"last_assistant_message": "done"})).await;
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 1, "captured");
    daemon
}

/// A detection at a call, one at no place, and what was done.
async fn record(daemon: &Daemon) {
    let found = |event: u64, span: Option<String>, title: &str| DetectionV1 {
        at_ns: NOW + SECOND,
        session_id: SESSION.into(),
        agent_id: None,
        cwd: Some("/home/ann/shop".into()),
        turn_id: None,
        span_id: span.clone(),
        kind: "loop".into(),
        rule: "repeat".into(),
        severity: 60,
        confidence: 90,
        at_event: event,
        title: title.into(),
        evidence: vec![EvidenceV1 { span_id: span, text: format!("seen {}", HOSTILE[0]) }],
        advice: format!("look {}", HOSTILE[4]),
        mast: Some("FM-1.3".into()),
        fingerprint: [1; 16],
    };
    let one = found(1, Some(ids::span(SESSION, "tool", "toolu_104")), "again and again <i>");
    let other = found(2, None, "somewhere");
    let done = InterventionV1 {
        at_ns: NOW + 2 * SECOND,
        session_id: SESSION.into(),
        agent_id: None,
        detection: Some(DetectionV1::record_id(&one.session_id, &one.kind, &one.rule, one.at_event)),
        kind: "loop".into(),
        rule: "repeat".into(),
        action: "advised".into(),
        event: "PostToolUse".into(),
        tool_use_id: Some("toolu_104".into()),
        text: format!("stop that {}", HOSTILE[11]),
        delivered: true,
    };
    let records = [one.to_record().unwrap(), other.to_record().unwrap(), done.to_record([7; 16]).unwrap()];
    for record in records {
        assert_eq!(daemon.app.door.ready(Ready { record, fact: None }).await, Ack::Durable);
    }
    let door = daemon.app.door.clone();
    tokio::task::spawn_blocking(move || door.with_store(|_| ()).unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_whole_and_nothing_of_it_acts() {
    let home = home();
    let daemon = told(home.path()).await;
    let html = page(&daemon, "").await;
    assert_inert(&html);
    let Read { text, elements, .. } = read(&html);
    for hostile in HOSTILE {
        // Colours are looks, not text.
        let plain = shown(&hostile.replace("\u{1b}[31m", "").replace("\u{1b}[0m", ""));
        assert!(text.contains(&plain), "{plain}");
    }
    for words in [
        "thought <script>",
        "Thinking omitted by the API, 77 tokens",
        "unmatched",
        "Sent along: 1 text",
        "not made",
        "again and again <i>",
        "somewhere",
        "stop that",
        "Exit code 1",
        "+1",
    ] {
        assert_eq!(text.contains(words), words != "not made", "{words}");
    }
    // A real difference, with its numbers.
    assert!(
        html.contains(r#"<span class="n">8</span><span class="n"></span><span class="m">−</span>"#),
        "numbers"
    );
    assert!(html.contains("<b>prices * 3 # &lt;b&gt;</b>"), "words");
    assert_eq!(elements["img"], 1, "the PNG, and not the SVG");
    // Long output is cut, and says so; whole where it is asked for.
    assert!(text.contains("left out …") && !text.contains("line 4500 of a log"));
    let whole = page(&daemon, "?full=1").await;
    assert_inert(&whole);
    let whole = read(&whole).text;
    assert!(whole.contains("line 4500 of a log") && !whole.contains("lines ("), "whole");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_sums_are_those_of_usage() {
    let home = home();
    let daemon = told(home.path()).await;
    let usage = daemon.get(&format!("/v0/usage?period=total&session={SESSION}")).await;
    let totals = &usage["totals"];
    let (html, text) = (page(&daemon, "").await, read(&page(&daemon, "").await).text);
    let sum: u64 = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]
        .iter()
        .map(|kind| totals["tokens"][kind].as_u64().or_else(|| totals[kind].as_u64()).unwrap())
        .sum();
    assert_eq!(sum, 1590, "{usage}");
    assert!(text.contains(&format!("Tokens{}", "1\u{202f}590")), "{text}");
    assert!(text.contains(&format!("Cost{}", totals["cost"].as_str().unwrap())));
    let all: Vec<&str> =
        html.split("<tfoot>").nth(1).unwrap().split("</tfoot>").next().unwrap().split("</td>").collect();
    let cells: Vec<String> = all.iter().map(|cell| read(cell).text.trim().to_owned()).collect();
    assert_eq!(
        cells[3..8],
        ["1\u{202f}000", "500", "0", "90", totals["cost"].as_str().unwrap()],
        "{cells:?}"
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_user_is_taken_out_unless_it_is_to_be_revealed() {
    let home = home();
    let daemon = told(home.path()).await;
    let html = page(&daemon, "").await;
    assert!(
        !html.contains("ann/")
            && !html.contains("/bob")
            && html.contains("~/shop/cart.py")
            && html.contains("/Users/user/x")
    );
    assert!(html.contains("Redacted.") && !html.contains("Not redacted"));
    // It is asked for with POST, which pages cannot send here.
    let target = format!("/v0/export/session/{SESSION}.html?reveal=1");
    let (head, body) = fetch(&daemon, &format!("GET {target}")).await;
    assert!(head.starts_with("HTTP/1.0 403") && body.contains("--reveal"), "{head} {body}");
    let (head, body) = fetch(&daemon, &format!("POST {target}")).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(body.contains("/home/ann/shop/cart.py") && body.contains("Not redacted."));
    assert_inert(&body);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_id_is_enough_and_errors_say_what_to_do() {
    let home = home();
    let daemon = told(home.path()).await;
    let (head, body) = fetch(&daemon, "GET /v0/export/session/0a1b.html").await;
    assert!(
        head.contains("content-disposition: attachment; filename=\"ccd-0a1b2c3d-2026-09-22.html\""),
        "{head}"
    );
    assert!(head.contains("content-type: text/html; charset=utf-8") && head.contains("nosniff"), "{head}");
    assert!(body.ends_with(ccd_proto::api::HTML_END));
    for (target, code, words) in [
        ("nowhere.html", 404, "ccctl sessions"),
        ("0a1b.pdf", 404, "ID.html"),
        (".html", 404, "ID.html"),
        ("0a1b.html?fulll=1", 400, "fulll"),
    ] {
        let (head, body) = fetch(&daemon, &format!("GET /v0/export/session/{target}")).await;
        assert!(
            head.starts_with(&format!("HTTP/1.0 {code}")) && body.contains(words),
            "{target}: {head} {body}"
        );
    }
    daemon.stop().await;
}

/// Every kind of credential, in prompts, thoughts, answers, commands, names and values of members, outputs, differences and
/// evidence: none is in the page, whole or cut, and the head of it says how many were.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_not_in_it() {
    let planted: Vec<(&str, String)> = (0..)
        .zip(kinds::KINDS)
        .map(|(n, kind)| (kind.name, ccd_redact::sample::filled(kind.value, n)))
        .collect();
    let lines: Vec<String> = planted.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
    let lines = lines.concat();
    let members: Value = planted
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-8", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": lines, "signature": "x"}, {"type": "text", "text": format!("```\n{lines}```")}],
        "usage": {"input_tokens": 1, "output_tokens": 1}});
    let (home, up) = (home(), upstream(message).await);
    let daemon = Daemon::start(home.path(), &format!("http://{up}")).await;
    let mut story = Story { daemon: &daemon, at_ns: NOW };
    story.hook("UserPromptSubmit", json!({"prompt": lines})).await;
    let body = json!({"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": format!("also\n{lines}")}]}]});
    assert_eq!(daemon.post("/v1/messages", SESSION, &body.to_string()).await.0, 200);
    story.tool(1, "Bash", json!({"command": lines}), json!({"stdout": lines, "stderr": lines})).await;
    story
        .tool(2, "mcp__x__y", json!({"deep": [{"env": members}]}), json!({"text": members.to_string()}))
        .await;
    let edit = json!({"file_path": ".env", "old_string": "", "new_string": lines});
    story.tool(3, "Edit", edit, json!({"structuredPatch": [{"oldStart": 1, "newStart": 1, "lines": lines.lines().map(|l| format!("+{l}")).collect::<Vec<_>>()}]})).await;
    // Where it is cut, half of a credential must not be left.
    let long = format!("{}{lines}{}", "x ".repeat(4_000), "y ".repeat(9_000));
    story.tool(4, "Read", json!({"file_path": ".env"}), json!(long)).await;
    story.hook("Stop", json!({"last_assistant_message": lines})).await;
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 1, "captured");
    for query in ["", "?full=1"] {
        let html = page(&daemon, query).await;
        assert_inert(&html);
        let seen = read(&html);
        let all = seen.attributes.iter().map(|(_, _, value)| value.as_str()).chain([seen.text.as_str()]);
        let all: Vec<&str> = all.collect();
        let left: Vec<&str> = planted
            .iter()
            .filter(|(_, value)| all.iter().any(|text| text.contains(&shown(value))))
            .map(|(name, _)| *name)
            .collect();
        assert!(left.is_empty(), "{query}: {left:?}");
        assert!(seen.text.contains("Credentials taken out in"), "said");
    }
    daemon.stop().await;
}

/// Many calls: it comes in pieces, and a reader who goes away ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_go_away() {
    let home = home();
    let daemon = told(home.path()).await;
    for _ in 0..4 {
        let mut s = UnixStream::connect(daemon.app.layout.control_socket()).await.unwrap();
        let text = format!("GET /v0/export/session/{SESSION}.html?full=1 HTTP/1.1\r\nHost: ccd\r\n\r\n");
        s.write_all(text.as_bytes()).await.unwrap();
        let mut some = [0; 100];
        s.read_exact(&mut some).await.unwrap();
    }
    // Two are written at a time: those before have ended, or this one would be refused.
    assert!(page(&daemon, "").await.len() > 10_000);
    daemon.stop().await;
}
