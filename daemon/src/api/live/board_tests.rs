//! A reader's copy is what there is, whatever it was sent in which pieces, and however often it went away.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What a reader makes of lines, as the page does: put by id, forget what is gone.
#[derive(Clone, Debug, Default, PartialEq)]
struct Copy {
    things: BTreeMap<(&'static str, String), Value>,
    /// What came since a stream began that goes on from nothing; until its first cursor.
    fresh: Option<BTreeSet<(&'static str, String)>>,
    sent: u64,
}

const KEYS: [(&str, &str, &str); 5] = [
    ("session", "session_id", "sessions"),
    ("turn", "turn_id", "turns"),
    ("span", "span_id", "spans"),
    ("detection", "detection_id", "detections"),
    ("intervention", "intervention_id", "interventions"),
];

impl Copy {
    fn read(&mut self, bytes: &[u8]) {
        for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_slice(line).unwrap();
            for (kind, id, plural) in KEYS {
                if let Some(thing) = line.get(kind) {
                    self.sent += 1;
                    let key = (kind, thing[id].as_str().unwrap().to_owned());
                    if let Some(fresh) = &mut self.fresh {
                        fresh.insert(key.clone());
                    }
                    self.things.insert(key, thing.clone());
                }
                for id in line["gone"][plural].as_array().into_iter().flatten() {
                    self.things.remove(&(kind, id.as_str().unwrap().to_owned()));
                }
            }
        }
    }

    fn cursor(&mut self) {
        if let Some(fresh) = self.fresh.take() {
            self.things.retain(|key, _| fresh.contains(key));
        }
    }

    fn all(board: &Board) -> Self {
        let mut all = Copy::default();
        let mut bytes = Vec::new();
        for (kind, len) in [
            (Kind::Session, board.content.sessions.len()),
            (Kind::Turn, board.content.view.turns.len()),
            (Kind::Span, board.content.view.spans.len()),
            (Kind::Detection, board.content.detections.len()),
            (Kind::Intervention, board.content.interventions.len()),
        ] {
            (0..len).for_each(|at| board.write(&mut bytes, kind, at));
        }
        all.read(&bytes);
        all
    }
}

/// Things as (id, value), in any order, each id once.
fn content(things: &[(u8, u8, u8)]) -> Content {
    let mut out = Content::default();
    let mut view = SessionView::default();
    let mut seen = BTreeSet::new();
    for (kind, id, value) in things {
        if !seen.insert((kind, id)) {
            continue;
        }
        let (id, value) = (format!("x{id}"), format!("{value}"));
        match kind {
            0 => out.sessions.push(Arc::new(Session { session_id: id, cost: value, ..Session::default() })),
            1 => view.turns.push(Turn { turn_id: id, status: value, ..Turn::default() }),
            2..=5 => {
                let span = ccd_proto::api::Span { span_id: id, status: value, ..Default::default() };
                view.spans.push(SpanView { span, ..SpanView::default() });
            }
            6 => {
                let thing = Detection { detection_id: id, title: value, ..Detection::default() };
                out.detections.push(thing);
            }
            _ => {
                let thing = Intervention { intervention_id: id, text: value, ..Intervention::default() };
                out.interventions.push(thing);
            }
        }
    }
    // Kinds of which several numbers are spans share their ids.
    let mut ids = BTreeSet::new();
    view.spans.retain(|s| ids.insert(s.span.span_id.clone()));
    out.view = Arc::new(view);
    out
}

/// What happens to a reader.
#[derive(Clone, Debug)]
enum Step {
    /// Everything is as this says.
    Is(Vec<(u8, u8, u8)>),
    /// It reads so many lines at most.
    Reads(usize),
    /// It goes away, and comes again with its last cursor.
    Returns,
    /// What is held for it is dropped: another epoch.
    Forgotten,
}

fn step() -> impl Strategy<Value = Step> {
    let things = proptest::collection::vec((0u8..8, 0u8..12, 0u8..3), 0..30);
    prop_oneof![
        4 => things.prop_map(Step::Is),
        4 => (1usize..20).prop_map(Step::Reads),
        2 => Just(Step::Returns),
        1 => Just(Step::Forgotten),
    ]
}

/// A reader, and where it is.
struct Reading {
    copy: Copy,
    cursor: Option<String>,
    sent: u64,
    had: u64,
}

impl Reading {
    fn begin(&mut self, board: &Board) {
        let resumed = self.cursor.as_deref().and_then(|cursor| board.number_of(cursor));
        self.sent = resumed.unwrap_or(0);
        self.had = resumed.unwrap_or(board.last());
        self.copy.fresh = if resumed.is_some() { None } else { Some(BTreeSet::new()) };
    }

