//! The records' bytes, which must decode for ever.

use super::super::found::EvidenceV1;
use super::*;
use ccd_store::Locator;
use proptest::prelude::*;

fn stored(new: NewRecord) -> Record {
    let locator = Locator { segment: 1, offset: 0, index: 0 };
    let NewRecord { kind, schema, id, at_ns, body } = new;
    Record { seq: 1, locator, kind, schema, id, at_ns, body }
}

fn exchange() -> ExchangeV3 {
    ExchangeV3 {
        id: [7; 16],
        session_id: Some("s".into()),
        agent_id: None,
        parent_agent_id: None,
        method: "POST".into(),
        path: "/v1/messages?beta=true".into(),
        upstream: "https://api.anthropic.com".into(),
        client_http: 11,
        upstream_http: 20,
        started_ns: 1_795_200_000_000_000_000,
        request_end_us: Some(10),
        head_us: Some(1000),
        first_byte_us: Some(1200),
        end_us: 5000,
        status: Some(200),
        outcome: Outcome::Complete,
        error: None,
        request_headers: vec![("Accept".into(), b"*/*".to_vec())],
        response_headers: vec![],
        response_trailers: vec![],
        request: BodyV1 { seen: 2, kept: 2, stored: Stored::Inline(b"{}".to_vec()) },
        response: BodyV1 { seen: 300, kept: 300, stored: Stored::Blob(BlobRef { id: [9; 32], len: 300 }) },
        marks: vec![(100, 1200), (200, 3800)],
        route: RouteV1 {
            reused: false,
            tunnelled: true,
            peer: Some("10.0.0.1:3128".into()),
            resolve_us: Some(300),
            connect_us: Some(20_000),
            tls_us: None,
        },
        redaction: RedactionV1 {
            scanned: true,
            request: 1,
            response: 2,
            elsewhere: 0,
            request_unscanned: 0,
            response_unscanned: 300,
            request_decoded: false,
            response_decoded: true,
            cuts: vec![CutV1 { at: 300, len: 14, mark: "[redacted:jwt]".into(), from: 0, to: 20 }],
        },
    }
}

