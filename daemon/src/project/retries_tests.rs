//! Tests of the links between attempts: made-up ones told in every order, and what counts as the same body.

use proptest::prelude::*;

use super::*;
use crate::ingest::record::{BodyV1, Outcome, RedactionV1, RouteV1};
use crate::project::members;

const S: u64 = 1_000_000_000;

fn attempt(id: u8, start_s: u64, end_s: u64, failed: bool) -> Attempt {
    let (started_ns, ended_ns) = (start_s * S, end_s * S);
    Attempt { started_ns, id: [id; 16], ended_ns, failed, exact: [0; 16], stream: true, max_tokens: 100 }
}

fn seen(attempts: &[Attempt]) -> Vec<(u8, Option<u8>, u32, Option<u8>)> {
    let first = |id: Option<Id>| id.map(|id| id[0]);
    let links = links(attempts);
    links.into_iter().map(|(id, l)| (id[0], first(l.retry_of), l.before + 1, first(l.retried_by))).collect()
}

#[test]
fn failures_are_counted_up_to_the_one_that_went_well() {
    let chain = [attempt(1, 0, 1, true), attempt(2, 2, 3, true), attempt(3, 5, 9, false)];
    assert_eq!(seen(&chain), [(1, None, 1, Some(2)), (2, Some(1), 2, Some(3)), (3, Some(2), 3, None)]);
}

#[test]
fn the_same_again_after_it_went_well_is_a_request_of_its_own() {
    let again = attempt(3, 4, 5, false);
    assert_eq!(seen(&[attempt(1, 0, 1, false), again]), []);
    let linked = [(1, None, 1, Some(2)), (2, Some(1), 2, None)];
    assert_eq!(seen(&[attempt(1, 0, 1, true), attempt(2, 2, 3, false), again]), linked);
}

#[test]
fn what_was_still_under_way_is_not_repeated_and_one_is_repeated_once() {
    assert_eq!(seen(&[attempt(1, 0, 9, true), attempt(2, 2, 3, false)]), []);
    let twice = [attempt(1, 0, 1, true), attempt(2, 2, 9, false), attempt(3, 2, 9, false)];
    assert_eq!(seen(&twice), [(1, None, 1, Some(2)), (2, Some(1), 2, None)]);
    // The proxy notices a client that gave up a moment after that one has begun again.
    assert_eq!(seen(&[attempt(1, 0, 5, true), attempt(2, 4, 6, false)]).len(), 2);
}

#[test]
fn ten_minutes_after_a_failure_it_is_forgotten() {
    // Counted from its end: a request that timed out after ten minutes is repeated at once.
    let late = |start_s| seen(&[attempt(1, 0, 700, true), attempt(2, start_s, start_s + 1, false)]).len();
    assert_eq!((late(701), late(1300), late(1301)), (2, 2, 0));
}

#[test]
fn a_stream_is_repeated_without_one_and_not_the_other_way_round() {
    let plain = |id, start_s, failed| {
        let it = attempt(id, start_s, start_s + 1, failed);
        Attempt { exact: [1; 16], stream: false, ..it }
    };
    assert_eq!(seen(&[attempt(1, 0, 1, true), plain(2, 2, false)]).len(), 2);
    assert_eq!(seen(&[plain(1, 0, true), attempt(2, 2, 3, false)]), []);
    let asks = |max_tokens| Attempt { max_tokens, ..plain(2, 2, false) };
    assert_eq!(seen(&[attempt(1, 0, 1, true), asks(50)]).len(), 2, "no more than before");
    assert_eq!(seen(&[attempt(1, 0, 1, true), asks(101)]), [], "more than before is another request");
    let chain = [attempt(1, 0, 1, true), plain(2, 2, true), plain(3, 4, false)];
    assert_eq!(seen(&chain)[2], (3, Some(2), 3, None));
}

fn record(method: &str, path: &str, session: Option<&str>) -> ExchangeV3 {
    let body = || BodyV1 { seen: 9, kept: 9, stored: Stored::Inline(Vec::new()) };
    ExchangeV3 {
        id: [1; 16],
        session_id: session.map(str::to_owned),
        agent_id: None,
        parent_agent_id: None,
        method: method.into(),
        path: path.into(),
        upstream: "https://api.anthropic.com".into(),
        client_http: 11,
        upstream_http: 11,
        started_ns: 0,
        request_end_us: Some(1),
        head_us: None,
        first_byte_us: None,
        end_us: 2,
        status: None,
        outcome: Outcome::ClientGone,
        error: None,
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        response_trailers: Vec::new(),
        request: body(),
        response: body(),
        marks: Vec::new(),
        route: RouteV1::default(),
        redaction: RedactionV1::default(),
    }
}

