//! The books are the same whatever the order, and their sums agree.

use std::sync::Arc;

use ccd_proto::api::Tokens;
use ccd_store::{Locator, Options, Reader, Store};
use proptest::prelude::*;

use super::Ledger;
use crate::project::account::Account;
use crate::project::billed::{Charge, told_message};
use crate::project::charge::{CostState, ModelTotal, Observation, Part, Source};
use crate::project::price::Prices;
use crate::project::session::{Fact, SessionState};
use crate::project::tally::{self, Family, Kind, Tally};
use crate::project::{hook, ids, rows, share};

const HOUR: u64 = 3_600_000_000_000;
const BEGIN: u64 = 1_795_000_000_000_000_000;

/// Something that becomes known.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // a few hundred of them, in a test
enum Told {
    Seen(Observation),
    Closed(CostState),
    /// A session was in a directory at a time.
    Home(usize, u64, &'static str),
    /// A subagent of a session is of a type.
    Agent(usize, &'static str, &'static str),
}

fn session(n: usize) -> String {
    format!("session-{n}")
}

fn tokens() -> impl Strategy<Value = Tokens> {
    (0..2_000u64, 0..500u64, 0..50_000u64, 0..3_000u64, 0..3_000u64).prop_map(
        |(input, output, cache_read, cache_write_5m, cache_write_1h)| Tokens {
            input,
            output,
            cache_read,
            cache_write_5m,
            cache_write_1h,
        },
    )
}

fn part() -> impl Strategy<Value = Part> {
    (0..4u8, prop::sample::select(vec!["", "Bash", "Read"]), 0..900u64).prop_map(|(id, tool, bytes)| Part {
        tool_use_id: format!("toolu_{id}"),
        tool: tool.into(),
        bytes,
    })
}

prop_compose! {
    fn observation()(
        source in prop::sample::select(vec![Source::Proxy, Source::Transcript, Source::Telemetry]),
        message in 0..3u8,
        request in prop::option::of(0..2u8),
        of in 0..3usize,
        agent in prop::option::of(prop::sample::select(vec!["a1", "a2"])),
        hour in 0..6u64,
        born in 1..4u64,
        model in prop::sample::select(vec!["claude-opus-5-5", "claude-haiku-5-5", "nobody-knows"]),
        tokens in tokens(),
        texts in (
            prop::sample::select(vec!["", "main", "topic"]),
            prop::sample::select(vec!["", "standard", "batch", "priority"]),
            prop::sample::select(vec!["", "main", "title"]),
        ),
        cut in any::<bool>(),
        asked in prop::collection::vec(part(), 0..3),
        brought in prop::collection::vec(part(), 0..3),
        sizes in (0..2_000u64, 0..2_000u64, 0..60_000u64, 0..2u64),
    ) -> Observation {
        // Telemetry names the request and no message.
        let telemetry = source == Source::Telemetry;
        let request = if telemetry { Some(request.unwrap_or(2)) } else { request };
        let request = request.map(|r| format!("req_{r}"));
        let told = request.as_deref().filter(|_| telemetry).map(told_message);
        Observation {
            source,
            message_id: told.unwrap_or_else(|| format!("msg_{message}")),
            request,
            session_id: session(of),
            agent_id: agent.map(Into::into),
            at_ns: BEGIN + hour * HOUR / 3,
            born_ns: if source == Source::Transcript { born } else { 0 },
            model: model.into(),
            tokens,
            web_searches: sizes.3,
            service_tier: texts.1.into(),
            speed: String::new(),
            branch: texts.0.into(),
            purpose: texts.2.into(),
            cut,
            asked,
            brought,
            answer_bytes: sizes.0,
            fresh_bytes: sizes.1,
            previous_prompt: sizes.2,
        }
    }
}

fn closed() -> impl Strategy<Value = CostState> {
    let model = prop::sample::select(vec!["claude-opus-5-5", "claude-haiku-5-5[1m]"]);
    let models = prop::collection::vec((model, tokens(), 0..3u64), 1..3);
    (0..3usize, 0..6u64, 1..3u64, models).prop_map(|(of, hour, start, models)| CostState {
        session_id: session(of),
        at_ns: BEGIN + hour * HOUR,
        start_ns: start,
        models: models
            .into_iter()
            .map(|(model, tokens, web_searches)| ModelTotal {
                model: model.into(),
                tokens,
                web_searches,
                micros: 0,
            })
            .collect(),
    })
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        6 => observation().prop_map(Told::Seen),
        2 => closed().prop_map(Told::Closed),
        1 => (0..3usize, 0..3u64, prop::sample::select(vec!["/w/one", "/w/two"]))
            .prop_map(|(of, at, cwd)| Told::Home(of, at, cwd)),
        1 => (0..3usize, prop::sample::select(vec!["a1", "a2"]), prop::sample::select(vec!["Explore", "Plan"]))
            .prop_map(|(of, agent, kind)| Told::Agent(of, agent, kind)),
    ]
}

