//! Status, list, judgements and the mode, against a fake daemon.

use std::sync::{Arc, Mutex};

use ccd_proto::api::Intervention;
use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::args::{Cli, Command};
use crate::testing::{Home, Reply};

fn sample() -> Heal {
    let intervention = |action: &str, event: &str, delivered, text: &str| Intervention {
        at: "2026-11-20T20:14:10.000000Z".into(),
        session_id: "5f0c6c2e-8d1f-4a93-a1f2-000000000001".into(),
        detection_id: (action != "denied").then(|| "bb".repeat(16)),
        kind: "loop".into(),
        rule: "repeat".into(),
        action: action.into(),
        event: event.into(),
        span_id: Some("0000000300000000".into()),
        text: text.into(),
        delivered,
        ..Intervention::default()
    };
    Heal {
        mode: "guard".into(),
        projects: [
            ("/home/u/shop".to_owned(), "off".to_owned()),
            ("/home/u/\u{1b}x".to_owned(), "advise".to_owned()),
        ]
        .into(),
        exceptions: vec![
            HealException {
                what: "allow".into(),
                session_id: Some("5f0c6c2e-8d1f".into()),
                kind: Some("loop".into()),
                until: None,
                at: "2026-11-20T20:20:00Z".into(),
            },
            HealException {
                what: "pause".into(),
                until: Some("2026-11-20T22:00:00Z".into()),
                at: "2026-11-20T21:20:00Z".into(),
                ..HealException::default()
            },
        ],
        interventions: vec![
            intervention(
                "denied",
                "PreToolUse",
                true,
                "This call has been made 3 times since anything changed: Bash make \u{1b}[2J",
            ),
            intervention("advised", "PostToolUse", false, "ccd noticed: the same call three times"),
        ],
        more: 4,
    }
}

fn reply(heal: &Heal) -> String {
    let mut value = serde_json::to_value(heal).unwrap();
    value["schema_version"] = json!(1);
    value.to_string()
}

fn told(env: &Env, line: &[&str], width: usize) -> Result<String> {
    let cli = Cli::try_parse_from([&["ccctl", "heal"], line].concat()).unwrap();
    let Command::Heal(args) = cli.command else { panic!() };
    let (mut out, text, _) = Printer::captured(width);
    run(env, &mut out, &args).map(|()| text.text())
}

#[test]
fn how_it_stands() {
    let home = Home::new();
    let daemon = home.daemon(|_| Reply::json(reply(&sample())));
    insta::assert_snapshot!("status", told(&home.env(), &[], 100).unwrap());
    assert_eq!(told(&home.env(), &["status"], 100).unwrap(), told(&home.env(), &[], 100).unwrap());
    let json: Value = serde_json::from_str(&told(&home.env(), &["--json"], 80).unwrap()).unwrap();
    assert_eq!(json["mode"], "guard");
    assert_eq!(daemon.requests()[0], "GET /v0/heal?limit=1000");
    assert_eq!(told(&Home::new().env(), &[], 80).unwrap_err().exit_code(), 3);
}

#[test]
fn nothing_done_so_far() {
    let home = Home::new();
    let _daemon = home.daemon(|_| Reply::json(reply(&Heal { mode: "advise".into(), ..Heal::default() })));
    insta::assert_snapshot!("status_new", told(&home.env(), &[], 100).unwrap());
    assert!(told(&home.env(), &["list"], 80).unwrap().starts_with("nothing was done"));
}

#[test]
fn the_audit_list() {
    let home = Home::new();
    let daemon = home.daemon(|_| Reply::json(reply(&sample())));
    for width in [120, 70] {
        let text = told(&home.env(), &["list"], width).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        insta::assert_snapshot!(format!("list_{width}"), text);
    }
    told(&home.env(), &["list", "--kind", "loop", "--session", "5f", "--since", "today", "--json"], 80)
        .unwrap();
    let asked = daemon.requests().pop().unwrap();
    assert_eq!(asked, "GET /v0/heal?since=2026-11-20T00%3A00%3A00Z&session=5f&kind=loop");
}

