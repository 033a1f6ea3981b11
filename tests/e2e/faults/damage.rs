//! F09, F10: files of the store damaged while nobody looks. The next daemon serves; what it serves is what was
//! recorded, byte for byte, or is not served; and what is missing is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use ccd_proto::api::{Exchanges, Sessions, Spans, Status};
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::{Control, Daemon, TestHome, binary, poll};
use ccd_tests::mock::{Mock, Script, reply};

use super::load::Events;
use super::status;
use crate::proxy::Proxy;

/// How long a damaged store may take to open: an index that hangs is given up after half a minute, twice.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a home serves: each thing by its name. Sums over other things (a session's tokens) are left out: with a
/// record lost they are smaller, and that is right.
#[derive(PartialEq)]
struct Served(BTreeMap<String, Vec<u8>>);

impl Served {
    /// Everything; none if it does not answer in time.
    fn by(home: &TestHome) -> Option<Self> {
        let control = Control::of(home);
        poll(PATIENCE, || control.ask::<Sessions>("/v0/sessions?limit=0"))?;
        let mut things = BTreeMap::new();
        // A list that is refused because of the damage is absent.
        let sessions: Option<Sessions> = control.ask("/v0/sessions?limit=0");
        for session in sessions.into_iter().flat_map(|found| found.sessions) {
            things.insert(format!("session {}", session.session_id), Vec::new());
            let path = format!("/v0/spans?session={}&content=1&limit=0", session.session_id);
            let spans: Option<Spans> = control.ask(&path);
            for span in spans.into_iter().flat_map(|found| found.spans) {
                for (what, content) in [("input", &span.input), ("output", &span.output)] {
                    if let Some(content) = content {
                        // A turn's last words and a model call's new messages are put together from several records.
                        if span.kind == "tool" {
                            let name = format!("span {} {what}", span.span_id);
                            things.insert(name, content.to_string().into_bytes());
                        }
                    }
                }
            }
        }
        let exchanges: Option<Exchanges> = control.ask("/v0/exchanges?limit=0");
        for exchange in exchanges.into_iter().flat_map(|found| found.exchanges) {
            let id = &exchange.exchange_id;
            things.insert(format!("exchange {id}"), format!("{exchange:?}").into_bytes());
            for side in ["request", "response"] {
                if let Ok((200, body)) = control.get(&format!("/v0/exchanges/{id}/{side}")) {
                    things.insert(format!("{side} of {id}"), body);
                }
            }
        }
        Some(Served(things))
    }
}

/// Something done to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip {
        at: u64,
        bit: u8,
    },
    Truncate {
        to: u64,
    },
    Zero {
        at: u64,
    },
    Delete,
    /// A snapshot that the index's engine was writing when it was killed.
    HalfSnapshot,
}

#[derive(Clone, Copy, Debug)]
enum Sort {
    Flip,
    Truncate,
    Zero,
    Delete,
    HalfSnapshot,
}

impl Damage {
    fn any(sort: Sort, len: u64, random: &mut Random) -> Self {
        match sort {
            Sort::Flip => Damage::Flip { at: random.below(len), bit: 1 << random.below(8) },
            Sort::Truncate => Damage::Truncate { to: random.below(len) },
            Sort::Zero => Damage::Zero { at: random.below(len) },
            Sort::Delete => Damage::Delete,
            Sort::HalfSnapshot => Damage::HalfSnapshot,
        }
    }

    fn apply(&self, file: &Path) {
        match self {
            Damage::Truncate { to } => {
                fs::File::options().write(true).open(file).unwrap().set_len(*to).unwrap();
            }
            Damage::Delete => fs::remove_file(file).unwrap(),
            Damage::HalfSnapshot => {
                let beside = file.with_file_name("snap.00000000000FFFFF.generating");
                fs::write(beside, vec![0xA5; 5_000]).unwrap();
            }
            Damage::Flip { at, bit } => {
                let mut bytes = fs::read(file).unwrap();
                bytes[usize::try_from(*at).unwrap()] ^= bit;
                fs::write(file, bytes).unwrap();
            }
            Damage::Zero { at } => {
                let mut bytes = fs::read(file).unwrap();
                let at = usize::try_from(*at).unwrap();
                let end = bytes.len().min(at + 4_096);
                bytes[at..end].fill(0);
                fs::write(file, bytes).unwrap();
            }
        }
    }
}

