//! Every command and every grouping, against the oracle and against each other.

use std::collections::BTreeMap;

use ccd_proto::api::{Explain, Spans, Tokens, Usage};
use ccd_tests::corpus::Spec;
use ccd_tests::corpus::oracle::Oracle;

use super::{Told, World, assert_same, expected, rows, told};
use crate::check;

/// Corpora, each with zones whose days begin at odd times, and change their clocks at different ones.
const ZONES: [(u64, [&str; 2]); 2] =
    [(11, ["UTC", "America/St_Johns"]), (12, ["Europe/Berlin", "Australia/Lord_Howe"])];

/// Every grouping that the oracle knows, asked of the daemon.
#[track_caller]
fn assert_every_grouping(world: &World, oracle: &Oracle, zone: &str, more: &str) {
    for group in oracle.groups.keys() {
        let mut parts = group.split(' ');
        let (period, by) = (parts.next().unwrap(), parts.collect::<Vec<_>>().join(","));
        let usage = world.usage(&format!("period={period}&by={by}&tz={}{more}", zone.replace('/', "%2F")));
        let what = format!("{group} in {zone}{more}");
        assert_same(&what, &rows(&usage), &expected(oracle, group));
        assert_total(&what, &usage, oracle);
    }
}

/// Asserts that the rows add up to the totals, and those are the oracle's.
#[track_caller]
fn assert_total(what: &str, usage: &Usage, oracle: &Oracle) {
    let total = oracle.total();
    let wanted: Told = (total.tokens(), total.cost, total.messages);
    assert_eq!(told(&usage.totals), wanted, "{what}: the total");
    assert_eq!(usage.side.tokens, oracle.side(), "{what}: what only closing totals tell of");
    assert_eq!(usage.side.sessions, oracle.side_sessions, "{what}: sessions that have such");
    let mut sum = Tokens::default();
    let mut cost = 0;
    for row in &usage.rows {
        sum += row.tokens;
        cost += row.cost_usd_micros.unwrap_or_default();
    }
    assert_eq!((sum, cost), (wanted.0, wanted.1.unwrap_or_default()), "{what}: rows add up");
}

#[test]
fn every_grouping_in_every_zone_equals_the_oracle() {
    for (seed, zones) in ZONES {
        let world = World::of(&Spec { sessions: 24, ..Spec::small(seed) });
        for zone in zones {
            assert_every_grouping(&world, &Oracle::count(&world.root(), zone), zone, "");
        }
    }
}

#[test]
fn ranges_are_cut_before_they_are_counted() {
    let world = World::of(&Spec::small(13));
    let ranges = [
        ("2025-10-20T00:00:00Z", "2025-11-03T00:00:00Z"),
        ("2025-12-31T18:15:00Z", "2026-01-01T05:45:00Z"),
        ("2026-03-08T06:45:00Z", "2026-03-31T22:30:00Z"),
        ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ];
    for (since, until) in ranges {
        let oracle = Oracle::count_within(&world.root(), "Asia/Kathmandu", since, until);
        let more = format!("&since={}&until={}", since.replace(':', "%3A"), until.replace(':', "%3A"));
        assert_every_grouping(&world, &oracle, "Asia/Kathmandu", &more);
    }
}

#[test]
fn the_command_line_tells_what_the_oracle_counts() {
    let world = World::of(&Spec::small(14));
    let zone = "America/New_York";
    let oracle = Oracle::count(&world.root(), zone);
    for group in oracle.groups.keys().filter(|group| group.split(' ').count() <= 2) {
        let mut args = vec!["usage", "--timezone", zone];
        let (period, by) = group.split_once(' ').unwrap_or((group, ""));
        args.push(period);
        if !by.is_empty() {
            args.extend(["--by", by]);
        }
        let usage: Usage = world.home.query(&args);
        assert_same(group, &rows(&usage), &expected(&oracle, group));
        assert_total(group, &usage, &oracle);
    }
    // Shared out among tools by a rule, and yet whole.
    for period in ["total", "daily", "session"] {
        let usage: Usage = world.home.query(&["usage", "--timezone", zone, period, "--by", "tool"]);
        assert_total("by tool", &usage, &oracle);
        let mut sums = BTreeMap::<Vec<String>, (Tokens, i64)>::new();
        for row in &usage.rows {
            let mut key = row.key.clone();
            key.remove("tool");
            let sum = sums.entry(key.into_values().collect()).or_default();
            sum.0 += row.tokens;
            sum.1 += row.cost_usd_micros.unwrap_or_default();
        }
        let whole = expected(&oracle, period);
        let whole: BTreeMap<_, _> = whole
            .into_iter()
            .map(|(key, (tokens, cost, _))| (key, (tokens, cost.unwrap_or_default())))
            .collect();
        assert_eq!(sums, whole, "by tool, {period}");
    }
}

