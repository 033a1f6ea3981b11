//! Hooks, exchanges and transcripts of one session, in any order, told twice, with kills in between: the totals are what
//! was billed, whatever came first.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use ccd_proto::api::{Tokens, Usage};
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::soak::{self, Random};
use ccd_tests::harness::{Daemon, TestHome, eventually};
use ccd_tests::mock::{Mock, Script};
use serde_json::json;

use super::imported;
use crate::check;
use crate::proxy::Proxy;

/// Messages of a session.
const MESSAGES: u64 = 14;

/// Who tells of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The proxy and the transcript.
    Both,
    /// The proxy alone: a side request.
    Proxy,
    /// The transcript alone: the session went around the proxy for a while.
    Transcript,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A request through the proxy.
    Send,
    /// A message's lines are written.
    Write,
    /// A hook event.
    Hook,
    /// The last lines are written once more.
    Again,
    /// The file is copied as a fork of the session.
    Fork,
    /// The daemon is killed, and another started.
    Kill,
}

struct Session {
    home: TestHome,
    mock: Mock,
    daemon: Option<Daemon>,
    hooks: HookSession,
    file: PathBuf,
    forks: u64,
    sent: u64,
}

impl Session {
    fn new() -> Self {
        let mock = Mock::start(Script::new());
        let home = TestHome::new(&mock.url());
        let hooks = HookSession::new();
        let dir = home.user().join(".claude/projects/-nowhere-project");
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join(format!("{}.jsonl", hooks.session));
        let daemon = Some(Daemon::start(&home));
        Session { home, mock, daemon, hooks, file, forks: 0, sent: 0 }
    }

    /// The next request, if it is one that the proxy sees.
    fn send(&mut self, known: Known, number: u64) {
        if known == Known::Transcript {
            return;
        }
        let proxy = Proxy::of(&self.home);
        let mut wire = proxy.connect();
        wire.send(proxy.message(&self.hooks.session, &format!("prompt {number}"), number.is_multiple_of(2)));
        assert_eq!(wire.read_head().status(), 200);
        let _ = wire.read_rest();
        self.sent += 1;
        if known == Known::Proxy {
            // Nobody else tells of it: a kill shall not take it.
            let all = self.mock.ledger().len();
            let own = self.mock.ledger()[all - 1].request_id.clone();
            eventually("the side request is recorded", || {
                check::exchanges(&self.home)
                    .iter()
                    .any(|got| got.request_id.as_ref() == Some(&own))
                    .then_some(())
            });
        }
    }

    /// The lines of a message: two of them, as for two blocks.
    fn write(&self, number: u64, ids: (&str, &str, Tokens), half: bool) {
        let (request, message, t) = ids;
        for block in 0..2 {
            let line = json!({
                "type": "assistant", "uuid": format!("{message}-{block}"), "sessionId": self.hooks.session,
                "timestamp": format!("2026-11-2{}T10:{:02}:0{block}.000Z", number % 3, number),
                "requestId": request, "cwd": "/nowhere/project", "gitBranch": "main", "version": "2.1.329",
                "message": {
                    "id": message, "type": "message", "role": "assistant", "model": "claude-opus-5-5",
                    "content": [{"type": "text", "text": format!("block {block} of {number}")}],
                    "usage": {
                        "input_tokens": t.input, "output_tokens": if block == 0 { 1 } else { t.output },
                        "cache_read_input_tokens": t.cache_read,
                        "cache_creation_input_tokens": t.cache_write_5m + t.cache_write_1h,
                        "cache_creation": {
                            "ephemeral_5m_input_tokens": t.cache_write_5m,
                            "ephemeral_1h_input_tokens": t.cache_write_1h,
                        },
                    },
                },
            });
            let line = format!("{line}\n");
            let (first, rest) = line.split_at(if half { line.len() / 2 } else { 0 });
            append(&self.file, first);
            append(&self.file, rest);
        }
    }

    fn fork(&mut self) {
        let Ok(text) = std::fs::read_to_string(&self.file) else { return };
        self.forks += 1;
        let id = uuid_like(self.forks);
        let text = text.replace(&self.hooks.session, &id);
        std::fs::write(self.file.with_file_name(format!("{id}.jsonl")), text).unwrap();
    }