/// The files below a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A store made by use: conversations that send their history again and again, tool calls, large events; the state
/// directory of two of its moments: stopped, and killed.
struct Original {
    _home: TestHome,
    states: Vec<(PathBuf, Served)>,
}

/// A conversation of `turns` requests, each with all that came before it.
fn converse(proxy: &Proxy, session: &str, turns: usize) {
    let mut messages = Vec::new();
    for turn in 0..turns {
        let text = Random::of(&format!("{session} {turn}")).text(3_000);
        messages.push(serde_json::json!({"role": "user", "content": format!("TURN {text}")}));
        let body = serde_json::json!({
            "model": "claude-opus-5-5", "max_tokens": 100, "stream": true, "messages": messages,
            "system": [{"type": "text", "text": Random::of("system").text(9_000)}],
        });
        let headers = [("X-Claude-Code-Session-Id", session)];
        let request = proxy.request("POST", "/v1/messages?beta=true", &headers, body.to_string().as_bytes());
        let mut wire = proxy.connect();
        wire.send(request);
        assert_eq!(wire.read_head().status(), 200);
        let _ = wire.read_rest();
        messages.push(serde_json::json!({"role": "assistant", "content": format!("answer {turn}")}));
    }
}

fn original() -> Original {
    let mock =
        Mock::start(Script::new().on("TURN", [reply().thinking_omitted().text(&"an answer ".repeat(200))]));
    let home = TestHome::new(&mock.url());
    let mut states = Vec::new();
    for state in ["stopped", "killed"] {
        let daemon = Daemon::start(&home);
        let events = Events::of(&home);
        converse(&Proxy::of(&home), &format!("conversation-{state}"), 6);
        let session = HookSession::new();
        for n in 0..25 {
            let _ = events.send(&session, &format!("toolu_{state}_{n}")).unwrap();
        }
        let expected = 6 * (states.len() as u64 + 1);
        ccd_tests::assert_eventually!(
            status(&home).proxy.exchanges == expected,
            "the exchanges are recorded"
        );
        if state == "stopped" {
            daemon.stop(&home);
        } else {
            daemon.kill9();
        }
        let kept = home.work().join(state);
        copy(&home.layout().state_dir, &kept);
        let daemon = Daemon::start(&home);
        let served = Served::by(&home).unwrap();
        assert_eq!(status(&home).store.damaged, 0);
        daemon.kill9();
        assert!(served.0.len() > 40, "there is something to lose: {}", served.0.len());
        states.push((kept, served));
    }
    Original { _home: home, states }
}

/// What the cases showed.
#[derive(Default)]
struct Counts {
    cases: usize,
    whole: usize,
    told: usize,
    absent: usize,
}

