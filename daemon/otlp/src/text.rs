//! Bytes as text: hexadecimal for ids, base64 for everything else. Reading is lenient about which of the two an id is in,
//! about case, alphabet and padding; it never panics.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |d: u8| char::from(DIGITS[usize::from(d & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

/// Hexadecimal of either case.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let of = |i: usize| chunk.get(i).copied().map_or(0, u32::from);
        let bits = of(0) << 16 | of(1) << 8 | of(2);
        for i in 0..4 {
            let letter = BASE64[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// Base64 of either alphabet, with padding or without.
pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for b in text.bytes() {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    // Six bits alone are no byte.
    (held < 6).then_some(out)
}

/// An id: hexadecimal, as OTLP has it, or base64, as protobuf's own JSON has it.
pub(crate) fn id(text: &str) -> Option<Vec<u8>> {
    unhex(text).or_else(|| unbase64(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: Vec<u8>) {
            prop_assert_eq!(id(&hex(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(id(&hex(&bytes).to_uppercase()), Some(bytes.clone()));
            prop_assert_eq!(unbase64(&base64(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(unbase64(base64(&bytes).trim_end_matches('=')), Some(bytes));
        }

        #[test]
        fn ids_in_base64_are_known_by_their_padding(bytes: [u8; 16], short: [u8; 8]) {
            prop_assert_eq!(id(&base64(&bytes)), Some(bytes.to_vec()));
            prop_assert_eq!(id(&base64(&short)), Some(short.to_vec()));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = id(&text);
        }
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in ["a", "xyz!", "é", "abcde"] {
            assert!(id(text).is_none(), "{text}");
        }
    }
}
