//! Transcripts that nobody should have written: what can be counted of them is, to the token; nothing else is lost with
//! what cannot.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ccd_proto::api::{Explain, Session, Spans, Tokens, Usage, UsageRow};
use ccd_tests::harness::{Daemon, TestHome};
use serde_json::{Value, json};

use super::{imported, told};
use crate::check;

const NOON: &str = "2026-03-04T12:00:00.000Z";

/// The id of a test's session.
fn id(number: u32) -> String {
    format!("{number:08x}-aaaa-4aaa-8aaa-aaaaaaaaaaaa")
}

/// The usage of a message of so many input tokens.
fn input(n: u64) -> Value {
    json!({"input_tokens": n, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0})
}

/// A line of an answer.
fn answer(session: u32, message: &str, request: Option<&str>, time: Option<&str>, usage: &Value) -> Value {
    let mut line = json!({
        "type": "assistant", "uuid": format!("{session}-{message}-{request:?}"), "sessionId": id(session),
        "cwd": "/nowhere/strange", "version": "2.1.329", "message": {
            "id": message, "type": "message", "role": "assistant", "model": "claude-opus-5-5",
            "content": [{"type": "text", "text": "So."}], "stop_reason": "end_turn", "usage": usage,
        },
    });
    if let Some(request) = request {
        line["requestId"] = json!(request);
    }
    if let Some(time) = time {
        line["timestamp"] = json!(time);
    }
    line
}

/// A message with ids of its own.
fn own(session: u32, n: u64) -> Value {
    let (message, request) = (format!("msg_{session}_{n}"), format!("req_{session}_{n}"));
    answer(session, &message, Some(&request), Some(NOON), &input(n))
}

