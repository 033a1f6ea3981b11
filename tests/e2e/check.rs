//! Compares what was captured with the mock's ledger.
//!
//! Expected values come from the ledger and from arithmetic done here; none is read from the product.

use std::collections::{BTreeMap, BTreeSet};

use ccd_proto::api::{Exchange, Exchanges, Session, Sessions, Span, Spans, Tokens, Turn, Turns, Usage};
use ccd_tests::harness::{TestHome, eventually};
use ccd_tests::mock::{self, Ended, ToolCall, sha256};

/// Everything captured in a home.
pub(crate) struct Capture {
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) spans: Vec<Span>,
}

const ALL: [&str; 2] = ["--limit", "10000"];

impl Capture {
    /// Waits until every exchange of `ledger` is recorded and its sessions' ends are seen, then reads all.
    pub(crate) fn read(home: &TestHome, ledger: &[mock::Exchange]) -> Self {
        let sessions: BTreeSet<&str> = ledger.iter().filter_map(mock::Exchange::session).collect();
        eventually("every session's end is recorded", || {
            let ended = |id: &str| self::sessions(home).iter().any(|s| s.session_id == id && s.ended);
            sessions.iter().all(|id| ended(id)).then_some(())
        });
        let exchanges = eventually("every exchange of the ledger is recorded", || {
            let exchanges = exchanges(home);
            (exchanges.len() >= ledger.len()).then_some(exchanges)
        });
        let spans: Spans = home.query(&[&["traces", "--content"], &ALL[..]].concat());
        assert!(!spans.more, "all spans fit the limit");
        Capture { exchanges, spans: spans.spans }
    }

    /// Asserts that the exchanges are those of the ledger: whose they are, their bytes, tokens and cost.
    #[track_caller]
    pub(crate) fn assert_exchanges(&self, home: &TestHome, ledger: &[mock::Exchange]) {
        assert_eq!(self.exchanges.len(), ledger.len(), "no exchange is missing and none is there twice");
        for sent in ledger {
            let got = self.exchange(sent);
            let who = format!("{} {} {:?}", sent.method, sent.path, sent.request_id);
            assert_eq!(got.session_id.as_deref(), sent.session(), "{who}");
            assert_eq!(got.agent_id.as_deref(), sent.agent(), "{who}");
            assert_eq!(
                (&got.method, &got.path, got.status),
                (&sent.method, &sent.path, Some(sent.status)),
                "{who}"
            );
            assert_eq!(got.message_id, sent.message_id, "{who}");
            assert!(sent.model.is_none() || got.model == sent.model, "{who}: {:?}", got.model);
            assert_eq!(got.stop_reason, sent.stop_reason, "{who}");
            assert_eq!(got.tokens, sent.tokens, "{who}");
            assert_eq!(got.cost_usd_micros, sent.tokens.as_ref().map(cost), "{who}");
            // A stream that closes with an error event closes well, and yet its message has no end.
            let told_all = sent.message_id.is_none() || sent.stop_reason.is_some();
            assert_eq!(got.complete, sent.ended == Ended::Whole && told_all, "{who}");
            let thoughts = (got.reasoning.blocks, got.reasoning.omitted);
            assert_eq!(thoughts, (sent.reasoning.blocks, sent.reasoning.omitted), "{who}");

            let body = |which: &str| home.ccctl(&["exchange", &got.exchange_id, which]).ok().stdout;
            assert_eq!(sha256(&body("--request")), sent.request_sha256(), "{who}: the request's bytes");
            assert_eq!(sha256(&body("--response")), sent.response_sha256(), "{who}: the response's bytes");
            assert_eq!(got.request_bytes, sent.request.len() as u64, "{who}");
            assert_eq!(got.response_bytes, sent.response.len() as u64, "{who}");
        }
    }