#[test]
fn what_the_user_says_goes_to_the_daemon() {
    let home = Home::new();
    let daemon = home.daemon(|_| Reply::json(reply(&sample())));
    let env = home.env();
    let text = told(&env, &["allow", "--session", "5f0c6c2e-8d1f", "--kind", "loop"], 100).unwrap();
    assert!(text.starts_with("nothing more is done about `loop` in session 5f0c6c2e\nheld off"), "{text}");
    assert_eq!(
        told(&env, &["pause"], 100).unwrap().lines().next().unwrap(),
        "nothing is done until `ccctl heal resume`"
    );
    told(&env, &["pause", "--session", "5f", "--for", "30m"], 100).unwrap();
    told(&env, &["resume", "--session", "5f"], 100).unwrap();
    assert!(told(&env, &["resume", "--json"], 100).unwrap().starts_with('{'));
    assert_eq!(
        daemon.requests(),
        [
            "POST /v0/heal/allow?session=5f0c6c2e-8d1f&kind=loop",
            "POST /v0/heal/pause",
            "POST /v0/heal/pause?session=5f&for_s=1800",
            "POST /v0/heal/resume?session=5f",
            "POST /v0/heal/resume",
        ]
    );
    for wrong in ["0m", "soon", "5", "-5m"] {
        assert_eq!(
            told(&env, &["pause", &format!("--for={wrong}")], 80).unwrap_err().exit_code(),
            2,
            "{wrong}"
        );
    }
    assert!(Cli::try_parse_from(["ccctl", "heal", "allow"]).is_err(), "of one session only");
}

/// A daemon that goes by its configuration as soon as it is asked.
fn follows(home: &Home) -> crate::testing::Daemon {
    let file = home.env().layout.config_file;
    home.daemon(move |_| {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let mode = crate::config::heal::mode_in(&bytes, None).unwrap();
        let shop = crate::config::heal::mode_in(&bytes, Some("/nowhere/shop")).unwrap();
        Reply::json(reply(&Heal {
            mode: mode.unwrap_or_else(|| "advise".into()),
            projects: shop.into_iter().map(|mode| ("/nowhere/shop".to_owned(), mode)).collect(),
            ..Heal::default()
        }))
    })
}

#[test]
fn the_mode_is_changed_in_the_file_and_the_daemon_takes_it_up() {
    let home = Home::new();
    let env = home.env();
    let file = env.layout.config_file.clone();
    home.write("ccd/config.toml", "# mine\n[heal]\nmode = \"advise\" # so far\n");
    let shown = file.display().to_string();
    let before = "the daemon is not running: it goes by this from its next start on\n";
    assert!(told(&env, &["mode", "off"], 200).unwrap().ends_with(before));

    let _daemon = follows(&home);
    let text = told(&env, &["mode", "guard"], 200).unwrap();
    assert!(text.starts_with(&format!("{shown} is changed\nguard: the model is told; calls")), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# mine\n[heal]\nmode = \"guard\" # so far\n");
    assert!(told(&env, &["mode", "guard"], 200).unwrap().contains("says so already"));
    let text = told(&env, &["mode", "off", "--project", "/nowhere/./x/../shop", "--json"], 200).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let want = json!({"schema_version": 1, "config": shown, "mode": "off", "project": "/nowhere/shop", "changed": true,
        "in_force": true});
    assert_eq!(json, want);
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .ends_with("\n[heal.projects.\"/nowhere/shop\"]\nmode = \"off\"\n")
    );
}

#[test]
fn a_daemon_that_keeps_to_its_mode_is_told_of() {
    let home = Home::new();
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let _daemon = home.daemon(move |_| {
        *counted.lock().unwrap() += 1;
        Reply::json(reply(&Heal { mode: "advise".into(), ..Heal::default() }))
    });
    let error = told(&home.env(), &["mode", "guard"], 80).unwrap_err();
    assert!(error.message.contains("goes on by the old mode"), "{error}");
    assert!(*asked.lock().unwrap() > 1);
}
