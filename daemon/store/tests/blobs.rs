//! Bodies: exact, stored once, and growing no faster than what is new in them.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::fmt::Write as _;

use ccd_store::{BlobRef, FileKind, Seen, Store, StoreError};
use proptest::prelude::*;
use support::{copy, files, flip, noise, open, open_with, options};

fn put(store: &mut Store, family: &str, body: &[u8]) -> BlobRef {
    let blob = store.put_blob(family.as_bytes(), body).unwrap();
    assert_eq!((blob.id, blob.len), (*blake3::hash(body).as_bytes(), body.len() as u64));
    blob
}

fn pack_bytes(store: &Store) -> u64 {
    store.reader().stats().unwrap().pack_bytes
}

/// English-like text: compresses about as prose and code do.
fn text(seed: u64, len: usize) -> String {
    const SYLLABLES: [&str; 32] = [
        "re", "con", "ta", "le", "in", "pro", "de", "ver", "tion", "fi", "file", "test", "fn", "let", "mut",
        "self", "er", "ing", "ment", "ly", "un", "ex", "str", "use", "pub", "get", "set", "at", "or", "to",
        "is", "da",
    ];
    let mut text = String::with_capacity(len + 16);
    for chunk in noise(seed, len).chunks_exact(2) {
        // Squaring skews the choice, as real text does.
        let pick = usize::from(chunk[0]) * usize::from(chunk[0]) * 32 / 65_536;
        text.push_str(SYLLABLES[pick]);
        match chunk[1] {
            0..=90 => text.push(' '),
            91..=99 => text.push_str(".\\n"),
            100..=104 => drop(write!(text, "{}", u32::from(chunk[0]) * 37 + u32::from(chunk[1]))),
            _ => {}
        }
        if text.len() >= len {
            break;
        }
    }
    text
}

/// The requests of a session that resends its history, shaped like Claude Code's: the history first, then the system
/// prompt and the tools, and the cache mark moving along with the last message.
struct Session {
    messages: Vec<String>,
    system: String,
}

impl Session {
    fn new() -> Self {
        let tools: Vec<_> = (0..24)
            .map(|n| {
                format!(
                    r#"{{"name":"Tool{n}","description":"{}","input_schema":{{}}}}"#,
                    text(5_000 + n, 2_300)
                )
            })
            .collect();
        let system = format!(
            r#""system":[{{"type":"text","text":"You are"}},{{"type":"text","text":"{}"}}],"tools":[{}]"#,
            text(4_999, 18_000),
            tools.join(",")
        );
        Self { messages: Vec::new(), system }
    }

    fn turn(&mut self, n: u64) -> String {
        let result = 800 + (noise(n, 1)[0] as usize) * 14;
        self.messages.push(format!(
            r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_{n:024}","content":"{}"MARK}}]}}"#,
            text(n * 2, result)
        ));
        let history = self.messages.join(",");
        let (history, last) = history.rsplit_once("MARK").unwrap();
        let body = format!(
            r#"{{"model":"claude","messages":[{}{}{last}],{},"metadata":{{"user_id":"u"}},"max_tokens":32000,"stream":true}}"#,
            history.replace("MARK", ""),
            r#","cache_control":{"type":"ephemeral"}"#,
            self.system,
        );
        self.messages.push(format!(
            r#"{{"role":"assistant","content":[{{"type":"text","text":"{}"}},{{"type":"tool_use","id":"toolu_{n:024}","name":"Tool1","input":{{"command":"{}"}}}}]}}"#,
            text(n * 2 + 1, 300),
            text(n * 3 + 90_000, 150)
        ));
        body
    }
}

#[test]
fn a_session_that_resends_its_history_grows_by_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open_with(dir.path(), ccd_store::Options::default());
    let mut session = Session::new();
    let (mut sent, mut last, mut grown, mut blobs) = (0, String::new(), vec![0], Vec::new());
    let mut busy = std::time::Duration::ZERO;
    for n in 0..200 {
        last = session.turn(n);
        sent += last.len();
        let begun = std::time::Instant::now();
        blobs.push((put(&mut store, "session", last.as_bytes()), last.clone()));
        busy += begun.elapsed();
        grown.push(pack_bytes(&store));
    }
    let unique = zstd::bulk::compress(last.as_bytes(), 3).unwrap().len();
    let (stored, early, late) = (grown[200], grown[100] - grown[50], grown[200] - grown[150]);
    #[allow(clippy::cast_precision_loss, clippy::print_stderr)]
    {
        eprintln!(
            "sent {:.1} MB, last body {} KB, its zstd {} KB; stored {} KB = {:.3} x; turns 50-100 {} KB, 150-200 {} KB; {:?} per turn",
            sent as f64 / 1e6,
            last.len() >> 10,
            unique >> 10,
            stored >> 10,
            stored as f64 / unique as f64,
            early >> 10,
            late >> 10,
            busy / 200
        );
    }
    assert!(late * 10 <= early * 13, "growth is not linear: {early} then {late}");
    assert!(stored * 10 <= unique as u64 * 12, "{stored} is over 1.2 x {unique}");
    let reader = store.reader();
    for (blob, body) in &blobs {
        assert!(reader.blob(blob).unwrap() == body.as_bytes());
    }
    store.flush().unwrap();
    let index = reader.stats().unwrap().index_bytes;
    drop((store, reader));

    // After a restart, and with the index gone.
    for rebuild in [false, true] {
        if rebuild {
            std::fs::remove_dir_all(dir.path().join("v1/index")).unwrap();
        }
        let (mut store, report) = open(dir.path());
        assert_eq!(report.damaged, 0);
        for (blob, body) in blobs.iter().rev().step_by(17) {
            assert!(store.reader().blob(blob).unwrap() == body.as_bytes());
        }
        let before = pack_bytes(&store);
        put(&mut store, "session", last.as_bytes());
        assert_eq!(pack_bytes(&store), before, "a known body costs nothing");
        let next = session.turn(200 + u64::from(rebuild));
        put(&mut store, "session", next.as_bytes());
        assert!(
            pack_bytes(&store) - before < 16 << 10,
            "after a restart, a body costs what is new and a list"
        );
    }
    assert!(index < 16 << 20);
}