#[test]
fn sessions_turns_and_spans_tell_what_usage_tells() {
    let world = World::of(&Spec { sessions: 24, ..Spec::small(15) });
    let oracle = Oracle::count(&world.root(), "UTC");
    let by_session = expected(&oracle, "session");
    let sessions = check::sessions(&world.home);
    for session in &sessions {
        // A session in which nothing was billed has no usage, and is listed all the same.
        let (tokens, cost, _) = by_session.get(&vec![session.session_id.clone()]).copied().unwrap_or((
            Tokens::default(),
            Some(0),
            0,
        ));
        let got = (session.tokens, session.cost_usd_micros);
        assert_eq!(got, (tokens, cost), "session {}", session.session_id);
    }
    let listed = |key: &[String]| sessions.iter().any(|session| session.session_id == key[0]);
    assert!(by_session.keys().all(|key| listed(key)), "every session that was billed is listed");

    let usage: Usage = world.home.query(&["usage", "session"]);
    let named: Vec<_> = usage.rows.iter().map(|row| row.session.clone().unwrap()).collect();
    assert!(
        named.is_sorted_by_key(|session| session.last_at.clone()),
        "by when they were last billed: {named:?}"
    );
    for (row, named) in usage.rows.iter().zip(named) {
        let same = sessions.iter().find(|session| session.session_id == row.key["session_id"]).unwrap();
        assert_eq!(named.project, same.project);
        assert!(named.last_at <= same.last_at, "what was billed last is part of the session: {named:?}");
    }

    for session in &sessions {
        let id = session.session_id.as_str();
        let usage: Usage = world.home.query(&["usage", "total", "--session", id]);
        let (tokens, cost, _) = told(&usage.totals);
        assert_eq!((tokens, cost), (session.tokens, session.cost_usd_micros), "{id}");
        let mut turns = usage.side.tokens;
        for turn in check::turns(&world.home, id) {
            turns += turn.tokens;
        }
        assert_eq!(turns, session.tokens, "the turns of {id}, and what no line tells of, add up to it");
        let spans: Spans =
            world.home.query(&["traces", "--kind", "llm", "--session", id, "--limit", "10000"]);
        let mut calls = usage.side.tokens;
        for span in spans.spans {
            calls += span.tokens.unwrap_or_default();
        }
        assert_eq!(calls, session.tokens, "the model calls of {id}, and what no line tells of, add up to it");
    }
}

#[test]
fn restarts_kills_and_a_lost_index_change_no_number() {
    let mut world = World::of(&Spec::small(17));
    let oracle = Oracle::count(&world.root(), "Europe/Berlin");
    let asked = ["daily&by=model", "session&by=agent", "blocks", "monthly&by=project,branch"];
    let ask = |world: &World| asked.map(|q| world.usage(&format!("period={q}&tz=Europe%2FBerlin")));
    let before = ask(&world);
    assert_total("before", &before[0], &oracle);
    let sessions = check::sessions(&world.home);
    for lost in [false, true] {
        if lost {
            world.daemon.take().unwrap().stop(&world.home);
            world.home.delete_index();
            world.start();
        } else {
            world.killed_and_started();
        }
        for (now, before) in ask(&world).iter().zip(&before) {
            assert_eq!((&now.rows, &now.totals), (&before.rows, &before.totals), "index lost: {lost}");
            assert_eq!((&now.side, &now.cache), (&before.side, &before.cache), "index lost: {lost}");
        }
        assert_eq!(check::sessions(&world.home), sessions, "index lost: {lost}");
    }
}

#[test]
fn the_arithmetic_shown_adds_up_to_the_session() {
    let world = World::of(&Spec { sessions: 12, ..Spec::small(16) });
    for (key, (tokens, cost, _)) in expected(&Oracle::count(&world.root(), "UTC"), "session") {
        let told: Explain = world.home.query(&["usage", "--explain", &key[0]]);
        assert_eq!((told.tokens, told.cost_usd_micros), (tokens, cost), "{key:?}");
        let mut sum = (Tokens::default(), 0);
        for charge in &told.charges {
            // Per million tokens, rounded half up once; searches by the piece.
            let of = |searches: bool| {
                let terms = charge.terms.iter().filter(move |term| (term.kind == "web search") == searches);
                terms.map(|term| term.count * term.price_usd_micros).sum::<u64>()
            };
            let micros = i64::try_from((of(false) + 500_000) / 1_000_000 + of(true)).unwrap();
            let cost = charge.cost_usd_micros.unwrap_or_default();
            assert_eq!(cost, if charge.cost_usd_micros.is_some() { micros } else { 0 }, "{charge:?}");
            sum.0 += charge.tokens;
            sum.1 += cost;
        }
        assert_eq!(sum, (tokens, cost.unwrap_or_default()), "{key:?}: the charges add up");
    }
}
