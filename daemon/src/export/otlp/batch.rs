//! Traces in requests of a size that receivers take.
//!
//! A turn is never torn apart unless it alone is larger than a request may be, or than a receiver takes; then its pieces
//! have the root's side first, and only there may a parent be in the request before. One with very many small spans goes
//! whole, by itself.

use ccd_otlp::{Encoding, ExportTraceServiceRequest, Message as _, Resource, ResourceSpans, Span};

use super::{Trace, resource_spans};

/// Spans of one request.
pub const MAX_SPANS: usize = 512;
/// Bytes of one request, before it is compressed.
pub const MAX_BYTES: usize = 4 << 20;

/// A turn that is ready to go.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What its spans are of.
    pub resource: Resource,
    /// The spans.
    pub trace: Trace,
    /// Bytes of it, in its encoding, when it was put in; a half keeps the figure.
    pub bytes: usize,
}

impl Unit {
    /// Weighs a turn.
    #[must_use]
    pub fn new(resource: Resource, trace: Trace, encoding: Encoding) -> Self {
        let bytes = weight(&trace.spans, encoding) + resource.to_bytes(encoding).len() + 256;
        Unit { resource, trace, bytes }
    }
}

fn weight(spans: &[Span], encoding: Encoding) -> usize {
    // A tag and a length, or a comma, for each.
    spans.iter().map(|span| span.to_bytes(encoding).len() + 6).sum()
}

/// Turns that go in one request.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The turns; a piece of one, where it is too large.
    pub units: Vec<Unit>,
    /// Whether it is a piece of a turn that goes on in the next.
    pub goes_on: bool,
}

impl Batch {
    /// Spans in it.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.units.iter().map(|unit| unit.trace.spans.len()).sum()
    }

    /// The request. Neighbours of the same resource share it.
    #[must_use]
    pub fn request(&self) -> ExportTraceServiceRequest {
        let mut all: Vec<ResourceSpans> = Vec::new();
        for unit in &self.units {
            let spans = unit.trace.spans.clone();
            let last = all.last_mut().filter(|last| last.resource.as_ref() == Some(&unit.resource));
            match last.and_then(|last| last.scope_spans.first_mut()) {
                Some(scope) => scope.spans.extend(spans),
                None => all.push(resource_spans(unit.resource.clone(), spans)),
            }
        }
        ExportTraceServiceRequest { resource_spans: all }
    }

    /// Two halves, for a receiver that takes less: of its turns, else of the one turn's spans; none if it is one span.
    #[must_use]
    pub fn halves(mut self) -> Option<[Batch; 2]> {
        let rest = self.units.split_off(self.units.len() / 2);
        if !self.units.is_empty() {
            let first = Batch { units: self.units, goes_on: false };
            return Some([first, Batch { units: rest, goes_on: self.goes_on }]);
        }
        let [mut unit] = <[Unit; 1]>::try_from(rest).ok()?;
        if unit.trace.spans.len() < 2 {
            return None;
        }
        let spans = unit.trace.spans.split_off(unit.trace.spans.len() / 2);
        let (session_id, turn_id) = (unit.trace.session_id.clone(), unit.trace.turn_id.clone());
        let trace = Trace { session_id, turn_id, spans };
        let rest = Unit { resource: unit.resource.clone(), trace, bytes: unit.bytes };
        let first = Batch { units: vec![unit], goes_on: true };
        Some([first, Batch { units: vec![rest], goes_on: self.goes_on }])
    }
}

/// Puts turns together.
#[derive(Debug)]
pub struct Batcher {
    encoding: Encoding,
    held: Batch,
    bytes: usize,
}

