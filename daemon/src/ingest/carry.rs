//! What outlives the records that are let go of: their usage. Kept in the store's manifest, in frozen structs.
//!
//! Must never be changed once released: a new shape is a new schema number, and a reader for the old one stays.

use std::collections::BTreeMap;

use ccd_proto::api::Tokens;
use ccd_store::{Mutation, Reader};
use serde::{Deserialize, Serialize};

use crate::live::LiveError;
use crate::project::cost::Sum;
use crate::project::rows::{self, Rollup, RollupKey};

const SCHEMA: u8 = 1;
/// More than a decade of roll-ups.
const LIMIT: usize = 256 << 20;

/// A roll-up as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedV1 {
    bucket: u32,
    session_id: String,
    project: String,
    model: String,
    agent: String,
    tools: Vec<String>,
    calls: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    micros: u64,
    priced: u64,
    unpriced_models: Vec<String>,
}

impl From<Rollup> for CarriedV1 {
    fn from(Rollup { key, sum }: Rollup) -> Self {
        CarriedV1 {
            bucket: key.bucket,
            session_id: key.session_id,
            project: key.project,
            model: key.model,
            agent: key.agent,
            tools: key.tools,
            calls: sum.calls,
            input: sum.tokens.input,
            output: sum.tokens.output,
            cache_read: sum.tokens.cache_read,
            cache_write_5m: sum.tokens.cache_write_5m,
            cache_write_1h: sum.tokens.cache_write_1h,
            micros: sum.micros,
            priced: sum.priced,
            unpriced_models: sum.unpriced_models.into_iter().collect(),
        }
    }
}

impl From<CarriedV1> for Rollup {
    fn from(kept: CarriedV1) -> Self {
        Rollup {
            key: RollupKey {
                bucket: kept.bucket,
                session_id: kept.session_id,
                project: kept.project,
                model: kept.model,
                agent: kept.agent,
                tools: kept.tools,
            },
            sum: Sum {
                calls: kept.calls,
                tokens: Tokens {
                    input: kept.input,
                    output: kept.output,
                    cache_read: kept.cache_read,
                    cache_write_5m: kept.cache_write_5m,
                    cache_write_1h: kept.cache_write_1h,
                },
                micros: kept.micros,
                priced: kept.priced,
                unpriced_models: kept.unpriced_models.into_iter().collect(),
            },
        }
    }
}

/// All usage that a generation of the index knows, as bytes to keep.
pub(super) fn collect(reader: &Reader) -> Result<Vec<u8>, LiveError> {
    let mut kept = Vec::new();
    for row in reader.scan(&rows::rollups_from(0), &rows::rollups_end()) {
        kept.push(CarriedV1::from(rows::decode::<Rollup>(&row?.1)?));
    }
    encode(&kept)
}

fn encode(kept: &[CarriedV1]) -> Result<Vec<u8>, LiveError> {
    let mut bytes = vec![SCHEMA];
    bytes.extend(rows::encode(&kept)?);
    Ok(bytes)
}

/// The rows that a new generation begins with.
pub(super) fn mutations(bytes: &[u8]) -> Result<Vec<Mutation>, LiveError> {
    let mut rollups: BTreeMap<RollupKey, Rollup> = BTreeMap::new();
    for kept in decode(bytes)? {
        let rollup = Rollup::from(kept);
        let known = rollups
            .entry(rollup.key.clone())
            .or_insert_with(|| Rollup { key: rollup.key.clone(), ..Rollup::default() });
        known.sum.merge(&rollup.sum);
    }
    let rows =
        rollups.into_values().map(|rollup| Ok(Mutation::Put(rollup.key.to_bytes(), rows::encode(&rollup)?)));
    rows.collect()
}

fn decode(bytes: &[u8]) -> Result<Vec<CarriedV1>, rows::RowError> {
    match bytes.split_first() {
        None => Ok(Vec::new()),
        Some((&SCHEMA, body)) => rows::decode_within::<_, LIMIT>(body),
        Some((schema, _)) => {
            Err(rows::RowError::new(format!("kept usage of schema {schema}: written by a newer ccd")))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept() -> CarriedV1 {
        CarriedV1 {
            bucket: 2_000_000,
            session_id: "s".into(),
            model: "m".into(),
            agent: "main".into(),
            tools: vec!["Bash".into()],
            calls: 2,
            input: 300,
            micros: 70_000,
            priced: 1,
            unpriced_models: vec!["m".into()],
            ..CarriedV1::default()
        }
    }

    #[test]
    fn golden_bytes_of_the_first_schema() {
        let bytes = [
            &[1, 1, 252, 128, 132, 30, 0, 1, b's', 0, 1, b'm', 4][..],
            b"main",
            &[1, 4],
            b"Bash",
            &[2, 251, 44, 1, 0, 0, 0, 0, 252, 112, 17, 1, 0, 1, 1, 1, b'm'],
        ]
        .concat();
        assert_eq!(encode(&[kept()]).unwrap(), bytes);
        assert_eq!(decode(&bytes).unwrap(), [kept()]);
        assert_eq!(mutations(&bytes).unwrap().len(), 1);
        assert!(mutations(&[]).unwrap().is_empty() && mutations(&[9, 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = mutations(&bytes);
        }
    }
}
