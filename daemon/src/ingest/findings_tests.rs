//! The rows are the same however records are cut into batches, and what they say is what a plain reading says.

use std::collections::{BTreeMap, BTreeSet};

use ccd_proto::api::Session;
use ccd_store::{Locator, NewRecord, Options, Reader, Record, RecordId, Store};
use proptest::prelude::*;

use super::*;
use crate::ingest::apply::Batch;
use crate::ingest::record::{HookV1, Stored};
use crate::live::Live;
use crate::project::detections::Brief;
use crate::project::price::Prices;
use crate::project::rows as others;

const BEGIN: u64 = 1_795_000_000_000_000_000;
const DIRS: [Option<&str>; 3] = [Some("/w/one"), Some("/w/two"), None];

/// A record, before it has a place.
#[derive(Clone, Debug)]
enum Told {
    Event(u8),
    Detection { session: u8, event: u64, about: u8, dir: usize },
    Intervention { session: u8, event: u64, at: u64 },
    Dismiss { about: u8, dir: usize },
    Reopen { about: u8, dir: usize },
    Allow { session: u8, kind: Option<&'static str> },
    Pause { session: Option<u8> },
    Resume { session: Option<u8> },
}

fn told() -> impl Strategy<Value = Told> {
    let about = || (0..2u8, 0..3usize);
    prop_oneof![
        3 => (0..3u8).prop_map(Told::Event),
        6 => (0..3u8, 0..6u64, about())
            .prop_map(|(session, event, (about, dir))| Told::Detection { session, event, about, dir }),
        2 => (0..3u8, 0..6u64, 0..9u64)
            .prop_map(|(session, event, at)| Told::Intervention { session, event, at }),
        2 => about().prop_map(|(about, dir)| Told::Dismiss { about, dir }),
        1 => about().prop_map(|(about, dir)| Told::Reopen { about, dir }),
        1 => (0..3u8, prop::option::of(Just("loop")))
            .prop_map(|(session, kind)| Told::Allow { session, kind }),
        1 => prop::option::of(0..3u8).prop_map(|session| Told::Pause { session }),
        1 => prop::option::of(0..3u8).prop_map(|session| Told::Resume { session }),
    ]
}

fn name(session: u8) -> String {
    format!("session-{session}")
}

fn id_of(session: u8, event: u64) -> RecordId {
    DetectionV1::record_id(&name(session), "loop", "repeat", event)
}

fn said(what: &str) -> JudgementV1 {
    JudgementV1 {
        at_ns: BEGIN,
        what: what.into(),
        detection: None,
        fingerprint: None,
        cwd: None,
        session_id: None,
        kind: None,
        until_ns: None,
        reason: String::new(),
    }
}

fn about(about: u8, dir: usize, what: &str) -> JudgementV1 {
    let cwd = DIRS[dir].map(ToOwned::to_owned);
    JudgementV1 { fingerprint: Some([about; 16]), cwd, ..said(what) }
}

fn new_record(told: &Told, seq: u64) -> NewRecord {
    let mut unique = [9; 16];
    unique[..8].copy_from_slice(&seq.to_be_bytes());
    let judgement = |said: JudgementV1| said.to_record(unique).unwrap();
    match told {
        Told::Event(session) => {
            let event = serde_json::json!({"session_id": name(*session), "hook_event_name": "SessionStart", "cwd": "/w"});
            let body = Stored::Inline(event.to_string().into_bytes());
            HookV1 { arrived_ns: BEGIN + seq, client: Vec::new(), body }.to_record(unique).unwrap()
        }
        Told::Detection { session, event, about, dir } => DetectionV1 {
            at_ns: BEGIN + event,
            session_id: name(*session),
            agent_id: None,
            cwd: DIRS[*dir].map(ToOwned::to_owned),
            turn_id: None,
            span_id: None,
            kind: "loop".into(),
            rule: "repeat".into(),
            severity: 60,
            confidence: 90,
            at_event: *event,
            title: "t".into(),
            evidence: Vec::new(),
            advice: String::new(),
            mast: None,
            fingerprint: [*about; 16],
        }
        .to_record()
        .unwrap(),
        Told::Intervention { session, event, at } => InterventionV1 {
            at_ns: BEGIN + at,
            session_id: name(*session),
            agent_id: None,
            detection: Some(id_of(*session, *event)),
            kind: "loop".into(),
            rule: "repeat".into(),
            action: "advised".into(),
            event: "PostToolUse".into(),
            tool_use_id: None,
            text: "stop".into(),
            delivered: true,
        }
        .to_record(unique)
        .unwrap(),
        Told::Dismiss { about: a, dir } => judgement(about(*a, *dir, "dismiss")),
        Told::Reopen { about: a, dir } => judgement(about(*a, *dir, "reopen")),
        Told::Allow { session, kind } => judgement(JudgementV1 {
            session_id: Some(name(*session)),
            kind: kind.map(Into::into),
            ..said("allow")
        }),
        Told::Pause { session } => judgement(JudgementV1 { session_id: session.map(name), ..said("pause") }),
        Told::Resume { session } => {
            judgement(JudgementV1 { session_id: session.map(name), ..said("resume") })
        }
    }
}

fn records(told: &[Told]) -> Vec<Record> {
    let record = |(seq, told): (u64, &Told)| {
        let NewRecord { kind, schema, id, at_ns, body } = new_record(told, seq);
        let locator = Locator { segment: 1, offset: u32::try_from(seq).unwrap(), index: 0 };
        Record { seq, locator, kind, schema, id, at_ns, body }
    };
    (1..).zip(told).map(record).collect()
}

struct Index {
    _dir: tempfile::TempDir,
    store: Store,
    reader: Reader,
    live: Live,
    counters: Counters,
}

impl Index {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap().store;
        let (reader, live) = (store.reader(), Live::new(Prices::new(&BTreeMap::new())));
        Index { _dir: dir, store, reader, live, counters: Counters::default() }
    }

