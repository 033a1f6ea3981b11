//! What holds for the spans of any session, however odd; and what the attributes of an ordinary one are.

use std::collections::{HashMap, HashSet};

use ccd_otlp::{Encoding, ExportTraceServiceRequest, Message as _, Span, StatusCode, Value, find};
use ccd_proto::api::{self, Detection, Session, Tokens, Turn};
use proptest::prelude::*;
use serde_json::json;

use super::spans::{Call, Filled, Story, trace};
use super::{Level, Options, Trace, resource, resource_spans};
use crate::clock::rfc3339;
use crate::export::clean::Cleaner;
use crate::project::ids;
use crate::project::view::{SessionView, SpanView};

const START: u64 = 1_790_000_000_123_456_789;

fn turn(n: usize) -> Turn {
    let turn_id = format!("turn-{n}");
    Turn {
        trace_id: ids::trace("s1", &turn_id),
        turn_id,
        session_id: "s1".into(),
        number: n as u64 + 1,
        source: "user".into(),
        started_at: rfc3339(START),
        status: "ok".into(),
        ..Turn::default()
    }
}

fn view(turn: &Turn, kind: &str, id: &str, parent: Option<&str>) -> SpanView {
    let span = api::Span {
        span_id: ids::span("s1", kind, id),
        trace_id: turn.trace_id.clone(),
        parent_id: parent.map(str::to_owned),
        session_id: "s1".into(),
        turn_id: turn.turn_id.clone(),
        kind: kind.into(),
        status: "ok".into(),
        ..api::Span::default()
    };
    SpanView { span, start_ns: START, end_ns: Some(START + 7), ..SpanView::default() }
}

struct Case {
    view: SessionView,
    calls: HashMap<String, Call>,
    detections: Vec<Detection>,
    session: Session,
}

impl Case {
    fn new(view: SessionView) -> Self {
        let session = Session {
            session_id: "s1".into(),
            project: Some("shop".into()),
            client: Some("claude-code 2.1.329".into()),
            ..Session::default()
        };
        Case { view, calls: HashMap::new(), detections: Vec::new(), session }
    }

    fn tell(&self, options: &Options, fill: &mut dyn FnMut(&SpanView, bool) -> Filled) -> Vec<Trace> {
        let story = Story {
            session: &self.session,
            view: &self.view,
            calls: &self.calls,
            detections: &self.detections,
            interventions: &[],
        };
        let cleaner = Cleaner::standard(&crate::export::clean::Privacy::default(), None).unwrap();
        self.view.turns.iter().map(|turn| trace(&story, turn, options, &cleaner, fill)).collect()
    }

    fn plain(&self) -> Vec<Trace> {
        self.tell(&Options::default(), &mut |_, _| Filled::default())
    }
}

/// Spans with any parents at all: missing, of another turn, of their own kind, in rings.
fn odd_sessions() -> impl Strategy<Value = SessionView> {
    let kinds = prop::sample::select(vec!["agent", "llm", "tool", "compaction"]);
    let span =
        (0..3_usize, kinds, prop::option::weighted(0.9, 0..14_usize), 0..50_u64, prop::option::of(0..60_u64));
    let roots = prop::collection::vec(any::<bool>(), 3);
    (roots, prop::collection::vec((span, any::<bool>()), 0..12)).prop_map(|(roots, spans)| {
        let turns: Vec<Turn> = (0..3).map(turn).collect();
        let mut all: Vec<SpanView> = Vec::new();
        for (n, has_root) in roots.into_iter().enumerate() {
            if has_root {
                all.push(SpanView {
                    start_ns: START + 5,
                    ..view(&turns[n], "agent", &turns[n].turn_id, None)
                });
            }
        }
        // Ids first, so that a parent may come later, be oneself, or be nobody.
        let ids: Vec<String> = all
            .iter()
            .map(|v| v.span.span_id.clone())
            .chain((0..spans.len()).map(|i| ids::span("s1", spans[i].0.1, &i.to_string())))
            .collect();
        for (i, ((turn, kind, parent, start, end), again)) in spans.into_iter().enumerate() {
            let parent = parent.map(|p| ids.get(p).cloned().unwrap_or_else(|| "feedfacefeedface".into()));
            let made = view(&turns[turn], kind, &i.to_string(), parent.as_deref());
            let made = SpanView { start_ns: START + start, end_ns: end.map(|end| START + end), ..made };
            if again {
                all.push(made.clone());
            }
            all.push(made);
        }
        SessionView { turns, spans: all }
    })
}

