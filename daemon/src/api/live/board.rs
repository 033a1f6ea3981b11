//! What is told to who follows, as numbered changes.
//!
//! Each thing (a session, turn, span, detection or intervention) has the number of its last change; a reader that was
//! sent all changes up to a number needs those behind it and nothing else. So nothing is queued for anybody: a reader that
//! is slow, or comes again, is behind by a number, and a thing that changed three times meanwhile is sent once.
//!
//! Invariants: numbers only rise; a thing that did not change keeps its number; what vanished stays known for the last
//! [`MAX_GONE`] such things, and a reader that is further behind than that is not served from its number ([`Board::knows`]).
//!
//! Pure: no clock, no I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ccd_proto::api::{Detection, FollowLine, Gone, Intervention, Session, Turn};
use serde::Serialize;

use crate::api::light::Light;
use crate::project::view::{SessionView, SpanView};

/// Things that vanished and are remembered.
pub(super) const MAX_GONE: usize = 10_000;

/// What there is.
#[derive(Clone, Default)]
pub(super) struct Content {
    /// The session that is followed, if it is there; or all of them.
    pub(super) sessions: Vec<Arc<Session>>,
    /// Turns and spans.
    pub(super) view: Arc<SessionView>,
    /// Dismissed ones, too.
    pub(super) detections: Vec<Detection>,
    pub(super) interventions: Vec<Intervention>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Session,
    Turn,
    Span,
    Detection,
    Intervention,
}

const KINDS: usize = 5;

/// A state of what is followed, with the number of each thing's last change.
pub(super) struct Board {
    /// Random: no number of another board is taken for one of this one.
    epoch: u64,
    last: u64,
    /// Changes up to this one may have been forgotten.
    floor: u64,
    content: Content,
    /// The numbers of all things of each kind, in their order.
    numbers: [Vec<u64>; KINDS],
    /// All of them, by their numbers.
    order: Vec<(u64, Kind, u32)>,
    gone: VecDeque<(u64, Kind, String)>,
}

/// Lines for a reader.
pub(super) struct Batch {
    /// NDJSON.
    pub(super) bytes: Vec<u8>,
    /// The number up to which all is sent with them.
    pub(super) upto: u64,
}