    fn again(&self) {
        let Ok(text) = std::fs::read_to_string(&self.file) else { return };
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(3)..].join("\n") + "\n";
        append(&self.file, &last);
    }

    fn restart(&mut self) {
        self.daemon.take().unwrap().kill9();
        self.daemon = Some(Daemon::start(&self.home));
    }

    /// What the session is said to have cost.
    fn total(&self) -> (Tokens, Option<i64>, u64) {
        let usage: Usage = self.home.query(&["usage", "total"]);
        super::told(&usage.totals)
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn uuid_like(number: u64) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// The acts of a session in an order of the seed's.
fn acts(random: &mut Random) -> Vec<Act> {
    let mut left = vec![(Act::Send, MESSAGES), (Act::Write, MESSAGES), (Act::Hook, 8)];
    left.extend([(Act::Again, 3), (Act::Fork, 2), (Act::Kill, 2)]);
    let mut acts = Vec::new();
    while !left.is_empty() {
        let at = random.index(left.len());
        acts.push(left[at].0);
        left[at].1 -= 1;
        left.retain(|(_, count)| *count > 0);
    }
    acts
}

fn play(seed: u64) {
    let mut random = Random::new(seed);
    let acts = acts(&mut random);
    let known: Vec<Known> = (0..MESSAGES)
        .map(|_| [Known::Both, Known::Both, Known::Both, Known::Proxy, Known::Transcript][random.index(5)])
        .collect();
    // Requests that go around the proxy have ids that the mock will never give.
    let mut through = 0;
    let foretold: Vec<_> = (0..MESSAGES)
        .map(|n| {
            through += u64::from(known[usize::try_from(n).unwrap()] != Known::Transcript);
            let around = known[usize::try_from(n).unwrap()] == Known::Transcript;
            Mock::foretold(if around { 1_000 + n } else { through })
        })
        .collect();
    let mut session = Session::new();
    let (mut sends, mut writes, mut hooks) = (0, 0, 0);
    for act in &acts {
        match act {
            Act::Send => {
                session.send(known[sends], sends as u64);
                sends += 1;
            }
            Act::Write => {
                let (request, message, tokens) = &foretold[writes];
                if known[writes] != Known::Proxy {
                    session.write(writes as u64, (request, message, *tokens), random.below(3) == 0);
                }
                writes += 1;
            }
            Act::Hook => {
                let events = &session.hooks;
                let (call, event) = (format!("toolu_{}", hooks / 2), hooks);
                let event = match event {
                    0 => events.start(),
                    1 => events.prompt("go"),
                    7 => events.stop(),
                    n if n % 2 == 0 => events.before_tool(&call, "true"),
                    _ => events.after_tool(&call, "true", ""),
                };
                deliver(&session.home.layout().hook_socket(), &event).unwrap();
                hooks += 1;
            }
            Act::Again => session.again(),
            Act::Fork => session.fork(),
            Act::Kill => session.restart(),
        }
    }
    let mut tokens = Tokens::default();
    for (_, _, told) in &foretold {
        tokens += *told;
    }
    let wanted = (tokens, Some(check::cost(&tokens)), MESSAGES);
    imported(&session.home, 0);
    let came = eventually_equal(&session, wanted);
    assert!(came, "seed {seed}: {:?} instead of {wanted:?} after {acts:?}", session.total());
    // And again from nothing but the journal.
    session.daemon.take().unwrap().kill9();
    session.home.delete_index();
    session.daemon = Some(Daemon::start(&session.home));
    imported(&session.home, 0);
    let came = eventually_equal(&session, wanted);
    assert!(came, "seed {seed}, index lost: {:?} instead of {wanted:?} after {acts:?}", session.total());
}

/// Whether the totals come to be these: an exchange is recorded a moment after its end.
fn eventually_equal(session: &Session, wanted: (Tokens, Option<i64>, u64)) -> bool {
    let patience = std::time::Duration::from_secs(10);
    ccd_tests::harness::poll(patience, || (session.total() == wanted).then_some(())).is_some()
}

#[test]
fn any_order_any_repetition_and_any_kill_give_the_same_totals() {
    for seed in 0..soak::count(5, 60) as u64 {
        play(seed);
    }
}
