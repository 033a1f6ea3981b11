//! Terminal output as runs of one look: colours and weights (SGR) are kept, every other escape is left in the text, where
//! it is shown by its number.
//!
//! Pure, linear in the text, and bounded in the number of runs. Colours of the larger tables are shown as the one of the
//! sixteen that is nearest, for these are readable on light and dark grounds and on paper.

/// Runs of a text at most; the rest is one more.
const MOST: usize = 20_000;
/// Codes of one sequence that are looked at.
const CODES: usize = 32;

/// How a run looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // one per code
pub(super) struct Look {
    /// Colour of the letters, 0–15.
    pub fg: Option<u8>,
    /// Colour of the ground, 0–15.
    pub bg: Option<u8>,
    /// Bold.
    pub bold: bool,
    /// Faint.
    pub dim: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Struck through.
    pub strike: bool,
    /// Letters and ground exchanged.
    pub inverse: bool,
}

const FG: [&str; 16] =
    ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15"];
const BG: [&str; 16] =
    ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10", "b11", "b12", "b13", "b14", "b15"];

impl Look {
    /// The classes of the style that make this look, outermost first.
    pub(super) fn classes(self) -> impl Iterator<Item = &'static str> {
        let of =
            |table: &[&'static str; 16], n: Option<u8>| n.and_then(|n| table.get(usize::from(n)).copied());
        let flags = [
            (self.inverse, "inv"),
            (self.bold, "bold"),
            (self.dim, "dim"),
            (self.italic, "ital"),
            (self.underline, "under"),
            (self.strike, "strike"),
        ];
        let flags = flags.into_iter().filter_map(|(on, class)| on.then_some(class));
        of(&BG, self.bg).into_iter().chain(of(&FG, self.fg)).chain(flags)
    }

    fn apply(&mut self, codes: &[u16]) {
        let mut rest = codes;
        while let [code, after @ ..] = rest {
            rest = after;
            let low = |base: u16| u8::try_from(code - base).ok();
            match code {
                0 => *self = Look::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = true,
                7 => self.inverse = true,
                9 => self.strike = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.inverse = false,
                29 => self.strike = false,
                30..=37 => self.fg = low(30),
                40..=47 => self.bg = low(40),
                90..=97 => self.fg = low(82),
                100..=107 => self.bg = low(92),
                39 => self.fg = None,
                49 => self.bg = None,
                38 | 48 => {
                    let (colour, used) = larger(after);
                    rest = after.get(used..).unwrap_or_default();
                    if let Some(colour) = colour {
                        *(if *code == 38 { &mut self.fg } else { &mut self.bg }) = Some(colour);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A colour of the larger tables, and how many codes say it.
fn larger(codes: &[u16]) -> (Option<u8>, usize) {
    match *codes {
        [5, n, ..] => (u8::try_from(n).ok().map(of_256), 2),
        [2, r, g, b, ..] => (Some(nearest([r, g, b].map(|v| v.min(255)))), 4),
        _ => (None, codes.len()),
    }
}

fn of_256(n: u8) -> u8 {
    let n = u16::from(n);
    let level = |v: u16| if v == 0 { 0 } else { 55 + v * 40 };
    match n {
        0..=15 => u8::try_from(n).unwrap_or(7),
        232.. => nearest([8 + (n - 232) * 10; 3]),
        _ => nearest([(n - 16) / 36, (n - 16) / 6 % 6, (n - 16) % 6].map(level)),
    }
}

/// The one of the sixteen with the nearest hue.
fn nearest([r, g, b]: [u16; 3]) -> u8 {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most - least < 40 {
        return match most {
            0..=63 => 0,
            64..=127 => 8,
            128..=207 => 7,
            _ => 15,
        };
    }
    let middle = u16::midpoint(most, least);
    let hue = u8::from(r > middle) | u8::from(g > middle) << 1 | u8::from(b > middle) << 2;
    hue + if most > 200 && least > 80 { 8 } else { 0 }
}

/// Hands over the runs of a text, in their order; together they are the text without the sequences that made their looks.
pub(super) fn runs<'a>(text: &'a str, mut take: impl FnMut(&'a str, Look)) {
    let (mut look, mut from, mut at, mut count) = (Look::default(), 0, 0, 0);
    while let Some(found) = text[at..].find("\u{1b}[") {
        let begin = at + found;
        let body = &text[begin + 2..];
        let len = body.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b';' | b':')).count();
        at = begin + 2 + len;
        if text.as_bytes().get(at) != Some(&b'm') {
            continue;
        }
        if begin > from {
            take(&text[from..begin], look);
            count += 1;
        }
        let codes: Vec<u16> =
            body[..len].split([';', ':']).take(CODES).map(|code| code.parse().unwrap_or(0)).collect();
        look.apply(&codes);
        at += 1;
        from = at;
        if count >= MOST {
            break;
        }
    }
    if from < text.len() {
        take(&text[from..], look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Vec<(String, Look)> {
        let mut found = Vec::new();
        runs(text, |run, look| found.push((run.to_owned(), look)));
        found
    }

    #[test]
    fn colours_are_kept_and_other_escapes_stay_text() {
        let red = Look { fg: Some(1), bold: true, ..Look::default() };
        assert_eq!(
            all("a\u{1b}[1;31mb\u{1b}[0mc"),
            [("a".into(), Look::default()), ("b".into(), red), ("c".into(), Look::default())]
        );
        assert_eq!(
            all("\u{1b}]0;title\u{7}\u{1b}[2Jx"),
            [("\u{1b}]0;title\u{7}\u{1b}[2Jx".into(), Look::default())]
        );
        assert_eq!(all("\u{1b}[38;5;196mx")[0].1.fg, Some(1));
        assert_eq!(all("\u{1b}[38;2;120;255;120mx")[0].1.fg, Some(10));
        assert_eq!(all("\u{1b}[48;5;300mx\u{1b}[999999999mx\u{1b}[38mx").len(), 3);
        assert_eq!(red.classes().collect::<Vec<_>>(), ["f1", "bold"]);
    }

    proptest! {
        #[test]
        fn nothing_printable_is_lost(parts in prop::collection::vec(("[a-zä\n]{0,8}", prop::collection::vec(0u16..300, 0..6)), 0..12)) {
            let (mut given, mut plain) = (String::new(), String::new());
            for (text, codes) in parts {
                let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
                given.extend([text.as_str(), "\u{1b}[", codes.join(";").as_str(), "m"]);
                plain.push_str(&text);
            }
            let seen: String = all(&given).into_iter().map(|(run, _)| run).collect();
            prop_assert_eq!(seen, plain);
        }

        #[test]
        fn any_text_is_taken(text in "(\\PC|\u{1b}|\\[|[0-9;:m]|\\p{C}){0,60}") {
            let seen: usize = all(&text).iter().map(|(run, _)| run.len()).sum();
            prop_assert!(seen <= text.len());
        }
    }
}