    /// Asserts that agents, model calls and tool calls are one span each, hung up where they belong.
    #[track_caller]
    pub(crate) fn assert_spans(&self, ledger: &[mock::Exchange], verdict: fn(&ToolCall) -> &'static str) {
        let calls = || ledger.iter().flat_map(|sent| sent.tool_calls.iter().map(move |call| (sent, call)));
        let messages = || ledger.iter().filter(|sent| sent.message_id.is_some());
        assert_eq!(self.of_kind("tool").count(), calls().count(), "one span per tool call");

        for sent in messages() {
            let span = self.llm(sent);
            assert_eq!(span.tokens, sent.tokens, "{span:?}");
            assert_eq!(self.parent(span).span_id, self.agent(sent, span).span_id, "{span:?}");
        }
        for (sent, call) in calls() {
            let span = self.tool(call);
            assert_eq!(span.name, format!("execute_tool {}", call.name), "{span:?}");
            assert_eq!(span.session_id, sent.session().unwrap(), "{span:?}");
            assert_eq!(span.agent_id.as_deref(), sent.agent(), "{span:?}");
            assert_eq!(span.status, verdict(call), "{span:?}");
            assert_eq!(span.input.as_ref(), Some(&call.input), "{span:?}");
            assert_eq!(
                self.parent(span).span_id,
                self.agent(sent, span).span_id,
                "the agent it ran in: {span:?}"
            );
            assert_eq!(span.requested_by.as_ref(), Some(&self.llm(sent).span_id), "{span:?}");
            assert!(span.duration_ms.is_some() || span.status != "ok", "{span:?}");
        }
        let subagents: BTreeMap<&str, &mock::Exchange> =
            ledger.iter().rev().filter_map(|sent| Some((sent.agent()?, sent))).collect();
        for first in subagents.values() {
            let agent = self.agent(first, self.llm(first));
            let asked = String::from_utf8_lossy(&first.request);
            let is_its_start = |(starter, call): &(&mock::Exchange, &ToolCall)| {
                starter.session() == first.session()
                    && call.input["prompt"].as_str().is_some_and(|prompt| asked.contains(prompt))
            };
            let (starter, call) = calls().find(is_its_start).expect("a call that started it");
            assert_eq!(starter.agent(), first.parent_agent(), "the ledger agrees with itself");
            assert_eq!(self.parent(agent).span_id, self.tool(call).span_id, "under the call that started it");
        }
        let roots = self.of_kind("agent").filter(|span| span.parent_id.is_none());
        let turns: BTreeSet<_> = self.spans.iter().map(|span| &span.turn_id).collect();
        assert_eq!(roots.count(), turns.len(), "one root per turn");
        assert_eq!(self.of_kind("agent").count(), turns.len() + subagents.len(), "one span per agent");
    }

    /// The captured exchange of a ledger's entry.
    #[track_caller]
    pub(crate) fn exchange(&self, sent: &mock::Exchange) -> &Exchange {
        let id = Some(&sent.request_id);
        one(self.exchanges.iter().filter(|got| got.request_id.as_ref() == id), &sent.request_id)
    }

    /// The span of a tool call.
    #[track_caller]
    pub(crate) fn tool(&self, call: &ToolCall) -> &Span {
        one(self.of_kind("tool").filter(|span| span.tool_use_id.as_ref() == Some(&call.id)), &call.id)
    }

    #[track_caller]
    fn llm(&self, sent: &mock::Exchange) -> &Span {
        let id = &self.exchange(sent).exchange_id;
        one(self.of_kind("llm").filter(|span| span.exchange_id.as_ref() == Some(id)), id)
    }

    /// The span of the agent that sent `sent`, in the turn of `span`.
    #[track_caller]
    fn agent(&self, sent: &mock::Exchange, span: &Span) -> &Span {
        // A subagent is one span however many turns it outlives; on the main thread each turn has a root.
        let belongs = |agent: &&Span| match sent.agent() {
            Some(id) => agent.agent_id.as_deref() == Some(id),
            None => agent.agent_id.is_none() && agent.turn_id == span.turn_id,
        };
        one(self.of_kind("agent").filter(belongs), "the agent's span")
    }

