//! What a token is exchanged for: a JSON Web Token (RFC 7519), signed with HMAC-SHA-256.
//!
//! Only what this file writes is read: the header is compared whole, so that no other algorithm, and none at all, can be
//! asked for; and the signature is checked before anything else is looked at. Must never be good without its signature.

use ring::hmac;
use serde::{Deserialize, Serialize};

use super::Refused;

/// `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// Longest that is looked at, in bytes.
const LONGEST: usize = 2048;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Who signed it.
    pub(super) iss: String,
    /// The id of the token that it was exchanged for.
    pub(super) sub: String,
    /// Whose it is.
    pub(super) tenant_id: String,
    /// What the token is good for.
    pub(super) scope: String,
    /// When it was signed, seconds since the Unix epoch.
    pub(super) iat: u64,
    /// When it ends, likewise.
    pub(super) exp: u64,
}

/// Signs.
pub(super) fn write(key: &[u8; 32], claims: &Claims) -> String {
    // A struct of strings and numbers always is JSON.
    let payload = encode(&serde_json::to_vec(claims).unwrap_or_default());
    let text = format!("{HEADER}.{payload}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    format!("{text}.{}", encode(signature.as_ref()))
}

/// The id of the token that it was exchanged for.
pub(super) fn read(key: &[u8; 32], shown: &str, now_s: u64) -> Result<String, Refused> {
    if shown.len() > LONGEST {
        return Err(Refused::Unknown);
    }
    let (text, signature) = shown.rsplit_once('.').ok_or(Refused::Unknown)?;
    let payload =
        text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('.')).ok_or(Refused::Unknown)?;
    let signature = decode(signature).ok_or(Refused::Unknown)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    // In constant time.
    hmac::verify(&key, text.as_bytes(), &signature).map_err(|_| Refused::Unknown)?;
    let claims: Claims =
        decode(payload).and_then(|payload| serde_json::from_slice(&payload).ok()).ok_or(Refused::Unknown)?;
    if now_s < claims.exp { Ok(claims.sub) } else { Err(Refused::Expired) }
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 for URLs, without padding (RFC 4648, section 5).
fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let all = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..=three.len() {
            let index = (all >> (18 - 6 * n)) & 63;
            out.push(char::from(LETTERS[index as usize]));
        }
    }
    out
}

/// The same back; each text stands for one string of bytes, and each of those has one text.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut all, mut bits) = (0u32, 0);
    for byte in text.bytes() {
        let value = LETTERS.iter().position(|letter| *letter == byte)?;
        all = all << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(all >> bits & 255).ok()?);
            all &= (1 << bits) - 1;
        }
    }
    (bits < 6 && all == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claims() -> Claims {
        Claims {
            iss: "ccd".into(),
            sub: "abc".into(),
            tenant_id: "local".into(),
            scope: "ingest".into(),
            iat: 1,
            exp: 10,
        }
    }

    #[test]
    fn what_was_signed_is_read_until_it_ends() {
        assert_eq!(decode(HEADER).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
        let text = write(&[7; 32], &claims());
        assert_eq!(text.split('.').count(), 3);
        assert_eq!(read(&[7; 32], &text, 9).as_deref(), Ok("abc"));
        assert_eq!(read(&[7; 32], &text, 10), Err(Refused::Expired));
        assert_eq!(read(&[8; 32], &text, 9), Err(Refused::Unknown), "another key");
        let unsigned = format!("{}.{}.", encode(br#"{"alg":"none"}"#), text.split('.').nth(1).unwrap());
        assert_eq!(read(&[7; 32], &unsigned, 9), Err(Refused::Unknown));
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn no_byte_can_be_changed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._-]") {
            let text = write(&[7; 32], &claims());
            let mut changed = text.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] = to.as_bytes()[0];
            let changed = String::from_utf8(changed).unwrap();
            prop_assert!(changed == text || read(&[7; 32], &changed, 2).is_err());
        }

        #[test]
        fn anything_is_read_or_refused(text in ".{0,80}") {
            prop_assert!(read(&[7; 32], &text, 2).is_err());
        }
    }
}