struct Books {
    _dir: tempfile::TempDir,
    store: Store,
    reader: Reader,
    prices: Arc<Prices>,
}

impl Books {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap().store;
        let reader = store.reader();
        Books { _dir: dir, store, reader, prices: Arc::new(Prices::new(&std::collections::BTreeMap::new())) }
    }

    fn book(&mut self, batch: &[Told]) {
        let mut ledger = Ledger::new(&self.reader, Arc::clone(&self.prices));
        for told in batch {
            match told {
                Told::Seen(observation) => ledger.observe(observation).unwrap(),
                Told::Closed(state) => ledger.close(state).unwrap(),
                Told::Home(of, at, cwd) => {
                    let event = serde_json::json!({"session_id": session(*of), "hook_event_name": "SessionStart", "cwd": cwd});
                    learn(&mut ledger, *of, BEGIN + at, &event);
                }
                Told::Agent(of, agent, kind) => {
                    let event = serde_json::json!({
                        "session_id": session(*of), "hook_event_name": "SubagentStart",
                        "agent_id": agent, "agent_type": kind,
                    });
                    learn(&mut ledger, *of, BEGIN, &event);
                }
            }
        }
        let mutations = ledger.finish().unwrap().mutations;
        self.store.apply(0, mutations).unwrap();
    }

    fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.reader.scan(&[tally::ROLLUP], &[0x7f]).map(Result::unwrap).collect()
    }

    fn family(&self, family: Family) -> Tally {
        let mut sum = Tally::default();
        for row in self.reader.scan(&tally::from(family, 0), &tally::end(family)) {
            let (key, value) = row.unwrap();
            let row = tally::Row::decode(&value).unwrap();
            assert!(!row.is_empty(), "a row of nothing");
            for (_, tally) in row.quarters(&key) {
                let counted = row.tool.is_empty();
                let whole = Tally { calls: 0, priced: 0, unpriced: 0, ..*tally };
                sum.add(if counted { tally } else { &whole }, 1);
            }
        }
        sum
    }

    fn accounts(&self) -> Tally {
        let (from, to) = rows::accounts();
        let mut sum = Tally::default();
        for row in self.reader.scan(&from, &to) {
            let account: Account = rows::decode(&row.unwrap().1).unwrap();
            account.charged().values().for_each(|tally| sum.add(tally, 1));
            account.side.iter().for_each(|row| sum.add(&row.tally, 1));
        }
        sum
    }

    /// Charges that count, read off the charges alone, and the remainders.
    fn charges(&self) -> Tally {
        let (from, to) = rows::charges();
        let all: Vec<_> = self.reader.scan(&from, &to).map(Result::unwrap).collect();
        let keys: Vec<_> = all.iter().filter_map(|(key, _)| rows::charge_of_key(key)).collect();
        let mut sum = Tally::default();
        for ((_, value), key) in all.iter().zip(&keys) {
            let named = keys.iter().any(|k| k.message == key.message && !k.is_anonymous());
            if key.is_anonymous() && named {
                continue;
            }
            let charge = rows::decode::<Charge>(value).unwrap();
            let others = all.iter().zip(&keys).filter(|(_, k)| k.request == key.request && *k != key);
            let mut others = others.map(|((_, value), _)| rows::decode::<Charge>(value).unwrap());
            if charge.is_told_only() && others.any(|other| !other.is_told_only()) {
                continue;
            }
            let bill = charge.bill();
            sum.add(&share::whole(&bill, &self.prices), 1);
        }
        let side = self.reader.scan(&tally::from(Family::Model, 0), &tally::end(Family::Model));
        for row in side {
            let (key, value) = row.unwrap();
            let row = tally::Row::decode(&value).unwrap();
            if row.kind() == Kind::Side {
                row.quarters(&key).for_each(|(_, tally)| sum.add(tally, 1));
            }
        }
        sum
    }
}

