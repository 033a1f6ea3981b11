//! Times, durations, counts, money and sizes, worded as the pages word them. Pure.

use std::fmt::Write as _;

use ccd_proto::api::display_usd;

use crate::clock::parse_rfc3339;

/// A duration in milliseconds: `87 ms`, `1.43 s`, `2 m 05 s`, `3 h 20 m`.
#[must_use]
pub(super) fn duration(ms: u64) -> String {
    let s = (ms + 500) / 1000;
    match ms {
        0..=999 => format!("{ms} ms"),
        1000..=9_994 => format!("{}.{:02} s", (ms + 5) / 1000, (ms + 5) % 1000 / 10),
        9_995..=59_949 => format!("{}.{} s", (ms + 50) / 1000, (ms + 50) % 1000 / 100),
        _ if s < 3600 => format!("{} m {:02} s", s / 60, s % 60),
        _ if s < 86_400 => format!("{} h {:02} m", s / 3600, s % 3600 / 60),
        _ => format!("{} d {:02} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// A whole number with thin spaces: `12 345`.
#[must_use]
pub(super) fn whole(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// A count in few characters: `999`, `1.2k`, `34k`, `1.2M`.
#[must_use]
pub(super) fn brief(n: u64) -> String {
    for (size, unit) in [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")] {
        if n >= size - size / 2000 {
            let tenths = (n + size / 20) / (size / 10);
            return if tenths < 100 && !tenths.is_multiple_of(10) {
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            } else {
                format!("{}{unit}", (n + size / 2) / size)
            };
        }
    }
    n.to_string()
}

/// `1 call`, `2 calls`.
#[must_use]
pub(super) fn plural(n: u64, one: &str) -> String {
    format!("{} {one}{}", whole(n), if n == 1 { "" } else { "s" })
}

/// Bytes in binary units.
#[must_use]
pub(super) fn bytes(n: u64) -> String {
    for (size, unit) in [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if n >= size {
            let tenths = n * 10 / size;
            return if tenths < 100 {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            } else {
                format!("{} {unit}", tenths / 10)
            };
        }
    }
    format!("{n} B")
}

/// Money; a dash where nothing could be priced.
#[must_use]
pub(super) fn money(micros: Option<i64>) -> String {
    micros.map_or_else(|| "–".into(), display_usd)
}

/// A time of RFC 3339 as date and time of day in UTC, without what says so.
#[must_use]
pub(super) fn moment(at: &str) -> String {
    match (at.get(..10), at.get(11..19)) {
        (Some(date), Some(time)) if parse_rfc3339(at).is_ok() => format!("{date} {time}"),
        _ => "–".into(),
    }
}

/// Its time of day.
#[must_use]
pub(super) fn clock(at: &str) -> String {
    moment(at).get(11..).map_or_else(|| "–".into(), ToOwned::to_owned)
}

/// Its date, made of digits and hyphens.
#[must_use]
pub(super) fn date(at: &str) -> String {
    moment(at).get(..10).map_or_else(|| "undated".into(), ToOwned::to_owned)
}

/// Milliseconds between two times.
#[must_use]
pub(super) fn between(from: &str, to: &str) -> Option<u64> {
    let (from, to) = (parse_rfc3339(from).ok()?, parse_rfc3339(to).ok()?);
    Some(to.saturating_sub(from) / 1_000_000)
}

/// Several facts on one line.
#[must_use]
pub(super) fn joined(parts: &[String]) -> String {
    let mut out = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        _ = write!(out, "{}{part}", if out.is_empty() { "" } else { " · " });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let durations =
            [(0, "0 ms"), (999, "999 ms"), (1430, "1.43 s"), (59_949, "59.9 s"), (59_950, "1 m 00 s")];
        for (ms, want) in durations.into_iter().chain([(12_000_000, "3 h 20 m"), (180_000_000, "2 d 02 h")]) {
            assert_eq!(duration(ms), want);
        }
        for (n, want) in [
            (999, "999"),
            (1_000, "1k"),
            (1_249, "1.2k"),
            (9_960, "10k"),
            (34_400, "34k"),
            (1_200_000, "1.2M"),
        ] {
            assert_eq!(brief(n), want);
        }
        assert_eq!((whole(1_234_567).as_str(), whole(999).as_str()), ("1\u{202f}234\u{202f}567", "999"));
        assert_eq!(
            (bytes(512).as_str(), bytes(1500).as_str(), bytes(20 << 20).as_str()),
            ("512 B", "1.4 KiB", "20 MiB")
        );
        assert_eq!(moment("2026-11-21T14:03:59.123456Z"), "2026-11-21 14:03:59");
        assert_eq!((clock("x"), date("\u{1f600}<script>T00:00:00")), ("–".into(), "undated".into()));
    }
}
