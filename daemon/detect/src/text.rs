//! Texts and times: cutting, hashing, and reading a timestamp.
//!
//! It must never split a character or panic on any text.
//!
//! Invariant: hashes are the same in every process and on every machine.

/// A hash that is fed piece by piece (FNV-1a, 64 bits). Not for secrets; only to see what is equal.
#[derive(Debug, Clone, Copy)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(Self::EMPTY)
    }
}

impl Hash {
    /// The hash of nothing.
    pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;
    /// What it is multiplied by for each byte.
    pub const PRIME: u64 = 0x0000_0100_0000_01b3;

    /// One more byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(Self::PRIME);
    }

    /// More bytes.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(byte);
        }
    }

    /// Another hash.
    #[inline]
    pub fn hash(&mut self, other: u64) {
        self.bytes(&other.to_le_bytes());
    }

    /// The hash of what it was fed.
    #[must_use]
    pub fn end(self) -> u64 {
        self.0
    }
}

/// The hash of a text, byte for byte.
#[must_use]
pub fn hash(text: &str) -> u64 {
    let mut hash = Hash::default();
    hash.bytes(text.as_bytes());
    hash.end()
}

/// The longest prefix of at most `max` bytes that ends between characters.
#[must_use]
pub fn head(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The longest suffix of at most `max` bytes that starts between characters.
#[must_use]
pub fn tail(text: &str, max: usize) -> &str {
    let mut start = text.len().saturating_sub(max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// The text, or its head and an ellipsis.
#[must_use]
pub fn clip(text: &str, max: usize) -> String {
    if text.len() <= max { text.to_owned() } else { format!("{}…", head(text, max)) }
}

/// The text, or its two ends with the hash of the whole between them.
#[must_use]
pub fn cut(text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let (start, end) = (head(&text, max / 2), tail(&text, max / 2));
    let missing = text.len() - start.len() - end.len();
    format!("{start}\n…[{missing} bytes cut, hash {:016x}]…\n{end}", hash(&text))
}

/// A path with `/` between its parts, also where it came from Windows: `C:\\a\\b` becomes `C:/a/b`. Any other text is
/// left alone: elsewhere `\\` may be part of a name.
#[must_use]
pub fn slashed(path: String) -> String {
    let is_drive = matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    if is_drive || path.starts_with(".\\") || path.starts_with("\\\\") {
        path.replace('\\', "/")
    } else {
        path
    }
}

/// Whether a path begins at a root, of whatever system.
#[must_use]
pub fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
        || matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

/// A line as a terminal shows it: without colours, and without what a progress bar wrote over.
#[must_use]
pub fn shown(line: &str) -> std::borrow::Cow<'_, str> {
    let line = line.trim_end();
    let line = if line.contains('\r') { line.rsplit('\r').next().unwrap_or(line) } else { line };
    if !line.contains('\u{1b}') {
        return line.into();
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.next_if_eq(&'[').is_some() {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        }
    }
    out.into()
}

/// Milliseconds since the Unix epoch of an RFC 3339 time in UTC, such as `2026-11-01T10:02:11.5Z`; `None` for any
/// other text.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let mut millis = 0;
    for place in 0..3 {
        millis = millis * 10 + i64::from(fraction.as_bytes().get(place).map_or(0, |b| b - b'0'));
    }
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let at = text.len().checked_sub(zone.len())?;
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            sign * (number(at + 1, at + 3)? * 60 + number(at + 4, at + 6)?)
        }
    };
    // Days since 1970-01-01 by the civil calendar, years starting in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (m * 153 + 2) / 5 + day
        - 1
        - 719_468;
    Some(((days * 24 + hour) * 60 + minute - offset) * 60_000 + second * 1000 + millis)
}
