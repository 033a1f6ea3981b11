//! Made-up credentials: values of the right form that nobody ever held, written out of templates so that no source file
//! holds one.
//!
//! A template is text with `{KIND COUNT}` in it, such as `dop_v1_{x64}`. Kinds: `a` letters and digits, `x` lower and `X`
//! upper hex, `d` digits, `l` lower letters, `L` letters, `u` upper letters and digits, `n` lower letters and digits,
//! `t` base 32, `b` base 64, `w` base 64 of URLs, `p` a password, `{g}` a UUID, `{c}` the checksum of the thirty characters
//! before. The same template and seed give the same text.

use crate::rule::crc32_base62;

/// The text of a template. What is not of the forms above stays as it is.
#[must_use]
pub fn filled(template: &str, seed: u64) -> String {
    let mut dice = Dice::new(template, seed);
    let mut out = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let inside = rest.find('}').map(|close| &rest[1..close]);
        let made =
            inside.and_then(|inside| piece(inside, &out, &mut dice).map(|made| (made, inside.len() + 2)));
        let (made, len) = made.unwrap_or_else(|| ("{".to_owned(), 1));
        out.push_str(&made);
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

fn piece(inside: &str, before: &str, dice: &mut Dice) -> Option<String> {
    const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
    const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const DIGITS: &str = "0123456789";
    let kind = inside.chars().next()?;
    let count = inside.get(1..)?;
    if count.is_empty() {
        return match kind {
            'g' => Some([8, 4, 4, 4, 12].map(|n| dice.some("0123456789abcdef", n)).join("-")),
            'c' => Some(crc32_base62(before.get(before.len().checked_sub(30)?..)?)),
            _ => None,
        };
    }
    let count: usize = count.parse().ok()?;
    let of = |sets: &[&str]| sets.concat();
    Some(match kind {
        'a' => dice.some(&of(&[LOWER, UPPER, DIGITS]), count),
        'x' => dice.some("0123456789abcdef", count),
        'X' => dice.some("0123456789ABCDEF", count),
        'd' => dice.some(DIGITS, count),
        'l' => dice.some(LOWER, count),
        'L' => dice.some(&of(&[LOWER, UPPER]), count),
        'u' => dice.some(&of(&[UPPER, DIGITS]), count),
        'n' => dice.some(&of(&[LOWER, DIGITS]), count),
        't' => dice.some(&of(&[UPPER, "234567"]), count),
        'b' => dice.some(&of(&[LOWER, UPPER, DIGITS, "+/"]), count),
        'w' => dice.some(&of(&[LOWER, UPPER, DIGITS, "_-"]), count),
        'p' => {
            // At least one of each class, as forms ask of people.
            let mut made = dice.some(&of(&[LOWER, UPPER, DIGITS]), count.saturating_sub(4));
            for set in [LOWER, DIGITS, "!#@%*", UPPER] {
                made.push_str(&dice.some(set, 1));
            }
            made
        }
        _ => return None,
    })
}

/// Pseudo-random numbers: splitmix64.
struct Dice(u64);

impl Dice {
    fn new(template: &str, seed: u64) -> Dice {
        let hash = template.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Dice(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn some(&mut self, from: &str, count: usize) -> String {
        let from = from.as_bytes();
        let len = from.len() as u64;
        (0..count).map(|_| char::from(from[usize::try_from(self.next() % len).unwrap_or(0)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_and_other_braces_stay() {
        let made = filled("a_{x8}-{d3} {} {k} {\"x\": {g}}", 1);
        assert_eq!(made.len(), "a_-  {} {k} {\"x\": }".len() - 1 + 8 + 3 + 36, "{made}");
        assert_eq!(made, filled("a_{x8}-{d3} {} {k} {\"x\": {g}}", 1));
        assert_ne!(filled("{a20}", 1), filled("{a20}", 2));
        assert!(crate::rule::Checksum::Crc32Base62.holds(&filled("ghp_{a30}{c}", 7)));
    }
}
