//! Credentials of many kinds, through the real binaries and the real client: none of them is in any byte below `CCD_HOME`,
//! and none in what `ccctl` tells; and the API and the client had them byte for byte.

#![allow(clippy::format_push_string, reason = "in a test it may be slow")]

use std::path::{Path, PathBuf};

use ccd_redact::sample::filled;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, RealClient, TestHome};
use ccd_tests::mock::{Mock, Script, reply};
use serde_json::{Value, json};

use crate::scenario::SETTINGS;

const PROMPT: &str = "SCENARIO-canary";

/// A kind of credential: the name that it stands under, and what it looks like.
const KINDS: [(&str, &str); 20] = [
    ("ANTHROPIC_API_KEY", "sk-ant-api03-{w93}AA"),
    ("OPENAI_API_KEY", "sk-proj-{w74}T3BlbkFJ{w74}"),
    ("AWS_ACCESS_KEY_ID", "AKIA{t16}"),
    ("AWS_SECRET_ACCESS_KEY", "{b40}"),
    ("GOOGLE_API_KEY", "AIza{w35}"),
    ("GITHUB_TOKEN", "ghp_{a30}{c}"),
    ("GITLAB_TOKEN", "glpat-{w20}"),
    ("SLACK_BOT_TOKEN", "xoxb-{d12}-{d13}-{a24}"),
    ("STRIPE_SECRET_KEY", "sk_live_{a24}"),
    ("SENDGRID_API_KEY", "SG.{w22}.{w43}"),
    ("NPM_TOKEN", "npm_{a30}{c}"),
    ("TWINE_PASSWORD", "pypi-AgEIcHlwaS5vcmc{w140}"),
    ("CARGO_REGISTRY_TOKEN", "cio{a32}"),
    ("HF_TOKEN", "hf_{L34}"),
    ("VAULT_TOKEN", "hvs.{w95}"),
    ("DATABRICKS_TOKEN", "dapi{x32}"),
    ("SENTRY_AUTH_TOKEN", "sntryu_{x64}"),
    ("JWT_SECRET", "{w48}"),
    ("DB_PASSWORD", "{p14}"),
    ("SESSION_SECRET", "{a64}"),
];

#[derive(Default)]
struct Planted {
    values: Vec<(String, String)>,
    next: u64,
}

impl Planted {
    /// A text with one of each kind, which no other door has.
    fn lines(&mut self, door: &str) -> String {
        let mut text = String::new();
        for (name, template) in KINDS {
            self.next += 1;
            let value = filled(template, self.next);
            text += &format!("export {name}={value}\n");
            self.values.push((value, format!("{name} by {door}")));
        }
        text
    }

    #[track_caller]
    fn assert_none(&self, what: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let found: Vec<_> = self.values.iter().filter(|(value, _)| text.contains(value.as_str())).collect();
        let doors: Vec<_> = found.iter().map(|(_, door)| door).take(9).collect();
        assert!(doors.is_empty(), "{what}: {} found: {doors:?}", found.len());
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

#[test]
fn what_looks_like_a_credential_goes_through_and_is_written_nowhere() {
    let mut planted = Planted::default();
    let (env, said, thought) =
        (planted.lines("a file"), planted.lines("the answer"), planted.lines("thinking"));
    let (asked, left) = (planted.lines("a command"), planted.lines("the spool"));
    let home = TestHome::without_upstream();
    let file = home.work().join("settings.env");
    std::fs::write(&file, &env).unwrap();
    let script = Script::new().on(
        PROMPT,
        [
            reply().thinking(&thought).tool("Read", json!({"file_path": file.display().to_string()})).tool(
                "Bash",
                json!({"command": format!("cat > /dev/null <<'X'\n{asked}X\necho done"), "description": "x"}),
            ),
            reply().text(&said),
        ],
    );
    let mock = Mock::start(script);
    let home = home.with_upstream(&mock.url()).with_env("CCD_LOG", "trace");
    home.write_settings(SETTINGS);

    // An event that no daemon takes lies in the spool, as it came, until one does.
    let waiting = HookSession::new();
    assert_eq!(home.cc_hook(&waiting.prompt(&left)).code, Some(0));
    let daemon = Daemon::start(&home);
    assert_eventually!(
        home.spool().iter().all(|path| path.extension().is_none_or(|e| e != "frame")),
        "it is taken in"
    );

    let run = RealClient::find().print_captured(&home, PROMPT, &[]);
    assert_eq!(run.text().trim(), said.trim(), "the client had it byte for byte");
    let ledger = mock.ledger();
    let last = ledger.iter().rev().find(|sent| sent.path.contains("/messages")).unwrap();
    let sent: Value = serde_json::from_slice(&last.request).unwrap();
    let sent = sent.to_string();
    for line in env.lines().chain(asked.lines()) {
        assert!(sent.contains(line), "the API was sent {line}");
    }

    let exchanges = ledger.len();
    assert_eventually!(
        {
            let listed: Value = home.query(&["exchanges", "--limit", "1000"]);
            listed["exchanges"].as_array().unwrap().len() == exchanges
        },
        "all is on record"
    );
    let listed: Value = home.query(&["exchanges", "--limit", "1000"]);
    let mut marks = 0;
    for exchange in listed["exchanges"].as_array().unwrap() {
        let id = exchange["exchange_id"].as_str().unwrap();
        for part in ["--request", "--response", "--headers"] {
            let out = home.ccctl(&["exchange", id, part]);
            planted.assert_none(&format!("exchange {part}"), &out.stdout);
            marks += String::from_utf8_lossy(&out.stdout).matches("[redacted:").count();
        }
    }
    assert!(marks >= 3 * KINDS.len(), "{marks} marks");
    let session = run.session();
    for args in [
        &["show", session][..],
        &["traces", "--session", session, "--content", "--reasoning"],
        &["turns", "--session", session],
        &["search", "export"],
        &["status", "--json"],
    ] {
        planted.assert_none(&args.join(" "), &home.ccctl(args).stdout);
    }
    let status = home.running();
    assert!(status.capture.redacted >= 4 * KINDS.len() as u64, "{:?}", status.capture);
    assert_eq!((status.capture.unscanned, status.capture.dropped), (0, 0));
    let _ = home.ccctl(&["store", "rebuild"]).ok();
    let backup = home.ccd().join("a-backup");
    let _ = home.ccctl(&["store", "backup", &backup.display().to_string()]).ok();
    daemon.stop(&home);

    let mut all = Vec::new();
    files(&home.ccd(), &mut all);
    assert!(all.len() > 8, "{all:?}");
    for path in &all {
        planted.assert_none(&path.display().to_string(), &std::fs::read(path).unwrap());
    }
}