#[test]
fn any_body_comes_back_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open_with(dir.path(), ccd_store::Options { segment_bytes: 1 << 20, ..options() });
    let json = format!(
        r#"{{"messages":[{}{{"x":1}}],"a":null}}"#,
        r#"{"role":"user","content":"hello there"},"#.repeat(9_000)
    );
    let bodies = [
        Vec::new(),
        b"x".to_vec(),
        noise(1, 511),
        noise(2, 512),
        noise(3, 10 << 20),
        json.clone().into_bytes(),
        json.as_bytes()[..json.len() / 2].to_vec(),
        format!("{json}]]}}{json}").into_bytes(),
        vec![b'['; 300_000],
        vec![0; 1_000_000],
        "event: ping\ndata: {\"type\": \"ping\"}\n\n".repeat(5_000).into_bytes(),
    ];
    for round in 0..2 {
        let before = pack_bytes(&store);
        let blobs: Vec<_> = bodies.iter().map(|body| put(&mut store, "f", body)).collect();
        assert!(round == 0 || pack_bytes(&store) == before);
        for (blob, body) in blobs.iter().zip(&bodies) {
            assert!(store.reader().blob(blob).unwrap() == *body);
        }
    }
    let blobs: Vec<_> = bodies.iter().map(|body| put(&mut store, "f", body)).collect();
    assert!(store.reader().stats().unwrap().packs > 5);
    drop(store);
    std::fs::remove_dir_all(dir.path().join("v1/index")).unwrap();
    let (store, _) = open(dir.path());
    for (blob, body) in blobs.iter().zip(&bodies) {
        assert!(store.reader().blob(blob).unwrap() == *body);
    }
    let unknown = BlobRef { id: [7; 32], len: 3 };
    assert!(matches!(store.reader().blob(&unknown), Err(StoreError::Damaged { .. })));
}

#[test]
fn pieces_are_shared_across_families() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let body =
        |name: &str| format!(r#"{{"a":["{name}"],"tools":["{}","{}"]}}"#, text(1, 30_000), text(2, 30_000));
    put(
        &mut store,
        "one",
        body("one, long enough to be a piece of its own, so that what follows is the same").as_bytes(),
    );
    let before = pack_bytes(&store);
    for n in 0..100 {
        put(&mut store, &format!("family {n}"), body(&format!("{n}{}", "y".repeat(80))).as_bytes());
    }
    assert!(pack_bytes(&store) - before < 100 * 300);
}

