//! The client of another recorder's platform, as it is, connected to our ingestion: connect, capture with auto-sync, the
//! Stop hook, `sync`, `analyze`, `status`; and what was sent stands in our lists, once.

use ccd_tests::harness::{Daemon, PISAMA_VERSION, TestHome, pisama, pisama_hook};
use serde_json::{Value, json};

/// What the hooks of a session are told, and the transcript that they look at.
struct Session {
    id: &'static str,
    transcript: String,
}

impl Session {
    fn new(home: &TestHome, id: &'static str) -> Self {
        let transcript = home.work().join(format!("{id}.jsonl"));
        let lines = [
            json!({"type":"user","message":{"role":"user","content":"list the files"}}),
            json!({"type":"assistant","message":{"id":"msg_1","role":"assistant","model":"claude-sonnet-4-5",
                "content":[{"type":"text","text":"I look."}],
                "usage":{"input_tokens":1200,"output_tokens":340,"cache_read_input_tokens":50,
                    "cache_creation_input_tokens":0}}}),
        ];
        let text: String = lines.iter().flat_map(|line| [line.to_string(), "\n".into()]).collect();
        std::fs::write(&transcript, text).unwrap();
        Session { id, transcript: transcript.display().to_string() }
    }

    fn call(&self, home: &TestHome, command: &str) {
        let payload = json!({"session_id":self.id,"transcript_path":self.transcript,"cwd":home.work(),
            "hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":command},
            "tool_response":{"stdout":"a.rs\nb.rs","stderr":""}});
        let module = "pisama_claude_code.hooks.capture_hook";
        let out = pisama_hook(home, module, &["PostToolUse"], payload.to_string().as_bytes()).ok();
        assert_eq!(out.stderr, "");
    }

    fn stop(&self, home: &TestHome) {
        let payload = json!({"session_id":self.id,"hook_event_name":"Stop"}).to_string();
        let out = pisama_hook(home, "pisama_claude_code.hooks.forward_hook", &[], payload.as_bytes()).ok();
        assert_eq!(out.stderr, "");
    }
}

fn told(home: &TestHome, args: &[&str]) -> Value {
    home.ccctl(args).ok().json()
}

/// Tool calls of a session, by what we list.
fn calls(home: &TestHome, session: &str) -> Vec<Value> {
    let told = told(
        home,
        &["traces", "--session", session, "--kind", "tool", "--content", "--limit", "1000", "--json"],
    );
    told["spans"].as_array().unwrap().clone()
}

fn tokens(home: &TestHome) -> [u64; 3] {
    let told = told(home, &["usage", "--json"]);
    ["input", "output", "cache_read"].map(|key| {
        let totals = &told["totals"];
        totals["tokens"][key].as_u64().or(totals[key].as_u64()).unwrap_or_else(|| panic!("{told}"))
    })
}

#[test]
fn the_client_connects_captures_syncs_and_analyses() {
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let address = home.running().web.listen.unwrap();
    let made = told(&home, &["token", "create", "pisama", "--expires", "90d", "--json"]);
    let token = made["token"].as_str().unwrap();
    let version = pisama(&home, &["--version"]).ok().text();
    assert!(version.contains(PISAMA_VERSION), "{version}");

    let url = format!("http://{address}");
    let connect = |key: &str| {
        let args = ["connect", "--api-key", key, "--api-url", &url, "--auto-sync"];
        pisama(&home, &args).ok().text()
    };
    let refused = connect(&format!("ccdt_{}", "0".repeat(64)));
    assert!(refused.contains("could not authenticate"), "{refused}");
    let connected = connect(token);
    assert!(connected.contains("Connected to Pisama platform"), "{connected}");
    assert!(connected.contains("Tenant: local") && connected.contains("Auto-sync: enabled"), "{connected}");

    // Each call is streamed as a span as it is captured.
    let session = Session::new(&home, "9c1e5b1c-7f7e-4a55-8f2e-6f1d1c5ad001");
    session.call(&home, "ls src");
    session.call(&home, "ls tests");
    let spans = calls(&home, session.id);
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(|span| span["sources"] == json!(["pisama"])), "{spans:?}");
    assert!(spans.iter().any(|span| span["input"].to_string().contains("ls tests")), "{spans:?}");
    let once = [1200, 340, 50];
    assert_eq!(tokens(&home), once, "two calls of one message");

    // What was streamed is not sent again by the Stop hook; what was not, is.
    session.stop(&home);
    assert_eq!(calls(&home, session.id).len(), 2);
    let log = home.user().join(".claude/pisama/sync_log.jsonl");
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 2);
    std::fs::remove_file(&log).unwrap();
    session.stop(&home);
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 2, "it was sent, and taken");
    assert_eq!((calls(&home, session.id).len(), tokens(&home)), (2, once));

    // The whole session, twice, with one more call between.
    let synced = pisama(&home, &["sync"]).ok().text();
    assert!(synced.contains("Synced 2 traces from 1 session(s)"), "{synced}");
    assert_eq!((calls(&home, session.id).len(), tokens(&home)), (2, once));
    session.call(&home, "ls docs");
    let synced = pisama(&home, &["sync"]).ok().text();
    assert!(synced.contains("Synced 3 traces from 1 session(s)"), "{synced}");
    let synced = pisama(&home, &["sync", "--no-outputs"]).ok().text();
    assert!(synced.contains("Synced 3 traces"), "{synced}");
    let spans = calls(&home, session.id);
    assert_eq!((spans.len(), tokens(&home)), (3, once));
    assert!(spans.iter().all(|span| span["output"].to_string().contains("b.rs")), "{spans:?}");
    let sessions = told(&home, &["sessions", "--json"]);
    assert_eq!(sessions["sessions"][0]["session_id"], session.id);
    assert_eq!(sessions["sessions"][0]["tool_calls"], 3);

    // What it keeps itself, imported, is the same calls.
    let files = home.user().join(".claude/pisama/traces");
    let _ = home.ccctl(&["import", files.to_str().unwrap()]).ok();
    assert_eq!((calls(&home, session.id).len(), tokens(&home)), (3, once));

    let analysed = pisama(&home, &["analyze"]).ok().text();
    assert!(
        analysed.contains("Analysis Results (3 traces)") && analysed.contains("No issues detected"),
        "{analysed}"
    );
    for _ in 0..12 {
        session.call(&home, "cargo test --lib parser");
    }
    let analysed = pisama(&home, &["analyze"]).ok().text();
    assert!(analysed.contains("loop (severity:") && analysed.contains("Found "), "{analysed}");
    assert!(analysed.contains(&format!("View details at: {url}")), "{analysed}");
    let status = pisama(&home, &["status"]).ok().text();
    assert!(
        status.contains(&format!("Connected to: {url}")) && status.contains("forwarding: ON"),
        "{status}"
    );
    let offered = pisama(&home, &["fix", "list"]).ok().text();
    assert!(!offered.contains("Error") && !offered.contains("❌"), "{offered}");

    // Revoked: even what the token was exchanged for is good no more.
    let gone = home.ccctl(&["token", "revoke", "pisama"]).ok().text();
    assert!(gone.contains("good no more"), "{gone}");
    let synced = pisama(&home, &["sync"]).ok().text();
    assert!(synced.contains("Sync failed") && synced.contains("401"), "{synced}");
    assert_eq!(tokens(&home), once);
    daemon.stop(&home);
}