/// The bytes of each schema as first released: they must decode for ever.
#[test]
fn golden_bytes_of_the_first_schemas() {
    let hook = HookV1 { arrived_ns: 5, client: b"c".to_vec(), body: Stored::Inline(br#"{"a":1}"#.to_vec()) };
    let record = stored(hook.to_record([1; 16]).unwrap());
    assert_eq!(record.body, b"\x05\x01c\x00\x07{\"a\":1}");
    assert_eq!(read(&record).unwrap(), Payload::Hook(hook));

    let gap = GapV1 { from_ns: 5, to_ns: 700, exchanges: 3, reason: "full".into() };
    let record = stored(gap.to_record([2; 16]).unwrap());
    assert_eq!((record.kind, record.schema, record.at_ns), (3, 1, 5));
    assert_eq!(record.body, b"\x05\xfb\xbc\x02\x03\x04full");
    assert_eq!(read(&record).unwrap(), Payload::Gap(gap));

    let exchange = exchange();
    let mut record = stored(exchange.to_record().unwrap());
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
    assert_eq!((record.schema, hash(&record.body).as_str()), (3, GOLDEN_EXCHANGES[2]));
    assert_eq!(read(&record).unwrap(), Payload::Exchange(Box::new(exchange.clone())));

    record.body.truncate(record.body.len() - encode(&exchange.redaction).unwrap().len());
    record.schema = 2;
    let exchange = ExchangeV3 { redaction: RedactionV1::default(), ..exchange };
    assert_eq!(hash(&record.body), GOLDEN_EXCHANGES[1]);
    assert_eq!(read(&record).unwrap(), Payload::Exchange(Box::new(exchange.clone())));

    record.body.truncate(record.body.len() - encode(&exchange.route).unwrap().len());
    record.schema = 1;
    assert_eq!(hash(&record.body), GOLDEN_EXCHANGES[0]);
    let without = ExchangeV3 { route: RouteV1::default(), ..exchange };
    assert_eq!(read(&record).unwrap(), Payload::Exchange(Box::new(without)));
}

const GOLDEN_EXCHANGES: [&str; 3] = ["1fabedb07d819a13", "8b083a119c67ca05", "be1ef7dcef414ed6"];

#[test]
fn what_is_not_whole_or_not_ours_is_refused() {
    let mut record = stored(exchange().to_record().unwrap());
    record.body.push(0);
    assert!(matches!(read(&record), Err(RecordError::Damaged(_))));
    record.schema = 99;
    assert!(matches!(read(&record), Err(RecordError::Unknown { kind: 2, schema: 99 })));
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(kind in 0u8..12, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&stored(NewRecord { kind, schema: 1, id: [0; 16], at_ns: 0, body }));
    }
}

#[test]
fn golden_bytes_of_transcripts_statuses_notices_and_foreign_lines() {
    let lines = TranscriptV2 {
        path: b"/p/s.jsonl".to_vec(),
        part: TranscriptPart::Lines,
        device: 1,
        inode: 300,
        born_ns: 7,
        offset: 70_000,
        body: Stored::Inline(b"{}\n".to_vec()),
        in_file: None,
    };
    let record = stored(lines.to_record([3; 16], 9).unwrap());
    assert_eq!((record.kind, record.schema, record.at_ns), (4, 1, 9));
    assert_eq!(record.body, b"\x0a/p/s.jsonl\x00\x01\xfb\x2c\x01\x07\xfc\x70\x11\x01\x00\x00\x03{}\n");
    assert_eq!(read(&record).unwrap(), Payload::Transcript(Box::new(lines.clone())));
    let in_file = InFileV1 { length: 300, tail_len: 3, tail: [8; 16], shifts: vec![(3, -2)] };
    let changed = TranscriptV2 { in_file: Some(in_file.clone()), ..lines };
    let second = stored(changed.to_record([3; 16], 9).unwrap());
    let behind = [&b"\x01\xfb\x2c\x01\x03"[..], &[8; 16], b"\x01\x03\x03"].concat();
    assert_eq!((second.schema, &second.body[..]), (2, &[&record.body[..], &behind].concat()[..]));
    assert_eq!(transcript(&second).unwrap().2, Some(in_file));
    assert_eq!(read(&second).unwrap(), Payload::Transcript(Box::new(changed)));

    let status = StatusV1 { at_ns: 5, body: b"{}".to_vec() };
    let record = stored(status.to_record([4; 16]).unwrap());
    assert_eq!((record.kind, record.at_ns, &record.body[..]), (5, 5, &b"\x05\x02{}"[..]));
    assert_eq!(read(&record).unwrap(), Payload::Status(status));

    let notice = NoticeV1 {
        at_ns: 5,
        scope: "day".into(),
        key: "2026-11-20".into(),
        level: "soft".into(),
        spent_micros: 200,
        limit_micros: 100,
    };
    let record = stored(notice.to_record([5; 16]).unwrap());
    assert_eq!((record.kind, &record.body[..]), (6, &b"\x05\x03day\x0a2026-11-20\x04soft\xc8\x64"[..]));
    assert_eq!(read(&record).unwrap(), Payload::Notice(notice));

    let foreign = ForeignV1 {
        format: "cc-tracer".into(),
        path: b"/t".to_vec(),
        offset: 3,
        body: Stored::Inline(b"{}\n".to_vec()),
    };
    let record = stored(foreign.to_record([6; 16], 8).unwrap());
    assert_eq!((record.kind, &record.body[..]), (7, &b"\x09cc-tracer\x02/t\x03\x00\x03{}\n"[..]));
    assert_eq!(read(&record).unwrap(), Payload::Foreign(Box::new(foreign)));
}

#[test]
fn golden_bytes_of_detections_interventions_and_judgements() {
    let detection = DetectionV1 {
        at_ns: 5,
        session_id: "s".into(),
        agent_id: None,
        cwd: Some("/w".into()),
        turn_id: Some("t".into()),
        span_id: None,
        kind: "loop".into(),
        rule: "repeat".into(),
        severity: 70,
        confidence: 90,
        at_event: 300,
        title: "x".into(),
        evidence: vec![EvidenceV1 { span_id: Some("p".into()), text: "e".into() }],
        advice: "a".into(),
        mast: Some("FM-1.3".into()),
        fingerprint: [7; 16],
    };
    let record = stored(detection.to_record().unwrap());
    assert_eq!((record.kind, record.schema, record.at_ns), (8, 1, 5));
    assert_eq!(record.id, DetectionV1::record_id("s", "loop", "repeat", 300));
    assert_eq!(format!("{:032x}", u128::from_be_bytes(record.id)), GOLDEN_DETECTION);
    let bytes = [
        &b"\x05\x01s\x00\x01\x02/w\x01\x01t\x00\x04loop\x06repeat\x46\x5a\xfb\x2c\x01\x01x\x01\x01\x01p\x01e\x01a"[..],
        b"\x01\x06FM-1.3",
        &[7; 16],
    ]
    .concat();
    assert_eq!(record.body, bytes);
    assert_eq!(read(&record).unwrap(), Payload::Detection(Box::new(detection)));

    let intervention = InterventionV1 {
        at_ns: 6,
        session_id: "s".into(),
        agent_id: Some("a".into()),
        detection: Some([2; 16]),
        kind: "loop".into(),
        rule: "repeat".into(),
        action: "denied".into(),
        event: "PreToolUse".into(),
        tool_use_id: Some("toolu_1".into()),
        text: "no".into(),
        delivered: true,
    };
    let record = stored(intervention.to_record([3; 16]).unwrap());
    assert_eq!((record.kind, record.schema, record.at_ns, record.id), (9, 1, 6, [3; 16]));
    let bytes = [
        &b"\x06\x01s\x01\x01a\x01"[..],
        &[2; 16],
        b"\x04loop\x06repeat\x06denied\x0aPreToolUse\x01\x07toolu_1\x02no\x01",
    ]
    .concat();
    assert_eq!(record.body, bytes);
    assert_eq!(read(&record).unwrap(), Payload::Intervention(Box::new(intervention)));

    let judgement = JudgementV1 {
        at_ns: 7,
        what: "dismiss".into(),
        detection: Some([2; 16]),
        fingerprint: Some([7; 16]),
        cwd: Some("/w".into()),
        session_id: None,
        kind: Some("loop".into()),
        until_ns: Some(300),
        reason: "r".into(),
    };
    let record = stored(judgement.to_record([4; 16]).unwrap());
    assert_eq!((record.kind, record.schema, record.at_ns, record.id), (10, 1, 7, [4; 16]));
    let bytes = [
        &b"\x07\x07dismiss\x01"[..],
        &[2; 16],
        &[1],
        &[7; 16],
        b"\x01\x02/w\x00\x01\x04loop\x01\xfb\x2c\x01\x01r",
    ]
    .concat();
    assert_eq!(record.body, bytes);
    assert_eq!(read(&record).unwrap(), Payload::Judgement(Box::new(judgement)));
}

/// The id of the detection above: it is made again for the same one.
const GOLDEN_DETECTION: &str = "d4fedd32116fe1a54e5e1c0043b0000a";
