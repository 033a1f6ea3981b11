//! The one bincode configuration of the store.
//!
//! Must never accept bytes left over, nor let a length in damaged bytes decide an allocation.
//! The structs that pass through here are frozen once released: a changed one gets a new name and a new tag.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, StoreError};

const LIMIT: usize = 16 << 20;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Encodes at the end of `out`.
pub(crate) fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    bincode::serde::encode_into_std_write(value, out, config())
        .map(drop)
        .map_err(|_| StoreError::Misuse("a value that bincode cannot encode"))
}

/// Encodes to bytes of its own.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Decodes from the front of `bytes`, returning the value and how many bytes it took.
pub(crate) fn decode_front<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, usize)> {
    bincode::serde::decode_from_slice(bytes, config()).ok()
}

/// Decodes all of `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    decode_front(bytes).filter(|(_, used)| *used == bytes.len()).map(|(value, _)| value)
}
