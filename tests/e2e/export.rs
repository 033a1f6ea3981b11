//! `ccctl export` of a real client's session, looked at by validators that are not ours; and of much, with a daemon that is
//! killed in the middle.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ccd_proto::api::{Tokens, Usage};
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::{Daemon, RealClient, TestHome, binary, repo_root, run_within};
use ccd_tests::mock::Mock;
use serde_json::Value;

use crate::check::Capture;
use crate::scenario::{self, EVERYTHING, SETTINGS};

/// Has a file looked at; how many entries or lines it has.
#[track_caller]
fn validate(home: &TestHome, kind: &str, file: &Path, more: &[&Path]) -> usize {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from);
    let tools = target.join("web-tools");
    assert!(
        tools.join("node_modules/har-validator").is_dir(),
        "har-validator is missing: `tests/run.sh` installs it"
    );
    let mut command = Command::new("node");
    command.arg(repo_root().join("tests/web/validate-export.mjs")).arg(kind).arg(file).args(more);
    command.current_dir(home.work()).env("WEB_TOOLS", tools);
    let out = run_within(Duration::from_secs(120), &mut command, b"").ok();
    out.text().trim().parse().unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_real_clients_session_is_exported_in_every_form() {
    let home = TestHome::without_upstream();
    let mock = Mock::start(scenario::everything(&home.work()));
    let home = home.with_upstream(&mock.url());
    home.write_settings(SETTINGS);
    let _daemon = Daemon::start(&home);
    let run = RealClient::find().print_captured(&home, EVERYTHING, &[]);
    let capture = Capture::read(&home, &mock.ledger());
    let usage: Usage = home.query(&["usage", "total"]);
    let at = |name: &str| home.work().join(name);
    let export = |args: &[&str]| home.ccctl(&[&["export", "--session", run.session()], args].concat()).ok();

    // Lines: as their schema says, in every length, and their sums those of `usage`.
    std::fs::write(at("schema.json"), home.ccctl(&["export", "--schema"]).ok().stdout).unwrap();
    for content in ["none", "text", "full"] {
        let name = format!("{content}.jsonl");
        let kinds = "session,turn,span,exchange,detection,intervention,record";
        let told = export(&["-o", &name, "--content", content, "--kinds", kinds, "--json"]).json();
        let file = std::fs::read_to_string(at(&name)).unwrap();
        assert_eq!(validate(&home, "jsonl", &at(&name), &[&at("schema.json")]), file.lines().count());
        let lines = lines(&file);
        let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
        assert_eq!((of("span").len(), of("turn").len(), of("session").len()), (capture.spans.len(), 1, 1));
        let own = capture.exchanges.iter().filter(|e| e.session_id.as_deref() == Some(run.session())).count();
        assert_eq!((of("exchange").len(), &told["counts"]["exchange"]), (own, &own.into()));
        assert!(told["complete"] == true && told["redacted"] == true, "{told}");
        let tokens = |of: &Value| serde_json::from_value::<Tokens>(of["tokens"].clone()).unwrap_or_default();
        assert_eq!(tokens(&of("session")[0]), usage.totals.tokens);
        let (mut sum, mut cost) = (Tokens::default(), 0);
        for span in of("span").iter().filter(|span| span["kind"] == "llm") {
            sum += tokens(span);
            cost += span["cost_usd_micros"].as_i64().unwrap_or(0);
        }
        assert_eq!((sum, Some(cost)), (usage.totals.tokens, usage.totals.cost_usd_micros));
        assert_eq!(file.contains("All done."), content != "none");
        // The home of this test is a user's.
        assert!(!file.contains(home.user().to_str().unwrap()), "paths are `~`");
    }

    // An archive that others read, with what went over the wire.
    export(&["-o", "all.har.gz"]);
    let mut har = String::new();
    let mut packed = flate2::read::MultiGzDecoder::new(std::fs::File::open(at("all.har.gz")).unwrap());
    std::io::Read::read_to_string(&mut packed, &mut har).unwrap();
    std::fs::write(at("all.har"), &har).unwrap();
    let har: Value = serde_json::from_str(&har).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!(validate(&home, "har", &at("all.har"), &[]), entries.len());
    let streamed: Vec<&Value> =
        entries.iter().filter(|entry| entry["_eventSourceMessages"].is_array()).collect();
    assert!(!streamed.is_empty(), "streams have their events");
    for entry in &streamed {
        let times = entry["_eventSourceMessages"].as_array().unwrap().iter();
        let times: Vec<f64> = times.map(|event| event["time"].as_f64().unwrap()).collect();
        assert!(times.is_sorted() && times[0] > 1.7e9, "{times:?}");
        let body = entry["request"]["postData"]["text"].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(body).is_ok(), "a request reads as it did");
    }

    // Tables.
    for table in ["spans", "sessions", "turns", "exchanges", "usage", "detections"] {
        let csv = export(&["--format", "csv", "--table", table]).text();
        assert!(csv.lines().count() > usize::from(table != "detections"), "{table}: {csv}");
    }
    // One that is there is not written over.
    assert!(home.ccctl(&["export", "-o", "text.jsonl"]).code != Some(0));
}