/// One start on a damaged copy; an error: what promise it broke.
fn one(original: &Original, sort: Sort, random: &mut Random) -> Result<Counts, String> {
    let (state, expected) = &original.states[random.index(original.states.len())];
    let home = TestHome::new(super::NO_UPSTREAM);
    copy(state, &home.layout().state_dir);
    let files: Vec<PathBuf> = files(&home.layout().store_dir())
        .into_iter()
        .filter(|file| match sort {
            Sort::Delete => true,
            Sort::HalfSnapshot => file.file_name().is_some_and(|name| name == "db"),
            _ => file.metadata().unwrap().len() > 0,
        })
        .collect();
    if files.is_empty() {
        // The index of this build has no such thing.
        return Ok(Counts { cases: 1, whole: 1, ..Counts::default() });
    }
    let file = &files[random.index(files.len())];
    let damage = Damage::any(sort, file.metadata().unwrap().len(), random);
    damage.apply(file);

    let name = file.strip_prefix(home.layout().store_dir()).unwrap().display().to_string();
    let broken = |promise: &str| format!("{name}, {damage:?}: {promise}");
    let mut daemon = Daemon::spawn(&home, home.command(&binary("ccd")));
    let control = Control::of(&home);
    let status = || poll(PATIENCE, || control.ask::<Status>("/v0/status"));
    status().ok_or_else(|| broken("it does not start"))?;
    let served = Served::by(&home).ok_or_else(|| broken("it does not answer"))?;
    if let Some(end) = daemon.ended() {
        return Err(broken(&format!("it ended with {end}")));
    }
    for (what, bytes) in &served.0 {
        match expected.0.get(what) {
            None => return Err(broken(&format!("{what} was never there"))),
            Some(right) if right != bytes => return Err(broken(&format!("{what} has other bytes"))),
            Some(_) => {}
        }
    }
    let absent: Vec<_> = expected.0.keys().filter(|what| !served.0.contains_key(*what)).collect();
    let damaged = status().ok_or_else(|| broken("it is gone"))?.store.damaged;
    if !absent.is_empty() && damaged == 0 {
        let some = &absent[..absent.len().min(3)];
        return Err(broken(&format!(
            "{} things are absent, such as {some:?}, and no damage is told",
            absent.len()
        )));
    }
    // And it takes new events, and knows them again.
    let (events, session) = (Events::of(&home), HookSession::new());
    if events.send(&session, "toolu_new").ok() != Some(ccd_proto::frame::Status::Durable) {
        return Err(broken("it takes no event"));
    }
    let found = poll(PATIENCE, || {
        let spans: Option<Spans> = control.ask(&format!("/v0/spans?session={}&kind=tool", session.session));
        spans.filter(|found| found.spans.len() == 1)
    });
    found.ok_or_else(|| broken("a new event is not found again"))?;
    Ok(Counts {
        cases: 1,
        whole: usize::from(absent.is_empty()),
        told: usize::from(damaged > 0),
        absent: absent.len(),
    })
}

#[track_caller]
fn run(name: &str, what: &str, sorts: &[(Sort, usize)]) {
    let mut random = Random::seeded(name);
    let original = original();
    let cases: Vec<(Sort, u64)> =
        sorts.iter().flat_map(|(sort, times)| vec![*sort; *times]).map(|sort| (sort, random.any())).collect();
    let cases = Mutex::new(cases);
    let (counts, broken) = (Mutex::new(Counts::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((sort, seed)) = { cases.lock().unwrap().pop() } {
                    match one(&original, sort, &mut Random::new(seed)) {
                        Ok(one) => {
                            let mut all = counts.lock().unwrap();
                            all.cases += one.cases;
                            all.whole += one.whole;
                            all.told += one.told;
                            all.absent += one.absent;
                        }
                        Err(promise) => broken.lock().unwrap().push(format!("{promise} (case {seed})")),
                    }
                }
            });
        }
    });
    let (Counts { cases, whole, told, absent }, broken) =
        (counts.into_inner().unwrap(), broken.into_inner().unwrap());
    summary(&format!(
        "{name}: {what}; {} cases: {whole} served everything, {told} told of damage, {absent} things absent, 0 wrong, \
         {} broken promises",
        cases + broken.len(),
        broken.len()
    ));
    assert!(broken.is_empty(), "{} promises broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn f09_a_flipped_bit_in_any_file_costs_what_it_hits_and_is_told() {
    let flips = count(24, 500);
    run("F09", &format!("{flips} flipped bits"), &[(Sort::Flip, flips)]);
}

#[test]
fn f10_files_cut_zeroed_deleted_or_left_over_cost_what_was_in_them_and_are_told() {
    let (cut, zeroed, deleted, left) = (count(12, 500), count(12, 500), count(6, 60), count(1, 10));
    run(
        "F10",
        &format!(
            "{cut} truncations, {zeroed} zeroed blocks, {deleted} deleted files, {left} snapshots left over"
        ),
        &[(Sort::Truncate, cut), (Sort::Zero, zeroed), (Sort::Delete, deleted), (Sort::HalfSnapshot, left)],
    );
}