    fn read(&mut self, board: &Board, max: usize) -> bool {
        if !board.knows(self.sent.max(self.had)) {
            self.begin(board);
        }
        let batch = board.batch(self.sent, self.had, max);
        self.copy.read(&batch.bytes);
        self.sent = batch.upto;
        let is_all = self.sent == board.last();
        if is_all {
            self.copy.cursor();
            self.cursor = Some(board.cursor(self.sent));
        }
        is_all
    }
}

proptest! {
    #[test]
    fn a_reader_ends_with_what_there_is(steps in proptest::collection::vec(step(), 1..40)) {
        let mut epoch = 1;
        let mut board = Board::new(epoch);
        let mut reading = Reading { copy: Copy::default(), cursor: None, sent: 0, had: 0 };
        reading.begin(&board);
        for step in steps {
            match step {
                Step::Is(things) => board = board.next(content(&things)),
                Step::Reads(max) => drop(reading.read(&board, max)),
                Step::Returns => reading.begin(&board),
                Step::Forgotten => {
                    epoch += 1;
                    board = Board::new(epoch).next(board.content);
                    reading.begin(&board);
                }
            }
        }
        while !reading.read(&board, 3) {}
        let all = Copy::all(&board);
        prop_assert_eq!(&reading.copy.things, &all.things);
        // What is there is not sent again.
        let sent = reading.copy.sent;
        board = board.next(board.content.clone());
        prop_assert!(reading.read(&board, 1));
        prop_assert_eq!(reading.copy.sent, sent);
    }
}

#[test]
fn only_what_changed_is_sent_again() {
    let spans = |n: u8, odd: u8| (0..n).map(|id| (2, id, if id == odd { 9 } else { 1 })).collect::<Vec<_>>();
    let board = Board::new(1).next(content(&spans(100, 200)));
    let cursor = board.cursor(board.last());
    let next = board.next(content(&spans(101, 7)));
    let from = next.number_of(&cursor).unwrap();
    assert_eq!(next.ahead(from), (0, 2));
    let mut copy = Copy::default();
    copy.read(&next.batch(from, from, 10).bytes);
    let ids: Vec<&str> = copy.things.keys().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["x100", "x7"]);
}

#[test]
fn cursors_of_others_and_of_too_long_ago_are_not_known() {
    let mut board = Board::new(1).next(content(&[(2, 1, 1)]));
    let cursor = board.cursor(0);
    assert_eq!(board.number_of(&cursor), Some(0));
    for wrong in ["", "-", "x-1", "0000000000000002-1", "0000000000000001-9", "1-1", "0000000000000001-01"] {
        assert_eq!(board.number_of(wrong), None, "{wrong:?}");
    }
    let many = |from: usize| {
        let span = |id: usize| SpanView {
            span: ccd_proto::api::Span { span_id: id.to_string(), ..Default::default() },
            ..SpanView::default()
        };
        let view = SessionView { spans: (from..from + MAX_GONE).map(span).collect(), turns: Vec::new() };
        Content { view: Arc::new(view), ..Content::default() }
    };
    board = board.next(many(0)).next(many(MAX_GONE)).next(many(0));
    assert_eq!(board.gone.len(), MAX_GONE, "bounded");
    assert_eq!(board.number_of(&cursor), None, "what vanished since is forgotten");
    assert!(board.number_of(&board.cursor(board.last())).is_some());
}
