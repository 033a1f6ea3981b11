//! Sizes as people write them, on the command line and in the configuration alike.
//!
//! Must never guess: what is not understood is refused.

/// `500M`, `5GiB`, `10G`, `1500000`: powers of 1024, except with `B` alone behind the letter (`5GB`), which is of 1000.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let n: u64 = digits.parse().ok()?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let (letter, base) = match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
        (Some(""), _) => return None,
        (Some(letter), _) => (letter, 1024_u64),
        (None, Some(letter)) => (letter, 1000),
        (None, None) => (unit.as_str(), 1024),
    };
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    base.checked_pow(power).and_then(|size| n.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_documented_form() {
        for (text, want) in [
            ("0", 0),
            ("1500000", 1_500_000),
            ("12B", 12),
            ("500M", 500 << 20),
            ("500m", 500 << 20),
            ("5GiB", 5 << 30),
            ("10G", 10 << 30),
            ("10 G", 10 << 30),
            ("5GB", 5_000_000_000),
            ("2k", 2048),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse(text), Some(want), "{text}");
        }
        for text in ["", "G", "-5G", "1.5G", "5X", "5Gi", "5 5G", "5iB", "99999999999T", "5Gb/s", "5é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