    #[track_caller]
    fn parent(&self, span: &Span) -> &Span {
        let id = span.parent_id.as_ref().unwrap_or_else(|| panic!("no parent: {span:?}"));
        let parent = one(self.spans.iter().filter(|other| other.span_id == *id), id);
        assert_eq!(parent.trace_id, span.trace_id, "parent and child are of one trace: {span:?}");
        parent
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Span> {
        self.spans.iter().filter(move |span| span.kind == kind)
    }
}

/// Asserts that every command that tells tokens and cost tells the ledger's.
#[track_caller]
pub(crate) fn assert_usage(home: &TestHome, ledger: &[mock::Exchange]) {
    let billed = |sent: &&mock::Exchange| sent.tokens.is_some();
    let (tokens, micros) = sum(ledger.iter());
    let by_model: Usage = home.query(&["usage", "total", "--by", "model"]);
    assert_eq!(by_model.totals.tokens, tokens);
    assert_eq!(by_model.totals.cost_usd_micros, Some(micros));
    assert_eq!(by_model.totals.exchanges, ledger.iter().filter(billed).count() as u64);
    assert_eq!(by_model.rows.len(), 1, "{:?}", by_model.rows);
    assert_eq!(by_model.rows[0].tokens, tokens);
    assert!(by_model.unpriced_models.is_empty(), "{:?}", by_model.unpriced_models);

    let by_session: Usage = home.query(&["usage", "session"]);
    let sessions = sessions(home);
    let ids: BTreeSet<&str> = ledger.iter().filter_map(mock::Exchange::session).collect();
    assert_eq!(sessions.len(), ids.len(), "no session is missing and none is made up");
    for id in ids {
        let own = || ledger.iter().filter(|sent| sent.session() == Some(id));
        let (tokens, micros) = sum(own());
        let row = one(by_session.rows.iter().filter(|row| row.key.values().any(|value| value == id)), id);
        assert_eq!((row.tokens, row.cost_usd_micros), (tokens, Some(micros)), "usage of session {id}");
        let session = one(sessions.iter().filter(|session| session.session_id == id), id);
        assert_eq!((session.tokens, session.cost_usd_micros), (tokens, Some(micros)), "session {id}");
        assert_eq!(session.exchanges, own().count() as u64, "session {id}");
        let calls = own().map(|sent| sent.tool_calls.len() as u64).sum::<u64>();
        assert_eq!(session.tool_calls, calls, "session {id}");
        let agents: BTreeSet<_> = own().filter_map(mock::Exchange::agent).collect();
        assert_eq!(session.agents, agents.len() as u64, "session {id}");
    }
}

/// What `claude-opus-5-5` costs, in micro-dollars: $4 in, $20 out, $0.20 cache read, $5 and $8 cache writes per
/// million tokens.
pub(crate) fn cost(tokens: &Tokens) -> i64 {
    let Tokens { input, output, cache_read, cache_write_5m, cache_write_1h } = tokens;
    let fifths = 5 * (4 * input + 20 * output + 5 * cache_write_5m + 8 * cache_write_1h) + cache_read;
    assert_eq!(fifths % 5, 0, "scripted tokens cost whole micro-dollars");
    i64::try_from(fifths / 5).unwrap()
}

/// Tokens and cost of some exchanges.
pub(crate) fn sum<'a>(ledger: impl Iterator<Item = &'a mock::Exchange>) -> (Tokens, i64) {
    let mut total = Tokens::default();
    for tokens in ledger.filter_map(|sent| sent.tokens) {
        total += tokens;
    }
    (total, cost(&total))
}

/// All exchanges.
pub(crate) fn exchanges(home: &TestHome) -> Vec<Exchange> {
    home.query::<Exchanges>(&[&["exchanges"], &ALL[..]].concat()).exchanges
}

/// All tool calls' spans of a session.
pub(crate) fn tool_spans(home: &TestHome, session: &str) -> Vec<Span> {
    let args = [&["traces", "--content", "--kind", "tool", "--session", session], &ALL[..]].concat();
    home.query::<Spans>(&args).spans
}

/// A session's turns, oldest first.
pub(crate) fn turns(home: &TestHome, session: &str) -> Vec<Turn> {
    let mut turns = home.query::<Turns>(&[&["turns", "--session", session], &ALL[..]].concat()).turns;
    turns.sort_by_key(|turn| turn.number);
    turns
}

/// All sessions.
pub(crate) fn sessions(home: &TestHome) -> Vec<Session> {
    home.query::<Sessions>(&[&["sessions"], &ALL[..]].concat()).sessions
}

#[track_caller]
fn one<'a, T: std::fmt::Debug>(found: impl Iterator<Item = &'a T>, what: &str) -> &'a T {
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1, "exactly one for {what}: {found:#?}");
    found[0]
}
