//! Base 64 that holds text: decoded, so that credentials in it are found. The whole blob goes then.

use std::ops::Range;

use zeroize::Zeroize;

/// The shortest run that is looked into. Sixteen characters are twelve bytes.
const SHORTEST: usize = 16;
const LONGEST: usize = 1 << 20;

fn digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

/// The printable ASCII text that the whole value is the base 64 of. Blanks and line ends in it are passed over.
pub(crate) fn decoded(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut bits = 0_u32;
    let mut have = 0;
    for byte in value.trim_end_matches('=').bytes() {
        if byte.is_ascii_whitespace() {
            continue;
        }
        bits = bits << 6 | digit(byte)?;
        have += 6;
        if have >= 8 {
            have -= 8;
            let byte = u8::try_from(bits >> have & 0xff).ok()?;
            if !(byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
                return None;
            }
            out.push(char::from(byte));
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The runs of base 64 in a text that begin like text, each with what it decodes to.
pub(crate) fn blobs(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            if digit(bytes[at]).is_none() {
                at += 1;
                continue;
            }
            let start = at;
            at += bytes[at..].iter().take_while(|b| digit(**b).is_some()).count();
            if at - start < SHORTEST || !begins_like_text(&bytes[start..at]) {
                continue;
            }
            // As wrapped by `base64`: full lines of one length, and a last one.
            let first = at;
            let width = at - start;
            let mut last = width;
            while (60..=80).contains(&width) && last == width && bytes.get(at) == Some(&b'\n') {
                let indent = bytes[at + 1..].iter().take_while(|b| **b == b' ').count();
                let line =
                    bytes[at + 1 + indent..].iter().take(width).take_while(|b| digit(**b).is_some()).count();
                if line == 0 {
                    break;
                }
                last = line;
                at += 1 + indent + line;
            }
            // The line after the last may be no part of it.
            for end in [at, first] {
                let end = end + bytes[end..].iter().take(2).take_while(|b| **b == b'=').count();
                if end - start <= LONGEST
                    && let Some(decoded) = decoded(&text[start..end])
                {
                    at = end;
                    return Some((start..end, decoded));
                }
            }
        }
        None
    })
}

/// Most runs are no text: the first six bytes tell.
fn begins_like_text(run: &[u8]) -> bool {
    run[..8].chunks_exact(4).all(|four| {
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | digit(*byte).unwrap_or(0));
        [16, 8, 0].iter().all(|shift| {
            let byte = (bits >> shift) & 0xff;
            (0x20..0x7f).contains(&byte) || matches!(byte, 0x09 | 0x0a | 0x0d)
        })
    })
}

/// Whether all of it is of the standard alphabet.
pub(crate) fn is_run(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

/// The base 64 of some bytes, without padding.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            out.push(char::from(DIGITS[bits >> (18 - 6 * at) & 63]));
        }
    }
    out
}

/// What of the base 64 of a longer text tells of a part of it alone, where so many bytes (two at most) lie before the part
/// in its group.
pub(crate) fn within(part: &str, before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(part.as_bytes());
    let mut out = encoded(&bytes);
    bytes.zeroize();
    out.truncate((before + part.len()) * 8 / 6);
    out.drain(..before + usize::from(before > 0));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_base64_is_found() {
        assert_eq!(decoded("dXNlcjpodW50ZXIy").as_deref(), Some("user:hunter2"));
        assert_eq!(encoded(b"user:hunter2"), "dXNlcjpodW50ZXIy");
        assert_eq!(encoded(b"a"), "YQ");
        let text = "auth: dXNlcjpodW50ZXIyMw== and /usr/local/share/doc/readme and deadbeefdeadbeefdeadbeef";
        assert_eq!(blobs(text).map(|(range, _)| &text[range]).collect::<Vec<_>>(), ["dXNlcjpodW50ZXIyMw=="]);
        let long =
            encoded("some text that is longer than one line of base64 would be, by far".repeat(3).as_bytes());
        let wrapped = format!("{}\n{}\n{}\nx y", &long[..76], &long[76..152], &long[152..200]);
        assert_eq!(blobs(&wrapped).next().map(|found| found.0), Some(0..202));
    }
}