fn lines(all: &[Value]) -> Vec<u8> {
    all.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// A home with transcripts in it, and what each session shall be said to have used.
struct Strange {
    home: TestHome,
    daemon: Option<Daemon>,
    wanted: BTreeMap<String, Tokens>,
    /// Bytes that are never taken.
    torn: u64,
}

impl Strange {
    fn new() -> Self {
        let home = TestHome::new("http://127.0.0.1:9");
        Strange { home, daemon: None, wanted: BTreeMap::new(), torn: 0 }
    }

    fn path(&self, session: u32) -> PathBuf {
        self.home.user().join(format!(".claude/projects/-nowhere-strange/{}.jsonl", id(session)))
    }

    fn file(&mut self, session: u32, bytes: &[u8], wanted: Tokens) {
        let path = self.path(session);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self.wants(session, wanted);
    }

    fn wants(&mut self, session: u32, wanted: Tokens) {
        if wanted != Tokens::default() {
            self.wanted.insert(id(session), wanted);
        }
    }

    #[track_caller]
    fn start(&mut self) {
        self.daemon = Some(Daemon::start(&self.home));
        imported(&self.home, self.torn);
    }

    /// Every way to ask gives what is wanted, also after the index was made anew.
    #[track_caller]
    fn check(&mut self) {
        self.assert_told("as it came");
        self.daemon.take().unwrap().kill9();
        self.home.delete_index();
        self.start();
        self.assert_told("from the journal");
        let _ = self.home.ccctl(&["store", "rebuild"]).ok();
        self.assert_told("rebuilt");
    }

    #[track_caller]
    fn assert_told(&self, when: &str) {
        let by_session: Usage = self.home.query(&["usage", "session"]);
        let got: BTreeMap<String, Tokens> =
            by_session.rows.iter().map(|row| (row.key["session_id"].clone(), row.tokens)).collect();
        assert_eq!(got, self.wanted, "{when}");
        let mut sum = Tokens::default();
        for tokens in self.wanted.values() {
            sum += *tokens;
        }
        let total = told(&by_session.totals);
        assert_eq!(total.0, sum, "{when}");
        for args in [&["usage"][..], &["usage", "weekly"], &["usage", "monthly"], &["usage", "blocks"]] {
            for by in ["model", "tool", "project", "agent", "branch", "hour"] {
                let usage: Usage = self.home.query(&[args, &["--by", by]].concat());
                assert_eq!(told(&usage.totals), total, "{when}: {args:?} by {by}");
                let added = |of: fn(&UsageRow) -> i64| usage.rows.iter().map(of).sum::<i64>();
                assert_eq!(
                    Some(added(|row| row.cost_usd_micros.unwrap_or(0))),
                    total.1,
                    "{when}: {args:?} by {by}"
                );
            }
        }
        let all: Vec<Session> = check::sessions(&self.home);
        for (session, wanted) in &self.wanted {
            let listed = all.iter().find(|s| s.session_id == *session).expect("it is listed");
            assert_eq!(listed.tokens, *wanted, "{when}: {session}");
            let explained: Explain = self.home.query(&["usage", "--explain", session]);
            assert_eq!(
                (explained.tokens, explained.cost_usd_micros),
                (*wanted, listed.cost_usd_micros),
                "{when}"
            );
            let of: Usage = self.home.query(&["usage", "total", "--session", session]);
            assert_eq!(told(&of.totals).0, *wanted, "{when}: {session}");
            let mut turns = of.side.tokens;
            for turn in check::turns(&self.home, session) {
                turns += turn.tokens;
            }
            assert_eq!(turns, *wanted, "{when}: turns of {session}");
            let spans: Spans =
                self.home.query(&["traces", "--kind", "llm", "--session", session, "--limit", "10000"]);
            let mut calls = of.side.tokens;
            for span in spans.spans {
                calls += span.tokens.unwrap_or_default();
            }
            assert_eq!(calls, *wanted, "{when}: calls of {session}");
        }
    }
}

fn plain(input: u64, output: u64) -> Tokens {
    Tokens { input, output, ..Tokens::default() }
}

#[test]
fn usage_that_is_no_number_counts_for_nothing_and_the_rest_of_it_counts() {
    let mut strange = Strange::new();
    let of = |n: u64, usage: Value| {
        answer(1, &format!("msg_1_{n}"), Some(&format!("req_1_{n}")), Some(NOON), &usage)
    };
    let all = lines(&[
        of(1, Value::Null),
        of(2, json!({"input_tokens": -5, "output_tokens": 3})),
        of(3, json!({"input_tokens": 2.5, "output_tokens": "9", "cache_read_input_tokens": 7})),
        of(4, json!({"input_tokens": null, "output_tokens": 4, "cache_creation": null})),
        of(
            5,
            json!({"input_tokens": 5, "output_tokens": [], "cache_creation_input_tokens": 11, "cache_creation": {}}),
        ),
        // The sum was told, and nobody split it.
        of(
            6,
            json!({"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 40,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}}),
        ),
        of(
            7,
            json!({"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_1h_input_tokens": 20}}),
        ),
        of(8, json!([])),
        of(9, json!({})),
    ]);
    let wanted =
        Tokens { input: 7, output: 9, cache_read: 7, cache_write_5m: 11 + 40 + 30, cache_write_1h: 20 };
    strange.file(1, &all, wanted);
    strange.start();
    strange.check();
}

#[test]
fn counts_beyond_all_measure_do_not_run_over() {
    let mut strange = Strange::new();
    let most = 1u64 << 40;
    let usage =
        json!({"input_tokens": u64::MAX, "output_tokens": u64::MAX, "cache_read_input_tokens": u64::MAX});
    let all: Vec<Value> = (0..300)
        .map(|n| answer(1, &format!("msg_{n}"), Some(&format!("req_{n}")), Some(NOON), &usage))
        .collect();
    let whole = Tokens { cache_read: 300 * most, ..plain(300 * most, 300 * most) };
    strange.file(1, &lines(&all), whole);
    strange.start();
    strange.check();
}

#[test]
fn lines_without_a_time_or_with_an_odd_one_count_once() {
    let mut strange = Strange::new();
    let at = |n: u64, time: Option<&str>| {
        answer(1, &format!("msg_1_{n}"), Some(&format!("req_1_{n}")), time, &input(n))
    };
    let mut late = at(1, Some(NOON));
    late["uuid"] = json!("second");
    let all = lines(&[
        at(1, None),
        late,
        at(2, Some("2026-03-04T11:59:00.000Z")),
        at(4, Some("1970-01-01T00:00:00.000Z")),
        at(8, Some("2399-01-01T00:00:00.000Z")),
        at(16, Some("9999-12-31T23:59:59.999Z")),
        at(32, Some("yesterday")),
        at(64, Some("2026-03-04T13:30:00+05:30")),
        at(128, Some("2026-02-30T12:00:00.000Z")),
    ]);
    strange.file(1, &all, plain(255, 8));
    strange.file(2, &lines(&[answer(2, "msg_2", Some("req_2"), None, &input(5))]), plain(5, 1));
    strange.start();
    strange.check();
    // What has no time at all is of the day on which its file was made, not of the beginning of time.
    let days: Usage = strange.home.query(&["usage", "daily"]);
    let days: BTreeMap<_, _> =
        days.rows.iter().map(|row| (row.key["date"].clone(), row.tokens.input)).collect();
    assert_eq!(days.get("2026-03-04").map(|n| n & 3), Some(3), "{days:?}");
    assert!(days.keys().all(|day| day.as_str() > "2000"), "{days:?}");
}

#[test]
fn bytes_that_are_no_text_cost_the_line_that_they_are_in_and_no_other() {
    let mut strange = Strange::new();
    let one = |session, n| own(session, n).to_string();
    // As editors and copies between systems leave them.
    strange.file(1, format!("\u{feff}{}\r\n{}\r\n\r\n", one(1, 1), one(1, 2)).as_bytes(), plain(3, 2));
    // As a file system leaves it after a crash: a hole, and the lines behind it.
    let hole = "\0".repeat(700);
    strange.file(
        2,
        format!("{}\n{hole}{}\n{}\n{hole}", one(2, 1), one(2, 2), one(2, 4)).as_bytes(),
        plain(7, 3),
    );
    strange.torn += 700;
    let mut odd = own(3, 1).to_string().replace("So.", "\\ud83d cut").into_bytes();
    odd.extend(b"\n");
    odd.extend(own(3, 2).to_string().replace("So.", "HERE").into_bytes());
    let at = odd.windows(4).position(|w| w == b"HERE").unwrap();
    odd[at..at + 4].copy_from_slice(b"\xff\xc0\x80\xfe");
    let deep = format!("{{\"type\":\"assistant\",\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    odd.extend(format!("\n{deep}\n{{\"a\":{}\n", "[{\"b\":".repeat(100_000)).into_bytes());
    odd.extend(lines(&[own(3, 4)]));
    strange.file(3, &odd, plain(7, 3));
    // A message in a line of many megabytes, between others.
    let mut long = own(4, 2);
    long["message"]["content"][0]["text"] = json!("long ".repeat(1 << 20));
    strange.file(4, &lines(&[own(4, 1), long, own(4, 4)]), plain(7, 3));
    strange.start();
    strange.check();
}

#[test]
fn a_message_of_two_sessions_is_of_one_whether_its_request_is_named_or_not() {
    let mut strange = Strange::new();
    let of = |session, request: Option<&str>, n| answer(session, "msg_same", request, Some(NOON), &input(n));
    // Named here, not named there: one message. The other session keeps what is its own.
    strange.file(1, &lines(&[of(1, Some("req_a"), 10), own(1, 1)]), plain(11, 2));
    strange.file(2, &lines(&[of(2, None, 10), own(2, 2)]), plain(2, 1));
    // Another request of the same name is another message.
    strange.file(3, &lines(&[of(3, Some("req_b"), 10)]), plain(10, 1));
    // The same call id in two sessions is two calls.
    let call = |session: u32| {
        let mut line = own(session, 7);
        line["message"]["content"] =
            json!([{"type": "tool_use", "id": "toolu_same", "name": "Bash", "input": {"command": "ls"}}]);
        line
    };
    strange.file(4, &lines(&[call(4)]), plain(7, 1));
    strange.file(5, &lines(&[call(5)]), plain(7, 1));
    strange.start();
    strange.check();
    for session in [4, 5] {
        let spans: Spans = strange.home.query(&["traces", "--kind", "tool", "--session", &id(session)]);
        assert_eq!(spans.spans.len(), 1);
        assert_eq!(spans.spans[0].session_id, id(session));
    }
}

#[test]
fn files_whose_names_say_other_than_their_lines() {
    let mut strange = Strange::new();
    // Lines that were written in another session: the file's name tells whose they are.
    let mut moved = own(1, 3);
    moved["sessionId"] = json!(id(99));
    strange.file(1, &lines(&[moved]), plain(3, 1));
    // A subagent's file whose session's own is gone.
    let agent = strange.path(2).with_extension("").join("subagents/agent-a1.jsonl");
    fs::create_dir_all(agent.parent().unwrap()).unwrap();
    fs::write(&agent, lines(&[own(2, 5)])).unwrap();
    strange.wants(2, plain(5, 1));
    // The same session in another root, where it went on.
    strange.file(3, &lines(&[own(3, 1)]), plain(3, 2));
    let other = strange.home.user().join(format!(".config/claude/projects/-elsewhere/{}.jsonl", id(3)));
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    fs::write(other, lines(&[own(3, 1), own(3, 2)])).unwrap();
    // Usage that only the last line of a message tells.
    let (mut early, mut last) = (own(4, 6), own(4, 6));
    early["message"]["usage"] = Value::Null;
    last["uuid"] = json!("last");
    strange.file(4, &lines(&[early.clone(), early, last]), plain(6, 1));
    strange.start();
    strange.check();
    // A file that is replaced by a shorter one: what was taken stays, what is new comes.
    let path = strange.path(1);
    fs::remove_file(&path).unwrap();
    fs::write(&path, lines(&[own(1, 4)])).unwrap();
    strange.wants(1, plain(7, 2));
    imported(&strange.home, 0);
    ccd_tests::harness::eventually("the new file is read", || {
        let usage: Usage = strange.home.query(&["usage", "total", "--session", &id(1)]);
        (usage.totals.tokens == plain(7, 2)).then_some(())
    });
    strange.check();
}
