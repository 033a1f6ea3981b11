//! What `ccusage` sees in the same files, and why it differs where it does.
//!
//! Each peculiarity stands in a corpus of its own, so that each difference has one cause.

use ccd_proto::api::Tokens;
use ccd_tests::corpus::oracle::Oracle;
use ccd_tests::corpus::{self, Oddity, Spec};
use ccd_tests::harness::ccusage_told;
use ccd_tests::harness::soak::summary;
use serde_json::Value;

/// Input, output, cache reads, cache writes: what ccusage tells apart.
type Four = [u64; 4];

fn four(tokens: &Tokens) -> Four {
    [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write_5m + tokens.cache_write_1h]
}

fn totals(told: &Value) -> Four {
    let keys = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens"];
    keys.map(|key| told["totals"][key].as_u64().unwrap())
}

struct Seen {
    ours: Four,
    side: Four,
    daily: Four,
    session: Four,
}

fn seen(spec: &Spec) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    corpus::write(dir.path(), spec).unwrap();
    let oracle = Oracle::count(dir.path(), "UTC");
    let told = |period| totals(&ccusage_told(dir.path(), period, "UTC"));
    Seen {
        ours: four(&oracle.total().tokens()),
        side: four(&oracle.side()),
        daily: told("daily"),
        session: told("session"),
    }
}

fn plus(left: Four, right: Four) -> Four {
    std::array::from_fn(|n| left[n] + right[n])
}

#[test]
fn plain_sessions_differ_by_what_no_line_tells_of_and_by_nothing_else() {
    let spec = Spec { odd: Vec::new(), ..Spec::small(21) };
    let seen = seen(&spec);
    assert_ne!(seen.side, [0; 4], "there are requests that no line tells of");
    assert_eq!(plus(seen.daily, seen.side), seen.ours);
    assert_eq!(plus(seen.session, seen.side), seen.ours);
}

#[test]
fn each_difference_has_its_cause() {
    for odd in corpus::ODDITIES {
        let seen = seen(&Spec { odd: vec![odd], sessions: 36, forks: 2, ..Spec::small(22) });
        let total = |four: Four| four.iter().sum::<u64>();
        let (ours, daily, session) =
            (total(seen.ours) - total(seen.side), total(seen.daily), total(seen.session));
        summary(&format!("{odd:?}: {ours} tokens, ccusage daily {daily}, session {session}"));
        match odd {
            // A fork copies lines: those without a request's id are counted again. A message of which some lines have
            // one and some have none is counted as two.
            Oddity::NoRequestId | Oddity::RequestIdLate => {
                assert!(daily > ours && session > ours && daily != session, "{odd:?}");
            }
            // The daily report takes some messages with one id for copies of each other; the session report does not.
            Oddity::OneMessageId => assert!(daily < ours && session == ours, "{odd:?}"),
            _ => {
                assert_eq!(plus(seen.daily, seen.side), seen.ours, "{odd:?}");
                assert_eq!(plus(seen.session, seen.side), seen.ours, "{odd:?}");
            }
        }
    }
}
