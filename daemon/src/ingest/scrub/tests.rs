//! Exchanges, looked through whole: what is taken out, what stays, and that it can be put back.

#![allow(clippy::format_push_string, reason = "in a test it may be slow")]

mod lines;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;

use bytes::Bytes;
use ccd_redact::Hit;
use ccd_redact::sample::filled;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ingest::record::{BodyV1, ExchangeV3, Outcome, RedactionV1, RouteV1, Stored};
use crate::ingest::{CapturedExchange, Reserved};
use crate::project::exchange::assemble;
use crate::project::sse::Events;

/// Marks that stand for one source each, as a vault's do.
#[derive(Default)]
struct Kept(Mutex<HashMap<String, String>>);

impl Mark for Kept {
    fn mark(&self, hit: &Hit<'_>) -> String {
        let hash = blake3::hash(hit.source.as_bytes()).to_hex();
        let mark = format!("[redacted:{}:{}]", hit.rule, &hash[..8]);
        self.0.lock().unwrap().insert(mark.clone(), hit.source.to_owned());
        mark
    }

    fn is_mark(&self, value: &str) -> bool {
        value.contains(MARK)
    }
}

fn scrub() -> (Scrub, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let mark: Arc<dyn Mark> = Arc::clone(&kept) as _;
    (Scrub::new(&Rules::default(), mark, IdKey::new([3; 32])).unwrap(), kept)
}

fn secret(seed: u64) -> String {
    filled("ghp_{a36}", seed)
}

fn captured(request: &[u8], response: &[u8], headers: &[(&str, &str)], chunk: usize) -> CapturedExchange {
    let body = |len: usize| BodyV1 { seen: len as u64, kept: 0, stored: Stored::Inline(Vec::new()) };
    let pieces = |bytes: &[u8]| bytes.chunks(chunk.max(1)).map(Bytes::copy_from_slice).collect::<Vec<_>>();
    CapturedExchange {
        record: ExchangeV3 {
            id: [1; 16],
            session_id: Some("0c7c5a8e-5d4e-4a8e-9a57-0f6a3b1c2d3e".into()),
            agent_id: None,
            parent_agent_id: None,
            method: "POST".into(),
            path: "/v1/messages?beta=true".into(),
            upstream: "https://api.anthropic.com".into(),
            client_http: 11,
            upstream_http: 20,
            started_ns: 5,
            request_end_us: Some(10),
            head_us: Some(20),
            first_byte_us: Some(30),
            end_us: 5000,
            status: Some(200),
            outcome: Outcome::Complete,
            error: None,
            request_headers: vec![("accept".into(), b"*/*".to_vec())],
            response_headers: headers.iter().map(|(n, v)| ((*n).into(), v.as_bytes().to_vec())).collect(),
            response_trailers: vec![],
            request: body(request.len()),
            response: body(response.len()),
            marks: response.chunks(chunk.max(1)).map(|piece| (piece.len() as u64, 7)).collect(),
            route: RouteV1::default(),
            redaction: RedactionV1::default(),
        },
        request: pieces(request),
        response: pieces(response),
        budget: Reserved::new(Arc::default()),
    }
}

const STREAM: [(&str, &str); 1] = [("content-type", "text/event-stream; charset=utf-8")];

/// A JSON string's inside, with every tenth letter as JavaScript may write it.
fn escaped(text: &str, odd: bool) -> String {
    let plain = Value::from(text).to_string();
    let inside = &plain[1..plain.len() - 1];
    if odd { inside.replace('g', "\\u0067").replace('/', "\\/") } else { inside.to_owned() }
}

/// A stream of three blocks, each said in pieces.
fn stream(blocks: &[(&str, Vec<String>)], odd: bool) -> String {
    let mut out = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-4-5\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
    );
    for (index, (kind, pieces)) in blocks.iter().enumerate() {
        let (block, delta, member) = match *kind {
            "tool" => (
                json!({"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "Bash", "input": {}}),
                "input_json_delta",
                "partial_json",
            ),
            "thinking" => {
                (json!({"type": "thinking", "thinking": "", "signature": ""}), "thinking_delta", "thinking")
            }
            _ => (json!({"type": "text", "text": ""}), "text_delta", "text"),
        };
        out += &format!(
            "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{block}}}\n\n"
        );
        for piece in pieces {
            out += &format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"{delta}\",\"{member}\":\"{}\"}}}}\n\n",
                escaped(piece, odd)
            );
        }
        out += &format!(
            "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n"
        );
    }
    out += "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    out
}

fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (letters.len() + 1)).collect();
    at.extend([0, letters.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| letters[pair[0]..pair[1]].iter().collect()).collect()
}

/// Scrubs a response, and checks what must always be so.
fn response_of(scrub: &Scrub, kept: &Kept, body: &str, chunk: usize) -> (CapturedExchange, String) {
    let mut exchange = captured(b"{}", body.as_bytes(), &STREAM, chunk);
    scrub.exchange(&mut exchange);
    let stored = exchange.response.concat();
    let arrived: u64 = exchange.record.marks.iter().map(|(bytes, _)| bytes).sum();
    assert_eq!(arrived, stored.len() as u64, "arrivals add up");
    assert_eq!(Events::new(&stored).count(), Events::new(body.as_bytes()).count(), "as many events");
    for (new, old) in Events::new(&stored).zip(Events::new(body.as_bytes())) {
        let json = |data: &[u8]| serde_json::from_slice::<Value>(data).is_ok();
        assert_eq!(json(&new.data), json(&old.data), "{}", String::from_utf8_lossy(&new.data));
    }
    let known = kept.0.lock().unwrap().clone();
    let back = reveal(&stored, &exchange.record.redaction.cuts, &|mark| known.get(mark).cloned());
    let stored = String::from_utf8(stored).unwrap();
    if !stored.contains("[unscanned ") {
        assert_eq!(String::from_utf8_lossy(&back), body, "it can be put together again");
    }
    (exchange, stored)
}

#[test]
fn a_credential_that_comes_in_pieces_is_taken_out_of_all_of_them() {
    let (scrub, kept) = scrub();
    let value = secret(1);
    let command =
        json!({"command": format!("curl -H \"Authorization: token {value}\" https://api.github.com")})
            .to_string();
    let letters = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    let body = stream(
        &[
            ("thinking", pieces(&format!("The token is {value}."), &[15, 20, 33])),
            ("text", letters(&format!("I use {value} now."))),
            ("tool", letters(&command)),
        ],
        false,
    );
    let (exchange, stored) = response_of(&scrub, &kept, &body, 100);
    assert_eq!(exchange.record.redaction.response, 3);
    let facts = assemble(&exchange.record, stored.as_bytes());
    let whole = facts.message.to_string();
    assert!(facts.complete && !whole.contains(&value[4..12]), "{whole}");
    assert_eq!(whole.matches("[redacted:github").count(), 3, "{whole}");
    assert!(whole.contains("curl -H") && whole.contains("https://api.github.com"), "{whole}");
    assert!(
        whole.contains("msg_01XFDUDYJgAACzvnptvVoYEL") && whole.contains("toolu_01A09q90qw90lq917835lq9")
    );
    // The mark is in the event where the value began.
    let first =
        Events::new(stored.as_bytes()).find(|event| event.data.windows(10).any(|w| w == b"[redacted:"));
    assert!(String::from_utf8_lossy(&first.unwrap().data).contains("\"index\":0"));
}

