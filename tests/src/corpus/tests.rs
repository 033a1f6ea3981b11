//! The oracle against the account of those who made the corpus up, and the corpus against its own promises.

use std::collections::BTreeMap;

use super::oracle::{Oracle, Sum};
use super::*;

fn corpus(spec: &Spec) -> (tempfile::TempDir, Written) {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path(), spec).unwrap();
    (dir, written)
}

/// What an entry is summed by.
type Key = fn(&Billed) -> String;

/// What the account says, summed by `key`.
fn summed(billed: &[&Billed], key: impl Fn(&Billed) -> String) -> BTreeMap<String, Tokens> {
    let mut sums = BTreeMap::<_, Tokens>::new();
    for one in billed {
        *sums.entry(key(one)).or_default() += one.tokens;
    }
    sums
}

fn tokens_of(group: &BTreeMap<String, Sum>) -> BTreeMap<String, Tokens> {
    group.iter().map(|(key, sum)| (key.clone(), sum.tokens())).collect()
}

#[test]
fn the_oracle_counts_what_was_billed() {
    for seed in 0..4 {
        let (dir, written) = corpus(&Spec::small(seed));
        let oracle = Oracle::count(dir.path(), "UTC");
        assert_eq!(oracle.messages, written.billed.len() as u64, "seed {seed}");
        let all: Vec<_> = written.billed.iter().chain(&written.side).collect();
        let side: Vec<_> = written.side.iter().collect();
        assert_eq!(
            oracle.side(),
            summed(&side, |_| String::new()).remove("").unwrap_or_default(),
            "seed {seed}"
        );
        let checks: [(&str, Key); 4] = [
            ("total model", |one| one.model.clone()),
            ("session", |one| one.session.clone()),
            ("session model", |one| format!("{}\t{}", one.session, one.model)),
            ("total agent", |one| one.agent.clone()),
        ];
        for (group, key) in checks {
            assert_eq!(tokens_of(&oracle.groups[group]), summed(&all, key), "seed {seed}: {group}");
        }
        // The time of what only closing totals tell of is theirs, not its own: days are those of messages.
        let messages: Vec<_> = written.billed.iter().collect();
        let by_branch = summed(&messages, |one| format!("{}\t{}", day(one.at_ms), one.branch));
        let told = tokens_of(&oracle.groups["daily branch"]);
        for (key, tokens) in by_branch {
            assert_eq!(told.get(&key), Some(&tokens), "seed {seed}: {key}");
        }
    }
}

fn day(at_ms: i64) -> String {
    lines::stamp(at_ms)[..10].to_owned()
}

#[test]
fn a_corpus_is_its_seed() {
    let spec = Spec::small(7);
    let (one, first) = corpus(&spec);
    let (two, second) = corpus(&spec);
    assert_eq!((first.bytes, first.lines), (second.bytes, second.lines));
    for (left, right) in first.files.iter().zip(&second.files) {
        assert_eq!(left.strip_prefix(one.path()).unwrap(), right.strip_prefix(two.path()).unwrap());
        assert_eq!(std::fs::read(left).unwrap(), std::fs::read(right).unwrap());
    }
    let bytes: u64 = first.files.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(bytes, first.bytes);
}

#[test]
fn a_small_corpus_has_what_makes_counting_hard() {
    let mut text = String::new();
    let (mut torn, mut nested) = (0, 0);
    for seed in 0..3 {
        let (_dir, written) = corpus(&Spec::small(seed));
        for path in &written.files {
            let bytes = std::fs::read_to_string(path).unwrap();
            torn += usize::from(!bytes.ends_with('\n'));
            let meta = std::fs::read_to_string(path.with_extension("meta.json")).unwrap_or_default();
            nested += usize::from(meta.contains("\"spawnDepth\":2"));
            text.push_str(&bytes);
        }
    }
    assert!(torn > 1 && nested > 1, "{torn} {nested}");
    for what in [
        "<synthetic>",
        "compact_boundary",
        "cost-state",
        "from-the-future",
        "\"batch\"",
        "api_error",
        "glm-9",
    ] {
        assert!(text.contains(what), "{what}");
    }
    // Days on which the clocks change are among those in use.
    for (day_before, changes) in [(1_761_350_400_000, "2025-10-26"), (1_774_656_000_000, "2026-03-29")] {
        let spec = Spec { from_ms: day_before, days: 2, sessions: 10, ..Spec::small(1) };
        let (_dir, written) = corpus(&spec);
        assert!(written.billed.iter().any(|one| day(one.at_ms) == changes), "{changes}");
    }
    let (_dir, written) = corpus(&Spec::small(1));
    assert!(written.billed.iter().any(|one| one.tokens.prompt() > 200_000), "long contexts");
}

#[test]
fn a_large_corpus_is_as_large_as_asked() {
    let (_dir, written) = corpus(&Spec::large(3, 4 << 20));
    assert!((4 << 20..12 << 20).contains(&written.bytes), "{}", written.bytes);
}
