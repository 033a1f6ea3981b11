//! The daemon in-process: its doors, its configuration, its end.

use std::time::Duration;

use crate::common::{Daemon, frame, home, upstream};
use ccd_proto::frame::Status;
use serde_json::{Value, json};

const DEAD: &str = "http://127.0.0.1:9";

/// A whole answer of the API, by a model that no price table knows.
const MYSTERY: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\nset-cookie: canary-cookie\r\n",
    "content-length: 140\r\nconnection: close\r\n\r\n",
    r#"{"type":"message","id":"msg_1","model":"mystery-1","content":[{"type":"text","text":"hi"}],"#,
    r#""usage":{"input_tokens":1000,"output_tokens":9}} "#
);

fn event(name: &str, more: Value) -> Value {
    let mut body =
        json!({"session_id":"s-1","hook_event_name":name,"cwd":"/home/user/project","prompt_id":"p-1"});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn request() -> String {
    json!({"model":"mystery-1","tools":[{},{}],"messages":[{"role":"user","content":"hello"}]}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_delivered_twice_is_recorded_once_however_it_comes() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let body = event("UserPromptSubmit", json!({"prompt":"do it"}));
    assert_eq!(daemon.hook(7, &body).await, Status::Durable);
    assert_eq!(daemon.hook(7, &body).await, Status::Durable);
    let spool = &daemon.app.layout.spool_dir;
    // As `cc-hook` does it: nobody ever sees half a file.
    let put = |name: &str, bytes: &[u8]| {
        let aside = spool.join(format!(".{name}"));
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(aside, spool.join(name)).unwrap();
    };
    put("00000000000000000007-1.frame", &frame(7, &body));
    put("00000000000000000008-1.frame", &frame(8, &event("Stop", json!({}))));
    put("00000000000000000009-1.frame", b"no frame");
    let counts = |hooks: &Value| ["events", "spooled", "rejected"].map(|name| hooks[name].as_u64());
    assert_eventually!(
        counts(&daemon.get("/v0/status").await["hooks"]) == [Some(2), Some(0), Some(1)],
        "{}",
        daemon.get("/v0/status").await
    );
    assert!(spool.join("00000000000000000009-1.rejected").exists(), "nothing is thrown away");
    let turns = daemon.get("/v0/turns").await;
    assert_eq!((&turns["turns"][0]["turn_id"], &turns["turns"][0]["status"]), (&json!("p-1"), &json!("ok")));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_survive_a_restart_and_the_loss_of_the_index() {
    let home = home();
    let api = upstream(vec![MYSTERY], Duration::ZERO).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    daemon.hook(5, &event("SessionStart", json!({"prompt_id":null}))).await;
    daemon.hook(6, &event("UserPromptSubmit", json!({"prompt":"do it"}))).await;
    assert_eq!(daemon.post("/v1/messages?beta=true", "s-1", &request()).await.0, 200);
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 1, "captured");
    let pages =
        ["/v0/sessions", "/v0/turns", "/v0/spans?content=1", "/v0/exchanges", "/v0/usage?period=total"];
    let mut before = Vec::new();
    for page in pages {
        before.push(daemon.get(page).await);
    }
    let store = daemon.app.layout.store_dir();
    daemon.stop().await;
    for lose_index in [false, true] {
        if lose_index {
            std::fs::remove_dir_all(store.join("v1/index")).unwrap();
        }
        let daemon = Daemon::start(home.path(), DEAD).await;
        for (page, was) in pages.iter().zip(&before) {
            assert_eq!(&daemon.get(page).await, was, "{page}, index lost: {lose_index}");
        }
        daemon.stop().await;
    }
    let spans = &before[2]["spans"];
    assert_eq!(spans[1]["output"][0]["text"], "hi");
    assert_eq!(spans[1]["input"][0]["content"], "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_is_in_force_and_a_wrong_one_is_shown() {
    let home = home();
    let daemon = Daemon::start(home.path(), "").await;
    let file = daemon.app.layout.config_file.clone();
    std::fs::write(&file, "upstream = \"http://127.0.0.1:9/gw\"\nlog = \"debug\"\n").unwrap();
    assert_eventually!(
        daemon.get("/v0/status").await["proxy"]["upstream"] == "http://127.0.0.1:9/gw",
        "reloaded"
    );
    assert_eq!(daemon.get("/v0/status").await["daemon"]["log"], "debug");
    std::fs::write(&file, "upstreem = \"x\"\n").unwrap();
    assert_eventually!(
        daemon.get("/v0/status").await["daemon"]["config_error"]
            .as_str()
            .is_some_and(|e| e.contains("upstreem")),
        "shown"
    );
    assert_eq!(
        daemon.get("/v0/status").await["proxy"]["upstream"],
        "http://127.0.0.1:9/gw",
        "the old one stays"
    );
    assert_eq!(daemon.api("POST /v0/log-level?level=warn").await.0, 200);
    assert_eq!(daemon.get("/v0/status").await["daemon"]["log"], "warn");
    assert_eq!(daemon.api("POST /v0/log-level?level=ccd%3Dloud").await.0, 400);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_is_unpriced_until_the_configuration_prices_it() {
    let home = home();
    let api = upstream(vec![MYSTERY], Duration::ZERO).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    daemon.post("/v1/messages", "s-1", &request()).await;
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 1, "captured");
    let usage = daemon.get("/v0/usage?by=model").await;
    assert_eq!(usage["unpriced_models"], json!(["mystery-1"]));
    assert_eq!(
        (&usage["totals"]["cost_usd_micros"], &usage["totals"]["cost"]),
        (&Value::Null, &json!("unpriced"))
    );
    assert_eq!(usage["rows"][0]["tokens"]["input"], 1000);
    let config = "[prices.\"mystery-1\"]\ninput = 1.0\noutput = 1000.0\n";
    std::fs::write(&daemon.app.layout.config_file, config).unwrap();
    assert_eventually!(
        daemon.get("/v0/usage").await["totals"]["cost_usd_micros"] == 10_000,
        "worked out again"
    );
    assert_eq!(daemon.get("/v0/exchanges").await["exchanges"][0]["cost_usd_micros"], 10_000);
    assert_eq!(daemon.get("/v0/sessions").await["sessions"][0]["cost_usd_micros"], 10_000);
    daemon.stop().await;
    // Taken back while the daemon is down: the old prices hold again.
    std::fs::write(home.path().join("config.toml"), "").unwrap();
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eq!(daemon.get("/v0/usage").await["totals"]["cost"], "unpriced");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_goes_on_without_a_store() {
    let home = home();
    std::fs::create_dir_all(home.path().join("state")).unwrap();
    std::fs::write(home.path().join("state/store"), "in the way").unwrap();
    let api = upstream(vec![MYSTERY], Duration::ZERO).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    let (status, body) = daemon.post("/v1/messages", "s-1", &request()).await;
    assert_eq!((status, body.len()), (200, 140));
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["bypass"] == true, "shown");
    let status = daemon.get("/v0/status").await;
    assert!(status["store"]["error"].is_string(), "{status}");
    assert_eventually!(daemon.get("/v0/status").await["capture"]["dropped"] == 1, "the gap is counted");
    assert_eq!(daemon.hook(1, &event("Stop", json!({}))).await, Status::Refused, "the shim shall spool it");
    assert_eq!(daemon.api("GET /v0/sessions").await.0, 503);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_gets_nowhere() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let (t, listen) = (daemon.token.clone(), daemon.app.proxy_listen);
    let ask = |path: &str, host: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n")
    };
    let us = listen.to_string();
    for (raw, want) in [
        (ask(&format!("/{t}/.ccd/ping"), &us, ""), 204),
        (ask(&format!("/{t}/.ccd/ping"), &format!("localhost:{}", listen.port()), ""), 204),
        (ask("/v1/messages", &us, ""), 404),
        (ask(&format!("/{}/v1/messages", "0".repeat(32)), &us, ""), 404),
        (ask(&format!("/{t}x/v1"), &us, ""), 404),
        (ask(&format!("/{t}/v1/messages"), "evil.example", ""), 421),
        (ask(&format!("/{t}/v1/messages"), &us, "Origin: https://evil.example\r\n"), 403),
        (ask(&format!("/{t}/v1/messages"), &us, "Sec-Fetch-Site: cross-site\r\n"), 403),
        (ask(&format!("/{t}/../admin"), &us, ""), 400),
        (ask(&format!("http://evil.example/{t}/v1"), &us, ""), 400),
    ] {
        let (status, body) = daemon.proxy(&raw).await;
        assert_eq!(status, want, "{raw}");
        assert!(want == 400 || body.is_empty(), "no hint: {raw}");
    }
    for headers in
        ["Host: evil.example\r\n", "Host: ccd\r\nOrigin: http://ccd\r\n", "Host: ccd\r\nReferer: x\r\n"]
    {
        assert_eq!(daemon.api_with("GET /v0/status", headers).await.0, 403, "{headers}");
    }
    assert_eq!(daemon.api("GET /v0/nothing").await.0, 404);
    assert_eq!(daemon.api("GET /v0/stop").await.0, 405);
    assert_eq!(daemon.api("GET /v0/sessions?sesion=x").await.0, 400);
    assert_eq!(daemon.get("/v0/status").await["proxy"]["exchanges"], 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_be_reached_is_an_error_of_the_apis_shape_and_is_recorded() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let (status, body) = daemon.post("/v1/messages", "s-1", &request()).await;
    assert_eq!(status, 502);
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!("api_error")));
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 1, "recorded");
    let shown = daemon.get("/v0/exchanges").await;
    let exchange = &shown["exchanges"][0];
    assert_eq!((&exchange["status"], &exchange["complete"]), (&json!(502), &json!(false)));
    assert!(exchange["error"].as_str().unwrap().contains("refused"), "{exchange}");
    assert_eq!(exchange["cost_usd_micros"], Value::Null);
    assert_eq!(daemon.get("/v0/status").await["proxy"]["errors"], 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_reaches_the_disk() {
    let home = home();
    let api = upstream(vec![MYSTERY], Duration::ZERO).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    daemon.post("/v1/messages", "s-1", &request()).await;
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == 1, "recorded");
    let exchanges = daemon.get("/v0/exchanges").await;
    let id = exchanges["exchanges"][0]["exchange_id"].as_str().unwrap().to_owned();
    let detail = daemon.get(&format!("/v0/exchanges/{id}")).await;
    let text = detail.to_string();
    assert!(!text.contains("canary") && text.contains("req_1"), "{text}");
    assert!(!text.contains(&daemon.token), "the path token is not part of the path: {text}");
    daemon.stop().await;
}

const SLOW: [&str; 3] = [
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"id\":\"msg_2\",\
     \"model\":\"claude-opus-5-5\",\"content\":[],\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_streams_finish_and_records_them() {
    let home = home();
    let api = upstream(SLOW.to_vec(), Duration::from_millis(150)).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    let stream = daemon.streamed();
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["in_flight"] == 1, "under way");
    daemon.stop().await;
    assert!(String::from_utf8_lossy(&stream.await.unwrap()).contains("message_stop"), "whole");
    let daemon = Daemon::start(home.path(), DEAD).await;
    let shown = daemon.get("/v0/exchanges").await;
    assert_eq!(shown["exchanges"][0]["complete"], true, "{shown}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_once_cuts_streams_and_records_how_far_they_came() {
    let home = home();
    let api = upstream(SLOW.to_vec(), Duration::from_millis(700)).await;
    let daemon = Daemon::start(home.path(), &format!("http://{api}")).await;
    let stream = daemon.streamed();
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["in_flight"] == 1, "under way");
    daemon.app.stop(true);
    daemon.ended().await;
    assert!(!String::from_utf8_lossy(&stream.await.unwrap()).contains("message_stop"));
    let daemon = Daemon::start(home.path(), DEAD).await;
    let shown = daemon.get("/v0/exchanges").await;
    assert_eq!(shown["exchanges"][0]["complete"], false, "{shown}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retiring_daemon_answers_and_ends_by_itself() {
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let socket = daemon.app.layout.control_socket();
    assert_eq!(daemon.api("POST /v0/retire?idle_s=3600").await.0, 200);
    assert_eq!(daemon.get("/v0/status").await["daemon"]["state"], "retiring");
    assert_eq!(daemon.post("/v1/messages", "s-1", "{}").await.0, 502, "still answers");
    daemon.stop().await;
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eq!(daemon.api("POST /v0/retire?idle_s=0").await.0, 200);
    daemon.ended().await;
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retiring_daemon_keeps_its_upstream() {
    let home = home();
    std::fs::write(home.path().join("config.toml"), "upstream = \"http://127.0.0.1:9/gateway\"\n").unwrap();
    let daemon = Daemon::start(home.path(), "").await;
    assert_eq!(daemon.api("POST /v0/retire").await.0, 200);
    std::fs::remove_file(&daemon.app.layout.config_file).unwrap();
    std::fs::write(&daemon.app.layout.config_file, "upstream = \"https://api.anthropic.com\"\n").unwrap();
    // Nothing tells of a change that is rightly not taken up: looked at for longer than a reload takes.
    for _ in 0..40 {
        assert_eq!(daemon.get("/v0/status").await["proxy"]["upstream"], "http://127.0.0.1:9/gateway");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_see_spans_come_and_change() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let s = tokio::net::UnixStream::connect(daemon.app.layout.control_socket()).await.unwrap();
    let (read, mut write) = s.into_split();
    write.write_all(b"GET /v0/spans/follow?content=1&kind=tool HTTP/1.1\r\nHost: ccd\r\n\r\n").await.unwrap();
    let mut lines = BufReader::new(read).lines();
    // The head is there once the following has begun.
    while !lines.next_line().await.unwrap().unwrap().is_empty() {}
    let now =
        u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos())
            .unwrap();
    let call = json!({"tool_name":"Bash","tool_use_id":"t1","tool_input":{"command":"ls"}});
    daemon.hook(now, &event("PreToolUse", call.clone())).await;
    let mut done = call.clone();
    done["tool_response"] = json!({"stdout":"a"});
    daemon.hook(now + 5_000_000, &event("PostToolUse", done)).await;
    let mut seen: Vec<Value> = Vec::new();
    while !seen.iter().any(|s| s["status"] == "ok") {
        let line =
            tokio::time::timeout(crate::common::PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        seen.extend(serde_json::from_str::<Value>(&line).ok().filter(Value::is_object));
    }
    let last = seen.last().unwrap();
    assert_eq!((&last["input"]["command"], &last["output"]["stdout"]), (&json!("ls"), &json!("a")));
    assert!(seen.iter().all(|s| s["kind"] == "tool"), "{seen:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_could_not_be_opened_is_tried_again() {
    let home = home();
    std::fs::create_dir_all(home.path().join("state")).unwrap();
    let in_the_way = home.path().join("state/store");
    std::fs::write(&in_the_way, "in the way").unwrap();
    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["bypass"] == true, "shown");
    std::fs::remove_file(&in_the_way).unwrap();
    assert_eventually!(
        daemon.get("/v0/status").await["proxy"]["bypass"] == false,
        "opened without a restart"
    );
    assert_eq!(daemon.hook(1, &event("Stop", json!({}))).await, Status::Durable);
    daemon.stop().await;
}
