//! What two versions of the client really wrote, one line of each shape, and what it tells.

use super::*;
use crate::ingest::record::Stored;

const OLDER: &[u8] = include_bytes!("../../../../tests/fixtures/transcript/2.1.197.jsonl");
const NEWER: &[u8] = include_bytes!("../../../../tests/fixtures/transcript/2.1.329.jsonl");
const META: &[u8] = include_bytes!("../../../../tests/fixtures/transcript/agent.meta.json");

fn read_as(path: &str, part: TranscriptPart, body: &[u8]) -> TranscriptFacts {
    let record = TranscriptV2 {
        path: path.as_bytes().to_vec(),
        part,
        device: 1,
        inode: 2,
        born_ns: 3,
        offset: 0,
        body: Stored::Inline(Vec::new()),
        in_file: None,
    };
    read(&record, body).unwrap()
}

/// A fact in short.
fn shown(fact: &LineFact) -> String {
    let whose = fact.agent_id.as_deref().map(|agent| format!("{agent}: ")).unwrap_or_default();
    let what = match &fact.kind {
        LineKind::Prompt(p) => format!("{:?} {}", p.kind, p.preview),
        LineKind::Results(results) => {
            let [r] = &results[..] else { panic!("one result a line") };
            let head: String = r.preview.chars().take(21).collect();
            let ended = match (r.is_error, r.denied) {
                (true, true) => " error denied",
                (false, false) => "",
                other => panic!("{other:?}"),
            };
            format!("result of {}{ended} {:?}: {head}", r.tool_use_id, r.started_agent)
        }
        LineKind::Answer(a) => {
            let t = a.tokens.unwrap_or_default();
            let call =
                a.tool_uses.first().map(|u| [&u.name, &u.id, u.summary.as_deref().unwrap_or("")].join(" "));
            format!(
                "{} {} {} {}/{}/{}/{}/{} {}+{} {:?} {}",
                a.message_id,
                a.request_id.as_deref().unwrap_or(""),
                a.model,
                t.input,
                t.output,
                t.cache_read,
                t.cache_write_5m,
                t.cache_write_1h,
                a.thinking,
                a.omitted,
                a.text.as_deref().unwrap_or(""),
                call.unwrap_or_default(),
            )
        }
        LineKind::Compacted(says) => format!("compacted {:?} → {:?}", says.before, says.left),
        LineKind::Costs(costs) => format!("costs {} {:?}", costs.start_ns, costs.models),
        other => format!("{other:?}"),
    };
    format!("{whose}{what}")
}

fn all(body: &[u8]) -> Vec<String> {
    let facts = read_as("/p/c4aea1f3-66f1-45dc-b211-c365079e7020.jsonl", TranscriptPart::Lines, body);
    assert_eq!((facts.unknown, facts.unreadable), (0, 0), "every line is of a known shape");
    assert_eq!(facts.count, body.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count() as u64);
    facts.lines.iter().map(shown).collect()
}

#[test]
fn the_older_clients_lines() {
    assert_eq!(
        all(OLDER),
        [
            r#"msg_1795198508608686 req_2 claude-opus-4-8 12/42/15000/3400/0 0+0 "Let me look." "#,
            r#"a6147a5bf1ed32d4f: msg_1795202510929912 req_3 claude-opus-4-8 12/42/15000/3400/0 0+0 "ok" "#,
            r#"ApiError("API Error: Unable to connect to API (ConnectionRefused)")"#,
            r#"msg_1795198508608686 req_2 claude-opus-4-8 12/42/15000/3400/0 1+0 "" "#,
            r#"msg_1795198508608686 req_2 claude-opus-4-8 12/42/15000/3400/0 0+0 "" Bash toolu_17951985086086862 ls -la"#,
            "Fresh(22)",
            "Typed please make hello",
            "a6147a5bf1ed32d4f: Typed say ok",
            "result of toolu_17951985086086862 None: total 16\ndrwxr-xr-x 3",
        ]
    );
}

#[test]
fn the_newer_clients_lines() {
    assert_eq!(
        all(NEWER),
        [
            r#"msg_1795198510530891 req_1 claude-opus-5-5 12/42/15000/3400/0 0+0 "Let me look." "#,
            r#"a061ba7ec8ef4493a: msg_1795202512538845 req_2 claude-opus-5-5 12/42/15000/3400/0 0+0 "ok" "#,
            r#"ApiError("API Error: Connection refused — a firewall or proxy may be blocking it (ECONNREFUSED)")"#,
            r#"msg_1795198510530891 req_1 claude-opus-5-5 12/42/15000/3400/0 1+0 "" "#,
            r#"msg_1795198510530891 req_1 claude-opus-5-5 12/42/15000/3400/0 0+0 "" Bash toolu_17951985105308912 ls -la"#,
            r#"a23c635b86fe84d19: msg_1795200179304918 req_2 claude-opus-5-5 12/42/15000/3400/0 0+0 "" Agent toolu_17952001793049180 inner"#,
            "Fresh(211)",
            r#"costs 1795198509863000000 [("claude-opus-5-5", Tokens { input: 96, output: 336, cache_read: 120000, cache_write_5m: 27200, cache_write_1h: 0 }, 0, 167104)]"#,
            "compacted Some(18570) → Some(2979)",
            "Summary <elided>",
            "Typed please make hello",
            "Meta <elided>",
            "a061ba7ec8ef4493a: Typed say ok",
            "Interrupted",
            "Meta <elided>",
            "result of toolu_17951985105308912 None: total 16\ndrwxr-xr-x 3",
            "result of toolu_17951993577653560 error denied None: The user doesn't want",
            "a23c635b86fe84d19: result of toolu_17952001793049180 None: <tools-used-before-su",
        ]
    );
}

#[test]
fn what_lies_beside_a_subagents_lines() {
    let facts = read_as("/p/s/subagents/agent-a1.meta.json", TranscriptPart::AgentMeta, META);
    assert_eq!((facts.session_id.as_str(), facts.agent_id.as_deref()), ("s", Some("a1")));
    let meta = AgentMeta {
        agent_type: Some("general-purpose".into()),
        tool_use_id: Some("toolu_17952001793049180".into()),
        parent_agent_id: Some("a23c635b86fe84d19".into()),
        finished: true,
    };
    assert_eq!(facts.meta, Some(meta));
}
