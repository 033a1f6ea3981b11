//! The client's own files: taken in from their beginning, followed, and never counted twice.

mod bounds;
mod files;
mod history;
mod import;
mod tree;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ccd_proto::api::TranscriptStatus;
use ccd_tests::harness::{Daemon, TestHome};

/// Nobody is asked in these tests.
const NOWHERE: &str = "http://127.0.0.1:9";

fn home() -> TestHome {
    TestHome::new(NOWHERE)
}

/// A session's file in the client's usual place.
fn transcript(home: &TestHome, project: &str, session: &str) -> PathBuf {
    home.user().join(format!(".claude/projects/{project}/{session}.jsonl"))
}

/// A line as the client writes it, distinct for each `n`: an answer of 100 input and `10 + n` output tokens.
fn line(session: &str, n: usize) -> String {
    let (minute, second) = (n / 60 % 60, n % 60);
    format!(
        concat!(
            r#"{{"parentUuid":null,"isSidechain":false,"type":"assistant","uuid":"{session}-u{n}","#,
            r#""timestamp":"2026-11-20T10:{minute:02}:{second:02}.000Z","sessionId":"{session}","cwd":"/w","#,
            r#""version":"2.1.329","requestId":"req_{session}_{n}","message":{{"id":"msg_{session}_{n}","#,
            r#""type":"message","role":"assistant","model":"claude-sonnet-4-5","stop_reason":"end_turn","#,
            r#""content":[{{"type":"text","text":"Answer {n}"}}],"usage":{{"input_tokens":100,"#,
            r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":{output}}}}}}}"#,
            "\n"
        ),
        session = session,
        n = n,
        minute = minute,
        second = second,
        output = 10 + n,
    )
}

fn lines(session: &str, range: std::ops::Range<usize>) -> String {
    range.map(|n| line(session, n)).collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn status(home: &TestHome) -> TranscriptStatus {
    home.status().map(|status| status.transcripts).unwrap_or_default()
}

/// Whether these many files of these many bytes are taken whole, and the daemon waits for more.
fn has(home: &TestHome, files: u64, bytes: u64) -> bool {
    let status = status(home);
    (status.files, status.imported_bytes, status.behind) == (files, bytes, 0) && status.state == "following"
}

/// Output tokens of everything that was counted.
fn output_tokens(home: &TestHome) -> u64 {
    home.query::<ccd_proto::api::Usage>(&["usage", "total"]).totals.tokens.output
}

fn start(home: &TestHome) -> Daemon {
    Daemon::start(home)
}