fn key_of(record: &ExchangeV3, body: &[u8]) -> Option<Key> {
    let stored = Stored::Inline(body.to_vec());
    let record = ExchangeV3 { request: BodyV1 { seen: 9, kept: 9, stored }, ..record.clone() };
    key(&record, body, members::read(body).as_ref())
}

#[test]
fn bodies_are_compared_without_their_own_stream_and_max_tokens_only() {
    let post = record("POST", "/v1/messages", Some("s"));
    let of = |body: &str| key_of(&post, body.as_bytes()).unwrap();
    let streaming = of(r#"{"model":"m","stream":true,"messages":[{"stream":true}]}"#);
    let plain = of(r#"{"model":"m","messages":[{"stream":true}]}"#);
    assert_eq!(streaming.group, plain.group);
    assert_eq!((streaming.stream, plain.stream), (true, false));
    assert_ne!(streaming.exact, plain.exact);
    assert_eq!(of(r#"{"model":"m","messages":[{"stream":true}],"stream":false}"#).group, plain.group);
    let fewer = of(r#"{"model":"m","max_tokens":64000,"messages":[{"stream":true}],"stream":false}"#);
    assert_eq!((fewer.group, fewer.max_tokens), (plain.group, 64_000));
    assert_eq!(of(r#"{"max_tokens":"many"}"#).max_tokens, 0);
    for other in [
        r#"{"model":"m","messages":[{}]}"#,
        r#"{"model":"m","messages":[{"stream":true}],"x":1}"#,
        r#"{"messages":[{"stream":true}],"model":"m"}"#,
        r#"[{"model":"m"}]"#,
        "no json",
    ] {
        assert_ne!(of(other).group, plain.group, "{other}");
        assert_eq!(of(other), of(other), "{other}");
    }
    assert_ne!(key_of(&record("POST", "/v1/x", Some("s")), b"{}").unwrap().group, of("{}").group);
    // Whose session is not named, or whose body is not known whole, repeats nothing.
    assert_eq!(key_of(&record("POST", "/v1/messages", None), b"{}"), None);
    assert_eq!(key_of(&post, b""), None);
    let cut = ExchangeV3 { request_end_us: None, ..post };
    assert_eq!(key_of(&cut, b"{}"), None);
}

fn some_attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let one = (0u64..1500, 0u64..700, any::<bool>(), 0u8..3, any::<bool>());
    prop::collection::vec(one, 0..24).prop_map(|all| {
        let made =
            |(n, (start, length, failed, exact, stream)): (usize, (u64, u64, bool, u8, bool))| Attempt {
                exact: [exact; 16],
                stream,
                ..attempt(u8::try_from(n).unwrap(), start, start + length, failed)
            };
        all.into_iter().enumerate().map(made).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_telling_changes_nothing(all in some_attempts(), shuffled in any::<prop::sample::Index>()) {
        let mut straight = all.clone();
        straight.sort_unstable();
        let mut told: BTreeMap<Id, Link> = BTreeMap::new();
        let mut attempts = Attempts::default();
        let mut order = all.clone();
        if !order.is_empty() {
            let by = shuffled.index(order.len());
            order.rotate_left(by);
        }
        // Told twice, it is known once.
        for attempt in order.iter().chain(&order) {
            for (id, before, after) in attempts.add([0; 16], *attempt) {
                prop_assert_eq!(told.get(&id).copied().unwrap_or_default(), before);
                told.insert(id, after);
            }
        }
        told.retain(|_, link| *link != Link::default());
        prop_assert_eq!(told, links(&straight));
    }

    #[test]
    fn links_hold_from_both_ends_and_only_what_failed_is_repeated(mut all in some_attempts()) {
        all.sort_unstable();
        let links = links(&all);
        let find = |id: &Id| all.iter().find(|a| a.id == *id).unwrap();
        for (id, link) in &links {
            prop_assert!(link.retry_of.is_some() || link.retried_by.is_some());
            if let Some(earlier) = &link.retry_of {
                prop_assert_eq!(links[earlier].retried_by, Some(*id));
                prop_assert_eq!(links[earlier].before + 1, link.before);
                prop_assert!(find(earlier).failed && find(earlier) < find(id));
                prop_assert!(find(id).started_ns - find(earlier).ended_ns.min(find(id).started_ns) <= WITHIN_NS);
            }
            if let Some(later) = &link.retried_by {
                prop_assert_eq!(links[later].retry_of, Some(*id));
            }
        }
    }

    #[test]
    fn any_body_has_a_key(body in prop::collection::vec(any::<u8>(), 1..60)) {
        let post = record("POST", "/v1/messages", Some("s"));
        prop_assert_eq!(key_of(&post, &body), key_of(&post, &body));
    }
}
