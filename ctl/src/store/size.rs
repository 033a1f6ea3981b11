//! Sizes as people type them. Pure.

use crate::error::{CommandError, Result};

/// `500M`, `5GiB`, `10G`, `1500000`: powers of 1024, except with `B` alone behind the letter (`5GB`).
pub fn parse(text: &str) -> Result<u64> {
    let wrong = || {
        CommandError::usage(format!("`{text}` is no size"))
            .hint("give 500M, 5GiB or 10G (powers of 1024), 5GB (of 1000), or plain bytes")
    };
    let text_trimmed = text.trim();
    let digits_end = text_trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(text_trimmed.len());
    let (digits, unit) = text_trimmed.split_at(digits_end);
    let n: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let (letter, base) = match unit.strip_suffix("ib") {
        Some(letter) => (letter, 1024_u64),
        None => match unit.strip_suffix('b') {
            Some(letter) => (letter, 1000),
            None => (unit.as_str(), 1024),
        },
    };
    let power = match letter {
        "" if unit != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    base.checked_pow(power).and_then(|size| n.checked_mul(size)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn anything_else_is_wrong_usage() {
        for text in ["", "G", "-5G", "1.5G", "5X", "5Gi", "5 5G", "5iB", "99999999999T", "5Gb/s"] {
            assert_eq!(parse(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,12}") {
            let _ = parse(&text);
        }
    }
}
