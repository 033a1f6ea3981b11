//! Forwarding as it is typed, with a daemon of the test's own.

use super::*;
use crate::args::{ConnectArgs, ForwardNameArgs, JsonArgs, SyncArgs};
use crate::testing::{Home, Reply as Answer};

fn sink(name: &str, enabled: bool) -> ForwardStatus {
    ForwardStatus {
        name: name.into(),
        kind: "otlp".into(),
        url: "https://o.example:4318".into(),
        enabled,
        content: "none".into(),
        sent: 12,
        waiting: 3,
        last_error: Some("connection refused\u{1b}[31m".into()),
        last_error_at: Some("2026-11-20T10:00:00Z".into()),
        ..ForwardStatus::default()
    }
}

fn told(sinks: Vec<ForwardStatus>) -> Vec<u8> {
    serde_json::to_vec(&Reply::new(ForwardSinks { forward: sinks, problem: None })).unwrap()
}

fn config(home: &Home) -> String {
    std::fs::read_to_string(&home.env().layout.config_file).unwrap_or_default()
}

#[test]
fn a_table_of_sinks() {
    insta::assert_snapshot!(
        "sinks_100",
        table(&[sink("team", true), sink("other", false)]).render(100, false)
    );
}

#[test]
fn nothing_is_on_before_it_is_switched_on_and_off_is_off_for_all() {
    let home = Home::new();
    home.programs();
    let env = home.env_with(|asked| {
        assert!(asked.line().contains("check --config"), "{}", asked.line());
        crate::exec::Outcome { code: Some(0), ..crate::exec::Outcome::default() }
    });
    let add = |name: &str| {
        let (mut out, text, _) = Printer::captured(80);
        let args = ForwardAddArgs {
            name: name.into(),
            kind: ForwardKind::Otlp,
            url: "https://o.example/secret-path".into(),
            content: ForwardContent::None,
            headers_file: Some("h.txt".into()),
            key_file: None,
            allow_http: false,
            json: false,
        };
        super::add(&env, &mut out, &args).unwrap();
        text.text()
    };
    let text = add("team");
    assert!(text.contains("nothing is sent before `ccctl forward on team`"), "{text}");
    assert!(text.contains("not running"));
    add("other");
    assert!(!config(&home).contains("enabled = true"));
    let daemon = home.daemon(|_| Answer::json(told(vec![sink("team", true), sink("other", false)])));
    let (mut out, text, _) = Printer::captured(80);
    assert_eq!(switch(&env, &mut out, true, None, false).unwrap_err().exit_code(), 2, "which one?");
    switch(&env, &mut out, true, Some("team"), false).unwrap();
    assert!(text.text().contains("https://o.example") && !text.text().contains("secret-path"));
    assert!(config(&home).contains("enabled = true"));
    drop(daemon);
    let daemon = home.daemon(|_| Answer::json(told(vec![sink("team", false), sink("other", false)])));
    let off = ForwardArgs {
        command: Some(ForwardCommand::Off(ForwardNameArgs::default())),
        ..ForwardArgs::default()
    };
    run(&env, &mut out, &off).unwrap();
    assert!(!config(&home).contains("enabled = true"));
    assert_eq!(daemon.requests(), ["POST /v0/forward/reload"]);
    let (mut out, text, _) = Printer::captured(80);
    run(&env, &mut out, &ForwardArgs { command: Some(ForwardCommand::Status(JsonArgs::default())), ..off })
        .unwrap();
    assert!(
        text.text().contains("all of them are off") && !text.text().contains('\u{1b}'),
        "{}",
        text.text()
    );
}

#[test]
fn a_daemon_that_does_not_take_it_up_is_said_to() {
    let home = Home::new();
    home.write("home/x", "");
    let env = home.env();
    let text = "[forward.a]\nkind = \"otlp\"\nurl = \"https://o.example\"\nenabled = true\n";
    std::fs::create_dir_all(env.layout.config_file.parent().unwrap()).unwrap();
    std::fs::write(&env.layout.config_file, text).unwrap();
    let _daemon = home.daemon(|_| Answer::json(told(vec![sink("a", true)])));
    let (mut out, said, _) = Printer::captured(80);
    let error = switch(&env, &mut out, false, None, false).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(!said.text().contains("nothing is sent any more"), "{}", said.text());
}

#[test]
fn a_key_is_kept_for_its_owner_alone_and_shown_to_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let env = home.env();
    let _daemon = home.daemon(|request| {
        if request.uri().path().ends_with("connect") {
            return Answer::json("{\"schema_version\":1,\"ok\":true,\"tenant_id\":\"t-1\",\"dashboard\":\"https://p.example/traces\"}");
        }
        Answer::json(told(vec![sink("pisama", false)]))
    });
    let args = ConnectArgs {
        api_key_stdin: true,
        api_key: None,
        api_url: "https://api.p.example".into(),
        auto_sync: false,
        no_auto_sync: false,
        content: ForwardContent::Full,
        name: "pisama".into(),
        json: false,
    };
    let (mut out, text, err) = Printer::captured(80);
    super::connect::tests::connect(&env, &mut out, &args, "hush-1").unwrap();
    assert!(text.text().contains("t-1") && text.text().contains("nothing is sent before"), "{}", text.text());
    assert!(!format!("{}{}{}", text.text(), err.text(), config(&home)).contains("hush-1"));
    let file = env.layout.config_file.parent().unwrap().join("forward/pisama.key");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hush-1\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        config(&home).contains("enabled = false")
            && config(&home).contains("key_file = \"forward/pisama.key\"")
    );
    for (name, key) in [("pisama", ""), ("pisama", "a b"), ("../x", "k")] {
        let args = ConnectArgs { name: name.into(), ..args.clone() };
        assert_eq!(super::connect::tests::connect(&env, &mut out, &args, key).unwrap_err().exit_code(), 2);
    }
}

