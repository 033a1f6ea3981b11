//! What closing totals have beyond the charges, in numbers that can be worked out by hand.

use std::collections::BTreeMap;

use super::*;

const HAIKU: &str = "claude-haiku-5-5";
const OPUS: &str = "claude-opus-5-5";
const DAY: u64 = 1_795_000_000_000_000_000;
const ME: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens { input, output, ..Tokens::default() }
}

/// Closing totals of a session, this many seconds into the day.
fn closing(session: [u8; 16], second: u64, models: &[(&str, u64, u64, u64)]) -> Closing {
    let total = |&(model, input, output, web_searches): &(&str, u64, u64, u64)| {
        (model.to_owned(), Total { tokens: tokens(input, output), web_searches })
    };
    Closing { session, at_ns: at(second), totals: models.iter().map(total).collect() }
}

fn at(second: u64) -> u64 {
    DAY + second * 1_000_000_000
}

/// What the session was charged for.
fn charged(models: &[(&str, u64, u64)]) -> BTreeMap<String, Tally> {
    let tally = |&(model, input, output): &(&str, u64, u64)| {
        (model.to_owned(), Tally { calls: 1, tokens: signed(&tokens(input, output)), ..Tally::default() })
    };
    models.iter().map(tally).collect()
}

/// Model, second, input, output, searches and micro-dollars of what is left.
fn left(
    first: u64,
    families: &[Vec<Closing>],
    charged: &BTreeMap<String, Tally>,
) -> Vec<(String, u64, i64, i64, i64, i64)> {
    let prices = Prices::new(&BTreeMap::new());
    let rows = remainder(ME, at(first), families, charged, &prices);
    let row = |row: SideRow| {
        let t = row.tally;
        let second = (row.at_ns - DAY) / 1_000_000_000;
        assert_eq!((t.calls, t.priced, t.unpriced), (0, 1, 0), "no message, and a price");
        (row.model, second, t.tokens[0], t.tokens[1], t.web_searches, t.micros)
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn requests_that_no_line_tells_of_are_what_the_client_totals_beyond_the_lines() {
    let closed = vec![closing(ME, 90, &[(HAIKU, 30_000, 900, 1), (OPUS, 5_000, 400, 0)])];
    let known = charged(&[(OPUS, 5_000, 400), (HAIKU, 10_000, 100)]);
    // 20,000 at $0.10 and 800 at $0.50 a million, and a search at a cent.
    let wanted = (HAIKU.to_owned(), 90, 20_000, 800, 1, 2_000 + 400 + 10_000);
    assert_eq!(left(1, std::slice::from_ref(&closed), &known), [wanted]);
    // The proxy saw them too.
    let known = charged(&[(OPUS, 5_000, 400), (HAIKU, 30_000, 900)]);
    let searched = left(1, &[closed], &known);
    assert_eq!(searched, [], "a search alone is no request");
}

#[test]
fn a_resumed_run_goes_on_with_its_totals_and_one_that_was_begun_anew_adds_its_own() {
    let first = closing(ME, 60, &[(HAIKU, 1_000_000, 0, 0)]);
    let resumed = closing(ME, 600, &[(HAIKU, 3_000_000, 0, 0)]);
    // The same beginning: the later totals have the earlier ones in them. $0.10 a million.
    let once = left(1, &[vec![first.clone(), resumed.clone()]], &charged(&[]));
    assert_eq!(once, [(HAIKU.to_owned(), 600, 3_000_000, 0, 0, 300_000)]);
    let anew = left(1, &[vec![first], vec![resumed]], &charged(&[]));
    assert_eq!(anew, [(HAIKU.to_owned(), 600, 4_000_000, 0, 0, 400_000)]);
}

#[test]
fn a_fork_is_not_booked_what_its_original_had_totalled() {
    let original = closing(OTHER, 60, &[(HAIKU, 1_000_000, 0, 0)]);
    let fork = closing(ME, 600, &[(HAIKU, 1_500_000, 0, 0)]);
    let family = vec![original.clone(), fork.clone()];
    let wanted = [(HAIKU.to_owned(), 600, 500_000, 0, 0, 50_000)];
    // Its first message of its own came after the original's end.
    assert_eq!(left(120, std::slice::from_ref(&family), &charged(&[])), wanted);
    // What the original totals once the fork has begun is no part of the fork's.
    let later = closing(OTHER, 900, &[(HAIKU, 9_000_000, 0, 0)]);
    assert_eq!(left(120, &[vec![original, fork, later]], &charged(&[])), wanted);
}

#[test]
fn a_run_that_was_killed_leaves_no_totals_and_takes_nothing_away_below_nothing() {
    // 4,000 were charged in a run that never wrote its totals; those that were written are of another run.
    let closed = vec![closing(ME, 90, &[(OPUS, 1_000, 100, 0)])];
    assert_eq!(left(1, &[closed], &charged(&[(OPUS, 5_000, 400)])), []);
    assert_eq!(left(1, &[], &charged(&[(OPUS, 5_000, 400)])), []);
}

#[test]
fn of_a_response_that_was_cut_the_clients_own_estimate_of_its_output_is_no_request() {
    let closed = vec![closing(ME, 90, &[(OPUS, 5_000, 460, 0)])];
    assert_eq!(left(1, &[closed], &charged(&[(OPUS, 5_000, 400)])), []);
}

#[test]
fn a_model_is_the_same_whatever_the_client_adds_to_its_name() {
    let closed = vec![closing(ME, 90, &[("claude-opus-5-5[1m]", 7_000, 500, 0)])];
    let rest = left(1, &[closed], &charged(&[(OPUS, 5_000, 400)]));
    // 2,000 at $4 and 100 at $20 a million.
    assert_eq!(rest, [(OPUS.to_owned(), 90, 2_000, 100, 0, 8_000 + 2_000)]);
}

#[test]
fn models_of_charges_that_went_elsewhere_are_no_longer_told() {
    let session = ccd_proto::api::Session { models: vec![OPUS.into()], ..Default::default() };
    let mut row = SessionRow::new(session);
    let mut filled = |models: &[(&str, u64, u64)]| {
        Account { models: charged(models), ..Account::default() }.fill(&mut row);
        row.session.models.clone()
    };
    assert_eq!(filled(&[(HAIKU, 1, 1), (OPUS, 1, 1)]), [OPUS, HAIKU]);
    assert_eq!(filled(&[(OPUS, 1, 1)]), [OPUS]);
    assert_eq!(filled(&[]), [OPUS], "what it called itself stays");
}