#[test]
fn a_flipped_byte_in_a_pack_never_gives_wrong_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let mut session = Session::new();
    let bodies: Vec<_> = (0..30).map(|n| session.turn(n)).collect();
    let blobs: Vec<_> = bodies.iter().map(|body| put(&mut store, "s", body.as_bytes())).collect();
    let other = put(&mut store, "other", &noise(9, 5_000));
    store.flush().unwrap();
    drop(store);
    let pack = files(dir.path(), "packs")[0].clone();
    let len = std::fs::metadata(&pack).unwrap().len();
    for n in 0..40 {
        let at = usize::try_from(32 + n * (len - 6_000) / 40).unwrap();
        for delete_index in [false, true] {
            let hurt = tempfile::tempdir().unwrap();
            copy(dir.path(), hurt.path());
            flip(&files(hurt.path(), "packs")[0], at);
            if delete_index {
                std::fs::remove_dir_all(hurt.path().join("v1/index")).unwrap();
            }
            let (store, _) = open(hurt.path());
            let reader = store.reader();
            let mut lost = 0;
            for (blob, body) in blobs.iter().zip(&bodies) {
                match reader.blob(blob) {
                    Ok(found) => assert!(found == body.as_bytes()),
                    Err(StoreError::Damaged { .. }) => lost += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            assert!(lost > 0, "byte {at} of the pack is used by some body");
            assert_eq!(reader.blob(&other).unwrap(), noise(9, 5_000));
            assert!(reader.stats().unwrap().damaged > 0);
        }
    }
}

#[test]
fn a_torn_pack_is_cut_and_what_was_lost_is_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let first = put(&mut store, "s", text(1, 20_000).as_bytes());
    store.flush().unwrap();
    let pack = files(dir.path(), "packs")[0].clone();
    let durable = std::fs::metadata(&pack).unwrap().len();
    put(&mut store, "s", text(2, 2_000).as_bytes());
    store.apply(0, Vec::new()).unwrap();
    let full = std::fs::metadata(&pack).unwrap().len();
    // A power cut may keep the index's rows and lose the pack's end.
    let saved = tempfile::tempdir().unwrap();
    store.reader().stats().unwrap();
    copy(dir.path(), saved.path());
    drop(store);
    for len in (durable..full).step_by(13) {
        let torn = tempfile::tempdir().unwrap();
        copy(saved.path(), torn.path());
        let pack = files(torn.path(), "packs")[0].clone();
        std::fs::OpenOptions::new().write(true).open(pack).unwrap().set_len(len).unwrap();
        let (mut store, report) = open(torn.path());
        assert_eq!((report.cut_bytes, report.damaged), (len - durable, 0));
        let again = put(&mut store, "s", text(2, 2_000).as_bytes());
        assert_eq!(store.reader().blob(&again).unwrap(), text(2, 2_000).as_bytes());
        assert_eq!(store.reader().blob(&first).unwrap(), text(1, 20_000).as_bytes());
    }
}

#[test]
fn a_missing_pack_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    put(&mut store, "s", &noise(1, 300_000));
    store.flush().unwrap();
    drop(store);
    let packs = files(dir.path(), "packs");
    std::fs::remove_file(packs.last().unwrap()).unwrap();
    let (mut store, report) = open(dir.path());
    assert!(
        report
            .damage
            .iter()
            .any(|d| d.file == FileKind::Pack && usize::try_from(d.number).unwrap() == packs.len())
    );
    let blob = put(&mut store, "s", &noise(2, 300_000));
    assert_eq!(store.reader().blob(&blob).unwrap(), noise(2, 300_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bodies_made_of_each_other_come_back_exactly(
        parts in prop::collection::vec("[ -~]{0,2000}", 1..8),
        plan in prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..20), 0_u8..3, any::<bool>()), 1..14),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path());
        let mut stored = Vec::new();
        for (picks, family, restart) in plan {
            let elements: Vec<_> = picks.iter().map(|pick| serde_json::to_string(pick.get(&parts)).unwrap()).collect();
            let body = format!(r#"{{"messages":[{}],"stream":true}}"#, elements.join(","));
            stored.push((put(&mut store, &family.to_string(), body.as_bytes()), body));
            if restart {
                drop(store);
                store = open(dir.path()).0;
            }
            for (blob, body) in &stored {
                prop_assert!(store.reader().blob(blob).unwrap() == body.as_bytes());
            }
        }
    }
}

/// Every window of two bodies' bytes that is not longer than a small piece.
fn windows(body: &[u8], len: usize) -> impl Iterator<Item = &[u8]> {
    body.windows(len.min(body.len()).max(1))
}

#[test]
fn what_requests_repeat_is_read_once_and_nothing_of_them_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open_with(dir.path(), ccd_store::Options::default());
    let mut session = Session::new();
    let mut bodies = Vec::new();
    for n in 0..40 {
        let body = session.turn(n);
        bodies.push((put(&mut store, "s", body.as_bytes()), body));
    }
    // A text that is cut in its middle, and one that nothing was cut from.
    let long = format!("{{\"messages\":[{{\"content\":\"{}\"}}]}}", text(77, 200_000));
    bodies.push((put(&mut store, "s", long.as_bytes()), long));
    bodies.push((put(&mut store, "t", b"small"), "small".to_owned()));
    let reader = store.reader();
    let (mut seen, mut read, mut whole) = (Seen::default(), 0, 0);
    let mut known: HashSet<Vec<u8>> = HashSet::new();
    for (blob, body) in &bodies {
        let runs = reader.unseen(blob, &mut seen).unwrap();
        whole += body.len();
        read += runs.iter().map(Vec::len).sum::<usize>();
        for run in &runs {
            known.extend(windows(run, 24).map(<[u8]>::to_vec));
            assert!(body.contains(std::str::from_utf8(run).unwrap()), "a run is a stretch of its body");
        }
        // In a text, that is: between two elements of an array nothing is looked for.
        for window in
            windows(body.as_bytes(), 24).step_by(31).filter(|w| !w.iter().any(|b| b"{}[],".contains(b)))
        {
            assert!(known.contains(window), "{:?}", String::from_utf8_lossy(window));
        }
        assert!(reader.unseen(blob, &mut seen).unwrap().is_empty(), "nothing of it is new the second time");
    }
    assert!(read * 3 < whole, "{read} of {whole} bytes");
}