fn check(case: &Case, traces: &[Trace]) {
    for (turn, trace) in case.view.turns.iter().zip(traces) {
        let spans = &trace.spans;
        let ids: HashSet<&[u8]> = spans.iter().map(|s| s.span_id.as_slice()).collect();
        assert_eq!(ids.len(), spans.len(), "an id stands twice");
        let own: HashSet<&str> = case
            .view
            .spans
            .iter()
            .filter(|v| v.span.turn_id == turn.turn_id)
            .map(|v| v.span.span_id.as_str())
            .collect();
        assert!(spans.len() == own.len() || spans.len() == own.len() + 1, "all of the turn, and its root");
        let roots: Vec<&Span> = spans.iter().filter(|s| s.parent_span_id.is_empty()).collect();
        assert_eq!(roots.len(), 1, "one root");
        assert_eq!(roots[0], &spans[0], "the root comes first");
        let mut seen: HashSet<&[u8]> = HashSet::new();
        for span in spans {
            assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
            assert_eq!(span.trace_id, spans[0].trace_id);
            assert!(
                span.parent_span_id.is_empty() || seen.contains(span.parent_span_id.as_slice()),
                "an orphan"
            );
            seen.insert(&span.span_id);
            assert!(
                span.end_time_unix_nano >= span.start_time_unix_nano
                    && span.start_time_unix_nano >= START - 1_000
            );
            let names: HashSet<&str> = span.attributes.iter().map(|a| a.key.as_str()).collect();
            assert_eq!(names.len(), span.attributes.len(), "an attribute stands twice");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_parent_is_there_and_every_trace_has_one_root(view in odd_sessions()) {
        let case = Case::new(view);
        let traces = case.plain();
        check(&case, &traces);
        prop_assert_eq!(&traces, &case.plain(), "the same twice");
        for trace in traces {
            let spans = resource_spans(resource(&case.session, &Options::default()), trace.spans);
            let request = ExportTraceServiceRequest { resource_spans: vec![spans] };
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                let back = ExportTraceServiceRequest::from_bytes(encoding, &request.to_bytes(encoding)).unwrap();
                prop_assert_eq!(&back, &request);
            }
        }
    }
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    find(&span.attributes, key).and_then(Value::as_str)
}

fn number(span: &Span, key: &str) -> Option<i64> {
    find(&span.attributes, key).and_then(Value::as_i64)
}

/// A turn with a call that failed and was made again, a tool, and a subagent that the tool call started.
fn ordinary() -> Case {
    let turn = turn(0);
    let tokens = Tokens { input: 10, output: 20, cache_read: 300, cache_write_5m: 40, cache_write_1h: 5 };
    let root_id = ids::span("s1", "agent", &turn.turn_id);
    let mut root = view(&turn, "agent", &turn.turn_id, None);
    root.span.name = "invoke_agent main".into();
    root.span.tokens = Some(tokens);
    root.span.cost_usd_micros = Some(99);
    root.end_ns = Some(START + 1_000);
    let call = |id: &str, exchange: &str| {
        let mut call = view(&turn, "llm", id, Some(&root_id));
        call.span.model = Some("claude-opus-5-5".into());
        call.span.purpose = Some("main".into());
        call.span.exchange_id = Some(exchange.into());
        call
    };
    let mut failed = call("m0", "x0");
    failed.span.status = "error".into();
    failed.span.error = Some("overloaded_error: try /home/ann later".into());
    let mut again = call("m1", "x1");
    again.span.retry_of = Some(failed.span.span_id.clone());
    again.span.tokens = Some(tokens);
    again.span.cost_usd_micros = Some(99);
    again.span.stop_reason = Some("tool_use".into());
    again.span.ttfb_ms = Some(250);
    let mut tool = view(&turn, "tool", "toolu_1", Some(&root_id));
    tool.span.tool_name = Some("Task".into());
    tool.span.tool_use_id = Some("toolu_1".into());
    tool.span.requested_by = Some(again.span.span_id.clone());
    tool.span.status = "denied".into();
    tool.span.error = Some("you may not read the diary".into());
    let mut agent = view(&turn, "agent", "a1", Some(&tool.span.span_id));
    agent.span.name = "invoke_agent Explore".into();
    agent.span.agent_id = Some("a1".into());
    agent.end_ns = Some(START + 2_000);
    let detections = vec![Detection {
        detection_id: "d1".into(),
        kind: "loop".into(),
        rule: "same".into(),
        span_id: Some(tool.span.span_id.clone()),
        title: "the diary again".into(),
        at: rfc3339(START + 5_000),
        state: "open".into(),
        ..Detection::default()
    }];
    let mut case =
        Case::new(SessionView { turns: vec![turn], spans: vec![root, failed, again, tool, agent] });
    case.detections = detections;
    let upstream = || "https://api.anthropic.com/x".to_owned();
    let failed = Call { status: Some(529), upstream: upstream(), ..Call::default() };
    let traceparent = Some(format!("00-{}-{}-01", "ab".repeat(16), "cd".repeat(8)));
    let again = Call {
        status: Some(200),
        message_id: Some("msg_1".into()),
        stream: true,
        upstream: upstream(),
        traceparent,
        ..Call::default()
    };
    case.calls = HashMap::from([("x0".into(), failed), ("x1".into(), again)]);
    case
}

#[test]
fn an_ordinary_turn_is_told_by_the_conventions() {
    let case = ordinary();
    let traces = case.plain();
    check(&case, &traces);
    let spans = &traces[0].spans;
    let named = |name: &str| spans.iter().filter(|s| s.name == name).collect::<Vec<_>>();
    let (root, calls) = (named("invoke_agent main")[0], named("chat claude-opus-5-5"));
    let (tool, agent) = (named("execute_tool Task")[0], named("invoke_agent Explore")[0]);
    assert_eq!(root.end_time_unix_nano, START + 1_000);
    assert_eq!((text(root, "gen_ai.conversation.id"), text(root, "ccd.project")), (Some("s1"), Some("shop")));
    assert!(root.attributes.iter().all(|a| !a.key.starts_with("gen_ai.usage")), "counted twice");
    assert_eq!(
        (number(root, "ccd.rollup.input_tokens"), number(root, "ccd.rollup.cost_usd_micros")),
        (Some(10), Some(99))
    );

    let again = calls[1];
    assert_eq!(number(again, "gen_ai.usage.input_tokens"), Some(355), "the sum");
    assert_eq!(number(again, "gen_ai.usage.output_tokens"), Some(20));
    assert_eq!(number(again, "gen_ai.usage.cache_read.input_tokens"), Some(300));
    assert_eq!(number(again, "gen_ai.usage.cache_creation.input_tokens"), Some(45));
    assert_eq!(number(again, "ccd.usage.cache_write_1h_tokens"), Some(5));
    assert_eq!(
        (text(again, "gen_ai.response.id"), text(again, "gen_ai.provider.name")),
        (Some("msg_1"), Some("anthropic"))
    );
    assert_eq!(
        (text(again, "server.address"), number(again, "server.port")),
        (Some("api.anthropic.com"), Some(443))
    );
    let first = find(&again.attributes, "gen_ai.response.time_to_first_chunk").and_then(Value::as_f64);
    assert_eq!(first, Some(0.25));
    assert_eq!(again.events[0].time_unix_nano, START + 250_000_000);
    assert_eq!((again.kind, root.kind), (3, 1));
    assert!(again.links.iter().any(|l| l.span_id == calls[0].span_id));

    let failed = calls[0].status.as_ref().unwrap();
    assert_eq!((text(calls[0], "error.type"), failed.code()), (Some("overloaded_error"), StatusCode::Error));
    assert_eq!(failed.message, "overloaded_error", "no word of what was captured");
    assert_eq!(number(calls[0], "http.response.status_code"), Some(529));
    assert_eq!(text(tool, "error.type"), Some("permission_denied"));
    assert_eq!(text(tool, "gen_ai.tool.call.id"), Some("toolu_1"));
    assert_eq!(agent.parent_span_id, tool.span_id);
    assert_eq!(
        find(&agent.links[0].attributes, "ccd.link").and_then(Value::as_str),
        Some("started_by"),
        "it outlived it"
    );
    assert_eq!(tool.events[0].name, "ccd.detection");
    assert!(root.events.iter().any(|e| e.name == "ccd.retry"));
    let remote = root.links.iter().find(|l| l.trace_id == vec![0xab; 16]).unwrap();
    assert_eq!((remote.span_id.as_slice(), remote.flags), ([0xcd; 8].as_slice(), 0x301));

    let newer = Options { semconv: super::semconv::Version::V1_44, ..Options::default() };
    let newer = case.tell(&newer, &mut |_, _| Filled::default());
    assert!(newer[0].spans.iter().any(|s| number(s, "gen_ai.usage.cache_write.input_tokens") == Some(45)));
}

#[test]
fn content_goes_along_by_its_level_and_redacted() {
    let case = ordinary();
    let token = ccd_redact::sample::filled("ghp_{a36}", 7);
    let said = |level: Level| {
        let mut fill = |view: &SpanView, with_system: bool| match view.span.kind.as_str() {
            "llm" => Filled {
                input: Some(json!([{"role": "user", "content": format!("my token is {token}")}])),
                output: Some(
                    json!([{"type": "thinking", "thinking": "a secret thought"}, {"type": "text", "text": "done"}]),
                ),
                system: with_system.then(|| json!([{"type": "text", "text": "be kind"}])),
            },
            "tool" => Filled {
                input: Some(json!({"prompt": "look", "key": token})),
                output: Some(json!("found nothing")),
                system: None,
            },
            _ => Filled::default(),
        };
        let traces = case.tell(&Options { content: level, ..Options::default() }, &mut fill);
        let all = serde_json::to_string(&traces[0].spans).unwrap();
        assert!(!all.contains(&token), "{level:?}");
        all
    };
    let (none, text, full) = (said(Level::None), said(Level::Text), said(Level::Full));
    for (word, in_none, in_text, in_full) in [
        ("a secret thought", false, true, true),
        ("gen_ai.output.messages", false, true, true),
        ("[redacted:", false, true, true),
        ("try ", false, true, true),
        ("the diary again", false, true, true),
        ("found nothing", false, false, true),
        ("not read the diary", false, false, true),
        ("be kind", false, false, true),
        ("/home/ann", false, false, false),
    ] {
        let found = (none.contains(word), text.contains(word), full.contains(word));
        assert_eq!(found, (in_none, in_text, in_full), "{word}");
    }
    assert_eq!(full.matches("be kind").count(), 1, "once per agent and turn");
}