/// A file without when it was begun, which its first line tells.
fn without_time(text: &[u8]) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap();
    assert!(text[..end].starts_with(b"{\"schema_version\":1,\"type\":\"header\""));
    text[end..].to_vec()
}

#[test]
fn an_export_goes_on_after_a_full_disk_and_after_its_daemon_was_killed() {
    let home = TestHome::new("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home);
    let long = "some words of output ".repeat(12_000);
    for _ in 0..4 {
        let session = HookSession::new();
        deliver(&home.layout().hook_socket(), &session.prompt("do it")).unwrap();
        for n in 0..15 {
            let id = format!("toolu_{n}");
            deliver(&home.layout().hook_socket(), &session.after_tool(&id, "true", &long)).unwrap();
        }
    }
    assert_eventually!(home.running().hooks.events == 64, "everything is recorded");
    let at = |name: &str| home.work().join(name);
    let _ = home.ccctl(&["export", "-o", "whole.jsonl"]).ok();
    let whole = without_time(&std::fs::read(at("whole.jsonl")).unwrap());
    assert!(whole.len() > 15_000_000, "{}", whole.len());

    for name in ["cut.jsonl", "cut.jsonl.zst"] {
        let ccctl = binary("ccctl");
        let ccctl = ccctl.to_str().unwrap();
        let mut more: &[&str] = &[];
        if name == "cut.jsonl" {
            // No file may grow over some megabytes: to a program that is a full disk.
            let mut full = home.command(Path::new("/bin/sh"));
            full.args(["-c", "trap '' XFSZ; ulimit -f 8000; exec \"$0\" export -o cut.jsonl", ccctl]);
            let out = run_within(Duration::from_secs(120), &mut full, b"");
            assert!(out.code == Some(1) && out.stderr.contains("--resume goes on"), "{out}");
            more = &["--resume"];
        }
        let before = std::fs::metadata(at(&format!("{name}.part"))).map_or(0, |meta| meta.len());
        let mut child = home.command(Path::new(ccctl));
        let child =
            child.args(["export", "-o", name]).args(more).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        let part = || std::fs::metadata(at(&format!("{name}.part"))).map_or(0, |meta| meta.len());
        let is_kept = || at(&format!("{name}.part.cursor")).exists();
        assert_eventually!(is_kept() && part() > before, "some of it is there");
        daemon.kill9();
        let out = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && told.contains("--resume goes on"), "{told}");
        assert!(!at(name).exists(), "nothing has its name that is not whole");
        daemon = Daemon::start(&home);
        let summary = home.ccctl(&["export", "-o", name, "--resume", "--json"]).ok().json();
        assert!(summary["resumed"] == true && summary["complete"] == true, "{summary}");
        let got = std::fs::read(at(name)).unwrap();
        let got = if name.contains(".zst") { zstd::decode_all(&got[..]).unwrap() } else { got };
        assert!(without_time(&got) == whole, "{name}: {} and {} bytes", got.len(), whole.len());
        assert!(!at(&format!("{name}.part")).exists() && !is_kept(), "nothing else is left");
    }
    drop(daemon);
}
