//! Tests of the rate limits: the headers of keys and of subscriptions, hostile ones, and the order of telling.

use proptest::prelude::*;

use super::*;
use crate::ingest::record::{BodyV1, Outcome, RedactionV1, RouteV1, Stored};

fn response(headers: &[(&str, &str)]) -> ExchangeV3 {
    let body = || BodyV1 { seen: 0, kept: 0, stored: Stored::Inline(Vec::new()) };
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
        started_ns: 1_000,
        request_end_us: Some(1),
        head_us: Some(2),
        first_byte_us: None,
        end_us: 2,
        status: Some(200),
        outcome: Outcome::Complete,
        error: None,
        request_headers: Vec::new(),
        response_headers: headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect(),
        response_trailers: Vec::new(),
        request: body(),
        response: body(),
        marks: Vec::new(),
        route: RouteV1::default(),
        redaction: RedactionV1::default(),
    }
}

fn shown(headers: &[(&str, &str)], now_ns: u64) -> api::RateLimits {
    let told = read(&response(headers), None).unwrap();
    let mut row = LimitsRow::new(&told.upstream);
    row.add(&told);
    row.to_api(now_ns)
}

#[test]
fn the_limits_of_a_key() {
    let got = shown(
        &[
            ("anthropic-ratelimit-requests-limit", "4000"),
            ("Anthropic-RateLimit-Requests-Remaining", "3999"),
            ("anthropic-ratelimit-requests-reset", "2026-11-20T20:15:09Z"),
            ("anthropic-ratelimit-input-tokens-limit", "200000"),
            ("anthropic-ratelimit-input-tokens-remaining", "150000"),
            ("content-type", "application/json"),
        ],
        parse_rfc3339("2026-11-20T20:15:10Z").unwrap(),
    );
    let names: Vec<_> = got.limits.iter().map(|l| (l.name.as_str(), l.used_percent, l.stale)).collect();
    assert_eq!(names, [("input-tokens", Some(25.0), false), ("requests", Some(0.02), true)]);
    assert_eq!((got.limits[1].limit, got.limits[1].remaining), (Some(4000), Some(3999)));
    assert_eq!(got.limits[1].resets_at.as_deref(), Some("2026-11-20T20:15:09.000000Z"));
    assert!(got.other.is_empty());
}

#[test]
fn the_limits_of_a_subscription() {
    let got = shown(
        &[
            ("anthropic-ratelimit-unified-status", "allowed"),
            ("anthropic-ratelimit-unified-reset", "1795219200"),
            ("anthropic-ratelimit-unified-5h-status", "allowed_warning"),
            ("anthropic-ratelimit-unified-5h-utilization", "0.42"),
            ("anthropic-ratelimit-unified-5h-reset", "1795219200"),
            ("anthropic-ratelimit-unified-7d-utilization", "0.1234"),
            ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
            ("anthropic-ratelimit-unified-fallback-percentage", "0.5"),
            ("anthropic-ratelimit-unified-overage-status", "rejected"),
            ("anthropic-ratelimit-unified-overage-disabled-reason", "org_level_disabled"),
            ("anthropic-ratelimit-of-tomorrow", "x"),
        ],
        0,
    );
    let of = |name: &str| got.limits.iter().find(|l| l.name == name).unwrap();
    assert_eq!((of("unified-5h").used_percent, of("unified-7d").used_percent), (Some(42.0), Some(12.34)));
    assert_eq!(of("unified-5h").resets_at.as_deref(), Some("2026-11-21T00:00:00.000000Z"));
    assert_eq!(of("unified-overage").status.as_deref(), Some("rejected"));
    let other: Vec<_> = got.other.keys().map(String::as_str).collect();
    assert_eq!(
        other,
        [
            "of-tomorrow",
            "unified-fallback-percentage",
            "unified-overage-disabled-reason",
            "unified-representative-claim"
        ]
    );
}