fn learn(ledger: &mut Ledger<'_>, of: usize, at_ns: u64, event: &serde_json::Value) {
    let facts = hook::read(at_ns, b"claude-code 2.1.329", event.to_string().as_bytes()).unwrap();
    let mut state = SessionState::new(&session(of));
    state.apply(&Fact::Hook(Box::new(facts)), Locator::from_bytes([0; 10]));
    ledger.learn(&session(of), &state).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_order_split_and_repetition_gives_the_same_rows(
        (told, again) in prop::collection::vec(told(), 1..24).prop_flat_map(|told| {
            let repeated: Vec<Told> = told.iter().chain(told.iter().step_by(3)).cloned().collect();
            (Just(told), Just(repeated).prop_shuffle())
        }),
        sizes in prop::collection::vec(1..7usize, 1..40),
    ) {
        let mut canonical = Books::new();
        canonical.book(&told);
        let mut other = Books::new();
        let (mut rest, mut sizes) = (&again[..], sizes.into_iter().cycle());
        while !rest.is_empty() {
            let (batch, left) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            other.book(batch);
            rest = left;
        }
        prop_assert_eq!(canonical.rows(), other.rows());
        let sum = canonical.charges();
        prop_assert_eq!(canonical.accounts(), sum);
        for family in Family::ALL {
            prop_assert_eq!(canonical.family(family), sum);
        }
    }
}

#[test]
fn a_gateway_that_gives_every_message_the_same_id_is_billed_for_all_of_them() {
    let mut books = Books::new();
    let seen = |request: Option<u32>| {
        Told::Seen(Observation {
            source: Source::Transcript,
            message_id: "msg".into(),
            request: request.map(|r| format!("req_{r}")),
            session_id: session(0),
            agent_id: None,
            at_ns: BEGIN,
            born_ns: 1,
            model: "claude-opus-5-5".into(),
            tokens: Tokens { input: 10, ..Tokens::default() },
            web_searches: 0,
            service_tier: String::new(),
            speed: String::new(),
            branch: String::new(),
            purpose: String::new(),
            cut: false,
            asked: Vec::new(),
            brought: Vec::new(),
            answer_bytes: 0,
            fresh_bytes: 0,
            previous_prompt: 0,
        })
    };
    books.book(&[seen(None)]);
    assert_eq!(books.accounts().calls, 1);
    let all: Vec<Told> = (0..300).map(|n| seen(Some(n))).collect();
    books.book(&all);
    assert_eq!((books.accounts().calls, books.accounts().tokens[0]), (300, 3_000));
    let (from, to) = rows::charges();
    let largest = books.reader.scan(&from, &to).map(|row| row.unwrap().1.len()).max().unwrap();
    assert!(largest < 1024, "{largest}");
    assert_eq!(ids::session_key(&session(0)).len(), 16);
}

#[test]
fn what_telemetry_tells_of_a_request_moves_out_when_another_source_tells_of_it() {
    let seen = |source, message: &str, input| {
        Told::Seen(Observation {
            source,
            message_id: message.into(),
            request: Some("req_1".into()),
            session_id: session(0),
            agent_id: None,
            at_ns: BEGIN,
            born_ns: 0,
            model: "claude-opus-5-5".into(),
            tokens: Tokens { input, ..Tokens::default() },
            web_searches: 0,
            service_tier: String::new(),
            speed: String::new(),
            branch: String::new(),
            purpose: String::new(),
            cut: false,
            asked: Vec::new(),
            brought: Vec::new(),
            answer_bytes: 0,
            fresh_bytes: 0,
            previous_prompt: 0,
        })
    };
    let told = || seen(Source::Telemetry, &told_message("req_1"), 11);
    let mut books = Books::new();
    books.book(&[told()]);
    assert_eq!((books.accounts().calls, books.accounts().tokens[0]), (1, 11), "nobody else tells of it");
    books.book(&[seen(Source::Transcript, "msg_1", 10)]);
    assert_eq!((books.accounts().calls, books.accounts().tokens[0]), (1, 10), "the transcript's word counts");
    books.book(&[told(), seen(Source::Proxy, "msg_1", 10)]);
    assert_eq!((books.accounts().calls, books.accounts().tokens[0]), (1, 10));
    let mut other = Books::new();
    other.book(&[seen(Source::Proxy, "msg_1", 10)]);
    other.book(&[told()]);
    assert_eq!((other.accounts().calls, other.accounts().tokens[0]), (1, 10), "whichever is first");
}