#[test]
fn what_holds_no_credential_is_kept_byte_for_byte() {
    let (scrub, kept) = scrub();
    let body = stream(
        &[("thinking", pieces("Let me see.", &[3])), ("tool", pieces("{\"command\":\"ls -la\"}", &[5, 9]))],
        true,
    );
    let (exchange, stored) = response_of(&scrub, &kept, &body, 64);
    assert_eq!(stored, body);
    assert_eq!((scrub.redacted(), scrub.unscanned()), (0, 0));
    let told = exchange.record.redaction;
    assert_eq!(told, RedactionV1 { scanned: true, ..RedactionV1::default() });
    assert_eq!(exchange.record.response.kept, body.len() as u64);
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

#[test]
fn encoded_bodies_are_looked_into() {
    let value = secret(2);
    let text = json!({"type": "error", "error": {"type": "x", "message": format!("no such key {value}")}})
        .to_string();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(text.as_bytes()).unwrap();
    let mut br = Vec::new();
    brotli::CompressorWriter::new(&mut br, 4096, 4, 20).write_all(text.as_bytes()).unwrap();
    for (encoding, body) in [
        ("gzip", gzip(text.as_bytes())),
        ("deflate", zlib.finish().unwrap()),
        ("br", br),
        ("zstd", zstd::encode_all(text.as_bytes(), 3).unwrap()),
        ("zstd, gzip", gzip(&zstd::encode_all(text.as_bytes(), 3).unwrap())),
    ] {
        let (scrub, _) = scrub();
        let headers = [("content-encoding", encoding), ("content-type", "application/json")];
        let mut exchange = captured(&body, &body, &headers, 30);
        exchange.record.request_headers.push(("content-encoding".into(), encoding.into()));
        scrub.exchange(&mut exchange);
        let told = &exchange.record.redaction;
        assert!(told.response_decoded && told.request_decoded && told.response == 1, "{encoding}: {told:?}");
        let stored = exchange.response.concat();
        let arrived: u64 = exchange.record.marks.iter().map(|(bytes, _)| bytes).sum();
        assert_eq!(arrived, stored.len() as u64, "{encoding}");
        let error = assemble(&exchange.record, &stored).error.unwrap();
        assert!(error.contains("no such key [redacted:github") && !error.contains(&value[4..]), "{error}");
        assert_eq!(exchange.record.response.kept, body.len() as u64);
    }
    let (scrub, _) = scrub();
    let clean = gzip(b"{\"type\":\"message\"}");
    let mut exchange = captured(b"{}", &clean, &[("content-encoding", "gzip")], 9);
    scrub.exchange(&mut exchange);
    assert_eq!(exchange.response.concat(), clean);
    assert!(!exchange.record.redaction.response_decoded);
}

#[test]
fn what_cannot_be_looked_through_is_not_kept() {
    let value = secret(3);
    let damaged = {
        let mut bytes = gzip(format!("a {value} ").repeat(99).as_bytes());
        let end = bytes.len() - 8;
        bytes[end..].fill(0xff);
        bytes
    };
    for (encoding, body) in
        [("rot13", b"\xff\xfe!".to_vec()), ("gzip", damaged), ("identity", vec![0xff; 5000])]
    {
        let (scrub, _) = scrub();
        let mut exchange = captured(b"{}", &body, &[("content-encoding", encoding)], 100);
        scrub.exchange(&mut exchange);
        let stored = String::from_utf8(exchange.response.concat()).unwrap();
        assert!(stored.contains("[unscanned ") && !stored.contains(&value), "{encoding}: {stored}");
        assert!(scrub.unscanned() > 0 && exchange.record.redaction.response_unscanned > 0, "{encoding}");
        let arrived: u64 = exchange.record.marks.iter().map(|(bytes, _)| bytes).sum();
        assert_eq!(arrived, stored.len() as u64, "{encoding}");
    }
    // An encoding that was never applied.
    let (scrub, _) = scrub();
    let mut exchange = captured(b"{}", b"bad gateway", &[("content-encoding", "gzip")], 100);
    scrub.exchange(&mut exchange);
    assert_eq!(exchange.response.concat(), b"bad gateway");
}

#[test]
fn the_end_of_a_body_that_was_cut_may_be_the_beginning_of_a_credential() {
    let (scrub, kept) = scrub();
    let value = secret(4);
    let mut exchange = captured(format!("{{\"x\":\"say {}", &value[..20]).as_bytes(), b"", &[], 9);
    exchange.record.request.seen += 1;
    scrub.exchange(&mut exchange);
    assert_eq!(exchange.request.concat(), b"{\"x\":\"say [unscanned 20 bytes]");
    assert!(exchange.record.request.kept < exchange.record.request.seen);
    let body = stream(&[("text", pieces(&format!("say {}", &value[..20]), &[9, 13]))], false);
    let body = &body[..body.find("event: content_block_stop").unwrap()];
    let mut exchange = captured(b"", body.as_bytes(), &STREAM, 100);
    exchange.record.response.seen += 1;
    scrub.exchange(&mut exchange);
    let stored = String::from_utf8(exchange.response.concat()).unwrap();
    assert!(!stored.contains(&value[4..9]) && stored.contains("[unscanned 20 bytes]"), "{stored}");
    drop(kept);
}

#[test]
fn what_broke_off_may_end_in_a_credential() {
    let (scrub, _) = scrub();
    let value = secret(7);
    let torn = format!("{{\"x\":\"say {}", &value[..39]);
    let mut exchange = captured(torn.as_bytes(), torn.as_bytes(), &[], 9);
    exchange.record.request_end_us = None;
    exchange.record.outcome = Outcome::ClientGone;
    scrub.exchange(&mut exchange);
    assert_eq!(exchange.request.concat(), b"{\"x\":\"say [unscanned 39 bytes]");
    assert_eq!(exchange.response.concat(), b"{\"x\":\"say [unscanned 39 bytes]");
    // As a sender that was stopped between two flushes leaves it.
    let mut early = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    early.write_all(torn.as_bytes()).unwrap();
    early.flush().unwrap();
    let mut exchange = captured(b"{}", early.get_ref(), &[("content-encoding", "gzip")], 9);
    scrub.exchange(&mut exchange);
    assert_eq!(exchange.response.concat(), b"{\"x\":\"say [unscanned 39 bytes]");
}

#[test]
fn a_word_of_a_sentence_that_broke_off_stays() {
    let left = |text: &str| {
        let (scrub, _) = scrub();
        let mut exchange = captured(b"", text.as_bytes(), &[], 9);
        exchange.record.outcome = Outcome::UpstreamFailed;
        scrub.exchange(&mut exchange);
        String::from_utf8(exchange.response.concat()).unwrap()
    };
    for text in ["I was about to expl", "Hello", "one, two (three", "That is all.", "well-"] {
        assert_eq!(left(text), text);
    }
    for (text, kept) in [
        ("the key is AKIAIOSF", "the key is "),
        ("it is x9fk", "it is "),
        ("my password is hunt", "my password is "),
        ("das Kennwort lautet wolke", "das Kennwort lautet "),
        ("password: hunt", "password: "),
        ("token=abcdef", ""),
        ("{\"key\":\"abcdef", "{\"key\":\""),
        ("a abcdefghijklmnopqrstuvwxyz", "a "),
        ("see ghp_abc", "see "),
    ] {
        let stored = left(text);
        let rest = &text[kept.len()..];
        assert!(stored.starts_with(kept) && !stored.contains(rest), "{text}: {stored}");
    }
}

#[test]
fn an_event_that_is_torn_is_not_kept_and_what_was_said_to_its_end_is() {
    let value = secret(8);
    let said = pieces(&format!("say {}", &value[..20]), &[9, 13]);
    let body = stream(&[("text", said)], false);
    let stored_of = |body: &str, outcome: Outcome| {
        let (scrub, _) = scrub();
        let mut exchange = captured(b"", body.as_bytes(), &STREAM, 100);
        exchange.record.outcome = outcome;
        scrub.exchange(&mut exchange);
        String::from_utf8(exchange.response.concat()).unwrap()
    };
    // The last piece without its end; what was said before it is the credential's beginning.
    let end = body.find("event: content_block_stop").unwrap();
    // A connection that is simply closed does not tell.
    for (torn, outcome) in
        [4, 5, 9].into_iter().zip([Outcome::UpstreamFailed, Outcome::Stopped, Outcome::Complete])
    {
        let stored = stored_of(&body[..end - torn], outcome);
        assert!(!stored.contains(&value[4..9]) && !stored.contains(&value[9..12]), "{torn}: {stored}");
        assert!(stored.contains("[unscanned "), "{torn}: {stored}");
    }
    // It lacks but its blank line.
    let stored = stored_of(&body[..end - 2], Outcome::UpstreamFailed);
    assert!(stored.contains("[unscanned 20 bytes]") && stored.ends_with("}}"), "{stored}");
    // Who goes after the end takes nothing away.
    assert_eq!(stored_of(&body, Outcome::ClientGone), body);
    let whole = stream(&[("text", pieces(&value, &[9, 13]))], false);
    let last = whole.find("event: content_block_stop").unwrap();
    let stored = stored_of(&whole[..last - 2], Outcome::Complete);
    assert!(stored.contains("[redacted:github") && !stored.contains(&value[4..9]), "{stored}");
}

#[test]
fn texts_beside_the_bodies_are_looked_through() {
    let (scrub, _) = scrub();
    let value = secret(5);
    let mut exchange = captured(
        b"{}",
        b"{}",
        &[("x-note", &format!("about {value}")), ("request-id", "req_011CQbVt3YH9XQPeZ7cLsWcg")],
        9,
    );
    let record = &mut exchange.record;
    record.request_headers.push(("x-odd".into(), [b"\xff", value.as_bytes()].concat()));
    record.response_trailers.push(("x-last".into(), value.clone().into_bytes()));
    record.path = format!("/v1/x/{value}?a={value}&beta=true");
    record.error = Some(format!("connecting to https://u:{value}@h failed"));
    record.agent_id = Some("agent-7".into());
    scrub.exchange(&mut exchange);
    let text = format!("{:?}", exchange.record);
    assert!(!text.contains(&value), "{text}");
    assert_eq!(exchange.record.response_headers[1].1, b"req_011CQbVt3YH9XQPeZ7cLsWcg");
    assert!(exchange.record.path.ends_with("&beta=true"), "{}", exchange.record.path);
    assert_eq!(exchange.record.redaction.elsewhere, 5);
    let headers: Vec<_> = exchange.record.request_headers.iter().map(|(_, v)| v.clone()).collect();
    let again = format!("{:?}", exchange.record);
    exchange.record.redaction.scanned = false;
    scrub.exchange(&mut exchange);
    assert_eq!(exchange.record.request_headers.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>(), headers);
    assert_eq!(
        again.matches("[redacted").count(),
        format!("{:?}", exchange.record).matches("[redacted").count()
    );
}

#[test]
fn events_and_stretches_keep_what_they_are_known_by() {
    let (scrub, _) = scrub();
    let value = secret(6);
    let body = Bytes::from(
        json!({"session_id": "s", "tool_input": {"command": format!("export T={value}")}}).to_string(),
    );
    let event = scrub.hook(7, b"claude", &body);
    assert!(!String::from_utf8_lossy(&event.body).contains(&value));
    assert!(serde_json::from_slice::<Value>(&event.body).is_ok());
    assert_eq!(event.id, crate::ingest::record::HookV1::record_id(scrub.ids(), 7, &body));
    assert_ne!(event.id, crate::ingest::record::HookV1::record_id(&IdKey::new([4; 32]), 7, &body));

    let lines = format!("{{\"a\":\"{value}\"}}\n{{\"b\":1}}\n");
    let (stored, in_file) =
        scrub.stretch("s", crate::ingest::record::TranscriptPart::Lines, lines.clone().into());
    let in_file = in_file.unwrap();
    assert_eq!((in_file.length, in_file.shifts.len()), (lines.len() as u64, 1));
    assert!(stored.ends_with(b"\n{\"b\":1}\n") && !String::from_utf8_lossy(&stored).contains(&value));
    let clean = b"{\"b\":1}\n".to_vec();
    assert_eq!(
        scrub.stretch("s", crate::ingest::record::TranscriptPart::Lines, clean.clone()),
        (clean, None)
    );

    let path = format!("/h/projects/-w-{value}/s.jsonl");
    assert!(!String::from_utf8_lossy(&scrub.file(path.as_bytes())).contains(&value));
    let path = format!("/h/projects/-w/{value}.jsonl");
    assert_eq!(scrub.file(path.as_bytes()), path.as_bytes(), "by its name it is known");
    assert!(!String::from_utf8_lossy(&scrub.foreign_file(path.as_bytes())).contains(&value));
    let other = secret(9);
    for (before, name) in
        [("/h/-w-", format!("{value}.jsonl")), ("-", format!("{value}/subagents/w/agent-7.jsonl"))]
    {
        let path = format!("{before}{other}/{name}");
        let shown = String::from_utf8(scrub.file(path.as_bytes())).unwrap();
        assert!(shown.starts_with(before) && shown.ends_with(&format!("/{name}")), "{shown}");
        assert!(!shown.contains(&other), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_it_is_cut_it_is_found_and_can_be_put_back(
        seed in any::<u64>(),
        words in proptest::collection::vec("[a-z \n\"/é]{0,14}", 3..6),
        cuts in proptest::collection::vec(proptest::collection::vec(0usize..400, 0..12), 3),
        odd in any::<bool>(),
        chunk in 1usize..300,
    ) {
        let (scrub, kept) = scrub();
        let value = secret(seed);
        let said = words.join(&format!(" {value} "));
        let call = json!({"command": said, "nested": json!({"deep": value}).to_string()}).to_string();
        let blocks = [("thinking", pieces(&said, &cuts[0])), ("text", pieces(&said, &cuts[1])), ("tool", pieces(&call, &cuts[2]))];
        let body = stream(&blocks, odd);
        let (exchange, stored) = response_of(&scrub, &kept, &body, chunk);
        let whole = assemble(&exchange.record, stored.as_bytes()).message.to_string();
        prop_assert!(!whole.contains(&value), "{}", whole);
    }

    #[test]
    fn any_bytes_are_survived(
        request in proptest::collection::vec(any::<u8>(), 0..200),
        response in "(data: |event: x|\n|\\{\"delta\":\\{\"text\":\"|\"\\}\\}|\r|[a-z\"\\\\é]){0,40}",
        chunk in 1usize..50,
    ) {
        let (scrub, kept) = scrub();
        response_of(&scrub, &kept, &response, chunk);
        let mut exchange = captured(&request, &request, &[("content-encoding", "gzip")], chunk);
        scrub.exchange(&mut exchange);
        prop_assert!(String::from_utf8(exchange.request.concat()).is_ok());
    }
}
