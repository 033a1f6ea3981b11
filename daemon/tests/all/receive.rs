//! What other programs hand in, at a daemon in this process: tokens, what is kept and counted, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

use std::net::SocketAddr;

use crate::common::{Daemon, PATIENCE, home};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const INGEST: &str = "/api/v1/traces/claude-code/ingest";

struct Client {
    at: SocketAddr,
    token: String,
}

impl Client {
    async fn of(daemon: &Daemon) -> Self {
        let made = daemon.post_to("/v0/tokens/create?name=test&scope=all", &json!({})).await;
        Client { at: daemon.app.web.listen().unwrap(), token: made["token"].as_str().unwrap().to_owned() }
    }

    /// Everything that comes back for these bytes, and the status.
    async fn raw(&self, bytes: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        // Whoever refuses early does not read all of it.
        let _ = stream.write_all(bytes).await;
        let mut all = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap();
        let text = String::from_utf8_lossy(&all).into_owned();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, text)
    }

    fn head(&self, path: &str, more: &str, length: usize) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             {more}Content-Length: {length}\r\nConnection: close\r\n\r\n",
            self.at, self.token
        )
    }

    async fn send(&self, path: &str, more: &str, body: &[u8]) -> (u16, Value) {
        let (status, text) = self.raw(&[self.head(path, more, body.len()).as_bytes(), body].concat()).await;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(path, "", body.to_string().as_bytes()).await
    }
}

/// A trace as the platform's client uploads it.
fn trace(session: &str, n: u64, output: Option<&str>) -> Value {
    let mut trace = json!({"timestamp":format!("2026-03-11T10:00:{n:02}.123456+00:00"),"tool_name":"Bash",
        "hook_type":"PostToolUse","session_id":session,"working_dir":"~/project","model":"claude-sonnet-4-5",
        // Two calls of one message.
        "input_tokens":10 + n / 2,"output_tokens":100,"cost_usd":0.01,"user_input":"do it","reasoning":null,
        "ai_output":"Looking","agent_id":null,"agent_type":null,"is_sidechain":false,
        "tool_input":{"command":format!("ls {n}")}});
    if let Some(output) = output {
        trace["tool_output"] = output.into();
    }
    trace
}

fn batch(traces: &[Value]) -> Value {
    json!({"source":"claude-code","version":"0.6.5","uploaded_at":"2026-03-11T11:00:00+00:00",
        "trace_count":traces.len(),"traces":traces})
}

/// Waits for the books: they are written behind the journal.
async fn totals_are(daemon: &Daemon, wanted: (u64, u64)) {
    assert_eventually!(totals(daemon).await == wanted, "the books say {wanted:?}");
}

