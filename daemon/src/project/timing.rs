//! How the time of an exchange was spent: its route, its moments, its silences. Pure.

use ccd_proto::api::{self, millis};
use serde::{Deserialize, Serialize};

use crate::ingest::record::{ExchangeV3, Outcome};

/// A silence of this length in a response is a stall. The figure is ours: the API's pings come some 15 to 30 seconds
/// apart while it is busy, and the client tells its user that it waits after 20 seconds without a byte, so a silence
/// is worth naming well before.
pub const STALL_US: u64 = 5_000_000;
/// So many stalls are kept, the longest.
const MAX_STALLS: usize = 10;
/// Longest address kept, in characters: an IPv6 one with a scope and a port fits.
const MAX_PEER: usize = 64;

/// What the index keeps of it, in microseconds. The moments that the row has anyway are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimingRow {
    /// On a connection that was there already.
    pub reused: bool,
    /// Through the network's proxy.
    pub tunnelled: bool,
    /// Address that was connected to.
    pub peer: Option<String>,
    /// Looking the name up.
    pub resolve_us: Option<u64>,
    /// Connecting.
    pub connect_us: Option<u64>,
    /// Negotiating TLS.
    pub tls_us: Option<u64>,
    /// Until the request's body was read whole.
    pub sent_us: Option<u64>,
    /// Until the response's head.
    pub head_us: Option<u64>,
    /// Until the response's first body byte.
    pub first_byte_us: Option<u64>,
    /// The longest silence.
    pub longest_gap_us: Option<u64>,
    /// When a stall began, and how long it was.
    pub stalls: Vec<(u64, u64)>,
}

/// Reads an exchange's.
#[must_use]
pub fn read(record: &ExchangeV3) -> TimingRow {
    let route = &record.route;
    let gaps = || gaps(record);
    let mut stalls: Vec<(u64, u64)> = gaps().filter(|(_, us)| *us >= STALL_US).collect();
    if stalls.len() > MAX_STALLS {
        stalls.sort_by_key(|(at, us)| (std::cmp::Reverse(*us), *at));
        stalls.truncate(MAX_STALLS);
        stalls.sort_unstable();
    }
    TimingRow {
        reused: route.reused,
        tunnelled: route.tunnelled,
        peer: route.peer.as_ref().map(|peer| peer.chars().take(MAX_PEER).collect()),
        resolve_us: route.resolve_us,
        connect_us: route.connect_us,
        tls_us: route.tls_us,
        sent_us: record.request_end_us,
        head_us: record.head_us,
        first_byte_us: record.first_byte_us,
        longest_gap_us: gaps().map(|(_, us)| us).max(),
        stalls,
    }
}

/// The silences between chunks: when each began, and how long it was. The last one is that before a cut; after the
/// last chunk of a response that came to its end nothing is waited for, and after a chunk that was not kept nothing
/// is known.
fn gaps(record: &ExchangeV3) -> impl Iterator<Item = (u64, u64)> {
    let mut at = record.marks.first().map_or(0, |(_, us)| *us);
    let between: Vec<(u64, u64)> = record
        .marks
        .iter()
        .skip(1)
        .map(|(_, us)| {
            let begin = at;
            at = at.saturating_add(*us);
            (begin, *us)
        })
        .collect();
    let whole = record.response.kept >= record.response.seen;
    let cut = record.outcome != Outcome::Complete && whole && !record.marks.is_empty();
    let last = cut.then(|| (at, record.end_us.saturating_sub(at)));
    between.into_iter().chain(last)
}

impl TimingRow {
    /// As `exchanges` and `show` print it.
    #[must_use]
    pub fn to_api(&self, end_us: u64) -> api::Timing {
        let ms = |us: Option<u64>| us.map(millis);
        api::Timing {
            reused: self.reused,
            tunnelled: self.tunnelled,
            peer: self.peer.clone(),
            resolve_ms: ms(self.resolve_us),
            connect_ms: ms(self.connect_us),
            tls_ms: ms(self.tls_us),
            sent_ms: ms(self.sent_us),
            head_ms: ms(self.head_us),
            first_byte_ms: ms(self.first_byte_us),
            total_ms: millis(end_us),
            longest_gap_ms: ms(self.longest_gap_us),
            stalls: self
                .stalls
                .iter()
                .map(|(at, us)| api::Stall { at_ms: millis(*at), ms: millis(*us) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::record::{BodyV1, RouteV1, Stored};

    fn record(marks: &[(u64, u64)], end_us: u64, outcome: Outcome) -> ExchangeV3 {
        let seen = marks.iter().map(|(bytes, _)| bytes).sum();
        let body = |seen| BodyV1 { seen, kept: seen, stored: Stored::Inline(Vec::new()) };
        ExchangeV3 {
            id: [1; 16],
            session_id: None,
            agent_id: None,
            parent_agent_id: None,
            method: "POST".into(),
            path: "/v1/messages".into(),
            upstream: "https://api.anthropic.com".into(),
            client_http: 11,
            upstream_http: 11,
            started_ns: 0,
            request_end_us: Some(250),
            head_us: Some(900),
            first_byte_us: Some(1000),
            end_us,
            status: Some(200),
            outcome,
            error: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            response_trailers: Vec::new(),
            request: body(2),
            response: body(seen),
            marks: marks.to_vec(),
            route: RouteV1 { connect_us: Some(1500), peer: Some("[::1]:443".into()), ..RouteV1::default() },
            redaction: crate::ingest::record::RedactionV1::default(),
        }
    }

    #[test]
    fn a_gap_of_five_seconds_is_a_stall_and_one_before_a_cut_counts() {
        let marks = [(10, 1000), (10, STALL_US - 1), (10, STALL_US), (10, 30)];
        let at = 1000 + STALL_US - 1;
        let timing = read(&record(&marks, 30_000_000, Outcome::Complete));
        assert_eq!((timing.stalls, timing.longest_gap_us), (vec![(at, STALL_US)], Some(STALL_US)));
        let last = at + STALL_US + 30;
        let timing = read(&record(&marks, 30_000_000, Outcome::UpstreamFailed));
        assert_eq!(timing.stalls, [(at, STALL_US), (last, 30_000_000 - last)]);
    }

    #[test]
    fn milliseconds_keep_their_microseconds() {
        let timing = read(&record(&[(1, 1000)], 2345, Outcome::Complete)).to_api(2345);
        assert_eq!((timing.sent_ms, timing.connect_ms, timing.total_ms), (Some(0.25), Some(1.5), 2.345));
        assert_eq!((timing.resolve_ms, timing.longest_gap_ms), (None, None));
        assert_eq!(timing.peer.as_deref(), Some("[::1]:443"));
    }

    proptest! {
        #[test]
        fn stalls_are_bounded_in_order_and_no_longer_than_the_longest_gap(
            marks in prop::collection::vec((0u64..9, prop_oneof![0..STALL_US * 2, Just(u64::MAX)]), 0..60),
            end in any::<u64>(), cut in any::<bool>()) {
            let outcome = if cut { Outcome::UpstreamFailed } else { Outcome::Complete };
            let timing = read(&record(&marks, end, outcome));
            prop_assert!(timing.stalls.len() <= MAX_STALLS);
            prop_assert!(timing.stalls.is_sorted_by_key(|(at, _)| *at));
            prop_assert!(timing.stalls.iter().all(|(_, us)| *us >= STALL_US && Some(*us) <= timing.longest_gap_us));
            let long = marks.iter().skip(1).filter(|(_, us)| *us >= STALL_US).count();
            prop_assert!(timing.stalls.len() >= long.min(MAX_STALLS));
        }
    }
}