    fn apply(&mut self, records: &[Record]) {
        let mut batch = Batch::new(&self.live, &self.reader, self.counters);
        for record in records {
            batch.add(record, None).unwrap();
        }
        let applied = batch.finish().unwrap();
        self.store.apply(0, applied.mutations).unwrap();
        self.counters = applied.counters;
    }

    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.reader.scan(&[0x20], &[0x7f]).map(Result::unwrap).collect()
    }

    fn detections(&self) -> BTreeMap<Place, DetectionRow> {
        let (from, to) = rows::detections(0, None);
        let rows = self.reader.scan(&from, &to).map(Result::unwrap);
        rows.map(|(key, value)| (rows::of_key(&key).unwrap(), decode(&value).unwrap())).collect()
    }

    fn counted(&self, session: u8) -> Option<u64> {
        let row = self.reader.get(&others::session(ids::session_key(&name(session)))).unwrap();
        row.map(|bytes| decode::<Session>(&bytes).unwrap().detections)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_are_what_was_told_however_it_came(
        told in prop::collection::vec(told(), 1..40),
        sizes in prop::collection::vec(1..7usize, 1..20),
    ) {
        let records = records(&told);
        let (mut whole, mut cut) = (Index::new(), Index::new());
        whole.apply(&records);
        let (mut rest, mut sizes) = (&records[..], sizes.into_iter().cycle());
        while !rest.is_empty() {
            let (batch, left) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            cut.apply(batch);
            rest = left;
        }
        prop_assert_eq!(whole.all(), cut.all());

        // A plain reading.
        let mut found: BTreeMap<Place, (u8, u8, usize)> = BTreeMap::new();
        let mut dismissed: BTreeSet<(u8, usize)> = BTreeSet::new();
        let mut exceptions: BTreeSet<(Option<u8>, Option<Option<&str>>)> = BTreeSet::new();
        let mut known: BTreeSet<u8> = BTreeSet::new();
        let mut last: BTreeMap<RecordId, Place> = BTreeMap::new();
        for (record, told) in records.iter().zip(&told) {
            match told {
                Told::Event(session) => { known.insert(*session); }
                Told::Detection { session, event, about, dir } => {
                    // The same rule at the same event is recorded once.
                    found.entry((BEGIN + event, id_of(*session, *event))).or_insert((*session, *about, *dir));
                }
                Told::Intervention { session, event, at } => {
                    let entry = last.entry(id_of(*session, *event)).or_insert((0, [0; 16]));
                    *entry = (BEGIN + at, record.id).max(*entry);
                }
                Told::Dismiss { about, dir } => { dismissed.insert((*about, *dir)); }
                Told::Reopen { about, dir } => { dismissed.remove(&(*about, *dir)); }
                Told::Allow { session, kind } => { exceptions.insert((Some(*session), Some(*kind))); }
                Told::Pause { session } => { exceptions.insert((*session, None)); }
                Told::Resume { session } => exceptions.retain(|(of, allowed)| match session {
                    Some(_) => of != session,
                    None => allowed.is_some(),
                }),
            }
        }
        let rows = whole.detections();
        prop_assert_eq!(rows.len(), found.len());
        for (place, (session, about, dir)) in &found {
            let row = &rows[place];
            prop_assert_eq!(&row.session_id, &name(*session));
            prop_assert_eq!(row.brief.gist.dismissed, dismissed.contains(&(*about, *dir)));
            prop_assert_eq!(row.intervention, last.get(&place.1).copied());
            let brief = whole.reader.get(&rows::of_session(ids::session_key(&name(*session)), *place)).unwrap();
            prop_assert_eq!(&decode::<Brief>(&brief.unwrap()).unwrap(), &row.brief);
        }
        for session in 0..3 {
            let of_it = found.values().filter(|(of, a, d)| *of == session && !dismissed.contains(&(*a, *d)));
            let count = known.contains(&session).then(|| of_it.count() as u64);
            prop_assert_eq!(whole.counted(session), count, "session {}", session);
        }
        let (from, to) = rows::exceptions();
        prop_assert_eq!(whole.reader.scan(&from, &to).count(), exceptions.len());

        // What is kept when all of this is let go of holds for what comes after.
        let kept = carried(&whole.reader, b"usage".to_vec()).unwrap();
        let (rest, mutations) = split(&kept).unwrap();
        prop_assert_eq!(rest, b"usage");
        let mut later = Index::new();
        later.store.apply(0, mutations).unwrap();
        let (from, to) = rows::judgements();
        let in_force = |index: &Index| index.reader.scan(&from, &to).map(Result::unwrap).collect::<Vec<_>>();
        prop_assert_eq!(in_force(&later), in_force(&whole));
        later.apply(&super::tests::records(&[Told::Detection { session: 0, event: 0, about: 1, dir: 2 }]));
        prop_assert!(later.detections().values().all(|row| row.brief.gist.dismissed == dismissed.contains(&(1, 2))));
        prop_assert_eq!(later.counted(0), None, "detections alone make no session");
    }

    #[test]
    fn any_bytes_are_kept_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), marked in any::<bool>()) {
        let all = if marked { [CARRIED, &bytes[..]].concat() } else { bytes };
        let _ = split(&all);
    }
}

#[test]
fn golden_bytes_of_what_is_kept() {
    let mut index = Index::new();
    assert_eq!(carried(&index.reader, b"usage".to_vec()).unwrap(), b"usage", "nothing was said");
    index.apply(&records(&[Told::Pause { session: None }]));
    let body = &new_record(&Told::Pause { session: None }, 1).body;
    let len = u8::try_from(body.len()).unwrap();
    let said = [&[1, len][..], body].concat();
    let want = [&[0xcc, 2, len + 2, 0, 0, 0, 0, 0, 0, 0][..], &said, b"usage"].concat();
    assert_eq!(carried(&index.reader, b"usage".to_vec()).unwrap(), want);
}
