//! Daemons of other versions: what they say is told apart from what is understood, and nothing is made of it.

use ccd_proto::{API_VERSION, VERSION};
use clap::Parser;
use serde_json::json;

use crate::args::Cli;
use crate::dispatch;
use crate::error::Kind;
use crate::exec::Outcome;
use crate::printer::Printer;
use crate::testing::{Daemon, Home, Reply, said};

/// A daemon of another version, whose answers look as if they were of this one.
fn daemon(home: &Home, version: &'static str, api: u32) -> Daemon {
    let body = json!({
        "schema_version": 1, "ok": true,
        "daemon": {"running": true, "pid": 7, "state": "serving", "version": version},
        "sessions": [], "turns": [], "spans": [], "exchanges": [], "rows": [], "timezone": "UTC",
    });
    home.daemon(move |_| {
        Reply::json(body.to_string()).header("ccd-version", version).header("ccd-api", &api.to_string())
    })
}

const COMMANDS: [&[&str]; 17] = [
    &["status"],
    &["status", "--json"],
    &["sessions"],
    &["sessions", "--json"],
    &["turns", "--json"],
    &["traces"],
    &["traces", "--follow"],
    &["exchanges", "--json"],
    &["exchange", "x", "--request"],
    &["show", "x"],
    &["usage", "--json"],
    &["budget"],
    &["store", "stats"],
    &["import", "."],
    &["logs", "--level", "debug"],
    &["run", "--", "-p", "hi"],
    &["install", "--no-service"],
];

#[test]
fn another_control_api_is_one_clear_error_and_never_an_answer() {
    for (version, api) in [("9.9.9", API_VERSION + 1), ("0.0.1", API_VERSION - 1)] {
        for words in COMMANDS {
            let home = Home::new();
            home.programs();
            let path = home.path().join("bin");
            let home = home.var("PATH", path);
            let _daemon = daemon(&home, version, api);
            let env = home.env_with(|call| match call.line() {
                line if line.contains("claude") => said("2.1.329 (Claude Code)\n"),
                _ => Outcome { code: Some(1), ..Outcome::default() },
            });
            let cli = Cli::parse_from([&["ccctl"], words].concat());
            let (mut out, text, _) = Printer::captured(100);
            let error = dispatch(&env, &mut out, &cli).expect_err(&words.join(" "));
            assert_eq!((error.kind, error.exit_code()), (Kind::Failed, 1), "{words:?}: {error}");
            for part in [version, VERSION, &format!("API {api}")] {
                assert!(error.message.contains(part), "{words:?}: {error}");
            }
            assert!(error.hints[0].contains("ccctl restart"), "{words:?}: {:?}", error.hints);
            assert_eq!(text.text(), "", "{words:?}");
        }
    }
}

#[test]
fn the_same_api_of_another_build_is_understood_and_told_once() {
    let home = Home::new();
    let _daemon = daemon(&home, "9.9.9", API_VERSION);
    let (mut out, text, err) = Printer::captured(100);
    dispatch(&home.env(), &mut out, &Cli::parse_from(["ccctl", "sessions", "--json"])).unwrap();
    assert!(text.text().contains("\"sessions\":[]"), "{}", text.text());
    assert_eq!(err.text().matches("9.9.9").count(), 1, "{}", err.text());
}

#[test]
fn what_replaces_and_stops_a_daemon_understands_every_version() {
    let home = Home::new();
    let daemon = home.daemon(|_| {
        // Nothing of it reads as today's status but what all versions share.
        Reply::json(
            r#"{"daemon":{"pid":7,"version":"9.9.9","state":"serving","rss_bytes":"many"},"proxy":[]}"#,
        )
        .header("ccd-version", "9.9.9")
        .header("ccd-api", "77")
    });
    let status = crate::daemon::alive(&home.env()).unwrap().unwrap();
    assert_eq!((status.daemon.pid, status.daemon.version.as_str()), (7, "9.9.9"));
    assert_eq!(daemon.requests(), ["GET /v0/status"]);
}
