//! One property drives both engines: they answer alike, whatever is done to them.

use proptest::prelude::*;

use super::{Index, MemIndex, SledIndex};
use crate::types::{Mutation, Options};

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0x20_u8..0x24, 1..4)
}

fn batch() -> impl Strategy<Value = Vec<Mutation>> {
    let put = (key(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, v)| Mutation::Put(k, v));
    prop::collection::vec(prop_oneof![3 => put, 1 => key().prop_map(Mutation::Delete)], 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_engines_answer_alike(
        batches in prop::collection::vec(batch(), 1..8),
        probes in prop::collection::vec((key(), key()), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let sled = SledIndex::open(dir.path(), &Options::default()).unwrap();
        let engines: [&dyn Index; 2] = [&MemIndex::default(), &sled];
        for batch in batches {
            for engine in engines {
                engine.apply(batch.clone()).unwrap();
            }
        }
        for (a, b) in probes {
            let [model, real] = engines.map(|engine| {
                let forth: Vec<_> = engine.scan(&a, &b).map(Result::unwrap).collect();
                let back: Vec<_> = engine.scan(&a, &b).rev().map(Result::unwrap).collect();
                (engine.get(&a).unwrap(), forth, back)
            });
            prop_assert_eq!(model, real);
        }
    }
}