async fn totals(daemon: &Daemon) -> (u64, u64) {
    let usage = daemon.get("/v0/usage?since=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z").await;
    let of =
        |key: &str| usage["totals"]["tokens"][key].as_u64().or(usage["totals"][key].as_u64()).unwrap_or(0);
    (of("input"), of("output"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_sent_again_and_longer_is_counted_once() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let client = Client::of(&daemon).await;
    let two = [trace("s", 0, Some("a")), trace("s", 1, Some("b"))];
    let (status, said) = client.post(INGEST, &batch(&two)).await;
    assert_eq!((status, &said), (202, &json!({"traces_stored": 2})));
    totals_are(&daemon, (10, 100)).await;
    let records = daemon.get("/v0/status").await["store"]["records"].as_u64();
    assert_eq!(client.post(INGEST, &batch(&two)).await.0, 202);
    assert_eq!(daemon.get("/v0/status").await["store"]["records"].as_u64(), records, "nothing new");

    let four: Vec<Value> = (0..4).map(|n| trace("s", n, Some("x"))).collect();
    assert_eq!(client.post(INGEST, &batch(&four)).await.1["traces_stored"], 4);
    // Without outputs, as clients send sessions that have grown too large.
    let less: Vec<Value> = (0..4).map(|n| trace("s", n, None)).collect();
    assert_eq!(client.post(INGEST, &batch(&less)).await.0, 202);
    totals_are(&daemon, (21, 200)).await;
    let spans = daemon.get("/v0/spans?session=s&kind=tool&content=1&limit=0").await;
    let spans = spans["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 4, "{spans:?}");
    assert!(spans.iter().all(|s| s["sources"] == json!(["pisama"])), "{spans:?}");
    assert!(spans.iter().all(|s| s["output"].to_string().contains('x')), "{spans:?}");

    // The same calls, one by one and as spans.
    let hash = |n: u64| {
        let text = format!("s:2026-03-11T10:00:{n:02}.123456+00:00:Bash");
        let all = ring_sha256(&text);
        all[..16].to_owned()
    };
    for n in 0..4u64 {
        let at = 1_773_223_200_000_000_000 + n * 1_000_000_000 + 123_456_000;
        let state =
            json!({"tool_input":{"command":format!("ls {n}")},"tool_output":"x","cache_read_tokens":7})
                .to_string();
        let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
        let span = json!({"name":"Bash:PostToolUse","kind":"SPAN_KIND_INTERNAL","startTimeUnixNano":at,
            "endTimeUnixNano":at + 1_000_000,"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":hash(n),
            "attributes":[attribute("tool.name", json!({"stringValue":"Bash"})),
                attribute("session.id", json!({"stringValue":"s"})),
                attribute("gen_ai.request.model", json!({"stringValue":"claude-sonnet-4-5"})),
                attribute("gen_ai.usage.input_tokens", json!({"intValue":10 + n / 2})),
                attribute("gen_ai.usage.output_tokens", json!({"intValue":100})),
                attribute("gen_ai.state", json!({"stringValue":state}))]});
        let body = json!({"resourceSpans":[{"scopeSpans":[{"spans":[span]}]}]});
        let (status, said) = client.post("/api/v1/tenants/local/traces/ingest", &body).await;
        assert_eq!((status, &said), (202, &json!({"traces_stored": 1})));
    }
    totals_are(&daemon, (21, 200)).await;
    assert_eq!(
        daemon.get("/v0/spans?session=s&kind=tool&limit=0").await["spans"].as_array().unwrap().len(),
        4
    );

    // Our own hooks tell of the session, too: that alone counts.
    let stop = json!({"session_id":"s","hook_event_name":"PostToolUse","prompt_id":"p","tool_name":"Bash",
        "tool_use_id":"toolu_1","tool_input":{"command":"ls 0"},"tool_response":{"stdout":"a"},"cwd":"/w"});
    daemon.hook(1_773_223_200_500_000_000, &stop).await;
    let tools = "/v0/spans?session=s&kind=tool&limit=0";
    assert_eventually!(
        daemon.get(tools).await["spans"].as_array().is_some_and(|all| all.len() == 1),
        "ours alone"
    );
    let spans = daemon.get("/v0/spans?session=s&kind=tool&limit=0").await;
    let spans = spans["spans"].as_array().unwrap();
    assert_eq!((spans.len(), &spans[0]["sources"]), (1, &json!(["hook"])), "{spans:?}");
    daemon.stop().await;
}

fn ring_sha256(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    hash.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn single_events_are_their_own_and_survive_the_daemon() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let client = Client::of(&daemon).await;
    let event = |second: u32, command: &str| {
        json!({"timestamp":format!("2026-03-11T10:00:{second:02}Z"),"tool_name":"Bash","hook_type":"post_tool",
            "session_id":"session-abc-123","tool_input":{"command":command},"tool_output":"5 passed, 0 failed",
            "working_dir":"/home/user/project","trace_type":"tool_call","model":"claude-sonnet-4",
            "tokens_in":1500,"tokens_out":800,"cost_usd":0.012})
    };
    let token = ccd_redact::sample::filled("ghp_{a36}", 7);
    for (second, command) in
        [(0, "pytest tests/"), (0, "pytest tests/"), (0, "ls"), (1, &format!("echo {token}"))]
    {
        let (status, said) = client.post(INGEST, &event(second, command)).await;
        assert_eq!((status, &said), (202, &json!({"traces_stored": 1})));
    }
    totals_are(&daemon, (4500, 2400)).await;
    let sessions = daemon.get("/v0/sessions").await;
    assert_eq!(sessions["sessions"][0]["session_id"], "session-abc-123");
    daemon.stop().await;
    // Nothing that looks like a credential is on disk.
    let mut stack = vec![home.path().to_owned()];
    while let Some(path) = stack.pop() {
        let Ok(meta) = fs_err::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            stack.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            let bytes = fs_err::read(&path).unwrap();
            assert!(!bytes.windows(token.len()).any(|w| w == token.as_bytes()), "{}", path.display());
        }
    }
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    totals_are(&daemon, (4500, 2400)).await;
    let spans = daemon.get("/v0/spans?session=session-abc-123&kind=tool&content=1&limit=0").await;
    let spans = spans["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().any(|s| s["input"].to_string().contains("[redacted:")), "{spans:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_exchanged_and_end_with_their_revocation() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut client = Client::of(&daemon).await;
    let ask = json!({"api_key": client.token, "scope": "ingest"});
    let (status, said) = client.post("/api/v1/auth/token", &ask).await;
    assert_eq!(
        (status, said["token_type"].as_str(), said["expires_in"].as_u64()),
        (200, Some("bearer"), Some(3600))
    );
    let jwt = said["access_token"].as_str().unwrap().to_owned();
    assert_eq!(jwt.split('.').count(), 3);
    let own = std::mem::replace(&mut client.token, jwt);
    assert_eq!(client.post(INGEST, &trace("s", 1, None)).await.0, 202);
    assert_eq!(
        client.post("/api/v1/auth/token", &json!({"api_key": client.token})).await.0,
        401,
        "not again"
    );
    for (body, path) in [(json!({}), "$.api_key"), (json!({"api_key": 5}), "$.api_key"), (json!([]), "$")] {
        let (status, said) = client.post("/api/v1/auth/token", &body).await;
        assert_eq!((status, said["error"]["path"].as_str()), (400, Some(path)));
    }
    let listed = daemon.get("/v0/tokens").await;
    assert!(listed["tokens"][0]["used_at"].is_string() && !listed.to_string().contains(&own), "{listed}");

    // What one is good for, and no more.
    let made = daemon.post_to("/v0/tokens/create?name=t&scope=telemetry&expires_s=60", &json!({})).await;
    let other = Client { at: client.at, token: made["token"].as_str().unwrap().to_owned() };
    let (status, said) = other.post(INGEST, &trace("s", 1, None)).await;
    assert_eq!((status, said["error"]["code"].as_str()), (403, Some("scope")));

    daemon.post_to("/v0/tokens/revoke?which=test", &json!({})).await;
    assert_eq!(client.post(INGEST, &trace("s", 2, None)).await.0, 401, "what it was exchanged for");
    client.token = own;
    let (status, text) = client.raw(client.head(INGEST, "", 0).as_bytes()).await;
    assert_eq!(status, 401);
    assert!(text.to_ascii_lowercase().contains("www-authenticate: bearer"), "{text}");
    let receive = &daemon.get("/v0/status").await["receive"];
    assert_eq!((receive["tokens"].as_u64(), receive["listen"].is_null()), (Some(1), true), "{receive}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one table after the other")]
async fn what_attacks_is_refused_and_leaves_nothing_behind() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let client = Client::of(&daemon).await;
    let records = daemon.get("/v0/status").await["store"]["records"].clone();
    let (at, token) = (client.at, client.token.clone());
    let body = trace("s", 1, None).to_string();
    let json = "Content-Type: application/json\r\n";
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let raw = |head: &str, body: &str| format!("{head}\r\n{body}");
    let line = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
    let length = format!("Content-Length: {}\r\n", body.len());
    let base = line(INGEST);
    let gzip = |bytes: &[u8]| {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let zeros = vec![b' '; 16 << 20];
    for (what, bytes, want) in [
        ("no token", raw(&format!("{base}{json}{length}"), &body), 401),
        (
            "token in query",
            raw(
                &format!("{}{json}{length}", line(&format!("{INGEST}?token={token}&access_token={token}"))),
                &body,
            ),
            401,
        ),
        ("cookie", raw(&format!("{base}{json}{length}Cookie: token={token}\r\n"), &body), 401),
        (
            "wrong",
            raw(&format!("{base}{json}{length}Authorization: Bearer ccdt_{}\r\n", "0".repeat(64)), &body),
            401,
        ),
        ("none", raw(&format!("{base}{json}{length}Authorization: Bearer a.b.c\r\n"), &body), 401),
        ("two", raw(&format!("{base}{json}{length}{bearer}{bearer}"), &body), 400),
        ("origin", raw(&format!("{base}{json}{length}{bearer}Origin: http://{at}\r\n"), &body), 403),
        ("fetch", raw(&format!("{base}{json}{length}{bearer}Sec-Fetch-Site: same-origin\r\n"), &body), 403),
        (
            "preflight",
            raw(&format!("OPTIONS {INGEST} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n"), ""),
            405,
        ),
        ("text", raw(&format!("{base}Content-Type: text/plain\r\n{length}{bearer}"), &body), 415),
        (
            "foreign",
            raw(
                &format!(
                    "POST {INGEST} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{json}{length}{bearer}"
                ),
                &body,
            ),
            421,
        ),
        ("10 GB", raw(&format!("{base}{json}{bearer}Content-Length: 10737418240\r\n"), &body), 413),
        ("two lengths", raw(&format!("{base}{json}{bearer}{length}Content-Length: 3\r\n"), &body), 400),
        (
            "length, chunks",
            raw(&format!("{base}{json}{bearer}{length}Transfer-Encoding: chunked\r\n"), "0\r\n\r\n"),
            400,
        ),
        ("identity", raw(&format!("{base}{json}{bearer}Transfer-Encoding: identity\r\n"), &body), 400),
        ("folded", raw(&format!("{base}{json}{bearer}X: a\r\n b\r\n{length}"), &body), 400),
        (
            "NaN",
            raw(&format!("{base}{json}{bearer}Content-Length: 25\r\n"), "{\"session_id\":\"s\",\"x\":NaN}"),
            400,
        ),
        ("NUL", raw(&format!("{base}{json}{bearer}Content-Length: 4\r\n"), "{\0}\0"), 400),
        (
            "../ tenant",
            raw(&format!("{}{json}{length}{bearer}", line("/api/v1/tenants/../traces/ingest")), &body),
            404,
        ),
        ("else", raw(&format!("{}{json}{length}{bearer}", line("/api/v1/nothing")), &body), 404),
    ] {
        let (status, text) = client.raw(bytes.as_bytes()).await;
        assert_eq!(status, want, "{what}: {text}");
        assert!(!text.to_ascii_lowercase().contains("access-control"), "{what}: {text}");
        assert!(!text.contains(&token), "{what}");
    }
    let deep = format!("{{\"session_id\":\"s\",\"x\":{}", "[".repeat(2_000_000));
    let long = format!("{{\"session_id\":\"{}\"}}", "x".repeat(300));
    let closed = format!("{{\"session_id\":\"s\",\"x\":{}{}}}", "[".repeat(3000), "]".repeat(3000));
    for (what, more, bytes, want) in [
        ("gzip bomb", "Content-Encoding: gzip\r\n", gzip(&zeros), 413),
        ("zstd bomb", "Content-Encoding: zstd\r\n", zstd::encode_all(&zeros[..], 3).unwrap(), 413),
        ("no gzip", "Content-Encoding: gzip\r\n", b"nothing".to_vec(), 400),
        ("br", "Content-Encoding: br\r\n", b"nothing".to_vec(), 415),
        ("deep", "", deep.into_bytes(), 400),
        ("deep and closed", "", closed.into_bytes(), 400),
        ("long id", "", long.into_bytes(), 400),
        ("not UTF-8", "", b"{\"session_id\":\"\xff\"}".to_vec(), 400),
    ] {
        let (status, said) = client.send(INGEST, more, &bytes).await;
        assert_eq!((status, said["error"]["code"].is_string()), (want, true), "{what}: {said}");
    }
    assert_eq!(daemon.get("/v0/status").await["store"]["records"], records, "nothing was written");

    // Odd, and fine: an id is a name and never a path, and strings may be long.
    let odd = json!({"session_id":"../../../etc/passwd","tool_name":"Bash\u{1b}[2J","tool_output":"y".repeat(256 << 10),
        "tool_input":{"command":"\u{0}"}});
    assert_eq!(client.post(INGEST, &odd).await.0, 202);
    assert_eq!(client.send(INGEST, "Content-Encoding: gzip\r\n", &gzip(body.as_bytes())).await.0, 202);
    // In chunks: taken, and the connection ends.
    let chunked = format!(
        "{base}{json}{bearer}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let (status, text) = client.raw(chunked.replace("Connection: close\r\n", "").as_bytes()).await;
    assert_eq!(status, 202, "{text}");
    assert!(text.to_ascii_lowercase().contains("connection: close"), "{text}");
    // Several on one connection.
    let keep = format!("{base}{json}{bearer}{length}\r\n{body}").replace("Connection: close\r\n", "");
    let (_, text) =
        client.raw(format!("{keep}{keep}{base}{json}{bearer}{length}\r\n{body}").as_bytes()).await;
    assert_eq!(text.matches("HTTP/1.1 202").count(), 3, "{text}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_looked_at_without_being_kept() {
    let home = home();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let client = Client::of(&daemon).await;
    let mut again = trace("loop", 0, None);
    let traces: Vec<Value> = (0..12)
        .map(|n| {
            again["timestamp"] = format!("2026-03-11T10:00:{n:02}.000001+00:00").into();
            again.clone()
        })
        .collect();
    let (status, said) = client.post("/api/v1/traces/claude-code/analyze", &batch(&traces)).await;
    assert_eq!((status, said["trace_count"].as_u64()), (200, Some(12)));
    assert_eq!(said["detections"][0]["type"], "loop", "{said}");
    assert!(said["dashboard_url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(daemon.get("/v0/sessions").await["sessions"].as_array().unwrap().is_empty());
    let get = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            client.at, client.token
        )
    };
    let (status, text) = client.raw(get("/api/v1/detections").as_bytes()).await;
    assert!(status == 200 && text.contains("\"detections\":[]"), "{text}");
    assert_eq!(client.raw(get("/api/v1/detections/x/fixes").as_bytes()).await.0, 200);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_its_own_takes_in_and_shows_nothing() {
    let home = home();
    // Where `CCD_HOME` has its configuration.
    fs_err::write(home.path().join("config.toml"), "[receive]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let daemon = Daemon::start(home.path(), "http://127.0.0.1:9").await;
    let mut client = Client::of(&daemon).await;
    client.at = daemon.app.web.receiver().0.unwrap();
    assert_eq!(client.post(INGEST, &trace("s", 1, None)).await.0, 202);
    for path in ["/", "/login", "/v0/status", "/health"] {
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", client.at);
        assert_eq!(client.raw(ask.as_bytes()).await.0, 404, "{path}");
    }
    let receive = daemon.get("/v0/status").await["receive"].clone();
    assert_eq!(
        (receive["listen"].as_str(), receive["remote"].as_bool()),
        (Some(&*client.at.to_string()), Some(false))
    );
    daemon.stop().await;
}