/// One line, written from what is there.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Session(&'a Session),
    Turn(&'a Turn),
    Span(Light<'a>),
    Detection(&'a Detection),
    Intervention(&'a Intervention),
}

impl Board {
    /// Nothing yet.
    pub(super) fn new(epoch: u64) -> Self {
        Board {
            epoch,
            last: 0,
            floor: 0,
            content: Content::default(),
            numbers: Default::default(),
            order: Vec::new(),
            gone: VecDeque::new(),
        }
    }

    /// The state after this one. What is the same in both keeps its number.
    pub(super) fn next(&self, content: Content) -> Board {
        let (old, mut n) = (&self.content, Numbering { last: self.last, gone: Vec::new() });
        let [sessions, turns, spans, detections, interventions] = &self.numbers;
        let numbers = [
            n.carry(Kind::Session, (&old.sessions, sessions), &content.sessions, |s| &s.session_id, same),
            n.carry(Kind::Turn, (&old.view.turns, turns), &content.view.turns, |t| &t.turn_id, same),
            n.carry(Kind::Span, (&old.view.spans, spans), &content.view.spans, span_id, same_span),
            n.carry(
                Kind::Detection,
                (&old.detections, detections),
                &content.detections,
                |d| &d.detection_id,
                same,
            ),
            n.carry(
                Kind::Intervention,
                (&old.interventions, interventions),
                &content.interventions,
                |i| &i.intervention_id,
                same,
            ),
        ];
        let mut gone = self.gone.clone();
        for (kind, id) in n.gone {
            n.last += 1;
            gone.push_back((n.last, kind, id));
        }
        let mut floor = self.floor;
        while gone.len() > MAX_GONE {
            floor = gone.pop_front().map_or(floor, |(number, ..)| number);
        }
        let order = by_number(&numbers);
        Board { epoch: self.epoch, last: n.last, floor, content, numbers, order, gone }
    }

    /// What there is.
    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// The number of the last change.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether a reader that has all changes up to this number can go on from there.
    pub(super) fn knows(&self, number: u64) -> bool {
        (self.floor..=self.last).contains(&number)
    }

    /// What a reader goes on from that has all changes up to this number.
    pub(super) fn cursor(&self, number: u64) -> String {
        format!("{:016x}-{number}", self.epoch)
    }

    /// The number of a cursor of this board, if it can still be gone on from.
    pub(super) fn number_of(&self, cursor: &str) -> Option<u64> {
        let (epoch, number) = cursor.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        let ours = self.cursor(number) == cursor && u64::from_str_radix(epoch, 16) == Ok(self.epoch);
        Some(number).filter(|number| ours && self.knows(*number))
    }

    /// Turns and spans behind this number.
    pub(super) fn ahead(&self, number: u64) -> (u64, u64) {
        let of = |kind: Kind| self.numbers[kind as usize].iter().filter(|n| **n > number).count() as u64;
        (of(Kind::Turn), of(Kind::Span))
    }

    /// The next changes behind `after`, so many at most. What vanished is told only to who may have it: behind `had`.
    pub(super) fn batch(&self, after: u64, had: u64, max: usize) -> Batch {
        let from = self.order.partition_point(|(number, ..)| *number <= after);
        let behind = after.max(had);
        let first_gone = self.gone.partition_point(|(number, ..)| *number <= behind);
        let (mut things, mut gone) =
            (self.order[from..].iter().peekable(), self.gone.iter().skip(first_gone).peekable());
        let (mut bytes, mut upto, mut pending) = (Vec::new(), after, Gone::default());
        for _ in 0..max {
            let next_gone = gone.peek().map(|(number, ..)| *number);
            let next_thing = things.peek().map(|(number, ..)| *number);
            match (next_thing, next_gone) {
                (None, None) => {
                    // Numbers of what vanished before the reader came are none that it waits for.
                    upto = self.last;
                    break;
                }
                (Some(thing), gone) if gone.is_none_or(|gone| thing < gone) => {
                    flush(&mut bytes, &mut pending);
                    if let Some((number, kind, at)) = things.next() {
                        self.write(&mut bytes, *kind, *at as usize);
                        upto = *number;
                    }
                }
                _ => {
                    if let Some((number, kind, id)) = gone.next() {
                        match kind {
                            Kind::Session => pending.sessions.push(id.clone()),
                            Kind::Turn => pending.turns.push(id.clone()),
                            Kind::Span => pending.spans.push(id.clone()),
                            Kind::Detection => pending.detections.push(id.clone()),
                            Kind::Intervention => pending.interventions.push(id.clone()),
                        }
                        upto = *number;
                    }
                }
            }
        }
        flush(&mut bytes, &mut pending);
        if things.peek().is_none() && gone.peek().is_none() {
            upto = self.last;
        }
        Batch { bytes, upto }
    }

    fn write(&self, bytes: &mut Vec<u8>, kind: Kind, at: usize) {
        let of = &self.content;
        let line = match kind {
            Kind::Session => of.sessions.get(at).map(|s| Line::Session(s)),
            Kind::Turn => of.view.turns.get(at).map(Line::Turn),
            Kind::Span => of.view.spans.get(at).map(|view| Line::Span(Light(&view.span))),
            Kind::Detection => of.detections.get(at).map(Line::Detection),
            Kind::Intervention => of.interventions.get(at).map(Line::Intervention),
        };
        if let Some(line) = line {
            push(bytes, &line);
        }
    }
}

/// Adds a line.
pub(super) fn push<T: Serialize>(bytes: &mut Vec<u8>, line: &T) {
    let before = bytes.len();
    match serde_json::to_writer(&mut *bytes, line) {
        Ok(()) => bytes.push(b'\n'),
        Err(error) => {
            tracing::error!(%error, "a line cannot be written");
            bytes.truncate(before);
        }
    }
}

fn flush(bytes: &mut Vec<u8>, gone: &mut Gone) {
    if *gone != Gone::default() {
        push(bytes, &FollowLine { gone: Some(std::mem::take(gone)), ..FollowLine::default() });
    }
}

fn by_number(numbers: &[Vec<u64>; KINDS]) -> Vec<(u64, Kind, u32)> {
    const ALL: [Kind; KINDS] = [Kind::Session, Kind::Turn, Kind::Span, Kind::Detection, Kind::Intervention];
    let mut order = Vec::with_capacity(numbers.iter().map(Vec::len).sum());
    for (kind, numbers) in ALL.into_iter().zip(numbers) {
        order.extend((0u32..).zip(numbers).map(|(at, number)| (*number, kind, at)));
    }
    // It consists of stretches that are in order.
    order.sort();
    order
}

fn same<T: PartialEq>(a: &T, b: &T) -> bool {
    a == b
}

fn span_id(view: &SpanView) -> &str {
    &view.span.span_id
}

fn same_span(a: &SpanView, b: &SpanView) -> bool {
    a.span == b.span
}

struct Numbering {
    last: u64,
    gone: Vec<(Kind, String)>,
}

impl Numbering {
    fn fresh(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The numbers of what there is now. Most of it is where it was: only what lies between the first and the last thing
    /// that is not is looked up by its id.
    fn carry<T>(
        &mut self,
        kind: Kind,
        (old, numbers): (&[T], &[u64]),
        new: &[T],
        id: impl Fn(&T) -> &str,
        same: impl Fn(&T, &T) -> bool,
    ) -> Vec<u64> {
        let at_same_place = |(a, b): &(&T, &T)| id(a) == id(b);
        let head = old.iter().zip(new).take_while(at_same_place).count();
        let (old_rest, new_rest) = (&old[head..], &new[head..]);
        let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(at_same_place).count();
        let (old_end, new_end) = (old.len() - tail, new.len() - tail);
        let mut between: HashMap<&str, usize> =
            (head..old_end).filter_map(|at| Some((id(old.get(at)?), at))).collect();
        let mut out = Vec::with_capacity(new.len());
        for (at, thing) in new.iter().enumerate() {
            let was = match at {
                _ if at < head => Some(at),
                _ if at >= new_end => Some(at - new_end + old_end),
                _ => between.remove(id(thing)),
            };
            let number = was.filter(|was| old.get(*was).is_some_and(|old| same(old, thing)));
            let number = number.and_then(|was| numbers.get(was).copied());
            out.push(number.unwrap_or_else(|| self.fresh()));
        }
        let mut gone: Vec<usize> = between.into_values().collect();
        gone.sort_unstable();
        self.gone.extend(gone.into_iter().filter_map(|at| Some((kind, id(old.get(at)?).to_owned()))));
        out
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