#[test]
fn what_is_no_number_stays_the_text_that_it_was() {
    let huge = "9".repeat(500);
    for (name, value) in [
        ("requests-limit", "many"),
        ("requests-limit", "-1"),
        ("requests-limit", "+1"),
        ("requests-limit", huge.as_str()),
        ("unified-5h-utilization", "NaN"),
        ("unified-5h-utilization", "inf"),
        ("unified-5h-utilization", "-0.1"),
        ("unified-5h-utilization", "1e300"),
        ("requests-reset", "yesterday"),
        ("requests-reset", "253402300800"),
        ("requests-reset", huge.as_str()),
    ] {
        let got = shown(&[(&format!("{PREFIX}{name}"), value)], u64::MAX);
        assert!(got.limits.is_empty(), "{name}: {value}");
        assert_eq!(got.other[name], value.chars().take(MAX_VALUE).collect::<String>());
    }
    assert_eq!(read(&response(&[("anthropic-ratelimit-", "x"), ("x", "y")]), None), None);
}

#[test]
fn a_refusal_is_known_with_its_words() {
    let told = ExchangeV3 { status: Some(529), ..response(&[("Retry-After", "17")]) };
    let told = read(&told, Some("overloaded_error: Overloaded")).unwrap();
    let mut row = LimitsRow::new("u");
    row.add(&told);
    let got = row.to_api(0).last_limited.unwrap();
    assert_eq!((got.status, got.retry_after_s), (529, Some(17)));
    assert_eq!(got.error.as_deref(), Some("overloaded_error: Overloaded"));
    let date = response(&[("retry-after", "Fri, 20 Nov 2026 20:15:09 GMT")]);
    assert_eq!(retry_after(&date), None);
}

fn some_told() -> impl Strategy<Value = Told> {
    let named = prop::collection::btree_map("[a-z]{1,2}", (any::<u64>(), 0u32..10_000), 0..5);
    (0u64..FORGET_NS * 3, any::<[u8; 1]>(), named, any::<bool>()).prop_map(|(at_ns, id, named, refused)| {
        Told {
            upstream: "u".into(),
            at_ns,
            id: [id[0]; 16],
            other: named.iter().map(|(name, (n, _))| (name.clone(), n.to_string())).collect(),
            limits: named
                .into_iter()
                .map(|(n, (limit, used))| {
                    (n, Figures { limit: Some(limit), used: Some(used), ..Figures::default() })
                })
                .collect(),
            refused: refused.then_some(429),
            retry_after_s: None,
            error: None,
        }
    })
}

proptest! {
    #[test]
    fn the_order_of_telling_changes_nothing(
        told in prop::collection::btree_map((0u64..FORGET_NS * 3, any::<u8>()), some_told(), 0..80)
            .prop_map(|all| {
                // One exchange has one id and is told once.
                let distinct = all.into_iter().map(|((at_ns, id), told)| Told { at_ns, id: [id; 16], ..told });
                distinct.collect::<Vec<_>>()
            }).prop_shuffle()) {
        let tell = |all: &[&Told]| {
            let mut row = LimitsRow::new("u");
            for told in all {
                row.add(told);
            }
            row
        };
        let mut sorted: Vec<&Told> = told.iter().collect();
        let shuffled = tell(&sorted);
        sorted.sort_by_key(|t| (t.at_ns, t.id));
        let straight = tell(&sorted);
        prop_assert_eq!(&straight, &shuffled);
        prop_assert!(straight.limits.len() <= MAX_LIMITS && straight.other.len() <= MAX_LIMITS);
        // Told again, it says the same.
        prop_assert_eq!(&tell(&[&sorted[..], &sorted[..]].concat()), &straight);
    }

    #[test]
    fn any_header_is_read(name in "\\PC{0,80}", value in prop::collection::vec(any::<u8>(), 0..300), now in any::<u64>()) {
        let mut record = response(&[]);
        record.response_headers.push((format!("{PREFIX}{name}"), value.clone()));
        record.response_headers.push((format!("{PREFIX}x-utilization"), value));
        if let Some(told) = read(&record, Some("x")) {
            let mut row = LimitsRow::new(&told.upstream);
            row.add(&told);
            let json = serde_json::to_string(&row.to_api(now)).unwrap();
            prop_assert!(json.len() < 4_000);
            prop_assert!(super::super::rows::encode(&row).unwrap().len() < 2_048);
        }
    }
}