#[test]
fn what_would_be_sent_is_printed_as_it_is() {
    let home = Home::new();
    let daemon = home.daemon(|_| {
        Answer::json("{\"schema_version\":1,\"name\":\"a\",\"enabled\":false,\"requests\":[{\"url\":\"https://o.example/x\",\"content_type\":\"application/json\",\"bytes\":9,\"items\":1,\"unit\":\"trace\",\"body\":\"{\\\"a\\\":\\\"ä\\\"}\"}],\"more_turns\":3}")
    });
    let (mut out, text, err) = Printer::captured(80);
    let args = ForwardArgs { preview: true, session: Some("s 1".into()), ..ForwardArgs::default() };
    run(&home.env(), &mut out, &args).unwrap();
    assert_eq!(text.text(), "{\"a\":\"ä\"}");
    assert!(err.text().contains("the sink is off") && err.text().contains("1 trace)"), "{}", err.text());
    assert!(err.text().contains("and 3 more turns: only the beginning"), "{}", err.text());
    assert_eq!(daemon.requests(), ["GET /v0/forward/preview?session=s%201"]);
    assert_eq!(unbase64("+/8=").unwrap(), [0xfb, 0xff]);
}

#[test]
fn at_a_terminal_what_is_sent_in_protobuf_is_shown_in_json_and_nothing_acts_on_the_terminal() {
    let home = Home::new();
    let daemon = home.daemon(|_| {
        Answer::json("{\"schema_version\":1,\"name\":\"a\",\"enabled\":true,\"requests\":[{\"unit\":\"span\",\"items\":2,\"body_base64\":\"+/8=\",\"readable\":\"[\\\"\u{9b}2J\\\"]\"},{\"unit\":\"span\",\"body\":\"[\\\"\u{9b}2J\\\"]\"}]}")
    });
    let (out, text, _) = Printer::captured(80);
    let mut out = out.drawn(false);
    let args = ForwardArgs { preview: true, ..ForwardArgs::default() };
    run(&home.env(), &mut out, &args).unwrap();
    assert_eq!(text.text(), "[\"\\u009b2J\"]\n[\"\\u009b2J\"]\n");
    assert_eq!(daemon.requests(), ["GET /v0/forward/preview?readable=1"]);
}

#[test]
fn what_the_daemon_would_not_take_is_refused_and_off_with_nothing_on_is_done() {
    let home = Home::new();
    home.programs();
    let env = home.env_with(|_| crate::exec::Outcome {
        code: Some(1),
        stderr: "plain http to h would show everything; use https, or set allow_http = true".into(),
        ..crate::exec::Outcome::default()
    });
    let (mut out, _, _) = Printer::captured(80);
    let args = ForwardAddArgs {
        name: "team".into(),
        kind: ForwardKind::Otlp,
        url: "http://h".into(),
        content: ForwardContent::None,
        headers_file: None,
        key_file: None,
        allow_http: false,
        json: false,
    };
    let error = add(&env, &mut out, &args).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.hints.iter().any(|hint| hint.contains("--allow-http")), "{error:?}");
    assert_eq!(config(&home), "");
    let (mut out, text, _) = Printer::captured(80);
    switch(&env, &mut out, false, None, false).unwrap();
    assert!(text.text().contains("nothing leaves this machine"), "{}", text.text());
}

#[test]
fn what_a_sync_did_is_told_and_what_failed_is_a_failure() {
    let home = Home::new();
    let line = |failed: &str| {
        format!(
            "{{\"result\":{{\"schema_version\":1,\"name\":\"p\",\"sessions\":3,\"sent\":2,\"items\":7,\"bytes\":2048,\"degraded\":[{{\"session_id\":\"s-1\",\"text\":\"tool outputs left out\"}}],\"failed\":[{failed}],\"excluded\":1,\"dashboard\":\"https://p.example/traces\"}}}}\n"
        )
    };
    let fine = line("");
    let daemon = home.daemon(move |_| Answer::json(fine.clone()));
    let (mut out, text, _) = Printer::captured(80);
    let args = SyncArgs { last: Some(3), no_outputs: true, ..SyncArgs::default() };
    sync(&home.env(), &mut out, &args).unwrap();
    for part in
        ["2 of 3 sessions sent", "1 session excluded", "tool outputs left out", "https://p.example/traces"]
    {
        assert!(text.text().contains(part), "{part}: {}", text.text());
    }
    assert_eq!(daemon.requests(), ["POST /v0/forward/sync?limit=3&outputs=0"]);
    drop(daemon);
    let wrong = line("{\"session_id\":\"s-2\",\"text\":\"500\"}");
    let _daemon = home.daemon(move |_| Answer::json(wrong.clone()));
    assert_eq!(sync(&home.env(), &mut out, &args).unwrap_err().exit_code(), 1);
}
