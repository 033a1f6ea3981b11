//! Ids of traces and spans: hashes of what they are about, so that hook, proxy and replay arrive at the same.

fn hash(parts: &[&str]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// A turn's trace: 32 hexadecimal digits.
#[must_use]
pub fn trace(session: &str, turn: &str) -> String {
    hex(&hash(&["trace", session, turn]).as_bytes()[..16])
}

/// A span: 16 hexadecimal digits. `kind` is `turn`, `agent`, `llm` or `tool`.
#[must_use]
pub fn span(session: &str, kind: &str, id: &str) -> String {
    hex(&hash(&[kind, session, id]).as_bytes()[..8])
}

/// An exchange's id as text.
#[must_use]
pub fn exchange(id: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(id).hyphenated().to_string()
}

/// The key of a session in the index: session ids come from outside and have any length.
#[must_use]
pub fn session_key(session: &str) -> [u8; 16] {
    crate::ingest::record::first16(hash(&["session", session]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_have_the_sizes_of_opentelemetry() {
        assert_eq!(trace("s", "t").len(), 32);
        assert_eq!(span("s", "tool", "toolu_1").len(), 16);
        assert_eq!(span("s", "tool", "toolu_1"), span("s", "tool", "toolu_1"));
        assert_ne!(span("ab", "tool", "c"), span("a", "tool", "bc"));
    }
}
