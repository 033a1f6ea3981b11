//! Sizes as people write them: `500M`, `10GiB`, `1048576`.
//!
//! Must never guess: what is not understood is refused.

/// Bytes. Units are powers of 1024, with or without `B` or `iB`, in any case.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    if unit == "ib" {
        return None;
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    let part = match part {
        "" if number.ends_with('.') => return None,
        "" => 0,
        part if part.len() > 9 => return None,
        part => {
            let scale = 10_u128.pow(u32::try_from(part.len()).ok()?);
            u64::try_from(part.parse::<u128>().ok()? * (1_u128 << shift) / scale).ok()?
        }
    };
    whole.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_or_refused() {
        let good: [(&str, u64); 9] = [
            ("0", 0),
            ("1048576", 1 << 20),
            ("500M", 500 << 20),
            ("10GiB", 10 << 30),
            ("10 gb", 10 << 30),
            ("1.5k", 1536),
            ("2TB", 2 << 40),
            ("7B", 7),
            ("0.5g", 1 << 29),
        ];
        assert!(good.iter().all(|(text, bytes)| parse(text) == Some(*bytes)));
        let bad = ["", "g", "-1", "1x", "1..5k", "1.k", "10 GiBi", "99999999999G", "iB", "1iB"];
        assert!(bad.iter().all(|text| parse(text).is_none()));
    }
}
