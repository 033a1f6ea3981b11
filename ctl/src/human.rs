//! Numbers and ids as people read them. Pure.

/// `12.3k`, `4.5M`; below a thousand the number itself.
#[must_use]
pub fn count(n: u64) -> String {
    scaled(n, 1000, &["", "k", "M", "G", "T"])
}

/// `1,234,567`.
#[must_use]
pub fn exact(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `12.3 KiB`, `4.5 MiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    scaled(n, 1024, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

fn scaled(n: u64, base: u64, units: &[&str]) -> String {
    let (mut unit, mut size) = (0, 1);
    // The next unit is taken as soon as rounding would show the base itself ("1000.0k").
    while unit + 1 < units.len() && n >= size * base - if unit == 0 { 0 } else { size / 20 } {
        size *= base;
        unit += 1;
    }
    if unit == 0 {
        return format!("{n}{}", units[0]);
    }
    let tenths = (u128::from(n) * 10 + u128::from(size) / 2) / u128::from(size);
    format!("{}.{}{}", tenths / 10, tenths % 10, units[unit])
}

/// `340ms`, `12.3s`, `4m05s`, `2h07m`, `3d04h`.
#[must_use]
pub fn duration_ms(ms: u64) -> String {
    let s = ms.saturating_add(500) / 1000;
    match (ms, s) {
        (0..=999, _) => format!("{ms}ms"),
        (1000..=59_949, _) => format!("{}.{}s", (ms + 50) / 1000, (ms + 50) % 1000 / 100),
        (_, 0..=3599) => format!("{}m{:02}s", s / 60, s % 60),
        (_, 3600..=86_399) => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// The head of an id, long enough to be typed again: prefixes are accepted wherever ids are.
#[must_use]
pub fn short_id(id: &str) -> &str {
    id.char_indices().nth(8).map_or(id, |(at, _)| &id[..at])
}

/// `1 turn`, `2 turns`.
#[must_use]
pub fn plural(n: u64, noun: &str) -> String {
    let end = match noun {
        _ if n == 1 => "",
        _ if noun.ends_with("sh") => "es",
        _ => "s",
    };
    format!("{} {noun}{end}", count(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_english() {
        assert_eq!(
            [plural(1, "crash"), plural(8, "crash"), plural(2, "turn")],
            ["1 crash", "8 crashes", "2 turns"]
        );
    }

    #[test]
    fn counts_and_bytes_read_well_at_every_size() {
        for (n, want) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.0k"),
            (12_345, "12.3k"),
            (999_960, "1.0M"),
            (4_500_000, "4.5M"),
        ] {
            assert_eq!(count(n), want);
        }
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(12_595), "12.3 KiB");
        assert!(bytes(u64::MAX).ends_with(" TiB"));
    }

    #[test]
    fn durations_read_well_at_every_size() {
        for (ms, want) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1.0s"),
            (12_340, "12.3s"),
            (59_949, "59.9s"),
            (59_950, "1m00s"),
            (245_000, "4m05s"),
            (7_620_000, "2h07m"),
            (273_600_000, "3d04h"),
            (u64::MAX, "213503982334d14h"),
        ] {
            assert_eq!(duration_ms(ms), want);
        }
    }

    #[test]
    fn ids_are_cut_at_characters() {
        assert_eq!(short_id("0123456789"), "01234567");
        assert_eq!(short_id("ééééééééé"), "éééééééé");
        assert_eq!(short_id("abc"), "abc");
    }
}
