//! `open` against a fake daemon and fake browsers.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use super::*;
use crate::exec::Outcome;
use crate::testing::{Daemon, Home, Reply, said};

const LOGIN: &str = r#"{"schema_version":1,"url":"http://127.0.0.1:7789/login#code=c0de","valid_s":60}"#;
const LINK: &str = "http://127.0.0.1:7789/login#code=c0de";

fn daemon(home: &Home) -> Daemon {
    home.daemon(|request| {
        let span = |kind: &str, parent: &str| {
            format!(r#"{{"span_id":"sp1","session_id":"s e","turn_id":"t/1","kind":"{kind}","parent_id":{parent},"exchange_id":"e1"}}"#)
        };
        let exchange = |session: &str| {
            format!(
                r#"{{"kind":"exchange","exchange":{{"exchange":{{"exchange_id":"e1","session_id":{session},"started_at":"2026-11-21T16:00:00Z"}}}}}}"#
            )
        };
        match request.uri().path() {
            "/v0/web/login" | "/v0/web/forget" if request.method() != "POST" => Reply::status(405, "{}"),
            "/v0/web/login" => Reply::json(LOGIN),
            "/v0/web/forget" => Reply::json(r#"{"schema_version":1,"ok":true}"#),
            "/v0/show/ses" => Reply::json(r#"{"kind":"session","session":{"session_id":"s e"}}"#),
            "/v0/show/turn" => Reply::json(r#"{"kind":"turn","turn":{"session_id":"s","turn_id":"t/1"}}"#),
            "/v0/show/tool" => Reply::json(format!(r#"{{"kind":"span","span":{}}}"#, span("tool", "\"p\""))),
            "/v0/show/root" => Reply::json(format!(r#"{{"kind":"span","span":{}}}"#, span("agent", "null"))),
            "/v0/show/sub" => Reply::json(format!(r#"{{"kind":"span","span":{}}}"#, span("agent", "\"p\""))),
            "/v0/show/found" => {
                Reply::json(r#"{"kind":"detection","detection":{"detection_id":"d1","session_id":"s"}}"#)
            }
            "/v0/show/call" => Reply::json(exchange("\"s e\"")),
            "/v0/show/alone" => Reply::json(exchange("null")),
            "/v0/show/later" => Reply::json(r#"{"kind":"dream"}"#),
            "/v0/spans" => Reply::json(format!(r#"{{"spans":[{}]}}"#, span("llm", "\"p\""))),
            _ => Reply::status(404, r#"{"error":{"code":"not_found","message":"nothing has the id","hint":"look"}}"#),
        }
    })
}

/// What came of it: on stdout, on stderr, and the command lines that were run.
struct Came {
    result: Result<()>,
    out: String,
    err: String,
    ran: Vec<String>,
}

fn opened(home: &Home, args: &OpenArgs, code: i32) -> Came {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ran);
    let env = home.env_with(move |call| {
        seen.lock().unwrap().push(call.line());
        Outcome { code: Some(code), ..said("") }
    });
    let (mut printer, out, err) = Printer::captured(80);
    let result = run_as(&env, &mut printer, args, true);
    let _ = printer.flush();
    let ran = ran.lock().unwrap().clone();
    Came { result, out: out.text(), err: err.text(), ran }
}

/// A home with a screen, and these programs on `PATH`.
fn desk(programs: &[&str]) -> Home {
    let home = Home::new();
    let bin = home.path().join("bin");
    let home = home.var("PATH", bin).var("DISPLAY", ":0");
    for name in programs {
        let path = home.write(&format!("bin/{name}"), "");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    home
}

fn of(id: &str) -> OpenArgs {
    OpenArgs { id: Some(id.into()), print: true, ..OpenArgs::default() }
}

#[test]
fn every_kind_of_thing_has_its_place() {
    let home = desk(&[]);
    let fake = daemon(&home);
    for (id, to) in [
        ("ses", "%23%2Fs%2Fs%2520e"),
        ("turn", "%23%2Fs%2Fs%2Ft%3At%252F1"),
        ("tool", "%23%2Fs%2Fs%2520e%2Fs%3Asp1"),
        ("root", "%23%2Fs%2Fs%2520e%2Ft%3At%252F1"),
        ("sub", "%23%2Fs%2Fs%2520e%2Fs%3Ap"),
        ("found", "%23%2Fs%2Fs%2Fd%3Ad1"),
        ("call", "%23%2Fs%2Fs%2520e%2Fs%3Asp1"),
    ] {
        let came = opened(&home, &of(id), 0);
        assert_eq!(came.out, format!("{LINK}&to={to}\n"), "{id}");
        assert!(came.err.contains("good once, for 60 s") && came.ran.is_empty());
    }
    let came = opened(&home, &of("alone"), 0).result.unwrap_err();
    assert!(came.message.contains("no session") && came.hints[0].contains("ccctl exchange e1"), "{came:?}");
    assert!(opened(&home, &of("later"), 0).result.unwrap_err().message.contains("dream"));
    assert_eq!(opened(&home, &of("nope"), 0).result.unwrap_err().message, "nothing has the id");
    assert!(
        !fake.requests().iter().rev().take(3).any(|line| line.contains("login")),
        "no code was made for nothing"
    );
}

#[test]
fn the_browser_is_the_users_else_the_systems_and_never_a_shell() {
    let system = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let home = desk(&[system, "mine"]);
    let bin = home.path().join("bin");
    let _daemon = daemon(&home);
    let args = OpenArgs::default();
    let came = opened(&home, &args, 0);
    assert_eq!(
        (came.out.as_str(), came.ran),
        ("opened in your browser\n", vec![format!("{}/{system} {LINK}", bin.display())])
    );
    // With words of its own; what a shell would act on stays as it is.
    let home = home.var("BROWSER", "gone:mine --new $(x) %s;y:other");
    let came = opened(&home, &args, 0);
    assert_eq!(came.ran, [format!("{}/mine --new $(x) {LINK};y", bin.display())]);
    let came = opened(&home, &OpenArgs { json: true, ..OpenArgs::default() }, 0);
    let said: serde_json::Value = serde_json::from_str(&came.out).unwrap();
    assert_eq!((said["url"].as_str(), said["valid_s"].as_u64()), (Some(LINK), Some(60)));
    assert_eq!(said["browser"].as_str(), bin.join("mine").to_str());
    // None of them takes it.
    let came = opened(&home, &args, 3);
    assert_eq!((came.out, came.ran.len()), (format!("{LINK}\n"), 2));
    for why in ["gone is not there", "mine ended with 3", "other is not there", "set BROWSER"] {
        assert!(came.err.contains(why), "{why}: {}", came.err);
    }
    assert!(came.result.is_ok());
}

#[test]
fn where_there_is_no_screen_the_link_is_printed() {
    let home = desk(&["xdg-open"]).var("DISPLAY", "");
    let _daemon = daemon(&home);
    let args = OpenArgs::default();
    if !cfg!(target_os = "macos") {
        let came = opened(&home, &args, 0);
        assert_eq!((came.out.as_str(), came.ran.len()), (&*format!("{LINK}\n"), 0));
        assert!(!came.err.contains("ssh"), "{}", came.err);
    }
    let home = home
        .var("DISPLAY", ":10")
        .var("SSH_CONNECTION", "198.51.100.7 40000 192.0.2.3 2222")
        .var("USER", "ann");
    let came = opened(&home, &args, 0);
    assert_eq!((came.out.as_str(), came.ran.len()), (&*format!("{LINK}\n"), 0));
    let tunnel = "ssh -p 2222 -N -L 7789:127.0.0.1:7789 ann@192.0.2.3";
    assert!(came.err.contains(tunnel), "{}", came.err);
    let came = opened(&home, &OpenArgs { json: true, print: true, ..OpenArgs::default() }, 0);
    let said: serde_json::Value = serde_json::from_str(&came.out).unwrap();
    assert_eq!((said["ssh"].as_str(), said["browser"].is_null()), (Some(tunnel), true));
    // What the surroundings say is not put into a line that somebody will paste, unless it is what it must be.
    let home = home.var("SSH_CONNECTION", "a b $(x) 22").var("USER", "ann;x");
    let came = opened(&home, &args, 0);
    assert!(came.err.contains("ssh -N -L 7789:127.0.0.1:7789 THIS-MACHINE"), "{}", came.err);
    // An editor from afar has its own way.
    let home = home.var("BROWSER", "xdg-open");
    assert_eq!(opened(&home, &args, 0).ran.len(), 1);
}

#[test]
fn where_others_could_read_the_link_the_browser_gets_a_private_file() {
    let home = desk(&["mine"]).var("BROWSER", "mine");
    let _daemon = daemon(&home);
    let ran = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&ran);
    let env = home.env_with(move |call| {
        *seen.lock().unwrap() = call.line();
        said("")
    });
    let (mut printer, _, _) = Printer::captured(80);
    let args = OpenArgs { id: Some("ses".into()), ..OpenArgs::default() };
    for _ in 0..2 {
        run_as(&env, &mut printer, &args, false).unwrap();
        let page = env.layout.link_page();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains(&format!("url={LINK}&amp;to=%23%2Fs%2Fs%2520e\">")), "{text}");
        assert_eq!(std::fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
        let line = ran.lock().unwrap().clone();
        assert!(
            line.ends_with("/run/open.html") && line.contains(" file:///") && !line.contains("c0de"),
            "{line}"
        );
    }
}

#[test]
fn everybody_is_logged_out_when_told() {
    let home = desk(&[]);
    let daemon = daemon(&home);
    let args = OpenArgs { forget: true, ..OpenArgs::default() };
    assert!(opened(&home, &args, 0).out.contains("logged out"));
    assert_eq!(daemon.requests(), ["POST /v0/web/forget"]);
    assert!(opened(&home, &OpenArgs { json: true, ..args }, 0).out.contains("\"ok\":true"));
}

#[test]
fn without_a_daemon_or_its_pages_it_says_what_to_do() {
    let home = desk(&[]);
    assert_eq!(opened(&home, &OpenArgs::default(), 0).result.unwrap_err().exit_code(), 3);
    let _daemon = home.daemon(|_| {
        Reply::status(503, r#"{"error":{"code":"web_closed","message":"the pages are not served: taken","hint":"a free port"}}"#)
    });
    let error = opened(&home, &OpenArgs::default(), 0).result.unwrap_err();
    assert_eq!((error.exit_code(), error.message.as_str()), (1, "the pages are not served: taken"));
    assert_eq!(error.hints, ["a free port"]);
}
