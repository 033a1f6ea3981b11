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

/// So many decimals an amount of a column has: as many as tell its largest apart from nothing, two at least.
#[must_use]
pub fn places(micros: impl IntoIterator<Item = i64>) -> usize {
    match micros.into_iter().map(i64::unsigned_abs).max().unwrap_or(0) {
        0 | 1_000_000.. => 2,
        1_000.. => 4,
        _ => 6,
    }
}

/// An amount with so many decimals, `$12.35`; what is more than nothing never reads as nothing: `<$0.01`.
#[must_use]
pub fn usd(micros: i64, places: usize) -> String {
    let places = places.min(6);
    let unit = 10u64.pow(u32::try_from(6 - places).unwrap_or(0));
    let whole = 10u64.pow(u32::try_from(places).unwrap_or(0));
    let (sign, abs) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let amount = |n: u64| format!("${}.{:0places$}", n / whole, n % whole);
    match abs.saturating_add(unit / 2) / unit {
        0 if micros > 0 => format!("<{}", amount(1)),
        n => format!("{sign}{}", amount(n)),
    }
}

/// A text in lines of at most `width` characters, all but the first set off by two spaces. A longer word stays whole.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let long = word.chars().count();
        if used > 0 && used + 1 + long > width {
            out.push_str("\n  ");
            used = 2;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += long;
    }
    out
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
    fn amounts_of_a_column_have_as_many_decimals() {
        for (amounts, want) in [
            (&[12_345_678, 420_000, 1_234, 0][..], "$12.35 $0.42 <$0.01 $0.00"),
            (&[420_000, 1_234, 3], "$0.4200 $0.0012 <$0.0001"),
            (&[999, 3], "$0.000999 $0.000003"),
            (&[-2_500_000, -3], "-$2.50 -$0.00"),
            (&[], ""),
        ] {
            let places = places(amounts.iter().copied());
            let shown: Vec<_> = amounts.iter().map(|micros| usd(*micros, places)).collect();
            assert_eq!(shown.join(" "), want);
        }
    }

    #[test]
    fn long_lines_go_on_in_the_next() {
        assert_eq!(wrapped("one two three four", 9), "one two\n  three\n  four");
        assert_eq!(wrapped("a verylongword b", 6), "a\n  verylongword\n  b");
        assert_eq!(wrapped("short", 80), "short");
    }

    #[test]
    fn ids_are_cut_at_characters() {
        assert_eq!(short_id("0123456789"), "01234567");
        assert_eq!(short_id("ééééééééé"), "éééééééé");
        assert_eq!(short_id("abc"), "abc");
    }
}