impl Batcher {
    /// For requests in an encoding.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Batcher { encoding, held: Batch::default(), bytes: 0 }
    }

    /// Adds a turn. Gives what is full.
    pub fn push(&mut self, resource: Resource, trace: Trace) -> Vec<Batch> {
        let unit = Unit::new(resource, trace, self.encoding);
        let mut full = Vec::new();
        let spans = self.held.spans() + unit.trace.spans.len();
        if spans > MAX_SPANS || self.bytes + unit.bytes > MAX_BYTES {
            full.extend(self.finish());
        }
        if unit.bytes > MAX_BYTES {
            full.extend(self.torn(unit));
            return full;
        }
        self.bytes += unit.bytes;
        self.held.units.push(unit);
        full
    }

    /// What is left.
    pub fn finish(&mut self) -> Option<Batch> {
        self.bytes = 0;
        Some(std::mem::take(&mut self.held)).filter(|batch| !batch.units.is_empty())
    }

    fn torn(&self, unit: Unit) -> Vec<Batch> {
        let Unit { resource, trace, .. } = unit;
        let Trace { session_id, turn_id, spans } = trace;
        let room = MAX_BYTES - resource.to_bytes(self.encoding).len().min(MAX_BYTES / 2) - 256;
        let mut pieces: Vec<(Vec<Span>, usize)> = Vec::new();
        for span in spans {
            let bytes = weight(std::slice::from_ref(&span), self.encoding);
            match pieces.last_mut() {
                Some((all, held)) if *held + bytes <= room && all.len() < MAX_SPANS => {
                    all.push(span);
                    *held += bytes;
                }
                _ => pieces.push((vec![span], bytes)),
            }
        }
        let last = pieces.len().saturating_sub(1);
        let batch = |(i, (spans, bytes)): (usize, (Vec<Span>, usize))| {
            let trace = Trace { session_id: session_id.clone(), turn_id: turn_id.clone(), spans };
            Batch { units: vec![Unit { resource: resource.clone(), trace, bytes }], goes_on: i < last }
        };
        pieces.into_iter().enumerate().map(batch).collect()
    }
}

#[cfg(test)]
mod tests {
    use ccd_otlp::KeyValue;
    use proptest::prelude::*;

    use super::*;

    fn turn(n: usize, spans: usize, bytes: usize) -> Trace {
        let span = |i: usize| Span {
            span_id: i.to_be_bytes().to_vec(),
            attributes: vec![KeyValue::new("x", "y".repeat(bytes))],
            ..Span::default()
        };
        Trace { session_id: "s".into(), turn_id: n.to_string(), spans: (0..spans).map(span).collect() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn everything_goes_once_in_order_and_turns_go_whole(
            turns in prop::collection::vec((1_usize..700, prop_oneof![Just(10_usize), Just(9_000)]), 0..8),
            json: bool,
        ) {
            let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
            let mut batcher = Batcher::new(encoding);
            let mut batches = Vec::new();
            for (n, (spans, bytes)) in turns.iter().enumerate() {
                batches.extend(batcher.push(Resource::default(), turn(n, *spans, *bytes)));
            }
            batches.extend(batcher.finish());
            let told: Vec<(String, Vec<u8>)> = batches.iter().flat_map(|b| &b.units).flat_map(|unit| {
                unit.trace.spans.iter().map(|s| (unit.trace.turn_id.clone(), s.span_id.clone()))
            }).collect();
            let all = turns.iter().enumerate().flat_map(|(n, (spans, _))| {
                (0..*spans).map(move |i| (n.to_string(), i.to_be_bytes().to_vec()))
            });
            prop_assert_eq!(told, all.collect::<Vec<_>>());
            for batch in &batches {
                prop_assert!(batch.request().to_bytes(encoding).len() <= MAX_BYTES);
                prop_assert!(batch.spans() <= MAX_SPANS || batch.units.len() == 1);
                for unit in &batch.units {
                    let n: usize = unit.trace.turn_id.parse().unwrap();
                    let whole = unit.trace.spans.len() == turns[n].0;
                    prop_assert!(whole || turns[n].0 * turns[n].1 > MAX_BYTES / 2);
                }
            }
        }
    }

    #[test]
    fn halves_keep_all_down_to_single_spans() {
        let mut batcher = Batcher::new(Encoding::Protobuf);
        for n in 0..3 {
            assert!(batcher.push(Resource::default(), turn(n, 2, 1)).is_empty());
        }
        let [a, b] = batcher.finish().unwrap().halves().unwrap();
        assert_eq!((a.units.len(), b.units.len()), (1, 2));
        assert!(!a.goes_on && !b.goes_on);
        let [first, last] = a.halves().unwrap();
        assert_eq!((first.spans(), last.spans()), (1, 1));
        // Both are of one turn, which is told once: with its last piece.
        assert!(first.goes_on && !last.goes_on);
        assert_eq!(first.units[0].trace.turn_id, last.units[0].trace.turn_id);
        assert_ne!(first.units[0].trace.spans, last.units[0].trace.spans);
        assert!(first.halves().is_none() && last.halves().is_none());
    }
}
